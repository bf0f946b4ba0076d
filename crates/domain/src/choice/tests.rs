//! Tables and properties of the choice of targets.

use super::*;
use crate::routing::UnhealthyReason;
use crate::time::Time;

fn view(letter: char) -> TargetView {
    let (admission, health) = match letter.to_ascii_lowercase() {
        'h' => (Admission::Registered, TargetHealth::Healthy),
        'u' => (Admission::Registered, TargetHealth::Unhealthy(UnhealthyReason::Timeout)),
        'i' => (Admission::Registered, TargetHealth::Initial),
        'd' => (Admission::Draining { until: Time(0) }, TargetHealth::Healthy),
        _ => (Admission::Unused, TargetHealth::Healthy),
    };
    TargetView::anywhere(admission, health)
}

/// One letter a target: h(ealthy), u(nhealthy), i(nitial), d(raining), x
/// (unused); upper case: traffic was shifted away from its zone.
fn views(text: &str) -> Vec<TargetView> {
    text.chars().map(|letter| TargetView { shifted_away: letter.is_ascii_uppercase(), ..view(letter) }).collect()
}

fn minimum(count: u32, percent: u32) -> Minimum {
    Minimum { count: Some(count), percent: (percent > 0).then_some(percent) }
}

/// The candidate set of alb.md 3.2, as targets against indices.
#[test]
fn alb_3_2_candidates() {
    for (targets, want, fail_open) in [
        ("hhh", vec![0, 1, 2], false),
        ("uhidx", vec![1], false),
        ("uiu", vec![0, 2], true),
        ("idx", vec![0], true),
        ("dx", vec![], false),
        ("", vec![], false),
    ] {
        let got = candidates(&views(targets), None, Minimum::default());
        assert_eq!((got.targets, got.fail_open), (want, fail_open), "{targets}");
    }
}

/// `unhealthy_state_routing`: either number breached means all targets.
#[test]
fn alb_3_2_routing_minimum() {
    for (targets, count, percent, want, fail_open) in [
        ("hhuu", 2, 0, vec![0, 1], false),
        ("hhuu", 3, 0, vec![0, 1, 2, 3], true),
        ("hhuu", 1, 50, vec![0, 1], false),
        ("hhuu", 1, 51, vec![0, 1, 2, 3], true),
        ("hhui", 3, 0, vec![0, 1, 2], true),
        ("hhdx", 1, 100, vec![0, 1], false),
        ("hhi", 1, 100, vec![0, 1], true),
    ] {
        let got = candidates(&views(targets), None, minimum(count, percent));
        assert_eq!((got.targets, got.fail_open), (want, fail_open), "{targets} {count} {percent}");
    }
}

/// Without cross-zone a node sees its own zone and what every zone uses.
#[test]
fn alb_3_2_cross_zone_off() {
    let at = |letter, zone| TargetView { zone, ..view(letter) };
    let targets = [at('h', Some(0)), at('u', Some(1)), at('h', None), at('h', Some(2)), at('u', Some(1))];
    for (node, want) in [(None, vec![0, 2, 3]), (Some(0), vec![0, 2]), (Some(1), vec![2]), (Some(9), vec![2])] {
        let got = candidates(&targets, node, Minimum::default());
        assert_eq!((got.targets, got.fail_open), (want, false), "{node:?}");
    }
    let alone = candidates(&targets[1..2], Some(1), Minimum::default());
    assert_eq!((alone.targets, alone.fail_open), (vec![0], true));
    assert!(candidates(&targets[..1], Some(1), Minimum::default()).targets.is_empty());
}

/// A zone that traffic was shifted away from gets nothing while others can take it.
#[test]
fn alb_5_3_zonal_shift() {
    for (targets, want, fail_open) in
        [("hHh", vec![0, 2], false), ("HH", vec![0, 1], false), ("uH", vec![0], true), ("iH", vec![1], false)]
    {
        let got = candidates(&views(targets), None, Minimum::default());
        assert_eq!((got.targets, got.fail_open), (want, fail_open), "{targets}");
    }
}

/// Whatever the targets: candidates are registered ones, and there are some
/// whenever a target is registered.
#[test]
fn alb_3_2_candidates_properties() {
    let letters = ['h', 'u', 'i', 'd', 'x', 'H', 'U'];
    for code in 0..letters.len().pow(4) {
        let text: String = (0..4).map(|place| letters[code / letters.len().pow(place) % letters.len()]).collect();
        for floor in [minimum(1, 0), minimum(2, 0), minimum(1, 60)] {
            let targets = views(&text);
            let got = candidates(&targets, None, floor);
            assert!(got.targets.iter().all(|&index| targets[index].admission == Admission::Registered), "{text}");
            let registered = targets.iter().any(|target| target.admission == Admission::Registered);
            assert_eq!(!got.targets.is_empty(), registered, "{text}");
            let healthy_only = got.targets.iter().all(|&index| targets[index].health == TargetHealth::Healthy);
            assert!(got.fail_open || healthy_only, "{text}");
        }
    }
}

/// Round robin visits each candidate in turn; nothing comes from nothing.
#[test]
fn alb_3_2_round_robin() {
    let order: Vec<_> = (0..5).map(|cursor| round_robin(3, cursor)).collect();
    assert_eq!(order, [0, 1, 2, 0, 1].map(Some));
    assert_eq!(round_robin(0, 7), None);
}

/// The least loaded wins; equals take turns.
#[test]
fn alb_3_2_least_outstanding_requests() {
    for (loads, cursor, want) in
        [(&[3, 1, 2][..], 0, Some(1)), (&[0, 0, 0], 1, Some(1)), (&[0, 5, 0], 1, Some(2)), (&[], 0, None)]
    {
        assert_eq!(least_outstanding(loads.len(), cursor, 7, |index| loads[index]), want, "{loads:?} {cursor}");
    }
}

/// Of many candidates a loaded one is not chosen when the sample has another;
/// all are looked at sooner or later.
#[test]
fn alb_3_2_least_outstanding_of_many() {
    let mut loads = vec![0; 1000];
    for draw in 0..20_000 {
        let index = least_outstanding(loads.len(), draw, scramble(draw), |index| loads[index]).unwrap();
        loads[index] += 1;
    }
    let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
    assert!(*least >= 15 && *most <= 25, "{least} {most}");
}

/// Each weight gets exactly its share of all draws; zero weights get none.
#[test]
fn alb_2_2_weights() {
    let mut hits = [0; 4];
    for draw in 0..60 {
        hits[weighted(&[1, 0, 3, 2], draw).unwrap()] += 1;
    }
    assert_eq!(hits, [10, 0, 30, 20]);
    assert_eq!(weighted(&[0, 0], 3), None);
    assert_eq!(weighted(&[], 3), None);
}

/// Summed weights give the same shares.
#[test]
fn alb_3_4_shares() {
    let shares = Shares::new([1, 0, 3, 2].into_iter());
    let mut hits = [0; 4];
    for step in 0..6_000u64 {
        hits[shares.pick(step * (u64::MAX / 6_000)).unwrap()] += 1;
    }
    assert!(
        hits[1] == 0 && hits.iter().zip([1000, 0, 3000, 2000]).all(|(got, want): (&i32, i32)| (got - want).abs() < 3)
    );
    assert_eq!(Shares::new([0, 0].into_iter()).pick(5), None);
    assert_eq!(Shares::default().pick(5), None);
}

/// Draws spread evenly, hashes of flows too, and both stay in range.
#[test]
fn alb_3_2_uniform() {
    assert_eq!((uniform(3, 0), uniform(3, u64::MAX), uniform(0, 5)), (Some(0), Some(2), None));
    let mut hits = [0; 10];
    for flow in 0..10_000 {
        hits[by_hash(10, flow).unwrap()] += 1;
    }
    assert!(hits.iter().all(|count| (800..1200).contains(count)), "{hits:?}");
}

/// Zones leave DNS when they are sick or shifted away, never the last ones.
#[test]
fn alb_5_3_zones_in_dns() {
    for (zones, want) in
        [("hh", "yy"), ("hu", "yn"), ("uu", "yy"), ("hH", "yn"), ("HH", "yy"), ("uH", "ny"), ("UU", "yy"), ("", "")]
    {
        let letters: Vec<char> = zones.chars().collect();
        let healthy = |letter: &char| letter.eq_ignore_ascii_case(&'h');
        let got = zones_in_dns(&letters, healthy, |letter| letter.is_ascii_uppercase());
        let got: String = got.into_iter().map(|stays| if stays { 'y' } else { 'n' }).collect();
        assert_eq!(got, want, "{zones}");
    }
}
