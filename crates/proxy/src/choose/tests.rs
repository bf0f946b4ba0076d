//! How often each target is chosen, request after request.

use super::*;
use crate::local::Local;
use crate::log::LogSink;
use crate::registry::Registry;
use elastane_domain::choice::{SlowStart, scramble};
use elastane_domain::routing::{Admission, Minimum, Snapshot, Target, TargetHealth, UnhealthyReason};
use elastane_domain::time::Span;

const NOW: Time = Time(1_000_000);

/// A group of targets in zones 0, 1, 2, 0, … as one thread knows it; one
/// letter a target: h(ealthy), u(nhealthy), i(nitial).
struct Rig {
    group: Rc<GroupLocal>,
    zones: Vec<ZoneId>,
}

impl Rig {
    fn new(letters: &str, configure: impl FnOnce(&mut TargetGroup)) -> Rig {
        let target = |(index, _): (usize, char)| Target {
            instance: None,
            address: SocketAddrV4::new([10, 0, (index / 250) as u8, (index % 250) as u8].into(), 80),
            vpc: None,
            source: None,
            zone: Some(["a", "b", "c"][index % 3].into()),
            admission: Admission::Registered,
        };
        let targets = letters.chars().enumerate().map(target).collect();
        let mut config = TargetGroup::http("arn:group".into(), targets);
        configure(&mut config);
        let snapshot = Snapshot { target_groups: vec![Arc::new(config)], ..Snapshot::default() };
        let (table, _, _) = Registry::new(1).apply(&snapshot);
        let (logs, _) = LogSink::start(None, Arc::new(crate::clock::WallClock)).unwrap();
        let mut local = Local::new(logs);
        local.apply(&table, 0);
        let group = local.groups[&snapshot.target_groups[0].arn].clone();
        for (target, letter) in group.targets.iter().zip(letters.chars()) {
            target.state.set_health(match letter {
                'h' => TargetHealth::Healthy,
                'u' => TargetHealth::Unhealthy(UnhealthyReason::Timeout),
                _ => TargetHealth::Initial,
            });
        }
        let zones = group.targets.iter().filter_map(|target| target.state.zone.zone_id).collect();
        Rig { group, zones }
    }

    fn ask(&self, change: impl FnOnce(&mut Ask)) -> Option<Choice> {
        let mut ask = Ask { zone: self.zones[0], now: NOW, draw: 0, avoid: None, sticky: None };
        change(&mut ask);
        self.group.choose(&ask)
    }

    fn place_of(&self, choice: &Choice) -> usize {
        self.group.targets.iter().position(|target| Rc::ptr_eq(target, &choice.target)).unwrap()
    }

    /// How often each target is chosen of so many requests.
    fn shares(&self, requests: u64, now: Time) -> Vec<u64> {
        let mut shares = vec![0; self.group.targets.len()];
        for request in 0..requests {
            let choice = self.ask(|ask| (ask.now, ask.draw) = (now, scramble(request))).unwrap();
            shares[self.place_of(&choice)] += 1;
        }
        shares
    }
}

/// Each healthy target in turn; unhealthy ones are followed at once.
#[test]
fn alb_3_2_round_robin_of_a_group() {
    let rig = Rig::new("huhh", |_| {});
    assert_eq!(rig.shares(30, NOW), [10, 0, 10, 10]);
    rig.group.targets[1].state.set_health(TargetHealth::Healthy);
    assert_eq!(rig.shares(40, NOW), [10; 4]);
}

/// Fail open counts, and the minimum is the group's.
#[test]
fn alb_3_2_fail_open_of_a_group() {
    let rig = Rig::new("hhu", |group| group.routing_minimum = Minimum { count: Some(3), percent: None });
    assert!(rig.ask(|_| {}).unwrap().fail_open);
    assert_eq!(rig.shares(30, NOW), [10; 3]);
    rig.group.targets[2].state.set_health(TargetHealth::Healthy);
    assert!(!rig.ask(|_| {}).unwrap().fail_open);
    assert!(Rig::new("hu", |_| {}).ask(|_| {}).is_some());
}

/// Without cross-zone each node has its own targets and its own turn.
#[test]
fn alb_3_2_cross_zone_off_of_a_group() {
    let rig = Rig::new("hhhhh", |group| group.cross_zone = false);
    let next = |zone: usize| rig.place_of(&rig.ask(|ask| ask.zone = rig.zones[zone]).unwrap());
    let both: Vec<(usize, usize)> = (0..4).map(|_| (next(0), next(1))).collect();
    assert_eq!(both, [(0, 1), (3, 4), (0, 1), (3, 4)]);
    assert_eq!((next(2), next(2)), (2, 2));
}

/// The avoided target is not chosen while there is another one.
#[test]
fn the_avoided_target_is_not_chosen() {
    let rig = Rig::new("hhh", |_| {});
    let id = rig.group.targets[1].state.id;
    for _ in 0..6 {
        assert_ne!(rig.ask(|ask| ask.avoid = Some(id)).unwrap().target.state.id, id);
    }
    let alone = Rig::new("h", |_| {});
    let id = alone.group.targets[0].state.id;
    assert_eq!(alone.ask(|ask| ask.avoid = Some(id)).unwrap().target.state.id, id);
}

/// Rule 2 and 3 of alb.md 4: a named target is used while it is a candidate.
#[test]
fn alb_4_2_named_targets() {
    let rig = Rig::new("hhuh", |_| {});
    for _ in 0..3 {
        let choice = rig.ask(|ask| ask.sticky = Some(3)).unwrap();
        assert_eq!((rig.place_of(&choice), choice.stuck), (3, true));
    }
    assert!(!rig.ask(|ask| ask.sticky = Some(2)).unwrap().stuck, "unhealthy");
    rig.group.targets[3].admission.set(Admission::Draining { until: NOW });
    rig.group.refresh();
    assert!(!rig.ask(|ask| ask.sticky = Some(3)).unwrap().stuck, "draining");
}

/// The share of a target in slow start grows; the others take what it is spared.
#[test]
fn alb_3_3_slow_start_of_a_group() {
    let rig = Rig::new("hhhh", |_| {});
    let duration = Span::from_secs(100);
    rig.group.targets[2].state.set_slow_start(Some(SlowStart { since: NOW, duration }));
    for (percent, least, most) in [(0, 0, 0), (25, 500, 750), (50, 1_100, 1_400), (100, 2_500, 2_500)] {
        let shares = rig.shares(10_000, NOW + Span::from_secs(percent));
        assert!((least..=most).contains(&shares[2]), "{percent} %: {shares:?}");
        let others: Vec<u64> = [0, 1, 3].map(|place| shares[place]).into();
        assert!(others.iter().max().unwrap() - others.iter().min().unwrap() <= 2, "{shares:?}");
    }
    for target in &rig.group.targets {
        target.state.set_slow_start(Some(SlowStart { since: NOW, duration }));
    }
    assert_eq!(rig.shares(40, NOW), [10; 4], "nobody is left to take more");
}

/// Weighted random: the same chance for all, less for a mitigated target.
#[test]
fn alb_3_4_weighted_random_of_a_group() {
    let rig = Rig::new("hhhh", |group| group.algorithm = Algorithm::WeightedRandom { mitigate: true });
    assert!(rig.shares(8_000, NOW).iter().all(|share| (1_800..2_200).contains(share)));
    rig.group.targets[1].state.set_weight(500);
    let shares = rig.shares(7_000, NOW);
    assert!((900..1_100).contains(&shares[1]) && shares[0] > 1_800, "{shares:?}");
}

/// The least loaded target gets the request.
#[test]
fn alb_3_2_least_outstanding_of_a_group() {
    let rig = Rig::new("hhh", |group| group.algorithm = Algorithm::LeastOutstandingRequests);
    rig.group.targets[0].state.ledger.enter(0);
    rig.group.targets[1].state.ledger.enter(0);
    assert_eq!(rig.shares(10, NOW), [0, 0, 10]);
}
