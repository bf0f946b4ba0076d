//! TLS with clients and with targets: certificates, versions, sessions,
//! clients' certificates, reload.

use crate::certificates::*;
use crate::support::*;
use elastane_domain::routing::{ClientAuth, Protocol, TrustStore};
use elastane_proxy::Count;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConnection, SignatureScheme, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// A target that answers with the request's head.
fn mirror() -> Server {
    Server::start(|_, head, stream| {
        respond(stream, 200, "", head.as_bytes());
        true
    })
}

fn shown(stream: &TlsClient) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Exact names win over wildcards, those over the default certificate; an
/// elliptic curve is shown to clients that can verify it.
#[test]
fn certificates_by_name_and_key() {
    let server = Server::named("one");
    let mut world = World::with(1, &[&server]);
    let authority = Authority::new("Authority");
    let rsa = Leaf { name: "both.test", algorithm: &rcgen::PKCS_RSA_SHA256, ..Leaf::default() };
    let identities = [
        (authority.named("default.test"), "default.test"),
        (authority.named("*.wild.test"), "*.wild.test"),
        (authority.named("a.wild.test"), "a.wild.test"),
        (authority.issue(&rsa), "both.test"),
        (authority.named("both.test"), "both.test"),
    ];
    let arns: Vec<String> = (0..identities.len()).map(|index| format!("arn:certificate/{index}")).collect();
    let rows = identities.iter().zip(&arns);
    world.certificates = rows.map(|((identity, name), arn)| identity.certificate(arn, &[name])).collect();
    world.balancer.listeners = vec![https(&arns.iter().map(String::as_str).collect::<Vec<_>>())];
    world.apply();
    let any = Offer::default().config();
    let old =
        Offer { schemes: &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256], ..Offer::default() };
    let old = old.config();
    for (name, config, want) in [
        ("unknown.test", &any, 0),
        ("b.wild.test", &any, 1),
        ("a.wild.test", &any, 2),
        ("x.a.wild.test", &any, 0),
        ("both.test", &any, 4),
        ("both.test", &old, 3),
    ] {
        let mut client = tls(world.address(), config, name);
        assert_eq!(ask(&mut client, GET).text(), "one");
        assert_eq!(shown(&client), identities[want].0.chain()[0], "{name}");
    }
}

/// The policy decides versions and ciphers, and targets are told both.
#[test]
fn security_policies() {
    let server = mirror();
    let mut world = tls_world(1, &[&server]);
    world.balancer.options.tls_headers = true;
    for (policy, versions, want) in [
        ("TLS13-1-2-2021-06", [&TLS13].as_slice(), Some(("TLSv1.3", "TLS_AES_128_GCM_SHA256"))),
        ("TLS13-1-2-2021-06", &[&TLS12], Some(("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"))),
        ("TLS13-1-3-2021-06", &[&TLS12], None),
        ("TLS13-1-3-2021-06", &[&TLS12, &TLS13], Some(("TLSv1.3", "TLS_AES_128_GCM_SHA256"))),
        ("2016-08", &[&TLS13], None),
        ("2016-08", &[&TLS12, &TLS13], Some(("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"))),
        ("TLS13-1-2-Res-PQ-2025-09", &[&TLS13], Some(("TLSv1.3", "TLS_AES_128_GCM_SHA256"))),
    ] {
        world.balancer.listeners[0].tls.as_mut().unwrap().policy = format!("ELBSecurityPolicy-{policy}");
        world.apply();
        let config = Offer { versions, ..Offer::default() }.config();
        let got = try_tls(world.address(), &config, "a.test");
        let Some((version, cipher)) = want else {
            assert!(got.is_err(), "{policy}");
            continue;
        };
        let head = ask(&mut got.unwrap(), GET).text();
        assert_eq!(header(&head, "X-Amzn-Tls-Version"), Some(version), "{policy}");
        assert_eq!(header(&head, "X-Amzn-Tls-Cipher-Suite"), Some(cipher), "{policy}");
        assert_eq!(header(&head, "X-Forwarded-Proto"), Some("https"));
    }
    assert_eq!(counted(&world, Count::ClientTlsErrors, 2), 2);
}

/// Sessions go on across connections, threads and snapshots, until who may
/// connect changes.
#[test]
fn sessions_are_resumed() {
    let server = Server::named("one");
    let mut world = tls_world(2, &[&server]);
    for version in [&TLS12, &TLS13] {
        let config = Offer { versions: &[version], ..Offer::default() }.config();
        let mut kinds = Vec::new();
        for round in 0..6 {
            if round == 3 {
                world.balancer.options.preserve_host ^= true;
                world.apply();
            }
            let mut client = tls(world.address(), &config, "a.test");
            assert_eq!(ask(&mut client, GET).status, 200);
            kinds.push(client.conn.handshake_kind().unwrap());
        }
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{version:?}: {kinds:?}");
        let tls_settings = world.balancer.listeners[0].tls.as_mut().unwrap();
        tls_settings.client_auth = match tls_settings.client_auth {
            ClientAuth::Off => ClientAuth::Passthrough,
            _ => ClientAuth::Off,
        };
        world.apply();
        let client = tls(world.address(), &config, "a.test");
        assert_ne!(client.conn.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
}

fn verifying(world: &mut World, authority: &Authority, revoked: &[u64], ignore_expiry: bool) {
    world.trust_stores = vec![TrustStore {
        arn: "arn:store".into(),
        authorities_pem: authority.pem.clone(),
        revocations_pem: vec![authority.revoke(revoked)],
    }];
    world.balancer.listeners[0].tls.as_mut().unwrap().client_auth =
        ClientAuth::Verify { trust_store: "arn:store".into(), ignore_expiry, advertise: true };
    world.apply();
}

/// What a client with this certificate gets: the head that the target saw.
fn with_identity(world: &World, identity: Option<&Identity>) -> Option<String> {
    [&TLS12, &TLS13]
        .map(|version| {
            let config = Offer { identity, versions: &[version], ..Offer::default() }.config();
            // In TLS 1.3 the client learns after its handshake that it is refused.
            let mut client = try_tls(world.address(), &config, "a.test").ok()?;
            try_ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Mtls-Clientcert: spoof\r\n\r\n").ok()
        })
        .map(|response| response.map(|response| response.text()))
        .into_iter()
        .reduce(|one, other| {
            assert_eq!(one.is_some(), other.is_some(), "both versions judge alike");
            other
        })
        .unwrap()
}

/// `verify`: only unrevoked, unexpired certificates of the trust store pass,
/// and targets learn who it was.
#[test]
fn clients_are_verified() {
    let server = mirror();
    let mut world = tls_world(1, &[&server]);
    let (authority, stranger) = (Authority::new("Clients"), Authority::new("Strangers"));
    let good = authority.named("good");
    let revoked = authority.issue(&Leaf { serial: 0x77, ..Leaf::default() });
    let expired = authority.issue(&Leaf { until: 2010, ..Leaf::default() });
    verifying(&mut world, &authority, &[0x77], false);
    let head = with_identity(&world, Some(&good)).unwrap();
    assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert-Serial-Number"), Some("1234"));
    assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert-Subject"), Some("O=Elastane\\, tests,CN=good"));
    assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert-Issuer"), Some("C=US,CN=Clients"));
    assert_eq!(
        header(&head, "X-Amzn-Mtls-Clientcert-Validity"),
        Some("NotBefore=2000-01-01T00:00:00Z;NotAfter=2090-01-01T00:00:00Z")
    );
    let leaf = header(&head, "X-Amzn-Mtls-Clientcert-Leaf").unwrap();
    assert_eq!(leaf, encoded(&good.chain_pem));
    assert!(!head.contains("spoof"), "{head}");
    for (identity, why) in [
        (None, "no certificate"),
        (Some(&revoked), "revoked"),
        (Some(&expired), "expired"),
        (Some(&stranger.named("good")), "another authority"),
    ] {
        assert_eq!(with_identity(&world, identity), None, "{why}");
    }
    assert_eq!(counted(&world, Count::ClientTlsErrors, 8), 8);
    verifying(&mut world, &authority, &[0x77], true);
    assert!(with_identity(&world, Some(&expired)).is_some());
    assert!(with_identity(&world, Some(&revoked)).is_none());
    // Without its trust store, or settings at all, a listener lets nobody in.
    world.trust_stores.clear();
    world.apply();
    assert!(with_identity(&world, Some(&good)).is_none());
    world.balancer.listeners[0].tls = None;
    world.apply();
    assert!(with_identity(&world, Some(&good)).is_none());
    assert!(try_ask(&mut connect(world.address()), GET).is_err());
}

/// Notes whose certificates a server asks for.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<Vec<u8>>>);

impl ResolvesClientCert for Asked {
    fn resolve(&self, issuers: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock().unwrap() = issuers.iter().map(|issuer| issuer.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The names of the trust store's authorities are told to clients when that is switched on.
#[test]
fn authorities_are_advertised() {
    let server = mirror();
    let mut world = tls_world(1, &[&server]);
    let authority = Authority::new("Clients");
    verifying(&mut world, &authority, &[], false);
    for advertised in [true, false] {
        let settings = world.balancer.listeners[0].tls.as_mut().unwrap();
        settings.client_auth =
            ClientAuth::Verify { trust_store: "arn:store".into(), ignore_expiry: false, advertise: advertised };
        world.apply();
        let asked = Arc::new(Asked::default());
        let mut config = Arc::unwrap_or_clone(Offer::default().config());
        config.client_auth_cert_resolver = asked.clone();
        let _ = try_tls(world.address(), &Arc::new(config), "a.test");
        let names = asked.0.lock().unwrap();
        let named = names.iter().any(|name| name.windows(7).any(|part| part == b"Clients"));
        assert_eq!((names.len(), named), (usize::from(advertised), advertised));
    }
}

/// The form of a certificate in a header.
fn encoded(pem: &str) -> String {
    pem.replace("\r\n", "\n").replace('\n', "%0A").replace(' ', "%20")
}

/// `passthrough`: any certificate goes to the target whole, or none does.
#[test]
fn certificates_pass_through() {
    let server = mirror();
    let mut world = tls_world(1, &[&server]);
    world.balancer.listeners[0].tls.as_mut().unwrap().client_auth = ClientAuth::Passthrough;
    world.apply();
    let expired = Authority::new("Strangers").issue(&Leaf { until: 2010, ..Leaf::default() });
    let head = with_identity(&world, Some(&expired)).unwrap();
    assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert"), Some(encoded(&expired.chain_pem).as_str()));
    assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert-Subject"), None);
    let head = with_identity(&world, None).unwrap();
    assert_eq!(header(&head, "X-Amzn-Mtls-Clientcert"), None);
}

/// While certificates are replaced again and again no request fails, open
/// connections stay, and new ones get the new certificate.
#[test]
fn reload_under_traffic() {
    let server = Server::named("one");
    let mut world = tls_world(2, &[&server]);
    let (address, stop, served) = (world.address(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let config = Offer::default().config();
    let mut open = tls(address, &config, "a.test");
    let before = shown(&open);
    let traffic = {
        let (config, stop, served) = (config.clone(), stop.clone(), served.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let mut client = tls(address, &config, "a.test");
                for _ in 0..3 {
                    assert_eq!(ask(&mut client, GET).status, 200);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    };
    let authority = Authority::new("Authority");
    for _ in 0..10 {
        let seen = served.load(Ordering::SeqCst);
        world.certificates = vec![authority.named("a.test").certificate("arn:certificate/a", &["a.test"])];
        world.apply();
        while served.load(Ordering::SeqCst) < seen + 4 && !traffic.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(ask(&mut open, GET).status, 200);
    }
    stop.store(true, Ordering::SeqCst);
    traffic.join().unwrap();
    let fresh = tls(address, &Offer::default().config(), "a.test");
    assert_ne!(shown(&fresh), before);
}

/// HTTP/2 is offered unless it is switched off.
#[test]
fn http2_is_negotiated() {
    let server = Server::named("one");
    let mut world = tls_world(1, &[&server]);
    let config = Offer { alpn: &[b"h2", b"http/1.1"], ..Offer::default() }.config();
    assert_eq!(tls(world.address(), &config, "a.test").conn.alpn_protocol(), Some(b"h2".as_slice()));
    let nothing = Offer::default().config();
    assert_eq!(tls(world.address(), &nothing, "a.test").conn.alpn_protocol(), None);
    world.balancer.options.http2 = false;
    world.apply();
    let mut client = tls(world.address(), &config, "a.test");
    assert_eq!(client.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert_eq!(ask(&mut client, GET).text(), "one");
}

/// WebSocket over TLS: bytes pass in both directions after 101.
#[test]
fn websocket_inside_tls() {
    let server = Server::start(|_, _, stream| {
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .unwrap();
        let mut word = [0; 5];
        while stream.read_exact(&mut word).is_ok() {
            word.reverse();
            stream.write_all(&word).unwrap();
        }
        false
    });
    let world = tls_world(1, &[&server]);
    let mut client = tls(world.address(), &Offer::default().config(), "a.test");
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(ask(&mut client, upgrade).status, 101);
    for word in [b"abcde", b"fghij"] {
        client.write_all(word).unwrap();
        let mut back = [0; 5];
        client.read_exact(&mut back).unwrap();
        back.reverse();
        assert_eq!(&back, word);
    }
}

/// Large bodies pass both ways through TLS.
#[test]
fn large_bodies_inside_tls() {
    let server = Server::start(|_, head, stream| {
        let body = read_body(stream, head);
        respond(stream, 200, "", &body);
        true
    });
    let world = tls_world(1, &[&server]);
    let body: String = (0..3_000_000u32).map(|index| char::from(b'a' + (index * 7 % 26) as u8)).collect();
    let mut client = tls(world.address(), &Offer::default().config(), "a.test");
    for _ in 0..2 {
        let request = format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert!(ask(&mut client, &request).text() == body);
    }
}

/// Serves one connection after the other inside TLS; counts handshakes that
/// went on with a session.
fn tls_target(resumed: Arc<AtomicUsize>) -> std::net::SocketAddrV4 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!() };
    let config = server_config(&[]);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
            let mut head = Vec::new();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
                if head.ends_with(b"\r\n\r\n") {
                    let again = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
                    resumed.fetch_add(usize::from(again), Ordering::SeqCst);
                    let close = head.windows(6).any(|word| word == b"/close");
                    let extra = if close { "Connection: close\r\n" } else { "" };
                    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n{extra}\r\nsecret");
                    head.clear();
                    if stream.write_all(text.as_bytes()).is_err() || close {
                        break;
                    }
                }
            }
        }
    });
    address
}

/// Targets of HTTPS groups are spoken to inside TLS, whatever certificate they
/// have; connections are pooled and sessions go on.
#[test]
fn targets_inside_tls() {
    let resumed = Arc::new(AtomicUsize::new(0));
    let address = tls_target(resumed.clone());
    let mut world = World::new(1);
    world.group = unchecked_group(GROUP, address);
    world.group.protocol = Protocol::Https;
    world.apply();
    let mut client = connect(world.address());
    for _ in 0..3 {
        assert_eq!(send(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").text(), "secret");
    }
    assert_eq!(resumed.load(Ordering::SeqCst), 0);
    for _ in 0..2 {
        assert_eq!(send(&mut client, "GET /close HTTP/1.1\r\nHost: x\r\n\r\n").text(), "secret");
    }
    assert_eq!(resumed.load(Ordering::SeqCst), 1);
}

/// A target that does not speak TLS: 502, counted as such.
#[test]
fn alb_9_target_handshake_fails() {
    let clear = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = clear.local_addr().unwrap() else { panic!() };
    std::thread::spawn(move || {
        for mut socket in clear.incoming().map_while(Result::ok) {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let mut world = World::new(1);
    world.group = unchecked_group(GROUP, address);
    world.group.protocol = Protocol::Https;
    world.apply();
    assert_eq!(get(world.address(), "/").status, 502);
    let report = &world.proxy.collect().load_balancers[0].report;
    assert_eq!((report.count(Count::TargetTlsErrors), report.count(Count::TargetConnectionErrors)), (1, 0));
}

/// A client that does not speak TLS at all is closed and counted, and costs
/// others nothing.
#[test]
fn clear_text_is_refused() {
    let server = Server::named("one");
    let world = tls_world(1, &[&server]);
    let mut client = connect(world.address());
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    assert_eq!(ask(&mut tls(world.address(), &Offer::default().config(), "a.test"), GET).status, 200);
    assert_eq!(counted(&world, Count::ClientTlsErrors, 1), 1);
}
