//! Odd requests, to us and to two proxies that nobody here wrote. What all
//! three take must mean the same to a target; what both others refuse we
//! refuse too; and where we differ from both, the table says why.

use crate::support::{PATIENCE, Server, World, header, respond};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Without a byte for so long there is no answer; after one, so much later no further one.
const SILENCE: Duration = Duration::from_millis(1000);
const SILENCE_AFTER: Duration = Duration::from_millis(150);
/// What does not agree is looked at again, so many times as patiently: it may have come late.
const PATIENCES: [u32; 3] = [1, 4, 16];

/// One case: its name, the bytes, and why we may differ from both others; empty when we may not.
type Case = (&'static str, &'static [u8], &'static str);

const CASES: &[Case] = &[
    ("plain", b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("query", b"GET /a?b=c&d HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("pipelined", b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("body by length", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", ""),
    (
        "body, then a request",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
        "",
    ),
    ("chunked", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", ""),
    (
        "chunked, then a request",
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
        "",
    ),
    (
        "chunk extension",
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n0\r\n\r\n",
        "",
    ),
    (
        "trailer",
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n",
        "",
    ),
    ("no host", b"GET /a HTTP/1.1\r\n\r\n", ""),
    ("two hosts", b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", ""),
    ("space before the colon", b"GET /a HTTP/1.1\r\nHost : x\r\n\r\n", ""),
    ("folded header", b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", ""),
    ("a leading space in the first header", b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n", ""),
    ("bare line feeds", b"GET /a HTTP/1.1\nHost: x\n\n", "lines end in CRLF here; what a target makes of others is its own"),
    ("bare carriage return", b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\rc: d\r\n\r\n", ""),
    ("NUL in a value", b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", ""),
    ("length and chunked", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
    ("two equal lengths", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", ""),
    ("two lengths", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", ""),
    ("a list of lengths", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", ""),
    ("negative length", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc", ""),
    ("length with a sign", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", ""),
    ("length in hexadecimal", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", ""),
    ("length beyond 64 bits", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabc", ""),
    ("empty length", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", ""),
    ("unknown coding", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: foo\r\n\r\n", ""),
    ("chunked twice", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", ""),
    ("two codings headers", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
    ("identity, then chunked", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", ""),
    ("chunked with a vertical tab", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", ""),
    ("chunked in quotes", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", ""),
    ("xchunked", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", ""),
    ("Transfer_Encoding", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n", "SuspiciousTeClPresent (alb.md 7.2)"),
    ("chunk size with a sign", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", ""),
    ("chunk size with 0x", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", ""),
    ("chunk size with a space before", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", ""),
    ("chunk longer than said", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", ""),
    ("chunk beyond 64 bits", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n", ""),
    ("chunk lines with bare line feeds", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", "lines end in CRLF here, also those of chunks"),
    ("absolute form", b"GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("absolute form, another host", b"GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("no slash", b"GET a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("connect", b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", ""),
    ("trace", b"TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("unknown method", b"FROB /a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("lower-case method", b"get /a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("method that is no token", b"GE(T /a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("two spaces", b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n", "exactly one space (RFC 9112 3)"),
    ("tab instead of a space", b"GET\t/a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("space in the path", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("control character in the path", b"GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("fragment", b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("dots", b"GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("version 1.2", b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n", "505: alb.md 9"),
    ("version 2.0", b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n", ""),
    ("version in lower case", b"GET /a http/1.1\r\nHost: x\r\n\r\n", ""),
    ("no version", b"GET /a\r\n\r\n", ""),
    ("1.0 without a host", b"GET /a HTTP/1.0\r\n\r\n", ""),
    ("1.0 with chunks", b"POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
    ("empty header name", b"GET /a HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", ""),
    ("header without a colon", b"GET /a HTTP/1.1\r\nHost: x\r\nAb\r\n\r\n", ""),
    ("bytes above 127 in a value", b"GET /a HTTP/1.1\r\nHost: x\r\nA: \xc3\xa9\r\n\r\n", ""),
    ("bytes above 127 in a name", b"GET /a HTTP/1.1\r\nHost: x\r\n\xc3\xa9: b\r\n\r\n", ""),
    ("empty lines first", b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ("host with a path", b"GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n", ""),
    ("host with a space", b"GET /a HTTP/1.1\r\nHost: x y\r\n\r\n", ""),
    ("body of GET", b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", ""),
    ("connection names content-length", b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\nabc", ""),
    ("expect", b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", ""),
    ("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
    ("nonsense", b"\x16\x03\x01\x00\xa5\x01\x00\x00", ""),
];

/// What a target sees of a request.
type Seen = (String, String, Vec<u8>);

/// What became of a case at one proxy.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Final statuses that the client got.
    statuses: Vec<u16>,
    /// Requests that the target got.
    seen: Vec<Seen>,
}

impl Outcome {
    fn is_refusal(&self) -> bool {
        self.seen.is_empty()
    }
}

/// A target that writes down what it gets.
struct Recorder {
    server: Server,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    fn start() -> Recorder {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let book = seen.clone();
        let server = Server::start(move |_, head, stream| {
            let mut words = head.split(' ').map(str::to_owned);
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let has_body = head.lines().any(|line| {
                let line = line.to_ascii_lowercase();
                line.starts_with("content-length:") || line.starts_with("transfer-encoding:")
            });
            let Some(body) = (if has_body { body(stream, head) } else { Some(Vec::new()) }) else { return false };
            book.lock().unwrap().push((method, target, body));
            respond(stream, 200, "", b"ok");
            true
        });
        Recorder { server, seen }
    }
}

/// A body, by the letter; `None` when its chunks are not well formed.
fn body(stream: &mut TcpStream, head: &str) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = header(head, "content-length") {
        body.resize(length.parse().ok()?, 0);
        stream.read_exact(&mut body).ok()?;
        return Some(body);
    }
    loop {
        let line = line(stream)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            break;
        }
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..]).ok()?;
        if !self::line(stream)?.is_empty() {
            return None;
        }
    }
    while !line(stream)?.is_empty() {}
    Some(body)
}

/// A line without its end.
fn line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).ok()
}

/// A peer's process with its folder; both go with the value.
struct Peer {
    child: Child,
    folder: PathBuf,
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts a peer; `None` when the machine has no such program.
fn peer(program: &str, configuration: impl Fn(&Path, u16) -> String) -> Option<(Peer, SocketAddrV4)> {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map(|at| Path::new(at).join(program));
    let binary = found.into_iter().find(|path| path.is_file())?;
    let folder = std::env::temp_dir().join(format!("elastane-differential-{}-{program}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("conf");
    let deadline = Instant::now() + PATIENCE;
    loop {
        // A port that was free a moment ago; it is another one's if the program ends at once.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::write(&file, configuration(&folder, port)).unwrap();
        let mut command = Command::new(&binary);
        match program {
            "nginx" => command.arg("-p").arg(&folder).arg("-c").arg(&file),
            _ => command.args(["-db", "-f"]).arg(&file),
        };
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        while child.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).is_ok() {
                return Some((Peer { child, folder }, address));
            }
            assert!(Instant::now() < deadline, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(Instant::now() < deadline, "{program} does not run");
    }
}

fn nginx(target: SocketAddrV4) -> Option<(Peer, SocketAddrV4)> {
    peer("nginx", |folder, port| {
        let folder = folder.display();
        format!(
            "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error; events {{}}\n\
             http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n\
             uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; underscores_in_headers on; merge_slashes off;\n\
             upstream t {{ server {target}; keepalive 8; }}\n\
             server {{ listen 127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             proxy_set_header Host $http_host; location / {{ proxy_pass http://t; }} }} }}\n"
        )
    })
}

fn haproxy(target: SocketAddrV4) -> Option<(Peer, SocketAddrV4)> {
    peer("haproxy", |_, port| {
        format!(
            "global\n  nbthread 1\ndefaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n\
             frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n  server s {target}\n"
        )
    })
}

/// Sends a case to a proxy and collects what becomes of it.
fn play(bytes: &[u8], front: SocketAddrV4, recorder: &Recorder, patience: u32) -> Outcome {
    recorder.seen.lock().unwrap().clear();
    let mut stream = TcpStream::connect(front).unwrap();
    stream.set_read_timeout(Some(SILENCE * patience)).unwrap();
    // A proxy may refuse and close before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(length) = stream.read(&mut part) {
        if length == 0 {
            break;
        }
        answer.extend_from_slice(&part[..length]);
        stream.set_read_timeout(Some(SILENCE_AFTER * patience)).unwrap();
    }
    let text = String::from_utf8_lossy(&answer);
    let statuses = text.split("HTTP/1.").skip(1).filter_map(|rest| rest.get(2..5)?.parse().ok());
    let mut statuses: Vec<u16> = statuses.filter(|status| *status != 100).collect();
    // HTTP/0.9 has no statuses: what a client of it gets is taken for the answer.
    if statuses.is_empty() && !answer.is_empty() {
        statuses.push(200);
    }
    let seen = std::mem::take(&mut *recorder.seen.lock().unwrap());
    Outcome { statuses, seen }
}

/// All cases at all three.
#[test]
fn odd_requests_mean_the_same_to_other_proxies() {
    let recorders = [Recorder::start(), Recorder::start(), Recorder::start()];
    let (Some(nginx), Some(haproxy)) = (nginx(recorders[1].server.address), haproxy(recorders[2].server.address))
    else {
        println!("SKIPPED: nginx or haproxy is not installed");
        return;
    };
    let world = World::with(1, &[&recorders[0].server]);
    let fronts = [world.address(), nginx.1, haproxy.1];
    let mut wrong = Vec::new();
    for case in CASES {
        let mut found = Vec::new();
        for patience in PATIENCES {
            let outcomes = std::thread::scope(|scope| {
                let at = |index: usize| {
                    let recorder = &recorders[index];
                    scope.spawn(move || play(case.1, fronts[index], recorder, patience))
                };
                [at(0), at(1), at(2)].map(|played| played.join().unwrap())
            });
            found = judge(case, &outcomes);
            if found.is_empty() {
                break;
            }
        }
        wrong.extend(found);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with the outcomes of a case: ours, and those of the two others.
fn judge((name, _, reason): &Case, [ours, first, second]: &[Outcome; 3]) -> Vec<String> {
    let mut wrong = Vec::new();
    let answered = ours.statuses.iter().filter(|status| **status == 200).count();
    if answered != ours.seen.len() {
        wrong.push(format!("{name}: {answered} answers for {} requests at the target: {ours:?}", ours.seen.len()));
    }
    let agrees = |peer: &Outcome| if ours.is_refusal() { peer.is_refusal() } else { ours.seen == peer.seen };
    let differs = !agrees(first) && !agrees(second);
    if differs && reason.is_empty() {
        wrong.push(format!("{name}: ours {ours:?}\n    nginx {first:?}\n    haproxy {second:?}"));
    }
    if !differs && !reason.is_empty() {
        wrong.push(format!("{name}: we do not differ from both, so no reason is needed: {reason}"));
    }
    if first.is_refusal() && second.is_refusal() && !ours.is_refusal() && reason.is_empty() {
        wrong.push(format!("{name}: both others refuse: {ours:?}"));
    }
    wrong
}
