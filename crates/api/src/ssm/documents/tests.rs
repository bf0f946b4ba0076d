//! Documents against a real engine.

use crate::testing::{Lab, ask};
use elastane_domain::machine::{CommandStep, OnFailure};
use elastane_domain::time::Span;
use elastane_engine::row::{Command, Session};
use elastane_engine::{Config, Entropy, Scope};
use elastane_wire::{ApiError, ssm as wire};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn text(text: &str) -> Option<String> {
    Some(text.to_string())
}

fn greeting(step: &str) -> Value {
    json!({
        "schemaVersion": "2.2",
        "description": "Says hello.",
        "parameters": {
            "who": { "type": "String", "default": "world", "allowedPattern": "[a-z]+" },
            "lines": { "type": "StringList", "default": ["true"] },
            "timeout": { "type": "Integer", "default": 60 },
        },
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": step,
                "precondition": { "StringEquals": ["platformType", "Linux"] },
                "inputs": {
                    "runCommand": ["echo hello {{ who }}", "{{ lines }}"],
                    "workingDirectory": "/tmp/{{ who }}",
                    "timeoutSeconds": "{{ timeout }}",
                    "onFailure": "exit",
                },
            },
            {
                "action": "aws:runShellScript",
                "name": "windows",
                "precondition": { "StringEquals": ["platformType", "Windows"] },
                "inputs": { "runCommand": ["dir"] },
            },
            {
                "action": "aws:runShellScript",
                "name": "last",
                "inputs": { "runCommand": "{{ lines }}", "finallyStep": true },
            },
        ],
    })
}

fn new(name: &str, content: &str) -> wire::CreateDocumentRequest {
    wire::CreateDocumentRequest { name: text(name), content: text(content), ..Default::default() }
}

fn create(lab: &mut Lab, name: &str, content: &Value) -> wire::DocumentDescription {
    let created = ask!(lab, SsmCreateDocument, new(name, &content.to_string())).expect("a good document");
    created.document_description.expect("a description")
}

fn describe(lab: &mut Lab, name: &str, version: Option<&str>) -> Result<wire::DocumentDescription, ApiError> {
    let input = wire::DescribeDocumentRequest {
        name: text(name),
        document_version: version.map(str::to_string),
        ..Default::default()
    };
    ask!(lab, SsmDescribeDocument, input).map(|answer| answer.document.expect("a document"))
}

fn update(lab: &mut Lab, name: &str, content: &Value, version: &str) -> Result<wire::DocumentDescription, ApiError> {
    let input = wire::UpdateDocumentRequest {
        name: text(name),
        content: text(&content.to_string()),
        document_version: text(version),
        ..Default::default()
    };
    ask!(lab, SsmUpdateDocument, input).map(|answer| answer.document_description.expect("a description"))
}

fn delete(lab: &mut Lab, name: &str, version: Option<&str>) -> Result<(), ApiError> {
    let document_version = version.map(str::to_string);
    let input = wire::DeleteDocumentRequest { name: text(name), document_version, ..Default::default() };
    ask!(lab, SsmDeleteDocument, input).map(drop)
}

/// A document from its making to its end, with versions, the default one, and what is refused.
#[test]
fn a_document_and_its_versions() {
    let mut lab = Lab::new();
    let made = create(&mut lab, "greet", &greeting("hello"));
    let shown = |one: &wire::DocumentDescription| {
        [&one.document_version, &one.default_version, &one.latest_version].map(|text| text.clone().expect("a number"))
    };
    assert_eq!(shown(&made), ["1", "1", "1"]);
    assert_eq!((made.status.as_deref(), made.document_type.as_deref()), (Some("Active"), Some("Command")));
    assert_eq!(made.owner.as_deref(), Some("000000000000"));
    assert_eq!(made.schema_version.as_deref(), Some("2.2"));
    let parameters: Vec<_> = made.parameters.iter().map(|one| one.default_value.clone().expect("a default")).collect();
    assert_eq!(parameters, ["[\"true\"]", "60", "world"]);
    let same = update(&mut lab, "greet", &greeting("hello"), "1").expect_err("the same");
    assert_eq!(same.code, "DuplicateDocumentContent");
    let second = update(&mut lab, "greet", &greeting("again"), "$LATEST").expect("another");
    assert_eq!(shown(&second), ["2", "1", "2"]);
    let old = update(&mut lab, "greet", &greeting("third"), "1").expect_err("not the latest");
    assert_eq!(old.code, "InvalidDocumentVersion");
    assert_eq!(shown(&describe(&mut lab, "greet", None).expect("there")), ["1", "1", "2"]);
    assert_ne!(second.hash, made.hash);
    let input = wire::UpdateDocumentDefaultVersionRequest { name: text("greet"), document_version: text("2") };
    ask!(lab, SsmUpdateDocumentDefaultVersion, input).expect("there");
    assert_eq!(shown(&describe(&mut lab, "greet", None).expect("there")), ["2", "2", "2"]);
    assert_eq!(delete(&mut lab, "greet", Some("2")).expect_err("the default").code, "InvalidDocumentOperation");
    delete(&mut lab, "greet", Some("1")).expect("not the default");
    assert_eq!(describe(&mut lab, "greet", Some("1")).expect_err("gone").code, "InvalidDocumentVersion");
    let again = ask!(lab, SsmCreateDocument, new("greet", &greeting("hello").to_string())).expect_err("there");
    assert_eq!(again.code, "DocumentAlreadyExists");
    delete(&mut lab, "greet", None).expect("there");
    let gone = describe(&mut lab, "greet", None).expect_err("gone");
    assert_eq!(gone.code, "InvalidDocument");
    assert!(gone.message.contains("does not exist"), "{}", gone.message);
}

/// Defaults that refer to Parameter Store are replaced when a command is sent and nothing else is given, and then checked
/// as what is given is; preferences of sessions refer to nothing.
#[test]
fn defaults_that_refer_to_parameter_store() {
    let mut lab = Lab::new();
    let instance = lab.running(1).remove(0).to_string();
    for (name, kind, value) in [("/who", "String", "moon"), ("bad", "String", "No"), ("list", "StringList", "a,b")] {
        let input = wire::PutParameterRequest {
            name: text(name),
            r#type: text(kind),
            value: text(value),
            ..Default::default()
        };
        ask!(lab, SsmPutParameter, input).expect("a parameter");
    }
    let content = |who: &str| {
        let mut content = greeting("hello");
        content["parameters"]["who"]["default"] = json!(who);
        content["parameters"]["lines"]["default"] = json!(["{{ssm:list}}", "c"]);
        content
    };
    create(&mut lab, "fine", &content("{{ssm:/who:1}}"));
    create(&mut lab, "refused", &content("{{ssm:bad}}"));
    for (document, given, want) in [
        ("fine", None, Ok("echo hello moon\na\nb\nc")),
        ("fine", Some("mars"), Ok("echo hello mars\na\nb\nc")),
        ("fine", Some("{{ssm:/none}}"), Err("Input contains invalid parameters [/none]")),
        ("refused", None, Err("The parameter 'who' does not match its allowedPattern")),
        ("refused", Some("{{ssm:/who}}"), Ok("echo hello moon\na\nb\nc")),
    ] {
        let given = given.map(|given| ("who".to_string(), vec![given.to_string()]));
        let input = wire::SendCommandRequest {
            document_name: text(document),
            instance_ids: vec![instance.clone()],
            parameters: given.into_iter().collect(),
            ..Default::default()
        };
        let sent = ask!(lab, SsmSendCommand, input).map(|sent| sent.command.expect("a command"));
        let script = sent.map(|sent| {
            let id = sent.command_id.expect("an id");
            lab.view().get::<Command>(&id).expect("a row").steps[0].script.clone()
        });
        assert_eq!(script.map_err(|err| err.message), want.map(str::to_string).map_err(str::to_string), "{document}");
    }
}

/// Contents that are refused, each for one thing.
#[test]
fn contents_are_refused() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut content = greeting("hello");
        change(&mut content);
        content.to_string()
    };
    let invalid = "InvalidDocumentContent";
    for (code, content) in [
        (invalid, "{".to_string()),
        (invalid, "[]".to_string()),
        ("InvalidDocumentSchemaVersion", with(&|content| content["schemaVersion"] = json!("0.3"))),
        (invalid, with(&|content| content["outputs"] = json!([]))),
        (invalid, with(&|content| content["mainSteps"] = json!([]))),
        (invalid, with(&|content| content["mainSteps"][0]["action"] = json!("aws:runPowerShellScript"))),
        (invalid, with(&|content| content["mainSteps"][0]["inputs"]["runCommand"] = json!("date"))),
        (invalid, with(&|content| content["mainSteps"][0]["inputs"]["runCommand"] = json!(["{{ nobody }}"]))),
        (invalid, with(&|content| content["mainSteps"][0]["inputs"]["finallyStep"] = json!(true))),
        (invalid, with(&|content| content["mainSteps"][0]["inputs"]["onFailure"] = json!("retry"))),
        (invalid, with(&|content| content["mainSteps"][0]["timeout"] = json!(3))),
        (invalid, with(&|content| content["mainSteps"][1]["name"] = json!("hello"))),
        (invalid, with(&|content| content["mainSteps"][1]["precondition"] = json!({ "StringEquals": ["x"] }))),
        ("MaxDocumentSizeExceeded", with(&|content| content["description"] = json!("x".repeat(65_536)))),
    ] {
        let mut lab = Lab::new();
        let err = ask!(lab, SsmCreateDocument, new("greet", &content)).expect_err(&content);
        assert_eq!(err.code, code, "{} for {content}", err.message);
    }
    let good = greeting("hello").to_string();
    for (code, input) in [
        ("ValidationException", new("aws-greet", &good)),
        ("ValidationException", new("g t", &good)),
        (
            "ValidationException",
            wire::CreateDocumentRequest { document_type: text("Automation"), ..new("greet", &good) },
        ),
        ("ValidationException", wire::CreateDocumentRequest { document_format: text("TEXT"), ..new("greet", &good) }),
        (
            "InvalidDocumentSchemaVersion",
            wire::CreateDocumentRequest { document_type: text("Session"), ..new("greet", &good) },
        ),
    ] {
        let mut lab = Lab::new();
        let shown = format!("{input:?}");
        assert_eq!(ask!(lab, SsmCreateDocument, input).expect_err(&shown).code, code, "{shown}");
    }
}

/// What a document makes of its parameters is what the command runs.
#[test]
fn a_document_is_run() {
    let mut lab = Lab::new();
    create(&mut lab, "greet", &greeting("hello"));
    let id = lab.running(1).remove(0);
    let send = |lab: &mut Lab, parameters: &[(&str, &[&str])]| {
        let values = |values: &[&str]| values.iter().map(|value| value.to_string()).collect();
        let parameters = parameters.iter().map(|(name, list)| (name.to_string(), values(list)));
        let input = wire::SendCommandRequest {
            document_name: text("greet"),
            instance_ids: vec![id.to_string()],
            parameters: parameters.collect(),
            ..Default::default()
        };
        ask!(lab, SsmSendCommand, input).map(|answer| answer.command.expect("a command").command_id.expect("an id"))
    };
    let refused = send(&mut lab, &[("who", &["; rm"])]).expect_err("the pattern");
    assert_eq!(refused.code, "InvalidParameters");
    let command = send(&mut lab, &[("who", &["you"]), ("lines", &["a", "b"]), ("timeout", &["7"])]).expect("good");
    let rows = lab.rows::<Command>();
    let row = rows.iter().find(|row| row.id.as_str() == command).expect("a row");
    let windows =
        CommandStep { name: "windows".into(), script: "dir".into(), timeout_secs: 3600, ..Default::default() };
    let want = [
        CommandStep {
            name: "hello".into(),
            script: "echo hello you\na\nb".into(),
            directory: "/tmp/you".into(),
            timeout_secs: 7,
            on_failure: OnFailure::Exit,
            ..Default::default()
        },
        CommandStep { skipped: true, ..windows },
        CommandStep {
            name: "last".into(),
            script: "a\nb".into(),
            timeout_secs: 3600,
            runs_anyway: true,
            ..Default::default()
        },
    ];
    assert_eq!(row.steps, want);
    assert_eq!(row.execution_timeout_secs(), 3607);
}

/// YAML says the same, and is given back as JSON unless YAML is asked for.
#[test]
fn documents_in_yaml() {
    let mut lab = Lab::new();
    let content = "schemaVersion: '2.2'\nmainSteps:\n- action: aws:runShellScript\n  name: say\n  inputs:\n    \
                   timeoutSeconds: 5\n    runCommand:\n    - |\n      echo a\n      echo b\n    - echo c\n";
    let input = wire::CreateDocumentRequest { document_format: text("YAML"), ..new("greet", content) };
    ask!(lab, SsmCreateDocument, input).expect("a good document");
    let get = |lab: &mut Lab, format: Option<&str>| {
        let document_format = format.map(str::to_string);
        let input = wire::GetDocumentRequest { name: text("greet"), document_format, ..Default::default() };
        ask!(lab, SsmGetDocument, input).expect("there").content.expect("a content")
    };
    assert_eq!(get(&mut lab, Some("YAML")), content);
    let read: Value = serde_json::from_str(&get(&mut lab, None)).expect("JSON");
    assert_eq!(read["mainSteps"][0]["inputs"]["runCommand"][0], json!("echo a\necho b\n"));
    assert_eq!(describe(&mut lab, "greet", None).expect("there").document_format.as_deref(), Some("YAML"));
}

/// Lists by filter: the account's own and AWS's.
#[test]
fn documents_are_listed() {
    let mut lab = Lab::new();
    create(&mut lab, "greet", &greeting("hello"));
    create(&mut lab, "greetings", &greeting("hello"));
    let list = |lab: &mut Lab, key: &str, value: &str| {
        let filters = vec![wire::DocumentKeyValuesFilter { key: text(key), values: vec![value.to_string()] }];
        let input = wire::ListDocumentsRequest { filters, ..Default::default() };
        let found = ask!(lab, SsmListDocuments, input)?;
        Ok::<_, ApiError>(found.document_identifiers.into_iter().filter_map(|one| one.name).collect::<Vec<_>>())
    };
    assert_eq!(list(&mut lab, "Owner", "Self").expect("known"), ["greet", "greetings"]);
    assert_eq!(list(&mut lab, "Name", "greeti").expect("known"), ["greetings"]);
    let command = list(&mut lab, "DocumentType", "Command").expect("known");
    assert_eq!(command, ["AWS-RunShellScript", "greet", "greetings"]);
    let sessions = list(&mut lab, "DocumentType", "Session").expect("known");
    assert!(sessions.contains(&"AWS-StartSSHSession".to_string()), "{sessions:?}");
    assert_eq!(list(&mut lab, "Colour", "red").expect_err("unknown").code, "InvalidFilterKey");
    // Each that is listed is described, and given back.
    for name in command.iter().chain(&sessions) {
        describe(&mut lab, name, None).expect(name);
        let input = wire::GetDocumentRequest { name: text(name), ..Default::default() };
        let content = ask!(lab, SsmGetDocument, input).expect(name).content.expect("a content");
        serde_json::from_str::<Value>(&content).expect(name);
    }
    let input = wire::ListDocumentVersionsRequest { name: text("greet"), ..Default::default() };
    let versions = ask!(lab, SsmListDocumentVersions, input).expect("there").document_versions;
    assert_eq!(versions[0].is_default_version, Some(true));
    assert_eq!(delete(&mut lab, "AWS-RunShellScript", None).expect_err("AWS's").code, "InvalidDocumentOperation");
}

/// Another account uses what is shared with it, the version that is shared, and nothing else.
#[test]
fn documents_are_shared() {
    let mut lab = Lab::new();
    create(&mut lab, "greet", &greeting("hello"));
    let modify = |lab: &mut Lab, add: &[&str], remove: &[&str]| {
        let ids = |ids: &[&str]| ids.iter().map(|id| id.to_string()).collect();
        let input = wire::ModifyDocumentPermissionRequest {
            name: text("greet"),
            permission_type: text("Share"),
            account_ids_to_add: ids(add),
            account_ids_to_remove: ids(remove),
            shared_document_version: None,
        };
        ask!(lab, SsmModifyDocumentPermission, input)
    };
    let arn = "arn:aws:ssm:us-east-1:000000000000:document/greet";
    let elsewhere = |lab: &mut Lab, version: Option<&str>| {
        let own = std::mem::replace(&mut lab.scope, Scope::new("111111111111", "us-east-1"));
        lab.change(|_| ());
        let found = describe(lab, arn, version);
        lab.scope = own;
        found
    };
    assert_eq!(elsewhere(&mut lab, None).expect_err("not shared").code, "InvalidDocument");
    modify(&mut lab, &["111111111111"], &[]).expect("an account");
    assert_eq!(elsewhere(&mut lab, None).expect("shared").owner.as_deref(), Some("000000000000"));
    update(&mut lab, "greet", &greeting("again"), "1").expect("another");
    assert_eq!(elsewhere(&mut lab, Some("2")).expect_err("not the default").code, "InvalidDocumentVersion");
    let input = wire::DescribeDocumentPermissionRequest {
        name: text("greet"),
        permission_type: text("Share"),
        ..Default::default()
    };
    let shares = ask!(lab, SsmDescribeDocumentPermission, input).expect("there");
    assert_eq!(shares.account_ids, ["111111111111"]);
    assert_eq!(shares.account_sharing_info_list[0].shared_document_version.as_deref(), Some("$DEFAULT"));
    assert_eq!(delete(&mut lab, "greet", None).expect_err("shared").code, "InvalidDocumentOperation");
    assert_eq!(modify(&mut lab, &["someone"], &[]).expect_err("nobody").code, "ValidationException");
    modify(&mut lab, &[], &["111111111111"]).expect("an account");
    delete(&mut lab, "greet", None).expect("not shared any more");
}

/// Tags of documents are kept, shown and taken away.
#[test]
fn documents_have_tags() {
    let mut lab = Lab::new();
    let tag = wire::Tag { key: text("team"), value: text("web") };
    let input = wire::CreateDocumentRequest { tags: vec![tag], ..new("greet", &greeting("hello").to_string()) };
    ask!(lab, SsmCreateDocument, input).expect("a good document");
    let (resource_type, resource_id) = (text("Document"), text("greet"));
    let added = wire::AddTagsToResourceRequest {
        resource_type: resource_type.clone(),
        resource_id: resource_id.clone(),
        tags: vec![wire::Tag { key: text("stage"), value: text("test") }],
    };
    ask!(lab, SsmAddTagsToResource, added).expect("there");
    let removed = wire::RemoveTagsFromResourceRequest {
        resource_type: resource_type.clone(),
        resource_id: resource_id.clone(),
        tag_keys: vec!["team".to_string()],
    };
    ask!(lab, SsmRemoveTagsFromResource, removed).expect("there");
    let listed = wire::ListTagsForResourceRequest { resource_type, resource_id };
    let tags = ask!(lab, SsmListTagsForResource, listed).expect("there").tag_list;
    assert_eq!(tags.iter().map(|tag| tag.key.as_deref()).collect::<Vec<_>>(), [Some("stage")]);
    assert_eq!(describe(&mut lab, "greet", None).expect("there").tags, tags);
}

/// Preferences of sessions are heeded, or refused when they would not be.
#[test]
fn preferences_of_sessions() {
    let content = |inputs: Value| {
        json!({ "schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": inputs }).to_string()
    };
    let session = |name: &str, inputs: Value| wire::CreateDocumentRequest {
        document_type: text("Session"),
        ..new(name, &content(inputs))
    };
    for bad in [
        json!({ "s3BucketName": "logs" }),
        json!({ "runAsEnabled": true }),
        json!({ "idleSessionTimeout": "61" }),
        json!({ "shellProfile": { "linux": "cd /" } }),
        json!({ "colour": "red" }),
    ] {
        let mut lab = Lab::new();
        let err = ask!(lab, SsmCreateDocument, session("mine", bad.clone())).expect_err("refused");
        assert_eq!(err.code, "InvalidDocumentContent", "{bad}");
    }
    let mut lab = Lab::with(Config { entropy: Some(Entropy::new([7; 32])), ..Config::default() });
    let id = lab.running(1).remove(0);
    let inputs = json!({
        "s3BucketName": "", "runAsEnabled": false, "idleSessionTimeout": "5", "maxSessionDuration": "60",
        "shellProfile": { "windows": "date", "linux": "" },
    });
    ask!(lab, SsmCreateDocument, session("SSM-SessionManagerRunShell", inputs)).expect("preferences");
    let input = wire::StartSessionRequest { target: Some(id.to_string()), ..Default::default() };
    ask!(lab, SsmStartSession, input).expect("a session");
    let row = lab.rows::<Session>().remove(0);
    assert_eq!((row.idle_limit, row.duration_max), (Span::from_mins(5), Span::from_mins(60)));
    let parameters = BTreeMap::from([("command".to_string(), vec!["top".to_string()])]);
    let input = wire::StartSessionRequest { target: Some(id.to_string()), parameters, ..Default::default() };
    assert_eq!(ask!(lab, SsmStartSession, input).expect_err("none").code, "InvalidParameters");
}
