//! The public protocol cases against our codecs, on schemas built from the
//! cases' own models: requests as SDKs serialise them are decoded to the
//! given parameters, and answers are decoded and, encoded again by us, still
//! mean the same.
//!
//! PROTOCOL_CASES names the folder with the cases (`cargo xtask test` fetches
//! it); without it the test says that it did nothing.

use crate::dynamic::{Builder, Fields};
use crate::http::HttpRequest;
use crate::identify::Protocol;
use crate::protocol::{Body, decode_body, decode_error, decode_into, encode_body};
use crate::query;
use crate::schema::Shape;
use base64::Engine as _;
use serde_json::{Map, Value as Json};
use std::path::PathBuf;

const FILES: &[(&str, Protocol)] = &[
    ("ec2", Protocol::Ec2),
    ("query", Protocol::Query),
    ("json", Protocol::Json11),
    ("json_1_0", Protocol::Json10),
    ("json_1_0-query-compatible", Protocol::Json10),
    ("smithy-rpc-v2-cbor", Protocol::Cbor),
    ("smithy-rpc-v2-cbor-query-compatible", Protocol::Cbor),
];

/// Cases that cannot hold here: documents are not a type of the implemented
/// services; tokens and constants that a client fills in are not in its
/// parameters; error codes in headers and outside of the body's `__type`.
const SKIPPED: &[&str] = &["InlineDocument", "DocumentType", "IdempotencyTokenAutoFill", "ErrorUsingXAmznErrorType"];

fn skipped(case: &Json) -> bool {
    let id = case["id"].as_str().unwrap_or_default();
    SKIPPED.iter().any(|part| id.contains(part)) && !id.ends_with("IsSet")
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PROTOCOL_CASES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: PROTOCOL_CASES is not set; `cargo xtask test` sets it");
    }
    folder
}

fn suites(folder: &std::path::Path, direction: &str, name: &str) -> Vec<Json> {
    let path = folder.join(direction).join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).expect("the folder has the cases");
    serde_json::from_str(&text).expect("the cases are JSON")
}

/// What is absent, null or empty is the same; small numbers compare in single precision.
fn plain(value: &Json) -> Json {
    match value {
        Json::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), plain(value)))
            .filter(|(_, value)| !matches!(value, Json::Null) && *value != serde_json::json!([]))
            .filter(|(_, value)| value.as_object().is_none_or(|map| !map.is_empty()))
            .collect::<Map<_, _>>()
            .into(),
        Json::Array(list) => list.iter().map(plain).filter(|value| !value.is_null()).collect(),
        Json::Number(number) => {
            let number = number.as_f64().unwrap_or(0.0);
            // Timestamps need all their digits; others may be of single precision.
            let exact = number.abs() > 1e6;
            serde_json::json!(if exact { (number * 1000.0).round() } else { f64::from(number as f32) })
        }
        other => other.clone(),
    }
}

/// Renames members of JSON values that have another name on the wire.
fn renamed(value: &Json, reference: &Json, shapes: &Json, protocol: Protocol) -> Json {
    let shape = &shapes[reference["shape"].as_str().unwrap_or_default()];
    let json = matches!(protocol, Protocol::Json10 | Protocol::Json11);
    match (shape["type"].as_str(), value) {
        (Some("structure"), Json::Object(map)) => map
            .iter()
            .map(|(key, value)| {
                let target = &shape["members"][key];
                let name = target["locationName"].as_str().filter(|_| json).unwrap_or(key);
                (name.to_owned(), renamed(value, target, shapes, protocol))
            })
            .collect::<Map<_, _>>()
            .into(),
        (Some("list"), Json::Array(list)) => {
            list.iter().map(|value| renamed(value, &shape["member"], shapes, protocol)).collect()
        }
        (Some("map"), Json::Object(map)) => map
            .iter()
            .map(|(key, value)| (key.clone(), renamed(value, &shape["value"], shapes, protocol)))
            .collect::<Map<_, _>>()
            .into(),
        _ => value.clone(),
    }
}

fn body(protocol: Protocol, text: &Json) -> Vec<u8> {
    let text = text.as_str().unwrap_or_default();
    if protocol == Protocol::Cbor {
        return base64::engine::general_purpose::STANDARD.decode(text).expect("bodies are base64");
    }
    text.as_bytes().to_vec()
}

/// Requests: decoded as given, and encoded by us they decode to the same again.
#[test]
fn input_cases() {
    let Some(folder) = folder() else { return };
    let (mut passed, mut failed) = (0, Vec::new());
    for &(name, protocol) in FILES {
        for suite in suites(&folder, "input", name) {
            let shapes = &suite["shapes"];
            for case in suite["cases"].as_array().into_iter().flatten() {
                if skipped(case) || case["serialized"]["body"].is_null() {
                    continue;
                }
                match input_case(protocol, shapes, case) {
                    Ok(()) => passed += 1,
                    Err(text) => failed.push(format!("{name} {}: {text}", case["id"])),
                }
            }
        }
    }
    println!("{passed} input cases passed");
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(passed > 100, "only {passed} cases were found");
}

fn decoded(protocol: Protocol, shape: &'static Shape, body: &[u8]) -> Result<Fields, String> {
    let headers: &[(&str, &str)] = &[];
    let request = HttpRequest { method: "POST", target: "/", headers: &headers, body };
    let mut record = Fields::new(shape);
    decode_into(protocol, shape, &request, &mut record).map_err(|err| err.to_string())?;
    Ok(record)
}

fn compare(step: &str, got: &Json, want: &Json) -> Result<(), String> {
    let (got, want) = (plain(got), plain(want));
    if got == want {
        return Ok(());
    }
    Err(format!("{step}\n  got  {got}\n  want {want}"))
}

fn input_case(protocol: Protocol, shapes: &Json, case: &Json) -> Result<(), String> {
    let reference = &case["given"]["input"];
    let shape = Builder::new(shapes, protocol).shape(reference);
    let want = renamed(&case["params"], reference, shapes, protocol);
    let record = decoded(protocol, shape, &body(protocol, &case["serialized"]["body"]))?;
    compare("decoded", &record.to_json(shape), &want)?;
    let again = match protocol {
        Protocol::Ec2 | Protocol::Query => query::encode("X", "Y", shape, &record).into_bytes(),
        _ => encode_body(protocol, &envelope(shape, None), &record, "id"),
    };
    let record = decoded(protocol, shape, &again)?;
    compare("encoded and decoded", &record.to_json(shape), &want)
}

fn envelope<'a>(shape: &'a Shape, result_wrapper: Option<&'a str>) -> Body<'a> {
    Body { name: "X", namespace: "https://example.com/", shape, void: false, result_wrapper }
}

/// Answers: decoded as given, and encoded by us they decode to the same again.
#[test]
fn output_cases() {
    let Some(folder) = folder() else { return };
    let (mut passed, mut failed) = (0, Vec::new());
    for &(name, protocol) in FILES {
        for suite in suites(&folder, "output", name) {
            let shapes = &suite["shapes"];
            for case in suite["cases"].as_array().into_iter().flatten() {
                if skipped(case) || case["response"]["body"].is_null() {
                    continue;
                }
                let done = if case["error"].is_null() && case["errorCode"].is_null() {
                    output_case(protocol, shapes, case)
                } else {
                    error_case(protocol, case)
                };
                match done {
                    Ok(()) => passed += 1,
                    Err(text) => failed.push(format!("{name} {}: {text}", case["id"])),
                }
            }
        }
    }
    println!("{passed} output cases passed");
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(passed > 100, "only {passed} cases were found");
}

fn output_case(protocol: Protocol, shapes: &Json, case: &Json) -> Result<(), String> {
    let reference = &case["given"]["output"];
    let shape = Builder::new(shapes, protocol).shape(reference);
    let operation = case["given"]["name"].as_str().unwrap_or_default();
    let result = format!("{operation}Result");
    let wrapper = (protocol == Protocol::Query).then(|| reference["resultWrapper"].as_str().unwrap_or(&result));
    let want = renamed(&case["result"], reference, shapes, protocol);
    let decode = |body: &[u8]| {
        let mut record = Fields::new(shape);
        decode_body(protocol, shape, wrapper, body, &mut record).map_err(|err| err.to_string())?;
        Ok::<_, String>(record)
    };
    let record = decode(&body(protocol, &case["response"]["body"]))?;
    compare("decoded", &record.to_json(shape), &want)?;
    let again = encode_body(protocol, &envelope(shape, wrapper), &record, "id");
    compare("encoded and decoded", &decode(&again)?.to_json(shape), &want)
}

fn error_case(protocol: Protocol, case: &Json) -> Result<(), String> {
    let body = body(protocol, &case["response"]["body"]);
    let (code, message) = decode_error(protocol, &body).map_err(|err| err.to_string())?;
    let want = case["errorCode"].as_str().unwrap_or_default();
    let shape = case["given"]["errors"][0]["shape"].as_str().unwrap_or_default();
    if code != want && code != shape {
        return Err(format!("code {code}, not {want}"));
    }
    match case["errorMessage"].as_str() {
        Some(text) if text != message => Err(format!("message {message}, not {text}")),
        _ => Ok(()),
    }
}
