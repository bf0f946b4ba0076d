//! The trail: every call of an identified caller becomes an event of
//! CloudTrail in a file that nobody can change unseen, before it is answered.
//!
//! An event is written before the answer goes out, so that whatever a client
//! knows of is in the trail, also after `kill -9`. The disk is told to keep
//! it once a second. The newest events are in memory too; LookupEvents is
//! answered from those first, then from the files.

mod back;
mod chain;
mod event;
mod members;

pub use chain::{hex, unhex, verify};
pub use event::Draft;

use crate::data_dir::{DataDir, Problem};
use chain::Chain;
use elastane_api::cloudtrail::{Attribute, Found, Lookup, Recorded};
use elastane_domain::time::Time;
use elastane_wire::{ApiError, Output};
use serde_json::Value;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the trail is, below the data directory.
pub const FOLDER: &str = "audit";

/// What lookups may cost.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Bytes of events in memory.
    memory_bytes: usize,
    /// Bytes of files that one lookup reads, about: some ten milliseconds. A
    /// page that is not full then says where to go on.
    search_bytes: u64,
}

const BOUNDS: Bounds = Bounds { memory_bytes: 16 << 20, search_bytes: 8 << 20 };

/// The disk is told to keep what was written this often.
pub const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The trail of an installation.
pub struct Trail {
    inner: Mutex<Inner>,
    folder: PathBuf,
    bounds: Bounds,
    /// Whether something was written since the last sync.
    unsynced: AtomicBool,
    /// Events that could not be written.
    lost: AtomicU64,
}

struct Inner {
    chain: Chain,
    newest: VecDeque<Arc<Recorded>>,
    bytes: usize,
}

impl Trail {
    /// Opens the trail of a data directory, or begins it.
    pub fn open(data: &DataDir) -> Result<Trail, Problem> {
        Trail::bounded(data, BOUNDS)
    }

    fn bounded(data: &DataDir, bounds: Bounds) -> Result<Trail, Problem> {
        let folder = data.file(FOLDER);
        let (chain, events) = Chain::open(&folder)?;
        let mut inner = Inner { chain, newest: VecDeque::new(), bytes: 0 };
        let events = events.iter().filter_map(|(number, event)| read_back(*number, event));
        events.for_each(|recorded| inner.keep(recorded, bounds.memory_bytes));
        let (unsynced, lost) = (AtomicBool::new(false), AtomicU64::new(0));
        Ok(Trail { inner: Mutex::new(inner), folder, bounds, unsynced, lost })
    }

    /// Writes down how a call ended. A trail that cannot be written is said
    /// aloud; the calls go on, and the next event that can be written tells
    /// how many are missing.
    pub fn record(&self, draft: Draft, outcome: Result<&Output, &ApiError>) {
        let mut recorded = draft.finish(outcome);
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0
            && let Some(members) = recorded.event.strip_suffix('}')
        {
            recorded.event =
                format!("{members},\"addendum\":{{\"reason\":\"DELIVERY_DELAY\",\"eventsLost\":{lost}}}}}");
        }
        let mut inner = self.inner.lock().expect("nothing panics while it is held");
        match inner.chain.append(&recorded.event) {
            Ok(number) => {
                inner.keep(Recorded { number, ..recorded }, self.bounds.memory_bytes);
                self.lost.store(0, Ordering::Relaxed);
                self.unsynced.store(true, Ordering::Release);
            }
            Err(err) => {
                if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                    eprintln!("elastane: the audit trail cannot be written: {err}");
                }
            }
        }
    }

    /// The events that answer a lookup, the newest first: those in memory, then
    /// those of the files, which are read for a bounded time.
    pub fn lookup(&self, lookup: &Lookup) -> Found {
        let (mut events, oldest) = {
            let inner = self.inner.lock().expect("nothing panics while it is held");
            let answers = inner.newest.iter().rev().filter(|one| one.answers(lookup));
            let oldest = inner.newest.front().map_or(inner.chain.next(), |one| one.number);
            (answers.take(lookup.max).cloned().collect::<Vec<_>>(), oldest)
        };
        if events.len() >= lookup.max {
            return Found { events, next: None };
        }
        let needle = needle(lookup);
        let before = lookup.before.map_or(oldest, |before| before.min(oldest));
        let searched = back::back(&self.folder, before, self.bounds.search_bytes, &mut |number, event| {
            let worth = needle.as_ref().is_none_or(|needle| event.contains(needle));
            let Some(recorded) = worth.then(|| read_back(number, event)).flatten() else { return true };
            // What comes next is older still.
            let too_old = lookup.from.is_some_and(|from| recorded.at < from);
            if recorded.answers(lookup) {
                events.push(Arc::new(recorded));
            }
            !too_old && events.len() < lookup.max
        });
        let next = searched.unwrap_or_else(|err| {
            eprintln!("elastane: the audit trail cannot be read: {err}");
            None
        });
        Found { events, next }
    }

    /// Has the disk keep what was written so far.
    pub fn sync(&self) {
        if !self.unsynced.swap(false, Ordering::Acquire) {
            return;
        }
        let handle = self.inner.lock().expect("nothing panics while it is held").chain.handle();
        if let Err(err) = handle.and_then(|file| file.sync_data()) {
            self.unsynced.store(true, Ordering::Release);
            eprintln!("elastane: the audit trail cannot be synced: {err}");
        }
    }
}

impl Inner {
    fn keep(&mut self, recorded: Recorded, bytes_max: usize) {
        self.bytes += recorded.event.len();
        self.newest.push_back(Arc::new(recorded));
        while self.bytes > bytes_max
            && let Some(oldest) = self.newest.pop_front()
        {
            self.bytes -= oldest.event.len();
        }
    }
}

/// A text that an event has in it which answers a lookup: spares taking apart
/// most of those that do not. `None` when there is none.
fn needle(lookup: &Lookup) -> Option<String> {
    let (attribute, value) = lookup.by.as_ref()?;
    match attribute {
        // These are not written in an event as they are asked for.
        Attribute::ReadOnly | Attribute::ResourceType => None,
        Attribute::EventId
        | Attribute::EventName
        | Attribute::Username
        | Attribute::ResourceName
        | Attribute::EventSource
        | Attribute::AccessKeyId => Some(Value::from(value.as_str()).to_string().trim_matches('"').to_string()),
    }
}

/// An event as it was in memory, from its line; without the names of its
/// resources, which are found again.
fn read_back(number: u64, event: &str) -> Option<Recorded> {
    let value: Value = serde_json::from_str(event).ok()?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_string();
    let identity = &value["userIdentity"];
    let user = match identity["type"].as_str()? {
        "Root" => "root".to_string(),
        "AssumedRole" => identity["arn"].as_str()?.rsplit('/').next()?.to_string(),
        _ => identity["userName"].as_str().unwrap_or_default().to_string(),
    };
    let at: jiff::Timestamp = value["eventTime"].as_str()?.parse().ok()?;
    Some(Recorded {
        number,
        place: format!("{}/{}", text("recipientAccountId"), text("awsRegion")),
        id: text("eventID"),
        name: text("eventName"),
        source: text("eventSource"),
        at: Time(at.as_millisecond()),
        read_only: value["readOnly"].as_bool().unwrap_or_default(),
        user,
        access_key: identity["accessKeyId"].as_str().unwrap_or_default().to_string(),
        resources: event::resources(&value),
        event: event.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_api::Caller;
    use elastane_wire::{Input, ec2};

    /// A data directory that goes with its test.
    struct Folder(DataDir);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("elastane-audit-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Folder(DataDir::create(&path).expect("made"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.0.path());
        }
    }

    /// Writes down that somebody could not stop an instance.
    fn record(trail: &Trail, request: &str, instance: &str) {
        let caller = Caller::root(&"000000000000".into(), "AKIA1");
        let input = Input::Ec2StopInstances(Box::new(ec2::StopInstancesRequest {
            instance_ids: vec![instance.to_string()],
            ..Default::default()
        }));
        let refused = ApiError::new("IncorrectInstanceState", "no");
        trail.record(Draft::new(Time(7_000), "us-east-1", &caller, &input, request), Err(&refused));
    }

    fn lookup(attribute: Attribute, value: &str) -> Lookup {
        Lookup {
            place: "000000000000/us-east-1".to_string(),
            by: Some((attribute, value.to_string())),
            max: 10,
            ..Lookup::default()
        }
    }

    /// What was recorded is found by its name and by what it was about, also after a restart.
    #[test]
    fn lookups_survive_a_restart() {
        let folder = Folder::new("restart");
        let questions = [lookup(Attribute::EventName, "StopInstances"), lookup(Attribute::ResourceName, "i-1")];
        let trail = Trail::open(&folder.0).expect("opened");
        record(&trail, "r-1", "i-1");
        record(&trail, "r-2", "i-1");
        trail.sync();
        let before: Vec<_> = questions.iter().map(|question| trail.lookup(question)).collect();
        assert!(before.iter().all(|found| found.events.len() == 2 && found.next.is_none()));
        drop(trail);
        let trail = Trail::open(&folder.0).expect("opened again");
        let after: Vec<_> = questions.iter().map(|question| trail.lookup(question)).collect();
        assert_eq!(before, after);
    }

    /// Events that memory has let go are found in the files, page by page, each once; a lookup does a bounded part of
    /// the search and says where it goes on.
    #[test]
    fn lookups_reach_back() {
        let folder = Folder::new("back");
        let bounds = Bounds { memory_bytes: 4_000, search_bytes: 1 };
        let trail = Trail::bounded(&folder.0, bounds).expect("opened");
        let number = 3_000;
        (0..number).for_each(|n| record(&trail, &format!("r-{n}"), &format!("i-{}", n % 1_000)));
        for (attribute, value, want) in [
            (Attribute::EventName, "StopInstances", number),
            (Attribute::ResourceName, "i-7", 3),
            (Attribute::ReadOnly, "false", number),
            (Attribute::Username, "root", number),
            (Attribute::EventId, "none", 0),
        ] {
            let (mut numbers, mut rounds) = (Vec::new(), 0);
            let mut question = Lookup { max: 200, ..lookup(attribute, value) };
            loop {
                let found = trail.lookup(&question);
                numbers.extend(found.events.iter().map(|one| one.number));
                rounds += 1;
                let full = (found.events.len() == question.max).then(|| found.events[question.max - 1].number);
                match full.or(found.next) {
                    None => break,
                    before => question.before = before,
                }
            }
            assert!(numbers.is_sorted_by(|a, b| a > b), "{value}");
            assert_eq!(numbers.len(), want, "{value}");
            assert!(rounds > 1, "{value}: 3,000 events are more than one chunk");
        }
    }

    /// A full disk stops nothing; the next event that can be written tells how many are missing.
    #[test]
    fn a_full_disk_is_told_of() {
        let folder = Folder::new("full");
        let trail = Trail::open(&folder.0).expect("opened");
        record(&trail, "r-1", "i-1");
        let real = trail.inner.lock().expect("held by nobody").chain.fill();
        record(&trail, "r-2", "i-2");
        record(&trail, "r-3", "i-3");
        trail.inner.lock().expect("held by nobody").chain.empty(real);
        record(&trail, "r-4", "i-4");
        let found = trail.lookup(&lookup(Attribute::EventName, "StopInstances")).events;
        let events: Vec<Value> = found.iter().map(|one| serde_json::from_str(&one.event).expect("JSON")).collect();
        assert_eq!(events.len(), 2);
        assert_eq!((&events[0]["addendum"]["eventsLost"], &events[1]["addendum"]), (&Value::from(2), &Value::Null));
        assert_eq!(verify(&folder.0.file(FOLDER), None).expect("whole").events, 2);
    }
}
