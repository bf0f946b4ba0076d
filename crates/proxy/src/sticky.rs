//! Stickiness cookies (alb.md 4): `AWSALB` and `AWSALBCORS` name a target,
//! `AWSALBAPP-0` one for a session of the application's own, `AWSALBTG` and
//! `AWSALBTGCORS` a target group.
//!
//! What they say is encrypted and authenticated by the [`Jar`]'s keys and
//! bound to the load balancer, so clients can neither read nor make it. A
//! cookie's age counts from the answer that set it last; every answer does.

mod jar;

pub(crate) use jar::Jar;

use crate::choose::GroupLocal;
use crate::http::page::http_date;
use crate::local::TargetLocal;
use elastane_domain::routing::StickinessKind;
use elastane_domain::time::{Span, Time};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// `Expires` is always this far ahead; the duration is checked by ourselves (rule 1).
const EXPIRES: Span = Span::from_mins(7 * 24 * 60);
/// Bytes of cookies that are looked at; requests' headers are no longer.
const COOKIES_MAX: usize = 64 * 1024;

/// What a sealed text is for: one for another purpose is not accepted.
const TARGET: u8 = 1;
const GROUP: u8 = 2;
const APPLICATION: u8 = 3;

/// Names a target group in cookies: a hash of its ARN (FNV-1a).
pub(crate) fn mark(arn: &str) -> u64 {
    arn.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether the raw head of an HTTP/1 response sets a cookie of this name.
pub(crate) fn sets_cookie(head: &[u8], name: &str) -> bool {
    header_values(head, b"set-cookie").any(|value| value_sets(value, name))
}

/// Whether a `Set-Cookie` value sets a cookie of this name.
pub(crate) fn value_sets(value: &[u8], name: &str) -> bool {
    let pair = value.split(|&byte| byte == b';').next().unwrap_or_default();
    pair.iter().position(|&byte| byte == b'=').is_some_and(|end| pair[..end].trim_ascii() == name.as_bytes())
}

fn header_values<'a>(head: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).filter_map(move |line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = found.eq_ignore_ascii_case(name).then_some(value)?.strip_prefix(b":")?;
        Some(value.trim_ascii())
    })
}

/// The cookies of one request.
pub(crate) struct Sticky {
    cookies: Vec<u8>,
}

/// What an answer's cookies are made of.
pub(crate) struct Answer<'a> {
    pub(crate) jar: &'a Jar,
    /// The load balancer's ARN.
    pub(crate) balancer: &'a str,
    pub(crate) group: &'a GroupLocal,
    pub(crate) target: &'a TargetLocal,
    /// How long the client stays with the group, when the action says so.
    pub(crate) group_secs: Option<u32>,
    /// The target's answer sets the application's cookie.
    pub(crate) app_cookie_set: bool,
    /// Service time.
    pub(crate) now: Time,
}

/// A target as a cookie names it.
struct Named {
    mark: u64,
    address: SocketAddrV4,
}

impl Sticky {
    /// Takes the values of a request's Cookie headers.
    pub(crate) fn read<'a>(values: impl Iterator<Item = &'a [u8]>) -> Sticky {
        let mut cookies = Vec::new();
        for value in values {
            if cookies.len() + value.len() < COOKIES_MAX {
                cookies.extend_from_slice(value);
                cookies.push(b';');
            }
        }
        Sticky { cookies }
    }

    /// The value of the first cookie of this name.
    fn cookie(&self, name: &[u8]) -> Option<&[u8]> {
        self.cookies.split(|&byte| byte == b';').find_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")?;
            Some(value.trim_ascii())
        })
    }

    /// What the first good one of these cookies says, if it is young enough.
    fn open(
        &self,
        jar: &Jar,
        names: [&[u8]; 2],
        (purpose, balancer): (u8, &str),
        secs: u32,
        now: Time,
    ) -> Option<Vec<u8>> {
        names.into_iter().find_map(|name| {
            let plain = jar.open(purpose, balancer, self.cookie(name)?, now)?;
            let (issued, rest) = plain.split_first_chunk::<8>()?;
            let age = now.seconds().checked_sub(i64::from_be_bytes(*issued))?;
            // A clock that stepped back makes cookies from the future; they are young.
            (age <= i64::from(secs)).then(|| rest.to_vec())
        })
    }

    /// The group that the client stays with (rule 5), as an index into `groups`.
    pub(crate) fn group(
        &self,
        jar: &Jar,
        balancer: &str,
        secs: u32,
        groups: &[Rc<GroupLocal>],
        now: Time,
    ) -> Option<usize> {
        let plain = self.open(jar, [b"AWSALBTGCORS", b"AWSALBTG"], (GROUP, balancer), secs, now)?;
        let mark = u64::from_be_bytes(plain.try_into().ok()?);
        groups.iter().position(|group| group.mark == mark)
    }

    /// The place of the target that the client stays with, for the choice;
    /// whether it may have the request is the choice's business (rules 2 and 3).
    pub(crate) fn target(&self, jar: &Jar, balancer: &str, group: &GroupLocal, now: Time) -> Option<usize> {
        let stickiness = group.stickiness()?;
        let (names, purpose): ([&[u8]; 2], u8) = match &stickiness.kind {
            StickinessKind::LoadBalancerCookie => ([b"AWSALBCORS", b"AWSALB"], TARGET),
            // The client must return both cookies.
            StickinessKind::ApplicationCookie(name) => {
                self.cookie(name.as_bytes())?;
                ([b"AWSALBAPP-0", b"AWSALBAPP-1"], APPLICATION)
            }
            StickinessKind::SourceIp => return None,
        };
        let named = Named::decode(&self.open(jar, names, (purpose, balancer), stickiness.secs, now)?)?;
        (named.mark == group.mark).then(|| group.place(named.address)).flatten()
    }
}

impl Named {
    fn decode(plain: &[u8]) -> Option<Named> {
        let (mark, rest) = plain.split_first_chunk::<8>()?;
        let (ip, port) = rest.split_first_chunk::<4>()?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        Some(Named { mark: u64::from_be_bytes(*mark), address: SocketAddrV4::new(Ipv4Addr::from(*ip), port) })
    }

    fn encode(&self) -> Vec<u8> {
        let mut plain = self.mark.to_be_bytes().to_vec();
        plain.extend_from_slice(&self.address.ip().octets());
        plain.extend_from_slice(&self.address.port().to_be_bytes());
        plain
    }
}

impl Answer<'_> {
    /// Appends the `Set-Cookie` lines, each with its line end.
    pub(crate) fn write_lines(&self, out: &mut Vec<u8>) {
        let expires = format!("; Expires={}; Path=/", http_date(self.now + EXPIRES));
        let cors = format!("{expires}; SameSite=None; Secure");
        let mut give = |name: &str, value: &[u8], attributes: &str| {
            for part in [b"Set-Cookie: ", name.as_bytes(), b"=", value, attributes.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        };
        if self.group_secs.is_some() {
            let value = self.seal(GROUP, &self.group.mark.to_be_bytes());
            give("AWSALBTG", &value, &expires);
            give("AWSALBTGCORS", &value, &cors);
        }
        let named = || Named { mark: self.group.mark, address: self.target.state.key.address }.encode();
        match self.group.stickiness().map(|stickiness| &stickiness.kind) {
            Some(StickinessKind::LoadBalancerCookie) => {
                let value = self.seal(TARGET, &named());
                give("AWSALB", &value, &expires);
                give("AWSALBCORS", &value, &cors);
            }
            // Only with the application's own cookie is there a session to keep (rule 4).
            Some(StickinessKind::ApplicationCookie(_)) if self.app_cookie_set => {
                give("AWSALBAPP-0", &self.seal(APPLICATION, &named()), &expires);
            }
            Some(StickinessKind::ApplicationCookie(_) | StickinessKind::SourceIp) | None => {}
        }
    }

    fn seal(&self, purpose: u8, what: &[u8]) -> Vec<u8> {
        let mut plain = self.now.seconds().to_be_bytes().to_vec();
        plain.extend_from_slice(what);
        self.jar.seal(purpose, self.balancer, &plain, self.now)
    }
}

#[cfg(test)]
mod tests;
