//! CPU credits as the engine counts them.

use super::*;
use crate::launch::{Request, launch};
use crate::telemetry::CpuSample;
use elastane_domain::series::{MetricId, MetricStore};

/// The newest value of a metric of an instance.
fn newest(store: &MetricStore, name: &str, instance: &str, rig: &Rig) -> Option<f64> {
    let id = MetricId::new("AWS/EC2", name, &[("InstanceId", instance)]);
    let (from, to) = (START - Span::from_mins(5), rig.now + Span::from_mins(5));
    store.get(&id, from, to, Span::from_mins(5), None).into_iter().next_back().map(|(_, set)| set.sum)
}

/// Five minutes at full use of a t3.micro: ten credits are spent, one is
/// earned, nine are borrowed; nothing is published before the period ends.
#[test]
fn credits_are_published_every_five_minutes() {
    let mut rig = Rig::new();
    let data = LaunchData { instance_type: Some("t3.micro".to_string()), ..data() };
    let request = Request { data, count_min: 1, count_max: 1, ..Request::default() };
    let id = rig.tx(|tx| launch(tx, &request)).expect("a launch").remove(0);
    rig.pass(Span::from_secs(1));
    for minute in 0..5 {
        assert_eq!(newest(&store(&rig), "CPUCreditUsage", id.as_str(), &rig), None, "{minute}");
        let at = START + Span::from_mins(minute);
        rig.now = at + Span::from_mins(1);
        let samples = vec![CpuSample { instance: id.clone(), percent: 100.0 }];
        rig.tell(vec![Fact::Cpu { at, samples }]);
    }
    let found = |name: &str| newest(&store(&rig), name, id.as_str(), &rig).expect("published");
    for (name, want) in [
        ("CPUCreditUsage", 10.0),
        ("CPUCreditBalance", 0.0),
        ("CPUSurplusCreditBalance", 9.0),
        ("CPUSurplusCreditsCharged", 0.0),
    ] {
        assert!((found(name) - want).abs() < 1e-6, "{name}: {}", found(name));
    }
}

fn store(rig: &Rig) -> MetricStore {
    rig.engine.state().metrics.get(&rig.scope).cloned().unwrap_or_default()
}
