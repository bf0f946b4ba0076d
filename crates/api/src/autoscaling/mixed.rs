//! MixedInstancesPolicy between its wire shape and the row.

use super::{describe, errors, requirements, settings};
use elastane_domain::mixed::{Distribution, Mixed, OnDemandStrategy, Override, SpotStrategy, price};
use elastane_domain::types::instance_type;
use elastane_engine::View;
use elastane_engine::row::LaunchTemplate;
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeSet;

/// Overrides of one policy (EC2 Auto Scaling quotas).
const OVERRIDES_MAX: usize = 40;

/// WeightedCapacity (API reference).
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=999;

/// SpotInstancePools (API reference).
const POOLS: std::ops::RangeInclusive<u32> = 1..=20;

/// SpotInstancePools when it is not given.
const DEFAULT_POOLS: u32 = 2;

/// What a policy says. The distribution keeps what it was `before` where
/// nothing is said; template and overrides come together, or stay together.
///
/// # Errors
/// `ValidationError` for templates and types that do not exist, for values
/// out of range, and for what is not implemented.
pub fn read(view: &View<'_>, policy: &wire::MixedInstancesPolicy, before: Option<&Mixed>) -> Result<Mixed, ApiError> {
    let (template, overrides) = match (&policy.launch_template, before) {
        (Some(given), before) => {
            let template = match (&given.launch_template_specification, before) {
                (Some(spec), _) => settings::template(view, spec)?,
                (None, Some(before)) => before.template.clone(),
                (None, None) => return Err(errors::missing("LaunchTemplateSpecification")),
            };
            (template, overrides(view, &given.overrides)?)
        }
        (None, Some(before)) => (before.template.clone(), before.overrides.clone()),
        (None, None) => return Err(errors::missing("LaunchTemplate")),
    };
    for template in overrides.iter().filter_map(|item| item.template.as_ref()).chain([&template]) {
        let row = view.get::<LaunchTemplate>(template.id.as_str());
        let spot = row.and_then(|row| row.version(&template.version)).is_some_and(|found| found.data.spot.is_some());
        if spot {
            return Err(errors::invalid(
                "Incompatible launch template: you cannot use a launch template that requests Spot Instances \
                 (InstanceMarketOptions) with a mixed instances policy.",
            ));
        }
    }
    let by_requirements = overrides.iter().any(|item| item.requirements.is_some());
    let before = before.map(|before| &before.distribution);
    let given = policy.instances_distribution.clone().unwrap_or_default();
    Ok(Mixed { template, overrides, distribution: distribution(&given, before, by_requirements)? })
}

fn overrides(view: &View<'_>, given: &[wire::LaunchTemplateOverrides]) -> Result<Vec<Override>, ApiError> {
    if given.len() > OVERRIDES_MAX {
        return Err(errors::invalid(format!("A launch template may have at most {OVERRIDES_MAX} overrides.")));
    }
    let found: Vec<Override> = given.iter().map(|one| one_override(view, one)).collect::<Result<_, _>>()?;
    let weighted = found.iter().filter(|item| item.weight.is_some()).count();
    if weighted != 0 && weighted != found.len() {
        return Err(errors::invalid(
            "If you specify a weight for one instance type, you must specify a weight for all of them.",
        ));
    }
    let by_requirements = found.iter().filter(|item| item.requirements.is_some()).count();
    if by_requirements != 0 && by_requirements != found.len() {
        return Err(errors::invalid("Overrides with InstanceRequirements and with InstanceType cannot be mixed."));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = found.iter().filter_map(|item| item.instance_type.as_deref()).find(|name| !names.insert(*name))
    {
        return Err(errors::invalid(format!("The instance type {twice} is given twice in the overrides.")));
    }
    Ok(found)
}

fn one_override(view: &View<'_>, given: &wire::LaunchTemplateOverrides) -> Result<Override, ApiError> {
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let name = text(&given.instance_type);
    if let Some(name) = name.as_deref().filter(|name| instance_type(name).is_none()) {
        return Err(errors::invalid(format!("The instance type {name} is not offered here.")));
    }
    if name.is_some() && given.instance_requirements.is_some() {
        return Err(errors::invalid("An override has either InstanceType or InstanceRequirements, not both."));
    }
    let weight = text(&given.weighted_capacity).map(|text| weight(&text)).transpose()?;
    if weight.is_some() && given.instance_requirements.is_some() {
        return Err(errors::invalid(
            "WeightedCapacity cannot be used with InstanceRequirements; use DesiredCapacityType.",
        ));
    }
    Ok(Override {
        instance_type: name,
        weight,
        template: given
            .launch_template_specification
            .as_ref()
            .map(|spec| settings::template(view, spec))
            .transpose()?,
        requirements: given.instance_requirements.as_ref().map(requirements::read).transpose()?,
        image: text(&given.image_id),
    })
}

fn weight(text: &str) -> Result<u32, ApiError> {
    text.parse().ok().filter(|weight| WEIGHTS.contains(weight)).ok_or_else(|| {
        let (least, most) = (WEIGHTS.start(), WEIGHTS.end());
        errors::invalid(format!("Invalid WeightedCapacity '{text}': it must be between {least} and {most}."))
    })
}

/// InstancesDistribution with the defaults of autoscaling.md 13 filled in.
fn distribution(
    given: &wire::InstancesDistribution,
    before: Option<&Distribution>,
    by_requirements: bool,
) -> Result<Distribution, ApiError> {
    let segments = !given.distribution_segments.is_empty();
    errors::refuse_unsupported(&[("InstancesDistribution.DistributionSegments", segments)])?;
    let on_demand_strategy = match given.on_demand_allocation_strategy.as_deref().filter(|name| !name.is_empty()) {
        None if by_requirements => OnDemandStrategy::LowestPrice,
        None => before.map_or(OnDemandStrategy::Prioritized, |before| before.on_demand_strategy),
        Some(name) => OnDemandStrategy::from_name(name).ok_or_else(|| invalid("OnDemandAllocationStrategy", name))?,
    };
    if by_requirements && on_demand_strategy == OnDemandStrategy::Prioritized {
        return Err(errors::invalid(
            "OnDemandAllocationStrategy prioritized cannot be used with InstanceRequirements: their types have no \
             order. Use lowest-price.",
        ));
    }
    let spot_strategy = match given.spot_allocation_strategy.as_deref().filter(|name| !name.is_empty()) {
        None => before.map_or(SpotStrategy::LowestPrice, |before| before.spot_strategy),
        Some(name) => SpotStrategy::from_name(name).ok_or_else(|| invalid("SpotAllocationStrategy", name))?,
    };
    if by_requirements && spot_strategy == SpotStrategy::CapacityOptimizedPrioritized {
        return Err(errors::invalid(
            "SpotAllocationStrategy capacity-optimized-prioritized cannot be used with InstanceRequirements.",
        ));
    }
    let lowest = spot_strategy == SpotStrategy::LowestPrice;
    if given.spot_instance_pools.is_some() && !lowest {
        return Err(errors::invalid("SpotInstancePools is only available with the lowest-price allocation strategy."));
    }
    let spot_pools = match given.spot_instance_pools {
        None => before.filter(|_| lowest).map_or(DEFAULT_POOLS, |before| before.spot_pools),
        given => number(given, "SpotInstancePools", POOLS)?.unwrap_or(DEFAULT_POOLS),
    };
    let base = number(given.on_demand_base_capacity, "OnDemandBaseCapacity", 0..=i32::MAX as u32)?;
    let percent =
        number(given.on_demand_percentage_above_base_capacity, "OnDemandPercentageAboveBaseCapacity", 0..=100)?;
    Ok(Distribution {
        on_demand_strategy,
        on_demand_base: base.or(before.map(|before| before.on_demand_base)).unwrap_or(0),
        on_demand_percent: percent.or(before.map(|before| before.on_demand_percent)).unwrap_or(100),
        spot_strategy,
        spot_pools,
        spot_max_price: match given.spot_max_price.as_deref() {
            None => before.and_then(|before| before.spot_max_price.clone()),
            // An empty text takes the limit away.
            Some("") => None,
            Some(text) => {
                price::from_dollars(text).ok_or_else(|| invalid("SpotMaxPrice", text))?;
                Some(text.to_string())
            }
        },
    })
}

fn invalid(member: &str, value: &str) -> ApiError {
    errors::invalid(format!("Invalid {member} '{value}'."))
}

fn number(value: Option<i32>, member: &str, range: std::ops::RangeInclusive<u32>) -> Result<Option<u32>, ApiError> {
    let Some(given) = value else { return Ok(None) };
    let fine = u32::try_from(given).ok().filter(|number| range.contains(number));
    let (least, most) = (range.start(), range.end());
    fine.map(Some)
        .ok_or_else(|| errors::invalid(format!("Invalid {member} {given}: it must be between {least} and {most}.")))
}

/// A policy as clients see it, with every default.
pub fn shown(view: &View<'_>, policy: &Mixed) -> wire::MixedInstancesPolicy {
    let template = |one: &elastane_domain::mixed::TemplateRef| describe::template(view, one.id.as_str(), &one.version);
    let given = &policy.distribution;
    let lowest = given.spot_strategy == SpotStrategy::LowestPrice;
    wire::MixedInstancesPolicy {
        launch_template: Some(wire::LaunchTemplate {
            launch_template_specification: Some(template(&policy.template)),
            overrides: policy
                .overrides
                .iter()
                .map(|item| wire::LaunchTemplateOverrides {
                    image_id: item.image.clone(),
                    instance_requirements: item.requirements.as_ref().map(requirements::shown),
                    instance_type: item.instance_type.clone(),
                    launch_template_specification: item.template.as_ref().map(template),
                    weighted_capacity: item.weight.map(|weight| weight.to_string()),
                })
                .collect(),
        }),
        instances_distribution: Some(wire::InstancesDistribution {
            on_demand_allocation_strategy: Some(given.on_demand_strategy.name().to_string()),
            on_demand_base_capacity: Some(given.on_demand_base as i32),
            on_demand_percentage_above_base_capacity: Some(given.on_demand_percent as i32),
            spot_allocation_strategy: Some(given.spot_strategy.name().to_string()),
            spot_instance_pools: lowest.then_some(given.spot_pools as i32),
            spot_max_price: given.spot_max_price.clone(),
            ..wire::InstancesDistribution::default()
        }),
    }
}
