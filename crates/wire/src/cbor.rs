//! CBOR over schemas (Smithy RPC v2), both directions. Lengths that a sender
//! declares are never trusted for allocation; indefinite lengths, half floats
//! and unknown tags are accepted.

use crate::decode::DecodeError;
use crate::limits::Limits;
use crate::query::deeper;
use crate::schema::{Member, Shape};
use crate::time;
use crate::value::{Place, Record, Timestamp, View};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// Tag of epoch seconds (RFC 8949, 3.4.2).
const EPOCH_TAG: u64 = 1;
const BREAK: u8 = 0xff;

fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend([major | 24, value as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(value.to_be_bytes());
        }
    }
}

/// Appends a text.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.extend(text.as_bytes());
}

/// Appends the head of a map with `count` entries.
pub(crate) fn write_map_head(out: &mut Vec<u8>, count: u64) {
    head(out, MAP, count);
}

/// Appends a map with the record's members; empty lists and maps are written
/// with `keep_empty`, as answers need it.
pub(crate) fn write_record(out: &mut Vec<u8>, members: &[Member], record: &dyn Record, keep_empty: bool) {
    // The number of members that are set is known only afterwards.
    out.push((MAP << 5) | 31);
    for (index, member) in members.iter().enumerate() {
        let view = record.field(index).view();
        let skip = match &view {
            View::Absent => true,
            View::List(list) => list.count() == 0 && !keep_empty,
            View::Map(map) => map.count() == 0 && !keep_empty,
            _ => false,
        };
        if !skip {
            write_text(out, member.name);
            write_value(out, member.shape, view, keep_empty);
        }
    }
    out.push(BREAK);
}

fn write_value(out: &mut Vec<u8>, shape: &Shape, view: View<'_>, keep_empty: bool) {
    match (shape, view) {
        (Shape::Struct(shape), View::Record(record)) => write_record(out, shape.members, record, keep_empty),
        (Shape::List(shape), View::List(list)) => {
            head(out, ARRAY, list.count() as u64);
            for index in 0..list.count() {
                write_value(out, shape.member, list.entry(index), keep_empty);
            }
        }
        (Shape::Map(shape), View::Map(map)) => {
            head(out, MAP, map.count() as u64);
            map.each(&mut |key, value| {
                write_text(out, key);
                write_value(out, shape.value, value, keep_empty);
            });
        }
        (_, view) => write_scalar(out, view),
    }
}

fn write_scalar(out: &mut Vec<u8>, view: View<'_>) {
    match view {
        View::String(text) => write_text(out, text),
        View::Boolean(yes) => out.push(if yes { 0xf5 } else { 0xf4 }),
        View::Integer(number) => write_integer(out, i64::from(number)),
        View::Long(number) => write_integer(out, number),
        View::Float(number) => {
            out.push(0xfa);
            out.extend(number.to_be_bytes());
        }
        View::Double(number) => write_double(out, number),
        View::Blob(bytes) => {
            head(out, BYTES, bytes.len() as u64);
            out.extend(bytes);
        }
        View::Timestamp(at) => {
            head(out, TAG, EPOCH_TAG);
            write_double(out, at.0 as f64 / 1000.0);
        }
        View::Absent | View::Record(_) | View::List(_) | View::Map(_) => out.push(0xf6),
    }
}

fn write_double(out: &mut Vec<u8>, number: f64) {
    out.push(0xfb);
    out.extend(number.to_be_bytes());
}

fn write_integer(out: &mut Vec<u8>, number: i64) {
    match u64::try_from(number) {
        Ok(positive) => head(out, UNSIGNED, positive),
        Err(_) => head(out, NEGATIVE, !(number as u64)),
    }
}

/// Fills `record` from a CBOR map; an empty body is an empty map.
pub(crate) fn read(bytes: &[u8], shape: &Shape, record: &mut dyn Record, limits: Limits) -> Result<(), DecodeError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut reader = Reader { bytes, at: 0, limits };
    reader.record(shape.members(), record, limits.depth)?;
    if reader.at < bytes.len() {
        return Err(reader.broken());
    }
    Ok(())
}

/// The texts at the top of a map: how errors are read.
pub(crate) fn top_texts(bytes: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    let mut reader = Reader { bytes, at: 0, limits: Limits::RESPONSE };
    let mut found = Vec::new();
    reader.map(|reader, key| match reader.item()? {
        Item::Text(text) => {
            found.push((key, text));
            Ok(())
        }
        item => reader.ignore(item, Limits::RESPONSE.depth),
    })?;
    Ok(found)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
}

/// The start of a data item; `None` is an indefinite length.
enum Item {
    Integer(i128),
    Bytes(Vec<u8>),
    Text(String),
    Array(Option<u64>),
    Map(Option<u64>),
    Tag(u64),
    Boolean(bool),
    Null,
    Float(f64),
    Other,
}

impl Reader<'_> {
    fn broken(&self) -> DecodeError {
        DecodeError::malformed(format!("The request is not valid CBOR at byte {}.", self.at))
    }

    fn take(&mut self, count: u64) -> Result<&[u8], DecodeError> {
        let count = usize::try_from(count).map_err(|_| self.broken())?;
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| self.broken())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take(1).map(|taken| taken[0])
    }

    /// The argument of an item; `None` is an indefinite length.
    fn argument(&mut self, low: u8) -> Result<Option<u64>, DecodeError> {
        let size = match low {
            0..=23 => return Ok(Some(u64::from(low))),
            24..=27 => 1 << (low - 24),
            31 => return Ok(None),
            _ => return Err(self.broken()),
        };
        let taken = self.take(size)?;
        Ok(Some(taken.iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte))))
    }

    fn item(&mut self) -> Result<Item, DecodeError> {
        let first = self.byte()?;
        let (major, low) = (first >> 5, first & 31);
        if major == SIMPLE {
            return self.simple(low);
        }
        let argument = self.argument(low)?;
        Ok(match (major, argument) {
            (UNSIGNED, Some(value)) => Item::Integer(i128::from(value)),
            (NEGATIVE, Some(value)) => Item::Integer(-1 - i128::from(value)),
            (TAG, Some(tag)) => Item::Tag(tag),
            (ARRAY, count) => Item::Array(count),
            (MAP, count) => Item::Map(count),
            (BYTES, length) => Item::Bytes(self.string(BYTES, length)?),
            (TEXT, length) => {
                let bytes = self.string(TEXT, length)?;
                Item::Text(String::from_utf8(bytes).map_err(|_| self.broken())?)
            }
            _ => return Err(self.broken()),
        })
    }

    fn simple(&mut self, low: u8) -> Result<Item, DecodeError> {
        Ok(match low {
            20 => Item::Boolean(false),
            21 => Item::Boolean(true),
            22 | 23 => Item::Null,
            25 => {
                let taken = self.take(2)?;
                Item::Float(half(u16::from_be_bytes([taken[0], taken[1]])))
            }
            26 => {
                let taken = self.take(4)?;
                Item::Float(f64::from(f32::from_be_bytes([taken[0], taken[1], taken[2], taken[3]])))
            }
            27 => {
                let taken = self.take(8)?;
                let mut bytes = [0; 8];
                bytes.copy_from_slice(taken);
                Item::Float(f64::from_be_bytes(bytes))
            }
            0..=19 => Item::Other,
            24 => {
                self.byte()?;
                Item::Other
            }
            _ => return Err(self.broken()),
        })
    }

    fn string(&mut self, major: u8, length: Option<u64>) -> Result<Vec<u8>, DecodeError> {
        if let Some(length) = length {
            return self.take(length).map(<[u8]>::to_vec);
        }
        let mut out = Vec::new();
        loop {
            let first = self.byte()?;
            if first == BREAK {
                return Ok(out);
            }
            if first >> 5 != major {
                return Err(self.broken());
            }
            let length = self.argument(first & 31)?.ok_or_else(|| self.broken())?;
            out.extend(self.take(length)?);
        }
    }

    /// Whether another entry follows; steps over the end mark.
    fn more(&mut self, left: &mut Option<u64>) -> Result<bool, DecodeError> {
        if let Some(left) = left {
            let more = *left > 0;
            *left = left.saturating_sub(1);
            return Ok(more);
        }
        let next = *self.bytes.get(self.at).ok_or_else(|| self.broken())?;
        if next == BREAK {
            self.at += 1;
        }
        Ok(next != BREAK)
    }

    fn map(&mut self, entry: impl FnMut(&mut Self, String) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        match self.item()? {
            Item::Map(count) => self.entries(count, entry),
            _ => Err(self.broken()),
        }
    }

    fn entries(
        &mut self,
        mut left: Option<u64>,
        mut entry: impl FnMut(&mut Self, String) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        while self.more(&mut left)? {
            match self.item()? {
                Item::Text(key) => entry(self, key)?,
                _ => return Err(self.broken()),
            }
        }
        Ok(())
    }

    fn record(&mut self, members: &[Member], record: &mut dyn Record, depth: usize) -> Result<(), DecodeError> {
        match self.item()? {
            Item::Map(count) => self.members(count, members, record, depth),
            _ => Err(self.broken()),
        }
    }

    fn members(
        &mut self,
        count: Option<u64>,
        members: &[Member],
        record: &mut dyn Record,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let depth = deeper(depth)?;
        self.entries(count, |reader, key| {
            let item = reader.item()?;
            match members.iter().position(|member| member.name == key) {
                Some(_) if matches!(item, Item::Null) => Ok(()),
                Some(index) => {
                    let member = &members[index];
                    reader.value(item, member.shape, record.field_mut(index).place(), member.name, depth)
                }
                None => reader.ignore(item, depth),
            }
        })
    }

    fn value(
        &mut self,
        item: Item,
        shape: &Shape,
        place: Place<'_>,
        name: &str,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let limit = self.limits.entries;
        let room = |count: usize| {
            (count < limit)
                .then_some(())
                .ok_or_else(|| DecodeError::malformed(format!("{name}: more than {limit} entries.")))
        };
        match (shape, place, item) {
            (Shape::Struct(shape), Place::Record(record), Item::Map(count)) => {
                self.members(count, shape.members, record, depth)
            }
            (Shape::List(shape), Place::List(list), Item::Array(mut left)) => {
                let depth = deeper(depth)?;
                while self.more(&mut left)? {
                    match self.item()? {
                        Item::Null => {}
                        item => {
                            room(list.count())?;
                            self.value(item, shape.member, list.add(), name, depth)?;
                        }
                    }
                }
                Ok(())
            }
            (Shape::Map(shape), Place::Map(map), Item::Map(count)) => {
                let depth = deeper(depth)?;
                self.entries(count, |reader, key| match reader.item()? {
                    Item::Null => Ok(()),
                    item => {
                        room(map.count())?;
                        reader.value(item, shape.value, map.add(key), name, depth)
                    }
                })
            }
            (_, place, item) => self.scalar(item, place, name),
        }
    }

    fn scalar(&mut self, item: Item, place: Place<'_>, name: &str) -> Result<(), DecodeError> {
        let bad = |expected| Err(DecodeError::bad(name, "of another type", expected));
        match (place, item) {
            (Place::String(slot), Item::Text(text)) => *slot = text,
            (Place::Blob(slot), Item::Bytes(bytes)) => *slot = bytes,
            (Place::Boolean(slot), Item::Boolean(yes)) => *slot = yes,
            (Place::Integer(slot), Item::Integer(number)) => match i32::try_from(number) {
                Ok(number) => *slot = number,
                Err(_) => return bad("a 32-bit integer"),
            },
            (Place::Long(slot), Item::Integer(number)) => match i64::try_from(number) {
                Ok(number) => *slot = number,
                Err(_) => return bad("a 64-bit integer"),
            },
            (Place::Float(slot), Item::Float(number)) => *slot = number as f32,
            (Place::Float(slot), Item::Integer(number)) => *slot = number as f32,
            (Place::Double(slot), Item::Float(number)) => *slot = number,
            (Place::Double(slot), Item::Integer(number)) => *slot = number as f64,
            (Place::Timestamp(slot), Item::Tag(EPOCH_TAG)) => {
                let item = self.item()?;
                *slot = instant(&item).ok_or_else(|| DecodeError::bad(name, "of another type", "epoch seconds"))?;
            }
            (Place::String(_), _) => return bad("a text"),
            (Place::Blob(_), _) => return bad("bytes"),
            (Place::Boolean(_), _) => return bad("a boolean"),
            (Place::Timestamp(_), _) => return bad("a timestamp with tag 1"),
            (Place::Record(_) | Place::Map(_), _) => return bad("a map"),
            (Place::List(_), _) => return bad("an array"),
            _ => return bad("a number"),
        }
        Ok(())
    }

    fn ignore(&mut self, item: Item, depth: usize) -> Result<(), DecodeError> {
        let depth = deeper(depth)?;
        match item {
            Item::Array(mut left) => {
                while self.more(&mut left)? {
                    let item = self.item()?;
                    self.ignore(item, depth)?;
                }
                Ok(())
            }
            Item::Map(mut left) => {
                while self.more(&mut left)? {
                    for _ in 0..2 {
                        let item = self.item()?;
                        self.ignore(item, depth)?;
                    }
                }
                Ok(())
            }
            Item::Tag(_) => {
                let item = self.item()?;
                self.ignore(item, depth)
            }
            _ => Ok(()),
        }
    }
}

fn instant(item: &Item) -> Option<Timestamp> {
    match item {
        Item::Integer(number) => time::from_epoch(*number as f64),
        Item::Float(number) => time::from_epoch(*number),
        _ => None,
    }
}

/// A half-precision float (RFC 8949, appendix D).
fn half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 31);
    let mantissa = f64::from(bits & 0x3ff);
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}
