//! The data plane's process: runs a [`Proxy`], answers whoever attaches, and
//! decides when to end. It needs no daemon to go on serving.

use super::batches::Batches;
use super::book::FactBook;
use super::estate;
use super::link::{Link, LinkEvents};
use super::message::{ClockSettings, Estate, Hello, PROTOCOL};
use super::place::Post;
use super::session;
use crate::clock::Clock;
use crate::control::{FactSink, Proxy, ProxyConfig};
use crate::registry::Counters;
use crate::share::Share;
use elastane_domain::routing::{ProxyFact, Snapshot, TargetKey};
use elastane_domain::time::Time;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a process without load balancers waits for a daemon. One that has
/// load balancers serves until it is told to end or its directory is gone.
const UNCLAIMED_LIMIT: Duration = Duration::from_secs(60);
/// How long a process whose successor serves may finish what it has; then
/// WebSockets and downloads that are left are cut.
const RETIRED_LIMIT: Duration = Duration::from_secs(600);
/// How often it looks at whether to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long the last counters may take to be taken.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);
const LAST_WORDS_LOOK: Duration = Duration::from_millis(5);
/// A process that finishes and whose successor is gone ends by then.
const ORPHANED_LIMIT: Duration = Duration::from_secs(30);
/// How long a predecessor may take to tell its counters.
const PREDECESSOR_LIMIT: Duration = Duration::from_secs(1);

/// What the process is started with.
pub struct Service {
    /// The data directory: its socket is there.
    pub folder: PathBuf,
    /// Release of the program.
    pub version: String,
    /// Tells this build of the program from another.
    pub build: String,
    /// Take over from the process that serves this share of the directory now.
    pub take_over: bool,
    /// What of the load balancers it serves.
    pub share: Share,
}

/// What a proxy in this process is made with; the rest is the caller's.
pub struct Parts {
    /// Data threads; 0 is one for each core.
    pub threads: usize,
    /// Where its facts go.
    pub facts: FactSink,
    /// Service time as the daemon sets it.
    pub clock: Arc<dyn Clock>,
}

/// Service time that runs as the daemon says; wall time before it does.
struct SetClock(RwLock<ClockSettings>);

impl SetClock {
    fn settings(&self) -> ClockSettings {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, settings: ClockSettings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

impl Clock for SetClock {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        self.settings().at(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Facts and what their meaning depends on.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) book: FactBook,
    /// Grows with each daemon that attaches.
    pub(super) attachment: u64,
    /// Our own number of a snapshot to (attachment, the daemon's number).
    numbers: BTreeMap<u64, (u64, u64)>,
    numbered: u64,
    applied: u64,
    predecessor: Option<Predecessor>,
    pub(super) superseded: bool,
    /// The process ends, and these are its last counters.
    pub(super) last: Option<Vec<(u64, Counters)>>,
}

/// Draining targets whose last requests a predecessor may have.
#[derive(Default)]
struct Predecessor {
    /// Drained there.
    drained: HashSet<TargetKey>,
    /// Drained here, but not there yet.
    held_back: HashSet<TargetKey>,
}

impl Notes {
    fn take(&mut self, fact: ProxyFact) {
        match fact {
            ProxyFact::Applied { generation: number } => {
                self.applied = self.applied.max(number);
                let later = self.numbers.split_off(&(number + 1));
                let named = std::mem::replace(&mut self.numbers, later).pop_last();
                if let Some((_, (attachment, generation))) = named
                    && attachment == self.attachment
                {
                    self.book.note(ProxyFact::Applied { generation });
                }
            }
            ProxyFact::Drained { target } => match &mut self.predecessor {
                Some(predecessor) if !predecessor.drained.contains(&target) => {
                    predecessor.held_back.insert(target);
                }
                Some(_) | None => self.book.note(ProxyFact::Drained { target }),
            },
            fact => self.book.note(fact),
        }
    }

    fn drained_there(&mut self, target: TargetKey) {
        let Some(predecessor) = &mut self.predecessor else { return };
        if predecessor.held_back.remove(&target) {
            self.book.note(ProxyFact::Drained { target: target.clone() });
        }
        predecessor.drained.insert(target);
    }

    fn predecessor_gone(&mut self) {
        let Some(predecessor) = self.predecessor.take() else { return };
        for target in predecessor.held_back {
            self.book.note(ProxyFact::Drained { target });
        }
    }

    /// Keeps what is about targets that drain by this snapshot.
    fn prune(&mut self, snapshot: &Snapshot) {
        self.book.prune(snapshot);
        if let Some(predecessor) = &mut self.predecessor {
            let draining: HashSet<TargetKey> = super::book::draining(snapshot);
            predecessor.drained.retain(|target| draining.contains(target));
            predecessor.held_back.retain(|target| draining.contains(target));
        }
    }
}

/// What all sessions share.
pub(super) struct Core {
    pub(super) hello: Hello,
    proxy: OnceLock<Proxy>,
    notes: Mutex<Notes>,
    /// Told when there are new facts, and when the process ends.
    pub(super) news: Condvar,
    clock: Arc<SetClock>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    batches: Mutex<Batches>,
    predecessor: Mutex<Option<Arc<Link>>>,
    /// The daemon's stream, and since when there is none.
    claim: Mutex<(Option<UnixStream>, Instant)>,
    fate: Mutex<Fate>,
    /// Attachments of processes that take over or have done so.
    successors: AtomicUsize,
}

/// What is to become of the process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Serve,
    Finish { until: Instant },
    End,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done between two steps that can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    fn new(service: &Service) -> Core {
        let hello = Hello {
            protocol: PROTOCOL,
            version: service.version.clone(),
            build: service.build.clone(),
            pid: std::process::id(),
            share: service.share,
        };
        let clock = ClockSettings { wall_ms: 0, service_ms: 0, scale: 1.0 };
        Core {
            hello,
            proxy: OnceLock::new(),
            notes: Mutex::default(),
            news: Condvar::new(),
            clock: Arc::new(SetClock(RwLock::new(clock))),
            snapshot: Mutex::default(),
            batches: Mutex::default(),
            predecessor: Mutex::default(),
            claim: Mutex::new((None, Instant::now())),
            fate: Mutex::new(Fate::Serve),
            successors: AtomicUsize::new(0),
        }
    }

    pub(super) fn proxy(&self) -> &Proxy {
        self.proxy.get().expect("the proxy is started before anybody can attach")
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    fn take_fact(&self, fact: ProxyFact) {
        self.notes().take(fact);
        self.news.notify_all();
    }

    /// A daemon attaches: the one before it is let go.
    pub(super) fn claim(&self, stream: UnixStream) -> u64 {
        let mut claim = lock(&self.claim);
        if let Some(before) = claim.0.replace(stream) {
            let _ = before.shutdown(std::net::Shutdown::Both);
        }
        let mut notes = self.notes();
        notes.attachment += 1;
        notes.book.forget_applied();
        notes.attachment
    }

    /// A daemon's attachment has ended.
    pub(super) fn unclaim(&self, attachment: u64) {
        let mut claim = lock(&self.claim);
        if self.notes().attachment == attachment {
            *claim = (None, Instant::now());
        }
    }

    pub(super) fn set_clock(&self, settings: ClockSettings) {
        self.clock.set(settings);
        if let Some(predecessor) = &*lock(&self.predecessor) {
            predecessor.clock(settings);
        }
    }

    /// Puts a daemon's snapshot in force; ignored from one that has been replaced.
    pub(super) fn route(&self, attachment: u64, snapshot: Arc<Snapshot>) {
        let mut newest = lock(&self.snapshot);
        let number = {
            let mut notes = self.notes();
            if attachment != notes.attachment {
                return;
            }
            notes.numbered += 1;
            let number = notes.numbered;
            notes.numbers.insert(number, (attachment, snapshot.generation));
            number
        };
        self.put_in_force(&snapshot, number);
        *newest = Some(snapshot);
    }

    fn put_in_force(&self, snapshot: &Arc<Snapshot>, number: u64) {
        let numbered = Arc::new(Snapshot { generation: number, ..(**snapshot).clone() });
        // The predecessor's last requests follow the same snapshot.
        if let Some(predecessor) = &*lock(&self.predecessor) {
            predecessor.route(numbered.clone());
        }
        self.proxy().apply(&numbered);
        self.notes().prune(snapshot);
        self.news.notify_all();
    }

    pub(super) fn batches(&self) -> MutexGuard<'_, Batches> {
        lock(&self.batches)
    }

    /// Counters for a reader, with the number to call them safe by.
    pub(super) fn collect(&self, reader: u64) -> (u64, Counters) {
        self.count().lend(reader)
    }

    /// Adds what was counted since the last time, here and by the predecessor.
    fn count(&self) -> MutexGuard<'_, Batches> {
        let predecessor = lock(&self.predecessor).clone();
        let theirs = predecessor.and_then(|link| link.collect(PREDECESSOR_LIMIT));
        let mut batches = self.batches();
        let mut since = self.proxy().collect();
        if let Some(theirs) = theirs {
            since.merge(theirs);
        }
        batches.add(since);
        batches
    }

    pub(super) fn estate(&self) -> Estate {
        Estate {
            threads: self.proxy().threads(),
            clock: Some(self.clock.settings()),
            snapshot: lock(&self.snapshot).clone(),
            health: self.proxy().export_health(),
        }
    }

    /// A successor serves.
    pub(super) fn retire(&self) {
        self.proxy().retire();
        self.notes().superseded = true;
        self.news.notify_all();
        let mut fate = lock(&self.fate);
        if *fate == Fate::Serve {
            *fate = Fate::Finish { until: Instant::now() + RETIRED_LIMIT };
        }
    }

    /// A process attaches that is to take over: it may take the post now, and
    /// this process goes on serving until it is told to retire.
    pub(super) fn successor_attached(&self) {
        self.successors.fetch_add(1, Ordering::Relaxed);
    }

    /// The successor of a process that finishes is gone: nobody would find it.
    pub(super) fn orphaned(&self) {
        self.successors.fetch_sub(1, Ordering::Relaxed);
        if let Fate::Finish { until } = &mut *lock(&self.fate) {
            *until = (*until).min(Instant::now() + ORPHANED_LIMIT);
        }
    }

    /// Snapshots of the successor count from now on, and no others.
    pub(super) fn adopt_successor(&self) -> u64 {
        let mut notes = self.notes();
        notes.attachment += 1;
        notes.attachment
    }

    pub(super) fn end(&self) {
        if let Some(predecessor) = &*lock(&self.predecessor) {
            predecessor.stop();
        }
        *lock(&self.fate) = Fate::End;
    }

    /// Whether nobody wants anything of this process any more.
    fn is_over(&self, post: &Post) -> bool {
        match *lock(&self.fate) {
            Fate::End => true,
            Fate::Finish { until } => self.has_finished() || Instant::now() > until,
            Fate::Serve => (!post.is_held() && !self.has_successor()) || self.is_forgotten(),
        }
    }

    /// Neither it nor a predecessor serves anybody.
    fn has_finished(&self) -> bool {
        self.proxy().remaining() == Some(0) && lock(&self.predecessor).is_none()
    }

    /// Whether somebody is there who says when to retire.
    fn has_successor(&self) -> bool {
        self.successors.load(Ordering::Relaxed) > 0
    }

    fn is_forgotten(&self) -> bool {
        let claim = lock(&self.claim);
        let idle = claim.0.is_none() && claim.1.elapsed() > UNCLAIMED_LIMIT;
        idle && lock(&self.snapshot).as_ref().is_none_or(|snapshot| snapshot.load_balancers.is_empty())
    }

    /// Tells the successor what was counted since it asked last.
    fn last_words(&self) {
        if !matches!(*lock(&self.fate), Fate::Finish { .. }) {
            return;
        }
        // An answer that is on its way is seldom told twice.
        self.wait_until_safe();
        let last = self.count().last_words();
        self.notes().last = Some(last);
        self.news.notify_all();
        self.wait_until_safe();
    }

    fn wait_until_safe(&self) {
        let since = Instant::now();
        while !self.batches().all_safe() && since.elapsed() < LAST_WORDS_LIMIT {
            std::thread::sleep(LAST_WORDS_LOOK);
        }
    }
}

/// Runs the data plane's process until it is told to end, its successor
/// serves and it has finished, or nobody needs it.
///
/// # Errors
/// The data directory, threads or a successor's predecessor failed.
pub fn serve(service: &Service, make: impl FnOnce(Parts) -> ProxyConfig) -> io::Result<()> {
    let core = Arc::new(Core::new(service));
    let inherited =
        if service.take_over { Some(estate::receive(&service.folder, service.share.index())?) } else { None };
    let threads = inherited.as_ref().map_or(0, |inherited| inherited.estate.threads);
    let sink = Arc::downgrade(&core);
    let facts: FactSink = Arc::new(move |fact| {
        if let Some(core) = Weak::upgrade(&sink) {
            core.take_fact(fact);
        }
    });
    let proxy = Proxy::start(make(Parts { threads, facts, clock: core.clock.clone() }))?;
    proxy.serve_share(service.share);
    assert!(core.proxy.set(proxy).is_ok(), "it is set once");
    let retiring = match inherited {
        Some(inherited) => Some(succeed(&core, inherited)?),
        None => None,
    };
    let post = Post::take(&service.folder, service.share.index())?;
    if let Some(predecessor) = retiring {
        predecessor.retire();
    }
    session::listen(&core, &post)?;
    while !core.is_over(&post) {
        std::thread::sleep(LOOK);
    }
    core.last_words();
    post.leave();
    // Sessions may keep the core, and with it the proxy, until the process ends.
    core.proxy().stop();
    Ok(())
}

/// Serves what the predecessor served, beside it.
fn succeed(core: &Arc<Core>, inherited: estate::Inherited) -> io::Result<Arc<Link>> {
    let estate::Inherited { estate, listeners, stream, receiver, hello } = inherited;
    if let Some(clock) = estate.clock {
        core.clock.set(clock);
    }
    core.proxy().adopt(listeners);
    core.proxy().seed_health(estate.health);
    core.notes().predecessor = Some(Predecessor::default());
    let link = Arc::new(Link::over(stream, receiver, hello, predecessor_events(core))?);
    *lock(&core.predecessor) = Some(link.clone());
    if let Some(snapshot) = estate.snapshot {
        let mut newest = lock(&core.snapshot);
        let number = {
            let mut notes = core.notes();
            notes.numbered += 1;
            notes.numbered
        };
        core.put_in_force(&snapshot, number);
        *newest = Some(snapshot);
        let mut notes = core.notes();
        while notes.applied < number {
            notes = core.news.wait(notes).unwrap_or_else(PoisonError::into_inner);
        }
    }
    Ok(link)
}

fn predecessor_events(core: &Arc<Core>) -> LinkEvents {
    let (facts, counters, ended) = (Arc::downgrade(core), Arc::downgrade(core), Arc::downgrade(core));
    LinkEvents {
        fact: Box::new(move |fact| {
            if let (ProxyFact::Drained { target }, Some(core)) = (fact, facts.upgrade()) {
                core.notes().drained_there(target);
                core.news.notify_all();
            }
        }),
        counters: Box::new(move |last| {
            if let Some(core) = counters.upgrade() {
                core.batches().add_last(last);
            }
        }),
        ended: Box::new(move |_| {
            if let Some(core) = ended.upgrade() {
                core.notes().predecessor_gone();
                core.news.notify_all();
                *lock(&core.predecessor) = None;
            }
        }),
    }
}
