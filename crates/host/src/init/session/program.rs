//! A session's program: a shell or a command, at a terminal of its own or
//! with its output in a pipe. It runs as the user `ssm-user` where the
//! instance has that user and more than one user id, and as root otherwise,
//! as Run Command does.

use crate::init::InitSpec;
use crate::init::command::{command, command_of_session};
use crate::init::config::accounts::{Accounts, User};
use crate::make::Make;
use crate::sys;
use rustix::fs::Uid;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

/// The user that sessions run as, where there is one (ssm.md 6).
const USER: &str = "ssm-user";
/// The terminal's size until its user says another.
const COLUMNS: u16 = 80;
/// Likewise.
const ROWS: u16 = 24;
/// What terminals of clients understand.
const TERMINAL: &str = "xterm-256color";

/// A running program.
pub struct Program {
    pid: i32,
    output: Output,
}

enum Output {
    /// The master's side of its terminal.
    Terminal(OwnedFd),
    /// Its standard output and error.
    Pipe(OwnedFd),
    /// Nobody writes any more.
    Ended,
}

impl Program {
    /// Starts a shell, or a command for one, at a terminal.
    pub fn at_terminal(spec: &InitSpec, script: Option<&str>) -> Result<Program, String> {
        let master = terminal().map_err(|err| format!("cannot make a terminal: {err}"))?;
        let failed = |err: io::Error| format!("cannot start the shell: {err}");
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let slave = slave.map_err(|err| failed(err.into()))?;
        let mut shell = command_of_session(spec, Path::new("/bin/sh"));
        if let Some(script) = script {
            shell.arg("-c").arg(script);
        }
        shell.env("TERM", TERMINAL);
        sys::take_terminal(&mut shell);
        if let Some((user, groups)) = person(spec) {
            rustix::fs::fchown(&slave, Some(Uid::from_raw(user.id)), None).map_err(|err| failed(err.into()))?;
            run_as(&mut shell, &user, groups);
        }
        let stdio = || slave.try_clone().map(Stdio::from).map_err(failed);
        let child = shell.stdin(stdio()?).stdout(stdio()?).stderr(stdio()?).spawn().map_err(failed)?;
        Ok(Program { pid: child.id() as i32, output: Output::Terminal(master) })
    }

    /// Starts a command without a terminal; its outputs are one stream.
    pub fn with_pipe(spec: &InitSpec, script: &str) -> Result<Program, String> {
        let failed = |err: io::Error| format!("cannot start the command: {err}");
        let (output, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|err| failed(err.into()))?;
        rustix::io::ioctl_fionbio(&output, true).map_err(|err| failed(err.into()))?;
        let mut shell = command(spec, Path::new("/bin/sh"));
        if let Some((user, groups)) = person(spec) {
            run_as(&mut shell, &user, groups);
        }
        let errors = writer.try_clone().map_err(failed)?;
        let child = shell.arg("-c").arg(script).stdin(Stdio::null()).stdout(writer).stderr(errors).spawn();
        Ok(Program { pid: child.map_err(failed)?.id() as i32, output: Output::Pipe(output) })
    }

    /// Its process id, which is its process group's as well.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What its output is read from.
    pub fn source(&self) -> Option<BorrowedFd<'_>> {
        match &self.output {
            Output::Terminal(fd) | Output::Pipe(fd) => Some(fd.as_fd()),
            Output::Ended => None,
        }
    }

    /// What its input is written to.
    pub fn sink(&self) -> Option<BorrowedFd<'_>> {
        match &self.output {
            Output::Terminal(fd) => Some(fd.as_fd()),
            Output::Pipe(_) | Output::Ended => None,
        }
    }

    /// Whether it reads what its user types; otherwise that is signals.
    pub fn takes_input(&self) -> bool {
        matches!(self.output, Output::Terminal(_))
    }

    /// Nobody writes to it any more.
    pub fn source_ended(&mut self) {
        self.output = Output::Ended;
    }

    /// Sends the signals that control characters stand for to its process group.
    pub fn control(&self, bytes: &[u8]) {
        for byte in bytes {
            let signal = match byte {
                0x03 => libc::SIGINT,
                0x1c => libc::SIGQUIT,
                0x1a => libc::SIGTSTP,
                _ => continue,
            };
            // It may just have ended by itself.
            let _ = sys::kill(-self.pid, signal);
        }
    }

    /// Gives its terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        if let Output::Terminal(master) = &self.output {
            // A terminal that is going away keeps its size.
            let _ = tcsetwinsize(master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 });
        }
    }
}

/// The master's side of a new terminal.
fn terminal() -> io::Result<OwnedFd> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    tcsetwinsize(&master, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 })?;
    Ok(master)
}

/// The user that sessions run as, with its further groups; `None` for root.
fn person(spec: &InitSpec) -> Option<(User, Vec<u32>)> {
    if spec.make != Make::Root {
        return None;
    }
    let user = Accounts::names(Path::new("/etc")).ok()?.user(USER)?;
    let table = std::fs::read_to_string("/etc/group").unwrap_or_default();
    Some((user, groups_of(&table, USER)))
}

/// The ids of the groups that have a user among their members.
fn groups_of(table: &str, user: &str) -> Vec<u32> {
    let group = |line: &str| {
        let mut fields = line.split(':');
        let (id, members) = (fields.nth(2)?, fields.next()?);
        members.split(',').any(|member| member == user).then(|| id.parse().ok()).flatten()
    };
    table.lines().filter_map(group).collect()
}

fn run_as(shell: &mut Command, user: &User, groups: Vec<u32>) {
    shell.env("USER", USER).env("LOGNAME", USER).env("HOME", &user.home);
    // A home that is not there is no reason to have no shell.
    let home = Path::new(&user.home);
    shell.current_dir(if home.is_dir() { home } else { Path::new("/") });
    sys::become_user(shell, user.id, user.group, groups);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user's further groups are those that list it as a member.
    #[test]
    fn further_groups() {
        let table = "root:x:0:\nwheel:x:10:alice,ssm-user\nssm-user:x:1001:\ndocker:x:999:ssm-user\nbad:x\n";
        assert_eq!(groups_of(table, "ssm-user"), [10, 999]);
        assert_eq!(groups_of(table, "ssm"), [0u32; 0]);
    }
}
