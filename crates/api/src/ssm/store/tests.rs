//! Parameter Store through its operations.

use crate::testing::{Lab, ask};
use elastane_engine::row::{EncryptionKey, Parameter};
use elastane_engine::{Config, Entropy};
use elastane_wire::ssm as wire;

fn lab() -> Lab {
    Lab::with(Config { entropy: Some(Entropy::new([7; 32])), ..Config::default() })
}

fn some(text: &str) -> Option<String> {
    Some(text.to_string())
}

fn put(name: &str, kind: &str, value: &str) -> wire::PutParameterRequest {
    wire::PutParameterRequest { name: some(name), r#type: some(kind), value: some(value), ..Default::default() }
}

fn get(lab: &mut Lab, name: &str, decrypted: bool) -> Result<wire::Parameter, String> {
    let input = wire::GetParameterRequest { name: some(name), with_decryption: Some(decrypted) };
    let got = ask!(lab, SsmGetParameter, input);
    got.map(|got| got.parameter.expect("a parameter")).map_err(|err| err.code.to_string())
}

fn code<T: std::fmt::Debug>(result: Result<T, elastane_wire::ApiError>) -> String {
    result.expect_err("it is refused").code.to_string()
}

/// Versions grow with Overwrite and not without; each is had by its number, and the newest without one.
#[test]
fn versions() {
    let mut lab = lab();
    assert_eq!(ask!(lab, SsmPutParameter, put("/app/url", "String", "a")).expect("made").version, Some(1));
    assert_eq!(code(ask!(lab, SsmPutParameter, put("/app/url", "String", "b"))), "ParameterAlreadyExists");
    let again = wire::PutParameterRequest { overwrite: Some(true), ..put("/app/url", "String", "b") };
    assert_eq!(ask!(lab, SsmPutParameter, again).expect("a new version").version, Some(2));
    let arn = "arn:aws:ssm:us-east-1:000000000000:parameter/app/url";
    for (name, want) in [
        ("/app/url", Ok("b")),
        ("/app/url:1", Ok("a")),
        ("/app/url:2", Ok("b")),
        (arn, Ok("b")),
        ("/app/url:3", Err("ParameterVersionNotFound")),
        ("/app/other", Err("ParameterNotFound")),
        ("app/url", Err("ParameterNotFound")),
    ] {
        let got = get(&mut lab, name, false).map(|got| got.value.expect("a value"));
        assert_eq!(got, want.map(str::to_string).map_err(str::to_string), "{name}");
    }
    let shown = get(&mut lab, "/app/url", false).expect("there");
    assert_eq!((shown.arn.as_deref(), shown.version, shown.data_type.as_deref()), (Some(arn), Some(2), Some("text")));
    let history =
        wire::GetParameterHistoryRequest { name: some("/app/url"), max_results: Some(1), ..Default::default() };
    let history = ask!(lab, SsmGetParameterHistory, history).expect("there");
    assert_eq!((history.parameters[0].version, history.next_token.is_some()), (Some(1), true));
}

/// A SecureString is sealed in its row, and opened for those who ask for it; AWS's own key is made for it.
#[test]
fn secure_strings() {
    let mut lab = lab();
    ask!(lab, SsmPutParameter, put("/app/password", "SecureString", "hunter2")).expect("made");
    assert!(!format!("{:?}", lab.rows::<Parameter>()).contains("hunter2"));
    assert_eq!(lab.rows::<EncryptionKey>()[0].service.as_deref(), Some("ssm"));
    let sealed = get(&mut lab, "/app/password", false).expect("there").value;
    assert_ne!(sealed.as_deref(), Some("hunter2"));
    assert_eq!(get(&mut lab, "/app/password", true).expect("there").value.as_deref(), Some("hunter2"));
    let unknown = wire::PutParameterRequest { key_id: some("alias/none"), ..put("/app/b", "SecureString", "x") };
    assert_eq!(code(ask!(lab, SsmPutParameter, unknown)), "InvalidKeyId");
}

/// What PutParameter refuses, rule by rule.
#[test]
fn refused_parameters() {
    let mut lab = lab();
    let pattern = |pattern: &str, value: &str| wire::PutParameterRequest {
        allowed_pattern: some(pattern),
        ..put("p", "String", value)
    };
    let tier = |tier: &str, bytes: usize| wire::PutParameterRequest {
        tier: some(tier),
        ..put("t", "String", &"x".repeat(bytes))
    };
    for (input, want) in [
        (put("a b", "String", "x"), "ValidationException"),
        (put("a/b", "String", "x"), "ValidationException"),
        (put("/aws/x", "String", "x"), "ValidationException"),
        (put("ssm-x", "String", "x"), "ValidationException"),
        (put(&"/a".repeat(16), "String", "x"), "HierarchyLevelLimitExceededException"),
        (put("a", "Number", "1"), "UnsupportedParameterType"),
        (put("a", "String", ""), "ValidationException"),
        (pattern("[0-9]+", "x1"), "ParameterPatternMismatchException"),
        (pattern("[", "x"), "InvalidAllowedPatternException"),
        (tier("Standard", 4_097), "ValidationException"),
        (tier("Advanced", 8_193), "ValidationException"),
        (wire::PutParameterRequest { policies: some("[]"), ..put("a", "String", "x") }, "ValidationException"),
        (wire::PutParameterRequest { key_id: some("k"), ..put("a", "String", "x") }, "ValidationException"),
        (wire::PutParameterRequest { r#type: None, ..put("a", "String", "x") }, "ValidationException"),
    ] {
        assert_eq!(code(ask!(lab, SsmPutParameter, input.clone())), want, "{input:?}");
    }
    assert!(lab.rows::<Parameter>().is_empty());
    for input in [pattern("[0-9]+", "12"), tier("Advanced", 8_192), put(&"/a".repeat(15), "StringList", "x,y")] {
        ask!(lab, SsmPutParameter, input).expect("allowed");
    }
}

/// A path has the next level, or all; the public names are below theirs; pages follow each other.
#[test]
fn paths() {
    let mut lab = lab();
    for name in ["/app/a", "/app/b", "/app/deep/c", "/other/d", "bare"] {
        ask!(lab, SsmPutParameter, put(name, "String", "x")).expect("made");
    }
    let names = |lab: &mut Lab, path: &str, recursive| {
        let input =
            wire::GetParametersByPathRequest { path: some(path), recursive: Some(recursive), ..Default::default() };
        let found = ask!(lab, SsmGetParametersByPath, input).expect("listed").parameters;
        found.into_iter().filter_map(|one| one.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut lab, "/app", false), ["/app/a", "/app/b"]);
    assert_eq!(names(&mut lab, "/app/", true), ["/app/a", "/app/b", "/app/deep/c"]);
    assert!(!names(&mut lab, "/aws/service/debian/release/12/latest", false).is_empty());
    let input = wire::GetParametersByPathRequest { path: some("/app"), max_results: Some(1), ..Default::default() };
    let first = ask!(lab, SsmGetParametersByPath, input.clone()).expect("a page");
    let second = wire::GetParametersByPathRequest { next_token: first.next_token, ..input };
    let second = ask!(lab, SsmGetParametersByPath, second).expect("a page");
    assert_eq!(second.parameters[0].name.as_deref(), Some("/app/b"));
}

/// A label is on one version, is a selector, and moves.
#[test]
fn labels_move() {
    let mut lab = lab();
    ask!(lab, SsmPutParameter, put("a", "String", "1")).expect("made");
    let again = wire::PutParameterRequest { overwrite: Some(true), ..put("a", "String", "2") };
    ask!(lab, SsmPutParameter, again).expect("a new version");
    let label = |number, labels: &[&str]| wire::LabelParameterVersionRequest {
        name: some("a"),
        parameter_version: number,
        labels: labels.iter().map(|label| label.to_string()).collect(),
    };
    let done = ask!(lab, SsmLabelParameterVersion, label(Some(1), &["prod", "1st"])).expect("labelled");
    assert_eq!((done.invalid_labels, done.parameter_version), (vec!["1st".to_string()], Some(1)));
    assert_eq!(get(&mut lab, "a:prod", false).expect("there").value.as_deref(), Some("1"));
    ask!(lab, SsmLabelParameterVersion, label(None, &["prod"])).expect("moved");
    let moved = get(&mut lab, "a:prod", false).expect("there");
    assert_eq!((moved.value.as_deref(), moved.selector.as_deref()), (Some("2"), Some(":prod")));
    assert_eq!(code(ask!(lab, SsmLabelParameterVersion, label(Some(9), &["x"]))), "ParameterVersionNotFound");
    let remove = wire::UnlabelParameterVersionRequest {
        name: some("a"),
        parameter_version: Some(2),
        labels: vec!["prod".to_string(), "none".to_string()],
    };
    let removed = ask!(lab, SsmUnlabelParameterVersion, remove).expect("removed");
    assert_eq!((removed.removed_labels, removed.invalid_labels), (vec!["prod".to_string()], vec!["none".to_string()]));
    assert_eq!(get(&mut lab, "a:prod", false).expect_err("gone"), "ParameterVersionNotFound");
}

/// DescribeParameters by each filter; tags; deletions.
#[test]
fn listing_and_deleting() {
    let mut lab = lab();
    for (name, kind) in [("/app/a", "String"), ("/app/b", "SecureString"), ("c", "StringList")] {
        let tags = vec![wire::Tag { key: some("team"), value: some(name) }];
        ask!(lab, SsmPutParameter, wire::PutParameterRequest { tags, ..put(name, kind, "x") }).expect("made");
    }
    let filter = |key: &str, option: Option<&str>, value: &str| wire::ParameterStringFilter {
        key: some(key),
        option: option.map(str::to_string),
        values: vec![value.to_string()],
    };
    let mut names = |filter: wire::ParameterStringFilter| {
        let input = wire::DescribeParametersRequest { parameter_filters: vec![filter], ..Default::default() };
        let found = ask!(lab, SsmDescribeParameters, input).map_err(|err| err.code.to_string())?;
        Ok(found.parameters.into_iter().filter_map(|one| one.name).collect::<Vec<_>>().join(" "))
    };
    for (filter, want) in [
        (filter("Name", None, "c"), Ok("c")),
        (filter("Name", Some("BeginsWith"), "/app"), Ok("/app/a /app/b")),
        (filter("Name", Some("Contains"), "b"), Ok("/app/b")),
        (filter("Path", None, "/app"), Ok("/app/a /app/b")),
        (filter("Type", None, "SecureString"), Ok("/app/b")),
        (filter("KeyId", None, "alias/aws/ssm"), Ok("/app/b")),
        (filter("Tier", None, "Standard"), Ok("/app/a /app/b c")),
        (filter("tag:team", None, "c"), Ok("c")),
        (filter("Size", None, "1"), Err("InvalidFilterKey")),
        (filter("Type", Some("Contains"), "x"), Err("InvalidFilterOption")),
    ] {
        let named = format!("{filter:?}");
        assert_eq!(names(filter), want.map(str::to_string).map_err(str::to_string), "{named}");
    }
    let list = |id: &str| wire::ListTagsForResourceRequest { resource_type: some("Parameter"), resource_id: some(id) };
    assert_eq!(ask!(lab, SsmListTagsForResource, list("c")).expect("listed").tag_list.len(), 1);
    assert_eq!(code(ask!(lab, SsmListTagsForResource, list("none"))), "InvalidResourceId");
    let names = vec!["c".to_string(), "none".to_string()];
    let deleted = ask!(lab, SsmDeleteParameters, wire::DeleteParametersRequest { names }).expect("deleted");
    assert_eq!(
        (deleted.deleted_parameters, deleted.invalid_parameters),
        (vec!["c".to_string()], vec!["none".to_string()])
    );
    assert_eq!(
        code(ask!(lab, SsmDeleteParameter, wire::DeleteParameterRequest { name: some("c") })),
        "ParameterNotFound"
    );
}
