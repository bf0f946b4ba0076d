//! DescribeInstanceAttribute and ModifyInstanceAttribute, one attribute a call.

use super::instances::one;
use super::{errors, instances_shape as shape, launch_data, network_interfaces, recast};
use crate::{Call, Change};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use elastane_domain::types::instance_type;
use elastane_engine::launch::decode_user_data;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};

/// DescribeInstanceAttribute. What an instance does not have is an element
/// without a value, as on AWS.
pub fn describe_instance_attribute(
    call: &Call<'_>,
    input: &wire::DescribeInstanceAttributeRequest,
) -> Result<wire::InstanceAttribute, ApiError> {
    let row = one(&call.view, input.instance_id.as_ref())?;
    errors::dry_run(input.dry_run)?;
    let attribute = input.attribute.as_deref().ok_or_else(|| errors::missing("Attribute"))?;
    let yes = |value: bool| Some(wire::AttributeBooleanValue { value: Some(value) });
    let text = |value: Option<&str>| Some(wire::AttributeValue { value: value.map(str::to_string) });
    let mut answer = wire::InstanceAttribute { instance_id: Some(row.id.to_string()), ..Default::default() };
    match attribute {
        "instanceType" => answer.instance_type = text(Some(&row.instance_type)),
        "kernel" => answer.kernel_id = text(None),
        "ramdisk" => answer.ramdisk_id = text(None),
        "userData" => answer.user_data = text(row.user_data.as_deref()),
        "disableApiTermination" => answer.disable_api_termination = yes(row.disable_api_termination),
        "disableApiStop" => answer.disable_api_stop = yes(row.disable_api_stop),
        "instanceInitiatedShutdownBehavior" => {
            answer.instance_initiated_shutdown_behavior = text(Some(launch_data::shutdown_word(row.shutdown_behavior)));
        }
        "rootDeviceName" => answer.root_device_name = text(Some(shape::root_device_name(row))),
        "blockDeviceMapping" => answer.block_device_mappings = vec![shape::root_device(row)],
        "productCodes" => {}
        "sourceDestCheck" => {
            let interface = elastane_engine::network::primary_interface(&call.view, row);
            answer.source_dest_check = yes(interface.is_none_or(|interface| interface.source_dest_check));
        }
        "groupSet" => answer.groups = shape::groups(&call.view, row),
        "ebsOptimized" => answer.ebs_optimized = yes(row.ebs_optimized),
        "sriovNetSupport" => answer.sriov_net_support = text(None),
        "enaSupport" => answer.ena_support = yes(true),
        "enclaveOptions" => answer.enclave_options = Some(wire::EnclaveOptions { enabled: Some(false) }),
        other => return Err(errors::invalid_value(format!("Value ({other}) for parameter attribute is invalid."))),
    }
    Ok(answer)
}

/// A change of one attribute.
enum Edit {
    InstanceType(String),
    UserData(Option<String>),
    TerminationProtection(bool),
    StopProtection(bool),
    ShutdownBehavior(ShutdownBehavior),
    EbsOptimized(bool),
    SourceDestCheck(bool),
    Groups(Vec<String>),
    /// What is asked for is so anyway.
    Nothing,
}

/// ModifyInstanceAttribute.
///
/// # Errors
/// `InvalidInstanceID.*`, `InvalidParameterCombination` for no attribute or
/// more than one, `IncorrectInstanceState` for what only a stopped instance
/// takes or for one that is gone, `InvalidParameterValue`,
/// `UnsupportedOperation`, those of groups.
pub fn modify_instance_attribute(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyInstanceAttributeRequest,
) -> Result<wire::ModifyInstanceAttributeOutput, ApiError> {
    let row = one(&change.view(), input.instance_id.as_ref())?.clone();
    let edit = edit(&row, input)?;
    check(&row, &edit)?;
    let id = row.id.as_str();
    let mut set = |set: &mut dyn FnMut(&mut Instance)| change.update(id, |row: &mut Instance| set(row));
    match edit {
        Edit::InstanceType(name) => set(&mut |row| row.instance_type.clone_from(&name)),
        Edit::UserData(text) => set(&mut |row| row.user_data.clone_from(&text)),
        Edit::TerminationProtection(on) => set(&mut |row| row.disable_api_termination = on),
        Edit::StopProtection(on) => set(&mut |row| row.disable_api_stop = on),
        Edit::ShutdownBehavior(behavior) => set(&mut |row| row.shutdown_behavior = behavior),
        Edit::EbsOptimized(on) => set(&mut |row| row.ebs_optimized = on),
        Edit::SourceDestCheck(on) => network_interfaces::set_source_dest_check(change, &row.interface, on),
        Edit::Groups(groups) => network_interfaces::set_groups(change, &row.interface, &groups)?,
        Edit::Nothing => {}
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::ModifyInstanceAttributeOutput {})
}

/// The attribute that a call changes, in either of the two forms it may have.
fn edit(row: &Instance, input: &wire::ModifyInstanceAttributeRequest) -> Result<Edit, ApiError> {
    const NAMES: &[&str] = &[
        "Attribute",
        "BlockDeviceMappings",
        "DisableApiStop",
        "DisableApiTermination",
        "DryRun",
        "EbsOptimized",
        "EnaSupport",
        "Groups",
        "InstanceId",
        "InstanceInitiatedShutdownBehavior",
        "InstanceType",
        "SourceDestCheck",
        "UserData",
        "Value",
    ];
    recast::only(&wire::MODIFY_INSTANCE_ATTRIBUTE_REQUEST, input, NAMES)?;
    let mut edits = Vec::new();
    if let Some(attribute) = input.attribute.as_deref().filter(|attribute| *attribute != "blockDeviceMapping") {
        edits.push(named_edit(attribute, input.value.as_deref())?);
    }
    let text =
        |value: &Option<wire::AttributeValue>| value.as_ref().map(|value| value.value.clone().unwrap_or_default());
    let flag = |value: &Option<wire::AttributeBooleanValue>| value.as_ref().map(|value| value.value.unwrap_or(false));
    edits.extend(text(&input.instance_type).map(Edit::InstanceType));
    if let Some(user_data) = &input.user_data {
        edits.push(user_data_edit(BASE64.encode(user_data.value.as_deref().unwrap_or_default())));
    }
    edits.extend(flag(&input.disable_api_termination).map(Edit::TerminationProtection));
    edits.extend(flag(&input.disable_api_stop).map(Edit::StopProtection));
    if let Some(word) = text(&input.instance_initiated_shutdown_behavior) {
        edits.push(Edit::ShutdownBehavior(launch_data::shutdown_behavior(&word)?));
    }
    edits.extend(flag(&input.ebs_optimized).map(Edit::EbsOptimized));
    edits.extend(flag(&input.source_dest_check).map(Edit::SourceDestCheck));
    if let Some(on) = flag(&input.ena_support) {
        edits.push(if on { Edit::Nothing } else { return Err(errors::unsupported("Turning EnaSupport off")) });
    }
    if !input.groups.is_empty() {
        edits.push(Edit::Groups(input.groups.clone()));
    }
    if !input.block_device_mappings.is_empty() {
        edits.push(device_edit(row, &input.block_device_mappings)?);
    }
    match (edits.pop(), edits.is_empty()) {
        (Some(edit), true) => Ok(edit),
        (None, _) => Err(errors::invalid_combination("No attributes specified.")),
        (Some(_), false) => Err(errors::invalid_combination(
            "Fields for multiple attribute types specified: name one attribute a call.",
        )),
    }
}

fn named_edit(attribute: &str, value: Option<&str>) -> Result<Edit, ApiError> {
    let value = value.unwrap_or_default();
    let flag = || match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(errors::invalid_value(format!(
            "Value ({value}) for parameter value is invalid. Expecting 'true' or 'false'."
        ))),
    };
    match attribute {
        "instanceType" => Ok(Edit::InstanceType(value.to_string())),
        "userData" => Ok(user_data_edit(value.to_string())),
        "disableApiTermination" => Ok(Edit::TerminationProtection(flag()?)),
        "disableApiStop" => Ok(Edit::StopProtection(flag()?)),
        "instanceInitiatedShutdownBehavior" => Ok(Edit::ShutdownBehavior(launch_data::shutdown_behavior(value)?)),
        "ebsOptimized" => Ok(Edit::EbsOptimized(flag()?)),
        "sourceDestCheck" => Ok(Edit::SourceDestCheck(flag()?)),
        "groupSet" => Ok(Edit::Groups(vec![value.to_string()])),
        "enaSupport" if flag()? => Ok(Edit::Nothing),
        other => Err(errors::unsupported(&format!("Changing the attribute '{other}' to '{value}'"))),
    }
}

fn user_data_edit(text: String) -> Edit {
    Edit::UserData(Some(text).filter(|text| !text.is_empty()))
}

/// DeleteOnTermination of the root device: it goes with its instance.
fn device_edit(row: &Instance, mappings: &[wire::InstanceBlockDeviceMappingSpecification]) -> Result<Edit, ApiError> {
    for mapping in mappings {
        let name = mapping.device_name.as_deref().unwrap_or_default();
        if name != shape::root_device_name(row) {
            let message = format!("No device is currently mapped at {name}");
            return Err(ApiError::new("InvalidInstanceAttributeValue", message));
        }
        const NAMES: &[&str] = &["DeviceName", "Ebs"];
        recast::only(&wire::INSTANCE_BLOCK_DEVICE_MAPPING_SPECIFICATION, mapping, NAMES)?;
        if mapping.ebs.as_ref().and_then(|ebs| ebs.delete_on_termination) == Some(false) {
            return Err(errors::unsupported("A root volume that outlives its instance (DeleteOnTermination false)"));
        }
    }
    Ok(Edit::Nothing)
}

fn check(row: &Instance, edit: &Edit) -> Result<(), ApiError> {
    if matches!(row.phase, Phase::Terminated { .. }) {
        return Err(errors::incorrect_state(row.id.as_str(), "modified"));
    }
    let stopped = || {
        let message = format!("The instance '{}' is not in the 'stopped' state.", row.id);
        if row.phase == Phase::Stopped { Ok(()) } else { Err(ApiError::new("IncorrectInstanceState", message)) }
    };
    match edit {
        Edit::InstanceType(name) => {
            instance_type(name)
                .ok_or_else(|| errors::invalid_value(format!("Invalid value '{name}' for InstanceType.")))?;
            stopped()
        }
        Edit::UserData(text) => {
            decode_user_data(text.as_deref().unwrap_or_default()).map_err(errors::refused)?;
            stopped()
        }
        Edit::EbsOptimized(_) => stopped(),
        // Clients take the protection off before they terminate, and know this text.
        Edit::TerminationProtection(true) if row.spot_request.is_some() => Err(ApiError::new(
            "UnsupportedOperation",
            "The attribute disableApiTermination is not supported for spot instances",
        )),
        Edit::TerminationProtection(_)
        | Edit::StopProtection(_)
        | Edit::ShutdownBehavior(_)
        | Edit::SourceDestCheck(_)
        | Edit::Groups(_)
        | Edit::Nothing => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;

    fn value(value: &str) -> Option<wire::AttributeValue> {
        Some(wire::AttributeValue { value: Some(value.to_string()) })
    }

    fn flag(value: bool) -> Option<wire::AttributeBooleanValue> {
        Some(wire::AttributeBooleanValue { value: Some(value) })
    }

    fn root(id: &str, device: &str, delete: bool) -> wire::ModifyInstanceAttributeRequest {
        let ebs =
            wire::EbsInstanceBlockDeviceSpecification { delete_on_termination: Some(delete), ..Default::default() };
        wire::ModifyInstanceAttributeRequest {
            instance_id: Some(id.to_string()),
            block_device_mappings: vec![wire::InstanceBlockDeviceMappingSpecification {
                device_name: Some(device.to_string()),
                ebs: Some(ebs),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// Each attribute, whether it may change while running, and how it reads back.
    #[test]
    fn attributes_change_one_at_a_time() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        let empty = || wire::ModifyInstanceAttributeRequest { instance_id: Some(id.clone()), ..Default::default() };
        let user_data = Some(wire::SecureBlobAttributeValue { value: Some(b"#!/bin/sh\n".to_vec()) });
        let cases: Vec<(&str, wire::ModifyInstanceAttributeRequest)> = vec![
            ("", wire::ModifyInstanceAttributeRequest { disable_api_termination: flag(true), ..empty() }),
            (
                "",
                wire::ModifyInstanceAttributeRequest {
                    instance_initiated_shutdown_behavior: value("terminate"),
                    ..empty()
                },
            ),
            ("", wire::ModifyInstanceAttributeRequest { source_dest_check: flag(true), ..empty() }),
            ("", wire::ModifyInstanceAttributeRequest { source_dest_check: flag(false), ..empty() }),
            ("", wire::ModifyInstanceAttributeRequest { disable_api_stop: flag(true), ..empty() }),
            ("", root(&id, "/dev/xvda", true)),
            ("UnsupportedOperation", root(&id, "/dev/xvda", false)),
            ("InvalidInstanceAttributeValue", root(&id, "/dev/sdb", true)),
            ("", wire::ModifyInstanceAttributeRequest { disable_api_stop: flag(false), ..empty() }),
            (
                "IncorrectInstanceState",
                wire::ModifyInstanceAttributeRequest { instance_type: value("t3.small"), ..empty() },
            ),
            ("IncorrectInstanceState", wire::ModifyInstanceAttributeRequest { user_data, ..empty() }),
            (
                "InvalidParameterValue",
                wire::ModifyInstanceAttributeRequest { instance_type: value("z9.huge"), ..empty() },
            ),
            (
                "InvalidGroup.NotFound",
                wire::ModifyInstanceAttributeRequest { groups: vec!["sg-01234567".into()], ..empty() },
            ),
            ("InvalidParameterCombination", empty()),
            (
                "InvalidParameterCombination",
                wire::ModifyInstanceAttributeRequest {
                    source_dest_check: flag(true),
                    disable_api_termination: flag(true),
                    ..empty()
                },
            ),
        ];
        for (code, input) in cases {
            let result = scene.write(|change| modify_instance_attribute(change, &input));
            assert_eq!(result.err().map_or(String::new(), |err| err.code.to_string()), code, "{input:?}");
        }
        let row = scene.row::<Instance>(&id);
        assert_eq!((row.disable_api_termination, row.shutdown_behavior), (true, ShutdownBehavior::Terminate));
    }

    /// Type and user data change while it is stopped; user data reads back as base64.
    #[test]
    fn a_stopped_instance_takes_type_and_user_data() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        let stop = wire::StopInstancesRequest { instance_ids: vec![id.clone()], ..Default::default() };
        scene.write(|change| super::super::stop_instances(change, &stop)).expect("running");
        scene.settle();
        let user_data = Some(wire::SecureBlobAttributeValue { value: Some(b"#!/bin/sh\n".to_vec()) });
        for input in [
            wire::ModifyInstanceAttributeRequest { instance_type: value("t3.small"), ..Default::default() },
            wire::ModifyInstanceAttributeRequest { user_data, ..Default::default() },
        ] {
            let input = wire::ModifyInstanceAttributeRequest { instance_id: Some(id.clone()), ..input };
            scene.write(|change| modify_instance_attribute(change, &input)).expect("stopped");
        }
        let read = |attribute: &str| {
            let input = wire::DescribeInstanceAttributeRequest {
                attribute: Some(attribute.into()),
                instance_id: Some(id.clone()),
                ..Default::default()
            };
            scene.read(|call| describe_instance_attribute(call, &input)).expect("known")
        };
        assert_eq!(read("instanceType").instance_type, value("t3.small"));
        assert_eq!(read("userData").user_data, value("IyEvYmluL3NoCg=="));
        assert_eq!(read("disableApiStop").disable_api_stop, flag(false));
        assert_eq!(read("groupSet").groups.len(), 1);
    }
}
