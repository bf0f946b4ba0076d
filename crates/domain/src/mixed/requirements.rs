//! Attribute-based selection: which of the types that exist have what an
//! override asks for (EC2 Auto Scaling User Guide, "Attribute-based instance
//! type selection"). Types here have neither accelerators nor local storage,
//! and none is bare metal.

use super::Market;
use super::price::{self, MicroDollars};
use crate::group::{CapacityType, words};
use crate::types::{self, InstanceType};
use crate::wildcard;
use serde::{Deserialize, Serialize};

/// OnDemandMaxPricePercentageOverLowestPrice when it is not given.
const ON_DEMAND_OVER_LOWEST: u32 = 20;

/// SpotMaxPricePercentageOverLowestPrice when it is not given.
const SPOT_OVER_LOWEST: u32 = 100;

/// A percentage that turns price protection off (API reference).
const ANY_PRICE: u32 = 999_999;

words! {
    /// Whether types with a property may be chosen.
    Inclusion {
        /// They may.
        Included = "included",
        /// They may not.
        Excluded = "excluded",
        /// Only they.
        Required = "required",
    }
}

/// InstanceRequirements: the types that an override stands for, by what they
/// have instead of by name. What is `None` or empty was not given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// VCpuCount, least and most.
    pub vcpus: (u32, Option<u32>),
    /// MemoryMiB, least and most.
    pub memory_mib: (u32, Option<u32>),
    /// MemoryGiBPerVCpu, least and most.
    pub memory_gib_per_vcpu: Option<(Option<f64>, Option<f64>)>,
    /// NetworkInterfaceCount, least and most.
    pub interfaces: Option<(Option<u32>, Option<u32>)>,
    /// CpuManufacturers, in AWS's words.
    pub manufacturers: Vec<String>,
    /// InstanceGenerations, in AWS's words.
    pub generations: Vec<String>,
    /// BurstablePerformance; excluded when not given.
    pub burstable: Option<Inclusion>,
    /// BareMetal: no type is.
    pub bare_metal: Option<Inclusion>,
    /// LocalStorage: no type has any.
    pub local_storage: Option<Inclusion>,
    /// AllowedInstanceTypes: names with asterisks.
    pub allowed: Vec<String>,
    /// ExcludedInstanceTypes: names with asterisks.
    pub excluded: Vec<String>,
    /// OnDemandMaxPricePercentageOverLowestPrice.
    pub on_demand_over_lowest: Option<u32>,
    /// SpotMaxPricePercentageOverLowestPrice.
    pub spot_over_lowest: Option<u32>,
    /// MaxSpotPriceAsPercentageOfOptimalOnDemandPrice.
    pub spot_of_on_demand: Option<u32>,
}

/// What types are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Matching<'a> {
    /// What they must have.
    pub requirements: &'a Requirements,
    /// What a group's capacity counts: prices are compared by it.
    pub measure: CapacityType,
    /// How they are to be bought: prices are protected differently.
    pub market: Market,
}

/// The types that meet the requirements and are not protected against as too
/// dear, the cheapest first.
pub fn matching(wanted: Matching<'_>) -> Vec<&'static InstanceType> {
    let mut found: Vec<(&'static InstanceType, MicroDollars)> = types::all()
        .iter()
        .filter(|kind| wanted.requirements.fit(kind))
        .filter_map(|kind| Some((kind, wanted.price(kind)?)))
        .collect();
    found.sort_by_key(|(kind, price)| (*price, kind.name));
    if let Some(most) = wanted.most(&found) {
        found.retain(|(_, price)| u128::from(*price) * 100 <= most);
    }
    found.into_iter().map(|(kind, _)| kind).collect()
}

impl Matching<'_> {
    /// The on-demand price of a unit of capacity. In thousandths, so that
    /// units as small as a MiB differ.
    fn price(&self, kind: &InstanceType) -> Option<MicroDollars> {
        let whole = price::on_demand(kind.name)? * 1_000;
        Some(match self.measure {
            CapacityType::Units => whole,
            CapacityType::Vcpu => whole / u64::from(kind.vcpus),
            CapacityType::MemoryMib => whole / u64::from(kind.memory_mib),
        })
    }

    /// Price protection: the most that a type may cost, in hundredths of the
    /// reference, which is the cheapest current C, M or R type that matches;
    /// failing that the cheapest current one, then the cheapest. Spot prices
    /// are in proportion to on-demand prices, so these are compared for both.
    fn most(&self, found: &[(&'static InstanceType, MicroDollars)]) -> Option<u128> {
        let current = |kind: &&InstanceType| kind.current_generation;
        let common = |kind: &&InstanceType| current(kind) && kind.name.starts_with(['c', 'm', 'r']);
        let cheapest = |fits: &dyn Fn(&&InstanceType) -> bool| {
            found.iter().find(|(kind, _)| fits(kind)).map(|(_, price)| u128::from(*price))
        };
        let reference = cheapest(&common).or_else(|| cheapest(&current)).or_else(|| cheapest(&|_| true))?;
        let wants = self.requirements;
        let percent = match (self.market, wants.spot_of_on_demand) {
            (Market::OnDemand, _) => wants.on_demand_over_lowest.unwrap_or(ON_DEMAND_OVER_LOWEST),
            (Market::Spot, Some(ANY_PRICE..)) => return None,
            (Market::Spot, Some(of)) => {
                return Some(reference * u128::from(of) * 100 / u128::from(price::SPOT_PERCENT));
            }
            (Market::Spot, None) => wants.spot_over_lowest.unwrap_or(SPOT_OVER_LOWEST),
        };
        (percent < ANY_PRICE).then(|| reference * (100 + u128::from(percent)))
    }
}

impl Requirements {
    /// Whether a type has what is required, prices aside.
    fn fit(&self, kind: &InstanceType) -> bool {
        let per_vcpu = f64::from(kind.memory_mib) / 1024.0 / f64::from(kind.vcpus);
        let generation = if kind.current_generation { "current" } else { "previous" };
        let one_of = |words: &[String], word: &str| words.is_empty() || words.iter().any(|other| other == word);
        let named = |patterns: &[String]| patterns.iter().any(|pattern| wildcard::matches(pattern, kind.name));
        (self.allowed.is_empty() || named(&self.allowed))
            && !named(&self.excluded)
            && within(kind.vcpus, (Some(self.vcpus.0), self.vcpus.1))
            && within(kind.memory_mib, (Some(self.memory_mib.0), self.memory_mib.1))
            && self.memory_gib_per_vcpu.is_none_or(|range| within(per_vcpu, range))
            && self.interfaces.is_none_or(|range| within(u32::from(kind.interface_limits().0), range))
            && one_of(&self.manufacturers, manufacturer(kind))
            && one_of(&self.generations, generation)
            && allows(self.burstable, Inclusion::Excluded, kind.burstable)
            && allows(self.bare_metal, Inclusion::Excluded, false)
            && allows(self.local_storage, Inclusion::Included, false)
    }
}

fn within<T: PartialOrd>(value: T, (least, most): (Option<T>, Option<T>)) -> bool {
    least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most)
}

fn allows(given: Option<Inclusion>, default: Inclusion, has: bool) -> bool {
    match given.unwrap_or(default) {
        Inclusion::Included => true,
        Inclusion::Excluded => !has,
        Inclusion::Required => has,
    }
}

/// Families whose names end in `a` have processors of AMD.
fn manufacturer(kind: &InstanceType) -> &'static str {
    let family = kind.name.split('.').next().unwrap_or_default();
    if family.ends_with('a') { "amd" } else { "intel" }
}
