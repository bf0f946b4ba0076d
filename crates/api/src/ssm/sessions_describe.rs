//! DescribeSessions: open sessions, or those that are over.

use super::{errors, filters, sessions::DURATION_MAX};
use crate::Call;
use crate::page::{Pager, page};
use elastane_domain::time::Time;
use elastane_engine::row::{Session, SessionEnd, SessionPhase};
use elastane_wire::{ApiError, ssm as wire};
use std::sync::Arc;

/// Sessions of a page when the client names no MaxResults, and at most (the model's).
const PAGE_SIZE_MAX: usize = 200;

/// DescribeSessions: the newest first.
pub fn describe_sessions(
    call: &Call<'_>,
    input: &wire::DescribeSessionsRequest,
) -> Result<wire::DescribeSessionsResponse, ApiError> {
    let open = match input.state.as_deref() {
        Some("Active") => true,
        Some("History") => false,
        Some(other) => return Err(errors::validation(format!("The state '{other}' is not Active or History"))),
        None => return Err(errors::missing("State")),
    };
    let filters = input.filters.iter().map(Filter::parse).collect::<Result<Vec<_>, _>>()?;
    let asked = |row: &&Arc<Session>| row.is_open() == open && filters.iter().all(|filter| filter.describes(row));
    let mut rows: Vec<&Arc<Session>> = call.all::<Session>().filter(asked).collect();
    rows.sort_by_cached_key(|row| newest_first(row));
    let max = input.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_SIZE_MAX);
    let pager = Pager {
        token: input.next_token.as_deref(),
        max: Some(max.clamp(1, PAGE_SIZE_MAX)),
        bad_token: "InvalidNextToken",
    };
    let (rows, next_token) = page(rows, pager, |row| newest_first(row))?;
    Ok(wire::DescribeSessionsResponse { next_token, sessions: rows.into_iter().map(|row| shown(row)).collect() })
}

fn newest_first(row: &Session) -> String {
    let age = u64::MAX - row.started_at.millis().max(0) as u64;
    format!("{age:020}/{}", row.id)
}

enum Filter<'a> {
    After(Time),
    Before(Time),
    Target(&'a str),
    Owner(&'a str),
    Status(&'a str),
    Session(&'a str),
}

impl<'a> Filter<'a> {
    fn parse(filter: &'a wire::SessionFilter) -> Result<Filter<'a>, ApiError> {
        let value = filter.value.as_deref().unwrap_or_default();
        match filter.key.as_deref().unwrap_or_default() {
            "InvokedAfter" => filters::moment(value).map(Filter::After),
            "InvokedBefore" => filters::moment(value).map(Filter::Before),
            "Target" => Ok(Filter::Target(value)),
            "Owner" => Ok(Filter::Owner(value)),
            "Status" => Ok(Filter::Status(value)),
            "SessionId" => Ok(Filter::Session(value)),
            other => Err(errors::invalid_filter_key(other)),
        }
    }

    fn describes(&self, row: &Session) -> bool {
        match self {
            Filter::After(time) => row.started_at > *time,
            Filter::Before(time) => row.started_at < *time,
            Filter::Target(target) => row.target.as_str() == *target,
            Filter::Owner(owner) => row.owner == *owner,
            Filter::Status(wanted) => status(row) == *wanted,
            Filter::Session(id) => row.id == *id,
        }
    }
}

/// `SessionStatus` (ssm.md 1).
fn status(row: &Session) -> &'static str {
    match &row.phase {
        SessionPhase::Connecting { .. } => "Connecting",
        SessionPhase::Connected => "Connected",
        SessionPhase::Disconnected { .. } => "Disconnected",
        SessionPhase::Ended { end: SessionEnd::Failed(_), .. } => "Failed",
        SessionPhase::Ended { .. } => "Terminated",
    }
}

/// Why it is over, for people.
fn details(row: &Session) -> Option<String> {
    let SessionPhase::Ended { end, .. } = &row.phase else { return None };
    Some(match end {
        SessionEnd::Terminated => "Terminated on request".to_string(),
        SessionEnd::Exited(code) => format!("The process exited with {code}"),
        SessionEnd::Idle => "Timed out: idle for too long".to_string(),
        SessionEnd::Overdue => "Timed out: the maximum duration has passed".to_string(),
        SessionEnd::InstanceGone => "The instance stopped".to_string(),
        SessionEnd::DaemonEnded => "Elastane was restarted".to_string(),
        SessionEnd::Failed(why) => why.clone(),
    })
}

fn shown(row: &Session) -> wire::Session {
    let end_date = match row.phase {
        SessionPhase::Ended { at, .. } => Some(at.millis().into()),
        SessionPhase::Connecting { .. } | SessionPhase::Connected | SessionPhase::Disconnected { .. } => None,
    };
    let minutes = row.duration_max.min(DURATION_MAX).millis() / 60_000;
    wire::Session {
        access_type: Some("Standard".to_string()),
        details: details(row),
        document_name: Some(row.document.clone()),
        end_date,
        max_session_duration: Some(minutes.to_string()),
        output_url: None,
        owner: Some(row.owner.clone()),
        reason: Some(row.reason.clone()).filter(|reason| !reason.is_empty()),
        session_id: Some(row.id.clone()),
        start_date: Some(row.started_at.millis().into()),
        status: Some(status(row).to_string()),
        target: Some(row.target.to_string()),
    }
}
