//! What instance types cost: enough to compare them, as the allocation
//! strategies do. On-demand prices are AWS's of us-east-1, for Linux, as of
//! 2026-07-20 (AWS Price List). Spot prices move on AWS; here they are a fixed
//! part of the on-demand price, so cheaper on demand is cheaper on spot.

use crate::types::{InstanceType, instance_type};

/// Millionths of a US dollar, for an hour.
pub type MicroDollars = u64;

/// The spot price as a percentage of the on-demand price. AWS says "up to 90%
/// off"; about 70% off is common.
pub const SPOT_PERCENT: u64 = 30;

/// Prices of a family's `large` size, which has two vCPUs. The other sizes of
/// these families cost in proportion to their vCPUs.
const BY_SIZE: [(&str, MicroDollars); 5] =
    [("c5", 85_000), ("c6i", 85_000), ("m5", 96_000), ("m6i", 96_000), ("r5", 126_000)];

/// vCPUs of a `large` size.
const LARGE_VCPUS: u64 = 2;

/// Sizes of burstable families, in the order of the prices below.
const SIZES: [&str; 7] = ["nano", "micro", "small", "medium", "large", "xlarge", "2xlarge"];

/// Prices of burstable families by size.
const BURSTABLE: [(&str, [MicroDollars; 7]); 3] = [
    ("t2", [5_800, 11_600, 23_000, 46_400, 92_800, 185_600, 371_200]),
    ("t3", [5_200, 10_400, 20_800, 41_600, 83_200, 166_400, 332_800]),
    ("t3a", [4_700, 9_400, 18_800, 37_600, 75_200, 150_400, 300_800]),
];

/// The on-demand price of a type; `None` when it is not known.
pub fn on_demand(name: &str) -> Option<MicroDollars> {
    let kind: &InstanceType = instance_type(name)?;
    let (family, size) = name.split_once('.')?;
    if let Some((_, large)) = BY_SIZE.iter().find(|(other, _)| *other == family) {
        return Some(large * u64::from(kind.vcpus) / LARGE_VCPUS);
    }
    let (_, prices) = BURSTABLE.iter().find(|(other, _)| *other == family)?;
    SIZES.iter().position(|other| *other == size).map(|at| prices[at])
}

/// The spot price of a type; `None` when it is not known.
pub fn spot(name: &str) -> Option<MicroDollars> {
    on_demand(name).map(|price| price * SPOT_PERCENT / 100)
}

/// A price as clients write it, in dollars: `0.0104`.
pub fn from_dollars(text: &str) -> Option<MicroDollars> {
    let dollars: f64 = text.parse().ok()?;
    (dollars.is_finite() && dollars > 0.0).then(|| (dollars * 1e6).round() as MicroDollars)
}

/// The same price as text.
pub fn dollars(price: MicroDollars) -> String {
    format!("{}.{:06}", price / 1_000_000, price % 1_000_000)
}
