//! Zones that are cut off: an outage ends by itself when its time is up, and
//! instances in it fail their status checks while it lasts.

use super::wake_at;
use crate::row::*;
use crate::state::{Tx, View};
use elastane_domain::id::Zone;
use elastane_domain::time::{Span, Time};
use std::sync::Arc;

/// Status checks run every minute (ec2-imds.md 8), so one fails a minute after
/// the outage began.
pub const NOTICED_AFTER: Span = Span::from_mins(1);

/// Auto Scaling tolerates an impaired status for a few minutes (autoscaling.md
/// 4.2; the figure is not documented).
const TOLERATED: Span = Span::from_mins(2);

pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let outages: Vec<Arc<Outage>> = tx.all::<Outage>().cloned().collect();
    for outage in outages {
        if outage.until.is_some_and(|until| until <= tx.now) {
            tx.delete::<Outage>(outage.zone.as_str());
            continue;
        }
        let noticed = outage.since + NOTICED_AFTER;
        for at in [Some(noticed), Some(noticed + TOLERATED), outage.until].into_iter().flatten() {
            if at > tx.now {
                wake_at(wake, at);
            }
        }
    }
}

/// Whether a zone takes no launches and carries no traffic.
pub fn cut(view: &View<'_>, zone: &Zone) -> bool {
    view.get::<Outage>(zone.as_str()).is_some()
}

/// Since when the status checks of an instance that runs are impaired, as the
/// network of its zone is gone; `None` when they are not.
pub fn impaired_since(view: &View<'_>, instance: &Instance) -> Option<Time> {
    let outage = view.get::<Outage>(instance.zone.as_str()).filter(|_| instance.phase == Phase::Running)?;
    let since = (outage.since + NOTICED_AFTER).max(instance.launched_at + NOTICED_AFTER);
    (since <= view.now).then_some(since)
}

/// Whether an instance has been impaired for longer than Auto Scaling tolerates.
pub(super) fn intolerable(view: &View<'_>, instance: &Instance) -> bool {
    impaired_since(view, instance).is_some_and(|since| since + TOLERATED <= view.now)
}
