//! Running other programs: every one has a time limit, shows its output as it
//! comes, and is ended together with its descendants when the limit passes.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// A span of minutes.
pub const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// The workspace's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Where cargo builds to. Errors when `cargo metadata` fails.
pub fn target_directory() -> Result<PathBuf, String> {
    let metadata = metadata()?;
    let path = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(path.into())
}

/// `cargo metadata` of the workspace's own packages.
pub fn metadata() -> Result<serde_json::Value, String> {
    let text = Job::cargo(["metadata", "--format-version", "1", "--no-deps", "--offline"]).output()?;
    serde_json::from_str(&text).map_err(|err| format!("cargo metadata is not JSON: {err}"))
}

/// A program to run, in the workspace's root unless said otherwise.
pub struct Job {
    command: Command,
    limit: Duration,
}

impl Job {
    /// `program` with a limit of ten minutes.
    pub fn new(program: impl AsRef<OsStr>) -> Job {
        let mut command = Command::new(program);
        command.current_dir(root()).stdin(Stdio::null());
        Job { command, limit: minutes(10) }
    }

    /// The cargo that runs us, with `args`.
    pub fn cargo<const N: usize>(args: [&str; N]) -> Job {
        Job::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))).args(args)
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Job {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Job {
        self.command.env(name, value);
        self
    }

    /// Sets the time limit.
    pub fn limit(mut self, limit: Duration) -> Job {
        self.limit = limit;
        self
    }

    /// Throws its error output away.
    pub fn quiet(mut self) -> Job {
        self.command.stderr(Stdio::null());
        self
    }

    /// Runs it with our own output. An error is a failed start, a status other
    /// than success, or the limit.
    pub fn run(mut self) -> Result<(), String> {
        let child = self.command.spawn().map_err(|err| self.cannot_start(&err))?;
        let status = self.wait(child)?;
        self.judge(status)
    }

    /// Like `run`, without showing anything; returns standard output.
    pub fn output(self) -> Result<String, String> {
        let mut text = String::new();
        let status = self.lines(|line| {
            text.push_str(line);
            text.push('\n');
        })?;
        status.map(|()| text)
    }

    /// Runs it, hands each line of standard output to `each`. The outer error
    /// is a failed start or the limit, the inner one a bad exit status.
    pub fn lines(mut self, mut each: impl FnMut(&str)) -> Result<Result<(), String>, String> {
        self.command.stdout(Stdio::piped());
        let mut child = self.command.spawn().map_err(|err| self.cannot_start(&err))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, receiver) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let deadline = Instant::now() + self.limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match receiver.recv_timeout(left) {
                Ok(line) => each(&line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    end(&mut child);
                    return Err(self.too_long());
                }
            }
        }
        self.limit = deadline.saturating_duration_since(Instant::now());
        let status = self.wait(child)?;
        reader.join().map_err(|_| "the reader of a program's output panicked".to_owned())?;
        Ok(self.judge(status))
    }

    fn wait(&self, mut child: Child) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + self.limit;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
                Ok(None) => {
                    end(&mut child);
                    return Err(self.too_long());
                }
                Err(err) => return Err(format!("cannot wait for {}: {err}", self.shown())),
            }
        }
    }

    fn judge(&self, status: ExitStatus) -> Result<(), String> {
        if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", self.shown())) }
    }

    fn cannot_start(&self, err: &std::io::Error) -> String {
        format!("cannot start {}: {err}", self.shown())
    }

    fn too_long(&self) -> String {
        format!("{} did not end within its limit and was ended", self.shown())
    }

    fn shown(&self) -> String {
        let program = Path::new(self.command.get_program());
        let mut text = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        for arg in self.command.get_args() {
            text.push(' ');
            text.push_str(&arg.to_string_lossy());
        }
        format!("`{text}`")
    }
}

/// Ends a child and all that descends from it: SIGTERM, then SIGKILL. When it returns they have ended, or the kernel
/// could not end them within the grace.
pub fn end(child: &mut Child) {
    let tree = descendants(child.id());
    signal(&tree, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(POLL);
    }
    signal(&tree[1..], Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && tree[1..].iter().any(|&pid| runs(pid)) {
        std::thread::sleep(POLL);
    }
}

/// Whether a process still does something: it is neither gone nor a zombie that waits for its parent.
fn runs(pid: u32) -> bool {
    // The command's name is in parentheses and may hold anything; the state is the first field after it.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

fn signal(pids: &[u32], which: Signal) {
    for pid in pids.iter().filter_map(|&pid| Pid::from_raw(pid.cast_signed())) {
        // It may have ended by itself; there is nothing to do about it then.
        let _ = kill_process(pid, which);
    }
}

/// `ancestor` first, then every process below it.
fn descendants(ancestor: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The command's name is in parentheses and may hold anything; the parent is the second field after it.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|field| field.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut tree = vec![ancestor];
    let mut next = 0;
    while next < tree.len() {
        let parent = tree[next];
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that outlives its limit is ended.
    #[test]
    fn the_limit_ends_a_program() {
        let ended = Job::new("sleep").args(["600"]).limit(Duration::from_millis(100)).run();
        assert!(ended.unwrap_err().contains("limit"));
    }

    /// With a program ends what it started.
    #[test]
    fn the_whole_tree_is_ended() {
        assert!(runs(std::process::id()));
        let script = "sleep 600 & echo $!; wait";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap();
        assert!(runs(pid));
        end(&mut child);
        assert!(!runs(pid), "process {pid} outlived its parent's end");
    }

    /// A bad exit status is an error that names the command.
    #[test]
    fn failure_names_the_command() {
        let text = Job::new("sh").args(["-c", "exit 3"]).run().unwrap_err();
        assert!(text.contains("sh -c exit 3") && text.contains('3'), "{text}");
    }
}
