//! Images without a capture: registered from a snapshot, and copied. Both
//! share layers with what they come from.

use super::image_shape::Owned;
use super::images::{check_name, description};
use super::{errors, launch_data, recast, snapshots, tag_rules};
use crate::Change;
use elastane_domain::id::{ImageId, Region};
use elastane_domain::time::Time;
use elastane_engine::row::*;
use elastane_engine::{Scope, View, images};
use elastane_wire::{ApiError, ec2 as wire};
use std::sync::Arc;

/// The root device of a registration that names none (EC2 API Reference, "RegisterImage").
const ROOT_DEVICE: &str = "/dev/sda1";

/// The largest volume that EBS has, in GiB.
const VOLUME_GIB_MAX: i32 = 65_536;

/// RegisterImage from a snapshot of a root volume: the image has its layers.
/// Errors: `InvalidAMIName.*`, `InvalidSnapshot.NotFound`, `IncorrectState`
/// for a snapshot that is not completed, `InvalidBlockDeviceMapping`,
/// `UnsupportedOperation`, `DryRunOperation`.
pub fn register_image(
    change: &mut Change<'_, '_>,
    input: &wire::RegisterImageRequest,
) -> Result<wire::RegisterImageResult, ApiError> {
    const NAMES: &[&str] = &[
        "Architecture",
        "BlockDeviceMappings",
        "BootMode",
        "Description",
        "DryRun",
        "EnaSupport",
        "ImdsSupport",
        "Name",
        "RootDeviceName",
        "SriovNetSupport",
        "TagSpecifications",
        "VirtualizationType",
    ];
    recast::only(&wire::REGISTER_IMAGE_REQUEST, input, NAMES)?;
    let name = launch_data::text(&input.name).ok_or_else(|| errors::missing("Name"))?;
    check_name(&change.view(), &name)?;
    let description = description(&input.description)?;
    let mut tags = tag_rules::specified(&input.tag_specifications, &["image"])?;
    let (root, snapshot) = root_of(&change.view(), input)?;
    let details = ImageDetails {
        origin: ImageOrigin::Registered,
        architecture: architecture(input.architecture.as_deref())?,
        root,
        boot_mode: launch_data::text(&input.boot_mode),
        ena_support: input.ena_support.unwrap_or(false),
        sriov_net_support: launch_data::text(&input.sriov_net_support),
        imds_v2: imds_v2(input.imds_support.as_deref())?,
        ..ImageDetails::default()
    };
    if let Some(kind) = input.virtualization_type.as_deref().filter(|kind| !matches!(*kind, "" | "hvm")) {
        return Err(errors::unsupported(&format!("The virtualization type '{kind}'")));
    }
    let id = ImageId::from(change.rng.id(ImageId::PREFIX));
    let created_at = change.now;
    change.put(Image {
        id: id.clone(),
        name,
        description,
        layers: snapshot.layers.clone(),
        source: None,
        created_at,
        phase: ImagePhase::Available { bytes: 0 },
        reboot: false,
        snapshot: snapshot.id.clone(),
        details,
        tags: tags.remove("image").unwrap_or_default(),
    });
    errors::dry_run(input.dry_run)?;
    Ok(wire::RegisterImageResult { image_id: Some(id.to_string()) })
}

fn architecture(name: Option<&str>) -> Result<String, ApiError> {
    match name.unwrap_or_default() {
        "" | "x86_64" => Ok("x86_64".to_string()),
        "arm64" => Ok("arm64".to_string()),
        other => Err(errors::unsupported(&format!("The architecture '{other}'"))),
    }
}

/// ImdsSupport, which is `v2.0` or not said.
pub(super) fn imds_v2(value: Option<&str>) -> Result<bool, ApiError> {
    match value.unwrap_or_default() {
        "" => Ok(false),
        "v2.0" => Ok(true),
        other => Err(errors::invalid_value(format!("Invalid value '{other}' for ImdsSupport. Use v2.0."))),
    }
}

/// The root device of a registration and the snapshot that it is made of.
fn root_of(view: &View<'_>, input: &wire::RegisterImageRequest) -> Result<(BlockDevice, Arc<Snapshot>), ApiError> {
    let name = launch_data::text(&input.root_device_name).unwrap_or_else(|| ROOT_DEVICE.to_string());
    let wrong = |message: String| ApiError::new("InvalidBlockDeviceMapping", message);
    let mut found = None;
    for mapping in &input.block_device_mappings {
        let device = mapping.device_name.as_deref().unwrap_or_default();
        if device != name {
            let what = format!("The block device '{device}': an image has its root device '{name}' alone; another");
            return Err(errors::unsupported(&what));
        }
        if mapping.virtual_name.is_some() || mapping.no_device.is_some() || found.is_some() {
            return Err(wrong(format!("The root device '{device}' must be mapped once, to an EBS snapshot.")));
        }
        found = mapping.ebs.clone();
    }
    let ebs = found.unwrap_or_default();
    let id = launch_data::text(&ebs.snapshot_id)
        .ok_or_else(|| wrong(format!("The root device '{name}' must be mapped to a snapshot: Ebs.SnapshotId.")))?;
    if ebs.encrypted.unwrap_or(false) || ebs.kms_key_id.is_some() || ebs.outpost_arn.is_some() {
        return Err(errors::unsupported("Encrypting a volume, or placing it on an Outpost,"));
    }
    let snapshot = snapshots::completed(view, &id)?.clone();
    let size = ebs.volume_size.unwrap_or(snapshot.size_gib);
    if size < snapshot.size_gib || size > VOLUME_GIB_MAX {
        let least = snapshot.size_gib;
        return Err(wrong(format!(
            "A volume of {size} GiB cannot be made of snapshot '{id}': {least} to {VOLUME_GIB_MAX}."
        )));
    }
    let root = BlockDevice {
        device: name,
        size_gib: Some(size),
        volume_type: ebs.volume_type,
        delete_on_termination: ebs.delete_on_termination,
        encrypted: None,
        iops: ebs.iops,
        throughput: ebs.throughput,
    };
    Ok((root, snapshot))
}

/// CopyImage, within a region or from another one of this installation: a row
/// of its own over the same layers. The same client token gives the first
/// call's image. Errors: `InvalidAMIID.*`, `InvalidAMIName.*`,
/// `IncorrectState`, `IdempotentParameterMismatch`, `DryRunOperation`.
pub fn copy_image(
    change: &mut Change<'_, '_>,
    input: &wire::CopyImageRequest,
) -> Result<wire::CopyImageResult, ApiError> {
    const NAMES: &[&str] = &[
        "ClientToken",
        "CopyImageTags",
        "Description",
        "DryRun",
        "Name",
        "SourceImageId",
        "SourceRegion",
        "TagSpecifications",
    ];
    recast::only(&wire::COPY_IMAGE_REQUEST, input, NAMES)?;
    let name = launch_data::text(&input.name).ok_or_else(|| errors::missing("Name"))?;
    let source = launch_data::text(&input.source_image_id).ok_or_else(|| errors::missing("SourceImageId"))?;
    let region = launch_data::text(&input.source_region).ok_or_else(|| errors::missing("SourceRegion"))?;
    let origin = ImageOrigin::Copied(ImageId::from(source.as_str()), Region::from(region.as_str()));
    let token = launch_data::text(&input.client_token);
    if let Some(before) = token.as_ref().and_then(|token| made_with(&change.view(), token)) {
        return match before.details.origin == origin && before.name == name {
            true => Ok(wire::CopyImageResult { image_id: Some(before.id.to_string()) }),
            false => Err(errors::token_mismatch()),
        };
    }
    check_name(&change.view(), &name)?;
    let mut tags = tag_rules::specified(&input.tag_specifications, &["image", "snapshot"])?;
    let from = source_image(&change.view(), &region, &source)?;
    let mut image_tags = tags.remove("image").unwrap_or_default();
    if input.copy_image_tags.unwrap_or(false) && from.own {
        image_tags = with_tags_of(&from.image, image_tags)?;
    }
    let from = from.image;
    let id = ImageId::from(change.rng.id(ImageId::PREFIX));
    let snapshot = change.rng.id("snap-");
    let now = change.now;
    let snapshot_tags = tags.remove("snapshot").unwrap_or_default();
    change.put(Snapshot { id: snapshot.clone(), tags: snapshot_tags, ..snapshot_of_copy(&from, &id, now) });
    let copied = ImageDetails {
        origin,
        deprecated_at: None,
        public: false,
        launch_accounts: Default::default(),
        client_token: token,
        ..from.details.clone()
    };
    change.put(Image {
        id: id.clone(),
        name,
        description: match &input.description {
            None => from.description.clone(),
            given => description(given)?,
        },
        layers: from.layers.clone(),
        source: None,
        created_at: now,
        phase: from.phase.clone(),
        reboot: false,
        snapshot,
        details: copied,
        tags: image_tags,
    });
    errors::dry_run(input.dry_run)?;
    Ok(wire::CopyImageResult { image_id: Some(id.to_string()) })
}

/// CopyImageTags: `tags`, and those of the image for keys that they do not have.
fn with_tags_of(image: &Image, mut tags: Tags) -> Result<Tags, ApiError> {
    let copied = image.tags.iter().filter(|(key, _)| !tag_rules::reserved(key));
    for (key, value) in copied {
        tags.entry(key.clone()).or_insert_with(|| value.clone());
    }
    tag_rules::check_count(&tags)?;
    Ok(tags)
}

/// What the snapshot of a copy of `from` says, but its id and its tags.
fn snapshot_of_copy(from: &Image, copy: &ImageId, started_at: Time) -> Snapshot {
    Snapshot {
        id: String::new(),
        volume: String::new(),
        description: format!(
            "Copied for DestinationAmi {copy} from SourceAmi {} for SourceSnapshot {}.",
            from.id, from.snapshot
        ),
        layers: from.layers.clone(),
        image: None,
        size_gib: snapshots::size_gib(&from.details.root),
        started_at,
        tags: Tags::new(),
    }
}

fn made_with<'a>(view: &View<'a>, token: &str) -> Option<&'a Arc<Image>> {
    view.all::<Image>().find(|image| image.details.client_token.as_deref() == Some(token))
}

/// What is copied, and whether it is the caller's own.
struct Source {
    image: Arc<Image>,
    own: bool,
}

/// An available image of a region of this installation, which must be in use.
fn source_image(view: &View<'_>, region: &str, id: &str) -> Result<Source, ApiError> {
    let scope = Scope { account: view.scope.account.clone(), region: region.into() };
    let Some((scope, tables)) = view.state.scopes.get_key_value(&scope) else {
        errors::check_id(ImageId::PREFIX, "InvalidAMIID.Malformed", id)?;
        return Err(errors::image_not_found(id));
    };
    let there = View { state: view.state, tables, scope, now: view.now };
    let Owned { image, .. } = super::images::known(&there, id)?;
    match image.phase {
        ImagePhase::Available { .. } => {}
        ImagePhase::Pending | ImagePhase::Failed { .. } | ImagePhase::Deregistered => {
            return Err(ApiError::new("IncorrectState", format!("Image {id} is not available for copying.")));
        }
    }
    let (owner, image) = images::find(&there, id).ok_or_else(|| errors::image_not_found(id))?;
    Ok(Source { image: image.clone(), own: owner == scope })
}
