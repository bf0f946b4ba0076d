//! Requests and answers as the trail shows them: JSON with CloudTrail's member
//! names, without secrets, and cut where they are long.

use elastane_wire::schema::{Member, Shape};
use elastane_wire::value::{Record, View};
use serde_json::{Map, Value};

/// Entries of a list or map that are shown.
const ENTRIES_MAX: usize = 100;

/// Characters of a text that are shown.
const TEXT_MAX: usize = 2_048;

/// Levels of nesting that are shown; inputs are less deep.
const DEPTH_MAX: usize = 16;

/// What stands for a value that is not shown (CloudTrail User Guide).
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Members whose values are secret, or may hold secrets, in any operation.
const SECRETS: [&str; 22] = [
    "Ciphertext",
    "CiphertextBlob",
    "ClientSecret",
    "Commands",
    "EncodedMessage",
    "ExternalId",
    "KeyMaterial",
    "NewPassword",
    "OldPassword",
    "Passphrase",
    "Password",
    "Plaintext",
    "PrivateKey",
    "SecretAccessKey",
    "SecretKey",
    "SessionToken",
    "StandardErrorContent",
    "StandardOutputContent",
    "Token",
    "TokenCode",
    "TokenValue",
    "UserData",
];

/// Members that are secret in some operations only: (prefix of the structure's name, member).
const SECRETS_OF: [(&str, &str); 4] = [
    ("PutParameter", "Value"),
    ("SendCommand", "Parameters"),
    ("Command", "Parameters"),
    ("StartSession", "Parameters"),
];

/// The members of a request or an answer; `None` when none is set.
pub fn members(shape: &'static Shape, record: &dyn Record) -> Option<Value> {
    let members = structure(shape, record, 0);
    (!members.is_empty()).then_some(Value::Object(members))
}

fn structure(shape: &'static Shape, record: &dyn Record, depth: usize) -> Map<String, Value> {
    let Shape::Struct(shape) = shape else { return Map::new() };
    let mut members = Map::new();
    for (index, member) in shape.members.iter().enumerate() {
        let view = record.field(index).view();
        if matches!(view, View::Absent) || matches!(&view, View::List(list) if list.count() == 0) {
            continue;
        }
        let hidden = is_secret(shape.name, member);
        let shown = if hidden { Value::from(HIDDEN) } else { value(member.shape, view, depth + 1) };
        members.insert(lower_camel(member.name), shown);
    }
    members
}

fn is_secret(structure: &str, member: &Member) -> bool {
    let here = |(prefix, name): &(&str, &str)| structure.starts_with(prefix) && *name == member.name;
    SECRETS.iter().any(|name| name.eq_ignore_ascii_case(member.name)) || SECRETS_OF.iter().any(here)
}

fn value(shape: &'static Shape, view: View<'_>, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::from("…");
    }
    match view {
        View::Absent => Value::Null,
        View::String(text) => Value::from(short(text)),
        View::Boolean(flag) => Value::from(flag),
        View::Integer(number) => Value::from(number),
        View::Long(number) => Value::from(number),
        View::Float(number) => Value::from(number),
        View::Double(number) => Value::from(number),
        View::Blob(bytes) => Value::from(format!("{} bytes", bytes.len())),
        View::Timestamp(at) => Value::from(elastane_domain::time::Time(at.millis()).iso_seconds()),
        View::Record(record) => Value::Object(structure(shape, record, depth)),
        View::List(list) => {
            let Shape::List(shape) = shape else { return Value::Null };
            let shown =
                (0..list.count().min(ENTRIES_MAX)).map(|index| value(shape.member, list.entry(index), depth + 1));
            let left = list.count().saturating_sub(ENTRIES_MAX);
            let more = (left > 0).then(|| Value::from(format!("… and {left} more")));
            Value::Array(shown.chain(more).collect())
        }
        View::Map(map) => {
            let Shape::Map(shape) = shape else { return Value::Null };
            let mut entries = Map::new();
            map.each(&mut |key, view| {
                if entries.len() < ENTRIES_MAX {
                    entries.insert(short(key), value(shape.value, view, depth + 1));
                }
            });
            Value::Object(entries)
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// `InstanceIds` as `instanceIds`, `DBName` as `dBName`: CloudTrail's way.
fn lower_camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_wire::{Input, ec2, iam, ssm};
    use serde_json::json;

    fn shown(input: Input) -> Value {
        let info = input.operation().info();
        members(info.input, input.record()).unwrap_or(Value::Null)
    }

    /// Names, lists, nesting; nothing for an empty request.
    #[test]
    fn requests_in_cloudtrails_names() {
        let input = ec2::TerminateInstancesRequest { instance_ids: vec!["i-1".to_string()], ..Default::default() };
        assert_eq!(shown(Input::Ec2TerminateInstances(Box::new(input))), json!({"instanceIds": ["i-1"]}));
        assert_eq!(shown(Input::IamListUsers(Box::default())), Value::Null);
    }

    /// Secrets are hidden wherever they are; long texts and lists are cut.
    #[test]
    fn secrets_are_hidden_and_long_texts_cut() {
        let run = ec2::RunInstancesRequest { user_data: Some("password".to_string()), ..Default::default() };
        let shown_run = shown(Input::Ec2RunInstances(Box::new(run)));
        assert_eq!(shown_run["userData"], HIDDEN, "{shown_run}");
        let put = ssm::PutParameterRequest { value: Some("secret".to_string()), ..Default::default() };
        assert_eq!(shown(Input::SsmPutParameter(Box::new(put)))["value"], HIDDEN);
        let send = ssm::SendCommandRequest {
            parameters: [("commands".to_string(), vec!["echo secret".to_string()])].into(),
            ..Default::default()
        };
        assert!(!shown(Input::SsmSendCommand(Box::new(send))).to_string().contains("secret"));
        let long = iam::CreateUserRequest { user_name: Some("x".repeat(5_000)), ..Default::default() };
        let long = shown(Input::IamCreateUser(Box::new(long)));
        assert!(long["userName"].as_str().is_some_and(|text| text.chars().count() == TEXT_MAX + 1));
        let many = ec2::TerminateInstancesRequest { instance_ids: vec!["i".to_string(); 150], ..Default::default() };
        let many = shown(Input::Ec2TerminateInstances(Box::new(many)));
        assert_eq!(many["instanceIds"].as_array().map(Vec::len), Some(ENTRIES_MAX + 1));
    }
}
