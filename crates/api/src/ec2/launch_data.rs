//! What a launch says, between its wire shapes and the rows: RunInstances,
//! spot requests and launch templates all come down to launch template data,
//! and that to one [`LaunchData`].

use super::launch_network::{self, mixed};
use super::{errors, recast, tag_rules};
use elastane_domain::id::*;
use elastane_domain::time::Time;
use elastane_engine::launch::decode_user_data;
use elastane_engine::row::*;
use elastane_engine::{View, public_parameters};
use elastane_wire::schema::Shape;
use elastane_wire::value::Record;
use elastane_wire::{ApiError, ec2 as wire};
use std::net::Ipv4Addr;

/// Members of launch template data that are implemented.
const SUPPORTED: &[&str] = &[
    "BlockDeviceMappings",
    "CapacityReservationSpecification",
    "CpuOptions",
    "CreditSpecification",
    "DisableApiStop",
    "DisableApiTermination",
    "EbsOptimized",
    "IamInstanceProfile",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceMarketOptions",
    "InstanceType",
    "KeyName",
    "MaintenanceOptions",
    "MetadataOptions",
    "Monitoring",
    "NetworkInterfaces",
    "Placement",
    "PrivateDnsNameOptions",
    "SecurityGroupIds",
    "SecurityGroups",
    "TagSpecifications",
    "UserData",
];

/// Members of RunInstances that template data does not have, as far as they
/// are implemented.
const SUPPORTED_BY_CALL: &[&str] =
    &["ClientToken", "DryRun", "LaunchTemplate", "MaxCount", "MinCount", "PrivateIpAddress", "SubnetId"];

/// Resource types whose tags a launch takes.
const TAGGED: &[&str] = &["instance", "volume", "network-interface", "spot-instances-request"];

/// The metadata hop limit's range (EC2 API Reference,
/// "InstanceMetadataOptionsRequest").
const HOP_LIMIT_MAX: i32 = 64;

/// How an ImageId names a parameter that leads to an image.
const PARAMETER_PREFIX: &str = "resolve:ssm:";

/// What a call says: template data, and what only calls can say.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// What a template could say as well.
    pub data: wire::RequestLaunchTemplateData,
    /// SubnetId.
    pub subnet: Option<String>,
    /// PrivateIpAddress.
    pub private_ip: Option<Ipv4Addr>,
}

impl Said {
    /// What a RunInstances call says itself, its template aside.
    ///
    /// # Errors
    /// `UnsupportedOperation` naming a member that is not implemented,
    /// `InvalidParameterValue` for an address that is none.
    pub fn by_call(input: &wire::RunInstancesRequest) -> Result<Said, ApiError> {
        recast::only_of(&wire::RUN_INSTANCES_REQUEST, input, &[SUPPORTED, SUPPORTED_BY_CALL])?;
        let address = text(&input.private_ip_address).map(|address| launch_network::address(&address)).transpose()?;
        Ok(Said {
            data: as_template(&wire::RUN_INSTANCES_REQUEST, input),
            subnet: text(&input.subnet_id),
            private_ip: address,
        })
    }

    /// The same but for its tags, and without a word against what is not
    /// implemented: enough to judge a call that names no template.
    pub fn untagged(input: &wire::RunInstancesRequest) -> Said {
        let mut data = wire::RequestLaunchTemplateData::default();
        let to = (&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &mut data as &mut dyn Record);
        recast::recast_but((&wire::RUN_INSTANCES_REQUEST, input), to, Some("TagSpecifications"));
        Said { data, subnet: text(&input.subnet_id), private_ip: None }
    }

    /// The same on top of a template's data.
    pub fn over(self, base: &wire::RequestLaunchTemplateData) -> Said {
        Said { data: overlay(base, self.data), ..self }
    }

    /// What it means.
    ///
    /// # Errors
    /// As [`of_template`]; `InvalidParameterCombination` when interfaces are
    /// named beside a subnet or an address.
    pub fn read(self) -> Result<LaunchData, ApiError> {
        let mut data = meaning(self.data)?;
        if !data.interfaces.is_empty() && (self.subnet.is_some() || self.private_ip.is_some()) {
            return Err(mixed());
        }
        data.subnet = self.subnet.map(SubnetId::from);
        data.private_ip = self.private_ip;
        Ok(data)
    }
}

/// A record's members that launch template data has as well.
pub fn as_template(shape: &Shape, record: &dyn Record) -> wire::RequestLaunchTemplateData {
    let mut same = wire::RequestLaunchTemplateData::default();
    recast::recast((shape, record), (&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &mut same));
    same
}

/// What a launch template version says.
///
/// # Errors
/// `UnsupportedOperation` naming a member that is not implemented, and EC2's
/// codes for values that no launch could use.
pub fn of_template(data: &wire::RequestLaunchTemplateData) -> Result<LaunchData, ApiError> {
    let said = elastane_wire::to_json(&wire::REQUEST_LAUNCH_TEMPLATE_DATA, data);
    Ok(LaunchData { said, ..meaning(data.clone())? })
}

/// What template data means, without its own words.
fn meaning(data: wire::RequestLaunchTemplateData) -> Result<LaunchData, ApiError> {
    recast::only(&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &data, SUPPORTED)?;
    let user_data = filled(data.user_data);
    if let Some(user_data) = &user_data {
        decode_user_data(user_data).map_err(errors::refused)?;
    }
    if let Some(monitoring) = &data.monitoring {
        recast::only(&wire::LAUNCH_TEMPLATES_MONITORING_REQUEST, monitoring, &["Enabled"])?;
    }
    let groups = !data.security_group_ids.is_empty() || !data.security_groups.is_empty();
    if groups && !data.network_interfaces.is_empty() {
        return Err(mixed());
    }
    let (image, image_parameter) = match filled(data.image_id) {
        Some(text) => match text.strip_prefix(PARAMETER_PREFIX) {
            Some(name) => (None, Some(name.to_string())),
            None => (Some(ImageId::from(text)), None),
        },
        None => (None, None),
    };
    let credits = data.credit_specification.as_ref().and_then(|credits| text(&credits.cpu_credits));
    Ok(LaunchData {
        said: String::new(),
        image,
        image_parameter,
        instance_type: filled(data.instance_type),
        key_name: filled(data.key_name),
        user_data,
        security_groups: data.security_group_ids.into_iter().map(Into::into).collect(),
        security_group_names: data.security_groups,
        subnet: None,
        private_ip: None,
        interfaces: launch_network::interfaces(&data.network_interfaces)?,
        placement: launch_network::placement(data.placement.as_ref())?,
        monitoring: data.monitoring.as_ref().and_then(|monitoring| monitoring.enabled),
        disable_api_termination: data.disable_api_termination,
        disable_api_stop: data.disable_api_stop,
        shutdown_behavior: text(&data.instance_initiated_shutdown_behavior)
            .map(|word| shutdown_behavior(&word))
            .transpose()?,
        ebs_optimized: data.ebs_optimized,
        cpu_credits: credits.map(|word| cpu_credits(&word)).transpose()?,
        cpu_options: cpu_options(data.cpu_options.as_ref())?,
        metadata: data.metadata_options.as_ref().map(metadata_choice).transpose()?.unwrap_or_default(),
        private_dns: private_dns(data.private_dns_name_options.as_ref())?,
        profile: profile(data.iam_instance_profile.as_ref())?,
        spot: spot(data.instance_market_options.as_ref())?,
        auto_recovery: auto_recovery(data.maintenance_options.as_ref())?,
        capacity_reservation: capacity_reservation(data.capacity_reservation_specification.as_ref())?,
        tags: tags(&data.tag_specifications)?,
        block_devices: data.block_device_mappings.iter().map(block_device).collect::<Result<_, _>>()?,
    })
}

/// Template data as it was sent: nothing is filled in (terraform-calls.md 3).
pub fn said(data: &LaunchData) -> wire::RequestLaunchTemplateData {
    let mut found = wire::RequestLaunchTemplateData::default();
    if !data.said.is_empty() {
        let read = elastane_wire::from_json(&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &data.said, &mut found);
        read.expect("we wrote it ourselves");
    }
    found
}

/// The same in the shape of answers.
pub fn shown(data: &LaunchData) -> wire::ResponseLaunchTemplateData {
    let mut found = wire::ResponseLaunchTemplateData::default();
    let said = said(data);
    recast::recast((&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &said), (&wire::RESPONSE_LAUNCH_TEMPLATE_DATA, &mut found));
    found
}

/// The image that a public parameter leads to.
pub fn image_of_parameter(view: &View<'_>, name: &str) -> Option<ImageId> {
    public_parameters::image(view, name).map(|image| image.id.clone())
}

/// `over` on top of `base`: members of `over` replace those of `base` as a
/// whole, but metadata options one by one, block devices by device name, tags
/// by resource type (ec2-imds.md 1 and 7, rule 5).
pub fn overlay(
    base: &wire::RequestLaunchTemplateData,
    mut over: wire::RequestLaunchTemplateData,
) -> wire::RequestLaunchTemplateData {
    let mut base = base.clone();
    if !over.security_group_ids.is_empty() || !over.security_groups.is_empty() {
        base.security_group_ids.clear();
        base.security_groups.clear();
    }
    let named = |device: &wire::LaunchTemplateBlockDeviceMappingRequest| {
        over.block_device_mappings.iter().any(|other| other.device_name == device.device_name)
    };
    base.block_device_mappings.retain(|device| !named(device));
    over.block_device_mappings.splice(0..0, std::mem::take(&mut base.block_device_mappings));
    let tagged = |one: &wire::LaunchTemplateTagSpecificationRequest| {
        over.tag_specifications.iter().any(|other| other.resource_type == one.resource_type)
    };
    base.tag_specifications.retain(|one| !tagged(one));
    over.tag_specifications.splice(0..0, std::mem::take(&mut base.tag_specifications));
    if let (Some(base), Some(over)) = (&base.metadata_options, &mut over.metadata_options) {
        recast::fill(&wire::LAUNCH_TEMPLATE_INSTANCE_METADATA_OPTIONS_REQUEST, base, over);
    }
    recast::fill(&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &base, &mut over);
    over
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
    filled(value.clone())
}

fn filled(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}

/// CreditSpecification's word.
pub fn cpu_credits(word: &str) -> Result<String, ApiError> {
    match word {
        "standard" | "unlimited" => Ok(word.to_string()),
        other => Err(errors::invalid_value(format!("Invalid value '{other}' for CpuCredits."))),
    }
}

/// One of two words, or none.
pub fn choice(value: &Option<String>, (yes, no): (&str, &str), member: &str) -> Result<Option<bool>, ApiError> {
    match text(value).as_deref() {
        None => Ok(None),
        Some(word) if word == yes => Ok(Some(true)),
        Some(word) if word == no => Ok(Some(false)),
        Some(word) => Err(errors::invalid_value(format!("Invalid value '{word}' for {member}."))),
    }
}

/// A metadata hop limit in its range.
pub fn hop_limit(hops: Option<i32>) -> Result<Option<u8>, ApiError> {
    match hops {
        None => Ok(None),
        Some(hops) if (1..=HOP_LIMIT_MAX).contains(&hops) => Ok(u8::try_from(hops).ok()),
        Some(hops) => {
            Err(errors::invalid_value(format!("HttpPutResponseHopLimit is from 1 to {HOP_LIMIT_MAX}, found {hops}.")))
        }
    }
}

fn metadata_choice(options: &wire::LaunchTemplateInstanceMetadataOptionsRequest) -> Result<MetadataChoice, ApiError> {
    const NAMES: &[&str] = &["HttpEndpoint", "HttpPutResponseHopLimit", "HttpTokens", "InstanceMetadataTags"];
    recast::only(&wire::LAUNCH_TEMPLATE_INSTANCE_METADATA_OPTIONS_REQUEST, options, NAMES)?;
    Ok(MetadataChoice {
        endpoint: choice(&options.http_endpoint, ("enabled", "disabled"), "HttpEndpoint")?,
        tokens_required: choice(&options.http_tokens, ("required", "optional"), "HttpTokens")?,
        hop_limit: hop_limit(options.http_put_response_hop_limit)?,
        tags: choice(&options.instance_metadata_tags, ("enabled", "disabled"), "InstanceMetadataTags")?,
    })
}

fn private_dns(
    options: Option<&wire::LaunchTemplatePrivateDnsNameOptionsRequest>,
) -> Result<PrivateDnsChoice, ApiError> {
    let Some(options) = options else { return Ok(PrivateDnsChoice::default()) };
    Ok(PrivateDnsChoice {
        resource_name: choice(&options.hostname_type, ("resource-name", "ip-name"), "HostnameType")?,
        a_record: options.enable_resource_name_dns_a_record,
        aaaa_record: options.enable_resource_name_dns_aaaa_record,
    })
}

fn cpu_options(options: Option<&wire::LaunchTemplateCpuOptionsRequest>) -> Result<Option<(i32, i32)>, ApiError> {
    let Some(options) = options else { return Ok(None) };
    recast::only(&wire::LAUNCH_TEMPLATE_CPU_OPTIONS_REQUEST, options, &["CoreCount", "ThreadsPerCore"])?;
    match (options.core_count, options.threads_per_core) {
        (Some(cores), Some(threads)) => Ok(Some((cores, threads))),
        (None, None) => Ok(None),
        _ => Err(errors::missing("CpuOptions.CoreCount and CpuOptions.ThreadsPerCore")),
    }
}

/// An instance profile's name or ARN.
pub fn profile_text(name: &Option<String>, arn: &Option<String>) -> Result<Option<String>, ApiError> {
    match (text(name), text(arn)) {
        (Some(_), Some(_)) => Err(errors::invalid_combination(
            "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
        )),
        (name, arn) => Ok(name.or(arn)),
    }
}

fn profile(
    named: Option<&wire::LaunchTemplateIamInstanceProfileSpecificationRequest>,
) -> Result<Option<String>, ApiError> {
    named.map_or(Ok(None), |named| profile_text(&named.name, &named.arn))
}

fn auto_recovery(
    options: Option<&wire::LaunchTemplateInstanceMaintenanceOptionsRequest>,
) -> Result<Option<bool>, ApiError> {
    options.map_or(Ok(None), |options| choice(&options.auto_recovery, ("default", "disabled"), "AutoRecovery"))
}

/// CapacityReservationPreference: there are no reservations, so both words
/// ask for what happens anyway.
fn capacity_reservation(
    specification: Option<&wire::LaunchTemplateCapacityReservationSpecificationRequest>,
) -> Result<Option<String>, ApiError> {
    let Some(specification) = specification else { return Ok(None) };
    let shape = &wire::LAUNCH_TEMPLATE_CAPACITY_RESERVATION_SPECIFICATION_REQUEST;
    recast::only(shape, specification, &[])?;
    Ok(text(&specification.capacity_reservation_preference))
}

fn spot(options: Option<&wire::LaunchTemplateInstanceMarketOptionsRequest>) -> Result<Option<SpotChoice>, ApiError> {
    let Some(options) = options else { return Ok(None) };
    match text(&options.market_type).as_deref() {
        None => return Ok(None),
        Some("spot") => {}
        Some(other) => return Err(errors::unsupported(&format!("The market type '{other}'"))),
    }
    let Some(spot) = &options.spot_options else { return Ok(Some(SpotChoice::default())) };
    const NAMES: &[&str] = &["InstanceInterruptionBehavior", "MaxPrice", "SpotInstanceType", "ValidUntil"];
    recast::only(&wire::LAUNCH_TEMPLATE_SPOT_MARKET_OPTIONS_REQUEST, spot, NAMES)?;
    let words = (&spot.spot_instance_type, &spot.instance_interruption_behavior, &spot.max_price);
    spot_choice(words, spot.valid_until.map(|at| Time(at.millis()))).map(Some)
}

/// What a spot request asks for, of its words: type, interruption behaviour
/// and the highest price.
pub fn spot_choice(
    (kind, behavior, price): (&Option<String>, &Option<String>, &Option<String>),
    valid_until: Option<Time>,
) -> Result<SpotChoice, ApiError> {
    let persistent = choice(kind, ("persistent", "one-time"), "SpotInstanceType")?.unwrap_or(false);
    let behavior = match text(behavior).as_deref() {
        None | Some("terminate") => InterruptionBehavior::Terminate,
        Some("stop") if persistent => InterruptionBehavior::Stop,
        Some("stop") => {
            return Err(errors::invalid_combination(
                "The interruption behavior 'stop' needs a persistent Spot request.",
            ));
        }
        Some("hibernate") => return Err(errors::unsupported("The interruption behavior 'hibernate'")),
        Some(other) => {
            return Err(errors::invalid_value(format!("Invalid value '{other}' for InstanceInterruptionBehavior.")));
        }
    };
    let price = text(price);
    if let Some(price) = &price
        && !price.parse::<f64>().is_ok_and(|price| price.is_finite() && price > 0.0)
    {
        return Err(errors::invalid_value(format!("Invalid value '{price}' for the Spot price.")));
    }
    Ok(SpotChoice { persistent, behavior, price, valid_until })
}

fn tags(
    specifications: &[wire::LaunchTemplateTagSpecificationRequest],
) -> Result<std::collections::BTreeMap<String, Tags>, ApiError> {
    let same = specifications.iter().map(|one| (&one.resource_type, one.tags.as_slice()));
    tag_rules::by_type(same, TAGGED)
}

fn block_device(mapping: &wire::LaunchTemplateBlockDeviceMappingRequest) -> Result<BlockDevice, ApiError> {
    recast::only(&wire::LAUNCH_TEMPLATE_BLOCK_DEVICE_MAPPING_REQUEST, mapping, &["DeviceName", "Ebs"])?;
    let device = text(&mapping.device_name).ok_or_else(|| errors::missing("BlockDeviceMapping.DeviceName"))?;
    let Some(ebs) = &mapping.ebs else { return Ok(BlockDevice { device, ..BlockDevice::default() }) };
    const NAMES: &[&str] = &["DeleteOnTermination", "Encrypted", "Iops", "Throughput", "VolumeSize", "VolumeType"];
    recast::only(&wire::LAUNCH_TEMPLATE_EBS_BLOCK_DEVICE_REQUEST, ebs, NAMES)?;
    let found = BlockDevice {
        device,
        size_gib: ebs.volume_size,
        volume_type: text(&ebs.volume_type),
        delete_on_termination: ebs.delete_on_termination,
        encrypted: ebs.encrypted,
        iops: ebs.iops,
        throughput: ebs.throughput,
    };
    super::volume_rules::check(&found)?;
    Ok(found)
}
