//! Rules that hold for every group, tried on thousands of random ones.

use super::tests::{group, member};
use super::*;
use crate::mixed::{Distribution, OnDemandStrategy, SpotStrategy, on_demand_units};
use std::collections::{BTreeMap, BTreeSet};

const NOW: Time = Time(1_767_261_600_000);

/// Enough for each kind of group to come up dozens of times; takes well under a second.
const GROUPS: u64 = 4_000;

/// An xorshift generator: the same groups in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

fn random_member(random: &mut Random, index: u64) -> Member {
    let zone = ["a", "b", "c", "d"][random.below(4) as usize];
    let lifecycle = match random.below(6) {
        0 => LifecycleState::Pending,
        1 => LifecycleState::Terminating,
        _ => LifecycleState::InService,
    };
    let age = Span::from_secs(random.below(8_000) as i64);
    Member {
        lifecycle,
        in_service_since: (lifecycle != LifecycleState::Pending).then_some(NOW - age),
        launched_at: NOW - age,
        protected: random.one_in(4),
        ec2: if random.one_in(12) { InstanceState::Terminated } else { InstanceState::Running },
        elb: Some(!random.one_in(8)),
        checked: !random.one_in(10),
        launch_template_version: Some(("lt-1".into(), random.below(3))),
        market: if random.one_in(3) { Market::Spot } else { Market::OnDemand },
        at_risk: random.one_in(15),
        ..member(&format!("i-{index}"), zone)
    }
}

fn random_group(random: &mut Random) -> GroupView {
    let min = random.below(6) as u32;
    let max = min + random.below(25) as u32;
    let number = random.below(30);
    let members = (0..number).map(|index| random_member(random, index)).collect();
    let mut view = group(min + random.below(u64::from(max - min) + 1) as u32, members);
    view.bounds = Bounds { min, max };
    view.zones = ["a", "b", "c"][..1 + random.below(3) as usize].iter().map(|zone| (*zone).into()).collect();
    view.health_grace = Span::from_secs(random.below(600) as i64);
    view.default_instance_warmup = random.one_in(3).then_some(Span::from_secs(120));
    if random.one_in(10) {
        view.launch_backoff_until = Some(NOW + Span::from_mins(5));
    }
    if random.one_in(3) {
        let first = TerminationPolicy::ALL[random.below(7) as usize];
        view.termination_policies = vec![first, TerminationPolicy::Default];
    }
    view.deleting = random.one_in(20);
    vary(&mut view, random);
    view
}

/// Sometimes a maintenance policy, a lifetime, a refresh, weights, a distribution.
fn vary(view: &mut GroupView, random: &mut Random) {
    if random.one_in(4) {
        view.heaviest = 4;
        for member in &mut view.members {
            member.weight = 1 + random.below(4) as u32;
        }
    } else if random.one_in(4) {
        view.distribution = Some(Distribution {
            on_demand_strategy: OnDemandStrategy::Prioritized,
            on_demand_base: random.below(4) as u32,
            on_demand_percent: random.below(101) as u32,
            spot_strategy: SpotStrategy::LowestPrice,
            spot_pools: 2,
            spot_max_price: None,
        });
    }
    if random.one_in(3) {
        let min_percent = random.below(101) as u32;
        let max_percent = 100 + random.below(u64::from(min_percent) + 1) as u32;
        view.maintenance = Some(Maintenance { min_percent, max_percent });
    }
    if random.one_in(5) {
        // Longer than settling takes, or nothing would ever rest.
        view.max_lifetime = Some(Span::from_mins(60 * 24));
        for member in view.members.iter_mut().filter(|_| random.one_in(4)) {
            member.launched_at = NOW - Span::from_mins(60 * 24);
        }
    }
    if random.one_in(4) {
        let old = view.members.iter().filter(|_| !random.one_in(3)).map(|member| member.instance.clone()).collect();
        view.refresh = Some(RefreshView {
            old,
            limit: u32::MAX,
            min_percent: random.below(101) as u32,
            max_percent: random.one_in(2).then_some(100 + random.below(50) as u32),
            warmup: Span::from_secs(random.below(200) as i64),
        });
    }
}

fn mark(view: &mut GroupView, now: Time) {
    for (instance, cause) in examine(view, now) {
        let member = view.members.iter_mut().find(|member| member.instance == instance).expect("a member");
        member.marked_unhealthy = Some(cause);
    }
}

fn counted(view: &GroupView) -> u32 {
    view.capacity()
}

fn launches(plan: &Plan) -> u32 {
    plan.actions.iter().filter(|action| matches!(action, Action::Launch { .. })).count() as u32
}

fn terminated<'a>(view: &'a GroupView, plan: &'a Plan) -> Vec<(&'a Member, &'a Why)> {
    let find =
        |instance: &InstanceId| view.members.iter().find(|member| member.instance == *instance).expect("a member");
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::Terminate { instance, why } => Some((find(instance), why)),
            Action::Launch { .. } => None,
        })
        .collect()
}

/// Does what the plan says; new members get the next names. With weights each
/// is of the heaviest, and what one is too much the next launches less.
fn carry_out(view: &mut GroupView, plan: &Plan, now: Time, names: &mut u64) {
    let mut credit = 0;
    for action in &plan.actions {
        match action {
            Action::Launch { .. } if credit > 0 => credit -= 1,
            Action::Launch { zone, .. } => {
                *names += 1;
                credit = view.heaviest - 1;
                let new = member(&format!("i-new-{names}"), zone.as_str());
                view.members.push(Member {
                    lifecycle: LifecycleState::Pending,
                    in_service_since: None,
                    launched_at: now,
                    ec2: InstanceState::Pending,
                    weight: view.heaviest,
                    market: next_market(view),
                    ..new
                });
            }
            Action::Terminate { instance, .. } => {
                let member = view.members.iter_mut().find(|member| member.instance == *instance).expect("a member");
                assert!(member.lifecycle.counts_as_capacity(), "{instance} was leaving already");
                member.lifecycle = LifecycleState::Terminating;
            }
        }
    }
}

/// How one more instance is bought.
fn next_market(view: &GroupView) -> Market {
    let on_demand = view.counted().filter(|member| member.market == Market::OnDemand).count() as u32;
    let wanted = view.distribution.as_ref().map(|distribution| on_demand_units(distribution, view.capacity() + 1));
    if wanted.is_none_or(|wanted| on_demand < wanted) { Market::OnDemand } else { Market::Spot }
}

/// Time passes: what was launched comes into service, what was terminated is gone.
fn settle(view: &mut GroupView, now: Time) {
    view.members.retain(|member| member.lifecycle.counts_as_capacity());
    if let Some(refresh) = &mut view.refresh {
        refresh.old.retain(|instance| view.members.iter().any(|member| member.instance == *instance));
        if refresh.old.is_empty() {
            view.refresh = None;
        }
    }
    for member in &mut view.members {
        member.checked = true;
    }
    for member in view.members.iter_mut().filter(|member| member.lifecycle == LifecycleState::Pending) {
        if !member.ec2.has_left_running() {
            member.lifecycle = LifecycleState::InService;
            member.in_service_since = Some(now);
            member.ec2 = InstanceState::Running;
            member.elb = Some(true);
        }
    }
}

/// How far apart the enabled zones are.
fn imbalance(view: &GroupView) -> u32 {
    let mut zones: BTreeMap<&Zone, u32> = view.zones.iter().map(|zone| (zone, 0)).collect();
    for member in view.counted() {
        zones.entry(&member.zone).and_modify(|count| *count += member.weight);
    }
    zones.values().max().copied().unwrap_or(0) - zones.values().min().copied().unwrap_or(0)
}

/// How far above MaxSize the launches of a plan may lead: a tenth of it or
/// one for balance, what the percentages say for replacing, or one.
fn above(view: &GroupView, plan: &Plan) -> u32 {
    let first = |action: &Action| match action {
        Action::Launch { why, .. } => Some(why.clone()),
        Action::Terminate { .. } => None,
    };
    let percent = view.maintenance.map(|policy| policy.max_percent);
    let percent = match plan.actions.iter().find_map(first) {
        Some(Why::Rebalance | Why::CapacityRebalance) => Some(percent.unwrap_or(110)),
        Some(Why::Refresh) => view.refresh.as_ref().and_then(|refresh| refresh.max_percent),
        Some(_) => percent,
        None => None,
    };
    percent.map_or(0, |percent| (view.bounds.max * (percent - 100) / 100).max(view.heaviest))
}

/// A plan never leads above max (balancing zones: max and a tenth or one), takes no more than is
/// surplus or unhealthy, takes each instance once, and takes no protected one for a scale-in.
#[test]
fn one_plan_keeps_the_rules() {
    let mut random = Random(0x9e37_79b9);
    for round in 0..GROUPS {
        let mut view = random_group(&mut random);
        mark(&mut view, NOW);
        let plan = plan(&view, NOW, random.below(u64::MAX));
        let (before, launched, gone) = (counted(&view), launches(&plan), terminated(&view, &plan));
        let after = before + launched - gone.iter().map(|(member, _)| member.weight).sum::<u32>();
        let max = if view.deleting { 0 } else { view.bounds.max };
        let above = above(&view, &plan);
        assert!(launched == 0 || after <= (max + above).max(before), "round {round}: {plan:?}");
        assert!(launched <= LAUNCH_BATCH_MAX);
        if view.launch_backoff_until.is_some() {
            assert_eq!(launched, 0, "round {round}");
        }
        let names: BTreeSet<&InstanceId> = gone.iter().map(|(member, _)| &member.instance).collect();
        assert_eq!(names.len(), gone.len(), "round {round}: twice the same");
        for (member, why) in &gone {
            assert!(member.lifecycle.counts_as_capacity());
            match why {
                Why::AboveDesired { .. } => {
                    assert!(!member.protected && member.marked_unhealthy.is_none(), "round {round}");
                    assert!(after >= view.wanted(), "round {round}: below desired");
                }
                Why::Unhealthy(cause) => assert_eq!(member.marked_unhealthy, Some(*cause)),
                Why::GroupDeleted { .. } => assert!(view.deleting),
                Why::RefreshReplaced => {
                    assert!(view.refresh.as_ref().is_some_and(|refresh| refresh.old.contains(&member.instance)));
                }
                Why::AtRisk => assert!(member.at_risk),
                Why::RebalanceOut => assert!(view.maintenance.is_some() && !member.protected),
                Why::Lifetime => {
                    let most = view.max_lifetime.expect("there is one");
                    assert!(NOW >= member.launched_at + most && !member.protected, "round {round}");
                }
                other => panic!("round {round}: {other:?} terminates"),
            }
        }
        for action in &plan.actions {
            if let Action::Launch { zone, .. } = action {
                assert!(view.zones.contains(zone), "round {round}: {zone} is not enabled");
            }
        }
    }
}

/// The same view, time and draw give the same plan.
#[test]
fn plans_are_deterministic() {
    let mut random = Random(77);
    for draw in 0..200 {
        let view = random_group(&mut random);
        assert_eq!(plan(&view, NOW, draw), plan(&view.clone(), NOW, draw));
    }
}

/// Carrying out plans leads to rest: the wanted number of healthy instances (more only if they
/// are protected), balanced zones where instances may move, and then nothing more to do.
#[test]
fn plans_converge() {
    let mut random = Random(0xdead_beef);
    for round in 0..GROUPS / 4 {
        let mut view = random_group(&mut random);
        let (mut now, mut names) = (NOW, 0);
        let mut quiet = 0;
        for _ in 0..400 {
            mark(&mut view, now);
            let plan = plan(&view, now, random.below(u64::MAX));
            carry_out(&mut view, &plan, now, &mut names);
            settle(&mut view, now);
            now += Span::from_secs(60);
            quiet = if plan.actions.is_empty() { quiet + 1 } else { 0 };
            // Longer than any grace period, warm-up and back-off.
            if quiet > 15 {
                break;
            }
        }
        assert!(quiet > 15, "round {round} never rests: {view:?}");
        let protected = units(view.counted().filter(|member| member.protected));
        let most = if view.deleting { 0 } else { (view.wanted() + view.heaviest - 1).max(protected) };
        assert!((view.wanted()..=most).contains(&counted(&view)), "round {round}: {view:?}");
        assert!(view.counted().all(|member| member.marked_unhealthy.is_none()), "round {round}");
        assert!(view.deleting || view.refresh.is_none(), "round {round}: the refresh does not end");
        assert!(view.counted().all(|member| !member.at_risk), "round {round}: {view:?}");
        if protected == 0 {
            // Weights that do not fit, and purchase options, may keep zones apart.
            let loose = view.heaviest > 1 && counted(&view) != view.wanted() || view.distribution.is_some();
            let apart = if loose { u32::MAX } else { view.heaviest };
            assert!(imbalance(&view) <= apart, "round {round}: {view:?}");
            let kept = view.heaviest > 1 || view.counted().all(|member| view.zones.contains(&member.zone));
            assert!(kept, "round {round}");
            if let Some(distribution) = view.distribution.as_ref().filter(|_| !view.deleting) {
                let on_demand = view.counted().filter(|member| member.market == Market::OnDemand).count() as u32;
                assert_eq!(on_demand, on_demand_units(distribution, view.wanted()), "round {round}");
            }
        }
    }
}

/// A balanced group stays balanced when it grows and when it shrinks.
#[test]
fn scaling_keeps_zones_balanced() {
    let mut random = Random(5);
    for round in 0..GROUPS {
        let mut view = group(0, Vec::new());
        view.bounds.max = 60;
        view.zones = ["a", "b", "c"][..1 + random.below(3) as usize].iter().map(|zone| (*zone).into()).collect();
        let mut names = 0;
        for _ in 0..4 {
            view.desired = random.below(60) as u32;
            let plan = plan(&view, NOW, random.below(u64::MAX));
            carry_out(&mut view, &plan, NOW, &mut names);
            settle(&mut view, NOW);
            assert_eq!(counted(&view), view.desired, "round {round}");
            assert!(imbalance(&view) <= 1, "round {round}: {view:?}");
        }
    }
}
