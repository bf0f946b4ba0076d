//! Target groups and targets: health checks by protocol, attributes and what
//! must hold between them, addresses, anomalies.

use super::tests::*;
use crate::testing::{Lab, ask};
use elastane_domain::routing::ProxyFact;
use elastane_engine::Fact;
use elastane_engine::row::Subnet;
use elastane_wire::elbv2 as wire;

fn create(
    lab: &mut Lab,
    change: impl FnOnce(&mut wire::CreateTargetGroupInput),
) -> Result<wire::TargetGroup, elastane_wire::ApiError> {
    let mut input = group_input(lab, "group");
    change(&mut input);
    ask!(lab, Elbv2CreateTargetGroup, input).map(|output| output.target_groups.into_iter().next().expect("one"))
}

/// Defaults of each protocol's health checks.
#[test]
fn alb_5_1_defaults_by_protocol() {
    let cases = [
        ("HTTP", None, None, ("HTTP", 5, Some("/"), Some("200"), None)),
        ("HTTPS", None, None, ("HTTP", 5, Some("/"), Some("200"), None)),
        ("HTTP", Some("HTTP2"), None, ("HTTP", 5, Some("/"), Some("200"), None)),
        ("HTTP", Some("GRPC"), None, ("HTTP", 5, Some("/AWS.ALB/healthcheck"), None, Some("12"))),
        ("TCP", None, None, ("TCP", 10, None, None, None)),
        ("UDP", None, None, ("TCP", 10, None, None, None)),
        ("TLS", None, Some("HTTPS"), ("HTTPS", 10, Some("/"), Some("200-399"), None)),
        ("TCP_UDP", None, Some("HTTP"), ("HTTP", 6, Some("/"), Some("200-399"), None)),
    ];
    for (protocol, version, check, expected) in cases {
        let made = create(&mut Lab::new(), |input| {
            input.protocol = text(protocol);
            input.protocol_version = version.map(str::to_string);
            input.health_check_protocol = check.map(str::to_string);
        })
        .expect(protocol);
        let matcher = made.matcher.unwrap_or_default();
        let found = (
            made.health_check_protocol.as_deref().expect("always shown"),
            made.health_check_timeout_seconds.expect("always shown"),
            made.health_check_path.as_deref(),
            matcher.http_code.as_deref(),
            matcher.grpc_code.as_deref(),
        );
        assert_eq!(found, expected, "{protocol} {version:?}");
        let thresholds = (made.healthy_threshold_count, made.unhealthy_threshold_count);
        assert_eq!((thresholds, made.health_check_interval_seconds), ((Some(5), Some(2)), Some(30)));
        let shown = matches!(protocol, "HTTP" | "HTTPS").then(|| version.unwrap_or("HTTP1"));
        assert_eq!(made.protocol_version.as_deref(), shown);
    }
}

/// What is refused of a new group.
#[test]
fn bad_groups_are_refused() {
    type Change = fn(&mut wire::CreateTargetGroupInput);
    let matcher = |input: &mut wire::CreateTargetGroupInput, http: Option<&str>, grpc: Option<&str>| {
        input.matcher =
            Some(wire::Matcher { http_code: http.map(str::to_string), grpc_code: grpc.map(str::to_string) });
    };
    let cases: [(&str, Change); 12] = [
        ("lambda", |input| input.target_type = text("lambda")),
        ("alb", |input| input.target_type = text("alb")),
        ("no protocol", |input| input.protocol = None),
        ("GENEVE", |input| input.protocol = text("GENEVE")),
        ("a version of TCP", |input| (input.protocol, input.protocol_version) = (text("TCP"), text("HTTP1"))),
        ("an unknown version", |input| input.protocol_version = text("HTTP3")),
        ("IPv6", |input| input.ip_address_type = text("ipv6")),
        ("a TCP check of HTTP", |input| input.health_check_protocol = text("TCP")),
        ("a UDP check", |input| (input.protocol, input.health_check_protocol) = (text("UDP"), text("UDP"))),
        ("a path of TCP", |input| (input.protocol, input.health_check_path) = (text("TCP"), text("/"))),
        ("checks that overlap", |input| input.health_check_interval_seconds = Some(5)),
        ("no checks", |input| input.health_check_enabled = Some(false)),
    ];
    for (why, change) in cases {
        assert_eq!(create(&mut Lab::new(), change).expect_err(why).code, "ValidationError", "{why}");
    }
    for (protocol, version, http, grpc, good) in [
        ("HTTP", None, Some("499"), None, true),
        ("HTTP", None, Some("500"), None, false),
        ("HTTP", None, None, Some("12"), false),
        ("HTTP", Some("GRPC"), None, Some("0-99"), true),
        ("HTTP", Some("GRPC"), None, Some("100"), false),
        ("HTTP", Some("GRPC"), Some("200"), None, false),
        ("TCP", None, Some("200-599"), None, true),
    ] {
        let made = create(&mut Lab::new(), |input| {
            input.protocol = text(protocol);
            input.protocol_version = version.map(str::to_string);
            input.health_check_protocol = text("HTTP");
            matcher(input, http, grpc);
        });
        assert_eq!(made.is_ok(), good, "{protocol} {version:?} {http:?} {grpc:?}");
    }
}

fn set(
    lab: &mut Lab,
    group: &str,
    attributes: &[(&str, &str)],
) -> Result<Vec<(String, String)>, elastane_wire::ApiError> {
    let attributes =
        attributes.iter().map(|(key, value)| wire::TargetGroupAttribute { key: text(key), value: text(value) });
    let input =
        wire::ModifyTargetGroupAttributesInput { target_group_arn: text(group), attributes: attributes.collect() };
    let pair = |one: wire::TargetGroupAttribute| (one.key.unwrap_or_default(), one.value.unwrap_or_default());
    ask!(lab, Elbv2ModifyTargetGroupAttributes, input).map(|output| output.attributes.into_iter().map(pair).collect())
}

const ALGORITHM: &str = "load_balancing.algorithm.type";
const DNS: &str = "target_group_health.dns_failover.minimum_healthy_targets.count";
const ROUTING: &str = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count";

/// Attributes of HTTP groups: ranges, and what must hold between them.
#[test]
fn alb_3_1_attributes() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
    let cases: [Case<'_>; 24] = [
        (&[("deregistration_delay.timeout_seconds", "3601")], Some("ValidationError")),
        (&[("slow_start.duration_seconds", "29")], Some("ValidationError")),
        (&[("slow_start.duration_seconds", "30")], None),
        (&[("slow_start.duration_seconds", "901")], Some("ValidationError")),
        (
            &[("slow_start.duration_seconds", "30"), (ALGORITHM, "least_outstanding_requests")],
            Some("InvalidConfigurationRequest"),
        ),
        (&[(ALGORITHM, "weighted_random")], None),
        (&[("load_balancing.algorithm.anomaly_mitigation", "on")], Some("InvalidConfigurationRequest")),
        (&[("load_balancing.algorithm.anomaly_mitigation", "on"), (ALGORITHM, "weighted_random")], None),
        (&[("stickiness.enabled", "true")], None),
        (&[("stickiness.enabled", "true"), (ALGORITHM, "weighted_random")], Some("InvalidConfigurationRequest")),
        (
            &[("stickiness.enabled", "true"), ("load_balancing.cross_zone.enabled", "false")],
            Some("InvalidConfigurationRequest"),
        ),
        (&[("stickiness.enabled", "true"), ("stickiness.type", "app_cookie")], Some("ValidationError")),
        (
            &[
                ("stickiness.enabled", "true"),
                ("stickiness.type", "app_cookie"),
                ("stickiness.app_cookie.cookie_name", "session"),
            ],
            None,
        ),
        (&[("stickiness.app_cookie.cookie_name", "AWSALBAPP-0")], Some("ValidationError")),
        (&[("stickiness.app_cookie.cookie_name", "a b")], Some("ValidationError")),
        (&[("stickiness.type", "source_ip")], Some("ValidationError")),
        (&[("stickiness.lb_cookie.duration_seconds", "604801")], Some("ValidationError")),
        (&[(DNS, "off")], None),
        (&[(ROUTING, "off")], Some("ValidationError")),
        (&[(ROUTING, "2")], Some("InvalidConfigurationRequest")),
        (&[(ROUTING, "2"), (DNS, "2")], None),
        (&[("load_balancing.cross_zone.enabled", "false")], None),
        (&[("preserve_client_ip.enabled", "true")], Some("ValidationError")),
        (&[("stickiness.enabled", "true"), ("stickiness.enabled", "true")], Some("ValidationError")),
    ];
    for (attributes, code) in cases {
        let mut lab = Lab::new();
        let group = group(&mut lab, "web");
        let result = set(&mut lab, &group, attributes).err();
        assert_eq!(result.as_ref().map(|err| err.code.as_ref()), code, "{attributes:?}: {result:?}");
    }
    let mut lab = Lab::new();
    let group = group(&mut lab, "web");
    let shown = set(&mut lab, &group, &[("stickiness.enabled", "false")]).expect("the default");
    let pairs: Vec<(&str, &str)> = shown.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!((set(&mut lab, &group, &pairs).expect("all defaults"), shown.len()), (shown.clone(), 14));
}

/// Attributes of network load balancers' groups: defaults by protocol and
/// target type.
#[test]
fn alb_13_attributes() {
    let mut lab = Lab::new();
    let mut n = 0;
    let mut group = |lab: &mut Lab, protocol: &str, kind: &str| {
        n += 1;
        let made = create(lab, |input| {
            input.name = text(&format!("g{n}"));
            (input.protocol, input.target_type) = (text(protocol), text(kind));
        });
        made.expect("a good group").target_group_arn.expect("an ARN")
    };
    for (protocol, kind, preserves) in
        [("TCP", "instance", "true"), ("TCP", "ip", "false"), ("TLS", "ip", "false"), ("UDP", "ip", "true")]
    {
        let arn = group(&mut lab, protocol, kind);
        let shown = set(&mut lab, &arn, &[("proxy_protocol_v2.enabled", "true")]).expect("a good value");
        let of = |key: &str| shown.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
        assert_eq!(of("preserve_client_ip.enabled"), Some(preserves), "{protocol} {kind}");
        assert_eq!((of("proxy_protocol_v2.enabled"), of("stickiness.type")), (Some("true"), Some("source_ip")));
        assert_eq!(of("load_balancing.algorithm.type"), None);
    }
    for (protocol, attribute, code) in [
        ("UDP", ("preserve_client_ip.enabled", "false"), "InvalidConfigurationRequest"),
        ("TLS", ("stickiness.enabled", "true"), "InvalidConfigurationRequest"),
        ("TCP", ("slow_start.duration_seconds", "30"), "ValidationError"),
    ] {
        let arn = group(&mut lab, protocol, "instance");
        assert_eq!(set(&mut lab, &arn, &[attribute]).expect_err(protocol).code, code);
    }
}

/// Addresses: the VPC's in their subnet's zone or in all, private ones beyond
/// in all only; instances have their own zone.
#[test]
fn zones_of_targets() {
    let mut lab = Lab::new();
    let subnet = lab.rows::<Subnet>()[0].clone();
    let other = lab.rows::<Subnet>().iter().find(|row| row.zone != subnet.zone).expect("two zones").zone.to_string();
    let (zone, here) = (subnet.zone.to_string(), subnet.cidr.nth(99).expect("a large subnet").to_string());
    let group = create(&mut lab, |input| input.target_type = text("ip")).expect("good").target_group_arn;
    let target = |id: &str, zone: Option<&str>| wire::TargetDescription {
        id: text(id),
        availability_zone: zone.map(str::to_string),
        ..Default::default()
    };
    for (id, given, code) in [
        (here.as_str(), None, None),
        (here.as_str(), Some(zone.as_str()), None),
        (here.as_str(), Some(other.as_str()), Some("InvalidTarget")),
        (here.as_str(), Some("mars"), Some("ValidationError")),
        (here.as_str(), Some("all"), None),
        ("10.9.0.1", None, Some("ValidationError")),
        ("10.9.0.1", Some(zone.as_str()), Some("ValidationError")),
        ("10.9.0.1", Some("all"), None),
        ("100.64.0.1", Some("all"), None),
    ] {
        let input = wire::RegisterTargetsInput { target_group_arn: group.clone(), targets: vec![target(id, given)] };
        let result = ask!(lab, Elbv2RegisterTargets, input).err().map(|err| err.code.into_owned());
        assert_eq!(result.as_deref(), code, "{id} {given:?}");
    }
    let input = wire::DescribeTargetHealthInput { target_group_arn: group, ..Default::default() };
    let shown = ask!(lab, Elbv2DescribeTargetHealth, input).expect("a group").target_health_descriptions;
    assert!(
        shown
            .iter()
            .all(|one| { one.target.as_ref().and_then(|target| target.availability_zone.as_deref()) == Some("all") })
    );
    let web = group_input(&lab, "web");
    let web = ask!(lab, Elbv2CreateTargetGroup, web).expect("good").target_groups.remove(0).target_group_arn;
    let id = lab.running(1).remove(0);
    let input = wire::RegisterTargetsInput { target_group_arn: web, targets: vec![target(id.as_str(), Some(&zone))] };
    assert_eq!(ask!(lab, Elbv2RegisterTargets, input).expect_err("its own zone").code, "ValidationError");
}

/// Anomalies are shown when they are asked for.
#[test]
fn alb_3_4_anomalies() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    listener(&mut lab, &made, 80, &web);
    let id = lab.running(1).remove(0);
    register(&mut lab, &web, id.as_str()).expect("it runs");
    lab.pass(1);
    let describe = |lab: &mut Lab, include: &[&str]| {
        let include = include.iter().map(ToString::to_string).collect();
        let input = wire::DescribeTargetHealthInput { target_group_arn: text(&web), include, ..Default::default() };
        ask!(lab, Elbv2DescribeTargetHealth, input).map(|output| output.target_health_descriptions[0].clone())
    };
    assert_eq!(describe(&mut lab, &[]).expect("good").anomaly_detection, None);
    assert_eq!(describe(&mut lab, &["Everything"]).expect_err("unknown").code, "ValidationError");
    let shown = |result: &str, mitigated: &str| {
        Some(wire::AnomalyDetection { result: text(result), mitigation_in_effect: text(mitigated) })
    };
    assert_eq!(describe(&mut lab, &["AnomalyDetection"]).expect("good").anomaly_detection, shown("normal", "no"));
    let target = key(&lab);
    // While its share grows again, mitigation is in effect for a target that is normal.
    for (anomalous, mitigated, wanted) in [
        (true, true, shown("anomalous", "yes")),
        (false, true, shown("normal", "yes")),
        (true, false, shown("anomalous", "no")),
        (false, false, shown("normal", "no")),
    ] {
        lab.facts(vec![Fact::Proxy(ProxyFact::Anomaly { target: target.clone(), anomalous, mitigated })]);
        assert_eq!(describe(&mut lab, &["All"]).expect("good").anomaly_detection, wanted);
    }
}
