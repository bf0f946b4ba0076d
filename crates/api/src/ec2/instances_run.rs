//! RunInstances: the call on top of its template, then the launch that Auto
//! Scaling groups go through as well; once for each client token.

use super::images::volume_gib;
use super::instances::reservation;
use super::interface_shape::Cards;
use super::launch_data::{self, Said};
use super::{errors, instances_shape as shape};
use crate::Change;
use elastane_domain::id::LaunchTemplateId;
use elastane_engine::View;
use elastane_engine::launch::{self, Request};
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Characters of a client token (EC2 Developer Guide, "Ensuring idempotency").
const TOKEN_MAX: usize = 64;

/// RunInstances.
pub fn run_instances(
    change: &mut Change<'_, '_>,
    input: &wire::RunInstancesRequest,
) -> Result<wire::Reservation, ApiError> {
    let said = Said::by_call(input)?;
    let view = change.view();
    let (data, template) = merged(&view, input, said.clone())?;
    check_size(&view, &data)?;
    let token = launch_data::text(&input.client_token);
    let digest = token.as_ref().map(|_| digest(input, &said));
    if let Some(token) = &token
        && let Some(earlier) = earlier(&view, token, &data)?
    {
        if earlier.request_digest != digest {
            return Err(errors::token_mismatch());
        }
        errors::dry_run(input.dry_run)?;
        return Ok(launched(&view, &earlier.reservation));
    }
    let count = |count: Option<i32>| count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let request = Request {
        data,
        template,
        count_min: count(input.min_count),
        count_max: count(input.max_count),
        client_token: token,
        request_digest: digest,
        membership: None,
    };
    let ids = launch::launch(change, &request).map_err(errors::refused)?;
    errors::dry_run(input.dry_run)?;
    let view = change.view();
    let mut rows = ids.iter().filter_map(|id| view.get::<Instance>(id.as_str())).peekable();
    let mut answer = rows.peek().map(|first| reservation(&view, first)).unwrap_or_default();
    let cards = Cards::of(&view);
    answer.instances = rows.map(|row| shape::shown(&cards, row)).collect();
    Ok(answer)
}

/// The call's data on top of its template's, and which template that was.
fn merged(
    view: &View<'_>,
    input: &wire::RunInstancesRequest,
    said: Said,
) -> Result<(LaunchData, Option<(LaunchTemplateId, u64)>), ApiError> {
    let (said, template) = match &input.launch_template {
        None => (said, None),
        Some(named) => {
            let (id, name) = (named.launch_template_id.as_deref(), named.launch_template_name.as_deref());
            let (template, version) = launch_data::find_template(view, id, name, named.version.as_deref())?;
            (said.over(&launch_data::said(&version.data)), Some((template.id.clone(), version.number)))
        }
    };
    let mut data = said.read()?;
    if let Some(name) = &data.image_parameter {
        data.image = launch_data::image_of_parameter(view, name);
    }
    Ok((data, template))
}

/// The root device is not smaller than its image's.
fn check_size(view: &View<'_>, data: &LaunchData) -> Result<(), ApiError> {
    let Some(image) = data.image.as_ref().and_then(|id| elastane_engine::images::find(view, id.as_str())) else {
        return Ok(());
    };
    let least = i32::try_from(volume_gib(image.1)).unwrap_or(i32::MAX);
    match data.block_devices.iter().filter_map(|device| device.size_gib).find(|size| *size < least) {
        None => Ok(()),
        Some(size) => {
            let message = format!(
                "Volume of size {size}GB is smaller than snapshot '{}', expect size >= {least}GB",
                image.1.snapshot
            );
            Err(ApiError::new("InvalidBlockDeviceMapping", message))
        }
    }
}

/// An instance that the same token launched before. A token that names a
/// zone or subnet is one of that zone.
fn earlier<'a>(view: &View<'a>, token: &str, data: &LaunchData) -> Result<Option<&'a Arc<Instance>>, ApiError> {
    if token.len() > TOKEN_MAX || !token.is_ascii() {
        let message = format!("Client tokens have at most {TOKEN_MAX} ASCII characters.");
        return Err(ApiError::new("InvalidClientToken", message));
    }
    let primary = data.interfaces.iter().find(|choice| choice.device == 0);
    let subnet = data.subnet.as_ref().or_else(|| primary?.subnet.as_ref());
    let of_subnet = subnet.and_then(|id| view.get::<Subnet>(id.as_str())).map(|subnet| &subnet.zone);
    let zone = of_subnet.or(data.placement.zone.as_ref());
    Ok(view
        .all::<Instance>()
        .find(|row| row.client_token.as_deref() == Some(token) && zone.is_none_or(|zone| row.zone == *zone)))
}

/// A digest of what the call says, in a form that outlives this process.
fn digest(input: &wire::RunInstancesRequest, said: &Said) -> String {
    use std::fmt::Write as _;
    let mut hasher = Sha256::new();
    hasher.update(elastane_wire::to_json(&wire::REQUEST_LAUNCH_TEMPLATE_DATA, &said.data));
    hasher.update(format!("{:?} {:?}", said.subnet, said.private_ip));
    let template = input.launch_template.clone().unwrap_or_default();
    for part in [template.launch_template_id, template.launch_template_name, template.version] {
        hasher.update([0]);
        hasher.update(part.unwrap_or_default());
    }
    for count in [input.min_count, input.max_count] {
        hasher.update(count.unwrap_or_default().to_be_bytes());
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

/// A reservation as it is now.
fn launched(view: &View<'_>, id: &str) -> wire::Reservation {
    let mut rows: Vec<&Arc<Instance>> = view.all::<Instance>().filter(|row| row.reservation == id).collect();
    rows.sort_unstable_by_key(|row| row.launch_index);
    let mut answer = rows.first().map(|first| reservation(view, first)).unwrap_or_default();
    let cards = Cards::of(view);
    answer.instances = rows.iter().map(|row| shape::shown(&cards, row)).collect();
    answer
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, run, tag};
    use super::*;

    fn launch(scene: &mut Scene, input: &wire::RunInstancesRequest) -> Result<wire::Reservation, ApiError> {
        scene.write(|change| run_instances(change, input))
    }

    fn ids(reservation: &wire::Reservation) -> Vec<String> {
        reservation.instances.iter().filter_map(|instance| instance.instance_id.clone()).collect()
    }

    /// A template of two versions: the first as given, the second of another type.
    fn template(scene: &mut Scene, data: wire::RequestLaunchTemplateData) -> String {
        let first = wire::CreateLaunchTemplateRequest {
            launch_template_name: Some("web".to_string()),
            launch_template_data: Some(data),
            ..Default::default()
        };
        let made = scene.write(|change| super::super::create_launch_template(change, &first)).expect("a template");
        let id = made.launch_template.and_then(|template| template.launch_template_id);
        let small = wire::RequestLaunchTemplateData { instance_type: Some("t3.small".into()), ..Default::default() };
        let second = wire::CreateLaunchTemplateVersionRequest {
            launch_template_id: id.clone(),
            source_version: Some("1".to_string()),
            launch_template_data: Some(small),
            ..Default::default()
        };
        scene.write(|change| super::super::create_launch_template_version(change, &second)).expect("a version");
        id.expect("an id")
    }

    /// Instances of one call share a reservation and are numbered; tags and
    /// defaults are there; the answer is the one of a pending instance.
    #[test]
    fn ec2_8_1_one_reservation() {
        let mut scene = Scene::new();
        let mut input = run(3);
        input.tag_specifications = vec![
            wire::TagSpecification { resource_type: Some("instance".into()), tags: vec![tag("Name", "web")] },
            wire::TagSpecification { resource_type: Some("volume".into()), tags: vec![tag("Disk", "root")] },
        ];
        let answer = launch(&mut scene, &input).expect("a launch");
        let indexes: Vec<Option<i32>> = answer.instances.iter().map(|instance| instance.ami_launch_index).collect();
        assert_eq!(indexes, [Some(0), Some(1), Some(2)]);
        let first = &answer.instances[0];
        let state = first.state.clone().expect("a state");
        assert_eq!((state.code, state.name.as_deref()), (Some(0), Some("pending")));
        assert_eq!(first.state_reason.clone().and_then(|reason| reason.code).as_deref(), Some("pending"));
        assert_eq!(first.tags, [tag("Name", "web")]);
        assert_eq!(first.security_groups[0].group_name.as_deref(), Some("default"));
        assert_eq!(first.network_interfaces[0].attachment.clone().and_then(|found| found.device_index), Some(0));
        let row = scene.row::<Instance>(&ids(&answer)[1]);
        assert_eq!((row.reservation, row.volume_tags.len()), (answer.reservation_id.expect("an id"), 1));
    }

    /// The call's members are on top of the template's, by version, and the
    /// instance carries the template's system tags.
    #[test]
    fn ec2_7_launch_from_a_template() {
        let mut scene = Scene::new();
        let data = wire::RequestLaunchTemplateData {
            image_id: run(1).image_id,
            instance_type: Some("t3.nano".to_string()),
            tag_specifications: vec![wire::LaunchTemplateTagSpecificationRequest {
                resource_type: Some("instance".to_string()),
                tags: vec![tag("From", "template")],
            }],
            ..Default::default()
        };
        let id = template(&mut scene, data);
        for (version, own_type, expected, number) in [
            (None, None, "t3.nano", "1"),
            (Some("$Default"), None, "t3.nano", "1"),
            (Some("$Latest"), None, "t3.small", "2"),
            (Some("2"), Some("m5.large"), "m5.large", "2"),
        ] {
            let specification = wire::LaunchTemplateSpecification {
                launch_template_id: Some(id.clone()),
                version: version.map(str::to_string),
                ..Default::default()
            };
            let input = wire::RunInstancesRequest {
                image_id: None,
                instance_type: own_type.map(str::to_string),
                launch_template: Some(specification),
                ..run(1)
            };
            let answer = launch(&mut scene, &input).expect("a launch");
            let row = scene.row::<Instance>(&ids(&answer)[0]);
            assert_eq!(row.instance_type, expected, "{version:?}");
            assert_eq!(row.tags["aws:ec2launchtemplate:version"], number);
            assert_eq!(
                (row.tags["aws:ec2launchtemplate:id"].as_str(), row.tags["From"].as_str()),
                (id.as_str(), "template")
            );
        }
        for (name, version, code) in [
            ("web", "9", "InvalidLaunchTemplateId.VersionNotFound"),
            ("api", "1", "InvalidLaunchTemplateName.NotFoundException"),
        ] {
            let specification = wire::LaunchTemplateSpecification {
                launch_template_name: Some(name.to_string()),
                version: Some(version.to_string()),
                ..Default::default()
            };
            let input = wire::RunInstancesRequest { launch_template: Some(specification), ..run(1) };
            assert_eq!(launch(&mut scene, &input).expect_err(code).code, code);
        }
    }

    /// One token launches once; with other parameters it is refused; in
    /// another zone it is another token.
    #[test]
    fn ec2_8_1_client_tokens() {
        let mut scene = Scene::new();
        let input = wire::RunInstancesRequest { client_token: Some("once".to_string()), ..run(2) };
        let first = launch(&mut scene, &input).expect("a launch");
        scene.settle();
        let again = launch(&mut scene, &input).expect("the same");
        assert_eq!((ids(&first), &first.reservation_id), (ids(&again), &again.reservation_id));
        assert_eq!(again.instances[0].state.clone().and_then(|state| state.code), Some(16));
        let other = wire::RunInstancesRequest { max_count: Some(3), ..input.clone() };
        assert_eq!(launch(&mut scene, &other).expect_err("another count").code, "IdempotentParameterMismatch");
        let placement = wire::Placement { availability_zone: Some("us-east-1b".to_string()), ..Default::default() };
        let zonal = wire::RunInstancesRequest { placement: Some(placement), ..input.clone() };
        assert_ne!(ids(&launch(&mut scene, &zonal).expect("another zone")), ids(&again));
        let long = wire::RunInstancesRequest { client_token: Some("x".repeat(65)), ..run(1) };
        assert_eq!(launch(&mut scene, &long).expect_err("too long").code, "InvalidClientToken");
    }

    /// Several interfaces: new ones with secondary addresses and one that
    /// exists; each has its device index, and the instance the primary address.
    #[test]
    fn interfaces_of_a_launch() {
        let mut scene = Scene::new();
        let view = scene.view();
        let zone = elastane_domain::id::Zone::from("us-east-1b");
        let subnet = elastane_engine::network::default_subnet(&view, &zone).expect("a subnet").id.to_string();
        let made = wire::CreateNetworkInterfaceRequest { subnet_id: Some(subnet.clone()), ..Default::default() };
        let made = scene.write(|change| super::super::create_network_interface(change, &made)).expect("made");
        let existing = made.network_interface.and_then(|row| row.network_interface_id).expect("an id");
        let mut input = run(1);
        input.network_interfaces = vec![
            wire::InstanceNetworkInterfaceSpecification {
                device_index: Some(1),
                network_interface_id: Some(existing.clone()),
                ..Default::default()
            },
            wire::InstanceNetworkInterfaceSpecification {
                device_index: Some(0),
                subnet_id: Some(subnet),
                secondary_private_ip_address_count: Some(1),
                ..Default::default()
            },
        ];
        let answer = launch(&mut scene, &input).expect("a launch");
        let row = scene.row::<Instance>(&ids(&answer)[0]);
        let view = scene.view();
        let cards = elastane_engine::network::interfaces_of(&view, &row.id);
        let shape: Vec<(u16, usize)> = cards
            .iter()
            .map(|card| (card.attachment.as_ref().expect("attached").device, card.addresses.len()))
            .collect();
        assert_eq!(shape, [(0, 2), (1, 1)]);
        assert_eq!((row.private_ip, &row.interface), (cards[0].primary(), &cards[0].id));
        assert_eq!((cards[1].id.as_str(), row.zone), (existing.as_str(), zone));
        let err = launch(&mut scene, &input).expect_err("attached already");
        assert_eq!(err.code, "InvalidNetworkInterface.InUse");
    }

    /// A spread group takes seven instances in a zone.
    #[test]
    fn spread_groups_are_limited() {
        let mut scene = Scene::new();
        let group = PlacementGroup {
            name: "spread".to_string(),
            id: "pg-1".to_string(),
            strategy: "spread".to_string(),
            partitions: None,
            spread_level: None,
            tags: Tags::new(),
        };
        scene
            .write(|change| {
                change.put(group);
                Ok(())
            })
            .expect("a group");
        let placed = |min: i32, max: i32| wire::RunInstancesRequest {
            min_count: Some(min),
            placement: Some(wire::Placement { group_name: Some("spread".to_string()), ..Default::default() }),
            ..run(max)
        };
        let answer = launch(&mut scene, &placed(1, 9)).expect("as many as fit");
        assert_eq!(answer.instances.len(), 7);
        let shown = answer.instances[0].placement.clone().expect("a placement");
        assert_eq!(
            (shown.group_name.as_deref(), shown.availability_zone.as_deref()),
            (Some("spread"), Some("us-east-1a"))
        );
        let err = launch(&mut scene, &placed(1, 1)).expect_err("full");
        assert_eq!((err.code.as_ref(), err.status), ("InsufficientInstanceCapacity", 500));
    }

    /// What is refused, with which code; nothing is left behind.
    #[test]
    fn refused_launches_leave_nothing() {
        let mut scene = Scene::new();
        let interface = |index: i32| wire::InstanceNetworkInterfaceSpecification {
            device_index: Some(index),
            ..Default::default()
        };
        let existing = |id: &str| wire::InstanceNetworkInterfaceSpecification {
            network_interface_id: Some(id.to_string()),
            ..interface(0)
        };
        let root = |size: i32| wire::BlockDeviceMapping {
            device_name: Some("/dev/xvda".to_string()),
            ebs: Some(wire::EbsBlockDevice { volume_size: Some(size), ..Default::default() }),
            ..Default::default()
        };
        let device = wire::BlockDeviceMapping { device_name: Some("/dev/sdb".to_string()), ..Default::default() };
        let profile = wire::IamInstanceProfileSpecification { name: Some("web".to_string()), ..Default::default() };
        let cases: Vec<(&str, wire::RunInstancesRequest)> = vec![
            ("MissingParameter", wire::RunInstancesRequest { image_id: None, ..run(1) }),
            ("InvalidAMIID.Malformed", wire::RunInstancesRequest { image_id: Some("ami-x".into()), ..run(1) }),
            (
                "InvalidAMIID.NotFound",
                wire::RunInstancesRequest { image_id: Some("ami-0123456789abcdef0".into()), ..run(1) },
            ),
            ("InvalidParameterValue", run(0)),
            ("InvalidParameterValue", wire::RunInstancesRequest { min_count: Some(2), ..run(1) }),
            ("InvalidUserData.Malformed", wire::RunInstancesRequest { user_data: Some("#!/bin/sh".into()), ..run(1) }),
            ("InvalidKeyPair.NotFound", wire::RunInstancesRequest { key_name: Some("none".into()), ..run(1) }),
            ("InvalidParameterValue", wire::RunInstancesRequest { network_interfaces: vec![interface(1)], ..run(1) }),
            (
                "AttachmentLimitExceeded",
                wire::RunInstancesRequest { network_interfaces: (0..3).map(interface).collect(), ..run(1) },
            ),
            (
                "InvalidNetworkInterfaceID.NotFound",
                wire::RunInstancesRequest { network_interfaces: vec![existing("eni-0123456789abcdef0")], ..run(1) },
            ),
            ("InvalidBlockDeviceMapping", wire::RunInstancesRequest { block_device_mappings: vec![root(7)], ..run(1) }),
            ("UnsupportedOperation", wire::RunInstancesRequest { block_device_mappings: vec![device], ..run(1) }),
            ("InvalidParameterValue", wire::RunInstancesRequest { iam_instance_profile: Some(profile), ..run(1) }),
            (
                "InvalidParameterCombination",
                wire::RunInstancesRequest {
                    network_interfaces: vec![interface(0)],
                    subnet_id: Some("subnet-01234567".into()),
                    ..run(1)
                },
            ),
            ("DryRunOperation", wire::RunInstancesRequest { dry_run: Some(true), ..run(1) }),
        ];
        for (code, input) in cases {
            assert_eq!(launch(&mut scene, &input).expect_err(code).code, code);
        }
        assert_eq!(scene.view().all::<Instance>().count(), 0);
    }
}
