//! The settings of a group, read and checked alike for creating and updating:
//! template, network, health checks, termination policies, target groups.

use super::errors;
use elastane_domain::group::{CapacityType, TerminationPolicy};
use elastane_domain::id::*;
use elastane_domain::mixed::TemplateRef;
use elastane_domain::time::Span;
use elastane_engine::metadata::zone_id;
use elastane_engine::row::{Group, LaunchSource, LaunchTemplate, Subnet, TargetGroup, TargetType};
use elastane_engine::{Tx, View, groups, launch, network};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeSet;

/// Target groups of one group (autoscaling.md 18).
pub const TARGET_GROUPS_MAX: usize = 50;

/// Subnets of one group. AWS bounds the text at 5,000 characters.
const SUBNETS_MAX: usize = 200;

/// Where a group launches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Subnets in the order given; none means the zones' default subnets.
    pub subnets: Vec<SubnetId>,
    /// Zones, in the order of the subnets.
    pub zones: Vec<Zone>,
}

/// The template that a specification names: by id or by name, not both.
pub fn template(view: &View<'_>, spec: &wire::LaunchTemplateSpecification) -> Result<TemplateRef, ApiError> {
    let not_found = |text: String| errors::template(launch::Refusal::new("NotFound", text));
    let row = match (&spec.launch_template_id, &spec.launch_template_name) {
        (Some(id), None) => view.get::<LaunchTemplate>(id).ok_or_else(|| {
            not_found(format!("The specified launch template, with template ID {id}, does not exist."))
        })?,
        (None, Some(name)) => view.all::<LaunchTemplate>().find(|row| row.name == *name).ok_or_else(|| {
            not_found(format!("The specified launch template, with template name {name}, does not exist."))
        })?,
        (None, None) | (Some(_), Some(_)) => {
            return Err(errors::invalid(
                "Valid requests must contain either launchTemplateId or LaunchTemplateName, and not both",
            ));
        }
    };
    let version = spec.version.clone().unwrap_or_else(|| "$Default".to_string());
    if row.version(&version).is_none() {
        return Err(not_found(format!("Could not find launch template version {version}")));
    }
    Ok(TemplateRef { id: row.id.clone(), version })
}

/// Whether EC2 would launch from the source where the group launches.
pub fn check_launch(tx: &Tx<'_>, source: &LaunchSource, placement: &Placement) -> Result<(), ApiError> {
    let all = match source {
        LaunchSource::Mixed(policy) => {
            launch::mixed::every(tx, policy, CapacityType::Units).map_err(errors::template)?
        }
        LaunchSource::Template(_) => vec![groups::launch_data(tx, source).map_err(errors::template)?.0],
        LaunchSource::Configuration(_) => vec![groups::launch_data(tx, source).map_err(errors::refused)?.0],
    };
    let refused = match source {
        LaunchSource::Configuration(_) => errors::refused,
        LaunchSource::Template(_) | LaunchSource::Mixed(_) => errors::template,
    };
    for mut data in all {
        data.subnet = placement.subnets.first().cloned();
        (data.placement.zone, data.placement.zone_id) = (placement.zones.first().cloned(), None);
        launch::check(tx, &data).map_err(refused)?;
    }
    Ok(())
}

/// The zones that a call names, by their names or by their ids.
pub fn zones(view: &View<'_>, names: &[String], ids: &[String]) -> Result<Vec<String>, ApiError> {
    let region = &view.scope.region;
    let known = network::zones(region);
    let mut zones = names.to_vec();
    for id in ids {
        let zone = known.iter().find(|zone| zone_id(zone.as_str(), region.as_str()) == *id);
        let zone = zone.ok_or_else(|| errors::invalid(format!("Invalid availability zone id: [{id}]")))?;
        if !zones.iter().any(|name| name == zone.as_str()) {
            zones.push(zone.to_string());
        }
    }
    Ok(zones)
}

/// Subnets and zones as a call names them; `None` when it names neither.
pub fn placement(
    view: &View<'_>,
    vpc_zone_identifier: Option<&str>,
    zones: &[String],
) -> Result<Option<Placement>, ApiError> {
    let subnets: Vec<&str> =
        vpc_zone_identifier.unwrap_or("").split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if subnets.len() > SUBNETS_MAX {
        return Err(errors::invalid(format!("A group may have at most {SUBNETS_MAX} subnets")));
    }
    let zones: Vec<Zone> = zones.iter().map(|zone| Zone::from(zone.as_str())).collect();
    check_zones(view, &zones)?;
    if subnets.is_empty() {
        if let Some(zone) = zones.iter().find(|zone| network::default_subnet(view, zone).is_none()) {
            let text = format!("No default subnet for availability zone: '{zone}'. Name a VPCZoneIdentifier.");
            return Err(errors::invalid(text));
        }
        return Ok((!zones.is_empty()).then_some(Placement { subnets: Vec::new(), zones }));
    }
    let placement = in_subnets(view, &subnets)?;
    check_match(&placement, &zones)?;
    Ok(Some(placement))
}

fn check_zones(view: &View<'_>, zones: &[Zone]) -> Result<(), ApiError> {
    let known = network::zones(&view.scope.region);
    match zones.iter().find(|zone| !known.contains(zone)) {
        Some(zone) => {
            let known: Vec<&str> = known.iter().map(Zone::as_str).collect();
            let text = format!("Invalid availability zone: [{zone}]; this region has {}", known.join(", "));
            Err(errors::invalid(text))
        }
        None => Ok(()),
    }
}

fn in_subnets(view: &View<'_>, ids: &[&str]) -> Result<Placement, ApiError> {
    let mut placement = Placement::default();
    let mut vpc: Option<&VpcId> = None;
    for id in ids {
        let subnet =
            view.get::<Subnet>(id).ok_or_else(|| errors::invalid(format!("The subnet ID '{id}' does not exist")))?;
        if vpc.is_some_and(|vpc| *vpc != subnet.vpc) {
            return Err(errors::invalid("The subnets of an Auto Scaling group must belong to one VPC"));
        }
        vpc = Some(&subnet.vpc);
        if placement.subnets.contains(&subnet.id) {
            return Err(errors::invalid(format!("The subnet ID '{id}' is given twice")));
        }
        placement.subnets.push(subnet.id.clone());
        if !placement.zones.contains(&subnet.zone) {
            placement.zones.push(subnet.zone.clone());
        }
    }
    Ok(placement)
}

/// Zones given beside subnets must be those of the subnets.
pub fn check_match(placement: &Placement, zones: &[Zone]) -> Result<(), ApiError> {
    let have: BTreeSet<&Zone> = placement.zones.iter().collect();
    if zones.is_empty() || zones.iter().collect::<BTreeSet<_>>() == have {
        return Ok(());
    }
    Err(errors::invalid("The availability zones of the specified subnets and the Auto Scaling group do not match"))
}

/// The VPC that a placement is in.
pub fn vpc<'a>(view: &View<'a>, placement: &Placement) -> Option<&'a VpcId> {
    match placement.subnets.first() {
        Some(id) => view.get::<Subnet>(id.as_str()).map(|subnet| &subnet.vpc),
        None => network::default_vpc(view).map(|vpc| &vpc.id),
    }
}

/// Where a group launches now.
pub fn placement_of(group: &Group) -> Placement {
    Placement { subnets: group.subnets.clone(), zones: group.zones.clone() }
}

/// Target groups that a group may be attached to: they exist, hold instances
/// and are in the group's VPC.
pub fn target_groups(view: &View<'_>, arns: &[String], placement: &Placement) -> Result<Vec<TargetGroupArn>, ApiError> {
    let vpc = vpc(view, placement);
    let mut found: Vec<TargetGroupArn> = Vec::new();
    for arn in arns {
        let row = view.get::<TargetGroup>(arn).ok_or_else(|| {
            errors::invalid("Provided Target Groups may not be valid. Please ensure they exist and try again.")
        })?;
        if row.target_type != TargetType::Instance {
            let text = format!("Target group {arn} has targets of type ip; a group needs type instance");
            return Err(errors::invalid(text));
        }
        if vpc.is_some_and(|vpc| *vpc != row.vpc) {
            return Err(errors::invalid(format!("Target group {arn} is in another VPC than the group's subnets")));
        }
        if !found.contains(&row.arn) {
            found.push(row.arn.clone());
        }
    }
    check_target_group_count(found.len())?;
    Ok(found)
}

/// A group's quota of target groups.
pub fn check_target_group_count(count: usize) -> Result<(), ApiError> {
    if count > TARGET_GROUPS_MAX {
        return Err(errors::limit(format!("A group may have at most {TARGET_GROUPS_MAX} target groups")));
    }
    Ok(())
}

/// HealthCheckType, a list: whether it has `ELB`. `EC2` is always on, and
/// `EBS` finds nothing, as volumes are never impaired.
pub fn checks_elb(text: &str) -> Result<bool, ApiError> {
    let mut elb = false;
    for source in text.split(',').map(str::trim) {
        match source {
            // A volume here is never impaired: its check is made, and passes.
            "EC2" | "EBS" => {}
            "ELB" => elb = true,
            "VPC_LATTICE" => return Err(errors::unsupported("Health check type VPC_LATTICE")),
            other => {
                let text = format!("Invalid HealthCheckType '{other}'. Valid values are: EC2, ELB, EBS, VPC_LATTICE");
                return Err(errors::invalid(text));
            }
        }
    }
    Ok(elb)
}

/// TerminationPolicies in order; `Default` comes last (autoscaling.md 5).
pub fn termination_policies(names: &[String]) -> Result<Vec<TerminationPolicy>, ApiError> {
    let mut policies = Vec::new();
    for name in names {
        let policy = TerminationPolicy::from_name(name).ok_or_else(|| match name.as_str() {
            arn if arn.starts_with("arn:") => errors::invalid(format!(
                "A custom termination policy ({arn}) needs AWS Lambda, which Elastane does not have. Choose among: {}",
                TerminationPolicy::ALL.map(TerminationPolicy::name).join(", ")
            )),
            other => errors::invalid(format!("Invalid termination policy: {other}")),
        })?;
        if policies.contains(&policy) {
            return Err(errors::invalid(format!("Termination policy {name} is given twice")));
        }
        policies.push(policy);
    }
    let not_last = policies.iter().rev().skip(1).any(|policy| *policy == TerminationPolicy::Default);
    if not_last {
        return Err(errors::invalid("Termination policy Default must be the last one in the list"));
    }
    Ok(policies)
}

/// A length of time in seconds that may be zero.
pub fn seconds(value: Option<i32>, member: &str) -> Result<Option<Span>, ApiError> {
    match value {
        Some(secs) if secs < 0 => Err(errors::invalid(format!("{member} must not be negative, not {secs}"))),
        Some(secs) => Ok(Some(Span::from_secs(i64::from(secs)))),
        None => Ok(None),
    }
}

/// A number of instances.
pub fn size(value: Option<i32>, member: &str) -> Result<Option<u32>, ApiError> {
    value
        .map(|size| {
            u32::try_from(size).map_err(|_| errors::invalid(format!("{member} must not be negative, not {size}")))
        })
        .transpose()
}

/// A new group's name: 1 to 255 printable ASCII characters, no colon.
pub fn new_name(name: Option<&str>) -> Result<GroupName, ApiError> {
    let name = name.ok_or_else(|| errors::missing("AutoScalingGroupName"))?;
    let fine = (1..=255).contains(&name.len()) && name.bytes().all(|b| (33..=126).contains(&b) && b != b':');
    if !fine {
        let text = format!("Group name '{name}' must be 1 to 255 printable ASCII characters without ':' and blanks");
        return Err(errors::invalid(text));
    }
    Ok(GroupName::from(name))
}
