//! Which target a request goes to (alb.md 2.2 and 3.2), over plain data.
//!
//! Cursors, draws and loads are arguments; the caller keeps them. A result
//! is an index into what was given.

use crate::routing::{Admission, TargetHealth};

/// What the choice must know of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetView {
    /// Whether it takes new requests.
    pub admission: Admission,
    /// Its health.
    pub health: TargetHealth,
}

/// The targets that may get the next request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Indices of the targets, ascending; empty means 503.
    pub targets: Vec<usize>,
    /// No target is healthy, so unhealthy ones take the requests
    /// (`UnhealthyRoutingRequestCount`).
    pub fail_open: bool,
}

/// The candidate set (alb.md 3.2, 1 to 3).
///
/// Healthy targets; if there are none, all unhealthy ones; if there are none
/// either, the initial ones, because the only other answer would be 503.
/// Draining and unused targets never.
pub fn candidates(targets: &[TargetView]) -> Candidates {
    let of = |wanted: fn(TargetHealth) -> bool| -> Vec<usize> {
        let takes = |view: &TargetView| view.admission == Admission::Registered && wanted(view.health);
        (0..targets.len()).filter(|&index| takes(&targets[index])).collect()
    };
    let healthy = of(|health| health == TargetHealth::Healthy);
    if !healthy.is_empty() {
        return Candidates { targets: healthy, fail_open: false };
    }
    let mut open = of(|health| matches!(health, TargetHealth::Unhealthy(_)));
    if open.is_empty() {
        open = of(|health| health == TargetHealth::Initial);
    }
    Candidates { fail_open: !open.is_empty(), targets: open }
}

/// The next of `count` candidates in turn; `None` if there are none. The
/// caller's cursor counts requests.
pub fn round_robin(count: usize, cursor: u64) -> Option<usize> {
    let count = u64::try_from(count).ok().filter(|&count| count > 0)?;
    usize::try_from(cursor % count).ok()
}

/// The candidate with the fewest requests in flight. Among equals the first
/// one at or after the cursor's turn, so that idle targets share the load.
pub fn least_outstanding(loads: &[u64], cursor: u64) -> Option<usize> {
    let start = round_robin(loads.len(), cursor)?;
    (0..loads.len()).map(|step| (start + step) % loads.len()).min_by_key(|&index| loads[index])
}

/// The index that `draw`, any number, falls on when each gets a share by
/// weight; `None` if all weights are zero.
pub fn weighted(weights: &[u32], draw: u64) -> Option<usize> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut left = draw.checked_rem(total)?;
    for (index, &weight) in weights.iter().enumerate() {
        match left.checked_sub(u64::from(weight)) {
            Some(rest) => left = rest,
            None => return Some(index),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::UnhealthyReason;
    use crate::time::Time;

    /// One letter a target: h(ealthy), u(nhealthy), i(nitial), d(raining), x (unused).
    fn views(text: &str) -> Vec<TargetView> {
        let view = |letter| {
            let (admission, health) = match letter {
                'h' => (Admission::Registered, TargetHealth::Healthy),
                'u' => (Admission::Registered, TargetHealth::Unhealthy(UnhealthyReason::Timeout)),
                'i' => (Admission::Registered, TargetHealth::Initial),
                'd' => (Admission::Draining { until: Time(0) }, TargetHealth::Healthy),
                _ => (Admission::Unused, TargetHealth::Healthy),
            };
            TargetView { admission, health }
        };
        text.chars().map(view).collect()
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
            let got = candidates(&views(targets));
            assert_eq!((got.targets, got.fail_open), (want, fail_open), "{targets}");
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
            assert_eq!(least_outstanding(loads, cursor), want, "{loads:?} {cursor}");
        }
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
}
