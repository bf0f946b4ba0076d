//! Health checks over the wire (alb.md 5.1 and 13): one question, one answer,
//! on a connection of its own. Certificates of targets are not verified.

mod http2;

use crate::http::response::{self, ResponseContext};
use crate::http::{Parsed, RESPONSE_HEAD_MAX};
use crate::l4::LOCAL_HEADER;
use crate::stream::Stream;
use crate::tls::{self, Inside};
use crate::upstream::{Connector, Way, connect};
use elastane_domain::health::CheckResult;
use elastane_domain::routing::{CheckProtocol, HealthCheck, ProtocolVersion, UnhealthyReason};
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One read of a probe.
const READ_BYTES: usize = 4096;
/// Interim responses that a probe forgives.
const INTERIM_MAX: usize = 8;
/// What a check calls itself.
const USER_AGENT: &str = "ELB-HealthChecker/2.0";

/// How a group's targets are asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) check: HealthCheck,
    pub(crate) version: ProtocolVersion,
    /// What `Host` names; `None` is the target.
    pub(crate) host: Option<String>,
    /// Targets expect a PROXY header first.
    pub(crate) proxy_header: bool,
}

/// Checks one target once. Ends within the check's timeout.
pub(crate) async fn probe(connector: &dyn Connector, way: Way<'_>, question: &Question) -> CheckResult {
    let check = &question.check;
    let address = SocketAddrV4::new(*way.address.ip(), check.port.unwrap_or(way.address.port()));
    let limit = Duration::from_secs(u64::from(check.timeout_secs));
    let status = match tokio::time::timeout(limit, ask(connector, Way { address, ..way }, question)).await {
        Ok(Some(Reply::Code(status))) => status,
        Ok(Some(Reply::Connected)) => return Ok(()),
        Ok(None) => return Err(UnhealthyReason::FailedHealthChecks),
        Err(_) => return Err(UnhealthyReason::Timeout),
    };
    let matches = check.matcher.iter().any(|&(first, last)| (first..=last).contains(&status));
    if matches { Ok(()) } else { Err(UnhealthyReason::ResponseCodeMismatch(status)) }
}

/// What a target replied.
enum Reply {
    /// A status of HTTP or of gRPC.
    Code(u16),
    /// A connection, which is enough for TCP.
    Connected,
}

/// What the target replies; `None` without a connection or without HTTP.
async fn ask(connector: &dyn Connector, way: Way<'_>, question: &Question) -> Option<Reply> {
    let mut socket = connect(connector, way).await.ok()?;
    if question.proxy_header {
        socket.write_all(&LOCAL_HEADER).await.ok()?;
    }
    let is_http2 = question.version != ProtocolVersion::Http1;
    let stream = match question.check.protocol {
        CheckProtocol::Tcp => return Some(Reply::Connected),
        CheckProtocol::Http => Stream::Plain(socket),
        CheckProtocol::Https => {
            let inside = if is_http2 { Inside::Http2 } else { Inside::Http1 };
            tls::connect(socket, inside).await.ok()?
        }
    };
    let host = question.host.clone().unwrap_or_else(|| host(way.address, question.check.protocol));
    let code = match question.version {
        ProtocolVersion::Http1 => http1(stream, &host, &question.check.path).await?,
        ProtocolVersion::Http2 => http2::status(stream, &host, question).await?,
        ProtocolVersion::Grpc => http2::grpc_status(stream, &host, question).await?,
    };
    Some(Reply::Code(code))
}

/// The target's own name in `Host`: the protocol's own port is not named.
fn host(address: SocketAddrV4, protocol: CheckProtocol) -> String {
    let own_port = match protocol {
        CheckProtocol::Https => 443,
        CheckProtocol::Http | CheckProtocol::Tcp => 80,
    };
    if address.port() == own_port { address.ip().to_string() } else { address.to_string() }
}

/// The status that a target answers over HTTP/1.1.
async fn http1(mut stream: Stream, host: &str, path: &str) -> Option<u16> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: {USER_AGENT}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let context =
        ResponseContext { is_head: false, upgrade: false, is_version_11: true, keep_alive: false, edits: None };
    let mut input = Vec::with_capacity(READ_BYTES);
    let mut interims = 0;
    while input.len() < RESPONSE_HEAD_MAX && interims < INTERIM_MAX {
        if stream.read_buf(&mut input).await.ok()? == 0 {
            return None;
        }
        while let Parsed::Complete(head) = response::parse(&input, &context, &mut Vec::new()).ok()? {
            if !head.is_interim {
                return Some(head.status);
            }
            input.drain(..head.length);
            interims += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests;
