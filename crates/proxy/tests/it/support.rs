//! Real targets and clients over loopback, and a proxy between them.

use elastane_domain::routing::{
    Action, Admission, Certificate, HealthCheck, Listener, LoadBalancer, ProxyFact, Rule, Snapshot, Target,
    TargetGroup, TargetKey, TrustStore,
};
use elastane_domain::time::{Span, Time};
use elastane_proxy::{Clock, Connector, FactSink, HostConnector, Proxy, ProxyConfig};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Far longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const GROUP: &str = "arn:group";

/// Service time that runs 100 times as fast as the wall's, so that a check
/// interval of 5 s is 50 ms.
struct FastClock(Instant);

impl Clock for FastClock {
    fn now(&self) -> Time {
        Time(1_700_000_000_000 + self.0.elapsed().as_millis() as i64 * 100)
    }
}

/// What a target does with a request: its number on the connection's
/// target, its head and the connection; `false` closes.
pub type Handler = dyn Fn(usize, &str, &mut TcpStream) -> bool + Send + Sync;

/// A blocking HTTP server; answers health checks with 200 by itself while `well`.
pub struct Server {
    pub address: SocketAddrV4,
    pub well: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(handler: impl Fn(usize, &str, &mut TcpStream) -> bool + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
        let (well, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let shared = (well.clone(), stop.clone(), open.clone(), Arc::new(AtomicUsize::new(0)));
        let handler: Arc<Handler> = Arc::new(handler);
        let accepting = std::thread::spawn(move || {
            let (well, stop, open, count) = shared;
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let (well, handler, count) = (well.clone(), handler.clone(), count.clone());
                std::thread::spawn(move || {
                    serve(&stream, &well, &*handler, &count);
                    // The list of open connections holds it too.
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Server { address, well, stop, open, accepting: Some(accepting) }
    }

    /// One that answers with its name, and the connection's number in `X-Connection`.
    pub fn named(name: &'static str) -> Server {
        Server::start(move |connection, _, stream| {
            let extra = format!("X-Connection: {connection}\r\n");
            respond(stream, 200, &extra, name.as_bytes());
            true
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().unwrap().join();
        for stream in self.open.lock().unwrap().iter() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(stream: &TcpStream, well: &AtomicBool, handler: &Handler, count: &AtomicUsize) {
    let mut stream = stream.try_clone().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut number = None;
    while let Some(head) = read_head(&mut stream) {
        if head.contains("User-Agent: ELB-HealthChecker/2.0") {
            respond(&mut stream, if well.load(Ordering::SeqCst) { 200 } else { 500 }, "", b"");
            return;
        }
        let number = *number.get_or_insert_with(|| count.fetch_add(1, Ordering::SeqCst));
        if !handler(number, &head, &mut stream) {
            return;
        }
    }
}

/// Reads up to and including the empty line, and nothing more.
pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

pub fn respond(stream: &mut TcpStream, status: u16, extra: &str, body: &[u8]) {
    let mut out = format!("HTTP/1.1 {status} Fine\r\nContent-Length: {}\r\n{extra}\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    let _ = stream.write_all(&out);
}

/// Reads a body that `head` announces.
pub fn read_body(stream: &mut TcpStream, head: &str) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(length) = header(head, "content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).unwrap();
    } else if header(head, "transfer-encoding").is_some() {
        loop {
            let line = read_line(stream);
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let start = body.len();
            body.resize(start + size, 0);
            stream.read_exact(&mut body[start..]).unwrap();
            assert_eq!(read_line(stream), "\r\n");
            if size == 0 {
                break;
            }
        }
    } else if header(head, "connection") == Some("close") {
        stream.read_to_end(&mut body).unwrap();
    }
    body
}

fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// What a client got.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

pub fn connect(address: impl ToSocketAddrs) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub fn try_receive(stream: &mut TcpStream) -> Option<Response> {
    let head = read_head(stream)?;
    let status = head[9..12].parse().unwrap();
    let body = read_body(stream, &head);
    Some(Response { status, head, body })
}

pub fn receive(stream: &mut TcpStream) -> Response {
    try_receive(stream).expect("a response")
}

pub fn send(stream: &mut TcpStream, request: &str) -> Response {
    stream.write_all(request.as_bytes()).unwrap();
    receive(stream)
}

pub fn get(address: impl ToSocketAddrs, path: &str) -> Response {
    send(&mut connect(address), &format!("GET {path} HTTP/1.1\r\nHost: x.test\r\n\r\n"))
}

/// Whether the peer closed: orderly or not.
pub fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0))
        || stream.peek(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

/// A proxy with one load balancer, one group and what they are configured to.
pub struct World {
    pub proxy: Proxy,
    facts: Receiver<ProxyFact>,
    pub seen: Vec<ProxyFact>,
    pub generation: u64,
    pub balancer: LoadBalancer,
    pub group: TargetGroup,
    /// Further groups; nothing waits for their targets' health.
    pub others: Vec<TargetGroup>,
    pub certificates: Vec<Certificate>,
    pub trust_stores: Vec<TrustStore>,
    pub bound: HashMap<String, SocketAddrV4>,
}

impl World {
    pub fn new(threads: usize) -> World {
        World::start(threads, None)
    }

    /// A world that writes its logs below this folder.
    pub fn start(threads: usize, data_dir: Option<PathBuf>) -> World {
        World::connected_by(threads, data_dir, Arc::new(HostConnector))
    }

    /// One whose sockets this connector makes.
    pub fn connected_by(threads: usize, data_dir: Option<PathBuf>, connector: Arc<dyn Connector>) -> World {
        let (sender, facts) = channel();
        let sender = Mutex::new(sender);
        let proxy = Proxy::start(ProxyConfig {
            threads,
            facts: Arc::new(move |fact| drop(sender.lock().unwrap().send(fact))),
            connector,
            clock: Arc::new(FastClock(Instant::now())),
            secret: [7; 32],
            data_dir,
        });
        let mut world = World {
            proxy: proxy.unwrap(),
            facts,
            seen: Vec::new(),
            generation: 0,
            balancer: balancer(),
            group: group(),
            others: Vec::new(),
            certificates: Vec::new(),
            trust_stores: Vec::new(),
            bound: HashMap::new(),
        };
        world.apply();
        world
    }

    /// A world whose targets are healthy.
    pub fn with(threads: usize, servers: &[&Server]) -> World {
        let mut world = World::new(threads);
        for server in servers {
            world.add(server.address);
        }
        world.apply();
        for server in servers {
            world.wait_healthy(server.address);
        }
        world
    }

    pub fn add(&mut self, address: SocketAddrV4) {
        self.group.targets.push(Target {
            instance: None,
            address,
            vpc: None,
            source: None,
            zone: Some("us-east-1a".into()),
            admission: Admission::Registered,
        });
    }

    pub fn set_admission(&mut self, address: SocketAddrV4, admission: Admission) {
        let targets = &mut self.group.targets;
        targets.iter_mut().find(|target| target.address == address).unwrap().admission = admission;
    }

    pub fn drain(&mut self, address: SocketAddrV4, delay: Span) {
        let until = FastClock(Instant::now()).now() + delay;
        // The proxy's clock started earlier, so it is ahead by its age.
        self.set_admission(address, Admission::Draining { until: until + Span(1_000_000) });
    }

    /// Puts the configuration in force and waits until it is.
    pub fn apply(&mut self) {
        self.generation += 1;
        let generation = self.generation;
        self.proxy.apply(&Snapshot {
            generation,
            load_balancers: vec![Arc::new(self.balancer.clone())],
            target_groups: self.others.iter().chain([&self.group]).map(|group| Arc::new(group.clone())).collect(),
            certificates: self.certificates.iter().cloned().map(Arc::new).collect(),
            trust_stores: self.trust_stores.iter().cloned().map(Arc::new).collect(),
        });
        self.wait(|fact| *fact == ProxyFact::Applied { generation });
    }

    /// The next fact that `wanted` accepts; earlier ones are remembered in `seen`.
    pub fn wait(&mut self, wanted: impl Fn(&ProxyFact) -> bool) -> ProxyFact {
        loop {
            let fact = self.facts.recv_timeout(PATIENCE).expect("the fact comes");
            if let ProxyFact::Listening { listener, bound: Some(SocketAddr::V4(bound)), .. } = &fact {
                self.bound.insert(listener.as_str().to_owned(), *bound);
            }
            self.seen.push(fact.clone());
            if wanted(&fact) {
                return fact;
            }
        }
    }

    pub fn wait_healthy(&mut self, address: SocketAddrV4) {
        use elastane_domain::routing::TargetHealth::Healthy;
        let wanted = |fact: &ProxyFact| matches!(fact, ProxyFact::Health { target, health: Healthy } if target.address == address);
        if !self.seen.iter().any(wanted) {
            self.wait(wanted);
        }
    }

    pub fn wait_drained(&mut self, address: SocketAddrV4) {
        let wanted = |fact: &ProxyFact| matches!(fact, ProxyFact::Drained { target } if target.address == address);
        if !self.seen.iter().any(wanted) {
            self.wait(wanted);
        }
    }

    pub fn address(&self) -> SocketAddrV4 {
        self.bound["arn:listener"]
    }

    /// Has the first listener listen at `::1` besides; its address there, or
    /// `None` on a machine without IPv6.
    pub fn listen_over_ipv6(&mut self) -> Option<SocketAddr> {
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            eprintln!("skipped: no IPv6 here");
            return None;
        }
        self.balancer.nodes[0].ipv6 = Some(Ipv6Addr::LOCALHOST);
        self.apply();
        let bound = self.seen.iter().rev().find_map(|fact| match fact {
            ProxyFact::Listening { node, bound, .. } if node.is_ipv6() => *bound,
            _ => None,
        });
        Some(bound.expect("it listens there"))
    }

    pub fn key(&self, address: SocketAddrV4) -> TargetKey {
        TargetKey { group: GROUP.into(), vpc: None, address }
    }
}

/// A group of one target that is not checked, so that it takes requests at once.
pub fn unchecked_group(arn: &str, address: SocketAddrV4) -> TargetGroup {
    let target = Target {
        instance: None,
        address,
        vpc: None,
        source: None,
        zone: Some("us-east-1a".into()),
        admission: Admission::Registered,
    };
    let group = TargetGroup::http(arn.into(), vec![target]);
    TargetGroup { check: HealthCheck { enabled: false, ..HealthCheck::default() }, ..group }
}

/// A rule of this priority without conditions or transforms.
pub fn rule(priority: u32, action: Action) -> Rule {
    Rule {
        arn: format!("arn:rule/{priority}").as_str().into(),
        priority: Some(priority),
        conditions: Vec::new(),
        transforms: Vec::new(),
        authenticate: None,
        action,
    }
}

/// A fixed response of plain text.
pub fn fixed(status: u16, body: &str) -> Action {
    Action::FixedResponse { status, content_type: "text/plain".to_owned(), body: body.to_owned() }
}

fn balancer() -> LoadBalancer {
    LoadBalancer {
        host_names: vec!["web-1.us-east-1.elb.localhost".to_owned()],
        ..LoadBalancer::application("arn:balancer".into(), Ipv4Addr::LOCALHOST, vec![listener("arn:listener")])
    }
}

/// A listener on a port that the system picks.
pub fn listener(arn: &str) -> Listener {
    Listener::http(arn.into(), 0, Action::forward_to(GROUP.into()))
}

/// Checked quickly.
pub fn quick_group() -> TargetGroup {
    group()
}

/// What a proxy of a test is made with.
pub fn config(threads: usize, facts: FactSink, clock: Arc<dyn Clock>) -> ProxyConfig {
    ProxyConfig { threads, facts, connector: Arc::new(HostConnector), clock, secret: [7; 32], data_dir: None }
}

fn group() -> TargetGroup {
    let check = HealthCheck {
        path: "/health".to_owned(),
        interval: Span::from_secs(5),
        timeout_secs: 30,
        healthy_threshold: 2,
        matcher: vec![(200, 299)],
        ..HealthCheck::default()
    };
    TargetGroup { check, ..TargetGroup::http(GROUP.into(), Vec::new()) }
}
