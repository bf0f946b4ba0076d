//! Flow logs: what passed and what was refused, counted by the packet filter
//! in a table of its own and written down per interval as lines of AWS's
//! default format (Amazon VPC User Guide, "Flow log records", version 2).
//!
//! Two tables take turns: at the end of a round the next one starts to count
//! in the same transaction in which the last one's rules go, and its counters
//! are read at leisure. Records carry the interval's bounds as start and end.

use super::router::Router;
use super::ruleset::{FLOW_SETS, flow_table};
use super::{Network, Work, nft};
use crate::host::Inner;
use crate::layout::{Layout, is_safe_name, make_private};
use elastane_domain::vpc::{FlowLogPlan, Holder, InterfacePlan, NetworkPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A log file that has grown so long is set aside as `<name>.log.1`, replacing the one before.
const LOG_BYTES_MAX: u64 = 10 << 20;
/// Flows that one log remembers in one interval; further ones are counted together as skipped.
const FLOWS_MAX: usize = 100_000;

/// Who talked to whom, as the packet filter saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
    outcome: Outcome,
}

/// What became of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Passed,
    /// By the sender's groups: the receiver saw nothing.
    RefusedOut,
    /// By the receiver's groups: they had left the sender.
    RefusedIn,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    packets: u64,
    bytes: u64,
}

/// One log and what it has gathered in its running interval.
struct Log {
    plan: FlowLogPlan,
    interfaces: Vec<InterfacePlan>,
    flows: BTreeMap<Flow, Count>,
    skipped: bool,
    since: u64,
}

enum Order {
    Follow(Box<NetworkPlan>, String, mpsc::Sender<Vec<String>>),
}

/// The thread that keeps a VPC's flow logs. Dropping it ends it after it has
/// written down what it has.
pub struct Recorder {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Has the flow logs of a plan kept from now on; returns what failed.
pub fn follow(
    inner: &Arc<Inner>,
    network: &Arc<Network>,
    router: &Arc<Router>,
    work: &mut Work,
    plan: &NetworkPlan,
) -> Vec<String> {
    if plan.flow_logs.is_empty() {
        work.recorder = None;
        // Those of an earlier daemon count for nobody.
        if !std::mem::replace(&mut work.flows_cleared, true) {
            return router.inside(|_| clear()).err().map(|err| err.to_string()).into_iter().collect();
        }
        return Vec::new();
    }
    work.flows_cleared = true;
    if work.recorder.is_none() {
        match start(inner.layout.clone(), router.clone(), network) {
            Ok(recorder) => work.recorder = Some(recorder),
            Err(err) => return vec![format!("flow logs are not kept: {err}")],
        }
    }
    let machines = inner.machines();
    let machine = machines.values().find(|entry| entry.record.spec.vpc == plan.vpc);
    let account = machine.map(|entry| entry.record.spec.account.to_string());
    drop(machines);
    let (answer, answered) = mpsc::channel();
    let order = Order::Follow(Box::new(plan.clone()), account.unwrap_or_else(|| "unknown".to_owned()), answer);
    let sent = work.recorder.as_ref().and_then(|recorder| recorder.orders.as_ref()).map(|orders| orders.send(order));
    match (sent, answered.recv()) {
        (Some(Ok(())), Ok(problems)) => problems,
        _ => {
            work.recorder = None;
            vec!["flow logs are not kept: their thread has ended".to_owned()]
        }
    }
}

fn start(layout: Layout, router: Arc<Router>, network: &Network) -> io::Result<Recorder> {
    let (orders, received) = mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("flow-{}", network.id)).spawn(move || {
        let mut keeper = Keeper { layout, router, table: 0, logs: Vec::new(), account: String::new() };
        keeper.run(&received);
    })?;
    Ok(Recorder { orders: Some(orders), thread: Some(thread) })
}

fn table_name(number: usize) -> String {
    format!("elastane_flows_{number}")
}

/// Removes both tables. Runs in the router's network.
fn clear() {
    for number in 0..2 {
        let name = table_name(number);
        // Without the packet filter there is none.
        let _ = nft::apply(&format!("table ip {name}\ndelete table ip {name}\n"));
    }
}

struct Keeper {
    layout: Layout,
    router: Arc<Router>,
    /// Which of the two tables counts now.
    table: usize,
    logs: Vec<Log>,
    account: String,
}

impl Keeper {
    fn run(&mut self, orders: &mpsc::Receiver<Order>) {
        let _ = self.router.inside(|_| clear());
        loop {
            match orders.recv_timeout(self.until_next()) {
                Ok(Order::Follow(plan, account, answer)) => {
                    self.account = account;
                    let problems = self.follow(&plan);
                    // Who asked may be gone.
                    let _ = answer.send(problems);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = self.gather(&self.logged());
                    self.write_due(false);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let _ = self.gather(&BTreeSet::new());
                    self.write_due(true);
                    let _ = self.router.inside(|_| clear());
                    return;
                }
            }
        }
    }

    /// Until the first interval ends.
    fn until_next(&self) -> Duration {
        let due = self.logs.iter().map(|log| log.since + interval(&log.plan)).min();
        due.map_or(Duration::from_secs(3600), |due| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Duration::from_secs(due).saturating_sub(since)
        })
    }

    fn logged(&self) -> BTreeSet<Ipv4Addr> {
        let interfaces = self.logs.iter().flat_map(|log| &log.interfaces);
        interfaces.flat_map(|interface| interface.addresses.iter().copied()).collect()
    }

    /// Goes on with the logs of a plan: those that are gone are written out.
    fn follow(&mut self, plan: &NetworkPlan) -> Vec<String> {
        let before = self.logged();
        let mut logs: Vec<Log> = Vec::new();
        for wanted in plan.flow_logs.iter().filter(|log| is_safe_name(&log.id)) {
            let on = |interface: &&InterfacePlan| {
                wanted.interfaces.contains(&interface.id) && interface.holder != Holder::Nobody
            };
            let interfaces = plan.interfaces.iter().filter(on).cloned().collect();
            logs.push(Log { plan: wanted.clone(), interfaces, flows: BTreeMap::new(), skipped: false, since: now() });
        }
        let next = logs.iter().flat_map(|log| &log.interfaces);
        let next: BTreeSet<Ipv4Addr> = next.flat_map(|interface| interface.addresses.iter().copied()).collect();
        let mut problems = Vec::new();
        if next != before {
            problems.extend(self.gather(&next).err());
        }
        for old in std::mem::take(&mut self.logs) {
            match logs.iter_mut().find(|log| log.plan.id == old.plan.id) {
                Some(log) => (log.flows, log.skipped, log.since) = (old.flows, old.skipped, old.since),
                None => problems.extend(self.write(&old, now()).err().map(|err| err.to_string())),
            }
        }
        self.logs = logs;
        problems
    }

    /// Lets the other table count these addresses from now on, and adds up
    /// what the last one has counted.
    fn gather(&mut self, next: &BTreeSet<Ipv4Addr>) -> Result<(), String> {
        let (old, new) = (table_name(self.table), table_name(1 - self.table));
        let mut script = flow_table(&new, next);
        let rules = ["forward_flows", "input_flows", "output_flows"];
        // Declared again so that flushing works when this is the first round.
        for chain in rules {
            let _ = write!(script, "table ip {old} {{\nchain {chain} {{\n}}\n}}\nflush chain ip {old} {chain}\n");
        }
        let read = self.router.inside(|_| {
            nft::apply(&script)?;
            let flows = read_table(&old);
            let gone = nft::apply(&format!("delete table ip {old}\n"));
            flows.and_then(|flows| gone.map(|()| flows))
        });
        let flows = read.unwrap_or_else(|err| Err(err.to_string())).map_err(|why| format!("flow logs: {why}"))?;
        self.table = 1 - self.table;
        for log in &mut self.logs {
            for (flow, count) in &flows {
                if !log.concerns(flow) {
                    continue;
                }
                if log.flows.len() >= FLOWS_MAX && !log.flows.contains_key(flow) {
                    log.skipped = true;
                    continue;
                }
                let sum = log.flows.entry(*flow).or_default();
                *sum = Count { packets: sum.packets + count.packets, bytes: sum.bytes + count.bytes };
            }
        }
        Ok(())
    }

    fn write_due(&mut self, all: bool) {
        let now = now();
        for mut log in std::mem::take(&mut self.logs) {
            if all || now >= log.since + interval(&log.plan) {
                // A full disk loses these lines and nothing else.
                let _ = self.write(&log, now);
                log.flows.clear();
                log.skipped = false;
                log.since = now;
            }
            self.logs.push(log);
        }
    }

    fn write(&self, log: &Log, end: u64) -> io::Result<()> {
        let directory = self.layout.at("flow-logs");
        make_private(&directory).map_err(io::Error::other)?;
        let path = directory.join(format!("{}.log", log.plan.id));
        if fs::metadata(&path).is_ok_and(|file| file.len() > LOG_BYTES_MAX) {
            fs::rename(&path, directory.join(format!("{}.log.1", log.plan.id)))?;
        }
        let mut file = File::options().create(true).append(true).mode(0o600).open(&path)?;
        file.write_all(lines(log, &self.account, end).as_bytes())
    }
}

impl Log {
    fn concerns(&self, flow: &Flow) -> bool {
        let has = |address: &Ipv4Addr| self.interfaces.iter().any(|interface| interface.addresses.contains(address));
        has(&flow.source) || has(&flow.destination)
    }
}

fn interval(plan: &FlowLogPlan) -> u64 {
    u64::from(plan.interval_secs.max(1))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The records of one interval. A flow inside the VPC is one record for each
/// of its two interfaces, as each has seen it.
fn lines(log: &Log, account: &str, end: u64) -> String {
    let mut text = String::new();
    for interface in &log.interfaces {
        let (id, start) = (&interface.id, log.since);
        let mut any = false;
        for (flow, count) in &log.flows {
            let sent = interface.addresses.contains(&flow.source);
            let received = interface.addresses.contains(&flow.destination);
            let accepted = match (sent, received, flow.outcome) {
                (true, _, Outcome::Passed | Outcome::RefusedIn) | (false, true, Outcome::Passed) => true,
                (true, _, Outcome::RefusedOut) | (false, true, Outcome::RefusedIn) => false,
                _ => continue,
            };
            any = true;
            if !(if accepted { log.plan.accepted } else { log.plan.rejected }) {
                continue;
            }
            let action = if accepted { "ACCEPT" } else { "REJECT" };
            let _ = writeln!(
                text,
                "2 {account} {id} {} {} {} {} {} {} {} {start} {end} {action} OK",
                flow.source,
                flow.destination,
                flow.source_port,
                flow.destination_port,
                flow.protocol,
                count.packets,
                count.bytes
            );
        }
        let status = match (any, log.skipped) {
            (_, true) => "SKIPDATA",
            (false, false) => "NODATA",
            (true, false) => continue,
        };
        let _ = writeln!(text, "2 {account} {id} - - - - - - - {start} {end} - {status}");
    }
    text
}

/// Runs in the router's network.
fn read_table(table: &str) -> Result<Vec<(Flow, Count)>, String> {
    let mut flows = Vec::new();
    for (name, outcome) in FLOW_SETS.into_iter().zip([Outcome::Passed, Outcome::RefusedOut, Outcome::RefusedIn]) {
        for set in [name.to_owned(), format!("{name}_other")] {
            // The very first round reads a table that was never filled.
            let Ok(listing) = nft::list_set(table, &set) else { continue };
            flows.extend(elements(&listing).filter_map(|element| flow(element, outcome)));
        }
    }
    Ok(flows)
}

fn elements(listing: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    let parts = listing["nftables"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["set"]["elem"].as_array()).flatten()
}

fn flow(element: &serde_json::Value, outcome: Outcome) -> Option<(Flow, Count)> {
    let element = &element["elem"];
    let key = element["val"]["concat"].as_array()?;
    let address = |at: usize| key.get(at)?.as_str()?.parse::<Ipv4Addr>().ok();
    let port = |at: usize| match key.get(at) {
        None => Some(0),
        Some(port) => u16::try_from(port.as_u64()?).ok(),
    };
    let flow = Flow {
        source: address(0)?,
        destination: address(1)?,
        protocol: protocol(key.get(2)?)?,
        source_port: port(3)?,
        destination_port: port(4)?,
        outcome,
    };
    let number = |name: &str| element["counter"][name].as_u64();
    Some((flow, Count { packets: number("packets")?, bytes: number("bytes")? }))
}

/// `nft` names the protocols that it knows.
fn protocol(value: &serde_json::Value) -> Option<u8> {
    if let Some(number) = value.as_u64() {
        return u8::try_from(number).ok();
    }
    let known = [
        ("icmp", 1),
        ("tcp", 6),
        ("udp", 17),
        ("dccp", 33),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("sctp", 132),
        ("udplite", 136),
    ];
    let name = value.as_str()?;
    known.into_iter().find(|(one, _)| *one == name).map(|(_, number)| number).or_else(|| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    fn interface(id: &str, last: u8) -> InterfacePlan {
        InterfacePlan {
            id: id.to_owned(),
            subnet: "subnet-1".into(),
            addresses: vec![ip(last)],
            public: Vec::new(),
            holder: Holder::LoadBalancer,
            groups: Vec::new(),
            source_dest_check: true,
        }
    }

    fn log(accepted: bool, rejected: bool, flows: &[(Flow, Count)]) -> Log {
        let plan = FlowLogPlan { id: "fl-1".to_owned(), interfaces: Vec::new(), accepted, rejected, interval_secs: 60 };
        let interfaces = vec![interface("eni-a", 5), interface("eni-b", 6)];
        Log { plan, interfaces, flows: flows.iter().copied().collect(), skipped: false, since: 100 }
    }

    /// Each interface tells what it has seen: a flow that the receiver
    /// refuses has left its sender.
    #[test]
    fn records() {
        let flow = |outcome| Flow {
            source: ip(5),
            destination: ip(6),
            source_port: 40_000,
            destination_port: 80,
            protocol: 6,
            outcome,
        };
        let count = Count { packets: 3, bytes: 180 };
        let text = |log: &Log| lines(log, "123456789012", 160);
        let a = "2 123456789012 eni-a 10.0.0.5 10.0.0.6 40000 80 6 3 180 100 160";
        let b = "2 123456789012 eni-b 10.0.0.5 10.0.0.6 40000 80 6 3 180 100 160";
        let nothing = |id: &str| format!("2 123456789012 {id} - - - - - - - 100 160 - NODATA\n");
        for (outcome, want) in [
            (Outcome::Passed, format!("{a} ACCEPT OK\n{b} ACCEPT OK\n")),
            (Outcome::RefusedIn, format!("{a} ACCEPT OK\n{b} REJECT OK\n")),
            (Outcome::RefusedOut, format!("{a} REJECT OK\n{}", nothing("eni-b"))),
        ] {
            assert_eq!(text(&log(true, true, &[(flow(outcome), count)])), want, "{outcome:?}");
        }
        let refused = log(true, false, &[(flow(Outcome::RefusedIn), count)]);
        assert_eq!(text(&refused), format!("{a} ACCEPT OK\n"));
        assert_eq!(text(&log(true, true, &[])), nothing("eni-a") + &nothing("eni-b"));
    }

    /// What nft prints, with and without ports, is understood.
    #[test]
    fn listings_are_read() {
        let listing = serde_json::json!({"nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"set": {"name": "passed", "elem": [
                {"elem": {"val": {"concat": ["10.0.0.5", "10.0.0.6", "tcp", 40000, 80]}, "counter": {"packets": 2, "bytes": 104}}},
                {"elem": {"val": {"concat": ["10.0.0.5", "10.0.0.6", "icmp"]}, "counter": {"packets": 1, "bytes": 84}}},
                {"elem": {"val": {"concat": ["not an address", "10.0.0.6", 99]}, "counter": {"packets": 1, "bytes": 84}}},
            ]}},
        ]});
        let found: Vec<_> = elements(&listing).filter_map(|element| flow(element, Outcome::Passed)).collect();
        let shape: Vec<_> = found
            .iter()
            .map(|(flow, count)| (flow.protocol, flow.source_port, flow.destination_port, count.packets, count.bytes))
            .collect();
        assert_eq!(shape, [(6, 40_000, 80, 2, 104), (1, 0, 0, 1, 84)]);
    }
}
