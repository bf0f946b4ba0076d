//! Flows: the data plane of network load balancers (alb.md 13). A listener
//! forwards connections (TCP, TLS) or datagrams (UDP) to the targets of one
//! group; a flow stays with its target for as long as it lasts. Nothing of
//! what flows carry is read.

mod header;
mod pump;
mod route;
mod tcp;
mod udp;

pub(crate) use header::LOCAL_HEADER;
pub(crate) use route::FlowRoute;
pub(crate) use tcp::spawn;
pub(crate) use udp::serve;

use crate::local::{ListenerLocal, NodeLocal, TargetLocal};
use crate::metrics::Count;
use crate::thread::Thread;
use elastane_domain::routing::{Admission, TargetGroup, TargetHealth};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;

/// An end of a flow as flows are told apart by it: an IPv6 address is folded.
fn flow_end(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => {
            let bits = address.ip().to_bits();
            let folded = bits as u64 ^ (bits >> 64) as u64;
            SocketAddrV4::new(Ipv4Addr::from_bits((folded ^ (folded >> 32)) as u32), address.port())
        }
    }
}

/// Where clients come in.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) listener: Rc<ListenerLocal>,
    /// The address of the node, unspecified when it is not known.
    pub(crate) node: Ipv4Addr,
    /// By the load balancer's address inside the VPC, not by the loopback
    /// address: a client's own address means something to targets.
    pub(crate) is_inside: bool,
}

impl Door {
    fn node(&self) -> Rc<NodeLocal> {
        self.listener.route.borrow().node(self.node)
    }
}

/// A flow's kind, as metrics tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Tls,
    Udp,
}

/// A flow in the counters, from its beginning to its end.
struct Counted {
    thread: Rc<Thread>,
    node: Rc<NodeLocal>,
    kind: Kind,
    /// The target, and whether it still waits for this flow before it is drained.
    target: Option<(Rc<TargetLocal>, bool)>,
}

impl Counted {
    fn new(thread: Rc<Thread>, node: Rc<NodeLocal>, kind: Kind) -> Counted {
        thread.connections.set(thread.connections.get() + 1);
        let index = thread.index;
        let ledger = &node.state.ledger;
        ledger.connect(index);
        ledger.open_flow(index, kind as usize);
        let new = match kind {
            Kind::Tcp => Count::NewFlowsTcp,
            Kind::Tls => Count::NewFlowsTls,
            Kind::Udp => Count::NewFlowsUdp,
        };
        for count in [Count::NewFlows, new] {
            ledger.add(index, count, 1);
        }
        Counted { thread, node, kind, target: None }
    }

    fn has_target(&mut self, target: &Rc<TargetLocal>) {
        target.state.ledger.enter(self.thread.index);
        self.target = Some((target.clone(), true));
    }

    /// The target is drained without this flow, which goes on.
    fn release(&mut self) {
        if let Some((target, waits)) = &mut self.target
            && std::mem::replace(waits, false)
        {
            target.state.ledger.leave(self.thread.index);
        }
    }

    fn bytes(&self, count: u64) {
        let of_kind = match self.kind {
            Kind::Tcp => Count::ProcessedBytesTcp,
            Kind::Tls => Count::ProcessedBytesTls,
            Kind::Udp => Count::ProcessedBytesUdp,
        };
        for each in [Count::ProcessedBytes, of_kind] {
            self.add(each, count);
        }
    }

    fn add(&self, count: Count, amount: u64) {
        self.node.state.ledger.add(self.thread.index, count, amount);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.release();
        self.node.state.ledger.disconnect(self.thread.index);
        self.node.state.ledger.close_flow(self.thread.index, self.kind as usize);
        self.thread.connections.set(self.thread.connections.get() - 1);
    }
}

/// What becomes of a flow whose target is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes on, and the target's deregistration does not wait for it.
    GoesOn,
    /// It is reset.
    Ends,
}

/// A flow's fate when its target is cut off: a deregistered target keeps its
/// flows after the delay unless its group says otherwise; one that is
/// unhealthy or whose instance does not run loses them (alb.md 13).
fn fate(thread: &Thread, door: &Door, target: &TargetLocal, began: &TargetGroup) -> Fate {
    let route = door.listener.flow();
    let group = route.as_ref().and_then(|route| route.group.as_ref());
    // Its settings of now, unless the listener has another group meanwhile.
    let group = group.filter(|group| group.config.arn == began.arn).map_or(began, |group| &group.config);
    let terminate = group.terminate_at_deregistration;
    let is_registered = thread.has_target(target.state.id);
    match target.admission.get() {
        Admission::Draining { .. } if !terminate => Fate::GoesOn,
        // It left the snapshot.
        Admission::Unused if !is_registered && !terminate => Fate::GoesOn,
        Admission::Registered if !matches!(target.state.health(), TargetHealth::Unhealthy(_)) => Fate::GoesOn,
        Admission::Draining { .. } | Admission::Unused | Admission::Registered => Fate::Ends,
    }
}
