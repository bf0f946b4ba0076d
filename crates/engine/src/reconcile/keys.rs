//! Keys of KMS whose waiting time is over go, with their aliases.

use super::wake_at;
use crate::row::{EncryptionKey, KeyAlias};
use crate::state::Tx;
use elastane_domain::time::Time;

pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let waiting = |key: &EncryptionKey| Some((key.deletion?.0, key.id.clone()));
    let waiting: Vec<(Time, String)> = tx.all::<EncryptionKey>().filter_map(|key| waiting(key)).collect();
    for (at, id) in waiting {
        if tx.now < at {
            wake_at(wake, at);
            continue;
        }
        let aliases = tx.all::<KeyAlias>().filter(|alias| alias.key == id).map(|alias| alias.name.clone());
        let aliases: Vec<String> = aliases.collect();
        aliases.iter().for_each(|name| tx.delete::<KeyAlias>(name));
        tx.delete::<EncryptionKey>(&id);
    }
}
