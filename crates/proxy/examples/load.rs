//! A load generator that counts what fails: `load URL REQUESTS [CONNECTIONS
//! [HOST [EACH]]]` makes GET requests over kept connections (64 unless told
//! otherwise), EACH of them on one connection at most (no limit unless told),
//! and prints one JSON object: requests, connections, what failed by kind,
//! and latencies in microseconds. Nothing is repeated: a connection that the
//! other side closes without `Connection: close` before it answers is a
//! failure. Certificates are not verified.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const USAGE: &str = "usage: load URL REQUESTS [CONNECTIONS [HOST [EACH]]]";
/// A request that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(20);
const HEAD_MAX: usize = 64 * 1024;

trait Transport: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

/// What is asked of whom.
struct Task {
    address: String,
    request: Vec<u8>,
    tls: Option<TlsConnector>,
    /// Requests that one connection is used for at most.
    each: u64,
    left: Cell<u64>,
    connections: Cell<u64>,
    done: Cell<u64>,
    failed: RefCell<BTreeMap<String, u64>>,
    latencies: RefCell<Vec<u32>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = arguments.first().ok_or(USAGE)?;
    let requests: u64 = arguments.get(1).ok_or(USAGE)?.parse()?;
    let connections: usize = arguments.get(2).map_or(Ok(64), |text| text.parse())?;
    let (scheme, rest) = url.split_once("://").ok_or(USAGE)?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = arguments.get(3).map_or(address, String::as_str);
    let task = Rc::new(Task {
        address: address.to_owned(),
        request: format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: load\r\n\r\n").into_bytes(),
        tls: (scheme == "https").then(connector),
        each: arguments.get(4).map_or(Ok(u64::MAX), |text| text.parse())?,
        left: Cell::new(requests),
        connections: Cell::new(0),
        done: Cell::new(0),
        failed: RefCell::default(),
        latencies: RefCell::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begun = Instant::now();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let clients: Vec<_> = (0..connections).map(|_| tokio::task::spawn_local(client(task.clone()))).collect();
        for client in clients {
            // A client that panicked has said so.
            let _ = client.await;
        }
    });
    let mut latencies = task.latencies.take();
    latencies.sort_unstable();
    let percentile = |percent: usize| latencies.get(latencies.len() * percent / 100).or(latencies.last());
    let failed = task.failed.take();
    let report = serde_json::json!({
        "requests": task.done.get(),
        "connections": task.connections.get(),
        "failed": failed.values().sum::<u64>(),
        "kinds": failed,
        "seconds": begun.elapsed().as_secs_f64(),
        "p50_us": percentile(50),
        "p99_us": percentile(99),
    });
    println!("{report}");
    Ok(())
}

async fn client(task: Rc<Task>) {
    let mut connection: Option<Box<dyn Transport>> = None;
    let mut used = 0;
    while task.left.get() > 0 {
        task.left.set(task.left.get() - 1);
        let begun = Instant::now();
        let reused = connection.is_some();
        used = if reused { used + 1 } else { 1 };
        let outcome = match tokio::time::timeout(LIMIT, exchange(&task, connection.take())).await {
            Ok(outcome) => outcome,
            Err(_) => Err("timeout".to_owned()),
        };
        task.done.set(task.done.get() + 1);
        match outcome {
            Ok(kept) => {
                connection = kept.filter(|_| used < task.each);
                let micros = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
                task.latencies.borrow_mut().push(micros);
            }
            Err(kind) => {
                let kind = if reused { format!("{kind}, kept connection") } else { kind };
                *task.failed.borrow_mut().entry(kind).or_default() += 1;
            }
        }
    }
}

/// One request; the connection if it may be used again, or what failed.
async fn exchange(task: &Task, connection: Option<Box<dyn Transport>>) -> Result<Option<Box<dyn Transport>>, String> {
    let mut stream = match connection {
        Some(stream) => stream,
        None => connect(task).await?,
    };
    stream.write_all(&task.request).await.map_err(|err| format!("write: {}", err.kind()))?;
    let mut input = Vec::with_capacity(4096);
    loop {
        if let Some(end) = head_end(&input) {
            let (status, length, close) = read_head(&input[..end])?;
            while input.len() < end + length {
                if stream.read_buf(&mut input).await.map_err(|err| format!("body: {}", err.kind()))? == 0 {
                    return Err("body: closed".to_owned());
                }
            }
            return match status {
                200..300 => Ok((!close).then_some(stream)),
                status => Err(format!("status {status}")),
            };
        }
        if input.len() > HEAD_MAX {
            return Err("head: too long".to_owned());
        }
        let what = if input.is_empty() { "no answer" } else { "head" };
        match stream.read_buf(&mut input).await {
            Ok(0) => return Err(format!("{what}: closed")),
            Ok(_) => {}
            Err(err) => return Err(format!("{what}: {}", err.kind())),
        }
    }
}

async fn connect(task: &Task) -> Result<Box<dyn Transport>, String> {
    let stream = TcpStream::connect(&task.address).await.map_err(|err| format!("connect: {}", err.kind()))?;
    stream.set_nodelay(true).map_err(|err| format!("connect: {}", err.kind()))?;
    task.connections.set(task.connections.get() + 1);
    match &task.tls {
        None => Ok(Box::new(stream)),
        Some(connector) => {
            let name = ServerName::try_from("localhost").expect("a name");
            let stream = connector.connect(name, stream).await.map_err(|err| format!("handshake: {}", err.kind()))?;
            Ok(Box::new(stream))
        }
    }
}

fn head_end(input: &[u8]) -> Option<usize> {
    input.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Status, length of the body, and whether the connection ends.
fn read_head(head: &[u8]) -> Result<(u16, usize, bool), String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).map_err(|err| format!("head: {err}"))?;
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let length = value("content-length").and_then(|text| text.parse().ok()).ok_or("head: no length")?;
    let close = value("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
    Ok((response.code.unwrap_or(0), length, close))
}

fn connector() -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Takes any certificate: what is measured is the load balancer.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
