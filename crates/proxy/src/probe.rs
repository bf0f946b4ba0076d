//! Health checks over the wire (alb.md 5.1): one request, one status, on a
//! connection of its own.

use crate::http::response::{self, ResponseContext};
use crate::http::{Parsed, RESPONSE_HEAD_MAX};
use crate::upstream::{Connector, Way, connect};
use elastane_domain::health::CheckResult;
use elastane_domain::routing::{HealthCheck, UnhealthyReason};
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One read of a probe.
const READ_BYTES: usize = 4096;
/// Interim responses that a probe forgives.
const INTERIM_MAX: usize = 8;

/// Checks one target once. Ends within the check's timeout.
pub(crate) async fn probe(connector: &dyn Connector, way: Way<'_>, check: &HealthCheck) -> CheckResult {
    let address = SocketAddrV4::new(*way.address.ip(), check.port.unwrap_or(way.address.port()));
    let limit = Duration::from_secs(u64::from(check.timeout_secs));
    let status = match tokio::time::timeout(limit, ask(connector, Way { address, ..way }, &check.path)).await {
        Ok(status) => status.ok_or(UnhealthyReason::FailedHealthChecks)?,
        Err(_) => return Err(UnhealthyReason::Timeout),
    };
    let matches = check.matcher.iter().any(|&(first, last)| (first..=last).contains(&status));
    if matches { Ok(()) } else { Err(UnhealthyReason::ResponseCodeMismatch(status)) }
}

/// The status that the target answers; `None` without a connection or without HTTP.
async fn ask(connector: &dyn Connector, way: Way<'_>, path: &str) -> Option<u16> {
    let address = way.address;
    let mut stream = connect(connector, way).await.ok()?;
    // The protocol's own port is not named (alb.md 5.1).
    let host = match address.port() {
        80 => address.ip().to_string(),
        _ => address.to_string(),
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let context = ResponseContext { is_head: false, upgrade: false, is_version_11: true, keep_alive: false };
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
