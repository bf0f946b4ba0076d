//! Images: the built-in one, and those captured from instances.

use super::filter::Filters;
use super::instances::one;
use super::instances_shape::ROOT_DEVICE;
use super::{errors, launch_data, paging, recast, tag_rules};
use crate::{Call, Change};
use elastane_domain::id::ImageId;
use elastane_domain::machine::Generation;
use elastane_engine::View;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The owner of the built-in image: the account that publishes AWS's own
/// Linux images, so that `--owners amazon` finds it and `self` does not.
const AMAZON: &str = "137112412989";

/// Characters of a name (EC2 API Reference, "CreateImage").
const NAME_LENGTH: RangeInclusive<usize> = 3..=128;

/// Characters of a description, likewise.
const DESCRIPTION_MAX: usize = 255;

/// Images of one account and region: each is a layer on this machine's disk.
const IMAGES_MAX: usize = 1000;

/// What a root volume is said to hold at least.
const VOLUME_GIB_MIN: u64 = 8;

/// MaxResults (EC2 API Reference, "DescribeImages").
const PAGE: RangeInclusive<i32> = 1..=1000;

const FILTERS: &[&str] = &[
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
    "source-instance-id",
    "state",
    "state-reason-code",
    "state-reason-message",
    "sriov-net-support",
    "virtualization-type",
];

fn built_in(image: &Image) -> bool {
    image.source.is_none()
}

fn owner<'a>(view: &View<'a>, image: &Image) -> &'a str {
    if built_in(image) { AMAZON } else { view.scope.account.as_str() }
}

fn state(image: &Image) -> &'static str {
    match image.phase {
        ImagePhase::Pending => "pending",
        ImagePhase::Available { .. } => "available",
        ImagePhase::Failed { .. } => "failed",
        ImagePhase::Deregistered => "deregistered",
    }
}

pub(super) fn volume_gib(image: &Image) -> u64 {
    match image.phase {
        ImagePhase::Available { bytes } => bytes.div_ceil(1 << 30).max(VOLUME_GIB_MIN),
        ImagePhase::Pending | ImagePhase::Failed { .. } | ImagePhase::Deregistered => VOLUME_GIB_MIN,
    }
}

/// The image of an id.
fn known<'a>(view: &View<'a>, id: &str) -> Result<&'a Arc<Image>, ApiError> {
    errors::check_id(ImageId::PREFIX, "InvalidAMIID.Malformed", id)?;
    let found = view.get::<Image>(id).filter(|image| image.phase != ImagePhase::Deregistered);
    found.ok_or_else(|| errors::image_not_found(id))
}

/// DescribeImages.
pub fn describe_images(
    call: &Call<'_>,
    input: &wire::DescribeImagesRequest,
) -> Result<wire::DescribeImagesResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    let view = &call.view;
    let filters = Filters::new(&input.filters, FILTERS)?;
    let owned = |image: &Image| {
        input.owners.is_empty()
            || input.owners.iter().any(|wanted| match wanted.as_str() {
                "self" => !built_in(image),
                "amazon" => built_in(image),
                account => account == owner(view, image),
            })
    };
    let executable = |image: &Image| {
        input.executable_users.is_empty() || input.executable_users.iter().any(|user| user == "all" && built_in(image))
    };
    let mut found: Vec<&Arc<Image>> = if input.image_ids.is_empty() {
        view.all::<Image>().filter(|image| image.phase != ImagePhase::Deregistered).collect()
    } else {
        input.image_ids.iter().map(|id| known(view, id)).collect::<Result<_, _>>()?
    };
    found.retain(|image| {
        owned(image)
            && executable(image)
            && filters.accept(&image.tags, |name, emit| filter_values(view, image, name, emit))
    });
    found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    let by_id = !input.image_ids.is_empty();
    let (page, next_token) =
        paging::cut(found, input.max_results, input.next_token.as_deref(), (PAGE, by_id), |image| {
            image.id.to_string()
        })?;
    Ok(wire::DescribeImagesResult { images: page.into_iter().map(|image| shown(view, image)).collect(), next_token })
}

fn filter_values(view: &View<'_>, image: &Image, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "architecture" => emit("x86_64"),
        "block-device-mapping.delete-on-termination" | "ena-support" => emit("true"),
        "block-device-mapping.device-name" | "root-device-name" => emit(ROOT_DEVICE),
        "block-device-mapping.encrypted" => emit("false"),
        "block-device-mapping.snapshot-id" => emit(&image.snapshot),
        "block-device-mapping.volume-size" => emit(&volume_gib(image).to_string()),
        "block-device-mapping.volume-type" => emit("gp3"),
        "creation-date" => emit(&image.created_at.iso_millis()),
        "description" => emit(&image.description),
        "hypervisor" => emit("xen"),
        "image-id" => emit(image.id.as_str()),
        "image-type" => emit("machine"),
        "is-public" => emit(if built_in(image) { "true" } else { "false" }),
        "manifest-location" => emit(&location(view, image)),
        "name" => emit(&image.name),
        "owner-alias" if built_in(image) => emit("amazon"),
        "owner-id" => emit(owner(view, image)),
        "root-device-type" => emit("ebs"),
        "source-instance-id" => image.source.iter().for_each(|id| emit(id.as_str())),
        "state" => emit(state(image)),
        "state-reason-code" | "state-reason-message" => {
            let reason = state_reason(image);
            let value =
                reason.and_then(|reason| if name == "state-reason-code" { reason.code } else { reason.message });
            value.iter().for_each(|value| emit(value));
        }
        "virtualization-type" => emit("hvm"),
        // Kernels, platforms, product codes: no image here has any.
        _ => {}
    }
}

fn location(view: &View<'_>, image: &Image) -> String {
    let owner = if built_in(image) { "amazon" } else { owner(view, image) };
    format!("{owner}/{}", image.name)
}

fn state_reason(image: &Image) -> Option<wire::StateReason> {
    match &image.phase {
        ImagePhase::Failed { reason } => {
            Some(wire::StateReason { code: Some("Server.InternalError".to_string()), message: Some(reason.clone()) })
        }
        ImagePhase::Pending | ImagePhase::Available { .. } | ImagePhase::Deregistered => None,
    }
}

fn shown(view: &View<'_>, image: &Image) -> wire::Image {
    let word = |text: &str| Some(text.to_string());
    wire::Image {
        architecture: word("x86_64"),
        block_device_mappings: vec![wire::BlockDeviceMapping {
            device_name: word(ROOT_DEVICE),
            ebs: Some(wire::EbsBlockDevice {
                delete_on_termination: Some(true),
                encrypted: Some(false),
                snapshot_id: Some(image.snapshot.clone()),
                volume_size: i32::try_from(volume_gib(image)).ok(),
                volume_type: word("gp3"),
                ..Default::default()
            }),
            ..Default::default()
        }],
        creation_date: Some(image.created_at.iso_millis()),
        description: Some(image.description.clone()).filter(|text| !text.is_empty()),
        ena_support: Some(true),
        hypervisor: word("xen"),
        image_id: Some(image.id.to_string()),
        image_location: Some(location(view, image)),
        image_owner_alias: built_in(image).then(|| "amazon".to_string()),
        image_type: word("machine"),
        name: Some(image.name.clone()),
        owner_id: word(owner(view, image)),
        platform_details: word("Linux/UNIX"),
        public: Some(built_in(image)),
        root_device_name: word(ROOT_DEVICE),
        root_device_type: word("ebs"),
        source_instance_id: image.source.as_ref().map(|id| id.to_string()),
        state: word(state(image)),
        state_reason: state_reason(image),
        tags: tag_rules::shown(&image.tags),
        usage_operation: word("RunInstances"),
        virtualization_type: word("hvm"),
        ..Default::default()
    }
}

/// CreateImage: a row that waits for its capture. Unless NoReboot is set, a
/// running instance is stopped for it and booted again as its next
/// generation, which the reconcilers see by the image's `reboot`.
pub fn create_image(
    change: &mut Change<'_, '_>,
    input: &wire::CreateImageRequest,
) -> Result<wire::CreateImageResult, ApiError> {
    const NAMES: &[&str] = &["Description", "DryRun", "InstanceId", "Name", "NoReboot", "TagSpecifications"];
    recast::only(&wire::CREATE_IMAGE_REQUEST, input, NAMES)?;
    let instance = one(&change.view(), input.instance_id.as_ref())?.clone();
    let running = match instance.phase {
        Phase::Running => true,
        Phase::Stopped => false,
        Phase::Pending | Phase::Stopping | Phase::ShuttingDown | Phase::Terminated { .. } => {
            let message = format!("Instance '{}' is not in the 'running' or 'stopped' state.", instance.id);
            return Err(ApiError::new("IncorrectState", message));
        }
    };
    let name = input.name.clone().unwrap_or_default();
    check_name(&change.view(), &name)?;
    let description = launch_data::text(&input.description).unwrap_or_default();
    if description.chars().count() > DESCRIPTION_MAX {
        return Err(errors::invalid_value(format!("Descriptions have at most {DESCRIPTION_MAX} characters.")));
    }
    let mut tags = tag_rules::specified(&input.tag_specifications, &["image", "snapshot"])?;
    let id = ImageId::from(change.rng.id(ImageId::PREFIX));
    let snapshot = change.rng.id("snap-");
    let reboot = running && !input.no_reboot.unwrap_or(false);
    let created_at = change.now;
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
        tags: tags.remove("image").unwrap_or_default(),
        snapshot_tags: tags.remove("snapshot").unwrap_or_default(),
    });
    if reboot {
        change.update(instance.id.as_str(), |row: &mut Instance| row.generation = Generation(row.generation.0 + 1));
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::CreateImageResult { image_id: Some(id.to_string()) })
}

fn check_name(view: &View<'_>, name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if !NAME_LENGTH.contains(&name.len()) || !name.chars().all(allowed) {
        let message = format!(
            "AMI names must be between {} and {} characters long, and may contain letters, numbers, '(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'",
            NAME_LENGTH.start(),
            NAME_LENGTH.end()
        );
        return Err(ApiError::new("InvalidAMIName.Malformed", message));
    }
    let living = |image: &&Arc<Image>| image.phase != ImagePhase::Deregistered;
    if let Some(other) = view.all::<Image>().filter(living).find(|image| image.name == name && !built_in(image)) {
        let message = format!("AMI name {name} is already in use by AMI {}", other.id);
        return Err(ApiError::new("InvalidAMIName.Duplicate", message));
    }
    if view.all::<Image>().count() >= IMAGES_MAX {
        let message = format!("You have reached the limit of {IMAGES_MAX} images in this region.");
        return Err(ApiError::new("ResourceCountExceeded", message));
    }
    Ok(())
}

/// DeregisterImage: nothing new is launched from it. Its layer and snapshot
/// go once no instance and no other image needs them.
pub fn deregister_image(
    change: &mut Change<'_, '_>,
    input: &wire::DeregisterImageRequest,
) -> Result<wire::DeregisterImageResult, ApiError> {
    let id = launch_data::text(&input.image_id).ok_or_else(|| errors::missing("ImageId"))?;
    let image = known(&change.view(), &id)?.clone();
    if built_in(&image) {
        return Err(ApiError::new("AuthFailure", format!("Not authorized for image:{id}")).with_status(403));
    }
    if image.phase == ImagePhase::Pending {
        let message = format!("The image ID '{id}' is pending and cannot be deregistered yet.");
        return Err(ApiError::new("InvalidAMIID.Unavailable", message));
    }
    change.update(&id, |row: &mut Image| row.phase = ImagePhase::Deregistered);
    errors::dry_run(input.dry_run)?;
    let snapshots = input.delete_associated_snapshots.unwrap_or(false).then(|| wire::DeleteSnapshotReturnCode {
        return_code: Some("success".to_string()),
        snapshot_id: Some(image.snapshot.clone()),
    });
    Ok(wire::DeregisterImageResult { delete_snapshot_results: snapshots.into_iter().collect(), r#return: Some(true) })
}

#[cfg(test)]
mod tests {
    use super::super::scene::{LAYER_BYTES, Scene, filter, tag};
    use super::*;
    use elastane_engine::{Effect, network::host_image};

    fn create(scene: &mut Scene, input: &wire::CreateImageRequest) -> Result<String, ApiError> {
        scene.write(|change| create_image(change, input)).map(|answer| answer.image_id.expect("an id"))
    }

    fn of(instance: &str, name: &str) -> wire::CreateImageRequest {
        wire::CreateImageRequest { instance_id: Some(instance.into()), name: Some(name.into()), ..Default::default() }
    }

    fn describe(scene: &Scene, input: &wire::DescribeImagesRequest) -> Result<Vec<wire::Image>, ApiError> {
        scene.read(|call| describe_images(call, input)).map(|answer| answer.images)
    }

    fn names(scene: &Scene, input: &wire::DescribeImagesRequest) -> Vec<String> {
        describe(scene, input).expect("images").into_iter().filter_map(|image| image.name).collect()
    }

    fn step(effect: &Effect) -> Option<&'static str> {
        match effect {
            Effect::Stop { .. } => Some("stop"),
            Effect::Capture { .. } => Some("capture"),
            Effect::Launch(_) => Some("launch"),
            Effect::Terminate { .. } => Some("terminate"),
            Effect::DeleteImage { .. } => Some("delete image"),
            Effect::RunCommand { .. } | Effect::Route(_) => None,
        }
    }

    /// The instance goes down, is captured, and comes back as its next
    /// generation; the image's stack is the instance's with its own layer on top.
    #[test]
    fn ec2_8_2_create_image_reboots() {
        let mut scene = Scene::new();
        let instance = scene.launch(1).remove(0);
        assert_eq!(create(&mut scene, &of(&instance, "golden")).expect_err("pending").code, "IncorrectState");
        scene.settle();
        let mut input = of(&instance, "golden");
        input.tag_specifications =
            vec![wire::TagSpecification { resource_type: Some("snapshot".into()), tags: vec![tag("a", "b")] }];
        let id = create(&mut scene, &input).expect("running");
        assert_eq!(scene.row::<Image>(&id).phase, ImagePhase::Pending);
        let did = scene.settle();
        let steps: Vec<&str> = did.iter().filter_map(step).collect();
        assert_eq!(steps, ["stop", "capture", "launch"]);
        let (image, row) = (scene.row::<Image>(&id), scene.row::<Instance>(&instance));
        assert_eq!(image.phase, ImagePhase::Available { bytes: LAYER_BYTES });
        assert_eq!((image.layers, image.snapshot_tags.len()), (vec![image.id.clone()], 1));
        assert_eq!((row.phase, row.generation), (Phase::Running, Generation(2)));
        let shown = describe(&scene, &wire::DescribeImagesRequest { image_ids: vec![id], ..Default::default() })
            .expect("known");
        let size = shown[0].block_device_mappings[0].ebs.clone().and_then(|ebs| ebs.volume_size);
        assert_eq!((shown[0].state.as_deref(), size), (Some("available"), Some(12)));
    }

    /// With NoReboot, or stopped, the instance keeps its generation.
    #[test]
    fn ec2_8_2_no_reboot_leaves_the_instance_alone() {
        let mut scene = Scene::new();
        let instance = scene.launch(1).remove(0);
        scene.settle();
        let input = wire::CreateImageRequest { no_reboot: Some(true), ..of(&instance, "live") };
        create(&mut scene, &input).expect("running");
        let effects = scene.round();
        assert_eq!(effects.iter().filter_map(step).collect::<Vec<_>>(), ["capture"]);
        assert_eq!(scene.row::<Instance>(&instance).generation, Generation(1));
    }

    /// Names have a length, characters and one owner at a time.
    #[test]
    fn ec2_8_2_names() {
        let mut scene = Scene::new();
        let instance = scene.launch(1).remove(0);
        scene.settle();
        let quiet = |name: &str| wire::CreateImageRequest { no_reboot: Some(true), ..of(&instance, name) };
        let id = create(&mut scene, &quiet("web (v1.0) [x]")).expect("a good name");
        for (name, code) in [
            ("ab", "InvalidAMIName.Malformed"),
            ("a$b", "InvalidAMIName.Malformed"),
            ("web (v1.0) [x]", "InvalidAMIName.Duplicate"),
        ] {
            assert_eq!(create(&mut scene, &quiet(name)).expect_err(code).code, code);
        }
        let deregister = wire::DeregisterImageRequest { image_id: Some(id), ..Default::default() };
        let pending = scene.write(|change| deregister_image(change, &deregister)).expect_err("pending");
        assert_eq!(pending.code, "InvalidAMIID.Unavailable");
        scene.settle();
        scene.write(|change| deregister_image(change, &deregister)).expect("available");
        create(&mut scene, &quiet("web (v1.0) [x]")).expect("free again");
    }

    /// Owners and filters tell the built-in image from one's own; ids that
    /// are gone or malformed are errors; the built-in one stays.
    #[test]
    fn images_are_found_by_owner_filter_and_id() {
        let mut scene = Scene::new();
        let instance = scene.launch(1).remove(0);
        scene.settle();
        let mine = create(&mut scene, &of(&instance, "mine")).expect("running");
        for (owners, filters, expected) in [
            (vec![], vec![], vec!["host", "mine"]),
            (vec!["self"], vec![], vec!["mine"]),
            (vec!["amazon"], vec![], vec!["host"]),
            (vec!["000000000000"], vec![], vec!["mine"]),
            (vec![], vec![filter("owner-alias", &["amazon"])], vec!["host"]),
            (vec![], vec![filter("state", &["pending"])], vec!["mine"]),
            (vec![], vec![filter("name", &["m*"]), filter("is-public", &["false"])], vec!["mine"]),
        ] {
            let owners = owners.into_iter().map(str::to_string).collect();
            let input = wire::DescribeImagesRequest { owners, filters, ..Default::default() };
            let mut found = names(&scene, &input);
            found.sort();
            assert_eq!(found, expected, "{input:?}");
        }
        scene.settle();
        let deregister = |id: &str| wire::DeregisterImageRequest { image_id: Some(id.into()), ..Default::default() };
        let mut gone = |id: &str| scene.write(|change| deregister_image(change, &deregister(id)));
        assert_eq!(gone(host_image().as_str()).expect_err("not ours").code, "AuthFailure");
        gone(&mine).expect("ours");
        assert_eq!(gone(&mine).expect_err("no more").code, "InvalidAMIID.NotFound");
        for (id, code) in [(mine.as_str(), "InvalidAMIID.NotFound"), ("ami-x", "InvalidAMIID.Malformed")] {
            let input = wire::DescribeImagesRequest { image_ids: vec![id.to_string()], ..Default::default() };
            assert_eq!(describe(&scene, &input).expect_err(code).code, code);
        }
    }
}
