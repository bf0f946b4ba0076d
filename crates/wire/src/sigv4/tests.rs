use super::*;
use crate::operation::Service;
use std::collections::BTreeMap;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z, the time of AWS's test suite.
const NOW: i64 = 1_440_938_160;

fn signer() -> Signer<'static> {
    Signer {
        access_key_id: ID,
        secret_access_key: SECRET,
        session_token: None,
        region: "us-east-1",
        service: "service",
    }
}

fn secrets() -> BTreeMap<String, String> {
    BTreeMap::from([(ID.to_owned(), SECRET.to_owned())])
}

fn request(method: &'static str, target: &str) -> ClientRequest {
    ClientRequest { method, target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
}

fn check(request: &ClientRequest, now: i64) -> Result<Principal, AuthError> {
    let http =
        HttpRequest { method: request.method, target: &request.target, headers: &request.headers, body: &request.body };
    verify(&http, now, Some("service"), &secrets(), &mut KeyCache::default())
}

/// The published signatures of AWS's SigV4 test suite come out, and verify.
#[test]
fn published_vectors() {
    for (method, target, signature) in [
        ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ] {
        let mut request = request(method, target);
        signer().sign(&mut request, "example.amazonaws.com", NOW);
        let authorization = &request.headers.last().expect("signed").1;
        assert!(authorization.ends_with(signature), "{method} {target}: {authorization}");
        assert_eq!(check(&request, NOW).expect("verifies").access_key_id, ID);
    }
}

/// IAM User Guide's ListUsers example, with a signed content type.
#[test]
fn documented_example() {
    let mut request = request("GET", "/?Action=ListUsers&Version=2010-05-08");
    request.headers.push(("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned()));
    let signer = Signer { service: "iam", ..signer() };
    signer.sign(&mut request, "iam.amazonaws.com", NOW);
    let authorization = &request.headers.last().expect("signed").1;
    assert!(
        authorization.ends_with("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"),
        "{authorization}"
    );
}

/// Whatever is changed after signing is noticed; the clock may be 15 minutes off.
#[test]
fn changes_are_noticed() {
    let mut good = request("POST", "/service/X/operation/Y?b=2&a=%20x");
    good.body = b"body".to_vec();
    good.headers.push(("x-amz-target", "A  B".to_owned()));
    signer().sign(&mut good, "localhost:4599", NOW);
    assert!(check(&good, NOW).is_ok());
    assert!(check(&good, NOW + SKEW_SECS_MAX).is_ok());
    assert!(matches!(check(&good, NOW + SKEW_SECS_MAX + 1), Err(AuthError::Expired(_))));
    assert!(matches!(check(&good, NOW - SKEW_SECS_MAX - 1), Err(AuthError::Expired(_))));

    let mut body = good.clone();
    body.body.push(b'!');
    let mut target = good.clone();
    target.target.push('x');
    let mut header = good.clone();
    header.headers[0].1.push('x');
    for changed in [body, target, header] {
        assert!(matches!(check(&changed, NOW), Err(AuthError::Mismatch(_))));
    }
    let mut stated = good.clone();
    stated.headers.push(("x-amz-content-sha256", "UNSIGNED-PAYLOAD".to_owned()));
    assert!(matches!(check(&stated, NOW), Err(AuthError::Mismatch(_))));
}

/// Each failure has AWS's code for the protocol.
#[test]
fn codes_by_protocol() {
    let form = |protocol, service| ReplyForm { protocol, service: Some(service), query_mode: false };
    let ec2 = form(Protocol::Ec2, Service::Ec2);
    let query = form(Protocol::Query, Service::Sts);
    let json = form(Protocol::Json11, Service::Ssm);
    for (error, expected) in [
        (
            AuthError::Missing,
            [
                "MissingAuthenticationToken 403",
                "MissingAuthenticationToken 403",
                "MissingAuthenticationTokenException 403",
            ],
        ),
        (
            AuthError::Incomplete(String::new()),
            ["IncompleteSignature 400", "IncompleteSignature 400", "IncompleteSignatureException 400"],
        ),
        (AuthError::UnknownKey, ["AuthFailure 401", "InvalidClientTokenId 403", "UnrecognizedClientException 400"]),
        (
            AuthError::Expired(String::new()),
            ["RequestExpired 400", "SignatureDoesNotMatch 403", "InvalidSignatureException 400"],
        ),
        (
            AuthError::Mismatch(String::new()),
            ["SignatureDoesNotMatch 403", "SignatureDoesNotMatch 403", "InvalidSignatureException 400"],
        ),
    ] {
        for (form, text) in [ec2, query, json].into_iter().zip(expected) {
            let error = error.clone().into_error(form);
            assert_eq!(format!("{} {}", error.code, error.status), text);
        }
    }
}

/// Presigned requests verify until they expire, and not with another query.
#[test]
fn presigned() {
    let base = format!(
        "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={ID}%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    );
    let headers = [("host", "localhost")];
    let scope = Scope { date: "20150830", region: "us-east-1", service: "service" };
    let canonical = canonical_request("GET", &base, &["host"], &&headers[..], &hex(&Sha256::digest(b"")));
    let signature = signature(&derive_key(SECRET, &scope), "20150830T123600Z", &scope, &canonical);
    let verify_at = |target: &str, now| {
        let http = HttpRequest { method: "GET", target, headers: &&headers[..], body: b"" };
        verify(&http, now, None, &secrets(), &mut KeyCache::default())
    };
    let good = format!("{base}&X-Amz-Signature={signature}");
    assert!(verify_at(&good, NOW + 60).is_ok());
    assert!(matches!(verify_at(&good, NOW + 61), Err(AuthError::Expired(_))));
    assert!(matches!(verify_at(&format!("{good}&x=1"), NOW), Err(AuthError::Mismatch(_))));
    assert_eq!(
        verify_at(&base, NOW).err(),
        Some(AuthError::Incomplete("AWS query-string parameters must include 'X-Amz-Signature'.".to_owned()))
    );
    assert_eq!(verify_at("/", NOW), Err(AuthError::Missing));
}
