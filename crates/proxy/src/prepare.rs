//! From a request's head to all that carrying it out needs: the rule that it
//! hits, the head for the target, the address of a redirect. Everything is
//! copied out of the borrowed head here, in one go, and only what the rule
//! needs.

use crate::authenticate::Visit;
use crate::connection::{Connection, Next, rest_of};
use crate::describe::trace_id;
use crate::exchange::Exchange;
use crate::http::body::Body;
use crate::http::desync::{Reason, Verdict};
use crate::http::headers::HeaderSink;
use crate::http::request::{self, Forwarding, Refusal, RequestHead, RequestView, Rewrites};
use crate::http::{Parsed, simple};
use crate::log::ActionTaken;
use crate::metrics::Count;
use crate::route::{Route, RouteAction, RouteRule};
use crate::sticky::Sticky;
use elastane_domain::rules::{RedirectTemplate, RequestParts, RewriteSet, Rewritten};
use std::rc::Rc;

/// Headers that an authenticating rule vouches for start with this.
const OIDC_PREFIX: &str = "x-amzn-oidc-";

/// A request with all that its rule needs.
pub(crate) struct Prepared {
    pub(crate) route: Rc<Route>,
    /// The rule that it hit, as an index.
    pub(crate) rule: usize,
    pub(crate) info: RequestHead,
    /// The head for the target, and those body bytes that came with it; empty
    /// when there is no target.
    pub(crate) head: Vec<u8>,
    /// The rest of the body.
    pub(crate) body: Body,
    /// Answered with this status instead of what the rule says.
    pub(crate) refused: Option<u16>,
    /// Header lines for the answer, each with its line end.
    pub(crate) lines: Vec<u8>,
    /// Cookies that say where it goes.
    pub(crate) sticky: Option<Sticky>,
    /// Who the client is has to be found out first.
    pub(crate) visit: Option<Box<Visit>>,
    pub(crate) exchange: Exchange,
}

/// What the transforms of a rule made of a request.
#[derive(Default)]
struct Transformed {
    host: Option<Vec<u8>>,
    url: Option<Vec<u8>>,
    /// What the access log says about them.
    status: Option<&'static str>,
    failed: bool,
}

impl Transformed {
    fn new(set: &RewriteSet, host: &[u8], url: &[u8]) -> Transformed {
        let mut transformed = Transformed::default();
        let host = transformed.note(set.host(host));
        let url = transformed.note(set.url(url));
        Transformed { host, url, ..transformed }
    }

    fn note(&mut self, rewritten: Option<Rewritten>) -> Option<Vec<u8>> {
        let rewritten = rewritten?;
        if !self.failed {
            self.status = rewritten.status().or(self.status);
        }
        match rewritten {
            Rewritten::Applied(text) => Some(text),
            Rewritten::NoMatch => None,
            Rewritten::Failed(_) => {
                self.failed = true;
                None
            }
        }
    }
}

impl Connection {
    /// Notes a refusal.
    pub(crate) fn refused(&mut self, refusal: Refusal, input: &[u8], mut exchange: Exchange) -> Next {
        let thread = self.thread.index;
        if refusal.reason.is_some() {
            self.node.state.ledger.add(thread, Count::DesyncNonCompliant, 1);
        }
        if let Some(entry) = exchange.entry() {
            self.describe_refusal(entry, &refusal);
        }
        exchange.bytes(thread, &self.node, input.len() as u64, 0);
        Next::Refused(refusal, exchange)
    }

    /// Decides what happens to a request, and prepares it. `input` starts with
    /// the request's head.
    pub(crate) fn prepare(
        &mut self,
        view: &RequestView<'_, '_>,
        route: Rc<Route>,
        input: &[u8],
        mut exchange: Exchange,
    ) -> Next {
        let info = *view.info();
        let (rule, evaluated) = match self.callback_rule(view, &route) {
            Some(rule) => (rule, 0),
            None => route.decide_head(view, self.peer.address),
        };
        self.count(&info, evaluated, route.headers.drop_invalid);
        let rest = &input[info.length..];
        let (body, used) = match rest_of(&info, rest) {
            Ok(fed) => fed,
            Err(refusal) => return self.refused(refusal, input, exchange),
        };
        self.input.extend_from_slice(&rest[used..]);
        if let Some(entry) = exchange.entry() {
            self.describe(entry, view, &route, rule);
        }
        exchange.bytes(self.thread.index, &self.node, (info.length + used) as u64, 0);
        let mut prepared = Prepared {
            rule,
            info,
            head: Vec::new(),
            body,
            refused: None,
            lines: Vec::new(),
            sticky: None,
            visit: Visit::new(view, &route, rule),
            exchange,
            route: route.clone(),
        };
        match &route.rules[rule].action {
            RouteAction::Forward(action) => {
                if action.sticky {
                    prepared.sticky = Some(Sticky::read(view.cookies()));
                }
                self.write_head(view, &route.rules[rule], &mut prepared);
                prepared.head.extend_from_slice(&rest[..used]);
            }
            RouteAction::Redirect(redirect) => self.redirect(view, redirect, &mut prepared),
            RouteAction::Fixed { .. } => {
                self.node.state.ledger.add(self.thread.index, Count::FixedResponses, 1);
            }
            RouteAction::Broken => {}
        }
        Next::Request(prepared)
    }

    /// The same for a request of HTTP/0.9: the line of `length` bytes that
    /// `input` starts with. Its version is not one of HTTP/1, which only the
    /// strictest mode minds (alb.md 7.2).
    pub(crate) fn prepare_simple(&mut self, length: usize, route: Rc<Route>, input: &[u8], exchange: Exchange) -> Next {
        let mode = route.headers.desync;
        let reason = Reason::NonCompliantVersion;
        let whole = simple::as_http10(&input[..length]);
        let mut table = request::header_table();
        let refusal = match request::read(&whole, mode, &mut table) {
            Ok(Parsed::Complete(view)) if reason.verdict(mode) != Verdict::Block => {
                return self.prepare(&view.simple(length), route, input, exchange);
            }
            Ok(_) => Refusal { status: 400, reason: Some(reason) },
            Err(refusal) => refusal,
        };
        self.refused(refusal, input, exchange)
    }

    fn count(&self, info: &RequestHead, evaluated: u32, drops_invalid: bool) {
        let (thread, ledger) = (self.thread.index, &self.node.state.ledger);
        if evaluated > 0 {
            ledger.add(thread, Count::RuleEvaluations, u64::from(evaluated));
        }
        if info.reason.is_some() {
            ledger.add(thread, Count::DesyncNonCompliant, 1);
        }
        if info.invalid_names {
            let count = if drops_invalid { Count::DroppedInvalidHeader } else { Count::ForwardedInvalidHeader };
            ledger.add(thread, count, 1);
        }
        if self.peer.address.is_ipv6() {
            ledger.add(thread, Count::Ipv6Requests, 1);
        }
    }

    fn write_head(&self, view: &RequestView<'_, '_>, rule: &RouteRule, prepared: &mut Prepared) {
        let route = &prepared.route;
        let forwarding = Forwarding {
            rules: &route.headers,
            client: &self.peer,
            now_seconds: u32::try_from(self.thread.service_now().seconds()).unwrap_or(0),
        };
        let transformed = rule.rewrites.as_ref().map(|set| {
            let host = view.authority().unwrap_or(route.headers.default_host.as_bytes());
            let target = view.target();
            match target.starts_with('/') || target == "*" {
                true => Transformed::new(set, host, target.as_bytes()),
                false => Transformed::new(set, host, format!("/{target}").as_bytes()),
            }
        });
        let rewrites = Rewrites {
            host: transformed.as_ref().and_then(|transformed| transformed.host.as_deref()),
            url: transformed.as_ref().and_then(|transformed| transformed.url.as_deref()),
            drop_prefix: rule.authenticate.as_ref().map(|_| OIDC_PREFIX),
        };
        if transformed.as_ref().is_some_and(|transformed| transformed.failed) {
            prepared.refused = Some(500);
        }
        let mut head = self.thread.buffer();
        view.write_http1(&forwarding, &rewrites, &mut self.thread.random.borrow_mut(), &mut head);
        if let Some(entry) = prepared.exchange.entry() {
            entry.trace_id(trace_id(&head));
            if let Some(transformed) = &transformed {
                entry.action(ActionTaken::Rewrite);
                entry.transformed(transformed.host.as_deref(), transformed.url.as_deref(), transformed.status);
            }
        }
        prepared.head = head;
    }

    fn redirect(&self, view: &RequestView<'_, '_>, redirect: &RedirectTemplate, prepared: &mut Prepared) {
        let rules = &prepared.route.headers;
        let host = view.host_name();
        let path = view.path();
        let parts = RequestParts {
            protocol: if rules.secure { "https" } else { "http" },
            host: if host.is_empty() { rules.default_host.as_bytes() } else { host },
            port: rules.port,
            path: if path.is_empty() { b"/" } else { path },
            query: view.query().unwrap_or_default(),
        };
        let mut location = Ok(());
        prepared.lines.header("Location", |out| location = redirect.location(&parts, out));
        let (thread, ledger) = (self.thread.index, &self.node.state.ledger);
        match location {
            Ok(()) => {
                ledger.add(thread, Count::Redirects, 1);
                if let Some(entry) = prepared.exchange.entry() {
                    entry.redirect_url(prepared.lines.trim_ascii_end().strip_prefix(b"Location: ").unwrap_or_default());
                }
            }
            Err(_) => {
                prepared.lines.clear();
                prepared.refused = Some(507);
                ledger.add(thread, Count::RedirectUrlLimit, 1);
            }
        }
    }
}
