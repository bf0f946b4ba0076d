//! The checkers: rules that must hold after every step, and what must be so
//! when all is calm. Self-healing hides bugs, so they check each rule as well
//! as the outcome.

use crate::command_rules;
use crate::group_rules::GroupRules;
use crate::host::Host;
use crate::met::{Looker, Met};
use crate::network_rules::{self, Networks};
use crate::policy_rules::PolicyRules;
use crate::refresh_rules::RefreshRules;
use crate::requests::Requests;
use crate::rest_rules::{self, ByHand};
use crate::round_rules::RoundRules;
use crate::run::Violation;
use crate::watch::Watch;
use elastane_domain::hooks::Arrival;
use elastane_domain::id::{GroupName, ImageId, InstanceId, TargetGroupArn};
use elastane_domain::machine::MachineState;
use elastane_domain::routing::{Admission, ProxyFact, Snapshot, TargetHealth, TargetKey};
use elastane_domain::time::{Span, Time};
use elastane_engine::row::*;
use elastane_engine::store::{StoreWrite, read};
use elastane_engine::{Effect, Engine, Fact, Scope, Tables, targets};
use elastane_wire::{ApiError, Input, Output};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Checked = Result<(), Violation>;

/// For so long after the data plane died, what it had said is looked after:
/// it is back within seconds.
const SURVIVAL: Span = Span::from_mins(1);

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
    /// Groups that a client asked to delete.
    deletions_asked: BTreeSet<GroupName>,
    /// Members of each group at the last look.
    sizes: BTreeMap<(Scope, GroupName), u32>,
    /// Instances that clients ended themselves: nobody drains those first.
    ended_by_hand: BTreeSet<InstanceId>,
    /// Targets that clients took out themselves: no group puts them back.
    removed_by_hand: BTreeSet<(TargetGroupArn, String)>,
    /// Targets that clients put in themselves: no group takes them out.
    registered_by_hand: BTreeSet<(TargetGroupArn, String)>,
    /// Targets that the data plane said have no request in flight.
    drained: BTreeSet<TargetKey>,
    /// What is checked within a round.
    watch: Watch,
    /// Rules of members within a round.
    rounds: RoundRules,
    /// Rules of policies within a round.
    policies: PolicyRules,
    /// Rules of groups in depth.
    groups_in_depth: GroupRules,
    /// Rules of instance refreshes.
    refreshes: RefreshRules,
    /// What was met.
    pub met: Met,
    looker: Looker,
    /// Rules of networks.
    networks: Networks,
    /// Rules of requests.
    pub requests: Requests,
    /// Targets whose health was known when the data plane died, and until
    /// when that is looked after.
    survivors: Vec<(Arc<Target>, TargetKey)>,
    survive_until: Time,
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
                    if let AnyRow::Command(command) = &row {
                        let before = tables.commands.get(&key.id).map(AsRef::as_ref);
                        command_rules::committed(&mut self.met, before, command, now)?;
                    }
                    if let AnyRow::Group(group) = &row
                        && group.deleting
                    {
                        // The client may not have been told.
                        self.groups.remove(&group.name);
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
            let row = tables.instances.get(&write.key.id).cloned();
            tables.remove(Kind::Instance, &write.key.id);
            let lives = row.is_some_and(|row| !matches!(row.phase, Phase::Terminated { .. }));
            if lives && self.acknowledged.contains_key(write.key.id.as_str()) {
                return broken("an instance's row goes after it was terminated", now, &write.key.id);
            }
        } else {
            if write.key.kind == Kind::Group && self.deletions_asked.contains(write.key.id.as_str()) {
                // It went in the round of the call, and the client may not have been told.
                self.groups.remove(write.key.id.as_str());
            }
            tables.remove(write.key.kind, &write.key.id);
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
            (Input::AutoScalingDeleteAutoScalingGroup(input), Ok(_)) => {
                self.groups.remove(input.auto_scaling_group_name.as_deref().unwrap_or_default());
            }
            _ => {}
        }
    }

    /// A client calls. What it asks for may happen although nobody answers.
    pub fn asked(&mut self, input: &Input) {
        match input {
            Input::Ec2TerminateInstances(input) => {
                self.ended_by_hand.extend(input.instance_ids.iter().map(|id| InstanceId::from(id.as_str())));
            }
            Input::AutoScalingDeleteAutoScalingGroup(input) => {
                let name = input.auto_scaling_group_name.as_deref().unwrap_or_default();
                self.deletions_asked.insert(GroupName::from(name));
            }
            Input::Elbv2DeregisterTargets(input) => {
                let arn = TargetGroupArn::from(input.target_group_arn.as_deref().unwrap_or_default());
                let ids = input.targets.iter().filter_map(|target| target.id.clone());
                self.removed_by_hand.extend(ids.map(|id| (arn.clone(), id)));
            }
            Input::Elbv2RegisterTargets(input) => {
                let arn = TargetGroupArn::from(input.target_group_arn.as_deref().unwrap_or_default());
                let ids = input.targets.iter().filter_map(|target| target.id.clone());
                self.registered_by_hand.extend(ids.map(|id| (arn.clone(), id)));
            }
            _ => {}
        }
    }

    /// EC2 takes a spot instance back, and waits for no request in flight.
    pub fn interrupted(&mut self, instance: &InstanceId) {
        self.ended_by_hand.insert(instance.clone());
    }

    /// The world says something.
    pub fn heard(&mut self, facts: &[Fact]) {
        for fact in facts {
            if let Fact::Proxy(ProxyFact::Drained { target }) = fact {
                self.drained.insert(target.clone());
            }
        }
    }

    /// The calls of a round are through; `calls` says whether there were any.
    pub fn called(&mut self, engine: &Engine, calls: bool, now: Time) -> Checked {
        self.rounds.called(engine, now);
        self.policies.called(engine, now);
        self.watch.called(engine, calls, now)
    }

    /// The reconcilers are through. `done`: they have nothing more to do at once.
    pub fn handled(&mut self, engine: &Engine, now: Time, done: bool) -> Checked {
        self.watch.handled(engine, now)?;
        self.rounds.handled(engine, now, done)?;
        self.policies.handled(engine, now, &mut self.met)
    }

    /// Rows as the disk has them.
    pub fn durable(&self) -> &BTreeMap<Scope, Tables> {
        &self.durable
    }

    /// The data plane dies: what it said of targets stays true until it is back.
    pub fn plane_died(&mut self, engine: &Engine, now: Time) {
        let state = engine.state();
        self.survive_until = now + SURVIVAL;
        self.survivors.clear();
        for tables in state.scopes.values() {
            for row in tables.targets.values().filter(|row| row.phase == TargetPhase::Registered) {
                let key = targets::key(tables, row).filter(|key| state.seen.health.contains_key(key));
                self.survivors.extend(key.map(|key| (row.clone(), key)));
            }
        }
    }

    fn health_survives(&mut self, engine: &Engine, now: Time) -> Checked {
        if now > self.survive_until {
            self.survivors.clear();
        }
        let state = engine.state();
        let row = |id: &str| state.scopes.values().find_map(|tables| tables.targets.get(id));
        // A row that was written anew may be another registration.
        self.survivors.retain(|(target, _)| row(&target.id()).is_some_and(|row| Arc::ptr_eq(row, target)));
        match self.survivors.iter().find(|(_, key)| !state.seen.health.contains_key(key)) {
            Some((target, _)) => broken("health outlives the data plane", now, target.id()),
            None => Ok(()),
        }
    }

    /// Another daemon: what it did and knew is gone.
    pub fn restarted(&mut self) {
        self.survivors.clear();
        self.watch.restarted();
        self.rounds.restarted();
        self.policies.restarted();
        self.groups_in_depth.restarted();
        self.refreshes.restarted();
        self.networks.restarted();
    }

    /// Everything goes, and is meant to.
    pub fn reset(&mut self) {
        self.survivors.clear();
        self.watch.restarted();
        self.rounds.restarted();
        self.policies.restarted();
        self.groups_in_depth.restarted();
        self.refreshes.restarted();
        self.removed_by_hand.clear();
        self.acknowledged.clear();
        self.groups.clear();
        self.terminated.clear();
    }

    /// An effect starts: the row that calls for it is durable.
    pub fn effect(&mut self, effect: &Effect, host: &Host, now: Time) -> Checked {
        match effect {
            Effect::Launch(spec) => {
                let row = self.durable_instance(&spec.instance);
                let called_for = row.is_some_and(|row| {
                    row.generation == spec.generation && row.goal == Goal::Run && row.private_ip == spec.private_ip
                });
                if !called_for {
                    return broken("no effect before its commit", now, format!("{effect:?}"));
                }
                self.networks.launched(spec, now)
            }
            Effect::Stop { instance, .. } => {
                let row = self.durable_instance(instance);
                let known = row.is_some();
                if known { Ok(()) } else { broken("no effect before its commit", now, format!("{effect:?}")) }
            }
            Effect::Terminate { instance } => {
                let wanted = self.durable_instance(instance).is_some_and(|row| row.goal != Goal::Terminate);
                if wanted {
                    return broken("no instance ends that should live", now, instance.as_str());
                }
                self.drained_first(instance, host, now)
            }
            Effect::Capture { image, .. } => {
                let row = self.durable.values().find_map(|tables| tables.images.get(image.as_str()));
                let called_for = row.is_some_and(|row| row.phase == ImagePhase::Pending);
                if called_for { Ok(()) } else { broken("no effect before its commit", now, format!("{effect:?}")) }
            }
            Effect::DeleteImage { image } => self.unused(image, now),
            Effect::RunCommand { command, instance, .. } | Effect::EndCommand { command, instance, .. } => {
                let row = self.durable.values().find_map(|tables| tables.commands.get(command.as_str()));
                let out = row.and_then(|row| row.invocations.get(instance)).is_some_and(|one| one.boot().is_some());
                if out { Ok(()) } else { broken("no effect before its commit", now, format!("{effect:?}")) }
            }
            Effect::EndSession { session, .. } => {
                let row = self.durable.values().find_map(|tables| tables.sessions.get(session));
                let open = row.is_some_and(|row| row.is_open());
                if open { broken("no session ends that is open", now, session) } else { Ok(()) }
            }
            Effect::Route(snapshot) => self.routed(snapshot, now),
            Effect::Network(plan) => self.networks.planned(&self.durable, plan, now),
            Effect::EndNetwork { vpc } => self.networks.ended(&self.durable, vpc, now),
            Effect::Notify(_) => Ok(()),
        }
    }

    /// A group's instance that lives ends after its requests in flight, or
    /// after the time that they have.
    fn drained_first(&self, instance: &InstanceId, host: &Host, now: Time) -> Checked {
        let alive = host.machines.get(instance).is_some_and(|held| held.state == MachineState::Running);
        if !alive || self.ended_by_hand.contains(instance) {
            return Ok(());
        }
        for tables in self.durable.values() {
            let leaves = tables.instances.get(instance.as_str()).and_then(|row| row.membership.as_ref());
            if leaves.is_none_or(|place| !place.lifecycle.is_terminating()) {
                continue;
            }
            for row in tables.targets.values().filter(|row| row.id == instance.as_str()) {
                let TargetPhase::Draining { until } = row.phase else { continue };
                let pair = (row.group.clone(), row.id.clone());
                if self.removed_by_hand.contains(&pair) || self.registered_by_hand.contains(&pair) {
                    continue;
                }
                let drained = targets::key(tables, row).is_some_and(|key| self.drained.contains(&key));
                if until > now && !drained {
                    return broken("an instance ends after its targets drained", now, row.id());
                }
            }
        }
        Ok(())
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
        if let Some(row) = user {
            return broken("no layer goes that an instance stands on", now, row.id.as_str());
        }
        let mut snapshots = self.durable.values().flat_map(|tables| tables.snapshots.values());
        match snapshots.find(|row| row.layers.contains(image)) {
            Some(row) => broken("no layer goes that a snapshot holds", now, row.id.as_str()),
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
    pub fn look(&mut self, engine: &Engine, host: &Host, now: Time) -> Checked {
        for (scope, tables) in &engine.state().scopes {
            if self.durable.get(scope) != Some(tables) && !(tables == &Tables::default()) {
                return broken("what is in memory is on disk", now, scope.to_string());
            }
            addresses_differ(tables, now)?;
            sizes_hold(scope, tables, &mut self.sizes, now)?;
            activities_are_sound(tables, now)?;
            targets_have_groups(tables, now)?;
        }
        self.health_survives(engine, now)?;
        self.groups_in_depth.look(engine, &self.registered_by_hand, now)?;
        self.refreshes.look(engine, now)?;
        self.looker.look(engine, &mut self.met);
        self.networks.look(engine, host, now)?;
        if let Some(((instance, generation), count)) = host.boots.iter().find(|(_, count)| **count > 1) {
            return broken("no boot happens twice", now, format!("{instance} {generation:?} {count} times"));
        }
        let commands = engine.state().scopes.values().flat_map(|tables| tables.commands.values());
        command_rules::look(commands.map(AsRef::as_ref), &host.commands, now)?;
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
        let by_hand = ByHand { removed: &self.removed_by_hand, registered: &self.registered_by_hand };
        for tables in engine.state().scopes.values() {
            for row in tables.instances.values() {
                instance_settled(row, host, now)?;
                if !matches!(row.phase, Phase::Terminated { .. }) {
                    owned.insert(&row.id);
                }
            }
            rest_rules::groups_settled(tables, &by_hand, now)?;
            targets_settled(engine, tables, now)?;
            if let Some(row) = tables.activities.values().find(|row| row.end.is_none()) {
                return broken("every activity ends", now, row.description.as_str());
            }
            if let Some(row) = tables.images.values().find(|row| row.phase == ImagePhase::Pending) {
                return broken("every image ends up available or failed", now, row.id.as_str());
            }
            if let Some(row) = tables.commands.values().find(|row| row.is_open()) {
                return broken("every command ends", now, row.id.as_str());
            }
        }
        nothing_leaks(engine, host, now)?;
        network_rules::settled(engine, host, now)?;
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

/// Desired within the bounds, and no growth above the maximum with the
/// overshoot that balancing zones may take (autoscaling.md 1.5). When the
/// maximum is lowered, members that still boot go once they have booted.
fn sizes_hold(scope: &Scope, tables: &Tables, sizes: &mut BTreeMap<(Scope, GroupName), u32>, now: Time) -> Checked {
    for group in tables.groups.values() {
        let (bounds, desired) = (group.bounds, group.desired);
        if desired < bounds.min || desired > bounds.max {
            return broken("desired is within the bounds", now, format!("{desired} of {bounds:?}"));
        }
        let places = members(tables, group).map(|(_, place)| place);
        let counted =
            places.filter(|place| place.lifecycle.counts_as_capacity()).map(|place| place.weight.max(1)).sum();
        let last = sizes.insert((scope.clone(), group.name.clone()), counted).unwrap_or(0);
        let grown = counted.saturating_sub(coming_back(tables, group)) > last;
        if grown && counted > bounds.max + overshoot(tables, group) {
            return broken("capacity never exceeds the maximum", now, format!("{counted} of {bounds:?}"));
        }
    }
    Ok(())
}

/// How far above its maximum a group may stand: to balance zones a tenth or
/// one; while instances are replaced what its maintenance policy or refresh
/// says; and whoever comes back from standby is trimmed only then. With
/// weights each launch may be of the heaviest type.
fn overshoot(tables: &Tables, group: &Group) -> u32 {
    let refreshes = tables.instance_refreshes.values().filter(|row| row.group == group.name && row.status.is_active());
    let percent = refreshes.filter_map(|row| row.preferences.max_percent);
    let percent = percent.chain(group.maintenance.map(|policy| policy.max_percent)).max().unwrap_or(100);
    let share = (group.bounds.max * percent.saturating_sub(100)).div_ceil(100);
    let heaviest = match &group.source {
        LaunchSource::Mixed(mixed) => mixed.overrides.iter().filter_map(|one| one.weight).max().unwrap_or(1),
        LaunchSource::Template(_) | LaunchSource::Configuration(_) => 1,
    };
    (group.bounds.max / 10).max(heaviest).max(share) + heaviest - 1 + coming_back(tables, group)
}

/// What comes back from standby: the user asked for it, whatever the maximum (autoscaling.md 2.4).
fn coming_back(tables: &Tables, group: &Group) -> u32 {
    let back = members(tables, group).filter(|(_, place)| place.arrival == Arrival::LeftStandby);
    back.map(|(_, place)| place.weight.max(1)).sum()
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

/// Targets that take requests are healthy, and nothing is remembered of others.
fn targets_settled(engine: &Engine, tables: &Tables, now: Time) -> Checked {
    let health = &engine.state().seen.health;
    let used: BTreeSet<_> =
        elastane_engine::routing::actions(tables).flat_map(|(_, action)| action.target_groups()).collect();
    for row in tables.targets.values().filter(|row| used.contains(&row.group)) {
        let found = targets::key(tables, row).and_then(|key| health.get(&key));
        let running = tables.instances.get(&row.id).is_some_and(|row| row.phase == Phase::Running);
        if running && found != Some(&TargetHealth::Healthy) {
            return broken("every target ends up healthy", now, format!("{} {found:?}", row.id()));
        }
    }
    Ok(())
}

/// Nothing is remembered of what is no more.
fn nothing_leaks(engine: &Engine, host: &Host, now: Time) -> Checked {
    let state = engine.state();
    let targets = state.scopes.values().flat_map(|tables| tables.targets.values().map(move |row| (tables, row)));
    let keys: BTreeSet<TargetKey> = targets.filter_map(|(tables, row)| targets::key(tables, row)).collect();
    let seen = &state.seen;
    if let Some(key) = seen.health.keys().chain(&seen.drained).find(|key| !keys.contains(key)) {
        return broken("nothing is remembered of targets that are gone", now, format!("{key:?}"));
    }
    if let Some(id) = seen.initialized.keys().find(|id| !host.machines.contains_key(*id)) {
        return broken("nothing is remembered of machines that are gone", now, id.as_str());
    }
    if let Some(vpc) = seen.networks.keys().find(|vpc| !host.networks.contains_key(*vpc)) {
        return broken("nothing is remembered of networks that ended", now, vpc.as_str());
    }
    if !seen.captures.is_empty() || !seen.commands.is_empty() || !seen.sent.is_empty() {
        return broken("nothing is remembered of what was taken in", now, "captures or commands");
    }
    let known = |id: &ImageId| {
        let stands = |row: &Instance| !matches!(row.phase, Phase::Terminated { .. }) && row.layers.contains(id);
        state.scopes.values().any(|tables| {
            tables.images.contains_key(id.as_str())
                || tables.snapshots.values().any(|row| row.layers.contains(id))
                || tables.instances.values().any(|row| stands(row))
        })
    };
    match host.layers.iter().find(|id| !known(id)) {
        Some(id) => broken("a layer that nobody knows goes", now, id.as_str()),
        None => Ok(()),
    }
}
