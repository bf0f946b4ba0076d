//! What the access log says about a request (alb.md 10): written only while
//! the log is on.

use crate::connection::Connection;
use crate::http::desync::Reason;
use crate::http::headers::{ClientInfo, ClientProtocol};
use crate::http::request::{Refusal, RequestView};
use crate::log::{ActionTaken, Entry, Kind, TlsFacts};
use crate::route::Route;
use std::net::SocketAddr;
use std::rc::Rc;

/// The name of the header that [`trace_id`] finds.
const TRACE_HEADER: &[u8] = b"X-Amzn-Trace-Id: ";

impl Connection {
    /// Fills in what the head of a request says, and which rule it hit.
    pub(crate) fn describe(&self, entry: &mut Entry, view: &RequestView<'_, '_>, route: &Route, rule: usize) {
        describe_client(entry, &self.peer, self.protocol, route.headers.secure);
        let version = match (self.protocol, view.info().is_version_11) {
            (ClientProtocol::Http2 | ClientProtocol::Grpc, _) => "HTTP/2.0",
            (ClientProtocol::Http1, true) => "HTTP/1.1",
            (ClientProtocol::Http1, false) if view.info().is_simple => "HTTP/0.9",
            (ClientProtocol::Http1, false) => "HTTP/1.0",
        };
        let scheme = if route.headers.secure { "https" } else { "http" };
        let host = view.authority().unwrap_or(route.headers.default_host.as_bytes());
        let target = view.target().as_bytes();
        entry.request(view.method().as_bytes(), scheme, host, route.port, target, version);
        entry.user_agent(view.values("user-agent").next().unwrap_or_default());
        entry.classification = view.info().reason.map(classification);
        let rule = &route.rules[rule];
        entry.priority = i32::try_from(rule.priority).ok();
        match rule.taken() {
            // The action's turn comes when it is known who the client is.
            Some(_) if rule.authenticate.is_some() => entry.action(ActionTaken::Authenticate),
            Some(action) => entry.action(action),
            None => entry.priority = Some(-1),
        }
    }

    /// Fills in what is known of a request whose head was refused.
    pub(crate) fn describe_refusal(&self, entry: &mut Entry, refusal: &Refusal) {
        let route = self.listener.route.borrow().clone();
        describe_client(entry, &self.peer, self.protocol, route.headers.secure);
        entry.classification = refusal.reason.map(classification);
    }
}

/// What is known of a client whatever it sends.
pub(crate) fn describe_client(entry: &mut Entry, client: &ClientInfo, protocol: ClientProtocol, secure: bool) {
    let ClientInfo { address, port, tls, connection_id, .. } = client;
    entry.client = SocketAddr::new(*address, *port);
    entry.connection_id = *connection_id;
    entry.kind = match (protocol, secure) {
        (ClientProtocol::Http1, false) => Kind::Http,
        (ClientProtocol::Http1, true) => Kind::Https,
        (ClientProtocol::Http2, _) => Kind::H2,
        (ClientProtocol::Grpc, _) => Kind::Grpcs,
    };
    entry.tls = tls.as_ref().map(|tls| {
        Rc::new(TlsFacts {
            cipher: tls.cipher.to_owned(),
            protocol: tls.version.to_owned(),
            server_name: tls.server_name.clone(),
            certificate: tls.certificate_arn.clone().unwrap_or_default(),
        })
    });
}

fn classification(reason: Reason) -> (&'static str, &'static str) {
    (reason.class().name(), reason.name())
}

/// The trace id in a head written for a target; it is in one of the last lines.
pub(crate) fn trace_id(head: &[u8]) -> &[u8] {
    let value = head.rsplit(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(TRACE_HEADER));
    value.map_or(&[], |value| value.strip_suffix(b"\r").unwrap_or(value))
}
