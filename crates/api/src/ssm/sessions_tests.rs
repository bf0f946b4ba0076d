//! Sessions against a real engine.

use crate::testing::{Lab, ask};
use crate::{Caller, Principal};
use elastane_domain::machine::{Generation, HostFact};
use elastane_engine::row::{Session, SessionEnd, SessionPhase};
use elastane_engine::{Config, Effect, Entropy, Fact, SeenSession};
use elastane_wire::ssm as wire;
use sha2::{Digest, Sha256};

const MINUTE: i64 = 60;

fn lab() -> (Lab, String) {
    let mut lab = Lab::with(Config { entropy: Some(Entropy::new([7; 32])), ..Config::default() });
    let id = lab.running(1).remove(0).to_string();
    (lab, id)
}

fn start(lab: &mut Lab, target: &str) -> wire::StartSessionResponse {
    let input = wire::StartSessionRequest { target: Some(target.to_string()), ..Default::default() };
    ask!(lab, SsmStartSession, input).expect("an instance that runs")
}

fn seen(lab: &mut Lab, id: &str, seen: SeenSession) -> Vec<Effect> {
    lab.facts(vec![Fact::Session { id: id.to_string(), seen }])
}

fn shown(lab: &mut Lab, state: &str) -> Vec<wire::Session> {
    let input = wire::DescribeSessionsRequest { state: Some(state.to_string()), ..Default::default() };
    ask!(lab, SsmDescribeSessions, input).expect("a state").sessions
}

fn ends(effects: &[Effect], id: &str) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::EndSession { session, .. } if session == id))
}

/// A started session has a row before it is answered, with its token's digest
/// and not the token; its id begins with the caller's name and its URL names it.
#[test]
fn a_session_is_a_row() {
    let (mut lab, target) = lab();
    let input =
        wire::StartSessionRequest { target: Some(target), reason: Some("to look".to_string()), ..Default::default() };
    let answer = ask!(lab, SsmStartSession, input).expect("an instance that runs");
    let row = lab.rows::<Session>().remove(0);
    let id = answer.session_id.expect("an id");
    assert_eq!(row.id, id);
    assert!(id.len() <= 96 && id.rsplit_once('-').is_some_and(|(_, rest)| rest.len() == 17), "{id}");
    let token = answer.token_value.expect("a token");
    assert!(token.len() >= 43 && token.len() <= 300);
    assert_eq!(row.token_digest, <[u8; 32]>::from(Sha256::digest(token.as_bytes())));
    assert!(!format!("{row:?}").contains(&token));
    assert_eq!(answer.stream_url, Some(format!("/v1/data-channel/{id}?role=publish_subscribe")));
    assert_eq!(shown(&mut lab, "Active")[0].status.as_deref(), Some("Connecting"));
    assert!(shown(&mut lab, "History").is_empty());
}

/// Ids are parts of paths and names of files, whatever the caller is called.
#[test]
fn names_of_callers() {
    let (lab, _) = lab();
    for (name, safe) in [("alice", "alice"), ("a/../b", "a_.._b"), ("..", "_."), ("me@example.com", "me@example.com")] {
        let caller = Caller { principal: Principal::User(name.to_string()), ..lab.caller.clone() };
        assert_eq!(super::sessions::name_of(&caller), safe);
    }
}

/// What the channel says is shown, and its end is the session's.
#[test]
fn the_channel_decides_the_status() {
    for (end, status, details) in [
        (SessionEnd::Exited(3), "Terminated", "The process exited with 3"),
        (SessionEnd::Idle, "Terminated", "Timed out: idle for too long"),
        (SessionEnd::Failed("no shell".to_string()), "Failed", "no shell"),
    ] {
        let (mut lab, target) = lab();
        let id = start(&mut lab, &target).session_id.expect("an id");
        seen(&mut lab, &id, SeenSession::Connected);
        assert_eq!(shown(&mut lab, "Active")[0].status.as_deref(), Some("Connected"));
        seen(&mut lab, &id, SeenSession::Disconnected);
        assert_eq!(shown(&mut lab, "Active")[0].status.as_deref(), Some("Disconnected"));
        let effects = seen(&mut lab, &id, SeenSession::Ended(end));
        assert!(!ends(&effects, &id), "what has ended by itself needs no end");
        let session = shown(&mut lab, "History").remove(0);
        assert_eq!((session.status.as_deref(), session.details.as_deref()), (Some(status), Some(details)));
        assert!(session.end_date.is_some());
    }
}

/// A terminated session's channel is closed, once; terminating again, or one
/// that never was, is no error.
#[test]
fn termination() {
    let (mut lab, target) = lab();
    let id = start(&mut lab, &target).session_id.expect("an id");
    seen(&mut lab, &id, SeenSession::Connected);
    for _ in 0..2 {
        let input = wire::TerminateSessionRequest { session_id: Some(id.clone()) };
        assert_eq!(ask!(lab, SsmTerminateSession, input).expect("terminated").session_id, Some(id.clone()));
    }
    let effects = lab.facts(Vec::new());
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::EndSession { .. })).count(), 1);
    let effects = seen(&mut lab, &id, SeenSession::Ended(SessionEnd::Terminated));
    assert!(effects.is_empty() && lab.engine.state().seen.sessions.is_empty());
    let input = wire::TerminateSessionRequest { session_id: Some("nobody-1".to_string()) };
    assert!(ask!(lab, SsmTerminateSession, input).is_ok());
    let input = wire::ResumeSessionRequest { session_id: Some(id) };
    assert_eq!(ask!(lab, SsmResumeSession, input).expect("known").token_value, None);
}

/// A resumed session has another token; an unknown one cannot be resumed.
#[test]
fn resumption() {
    let (mut lab, target) = lab();
    let first = start(&mut lab, &target);
    let input = wire::ResumeSessionRequest { session_id: first.session_id.clone() };
    let second = ask!(lab, SsmResumeSession, input).expect("open");
    assert_eq!(second.stream_url, first.stream_url);
    let token = second.token_value.expect("a token");
    assert_ne!(Some(&token), first.token_value.as_ref());
    assert_eq!(lab.rows::<Session>()[0].token_digest, <[u8; 32]>::from(Sha256::digest(token.as_bytes())));
    let input = wire::ResumeSessionRequest { session_id: Some("nobody-1".to_string()) };
    assert_eq!(ask!(lab, SsmResumeSession, input).expect_err("unknown").code, "DoesNotExistException");
}

/// Time, and the end of its instance, end a session and its channel.
#[test]
fn what_ends_a_session() {
    for (connected, minutes, end) in [
        (false, 20, Some(SessionEnd::Idle)),
        (false, 19, None),
        (true, 21, None),
        (true, 24 * 60, Some(SessionEnd::Overdue)),
    ] {
        let (mut lab, target) = lab();
        let id = start(&mut lab, &target).session_id.expect("an id");
        if connected {
            seen(&mut lab, &id, SeenSession::Connected);
        }
        let effects = lab.pass(minutes * MINUTE);
        let phase = lab.rows::<Session>().remove(0).phase.clone();
        match end {
            Some(end) => assert_eq!(phase, SessionPhase::Ended { at: lab.now, end }),
            None => assert!(!matches!(phase, SessionPhase::Ended { .. })),
        }
        assert_eq!(ends(&effects, &id), connected && matches!(phase, SessionPhase::Ended { .. }));
    }
    let (mut lab, target) = lab();
    let id = start(&mut lab, &target).session_id.expect("an id");
    seen(&mut lab, &id, SeenSession::Connected);
    let exited = HostFact::Exited { instance: target.as_str().into(), generation: Generation(1) };
    let effects = lab.facts(vec![Fact::Host(exited)]);
    assert!(ends(&effects, &id));
    let SessionPhase::Ended { end, .. } = lab.rows::<Session>().remove(0).phase.clone() else { panic!("it is open") };
    assert_eq!(end, SessionEnd::InstanceGone);
}

/// A daemon that starts finds sessions with a channel ended, and those that
/// nobody has come for as they were.
#[test]
fn another_daemon() {
    let (mut lab, target) = lab();
    let waiting = start(&mut lab, &target).session_id.expect("an id");
    let open = start(&mut lab, &target).session_id.expect("an id");
    lab.change(|tx| tx.update(&open, |row: &mut Session| row.phase = SessionPhase::Connected));
    lab.pass(0);
    for row in lab.rows::<Session>() {
        let ended = matches!(row.phase, SessionPhase::Ended { end: SessionEnd::DaemonEnded, .. });
        assert_eq!((row.id == open, row.id == waiting), (ended, !ended));
    }
}

/// Sessions are with instances that run, and not without number.
#[test]
fn refusals() {
    let (mut lab, target) = lab();
    let to = |target: &str| wire::StartSessionRequest { target: Some(target.to_string()), ..Default::default() };
    assert_eq!(ask!(lab, SsmStartSession, to("i-00000000")).expect_err("unknown").code, "TargetNotConnected");
    let input = wire::StartSessionRequest { document_name: Some("AWS-Nothing".to_string()), ..to(&target) };
    assert_eq!(ask!(lab, SsmStartSession, input).expect_err("unknown").code, "InvalidDocument");
    for _ in 0..32 {
        start(&mut lab, &target);
    }
    assert_eq!(ask!(lab, SsmStartSession, to(&target)).expect_err("too many").code, "ThrottlingException");
    for (target, status) in [(target.as_str(), "connected"), ("i-00000000", "notconnected")] {
        let input = wire::GetConnectionStatusRequest { target: Some(target.to_string()) };
        let answer = ask!(lab, SsmGetConnectionStatus, input).expect("a target");
        assert_eq!(answer.status.as_deref(), Some(status));
    }
}

/// Filters choose among sessions.
#[test]
fn filters_of_sessions() {
    let (mut lab, target) = lab();
    let id = start(&mut lab, &target).session_id.expect("an id");
    let owner = lab.caller.arn.clone();
    for (key, value, count) in [
        ("Target", target.as_str(), Ok(1)),
        ("Target", "i-00000000", Ok(0)),
        ("Owner", owner.as_str(), Ok(1)),
        ("Status", "Connecting", Ok(1)),
        ("Status", "Connected", Ok(0)),
        ("SessionId", id.as_str(), Ok(1)),
        ("InvokedBefore", "2020-01-01T00:00:00Z", Ok(0)),
        ("InvokedAfter", "yesterday", Err("InvalidFilterValue")),
        ("Colour", "red", Err("InvalidFilterKey")),
    ] {
        let filter = wire::SessionFilter { key: Some(key.to_string()), value: Some(value.to_string()) };
        let input = wire::DescribeSessionsRequest {
            state: Some("Active".to_string()),
            filters: vec![filter],
            ..Default::default()
        };
        let got = ask!(lab, SsmDescribeSessions, input).map(|answer| answer.sessions.len());
        assert_eq!(got.map_err(|err| err.code.to_string()), count.map_err(str::to_string), "{key}={value}");
    }
}
