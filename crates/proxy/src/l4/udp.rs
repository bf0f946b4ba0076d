//! UDP flows: datagrams of one client and port go to one target, through a
//! socket of their own, and its answers go back. A flow ends when nothing
//! was said for [`IDLE_MS`].

use super::header::{self, Carries};
use super::route::FlowGroup;
use super::{Counted, Door, Fate, Kind, fate, flow_end};
use crate::local::TargetLocal;
use crate::metrics::Count;
use crate::thread::Thread;
use crate::upstream::Way;
use crate::watch::{Doing, Interrupt, Watch};
use elastane_domain::flow::FlowKey;
use elastane_domain::routing::TargetGroup;
use rustix::net::{SendFlags, send, sendto};
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// IANA's number of UDP.
const UDP: u8 = 17;
/// How long a flow lasts without a datagram (alb.md 13).
const IDLE_MS: u64 = 120_000;
/// Flows of one listener and thread: each has a socket. Further clients are
/// not answered.
const FLOWS_MAX: usize = 4096;
/// Datagrams taken in a row before others get their turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// A listener's socket on one thread.
struct Listening {
    thread: Rc<Thread>,
    door: Door,
    socket: UdpSocket,
    local: SocketAddr,
    flows: RefCell<HashMap<SocketAddr, Rc<Flow>>>,
}

/// One client's flow.
struct Flow {
    socket: UdpSocket,
    target: Rc<TargetLocal>,
    watch: Rc<Watch>,
    counted: RefCell<Counted>,
    /// What comes before each datagram; empty without the PROXY protocol.
    header: Vec<u8>,
    group: Arc<TargetGroup>,
}

/// Takes datagrams on a listener's socket until `end`. Flows that it has then
/// end as well: nobody could answer their clients.
pub(crate) async fn serve(thread: Rc<Thread>, door: Door, socket: UdpSocket, end: Rc<Notify>) {
    let Ok(local) = socket.local_addr() else { return };
    let listening = Rc::new(Listening { thread, door, socket, local, flows: RefCell::default() });
    tokio::select! {
        biased;
        () = end.notified() => {}
        () = poll_fn(|context| listening.poll(context)) => {}
    }
    let flows = listening.flows.take();
    flows.values().for_each(|flow| flow.watch.end());
}

impl Listening {
    /// Never ready.
    fn poll(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..DATAGRAMS_PER_TURN {
            let received = self.thread.with_whole_scratch(|scratch| {
                let mut datagram = ReadBuf::new(scratch);
                let polled = self.socket.poll_recv_from(context, &mut datagram);
                polled.map_ok(|client| self.take(client, datagram.filled()))
            });
            // Errors are about datagrams sent earlier, to clients that are gone.
            let _ = ready!(received);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn take(self: &Rc<Self>, client: SocketAddr, bytes: &[u8]) {
        let known = self.flows.borrow().get(&client).cloned();
        if let Some(flow) = known.or_else(|| self.begin(client)) {
            flow.forward(&self.thread, bytes);
        }
    }

    /// A flow for a client that has none; `None` when it cannot have one.
    fn begin(self: &Rc<Self>, client: SocketAddr) -> Option<Rc<Flow>> {
        let node = self.door.node();
        if self.flows.borrow().len() >= FLOWS_MAX || self.thread.is_full() {
            node.state.ledger.add(self.thread.index, Count::RejectedFlows, 1);
            return None;
        }
        let route = self.door.listener.flow()?;
        let group = route.group.as_ref()?;
        let key = FlowKey { protocol: UDP, source: flow_end(client), destination: flow_end(self.local), seed: 0 };
        let target = group.choose(node.state.zone_id, key.number(), *key.source.ip())?;
        let Ok(socket) = self.socket_to(group, &target, client) else {
            target.state.ledger.add(self.thread.index, Count::TargetConnectionErrors, 1);
            return None;
        };
        let (slot, watch) = self.thread.watches.add(self.door.listener.serial, self.thread.deadline_in(IDLE_MS));
        watch.set_doing(Doing::Target(target.state.id));
        let mut counted = Counted::new(self.thread.clone(), node, Kind::Udp);
        counted.has_target(&target);
        let mut header = Vec::new();
        if group.config.proxy_protocol {
            header::write(client, self.local, Carries::Datagrams, &mut header);
        }
        let group = group.config.clone();
        let flow = Rc::new(Flow { socket, target, watch, counted: RefCell::new(counted), header, group });
        self.flows.borrow_mut().insert(client, flow.clone());
        let (listening, answering) = (self.clone(), flow.clone());
        tokio::task::spawn_local(async move {
            poll_fn(|context| answering.poll_answers(&listening, client, context)).await;
            listening.thread.watches.remove(slot);
            listening.flows.borrow_mut().remove(&client);
        });
        Some(flow)
    }

    fn socket_to(&self, group: &FlowGroup, target: &TargetLocal, client: SocketAddr) -> io::Result<UdpSocket> {
        let key = &target.state.key;
        let way = Way { vpc: key.vpc.as_ref(), address: key.address, source: target.state.source() };
        let connector = &self.thread.connector;
        let spoken = match client {
            SocketAddr::V4(client) if group.config.preserve_client_ip && self.door.is_inside => {
                connector.datagram_socket(way, Some(client)).ok()
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => None,
        };
        let socket = match spoken {
            Some(socket) => socket,
            None => connector.datagram_socket(way, None)?,
        };
        rustix::net::connect(&socket, &key.address)?;
        UdpSocket::from_std(std::net::UdpSocket::from(socket))
    }
}

impl Flow {
    /// Passes a client's datagram on. One that does not fit is lost, as on any network.
    fn forward(&self, thread: &Thread, bytes: &[u8]) {
        // The event loop knows nothing yet of a socket that was just made: the system is asked.
        let sent = if self.header.is_empty() {
            send(&self.socket, bytes, SendFlags::DONTWAIT)
        } else {
            send(&self.socket, &[&self.header, bytes].concat(), SendFlags::DONTWAIT)
        };
        if sent.is_ok() {
            self.passed(thread, bytes.len());
        }
    }

    fn passed(&self, thread: &Thread, bytes: usize) {
        let counted = self.counted.borrow();
        counted.bytes(bytes as u64);
        counted.add(Count::ProcessedPackets, 1);
        self.watch.set_deadline(thread.deadline_in(IDLE_MS));
    }

    /// Passes the target's answers on; ready when the flow ends.
    fn poll_answers(&self, listening: &Listening, client: SocketAddr, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.watch.poll(context) {
                Poll::Pending => break,
                Poll::Ready(Interrupt::Timeout) => return Poll::Ready(()),
                Poll::Ready(Interrupt::Closing) => {}
                Poll::Ready(Interrupt::Cut) => {
                    match fate(&listening.thread, &listening.door, &self.target, &self.group) {
                        Fate::GoesOn => self.counted.borrow_mut().release(),
                        // The client's next datagram goes to another target.
                        Fate::Ends => return Poll::Ready(()),
                    }
                }
            }
        }
        for _ in 0..DATAGRAMS_PER_TURN {
            let received = listening.thread.with_whole_scratch(|scratch| {
                let mut datagram = ReadBuf::new(scratch);
                let polled = self.socket.poll_recv(context, &mut datagram);
                polled.map_ok(|()| {
                    let bytes = datagram.filled();
                    if sendto(&listening.socket, bytes, SendFlags::DONTWAIT, &client).is_ok() {
                        self.passed(&listening.thread, bytes.len());
                    }
                })
            });
            // An error says that the target had nobody listening for an earlier datagram.
            let _ = ready!(received);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
