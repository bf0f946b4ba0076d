//! What the operations of networks share: ids and how wrong ones are
//! answered, rows by their ids, ranges as clients write them.

use super::errors;
use super::listing::IdKind;
use elastane_domain::id::{SubnetId, VpcId, Zone};
use elastane_domain::network::{Cidr, CidrError};
use elastane_engine::View;
use elastane_engine::metadata::zone_id;
use elastane_engine::row::{Row, Tags};
use elastane_wire::{ApiError, ec2 as wire};
use std::net::Ipv6Addr;
use std::sync::Arc;

/// Ids of VPCs.
pub(super) const VPC_ID: IdKind = IdKind {
    prefix: VpcId::PREFIX,
    malformed: "InvalidVpcID.Malformed",
    not_found: "InvalidVpcID.NotFound",
    noun: "The vpc ID",
};

/// Ids of subnets.
pub(super) const SUBNET_ID: IdKind = IdKind {
    prefix: SubnetId::PREFIX,
    malformed: "InvalidSubnetID.Malformed",
    not_found: "InvalidSubnetID.NotFound",
    noun: "The subnet ID",
};

/// Ids of virtual private gateways, of which there are none.
pub(super) const VPN_GATEWAY_ID: IdKind = IdKind {
    prefix: "vgw-",
    malformed: "InvalidVpnGatewayID.Malformed",
    not_found: "InvalidVpnGatewayID.NotFound",
    noun: "The vpnGateway ID",
};

/// A member that must be given: `MissingParameter`.
pub(super) fn required<'a>(value: &'a Option<String>, member: &str) -> Result<&'a str, ApiError> {
    value.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| errors::missing(member))
}

/// A member that was given and is not empty.
pub(super) fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|text| !text.is_empty())
}

/// The row that a member names.
///
/// # Errors
/// `MissingParameter`, and the kind's codes for an id that is malformed or
/// names nothing.
pub(super) fn named<'a, R: Row>(
    view: &View<'a>,
    (value, member): (&Option<String>, &str),
    kind: &IdKind,
) -> Result<&'a Arc<R>, ApiError> {
    by_id(view, required(value, member)?, kind)
}

/// The row of an id. Errors: the kind's.
pub(super) fn by_id<'a, R: Row>(view: &View<'a>, id: &str, kind: &IdKind) -> Result<&'a Arc<R>, ApiError> {
    kind.check(id)?;
    view.get::<R>(id).ok_or_else(|| kind.unknown(id))
}

/// The tags that a call which makes one thing of `kind` gives it. Errors:
/// those of [`super::tag_rules::specified`].
pub(super) fn tags_of(specifications: &[wire::TagSpecification], kind: &str) -> Result<Tags, ApiError> {
    Ok(super::tag_rules::specified(specifications, &[kind])?.remove(kind).unwrap_or_default())
}

/// An IPv4 range as a client writes it; bits below the prefix are dropped, as
/// AWS does (EC2 API Reference, "CreateVpc").
///
/// # Errors
/// `InvalidParameterValue`, `UnsupportedOperation` for an IPv6 range.
pub(super) fn range(text: &str, member: &str) -> Result<Cidr, ApiError> {
    match text.parse::<Cidr>() {
        Ok(range) | Err(CidrError::HostBits { canonical: range }) => Ok(range),
        Err(CidrError::Malformed(_)) if is_ipv6(text) => Err(errors::unsupported("IPv6")),
        Err(CidrError::Malformed(_)) => {
            let message = format!("Value ({text}) for parameter {member} is invalid. This is not a valid CIDR block.");
            Err(errors::invalid_value(message))
        }
    }
}

fn is_ipv6(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok())
}

/// Something that cannot go because other things need it: `DependencyViolation`.
pub(super) fn dependency(noun: &str, id: &str) -> ApiError {
    ApiError::new("DependencyViolation", format!("The {noun} '{id}' has dependencies and cannot be deleted."))
}

/// A boolean as filters see it.
pub(super) fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// The id of something that every `id` has exactly one of: the same digits
/// under another prefix.
pub(super) fn relative(id: &str, prefix: &str) -> String {
    let digits = id.rsplit_once('-').map_or(id, |(_, digits)| digits);
    format!("{prefix}{digits}")
}

/// A zone's id, such as `use1-az1`.
pub(super) fn zone_id_of(view: &View<'_>, zone: &Zone) -> String {
    zone_id(zone.as_str(), view.scope.region.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::rig::code;

    /// Ranges lose their host bits; what is none and what is IPv6 is said apart.
    #[test]
    fn ranges_as_clients_write_them() {
        for (text, want) in [("10.0.0.0/16", "10.0.0.0/16"), ("100.68.0.18/18", "100.68.0.0/18")] {
            assert_eq!(range(text, "cidrBlock").expect("a range").to_string(), want);
        }
        for (text, want) in [
            ("10.0.0.0", "InvalidParameterValue"),
            ("10.0.0.0/33", "InvalidParameterValue"),
            ("", "InvalidParameterValue"),
            ("::/0", "UnsupportedOperation"),
            ("2001:db8::/56", "UnsupportedOperation"),
        ] {
            assert_eq!(code(range(text, "cidrBlock")), want, "{text}");
        }
        assert_eq!(relative("vpc-0123456789abcdef0", "acl-"), "acl-0123456789abcdef0");
    }
}
