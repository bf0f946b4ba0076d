//! The instance metadata tree of an instance, from its rows (ec2-imds.md 3).

use crate::launch::host_name;
use crate::row::*;
use crate::state::View;
use elastane_domain::lifecycle::LifecycleState;
use std::collections::BTreeMap;

/// Path to content, without a leading slash: `meta-data/instance-id` and so on.
pub type Entries = BTreeMap<String, String>;

/// Everything that the metadata service serves for an instance besides its
/// user data. What is absent for an instance is absent here, so that every
/// path of a listing can be fetched.
pub fn entries(view: &View<'_>, instance: &Instance) -> Entries {
    let mut entries = Entries::new();
    let local_name = format!("{}.{}", host_name(instance.private_ip), view.scope.private_domain());
    let zone = instance.zone.as_str();
    let region = view.scope.region.as_str();
    for (path, value) in [
        ("ami-id", instance.image.as_str()),
        ("ami-launch-index", &instance.launch_index.to_string()),
        ("ami-manifest-path", "(unknown)"),
        ("block-device-mapping/ami", "/dev/xvda"),
        ("block-device-mapping/root", "/dev/xvda"),
        ("events/maintenance/history", "[]"),
        ("events/maintenance/scheduled", "[]"),
        ("hostname", &local_name),
        ("instance-action", "none"),
        ("instance-id", instance.id.as_str()),
        ("instance-life-cycle", "on-demand"),
        ("instance-type", &instance.instance_type),
        ("local-hostname", &local_name),
        ("local-ipv4", &instance.private_ip.to_string()),
        ("mac", &mac(instance)),
        ("placement/availability-zone", zone),
        ("placement/availability-zone-id", &zone_id(zone, region)),
        ("placement/region", region),
        ("profile", "default-hvm"),
        ("reservation-id", &instance.reservation),
        ("security-groups", &security_group_names(view, instance)),
        ("services/domain", "amazonaws.com"),
        ("services/partition", "aws"),
    ] {
        entries.insert(format!("meta-data/{path}"), value.to_string());
    }
    interface(view, instance, &local_name, &mut entries);
    optional(view, instance, &mut entries);
    let monitoring = if instance.monitoring { "enabled" } else { "disabled" };
    entries.insert("dynamic/fws/instance-monitoring".to_string(), monitoring.to_string());
    entries.insert("dynamic/instance-identity/document".to_string(), identity_document(view, instance));
    entries
}

/// The primary interface's MAC address: locally administered, from the private address.
pub fn mac(instance: &Instance) -> String {
    let [a, b, c, d] = instance.private_ip.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// `use1-az1` for `us-east-1a`: initials of the region's words, then the
/// place of the zone's letter. Real accounts see a mapping of their own.
pub fn zone_id(zone: &str, region: &str) -> String {
    let words: Vec<&str> = region.split('-').collect();
    let short: String = match words.as_slice() {
        [area, direction, number] => {
            let direction = match *direction {
                "northeast" => "ne",
                "southeast" => "se",
                "northwest" => "nw",
                "southwest" => "sw",
                other => &other[..other.len().min(1)],
            };
            format!("{area}{direction}{number}")
        }
        _ => region.replace('-', ""),
    };
    let place = zone.bytes().last().map_or(1, |letter| u32::from(letter.saturating_sub(b'a')) + 1);
    format!("{short}-az{place}")
}

fn security_group_names(view: &View<'_>, instance: &Instance) -> String {
    let names: Vec<&str> = instance
        .security_groups
        .iter()
        .filter_map(|id| view.get::<SecurityGroup>(id.as_str()).map(|group| group.name.as_str()))
        .collect();
    names.join("\n")
}

fn interface(view: &View<'_>, instance: &Instance, local_name: &str, entries: &mut Entries) {
    let base = format!("meta-data/network/interfaces/macs/{}", mac(instance));
    let mut put = |name: &str, value: String| entries.insert(format!("{base}/{name}"), value);
    put("device-number", "0".to_string());
    put("interface-id", instance.interface.clone());
    put("local-hostname", local_name.to_string());
    put("local-ipv4s", instance.private_ip.to_string());
    put("mac", mac(instance));
    put("network-card-index", "0".to_string());
    put("owner-id", view.scope.account.to_string());
    put("security-groups", security_group_names(view, instance));
    let ids: Vec<&str> = instance.security_groups.iter().map(|id| id.as_str()).collect();
    put("security-group-ids", ids.join("\n"));
    put("subnet-id", instance.subnet.to_string());
    put("vpc-id", instance.vpc.to_string());
    if let Some(subnet) = view.get::<Subnet>(instance.subnet.as_str()) {
        put("subnet-ipv4-cidr-block", subnet.cidr.to_string());
    }
    if let Some(vpc) = view.get::<Vpc>(instance.vpc.as_str()) {
        put("vpc-ipv4-cidr-block", vpc.cidr.to_string());
        put("vpc-ipv4-cidr-blocks", vpc.cidr.to_string());
    }
}

/// Items that only some instances have.
fn optional(view: &View<'_>, instance: &Instance, entries: &mut Entries) {
    if let Some(membership) = &instance.membership {
        let state = match membership.lifecycle {
            LifecycleState::Pending | LifecycleState::InService => LifecycleState::InService,
            LifecycleState::Terminating | LifecycleState::Terminated => LifecycleState::Terminated,
        };
        entries.insert("meta-data/autoscaling/target-lifecycle-state".to_string(), state.name().to_string());
    }
    if let Some(key) = instance.key_name.as_ref().and_then(|name| view.get::<KeyPair>(name)) {
        entries.insert("meta-data/public-keys/0/openssh-key".to_string(), key.public_key.clone());
    }
    if instance.metadata.tags {
        for (key, value) in &instance.tags {
            entries.insert(format!("meta-data/tags/instance/{key}"), value.clone());
        }
    }
}

/// The instance identity document (ec2-imds.md 4.2). It is not signed: there
/// is no key that anybody would trust.
fn identity_document(view: &View<'_>, instance: &Instance) -> String {
    let document = serde_json::json!({
        "accountId": view.scope.account,
        "architecture": "x86_64",
        "availabilityZone": instance.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": null,
        "marketplaceProductCodes": null,
        "pendingTime": instance.launched_at.iso_seconds(),
        "privateIp": instance.private_ip,
        "ramdiskId": null,
        "region": view.scope.region,
        "version": "2017-09-30",
    });
    serde_json::to_string_pretty(&document).expect("a JSON value prints")
}
