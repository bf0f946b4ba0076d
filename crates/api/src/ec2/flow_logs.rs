//! Flow logs of VPCs, subnets and interfaces. Where they should go is kept and
//! shown; the host writes their lines to files of its own.

use super::filter::Filters;
use super::listing::{IdKind, chosen};
use super::network::{SUBNET_ID, VPC_ID, by_id, given, required, tags_of};
use super::network_interfaces::{INTERFACE_ID, client_token};
use super::paging::{USUAL, cut};
use super::{errors, recast, tag_rules};
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::*;
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::sync::Arc;

const FLOW_LOG_ID: IdKind = IdKind {
    prefix: "fl-",
    malformed: "InvalidFlowLogId.Malformed",
    not_found: "InvalidFlowLogId.NotFound",
    noun: "The flow log",
};

/// Resources of one call (EC2 API Reference, "CreateFlowLogs").
const RESOURCES_MAX: usize = 25;

/// Flow logs that one call deletes (EC2 API Reference, "DeleteFlowLogs").
const DELETE_MAX: usize = 1000;

/// Flow logs of one account and region: a bound on the host's work.
const FLOW_LOGS_MAX: usize = 1000;

/// Version 2 of the record (Amazon VPC User Guide, "Flow log records"). It is
/// the only one that is written.
const FORMAT: &str = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} \
                      ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}";

/// MaxAggregationInterval in seconds, and what it is when nobody says.
const INTERVALS_SECS: [u32; 2] = [60, 600];
const INTERVAL_DEFAULT_SECS: u32 = 600;

const CLOUD_WATCH_LOGS: &str = "cloud-watch-logs";
const S3: &str = "s3";

const FILTERS: [&str; 6] =
    ["deliver-log-status", "flow-log-id", "log-destination-type", "log-group-name", "resource-id", "traffic-type"];

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameter", message)
}

/// CreateFlowLogs: one for each resource. What cannot be logged is among the
/// unsuccessful, with `InvalidVpcID.NotFound` and the like, or
/// `FlowLogAlreadyExists` for one with the same settings.
///
/// # Errors
/// `InvalidParameter` for destinations, intervals and words that do not fit,
/// `MissingParameter`, `FlowLogsLimitExceeded`, `IdempotentParameterMismatch`,
/// those of tags; `UnsupportedOperation` for other resources, destinations
/// and formats.
pub fn create_flow_logs(
    change: &mut Change<'_, '_>,
    input: &wire::CreateFlowLogsRequest,
) -> Result<wire::CreateFlowLogsResult, ApiError> {
    let template = template(change, input)?;
    if let Some(token) = &template.client_token {
        let of_token = |row: &&Arc<FlowLog>| row.client_token.as_ref() == Some(token);
        let earlier: Vec<Arc<FlowLog>> = change.all::<FlowLog>().filter(of_token).cloned().collect();
        if !earlier.is_empty() {
            let same = |row: &Arc<FlowLog>| same_settings(row, &template) && input.resource_ids.contains(&row.resource);
            if !earlier.iter().all(same) {
                return Err(errors::token_mismatch());
            }
            errors::dry_run(input.dry_run)?;
            let flow_log_ids = earlier.iter().map(|row| row.id.clone()).collect();
            return Ok(wire::CreateFlowLogsResult {
                client_token: template.client_token,
                flow_log_ids,
                ..Default::default()
            });
        }
    }
    if change.flow_logs.len() + input.resource_ids.len() > FLOW_LOGS_MAX {
        return Err(ApiError::new("FlowLogsLimitExceeded", "The maximum number of flow logs has been reached."));
    }
    let mut answer = wire::CreateFlowLogsResult { client_token: template.client_token.clone(), ..Default::default() };
    for resource in &input.resource_ids {
        let row = FlowLog { resource: resource.clone(), ..template.clone() };
        match check(&change.view(), required(&input.resource_type, "ResourceType")?, &row) {
            Ok(()) => {
                let id = change.rng.id("fl-");
                answer.flow_log_ids.push(id.clone());
                change.put(FlowLog { id, ..row });
            }
            Err(err) => answer.unsuccessful.push(unsuccessful(resource, &err)),
        }
    }
    errors::dry_run(input.dry_run)?;
    Ok(answer)
}

fn unsuccessful(id: &str, err: &ApiError) -> wire::UnsuccessfulItem {
    let error = wire::UnsuccessfulItemError { code: Some(err.code.to_string()), message: Some(err.message.clone()) };
    wire::UnsuccessfulItem { error: Some(error), resource_id: Some(id.to_string()) }
}

/// What the flow logs of a call have in common.
fn template(change: &Change<'_, '_>, input: &wire::CreateFlowLogsRequest) -> Result<FlowLog, ApiError> {
    const NAMES: &[&str] = &[
        "ClientToken",
        "DeliverLogsPermissionArn",
        "DestinationOptions",
        "DryRun",
        "LogDestination",
        "LogDestinationType",
        "LogFormat",
        "LogGroupName",
        "MaxAggregationInterval",
        "ResourceIds",
        "ResourceType",
        "TagSpecifications",
        "TrafficType",
    ];
    recast::only(&wire::CREATE_FLOW_LOGS_REQUEST, input, NAMES)?;
    if input.resource_ids.is_empty() {
        return Err(errors::missing("ResourceId"));
    }
    if input.resource_ids.len() > RESOURCES_MAX {
        return Err(invalid(format!("At most {RESOURCES_MAX} resources are allowed in one call.")));
    }
    let traffic = required(&input.traffic_type, "TrafficType")?;
    if !["ACCEPT", "REJECT", "ALL"].contains(&traffic) {
        return Err(invalid(format!("Unknown traffic type provided: {traffic}")));
    }
    if given(&input.log_format).is_some_and(|format| format != FORMAT) {
        return Err(errors::unsupported("A LogFormat other than the default one"));
    }
    check_options(input.destination_options.as_ref())?;
    let interval = input.max_aggregation_interval.map_or(Some(INTERVAL_DEFAULT_SECS), |secs| u32::try_from(secs).ok());
    let interval_secs = interval
        .filter(|secs| INTERVALS_SECS.contains(secs))
        .ok_or_else(|| invalid("Invalid Flow Log Max Aggregation Interval: it is 60 or 600 seconds."))?;
    let destination_type = given(&input.log_destination_type).unwrap_or(CLOUD_WATCH_LOGS).to_string();
    check_destination(&destination_type, input)?;
    let destination = given(&input.log_destination).map(str::to_string);
    Ok(FlowLog {
        id: String::new(),
        resource: String::new(),
        traffic: traffic.to_string(),
        destination_type,
        destination,
        log_group: given(&input.log_group_name).map(str::to_string),
        role_arn: given(&input.deliver_logs_permission_arn).map(str::to_string),
        interval_secs,
        created_at: change.now,
        client_token: client_token(&input.client_token)?,
        tags: tags_of(&input.tag_specifications, "vpc-flow-log")?,
    })
}

fn check_options(options: Option<&wire::DestinationOptionsRequest>) -> Result<(), ApiError> {
    let Some(options) = options else { return Ok(()) };
    let plain = given(&options.file_format).is_none_or(|format| format == "plain-text");
    let partitions = options.hive_compatible_partitions == Some(true) || options.per_hour_partition == Some(true);
    if plain && !partitions { Ok(()) } else { Err(errors::unsupported("The parameter 'DestinationOptions'")) }
}

fn check_destination(kind: &str, input: &wire::CreateFlowLogsRequest) -> Result<(), ApiError> {
    let (destination, group) = (given(&input.log_destination), given(&input.log_group_name));
    match kind {
        CLOUD_WATCH_LOGS => {
            if destination.is_some() && group.is_some() {
                return Err(invalid("Please only provide LogGroupName or only provide LogDestination."));
            }
            if destination.is_none() && group.is_none() {
                return Err(invalid(
                    "LogGroupName or LogDestination can't be empty if LogDestinationType is cloud-watch-logs.",
                ));
            }
            if given(&input.deliver_logs_permission_arn).is_none() {
                return Err(invalid(
                    "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.",
                ));
            }
            if destination.is_some_and(|arn| group_of(arn).is_none()) {
                return Err(invalid("LogDestination: the ARN is not one of a log group."));
            }
        }
        S3 => {
            if group.is_some() {
                return Err(invalid("LogDestination type must be cloud-watch-logs if LogGroupName is provided."));
            }
            if !destination.is_some_and(|arn| arn.starts_with("arn:aws:s3:::")) {
                return Err(invalid("LogDestination must be the ARN of a bucket if LogDestinationType is s3."));
            }
            if given(&input.deliver_logs_permission_arn).is_some() {
                return Err(invalid("DeliverLogsPermissionArn must be empty if LogDestinationType is s3."));
            }
        }
        "kinesis-data-firehose" => return Err(errors::unsupported("The log destination type 'kinesis-data-firehose'")),
        other => return Err(invalid(format!("Unknown log destination type provided: {other}"))),
    }
    Ok(())
}

/// The log group of a CloudWatch Logs ARN.
fn group_of(arn: &str) -> Option<&str> {
    let (service, name) = arn.split_once(":log-group:")?;
    let name = name.trim_end_matches(":*");
    (service.starts_with("arn:aws:logs:") && !name.is_empty()).then_some(name)
}

/// Whether a resource is there, and has no such flow log yet.
fn check(view: &View<'_>, kind: &str, row: &FlowLog) -> Result<(), ApiError> {
    match kind {
        "VPC" => by_id::<Vpc>(view, &row.resource, &VPC_ID).map(drop)?,
        "Subnet" => by_id::<Subnet>(view, &row.resource, &SUBNET_ID).map(drop)?,
        "NetworkInterface" => by_id::<NetworkInterface>(view, &row.resource, &INTERFACE_ID).map(drop)?,
        other => return Err(errors::unsupported(&format!("A flow log of the resource type '{other}'"))),
    }
    if view.all::<FlowLog>().any(|other| other.resource == row.resource && same_settings(other, row)) {
        let message = "Error. There is an existing Flow Log with the same configuration and log destination.";
        return Err(ApiError::new("FlowLogAlreadyExists", message));
    }
    Ok(())
}

fn same_settings(a: &FlowLog, b: &FlowLog) -> bool {
    a.traffic == b.traffic
        && a.destination_type == b.destination_type
        && a.destination == b.destination
        && a.log_group == b.log_group
}

/// DeleteFlowLogs. Ids that name nothing are among the unsuccessful, with
/// `InvalidFlowLogId.NotFound`.
pub fn delete_flow_logs(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteFlowLogsRequest,
) -> Result<wire::DeleteFlowLogsResult, ApiError> {
    if input.flow_log_ids.is_empty() {
        return Err(errors::missing("FlowLogId"));
    }
    if input.flow_log_ids.len() > DELETE_MAX {
        return Err(invalid(format!("At most {DELETE_MAX} flow logs are allowed in one call.")));
    }
    errors::dry_run(input.dry_run)?;
    let mut missing = Vec::new();
    for id in &input.flow_log_ids {
        match by_id::<FlowLog>(&change.view(), id, &FLOW_LOG_ID).map(drop) {
            Ok(()) => change.delete::<FlowLog>(id),
            Err(err) => missing.push(unsuccessful(id, &err)),
        }
    }
    Ok(wire::DeleteFlowLogsResult { unsuccessful: missing })
}

/// DescribeFlowLogs. Errors: `InvalidFlowLogId.*`, those of filters and pages.
pub fn describe_flow_logs(
    call: &Call<'_>,
    input: &wire::DescribeFlowLogsRequest,
) -> Result<wire::DescribeFlowLogsResult, ApiError> {
    let filters = Filters::new(&input.filter, &FILTERS)?;
    let rows = chosen::<FlowLog>(call, &input.flow_log_ids, &FLOW_LOG_ID)?;
    errors::dry_run(input.dry_run)?;
    let rows = rows.into_iter().filter(|row| filters.accept(&row.tags, |name, emit| values(row, name, emit))).collect();
    let limits = (USUAL, !input.flow_log_ids.is_empty());
    let token = input.next_token.as_deref();
    let (rows, next_token) = cut(rows, input.max_results, token, limits, |row| row.id.clone())?;
    Ok(wire::DescribeFlowLogsResult { flow_logs: rows.into_iter().map(|row| shown(row)).collect(), next_token })
}

fn log_group(row: &FlowLog) -> Option<&str> {
    row.log_group.as_deref().or_else(|| row.destination.as_deref().and_then(group_of))
}

fn values(row: &FlowLog, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "deliver-log-status" => emit("SUCCESS"),
        "flow-log-id" => emit(&row.id),
        "log-destination-type" => emit(&row.destination_type),
        "log-group-name" => log_group(row).into_iter().for_each(emit),
        "resource-id" => emit(&row.resource),
        "traffic-type" => emit(&row.traffic),
        _ => {}
    }
}

fn shown(row: &FlowLog) -> wire::FlowLog {
    let options = wire::DestinationOptionsResponse {
        file_format: Some("plain-text".to_string()),
        hive_compatible_partitions: Some(false),
        per_hour_partition: Some(false),
    };
    wire::FlowLog {
        creation_time: Some(Timestamp(row.created_at.millis())),
        deliver_logs_permission_arn: row.role_arn.clone(),
        deliver_logs_status: Some("SUCCESS".to_string()),
        destination_options: (row.destination_type == S3).then_some(options),
        flow_log_id: Some(row.id.clone()),
        flow_log_status: Some("ACTIVE".to_string()),
        log_destination: row.destination.clone(),
        log_destination_type: Some(row.destination_type.clone()),
        log_format: Some(FORMAT.to_string()),
        log_group_name: log_group(row).map(str::to_string),
        max_aggregation_interval: i32::try_from(row.interval_secs).ok(),
        resource_id: Some(row.resource.clone()),
        tags: tag_rules::shown(&row.tags),
        traffic_type: Some(row.traffic.clone()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, code, filter};
    use super::*;

    fn vpc(rig: &mut Rig) -> String {
        rig.read(|call, _: &()| Ok(call.all::<Vpc>().next().map(|vpc| vpc.id.to_string())), ())
            .expect("readable")
            .expect("a default VPC")
    }

    fn create(resource: &str) -> wire::CreateFlowLogsRequest {
        wire::CreateFlowLogsRequest {
            deliver_logs_permission_arn: Some("arn:aws:iam::123456789012:role/flow".into()),
            log_group_name: Some("flows".into()),
            resource_ids: vec![resource.to_string()],
            resource_type: Some("VPC".into()),
            traffic_type: Some("ALL".into()),
            ..Default::default()
        }
    }

    /// What the call is refused for as a whole.
    #[test]
    fn settings_are_checked() {
        let mut rig = Rig::new();
        let vpc = vpc(&mut rig);
        let with = |edit: &dyn Fn(&mut wire::CreateFlowLogsRequest)| {
            let mut input = create(&vpc);
            edit(&mut input);
            input
        };
        let bucket = Some("arn:aws:s3:::bucket/prefix".to_string());
        for (input, expected) in [
            (with(&|input| input.traffic_type = None), "MissingParameter"),
            (with(&|input| input.traffic_type = Some("SOME".into())), "InvalidParameter"),
            (with(&|input| input.resource_ids.clear()), "MissingParameter"),
            (with(&|input| input.max_aggregation_interval = Some(61)), "InvalidParameter"),
            (with(&|input| input.log_format = Some("${version}".into())), "UnsupportedOperation"),
            (with(&|input| input.deliver_logs_permission_arn = None), "InvalidParameter"),
            (with(&|input| input.log_group_name = None), "InvalidParameter"),
            (with(&|input| input.log_destination = bucket.clone()), "InvalidParameter"),
            (with(&|input| input.log_destination_type = Some("s3".into())), "InvalidParameter"),
            (with(&|input| input.log_destination_type = Some("kinesis-data-firehose".into())), "UnsupportedOperation"),
            (with(&|input| input.dry_run = Some(true)), "DryRunOperation"),
        ] {
            assert_eq!(code(rig.write(create_flow_logs, input.clone())), expected, "{input:?}");
        }
        let s3 = with(&|input| {
            input.log_destination_type = Some("s3".into());
            input.log_destination = bucket.clone();
            input.log_group_name = None;
            input.deliver_logs_permission_arn = None;
        });
        assert_eq!(rig.write(create_flow_logs, s3).expect("made").flow_log_ids.len(), 1);
    }

    /// What cannot be made is listed beside what was; tokens, filters, deletion.
    #[test]
    fn the_life_of_a_flow_log() {
        let mut rig = Rig::new();
        let vpc = vpc(&mut rig);
        let mut input = wire::CreateFlowLogsRequest { client_token: Some("once".into()), ..create(&vpc) };
        input.log_format = Some(FORMAT.to_string());
        let made = rig.write(create_flow_logs, input.clone()).expect("made");
        assert_eq!(rig.write(create_flow_logs, input.clone()).expect("the same").flow_log_ids, made.flow_log_ids);
        input.traffic_type = Some("REJECT".into());
        assert_eq!(code(rig.write(create_flow_logs, input)), "IdempotentParameterMismatch");
        let mut both = create(&vpc);
        both.resource_ids.push("vpc-00000000".into());
        let answer = rig.write(create_flow_logs, both).expect("an answer");
        let codes: Vec<Option<String>> =
            answer.unsuccessful.into_iter().map(|item| item.error.and_then(|error| error.code)).collect();
        assert_eq!(codes, [Some("FlowLogAlreadyExists".to_string()), Some("InvalidVpcID.NotFound".to_string())]);
        assert!(answer.flow_log_ids.is_empty());
        let id = made.flow_log_ids[0].clone();
        for (name, value, count) in [
            ("resource-id", vpc.as_str(), 1),
            ("traffic-type", "ALL", 1),
            ("log-group-name", "flows", 1),
            ("log-destination-type", "s3", 0),
        ] {
            let input = wire::DescribeFlowLogsRequest { filter: vec![filter(name, value)], ..Default::default() };
            let found = rig.read(describe_flow_logs, input).expect("known").flow_logs;
            assert_eq!(found.len(), count, "{name}={value}");
            let seen = found.first().map(|row| (row.log_format.as_deref(), row.max_aggregation_interval));
            assert!(seen.is_none_or(|seen| seen == (Some(FORMAT), Some(600))));
        }
        let delete = wire::DeleteFlowLogsRequest { flow_log_ids: vec![id.clone()], ..Default::default() };
        assert!(rig.write(delete_flow_logs, delete.clone()).expect("deleted").unsuccessful.is_empty());
        let again = rig.write(delete_flow_logs, delete).expect("an answer").unsuccessful;
        let code_of = again[0].error.clone().and_then(|error| error.code);
        assert_eq!(code_of.as_deref(), Some("InvalidFlowLogId.NotFound"));
        let ask = wire::DescribeFlowLogsRequest { flow_log_ids: vec![id], ..Default::default() };
        assert_eq!(code(rig.read(describe_flow_logs, ask)), "InvalidFlowLogId.NotFound");
    }
}
