//! What clients and fate do to load balancers: rules and weights change, zones
//! come and go, targets come and go in storms, the data plane dies.

use crate::chaos::{ids, pick};
use crate::client;
use crate::requests::PATHS;
use crate::run::Violation;
use crate::world::World;
use elastane_domain::time::Span;
use elastane_wire::Input;

/// One thing that happens to a load balancer.
pub fn act(world: &mut World) -> Result<(), Violation> {
    match world.rng.below(12) {
        0 => world.plane_dies(),
        1 => storm(world)?,
        _ => {
            if let Some(input) = call(world) {
                world.submit(World::scope(), input);
            }
        }
    }
    Ok(())
}

/// Targets go and come again and again, seconds apart.
fn storm(world: &mut World) -> Result<(), Violation> {
    let scope = World::scope();
    for _ in 0..8 {
        let groups = ids(world, &scope, |tables| tables.target_groups.ids());
        let members = ids(world, &scope, |tables| {
            tables
                .instances
                .values()
                .filter(|row| row.membership.as_ref().is_some_and(|place| !place.lifecycle.is_warm()))
                .map(|row| row.id.to_string())
                .collect()
        });
        let (group, member) = (pick(&mut world.rng, &groups), pick(&mut world.rng, &members));
        let Some((group, member)) = group.zip(member) else { return Ok(()) };
        let goes = world.rng.below(2) == 0;
        let input =
            if goes { client::deregister_target(&group, &member) } else { client::register_target(&group, &member) };
        world.submit(scope.clone(), input);
        let until = world.now + Span(100 + world.rng.below(3_000) as i64);
        while world.now < until {
            world.advance(until)?;
        }
    }
    Ok(())
}

fn call(world: &mut World) -> Option<Input> {
    let scope = World::scope();
    let balancers = ids(world, &scope, |tables| tables.load_balancers.ids());
    let listeners = ids(world, &scope, |tables| tables.listeners.ids());
    let rules = ids(world, &scope, |tables| tables.rules.ids());
    let groups = ids(world, &scope, |tables| tables.target_groups.ids());
    let mut subnets = ids(world, &scope, |tables| {
        tables.subnets.values().filter(|row| row.default).map(|row| row.id.to_string()).collect()
    });
    let vpcs = ids(world, &scope, |tables| {
        tables.vpcs.values().filter(|row| row.default).map(|row| row.id.to_string()).collect()
    });
    let rng = &mut world.rng;
    let (balancer, listener, rule, group) =
        (pick(rng, &balancers), pick(rng, &listeners), pick(rng, &rules), pick(rng, &groups));
    let mut weights = Vec::new();
    for group in groups.iter().take(4) {
        weights.push((group.clone(), [0, 1, 3, 10, 90][rng.below(5) as usize]));
    }
    let first = weights.first().cloned();
    if rng.below(2) == 0 && weights.len() > 1 {
        // Blue or green: everything to one of them.
        let chosen = rng.below(weights.len() as u64) as usize;
        weights.iter_mut().enumerate().for_each(|(at, (_, weight))| *weight = if at == chosen { 1 } else { 0 });
    }
    let path = PATHS[rng.below(PATHS.len() as u64) as usize];
    let pattern = match path.rsplit_once('/') {
        Some((start, _)) if rng.below(2) == 0 => format!("{start}/*"),
        Some(_) | None => path.to_string(),
    };
    let priority = 1 + rng.below(20) as i32;
    match rng.below(9) {
        0 | 1 => listener.map(|arn| client::create_rule(&arn, priority, &pattern, &weights)),
        2 => rule.map(|arn| client::modify_rule(&arn, &weights)),
        3 => rule.map(|arn| client::delete_rule(&arn)),
        4 => rule.map(|arn| client::set_rule_priority(&arn, priority)),
        5 => listener.map(|arn| client::modify_listener(&arn, &weights)),
        6 => {
            let dropped = rng.below(subnets.len() as u64 + 1) as usize;
            if dropped < subnets.len() {
                subnets.remove(dropped);
            }
            balancer.map(|arn| client::set_subnets(&arn, subnets))
        }
        7 if groups.len() < 3 => vpcs.first().map(|vpc| client::create_target_group("green", vpc)),
        7 => balancer.zip(first).map(|(arn, (group, _))| client::create_listener_on(&arn, 81, &group)),
        _ => group.map(|arn| client::set_cross_zone(&arn, ["true", "false"][rng.below(2) as usize])),
    }
}

/// The zones of before, so that all targets can take requests again.
pub fn end(world: &mut World) {
    let scope = World::scope();
    let balancers = ids(world, &scope, |tables| tables.load_balancers.ids());
    let subnets = ids(world, &scope, |tables| {
        tables.subnets.values().filter(|row| row.default).map(|row| row.id.to_string()).collect()
    });
    for balancer in balancers {
        world.submit(scope.clone(), client::set_subnets(&balancer, subnets.clone()));
    }
}
