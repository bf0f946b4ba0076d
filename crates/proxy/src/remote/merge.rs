//! Adding up the counters of one process over time.

use crate::metrics::Report;
use crate::registry::Counters;

impl Counters {
    /// Adds what the same process counted after this: what is under way and
    /// who is healthy is as the later ones say.
    pub(super) fn add_later(&mut self, later: Counters) {
        let mut before = std::mem::replace(self, later);
        reports(&mut before).for_each(still);
        self.merge(before);
    }
}

fn reports(counters: &mut Counters) -> impl Iterator<Item = &mut Report> {
    let balancers = counters.load_balancers.iter_mut();
    let balancers =
        balancers.flat_map(|one| one.zones.iter_mut().map(|zone| &mut zone.report).chain([&mut one.report]));
    let groups = counters.target_groups.iter_mut();
    let groups = groups.flat_map(|one| one.zones.iter_mut().map(|zone| &mut zone.report).chain([&mut one.report]));
    let targets = counters.targets.iter_mut().map(|one| &mut one.report);
    balancers.chain(groups).chain(targets)
}

/// Nothing of it is under way any more.
fn still(report: &mut Report) {
    report.in_flight = 0;
    report.active_connections = 0;
    report.active_flows = Default::default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{BalancerReport, GroupReport};

    /// What happened adds up; what is so now is as it was said last.
    #[test]
    fn counters_over_time() {
        let counters = |healthy: u32, connections: u64, took: u64| {
            let mut report = Report { active_connections: connections, ..Report::default() };
            report.response_time.count = 1;
            report.response_time.sum_micros = took;
            Counters {
                load_balancers: vec![BalancerReport { arn: "a".into(), report: report.clone(), zones: Vec::new() }],
                target_groups: vec![GroupReport { arn: "g".into(), report, healthy, unhealthy: 0, zones: Vec::new() }],
                targets: Vec::new(),
            }
        };
        let mut sum = counters(2, 9, 10);
        sum.add_later(counters(3, 4, 32));
        let balancer = &sum.load_balancers[0].report;
        assert_eq!((balancer.active_connections, balancer.response_time.sum_micros), (4, 42));
        assert_eq!((sum.target_groups[0].healthy, sum.target_groups[0].report.response_time.count), (3, 2));
    }
}
