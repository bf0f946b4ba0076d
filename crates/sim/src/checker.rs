//! The checkers: rules that must hold after every step, and what must be so
//! when all is calm. Self-healing hides bugs, so they check each rule as well
//! as the outcome.

use crate::host::Host;
use crate::run::Violation;
use elastane_domain::id::{GroupName, ImageId, InstanceId};
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::routing::{Admission, Snapshot};
use elastane_domain::time::Time;
use elastane_engine::row::*;
use elastane_engine::store::{StoreWrite, read};
use elastane_engine::{Effect, Engine, Scope, Tables};
use elastane_wire::{ApiError, Input, Output};
use std::collections::{BTreeMap, BTreeSet};

type Checked = Result<(), Violation>;

/// What the checkers remember.
#[derive(Default)]
pub struct Checker {
    /// Rows as the disk has them.
    durable: BTreeMap<Scope, Tables>,
    /// Instances that were terminated: they stay so.
    terminated: BTreeSet<InstanceId>,
    /// Instances that a client was told of.
    acknowledged: BTreeMap<InstanceId, Scope>,
    /// Groups that a client was told of.
    groups: BTreeMap<GroupName, Scope>,
    /// Commits seen.
    pub commits: u64,
}

fn broken(rule: &'static str, now: Time, what: impl Into<String>) -> Checked {
    Err(Violation::new(rule, now, what.into()))
}

impl Checker {
    /// A commit reached the disk.
    pub fn committed(&mut self, writes: &[StoreWrite], now: Time) -> Checked {
        self.commits += u64::from(!writes.is_empty());
        for write in writes {
            let tables = self.durable.entry(write.key.scope.clone()).or_default();
            let text = write.key.to_string();
            match &write.value {
                Some(bytes) => {
                    let (key, row) = read(&text, bytes)
                        .map_err(|err| Violation::new("a stored row can be read", now, err.to_string()))?;
                    if let AnyRow::Instance(instance) = &row {
                        still_terminated(&mut self.terminated, instance, now)?;
                    }
                    row.insert(key.id, tables);
                }
                None => self.deleted(&write.key.scope.clone(), write, now)?,
            }
        }
        Ok(())
    }

    fn deleted(&mut self, scope: &Scope, write: &StoreWrite, now: Time) -> Checked {
        let tables = self.durable.entry(scope.clone()).or_default();
        if write.key.kind == Kind::Instance {
            let row = tables.instances.remove(&write.key.id);
            let lives = row.is_some_and(|row| !matches!(row.phase, Phase::Terminated { .. }));
            if lives && self.acknowledged.contains_key(write.key.id.as_str()) {
                return broken("an instance's row goes after it was terminated", now, &write.key.id);
            }
        } else {
            forget(tables, write);
        }
        Ok(())
    }

    /// A client has its answer: what it was told must stay true.
    pub fn answered(&mut self, scope: &Scope, input: &Input, answer: &Result<Output, ApiError>) {
        match (input, answer) {
            (_, Ok(Output::Ec2RunInstances(output))) => {
                let ids = output.instances.iter().filter_map(|one| one.instance_id.as_deref());
                self.acknowledged.extend(ids.map(|id| (InstanceId::from(id), scope.clone())));
            }
            (Input::AutoScalingCreateAutoScalingGroup(input), Ok(_)) => {
                let name = input.auto_scaling_group_name.as_deref().unwrap_or_default();
                self.groups.insert(GroupName::from(name), scope.clone());
            }
            _ => {}
        }
    }

    /// Everything goes, and is meant to.
    pub fn reset(&mut self) {
        self.acknowledged.clear();
        self.groups.clear();
        self.terminated.clear();
    }

    /// An effect starts: the row that calls for it is durable.
    pub fn effect(&self, effect: &Effect, now: Time) -> Checked {
        match effect {
            Effect::Launch(spec) => {
                let row = self.durable_instance(&spec.instance);
                let called_for = row.is_some_and(|row| {
                    row.generation == spec.generation && row.goal == Goal::Run && row.private_ip == spec.private_ip
                });
                if called_for { Ok(()) } else { broken("no effect before its commit", now, format!("{effect:?}")) }
            }
            Effect::Stop { instance, .. } => {
                let row = self.durable_instance(instance);
                let known = row.is_some();
                if known { Ok(()) } else { broken("no effect before its commit", now, format!("{effect:?}")) }
            }
            Effect::Terminate { instance } => {
                let wanted = self.durable_instance(instance).is_some_and(|row| row.goal != Goal::Terminate);
                if wanted { broken("no instance ends that should live", now, instance.as_str()) } else { Ok(()) }
            }
            Effect::Capture { image, .. } => {
                let row = self.durable.values().find_map(|tables| tables.images.get(image.as_str()));
                let called_for = row.is_some_and(|row| row.phase == ImagePhase::Pending);
                if called_for { Ok(()) } else { broken("no effect before its commit", now, format!("{effect:?}")) }
            }
            Effect::DeleteImage { image } => self.unused(image, now),
            Effect::RunCommand { command, .. } => {
                let row = self.durable.values().find_map(|tables| tables.commands.get(command.as_str()));
                if row.is_some() { Ok(()) } else { broken("no effect before its commit", now, format!("{effect:?}")) }
            }
            Effect::Route(snapshot) => self.routed(snapshot, now),
        }
    }

    fn durable_instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.durable.values().find_map(|tables| tables.instances.get(id.as_str())).map(AsRef::as_ref)
    }

    /// A layer goes only when nothing stands on it.
    fn unused(&self, image: &ImageId, now: Time) -> Checked {
        let instances = self.durable.values().flat_map(|tables| tables.instances.values());
        let user = instances
            .filter(|row| !matches!(row.phase, Phase::Terminated { .. }))
            .find(|row| row.layers.contains(image));
        match user {
            Some(row) => broken("no layer goes that an instance stands on", now, row.id.as_str()),
            None => Ok(()),
        }
    }

    /// New requests go to registered targets of running instances only.
    fn routed(&self, snapshot: &Snapshot, now: Time) -> Checked {
        for group in &snapshot.target_groups {
            for target in group.targets.iter().filter(|target| target.admission == Admission::Registered) {
                let Some(instance) = &target.instance else { continue };
                let id = Target::key(&group.arn, instance.as_str(), target.address.port());
                let row = self.durable.values().find_map(|tables| tables.targets.get(&id));
                let registered = row.is_some_and(|row| row.phase == TargetPhase::Registered);
                let running = self.durable_instance(instance).is_some_and(|row| row.phase == Phase::Running);
                if !registered || !running {
                    return broken("no request goes to a target after its deregistration", now, instance.as_str());
                }
            }
        }
        Ok(())
    }

    /// Looks at everything after a step.
    pub fn look(&self, engine: &Engine, host: &Host, now: Time) -> Checked {
        for (scope, tables) in &engine.state().scopes {
            if self.durable.get(scope) != Some(tables) && !(tables == &Tables::default()) {
                return broken("what is in memory is on disk", now, scope.to_string());
            }
            addresses_differ(tables, now)?;
            sizes_hold(tables, now)?;
            activities_are_sound(tables, now)?;
            targets_have_groups(tables, now)?;
        }
        if let Some(((instance, generation), count)) = host.boots.iter().find(|(_, count)| **count > 1) {
            return broken("no boot happens twice", now, format!("{instance} {generation:?} {count} times"));
        }
        for (instance, scope) in &self.acknowledged {
            let tables = engine.state().scopes.get(scope);
            let known = tables.is_some_and(|tables| tables.instances.contains_key(instance.as_str()));
            if !known && !self.terminated.contains(instance) {
                return broken("nothing acknowledged is lost", now, instance.as_str());
            }
        }
        for (group, scope) in &self.groups {
            let tables = engine.state().scopes.get(scope);
            if tables.is_none_or(|tables| !tables.groups.contains_key(group.as_str())) {
                return broken("nothing acknowledged is lost", now, group.as_str());
            }
        }
        Ok(())
    }

    /// Looks at a world that had time to come to rest.
    pub fn converged(&self, engine: &Engine, host: &Host, now: Time) -> Checked {
        let mut owned = BTreeSet::new();
        for tables in engine.state().scopes.values() {
            for row in tables.instances.values() {
                instance_settled(row, host, now)?;
                if !matches!(row.phase, Phase::Terminated { .. }) {
                    owned.insert(&row.id);
                }
            }
            groups_settled(engine, tables, now)?;
            for row in tables.images.values().filter(|row| row.phase == ImagePhase::Pending) {
                return broken("every image ends up available or failed", now, row.id.as_str());
            }
            let open = |row: &Command| row.invocations.values().any(|one| matches!(one, Invocation::InProgress { .. }));
            if let Some(row) = tables.commands.values().find(|row| open(row)) {
                return broken("every command ends", now, row.id.as_str());
            }
        }
        match host.machines.keys().find(|id| !owned.contains(id)) {
            Some(orphan) => broken("what nobody owns is reaped", now, orphan.as_str()),
            None => Ok(()),
        }
    }
}

fn still_terminated(terminated: &mut BTreeSet<InstanceId>, row: &Instance, now: Time) -> Checked {
    match row.phase {
        Phase::Terminated { .. } => {
            terminated.insert(row.id.clone());
            Ok(())
        }
        _ if terminated.contains(&row.id) => broken("terminated is final", now, row.id.as_str()),
        _ => Ok(()),
    }
}

fn forget(tables: &mut Tables, write: &StoreWrite) {
    let id = &write.key.id;
    match write.key.kind {
        Kind::Vpc => drop(tables.vpcs.remove(id)),
        Kind::Subnet => drop(tables.subnets.remove(id)),
        Kind::SecurityGroup => drop(tables.security_groups.remove(id)),
        Kind::KeyPair => drop(tables.key_pairs.remove(id)),
        Kind::Image => drop(tables.images.remove(id)),
        Kind::LaunchTemplate => drop(tables.launch_templates.remove(id)),
        Kind::Instance => drop(tables.instances.remove(id)),
        Kind::Group => drop(tables.groups.remove(id)),
        Kind::Activity => drop(tables.activities.remove(id)),
        Kind::Policy => drop(tables.policies.remove(id)),
        Kind::Alarm => drop(tables.alarms.remove(id)),
        Kind::LoadBalancer => drop(tables.load_balancers.remove(id)),
        Kind::Listener => drop(tables.listeners.remove(id)),
        Kind::TargetGroup => drop(tables.target_groups.remove(id)),
        Kind::Target => drop(tables.targets.remove(id)),
        Kind::Command => drop(tables.commands.remove(id)),
    }
}

fn addresses_differ(tables: &Tables, now: Time) -> Checked {
    let mut taken = BTreeMap::new();
    for row in tables.instances.values().filter(|row| !matches!(row.phase, Phase::Terminated { .. })) {
        if let Some(other) = taken.insert((&row.vpc, row.private_ip), &row.id) {
            return broken("no two instances share an address", now, format!("{} and {other}", row.id));
        }
    }
    Ok(())
}

fn members<'a>(tables: &'a Tables, group: &'a Group) -> impl Iterator<Item = (&'a Instance, &'a Membership)> {
    tables.instances.values().filter_map(move |row| {
        let membership = row.membership.as_ref().filter(|membership| membership.group == group.name)?;
        Some((row.as_ref(), membership))
    })
}

/// Desired within the bounds, and never more members than the maximum with
/// the overshoot that balancing zones may take (autoscaling.md 1.5).
fn sizes_hold(tables: &Tables, now: Time) -> Checked {
    for group in tables.groups.values() {
        let (bounds, desired) = (group.bounds, group.desired);
        if desired < bounds.min || desired > bounds.max {
            return broken("desired is within the bounds", now, format!("{desired} of {bounds:?}"));
        }
        let counted = members(tables, group).filter(|(_, one)| one.lifecycle.counts_as_capacity()).count() as u32;
        // What was there before the maximum was lowered goes in the same round.
        if counted > bounds.max + (bounds.max / 10).max(1) {
            return broken("capacity never exceeds the maximum", now, format!("{counted} of {bounds:?}"));
        }
    }
    Ok(())
}

fn activities_are_sound(tables: &Tables, now: Time) -> Checked {
    for row in tables.activities.values() {
        if row.end.is_some_and(|end| end < row.start) || row.cause.is_empty() {
            return broken("an activity has a cause and ends after it began", now, row.id.as_str());
        }
    }
    Ok(())
}

fn targets_have_groups(tables: &Tables, now: Time) -> Checked {
    match tables.targets.values().find(|row| !tables.target_groups.contains_key(row.group.as_str())) {
        Some(row) => broken("a target has a group", now, row.id.as_str()),
        None => Ok(()),
    }
}

fn instance_settled(row: &Instance, host: &Host, now: Time) -> Checked {
    use elastane_domain::machine::MachineState;
    let held = host.machines.get(&row.id);
    let alive = held.is_some_and(|held| held.state == MachineState::Running);
    let settled = match row.phase {
        Phase::Running => alive && held.is_some_and(|held| held.generation == row.generation),
        Phase::Stopped => !alive,
        Phase::Terminated { .. } => held.is_none(),
        Phase::Pending | Phase::Stopping | Phase::ShuttingDown => false,
    };
    if settled {
        return Ok(());
    }
    let seen = held.map(|held| (held.generation, held.state));
    broken("rows and machines agree", now, format!("{} is {:?}, the host has {seen:?}", row.id, row.phase))
}

fn groups_settled(engine: &Engine, tables: &Tables, now: Time) -> Checked {
    for group in tables.groups.values() {
        let in_service: Vec<&Instance> = members(tables, group)
            .filter(|(_, membership)| membership.lifecycle == LifecycleState::InService)
            .map(|(row, _)| row)
            .collect();
        let moving = members(tables, group).count() - in_service.len();
        if in_service.len() as u32 != group.desired || moving > 0 {
            let found = format!("{} in service, {moving} moving, desired {}", in_service.len(), group.desired);
            return broken("a group reaches its desired capacity", now, found);
        }
        for arn in &group.target_groups {
            let registered = tables.targets.values().filter(|row| row.group == *arn);
            let registered: BTreeSet<&str> = registered.map(|row| row.id.as_str()).collect();
            let wanted: BTreeSet<&str> = in_service.iter().map(|row| row.id.as_str()).collect();
            if registered != wanted {
                return broken("targets are the instances in service", now, format!("{registered:?} {wanted:?}"));
            }
        }
    }
    let healthy = |health: &elastane_domain::routing::TargetHealth| {
        matches!(health, elastane_domain::routing::TargetHealth::Healthy)
    };
    match engine.state().seen.health.iter().find(|(_, health)| !healthy(health)) {
        Some((key, health)) => broken("every target ends up healthy", now, format!("{key:?} {health:?}")),
        None => Ok(()),
    }
}
