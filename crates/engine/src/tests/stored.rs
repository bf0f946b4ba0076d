//! Rows as bytes: versions, and states that are the same after a restart.

use super::*;
use crate::state::Tables;
use crate::store::{RowError, decode, read};
use crate::table::Table;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A kind in its third form: the first had `name`, the second `title`, this has `titles`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Book {
    titles: Vec<String>,
}

impl Row for Book {
    const KIND: Kind = Kind::Vpc;
    const VERSION: u32 = 3;

    fn id(&self) -> String {
        self.titles.concat()
    }

    fn upgrade(from: u32, mut row: Value) -> Option<Value> {
        match from {
            1 => Some(serde_json::json!({"title": row["name"].take()})),
            2 => Some(serde_json::json!({"titles": [row["title"].take()]})),
            _ => None,
        }
    }

    fn table(_: &Tables) -> &Table<Book> {
        unreachable!("books are decoded only")
    }

    fn table_mut(_: &mut Tables) -> &mut Table<Book> {
        unreachable!("books are decoded only")
    }

    fn any(_: Arc<Book>) -> AnyRow {
        unreachable!("books are decoded only")
    }
}

/// Rows of each older version become ones of this version; a newer version, one that never was, and nonsense are refused.
#[test]
fn versions_are_upgraded_or_refused() {
    let expected = Book { titles: vec!["Dune".to_string()] };
    for stored in [
        r#"{"v": 1, "row": {"name": "Dune"}}"#,
        r#"{"v": 2, "row": {"title": "Dune"}}"#,
        r#"{"v": 3, "row": {"titles": ["Dune"]}}"#,
    ] {
        assert_eq!(*decode::<Book>("k", stored.as_bytes()).expect(stored), expected, "{stored}");
    }
    let refused = |stored: &str| decode::<Book>("k", stored.as_bytes()).expect_err(stored);
    assert!(matches!(refused(r#"{"v": 4, "row": {}}"#), RowError::Newer { version: 4, .. }));
    assert!(matches!(refused(r#"{"v": 0, "row": {"name": "Dune"}}"#), RowError::Version { version: 0, .. }));
    assert!(matches!(refused(r#"{"v": 3, "row": {"title": "Dune"}}"#), RowError::Value { .. }));
    assert!(matches!(refused("not JSON"), RowError::Value { .. }));
}

/// A key whose kind is unknown, or that has too few parts, is refused.
#[test]
fn unknown_kinds_are_refused() {
    for key in ["000000000000/us-east-1/wizard/merlin", "000000000000/us-east-1/vpc", ""] {
        assert!(matches!(read(key, b"{}"), Err(RowError::Key(_))), "{key}");
    }
}

/// After a restart everything is as it was: the store holds all of it.
#[test]
fn a_restart_finds_everything() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.group("a/b", (0, 9), 3, |group| group.target_groups.push(TargetGroupArn::from(TARGET_GROUP)));
    rig.pass(Span::ZERO);
    rig.tx(|tx| tx.update("a/b", |group: &mut Group| group.desired = 1));
    rig.pass(Span::from_secs(60));
    let rows = rig.stored.iter().map(|(key, bytes)| (key.clone(), bytes.clone())).collect();
    let reopened = Engine::open(Config::default(), 8, rows).expect("what was written can be read");
    assert_eq!(reopened.state().scopes, rig.engine.state().scopes);
}

/// Rows as the first release stored them: a VPC with a subnet and a group, an
/// instance that runs and one that is gone, an image of its own.
const FIRST_RELEASE: [(&str, &str); 7] = [
    ("vpc/vpc-1", r#"{"id": "vpc-1", "cidr": "172.31.0.0/16", "default": true, "tags": {}}"#),
    (
        "subnet/subnet-1",
        r#"{"id": "subnet-1", "vpc": "vpc-1", "zone": "us-east-1a", "cidr": "172.31.0.0/20", "default": true, "tags": {}}"#,
    ),
    (
        "security-group/sg-1",
        r#"{"id": "sg-1", "name": "default", "description": "", "vpc": "vpc-1", "rules": [], "tags": {}}"#,
    ),
    ("instance/i-1", OLD_INSTANCE),
    ("instance/i-2", OLD_INSTANCE),
    (
        "image/ami-1",
        r#"{"id": "ami-1", "name": "web", "description": "", "layers": ["ami-1"], "source": "i-1", "created_at": 5,
            "phase": {"Available": {"bytes": 9}}, "reboot": false, "snapshot": "snap-1", "tags": {},
            "snapshot_tags": {"kind": "golden"}}"#,
    ),
    (
        "launch-template/lt-1",
        r#"{"id": "lt-1", "name": "web", "created_at": 5, "created_by": "root", "default_version": 1, "latest_version": 1,
            "versions": [{"number": 1, "description": null, "created_at": 5, "created_by": "root", "data": {
                "image": "ami-1", "instance_type": "t3.micro", "security_groups": ["sg-1"], "subnet": "subnet-1",
                "by_interface": true, "associate_public_ip": false, "metadata": {"tokens_required": true},
                "tags": {"instance": {"Name": "web"}}, "block_devices": [{"device": "/dev/xvda", "size_gib": 9}]}}],
            "tags": {}, "client_token": null}"#,
    ),
];

const OLD_INSTANCE: &str = r#"{"id": "i-1", "reservation": "r-1", "launch_index": 0, "image": "ami-0e1a57a9e00000001",
    "layers": [], "instance_type": "t3.micro", "vpc": "vpc-1", "subnet": "subnet-1", "zone": "us-east-1a",
    "private_ip": "172.31.0.10", "interface": "eni-1", "root_volume": "vol-1", "security_groups": ["sg-1"],
    "key_name": null, "user_data": null, "launched_at": 7, "tags": {}, "volume_tags": {},
    "interface_tags": {"side": "front"}, "client_token": null, "request_digest": null, "launch_template": null,
    "metadata": {"endpoint": true, "tokens_required": false, "hop_limit": 1, "tags": false}, "monitoring": false,
    "disable_api_termination": false, "shutdown_behavior": "Stop", "ebs_optimized": false, "cpu_credits": null,
    "root_device": {}, "goal": "Run", "phase": "Running", "generation": 3, "state_reason": null,
    "transition_reason": "", "membership": null}"#;

/// What the first release stored has interfaces, a way out and snapshots when it is opened, once and for all.
#[test]
fn the_first_release_is_opened() {
    let gone = OLD_INSTANCE
        .replace("i-1", "i-2")
        .replace("eni-1", "eni-2")
        .replace("\"Running\"", r#"{"Terminated": {"at": 8}}"#);
    let row = |(key, row): (&str, &str)| {
        let row = if key == "instance/i-2" { gone.as_str() } else { row };
        (format!("000000000000/us-east-1/{key}"), format!(r#"{{"v": 1, "row": {row}}}"#).into_bytes())
    };
    let rows: Vec<(String, Vec<u8>)> = FIRST_RELEASE.into_iter().map(row).collect();
    let mut rig = Rig::blank();
    rig.stored = rows.iter().cloned().collect();
    rig.engine = Engine::open(Config::default(), 7, rows).expect("old rows can be read");
    let interfaces = rig.all::<NetworkInterface>();
    assert_eq!(interfaces.len(), 1, "the other one's instance is terminated");
    let interface = &interfaces[0];
    assert_eq!((interface.id.as_str(), interface.primary()), ("eni-1", [172, 31, 0, 10].into()));
    assert_eq!((interface.groups.as_slice(), interface.tags["side"].as_str()), (&["sg-1".into()][..], "front"));
    assert_eq!(interface.attachment.as_ref().map(|to| (to.instance.as_str(), to.device)), Some(("i-1", 0)));
    let tables = rig.all::<RouteTable>();
    assert!(tables.len() == 1 && tables[0].main() && tables[0].routes.len() == 1, "{tables:?}");
    assert_eq!(rig.all::<InternetGateway>()[0].vpc, Some("vpc-1".into()));
    assert!(rig.get::<Vpc>("vpc-1").expect("a row").dns_hostnames);
    let snapshot = rig.get::<crate::row::Snapshot>("snap-1").expect("a row");
    assert_eq!((snapshot.volume.as_str(), snapshot.tags["kind"].as_str()), ("vol-1", "golden"));
    let template = rig.get::<LaunchTemplate>("lt-1").expect("a row");
    let data = &template.versions[0].data;
    assert_eq!((data.subnet.as_ref(), data.interfaces[0].public), (None, Some(false)));
    assert_eq!(data.interfaces[0].subnet, Some("subnet-1".into()));
    let said: Value = serde_json::from_str(&data.said).expect("it is JSON");
    let expected = serde_json::json!({
        "ImageId": "ami-1", "InstanceType": "t3.micro", "MetadataOptions": {"HttpTokens": "required"},
        "NetworkInterfaces": [
            {"DeviceIndex": 0, "SubnetId": "subnet-1", "Groups": ["sg-1"], "AssociatePublicIpAddress": false},
        ],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9}}],
    });
    assert_eq!(said, expected);
    rig.tell(vec![Fact::Host(HostFact::Inventory(Vec::new()))]);
    let rows = rig.stored.iter().map(|(key, bytes)| (key.clone(), bytes.clone())).collect();
    let mut again = Engine::open(Config::default(), 8, rows).expect("new rows can be read");
    assert_eq!(again.state().scopes[&rig.scope].interfaces, rig.engine.state().scopes[&rig.scope].interfaces);
    assert!(again.handle(rig.now, Vec::new()).writes.is_empty(), "there is nothing left to make");
}

/// A load balancer with its listeners, target group and target as versions
/// before rules and zones stored them.
const FIRST_BALANCER: [(&str, &str); 5] = [
    (
        "load-balancer/arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/1",
        r#"{"arn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/1", "name": "web",
            "dns_name": "web-1.us-east-1.elb.localhost", "scheme": "internet-facing", "created_at": 5, "vpc": "vpc-1",
            "subnets": [["subnet-1", "us-east-1a"]], "security_groups": ["sg-1"], "address": "127.64.0.9",
            "attributes": {"idle_timeout.timeout_seconds": "30"}, "tags": {"side": "front"}}"#,
    ),
    (
        "listener/arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/web/1/2",
        r#"{"arn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/web/1/2",
            "load_balancer": "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/1", "port": 80,
            "action": {"Forward": [["arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/3", 7]]},
            "tags": {}}"#,
    ),
    (
        "listener/arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/web/1/4",
        r#"{"arn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/web/1/4",
            "load_balancer": "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/1", "port": 81,
            "action": {"FixedResponse": {"status": 404, "content_type": "text/plain", "body": "no"}}, "tags": {}}"#,
    ),
    (
        "target-group/arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/3",
        r#"{"arn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/3", "name": "web", "port": 8080,
            "vpc": "vpc-1", "target_type": "Instance", "check": {"path": "/up", "port": null, "interval_secs": 10,
            "timeout_secs": 5, "healthy_threshold": 5, "unhealthy_threshold": 2, "matcher": "200-299"},
            "attributes": {"deregistration_delay.timeout_seconds": "9"}, "tags": {}}"#,
    ),
    (
        "target/arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/3|i-1|8080",
        r#"{"group": "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/3", "id": "i-1",
            "port": 8080, "phase": "Registered"}"#,
    ),
];

/// A load balancer of an older version carries the same traffic as before.
#[test]
fn an_older_load_balancer_is_opened() {
    let stored = FIRST_RELEASE.into_iter().filter(|(key, _)| *key != "instance/i-2").chain(FIRST_BALANCER);
    let row = |(key, row): (&str, &str)| {
        (format!("000000000000/us-east-1/{key}"), format!(r#"{{"v": 1, "row": {row}}}"#).into_bytes())
    };
    let mut rig = Rig::blank();
    rig.engine = Engine::open(Config::default(), 7, stored.map(row).collect()).expect("old rows can be read");
    let machine = elastane_domain::machine::Machine {
        instance: "i-1".into(),
        generation: elastane_domain::machine::Generation(3),
        state: elastane_domain::machine::MachineState::Running,
        initialization: Default::default(),
    };
    rig.tell(vec![Fact::Host(HostFact::Inventory(vec![machine]))]);
    rig.pass(Span::ZERO);
    let snapshot = rig.routes.last().expect("there was a snapshot");
    let balancer = &snapshot.load_balancers[0];
    assert_eq!(balancer.nodes.len(), 1);
    assert_eq!(balancer.nodes[0].address, std::net::Ipv4Addr::from([127, 64, 0, 9]));
    assert_eq!((balancer.nodes[0].zone.as_str(), balancer.options.idle_timeout_secs), ("us-east-1a", 30));
    let [first, second] = balancer.listeners.as_slice() else { panic!("{:?}", balancer.listeners) };
    let group = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/3";
    let forward = elastane_domain::routing::Forward {
        groups: vec![(group.into(), 7)],
        stickiness_secs: None,
        unused_stickiness_secs: None,
    };
    assert_eq!(first.rules[0].action, elastane_domain::routing::Action::Forward(forward));
    assert_eq!(first.rules[0].arn.as_str().split(':').nth(5), Some("listener-rule/app/web/1/2/0000000000000000"));
    let fixed = |action: &elastane_domain::routing::Action| {
        matches!(action, elastane_domain::routing::Action::FixedResponse { status: 404, .. })
    };
    assert!(second.port == 81 && fixed(&second.rules[0].action), "{second:?}");
    let group = &snapshot.target_groups[0];
    assert!(group.checked && group.check.enabled && group.check.path == "/up", "{group:?}");
    assert_eq!((group.deregistration_delay, group.check.matcher.as_slice()), (Span::from_secs(9), &[(200, 299)][..]));
    assert_eq!((group.targets.len(), group.targets[0].address.port()), (1, 8080));
    assert_eq!(group.targets[0].admission, Admission::Registered);
}
