//! The metadata tree.

use super::*;
use crate::metadata::{entries, zone_id};

/// Every path of a listing can be fetched: none is both an item and a folder.
#[test]
fn no_item_is_a_folder() {
    let mut rig = Rig::new();
    rig.tx(|tx| {
        tx.put(KeyPair {
            name: "me".to_string(),
            id: "key-1".to_string(),
            key_type: "ed25519".to_string(),
            fingerprint: String::new(),
            public_key: "ssh-ed25519 AAAA me".to_string(),
            created_at: START,
            tags: Tags::new(),
        });
        tx.update(TEMPLATE, |row: &mut LaunchTemplate| {
            let data = &mut row.versions[0].data;
            data.key_name = Some("me".to_string());
            data.metadata.tags = Some(true);
            data.tags.insert("instance".to_string(), Tags::from([("Name".to_string(), "web".to_string())]));
        });
    });
    rig.group("web", (1, 1), 1, |_| {});
    rig.pass(Span::ZERO);
    let view = rig.engine.view(&rig.scope, rig.now).expect("the scope is there");
    let tree = entries(&view, &rig.members("web")[0]);
    for path in tree.keys() {
        let folder = format!("{path}/");
        assert!(!tree.keys().any(|other| other.starts_with(&folder)), "{path} is an item and a folder");
        assert!(!path.starts_with('/') && !path.ends_with('/') && !path.contains("//"), "{path}");
    }
    for (path, value) in [
        ("meta-data/placement/availability-zone", "us-east-1a"),
        ("meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA me"),
        ("meta-data/tags/instance/Name", "web"),
        ("meta-data/autoscaling/target-lifecycle-state", "InService"),
    ] {
        assert_eq!(tree[path], value, "{path}");
    }
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
