//! Conditions (IAM User Guide, "Condition operators", "Single-valued and
//! multivalued context keys", "Condition element").
//!
//! Operators are joined by AND, keys of an operator by AND, values of a key
//! by OR; a negated operator holds when none of the values matches.

use super::context::Keys;
use super::evaluation::Watch;
use super::json::Value;
use super::pattern::{Match, Mode, Pattern, Variable};
use super::value;
use crate::routing::Cidr;
use std::net::IpAddr;

/// One operator applied to one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    set: Set,
    if_exists: bool,
    negated: bool,
    /// In lower case.
    pub(super) key: String,
    /// As it is written.
    pub(super) shown: String,
    wanted: Wanted,
}

/// How the values of a multivalued key are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// Without a set operator: any value may match, and for a negated
    /// operator none.
    Plain,
    /// `ForAllValues`: each value by itself, all must hold; true without values.
    All,
    /// `ForAnyValue`: each value by itself, one must hold; false without values.
    Any,
}

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Texts(Vec<Pattern>),
    Numbers(Order, Vec<f64>),
    Dates(Order, Vec<i64>),
    Ranges(Vec<Cidr>),
    /// Whether the key shall be absent.
    Null(Vec<bool>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What an operator's name says.
#[derive(Clone, Copy)]
enum Family {
    Text(Mode),
    Boolean,
    Binary,
    Number(Order),
    Date(Order),
    Address,
    Null,
}

/// Why a condition is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadCondition {
    /// Its form is not that of a condition, or the operator is unknown.
    Syntax,
    /// A key without the name of a service.
    Vendor,
    /// A value that is not of the operator's type.
    Value,
}

/// Reads the Condition element of a statement.
pub(super) fn read(element: &Value, variables: bool) -> Result<Vec<Condition>, BadCondition> {
    let Value::Object(operators) = element else { return Err(BadCondition::Syntax) };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let Value::Object(keys) = keys else { return Err(BadCondition::Syntax) };
        for (key, values) in keys {
            let values = values.scalars().ok_or(BadCondition::Syntax)?;
            conditions.push(condition(name, key, &values, variables)?);
        }
        operator(name).ok_or(BadCondition::Syntax)?;
    }
    Ok(conditions)
}

fn condition(name: &str, key: &str, values: &[&str], variables: bool) -> Result<Condition, BadCondition> {
    let (set, family, negated, if_exists) = operator(name).ok_or(BadCondition::Syntax)?;
    if !key.contains(':') {
        return Err(BadCondition::Vendor);
    }
    let wanted = wanted(family, values, variables).ok_or(BadCondition::Value)?;
    Ok(Condition { set, if_exists, negated, key: key.to_ascii_lowercase(), shown: key.to_owned(), wanted })
}

fn wanted(family: Family, values: &[&str], variables: bool) -> Option<Wanted> {
    let patterns = |mode: Mode, variables: bool| {
        let patterns: Result<_, _> = values.iter().map(|text| Pattern::compile(text, mode, variables)).collect();
        patterns.ok().map(Wanted::Texts)
    };
    match family {
        Family::Text(mode) => patterns(mode, variables),
        Family::Boolean => {
            let valid = |text: &&str| value::boolean(text).is_some() || (variables && text.contains("${"));
            values.iter().all(valid).then(|| patterns(Mode::IgnoringCase, variables))?
        }
        Family::Binary => values.iter().all(|text| value::is_base64(text)).then(|| patterns(Mode::Exact, false))?,
        Family::Number(order) => all(values, value::number).map(|numbers| Wanted::Numbers(order, numbers)),
        Family::Date(order) => all(values, value::date).map(|dates| Wanted::Dates(order, dates)),
        Family::Address => all(values, value::range).map(Wanted::Ranges),
        Family::Null => all(values, value::boolean).map(Wanted::Null),
    }
}

fn all<T>(values: &[&str], read: fn(&str) -> Option<T>) -> Option<Vec<T>> {
    values.iter().map(|text| read(text)).collect()
}

/// The operator of a name, whether it is negated, and its prefix and suffix.
fn operator(name: &str) -> Option<(Set, Family, bool, bool)> {
    let (set, rest) = if let Some(rest) = name.strip_prefix("ForAllValues:") {
        (Set::All, rest)
    } else if let Some(rest) = name.strip_prefix("ForAnyValue:") {
        (Set::Any, rest)
    } else {
        (Set::Plain, name)
    };
    let (base, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |base| (base, true));
    let (family, negated) = match base {
        "StringEquals" => (Family::Text(Mode::Exact), false),
        "StringNotEquals" => (Family::Text(Mode::Exact), true),
        "StringEqualsIgnoreCase" => (Family::Text(Mode::IgnoringCase), false),
        "StringNotEqualsIgnoreCase" => (Family::Text(Mode::IgnoringCase), true),
        "StringLike" => (Family::Text(Mode::Like), false),
        "StringNotLike" => (Family::Text(Mode::Like), true),
        "ArnEquals" | "ArnLike" => (Family::Text(Mode::Arn), false),
        "ArnNotEquals" | "ArnNotLike" => (Family::Text(Mode::Arn), true),
        "NumericEquals" => (Family::Number(Order::Equal), false),
        "NumericNotEquals" => (Family::Number(Order::Equal), true),
        "NumericLessThan" => (Family::Number(Order::Less), false),
        "NumericLessThanEquals" => (Family::Number(Order::LessOrEqual), false),
        "NumericGreaterThan" => (Family::Number(Order::Greater), false),
        "NumericGreaterThanEquals" => (Family::Number(Order::GreaterOrEqual), false),
        "DateEquals" => (Family::Date(Order::Equal), false),
        "DateNotEquals" => (Family::Date(Order::Equal), true),
        "DateLessThan" => (Family::Date(Order::Less), false),
        "DateLessThanEquals" => (Family::Date(Order::LessOrEqual), false),
        "DateGreaterThan" => (Family::Date(Order::Greater), false),
        "DateGreaterThanEquals" => (Family::Date(Order::GreaterOrEqual), false),
        "Bool" => (Family::Boolean, false),
        "BinaryEquals" => (Family::Binary, false),
        "IpAddress" => (Family::Address, false),
        "NotIpAddress" => (Family::Address, true),
        "Null" if !if_exists => (Family::Null, false),
        _ => return None,
    };
    Some((set, family, negated, if_exists))
}

impl Condition {
    /// The variables of its values.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let patterns: &[Pattern] = match &self.wanted {
            Wanted::Texts(patterns) => patterns,
            Wanted::Numbers(..) | Wanted::Dates(..) | Wanted::Ranges(_) | Wanted::Null(_) => &[],
        };
        patterns.iter().flat_map(Pattern::variables)
    }

    /// Whether it holds; `watch` is told of keys that the request does not have.
    pub(super) fn holds<W: Watch>(&self, keys: &dyn Keys, watch: &mut W) -> bool {
        let (mut count, mut nothing) = (0_usize, true);
        let (mut all, mut any) = (true, false);
        let asks_values = !matches!(self.wanted, Wanted::Null(_));
        let present = keys.visit(&self.key, &mut |value| {
            count += 1;
            nothing &= value.is_empty();
            let holds = asks_values && self.holds_for(value, keys);
            (all, any) = (all && holds, any || holds);
        });
        if W::FULL {
            if !present {
                watch.missing(&self.shown);
            }
            self.variables().filter(|variable| variable.is_missing(keys)).for_each(|v| watch.missing(&v.shown));
        }
        if let Wanted::Null(wanted) = &self.wanted {
            return wanted.contains(&(count == 0));
        }
        match (present, self.set) {
            (false, _) if self.if_exists => true,
            (false, Set::Plain) => self.negated,
            (false, Set::All) => true,
            (false, Set::Any) => false,
            (true, Set::Plain) if self.negated => all,
            (true, Set::Plain) => any,
            (true, Set::All) => nothing || all,
            (true, Set::Any) => !nothing && any,
        }
    }

    /// Whether it holds for one value.
    fn holds_for(&self, value: &str, keys: &dyn Keys) -> bool {
        match (self.wanted.matches(value, keys), self.negated) {
            (Match::Yes, negated) => !negated,
            (Match::No, negated) => negated,
            (Match::Unresolved, _) => false,
        }
    }
}

impl Wanted {
    /// Whether one value of the request matches one of the policy's.
    fn matches(&self, text: &str, keys: &dyn Keys) -> Match {
        let yes = match self {
            Wanted::Texts(patterns) => return one_of(patterns.iter().map(|pattern| pattern.matches(text, keys))),
            Wanted::Numbers(order, wanted) => {
                value::number(text).is_some_and(|got| wanted.iter().any(|wanted| order.holds(&got, wanted)))
            }
            Wanted::Dates(order, wanted) => {
                value::date(text).is_some_and(|got| wanted.iter().any(|wanted| order.holds(&got, wanted)))
            }
            Wanted::Ranges(ranges) => {
                text.parse::<IpAddr>().is_ok_and(|address| ranges.iter().any(|range| range.contains(address)))
            }
            // It is answered before values are looked at.
            Wanted::Null(_) => false,
        };
        if yes { Match::Yes } else { Match::No }
    }
}

/// Whether one of several matches. Without a match, a pattern whose variable
/// has no value leaves the answer open.
pub(super) fn one_of(matches: impl IntoIterator<Item = Match>) -> Match {
    let mut answer = Match::No;
    for one in matches {
        match one {
            Match::Yes => return Match::Yes,
            Match::Unresolved => answer = Match::Unresolved,
            Match::No => {}
        }
    }
    answer
}

impl Order {
    fn holds<T: PartialOrd>(self, got: &T, wanted: &T) -> bool {
        match self {
            Order::Equal => got == wanted,
            Order::Less => got < wanted,
            Order::LessOrEqual => got <= wanted,
            Order::Greater => got > wanted,
            Order::GreaterOrEqual => got >= wanted,
        }
    }
}
