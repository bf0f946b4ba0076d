//! What clients and fate do while the world misbehaves.

use crate::balancer_acts;
use crate::client;
use crate::command_acts;
use crate::focus::Focus;
use crate::focus_acts;
use crate::group_acts;
use crate::host::HostFaults;
use crate::mixed_calls;
use crate::network_acts;
use crate::run::Violation;
use crate::world::{Faults, World};
use elastane_domain::time::Span;
use elastane_engine::row::{ImagePhase, Phase};
use elastane_engine::{Rng, Scope, Tables};

/// An alarm that clients put and delete at random: its action may be any policy.
pub const CONTRARY_ALARM: &str = "own";

/// Of what happens in a world with a focus, so many per cent are about that.
const FOCUSED: u64 = 65;

/// A mix of faults: each kind is absent in half of all worlds, so that each
/// is also seen without the others.
pub fn draw_faults(rng: &mut Rng) -> Faults {
    let mut maybe = |max: u64| if rng.below(2) == 0 { 0 } else { rng.below(max) };
    Faults {
        host: HostFaults {
            boot_fails: maybe(200),
            boot_slow: maybe(300),
            capture_fails: maybe(300),
            fact_twice: maybe(300),
            network_fails: maybe(300),
            network_slow: maybe(300),
            user_data_fails: maybe(300),
        },
        commit_fails: maybe(20),
        commit_unheard: maybe(20),
        effects_cut: maybe(20),
        fact_stale: maybe(100),
    }
}

/// One thing that a client or fate does now.
pub fn act(world: &mut World) -> Result<(), Violation> {
    // Commands last for a minute or two, so that something else happens meanwhile.
    if world.rng.below(2) == 0 {
        command_acts::act(world);
    }
    if world.focus != Focus::Everything && world.rng.below(100) < FOCUSED {
        return focus_acts::act(world);
    }
    match world.rng.below(100) {
        0..20 => kill_someone(world),
        20..23 => world.crash()?,
        23 => match world.rng.below(4) {
            0 => world.power_fails()?,
            1 => {
                let ahead = Span::from_mins(1 + world.rng.below(60) as i64);
                world.jump(ahead);
            }
            _ => world.crash()?,
        },
        24 => {
            if world.rng.below(10) == 0 {
                world.reset()?;
                // A commit that failed leaves everything as it was.
                if world.engine.state().scopes.is_empty() {
                    crate::run::set_up(world)?;
                }
            }
        }
        25..30 => elsewhere(world),
        30..48 => scale_someone(world),
        48..72 => network_acts::act(world)?,
        72..80 => balancer_acts::act(world)?,
        80..90 => group_acts::act(world),
        _ => call_someone(world),
    }
    Ok(())
}

/// A machine dies by itself.
pub(crate) fn kill_someone(world: &mut World) {
    let living: Vec<_> = world.host.living().map(|(id, _)| id.clone()).collect();
    if let Some(id) = pick(&mut world.rng, &living) {
        world.host.kill(&id);
    }
}

/// Another region has a life of its own.
fn elsewhere(world: &mut World) {
    let region = ["eu-west-1", "ap-south-1", "us-west-2"][world.rng.below(3) as usize];
    let scope = Scope::new(crate::world::ACCOUNT, region);
    let instances = ids(world, &scope, living);
    let input = match pick(&mut world.rng, &instances) {
        Some(id) if instances.len() > 3 => client::terminate(&id),
        Some(_) | None => client::run_instances(1),
    };
    world.submit(scope, input);
}

fn call_someone(world: &mut World) {
    let scope = World::scope();
    let all = ids(world, &scope, living);
    let members = ids(world, &scope, members);
    let loose: Vec<String> = all.iter().filter(|id| !members.contains(id)).cloned().collect();
    let images = ids(world, &scope, images);
    let rng = &mut world.rng;
    let (any, member, free) = (pick(rng, &all), pick(rng, &members), pick(rng, &loose));
    let image = pick(rng, &images);
    let choice = rng.below(14);
    let input = match choice {
        0 => Some(client::set_desired(rng.below(9) as i32)),
        1 => {
            let min = rng.below(4) as i32;
            Some(client::update_group(min, min + rng.below(8) as i32))
        }
        2 => any.map(|id| client::terminate(&id)),
        3 => member.map(|id| client::set_unhealthy(&id)),
        4 => {
            let decrement = rng.below(2) == 0;
            member.map(|id| client::terminate_in_group(&id, decrement))
        }
        5 if loose.len() < 6 => Some(client::run_instances(1 + rng.below(3) as i32)),
        6 => free.map(|id| client::stop(&id)),
        7 | 8 => free.map(|id| client::start(&id)),
        9 => any.map(|id| client::reboot(&id)),
        10 if images.len() < 6 => any.map(|id| client::create_image(&id, rng)),
        11 => image.map(|id| client::deregister_image(&id)),
        12 => return command_acts::act(world),
        _ => free.map(|id| client::terminate(&id)),
    };
    if let Some(input) = input {
        world.submit(scope, input);
    }
}

/// Calls about groups, what they are attached to, and what they follow.
fn scale_someone(world: &mut World) {
    let scope = World::scope();
    let members = ids(world, &scope, members);
    let alarms = ids(world, &scope, |tables| tables.alarms.ids());
    let policies = ids(world, &scope, |tables| tables.policies.values().map(|row| row.arn.clone()).collect());
    let keys = ids(world, &scope, |tables| tables.key_pairs.ids());
    let subnets = ids(world, &scope, |tables| tables.subnets.ids());
    let vpcs = ids(world, &scope, |tables| tables.vpcs.ids());
    let groups = ids(world, &scope, |tables| tables.target_groups.ids());
    let main = groups.iter().find(|arn| arn.contains("targetgroup/web/")).cloned();
    let exists = !ids(world, &scope, |tables| tables.groups.ids()).is_empty();
    let shape = world.shape;
    let rng = &mut world.rng;
    let (member, alarm, policy, key, group) =
        (pick(rng, &members), pick(rng, &alarms), pick(rng, &policies), pick(rng, &keys), pick(rng, &groups));
    let extra = groups.iter().find(|arn| arn.contains("targetgroup/extra/")).cloned();
    let coin = rng.below(2) == 0;
    let input = match rng.below(18) {
        _ if !exists => main.map(|arn| mixed_calls::create_group(&subnets, &arn, (rng.below(3) as i32, 6), &shape)),
        0 if coin => Some(client::delete_group(rng.below(3) > 0)),
        1 => vpcs.first().map(|vpc| client::create_target_group("extra", vpc)),
        2 => extra.map(|arn| client::delete_target_group(&arn)),
        3 | 4 => group.map(|arn| client::attach(&arn)),
        5 => group.map(|arn| client::detach(&arn)),
        6 => group.zip(member).map(|(arn, id)| client::deregister_target(&arn, &id)),
        7 => group.zip(member).map(|(arn, id)| client::register_target(&arn, &id)),
        8 => member.map(|id| client::protect(&id, coin)),
        9 => Some(client::put_simple_policy(if coin { 2 } else { -1 }, 30 + rng.below(300) as i32)),
        10 => policy.map(|arn| client::put_alarm(CONTRARY_ALARM, coin, rng.below(60) as f64, &arn)),
        11 | 12 => alarm.map(|name| client::set_alarm_state(&name, if coin { "ALARM" } else { "OK" })),
        13 => alarm.filter(|name| !name.starts_with("TargetTracking")).map(|name| client::delete_alarm(&name)),
        14 => Some(client::create_template_version()),
        15 => Some(client::create_key_pair(&format!("key-{}", rng.below(5)))),
        16 => key.map(|name| client::delete_key_pair(&name)),
        _ => Some(client::set_desired(rng.below(12) as i32)),
    };
    if let Some(input) = input {
        world.submit(scope, input);
    }
}

pub(crate) fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> Option<T> {
    let index = rng.below(from.len() as u64) as usize;
    from.get(index).cloned()
}

pub(crate) fn ids(world: &World, scope: &Scope, of: impl Fn(&Tables) -> Vec<String>) -> Vec<String> {
    world.engine.state().scopes.get(scope).map_or_else(Vec::new, of)
}

fn living(tables: &Tables) -> Vec<String> {
    let live = tables.instances.values().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
    live.map(|row| row.id.to_string()).collect()
}

fn members(tables: &Tables) -> Vec<String> {
    let members =
        tables.instances.values().filter(|row| row.membership.as_ref().is_some_and(|place| !place.lifecycle.is_warm()));
    members.map(|row| row.id.to_string()).collect()
}

fn images(tables: &Tables) -> Vec<String> {
    let own = tables.images.values().filter(|row| row.source.is_some() && row.phase != ImagePhase::Deregistered);
    own.map(|row| row.id.to_string()).collect()
}
