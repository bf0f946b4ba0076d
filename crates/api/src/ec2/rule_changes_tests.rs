//! Rules changed in place.

use super::rig::{Rig, code};
use super::*;
use elastane_engine::row::SecurityGroupRule;
use elastane_wire::ec2 as wire;

fn text(value: &str) -> Option<String> {
    Some(value.to_string())
}

fn tcp(port: i32, cidr: &str, description: Option<&str>) -> wire::IpPermission {
    wire::IpPermission {
        ip_protocol: text("tcp"),
        from_port: Some(port),
        to_port: Some(port),
        ip_ranges: vec![wire::IpRange { cidr_ip: text(cidr), description: description.map(str::to_string) }],
        ..Default::default()
    }
}

/// The default group with two rules for ports 80 and 81; group and rule ids.
fn group(rig: &mut Rig) -> (String, Vec<String>) {
    let id = rig
        .tx(|tx| Ok(tx.security_groups.keys().next().map(ToString::to_string)))
        .expect("read")
        .expect("the default group");
    let tag = wire::Tag { key: text("a"), value: text("b") };
    let input = wire::AuthorizeSecurityGroupIngressRequest {
        group_id: text(&id),
        ip_permissions: vec![tcp(80, "10.0.0.0/8", None), tcp(81, "10.0.0.0/8", Some("old"))],
        tag_specifications: vec![wire::TagSpecification {
            resource_type: text("security-group-rule"),
            tags: vec![tag.clone()],
        }],
        ..Default::default()
    };
    let made = rig.write(authorize_security_group_ingress, input).expect("allowed").security_group_rules;
    assert!(made.iter().all(|rule| rule.tags == [tag.clone()]));
    (id, made.into_iter().filter_map(|rule| rule.security_group_rule_id).collect())
}

fn rule(rig: &mut Rig, group: &str, id: &str) -> SecurityGroupRule {
    let found = rig.tx(|tx| {
        let group = tx.get::<elastane_engine::row::SecurityGroup>(group).expect("a group");
        Ok(group.rules.iter().find(|rule| rule.id == id).expect("a rule").clone())
    });
    found.expect("read")
}

fn update(id: &str, port: i32, cidr: Option<&str>) -> wire::SecurityGroupRuleUpdate {
    wire::SecurityGroupRuleUpdate {
        security_group_rule_id: text(id),
        security_group_rule: Some(wire::SecurityGroupRuleRequest {
            ip_protocol: text("tcp"),
            from_port: Some(port),
            to_port: Some(port),
            cidr_ipv4: cidr.map(str::to_string),
            description: text("new"),
            ..Default::default()
        }),
    }
}

/// A rule says something else under the same id and tags; all of a call or nothing.
#[test]
fn rules_are_modified() {
    let mut rig = Rig::new();
    let (id, rules) = group(&mut rig);
    let six = wire::SecurityGroupRuleUpdate {
        security_group_rule: Some(wire::SecurityGroupRuleRequest {
            cidr_ipv6: text("::/0"),
            ..update(&rules[0], 80, None).security_group_rule.expect("one")
        }),
        ..update(&rules[0], 80, None)
    };
    let ranges = Some("10.0.0.0/8");
    for (updates, want) in [
        (vec![], "MissingParameter"),
        (vec![update(&rules[0], 81, ranges)], "InvalidPermission.Duplicate"),
        (
            vec![update(&rules[0], 82, ranges), update("sgr-00000000", 83, ranges)],
            "InvalidSecurityGroupRuleId.NotFound",
        ),
        (vec![update("x", 82, ranges)], "InvalidSecurityGroupRuleId.Malformed"),
        (vec![update(&rules[0], 82, None)], "MissingParameter"),
        (vec![update(&rules[0], 70_000, ranges)], "InvalidParameterValue"),
        (vec![six], "InvalidParameterValue"),
        // Two rules may change places.
        (vec![update(&rules[0], 81, ranges), update(&rules[1], 80, ranges)], ""),
    ] {
        let input =
            wire::ModifySecurityGroupRulesRequest { group_id: text(&id), security_group_rules: updates, dry_run: None };
        assert_eq!(code(rig.write(modify_security_group_rules, input.clone())), want, "{input:?}");
    }
    let first = rule(&mut rig, &id, &rules[0]);
    assert_eq!((first.from_port, first.description.as_deref(), first.tags.len()), (81, Some("new"), 1));
    let unknown = wire::ModifySecurityGroupRulesRequest {
        group_id: text("sg-00000000"),
        security_group_rules: vec![update(&rules[0], 82, ranges)],
        dry_run: None,
    };
    assert_eq!(code(rig.write(modify_security_group_rules, unknown)), "InvalidGroup.NotFound");
}

/// Descriptions are set and taken away, by permission or by id, in one direction.
#[test]
fn descriptions_are_updated() {
    let mut rig = Rig::new();
    let (id, rules) = group(&mut rig);
    let base = wire::UpdateSecurityGroupRuleDescriptionsIngressRequest { group_id: text(&id), ..Default::default() };
    let by_permission = |permission: wire::IpPermission| wire::UpdateSecurityGroupRuleDescriptionsIngressRequest {
        ip_permissions: vec![permission],
        ..base.clone()
    };
    let by_id = |id: &str, words: Option<&str>| wire::UpdateSecurityGroupRuleDescriptionsIngressRequest {
        security_group_rule_descriptions: vec![wire::SecurityGroupRuleDescription {
            security_group_rule_id: text(id),
            description: words.map(str::to_string),
        }],
        ..base.clone()
    };
    let both = wire::UpdateSecurityGroupRuleDescriptionsIngressRequest {
        ip_permissions: vec![tcp(80, "10.0.0.0/8", None)],
        ..by_id(&rules[0], None)
    };
    for (input, want) in [
        (by_permission(tcp(80, "10.0.0.0/8", Some("web"))), ""),
        (by_permission(tcp(82, "10.0.0.0/8", Some("web"))), "InvalidPermission.NotFound"),
        (by_id(&rules[1], None), ""),
        (by_id(&rules[1], Some("w\u{e9}b")), "InvalidParameterValue"),
        (by_id("sgr-00000000", None), "InvalidSecurityGroupRuleId.NotFound"),
        (base.clone(), "MissingParameter"),
        (both, "InvalidParameterCombination"),
        (
            wire::UpdateSecurityGroupRuleDescriptionsIngressRequest {
                dry_run: Some(true),
                ..by_id(&rules[0], Some("not kept"))
            },
            "DryRunOperation",
        ),
    ] {
        assert_eq!(code(rig.write(update_security_group_rule_descriptions_ingress, input.clone())), want, "{input:?}");
    }
    assert_eq!(rule(&mut rig, &id, &rules[0]).description.as_deref(), Some("web"));
    assert_eq!(rule(&mut rig, &id, &rules[1]).description, None);
    let out = wire::UpdateSecurityGroupRuleDescriptionsEgressRequest {
        group_id: text(&id),
        security_group_rule_descriptions: by_id(&rules[0], None).security_group_rule_descriptions,
        ..Default::default()
    };
    assert_eq!(
        code(rig.write(update_security_group_rule_descriptions_egress, out)),
        "InvalidSecurityGroupRuleId.NotFound"
    );
    let all = wire::IpPermission {
        ip_protocol: text("-1"),
        ip_ranges: vec![wire::IpRange { cidr_ip: text("0.0.0.0/0"), description: text("out") }],
        ..Default::default()
    };
    let out = wire::UpdateSecurityGroupRuleDescriptionsEgressRequest {
        group_id: text(&id),
        ip_permissions: vec![all],
        ..Default::default()
    };
    assert_eq!(code(rig.write(update_security_group_rule_descriptions_egress, out)), "");
}
