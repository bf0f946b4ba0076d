//! Seeded randomness, and random values that follow a schema.

use elastane_wire::Timestamp;
use elastane_wire::schema::{Length, Member, Range, Shape};
use elastane_wire::value::{Place, Record};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// Structures nest this deep before only plain members are set.
const DEPTH: u32 = 7;

/// Sets required members and some of the others, at least one.
pub fn fill(random: &mut Random, members: &'static [Member], record: &mut dyn Record) {
    members_of(random, members, record, DEPTH);
}

fn members_of(random: &mut Random, members: &'static [Member], record: &mut dyn Record, depth: u32) {
    // A structure without members cannot be told in a query request.
    let hollow = |member: &Member| matches!(member.shape, Shape::Struct(shape) if shape.members.is_empty());
    let full: Vec<usize> = (0..members.len()).filter(|&index| !hollow(&members[index])).collect();
    let chosen = if full.is_empty() { 0 } else { *random.pick(&full) };
    for (index, member) in members.iter().enumerate() {
        let nested = matches!(member.shape, Shape::Struct(_) | Shape::List(_) | Shape::Map(_));
        let wanted = (index == chosen || random.below(4) == 0) && !hollow(member);
        if member.required || (wanted && (depth > 0 || !nested)) {
            value(random, member.shape, record.field_mut(index).place(), depth.saturating_sub(1));
        }
    }
    if depth == 0 {
        // A structure with nothing set cannot be told in a query request.
        let plain = members
            .iter()
            .position(|member| matches!(member.shape, Shape::String(_) | Shape::Boolean | Shape::Integer(_)));
        if let Some(index) = plain {
            value(random, members[index].shape, record.field_mut(index).place(), 0);
        }
    }
}

fn count(random: &mut Random, length: Length, usual: u64) -> u64 {
    let min = length.min.unwrap_or(0);
    let max = length.max.unwrap_or(u64::MAX).min(min.saturating_add(usual)).max(min);
    min + random.below(max - min + 1)
}

fn number(random: &mut Random, range: Range) -> i64 {
    let min = range.min.map_or(0, |min| min.ceil() as i64);
    let max = range.max.map_or(min.saturating_add(1000), |max| max.floor() as i64).max(min);
    min + random.below((max - min) as u64 + 1) as i64
}

fn value(random: &mut Random, shape: &'static Shape, place: Place<'_>, depth: u32) {
    match (shape, place) {
        (Shape::Struct(shape), Place::Record(record)) => members_of(random, shape.members, record, depth),
        (Shape::List(shape), Place::List(list)) => {
            for _ in 0..count(random, shape.length, 2).max(1) {
                value(random, shape.member, list.add(), depth);
            }
        }
        (Shape::Map(shape), Place::Map(map)) => {
            for index in 0..count(random, shape.length, 2).max(1) {
                value(random, shape.value, map.add(format!("k<&.{index}")), depth);
            }
        }
        (Shape::String(shape), Place::String(slot)) if !shape.allowed.is_empty() => {
            *slot = (*random.pick(shape.allowed)).to_owned();
        }
        (Shape::String(shape), Place::String(slot)) => {
            const CHARS: &[char] = &[
                'a', 'Z', '0', ' ', '&', '<', '>', '"', '\'', '\\', '%', '+', '=', '.', '/', '\n', '\t', 'é', '→', '🙂',
            ];
            *slot = (0..count(random, shape.length, 12)).map(|_| *random.pick(CHARS)).collect();
        }
        (_, Place::Boolean(slot)) => *slot = random.below(2) == 0,
        (Shape::Integer(range), Place::Integer(slot)) => *slot = number(random, *range) as i32,
        (Shape::Long(range), Place::Long(slot)) => *slot = number(random, *range),
        (Shape::Float(range), Place::Float(slot)) => *slot = number(random, *range) as f32,
        (Shape::Double(range), Place::Double(slot)) => {
            let whole = number(random, *range) as f64;
            *slot = if range.max.is_none() { whole + random.below(1000) as f64 / 7.0 } else { whole };
        }
        (Shape::Blob(length), Place::Blob(slot)) => {
            *slot = (0..count(random, *length, 20)).map(|_| random.next() as u8).collect();
        }
        (_, Place::Timestamp(slot)) => *slot = Timestamp(random.below(4_000_000_000_000) as i64),
        _ => panic!("a place of another type than its schema"),
    }
}
