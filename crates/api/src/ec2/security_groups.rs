//! Security groups: made, shown and deleted. Their rules are in
//! [`super::security_rules`].

use super::filter::Filters;
use super::launch_data::text;
use super::listing::{IdKind, chosen};
use super::network::VPC_ID;
use super::paging::{USUAL, cut};
use super::{errors, permissions, tag_rules};
use crate::{Call, Change};
use elastane_domain::id::SecurityGroupId;
use elastane_engine::row::{LoadBalancer, NetworkInterface, RulePeer, SecurityGroup, SecurityGroupRule, Vpc};
use elastane_engine::{View, network};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeMap;
use std::sync::Arc;

const GROUP_ID: IdKind = IdKind {
    prefix: SecurityGroupId::PREFIX,
    malformed: "InvalidGroupId.Malformed",
    not_found: "InvalidGroup.NotFound",
    noun: "The security group",
};

/// Groups of one account and region (Amazon VPC quotas).
const GROUPS_MAX: usize = 2500;

const FILTERS: [&str; 23] = [
    "description",
    "egress.ip-permission.cidr",
    "egress.ip-permission.from-port",
    "egress.ip-permission.group-id",
    "egress.ip-permission.group-name",
    "egress.ip-permission.ipv6-cidr",
    "egress.ip-permission.prefix-list-id",
    "egress.ip-permission.protocol",
    "egress.ip-permission.to-port",
    "egress.ip-permission.user-id",
    "group-id",
    "group-name",
    "ip-permission.cidr",
    "ip-permission.from-port",
    "ip-permission.group-id",
    "ip-permission.group-name",
    "ip-permission.ipv6-cidr",
    "ip-permission.prefix-list-id",
    "ip-permission.protocol",
    "ip-permission.to-port",
    "ip-permission.user-id",
    "owner-id",
    "vpc-id",
];

/// The group of an id, or of a name in the default VPC.
///
/// # Errors
/// `InvalidGroupId.Malformed`, `InvalidGroup.NotFound`, `MissingParameter`
/// when neither is given.
pub(super) fn find_group<'a>(
    view: &View<'a>,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<&'a SecurityGroup, ApiError> {
    match (id, name) {
        (Some(id), _) => {
            GROUP_ID.check(id)?;
            Ok(view.get::<SecurityGroup>(id).ok_or_else(|| GROUP_ID.unknown(id))?)
        }
        (None, Some(name)) => {
            let vpc = network::default_vpc(view).map(|vpc| &vpc.id);
            let found = view.all::<SecurityGroup>().find(|group| group.name == name && Some(&group.vpc) == vpc);
            let missing = || {
                let place = vpc.map_or(String::new(), |vpc| format!(" in default VPC '{vpc}'"));
                ApiError::new(GROUP_ID.not_found, format!("The security group '{name}' does not exist{place}"))
            };
            Ok(found.ok_or_else(missing)?)
        }
        (None, None) => Err(errors::missing("GroupName or GroupId")),
    }
}

/// CreateSecurityGroup: with the rule that lets everything out.
///
/// # Errors
/// `InvalidGroup.Duplicate`, `InvalidVpcID.*`, `VPCIdNotSpecified`,
/// `InvalidParameterValue` for name and description,
/// `SecurityGroupLimitExceeded`, those of tags.
pub fn create_security_group(
    change: &mut Change<'_, '_>,
    input: &wire::CreateSecurityGroupRequest,
) -> Result<wire::CreateSecurityGroupResult, ApiError> {
    let name = text(&input.group_name).ok_or_else(|| errors::missing("GroupName"))?;
    let description = text(&input.description).ok_or_else(|| errors::missing("GroupDescription"))?;
    check_name(&name)?;
    permissions::check_words("security group description", &description)?;
    let tags = tag_rules::specified(&input.tag_specifications, &["security-group"])?
        .remove("security-group")
        .unwrap_or_default();
    let vpc = match text(&input.vpc_id) {
        Some(id) => {
            VPC_ID.check(&id)?;
            change.get::<Vpc>(&id).ok_or_else(|| VPC_ID.unknown(&id))?.id.clone()
        }
        None => {
            let none = || ApiError::new("VPCIdNotSpecified", "No default VPC for this user");
            network::default_vpc(&change.view()).ok_or_else(none)?.id.clone()
        }
    };
    if change.all::<SecurityGroup>().any(|group| group.vpc == vpc && group.name == name) {
        let message = format!("The security group '{name}' already exists for VPC '{vpc}'");
        return Err(ApiError::new("InvalidGroup.Duplicate", message));
    }
    if change.security_groups.len() >= GROUPS_MAX {
        let message = "The maximum number of security groups has been reached.";
        return Err(ApiError::new("SecurityGroupLimitExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    let id = SecurityGroupId::from(change.rng.id(SecurityGroupId::PREFIX));
    let out = network::all_traffic(change, true, RulePeer::Cidr("0.0.0.0/0".to_string()));
    let result = wire::CreateSecurityGroupResult {
        group_id: Some(id.to_string()),
        security_group_arn: Some(arn(&change.view(), &id)),
        tags: tag_rules::shown(&tags),
    };
    change.put(SecurityGroup { id, name, description, vpc, rules: vec![out], tags });
    Ok(result)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    permissions::check_words("security group name", name)?;
    if name.starts_with(SecurityGroupId::PREFIX) {
        return Err(errors::invalid_value(format!(
            "Invalid value '{name}' for groupName. Group names may not be in the format sg-*."
        )));
    }
    if name == "default" {
        return Err(errors::invalid_value("Cannot use reserved security group name: default"));
    }
    Ok(())
}

fn arn(view: &View<'_>, id: &SecurityGroupId) -> String {
    view.scope.arn("ec2", &format!("security-group/{id}"))
}

/// DeleteSecurityGroup, by id or by name in the default VPC.
///
/// # Errors
/// `CannotDelete` for a default group, `DependencyViolation` for one that an
/// instance, a load balancer or another group's rule names, and
/// [`find_group`]'s.
pub fn delete_security_group(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteSecurityGroupRequest,
) -> Result<wire::DeleteSecurityGroupResult, ApiError> {
    let view = change.view();
    let group = find_group(&view, text(&input.group_id).as_deref(), text(&input.group_name).as_deref())?;
    if group.name == "default" {
        let message = format!("the specified group: \"{}\" name: \"default\" cannot be deleted by a user", group.id);
        return Err(ApiError::new("CannotDelete", message));
    }
    if in_use(&view, &group.id) {
        let message = format!("resource {} has a dependent object", group.id);
        return Err(ApiError::new("DependencyViolation", message));
    }
    errors::dry_run(input.dry_run)?;
    let id = group.id.to_string();
    change.delete::<SecurityGroup>(&id);
    Ok(wire::DeleteSecurityGroupResult { group_id: Some(id), r#return: Some(true) })
}

fn in_use(view: &View<'_>, id: &SecurityGroupId) -> bool {
    let of_rule = |group: &Arc<SecurityGroup>| {
        group.id != *id && group.rules.iter().any(|rule| rule.peer == RulePeer::Group(id.clone()))
    };
    view.all::<NetworkInterface>().any(|interface| interface.groups.contains(id))
        || view.all::<LoadBalancer>().any(|balancer| balancer.security_groups.contains(id))
        || view.all::<SecurityGroup>().any(of_rule)
}

/// DescribeSecurityGroups, of ids, of names in the default VPC, or all.
///
/// # Errors
/// [`find_group`]'s, those of filters and pages.
pub fn describe_security_groups(
    call: &Call<'_>,
    input: &wire::DescribeSecurityGroupsRequest,
) -> Result<wire::DescribeSecurityGroupsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let rows = chosen_groups(call, input)?;
    errors::dry_run(input.dry_run)?;
    let rows = rows
        .into_iter()
        .filter(|group| filters.accept(&group.tags, |name, emit| values(&call.view, group, name, emit)))
        .collect();
    let limits = (USUAL, !input.group_ids.is_empty() || !input.group_names.is_empty());
    let token = input.next_token.as_deref();
    let (rows, next_token) = cut(rows, input.max_results, token, limits, |group| group.id.to_string())?;
    let security_groups = rows.into_iter().map(|group| show(&call.view, group)).collect();
    Ok(wire::DescribeSecurityGroupsResult { next_token, security_groups })
}

fn chosen_groups<'a>(
    call: &Call<'a>,
    input: &wire::DescribeSecurityGroupsRequest,
) -> Result<Vec<&'a SecurityGroup>, ApiError> {
    if input.group_names.is_empty() {
        return Ok(chosen::<SecurityGroup>(call, &input.group_ids, &GROUP_ID)?.into_iter().map(Arc::as_ref).collect());
    }
    let mut rows = BTreeMap::new();
    for name in &input.group_names {
        let group = find_group(&call.view, None, Some(name))?;
        rows.insert(group.id.clone(), group);
    }
    for id in &input.group_ids {
        let group = find_group(&call.view, Some(id), None)?;
        rows.insert(group.id.clone(), group);
    }
    Ok(rows.into_values().collect())
}

fn values(view: &View<'_>, group: &SecurityGroup, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "description" => emit(&group.description),
        "group-id" => emit(group.id.as_str()),
        "group-name" => emit(&group.name),
        "owner-id" => emit(view.scope.account.as_str()),
        "vpc-id" => emit(group.vpc.as_str()),
        name => {
            let (egress, name) = match name.strip_prefix("egress.") {
                Some(name) => (true, name),
                None => (false, name),
            };
            let Some(name) = name.strip_prefix("ip-permission.") else { return };
            for rule in group.rules.iter().filter(|rule| rule.egress == egress) {
                rule_values(view, rule, name, emit);
            }
        }
    }
}

fn rule_values(view: &View<'_>, rule: &SecurityGroupRule, name: &str, emit: &mut dyn FnMut(&str)) {
    match (name, &rule.peer) {
        ("cidr", RulePeer::Cidr(range)) | ("ipv6-cidr", RulePeer::Cidr6(range)) => emit(range),
        ("group-id", RulePeer::Group(id)) => emit(id.as_str()),
        ("group-name", RulePeer::Group(id)) => {
            view.get::<SecurityGroup>(id.as_str()).into_iter().for_each(|group| emit(&group.name));
        }
        ("prefix-list-id", RulePeer::PrefixList(id)) => emit(id),
        ("user-id", RulePeer::Group(_)) => emit(view.scope.account.as_str()),
        ("protocol", _) => emit(&rule.protocol),
        ("from-port", _) => emit(&rule.from_port.to_string()),
        ("to-port", _) => emit(&rule.to_port.to_string()),
        _ => {}
    }
}

fn show(view: &View<'_>, group: &SecurityGroup) -> wire::SecurityGroup {
    let account = view.scope.account.as_str();
    wire::SecurityGroup {
        description: Some(group.description.clone()),
        group_id: Some(group.id.to_string()),
        group_name: Some(group.name.clone()),
        ip_permissions: permissions::show(account, &group.rules, false),
        ip_permissions_egress: permissions::show(account, &group.rules, true),
        owner_id: Some(account.to_string()),
        security_group_arn: Some(arn(view, &group.id)),
        tags: tag_rules::shown(&group.tags),
        vpc_id: Some(group.vpc.to_string()),
    }
}
