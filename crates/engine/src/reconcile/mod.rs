//! Reconcilers: compare what is wanted with what is, and take the next step.
//!
//! Each is level-triggered: it looks at rows and at what was seen last, never
//! at what just happened, so a restart runs the same path as a good day.

mod activity;
pub mod alarms;
mod balancers;
pub mod certificates;
pub mod commands;
mod effects;
pub mod groups;
mod images;
pub mod instances;
mod keys;
mod nat_gateways;
pub mod network;
pub mod notifications;
pub mod outages;
pub mod policy;
pub mod predictive;
pub mod routing;
mod schedule;
mod sessions;
pub mod spot;
pub mod target_states;
pub mod targets;
pub mod tracking;

pub(crate) use effects::{Memory, News, effects};
pub(crate) use network::Touched;

use crate::state::Tx;
use crate::telemetry::record_group_metrics;
use elastane_domain::time::{Span, Time};

const MINUTE: Span = Span::from_mins(1);

/// One pass over a scope's rows. `wake` is pulled to the next moment at which
/// time alone makes a difference.
pub(crate) fn scope(tx: &mut Tx<'_>, memory: &mut Memory, wake: &mut Time) {
    if !tx.view().state.seen.inventoried {
        return;
    }
    outages::reconcile(tx, wake);
    instances::reconcile(tx, memory, wake);
    balancers::reconcile(tx);
    spot::reconcile(tx, wake);
    nat_gateways::reconcile(tx, memory, wake);
    images::reconcile(tx);
    commands::reconcile(tx, wake);
    sessions::reconcile(tx, wake);
    targets::reconcile(tx, wake);
    certificates::reconcile(tx, wake);
    keys::reconcile(tx, wake);
    predictive::reconcile(tx, wake);
    schedule::reconcile(tx, wake);
    groups::reconcile(tx, wake);
    alarms::reconcile(tx, memory, wake);
    group_metrics(tx, memory, wake);
    notifications::reconcile(tx, memory);
}

/// Pulls `wake` to `at` when that is earlier.
fn wake_at(wake: &mut Time, at: Time) {
    *wake = (*wake).min(at);
}

/// Group metrics are written once a minute, of the minute that begins.
fn group_metrics(tx: &mut Tx<'_>, memory: &mut Memory, wake: &mut Time) {
    if tx.groups.values().all(|group| group.metrics.is_empty()) {
        return;
    }
    let minute = tx.now.floor(MINUTE);
    wake_at(wake, minute + MINUTE);
    let last = memory.group_metrics.insert(tx.scope().clone(), minute);
    if last != Some(minute) {
        record_group_metrics(tx, minute);
    }
}
