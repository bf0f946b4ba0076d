//! Strict JSON of policy documents: no member twice, no more depth than a
//! policy can have, numbers and booleans of conditions as their texts.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt;

/// Levels below a statement: Condition, operator, key, list of values.
const DEPTH_MAX: usize = 4;

/// A value within a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Text(String),
    /// A number or a boolean, as JSON writes it.
    Bare(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The value as the texts it stands for: itself or its elements. `None`
    /// when some element is no text.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Value::Text(text) => Some(vec![text]),
            Value::List(values) => values.iter().map(Value::text).collect(),
            Value::Null | Value::Bare(_) | Value::Object(_) => None,
        }
    }

    /// Like [`Value::texts`], with numbers and booleans as texts too.
    pub(super) fn scalars(&self) -> Option<Vec<&str>> {
        match self {
            Value::List(values) => values.iter().map(Value::scalar).collect(),
            Value::Text(_) | Value::Bare(_) => self.scalar().map(|text| vec![text]),
            Value::Null | Value::Object(_) => None,
        }
    }

    /// The text, when it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bare(_) | Value::List(_) | Value::Object(_) => None,
        }
    }

    fn scalar(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Bare(text) => Some(text),
            Value::Null | Value::List(_) | Value::Object(_) => None,
        }
    }
}

/// The outermost object: its members but Statement, and the statements as
/// they are written.
pub(super) struct Outer<'a> {
    pub(super) members: Vec<(String, Value)>,
    pub(super) statements: Option<Vec<&'a str>>,
}

/// Reads the outermost object. `None` when it is not JSON of the right form.
pub(super) fn outer(text: &str) -> Option<Outer<'_>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let (members, raw) = OuterSeed.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    let statements = match raw.map(RawValue::get) {
        None => None,
        Some(list) if list.starts_with('[') => {
            let list: Vec<&RawValue> = serde_json::from_str(list).ok()?;
            Some(list.into_iter().map(RawValue::get).collect())
        }
        Some(single) => Some(vec![single]),
    };
    Some(Outer { members, statements })
}

/// Reads one statement: its members in order.
pub(super) fn object(text: &str) -> Option<Vec<(String, Value)>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    match Nested(DEPTH_MAX).deserialize(&mut reader).ok()? {
        Value::Object(members) => reader.end().is_ok().then_some(members),
        Value::Null | Value::Text(_) | Value::Bare(_) | Value::List(_) => None,
    }
}

struct OuterSeed;

impl<'a> DeserializeSeed<'a> for OuterSeed {
    type Value = (Vec<(String, Value)>, Option<&'a RawValue>);
    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for OuterSeed {
    type Value = (Vec<(String, Value)>, Option<&'a RawValue>);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a policy")
    }
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut members, mut statement) = (Members::default(), None);
        while let Some(key) = map.next_key::<String>()? {
            if key == "Statement" && statement.is_none() {
                statement = Some(map.next_value::<&RawValue>()?);
            } else {
                members.add(key, map.next_value_seed(Nested(0))?)?;
            }
        }
        Ok((members.list, statement))
    }
}

/// The members of an object, in order.
#[derive(Default)]
struct Members {
    list: Vec<(String, Value)>,
    names: BTreeSet<String>,
}

impl Members {
    fn add<E: Error>(&mut self, key: String, value: Value) -> Result<(), E> {
        if !self.names.insert(key.clone()) {
            return Err(E::custom("a member twice"));
        }
        self.list.push((key, value));
        Ok(())
    }
}

/// Reads a value with at most so many levels below it.
struct Nested(usize);

impl<'a> DeserializeSeed<'a> for Nested {
    type Value = Value;
    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Nested {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a policy")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bare(value.to_string()))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Bare(value.to_string()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Bare(value.to_string()))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Bare(value.to_string()))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Value, A::Error> {
        let below = self.0.checked_sub(1).ok_or_else(|| A::Error::custom("too deep"))?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Nested(below))? {
            values.push(value);
        }
        Ok(Value::List(values))
    }
    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Value, A::Error> {
        let below = self.0.checked_sub(1).ok_or_else(|| A::Error::custom("too deep"))?;
        let mut members = Members::default();
        while let Some(key) = map.next_key::<String>()? {
            members.add(key, map.next_value_seed(Nested(below))?)?;
        }
        Ok(Value::Object(members.list))
    }
}
