//! Looks after the data plane's process: attaches to the one that runs,
//! starts one when there is none, replaces one that hangs, and has a new one
//! take over when the program has changed or when it is asked to.

use crate::command::proxy::build;
use crate::data_dir::{DataDir, Problem};
use elastane_domain::routing::ProxyFact;
use elastane_proxy::Counters;
use elastane_proxy::remote::{self, Link, LinkEvents, RemoteProxy, Role};
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

/// Where facts go.
pub type FactSink = Arc<dyn Fn(ProxyFact) + Send + Sync>;

/// What is wrong with the data plane's process, if anything.
type Trouble = String;

/// Looks after the data plane's process on a thread of its own.
pub struct Supervisor {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    data: DataDir,
    sandbox: bool,
    program: PathBuf,
    remote: Arc<RemoteProxy>,
    facts: FactSink,
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
    /// Starts to look after the process of a data directory; returns at once.
    ///
    /// # Errors
    /// There is no thread to be had, or our own program cannot be found.
    pub fn start(
        data: &DataDir,
        sandbox: bool,
        remote: Arc<RemoteProxy>,
        facts: FactSink,
    ) -> Result<Supervisor, Problem> {
        let program = std::env::current_exe().map_err(|err| Problem::because("cannot find our own program", err))?;
        let (state, news) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { data: data.clone(), sandbox, program, remote, facts, state, news });
        let running = shared.clone();
        let thread = std::thread::Builder::new()
            .name("supervisor".to_string())
            .spawn(move || Watch::new(running).run())
            .map_err(|err| Problem::because("cannot start a thread", err))?;
        Ok(Supervisor { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Has a new process of the program take over, and waits until it serves.
    /// It may take half a minute.
    ///
    /// # Errors
    /// Why it did not; the process that ran goes on serving.
    pub fn upgrade(&self) -> Result<u32, Trouble> {
        let mut state = self.shared.state();
        state.upgrades_wanted += 1;
        let wanted = state.upgrades_wanted;
        self.shared.news.notify_all();
        while state.upgrades_tried < wanted && !state.stopping {
            state = self.shared.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(trouble) = state.upgrade_trouble.clone() {
            return Err(trouble);
        }
        drop(state);
        self.shared.remote.process().map(|hello| hello.pid).ok_or_else(|| "the daemon is stopping".to_string())
    }

    /// What is wrong with the process; `None` when it serves.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.state().trouble.clone()
    }

    /// Stops looking after the process, and ends it if `end`: then nothing of it is left.
    pub fn stop(&self, end: bool) {
        self.shared.state().stopping = true;
        self.shared.news.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there has been reported.
            let _ = thread.join();
        }
        if end && let Err(err) = end_process(&self.shared.data) {
            eprintln!("elastane: the data plane does not end: {err}");
        }
    }
}

/// Ends the process that serves a data directory, if there is one: by asking,
/// or by force when it does not answer.
///
/// # Errors
/// It is there and does not end.
pub fn end_process(data: &DataDir) -> io::Result<()> {
    let Ok(stream) = remote::dial(data.path()) else { return Ok(()) };
    let process = remote::peer(&stream).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    drop(stream);
    let asked = remote::stop(data.path(), END_LIMIT);
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
            eprintln!("elastane: the data plane: {trouble}");
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
        command.arg0("elastane").arg("proxy").arg("--data-dir").arg(self.data.path());
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

    fn run(&mut self) {
        let mut first = true;
        while !self.shared.state().stopping {
            self.reap();
            let link = match self.attach_or_start() {
                Ok(link) => link,
                Err(trouble) => {
                    self.shared.set_trouble(Some(trouble));
                    self.rest();
                    continue;
                }
            };
            self.shared.remote.attach(link.clone());
            self.shared.state().trouble = None;
            if std::mem::take(&mut first) && self.is_of_another_program(&link) {
                self.shared.state().upgrades_wanted += 1;
            }
            let since = Instant::now();
            match self.look_after(link) {
                After::Stopping => return,
                After::Superseded => {}
                After::Gone { pid } => {
                    self.shared.remote.detach();
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

    fn attach_or_start(&mut self) -> Result<Arc<Link>, Trouble> {
        match self.attach() {
            Ok(link) => return Ok(link),
            Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(err) => {
                // It does not answer, or speaks a protocol of another release.
                eprintln!("elastane: the data plane is replaced: {err}");
                end_process(&self.shared.data).map_err(|err| format!("the old process does not end: {err}"))?;
            }
        }
        let child = self.shared.spawn(false).map_err(|err| format!("cannot start a process: {err}"))?;
        self.children.push(child);
        let start = Instant::now();
        loop {
            match self.attach() {
                Ok(link) => return Ok(link),
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

    fn attach(&self) -> io::Result<Arc<Link>> {
        let stream = remote::dial(self.shared.data.path())?;
        let (shared, facts) = (Arc::downgrade(&self.shared), self.shared.facts.clone());
        let number = self.shared.next_attachment();
        let events = LinkEvents {
            fact: Box::new(move |fact| facts(fact)),
            // Only successors are told these.
            counters: Box::new(|_: Counters| {}),
            ended: Box::new(move |superseded| {
                if let Some(shared) = shared.upgrade() {
                    shared.ended(number, superseded);
                }
            }),
        };
        Link::open(stream, Role::Daemon, events).map(Arc::new)
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
                        (link, attached) = (new, Instant::now());
                    }
                }
            }
            self.reap();
            let sign = link.last_sign().unwrap_or(attached).max(attached);
            if sign.elapsed() > HUNG {
                eprintln!("elastane: the data plane's process {} hangs and is replaced", link.hello.pid);
                kill(link.hello.pid);
                return After::Gone { pid: link.hello.pid };
            }
            link.ping();
        }
    }

    /// Has a new process take over; `None` when the old one goes on.
    fn upgrade(&mut self) -> Option<Arc<Link>> {
        let outcome = self.take_over().and_then(|()| self.attach_or_start());
        if let Ok(link) = &outcome {
            self.shared.remote.attach(link.clone());
        }
        let mut state = self.shared.state();
        state.upgrades_tried = state.upgrades_wanted;
        state.upgrade_trouble = outcome.as_ref().err().cloned();
        drop(state);
        self.shared.news.notify_all();
        outcome.inspect_err(|trouble| eprintln!("elastane: the data plane was not upgraded: {trouble}")).ok()
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
