//! Asking the provider: one HTTP/1.1 request on a connection of its own.
//!
//! Connections are encrypted and the provider's certificate is verified by
//! the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
//! Plain HTTP is taken for a provider on this machine only.

use crate::http::Parsed;
use crate::http::body::Body;
use crate::http::response::{ResponseContext, parse};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Most bytes of a body: tokens and claims are a few kilobytes.
const BODY_MAX: usize = 64 * 1024;

/// Most bytes of head and body as they come.
const RESPONSE_MAX: usize = 160 * 1024;

/// Why the provider's answer is not there.
#[derive(Debug)]
pub(super) enum AskError {
    /// The endpoint is not a URL that may be asked.
    Endpoint,
    /// The connection failed.
    Io(io::Error),
    /// What came is not an HTTP response, or too long.
    Response,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AskError::Endpoint => "the endpoint is not an https URL, nor http on this machine",
            AskError::Io(_) => "the connection to the provider failed",
            AskError::Response => "the provider's answer makes no sense",
        })
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AskError::Io(err) => Some(err),
            AskError::Endpoint | AskError::Response => None,
        }
    }
}

impl From<io::Error> for AskError {
    fn from(err: io::Error) -> AskError {
        AskError::Io(err)
    }
}

/// What the provider answered.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A request: the endpoint and what is sent there.
pub(super) struct Question<'a> {
    pub(super) endpoint: &'a str,
    /// The value of Authorization, if any.
    pub(super) authorization: Option<String>,
    /// A form to be posted; without one it is a GET.
    pub(super) form: Option<String>,
}

/// The authorities that providers' certificates come from, read once.
#[derive(Default)]
pub(super) struct Client {
    config: OnceLock<Arc<ClientConfig>>,
}

impl Client {
    /// Asks. It waits for as long as the provider takes: the caller sets a limit.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Response, AskError> {
        let endpoint: http::Uri = question.endpoint.parse().map_err(|_| AskError::Endpoint)?;
        let host = endpoint.host().ok_or(AskError::Endpoint)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let secure = match endpoint.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(AskError::Endpoint),
        };
        let port = endpoint.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((bare, port)).await?.collect();
        if !secure && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(AskError::Endpoint);
        }
        let stream = connect(&addresses).await?;
        let request = request(&endpoint, question);
        if secure {
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| AskError::Endpoint)?;
            let stream = TlsConnector::from(self.config().await?).connect(name, stream).await?;
            exchange(stream, &request).await
        } else {
            exchange(stream, &request).await
        }
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, AskError> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        // Reading the system's certificates takes milliseconds of disk.
        let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
        let found = found.map_err(|err| AskError::Io(io::Error::other(err)))?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| AskError::Io(io::Error::other(err)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.config.get_or_init(|| Arc::new(config)).clone())
    }
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    Err(last)
}

fn request(endpoint: &http::Uri, question: &Question<'_>) -> String {
    let method = if question.form.is_some() { "POST" } else { "GET" };
    let target = endpoint.path_and_query().map_or("/", |target| target.as_str());
    let host = endpoint.authority().map_or("", |authority| authority.as_str());
    let mut request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nUser-Agent: ELB-OIDC/2.0\r\n\
         Connection: close\r\n"
    );
    if let Some(authorization) = &question.authorization {
        request.push_str(&format!("Authorization: {authorization}\r\n"));
    }
    if let Some(form) = &question.form {
        let length = form.len();
        let lines = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n");
        request.push_str(&lines);
    }
    request.push_str("\r\n");
    request.push_str(question.form.as_deref().unwrap_or_default());
    request
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Result<Response, AskError> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut input = Vec::new();
    let mut at = 0;
    let mut head: Option<(u16, Body)> = None;
    let mut body = Vec::new();
    loop {
        let ended = stream.read_buf(&mut input).await? == 0;
        if input.len() > RESPONSE_MAX {
            return Err(AskError::Response);
        }
        while head.is_none() {
            let context =
                ResponseContext { is_head: false, upgrade: false, is_version_11: true, keep_alive: false, edits: None };
            match parse(&input[at..], &context, &mut Vec::new()).map_err(|_| AskError::Response)? {
                Parsed::Partial => break,
                Parsed::Complete(found) => {
                    at += found.length;
                    head = (!found.is_interim).then_some((found.status, found.body));
                }
            }
        }
        if let Some((status, framing)) = &mut head {
            at += framing
                .feed_payload(&input[at..], &mut |bytes| body.extend_from_slice(bytes))
                .map_err(|_| AskError::Response)?;
            if body.len() > BODY_MAX {
                return Err(AskError::Response);
            }
            if framing.is_done() || ended && *framing == Body::UntilClose {
                return Ok(Response { status: *status, body });
            }
        }
        if ended {
            return Err(AskError::Response);
        }
    }
}
