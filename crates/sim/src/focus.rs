//! What the clients of a world are most interested in, and what its group is
//! made of. In half of all worlds they do everything; in the others most of
//! what they do is about one thing, so that it is also met in its rarer states.

use elastane_engine::Rng;

/// What clients are interested in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// A little of everything.
    Everything,
    /// Life-cycle hooks, most of which nobody answers.
    Hooks,
    /// Policies and alarms.
    Scaling,
    /// Instance refreshes.
    Refresh,
    /// Warm pools.
    WarmPool,
    /// Mixed instances, bought in two ways.
    Mixed,
    /// Instances that die, zones that fail, instances that are protected.
    Health,
    /// Predictive scaling.
    Predictive,
}

impl Focus {
    /// Those on one thing.
    const NARROW: [Focus; 7] =
        [Focus::Hooks, Focus::Scaling, Focus::Refresh, Focus::WarmPool, Focus::Mixed, Focus::Health, Focus::Predictive];

    /// Everything in every other world.
    pub fn draw(rng: &mut Rng) -> Focus {
        if rng.below(2) == 0 {
            return Focus::Everything;
        }
        Focus::NARROW[rng.below(Focus::NARROW.len() as u64) as usize]
    }

    /// What runs of it are counted as.
    pub const fn name(self) -> &'static str {
        match self {
            Focus::Everything => "worlds of everything",
            Focus::Hooks => "worlds of hooks",
            Focus::Scaling => "worlds of scaling",
            Focus::Refresh => "worlds of refreshes",
            Focus::WarmPool => "worlds of warm pools",
            Focus::Mixed => "worlds of mixed instances",
            Focus::Health => "worlds of health",
            Focus::Predictive => "worlds of forecasts",
        }
    }
}

/// What a group is made with, beside its size.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its mixed instances policy; none launches from the template alone.
    pub mix: Option<Mix>,
    /// HealthCheckGracePeriod in seconds.
    pub grace: i32,
    /// DefaultCooldown in seconds.
    pub cooldown: i32,
    /// DefaultInstanceWarmup in seconds.
    pub warmup: Option<i32>,
}

/// A mixed instances policy.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Whether its types have weights.
    pub weighted: bool,
    /// OnDemandBaseCapacity.
    pub base: i32,
    /// OnDemandPercentageAboveBaseCapacity.
    pub percent: i32,
    /// SpotAllocationStrategy.
    pub strategy: &'static str,
    /// CapacityRebalance.
    pub rebalances: bool,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { mix: None, grace: 60, cooldown: 120, warmup: None }
    }
}

impl Shape {
    /// The group of a world with this focus.
    pub fn draw(focus: Focus, rng: &mut Rng) -> Shape {
        let warmup = (rng.below(3) == 0).then(|| rng.below(240) as i32);
        let mix = Mix::draw(rng);
        let plain = Shape { warmup, ..Shape::default() };
        match focus {
            Focus::Everything if rng.below(4) == 0 => Shape { mix: Some(mix), ..plain },
            Focus::Mixed => Shape { mix: Some(mix), ..plain },
            Focus::Refresh if rng.below(4) == 0 => Shape { mix: Some(mix), ..plain },
            Focus::Scaling => Shape { cooldown: 240 + rng.below(360) as i32, warmup: None, ..plain },
            Focus::Health => Shape { grace: 300 + rng.below(600) as i32, ..plain },
            Focus::Everything | Focus::Hooks | Focus::Refresh | Focus::WarmPool | Focus::Predictive => plain,
        }
    }
}

impl Mix {
    /// Any policy.
    pub fn draw(rng: &mut Rng) -> Mix {
        const STRATEGIES: [&str; 4] =
            ["lowest-price", "capacity-optimized", "capacity-optimized-prioritized", "price-capacity-optimized"];
        Mix {
            weighted: rng.below(2) == 0,
            base: rng.below(4) as i32,
            percent: [0, 20, 50, 100][rng.below(4) as usize],
            strategy: STRATEGIES[rng.below(4) as usize],
            rebalances: rng.below(2) == 0,
        }
    }
}
