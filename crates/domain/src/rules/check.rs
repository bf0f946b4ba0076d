//! What the API accepts in rules (alb.md 2.1 and 2.2): shapes of patterns,
//! limits per condition and per rule, redirects and transforms. What passes
//! here always compiles.

use super::pattern::{Case, Matcher, PATTERN_BYTES_MAX, Token, tokens};
use super::rewrite::RewriteSet;
use crate::routing::{Cidr, Condition, Pattern, QueryPattern, Redirect, Rewrite, Transform};
use std::fmt;
use std::net::IpAddr;

/// Match values of one condition.
pub const VALUES_PER_CONDITION_MAX: usize = 3;
/// Match values of all conditions of one rule.
pub const EVALUATIONS_PER_RULE_MAX: usize = 5;
/// Wildcards in all patterns of one rule.
pub const WILDCARDS_PER_RULE_MAX: usize = 6;
/// Longest regular expression of a condition, in characters.
pub const REGEX_CHARACTERS_MAX: usize = 128;
/// Longest name of a header or method, in characters.
pub const NAME_CHARACTERS_MAX: usize = 40;
/// Longest expression and replacement of a transform, in characters.
pub const REWRITE_CHARACTERS_MAX: usize = 1024;
/// Longest host, path and query of a redirect, in characters.
pub const REDIRECT_PART_CHARACTERS_MAX: usize = 128;

/// What is wrong with one pattern or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It is empty.
    Empty,
    /// It is longer than `max` characters.
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A character that may not be there.
    Character(char),
    /// A host pattern without a dot.
    NoDot,
    /// A host pattern with something but letters after its last dot.
    LastLabel,
    /// A wildcard where none may be.
    Wildcard,
    /// The host header in an `http-header` condition.
    HostHeader,
    /// A regular expression with a construct that is not supported.
    RegexConstruct(&'static str),
    /// A regular expression that is none, with the reason.
    RegexSyntax(String),
    /// A regular expression that takes too much memory.
    RegexTooBig,
    /// Not a range of addresses.
    Cidr,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Empty => f.write_str("the value is empty"),
            PatternError::TooLong { max } => write!(f, "the value is longer than {max} characters"),
            PatternError::Character(found) => write!(f, "the character {found:?} is not valid"),
            PatternError::NoDot => f.write_str("the value must have at least one '.'"),
            PatternError::LastLabel => f.write_str("only letters may follow the last '.'"),
            PatternError::Wildcard => f.write_str("wildcards are not valid here"),
            PatternError::HostHeader => f.write_str("the host header takes a host-header condition"),
            PatternError::RegexConstruct(what) => write!(f, "{what} are not supported in regular expressions"),
            PatternError::RegexSyntax(reason) => write!(f, "the regular expression is not valid: {reason}"),
            PatternError::RegexTooBig => f.write_str("the regular expression is too complex"),
            PatternError::Cidr => f.write_str("the value is not a valid CIDR block"),
        }
    }
}

impl std::error::Error for PatternError {}

/// What is wrong with the conditions or transforms of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// A value of a condition.
    Value {
        /// The condition's field, as in the API.
        field: &'static str,
        /// The value.
        value: String,
        /// What is wrong.
        error: PatternError,
    },
    /// A condition without values.
    NoValues {
        /// The condition's field.
        field: &'static str,
    },
    /// More than [`VALUES_PER_CONDITION_MAX`] values.
    ValuesPerCondition {
        /// The condition's field.
        field: &'static str,
    },
    /// More than [`EVALUATIONS_PER_RULE_MAX`] values in all conditions.
    EvaluationsPerRule,
    /// More than [`WILDCARDS_PER_RULE_MAX`] wildcards in all conditions.
    WildcardsPerRule,
    /// Two conditions of a field that a rule may have once.
    Repeated {
        /// The condition's field.
        field: &'static str,
    },
    /// Two transforms of one kind.
    RepeatedTransform {
        /// The transform's type.
        kind: &'static str,
    },
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RulesError::Value { field, value, error } => write!(f, "The {field} value '{value}' is not valid: {error}"),
            RulesError::NoValues { field } => write!(f, "The {field} condition must have at least one value"),
            RulesError::ValuesPerCondition { field } => {
                write!(f, "The {field} condition has more than {VALUES_PER_CONDITION_MAX} match values")
            }
            RulesError::EvaluationsPerRule => {
                write!(f, "A rule can have at most {EVALUATIONS_PER_RULE_MAX} condition values")
            }
            RulesError::WildcardsPerRule => write!(f, "A rule can have at most {WILDCARDS_PER_RULE_MAX} wildcards"),
            RulesError::Repeated { field } => write!(f, "A rule can have only one {field} condition"),
            RulesError::RepeatedTransform { kind } => write!(f, "A rule can have only one {kind} transform"),
        }
    }
}

impl std::error::Error for RulesError {}

/// The field of `condition`, as in the API.
pub fn field(condition: &Condition) -> &'static str {
    match condition {
        Condition::Host(_) => "host-header",
        Condition::Path(_) => "path-pattern",
        Condition::Header { .. } => "http-header",
        Condition::Method(_) => "http-request-method",
        Condition::Query(_) => "query-string",
        Condition::SourceIp(_) => "source-ip",
    }
}

/// Checks all conditions of a rule: each value, and the limits.
pub fn check_conditions(conditions: &[Condition]) -> Result<(), RulesError> {
    let (mut evaluations, mut wildcards) = (0, 0);
    for (n, condition) in conditions.iter().enumerate() {
        let field = field(condition);
        let many = matches!(condition, Condition::Header { .. } | Condition::Query(_));
        if !many && conditions[..n].iter().any(|other| self::field(other) == field) {
            return Err(RulesError::Repeated { field });
        }
        let values = check_values(condition)?;
        match values {
            0 => return Err(RulesError::NoValues { field }),
            values if values > VALUES_PER_CONDITION_MAX => return Err(RulesError::ValuesPerCondition { field }),
            values => evaluations += values,
        }
        wildcards += wildcards_of(condition);
    }
    if evaluations > EVALUATIONS_PER_RULE_MAX {
        return Err(RulesError::EvaluationsPerRule);
    }
    if wildcards > WILDCARDS_PER_RULE_MAX {
        return Err(RulesError::WildcardsPerRule);
    }
    Ok(())
}

/// Checks the values of one condition and counts them.
fn check_values(condition: &Condition) -> Result<usize, RulesError> {
    let field = field(condition);
    let refused = |value: &str, error| RulesError::Value { field, value: value.to_owned(), error };
    let patterns = |patterns: &[Pattern], check: fn(&Pattern) -> Result<(), PatternError>| {
        patterns.iter().try_for_each(|pattern| check(pattern).map_err(|error| refused(text(pattern), error)))
    };
    match condition {
        Condition::Host(values) => patterns(values, check_host_pattern).map(|()| values.len()),
        Condition::Path(values) => patterns(values, check_path_pattern).map(|()| values.len()),
        Condition::Header { name, values } => {
            check_header_name(name).map_err(|error| refused(name, error))?;
            patterns(values, check_header_pattern).map(|()| values.len())
        }
        Condition::Method(values) => {
            values.iter().try_for_each(|value| check_method(value).map_err(|error| refused(value, error)))?;
            Ok(values.len())
        }
        Condition::Query(values) => {
            for value in values {
                check_query_pattern(value).map_err(|error| refused(text(&value.value), error))?;
            }
            Ok(values.len())
        }
        Condition::SourceIp(values) => {
            for value in values {
                let shown = format!("{}/{}", value.network, value.prefix);
                check_cidr(value).map_err(|error| refused(&shown, error))?;
            }
            Ok(values.len())
        }
    }
}

fn text(pattern: &Pattern) -> &str {
    match pattern {
        Pattern::Wildcard(text) | Pattern::Regex(text) => text,
    }
}

fn wildcards_of(condition: &Condition) -> usize {
    let count = |pattern: &Pattern| match pattern {
        Pattern::Wildcard(text) => tokens(text).iter().filter(|token| !matches!(token, Token::Byte(_))).count(),
        Pattern::Regex(_) => 0,
    };
    match condition {
        Condition::Host(values) | Condition::Path(values) | Condition::Header { values, .. } => {
            values.iter().map(count).sum()
        }
        Condition::Query(values) => {
            values.iter().map(|value| count(&value.value) + value.key.as_ref().map_or(0, count)).sum()
        }
        Condition::Method(_) | Condition::SourceIp(_) => 0,
    }
}

/// A value of `host-header`: at most 128 of `A-Za-z0-9-.*?` (and `\` before a
/// wildcard is refused: no host has one), at least one dot, only letters after
/// the last; or a regular expression.
pub fn check_host_pattern(pattern: &Pattern) -> Result<(), PatternError> {
    let Pattern::Wildcard(text) = pattern else { return check_regex(text(pattern)) };
    characters(text, |c| c.is_ascii_alphanumeric() || "-.*?".contains(c))?;
    let (_, last) = text.rsplit_once('.').ok_or(PatternError::NoDot)?;
    match !last.is_empty() && last.chars().all(|c| c.is_ascii_alphabetic()) {
        true => Ok(()),
        false => Err(PatternError::LastLabel),
    }
}

/// A value of `path-pattern`: at most 128 of the documented characters, or a
/// regular expression.
pub fn check_path_pattern(pattern: &Pattern) -> Result<(), PatternError> {
    let Pattern::Wildcard(text) = pattern else { return check_regex(text(pattern)) };
    characters(text, |c| c.is_ascii_alphanumeric() || "_-.$/~\"'@:+&*?".contains(c))
}

/// A name of `http-header`: at most 40 characters of a header name, not `Host`.
pub fn check_header_name(name: &str) -> Result<(), PatternError> {
    bounded(name, NAME_CHARACTERS_MAX)?;
    if name.contains(['*', '?']) {
        return Err(PatternError::Wildcard);
    }
    if let Some(found) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "!#$%&'+-.^_`|~".contains(*c))) {
        return Err(PatternError::Character(found));
    }
    match name.eq_ignore_ascii_case("host") {
        true => Err(PatternError::HostHeader),
        false => Ok(()),
    }
}

/// A value of `http-header`: at most 128 characters without control characters.
pub fn check_header_pattern(pattern: &Pattern) -> Result<(), PatternError> {
    let Pattern::Wildcard(text) = pattern else { return check_regex(text(pattern)) };
    characters(text, |c| !c.is_control())
}

/// A value of `http-request-method`: at most 40 of `A-Z`, `-` and `_`.
pub fn check_method(method: &str) -> Result<(), PatternError> {
    bounded(method, NAME_CHARACTERS_MAX)?;
    if method.contains(['*', '?']) {
        return Err(PatternError::Wildcard);
    }
    match method.chars().find(|c| !(c.is_ascii_uppercase() || "-_".contains(*c))) {
        Some(found) => Err(PatternError::Character(found)),
        None => Ok(()),
    }
}

/// A key and value of `query-string`: at most 128 printable characters each.
pub fn check_query_pattern(pattern: &QueryPattern) -> Result<(), PatternError> {
    for pattern in pattern.key.iter().chain([&pattern.value]) {
        match pattern {
            Pattern::Wildcard(text) => characters(text, |c| c.is_ascii_graphic() && c != '#')?,
            Pattern::Regex(text) => check_regex(text)?,
        }
    }
    Ok(())
}

/// A value of `source-ip`: not `255.255.255.255/32`.
pub fn check_cidr(range: &Cidr) -> Result<(), PatternError> {
    let bits = if range.network.is_ipv4() { 32 } else { 128 };
    let broadcast = Cidr { network: IpAddr::from([255, 255, 255, 255]), prefix: 32 };
    if range.prefix > bits || *range == broadcast { Err(PatternError::Cidr) } else { Ok(()) }
}

/// Reads a value of `source-ip`, such as `10.0.0.0/8`; bits after the prefix are cleared.
pub fn parse_cidr(text: &str) -> Result<Cidr, PatternError> {
    let (network, prefix) = text.split_once('/').ok_or(PatternError::Cidr)?;
    let network: IpAddr = network.parse().map_err(|_| PatternError::Cidr)?;
    if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PatternError::Cidr);
    }
    let prefix: u8 = prefix.parse().map_err(|_| PatternError::Cidr)?;
    check_cidr(&Cidr { network, prefix })?;
    let network = match network {
        IpAddr::V4(v4) => {
            IpAddr::from((v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            IpAddr::from((v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).to_be_bytes())
        }
    };
    Ok(Cidr { network, prefix })
}

/// A regular expression of a condition.
pub fn check_regex(text: &str) -> Result<(), PatternError> {
    bounded(text, REGEX_CHARACTERS_MAX)?;
    constructs(text)?;
    Matcher::compile(&Pattern::Regex(text.to_owned()), Case::Insensitive).map(drop)
}

/// The transforms of a rule: at most one of each kind, each of them valid.
pub fn check_transforms(transforms: &[Transform]) -> Result<(), RulesError> {
    for (n, transform) in transforms.iter().enumerate() {
        let (kind, rewrite) = match transform {
            Transform::Host(rewrite) => ("host-header-rewrite", rewrite),
            Transform::Url(rewrite) => ("url-rewrite", rewrite),
        };
        let same = |other: &Transform| std::mem::discriminant(other) == std::mem::discriminant(transform);
        if transforms[..n].iter().any(same) {
            return Err(RulesError::RepeatedTransform { kind });
        }
        check_rewrite(rewrite)
            .and_then(|()| RewriteSet::compile(0, std::slice::from_ref(transform)).map(drop).map_err(|err| err.error))
            .map_err(|error| RulesError::Value { field: kind, value: rewrite.regex.clone(), error })?;
    }
    Ok(())
}

fn check_rewrite(rewrite: &Rewrite) -> Result<(), PatternError> {
    bounded(&rewrite.regex, REWRITE_CHARACTERS_MAX)?;
    if rewrite.replace.chars().count() > REWRITE_CHARACTERS_MAX {
        return Err(PatternError::TooLong { max: REWRITE_CHARACTERS_MAX });
    }
    if let Some(found) = rewrite.replace.chars().find(|c| c.is_control() || *c == ' ') {
        return Err(PatternError::Character(found));
    }
    constructs(&rewrite.regex)
}

/// What is wrong with a redirect action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectError {
    /// Not 301 or 302.
    Status,
    /// Not `HTTP`, `HTTPS` or `#{protocol}`.
    Protocol,
    /// HTTPS clients would be sent to HTTP.
    ToHttp,
    /// Not 1 to 65535 or `#{port}`.
    Port,
    /// Empty or longer than 128 characters, or not a host's characters.
    Host,
    /// Longer than 128 characters, or not starting with `/`.
    Path,
    /// Longer than 128 characters, or with a leading `?`.
    Query,
    /// It would lead back: nothing but the query changes.
    Loop,
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RedirectError::Status => "the status code must be HTTP_301 or HTTP_302",
            RedirectError::Protocol => "the redirect protocol must be HTTP, HTTPS or #{protocol}",
            RedirectError::ToHttp => "HTTPS cannot be redirected to HTTP",
            RedirectError::Port => "the redirect port must be 1 to 65535 or #{port}",
            RedirectError::Host => "the redirect host is not valid",
            RedirectError::Path => "the redirect path must begin with '/' and have at most 128 characters",
            RedirectError::Query => "the redirect query must not begin with '?' and have at most 128 characters",
            RedirectError::Loop => "the redirect must change the protocol, host, port or path",
        })
    }
}

impl std::error::Error for RedirectError {}

/// Checks a redirect of a listener that speaks HTTPS or not.
pub fn check_redirect(redirect: &Redirect, https: bool) -> Result<(), RedirectError> {
    if !matches!(redirect.status, 301 | 302) {
        return Err(RedirectError::Status);
    }
    match redirect.protocol.as_str() {
        "HTTPS" | "#{protocol}" => {}
        "HTTP" if https => return Err(RedirectError::ToHttp),
        "HTTP" => {}
        _ => return Err(RedirectError::Protocol),
    }
    let number =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0);
    if redirect.port != "#{port}" && !number(&redirect.port) {
        return Err(RedirectError::Port);
    }
    let short = |text: &str| text.chars().count() <= REDIRECT_PART_CHARACTERS_MAX;
    let clean = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    let bare = redirect.host.replace("#{host}", "h");
    if bare.is_empty() || !short(&redirect.host) || !bare.bytes().all(is_host_byte) {
        return Err(RedirectError::Host);
    }
    if !redirect.path.starts_with('/') || !short(&redirect.path) || !clean(&redirect.path) {
        return Err(RedirectError::Path);
    }
    if redirect.query.starts_with('?') || !short(&redirect.query) || !clean(&redirect.query) {
        return Err(RedirectError::Query);
    }
    let same_protocol = match redirect.protocol.as_str() {
        "HTTPS" => https,
        "HTTP" => !https,
        _ => true,
    };
    let unchanged = redirect.host == "#{host}" && redirect.port == "#{port}" && redirect.path == "/#{path}";
    if same_protocol && unchanged { Err(RedirectError::Loop) } else { Ok(()) }
}

/// Whether `byte` may be in a `Host` header: a name, an address, a port.
pub(super) fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
}

fn bounded(text: &str, max: usize) -> Result<(), PatternError> {
    match text.chars().count() {
        0 => Err(PatternError::Empty),
        count if count > max => Err(PatternError::TooLong { max }),
        _ => Ok(()),
    }
}

fn characters(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), PatternError> {
    bounded(text, PATTERN_BYTES_MAX)?;
    if text.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::TooLong { max: PATTERN_BYTES_MAX });
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(found) => Err(PatternError::Character(found)),
        None => Ok(()),
    }
}

/// Refuses the constructs that alb.md 2.1 names. The `regex` crate refuses
/// most of them too, but reads possessive quantifiers as something else.
fn constructs(text: &str) -> Result<(), PatternError> {
    let refused = |what| Err(PatternError::RegexConstruct(what));
    let (mut class, mut quantified) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let mut quantifier = false;
        match c {
            '\\' => {
                let escaped = after.chars().next();
                match escaped {
                    Some('p' | 'P') => return refused("Unicode classes"),
                    Some('1'..='9' | 'k' | 'g') if !class => return refused("back-references"),
                    Some('R') => return refused("recursions"),
                    _ => {}
                }
                rest = &after[escaped.map_or(0, char::len_utf8)..];
                quantified = false;
                continue;
            }
            '[' if !class => class = true,
            ']' if class => class = false,
            _ if class => {}
            '(' => {
                if ["?=", "?!", "?<=", "?<!"].iter().any(|start| after.starts_with(start)) {
                    return refused("look-arounds");
                }
                if after.starts_with("?>") {
                    return refused("atomic groups");
                }
                let recursion = after.strip_prefix('?').and_then(|after| after.chars().next());
                if recursion.is_some_and(|c| c.is_ascii_digit() || "R&+(".contains(c)) || after.starts_with("?P>") {
                    return refused("recursions");
                }
            }
            '+' if quantified => return refused("possessive quantifiers"),
            '*' | '+' | '?' | '}' => quantifier = true,
            _ => {}
        }
        quantified = quantifier;
        rest = after;
    }
    Ok(())
}
