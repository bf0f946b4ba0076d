//! HTTP/2 and gRPC to targets: trailers, streams in both directions, and
//! which versions go together (alb.md 8).

use crate::certificates::*;
use crate::http2_client::*;
use crate::support::*;
use bytes::Bytes;
use elastane_domain::routing::{Protocol, ProtocolVersion};
use elastane_proxy::Count;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use std::future::poll_fn;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A target that speaks HTTP/2 alone.
struct Target {
    address: SocketAddrV4,
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Target {
    fn start(inside_tls: bool) -> Target {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let acceptor = inside_tls.then(|| TlsAcceptor::from(server_config(&[b"h2"])));
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, acceptor, counter) => {}
                }
            });
        });
        Target { address, connections, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let _ = self.thread.take().unwrap().join();
    }
}

async fn accept(listener: tokio::net::TcpListener, acceptor: Option<TlsAcceptor>, connections: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let number = connections.fetch_add(1, Ordering::SeqCst);
        let acceptor = acceptor.clone();
        tokio::task::spawn_local(async move {
            match acceptor {
                Some(acceptor) => serve(acceptor.accept(stream).await.unwrap(), number).await,
                None => serve(stream, number).await,
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, number: usize) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path() == "/goodbye" {
            connection.graceful_shutdown();
        }
        if request.uri().path() == "/refuse" || (request.uri().path() == "/refuse-first" && number == 0) {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        tokio::task::spawn_local(async move {
            // A peer that is gone is what some tests are about.
            let _ = answer(request, respond).await;
        });
    }
}

/// Answers by path; gRPC's own errors are trailers without a body.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (parts, mut body) = request.into_parts();
    let response = Response::builder().header("content-type", "application/grpc");
    if parts.uri.path() == "/trailers-only" {
        let response = response.header("grpc-status", "5").header("grpc-message", "none").body(()).unwrap();
        respond.send_response(response, true)?;
        return Ok(());
    }
    let mut response = response;
    for name in ["te", "x-forwarded-proto", "x-forwarded-for", "x-own"] {
        if let Some(value) = parts.headers.get(name) {
            response = response.header(format!("seen-{name}"), value);
        }
    }
    let authority = parts.uri.authority().unwrap().as_str().to_owned();
    let response = response.header("seen-authority", authority).body(()).unwrap();
    let mut send = respond.send_response(response, false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        let mut data = data;
        while !data.is_empty() {
            send.reserve_capacity(data.len());
            match poll_fn(|context| send.poll_capacity(context)).await {
                Some(room) => send.send_data(data.split_to(room?.min(data.len())), false)?,
                None => return Ok(()),
            }
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("x-got", body.trailers().await?.map_or(0, |trailers| trailers.len()).into());
    send.send_trailers(trailers)
}

fn world(target: SocketAddrV4, version: ProtocolVersion, protocol: Protocol) -> World {
    let mut world = World::new(1);
    world.group = unchecked_group(GROUP, target);
    world.group.version = version;
    world.group.protocol = protocol;
    secure(&mut world);
    world
}

fn call(path: &str) -> http::request::Builder {
    Request::post(format!("https://a.test{path}")).header("content-type", "application/grpc").header("te", "trailers")
}

fn status(answer: &Answer) -> Option<&str> {
    let found = answer.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    found.or_else(|| answer.headers.get("grpc-status")).map(|value| value.to_str().unwrap())
}

/// A call and its answer with trailers, in clear text and inside TLS; calls
/// share a connection to the target.
#[test]
fn alb_8_unary_calls() {
    for (inside_tls, protocol) in [(false, Protocol::Http), (true, Protocol::Https)] {
        for version in [ProtocolVersion::Grpc, ProtocolVersion::Http2] {
            let target = Target::start(inside_tls);
            let world = world(target.address, version, protocol);
            run(async {
                let client = Client::connect(&world).await;
                // A burst at the start shares the connection that is being made.
                let many: Vec<_> = (0..50)
                    .map(|_| {
                        let client = client.clone();
                        tokio::task::spawn_local(async move { client.ask(call("/service/Method"), b"many").await })
                    })
                    .collect();
                for answer in many {
                    assert_eq!(answer.await.unwrap().body, b"many");
                }
                for _ in 0..3 {
                    let got = client.ask(call("/service/Method").header("x-own", "v"), b"\0\0\0\0\x05hello").await;
                    assert_eq!((got.status.as_u16(), got.body.as_slice()), (200, b"\0\0\0\0\x05hello".as_slice()));
                    assert_eq!(status(&got), Some("0"));
                    for (name, value) in [
                        ("seen-te", "trailers"),
                        ("seen-x-own", "v"),
                        ("seen-x-forwarded-proto", "https"),
                        ("seen-x-forwarded-for", "127.0.0.1"),
                        ("seen-authority", "a.test:0"),
                        ("content-type", "application/grpc"),
                    ] {
                        assert_eq!(got.headers[name], value, "{name}");
                    }
                    assert!(!got.headers.contains_key("transfer-encoding"));
                }
                let got = client.ask(call("/trailers-only"), b"x").await;
                assert_eq!((status(&got), got.headers["grpc-message"].to_str().unwrap()), (Some("5"), "none"));
            });
            assert_eq!(target.connections.load(Ordering::SeqCst), 1);
            let report = &world.proxy.collect().load_balancers[0].report;
            let counts = [Count::GrpcRequests, Count::Requests, Count::Target2xx].map(|count| report.count(count));
            assert_eq!(counts, [54, 54, 54]);
        }
    }
}

/// Messages pass in both directions while both streams are open.
#[test]
fn bidirectional_streams() {
    let target = Target::start(false);
    let world = world(target.address, ProtocolVersion::Grpc, Protocol::Http);
    run(async {
        let client = Client::connect(&world).await;
        let request = call("/service/Chat").body(()).unwrap();
        let (response, mut send) = client.send.clone().send_request(request, false).unwrap();
        send.send_data(Bytes::from_static(b"first"), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        for message in ["second", "third", "fourth"] {
            let data = body.data().await.unwrap().unwrap();
            assert!(!data.is_empty());
            body.flow_control().release_capacity(data.len()).unwrap();
            send.send_data(Bytes::from_static(message.as_bytes()), false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-client", "1".parse().unwrap());
        send.send_trailers(trailers).unwrap();
        let mut rest = Vec::new();
        while let Some(data) = body.data().await {
            rest.extend_from_slice(&data.unwrap());
        }
        assert_eq!(rest, b"fourth");
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!((&trailers["grpc-status"], &trailers["x-got"]), (&"0".parse().unwrap(), &"1".parse().unwrap()));
    });
}

/// Large streams pass both ways whole.
#[test]
fn large_streams() {
    let target = Target::start(true);
    let world = world(target.address, ProtocolVersion::Http2, Protocol::Https);
    let body: Vec<u8> = (0..4_000_000u32).map(|index| (index * 7 + index / 251) as u8).collect();
    run(async {
        let client = Client::connect(&world).await;
        for sized in [true, false] {
            let mut request = Request::put("https://a.test/");
            if sized {
                request = request.header("content-length", body.len().to_string());
            }
            let got = client.ask(request, &body).await;
            assert!(got.body == body, "{} bytes", got.body.len());
            assert_eq!(status(&got), Some("0"));
        }
    });
}

/// A target that says goodbye gets no new requests on that connection, and
/// none is lost.
#[test]
fn targets_say_goodbye() {
    let target = Target::start(false);
    let world = world(target.address, ProtocolVersion::Http2, Protocol::Http);
    run(async {
        let client = Client::connect(&world).await;
        for _ in 0..5 {
            assert_eq!(client.ask(Request::get("https://a.test/goodbye"), b"").await.status, 200);
            assert_eq!(client.ask(Request::post("https://a.test/"), b"x").await.body, b"x");
        }
    });
    assert!(target.connections.load(Ordering::SeqCst) >= 2);
}

/// A refused request was not begun: without a body it goes out again on
/// another connection, whatever its method, but not for ever.
#[test]
fn refused_requests_go_again() {
    let target = Target::start(false);
    let world = world(target.address, ProtocolVersion::Http2, Protocol::Http);
    run(async {
        let client = Client::connect(&world).await;
        for (method, path, status) in [("POST", "/refuse-first", 200), ("GET", "/refuse", 502)] {
            let got = client.ask(Request::builder().method(method).uri(format!("https://a.test{path}")), b"").await;
            assert_eq!(got.status.as_u16(), status, "{path}");
        }
    });
}

/// Which clients and groups go together, and what the others get.
#[test]
fn alb_8_version_table() {
    let http1 = Server::named("one");
    let http2 = Target::start(false);
    use ProtocolVersion::{Grpc, Http1, Http2};
    for (version, target, get_status, post_status, grpc_status, old_status) in [
        (Http1, http1.address, 200, 200, 464, 200),
        (Http2, http2.address, 200, 200, 200, 464),
        (Grpc, http2.address, 464, 200, 200, 464),
    ] {
        let world = world(target, version, Protocol::Http);
        run(async {
            let client = Client::connect(&world).await;
            let got = client.ask(Request::get("https://a.test/"), b"").await.status;
            assert_eq!(got.as_u16(), get_status, "GET to {version:?}");
            let got = client.ask(Request::post("https://a.test/").header("content-length", "0"), b"").await.status;
            assert_eq!(got.as_u16(), post_status, "POST to {version:?}");
            let got = client.ask(call("/service/Method"), b"").await.status;
            assert_eq!(got.as_u16(), grpc_status, "gRPC to {version:?}");
        });
        let mut old = tls(world.address(), &Offer::default().config(), "a.test");
        assert_eq!(ask(&mut old, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").status, old_status, "HTTP/1 to {version:?}");
    }
}

/// What the load balancer answers a call itself is told in gRPC's terms too.
#[test]
fn alb_8_errors_of_calls() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let SocketAddr::V4(nobody) = nobody else { panic!() };
    let mut world = world(nobody, ProtocolVersion::Grpc, Protocol::Http);
    let address = world.address();
    let check = |want: u16| {
        run(async {
            let got = Client::open(address).await.ask(call("/service/Method"), b"x").await;
            assert_eq!((got.status.as_u16(), status(&got)), (want, Some("14")));
            assert_eq!(got.headers["grpc-message"], "unavailable");
        });
    };
    check(502);
    world.group.targets.clear();
    world.apply();
    check(503);
}

/// A group of HTTPS targets that do not offer HTTP/2: 502, counted as such.
#[test]
fn targets_without_http2() {
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = target.local_addr().unwrap() else { panic!() };
    std::thread::spawn(move || {
        for mut socket in target.incoming().map_while(Result::ok) {
            let mut connection = rustls::ServerConnection::new(server_config(&[])).unwrap();
            let _ = connection.complete_io(&mut socket);
        }
    });
    let world = world(address, ProtocolVersion::Http2, Protocol::Https);
    run(async {
        let got = Client::connect(&world).await.ask(Request::get("https://a.test/"), b"").await;
        assert_eq!(got.status, 502);
    });
    assert_eq!(world.proxy.collect().load_balancers[0].report.count(Count::TargetTlsErrors), 1);
}
