//! Access logs and connection logs (alb.md 10): lines are formatted on the
//! data threads into a buffer for each node, which goes to a writer thread
//! when it is full and with every sweep. When the writer is behind, lines are
//! thrown away and counted: traffic never waits for a disk.

mod connection;
mod entry;
mod flow;
mod line;
mod writer;

pub(crate) use connection::ConnectionEntry;
pub(crate) use entry::{ActionTaken, Entry, Kind, TlsFacts};
pub(crate) use flow::FlowEntry;
pub(crate) use writer::{LogFile, LogKind};

use crate::clock::Clock;
use crate::state::NodeState;
use elastane_domain::routing::{LoadBalancer, LogPlace};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// A buffer of this size goes to the writer at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// The room for lines is made in steps of this: more than nearly all lines are long.
const LINE_ROOM_BYTES: usize = 2048;
/// Buffers that may wait for the writer: 32 MiB of lines, a second of disk.
const QUEUE_MAX: usize = 512;
/// Entries kept for reuse by each node and thread.
const SPARE_ENTRIES_MAX: usize = 256;

/// Lines for one file.
struct Batch {
    file: Arc<LogFile>,
    bytes: Vec<u8>,
}

/// Where data threads put their lines.
#[derive(Clone)]
pub(crate) struct LogSink {
    /// `None` where there are no logs.
    batches: Option<SyncSender<Batch>>,
    /// Lines thrown away since the start.
    lost_lines: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl LogSink {
    /// Starts the writer, which ends when all sinks are gone. Without a data
    /// directory there are no logs.
    pub(crate) fn start(
        data_dir: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<(LogSink, Option<JoinHandle<io::Result<()>>>)> {
        let lost_lines = Arc::default();
        let Some(data_dir) = data_dir else {
            return Ok((LogSink { batches: None, lost_lines, clock }, None));
        };
        let (batches, inbox) = sync_channel(QUEUE_MAX);
        let writing = writer::Writer::new(data_dir.join("logs"), clock.clone());
        let run = move || writing.run(&inbox);
        let thread = std::thread::Builder::new().name("proxy-logs".to_owned()).spawn(run)?;
        Ok((LogSink { batches: Some(batches), lost_lines, clock }, Some(thread)))
    }

    /// Counts the lines that were thrown away since the start.
    pub(crate) fn lost_lines(&self) -> Arc<AtomicU64> {
        self.lost_lines.clone()
    }

    /// The log of a node, as it is set; `before` if nothing changed.
    pub(crate) fn open(
        &self,
        before: Option<&Rc<LogLocal>>,
        kind: LogKind,
        balancer: &LoadBalancer,
        node: &NodeState,
        place: Option<&LogPlace>,
    ) -> Option<Rc<LogLocal>> {
        let (place, _) = (place?, self.batches.as_ref()?);
        let own = balancer.nodes.iter().find(|one| one.address == node.address);
        let address = own.and_then(|own| own.interface.as_ref()).map_or(node.address, |(_, address)| *address);
        let file = LogFile::new(kind, balancer, place, address);
        if let Some(before) = before.filter(|before| *before.file == file) {
            return Some(before.clone());
        }
        Some(Rc::new(LogLocal {
            file: Arc::new(file),
            sink: self.clone(),
            buffer: RefCell::default(),
            usual_bytes: Cell::new(0),
            lines: Cell::new(0),
            spare: RefCell::default(),
        }))
    }
}

/// One node's log on one data thread.
pub(crate) struct LogLocal {
    file: Arc<LogFile>,
    sink: LogSink,
    buffer: RefCell<Vec<u8>>,
    /// Length of the lines handed over last: the next ones get as much room at once.
    usual_bytes: Cell<usize>,
    lines: Cell<u64>,
    /// Boxed, because that is how they are used: an exchange is one pointer.
    #[expect(clippy::vec_box, reason = "the boxes are what is reused")]
    spare: RefCell<Vec<Box<Entry>>>,
}

impl LogLocal {
    /// A log that is not a node's.
    #[cfg(test)]
    fn of_test(file: LogFile, sink: LogSink) -> LogLocal {
        LogLocal {
            file: Arc::new(file),
            sink,
            buffer: RefCell::default(),
            usual_bytes: Cell::new(0),
            lines: Cell::new(0),
            spare: RefCell::default(),
        }
    }

    /// An entry for a request that begins now.
    pub(crate) fn entry(self: Rc<Self>) -> Box<Entry> {
        let created = self.sink.clock.now_micros();
        let spare = self.spare.borrow_mut().pop();
        match spare {
            Some(mut entry) => {
                entry.reset(self, created);
                entry
            }
            None => Box::new(Entry::new(self, created)),
        }
    }

    /// Writes an entry's line.
    pub(crate) fn finish(mut entry: Box<Entry>) {
        // Taken out, so that the entry does not keep the log that keeps the entry.
        let Some(log) = entry.log.take() else { return };
        let now = log.sink.clock.now_micros();
        log.append(|out| line::write(&entry, &log.file, now, out));
        let mut spare = log.spare.borrow_mut();
        if spare.len() < SPARE_ENTRIES_MAX && entry.is_small() {
            spare.push(entry);
        }
    }

    /// Appends one line.
    fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.capacity() == 0 {
            buffer.reserve(self.usual_bytes.get());
        }
        write(&mut buffer);
        self.lines.set(self.lines.get() + 1);
        let full = buffer.len() >= BUFFER_BYTES;
        drop(buffer);
        if full {
            self.flush();
        }
    }

    /// Hands the lines over to the writer.
    pub(crate) fn flush(&self) {
        let bytes = std::mem::take(&mut *self.buffer.borrow_mut());
        let lines = self.lines.replace(0);
        self.usual_bytes.set(bytes.len().next_multiple_of(LINE_ROOM_BYTES));
        let Some(batches) = self.sink.batches.as_ref().filter(|_| !bytes.is_empty()) else { return };
        if batches.try_send(Batch { file: self.file.clone(), bytes }).is_err() {
            self.sink.lost_lines.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

impl Drop for LogLocal {
    fn drop(&mut self) {
        self.flush();
    }
}
