//! Conditions, compiled, and whether a request meets them (alb.md 2.1).

use super::Request;
use super::check::PatternError;
use super::pattern::{Case, Matcher};
use super::query::pairs;
use crate::routing::{Cidr, Condition};
use std::net::IpAddr;

/// One condition, compiled. Any of its values must match.
#[derive(Debug)]
pub(super) enum Test {
    Host(Vec<Matcher>),
    Path(Vec<Matcher>),
    Header { name: String, values: Vec<Matcher> },
    Method(Vec<Box<[u8]>>),
    Query(Vec<(Option<Matcher>, Matcher)>),
    SourceIp(Vec<Cidr>),
}

impl Test {
    pub(super) fn compile(condition: &Condition) -> Result<Test, PatternError> {
        let all = |patterns: &[crate::routing::Pattern], case| {
            patterns.iter().map(|pattern| Matcher::compile(pattern, case)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match condition {
            Condition::Host(patterns) => Test::Host(all(patterns, Case::Insensitive)?),
            Condition::Path(patterns) => Test::Path(all(patterns, Case::Sensitive)?),
            Condition::Header { name, values } => {
                Test::Header { name: name.to_ascii_lowercase(), values: all(values, Case::Insensitive)? }
            }
            Condition::Method(methods) => Test::Method(methods.iter().map(|method| method.as_bytes().into()).collect()),
            Condition::Query(patterns) => Test::Query(
                patterns
                    .iter()
                    .map(|pattern| {
                        let key = pattern.key.as_ref().map(|key| Matcher::compile(key, Case::Insensitive));
                        Ok((key.transpose()?, Matcher::compile(&pattern.value, Case::Insensitive)?))
                    })
                    .collect::<Result<_, PatternError>>()?,
            ),
            Condition::SourceIp(ranges) => Test::SourceIp(ranges.clone()),
        })
    }

    /// Whether `request` meets it.
    pub(super) fn holds<R: Request>(&self, request: &R) -> bool {
        match self {
            Test::Host(matchers) => any(matchers, request.host()),
            Test::Path(matchers) => any(matchers, request.path()),
            Test::Header { name, values } => request.header(name, &mut |value| any(values, value)),
            Test::Method(methods) => methods.iter().any(|method| **method == *request.method()),
            Test::Query(patterns) => request.query().is_some_and(|query| {
                pairs(query).any(|(key, value)| {
                    patterns.iter().any(|(wanted_key, wanted)| {
                        wanted_key.as_ref().is_none_or(|wanted| wanted.is_match(key)) && wanted.is_match(value)
                    })
                })
            }),
            Test::SourceIp(ranges) => {
                let source = request.source();
                ranges.iter().any(|range| range.contains(source))
            }
        }
    }
}

fn any(matchers: &[Matcher], text: &[u8]) -> bool {
    matchers.iter().any(|matcher| matcher.is_match(text))
}

impl Cidr {
    /// Whether `address` is in the range; an IPv4 address written as IPv6 is
    /// what it stands for.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}
