//! A seeded, bounded fuzz of every parser that clients' bytes reach: nothing
//! panics or hangs, and every refusal is a 4xx. A failure names its seed.

use crate::random::{Random, fill};
use crate::roundtrip::received;
use elastane_wire::sigv4::{self, KeyCache};
use elastane_wire::{
    ClientRequest, HttpRequest, Input, Operation, Output, Protocol, decode, decode_response, encode_error,
    encode_request, encode_response, identify,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// Seeds of the short run, and of the long one, for each kind of input.
const SEEDS: u64 = 4000;
const LONG_SEEDS: u64 = 3_500_000;

const PROTOCOLS: &[Protocol] = &[Protocol::Query, Protocol::Json10, Protocol::Cbor];

/// Prints its seed when the test panics while it lives.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing seed: {}", self.0);
        }
    }
}

/// Changes a few bytes: flips, cuts, repeats, insertions of telling bytes.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    const TELLING: &[u8] = b"{}[]\",:\\&=%.+<>/;!?\x00\xff\x9f\xbf\x5f\x7f\xfb\xc1\xd8u0919-eE ";
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *random.pick(TELLING)),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => {
                let end = at + random.below((bytes.len() - at) as u64 + 1) as usize;
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ if at < bytes.len() => {
                bytes.remove(at);
            }
            _ => {}
        }
    }
}

fn some_request(random: &mut Random) -> (Operation, ClientRequest) {
    let operations: Vec<Operation> = Operation::all().collect();
    let operation = *random.pick(&operations);
    let service = operation.service().info();
    let protocol = match (service.query_compatible, service.json_version) {
        (true, _) => *random.pick(PROTOCOLS),
        (false, Some(_)) => Protocol::Json11,
        (false, None) => elastane_wire::client_protocol(operation.service()),
    };
    let mut input = Input::empty(operation);
    fill(random, operation.info().input.members(), input.record_mut());
    (operation, encode_request(protocol, &input))
}

/// Serves a request as the daemon does and checks that refusals are 4xx.
fn serve(http: &HttpRequest<'_>) {
    let refused = match identify(http) {
        Ok(identified) => decode(&identified, http).err(),
        Err(err) => Some(err),
    };
    if let Some(err) = refused {
        assert!((400..500).contains(&err.error.status), "{err:?}");
        let response = encode_error(err.form, &err.error, "id");
        assert_eq!(response.status, err.error.status);
    }
}

/// Damaged bodies of all operations and protocols.
fn bodies(seeds: Range<u64>) {
    for seed in seeds {
        let guard = Seed(seed);
        let mut random = Random(seed);
        let (_, mut request) = some_request(&mut random);
        damage(&mut random, &mut request.body);
        serve(&received(&request));
        drop(guard);
    }
}

/// Damaged methods, targets and headers, signature included.
fn envelopes(seeds: Range<u64>) {
    let secrets = BTreeMap::from([("AKID".to_owned(), "secret".to_owned())]);
    let mut cache = KeyCache::default();
    for seed in seeds {
        let guard = Seed(seed);
        let mut random = Random(seed);
        let (operation, mut request) = some_request(&mut random);
        let service = operation.service().info().signing_name;
        let signer = sigv4::Signer {
            access_key_id: "AKID",
            secret_access_key: "secret",
            session_token: None,
            region: "us-east-1",
            service,
        };
        signer.sign(&mut request, "localhost", 1_767_261_600);
        if random.below(2) == 0 {
            let query = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID/20260101/us-east-1/ec2/aws4_request&X-Amz-Date=20260101T100000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00&Action=DescribeVpcs&Version=2016-11-15";
            request.target.push_str(query);
        }
        let mut target = request.target.clone().into_bytes();
        damage(&mut random, &mut target);
        let which = random.below(request.headers.len() as u64) as usize;
        let mut header = request.headers[which].1.clone().into_bytes();
        damage(&mut random, &mut header);
        request.headers[which].1 = String::from_utf8_lossy(&header).into_owned();
        let changed = target != request.target.as_bytes();
        request.target = String::from_utf8_lossy(&target).into_owned();
        let method = *random.pick(&["GET", "POST", "PUT", ""]);
        let http = HttpRequest { method, ..received(&request) };
        serve(&http);
        let _ = sigv4::claimed_key(&http);
        let verified = sigv4::verify(&http, 1_767_261_600, Some(service), &secrets, &mut cache);
        assert!(!(changed && request.target.contains('#') && verified.is_ok()));
        if let (Err(err), Ok(identified)) = (verified, identify(&http)) {
            let error = err.into_error(identified.reply_form());
            assert!((400..500).contains(&error.status));
        }
        drop(guard);
    }
}

/// Damaged answers: our own clients do not fall over either.
fn answers(seeds: Range<u64>) {
    for seed in seeds {
        let guard = Seed(seed);
        let mut random = Random(seed);
        let (operation, _) = some_request(&mut random);
        let protocol = elastane_wire::client_protocol(operation.service());
        let mut output = Output::empty(operation);
        fill(&mut random, operation.info().output.members(), output.record_mut());
        let mut body = encode_response(protocol, &output, "id").body;
        damage(&mut random, &mut body);
        for status in [200, 400] {
            let _ = decode_response(protocol, operation, status, Some("Code;Sender"), &body);
        }
        drop(guard);
    }
}

/// The short run.
#[test]
fn damaged_inputs() {
    bodies(0..SEEDS);
    envelopes(0..SEEDS);
    answers(0..SEEDS);
}

/// The long run: `cargo xtask fuzz`.
#[test]
#[ignore = "ten million inputs take minutes"]
fn long_fuzz() {
    let first = std::env::var("ELASTANE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64) << 32;
    let seeds = || first..first + LONG_SEEDS;
    bodies(seeds());
    envelopes(seeds());
    answers(seeds());
    println!("{} inputs from seed {first}: no panic, every refusal a 4xx", 3 * LONG_SEEDS);
}

/// Nesting without end is refused, not followed.
#[test]
fn bottomless_nesting() {
    let deep = |part: &str| part.repeat(200_000);
    let json = vec![("x-amz-target", "AmazonSSM.ListCommands"), ("content-type", "application/x-amz-json-1.1")];
    for body in [deep("{\"a\":"), format!("{{\"Filters\":{}", deep("[")), format!("{{\"x\":{}", deep("["))] {
        let http = HttpRequest { method: "POST", target: "/", headers: &json, body: body.as_bytes() };
        serve(&http);
        let identified = identify(&http).expect("the header says it");
        assert!(decode(&identified, &http).is_err());
    }
    let cbor = vec![("smithy-protocol", "rpc-v2-cbor")];
    let target = "/service/GraniteServiceVersion20100801/operation/ListMetrics";
    for body in [
        [b"\xbfax".to_vec(), vec![0x9f; 500_000]].concat(),
        [b"\xbfax".to_vec(), vec![0xc1; 500_000]].concat(),
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
    ] {
        let http = HttpRequest { method: "POST", target, headers: &cbor, body: &body };
        let identified = identify(&http).expect("the path says it");
        assert!(decode(&identified, &http).is_err());
    }
    let xml = deep("<a>");
    assert!(decode_response(Protocol::Ec2, Operation::Ec2DescribeVpcs, 200, None, xml.as_bytes()).is_err());
    let form = format!("Action=DescribeVpcs&Version=2016-11-15&Filter{}=x", deep(".1"));
    let headers: Vec<(&str, &str)> = Vec::new();
    serve(&HttpRequest { method: "POST", target: "/", headers: &headers, body: form.as_bytes() });
}
