//! Target groups of instances or addresses, of either family of load balancer.

use super::health_check::{self, Given, Speaks, TRAFFIC_PORT};
use super::{errors, names, pager, protocols, tags};
use crate::page::page;
use crate::{Call, Change};
use elastane_domain::id::{ListenerArn, LoadBalancerArn, TargetGroupArn};
use elastane_domain::routing::{Action, CheckProtocol, Family, ProtocolVersion};
use elastane_engine::row::{Group, Target, TargetGroup, TargetType, Vpc};
use elastane_engine::{Tables, routing, targets};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Target groups of one account in one region (alb.md 12).
pub const TARGET_GROUPS_MAX: usize = 3000;

/// CreateTargetGroup. With the settings of an existing group of that name it
/// answers with that one.
pub fn create_target_group(
    tx: &mut Change<'_, '_>,
    input: &wire::CreateTargetGroupInput,
) -> Result<wire::CreateTargetGroupOutput, ApiError> {
    let name = input.name.as_deref().ok_or_else(|| errors::missing("Name"))?;
    names::check_target_group_name(name)?;
    let wanted = wanted(tx, name, input)?;
    if let Some(row) = tx.all::<TargetGroup>().find(|row| row.name == name) {
        let same = TargetGroup { arn: row.arn.clone(), attributes: row.attributes.clone(), ..wanted };
        if **row != same {
            return Err(errors::duplicate_target_group(name));
        }
        return Ok(wire::CreateTargetGroupOutput { target_groups: vec![shown(tx.tables(), row)] });
    }
    if tx.target_groups.len() >= TARGET_GROUPS_MAX {
        return Err(errors::too_many("TooManyTargetGroups", TARGET_GROUPS_MAX, "target groups"));
    }
    let id = tx.rng.hex(names::ID_DIGITS);
    let arn = tx.scope().arn(names::SERVICE, &format!("targetgroup/{name}/{id}"));
    let row = TargetGroup { arn: TargetGroupArn::from(arn), ..wanted };
    let target_groups = vec![shown(tx.tables(), &row)];
    tx.put(row);
    Ok(wire::CreateTargetGroupOutput { target_groups })
}

/// The group that the call describes, still without an ARN.
fn wanted(tables: &Tables, name: &str, input: &wire::CreateTargetGroupInput) -> Result<TargetGroup, ApiError> {
    let target_type = match input.target_type.as_deref().unwrap_or("instance") {
        "instance" => TargetType::Instance,
        "ip" => TargetType::Ip,
        known @ ("lambda" | "alb") => return Err(errors::unsupported(&format!("The target type '{known}'"))),
        other => {
            let message = format!("Target type '{other}' must be one of '[instance,ip,lambda,alb]'");
            return Err(errors::validation(message));
        }
    };
    let protocol = input.protocol.as_deref().ok_or_else(|| errors::validation("A protocol must be specified"))?;
    let protocol = protocols::parsed("target group", protocol)?;
    // Terraform sends an empty version when none is configured.
    let version = input.protocol_version.as_deref().filter(|text| !text.is_empty());
    if version.is_some() && protocols::family(protocol) == Family::Network {
        let message = format!("A protocol version cannot be specified for the protocol {}", protocols::name(protocol));
        return Err(errors::validation(message));
    }
    let version = match version.unwrap_or("HTTP1") {
        "HTTP1" => ProtocolVersion::Http1,
        "HTTP2" => ProtocolVersion::Http2,
        "GRPC" => ProtocolVersion::Grpc,
        other => {
            let message = format!("Protocol version '{other}' must be one of '[GRPC,HTTP1,HTTP2]'");
            return Err(errors::validation(message));
        }
    };
    if input.ip_address_type.as_deref().is_some_and(|family| family != "ipv4") {
        return Err(errors::unsupported("The IP address type 'ipv6'"));
    }
    if input.target_control_port.is_some() {
        return Err(errors::unsupported("TargetControlPort"));
    }
    let port = input.port.ok_or_else(|| errors::validation("A port must be specified"))?;
    let vpc = input.vpc_id.as_deref().ok_or_else(|| errors::validation("A VPC ID must be specified"))?;
    let vpc_row: Option<&Arc<Vpc>> = tables.vpcs.get(vpc);
    Ok(TargetGroup {
        arn: TargetGroupArn::from(""),
        name: name.to_string(),
        protocol,
        version,
        ip_address_type: "ipv4".to_string(),
        port: checked_port(port)?,
        vpc: vpc_row.ok_or_else(|| errors::validation(format!("The VPC ID '{vpc}' is not found")))?.id.clone(),
        target_type,
        check: health_check::new(Speaks { protocol, version }, &given(input))?,
        attributes: BTreeMap::new(),
        tags: tags::given(&input.tags)?,
    })
}

/// A port of a target, group or listener.
pub fn checked_port(port: i32) -> Result<u16, ApiError> {
    let number = u16::try_from(port).ok().filter(|port| *port > 0);
    number.ok_or_else(|| errors::validation(format!("The port '{port}' must be in the range 1-65535")))
}

fn given(input: &wire::CreateTargetGroupInput) -> Given<'_> {
    Given {
        enabled: input.health_check_enabled,
        protocol: input.health_check_protocol.as_deref(),
        port: input.health_check_port.as_deref(),
        path: input.health_check_path.as_deref(),
        interval: input.health_check_interval_seconds,
        timeout: input.health_check_timeout_seconds,
        healthy: input.healthy_threshold_count,
        unhealthy: input.unhealthy_threshold_count,
        matcher: input.matcher.as_ref(),
    }
}

/// ModifyTargetGroup: its health check; what is left out stays.
pub fn modify_target_group(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyTargetGroupInput,
) -> Result<wire::ModifyTargetGroupOutput, ApiError> {
    let mut row = TargetGroup::clone(names::target_group(tx.tables(), input.target_group_arn.as_deref())?);
    let given = Given {
        enabled: input.health_check_enabled,
        protocol: input.health_check_protocol.as_deref(),
        port: input.health_check_port.as_deref(),
        path: input.health_check_path.as_deref(),
        interval: input.health_check_interval_seconds,
        timeout: input.health_check_timeout_seconds,
        healthy: input.healthy_threshold_count,
        unhealthy: input.unhealthy_threshold_count,
        matcher: input.matcher.as_ref(),
    };
    row.check = health_check::changed(speaks(&row), &row.check, &given)?;
    let target_groups = vec![shown(tx.tables(), &row)];
    tx.put(row);
    Ok(wire::ModifyTargetGroupOutput { target_groups })
}

/// DeleteTargetGroup: with its targets; Auto Scaling groups forget it. One
/// that is not there is no error, one that a listener uses is.
pub fn delete_target_group(
    tx: &mut Change<'_, '_>,
    input: &wire::DeleteTargetGroupInput,
) -> Result<wire::DeleteTargetGroupOutput, ApiError> {
    let arn = input.target_group_arn.as_deref().ok_or_else(|| errors::missing("TargetGroupArn"))?;
    names::check_target_group_arn(arn)?;
    if is_used(tx.tables(), arn) {
        return Err(errors::group_in_use(arn));
    }
    for target in of_group(tx.tables(), arn) {
        targets::leave(tx, &target);
    }
    let attached = |group: &&Arc<Group>| group.target_groups.iter().any(|attached| attached.as_str() == arn);
    let groups: Vec<String> = tx.all::<Group>().filter(attached).map(|group| group.name.to_string()).collect();
    for group in groups {
        tx.update(&group, |row: &mut Group| {
            row.target_groups.retain(|attached| attached.as_str() != arn);
            row.traffic_in_service.retain(|attached| attached.as_str() != arn);
        });
    }
    tx.delete::<TargetGroup>(arn);
    Ok(wire::DeleteTargetGroupOutput {})
}

/// The targets of a group, draining ones included.
pub fn of_group(tables: &Tables, arn: &str) -> Vec<Arc<Target>> {
    tables.targets.starting_with(&format!("{arn}|")).map(|(_, row)| row.clone()).collect()
}

/// Whether a listener forwards to the group.
pub fn is_used(tables: &Tables, arn: &str) -> bool {
    fronts(tables, arn).next().is_some()
}

/// The listeners of whose actions one forwards to the group.
fn fronts<'a>(tables: &'a Tables, arn: &'a str) -> impl Iterator<Item = &'a ListenerArn> {
    let reaches = move |action: &Action| action.target_groups().any(|group| group.as_str() == arn);
    routing::actions(tables).filter(move |(_, action)| reaches(action)).map(|(listener, _)| listener)
}

/// The load balancers whose listeners forward to the group.
pub fn load_balancers_of<'a>(tables: &'a Tables, arn: &str) -> BTreeSet<&'a LoadBalancerArn> {
    let listeners = fronts(tables, arn).filter_map(|listener| tables.listeners.get(listener.as_str()));
    listeners.map(|listener| &listener.load_balancer).collect()
}

/// DescribeTargetGroups: those of the ARNs, of the names, of a load
/// balancer, or all.
pub fn describe_target_groups(
    call: &Call<'_>,
    input: &wire::DescribeTargetGroupsInput,
) -> Result<wire::DescribeTargetGroupsOutput, ApiError> {
    let ways = [!input.target_group_arns.is_empty(), !input.names.is_empty(), input.load_balancer_arn.is_some()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        let message =
            "Target group ARNs, target group names and a load balancer ARN cannot be specified at the same time";
        return Err(errors::validation(message));
    }
    for arn in &input.target_group_arns {
        names::target_group(call.tables, Some(arn))?;
    }
    for name in &input.names {
        if !call.all::<TargetGroup>().any(|row| row.name == *name) {
            return Err(errors::target_group_not_found(name));
        }
    }
    let balancer = input.load_balancer_arn.as_deref().map(|arn| names::load_balancer(call.tables, Some(arn)));
    let balancer = balancer.transpose()?.map(|row| &row.arn);
    let all = ways == [false; 3];
    let asked = |row: &TargetGroup| {
        all || input.names.contains(&row.name)
            || input.target_group_arns.iter().any(|arn| arn == row.arn.as_str())
            || balancer.is_some_and(|arn| load_balancers_of(call.tables, row.arn.as_str()).contains(arn))
    };
    let rows = call.all::<TargetGroup>().filter(|row| asked(row)).collect();
    let (rows, next_marker) = page(rows, pager(input.marker.as_deref(), input.page_size), |row| row.arn.to_string())?;
    let target_groups = rows.into_iter().map(|row| shown(call.tables, row)).collect();
    Ok(wire::DescribeTargetGroupsOutput { next_marker, target_groups })
}

fn speaks(row: &TargetGroup) -> Speaks {
    Speaks { protocol: row.protocol, version: row.version }
}

fn shown(tables: &Tables, row: &TargetGroup) -> wire::TargetGroup {
    let check = &row.check;
    let text = |text: &str| Some(text.to_string());
    let http = protocols::family(row.protocol) == Family::Application;
    wire::TargetGroup {
        health_check_enabled: Some(check.enabled),
        health_check_interval_seconds: Some(check.interval_secs as i32),
        health_check_path: text(&check.path).filter(|_| check.protocol != CheckProtocol::Tcp),
        health_check_port: Some(check.port.map_or_else(|| TRAFFIC_PORT.to_string(), |port| port.to_string())),
        health_check_protocol: text(health_check::name(check.protocol)),
        health_check_timeout_seconds: Some(check.timeout_secs as i32),
        healthy_threshold_count: Some(check.healthy_threshold as i32),
        ip_address_type: text(&row.ip_address_type),
        load_balancer_arns: load_balancers_of(tables, row.arn.as_str()).into_iter().map(ToString::to_string).collect(),
        matcher: health_check::shown_matcher(speaks(row), check),
        port: Some(i32::from(row.port)),
        protocol: text(protocols::name(row.protocol)),
        protocol_version: http.then(|| {
            match row.version {
                ProtocolVersion::Http1 => "HTTP1",
                ProtocolVersion::Http2 => "HTTP2",
                ProtocolVersion::Grpc => "GRPC",
            }
            .to_string()
        }),
        target_control_port: None,
        target_group_arn: Some(row.arn.to_string()),
        target_group_name: Some(row.name.clone()),
        target_type: text(match row.target_type {
            TargetType::Instance => "instance",
            TargetType::Ip => "ip",
        }),
        unhealthy_threshold_count: Some(check.unhealthy_threshold as i32),
        vpc_id: Some(row.vpc.to_string()),
    }
}
