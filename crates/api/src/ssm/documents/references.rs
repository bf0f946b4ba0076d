//! References to Parameter Store in what a command is given:
//! `{{ssm:name}}`, `{{ssm:name:3}}`, `{{ssm:name:label}}` (Systems Manager User
//! Guide, "Working with parameters using Run Command commands" and "Reference a
//! parameter version"). They are replaced when the command is sent, in the
//! values of the call and in the document's defaults. What a parameter holds is
//! not looked into again.

use super::super::{errors, store};
use super::parameters::{Parameter, ParameterKind};
use elastane_engine::View;
use elastane_engine::row::ParameterKind as Stored;
use elastane_wire::ApiError;
use std::collections::{BTreeMap, BTreeSet};

/// Parameters that one command refers to: permission is asked for each.
const REFERENCES_MAX: usize = 100;

/// Bytes that all references of a command become together: as many as its
/// scripts may have. A reference is short and what it stands for is not.
const REPLACED_BYTES_MAX: usize = 64 * 1024;

/// Values by the names of a document's parameters.
pub type Given = BTreeMap<String, Vec<String>>;

/// A parameter's kind and value.
type Found = (Stored, String);

/// What is given, with those defaults of the other parameters that refer to
/// Parameter Store.
pub fn with_defaults(parameters: &[Parameter], given: &Given) -> Given {
    let mut all = given.clone();
    for parameter in parameters {
        let is_given = given.get(&parameter.name).is_some_and(|values| !values.is_empty());
        let texts: Vec<String> = match &parameter.default {
            Some(serde_json::Value::String(text)) => vec![text.clone()],
            Some(serde_json::Value::Array(list)) => {
                list.iter().filter_map(|one| one.as_str().map(str::to_string)).collect()
            }
            _ => continue,
        };
        if !is_given && texts.iter().any(|text| next(text).is_some()) {
            all.insert(parameter.name.clone(), texts);
        }
    }
    all
}

/// What the values refer to, with versions, as it is written there.
pub fn names(given: &Given) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for text in given.values().flatten() {
        let mut rest = text.as_str();
        while let Some((_, name, after)) = next(rest) {
            found.insert(name);
            rest = after;
        }
    }
    found
}

/// The values with each reference replaced. One that stands alone in an item of
/// a StringList becomes the items of the StringList that it refers to.
///
/// # Errors
/// `InvalidParameters` for what is not there, for a SecureString, and for a
/// StringList in the middle of a text.
pub fn resolve(view: &View<'_>, parameters: &[Parameter], given: Given) -> Result<Given, ApiError> {
    let found = look_up(view, &names(&given))?;
    if found.is_empty() {
        return Ok(given);
    }
    let mut room = REPLACED_BYTES_MAX;
    let mut resolved = Given::new();
    for (name, values) in given {
        let is_list = parameters.iter().any(|known| known.name == name && known.kind == ParameterKind::List);
        let mut items = Vec::new();
        for text in values {
            match alone(&text).and_then(|name| found.get(name)) {
                Some((Stored::List, value)) if is_list => {
                    take(&mut room, value.len())?;
                    items.extend(split(value));
                }
                _ => items.push(replaced(&text, &found, &mut room)?),
            }
        }
        resolved.insert(name, items);
    }
    Ok(resolved)
}

/// What the names stand for.
fn look_up(view: &View<'_>, names: &BTreeSet<&str>) -> Result<BTreeMap<String, Found>, ApiError> {
    if names.len() > REFERENCES_MAX {
        let text = format!("A command refers to at most {REFERENCES_MAX} parameters of Parameter Store");
        return Err(errors::invalid_parameters(text));
    }
    let (mut found, mut unknown, mut secret) = (BTreeMap::new(), Vec::new(), Vec::new());
    for name in names {
        match store::stored(view, name) {
            Ok((Stored::Secure, _)) => secret.push(*name),
            Ok(one) => {
                found.insert(name.to_string(), one);
            }
            Err(_) => unknown.push(*name),
        }
    }
    // Both sentences are those of AWS's agent, which replaces the references there.
    if !unknown.is_empty() {
        return Err(errors::invalid_parameters(format!("Input contains invalid parameters [{}]", unknown.join(" "))));
    }
    if !secret.is_empty() {
        let text = format!("Parameters [{}] of type SecureString are not supported", secret.join(" "));
        return Err(errors::invalid_parameters(text));
    }
    Ok(found)
}

fn replaced(text: &str, found: &BTreeMap<String, Found>, room: &mut usize) -> Result<String, ApiError> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, name, after)) = next(rest) {
        let Some((kind, value)) = found.get(name) else { break };
        if *kind == Stored::List {
            // Likewise.
            let text = format!("SSM parameter {name} of type StringList cannot be used as a String");
            return Err(errors::invalid_parameters(text));
        }
        take(room, value.len())?;
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn take(room: &mut usize, bytes: usize) -> Result<(), ApiError> {
    let too_long = || {
        let text = format!("What the command refers to in Parameter Store has more than {REPLACED_BYTES_MAX} bytes");
        errors::invalid_parameters(text)
    };
    *room = room.checked_sub(bytes).ok_or_else(too_long)?;
    Ok(())
}

/// The name, if a text is a reference and nothing else but space.
fn alone(text: &str) -> Option<&str> {
    next(text.trim()).filter(|(before, _, after)| before.is_empty() && after.is_empty()).map(|(_, name, _)| name)
}

/// The first reference of a text, with what is before and after it. Spaces may
/// be beside the name, and nothing else (AGENT `parameterstore`). Each byte is
/// looked at once or twice: texts come from clients.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("{{").map(|at| from + at) {
        let inner = text[at + 2..].trim_start_matches(' ');
        if let Some(inner) = inner.strip_prefix("ssm:") {
            let end = inner.bytes().position(|byte| byte != b':' && !is_of_name(byte)).unwrap_or(inner.len());
            let (name, rest) = inner.split_at(end);
            if let Some(after) = rest.trim_start_matches(' ').strip_prefix("}}")
                && is_name(name)
            {
                return Some((&text[..at], name, after));
            }
        }
        from = at + 1;
    }
    None
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte)
}

/// A name, with or without a version or a label, or an ARN.
fn is_name(text: &str) -> bool {
    let own = text.strip_prefix("arn:").and_then(|arn| arn.split_once(":parameter/")).map_or(text, |(_, own)| own);
    let (name, selector) = own.split_once(':').unwrap_or((own, "1"));
    [name, selector].iter().all(|part| !part.is_empty() && part.bytes().all(is_of_name))
}

/// The items of a StringList: separated by commas, and what is between single
/// quotes is kept together (AGENT `parameterstore`).
fn split(value: &str) -> Vec<String> {
    let (mut items, mut rest) = (Vec::new(), value);
    while let Some(first) = rest.chars().next() {
        let quoted = (first == '\'').then(|| rest[1..].split_once('\'')).flatten();
        match (first, quoted) {
            ('\'', Some((item, after))) if !item.is_empty() => {
                items.push(item.trim().to_string());
                rest = after;
            }
            (',' | '\'', _) => rest = &rest[1..],
            (_, _) => {
                let end = rest.find([',', '\'']).unwrap_or(rest.len());
                items.push(rest[..end].trim().to_string());
                rest = &rest[end..];
            }
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is a reference, and to what.
    #[test]
    fn references() {
        for (text, want) in [
            ("{{ssm:a}}", Some(("", "a", ""))),
            ("echo {{ ssm:/Test/hello-World_1.x }};", Some(("echo ", "/Test/hello-World_1.x", ";"))),
            ("{{ssm:a:3}}{{ssm:b}}", Some(("", "a:3", "{{ssm:b}}"))),
            ("{{ssm:/a/b:prod}}", Some(("", "/a/b:prod", ""))),
            (
                "{{ssm:arn:aws:ssm:us-east-1:000000000000:parameter/a/b:2}}",
                Some(("", "arn:aws:ssm:us-east-1:000000000000:parameter/a/b:2", "")),
            ),
            ("{{{ssm:a}}}", Some(("{", "a", "}"))),
            ("{{ {{ssm:a}}", Some(("{{ ", "a", ""))),
            ("{{ssm:}}", None),
            ("{{ssm:a:}}", None),
            ("{{ssm:a:b:c}}", None),
            ("{{ssm: a}}", None),
            ("{{ssm:a b}}", None),
            ("{{\tssm:a}}", None),
            ("{{ssm:a", None),
            ("{ssm:a}}", None),
            ("{{ name }}", None),
            ("ü{{ssm:ä}}", None),
        ] {
            assert_eq!(next(text), want, "{text}");
        }
    }

    /// How a StringList comes apart.
    #[test]
    fn lists() {
        for (value, items) in [
            ("ls,date,dir", &["ls", "date", "dir"][..]),
            ("'echo \"a,b\"',ls", &["echo \"a,b\"", "ls"]),
            (" a , b,", &["a", "b"]),
            (",,a", &["a"]),
            ("it's", &["it", "s"]),
            ("''", &[]),
            ("", &[]),
        ] {
            assert_eq!(split(value), items, "{value}");
        }
    }
}
