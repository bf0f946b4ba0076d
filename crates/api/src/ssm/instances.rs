//! DescribeInstanceInformation: the instances that take commands.

use super::{computer_name, errors};
use crate::Call;
use crate::page::{Pager, page};
use elastane_domain::machine::MachineState;
use elastane_engine::SeenMachine;
use elastane_engine::row::{Instance, Phase};
use elastane_wire::{ApiError, ssm as wire};
use std::sync::Arc;

/// Instances of a page when the client names no MaxResults, and at most (ssm.md 8).
const PAGE_SIZE: usize = 10;
const PAGE_SIZE_MAX: usize = 50;

/// The agent version that is shown. No agent of its own runs in an instance;
/// clients choose a session protocol by this number, and this is the oldest
/// one that means all that sessions here can do (ssm.md 4).
const AGENT_VERSION: &str = "3.1.1512.0";

/// DescribeInstanceInformation: running instances only.
pub fn describe_instance_information(
    call: &Call<'_>,
    input: &wire::DescribeInstanceInformationRequest,
) -> Result<wire::DescribeInstanceInformationResult, ApiError> {
    let new = input.filters.iter().map(|filter| (filter.key.as_deref(), filter.values.as_slice()));
    let old = input.instance_information_filter_list.iter();
    let old = old.map(|filter| (filter.key.as_deref(), filter.value_set.as_slice()));
    let filters: Vec<(&str, &[String])> =
        new.chain(old).map(|(key, values)| (key.unwrap_or_default(), values)).collect();
    if let Some((key, _)) = filters.iter().find(|(key, _)| !is_known(key)) {
        return Err(errors::invalid_filter_key(key));
    }
    let asked = |row: &&Arc<Instance>| {
        row.phase == Phase::Running && filters.iter().all(|(key, values)| matches(call, row, key, values))
    };
    let rows: Vec<&Arc<Instance>> = call.all::<Instance>().filter(asked).collect();
    let max = input.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_SIZE);
    let pager = Pager {
        token: input.next_token.as_deref(),
        max: Some(max.clamp(1, PAGE_SIZE_MAX)),
        bad_token: "InvalidNextToken",
    };
    let (rows, next_token) = page(rows, pager, |row| row.id.to_string())?;
    let instance_information_list = rows.into_iter().map(|row| shown(call, row)).collect();
    Ok(wire::DescribeInstanceInformationResult { instance_information_list, next_token })
}

fn is_known(key: &str) -> bool {
    const KEYS: [&str; 11] = [
        "InstanceIds",
        "AgentVersion",
        "PingStatus",
        "PlatformTypes",
        "ActivationIds",
        "IamRole",
        "ResourceType",
        "AssociationStatus",
        "SourceIds",
        "SourceTypes",
        "tag-key",
    ];
    KEYS.contains(&key) || key.starts_with("tag:")
}

/// Whether an instance answers: its machine lives in the boot that it should
/// be in, and it answered when it was asked last.
pub fn is_online(call: &Call<'_>, row: &Instance) -> bool {
    let seen = &call.state.seen;
    let boot = |seen: &SeenMachine| seen.state == MachineState::Running && seen.generation == row.generation;
    let lives = seen.machines.get(&row.id).is_some_and(boot);
    row.phase == Phase::Running && lives && seen.pings.get(&row.id).is_some_and(|ping| ping.answers)
}

/// `PingStatus`. `Inactive` is not said any more (API reference, InstanceInformation).
fn ping_status(call: &Call<'_>, row: &Instance) -> &'static str {
    if is_online(call, row) { "Online" } else { "ConnectionLost" }
}

/// Whether one of the filter's values is the instance's. Activations, roles
/// and associations do not exist, so no instance has one.
fn matches(call: &Call<'_>, row: &Instance, key: &str, values: &[String]) -> bool {
    let is = |own: &str| values.iter().any(|value| value == own);
    match key {
        "InstanceIds" | "SourceIds" => is(row.id.as_str()),
        "AgentVersion" => is(AGENT_VERSION),
        "PingStatus" => is(ping_status(call, row)),
        "PlatformTypes" => is("Linux"),
        "ResourceType" => is("EC2Instance"),
        "SourceTypes" => is("AWS::EC2::Instance"),
        "tag-key" => values.iter().any(|name| row.tags.contains_key(name)),
        key => key.strip_prefix("tag:").and_then(|name| row.tags.get(name)).is_some_and(|own| is(own)),
    }
}

fn shown(call: &Call<'_>, row: &Instance) -> wire::InstanceInformation {
    let text = |text: &str| Some(text.to_string());
    let pinged = call.state.seen.pings.get(&row.id);
    wire::InstanceInformation {
        agent_version: text(AGENT_VERSION),
        computer_name: Some(computer_name(call.scope, row)),
        ip_address: Some(row.private_ip.to_string()),
        instance_id: Some(row.id.to_string()),
        is_latest_version: Some(true),
        last_ping_date_time: pinged.and_then(|ping| ping.at).map(|at| at.millis().into()),
        ping_status: text(ping_status(call, row)),
        platform_name: text("Linux"),
        platform_type: text("Linux"),
        resource_type: text("EC2Instance"),
        source_id: Some(row.id.to_string()),
        source_type: text("AWS::EC2::Instance"),
        ..Default::default()
    }
}
