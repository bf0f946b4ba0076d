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

/// More than processors keep at hand.
const MEMORY: usize = 256 << 20;

/// Leaves processors with nothing at hand of what was used before, as is so
/// when other work comes between two rounds.
fn use_other_memory(memory: &mut [u64]) {
    memory.iter_mut().for_each(|word| *word = word.wrapping_add(1));
    std::hint::black_box(memory);
}

/// A thousand groups of ten instances in a region, all behind one target group;
/// parts of it and several such regions, to see how the cost grows: rounds next
/// to each other, and with other work in between, as they come in a daemon.
#[test]
#[ignore = "it measures, and asserts nothing about time"]
fn rounds_of_large_regions() {
    for groups in [125, 250, 500, 1_000] {
        rounds_with(&REGIONS[..1], groups);
    }
    for regions in [2, 4] {
        rounds_with(&REGIONS[..regions], 1_000);
    }
}

const REGIONS: [&str; 4] = ["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2"];

fn rounds_with(regions: &[&str], groups: usize) {
    println!("{} region(s) with {groups} groups of 10 instances", regions.len());
    let mut rig = Rig::new();
    for region in regions {
        rig.scope = Scope::new("000000000000", region);
        make(&mut rig, groups);
        timed("launching all instances", || rig.pass(Span::ZERO));
        assert_eq!(rig.all::<Instance>().len(), 10 * groups);
        timed("all targets become healthy", || rig.all_healthy());
    }
    for _ in 0..3 {
        rig.now += Span::from_secs(30);
        timed("a round with nothing to do", || rig.tell(Vec::new()));
    }
    let mut memory = vec![0; MEMORY / size_of::<u64>()];
    for _ in 0..3 {
        rig.now += Span::from_secs(30);
        use_other_memory(&mut memory);
        timed("a round with nothing to do, after other work", || rig.tell(Vec::new()));
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

/// Groups of a region, with what they are launched from and registered in.
fn make(rig: &mut Rig, groups: usize) {
    let region = rig.scope.region.clone();
    let targets = TargetGroupArn::from(TARGET_GROUP.replace("us-east-1", region.as_str()));
    rig.tx(|tx| {
        let vpc = network::default_vpc(&tx.view()).expect("a default network").id.clone();
        tx.put(TargetGroup::http(targets.clone(), "web", vpc));
        tx.put(template());
    });
    for number in 0..groups {
        rig.group(&format!("g{number:04}"), (0, 20), 10, |group| {
            group.zones = network::zones(&region);
            group.target_groups.push(targets.clone());
        });
    }
}
