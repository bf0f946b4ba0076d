//! Security groups and their rules, as clients read them back.

use super::rig::{Rig, code, filter};
use super::*;
use elastane_engine::launch::{Request, launch};
use elastane_engine::network::host_image;
use elastane_engine::row::{Instance, LaunchData};
use elastane_wire::{ApiError, ec2 as wire};

fn create(rig: &mut Rig, name: &str) -> Result<String, ApiError> {
    let input = wire::CreateSecurityGroupRequest {
        group_name: Some(name.to_string()),
        description: Some("for a test".to_string()),
        ..Default::default()
    };
    Ok(rig.write(create_security_group, input)?.group_id.expect("an id"))
}

fn show(rig: &mut Rig, id: &str) -> wire::SecurityGroup {
    let input = wire::DescribeSecurityGroupsRequest { group_ids: vec![id.to_string()], ..Default::default() };
    rig.read(describe_security_groups, input).expect("described").security_groups.remove(0)
}

fn permission(protocol: &str, from: Option<i32>, to: Option<i32>, cidr: &str) -> wire::IpPermission {
    let range = wire::IpRange { cidr_ip: Some(cidr.to_string()), description: None };
    wire::IpPermission {
        ip_protocol: Some(protocol.to_string()),
        from_port: from,
        to_port: to,
        ip_ranges: vec![range],
        ..Default::default()
    }
}

fn tcp(port: i32, cidr: &str) -> wire::IpPermission {
    permission("tcp", Some(port), Some(port), cidr)
}

fn of_group(id: &str) -> wire::IpPermission {
    let pair = wire::UserIdGroupPair { group_id: Some(id.to_string()), ..Default::default() };
    wire::IpPermission { ip_protocol: Some("-1".to_string()), user_id_group_pairs: vec![pair], ..Default::default() }
}

fn allow(
    rig: &mut Rig,
    id: &str,
    permissions: Vec<wire::IpPermission>,
) -> Result<Vec<wire::SecurityGroupRule>, ApiError> {
    let input = wire::AuthorizeSecurityGroupIngressRequest {
        group_id: Some(id.to_string()),
        ip_permissions: permissions,
        ..Default::default()
    };
    Ok(rig.write(authorize_security_group_ingress, input)?.security_group_rules)
}

fn delete(rig: &mut Rig, id: &str) -> String {
    let input = wire::DeleteSecurityGroupRequest { group_id: Some(id.to_string()), ..Default::default() };
    code(rig.write(delete_security_group, input))
}

/// Names and descriptions have their form; a name is used once a VPC.
#[test]
fn groups_are_checked_when_made() {
    let mut rig = Rig::new();
    for (name, expected) in [
        ("web", ""),
        ("web", "InvalidGroup.Duplicate"),
        ("", "MissingParameter"),
        ("sg-web", "InvalidParameterValue"),
        ("default", "InvalidParameterValue"),
        ("w\u{e9}b", "InvalidParameterValue"),
        (&"x".repeat(256), "InvalidParameterValue"),
    ] {
        assert_eq!(code(create(&mut rig, name)), expected, "{name}");
    }
    let input = wire::CreateSecurityGroupRequest {
        group_name: Some("api".to_string()),
        description: Some("x".to_string()),
        vpc_id: Some("vpc-00000000".to_string()),
        ..Default::default()
    };
    assert_eq!(code(rig.write(create_security_group, input)), "InvalidVpcID.NotFound");
}

/// What Terraform does with every new group: it takes out the rule that lets
/// everything out, with ports 0, and is told that there is none for IPv6.
#[test]
fn the_default_rule_is_there_and_goes() {
    let mut rig = Rig::new();
    let id = create(&mut rig, "web").expect("created");
    let out = show(&mut rig, &id).ip_permissions_egress;
    assert_eq!((out.len(), out[0].ip_protocol.as_deref(), out[0].from_port), (1, Some("-1"), None));
    let all = permission("-1", Some(0), Some(0), "0.0.0.0/0");
    let all6 = wire::IpPermission {
        ip_ranges: vec![],
        ipv6_ranges: vec![wire::Ipv6Range { cidr_ipv6: Some("::/0".to_string()), description: None }],
        ..all.clone()
    };
    let mut revoke = |permission: &wire::IpPermission| {
        let input = wire::RevokeSecurityGroupEgressRequest {
            group_id: Some(id.clone()),
            ip_permissions: vec![permission.clone()],
            ..Default::default()
        };
        rig.write(revoke_security_group_egress, input)
    };
    assert_eq!(code(revoke(&all6)), "InvalidPermission.NotFound");
    assert_eq!(revoke(&all).expect("revoked").revoked_security_group_rules.len(), 1);
    assert_eq!(code(revoke(&all)), "InvalidPermission.NotFound");
    assert_eq!(show(&mut rig, &id).ip_permissions_egress, []);
}

/// Rules come back one by one with ids, and as permissions by protocol and ports.
#[test]
fn rules_are_kept_and_shown() {
    let mut rig = Rig::new();
    let id = create(&mut rig, "web").expect("created");
    let mut http = tcp(80, "10.0.0.1/8");
    http.ip_ranges
        .push(wire::IpRange { cidr_ip: Some("192.168.0.0/16".to_string()), description: Some("office".to_string()) });
    http.ipv6_ranges.push(wire::Ipv6Range { cidr_ipv6: Some("2001:DB8::1/32".to_string()), description: None });
    let rules = allow(&mut rig, &id, vec![http, permission("6", Some(443), Some(443), "0.0.0.0/0"), of_group(&id)])
        .expect("allowed");
    assert_eq!(rules.len(), 5);
    assert_eq!(rules[0].cidr_ipv4.as_deref(), Some("10.0.0.0/8"), "bits below the prefix are dropped");
    assert_eq!(rules[2].cidr_ipv6.as_deref(), Some("2001:db8::/32"));
    assert_eq!((rules[4].from_port, rules[4].to_port), (Some(-1), Some(-1)));
    let shown = show(&mut rig, &id).ip_permissions;
    let summary: Vec<_> = shown
        .iter()
        .map(|it| {
            (
                it.ip_protocol.as_deref().unwrap_or_default(),
                it.from_port,
                it.ip_ranges.len(),
                it.user_id_group_pairs.len(),
            )
        })
        .collect();
    assert_eq!(summary, [("tcp", Some(80), 2, 0), ("tcp", Some(443), 1, 0), ("-1", None, 0, 1)]);
    assert_eq!(shown[2].user_id_group_pairs[0].user_id.as_deref(), Some("123456789012"));
    let one = rules[1].security_group_rule_id.clone().expect("an id");
    let by_id =
        wire::DescribeSecurityGroupRulesRequest { security_group_rule_ids: vec![one.clone()], ..Default::default() };
    assert_eq!(
        rig.read(describe_security_group_rules, by_id.clone()).expect("described").security_group_rules,
        [rules[1].clone()]
    );
    let by_group =
        wire::DescribeSecurityGroupRulesRequest { filters: vec![filter("group-id", &id)], ..Default::default() };
    assert_eq!(rig.read(describe_security_group_rules, by_group).expect("described").security_group_rules.len(), 6);
    let revoke = wire::RevokeSecurityGroupIngressRequest {
        group_id: Some(id.clone()),
        security_group_rule_ids: vec![one],
        ..Default::default()
    };
    assert_eq!(code(rig.write(revoke_security_group_ingress, revoke.clone())), "");
    assert_eq!(code(rig.write(revoke_security_group_ingress, revoke)), "InvalidSecurityGroupRuleId.NotFound");
    assert_eq!(code(rig.read(describe_security_group_rules, by_id)), "InvalidSecurityGroupRuleId.NotFound");
}

/// Permissions that mean nothing are refused, all of a call's or none is kept.
#[test]
fn permissions_are_checked() {
    let mut rig = Rig::new();
    let id = create(&mut rig, "web").expect("created");
    allow(&mut rig, &id, vec![tcp(22, "0.0.0.0/0")]).expect("allowed");
    let none = wire::IpPermission { ip_ranges: vec![], ..tcp(80, "0.0.0.0/0") };
    let list = wire::PrefixListId { prefix_list_id: Some("pl-01234567".to_string()), description: None };
    let prefix_list = wire::IpPermission { prefix_list_ids: vec![list], ..none.clone() };
    let v6 = |cidr: &str| wire::IpPermission {
        ipv6_ranges: vec![wire::Ipv6Range { cidr_ipv6: Some(cidr.to_string()), description: None }],
        ..none.clone()
    };
    let mut foreign = of_group(&id);
    foreign.user_id_group_pairs[0].user_id = Some("000000000000".to_string());
    for (wrong, expected) in [
        (tcp(22, "0.0.0.0/0"), "InvalidPermission.Duplicate"),
        (tcp(80, "0.0.0.0"), "InvalidParameterValue"),
        (tcp(80, "10.0.0.0/33"), "InvalidParameterValue"),
        (v6("::/129"), "InvalidParameterValue"),
        (v6("10.0.0.0/8"), "InvalidParameterValue"),
        (tcp(65_536, "0.0.0.0/0"), "InvalidParameterValue"),
        (tcp(-1, "0.0.0.0/0"), "InvalidParameterValue"),
        (permission("tcp", Some(80), None, "0.0.0.0/0"), "InvalidParameterValue"),
        (permission("tcp", Some(81), Some(80), "0.0.0.0/0"), "InvalidParameterValue"),
        (permission("carrier-pigeon", None, None, "0.0.0.0/0"), "InvalidParameterValue"),
        (permission("", None, None, "0.0.0.0/0"), "MissingParameter"),
        (permission("icmp", Some(-1), Some(3), "0.0.0.0/0"), "InvalidParameterValue"),
        (none, "MissingParameter"),
        (prefix_list, "InvalidPrefixListID.NotFound"),
        (foreign, "UnsupportedOperation"),
        (of_group("sg-00000000"), "InvalidGroup.NotFound"),
        (of_group("x"), "InvalidGroupId.Malformed"),
    ] {
        let result = allow(&mut rig, &id, vec![tcp(8080, "0.0.0.0/0"), wrong.clone()]);
        assert_eq!(code(result), expected, "{wrong:?}");
    }
    assert_eq!(code(allow(&mut rig, &id, vec![tcp(80, "10.0.0.0/8"), tcp(80, "10.0.0.1/8")])), "InvalidParameterValue");
    assert_eq!(code(allow(&mut rig, &id, vec![])), "MissingParameter");
    let many = (1000..1060).map(|port| tcp(port, "0.0.0.0/0")).collect();
    assert_eq!(code(allow(&mut rig, &id, many)), "RulesPerSecurityGroupLimitExceeded");
    assert_eq!(show(&mut rig, &id).ip_permissions.len(), 1, "nothing of a refused call is kept");
}

/// The members from before IpPermissions: one permission, or a source group
/// with all that TCP, UDP and ICMP carry.
#[test]
fn single_permissions_are_understood() {
    let mut rig = Rig::new();
    let id = create(&mut rig, "web").expect("created");
    let base = wire::AuthorizeSecurityGroupIngressRequest { group_name: Some("web".to_string()), ..Default::default() };
    let http = wire::AuthorizeSecurityGroupIngressRequest {
        ip_protocol: Some("tcp".to_string()),
        from_port: Some(80),
        to_port: Some(80),
        cidr_ip: Some("0.0.0.0/0".to_string()),
        ..base.clone()
    };
    let members = wire::AuthorizeSecurityGroupIngressRequest {
        source_security_group_name: Some("web".to_string()),
        ..base.clone()
    };
    let both =
        wire::AuthorizeSecurityGroupIngressRequest { ip_permissions: vec![tcp(81, "0.0.0.0/0")], ..http.clone() };
    let bare = wire::AuthorizeSecurityGroupIngressRequest { cidr_ip: Some("0.0.0.0/0".to_string()), ..base };
    assert_eq!(
        rig.write(authorize_security_group_ingress, http.clone()).expect("allowed").security_group_rules.len(),
        1
    );
    assert_eq!(rig.write(authorize_security_group_ingress, members).expect("allowed").security_group_rules.len(), 3);
    assert_eq!(code(rig.write(authorize_security_group_ingress, both)), "InvalidParameterCombination");
    assert_eq!(code(rig.write(authorize_security_group_ingress, bare)), "MissingParameter");
    assert_eq!(code(rig.write(authorize_security_group_ingress, http)), "InvalidPermission.Duplicate");
    assert_eq!(show(&mut rig, &id).ip_permissions.len(), 4);
}

/// The default group, groups in use and groups that others name stay; a rule
/// about the group itself does not hold it.
#[test]
fn groups_that_are_needed_stay() {
    let mut rig = Rig::new();
    let id = create(&mut rig, "web").expect("created");
    let other = create(&mut rig, "db").expect("created");
    let by_name = wire::DeleteSecurityGroupRequest { group_name: Some("default".to_string()), ..Default::default() };
    assert_eq!(code(rig.write(delete_security_group, by_name)), "CannotDelete");
    allow(&mut rig, &id, vec![of_group(&id)]).expect("allowed");
    allow(&mut rig, &other, vec![of_group(&id)]).expect("allowed");
    assert_eq!(delete(&mut rig, &id), "DependencyViolation");
    assert_eq!(delete(&mut rig, &other), "");
    let data =
        LaunchData { image: Some(host_image()), security_groups: vec![id.as_str().into()], ..LaunchData::default() };
    let request = Request { data, count_min: 1, count_max: 1, ..Request::default() };
    let instance = rig.tx(|tx| launch(tx, &request).map_err(super::errors::refused)).expect("launched").remove(0);
    assert_eq!(delete(&mut rig, &id), "DependencyViolation");
    rig.tx(|tx| {
        let interface = tx.get::<Instance>(instance.as_str()).expect("launched").interface.clone();
        elastane_engine::network::delete_interface(tx, &interface);
        Ok(())
    })
    .expect("ended");
    assert_eq!(delete(&mut rig, &id), "");
    assert_eq!(delete(&mut rig, &id), "InvalidGroup.NotFound");
}

/// Filters look into rules as well.
#[test]
fn groups_are_found_by_their_rules() {
    let mut rig = Rig::new();
    let id = create(&mut rig, "web").expect("created");
    allow(&mut rig, &id, vec![tcp(80, "10.0.0.0/8"), of_group(&id)]).expect("allowed");
    for (name, value, count) in [
        ("group-name", "web", 1),
        ("group-name", "*", 2),
        ("ip-permission.cidr", "10.*", 1),
        ("ip-permission.from-port", "80", 1),
        ("ip-permission.protocol", "-1", 2),
        ("ip-permission.group-id", &id, 1),
        ("ip-permission.group-name", "web", 1),
        ("egress.ip-permission.cidr", "0.0.0.0/0", 2),
        ("egress.ip-permission.cidr", "10.0.0.0/8", 0),
        ("description", "for a test", 1),
    ] {
        let input = wire::DescribeSecurityGroupsRequest { filters: vec![filter(name, value)], ..Default::default() };
        let found = rig.read(describe_security_groups, input).expect("described").security_groups;
        assert_eq!(found.len(), count, "{name}={value}");
    }
    let named = wire::DescribeSecurityGroupsRequest { group_names: vec!["none".to_string()], ..Default::default() };
    assert_eq!(code(rig.read(describe_security_groups, named)), "InvalidGroup.NotFound");
}
