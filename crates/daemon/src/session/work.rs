//! A row's work in the words of the protocol and of the host.

use super::protocol::server::About;
use super::protocol::session_type;
use elastane_engine::row::{Session, SessionEnd, SessionWork};
use elastane_host::SessionTask;
use serde_json::{Value, json};

/// What the messages say of a session (ssm.md 1).
pub fn about(row: &Session) -> About {
    let command = |command: &str| json!({"linux": {"commands": command, "runAsElevated": false}});
    let (name, properties) = match &row.work {
        SessionWork::Shell => ("Standard_Stream", Value::Null),
        SessionWork::Interactive { command: text } => ("InteractiveCommands", command(text)),
        SessionWork::NonInteractive { command: text } => ("NonInteractiveCommands", command(text)),
        SessionWork::Port { port, listens: false, .. } => ("Port", json!({"portNumber": port.to_string()})),
        SessionWork::Port { host, port, local_port, listens: true } => {
            let mut properties = json!({
                "portNumber": port.to_string(),
                "localPortNumber": local_port,
                "type": "LocalPortForwarding",
            });
            if let Some(host) = host {
                properties["host"] = json!(host);
            }
            ("Port", properties)
        }
    };
    About { session: row.id.clone(), target: row.target.to_string(), session_type: session_type(name, properties) }
}

/// What the host is to do for it.
pub fn task(work: &SessionWork) -> SessionTask {
    match work {
        SessionWork::Shell => SessionTask::Shell,
        SessionWork::Interactive { command } => SessionTask::Interactive(command.clone()),
        SessionWork::NonInteractive { command } => SessionTask::NonInteractive(command.clone()),
        SessionWork::Port { host, port, listens, .. } => {
            SessionTask::Port { host: host.clone(), port: *port, reopens: *listens }
        }
    }
}

/// What its user is told at the end; empty for the client's own words.
pub fn last_words(end: &SessionEnd) -> String {
    match end {
        SessionEnd::Terminated | SessionEnd::Exited(_) => String::new(),
        SessionEnd::Idle => "The session timed out: it was idle for too long.".to_string(),
        SessionEnd::Overdue => "The session timed out: it reached its maximum duration.".to_string(),
        SessionEnd::InstanceGone => "The instance stopped.".to_string(),
        SessionEnd::DaemonEnded => "Elastane stops.".to_string(),
        SessionEnd::Failed(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::machine::Generation;
    use elastane_domain::time::{Span, Time};
    use elastane_engine::row::SessionPhase;

    fn row(work: SessionWork) -> Session {
        Session {
            id: "root-1".to_string(),
            owner: String::new(),
            target: "i-1".into(),
            generation: Generation(1),
            document: String::new(),
            work,
            reason: String::new(),
            started_at: Time(0),
            idle_limit: Span(1),
            duration_max: Span(1),
            token_digest: [0; 32],
            phase: SessionPhase::Connected,
        }
    }

    /// Each kind of work has the type and the properties that clients expect,
    /// all values of ports as text.
    #[test]
    fn types_and_properties() {
        let port = |host: Option<&str>, listens| SessionWork::Port {
            host: host.map(str::to_string),
            port: 80,
            local_port: "56789".to_string(),
            listens,
        };
        let command = || "top".to_string();
        let linux = json!({"linux": {"commands": "top", "runAsElevated": false}});
        for (work, expected) in [
            (SessionWork::Shell, json!({"SessionType": "Standard_Stream", "Properties": null})),
            (
                SessionWork::Interactive { command: command() },
                json!({"SessionType": "InteractiveCommands", "Properties": linux}),
            ),
            (
                SessionWork::NonInteractive { command: command() },
                json!({"SessionType": "NonInteractiveCommands", "Properties": linux}),
            ),
            (port(None, false), json!({"SessionType": "Port", "Properties": {"portNumber": "80"}})),
            (
                port(None, true),
                json!({"SessionType": "Port", "Properties":
                    {"portNumber": "80", "localPortNumber": "56789", "type": "LocalPortForwarding"}}),
            ),
            (
                port(Some("db"), true),
                json!({"SessionType": "Port", "Properties":
                    {"portNumber": "80", "localPortNumber": "56789", "type": "LocalPortForwarding", "host": "db"}}),
            ),
        ] {
            let got = serde_json::to_value(about(&row(work)).session_type).expect("plain data");
            assert_eq!(got, expected);
        }
    }
}
