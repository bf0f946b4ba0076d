//! Parameters of documents: what may be given, what is checked, and how
//! `{{ name }}` is replaced.

use super::super::errors;
use super::fields::Fields;
use elastane_wire::ApiError;
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;
use std::collections::BTreeMap;

/// Parameters of a document: AWS has no such limit, a request has one.
const PARAMETERS_MAX: usize = 100;

/// Bytes that a pattern's automaton may take: patterns come from clients.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub kind: ParameterKind,
    /// What it is for.
    pub description: Option<String>,
    /// What it is when it is not given; without it must be given.
    pub default: Option<Value>,
    allowed_values: Vec<String>,
    allowed_pattern: Option<String>,
    characters: (Option<usize>, Option<usize>),
    items: (Option<usize>, Option<usize>),
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// `String`.
    Text,
    /// `StringList`.
    List,
    /// `Integer`.
    Integer,
    /// `Boolean`.
    Boolean,
}

impl ParameterKind {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            ParameterKind::Text => "String",
            ParameterKind::List => "StringList",
            ParameterKind::Integer => "Integer",
            ParameterKind::Boolean => "Boolean",
        }
    }
}

/// Values by the names of the parameters.
#[derive(Clone, Debug, Default)]
pub struct Arguments(BTreeMap<String, Value>);

/// Reads the element `parameters`.
///
/// # Errors
/// `InvalidDocumentContent`.
pub fn read(value: Option<Value>) -> Result<Vec<Parameter>, ApiError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let all = Fields::of("parameters", value)?.rest();
    if all.len() > PARAMETERS_MAX {
        return Err(errors::invalid_content(format!("A document has at most {PARAMETERS_MAX} parameters.")));
    }
    all.into_iter().map(|(name, value)| read_one(name, value)).collect()
}

fn read_one(name: String, value: Value) -> Result<Parameter, ApiError> {
    let place = format!("the parameter {name}");
    if name.is_empty() || !name.bytes().all(is_of_name) {
        return Err(errors::invalid_content(format!("'{name}' cannot be the name of a parameter.")));
    }
    let mut fields = Fields::of(&place, value)?;
    let kind = match fields.needed_text("type")?.as_str() {
        "String" => ParameterKind::Text,
        "StringList" => ParameterKind::List,
        "Integer" => ParameterKind::Integer,
        "Boolean" => ParameterKind::Boolean,
        other => return Err(errors::invalid_content(format!("The type {other} of {place} is not supported."))),
    };
    let allowed_values = fields.list("allowedValues")?;
    let parameter = Parameter {
        kind,
        description: fields.text("description")?,
        default: fields.take("default"),
        allowed_values: allowed_values.iter().map(plain).collect(),
        allowed_pattern: fields.text("allowedPattern")?,
        characters: (fields.number("minChars")?, fields.number("maxChars")?),
        items: (fields.number("minItems")?, fields.number("maxItems")?),
        name,
    };
    // How a console shows it.
    fields.take("displayType");
    fields.end()?;
    if let Some(pattern) = &parameter.allowed_pattern {
        compiled(pattern).map_err(|_| errors::invalid_content(format!("The allowedPattern of {place} is invalid.")))?;
    }
    if let Some(default) = &parameter.default
        && !fits(kind, default)
    {
        return Err(errors::invalid_content(format!("The default of {place} is no {}.", kind.name())));
    }
    Ok(parameter)
}

/// Characters of parameters' names.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte == b'.'
}

fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).unicode(false).size_limit(PATTERN_BYTES_MAX).build()
}

fn fits(kind: ParameterKind, value: &Value) -> bool {
    match kind {
        ParameterKind::Text => value.is_string(),
        ParameterKind::List => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
        ParameterKind::Integer => value.is_i64(),
        ParameterKind::Boolean => value.is_boolean(),
    }
}

/// A value as it stands in a text: strings as they are, others as JSON.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Arguments {
    /// What is given for these parameters, checked, with the defaults of those that are not.
    ///
    /// # Errors
    /// `InvalidParameters`.
    pub fn of(parameters: &[Parameter], given: &BTreeMap<String, Vec<String>>) -> Result<Arguments, ApiError> {
        if let Some(name) = given.keys().find(|name| parameters.iter().all(|known| known.name != **name)) {
            return Err(errors::invalid_parameters(format!("The document has no parameter '{name}'")));
        }
        let mut arguments = BTreeMap::new();
        for parameter in parameters {
            let values = given.get(&parameter.name).filter(|values| !values.is_empty());
            let value = match (values, &parameter.default) {
                (Some(values), _) => parameter.value(values)?,
                (None, Some(default)) => default.clone(),
                (None, None) => {
                    let text = format!("The parameter '{}' is required", parameter.name);
                    return Err(errors::invalid_parameters(text));
                }
            };
            arguments.insert(parameter.name.clone(), value);
        }
        Ok(Arguments(arguments))
    }

    /// A value with each `{{ name }}` replaced: a text that is nothing else
    /// becomes the argument itself, and elsewhere the argument's text is put in.
    pub fn replace(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.replace_text(text),
            Value::Array(list) => Value::Array(list.iter().map(|one| self.replace(one)).collect()),
            other => other.clone(),
        }
    }

    fn replace_text(&self, text: &str) -> Value {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next_reference(rest) {
            let Some(argument) = self.0.get(name) else {
                let kept = rest.len() - after.len();
                replaced.push_str(&rest[..kept]);
                rest = after;
                continue;
            };
            if before.is_empty() && after.is_empty() && replaced.is_empty() {
                return argument.clone();
            }
            replaced.push_str(before);
            replaced.push_str(&plain(argument));
            rest = after;
        }
        replaced.push_str(rest);
        Value::String(replaced)
    }
}

/// The first `{{ name }}` of a text, with what is before and after it.
pub fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("{{").map(|at| from + at) {
        let inner = &text[at + 2..];
        if let Some(end) = inner.find("}}") {
            let name = inner[..end].trim();
            let of_reference = |byte: u8| is_of_name(byte) || byte == b':';
            let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if begins && name.bytes().all(of_reference) {
                return Some((&text[..at], name, &inner[end + 2..]));
            }
        }
        from = at + 1;
    }
    None
}

impl Parameter {
    /// The value that the texts of a request are.
    fn value(&self, given: &[String]) -> Result<Value, ApiError> {
        let wrong = |what: &str| errors::invalid_parameters(format!("The parameter '{}' {what}", self.name));
        let outside = |count: usize, (min, max): (Option<usize>, Option<usize>)| {
            min.is_some_and(|min| count < min) || max.is_some_and(|max| count > max)
        };
        if self.kind == ParameterKind::List && outside(given.len(), self.items) {
            return Err(wrong("has too few or too many items"));
        }
        for text in given {
            if outside(text.chars().count(), self.characters) {
                return Err(wrong("is too short or too long"));
            }
            if !self.allowed_values.is_empty() && !self.allowed_values.contains(text) {
                return Err(wrong("has a value that is not allowed"));
            }
            let pattern = self.allowed_pattern.as_deref().and_then(|pattern| compiled(pattern).ok());
            if pattern.is_some_and(|pattern| !pattern.is_match(text.as_bytes())) {
                return Err(wrong("does not match its allowedPattern"));
            }
        }
        let single = || match given {
            [one] => Ok(one.as_str()),
            _ => Err(wrong("takes a single value")),
        };
        Ok(match self.kind {
            ParameterKind::Text => Value::from(single()?),
            ParameterKind::List => Value::from(given.to_vec()),
            ParameterKind::Integer => {
                let number: i64 = single()?.parse().map_err(|_| wrong("must be a whole number"))?;
                Value::from(number)
            }
            ParameterKind::Boolean => match single()? {
                "true" => Value::from(true),
                "false" => Value::from(false),
                _ => return Err(wrong("must be true or false")),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameters() -> Vec<Parameter> {
        read(Some(json!({
            "lines": { "type": "StringList", "minItems": 1, "maxItems": 2 },
            "who": { "type": "String", "default": "you", "allowedPattern": "[a-z]+" },
            "size": { "type": "Integer", "default": 3 },
            "loud": { "type": "Boolean", "default": false },
            "place": { "type": "String", "default": "here", "allowedValues": ["here", "there"], "maxChars": 5 },
        })))
        .expect("good parameters")
    }

    fn given(list: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let values = |values: &[&str]| values.iter().map(|value| value.to_string()).collect();
        list.iter().map(|(name, list)| (name.to_string(), values(list))).collect()
    }

    /// References are replaced by type; what is no reference to a parameter stays.
    #[test]
    fn references() {
        let given = given(&[("lines", &["a", "b"]), ("who", &["me"])]);
        let arguments = Arguments::of(&parameters(), &given).expect("good arguments");
        for (before, after) in [
            (json!("{{ lines }}"), json!(["a", "b"])),
            (json!("{{lines}}"), json!(["a", "b"])),
            (json!(["x", "{{ lines }}"]), json!(["x", ["a", "b"]])),
            (json!("echo {{ who }}{{size}} {{loud}}"), json!("echo me3 false")),
            (json!("echo {{ lines }}"), json!("echo [\"a\",\"b\"]")),
            (
                json!("docker ps --format '{{.Names}}' {{ json . }}"),
                json!("docker ps --format '{{.Names}}' {{ json . }}"),
            ),
            (json!("{{ other }} {{ who }}"), json!("{{ other }} me")),
            (json!("{{{{ who }}"), json!("{{me")),
            (json!(7), json!(7)),
        ] {
            assert_eq!(arguments.replace(&before), after, "{before}");
        }
    }

    /// What does not fit its parameter is refused.
    #[test]
    fn bad_arguments() {
        for bad in [
            given(&[]),
            given(&[("lines", &["a"]), ("more", &["x"])]),
            given(&[("lines", &["a", "b", "c"])]),
            given(&[("lines", &["a"]), ("who", &["me", "you"])]),
            given(&[("lines", &["a"]), ("who", &["Me"])]),
            given(&[("lines", &["a"]), ("who", &["me2"])]),
            given(&[("lines", &["a"]), ("size", &["big"])]),
            given(&[("lines", &["a"]), ("loud", &["yes"])]),
            given(&[("lines", &["a"]), ("place", &["anywhere"])]),
        ] {
            let err = Arguments::of(&parameters(), &bad).expect_err("refused");
            assert_eq!(err.code, "InvalidParameters", "{bad:?}");
        }
    }

    /// Definitions that say what is not supported, or what cannot be.
    #[test]
    fn bad_definitions() {
        for bad in [
            json!({ "p": { "type": "MapList" } }),
            json!({ "p": {} }),
            json!({ "p": { "type": "String", "default": 1 } }),
            json!({ "p": { "type": "String", "allowedPattern": "(" } }),
            json!({ "p": { "type": "String", "interpolationType": "ENV_VAR" } }),
            json!({ "p q": { "type": "String" } }),
            json!([]),
        ] {
            assert_eq!(read(Some(bad.clone())).expect_err("refused").code, "InvalidDocumentContent", "{bad}");
        }
    }
}
