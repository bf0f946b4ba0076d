//! The client's half of a session, for `elastane shell`.

use super::channel::Channel;
use super::message::{Content, Ids, Kind, Message, uuid_text};
use super::payload::{self, ACTION_DONE, ACTION_UNSUPPORTED, ChannelClosed, HandshakeRequest, HandshakeResponse, Open};
use super::payload::{Flag, ProcessedAction, SESSION_TYPE_ACTION, SessionType, Size};
use super::{CHUNK_BYTES, Now, Wrong};
use serde_json::Value;
use std::collections::VecDeque;

/// The version that this client says it has: one that knows the whole
/// protocol, and no multiplexing of ports.
const CLIENT_VERSION: &str = "1.2.707.0";
/// Session types that this client can do something with.
const KNOWN_TYPES: [&str; 3] = ["Standard_Stream", "InteractiveCommands", "NonInteractiveCommands"];

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session begins.
    Begun,
    /// Bytes of the work.
    Output(Vec<u8>),
    /// It is over.
    Closed {
        /// Words to print; empty for none.
        output: String,
        /// The exit code of its process, if it had one.
        exit_code: Option<i32>,
    },
    /// It cannot go on: why, in a sentence.
    Failed(String),
}

/// The client's half.
#[derive(Debug)]
pub struct Conversation {
    channel: Channel,
    ids: Ids,
    begun: bool,
    events: VecDeque<Event>,
}

impl Conversation {
    /// A session that is not connected yet; `seed` makes ids of messages.
    pub fn new(seed: [u8; 16]) -> Conversation {
        let mut ids = Ids::new(seed);
        let channel = Channel::new(Kind::Input, Ids::new(ids.draw()));
        Conversation { channel, ids, begun: false, events: VecDeque::new() }
    }

    /// There is a connection, the first or another. Returns the text that
    /// opens it.
    pub fn open(&mut self, now: Now, token: &str) -> String {
        self.channel.attach(now);
        let open = Open {
            message_schema_version: "1.0".to_string(),
            request_id: uuid_text(&self.ids.draw()),
            token_value: token.to_string(),
            client_id: uuid_text(&self.ids.draw()),
            client_version: CLIENT_VERSION.to_string(),
            wants_exit_code: true,
        };
        serde_json::to_string(&open).expect("it is plain data")
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        self.channel.detach();
    }

    /// A binary frame of the server. One that is wrong is left out: it comes again.
    pub fn receive(&mut self, now: Now, bytes: &[u8]) {
        if let Ok(Some(message)) = self.channel.receive(now, bytes)
            && message.kind == Kind::ChannelClosed
        {
            let told: Result<ChannelClosed, Wrong> = payload::read(&message.payload);
            let (output, exit_code) = told.map(|told| (told.output, told.exit_code)).unwrap_or_default();
            self.events.push_back(Event::Closed { output, exit_code });
        }
        while let Some(message) = self.channel.accept(now) {
            self.hear(now, message);
        }
    }

    fn hear(&mut self, now: Now, message: Message) {
        match message.content {
            Content::HandshakeRequest => self.answer(now, &message.payload),
            Content::HandshakeComplete => self.begin(),
            Content::Output => {
                // Without a handshake the first output begins it.
                self.begin();
                self.events.push_back(Event::Output(message.payload));
            }
            Content::Flag if Flag::of(&message.payload) == Ok(Flag::ConnectToPortError) => {
                self.events.push_back(Event::Failed("Connection to the destination port failed".to_string()));
            }
            Content::None | Content::Size | Content::HandshakeResponse | Content::Flag | Content::Other(_) => {}
        }
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.events.push_back(Event::Begun);
        }
    }

    fn answer(&mut self, now: Now, bytes: &[u8]) {
        let Ok(request) = payload::read::<HandshakeRequest>(bytes) else {
            return self.events.push_back(Event::Failed("The server's handshake cannot be read".to_string()));
        };
        let processed = request.requested_client_actions.into_iter().map(|action| {
            let kind: Option<SessionType> = serde_json::from_value(action.action_parameters).ok();
            let known = action.action_type == SESSION_TYPE_ACTION
                && kind.is_some_and(|kind| KNOWN_TYPES.contains(&kind.session_type.as_str()));
            ProcessedAction {
                action_status: if known { ACTION_DONE } else { ACTION_UNSUPPORTED },
                action_result: Value::Null,
                error: Some(if known { String::new() } else { format!("{} is not supported", action.action_type) }),
                action_type: action.action_type,
            }
        });
        let response = HandshakeResponse {
            client_version: CLIENT_VERSION.to_string(),
            processed_client_actions: processed.collect(),
            errors: Some(Vec::new()),
        };
        self.channel.send(now, Content::HandshakeResponse, payload::write(&response));
    }

    /// Whether more may be typed.
    pub fn takes_input(&self) -> bool {
        self.begun && self.channel.has_room(1)
    }

    /// Bytes for the work: at most [`CHUNK_BYTES`].
    pub fn input(&mut self, now: Now, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.channel.send(now, Content::Output, chunk.to_vec());
        }
    }

    /// The terminal's size.
    pub fn size(&mut self, now: Now, columns: u16, rows: u16) {
        self.channel.send(now, Content::Size, payload::write(&Size { cols: columns, rows }));
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        if self.channel.look(now).is_err() {
            self.channel.detach();
            self.events.push_back(Event::Failed("The server says nothing any more".to_string()));
        }
    }

    /// When to [`Conversation::tick`] next.
    pub fn due(&self) -> Option<u64> {
        self.channel.due()
    }

    /// The next frame for the server.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        self.channel.frame()
    }

    /// What the server said next.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sends a word about connections.
    #[cfg(test)]
    pub fn flag(&mut self, now: Now, flag: Flag) {
        self.channel.send(now, Content::Flag, flag.bytes());
    }
}
