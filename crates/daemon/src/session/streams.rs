//! The connections of a session whose client multiplexes port forwarding. Each
//! is a session of its own with the instance, so that it is made from inside
//! and under its rules; here are their numbers, their queues and their limits.

use super::hub::Sessions;
use super::protocol::Wrong;
use super::protocol::smux::{self, Decoder, Piece};
use elastane_engine::row::{Session, SessionWork};
use elastane_host::{SessionFrame, SessionReader, SessionTask, SessionWriter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

/// Connections of one session: each is a process in the instance.
const STREAMS_MAX: usize = 64;
/// Bytes that wait for all connections of a session together. The client's
/// next ones are not taken while there is no room for a message of them.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// The longest message's bytes, with what each of its pieces takes besides.
const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// What a piece takes besides its bytes.
const PIECE_BYTES: usize = 16;
/// Frames that wait for the client.
const SAID_MAX: usize = 4;
/// How long the other end may take with the last bytes after the client has closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// Bytes for a connection, and their place in the queue.
type Chunk = (Vec<u8>, OwnedSemaphorePermit);

/// What a connection says.
#[derive(Debug)]
pub enum Said {
    /// Bytes.
    Data(Vec<u8>),
    /// It is closed there.
    Ended,
    /// It could not be made.
    Refused,
}

/// What is to be told to the client, and whether anybody was active.
#[derive(Debug, Default)]
pub struct Reply {
    /// Bytes for the client.
    pub bytes: Vec<u8>,
    /// Whether there was more than signs of life.
    pub active: bool,
    /// Whether a connection was not made, which the client is told.
    pub unreachable: bool,
}

/// The connections of one session. Dropping them ends them.
pub struct Streams {
    sessions: Arc<Sessions>,
    row: Arc<Session>,
    decoder: Decoder,
    open: BTreeMap<u32, Open>,
    /// Connections so far.
    count: u64,
    tasks: JoinSet<()>,
    room: Arc<Semaphore>,
    sender: mpsc::Sender<(Number, Said)>,
    said: mpsc::Receiver<(Number, Said)>,
}

/// A connection that neither end has closed.
struct Open {
    place: u64,
    input: mpsc::UnboundedSender<Chunk>,
}

/// Which connection: the client's number, which it may use again, and how many
/// there were before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    id: u32,
    place: u64,
}

impl Streams {
    /// None yet, for this session.
    pub fn new(sessions: Arc<Sessions>, row: Arc<Session>) -> Streams {
        let (sender, said) = mpsc::channel(SAID_MAX);
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        let tasks = JoinSet::new();
        Streams {
            sessions,
            row,
            decoder: Decoder::default(),
            open: BTreeMap::new(),
            count: 0,
            tasks,
            room,
            sender,
            said,
        }
    }

    /// Whether a message's bytes can be taken.
    pub fn has_room(&self) -> bool {
        self.room.available_permits() >= MESSAGE_BYTES_MAX
    }

    /// Waits until they can; may be dropped before.
    pub fn room(&self) -> impl Future<Output = ()> + use<> {
        let room = self.room.clone();
        // It is never closed.
        async move { drop(room.acquire_many(MESSAGE_BYTES_MAX as u32).await) }
    }

    /// What a connection says next; may be dropped before.
    pub async fn next(&mut self) -> (Number, Said) {
        self.said.recv().await.expect("a sender is kept")
    }

    /// What the client says, for which there is room.
    ///
    /// # Errors
    /// When it is not smux, or more than there was said to be room for.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Reply, Wrong> {
        let mut pieces = Vec::new();
        self.decoder.take(bytes, &mut pieces)?;
        let mut reply = Reply::default();
        for piece in pieces {
            reply.active |= piece != Piece::Alive;
            match piece {
                // Clients number their connections one after the other, and say so in any order.
                Piece::Opened(id) if !self.open.contains_key(&id) => {
                    if !self.begin(id) {
                        reply.bytes.extend(smux::closed(id));
                        reply.unreachable = true;
                    }
                }
                Piece::Data(id, bytes) => self.give(id, bytes)?,
                Piece::Closed(id) => {
                    if self.open.remove(&id).is_some() {
                        reply.bytes.extend(smux::closed(id));
                    }
                }
                Piece::Opened(_) | Piece::Alive => {}
            }
        }
        Ok(reply)
    }

    /// What the client is told of what a connection says.
    pub fn tell(&mut self, number: Number, said: &Said) -> Reply {
        let Number { id, place } = number;
        // The client may have closed it meanwhile.
        if self.open.get(&id).is_none_or(|open| open.place != place) {
            return Reply::default();
        }
        let bytes = match said {
            Said::Data(bytes) => smux::data(id, bytes),
            Said::Ended | Said::Refused => {
                self.open.remove(&id);
                smux::closed(id)
            }
        };
        Reply { bytes, active: true, unreachable: matches!(said, Said::Refused) }
    }

    /// Begins a connection, unless there are too many.
    fn begin(&mut self, id: u32) -> bool {
        while self.tasks.try_join_next().is_some() {}
        let SessionWork::Port { host, port, .. } = &self.row.work else { return false };
        if self.tasks.len() >= STREAMS_MAX {
            return false;
        }
        let task = SessionTask::Port { host: host.clone(), port: *port, reopens: false };
        let (input, chunks) = mpsc::unbounded_channel();
        let number = Number { id, place: self.count };
        self.count += 1;
        self.open.insert(id, Open { place: number.place, input });
        self.tasks.spawn(carry(self.sessions.clone(), self.row.clone(), task, number, chunks, self.sender.clone()));
        true
    }

    /// Queues bytes for a connection; those for one that is closed are nobody's.
    fn give(&mut self, id: u32, bytes: Vec<u8>) -> Result<(), Wrong> {
        let Some(open) = self.open.get(&id) else { return Ok(()) };
        let size = u32::try_from(bytes.len() + PIECE_BYTES).unwrap_or(u32::MAX);
        let place = self.room.clone().try_acquire_many_owned(size).map_err(|_| Wrong::Payload)?;
        // One that has just ended needs them no more.
        let _ = open.input.send((bytes, place));
        Ok(())
    }
}

/// One connection, from its making to its end.
async fn carry(
    sessions: Arc<Sessions>,
    row: Arc<Session>,
    task: SessionTask,
    number: Number,
    chunks: mpsc::UnboundedReceiver<Chunk>,
    said: mpsc::Sender<(Number, Said)>,
) {
    // Nobody hears it when the session has ended.
    match sessions.host().open_session(&row.target, &task).await {
        Ok((reader, writer)) => {
            let (ended, end) = oneshot::channel();
            tokio::join!(read(reader, number, said, ended), feed(writer, chunks, end));
        }
        Err(_) => drop(said.send((number, Said::Refused)).await),
    }
}

/// Passes on what the other end says, until it has said all.
async fn read(
    mut reader: SessionReader,
    number: Number,
    said: mpsc::Sender<(Number, Said)>,
    ended: oneshot::Sender<()>,
) {
    while let Ok(Some(SessionFrame::Data(bytes))) = reader.receive().await {
        if said.send((number, Said::Data(bytes))).await.is_err() {
            return;
        }
    }
    drop(ended);
    let _ = said.send((number, Said::Ended)).await;
}

/// Passes on what the client says, and that it has closed; the writer is kept
/// until the other end has taken it all, or for as long as it may take.
async fn feed(mut writer: SessionWriter, mut chunks: mpsc::UnboundedReceiver<Chunk>, mut end: oneshot::Receiver<()>) {
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            _ = &mut end => return,
        };
        match chunk {
            Some((bytes, _place)) => {
                if writer.send(&SessionFrame::Data(bytes)).await.is_err() {
                    return;
                }
            }
            None => {
                if writer.send(&SessionFrame::Disconnect).await.is_ok() {
                    let _ = tokio::time::timeout(CLOSE_LIMIT, end).await;
                }
                return;
            }
        }
    }
}
