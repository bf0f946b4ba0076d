//! What one request's line will say, gathered while the request is served.

use super::LogLocal;
use crate::http::push_decimal;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Longest request line or other text that is kept; a request's line is no longer.
const TEXT_MAX: usize = 16 * 1024;
/// Longest `User-Agent` (alb.md 10).
const USER_AGENT_MAX: usize = 8 * 1024;
/// Entries with more memory than this are not kept for reuse.
const SMALL_BYTES: usize = 4 * 1024;

/// The type of a request (field 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Http,
    Https,
    H2,
    Grpcs,
    Ws,
    Wss,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Https => "https",
            Kind::H2 => "h2",
            Kind::Grpcs => "grpcs",
            Kind::Ws => "ws",
            Kind::Wss => "wss",
        }
    }

    /// What a request becomes when it switches to WebSocket.
    pub(crate) fn upgraded(self) -> Kind {
        match self {
            Kind::Http | Kind::Ws => Kind::Ws,
            Kind::Https | Kind::H2 | Kind::Grpcs | Kind::Wss => Kind::Wss,
        }
    }
}

/// What was done with a request (field 23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActionTaken {
    Authenticate,
    FixedResponse,
    Forward,
    Redirect,
    Rewrite,
}

impl ActionTaken {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ActionTaken::Authenticate => "authenticate",
            ActionTaken::FixedResponse => "fixed-response",
            ActionTaken::Forward => "forward",
            ActionTaken::Redirect => "redirect",
            ActionTaken::Rewrite => "rewrite",
        }
    }
}

/// What a client's TLS connection agreed on; shared by its requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFacts {
    /// OpenSSL's name (field 15).
    pub(crate) cipher: String,
    /// `TLSv1.2` (field 16).
    pub(crate) protocol: String,
    /// The client's SNI (field 19).
    pub(crate) server_name: Option<String>,
    /// The certificate's ARN, or `session-reused` (field 20).
    pub(crate) certificate: String,
}

/// A request under way, as the log will tell it.
pub(crate) struct Entry {
    pub(super) log: Option<Rc<LogLocal>>,
    /// Microseconds of service time since the epoch (field 22).
    pub(super) created_micros: i64,
    /// When it began, for durations.
    pub(super) began: Instant,
    pub(crate) kind: Kind,
    pub(crate) client: SocketAddr,
    pub(crate) dispatched: Option<Instant>,
    pub(super) target_took: Option<Duration>,
    pub(super) target_answered: Option<Instant>,
    pub(crate) answer_begun: Option<Instant>,
    /// What the client got; 0 is written as `000`.
    pub(crate) status: u16,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(super) request: Vec<u8>,
    pub(super) user_agent: Vec<u8>,
    pub(crate) tls: Option<Rc<TlsFacts>>,
    /// Empty without one.
    pub(super) group: Vec<u8>,
    pub(super) trace_id: Vec<u8>,
    /// 0 for the default rule, -1 when evaluation failed, `None` without a rule.
    pub(crate) priority: Option<i32>,
    pub(super) actions: Vec<ActionTaken>,
    pub(super) redirect_url: Vec<u8>,
    pub(crate) error_reason: Option<&'static str>,
    /// Targets tried, with what they answered.
    pub(super) targets: Vec<(SocketAddrV4, Option<u16>)>,
    /// `Acceptable`, `Ambiguous` or `Severe`, and why.
    pub(crate) classification: Option<(&'static str, &'static str)>,
    /// The connection's trace id as a number; written as `TID_` and 32 hex digits.
    pub(crate) connection_id: u128,
    pub(super) transformed_host: Vec<u8>,
    pub(super) transformed_uri: Vec<u8>,
    pub(crate) transform_status: Option<&'static str>,
}

/// Stands for a client's address until it is filled in.
const NOBODY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

impl Entry {
    pub(super) fn new(log: Rc<LogLocal>, created_micros: i64) -> Entry {
        Entry {
            log: Some(log),
            created_micros,
            began: Instant::now(),
            kind: Kind::Http,
            client: NOBODY,
            dispatched: None,
            target_took: None,
            target_answered: None,
            answer_begun: None,
            status: 0,
            received: 0,
            sent: 0,
            request: Vec::new(),
            user_agent: Vec::new(),
            tls: None,
            group: Vec::new(),
            trace_id: Vec::new(),
            priority: None,
            actions: Vec::new(),
            redirect_url: Vec::new(),
            error_reason: None,
            targets: Vec::new(),
            classification: None,
            connection_id: 0,
            transformed_host: Vec::new(),
            transformed_uri: Vec::new(),
            transform_status: None,
        }
    }

    /// Makes it a new one that keeps the memory of the old one. Field by
    /// field, because copying a whole entry costs more than what is in it.
    pub(super) fn reset(&mut self, log: Rc<LogLocal>, created_micros: i64) {
        self.log = Some(log);
        self.created_micros = created_micros;
        self.began = Instant::now();
        let Entry {
            log: _,
            created_micros: _,
            began: _,
            kind,
            client,
            dispatched,
            target_took,
            target_answered,
            answer_begun,
            status,
            received,
            sent,
            request,
            user_agent,
            tls,
            group,
            trace_id,
            priority,
            actions,
            redirect_url,
            error_reason,
            targets,
            classification,
            connection_id,
            transformed_host,
            transformed_uri,
            transform_status,
        } = self;
        (*kind, *client, *status, *received, *sent) = (Kind::Http, NOBODY, 0, 0, 0);
        (*dispatched, *target_took, *target_answered, *answer_begun) = (None, None, None, None);
        (*tls, *priority, *error_reason, *classification) = (None, None, None, None);
        (*connection_id, *transform_status) = (0, None);
        for text in [request, user_agent, group, trace_id] {
            text.clear();
        }
        targets.clear();
        actions.clear();
        // Rare and of any length: not kept.
        for text in [redirect_url, transformed_host, transformed_uri] {
            *text = Vec::new();
        }
    }

    pub(super) fn is_small(&self) -> bool {
        self.request.capacity() + self.user_agent.capacity() + self.trace_id.capacity() <= SMALL_BYTES
    }

    /// The request line as the log shows it (field 13): method, scheme, host
    /// without a port, the listener's port, target as the client sent it, version.
    pub(crate) fn request(
        &mut self,
        method: &[u8],
        scheme: &str,
        host: &[u8],
        port: u16,
        target: &[u8],
        version: &str,
    ) {
        let text = &mut self.request;
        text.clear();
        text.extend_from_slice(method);
        text.push(b' ');
        text.extend_from_slice(scheme.as_bytes());
        text.extend_from_slice(b"://");
        text.extend_from_slice(without_port(host));
        text.push(b':');
        push_decimal(text, u64::from(port));
        text.extend_from_slice(&target[..target.len().min(TEXT_MAX)]);
        text.push(b' ');
        text.extend_from_slice(version.as_bytes());
    }

    /// Field 14.
    pub(crate) fn user_agent(&mut self, text: &[u8]) {
        self.user_agent.clear();
        self.user_agent.extend_from_slice(&text[..text.len().min(USER_AGENT_MAX)]);
    }

    /// Field 18: the value of the trace id header that the target gets.
    pub(crate) fn trace_id(&mut self, text: &[u8]) {
        self.trace_id.clear();
        self.trace_id.extend_from_slice(&text[..text.len().min(TEXT_MAX)]);
    }

    /// Adds to field 23, once each.
    pub(crate) fn action(&mut self, action: ActionTaken) {
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    /// Field 24.
    pub(crate) fn redirect_url(&mut self, text: &[u8]) {
        self.redirect_url = text[..text.len().min(TEXT_MAX)].to_vec();
    }

    /// Fields 31 to 33.
    pub(crate) fn transformed(&mut self, host: Option<&[u8]>, uri: Option<&[u8]>, status: Option<&'static str>) {
        self.transformed_host = host.unwrap_or_default().to_vec();
        self.transformed_uri = uri.unwrap_or_default().to_vec();
        self.transform_status = status;
    }

    /// Field 17.
    pub(crate) fn group(&mut self, arn: &str) {
        self.group.clear();
        self.group.extend_from_slice(arn.as_bytes());
    }

    /// A target that is tried; the same one again only once.
    pub(crate) fn target(&mut self, address: SocketAddrV4) {
        if self.targets.last().is_none_or(|(last, _)| *last != address) {
            self.targets.push((address, None));
        }
    }

    /// The target tried last answered now.
    pub(crate) fn responded(&mut self, status: u16, took: Duration, now: Instant) {
        self.target_took = Some(took);
        self.target_answered = Some(now);
        if let Some((_, answered)) = self.targets.last_mut() {
            *answered = Some(status);
        }
    }
}

/// A host as a client names it, without the port.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        Some(_) | None => host,
    }
}
