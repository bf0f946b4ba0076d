//! The writer thread: appends lines to the current files and packs them
//! every five minutes of service time.
//!
//! A current file ends in `.log`, is plain text and may be read while it is
//! written: whole lines are appended. When its five minutes are over it is
//! packed to `.log.gz` beside it under the key that AWS would give it, and
//! removed. A file that a crash left behind is packed by the next writer that
//! finds it with its time over.

use super::Batch;
use crate::clock::Clock;
use elastane_domain::routing::{LoadBalancer, LogPlace};
use elastane_domain::time::{Civil, Span, Time};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// A file is for this much service time.
const PERIOD: Span = Span::from_mins(5);
/// How often files are looked at, whether lines come or not.
const LOOK: Duration = Duration::from_millis(500);
/// Left-over files that one start looks for: at most so many folders.
const FOLDERS_MAX: usize = 10_000;
/// A file of another process is left alone for so long after its time.
const ABANDONED: Span = Span::from_mins(5);

/// What a log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LogKind {
    /// Requests.
    Access,
    /// Connections.
    Connection,
}

/// A node's log: where it is and what its lines have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LogFile {
    kind: LogKind,
    /// `app/name/id`.
    pub(super) dimension: String,
    /// The node's address as its clients know it.
    pub(super) address: Ipv4Addr,
    account: String,
    region: String,
    place: (String, String),
}

impl LogFile {
    pub(super) fn new(kind: LogKind, balancer: &LoadBalancer, place: &LogPlace, address: Ipv4Addr) -> LogFile {
        // arn:partition:elasticloadbalancing:region:account:…
        let mut parts = balancer.arn.as_str().split(':').skip(3);
        let mut part = || component(parts.next().unwrap_or_default());
        let (region, account) = (part(), part());
        let place = (component(&place.bucket), place.prefix.clone());
        LogFile { kind, dimension: balancer.dimension.clone(), address, account, region, place }
    }

    /// The folder below the logs' for files that end at this time.
    fn folder(&self, end: Time) -> PathBuf {
        let civil = Civil::from(end);
        let mut path = PathBuf::from(&self.place.0);
        path.extend(self.place.1.split('/').filter(|part| !part.is_empty()).map(component));
        path.extend(["AWSLogs", &self.account, "elasticloadbalancing", &self.region]);
        path.push(format!("{:04}", civil.year));
        path.push(format!("{:02}", civil.month));
        path.push(format!("{:02}", civil.day));
        path
    }

    /// The name of the plain file; packed, it ends in `.gz` besides.
    fn name(&self, end: Time, random: u64) -> String {
        let civil = Civil::from(end);
        let kind = match self.kind {
            LogKind::Access => "",
            LogKind::Connection => "conn_log.",
        };
        // Names of files of network load balancers do not tell the node.
        let node = if self.dimension.starts_with("net/") { String::new() } else { format!("{}_", self.address) };
        format!(
            "{kind}{}_elasticloadbalancing_{}_{}_{:04}{:02}{:02}T{:02}{:02}Z_{node}{random:08x}.log",
            self.account,
            self.region,
            component(&self.dimension.replace('/', ".")),
            civil.year,
            civil.month,
            civil.day,
            civil.hour,
            civil.minute,
        )
    }
}

/// One component of a path, whatever the text.
fn component(text: &str) -> String {
    let clean: String =
        text.chars().map(|letter| if letter == '/' || letter.is_control() { '_' } else { letter }).collect();
    if clean.chars().all(|letter| letter == '.') { "_".to_owned() } else { clean }
}

struct Open {
    file: File,
    path: PathBuf,
    end: Time,
}

/// The files that are being written.
pub(super) struct Writer {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    open: HashMap<Arc<LogFile>, Open>,
    random: RandomState,
    files_made: u64,
    /// The last problem that was told, so that it is told once.
    told: Option<String>,
}

impl Writer {
    pub(super) fn new(root: PathBuf, clock: Arc<dyn Clock>) -> Writer {
        Writer { root, clock, open: HashMap::new(), random: RandomState::new(), files_made: 0, told: None }
    }

    /// Writes what comes, until nobody can send any more; then packs everything.
    pub(super) fn run(mut self, inbox: &Receiver<Batch>) -> io::Result<()> {
        self.pack_abandoned();
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(batch) => {
                    let written = self.write(&batch);
                    self.tell(written);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.pack_until(self.clock.now());
        }
        self.pack_until(Time(i64::MAX));
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        if !self.open.contains_key(&batch.file) {
            let open = self.create(&batch.file)?;
            self.open.insert(batch.file.clone(), open);
        }
        self.open[&batch.file].file.write_all_at_end(&batch.bytes)
    }

    fn create(&mut self, file: &LogFile) -> io::Result<Open> {
        let end = self.clock.now().floor(PERIOD) + PERIOD;
        let folder = self.root.join(file.folder(end));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        self.files_made += 1;
        let random = self.random.hash_one(self.files_made) & 0xffff_ffff;
        let path = folder.join(file.name(end, random));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Open { file, path, end })
    }

    /// Packs the files whose time is over.
    fn pack_until(&mut self, now: Time) {
        let over: Vec<_> = self.open.iter().filter(|(_, open)| open.end <= now).map(|(file, _)| file.clone()).collect();
        for file in over {
            if let Some(open) = self.open.remove(&file) {
                drop(open.file);
                let packed = pack(&open.path);
                self.tell(packed);
            }
        }
    }

    /// Packs what a process that ended too early left behind.
    fn pack_abandoned(&mut self) {
        let now = self.clock.now();
        let mut folders = vec![self.root.clone()];
        let mut looked = 0;
        while let Some(folder) = folders.pop().filter(|_| looked < FOLDERS_MAX) {
            looked += 1;
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(_) if end_of(&path).is_some_and(|end| end + ABANDONED <= now) => {
                        let packed = pack(&path);
                        self.tell(packed);
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }

    /// A full disk must not flood the terminal.
    fn tell(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.told = None,
            Err(error) => {
                let text = error.to_string();
                if self.told.as_ref() != Some(&text) {
                    eprintln!("elastane: cannot write logs below {}: {text}", self.root.display());
                    self.told = Some(text);
                }
            }
        }
    }
}

/// Appends; whole batches are whole lines.
trait WriteAtEnd {
    fn write_all_at_end(&self, bytes: &[u8]) -> io::Result<()>;
}

impl WriteAtEnd for File {
    fn write_all_at_end(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }
}

/// When a plain file's time is over, by its name.
fn end_of(path: &Path) -> Option<Time> {
    let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
    // The time, a node's address unless it is left out, a random number.
    name.rsplit('_').take(3).skip(1).find_map(time_of)
}

fn time_of(text: &str) -> Option<Time> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    let civil = Civil {
        year: i64::from(number(0..4)?),
        month: number(4..6).filter(|month| (1..=12).contains(month))?,
        day: number(6..8).filter(|day| (1..=31).contains(day))?,
        hour: number(9..11)?,
        minute: number(11..13)?,
        second: 0,
    };
    Some(civil.time())
}

/// Packs a plain file to one beside it that ends in `.gz` besides.
fn pack(path: &Path) -> io::Result<()> {
    let with = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let (part, packed) = (with(".gz.part"), with(".gz"));
    let mut source = File::open(path)?;
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    let mut encoder = GzEncoder::new(target, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&part, &packed)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests;
