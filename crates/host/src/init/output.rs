//! Where the output of boot scripts goes: the console log that
//! GetConsoleOutput returns the end of, and cloud-init's log in the instance.

use super::InitSpec;
use crate::make::Make;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

/// The console log is cut back to its end when it has grown to this size.
const CONSOLE_BYTES_MAX: u64 = 1 << 20;
/// What is kept then: what GetConsoleOutput can return.
const CONSOLE_BYTES_KEPT: u64 = 64 << 10;
const IN_USE: &[u8] = b"ddress already in use";

/// The two logs.
pub struct Output {
    console: File,
    log: Option<File>,
    written: u64,
    /// Explanation to add when a neighbour's port is hit; used once per boot.
    collision_hint: Option<String>,
    recent: Vec<u8>,
}

impl Output {
    /// Opens the instance's log; the console is standard output.
    pub fn open(spec: &InitSpec) -> std::io::Result<Output> {
        let console = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
        let path = spec.path("var/log/cloud-init-output.log");
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let log = OpenOptions::new().create(true).append(true).open(path).ok();
        let hint = format!(
            "elastane: a program could not bind its port because a neighbour has it: instances of the process driver share one network. \
             Bind to the instance's own address {} ($ELASTANE_LOCAL_IPV4) instead of all addresses.\n",
            spec.address
        );
        let collision_hint = (spec.make == Make::Process).then_some(hint);
        let written = console.metadata()?.len();
        Ok(Output { console, log, written, collision_hint, recent: Vec::new() })
    }

    /// A line of our own, to both logs.
    pub fn line(&mut self, text: &str) {
        self.bytes(format!("{text}\n").as_bytes());
    }

    /// Output of a script, to both logs in order. A full disk loses output, not the instance.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.console.write_all(bytes);
        if let Some(log) = &mut self.log {
            let _ = log.write_all(bytes);
        }
        self.written += bytes.len() as u64;
        if self.written > CONSOLE_BYTES_MAX {
            self.cut();
        }
        self.explain_collisions(bytes);
    }

    fn cut(&mut self) {
        let mut tail = Vec::new();
        let keep = || -> std::io::Result<()> {
            let length = self.console.metadata()?.len();
            self.console.seek(SeekFrom::Start(length.saturating_sub(CONSOLE_BYTES_KEPT)))?;
            (&self.console).take(CONSOLE_BYTES_KEPT).read_to_end(&mut tail)?;
            self.console.set_len(0)?;
            self.console.write_all(&tail)
        };
        let mut keep = keep;
        // When it fails the log goes on growing until the next try.
        let _ = keep();
        self.written = tail.len() as u64;
    }

    fn explain_collisions(&mut self, bytes: &[u8]) {
        if self.collision_hint.is_none() {
            return;
        }
        self.recent.extend_from_slice(bytes);
        if self.recent.windows(IN_USE.len()).any(|window| window == IN_USE)
            && let Some(hint) = self.collision_hint.take()
        {
            self.bytes(hint.as_bytes());
        }
        let excess = self.recent.len().saturating_sub(IN_USE.len());
        self.recent.drain(..excess);
    }
}
