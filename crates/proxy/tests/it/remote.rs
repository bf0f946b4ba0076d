//! The data plane in a process of its own: attach, attach again, hand over.

use crate::support::*;
use elastane_domain::routing::{Admission, LoadBalancer, Node, ProxyFact, Snapshot, Target, TargetGroup, TargetHealth};
use elastane_proxy::remote::{self, ClockSettings, Link, LinkEvents, Parts, RemoteProxy, Role, Service, Share};
use elastane_proxy::{Count, Counters};
use std::io::Write;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
/// Names the directory to the copy of this program that is the data plane.
const FOLDER: &str = "REMOTE_TEST_FOLDER";
const TAKE_OVER: &str = "REMOTE_TEST_TAKE_OVER";
const SHARE: &str = "REMOTE_TEST_SHARE";

/// Not a test: the data plane's process, when a test starts this program as one.
#[test]
#[ignore = "runs as a part of other tests"]
fn data_plane() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let service = Service {
        folder: PathBuf::from(folder),
        version: "test".to_owned(),
        build: "test".to_owned(),
        take_over: std::env::var_os(TAKE_OVER).is_some(),
        share: std::env::var(SHARE).map_or(Share::WHOLE, |share| share.parse().unwrap()),
    };
    remote::serve(&service, |Parts { threads, facts, clock }| config(threads.max(2), facts, clock)).unwrap();
}

/// A folder with processes that serve it; all of it ends with the test.
struct Place {
    folder: PathBuf,
    processes: Vec<Child>,
}

impl Place {
    fn new() -> Place {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("elastane-remote-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Place { folder, processes: Vec::new() }
    }

    fn start(&mut self, take_over: bool) -> &mut Child {
        self.start_share(Share::WHOLE, take_over)
    }

    fn start_share(&mut self, share: Share, take_over: bool) -> &mut Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["remote::data_plane", "--exact", "--ignored", "--quiet"]);
        command.env(FOLDER, &self.folder).env(SHARE, share.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
        if take_over {
            command.env(TAKE_OVER, "1");
        }
        self.processes.push(command.spawn().unwrap());
        self.processes.last_mut().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a daemon would be: it attaches, hears facts and asks for counters.
struct Daemon {
    remote: Arc<RemoteProxy>,
    facts: Receiver<ProxyFact>,
    ended: Receiver<bool>,
    end: Mutex<Sender<bool>>,
    attachments: AtomicU64,
    seen: Vec<ProxyFact>,
    /// Those of `seen` that nothing waited for yet: what comes first depends on the machine.
    unclaimed: Vec<ProxyFact>,
    counted: Counters,
}

impl Daemon {
    /// Of one process.
    fn new() -> Daemon {
        Daemon::of(1)
    }

    /// Service time runs a hundred times as fast as wall time: checks are quick.
    fn of(processes: usize) -> Daemon {
        let clock = ClockSettings { wall_ms: 0, service_ms: 0, scale: 100.0 };
        let ((fact, facts), (end, ended)) = (channel(), channel());
        let fact = Mutex::new(fact);
        let sink = Arc::new(move |told| drop(fact.lock().unwrap().send(told)));
        let remote = Arc::new(RemoteProxy::new(clock, processes, sink));
        let (end, attachments) = (Mutex::new(end), AtomicU64::new(0));
        let (seen, unclaimed) = (Vec::new(), Vec::new());
        Daemon { remote, facts, ended, end, attachments, seen, unclaimed, counted: Counters::default() }
    }

    /// What was heard until now counts no more.
    fn forget(&mut self) {
        self.facts.try_iter().for_each(drop);
        self.seen.clear();
        self.unclaimed.clear();
    }

    /// Attaches as soon as the process listens; to another one than `not`.
    fn attach(&self, folder: &Path, not: u32) -> u32 {
        self.attach_at(folder, 0, not)
    }

    fn attach_at(&self, folder: &Path, index: usize, not: u32) -> u32 {
        let start = Instant::now();
        loop {
            let (remote, end) = (Arc::downgrade(&self.remote), Mutex::new(self.end.lock().unwrap().clone()));
            let number = self.attachments.fetch_add(1, Ordering::SeqCst) + 1;
            let events = LinkEvents {
                fact: Box::new(move |one| {
                    if let Some(remote) = remote.upgrade() {
                        remote.hear(index, number, one);
                    }
                }),
                counters: Box::new(|_| panic!("only a successor is told counters unasked")),
                ended: Box::new(move |superseded| {
                    let _ = end.lock().unwrap().send(superseded);
                }),
            };
            let link = remote::dial(folder, index).and_then(|stream| Link::open(stream, Role::Daemon, events));
            if let Ok(link) = link
                && link.hello.pid != not
            {
                let pid = link.hello.pid;
                self.remote.attach(index, number, Arc::new(link));
                return pid;
            }
            assert!(start.elapsed() < PATIENCE, "no process to attach to");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A fact that `wanted` accepts, and that was not waited for before.
    fn wait(&mut self, wanted: impl Fn(&ProxyFact) -> bool) -> ProxyFact {
        if let Some(position) = self.unclaimed.iter().position(&wanted) {
            return self.unclaimed.remove(position);
        }
        loop {
            let fact = self.facts.recv_timeout(PATIENCE).expect("the fact comes");
            self.seen.push(fact.clone());
            if wanted(&fact) {
                return fact;
            }
            self.unclaimed.push(fact);
        }
    }

    fn wait_bound(&mut self) -> SocketAddrV4 {
        let fact = self.wait(|fact| matches!(fact, ProxyFact::Listening { bound: Some(_), .. }));
        let ProxyFact::Listening { bound: Some(SocketAddr::V4(bound)), .. } = fact else { panic!() };
        bound
    }

    fn wait_healthy(&mut self) {
        self.wait(|fact| matches!(fact, ProxyFact::Health { health: TargetHealth::Healthy, .. }));
    }

    fn wait_applied(&mut self, generation: u64) {
        self.wait(|fact| *fact == ProxyFact::Applied { generation });
    }

    fn collect(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        self.counted = runtime.block_on(self.remote.collect());
    }

    /// Answers of targets since the last call.
    fn answers(&mut self) -> u64 {
        self.collect();
        self.counted.targets.iter().map(|target| target.report.count(Count::Target2xx)).sum()
    }

    /// Requests under way at targets.
    fn in_flight(&mut self) -> u64 {
        self.collect();
        self.counted.targets.iter().map(|target| target.report.in_flight).sum()
    }

    /// Collects until so many answers of targets were told, and then that no more are.
    fn wait_answers(&mut self, wanted: u64) {
        let start = Instant::now();
        let mut told = self.answers();
        while told < wanted {
            assert!(start.elapsed() < PATIENCE, "{told} of {wanted}");
            told += self.answers();
        }
        assert_eq!(told + self.answers(), wanted);
    }
}

fn snapshot(generation: u64, targets: &[(SocketAddrV4, Admission)]) -> Arc<Snapshot> {
    let target = |(address, admission): &(SocketAddrV4, Admission)| Target {
        instance: None,
        address: *address,
        vpc: None,
        source: None,
        zone: Some("us-east-1a".into()),
        admission: *admission,
    };
    let group = TargetGroup { targets: targets.iter().map(target).collect(), ..quick_group() };
    let balancer = LoadBalancer {
        host_names: vec!["web.test".to_owned()],
        ..LoadBalancer::application(
            "arn:balancer".into(),
            std::net::Ipv4Addr::LOCALHOST,
            vec![listener("arn:listener")],
        )
    };
    Arc::new(Snapshot {
        generation,
        load_balancers: vec![Arc::new(balancer)],
        target_groups: vec![Arc::new(group)],
        ..Snapshot::default()
    })
}

/// A daemon that goes leaves everything working; the next one hears at once
/// what is so, under its own numbers, and counters are told exactly once.
#[test]
fn daemons_come_and_go() {
    let server = Server::named("a");
    let mut place = Place::new();
    place.start(false);
    let mut first = Daemon::new();
    let pid = first.attach(&place.folder, 0);
    first.remote.apply(snapshot(41, &[(server.address, Admission::Registered)]));
    let address = first.wait_bound();
    first.wait_applied(41);
    first.wait_healthy();
    let mut client = connect(address);
    assert_eq!(send(&mut client, GET).text(), "a");
    first.wait_answers(1);
    assert_eq!(send(&mut client, GET).text(), "a");
    drop(first);
    assert_eq!(send(&mut client, GET).text(), "a");
    let mut second = Daemon::new();
    assert_eq!(second.attach(&place.folder, 0), pid);
    assert_eq!(second.wait_bound(), address);
    second.wait_healthy();
    second.wait_answers(2);
    let of_another = |fact: &ProxyFact| matches!(fact, ProxyFact::Applied { .. });
    assert!(!second.seen.iter().any(of_another), "{:?}", second.seen);
    second.remote.apply(snapshot(1, &[(server.address, Admission::Registered)]));
    second.wait_applied(1);
    assert_eq!(send(&mut client, GET).text(), "a");
    second.remote.stop();
    place.processes[0].wait().unwrap();
    assert!(!place.folder.join(remote::socket_file(0)).exists());
}

/// A client of the main port reaches its load balancer through another process.
#[test]
fn clients_are_handed_over() {
    let server = Server::named("a");
    let mut place = Place::new();
    place.start(false);
    let mut daemon = Daemon::new();
    daemon.remote.apply(snapshot(1, &[(server.address, Admission::Registered)]));
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(address) = door.local_addr().unwrap() else { panic!() };
    let mut client = connect(address);
    client.write_all(b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").unwrap();
    // It waits until there is a process to serve it.
    daemon.remote.serve_connection(door.accept().unwrap().0, "web.test:80").unwrap();
    daemon.attach(&place.folder, 0);
    assert_eq!(receive(&mut client).text(), "a");
    daemon.wait_healthy();
    assert_eq!(send(&mut client, GET).text(), "a");
}

/// A process that is killed is replaced by one that knows the newest snapshot.
#[test]
fn killed_processes_are_replaced() {
    let server = Server::named("a");
    let mut place = Place::new();
    place.start(false);
    let mut daemon = Daemon::new();
    let pid = daemon.attach(&place.folder, 0);
    daemon.remote.apply(snapshot(1, &[(server.address, Admission::Registered)]));
    daemon.wait_healthy();
    place.processes[0].kill().unwrap();
    place.processes[0].wait().unwrap();
    assert!(!daemon.ended.recv_timeout(PATIENCE).unwrap());
    daemon.remote.detach(0);
    daemon.forget();
    place.start(false);
    daemon.attach(&place.folder, pid);
    let address = daemon.wait_bound();
    daemon.wait_healthy();
    assert_eq!(get(address, "/").text(), "a");
}

/// A new process takes over under load: no request fails, none is counted
/// twice or not at all, and health is not lost.
#[test]
fn hand_over_under_load() {
    let server = Server::named("a");
    let mut place = Place::new();
    place.start(false);
    let mut daemon = Daemon::new();
    let mut pid = daemon.attach(&place.folder, 0);
    daemon.remote.apply(snapshot(7, &[(server.address, Admission::Registered)]));
    let address = daemon.wait_bound();
    daemon.wait_healthy();
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6).map(|client| load(address, client % 2 == 0, stop.clone(), served.clone())).collect();
    let mut counted = 0;
    for round in 0..4 {
        let before = served.load(Ordering::SeqCst);
        place.start(true);
        assert!(daemon.ended.recv_timeout(PATIENCE).unwrap(), "superseded");
        daemon.forget();
        pid = daemon.attach(&place.folder, pid);
        daemon.wait_applied(7);
        let ill =
            |fact: &ProxyFact| matches!(fact, ProxyFact::Health { health, .. } if *health != TargetHealth::Healthy);
        assert!(!daemon.seen.iter().any(ill), "{:?}", daemon.seen);
        counted += daemon.answers();
        while served.load(Ordering::SeqCst) < before + 50 {
            std::thread::yield_now();
        }
        place.processes[round].wait().unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let failed: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert_eq!(failed, Vec::<String>::new(), "of {}", served.load(Ordering::SeqCst));
    // Last words of the processes before it may still be under way.
    daemon.wait_answers(served.load(Ordering::SeqCst) as u64 - counted);
}

/// Requests until told to stop: on one connection, which may be closed by
/// `Connection: close`, or on a new one each. Returns what failed.
fn load(
    address: SocketAddrV4,
    anew: bool,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut failed = Vec::new();
        let mut stream = connect(address);
        while !stop.load(Ordering::SeqCst) {
            if let Err(error) = stream.write_all(GET.as_bytes()) {
                failed.push(error.to_string());
                stream = connect(address);
                continue;
            }
            let Some(response) = try_receive(&mut stream) else {
                failed.push("no response".to_owned());
                stream = connect(address);
                continue;
            };
            if response.status != 200 {
                failed.push(response.head.clone());
            }
            served.fetch_add(1, Ordering::SeqCst);
            if anew || header(&response.head, "connection").is_some_and(|value| value == "close") {
                stream = connect(address);
            }
        }
        failed
    })
}

/// A target drains only when the process that retires has finished with it too.
#[test]
fn draining_waits_for_the_predecessor() {
    let (arrived, arrivals) = channel();
    let (go, gate) = channel::<()>();
    let (arrived, gate) = (Mutex::new(arrived), Mutex::new(gate));
    let slow = Server::start(move |_, _, stream| {
        let _ = arrived.lock().unwrap().send(());
        let _ = gate.lock().unwrap().recv();
        respond(stream, 200, "", b"late");
        true
    });
    let mut place = Place::new();
    place.start(false);
    let mut daemon = Daemon::new();
    let pid = daemon.attach(&place.folder, 0);
    daemon.remote.apply(snapshot(1, &[(slow.address, Admission::Registered)]));
    let address = daemon.wait_bound();
    daemon.wait_healthy();
    let mut waiting = connect(address);
    waiting.write_all(GET.as_bytes()).unwrap();
    arrivals.recv_timeout(PATIENCE).unwrap();
    place.start(true);
    assert!(daemon.ended.recv_timeout(PATIENCE).unwrap());
    daemon.attach(&place.folder, pid);
    let until = elastane_domain::time::Time(i64::MAX / 2);
    daemon.remote.apply(snapshot(2, &[(slow.address, Admission::Draining { until })]));
    daemon.wait_applied(2);
    daemon.forget();
    daemon.remote.apply(snapshot(3, &[(slow.address, Admission::Draining { until })]));
    daemon.wait_applied(3);
    let drained = |fact: &ProxyFact| matches!(fact, ProxyFact::Drained { .. });
    assert!(!daemon.seen.iter().any(drained), "{:?}", daemon.seen);
    let start = Instant::now();
    // A predecessor that does not answer in time is not counted.
    while daemon.in_flight() != 1 {
        assert!(start.elapsed() < PATIENCE, "one request is under way");
    }
    go.send(()).unwrap();
    let response = receive(&mut waiting);
    assert_eq!((response.text().as_str(), header(&response.head, "connection")), ("late", Some("close")));
    daemon.wait(drained);
    place.processes[0].wait().unwrap();
}

/// The same load balancer with a node in each of two zones, at addresses of
/// the same machine that nobody else uses.
fn in_two_zones(server: &Server) -> Arc<Snapshot> {
    let node = |zone: &str, last| Node {
        zone: zone.into(),
        address: std::net::Ipv4Addr::new(127, 0, 0, last),
        ipv6: None,
        interface: None,
    };
    let mut routing = (*snapshot(5, &[(server.address, Admission::Registered)])).clone();
    let mut balancer = (*routing.load_balancers[0]).clone();
    balancer.nodes = vec![node("us-east-1a", 1), node("us-east-1b", 2)];
    routing.load_balancers = vec![Arc::new(balancer)];
    Arc::new(routing)
}

/// Two processes share the addresses of a load balancer: each has its own,
/// what both know is told when both agree, counters add up, and one that is
/// killed takes nothing from the other.
#[test]
fn two_share_the_addresses() {
    let server = Server::named("a");
    let mut place = Place::new();
    let shares: Vec<Share> = Share::all(2).collect();
    for share in &shares {
        place.start_share(*share, false);
    }
    let mut daemon = Daemon::of(2);
    let pids: Vec<u32> = (0..2).map(|index| daemon.attach_at(&place.folder, index, 0)).collect();
    daemon.remote.apply(in_two_zones(&server));
    let bound = [daemon.wait_bound(), daemon.wait_bound()];
    let place_of = |last: u8| *bound.iter().find(|bound| bound.ip().octets()[3] == last).unwrap();
    let (first, second) = (place_of(1), place_of(2));
    daemon.wait_applied(5);
    daemon.wait(|fact| matches!(fact, ProxyFact::ZonesInDns { zones, .. } if zones.len() == 2));
    daemon.wait_healthy();
    // Both check by themselves; what they know is the best of it.
    for address in [first, second] {
        while get(address, "/").status != 200 {
            std::thread::yield_now();
        }
    }
    daemon.answers();
    let mut client = connect(first);
    for _ in 0..3 {
        assert_eq!(send(&mut client, GET).text(), "a");
    }
    assert_eq!(get(second, "/").text(), "a");
    let mut counted = 0;
    while counted < 4 {
        counted += daemon.answers();
    }
    assert_eq!(counted, 4);
    assert_eq!(daemon.counted.load_balancers[0].zones.len(), 2);
    let text = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(daemon.remote.prometheus());
    let text = text.unwrap();
    assert!(text.contains("{proxy=\"1\",") && text.contains("{proxy=\"2\","), "{text}");

    daemon.forget();
    place.processes[1].kill().unwrap();
    place.processes[1].wait().unwrap();
    assert!(!daemon.ended.recv_timeout(PATIENCE).unwrap());
    daemon.remote.detach(1);
    // Its zone leaves DNS, and the clients of the main port go to the other.
    daemon.wait(|fact| matches!(fact, ProxyFact::ZonesInDns { zones, .. } if zones.len() == 1));
    assert_eq!(send(&mut client, GET).text(), "a");
    assert!(std::net::TcpStream::connect(second).is_err());
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(address) = door.local_addr().unwrap() else { panic!() };
    for _ in 0..2 {
        let mut client = connect(address);
        client.write_all(b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").unwrap();
        daemon.remote.serve_connection(door.accept().unwrap().0, "web.test:80").unwrap();
        assert_eq!(receive(&mut client).text(), "a");
    }
    daemon.forget();
    place.start_share(shares[1], false);
    daemon.attach_at(&place.folder, 1, pids[1]);
    let again = daemon.wait_bound();
    assert_eq!(again.ip(), second.ip());
    daemon.wait(|fact| matches!(fact, ProxyFact::ZonesInDns { zones, .. } if zones.len() == 2));
    daemon.remote.stop();
    for process in [0, 2] {
        place.processes[process].wait().unwrap();
    }
    for index in 0..2 {
        assert!(!place.folder.join(remote::socket_file(index)).exists());
    }
}
