//! Rules that hold for every document and request, tried on random ones, and
//! hostile texts. The short run with hostile texts is a part of every test
//! run; the long one, ten million of them, is asked for by `--ignored`, with
//! another seed by `ELASTANE_FUZZ_SEED`.

use super::arn::Arn;
use super::pattern::{Match, Mode, Pattern};
use super::*;

/// Hostile texts in an ordinary run: about a second.
const SHORT_INPUTS: u64 = 10_000;

const LONG_INPUTS: u64 = 10_000_000;

/// Random sets of documents and requests.
const CASES: u64 = 2_000;

/// An xorshift generator: the same cases in every run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len())]
    }
}

const ACTIONS: [&str; 8] =
    ["*", "s3:*", "s3:Get*", "s3:GetObject", "S3:putobject", "ec2:Describe*", "*:*Object", "ec2:RunInstances"];

const RESOURCES: [&str; 8] = [
    "*",
    "arn:aws:s3:::box",
    "arn:aws:s3:::box/*",
    "arn:aws:s3:::box/${aws:username}/*",
    "arn:aws:ec2:*:*:instance/*",
    "arn:aws:s3",
    "arn:aws:s3:::b?x/${aws:PrincipalTag/team, 'none'}",
    "arn:aws:ec2:us-*-1:111122223333:instance/i-?",
];

const CONDITIONS: [&str; 12] = [
    r#""StringEquals":{"aws:username":["Ann","Bob"]}"#,
    r#""StringNotEquals":{"aws:username":"${aws:PrincipalTag/team}"}"#,
    r#""StringLikeIfExists":{"aws:PrincipalTag/team":"b*"}"#,
    r#""ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}"#,
    r#""ForAnyValue:StringNotLike":{"aws:TagKeys":"a*"}"#,
    r#""IpAddress":{"aws:SourceIp":["10.0.0.0/8","::1"]}"#,
    r#""NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#,
    r#""NumericLessThan":{"s3:max-keys":10}"#,
    r#""DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}"#,
    r#""Bool":{"aws:SecureTransport":true}"#,
    r#""Null":{"aws:TagKeys":"true"}"#,
    r#""ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:t?"}"#,
];

const PRINCIPALS: [&str; 6] = [
    r#""*""#,
    r#"{"AWS":"111122223333"}"#,
    r#"{"AWS":"arn:aws:iam::111122223333:user/Ann"}"#,
    r#"{"AWS":["arn:aws:iam::111122223333:role/Reader","AIDAANN"]}"#,
    r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/Reader/s1","Service":"ec2.amazonaws.com"}"#,
    r#"{"Service":"ssm.amazonaws.com"}"#,
];

/// A statement of a grammar.
fn statement(random: &mut Random, effect: &str, grammar: Grammar) -> String {
    let not = |random: &mut Random| if random.one_in(6) { "Not" } else { "" };
    let list = |random: &mut Random, texts: &[&str]| {
        let list: Vec<&str> = (0..=random.below(2)).map(|_| random.of(texts)).collect();
        format!("{list:?}")
    };
    let actions: &[&str] = if grammar == Grammar::Trust { &["sts:AssumeRole", "sts:*"] } else { &ACTIONS };
    let action = format!(r#""{}Action":{}"#, not(random), list(random, actions));
    let mut text = format!(r#"{{"Effect":"{effect}",{action}"#);
    if grammar != Grammar::Trust {
        text += &format!(r#","{}Resource":{}"#, not(random), list(random, &RESOURCES));
    }
    if grammar != Grammar::Identity {
        text += &format!(r#","{}Principal":{}"#, not(random), random.of(&PRINCIPALS));
    }
    if random.one_in(2) {
        text += &format!(r#","Condition":{{{}}}"#, random.of(&CONDITIONS));
    }
    text + "}"
}

fn whole(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn parsed(statements: &[String], grammar: Grammar) -> Document {
    let text = whole(statements);
    Document::parse(&text, grammar).unwrap_or_else(|bad| panic!("{bad:?}: {text}"))
}

/// One to three statements, of which `deny` says whether some may deny.
fn statements(random: &mut Random, deny: bool, grammar: Grammar) -> Vec<String> {
    (0..=random.below(3))
        .map(|_| {
            let effect = if deny && random.one_in(4) { "Deny" } else { "Allow" };
            statement(random, effect, grammar)
        })
        .collect()
}

/// A request's parts.
struct Asked {
    action: &'static str,
    resource: &'static str,
    principal: Vec<String>,
    context: Context,
}

impl Asked {
    fn random(random: &mut Random) -> Asked {
        let action = random.of(&["s3:GetObject", "s3:PutObject", "ec2:RunInstances", "sts:AssumeRole", "x", ""]);
        let resource = random.of(&[
            "*",
            "arn:aws:s3:::box",
            "arn:aws:s3:::box/Ann/a:b",
            "arn:aws:s3:::box/none",
            "arn:aws:ec2:us-east-1:111122223333:instance/i-1",
            "",
        ]);
        let callers: [&[&str]; 4] = [
            &["arn:aws:iam::111122223333:user/Ann", "AIDAANN", "111122223333"],
            &["arn:aws:sts::111122223333:assumed-role/Reader/s1", "arn:aws:iam::111122223333:role/Reader"],
            &["ec2.amazonaws.com"],
            &[],
        ];
        let principal = callers[random.below(callers.len())].iter().map(ToString::to_string).collect();
        let mut context = Context::default();
        for _ in 0..random.below(8) {
            let (key, value) = random
                .of(&[
                    "aws:username=Ann",
                    "aws:PrincipalTag/team=blue",
                    "aws:PrincipalTag/team=*",
                    "aws:TagKeys=a",
                    "aws:TagKeys=c",
                    "aws:SourceIp=10.0.0.1",
                    "aws:SourceIp=::1",
                    "s3:max-keys=5",
                    "aws:CurrentTime=2026-06-01T00:00:00Z",
                    "aws:SecureTransport=true",
                    "aws:SourceArn=arn:aws:sns:r:1:t1",
                ])
                .split_once('=')
                .expect("a value");
            if random.one_in(10) { context.declare(key) } else { context.add(key, value) }
        }
        Asked { action, resource, principal, context }
    }

    fn decide(&self, policies: &Policies<'_>) -> Decision {
        let request = Request {
            action: self.action,
            resource: self.resource,
            principal: &self.principal,
            context: &self.context,
        };
        let decision = decide(policies, &request);
        assert_eq!(explain(policies, &request).decision, decision);
        decision
    }
}

/// More denials never allow, more grants never deny, limits only limit, and
/// neither the order of documents nor how statements are spread over them
/// matters.
#[test]
fn monotone() {
    let mut random = Random::new(6);
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..CASES {
        let asked = Asked::random(&mut random);
        let (texts, limits) =
            (statements(&mut random, true, Grammar::Identity), statements(&mut random, true, Grammar::Identity));
        let resource = parsed(&statements(&mut random, true, Grammar::Resource), Grammar::Resource);
        let identity = parsed(&texts, Grammar::Identity);
        let limit = parsed(&limits, Grammar::Identity);
        let more = parsed(&[statement(&mut random, "Deny", Grammar::Identity)], Grammar::Identity);
        let grants = parsed(&[statement(&mut random, "Allow", Grammar::Identity)], Grammar::Identity);
        let base = Policies { identity: &[&identity], resource: Some(&resource), ..Policies::default() };
        let before = asked.decide(&base);
        allowed += u64::from(before == Decision::Allowed);
        denied += u64::from(matches!(before, Decision::ExplicitDeny(_)));

        let with_deny = asked.decide(&Policies { identity: &[&identity, &more], ..base });
        assert!(with_deny != Decision::Allowed || before == Decision::Allowed, "{texts:?} {more:?}");
        let with_grant = asked.decide(&Policies { identity: &[&grants, &identity], ..base });
        assert!(before != Decision::Allowed || with_grant == Decision::Allowed, "{texts:?} {grants:?}");
        for limited in [
            Policies { boundary: Some(&limit), ..base },
            Policies { session: &[&limit], ..base },
            Policies { resource_must_allow: true, ..base },
        ] {
            assert!(asked.decide(&limited) != Decision::Allowed || before == Decision::Allowed, "{texts:?} {limits:?}");
        }
        let apart: Vec<Document> =
            texts.iter().rev().map(|text| parsed(std::slice::from_ref(text), Grammar::Identity)).collect();
        let apart: Vec<&Document> = apart.iter().collect();
        assert_eq!(asked.decide(&Policies { identity: &apart, ..base }), before, "{texts:?}");
    }
    assert!(allowed > CASES / 10 && denied > CASES / 20, "{allowed} allowed, {denied} denied of {CASES}");
}

/// Reads so many hostile texts - documents of every kind, cut, doubled, with
/// bytes and tokens changed - and asks what could be read; how many could.
fn hostile_texts(inputs: u64, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let mut read = 0;
    for _ in 0..inputs {
        let grammar = [Grammar::Identity, Grammar::Trust, Grammar::Resource][random.below(3)];
        let mut text = whole(&statements(&mut random, true, grammar)).into_bytes();
        for _ in 0..random.below(4) {
            change(&mut text, &mut random);
        }
        let Ok(document) = Document::parse(&String::from_utf8_lossy(&text), grammar) else { continue };
        read += 1;
        document.context_keys();
        document.principals();
        let asked = Asked::random(&mut random);
        let list = [&document];
        let policies = match grammar {
            Grammar::Identity => {
                Policies { identity: &list, boundary: Some(&document), session: &list, ..Policies::default() }
            }
            Grammar::Trust | Grammar::Resource => Policies { resource: Some(&document), ..Policies::default() },
        };
        asked.decide(&policies);
    }
    read
}

/// One change somewhere in a text.
fn change(text: &mut Vec<u8>, random: &mut Random) {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "${",
        "}",
        "*",
        "?",
        "\\u0000",
        "\\ud800",
        "null",
        "1e999",
        "-",
        "'",
        "Statement",
        "Principal",
        "arn:aws:",
        "é",
        "ForAllValues:",
        "IfExists",
        "Null",
        "true",
    ];
    let (one, other) = (random.below(text.len() + 1), random.below(text.len() + 1));
    let (from, to) = (one.min(other), one.max(other));
    match random.below(5) {
        0 => drop(text.drain(from..to.min(from + 8))),
        1 => drop(text.splice(from..from, random.of(&tokens).bytes())),
        2 => text[from..to].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.below(7)),
        3 => {
            let copy = text[from..to].to_vec();
            drop(text.splice(from..from, copy));
        }
        _ => text.truncate(to.max(text.len() / 2)),
    }
}

/// The short run.
#[test]
fn hostile_texts_end() {
    let read = hostile_texts(SHORT_INPUTS, 7);
    assert!(read > SHORT_INPUTS / 5, "{read} texts could be read");
}

/// The long run: `cargo test --release -p elastane-domain policy::properties::long_fuzz -- --ignored --nocapture`.
#[test]
#[ignore = "ten million texts take minutes"]
fn long_fuzz() {
    let seed = std::env::var("ELASTANE_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("{LONG_INPUTS} texts, seed {seed}: no panic; {} could be read", hostile_texts(LONG_INPUTS, seed));
}

/// Patterns match as a plain search over all possibilities says they should.
#[test]
fn patterns_match_what_they_should() {
    let mut random = Random::new(8);
    let none = Context::default();
    let text = |random: &mut Random, letters: &[&str], length: usize| -> String {
        (0..random.below(length)).map(|_| random.of(letters)).collect()
    };
    let mut yes = 0;
    for _ in 0..200_000 {
        let pattern = text(&mut random, &["a", "b", ":", "*", "?", "é"], 9);
        let value = text(&mut random, &["a", "b", ":", "é"], 9);
        for mode in [Mode::Like, Mode::Arn] {
            let compiled = Pattern::compile(&pattern, mode, false).expect("no variables");
            let wanted = search(&pattern, &value, mode == Mode::Arn && !pattern.trim_matches('*').is_empty(), 0);
            yes += u64::from(wanted);
            assert_eq!(compiled.matches(&value, &none) == Match::Yes, wanted, "{pattern} {value} {mode:?}");
        }
    }
    assert!(yes > 1000, "{yes} matches");
}

/// Whether a pattern matches, by trying everything. In `parts` of an ARN
/// wildcards before the fifth colon take no colon.
fn search(pattern: &str, value: &str, parts: bool, colons: usize) -> bool {
    let Some(first) = pattern.chars().next() else { return value.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    let next = value.chars().next();
    let after = next.map_or("", |c| &value[c.len_utf8()..]);
    let takes = next.is_some_and(|c| !(parts && colons < 5 && c == ':'));
    match first {
        '*' => search(rest, value, parts, colons) || (takes && search(pattern, after, parts, colons)),
        '?' => takes && search(rest, after, parts, colons),
        _ => next == Some(first) && search(rest, after, parts, colons + usize::from(first == ':')),
    }
}

/// A resource that is compared field by field is compared as it is as a whole.
#[test]
fn fields_match_as_the_whole() {
    let mut random = Random::new(11);
    let none = Context::default();
    let arn = |random: &mut Random, letters: &[&str]| -> String {
        let fields = 5 + random.below(3);
        let field = |random: &mut Random| (0..random.below(4)).map(|_| random.of(letters)).collect::<String>();
        (0..fields).map(|_| field(random)).collect::<Vec<_>>().join(":")
    };
    let (mut yes, mut by_field) = (0, 0);
    for _ in 0..200_000 {
        let pattern = arn(&mut random, &["a", "*", "*", "?"]);
        let value = arn(&mut random, &["a", "é"]);
        let compiled = Pattern::compile(&pattern, Mode::Resource, false).expect("no variables");
        let wanted = compiled.matches(&value, &none);
        let found = Arn::read(&value);
        yes += u64::from(wanted == Match::Yes);
        by_field += u64::from(compiled.has_fields() && found.fields.is_some());
        assert_eq!(compiled.covers(&found, &none), wanted, "{pattern} {value}");
    }
    assert!(yes > 1000 && by_field > 1000, "{yes} matches, {by_field} by fields");
}

/// A pattern made to backtrack takes no longer than the product of the lengths.
#[test]
fn hostile_patterns_end() {
    let none = Context::default();
    let text = "a".repeat(20_000);
    for (pattern, wanted) in [("*a".repeat(500) + "b", Match::No), ("*a".repeat(500) + "*", Match::Yes)] {
        let pattern = Pattern::compile(&pattern, Mode::Like, false).expect("no variables");
        assert_eq!(pattern.matches(&text, &none), wanted);
    }
    let parts = format!("arn:aws:x:{0}:{0}:{0}b", "a*a*".repeat(50));
    let parts = Pattern::compile(&parts, Mode::Resource, false).expect("no variables");
    let arn = format!("arn:aws:x:{0}:{0}:{0}", "a".repeat(2000));
    assert_eq!(parts.matches(&arn, &none), Match::No);
}

/// The longest documents are read and asked in a time that grows with their
/// length, not with its square.
#[test]
fn longest_documents_end() {
    let list = |count: usize, text: &dyn Fn(usize) -> String| (0..count).map(text).collect::<Vec<_>>().join(",");
    let services = list(10_000, &|at| format!("\"s{at}:x\""));
    let actions = list(9_000, &|at| format!("\"s3:a{at}\""));
    let everything = list(30_000, &|_| "\"*\"".to_owned());
    let halves = (list(15_000, &|_| "\"*\"".to_owned()), list(1_000, &|at| format!("\"arn:aws:s3:::b{at}/*x\"")));
    let keys = list(9_000, &|at| format!("\"k:{at}\":\"\""));
    let short = list(2_000, &|at| format!(r#"{{"Sid":"{at}","Effect":"Deny","Action":"*","Resource":"*"}}"#));
    for text in [
        format!(r#"{{"Effect":"Allow","Action":[{services}],"Resource":"*"}}"#),
        format!(r#"{{"Effect":"Allow","Action":[{actions}],"Resource":"*"}}"#),
        format!(r#"{{"Effect":"Allow","NotAction":[{everything}],"Resource":"*"}}"#),
        format!(r#"{{"Effect":"Allow","Action":[{}],"Resource":[{}]}}"#, halves.0, halves.1),
        format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"StringEquals":{{{keys}}}}}}}"#),
        short,
    ] {
        let document = Document::parse(&whole(&[text]), Grammar::Identity).expect("valid");
        document.context_keys();
        let asked = Asked::random(&mut Random::new(9));
        asked.decide(&Policies { identity: &[&document], ..Policies::default() });
    }
}
