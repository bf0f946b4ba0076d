//! The trail: every call of an identified caller becomes an event of
//! CloudTrail in a file that nobody can change unseen, before it is answered.
//!
//! An event is written before the answer goes out, so that whatever a client
//! knows of is in the trail, also after `kill -9`. The disk is told to keep
//! it once a second. The newest events are in memory too; LookupEvents is
//! answered from those.

mod chain;
mod event;
mod members;

pub use chain::{hex, unhex, verify};
pub use event::Draft;

use crate::data_dir::{DataDir, Problem};
use chain::Chain;
use elastane_api::cloudtrail::{Lookup, Recorded};
use elastane_domain::time::Time;
use elastane_wire::{ApiError, Output};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the trail is, below the data directory.
pub const FOLDER: &str = "audit";

/// Bytes of events in memory, for LookupEvents.
const MEMORY_BYTES_MAX: usize = 16 << 20;

/// The disk is told to keep what was written this often.
pub const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The trail of an installation.
pub struct Trail {
    inner: Mutex<Inner>,
    /// Whether something was written since the last sync.
    unsynced: AtomicBool,
    /// Events that could not be written.
    lost: AtomicU64,
}

struct Inner {
    chain: Chain,
    newest: VecDeque<Arc<Recorded>>,
    bytes: usize,
    next: u64,
}

impl Trail {
    /// Opens the trail of a data directory, or begins it.
    pub fn open(data: &DataDir) -> Result<Trail, Problem> {
        let (chain, events) = Chain::open(&data.file(FOLDER))?;
        let mut inner = Inner { chain, newest: VecDeque::new(), bytes: 0, next: 1 };
        events.into_iter().filter_map(read_back).for_each(|recorded| inner.keep(recorded));
        Ok(Trail { inner: Mutex::new(inner), unsynced: AtomicBool::new(false), lost: AtomicU64::new(0) })
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
            Ok(()) => {
                inner.keep(recorded);
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

    /// The events that answer a lookup, the newest first.
    pub fn lookup(&self, lookup: &Lookup) -> Vec<Arc<Recorded>> {
        let inner = self.inner.lock().expect("nothing panics while it is held");
        inner.newest.iter().rev().filter(|one| one.answers(lookup)).take(lookup.max).cloned().collect()
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
    fn keep(&mut self, mut recorded: Recorded) {
        recorded.number = self.next;
        self.next += 1;
        self.bytes += recorded.event.len();
        self.newest.push_back(Arc::new(recorded));
        while self.bytes > MEMORY_BYTES_MAX
            && let Some(oldest) = self.newest.pop_front()
        {
            self.bytes -= oldest.event.len();
        }
    }
}

/// An event as it was in memory, from its line; without the names of its
/// resources, which are found again.
fn read_back(event: String) -> Option<Recorded> {
    let value: Value = serde_json::from_str(&event).ok()?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_string();
    let identity = &value["userIdentity"];
    let user = match identity["type"].as_str()? {
        "Root" => "root".to_string(),
        "AssumedRole" => identity["arn"].as_str()?.rsplit('/').next()?.to_string(),
        _ => identity["userName"].as_str().unwrap_or_default().to_string(),
    };
    let at: jiff::Timestamp = value["eventTime"].as_str()?.parse().ok()?;
    Some(Recorded {
        number: 0,
        place: format!("{}/{}", text("recipientAccountId"), text("awsRegion")),
        id: text("eventID"),
        name: text("eventName"),
        source: text("eventSource"),
        at: Time(at.as_millisecond()),
        read_only: value["readOnly"].as_bool().unwrap_or_default(),
        user,
        access_key: identity["accessKeyId"].as_str().unwrap_or_default().to_string(),
        resources: event::resources(&value),
        event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_api::Caller;
    use elastane_api::cloudtrail::Attribute;
    use elastane_wire::{Input, ec2};

    /// What was recorded is found by its name and by what it was about, also after a restart.
    #[test]
    fn lookups_survive_a_restart() {
        let path = std::env::temp_dir().join(format!("elastane-audit-{}", std::process::id()));
        let data = DataDir::create(&path).expect("made");
        let caller = Caller::root(&"000000000000".into(), "AKIA1");
        let input = Input::Ec2StopInstances(Box::new(ec2::StopInstancesRequest {
            instance_ids: vec!["i-1".to_string()],
            ..Default::default()
        }));
        let refused = ApiError::new("IncorrectInstanceState", "no");
        let draft = |id: &str| Draft::new(Time(7_000), "us-east-1", &caller, &input, id);
        let lookup = |attribute, value: &str| Lookup {
            place: "000000000000/us-east-1".to_string(),
            by: Some((attribute, value.to_string())),
            max: 10,
            ..Lookup::default()
        };
        let questions = [lookup(Attribute::EventName, "StopInstances"), lookup(Attribute::ResourceName, "i-1")];
        let trail = Trail::open(&data).expect("opened");
        trail.record(draft("r-1"), Err(&refused));
        trail.record(draft("r-2"), Err(&refused));
        trail.sync();
        let before: Vec<_> = questions.iter().map(|question| trail.lookup(question)).collect();
        assert!(before.iter().all(|found| found.len() == 2 && found[0].number == 2));
        drop(trail);
        let trail = Trail::open(&data).expect("opened again");
        let after: Vec<_> = questions.iter().map(|question| trail.lookup(question)).collect();
        assert_eq!(before, after);
        std::fs::remove_dir_all(&path).expect("removed");
    }
}
