//! Network interfaces: made, shown, changed and deleted. How they are attached
//! is in [`super::interface_attachments`], which addresses they have in
//! [`super::interface_addresses`]. Interfaces that load balancers and NAT
//! gateways have are shown like others, but only their services change them.

use super::filter::Filters;
use super::interface_addresses::{self as addresses, ADDRESSES_MAX, Wanted};
use super::interface_shape::{self as shape, Cards};
use super::listing::{IdKind, chosen};
use super::network::{SUBNET_ID, given, named, required, tags_of};
use super::{errors, paging, recast, security_groups};
use crate::{Call, Change};
use elastane_domain::id::{SecurityGroupId, SubnetId, VpcId};
use elastane_engine::row::*;
use elastane_engine::{View, launch, network};
use elastane_wire::{ApiError, ec2 as wire};

/// Ids of network interfaces.
pub(super) const INTERFACE_ID: IdKind = IdKind {
    prefix: "eni-",
    malformed: "InvalidNetworkInterfaceId.Malformed",
    not_found: "InvalidNetworkInterfaceID.NotFound",
    noun: "The networkInterface ID",
};

/// Interfaces of one account and region that users make themselves (Amazon
/// VPC quotas, "Network interfaces per Region").
const INTERFACES_MAX: usize = 5000;

/// Security groups of one interface (Amazon VPC quotas).
pub(super) const GROUPS_MAX: usize = 5;

/// Characters of a description (EC2 API Reference, "CreateNetworkInterface").
const DESCRIPTION_MAX: usize = 255;

/// Characters of a client token (EC2 Developer Guide, "Ensuring idempotency").
const TOKEN_MAX: usize = 64;

/// A client token, if one was given: `InvalidClientToken` for a long one.
pub(super) fn client_token(token: &Option<String>) -> Result<Option<String>, ApiError> {
    let token = given(token);
    if token.is_some_and(|token| token.len() > TOKEN_MAX || !token.is_ascii()) {
        let message = format!("Client tokens have at most {TOKEN_MAX} ASCII characters.");
        return Err(ApiError::new("InvalidClientToken", message));
    }
    Ok(token.map(str::to_string))
}

/// The interface of a service: nobody else may change it.
pub(super) fn refuse_managed(row: &NetworkInterface) -> Result<(), ApiError> {
    match row.owner {
        InterfaceOwner::User => Ok(()),
        InterfaceOwner::NatGateway(_) | InterfaceOwner::LoadBalancer(_) => {
            Err(ApiError::new("AuthFailure", "You do not have permission to access the specified resource."))
        }
    }
}

/// Groups for interfaces of a VPC's subnet by their ids, each once; the VPC's
/// default one for none.
///
/// # Errors
/// `InvalidGroup.NotFound`, `InvalidGroupId.Malformed`, `InvalidParameter` for
/// one of another VPC, `SecurityGroupsPerInterfaceLimitExceeded`.
pub(super) fn checked_groups(
    view: &View<'_>,
    (vpc, subnet): (&VpcId, &SubnetId),
    ids: &[String],
) -> Result<Vec<SecurityGroupId>, ApiError> {
    let mut found: Vec<SecurityGroupId> = Vec::new();
    for id in ids {
        let group = security_groups::find_group(view, Some(id), None)?;
        launch::check_network(group, vpc, subnet).map_err(errors::refused)?;
        if !found.contains(&group.id) {
            found.push(group.id.clone());
        }
    }
    if found.len() > GROUPS_MAX {
        let message = format!("The maximum number of security groups per interface ({GROUPS_MAX}) has been reached.");
        return Err(ApiError::new("SecurityGroupsPerInterfaceLimitExceeded", message));
    }
    if ids.is_empty() {
        found.extend(network::default_security_group(view, vpc).map(|group| group.id.clone()));
    }
    Ok(found)
}

/// Puts an instance's primary interface into other groups of its VPC. Errors:
/// those of [`checked_groups`].
pub(super) fn set_groups(change: &mut Change<'_, '_>, interface: &str, ids: &[String]) -> Result<(), ApiError> {
    let Some(row) = change.get::<NetworkInterface>(interface) else { return Ok(()) };
    let groups = checked_groups(&change.view(), (&row.vpc, &row.subnet), ids)?;
    change.update(interface, |row: &mut NetworkInterface| row.groups = groups);
    Ok(())
}

/// Sets `sourceDestCheck` of an instance's primary interface.
pub(super) fn set_source_dest_check(change: &mut Change<'_, '_>, interface: &str, on: bool) {
    change.update(interface, |row: &mut NetworkInterface| row.source_dest_check = on);
}

/// DescribeNetworkInterfaces. Errors: `InvalidNetworkInterfaceId.Malformed`,
/// `InvalidNetworkInterfaceID.NotFound`, those of filters and pages.
pub fn describe_network_interfaces(
    call: &Call<'_>,
    input: &wire::DescribeNetworkInterfacesRequest,
) -> Result<wire::DescribeNetworkInterfacesResult, ApiError> {
    let filters = Filters::new(&input.filters, shape::FILTERS)?;
    let rows = chosen::<NetworkInterface>(call, &input.network_interface_ids, &INTERFACE_ID)?;
    errors::dry_run(input.dry_run)?;
    let cards = Cards::of(&call.view);
    let accepted =
        |row: &NetworkInterface| filters.accept(&row.tags, |name, emit| shape::filter_values(&cards, row, name, emit));
    let rows = rows.into_iter().filter(|row| accepted(row)).collect();
    let limits = (paging::USUAL, !input.network_interface_ids.is_empty());
    let token = input.next_token.as_deref();
    let (rows, next_token) = paging::cut(rows, input.max_results, token, limits, |row| row.id.clone())?;
    let network_interfaces = rows.into_iter().map(|row| shape::shown(&cards, row)).collect();
    Ok(wire::DescribeNetworkInterfacesResult { network_interfaces, next_token })
}

/// CreateNetworkInterface.
///
/// # Errors
/// `InvalidSubnetID.*`, those of [`checked_groups`] and of
/// [`addresses::pick`], `InvalidParameterCombination` for two primary
/// addresses, `NetworkInterfaceLimitExceeded`, `IdempotentParameterMismatch`,
/// those of tags; `UnsupportedOperation` for IPv6, prefixes and other types.
pub fn create_network_interface(
    change: &mut Change<'_, '_>,
    input: &wire::CreateNetworkInterfaceRequest,
) -> Result<wire::CreateNetworkInterfaceResult, ApiError> {
    const NAMES: &[&str] = &[
        "ClientToken",
        "Description",
        "DryRun",
        "Groups",
        "PrivateIpAddress",
        "PrivateIpAddresses",
        "SecondaryPrivateIpAddressCount",
        "SubnetId",
        "TagSpecifications",
    ];
    recast::only(&wire::CREATE_NETWORK_INTERFACE_REQUEST, input, NAMES)?;
    let view = change.view();
    let subnet = named::<Subnet>(&view, (&input.subnet_id, "SubnetId"), &SUBNET_ID)?.clone();
    let groups = checked_groups(&view, (&subnet.vpc, &subnet.id), &input.groups)?;
    let description = checked_description(input.description.as_deref().unwrap_or_default())?;
    let tags = tags_of(&input.tag_specifications, "network-interface")?;
    let wanted = wanted(input)?;
    let token = client_token(&input.client_token)?;
    if let Some(token) = &token
        && let Some(row) = view.all::<NetworkInterface>().find(|row| row.client_token.as_ref() == Some(token))
    {
        // What may have been changed since is not compared.
        if row.subnet != subnet.id || wanted.primary.is_some_and(|address| address != row.primary()) {
            return Err(errors::token_mismatch());
        }
        errors::dry_run(input.dry_run)?;
        return Ok(created(&view, row, Some(token.clone())));
    }
    let addresses = addresses::pick(&view, &subnet, &wanted, ADDRESSES_MAX)?;
    if view.all::<NetworkInterface>().filter(|row| row.owner == InterfaceOwner::User).count() >= INTERFACES_MAX {
        let message = "The maximum number of network interfaces has been reached.";
        return Err(ApiError::new("NetworkInterfaceLimitExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    let row = network::new_interface(change, &subnet, InterfaceOwner::User, addresses);
    let row = NetworkInterface { description, groups, client_token: token.clone(), tags, ..row };
    change.put(row.clone());
    Ok(created(&change.view(), &row, token))
}

fn created(view: &View<'_>, row: &NetworkInterface, token: Option<String>) -> wire::CreateNetworkInterfaceResult {
    let shown = shape::shown(&Cards::of(view), row);
    // Until it is described for the first time, AWS calls a new one pending.
    let network_interface = Some(wire::NetworkInterface { status: Some("pending".to_string()), ..shown });
    wire::CreateNetworkInterfaceResult { client_token: token, network_interface }
}

fn checked_description(text: &str) -> Result<String, ApiError> {
    if text.chars().count() > DESCRIPTION_MAX {
        let message = format!("Descriptions of network interfaces have at most {DESCRIPTION_MAX} characters.");
        return Err(errors::invalid_value(message));
    }
    Ok(text.to_string())
}

/// The addresses that a call asks for.
fn wanted(input: &wire::CreateNetworkInterfaceRequest) -> Result<Wanted, ApiError> {
    let mut wanted = Wanted::default();
    let mut primaries: Vec<&str> = given(&input.private_ip_address).into_iter().collect();
    for specification in &input.private_ip_addresses {
        let text = required(&specification.private_ip_address, "PrivateIpAddresses.PrivateIpAddress")?;
        if specification.primary == Some(true) {
            primaries.push(text);
        } else {
            wanted.further.push(addresses::parse(text)?);
        }
    }
    if primaries.len() > 1 {
        let message = "Only one primary private IP address can be specified.";
        return Err(errors::invalid_combination(message));
    }
    if !input.private_ip_addresses.is_empty() && input.secondary_private_ip_address_count.is_some() {
        let message = "secondaryPrivateIpAddressCount and privateIpAddresses may not be used on the same request.";
        return Err(errors::invalid_combination(message));
    }
    wanted.primary = primaries.first().map(|text| addresses::parse(text)).transpose()?;
    wanted.count = addresses::count(input.secondary_private_ip_address_count, "secondaryPrivateIpAddressCount")?;
    Ok(wanted)
}

/// DeleteNetworkInterface: of one that is not attached. Errors:
/// `InvalidNetworkInterfaceID.*`; `InvalidParameterValue` for one in use.
pub fn delete_network_interface(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteNetworkInterfaceRequest,
) -> Result<wire::DeleteNetworkInterfaceOutput, ApiError> {
    let view = change.view();
    let row = named::<NetworkInterface>(&view, (&input.network_interface_id, "NetworkInterfaceId"), &INTERFACE_ID)?;
    if row.attachment.is_some() || row.owner != InterfaceOwner::User {
        let message = format!("Network interface '{}' is currently in use.", row.id);
        return Err(errors::invalid_value(message));
    }
    errors::dry_run(input.dry_run)?;
    let id = row.id.clone();
    network::delete_interface(change, &id);
    Ok(wire::DeleteNetworkInterfaceOutput {})
}

/// A change of one attribute.
enum Edit {
    Description(String),
    Groups(Vec<SecurityGroupId>),
    SourceDestCheck(bool),
    DeleteOnTermination(bool),
}

/// ModifyNetworkInterfaceAttribute: one attribute a call.
///
/// # Errors
/// `InvalidNetworkInterfaceID.*`, `InvalidAttachmentID.NotFound`, those of
/// [`checked_groups`], `InvalidParameterCombination` for none or several
/// attributes, `AuthFailure` for a service's own interface.
pub fn modify_network_interface_attribute(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyNetworkInterfaceAttributeRequest,
) -> Result<wire::ModifyNetworkInterfaceAttributeOutput, ApiError> {
    const NAMES: &[&str] = &["Attachment", "Description", "DryRun", "Groups", "NetworkInterfaceId", "SourceDestCheck"];
    recast::only(&wire::MODIFY_NETWORK_INTERFACE_ATTRIBUTE_REQUEST, input, NAMES)?;
    let view = change.view();
    let row = named::<NetworkInterface>(&view, (&input.network_interface_id, "NetworkInterfaceId"), &INTERFACE_ID)?;
    refuse_managed(row)?;
    let mut edits = Vec::new();
    if let Some(description) = &input.description {
        edits.push(Edit::Description(checked_description(description.value.as_deref().unwrap_or_default())?));
    }
    if !input.groups.is_empty() {
        edits.push(Edit::Groups(checked_groups(&view, (&row.vpc, &row.subnet), &input.groups)?));
    }
    if let Some(check) = &input.source_dest_check {
        edits.push(Edit::SourceDestCheck(check.value.unwrap_or(false)));
    }
    if let Some(attachment) = &input.attachment {
        edits.push(attachment_edit(row, attachment)?);
    }
    let Some(edit) = edits.pop().filter(|_| edits.is_empty()) else {
        let message = "Exactly one network interface attribute must be specified in one call.";
        return Err(errors::invalid_combination(message));
    };
    errors::dry_run(input.dry_run)?;
    let id = row.id.clone();
    change.update(&id, |row: &mut NetworkInterface| match edit {
        Edit::Description(text) => row.description = text,
        Edit::Groups(groups) => row.groups = groups,
        Edit::SourceDestCheck(on) => row.source_dest_check = on,
        Edit::DeleteOnTermination(on) => {
            row.attachment.iter_mut().for_each(|attachment| attachment.delete_on_termination = on);
        }
    });
    Ok(wire::ModifyNetworkInterfaceAttributeOutput {})
}

fn attachment_edit(row: &NetworkInterface, said: &wire::NetworkInterfaceAttachmentChanges) -> Result<Edit, ApiError> {
    if said.ena_queue_count.is_some() || said.default_ena_queue_count == Some(true) {
        return Err(errors::unsupported("The parameter 'Attachment.EnaQueueCount'"));
    }
    let id = required(&said.attachment_id, "Attachment.AttachmentId")?;
    if row.attachment.as_ref().is_none_or(|attachment| attachment.id != id) {
        return Err(super::interface_attachments::unknown(id));
    }
    let on = said.delete_on_termination.ok_or_else(|| errors::missing("Attachment.DeleteOnTermination"))?;
    Ok(Edit::DeleteOnTermination(on))
}

/// DescribeNetworkInterfaceAttribute. Errors: `InvalidNetworkInterfaceID.*`,
/// `InvalidParameterValue` for an unknown attribute.
pub fn describe_network_interface_attribute(
    call: &Call<'_>,
    input: &wire::DescribeNetworkInterfaceAttributeRequest,
) -> Result<wire::DescribeNetworkInterfaceAttributeResult, ApiError> {
    let view = &call.view;
    let row = named::<NetworkInterface>(view, (&input.network_interface_id, "NetworkInterfaceId"), &INTERFACE_ID)?;
    let attribute = required(&input.attribute, "Attribute")?;
    errors::dry_run(input.dry_run)?;
    let mut answer = wire::DescribeNetworkInterfaceAttributeResult {
        network_interface_id: Some(row.id.clone()),
        ..Default::default()
    };
    match attribute {
        "associatePublicIpAddress" => answer.associate_public_ip_address = Some(row.public_ip.is_some()),
        "attachment" => answer.attachment = shape::attachment(view, row),
        "description" => {
            answer.description = Some(wire::AttributeValue { value: Some(row.description.clone()) });
        }
        "groupSet" => answer.groups = shape::groups(view, &row.groups),
        "sourceDestCheck" => {
            answer.source_dest_check = Some(wire::AttributeBooleanValue { value: Some(row.source_dest_check) });
        }
        other => return Err(errors::invalid_value(format!("Value ({other}) for parameter attribute is invalid."))),
    }
    Ok(answer)
}
