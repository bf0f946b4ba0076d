//! Warm pools (autoscaling.md 12).

use super::{describe, errors, lookup, settings};
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_domain::group::{PoolState, WarmPool};
use elastane_engine::groups;
use elastane_engine::row::{Group, Instance, LaunchSource, Membership};
use elastane_wire::{ApiError, autoscaling as wire};

/// The value of MaxGroupPreparedCapacity that takes it back.
const NOT_SET: i32 = -1;

/// PutWarmPool: makes the group's pool, or changes it; what is not given stays.
pub fn put_warm_pool(
    change: &mut Change<'_, '_>,
    input: &wire::PutWarmPoolType,
) -> Result<wire::PutWarmPoolAnswer, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    check_source(change, &group)?;
    let fresh =
        WarmPool { min: 0, max_prepared: None, state: PoolState::Stopped, reuse_on_scale_in: false, deleting: false };
    let mut pool = group.warm_pool.unwrap_or(fresh);
    if pool.deleting {
        return Err(errors::in_progress(format!("The warm pool of group {} is pending delete.", group.name)));
    }
    if let Some(min) = settings::size(input.min_size, "MinSize")? {
        pool.min = min;
    }
    match input.max_group_prepared_capacity {
        None => {}
        Some(NOT_SET) => pool.max_prepared = None,
        given => pool.max_prepared = settings::size(given, "MaxGroupPreparedCapacity")?,
    }
    if let Some(name) = &input.pool_state {
        pool.state = state(name)?;
    }
    if let Some(reuse) = input.instance_reuse_policy.as_ref().and_then(|policy| policy.reuse_on_scale_in) {
        pool.reuse_on_scale_in = reuse;
    }
    let named = input.instance_reuse_policy.is_some();
    change.update(group.name.as_str(), |row: &mut Group| {
        row.named.reuse_policy = named || (row.named.reuse_policy && row.warm_pool.is_some());
        row.warm_pool = Some(pool);
    });
    Ok(wire::PutWarmPoolAnswer {})
}

/// Instances of several kinds, and those that can be taken away, do not wait in pools.
fn check_source(change: &Change<'_, '_>, group: &Group) -> Result<(), ApiError> {
    let spot = |data: elastane_engine::row::LaunchData| data.spot.is_some();
    let mixed = matches!(group.source, LaunchSource::Mixed(_));
    if mixed || groups::launch_data(change.tx, &group.source).is_ok_and(|(data, _)| spot(data)) {
        return Err(errors::invalid(
            "You can't add a warm pool to an Auto Scaling group that has a mixed instances policy or that requests \
             Spot Instances.",
        ));
    }
    Ok(())
}

fn state(name: &str) -> Result<PoolState, ApiError> {
    match PoolState::from_name(name) {
        Some(PoolState::Hibernated) => Err(errors::unsupported("A warm pool of hibernated instances")),
        Some(state) => Ok(state),
        None => {
            let valid: Vec<&str> = PoolState::ALL.iter().map(|state| state.name()).collect();
            Err(errors::invalid(format!("Invalid PoolState: {name}. Valid values are: {}", valid.join(", "))))
        }
    }
}

/// DescribeWarmPool; a group without a pool has an empty answer.
pub fn describe_warm_pool(
    call: &Call<'_>,
    input: &wire::DescribeWarmPoolType,
) -> Result<wire::DescribeWarmPoolAnswer, ApiError> {
    let max = errors::page_size(input.max_records, 50, 50)?;
    let group = lookup::group(call, input.auto_scaling_group_name.as_deref())?;
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(members(call, &group), pager, |(instance, _)| instance.id.to_string())?;
    let instances = rows.into_iter().map(|(instance, place)| describe::shown_instance(call, instance, place)).collect();
    Ok(wire::DescribeWarmPoolAnswer { instances, next_token, warm_pool_configuration: configuration(&group) })
}

/// The members of a group's pool, in the order of their ids.
fn members<'a>(call: &Call<'a>, group: &Group) -> Vec<(&'a Instance, &'a Membership)> {
    lookup::members_of(call, &group.name).into_iter().filter(|(_, place)| place.lifecycle.is_warm()).collect()
}

/// A group's pool as answers have it.
pub fn configuration(group: &Group) -> Option<wire::WarmPoolConfiguration> {
    let pool = group.warm_pool.as_ref()?;
    Some(wire::WarmPoolConfiguration {
        instance_reuse_policy: (pool.reuse_on_scale_in || group.named.reuse_policy)
            .then_some(wire::InstanceReusePolicy { reuse_on_scale_in: Some(pool.reuse_on_scale_in) }),
        max_group_prepared_capacity: pool.max_prepared.map(|max| max as i32),
        min_size: Some(pool.min as i32),
        pool_state: Some(pool.state.name().to_string()),
        status: pool.deleting.then(|| "PendingDelete".to_string()),
    })
}

/// DeleteWarmPool. With ForceDelete its instances go with it, without their
/// hooks; without, there must be none.
pub fn delete_warm_pool(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteWarmPoolType,
) -> Result<wire::DeleteWarmPoolAnswer, ApiError> {
    let view = change.view();
    let group = lookup::group(&view, input.auto_scaling_group_name.as_deref())?;
    let Some(pool) = group.warm_pool else {
        return Err(errors::invalid(format!("No warm pool found for Auto Scaling group {}", group.name)));
    };
    let warm: Vec<_> = lookup::members_of(&view, &group.name);
    let warm: Vec<_> = warm.iter().filter(|(_, place)| place.lifecycle.is_warm()).collect();
    if !input.force_delete.unwrap_or(false) {
        if warm.iter().any(|(_, place)| !place.lifecycle.is_terminating()) {
            return Err(errors::in_use(
                "You cannot delete a warm pool while there are instances in it, unless you force it.",
            ));
        }
        if !warm.is_empty() {
            return Err(errors::in_progress(
                "You cannot delete a warm pool while there are scaling activities in progress for it.",
            ));
        }
    }
    let left = (!warm.is_empty()).then_some(WarmPool { deleting: true, ..pool });
    change.update(group.name.as_str(), |row: &mut Group| row.warm_pool = left);
    Ok(wire::DeleteWarmPoolAnswer {})
}
