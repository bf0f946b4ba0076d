//! Anomaly detection and mitigation (alb.md 3.4): a target whose rate of
//! failures stands out among its peers is anomalous, and with mitigation it
//! gets fewer requests until it is like them again.
//!
//! AWS does not publish its maths. Here a target is anomalous when its rate
//! of failures is above that of its peers by more than chance explains: both
//! by a fixed distance and by three standard errors of the pooled rate.

/// Requests and failures of one target over the window that is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Requests sent to it, or tried to.
    pub requests: u64,
    /// Answers of 5XX and failed connections among them.
    pub failures: u64,
}

/// Detection needs this many healthy targets: with fewer there are no peers.
pub const TARGETS_MIN: usize = 3;
/// Fewer requests say nothing about a target.
const REQUESTS_MIN: u64 = 10;
/// A rate must be above that of the peers by this much, in percent points.
const DISTANCE_PERCENT: f64 = 10.0;
/// And by this many standard errors of the difference.
const STANDARD_ERRORS: f64 = 3.0;

/// Weight of a target that is not mitigated.
pub const WEIGHT_FULL: u32 = 1000;
/// Least weight: enough requests to see that the target has recovered.
pub const WEIGHT_MINIMUM: u32 = 50;
/// What comes back to a target that is like its peers again, a step.
const WEIGHT_STEP: u32 = 100;

/// Which of a group's healthy targets are anomalous, in their order.
pub fn anomalous(targets: &[Outcomes]) -> Vec<bool> {
    if targets.len() < TARGETS_MIN {
        return vec![false; targets.len()];
    }
    let total = targets.iter().fold(Outcomes::default(), |sum, one| Outcomes {
        requests: sum.requests + one.requests,
        failures: sum.failures + one.failures,
    });
    targets.iter().map(|target| stands_out(*target, total)).collect()
}

fn stands_out(target: Outcomes, total: Outcomes) -> bool {
    let peers = Outcomes { requests: total.requests - target.requests, failures: total.failures - target.failures };
    if target.requests < REQUESTS_MIN || peers.requests < REQUESTS_MIN {
        return false;
    }
    let rate = |of: Outcomes| of.failures as f64 / of.requests as f64;
    let distance = rate(target) - rate(peers);
    let pooled = rate(total);
    let variance = pooled * (1.0 - pooled) * (1.0 / target.requests as f64 + 1.0 / peers.requests as f64);
    distance * 100.0 >= DISTANCE_PERCENT && distance > STANDARD_ERRORS * variance.max(0.0).sqrt()
}

/// The weight of a target for the next step of 5 s: halved while it is
/// anomalous, down to the minimum, and raised gradually afterwards.
pub fn next_weight(weight: u32, anomalous: bool) -> u32 {
    if anomalous { (weight / 2).max(WEIGHT_MINIMUM) } else { (weight + WEIGHT_STEP).min(WEIGHT_FULL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(u64, u64)]) -> Vec<bool> {
        let outcomes: Vec<_> = pairs.iter().map(|&(requests, failures)| Outcomes { requests, failures }).collect();
        anomalous(&outcomes)
    }

    /// Who stands out among peers, as (requests, failures).
    #[test]
    fn alb_3_4_detection() {
        for (targets, want) in [
            (vec![(100, 50), (100, 0)], vec![false, false]),
            (vec![(100, 50), (100, 0), (100, 0)], vec![true, false, false]),
            (vec![(100, 50), (100, 50), (100, 50)], vec![false; 3]),
            (vec![(100, 9), (100, 0), (100, 0)], vec![false; 3]),
            (vec![(5, 5), (100, 0), (100, 0)], vec![false; 3]),
            (vec![(100, 100), (0, 0), (0, 0)], vec![false; 3]),
            (vec![(20, 4), (20, 1), (20, 1)], vec![false; 3]),
            (vec![(2000, 400), (2000, 100), (2000, 100)], vec![true, false, false]),
            (vec![], vec![]),
        ] {
            assert_eq!(of(&targets), want, "{targets:?}");
        }
    }

    /// Weights fall fast to the minimum and come back step by step.
    #[test]
    fn alb_3_4_mitigation() {
        let falls: Vec<u32> =
            std::iter::successors(Some(WEIGHT_FULL), |&weight| Some(next_weight(weight, true))).take(7).collect();
        assert_eq!(falls, [1000, 500, 250, 125, 62, 50, 50]);
        let rises = std::iter::successors(Some(WEIGHT_MINIMUM), |&weight| Some(next_weight(weight, false)));
        assert_eq!(rises.take_while(|&weight| weight < WEIGHT_FULL).count(), 10);
    }
}
