//! `write_files`.

use super::text;
use crate::init::boot::Boot;
use crate::init::userdata::{base64_lines, gunzip};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

/// The keys of one entry.
const KEYS: [&str; 7] = ["path", "content", "encoding", "owner", "permissions", "append", "defer"];

/// One file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    content: Vec<u8>,
    owner: Option<String>,
    mode: u32,
    append: bool,
    defer: bool,
}

/// Reads one entry. The error says what is wrong with it.
fn entry(value: &Value) -> Result<Entry, String> {
    let map = value.as_object().ok_or("an entry is not a mapping")?;
    let path = value["path"].as_str().filter(|path| !path.is_empty()).ok_or("an entry has no path")?;
    if !path.starts_with('/') || path.split('/').any(|name| name == "..") {
        return Err(format!("the path {path:?} is not absolute"));
    }
    if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("`{key}` of {path} is not supported"));
    }
    let content = text(&value["content"]).unwrap_or_default();
    let encoding = text(&value["encoding"]).unwrap_or_default().to_ascii_lowercase();
    let content = decoded(content.as_bytes(), &encoding).map_err(|why| format!("the content of {path}: {why}"))?;
    Ok(Entry {
        content,
        owner: text(&value["owner"]),
        mode: mode(&value["permissions"]).ok_or_else(|| format!("the permissions of {path} are no octal number"))?,
        append: super::is_true(&value["append"]),
        defer: super::is_true(&value["defer"]),
        path: path.to_owned(),
    })
}

fn decoded(content: &[u8], encoding: &str) -> Result<Vec<u8>, String> {
    let base64 = || base64_lines(content).ok_or_else(|| "it is not base64".to_owned());
    match encoding {
        "" | "text/plain" | "text" | "plain" => Ok(content.to_vec()),
        "b64" | "base64" => base64(),
        // A YAML text cannot hold gzip's bytes unless it was tagged binary and is UTF-8.
        "gz" | "gzip" => gunzip(content),
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => gunzip(&base64()?),
        other => Err(format!("the encoding {other:?} is unknown")),
    }
}

/// Octal digits in quotes, or a number that YAML has read as octal already.
fn mode(value: &Value) -> Option<u32> {
    match value {
        Value::Null => Some(0o644),
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(digits) => u32::from_str_radix(digits.trim().trim_start_matches("0o"), 8).ok(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
    .filter(|mode| *mode <= 0o7777)
}

/// Writes the files that are, or are not, deferred until packages are there.
pub fn write(boot: &mut Boot<'_>, deferred: bool) {
    let value = boot.config.get("write_files").cloned().unwrap_or_default();
    if value.is_null() {
        return;
    }
    let Some(entries) = value.as_array() else {
        if !deferred {
            boot.report.fail("write_files: it is not a list");
        }
        return;
    };
    let is_now = |value: &&Value| super::is_true(&value["defer"]) == deferred;
    let any = entries.iter().any(|value| is_now(&value));
    if !any || !boot.first_time(if deferred { "write_files_deferred" } else { "write_files" }) {
        return;
    }
    for value in entries.iter().filter(is_now) {
        let written = entry(value).and_then(|entry| write_one(boot, &entry));
        if let Err(why) = written {
            boot.report.fail(&format!("write_files: {why}"));
        }
    }
}

fn write_one(boot: &mut Boot<'_>, entry: &Entry) -> Result<(), String> {
    let path = boot.spec.path(entry.path.trim_start_matches('/'));
    if !boot.spec.make.is_sandbox() {
        boot.report.line(&format!("elastane: write_files: {} is written to {}", entry.path, path.display()));
    }
    let result = (|| {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file =
            fs::File::options().create(true).write(true).append(entry.append).truncate(!entry.append).open(&path)?;
        file.write_all(&entry.content)?;
        file.set_permissions(fs::Permissions::from_mode(entry.mode))
    })();
    result.map_err(|err| format!("cannot write {}: {err}", entry.path))?;
    match &entry.owner {
        Some(owner) => boot.give(&path, owner).map_err(|why| format!("{}: {why}", entry.path)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Contents and permissions are read as cloud-init does.
    #[test]
    fn entries() {
        for (value, content, mode, append) in [
            (json!({"path": "/a", "content": "x\n"}), "x\n", 0o644, false),
            (json!({"path": "/a", "content": "aGk=", "encoding": "b64", "permissions": "0755"}), "hi", 0o755, false),
            (json!({"path": "/a", "content": "aGk", "encoding": "base64", "permissions": 420}), "hi", 0o644, false),
            (json!({"path": "/a", "permissions": "4711", "append": true}), "", 0o4711, true),
            (
                json!({"path": "/a", "content": "H4sIAAAAAAAAA8vIBACsKpPYAgAAAA==", "encoding": "gz+b64"}),
                "hi",
                0o644,
                false,
            ),
            (json!({"path": "/a", "content": 5}), "5", 0o644, false),
        ] {
            let got = entry(&value).unwrap();
            assert_eq!(
                (String::from_utf8_lossy(&got.content).as_ref(), got.mode, got.append),
                (content, mode, append),
                "{value}"
            );
        }
    }

    /// What cannot be written as asked is refused with its path.
    #[test]
    fn faults() {
        for (value, want) in [
            (json!("x"), "an entry is not a mapping"),
            (json!({"content": "x"}), "an entry has no path"),
            (json!({"path": "a"}), "the path \"a\" is not absolute"),
            (json!({"path": "/a/../b"}), "the path \"/a/../b\" is not absolute"),
            (json!({"path": "/a", "source": {"uri": "http://x"}}), "`source` of /a is not supported"),
            (json!({"path": "/a", "permissions": "rwx"}), "the permissions of /a are no octal number"),
            (json!({"path": "/a", "encoding": "rot13"}), "the content of /a: the encoding \"rot13\" is unknown"),
            (json!({"path": "/a", "content": "?", "encoding": "b64"}), "the content of /a: it is not base64"),
        ] {
            assert_eq!(entry(&value).unwrap_err(), want);
        }
    }
}
