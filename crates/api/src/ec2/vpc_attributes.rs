//! Attributes of VPCs: names of instances and what is measured.

use super::errors;
use super::network::{VPC_ID, named, required};
use crate::{Call, Change};
use elastane_engine::row::Vpc;
use elastane_wire::{ApiError, ec2 as wire};

/// DescribeVpcAttribute, one attribute a call.
///
/// # Errors
/// `InvalidVpcID.*`, `MissingParameter`, `InvalidParameterValue` for another
/// attribute.
pub fn describe_vpc_attribute(
    call: &Call<'_>,
    input: &wire::DescribeVpcAttributeRequest,
) -> Result<wire::DescribeVpcAttributeResult, ApiError> {
    let vpc = named::<Vpc>(&call.view, (&input.vpc_id, "vpcId"), &VPC_ID)?;
    errors::dry_run(input.dry_run)?;
    let flag = |value: bool| Some(wire::AttributeBooleanValue { value: Some(value) });
    let mut answer = wire::DescribeVpcAttributeResult { vpc_id: Some(vpc.id.to_string()), ..Default::default() };
    match required(&input.attribute, "attribute")? {
        "enableDnsSupport" => answer.enable_dns_support = flag(vpc.dns_support),
        "enableDnsHostnames" => answer.enable_dns_hostnames = flag(vpc.dns_hostnames),
        "enableNetworkAddressUsageMetrics" => {
            answer.enable_network_address_usage_metrics = flag(vpc.address_usage_metrics);
        }
        other => return Err(errors::invalid_value(format!("Value ({other}) for parameter attribute is invalid."))),
    }
    Ok(answer)
}

/// ModifyVpcAttribute, one attribute a call.
///
/// # Errors
/// `InvalidVpcID.*`, `MissingParameter` without an attribute,
/// `InvalidParameterCombination` for several.
pub fn modify_vpc_attribute(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyVpcAttributeRequest,
) -> Result<wire::ModifyVpcAttributeOutput, ApiError> {
    let id = named::<Vpc>(&change.view(), (&input.vpc_id, "vpcId"), &VPC_ID)?.id.to_string();
    let value = |flag: &Option<wire::AttributeBooleanValue>| flag.as_ref().and_then(|flag| flag.value);
    let support = value(&input.enable_dns_support);
    let hostnames = value(&input.enable_dns_hostnames);
    let metrics = value(&input.enable_network_address_usage_metrics);
    match [support, hostnames, metrics].iter().filter(|flag| flag.is_some()).count() {
        0 => return Err(errors::missing("an attribute to modify")),
        1 => {}
        _ => return Err(errors::invalid_combination("Only one attribute can be modified at a time.")),
    }
    change.update(&id, |row: &mut Vpc| {
        row.dns_support = support.unwrap_or(row.dns_support);
        row.dns_hostnames = hostnames.unwrap_or(row.dns_hostnames);
        row.address_usage_metrics = metrics.unwrap_or(row.address_usage_metrics);
    });
    Ok(wire::ModifyVpcAttributeOutput {})
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, code};
    use super::*;

    fn ask(id: &str, attribute: &str) -> wire::DescribeVpcAttributeRequest {
        wire::DescribeVpcAttributeRequest {
            vpc_id: Some(id.to_string()),
            attribute: Some(attribute.to_string()),
            dry_run: None,
        }
    }

    fn flags(rig: &mut Rig, id: &str) -> [Option<bool>; 3] {
        let mut read = |attribute| rig.read(describe_vpc_attribute, ask(id, attribute)).expect("known");
        let support = read("enableDnsSupport").enable_dns_support;
        let hostnames = read("enableDnsHostnames").enable_dns_hostnames;
        let metrics = read("enableNetworkAddressUsageMetrics").enable_network_address_usage_metrics;
        [support, hostnames, metrics].map(|flag| flag.and_then(|flag| flag.value))
    }

    /// A default VPC's attributes; each is changed alone, wrong calls change nothing.
    #[test]
    fn attributes_are_shown_and_changed() {
        let mut rig = Rig::new();
        let id = rig.tx(|tx| Ok(tx.vpcs.keys().next().map(ToString::to_string))).expect("read").expect("a default VPC");
        assert_eq!(flags(&mut rig, &id), [Some(true), Some(true), Some(false)]);
        let flag = |value| Some(wire::AttributeBooleanValue { value: Some(value) });
        let base = wire::ModifyVpcAttributeRequest { vpc_id: Some(id.clone()), ..Default::default() };
        for (input, want) in [
            (wire::ModifyVpcAttributeRequest { enable_dns_support: flag(false), ..base.clone() }, ""),
            (wire::ModifyVpcAttributeRequest { enable_network_address_usage_metrics: flag(true), ..base.clone() }, ""),
            (base.clone(), "MissingParameter"),
            (
                wire::ModifyVpcAttributeRequest {
                    enable_dns_support: flag(true),
                    enable_dns_hostnames: flag(false),
                    ..base.clone()
                },
                "InvalidParameterCombination",
            ),
            (
                wire::ModifyVpcAttributeRequest {
                    vpc_id: Some("vpc-00000000".to_string()),
                    enable_dns_support: flag(true),
                    ..Default::default()
                },
                "InvalidVpcID.NotFound",
            ),
        ] {
            assert_eq!(code(rig.write(modify_vpc_attribute, input.clone())), want, "{input:?}");
        }
        assert_eq!(flags(&mut rig, &id), [Some(false), Some(true), Some(true)]);
        for (id, attribute, want) in [
            (id.as_str(), "colour", "InvalidParameterValue"),
            (id.as_str(), "", "MissingParameter"),
            ("vpc-00000000000000000", "enableDnsSupport", "InvalidVpcID.NotFound"),
            ("x", "enableDnsSupport", "InvalidVpcID.Malformed"),
        ] {
            assert_eq!(code(rig.read(describe_vpc_attribute, ask(id, attribute))), want, "{id} {attribute}");
        }
    }
}
