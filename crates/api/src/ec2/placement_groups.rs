//! Placement groups. What they mean for a launch is the launch's matter.

use super::filter::Filters;
use super::network::{given, required, tags_of};
use super::{errors, recast, tag_rules};
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};
use std::sync::Arc;

/// Groups of one account and region (EC2 User Guide, "Placement groups").
const GROUPS_MAX: usize = 500;

/// Characters of a name (EC2 API Reference, "CreatePlacementGroup").
const NAME_MAX: usize = 255;

/// Partitions of a group in one zone, and how many there are when nobody
/// says (EC2 User Guide, "Placement groups").
const PARTITIONS_MAX: i32 = 7;
const PARTITIONS_DEFAULT: i32 = 2;

const FILTERS: [&str; 6] = ["group-arn", "group-id", "group-name", "spread-level", "state", "strategy"];

/// A group that does not exist: `InvalidPlacementGroup.Unknown`.
fn unknown(name: &str) -> ApiError {
    ApiError::new("InvalidPlacementGroup.Unknown", format!("The Placement Group '{name}' is unknown."))
}

/// CreatePlacementGroup.
///
/// # Errors
/// `InvalidPlacementGroup.Duplicate`, `InvalidParameterValue`,
/// `InvalidParameterCombination` for partitions or a level that the strategy
/// does not have, `PlacementGroupLimitExceeded`, those of tags;
/// `UnsupportedOperation` for groups that spread over hosts of an outpost.
pub fn create_placement_group(
    change: &mut Change<'_, '_>,
    input: &wire::CreatePlacementGroupRequest,
) -> Result<wire::CreatePlacementGroupResult, ApiError> {
    const NAMES: &[&str] = &["DryRun", "GroupName", "PartitionCount", "SpreadLevel", "Strategy", "TagSpecifications"];
    recast::only(&wire::CREATE_PLACEMENT_GROUP_REQUEST, input, NAMES)?;
    let name = required(&input.group_name, "GroupName")?.to_string();
    if name.len() > NAME_MAX || !name.is_ascii() {
        let message = format!("Names of placement groups have at most {NAME_MAX} ASCII characters.");
        return Err(errors::invalid_value(message));
    }
    let strategy = given(&input.strategy).unwrap_or("cluster");
    let partitions = partitions(strategy, input.partition_count)?;
    let spread_level = spread_level(strategy, given(&input.spread_level))?;
    let tags = tags_of(&input.tag_specifications, "placement-group")?;
    if change.get::<PlacementGroup>(&name).is_some() {
        let message = format!("The Placement Group '{name}' already exists.");
        return Err(ApiError::new("InvalidPlacementGroup.Duplicate", message));
    }
    if change.placement_groups.len() >= GROUPS_MAX {
        let message = "The maximum number of placement groups has been reached.";
        return Err(ApiError::new("PlacementGroupLimitExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    let id = change.rng.id("pg-");
    let row = PlacementGroup { name, id, strategy: strategy.to_string(), partitions, spread_level, tags };
    let placement_group = Some(shown(&change.view(), &row));
    change.put(row);
    Ok(wire::CreatePlacementGroupResult { placement_group })
}

fn partitions(strategy: &str, count: Option<i32>) -> Result<Option<i32>, ApiError> {
    match (strategy, count) {
        ("partition", Some(count)) if !(1..=PARTITIONS_MAX).contains(&count) => Err(errors::invalid_value(format!(
            "Value ({count}) for parameter partitionCount is invalid. Expecting a value from 1 to {PARTITIONS_MAX}."
        ))),
        ("partition", count) => Ok(Some(count.unwrap_or(PARTITIONS_DEFAULT))),
        ("cluster" | "spread", None | Some(0)) => Ok(None),
        ("cluster" | "spread", Some(_)) => {
            Err(errors::invalid_combination("PartitionCount is valid only when Strategy is set to 'partition'."))
        }
        (other, _) => Err(errors::invalid_value(format!("Value ({other}) for parameter strategy is invalid."))),
    }
}

fn spread_level(strategy: &str, level: Option<&str>) -> Result<Option<String>, ApiError> {
    match (strategy, level) {
        ("spread", None | Some("rack")) => Ok(Some("rack".to_string())),
        ("spread", Some("host")) => Err(errors::unsupported("The spread level 'host'")),
        ("spread", Some(other)) => {
            Err(errors::invalid_value(format!("Value ({other}) for parameter spreadLevel is invalid.")))
        }
        (_, None) => Ok(None),
        (_, Some(_)) => Err(errors::invalid_combination("SpreadLevel is valid only when Strategy is set to 'spread'.")),
    }
}

/// DeletePlacementGroup. Errors: `InvalidPlacementGroup.Unknown`,
/// `InvalidPlacementGroup.InUse` while it has instances.
pub fn delete_placement_group(
    change: &mut Change<'_, '_>,
    input: &wire::DeletePlacementGroupRequest,
) -> Result<wire::DeletePlacementGroupOutput, ApiError> {
    let name = required(&input.group_name, "GroupName")?;
    if change.get::<PlacementGroup>(name).is_none() {
        return Err(unknown(name));
    }
    let within = |row: &Arc<Instance>| {
        row.placement_group.as_deref() == Some(name) && !matches!(row.phase, Phase::Terminated { .. })
    };
    if change.all::<Instance>().any(within) {
        let message = format!("The placement group '{name}' is in use and may not be deleted.");
        return Err(ApiError::new("InvalidPlacementGroup.InUse", message));
    }
    errors::dry_run(input.dry_run)?;
    change.delete::<PlacementGroup>(name);
    Ok(wire::DeletePlacementGroupOutput {})
}

/// DescribePlacementGroups, of names, of ids, or all. Errors:
/// `InvalidPlacementGroup.Unknown`, those of filters.
pub fn describe_placement_groups(
    call: &Call<'_>,
    input: &wire::DescribePlacementGroupsRequest,
) -> Result<wire::DescribePlacementGroupsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    for name in &input.group_names {
        call.get::<PlacementGroup>(name).ok_or_else(|| unknown(name))?;
    }
    for id in &input.group_ids {
        call.all::<PlacementGroup>().find(|row| row.id == *id).ok_or_else(|| unknown(id))?;
    }
    errors::dry_run(input.dry_run)?;
    let all = input.group_names.is_empty() && input.group_ids.is_empty();
    let named =
        |row: &PlacementGroup| all || input.group_names.contains(&row.name) || input.group_ids.contains(&row.id);
    let accepted = |row: &PlacementGroup| filters.accept(&row.tags, |name, emit| values(&call.view, row, name, emit));
    let rows = call.all::<PlacementGroup>().filter(|row| named(row) && accepted(row));
    Ok(wire::DescribePlacementGroupsResult { placement_groups: rows.map(|row| shown(&call.view, row)).collect() })
}

fn arn(view: &View<'_>, row: &PlacementGroup) -> String {
    view.scope.arn("ec2", &format!("placement-group/{}", row.name))
}

fn values(view: &View<'_>, row: &PlacementGroup, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "group-arn" => emit(&arn(view, row)),
        "group-id" => emit(&row.id),
        "group-name" => emit(&row.name),
        "spread-level" => row.spread_level.iter().for_each(|level| emit(level)),
        "state" => emit("available"),
        "strategy" => emit(&row.strategy),
        _ => {}
    }
}

fn shown(view: &View<'_>, row: &PlacementGroup) -> wire::PlacementGroup {
    wire::PlacementGroup {
        group_arn: Some(arn(view, row)),
        group_id: Some(row.id.clone()),
        group_name: Some(row.name.clone()),
        partition_count: row.partitions,
        spread_level: row.spread_level.clone(),
        state: Some("available".to_string()),
        strategy: Some(row.strategy.clone()),
        tags: tag_rules::shown(&row.tags),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, code, filter};
    use super::*;

    fn create(name: &str, strategy: &str) -> wire::CreatePlacementGroupRequest {
        wire::CreatePlacementGroupRequest {
            group_name: Some(name.to_string()),
            strategy: Some(strategy.to_string()).filter(|text| !text.is_empty()),
            ..Default::default()
        }
    }

    fn named(name: &str) -> wire::DescribePlacementGroupsRequest {
        wire::DescribePlacementGroupsRequest { group_names: vec![name.to_string()], ..Default::default() }
    }

    /// Each strategy with what it fills in, and what it does not take.
    #[test]
    fn strategies_and_their_arguments() {
        let mut rig = Rig::new();
        let partitions =
            |count| wire::CreatePlacementGroupRequest { partition_count: Some(count), ..create("x", "partition") };
        let level = |level: &str, strategy: &str| wire::CreatePlacementGroupRequest {
            spread_level: Some(level.to_string()),
            ..create("x", strategy)
        };
        for (input, expected) in [
            (create("a", ""), ("cluster", None, None)),
            (create("b", "spread"), ("spread", None, Some("rack"))),
            (create("c", "partition"), ("partition", Some(2), None)),
            (
                wire::CreatePlacementGroupRequest { group_name: Some("d".into()), ..partitions(7) },
                ("partition", Some(7), None),
            ),
        ] {
            let made = rig.write(create_placement_group, input).expect("made").placement_group.expect("shown");
            let got = (made.strategy.as_deref().unwrap_or(""), made.partition_count, made.spread_level.as_deref());
            assert_eq!(got, expected);
            assert_eq!(made.state.as_deref(), Some("available"));
        }
        for (input, expected) in [
            (create("a", "cluster"), "InvalidPlacementGroup.Duplicate"),
            (create("", "cluster"), "MissingParameter"),
            (create(&"n".repeat(256), "cluster"), "InvalidParameterValue"),
            (create("x", "diagonal"), "InvalidParameterValue"),
            (partitions(8), "InvalidParameterValue"),
            (
                wire::CreatePlacementGroupRequest { partition_count: Some(2), ..create("x", "spread") },
                "InvalidParameterCombination",
            ),
            (level("rack", "cluster"), "InvalidParameterCombination"),
            (level("host", "spread"), "UnsupportedOperation"),
            (wire::CreatePlacementGroupRequest { dry_run: Some(true), ..create("x", "spread") }, "DryRunOperation"),
        ] {
            let told = format!("{input:?}");
            assert_eq!(code(rig.write(create_placement_group, input)), expected, "{told}");
        }
    }

    /// By name, id and filter; a group with an instance stays.
    #[test]
    fn described_and_deleted() {
        let mut rig = Rig::new();
        for (name, strategy) in [("web", "spread"), ("hpc", "cluster")] {
            rig.write(create_placement_group, create(name, strategy)).expect("made");
        }
        let all = rig.read(describe_placement_groups, Default::default()).expect("all").placement_groups;
        assert_eq!(all.len(), 2);
        let by_id = wire::DescribePlacementGroupsRequest {
            group_ids: all[0].group_id.iter().cloned().collect(),
            ..Default::default()
        };
        assert_eq!(rig.read(describe_placement_groups, by_id).expect("one").placement_groups, all[..1]);
        for (name, value, count) in [("strategy", "spread", 1), ("group-name", "*", 2), ("state", "deleted", 0)] {
            let input =
                wire::DescribePlacementGroupsRequest { filters: vec![filter(name, value)], ..Default::default() };
            assert_eq!(
                rig.read(describe_placement_groups, input).expect("known").placement_groups.len(),
                count,
                "{name}"
            );
        }
        let delete =
            |name: &str| wire::DeletePlacementGroupRequest { group_name: Some(name.into()), ..Default::default() };
        let run = super::super::scene::run(1);
        let run = rig.write(super::super::run_instances, run).expect("launched").instances.remove(0);
        let id = run.instance_id.expect("an id");
        rig.tx(|tx| {
            tx.update(&id, |row: &mut Instance| row.placement_group = Some("web".to_string()));
            Ok(())
        })
        .expect("changed");
        assert_eq!(code(rig.write(delete_placement_group, delete("web"))), "InvalidPlacementGroup.InUse");
        rig.write(delete_placement_group, delete("hpc")).expect("empty");
        assert_eq!(code(rig.write(delete_placement_group, delete("hpc"))), "InvalidPlacementGroup.Unknown");
        assert_eq!(code(rig.read(describe_placement_groups, named("hpc"))), "InvalidPlacementGroup.Unknown");
    }
}
