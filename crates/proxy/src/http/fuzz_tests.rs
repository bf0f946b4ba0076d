//! How bytes are split makes no difference: a conversation read at once and
//! in random pieces gives the same heads, bodies and refusals. The inputs are
//! valid conversations with random edits, made from a seed. The short run is
//! a part of every test run; the long one, 10^8 bytes, is asked for by
//! `--ignored`, with another seed by `ELASTANE_FUZZ_SEED`.

use super::body::Body;
use super::headers::{ClientInfo, HeaderRules};
use super::request::{self, Forwarding, Rewrites, header_table};
use super::response::{self, ResponseContext};
use super::{Parsed, Random};
use elastane_domain::routing::{Action, Desync, Listener, LoadBalancer};
use std::net::SocketAddr;

const SHORT_BYTES: u64 = 300_000;
const LONG_BYTES: u64 = 100_000_000;

/// What a reader makes of a conversation.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// A head as it goes on, and the body that it announces.
    Head(Vec<u8>, Body),
    /// The payload of the body, as far as it came, and whether it is whole.
    Payload(Vec<u8>, bool),
    /// Nothing more is read.
    Refused(u16),
}

/// Reads one side of a conversation.
struct Reader<H> {
    head: H,
    input: Vec<u8>,
    body: Body,
    events: Vec<Event>,
    ended: bool,
}

/// Reads one head: its length, the head that goes on and its body, or the refusal.
type Heads = dyn FnMut(&[u8]) -> Result<Option<(usize, Vec<u8>, Body)>, u16>;

impl Reader<Box<Heads>> {
    fn feed(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
        while !self.ended {
            if !self.body.is_done() {
                let Some(Event::Payload(payload, whole)) = self.events.last_mut() else { panic!("a body has a place") };
                match self.body.feed_payload(&self.input, &mut |bytes| payload.extend_from_slice(bytes)) {
                    Ok(used) => self.input.drain(..used),
                    Err(_) => {
                        self.events.push(Event::Refused(400));
                        self.ended = true;
                        return;
                    }
                };
                *whole = self.body.is_done();
                if !*whole {
                    return;
                }
            }
            match (self.head)(&self.input) {
                Ok(None) => return,
                Ok(Some((length, head, body))) => {
                    self.input.drain(..length);
                    self.events.push(Event::Head(head, body));
                    self.events.push(Event::Payload(Vec::new(), body.is_done()));
                    self.body = body;
                }
                Err(status) => {
                    self.events.push(Event::Refused(status));
                    self.ended = true;
                }
            }
        }
    }
}

fn reader(head: Box<Heads>) -> Reader<Box<Heads>> {
    Reader { head, input: Vec::new(), body: Body::Empty, events: Vec::new(), ended: false }
}

/// Reads requests as a listener of this mode does.
fn requests(mode: Desync) -> Reader<Box<Heads>> {
    let listener = Listener::http("arn:l".into(), 80, Action::forward_to("arn:g".into()));
    let mut balancer = LoadBalancer::application("arn:b".into(), [127, 0, 0, 1].into(), Vec::new());
    balancer.options.desync = mode;
    let rules = HeaderRules::compile(&listener, &balancer);
    let client = ClientInfo::new(SocketAddr::from(([10, 0, 0, 9], 1)));
    let mut random = Random::new(9);
    reader(Box::new(move |input| match request::read(input, rules.desync, &mut header_table()) {
        Ok(Parsed::Partial) => Ok(None),
        Ok(Parsed::Complete(view)) => {
            let forwarding = Forwarding { rules: &rules, client: &client, now_seconds: 1 };
            let mut out = Vec::new();
            view.write_http1(&forwarding, &Rewrites::default(), &mut random, &mut out);
            check_head(&out, view.info().body);
            Ok(Some((view.info().length, out, view.info().body)))
        }
        Err(refusal) => Err(refusal.status),
    }))
}

/// A head that goes on is one head, and frames its body in one way.
fn check_head(head: &[u8], body: Body) {
    let ends = head.windows(4).filter(|window| window == b"\r\n\r\n").count();
    assert!(ends == 1 && head.ends_with(b"\r\n\r\n"), "{:?}", String::from_utf8_lossy(head));
    let bare = head.windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n'));
    assert!(!bare, "{:?}", String::from_utf8_lossy(head));
    let count = |name: &[u8]| {
        let lines = head.split(|&byte| byte == b'\n');
        lines.filter(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))).count()
    };
    let framing = (count(b"content-length:"), count(b"transfer-encoding:"));
    match body {
        Body::Chunked(_) => assert_eq!(framing, (0, 1)),
        Body::Length(_) => assert_eq!(framing, (1, 0)),
        Body::Empty | Body::UntilClose => assert!(framing.0 <= 1 && framing.1 == 0),
    }
}

/// Reads responses to one client's requests.
fn responses() -> Reader<Box<Heads>> {
    let context = ResponseContext { is_head: false, upgrade: true, is_version_11: true, keep_alive: true, edits: None };
    reader(Box::new(move |input| {
        let mut out = Vec::new();
        match response::parse(input, &context, &mut out) {
            Ok(Parsed::Partial) => Ok(None),
            Ok(Parsed::Complete(head)) => Ok(Some((head.length, out, head.body))),
            Err(_) => Err(502),
        }
    }))
}

/// Feeds all of `input` in pieces of random lengths, often of single bytes.
fn in_pieces(mut reader: Reader<Box<Heads>>, input: &[u8], random: &mut Random) -> Vec<Event> {
    let most = match random.draw() % 3 {
        0 => 1,
        1 => 7,
        _ => 64,
    };
    let mut rest = input;
    while !rest.is_empty() {
        let length = (1 + random.draw() % most).min(rest.len() as u64) as usize;
        reader.feed(&rest[..length]);
        rest = &rest[length..];
    }
    reader.events
}

fn at_once(mut reader: Reader<Box<Heads>>, input: &[u8]) -> Vec<Event> {
    reader.feed(input);
    reader.events
}

fn pick<'a>(random: &mut Random, texts: &[&'a str]) -> &'a str {
    texts[(random.draw() % texts.len() as u64) as usize]
}

const BODIES: [&str; 6] = [
    "Content-Length: 5\r\n\r\nhello",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n1\r\nx\r\n0\r\nTrailer: v\r\n\r\n",
    "Content-Length: 0\r\n\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "\r\n",
];

fn conversation(random: &mut Random, starts: &[&str], headers: &[&str]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..=random.draw() % 3 {
        text.extend_from_slice(pick(random, starts).as_bytes());
        for _ in 0..random.draw() % 4 {
            text.extend_from_slice(pick(random, headers).as_bytes());
        }
        text.extend_from_slice(pick(random, &BODIES).as_bytes());
    }
    for _ in 0..random.draw() % 3 {
        request::tests_support::mutate(&mut text, random);
    }
    text
}

/// Reads so many bytes of requests and responses both ways; returns how many it were.
fn run(bytes: u64, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let request_starts = [
        "GET /a?b=c HTTP/1.1\r\nHost: a.b:80\r\n",
        "POST http://a.b/%41/../ HTTP/1.1\r\nHost: a\r\n",
        "\r\nPUT / HTTP/1.0\r\nConnection: keep-alive, x\r\n",
        "HEAD /.. HTTP/1.1\r\nhost:a\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:8\r\n",
    ];
    let request_headers = [
        "Accept: */*\r\n",
        "X-Amzn-Trace-Id: Root=1;Self=2;a\r\n",
        "X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n",
        "Transfer_Encoding: x\r\n",
        "Connection: Upgrade, x-hop\r\nUpgrade: websocket\r\n",
        "Cookie: a=b; c\r\n",
        "Expect: 100-continue\r\n",
        "x:\t \r\n",
        "Transfer-Encoding: identity\r\n",
    ];
    let response_starts =
        ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 404 \r\n", "HTTP/1.1 101 Go\r\n", "HTTP/1.1 100 Continue\r\n"];
    let response_headers =
        ["Server: x\r\n", "Connection: close\r\n", "Connection: Upgrade\r\nUpgrade: a\r\n", "Set-Cookie: a=b\r\n"];
    let mut read = 0;
    while read < bytes {
        let mode = [Desync::Monitor, Desync::Defensive, Desync::Strictest][(random.draw() % 3) as usize];
        let input = conversation(&mut random, &request_starts, &request_headers);
        let whole = at_once(requests(mode), &input);
        assert_eq!(whole, in_pieces(requests(mode), &input, &mut random), "{:?}", String::from_utf8_lossy(&input));
        read += input.len() as u64;
        let input = conversation(&mut random, &response_starts, &response_headers);
        let whole = at_once(responses(), &input);
        assert_eq!(whole, in_pieces(responses(), &input, &mut random), "{:?}", String::from_utf8_lossy(&input));
        read += input.len() as u64;
    }
    read
}

/// The short run.
#[test]
fn splits_make_no_difference() {
    assert!(run(SHORT_BYTES, 21) >= SHORT_BYTES);
}

/// The long run: `cargo test --release -p elastane-proxy long_fuzz -- --ignored --nocapture`.
#[test]
#[ignore = "10^8 bytes take minutes"]
fn long_fuzz() {
    let seed = std::env::var("ELASTANE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("{} bytes, seed {seed}: no panic, no disagreement", run(LONG_BYTES, seed));
}
