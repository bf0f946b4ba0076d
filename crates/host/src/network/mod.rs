//! VPC networks: what a [`NetworkPlan`] asks for, made true in the kernel.
//!
//! Each VPC is a network namespace (`router`) in which the plan's addresses,
//! routes and rules are put (`apply`, `ruleset`, `nft`), with a cable to each
//! card of each instance (`cards`). What leads beyond a VPC goes through one
//! more namespace, the edge (`edge`), to other VPCs' public addresses, to
//! this machine and, if the operator allows it, further (`internet`). `dns`
//! answers names, `flows` writes flow logs.
//!
//! Plans are level-triggered: applying one makes the kernel equal to it
//! whatever was there before, also what an earlier daemon has left. One worker
//! at a time applies the newest plan of a VPC; launches wait for it.

mod apply;
mod cards;
pub mod dns;
mod edge;
mod flows;
mod internet;
pub mod ipv6;
pub mod netlink;
mod nft;
pub mod router;
mod ruleset;

pub use edge::{HOST_ADDRESS, RECORD as EDGE_RECORD};
pub use ruleset::SPOKEN_AS_CLIENT;

use crate::error::{Context, HostError};
use crate::host::Inner;
use crate::imds::server;
use crate::layout::Layout;
use crate::make::Make;
use crate::sys;
use cards::Cards;
pub use cards::Station;
use edge::Edge;
use elastane_domain::id::{InstanceId, VpcId};
use elastane_domain::machine::HostFact;
use elastane_domain::vpc::NetworkPlan;
use flows::Recorder;
use router::{METADATA, RESOLVER, Role, Router};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// How long a launch waits for its network. A plan takes tens of milliseconds.
const PLAN_LIMIT: Duration = Duration::from_secs(30);
/// How long workers may take to end when the host closes.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);
/// A holder that dies again and again is replaced at most this often in a row.
const HOLDERS_MAX: u32 = 20;

/// Name of the router's end of the cable to an instance's card: at most 15
/// characters. The primary card is named after its instance, others after
/// their interface.
pub fn cable_name(instance: &str, card: u16, interface: &str) -> String {
    let (letter, id) = if card == 0 { ('v', instance) } else { ('x', interface) };
    let tail: String = id.chars().rev().filter(char::is_ascii_alphanumeric).take(14).collect();
    format!("{letter}{}", tail.chars().rev().collect::<String>())
}

/// The `nft` program of this machine.
pub fn packet_filter_program() -> Option<std::path::PathBuf> {
    nft::find()
}

/// All networks of a host.
pub struct Networks {
    known: Mutex<BTreeMap<VpcId, Arc<Network>>>,
    edge: Edge,
    /// Whether the packet filter can be driven.
    filter: OnceLock<Result<(), String>>,
}

/// One VPC's network.
pub struct Network {
    id: VpcId,
    state: Mutex<State>,
    changed: Condvar,
    /// Held while the namespace is found or made.
    opening: Mutex<()>,
    /// Held while a plan is applied or an instance is connected.
    work: Mutex<Work>,
}

#[derive(Default)]
struct State {
    router: Option<Arc<Router>>,
    /// The services on the router's addresses.
    tasks: Vec<AbortHandle>,
    plan: Option<Arc<NetworkPlan>>,
    /// How often the worker was asked to look, and the last request it has done.
    asked: u64,
    done: u64,
    /// A worker runs.
    busy: bool,
    closed: bool,
}

/// What was done in the kernel by this daemon, so that it is not done again.
#[derive(Default)]
pub(crate) struct Work {
    cards: Cards,
    /// Whether tables of flow logs that an earlier daemon left are gone.
    flows_cleared: bool,
    ruleset: String,
    /// What the cables, addresses and routes in force follow from.
    wiring: Option<apply::Wiring>,
    resolver: Option<(Ipv4Addr, AbortHandle)>,
    recorder: Option<Recorder>,
}

impl Work {
    fn end(self) {
        self.resolver.into_iter().for_each(|(_, task)| task.abort());
        drop(self.recorder);
    }
}

impl Networks {
    /// No networks yet. The make decides whether the edge can reach the host.
    pub fn new(make: Make, layout: &Layout, internet: bool) -> Networks {
        Networks { known: Mutex::default(), edge: Edge::new(make, layout, internet), filter: OnceLock::new() }
    }

    fn get(&self, id: &VpcId) -> Option<Arc<Network>> {
        self.known.lock().expect("no code panics under this lock").get(id).cloned()
    }

    fn get_or_add(&self, id: &VpcId) -> Arc<Network> {
        let mut known = self.known.lock().expect("no code panics under this lock");
        let fresh = || {
            Arc::new(Network {
                id: id.clone(),
                state: Mutex::default(),
                changed: Condvar::new(),
                opening: Mutex::default(),
                work: Mutex::default(),
            })
        };
        known.entry(id.clone()).or_insert_with(fresh).clone()
    }

    fn is_current(&self, network: &Arc<Network>) -> bool {
        let known = self.known.lock().expect("no code panics under this lock");
        known.get(&network.id).is_some_and(|current| Arc::ptr_eq(current, network))
    }

    fn all(&self) -> Vec<Arc<Network>> {
        self.known.lock().expect("no code panics under this lock").values().cloned().collect()
    }

    /// Whether the packet filter can be driven; tried at the first call.
    pub fn filter(&self) -> &Result<(), String> {
        self.filter.get_or_init(nft::probe)
    }

    /// The network's router, if it is open.
    pub fn router(&self, id: &VpcId) -> Option<Arc<Router>> {
        self.get(id)?.state().router.clone()
    }

    /// Removes what a dead daemon of this data directory left in the host's
    /// own namespace, and the edge if no VPC's network is left.
    pub fn recover(&self, layout: &Layout, networks_left: bool) -> Vec<String> {
        self.edge.recover(layout, networks_left)
    }
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics under this lock")
    }

    fn opening(&self) -> MutexGuard<'_, ()> {
        self.opening.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        // A panic while applying leaves notes of what was done: true as far as they go.
        self.work.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn plan(&self) -> Option<Arc<NetworkPlan>> {
        self.state().plan.clone()
    }

    /// Waits until the newest plan known now is in force (or reported as not).
    fn settle(&self) -> Result<(), HostError> {
        let mut state = self.state();
        let wanted = state.asked;
        let deadline = Instant::now() + PLAN_LIMIT;
        while state.done < wanted && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(HostError::Refused(format!("the network of {} is not ready in time", self.id)));
            }
            state = self.changed.wait_timeout(state, left).expect("no code panics under this lock").0;
        }
        Ok(())
    }
}

impl Inner {
    /// Takes a plan for its VPC unless a newer one is known, and has it applied.
    pub fn take_plan(self: &Arc<Self>, plan: Arc<NetworkPlan>) {
        if !self.make.is_sandbox() {
            let (vpc, generation) = (plan.vpc.clone(), plan.generation);
            let problem = "instances of the process driver share this machine's network: security groups, routes and \
                           public addresses mean nothing"
                .to_owned();
            return (self.facts)(HostFact::Network { vpc, generation, problem });
        }
        let network = loop {
            let network = self.networks.get_or_add(&plan.vpc);
            let mut state = network.state();
            if state.closed && self.networks.is_current(&network) {
                return;
            }
            if state.plan.as_ref().is_some_and(|known| known.generation > plan.generation) {
                return;
            }
            state.plan = Some(plan.clone());
            drop(state);
            // One that has been taken out meanwhile is looked after by nobody.
            if self.networks.is_current(&network) {
                break network;
            }
        };
        self.wake(&network);
    }

    /// Forgets a VPC's plan; the network ends with its last machine.
    pub fn drop_plan(self: &Arc<Self>, id: &VpcId) {
        if let Some(network) = self.networks.get(id) {
            network.state().plan = None;
            self.wake(&network);
        }
    }

    /// Has the worker of a network look at its plan again.
    fn wake(self: &Arc<Self>, network: &Arc<Network>) {
        let mut state = network.state();
        state.asked += 1;
        if state.busy || state.closed {
            return;
        }
        state.busy = true;
        drop(state);
        let (inner, worked) = (Arc::downgrade(self), network.clone());
        let started = std::thread::Builder::new()
            .name(format!("plan-{}", network.id))
            .stack_size(1 << 20)
            .spawn(move || work(&inner, &worked));
        if let Err(err) = started {
            network.state().busy = false;
            self.note(format!("the network of {} is not looked after: cannot start a thread: {err}", network.id));
        }
    }

    /// The VPC's network, made or found if need be, with its services.
    pub fn open_network(self: &Arc<Self>, id: &VpcId) -> Result<Arc<Router>, HostError> {
        loop {
            let network = self.networks.get_or_add(id);
            let _one_at_a_time = network.opening();
            if self.networks.is_current(&network) {
                let open = network.state().router.clone();
                return open.map_or_else(|| self.open_current(&network), Ok);
            }
        }
    }

    fn open_current(self: &Arc<Self>, network: &Arc<Network>) -> Result<Arc<Router>, HostError> {
        let id = &network.id;
        let router = Arc::new(Router::open(self.layout.vpc(id.as_str()), id.as_str(), Role::Vpc)?);
        let metadata =
            router.listen(SocketAddrV4::new(METADATA, 80)).context(|| "open the metadata service".to_owned())?;
        let addresses = self.addresses.clone();
        let planned = Arc::downgrade(network);
        let finder: server::Finder = Arc::new(move |address| {
            let network = planned.upgrade()?;
            let by_plan = || owner(network.plan()?.as_ref(), address);
            addresses.find(&network.id, address).or_else(by_plan)
        });
        let service = self.service.clone();
        let serving = self.io.spawn(async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(metadata) {
                server::serve(listener, service, finder).await;
            }
        });
        let resolving = self.resolver(network, &router, RESOLVER)?;
        let mut state = network.state();
        state.tasks = vec![serving.abort_handle(), resolving, self.watch_holder(network, &router)];
        state.router = Some(router.clone());
        Ok(router)
    }

    /// Serves names of a VPC on one address of its router.
    fn resolver(
        self: &Arc<Self>,
        network: &Arc<Network>,
        router: &Router,
        address: Ipv4Addr,
    ) -> Result<AbortHandle, HostError> {
        let socket = router.bind_udp(SocketAddrV4::new(address, 53)).context(|| "open the resolver".to_owned())?;
        let zone = dns::Zone {
            network: Arc::downgrade(network),
            addresses: self.addresses.clone(),
            vpc: network.id.clone(),
            forward: self.networks.edge.internet(),
        };
        let task = self.io.spawn(async move {
            if let Ok(socket) = tokio::net::UdpSocket::from_std(socket) {
                dns::serve(socket, zone).await;
            }
        });
        Ok(task.abort_handle())
    }

    /// Replaces the holder when it dies, so that the namespace outlives this daemon again.
    fn watch_holder(self: &Arc<Self>, network: &Arc<Network>, router: &Arc<Router>) -> AbortHandle {
        let (inner, network, router) = (Arc::downgrade(self), Arc::downgrade(network), Arc::downgrade(router));
        let task = self.io.spawn(async move {
            for _ in 0..HOLDERS_MAX {
                let Some(pidfd) = router.upgrade().and_then(|router| router.holder_descriptor().ok()) else { return };
                let Ok(watched) = sys::readiness(Arc::new(pidfd)) else { return };
                if watched.readable().await.is_err() {
                    return;
                }
                let (Some(inner), Some(network), Some(router)) = (inner.upgrade(), network.upgrade(), router.upgrade())
                else {
                    return;
                };
                let replaced = tokio::task::spawn_blocking(move || inner.replace_holder(&network, &router)).await;
                if !replaced.unwrap_or(false) {
                    return;
                }
            }
        });
        task.abort_handle()
    }

    fn replace_holder(self: &Arc<Self>, network: &Arc<Network>, router: &Arc<Router>) -> bool {
        if network.state().closed {
            return false;
        }
        match router.replace_holder() {
            Ok(()) => {
                self.note(format!("the process that keeps the network of {} died and was replaced", network.id));
                self.wake(network);
                true
            }
            Err(err) => {
                self.note(format!("the network of {} is not kept beyond this daemon: {}", network.id, err.sentence()));
                false
            }
        }
    }

    /// Connects an instance whose first process waits: all its cards, after
    /// the newest plan is in force, so that its first packet is filtered.
    pub fn connect(self: &Arc<Self>, station: &Station) -> Result<(), HostError> {
        let router = self.open_network(&station.vpc)?;
        let network = self.networks.get_or_add(&station.vpc);
        network.settle()?;
        let plan = network.plan();
        let mut guard = network.work();
        let work: &mut Work = &mut guard;
        let connected = router.inside(|netlink| work.cards.connect(netlink, station, plan.as_deref()));
        connected.context(|| "enter the VPC's network".to_owned())?.map_err(HostError::Refused)
    }

    /// After a boot: an instance whose cards the plan has changed meanwhile
    /// is looked at again.
    pub fn check_cards(self: &Arc<Self>, station: &Station) {
        let Some(network) = self.networks.get(&station.vpc) else { return };
        let plan = network.plan();
        if plan.is_some() && !network.work().cards.is_fitted(station, plan.as_deref()) {
            self.wake(&network);
        }
    }

    /// Takes over an instance that an earlier daemon has left. One whose
    /// network is gone with its holder is connected to a new one, in which
    /// nothing passes until a plan says so.
    pub fn reconnect(self: &Arc<Self>, station: &Station) -> Result<(), HostError> {
        let router = self.open_network(&station.vpc)?;
        let network = self.networks.get_or_add(&station.vpc);
        let cable = cable_name(station.instance.as_str(), 0, "");
        let mut guard = network.work();
        let work: &mut Work = &mut guard;
        let connected = router.inside(|netlink| {
            if sys::interface_index(&cable).is_ok() {
                return Ok(());
            }
            if self.networks.filter().is_ok() && work.ruleset.is_empty() {
                nft::apply(&ruleset::table(&NetworkPlan::empty(station.vpc.clone())))?;
            }
            work.cards.connect(netlink, station, None)
        });
        connected.context(|| "enter the VPC's network".to_owned())?.map_err(HostError::Refused)
    }

    /// What this make's networks can and cannot do, for the log and `elastane doctor`.
    pub fn network_notes(&self) -> Vec<String> {
        if !self.make.is_sandbox() {
            return Vec::new();
        }
        let mut notes = vec![match self.networks.filter() {
            Ok(()) => "security groups, routes and public addresses are enforced by nftables".to_owned(),
            Err(why) => format!(
                "SECURITY GROUPS ARE NOT ENFORCED and nothing leads beyond a VPC: {why}; \
                 `elastane doctor --fix` installs what is missing"
            ),
        }];
        notes.push(match (self.make, self.networks.edge.internet()) {
            (Make::Rootless, _) => {
                "public addresses work between VPCs; they do not lead from this machine, and instances reach neither it \
                 nor the internet"
                    .to_owned()
            }
            (_, true) => "instances with a way to the internet reach it under this machine's address".to_owned(),
            (_, false) => format!(
                "instances with a way to the internet reach this machine as {HOST_ADDRESS} and nothing beyond \
                 (`elastane up --internet` opens the way)"
            ),
        });
        notes
    }

    /// The instances of a VPC that have a network: what cables lead to.
    pub(crate) fn stations(&self, vpc: &VpcId) -> Vec<Station> {
        let machines = self.machines();
        let here = machines.values().filter(|entry| entry.record.spec.vpc == *vpc && entry.pidfd.is_some());
        here.filter_map(|entry| Station::of(&entry.record)).collect()
    }

    /// Ends networks that no machine is in and that `which` names; those with
    /// a plan only if `planned` ones are meant too.
    pub fn end_networks(&self, planned: bool, which: impl Fn(&VpcId) -> bool) {
        for network in self.networks.all().into_iter().filter(|network| which(&network.id)) {
            let _one_at_a_time = network.opening();
            let used = self.machines().values().any(|entry| entry.record.spec.vpc == network.id);
            if !used && (planned || network.plan().is_none()) {
                self.end_network(&network);
            }
        }
    }

    /// Ends a network. The caller keeps it from being opened meanwhile.
    fn end_network(&self, network: &Arc<Network>) {
        let router = {
            let mut state = network.state();
            state.closed = true;
            state.tasks.drain(..).for_each(|task| task.abort());
            network.changed.notify_all();
            state.router.take()
        };
        let mut work = network.work();
        std::mem::take(&mut *work).end();
        self.networks.edge.detach(&network.id);
        if let Some(router) = router {
            router.end();
        }
        drop(work);
        let mut known = self.networks.known.lock().expect("no code panics under this lock");
        if known.get(&network.id).is_some_and(|current| Arc::ptr_eq(current, network)) {
            known.remove(&network.id);
        }
    }

    /// Stops applying plans, ends networks in which nothing runs, and takes
    /// back what was changed in the host's own namespace.
    pub fn close_networks(&self) {
        let deadline = Instant::now() + CLOSE_LIMIT;
        for network in self.networks.all() {
            let runs = self.machines().values().any(|entry| {
                entry.record.spec.vpc == network.id && entry.record.process.is_some_and(|process| process.lives())
            });
            let mut state = network.state();
            state.closed = true;
            network.changed.notify_all();
            while state.busy && Instant::now() < deadline {
                state = network.changed.wait_timeout(state, CLOSE_LIMIT).expect("no code panics under this lock").0;
            }
            state.tasks.drain(..).for_each(|task| task.abort());
            drop(state);
            std::mem::take(&mut *network.work()).end();
            if !runs {
                let _one_at_a_time = network.opening();
                self.end_network(&network);
            }
        }
        self.networks.edge.close();
    }
}

/// The worker of one network: applies the newest plan until there is none newer.
fn work(inner: &Weak<Inner>, network: &Arc<Network>) {
    loop {
        let (asked, plan) = {
            let state = network.state();
            (state.asked, state.plan.clone())
        };
        let Some(inner) = inner.upgrade().filter(|_| !network.state().closed) else { break };
        match plan {
            Some(plan) => {
                let (vpc, generation) = (plan.vpc.clone(), plan.generation);
                let problem = apply::apply(&inner, network, &plan).join("; ");
                if !problem.is_empty() {
                    inner.note(format!("the network of {vpc} is not as planned: {problem}"));
                }
                (inner.facts)(HostFact::Network { vpc, generation, problem });
            }
            None => inner.end_networks(false, |id| *id == network.id),
        }
        let mut state = network.state();
        state.done = asked;
        let more = state.asked > asked && !state.closed;
        state.busy = more;
        network.changed.notify_all();
        if !more {
            return;
        }
    }
    network.state().busy = false;
    network.changed.notify_all();
}

/// Whose metadata a caller asks for: an instance by any address of its cards.
pub fn owner(plan: &NetworkPlan, address: Ipv4Addr) -> Option<InstanceId> {
    let interface = plan.interfaces.iter().find(|interface| interface.addresses.contains(&address))?;
    match &interface.holder {
        elastane_domain::vpc::Holder::Instance(id, _) => Some(id.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of cables fit the kernel's limit and differ between instances and cards.
    #[test]
    fn cable_names() {
        let name = cable_name("i-0123456789abcdef0", 0, "eni-1");
        assert_eq!(name, "v3456789abcdef0");
        assert!(name.len() <= 15);
        assert_ne!(name, cable_name("i-0123456789abcdef1", 0, "eni-1"));
        assert_eq!(cable_name("i-0123456789abcdef0", 1, "eni-0fedcba9876543210"), "xdcba9876543210");
    }
}
