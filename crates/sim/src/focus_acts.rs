//! What the clients of a world with a focus do most of the time.

use crate::chaos::{ids, pick};
use crate::client;
use crate::focus::{Focus, Mix};
use crate::group_acts;
use crate::group_calls as calls;
use crate::mixed_calls;
use crate::network_acts;
use crate::policy_calls::{self, RefreshOrder};
use crate::run::Violation;
use crate::world::World;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::Span;
use elastane_engine::Tables;
use elastane_wire::Input;

/// One thing that happens.
pub fn act(world: &mut World) -> Result<(), Violation> {
    if world.rng.below(6) == 0 {
        crate::chaos::kill_someone(world);
        return Ok(());
    }
    let scene = Scene::of(world);
    let input = match world.focus {
        Focus::Everything => None,
        Focus::Hooks => hooks(world, &scene),
        Focus::Scaling => scaling(world, &scene),
        Focus::Refresh => refresh(world, &scene),
        Focus::WarmPool => warm_pool(world),
        Focus::Mixed => return mixed(world, &scene),
        Focus::Health => return health(world, &scene),
        Focus::Predictive => predictive(world, &scene),
    };
    submit(world, input);
    Ok(())
}

fn submit(world: &mut World, input: Option<Input>) {
    if let Some(input) = input {
        world.submit(World::scope(), input);
    }
}

/// What there is to act on.
struct Scene {
    serving: Vec<String>,
    resting: Vec<String>,
    /// Instances that wait, each with a hook that it waits for.
    waiting: Vec<(String, String)>,
    alarms: Vec<String>,
    policies: Vec<(String, String)>,
    versions: u64,
    label: Option<String>,
}

impl Scene {
    fn of(world: &World) -> Scene {
        let find = |of: &dyn Fn(&Tables) -> Vec<String>| ids(world, &World::scope(), of);
        let in_state = |state| {
            find(&|tables| {
                let there = |row: &elastane_engine::row::Instance| {
                    row.membership.as_ref().is_some_and(|place| place.lifecycle == state)
                };
                tables.instances.values().filter(|row| there(row)).map(|row| row.id.to_string()).collect()
            })
        };
        let tables = world.engine.state().scopes.get(&World::scope());
        let policies = tables.into_iter().flat_map(|tables| tables.policies.values());
        let versions = tables.into_iter().flat_map(|tables| tables.launch_templates.values());
        Scene {
            serving: in_state(LifecycleState::InService),
            resting: in_state(LifecycleState::Standby),
            waiting: group_acts::waiting(world),
            alarms: find(&|tables| tables.alarms.ids()),
            policies: policies.map(|row| (row.name.clone(), row.arn.clone())).collect(),
            versions: versions.map(|row| row.latest_version).max().unwrap_or(1),
            label: tables.and_then(label),
        }
    }

    fn policy(&self, name: &str) -> Option<&str> {
        self.policies.iter().find(|(other, _)| other == name).map(|(_, arn)| arn.as_str())
    }
}

/// The label of requests that the load balancer sends to the group's targets.
fn label(tables: &Tables) -> Option<String> {
    let balancer = tables.load_balancers.keys().next()?.split_once(":loadbalancer/")?.1;
    let group = tables.target_groups.keys().find_map(|arn| arn.split_once(":targetgroup/web/"))?.1;
    Some(format!("{balancer}/targetgroup/web/{group}"))
}

/// Hooks with short timeouts, most of which nobody answers.
fn hooks(world: &mut World, scene: &Scene) -> Option<Input> {
    let rng = &mut world.rng;
    let coin = rng.below(2) == 0;
    let result = if coin { "ABANDON" } else { "CONTINUE" };
    let (serving, waiting) = (pick(rng, &scene.serving), pick(rng, &scene.waiting));
    match rng.below(10) {
        0..3 => Some(calls::put_hook(rng.below(3) > 0, 30 + rng.below(90) as i32, result)),
        3..7 => Some(client::set_desired(1 + rng.below(8) as i32)),
        7 => serving.map(|id| client::terminate_in_group(&id, coin)),
        8 => waiting.map(|(instance, hook)| match rng.below(3) {
            0 => calls::heartbeat(&instance, &hook),
            _ => calls::complete(&instance, &hook, result),
        }),
        _ if rng.below(3) == 0 => Some(calls::delete_hook(coin)),
        _ => serving.map(|id| calls::enter_standby(&id, coin)),
    }
}

/// Policies of all kinds, and alarms that go off although nothing is the matter.
fn scaling(world: &mut World, scene: &Scene) -> Option<Input> {
    let rng = &mut world.rng;
    let out = rng.below(2) == 0;
    let alarm = pick(rng, &scene.alarms);
    match rng.below(12) {
        0 => Some(policy_calls::put_step_policy(out, rng.below(600) as i32)),
        1 | 2 => {
            let arn = scene.policy(if out { "step-out" } else { "step-in" })?;
            Some(policy_calls::put_step_alarm(out, if out { 30.0 } else { 4.0 }, arn))
        }
        3..7 => alarm.map(|name| client::set_alarm_state(&name, if rng.below(4) == 0 { "OK" } else { "ALARM" })),
        7 => {
            let (target, warmup) = (50.0 + rng.below(300) as f64, rng.below(3) as i32 * 15);
            scene.label.as_deref().map(|label| policy_calls::put_tracking(label, target, warmup))
        }
        8 | 9 => Some(client::set_desired(1 + rng.below(8) as i32)),
        10 => Some(client::update_group(0, 10 + rng.below(10) as i32)),
        _ => Some(match rng.below(3) {
            0 => calls::suspend("AlarmNotification"),
            _ => calls::resume(),
        }),
    }
}

/// Refreshes in all ways, of groups that change meanwhile.
fn refresh(world: &mut World, scene: &Scene) -> Option<Input> {
    let rng = &mut world.rng;
    let coin = rng.below(2) == 0;
    let serving = pick(rng, &scene.serving);
    match rng.below(14) {
        0..4 => Some(policy_calls::start_refresh(&order(world, scene))),
        4 => Some(client::create_template_version()),
        5 => Some(mixed_calls::update_template(&(1 + rng.below(scene.versions)).to_string())),
        6 if coin => Some(policy_calls::roll_back()),
        6 => Some(calls::cancel_refresh()),
        7 | 8 => Some(client::set_desired(1 + rng.below(9) as i32)),
        9 => serving.map(|id| client::protect(&id, coin)),
        10 => match pick(rng, &scene.resting) {
            Some(id) => Some(calls::exit_standby(&id)),
            None => serving.map(|id| calls::enter_standby(&id, coin)),
        },
        11 => Some(match rng.below(3) {
            0 => calls::suspend("InstanceRefresh"),
            _ => calls::resume(),
        }),
        12 => serving.map(|id| client::set_unhealthy(&id)),
        _ => Some(if coin { calls::maintain(100, 110) } else { calls::maintain(-1, -1) }),
    }
}

fn order(world: &mut World, scene: &Scene) -> RefreshOrder {
    let rng = &mut world.rng;
    let max = [None, None, Some(100), Some(120), Some(150)][rng.below(5) as usize];
    let least = max.map_or(0, |max| max - 100);
    let versioned = rng.below(3) == 0 && world.shape.mix.is_none();
    RefreshOrder {
        min: (least + rng.below(120) as i32).min(100),
        max,
        warmup: rng.below(90) as i32,
        version: versioned.then(|| (1 + rng.below(scene.versions)).to_string()),
        skip_matching: rng.below(3) == 0,
        auto_rollback: versioned && rng.below(2) == 0,
        checkpoint: rng.below(4) == 0,
        bake: if rng.below(4) == 0 { 120 } else { 0 },
        on_protected: ["Refresh", "Ignore", "Wait"][rng.below(3) as usize],
        on_standby: ["Terminate", "Ignore", "Wait"][rng.below(3) as usize],
        alarm: pick(rng, &scene.alarms).filter(|_| rng.below(6) == 0),
    }
}

/// A pool that is taken from, put back into, changed and deleted.
fn warm_pool(world: &mut World) -> Option<Input> {
    let rng = &mut world.rng;
    let coin = rng.below(2) == 0;
    Some(match rng.below(10) {
        0..3 => {
            let state = if coin { "Stopped" } else { "Running" };
            calls::put_warm_pool(rng.below(3) as i32, 4 + rng.below(6) as i32, state, rng.below(2) == 0)
        }
        3..7 => client::set_desired(rng.below(9) as i32),
        7 if rng.below(3) == 0 => calls::delete_warm_pool(coin),
        7 => client::update_group(rng.below(3) as i32, 4 + rng.below(8) as i32),
        8 => calls::put_hook(coin, 30 + rng.below(60) as i32, "CONTINUE"),
        _ => calls::delete_hook(coin),
    })
}

/// Spot instances are taken away, the policy changes.
fn mixed(world: &mut World, scene: &Scene) -> Result<(), Violation> {
    let coin = world.rng.below(2) == 0;
    let serving = pick(&mut world.rng, &scene.serving);
    let input = match world.rng.below(10) {
        0..3 => return network_acts::interrupt(world),
        3..6 => Some(client::set_desired(world.rng.below(14) as i32)),
        6 => {
            let mix = Mix::draw(&mut world.rng);
            // Weights stay: instances keep those that they were launched with.
            let weighted = world.shape.mix.is_some_and(|mix| mix.weighted);
            Some(mixed_calls::update_mix(&Mix { weighted, ..mix }))
        }
        7 => return network_acts::cut_zone(world),
        8 => serving.map(|id| client::protect(&id, coin)),
        _ => Some(match world.rng.below(4) {
            0 => calls::suspend(if coin { "Launch" } else { "Terminate" }),
            _ => calls::resume(),
        }),
    };
    submit(world, input);
    Ok(())
}

/// Zones fail, instances die and are called unhealthy, some are protected.
fn health(world: &mut World, scene: &Scene) -> Result<(), Violation> {
    let coin = world.rng.below(2) == 0;
    let serving = pick(&mut world.rng, &scene.serving);
    let input = match world.rng.below(12) {
        0..3 => return network_acts::cut_zone(world),
        3 | 4 => serving.map(|id| client::protect(&id, world.rng.below(3) > 0)),
        5..8 => Some(client::set_desired(world.rng.below(9) as i32)),
        8 => serving.map(|id| calls::detach(&id, coin)),
        9 => serving.map(|id| client::set_unhealthy(&id)),
        10 => Some(if coin { calls::maintain(90, 120) } else { calls::maintain(-1, -1) }),
        _ => Some(match world.rng.below(3) {
            0 => calls::suspend(["Launch", "Terminate", "AZRebalance"][world.rng.below(3) as usize]),
            _ => calls::resume(),
        }),
    };
    submit(world, input);
    Ok(())
}

/// Forecasts, between people and schedules that say something else.
fn predictive(world: &mut World, scene: &Scene) -> Option<Input> {
    let now = world.now;
    let rng = &mut world.rng;
    let coin = rng.below(2) == 0;
    match rng.below(10) {
        0..4 => Some(client::set_desired(1 + rng.below(9) as i32)),
        4 => Some(policy_calls::put_predictive(1.0 + rng.below(20) as f64, rng.below(4) > 0, coin)),
        5 => Some(client::update_group(rng.below(2) as i32, 4 + rng.below(8) as i32)),
        6 => {
            let ahead = Span::from_mins(5 + rng.below(25) as i64);
            world.jump(ahead);
            None
        }
        7 => pick(rng, &scene.alarms).map(|name| client::set_alarm_state(&name, if coin { "ALARM" } else { "OK" })),
        _ => Some(calls::schedule(now + Span::from_mins(2 + rng.below(20) as i64), rng.below(8) as i32)),
    }
}
