//! Session Manager: StartSession, ResumeSession, TerminateSession and
//! GetConnectionStatus. A session is one row; its channel is the daemon's,
//! which opens it for whoever brings the token that was given out here. Only
//! the token's digest is kept.

use super::documents::{self, Arguments, Body, Preferences, references};
use super::{errors, sessions_documents};
use crate::{Call, Caller, Change, Principal};
use base64::Engine as _;
use elastane_domain::time::Span;
use elastane_engine::View;
use elastane_engine::row::{Instance, Phase, Session, SessionEnd, SessionPhase, SessionWork};
use elastane_wire::{ApiError, ssm as wire};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A session ends when its user does nothing for so long (ssm.md 1).
const IDLE_LIMIT: Span = Span::from_mins(20);

/// A session ends after so long in any case: the longest that AWS's preferences allow.
pub(super) const DURATION_MAX: Span = Span::from_mins(24 * 60);

/// Open sessions with one instance: each has processes of its own there.
const OPEN_AN_INSTANCE_MAX: usize = 32;

/// Open sessions of one caller, so that one cannot take the places of all.
const OPEN_A_CALLER_MAX: usize = 64;

/// Open sessions of an account in a region: each has buffers in the daemon.
const OPEN_MAX: usize = 256;

/// Sessions that are kept; the oldest that are over make room.
const KEPT_MAX: usize = 2_000;

/// Reason's longest (the model's).
const REASON_CHARACTERS_MAX: usize = 256;

/// The part of the caller's name that a session's id may begin with: 96
/// characters (ssm.md 1) less a dash and 17.
const NAME_CHARACTERS_MAX: usize = 78;

/// The path, on the endpoint that was called, at which channels are opened.
const CHANNEL_PATH: &str = "/v1/data-channel/";

/// StartSession. `StreamUrl` begins with the path: the shell, which knows how
/// it was reached, puts scheme and host before it.
pub fn start_session(
    tx: &mut Change<'_, '_>,
    input: &wire::StartSessionRequest,
) -> Result<wire::StartSessionResponse, ApiError> {
    let target = input.target.as_deref().ok_or_else(|| errors::missing("Target"))?;
    let reason = input.reason.clone().unwrap_or_default();
    if reason.chars().count() > REASON_CHARACTERS_MAX {
        return Err(errors::validation(format!("Reason is longer than {REASON_CHARACTERS_MAX} characters")));
    }
    let (document, work, preferences) = wanted(&tx.view(), input)?;
    let instance = tx.get::<Instance>(target).filter(|row| row.phase == Phase::Running);
    let instance = instance.ok_or_else(|| errors::target_not_connected(target))?;
    make_room(tx, target)?;
    let (token, token_digest) = new_token(tx)?;
    let row = Session {
        id: format!("{}-{}", name_of(tx.caller), tx.rng.hex(17)),
        owner: tx.caller.arn.clone(),
        target: instance.id.clone(),
        generation: instance.generation,
        document,
        work,
        reason,
        started_at: tx.now,
        idle_limit: preferences.idle_limit.unwrap_or(IDLE_LIMIT),
        duration_max: preferences.duration_max.unwrap_or(DURATION_MAX),
        token_digest,
        phase: SessionPhase::Connecting { since: tx.now },
    };
    let answer = wire::StartSessionResponse {
        session_id: Some(row.id.clone()),
        stream_url: Some(stream_path(&row.id)),
        token_value: Some(token),
    };
    tx.put(row);
    Ok(answer)
}

/// The document, what it starts, and what it prefers: one that the account
/// has made, also in place of the default one, or one of AWS's own.
fn wanted(view: &View<'_>, input: &wire::StartSessionRequest) -> Result<(String, SessionWork, Preferences), ApiError> {
    let name = input.document_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(sessions_documents::DEFAULT);
    let found = documents::find(view, name, None, None).ok().filter(|found| found.row.is_some());
    let Some(found) = found else {
        let (document, work) = sessions_documents::work(Some(name), &input.parameters)?;
        return Ok((document.to_string(), work, Preferences::default()));
    };
    let content = documents::content_of(&found)?;
    let Body::Session(preferences) = content.body else { return Err(errors::invalid_session_document(name)) };
    if !references::names(&references::with_defaults(&content.parameters, &input.parameters)).is_empty() {
        return Err(errors::invalid_parameters("Parameters of sessions cannot refer to Parameter Store here"));
    }
    Arguments::of(&content.parameters, &input.parameters)?;
    Ok((name.to_string(), SessionWork::Shell, preferences))
}

/// ResumeSession: a new token, which makes the old one useless; none when the
/// session is over.
pub fn resume_session(
    tx: &mut Change<'_, '_>,
    input: &wire::ResumeSessionRequest,
) -> Result<wire::ResumeSessionResponse, ApiError> {
    let id = input.session_id.as_deref().ok_or_else(|| errors::missing("SessionId"))?;
    let row = tx.get::<Session>(id).ok_or_else(|| errors::session_does_not_exist(id))?;
    let mut answer = wire::ResumeSessionResponse { session_id: Some(row.id.clone()), ..Default::default() };
    if row.is_open() {
        let (token, token_digest) = new_token(tx)?;
        tx.update(id, |row: &mut Session| row.token_digest = token_digest);
        answer.stream_url = Some(stream_path(id));
        answer.token_value = Some(token);
    }
    Ok(answer)
}

/// TerminateSession. One that is over, or was never there, is over.
pub fn terminate_session(
    tx: &mut Change<'_, '_>,
    input: &wire::TerminateSessionRequest,
) -> Result<wire::TerminateSessionResponse, ApiError> {
    let id = input.session_id.clone().ok_or_else(|| errors::missing("SessionId"))?;
    let at = tx.now;
    tx.update(&id, |row: &mut Session| {
        if row.is_open() {
            row.phase = SessionPhase::Ended { at, end: SessionEnd::Terminated };
        }
    });
    Ok(wire::TerminateSessionResponse { session_id: Some(id) })
}

/// GetConnectionStatus: an instance that runs takes sessions.
pub fn get_connection_status(
    call: &Call<'_>,
    input: &wire::GetConnectionStatusRequest,
) -> Result<wire::GetConnectionStatusResponse, ApiError> {
    let target = input.target.as_deref().ok_or_else(|| errors::missing("Target"))?;
    let runs = call.get::<Instance>(target).is_some_and(|row| row.phase == Phase::Running);
    let status = if runs { "connected" } else { "notconnected" };
    Ok(wire::GetConnectionStatusResponse { status: Some(status.to_string()), target: Some(target.to_string()) })
}

/// The name that a caller's sessions begin with, as a part of a path and the
/// name of a file.
pub(super) fn name_of(caller: &Caller) -> String {
    let name = match &caller.principal {
        Principal::Root => "root",
        Principal::User(name) => name,
        Principal::Role(session) => &session.name,
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let safe = name.chars().map(|c| if allowed(c) { c } else { '_' });
    // A name of dots alone, or that begins with one, would be a file's with a meaning.
    safe.take(NAME_CHARACTERS_MAX).collect::<String>().replacen('.', "_", usize::from(name.starts_with('.')))
}

fn stream_path(id: &str) -> String {
    format!("{CHANNEL_PATH}{id}?role=publish_subscribe")
}

/// A token and its digest.
fn new_token(tx: &mut Change<'_, '_>) -> Result<(String, [u8; 32]), ApiError> {
    let secret = tx.rng.secret().ok_or_else(errors::no_secrets)?;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret);
    let digest = Sha256::digest(token.as_bytes()).into();
    Ok((token, digest))
}

/// Refuses one session more than may be open, and deletes the oldest that are
/// over until one more fits.
fn make_room(tx: &mut Change<'_, '_>, target: &str) -> Result<(), ApiError> {
    let open = || tx.all::<Session>().filter(|row| row.is_open());
    let counts = [
        (open().count(), OPEN_MAX, "in this account and region"),
        (open().filter(|row| row.target.as_str() == target).count(), OPEN_AN_INSTANCE_MAX, "with this instance"),
        (open().filter(|row| row.owner == tx.caller.arn).count(), OPEN_A_CALLER_MAX, "of this caller"),
    ];
    if let Some((_, max, what)) = counts.into_iter().find(|(count, max, _)| count >= max) {
        return Err(errors::throttled(format!("{max} sessions {what} are open. Terminate some first.")));
    }
    let kept = tx.all::<Session>().count();
    if kept < KEPT_MAX {
        return Ok(());
    }
    let over: BTreeMap<_, String> = tx
        .all::<Session>()
        .filter(|row| !row.is_open())
        .map(|row| ((row.started_at, row.id.clone()), row.id.clone()))
        .collect();
    for id in over.into_values().take(kept + 1 - KEPT_MAX) {
        tx.delete::<Session>(&id);
    }
    Ok(())
}
