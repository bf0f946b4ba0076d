//! The host on the real kernel: each make of instances that this machine and
//! user allow. Without arguments it runs all makes, one process for each (the
//! namespaces are entered per process), skips loudly what cannot run, and
//! prints totals as its last line.

mod cases;
mod images;
mod listeners;
mod metadata;
mod network;
mod sessions;
mod userdata;
mod vpc;
mod world;

use elastane_host::{Make, enter_private_namespaces, run_helper};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use world::Totals;

/// An ordinary user, for the makes that need no privileges.
const NOBODY: u32 = 65_534;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    run_helper(&arguments);
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|word| word.to_str()).collect();
    match words[..] {
        ["in-make", make, directory, filter] => in_make(make, Path::new(directory), filter),
        ["as-user", ..] => as_user(&words[1..], words[3]),
        ["daemon", make, directory] => world::daemon(make, &Path::new(directory).join("killed")),
        ["successor", make, directory, told] => world::successor(make, &Path::new(directory).join("killed"), told),
        ["probe", make, directory] => probe(make, Path::new(directory)),
        ["best", _, directory] => best(Path::new(directory)),
        _ if words.contains(&"--list") => {
            // What runs here has no names that could be asked for one by one.
            println!("0 tests, 0 benchmarks");
            ExitCode::SUCCESS
        }
        _ => all(words.into_iter().find(|word| !word.starts_with('-')).unwrap_or("")),
    }
}

/// Runs each make in a process of its own and adds up.
fn all(filter: &str) -> ExitCode {
    let mut totals = Totals::default();
    let root = rustix::process::geteuid().is_root();
    for make in ["Root", "Rootless", "Process"] {
        if make == "Root" && !root {
            totals.skip(make, "needs root");
            continue;
        }
        let directory = scratch();
        let user = root && make != "Root";
        if user {
            std::os::unix::fs::chown(&directory, Some(NOBODY), Some(NOBODY)).expect("give the directory away");
        }
        let before = world::leftovers(&directory);
        let stage = Stage { program: executable(&directory), directory: directory.clone(), user, make };
        let text = stage.output("in-make", filter);
        let (report, line) = text.trim_end().rsplit_once('\n').unwrap_or(("", &text));
        println!("{report}");
        totals.add_line(line.trim(), make);
        if filter.is_empty() {
            for round in 0..KILLED_DAEMONS {
                totals.check(make, "daemon_killed_while_it_launches", stage.kill_daemon(round));
            }
            let found = stage.output("probe", "");
            let entered = stage.output("best", "");
            let wanted = if user || !root { "Rootless" } else { "Root" };
            let right = entered.contains(&format!("make: {wanted}"));
            totals.check(make, "best_make", if right { Ok(()) } else { Err(entered) });
            totals.check(make, "probe", if found.contains("works: true") { Ok(()) } else { Err(found) });
        }
        let left = world::clean(&directory, &before);
        totals.check(make, "nothing_is_left", left);
    }
    println!("{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped);
    if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A private directory that an ordinary user can be given.
fn scratch() -> PathBuf {
    let name = format!("elastane-host-it-{}-{}", std::process::id(), world::unique());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).expect("make a scratch directory");
    directory
}

/// A copy of this program that an ordinary user can execute.
fn executable(directory: &Path) -> PathBuf {
    let copy = directory.join("it");
    std::fs::copy("/proc/self/exe", &copy).expect("copy this program");
    copy
}

/// One make's processes: each step runs in one of its own.
struct Stage<'a> {
    program: PathBuf,
    directory: PathBuf,
    user: bool,
    make: &'a str,
}

impl Stage<'_> {
    fn command(&self, mode: &str, last: &str) -> Command {
        let mut command = Command::new(&self.program);
        if self.user {
            command.arg("as-user");
        }
        command.arg(mode).arg(self.make).arg(&self.directory).stderr(Stdio::inherit());
        if mode == "in-make" || mode == "successor" {
            command.arg(last);
        }
        command
    }

    fn output(&self, mode: &str, last: &str) -> String {
        let output = self.command(mode, last).output().expect("run a step of a make");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Kills a daemon after it has reported some boots of many; the next one
    /// must find every reported instance, alive, and be able to end all.
    fn kill_daemon(&self, after: usize) -> Result<(), String> {
        let mut daemon = self.command("daemon", "").stdout(Stdio::piped()).spawn().expect("start a daemon");
        let lines = BufReader::new(daemon.stdout.take().expect("it is piped")).lines();
        let told: Vec<String> = lines.map_while(Result::ok).take(after).collect();
        daemon.kill().expect("kill the daemon");
        daemon.wait().expect("wait for the daemon");
        let told: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("booted ")).collect();
        let output = self.command("successor", &told.join(",")).output().expect("start the next daemon");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{text}");
        if output.status.success() && told.len() == after { Ok(()) } else { Err(text) }
    }
}

/// How many daemons are killed, each after one more boot than the one before.
const KILLED_DAEMONS: usize = 4;

fn as_user(words: &[&str], directory: &str) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let failed = Command::new("/proc/self/exe")
        .args(words)
        .env("HOME", directory)
        .current_dir(directory)
        .uid(NOBODY)
        .gid(NOBODY)
        .exec();
    eprintln!("cannot become an ordinary user: {failed}");
    ExitCode::FAILURE
}

/// The choice that a daemon makes at its start.
fn best(directory: &Path) -> ExitCode {
    match elastane_host::enter_best(&directory.join("best"), &Make::ALL) {
        Ok(entered) => println!("{entered:?}"),
        Err(err) => println!("{}", err.sentence()),
    }
    ExitCode::SUCCESS
}

fn probe(make: &str, directory: &Path) -> ExitCode {
    let finding = elastane_host::probe(world::make_named(make), directory);
    println!("{finding:?}");
    ExitCode::SUCCESS
}

fn in_make(make: &str, directory: &Path, filter: &str) -> ExitCode {
    let make = world::make_named(make);
    let data = directory.join("data");
    let mut totals = Totals::default();
    if let Err(err) = enter_private_namespaces(make, &data) {
        totals.skip(make.name(), &format!("cannot be entered here: {}", err.sentence()));
    } else {
        cases::run(make, &data, filter, &mut totals);
    }
    println!("{} {} {}", totals.passed, totals.failed, totals.skipped);
    if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether instances of this make are isolated.
fn isolated(make: Make) -> bool {
    make != Make::Process
}
