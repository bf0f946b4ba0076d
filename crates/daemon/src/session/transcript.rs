//! Transcripts: what a session printed, a file each below `sessions` in the
//! data directory, readable by its owner alone. What was typed is there as far
//! as the terminal showed it, so passwords are not.

use elastane_engine::row::{Session, SessionEnd, SessionWork};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

/// Where they are.
const DIRECTORY: &str = "sessions";
/// Bytes of one; what comes after that is counted and left out.
const BYTES_MAX: u64 = 16 << 20;
/// Transcripts that are kept: the oldest make room.
const KEPT_MAX: usize = 1_000;

/// A transcript that is being written.
#[derive(Debug)]
pub struct Transcript {
    file: Option<File>,
    room: u64,
    left_out: u64,
}

impl Transcript {
    /// Begins the transcript of a session.
    ///
    /// # Errors
    /// The file system's.
    pub fn begin(data: &Path, row: &Session) -> io::Result<Transcript> {
        let directory = data.join(DIRECTORY);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        make_room(&directory)?;
        let path = directory.join(format!("{}.log", row.id));
        let mut file = File::options().create_new(true).append(true).mode(0o600).open(path)?;
        let began = row.started_at.iso_millis();
        let (id, owner, target, document) = (&row.id, &row.owner, &row.target, &row.document);
        writeln!(file, "# session {id} of {owner} with {target}, document {document}, started {began}")?;
        if !row.reason.is_empty() {
            writeln!(file, "# reason: {}", row.reason.escape_debug())?;
        }
        // What passes a forwarded port is nobody's to keep.
        let kept = if let SessionWork::Port { .. } = row.work { 0 } else { BYTES_MAX };
        Ok(Transcript { file: Some(file), room: kept, left_out: 0 })
    }

    /// None: the session leaves no record but its row.
    pub fn none() -> Transcript {
        Transcript { file: None, room: 0, left_out: 0 }
    }

    /// Adds what was printed.
    pub fn add(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let (kept, rest) = bytes.split_at(bytes.len().min(room));
        self.left_out += rest.len() as u64;
        match file.write_all(kept) {
            Ok(()) => self.room -= kept.len() as u64,
            Err(err) => {
                // The session goes on: its user did not fill the disk. The gap is told at the end, if that fits.
                eprintln!("elastane: a session's transcript is incomplete: {err}");
                self.left_out += kept.len() as u64;
            }
        }
    }

    /// Ends it.
    pub fn end(mut self, end: &SessionEnd, at: &str) {
        let Some(file) = &mut self.file else { return };
        let left_out = match self.left_out {
            0 => String::new(),
            bytes => format!("; {bytes} bytes were left out"),
        };
        // A full disk loses this line and nothing else.
        let _ = writeln!(file, "\n# ended {at}: {end:?}{left_out}");
    }
}

/// Removes the oldest transcripts until one more fits.
fn make_room(directory: &Path) -> io::Result<()> {
    let mut kept: Vec<_> = fs::read_dir(directory)?
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"))
        .map(|entry| {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            (changed.unwrap_or(SystemTime::UNIX_EPOCH), entry.path())
        })
        .collect();
    if kept.len() < KEPT_MAX {
        return Ok(());
    }
    kept.sort();
    kept.iter().take(kept.len() + 1 - KEPT_MAX).try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::machine::Generation;
    use elastane_domain::time::{Span, Time};
    use elastane_engine::row::SessionPhase;
    use std::os::unix::fs::PermissionsExt;

    /// A transcript is private, says whose it is, keeps the first bytes and
    /// says how many it left out.
    #[test]
    fn what_is_kept() {
        let data = std::env::temp_dir().join(format!("elastane-transcript-{}", std::process::id()));
        let row = Session {
            id: "alice-1".to_string(),
            owner: "arn:aws:iam::000000000000:user/alice".to_string(),
            target: "i-1".into(),
            generation: Generation(1),
            document: "SSM-SessionManagerRunShell".to_string(),
            work: SessionWork::Shell,
            reason: "a\nb".to_string(),
            started_at: Time(0),
            idle_limit: Span(1),
            duration_max: Span(1),
            token_digest: [0; 32],
            phase: SessionPhase::Connected,
        };
        let mut transcript = Transcript::begin(&data, &row).expect("a directory");
        transcript.add(b"$ ls\r\n");
        transcript.room = 2;
        transcript.add(b"abc");
        transcript.end(&SessionEnd::Exited(0), "1970-01-01T00:00:00.000Z");
        let path = data.join("sessions/alice-1.log");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        let text = fs::read_to_string(&path).expect("it is text");
        let _ = fs::remove_dir_all(&data);
        assert_eq!(mode, 0o600);
        assert!(text.starts_with("# session alice-1 of arn:aws:iam::000000000000:user/alice with i-1,"), "{text}");
        assert!(text.contains("# reason: a\\nb\n$ ls\r\nab\n# ended "), "{text}");
        assert!(text.ends_with("Exited(0); 1 bytes were left out\n"), "{text}");
    }
}
