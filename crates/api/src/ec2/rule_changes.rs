//! Rules of security groups changed in place: what they allow, and their
//! descriptions. A rule keeps its id and its tags.

use super::errors;
use super::network::{given, required};
use super::permissions::{self, Says};
use super::security_groups::find_group;
use super::security_rules::{RULE_ID, absent, duplicate};
use crate::Change;
use elastane_engine::View;
use elastane_engine::row::{SecurityGroup, SecurityGroupRule};
use elastane_wire::{ApiError, ec2 as wire};
use std::mem::discriminant;

/// ModifySecurityGroupRules: all of a call's changes or none. The kind of
/// peer stays (EC2 API Reference, "ModifySecurityGroupRules").
///
/// # Errors
/// `InvalidSecurityGroupRuleId.*`, `InvalidPermission.Duplicate`,
/// `InvalidParameterValue` for another kind of peer, `MissingParameter`,
/// `InvalidParameterCombination` for several peers, those of groups and
/// permissions.
pub fn modify_security_group_rules(
    change: &mut Change<'_, '_>,
    input: &wire::ModifySecurityGroupRulesRequest,
) -> Result<wire::ModifySecurityGroupRulesResult, ApiError> {
    let view = change.view();
    let mut group = find_group(&view, Some(required(&input.group_id, "GroupId")?), None)?.clone();
    if input.security_group_rules.is_empty() {
        return Err(errors::missing("SecurityGroupRule"));
    }
    for update in &input.security_group_rules {
        let at = place(&group, required(&update.security_group_rule_id, "SecurityGroupRuleId")?)?;
        let wanted = update.security_group_rule.as_ref().ok_or_else(|| errors::missing("SecurityGroupRule"))?;
        let says = read(&view, &group, wanted)?;
        let old = &group.rules[at];
        if discriminant(&says.peer) != discriminant(&old.peer) {
            let message = format!("The type of the source or destination of the rule {} cannot be modified.", old.id);
            return Err(errors::invalid_value(message));
        }
        group.rules[at] = says.rule(old.id.clone(), old.egress, old.tags.clone());
    }
    // Two rules may change places within one call: only the end counts.
    for (at, rule) in group.rules.iter().enumerate() {
        let says = said(rule);
        if group.rules[..at].iter().any(|other| other.egress == rule.egress && says.is(other)) {
            return Err(duplicate(&says));
        }
    }
    errors::dry_run(input.dry_run)?;
    change.put(group);
    Ok(wire::ModifySecurityGroupRulesResult { r#return: Some(true) })
}

fn said(rule: &SecurityGroupRule) -> Says {
    Says {
        protocol: rule.protocol.clone(),
        from_port: rule.from_port,
        to_port: rule.to_port,
        peer: rule.peer.clone(),
        description: rule.description.clone(),
    }
}

fn place(group: &SecurityGroup, id: &str) -> Result<usize, ApiError> {
    RULE_ID.check(id)?;
    group.rules.iter().position(|rule| rule.id == id).ok_or_else(|| RULE_ID.unknown(id))
}

/// What a rule is to say, read as the permission that says the same.
fn read(view: &View<'_>, group: &SecurityGroup, wanted: &wire::SecurityGroupRuleRequest) -> Result<Says, ApiError> {
    let description = wanted.description.clone();
    let range = |cidr: &str| wire::IpRange { cidr_ip: Some(cidr.to_string()), description: description.clone() };
    let range6 = |cidr: &str| wire::Ipv6Range { cidr_ipv6: Some(cidr.to_string()), description: description.clone() };
    let list = |id: &str| wire::PrefixListId { prefix_list_id: Some(id.to_string()), description: description.clone() };
    let pair = |id: &str| wire::UserIdGroupPair {
        group_id: Some(id.to_string()),
        description: description.clone(),
        ..Default::default()
    };
    let permission = wire::IpPermission {
        ip_protocol: wanted.ip_protocol.clone(),
        from_port: wanted.from_port,
        to_port: wanted.to_port,
        ip_ranges: given(&wanted.cidr_ipv4).map(range).into_iter().collect(),
        ipv6_ranges: given(&wanted.cidr_ipv6).map(range6).into_iter().collect(),
        prefix_list_ids: given(&wanted.prefix_list_id).map(list).into_iter().collect(),
        user_id_group_pairs: given(&wanted.referenced_group_id).map(pair).into_iter().collect(),
    };
    let mut says = permissions::read(view, group, std::slice::from_ref(&permission))?;
    match (says.pop(), says.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(errors::invalid_combination("A security group rule has one source or destination.")),
    }
}

/// UpdateSecurityGroupRuleDescriptionsIngress, by permissions or by rule ids.
/// A rule without a new description loses its own.
///
/// # Errors
/// `InvalidPermission.NotFound`, `InvalidSecurityGroupRuleId.*`,
/// `MissingParameter`, `InvalidParameterCombination`, those of groups and
/// permissions.
pub fn update_security_group_rule_descriptions_ingress(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateSecurityGroupRuleDescriptionsIngressRequest,
) -> Result<wire::UpdateSecurityGroupRuleDescriptionsIngressResult, ApiError> {
    let named = (&input.group_id, &input.group_name);
    let wanted = (input.ip_permissions.as_slice(), input.security_group_rule_descriptions.as_slice());
    describe(change, false, named, wanted, input.dry_run)?;
    Ok(wire::UpdateSecurityGroupRuleDescriptionsIngressResult { r#return: Some(true) })
}

/// UpdateSecurityGroupRuleDescriptionsEgress. Errors as for ingress.
pub fn update_security_group_rule_descriptions_egress(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateSecurityGroupRuleDescriptionsEgressRequest,
) -> Result<wire::UpdateSecurityGroupRuleDescriptionsEgressResult, ApiError> {
    let named = (&input.group_id, &input.group_name);
    let wanted = (input.ip_permissions.as_slice(), input.security_group_rule_descriptions.as_slice());
    describe(change, true, named, wanted, input.dry_run)?;
    Ok(wire::UpdateSecurityGroupRuleDescriptionsEgressResult { r#return: Some(true) })
}

fn describe(
    change: &mut Change<'_, '_>,
    egress: bool,
    (id, name): (&Option<String>, &Option<String>),
    (by_permission, by_id): (&[wire::IpPermission], &[wire::SecurityGroupRuleDescription]),
    dry_run: Option<bool>,
) -> Result<(), ApiError> {
    let view = change.view();
    let mut group = find_group(&view, given(id), given(name))?.clone();
    match (by_permission.is_empty(), by_id.is_empty()) {
        (true, true) => return Err(errors::missing("IpPermissions or SecurityGroupRuleDescription")),
        (false, false) => {
            return Err(errors::invalid_combination("Name rules by their permissions or by their IDs, not by both."));
        }
        _ => {}
    }
    for says in permissions::read(&view, &group, by_permission)? {
        let mut rules = group.rules.iter_mut();
        let rule = rules.find(|rule| rule.egress == egress && says.is(rule)).ok_or_else(|| absent(&says))?;
        rule.description = says.description;
    }
    for wanted in by_id {
        let id = required(&wanted.security_group_rule_id, "SecurityGroupRuleId")?;
        let at = place(&group, id)?;
        if group.rules[at].egress != egress {
            return Err(RULE_ID.unknown(id));
        }
        let description = given(&wanted.description);
        description.map_or(Ok(()), |words| permissions::check_words("rule description", words))?;
        group.rules[at].description = description.map(str::to_string);
    }
    errors::dry_run(dry_run)?;
    change.put(group);
    Ok(())
}
