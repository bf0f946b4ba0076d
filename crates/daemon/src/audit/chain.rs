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

/// What is read back of a segment's end to find its last whole line, and to
/// fill the memory that lookups are answered from.
const TAIL_BYTES: u64 = 8 << 20;

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
    /// events at its end, the oldest first. A last line that a crash cut short
    /// is removed.
    pub fn open(folder: &Path) -> Result<(Chain, Vec<String>), Problem> {
        let problem = |err: io::Error| Problem::because(format!("cannot open the trail in {}", folder.display()), err);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(problem)?;
        let Some(segment) = segments(folder).map_err(problem)?.pop() else {
            return Ok((Chain::begin(folder, 1, START).map_err(problem)?, Vec::new()));
        };
        let path = path_of(folder, segment);
        let mut file = OpenOptions::new().read(true).append(true).open(&path).map_err(problem)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|err| problem(err.into()))?;
        let (tail, end) = tail(&mut file).map_err(problem)?;
        file.set_len(end).map_err(problem)?;
        let Some(last) = tail.last().and_then(|line| line.hash) else {
            return Err(Problem::new(format!(
                "{} is not a trail: move it away, or look at it with `elastane audit verify`",
                path.display()
            )));
        };
        let events = tail.into_iter().filter_map(|line| line.event).collect();
        Ok((Chain { folder: folder.to_path_buf(), segment, file, bytes: end, last }, events))
    }

    fn begin(folder: &Path, segment: u64, last: Hash) -> io::Result<Chain> {
        let path = path_of(folder, segment);
        let mut file = OpenOptions::new().create_new(true).read(true).append(true).mode(0o600).open(path)?;
        let head = format!("{HEAD}{}\n", hex(&last));
        file.write_all(head.as_bytes())?;
        Ok(Chain { folder: folder.to_path_buf(), segment, file, bytes: head.len() as u64, last })
    }

    /// Adds an event, one line of JSON. It survives the daemon at once and the
    /// machine after [`Chain::sync`].
    pub fn append(&mut self, event: &str) -> io::Result<()> {
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
        self.bytes += line.len() as u64;
        self.last = hash;
        Ok(())
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
struct Line {
    hash: Option<Hash>,
    event: Option<String>,
}

fn parse(line: &str) -> Line {
    if let Some(hash) = line.strip_prefix(HEAD) {
        return Line { hash: unhex(hash), event: None };
    }
    match line.split_at_checked(HASH_LETTERS) {
        Some((hash, event)) if event.starts_with(' ') => {
            Line { hash: unhex(hash), event: Some(event[1..].to_string()) }
        }
        _ => Line { hash: None, event: None },
    }
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
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Ok((Vec::new(), length)) };
    let text = String::from_utf8_lossy(&bytes[..end]);
    // The first line may have begun before.
    let skipped = usize::from(from > 0);
    Ok((text.split('\n').skip(skipped).map(parse).collect(), from + end as u64 + 1))
}

fn path_of(folder: &Path, segment: u64) -> PathBuf {
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
        (0..events).for_each(|number| chain.append(&format!("{{\"n\":{number}}}")).expect("written"));
        folder
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
        assert_eq!(tail, ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
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
        assert_eq!(tail, ["{}"]);
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
