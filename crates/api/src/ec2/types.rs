//! DescribeInstanceTypes: the types that can be launched, from the domain's table.

use super::filter::Filters;
use super::{errors, paging};
use crate::Call;
use elastane_domain::types::{self, InstanceType};
use elastane_engine::row::Tags;
use elastane_wire::{ApiError, ec2 as wire};
use std::ops::RangeInclusive;

/// MaxResults, and how many types one call may name (EC2 API Reference,
/// "DescribeInstanceTypes").
const PAGE: RangeInclusive<i32> = 5..=100;

/// Types of AWS's free tier.
const FREE_TIER: &[&str] = &["t2.micro", "t3.micro"];

const FILTERS: &[&str] = &[
    "auto-recovery-supported",
    "bare-metal",
    "burstable-performance-supported",
    "current-generation",
    "dedicated-hosts-supported",
    "ebs-info.ebs-optimized-support",
    "free-tier-eligible",
    "hibernation-supported",
    "hypervisor",
    "instance-storage-supported",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.ena-support",
    "network-info.ipv6-supported",
    "processor-info.supported-architecture",
    "supported-boot-mode",
    "supported-root-device-type",
    "supported-usage-class",
    "supported-virtualization-type",
    "vcpu-info.default-cores",
    "vcpu-info.default-threads-per-core",
    "vcpu-info.default-vcpus",
];

/// DescribeInstanceTypes.
pub fn describe_instance_types(
    call: &Call<'_>,
    input: &wire::DescribeInstanceTypesRequest,
) -> Result<wire::DescribeInstanceTypesResult, ApiError> {
    let _ = call;
    errors::dry_run(input.dry_run)?;
    let filters = Filters::new(&input.filters, FILTERS)?;
    let named = &input.instance_types;
    let unknown: Vec<&str> =
        named.iter().map(String::as_str).filter(|name| types::instance_type(name).is_none()).collect();
    if !unknown.is_empty() {
        let message = format!("The following supplied instance types do not exist: [{}]", unknown.join(", "));
        return Err(ApiError::new("InvalidInstanceType", message));
    }
    let mut found: Vec<&InstanceType> = types::all()
        .iter()
        .filter(|kind| named.is_empty() || named.iter().any(|name| name == kind.name))
        .filter(|kind| filters.accept(&Tags::new(), |name, emit| filter_values(kind, name, emit)))
        .collect();
    found.sort_unstable_by_key(|kind| kind.name);
    let by_id = !named.is_empty();
    let (page, next_token) =
        paging::cut(found, input.max_results, input.next_token.as_deref(), (PAGE, by_id), |kind| {
            kind.name.to_string()
        })?;
    Ok(wire::DescribeInstanceTypesResult { instance_types: page.into_iter().map(shown).collect(), next_token })
}

fn threads_per_core(kind: &InstanceType) -> u32 {
    kind.vcpus / kind.cores.max(1)
}

fn free_tier(kind: &InstanceType) -> bool {
    FREE_TIER.contains(&kind.name)
}

fn ena_support(kind: &InstanceType) -> &'static str {
    if kind.hypervisor == "nitro" { "required" } else { "unsupported" }
}

fn filter_values(kind: &InstanceType, name: &str, emit: &mut dyn FnMut(&str)) {
    let flag = |on: bool| if on { "true" } else { "false" };
    match name {
        "burstable-performance-supported" => emit(flag(kind.burstable)),
        "current-generation" => emit(flag(kind.current_generation)),
        "free-tier-eligible" => emit(flag(free_tier(kind))),
        "hypervisor" => emit(kind.hypervisor),
        "instance-type" => emit(kind.name),
        "memory-info.size-in-mib" => emit(&kind.memory_mib.to_string()),
        "network-info.ena-support" => emit(ena_support(kind)),
        "processor-info.supported-architecture" => emit(kind.arch.name()),
        "ebs-info.ebs-optimized-support" => emit("default"),
        "supported-boot-mode" => emit("legacy-bios"),
        "supported-root-device-type" => emit("ebs"),
        "supported-usage-class" => emit("on-demand"),
        "supported-virtualization-type" => emit("hvm"),
        "vcpu-info.default-cores" => emit(&kind.cores.to_string()),
        "vcpu-info.default-threads-per-core" => emit(&threads_per_core(kind).to_string()),
        "vcpu-info.default-vcpus" => emit(&kind.vcpus.to_string()),
        // The rest of the known names are features that no type has here.
        _ => emit("false"),
    }
}

fn shown(kind: &InstanceType) -> wire::InstanceTypeInfo {
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    let number = |number: u32| i32::try_from(number).ok();
    let (interfaces, addresses) = kind.interface_limits();
    let manufacturer = if kind.name.starts_with("t3a.") { "AMD" } else { "Intel" };
    wire::InstanceTypeInfo {
        auto_recovery_supported: Some(false),
        bare_metal: Some(false),
        burstable_performance_supported: Some(kind.burstable),
        current_generation: Some(kind.current_generation),
        dedicated_hosts_supported: Some(false),
        ebs_info: Some(wire::EbsInfo {
            ebs_optimized_support: Some("default".to_string()),
            encryption_support: Some("unsupported".to_string()),
            nvme_support: Some("unsupported".to_string()),
            ..Default::default()
        }),
        free_tier_eligible: Some(free_tier(kind)),
        hibernation_supported: Some(false),
        hypervisor: Some(kind.hypervisor.to_string()),
        instance_storage_supported: Some(false),
        instance_type: Some(kind.name.to_string()),
        memory_info: Some(wire::MemoryInfo { size_in_mi_b: Some(i64::from(kind.memory_mib)) }),
        network_info: Some(wire::NetworkInfo {
            ena_support: Some(ena_support(kind).to_string()),
            efa_supported: Some(false),
            ipv4_addresses_per_interface: Some(i32::from(addresses)),
            ipv6_addresses_per_interface: Some(0),
            ipv6_supported: Some(false),
            maximum_network_cards: Some(1),
            maximum_network_interfaces: Some(i32::from(interfaces)),
            ..Default::default()
        }),
        processor_info: Some(wire::ProcessorInfo {
            manufacturer: Some(manufacturer.to_string()),
            supported_architectures: vec![kind.arch.name().to_string()],
            ..Default::default()
        }),
        supported_boot_modes: words(&["legacy-bios"]),
        supported_root_device_types: words(&["ebs"]),
        supported_usage_classes: words(&["on-demand"]),
        supported_virtualization_types: words(&["hvm"]),
        v_cpu_info: Some(wire::VCpuInfo {
            default_cores: number(kind.cores),
            default_threads_per_core: number(threads_per_core(kind)),
            default_v_cpus: number(kind.vcpus),
            valid_cores: number(kind.cores).into_iter().collect(),
            valid_threads_per_core: number(threads_per_core(kind)).into_iter().collect(),
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, filter};
    use super::*;

    /// Types are found by name and filter; an unknown name is an error.
    #[test]
    fn types_are_found() {
        let scene = Scene::new();
        let find = |names: &[&str], filters: Vec<wire::Filter>| {
            let instance_types = names.iter().map(|name| name.to_string()).collect();
            let input = wire::DescribeInstanceTypesRequest { instance_types, filters, ..Default::default() };
            scene.read(|call| describe_instance_types(call, &input))
        };
        let one = find(&["t3.micro"], vec![]).expect("known").instance_types.remove(0);
        assert_eq!(one.v_cpu_info.and_then(|info| info.default_v_cpus), Some(2));
        assert_eq!(one.memory_info.and_then(|info| info.size_in_mi_b), Some(1024));
        let free = find(&[], vec![filter("free-tier-eligible", &["true"])]).expect("known").instance_types;
        assert_eq!(free.len(), FREE_TIER.len());
        let large = find(&[], vec![filter("instance-type", &["m5.*"]), filter("vcpu-info.default-vcpus", &["2", "4"])]);
        assert_eq!(large.expect("known").instance_types.len(), 2);
        assert_eq!(find(&["m1.small"], vec![]).expect_err("not offered").code, "InvalidInstanceType");
    }
}
