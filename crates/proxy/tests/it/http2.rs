//! HTTP/2 with clients: to targets of HTTP/1, and its limits.

use crate::certificates::*;
use crate::http2_client::*;
use crate::logs::{Folder, fields};
use crate::support::*;
use bytes::Bytes;
use elastane_domain::routing::{Listener, LogPlace};
use elastane_proxy::Count;
use http::{Request, StatusCode};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

/// A target that answers with the request's head, then the body.
fn mirror() -> Server {
    Server::start(|connection, head, stream| {
        let body = read_body(stream, head);
        let whole = [head.as_bytes(), &body].concat();
        respond(stream, 200, &format!("X-Connection: {connection}\r\nX-Mixed-Case: y\r\n"), &whole);
        true
    })
}

/// Heads are converted both ways: authority, cookie crumbs, framing, the load
/// balancer's headers in their HTTP/1 case (alb.md 7).
#[test]
fn alb_7_to_http1_targets() {
    let server = mirror();
    let world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        let request = Request::get("https://A.test/path?q=1")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-own", "v")
            .header("x-forwarded-for", "9.9.9.9");
        let got = client.ask(request, b"").await;
        assert_eq!(got.status, 200);
        assert_eq!(got.headers["x-mixed-case"], "y");
        assert!(!got.headers.contains_key("connection"));
        let head = got.text();
        assert!(head.starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "Host"), Some("a.test:0"));
        for line in ["cookie: a=1; b=2\r\n", "x-own: v\r\n", "X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n"] {
            assert!(head.contains(line), "{line} in {head}");
        }
        for line in ["X-Forwarded-Proto: https\r\n", "X-Amzn-Trace-Id: Root=1-"] {
            assert!(head.contains(line), "{line} in {head}");
        }
        assert!(!head.contains("Transfer-Encoding"));
        let sized = client.ask(Request::post("https://a.test/").header("content-length", "4"), b"four").await.text();
        assert!(sized.ends_with("four") && header(&sized, "Content-Length") == Some("4"), "{sized}");
        let chunked = client.ask(Request::post("https://a.test/"), b"some").await.text();
        assert!(chunked.ends_with("some") && header(&chunked, "Transfer-Encoding") == Some("chunked"), "{chunked}");
    });
    let report = &world.proxy.collect().load_balancers[0].report;
    let counts = [Count::Requests, Count::Target2xx, Count::NewConnections, Count::GrpcRequests];
    assert_eq!(counts.map(|count| report.count(count))[..2], [3, 3]);
    assert_eq!(report.count(Count::GrpcRequests), 0);
}

/// Many requests at once on one connection; the target's connections are
/// reused by later ones.
#[test]
fn many_streams() {
    let server = mirror();
    let world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        for _ in 0..3 {
            let asked: Vec<_> = (0..100)
                .map(|number| {
                    let client = client.clone();
                    tokio::task::spawn_local(async move {
                        let got = client.ask(Request::get(format!("https://a.test/{number}")), b"").await;
                        assert!(got.text().starts_with(&format!("GET /{number} ")));
                        got.headers["x-connection"].to_str().unwrap().parse::<usize>().unwrap()
                    })
                })
                .collect();
            for answer in asked {
                assert!(answer.await.unwrap() <= 110, "connections are reused");
            }
        }
    });
    assert_eq!(world.proxy.collect().load_balancers[0].report.count(Count::Requests), 300);
}

/// HEAD, 204 and 304 end with their heads; bodies that end with the target's
/// connection are whole; what the load balancer answers itself comes too.
#[test]
fn responses_of_all_kinds() {
    let server = Server::start(|_, head, stream| {
        let (answer, keep) = match head.split(' ').nth(1).unwrap() {
            "/204" => ("204 No Content\r\n\r\n", true),
            "/304" => ("304 Not Modified\r\nContent-Length: 5\r\n\r\n", true),
            "/close" => ("200 OK\r\n\r\nuntil the end", false),
            "/chunks" => {
                ("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-End: z\r\n\r\n", true)
            }
            "/empty" => ("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true),
            "/broken" => ("200 OK\r\nContent-Length: 10\r\n\r\nabc", false),
            _ => ("200 OK\r\nContent-Length: 5\r\n\r\n", true),
        };
        stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
        keep
    });
    let mut world = tls_world(1, &[&server]);
    let address = world.address();
    run(async {
        let client = Client::open(address).await;
        for (method, path, status, body) in [
            ("HEAD", "/head", 200, ""),
            ("GET", "/204", 204, ""),
            ("GET", "/304", 304, ""),
            ("GET", "/close", 200, "until the end"),
            ("GET", "/chunks", 200, "abcde"),
            ("GET", "/empty", 200, ""),
        ] {
            let got = client.ask(Request::builder().method(method).uri(format!("https://a.test{path}")), b"").await;
            assert_eq!((got.status.as_u16(), got.text().as_str()), (status, body), "{path}");
            let end = got.trailers.as_ref().and_then(|trailers| trailers.get("x-end"));
            assert_eq!(end.is_some(), path == "/chunks", "{path}");
        }
        let error = client.try_ask(Request::get("https://a.test/broken"), b"").await.unwrap_err();
        assert!(error.is_reset(), "{error}");
        let got = client.ask(Request::builder().method("TRACE").uri("https://a.test/"), b"").await;
        assert_eq!(got.status, 405);
    });
    world.group.targets.clear();
    world.apply();
    run(async {
        let client = Client::open(address).await;
        let got = client.ask(Request::get("https://a.test/"), b"").await;
        assert_eq!(
            (got.status, got.headers["server"].to_str().unwrap()),
            (StatusCode::SERVICE_UNAVAILABLE, "awselb/2.0")
        );
        assert!(!got.headers.contains_key("grpc-status"));
    });
}

/// Large bodies both ways; a client that does not read holds the target, and
/// a target that does not read holds the client.
#[test]
fn large_bodies_hold_back() {
    let server = Server::start(|_, head, stream| {
        let body = read_body(stream, head);
        respond(stream, 200, "", &body);
        true
    });
    let world = tls_world(1, &[&server]);
    let body: Vec<u8> = (0..5_000_000u32).map(|index| (index * 7 + index / 251) as u8).collect();
    run(async {
        let client = Client::connect(&world).await;
        for sized in [true, false] {
            let mut request = Request::put("https://a.test/");
            if sized {
                request = request.header("content-length", body.len().to_string());
            }
            let got = client.ask(request, &body).await;
            assert!(got.body == body, "{} bytes", got.body.len());
        }
    });
}

/// A target may answer before it has the whole body: the client gets the
/// answer whole, and its connection goes on.
#[test]
fn early_answers() {
    let server = Server::start(|_, head, stream| {
        if head.starts_with("GET") {
            respond(stream, 200, "", b"next");
            return true;
        }
        respond(stream, 413, "Connection: close\r\n", b"too much");
        false
    });
    let world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        let got = client.ask(Request::put("https://a.test/"), &vec![0; 800_000]).await;
        assert_eq!((got.status.as_u16(), got.text().as_str()), (413, "too much"));
        assert_eq!(client.ask(Request::get("https://a.test/"), b"").await.text(), "next");
    });
}

/// A response that nobody reads stops at the target after what windows and
/// sockets hold.
#[test]
fn slow_readers_stop_the_target() {
    const PIECE: usize = 64 * 1024;
    let sent = Arc::new(Mutex::new(0));
    let (stuck, is_stuck) = channel();
    let (counter, stuck) = (sent.clone(), Mutex::new(stuck));
    let server = Server::start(move |_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let piece = [format!("{PIECE:x}\r\n").as_bytes(), &vec![b'x'; PIECE], b"\r\n"].concat();
        stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        // 256 MB: far more than what may be under way.
        for _ in 0..4096 {
            if stream.write_all(&piece).is_err() {
                stuck.lock().unwrap().send(()).unwrap();
                return false;
            }
            *counter.lock().unwrap() += PIECE;
        }
        false
    });
    let world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        let (response, _send) = client.send.clone().send_request(get_request("/"), true).unwrap();
        let response = response.await.unwrap();
        let waited = tokio::task::spawn_blocking(move || is_stuck.recv_timeout(PATIENCE));
        waited.await.unwrap().unwrap();
        drop(response);
    });
    assert!(*sent.lock().unwrap() < 64 * 1024 * 1024);
}

/// A client that gives a request up ends it at the target; others go on.
#[test]
fn cancellation_reaches_the_target() {
    let (gone, is_gone) = channel();
    let gone = Mutex::new(gone);
    let (here, is_here) = channel();
    let here = Mutex::new(here);
    let server = Server::start(move |_, head, stream| {
        if head.contains("/slow") {
            here.lock().unwrap().send(()).unwrap();
            let closed = stream.read(&mut [0; 1]);
            gone.lock().unwrap().send(matches!(closed, Ok(0) | Err(_))).unwrap();
            return false;
        }
        respond(stream, 200, "", b"quick");
        true
    });
    let world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        let (response, mut send) = client.send.clone().send_request(get_request("/slow"), true).unwrap();
        tokio::task::spawn_blocking(move || is_here.recv_timeout(PATIENCE).unwrap()).await.unwrap();
        send.send_reset(h2::Reason::CANCEL);
        drop(response);
        assert_eq!(client.ask(Request::get("https://a.test/"), b"").await.text(), "quick");
        assert!(tokio::task::spawn_blocking(move || is_gone.recv_timeout(PATIENCE).unwrap()).await.unwrap());
    });
    assert_eq!(counted(&world, Count::Elb460, 1), 1);
}

/// After 10,000 requests the connection says goodbye (alb.md 6), which the log
/// tells as the status 000, and the next one works.
#[test]
fn alb_6_goodbye_after_ten_thousand() {
    let folder = Folder::new();
    let mut world = World::start(1, Some(folder.0.clone()));
    world.balancer.options.access_log = Some(LogPlace { bucket: "bucket".to_owned(), prefix: String::new() });
    world.balancer.listeners = vec![Listener {
        rules: vec![elastane_domain::routing::Rule { priority: None, ..rule(1, fixed(200, "x")) }],
        ..https(&["arn:certificate/a"])
    }];
    let listener = world.balancer.listeners[0].clone();
    secure(&mut world);
    world.balancer.listeners[0].rules = listener.rules;
    world.apply();
    run(async {
        let client = Client::connect(&world).await;
        let mut served = 0;
        loop {
            match client.try_ask(Request::get("https://a.test/"), b"").await {
                Ok(got) => assert_eq!(got.status, 200),
                Err(error) => {
                    assert!(error.is_go_away() || error.is_io(), "{error}");
                    break;
                }
            }
            served += 1;
            assert!(served < 10_200, "GOAWAY comes");
        }
        assert!(served >= 10_000, "{served}");
        assert_eq!(Client::connect(&world).await.ask(Request::get("https://a.test/"), b"").await.status, 200);
    });
    let lines = folder.wait_lines(10_002);
    let goodbyes: Vec<Vec<String>> = lines.iter().map(|line| fields(line)).filter(|line| line[8] == "000").collect();
    assert_eq!(goodbyes.len(), 1);
    let told = [0, 4, 5, 9, 12].map(|field| goodbyes[0][field].as_str());
    assert_eq!(told, ["h2", "-", "-1", "-", "- - -"]);
}

/// A client that opens and resets streams without end is cut off (CVE-2023-44487).
#[test]
fn rapid_resets_end() {
    let server = Server::start(|_, _, stream| {
        let _ = stream.read(&mut [0; 1]);
        false
    });
    let world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        let mut opened = 0;
        let mut send = client.send.clone();
        let ended = loop {
            match poll_fn(|context| send.poll_ready(context)).await {
                Ok(()) => {}
                Err(error) => break error,
            }
            match send.send_request(get_request("/"), true) {
                Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
                Err(error) => break error,
            }
            opened += 1;
            assert!(opened < 100_000, "the connection ends");
            tokio::task::yield_now().await;
        };
        assert!(ended.is_go_away() || ended.is_io() || ended.is_remote(), "{ended}");
    });
    // Others are served all the same.
    run(async {
        let client = Client::connect(&world).await;
        drop(client);
    });
}

/// Header lists beyond 64 K are refused, the connection goes on or ends in order.
#[test]
fn alb_6_header_list_limit() {
    let server = Server::named("one");
    let world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        let mut request = Request::get("https://a.test/");
        for number in 0..10 {
            request = request.header(format!("x-{number}"), "v".repeat(9000));
        }
        let refused = match client.try_ask(request, b"").await {
            Ok(got) => got.status.is_client_error(),
            Err(_) => true,
        };
        assert!(refused);
        let again = Client::connect(&world).await;
        assert_eq!(again.ask(Request::get("https://a.test/"), b"").await.text(), "one");
    });
}

/// When the listener goes, the client hears it, and what is under way is finished.
#[test]
fn listeners_close_with_goodbye() {
    let (here, is_here) = channel();
    let (go, may_go) = channel();
    let (here, may_go) = (Mutex::new(here), Mutex::new(may_go));
    let server = Server::start(move |_, _, stream| {
        here.lock().unwrap().send(()).unwrap();
        may_go.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        respond(stream, 200, "", b"done");
        true
    });
    let mut world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        let asking = client.clone();
        let under_way = tokio::task::spawn_local(async move { asking.ask(Request::get("https://a.test/"), b"").await });
        tokio::task::spawn_blocking(move || is_here.recv_timeout(PATIENCE).unwrap()).await.unwrap();
        world.balancer.listeners.clear();
        let world = tokio::task::spawn_blocking(move || {
            world.apply();
            world
        });
        let _world = world.await.unwrap();
        // The connection takes no new requests while the old one is served.
        let mut send = client.send.clone();
        while poll_fn(|context| send.poll_ready(context)).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        assert_eq!(under_way.await.unwrap().text(), "done");
        client.closed().await;
    });
}

/// A connection without requests is told goodbye after the idle timeout, and
/// pings do not keep it.
#[test]
fn alb_6_idle_connections_end() {
    let server = Server::named("one");
    let mut world = tls_world(1, &[&server]);
    world.balancer.options.idle_timeout_secs = 1;
    world.apply();
    run(async {
        let client = Client::connect(&world).await;
        assert_eq!(client.ask(Request::get("https://a.test/"), b"").await.text(), "one");
        let mut pings = client.pings.take().unwrap();
        while pings.ping(h2::Ping::opaque()).await.is_ok() {}
        client.closed().await;
    });
}

/// A request with trailers reaches an HTTP/1 target in chunks.
#[test]
fn request_trailers() {
    let server = Server::start(|_, head, stream| {
        assert_eq!(header(head, "transfer-encoding"), Some("chunked"));
        let mut rest = Vec::new();
        let mut byte = [0];
        while !rest.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            rest.push(byte[0]);
        }
        respond(stream, 200, "", &rest);
        true
    });
    let world = tls_world(1, &[&server]);
    run(async {
        let client = Client::connect(&world).await;
        let request = Request::post("https://a.test/").body(()).unwrap();
        let (response, mut send) = client.send.clone().send_request(request, false).unwrap();
        send.send_data(Bytes::from_static(b"ab"), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        send.send_trailers(trailers).unwrap();
        let got = collect(response.await.unwrap()).await.unwrap();
        assert_eq!(got.text(), "2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n");
    });
}
