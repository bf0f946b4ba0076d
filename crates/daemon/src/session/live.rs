//! One live session: the protocol between a connection, which may come and
//! go, and the work in the instance, which does not. The task ends with the
//! session: the work's stream is closed, which ends its processes, and the
//! client is told.

use super::hub::Sessions;
use super::protocol::server::{Conversation, Event};
use super::protocol::smux::{self, Forwarding};
use super::socket::{Socket, seed};
use super::streams::{Number, Reply, Said, Streams};
use super::transcript::Transcript;
use super::work;
use elastane_engine::SeenSession;
use elastane_engine::row::{Session, SessionEnd, SessionWork};
use elastane_host::{HostError, SessionFrame, SessionReader, SessionWriter};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{self, Bytes, Message};

/// Frames that wait for the connection's writer.
const OUTGOING_MAX: usize = 64;
/// Frames that wait for the work.
const INPUT_MAX: usize = 64;
/// How long a client may take to take one frame.
const SEND_LIMIT: Duration = Duration::from_secs(30);
/// How long a client that comes back, or is slow, may take with the last
/// output before it is told the end.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// And how long with the end itself.
const LAST_LIMIT: Duration = Duration::from_secs(10);

/// Between signs of life for clients that expect them.
const KEEP_ALIVE: Duration = Duration::from_millis(smux::KEEP_ALIVE_MS);

/// A connection, and whether its client wants to know the exit code.
pub type Arrival = (Box<Socket>, bool);

/// A live session.
pub struct Live {
    sessions: Arc<Sessions>,
    row: Arc<Session>,
    conversation: Conversation,
    /// Connections that replace the one that is there.
    sockets: mpsc::Receiver<Arrival>,
    /// Set when it is to end.
    ended: watch::Receiver<Option<SessionEnd>>,
    incoming: Option<SplitStream<Socket>>,
    outgoing: Option<Outgoing>,
    starting: Option<oneshot::Receiver<Started>>,
    work: Option<Work>,
    transcript: Transcript,
    active: Instant,
    wants_exit_code: bool,
    /// Whether the client has all of the last output, for one that does not
    /// acknowledge all of it.
    probe: Probe,
    /// The exit code of the work, and until when its last output is waited for.
    exited: Option<(i32, Instant)>,
    /// When the client is to have a sign of life, if it expects them.
    alive_at: Option<Instant>,
}

/// A ping after the last output: its answer says that all before it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    None,
    Sent,
    Answered,
}

type Started = Result<(SessionReader, SessionWriter), HostError>;

struct Outgoing {
    sender: mpsc::Sender<Message>,
    writer: JoinHandle<()>,
    /// A frame that found no room.
    pending: Option<Message>,
}

enum Work {
    /// Processes, or one connection after the other.
    One { reader: SessionReader, input: mpsc::Sender<SessionFrame> },
    /// Many connections.
    Many(Box<Streams>),
}

/// What happened next.
enum Happened {
    Socket(Arrival),
    Ended(SessionEnd),
    Message(Option<Result<Message, tungstenite::Error>>),
    Room,
    InputRoom,
    Started(Started),
    Work(io::Result<Option<SessionFrame>>),
    Said(Number, Said),
    Time,
}

impl Live {
    /// A session whose first connection is at hand.
    pub fn new(
        sessions: Arc<Sessions>,
        row: Arc<Session>,
        sockets: mpsc::Receiver<Arrival>,
        ended: watch::Receiver<Option<SessionEnd>>,
    ) -> Live {
        let conversation = Conversation::new(work::about(&row), seed());
        Live {
            sessions,
            row,
            conversation,
            sockets,
            ended,
            incoming: None,
            outgoing: None,
            starting: None,
            work: None,
            transcript: Transcript::none(),
            active: Instant::now(),
            wants_exit_code: false,
            probe: Probe::None,
            exited: None,
            alive_at: None,
        }
    }

    fn connect(&mut self, (socket, wants_exit_code): Arrival) {
        self.wants_exit_code = wants_exit_code;
        self.probe = Probe::None;
        let (sink, stream) = (*socket).split();
        let (sender, messages) = mpsc::channel(OUTGOING_MAX);
        let writer = tokio::spawn(write(sink, messages));
        self.incoming = Some(stream);
        self.outgoing = Some(Outgoing { sender, writer, pending: None });
        self.conversation.lost();
        self.conversation.open(self.sessions.ticks().now());
        self.active = Instant::now();
        self.sessions.tell(&self.row.id, SeenSession::Connected);
    }

    fn disconnect(&mut self) {
        self.incoming = None;
        self.outgoing = None;
        self.conversation.lost();
        self.sessions.tell(&self.row.id, SeenSession::Disconnected);
    }

    /// One thing that happens; how the session ended, when that was it.
    async fn step(&mut self) -> Option<SessionEnd> {
        self.flush();
        self.ask();
        let happened = self.wait().await;
        let pong = matches!(happened, Happened::Message(Some(Ok(Message::Pong(_)))));
        let now = self.sessions.ticks().now();
        match happened {
            Happened::Socket(arrival) => self.connect(arrival),
            Happened::Ended(end) => return Some(end),
            Happened::Message(Some(Ok(Message::Binary(bytes)))) => {
                let takes_input = self.takes_input();
                self.conversation.receive(now, &bytes, takes_input);
            }
            // The token was heard before; pings are answered by the library.
            Happened::Message(Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_)))) => {
                self.conversation.alive(now);
                if pong && self.probe == Probe::Sent {
                    self.probe = Probe::Answered;
                }
            }
            Happened::Message(_) => self.disconnect(),
            Happened::Room => {}
            Happened::InputRoom => {}
            Happened::Started(Ok((reader, writer))) => {
                self.starting = None;
                let (input, frames) = mpsc::channel(INPUT_MAX);
                tokio::spawn(feed(writer, frames));
                self.work = Some(Work::One { reader, input });
                self.conversation.begun(now);
            }
            Happened::Started(Err(err)) => return Some(SessionEnd::Failed(err.sentence())),
            Happened::Work(Ok(Some(frame))) => self.heard(frame),
            Happened::Work(Ok(None) | Err(_)) => {
                return Some(SessionEnd::Failed("The session's processes ended unexpectedly.".to_string()));
            }
            Happened::Said(number, said) => self.said(number, &said),
            Happened::Time => self.keep_alive(),
        }
        if !self.conversation.tick(now) {
            self.disconnect();
        }
        self.events().or_else(|| self.overdue())
    }

    /// Hands frames to the connection's writer, as far as there is room.
    fn flush(&mut self) {
        let Some(outgoing) = &mut self.outgoing else { return };
        loop {
            let next = outgoing.pending.take();
            let next = next.or_else(|| self.conversation.frame().map(|frame| Message::Binary(Bytes::from(frame))));
            let Some(message) = next else { return };
            match outgoing.sender.try_send(message) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(message)) => {
                    outgoing.pending = Some(message);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return self.disconnect(),
            }
        }
    }

    async fn wait(&mut self) -> Happened {
        let takes_output = self.conversation.takes_output();
        let deadline = tokio::time::Instant::from_std(self.deadline());
        let Live { sockets, ended, incoming, outgoing, starting, work, .. } = self;
        let stuck = outgoing.as_ref().filter(|outgoing| outgoing.pending.is_some()).map(|outgoing| &outgoing.sender);
        let reads = stuck.is_none();
        let (mut reader, mut streams, mut full, mut crowded) = (None, None, None, None);
        match work {
            Some(Work::One { reader: one, input }) => {
                full = Some(&*input).filter(|input| input.capacity() == 0);
                reader = Some(one);
            }
            Some(Work::Many(many)) => {
                crowded = (!many.has_room()).then(|| Box::pin(many.room()));
                streams = Some(many);
            }
            None => {}
        }
        tokio::select! {
            socket = connecting(sockets) => Happened::Socket(socket),
            end = ending(ended) => Happened::Ended(end),
            message = async { incoming.as_mut()?.next().await }, if incoming.is_some() && reads => {
                Happened::Message(message)
            }
            // A writer that is gone is noticed by the next attempt.
            _ = room(stuck), if stuck.is_some() => Happened::Room,
            _ = room(full), if full.is_some() => Happened::InputRoom,
            () = async { if let Some(crowded) = &mut crowded { crowded.await } }, if crowded.is_some() => {
                Happened::InputRoom
            }
            started = begun(starting) => Happened::Started(started),
            frame = heard(reader), if takes_output => Happened::Work(frame),
            (number, said) = said(streams), if takes_output => Happened::Said(number, said),
            () = tokio::time::sleep_until(deadline) => Happened::Time,
        }
    }

    /// When time alone makes a difference.
    fn deadline(&self) -> Instant {
        let due = self.conversation.due().map(|due| self.sessions.ticks().at(due));
        let settled = self.exited.map(|(_, until)| until);
        [due, settled, self.alive_at].into_iter().flatten().fold(self.idle_at(), Instant::min)
    }

    fn idle_at(&self) -> Instant {
        self.active + self.sessions.clock().wall(self.row.idle_limit)
    }

    /// What time, or the end of the work, ends.
    fn overdue(&self) -> Option<SessionEnd> {
        let now = Instant::now();
        match self.exited {
            Some((code, until)) => {
                let settled = self.conversation.is_settled() || self.probe == Probe::Answered;
                (settled || now >= until).then_some(SessionEnd::Exited(code))
            }
            None if now >= self.idle_at() => Some(SessionEnd::Idle),
            None => None,
        }
    }

    /// Asks a client that has been sent the last output often enough whether
    /// it has it.
    fn ask(&mut self) {
        let due = self.exited.is_some() && self.probe == Probe::None && self.conversation.is_sent_enough();
        if let Some(outgoing) = self.outgoing.as_ref().filter(|outgoing| due && outgoing.pending.is_none())
            && outgoing.sender.try_send(Message::Ping(Bytes::new())).is_ok()
        {
            self.probe = Probe::Sent;
        }
    }

    fn takes_input(&self) -> bool {
        match &self.work {
            Some(Work::One { input, .. }) => input.capacity() > 0,
            // What is answered at once, such as that a connection is closed, needs room as well.
            Some(Work::Many(streams)) => streams.has_room() && self.conversation.takes_output(),
            None => false,
        }
    }

    /// Does what the client wants; how the session ended, if that was it.
    fn events(&mut self) -> Option<SessionEnd> {
        let takes_input = self.takes_input();
        self.conversation.advance(self.sessions.ticks().now(), takes_input);
        while let Some(event) = self.conversation.event() {
            let frame = match event {
                Event::Begin => {
                    self.begin();
                    None
                }
                Event::Input(bytes) => Some(SessionFrame::Data(bytes)),
                Event::Size { columns, rows } => Some(SessionFrame::Size { columns, rows }),
                Event::Disconnect => Some(SessionFrame::Disconnect),
                Event::Terminate => return Some(SessionEnd::Terminated),
                Event::Failed(why) => return Some(SessionEnd::Failed(why)),
            };
            match (frame, &mut self.work) {
                (Some(frame), Some(Work::One { input, .. })) => {
                    self.active = Instant::now();
                    // There was room for it when it was taken; work that is gone needs it no more.
                    let _ = input.try_send(frame);
                }
                (Some(SessionFrame::Data(bytes)), Some(Work::Many(streams))) => match streams.hear(&bytes) {
                    Ok(reply) => self.reply(&reply),
                    Err(_) => {
                        return Some(SessionEnd::Failed("The client does not multiplex as expected.".to_string()));
                    }
                },
                // Connections of their own are closed by their own messages.
                (_, _) => {}
            }
            let takes_input = self.takes_input();
            self.conversation.advance(self.sessions.ticks().now(), takes_input);
        }
        None
    }

    /// Begins the work in the instance, and the record of it.
    fn begin(&mut self) {
        match Transcript::begin(self.sessions.data(), &self.row) {
            Ok(transcript) => self.transcript = transcript,
            Err(err) => eprintln!("elastane: session {} has no transcript: {err}", self.row.id),
        }
        if let (SessionWork::Port { listens: true, .. }, Forwarding::Multiplexed { keeps_alive }) =
            (&self.row.work, self.conversation.forwarding())
        {
            self.work = Some(Work::Many(Box::new(Streams::new(self.sessions.clone(), self.row.clone()))));
            self.alive_at = keeps_alive.then(|| Instant::now() + KEEP_ALIVE);
            return self.conversation.begun(self.sessions.ticks().now());
        }
        let (sender, started) = oneshot::channel();
        let (sessions, row) = (self.sessions.clone(), self.row.clone());
        tokio::spawn(async move {
            let opened = sessions.host().open_session(&row.target, &work::task(&row.work)).await;
            // A session that has ended meanwhile drops it, which ends it.
            let _ = sender.send(opened);
        });
        self.starting = Some(started);
    }

    /// What the work says.
    fn heard(&mut self, frame: SessionFrame) {
        let now = self.sessions.ticks().now();
        match frame {
            SessionFrame::Data(bytes) => {
                self.conversation.output(now, &bytes);
                if let SessionWork::Port { .. } | SessionWork::NonInteractive { .. } = self.row.work {
                    // Nobody sits at it: it is in use while it says something.
                    self.active = Instant::now();
                }
                self.transcript.add(&bytes);
            }
            SessionFrame::Exited(code) => {
                self.work = None;
                self.exited = Some((code, Instant::now() + SETTLE_LIMIT));
            }
            SessionFrame::Unreachable(_) => self.conversation.unreachable(now),
            // Of those only the daemon speaks.
            SessionFrame::Size { .. } | SessionFrame::Disconnect => {}
        }
    }

    /// What one of many connections says.
    fn said(&mut self, number: Number, said: &Said) {
        if let Said::Data(bytes) = said {
            self.transcript.add(bytes);
        }
        if let Some(Work::Many(streams)) = &mut self.work {
            let reply = streams.tell(number, said);
            self.reply(&reply);
        }
    }

    /// Tells the client what follows for it.
    fn reply(&mut self, reply: &Reply) {
        let now = self.sessions.ticks().now();
        if reply.active {
            self.active = Instant::now();
        }
        self.conversation.output(now, &reply.bytes);
        if reply.unreachable {
            self.conversation.unreachable(now);
        }
    }

    /// A sign of life, when it is due: more of them do not wait for a client that takes nothing.
    fn keep_alive(&mut self) {
        let now = Instant::now();
        if self.alive_at.is_some_and(|at| at <= now) {
            self.alive_at = Some(now + KEEP_ALIVE);
            if self.conversation.takes_output() {
                self.conversation.output(self.sessions.ticks().now(), &smux::alive());
            }
        }
    }

    /// Ends the work, tells the client, and lets go.
    async fn finish(mut self, end: SessionEnd) {
        self.starting = None;
        self.work = None;
        let code = match &end {
            SessionEnd::Exited(code) => Some(*code).filter(|_| self.wants_exit_code),
            SessionEnd::Terminated
            | SessionEnd::Idle
            | SessionEnd::Overdue
            | SessionEnd::InstanceGone
            | SessionEnd::DaemonEnded
            | SessionEnd::Failed(_) => None,
        };
        self.conversation.close(self.sessions.ticks().now(), &work::last_words(&end), code);
        let id = self.row.id.clone();
        let transcript = std::mem::replace(&mut self.transcript, Transcript::none());
        transcript.end(&end, &self.sessions.clock().now().iso_millis());
        self.sessions.tell(&id, SeenSession::Ended(end));
        // A client that does not take it in time is left without.
        let _ = tokio::time::timeout(LAST_LIMIT, self.say_goodbye()).await;
        self.sessions.forget(&id);
    }

    async fn say_goodbye(&mut self) {
        let Some(outgoing) = self.outgoing.take() else { return };
        let Outgoing { sender, writer, pending } = outgoing;
        let frames = std::iter::from_fn(|| self.conversation.frame()).map(|frame| Message::Binary(Bytes::from(frame)));
        for message in pending.into_iter().chain(frames).chain([Message::Close(None)]) {
            if sender.send(message).await.is_err() {
                return;
            }
        }
        drop(sender);
        // A writer that panicked has said so.
        let _ = writer.await;
        // Bytes that nobody has read would make the kernel take back what was sent.
        if let Some(mut incoming) = self.incoming.take() {
            while let Some(Ok(_)) = incoming.next().await {}
        }
    }
}

/// Runs a session to its end.
pub async fn run(mut live: Live, first: Arrival) {
    live.connect(first);
    let end = loop {
        if let Some(end) = live.step().await {
            break end;
        }
    };
    live.finish(end).await;
}

async fn connecting(sockets: &mut mpsc::Receiver<Arrival>) -> Arrival {
    match sockets.recv().await {
        Some(socket) => socket,
        None => pending().await,
    }
}

async fn ending(ended: &mut watch::Receiver<Option<SessionEnd>>) -> SessionEnd {
    let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
    end.unwrap_or(SessionEnd::Terminated)
}

async fn room<T>(sender: Option<&mpsc::Sender<T>>) {
    match sender {
        Some(sender) => drop(sender.reserve().await),
        None => pending().await,
    }
}

async fn begun(starting: &mut Option<oneshot::Receiver<Started>>) -> Started {
    match starting {
        Some(started) => {
            started.await.unwrap_or_else(|_| Err(HostError::Refused("the session was not begun".to_string())))
        }
        None => pending().await,
    }
}

async fn heard(reader: Option<&mut SessionReader>) -> io::Result<Option<SessionFrame>> {
    match reader {
        Some(reader) => reader.receive().await,
        None => pending().await,
    }
}

async fn said(streams: Option<&mut Box<Streams>>) -> (Number, Said) {
    match streams {
        Some(streams) => streams.next().await,
        None => pending().await,
    }
}

/// Writes frames to a connection until it or the session ends.
async fn write(mut sink: SplitSink<Socket, Message>, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        match tokio::time::timeout(SEND_LIMIT, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Writes frames to the work until it or the session ends.
async fn feed(mut writer: SessionWriter, mut frames: mpsc::Receiver<SessionFrame>) {
    while let Some(frame) = frames.recv().await {
        if writer.send(&frame).await.is_err() {
            return;
        }
    }
}
