//! DescribeVpcAttribute.

use super::errors;
use super::listing::chosen;
use super::network::VPC_ID;
use crate::Call;
use elastane_engine::row;
use elastane_wire::{ApiError, ec2 as wire};

/// DescribeVpcAttribute. Instances of a default VPC resolve names and have
/// some; usage metrics are not kept. Errors: `InvalidVpcID.*`,
/// `InvalidParameterValue` for another attribute.
pub fn describe_vpc_attribute(
    call: &Call<'_>,
    input: &wire::DescribeVpcAttributeRequest,
) -> Result<wire::DescribeVpcAttributeResult, ApiError> {
    let id = input.vpc_id.clone().filter(|id| !id.is_empty()).ok_or_else(|| errors::missing("vpcId"))?;
    let default = chosen::<row::Vpc>(call, std::slice::from_ref(&id), &VPC_ID)?.first().is_some_and(|vpc| vpc.default);
    errors::dry_run(input.dry_run)?;
    let attribute = input.attribute.as_deref().ok_or_else(|| errors::missing("attribute"))?;
    let flag = |value: bool| Some(wire::AttributeBooleanValue { value: Some(value) });
    let mut answer = wire::DescribeVpcAttributeResult { vpc_id: Some(id), ..Default::default() };
    match attribute {
        "enableDnsSupport" => answer.enable_dns_support = flag(true),
        "enableDnsHostnames" => answer.enable_dns_hostnames = flag(default),
        "enableNetworkAddressUsageMetrics" => answer.enable_network_address_usage_metrics = flag(false),
        other => return Err(errors::invalid_value(format!("Value ({other}) for parameter attribute is invalid."))),
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, code};
    use super::*;

    /// The defaults of a default VPC, one attribute a call.
    #[test]
    fn attributes_of_the_default_vpc() {
        let mut rig = Rig::new();
        let vpcs = rig.read(super::super::describe_vpcs, Default::default()).expect("described").vpcs;
        let ask = |id: Option<&String>, attribute: &str| wire::DescribeVpcAttributeRequest {
            vpc_id: id.cloned(),
            attribute: Some(attribute.to_string()),
            dry_run: None,
        };
        let id = vpcs[0].vpc_id.as_ref();
        for (attribute, want) in [
            ("enableDnsSupport", [Some(true), None, None]),
            ("enableDnsHostnames", [None, Some(true), None]),
            ("enableNetworkAddressUsageMetrics", [None, None, Some(false)]),
        ] {
            let answer = rig.read(describe_vpc_attribute, ask(id, attribute)).expect("known");
            let found =
                [answer.enable_dns_support, answer.enable_dns_hostnames, answer.enable_network_address_usage_metrics];
            assert_eq!(found.map(|one| one.and_then(|flag| flag.value)), want, "{attribute}");
        }
        assert_eq!(code(rig.read(describe_vpc_attribute, ask(id, "colour"))), "InvalidParameterValue");
        let other = "vpc-00000000000000000".to_string();
        let answer = rig.read(describe_vpc_attribute, ask(Some(&other), "enableDnsSupport"));
        assert_eq!(code(answer), "InvalidVpcID.NotFound");
    }
}
