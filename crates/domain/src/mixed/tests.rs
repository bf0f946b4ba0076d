//! The rules of autoscaling.md 13, table by table.

use super::price;
use super::*;
use crate::group::CapacityType;

fn distribution(on_demand: OnDemandStrategy, spot: SpotStrategy) -> Distribution {
    Distribution {
        on_demand_strategy: on_demand,
        on_demand_base: 0,
        on_demand_percent: 100,
        spot_strategy: spot,
        spot_pools: 2,
        spot_max_price: None,
    }
}

fn pool(instance_type: &str, weight: u32, order: usize) -> Pool {
    Pool {
        instance_type: instance_type.to_string(),
        weight,
        order,
        on_demand: true,
        spot: true,
        shallow: false,
        taken: 0,
    }
}

/// The base is bought on demand first, then the percentage of what is above
/// it, rounded up.
#[test]
fn autoscaling_13_split() {
    for (base, percent, total, on_demand) in [
        (12, 0, 10, 10),
        (12, 0, 20, 12),
        (12, 0, 30, 12),
        (0, 100, 7, 7),
        (0, 0, 7, 0),
        (0, 50, 7, 4),
        (0, 50, 8, 4),
        (2, 30, 10, 5),
        (2, 30, 12, 5),
        (0, 1, 1, 1),
        (5, 50, 0, 0),
    ] {
        let given = Distribution {
            on_demand_base: base,
            on_demand_percent: percent,
            ..distribution(OnDemandStrategy::Prioritized, SpotStrategy::LowestPrice)
        };
        assert_eq!(on_demand_units(&given, total), on_demand, "{base} and {percent} % of {total}");
    }
}

/// More capacity never needs less of either option: growing by one never moves
/// what there is already.
#[test]
fn autoscaling_13_split_grows_by_one_option_at_a_time() {
    for base in 0..5 {
        for percent in [0, 1, 25, 33, 50, 99, 100] {
            let given = Distribution {
                on_demand_base: base,
                on_demand_percent: percent,
                ..distribution(OnDemandStrategy::Prioritized, SpotStrategy::LowestPrice)
            };
            for total in 0..200 {
                let more = on_demand_units(&given, total + 1) - on_demand_units(&given, total);
                assert!(more <= 1, "{base} and {percent} % of {total}");
            }
        }
    }
}

/// What is launched, as text: `2 m5.large on-demand`.
fn launched(given: &Distribution, pools: &[Pool], units: (u32, u32)) -> Vec<String> {
    let said = |one: Chosen| format!("{} {} {}", one.count, pools[one.pool].instance_type, one.market.name());
    choose(given, pools, units).into_iter().map(said).collect()
}

/// On demand, one type is launched until it has no capacity.
#[test]
fn autoscaling_13_on_demand_strategies() {
    use OnDemandStrategy::{LowestPrice, Prioritized};
    let pools = [pool("m5.large", 1, 0), pool("c5.large", 1, 1), pool("t3.large", 1, 2)];
    let heavy = [pool("m5.large", 1, 0), pool("m5.2xlarge", 5, 1)];
    let mut without = pools.to_vec();
    without[0].on_demand = false;
    for (strategy, pools, units, want) in [
        (Prioritized, &pools[..], 3, vec!["3 m5.large on-demand"]),
        (LowestPrice, &pools[..], 3, vec!["3 t3.large on-demand"]),
        (Prioritized, &without[..], 3, vec!["3 c5.large on-demand"]),
        // Of weighted types a unit is compared, and the last may go beyond.
        (LowestPrice, &heavy[..], 7, vec!["2 m5.2xlarge on-demand"]),
        (Prioritized, &heavy[..], 7, vec!["7 m5.large on-demand"]),
        (Prioritized, &pools[..], 0, vec![]),
    ] {
        let given = distribution(strategy, SpotStrategy::LowestPrice);
        assert_eq!(launched(&given, pools, (units, 0)), want, "{strategy:?} {units}");
    }
}

/// Spot instances go over the cheapest pools, or into the deepest.
#[test]
fn autoscaling_13_spot_strategies() {
    use SpotStrategy::{CapacityOptimized, CapacityOptimizedPrioritized, LowestPrice, PriceCapacityOptimized};
    let pools = [pool("m5.large", 1, 0), pool("c5.large", 1, 1), pool("t3.large", 1, 2)];
    let mut shallow = pools.to_vec();
    shallow[2].shallow = true;
    let mut none_left = pools.to_vec();
    none_left[2].spot = false;
    let mut taken = pools.to_vec();
    taken[2].taken = 2;
    for (strategy, pools, want) in [
        (LowestPrice, &pools[..], vec!["2 t3.large spot", "2 c5.large spot"]),
        (LowestPrice, &taken[..], vec!["3 c5.large spot", "1 t3.large spot"]),
        (LowestPrice, &shallow[..], vec!["2 t3.large spot", "2 c5.large spot"]),
        (LowestPrice, &none_left[..], vec!["2 c5.large spot", "2 m5.large spot"]),
        (CapacityOptimized, &pools[..], vec!["2 m5.large spot", "1 c5.large spot", "1 t3.large spot"]),
        (CapacityOptimized, &shallow[..], vec!["2 m5.large spot", "2 c5.large spot"]),
        (CapacityOptimizedPrioritized, &pools[..], vec!["4 m5.large spot"]),
        (PriceCapacityOptimized, &pools[..], vec!["4 t3.large spot"]),
        (PriceCapacityOptimized, &shallow[..], vec!["4 c5.large spot"]),
        (PriceCapacityOptimized, &none_left[..], vec!["4 c5.large spot"]),
    ] {
        let given = distribution(OnDemandStrategy::Prioritized, strategy);
        assert_eq!(launched(&given, pools, (0, 4)), want, "{strategy:?}");
    }
}

/// SpotInstancePools says over how many of the cheapest.
#[test]
fn autoscaling_13_spot_pools() {
    let pools = [pool("m5.large", 1, 0), pool("c5.large", 1, 1), pool("t3.large", 1, 2), pool("t3a.large", 1, 3)];
    for (count, want) in [
        (1, vec!["4 t3a.large spot"]),
        (2, vec!["2 t3a.large spot", "2 t3.large spot"]),
        (20, vec!["1 t3a.large spot", "1 t3.large spot", "1 c5.large spot", "1 m5.large spot"]),
    ] {
        let given = Distribution {
            spot_pools: count,
            ..distribution(OnDemandStrategy::Prioritized, SpotStrategy::LowestPrice)
        };
        assert_eq!(launched(&given, &pools, (0, 4)), want, "{count}");
    }
}

/// What is launched beyond what was asked for is less than the largest weight,
/// whatever the weights; nothing is left out while pools have capacity.
#[test]
fn autoscaling_13_weights() {
    for strategy in SpotStrategy::ALL {
        for weights in [[1, 1, 1], [2, 3, 5], [7, 1, 4], [999, 10, 1]] {
            let names = ["m5.large", "c5.large", "t3.large"];
            let pools: Vec<Pool> = names
                .iter()
                .zip(weights)
                .enumerate()
                .map(|(order, (name, weight))| pool(name, weight, order))
                .collect();
            let heaviest = weights.into_iter().max().unwrap_or(1);
            for units in [(0, 1), (1, 0), (3, 4), (10, 0), (0, 23), (100, 100)] {
                let given = distribution(OnDemandStrategy::LowestPrice, *strategy);
                let got: u32 = choose(&given, &pools, units).iter().map(|one| one.count * pools[one.pool].weight).sum();
                let asked = units.0 + units.1;
                assert!((asked..asked + heaviest).contains(&got), "{strategy:?} {weights:?} {units:?}: {got}");
            }
        }
    }
}

/// A part for which there is no capacity is left out: spot capacity is not
/// replaced by instances on demand.
#[test]
fn autoscaling_13_no_capacity() {
    let given = distribution(OnDemandStrategy::Prioritized, SpotStrategy::PriceCapacityOptimized);
    let mut pools = [pool("m5.large", 1, 0)];
    pools[0].spot = false;
    assert_eq!(launched(&given, &pools, (1, 3)), ["1 m5.large on-demand"]);
    (pools[0].spot, pools[0].on_demand) = (true, false);
    assert_eq!(launched(&given, &pools, (1, 3)), ["3 m5.large spot"]);
    assert_eq!(choose(&given, &[], (1, 1)), []);
}

/// The instance that fits the strategy worst has the largest number; a type
/// that the policy no longer has fits worst of all.
#[test]
fn autoscaling_13_5_3_misfit() {
    use OnDemandStrategy::Prioritized;
    use SpotStrategy::{CapacityOptimized, CapacityOptimizedPrioritized, LowestPrice, PriceCapacityOptimized};
    let mut pools = [pool("m5.large", 1, 0), pool("c5.large", 1, 1), pool("t3.large", 1, 2)];
    pools[1].shallow = true;
    let on_demand = Market::OnDemand;
    for (strategies, market, want) in [
        ((Prioritized, LowestPrice), on_demand, [0, 1, 2]),
        ((OnDemandStrategy::LowestPrice, LowestPrice), on_demand, [2, 1, 0]),
        ((Prioritized, LowestPrice), Market::Spot, [1, 0, 0]),
        ((Prioritized, CapacityOptimized), Market::Spot, [0, 2, 0]),
        ((Prioritized, CapacityOptimizedPrioritized), Market::Spot, [0, 2, 1]),
        ((Prioritized, PriceCapacityOptimized), Market::Spot, [1, 2, 0]),
    ] {
        let given = distribution(strategies.0, strategies.1);
        let got: Vec<u32> = (0..3).map(|at| misfit(&given, &pools, Some(at), market)).collect();
        assert_eq!(got, want, "{strategies:?} {market:?}");
        assert_eq!(misfit(&given, &pools, None, market), u32::MAX);
    }
}

/// The types that meet requirements, the cheapest first.
fn names(requirements: &Requirements, market: Market, measure: CapacityType) -> Vec<&'static str> {
    matching(Matching { requirements, measure, market }).into_iter().map(|kind| kind.name).collect()
}

/// Each requirement by itself, on top of four vCPUs.
#[test]
fn autoscaling_13_requirements() {
    let four = Requirements { vcpus: (4, Some(4)), on_demand_over_lowest: Some(999_999), ..Requirements::default() };
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let given = || four.clone();
    for (what, requirements, want) in [
        ("vCPUs", given(), vec!["c5.xlarge", "c6i.xlarge", "m5.xlarge", "m6i.xlarge", "r5.xlarge"]),
        (
            "memory",
            Requirements { memory_mib: (16 * 1024, Some(16 * 1024)), ..given() },
            vec!["m5.xlarge", "m6i.xlarge"],
        ),
        (
            "memory of a vCPU",
            Requirements { memory_gib_per_vcpu: Some((Some(4.5), None)), ..given() },
            vec!["r5.xlarge"],
        ),
        (
            "burstable",
            Requirements { burstable: Some(Inclusion::Required), ..given() },
            vec!["t3a.xlarge", "t3.xlarge", "t2.xlarge"],
        ),
        (
            "manufacturer",
            Requirements { manufacturers: words(&["amd"]), burstable: Some(Inclusion::Included), ..given() },
            vec!["t3a.xlarge"],
        ),
        ("generation", Requirements { generations: words(&["previous"]), ..given() }, vec![]),
        ("allowed", Requirements { allowed: words(&["m5.*", "r*"]), ..given() }, vec!["m5.xlarge", "r5.xlarge"]),
        ("excluded", Requirements { excluded: words(&["*5*"]), ..given() }, vec!["c6i.xlarge", "m6i.xlarge"]),
        ("interfaces", Requirements { interfaces: Some((Some(5), None)), ..given() }, vec![]),
        ("bare metal", Requirements { bare_metal: Some(Inclusion::Required), ..given() }, vec![]),
        ("local storage", Requirements { local_storage: Some(Inclusion::Required), ..given() }, vec![]),
    ] {
        assert_eq!(names(&requirements, Market::OnDemand, CapacityType::Units), want, "{what}");
    }
}

/// Types much dearer than the cheapest C, M or R type are not chosen.
#[test]
fn autoscaling_13_price_protection() {
    let given = |on_demand, spot, of| Requirements {
        vcpus: (2, Some(4)),
        memory_mib: (4 * 1024, Some(32 * 1024)),
        on_demand_over_lowest: on_demand,
        spot_over_lowest: spot,
        spot_of_on_demand: of,
        ..Requirements::default()
    };
    let large = ["c5.large", "c6i.large", "m5.large", "m6i.large"];
    for (requirements, market, dearest, count) in [
        (given(None, None, None), Market::OnDemand, large[3], 4),
        (given(Some(0), None, None), Market::OnDemand, "c6i.large", 2),
        (given(Some(50), None, None), Market::OnDemand, "r5.large", 5),
        (given(None, None, None), Market::Spot, "c6i.xlarge", 7),
        (given(None, Some(0), None), Market::Spot, "c6i.large", 2),
        (given(None, None, Some(35)), Market::Spot, "m6i.large", 4),
        (given(None, None, Some(999_999)), Market::Spot, "r5.xlarge", 10),
    ] {
        let found = names(&requirements, market, CapacityType::Units);
        assert_eq!((found.last().copied(), found.len()), (Some(dearest), count), "{requirements:?}");
    }
    // By the vCPU, a larger type of a family costs the same.
    let by_vcpu = names(&given(Some(0), None, None), Market::OnDemand, CapacityType::Vcpu);
    assert_eq!(by_vcpu, ["c5.large", "c5.xlarge", "c6i.large", "c6i.xlarge"]);
}

/// Prices are those of the reference, in proportion within a family; every
/// type has one.
#[test]
fn autoscaling_13_prices() {
    for (name, dollars) in [
        ("t3.micro", "0.010400"),
        ("t2.small", "0.023000"),
        ("t3a.2xlarge", "0.300800"),
        ("m5.large", "0.096000"),
        ("m6i.32xlarge", "6.144000"),
        ("c5.9xlarge", "1.530000"),
        ("r5.xlarge", "0.252000"),
    ] {
        assert_eq!(price::on_demand(name).map(price::dollars).as_deref(), Some(dollars), "{name}");
    }
    assert!(crate::types::all().iter().all(|kind| price::spot(kind.name) < price::on_demand(kind.name)));
    assert_eq!(price::on_demand("x1.large"), None);
    assert_eq!(price::spot("m5.large"), price::from_dollars("0.0288"));
    assert_eq!([price::from_dollars("nothing"), price::from_dollars("-1")], [None, None]);
}
