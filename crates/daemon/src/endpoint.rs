//! Where an API is called, and how: plain HTTP/1.1 or over TLS, one request a
//! connection, and the connection of a session's channel. Whom to believe is
//! [`Trust`]'s; who signs is the caller's.

use crate::data_dir::Problem;
use crate::trust::Trust;
use elastane_wire::ClientRequest;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ClientConnection, StreamOwned};
use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// An endpoint that takes longer than this to answer is not well.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// One address of an endpoint is tried for so long.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Answers are bounded: status grows with the installation, not with time.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Where an API is called.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `host:port` as the URL has them: the Host header.
    authority: String,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// How TLS is spoken there; `None` where it is not.
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

/// A connection to an endpoint, whatever lies between.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Endpoint {
    /// Reads `http://host[:port]` or `https://host[:port]`; over TLS those of
    /// `trust` are believed.
    ///
    /// # Errors
    /// What is wrong with the URL, or with the certificates to believe.
    pub fn parse(url: &str, trust: &Trust) -> Result<Endpoint, Problem> {
        let wrong = |why: &str| Problem::new(format!("{url} is no endpoint: {why}"));
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong("it must begin with http:// or https://")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) || !authority.chars().all(|c| c.is_ascii_graphic()) {
            return Err(wrong("it must be a host with or without a port, and nothing else"));
        }
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong("its port is no number up to 65535"))?),
            None => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_string();
        let name =
            ServerName::try_from(host.clone()).map_err(|_| wrong("its host is neither a name nor an address"))?;
        let tls = if secure { Some((name, trust.config()?)) } else { None };
        Ok(Endpoint { authority: authority.to_string(), host, port, tls })
    }

    /// `127.0.0.1:4566`, as it stands in the URL.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `https://localhost:4566`.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.authority)
    }

    /// The URL of a WebSocket at this endpoint, for a path.
    pub fn channel(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.tls.is_some() { "wss" } else { "ws" }, self.authority)
    }

    /// One request on a connection of its own; status and body of the answer.
    ///
    /// # Errors
    /// [`ReachError`], which says what to do where something can be done.
    pub fn exchange(&self, request: &ClientRequest) -> Result<(u16, Vec<u8>), ReachError> {
        let stream = connect((self.host.as_str(), self.port))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        match &self.tls {
            Some((name, config)) => {
                let connection = ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
                ask(StreamOwned::new(connection, stream), request)
            }
            None => ask(stream, request),
        }
    }

    /// A connection for the channel of a session.
    ///
    /// # Errors
    /// [`ReachError`] likewise. It waits for as long as the other side takes:
    /// the caller sets a limit.
    pub async fn dial(&self) -> Result<Box<dyn Duplex>, ReachError> {
        let stream = tokio::net::TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Keystrokes must not wait for each other; without it they only do.
        let _ = stream.set_nodelay(true);
        Ok(match &self.tls {
            Some((name, config)) => Box::new(TlsConnector::from(config.clone()).connect(name.clone(), stream).await?),
            None => Box::new(stream),
        })
    }
}

/// Why an endpoint was not reached.
#[derive(Debug)]
pub enum ReachError {
    /// Its certificate was issued by nobody who is believed.
    Untrusted(rustls::Error),
    /// Its certificate is for these names, and not for the one that was called.
    WrongName(Vec<String>),
    /// Its certificate is not valid otherwise: too old, for one.
    Unfit(rustls::Error),
    /// It does not answer with TLS.
    NotTls,
    /// Its answer was none of HTTP, or ended early.
    Answer,
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for ReachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReachError::Untrusted(_) => f.write_str(
                "its certificate is not from an authority that is trusted here. Save what `elastane ca` prints on \
                 the daemon's machine, or the authority of the certificate given there, in a file, and name it with \
                 --ca FILE or AWS_CA_BUNDLE",
            ),
            ReachError::WrongName(names) if names.is_empty() => {
                f.write_str("its certificate is for another name: call it by the name in its certificate")
            }
            ReachError::WrongName(names) => {
                write!(f, "its certificate is for other names: call it by one of {}", names.join(", "))
            }
            ReachError::Unfit(_) => f.write_str("its certificate is not valid"),
            ReachError::NotTls => f.write_str("it does not speak TLS: call it with http://"),
            ReachError::Answer => f.write_str("its answer is not HTTP, or ended early"),
            ReachError::Io(_) => f.write_str("the connection failed"),
        }
    }
}

impl Error for ReachError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ReachError::Untrusted(err) | ReachError::Unfit(err) => Some(err),
            ReachError::Io(err) => Some(err),
            ReachError::WrongName(_) | ReachError::NotTls | ReachError::Answer => None,
        }
    }
}

impl From<io::Error> for ReachError {
    fn from(err: io::Error) -> ReachError {
        let Some(tls) = err.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return ReachError::Io(err);
        };
        match tls {
            rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
                ReachError::WrongName(presented.iter().map(|name| plain(name)).collect())
            }
            rustls::Error::InvalidCertificate(CertificateError::NotValidForName) => ReachError::WrongName(Vec::new()),
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                ReachError::Untrusted(tls.clone())
            }
            rustls::Error::InvalidCertificate(_) => ReachError::Unfit(tls.clone()),
            rustls::Error::InvalidMessage(_) => ReachError::NotTls,
            _ => ReachError::Io(err),
        }
    }
}

/// `localhost` of `DnsName("localhost")`, which is how names of certificates come.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_string()
}

fn connect(place: (&str, u16)) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    Err(last)
}

fn ask(mut stream: impl Read + Write, request: &ClientRequest) -> Result<(u16, Vec<u8>), ReachError> {
    let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(&request.body)?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
        // A peer that does not take its leave in TLS: the answer's length tells whether all of it is there.
        Err(err) if err.kind() != io::ErrorKind::UnexpectedEof => return Err(err.into()),
        Ok(_) | Err(_) => {}
    }
    split(&answer).ok_or(ReachError::Answer)
}

/// Status and body, of which all must be there. Our daemon closes the
/// connection after the body and always gives its length where there is one,
/// so there is no chunking to undo.
fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let length = head.split("\r\n").skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())
    });
    let body = &answer[end + 4..];
    (Some(body.len()) == length.unwrap_or(Some(0))).then(|| (status, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// URLs of endpoints, what is shown of them, and what is no endpoint.
    #[test]
    fn urls() {
        for (url, shown) in [
            ("http://127.0.0.1:4566", Some(("http://127.0.0.1:4566", "127.0.0.1", 4566))),
            ("https://localhost:4566/", Some(("https://localhost:4566", "localhost", 4566))),
            ("https://aws.example", Some(("https://aws.example", "aws.example", 443))),
            ("http://aws.example", Some(("http://aws.example", "aws.example", 80))),
            ("https://[::1]:4566", Some(("https://[::1]:4566", "::1", 4566))),
            ("https://[::1]", Some(("https://[::1]", "::1", 443))),
            ("localhost:4566", None),
            ("wss://localhost", None),
            ("https://", None),
            ("https://a/b", None),
            ("https://user@a", None),
            ("https://a:70000", None),
            ("https://a b", None),
        ] {
            let got = Endpoint::parse(url, &Trust::Usual(None)).ok();
            let got = got.as_ref().map(|got| (got.url(), got.host.as_str(), got.port));
            assert_eq!(got, shown.map(|(url, host, port)| (url.to_string(), host, port)), "{url}");
        }
        let endpoint = Endpoint::parse("https://localhost:1", &Trust::Usual(None)).expect("a URL");
        assert_eq!(endpoint.channel("/v1/x?a=b"), "wss://localhost:1/v1/x?a=b");
    }

    /// An answer of which something is missing is none.
    #[test]
    fn answers() {
        for (answer, want) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Some((200, b"hi".to_vec()))),
            ("HTTP/1.1 404 Not Found\r\nx: y\r\ncontent-length:0\r\n\r\n", Some((404, Vec::new()))),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", None),
            ("HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", Some((204, Vec::new()))),
            ("HTTP/1.1 200 OK\r\n\r\nhi", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", None),
            ("SSH-2.0-x\r\ncontent-length: 0\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(split(answer.as_bytes()), want, "{answer}");
        }
    }

    /// What went wrong with a certificate is told apart, and each says what to do.
    #[test]
    fn errors_say_what_to_do() {
        let name = || ServerName::try_from("a.example").expect("a name");
        let presented = vec![r#"DnsName("localhost")"#.to_string(), "IpAddress(127.0.0.1)".to_string()];
        for (error, said) in [
            (CertificateError::UnknownIssuer.into(), "--ca FILE or AWS_CA_BUNDLE"),
            (CertificateError::Expired.into(), "its certificate is not valid"),
            (
                CertificateError::NotValidForNameContext { expected: name(), presented }.into(),
                "call it by one of localhost, 127.0.0.1",
            ),
            (rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "call it with http://"),
            (rustls::Error::HandshakeNotComplete, "the connection failed"),
        ] {
            let said_here = ReachError::from(io::Error::new(io::ErrorKind::InvalidData, error)).to_string();
            assert!(said_here.contains(said), "{said_here}");
        }
        assert!(matches!(ReachError::from(io::Error::from(io::ErrorKind::TimedOut)), ReachError::Io(_)));
    }
}
