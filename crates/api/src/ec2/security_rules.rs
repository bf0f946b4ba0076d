//! Rules of security groups: authorize, revoke, describe. The network plan's
//! compiler reads them from the groups' rows.

use super::filter::Filters;
use super::launch_data::text;
use super::listing::IdKind;
use super::paging::{USUAL, cut};
use super::permissions::{self, Says};
use super::security_groups::find_group;
use super::{errors, tag_rules};
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::{RulePeer, SecurityGroup, SecurityGroupRule, Tags};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeMap;

/// Ids of rules.
pub(super) const RULE_ID: IdKind = IdKind {
    prefix: "sgr-",
    malformed: "InvalidSecurityGroupRuleId.Malformed",
    not_found: "InvalidSecurityGroupRuleId.NotFound",
    noun: "The security group rule ID",
};

/// Rules that a group has in one direction (Amazon VPC quotas).
const RULES_MAX: usize = 60;

const FILTERS: [&str; 2] = ["group-id", "security-group-rule-id"];

/// What the four calls that change rules have in common: their members have
/// the same names and meanings but different types.
struct Request<'a> {
    egress: bool,
    group_id: Option<String>,
    group_name: Option<String>,
    permissions: Vec<wire::IpPermission>,
    rule_ids: &'a [String],
    tags: &'a [wire::TagSpecification],
    dry_run: Option<bool>,
}

/// The members that name a single permission, from before lists of them.
struct Legacy {
    protocol: Option<String>,
    from_port: Option<i32>,
    to_port: Option<i32>,
    cidr: Option<String>,
    group_name: Option<String>,
    group_owner: Option<String>,
}

/// The legacy members of a request as a value.
macro_rules! legacy {
    ($input:expr) => {
        Legacy {
            protocol: text(&$input.ip_protocol),
            from_port: $input.from_port,
            to_port: $input.to_port,
            cidr: text(&$input.cidr_ip),
            group_name: text(&$input.source_security_group_name),
            group_owner: text(&$input.source_security_group_owner_id),
        }
    };
}

impl Legacy {
    /// The permissions of a call: those of its list, or those that the legacy
    /// members stand for.
    fn with(self, list: &[wire::IpPermission]) -> Result<Vec<wire::IpPermission>, ApiError> {
        let Legacy { protocol, from_port, to_port, cidr, group_name, group_owner } = self;
        let given =
            protocol.is_some() || cidr.is_some() || group_name.is_some() || from_port.is_some() || to_port.is_some();
        if !given {
            return Ok(list.to_vec());
        }
        if !list.is_empty() {
            return Err(errors::invalid_combination(
                "IpPermissions exclude the members that name a single permission.",
            ));
        }
        let ip_ranges: Vec<wire::IpRange> =
            cidr.into_iter().map(|cidr| wire::IpRange { cidr_ip: Some(cidr), description: None }).collect();
        let user_id_group_pairs: Vec<wire::UserIdGroupPair> = group_name
            .into_iter()
            .map(|name| wire::UserIdGroupPair {
                group_name: Some(name),
                user_id: group_owner.clone(),
                ..Default::default()
            })
            .collect();
        // A source group without a protocol means everything that TCP, UDP and ICMP carry.
        let protocols = match &protocol {
            None if !user_id_group_pairs.is_empty() => {
                vec![("tcp", Some(0), Some(65_535)), ("udp", Some(0), Some(65_535)), ("icmp", None, None)]
            }
            None => return Err(errors::missing("IpProtocol")),
            Some(name) => vec![(name.as_str(), from_port, to_port)],
        };
        let permission = |(name, from_port, to_port): (&str, Option<i32>, Option<i32>)| wire::IpPermission {
            ip_protocol: Some(name.to_string()),
            from_port,
            to_port,
            ip_ranges: ip_ranges.clone(),
            user_id_group_pairs: user_id_group_pairs.clone(),
            ..Default::default()
        };
        Ok(protocols.into_iter().map(permission).collect())
    }
}

/// AuthorizeSecurityGroupIngress.
///
/// # Errors
/// `InvalidPermission.Duplicate`, `RulesPerSecurityGroupLimitExceeded`, and
/// those of groups, permissions and tags.
pub fn authorize_security_group_ingress(
    change: &mut Change<'_, '_>,
    input: &wire::AuthorizeSecurityGroupIngressRequest,
) -> Result<wire::AuthorizeSecurityGroupIngressResult, ApiError> {
    let request = Request {
        egress: false,
        group_id: text(&input.group_id),
        group_name: text(&input.group_name),
        permissions: legacy!(input).with(&input.ip_permissions)?,
        rule_ids: &[],
        tags: &input.tag_specifications,
        dry_run: input.dry_run,
    };
    let security_group_rules = authorize(change, request)?;
    Ok(wire::AuthorizeSecurityGroupIngressResult { r#return: Some(true), security_group_rules })
}

/// AuthorizeSecurityGroupEgress. Errors as for ingress.
pub fn authorize_security_group_egress(
    change: &mut Change<'_, '_>,
    input: &wire::AuthorizeSecurityGroupEgressRequest,
) -> Result<wire::AuthorizeSecurityGroupEgressResult, ApiError> {
    let request = Request {
        egress: true,
        group_id: text(&input.group_id),
        group_name: None,
        permissions: legacy!(input).with(&input.ip_permissions)?,
        rule_ids: &[],
        tags: &input.tag_specifications,
        dry_run: input.dry_run,
    };
    let security_group_rules = authorize(change, request)?;
    Ok(wire::AuthorizeSecurityGroupEgressResult { r#return: Some(true), security_group_rules })
}

/// Adds the rules that a call asks for, all or none, and shows them.
fn authorize(change: &mut Change<'_, '_>, request: Request<'_>) -> Result<Vec<wire::SecurityGroupRule>, ApiError> {
    let view = change.view();
    let mut group = find_group(&view, request.group_id.as_deref(), request.group_name.as_deref())?.clone();
    if request.permissions.is_empty() {
        return Err(errors::missing("IpPermissions"));
    }
    let wanted = permissions::read(&view, &group, &request.permissions)?;
    let tags: Tags =
        tag_rules::specified(request.tags, &["security-group-rule"])?.remove("security-group-rule").unwrap_or_default();
    let same_way = |rule: &&SecurityGroupRule| rule.egress == request.egress;
    let repeated = wanted.iter().find(|says| group.rules.iter().filter(same_way).any(|rule| says.is(rule)));
    repeated.map_or(Ok(()), |says| Err(duplicate(says)))?;
    let peers = group.rules.iter().filter(same_way).map(|rule| &rule.peer).chain(wanted.iter().map(|says| &says.peer));
    if peers.map(|peer| permissions::weight(&view, peer)).sum::<usize>() > RULES_MAX {
        let message = "The maximum number of rules per security group has been reached.";
        return Err(ApiError::new("RulesPerSecurityGroupLimitExceeded", message));
    }
    errors::dry_run(request.dry_run)?;
    let rules: Vec<SecurityGroupRule> =
        wanted.into_iter().map(|says| says.rule(change.rng.id(RULE_ID.prefix), request.egress, tags.clone())).collect();
    let shown = rules.iter().map(|rule| show(&change.view(), &group, rule)).collect();
    group.rules.extend(rules);
    change.put(group);
    Ok(shown)
}

/// A rule that the group has already: `InvalidPermission.Duplicate`.
pub(super) fn duplicate(says: &Says) -> ApiError {
    let message = format!("the specified rule \"{}\" already exists", says.words());
    ApiError::new("InvalidPermission.Duplicate", message)
}

/// RevokeSecurityGroupIngress, by permissions or by rule ids.
///
/// # Errors
/// `InvalidPermission.NotFound`, `InvalidSecurityGroupRuleId.*`, and those of
/// groups and permissions.
pub fn revoke_security_group_ingress(
    change: &mut Change<'_, '_>,
    input: &wire::RevokeSecurityGroupIngressRequest,
) -> Result<wire::RevokeSecurityGroupIngressResult, ApiError> {
    let request = Request {
        egress: false,
        group_id: text(&input.group_id),
        group_name: text(&input.group_name),
        permissions: legacy!(input).with(&input.ip_permissions)?,
        rule_ids: &input.security_group_rule_ids,
        tags: &[],
        dry_run: input.dry_run,
    };
    let revoked_security_group_rules = revoke(change, request)?;
    Ok(wire::RevokeSecurityGroupIngressResult {
        r#return: Some(true),
        revoked_security_group_rules,
        unknown_ip_permissions: Vec::new(),
    })
}

/// RevokeSecurityGroupEgress. Errors as for ingress.
pub fn revoke_security_group_egress(
    change: &mut Change<'_, '_>,
    input: &wire::RevokeSecurityGroupEgressRequest,
) -> Result<wire::RevokeSecurityGroupEgressResult, ApiError> {
    let request = Request {
        egress: true,
        group_id: text(&input.group_id),
        group_name: None,
        permissions: legacy!(input).with(&input.ip_permissions)?,
        rule_ids: &input.security_group_rule_ids,
        tags: &[],
        dry_run: input.dry_run,
    };
    let revoked_security_group_rules = revoke(change, request)?;
    Ok(wire::RevokeSecurityGroupEgressResult {
        r#return: Some(true),
        revoked_security_group_rules,
        unknown_ip_permissions: Vec::new(),
    })
}

/// Removes the rules that a call names, all or none, and shows them.
fn revoke(change: &mut Change<'_, '_>, request: Request<'_>) -> Result<Vec<wire::RevokedSecurityGroupRule>, ApiError> {
    let view = change.view();
    let mut group = find_group(&view, request.group_id.as_deref(), request.group_name.as_deref())?.clone();
    if request.permissions.is_empty() && request.rule_ids.is_empty() {
        return Err(errors::missing("IpPermissions or SecurityGroupRuleId"));
    }
    if !request.permissions.is_empty() && !request.rule_ids.is_empty() {
        return Err(errors::invalid_combination("Name rules by their permissions or by their IDs, not by both."));
    }
    request.rule_ids.iter().try_for_each(|id| RULE_ID.check(id))?;
    let says = permissions::read(&view, &group, &request.permissions)?;
    let mut revoked = Vec::new();
    for one in &says {
        revoked
            .push(take(&mut group, |rule| rule.egress == request.egress && one.is(rule)).ok_or_else(|| absent(one))?);
    }
    for id in request.rule_ids {
        let taken = take(&mut group, |rule| rule.egress == request.egress && rule.id == *id);
        revoked.push(taken.ok_or_else(|| RULE_ID.unknown(id))?);
    }
    errors::dry_run(request.dry_run)?;
    let shown = revoked.iter().map(|rule| show_revoked(&group, rule)).collect();
    change.put(group);
    Ok(shown)
}

fn take(group: &mut SecurityGroup, is: impl Fn(&SecurityGroupRule) -> bool) -> Option<SecurityGroupRule> {
    let at = group.rules.iter().position(is)?;
    Some(group.rules.remove(at))
}

/// A rule that the group does not have: `InvalidPermission.NotFound`.
pub(super) fn absent(says: &Says) -> ApiError {
    let message = format!("The specified rule does not exist in this security group: {}", says.words());
    ApiError::new("InvalidPermission.NotFound", message)
}

/// DescribeSecurityGroupRules, of ids or of all groups.
///
/// # Errors
/// `InvalidSecurityGroupRuleId.*`, those of filters and pages.
pub fn describe_security_group_rules(
    call: &Call<'_>,
    input: &wire::DescribeSecurityGroupRulesRequest,
) -> Result<wire::DescribeSecurityGroupRulesResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let ids = &input.security_group_rule_ids;
    ids.iter().try_for_each(|id| RULE_ID.check(id))?;
    let mut rules = BTreeMap::new();
    for group in call.all::<SecurityGroup>() {
        for rule in group.rules.iter().filter(|rule| ids.is_empty() || ids.contains(&rule.id)) {
            rules.insert(&rule.id, (group.as_ref(), rule));
        }
    }
    if let Some(id) = ids.iter().find(|id| !rules.contains_key(id)) {
        return Err(RULE_ID.unknown(id));
    }
    errors::dry_run(input.dry_run)?;
    let rules = rules.into_values().filter(|(group, rule)| {
        filters.accept(&rule.tags, |name, emit| match name {
            "group-id" => emit(group.id.as_str()),
            "security-group-rule-id" => emit(&rule.id),
            _ => {}
        })
    });
    let (token, limits) = (input.next_token.as_deref(), (USUAL, !ids.is_empty()));
    let (rules, next_token) = cut(rules.collect(), input.max_results, token, limits, |(_, rule)| rule.id.clone())?;
    let security_group_rules = rules.into_iter().map(|(group, rule)| show(&call.view, group, rule)).collect();
    Ok(wire::DescribeSecurityGroupRulesResult { next_token, security_group_rules })
}

fn show(view: &View<'_>, group: &SecurityGroup, rule: &SecurityGroupRule) -> wire::SecurityGroupRule {
    let mut shown = wire::SecurityGroupRule {
        description: rule.description.clone(),
        from_port: Some(rule.from_port),
        group_id: Some(group.id.to_string()),
        group_owner_id: Some(view.scope.account.to_string()),
        ip_protocol: Some(rule.protocol.clone()),
        is_egress: Some(rule.egress),
        security_group_rule_arn: Some(view.scope.arn("ec2", &format!("security-group-rule/{}", rule.id))),
        security_group_rule_id: Some(rule.id.clone()),
        tags: tag_rules::shown(&rule.tags),
        to_port: Some(rule.to_port),
        ..Default::default()
    };
    match &rule.peer {
        RulePeer::Cidr(range) => shown.cidr_ipv4 = Some(range.clone()),
        RulePeer::Cidr6(range) => shown.cidr_ipv6 = Some(range.clone()),
        RulePeer::Group(id) => {
            shown.referenced_group_info = Some(wire::ReferencedSecurityGroup {
                group_id: Some(id.to_string()),
                user_id: Some(view.scope.account.to_string()),
                ..Default::default()
            });
        }
        RulePeer::PrefixList(list) => shown.prefix_list_id = Some(list.clone()),
    }
    shown
}

fn show_revoked(group: &SecurityGroup, rule: &SecurityGroupRule) -> wire::RevokedSecurityGroupRule {
    let mut shown = wire::RevokedSecurityGroupRule {
        description: rule.description.clone(),
        from_port: Some(rule.from_port),
        group_id: Some(group.id.to_string()),
        ip_protocol: Some(rule.protocol.clone()),
        is_egress: Some(rule.egress),
        security_group_rule_id: Some(rule.id.clone()),
        to_port: Some(rule.to_port),
        ..Default::default()
    };
    match &rule.peer {
        RulePeer::Cidr(range) => shown.cidr_ipv4 = Some(range.clone()),
        RulePeer::Cidr6(range) => shown.cidr_ipv6 = Some(range.clone()),
        RulePeer::Group(id) => shown.referenced_group_id = Some(id.to_string()),
        RulePeer::PrefixList(list) => shown.prefix_list_id = Some(list.clone()),
    }
    shown
}
