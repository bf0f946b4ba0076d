//! Attributes of the account.

use super::errors;
use crate::Call;
use elastane_engine::launch::INSTANCES_MAX;
use elastane_engine::network;
use elastane_wire::{ApiError, ec2 as wire};

/// DescribeAccountAttributes: the attributes asked for, or all that are known.
///
/// # Errors
/// `InvalidParameterValue` for an attribute that is not known.
pub fn describe_account_attributes(
    call: &Call<'_>,
    input: &wire::DescribeAccountAttributesRequest,
) -> Result<wire::DescribeAccountAttributesResult, ApiError> {
    let vpc = network::default_vpc(call).map_or("none".to_string(), |vpc| vpc.id.to_string());
    let known = [
        ("default-vpc", vpc),
        ("max-elastic-ips", super::addresses::ADDRESSES_MAX.to_string()),
        ("max-instances", INSTANCES_MAX.to_string()),
        ("supported-platforms", "VPC".to_string()),
        ("vpc-max-elastic-ips", super::addresses::ADDRESSES_MAX.to_string()),
        ("vpc-max-security-groups-per-interface", super::network_interfaces::GROUPS_MAX.to_string()),
    ];
    if let Some(name) = input.attribute_names.iter().find(|name| known.iter().all(|(known, _)| known != name)) {
        let message = format!("Value ({name}) for parameter attributeName is invalid. Unknown attribute.");
        return Err(errors::invalid_value(message));
    }
    errors::dry_run(input.dry_run)?;
    let wanted = |name: &str| input.attribute_names.is_empty() || input.attribute_names.iter().any(|one| one == name);
    let shape = |(name, value): (&str, String)| wire::AccountAttribute {
        attribute_name: Some(name.to_string()),
        attribute_values: vec![wire::AccountAttributeValue { attribute_value: Some(value) }],
    };
    let account_attributes = known.into_iter().filter(|(name, _)| wanted(name)).map(shape).collect();
    Ok(wire::DescribeAccountAttributesResult { account_attributes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::rig::Rig;

    /// All attributes without a name, one with its name; the default VPC is there from the start.
    #[test]
    fn attributes_by_name() {
        let mut rig = Rig::new();
        let all = rig.read(describe_account_attributes, Default::default()).expect("described");
        assert_eq!(all.account_attributes.len(), 6);
        let of = |name: &str| wire::DescribeAccountAttributesRequest {
            attribute_names: vec![name.to_string()],
            ..Default::default()
        };
        let one = rig.read(describe_account_attributes, of("default-vpc")).expect("described").account_attributes;
        let value = one[0].attribute_values[0].attribute_value.as_deref();
        assert!(value.is_some_and(|value| value.starts_with("vpc-")), "{value:?}");
        let err = rig.read(describe_account_attributes, of("colour")).expect_err("unknown");
        assert_eq!(err.code, "InvalidParameterValue");
    }
}
