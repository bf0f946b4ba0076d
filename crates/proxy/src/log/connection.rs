//! The connection log's line: one for each TLS handshake, whether it
//! succeeded or not.

use super::line::{push_connection_id, push_micros, push_padded, quoted, text};
use crate::http::push_decimal;
use crate::local::NodeLocal;
use std::net::SocketAddr;
use std::time::Duration;

/// What a handshake came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionEntry<'a> {
    pub(crate) client: SocketAddr,
    pub(crate) listener_port: u16,
    /// `TLSv1.3`; `None` when none was agreed on.
    pub(crate) protocol: Option<&'a str>,
    /// OpenSSL's name.
    pub(crate) cipher: Option<&'a str>,
    /// `None` when the handshake failed.
    pub(crate) handshake: Option<Duration>,
    /// The client's certificate: subject.
    pub(crate) subject: Option<&'a str>,
    /// `NotBefore=…;NotAfter=…`.
    pub(crate) validity: Option<&'a str>,
    pub(crate) serial: Option<&'a str>,
    /// `Success`, or `Failed:` and one of AWS's reasons; `None` without mutual TLS.
    pub(crate) verify_status: Option<&'a str>,
    /// The connection's trace id as a number; the access log has it too.
    pub(crate) connection_id: u128,
    /// The group of the key exchange.
    pub(crate) key_exchange: Option<&'a str>,
}

impl ConnectionEntry<'_> {
    /// Writes the line, if the node's connection log is on.
    pub(crate) fn write(&self, node: &NodeLocal) {
        if let Some(log) = node.connection_log() {
            let now = log.sink.clock.now_micros();
            log.append(|out| self.line(now, out));
        }
    }

    fn line(&self, now_micros: i64, out: &mut Vec<u8>) {
        let field = |value: Option<&str>, out: &mut Vec<u8>| text(value.unwrap_or("-").as_bytes(), out);
        push_micros(now_micros, out);
        out.push(b' ');
        out.extend_from_slice(self.client.ip().to_canonical().to_string().as_bytes());
        out.push(b' ');
        for port in [self.client.port(), self.listener_port] {
            push_decimal(out, u64::from(port));
            out.push(b' ');
        }
        field(self.protocol, out);
        field(self.cipher, out);
        match self.handshake {
            // Milliseconds with three decimals.
            Some(took) => {
                push_decimal(out, took.as_millis() as u64);
                out.push(b'.');
                push_padded(u64::from(took.subsec_micros() % 1000), 3, out);
                out.push(b' ');
            }
            None => out.extend_from_slice(b"- "),
        }
        quoted(self.subject.unwrap_or_default().as_bytes(), out);
        field(self.validity, out);
        field(self.serial, out);
        field(self.verify_status, out);
        push_connection_id(self.connection_id, out);
        out.push(b' ');
        out.extend_from_slice(self.key_exchange.unwrap_or("-").as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with everything, and one of a handshake that failed.
    #[test]
    fn alb_10_connection_lines() {
        let whole = ConnectionEntry {
            client: "203.0.113.1:36280".parse().unwrap(),
            listener_port: 443,
            protocol: Some("TLSv1.2"),
            cipher: Some("ECDHE-RSA-AES128-GCM-SHA256"),
            handshake: Some(Duration::from_micros(4036)),
            subject: Some("CN=a \"b\",O=c"),
            validity: Some("NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z"),
            serial: Some("FEF257372D5C14D4"),
            verify_status: Some("Success"),
            connection_id: 0x3180_a730_13c8_ca4b_ac2f_7311_59d4_b0fe,
            key_exchange: Some("x25519"),
        };
        let failed = ConnectionEntry {
            client: "[2001:db8::1]:99".parse().unwrap(),
            protocol: None,
            cipher: None,
            handshake: None,
            subject: None,
            validity: None,
            serial: None,
            verify_status: Some("Failed:ClientCertUntrusted"),
            key_exchange: None,
            ..whole
        };
        for (entry, want) in [
            (
                whole,
                "2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 \
                 \"CN=a \\x22b\\x22,O=c\" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43:21Z \
                 FEF257372D5C14D4 Success TID_3180a73013c8ca4bac2f731159d4b0fe x25519\n",
            ),
            (
                failed,
                "2023-10-04T17:05:15.514108Z 2001:db8::1 99 443 - - - \"-\" - - Failed:ClientCertUntrusted \
                 TID_3180a73013c8ca4bac2f731159d4b0fe -\n",
            ),
        ] {
            let mut out = Vec::new();
            entry.line(1_696_439_115_514_108, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
