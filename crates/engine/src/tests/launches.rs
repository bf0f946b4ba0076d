//! What RunInstances and groups' launches refuse.

use super::*;
use crate::launch::{Request, UNFILTERED_TAG, check, launch};
use elastane_domain::network::Cidr;

fn request(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request { data: data(), count_min: 1, count_max: 1, ..Request::default() };
    change(&mut request);
    request
}

/// Each check with the code that EC2 gives.
#[test]
fn refusals() {
    let mut rig = Rig::new();
    let cases: Vec<(&str, Request)> = vec![
        ("", request(|_| {})),
        ("", request(|r| r.data.private_ip = Some([172, 31, 0, 9].into()))),
        ("InvalidIPAddress.InUse", request(|r| r.data.private_ip = Some([172, 31, 0, 9].into()))),
        ("InvalidParameterValue", request(|r| r.data.private_ip = Some([172, 31, 0, 1].into()))),
        ("InvalidParameterValue", request(|r| r.data.private_ip = Some([10, 0, 0, 9].into()))),
        (
            "InvalidParameterCombination",
            request(|r| {
                r.data.private_ip = Some([172, 31, 0, 10].into());
                r.count_max = 2;
            }),
        ),
        ("MissingParameter", request(|r| r.data.image = None)),
        ("InvalidAMIID.Malformed", request(|r| r.data.image = Some(ImageId::from("emi-1")))),
        ("InvalidAMIID.NotFound", request(|r| r.data.image = Some(ImageId::from("ami-00000000000000001")))),
        ("InvalidParameterValue", request(|r| r.data.instance_type = Some("t3.enormous".to_string()))),
        ("InvalidKeyPair.NotFound", request(|r| r.data.key_name = Some("nobody".to_string()))),
        ("InvalidUserData.Malformed", request(|r| r.data.user_data = Some("%".to_string()))),
        ("InvalidParameterValue", request(|r| r.data.user_data = Some("QUFB".repeat(5_462)))),
        ("InvalidSubnetID.NotFound", request(|r| r.data.subnet = Some(SubnetId::from("subnet-1")))),
        ("InvalidParameterValue", request(|r| r.data.placement.zone = Some(Zone::from("us-east-1x")))),
        ("InvalidGroup.NotFound", request(|r| r.data.security_group_names = vec!["nobody".to_string()])),
        ("InvalidParameterValue", request(|r| r.count_min = 0)),
        ("InvalidParameterValue", request(|r| r.count_min = 2)),
        ("InstanceLimitExceeded", request(|r| (r.count_min, r.count_max) = (501, 501))),
        ("", request(|r| r.count_max = 500)),
    ];
    for (code, request) in cases {
        let got = rig.tx(|tx| launch(tx, &request));
        let found = got.as_ref().err().map_or("", |refusal| refusal.code);
        assert_eq!(found, code, "{request:?} {:?}", got.err());
    }
}

/// No two instances get the same address, and a full subnet gives what it has.
#[test]
fn addresses_are_given_once() {
    let mut rig = Rig::new();
    let many = request(|r| r.count_max = 500);
    for _ in 0..9 {
        let _ = rig.tx(|tx| launch(tx, &many));
    }
    let addresses: BTreeSet<_> = rig.all::<Instance>().iter().map(|row| row.private_ip).collect();
    assert_eq!(addresses.len(), rig.all::<Instance>().len());
    assert_eq!(addresses.len(), 4_091, "a /20 without the five that AWS reserves");
    let refusal = rig.tx(|tx| launch(tx, &request(|_| {}))).expect_err("it is full");
    assert_eq!(refusal.code, "InsufficientFreeAddressesInSubnet");
}

fn range(text: &str) -> Cidr {
    text.parse().expect("a range")
}

/// A VPC with one subnet in the first zone, and a security group.
fn put_network(tx: &mut Tx<'_>, (vpc, subnet, group): (&str, &str, &str), cidr: &str) {
    tx.put(Vpc {
        id: VpcId::from(vpc),
        cidr: range(cidr),
        default: false,
        more_cidrs: Vec::new(),
        dhcp_options: "default".to_string(),
        dns_support: true,
        dns_hostnames: true,
        address_usage_metrics: false,
        tags: Tags::new(),
    });
    tx.put(Subnet {
        id: SubnetId::from(subnet),
        vpc: VpcId::from(vpc),
        zone: Zone::from("us-east-1a"),
        cidr: range(cidr),
        default: false,
        public_on_launch: false,
        resource_names: false,
        tags: Tags::new(),
    });
    tx.put(SecurityGroup {
        id: SecurityGroupId::from(group),
        vpc: VpcId::from(vpc),
        name: group.to_string(),
        description: String::new(),
        rules: Vec::new(),
        tags: Tags::new(),
    });
}

/// A security group guards subnets of its VPC; one that is nowhere is not found.
#[test]
fn security_groups_are_of_the_subnets_vpc() {
    let mut rig = Rig::new();
    rig.tx(|tx| {
        put_network(tx, ("vpc-1", "subnet-1", "sg-1"), "10.1.0.0/24");
        put_network(tx, ("vpc-2", "subnet-2", "sg-2"), "10.2.0.0/24");
    });
    for (group, refused) in [
        ("sg-1", None),
        ("sg-2", Some(("InvalidParameter", "Security group sg-2 and subnet subnet-1 belong to different networks."))),
        ("sg-3", Some(("InvalidGroup.NotFound", "The security group 'sg-3' does not exist in VPC 'vpc-1'"))),
    ] {
        let request = request(|r| {
            r.data.subnet = Some(SubnetId::from("subnet-1"));
            r.data.security_groups = vec![SecurityGroupId::from(group)];
        });
        let result = rig.tx(|tx| launch(tx, &request)).map(|ids| ids.len());
        let expected = refused.map_or(Ok(1), |(code, message)| Err(crate::launch::Refusal::new(code, message)));
        assert_eq!(result, expected);
    }
}

/// Processes that share the host's network have addresses of the loopback range only.
#[test]
fn processes_are_launched_into_loopback_subnets() {
    for (addresses, outside) in
        [(network::AddressPlan::Vpc, None), (network::AddressPlan::Loopback, Some("UnsupportedOperation"))]
    {
        let mut rig = Rig::with(Config { addresses, ..Config::default() });
        rig.tx(|tx| put_network(tx, ("vpc-1", "subnet-1", "sg-1"), "10.1.0.0/24"));
        let into = |subnet: Option<&str>| request(|r| r.data.subnet = subnet.map(SubnetId::from));
        let ids = rig.tx(|tx| launch(tx, &into(None))).expect("the default VPC serves either");
        let told = rig.get::<Instance>(ids[0].as_str()).is_some_and(|row| row.tags.contains_key(UNFILTERED_TAG.0));
        assert_eq!(told, outside.is_some(), "groups that are not enforced are marked");
        let named = into(Some("subnet-1"));
        let checked = rig.tx(|tx| check(tx, &named.data));
        assert_eq!(checked.as_ref().err().map(|refusal| refusal.code), outside, "{checked:?}");
        assert_eq!(rig.tx(|tx| launch(tx, &named)).map(drop), checked, "a launch is refused as its check");
        let told = checked.map_or_else(|refusal| refusal.message, |()| "127.0.0.0/8 subnet-1".to_string());
        assert!(told.contains("127.0.0.0/8") && told.contains("subnet-1"), "{told}");
    }
}

/// A group whose template names a public parameter launches the image that it
/// stands for at that moment; one that leads nowhere is refused.
#[test]
fn groups_launch_public_parameters() {
    const DEBIAN_12: &str = "/aws/service/debian/release/12/latest/amd64";
    let mut rig = Rig::new();
    let name_parameter = |tx: &mut Tx<'_>, name: &str| {
        tx.update(TEMPLATE, |row: &mut LaunchTemplate| {
            row.versions[0].data.image = None;
            row.versions[0].data.image_parameter = Some(name.to_string());
        });
    };
    rig.tx(|tx| name_parameter(tx, DEBIAN_12));
    rig.group("web", (0, 3), 1, |_| {});
    rig.pass(Span::ZERO);
    let images = |rig: &Rig| rig.members("web").iter().map(|row| row.image.clone()).collect::<BTreeSet<_>>();
    assert_eq!(images(&rig), BTreeSet::from([network::host_image()]));
    let newer = ImageId::from("ami-0123456789abcdef0");
    rig.tx(|tx| {
        let host = tx.get::<Image>(network::host_image().as_str()).expect("the built-in image");
        tx.put(Image {
            id: newer.clone(),
            name: "debian-12".to_string(),
            layers: vec![newer.clone()],
            ..Image::clone(&host)
        });
        tx.update("web", |group: &mut Group| group.desired = 2);
    });
    rig.pass(Span::ZERO);
    assert_eq!(images(&rig), BTreeSet::from([network::host_image(), newer]));
    let unknown = request(|r| (r.data.image, r.data.image_parameter) = (None, Some("/my/parameter".to_string())));
    assert_eq!(rig.tx(|tx| check(tx, &unknown.data)).expect_err("no image").code, "InvalidAMIID.NotFound");
}

/// A boot is told the name servers and the domain of its VPC's DHCP options.
#[test]
fn boots_follow_dhcp_options() {
    let mut rig = Rig::new();
    let ids = rig.tx(|tx| launch(tx, &request(|_| {}))).expect("a launch");
    let told = |rig: &mut Rig| {
        let step = rig.tell(Vec::new());
        let launches = step.effects.iter().filter_map(|effect| match effect {
            Effect::Launch(spec) => Some((spec.name_servers.clone(), spec.search_domain.clone())),
            _ => None,
        });
        launches.collect::<Vec<_>>()
    };
    assert_eq!(told(&mut rig), [(vec![], "ec2.internal".to_string())], "the VPC's own resolver");
    let id = ids[0].clone();
    rig.tx(|tx| {
        let options = [
            ("domain-name".to_string(), vec!["corp.example.com".to_string()]),
            ("domain-name-servers".to_string(), vec!["192.0.2.53".to_string()]),
        ];
        tx.put(DhcpOptions { id: "dopt-1".to_string(), options: options.into(), default: false, tags: Tags::new() });
        let vpc = tx.get::<Instance>(id.as_str()).expect("a row").vpc.clone();
        tx.update(vpc.as_str(), |row: &mut Vpc| row.dhcp_options = "dopt-1".to_string());
    });
    rig.tx(|tx| launch(tx, &request(|_| {}))).expect("a launch");
    assert_eq!(told(&mut rig), [(vec![[192, 0, 2, 53].into()], "corp.example.com".to_string())]);
}
