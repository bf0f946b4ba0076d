//! What a round costs in a large region. Run it with
//! `cargo test -p elastane-engine --release -- --ignored --nocapture`.

use super::*;
use std::time::Instant;

/// Times one round, and says what it was.
#[expect(clippy::disallowed_methods, reason = "it measures; no decision depends on it")]
fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    println!("{what}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    result
}

/// A thousand groups of ten instances in one scope, all behind one target
/// group; and parts of it, to see how the cost grows.
#[test]
#[ignore = "it measures, and asserts nothing about time"]
fn rounds_of_a_large_region() {
    for groups in [125, 250, 500, 1_000] {
        rounds_with(groups);
    }
}

fn rounds_with(groups: usize) {
    println!("{groups} groups of 10 instances");
    let mut rig = Rig::new();
    rig.target_group();
    for number in 0..groups {
        rig.group(&format!("g{number:04}"), (0, 20), 10, |group| {
            group.target_groups.push(TargetGroupArn::from(TARGET_GROUP));
        });
    }
    timed("launching all instances", || rig.pass(Span::ZERO));
    assert_eq!(rig.all::<Instance>().len(), 10 * groups);
    timed("all targets become healthy", || rig.all_healthy());
    for _ in 0..3 {
        rig.now += Span::from_secs(30);
        timed("a round with nothing to do", || rig.tell(Vec::new()));
    }
    let instance = rig.members("g0100")[0].clone();
    let fact = HostFact::Exited { instance: instance.id.clone(), generation: instance.generation };
    timed("a round in which one instance died", || rig.tell(vec![Fact::Host(fact)]));
    timed("a round after a change of one group", || {
        rig.tx(|tx| tx.update("g0001", |group: &mut Group| group.desired = 11));
        rig.tell(Vec::new())
    });
    let mut samples = Vec::new();
    for row in rig.all::<Instance>() {
        samples.push(crate::telemetry::CpuSample { instance: row.id.clone(), percent: 50.0 });
    }
    for _ in 0..2 {
        rig.now += Span::from_mins(1);
        let at = rig.now;
        timed("a minute's CPU samples", || rig.tell(vec![Fact::Cpu { at, samples: samples.clone() }]));
    }
}
