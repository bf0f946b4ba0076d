//! Sessions: what their channels said, what time ends, and what must be ended.

use super::wake_at;
use crate::row::*;
use crate::state::{SeenSession, State, Tx};
use elastane_domain::time::{Span, Time};
use std::sync::Arc;

/// Sessions that are over are shown for so long (Systems Manager User Guide,
/// session history).
const HISTORY: Span = Span::from_mins(30 * 24 * 60);

pub(super) fn reconcile(tx: &mut Tx<'_>, wake: &mut Time) {
    let sessions: Vec<Arc<Session>> = tx.all::<Session>().cloned().collect();
    for session in sessions {
        if let SessionPhase::Ended { at, .. } = session.phase {
            if tx.now >= at + HISTORY {
                tx.delete::<Session>(&session.id);
            }
            continue;
        }
        let phase = next(tx, &session, wake);
        if let SessionPhase::Ended { .. } = phase
            && let Some(SeenSession::Ended(_)) = tx.state.seen.sessions.get(&session.id)
        {
            tx.state.seen.sessions.remove(&session.id);
        }
        tx.update(&session.id, |row: &mut Session| row.phase = phase);
    }
}

/// How far an open session is now.
fn next(tx: &Tx<'_>, session: &Session, wake: &mut Time) -> SessionPhase {
    let now = tx.now;
    let ended = |end| SessionPhase::Ended { at: now, end };
    let seen = tx.state.seen.sessions.get(&session.id);
    let opened = matches!(session.phase, SessionPhase::Connected | SessionPhase::Disconnected { .. });
    let phase = match seen {
        Some(SeenSession::Ended(end)) => return ended(end.clone()),
        // What was open and of which nothing is known was another daemon's.
        None if opened => return ended(SessionEnd::DaemonEnded),
        Some(SeenSession::Connected) => SessionPhase::Connected,
        Some(SeenSession::Disconnected) => match session.phase {
            SessionPhase::Disconnected { since } => SessionPhase::Disconnected { since },
            SessionPhase::Connecting { .. } | SessionPhase::Connected | SessionPhase::Ended { .. } => {
                SessionPhase::Disconnected { since: now }
            }
        },
        None => session.phase.clone(),
    };
    let runs = |row: &Arc<Instance>| row.phase == Phase::Running && row.generation == session.generation;
    if !tx.get::<Instance>(session.target.as_str()).is_some_and(|row| runs(&row)) {
        return ended(SessionEnd::InstanceGone);
    }
    let last = session.started_at + session.duration_max;
    // While the channel is open, the daemon knows how long its user was idle.
    let alone = match phase {
        SessionPhase::Connecting { since } | SessionPhase::Disconnected { since } => Some(since + session.idle_limit),
        SessionPhase::Connected | SessionPhase::Ended { .. } => None,
    };
    if now >= last {
        return ended(SessionEnd::Overdue);
    }
    if alone.is_some_and(|alone| now >= alone) {
        return ended(SessionEnd::Idle);
    }
    wake_at(wake, alone.map_or(last, |alone| alone.min(last)));
    phase
}

/// Sessions with a channel whose row says that they are over, or that have none.
pub(super) fn to_end(state: &State) -> Vec<(String, Option<SessionEnd>)> {
    let row = |id: &String| state.scopes.values().find_map(|tables| tables.sessions.get(id));
    let live = state.seen.sessions.iter().filter(|(_, seen)| !matches!(seen, SeenSession::Ended(_)));
    live.filter_map(|(id, _)| match row(id).map(|row| &row.phase) {
        Some(SessionPhase::Ended { end, .. }) => Some((id.clone(), Some(end.clone()))),
        None => Some((id.clone(), None)),
        Some(SessionPhase::Connecting { .. } | SessionPhase::Connected | SessionPhase::Disconnected { .. }) => None,
    })
    .collect()
}
