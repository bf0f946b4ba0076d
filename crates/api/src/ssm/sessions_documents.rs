//! The documents of Session Manager that every account has, and what each
//! makes of its parameters (ssm.md 1).

use super::errors;
use elastane_engine::row::SessionWork;
use elastane_wire::ApiError;
use std::collections::BTreeMap;

/// The document when none is named.
pub const DEFAULT: &str = "SSM-SessionManagerRunShell";

/// A parameter of a document.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its value when it is not given; `None` when it must be.
    pub default: Option<&'static str>,
}

/// A document.
pub struct Document {
    /// Its name.
    pub name: &'static str,
    /// The session type that it has.
    pub session_type: &'static str,
    /// What it takes.
    pub parameters: &'static [Parameter],
}

const COMMAND: Parameter = Parameter { name: "command", default: None };
const LOCAL_PORT: Parameter = Parameter { name: "localPortNumber", default: Some("0") };

const fn port(default: &'static str) -> Parameter {
    Parameter { name: "portNumber", default: Some(default) }
}

/// All of them, by name.
pub const DOCUMENTS: [Document; 6] = [
    Document { name: "AWS-StartInteractiveCommand", session_type: "InteractiveCommands", parameters: &[COMMAND] },
    Document { name: "AWS-StartNonInteractiveCommand", session_type: "NonInteractiveCommands", parameters: &[COMMAND] },
    Document { name: "AWS-StartPortForwardingSession", session_type: "Port", parameters: &[port("80"), LOCAL_PORT] },
    Document {
        name: "AWS-StartPortForwardingSessionToRemoteHost",
        session_type: "Port",
        parameters: &[Parameter { name: "host", default: None }, port("80"), LOCAL_PORT],
    },
    Document { name: "AWS-StartSSHSession", session_type: "Port", parameters: &[port("22")] },
    Document { name: DEFAULT, session_type: "Standard_Stream", parameters: &[] },
];

/// A command's length: it is part of the first message, which clients limit.
const COMMAND_BYTES_MAX: usize = 32 << 10;

/// A host name's length (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// What a document, or the default one, makes of these parameters, with its name.
///
/// # Errors
/// `InvalidDocument`; `InvalidParameters` for parameters that it does not
/// take, that are missing, or that are no port, host or command.
pub fn work(
    name: Option<&str>,
    parameters: &BTreeMap<String, Vec<String>>,
) -> Result<(&'static str, SessionWork), ApiError> {
    let name = name.filter(|name| !name.is_empty()).unwrap_or(DEFAULT);
    let document = DOCUMENTS.iter().find(|document| document.name == name);
    let document = document.ok_or_else(|| errors::invalid_session_document(name))?;
    if let Some(unknown) = parameters.keys().find(|key| document.parameters.iter().all(|known| known.name != *key)) {
        return Err(errors::invalid_parameters(format!("The document {name} has no parameter {unknown}")));
    }
    let value = |wanted: &str| -> Result<String, ApiError> {
        let known = document.parameters.iter().find(|known| known.name == wanted);
        match parameters.get(wanted).map(Vec::as_slice) {
            Some([one]) => Ok(one.clone()),
            Some([]) | None => known
                .and_then(|known| known.default)
                .map(str::to_string)
                .ok_or_else(|| errors::invalid_parameters(format!("The document {name} needs the parameter {wanted}"))),
            Some(_) => Err(errors::invalid_parameters(format!("The parameter {wanted} takes one value"))),
        }
    };
    let work = match (document.session_type, name) {
        ("InteractiveCommands", _) => SessionWork::Interactive { command: command(value("command")?)? },
        ("NonInteractiveCommands", _) => SessionWork::NonInteractive { command: command(value("command")?)? },
        ("Port", "AWS-StartSSHSession") => SessionWork::Port {
            host: None,
            port: number("portNumber", &value("portNumber")?, 1)?,
            local_port: String::new(),
            listens: false,
        },
        ("Port", _) => {
            let local_port = value("localPortNumber")?;
            number("localPortNumber", &local_port, 0)?;
            let to_other = document.parameters.iter().any(|known| known.name == "host");
            let host = to_other.then(|| value("host").and_then(host)).transpose()?;
            let port = number("portNumber", &value("portNumber")?, 1)?;
            SessionWork::Port { host, port, local_port, listens: true }
        }
        _ => SessionWork::Shell,
    };
    Ok((document.name, work))
}

fn command(text: String) -> Result<String, ApiError> {
    if text.trim().is_empty() || text.len() > COMMAND_BYTES_MAX || text.contains('\0') {
        let message = format!("The parameter command must be a command of at most {COMMAND_BYTES_MAX} bytes");
        return Err(errors::invalid_parameters(message));
    }
    Ok(text)
}

fn number(name: &str, text: &str, min: u16) -> Result<u16, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse::<u16>().ok().filter(|number| digits && *number >= min);
    number.ok_or_else(|| errors::invalid_parameters(format!("The parameter {name} must be a port, not '{text}'")))
}

fn host(text: String) -> Result<String, ApiError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if text.is_empty() || text.len() > HOST_BYTES_MAX || text.starts_with('-') || !text.bytes().all(allowed) {
        return Err(errors::invalid_parameters("The parameter host must be a host name or an address"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: Option<&str>, parameters: &[(&str, &[&str])]) -> Result<(&'static str, SessionWork), String> {
        let values = |values: &[&str]| values.iter().map(|value| value.to_string()).collect();
        let parameters = parameters.iter().map(|(name, list)| (name.to_string(), values(list))).collect();
        work(name, &parameters).map_err(|err| err.code.to_string())
    }

    fn port(host: Option<&str>, port: u16, local_port: &str, listens: bool) -> SessionWork {
        SessionWork::Port { host: host.map(str::to_string), port, local_port: local_port.to_string(), listens }
    }

    /// Each document with its defaults and with parameters of its own.
    #[test]
    fn documents_make_work() {
        let command = || "top".to_string();
        let forward = Some("AWS-StartPortForwardingSession");
        let remote = Some("AWS-StartPortForwardingSessionToRemoteHost");
        for (name, parameters, work) in [
            (None, vec![], SessionWork::Shell),
            (Some(DEFAULT), vec![], SessionWork::Shell),
            (
                Some("AWS-StartInteractiveCommand"),
                vec![("command", &["top"][..])],
                SessionWork::Interactive { command: command() },
            ),
            (
                Some("AWS-StartNonInteractiveCommand"),
                vec![("command", &["top"][..])],
                SessionWork::NonInteractive { command: command() },
            ),
            (forward, vec![], port(None, 80, "0", true)),
            (
                forward,
                vec![("portNumber", &["5432"][..]), ("localPortNumber", &["56789"][..])],
                port(None, 5432, "56789", true),
            ),
            (remote, vec![("host", &["db.internal"][..])], port(Some("db.internal"), 80, "0", true)),
            (Some("AWS-StartSSHSession"), vec![], port(None, 22, "", false)),
        ] {
            let got = of(name, &parameters).expect("good parameters");
            assert_eq!(got, (name.unwrap_or(DEFAULT), work), "{name:?} {parameters:?}");
        }
    }

    /// What a document does not take is refused, never dropped.
    #[test]
    fn bad_parameters_are_refused() {
        let forward = Some("AWS-StartPortForwardingSession");
        for (name, parameters, code) in [
            (Some("AWS-RunShellScript"), vec![], "InvalidDocument"),
            (None, vec![("command", &["top"][..])], "InvalidParameters"),
            (Some("AWS-StartInteractiveCommand"), vec![], "InvalidParameters"),
            (Some("AWS-StartInteractiveCommand"), vec![("command", &[" "][..])], "InvalidParameters"),
            (Some("AWS-StartInteractiveCommand"), vec![("command", &["a", "b"][..])], "InvalidParameters"),
            (forward, vec![("portNumber", &["0"][..])], "InvalidParameters"),
            (forward, vec![("portNumber", &["+80"][..])], "InvalidParameters"),
            (forward, vec![("portNumber", &["65536"][..])], "InvalidParameters"),
            (forward, vec![("localPortNumber", &["x"][..])], "InvalidParameters"),
            (forward, vec![("host", &["db"][..])], "InvalidParameters"),
            (Some("AWS-StartPortForwardingSessionToRemoteHost"), vec![], "InvalidParameters"),
            (Some("AWS-StartPortForwardingSessionToRemoteHost"), vec![("host", &["a b"][..])], "InvalidParameters"),
        ] {
            assert_eq!(of(name, &parameters).expect_err("refused"), code, "{name:?} {parameters:?}");
        }
    }
}
