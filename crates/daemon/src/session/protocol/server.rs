//! The server's half of a session: handshake, then bytes both ways, then the
//! end. What a client sends before the session's work is there is neither
//! acknowledged nor lost: the client sends it again.

use super::channel::Channel;
use super::message::{Content, Ids, Kind, Message};
use super::payload::{self, ChannelClosed, Flag, HandshakeComplete, HandshakeRequest, HandshakeResponse, Size};
use super::payload::{
    ACTION_DONE, ACTION_UNSUPPORTED, AGENT_VERSION, RequestedAction, SESSION_TYPE_ACTION, SessionType,
};
use super::smux::Forwarding;
use super::{CHUNK_BYTES, Now, Wrong};
use elastane_domain::time::Time;
use std::collections::VecDeque;

/// How long a client may take with the handshake (ssm.md 4).
const HANDSHAKE_LIMIT_MS: u64 = 15_000;
/// Messages that no client of the protocol sends, until the session ends.
const WRONG_MAX: u32 = 1_000;
/// Chunks of output that one read of the work may become.
const CHUNKS_A_READ_MAX: usize = 64;

/// What the client wants of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done: begin.
    Begin,
    /// Bytes for the work.
    Input(Vec<u8>),
    /// The terminal's size.
    Size {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// The client's connection is closed.
    Disconnect,
    /// The session is over, the client says.
    Terminate,
    /// The session cannot go on: why, in a sentence.
    Failed(String),
}

/// What the messages say of the session.
#[derive(Clone, Debug)]
pub struct About {
    /// Its id.
    pub session: String,
    /// Its instance.
    pub target: String,
    /// What it is, and with what.
    pub session_type: SessionType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No client was there yet.
    New,
    /// The client is asked what it can do.
    Greeting { since: u64 },
    /// The work begins.
    Beginning,
    /// Bytes go both ways.
    Going,
    /// It is over.
    Closed,
}

/// The server's half.
#[derive(Debug)]
pub struct Conversation {
    about: About,
    channel: Channel,
    state: State,
    events: VecDeque<Event>,
    wrong: u32,
    /// What the client's version means for ports.
    forwarding: Forwarding,
}

impl Conversation {
    /// A session that nobody has come for yet; `seed` makes ids of messages.
    pub fn new(about: About, seed: [u8; 16]) -> Conversation {
        let channel = Channel::new(Kind::Output, Ids::new(seed));
        let (events, forwarding) = (VecDeque::new(), Forwarding::Basic);
        Conversation { about, channel, state: State::New, events, wrong: 0, forwarding }
    }

    /// How the client forwards ports, once the handshake is done.
    pub fn forwarding(&self) -> Forwarding {
        self.forwarding
    }

    /// A client is there, the first or another.
    pub fn open(&mut self, now: Now) {
        self.channel.attach(now);
        if self.state == State::New {
            self.state = State::Greeting { since: now.millis };
            let action_parameters = serde_json::to_value(&self.about.session_type).expect("it is plain data");
            let action = RequestedAction { action_type: SESSION_TYPE_ACTION.to_string(), action_parameters };
            let request =
                HandshakeRequest { agent_version: AGENT_VERSION.to_string(), requested_client_actions: vec![action] };
            self.channel.send(now, Content::HandshakeRequest, payload::write(&request));
        }
    }

    /// The client is gone.
    pub fn lost(&mut self) {
        self.channel.detach();
    }

    /// A binary frame of the client. With `takes_input` false, what is for the
    /// work stays where it is; so does what comes after an event that was not
    /// taken yet: [`Conversation::advance`] then goes on.
    pub fn receive(&mut self, now: Now, bytes: &[u8], takes_input: bool) {
        match self.channel.receive(now, bytes) {
            // Its other messages ask for nothing.
            Ok(_) => {}
            Err(_) => self.is_wrong(),
        }
        self.advance(now, takes_input);
    }

    /// Takes the messages whose turn has come, as far as the work can.
    pub fn advance(&mut self, now: Now, takes_input: bool) {
        while let Some(content) = self.channel.front().map(|message| message.content) {
            let taken = match (self.state, content) {
                (State::Greeting { .. }, content) => content == Content::HandshakeResponse,
                (State::Going, _) => takes_input && self.events.is_empty(),
                (State::New | State::Beginning | State::Closed, _) => false,
            };
            if !taken {
                return;
            }
            let Some(message) = self.channel.accept(now) else { return };
            if self.hear(now, message).is_err() {
                self.is_wrong();
            }
        }
    }

    fn is_wrong(&mut self) {
        self.wrong += 1;
        if self.wrong == WRONG_MAX {
            self.events.push_back(Event::Failed("The client does not speak the protocol".to_string()));
        }
    }

    fn hear(&mut self, now: Now, message: Message) -> Result<(), Wrong> {
        match message.content {
            Content::HandshakeResponse => {
                if let State::Greeting { since } = self.state {
                    self.shaken(now, since, &message.payload);
                }
            }
            Content::Output => {
                // A client that has input has begun, and takes what comes.
                self.channel.peer_takes();
                self.events.push_back(Event::Input(message.payload));
            }
            Content::Size => {
                self.channel.peer_takes();
                let size: Size = payload::read(&message.payload)?;
                self.events.push_back(Event::Size { columns: size.cols, rows: size.rows });
            }
            Content::Flag => match Flag::of(&message.payload)? {
                Flag::DisconnectToPort => self.events.push_back(Event::Disconnect),
                Flag::TerminateSession => self.events.push_back(Event::Terminate),
                Flag::ConnectToPortError => return Err(Wrong::Payload),
            },
            Content::None | Content::HandshakeRequest | Content::HandshakeComplete | Content::Other(_) => {}
        }
        Ok(())
    }

    fn shaken(&mut self, now: Now, since: u64, bytes: &[u8]) {
        let event = match answered(bytes) {
            Ok(forwarding) => {
                self.forwarding = forwarding;
                self.state = State::Beginning;
                let nanoseconds = now.millis.saturating_sub(since).saturating_mul(1_000_000);
                let complete =
                    HandshakeComplete { handshake_time_to_complete: nanoseconds, customer_message: String::new() };
                self.channel.send(now, Content::HandshakeComplete, payload::write(&complete));
                Event::Begin
            }
            Err(why) => Event::Failed(why),
        };
        self.events.push_back(event);
    }

    /// The work has begun.
    pub fn begun(&mut self, now: Now) {
        if self.state == State::Beginning {
            self.state = State::Going;
        }
        self.advance(now, true);
    }

    /// Whether the work may say more.
    pub fn takes_output(&self) -> bool {
        self.state == State::Going && self.channel.has_room(CHUNKS_A_READ_MAX)
    }

    /// The work's bytes: at most what one frame of its stream holds.
    pub fn output(&mut self, now: Now, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.channel.send(now, Content::Output, chunk.to_vec());
        }
    }

    /// The work has no connection.
    pub fn unreachable(&mut self, now: Now) {
        self.channel.send(now, Content::Flag, Flag::ConnectToPortError.bytes());
    }

    /// Whether the client has all that was sent.
    pub fn is_settled(&self) -> bool {
        self.channel.is_settled()
    }

    /// Whether everything that was not acknowledged was sent so often that
    /// only its acknowledgements can be missing.
    pub fn is_sent_enough(&self) -> bool {
        self.channel.is_sent_enough()
    }

    /// Tells the client that it is over; with `output`, in these words.
    pub fn close(&mut self, now: Now, output: &str, exit_code: Option<i32>) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        let (session_id, destination_id) = (self.about.session.clone(), self.about.target.clone());
        self.channel.send_once(now, Kind::ChannelClosed, 0, |id| {
            payload::write(&ChannelClosed {
                message_id: id.to_string(),
                created_date: Time(now.wall_ms.cast_signed()).iso_millis(),
                destination_id,
                session_id,
                message_type: Kind::ChannelClosed.name().to_string(),
                schema_version: 1,
                output: output.to_string(),
                exit_code,
            })
        });
    }

    /// The client has said something that is no message.
    pub fn alive(&mut self, now: Now) {
        self.channel.alive(now);
    }

    /// Time has passed. Returns whether the connection still has somebody at
    /// its other end.
    pub fn tick(&mut self, now: Now) -> bool {
        if let State::Greeting { since } = self.state
            && now.millis >= since + HANDSHAKE_LIMIT_MS
        {
            self.state = State::Beginning;
            self.events.push_back(Event::Failed("The client did not answer the handshake".to_string()));
        }
        self.channel.look(now).is_ok()
    }

    /// When to [`Conversation::tick`] next.
    pub fn due(&self) -> Option<u64> {
        let handshake = match self.state {
            State::Greeting { since } => Some(since + HANDSHAKE_LIMIT_MS),
            State::New | State::Beginning | State::Going | State::Closed => None,
        };
        [handshake, self.channel.due()].into_iter().flatten().min()
    }

    /// The next frame for the client.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        self.channel.frame()
    }

    /// What the client wants next.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

/// How the client forwards ports, if it did what it was asked for; else why
/// not, in a sentence.
fn answered(bytes: &[u8]) -> Result<Forwarding, String> {
    let response: HandshakeResponse =
        payload::read(bytes).map_err(|_| "The client's answer to the handshake cannot be read".to_string())?;
    let action = response.processed_client_actions.iter().find(|action| action.action_type == SESSION_TYPE_ACTION);
    match action {
        Some(action) if action.action_status == ACTION_DONE => Ok(Forwarding::of_client(&response.client_version)),
        Some(action) if action.action_status == ACTION_UNSUPPORTED => {
            Err("The client does not know this type of session".to_string())
        }
        Some(_) => Err("The client could not prepare this type of session".to_string()),
        None => Err("The client's answer to the handshake names no type of session".to_string()),
    }
}
