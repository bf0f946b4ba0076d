//! How images look: DescribeImages' fields and the values of its filters.

use super::tag_rules;
use elastane_engine::row::*;
use elastane_engine::{Scope, images};
use elastane_wire::ec2 as wire;

/// The owner of the built-in image: the account that publishes AWS's own
/// Linux images, so that `--owners amazon` finds it and `self` does not.
pub(super) const AMAZON: &str = "137112412989";

/// What a root volume is said to hold at least.
pub(super) const VOLUME_GIB_MIN: u64 = 8;

/// The type of volumes that say none.
const VOLUME_TYPE: &str = "gp3";

/// The names that DescribeImages' filters know (EC2 API Reference).
pub(super) const FILTERS: &[&str] = &[
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "creation-date",
    "description",
    "ena-support",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "is-public",
    "kernel-id",
    "manifest-location",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "product-code",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "sriov-net-support",
    "state",
    "state-reason-code",
    "state-reason-message",
    "virtualization-type",
];

/// An image and whose it is.
#[derive(Clone, Copy)]
pub(super) struct Owned<'a> {
    /// Its account and region.
    pub scope: &'a Scope,
    /// The image.
    pub image: &'a Image,
}

impl<'a> Owned<'a> {
    /// The account that DescribeImages names.
    pub fn owner(&self) -> &'a str {
        if images::built_in(self.image) { AMAZON } else { self.scope.account.as_str() }
    }

    /// Whether every account may launch it.
    pub fn public(&self) -> bool {
        images::built_in(self.image) || self.image.details.public
    }

    fn alias(&self) -> Option<&'static str> {
        images::built_in(self.image).then_some("amazon")
    }

    fn location(&self) -> String {
        format!("{}/{}", self.alias().unwrap_or(self.owner()), self.image.name)
    }

    /// The image and the region that it was copied from.
    fn origin(&self) -> Option<(&'a str, &'a str)> {
        match &self.image.details.origin {
            ImageOrigin::Copied(image, region) => Some((image.as_str(), region.as_str())),
            ImageOrigin::Captured | ImageOrigin::Snapshot | ImageOrigin::Registered | ImageOrigin::Imported(_) => None,
        }
    }
}

/// EC2's word for how far an image is.
pub(super) fn state(image: &Image) -> &'static str {
    match image.phase {
        ImagePhase::Pending => "pending",
        ImagePhase::Available { .. } => "available",
        ImagePhase::Failed { .. } => "failed",
        ImagePhase::Deregistered => "deregistered",
    }
}

/// The size of its root volume: as it was asked for, and no less than what it holds.
pub(super) fn volume_gib(image: &Image) -> u64 {
    let asked = image.details.root.size_gib.and_then(|gib| u64::try_from(gib).ok()).unwrap_or(VOLUME_GIB_MIN);
    match image.phase {
        ImagePhase::Available { bytes } => bytes.div_ceil(1 << 30).max(asked),
        ImagePhase::Pending | ImagePhase::Failed { .. } | ImagePhase::Deregistered => asked,
    }
}

/// Emits what an image has for a filter's name.
pub(super) fn filter_values(owned: Owned<'_>, name: &str, emit: &mut dyn FnMut(&str)) {
    let image = owned.image;
    let (details, yes) = (&image.details, |value: bool| if value { "true" } else { "false" });
    match name {
        "architecture" => emit(&details.architecture),
        "block-device-mapping.delete-on-termination" => emit(yes(details.root.delete_on_termination.unwrap_or(true))),
        "block-device-mapping.device-name" | "root-device-name" => emit(images::root_device_name(image)),
        "block-device-mapping.encrypted" => emit("false"),
        "block-device-mapping.snapshot-id" => emit(&image.snapshot),
        "block-device-mapping.volume-size" => emit(&volume_gib(image).to_string()),
        "block-device-mapping.volume-type" => emit(details.root.volume_type.as_deref().unwrap_or(VOLUME_TYPE)),
        "creation-date" => emit(&image.created_at.iso_millis()),
        "description" => emit(&image.description),
        "ena-support" => emit(yes(details.ena_support)),
        "hypervisor" => emit("xen"),
        "image-allowed" => emit("true"),
        "image-id" => emit(image.id.as_str()),
        "image-type" => emit("machine"),
        "is-public" => emit(yes(owned.public())),
        "manifest-location" => emit(&owned.location()),
        "name" => emit(&image.name),
        "owner-alias" => owned.alias().into_iter().for_each(emit),
        "owner-id" => emit(owned.owner()),
        "root-device-type" => emit("ebs"),
        "source-image-id" => owned.origin().into_iter().for_each(|(id, _)| emit(id)),
        "source-image-region" => owned.origin().into_iter().for_each(|(_, region)| emit(region)),
        "source-instance-id" => image.source.iter().for_each(|id| emit(id.as_str())),
        "sriov-net-support" => details.sriov_net_support.iter().for_each(|value| emit(value)),
        "state" => emit(state(image)),
        "state-reason-code" => state_reason(image).and_then(|reason| reason.code).iter().for_each(|value| emit(value)),
        "state-reason-message" => {
            state_reason(image).and_then(|reason| reason.message).iter().for_each(|value| emit(value));
        }
        "virtualization-type" => emit("hvm"),
        // Kernels, platforms, product codes: no image here has any.
        _ => {}
    }
}

fn state_reason(image: &Image) -> Option<wire::StateReason> {
    match &image.phase {
        ImagePhase::Failed { reason } => {
            Some(wire::StateReason { code: Some("Server.InternalError".to_string()), message: Some(reason.clone()) })
        }
        ImagePhase::Pending | ImagePhase::Available { .. } | ImagePhase::Deregistered => None,
    }
}

/// Its one block device: the root.
pub(super) fn block_devices(image: &Image) -> Vec<wire::BlockDeviceMapping> {
    let root = &image.details.root;
    vec![wire::BlockDeviceMapping {
        device_name: Some(images::root_device_name(image).to_string()),
        ebs: Some(wire::EbsBlockDevice {
            delete_on_termination: Some(root.delete_on_termination.unwrap_or(true)),
            encrypted: Some(false),
            iops: root.iops,
            snapshot_id: Some(image.snapshot.clone()),
            throughput: root.throughput,
            volume_size: i32::try_from(volume_gib(image)).ok(),
            volume_type: Some(root.volume_type.clone().unwrap_or_else(|| VOLUME_TYPE.to_string())),
            ..Default::default()
        }),
        ..Default::default()
    }]
}

/// An image as DescribeImages shows it, with these tags.
pub(super) fn shown(owned: Owned<'_>, tags: &Tags) -> wire::Image {
    let word = |text: &str| Some(text.to_string());
    let (image, details) = (owned.image, &owned.image.details);
    wire::Image {
        architecture: Some(details.architecture.clone()),
        block_device_mappings: block_devices(image),
        boot_mode: details.boot_mode.clone(),
        creation_date: Some(image.created_at.iso_millis()),
        deprecation_time: details.deprecated_at.map(|at| at.iso_millis()),
        deregistration_protection: word("disabled"),
        description: Some(image.description.clone()).filter(|text| !text.is_empty()),
        ena_support: Some(details.ena_support),
        hypervisor: word("xen"),
        image_id: Some(image.id.to_string()),
        image_location: Some(owned.location()),
        image_owner_alias: owned.alias().map(str::to_string),
        image_type: word("machine"),
        imds_support: details.imds_v2.then(|| "v2.0".to_string()),
        name: Some(image.name.clone()),
        owner_id: word(owned.owner()),
        platform_details: word("Linux/UNIX"),
        public: Some(owned.public()),
        root_device_name: word(images::root_device_name(image)),
        root_device_type: word("ebs"),
        source_image_id: owned.origin().map(|(id, _)| id.to_string()),
        source_image_region: owned.origin().map(|(_, region)| region.to_string()),
        source_instance_id: image.source.as_ref().map(|id| id.to_string()),
        sriov_net_support: details.sriov_net_support.clone(),
        state: word(state(image)),
        state_reason: state_reason(image),
        tags: tag_rules::shown(tags),
        usage_operation: word("RunInstances"),
        virtualization_type: word("hvm"),
        ..Default::default()
    }
}
