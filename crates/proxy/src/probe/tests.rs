//! Each outcome of a check, against real sockets (alb.md 5.1 and 5.2).

use super::*;
use crate::upstream::HostConnector;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use tokio::net::{TcpListener, TcpStream};

/// Far longer than anything takes on a busy machine.
const PATIENCE_SECS: u32 = 60;

fn question(protocol: CheckProtocol, version: ProtocolVersion) -> Question {
    let check = HealthCheck {
        protocol,
        path: "/health?a=b".to_owned(),
        timeout_secs: PATIENCE_SECS,
        matcher: vec![(200, 200), (301, 302)],
        ..HealthCheck::default()
    };
    Question { check, version, host: None, proxy_header: false }
}

/// Runs a probe against a server that does with its first connection what `serve` says.
async fn ask_server<F>(question: Question, serve: impl FnOnce(TcpStream) -> F) -> CheckResult
where
    F: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
        std::future::pending::<()>().await;
    };
    let way = Way { vpc: None, address, source: None };
    tokio::select! {
        result = probe(&HostConnector, way, &question) => result,
        () = serving => unreachable!(),
    }
}

/// A server that answers these bytes after a request's head, which it reports.
async fn answer(mut stream: TcpStream, bytes: &[u8]) -> String {
    let head = read_head(&mut stream).await;
    stream.write_all(bytes).await.unwrap();
    head
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") || head == LOCAL_HEADER[..4] {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The request says what alb.md 5.1 says, and the matcher decides.
#[tokio::test]
async fn alb_5_1_http_checks() {
    for (answered, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 302 Found\r\n\r\n", Ok(())),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(())),
        ("HTTP/1.1 201 Created\r\n\r\n", Err(UnhealthyReason::ResponseCodeMismatch(201))),
        ("HTTP/1.1 503 No\r\n\r\n", Err(UnhealthyReason::ResponseCodeMismatch(503))),
        ("SSH-2.0-hello\r\n", Err(UnhealthyReason::FailedHealthChecks)),
    ] {
        let (sender, heads) = channel();
        let got = ask_server(question(CheckProtocol::Http, ProtocolVersion::Http1), async |stream| {
            let address = stream.local_addr().unwrap();
            sender.send((answer(stream, answered.as_bytes()).await, address)).unwrap();
        });
        assert_eq!(got.await, want, "{answered}");
        let (head, address) = heads.recv().unwrap();
        let lines = ["GET /health?a=b HTTP/1.1".to_owned(), format!("Host: {address}"), "Connection: close".to_owned()];
        let lines = lines.into_iter().chain(["User-Agent: ELB-HealthChecker/2.0".to_owned()]);
        for line in lines {
            assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
        }
    }
}

/// No answer within the timeout.
#[tokio::test]
async fn alb_5_2_timeout() {
    let mut question = question(CheckProtocol::Http, ProtocolVersion::Http1);
    question.check.timeout_secs = 0;
    let got = ask_server(question, async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    });
    assert_eq!(got.await, Err(UnhealthyReason::Timeout));
}

/// Closed without an answer, and no connection at all.
#[tokio::test]
async fn alb_5_2_failed_health_checks() {
    let question = question(CheckProtocol::Http, ProtocolVersion::Http1);
    let got = ask_server(question.clone(), async |stream| drop(stream)).await;
    assert_eq!(got, Err(UnhealthyReason::FailedHealthChecks));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    drop(listener);
    let got = probe(&HostConnector, Way { vpc: None, address, source: None }, &question).await;
    assert_eq!(got, Err(UnhealthyReason::FailedHealthChecks));
}

/// A check's own port, and the host that a network load balancer names.
#[tokio::test]
async fn alb_13_host_and_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    let mut question = question(CheckProtocol::Http, ProtocolVersion::Http1);
    question.check.port = Some(address.port());
    question.host = Some("10.0.0.9:8080".to_owned());
    question.proxy_header = true;
    let elsewhere = SocketAddrV4::new(*address.ip(), 1);
    let way = Way { vpc: None, address: elsewhere, source: None };
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut header = [0; 16];
        stream.read_exact(&mut header).await.unwrap();
        assert_eq!(header, LOCAL_HEADER);
        answer(stream, b"HTTP/1.1 200 OK\r\n\r\n").await
    };
    let (result, head) = tokio::join!(probe(&HostConnector, way, &question), serve);
    assert_eq!(result, Ok(()));
    assert!(head.contains("Host: 10.0.0.9:8080\r\n"), "{head}");
}

/// A connection is enough for TCP.
#[tokio::test]
async fn alb_13_tcp_checks() {
    let got = ask_server(question(CheckProtocol::Tcp, ProtocolVersion::Http1), async |stream| drop(stream));
    assert_eq!(got.await, Ok(()));
}

/// The port is not named when it is the protocol's own.
#[test]
fn alb_5_1_host() {
    let at = |port| SocketAddrV4::new([10, 0, 0, 1].into(), port);
    for (port, protocol, want) in [
        (80, CheckProtocol::Http, "10.0.0.1"),
        (443, CheckProtocol::Http, "10.0.0.1:443"),
        (443, CheckProtocol::Https, "10.0.0.1"),
        (8443, CheckProtocol::Https, "10.0.0.1:8443"),
    ] {
        assert_eq!(host(at(port), protocol), want);
    }
}

/// How a gRPC server answers a check.
#[derive(Clone, Copy)]
enum Grpc {
    InTrailers(&'static str),
    InHeaders(&'static str),
    OnlyHttp(u16),
}

async fn serve_grpc(stream: TcpStream, how: Grpc, heads: std::sync::mpsc::Sender<http::request::Parts>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        heads.send(request.into_parts().0).unwrap();
        let builder = http::Response::builder();
        let reply = match how {
            Grpc::OnlyHttp(status) => builder.status(status).body(()),
            Grpc::InHeaders(status) => builder.header("grpc-status", status).body(()),
            Grpc::InTrailers(_) => builder.body(()),
        };
        let ends = !matches!(how, Grpc::InTrailers(_));
        let mut body = respond.send_response(reply.unwrap(), ends).unwrap();
        if let Grpc::InTrailers(status) = how {
            body.send_data(bytes::Bytes::from_static(&[0; 5]), false).unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            body.send_trailers(trailers).unwrap();
        }
    }
}

/// gRPC's code is what the matcher looks at, wherever it comes.
#[tokio::test]
async fn alb_5_1_grpc_checks() {
    for (how, want) in [
        (Grpc::InTrailers("12"), Ok(())),
        (Grpc::InHeaders("12"), Ok(())),
        (Grpc::OnlyHttp(404), Ok(())),
        (Grpc::InTrailers("0"), Err(UnhealthyReason::ResponseCodeMismatch(0))),
        (Grpc::OnlyHttp(503), Err(UnhealthyReason::ResponseCodeMismatch(14))),
    ] {
        let mut question = question(CheckProtocol::Http, ProtocolVersion::Grpc);
        question.check.path = "/AWS.ALB/healthcheck".to_owned();
        question.check.matcher = vec![(12, 12)];
        let (sender, heads) = channel();
        let got = ask_server(question, |stream| serve_grpc(stream, how, sender)).await;
        assert_eq!(got, want);
        let head = first(&heads);
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/AWS.ALB/healthcheck"));
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert_eq!(head.headers["user-agent"], USER_AGENT);
    }
}

/// Groups of version HTTP2 are asked over HTTP/2.
#[tokio::test]
async fn alb_5_1_http2_checks() {
    for (status, want) in [(200, Ok(())), (500, Err(UnhealthyReason::ResponseCodeMismatch(500)))] {
        let (sender, heads) = channel();
        let question = question(CheckProtocol::Http, ProtocolVersion::Http2);
        let got = ask_server(question, |stream| serve_grpc(stream, Grpc::OnlyHttp(status), sender)).await;
        assert_eq!(got, want);
        let head = first(&heads);
        assert_eq!((head.method.as_str(), head.uri.path_and_query().unwrap().as_str()), ("GET", "/health?a=b"));
    }
}

fn first(heads: &Receiver<http::request::Parts>) -> http::request::Parts {
    heads.try_recv().expect("the server saw a request")
}

/// Inside TLS, with a certificate that nobody vouches for.
#[tokio::test]
async fn alb_5_1_https_checks() {
    use rustls::pki_types::PrivateKeyDer;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let got = ask_server(question(CheckProtocol::Https, ProtocolVersion::Http1), async |stream| {
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 301 Moved\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
    });
    assert_eq!(got.await, Ok(()));
    let plain = ask_server(question(CheckProtocol::Https, ProtocolVersion::Http1), async |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    });
    assert_eq!(plain.await, Err(UnhealthyReason::FailedHealthChecks), "no TLS");
}
