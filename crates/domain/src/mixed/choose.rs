//! Which types to launch in a zone, by the allocation strategies, and which
//! instance fits them worst (EC2 Auto Scaling User Guide, "Allocation
//! strategies for multiple instance types").

use super::price::{self, MicroDollars};
use super::{Distribution, Market, OnDemandStrategy, SpotStrategy};

/// A type that a policy allows, as a zone has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// InstanceType.
    pub instance_type: String,
    /// What an instance of it counts for, at least 1.
    pub weight: u32,
    /// Its place in the policy's order, the first is preferred.
    pub order: usize,
    /// Whether it may be bought on demand, and there is capacity for it.
    pub on_demand: bool,
    /// Whether it may be bought on the spot market, and there is capacity for it.
    pub spot: bool,
    /// Instances in the spot pool have been told of their interruption.
    pub shallow: bool,
    /// What the group has of this spot pool, in instances.
    pub taken: u32,
}

impl Pool {
    /// What a unit of capacity costs, on demand, in thousandths so that units
    /// as small as a MiB differ. Types whose price is not known are the dearest.
    fn price_a_unit(&self) -> MicroDollars {
        price::on_demand(&self.instance_type)
            .map_or(MicroDollars::MAX, |price| price * 1_000 / u64::from(self.weight.max(1)))
    }
}

/// Instances to launch alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The pool, by its place in what `choose` was given.
    pub pool: usize,
    /// How to buy them.
    pub market: Market,
    /// How many.
    pub count: u32,
}

/// What to launch in a zone for so many units on demand and so many on the
/// spot market. What is launched on demand beyond its part, because of
/// weights, is not bought on the spot market; altogether at most the largest
/// weight less one is launched beyond what was asked for. A part for which no
/// pool has capacity is left out.
pub fn choose(distribution: &Distribution, pools: &[Pool], (on_demand, spot): (u32, u32)) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    let mut beyond = 0;
    let best = (0..pools.len())
        .filter(|at| pools[*at].on_demand)
        .min_by_key(|at| on_demand_rank(distribution.on_demand_strategy, &pools[*at]));
    if let Some(pool) = best.filter(|_| on_demand > 0) {
        let weight = pools[pool].weight.max(1);
        let count = on_demand.div_ceil(weight);
        beyond = count.saturating_mul(weight) - on_demand;
        chosen.push(Chosen { pool, market: Market::OnDemand, count });
    }
    let mut left = spot.saturating_sub(beyond);
    let mut taken: Vec<u32> = pools.iter().map(|pool| pool.taken).collect();
    let open = spot_pools(distribution, pools);
    while left > 0 {
        let next = open.iter().min_by_key(|at| spot_rank(distribution.spot_strategy, &pools[**at], taken[**at]));
        let Some(pool) = next.copied() else { break };
        taken[pool] += 1;
        left = left.saturating_sub(pools[pool].weight.max(1));
        let known = chosen.iter_mut().find(|one| one.pool == pool && one.market == Market::Spot);
        match known {
            Some(one) => one.count += 1,
            None => chosen.push(Chosen { pool, market: Market::Spot, count: 1 }),
        }
    }
    chosen
}

/// The smallest is preferred.
fn on_demand_rank(strategy: OnDemandStrategy, pool: &Pool) -> (MicroDollars, usize) {
    match strategy {
        OnDemandStrategy::Prioritized => (0, pool.order),
        OnDemandStrategy::LowestPrice => (pool.price_a_unit(), pool.order),
    }
}

/// The pools among which spot instances are spread: the cheapest few of those
/// with capacity for `lowest-price`, all of them otherwise.
fn spot_pools(distribution: &Distribution, pools: &[Pool]) -> Vec<usize> {
    let mut open: Vec<usize> = (0..pools.len()).filter(|at| pools[*at].spot).collect();
    if distribution.spot_strategy == SpotStrategy::LowestPrice {
        open.sort_by_key(|at| (pools[*at].price_a_unit(), pools[*at].order));
        open.truncate(distribution.spot_pools.max(1) as usize);
    }
    open
}

/// The smallest is preferred. The deepest of equal pools is the one that least
/// has been taken of.
fn spot_rank(strategy: SpotStrategy, pool: &Pool, taken: u32) -> (bool, u32, MicroDollars, usize) {
    match strategy {
        SpotStrategy::LowestPrice => (false, taken, pool.price_a_unit(), pool.order),
        SpotStrategy::CapacityOptimized => (pool.shallow, taken, 0, pool.order),
        SpotStrategy::CapacityOptimizedPrioritized => (pool.shallow, 0, 0, pool.order),
        SpotStrategy::PriceCapacityOptimized => (pool.shallow, 0, pool.price_a_unit(), pool.order),
    }
}

/// How badly an instance fits the allocation strategy: zero is best. `at` is
/// its type's place in `pools`, `None` when the policy no longer allows it.
/// Which of equal spot pools is the deepest changes with every launch, so it
/// makes no difference here.
pub fn misfit(distribution: &Distribution, pools: &[Pool], at: Option<usize>, market: Market) -> u32 {
    let Some(own) = at.map(|at| &pools[at]) else { return u32::MAX };
    let better = |rank: &dyn Fn(&Pool) -> (bool, MicroDollars, usize)| {
        pools.iter().filter(|other| rank(other) < rank(own)).count() as u32
    };
    match market {
        Market::OnDemand => match distribution.on_demand_strategy {
            OnDemandStrategy::Prioritized => better(&|pool| (false, 0, pool.order)),
            OnDemandStrategy::LowestPrice => better(&|pool| (false, pool.price_a_unit(), 0)),
        },
        Market::Spot => match distribution.spot_strategy {
            SpotStrategy::LowestPrice => {
                // The cheapest few are equally good.
                let cheaper = better(&|pool| (false, pool.price_a_unit(), pool.order));
                cheaper.saturating_sub(distribution.spot_pools.max(1) - 1)
            }
            SpotStrategy::CapacityOptimized => better(&|pool| (pool.shallow, 0, 0)),
            SpotStrategy::CapacityOptimizedPrioritized => better(&|pool| (pool.shallow, 0, pool.order)),
            SpotStrategy::PriceCapacityOptimized => better(&|pool| (pool.shallow, pool.price_a_unit(), 0)),
        },
    }
}
