//! Interfaces through their lives: made, attached, given addresses, changed,
//! shown on their instances, and gone.

use super::rig::code;
use super::scene::{Scene, filter, tag};
use super::*;
use elastane_domain::time::Span;
use elastane_engine::network;
use elastane_engine::row::{Instance, InterfaceOwner, NetworkInterface, SecurityGroup, Subnet, Tags};
use elastane_wire::ec2 as wire;

/// The default subnet of a zone.
fn subnet(scene: &Scene, zone: char) -> Subnet {
    let zone = format!("us-east-1{zone}").into();
    network::default_subnet(&scene.view(), &zone).expect("each zone has one").clone()
}

fn base(scene: &Scene) -> wire::CreateNetworkInterfaceRequest {
    wire::CreateNetworkInterfaceRequest { subnet_id: Some(subnet(scene, 'a').id.to_string()), ..Default::default() }
}

fn create(
    scene: &mut Scene,
    input: wire::CreateNetworkInterfaceRequest,
) -> Result<wire::NetworkInterface, elastane_wire::ApiError> {
    let made = scene.write(|change| create_network_interface(change, &input))?;
    Ok(made.network_interface.expect("shown"))
}

/// A new interface in zone a; its id.
fn interface(scene: &mut Scene) -> String {
    let input = base(scene);
    create(scene, input).expect("made").network_interface_id.expect("an id")
}

fn describe(scene: &Scene, filters: Vec<wire::Filter>) -> Vec<wire::NetworkInterface> {
    let input = wire::DescribeNetworkInterfacesRequest { filters, ..Default::default() };
    scene.read(|call| describe_network_interfaces(call, &input)).expect("known filters").network_interfaces
}

fn one(scene: &Scene, id: &str) -> wire::NetworkInterface {
    describe(scene, vec![filter("network-interface-id", &[id])]).remove(0)
}

fn attach(scene: &mut Scene, interface: &str, instance: &str, device: i32) -> Result<String, elastane_wire::ApiError> {
    let input = wire::AttachNetworkInterfaceRequest {
        device_index: Some(device),
        instance_id: Some(instance.to_string()),
        network_interface_id: Some(interface.to_string()),
        ..Default::default()
    };
    scene.write(|change| attach_network_interface(change, &input)).map(|made| made.attachment_id.expect("an id"))
}

fn detach(scene: &mut Scene, attachment: &str) -> String {
    let input =
        wire::DetachNetworkInterfaceRequest { attachment_id: Some(attachment.to_string()), ..Default::default() };
    code(scene.write(|change| detach_network_interface(change, &input)))
}

fn delete(scene: &mut Scene, id: &str) -> String {
    let input =
        wire::DeleteNetworkInterfaceRequest { network_interface_id: Some(id.to_string()), ..Default::default() };
    code(scene.write(|change| delete_network_interface(change, &input)))
}

fn addresses(shown: &wire::NetworkInterface) -> Vec<&str> {
    shown.private_ip_addresses.iter().filter_map(|one| one.private_ip_address.as_deref()).collect()
}

fn specification(address: &str, primary: bool) -> wire::PrivateIpAddressSpecification {
    wire::PrivateIpAddressSpecification { primary: Some(primary), private_ip_address: Some(address.to_string()) }
}

/// Which addresses a new interface has, by how they were asked for: the
/// primary one comes first and is chosen where none is named.
#[test]
fn addresses_of_new_interfaces() {
    let mut scene = Scene::new();
    let base = base(&scene);
    let listed = |list: &[(&str, bool)]| {
        list.iter().map(|(address, primary)| specification(address, *primary)).collect::<Vec<_>>()
    };
    for (input, expected) in [
        (base.clone(), vec!["172.31.0.4"]),
        (
            wire::CreateNetworkInterfaceRequest { private_ip_address: Some("172.31.0.9".into()), ..base.clone() },
            vec!["172.31.0.9"],
        ),
        (
            wire::CreateNetworkInterfaceRequest {
                private_ip_addresses: listed(&[("172.31.0.20", false), ("172.31.0.21", true)]),
                ..base.clone()
            },
            vec!["172.31.0.21", "172.31.0.20"],
        ),
        (
            wire::CreateNetworkInterfaceRequest {
                private_ip_addresses: listed(&[("172.31.0.30", false)]),
                ..base.clone()
            },
            vec!["172.31.0.5", "172.31.0.30"],
        ),
        (
            wire::CreateNetworkInterfaceRequest {
                private_ip_address: Some("172.31.0.40".into()),
                secondary_private_ip_address_count: Some(2),
                ..base.clone()
            },
            vec!["172.31.0.40", "172.31.0.6", "172.31.0.7"],
        ),
    ] {
        let made = create(&mut scene, input.clone()).expect("free addresses");
        assert_eq!(addresses(&made), expected, "{input:?}");
        assert_eq!(made.private_ip_address.as_deref(), expected.first().copied());
    }
    let taken = "InvalidIPAddress.InUse";
    for (address, expected) in [
        ("172.31.0.9", taken),
        ("172.31.0.2", "InvalidParameterValue"),
        ("172.31.16.9", "InvalidParameterValue"),
        ("x", "InvalidParameterValue"),
        ("::1", "UnsupportedOperation"),
    ] {
        let input = wire::CreateNetworkInterfaceRequest { private_ip_address: Some(address.into()), ..base.clone() };
        assert_eq!(code(create(&mut scene, input)), expected, "{address}");
    }
}

/// What a call to make one is refused for; a token makes one only once.
#[test]
fn new_interfaces_are_checked() {
    let mut scene = Scene::new();
    let elsewhere = SecurityGroup {
        id: "sg-0123456789abcdef0".into(),
        name: "elsewhere".to_string(),
        description: String::new(),
        vpc: "vpc-0123456789abcdef0".into(),
        rules: Vec::new(),
        tags: Tags::new(),
    };
    let put = scene.write(|change| {
        change.put(elsewhere.clone());
        Ok(())
    });
    put.expect("a row");
    let base = base(&scene);
    let with = |edit: &dyn Fn(&mut wire::CreateNetworkInterfaceRequest)| {
        let mut input = base.clone();
        edit(&mut input);
        input
    };
    for (input, expected) in [
        (with(&|input| input.subnet_id = None), "MissingParameter"),
        (with(&|input| input.subnet_id = Some("subnet-00000000".into())), "InvalidSubnetID.NotFound"),
        (with(&|input| input.subnet_id = Some("s".into())), "InvalidSubnetID.Malformed"),
        (with(&|input| input.groups = vec!["sg-00000000".into()]), "InvalidGroup.NotFound"),
        (with(&|input| input.groups = vec![elsewhere.id.to_string()]), "InvalidParameter"),
        (with(&|input| input.description = Some("d".repeat(256))), "InvalidParameterValue"),
        (with(&|input| input.secondary_private_ip_address_count = Some(50)), "PrivateIpAddressLimitExceeded"),
        (with(&|input| input.secondary_private_ip_address_count = Some(-1)), "InvalidParameterValue"),
        (with(&|input| input.ipv6_address_count = Some(1)), "UnsupportedOperation"),
        (with(&|input| input.interface_type = Some("efa".into())), "UnsupportedOperation"),
        (
            with(&|input| {
                input.private_ip_address = Some("172.31.0.9".into());
                input.private_ip_addresses = vec![specification("172.31.0.10", true)];
            }),
            "InvalidParameterCombination",
        ),
        (with(&|input| input.client_token = Some("t".repeat(65))), "InvalidClientToken"),
        (with(&|input| input.dry_run = Some(true)), "DryRunOperation"),
    ] {
        assert_eq!(code(create(&mut scene, input.clone())), expected, "{input:?}");
    }
    assert_eq!(scene.view().all::<NetworkInterface>().count(), 0);
    let once = with(&|input| input.client_token = Some("once".into()));
    let first = create(&mut scene, once.clone()).expect("made");
    assert_eq!(create(&mut scene, once.clone()).expect("the same").network_interface_id, first.network_interface_id);
    let other = wire::CreateNetworkInterfaceRequest { private_ip_address: Some("172.31.0.99".into()), ..once };
    assert_eq!(code(create(&mut scene, other)), "IdempotentParameterMismatch");
}

/// Each attribute on its own; what is read back.
#[test]
fn attributes_change_one_at_a_time() {
    let mut scene = Scene::new();
    let id = interface(&mut scene);
    let base =
        wire::ModifyNetworkInterfaceAttributeRequest { network_interface_id: Some(id.clone()), ..Default::default() };
    let description = Some(wire::AttributeValue { value: Some("front".into()) });
    let off = Some(wire::AttributeBooleanValue { value: Some(false) });
    let attachment = Some(wire::NetworkInterfaceAttachmentChanges {
        attachment_id: Some("eni-attach-00000000".into()),
        delete_on_termination: Some(true),
        ..Default::default()
    });
    let group = vec!["sg-00000000".to_string()];
    for (input, expected) in [
        (wire::ModifyNetworkInterfaceAttributeRequest { description: description.clone(), ..base.clone() }, ""),
        (wire::ModifyNetworkInterfaceAttributeRequest { source_dest_check: off.clone(), ..base.clone() }, ""),
        (base.clone(), "InvalidParameterCombination"),
        (
            wire::ModifyNetworkInterfaceAttributeRequest { description, source_dest_check: off, ..base.clone() },
            "InvalidParameterCombination",
        ),
        (wire::ModifyNetworkInterfaceAttributeRequest { groups: group, ..base.clone() }, "InvalidGroup.NotFound"),
        (wire::ModifyNetworkInterfaceAttributeRequest { attachment, ..base.clone() }, "InvalidAttachmentID.NotFound"),
        (
            wire::ModifyNetworkInterfaceAttributeRequest { enable_primary_ipv6: Some(true), ..base.clone() },
            "UnsupportedOperation",
        ),
        (
            wire::ModifyNetworkInterfaceAttributeRequest { network_interface_id: Some("eni-00000000".into()), ..base },
            "InvalidNetworkInterfaceID.NotFound",
        ),
    ] {
        let result = scene.write(|change| modify_network_interface_attribute(change, &input));
        assert_eq!(code(result), expected, "{input:?}");
    }
    let read = |attribute: &str| {
        let input = wire::DescribeNetworkInterfaceAttributeRequest {
            attribute: Some(attribute.into()),
            network_interface_id: Some(id.clone()),
            ..Default::default()
        };
        scene.read(|call| describe_network_interface_attribute(call, &input))
    };
    assert_eq!(read("description").expect("known").description.and_then(|one| one.value).as_deref(), Some("front"));
    assert_eq!(read("sourceDestCheck").expect("known").source_dest_check.and_then(|one| one.value), Some(false));
    assert_eq!(read("groupSet").expect("known").groups.len(), 1);
    assert_eq!(read("attachment").expect("known").attachment, None);
    assert_eq!(code(read("colour")), "InvalidParameterValue");
}

/// A second interface on an instance: which indexes, zones, states and how
/// many are allowed; DescribeInstances shows all of them, in order.
#[test]
fn attached_and_detached() {
    let mut scene = Scene::new();
    let instance = scene.launch(1).remove(0);
    let (first, second) = (interface(&mut scene), interface(&mut scene));
    let elsewhere = wire::CreateNetworkInterfaceRequest {
        subnet_id: Some(subnet(&scene, 'b').id.to_string()),
        ..Default::default()
    };
    let elsewhere = create(&mut scene, elsewhere).expect("made").network_interface_id.expect("an id");
    assert_eq!(code(attach(&mut scene, &first, &instance, 1)), "IncorrectState");
    scene.settle();
    for (interface, instance, device, expected) in [
        (first.as_str(), instance.as_str(), 0, "InvalidParameterValue"),
        (&elsewhere, &instance, 1, "InvalidParameterCombination"),
        ("eni-00000000", &instance, 1, "InvalidNetworkInterfaceID.NotFound"),
        (&first, "i-00000000", 1, "InvalidInstanceID.NotFound"),
        (&first, &instance, 1, ""),
        (&first, &instance, 2, "InvalidNetworkInterface.InUse"),
        // A t3.micro has two interfaces.
        (&second, &instance, 2, "AttachmentLimitExceeded"),
    ] {
        assert_eq!(code(attach(&mut scene, interface, instance, device)), expected, "{interface} {device}");
    }
    let input = wire::DescribeInstancesRequest::default();
    let shown = scene.read(|call| describe_instances(call, &input)).expect("described").reservations.remove(0);
    let there = &shown.instances[0].network_interfaces;
    let index = |one: &wire::InstanceNetworkInterface| one.attachment.as_ref().and_then(|there| there.device_index);
    assert_eq!(there.iter().filter_map(index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(there[1].network_interface_id.as_ref(), Some(&first));
    assert_eq!(delete(&mut scene, &first), "InvalidParameterValue");
    let primary = scene.row::<Instance>(&instance).interface;
    let attachment =
        |scene: &Scene, id: &str| one(scene, id).attachment.and_then(|there| there.attachment_id).expect("attached");
    let (of_primary, of_first) = (attachment(&scene, &primary), attachment(&scene, &first));
    assert_eq!(detach(&mut scene, &of_primary), "OperationNotPermitted");
    assert_eq!(detach(&mut scene, &of_first), "");
    assert_eq!(detach(&mut scene, &of_first), "InvalidAttachmentID.NotFound");
    assert_eq!(one(&scene, &first).status.as_deref(), Some("available"));
    assert_eq!(delete(&mut scene, &first), "");
    assert_eq!(delete(&mut scene, &first), "InvalidNetworkInterfaceID.NotFound");
}

/// An attached interface outlives its instance unless its attachment says otherwise.
#[test]
fn termination_takes_along_what_it_should() {
    let mut scene = Scene::new();
    let instance = scene.launch(1).remove(0);
    scene.settle();
    let kept = interface(&mut scene);
    let attachment = attach(&mut scene, &kept, &instance, 1).expect("attached");
    let primary = scene.row::<Instance>(&instance).interface;
    assert_eq!(one(&scene, &kept).attachment.and_then(|there| there.delete_on_termination), Some(false));
    let terminate = wire::TerminateInstancesRequest { instance_ids: vec![instance], ..Default::default() };
    scene.write(|change| terminate_instances(change, &terminate)).expect("running");
    scene.settle();
    scene.pass(Span::from_secs(1));
    assert!(describe(&scene, vec![filter("network-interface-id", &[&primary])]).is_empty());
    assert_eq!(one(&scene, &kept).status.as_deref(), Some("available"));
    assert_eq!(detach(&mut scene, &attachment), "InvalidAttachmentID.NotFound");
}

/// Secondary addresses come, move to another interface when allowed, and go.
#[test]
fn secondary_addresses() {
    let mut scene = Scene::new();
    let (id, other) = (interface(&mut scene), interface(&mut scene));
    let assign = |id: &str, list: &[&str], count: i32, moves: bool| wire::AssignPrivateIpAddressesRequest {
        network_interface_id: Some(id.to_string()),
        private_ip_addresses: list.iter().map(|text| text.to_string()).collect(),
        secondary_private_ip_address_count: Some(count).filter(|count| *count > 0),
        allow_reassignment: Some(moves),
        ..Default::default()
    };
    for (input, expected) in [
        (assign(&id, &["172.31.0.50", "172.31.0.51"], 0, false), ""),
        (assign(&id, &[], 2, false), ""),
        (assign(&id, &[], 0, false), "InvalidParameterCombination"),
        (assign(&id, &["172.31.0.60"], 1, false), "InvalidParameterCombination"),
        (assign(&id, &[], 50, false), "PrivateIpAddressLimitExceeded"),
        (assign(&other, &["172.31.0.50"], 0, false), "InvalidParameterValue"),
        (assign(&other, &["172.31.0.50"], 0, true), ""),
        // A primary address never moves.
        (assign(&other, &["172.31.0.4"], 0, true), "InvalidParameterValue"),
        (assign("eni-00000000", &[], 1, false), "InvalidNetworkInterfaceID.NotFound"),
    ] {
        let result = scene.write(|change| assign_private_ip_addresses(change, &input));
        assert_eq!(code(result), expected, "{input:?}");
    }
    assert_eq!(addresses(&one(&scene, &id)), ["172.31.0.4", "172.31.0.51", "172.31.0.6", "172.31.0.7"]);
    assert_eq!(addresses(&one(&scene, &other)), ["172.31.0.5", "172.31.0.50"]);
    for (list, expected) in [
        (vec!["172.31.0.4"], "InvalidParameterValue"),
        (vec!["172.31.0.50"], "InvalidParameterValue"),
        (vec![], "MissingParameter"),
        (vec!["172.31.0.51", "172.31.0.6"], ""),
    ] {
        let input = wire::UnassignPrivateIpAddressesRequest {
            network_interface_id: Some(id.clone()),
            private_ip_addresses: list.iter().map(|text| text.to_string()).collect(),
            ..Default::default()
        };
        assert_eq!(code(scene.write(|change| unassign_private_ip_addresses(change, &input))), expected, "{list:?}");
    }
    assert_eq!(addresses(&one(&scene, &id)), ["172.31.0.4", "172.31.0.7"]);
}

/// Each filter finds what has its value, and nothing else.
#[test]
fn filters_of_interfaces() {
    let mut scene = Scene::new();
    let instance = scene.launch(2).remove(0);
    let input = wire::CreateNetworkInterfaceRequest {
        description: Some("spare".into()),
        tag_specifications: vec![wire::TagSpecification {
            resource_type: Some("network-interface".into()),
            tags: vec![tag("Name", "spare")],
        }],
        ..base(&scene)
    };
    let spare = create(&mut scene, input).expect("made");
    let row = scene.row::<NetworkInterface>(spare.network_interface_id.as_deref().expect("an id"));
    let group = row.groups[0].to_string();
    for (name, value, count) in [
        ("addresses.primary", "true", 3),
        ("addresses.private-ip-address", "172.31.0.4", 1),
        ("private-dns-name", "ip-172-31-0-4.ec2.internal", 1),
        ("attachment.instance-id", &instance, 1),
        ("attachment.device-index", "0", 2),
        ("attachment.instance-owner-id", "amazon-elb", 0),
        ("attachment.status", "attached", 2),
        ("association.ip-owner-id", "amazon", 2),
        ("availability-zone", "us-east-1a", 3),
        ("description", "spare", 1),
        ("group-id", &group, 3),
        ("group-name", "default", 3),
        ("interface-type", "interface", 3),
        ("owner-id", "000000000000", 3),
        ("requester-managed", "false", 3),
        ("source-dest-check", "false", 0),
        ("status", "available", 1),
        ("subnet-id", row.subnet.as_str(), 3),
        ("tag:Name", "spare", 1),
        ("vpc-id", row.vpc.as_str(), 3),
    ] {
        assert_eq!(describe(&scene, vec![filter(name, &[value])]).len(), count, "{name}={value}");
    }
    let by_id = |id: &str| wire::DescribeNetworkInterfacesRequest {
        network_interface_ids: vec![id.to_string()],
        ..Default::default()
    };
    for (id, expected) in
        [("eni-00000000000000000", "InvalidNetworkInterfaceID.NotFound"), ("e", "InvalidNetworkInterfaceId.Malformed")]
    {
        assert_eq!(code(scene.read(|call| describe_network_interfaces(call, &by_id(id)))), expected);
    }
    let colour =
        wire::DescribeNetworkInterfacesRequest { filters: vec![filter("colour", &["x"])], ..Default::default() };
    assert_eq!(code(scene.read(|call| describe_network_interfaces(call, &colour))), "InvalidParameterValue");
}

/// Pages hold every interface once.
#[test]
fn pages_of_interfaces() {
    let mut scene = Scene::new();
    scene.launch(12);
    let (mut met, mut token) = (Vec::new(), None);
    loop {
        let input =
            wire::DescribeNetworkInterfacesRequest { max_results: Some(5), next_token: token, ..Default::default() };
        let page = scene.read(|call| describe_network_interfaces(call, &input)).expect("a page");
        assert!(page.network_interfaces.len() <= 5);
        met.extend(page.network_interfaces.into_iter().filter_map(|one| one.network_interface_id));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    met.sort();
    met.dedup();
    assert_eq!(met.len(), 12);
}

/// Filters of instances see all their interfaces; the public address has a
/// name where the VPC gives names.
#[test]
fn instances_by_their_interfaces() {
    let mut scene = Scene::new();
    let id = scene.launch(2).remove(0);
    scene.settle();
    let second = interface(&mut scene);
    attach(&mut scene, &second, &id, 1).expect("attached");
    let instances = |scene: &Scene, name: &str, value: &str| {
        let input = wire::DescribeInstancesRequest { filters: vec![filter(name, &[value])], ..Default::default() };
        let answer = scene.read(|call| describe_instances(call, &input)).expect("known filters");
        answer.reservations.into_iter().flat_map(|one| one.instances).collect::<Vec<_>>()
    };
    let shown = instances(&scene, "network-interface.network-interface-id", &second);
    assert_eq!(shown.iter().filter_map(|one| one.instance_id.as_ref()).collect::<Vec<_>>(), [&id]);
    let (ip, name) =
        (shown[0].public_ip_address.clone().expect("lent"), shown[0].public_dns_name.clone().expect("named"));
    assert_eq!(name, format!("ec2-{}.compute-1.amazonaws.com", ip.replace('.', "-")));
    for (filter, value, count) in [
        ("ip-address", ip.as_str(), 1),
        ("dns-name", &name, 1),
        ("network-interface.attachment.device-index", "1", 1),
        ("network-interface.association.public-ip", &ip, 1),
        ("network-interface.status", "in-use", 2),
        ("network-interface.attachment.instance-id", &id, 1),
    ] {
        assert_eq!(instances(&scene, filter, value).len(), count, "{filter}={value}");
    }
    let vpc = shown[0].vpc_id.clone().expect("a VPC");
    scene
        .write(|change| {
            change.update(&vpc, |row: &mut elastane_engine::row::Vpc| row.dns_hostnames = false);
            Ok(())
        })
        .expect("changed");
    let shown = instances(&scene, "ip-address", &ip).remove(0);
    assert_eq!(shown.public_dns_name.as_deref(), Some(""));
}

/// A service's own interface shows whose it is, and is not the user's to change.
#[test]
fn interfaces_of_services() {
    let mut scene = Scene::new();
    let zone = subnet(&scene, 'a');
    let arn = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/0123456789abcdef";
    let id = scene
        .write(|change| {
            let owner = InterfaceOwner::LoadBalancer(arn.into());
            let row = network::new_interface(change, &zone, owner, vec!["172.31.0.10".parse().expect("an address")]);
            let row = NetworkInterface { description: "ELB app/web/0123456789abcdef".into(), ..row };
            let id = row.id.clone();
            change.put(row);
            Ok(id)
        })
        .expect("made");
    let found = describe(
        &scene,
        vec![filter("attachment.instance-owner-id", &["amazon-elb"]), filter("description", &["ELB app/web/*"])],
    );
    assert_eq!(found.len(), 1);
    let shown = &found[0];
    assert_eq!(
        (shown.requester_managed, shown.requester_id.as_deref(), shown.status.as_deref()),
        (Some(true), Some("amazon-elb"), Some("in-use"))
    );
    let attachment = shown.attachment.clone().and_then(|there| there.attachment_id).expect("attached");
    assert_eq!(detach(&mut scene, &attachment), "OperationNotPermitted");
    assert_eq!(delete(&mut scene, &id), "InvalidParameterValue");
    let modify = wire::ModifyNetworkInterfaceAttributeRequest {
        network_interface_id: Some(id.clone()),
        description: Some(wire::AttributeValue { value: Some("mine".into()) }),
        ..Default::default()
    };
    assert_eq!(code(scene.write(|change| modify_network_interface_attribute(change, &modify))), "AuthFailure");
}
