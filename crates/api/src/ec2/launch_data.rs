//! What a launch says, between its three wire shapes and the rows: launch
//! template versions, RunInstances and what DescribeLaunchTemplateVersions
//! shows are one [`LaunchData`].

use super::{errors, recast, tag_rules};
use elastane_domain::id::*;
use elastane_engine::View;
use elastane_engine::launch::decode_user_data;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};

/// Members of launch template data that are implemented.
const SUPPORTED: &[&str] = &[
    "BlockDeviceMappings",
    "CreditSpecification",
    "DisableApiTermination",
    "EbsOptimized",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "KeyName",
    "MetadataOptions",
    "Monitoring",
    "NetworkInterfaces",
    "Placement",
    "SecurityGroupIds",
    "SecurityGroups",
    "TagSpecifications",
    "UserData",
];

/// Members of RunInstances that template data does not have, as far as they
/// are implemented.
const SUPPORTED_BY_CALL: &[&str] =
    &["ClientToken", "DryRun", "LaunchTemplate", "MaxCount", "MinCount", "PrivateIpAddress", "SubnetId"];

/// Resource types whose tags a launch takes; all but the instance's are kept
/// and shown only, as there is nothing else to put them on.
const TAGGED: &[&str] = &["instance", "volume", "network-interface", "spot-instances-request"];

/// The metadata hop limit's range (EC2 API Reference,
/// "InstanceMetadataOptionsRequest").
const HOP_LIMIT_MAX: i32 = 64;

/// What a launch template version says.
///
/// # Errors
/// `UnsupportedOperation` naming a member that is not implemented, and EC2's
/// codes for values that no launch could use.
pub fn of_template(data: &wire::RequestLaunchTemplateData) -> Result<LaunchData, ApiError> {
    recast::only(&wire::REQUEST_LAUNCH_TEMPLATE_DATA, data, SUPPORTED)?;
    let mut found = LaunchData {
        image: text(&data.image_id).map(ImageId::from),
        instance_type: text(&data.instance_type),
        key_name: text(&data.key_name),
        user_data: text(&data.user_data),
        security_groups: data.security_group_ids.iter().map(|id| id.as_str().into()).collect(),
        security_group_names: data.security_groups.clone(),
        monitoring: data.monitoring.as_ref().and_then(|monitoring| monitoring.enabled),
        disable_api_termination: data.disable_api_termination,
        shutdown_behavior: data.instance_initiated_shutdown_behavior.as_deref().map(shutdown_behavior).transpose()?,
        ebs_optimized: data.ebs_optimized,
        cpu_credits: data.credit_specification.as_ref().and_then(|credits| text(&credits.cpu_credits)),
        ..LaunchData::default()
    };
    if let Some(user_data) = &found.user_data {
        decode_user_data(user_data).map_err(errors::refused)?;
    }
    if let Some(monitoring) = &data.monitoring {
        recast::only(&wire::LAUNCH_TEMPLATES_MONITORING_REQUEST, monitoring, &["Enabled"])?;
    }
    if let Some(placement) = &data.placement {
        recast::only(&wire::LAUNCH_TEMPLATE_PLACEMENT_REQUEST, placement, &["AvailabilityZone"])?;
        found.zone = text(&placement.availability_zone).map(Zone::from);
    }
    if let Some(options) = &data.metadata_options {
        found.metadata = metadata_choice(options)?;
    }
    found.tags = tags(&data.tag_specifications)?;
    found.block_devices = data.block_device_mappings.iter().map(block_device).collect::<Result<_, _>>()?;
    read_interfaces(&data.network_interfaces, &mut found)?;
    Ok(found)
}

/// What a RunInstances call says itself, its template aside.
///
/// # Errors
/// As [`of_template`].
pub fn of_call(input: &wire::RunInstancesRequest) -> Result<LaunchData, ApiError> {
    let supported: Vec<&str> = SUPPORTED.iter().chain(SUPPORTED_BY_CALL).copied().collect();
    recast::only(&wire::RUN_INSTANCES_REQUEST, input, &supported)?;
    let mut same = wire::RequestLaunchTemplateData::default();
    recast::recast((&wire::RUN_INSTANCES_REQUEST, input), (&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &mut same));
    let mut data = of_template(&same)?;
    let (subnet, address) = (text(&input.subnet_id), text(&input.private_ip_address));
    if data.by_interface && (subnet.is_some() || address.is_some()) {
        return Err(mixed());
    }
    if let Some(subnet) = subnet {
        data.subnet = Some(subnet.into());
    }
    if let Some(address) = address {
        data.private_ip = Some(private_ip(&address)?);
    }
    Ok(data)
}

/// `over` on top of `base`: members of `over` replace those of `base` as a
/// whole, block devices one by one by device name, tags by resource type
/// (ec2-imds.md 7, rule 5).
///
/// # Errors
/// `InvalidParameterCombination` when one names a network interface and the
/// other a subnet or groups beside it.
pub fn overlay(base: &LaunchData, over: LaunchData) -> Result<LaunchData, ApiError> {
    let names_network = |data: &LaunchData| {
        let groups = !data.security_groups.is_empty() || !data.security_group_names.is_empty();
        groups || data.subnet.is_some() || data.private_ip.is_some()
    };
    if base.by_interface && !over.by_interface && names_network(&over) {
        return Err(mixed());
    }
    if over.by_interface && !base.by_interface && names_network(base) {
        return Err(mixed());
    }
    let named_groups = !over.security_groups.is_empty() || !over.security_group_names.is_empty();
    let groups = if named_groups || over.by_interface { &over } else { base };
    let network = if over.by_interface { &over } else { base };
    Ok(LaunchData {
        security_groups: groups.security_groups.clone(),
        security_group_names: groups.security_group_names.clone(),
        subnet: over.subnet.clone().or_else(|| network.subnet.clone()),
        private_ip: over.private_ip.or(network.private_ip),
        by_interface: base.by_interface || over.by_interface,
        associate_public_ip: network.associate_public_ip,
        interface_delete_on_termination: network.interface_delete_on_termination,
        image: over.image.or_else(|| base.image.clone()),
        instance_type: over.instance_type.or_else(|| base.instance_type.clone()),
        key_name: over.key_name.or_else(|| base.key_name.clone()),
        user_data: over.user_data.or_else(|| base.user_data.clone()),
        zone: over.zone.or_else(|| base.zone.clone()),
        monitoring: over.monitoring.or(base.monitoring),
        disable_api_termination: over.disable_api_termination.or(base.disable_api_termination),
        shutdown_behavior: over.shutdown_behavior.or(base.shutdown_behavior),
        ebs_optimized: over.ebs_optimized.or(base.ebs_optimized),
        cpu_credits: over.cpu_credits.or_else(|| base.cpu_credits.clone()),
        metadata: MetadataChoice {
            endpoint: over.metadata.endpoint.or(base.metadata.endpoint),
            tokens_required: over.metadata.tokens_required.or(base.metadata.tokens_required),
            hop_limit: over.metadata.hop_limit.or(base.metadata.hop_limit),
            tags: over.metadata.tags.or(base.metadata.tags),
        },
        tags: base.tags.clone().into_iter().chain(over.tags).collect(),
        block_devices: overlay_devices(&base.block_devices, over.block_devices),
    })
}

fn overlay_devices(base: &[BlockDevice], over: Vec<BlockDevice>) -> Vec<BlockDevice> {
    let kept = base.iter().filter(|device| over.iter().all(|other| other.device != device.device));
    kept.cloned().chain(over.iter().cloned()).collect()
}

/// The template and version that a launch names; no version is the default one.
///
/// # Errors
/// EC2's codes for a template or version that does not exist, or that is
/// named both ways or not at all.
pub fn find_template<'a>(
    view: &View<'a>,
    id: Option<&str>,
    name: Option<&str>,
    version: Option<&str>,
) -> Result<(&'a LaunchTemplate, &'a LaunchTemplateVersion), ApiError> {
    let template = find_template_row(view, id, name)?;
    let version = version.unwrap_or_default();
    let found = template.version(version).ok_or_else(|| {
        let message =
            format!("Could not find launch template version '{version}' for launch template '{}'", template.id);
        ApiError::new("InvalidLaunchTemplateId.VersionNotFound", message)
    })?;
    Ok((template, found))
}

/// The template of an id or a name.
///
/// # Errors
/// As [`find_template`].
pub fn find_template_row<'a>(
    view: &View<'a>,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<&'a LaunchTemplate, ApiError> {
    let (id, name) = (id.filter(|id| !id.is_empty()), name.filter(|name| !name.is_empty()));
    let found = match (id, name) {
        (Some(id), None) => {
            errors::check_id(LaunchTemplateId::PREFIX, "InvalidLaunchTemplateId.Malformed", id)?;
            let message = || format!("The specified launch template, with template ID {id}, does not exist.");
            view.get::<LaunchTemplate>(id)
                .ok_or_else(|| ApiError::new("InvalidLaunchTemplateId.NotFound", message()))?
        }
        (None, Some(name)) => {
            let message = || format!("The specified launch template, with template name {name}, does not exist.");
            view.all::<LaunchTemplate>()
                .find(|template| template.name == name)
                .ok_or_else(|| ApiError::new("InvalidLaunchTemplateName.NotFoundException", message()))?
        }
        (None, None) => return Err(errors::missing("LaunchTemplateId or LaunchTemplateName")),
        (Some(_), Some(_)) => {
            return Err(errors::invalid_combination("Name a launch template by its ID or by its name, not by both."));
        }
    };
    Ok(found)
}

/// InstanceInitiatedShutdownBehavior of its word.
pub fn shutdown_behavior(word: &str) -> Result<ShutdownBehavior, ApiError> {
    match word {
        "stop" => Ok(ShutdownBehavior::Stop),
        "terminate" => Ok(ShutdownBehavior::Terminate),
        other => Err(errors::invalid_value(format!("Invalid value '{other}' for InstanceInitiatedShutdownBehavior."))),
    }
}

/// The word of an InstanceInitiatedShutdownBehavior.
pub fn shutdown_word(behavior: ShutdownBehavior) -> &'static str {
    match behavior {
        ShutdownBehavior::Stop => "stop",
        ShutdownBehavior::Terminate => "terminate",
    }
}

/// A text that says something: Terraform sends empty ones for what is not set.
pub fn text(value: &Option<String>) -> Option<String> {
    value.clone().filter(|text| !text.is_empty())
}

fn mixed() -> ApiError {
    errors::invalid_combination(
        "Network interfaces and an instance-level subnet ID, private IP address or security groups may not be specified on the same request",
    )
}

fn private_ip(address: &str) -> Result<std::net::Ipv4Addr, ApiError> {
    address.parse().map_err(|_| errors::invalid_value(format!("Invalid IPv4 address: '{address}'")))
}

fn metadata_choice(options: &wire::LaunchTemplateInstanceMetadataOptionsRequest) -> Result<MetadataChoice, ApiError> {
    const NAMES: &[&str] = &["HttpEndpoint", "HttpPutResponseHopLimit", "HttpTokens", "InstanceMetadataTags"];
    recast::only(&wire::LAUNCH_TEMPLATE_INSTANCE_METADATA_OPTIONS_REQUEST, options, NAMES)?;
    let choice = |value: &Option<String>, yes: &str, no: &str, member: &str| match text(value).as_deref() {
        None => Ok(None),
        Some(word) if word == yes => Ok(Some(true)),
        Some(word) if word == no => Ok(Some(false)),
        Some(word) => Err(errors::invalid_value(format!("Invalid value '{word}' for {member}."))),
    };
    let hop_limit = options.http_put_response_hop_limit.map(|hops| {
        if (1..=HOP_LIMIT_MAX).contains(&hops) {
            Ok(hops as u8)
        } else {
            Err(errors::invalid_value(format!("HttpPutResponseHopLimit is from 1 to {HOP_LIMIT_MAX}, found {hops}.")))
        }
    });
    Ok(MetadataChoice {
        endpoint: choice(&options.http_endpoint, "enabled", "disabled", "HttpEndpoint")?,
        tokens_required: choice(&options.http_tokens, "required", "optional", "HttpTokens")?,
        hop_limit: hop_limit.transpose()?,
        tags: choice(&options.instance_metadata_tags, "enabled", "disabled", "InstanceMetadataTags")?,
    })
}

fn tags(
    specifications: &[wire::LaunchTemplateTagSpecificationRequest],
) -> Result<std::collections::BTreeMap<String, Tags>, ApiError> {
    let same: Vec<wire::TagSpecification> = specifications
        .iter()
        .map(|one| wire::TagSpecification { resource_type: one.resource_type.clone(), tags: one.tags.clone() })
        .collect();
    tag_rules::specified(&same, TAGGED)
}

fn block_device(mapping: &wire::LaunchTemplateBlockDeviceMappingRequest) -> Result<BlockDevice, ApiError> {
    recast::only(&wire::LAUNCH_TEMPLATE_BLOCK_DEVICE_MAPPING_REQUEST, mapping, &["DeviceName", "Ebs"])?;
    let device = text(&mapping.device_name).ok_or_else(|| errors::missing("BlockDeviceMapping.DeviceName"))?;
    let Some(ebs) = &mapping.ebs else { return Ok(BlockDevice { device, ..BlockDevice::default() }) };
    const NAMES: &[&str] = &["DeleteOnTermination", "Encrypted", "Iops", "Throughput", "VolumeSize", "VolumeType"];
    recast::only(&wire::LAUNCH_TEMPLATE_EBS_BLOCK_DEVICE_REQUEST, ebs, NAMES)?;
    Ok(BlockDevice {
        device,
        size_gib: ebs.volume_size,
        volume_type: text(&ebs.volume_type),
        delete_on_termination: ebs.delete_on_termination,
        encrypted: ebs.encrypted,
        iops: ebs.iops,
        throughput: ebs.throughput,
    })
}

/// The primary interface; more than one are not supported.
fn read_interfaces(
    interfaces: &[wire::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest],
    data: &mut LaunchData,
) -> Result<(), ApiError> {
    const NAMES: &[&str] =
        &["AssociatePublicIpAddress", "DeleteOnTermination", "DeviceIndex", "Groups", "PrivateIpAddress", "SubnetId"];
    let interface = match interfaces {
        [] => return Ok(()),
        [interface] => interface,
        _ => return Err(errors::unsupported("More than one network interface")),
    };
    if !data.security_groups.is_empty() || !data.security_group_names.is_empty() {
        return Err(mixed());
    }
    recast::only(&wire::LAUNCH_TEMPLATE_INSTANCE_NETWORK_INTERFACE_SPECIFICATION_REQUEST, interface, NAMES)?;
    if interface.device_index.is_some_and(|index| index != 0) {
        return Err(errors::unsupported("A network interface whose DeviceIndex is not 0"));
    }
    data.by_interface = true;
    data.security_groups = interface.groups.iter().map(|id| id.as_str().into()).collect();
    data.subnet = text(&interface.subnet_id).map(SubnetId::from);
    data.private_ip = text(&interface.private_ip_address).map(|address| private_ip(&address)).transpose()?;
    data.associate_public_ip = interface.associate_public_ip_address;
    data.interface_delete_on_termination = interface.delete_on_termination;
    Ok(())
}

/// Launch template data as it was sent: nothing is filled in (terraform-calls.md 3).
pub fn shown(data: &LaunchData) -> wire::ResponseLaunchTemplateData {
    let on_instance = !data.by_interface;
    let metadata = &data.metadata;
    let word = |choice: Option<bool>, yes: &str, no: &str| choice.map(|on| if on { yes } else { no }.to_string());
    wire::ResponseLaunchTemplateData {
        image_id: data.image.as_ref().map(ImageId::to_string),
        instance_type: data.instance_type.clone(),
        key_name: data.key_name.clone(),
        user_data: data.user_data.clone(),
        security_group_ids: if on_instance { strings(&data.security_groups) } else { Vec::new() },
        security_groups: data.security_group_names.clone(),
        monitoring: data
            .monitoring
            .map(|on| wire::LaunchTemplatesMonitoring { enabled: Some(on), ..Default::default() }),
        disable_api_termination: data.disable_api_termination,
        instance_initiated_shutdown_behavior: data
            .shutdown_behavior
            .map(|behavior| shutdown_word(behavior).to_string()),
        ebs_optimized: data.ebs_optimized,
        credit_specification: data
            .cpu_credits
            .clone()
            .map(|credits| wire::CreditSpecification { cpu_credits: Some(credits) }),
        placement: data.zone.as_ref().map(|zone| wire::LaunchTemplatePlacement {
            availability_zone: Some(zone.to_string()),
            ..Default::default()
        }),
        metadata_options: (*metadata != MetadataChoice::default()).then(|| {
            wire::LaunchTemplateInstanceMetadataOptions {
                http_endpoint: word(metadata.endpoint, "enabled", "disabled"),
                http_tokens: word(metadata.tokens_required, "required", "optional"),
                http_put_response_hop_limit: metadata.hop_limit.map(i32::from),
                instance_metadata_tags: word(metadata.tags, "enabled", "disabled"),
                ..Default::default()
            }
        }),
        network_interfaces: if on_instance { Vec::new() } else { vec![interface_shown(data)] },
        tag_specifications: data
            .tags
            .iter()
            .map(|(kind, tags)| wire::LaunchTemplateTagSpecification {
                resource_type: Some(kind.clone()),
                tags: tag_rules::shown(tags),
            })
            .collect(),
        block_device_mappings: data.block_devices.iter().map(device_shown).collect(),
        ..Default::default()
    }
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}

fn interface_shown(data: &LaunchData) -> wire::LaunchTemplateInstanceNetworkInterfaceSpecification {
    wire::LaunchTemplateInstanceNetworkInterfaceSpecification {
        associate_public_ip_address: data.associate_public_ip,
        delete_on_termination: data.interface_delete_on_termination,
        device_index: Some(0),
        groups: strings(&data.security_groups),
        private_ip_address: data.private_ip.map(|address| address.to_string()),
        subnet_id: data.subnet.as_ref().map(SubnetId::to_string),
        ..Default::default()
    }
}

fn device_shown(device: &BlockDevice) -> wire::LaunchTemplateBlockDeviceMapping {
    let said = BlockDevice { device: device.device.clone(), ..BlockDevice::default() } != *device;
    wire::LaunchTemplateBlockDeviceMapping {
        device_name: Some(device.device.clone()),
        ebs: said.then(|| wire::LaunchTemplateEbsBlockDevice {
            delete_on_termination: device.delete_on_termination,
            encrypted: device.encrypted,
            iops: device.iops,
            throughput: device.throughput,
            volume_size: device.size_gib,
            volume_type: device.volume_type.clone(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tag;
    use super::*;

    fn full() -> wire::RequestLaunchTemplateData {
        let text = |text: &str| Some(text.to_string());
        wire::RequestLaunchTemplateData {
            image_id: text("ami-0e1a57a9e00000001"),
            instance_type: text("t3.micro"),
            key_name: text("key"),
            user_data: text("IyEvYmluL3NoCg=="),
            monitoring: Some(wire::LaunchTemplatesMonitoringRequest { enabled: Some(false), ..Default::default() }),
            placement: Some(wire::LaunchTemplatePlacementRequest {
                availability_zone: text("us-east-1b"),
                tenancy: text("default"),
                ..Default::default()
            }),
            metadata_options: Some(wire::LaunchTemplateInstanceMetadataOptionsRequest {
                http_tokens: text("required"),
                http_put_response_hop_limit: Some(2),
                ..Default::default()
            }),
            network_interfaces: vec![wire::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest {
                associate_public_ip_address: Some(true),
                delete_on_termination: Some(true),
                device_index: Some(0),
                groups: vec!["sg-0123456789abcdef0".to_string()],
                ..Default::default()
            }],
            tag_specifications: vec![wire::LaunchTemplateTagSpecificationRequest {
                resource_type: text("instance"),
                tags: vec![tag("Name", "web")],
            }],
            block_device_mappings: vec![wire::LaunchTemplateBlockDeviceMappingRequest {
                device_name: text("/dev/xvda"),
                ebs: Some(wire::LaunchTemplateEbsBlockDeviceRequest { volume_size: Some(20), ..Default::default() }),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// What a template says is shown as it was sent, and nothing else.
    #[test]
    fn terraform_3_template_data_is_shown_as_sent() {
        let said = full();
        let mut expected = wire::ResponseLaunchTemplateData::default();
        recast::recast(
            (&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &said),
            (&wire::RESPONSE_LAUNCH_TEMPLATE_DATA, &mut expected),
        );
        // The default tenancy is what happens anyway and is not kept.
        expected.placement.as_mut().expect("said").tenancy = None;
        assert_eq!(shown(&of_template(&said).expect("all supported")), expected);
        let nothing = of_template(&wire::RequestLaunchTemplateData::default()).expect("empty");
        assert_eq!(shown(&nothing), wire::ResponseLaunchTemplateData::default());
    }

    /// RunInstances says the same in its own shape.
    #[test]
    fn a_call_says_what_a_template_says() {
        let mut call = wire::RunInstancesRequest::default();
        recast::recast((&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &full()), (&wire::RUN_INSTANCES_REQUEST, &mut call));
        assert_eq!(of_call(&call), of_template(&full()));
    }

    /// Members of the call replace those of the template; devices go by name,
    /// tags by resource type; interfaces and instance-level networks exclude each other.
    #[test]
    fn ec2_7_rules_5_and_6_overlay() {
        let base = of_template(&full()).expect("all supported");
        let device =
            |name: &str, size: i32| BlockDevice { device: name.into(), size_gib: Some(size), ..Default::default() };
        let over = LaunchData {
            instance_type: Some("m5.large".into()),
            metadata: MetadataChoice { hop_limit: Some(3), ..Default::default() },
            tags: [("volume".to_string(), Tags::new())].into(),
            block_devices: vec![device("/dev/xvda", 30), device("/dev/sdb", 1)],
            ..Default::default()
        };
        let merged = overlay(&base, over.clone()).expect("no conflict");
        assert_eq!(merged.block_devices, over.block_devices);
        assert_eq!(merged.tags.keys().collect::<Vec<_>>(), ["instance", "volume"]);
        assert_eq!(
            merged.metadata,
            MetadataChoice { hop_limit: Some(3), tokens_required: Some(true), ..Default::default() }
        );
        assert_eq!((merged.instance_type.as_deref(), merged.image == base.image), (Some("m5.large"), true));
        assert_eq!((merged.by_interface, &merged.security_groups), (true, &base.security_groups));
        let in_subnet = LaunchData { subnet: Some("subnet-01234567".into()), ..Default::default() };
        for (base, over) in [(&base, &in_subnet), (&in_subnet, &base)] {
            let err = overlay(base, over.clone()).expect_err("both");
            assert_eq!(err.code, "InvalidParameterCombination");
        }
    }

    /// Values that no launch could use are refused when the template is made.
    #[test]
    fn unusable_template_data_is_refused() {
        let text = |text: &str| Some(text.to_string());
        let none = wire::RequestLaunchTemplateData::default;
        let metadata = |options| wire::RequestLaunchTemplateData { metadata_options: Some(options), ..none() };
        let options = wire::LaunchTemplateInstanceMetadataOptionsRequest::default;
        let interface = wire::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::default;
        for (code, data) in [
            ("InvalidUserData.Malformed", wire::RequestLaunchTemplateData { user_data: text("%"), ..none() }),
            (
                "InvalidParameterValue",
                metadata(wire::LaunchTemplateInstanceMetadataOptionsRequest {
                    http_tokens: text("maybe"),
                    ..options()
                }),
            ),
            (
                "InvalidParameterValue",
                metadata(wire::LaunchTemplateInstanceMetadataOptionsRequest {
                    http_put_response_hop_limit: Some(65),
                    ..options()
                }),
            ),
            (
                "UnsupportedOperation",
                metadata(wire::LaunchTemplateInstanceMetadataOptionsRequest {
                    http_protocol_ipv6: text("enabled"),
                    ..options()
                }),
            ),
            (
                "UnsupportedOperation",
                wire::RequestLaunchTemplateData { network_interfaces: vec![interface(), interface()], ..none() },
            ),
            ("UnsupportedOperation", wire::RequestLaunchTemplateData { disable_api_stop: Some(true), ..none() }),
        ] {
            assert_eq!(of_template(&data).expect_err(code).code, code);
        }
    }
}
