//! Serves the metadata protocol on a listener, telling instances apart by
//! the address that they call from.

use super::protocol::{Caller, Reply, Request, answer};
use super::throttle::Throttle;
use super::token::Tokens;
use super::{MetadataDocument, MetadataSource};
use crate::error::{Context, HostError};
use crate::layout::{Layout, write_private};
use elastane_domain::id::InstanceId;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at a time on one listener.
const CONNECTIONS_MAX: usize = 2_048;
/// Of those, connections from one address: a neighbour in the same VPC that
/// opens more keeps nobody else from being served.
const CONNECTIONS_AN_ADDRESS_MAX: usize = 64;
/// How long one connection may last; clients open another.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
/// How long the head of a request may take, and a connection may idle.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Bytes buffered per connection: headers are small, bodies are not read.
const BUFFER_BYTES: usize = 16 << 10;
const USUAL_TTL: u32 = 64;
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// Finds the instance that calls from an address on one listener.
pub type Finder = Arc<dyn Fn(Ipv4Addr) -> Option<InstanceId> + Send + Sync>;

/// What all listeners share.
pub struct Service {
    source: Arc<dyn MetadataSource>,
    tokens: Tokens,
    nonce: AtomicU32,
    throttle: Mutex<Throttle>,
    opened: Instant,
}

impl Service {
    /// A service whose secret is kept in the data directory.
    pub fn open(layout: &Layout, source: Arc<dyn MetadataSource>) -> Result<Service, HostError> {
        let path = layout.at("imds.key");
        let key = match fs::read(&path).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            Some(key) => key,
            None => {
                let mut key = [0u8; 32];
                let random = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut key));
                random.context(|| "draw a secret key".to_owned())?;
                write_private(&path, &key)?;
                key
            }
        };
        let start = unix_millis() as u32;
        let (tokens, nonce) = (Tokens::new(key), AtomicU32::new(start));
        Ok(Service { source, tokens, nonce, throttle: Mutex::default(), opened: Instant::now() })
    }

    fn reply(&self, request: &hyper::Request<Incoming>, instance: Option<InstanceId>) -> (Reply, u8) {
        let Some(instance) = instance else { return (Reply::error(404), 1) };
        if !self.admits(&instance) {
            return (Reply::error(503), 1);
        }
        let Some(document) = self.source.document(&instance) else { return (Reply::error(404), 1) };
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or(""));
        let plain = Request {
            method: request.method().as_str(),
            path: request.uri().path(),
            token: header(TOKEN),
            ttl: header(TOKEN_TTL),
            forwarded: request.headers().contains_key("x-forwarded-for"),
        };
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        let caller = Caller { instance: instance.as_str(), now: unix_millis(), nonce };
        let MetadataDocument { options, .. } = &document;
        (answer(plain, &document, &self.tokens, caller), options.hop_limit)
    }
}

impl Service {
    fn admits(&self, instance: &InstanceId) -> bool {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.throttle.lock().expect("no code panics under this lock").admits(instance, now)
    }
}

/// Connections that are open, by the address that they come from.
#[derive(Default)]
struct Open(Mutex<HashMap<Ipv4Addr, usize>>);

/// One open connection; it is counted while this lives.
struct Counted {
    open: Arc<Open>,
    address: Ipv4Addr,
}

impl Open {
    /// Counts one more, unless there are too many.
    fn enter(self: &Arc<Open>, address: Ipv4Addr) -> Option<Counted> {
        let mut counts = self.0.lock().expect("no code panics under this lock");
        let count = counts.entry(address).or_insert(0);
        if *count >= CONNECTIONS_AN_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Counted { open: self.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.open.0.lock().expect("no code panics under this lock");
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Serves connections until the task is dropped.
pub async fn serve(listener: TcpListener, service: Arc<Service>, finder: Finder) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let open = Arc::new(Open::default());
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                // Out of descriptors: the next try may find some.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let std::net::IpAddr::V4(address) = peer.ip() else { continue };
        let Some(counted) = open.enter(address) else { continue };
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { continue };
        let (service, finder) = (service.clone(), finder.clone());
        tokio::spawn(async move {
            let handle = service_fn(move |request| {
                let (reply, hop_limit) = service.reply(&request, finder(address));
                let response = respond(&socket, reply, hop_limit);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(BUFFER_BYTES);
            // Broken requests were answered by hyper; broken connections concern nobody else.
            let serving = builder.serve_connection(TokioIo::new(stream), handle);
            let _ = tokio::time::timeout(CONNECTION_LIMIT, serving).await;
            drop((slot, counted));
        });
    }
}

/// Builds the response. The packets of a token may cross only as many hops as
/// the instance's options say (ec2-imds.md 2.1 rule 5).
fn respond(socket: &OwnedFd, reply: Reply, hop_limit: u8) -> hyper::Response<Full<Bytes>> {
    let ttl = if reply.ttl_seconds.is_some() { u32::from(hop_limit.clamp(1, 64)) } else { USUAL_TTL };
    let _ = rustix::net::sockopt::set_ip_ttl(socket, ttl);
    let mut response = hyper::Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = hyper::StatusCode::from_u16(reply.status).expect("statuses are constants");
    let headers = response.headers_mut();
    headers.insert("content-type", hyper::header::HeaderValue::from_static(reply.content_type));
    headers.insert("server", hyper::header::HeaderValue::from_static("EC2ws"));
    if let Some(ttl) = reply.ttl_seconds {
        headers.insert(TOKEN_TTL, hyper::header::HeaderValue::from(ttl));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address has so many connections and no more, and another has its own.
    #[test]
    fn connections_an_address() {
        let open = Arc::new(Open::default());
        let (one, two) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut held: Vec<Counted> = (0..CONNECTIONS_AN_ADDRESS_MAX).map_while(|_| open.enter(one)).collect();
        assert_eq!(held.len(), CONNECTIONS_AN_ADDRESS_MAX);
        assert!(open.enter(one).is_none());
        assert!(open.enter(two).is_some());
        held.pop();
        assert!(open.enter(one).is_some());
        drop(held);
        assert!(open.0.lock().unwrap().is_empty());
    }
}
