//! The line as a whole, and each field in its cases (alb.md 10).

use super::*;
use crate::log::entry::{ActionTaken, Kind, TlsFacts};
use crate::log::{LogKind, LogLocal, LogSink};
use elastane_domain::routing::{LoadBalancer, LogPlace};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

const ENDED: i64 = 1_530_570_180_186_641;

/// An entry of a log that nobody writes.
fn entry() -> Entry {
    let (sink, _) = LogSink::start(None, Arc::new(crate::clock::WallClock)).unwrap();
    let log = LogLocal::of_test(file(), sink);
    let mut entry = Entry::new(Rc::new(log), ENDED - 177_641);
    entry.client = "192.168.131.39:2817".parse().unwrap();
    entry
}

fn file() -> LogFile {
    let arn = "arn:aws:elasticloadbalancing:us-east-2:123456789012:loadbalancer/app/my-loadbalancer/50dc6c495c0c9188";
    let balancer = LoadBalancer::application(arn.into(), [127, 0, 0, 1].into(), Vec::new());
    let place = LogPlace { bucket: "logs".to_owned(), prefix: String::new() };
    LogFile::new(LogKind::Access, &balancer, &place, [10, 0, 0, 9].into())
}

fn line(entry: &Entry) -> String {
    let mut out = Vec::new();
    write(entry, &file(), ENDED, &mut out);
    String::from_utf8(out).unwrap()
}

/// The fields of a line: a quoted text is one.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.trim_end().chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => fields.push(String::new()),
            letter => fields.last_mut().unwrap().push(letter),
        }
    }
    fields
}

/// A forwarded request, as AWS's documentation shows one.
fn forwarded() -> Entry {
    let mut entry = entry();
    entry.request(b"GET", "http", b"www.example.com", 80, b"/", "HTTP/1.1");
    entry.user_agent(b"curl/7.46.0");
    entry.trace_id(b"Root=1-58337262-36d228ad5d99923122bbe354");
    let arn = "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067";
    entry.group(arn);
    entry.target("10.0.0.1:80".parse().unwrap());
    entry.action(ActionTaken::Forward);
    (entry.priority, entry.status, entry.received, entry.sent) = (Some(0), 200, 34, 366);
    entry.dispatched = Some(entry.began);
    entry.responded(200, Duration::from_micros(1_400), Instant::now());
    entry.answer_begun = entry.target_answered;
    entry.connection_id = 0x1234_abcd_5678_ef90;
    entry
}

/// Every field of a plain request, byte for byte.
#[test]
fn alb_10_a_whole_line() {
    let want = "http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 \
        0.000 0.001 0.000 200 200 34 366 \"GET http://www.example.com:80/ HTTP/1.1\" \"curl/7.46.0\" - - \
        arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 \
        \"Root=1-58337262-36d228ad5d99923122bbe354\" \"-\" \"-\" 0 2018-07-02T22:23:00.009000Z \"forward\" \"-\" \"-\" \
        \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_00000000000000001234abcd5678ef90 \"-\" \"-\" \"-\" 10.0.0.9\n";
    assert_eq!(line(&forwarded()), want);
}

/// A request of which nothing is known still has every field.
#[test]
fn alb_10_an_empty_line() {
    let mut entry = entry();
    entry.status = 400;
    let want = "http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 - -1 -1 -1 400 \
        - 0 0 \"- - -\" \"-\" - - - \"-\" \"-\" \"-\" - 2018-07-02T22:23:00.009000Z \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" - \"-\" \
        \"-\" \"-\" 10.0.0.9\n";
    assert_eq!(line(&entry), want);
    assert_eq!(fields(want).len(), 34);
}

/// One case: what happens to an entry, and what a field (from 1) says then.
type Case = (usize, fn(&mut Entry), &'static str);

/// Each field in the cases that it has.
#[test]
fn alb_10_fields() {
    let cases: &[Case] = &[
        (1, |entry| entry.kind = Kind::Https, "https"),
        (1, |entry| entry.kind = Kind::H2, "h2"),
        (1, |entry| entry.kind = Kind::Grpcs, "grpcs"),
        (1, |entry| entry.kind = Kind::Http.upgraded(), "ws"),
        (1, |entry| entry.kind = Kind::Https.upgraded(), "wss"),
        (4, |entry| entry.client = "[2001:db8::7]:99".parse().unwrap(), "[2001:db8::7]:99"),
        (4, |entry| entry.client = "[::ffff:10.1.2.3]:99".parse().unwrap(), "10.1.2.3:99"),
        (5, |entry| entry.targets.clear(), "-"),
        (6, |entry| entry.dispatched = Some(entry.began + Duration::from_millis(1_234)), "1.234"),
        (6, |entry| entry.target_took = None, "-1"),
        (7, |entry| entry.target_took = Some(Duration::from_millis(12_005)), "12.005"),
        (7, |entry| entry.target_answered = None, "-1"),
        (8, |entry| entry.answer_begun = entry.target_answered.map(|at| at + Duration::from_millis(7)), "0.007"),
        (9, |entry| entry.status = 460, "460"),
        (9, |entry| entry.status = 0, "000"),
        (10, |entry| entry.targets[0].1 = None, "-"),
        (11, |entry| entry.received = u64::MAX, "18446744073709551615"),
        (12, |entry| entry.sent = 0, "0"),
        (
            13,
            |entry| entry.request(b"POST", "https", b"h.test:8443", 443, b"/a?b=\"c\\\x01\xff", "HTTP/2.0"),
            "POST https://h.test:443/a?b=\\x22c\\x5C\\x01\\xFF HTTP/2.0",
        ),
        (13, |entry| entry.request(b"GET", "http", b"[::1]:80", 80, b"/", "HTTP/1.1"), "GET http://[::1]:80/ HTTP/1.1"),
        (14, |entry| entry.user_agent(b""), "-"),
        (15, |entry| entry.tls = Some(tls()), "ECDHE-RSA-AES128-GCM-SHA256"),
        (16, |entry| entry.tls = Some(tls()), "TLSv1.2"),
        (17, |entry| entry.group.clear(), "-"),
        (19, |entry| entry.tls = Some(tls()), "www.example.com"),
        (20, |entry| entry.tls = Some(tls()), "session-reused"),
        (21, |entry| entry.priority = Some(50_000), "50000"),
        (21, |entry| entry.priority = Some(-1), "-1"),
        (21, |entry| entry.priority = None, "-"),
        (23, |entry| entry.actions = vec![ActionTaken::FixedResponse], "fixed-response"),
        (23, |entry| entry.actions = vec![ActionTaken::Authenticate, ActionTaken::Redirect], "authenticate,redirect"),
        (23, |entry| entry.action(ActionTaken::Rewrite), "forward,rewrite"),
        (24, |entry| entry.redirect_url(b"https://h.test:443/"), "https://h.test:443/"),
        (25, |entry| entry.error_reason = Some("AuthInvalidCookie"), "AuthInvalidCookie"),
        (26, |entry| entry.target("10.0.0.2:80".parse().unwrap()), "10.0.0.1:80 10.0.0.2:80"),
        (26, |entry| entry.target("10.0.0.1:80".parse().unwrap()), "10.0.0.1:80"),
        (27, |entry| entry.target("10.0.0.2:80".parse().unwrap()), "200 -"),
        (28, |entry| entry.classification = Some(("Ambiguous", "BothTeClPresent")), "Ambiguous"),
        (29, |entry| entry.classification = Some(("Ambiguous", "BothTeClPresent")), "BothTeClPresent"),
        (30, |entry| entry.connection_id = 0, "-"),
        (31, |entry| entry.transformed(Some(b"new.test"), None, Some("Completed")), "new.test"),
        (32, |entry| entry.transformed(None, Some(b"/new?q"), Some("Completed")), "/new?q"),
        (33, |entry| entry.transformed(None, None, Some("RegexMatchFailed")), "RegexMatchFailed"),
        (34, |_| {}, "10.0.0.9"),
    ];
    for (field, change, want) in cases {
        let mut entry = forwarded();
        change(&mut entry);
        let line = line(&entry);
        let fields = fields(&line);
        assert_eq!((fields.len(), fields[field - 1].as_str()), (34, *want), "field {field} of {line}");
    }
}

fn tls() -> Rc<TlsFacts> {
    Rc::new(TlsFacts {
        cipher: "ECDHE-RSA-AES128-GCM-SHA256".to_owned(),
        protocol: "TLSv1.2".to_owned(),
        server_name: Some("www.example.com".to_owned()),
        certificate: "session-reused".to_owned(),
    })
}

/// An entry that is used again starts empty.
#[test]
fn entries_are_reused_empty() {
    let mut used = forwarded();
    let log = used.log.clone().unwrap();
    used.reset(log, ENDED - 177_641);
    used.client = "192.168.131.39:2817".parse().unwrap();
    used.began = Instant::now();
    assert_eq!(line(&used), line(&entry()).replace(" 400 ", " 000 "));
}
