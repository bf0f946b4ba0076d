//! AttachNetworkInterface and DetachNetworkInterface. What an instance sees of
//! it follows from the rows: the network plan of its VPC is made from them.

use super::instances::one;
use super::network::{named, required};
use super::network_interfaces::INTERFACE_ID;
use super::{errors, recast};
use crate::Change;
use elastane_domain::types::instance_type;
use elastane_engine::row::*;
use elastane_engine::{View, network};
use elastane_wire::{ApiError, ec2 as wire};

/// An attachment that does not exist: `InvalidAttachmentID.NotFound`.
pub(super) fn unknown(id: &str) -> ApiError {
    ApiError::new("InvalidAttachmentID.NotFound", format!("The interface attachment '{id}' does not exist"))
}

/// AttachNetworkInterface: to a running or stopped instance of its zone.
///
/// # Errors
/// `InvalidNetworkInterfaceID.*`, `InvalidInstanceID.*`,
/// `InvalidNetworkInterface.InUse`, `IncorrectState`,
/// `InvalidParameterCombination` for another zone, `InvalidParameterValue`
/// for a device index that is taken, `AttachmentLimitExceeded`,
/// `PrivateIpAddressLimitExceeded`.
pub fn attach_network_interface(
    change: &mut Change<'_, '_>,
    input: &wire::AttachNetworkInterfaceRequest,
) -> Result<wire::AttachNetworkInterfaceResult, ApiError> {
    const NAMES: &[&str] = &["DeviceIndex", "DryRun", "InstanceId", "NetworkCardIndex", "NetworkInterfaceId"];
    recast::only(&wire::ATTACH_NETWORK_INTERFACE_REQUEST, input, NAMES)?;
    let view = change.view();
    let row = named::<NetworkInterface>(&view, (&input.network_interface_id, "NetworkInterfaceId"), &INTERFACE_ID)?;
    let instance = one(&view, input.instance_id.as_ref())?;
    let device = input.device_index.ok_or_else(|| errors::missing("DeviceIndex"))?;
    let device = u16::try_from(device)
        .map_err(|_| errors::invalid_value(format!("Value ({device}) for parameter deviceIndex is invalid.")))?;
    if input.network_card_index.unwrap_or(0) != 0 {
        let message = format!("The network card index must be 0 for the instance type {}.", instance.instance_type);
        return Err(errors::invalid_value(message));
    }
    check(&view, row, instance, device)?;
    errors::dry_run(input.dry_run)?;
    let (interface, instance) = (row.id.clone(), instance.id.clone());
    let (id, now) = (change.rng.id("eni-attach-"), change.now);
    let attachment = Attachment { id: id.clone(), instance, device, delete_on_termination: false, attached_at: now };
    change.update(&interface, |row: &mut NetworkInterface| row.attachment = Some(attachment));
    Ok(wire::AttachNetworkInterfaceResult { attachment_id: Some(id), network_card_index: Some(0) })
}

fn check(view: &View<'_>, row: &NetworkInterface, instance: &Instance, device: u16) -> Result<(), ApiError> {
    if row.attachment.is_some() || row.owner != InterfaceOwner::User {
        return Err(ApiError::new("InvalidNetworkInterface.InUse", format!("Interface: [{}] in use.", row.id)));
    }
    if !matches!(instance.phase, Phase::Running | Phase::Stopped) {
        let message = format!("Instance '{}' is not 'running' or 'stopped'.", instance.id);
        return Err(ApiError::new("IncorrectState", message));
    }
    if row.zone != instance.zone {
        let message =
            "You may not attach a network interface to an instance if they are not in the same availability zone";
        return Err(errors::invalid_combination(message));
    }
    if row.vpc != instance.vpc {
        return Err(errors::unsupported("Attaching a network interface of another VPC"));
    }
    let there = network::interfaces_of(view, &instance.id);
    if there.iter().any(|other| other.attachment.as_ref().is_some_and(|attachment| attachment.device == device)) {
        let message =
            format!("Instance '{}' already has an interface attached at device index '{device}'.", instance.id);
        return Err(errors::invalid_value(message));
    }
    let Some(kind) = instance_type(&instance.instance_type) else { return Ok(()) };
    let (interfaces, addresses) = kind.interface_limits();
    if there.len() >= usize::from(interfaces) {
        let message = format!("Interface count {} exceeds the limit for {}", there.len() + 1, kind.name);
        return Err(ApiError::new("AttachmentLimitExceeded", message));
    }
    if row.addresses.len() > usize::from(addresses) {
        return Err(super::interface_addresses::limit(usize::from(addresses)));
    }
    Ok(())
}

/// DetachNetworkInterface: of any but the primary one. With or without Force
/// it is detached at once.
///
/// # Errors
/// `InvalidAttachmentID.NotFound`; `OperationNotPermitted` for the primary
/// interface of an instance and for a service's own.
pub fn detach_network_interface(
    change: &mut Change<'_, '_>,
    input: &wire::DetachNetworkInterfaceRequest,
) -> Result<wire::DetachNetworkInterfaceOutput, ApiError> {
    let id = required(&input.attachment_id, "AttachmentId")?;
    if id.starts_with("ela-attach-") {
        let message = "You are not allowed to manage 'ela-attach' attachments.";
        return Err(ApiError::new("OperationNotPermitted", message));
    }
    let view = change.view();
    let attached =
        |row: &&std::sync::Arc<NetworkInterface>| row.attachment.as_ref().is_some_and(|attachment| attachment.id == id);
    let row = view.all::<NetworkInterface>().find(attached).ok_or_else(|| unknown(id))?;
    if row.attachment.as_ref().is_some_and(|attachment| attachment.device == 0) {
        let message = "The network interface at device index 0 cannot be detached.";
        return Err(ApiError::new("OperationNotPermitted", message));
    }
    errors::dry_run(input.dry_run)?;
    let interface = row.id.clone();
    change.update(&interface, |row: &mut NetworkInterface| row.attachment = None);
    Ok(wire::DetachNetworkInterfaceOutput {})
}
