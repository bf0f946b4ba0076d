//! Each rule of alb.md 4 that the load balancer itself decides.

use super::*;
use crate::local::Local;
use crate::log::LogSink;
use crate::registry::Registry;
use elastane_domain::routing::{Admission, Snapshot, Stickiness, Target, TargetGroup};
use std::sync::Arc;

const NOW: Time = Time(1_893_456_000_000);
const LB: &str = "arn:lb";

fn secs(count: i64) -> Span {
    Span::from_secs(count)
}

/// Groups of two targets each with this stickiness, as a thread knows them.
fn groups(kinds: &[Option<StickinessKind>]) -> Vec<Rc<GroupLocal>> {
    let address = |group: usize, index: u8| SocketAddrV4::new([10, 0, group as u8, index].into(), 80);
    let config = |(number, kind): (usize, &Option<StickinessKind>)| {
        let target = |index| Target {
            instance: None,
            address: address(number, index),
            vpc: None,
            source: None,
            zone: None,
            admission: Admission::Registered,
        };
        let group = TargetGroup::http(format!("arn:group/{number}").into(), vec![target(0), target(1)]);
        Arc::new(TargetGroup { stickiness: kind.clone().map(|kind| Stickiness { kind, secs: 100 }), ..group })
    };
    let snapshot = Snapshot { target_groups: kinds.iter().enumerate().map(config).collect(), ..Snapshot::default() };
    let (table, _, _) = Registry::new(1).apply(&snapshot);
    let (logs, _) = LogSink::start(None, Arc::new(crate::clock::WallClock)).unwrap();
    let mut local = Local::new(logs);
    local.apply(&table, 0);
    snapshot.target_groups.iter().map(|group| local.groups[&group.arn].clone()).collect()
}

fn application() -> StickinessKind {
    StickinessKind::ApplicationCookie("SESSION".to_owned())
}

/// The lines that an answer of the target at this place sets.
fn lines(jar: &Jar, group: &GroupLocal, place: usize, group_secs: Option<u32>, app_cookie_set: bool) -> String {
    let target = &group.targets_of_test()[place];
    let answer = Answer { jar, balancer: LB, group, target, group_secs, app_cookie_set, now: NOW };
    let mut out = Vec::new();
    answer.write_lines(&mut out);
    String::from_utf8(out).unwrap()
}

/// A Cookie header that gives back what the lines set, without these names.
fn given_back(lines: &str, without: &[&str]) -> String {
    let pairs = lines.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")?.split(';').next());
    let kept = pairs.filter(|pair| !without.iter().any(|name| pair.split('=').next() == Some(*name)));
    kept.collect::<Vec<_>>().join("; ")
}

fn read(cookies: &str) -> Sticky {
    Sticky::read([cookies.as_bytes()].into_iter())
}

/// Rule 1: both cookies, with Expires in seven days and the path; the CORS
/// one with its attributes. A group without stickiness sets none.
#[test]
fn alb_4_1_cookies_of_the_load_balancer() {
    let jar = Jar::new([7; 32]);
    let groups = groups(&[Some(StickinessKind::LoadBalancerCookie), None]);
    let lines_of = lines(&jar, &groups[0], 0, None, false);
    let lines_of: Vec<&str> = lines_of.lines().collect();
    assert_eq!(lines_of.len(), 2);
    assert!(lines_of[0].starts_with("Set-Cookie: AWSALB="), "{}", lines_of[0]);
    assert!(lines_of[0].ends_with("; Expires=Tue, 08 Jan 2030 00:00:00 GMT; Path=/"), "{}", lines_of[0]);
    assert!(lines_of[1].starts_with("Set-Cookie: AWSALBCORS="), "{}", lines_of[1]);
    assert!(lines_of[1].ends_with("; Path=/; SameSite=None; Secure"), "{}", lines_of[1]);
    let value = |line: &str| line.split(['=', ';']).nth(1).unwrap().to_owned();
    assert_eq!(value(lines_of[0]), value(lines_of[1]));
    assert_eq!(lines(&jar, &groups[1], 0, None, true), "");
}

/// Rule 2: either cookie finds the target again, until the duration is over.
#[test]
fn alb_4_2_cookies_name_a_target() {
    let jar = Jar::new([7; 32]);
    let groups = groups(&[Some(StickinessKind::LoadBalancerCookie), Some(StickinessKind::LoadBalancerCookie)]);
    let set = lines(&jar, &groups[0], 1, None, false);
    for without in [&[][..], &["AWSALB"], &["AWSALBCORS"]] {
        let sticky = read(&given_back(&set, without));
        let found = |group: &GroupLocal, balancer, now| sticky.target(&jar, balancer, group, now);
        assert_eq!(found(&groups[0], LB, NOW + secs(100)), Some(1), "{without:?}");
        assert_eq!(found(&groups[0], LB, NOW + secs(101)), None, "older than the duration");
        assert_eq!(found(&groups[1], LB, NOW), None, "a target of another group");
        assert_eq!(found(&groups[0], "arn:other", NOW), None, "another load balancer's");
    }
    for cookies in ["", "AWSALB=", "AWSALB=nonsense", "XAWSALB=1; AWSALBX=2", "AWSALB=%41%41"] {
        assert_eq!(read(cookies).target(&jar, LB, &groups[0], NOW), None, "{cookies}");
    }
}

/// AWSALBCORS wins when both come.
#[test]
fn alb_4_cors_takes_precedence() {
    let jar = Jar::new([7; 32]);
    let groups = groups(&[Some(StickinessKind::LoadBalancerCookie)]);
    let plain = given_back(&lines(&jar, &groups[0], 0, None, false), &["AWSALBCORS"]);
    let cors = given_back(&lines(&jar, &groups[0], 1, None, false), &["AWSALB"]);
    assert_eq!(read(&format!("{plain}; {cors}")).target(&jar, LB, &groups[0], NOW), Some(1));
}

/// Rule 4: only when the target sets the application's cookie, and both must come back.
#[test]
fn alb_4_4_application_cookies() {
    let jar = Jar::new([7; 32]);
    let groups = groups(&[Some(application())]);
    assert_eq!(lines(&jar, &groups[0], 0, None, false), "");
    let set = lines(&jar, &groups[0], 1, None, true);
    assert!(set.starts_with("Set-Cookie: AWSALBAPP-0=") && set.lines().count() == 1, "{set}");
    let back = given_back(&set, &[]);
    assert_eq!(read(&format!("SESSION=x; {back}")).target(&jar, LB, &groups[0], NOW), Some(1));
    assert_eq!(read(&back).target(&jar, LB, &groups[0], NOW), None, "without the application's own");
    assert_eq!(groups[0].app_cookie(), Some("SESSION"));
    for (head, want) in [
        ("HTTP/1.1 200 OK\r\nSet-Cookie: SESSION=1; Path=/\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nA: b\r\nset-cookie:SESSION=\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nSet-Cookie: SESSION2=1\r\nX-Set-Cookie: SESSION=1\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nSet-Cookie: other=SESSION=1\r\n\r\n", false),
    ] {
        assert_eq!(sets_cookie(head.as_bytes(), "SESSION"), want, "{head}");
    }
}

/// Rule 5: the group's own cookies, for as long as the action says.
#[test]
fn alb_4_5_cookies_of_the_group() {
    let jar = Jar::new([7; 32]);
    let groups = groups(&[None, Some(StickinessKind::LoadBalancerCookie)]);
    let set = lines(&jar, &groups[1], 0, Some(50), false);
    let names: Vec<&str> = set.lines().map(|line| line["Set-Cookie: ".len()..].split('=').next().unwrap()).collect();
    assert_eq!(names, ["AWSALBTG", "AWSALBTGCORS", "AWSALB", "AWSALBCORS"]);
    let sticky = read(&given_back(&set, &[]));
    let found = |now| sticky.group(&jar, LB, 50, &groups, now);
    assert_eq!((found(NOW), found(NOW + secs(50)), found(NOW + secs(51))), (Some(1), Some(1), None));
    assert_eq!(sticky.group(&jar, LB, 50, &groups[..1], NOW), None, "the group is no more");
}

/// Cookies come from several headers, with or without spaces between them.
#[test]
fn cookie_headers() {
    let sticky = Sticky::read([b"a=1".as_slice(), b"b=2; c=3;d=4", b"xe=5"].into_iter());
    for (name, want) in [("a", Some("1")), ("b", Some("2")), ("c", Some("3")), ("d", Some("4")), ("e", None)] {
        assert_eq!(sticky.cookie(name.as_bytes()), want.map(str::as_bytes), "{name}");
    }
}
