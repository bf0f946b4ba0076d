//! XML answers of the query protocols: written from records, and read back by
//! our own clients.
//!
//! The reader takes the subset that AWS's answers use (elements, text, the
//! predefined entities, CDATA) and refuses document types, so that no entity
//! can expand.

use crate::decode::{self, DecodeError};
use crate::limits::Limits;
use crate::query::{deeper, write_scalar};
use crate::schema::{Member, Shape, TimestampFormat};
use crate::time;
use crate::value::{Place, Record, View};
use std::borrow::Cow;

/// How a service wants details written.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    /// Timestamps always carry milliseconds, as in EC2.
    pub millis: bool,
    /// Empty lists are left out instead of written as empty elements.
    pub as_sent: bool,
}

/// What was stored is shown as it was sent: clients that compare the two take
/// an empty list for a change (terraform-calls.md, aws_launch_template), or for
/// the other of two ways to name a metric.
const AS_SENT: [&str; 2] = ["ResponseLaunchTemplateData", "CustomizedMetricSpecification"];

pub(crate) fn write_members(out: &mut String, style: Style, members: &[Member], record: &dyn Record) {
    for (index, member) in members.iter().enumerate() {
        match record.field(index).view() {
            View::Absent => {}
            view => write_element(out, style, member.xml, member.shape, view),
        }
    }
}

fn write_element(out: &mut String, style: Style, name: &str, shape: &Shape, view: View<'_>) {
    match (shape, view) {
        (Shape::List(list_shape), View::List(list)) => {
            let Some(item) = list_shape.xml_item else {
                for index in 0..list.count() {
                    write_element(out, style, name, list_shape.member, list.entry(index));
                }
                return;
            };
            if list.count() == 0 && style.as_sent {
                return;
            }
            if list.count() == 0 {
                // Clients read an absent list as "unknown" and an empty element as "none".
                out.push('<');
                out.push_str(name);
                out.push_str("/>");
                return;
            }
            open(out, name);
            for index in 0..list.count() {
                write_element(out, style, item, list_shape.member, list.entry(index));
            }
            close(out, name);
        }
        (Shape::Map(map_shape), View::Map(map)) => {
            let item = if map_shape.flattened { name } else { "entry" };
            if !map_shape.flattened {
                open(out, name);
            }
            map.each(&mut |key, value| {
                open(out, item);
                write_text_element(out, map_shape.key_name, key);
                write_element(out, style, map_shape.value_name, map_shape.value, value);
                close(out, item);
            });
            if !map_shape.flattened {
                close(out, name);
            }
        }
        (Shape::Struct(shape), View::Record(record)) => {
            open(out, name);
            let as_sent = style.as_sent || AS_SENT.contains(&shape.name);
            write_members(out, Style { as_sent, ..style }, shape.members, record);
            close(out, name);
        }
        (_, View::String(text)) => write_text_element(out, name, text),
        (Shape::Timestamp(TimestampFormat::ProtocolDefault), View::Timestamp(at)) if style.millis => {
            open(out, name);
            time::write_iso_millis(out, at);
            close(out, name);
        }
        (shape, view) => {
            open(out, name);
            write_scalar(out, shape, view);
            close(out, name);
        }
    }
}

fn open(out: &mut String, name: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
}

fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// Appends `<name>text</name>`.
pub(crate) fn write_text_element(out: &mut String, name: &str, text: &str) {
    // One growth for all parts instead of one for each.
    out.reserve(2 * name.len() + 5 + text.len());
    open(out, name);
    escape(out, text);
    close(out, name);
}

/// Bytes that are not written as they are.
const ESCAPED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 32 {
        table[byte] = (byte != 9 && byte != 10) as u8;
        byte += 1;
    }
    table[b'&' as usize] = 1;
    table[b'<' as usize] = 1;
    table[b'>' as usize] = 1;
    table[b'"' as usize] = 1;
    table
};

fn escape(out: &mut String, text: &str) {
    // Nearly no text needs it: looking at all bytes without a branch is the quicker way to know.
    if text.bytes().fold(0, |found, byte| found | ESCAPED[usize::from(byte)]) == 0 {
        out.push_str(text);
        return;
    }
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\r' => "&#xD;",
            // Not allowed in XML 1.0, not even escaped.
            0..=8 | 11 | 12 | 14..=31 => "\u{fffd}",
            _ => continue,
        };
        out.push_str(&text[done..at]);
        out.push_str(escaped);
        done = at + 1;
    }
    out.push_str(&text[done..]);
}

/// An element of a read document.
#[derive(Debug, Default)]
pub struct Element<'a> {
    /// Name without a namespace prefix.
    pub name: &'a str,
    /// The text directly inside.
    pub text: String,
    /// The elements inside, in order.
    pub children: Vec<Element<'a>>,
}

impl<'a> Element<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not well-formed or nests deeper
    /// than `limits` allows.
    pub fn parse(text: &'a str, limits: Limits) -> Result<Element<'a>, DecodeError> {
        let mut reader = Reader { text, at: 0 };
        let mut open: Vec<Element<'a>> = Vec::new();
        loop {
            let parsed = reader.next()?;
            let done = match parsed {
                Token::Open(name) => {
                    if open.len() >= 2 * limits.depth {
                        return Err(broken("nested too deeply"));
                    }
                    open.push(Element { name, ..Element::default() });
                    continue;
                }
                Token::Empty(name) => Element { name, ..Element::default() },
                Token::Text(text) => {
                    match open.last_mut() {
                        Some(element) => element.text.push_str(&text),
                        None if text.trim().is_empty() => {}
                        None => return Err(broken("text outside of the document")),
                    }
                    continue;
                }
                Token::Close(name) => match open.pop() {
                    Some(element) if element.name == name => element,
                    _ => return Err(broken("an end tag does not match")),
                },
            };
            match open.last_mut() {
                Some(parent) => parent.children.push(done),
                None => return Ok(done),
            }
        }
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element<'a>> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of that name.
    pub fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }
}

enum Token<'a> {
    Open(&'a str),
    Empty(&'a str),
    Close(&'a str),
    Text(Cow<'a, str>),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

fn broken(what: &str) -> DecodeError {
    DecodeError::malformed(format!("The XML document is broken: {what}."))
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Token<'a>, DecodeError> {
        loop {
            let rest = &self.text[self.at..];
            if rest.is_empty() {
                return Err(broken("it ends early"));
            }
            if !rest.starts_with('<') {
                let end = rest.find('<').unwrap_or(rest.len());
                self.at += end;
                return unescape(&rest[..end]).map(Token::Text);
            }
            if let Some(body) = rest.strip_prefix("<![CDATA[") {
                let end = body.find("]]>").ok_or_else(|| broken("CDATA without an end"))?;
                self.at += 9 + end + 3;
                return Ok(Token::Text(Cow::Borrowed(&body[..end])));
            }
            if rest.starts_with("<!--") {
                self.skip(rest, "-->")?;
            } else if rest.starts_with("<?") {
                self.skip(rest, "?>")?;
            } else if rest.starts_with("<!") {
                return Err(broken("document types are refused"));
            } else {
                return self.tag(rest);
            }
        }
    }

    fn skip(&mut self, rest: &str, end: &str) -> Result<(), DecodeError> {
        let at = rest.find(end).ok_or_else(|| broken("a comment without an end"))?;
        self.at += at + end.len();
        Ok(())
    }

    fn tag(&mut self, rest: &'a str) -> Result<Token<'a>, DecodeError> {
        let mut quote = None;
        let end = rest.bytes().position(|byte| match (quote, byte) {
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                false
            }
            (None, b'>') => true,
            (Some(open), byte) if open == byte => {
                quote = None;
                false
            }
            _ => false,
        });
        let end = end.ok_or_else(|| broken("a tag without an end"))?;
        self.at += end + 1;
        let body = &rest[1..end];
        let (body, closing) = body.strip_prefix('/').map_or((body, false), |body| (body, true));
        let (body, empty) = body.strip_suffix('/').map_or((body, false), |body| (body, true));
        let name = body.split_ascii_whitespace().next().unwrap_or("");
        let name = name.rsplit(':').next().unwrap_or(name);
        if name.is_empty() || (closing && empty) {
            return Err(broken("a tag without a name"));
        }
        Ok(match (closing, empty) {
            (true, _) => Token::Close(name),
            (_, true) => Token::Empty(name),
            _ => Token::Open(name),
        })
    }
}

fn unescape(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    if !text.contains('&') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(';').ok_or_else(|| broken("an entity without an end"))?;
        let name = &rest[at + 1..at + end];
        let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let found = match (name.strip_prefix("#x"), name.strip_prefix('#')) {
                    (Some(digits), _) => code(digits, 16),
                    (None, Some(digits)) => code(digits, 10),
                    (None, None) => None,
                };
                found.ok_or_else(|| broken("an unknown entity"))?
            }
        });
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// Fills `record` with the element's children.
pub(crate) fn read_members(
    element: &Element<'_>,
    members: &[Member],
    record: &mut dyn Record,
    limits: Limits,
    depth: usize,
) -> Result<(), DecodeError> {
    let depth = deeper(depth)?;
    for child in &element.children {
        let found = members.iter().position(|member| member.xml == child.name);
        if let Some(index) = found {
            read_value(child, members[index].shape, record.field_mut(index).place(), limits, depth)?;
        }
    }
    Ok(())
}

fn read_value(
    element: &Element<'_>,
    shape: &Shape,
    place: Place<'_>,
    limits: Limits,
    depth: usize,
) -> Result<(), DecodeError> {
    match (shape, place) {
        (Shape::Struct(shape), Place::Record(record)) => read_members(element, shape.members, record, limits, depth),
        (Shape::List(shape), Place::List(list)) => {
            let depth = deeper(depth)?;
            let Some(item) = shape.xml_item else {
                return read_value(element, shape.member, list.add(), limits, depth);
            };
            for child in element.children.iter().filter(|child| child.name == item) {
                read_value(child, shape.member, list.add(), limits, depth)?;
            }
            Ok(())
        }
        (Shape::Map(shape), Place::Map(map)) => {
            let depth = deeper(depth)?;
            let itself = std::slice::from_ref(element);
            let entries = if shape.flattened { itself } else { &element.children[..] };
            for entry in entries {
                let (Some(key), Some(value)) = (entry.child_text(shape.key_name), entry.child(shape.value_name)) else {
                    continue;
                };
                read_value(value, shape.value, map.add(key.to_owned()), limits, depth)?;
            }
            Ok(())
        }
        (_, place) => decode::scalar(place, &element.text, element.name),
    }
}
