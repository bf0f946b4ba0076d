//! Looks after the data plane's processes, each on a thread of its own and
//! without regard for the others: attaches to the one that runs, starts one
//! when there is none, replaces one that hangs, and has a new one take over
//! when the program has changed or when it is asked to.

use crate::command::proxy::build;
use crate::data_dir::{DataDir, Problem};
use elastane_proxy::Counters;
use elastane_proxy::remote::{self, Link, LinkEvents, PROCESSES_MAX, RemoteProxy, Role, Share};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the process says goes here, below the data directory.
const LOG_FILE: &str = "proxy.log";
/// A longer log is begun anew at the next start.
const LOG_BYTES_MAX: u64 = 1 << 20;
/// How often the process is asked for a sign of life.
const PING: Duration = Duration::from_secs(1);
/// Without a sign of life for this long it hangs. It serves meanwhile what it
/// still can, so this may be long; a busy machine stops nobody for so long.
const HUNG: Duration = Duration::from_secs(15);
/// A process that is not there within this has failed to start.
const START_LIMIT: Duration = Duration::from_secs(15);
/// The same for one that takes over: it applies the snapshot first.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(30);
/// How often it is looked for while it starts.
const LOOK: Duration = Duration::from_millis(10);
/// Time for a process that was told to end.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Pauses between starts of processes that die: doubled each time, from the
/// first to the longest; one that lived long enough begins anew.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(10);
const LIVED: Duration = Duration::from_secs(60);

/// What is wrong with a process of the data plane, if anything.
type Trouble = String;

/// Looks after the data plane's processes, on a thread for each.
pub struct Supervisor {
    data: DataDir,
    watched: Vec<Arc<Shared>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What others may know of the thread that looks after one process.
struct Shared {
    data: DataDir,
    sandbox: bool,
    program: PathBuf,
    remote: Arc<RemoteProxy>,
    share: Share,
    /// Held while a process takes over: one after another.
    upgrading: Arc<Mutex<()>>,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    /// Numbers the attachments: what an earlier one says is void.
    attachment: u64,
    /// How the attachment ended: by a successor or not.
    ended: Option<bool>,
    /// A new process is wanted; how the last try went is told by number.
    upgrades_wanted: u64,
    upgrades_tried: u64,
    upgrade_trouble: Option<Trouble>,
    starts: u64,
    trouble: Option<Trouble>,
}

impl Supervisor {
    /// Starts to look after the processes of a data directory; returns at
    /// once. Processes that share the work otherwise than `remote` is made
    /// for are ended first: two must not want the same address.
    ///
    /// # Errors
    /// There is no thread to be had, or our own program cannot be found.
    pub fn start(data: &DataDir, sandbox: bool, remote: Arc<RemoteProxy>) -> Result<Supervisor, Problem> {
        let program = std::env::current_exe().map_err(|err| Problem::because("cannot find our own program", err))?;
        let upgrading: Arc<Mutex<()>> = Arc::default();
        let watched = remote.shares().into_iter().map(|share| {
            let (state, news) = (Mutex::default(), Condvar::new());
            let (program, remote, upgrading) = (program.clone(), remote.clone(), upgrading.clone());
            Arc::new(Shared { data: data.clone(), sandbox, program, remote, share, upgrading, state, news })
        });
        let watched: Vec<Arc<Shared>> = watched.collect();
        let (place, running) = (data.clone(), watched.clone());
        let thread = std::thread::Builder::new()
            .name("supervisor".to_string())
            .spawn(move || look_after_all(&place, &running))
            .map_err(|err| Problem::because("cannot start a thread", err))?;
        Ok(Supervisor { data: data.clone(), watched, thread: Mutex::new(Some(thread)) })
    }

    /// Has new processes of the program take over, one after another, and
    /// waits until they serve. It may take half a minute for each.
    ///
    /// # Errors
    /// Why one did not; the process that ran there and those after it go on serving.
    pub fn upgrade(&self) -> Result<Vec<u32>, Trouble> {
        self.watched.iter().map(|shared| shared.upgrade()).collect()
    }

    /// What is wrong with each process; `None` where it serves.
    pub fn troubles(&self) -> Vec<Option<Trouble>> {
        self.watched.iter().map(|shared| shared.state().trouble.clone()).collect()
    }

    /// Stops looking after the processes, and ends them if `end`: then nothing of them is left.
    pub fn stop(&self, end: bool) {
        for shared in &self.watched {
            shared.state().stopping = true;
            shared.news.notify_all();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there has been reported.
            let _ = thread.join();
        }
        if end && let Err(err) = end_processes(&self.data) {
            eprintln!("elastane: the data plane does not end: {err}");
        }
    }
}

/// Runs a thread for each process until all of them stop.
fn look_after_all(data: &DataDir, watched: &[Arc<Shared>]) {
    if let Err(err) = end_strangers(data, watched.len()) {
        eprintln!("elastane: a process of the data plane does not end: {err}");
    }
    std::thread::scope(|scope| {
        for shared in watched {
            let name = format!("supervisor-{}", shared.share.index() + 1);
            let run = || Watch::new(shared.clone()).run();
            if let Err(err) = std::thread::Builder::new().name(name).spawn_scoped(scope, run) {
                shared.set_trouble(Some(format!("there is no thread to look after it: {err}")));
            }
        }
    });
}

/// Ends the processes that were to share the work with another number of them.
fn end_strangers(data: &DataDir, count: usize) -> io::Result<()> {
    let mut outcome = Ok(());
    for index in 0..PROCESSES_MAX {
        let ours = match remote::ask(data.path(), index) {
            Ok(None) => true,
            Ok(Some(hello)) => Share::new(index, count) == Some(hello.share),
            // It does not answer: nobody knows what it serves.
            Err(_) => false,
        };
        if !ours {
            eprintln!("elastane: the data plane is to run as {count} from now on: one that ran otherwise is ended");
            outcome = outcome.and(end_process(data, index));
        }
    }
    outcome
}

/// Ends all processes that serve a data directory.
///
/// # Errors
/// One is there and does not end.
pub fn end_processes(data: &DataDir) -> io::Result<()> {
    // One that does not end keeps none of the others.
    let ended: Vec<io::Result<()>> = (0..PROCESSES_MAX).map(|index| end_process(data, index)).collect();
    ended.into_iter().collect()
}

/// Ends the process at a place of a data directory, if there is one: by
/// asking, or by force when it does not answer.
fn end_process(data: &DataDir, index: usize) -> io::Result<()> {
    let Ok(stream) = remote::dial(data.path(), index) else { return Ok(()) };
    let process = remote::peer(&stream).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    drop(stream);
    let asked = remote::stop(data.path(), index, END_LIMIT);
    let Some(process) = process else { return asked.map(drop) };
    if wait_ended(&process, END_LIMIT) {
        return Ok(());
    }
    pidfd_send_signal(&process, Signal::KILL)?;
    if wait_ended(&process, END_LIMIT) { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// Whether a process has ended within the limit.
fn wait_ended(process: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is spoken of.
    fn name(&self) -> String {
        match self.share.count() {
            1 => "the data plane".to_string(),
            _ => format!("process {} of the data plane", self.share),
        }
    }

    /// See [`Supervisor::upgrade`].
    fn upgrade(&self) -> Result<u32, Trouble> {
        let mut state = self.state();
        state.upgrades_wanted += 1;
        let wanted = state.upgrades_wanted;
        self.news.notify_all();
        while state.upgrades_tried < wanted && !state.stopping {
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(trouble) = state.upgrade_trouble.clone() {
            return Err(format!("{}: {trouble}", self.name()));
        }
        drop(state);
        let process = self.remote.process(self.share.index());
        process.map(|hello| hello.pid).ok_or_else(|| "the daemon is stopping".to_string())
    }

    fn next_attachment(&self) -> u64 {
        let mut state = self.state();
        state.attachment += 1;
        state.ended = None;
        state.attachment
    }

    fn ended(&self, attachment: u64, superseded: bool) {
        let mut state = self.state();
        if state.attachment == attachment {
            state.ended = Some(superseded);
            self.news.notify_all();
        }
    }

    fn set_trouble(&self, trouble: Option<Trouble>) {
        if let Some(trouble) = &trouble {
            eprintln!("elastane: {}: {trouble}", self.name());
        }
        self.state().trouble = trouble;
    }

    fn log(&self) -> io::Result<File> {
        let path = self.data.file(LOG_FILE);
        let long = std::fs::metadata(&path).is_ok_and(|file| file.len() > LOG_BYTES_MAX);
        if long {
            std::fs::remove_file(&path)?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)
    }

    fn spawn(&self, take_over: bool) -> io::Result<Child> {
        let log = self.log()?;
        let mut command = Command::new(&self.program);
        command
            .arg0("elastane")
            .arg("proxy")
            .arg("--data-dir")
            .arg(self.data.path())
            .arg("--share")
            .arg(self.share.to_string());
        if self.sandbox {
            command.arg("--sandbox");
        }
        if take_over {
            command.arg("--take-over");
        }
        command.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.state().starts += 1;
        command.spawn()
    }
}

/// What the supervisor's thread knows.
struct Watch {
    shared: Arc<Shared>,
    children: Vec<Child>,
    pause: Duration,
}

/// How looking after an attachment went on.
enum After {
    Stopping,
    Superseded,
    Gone { pid: u32 },
}

impl Watch {
    fn new(shared: Arc<Shared>) -> Watch {
        Watch { shared, children: Vec::new(), pause: PAUSE_FIRST }
    }

    /// The place of its process.
    fn index(&self) -> usize {
        self.shared.share.index()
    }

    fn run(&mut self) {
        let mut first = true;
        while !self.shared.state().stopping {
            self.reap();
            let (link, number) = match self.attach_or_start() {
                Ok(attached) => attached,
                Err(trouble) => {
                    self.shared.remote.detach(self.index());
                    self.shared.set_trouble(Some(trouble));
                    self.rest();
                    continue;
                }
            };
            self.shared.remote.attach(self.index(), number, link.clone());
            self.shared.state().trouble = None;
            if std::mem::take(&mut first) && self.is_of_another_program(&link) {
                self.shared.state().upgrades_wanted += 1;
            }
            let since = Instant::now();
            match self.look_after(link) {
                After::Stopping => return,
                After::Superseded => {}
                After::Gone { pid } => {
                    self.shared.remote.detach(self.index());
                    if since.elapsed() > LIVED {
                        self.pause = PAUSE_FIRST;
                    }
                    let trouble = format!("process {pid} has ended unasked; another is started");
                    self.shared.set_trouble(Some(trouble));
                    self.rest();
                }
            }
        }
    }

    /// Whether the program file is another than the one that runs.
    fn is_of_another_program(&self, link: &Link) -> bool {
        build(&self.shared.program).is_ok_and(|build| build != link.hello.build)
    }

    /// Pauses before the next start, longer each time.
    fn rest(&mut self) {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let mut state = self.shared.state();
        while !state.stopping && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            state = self.shared.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // Whoever waits for an upgrade is told that there is none.
        state.upgrades_tried = state.upgrades_wanted;
        state.upgrade_trouble = state.trouble.clone();
        self.shared.news.notify_all();
    }

    /// Takes note of children that ended.
    fn reap(&mut self) {
        self.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    /// Attaches to the process, with the number of the attachment.
    fn attach_or_start(&mut self) -> Result<(Arc<Link>, u64), Trouble> {
        match self.attach() {
            Ok(attached) => return Ok(attached),
            Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(err) => {
                // It does not answer, or speaks a protocol of another release.
                eprintln!("elastane: {} is replaced: {err}", self.shared.name());
                end_process(&self.shared.data, self.index())
                    .map_err(|err| format!("the old process does not end: {err}"))?;
            }
        }
        let child = self.shared.spawn(false).map_err(|err| format!("cannot start a process: {err}"))?;
        self.children.push(child);
        let start = Instant::now();
        loop {
            match self.attach() {
                Ok(attached) => return Ok(attached),
                Err(err) if start.elapsed() > START_LIMIT => return Err(format!("the new process: {err}")),
                Err(_) => {}
            }
            let ended = self.children.last_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                let log = self.shared.data.file(LOG_FILE);
                return Err(format!("the new process ended by itself ({status}); {} says why", log.display()));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn attach(&self) -> io::Result<(Arc<Link>, u64)> {
        let stream = remote::dial(self.shared.data.path(), self.index())?;
        let (shared, remote, index) = (Arc::downgrade(&self.shared), Arc::downgrade(&self.shared.remote), self.index());
        let number = self.shared.next_attachment();
        let events = LinkEvents {
            fact: Box::new(move |fact| {
                if let Some(remote) = remote.upgrade() {
                    remote.hear(index, number, fact);
                }
            }),
            // Only successors are told these.
            counters: Box::new(|_: Counters| {}),
            ended: Box::new(move |superseded| {
                if let Some(shared) = shared.upgrade() {
                    shared.ended(number, superseded);
                }
            }),
        };
        let link = Link::open(stream, Role::Daemon, events)?;
        if link.hello.share != self.shared.share {
            return Err(io::Error::other("it shares the work with another number of processes"));
        }
        Ok((Arc::new(link), number))
    }

    fn look_after(&mut self, mut link: Arc<Link>) -> After {
        let mut attached = Instant::now();
        loop {
            {
                let state = self.shared.state();
                let waits = |state: &mut State| {
                    !state.stopping && state.ended.is_none() && state.upgrades_tried >= state.upgrades_wanted
                };
                let waited = self.shared.news.wait_timeout_while(state, PING, waits);
                let state = waited.unwrap_or_else(PoisonError::into_inner).0;
                match (state.stopping, state.ended) {
                    (true, _) => return After::Stopping,
                    (false, Some(true)) => return After::Superseded,
                    (false, Some(false)) => return After::Gone { pid: link.hello.pid },
                    (false, None) => {}
                }
                if state.upgrades_tried < state.upgrades_wanted {
                    drop(state);
                    if let Some(new) = self.upgrade() {
                        link = new;
                    }
                    // Nobody asked for signs of life meanwhile.
                    attached = Instant::now();
                }
            }
            self.reap();
            let sign = link.last_sign().unwrap_or(attached).max(attached);
            if sign.elapsed() > HUNG {
                eprintln!("elastane: {}, process {}, hangs and is replaced", self.shared.name(), link.hello.pid);
                kill(link.hello.pid);
                return After::Gone { pid: link.hello.pid };
            }
            link.ping();
        }
    }

    /// Has a new process take over; `None` when the old one goes on.
    fn upgrade(&mut self) -> Option<Arc<Link>> {
        let outcome = {
            let upgrading = self.shared.upgrading.clone();
            let _turn = upgrading.lock().unwrap_or_else(PoisonError::into_inner);
            self.take_over().and_then(|()| self.attach_or_start())
        };
        if let Ok((link, number)) = &outcome {
            self.shared.remote.attach(self.index(), *number, link.clone());
        }
        let mut state = self.shared.state();
        state.upgrades_tried = state.upgrades_wanted;
        state.upgrade_trouble = outcome.as_ref().err().cloned();
        drop(state);
        self.shared.news.notify_all();
        let told = |trouble: &Trouble| eprintln!("elastane: {} was not upgraded: {trouble}", self.shared.name());
        outcome.inspect_err(told).ok().map(|(link, _)| link)
    }

    fn take_over(&mut self) -> Result<(), Trouble> {
        let child = self.shared.spawn(true).map_err(|err| format!("cannot start a process: {err}"))?;
        self.children.push(child);
        let start = Instant::now();
        loop {
            let state = self.shared.state();
            let waited = self.shared.news.wait_timeout_while(state, LOOK, |state| state.ended.is_none());
            // `ended` stays for whoever looks after the attachment when this fails.
            let ended = waited.unwrap_or_else(PoisonError::into_inner).0.ended;
            match ended {
                Some(true) => return Ok(()),
                Some(false) => return Err("the old process has ended meanwhile".to_string()),
                None => {}
            }
            let child = self.children.last_mut().expect("it was added above");
            if let Ok(Some(status)) = child.try_wait() {
                let log = self.shared.data.file(LOG_FILE);
                return Err(format!("the new process ended by itself ({status}); {} says why", log.display()));
            }
            if start.elapsed() > TAKE_OVER_LIMIT {
                let _ = child.kill();
                return Err("the new process was not ready in time".to_string());
            }
        }
    }
}

/// Ends a process by force and waits until it has.
fn kill(pid: u32) {
    let process = Pid::from_raw(pid.cast_signed()).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    if let Some(process) = process {
        // It may just have ended by itself.
        let _ = pidfd_send_signal(&process, Signal::KILL);
        wait_ended(&process, END_LIMIT);
    }
}
