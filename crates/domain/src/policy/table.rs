//! The policy tables: what is decided, row by row, grouped by the section of
//! the IAM User Guide that says so. The rows are in `table/*.txt`.
//!
//! Lines of a section name documents: `doc NAME JSON` (one statement, a list
//! of them, or a whole document), `allow NAME ACTIONS RESOURCES` and `deny …`
//! (lists with commas), `if NAME OPERATOR KEY VALUES…` and `deny-if …` (all
//! actions and resources under one condition). Rows follow:
//! `policies | action resource | context | decision`, the second column left
//! out where it does not matter. Policies: the identity's, joined by `+`, or
//! `-`; then `boundary=`, `session=`, `resource=`, `trust=`, `as=`, `must`.
//! Context: `key=value`, twice for two values, `key!` for a key without a
//! value. Decisions: `allow`, `deny SOURCE` (explicit), `none SOURCE`.

use super::*;
use std::collections::BTreeMap;

const OPERATORS: &str = include_str!("table/operators.txt");
const ELEMENTS: &str = include_str!("table/elements.txt");
const EVALUATION: &str = include_str!("table/evaluation.txt");
const GRAMMAR: &str = include_str!("table/grammar.txt");

/// Words, of which some stand in quotation marks.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quotation mark"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

fn quoted(texts: &str) -> String {
    let quoted: Vec<String> = texts.split(',').map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(","))
}

/// The name and the JSON of a line that names a document.
fn named(line: &str) -> Option<(String, String)> {
    let (kind, rest) = line.split_once(' ')?;
    if kind == "doc" {
        let (name, json) = rest.split_once(' ').expect("a name and JSON");
        let whole = json.contains("\"Statement\":");
        let json = if whole { json.to_owned() } else { format!(r#"{{"Version":"2012-10-17","Statement":{json}}}"#) };
        return Some((name.to_owned(), json));
    }
    let effect = if kind.starts_with("deny") { "Deny" } else { "Allow" };
    let words = words(rest);
    let (actions, resources, condition) = match (kind, words.as_slice()) {
        // A resource with a default has commas of its own.
        ("allow" | "deny", [_, actions, one]) if one.contains(['\'']) => {
            (quoted(actions), format!("{one:?}"), String::new())
        }
        ("allow" | "deny", [_, actions, resources]) => (quoted(actions), quoted(resources), String::new()),
        ("if" | "deny-if", [_, operator, key, values @ ..]) => {
            let condition = format!(r#","Condition":{{"{operator}":{{"{key}":{values:?}}}}}"#);
            ("\"*\"".to_owned(), "\"*\"".to_owned(), condition)
        }
        (_, _) => return None,
    };
    let json = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":{actions},"Resource":{resources}{condition}}}}}"#
    );
    Some((words[0].clone(), json))
}

fn context(column: &str) -> Context {
    let mut context = Context::default();
    for word in column.split_whitespace() {
        match (word.split_once('='), word.strip_suffix('!')) {
            (Some((key, value)), _) => context.add(key, value),
            (None, Some(key)) => context.declare(key),
            (None, None) => panic!("no key and value: {word}"),
        }
    }
    context
}

fn caller(name: &str) -> Vec<String> {
    let names: &[&str] = match name {
        "ann" => &["arn:aws:iam::111122223333:user/Ann", "AIDAANN", "111122223333"],
        "session" => &[
            "arn:aws:sts::111122223333:assumed-role/Reader/s1",
            "arn:aws:iam::111122223333:role/Reader",
            "AROAREADER",
            "AROAREADER:s1",
            "111122223333",
        ],
        "role" => &["arn:aws:iam::111122223333:role/Reader", "AROAREADER"],
        "ec2" => &["ec2.amazonaws.com"],
        "root" => &["arn:aws:iam::111122223333:root", "111122223333"],
        "eve" => &["arn:aws:iam::999999999999:user/Eve", "AIDAEVE", "999999999999"],
        "federated" => &["arn:aws:sts::111122223333:federated-user/Ann", "arn:aws:iam::111122223333:user/Ann"],
        other => panic!("nobody is called {other}"),
    };
    names.iter().map(ToString::to_string).collect()
}

fn shown(decision: Decision) -> String {
    match decision {
        Decision::Allowed => "allow".to_owned(),
        Decision::ExplicitDeny(source) => format!("deny {source:?}").to_lowercase(),
        Decision::ImplicitDeny(source) => format!("none {source:?}").to_lowercase(),
    }
}

/// The documents of a section by name.
#[derive(Default)]
struct Section {
    title: String,
    texts: BTreeMap<String, String>,
}

impl Section {
    fn parse(&self, names: &str, grammar: Grammar) -> Vec<Document> {
        let parse = |name: &str| {
            let text = self.texts.get(name).unwrap_or_else(|| panic!("{}: no document {name}", self.title));
            Document::parse(text, grammar).unwrap_or_else(|bad| panic!("{}: {name}: {bad:?}: {text}", self.title))
        };
        names.split('+').filter(|name| !["", "-"].contains(name)).map(parse).collect()
    }

    /// What is decided for a row, and what is wanted.
    fn decide(&self, row: &str) -> (String, String) {
        let columns: Vec<&str> = row.split(" | ").map(str::trim).collect();
        let (asked, values, wanted) = match columns.as_slice() {
            [_, values, wanted] => ("s3:GetObject arn:aws:s3:::box/key", values, wanted),
            [_, asked, values, wanted] => (*asked, values, wanted),
            other => panic!("{}: {row}: {} columns", self.title, other.len()),
        };
        let mut options = columns[0].split(' ');
        let identity = self.parse(options.next().unwrap_or("-"), Grammar::Identity);
        let (mut boundary, mut session, mut resource) = (Vec::new(), Vec::new(), Vec::new());
        let (mut principal, mut must) = (caller("ann"), false);
        for option in options {
            match option.split_once('=') {
                Some(("boundary", name)) => boundary = self.parse(name, Grammar::Identity),
                Some(("session", names)) => session = self.parse(names, Grammar::Identity),
                Some(("resource", name)) => resource = self.parse(name, Grammar::Resource),
                Some(("trust", name)) => resource = self.parse(name, Grammar::Trust),
                Some(("as", name)) => principal = caller(name),
                None if option == "must" => must = true,
                other => panic!("{}: {row}: {other:?}", self.title),
            }
        }
        let (action, on) = asked.split_once(' ').expect("an action and a resource");
        let context = context(values);
        let request = Request { action, resource: on, principal: &principal, context: &context };
        let policies = Policies {
            identity: &identity.iter().collect::<Vec<_>>(),
            boundary: boundary.first(),
            session: &session.iter().collect::<Vec<_>>(),
            resource: resource.first(),
            resource_must_allow: must,
        };
        let decision = decide(&policies, &request);
        assert_eq!(explain(&policies, &request).decision, decision, "explained: {row}");
        (shown(decision), (*wanted).to_owned())
    }
}

/// Runs a table; the number of its rows. Rows that go wrong are shown together.
fn run(table: &str) -> usize {
    let (mut section, mut rows, mut wrong) = (Section::default(), 0, Vec::new());
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        // An empty column has one space between its bars.
        let line = line.replace(" | | ", " |  | ");
        if let Some(title) = line.strip_prefix("## ") {
            section = Section { title: title.to_owned(), texts: BTreeMap::new() };
        } else if let Some((name, json)) = named(&line) {
            section.texts.insert(name, json);
        } else {
            rows += 1;
            let (got, wanted) = section.decide(&line);
            if got != wanted {
                wrong.push(format!("{}: {line}: {got}", section.title));
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    rows
}

/// The rows of all tables of decisions, of which issue 6 asks for at least 300.
#[test]
fn decisions() {
    let rows: usize = [OPERATORS, ELEMENTS, EVALUATION].into_iter().map(run).sum();
    assert!(rows >= 300, "{rows} rows");
}

/// What is accepted, and with which words the rest is refused.
#[test]
fn refusals() {
    let mut wrong = Vec::new();
    for row in GRAMMAR.lines().filter(|line| line.contains(" | ") && !line.starts_with('#')) {
        let columns: Vec<&str> = row.split(" | ").collect();
        let [grammar, document, wanted] = columns.as_slice() else { panic!("{row}") };
        let grammar = match *grammar {
            "identity" => Grammar::Identity,
            "trust" => Grammar::Trust,
            "resource" => Grammar::Resource,
            other => panic!("no grammar {other}"),
        };
        let whole = document.is_empty() || document.starts_with("{\"");
        let text = if whole { (*document).to_owned() } else { format!("{{\"Statement\":{document}}}") };
        let got = Document::parse(&text, grammar).map_or_else(|bad| bad.0, |_| "ok".to_owned());
        if got != *wanted {
            wrong.push(format!("{row}: {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A document that no request can carry is refused before it is read.
#[test]
fn too_long() {
    let filler = " ".repeat(131_072);
    let text = format!(r#"{{"Statement":{{"Effect":"Allow","Action":"*","Resource":"*"}}}}{filler}"#);
    let bad = Document::parse(&text, Grammar::Identity).expect_err("too long");
    assert_eq!(bad.0, "The policy is longer than 131072 bytes.");
    assert_eq!(characters(&text), 60);
}

/// An explanation names the statements that decide and the keys that are missing.
#[test]
fn explanations() {
    let text = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\"Sid\": \"Read\", \"Effect\": \"Allow\", \"Action\": \
                [\"s3:Get*\", \"s3:GetObject\"], \"Resource\": \"*\"},\n    {\"Effect\": \"Allow\", \"Action\": \"s3:*\", \
                \"Resource\": \"arn:aws:s3:::box/${aws:username}\", \"Condition\": {\"IpAddress\": {\"aws:SourceIp\": \
                \"10.0.0.0/8\"}, \"StringEquals\": {\"AWS:SourceIP\": \"${aws:PrincipalTag/Team, 'x'}\"}}},\n    \
                {\"Sid\": \"Not\", \"Effect\": \"Deny\", \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::no\"}]}";
    let document = Document::parse(text, Grammar::Identity).expect("valid");
    assert_eq!(document.context_keys(), ["aws:username", "aws:SourceIp", "aws:PrincipalTag/Team"]);
    let (context, principal) = (Context::default(), caller("ann"));
    let explained = |resource: &str| {
        let request = Request { action: "s3:GetObject", resource, principal: &principal, context: &context };
        explain(&Policies { identity: &[&document], ..Policies::default() }, &request)
    };
    let allowed = explained("arn:aws:s3:::yes");
    assert_eq!(allowed.missing, ["aws:PrincipalTag/Team", "aws:SourceIp", "aws:username"]);
    let [read] = allowed.matched.as_slice() else { panic!("{allowed:?}") };
    assert_eq!((read.source, read.document, read.statement), (Source::Identity, 0, 0));
    assert_eq!((read.sid.as_deref(), read.effect), (Some("Read"), Effect::Allow));
    assert_eq!((read.start, read.end.line), (Position { line: 4, column: 5 }, 4));
    let denied = explained("arn:aws:s3:::no");
    assert_eq!(denied.decision, Decision::ExplicitDeny(Source::Identity));
    let statements: Vec<usize> = denied.matched.iter().map(|matched| matched.statement).collect();
    assert_eq!(statements, [2], "after a denial only what denies");
    assert_eq!(denied.matched[0].start, Position { line: 6, column: 5 });
}

/// The principals of a document are given as they are written, and what it
/// grants by itself as one of five answers.
#[test]
fn principals_and_grants() {
    let text = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::999999999999:user/Eve"],
        "Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"},{"Effect":"Allow","Principal":
        {"AWS":"arn:aws:iam::111122223333:role/Reader"},"Action":"sts:AssumeRole"},
        {"Effect":"Deny","Principal":"*","Action":"sts:TagSession"}]}"#;
    let document = Document::parse(text, Grammar::Trust).expect("valid");
    let names: Vec<String> =
        document.principals().into_iter().map(|name| format!("{:?} {}", name.kind, name.value)).collect();
    let wanted = [
        "Aws 111122223333",
        "Aws arn:aws:iam::999999999999:user/Eve",
        "Service ec2.amazonaws.com",
        "Aws arn:aws:iam::111122223333:role/Reader",
        "Aws *",
    ];
    assert_eq!(names, wanted);
    let context = Context::default();
    for (who, action, wanted) in [
        ("ann", "sts:AssumeRole", Grant::Account),
        ("session", "sts:AssumeRole", Grant::Role),
        ("eve", "sts:AssumeRole", Grant::Direct),
        ("ec2", "sts:AssumeRole", Grant::Direct),
        ("eve", "sts:TagSession", Grant::Denied),
        ("ann", "sts:SetSourceIdentity", Grant::None),
    ] {
        let principal = caller(who);
        let request = Request { action, resource: "*", principal: &principal, context: &context };
        assert_eq!(grant(&document, &request), wanted, "{who} {action}");
    }
}
