//! Launch configurations: what groups launched from before templates. One is
//! kept as the template data that says the same.

use super::errors;
use crate::ec2::launch_data;
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_domain::types::instance_type;
use elastane_engine::launch;
use elastane_engine::network;
use elastane_engine::row::{Group, Instance, KeyPair, LaunchConfiguration, LaunchData, LaunchSource, SecurityGroup};
use elastane_engine::{View, images};
use elastane_wire::{ApiError, Timestamp, autoscaling as wire, ec2};
use std::collections::BTreeSet;

/// Launch configurations in one region (autoscaling.md 18).
const CONFIGURATIONS_MAX: usize = 200;

/// A name's length (API reference).
const NAME_MAX: usize = 255;

/// Names that one call may ask for (API reference of the page's length).
const NAMES_MAX: usize = 50;

/// CreateLaunchConfiguration.
pub fn create_launch_configuration(
    change: &mut Change<'_, '_>,
    input: &wire::CreateLaunchConfigurationType,
) -> Result<wire::CreateLaunchConfigurationOutput, ApiError> {
    create(change, input)?;
    Ok(wire::CreateLaunchConfigurationOutput {})
}

/// The launch configuration that CreateAutoScalingGroup makes of an instance:
/// it has the group's name. Returns its name.
///
/// # Errors
/// As CreateLaunchConfiguration with InstanceId.
pub fn of_instance(change: &mut Change<'_, '_>, instance: &str, name: &str) -> Result<String, ApiError> {
    let input = wire::CreateLaunchConfigurationType {
        launch_configuration_name: Some(name.to_string()),
        instance_id: Some(instance.to_string()),
        ..Default::default()
    };
    create(change, &input)
}

fn create(change: &mut Change<'_, '_>, input: &wire::CreateLaunchConfigurationType) -> Result<String, ApiError> {
    let name = new_name(input.launch_configuration_name.as_deref())?;
    let view = change.view();
    if view.get::<LaunchConfiguration>(name).is_some() {
        return Err(ApiError::new(
            "AlreadyExists",
            format!(
                "Launch Configuration by this name already exists - A launch configuration already exists with the name {name}"
            ),
        ));
    }
    if view.all::<LaunchConfiguration>().count() >= CONFIGURATIONS_MAX {
        return Err(errors::limit(format!("You have reached the limit of {CONFIGURATIONS_MAX} launch configurations")));
    }
    refuse(input)?;
    let given = match said(&input.instance_id) {
        Some(id) => over_instance(&view, &id, input)?,
        None => input.clone(),
    };
    if given.image_id.is_none() || given.instance_type.is_none() {
        return Err(errors::invalid(
            "Valid requests must contain either the InstanceID parameter or both the ImageId and InstanceType \
             parameters.",
        ));
    }
    let template = as_template(&view, &given)?;
    let data = launch_data::of_template(&template).map_err(|err| errors::invalid(err.message))?;
    check(&view, &data)?;
    let (id, name) = (change.rng.uuid(), name.to_string());
    let view = change.view();
    let arn = view.scope.arn("autoscaling", &format!("launchConfiguration:{id}:launchConfigurationName/{name}"));
    let created_at = view.now;
    change.put(LaunchConfiguration { name: name.clone(), arn, created_at, data });
    Ok(name)
}

fn new_name(name: Option<&str>) -> Result<&str, ApiError> {
    let name = name.ok_or_else(|| errors::missing("LaunchConfigurationName"))?;
    let fine = (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control) && !name.contains(':');
    if fine { Ok(name) } else { Err(errors::invalid(format!("Invalid launch configuration name '{name}'"))) }
}

/// A text that says something.
fn said(value: &Option<String>) -> Option<String> {
    value.clone().filter(|text| !text.is_empty())
}

fn refuse(input: &wire::CreateLaunchConfigurationType) -> Result<(), ApiError> {
    let device = |of: &dyn Fn(&wire::BlockDeviceMapping) -> bool| input.block_device_mappings.iter().any(of);
    let tenancy = said(&input.placement_tenancy);
    errors::refuse_unsupported(&[
        ("ClassicLinkVPCId", said(&input.classic_link_vpc_id).is_some()),
        ("ClassicLinkVPCSecurityGroups", !input.classic_link_vpc_security_groups.is_empty()),
        ("KernelId", said(&input.kernel_id).is_some()),
        ("RamdiskId", said(&input.ramdisk_id).is_some()),
        ("PlacementTenancy dedicated", tenancy.as_deref() == Some("dedicated")),
        ("BlockDeviceMapping.NoDevice", device(&|one| one.no_device == Some(true))),
        ("BlockDeviceMapping.VirtualName", device(&|one| said(&one.virtual_name).is_some())),
    ])?;
    match tenancy.as_deref() {
        None | Some("default") => Ok(()),
        Some(other) => Err(errors::invalid(format!("Invalid PlacementTenancy '{other}'"))),
    }
}

/// What a call with InstanceId says: what the instance has, as far as the
/// call does not say it itself. Tags and block devices are not taken over.
fn over_instance(
    view: &View<'_>,
    id: &str,
    input: &wire::CreateLaunchConfigurationType,
) -> Result<wire::CreateLaunchConfigurationType, ApiError> {
    let unknown = || errors::invalid(format!("Invalid instance ID: {id}"));
    let row: &Instance = view.get::<Instance>(id).ok_or_else(unknown)?;
    let word = |on: bool, (yes, no): (&str, &str)| Some(if on { yes } else { no }.to_string());
    let groups = network::primary_interface(view, row)
        .map_or(Vec::new(), |interface| interface.groups.iter().map(ToString::to_string).collect());
    let mut given = input.clone();
    given.image_id = said(&given.image_id).or(Some(row.image.to_string()));
    given.instance_type = said(&given.instance_type).or(Some(row.instance_type.clone()));
    given.key_name = said(&given.key_name).or(row.key_name.clone());
    given.user_data = said(&given.user_data).or(row.user_data.clone());
    let profile = row.profile.as_ref().map(|profile| profile.profile.clone());
    given.iam_instance_profile = said(&given.iam_instance_profile).or(profile);
    given.ebs_optimized = given.ebs_optimized.or(Some(row.ebs_optimized));
    if given.security_groups.is_empty() {
        given.security_groups = groups;
    }
    if given.instance_monitoring.is_none() {
        given.instance_monitoring = Some(wire::InstanceMonitoring { enabled: Some(row.monitoring) });
    }
    if given.metadata_options.is_none() {
        given.metadata_options = Some(wire::InstanceMetadataOptions {
            http_endpoint: word(row.metadata.endpoint, ("enabled", "disabled")),
            http_put_response_hop_limit: Some(i32::from(row.metadata.hop_limit)),
            http_tokens: word(row.metadata.tokens_required, ("required", "optional")),
        });
    }
    Ok(given)
}

/// The same as a launch template would say it. Detailed monitoring is on
/// unless it is said otherwise (autoscaling.md 1.1).
fn as_template(
    view: &View<'_>,
    given: &wire::CreateLaunchConfigurationType,
) -> Result<ec2::RequestLaunchTemplateData, ApiError> {
    let (ids, names): (Vec<String>, Vec<String>) =
        given.security_groups.iter().cloned().partition(|text| text.starts_with("sg-"));
    let mut data = ec2::RequestLaunchTemplateData {
        image_id: given.image_id.clone(),
        instance_type: given.instance_type.clone(),
        key_name: said(&given.key_name),
        user_data: said(&given.user_data),
        ebs_optimized: given.ebs_optimized,
        iam_instance_profile: said(&given.iam_instance_profile).map(profile),
        block_device_mappings: given.block_device_mappings.iter().map(block_device).collect(),
        monitoring: Some(ec2::LaunchTemplatesMonitoringRequest {
            enabled: Some(given.instance_monitoring.as_ref().and_then(|one| one.enabled).unwrap_or(true)),
            ..Default::default()
        }),
        metadata_options: given.metadata_options.as_ref().map(|options| {
            ec2::LaunchTemplateInstanceMetadataOptionsRequest {
                http_endpoint: options.http_endpoint.clone(),
                http_put_response_hop_limit: options.http_put_response_hop_limit,
                http_tokens: options.http_tokens.clone(),
                ..Default::default()
            }
        }),
        placement: said(&given.placement_tenancy)
            .map(|word| ec2::LaunchTemplatePlacementRequest { tenancy: Some(word), ..Default::default() }),
        instance_market_options: said(&given.spot_price).map(|price| ec2::LaunchTemplateInstanceMarketOptionsRequest {
            market_type: Some("spot".to_string()),
            spot_options: Some(ec2::LaunchTemplateSpotMarketOptionsRequest {
                max_price: Some(price),
                ..Default::default()
            }),
        }),
        ..Default::default()
    };
    match given.associate_public_ip_address {
        None => (data.security_group_ids, data.security_groups) = (ids, names),
        Some(public) => {
            let mut groups = ids;
            for name in &names {
                groups.push(group_of_name(view, name)?);
            }
            data.network_interfaces = vec![ec2::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest {
                device_index: Some(0),
                associate_public_ip_address: Some(public),
                groups,
                ..Default::default()
            }];
        }
    }
    Ok(data)
}

fn profile(text: String) -> ec2::LaunchTemplateIamInstanceProfileSpecificationRequest {
    let (arn, name) = if text.starts_with("arn:") { (Some(text), None) } else { (None, Some(text)) };
    ec2::LaunchTemplateIamInstanceProfileSpecificationRequest { arn, name }
}

fn block_device(mapping: &wire::BlockDeviceMapping) -> ec2::LaunchTemplateBlockDeviceMappingRequest {
    ec2::LaunchTemplateBlockDeviceMappingRequest {
        device_name: mapping.device_name.clone(),
        ebs: mapping.ebs.as_ref().map(|ebs| ec2::LaunchTemplateEbsBlockDeviceRequest {
            delete_on_termination: ebs.delete_on_termination,
            encrypted: ebs.encrypted,
            iops: ebs.iops,
            snapshot_id: ebs.snapshot_id.clone(),
            throughput: ebs.throughput,
            volume_size: ebs.volume_size,
            volume_type: ebs.volume_type.clone(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Security groups are known by name in the default VPC.
fn group_of_name(view: &View<'_>, name: &str) -> Result<String, ApiError> {
    let vpc = network::default_vpc(view).map(|vpc| &vpc.id);
    let found = view.all::<SecurityGroup>().find(|row| Some(&row.vpc) == vpc && row.name == name);
    found
        .map(|row| row.id.to_string())
        .ok_or_else(|| errors::invalid(format!("The security group '{name}' does not exist in the default VPC")))
}

/// What can be known without a subnet; the rest is checked when a group is
/// given the configuration.
fn check(view: &View<'_>, data: &LaunchData) -> Result<(), ApiError> {
    let kind = data.instance_type.as_deref().unwrap_or_default();
    if instance_type(kind).is_none() {
        return Err(errors::invalid(format!("Invalid instance type: {kind}")));
    }
    if let Some(image) = &data.image
        && images::find(view, image.as_str()).is_none()
    {
        return Err(errors::invalid(format!("AMI cannot be described: The image id '[{image}]' does not exist")));
    }
    if let Some(key) = data.key_name.as_deref().filter(|key| view.get::<KeyPair>(key).is_none()) {
        return Err(errors::invalid(format!("The key pair '{key}' does not exist")));
    }
    if let Some(text) = &data.profile {
        launch::profile(view, text).map_err(|_| errors::invalid(format!("Invalid IamInstanceProfile: {text}")))?;
    }
    Ok(())
}

/// DeleteLaunchConfiguration. Instances that were launched from it stay.
pub fn delete_launch_configuration(
    change: &mut Change<'_, '_>,
    input: &wire::LaunchConfigurationNameType,
) -> Result<wire::DeleteLaunchConfigurationOutput, ApiError> {
    let name = said(&input.launch_configuration_name).ok_or_else(|| errors::missing("LaunchConfigurationName"))?;
    let view = change.view();
    if view.get::<LaunchConfiguration>(&name).is_none() {
        let text = format!("Launch configuration name not found - Launch configuration {name} not found");
        return Err(errors::invalid(text));
    }
    let uses = |group: &Group| matches!(&group.source, LaunchSource::Configuration(used) if *used == name);
    if let Some(group) = view.all::<Group>().find(|group| uses(group)) {
        let text = format!(
            "Cannot delete launch configuration {name} because it is attached to AutoScalingGroup {}",
            group.name
        );
        return Err(errors::in_use(text));
    }
    change.delete::<LaunchConfiguration>(&name);
    Ok(wire::DeleteLaunchConfigurationOutput {})
}

/// DescribeLaunchConfigurations: unknown names are left out, not refused.
pub fn describe_launch_configurations(
    call: &Call<'_>,
    input: &wire::LaunchConfigurationNamesType,
) -> Result<wire::LaunchConfigurationsType, ApiError> {
    let max = errors::page_size(input.max_records, 50, 100)?;
    if input.launch_configuration_names.len() > NAMES_MAX {
        return Err(errors::invalid(format!("At most {NAMES_MAX} LaunchConfigurationNames may be given")));
    }
    let asked: BTreeSet<&String> = input.launch_configuration_names.iter().collect();
    let found = match asked.is_empty() {
        true => call.all::<LaunchConfiguration>().collect(),
        false => asked.into_iter().filter_map(|name| call.get::<LaunchConfiguration>(name)).collect(),
    };
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, |row| row.name.clone())?;
    let launch_configurations = rows.into_iter().map(|row| shown(row)).collect();
    Ok(wire::LaunchConfigurationsType { launch_configurations, next_token })
}

fn shown(row: &LaunchConfiguration) -> wire::LaunchConfiguration {
    let data = launch_data::said(&row.data);
    let interface = data.network_interfaces.into_iter().next();
    let public = interface.as_ref().and_then(|one| one.associate_public_ip_address);
    let mut security_groups = data.security_group_ids;
    security_groups.extend(data.security_groups);
    security_groups.extend(interface.into_iter().flat_map(|one| one.groups));
    let market = data.instance_market_options.and_then(|options| options.spot_options);
    // AWS has these in every answer, empty when they are not used.
    let empty = || Some(String::new());
    wire::LaunchConfiguration {
        associate_public_ip_address: public,
        block_device_mappings: data.block_device_mappings.into_iter().map(shown_device).collect(),
        classic_link_vpc_id: None,
        classic_link_vpc_security_groups: Vec::new(),
        created_time: Some(Timestamp(row.created_at.millis())),
        ebs_optimized: Some(data.ebs_optimized.unwrap_or(false)),
        iam_instance_profile: data.iam_instance_profile.and_then(|one| one.arn.or(one.name)),
        image_id: data.image_id,
        instance_monitoring: Some(wire::InstanceMonitoring {
            enabled: Some(data.monitoring.and_then(|one| one.enabled).unwrap_or(true)),
        }),
        instance_type: data.instance_type,
        kernel_id: empty(),
        key_name: data.key_name.or_else(empty),
        launch_configuration_arn: Some(row.arn.clone()),
        launch_configuration_name: Some(row.name.clone()),
        metadata_options: data.metadata_options.map(|options| wire::InstanceMetadataOptions {
            http_endpoint: options.http_endpoint,
            http_put_response_hop_limit: options.http_put_response_hop_limit,
            http_tokens: options.http_tokens,
        }),
        placement_tenancy: data.placement.and_then(|placement| placement.tenancy),
        ramdisk_id: empty(),
        security_groups,
        spot_price: market.and_then(|market| market.max_price),
        user_data: data.user_data.or_else(empty),
    }
}

fn shown_device(mapping: ec2::LaunchTemplateBlockDeviceMappingRequest) -> wire::BlockDeviceMapping {
    wire::BlockDeviceMapping {
        device_name: mapping.device_name,
        ebs: mapping.ebs.map(|ebs| wire::Ebs {
            delete_on_termination: ebs.delete_on_termination,
            encrypted: ebs.encrypted,
            iops: ebs.iops,
            snapshot_id: ebs.snapshot_id,
            throughput: ebs.throughput,
            volume_size: ebs.volume_size,
            volume_type: ebs.volume_type,
        }),
        ..wire::BlockDeviceMapping::default()
    }
}
