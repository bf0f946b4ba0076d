//! The metadata tree.

use super::*;
use crate::launch::host_name;
use crate::metadata::{Entries, entries, mac_of, role, zone_id};
use std::net::Ipv4Addr;

const TRUST: &str =
    r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// An instance that was launched, without the group that launched it.
fn instance(rig: &mut Rig, change: impl FnOnce(&mut Instance, &mut NetworkInterface)) -> String {
    rig.group("web", (1, 1), 1, |_| {});
    rig.pass(Span::ZERO);
    let mut row = (*rig.members("web")[0]).clone();
    let mut interface = (*rig.get::<NetworkInterface>(&row.interface).expect("it has one")).clone();
    row.membership = None;
    interface.public_ip = None;
    change(&mut row, &mut interface);
    let id = row.id.to_string();
    rig.tx(|tx| {
        tx.put(interface);
        tx.put(row);
    });
    id
}

fn tree(rig: &Rig, id: &str) -> Entries {
    let view = rig.engine.view(&rig.scope, rig.now).expect("the scope is there");
    let tree = entries(&view, &rig.get::<Instance>(id).expect("it was made"));
    check(&tree);
    tree
}

/// Every path of a listing can be fetched: none is both an item and a folder.
fn check(tree: &Entries) {
    for path in tree.keys() {
        let folder = format!("{path}/");
        assert!(!tree.keys().any(|other| other.starts_with(&folder)), "{path} is an item and a folder");
        assert!(!path.starts_with('/') && !path.ends_with('/') && !path.contains("//"), "{path}");
    }
}

fn below(tree: &Entries, prefix: &str) -> Vec<String> {
    let prefix = format!("meta-data/{prefix}");
    tree.keys().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_string).collect()
}

/// A member of a group with a key pair and tags.
#[test]
fn a_group_member() {
    let mut rig = Rig::new();
    rig.tx(|tx| {
        tx.put(KeyPair {
            name: "my key".to_string(),
            id: "key-1".to_string(),
            key_type: "ed25519".to_string(),
            fingerprint: String::new(),
            public_key: "ssh-ed25519 AAAA me@home".to_string(),
            created_at: START,
            tags: Tags::new(),
        });
        tx.update(TEMPLATE, |row: &mut LaunchTemplate| {
            let data = &mut row.versions[0].data;
            data.key_name = Some("my key".to_string());
            data.metadata.tags = Some(true);
            data.tags.insert("instance".to_string(), Tags::from([("Name".to_string(), "web".to_string())]));
        });
    });
    rig.group("web", (1, 1), 1, |_| {});
    rig.pass(Span::ZERO);
    let view = rig.engine.view(&rig.scope, rig.now).expect("the scope is there");
    let tree = entries(&view, &rig.members("web")[0]);
    check(&tree);
    for (path, value) in [
        ("meta-data/placement/availability-zone", "us-east-1a"),
        ("meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA my key"),
        ("meta-data/tags/instance/Name", "web"),
        ("meta-data/autoscaling/target-lifecycle-state", "InService"),
        ("meta-data/system", "nitro"),
    ] {
        assert_eq!(tree[path], value, "{path}");
    }
}

/// What a plain instance does not have is not in the tree.
#[test]
fn a_plain_instance() {
    let mut rig = Rig::new();
    let id = instance(&mut rig, |_, _| {});
    let tree = tree(&rig, &id);
    for absent in ["autoscaling/", "iam/", "public-keys/", "spot/", "tags/", "public-ipv4", "placement/group-name"] {
        assert_eq!(below(&tree, absent), [""; 0], "{absent}");
    }
    assert_eq!(tree["meta-data/security-groups"], "default");
    let address = rig.get::<Instance>(&id).expect("it was made").private_ip;
    assert_eq!(tree["meta-data/hostname"], format!("{}.ec2.internal", host_name(address)));
    assert_eq!(tree["meta-data/instance-life-cycle"], "on-demand");
}

/// Two interfaces with secondary and public addresses; an Elastic IP goes
/// before the address given at launch.
#[test]
fn interfaces_and_public_addresses() {
    let mut rig = Rig::new();
    let (second_private, other) = (Ipv4Addr::new(172, 31, 0, 251), Ipv4Addr::new(172, 31, 0, 252));
    let id = instance(&mut rig, |_, interface| {
        interface.addresses.push(second_private);
        interface.public_ip = Some(Ipv4Addr::new(198, 18, 1, 9));
    });
    let first = rig.get::<Instance>(&id).expect("it was made").interface.clone();
    rig.tx(|tx| {
        let first = tx.get::<NetworkInterface>(&first).expect("it was made");
        let attachment = first.attachment.clone().expect("it is attached");
        tx.put(NetworkInterface {
            id: "eni-2".to_string(),
            addresses: vec![other],
            attachment: Some(Attachment { device: 1, ..attachment }),
            public_ip: None,
            ..(*first).clone()
        });
        tx.put(Address {
            id: "eipalloc-1".to_string(),
            public_ip: Ipv4Addr::new(198, 18, 1, 8),
            association: Some(AddressAssociation {
                id: "eipassoc-1".to_string(),
                interface: first.id.clone(),
                private_ip: second_private,
            }),
            tags: Tags::new(),
        });
    });
    let tree = tree(&rig, &id);
    let primary = rig.get::<Instance>(&id).expect("it was made").private_ip;
    let first = format!("meta-data/network/interfaces/macs/{}", mac_of(primary));
    let second = format!("meta-data/network/interfaces/macs/{}", mac_of(other));
    for (path, value) in [
        (format!("{first}/local-ipv4s"), format!("{primary}\n{second_private}").as_str()),
        (format!("{first}/public-ipv4s"), "198.18.1.9\n198.18.1.8"),
        (format!("{first}/ipv4-associations/198.18.1.8"), "172.31.0.251"),
        (format!("{first}/public-hostname"), "ec2-198-18-1-9.compute-1.amazonaws.com"),
        (format!("{first}/device-number"), "0"),
        (format!("{second}/device-number"), "1"),
        (format!("{second}/interface-id"), "eni-2"),
        ("meta-data/public-ipv4".to_string(), "198.18.1.9"),
        ("meta-data/public-hostname".to_string(), "ec2-198-18-1-9.compute-1.amazonaws.com"),
    ] {
        assert_eq!(tree[&path], value, "{path}");
    }
    assert!(!tree.contains_key(&format!("{second}/public-ipv4s")), "the second has no public address");
    rig.tx(|tx| {
        let vpc = network::default_vpc(&tx.view()).expect("a default network").id.to_string();
        tx.update(&vpc, |row: &mut Vpc| row.dns_hostnames = false);
    });
    let tree = self::tree(&rig, &id);
    assert!(!tree.contains_key("meta-data/public-hostname") && tree.contains_key("meta-data/public-ipv4"));
}

/// Tags that cannot be items are left out; the others follow the rows.
#[test]
fn tags_that_can_be_items() {
    let mut rig = Rig::new();
    let id = instance(&mut rig, |row, _| {
        row.metadata.tags = true;
        row.tags.clear();
        for key in ["Name", "a/b", "..", "_index", "with space", "aws:autoscaling:groupName", "größe"] {
            row.tags.insert(key.to_string(), format!("[{key}]"));
        }
    });
    assert_eq!(below(&tree(&rig, &id), "tags/instance/"), ["Name", "aws:autoscaling:groupName", "größe"]);
    rig.tx(|tx| tx.update(&id, |row: &mut Instance| row.metadata.tags = false));
    assert_eq!(below(&tree(&rig, &id), "tags/"), [""; 0]);
}

/// The spot notice comes two minutes ahead, and only for spot instances.
#[test]
fn spot_notices() {
    for (spot, ahead_secs, behavior, want) in [
        (true, 121, InterruptionBehavior::Terminate, vec![]),
        (true, 120, InterruptionBehavior::Terminate, vec!["instance-action", "termination-time"]),
        (true, 10, InterruptionBehavior::Stop, vec!["instance-action"]),
        (false, 10, InterruptionBehavior::Terminate, vec![]),
    ] {
        let mut rig = Rig::new();
        let id = instance(&mut rig, |row, _| {
            row.spot_request = spot.then(|| "sir-1".to_string());
            row.interruption = Some(START + Span::from_secs(ahead_secs));
        });
        rig.tx(|tx| {
            tx.put(SpotRequest {
                id: "sir-1".to_string(),
                instance: Some(InstanceId::from(id.clone())),
                data: data(),
                persistent: false,
                behavior,
                price: None,
                created_at: START,
                phase: SpotPhase::Active,
                changed_at: START,
                valid_until: None,
                client_token: None,
                tags: Tags::new(),
            });
        });
        let tree = tree(&rig, &id);
        assert_eq!(below(&tree, "spot/"), want, "{spot} {ahead_secs} {behavior:?}");
        assert_eq!(tree["meta-data/instance-life-cycle"], if spot { "spot" } else { "on-demand" });
        if ahead_secs == 120 {
            assert_eq!(
                tree["meta-data/spot/instance-action"],
                r#"{"action": "terminate", "time": "2026-01-01T10:02:00Z"}"#
            );
            assert_eq!(tree["meta-data/events/recommendations/rebalance"], r#"{"noticeTime":"2026-01-01T10:00:00Z"}"#);
        }
    }
}

/// A role reaches an instance through its profile, and is gone with each of them.
#[test]
fn roles() {
    let mut rig = Rig::new();
    let id = instance(&mut rig, |row, _| {
        let association =
            ProfileAssociation { id: "iip-assoc-1".to_string(), profile: "web".to_string(), since: START };
        row.profile = Some(association);
    });
    let iam = Scope::new("000000000000", IAM_REGION);
    let put = |rig: &mut Rig, trust: &str, role: Option<&str>| {
        let done: Result<(), ()> = rig.engine.transact(&iam, rig.now, |tx| {
            tx.put(Role {
                name: "reader".to_string(),
                id: "AROA1".to_string(),
                path: "/".to_string(),
                description: None,
                trust_policy: PolicyText::new(trust),
                session_secs_max: 3600,
                created_at: START,
                tags: Tags::new(),
                permissions: Default::default(),
                boundary: None,
            });
            tx.put(InstanceProfile {
                name: "web".to_string(),
                id: "AIPA1".to_string(),
                path: "/team/".to_string(),
                role: role.map(str::to_string),
                created_at: START,
                tags: Tags::new(),
            });
            Ok(())
        });
        done.expect("the change does not fail");
    };
    let grant = |rig: &Rig| {
        let view = rig.engine.view(&rig.scope, rig.now).expect("the scope is there");
        role::grant(&view, &rig.get::<Instance>(&id).expect("it was made")).map(|grant| (grant.role, grant.trusted))
    };
    assert_eq!(grant(&rig), None);
    assert!(tree(&rig, &id)["meta-data/iam/info"].contains("InstanceProfileNotFound"));
    put(&mut rig, TRUST, None);
    assert_eq!(grant(&rig), None);
    put(&mut rig, "{}", Some("reader"));
    assert_eq!(grant(&rig), Some(("reader".to_string(), false)));
    put(&mut rig, TRUST, Some("reader"));
    assert_eq!(grant(&rig), Some(("reader".to_string(), true)));
    let arn = "arn:aws:iam::000000000000:instance-profile/team/web";
    assert!(tree(&rig, &id)["meta-data/iam/info"].contains(arn));
    rig.tx(|tx| tx.update(&id, |row: &mut Instance| row.phase = Phase::ShuttingDown));
    assert_eq!(grant(&rig), None);
}

/// Zone ids in AWS's form.
#[test]
fn zone_ids() {
    for (zone, region, id) in [
        ("us-east-1a", "us-east-1", "use1-az1"),
        ("eu-west-2c", "eu-west-2", "euw2-az3"),
        ("ap-northeast-1b", "ap-northeast-1", "apne1-az2"),
    ] {
        assert_eq!(zone_id(zone, region), id);
    }
}
