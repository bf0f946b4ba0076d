//! RunInstances: the call on top of its template, then the launch that Auto
//! Scaling groups go through as well; once for each client token.

use super::instances::reservation;
use super::{errors, instances_shape as shape, launch_data};
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

/// Names by which images call their root device; other devices are volumes
/// of their own.
const ROOT_DEVICES: &[&str] = &[shape::ROOT_DEVICE, "/dev/sda1"];

/// RunInstances.
pub fn run_instances(
    change: &mut Change<'_, '_>,
    input: &wire::RunInstancesRequest,
) -> Result<wire::Reservation, ApiError> {
    let said = launch_data::of_call(input)?;
    let view = change.view();
    let (data, template) = merged(&view, input, said.clone())?;
    check(&view, &data)?;
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
        group: None,
    };
    let ids = launch::launch(change, &request).map_err(errors::refused)?;
    errors::dry_run(input.dry_run)?;
    let view = change.view();
    let mut rows = ids.iter().filter_map(|id| view.get::<Instance>(id.as_str())).peekable();
    let mut answer = rows.peek().map(|first| reservation(&view, first)).unwrap_or_default();
    answer.instances = rows.map(|row| shape::shown(&view, row)).collect();
    Ok(answer)
}

/// The call's data on top of its template's, and which template that was.
fn merged(
    view: &View<'_>,
    input: &wire::RunInstancesRequest,
    said: LaunchData,
) -> Result<(LaunchData, Option<(LaunchTemplateId, u64)>), ApiError> {
    let Some(named) = &input.launch_template else { return Ok((said, None)) };
    let (id, name) = (named.launch_template_id.as_deref(), named.launch_template_name.as_deref());
    let (template, version) = launch_data::find_template(view, id, name, named.version.as_deref())?;
    Ok((launch_data::overlay(&version.data, said)?, Some((template.id.clone(), version.number))))
}

/// What launches of groups let pass and a call should not: it would get less
/// than it asked for.
fn check(view: &View<'_>, data: &LaunchData) -> Result<(), ApiError> {
    if let Some(device) = data.block_devices.iter().find(|device| !ROOT_DEVICES.contains(&device.device.as_str())) {
        return Err(errors::unsupported(&format!("A volume besides the root device ({})", device.device)));
    }
    if let (Some(zone), Some(subnet)) = (&data.zone, &data.subnet)
        && let Some(row) = view.get::<Subnet>(subnet.as_str())
        && row.zone != *zone
    {
        let message = format!("The subnet '{subnet}' is in the availability zone '{}', not in '{zone}'", row.zone);
        return Err(errors::invalid_combination(message));
    }
    Ok(())
}

/// An instance that the same token launched before. A token that names a
/// zone or subnet is one of that zone.
fn earlier<'a>(view: &View<'a>, token: &str, data: &LaunchData) -> Result<Option<&'a Arc<Instance>>, ApiError> {
    if token.len() > TOKEN_MAX || !token.is_ascii() {
        let message = format!("Client tokens have at most {TOKEN_MAX} ASCII characters.");
        return Err(ApiError::new("InvalidClientToken", message));
    }
    let of_subnet = data.subnet.as_ref().and_then(|id| view.get::<Subnet>(id.as_str())).map(|subnet| &subnet.zone);
    let zone = of_subnet.or(data.zone.as_ref());
    Ok(view
        .all::<Instance>()
        .find(|row| row.client_token.as_deref() == Some(token) && zone.is_none_or(|zone| row.zone == *zone)))
}

/// A digest of what the call says, in a form that outlives this process.
fn digest(input: &wire::RunInstancesRequest, said: &LaunchData) -> String {
    use std::fmt::Write as _;
    let said = serde_json::to_string(said).expect("rows have a JSON form");
    let mut hasher = Sha256::new();
    hasher.update(said);
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
    answer.instances = rows.iter().map(|row| shape::shown(view, row)).collect();
    answer
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, run, tag};
    use super::*;
    use elastane_domain::time::Time;

    fn launch(scene: &mut Scene, input: &wire::RunInstancesRequest) -> Result<wire::Reservation, ApiError> {
        scene.write(|change| run_instances(change, input))
    }

    fn ids(reservation: &wire::Reservation) -> Vec<String> {
        reservation.instances.iter().filter_map(|instance| instance.instance_id.clone()).collect()
    }

    fn template(scene: &mut Scene, data: LaunchData) -> String {
        let id = "lt-0123456789abcdef0";
        let version = |number: u64, data: &LaunchData| LaunchTemplateVersion {
            number,
            description: None,
            created_at: Time(0),
            created_by: String::new(),
            data: data.clone(),
            client_token: None,
        };
        let small = LaunchData { instance_type: Some("t3.small".to_string()), ..data.clone() };
        scene
            .write(|change| {
                change.put(LaunchTemplate {
                    id: id.into(),
                    name: "web".to_string(),
                    created_at: Time(0),
                    created_by: String::new(),
                    default_version: 1,
                    latest_version: 2,
                    versions: vec![version(1, &data), version(2, &small)],
                    tags: Tags::new(),
                    client_token: None,
                });
                Ok(())
            })
            .expect("a template");
        id.to_string()
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
        let data = LaunchData {
            image: Some(elastane_engine::network::host_image()),
            instance_type: Some("t3.nano".to_string()),
            tags: [("instance".to_string(), Tags::from([("From".to_string(), "template".to_string())]))].into(),
            ..LaunchData::default()
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

    /// What is refused, with which code; nothing is left behind.
    #[test]
    fn refused_launches_leave_nothing() {
        let mut scene = Scene::new();
        let interface = |index: i32| wire::InstanceNetworkInterfaceSpecification {
            device_index: Some(index),
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
            ("UnsupportedOperation", wire::RunInstancesRequest { network_interfaces: vec![interface(1)], ..run(1) }),
            ("UnsupportedOperation", wire::RunInstancesRequest { block_device_mappings: vec![device], ..run(1) }),
            ("UnsupportedOperation", wire::RunInstancesRequest { iam_instance_profile: Some(profile), ..run(1) }),
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
