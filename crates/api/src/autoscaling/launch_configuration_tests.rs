//! Launch configurations and the groups that launch from them.

use super::testing::{Plane, group_request};
use elastane_domain::time::Span;
use elastane_engine::network;
use elastane_engine::row::Instance;
use elastane_wire::{ApiError, autoscaling as wire};

fn request(name: &str) -> wire::CreateLaunchConfigurationType {
    wire::CreateLaunchConfigurationType {
        launch_configuration_name: Some(name.to_string()),
        image_id: Some(network::host_image().to_string()),
        instance_type: Some("t3.small".to_string()),
        ..Default::default()
    }
}

fn create(plane: &mut Plane, input: wire::CreateLaunchConfigurationType) -> Result<(), ApiError> {
    plane.write(|change| super::create_launch_configuration(change, &input)).map(|_| ())
}

fn delete(plane: &mut Plane, name: &str) -> Result<(), ApiError> {
    let input = wire::LaunchConfigurationNameType { launch_configuration_name: Some(name.to_string()) };
    plane.write(|change| super::delete_launch_configuration(change, &input)).map(|_| ())
}

fn described(plane: &Plane, input: &wire::LaunchConfigurationNamesType) -> wire::LaunchConfigurationsType {
    plane.read(|call| super::describe_launch_configurations(call, input)).expect("a good request")
}

fn one(plane: &Plane, name: &str) -> wire::LaunchConfiguration {
    let input =
        wire::LaunchConfigurationNamesType { launch_configuration_names: vec![name.to_string()], ..Default::default() };
    described(plane, &input).launch_configurations.into_iter().next().expect("it exists")
}

fn instance(plane: &mut Plane, id: &str) -> Instance {
    plane.write(|change| Ok((*change.get::<Instance>(id).expect("it exists")).clone())).expect("reading does not fail")
}

fn group(plane: &mut Plane, source: wire::CreateAutoScalingGroupType) -> Result<(), ApiError> {
    let input = wire::CreateAutoScalingGroupType { launch_template: None, ..source };
    plane.write(|change| super::create_auto_scaling_group(change, &input)).map(|_| ())
}

fn update(plane: &mut Plane, input: wire::UpdateAutoScalingGroupType) -> Result<(), ApiError> {
    let input = wire::UpdateAutoScalingGroupType { auto_scaling_group_name: Some("web".to_string()), ..input };
    plane.write(|change| super::update_auto_scaling_group(change, &input)).map(|_| ())
}

/// What was said is shown as it was said; monitoring is detailed unless it is
/// said otherwise.
#[test]
fn autoscaling_1_1_launch_configuration_shown() {
    let mut plane = Plane::new();
    let said = wire::CreateLaunchConfigurationType {
        associate_public_ip_address: Some(true),
        block_device_mappings: vec![wire::BlockDeviceMapping {
            device_name: Some("/dev/xvda".to_string()),
            ebs: Some(wire::Ebs { volume_size: Some(20), volume_type: Some("gp3".to_string()), ..Default::default() }),
            ..Default::default()
        }],
        metadata_options: Some(wire::InstanceMetadataOptions {
            http_tokens: Some("required".to_string()),
            ..Default::default()
        }),
        spot_price: Some("0.01".to_string()),
        user_data: Some("ZWNobw==".to_string()),
        ..request("full")
    };
    create(&mut plane, said.clone()).expect("a good request");
    create(
        &mut plane,
        wire::CreateLaunchConfigurationType {
            instance_monitoring: Some(wire::InstanceMonitoring { enabled: Some(false) }),
            ..request("plain")
        },
    )
    .expect("a good request");
    let full = one(&plane, "full");
    assert_eq!(full.associate_public_ip_address, Some(true));
    assert_eq!(full.block_device_mappings, said.block_device_mappings);
    assert_eq!(full.metadata_options, said.metadata_options);
    assert_eq!((full.spot_price.as_deref(), full.user_data.as_deref()), (Some("0.01"), Some("ZWNobw==")));
    assert_eq!(full.instance_monitoring, Some(wire::InstanceMonitoring { enabled: Some(true) }));
    let arn = full.launch_configuration_arn.expect("it has one");
    assert!(arn.ends_with(":launchConfigurationName/full") && arn.contains(":launchConfiguration:"), "{arn}");
    let plain = one(&plane, "plain");
    assert_eq!(plain.instance_monitoring, Some(wire::InstanceMonitoring { enabled: Some(false) }));
    assert_eq!((plain.spot_price, plain.associate_public_ip_address), (None, None));
    let input = wire::LaunchConfigurationNamesType { max_records: Some(1), ..Default::default() };
    let page = described(&plane, &input);
    assert_eq!((page.launch_configurations.len(), page.next_token.is_some()), (1, true));
}

/// A group launches from a configuration, shows it, keeps it from being
/// deleted, and changes to a template and back.
#[test]
fn autoscaling_1_1_group_of_launch_configuration() {
    let mut plane = Plane::new();
    create(&mut plane, request("web")).expect("a good request");
    let source = wire::CreateAutoScalingGroupType {
        launch_configuration_name: Some("web".to_string()),
        ..group_request("web", 1, 3, 1)
    };
    group(&mut plane, source).expect("a good group");
    plane.pass(Span::from_secs(1));
    let shown = plane.group("web");
    assert_eq!((shown.launch_configuration_name.as_deref(), shown.launch_template), (Some("web"), None));
    assert_eq!(shown.instances[0].launch_configuration_name.as_deref(), Some("web"));
    assert_eq!(shown.instances[0].launch_template, None);
    let id = plane.members("web").remove(0);
    let row = instance(&mut plane, &id);
    assert_eq!((row.monitoring, row.instance_type.as_str()), (true, "t3.small"));
    let err = delete(&mut plane, "web").expect_err("it is used");
    assert_eq!(err.code, "ResourceInUse");

    let template = group_request("web", 0, 0, 0).launch_template;
    update(&mut plane, wire::UpdateAutoScalingGroupType { launch_template: template, ..Default::default() })
        .expect("a good template");
    assert_eq!(plane.group("web").launch_configuration_name, None);
    assert_eq!(plane.group("web").instances[0].launch_configuration_name.as_deref(), Some("web"));
    let back =
        wire::UpdateAutoScalingGroupType { launch_configuration_name: Some("web".to_string()), ..Default::default() };
    update(&mut plane, back).expect("a good configuration");
    let shown = plane.group("web");
    assert_eq!((shown.launch_configuration_name.as_deref(), shown.launch_template), (Some("web"), None));
    let template = group_request("web", 0, 0, 0).launch_template;
    update(&mut plane, wire::UpdateAutoScalingGroupType { launch_template: template, ..Default::default() })
        .expect("a good template");
    delete(&mut plane, "web").expect("nobody uses it");
    let err = delete(&mut plane, "web").expect_err("it is gone");
    assert!(err.message.contains("not found"), "{}", err.message);
}

/// A configuration with a spot price launches spot instances.
#[test]
fn autoscaling_1_1_spot_of_launch_configuration() {
    let mut plane = Plane::new();
    create(&mut plane, wire::CreateLaunchConfigurationType { spot_price: Some("0.02".to_string()), ..request("web") })
        .expect("a good request");
    let source = wire::CreateAutoScalingGroupType {
        launch_configuration_name: Some("web".to_string()),
        ..group_request("web", 1, 3, 1)
    };
    group(&mut plane, source).expect("a good group");
    plane.pass(Span::from_secs(1));
    let id = plane.members("web").remove(0);
    assert!(instance(&mut plane, &id).spot_request.is_some());
}

/// An instance becomes a configuration, also that of a group, which has the
/// group's name.
#[test]
fn autoscaling_1_1_launch_configuration_of_instance() {
    let mut plane = Plane::new();
    create(
        &mut plane,
        wire::CreateLaunchConfigurationType { user_data: Some("ZWNobw==".to_string()), ..request("web") },
    )
    .expect("a good request");
    let source = wire::CreateAutoScalingGroupType {
        launch_configuration_name: Some("web".to_string()),
        ..group_request("web", 1, 3, 1)
    };
    group(&mut plane, source).expect("a good group");
    plane.pass(Span::from_secs(1));
    let id = plane.members("web").remove(0);
    let said = wire::CreateLaunchConfigurationType {
        launch_configuration_name: Some("copy".to_string()),
        instance_id: Some(id.clone()),
        instance_type: Some("t3.large".to_string()),
        ..Default::default()
    };
    create(&mut plane, said).expect("a good request");
    let copy = one(&plane, "copy");
    assert_eq!(copy.instance_type.as_deref(), Some("t3.large"));
    assert_eq!(copy.image_id, Some(network::host_image().to_string()));
    assert_eq!(copy.user_data.as_deref(), Some("ZWNobw=="));
    assert_eq!(copy.security_groups.len(), 1, "its own");

    let source = wire::CreateAutoScalingGroupType { instance_id: Some(id), ..group_request("other", 1, 1, 1) };
    group(&mut plane, source).expect("a good group");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.group("other").launch_configuration_name.as_deref(), Some("other"));
    assert_eq!(plane.group("other").instances[0].instance_type.as_deref(), Some("t3.small"));
}

/// What AWS refuses, and what has no meaning here.
#[test]
fn autoscaling_18_launch_configurations_refused() {
    let mut plane = Plane::new();
    create(&mut plane, request("taken")).expect("a good request");
    let text = |text: &str| Some(text.to_string());
    let configuration = || request("new");
    for (input, code, part) in [
        (request("taken"), "AlreadyExists", "already exists"),
        (
            wire::CreateLaunchConfigurationType { image_id: None, ..configuration() },
            "ValidationError",
            "both the ImageId and InstanceType",
        ),
        (
            wire::CreateLaunchConfigurationType { instance_type: text("x9.large"), ..configuration() },
            "ValidationError",
            "Invalid instance type",
        ),
        (
            wire::CreateLaunchConfigurationType { key_name: text("none"), ..configuration() },
            "ValidationError",
            "The key pair 'none' does not exist",
        ),
        (
            wire::CreateLaunchConfigurationType { iam_instance_profile: text("none"), ..configuration() },
            "ValidationError",
            "Invalid IamInstanceProfile: none",
        ),
        (
            wire::CreateLaunchConfigurationType { placement_tenancy: text("dedicated"), ..configuration() },
            "ValidationError",
            "not supported",
        ),
        (
            wire::CreateLaunchConfigurationType { kernel_id: text("aki-1"), ..configuration() },
            "ValidationError",
            "KernelId",
        ),
        (
            wire::CreateLaunchConfigurationType { instance_id: text("i-none"), ..configuration() },
            "ValidationError",
            "Invalid instance ID",
        ),
    ] {
        let err = create(&mut plane, input).expect_err(part);
        assert!(err.code == code && err.message.contains(part), "{part}: {} {}", err.code, err.message);
    }
    for index in 1..200 {
        create(&mut plane, request(&format!("many-{index}"))).expect("below the limit");
    }
    assert_eq!(create(&mut plane, request("one-too-many")).expect_err("the limit").code, "LimitExceeded");
    let source =
        wire::CreateAutoScalingGroupType { launch_configuration_name: text("none"), ..group_request("web", 0, 0, 0) };
    let err = group(&mut plane, source).expect_err("no such configuration");
    assert!(err.message.contains("Launch configuration name not found"), "{}", err.message);
}
