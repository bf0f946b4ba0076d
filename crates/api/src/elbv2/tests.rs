//! Handlers of Elastic Load Balancing against a real engine: what all nouns
//! have in common, and the scene that the other tests build on.

use crate::testing::{Lab, ask};
use elastane_domain::id::InstanceId;
use elastane_domain::machine::{Generation, HostFact};
use elastane_domain::routing::{ProxyFact, Snapshot, TargetHealth, TargetKey, UnhealthyReason};
use elastane_engine::row::{Subnet, Target, TargetGroup};
use elastane_engine::{Effect, Fact, targets};
use elastane_wire::elbv2 as wire;
use std::sync::Arc;

pub(super) fn text(text: &str) -> Option<String> {
    Some(text.to_string())
}

pub(super) fn subnets(lab: &Lab, count: usize) -> Vec<String> {
    lab.rows::<Subnet>().iter().take(count).map(|row| row.id.to_string()).collect()
}

pub(super) fn balancer_input(lab: &Lab, name: &str) -> wire::CreateLoadBalancerInput {
    wire::CreateLoadBalancerInput { name: text(name), subnets: subnets(lab, 2), ..Default::default() }
}

pub(super) fn balancer(lab: &mut Lab, name: &str) -> wire::LoadBalancer {
    let input = balancer_input(lab, name);
    ask!(lab, Elbv2CreateLoadBalancer, input).expect("a good load balancer").load_balancers.remove(0)
}

pub(super) fn group_input(lab: &Lab, name: &str) -> wire::CreateTargetGroupInput {
    wire::CreateTargetGroupInput {
        name: text(name),
        protocol: text("HTTP"),
        port: Some(8080),
        vpc_id: Some(lab.rows::<Subnet>()[0].vpc.to_string()),
        ..Default::default()
    }
}

pub(super) fn group(lab: &mut Lab, name: &str) -> String {
    let input = group_input(lab, name);
    let output = ask!(lab, Elbv2CreateTargetGroup, input).expect("a good target group");
    output.target_groups[0].target_group_arn.clone().expect("an ARN")
}

pub(super) fn forward(group: &str) -> Vec<wire::Action> {
    vec![wire::Action { r#type: text("forward"), target_group_arn: text(group), ..Default::default() }]
}

pub(super) fn listener_input(
    balancer: &wire::LoadBalancer,
    port: i32,
    actions: Vec<wire::Action>,
) -> wire::CreateListenerInput {
    wire::CreateListenerInput {
        load_balancer_arn: balancer.load_balancer_arn.clone(),
        protocol: text("HTTP"),
        port: Some(port),
        default_actions: actions,
        ..Default::default()
    }
}

pub(super) fn listener(lab: &mut Lab, balancer: &wire::LoadBalancer, port: i32, group: &str) -> wire::Listener {
    let input = listener_input(balancer, port, forward(group));
    ask!(lab, Elbv2CreateListener, input).expect("a good listener").listeners.remove(0)
}

pub(super) fn described(ids: &[&str]) -> Vec<wire::TargetDescription> {
    ids.iter().map(|id| wire::TargetDescription { id: text(id), ..Default::default() }).collect()
}

pub(super) fn register(
    lab: &mut Lab,
    group: &str,
    id: &str,
) -> Result<wire::RegisterTargetsOutput, elastane_wire::ApiError> {
    let input = wire::RegisterTargetsInput { target_group_arn: text(group), targets: described(&[id]) };
    ask!(lab, Elbv2RegisterTargets, input)
}

/// State and reason of each target asked for, or of all.
pub(super) fn health(lab: &mut Lab, group: &str, ids: &[&str]) -> Vec<(String, String)> {
    let targets = described(ids);
    let input = wire::DescribeTargetHealthInput { target_group_arn: text(group), targets, ..Default::default() };
    let output = ask!(lab, Elbv2DescribeTargetHealth, input).expect("a group");
    let health = output.target_health_descriptions.into_iter().filter_map(|description| description.target_health);
    health.map(|health| (health.state.unwrap_or_default(), health.reason.unwrap_or_default())).collect()
}

pub(super) fn key(lab: &Lab) -> TargetKey {
    let target: &Target = &lab.rows::<Target>()[0];
    targets::key(lab.view().tables, target).expect("a target with an instance")
}

pub(super) fn state(state: &str, reason: &str) -> Vec<(String, String)> {
    vec![(state.to_string(), reason.to_string())]
}

pub(super) fn routed(effects: Vec<Effect>) -> Option<Arc<Snapshot>> {
    effects.into_iter().rev().find_map(|effect| match effect {
        Effect::Route(snapshot) => Some(snapshot),
        _ => None,
    })
}

/// A new load balancer is active, spans its zones on its own loopback
/// address, has AWS's shapes of ARN and the VPC's default security group,
/// and a name that leads to this machine.
#[test]
fn load_balancers_look_like_aws() {
    let mut lab = Lab::new();
    let made = balancer(&mut lab, "shop");
    let arn = made.load_balancer_arn.clone().expect("an ARN");
    let id = arn
        .strip_prefix("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/shop/")
        .expect("AWS's shape");
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let dns = made.dns_name.clone().expect("a name");
    assert!(dns.starts_with("shop-") && dns.ends_with(".us-east-1.elb.localhost"), "{dns}");
    assert_eq!(made.security_groups.len(), 1);
    assert_eq!(made.state.as_ref().and_then(|state| state.code.as_deref()), Some("active"));
    let zones: Vec<&str> = made.availability_zones.iter().filter_map(|zone| zone.zone_name.as_deref()).collect();
    assert_eq!(zones.len(), 2);
    let addresses = made.availability_zones.iter().flat_map(|zone| &zone.load_balancer_addresses);
    let addresses: Vec<&str> = addresses.filter_map(|address| address.ip_address.as_deref()).collect();
    assert_eq!(addresses, ["127.64.0.1", "127.64.0.2"], "one a zone");

    let input = wire::DescribeLoadBalancersInput { names: vec!["shop".to_string()], ..Default::default() };
    assert_eq!(ask!(lab, Elbv2DescribeLoadBalancers, input).expect("it exists").load_balancers, vec![made]);
}

/// The same settings give the same load balancer or target group, others
/// under the same name are refused.
#[test]
fn creation_is_idempotent() {
    let mut lab = Lab::new();
    let first = balancer(&mut lab, "shop");
    assert_eq!(balancer(&mut lab, "shop"), first);
    let other = wire::CreateLoadBalancerInput { scheme: text("internal"), ..balancer_input(&lab, "shop") };
    let err = ask!(lab, Elbv2CreateLoadBalancer, other).expect_err("other settings");
    assert_eq!(err.code, "DuplicateLoadBalancerName");

    let first = group(&mut lab, "web");
    assert_eq!(group(&mut lab, "web"), first);
    let other = wire::CreateTargetGroupInput { port: Some(80), ..group_input(&lab, "web") };
    let err = ask!(lab, Elbv2CreateTargetGroup, other).expect_err("other settings");
    assert_eq!(err.code, "DuplicateTargetGroupName");
}

/// Each malformed or unsupported load balancer has its error.
#[test]
fn bad_load_balancers_are_refused() {
    let mut lab = Lab::new();
    let good = || balancer_input(&lab, "shop");
    let cases = [
        ("ValidationError", wire::CreateLoadBalancerInput { name: text("-shop"), ..good() }),
        ("ValidationError", wire::CreateLoadBalancerInput { name: text("internal-shop"), ..good() }),
        ("ValidationError", wire::CreateLoadBalancerInput { name: text(&"a".repeat(33)), ..good() }),
        ("ValidationError", wire::CreateLoadBalancerInput { r#type: text("gateway"), ..good() }),
        ("ValidationError", wire::CreateLoadBalancerInput { r#type: text("classic"), ..good() }),
        ("InvalidScheme", wire::CreateLoadBalancerInput { scheme: text("public"), ..good() }),
        ("InvalidConfigurationRequest", wire::CreateLoadBalancerInput { ip_address_type: text("dualstack"), ..good() }),
        ("ValidationError", wire::CreateLoadBalancerInput { subnets: subnets(&lab, 1), ..good() }),
        ("SubnetNotFound", wire::CreateLoadBalancerInput { subnets: vec!["subnet-0".to_string()], ..good() }),
        ("InvalidSecurityGroup", wire::CreateLoadBalancerInput { security_groups: vec!["sg-0".to_string()], ..good() }),
    ];
    for (code, input) in cases {
        let shown = format!("{input:?}");
        let err = ask!(lab, Elbv2CreateLoadBalancer, input).expect_err(&shown);
        assert_eq!(err.code, code, "{shown}: {}", err.message);
    }
}

/// Deleting a load balancer deletes its listeners and frees its target
/// groups; deletion protection prevents it; a missing one is no error.
#[test]
fn deletion_of_load_balancers() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    listener(&mut lab, &made, 80, &web);
    let delete = wire::DeleteTargetGroupInput { target_group_arn: text(&web) };
    let err = ask!(lab, Elbv2DeleteTargetGroup, delete.clone()).expect_err("a listener uses it");
    assert_eq!(err.code, "ResourceInUse");
    assert!(err.message.contains("is currently in use by a listener or a rule"));

    let mut protect = |value: &str| {
        let attribute = wire::LoadBalancerAttribute { key: text("deletion_protection.enabled"), value: text(value) };
        let load_balancer_arn = made.load_balancer_arn.clone();
        let input = wire::ModifyLoadBalancerAttributesInput { load_balancer_arn, attributes: vec![attribute] };
        ask!(lab, Elbv2ModifyLoadBalancerAttributes, input).expect("a known attribute");
        let input = wire::DeleteLoadBalancerInput { load_balancer_arn: made.load_balancer_arn.clone() };
        ask!(lab, Elbv2DeleteLoadBalancer, input)
    };
    assert_eq!(protect("true").expect_err("protected").code, "OperationNotPermitted");
    protect("false").expect("no longer protected");
    protect_gone(&mut lab, &made);
    ask!(lab, Elbv2DeleteTargetGroup, delete).expect("no listener is left");
}

fn protect_gone(lab: &mut Lab, made: &wire::LoadBalancer) {
    let delete = wire::DeleteLoadBalancerInput { load_balancer_arn: made.load_balancer_arn.clone() };
    ask!(lab, Elbv2DeleteLoadBalancer, delete).expect("a missing one is no error");
    let names = vec!["shop".to_string()];
    let input = wire::DescribeLoadBalancersInput { names, ..Default::default() };
    assert_eq!(ask!(lab, Elbv2DescribeLoadBalancers, input).expect_err("it is gone").code, "LoadBalancerNotFound");
}

/// A forward to one group is shown in both forms, with weight and order.
#[test]
fn forwards_are_shown_in_both_forms() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    let listener = listener(&mut lab, &made, 80, &web);
    let action = &listener.default_actions[0];
    assert_eq!((action.order, action.target_group_arn.as_deref()), (Some(1), Some(web.as_str())));
    let config = action.forward_config.as_ref().expect("the long form");
    assert_eq!(config.target_groups, [wire::TargetGroupTuple { target_group_arn: text(&web), weight: Some(1) }]);
    assert_eq!(config.target_group_stickiness_config.as_ref().and_then(|c| c.enabled), Some(false));
    let groups =
        wire::DescribeTargetGroupsInput { load_balancer_arn: made.load_balancer_arn.clone(), ..Default::default() };
    let groups = ask!(lab, Elbv2DescribeTargetGroups, groups).expect("a load balancer").target_groups;
    assert_eq!(groups[0].load_balancer_arns, [made.load_balancer_arn.expect("an ARN")]);
}

/// Each listener that AWS or Elastane refuses has its error.
#[test]
fn bad_listeners_are_refused() {
    let mut lab = Lab::new();
    let (shop, other) = (balancer(&mut lab, "shop"), balancer(&mut lab, "other"));
    let (web, missing) = (group(&mut lab, "web"), group(&mut lab, "gone"));
    ask!(lab, Elbv2DeleteTargetGroup, wire::DeleteTargetGroupInput { target_group_arn: text(&missing) })
        .expect("unused");
    listener(&mut lab, &shop, 80, &web);
    let typed = |kind: &str| vec![wire::Action { r#type: text(kind), ..Default::default() }];
    let fixed = |status: &str, body: &str| {
        let config =
            wire::FixedResponseActionConfig { content_type: None, message_body: text(body), status_code: text(status) };
        vec![wire::Action { r#type: text("fixed-response"), fixed_response_config: Some(config), ..Default::default() }]
    };
    let weighted = |weight: i32| {
        let target_groups = vec![wire::TargetGroupTuple { target_group_arn: text(&web), weight: Some(weight) }];
        let config = wire::ForwardActionConfig { target_groups, ..Default::default() };
        vec![wire::Action { r#type: text("forward"), forward_config: Some(config), ..Default::default() }]
    };
    for (code, input) in [
        ("DuplicateListener", listener_input(&shop, 80, fixed("503", ""))),
        ("TargetGroupAssociationLimit", listener_input(&other, 80, forward(&web))),
        ("TargetGroupNotFound", listener_input(&shop, 81, forward(&missing))),
        ("ValidationError", listener_input(&shop, 0, forward(&web))),
        ("ValidationError", listener_input(&shop, 81, weighted(1000))),
        ("ValidationError", listener_input(&shop, 81, typed("redirect"))),
        ("ValidationError", listener_input(&shop, 81, typed("forward"))),
        ("ValidationError", listener_input(&shop, 81, Vec::new())),
        ("ValidationError", listener_input(&shop, 81, fixed("302", ""))),
        ("ValidationError", listener_input(&shop, 81, fixed("200", &"x".repeat(1025)))),
        (
            "ValidationError",
            wire::CreateListenerInput { protocol: text("HTTPS"), ..listener_input(&shop, 81, forward(&web)) },
        ),
    ] {
        let shown = format!("{input:?}");
        let err = ask!(lab, Elbv2CreateListener, input).expect_err(&shown);
        assert_eq!(err.code, code, "{shown}: {}", err.message);
    }
    ask!(lab, Elbv2CreateListener, listener_input(&shop, 81, fixed("503", "closed"))).expect("a good answer");
    ask!(lab, Elbv2CreateListener, listener_input(&shop, 82, forward(&web))).expect("the same load balancer");
}

/// What is left out of ModifyListener stays; the port must be free.
#[test]
fn listeners_change() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    let first = listener(&mut lab, &made, 80, &web);
    listener(&mut lab, &made, 81, &web);
    let modify = |port: i32| wire::ModifyListenerInput {
        listener_arn: first.listener_arn.clone(),
        port: Some(port),
        ..Default::default()
    };
    assert_eq!(ask!(lab, Elbv2ModifyListener, modify(81)).expect_err("taken").code, "DuplicateListener");
    let changed = ask!(lab, Elbv2ModifyListener, modify(82)).expect("free").listeners.remove(0);
    assert_eq!(changed, wire::Listener { port: Some(82), ..first.clone() });
    let delete = wire::DeleteListenerInput { listener_arn: first.listener_arn };
    ask!(lab, Elbv2DeleteListener, delete.clone()).expect("it exists");
    assert_eq!(ask!(lab, Elbv2DeleteListener, delete).expect_err("it is gone").code, "ListenerNotFound");
}

/// Health of a target from registration to its end: every state, from rows
/// and from what the data plane says.
#[test]
fn health_of_a_target() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    let id = lab.running(1).remove(0);
    let id = id.as_str();
    assert_eq!(health(&mut lab, &web, &[id]), state("unused", "Target.NotRegistered"));
    register(&mut lab, &web, id).expect("it runs");
    assert_eq!(health(&mut lab, &web, &[]), state("unused", "Target.NotInUse"));
    listener(&mut lab, &made, 80, &web);
    assert_eq!(health(&mut lab, &web, &[]), state("initial", "Elb.RegistrationInProgress"));
    let target = key(&lab);
    for (seen, expected) in [
        (TargetHealth::Initial, state("initial", "Elb.InitialHealthChecking")),
        (TargetHealth::Healthy, state("healthy", "")),
        (
            TargetHealth::Unhealthy(UnhealthyReason::ResponseCodeMismatch(500)),
            state("unhealthy", "Target.ResponseCodeMismatch"),
        ),
        (TargetHealth::Unhealthy(UnhealthyReason::Timeout), state("unhealthy", "Target.Timeout")),
        (TargetHealth::Unhealthy(UnhealthyReason::FailedHealthChecks), state("unhealthy", "Target.FailedHealthChecks")),
    ] {
        lab.facts(vec![Fact::Proxy(ProxyFact::Health { target: target.clone(), health: seen })]);
        assert_eq!(health(&mut lab, &web, &[]), expected);
    }
    let deregister = wire::DeregisterTargetsInput { target_group_arn: text(&web), targets: described(&[id]) };
    ask!(lab, Elbv2DeregisterTargets, deregister).expect("registered or not");
    assert_eq!(health(&mut lab, &web, &[]), state("draining", "Target.DeregistrationInProgress"));
    register(&mut lab, &web, id).expect("it still runs");
    // One that was draining starts anew as soon as the data plane says so.
    lab.facts(vec![Fact::Proxy(ProxyFact::Health { target, health: TargetHealth::Initial })]);
    assert_eq!(health(&mut lab, &web, &[]), state("initial", "Elb.InitialHealthChecking"));
    stop(&mut lab, id);
    assert_eq!(health(&mut lab, &web, &[]), state("unused", "Target.InvalidState"));
}

/// The instance shuts itself down.
pub(super) fn stop(lab: &mut Lab, id: &str) {
    let exited = HostFact::Exited { instance: InstanceId::from(id), generation: Generation(1) };
    lab.facts(vec![Fact::Host(exited)]);
}

/// Only running instances of the VPC can be registered with an instance
/// group, only private addresses with an address group; a call registers all
/// of its targets or none.
#[test]
fn registration_is_checked() {
    let mut lab = Lab::new();
    let web = group(&mut lab, "web");
    let id = lab.running(1).remove(0);
    let both = described(&[id.as_str(), "i-00000000000000000"]);
    let input = wire::RegisterTargetsInput { target_group_arn: text(&web), targets: both };
    assert_eq!(ask!(lab, Elbv2RegisterTargets, input).expect_err("one is unknown").code, "InvalidTarget");
    assert!(lab.rows::<Target>().is_empty());
    stop(&mut lab, id.as_str());
    assert_eq!(register(&mut lab, &web, id.as_str()).expect_err("stopped").code, "InvalidTarget");

    let input = wire::CreateTargetGroupInput { target_type: text("ip"), ..group_input(&lab, "addresses") };
    let made = ask!(lab, Elbv2CreateTargetGroup, input).expect("a good group").target_groups.remove(0);
    let addresses = made.target_group_arn.expect("an ARN");
    for (address, code) in [
        ("172.31.0.9", None),
        ("10.1.2.3", Some("ValidationError")),
        ("8.8.8.8", Some("InvalidTarget")),
        ("localhost", Some("ValidationError")),
    ] {
        let result = register(&mut lab, &addresses, address).err().map(|err| err.code.into_owned());
        assert_eq!(result.as_deref(), code, "{address}");
    }
}

/// The deregistration delay that was set is the time that a target drains.
#[test]
fn the_deregistration_delay_counts() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    listener(&mut lab, &made, 80, &web);
    let id = lab.running(1).remove(0);
    register(&mut lab, &web, id.as_str()).expect("it runs");
    let attribute = wire::TargetGroupAttribute { key: text("deregistration_delay.timeout_seconds"), value: text("10") };
    let input = wire::ModifyTargetGroupAttributesInput { target_group_arn: text(&web), attributes: vec![attribute] };
    ask!(lab, Elbv2ModifyTargetGroupAttributes, input).expect("a known attribute");
    let input = wire::DeregisterTargetsInput { target_group_arn: text(&web), targets: described(&[id.as_str()]) };
    ask!(lab, Elbv2DeregisterTargets, input).expect("registered");
    lab.pass(9);
    assert_eq!(health(&mut lab, &web, &[]), state("draining", "Target.DeregistrationInProgress"));
    lab.pass(1);
    assert!(lab.rows::<Target>().is_empty());
}

/// Rows become the routing snapshot: listener, weight, algorithm, target.
#[test]
fn the_data_plane_hears_of_it() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    listener(&mut lab, &made, 80, &web);
    let id = lab.running(1).remove(0);
    register(&mut lab, &web, id.as_str()).expect("it runs");
    let snapshot = routed(lab.pass(1)).expect("something changed");
    assert_eq!(snapshot.load_balancers[0].listeners[0].port, 80);
    assert!(snapshot.target_groups[0].checked);
    assert_eq!(snapshot.target_groups[0].targets[0].instance.as_ref(), Some(&id));
}

/// Deleting an unused group deletes its targets, and what was seen of them.
#[test]
fn groups_take_their_targets_along() {
    let mut lab = Lab::new();
    let web = group(&mut lab, "web");
    let id = lab.running(1).remove(0);
    register(&mut lab, &web, id.as_str()).expect("it runs");
    let health = TargetHealth::Healthy;
    let target = key(&lab);
    lab.facts(vec![Fact::Proxy(ProxyFact::Health { target, health })]);
    ask!(lab, Elbv2DeleteTargetGroup, wire::DeleteTargetGroupInput { target_group_arn: text(&web) }).expect("unused");
    assert!(lab.rows::<TargetGroup>().is_empty() && lab.rows::<Target>().is_empty());
    assert!(lab.engine.state().seen.health.is_empty());
}

/// Defaults of a target group, and each bad health check.
#[test]
fn health_check_settings() {
    let mut lab = Lab::new();
    let input = group_input(&lab, "web");
    let made = ask!(lab, Elbv2CreateTargetGroup, input).expect("a good group").target_groups.remove(0);
    assert_eq!(
        (made.health_check_interval_seconds, made.health_check_timeout_seconds, made.healthy_threshold_count),
        (Some(30), Some(5), Some(5))
    );
    assert_eq!(
        (made.health_check_port.as_deref(), made.protocol_version.as_deref()),
        (Some("traffic-port"), Some("HTTP1"))
    );
    let arn = made.target_group_arn.clone();
    let modify = || wire::ModifyTargetGroupInput { target_group_arn: arn.clone(), ..Default::default() };
    let matcher = |codes: &str| Some(wire::Matcher { http_code: text(codes), grpc_code: None });
    for input in [
        wire::ModifyTargetGroupInput { health_check_interval_seconds: Some(4), ..modify() },
        wire::ModifyTargetGroupInput { health_check_interval_seconds: Some(5), ..modify() },
        wire::ModifyTargetGroupInput { health_check_path: text("health"), ..modify() },
        wire::ModifyTargetGroupInput { health_check_path: text("/a b"), ..modify() },
        wire::ModifyTargetGroupInput { health_check_port: text("0"), ..modify() },
        wire::ModifyTargetGroupInput { health_check_enabled: Some(false), ..modify() },
        wire::ModifyTargetGroupInput { health_check_protocol: text("TCP"), ..modify() },
        wire::ModifyTargetGroupInput { matcher: matcher("500"), ..modify() },
    ] {
        let shown = format!("{input:?}");
        assert_eq!(ask!(lab, Elbv2ModifyTargetGroup, input).expect_err(&shown).code, "ValidationError", "{shown}");
    }
    let input =
        wire::ModifyTargetGroupInput { matcher: matcher("200-299,401"), health_check_port: text("9000"), ..modify() };
    let changed = ask!(lab, Elbv2ModifyTargetGroup, input).expect("good settings").target_groups.remove(0);
    assert_eq!(changed, wire::TargetGroup { matcher: matcher("200-299,401"), health_check_port: text("9000"), ..made });
}

/// Every attribute is shown with its default and can be set to it, as
/// Terraform does; unknown keys get the sentence that Terraform looks for;
/// what would have no effect is refused.
#[test]
fn attributes() {
    let mut lab = Lab::new();
    let arn = balancer(&mut lab, "shop").load_balancer_arn;
    let input = wire::DescribeLoadBalancerAttributesInput { load_balancer_arn: arn.clone() };
    let shown = ask!(lab, Elbv2DescribeLoadBalancerAttributes, input).expect("it exists").attributes;
    for chunk in shown.chunks(20) {
        let input =
            wire::ModifyLoadBalancerAttributesInput { load_balancer_arn: arn.clone(), attributes: chunk.to_vec() };
        assert_eq!(ask!(lab, Elbv2ModifyLoadBalancerAttributes, input).expect("defaults").attributes, shown);
    }
    for (key, value, sentence) in [
        ("idle_timeout.timeout_seconds", "4000", None),
        ("idle_timeout.timeout_seconds", "4001", Some("is not valid")),
        ("idle_timeout.timeout_seconds", "+60", Some("is not valid")),
        ("load_balancing.cross_zone.enabled", "false", Some("is not valid")),
        ("health_check_logs.s3.enabled", "true", Some("is not supported by Elastane yet")),
        ("access_logs.s3.enabled", "true", Some("cannot be empty")),
        ("routing.http.desync_mitigation_mode", "strictest", None),
        ("no.such.key", "1", Some("attribute key 'no.such.key' is not recognized")),
        ("dns_record.client_routing_policy", "any_availability_zone", Some("is not recognized")),
    ] {
        let attributes = vec![wire::LoadBalancerAttribute { key: text(key), value: text(value) }];
        let input = wire::ModifyLoadBalancerAttributesInput { load_balancer_arn: arn.clone(), attributes };
        let message = ask!(lab, Elbv2ModifyLoadBalancerAttributes, input).err().map(|err| err.message);
        match sentence {
            None => assert_eq!(message, None),
            Some(sentence) => assert!(message.as_ref().is_some_and(|text| text.contains(sentence)), "{message:?}"),
        }
    }
}

/// Tags of all kinds of resources can be added, removed and described
/// together; an ARN that names nothing fails all.
#[test]
fn tags_of_all_kinds() {
    let mut lab = Lab::new();
    let (made, web) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
    let listener = listener(&mut lab, &made, 80, &web);
    let mut arns: Vec<String> =
        [made.load_balancer_arn, listener.listener_arn, Some(web)].into_iter().flatten().collect();
    let path = wire::RuleCondition { field: text("path-pattern"), values: vec!["/a".into()], ..Default::default() };
    let rule = wire::CreateRuleInput {
        listener_arn: text(&arns[1]),
        priority: Some(1),
        conditions: vec![path],
        actions: forward(&arns[2]),
        ..Default::default()
    };
    let rule = ask!(lab, Elbv2CreateRule, rule).expect("a good rule").rules.remove(0);
    arns.extend(rule.rule_arn);
    let tag = |key: &str| wire::Tag { key: text(key), value: text("1") };
    let add = |arns: &[String], keys: &[&str]| wire::AddTagsInput {
        resource_arns: arns.to_vec(),
        tags: keys.iter().map(|key| tag(key)).collect(),
    };
    ask!(lab, Elbv2AddTags, add(&arns, &["a", "b"])).expect("good tags");
    let remove =
        wire::RemoveTagsInput { resource_arns: arns.clone(), tag_keys: vec!["a".to_string(), "x".to_string()] };
    ask!(lab, Elbv2RemoveTags, remove).expect("keys or none");
    let mut describe = |resource_arns: Vec<String>| {
        ask!(lab, Elbv2DescribeTags, wire::DescribeTagsInput { resource_arns }).map(|output| output.tag_descriptions)
    };
    let expected = |arn: &String| wire::TagDescription { resource_arn: Some(arn.clone()), tags: vec![tag("b")] };
    assert_eq!(describe(arns.clone()).expect("all exist"), arns.iter().map(expected).collect::<Vec<_>>());
    let rule = arns[1].replace(":listener/", ":listener-rule/") + "/0123456789abcdef";
    assert_eq!(describe(vec![rule]).expect_err("no rules").code, "RuleNotFound");
    assert_eq!(describe(vec!["shop".to_string()]).expect_err("no ARN").code, "ValidationError");
    let err = ask!(lab, Elbv2AddTags, add(&arns[..1], &["c", "c"])).expect_err("twice the same key");
    assert_eq!(err.code, "DuplicateTagKeys");
    let err = ask!(lab, Elbv2AddTags, add(&arns[..1], &["aws:c"])).expect_err("a reserved key");
    assert_eq!(err.code, "ValidationError");
}

/// Lists come in pages.
#[test]
fn lists_come_in_pages() {
    let mut lab = Lab::new();
    for name in ["a", "b", "c"] {
        group(&mut lab, name);
    }
    let mut page = |marker: Option<String>| {
        let input = wire::DescribeTargetGroupsInput { page_size: Some(2), marker, ..Default::default() };
        let output = ask!(lab, Elbv2DescribeTargetGroups, input).expect("a good marker");
        (output.target_groups.len(), output.next_marker)
    };
    let (count, marker) = page(None);
    assert!(count == 2 && marker.is_some());
    assert_eq!(page(marker), (1, None));
}
