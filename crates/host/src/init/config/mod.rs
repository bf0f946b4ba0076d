//! cloud-config: which keys there are (`schema`), and one file for each group
//! of keys that does what they say. docs/user-data.md is the users' list.

pub mod accounts;
pub mod files;
pub mod finish;
pub mod identity;
pub mod packages;
pub mod schema;
pub mod ssh;
pub mod users;

use serde_json::Value;

/// A text, or a number or truth value as a text: `fqdn: 5` and `uid: "5"` are common.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(holds) => Some(holds.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Texts in a list, or separated by commas in one text.
pub fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
        }
        Value::Array(values) => values.iter().filter_map(text).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// Whether a value means yes, as cloud-init reads it.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(holds) => *holds,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "on" | "yes"),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A word as a shell reads it back unchanged.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A script of commands: texts are lines of shell, lists are words of one
/// command. The error says which entry is neither.
pub fn shell_script(key: &str, commands: &Value) -> Result<String, String> {
    let mut script = "#!/bin/sh\n".to_owned();
    let entries = commands.as_array().ok_or_else(|| format!("{key} is not a list"))?;
    for (at, entry) in entries.iter().enumerate() {
        match entry {
            Value::Null => {}
            Value::String(line) => script.push_str(line),
            Value::Array(words) => {
                let words: Option<Vec<String>> =
                    words.iter().map(|word| text(word).map(|word| quoted(&word))).collect();
                let words = words.ok_or_else(|| format!("entry {} of {key} holds more than words", at + 1))?;
                script.push_str(&words.join(" "));
            }
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                let hint = if entry.is_object() { "; a text with `: ` in it has to be quoted" } else { "" };
                return Err(format!("entry {} of {key} is neither a text nor a list of words{hint}", at + 1));
            }
        }
        script.push('\n');
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Texts are shell, lists are words; anything else is refused with its place.
    #[test]
    fn scripts() {
        for (commands, want) in [
            (
                json!(["echo $A | cat", ["echo", "$A", "it's"], ["ls", 5]]),
                Ok("#!/bin/sh\necho $A | cat\n'echo' '$A' 'it'\\''s'\n'ls' '5'\n"),
            ),
            (
                json!([{"echo a": "b"}]),
                Err("entry 1 of runcmd is neither a text nor a list of words; a text with `: ` in it has to be quoted"),
            ),
            (json!(["x", 5]), Err("entry 2 of runcmd is neither a text nor a list of words")),
            (json!("x"), Err("runcmd is not a list")),
            (json!([["a", ["b"]]]), Err("entry 1 of runcmd holds more than words")),
        ] {
            assert_eq!(shell_script("runcmd", &commands), want.map(str::to_owned).map_err(str::to_owned), "{commands}");
        }
    }
}
