//! The file that nobody can change unseen: each line carries the hash of its
//! event and of the line before.
//!
//! A segment begins with the hash that it continues from; each further line
//! is `<SHA-256 in hex> <event as JSON>`, where the hash is that of the
//! previous hash's 32 bytes followed by the JSON. Who changes, removes or
//! inserts a line must change every hash after it, and the last hash, which
//! whoever audits has noted elsewhere, shows that.

use crate::data_dir::Problem;
use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A segment that is larger gets a successor.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Segments that are kept; the oldest goes when there are more, so that the
/// trail never fills the disk: 2 GiB.
const SEGMENTS_MAX: usize = 32;

/// One line is no longer: an event of CloudTrail has at most 256 KB.
const LINE_BYTES_MAX: u64 = 512 << 10;

/// What is read back of a segment's end to find its last sound line, and to
/// begin the memory that lookups are answered from: two of the longest lines.
const TAIL_BYTES: u64 = 1 << 20;

const HEAD: &str = "elastane-trail 1 ";
const HASH_LETTERS: usize = 64;

/// A hash.
pub type Hash = [u8; 32];

/// What comes before the first event.
const START: Hash = [0; 32];

/// The writing end.
pub struct Chain {
    folder: PathBuf,
    segment: u64,
    file: File,
    bytes: u64,
    last: Hash,
}

impl Chain {
    /// Opens the newest segment of a folder, or makes the first, and gives the
    /// events at its end with their places, the oldest first.
    ///
    /// A last line that a crash cut short is removed. What else is spoilt at
    /// the end, by a disk that lost what it had promised to keep, is set aside
    /// in a file of its own, and said aloud: the chain goes on behind the last
    /// sound line.
    pub fn open(folder: &Path) -> Result<(Chain, Vec<(u64, String)>), Problem> {
        let problem = |err: io::Error| Problem::because(format!("cannot open the trail in {}", folder.display()), err);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(problem)?;
        let Some(segment) = segments(folder).map_err(problem)?.pop() else {
            return Ok((Chain::begin(folder, 1, START).map_err(problem)?, Vec::new()));
        };
        Chain::resume(folder, segment).map_err(problem)
    }

    fn resume(folder: &Path, segment: u64) -> io::Result<(Chain, Vec<(u64, String)>)> {
        let path = path_of(folder, segment);
        let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let (mut tail, whole) = tail(&mut file)?;
        let Some(at) = sound(&tail) else {
            // Not even its head: it is begun anew.
            set_aside(&mut file, &path, 0)?;
            drop(file);
            fs::remove_file(&path)?;
            return Ok((Chain::begin(folder, segment, end_of(folder, segment.saturating_sub(1))?)?, Vec::new()));
        };
        let (end, last) = (tail[at].end, tail[at].hash.unwrap_or(START));
        tail.truncate(at + 1);
        if whole > end {
            set_aside(&mut file, &path, end)?;
        }
        file.set_len(end)?;
        let event = |line: Line| line.event.map(|event| (place(segment, line.start), event));
        let events = tail.into_iter().filter_map(event).collect();
        Ok((Chain { folder: folder.to_path_buf(), segment, file, bytes: end, last }, events))
    }

    fn begin(folder: &Path, segment: u64, last: Hash) -> io::Result<Chain> {
        let path = path_of(folder, segment);
        let mut file = OpenOptions::new().create_new(true).read(true).append(true).mode(0o600).open(path)?;
        let head = format!("{HEAD}{}\n", hex(&last));
        if let Err(err) = file.write_all(head.as_bytes()) {
            // The next try makes it again.
            let _ = fs::remove_file(path_of(folder, segment));
            return Err(err);
        }
        Ok(Chain { folder: folder.to_path_buf(), segment, file, bytes: head.len() as u64, last })
    }

    /// Adds an event, one line of JSON, and returns its place. It survives the
    /// daemon at once, and the machine once [`Chain::handle`] was synced.
    pub fn append(&mut self, event: &str) -> io::Result<u64> {
        if self.bytes >= SEGMENT_BYTES_MAX {
            self.file.sync_data()?;
            *self = Chain::begin(&self.folder, self.segment + 1, self.last)?;
            let mut kept = segments(&self.folder)?;
            while kept.len() > SEGMENTS_MAX {
                fs::remove_file(path_of(&self.folder, kept.remove(0)))?;
            }
        }
        let hash = follow(&self.last, event);
        let line = format!("{} {event}\n", hex(&hash));
        if let Err(err) = self.file.write_all(line.as_bytes()) {
            // Half a line must not stay before the next one.
            let _ = self.file.set_len(self.bytes);
            return Err(err);
        }
        let at = self.next();
        self.bytes += line.len() as u64;
        self.last = hash;
        Ok(at)
    }

    /// The place of the next event.
    pub fn next(&self) -> u64 {
        place(self.segment, self.bytes)
    }

    /// Puts the chain on a disk that is full, and gives what it wrote to.
    #[cfg(test)]
    pub fn fill(&mut self) -> File {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
        std::mem::replace(&mut self.file, full)
    }

    /// Puts it back.
    #[cfg(test)]
    pub fn empty(&mut self, file: File) {
        self.file = file;
    }

    /// A second handle on the segment that is written, to sync without holding the chain.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// What a look at the whole trail found.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// Events.
    pub events: u64,
    /// Segments.
    pub segments: usize,
    /// The hash that the first segment continues from: zeros unless older
    /// segments are gone.
    pub first: Hash,
    /// The hash of the last event.
    pub last: Hash,
    /// Whether the hash that was expected is one of the trail's.
    pub met: bool,
}

/// Checks every line of a trail, oldest segment first.
///
/// # Errors
/// Where the chain is broken, or what cannot be read.
pub fn verify(folder: &Path, expected: Option<Hash>) -> Result<Verified, Problem> {
    let unreadable = |err: io::Error| Problem::because(format!("cannot read {}", folder.display()), err);
    let numbers = segments(folder).map_err(unreadable)?;
    let mut found: Option<Verified> = None;
    for (at, number) in numbers.iter().enumerate() {
        if at > 0 && numbers[at - 1] + 1 != *number {
            return Err(Problem::new(format!("the trail is broken: segment {} is missing", number - 1)));
        }
        let path = path_of(folder, *number);
        let mut reader = BufReader::new(File::open(&path).map_err(unreadable)?);
        let mut lines = 0;
        while let Some(line) = next_line(&mut reader).map_err(unreadable)? {
            lines += 1;
            let broken =
                |why: &str| Problem::new(format!("the trail is broken at {} line {lines}: {why}", path.display()));
            let line = line.ok_or_else(|| broken("it is cut short"))?;
            let parsed = parse(&line);
            let hash = parsed.hash.ok_or_else(|| broken("it has no hash"))?;
            match (&mut found, parsed.event) {
                (None, None) => {
                    let met = expected == Some(hash);
                    found = Some(Verified { events: 0, segments: 1, first: hash, last: hash, met });
                }
                (Some(so_far), None) if lines == 1 && so_far.last == hash => so_far.segments += 1,
                (Some(so_far), Some(event)) if lines > 1 && follow(&so_far.last, &event) == hash => {
                    so_far.events += 1;
                    so_far.last = hash;
                    so_far.met |= expected == Some(hash);
                }
                _ => return Err(broken("it does not follow from the line before")),
            }
        }
    }
    found.ok_or_else(|| Problem::new(format!("there is no trail in {}", folder.display())))
}

/// The hash of an event after another hash.
fn follow(previous: &Hash, event: &str) -> Hash {
    Sha256::new().chain_update(previous).chain_update(event.as_bytes()).finalize().into()
}

/// A line, taken apart: a head has no event, a spoilt line no hash.
pub(super) struct Line {
    /// Its hash.
    hash: Option<Hash>,
    /// Its event.
    pub event: Option<String>,
    /// Where it begins in its segment, in bytes.
    pub start: u64,
    /// Where the next one begins.
    end: u64,
}

fn parse(line: &str) -> Line {
    let (start, end) = (0, line.len() as u64 + 1);
    if let Some(hash) = line.strip_prefix(HEAD) {
        return Line { hash: unhex(hash), event: None, start, end };
    }
    match line.split_at_checked(HASH_LETTERS) {
        Some((hash, event)) if event.starts_with(' ') => {
            Line { hash: unhex(hash), event: Some(event[1..].to_string()), start, end }
        }
        _ => Line { hash: None, event: None, start, end },
    }
}

/// The place of a line: places grow along the trail and stay what they are.
pub(super) fn place(segment: u64, start: u64) -> u64 {
    segment << 32 | start
}

/// The segment of a place, and where in it.
pub(super) fn split(place: u64) -> (u64, u64) {
    (place >> 32, place & 0xffff_ffff)
}

/// The whole lines of a part of a segment that begins at byte `from`, and
/// where the first of them begins. The first may have begun before the part,
/// unless that is the segment's beginning.
pub(super) fn lines(bytes: &[u8], from: u64) -> (Vec<Line>, u64) {
    let skipped = match from {
        0 => 0,
        _ => bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1),
    };
    let (mut found, mut start) = (Vec::new(), from + skipped as u64);
    let first = start;
    for line in bytes[skipped..].split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len() as u64;
        if let Some(line) = line.strip_suffix(b"\n") {
            found.push(Line { start, end, ..parse(&String::from_utf8_lossy(line)) });
        }
        start = end;
    }
    (found, first)
}

/// The last line that is what it says: a head, or an event whose hash follows
/// from the line before, as far as that is in sight.
fn sound(lines: &[Line]) -> Option<usize> {
    (0..lines.len()).rev().find(|at| {
        let line = &lines[*at];
        match (line.hash, &line.event) {
            (None, _) => false,
            (Some(_), None) => line.start == 0,
            (Some(hash), Some(event)) => match at.checked_sub(1).map(|before| lines[before].hash) {
                None => line.start > 0,
                Some(before) => before.is_some_and(|before| follow(&before, event) == hash),
            },
        }
    })
}

/// The last sound hash of a segment; that of an empty trail without one.
fn end_of(folder: &Path, segment: u64) -> io::Result<Hash> {
    let mut file = match File::open(path_of(folder, segment)) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(START),
        Err(err) => return Err(err),
    };
    let (lines, _) = tail(&mut file)?;
    Ok(sound(&lines).and_then(|at| lines[at].hash).unwrap_or(START))
}

/// Copies what is behind a byte of a segment into a file beside it, and says so.
fn set_aside(file: &mut File, path: &Path, from: u64) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length <= from {
        return Ok(());
    }
    let aside = path.with_extension(format!("damaged-{from}"));
    file.seek(SeekFrom::Start(from))?;
    let mut copy = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    io::copy(file, &mut copy)?;
    copy.sync_data()?;
    eprintln!(
        "elastane: {} of the audit trail was damaged from byte {from} on: events may be missing. What was there is in {}",
        path.display(),
        aside.display()
    );
    Ok(())
}

/// The next line without its end; `Some(None)` for a last line without one, or one that is too long.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Option<String>>> {
    let mut line = String::new();
    if reader.take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.strip_suffix('\n').map(str::to_string)))
}

/// The whole lines at the end of a segment, and where the last of them ends.
fn tail(file: &mut File) -> io::Result<(Vec<Line>, u64)> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let (found, first) = lines(&bytes, from);
    let end = found.last().map_or(first, |line| line.end);
    Ok((found, end))
}

/// The file of a segment.
pub(super) fn path_of(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("trail-{segment:08}.log"))
}

/// The numbers of a folder's segments, in order.
fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix("trail-")?.strip_suffix(".log"));
        numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A hash in hexadecimal.
pub fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash from its 64 hexadecimal digits.
pub fn unhex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != HASH_LETTERS || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("elastane-trail-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Folder(path)
        }
        fn first(&self) -> PathBuf {
            path_of(&self.0, 1)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn written(name: &str, events: usize) -> Folder {
        let folder = Folder::new(name);
        let (mut chain, _) = Chain::open(&folder.0).expect("opened");
        for number in 0..events {
            chain.append(&format!("{{\"n\":{number}}}")).expect("written");
        }
        folder
    }

    fn texts(tail: &[(u64, String)]) -> Vec<&str> {
        tail.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// What was written verifies, is readable by its owner alone, and goes on after a restart.
    #[test]
    fn a_chain_goes_on() {
        use std::os::unix::fs::PermissionsExt;
        let folder = written("goes-on", 3);
        let before = verify(&folder.0, None).expect("whole");
        assert_eq!((before.events, before.segments, before.first), (3, 1, START));
        assert_eq!(fs::metadata(folder.first()).expect("there").permissions().mode() & 0o777, 0o600);
        let (mut chain, tail) = Chain::open(&folder.0).expect("opened again");
        assert_eq!(texts(&tail), ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
        chain.append("{\"n\":3}").expect("written");
        let after = verify(&folder.0, Some(before.last)).expect("whole");
        assert!(after.events == 4 && after.met && after.last != before.last);
        assert!(!verify(&folder.0, Some([7; 32])).expect("whole").met);
    }

    /// A changed, a removed, a doubled and a swapped line are found, and so is a missing segment.
    #[test]
    fn what_was_tampered_with_is_found() {
        type Tamper = fn(&mut Vec<String>);
        let cases: [(&str, Tamper); 5] = [
            ("changed", |lines| lines[2] = lines[2].replace("\"n\":1", "\"n\":9")),
            ("removed", |lines| drop(lines.remove(2))),
            ("doubled", |lines| lines.insert(2, lines[2].clone())),
            ("swapped", |lines| lines.swap(2, 3)),
            ("headless", |lines| drop(lines.remove(0))),
        ];
        for (name, change) in cases {
            let folder = written(name, 4);
            let text = fs::read_to_string(folder.first()).expect("read");
            let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
            change(&mut lines);
            fs::write(folder.first(), lines.join("\n") + "\n").expect("written");
            assert!(verify(&folder.0, None).is_err(), "{name}");
        }
        let folder = written("segment", 1);
        fs::rename(folder.first(), path_of(&folder.0, 3)).expect("moved");
        let (chain, _) = Chain::open(&folder.0).expect("opened");
        drop(Chain::begin(&folder.0, 5, chain.last).expect("begun"));
        assert!(verify(&folder.0, None).is_err());
    }

    /// A line that a crash cut short is removed; the chain goes on behind the last whole one.
    #[test]
    fn a_torn_line_is_removed() {
        let folder = written("torn", 2);
        let mut file = OpenOptions::new().append(true).open(folder.first()).expect("opened");
        file.write_all(b"0123abc").expect("written");
        assert!(verify(&folder.0, None).is_err());
        let (mut chain, tail) = Chain::open(&folder.0).expect("opened");
        assert_eq!(tail.len(), 2);
        chain.append("{}").expect("written");
        assert_eq!(verify(&folder.0, None).expect("whole").events, 3);
    }

    /// A spoilt end is set aside, whatever it is, and the chain goes on behind the last sound line.
    #[test]
    fn a_damaged_end_is_set_aside() {
        type Damage = fn(&mut Vec<u8>);
        let cases: [(&str, Damage, u64); 6] = [
            ("zeros", |bytes| bytes.extend([0; 100]), 3),
            ("zeros and a line's end", |bytes| bytes.extend(b"\0\0\0\n"), 3),
            ("another's line", |bytes| bytes.extend(format!("{} {{}}\n", "0".repeat(64)).as_bytes()), 3),
            ("a flipped bit", |bytes| *bytes.iter_mut().rev().nth(2).expect("long") ^= 1, 2),
            ("nothing left", Vec::clear, 0),
            ("no head", |bytes| bytes[0] = b'x', 3),
        ];
        for (name, damage, kept) in cases {
            let folder = written(&format!("damaged-{}", name.len()), 3);
            let mut bytes = fs::read(folder.first()).expect("read");
            damage(&mut bytes);
            fs::write(folder.first(), &bytes).expect("written");
            let (mut chain, tail) = Chain::open(&folder.0).expect("opened");
            assert_eq!(tail.len() as u64, kept, "{name}");
            chain.append("{}").expect("written");
            let whole = verify(&folder.0, None).map(|found| found.events);
            // Who spoilt the beginning is told of by `verify`; the trail goes on all the same.
            assert_eq!(whole.ok(), (name != "no head").then_some(kept + 1), "{name}");
        }
    }

    /// A successor that was never begun is begun again, from the end of the one before.
    #[test]
    fn an_empty_successor_is_begun_again() {
        let folder = written("successor", 2);
        fs::write(path_of(&folder.0, 2), b"").expect("written");
        let (mut chain, _) = Chain::open(&folder.0).expect("opened");
        chain.append("{}").expect("written");
        let found = verify(&folder.0, None).expect("whole");
        assert_eq!((found.events, found.segments), (3, 2));
    }

    /// A full disk fails an event and nothing else: with room again the chain goes on.
    #[test]
    fn a_full_disk_fails_one_event() {
        let folder = written("full", 1);
        let (mut chain, _) = Chain::open(&folder.0).expect("opened");
        let real = chain.fill();
        assert_eq!(chain.append("{}").expect_err("no room").kind(), io::ErrorKind::StorageFull);
        chain.empty(real);
        chain.append("{}").expect("written");
        assert_eq!(verify(&folder.0, None).expect("whole").events, 2);
    }

    /// A full segment gets a successor that continues its chain.
    #[test]
    fn segments_continue_each_other() {
        let folder = written("segments", 2);
        let (mut chain, _) = Chain::open(&folder.0).expect("opened");
        chain.bytes = SEGMENT_BYTES_MAX;
        chain.append("{}").expect("written");
        drop(chain);
        let found = verify(&folder.0, None).expect("whole");
        assert_eq!((found.events, found.segments), (3, 2));
        let (_, tail) = Chain::open(&folder.0).expect("opened");
        assert_eq!(texts(&tail), ["{}"]);
    }

    /// Hashes in hexadecimal.
    #[test]
    fn hexadecimal() {
        assert_eq!(unhex(&hex(&[0xa5; 32])), Some([0xa5; 32]));
        for wrong in ["", "a5", &"g".repeat(64), &"ä".repeat(32)] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }
}
