//! When each access key was last used, for GetAccessKeyLastUsed. Kept in
//! memory: after a restart a key was not used until it is used again.

use elastane_api::KeyUse;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Keys that are remembered: two of each of 5,000 users (IAM's quotas).
const KEYS_MAX: usize = 10_000;

/// The last uses of access keys.
#[derive(Debug, Default)]
pub struct KeyUses(Mutex<BTreeMap<String, KeyUse>>);

impl KeyUses {
    /// Remembers the newest use of a key.
    pub fn note(&self, access_key: &str, used: KeyUse) {
        let mut uses = self.0.lock().expect("remembering does not panic");
        if let Some(known) = uses.get_mut(access_key) {
            *known = used;
        } else if uses.len() < KEYS_MAX {
            uses.insert(access_key.to_string(), used);
        }
    }

    /// The last use of a key; `None` when none is known.
    pub fn of(&self, access_key: &str) -> Option<KeyUse> {
        self.0.lock().expect("remembering does not panic").get(access_key).cloned()
    }
}
