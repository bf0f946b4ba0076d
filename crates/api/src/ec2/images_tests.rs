//! Images and snapshots on an engine with a host that does what it is told.

use super::image_attributes::*;
use super::image_import::*;
use super::image_make::*;
use super::images::*;
use super::scene::{LAYER_BYTES, Scene, filter, run, tag};
use super::snapshots::*;
use elastane_domain::id::ImageId;
use elastane_domain::machine::{Generation, HostFact};
use elastane_domain::time::Span;
use elastane_engine::row::*;
use elastane_engine::{Effect, Fact, network::host_image};
use elastane_wire::value::Timestamp;
use elastane_wire::{ApiError, ec2 as wire};

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
        Effect::RunCommand { .. }
        | Effect::EndSession { .. }
        | Effect::Route(_)
        | Effect::Network(_)
        | Effect::EndNetwork { .. }
        | Effect::EndCommand { .. }
        | Effect::Notify(_) => None,
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
    assert_eq!(image.layers, std::slice::from_ref(&image.id));
    assert_eq!(scene.row::<Snapshot>(&image.snapshot).tags.len(), 1);
    assert_eq!((row.phase, row.generation), (Phase::Running, Generation(2)));
    let shown =
        describe(&scene, &wire::DescribeImagesRequest { image_ids: vec![id], ..Default::default() }).expect("known");
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

fn layers_gone(effects: &[Effect]) -> Vec<String> {
    let gone = |effect: &Effect| match effect {
        Effect::DeleteImage { image } => Some(image.to_string()),
        _ => None,
    };
    effects.iter().filter_map(gone).collect()
}

fn live(scene: &mut Scene, name: &str) -> Image {
    let instance = scene.launch(1).remove(0);
    scene.settle();
    let id =
        create(scene, &wire::CreateImageRequest { no_reboot: Some(true), ..of(&instance, name) }).expect("running");
    scene.settle();
    scene.row(&id)
}

fn deregister(scene: &mut Scene, id: &str, snapshots: bool) -> Result<wire::DeregisterImageResult, ApiError> {
    let input = wire::DeregisterImageRequest {
        image_id: Some(id.to_string()),
        delete_associated_snapshots: Some(snapshots),
        ..Default::default()
    };
    scene.write(|change| deregister_image(change, &input))
}

fn delete(scene: &mut Scene, id: &str) -> Result<(), ApiError> {
    let input = wire::DeleteSnapshotRequest { snapshot_id: Some(id.to_string()), ..Default::default() };
    scene.write(|change| delete_snapshot(change, &input)).map(drop)
}

fn register(name: &str, snapshot: &str) -> wire::RegisterImageRequest {
    wire::RegisterImageRequest {
        name: Some(name.to_string()),
        root_device_name: Some("/dev/sda1".to_string()),
        block_device_mappings: vec![wire::BlockDeviceMapping {
            device_name: Some("/dev/sda1".to_string()),
            ebs: Some(wire::EbsBlockDevice { snapshot_id: Some(snapshot.to_string()), ..Default::default() }),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A layer goes when the last of image, snapshot and instance that have it has gone.
#[test]
fn ec2_8_2_layers_live_as_long_as_anybody_has_them() {
    let mut scene = Scene::new();
    let image = live(&mut scene, "golden");
    let input = wire::RunInstancesRequest { image_id: Some(image.id.to_string()), ..run(1) };
    let run = scene.write(|change| super::run_instances(change, &input)).expect("a launch");
    let instance = run.instances[0].instance_id.clone().expect("an id");
    scene.settle();
    assert_eq!(delete(&mut scene, &image.snapshot).expect_err("in use").code, "InvalidSnapshot.InUse");
    deregister(&mut scene, image.id.as_str(), false).expect("ours");
    assert_eq!(layers_gone(&scene.settle()), [""; 0], "the snapshot has the layer");
    let copy =
        scene.write(|change| register_image(change, &register("again", &image.snapshot))).expect("of a snapshot");
    let copy = copy.image_id.expect("an id");
    assert_eq!(scene.row::<Image>(&copy).layers, image.layers);
    let answer = deregister(&mut scene, &copy, true).expect("ours");
    assert_eq!(answer.delete_snapshot_results[0].return_code.as_deref(), Some("success"));
    assert_eq!(layers_gone(&scene.settle()), [""; 0], "the instance stands on it");
    let end = wire::TerminateInstancesRequest { instance_ids: vec![instance], ..Default::default() };
    scene.write(|change| super::terminate_instances(change, &end)).expect("running");
    assert_eq!(layers_gone(&scene.settle()), [image.id.to_string()]);
}

/// A snapshot of a volume is a capture that is no image; it goes with the snapshot.
#[test]
fn snapshots_of_volumes() {
    let mut scene = Scene::new();
    let instance = scene.launch(1).remove(0);
    scene.settle();
    let volume = scene.row::<Instance>(&instance).root_volume;
    let ask = |volume: &str| wire::CreateSnapshotRequest {
        volume_id: Some(volume.to_string()),
        description: Some("before the change".to_string()),
        ..Default::default()
    };
    for (volume, code) in [("vol-1", "InvalidVolumeID.Malformed"), ("vol-0123456789abcdef0", "InvalidVolume.NotFound")]
    {
        assert_eq!(scene.write(|change| create_snapshot(change, &ask(volume))).expect_err(code).code, code);
    }
    let made = scene.write(|change| create_snapshot(change, &ask(&volume))).expect("running");
    assert_eq!((made.state.as_deref(), made.progress.as_deref()), (Some("pending"), Some("0%")));
    let id = made.snapshot_id.expect("an id");
    let early = scene.write(|change| register_image(change, &register("early", &id))).expect_err("pending");
    assert_eq!(early.code, "IncorrectState");
    scene.settle();
    assert_eq!(names(&scene, &Default::default()), ["host"], "no image is seen");
    let describe = |scene: &Scene, filters: Vec<wire::Filter>| {
        let input =
            wire::DescribeSnapshotsRequest { filters, owner_ids: vec!["self".to_string()], ..Default::default() };
        let answer = scene.read(|call| describe_snapshots(call, &input)).expect("snapshots");
        answer.snapshots.into_iter().filter_map(|one| one.snapshot_id).collect::<Vec<_>>()
    };
    for (filters, expected) in [
        (vec![], 1),
        (vec![filter("status", &["completed"]), filter("volume-id", &[&volume])], 1),
        (vec![filter("description", &["after*"])], 0),
    ] {
        assert_eq!(describe(&scene, filters).len(), expected);
    }
    let layers = scene.row::<Snapshot>(&id).layers;
    delete(&mut scene, &id).expect("nobody's");
    assert_eq!(layers_gone(&scene.settle()), [layers[0].to_string()]);
    assert_eq!(delete(&mut scene, &id).expect_err("gone").code, "InvalidSnapshot.NotFound");
    assert_eq!(delete(&mut scene, "snap").expect_err("no id").code, "InvalidSnapshotID.Malformed");
    assert_eq!(scene.view().all::<Image>().count(), 1, "the capture's row went too");
}

/// What a registration says is shown, and what it may not say is refused.
#[test]
fn registration() {
    let mut scene = Scene::new();
    let image = live(&mut scene, "source");
    let good = || wire::RegisterImageRequest {
        architecture: Some("x86_64".to_string()),
        virtualization_type: Some("hvm".to_string()),
        imds_support: Some("v2.0".to_string()),
        boot_mode: Some("uefi".to_string()),
        ena_support: Some(true),
        ..register("registered", &image.snapshot)
    };
    let id = scene.write(|change| register_image(change, &good())).expect("good").image_id.expect("an id");
    let shown = describe(&scene, &wire::DescribeImagesRequest { image_ids: vec![id.clone()], ..Default::default() });
    let shown = shown.expect("known").remove(0);
    assert_eq!(
        (
            shown.root_device_name.as_deref(),
            shown.imds_support.as_deref(),
            shown.boot_mode.as_deref(),
            shown.ena_support
        ),
        (Some("/dev/sda1"), Some("v2.0"), Some("uefi"), Some(true))
    );
    let launch = wire::RunInstancesRequest { image_id: Some(id), ..run(1) };
    let run = scene.write(|change| super::run_instances(change, &launch)).expect("a launch");
    let options = run.instances[0].metadata_options.clone().expect("options");
    assert_eq!((options.http_tokens.as_deref(), options.http_put_response_hop_limit), (Some("required"), Some(2)));
    type Spoil = fn(&mut wire::RegisterImageRequest);
    let cases: [(Spoil, &str); 8] = [
        (|input| input.name = Some("registered".to_string()), "InvalidAMIName.Duplicate"),
        (|input| input.block_device_mappings.clear(), "InvalidBlockDeviceMapping"),
        (|input| ebs(input).snapshot_id = Some("snap-0123456789abcdef0".to_string()), "InvalidSnapshot.NotFound"),
        (|input| ebs(input).volume_size = Some(1), "InvalidBlockDeviceMapping"),
        (|input| ebs(input).encrypted = Some(true), "UnsupportedOperation"),
        (|input| input.virtualization_type = Some("paravirtual".to_string()), "UnsupportedOperation"),
        (|input| input.tpm_support = Some("v2.0".to_string()), "UnsupportedOperation"),
        (|input| input.block_device_mappings[0].device_name = Some("/dev/sdb".to_string()), "UnsupportedOperation"),
    ];
    for (spoil, code) in cases {
        let mut input = wire::RegisterImageRequest { name: Some("another".to_string()), ..good() };
        spoil(&mut input);
        assert_eq!(scene.write(|change| register_image(change, &input)).expect_err(code).code, code, "{input:?}");
    }
}

fn ebs(input: &mut wire::RegisterImageRequest) -> &mut wire::EbsBlockDevice {
    input.block_device_mappings[0].ebs.as_mut().expect("a volume")
}

/// A copy in the same region and in another shares layers; its token is remembered.
#[test]
fn copies() {
    let mut scene = Scene::new();
    let image = live(&mut scene, "source");
    let ask = |name: &str, token: &str| wire::CopyImageRequest {
        name: Some(name.to_string()),
        source_image_id: Some(image.id.to_string()),
        source_region: Some("us-east-1".to_string()),
        client_token: Some(token.to_string()),
        ..Default::default()
    };
    let mut copy = |input: &wire::CopyImageRequest| {
        scene.write(|change| copy_image(change, input)).map(|answer| answer.image_id.expect("an id"))
    };
    let id = copy(&ask("copy", "one")).expect("a copy");
    assert_eq!(copy(&ask("copy", "one")).expect("the same"), id);
    assert_eq!(copy(&ask("other", "one")).expect_err("differs").code, "IdempotentParameterMismatch");
    assert_eq!(copy(&ask("copy", "two")).expect_err("taken").code, "InvalidAMIName.Duplicate");
    let nowhere = wire::CopyImageRequest { source_region: Some("eu-west-3".to_string()), ..ask("far", "three") };
    assert_eq!(copy(&nowhere).expect_err("no such region here").code, "InvalidAMIID.NotFound");
    let row = scene.row::<Image>(&id);
    assert_eq!((&row.layers, row.source.is_none()), (&image.layers, true));
    assert_ne!(row.snapshot, image.snapshot);
    scene.scope.region = "eu-west-1".into();
    let there = scene.write(|change| copy_image(change, &ask("copy", "one"))).expect("from another region");
    let there = scene.row::<Image>(&there.image_id.expect("an id"));
    assert_eq!(there.layers, image.layers);
    scene.scope.region = "us-east-1".into();
    for name in [image.id.as_str(), id.as_str()] {
        deregister(&mut scene, name, true).expect("ours");
    }
    let instances: Vec<String> = scene.view().all::<Instance>().map(|row| row.id.to_string()).collect();
    let end = wire::TerminateInstancesRequest { instance_ids: instances, ..Default::default() };
    scene.write(|change| super::terminate_instances(change, &end)).expect("running");
    assert_eq!(layers_gone(&scene.settle()), [""; 0], "the other region's copy has it");
    scene.scope.region = "eu-west-1".into();
    deregister(&mut scene, there.id.as_str(), true).expect("ours");
    assert_eq!(layers_gone(&scene.settle()), [image.id.to_string()]);
}

fn modify(scene: &mut Scene, input: wire::ModifyImageAttributeRequest) -> Result<(), ApiError> {
    scene.write(|change| modify_image_attribute(change, &input)).map(drop)
}

/// Permissions let another account find and launch an image, and not change it.
#[test]
fn images_are_shared_with_accounts() {
    const OTHER: &str = "111122223333";
    let mut scene = Scene::new();
    let image = live(&mut scene, "shared");
    let id = || Some(image.id.to_string());
    let by_id = wire::DescribeImagesRequest { image_ids: vec![image.id.to_string()], ..Default::default() };
    let mine = scene.scope.clone();
    let share = wire::ModifyImageAttributeRequest {
        image_id: id(),
        attribute: Some("launchPermission".to_string()),
        operation_type: Some("add".to_string()),
        user_ids: vec![OTHER.to_string()],
        ..Default::default()
    };
    let bad = wire::ModifyImageAttributeRequest { user_ids: vec!["me".to_string()], ..share.clone() };
    assert_eq!(modify(&mut scene, bad).expect_err("no account").code, "InvalidAMIAttributeItemValue");
    scene.scope.account = OTHER.into();
    scene.write(|_| Ok(())).expect("the account comes to be");
    assert_eq!(describe(&scene, &by_id).expect_err("not shared").code, "InvalidAMIID.NotFound");
    scene.scope = mine.clone();
    modify(&mut scene, share.clone()).expect("ours");
    let ask = wire::DescribeImageAttributeRequest {
        image_id: id(),
        attribute: Some("launchPermission".to_string()),
        ..Default::default()
    };
    let told = scene.read(|call| describe_image_attribute(call, &ask)).expect("ours").launch_permissions;
    assert_eq!(told[0].user_id.as_deref(), Some(OTHER));
    scene.scope.account = OTHER.into();
    assert_eq!(describe(&scene, &by_id).expect("shared")[0].owner_id.as_deref(), Some("000000000000"));
    let executable = wire::DescribeImagesRequest { executable_users: vec!["self".to_string()], ..Default::default() };
    assert_eq!(names(&scene, &executable), ["shared"]);
    assert_eq!(modify(&mut scene, share).expect_err("not ours").code, "AuthFailure");
    assert_eq!(scene.read(|call| describe_image_attribute(call, &ask)).expect_err("not ours").code, "AuthFailure");
    let input = wire::RunInstancesRequest { image_id: id(), ..run(1) };
    let run = scene.write(|change| super::run_instances(change, &input)).expect("shared");
    let instance: Instance = scene.row(run.instances[0].instance_id.as_deref().expect("an id"));
    assert_eq!(instance.layers, image.layers);
    scene.scope = mine;
    let reset = wire::ResetImageAttributeRequest {
        image_id: id(),
        attribute: Some("launchPermission".to_string()),
        ..Default::default()
    };
    scene.write(|change| reset_image_attribute(change, &reset)).expect("ours");
    scene.scope.account = OTHER.into();
    assert_eq!(describe(&scene, &by_id).expect_err("no more").code, "InvalidAMIID.NotFound");
}

/// One attribute a call; what an image says of itself can be changed and read.
#[test]
fn attributes() {
    let mut scene = Scene::new();
    let image = live(&mut scene, "image");
    let id = Some(image.id.to_string());
    let value = |text: &str| Some(wire::AttributeValue { value: Some(text.to_string()) });
    let base = || wire::ModifyImageAttributeRequest { image_id: id.clone(), ..Default::default() };
    modify(&mut scene, wire::ModifyImageAttributeRequest { description: value("new"), ..base() }).expect("a text");
    modify(&mut scene, wire::ModifyImageAttributeRequest { imds_support: value("v2.0"), ..base() }).expect("v2.0");
    for (input, code) in [
        (wire::ModifyImageAttributeRequest { imds_support: value("v1"), ..base() }, "InvalidParameterValue"),
        (
            wire::ModifyImageAttributeRequest { description: value("a"), imds_support: value("v2.0"), ..base() },
            "InvalidParameterCombination",
        ),
        (base(), "MissingParameter"),
        (wire::ModifyImageAttributeRequest { attribute: Some("kernel".to_string()), ..base() }, "UnsupportedOperation"),
        (wire::ModifyImageAttributeRequest { image_id: Some(host_image().to_string()), ..base() }, "AuthFailure"),
    ] {
        assert_eq!(modify(&mut scene, input).expect_err(code).code, code);
    }
    let ask = |name: &str| {
        let input = wire::DescribeImageAttributeRequest {
            image_id: id.clone(),
            attribute: Some(name.to_string()),
            ..Default::default()
        };
        scene.read(|call| describe_image_attribute(call, &input))
    };
    assert_eq!(ask("description").expect("known").description, value("new"));
    assert_eq!(ask("imdsSupport").expect("known").imds_support, value("v2.0"));
    assert_eq!(ask("blockDeviceMapping").expect("known").block_device_mappings.len(), 1);
    assert_eq!(ask("color").expect_err("no such").code, "InvalidParameterValue");
}

/// A deprecated image is not found by others unless they ask for it; its owner always finds it.
#[test]
fn deprecation() {
    let mut scene = Scene::new();
    let image = live(&mut scene, "old");
    let id = Some(image.id.to_string());
    modify(
        &mut scene,
        wire::ModifyImageAttributeRequest {
            image_id: id.clone(),
            launch_permission: Some(wire::LaunchPermissionModifications {
                add: vec![wire::LaunchPermission { group: Some("all".to_string()), ..Default::default() }],
                ..Default::default()
            }),
            ..Default::default()
        },
    )
    .expect("public");
    let at = scene.now.millis() + 90_000;
    let mut enable = |at: i64| {
        let deprecate_at = Some(Timestamp(at));
        let input = wire::EnableImageDeprecationRequest { image_id: id.clone(), deprecate_at, ..Default::default() };
        scene.write(|change| enable_image_deprecation(change, &input)).map(drop)
    };
    assert_eq!(enable(0).expect_err("past").code, "InvalidParameterValue");
    enable(at).expect("soon");
    let shown = describe(&scene, &Default::default()).expect("images");
    let time = shown.iter().find_map(|image| image.deprecation_time.clone());
    assert_eq!(time.as_deref(), Some("2026-01-01T10:02:00.000Z"));
    scene.pass(Span::from_mins(3));
    assert!(names(&scene, &Default::default()).contains(&"old".to_string()), "its owner finds it");
    scene.scope.account = "111122223333".into();
    scene.write(|_| Ok(())).expect("the account comes to be");
    assert_eq!(names(&scene, &Default::default()), ["host"]);
    let all = wire::DescribeImagesRequest { include_deprecated: Some(true), ..Default::default() };
    assert_eq!(names(&scene, &all).len(), 2);
    scene.scope.account = "000000000000".into();
    let input = wire::DisableImageDeprecationRequest { image_id: id, ..Default::default() };
    scene.write(|change| disable_image_deprecation(change, &input)).expect("ours");
    assert_eq!(scene.row::<Image>(image.id.as_str()).details.deprecated_at, None);
}

/// CreateImage may change DeleteOnTermination of the root and nothing else of it.
#[test]
fn ec2_8_2_block_devices_of_a_capture() {
    let mut scene = Scene::new();
    let instance = scene.launch(1).remove(0);
    scene.settle();
    let mapping = |device: &str, ebs: wire::EbsBlockDevice| wire::CreateImageRequest {
        no_reboot: Some(true),
        block_device_mappings: vec![wire::BlockDeviceMapping {
            device_name: Some(device.to_string()),
            ebs: Some(ebs),
            ..Default::default()
        }],
        ..of(&instance, "image")
    };
    let keep = wire::EbsBlockDevice { delete_on_termination: Some(false), ..Default::default() };
    let large = wire::EbsBlockDevice { volume_size: Some(100), ..Default::default() };
    for (input, code) in [
        (mapping("/dev/xvda", large), "InvalidBlockDeviceMapping"),
        (mapping("/dev/sdf", keep.clone()), "UnsupportedOperation"),
    ] {
        assert_eq!(create(&mut scene, &input).expect_err(code).code, code);
    }
    let id = create(&mut scene, &mapping("/dev/xvda", keep)).expect("only that");
    assert_eq!(scene.row::<Image>(&id).details.root.delete_on_termination, Some(false));
}

/// An import's row names its layer; public parameters find it by its alias.
#[test]
fn imports_and_public_parameters() {
    use super::launch_data::image_of_parameter as public_parameter;
    const AL2023: &str = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";
    const ARM: &str = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64";
    let mut scene = Scene::new();
    assert_eq!(public_parameter(&scene.view(), AL2023), Some(host_image()));
    assert_eq!(public_parameter(&scene.view(), ARM), None, "no image here is for that");
    let import = Import {
        name: "amazon-linux".to_string(),
        aliases: vec!["al2023".to_string()],
        from: "root.tar".to_string(),
        architecture: "x86_64".to_string(),
        ..Import::default()
    };
    let id: ImageId = scene.write(|change| begin_import(change, &import)).expect("a free name");
    assert_eq!(scene.view().all::<Image>().count(), 1, "no row before the layer");
    scene.write(|change| finish_import(change, &id, &import, 9 << 30)).expect("done");
    let row: Image = scene.row(id.as_str());
    assert_eq!((row.layers, row.phase), (vec![id.clone()], ImagePhase::Available { bytes: 9 << 30 }));
    assert_eq!(public_parameter(&scene.view(), AL2023), Some(id.clone()));
    assert_eq!(public_parameter(&scene.view(), "/aws/service/debian/release/12/latest/amd64"), Some(host_image()));
    assert_eq!(public_parameter(&scene.view(), "/my/parameter"), None);
    let taken = scene.write(|change| begin_import(change, &import)).expect_err("taken");
    assert_eq!(taken.code, "InvalidAMIName.Duplicate");
    deregister(&mut scene, id.as_str(), true).expect("ours");
    // The daemon tells of the layer once its row is written, however soon that went again.
    let told = vec![Fact::Host(HostFact::Layers(vec![id.clone()]))];
    let now = scene.now;
    assert_eq!(layers_gone(&scene.engine.handle(now, told).effects), [id.to_string()]);
}

/// Pages of images and snapshots follow each other.
#[test]
fn pages() {
    let mut scene = Scene::new();
    let image = live(&mut scene, "image-0");
    for number in 1..7 {
        let input = register(&format!("image-{number}"), &image.snapshot);
        scene.write(|change| register_image(change, &input)).expect("of a snapshot");
    }
    let (mut token, mut seen) = (None, Vec::new());
    loop {
        let input = wire::DescribeImagesRequest { max_results: Some(3), next_token: token, ..Default::default() };
        let page = scene.read(|call| describe_images(call, &input)).expect("a page");
        assert!(page.images.len() <= 3);
        seen.extend(page.images.into_iter().filter_map(|image| image.name));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 8);
    let input = wire::DescribeSnapshotsRequest { max_results: Some(4), ..Default::default() };
    let err = scene.read(|call| describe_snapshots(call, &input)).expect_err("too few");
    assert_eq!(err.code, "InvalidParameterValue");
}
