//! Parameters of `AWS-RunShellScript`, and the two rates of a command.

use super::errors;
use elastane_wire::{ApiError, ssm as wire};
use std::collections::BTreeMap;

/// Longest script in bytes: a row that holds one stays small.
const SCRIPT_MAX: usize = 64 * 1024;

/// Seconds that a script may run when the call says nothing, or something
/// out of range (ssm.md 7).
const EXECUTION_TIMEOUT: i32 = 3600;

/// Longest execution timeout that is in range.
const EXECUTION_TIMEOUT_MAX: i32 = 172_800;

/// What the parameters say.
pub struct Script {
    /// The lines of `commands`, joined.
    pub text: String,
    /// `workingDirectory`, empty for the default.
    pub directory: String,
    /// `executionTimeout` in seconds.
    pub timeout_secs: i32,
}

/// The script of a call's parameters.
pub fn script(parameters: &BTreeMap<String, Vec<String>>) -> Result<Script, ApiError> {
    if let Some(name) = parameters.keys().find(|name| !is_known(name)) {
        return Err(errors::invalid_parameters(format!("The document has no parameter '{name}'")));
    }
    let commands = parameters.get("commands").filter(|lines| !lines.is_empty());
    let commands = commands.ok_or_else(|| errors::invalid_parameters("The parameter 'commands' is required"))?;
    let text = commands.join("\n");
    if text.len() > SCRIPT_MAX {
        return Err(errors::invalid_parameters(format!("The commands must have at most {SCRIPT_MAX} bytes")));
    }
    let timeout = single(parameters, "executionTimeout")?;
    let in_range = |secs: &i32| (1..=EXECUTION_TIMEOUT_MAX).contains(secs);
    let timeout_secs = timeout.parse().ok().filter(in_range).unwrap_or(EXECUTION_TIMEOUT);
    Ok(Script { text, directory: single(parameters, "workingDirectory")?.to_string(), timeout_secs })
}

fn is_known(name: &str) -> bool {
    matches!(name, "commands" | "workingDirectory" | "executionTimeout")
}

/// The value of a parameter that has at most one; empty when it has none.
fn single<'a>(parameters: &'a BTreeMap<String, Vec<String>>, name: &str) -> Result<&'a str, ApiError> {
    match parameters.get(name).map_or(&[][..], Vec::as_slice) {
        [] => Ok(""),
        [value] => Ok(value),
        [..] => Err(errors::invalid_parameters(format!("The parameter '{name}' takes a single value"))),
    }
}

/// A rate: a number, or a percentage of the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many.
    Number(usize),
    /// So many of a hundred.
    Percent(usize),
}

impl Rate {
    /// The rate of a text such as `10` or `10%`.
    pub fn parse(text: &str) -> Option<Rate> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        let canonical =
            digits == "0" || (digits.starts_with(|c: char| c != '0') && digits.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.parse().ok().filter(|_| canonical)?;
        match text.ends_with('%') {
            true => (number <= 100).then_some(Rate::Percent(number)),
            false => Some(Rate::Number(number)),
        }
    }

    /// How many of `targets` it is, rounded down.
    pub fn of(self, targets: usize) -> usize {
        match self {
            Rate::Number(number) => number,
            Rate::Percent(percent) => targets * percent / 100,
        }
    }
}

/// Refuses a MaxConcurrency that would hold back some of the targets: all of
/// them start at once.
pub fn check_concurrency(input: &wire::SendCommandRequest, targets: usize) -> Result<(), ApiError> {
    let Some(text) = input.max_concurrency.as_deref() else { return Ok(()) };
    let invalid = || errors::validation(format!("MaxConcurrency '{text}' must be a number or a percentage above 0"));
    let rate = Rate::parse(text).filter(|rate| !matches!(rate, Rate::Number(0) | Rate::Percent(0)));
    if rate.ok_or_else(invalid)?.of(targets) < targets {
        return Err(errors::unsupported(&format!(
            "MaxConcurrency '{text}' for {targets} targets (fewer at once than all)"
        )));
    }
    Ok(())
}

/// MaxErrors as it is kept; `0` when the call says nothing.
pub fn max_errors(input: &wire::SendCommandRequest) -> Result<String, ApiError> {
    let text = input.max_errors.as_deref().unwrap_or("0");
    let invalid = || errors::validation(format!("MaxErrors '{text}' must be a number or a percentage"));
    Rate::parse(text).map(|_| text.to_string()).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates are whole numbers or whole percentages without leading zeros;
    /// a percentage is rounded down.
    #[test]
    fn rates() {
        for (text, of_nine) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("10%", Some(0)),
            ("50%", Some(4)),
            ("100%", Some(9)),
            ("101%", None),
            ("05", None),
            ("+5", None),
            ("%", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(Rate::parse(text).map(|rate| rate.of(9)), of_nine, "{text}");
        }
    }

    /// Lines are joined; a timeout out of range becomes the default.
    #[test]
    fn scripts() {
        let parameters = |timeout: &str| {
            BTreeMap::from([
                ("commands".to_string(), vec!["a".to_string(), "b".to_string()]),
                ("executionTimeout".to_string(), vec![timeout.to_string()]),
            ])
        };
        for (timeout, secs) in [("60", 60), ("0", 3600), ("172801", 3600), ("soon", 3600)] {
            let script = script(&parameters(timeout)).expect("good parameters");
            assert_eq!((script.text.as_str(), script.timeout_secs), ("a\nb", secs));
        }
        let foreign = BTreeMap::from([("command".to_string(), vec!["a".to_string()])]);
        assert!(script(&foreign).is_err_and(|err| err.code == "InvalidParameters"));
        assert!(script(&BTreeMap::new()).is_err_and(|err| err.code == "InvalidParameters"));
    }
}
