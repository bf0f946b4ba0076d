//! When each access key and each role was last used, for GetAccessKeyLastUsed
//! and GetRole. Kept in memory, and in a file once a minute and at the end: a
//! daemon that is killed forgets the last minute (AWS tells of uses with a
//! delay of hours). No row: reads would become writes.

use crate::data_dir::{DataDir, Problem};
use elastane_api::KeyUse;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Where it is, below the data directory.
const FILE: &str = "key-uses.json";

/// How often it is written, when anything was used.
pub const SAVE_EVERY: Duration = Duration::from_secs(60);

/// Keys and roles that are remembered: two keys of each of 5,000 users (IAM's
/// quotas), and as many again. Beyond, the one that was not used for longest is
/// forgotten.
const USES_MAX: usize = 20_000;

/// The last uses of access keys, by their ids, and of roles, by their unique ids.
#[derive(Debug)]
pub struct KeyUses {
    uses: Mutex<BTreeMap<String, Used>>,
    unsaved: AtomicBool,
    data: DataDir,
}

/// A last use as the file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Used {
    at: Time,
    region: String,
    service: String,
}

impl KeyUses {
    /// Those of a data directory. A file that cannot be read is said aloud and
    /// costs what it held.
    pub fn open(data: &DataDir) -> KeyUses {
        let uses = data.read_json(FILE).unwrap_or_else(|problem: Problem| {
            eprintln!("elastane: when keys were last used is forgotten: {problem}");
            None
        });
        let uses = Mutex::new(uses.unwrap_or_default());
        KeyUses { uses, unsaved: AtomicBool::new(false), data: data.clone() }
    }

    /// Remembers the newest use of a key or role.
    pub fn note(&self, id: &str, used: KeyUse) {
        let KeyUse { at, region, service } = used;
        let used = Used { at, region, service };
        let mut uses = self.held();
        if let Some(known) = uses.get_mut(id) {
            *known = used;
        } else {
            if uses.len() >= USES_MAX
                && let Some(oldest) = uses.iter().min_by_key(|(_, used)| used.at).map(|(id, _)| id.clone())
            {
                uses.remove(&oldest);
            }
            uses.insert(id.to_string(), used);
        }
        self.unsaved.store(true, Ordering::Release);
    }

    /// The last use of a key or role; `None` when none is known.
    pub fn of(&self, id: &str) -> Option<KeyUse> {
        let Used { at, region, service } = self.held().get(id)?.clone();
        Some(KeyUse { at, region, service })
    }

    /// Writes what is new.
    pub fn save(&self) {
        if !self.unsaved.swap(false, Ordering::Acquire) {
            return;
        }
        let uses = self.held().clone();
        if let Err(problem) = self.data.write_json(FILE, &uses) {
            self.unsaved.store(true, Ordering::Release);
            eprintln!("elastane: when keys were last used cannot be written: {problem}");
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Used>> {
        self.uses.lock().expect("nothing panics while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(at: i64) -> KeyUse {
        KeyUse { at: Time(at), region: "us-east-1".to_string(), service: "ec2".to_string() }
    }

    /// The newest use counts, outlives a restart, and makes room for itself.
    #[test]
    fn uses_are_remembered() {
        let path = std::env::temp_dir().join(format!("elastane-uses-{}", std::process::id()));
        let data = DataDir::create(&path).expect("made");
        let uses = KeyUses::open(&data);
        uses.note("AKIA1", used(1));
        uses.note("AKIA1", used(2));
        assert_eq!((uses.of("AKIA1"), uses.of("AROA1")), (Some(used(2)), None));
        uses.save();
        let uses = KeyUses::open(&data);
        assert_eq!(uses.of("AKIA1"), Some(used(2)));
        (0..USES_MAX).for_each(|number| uses.note(&format!("AROA{number}"), used(3)));
        assert_eq!((uses.of("AKIA1"), uses.held().len()), (None, USES_MAX));
        std::fs::write(data.file(FILE), "no JSON").expect("written");
        assert_eq!(KeyUses::open(&data).of("AROA1"), None);
        std::fs::remove_dir_all(&path).expect("removed");
    }
}
