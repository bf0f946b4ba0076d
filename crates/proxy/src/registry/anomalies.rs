//! Anomalous targets and what is done about them (alb.md 3.4).

use super::{Registry, Watching};
use crate::metrics::Count;
use elastane_domain::choice::{Outcomes, WEIGHT_FULL, anomalous, next_weight};
use elastane_domain::routing::{Algorithm, ProxyFact, TargetHealth, TargetKey};
use elastane_domain::time::{Span, Time};

/// How often targets are compared with their peers (alb.md 3.4).
const STEP: Span = Span::from_secs(5);

/// What is left of earlier outcomes after a step, in quarters: a target is
/// judged by about its last twenty seconds.
const KEPT_QUARTERS: u64 = 3;

impl Registry {
    /// Compares targets with their peers, when it is time to.
    pub(super) fn judge(&mut self, now: Time, facts: &mut Vec<ProxyFact>) {
        if now < self.judge_at {
            return;
        }
        self.judge_at = now + STEP;
        let arns: Vec<_> = self.groups.keys().cloned().collect();
        for arn in arns {
            let mitigate = self.groups[&arn].config.algorithm == Algorithm::WeightedRandom { mitigate: true };
            let keys: Vec<TargetKey> = self.of_group(&arn).map(|(key, _)| key.clone()).collect();
            let judged: Vec<(TargetKey, Option<Outcomes>)> =
                keys.into_iter().map(|key| (key.clone(), self.outcomes(&key))).collect();
            let healthy: Vec<Outcomes> = judged.iter().filter_map(|(_, outcomes)| *outcomes).collect();
            let mut verdicts = anomalous(&healthy).into_iter();
            for (key, outcomes) in judged {
                let verdict = outcomes.is_some() && verdicts.next().unwrap_or(false);
                facts.extend(self.mitigate(&key, verdict, mitigate));
            }
        }
    }

    /// What a target did of late; `None` when it is not healthy.
    fn outcomes(&mut self, key: &TargetKey) -> Option<Outcomes> {
        let target = self.targets.get_mut(key)?;
        let ledger = &target.entry.state.ledger;
        let total = Outcomes { requests: ledger.total(Count::Requests), failures: ledger.total(Count::Failures) };
        let before = std::mem::replace(&mut target.judged, total);
        let add = |old: u64, total: u64, before: u64| old * KEPT_QUARTERS / 4 + (total - before);
        target.outcomes = Outcomes {
            requests: add(target.outcomes.requests, total.requests, before.requests),
            failures: add(target.outcomes.failures, total.failures, before.failures),
        };
        // A failure may be counted before its request is, and requests decay apart.
        target.outcomes.failures = target.outcomes.failures.min(target.outcomes.requests);
        let takes = target.watching != Watching::Not && target.health.health() == TargetHealth::Healthy;
        takes.then_some(target.outcomes)
    }

    fn mitigate(&mut self, key: &TargetKey, anomalous: bool, mitigate: bool) -> Option<ProxyFact> {
        let target = self.targets.get_mut(key)?;
        let state = &target.entry.state;
        let weight = if mitigate { next_weight(state.weight(), anomalous) } else { WEIGHT_FULL };
        state.set_weight(weight);
        let verdict = (anomalous, weight < WEIGHT_FULL);
        let before = std::mem::replace(&mut target.anomaly, verdict);
        let fact = ProxyFact::Anomaly { target: key.clone(), anomalous, mitigated: verdict.1 };
        (before != verdict).then_some(fact)
    }
}
