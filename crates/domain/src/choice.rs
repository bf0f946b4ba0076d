//! Which target a request goes to (alb.md 2.2, 3.2 to 3.4, 5.3), over plain data.
//!
//! The candidates of a node are computed when health, registrations or
//! settings change; a request only picks from them, at a cost that does not
//! grow with their number. Cursors, draws and loads are arguments; the caller
//! keeps them. A result is an index into what was given.

mod anomaly;
mod slow_start;

pub use anomaly::{Outcomes, WEIGHT_FULL, WEIGHT_MINIMUM, anomalous, next_weight};
pub use slow_start::{SlowStart, enters_slow_start, slow_share};

use crate::routing::{Admission, Minimum, TargetHealth};

/// A zone as a small number that the caller gives.
pub type ZoneIndex = u16;

/// What the choice must know of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetView {
    /// Whether it takes new requests.
    pub admission: Admission,
    /// Its health.
    pub health: TargetHealth,
    /// Its zone; `None` for one that every zone uses.
    pub zone: Option<ZoneIndex>,
    /// Traffic was shifted away from its zone.
    pub shifted_away: bool,
}

impl TargetView {
    /// A target of every zone.
    pub const fn anywhere(admission: Admission, health: TargetHealth) -> TargetView {
        TargetView { admission, health, zone: None, shifted_away: false }
    }
}

/// The targets that may get the next request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Indices of the targets, ascending; empty means 503.
    pub targets: Vec<usize>,
    /// Too few targets are healthy, so unhealthy ones take requests too
    /// (`UnhealthyRoutingRequestCount`).
    pub fail_open: bool,
}

/// Healthy and registered targets that a node sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Registered and healthy.
    pub healthy: u32,
    /// Registered, whatever their health.
    pub registered: u32,
}

impl Census {
    /// Counts the targets that a node of this zone sees; `None` sees all.
    pub fn of(targets: &[TargetView], node: Option<ZoneIndex>) -> Census {
        let mut census = Census::default();
        for view in targets.iter().filter(|view| view.admission == Admission::Registered && sees(node, view)) {
            census.registered += 1;
            census.healthy += u32::from(view.health == TargetHealth::Healthy);
        }
        census
    }

    /// Whether the minimum is met. Both of its numbers must be, and nothing
    /// registered meets nothing (alb.md 5.3).
    pub fn meets(&self, minimum: Minimum) -> bool {
        let count = minimum.count.is_none_or(|count| self.healthy >= count);
        let percent = minimum
            .percent
            .is_none_or(|percent| u64::from(self.healthy) * 100 >= u64::from(percent) * u64::from(self.registered));
        count && percent && self.healthy > 0
    }
}

/// Which of a load balancer's zones its name resolves to (alb.md 5.3), in
/// their order: those where `healthy` says that a group meets its minimum,
/// and all when none does; not those that traffic was shifted away from,
/// unless no other is left.
pub fn zones_in_dns<Z>(zones: &[Z], healthy: impl Fn(&Z) -> bool, shifted_away: impl Fn(&Z) -> bool) -> Vec<bool> {
    let alive: Vec<bool> = zones.iter().map(healthy).collect();
    let none = !alive.contains(&true);
    let stays: Vec<bool> =
        zones.iter().zip(&alive).map(|(zone, alive)| (*alive || none) && !shifted_away(zone)).collect();
    if stays.contains(&true) { stays } else { alive.iter().map(|alive| *alive || none).collect() }
}

/// Whether a node of this zone uses the target; `None` uses all.
fn sees(node: Option<ZoneIndex>, view: &TargetView) -> bool {
    node.is_none_or(|node| view.zone.is_none_or(|zone| zone == node))
}

/// The candidate set of a node (alb.md 3.2, 1 to 3). `node` is its zone, or
/// `None` when it uses the targets of all zones.
///
/// Healthy targets, while they meet the minimum; else all healthy and
/// unhealthy ones. If there are none of either, the initial ones, because the
/// only other answer would be 503. Draining and unused targets never. Targets
/// in zones that traffic was shifted away from only if there are no others.
pub fn candidates(targets: &[TargetView], node: Option<ZoneIndex>, minimum: Minimum) -> Candidates {
    let elsewhere = |view: &TargetView| !view.shifted_away;
    let avoids = targets
        .iter()
        .any(|view| view.admission == Admission::Registered && sees(node, view) && elsewhere(view) && takes(view));
    let visible =
        |view: &TargetView| view.admission == Admission::Registered && sees(node, view) && (!avoids || elsewhere(view));
    let of = |wanted: fn(TargetHealth) -> bool| -> Vec<usize> {
        (0..targets.len()).filter(|&index| visible(&targets[index]) && wanted(targets[index].health)).collect()
    };
    if Census::of(targets, node).meets(minimum) {
        let healthy = of(|health| health == TargetHealth::Healthy);
        if !healthy.is_empty() {
            return Candidates { targets: healthy, fail_open: false };
        }
    }
    let mut open = of(|health| health != TargetHealth::Initial);
    if open.is_empty() {
        open = of(|health| health == TargetHealth::Initial);
    }
    Candidates { fail_open: !open.is_empty(), targets: open }
}

/// Whether a target is more than a last resort.
fn takes(view: &TargetView) -> bool {
    view.health != TargetHealth::Initial
}

/// The next of `count` candidates in turn; `None` if there are none. The
/// caller's cursor counts requests.
pub fn round_robin(count: usize, cursor: u64) -> Option<usize> {
    let count = u64::try_from(count).ok().filter(|&count| count > 0)?;
    usize::try_from(cursor % count).ok()
}

/// Any of `count` candidates with the same chance; `None` if there are none.
pub fn uniform(count: usize, draw: u64) -> Option<usize> {
    let product = u128::from(draw) * u128::try_from(count).ok()?;
    (count > 0).then_some((product >> 64) as usize)
}

/// With at most this many candidates the least loaded is found by looking at
/// all; reading so many counters costs less than a system call.
pub const EXACT_LOADS_MAX: usize = 64;

/// With more candidates, so many of them are looked at. The best of eight
/// random ones is among the best tenth with a chance of 57 %, and the longest
/// queue grows as with all of them but for a constant.
pub const SAMPLED_LOADS: usize = 8;

/// The candidate with the fewest requests in flight. Among equals the first
/// one at or after the cursor's turn, so that idle targets share the load.
/// Exact for at most [`EXACT_LOADS_MAX`] candidates; of more, the best of
/// [`SAMPLED_LOADS`] that `draw` names.
pub fn least_outstanding(count: usize, cursor: u64, draw: u64, load: impl Fn(usize) -> u64) -> Option<usize> {
    let start = round_robin(count, cursor)?;
    if count <= EXACT_LOADS_MAX {
        return (0..count).map(|step| (start + step) % count).min_by_key(|&index| load(index));
    }
    let mut number = draw | 1;
    (0..SAMPLED_LOADS)
        .filter_map(|_| {
            number = scramble(number);
            uniform(count, number)
        })
        .min_by_key(|&index| load(index))
}

/// The index that `draw`, any number, falls on when each gets a share by
/// weight; `None` if all weights are zero. For a handful of weights.
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

/// Weights summed up, so that a draw costs a binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares(Vec<u64>);

impl Shares {
    /// Sums up these weights.
    pub fn new(weights: impl Iterator<Item = u32>) -> Shares {
        let sum = |total: &mut u64, weight: u32| {
            *total += u64::from(weight);
            Some(*total)
        };
        Shares(weights.scan(0, sum).collect())
    }

    /// The index that `draw` falls on; `None` if all weights are zero.
    pub fn pick(&self, draw: u64) -> Option<usize> {
        let total = self.0.last().copied()?;
        let at = usize::try_from(total).ok().and_then(|total| uniform(total, draw))? as u64;
        Some(self.0.partition_point(|&sum| sum <= at))
    }
}

/// The candidate that a flow with this hash goes to (alb.md 13): the same one
/// for as long as the candidates are the same.
pub fn by_hash(count: usize, hash: u64) -> Option<usize> {
    uniform(count, scramble(hash))
}

/// Spreads the bits of a number over all of it (splitmix64's finisher).
pub fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
