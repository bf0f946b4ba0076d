//! Mixed instances: a group's policy, its members and what is known of
//! capacity become the pools among which `domain::mixed` chooses, and what it
//! chose becomes data to launch.

use super::{DEFAULT_TYPE, Refusal};
use crate::engine::Plant;
use crate::groups::launch_data;
use crate::reconcile::outages;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::CapacityType;
use elastane_domain::id::*;
use elastane_domain::mixed::{self, Market, Matching, Mixed, Override, Pool, price};
use elastane_domain::types::{InstanceType, instance_type};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// EC2's code for a highest price below the spot price.
const PRICE_TOO_LOW: &str = "SpotMaxPriceTooLow";

/// Instances to launch alike.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What to launch, with type and way to buy filled in.
    pub data: LaunchData,
    /// The template and version that it came from.
    pub template: Option<(LaunchTemplateId, u64)>,
    /// What each counts for.
    pub weight: u32,
    /// How many.
    pub count: u32,
}

/// What is to be launched.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Where.
    pub zone: &'a Zone,
    /// How much capacity.
    pub units: u32,
    /// What was refused in the zone for want of capacity.
    pub tried: &'a [(String, Market)],
    /// Members that are being replaced: the shares are those of the others.
    pub leaving: &'a BTreeSet<InstanceId>,
}

/// What a group with mixed instances launches in a zone, on demand first;
/// nothing when there is no capacity left for any of it.
///
/// # Errors
/// Those of the policy's templates; `SpotMaxPriceTooLow` when every type costs
/// more than SpotMaxPrice.
pub fn choose(tx: &Tx<'_>, group: &Group, policy: &Mixed, wanted: Wanted<'_>) -> Result<Vec<Chosen>, Refusal> {
    // What refused one type for want of capacity refuses them all.
    if !wanted.tried.is_empty() && outages::cut(&tx.view(), wanted.zone) {
        return Ok(Vec::new());
    }
    let candidates = candidates(tx, policy, group.capacity_type)?;
    let members: Vec<Arc<Instance>> = tx.all::<Instance>().filter(|row| counted(row, &group.name)).cloned().collect();
    let mut pools = pools(&candidates, &members, wanted.zone);
    for (name, market) in wanted.tried {
        for pool in pools.iter_mut().filter(|pool| pool.instance_type == *name) {
            match market {
                Market::OnDemand => pool.on_demand = false,
                Market::Spot => pool.spot = false,
            }
        }
    }
    let spot_only = tx.config.plant == Some(Plant::SpotOnly);
    let shares = if spot_only { (0, wanted.units) } else { shares(group, policy, &members, wanted) };
    if shares.1 > 0 {
        afford(policy, &mut pools)?;
    }
    mixed::choose(&policy.distribution, &pools, shares)
        .into_iter()
        .map(|chosen| {
            let candidate = &candidates[chosen.pool];
            let (data, template) = data(tx, policy, candidate, chosen.market)?;
            Ok(Chosen { data, template, weight: candidate.weight, count: chosen.count })
        })
        .collect()
}

/// How much of what is launched is bought on demand, and how much on the spot
/// market: this zone's part of what the whole group still needs.
fn shares(group: &Group, policy: &Mixed, members: &[Arc<Instance>], wanted: Wanted<'_>) -> (u32, u32) {
    let staying = || members.iter().filter(|row| !wanted.leaving.contains(&row.id));
    let there: u32 = staying().map(|row| weight(row)).sum();
    let on_demand: u32 = staying().filter(|row| row.spot_request.is_none()).map(|row| weight(row)).sum();
    let least = there.saturating_add(wanted.units);
    let total = group.bounds.clamp(group.desired).max(least);
    let lacking = mixed::on_demand_units(&policy.distribution, total).saturating_sub(on_demand);
    let all = (total - there).max(1);
    let part = (u64::from(lacking) * u64::from(wanted.units)).div_ceil(u64::from(all));
    let part = u32::try_from(part).unwrap_or(u32::MAX).min(wanted.units);
    (part, wanted.units - part)
}

/// Closes the spot pools that cost more than SpotMaxPrice.
fn afford(policy: &Mixed, pools: &mut [Pool]) -> Result<(), Refusal> {
    let Some(most) = policy.distribution.spot_max_price.as_deref().and_then(price::from_dollars) else {
        return Ok(());
    };
    let spot_price = |pool: &Pool| price::spot(&pool.instance_type).unwrap_or(0);
    let least = pools.iter().map(spot_price).min().unwrap_or(0);
    if least > most {
        let message = format!(
            "Your Spot request price of {} is lower than the minimum required Spot request fulfillment price of {}.",
            price::dollars(most),
            price::dollars(least)
        );
        return Err(Refusal::new(PRICE_TOO_LOW, message));
    }
    for pool in pools.iter_mut() {
        pool.spot = pool.spot && spot_price(pool) <= most;
    }
    Ok(())
}

/// Everything that a policy could launch, in its order: what a group checks
/// when the policy is set.
///
/// # Errors
/// Those of its templates; `InvalidParameterValue` when no type meets an
/// override's requirements.
pub fn every(tx: &Tx<'_>, policy: &Mixed, measure: CapacityType) -> Result<Vec<LaunchData>, Refusal> {
    let empty = policy.overrides.iter().filter_map(|item| item.requirements.as_ref()).find(|requirements| {
        let none = |market| mixed::matching(Matching { requirements, measure, market }).is_empty();
        none(Market::OnDemand) && none(Market::Spot)
    });
    if empty.is_some() {
        let message = "No instance type that is offered here meets the specified InstanceRequirements.";
        return Err(Refusal::new("InvalidParameterValue", message));
    }
    let found = candidates(tx, policy, measure)?;
    found.iter().map(|one| data(tx, policy, one, Market::OnDemand).map(|(data, _)| data)).collect()
}

/// The smallest and the largest weight that a policy gives an instance, at least 1.
pub fn weights(policy: &Mixed, measure: CapacityType) -> (u32, u32) {
    let of = |item: &Override| match &item.requirements {
        Some(requirements) => [Market::OnDemand, Market::Spot]
            .into_iter()
            .flat_map(|market| mixed::matching(Matching { requirements, measure, market }))
            .map(|kind| size(kind, measure))
            .collect(),
        None => vec![item.weight.unwrap_or(1)],
    };
    let all: Vec<u32> = policy.overrides.iter().flat_map(of).collect();
    let least = all.iter().min().copied().unwrap_or(1).max(1);
    (least, all.into_iter().max().unwrap_or(1).max(least))
}

/// How well a group's members fit its policy.
#[derive(Debug, Default)]
pub struct Fits {
    /// By instance; those that are not mentioned fit.
    misfits: BTreeMap<InstanceId, u32>,
}

impl Fits {
    /// Looks at all members at once.
    pub fn new(tx: &Tx<'_>, group: &Group, members: &[Arc<Instance>]) -> Fits {
        let LaunchSource::Mixed(policy) = &group.source else { return Fits::default() };
        let Ok(candidates) = candidates(tx, policy, group.capacity_type) else { return Fits::default() };
        let mut zones: BTreeMap<&Zone, Vec<Pool>> = BTreeMap::new();
        let mut misfits = BTreeMap::new();
        for member in members {
            let pools = zones.entry(&member.zone).or_insert_with(|| pools(&candidates, members, &member.zone));
            let at = pools.iter().position(|pool| pool.instance_type == member.instance_type);
            let misfit = mixed::misfit(&policy.distribution, pools, at, market(member));
            misfits.insert(member.id.clone(), misfit);
        }
        Fits { misfits }
    }

    /// The larger the worse; zero in groups without mixed instances.
    pub fn misfit(&self, instance: &InstanceId) -> u32 {
        self.misfits.get(instance).copied().unwrap_or(0)
    }
}

/// Whether a group wants an instance replaced before it is interrupted. The
/// interruption notice is the only rebalance recommendation here.
pub fn at_risk(group: &Group, instance: &Instance) -> bool {
    group.capacity_rebalance && instance.spot_request.is_some() && instance.interruption.is_some()
}

/// How an instance was bought.
pub fn market(instance: &Instance) -> Market {
    if instance.spot_request.is_some() { Market::Spot } else { Market::OnDemand }
}

/// One type of a policy.
struct Candidate<'a> {
    instance_type: String,
    weight: u32,
    item: Option<&'a Override>,
    on_demand: bool,
    spot: bool,
}

/// The types of a policy in its order, each once: those of its overrides, or
/// its template's own.
fn candidates<'a>(tx: &Tx<'_>, policy: &'a Mixed, measure: CapacityType) -> Result<Vec<Candidate<'a>>, Refusal> {
    let mut found: Vec<Candidate<'a>> = Vec::new();
    let mut add = |one: Candidate<'a>| match found.iter_mut().find(|known| known.instance_type == one.instance_type) {
        Some(known) => (known.on_demand, known.spot) = (known.on_demand || one.on_demand, known.spot || one.spot),
        None => found.push(one),
    };
    for item in &policy.overrides {
        let Some(requirements) = &item.requirements else {
            let instance_type = match &item.instance_type {
                Some(name) => name.clone(),
                None => own_type(tx, policy, Some(item))?,
            };
            let weight = item.weight.unwrap_or(1);
            add(Candidate { instance_type, weight, item: Some(item), on_demand: true, spot: true });
            continue;
        };
        for market in [Market::OnDemand, Market::Spot] {
            for kind in mixed::matching(Matching { requirements, measure, market }) {
                add(Candidate {
                    instance_type: kind.name.to_string(),
                    weight: size(kind, measure),
                    item: Some(item),
                    on_demand: market == Market::OnDemand,
                    spot: market == Market::Spot,
                });
            }
        }
    }
    if policy.overrides.is_empty() {
        let instance_type = own_type(tx, policy, None)?;
        add(Candidate { instance_type, weight: 1, item: None, on_demand: true, spot: true });
    }
    Ok(found)
}

/// What an instance counts for in a group whose capacity counts this.
fn size(kind: &InstanceType, measure: CapacityType) -> u32 {
    match measure {
        CapacityType::Units => 1,
        CapacityType::Vcpu => kind.vcpus,
        CapacityType::MemoryMib => kind.memory_mib,
    }
}

type Launch = (LaunchData, Option<(LaunchTemplateId, u64)>);

/// The data of the template that is used for an override.
fn template(tx: &Tx<'_>, policy: &Mixed, item: Option<&Override>) -> Result<Launch, Refusal> {
    let template = item.and_then(|item| item.template.as_ref()).unwrap_or(&policy.template);
    launch_data(tx, &LaunchSource::Template(template.clone()))
}

/// The type that a template says.
fn own_type(tx: &Tx<'_>, policy: &Mixed, item: Option<&Override>) -> Result<String, Refusal> {
    let (data, _) = template(tx, policy, item)?;
    Ok(data.instance_type.unwrap_or_else(|| DEFAULT_TYPE.to_string()))
}

fn data(tx: &Tx<'_>, policy: &Mixed, candidate: &Candidate<'_>, market: Market) -> Result<Launch, Refusal> {
    let (mut data, from) = template(tx, policy, candidate.item)?;
    if let Some(image) = candidate.item.and_then(|item| item.image.as_deref()) {
        (data.image, data.image_parameter) = match image.strip_prefix("resolve:ssm:") {
            Some(name) => (None, Some(name.to_string())),
            None => (Some(ImageId::from(image)), None),
        };
    }
    data.instance_type = Some(candidate.instance_type.clone());
    data.spot = match market {
        Market::OnDemand => None,
        Market::Spot => Some(SpotChoice { price: policy.distribution.spot_max_price.clone(), ..SpotChoice::default() }),
    };
    Ok((data, from))
}

/// The candidates as a zone has them.
fn pools(candidates: &[Candidate<'_>], members: &[Arc<Instance>], zone: &Zone) -> Vec<Pool> {
    let spot = |name: &str| {
        let here = |row: &&Arc<Instance>| row.zone == *zone && row.instance_type == name && row.spot_request.is_some();
        members.iter().filter(here).fold((0, false), |(taken, shallow), row| match row.interruption {
            Some(_) => (taken, true),
            None => (taken + 1, shallow),
        })
    };
    let known = |name: &str| instance_type(name).is_some();
    let pool = |(order, one): (usize, &Candidate<'_>)| {
        let (taken, shallow) = spot(&one.instance_type);
        let known = known(&one.instance_type);
        Pool {
            instance_type: one.instance_type.clone(),
            weight: one.weight.max(1),
            order,
            on_demand: one.on_demand && known,
            spot: one.spot && known,
            shallow,
            taken,
        }
    };
    candidates.iter().enumerate().map(pool).collect()
}

fn counted(row: &Instance, group: &GroupName) -> bool {
    row.membership.as_ref().is_some_and(|place| place.group == *group && place.lifecycle.counts_as_capacity())
}

fn weight(row: &Instance) -> u32 {
    row.membership.as_ref().map_or(1, |place| place.weight.max(1))
}
