//! Texts with wildcards and variables (IAM User Guide, "Policy elements:
//! Resource" and "Variables and tags").
//!
//! `*` stands for any number of characters, `?` for exactly one. What a
//! variable stands for is taken literally: a `*` in a tag's value is no
//! wildcard. A variable without exactly one value and without a default has
//! no value, and nothing matches its pattern.

use super::arn::{Arn, FIELDS};
use super::{Context, Keys};
use smol_str::SmolStr;
use std::borrow::Cow;

/// How a pattern is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Character by character, without wildcards.
    Exact,
    /// Likewise, without regard to case.
    IgnoringCase,
    /// With wildcards.
    Like,
    /// ARN operators: each of the six parts by itself, with wildcards.
    Arn,
    /// Resources: within the first five parts of an ARN a wildcard stays in
    /// its part, but for a `*` at the part's end, which may go beyond.
    Resource,
}

/// Parts of an ARN before the last; colons after them are ordinary.
const ARN_COLONS: usize = FIELDS - 1;

/// One piece of a pattern as it is written.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Many,
    One,
    Variable(Variable),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Variable {
    /// In lower case.
    pub(super) key: String,
    /// As it is written.
    pub(super) shown: String,
    default: Option<String>,
}

/// One piece of a pattern when variables have their values.
#[derive(Clone, Debug, PartialEq)]
enum Piece<'a> {
    Text(Cow<'a, str>),
    /// Exactly one character; no colon when `within` a part of an ARN.
    One {
        within: bool,
    },
    /// Any number of characters; no colon when `within` a part of an ARN.
    Many {
        within: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Compiled {
    Any,
    Exact(String),
    Prefix(String),
    Pieces(Vec<Piece<'static>>),
    Variables(Vec<Part>),
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    mode: Mode,
    compiled: Compiled,
    /// Of a resource with wildcards and as many colons as most ARNs have: one
    /// for each field. A text with as many colons leaves none for wildcards,
    /// so that it matches if its fields do.
    fields: Option<Box<[Compiled; FIELDS]>>,
}

/// Whether a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// One of its variables has no value.
    Unresolved,
}

/// A variable that is not well written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadVariable;

impl Pattern {
    /// Compiles a text; `variables` are known from version 2012-10-17 on.
    pub(super) fn compile(text: &str, mode: Mode, variables: bool) -> Result<Pattern, BadVariable> {
        let wildcards = match mode {
            Mode::Exact | Mode::IgnoringCase => false,
            Mode::Like | Mode::Arn | Mode::Resource => true,
        };
        let mut parts = read(text, wildcards, variables)?;
        if mode == Mode::Resource && !(0..parts.len()).any(|at| parts[at] == Part::Many && ends_part(&parts, at)) {
            complete(&mut parts);
        }
        if parts.iter().any(|part| matches!(part, Part::Variable(_))) {
            return Ok(Pattern { mode, compiled: Compiled::Variables(parts), fields: None });
        }
        let compiled = Compiled::of(&parts, mode);
        let wild = matches!(compiled, Compiled::Prefix(_) | Compiled::Pieces(_));
        let fields = if wild && mode == Mode::Resource { by_field(&parts) } else { None };
        Ok(Pattern { mode, compiled, fields })
    }

    /// The pattern that matches everything?
    pub(super) fn is_any(&self) -> bool {
        self.compiled == Compiled::Any
    }

    /// The text that alone matches, when there is only one.
    pub(super) fn exact(&self) -> Option<&str> {
        match &self.compiled {
            Compiled::Exact(text) => Some(text),
            Compiled::Any | Compiled::Prefix(_) | Compiled::Pieces(_) | Compiled::Variables(_) => None,
        }
    }

    /// The variables within.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let parts: &[Part] = match &self.compiled {
            Compiled::Variables(parts) => parts,
            Compiled::Any | Compiled::Exact(_) | Compiled::Prefix(_) | Compiled::Pieces(_) => &[],
        };
        parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) | Part::Many | Part::One => None,
        })
    }

    /// Compares a text.
    pub(super) fn matches(&self, text: &str, keys: &dyn Keys) -> Match {
        let yes = match &self.compiled {
            Compiled::Exact(exact) if self.mode == Mode::IgnoringCase => same_ignoring_case(exact, text),
            Compiled::Variables(parts) if self.mode == Mode::Exact => return exactly(parts, text, keys),
            Compiled::Variables(parts) => match pieces(parts, keys, self.mode) {
                None => return Match::Unresolved,
                Some(pieces) if self.mode == Mode::IgnoringCase => same_ignoring_case(&joined(&pieces), text),
                Some(pieces) => glob(&pieces, text),
            },
            fixed => fixed.is(text),
        };
        if yes { Match::Yes } else { Match::No }
    }

    /// Whether resources are compared with it by their fields.
    #[cfg(test)]
    pub(super) fn has_fields(&self) -> bool {
        self.fields.is_some()
    }

    /// Compares a resource.
    pub(super) fn covers(&self, arn: &Arn<'_>, keys: &dyn Keys) -> Match {
        match (&self.fields, &arn.fields) {
            // The last fields differ most.
            (Some(wanted), Some(fields)) => match wanted.iter().zip(fields).rev().all(|(it, field)| it.is(field)) {
                true => Match::Yes,
                false => Match::No,
            },
            (_, _) => self.matches(arn.text, keys),
        }
    }
}

impl Compiled {
    /// Of parts without variables.
    fn of(parts: &[Part], mode: Mode) -> Compiled {
        match pieces(parts, &Context::default(), mode).as_deref() {
            Some([]) | None => Compiled::Exact(String::new()),
            Some([Piece::Text(text)]) => Compiled::Exact(text.to_string()),
            Some([Piece::Text(text), Piece::Many { within: false }]) => Compiled::Prefix(text.to_string()),
            // An ARN operator's lone `*` is any value.
            Some([Piece::Many { .. }]) => Compiled::Any,
            Some(pieces) => Compiled::Pieces(pieces.iter().map(Piece::owned).collect()),
        }
    }

    /// Whether it is this text, case and all; what has variables is no text.
    fn is(&self, text: &str) -> bool {
        match self {
            Compiled::Any => true,
            Compiled::Exact(exact) => exact == text,
            Compiled::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Compiled::Pieces(pieces) => glob(pieces, text),
            Compiled::Variables(_) => false,
        }
    }
}

/// The parts between colons, each compiled; `None` when there are not as many
/// as an ARN has.
fn by_field(parts: &[Part]) -> Option<Box<[Compiled; FIELDS]>> {
    let mut fields: Vec<Vec<Part>> = vec![Vec::new()];
    for part in parts {
        let Part::Text(text) = part else {
            fields.last_mut()?.push(part.clone());
            continue;
        };
        for (at, text) in text.split(':').enumerate() {
            if at > 0 {
                fields.push(Vec::new());
            }
            if !text.is_empty() {
                fields.last_mut()?.push(Part::Text(text.to_owned()));
            }
        }
    }
    let fields: Vec<Compiled> = fields.iter().map(|field| Compiled::of(field, Mode::Like)).collect();
    fields.try_into().ok().map(Box::new)
}

impl Variable {
    fn value(&self, keys: &dyn Keys) -> Option<SmolStr> {
        let (mut count, mut found) = (0_usize, None);
        keys.visit(&self.key, &mut |value| {
            count += 1;
            found = Some(SmolStr::from(value));
        });
        match count {
            0 => self.default.as_deref().map(SmolStr::from),
            1 => found,
            // A multivalued key cannot be a variable.
            _ => None,
        }
    }

    /// Whether the request gives it no value, default or not.
    pub(super) fn is_missing(&self, keys: &dyn Keys) -> bool {
        let mut missing = true;
        keys.visit(&self.key, &mut |_| missing = false);
        missing
    }
}

impl Piece<'_> {
    fn owned(&self) -> Piece<'static> {
        match self {
            Piece::Text(text) => Piece::Text(Cow::Owned(text.to_string())),
            Piece::One { within } => Piece::One { within: *within },
            Piece::Many { within } => Piece::Many { within: *within },
        }
    }
}

/// Whether the parts, among which are no wildcards, are the text; without allocation.
fn exactly(parts: &[Part], text: &str, keys: &dyn Keys) -> Match {
    let mut rest = Some(text);
    for part in parts {
        rest = match part {
            Part::Text(wanted) => rest.and_then(|rest| rest.strip_prefix(wanted.as_str())),
            Part::Variable(variable) => {
                let Some(value) = variable.value(keys) else { return Match::Unresolved };
                rest.and_then(|rest| rest.strip_prefix(value.as_str()))
            }
            Part::Many | Part::One => return Match::No,
        };
    }
    if rest == Some("") { Match::Yes } else { Match::No }
}

/// Two texts, upper and lower case being the same.
fn same_ignoring_case(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

fn joined(pieces: &[Piece<'_>]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::One { .. } | Piece::Many { .. } => "",
        })
        .collect()
}

fn read(text: &str, wildcards: bool, variables: bool) -> Result<Vec<Part>, BadVariable> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if variables && let Some(after) = rest.strip_prefix("${") {
            let (inside, after) = after.split_once('}').ok_or(BadVariable)?;
            match inside.trim() {
                literal @ ("*" | "?" | "$") => push(&mut parts, literal),
                inside => parts.push(Part::Variable(variable(inside)?)),
            }
            rest = after;
            continue;
        }
        match first {
            '*' if wildcards => {
                if parts.last() != Some(&Part::Many) {
                    parts.push(Part::Many);
                }
            }
            '?' if wildcards => parts.push(Part::One),
            _ => push(&mut parts, &rest[..first.len_utf8()]),
        }
        rest = &rest[first.len_utf8()..];
    }
    Ok(parts)
}

fn push(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        Some(Part::Many | Part::One | Part::Variable(_)) | None => parts.push(Part::Text(text.to_owned())),
    }
}

fn variable(inside: &str) -> Result<Variable, BadVariable> {
    let (shown, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((key, default)) => {
            let default = default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            (key.trim_end(), Some(default.ok_or(BadVariable)?.to_owned()))
        }
    };
    if shown.is_empty() || shown.contains(['\'', '"', '{', '$', '*', '?']) {
        return Err(BadVariable);
    }
    Ok(Variable { key: shown.to_ascii_lowercase(), shown: shown.to_owned(), default })
}

/// Whether what is at a place is the last of its part of an ARN.
fn ends_part(parts: &[Part], at: usize) -> bool {
    match parts.get(at + 1) {
        None => true,
        Some(Part::Text(text)) => text.starts_with(':'),
        Some(Part::Many | Part::One | Part::Variable(_)) => false,
    }
}

/// An ARN that ends early means any value of the parts that it leaves out,
/// unless a `*` may stand for them.
fn complete(parts: &mut Vec<Part>) {
    let colons = |part: &Part| match part {
        Part::Text(text) => text.matches(':').count(),
        Part::Many | Part::One | Part::Variable(_) => 0,
    };
    for _ in parts.iter().map(colons).sum::<usize>()..ARN_COLONS {
        push(parts, ":");
        parts.push(Part::Many);
    }
}

/// The pieces with variables' values; `None` when one has no value.
fn pieces<'a>(parts: &'a [Part], keys: &dyn Keys, mode: Mode) -> Option<Vec<Piece<'a>>> {
    let mut pieces = Vec::with_capacity(parts.len());
    let mut colons = 0;
    for (at, part) in parts.iter().enumerate() {
        let inner = match mode {
            Mode::Exact | Mode::IgnoringCase | Mode::Like => false,
            Mode::Arn | Mode::Resource => colons < ARN_COLONS,
        };
        pieces.push(match part {
            Part::Text(text) => {
                colons += text.matches(':').count();
                Piece::Text(Cow::Borrowed(text.as_str()))
            }
            Part::Variable(variable) => {
                let value = variable.value(keys)?;
                colons += value.matches(':').count();
                Piece::Text(Cow::Owned(value.to_string()))
            }
            Part::One => Piece::One { within: inner },
            Part::Many => Piece::Many { within: inner && !(mode == Mode::Resource && ends_part(parts, at)) },
        });
    }
    Some(pieces)
}

/// Whether the pieces match the whole text. Within a part of an ARN the
/// leftmost place is the best one, so it is enough to remember the last `*`
/// of each kind: time is at most the product of the lengths.
fn glob(pieces: &[Piece<'_>], text: &str) -> bool {
    if let Some(Piece::Text(last)) = pieces.last()
        && !text.ends_with(last.as_ref())
    {
        return false;
    }
    let (mut at, mut from) = (0, 0);
    // The piece after such a `*`, and where it was last tried.
    let mut wide: Option<(usize, usize)> = None;
    let mut narrow: Option<(usize, usize)> = None;
    loop {
        let rest = &text[from..];
        match pieces.get(at) {
            Some(Piece::Text(wanted)) if rest.starts_with(wanted.as_ref()) => {
                (at, from) = (at + 1, from + wanted.len());
                continue;
            }
            Some(Piece::One { within }) if takes(rest, *within).is_some() => {
                (at, from) = (at + 1, from + takes(rest, *within).unwrap_or(0));
                continue;
            }
            Some(Piece::Many { within: false }) => {
                if at + 1 == pieces.len() {
                    return true;
                }
                at += 1;
                (wide, narrow) = (Some((at, from)), None);
                continue;
            }
            Some(Piece::Many { within: true }) => {
                at += 1;
                narrow = Some((at, from));
                continue;
            }
            None if rest.is_empty() => return true,
            None | Some(Piece::Text(_) | Piece::One { .. }) => {}
        }
        if let Some((after, start)) = narrow
            && let Some(next) = step(pieces.get(after), &text[start..], true)
        {
            (at, from) = (after, start + next);
            narrow = Some((at, from));
            continue;
        }
        narrow = None;
        let Some((after, start)) = wide else { return false };
        let Some(next) = step(pieces.get(after), &text[start..], false) else { return false };
        (at, from) = (after, start + next);
        wide = Some((at, from));
    }
}

/// The length of the first character, if there is one that a wildcard may take.
fn takes(rest: &str, within: bool) -> Option<usize> {
    rest.chars().next().filter(|c| !(within && *c == ':')).map(char::len_utf8)
}

/// How much further a `*` must reach before what follows it can match; `None`
/// when it cannot, or would take a colon `within` a part of an ARN.
fn step(next: Option<&Piece<'_>>, rest: &str, within: bool) -> Option<usize> {
    let one = takes(rest, within)?;
    match next {
        Some(Piece::Text(wanted)) => {
            let more = find(&rest[one..], wanted)?;
            (!within || !rest[one..one + more].contains(':')).then_some(one + more)
        }
        Some(Piece::One { .. } | Piece::Many { .. }) | None => Some(one),
    }
}

/// The first place of a text in another. Both are short: a search that
/// prepares itself costs more than it saves.
fn find(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    let Some(first) = wanted.first() else { return Some(0) };
    let last = text.len().checked_sub(wanted.len())?;
    (0..=last).find(|at| text[*at] == *first && text[*at..*at + wanted.len()] == *wanted)
}
