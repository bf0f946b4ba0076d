//! Passive health checks of network load balancers (alb.md 13): connections
//! of flows that targets do not take, one after the other, make them unhealthy
//! before their next check does; checks alone make them healthy again. How
//! many it takes is not published: as many as there would be failed checks.

use super::{Registry, Watching};
use elastane_domain::health::Thresholds;
use elastane_domain::id::TargetGroupArn;
use elastane_domain::routing::{ProxyFact, TargetHealth, TargetKey, UnhealthyReason};
use elastane_domain::time::Time;

impl Registry {
    /// Looks at groups in which a flow's connection failed since the last look.
    pub(super) fn observe_flows(&mut self, now: Time, facts: &mut Vec<ProxyFact>) {
        let failed = self.groups.iter().filter(|(_, group)| group.entry.state.take_flow_failure());
        let arns: Vec<TargetGroupArn> = failed.map(|(arn, _)| arn.clone()).collect();
        for arn in arns {
            let check = &self.groups[&arn].config.check;
            let thresholds = Thresholds { healthy: check.healthy_threshold, unhealthy: check.unhealthy_threshold };
            let refuses = self.of_group(&arn).filter(|(_, target)| {
                target.watching == Watching::Probed
                    && target.health.health() == TargetHealth::Healthy
                    && target.entry.state.flow_failures() >= thresholds.unhealthy
            });
            let keys: Vec<TargetKey> = refuses.map(|(key, _)| key.clone()).collect();
            for key in keys {
                facts.extend(self.refused_flows(&key, thresholds, now));
            }
        }
    }

    /// What so many failed checks in a row would have made of a target.
    fn refused_flows(&mut self, key: &TargetKey, thresholds: Thresholds, now: Time) -> Option<ProxyFact> {
        let target = self.targets.get_mut(key)?;
        target.entry.state.flow_taken();
        let failures = (0..thresholds.unhealthy).map(|_| Err(UnhealthyReason::FailedHealthChecks));
        let changes = failures.filter_map(|result| target.health.observe(result, thresholds));
        let health = changes.last()?;
        Some(self.changed(key, TargetHealth::Healthy, health, now))
    }
}
