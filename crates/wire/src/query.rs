//! The query protocols' requests (`query` and `ec2`): form parameters with
//! dotted paths, decoded into and encoded from records.
//!
//! Parameters are sorted by path, so that decoding is one walk over slices of
//! them; the naming rules of the two protocols are in the schema.

use crate::decode::{self, DecodeError};
use crate::limits::{Limits, PARAMETERS_MAX};
use crate::schema::{Member, Shape, TimestampFormat};
use crate::time;
use crate::value::{Place, Record, View};
use std::borrow::Cow;
use std::fmt::Write;

/// Parameters that belong to the envelope, not to an operation (EC2 API
/// Reference, "Common query parameters", and SigV4's query form).
const ENVELOPE: &[&str] = &[
    "Action",
    "Version",
    "AWSAccessKeyId",
    "Signature",
    "SignatureMethod",
    "SignatureVersion",
    "Timestamp",
    "Expires",
    "SecurityToken",
    "AUTHPARAMS",
];

/// The parameters of a request, in the order of their paths.
#[derive(Debug, Default)]
pub struct Form<'a> {
    params: Vec<Param<'a>>,
}

#[derive(Debug)]
struct Param<'a> {
    key: Cow<'a, str>,
    value: Cow<'a, str>,
}

impl<'a> Form<'a> {
    /// Reads a form body or a query string.
    pub fn parse(text: &'a [u8]) -> Result<Form<'a>, DecodeError> {
        let text =
            std::str::from_utf8(text).map_err(|_| DecodeError::malformed("The request's parameters are not UTF-8."))?;
        let mut params = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if params.len() == PARAMETERS_MAX {
                return Err(DecodeError::malformed(format!("The request has more than {PARAMETERS_MAX} parameters.")));
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.push(Param { key: unescape(key)?, value: unescape(value)? });
        }
        params.sort_by(|a, b| path_order(&a.key).cmp(path_order(&b.key)));
        Ok(Form { params })
    }

    /// The value of a parameter without dots.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|param| param.key == name)?;
        Some(&found.value)
    }
}

fn path_order(key: &str) -> impl Iterator<Item = u8> + '_ {
    key.bytes().map(|byte| if byte == b'.' { 0 } else { byte })
}

fn unescape(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let wrong = || DecodeError::malformed("The request's parameters are not percent-encoded UTF-8.");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| wrong())
}

/// Fills `record` with the form's parameters. With `strict`, a parameter that
/// the shape does not have is an error, as in EC2; the other services ignore it.
pub fn decode(
    form: &Form<'_>,
    shape: &Shape,
    record: &mut dyn Record,
    limits: Limits,
    strict: bool,
) -> Result<(), DecodeError> {
    let walk = Walk { limits, strict };
    let params = &form.params[..];
    walk.members(params, 0, shape.members(), record, limits.depth)
}

struct Walk {
    limits: Limits,
    strict: bool,
}

/// The path element of a key that starts at `at`; `None` when the key ends before.
fn element(key: &str, at: usize) -> Option<&str> {
    let rest = key.get(at..)?;
    Some(rest.split('.').next().unwrap_or(rest))
}

/// Splits parameters into runs with equal path element at `at`, leaving out
/// those whose path ends before.
fn runs<'p, 'a>(params: &'p [Param<'a>], at: usize) -> impl Iterator<Item = (&'p str, &'p [Param<'a>])> {
    let mut rest = params;
    std::iter::from_fn(move || {
        while let Some(first) = rest.first() {
            let Some(name) = element(&first.key, at) else {
                rest = &rest[1..];
                continue;
            };
            let count = rest.iter().take_while(|param| element(&param.key, at) == Some(name)).count();
            let (run, tail) = rest.split_at(count);
            rest = tail;
            return Some((name, run));
        }
        None
    })
}

impl Walk {
    fn members(
        &self,
        params: &[Param<'_>],
        at: usize,
        members: &[Member],
        record: &mut dyn Record,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let depth = deeper(depth)?;
        for (name, run) in runs(params, at) {
            let found = members.iter().position(|member| member.query == name);
            let Some(index) = found else {
                self.unknown(at, name, run)?;
                continue;
            };
            let shape = members[index].shape;
            let next = at + name.len() + 1;
            // An empty list or map stays empty; making its place changes nothing.
            self.value(run, next, shape, record.field_mut(index).place(), depth)?;
        }
        Ok(())
    }

    fn unknown(&self, at: usize, name: &str, run: &[Param<'_>]) -> Result<(), DecodeError> {
        let envelope = at == 0 && (ENVELOPE.contains(&name) || name.to_ascii_lowercase().starts_with("x-amz-"));
        match run.first() {
            Some(param) if self.strict && !envelope => {
                Err(DecodeError::UnknownParameter(param.key.chars().take(decode::VALUE_ECHO_MAX).collect()))
            }
            _ => Ok(()),
        }
    }

    fn value(
        &self,
        params: &[Param<'_>],
        at: usize,
        shape: &Shape,
        place: Place<'_>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        match (shape, place) {
            (Shape::Struct(shape), Place::Record(record)) => self.members(params, at, shape.members, record, depth),
            (Shape::List(shape), Place::List(list)) => {
                let depth = deeper(depth)?;
                for (next, run) in self.numbered(params, at, shape.query_item)? {
                    self.value(run, next, shape.member, list.add(), depth)?;
                }
                Ok(())
            }
            (Shape::Map(shape), Place::Map(map)) => {
                let depth = deeper(depth)?;
                let item = (!shape.flattened).then_some("entry");
                for (next, run) in self.numbered(params, at, item)? {
                    let part = |name: &str| runs(run, next).find(|(found, _)| *found == name).map(|(_, run)| run);
                    let key = part(shape.key_name).and_then(<[_]>::first);
                    let (Some(key), Some(value)) = (key, part(shape.value_name)) else {
                        continue;
                    };
                    let value_at = next + shape.value_name.len() + 1;
                    self.value(value, value_at, shape.value, map.add(key.value.to_string()), depth)?;
                }
                Ok(())
            }
            (_, place) => match params.iter().find(|param| param.key.len() < at) {
                Some(param) => decode::scalar(place, &param.value, &param.key),
                None => Err(params.first().map_or_else(
                    || DecodeError::malformed("a parameter is missing"),
                    |param| DecodeError::bad(&param.key, &param.value, "a plain value"),
                )),
            },
        }
    }

    /// The runs `Name.1`, `Name.2` or, with `item`, `Name.item.1`, in the order of their numbers.
    fn numbered<'p, 'a>(
        &self,
        params: &'p [Param<'a>],
        at: usize,
        item: Option<&str>,
    ) -> Result<Vec<(usize, &'p [Param<'a>])>, DecodeError> {
        let (at, params) = match item {
            None => (at, params),
            Some(item) => match runs(params, at).find(|(name, _)| *name == item) {
                Some((name, run)) => (at + name.len() + 1, run),
                None => return Ok(Vec::new()),
            },
        };
        let mut found: Vec<(u32, usize, &[Param<'_>])> = Vec::new();
        for (name, run) in runs(params, at) {
            let key = run.first().map_or("", |param| &param.key);
            let number = name.parse().map_err(|_| DecodeError::bad(key, name, "a list index"))?;
            if found.len() == self.limits.entries {
                return Err(DecodeError::malformed(format!("{key}: more than {} entries.", self.limits.entries)));
            }
            found.push((number, at + name.len() + 1, run));
        }
        found.sort_by_key(|(number, ..)| *number);
        Ok(found.into_iter().map(|(_, next, run)| (next, run)).collect())
    }
}

pub(crate) fn deeper(depth: usize) -> Result<usize, DecodeError> {
    depth.checked_sub(1).ok_or_else(|| DecodeError::malformed("The request is nested too deeply."))
}

/// Writes a request's form body, `Action` and `Version` first.
pub fn encode(action: &str, version: &str, shape: &Shape, record: &dyn Record) -> String {
    let mut out = format!("Action={action}&Version={version}");
    encode_members(&mut out, &mut String::new(), shape.members(), record);
    out
}

fn encode_members(out: &mut String, path: &mut String, members: &[Member], record: &dyn Record) {
    for (index, member) in members.iter().enumerate() {
        nested(path, member.query, |path| {
            encode_value(out, path, member.shape, record.field(index).view());
        });
    }
}

fn nested(path: &mut String, name: &str, then: impl FnOnce(&mut String)) {
    let before = path.len();
    if before > 0 {
        path.push('.');
    }
    path.push_str(name);
    then(path);
    path.truncate(before);
}

fn encode_value(out: &mut String, path: &mut String, shape: &Shape, view: View<'_>) {
    match (shape, view) {
        (_, View::Absent) => {}
        (Shape::Struct(shape), View::Record(record)) => encode_members(out, path, shape.members, record),
        (Shape::List(shape), View::List(list)) => {
            for index in 0..list.count() {
                let number = (index + 1).to_string();
                let number = shape.query_item.map_or(number.clone(), |item| format!("{item}.{number}"));
                nested(path, &number, |path| encode_value(out, path, shape.member, list.entry(index)));
            }
        }
        (Shape::Map(shape), View::Map(map)) => {
            let mut number = 0;
            map.each(&mut |key, value| {
                number += 1;
                let item = if shape.flattened { "" } else { "entry." };
                nested(path, &format!("{item}{number}"), |path| {
                    nested(path, shape.key_name, |path| pair(out, path, key));
                    nested(path, shape.value_name, |path| encode_value(out, path, shape.value, value));
                });
            });
        }
        (shape, view) => {
            let mut text = String::new();
            write_scalar(&mut text, shape, view);
            pair(out, path, &text);
        }
    }
}

fn pair(out: &mut String, path: &str, value: &str) {
    out.push('&');
    percent_encode(out, path);
    out.push('=');
    percent_encode(out, value);
}

/// Appends text with everything but RFC 3986's unreserved characters escaped.
pub(crate) fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
}

/// Appends a scalar as the text protocols write it.
pub(crate) fn write_scalar(out: &mut String, shape: &Shape, view: View<'_>) {
    let _ = match view {
        View::String(text) => out.write_str(text),
        View::Boolean(yes) => out.write_str(if yes { "true" } else { "false" }),
        View::Integer(number) => {
            write_integer(out, i64::from(number));
            Ok(())
        }
        View::Long(number) => {
            write_integer(out, number);
            Ok(())
        }
        View::Float(number) => write_number(out, f64::from(number), || number.to_string()),
        View::Double(number) => write_number(out, number, || number.to_string()),
        View::Blob(bytes) => out.write_str(&decode::base64(bytes)),
        View::Timestamp(at) => {
            match shape {
                Shape::Timestamp(TimestampFormat::EpochSeconds) => time::write_epoch(out, at),
                Shape::Timestamp(TimestampFormat::HttpDate) => time::write_http_date(out, at),
                _ => time::write_iso_short(out, at),
            }
            Ok(())
        }
        View::Absent | View::Record(_) | View::List(_) | View::Map(_) => Ok(()),
    };
}

/// Digits of an i64, with its sign.
const INTEGER_CHARS_MAX: usize = 20;

/// Without the formatting machinery, which costs more than the digits.
fn write_integer(out: &mut String, number: i64) {
    let mut text = [0; INTEGER_CHARS_MAX];
    let mut start = text.len();
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        text[start] = b'-';
    }
    out.push_str(std::str::from_utf8(&text[start..]).expect("digits and a sign"));
}

fn write_number(out: &mut String, number: f64, text: impl Fn() -> String) -> std::fmt::Result {
    if number.is_nan() {
        return out.write_str("NaN");
    }
    if number.is_infinite() {
        return out.write_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
    out.write_str(&text())
}
