//! Mixed instances: several types and two ways to buy in one group (EC2 Auto
//! Scaling User Guide, "Auto Scaling groups with multiple instance types and
//! purchase options").
//!
//! [`on_demand_units`] splits a capacity between the two ways to buy,
//! [`Requirements`] says which types an override stands for when it names
//! none, [`choose`] which types to launch in a zone, and [`misfit`] which
//! instance fits worst.
//!
//! AWS does not say how deep its spot pools are. Here a pool either has
//! capacity or has none; of those that have some, one in which instances have
//! been told of their interruption is shallow, and of equal ones the one that
//! a group has taken least of is the deepest.

mod choose;
pub mod price;
mod requirements;

pub use choose::{Chosen, Pool, choose, misfit};
pub use requirements::{Inclusion, Matching, Requirements, matching};

use crate::group::words;
use crate::id::LaunchTemplateId;
use serde::{Deserialize, Serialize};

words! {
    /// How an instance is bought.
    Market {
        /// At the list price.
        OnDemand = "on-demand",
        /// At the spot price, with interruptions.
        Spot = "spot",
    }
}

words! {
    /// OnDemandAllocationStrategy.
    OnDemandStrategy {
        /// The first override that has capacity.
        Prioritized = "prioritized",
        /// The cheapest.
        LowestPrice = "lowest-price",
    }
}

words! {
    /// SpotAllocationStrategy.
    SpotStrategy {
        /// The cheapest pools.
        LowestPrice = "lowest-price",
        /// The deepest pool.
        CapacityOptimized = "capacity-optimized",
        /// The deepest pool, priorities as far as possible.
        CapacityOptimizedPrioritized = "capacity-optimized-prioritized",
        /// Depth first, then price.
        PriceCapacityOptimized = "price-capacity-optimized",
    }
}

/// A launch template at a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRef {
    /// The template.
    pub id: LaunchTemplateId,
    /// The version as given: a number, `$Latest` or `$Default`.
    pub version: String,
}

/// InstancesDistribution, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// OnDemandAllocationStrategy.
    pub on_demand_strategy: OnDemandStrategy,
    /// OnDemandBaseCapacity.
    pub on_demand_base: u32,
    /// OnDemandPercentageAboveBaseCapacity, 0 to 100.
    pub on_demand_percent: u32,
    /// SpotAllocationStrategy.
    pub spot_strategy: SpotStrategy,
    /// SpotInstancePools, 1 to 20.
    pub spot_pools: u32,
    /// SpotMaxPrice as given.
    pub spot_max_price: Option<String>,
}

/// One of a policy's overrides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// InstanceType; `None` with requirements, or for the template's own.
    pub instance_type: Option<String>,
    /// WeightedCapacity, 1 to 999.
    pub weight: Option<u32>,
    /// LaunchTemplateSpecification of its own.
    pub template: Option<TemplateRef>,
    /// InstanceRequirements.
    pub requirements: Option<Requirements>,
    /// ImageId, in place of the template's.
    #[serde(default)]
    pub image: Option<String>,
}

/// MixedInstancesPolicy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mixed {
    /// LaunchTemplate.
    pub template: TemplateRef,
    /// Overrides.
    pub overrides: Vec<Override>,
    /// InstancesDistribution.
    pub distribution: Distribution,
}

/// How much of a capacity of `total` is bought on demand: the base, and of
/// what is above it the percentage, rounded up (autoscaling.md 13).
pub fn on_demand_units(distribution: &Distribution, total: u32) -> u32 {
    let base = distribution.on_demand_base.min(total);
    let share = u64::from(total - base) * u64::from(distribution.on_demand_percent.min(100));
    base + share.div_ceil(100) as u32
}

#[cfg(test)]
mod tests;
