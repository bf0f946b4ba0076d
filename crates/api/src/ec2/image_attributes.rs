//! Attributes of images: description, launch permission, metadata support,
//! deprecation. Others may launch an image by its permissions: accounts of
//! this installation, which are those that call it.

use super::image_make::imds_v2;
use super::image_shape::block_devices;
use super::images::{description, known, own};
use super::{errors, launch_data, recast};
use crate::{Call, Change};
use elastane_domain::id::AccountId;
use elastane_domain::time::{Span, Time};
use elastane_engine::View;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};

/// Accounts that one image may be shared with: a bound on a row's size.
const PERMISSIONS_MAX: usize = 1000;

/// How far ahead a deprecation may lie (EC2 User Guide, "Deprecate an AMI": ten years).
const DEPRECATION_MAX: Span = Span::from_mins(10 * 366 * 24 * 60);

fn value(text: impl Into<String>) -> Option<wire::AttributeValue> {
    Some(wire::AttributeValue { value: Some(text.into()) })
}

/// DescribeImageAttribute. Who may launch an image is told to its owner only.
/// Errors: `InvalidAMIID.*`, `AuthFailure`, `InvalidParameterValue` for
/// another attribute, `DryRunOperation`.
pub fn describe_image_attribute(
    call: &Call<'_>,
    input: &wire::DescribeImageAttributeRequest,
) -> Result<wire::ImageAttribute, ApiError> {
    errors::dry_run(input.dry_run)?;
    let view = &call.view;
    let id = launch_data::text(&input.image_id).ok_or_else(|| errors::missing("ImageId"))?;
    let image = known(view, &id)?.image;
    let mut answer = wire::ImageAttribute { image_id: Some(id), ..Default::default() };
    match input.attribute.as_deref().unwrap_or_default() {
        "description" => answer.description = value(image.description.clone()),
        "launchPermission" => answer.launch_permissions = permissions(&own(view, input.image_id.as_ref())?),
        "blockDeviceMapping" => answer.block_device_mappings = block_devices(image),
        "bootMode" => answer.boot_mode = image.details.boot_mode.clone().and_then(value),
        "imdsSupport" => answer.imds_support = image.details.imds_v2.then_some("v2.0").and_then(value),
        "sriovNetSupport" => answer.sriov_net_support = image.details.sriov_net_support.clone().and_then(value),
        "lastLaunchedTime" => {
            answer.last_launched_time = last_launch(view, image).and_then(|at| value(at.iso_millis()))
        }
        "deregistrationProtection" => answer.deregistration_protection = value("disabled"),
        // No image here has any of these.
        "kernel" | "ramdisk" | "productCodes" | "tpmSupport" | "uefiData" => {}
        "" => return Err(errors::missing("Attribute")),
        other => return Err(errors::invalid_value(format!("Value ( {other} ) for parameter attribute is invalid."))),
    }
    Ok(answer)
}

/// The newest launch among the instances that are still told of.
fn last_launch(view: &View<'_>, image: &Image) -> Option<Time> {
    view.all::<Instance>().filter(|row| row.image == image.id).map(|row| row.launched_at).max()
}

fn permissions(image: &Image) -> Vec<wire::LaunchPermission> {
    let all = image.details.public.then(|| wire::LaunchPermission { group: Some("all".into()), ..Default::default() });
    let accounts = image.details.launch_accounts.iter();
    let one = |id: &AccountId| wire::LaunchPermission { user_id: Some(id.to_string()), ..Default::default() };
    all.into_iter().chain(accounts.map(one)).collect()
}

/// ModifyImageAttribute: one attribute a call, in either of the two forms
/// that the API has. Errors: `InvalidAMIID.*`, `AuthFailure`,
/// `InvalidParameterCombination`, `InvalidParameterValue`,
/// `InvalidAMIAttributeItemValue`, `UnsupportedOperation`, `DryRunOperation`.
pub fn modify_image_attribute(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyImageAttributeRequest,
) -> Result<wire::ModifyImageAttributeOutput, ApiError> {
    const NAMES: &[&str] = &[
        "Attribute",
        "Description",
        "DryRun",
        "ImageId",
        "ImdsSupport",
        "LaunchPermission",
        "OperationType",
        "UserGroups",
        "UserIds",
        "Value",
    ];
    recast::only(&wire::MODIFY_IMAGE_ATTRIBUTE_REQUEST, input, NAMES)?;
    let image = own(&change.view(), input.image_id.as_ref())?;
    let mut details = image.details.clone();
    let mut text = image.description.clone();
    match edit_of(input)? {
        Edit::Description(new) => text = description(&Some(new))?,
        Edit::Imds(new) => details.imds_v2 = imds_v2(Some(&new))? || details.imds_v2,
        Edit::Permissions { add, remove } => {
            for permission in &add {
                match who(permission)? {
                    Who::All => details.public = true,
                    Who::Account(id) => drop(details.launch_accounts.insert(id)),
                }
            }
            for permission in &remove {
                match who(permission)? {
                    Who::All => details.public = false,
                    Who::Account(id) => drop(details.launch_accounts.remove(&id)),
                }
            }
            if details.launch_accounts.len() > PERMISSIONS_MAX {
                let message = format!("An image can be shared with at most {PERMISSIONS_MAX} accounts.");
                return Err(ApiError::new("ResourceCountExceeded", message));
            }
        }
    }
    change.update(image.id.as_str(), |row: &mut Image| {
        row.details = details;
        row.description = text;
    });
    errors::dry_run(input.dry_run)?;
    Ok(wire::ModifyImageAttributeOutput {})
}

/// What a call changes.
enum Edit {
    Description(String),
    Imds(String),
    Permissions { add: Vec<wire::LaunchPermission>, remove: Vec<wire::LaunchPermission> },
}

fn edit_of(input: &wire::ModifyImageAttributeRequest) -> Result<Edit, ApiError> {
    let mut edits = Vec::new();
    let said = |value: &wire::AttributeValue| value.value.clone().unwrap_or_default();
    edits.extend(input.description.as_ref().map(|new| Edit::Description(said(new))));
    edits.extend(input.imds_support.as_ref().map(|new| Edit::Imds(said(new))));
    let lists = input.launch_permission.as_ref();
    edits.extend(lists.map(|lists| Edit::Permissions { add: lists.add.clone(), remove: lists.remove.clone() }));
    let given = input.value.clone().unwrap_or_default();
    match input.attribute.as_deref().unwrap_or_default() {
        "" => {}
        "description" if edits.is_empty() => edits.push(Edit::Description(given)),
        "imdsSupport" if edits.is_empty() => edits.push(Edit::Imds(given)),
        "launchPermission" if edits.is_empty() => edits.push(by_operation(input)?),
        "description" | "imdsSupport" | "launchPermission" => {}
        other => return Err(errors::unsupported(&format!("Changing the attribute '{other}'"))),
    }
    let only = edits.pop().ok_or_else(|| errors::missing("Attribute"))?;
    match edits.is_empty() {
        true => Ok(only),
        false => Err(errors::invalid_combination("You can specify only one attribute at a time.")),
    }
}

fn by_operation(input: &wire::ModifyImageAttributeRequest) -> Result<Edit, ApiError> {
    let users =
        input.user_ids.iter().map(|id| wire::LaunchPermission { user_id: Some(id.clone()), ..Default::default() });
    let groups =
        input.user_groups.iter().map(|name| wire::LaunchPermission { group: Some(name.clone()), ..Default::default() });
    let named: Vec<wire::LaunchPermission> = users.chain(groups).collect();
    match input.operation_type.as_deref().unwrap_or_default() {
        "add" => Ok(Edit::Permissions { add: named, remove: Vec::new() }),
        "remove" => Ok(Edit::Permissions { add: Vec::new(), remove: named }),
        _ => Err(errors::missing("OperationType")),
    }
}

enum Who {
    All,
    Account(AccountId),
}

fn who(permission: &wire::LaunchPermission) -> Result<Who, ApiError> {
    if permission.organization_arn.is_some() || permission.organizational_unit_arn.is_some() {
        return Err(errors::unsupported("Sharing an image with an organization"));
    }
    match (permission.group.as_deref(), permission.user_id.as_deref()) {
        (Some("all"), None) => Ok(Who::All),
        (None, Some(id)) if id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()) => Ok(Who::Account(id.into())),
        (group, user) => {
            let message = format!("Invalid attribute item value \"{}\"", group.or(user).unwrap_or_default());
            Err(ApiError::new("InvalidAMIAttributeItemValue", message))
        }
    }
}

/// ResetImageAttribute: nobody but the owner may launch it any more. Errors:
/// `InvalidAMIID.*`, `AuthFailure`, `InvalidParameterValue` for an attribute
/// other than launchPermission, `DryRunOperation`.
pub fn reset_image_attribute(
    change: &mut Change<'_, '_>,
    input: &wire::ResetImageAttributeRequest,
) -> Result<wire::ResetImageAttributeOutput, ApiError> {
    let image = own(&change.view(), input.image_id.as_ref())?;
    match input.attribute.as_deref().unwrap_or_default() {
        "launchPermission" => {}
        "" => return Err(errors::missing("Attribute")),
        other => return Err(errors::invalid_value(format!("Value ( {other} ) for parameter attribute is invalid."))),
    }
    change.update(image.id.as_str(), |row: &mut Image| {
        row.details.public = false;
        row.details.launch_accounts.clear();
    });
    errors::dry_run(input.dry_run)?;
    Ok(wire::ResetImageAttributeOutput {})
}

/// EnableImageDeprecation: from then on others do not find the image unless
/// they ask for deprecated ones; it can still be launched. Seconds are rounded
/// to minutes, as the API does. Errors: `InvalidAMIID.*`, `AuthFailure`,
/// `InvalidParameterValue` for a time that is past or too far ahead,
/// `DryRunOperation`.
pub fn enable_image_deprecation(
    change: &mut Change<'_, '_>,
    input: &wire::EnableImageDeprecationRequest,
) -> Result<wire::EnableImageDeprecationResult, ApiError> {
    let image = own(&change.view(), input.image_id.as_ref())?;
    let at = input.deprecate_at.ok_or_else(|| errors::missing("DeprecateAt"))?;
    let minute = Span::from_mins(1);
    let at = (Time(at.0) + Span::from_secs(30)).floor(minute);
    if at < change.now.floor(minute) || at > change.now + DEPRECATION_MAX {
        let message = format!("DeprecateAt must lie within the next ten years: '{}'.", at.iso_seconds());
        return Err(errors::invalid_value(message));
    }
    change.update(image.id.as_str(), |row: &mut Image| row.details.deprecated_at = Some(at));
    errors::dry_run(input.dry_run)?;
    Ok(wire::EnableImageDeprecationResult { r#return: Some(true) })
}

/// DisableImageDeprecation. Errors: `InvalidAMIID.*`, `AuthFailure`, `DryRunOperation`.
pub fn disable_image_deprecation(
    change: &mut Change<'_, '_>,
    input: &wire::DisableImageDeprecationRequest,
) -> Result<wire::DisableImageDeprecationResult, ApiError> {
    let image = own(&change.view(), input.image_id.as_ref())?;
    change.update(image.id.as_str(), |row: &mut Image| row.details.deprecated_at = None);
    errors::dry_run(input.dry_run)?;
    Ok(wire::DisableImageDeprecationResult { r#return: Some(true) })
}
