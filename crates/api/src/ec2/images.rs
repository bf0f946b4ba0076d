//! Images: finding, capturing and deregistering them. What they look like is
//! in `image_shape`, the other ways to make one in `image_make` and
//! `image_import`.

use super::filter::Filters;
use super::image_shape::{self, Owned};
use super::instances::one;
use super::{errors, launch_data, paging, recast, snapshots, tag_rules};
use crate::{Call, Change};
use elastane_domain::id::ImageId;
use elastane_domain::machine::Generation;
use elastane_engine::row::*;
use elastane_engine::{View, images};
use elastane_wire::{ApiError, ec2 as wire};
use std::ops::RangeInclusive;
use std::sync::Arc;

pub(super) use super::image_shape::volume_gib;

/// Characters of a name (EC2 API Reference, "CreateImage").
const NAME_LENGTH: RangeInclusive<usize> = 3..=128;

/// Characters of a description, likewise.
const DESCRIPTION_MAX: usize = 255;

/// Images of one account and region: each is a layer on this machine's disk.
const IMAGES_MAX: usize = 1000;

/// Layers that an image may have: a host mounts all of them for each instance.
const LAYERS_MAX: usize = 64;

/// MaxResults (EC2 API Reference, "DescribeImages").
const PAGE: RangeInclusive<i32> = 1..=1000;

/// An image that the account may launch.
pub(super) fn known<'a>(view: &View<'a>, id: &str) -> Result<Owned<'a>, ApiError> {
    errors::check_id(ImageId::PREFIX, "InvalidAMIID.Malformed", id)?;
    let found = images::find(view, id).map(|(scope, image)| Owned { scope, image });
    found.ok_or_else(|| errors::image_not_found(id))
}

/// An image that the account may change.
pub(super) fn own(view: &View<'_>, id: Option<&String>) -> Result<Image, ApiError> {
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| errors::missing("ImageId"))?;
    let found = known(view, id)?;
    if images::built_in(found.image) || found.scope != view.scope {
        return Err(ApiError::new("AuthFailure", format!("Not authorized for image:{id}")).with_status(403));
    }
    Ok(found.image.clone())
}

/// DescribeImages: those that the account may launch, or those of the ids.
/// Errors: `InvalidAMIID.Malformed`, `InvalidAMIID.NotFound`, those of
/// filters and pages, `DryRunOperation`.
pub fn describe_images(
    call: &Call<'_>,
    input: &wire::DescribeImagesRequest,
) -> Result<wire::DescribeImagesResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    let view = &call.view;
    let filters = Filters::new(&input.filters, image_shape::FILTERS)?;
    let by_id = !input.image_ids.is_empty();
    let mut found: Vec<Owned<'_>> = if by_id {
        input.image_ids.iter().map(|id| known(view, id)).collect::<Result<_, _>>()?
    } else {
        images::all(view).map(|(scope, image)| Owned { scope, image }).collect()
    };
    found.retain(|owned| {
        of_owner(view, owned, &input.owners)
            && executable(view, owned, &input.executable_users)
            && (by_id || input.include_deprecated.unwrap_or(false) || current(view, owned))
            && filters.accept(tags(view, owned), |name, emit| image_shape::filter_values(*owned, name, emit))
    });
    found.sort_unstable_by(|a, b| a.image.id.cmp(&b.image.id));
    found.dedup_by(|a, b| a.image.id == b.image.id);
    let token = input.next_token.as_deref();
    let name = |owned: &Owned<'_>| owned.image.id.to_string();
    let (page, next_token) = paging::cut(found, input.max_results, token, (PAGE, by_id), name)?;
    let shown = |owned| image_shape::shown(owned, tags(view, &owned));
    Ok(wire::DescribeImagesResult { images: page.into_iter().map(shown).collect(), next_token })
}

/// Tags are the owner's: who shares an image does not share them (EC2 User
/// Guide, "Share an AMI").
fn tags<'a>(view: &View<'_>, owned: &Owned<'a>) -> &'a Tags {
    static NONE: Tags = Tags::new();
    if owned.scope == view.scope { &owned.image.tags } else { &NONE }
}

fn of_owner(view: &View<'_>, owned: &Owned<'_>, owners: &[String]) -> bool {
    let mine = || owned.scope == view.scope && !images::built_in(owned.image);
    owners.is_empty()
        || owners.iter().any(|wanted| match wanted.as_str() {
            "self" => mine(),
            "amazon" => images::built_in(owned.image),
            account => account == owned.owner(),
        })
}

fn executable(view: &View<'_>, owned: &Owned<'_>, users: &[String]) -> bool {
    let allowed = |account: &str| owned.image.details.launch_accounts.contains(account);
    users.is_empty()
        || users.iter().any(|user| match user.as_str() {
            "all" => owned.public(),
            "self" => allowed(view.scope.account.as_str()),
            account => allowed(account),
        })
}

/// A deprecated image is shown to its owner only.
fn current(view: &View<'_>, owned: &Owned<'_>) -> bool {
    owned.scope == view.scope || owned.image.details.deprecated_at.is_none_or(|at| at > view.now)
}

/// CreateImage: a row that waits for its capture. Unless NoReboot is set, a
/// running instance is stopped for it and booted again as its next
/// generation, which the reconcilers see by the image's `reboot`. Errors:
/// `InvalidInstanceID.*`, `IncorrectState`, `InvalidAMIName.Malformed`,
/// `InvalidAMIName.Duplicate`, `InvalidBlockDeviceMapping`,
/// `ResourceCountExceeded`, `DryRunOperation`.
pub fn create_image(
    change: &mut Change<'_, '_>,
    input: &wire::CreateImageRequest,
) -> Result<wire::CreateImageResult, ApiError> {
    const NAMES: &[&str] =
        &["BlockDeviceMappings", "Description", "DryRun", "InstanceId", "Name", "NoReboot", "TagSpecifications"];
    recast::only(&wire::CREATE_IMAGE_REQUEST, input, NAMES)?;
    let instance = one(&change.view(), input.instance_id.as_ref())?.clone();
    let running = capturable(&instance)?;
    let name = input.name.clone().unwrap_or_default();
    check_name(&change.view(), &name)?;
    let description = description(&input.description)?;
    let mut tags = tag_rules::specified(&input.tag_specifications, &["image", "snapshot"])?;
    let details = details_of(&change.view(), &instance, &input.block_device_mappings)?;
    let id = ImageId::from(change.rng.id(ImageId::PREFIX));
    let snapshot = change.rng.id("snap-");
    let reboot = running && !input.no_reboot.unwrap_or(false);
    let created_at = change.now;
    change.put(Snapshot {
        id: snapshot.clone(),
        volume: instance.root_volume.clone(),
        description: format!("Created by CreateImage({}) for {id}", instance.id),
        layers: instance.layers.iter().chain([&id]).cloned().collect(),
        image: Some(id.clone()),
        size_gib: snapshots::size_gib(&details.root),
        started_at: created_at,
        tags: tags.remove("snapshot").unwrap_or_default(),
    });
    change.put(Image {
        id: id.clone(),
        name,
        description,
        layers: instance.layers.iter().chain([&id]).cloned().collect(),
        source: Some(instance.id.clone()),
        created_at,
        phase: ImagePhase::Pending,
        reboot,
        snapshot,
        details,
        tags: tags.remove("image").unwrap_or_default(),
    });
    if reboot {
        change.update(instance.id.as_str(), |row: &mut Instance| row.generation = Generation(row.generation.0 + 1));
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::CreateImageResult { image_id: Some(id.to_string()) })
}

/// Whether an instance whose disk is to be captured runs: `IncorrectState`
/// when it neither runs nor is stopped.
pub(super) fn capturable(instance: &Instance) -> Result<bool, ApiError> {
    let running = match instance.phase {
        Phase::Running => true,
        Phase::Stopped => false,
        Phase::Pending | Phase::Stopping | Phase::ShuttingDown | Phase::Terminated { .. } => {
            let message = format!("Instance '{}' is not in the 'running' or 'stopped' state.", instance.id);
            return Err(ApiError::new("IncorrectState", message));
        }
    };
    if instance.layers.len() >= LAYERS_MAX {
        let what = format!("An image of more than {LAYERS_MAX} layers: begin again from its base, which");
        return Err(errors::unsupported(&what));
    }
    Ok(running)
}

/// What an image takes over from the image and the root volume of its
/// instance; of the volume a call can change DeleteOnTermination only
/// (ec2-imds.md 8.2).
fn details_of(
    view: &View<'_>,
    instance: &Instance,
    mappings: &[wire::BlockDeviceMapping],
) -> Result<ImageDetails, ApiError> {
    let from = images::find(view, instance.image.as_str()).map(|(_, image)| &image.details);
    let mut details = ImageDetails { root: instance.root_device.clone(), ..ImageDetails::default() };
    if let Some(from) = from {
        details.architecture.clone_from(&from.architecture);
        details.boot_mode.clone_from(&from.boot_mode);
        details.ena_support = from.ena_support;
        details.sriov_net_support.clone_from(&from.sriov_net_support);
    }
    let root = match details.root.device.as_str() {
        "" => images::ROOT_DEVICE,
        name => name,
    };
    let root = root.to_string();
    for mapping in mappings {
        let device = mapping.device_name.as_deref().unwrap_or_default();
        if device != root {
            let what = format!("The block device '{device}': an instance has its root volume '{root}' alone; another");
            return Err(errors::unsupported(&what));
        }
        let ebs = mapping.ebs.clone().unwrap_or_default();
        let same = ebs.volume_size.is_none_or(|gib| gib == snapshots::size_gib(&details.root))
            && !ebs.encrypted.unwrap_or(false)
            && ebs.snapshot_id.is_none();
        if !same || mapping.no_device.is_some() || mapping.virtual_name.is_some() {
            let message = format!("Only DeleteOnTermination of the existing volume '{root}' can be changed.");
            return Err(ApiError::new("InvalidBlockDeviceMapping", message));
        }
        details.root.delete_on_termination = ebs.delete_on_termination.or(details.root.delete_on_termination);
    }
    Ok(details)
}

/// A description within its limit.
pub(super) fn description(text: &Option<String>) -> Result<String, ApiError> {
    let description = launch_data::text(text).unwrap_or_default();
    if description.chars().count() > DESCRIPTION_MAX {
        return Err(errors::invalid_value(format!("Descriptions have at most {DESCRIPTION_MAX} characters.")));
    }
    Ok(description)
}

/// A name that an image may get: `InvalidAMIName.Malformed`,
/// `InvalidAMIName.Duplicate`, `ResourceCountExceeded`.
pub(super) fn check_name(view: &View<'_>, name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if !NAME_LENGTH.contains(&name.len()) || !name.chars().all(allowed) {
        let message = format!(
            "AMI names must be between {} and {} characters long, and may contain letters, numbers, '(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'",
            NAME_LENGTH.start(),
            NAME_LENGTH.end()
        );
        return Err(ApiError::new("InvalidAMIName.Malformed", message));
    }
    let living = |image: &&Arc<Image>| images::shown(image) && !images::built_in(image);
    if let Some(other) = view.all::<Image>().filter(living).find(|image| image.name == name) {
        let message = format!("AMI name {name} is already in use by AMI {}", other.id);
        return Err(ApiError::new("InvalidAMIName.Duplicate", message));
    }
    if view.all::<Image>().count() >= IMAGES_MAX {
        let message = format!("You have reached the limit of {IMAGES_MAX} images in this region.");
        return Err(ApiError::new("ResourceCountExceeded", message));
    }
    snapshots::check_count(view)
}

/// DeregisterImage: nothing new is launched from it. Its snapshot stays, and
/// its layer with it, unless DeleteAssociatedSnapshots is set. Errors:
/// `InvalidAMIID.*`, `AuthFailure` for one of somebody else,
/// `InvalidAMIID.Unavailable` for a pending one, `DryRunOperation`.
pub fn deregister_image(
    change: &mut Change<'_, '_>,
    input: &wire::DeregisterImageRequest,
) -> Result<wire::DeregisterImageResult, ApiError> {
    let image = own(&change.view(), input.image_id.as_ref())?;
    let id = image.id.as_str();
    if image.phase == ImagePhase::Pending {
        let message = format!("The image ID '{id}' is pending and cannot be deregistered yet.");
        return Err(ApiError::new("InvalidAMIID.Unavailable", message));
    }
    change.update(id, |row: &mut Image| row.phase = ImagePhase::Deregistered);
    let asked = input.delete_associated_snapshots.unwrap_or(false);
    let result = asked.then(|| snapshots::delete_of_image(change, &image.snapshot));
    if matches!(image.phase, ImagePhase::Failed { .. }) {
        // A snapshot that was never filled holds nothing to keep.
        change.delete::<Snapshot>(&image.snapshot);
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::DeregisterImageResult { delete_snapshot_results: result.into_iter().collect(), r#return: Some(true) })
}
