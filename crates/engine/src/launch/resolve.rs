//! What launch data means in a scope: the rows behind its names, checked one
//! by one with EC2's codes and texts.

use super::{DEFAULT_TYPE, Refusal, decode_user_data, interfaces, placement};
use crate::network::AddressPlan;
use crate::row::*;
use crate::state::View;
use crate::{identity, images, public_parameters};
use elastane_domain::id::*;
use elastane_domain::types::{InstanceType, instance_type};

/// Names by which calls know the root device of any image; other devices are
/// volumes of their own.
const ROOT_DEVICES: [&str; 2] = [images::ROOT_DEVICE, "/dev/sda1"];

/// What the data means, checked.
pub(super) struct Resolved<'a> {
    pub image: &'a Image,
    pub instance_type: &'static InstanceType,
    pub cards: Vec<interfaces::Card>,
    pub group: Option<&'a PlacementGroup>,
    pub profile: Option<&'a InstanceProfile>,
    pub metadata: MetadataOptions,
    pub private_dns: PrivateDns,
}

impl Resolved<'_> {
    /// Where the instances will be.
    pub fn zone(&self) -> &Zone {
        &self.cards[0].zone
    }
}

/// Looks everything up. Nothing is changed.
pub(super) fn all<'a>(view: &View<'a>, plan: AddressPlan, data: &LaunchData) -> Result<Resolved<'a>, Refusal> {
    let image = image(view, data)?;
    let name = data.instance_type.as_deref().unwrap_or(DEFAULT_TYPE);
    let instance_type = instance_type(name)
        .ok_or_else(|| Refusal::new("InvalidParameterValue", format!("Invalid value '{name}' for InstanceType.")))?;
    check_cpu(instance_type, data)?;
    check_devices(image, data)?;
    if let Some(key) = &data.key_name
        && view.get::<KeyPair>(key).is_none()
    {
        return Err(Refusal::new("InvalidKeyPair.NotFound", format!("The key pair '{key}' does not exist")));
    }
    if let Some(text) = &data.user_data {
        decode_user_data(text)?;
    }
    let metadata = metadata_options(view, &data.metadata, image.details.imds_v2)?;
    if let Some(tags) = data.tags.get("instance").filter(|_| metadata.tags) {
        check_tag_keys(tags)?;
    }
    let zone = placement::zone(view, &data.placement)?;
    let group = placement::group(view, &data.placement)?.map(AsRef::as_ref);
    let cards = interfaces::resolve(view, data, (instance_type, zone.as_ref()))?;
    check_reachable(plan, &cards)?;
    let resource_names = view.get::<Subnet>(cards[0].subnet.as_str()).is_some_and(|subnet| subnet.resource_names);
    Ok(Resolved {
        image,
        instance_type,
        cards,
        group,
        profile: data.profile.as_deref().map(|text| profile(view, text)).transpose()?,
        metadata,
        private_dns: PrivateDns {
            resource_name: data.private_dns.resource_name.unwrap_or(resource_names),
            a_record: data.private_dns.a_record.unwrap_or(false),
            aaaa_record: data.private_dns.aaaa_record.unwrap_or(false),
        },
    })
}

fn image<'a>(view: &View<'a>, data: &LaunchData) -> Result<&'a Image, Refusal> {
    let id = match (&data.image, &data.image_parameter) {
        (Some(id), _) => id,
        (None, Some(name)) => {
            return public_parameters::image(view, name).map(AsRef::as_ref).ok_or_else(|| {
                let message = format!("The parameter '{name}' does not lead to an image of this installation.");
                Refusal::new("InvalidAMIID.NotFound", message)
            });
        }
        (None, None) => {
            return Err(Refusal::new("MissingParameter", "The request must contain the parameter ImageId"));
        }
    };
    if !well_formed(ImageId::PREFIX, id.as_str()) {
        return Err(Refusal::new("InvalidAMIID.Malformed", format!("Invalid id: \"{id}\" (expecting \"ami-...\")")));
    }
    let not_found = || Refusal::new("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"));
    let (_, image) = images::find(view, id.as_str()).ok_or_else(not_found)?;
    match &image.phase {
        ImagePhase::Available { .. } => Ok(image),
        ImagePhase::Deregistered => Err(not_found()),
        ImagePhase::Pending | ImagePhase::Failed { .. } => Err(Refusal::new(
            "InvalidAMIID.Unavailable",
            format!("The image ID '{id}' is not available: wait until its state is 'available'"),
        )),
    }
}

/// Instances that share the host's network listen on their own addresses, and
/// of those the host has the loopback range only.
fn check_reachable(plan: AddressPlan, cards: &[interfaces::Card]) -> Result<(), Refusal> {
    let outside = cards.iter().find(|card| plan == AddressPlan::Loopback && !card.cidr.network().is_loopback());
    let Some(card) = outside else { return Ok(()) };
    let message = format!(
        "Instances here are processes that share the host's network, so they can be launched only into subnets of \
         127.0.0.0/8; the subnet '{}' is {}.",
        card.subnet, card.cidr
    );
    Err(Refusal::new("UnsupportedOperation", message))
}

/// CpuOptions may say what the type has anyway.
fn check_cpu(kind: &InstanceType, data: &LaunchData) -> Result<(), Refusal> {
    let own = (kind.cores, kind.vcpus / kind.cores.max(1));
    let same =
        |(cores, threads): (i32, i32)| i64::from(cores) == i64::from(own.0) && i64::from(threads) == i64::from(own.1);
    if data.cpu_options.is_none_or(same) {
        return Ok(());
    }
    let message =
        format!("CpuOptions besides {} cores with {} threads each of {} are not supported.", own.0, own.1, kind.name);
    Err(Refusal::new("UnsupportedOperation", message))
}

/// There is a root device and no other; it is not encrypted and goes with its instance.
fn check_devices(image: &Image, data: &LaunchData) -> Result<(), Refusal> {
    let own = images::root_device_name(image);
    let unsupported =
        |what: &str| Refusal::new("UnsupportedOperation", format!("{what} is not supported by Elastane yet."));
    for device in &data.block_devices {
        let name = device.device.as_str();
        if name != own && !ROOT_DEVICES.contains(&name) {
            return Err(unsupported(&format!("A volume besides the root device ({name})")));
        }
        if device.delete_on_termination == Some(false) {
            return Err(unsupported("A root volume that outlives its instance (DeleteOnTermination false)"));
        }
        if device.encrypted == Some(true) {
            return Err(unsupported("An encrypted root volume (Encrypted true)"));
        }
    }
    Ok(())
}

/// The root device: the image's, with what the call says of it. The image says
/// what it is called.
pub(super) fn root_device(image: &Image, data: &LaunchData) -> BlockDevice {
    let (own, asked) = (&image.details.root, data.block_devices.first().cloned().unwrap_or_default());
    BlockDevice {
        device: images::root_device_name(image).to_string(),
        size_gib: asked.size_gib.or(own.size_gib),
        volume_type: asked.volume_type.or_else(|| own.volume_type.clone()),
        delete_on_termination: asked.delete_on_termination.or(own.delete_on_termination),
        encrypted: asked.encrypted,
        iops: asked.iops.or(own.iops),
        throughput: asked.throughput.or(own.throughput),
    }
}

/// Whether the keys of an instance's tags can be paths in its metadata
/// (ec2-imds.md 3); those of the service always can.
///
/// # Errors
/// `InvalidParameterValue` naming the first that cannot.
pub fn check_tag_keys(tags: &Tags) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+-=.,_:@".contains(c);
    let bad = tags.keys().find(|key| !key.chars().all(allowed) || matches!(key.as_str(), "." | ".." | "_index"));
    match bad {
        None => Ok(()),
        Some(key) => Err(Refusal::new(
            "InvalidParameterValue",
            format!(
                "'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and must \
                 not be a reserved name ('.', '..', '_index')"
            ),
        )),
    }
}

/// The instance profile of a name or ARN.
///
/// # Errors
/// `InvalidParameterValue`, in words that clients wait on.
pub fn profile<'a>(view: &View<'a>, text: &str) -> Result<&'a InstanceProfile, Refusal> {
    let kind = if text.starts_with("arn:") { "ARN" } else { "name" };
    let invalid = |message: String| Refusal::new("InvalidParameterValue", message);
    let member = if kind == "ARN" { "arn" } else { "name" };
    let found = identity::named_profile(view, text).ok_or_else(|| {
        invalid(format!(
            "Value ({text}) for parameter iamInstanceProfile.{member} is invalid. Invalid IAM Instance Profile {kind}"
        ))
    })?;
    if found.role.is_none() {
        let arn = identity::profile_arn(&view.scope.account, found);
        return Err(invalid(format!("IAM Instance Profile \"{arn}\" has no associated IAM Roles")));
    }
    Ok(found)
}

/// The options in force when some were chosen, each member for itself
/// (ec2-imds.md 1): the call's or template's, the account's default, the
/// image's (`ImdsSupport` `v2.0`: tokens and two hops), EC2's own.
fn metadata_options(view: &View<'_>, choice: &MetadataChoice, imds_v2: bool) -> Result<MetadataOptions, Refusal> {
    let settings = view.get::<AccountSettings>(AccountSettings::ID);
    let account = settings.map(|row| row.metadata).unwrap_or_default();
    let options = MetadataOptions {
        endpoint: choice.endpoint.or(account.endpoint).unwrap_or(true),
        tokens_required: choice.tokens_required.or(account.tokens_required).unwrap_or(imds_v2),
        hop_limit: choice.hop_limit.or(account.hop_limit).unwrap_or(if imds_v2 { 2 } else { 1 }),
        tags: choice.tags.or(account.tags).unwrap_or(false),
    };
    let enforced = settings.is_some_and(|row| row.tokens_enforced == Some(true));
    if enforced && options.endpoint && !options.tokens_required {
        return Err(Refusal::new(
            "UnsupportedOperation",
            "You cannot launch an instance with HttpTokens set to optional: the account enforces tokens (HttpTokensEnforced).",
        ));
    }
    Ok(options)
}
