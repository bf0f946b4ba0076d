//! Rules that ask who a client is (`authenticate-oidc`) before anything else:
//! what [`crate::oidc`] must know of a request, and what its verdict means.

use crate::connection::{Connection, Own};
use crate::http::headers::HeaderSink;
use crate::http::page;
use crate::http::request::RequestView;
use crate::metrics::Count;
use crate::oidc::{self, Answer, AuthRequest, CALLBACK_PATH, Outcome, Verdict};
use crate::prepare::Prepared;
use crate::route::Route;
use elastane_domain::routing::OidcAction;
use std::rc::Rc;

/// Longer than the provider's own limits together: it answers in any case.
const LIMIT_MS: u64 = 15_000;

/// A request whose client must be known first.
pub(crate) struct Visit {
    action: Rc<OidcAction>,
    request: AuthRequest,
}

impl Visit {
    /// What has to be asked about a request that hit `rule`; `None` for nothing.
    pub(crate) fn new(view: &RequestView<'_, '_>, route: &Route, rule: usize) -> Option<Box<Visit>> {
        let action = route.rules[rule].authenticate.clone()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let cookies: Vec<&[u8]> = view.cookies().collect();
        let request = AuthRequest {
            balancer: route.balancer_arn.clone(),
            host: text(view.authority().unwrap_or(route.headers.default_host.as_bytes())),
            path: text(view.path()),
            query: view.query().map(text),
            cookies: cookies.join(b"; ".as_slice()),
        };
        Some(Box::new(Visit { action, request }))
    }
}

impl Connection {
    /// The rule whose authentication a request answers, coming back from the
    /// provider; then no rule is looked at.
    pub(crate) fn callback_rule(&self, view: &RequestView<'_, '_>, route: &Route) -> Option<usize> {
        if !route.authenticates || view.path() != CALLBACK_PATH.as_bytes() {
            return None;
        }
        let query = view.query().and_then(|query| std::str::from_utf8(query).ok());
        let rules: Vec<usize> =
            (0..route.rules.len()).filter(|rule| route.rules[*rule].authenticate.is_some()).collect();
        let actions = rules.iter().filter_map(|rule| route.rules[*rule].authenticate.as_deref());
        self.thread.oidc.callback_for(&route.balancer_arn, query, actions).map(|index| rules[index])
    }

    /// Finds out who the client is. `Ok`: the rule's action follows; else
    /// the request is answered, and the value says whether another may follow.
    pub(crate) async fn authenticate(&mut self, visit: &Visit, prepared: &mut Prepared) -> Result<(), bool> {
        self.watch.set_deadline(self.thread.deadline_in(LIMIT_MS));
        let oidc = self.thread.oidc.clone();
        let checked = self.watch.guard(oidc::check(&oidc, &visit.action, &visit.request)).await;
        let Ok(Verdict { outcome, reason, answer }) = checked else {
            return Err(self.answer_page(500, true, prepared).await);
        };
        let count = match outcome {
            Outcome::Success => Some(Count::AuthSuccess),
            Outcome::Failure => Some(Count::AuthFailure),
            Outcome::Error => Some(Count::AuthError),
            Outcome::Session | Outcome::Anonymous => None,
        };
        if let Some(count) = count {
            self.node.state.ledger.add(self.thread.index, count, 1);
        }
        if let (Some(entry), Some(reason)) = (prepared.exchange.entry(), reason) {
            entry.error_reason = Some(reason);
        }
        match answer {
            Answer::Pass { headers, set_cookies } => {
                let mut lines = Vec::new();
                for (name, value) in &headers {
                    lines.header(name, |out| out.extend_from_slice(value.as_bytes()));
                }
                insert(&mut prepared.head, &lines);
                for value in &set_cookies {
                    prepared.lines.header("Set-Cookie", |out| out.extend_from_slice(value.as_bytes()));
                }
                let action = prepared.route.rules[prepared.rule].taken();
                if let (Some(entry), Some(action)) = (prepared.exchange.entry(), action) {
                    entry.action(action);
                }
                Ok(())
            }
            Answer::Reply { status, headers } => {
                let mut lines = Vec::new();
                for (name, value) in &headers {
                    lines.header(name, |out| out.extend_from_slice(value.as_bytes()));
                }
                let body = page::error_page(status);
                let own = Own { status, content_type: "text/html", body: &body, lines: &lines, keep: true };
                Err(self.answer(own, prepared).await)
            }
        }
    }
}

/// Puts header lines at the end of a head that body bytes may follow.
fn insert(head: &mut Vec<u8>, lines: &[u8]) {
    // Without a target there is no head.
    if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
        head.splice(end + 2..end + 2, lines.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::insert;

    /// Lines go before the empty line, whatever follows it.
    #[test]
    fn lines_are_inserted_into_the_head() {
        let mut head = b"POST / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n\r\n".to_vec();
        insert(&mut head, b"C: d\r\n");
        assert_eq!(head, b"POST / HTTP/1.1\r\nA: b\r\nC: d\r\n\r\nbody\r\n\r\n");
        let mut none = Vec::new();
        insert(&mut none, b"C: d\r\n");
        assert!(none.is_empty());
    }
}
