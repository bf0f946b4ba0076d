//! The instance metadata tree of an instance, from its rows (ec2-imds.md 3).
//!
//! What is absent for an instance is absent here, so that every path of a
//! listing can be fetched. Signatures and credentials are not made here: they
//! need secrets, which live at the edge. [`role`] says whose credentials an
//! instance may have.

mod interfaces;
pub mod role;

use crate::launch::host_name;
use crate::network::{interfaces_of, primary_interface};
use crate::row::*;
use crate::state::View;
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::Span;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Path to content, without a leading slash: `meta-data/instance-id` and so on.
pub type Entries = BTreeMap<String, String>;

/// The path of the identity document; what signs it lists its forms beside it.
pub const IDENTITY_DOCUMENT: &str = "dynamic/instance-identity/document";

/// The device that the root volume shows as.
const ROOT_DEVICE: &str = "/dev/xvda";

/// A spot notice is given so long before the interruption (EC2 User Guide,
/// "Spot Instance interruption notices").
const SPOT_NOTICE: Span = Span::from_mins(2);

/// Everything that the metadata service serves for an instance besides its
/// user data, signatures and credentials.
pub fn entries(view: &View<'_>, instance: &Instance) -> Entries {
    let mut entries = Entries::new();
    let zone = instance.zone.as_str();
    let region = view.scope.region.as_str();
    let local_name = private_name(view, instance, instance.private_ip);
    for (path, value) in [
        ("ami-id", instance.image.as_str()),
        ("ami-launch-index", &instance.launch_index.to_string()),
        ("ami-manifest-path", "(unknown)"),
        ("block-device-mapping/ami", ROOT_DEVICE),
        ("block-device-mapping/root", ROOT_DEVICE),
        ("events/maintenance/history", "[]"),
        ("events/maintenance/scheduled", "[]"),
        ("hostname", &local_name),
        ("instance-action", "none"),
        ("instance-id", instance.id.as_str()),
        ("instance-life-cycle", if instance.spot_request.is_some() { "spot" } else { "on-demand" }),
        ("instance-type", &instance.instance_type),
        ("local-hostname", &local_name),
        ("local-ipv4", &instance.private_ip.to_string()),
        ("mac", &mac(instance)),
        ("placement/availability-zone", zone),
        ("placement/availability-zone-id", &zone_id(zone, region)),
        ("placement/region", region),
        ("profile", "default-hvm"),
        ("reservation-id", &instance.reservation),
        ("services/domain", "amazonaws.com"),
        ("services/partition", "aws"),
        ("system", "nitro"),
    ] {
        entries.insert(format!("meta-data/{path}"), value.to_string());
    }
    for interface in interfaces_of(view, &instance.id) {
        interfaces::put(view, instance, interface, &mut entries);
    }
    if let Some(primary) = primary_interface(view, instance) {
        interfaces::put_primary(view, primary, &mut entries);
    }
    optional(view, instance, &mut entries);
    spot(view, instance, &mut entries);
    role::put(view, instance, &mut entries);
    let monitoring = if instance.monitoring { "enabled" } else { "disabled" };
    entries.insert("dynamic/fws/instance-monitoring".to_string(), monitoring.to_string());
    entries.insert(IDENTITY_DOCUMENT.to_string(), identity_document(view, instance));
    entries
}

/// The MAC address of the interface with this primary private address:
/// locally administered, like the one that the host gives it.
pub fn mac_of(primary: Ipv4Addr) -> String {
    let [a, b, c, d] = primary.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The MAC address of an instance's primary interface.
pub fn mac(instance: &Instance) -> String {
    mac_of(instance.private_ip)
}

/// The private DNS name of an address of an instance: after the address, or
/// after the instance where that was chosen (EC2 User Guide, "Hostname types").
fn private_name(view: &View<'_>, instance: &Instance, address: Ipv4Addr) -> String {
    let host = if instance.private_dns.resource_name { instance.id.to_string() } else { host_name(address) };
    format!("{host}.{}", view.scope.private_domain())
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

/// Items that only some instances have.
fn optional(view: &View<'_>, instance: &Instance, entries: &mut Entries) {
    let mut put = |path: &str, value: &str| entries.insert(format!("meta-data/{path}"), value.to_string());
    if let Some(membership) = &instance.membership {
        let pool = view.get::<Group>(membership.group.as_str()).and_then(|group| group.warm_pool);
        let resting = pool.map_or(LifecycleState::WarmedStopped, |pool| pool.state.resting());
        put("autoscaling/target-lifecycle-state", membership.lifecycle.target_name(resting));
    } else if instance.detached {
        put("autoscaling/target-lifecycle-state", "Detached");
    }
    if let Some(key) = instance.key_name.as_ref().and_then(|name| view.get::<KeyPair>(name)) {
        put("public-keys/0/openssh-key", &openssh_key(key));
    }
    if let Some(group) = &instance.placement_group {
        put("placement/group-name", group);
    }
    if instance.metadata.tags {
        for (key, value) in instance.tags.iter().filter(|(key, _)| is_path_segment(key)) {
            put(&format!("tags/instance/{key}"), value);
        }
    }
}

/// `type key name`: EC2 shows the key pair's name where the file has a comment.
fn openssh_key(key: &KeyPair) -> String {
    let words: Vec<&str> = key.public_key.split_ascii_whitespace().take(2).collect();
    format!("{} {}", words.join(" "), key.name)
}

/// Whether a tag's key can be an item of the tree (EC2 User Guide, "View tags
/// using instance metadata"). The API refuses others while tags are shown;
/// one that comes in another way is left out rather than breaking the tree.
fn is_path_segment(key: &str) -> bool {
    let allowed = |letter: char| letter.is_alphanumeric() || "+-=.,_:@".contains(letter);
    !key.is_empty() && !matches!(key, "." | ".." | "_index") && key.chars().all(allowed)
}

/// The notice of a spot instance's interruption, with the recommendation to
/// replace it, which comes at the same time. One that its user ends gets none
/// (ec2-imds.md 3.3).
fn spot(view: &View<'_>, instance: &Instance, entries: &mut Entries) {
    let Some(request) = &instance.spot_request else { return };
    let due = instance.interruption.filter(|at| view.now >= *at - SPOT_NOTICE);
    let Some(at) = due else { return };
    let behavior = view.get::<SpotRequest>(request).map_or(InterruptionBehavior::Terminate, |request| request.behavior);
    let action = match behavior {
        InterruptionBehavior::Terminate => "terminate",
        InterruptionBehavior::Stop => "stop",
    };
    let time = at.iso_seconds();
    let notice = (at - SPOT_NOTICE).iso_seconds();
    entries.insert("meta-data/events/recommendations/rebalance".to_string(), format!(r#"{{"noticeTime":"{notice}"}}"#));
    entries
        .insert("meta-data/spot/instance-action".to_string(), format!(r#"{{"action": "{action}", "time": "{time}"}}"#));
    if behavior == InterruptionBehavior::Terminate {
        entries.insert("meta-data/spot/termination-time".to_string(), time);
    }
}

/// The instance identity document (ec2-imds.md 4.2).
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
