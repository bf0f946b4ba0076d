//! What clients do with what groups offer in depth: hooks that are answered
//! or never are, standby, warm pools, refreshes, suspended processes,
//! schedules.

use crate::chaos::{ids, pick};
use crate::group_calls as calls;
use crate::world::World;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::Span;
use elastane_engine::row::Membership;
use elastane_wire::Input;

/// Processes that clients suspend. Not those that mark the unhealthy or that
/// register with load balancers: what happens meanwhile is not made good, as
/// on AWS, and no group would come to rest as the checkers expect.
const SUSPENDED: [&str; 6] =
    ["Launch", "Terminate", "AZRebalance", "AlarmNotification", "ScheduledActions", "InstanceRefresh"];

/// One thing that a client does.
pub fn act(world: &mut World) {
    if let Some(input) = call(world) {
        world.submit(World::scope(), input);
    }
}

fn call(world: &mut World) -> Option<Input> {
    let members = |world: &World, wanted: &dyn Fn(&Membership) -> bool| {
        ids(world, &World::scope(), |tables| {
            let fits = tables.instances.values().filter(|row| row.membership.as_ref().is_some_and(wanted));
            fits.map(|row| row.id.to_string()).collect()
        })
    };
    let serving = members(world, &|place| place.lifecycle == LifecycleState::InService);
    let resting = members(world, &|place| place.lifecycle == LifecycleState::Standby);
    let loose = ids(world, &World::scope(), |tables| {
        tables.instances.values().filter(|row| row.membership.is_none()).map(|row| row.id.to_string()).collect()
    });
    let now = world.now;
    let waiting = waiting(world);
    let rng = &mut world.rng;
    let (serving, resting, loose, waiting) =
        (pick(rng, &serving), pick(rng, &resting), pick(rng, &loose), pick(rng, &waiting));
    let coin = rng.below(2) == 0;
    let result = if rng.below(4) == 0 { "ABANDON" } else { "CONTINUE" };
    match rng.below(20) {
        0 | 1 => Some(calls::put_hook(coin, 30 + rng.below(240) as i32, result)),
        2 => Some(calls::delete_hook(coin)),
        3..=6 => waiting.map(|(instance, hook)| calls::complete(&instance, &hook, result)),
        7 => waiting.map(|(instance, hook)| calls::heartbeat(&instance, &hook)),
        8 => serving.map(|id| calls::enter_standby(&id, coin)),
        9 => resting.map(|id| calls::exit_standby(&id)),
        10 => serving.map(|id| calls::detach(&id, coin)),
        11 => loose.map(|id| calls::attach(&id)),
        12 => pick(rng, &SUSPENDED).map(calls::suspend),
        13 | 14 => Some(calls::resume()),
        15 => {
            let state = if coin { "Stopped" } else { "Running" };
            Some(calls::put_warm_pool(rng.below(2) as i32, 4 + rng.below(6) as i32, state, rng.below(2) == 0))
        }
        16 => Some(calls::delete_warm_pool(coin)),
        17 => {
            let max = [None, Some(100), Some(150)][rng.below(3) as usize];
            let min = if max.is_some() { 50 + rng.below(51) as i32 } else { rng.below(101) as i32 };
            Some(calls::start_refresh(min, max, coin))
        }
        18 if coin => Some(calls::cancel_refresh()),
        18 => Some(if rng.below(2) == 0 { calls::maintain(100, 110) } else { calls::maintain(-1, -1) }),
        _ => Some(calls::schedule(now + Span::from_mins(2 + rng.below(20) as i64), rng.below(8) as i32)),
    }
}

/// Instances that wait, each with a hook that it waits for.
pub fn waiting(world: &World) -> Vec<(String, String)> {
    let Some(tables) = world.engine.state().scopes.get(&World::scope()) else { return Vec::new() };
    let open = |row: &elastane_engine::row::Instance| {
        let place = row.membership.as_ref()?;
        let action = place.actions.iter().find(|action| action.result.is_none())?;
        Some((row.id.to_string(), action.hook.clone()))
    };
    tables.instances.values().filter_map(|row| open(row)).collect()
}

/// So that the group can come to rest: no hook that nobody answers, nothing
/// suspended, nobody in standby.
pub fn end(world: &mut World) {
    for input in [calls::delete_hook(true), calls::delete_hook(false), calls::resume()] {
        world.submit(World::scope(), input);
    }
    // Some pools stay, and must come to rest too.
    if world.rng.below(2) == 0 {
        world.submit(World::scope(), calls::delete_warm_pool(true));
    }
    let resting = ids(world, &World::scope(), |tables| {
        let rests =
            |place: &Membership| matches!(place.lifecycle, LifecycleState::Standby | LifecycleState::EnteringStandby);
        let rows = tables.instances.values().filter(|row| row.membership.as_ref().is_some_and(rests));
        rows.map(|row| row.id.to_string()).collect()
    });
    for id in resting {
        world.submit(World::scope(), calls::exit_standby(&id));
    }
}
