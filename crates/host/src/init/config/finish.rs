//! Where output goes, what is said at the end, and whether the instance goes
//! down then: `output`, `final_message`, `power_state`.

use super::{is_true, text};
use crate::init::boot::Boot;
use crate::init::command::command;
use crate::init::report::{SOURCE, Stage};
use serde_json::Value;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// The log that has all output anyway.
const LOG: &str = "/var/log/cloud-init-output.log";
/// What stands in a final message for things of the boot.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Sends the output of what the stage runs where `output` wants it.
pub fn redirect(boot: &mut Boot<'_>, stage: Stage) {
    redirect_back(boot);
    let output = boot.key("output");
    let name = match stage {
        Stage::Init => "init",
        Stage::Config => "config",
        Stage::Final => "final",
    };
    let wanted =
        [&output[name], &output["all"]].into_iter().find(|value| !value.is_null()).cloned().unwrap_or_default();
    let (out, err) = match &wanted {
        Value::Null => return,
        Value::Array(both) => (both.first().and_then(text), both.get(1).and_then(text)),
        Value::Object(both) => (both.get("output").and_then(text), both.get("error").and_then(text)),
        one => (text(one), None),
    };
    let Some(out) = out else { return boot.report.warn("cloud-config: `output` is not understood and has no effect") };
    let err = err.filter(|err| err != "&1");
    let opened = target(boot, &out).and_then(|out| Ok((out, err.map(|err| target(boot, &err)).transpose()?)));
    let set = opened.and_then(|(out, err)| {
        let Some(out) = out else { return Ok(()) };
        let err = err.flatten();
        rustix::stdio::dup2_stdout(&out)?;
        rustix::stdio::dup2_stderr(err.as_ref().unwrap_or(&out)).map_err(std::io::Error::from)
    });
    if let Err(err) = set {
        boot.report.fail(&format!("cloud-config: `output` cannot be carried out: {err}"));
    }
}

/// Sends output to the console again.
pub fn redirect_back(boot: &Boot<'_>) {
    // It worked when the boot began.
    let _ = rustix::stdio::dup2_stdout(boot.console.as_fd());
    let _ = rustix::stdio::dup2_stderr(boot.console.as_fd());
}

/// A file or a command's input; nothing for where output goes anyway.
fn target(boot: &Boot<'_>, wanted: &str) -> std::io::Result<Option<File>> {
    let wanted = wanted.trim();
    let file = |name: &str, append: bool| {
        let path = boot.spec.path(name.trim().trim_start_matches('/'));
        File::options().create(true).write(true).append(append).truncate(!append).open(path).map(Some)
    };
    if let Some(shell) = wanted.strip_prefix('|') {
        let words: Vec<&str> = shell.split_whitespace().collect();
        if matches!(words[..], ["tee", "-a", LOG]) {
            return Ok(None);
        }
        let mut command = command(boot.spec, Path::new("/bin/sh"));
        command.arg("-c").arg(shell).stdin(Stdio::piped());
        command.stdout(boot.console.try_clone()?).stderr(boot.console.try_clone()?);
        let mut child = command.spawn()?;
        return Ok(child.stdin.take().map(|pipe| File::from(std::os::fd::OwnedFd::from(pipe))));
    }
    match wanted.strip_prefix(">>") {
        Some(name) if name.trim() == LOG => Ok(None),
        Some(name) => file(name, true),
        None => file(wanted.strip_prefix('>').unwrap_or(wanted), false),
    }
}

/// The user's last words.
pub fn message(boot: &mut Boot<'_>, seconds: f32) {
    let Some(message) = text(&boot.key("final_message")) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = filled(
        &message,
        &[
            ("uptime", format!("{seconds:.2}")),
            ("timestamp", utc(now.as_secs())),
            ("version", VERSION.to_owned()),
            ("datasource", SOURCE.to_owned()),
        ],
    );
    boot.report.line(line.trim_end());
}

/// Replaces `$name`, `${name}`, and the form of jinja templates; in any case.
fn filled(message: &str, values: &[(&str, String)]) -> String {
    let mut text =
        message.trim_start_matches("## template: jinja\n").trim_start_matches("## template:jinja\n").to_owned();
    for (name, value) in values {
        for name in [(*name).to_owned(), name.to_ascii_uppercase()] {
            for form in
                [format!("${{{name}}}"), format!("{{{{{name}}}}}"), format!("{{{{ {name} }}}}"), format!("${name}")]
            {
                text = text.replace(&form, value);
            }
        }
    }
    text
}

/// A time as people read it: `2026-11-22 02:05:55 +0000`.
fn utc(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Civil date from days since 1970, with years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} +0000", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// When the instance is to be shut down after its boot, in milliseconds from now.
pub fn power_state(boot: &mut Boot<'_>) -> Option<u64> {
    let wanted = boot.key("power_state");
    if wanted.is_null() || !boot.first_time("power_state_change") {
        return None;
    }
    let mode = text(&wanted["mode"]).unwrap_or_default();
    let delay = delay_minutes(&wanted["delay"]);
    match (mode.as_str(), delay) {
        ("poweroff" | "halt", Some(minutes)) if condition(boot, &wanted["condition"]) => {
            let words = text(&wanted["message"]).unwrap_or_default();
            boot.report.line(format!("elastane: power_state: {mode} in {minutes} minutes. {words}").trim_end());
            Some(minutes.saturating_mul(60_000))
        }
        ("poweroff" | "halt", Some(_)) => None,
        ("poweroff" | "halt", None) => {
            boot.report.fail("power_state: the delay is neither `now` nor a number of minutes");
            None
        }
        ("reboot", _) => {
            boot.report.fail("power_state: the mode `reboot` is not supported; `poweroff` and `halt` are");
            None
        }
        _ => {
            boot.report.fail("power_state: the mode is none of `poweroff` and `halt`");
            None
        }
    }
}

/// `now`, `+5`, `5`.
fn delay_minutes(value: &Value) -> Option<u64> {
    match value {
        Value::Null => Some(0),
        Value::String(text) if text == "now" => Some(0),
        Value::String(text) => text.trim_start_matches('+').parse().ok(),
        Value::Number(number) => number.as_u64(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn condition(boot: &mut Boot<'_>, value: &Value) -> bool {
    let shell = |script: &str| -> Command {
        let mut command = command(boot.spec, Path::new("/bin/sh"));
        command.arg("-c").arg(script);
        command
    };
    let asked = match value {
        Value::Null => return true,
        Value::String(script) => shell(script),
        Value::Array(words) => {
            let words: Vec<String> = words.iter().filter_map(text).map(|word| super::quoted(&word)).collect();
            shell(&words.join(" "))
        }
        other => return is_true(other),
    };
    matches!(boot.status(asked), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Dates around leap years, and what a final message may hold.
    #[test]
    fn messages() {
        for (seconds, want) in [
            (0, "1970-01-01 00:00:00 +0000"),
            (951_782_399, "2000-02-28 23:59:59 +0000"),
            (951_782_400, "2000-02-29 00:00:00 +0000"),
            (1_767_225_599, "2025-12-31 23:59:59 +0000"),
        ] {
            assert_eq!(utc(seconds), want);
        }
        let values = [("uptime", "1.50".to_owned())];
        let text = "## template: jinja\nup $UPTIME ${uptime} {{uptime}} {{ uptime }} $uptime $other";
        assert_eq!(filled(text, &values), "up 1.50 1.50 1.50 1.50 1.50 $other");
    }

    /// Delays as shutdown reads them.
    #[test]
    fn delays() {
        for (value, want) in [
            (json!(null), Some(0)),
            (json!("now"), Some(0)),
            (json!("+5"), Some(5)),
            (json!(2), Some(2)),
            (json!("soon"), None),
            (json!([1]), None),
        ] {
            assert_eq!(delay_minutes(&value), want, "{value}");
        }
    }
}
