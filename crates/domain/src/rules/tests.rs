//! Rules as alb.md 2 to 2.2 describes them, and that the index changes nothing.

use super::check::*;
use super::pattern::{Matcher, Token, tokens};
use super::*;
use crate::id::{RuleArn, TargetGroupArn};
use crate::routing::{Action, Cidr, Pattern, QueryPattern, Redirect, Rewrite, Transform};

/// A request as plain data.
#[derive(Clone, Debug)]
struct Plain {
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    source: IpAddr,
}

impl Request for Plain {
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref().map(str::as_bytes)
    }

    fn each_header(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        self.headers.iter().for_each(|(name, value)| each(name.as_bytes(), value.as_bytes()));
    }

    fn source(&self) -> IpAddr {
        self.source
    }
}

/// `GET http://www.example.com/` of 10.0.0.7, otherwise as `url` says.
fn get(url: &str) -> Plain {
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query.to_owned())));
    Plain {
        method: "GET".to_owned(),
        host: "www.example.com".to_owned(),
        path: path.to_owned(),
        query,
        headers: Vec::new(),
        source: IpAddr::from([10, 0, 0, 7]),
    }
}

fn wild(text: &str) -> Pattern {
    Pattern::Wildcard(text.to_owned())
}

fn regex(text: &str) -> Pattern {
    Pattern::Regex(text.to_owned())
}

fn header(name: &str, values: &[&str]) -> Condition {
    Condition::Header { name: name.to_owned(), values: values.iter().map(|value| wild(value)).collect() }
}

fn query(key: Option<&str>, value: &str) -> Condition {
    Condition::Query(vec![QueryPattern { key: key.map(wild), value: wild(value) }])
}

fn rule(priority: Option<u32>, conditions: Vec<Condition>) -> Rule {
    Rule {
        arn: RuleArn::from(format!("rule-{priority:?}")),
        priority,
        conditions,
        transforms: Vec::new(),
        authenticate: None,
        action: Action::forward_to(TargetGroupArn::from("group")),
    }
}

/// Rules with these conditions, then the default.
fn rules(conditions: Vec<Vec<Condition>>) -> Vec<Rule> {
    let numbered = conditions.into_iter().zip(1..).map(|(conditions, priority)| rule(Some(priority), conditions));
    numbered.chain([rule(None, Vec::new())]).collect()
}

fn set(conditions: Vec<Vec<Condition>>) -> RuleSet {
    RuleSet::compile(&rules(conditions)).expect("the rules compile")
}

/// Whether one rule with one condition is hit, by the index and without it.
fn hit(condition: &Condition, request: &Plain) -> bool {
    let set = set(vec![vec![condition.clone()]]);
    let found = set.decide(request);
    assert_eq!(found, set.decide_one_by_one(request), "{condition:?} {request:?}");
    found == 0
}

#[test]
fn alb_2_1_host_header() {
    for (pattern, host, expected) in [
        (wild("example.com"), "example.com", true),
        (wild("example.com"), "EXAMPLE.Com", true),
        (wild("EXAMPLE.com"), "example.com", true),
        (wild("example.com"), "www.example.com", false),
        (wild("example.com"), "example.com.au", false),
        (wild("*.example.com"), "www.example.com", true),
        (wild("*.example.com"), "a.b.example.com", true),
        (wild("*.example.com"), "WWW.Example.COM", true),
        (wild("*.example.com"), ".example.com", true),
        (wild("*.example.com"), "example.com", false),
        (wild("*.example.com"), "badexample.com", false),
        (wild("*example.com"), "example.com", true),
        (wild("www?.example.com"), "www1.example.com", true),
        (wild("www?.example.com"), "www.example.com", false),
        (wild("www?.example.com"), "www12.example.com", false),
        (wild("www.*.com"), "www.example.com", true),
        (wild("www.*.com"), "www.example.org", false),
        (wild("example.com"), "", false),
        (regex("^api[0-9]+\\.example\\.com$"), "API12.example.com", true),
        (regex("^api[0-9]+\\.example\\.com$"), "api.example.com", false),
    ] {
        let request = Plain { host: host.to_owned(), ..get("/") };
        assert_eq!(hit(&Condition::Host(vec![pattern.clone()]), &request), expected, "{pattern:?} {host}");
    }
}

/// A host longer than any pattern still matches by its end.
#[test]
fn alb_2_1_long_hosts() {
    let long = format!("{}.example.com", "a".repeat(1000));
    let request = Plain { host: long, ..get("/") };
    assert!(hit(&Condition::Host(vec![wild("*.example.com")]), &request));
    assert!(!hit(&Condition::Host(vec![wild("example.com")]), &request));
    let longest = format!("{}.com", "a".repeat(124));
    let request = Plain { host: format!("a{longest}"), ..get("/") };
    assert!(!hit(&Condition::Host(vec![wild(&longest)]), &request));
}

#[test]
fn alb_2_1_path_pattern() {
    for (pattern, path, expected) in [
        (wild("/img"), "/img", true),
        (wild("/img"), "/IMG", false),
        (wild("/img"), "/img/", false),
        (wild("/img/*"), "/img/", true),
        (wild("/img/*"), "/img/a/b/c.png", true),
        (wild("/img/*"), "/img", false),
        (wild("/img/*/pics"), "/img/a/b/pics", true),
        (wild("/img/*/pics"), "/img/pics", false),
        (wild("/img/*/pics"), "/img/a/pics/x", false),
        (wild("*"), "/", true),
        (wild("/*"), "/", true),
        (wild("/?"), "/", false),
        (wild("/?"), "/a", true),
        (wild("/?"), "//", true),
        (wild("/a?c*e"), "/abcde", true),
        (wild("/a?c*e"), "/abce", true),
        (wild("/a?c*e"), "/ace", false),
        (wild("*.php"), "/a/index.php", true),
        (wild("*.php"), "/a/index.PHP", false),
        (wild("*a*b*"), "/xaxbx", true),
        (wild("*a*b*"), "/xbxax", false),
        (wild("*aab"), "/aaab", true),
        (wild("/a*b?*c"), "/abxc", true),
        (wild("/a*b?*c"), "/abc", false),
        (wild("/~$@:+&'\"."), "/~$@:+&'\".", true),
        (regex("^/v[12]/"), "/v2/x", true),
        (regex("^/v[12]/"), "/V2/x", false),
        (regex("items"), "/a/items/b", true),
    ] {
        let condition = Condition::Path(vec![pattern.clone()]);
        assert_eq!(hit(&condition, &get(path)), expected, "{pattern:?} {path}");
        let with_query = get(&format!("{path}?q=/img/x"));
        assert_eq!(hit(&condition, &with_query), expected, "the query does not count: {pattern:?} {path}");
    }
}

#[test]
fn alb_2_1_http_header() {
    let sent = |values: &[(&str, &str)]| {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Plain { headers: values.iter().map(own).collect(), ..get("/") }
    };
    for (condition, headers, expected) in [
        (header("User-Agent", &["*Chrome*"]), &[("user-agent", "Mozilla Chrome/9")][..], true),
        (header("user-agent", &["*chrome*"]), &[("USER-AGENT", "Mozilla CHROME/9")], true),
        (header("User-Agent", &["*Chrome*"]), &[("User-Agent", "curl")], false),
        (header("User-Agent", &["*Chrome*"]), &[("X-Agent", "Chrome")], false),
        (header("X-A", &["one", "two"]), &[("x-a", "two")], true),
        (header("X-A", &["two"]), &[("x-a", "one"), ("x-a", "two")], true),
        (header("X-A", &["two"]), &[("x-a", "one, two")], false),
        (header("X-A", &["*"]), &[("x-a", "")], true),
        (header("X-A", &["*"]), &[], false),
        (header("X-A", &["a?c"]), &[("x-a", "ABC")], true),
        (header("X-A", &["a\\?c"]), &[("x-a", "abc")], false),
        (header("X-A", &["a\\?c"]), &[("x-a", "a?c")], true),
        (header("X-A", &["\\*"]), &[("x-a", "*")], true),
        (header("X-A", &["c:\\dir"]), &[("x-a", "C:\\DIR")], true),
    ] {
        assert_eq!(hit(&condition, &sent(headers)), expected, "{condition:?} {headers:?}");
    }
    let expression = Condition::Header { name: "X-A".to_owned(), values: vec![regex("^v[0-9]$")] };
    assert!(hit(&expression, &sent(&[("x-a", "V1")])));
    assert!(!hit(&expression, &sent(&[("x-a", "v10")])));
    let both = set(vec![vec![header("X-A", &["1"]), header("X-B", &["2"])]]);
    assert_eq!(both.decide(&sent(&[("x-a", "1"), ("x-b", "2")])), 0);
    assert_eq!(both.decide(&sent(&[("x-a", "1")])), 1, "several header conditions must all hold");
}

#[test]
fn alb_2_1_http_request_method() {
    let methods = |names: &[&str]| Condition::Method(names.iter().map(|name| (*name).to_owned()).collect());
    for (condition, method, expected) in [
        (methods(&["GET"]), "GET", true),
        (methods(&["GET"]), "get", false),
        (methods(&["GET"]), "HEAD", false),
        (methods(&["GET", "HEAD"]), "HEAD", true),
        (methods(&["PURGE_ALL"]), "PURGE_ALL", true),
    ] {
        let request = Plain { method: method.to_owned(), ..get("/") };
        assert_eq!(hit(&condition, &request), expected, "{condition:?} {method}");
    }
}

#[test]
fn alb_2_1_query_string() {
    for (condition, url, expected) in [
        (query(Some("version"), "v1"), "/?version=v1", true),
        (query(Some("version"), "v1"), "/?VERSION=V1", true),
        (query(Some("version"), "v1"), "/?a=b&version=v1&c=d", true),
        (query(Some("version"), "v1"), "/?version=v12", false),
        (query(Some("version"), "v1"), "/?xversion=v1", false),
        (query(Some("version"), "v1"), "/version=v1", false),
        (query(Some("version"), ""), "/?version", true),
        (query(Some("version"), ""), "/?version=", true),
        (query(Some("v*"), "?1"), "/?very=x1", true),
        (query(None, "example"), "/?a=example", true),
        (query(None, "example"), "/?example=a", false),
        (query(None, "*"), "/", false),
        (query(Some("a"), "b=c"), "/?a=b=c", true),
        (query(Some("a"), "\\*"), "/?a=*", true),
        (query(Some("a"), "\\*"), "/?a=x", false),
        (query(Some("a"), "b"), "/?&&a=b", true),
    ] {
        assert_eq!(hit(&condition, &get(url)), expected, "{condition:?} {url}");
    }
    let both = set(vec![vec![query(Some("a"), "1"), query(Some("b"), "2")]]);
    assert_eq!(both.decide(&get("/?b=2&a=1")), 0);
    assert_eq!(both.decide(&get("/?a=1")), 1, "several query conditions must all hold");
}

#[test]
fn alb_2_1_source_ip() {
    for (range, source, expected) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.7/32", "10.0.0.7", true),
        ("10.0.0.7/32", "10.0.0.8", false),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("2001:db8::/32", "2001:db8:1::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "10.0.0.1", false),
        ("2001:db8::1/128", "2001:db8::1", true),
    ] {
        let condition = Condition::SourceIp(vec![parse_cidr(range).expect(range)]);
        let mut request = get("/");
        request.source = source.parse().expect(source);
        request.headers.push(("X-Forwarded-For".to_owned(), "10.0.0.7".to_owned()));
        assert_eq!(hit(&condition, &request), expected, "{range} {source}");
    }
}

/// The first rule in order wins, all conditions must hold, any value will do.
#[test]
fn alb_2_order_of_rules() {
    let path = |patterns: &[&str]| Condition::Path(patterns.iter().map(|pattern| wild(pattern)).collect());
    let set = set(vec![
        vec![path(&["/a/*"]), Condition::Host(vec![wild("other.example.com")])],
        vec![path(&["/a/b", "/a/c"])],
        vec![path(&["/a/*"])],
        vec![path(&["/a/b"])],
        vec![],
    ]);
    for (url, host, expected) in [
        ("/a/b", "other.example.com", 0),
        ("/a/b", "www.example.com", 1),
        ("/a/c", "www.example.com", 1),
        ("/a/d", "www.example.com", 2),
        ("/b", "www.example.com", 4),
    ] {
        let request = Plain { host: host.to_owned(), ..get(url) };
        assert_eq!(set.decide(&request), expected, "{url} {host}");
    }
}

/// Evaluations are counted up to the rule that is hit; the default rule is not counted.
#[test]
fn alb_11_rule_evaluations() {
    let path = |pattern: &str| vec![Condition::Path(vec![wild(pattern)])];
    let three = set(vec![path("/a"), path("/b"), path("/c")]);
    let counted: Vec<u32> = (0..4).map(|index| three.evaluations(index)).collect();
    assert_eq!(counted, [1, 2, 3, 3]);
    assert_eq!(set(vec![]).evaluations(0), 0);
    assert_eq!(set(vec![]).decide(&get("/")), 0);
}

/// Every rule is explained, with what was wanted and what came.
#[test]
fn rules_are_explained() {
    let set = set(vec![
        vec![Condition::Path(vec![wild("/api/*")]), header("X-Version", &["2"])],
        vec![Condition::Method(vec!["GET".to_owned()]), query(None, "x")],
    ]);
    let request = Plain { headers: vec![("x-version".to_owned(), "1".to_owned())], ..get("/api/users?q=x") };
    let explained = set.explain(&request);
    let flags: Vec<_> = explained.iter().map(|rule| (rule.index, rule.matched, rule.chosen)).collect();
    assert_eq!(flags, [(0, false, false), (1, true, true), (2, true, false)]);
    let words: Vec<_> = explained.iter().flat_map(|rule| &rule.conditions).map(|one| one.why.as_str()).collect();
    assert_eq!(
        words,
        [
            "\"/api/users\" matches \"/api/*\"",
            "header X-Version \"1\" does not match \"2\"",
            "\"GET\" matches \"GET\"",
            "query \"q=x\" matches any key=\"x\"",
        ]
    );
}

#[test]
fn alb_2_1_values_that_are_accepted_and_refused() {
    use PatternError::{Character, Empty, HostHeader, LastLabel, NoDot, TooLong, Wildcard};
    let long_host = format!("{}.com", "a".repeat(125));
    let long = "a".repeat(129);
    let cases: Vec<(Condition, Result<(), PatternError>)> = vec![
        (Condition::Host(vec![wild("*.example.com")]), Ok(())),
        (Condition::Host(vec![wild("localhost")]), Err(NoDot)),
        (Condition::Host(vec![wild("10.0.0.1")]), Err(LastLabel)),
        (Condition::Host(vec![wild("example.*")]), Err(LastLabel)),
        (Condition::Host(vec![wild("example.com.")]), Err(LastLabel)),
        (Condition::Host(vec![wild("ex_ample.com")]), Err(Character('_'))),
        (Condition::Host(vec![wild("")]), Err(Empty)),
        (Condition::Host(vec![wild(&long_host)]), Err(TooLong { max: 128 })),
        (Condition::Path(vec![wild("/a_-.$/~\"'@:+&*?Z9")]), Ok(())),
        (Condition::Path(vec![wild("/a b")]), Err(Character(' '))),
        (Condition::Path(vec![wild("/a%20b")]), Err(Character('%'))),
        (Condition::Path(vec![wild(&long)]), Err(TooLong { max: 128 })),
        (header("X-A", &["any (thing)"]), Ok(())),
        (header("X-*", &["a"]), Err(Wildcard)),
        (header("Host", &["a"]), Err(HostHeader)),
        (header("X A", &["a"]), Err(Character(' '))),
        (header(&"x".repeat(41), &["a"]), Err(TooLong { max: 40 })),
        (header("X-A", &["a\u{1}"]), Err(Character('\u{1}'))),
        (Condition::Method(vec!["GET".to_owned()]), Ok(())),
        (Condition::Method(vec!["get".to_owned()]), Err(Character('g'))),
        (Condition::Method(vec!["G*".to_owned()]), Err(Wildcard)),
        (query(Some("a"), "\\*"), Ok(())),
        (query(Some("a b"), "c"), Err(Character(' '))),
        (Condition::SourceIp(vec![Cidr { network: IpAddr::from([255; 4]), prefix: 32 }]), Err(PatternError::Cidr)),
        (Condition::SourceIp(vec![Cidr { network: IpAddr::from([10, 0, 0, 0]), prefix: 33 }]), Err(PatternError::Cidr)),
    ];
    for (condition, expected) in cases {
        let got = check_conditions(std::slice::from_ref(&condition)).map_err(|err| match err {
            RulesError::Value { error, .. } => error,
            other => panic!("{condition:?}: {other}"),
        });
        assert_eq!(got, expected, "{condition:?}");
    }
}

#[test]
fn alb_2_1_regular_expressions() {
    for (text, refused) in [
        ("^/api/v[0-9]+/(users|items)/?$", None),
        ("a+?b*?c??", None),
        ("[*+]+", None),
        ("\\++", None),
        ("(?:a|b){2,3}", None),
        ("(?=a)", Some("look-arounds")),
        ("(?!a)", Some("look-arounds")),
        ("(?<=a)b", Some("look-arounds")),
        ("(?<!a)b", Some("look-arounds")),
        ("(a)\\1", Some("back-references")),
        ("(?>a)", Some("atomic groups")),
        ("a++", Some("possessive quantifiers")),
        ("a*+", Some("possessive quantifiers")),
        ("a?+", Some("possessive quantifiers")),
        ("a{2}+", Some("possessive quantifiers")),
        ("(?R)", Some("recursions")),
        ("(?1)", Some("recursions")),
        ("\\p{L}", Some("Unicode classes")),
    ] {
        let got = check_regex(text);
        match refused {
            None => assert_eq!(got, Ok(()), "{text}"),
            Some(what) => assert_eq!(got, Err(PatternError::RegexConstruct(what)), "{text}"),
        }
    }
    assert!(matches!(check_regex("(a"), Err(PatternError::RegexSyntax(_))));
    assert_eq!(check_regex("((a{100}){100}){100}"), Err(PatternError::RegexTooBig));
    assert_eq!(check_regex(&"a".repeat(129)), Err(PatternError::TooLong { max: 128 }));
}

#[test]
fn alb_2_1_limits_of_a_rule() {
    let path = |patterns: &[&str]| Condition::Path(patterns.iter().map(|pattern| wild(pattern)).collect());
    let hosts = |patterns: &[&str]| Condition::Host(patterns.iter().map(|pattern| wild(pattern)).collect());
    let field = "path-pattern";
    for (conditions, expected) in [
        (vec![path(&["/a", "/b", "/c"]), hosts(&["a.com", "b.com"])], Ok(())),
        (vec![path(&["/a", "/b", "/c", "/d"])], Err(RulesError::ValuesPerCondition { field })),
        (vec![path(&["/a", "/b", "/c"]), hosts(&["a.com", "b.com", "c.com"])], Err(RulesError::EvaluationsPerRule)),
        (vec![path(&["/*/*/*"]), hosts(&["*.a.com", "*.b.com", "?.c.com"])], Ok(())),
        (vec![path(&["/*/*/*/*"]), hosts(&["*.a.com", "*.b.com", "?.c.com"])], Err(RulesError::WildcardsPerRule)),
        (vec![path(&["/a"]), path(&["/b"])], Err(RulesError::Repeated { field })),
        (vec![header("X-A", &["1"]), header("X-B", &["1"]), query(None, "1"), query(None, "2")], Ok(())),
        (vec![path(&[])], Err(RulesError::NoValues { field })),
        (vec![header("X-A", &["\\*\\*\\*\\*\\*\\*\\*"])], Ok(())),
    ] {
        assert_eq!(check_conditions(&conditions), expected, "{conditions:?}");
    }
}

#[test]
fn alb_2_1_ranges_are_read() {
    for (text, expected) in [
        ("10.1.2.3/8", Some("10.0.0.0/8")),
        ("0.0.0.0/0", Some("0.0.0.0/0")),
        ("2001:db8::1/32", Some("2001:db8::/32")),
        ("::1/128", Some("::1/128")),
        ("255.255.255.255/32", None),
        ("10.0.0.0", None),
        ("10.0.0.0/33", None),
        ("10.0.0.0/+8", None),
        ("10.0.0/8", None),
        ("::/129", None),
    ] {
        let got = parse_cidr(text).ok().map(|range| format!("{}/{}", range.network, range.prefix));
        assert_eq!(got.as_deref(), expected, "{text}");
    }
}

fn redirect() -> Redirect {
    Redirect {
        status: 301,
        protocol: "#{protocol}".to_owned(),
        host: "#{host}".to_owned(),
        port: "#{port}".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
    }
}

#[test]
fn alb_2_2_redirects() {
    let https = Redirect { protocol: "HTTPS".to_owned(), port: "443".to_owned(), ..redirect() };
    let moved = Redirect {
        host: "new.#{host}".to_owned(),
        path: "/#{protocol}/#{port}/#{path}/#{unknown}#{".to_owned(),
        query: "from=#{host}&#{query}".to_owned(),
        ..redirect()
    };
    for (template, path, query, expected) in [
        (&https, "/a/b", "c=d", "https://www.example.com:443/a/b?c=d"),
        (&https, "/", "", "https://www.example.com:443/"),
        (&moved, "/x", "y=z", "http://new.www.example.com:8080/http/8080/x/#{unknown}#{?from=www.example.com&y=z"),
        (&https, "/a\r\nSet-Cookie: x", "", "https://www.example.com:443/a%0D%0ASet-Cookie:%20x"),
    ] {
        let mut location = b"kept ".to_vec();
        let parts = RequestParts {
            protocol: "http",
            host: b"www.example.com",
            port: 8080,
            path: path.as_bytes(),
            query: query.as_bytes(),
        };
        RedirectTemplate::compile(template).location(&parts, &mut location).expect("short");
        assert_eq!(String::from_utf8_lossy(&location), format!("kept {expected}"));
    }
}

/// A location of 8 KiB is sent, a longer one is not, and nothing of it stays.
#[test]
fn alb_2_2_location_limit() {
    let template = RedirectTemplate::compile(&Redirect { status: 302, ..redirect() });
    assert_eq!(template.status(), 302);
    let fixed = "http://h:80/".len();
    for (extra, expected) in [(0, Ok(())), (1, Err(TooLong))] {
        let path = format!("/{}", "a".repeat(LOCATION_BYTES_MAX - fixed + extra));
        let parts = RequestParts { protocol: "http", host: b"h", port: 80, path: path.as_bytes(), query: b"" };
        let mut location = Vec::new();
        assert_eq!(template.location(&parts, &mut location), expected);
        assert_eq!(location.is_empty(), expected.is_err());
    }
}

#[test]
fn alb_2_2_redirects_that_are_refused() {
    let of = |change: fn(&mut Redirect)| {
        let mut redirect = redirect();
        redirect.port = "8443".to_owned();
        change(&mut redirect);
        redirect
    };
    let long = |redirect: &mut Redirect| redirect.path = format!("/{}", "a".repeat(128));
    for (redirect, https, expected) in [
        (of(|_| {}), false, Ok(())),
        (of(|it| it.port = "#{port}".to_owned()), false, Err(RedirectError::Loop)),
        (of(|it| (it.port, it.query) = ("#{port}".to_owned(), "a=b".to_owned())), false, Err(RedirectError::Loop)),
        (of(|it| (it.port, it.protocol) = ("#{port}".to_owned(), "HTTP".to_owned())), false, Err(RedirectError::Loop)),
        (of(|it| (it.port, it.protocol) = ("#{port}".to_owned(), "HTTPS".to_owned())), false, Ok(())),
        (of(|it| it.protocol = "HTTP".to_owned()), true, Err(RedirectError::ToHttp)),
        (of(|it| it.protocol = "https".to_owned()), true, Err(RedirectError::Protocol)),
        (of(|it| it.status = 303), false, Err(RedirectError::Status)),
        (of(|it| it.port = "65536".to_owned()), false, Err(RedirectError::Port)),
        (of(|it| it.port = "0".to_owned()), false, Err(RedirectError::Port)),
        (of(|it| it.host = String::new()), false, Err(RedirectError::Host)),
        (of(|it| it.host = "a b".to_owned()), false, Err(RedirectError::Host)),
        (of(|it| it.path = "a".to_owned()), false, Err(RedirectError::Path)),
        (of(long), false, Err(RedirectError::Path)),
        (of(|it| it.query = "?a".to_owned()), false, Err(RedirectError::Query)),
    ] {
        assert_eq!(check_redirect(&redirect, https), expected, "{redirect:?} {https}");
    }
}

fn rewrite(regex: &str, replace: &str) -> Rewrite {
    Rewrite { regex: regex.to_owned(), replace: replace.to_owned() }
}

#[test]
fn alb_2_transforms() {
    use Rewritten::*;
    let url = |regex: &str, replace: &str, text: &str| {
        let set = RewriteSet::compile(0, &[Transform::Url(rewrite(regex, replace))]).expect(regex);
        assert_eq!(set.host(b"www.example.com"), None);
        set.url(text.as_bytes()).expect("there is a transform")
    };
    let applied = |text: &str| Applied(text.as_bytes().to_vec());
    for (regex, replace, text, expected) in [
        ("^/dp/([A-Z0-9]+)/?$", "/product.php?id=$1", "/dp/B09/", applied("/product.php?id=B09")),
        ("^/api/(.*)/(.*)$", "/$2/$1/$2x", "/api/a/b", applied("/b/a/bx")),
        ("/old", "/new", "/x/old/y?z=1", applied("/x/new/y?z=1")),
        ("o", "0", "/foo", applied("/f0o")),
        ("^/a$", "/b", "/c", NoMatch),
        ("^/a", "$$0", "/a", Failed(TransformFailure::InvalidPath)),
        ("^/", "/$$$0$9", "/a", applied("/$/a")),
        ("^/a", "b", "/a", Failed(TransformFailure::InvalidPath)),
        ("a", "b#c", "/a", Failed(TransformFailure::InvalidPath)),
    ] {
        assert_eq!(url(regex, replace, text), expected, "{regex} {replace} {text}");
    }
    let twice = "$1".repeat(500);
    assert_eq!(
        url("^/(.*)$", &format!("/{twice}"), &format!("/{}", "a".repeat(100))),
        Failed(TransformFailure::BufferTooSmall)
    );

    let host = |regex: &str, replace: &str, text: &str| {
        let set = RewriteSet::compile(0, &[Transform::Host(rewrite(regex, replace))]).expect(regex);
        assert_eq!(set.url(b"/"), None);
        set.host(text.as_bytes()).expect("there is a transform")
    };
    assert_eq!(host("^([a-z]+)\\.example\\.com$", "$1.internal", "WWW.example.com"), applied("WWW.internal"));
    assert_eq!(host("^.*$", "", "a.com"), Failed(TransformFailure::InvalidHost));
    assert_eq!(host("a", "b/c", "a.com"), Failed(TransformFailure::InvalidHost));
    assert_eq!(host("^x$", "y", "a.com").status(), None);
    assert_eq!(host("a", "b", "a.com").status(), Some("TransformSuccess"));
    assert_eq!(host("a", "/", "a.com").status(), Some("TransformInvalidHost"));
    assert!(RewriteSet::default().is_empty() && RewriteSet::default().url(b"/").is_none());
}

#[test]
fn alb_2_transforms_that_are_refused() {
    let url = |regex: &str, replace: &str| Transform::Url(rewrite(regex, replace));
    assert_eq!(check_transforms(&[url("^/a(.*)$", "/b$1"), Transform::Host(rewrite("a", "b"))]), Ok(()));
    assert_eq!(
        check_transforms(&[url("a", "b"), url("c", "d")]),
        Err(RulesError::RepeatedTransform { kind: "url-rewrite" })
    );
    for (transform, expected) in [
        (url("(a", "b"), None),
        (url("(?=a)", "b"), Some(PatternError::RegexConstruct("look-arounds"))),
        (url("a", "b c"), Some(PatternError::Character(' '))),
        (url(&"a".repeat(1025), "b"), Some(PatternError::TooLong { max: 1024 })),
        (url("a", &"b".repeat(1025)), Some(PatternError::TooLong { max: 1024 })),
        (url("", "b"), Some(PatternError::Empty)),
    ] {
        let Err(RulesError::Value { error, .. }) = check_transforms(std::slice::from_ref(&transform)) else {
            panic!("{transform:?} is accepted");
        };
        assert!(expected.is_none_or(|expected| expected == error), "{transform:?} {error:?}");
    }
}

/// What cannot be compiled names its rule.
#[test]
fn broken_rules_are_named() {
    let broken = vec![vec![], vec![Condition::Path(vec![regex("(")])]];
    assert_eq!(RuleSet::compile(&rules(broken)).expect_err("a broken expression").rule, 1);
}

/// An xorshift generator: the same rules in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    fn joined(&mut self, from: &[&str], count: u64) -> String {
        (0..self.below(count + 1)).map(|_| self.pick(from)).collect()
    }

    fn values<T>(&mut self, make: impl Fn(&mut Random) -> T) -> Vec<T> {
        (0..=self.below(3)).map(|_| make(self)).collect()
    }

    fn condition(&mut self) -> Condition {
        let path = |random: &mut Random| match random.below(8) {
            0 => regex(random.pick(&["^/a", "b$", "a+b"])),
            _ => {
                wild(&format!("{}{}", random.pick(&["/", "*", ""]), random.joined(&["a", "b", "/", "*", "?", "ab"], 6)))
            }
        };
        let host = |random: &mut Random| match random.below(8) {
            0 => regex("^a"),
            _ => {
                wild(&format!("{}{}", random.joined(&["a", "B", ".", "*", "?"], 5), random.pick(&[".com", ".ab", ""])))
            }
        };
        match self.below(6) {
            0 => Condition::Host(self.values(host)),
            1 | 2 => Condition::Path(self.values(path)),
            3 => Condition::Method(self.values(|random| random.pick(&["GET", "POST", "PUT"]).to_owned())),
            4 => {
                let value = |random: &mut Random| match random.below(10) {
                    0 => regex("^a"),
                    _ => wild(&random.joined(&["1", "a", "B", "*", "?", "a1", "\\*"], 6)),
                };
                Condition::Header { name: self.pick(&["x-a", "X-B", "x-long"]).to_owned(), values: self.values(value) }
            }
            _ => {
                let key = (self.below(3) > 0).then(|| self.joined(&["a", "b", "*", "bc"], 3));
                query(key.as_deref(), &self.joined(&["1", "2", "*", "?", "x"], 4))
            }
        }
    }

    fn request(&mut self) -> Plain {
        let path = format!("/{}", self.joined(&["a", "b", "/", "ab"], 6));
        Plain {
            method: self.pick(&["GET", "POST", "PATCH"]).to_owned(),
            host: format!("{}{}", self.joined(&["a", "b", "A", "."], 5), self.pick(&[".com", ".AB", ""])),
            query: (self.below(2) == 0)
                .then(|| self.joined(&["a=1", "&", "bc=2", "b", "x", "=", "A=12x", "&bc=X2"], 5)),
            headers: (0..self.below(4))
                .map(|_| {
                    let value = self.joined(&["1", "a", "A", "b", "*"], 5);
                    (self.pick(&["X-A", "x-b", "X-LONG", "other"]).to_owned(), value)
                })
                .collect(),
            ..get(&path)
        }
    }
}

/// The index finds what evaluating every rule finds, also in more than one block of rules.
#[test]
fn the_index_changes_nothing() {
    let mut random = Random(0x5eed);
    for round in 0..400 {
        let count = if round % 50 == 0 { 300 } else { random.below(30) };
        let conditions = (0..count).map(|_| (0..random.below(3) + 1).map(|_| random.condition()).collect()).collect();
        let set = set(conditions);
        for _ in 0..50 {
            let request = random.request();
            assert_eq!(set.decide(&request), set.decide_one_by_one(&request), "{request:?} {:?}", set.conditions);
        }
    }
}

/// The meaning of wildcards in the plainest form.
fn plainly(pattern: &[Token], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([Token::Many, rest @ ..], _) => (0..=text.len()).any(|n| plainly(rest, &text[n..])),
        ([Token::One, rest @ ..], [_, after @ ..]) => plainly(rest, after),
        ([Token::Byte(byte), rest @ ..], [first, after @ ..]) => byte == first && plainly(rest, after),
        _ => false,
    }
}

/// The one-pass matcher agrees with the plain meaning.
#[test]
fn wildcards_mean_what_they_say() {
    let mut random = Random(0xbeef);
    for _ in 0..20_000 {
        let pattern = random.joined(&["a", "b", "*", "?", "\\*", "ab"], 9);
        let text = random.joined(&["a", "b", "*", "ab"], 9);
        let matcher = Matcher::compile(&wild(&pattern), Case::Sensitive).expect("short");
        assert_eq!(matcher.is_match(text.as_bytes()), plainly(&tokens(&pattern), text.as_bytes()), "{pattern} {text}");
        let folded = Matcher::compile(&wild(&pattern.to_uppercase()), Case::Insensitive).expect("short");
        assert_eq!(folded.is_match(text.as_bytes()), matcher.is_match(text.as_bytes()), "{pattern} {text}");
    }
}

/// The longest patterns: the states fill the word.
#[test]
fn alb_2_1_longest_patterns() {
    let stars = "a*".repeat(64);
    for (pattern, text, expected) in [
        ("?".repeat(128), "a".repeat(128), true),
        ("?".repeat(128), "a".repeat(127), false),
        (format!("*{}", "?".repeat(127)), "a".repeat(127), true),
        (format!("*{}", "?".repeat(127)), "a".repeat(126), false),
        (format!("{}*", "?".repeat(127)), "a".repeat(4000), true),
        (stars.clone(), "a".repeat(64), true),
        (stars, "a".repeat(63), false),
    ] {
        let matcher = Matcher::compile(&wild(&pattern), Case::Sensitive).expect("128 bytes");
        assert_eq!(matcher.is_match(text.as_bytes()), expected, "{pattern} {}", text.len());
    }
    assert_eq!(
        Matcher::compile(&wild(&"a".repeat(129)), Case::Sensitive).err(),
        Some(PatternError::TooLong { max: 128 })
    );
}

/// What 100 rules cost more than one, printed: run with `--ignored --nocapture`, optimised.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures wall time")]
fn measure_a_hundred_rules() {
    type Kind = (&'static str, fn(usize) -> Vec<Condition>);
    let kinds: [Kind; 10] = [
        ("exact paths", |n| vec![Condition::Path(vec![wild(&format!("/service-{n}/health"))])]),
        ("path prefixes", |n| vec![Condition::Path(vec![wild(&format!("/service-{n}/*"))])]),
        ("hosts", |n| vec![Condition::Host(vec![wild(&format!("service-{n}.example.com"))])]),
        ("path suffixes", |n| vec![Condition::Path(vec![wild(&format!("*.type{n}"))])]),
        ("path parts", |n| vec![Condition::Path(vec![wild(&format!("*/type{n}/*"))])]),
        ("headers", |n| vec![header("x-service", &[&n.to_string()])]),
        ("header parts", |n| vec![header("user-agent", &[&format!("*browser-{n}/*")])]),
        ("header names", |n| vec![header(&format!("x-service-{n}"), &["?*"])]),
        ("queries", |n| vec![query(Some("page"), &(n + 100).to_string())]),
        ("sources", |n| {
            vec![Condition::SourceIp(vec![Cidr { network: IpAddr::from([10, 1, n as u8, 0]), prefix: 24 }])]
        }),
    ];
    let mut request = get("/service-99/orders/12345/items?page=3");
    for (name, value) in [
        ("Host", "www.example.com"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        ),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Cookie", "session=0123456789abcdef0123456789abcdef"),
        ("X-Service", "none"),
    ] {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    for (name, make) in kinds {
        let nanos = [1, 100].map(|count| {
            let set = set((0..count).map(make).collect());
            let started = std::time::Instant::now();
            let rounds = 200_000;
            for _ in 0..rounds {
                std::hint::black_box(set.decide(std::hint::black_box(&request)));
            }
            started.elapsed().as_nanos() / rounds
        });
        println!("{name}: 1 rule {} ns, 100 rules {} ns", nanos[0], nanos[1]);
    }
}
