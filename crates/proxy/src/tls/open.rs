//! From an accepted socket to a connection that speaks HTTP inside TLS.

use super::accept::{HANDSHAKES_MAX, HandshakeFacts, Handshaken, handshake};
use super::config::ListenerTls;
use super::x509;
use crate::connection;
use crate::h2;
use crate::http::headers::ClientInfo;
use crate::local::{ListenerLocal, NodeLocal};
use crate::log::ConnectionEntry;
use crate::metrics::Count;
use crate::thread::Thread;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;

/// A handshake under way, as counted.
struct UnderWay(Rc<Thread>);

impl UnderWay {
    fn new(thread: Rc<Thread>) -> UnderWay {
        thread.handshakes.set(thread.handshakes.get() + 1);
        thread.connections.set(thread.connections.get() + 1);
        UnderWay(thread)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.handshakes.set(self.0.handshakes.get() - 1);
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

/// Serves a client of a listener that speaks TLS, in a task of its own. Too
/// many handshakes at once are rejected connections.
pub(crate) fn open(
    thread: Rc<Thread>,
    listener: Rc<ListenerLocal>,
    node: Rc<NodeLocal>,
    tls: Arc<ListenerTls>,
    stream: TcpStream,
    mut client: ClientInfo,
) {
    if thread.handshakes.get() >= HANDSHAKES_MAX {
        node.state.ledger.add(thread.index, Count::RejectedConnections, 1);
        return;
    }
    let under_way = UnderWay::new(thread.clone());
    tokio::task::spawn_local(async move {
        match handshake(&tls, stream).await {
            Ok(Handshaken { stream, client: agreed, is_http2, facts }) => {
                client.tls = Some(Box::new(agreed));
                log(&listener, &node, &client, &facts);
                drop(under_way);
                let client = Rc::new(client);
                match is_http2 {
                    true => h2::spawn(thread, listener, node, stream, client),
                    false => connection::spawn(thread, listener, node, stream, client),
                }
            }
            Err(error) => {
                node.state.ledger.add(thread.index, Count::ClientTlsErrors, 1);
                let failed = HandshakeFacts { verify_status: error.verify_status(), ..HandshakeFacts::default() };
                log(&listener, &node, &client, &failed);
            }
        }
    });
}

/// Writes the connection log's line, if there is one.
fn log(listener: &ListenerLocal, node: &NodeLocal, client: &ClientInfo, facts: &HandshakeFacts) {
    if node.connection_log().is_none() {
        return;
    }
    let leaf = facts.client_certificate.as_ref().map(|certificate| &certificate.leaf);
    let validity = leaf.map(x509::Fields::validity);
    let agreed = client.tls.as_deref();
    ConnectionEntry {
        client: SocketAddr::new(client.address, client.port),
        listener_port: listener.route.borrow().port,
        protocol: agreed.map(|tls| tls.version),
        cipher: agreed.map(|tls| tls.cipher),
        handshake: agreed.map(|_| facts.took),
        subject: leaf.map(|leaf| leaf.subject.as_str()),
        validity: validity.as_deref(),
        serial: leaf.map(|leaf| leaf.serial.as_str()),
        verify_status: facts.verify_status,
        connection_id: client.connection_id,
        key_exchange: facts.key_exchange.as_deref(),
    }
    .write(node);
}
