//! One request and its answer, as metrics and access logs see it. While the
//! access log is off an exchange has a null pointer for it: nothing is
//! allocated, copied or timed, and counting is what remains.

use crate::choose::{Choice, GroupLocal};
use crate::http::headers::ClientInfo;
use crate::local::{NodeLocal, TargetLocal};
use crate::log::{Entry, LogLocal};
use crate::metrics::Count;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A request under way.
pub(crate) struct Exchange {
    entry: Option<Box<Entry>>,
    /// The client came over IPv6.
    is_ipv6: bool,
}

impl Exchange {
    /// Begins with the first byte of a request.
    pub(crate) fn begin(node: &NodeLocal, client: &ClientInfo) -> Exchange {
        Exchange { entry: node.access_log().map(LogLocal::entry), is_ipv6: client.address.is_ipv6() }
    }

    /// What the log's line will say; `None` while the log is off.
    pub(crate) fn entry(&mut self) -> Option<&mut Entry> {
        self.entry.as_deref_mut()
    }

    /// A target was chosen; `first`: for the first time for this request.
    pub(crate) fn chosen(&mut self, thread: usize, node: &NodeLocal, group: &GroupLocal, choice: &Choice, first: bool) {
        let target = &choice.target.state;
        target.ledger.add(thread, Count::Requests, 1);
        if first {
            node.state.ledger.add(thread, Count::Requests, 1);
            target.zone.ledger.add(thread, Count::Requests, 1);
            if choice.fail_open {
                target.zone.ledger.add(thread, Count::UnhealthyRouting, 1);
            }
            if !choice.stuck && group.stickiness().is_some() {
                node.state.ledger.add(thread, Count::NonStickyRequests, 1);
            }
        }
        if let Some(entry) = self.entry() {
            entry.group(group.config.arn.as_str());
            entry.target(target.key.address);
        }
    }

    /// No connection to the target could be made; `tls`: it was the handshake that failed.
    pub(crate) fn connect_failed(&mut self, thread: usize, node: &NodeLocal, target: &TargetLocal, tls: bool) {
        for ledger in [&node.state.ledger, &target.state.zone.ledger, &target.state.ledger] {
            match tls {
                true => {
                    ledger.add(thread, Count::TargetTlsErrors, 1);
                    ledger.add(thread, Count::Failures, 1);
                }
                false => ledger.add_connection_error(thread),
            }
        }
    }

    /// The request goes out to the target now.
    pub(crate) fn dispatched(&mut self, now: Instant) {
        if let Some(entry) = self.entry() {
            entry.dispatched = Some(now);
        }
    }

    /// The target's first header came now, `took` after the request was sent;
    /// the answer to the client begins with it.
    pub(crate) fn responded(
        &mut self,
        thread: usize,
        node: &NodeLocal,
        target: &TargetLocal,
        status: u16,
        took: Duration,
        now: Instant,
    ) {
        for ledger in [&node.state.ledger, &target.state.zone.ledger, &target.state.ledger] {
            ledger.add_response(thread, status, took);
        }
        if let Some(entry) = self.entry() {
            entry.responded(status, took, now);
            entry.status = status;
            entry.answer_begun = Some(now);
        }
    }

    /// An answer without a target begins with this status.
    pub(crate) fn answer_begun(&mut self, status: u16) {
        if let Some(entry) = self.entry() {
            entry.status = status;
            entry.answer_begun = Some(Instant::now());
        }
    }

    /// The load balancer answers itself, or closes without an answer (460).
    pub(crate) fn own_answer(&mut self, thread: usize, node: &NodeLocal, status: u16) {
        node.state.ledger.add_own_status(thread, status);
        if let Some(entry) = self.entry() {
            entry.status = status;
        }
    }

    /// Bytes that came from and went to the client.
    pub(crate) fn bytes(&mut self, thread: usize, node: &NodeLocal, received: u64, sent: u64) {
        node.state.ledger.add(thread, Count::ProcessedBytes, received + sent);
        if self.is_ipv6 {
            node.state.ledger.add(thread, Count::Ipv6ProcessedBytes, received + sent);
        }
        if let Some(entry) = self.entry() {
            entry.received += received;
            entry.sent += sent;
        }
    }

    /// Writes the line, if there is one to write; there is nothing more to say afterwards.
    pub(crate) fn finish(&mut self) {
        if let Some(entry) = self.entry.take() {
            LogLocal::finish(entry);
        }
    }
}

/// Counts a new connection of a client, and its end when dropped
/// (`NewConnectionCount`, `ActiveConnectionCount`).
pub(crate) struct ClientConnection {
    node: Rc<NodeLocal>,
    thread: usize,
}

impl ClientConnection {
    /// A client connected to this node.
    pub(crate) fn new(node: Rc<NodeLocal>, thread: usize) -> ClientConnection {
        node.state.ledger.connect(thread);
        node.state.ledger.add(thread, Count::NewConnections, 1);
        ClientConnection { node, thread }
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.node.state.ledger.disconnect(self.thread);
    }
}
