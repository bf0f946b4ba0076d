//! The access log's line of a network load balancer: one for each TLS
//! connection, whether its handshake succeeded or not, when it is over. Flows
//! without TLS have none. AWS's fields in AWS's order (version 2.0).

use super::LogLocal;
use super::line::{push_second, push_socket, text};
use crate::http::headers::ClientTls;
use crate::http::{push_decimal, push_hex};
use crate::tls::HandshakeFacts;
use elastane_domain::id::ListenerArn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Longest list of protocols that clients prefer.
const PREFERENCES_MAX: usize = 256;

/// A TLS connection under way. Its line is written when it is dropped.
pub(crate) struct FlowEntry {
    log: Rc<LogLocal>,
    created_micros: i64,
    began: Instant,
    line: FlowLine,
}

/// What a line says, but for times.
struct FlowLine {
    /// The end of the listener's ARN.
    listener: String,
    client: SocketAddr,
    destination: SocketAddr,
    received: u64,
    sent: u64,
    /// What the handshake agreed on.
    agreed: Option<(ClientTls, HandshakeFacts)>,
}

impl FlowEntry {
    /// A client that has connected now.
    pub(crate) fn new(
        log: Rc<LogLocal>,
        listener: &ListenerArn,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> FlowEntry {
        let listener = listener.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        FlowEntry {
            created_micros: log.sink.clock.now_micros(),
            log,
            began: Instant::now(),
            line: FlowLine { listener, client, destination, received: 0, sent: 0, agreed: None },
        }
    }

    /// Its handshake succeeded.
    pub(crate) fn agreed(&mut self, client: ClientTls, facts: HandshakeFacts) {
        self.line.agreed = Some((client, facts));
    }

    /// So many bytes came from the client, and went to it, inside TLS.
    pub(crate) fn moved(&mut self, received: u64, sent: u64) {
        self.line.received += received;
        self.line.sent += sent;
    }
}

impl Drop for FlowEntry {
    fn drop(&mut self) {
        let (now, took) = (self.log.sink.clock.now_micros(), self.began.elapsed());
        let dimension = &self.log.file.dimension;
        self.log.append(|out| self.line.write(dimension, (self.created_micros, now), took, out));
    }
}

impl FlowLine {
    fn write(&self, dimension: &str, (created, now): (i64, i64), took: Duration, out: &mut Vec<u8>) {
        out.extend_from_slice(b"tls 2.0 ");
        push_second(now, out);
        out.push(b' ');
        text(dimension.as_bytes(), out);
        text(self.listener.as_bytes(), out);
        for address in [self.client, self.destination] {
            push_socket(address, out);
            out.push(b' ');
        }
        push_decimal(out, took.as_millis() as u64);
        out.push(b' ');
        match &self.agreed {
            Some((_, facts)) => push_decimal(out, facts.took.as_millis() as u64),
            None => out.push(b'-'),
        }
        out.push(b' ');
        for bytes in [self.received, self.sent] {
            push_decimal(out, bytes);
            out.push(b' ');
        }
        // No alert of a client is seen.
        out.extend_from_slice(b"- ");
        self.agreed_fields(out);
        push_second(created, out);
        out.push(b'\n');
    }

    /// From the certificate to the protocols that the client prefers.
    fn agreed_fields(&self, out: &mut Vec<u8>) {
        let Some((client, facts)) = &self.agreed else { return out.extend_from_slice(b"- - - - - - - - - ") };
        text(facts.certificate.as_bytes(), out);
        // The certificate's serial number and the group are not told on AWS either.
        out.extend_from_slice(b"- ");
        text(client.cipher.as_bytes(), out);
        text(client.version.replace('.', "").to_ascii_lowercase().as_bytes(), out);
        out.extend_from_slice(b"- ");
        escaped(client.server_name.as_deref().unwrap_or_default().as_bytes(), out);
        escaped(facts.protocol.as_deref().unwrap_or_default(), out);
        // Targets are offered no protocols.
        out.extend_from_slice(b"- ");
        let mut preferences = Vec::new();
        for protocol in &facts.protocols_offered {
            preferences.extend_from_slice(if preferences.is_empty() { b"\"" } else { b",\"" });
            push_escaped(protocol, &mut preferences);
            preferences.push(b'"');
        }
        preferences.truncate(PREFERENCES_MAX);
        text(&preferences, out);
    }
}

/// A field of a client's making, and the space after it.
fn escaped(field: &[u8], out: &mut Vec<u8>) {
    let mut clean = Vec::new();
    push_escaped(field, &mut clean);
    text(&clean, out);
}

/// Bytes that would end the field, or cannot be seen, are written as `%XX`.
fn push_escaped(field: &[u8], out: &mut Vec<u8>) {
    for &byte in field {
        if byte.is_ascii_graphic() && !b"\"%,".contains(&byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            push_hex(out, u64::from(byte), 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with everything, and one of a handshake that failed.
    #[test]
    fn lines_of_flows() {
        let client = ClientTls {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            server_name: Some("shop.test".to_owned()),
            ..ClientTls::default()
        };
        let facts = HandshakeFacts {
            took: Duration::from_millis(2),
            certificate: "arn:aws:acm:us-east-1:1:certificate/a".to_owned(),
            protocol: Some(b"h2".to_vec()),
            protocols_offered: vec![b"h2".to_vec(), b"odd \"one\"".to_vec()],
            ..HandshakeFacts::default()
        };
        let mut line = FlowLine {
            listener: "g3d4b5e8bb8464cd".to_owned(),
            client: "[2001:db8::1]:51341".parse().unwrap(),
            destination: "172.100.100.185:443".parse().unwrap(),
            received: 98,
            sent: 246,
            agreed: Some((client, facts)),
        };
        for want in [
            "tls 2.0 2018-12-20T02:59:40 net/flows/c6e7 g3d4b5e8bb8464cd [2001:db8::1]:51341 172.100.100.185:443 \
             5 2 98 246 - arn:aws:acm:us-east-1:1:certificate/a - TLS_AES_128_GCM_SHA256 tlsv13 - shop.test h2 - \
             \"h2\",\"odd%20%22one%22\" 2018-12-20T02:59:30\n",
            "tls 2.0 2018-12-20T02:59:40 net/flows/c6e7 g3d4b5e8bb8464cd [2001:db8::1]:51341 172.100.100.185:443 \
             5 - 98 246 - - - - - - - - - - 2018-12-20T02:59:30\n",
        ] {
            let mut out = Vec::new();
            let times = (1_545_274_770_000_000, 1_545_274_780_900_000);
            line.write("net/flows/c6e7", times, Duration::from_micros(5900), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
            line.agreed = None;
        }
    }
}
