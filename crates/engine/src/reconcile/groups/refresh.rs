//! Instance refreshes: what `domain::refresh` decides becomes rows and
//! events, and what a refresh wants becomes part of the group's view. The
//! plan of the group does the replacing.

use super::{Members, Traffic, begin_termination};
use crate::engine::Plant;
use crate::reconcile::notifications::{self, RefreshEvent};
use crate::reconcile::wake_at;
use crate::row::*;
use crate::state::{Tables, Tx, View};
use elastane_domain::alarm::AlarmState;
use elastane_domain::group::{Process, RefreshView, Why};
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::mixed::TemplateRef;
use elastane_domain::refresh::{Course, Facts, HISTORY, Launched, RefreshStatus, Step, Treatment, Wanted, treatment};
use elastane_domain::scaling::warming;
use elastane_domain::time::{Span, Time};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A refresh takes at most so many steps in one round; the rest wait for the next.
const STEPS_MAX: usize = 8;

/// Refreshes that a group remembers, the newest; AWS keeps them for six weeks.
const HISTORY_MAX: usize = 200;

/// A group's refreshes, in no order that means anything.
pub fn of_group<'a>(tables: &'a Tables, group: &GroupName) -> impl Iterator<Item = &'a Arc<InstanceRefresh>> + use<'a> {
    tables.instance_refreshes.starting_with(&format!("{group}:")).map(|(_, row)| row)
}

/// The refresh of a group that still does something.
pub fn active(tables: &Tables, group: &GroupName) -> Option<Arc<InstanceRefresh>> {
    of_group(tables, group).find(|row| row.status.is_active()).cloned()
}

/// The group with what it launches from now: the desired configuration while a refresh
/// goes towards it (autoscaling.md 11.3, 3).
pub(super) fn launching(tx: &Tx<'_>, group: Arc<Group>) -> Arc<Group> {
    let refresh = active(tx, &group.name).filter(|refresh| goes_forward(refresh.status));
    match refresh.and_then(|refresh| refresh.desired.clone()) {
        Some(source) => Arc::new(Group { source, ..(*group).clone() }),
        None => group,
    }
}

fn goes_forward(status: RefreshStatus) -> bool {
    matches!(status, RefreshStatus::Pending | RefreshStatus::InProgress | RefreshStatus::Baking)
}

/// Why a refresh cannot go back, if it cannot (autoscaling.md 11.3, 9).
pub fn irreversible(view: &View<'_>, desired: Option<&LaunchSource>, previous: &LaunchSource) -> Option<&'static str> {
    if desired.is_none() {
        return Some("the instance refresh has no desired configuration");
    }
    for named in templates(previous) {
        if named.version.starts_with('$') {
            return Some("the launch template of the group has the version $Latest or $Default");
        }
        let template = view.get::<LaunchTemplate>(named.id.as_str());
        if template.and_then(|row| row.version(&named.version)).is_some_and(|one| one.data.image_parameter.is_some()) {
            return Some("the launch template of the group names its image by a Systems Manager parameter");
        }
    }
    None
}

fn templates(source: &LaunchSource) -> Vec<&TemplateRef> {
    match source {
        LaunchSource::Template(template) => vec![template],
        LaunchSource::Mixed(mixed) => {
            let own = mixed.overrides.iter().filter_map(|item| item.template.as_ref());
            [&mixed.template].into_iter().chain(own).collect()
        }
        LaunchSource::Configuration(_) => Vec::new(),
    }
}

/// What instances of a source look like now.
fn wanted(view: &View<'_>, source: &LaunchSource) -> Wanted {
    let version = |named: &TemplateRef| {
        let template = view.get::<LaunchTemplate>(named.id.as_str())?;
        Some((template.id.clone(), template.version(&named.version)?.number))
    };
    let templates = templates(source).into_iter().filter_map(version).collect();
    let (configuration, types) = match source {
        LaunchSource::Template(_) => (None, None),
        LaunchSource::Configuration(name) => (Some(name.clone()), None),
        LaunchSource::Mixed(mixed) => (None, mixed.overrides.iter().map(|item| item.instance_type.clone()).collect()),
    };
    Wanted { templates, configuration, types: types.unwrap_or_default() }
}

fn matches(wanted: &Wanted, instance: &Instance) -> bool {
    let configuration = instance.membership.as_ref().and_then(|place| place.launch_configuration.as_deref());
    let instance_type = instance.instance_type.as_str();
    wanted.matches(&Launched { template: instance.launch_template.as_ref(), configuration, instance_type })
}

/// What a new refresh is to replace: the members' ids, and how much capacity
/// the working ones are.
pub fn to_replace(view: &View<'_>, refresh: &InstanceRefresh) -> (BTreeSet<InstanceId>, u32) {
    let source = refresh.desired.as_ref().unwrap_or(&refresh.previous);
    let wanted = refresh.preferences.skip_matching.then(|| wanted(view, source));
    let mut chosen = (BTreeSet::new(), 0);
    for instance in view.all::<Instance>() {
        let Some(place) = instance.membership.as_ref().filter(|place| place.group == refresh.group) else { continue };
        if wanted.as_ref().is_some_and(|wanted| matches(wanted, instance)) {
            continue;
        }
        match treatment(place.lifecycle, place.protected, &refresh.preferences) {
            Treatment::Replace | Treatment::Wait => chosen.1 += place.weight.max(1),
            Treatment::Terminate | Treatment::Pool => {}
            Treatment::Leave if place.lifecycle.is_terminating() => continue,
            // It is asked again while the refresh runs: protection may end.
            Treatment::Leave => {}
        }
        chosen.0.insert(instance.id.clone());
    }
    chosen
}

/// Turns a refresh round: what was launched since it began goes, unless it has
/// what the group had before.
pub fn roll_back(tx: &mut Tx<'_>, id: &str, reason: String) {
    let Some(refresh) = tx.get::<InstanceRefresh>(id) else { return };
    let before = wanted(&tx.view(), &refresh.previous);
    let mut remaining = BTreeSet::new();
    let mut units = 0;
    for instance in tx.all::<Instance>() {
        let Some(place) = instance.membership.as_ref().filter(|place| place.group == refresh.group) else { continue };
        let new = instance.launched_at >= refresh.requested_at && !refresh.remaining.contains(&instance.id);
        if new && !place.lifecycle.is_terminating() && !matches(&before, instance) {
            units += if place.lifecycle.is_warm() { 0 } else { place.weight.max(1) };
            remaining.insert(instance.id.clone());
        }
    }
    let now = tx.now;
    tx.update(id, |row: &mut InstanceRefresh| {
        row.status = RefreshStatus::RollbackInProgress;
        row.remaining = remaining;
        row.paused_until = None;
        row.stuck_since = Some(now);
        row.least = units;
        let (percentage, to_update) = (row.percentage, units);
        row.rollback = Some(Rollback { reason, started_at: now, percentage, to_update });
    });
}

/// Old refreshes are forgotten; the active one comes as far as it can.
pub(super) fn advance(tx: &mut Tx<'_>, name: &GroupName, members: &Members, traffic: &Traffic, wake: &mut Time) {
    forget(tx, name);
    let Some(refresh) = active(tx, name) else { return };
    let Some(group) = tx.get::<Group>(name.as_str()) else { return };
    let key = refresh.key();
    if group.deleting {
        return end(tx, &key, RefreshStatus::Cancelled, Some("The group is being deleted.".to_string()));
    }
    let there: BTreeSet<&InstanceId> = members.iter().filter(|one| stays(one)).map(|one| &one.id).collect();
    if refresh.remaining.iter().any(|id| !there.contains(id)) {
        tx.update(&key, |row: &mut InstanceRefresh| row.remaining.retain(|id| there.contains(id)));
    }
    for _ in 0..STEPS_MAX {
        let Some(refresh) = tx.get::<InstanceRefresh>(&key).filter(|row| row.status.is_active()) else { return };
        let facts = facts(tx, (&group, traffic), &refresh, members);
        let course = course(&refresh);
        note(tx, &refresh, &course, &facts);
        let reversible = irreversible(&tx.view(), refresh.desired.as_ref(), &refresh.previous).is_none();
        let step = course.next(&refresh.preferences, &facts, reversible, tx.now);
        if step == Step::Stay {
            if let Some(at) = course.wake(&refresh.preferences, tx.now) {
                wake_at(wake, at);
            }
            break;
        }
        take(tx, &refresh, &facts, step);
    }
    terminate_idle(tx, &key, members);
}

fn stays(instance: &Instance) -> bool {
    instance
        .membership
        .as_ref()
        .is_some_and(|place| !place.lifecycle.is_terminating() && place.lifecycle != LifecycleState::Detaching)
}

/// Of a group's refreshes those of the last six weeks are kept, the newest.
fn forget(tx: &mut Tx<'_>, name: &GroupName) {
    let rows = of_group(tx, name).filter(|row| !row.status.is_active());
    let mut ended: Vec<(Time, String)> = rows.map(|row| (row.requested_at, row.key())).collect();
    ended.sort();
    let many = ended.len().saturating_sub(HISTORY_MAX);
    let oldest = tx.now - HISTORY;
    for (_, id) in ended.iter().enumerate().filter(|(at, (time, _))| *at < many || *time < oldest).map(|(_, row)| row) {
        tx.delete::<InstanceRefresh>(id);
    }
}

fn course(refresh: &InstanceRefresh) -> Course {
    let started_at = refresh.started_at.unwrap_or(refresh.requested_at);
    Course {
        status: refresh.status,
        started_at,
        total: refresh.total,
        checkpoint: refresh.checkpoint,
        paused_until: refresh.paused_until,
        moved_at: refresh.stuck_since.unwrap_or(started_at),
        least: refresh.least,
        rollback: refresh.rollback.as_ref().map(|back| (back.percentage, back.to_update)),
        waits_for_transit: refresh.waits_for_transit,
    }
}

fn facts(tx: &Tx<'_>, (group, traffic): (&Group, &Traffic), refresh: &InstanceRefresh, members: &Members) -> Facts {
    let mut facts = Facts { alarm: alarm(tx, refresh), ..Facts::default() };
    let mut ready = 0;
    for instance in members {
        let Some(place) = &instance.membership else { continue };
        let weight = place.weight.max(1);
        let going = place.lifecycle.is_terminating() && place.lifecycle != LifecycleState::TerminatingRetained;
        facts.in_transit |= going || place.lifecycle.is_pending();
        let treated = treatment(place.lifecycle, place.protected, &refresh.preferences);
        let old = refresh.remaining.contains(&instance.id);
        match treated {
            Treatment::Replace | Treatment::Wait if old => {
                facts.old += weight;
                if treated == Treatment::Wait {
                    facts.obstacle = Some("instances are protected from scale in, or in standby");
                }
                continue;
            }
            Treatment::Pool if old => {
                facts.pool += 1;
                continue;
            }
            Treatment::Replace | Treatment::Wait | Treatment::Leave | Treatment::Terminate | Treatment::Pool => {}
        }
        facts.hooked |= place.lifecycle == LifecycleState::PendingWait;
        if place.lifecycle == LifecycleState::InService && place.unhealthy.is_none() {
            let checked = !group.checks_elb || super::view::checked(group, instance, traffic);
            let warm = !warming(place.in_service_since, refresh.preferences.warmup, tx.now);
            facts.warming |= checked && !warm;
            ready += if checked && warm { weight } else { 0 };
        }
    }
    facts.lacking = group.bounds.clamp(group.desired).saturating_sub(ready);
    let suspended = [Process::InstanceRefresh, Process::Launch, Process::Terminate];
    if suspended.into_iter().any(|process| group.suspends(process)) {
        facts.obstacle = Some("processes of the group are suspended");
    }
    facts
}

/// An alarm of the preferences that says ALARM.
fn alarm(tx: &Tx<'_>, refresh: &InstanceRefresh) -> Option<String> {
    let fires = |name: &&String| tx.get::<Alarm>(name).is_some_and(|alarm| alarm.state == AlarmState::Alarm);
    refresh.preferences.alarms.iter().find(fires).cloned()
}

/// What DescribeInstanceRefreshes shows of the progress.
fn note(tx: &mut Tx<'_>, refresh: &InstanceRefresh, course: &Course, facts: &Facts) {
    let (left, pool) = (facts.outstanding(), facts.pool);
    let percentage = course.percentage(facts);
    if (refresh.left, refresh.left_in_pool, refresh.percentage) != (left, pool, percentage) {
        tx.update(&refresh.key(), |row: &mut InstanceRefresh| {
            (row.left, row.left_in_pool, row.percentage) = (left, pool, percentage);
        });
    }
}

fn take(tx: &mut Tx<'_>, refresh: &InstanceRefresh, facts: &Facts, step: Step) {
    let (key, now) = (refresh.key(), tx.now);
    let id = key.as_str();
    match step {
        Step::Stay => {}
        Step::Begin => {
            tx.update(id, |row: &mut InstanceRefresh| {
                row.status = RefreshStatus::InProgress;
                row.started_at = Some(now);
                row.stuck_since = Some(now);
                row.least = row.total;
            });
            tell(tx, id, RefreshEvent::Started);
        }
        Step::Moved => {
            let left = facts.outstanding();
            tx.update(id, |row: &mut InstanceRefresh| (row.least, row.stuck_since) = (left, Some(now)));
        }
        Step::Forget { reached } => {
            let left = facts.outstanding();
            tx.update(id, |row: &mut InstanceRefresh| (row.checkpoint, row.least) = (reached, left));
        }
        Step::Checkpoint { percentage, pause } => {
            tx.update(id, |row: &mut InstanceRefresh| {
                row.checkpoint = Some(percentage);
                row.paused_until = (pause > Span::ZERO).then_some(now + pause);
            });
            tell(tx, id, RefreshEvent::Checkpoint { percentage, delay: pause });
        }
        Step::Resume => {
            tx.update(id, |row: &mut InstanceRefresh| (row.paused_until, row.stuck_since) = (None, Some(now)));
        }
        Step::Bake => {
            let until = now + refresh.preferences.bake;
            tx.update(id, |row: &mut InstanceRefresh| {
                (row.status, row.paused_until) = (RefreshStatus::Baking, Some(until));
            });
        }
        Step::Succeed => {
            if let Some(desired) = refresh.desired.clone() {
                tx.update(refresh.group.as_str(), |row: &mut Group| row.source = desired);
            }
            end(tx, id, RefreshStatus::Successful, None);
        }
        Step::Fail { reason } => end(tx, id, RefreshStatus::Failed, Some(reason)),
        Step::RollBack { reason } => roll_back(tx, id, reason),
        Step::Cancelled => end(tx, id, RefreshStatus::Cancelled, Some("Cancelled by a user.".to_string())),
        Step::RolledBack => end(tx, id, RefreshStatus::RollbackSuccessful, None),
        Step::RollbackFailed { reason } => end(tx, id, RefreshStatus::RollbackFailed, Some(reason)),
    }
}

fn end(tx: &mut Tx<'_>, id: &str, status: RefreshStatus, reason: Option<String>) {
    let now = tx.now;
    tx.update(id, |row: &mut InstanceRefresh| {
        row.status = status;
        row.ended_at = Some(now);
        row.paused_until = None;
        row.reason = reason.or(row.reason.take());
    });
    let event = match status {
        RefreshStatus::Successful => RefreshEvent::Succeeded,
        RefreshStatus::Cancelled => RefreshEvent::Cancelled,
        _ => RefreshEvent::Failed,
    };
    tell(tx, id, event);
}

fn tell(tx: &mut Tx<'_>, id: &str, event: RefreshEvent) {
    if let Some(refresh) = tx.get::<InstanceRefresh>(id) {
        notifications::refresh(tx, &refresh, event);
    }
}

/// Standby instances that are to go, at once; those of the warm pool once
/// nothing else is left, as they serve nobody.
fn terminate_idle(tx: &mut Tx<'_>, id: &str, members: &Members) {
    let Some(refresh) = tx.get::<InstanceRefresh>(id) else { return };
    let rolling = refresh.status == RefreshStatus::InProgress && refresh.paused_until.is_none();
    if !rolling && refresh.status != RefreshStatus::RollbackInProgress {
        return;
    }
    for instance in members.iter().filter(|one| refresh.remaining.contains(&one.id)) {
        let Some(place) = &instance.membership else { continue };
        let goes = match treatment(place.lifecycle, place.protected, &refresh.preferences) {
            Treatment::Terminate => true,
            Treatment::Pool => refresh.left == 0,
            Treatment::Replace | Treatment::Wait | Treatment::Leave => false,
        };
        if goes {
            begin_termination(tx, &instance.id, &Why::RefreshReplaced, None);
        }
    }
}

/// What the active refresh wants of the plan.
pub(super) fn refresh_view(tx: &Tx<'_>, group: &Group, members: &Members) -> Option<RefreshView> {
    let refresh = active(tx, &group.name).filter(|row| row.status != RefreshStatus::Cancelling)?;
    let mut old = BTreeSet::new();
    let mut units = 0;
    for instance in members.iter().filter(|one| refresh.remaining.contains(&one.id)) {
        let Some(place) = &instance.membership else { continue };
        match treatment(place.lifecycle, place.protected, &refresh.preferences) {
            Treatment::Replace if place.lifecycle.counts_as_capacity() => {
                old.insert(instance.id.clone());
            }
            Treatment::Wait => {}
            Treatment::Replace | Treatment::Terminate | Treatment::Pool | Treatment::Leave => continue,
        }
        units += place.weight.max(1);
    }
    let ignored = tx.config.plant == Some(Plant::RefreshMinimumIgnored);
    Some(RefreshView {
        old,
        limit: course(&refresh).limit(&refresh.preferences, units),
        min_percent: if ignored { 0 } else { refresh.preferences.min_percent },
        max_percent: refresh.preferences.max_percent,
        warmup: refresh.preferences.warmup,
    })
}
