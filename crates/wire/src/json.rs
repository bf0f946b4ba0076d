//! JSON over schemas, both directions. The reader fills records directly,
//! without a tree in between.

use crate::decode::{self, DecodeError};
use crate::limits::Limits;
use crate::query::deeper;
use crate::schema::{Member, Shape, TimestampFormat};
use crate::time;
use crate::value::{Place, Record, View};
use std::borrow::Cow;
use std::fmt::Write;

/// A record as JSON by its members' names, to be kept; what is not set and
/// empty lists are left out.
pub fn to_json(shape: &Shape, record: &dyn Record) -> String {
    let mut out = String::new();
    write_record(&mut out, shape.members(), record, false);
    out
}

/// Fills `record` from what [`to_json`] wrote.
///
/// # Errors
/// When the text is no such object.
pub fn from_json(shape: &Shape, text: &str, record: &mut dyn Record) -> Result<(), DecodeError> {
    read(text.as_bytes(), shape, record, Limits::RESPONSE)
}

/// Appends an object with the record's members. Empty lists and maps are
/// written with `keep_empty`, as answers need it.
pub(crate) fn write_record(out: &mut String, members: &[Member], record: &dyn Record, keep_empty: bool) {
    out.push('{');
    let mut first = true;
    for (index, member) in members.iter().enumerate() {
        let view = record.field(index).view();
        let skip = match &view {
            View::Absent => true,
            View::List(list) => list.count() == 0 && !keep_empty,
            View::Map(map) => map.count() == 0 && !keep_empty,
            _ => false,
        };
        if skip {
            continue;
        }
        comma(out, &mut first);
        write_text(out, member.name);
        out.push(':');
        write_value(out, member.shape, view, keep_empty);
    }
    out.push('}');
}

fn comma(out: &mut String, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn write_value(out: &mut String, shape: &Shape, view: View<'_>, keep_empty: bool) {
    match (shape, view) {
        (Shape::Struct(shape), View::Record(record)) => write_record(out, shape.members, record, keep_empty),
        (Shape::List(shape), View::List(list)) => {
            out.push('[');
            let mut first = true;
            for index in 0..list.count() {
                comma(out, &mut first);
                write_value(out, shape.member, list.entry(index), keep_empty);
            }
            out.push(']');
        }
        (Shape::Map(shape), View::Map(map)) => {
            out.push('{');
            let mut first = true;
            map.each(&mut |key, value| {
                comma(out, &mut first);
                write_text(out, key);
                out.push(':');
                write_value(out, shape.value, value, keep_empty);
            });
            out.push('}');
        }
        (shape, view) => write_scalar(out, shape, view),
    }
}

fn write_scalar(out: &mut String, shape: &Shape, view: View<'_>) {
    match view {
        View::String(text) => write_text(out, text),
        View::Boolean(yes) => out.push_str(if yes { "true" } else { "false" }),
        View::Integer(number) => {
            let _ = write!(out, "{number}");
        }
        View::Long(number) => {
            let _ = write!(out, "{number}");
        }
        View::Float(number) if number.is_finite() => {
            let _ = write!(out, "{number}");
        }
        View::Float(number) => write_special(out, f64::from(number)),
        View::Double(number) if number.is_finite() => {
            let _ = write!(out, "{number}");
        }
        View::Double(number) => write_special(out, number),
        View::Blob(bytes) => write_text(out, &decode::base64(bytes)),
        View::Timestamp(at) => match shape {
            Shape::Timestamp(TimestampFormat::DateTime) => {
                out.push('"');
                time::write_iso_short(out, at);
                out.push('"');
            }
            Shape::Timestamp(TimestampFormat::HttpDate) => {
                out.push('"');
                time::write_http_date(out, at);
                out.push('"');
            }
            _ => time::write_epoch(out, at),
        },
        View::Absent | View::Record(_) | View::List(_) | View::Map(_) => out.push_str("null"),
    }
}

fn write_special(out: &mut String, number: f64) {
    out.push_str(if number.is_nan() {
        "\"NaN\""
    } else if number > 0.0 {
        "\"Infinity\""
    } else {
        "\"-Infinity\""
    });
}

/// Appends a JSON string.
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=31 => "",
            _ => continue,
        };
        out.push_str(&text[done..at]);
        if escaped.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escaped);
        }
        done = at + 1;
    }
    out.push_str(&text[done..]);
    out.push('"');
}

/// Fills `record` from a JSON object; an empty body is an empty object.
pub(crate) fn read(text: &[u8], shape: &Shape, record: &mut dyn Record, limits: Limits) -> Result<(), DecodeError> {
    let text = std::str::from_utf8(text).map_err(|_| DecodeError::malformed("The request is not UTF-8."))?;
    let mut reader = Reader { text, at: 0, limits };
    reader.space();
    if reader.at == text.len() {
        return Ok(());
    }
    reader.record(shape.members(), record, limits.depth)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.broken());
    }
    Ok(())
}

/// The texts at the top of an object: how errors are read.
pub(crate) fn top_texts(text: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    let text = std::str::from_utf8(text).map_err(|_| DecodeError::malformed("The answer is not UTF-8."))?;
    let mut reader = Reader { text, at: 0, limits: Limits::RESPONSE };
    let mut found = Vec::new();
    reader.object(|reader, key| {
        reader.space();
        if reader.peek() == Some(b'"') {
            found.push((key.into_owned(), reader.string()?.into_owned()));
            return Ok(());
        }
        reader.ignore(Limits::RESPONSE.depth)
    })?;
    Ok(found)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    limits: Limits,
}

impl<'a> Reader<'a> {
    fn broken(&self) -> DecodeError {
        DecodeError::malformed(format!("The request is not valid JSON at byte {}.", self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        self.space();
        if self.peek() != Some(byte) {
            return Err(self.broken());
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Calls `entry` behind each key of an object.
    fn object(
        &mut self,
        mut entry: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'{')?;
        self.space();
        if self.word("}") {
            return Ok(());
        }
        loop {
            self.space();
            let key = self.string()?;
            self.expect(b':')?;
            entry(self, key)?;
            self.space();
            if self.word("}") {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, mut entry: impl FnMut(&mut Self) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        self.expect(b'[')?;
        self.space();
        if self.word("]") {
            return Ok(());
        }
        loop {
            entry(self)?;
            self.space();
            if self.word("]") {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn record(&mut self, members: &[Member], record: &mut dyn Record, depth: usize) -> Result<(), DecodeError> {
        let depth = deeper(depth)?;
        self.object(|reader, key| {
            reader.space();
            match members.iter().position(|member| member.name == key) {
                Some(_) if reader.word("null") => Ok(()),
                Some(index) => {
                    let member = &members[index];
                    reader.value(member.shape, record.field_mut(index).place(), member.name, depth)
                }
                None => reader.ignore(depth),
            }
        })
    }

    fn value(&mut self, shape: &Shape, place: Place<'_>, name: &str, depth: usize) -> Result<(), DecodeError> {
        self.space();
        match (shape, place) {
            (Shape::Struct(shape), Place::Record(record)) => {
                self.require(b'{', name, "a structure")?;
                self.record(shape.members, record, depth)
            }
            (Shape::List(shape), Place::List(list)) => {
                self.require(b'[', name, "a list")?;
                let depth = deeper(depth)?;
                self.array(|reader| {
                    reader.space();
                    if reader.word("null") {
                        return Ok(());
                    }
                    reader.room(list.count(), name)?;
                    reader.value(shape.member, list.add(), name, depth)
                })
            }
            (Shape::Map(shape), Place::Map(map)) => {
                self.require(b'{', name, "a map")?;
                let depth = deeper(depth)?;
                self.object(|reader, key| {
                    reader.space();
                    if reader.word("null") {
                        return Ok(());
                    }
                    reader.room(map.count(), name)?;
                    reader.value(shape.value, map.add(key.into_owned()), name, depth)
                })
            }
            (_, place) => self.scalar(place, name),
        }
    }

    fn room(&self, count: usize, name: &str) -> Result<(), DecodeError> {
        if count < self.limits.entries {
            return Ok(());
        }
        Err(DecodeError::malformed(format!("{name}: more than {} entries.", self.limits.entries)))
    }

    fn require(&self, byte: u8, name: &str, expected: &'static str) -> Result<(), DecodeError> {
        match self.peek() {
            Some(found) if found == byte => Ok(()),
            Some(found) => Err(DecodeError::bad(name, &char::from(found).to_string(), expected)),
            None => Err(self.broken()),
        }
    }

    fn scalar(&mut self, place: Place<'_>, name: &str) -> Result<(), DecodeError> {
        let quoted = self.peek() == Some(b'"');
        let text = if quoted { self.string()? } else { Cow::Borrowed(self.bare()?) };
        let fits = match &place {
            Place::String(_) | Place::Blob(_) => quoted,
            Place::Boolean(_) | Place::Integer(_) | Place::Long(_) => !quoted,
            Place::Float(_) | Place::Double(_) => !quoted || matches!(&*text, "NaN" | "Infinity" | "-Infinity"),
            _ => true,
        };
        let expected = match &place {
            Place::String(_) | Place::Blob(_) => "a string",
            Place::Boolean(_) => "true or false",
            _ => "a number",
        };
        if !fits {
            return Err(DecodeError::bad(name, &text, expected));
        }
        // Some clients write whole numbers as `5.0`.
        match place {
            Place::Integer(_) | Place::Long(_) => decode::scalar(place, text.strip_suffix(".0").unwrap_or(&text), name),
            place => decode::scalar(place, &text, name),
        }
    }

    /// A number or a word.
    fn bare(&mut self) -> Result<&'a str, DecodeError> {
        let rest = &self.text[self.at..];
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let end = rest.bytes().position(|byte| !good(byte)).unwrap_or(rest.len());
        let word = &rest[..end];
        let number = word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && word.parse::<f64>().is_ok();
        if !number && !matches!(word, "true" | "false" | "null") {
            return Err(self.broken());
        }
        self.at += end;
        Ok(word)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if self.peek() != Some(b'"') {
            return Err(self.broken());
        }
        self.at += 1;
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=31));
        let end = end.ok_or_else(|| self.broken())?;
        if rest.as_bytes()[end] == b'"' {
            self.at += end + 1;
            return Ok(Cow::Borrowed(&rest[..end]));
        }
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=31));
            let end = end.ok_or_else(|| self.broken())?;
            out.push_str(&rest[..end]);
            self.at += end + 1;
            match rest.as_bytes()[end] {
                b'"' => return Ok(Cow::Owned(out)),
                b'\\' => out.push(self.escaped()?),
                _ => return Err(self.broken()),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, DecodeError> {
        let byte = self.peek().ok_or_else(|| self.broken())?;
        if !byte.is_ascii() {
            return Err(self.broken());
        }
        self.at += 1;
        Ok(match byte {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => char::from(byte),
            b'u' => {
                let high = self.hex()?;
                if !(0xd800..0xdc00).contains(&high) {
                    // A lone low surrogate is no character.
                    return Ok(char::from_u32(high).unwrap_or('\u{fffd}'));
                }
                if !self.word("\\u") {
                    return Ok('\u{fffd}');
                }
                let low = self.hex()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Ok('\u{fffd}');
                }
                let joined = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                char::from_u32(joined).unwrap_or('\u{fffd}')
            }
            _ => return Err(self.broken()),
        })
    }

    fn hex(&mut self) -> Result<u32, DecodeError> {
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(|| self.broken())?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.broken());
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.broken())
    }

    /// Steps over a value that no member takes.
    fn ignore(&mut self, depth: usize) -> Result<(), DecodeError> {
        let depth = deeper(depth)?;
        self.space();
        match self.peek() {
            Some(b'{') => self.object(|reader, _| reader.ignore(depth)),
            Some(b'[') => self.array(|reader| reader.ignore(depth)),
            Some(b'"') => self.string().map(drop),
            _ => self.bare().map(drop),
        }
    }
}
