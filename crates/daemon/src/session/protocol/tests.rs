//! Both halves over a link that loses, repeats and reorders, by a seed.

use super::message::{Content, Ids, Kind, Message};
use super::payload::{self, Flag, HandshakeRequest, SessionType};
use super::{Now, client, server};
use elastane_engine::Rng;
use serde_json::{Value, json};

fn at(millis: u64) -> Now {
    Now { millis, wall_ms: 1_767_225_600_000 + millis }
}

fn about(kind: &str, properties: Value) -> server::About {
    server::About {
        session: "alice-0a1b2c3d4e5f67890".to_string(),
        target: "i-0123456789abcdef0".to_string(),
        session_type: SessionType { session_type: kind.to_string(), properties },
    }
}

/// A frame under way.
struct Flying {
    arrives: u64,
    to_server: bool,
    bytes: Vec<u8>,
}

/// Two halves, what is between them, and what came out.
struct Link {
    rng: Rng,
    now: u64,
    /// Of a thousand frames, so many are lost; as many come twice.
    lost: u64,
    /// Frames take up to so many milliseconds, each its own.
    slow_ms: u64,
    flying: Vec<Flying>,
    server: server::Conversation,
    client: client::Conversation,
    at_server: Vec<server::Event>,
    at_client: Vec<client::Event>,
}

impl Link {
    fn new(seed: u64, lost: u64, slow_ms: u64) -> Link {
        let mut link = Link {
            rng: Rng::new(seed),
            now: 0,
            lost,
            slow_ms,
            flying: Vec::new(),
            server: server::Conversation::new(about("Standard_Stream", Value::Null), [1; 16]),
            client: client::Conversation::new([2; 16]),
            at_server: Vec::new(),
            at_client: Vec::new(),
        };
        link.open();
        link
    }

    fn open(&mut self) {
        self.client.open(at(self.now), "token");
        self.server.open(at(self.now));
    }

    fn lose(&mut self) {
        self.flying.clear();
        self.client.lost();
        self.server.lost();
    }

    fn collect(&mut self) {
        loop {
            let (to_server, bytes) = match (self.client.frame(), self.server.frame()) {
                (None, None) => return,
                (Some(bytes), None) => (true, bytes),
                (None, Some(bytes)) => (false, bytes),
                (Some(bytes), Some(other)) => {
                    self.throw(false, other);
                    (true, bytes)
                }
            };
            self.throw(to_server, bytes);
        }
    }

    fn throw(&mut self, to_server: bool, bytes: Vec<u8>) {
        let copies = match self.rng.below(1000) {
            draw if draw < self.lost => 0,
            draw if draw < 2 * self.lost => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let arrives = self.now + 1 + self.rng.below(self.slow_ms);
            self.flying.push(Flying { arrives, to_server, bytes: bytes.clone() });
        }
    }

    /// One millisecond.
    fn step(&mut self) {
        self.now += 1;
        let now = at(self.now);
        let (here, still): (Vec<Flying>, Vec<Flying>) =
            std::mem::take(&mut self.flying).into_iter().partition(|one| one.arrives <= self.now);
        self.flying = still;
        for one in here {
            match one.to_server {
                true => self.server.receive(now, &one.bytes, true),
                false => self.client.receive(now, &one.bytes),
            }
            self.listen();
        }
        if self.server.due().is_some_and(|due| due <= self.now) {
            assert!(self.server.tick(now));
        }
        if self.client.due().is_some_and(|due| due <= self.now) {
            self.client.tick(now);
        }
        self.listen();
        self.collect();
    }

    fn listen(&mut self) {
        while let Some(event) = self.server.event() {
            if event == server::Event::Begin {
                self.server.begun(at(self.now));
            }
            self.at_server.push(event);
            self.server.advance(at(self.now), true);
        }
        self.at_client.extend(std::iter::from_fn(|| self.client.event()));
    }

    fn until(&mut self, done: impl Fn(&Link) -> bool) {
        let limit = self.now + 600_000;
        while !done(self) {
            assert!(self.now < limit, "it does not happen: {:?} {:?}", self.at_server.len(), self.at_client.len());
            self.step();
        }
    }

    fn said_to_server(&self) -> Vec<u8> {
        let bytes = |event: &server::Event| match event {
            server::Event::Input(bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        self.at_server.iter().flat_map(bytes).collect()
    }

    fn said_to_client(&self) -> Vec<u8> {
        let bytes = |event: &client::Event| match event {
            client::Event::Output(bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        self.at_client.iter().flat_map(bytes).collect()
    }
}

/// Whatever the link does, every byte arrives once and in order, both ways,
/// and connections that come and go in between change nothing.
#[test]
fn every_byte_arrives_once_and_in_order() {
    for seed in 0..16 {
        let (lost, slow_ms) = [(0, 1), (50, 30), (300, 80), (100, 400)][(seed % 4) as usize];
        let mut link = Link::new(seed, lost, slow_ms);
        link.until(|link| link.at_client.contains(&client::Event::Begun));
        assert_eq!(link.at_server[0], server::Event::Begin);
        let (mut typed, mut printed) = (Vec::<u8>::new(), Vec::<u8>::new());
        for round in 0..30u64 {
            let word = format!("{seed}/{round}|");
            let now = at(link.now);
            if link.client.takes_input() {
                link.client.input(now, word.as_bytes());
                typed.extend(word.as_bytes());
            }
            let many = word.repeat(1 + link.rng.below(600) as usize);
            if link.server.takes_output() {
                link.server.output(now, many.as_bytes());
                printed.extend(many.as_bytes());
            }
            if round % 10 == 7 {
                link.lose();
                link.now += 1_000;
                link.open();
            }
            for _ in 0..link.rng.below(50) {
                link.step();
            }
        }
        let (typed_bytes, printed_bytes) = (typed.len(), printed.len());
        link.until(|link| link.said_to_server().len() >= typed_bytes && link.said_to_client().len() >= printed_bytes);
        assert_eq!(link.said_to_server(), typed, "seed {seed}");
        assert_eq!(link.said_to_client(), printed, "seed {seed}");
        link.until(|link| link.server.is_settled());
        for _ in 0..2_000 {
            link.step();
        }
        assert_eq!(link.said_to_client().len(), printed.len(), "nothing comes twice, seed {seed}");
    }
}

/// The request says what the session is, and which protocol is spoken.
#[test]
fn the_handshake_request() {
    let properties = json!({"portNumber": "80", "localPortNumber": "0", "type": "LocalPortForwarding"});
    let mut server = server::Conversation::new(about("Port", properties.clone()), [1; 16]);
    server.open(at(0));
    let first = Message::decode(&server.frame().expect("a request")).expect("well formed");
    assert_eq!((first.kind, first.sequence, first.flags), (Kind::Output, 0, 1));
    assert_eq!(first.content, Content::HandshakeRequest);
    let request: HandshakeRequest = payload::read(&first.payload).expect("JSON");
    assert_eq!(request.agent_version, "3.1.1512.0");
    let action = &request.requested_client_actions[0];
    assert_eq!(action.action_type, "SessionType");
    assert_eq!(action.action_parameters, json!({"SessionType": "Port", "Properties": properties}));
    assert_eq!(server.frame(), None);
}

/// A client by hand, to say what ours does not.
struct Rough {
    server: server::Conversation,
    ids: Ids,
    next: i64,
}

impl Rough {
    fn new() -> Rough {
        let mut server = server::Conversation::new(about("Standard_Stream", Value::Null), [1; 16]);
        server.open(at(0));
        Rough { server, ids: Ids::new([3; 16]), next: 0 }
    }

    fn say(&mut self, now: Now, content: Content, payload: &[u8]) -> Vec<u8> {
        let message = Message {
            kind: Kind::Input,
            created_ms: now.wall_ms,
            sequence: self.next,
            flags: 0,
            id: self.ids.draw(),
            content,
            payload: payload.to_vec(),
        };
        self.next += 1;
        let bytes = message.encode();
        self.server.receive(now, &bytes, true);
        bytes
    }

    fn shake(&mut self, status: i64) {
        let response = json!({"ClientVersion": "1.2.0.0", "Errors": null, "ProcessedClientActions":
            [{"ActionType": "SessionType", "ActionStatus": status, "ActionResult": null, "Error": ""}]});
        self.say(at(5), Content::HandshakeResponse, response.to_string().as_bytes());
    }

    fn events(&mut self) -> Vec<server::Event> {
        let mut events = Vec::new();
        while let Some(event) = self.server.event() {
            events.push(event);
            self.server.advance(at(9), true);
        }
        events
    }

    fn kinds(&mut self) -> Vec<Kind> {
        let decode = |bytes: Vec<u8>| Message::decode(&bytes).expect("well formed").kind;
        std::iter::from_fn(|| self.server.frame()).map(decode).collect()
    }
}

/// A client that cannot, that answers nonsense, or that does not answer ends
/// the session with a reason.
#[test]
fn handshakes_that_fail() {
    for status in [2, 3] {
        let mut rough = Rough::new();
        rough.shake(status);
        assert!(matches!(rough.events()[..], [server::Event::Failed(_)]), "status {status}");
    }
    let mut rough = Rough::new();
    rough.say(at(5), Content::HandshakeResponse, b"{");
    assert!(matches!(rough.events()[..], [server::Event::Failed(_)]));
    let mut rough = Rough::new();
    assert_eq!(rough.server.due(), Some(200));
    rough.server.tick(at(14_999));
    assert!(rough.events().is_empty());
    rough.server.tick(at(15_000));
    assert!(matches!(rough.events()[..], [server::Event::Failed(_)]));
}

/// What comes before the work is there is not acknowledged, and taken when it
/// is; what the work cannot take waits likewise, while its size does not.
#[test]
fn early_input_waits() {
    let mut rough = Rough::new();
    rough.shake(1);
    assert_eq!(rough.events(), [server::Event::Begin]);
    assert_eq!(rough.kinds(), [Kind::Output, Kind::Acknowledge, Kind::Output]);
    let typed = rough.say(at(6), Content::Output, b"ls\r");
    rough.server.receive(at(7), &typed, true);
    assert_eq!((rough.events().len(), rough.kinds().len()), (0, 0));
    rough.server.begun(at(8));
    assert_eq!(rough.events(), [server::Event::Input(b"ls\r".to_vec())]);
    assert_eq!(rough.kinds(), [Kind::Acknowledge]);
    let bytes = rough.say(at(9), Content::Size, br#"{"cols":132,"rows":43}"#);
    assert_eq!(rough.events(), [server::Event::Size { columns: 132, rows: 43 }]);
    rough.server.receive(at(9), &bytes, false);
    assert_eq!(rough.kinds(), [Kind::Acknowledge, Kind::Acknowledge]);
}

/// Flags are told; those that only servers send, nonsense and malformed
/// frames are nothing, until there are too many of them.
#[test]
fn flags_and_nonsense() {
    let mut rough = Rough::new();
    rough.shake(1);
    rough.server.begun(at(6));
    rough.events();
    rough.say(at(7), Content::Flag, &Flag::DisconnectToPort.bytes());
    rough.say(at(7), Content::Flag, &Flag::TerminateSession.bytes());
    rough.say(at(7), Content::Flag, &Flag::ConnectToPortError.bytes());
    rough.say(at(7), Content::Size, b"{}");
    rough.say(at(7), Content::Other(99), b"?");
    assert_eq!(rough.events(), [server::Event::Disconnect, server::Event::Terminate]);
    for count in 2..1_000 {
        assert!(rough.events().is_empty(), "after {count}");
        rough.server.receive(at(8), b"nonsense", true);
    }
    assert!(matches!(rough.events()[..], [server::Event::Failed(_)]));
}

/// The end is told once, in the form that clients read, with words and code.
#[test]
fn the_end() {
    let mut link = Link::new(1, 0, 1);
    link.until(|link| link.at_client.contains(&client::Event::Begun));
    link.client.flag(at(link.now), Flag::TerminateSession);
    link.until(|link| link.at_server.contains(&server::Event::Terminate));
    link.server.close(at(link.now), "Bye", Some(3));
    link.server.close(at(link.now), "again", None);
    link.until(|link| link.at_client.len() > 1);
    let closed = client::Event::Closed { output: "Bye".to_string(), exit_code: Some(3) };
    assert_eq!(link.at_client[1..], [closed]);

    let mut server = server::Conversation::new(about("Standard_Stream", Value::Null), [1; 16]);
    server.open(at(0));
    server.close(at(0), "", None);
    let last = std::iter::from_fn(|| server.frame()).last().expect("a message");
    let last = Message::decode(&last).expect("well formed");
    let told: Value = payload::read(&last.payload).expect("JSON");
    assert_eq!(last.kind, Kind::ChannelClosed);
    assert_eq!(told["CreatedDate"], "2026-01-01T00:00:00.000Z");
    assert_eq!(
        (&told["SessionId"], &told["DestinationId"]),
        (&json!("alice-0a1b2c3d4e5f67890"), &json!("i-0123456789abcdef0"))
    );
    assert_eq!(
        (&told["MessageType"], &told["Output"], told.get("ExitCode")),
        (&json!("channel_closed"), &json!(""), None)
    );
}
