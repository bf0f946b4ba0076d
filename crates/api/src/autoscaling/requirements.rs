//! InstanceRequirements between their wire shape and the row. What no type
//! here differs in (accelerators, disks, bandwidths) is refused, unless it
//! asks for none.

use super::errors;
use elastane_domain::mixed::{Inclusion, Requirements};
use elastane_wire::{ApiError, autoscaling as wire};

/// Patterns in one list (API reference).
const PATTERNS_MAX: usize = 400;

/// CpuManufacturers.
const MANUFACTURERS: [&str; 4] = ["intel", "amd", "amazon-web-services", "apple"];

/// InstanceGenerations.
const GENERATIONS: [&str; 2] = ["current", "previous"];

/// What an override requires of its types.
///
/// # Errors
/// `ValidationError` for values out of range and for what cannot be judged.
pub fn read(given: &wire::InstanceRequirements) -> Result<Requirements, ApiError> {
    refuse(given)?;
    let vcpus = given.v_cpu_count.as_ref().ok_or_else(|| errors::missing("VCpuCount"))?;
    let memory = given.memory_mi_b.as_ref().ok_or_else(|| errors::missing("MemoryMiB"))?;
    if !given.allowed_instance_types.is_empty() && !given.excluded_instance_types.is_empty() {
        return Err(errors::invalid("AllowedInstanceTypes and ExcludedInstanceTypes cannot be given together."));
    }
    let spot = given.spot_max_price_percentage_over_lowest_price;
    let spot_of_on_demand = given.max_spot_price_as_percentage_of_optimal_on_demand_price;
    if spot.is_some() && spot_of_on_demand.is_some() {
        return Err(errors::invalid(
            "SpotMaxPricePercentageOverLowestPrice and MaxSpotPriceAsPercentageOfOptimalOnDemandPrice cannot be given \
             together.",
        ));
    }
    Ok(Requirements {
        vcpus: least_and_most((vcpus.min, vcpus.max), "VCpuCount")?,
        memory_mib: least_and_most((memory.min, memory.max), "MemoryMiB")?,
        memory_gib_per_vcpu: given.memory_gi_b_per_v_cpu.as_ref().map(|range| (range.min, range.max)),
        interfaces: given
            .network_interface_count
            .as_ref()
            .map(|range| {
                let member = "NetworkInterfaceCount";
                Ok::<_, ApiError>((whole(range.min, member)?, whole(range.max, member)?))
            })
            .transpose()?,
        manufacturers: words(&given.cpu_manufacturers, &MANUFACTURERS, "CpuManufacturers")?,
        generations: words(&given.instance_generations, &GENERATIONS, "InstanceGenerations")?,
        burstable: inclusion(given.burstable_performance.as_deref(), "BurstablePerformance")?,
        bare_metal: inclusion(given.bare_metal.as_deref(), "BareMetal")?,
        local_storage: inclusion(given.local_storage.as_deref(), "LocalStorage")?,
        allowed: patterns(&given.allowed_instance_types, "AllowedInstanceTypes")?,
        excluded: patterns(&given.excluded_instance_types, "ExcludedInstanceTypes")?,
        on_demand_over_lowest: whole(
            given.on_demand_max_price_percentage_over_lowest_price,
            "OnDemandMaxPricePercentageOverLowestPrice",
        )?,
        spot_over_lowest: whole(spot, "SpotMaxPricePercentageOverLowestPrice")?,
        spot_of_on_demand: whole(spot_of_on_demand, "MaxSpotPriceAsPercentageOfOptimalOnDemandPrice")?,
    })
}

fn refuse(given: &wire::InstanceRequirements) -> Result<(), ApiError> {
    let accelerators = given.accelerator_count.as_ref();
    let wants_accelerators = accelerators.is_some_and(|range| range.min.unwrap_or(0) > 0 || range.max != Some(0));
    errors::refuse_unsupported(&[
        ("InstanceRequirements.AcceleratorCount", wants_accelerators),
        ("InstanceRequirements.AcceleratorManufacturers", !given.accelerator_manufacturers.is_empty()),
        ("InstanceRequirements.AcceleratorNames", !given.accelerator_names.is_empty()),
        ("InstanceRequirements.AcceleratorTotalMemoryMiB", given.accelerator_total_memory_mi_b.is_some()),
        ("InstanceRequirements.AcceleratorTypes", !given.accelerator_types.is_empty()),
        ("InstanceRequirements.BaselineEbsBandwidthMbps", given.baseline_ebs_bandwidth_mbps.is_some()),
        ("InstanceRequirements.BaselinePerformanceFactors", given.baseline_performance_factors.is_some()),
        ("InstanceRequirements.LocalStorageTypes", !given.local_storage_types.is_empty()),
        ("InstanceRequirements.NetworkBandwidthGbps", given.network_bandwidth_gbps.is_some()),
        ("InstanceRequirements.RequireHibernateSupport", given.require_hibernate_support == Some(true)),
        ("InstanceRequirements.TotalLocalStorageGB", given.total_local_storage_gb.is_some()),
    ])
}

fn whole(value: Option<i32>, member: &str) -> Result<Option<u32>, ApiError> {
    value
        .map(|given| {
            u32::try_from(given).map_err(|_| errors::invalid(format!("{member} must not be negative, not {given}.")))
        })
        .transpose()
}

fn least_and_most((least, most): (Option<i32>, Option<i32>), member: &str) -> Result<(u32, Option<u32>), ApiError> {
    let least = whole(least, member)?.ok_or_else(|| errors::missing(&format!("{member}.Min")))?;
    let most = whole(most, member)?;
    if most.is_some_and(|most| most < least) {
        return Err(errors::invalid(format!("{member}.Max must not be less than {member}.Min.")));
    }
    Ok((least, most))
}

fn words(given: &[String], known: &[&str], member: &str) -> Result<Vec<String>, ApiError> {
    match given.iter().find(|word| !known.contains(&word.as_str())) {
        Some(word) => {
            Err(errors::invalid(format!("Invalid {member} '{word}'. Valid values are: {}", known.join(", "))))
        }
        None => Ok(given.to_vec()),
    }
}

fn patterns(given: &[String], member: &str) -> Result<Vec<String>, ApiError> {
    if given.len() > PATTERNS_MAX {
        return Err(errors::invalid(format!("{member} may have at most {PATTERNS_MAX} values.")));
    }
    let fine = |text: &&String| {
        (1..=30).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".*-".contains(&byte))
    };
    match given.iter().find(|text| !fine(text)) {
        Some(text) => Err(errors::invalid(format!("Invalid value '{text}' in {member}."))),
        None => Ok(given.to_vec()),
    }
}

fn inclusion(given: Option<&str>, member: &str) -> Result<Option<Inclusion>, ApiError> {
    given
        .filter(|word| !word.is_empty())
        .map(|word| {
            Inclusion::from_name(word).ok_or_else(|| {
                errors::invalid(format!("Invalid {member} '{word}'. Valid values are: included, excluded, required"))
            })
        })
        .transpose()
}

/// Requirements as they were given.
pub fn shown(given: &Requirements) -> wire::InstanceRequirements {
    let whole = |value: Option<u32>| value.map(|value| value as i32);
    let word = |value: Option<Inclusion>| value.map(|value| value.name().to_string());
    wire::InstanceRequirements {
        allowed_instance_types: given.allowed.clone(),
        bare_metal: word(given.bare_metal),
        burstable_performance: word(given.burstable),
        cpu_manufacturers: given.manufacturers.clone(),
        excluded_instance_types: given.excluded.clone(),
        instance_generations: given.generations.clone(),
        local_storage: word(given.local_storage),
        max_spot_price_as_percentage_of_optimal_on_demand_price: whole(given.spot_of_on_demand),
        memory_gi_b_per_v_cpu: given.memory_gib_per_vcpu.map(|(min, max)| wire::MemoryGiBPerVCpuRequest { min, max }),
        memory_mi_b: Some(wire::MemoryMiBRequest {
            min: Some(given.memory_mib.0 as i32),
            max: whole(given.memory_mib.1),
        }),
        network_interface_count: given
            .interfaces
            .map(|(min, max)| wire::NetworkInterfaceCountRequest { min: whole(min), max: whole(max) }),
        on_demand_max_price_percentage_over_lowest_price: whole(given.on_demand_over_lowest),
        spot_max_price_percentage_over_lowest_price: whole(given.spot_over_lowest),
        v_cpu_count: Some(wire::VCpuCountRequest { min: Some(given.vcpus.0 as i32), max: whole(given.vcpus.1) }),
        ..wire::InstanceRequirements::default()
    }
}
