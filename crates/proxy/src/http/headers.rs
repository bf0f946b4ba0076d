//! Headers that the load balancer writes, changes or does not let through
//! (alb.md 7): the same for HTTP/1 and HTTP/2. What a listener is configured
//! to is looked up once per snapshot, not per request.

use super::request::Refusal;
use super::{Random, list, push_decimal, push_hex};
use elastane_domain::routing::{ClientAuth, Desync, ForwardedFor, Listener, LoadBalancer, Protocol};
use std::net::{IpAddr, SocketAddr};

/// Most addresses in `X-Forwarded-For` before 463 (alb.md 7).
pub const FORWARDED_FOR_MAX: usize = 30;
/// With headers longer than this the trace id starts anew (alb.md 7.1).
pub const TRACE_HEADERS_MAX: usize = 7 * 1024;

/// The client's end of a connection; does not change while it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The TCP peer; an IPv4 address if it has one.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The address as text.
    pub text: String,
    /// What the handshake agreed on; `None` in clear text.
    pub tls: Option<Box<ClientTls>>,
    /// Names the connection in both logs; 0 for none.
    pub connection_id: u128,
}

impl ClientInfo {
    /// A client in clear text.
    pub fn new(peer: SocketAddr) -> ClientInfo {
        let address = peer.ip().to_canonical();
        ClientInfo { address, port: peer.port(), text: address.to_string(), tls: None, connection_id: 0 }
    }
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientProtocol {
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
}

/// What a TLS handshake with a client agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// As OpenSSL spells it: `TLSv1.3`.
    pub version: &'static str,
    /// As OpenSSL spells it: `ECDHE-RSA-AES128-GCM-SHA256`.
    pub cipher: &'static str,
    /// The name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// The certificate shown to the client.
    pub certificate_arn: Option<String>,
    /// Headers about the client's certificate: AWS's name in lower case, value.
    pub headers: Vec<(&'static str, String)>,
}

/// Takes headers for a target: as HTTP/1 text, or into an HTTP/2 block.
pub trait HeaderSink {
    /// One header; `write` appends its value. `name` is in the case that
    /// HTTP/1 targets see.
    fn header(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>));
}

/// HTTP/1 header lines.
impl HeaderSink for Vec<u8> {
    fn header(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        write(self);
        self.extend_from_slice(b"\r\n");
    }
}

/// What a listener does to the headers of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRules {
    /// The port that clients name.
    pub port: u16,
    /// Whether clients speak TLS.
    pub secure: bool,
    /// Stands for a missing `Host` of HTTP/1.0.
    pub default_host: String,
    /// `routing.http.xff_header_processing.mode`.
    pub forwarded_for: ForwardedFor,
    /// `routing.http.xff_client_port.enabled`.
    pub client_port: bool,
    /// `routing.http.preserve_host_header.enabled`.
    pub preserve_host: bool,
    /// `routing.http.drop_invalid_header_fields.enabled`.
    pub drop_invalid: bool,
    /// `routing.http.desync_mitigation_mode`.
    pub desync: Desync,
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`, where there is TLS.
    tls_headers: bool,
    /// Whether clients show certificates.
    certificate_headers: bool,
    /// Headers that are sent under another name: lower-case AWS name, new name.
    names: Vec<(String, String)>,
    /// What is the same in every request: the lines from `X-Forwarded-Proto`
    /// up to the name of the trace id.
    fixed: Vec<u8>,
}

impl HeaderRules {
    /// The rules of one listener.
    pub fn compile(listener: &Listener, balancer: &LoadBalancer) -> HeaderRules {
        let options = &balancer.options;
        let secure = matches!(listener.protocol, Protocol::Https | Protocol::Tls);
        let shows = |auth: &ClientAuth| *auth != ClientAuth::Off;
        let protocol = if secure { "https" } else { "http" };
        let port = listener.port;
        let fixed =
            format!("X-Forwarded-Proto: {protocol}\r\nX-Forwarded-Port: {port}\r\nX-Amzn-Trace-Id: ").into_bytes();
        HeaderRules {
            port: listener.port,
            secure,
            default_host: balancer.host_names.first().cloned().unwrap_or_default(),
            forwarded_for: options.forwarded_for,
            client_port: options.client_port,
            preserve_host: options.preserve_host,
            drop_invalid: options.drop_invalid_headers,
            desync: options.desync,
            tls_headers: options.tls_headers && secure,
            certificate_headers: listener.tls.as_ref().is_some_and(|tls| shows(&tls.client_auth)),
            names: listener.headers.request_names.clone(),
            fixed,
        }
    }

    /// Whether every header that a client sends may pass, but for those of
    /// [`HeaderRules::keeps`] that are never let through.
    pub(super) fn keeps_all(&self) -> bool {
        !self.tls_headers && !self.certificate_headers
    }

    /// Whether a header that a client sends passes to targets: not where the
    /// load balancer vouches for it.
    pub fn keeps(&self, name: &[u8]) -> bool {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"x-forwarded-proto") || is(b"x-forwarded-port") {
            return false;
        }
        if self.keeps_all() {
            return true;
        }
        let starts = |start: &[u8]| name.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
        let ours = |ours: &str| {
            ours.starts_with("x-amzn-mtls-") && self.certificate_headers
                || ours.starts_with("x-amzn-tls-") && self.tls_headers
        };
        let renamed = self.names.iter().any(|(from, to)| ours(from) && is(to.as_bytes()));
        let tls = self.tls_headers && (is(b"x-amzn-tls-version") || is(b"x-amzn-tls-cipher-suite"));
        !(renamed || tls || self.certificate_headers && starts(b"x-amzn-mtls-"))
    }

    /// Appends the value of `Host` for targets: in lower case; the port goes
    /// on 80 and 443 and comes on others (alb.md 7). Refuses what is no host.
    pub fn host(&self, host: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        check_host(host)?;
        if self.preserve_host {
            out.extend_from_slice(host);
        } else {
            self.push_host(host, out);
        }
        Ok(())
    }

    /// Like [`HeaderRules::host`] for a host that was checked, and as if it
    /// need not be preserved.
    pub(super) fn push_host(&self, host: &[u8], out: &mut Vec<u8>) {
        let (name, port) = split_host(host);
        let start = out.len();
        out.extend_from_slice(name);
        out[start..].make_ascii_lowercase();
        if matches!(self.port, 80 | 443) {
            return;
        }
        out.push(b':');
        match port {
            [] => push_decimal(out, u64::from(self.port)),
            port => out.extend_from_slice(port),
        }
    }

    /// Writes the headers that the load balancer adds: `X-Forwarded-*`, the
    /// trace id, and those about TLS.
    ///
    /// `forwarded_for` are the values of the client's own `X-Forwarded-For`
    /// headers, `trace` the first of `X-Amzn-Trace-Id`: `None` also where all
    /// headers are longer than [`TRACE_HEADERS_MAX`].
    pub fn add<'v>(
        &self,
        client: &ClientInfo,
        forwarded_for: impl Iterator<Item = &'v [u8]>,
        trace: Option<&[u8]>,
        now_seconds: u32,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) {
        match self.forwarded_for {
            ForwardedFor::Append => {
                out.extend_from_slice(b"X-Forwarded-For: ");
                for value in forwarded_for.filter(|value| !value.is_empty()) {
                    out.extend_from_slice(value);
                    out.extend_from_slice(b", ");
                }
                self.push_client(client, out);
                out.extend_from_slice(b"\r\n");
            }
            ForwardedFor::Preserve => {
                for value in forwarded_for {
                    out.header("X-Forwarded-For", |out| out.extend_from_slice(value));
                }
            }
            ForwardedFor::Remove => {}
        }
        out.extend_from_slice(&self.fixed);
        push_trace(trace, now_seconds, random, out);
        out.extend_from_slice(b"\r\n");
        if let Some(tls) = &client.tls {
            self.add_tls(tls, out);
        }
    }

    fn push_client(&self, client: &ClientInfo, out: &mut Vec<u8>) {
        if !self.client_port {
            return out.extend_from_slice(client.text.as_bytes());
        }
        let (open, close) = if client.address.is_ipv6() { ("[", "]:") } else { ("", ":") };
        for part in [open, &client.text, close] {
            out.extend_from_slice(part.as_bytes());
        }
        push_decimal(out, u64::from(client.port));
    }

    fn add_tls(&self, tls: &ClientTls, out: &mut Vec<u8>) {
        let mut add = |name: &str, default: &str, value: &str| {
            let renamed = self.names.iter().find(|(from, _)| from == name);
            let name = renamed.map_or(default, |(_, to)| to.as_str());
            out.header(name, |out| out.extend_from_slice(value.as_bytes()));
        };
        if self.tls_headers {
            add("x-amzn-tls-version", "X-Amzn-Tls-Version", tls.version);
            add("x-amzn-tls-cipher-suite", "X-Amzn-Tls-Cipher-Suite", tls.cipher);
        }
        if self.certificate_headers {
            for (name, value) in &tls.headers {
                add(name, certificate_header(name), value);
            }
        }
    }
}

/// The name of a header about client certificates as HTTP/1 targets see it.
fn certificate_header(name: &str) -> &str {
    match name {
        "x-amzn-mtls-clientcert" => "X-Amzn-Mtls-Clientcert",
        "x-amzn-mtls-clientcert-leaf" => "X-Amzn-Mtls-Clientcert-Leaf",
        "x-amzn-mtls-clientcert-serial-number" => "X-Amzn-Mtls-Clientcert-Serial-Number",
        "x-amzn-mtls-clientcert-issuer" => "X-Amzn-Mtls-Clientcert-Issuer",
        "x-amzn-mtls-clientcert-subject" => "X-Amzn-Mtls-Clientcert-Subject",
        "x-amzn-mtls-clientcert-validity" => "X-Amzn-Mtls-Clientcert-Validity",
        name => name,
    }
}

/// Refuses what no host name or address consists of.
pub(super) fn check_host(host: &[u8]) -> Result<(), Refusal> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+,;=".contains(byte);
    if host.iter().all(allowed) { Ok(()) } else { Err(Refusal::BAD_REQUEST) }
}

/// A host's name, and its port or nothing.
pub(crate) fn split_host(host: &[u8]) -> (&[u8], &[u8]) {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !host[colon..].contains(&b']') => (&host[..colon], &host[colon + 1..]),
        _ => (host, &[]),
    }
}

/// How many addresses these values of `X-Forwarded-For` name.
pub fn forwarded_for_count<'v>(values: impl Iterator<Item = &'v [u8]>) -> usize {
    values.map(|value| list(value).count()).sum()
}

/// Letters, digits and the hyphen.
static VALID_NAME_BYTES: [bool; 256] = {
    let mut valid = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        valid[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-');
        byte += 1;
    }
    valid
};

/// Whether the load balancer takes a header's name for a valid one
/// (`drop_invalid_header_fields`).
pub fn is_valid_name(name: &[u8]) -> bool {
    // Without an early end: it is cheaper where nearly all names are valid.
    name.iter().fold(true, |valid, byte| valid & VALID_NAME_BYTES[usize::from(*byte)])
}

/// The trace id by the table of alb.md 7.1.
fn push_trace(incoming: Option<&[u8]>, now_seconds: u32, random: &mut Random, out: &mut Vec<u8>) {
    let mut push_new = |name: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(name);
        out.extend_from_slice(b"=1-");
        push_hex(out, u64::from(now_seconds), 8);
        out.push(b'-');
        push_hex(out, random.draw(), 16);
        push_hex(out, random.draw(), 8);
    };
    let Some(incoming) = incoming else {
        return push_new(b"Root", out);
    };
    let fields = || incoming.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).filter(|field| !field.is_empty());
    let named =
        |field: &[u8], name: &[u8]| field.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let has_root = fields().any(|field| named(field, b"Root="));
    push_new(if has_root { b"Self" } else { b"Root" }, out);
    for field in fields().filter(|field| !(has_root && named(field, b"Self="))) {
        out.push(b';');
        out.extend_from_slice(field);
    }
}

/// What a listener does to the headers of responses (alb.md 7.3). A header
/// that it sets replaces the target's own, and is on the load balancer's own
/// answers too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseEdits {
    /// Whether `Server` stays.
    pub keep_server: bool,
    /// Name as it is sent, value.
    pub set: Vec<(String, String)>,
}

impl ResponseEdits {
    /// The edits of one listener; `None` if it changes nothing.
    pub fn compile(listener: &Listener) -> Option<ResponseEdits> {
        let settings = &listener.headers;
        // A line end in a configured value must not become a header.
        let visible = |text: &String| text.chars().filter(|c| !c.is_control()).collect::<String>();
        let set: Vec<_> = settings.response.iter().map(|(name, value)| (visible(name), visible(value))).collect();
        (!settings.server || !set.is_empty()).then_some(ResponseEdits { keep_server: settings.server, set })
    }

    /// Whether a header of the target passes.
    pub fn keeps(&self, name: &[u8]) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        (self.keep_server || !is("server")) && !self.set.iter().any(|(set, _)| is(set))
    }

    /// Appends the header lines that it sets.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.set {
            out.header(name, |out| out.extend_from_slice(value.as_bytes()));
        }
    }
}
