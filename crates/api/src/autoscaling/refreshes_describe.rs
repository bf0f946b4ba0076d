//! DescribeInstanceRefreshes: those of the last six weeks, newest first.

use super::describe::template;
use super::{errors, lookup, mixed};
use crate::Call;
use crate::page::{Pager, page};
use elastane_domain::refresh::{Preferences, RefreshStatus};
use elastane_domain::time::Time;
use elastane_engine::View;
use elastane_engine::groups::refresh;
use elastane_engine::row::{InstanceRefresh, LaunchSource};
use elastane_wire::{ApiError, Timestamp, autoscaling as wire};

/// DescribeInstanceRefreshes.
pub fn describe_instance_refreshes(
    call: &Call<'_>,
    input: &wire::DescribeInstanceRefreshesType,
) -> Result<wire::DescribeInstanceRefreshesAnswer, ApiError> {
    let max = errors::page_size(input.max_records, 50, 100)?;
    let group = lookup::group(call, input.auto_scaling_group_name.as_deref())?;
    let ids = &input.instance_refresh_ids;
    let wanted = |row: &&InstanceRefresh| ids.is_empty() || ids.contains(&row.id);
    let rows = refresh::of_group(call.view.tables, &group.name).map(AsRef::as_ref);
    let mut found: Vec<&InstanceRefresh> = rows.filter(wanted).collect();
    found.sort_by_cached_key(place);
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, place)?;
    let instance_refreshes = rows.into_iter().map(|row| shown(&call.view, row)).collect();
    Ok(wire::DescribeInstanceRefreshesAnswer { instance_refreshes, next_token })
}

/// The newest has the least.
fn place(row: &&InstanceRefresh) -> String {
    format!("{:014}-{}", i64::MAX / 100_000 - row.requested_at.millis(), row.id)
}

fn stamp(time: Time) -> Timestamp {
    Timestamp(time.millis())
}

fn shown(view: &View<'_>, row: &InstanceRefresh) -> wire::InstanceRefresh {
    let begun = row.status != RefreshStatus::Pending;
    wire::InstanceRefresh {
        auto_scaling_group_name: Some(row.group.to_string()),
        desired_configuration: row.desired.as_ref().map(|source| configuration(view, source)),
        end_time: row.ended_at.map(stamp),
        instance_refresh_id: Some(row.id.clone()),
        instances_to_update: begun.then_some((row.left + row.left_in_pool) as i32),
        percentage_complete: begun.then_some(row.percentage as i32),
        preferences: Some(preferences(&row.preferences)),
        progress_details: begun.then(|| progress(row)),
        rollback_details: row.rollback.as_ref().map(|back| wire::RollbackDetails {
            instances_to_update_on_rollback: Some(back.to_update as i32),
            percentage_complete_on_rollback: Some(back.percentage as i32),
            progress_details_on_rollback: Some(wire::InstanceRefreshProgressDetails {
                live_pool_progress: Some(wire::InstanceRefreshLivePoolProgress {
                    instances_to_update: Some(back.to_update as i32),
                    percentage_complete: Some(back.percentage as i32),
                }),
                warm_pool_progress: None,
            }),
            rollback_reason: Some(back.reason.clone()),
            rollback_start_time: Some(stamp(back.started_at)),
        }),
        start_time: row.started_at.map(stamp),
        status: Some(row.status.name().to_string()),
        status_reason: row.reason.clone(),
        strategy: Some("Rolling".to_string()),
    }
}

/// The warm pool is shown while any of it is left to replace.
fn progress(row: &InstanceRefresh) -> wire::InstanceRefreshProgressDetails {
    wire::InstanceRefreshProgressDetails {
        live_pool_progress: Some(wire::InstanceRefreshLivePoolProgress {
            instances_to_update: Some(row.left as i32),
            percentage_complete: Some(row.percentage as i32),
        }),
        warm_pool_progress: (row.left_in_pool > 0).then_some(wire::InstanceRefreshWarmPoolProgress {
            instances_to_update: Some(row.left_in_pool as i32),
            percentage_complete: Some(0),
        }),
    }
}

fn configuration(view: &View<'_>, source: &LaunchSource) -> wire::DesiredConfiguration {
    let mut shown = wire::DesiredConfiguration::default();
    match source {
        LaunchSource::Template(found) => {
            shown.launch_template = Some(template(view, found.id.as_str(), &found.version))
        }
        LaunchSource::Mixed(policy) => shown.mixed_instances_policy = Some(mixed::shown(view, policy)),
        LaunchSource::Configuration(_) => {}
    }
    shown
}

fn preferences(given: &Preferences) -> wire::RefreshPreferences {
    let checkpoints = !given.checkpoints.is_empty();
    wire::RefreshPreferences {
        alarm_specification: (!given.alarms.is_empty())
            .then(|| wire::AlarmSpecification { alarms: given.alarms.clone() }),
        auto_rollback: Some(given.auto_rollback),
        bake_time: Some(given.bake.seconds() as i32),
        checkpoint_delay: checkpoints.then_some(given.checkpoint_delay.seconds() as i32),
        checkpoint_percentages: given.checkpoints.iter().map(|percent| *percent as i32).collect(),
        instance_warmup: Some(given.warmup.seconds() as i32),
        max_healthy_percentage: given.max_percent.map(|percent| percent as i32),
        min_healthy_percentage: Some(given.min_percent as i32),
        scale_in_protected_instances: Some(given.on_protected.name().to_string()),
        skip_matching: Some(given.skip_matching),
        standby_instances: Some(given.on_standby.name().to_string()),
    }
}
