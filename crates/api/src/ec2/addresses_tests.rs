//! Elastic IP addresses and the NAT gateways that take them.

use super::rig::code;
use super::scene::{Scene, filter, tag};
use super::*;
use elastane_domain::time::Span;
use elastane_engine::network;
use elastane_engine::row::{Address, Instance, InternetGateway, NatGateway, NatGatewayPhase, NetworkInterface, Subnet};
use elastane_wire::{ApiError, ec2 as wire};

/// A new Elastic IP's id.
fn allocate(scene: &mut Scene) -> String {
    let made = scene.write(|change| allocate_address(change, &wire::AllocateAddressRequest::default()));
    made.expect("addresses enough").allocation_id.expect("an id")
}

fn associate(scene: &mut Scene, input: wire::AssociateAddressRequest) -> Result<String, ApiError> {
    scene.write(|change| associate_address(change, &input)).map(|made| made.association_id.expect("an id"))
}

fn with_instance(allocation: &str, instance: &str) -> wire::AssociateAddressRequest {
    wire::AssociateAddressRequest {
        allocation_id: Some(allocation.to_string()),
        instance_id: Some(instance.to_string()),
        ..Default::default()
    }
}

fn with_interface(allocation: &str, interface: &str) -> wire::AssociateAddressRequest {
    wire::AssociateAddressRequest {
        allocation_id: Some(allocation.to_string()),
        network_interface_id: Some(interface.to_string()),
        ..Default::default()
    }
}

fn disassociate(scene: &mut Scene, association: &str) -> String {
    let input = wire::DisassociateAddressRequest { association_id: Some(association.into()), ..Default::default() };
    code(scene.write(|change| disassociate_address(change, &input)))
}

fn release(scene: &mut Scene, allocation: &str) -> String {
    let input = wire::ReleaseAddressRequest { allocation_id: Some(allocation.into()), ..Default::default() };
    code(scene.write(|change| release_address(change, &input)))
}

fn described(scene: &Scene, filters: Vec<wire::Filter>) -> Vec<wire::Address> {
    let input = wire::DescribeAddressesRequest { filters, ..Default::default() };
    scene.read(|call| describe_addresses(call, &input)).expect("known filters").addresses
}

fn subnet(scene: &Scene) -> Subnet {
    network::default_subnet(&scene.view(), &"us-east-1a".into()).expect("each zone has one").clone()
}

/// From allocation to release: what is shown, and what each step refuses.
#[test]
fn an_address_and_its_instance() {
    let mut scene = Scene::new();
    let instance = scene.launch(1).remove(0);
    let (first, second) = (allocate(&mut scene), allocate(&mut scene));
    assert_eq!(code(associate(&mut scene, with_instance(&first, &instance))), "InvalidInstanceID");
    scene.settle();
    let association = associate(&mut scene, with_instance(&first, &instance)).expect("running");
    let again = associate(&mut scene, with_instance(&first, &instance)).expect("the same");
    assert_eq!(again, association);
    let shown = described(&scene, vec![filter("association-id", &[&association])]).remove(0);
    let row = scene.row::<Instance>(&instance);
    assert_eq!(
        (shown.instance_id.as_ref(), shown.network_interface_id.as_ref(), shown.private_ip_address),
        (Some(&instance), Some(&row.interface), Some(row.private_ip.to_string()))
    );
    assert_eq!(
        (shown.domain.as_deref(), shown.public_ipv4_pool.as_deref(), shown.network_border_group.as_deref()),
        (Some("vpc"), Some("amazon"), Some("us-east-1"))
    );
    let input = wire::DescribeInstancesRequest::default();
    let seen = scene.read(|call| describe_instances(call, &input)).expect("described").reservations.remove(0);
    assert_eq!(seen.instances[0].public_ip_address, shown.public_ip);
    let owner = seen.instances[0].network_interfaces[0].association.clone().and_then(|there| there.ip_owner_id);
    assert_eq!(owner.as_deref(), Some("000000000000"));
    // The second one takes the place of the first, unless that is not wanted.
    let strict =
        wire::AssociateAddressRequest { allow_reassociation: Some(false), ..with_instance(&second, &instance) };
    assert_eq!(code(associate(&mut scene, strict)), "Resource.AlreadyAssociated");
    assert_eq!(release(&mut scene, &first), "InvalidIPAddress.InUse");
    let instead = associate(&mut scene, with_instance(&second, &instance)).expect("instead of the first");
    assert_eq!(scene.row::<Address>(&first).association, None);
    assert_eq!(disassociate(&mut scene, &association), "InvalidAssociationID.NotFound");
    assert_eq!(disassociate(&mut scene, &instead), "");
    for id in [first.as_str(), &second] {
        assert_eq!(release(&mut scene, id), "");
        assert_eq!(release(&mut scene, id), "InvalidAllocationID.NotFound");
    }
}

/// Arguments that name nothing, or not the right thing.
#[test]
fn addresses_are_checked() {
    let mut scene = Scene::new();
    let instance = scene.launch(1).remove(0);
    scene.settle();
    let id = allocate(&mut scene);
    let interface = scene.row::<Instance>(&instance).interface;
    let none = wire::AssociateAddressRequest::default;
    for (input, expected) in [
        (with_instance("eipalloc-00000000", &instance), "InvalidAllocationID.NotFound"),
        (with_instance("e", &instance), "InvalidAllocationID.Malformed"),
        (with_instance(&id, "i-00000000"), "InvalidInstanceID.NotFound"),
        (with_interface(&id, "eni-00000000"), "InvalidNetworkInterfaceID.NotFound"),
        (wire::AssociateAddressRequest { instance_id: Some(instance.clone()), ..none() }, "MissingParameter"),
        (wire::AssociateAddressRequest { allocation_id: Some(id.clone()), ..none() }, "MissingParameter"),
        (
            wire::AssociateAddressRequest {
                public_ip: Some("198.18.0.1".into()),
                instance_id: Some(instance.clone()),
                ..none()
            },
            "InvalidAddress.NotFound",
        ),
        (
            wire::AssociateAddressRequest {
                private_ip_address: Some("172.31.9.9".into()),
                ..with_interface(&id, &interface)
            },
            "InvalidParameterValue",
        ),
        (wire::AssociateAddressRequest { dry_run: Some(true), ..with_instance(&id, &instance) }, "DryRunOperation"),
    ] {
        assert_eq!(code(associate(&mut scene, input.clone())), expected, "{input:?}");
    }
    for (input, expected) in [
        (
            wire::AllocateAddressRequest { domain: Some("standard".into()), ..Default::default() },
            "UnsupportedOperation",
        ),
        (
            wire::AllocateAddressRequest { address: Some("1.2.3.4".into()), ..Default::default() },
            "UnsupportedOperation",
        ),
        (
            wire::AllocateAddressRequest { network_border_group: Some("mars".into()), ..Default::default() },
            "InvalidParameterValue",
        ),
        (wire::AllocateAddressRequest { dry_run: Some(true), ..Default::default() }, "DryRunOperation"),
    ] {
        assert_eq!(code(scene.write(|change| allocate_address(change, &input))), expected, "{input:?}");
    }
    let gateway = scene.view().all::<InternetGateway>().next().expect("the default VPC has one").id.clone();
    scene
        .write(|change| {
            change.update(&gateway, |row: &mut InternetGateway| row.vpc = None);
            Ok(())
        })
        .expect("detached");
    assert_eq!(code(associate(&mut scene, with_instance(&id, &instance))), "Gateway.NotAttached");
}

/// By id, by address, by filter; reverse names there are none.
#[test]
fn addresses_described() {
    let mut scene = Scene::new();
    let specification = |value: &str| wire::TagSpecification {
        resource_type: Some("elastic-ip".into()),
        tags: vec![tag("Name", value)],
    };
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        let input =
            wire::AllocateAddressRequest { tag_specifications: vec![specification(name)], ..Default::default() };
        let made = scene.write(|change| allocate_address(change, &input)).expect("allocated");
        ids.push((made.allocation_id.expect("an id"), made.public_ip.expect("an address")));
    }
    assert_ne!(ids[0].1, ids[1].1);
    for (name, value, count) in [
        ("allocation-id", ids[0].0.as_str(), 1),
        ("public-ip", &ids[1].1, 1),
        ("domain", "vpc", 2),
        ("tag:Name", "b", 1),
        ("instance-id", "*", 0),
    ] {
        assert_eq!(described(&scene, vec![filter(name, &[value])]).len(), count, "{name}={value}");
    }
    for (input, expected) in [
        (wire::DescribeAddressesRequest { allocation_ids: vec![ids[0].0.clone()], ..Default::default() }, ""),
        (wire::DescribeAddressesRequest { public_ips: vec![ids[0].1.clone()], ..Default::default() }, ""),
        (
            wire::DescribeAddressesRequest { allocation_ids: vec!["eipalloc-00000000".into()], ..Default::default() },
            "InvalidAllocationID.NotFound",
        ),
        (
            wire::DescribeAddressesRequest { public_ips: vec!["1.2.3.4".into()], ..Default::default() },
            "InvalidAddress.NotFound",
        ),
        (
            wire::DescribeAddressesRequest { filters: vec![filter("colour", &["x"])], ..Default::default() },
            "InvalidParameterValue",
        ),
    ] {
        let answer = scene.read(|call| describe_addresses(call, &input));
        assert!(answer.as_ref().map_or(true, |answer| answer.addresses.len() == 1), "{input:?}");
        assert_eq!(code(answer), expected, "{input:?}");
    }
    let input = wire::DescribeAddressesAttributeRequest {
        allocation_ids: vec![ids[0].0.clone()],
        attribute: Some("domain-name".into()),
        ..Default::default()
    };
    assert!(scene.read(|call| describe_addresses_attribute(call, &input)).expect("known").addresses.is_empty());
}

/// An Elastic IP follows a secondary address to another interface, and comes
/// free with the address or the interface.
#[test]
fn addresses_follow_private_ones() {
    let mut scene = Scene::new();
    let id = allocate(&mut scene);
    let mut interfaces = Vec::new();
    for address in ["172.31.0.40", "172.31.0.50"] {
        let input = wire::CreateNetworkInterfaceRequest {
            subnet_id: Some(subnet(&scene).id.to_string()),
            private_ip_address: Some(address.into()),
            ..Default::default()
        };
        let made = scene.write(|change| create_network_interface(change, &input)).expect("made");
        interfaces.push(made.network_interface.and_then(|one| one.network_interface_id).expect("an id"));
    }
    let assign = |scene: &mut Scene, interface: &str| {
        let input = wire::AssignPrivateIpAddressesRequest {
            network_interface_id: Some(interface.to_string()),
            private_ip_addresses: vec!["172.31.0.60".into()],
            allow_reassignment: Some(true),
            ..Default::default()
        };
        scene.write(|change| assign_private_ip_addresses(change, &input)).expect("assigned");
    };
    assign(&mut scene, &interfaces[0]);
    let input = wire::AssociateAddressRequest {
        private_ip_address: Some("172.31.0.60".into()),
        ..with_interface(&id, &interfaces[0])
    };
    associate(&mut scene, input).expect("its own address");
    assign(&mut scene, &interfaces[1]);
    let moved = scene.row::<Address>(&id).association.expect("it leads on");
    assert_eq!(
        (moved.interface.as_str(), moved.private_ip.to_string()),
        (interfaces[1].as_str(), "172.31.0.60".to_string())
    );
    let input = wire::UnassignPrivateIpAddressesRequest {
        network_interface_id: Some(interfaces[1].clone()),
        private_ip_addresses: vec!["172.31.0.60".into()],
        ..Default::default()
    };
    scene.write(|change| unassign_private_ip_addresses(change, &input)).expect("unassigned");
    assert_eq!(scene.row::<Address>(&id).association, None);
    associate(&mut scene, with_interface(&id, &interfaces[0])).expect("associated");
    let input =
        wire::DeleteNetworkInterfaceRequest { network_interface_id: Some(interfaces[0].clone()), ..Default::default() };
    scene.write(|change| delete_network_interface(change, &input)).expect("not attached");
    assert_eq!(scene.row::<Address>(&id).association, None);
}

fn gateway(scene: &Scene, allocation: Option<&str>) -> wire::CreateNatGatewayRequest {
    wire::CreateNatGatewayRequest {
        subnet_id: Some(subnet(scene).id.to_string()),
        allocation_id: allocation.map(str::to_string),
        connectivity_type: Some(if allocation.is_some() { "public" } else { "private" }.to_string()),
        ..Default::default()
    }
}

fn make(scene: &mut Scene, input: &wire::CreateNatGatewayRequest) -> Result<wire::NatGateway, ApiError> {
    scene.write(|change| create_nat_gateway(change, input)).map(|made| made.nat_gateway.expect("shown"))
}

fn gateways(scene: &Scene, filters: Vec<wire::Filter>) -> Vec<wire::NatGateway> {
    let input = wire::DescribeNatGatewaysRequest { filter: filters, ..Default::default() };
    scene.read(|call| describe_nat_gateways(call, &input)).expect("known filters").nat_gateways
}

/// Pending, available with its address, deleted with its address free again.
#[test]
fn the_life_of_a_gateway() {
    let mut scene = Scene::new();
    let id = allocate(&mut scene);
    let input = wire::CreateNatGatewayRequest { client_token: Some("once".into()), ..gateway(&scene, Some(&id)) };
    let made = make(&mut scene, &input).expect("made");
    assert_eq!(made.state.as_deref(), Some("pending"));
    assert_eq!(make(&mut scene, &input).expect("the same").nat_gateway_id, made.nat_gateway_id);
    let other = wire::CreateNatGatewayRequest { client_token: Some("once".into()), ..gateway(&scene, None) };
    assert_eq!(code(make(&mut scene, &other)), "IdempotentParameterMismatch");
    scene.settle();
    let nat = made.nat_gateway_id.expect("an id");
    let shown = gateways(&scene, vec![filter("state", &["available"])]).remove(0);
    let address = &shown.nat_gateway_addresses[0];
    let row = scene.row::<NatGateway>(&nat);
    assert_eq!(
        (
            address.allocation_id.as_ref(),
            address.is_primary,
            address.status.as_deref(),
            address.network_interface_id.as_ref()
        ),
        (Some(&id), Some(true), Some("succeeded"), Some(&row.interface))
    );
    assert_eq!(address.public_ip, Some(scene.row::<Address>(&id).public_ip.to_string()));
    let interface = scene.row::<NetworkInterface>(&row.interface);
    assert_eq!(interface.description, format!("Interface for NAT Gateway {nat}"));
    // What the gateway has is not the user's to move.
    assert_eq!(disassociate(&mut scene, address.association_id.as_deref().expect("associated")), "AuthFailure");
    assert_eq!(release(&mut scene, &id), "InvalidIPAddress.InUse");
    let again = gateway(&scene, Some(&id));
    assert_eq!(code(make(&mut scene, &again)), "Resource.AlreadyAssociated");
    let delete = wire::DeleteNatGatewayRequest { nat_gateway_id: Some(nat.clone()), ..Default::default() };
    scene.write(|change| delete_nat_gateway(change, &delete)).expect("there");
    assert_eq!(gateways(&scene, vec![])[0].state.as_deref(), Some("deleting"));
    scene.settle();
    let shown = gateways(&scene, vec![filter("nat-gateway-id", &[&nat])]).remove(0);
    assert_eq!(
        (shown.state.as_deref(), shown.nat_gateway_addresses[0].allocation_id.as_ref()),
        (Some("deleted"), Some(&id))
    );
    assert!(shown.delete_time.is_some());
    assert_eq!(code(scene.write(|change| delete_nat_gateway(change, &delete))), "NatGatewayNotFound");
    assert_eq!(release(&mut scene, &id), "");
    scene.pass(Span::from_mins(61));
    assert!(gateways(&scene, vec![]).is_empty());
}

/// What a gateway is refused for.
#[test]
fn gateways_are_checked() {
    let mut scene = Scene::new();
    let id = allocate(&mut scene);
    let public = gateway(&scene, Some(&id));
    let private = gateway(&scene, None);
    for (input, expected) in [
        (wire::CreateNatGatewayRequest { allocation_id: None, ..public.clone() }, "MissingParameter"),
        (
            wire::CreateNatGatewayRequest { allocation_id: Some("eipalloc-00000000".into()), ..public.clone() },
            "InvalidAllocationID.NotFound",
        ),
        (
            wire::CreateNatGatewayRequest { allocation_id: Some(id.clone()), ..private.clone() },
            "InvalidParameterCombination",
        ),
        (wire::CreateNatGatewayRequest { subnet_id: None, ..private.clone() }, "MissingParameter"),
        (
            wire::CreateNatGatewayRequest { subnet_id: Some("subnet-00000000".into()), ..private.clone() },
            "InvalidSubnetID.NotFound",
        ),
        (
            wire::CreateNatGatewayRequest { private_ip_address: Some("10.0.0.9".into()), ..private.clone() },
            "InvalidParameterValue",
        ),
        (
            wire::CreateNatGatewayRequest { secondary_allocation_ids: vec![id.clone()], ..public.clone() },
            "InvalidParameterValue",
        ),
        (
            wire::CreateNatGatewayRequest { secondary_private_ip_address_count: Some(8), ..private.clone() },
            "PrivateIpAddressLimitExceeded",
        ),
        (
            wire::CreateNatGatewayRequest { availability_mode: Some("regional".into()), ..public.clone() },
            "UnsupportedOperation",
        ),
        (
            wire::CreateNatGatewayRequest { connectivity_type: Some("odd".into()), ..public.clone() },
            "InvalidParameterValue",
        ),
        (wire::CreateNatGatewayRequest { dry_run: Some(true), ..public.clone() }, "DryRunOperation"),
    ] {
        assert_eq!(code(make(&mut scene, &input)), expected, "{input:?}");
    }
    assert_eq!(scene.view().all::<NetworkInterface>().count(), 0);
    for (id, expected) in [("nat-00000000", "NatGatewayNotFound"), ("n", "NatGatewayMalformed")] {
        let input = wire::DescribeNatGatewaysRequest { nat_gateway_ids: vec![id.into()], ..Default::default() };
        assert_eq!(code(scene.read(|call| describe_nat_gateways(call, &input))), expected);
        let input = wire::DeleteNatGatewayRequest { nat_gateway_id: Some(id.into()), ..Default::default() };
        assert_eq!(code(scene.write(|change| delete_nat_gateway(change, &input))), expected);
    }
}

/// Further addresses of a public gateway come and go in pairs.
#[test]
fn further_public_addresses() {
    let mut scene = Scene::new();
    let ids: Vec<String> = (0..3).map(|_| allocate(&mut scene)).collect();
    let input = gateway(&scene, Some(&ids[0]));
    let nat = make(&mut scene, &input).expect("made").nat_gateway_id.expect("an id");
    scene.settle();
    let add = |allocations: &[&String], private: &[&str]| wire::AssociateNatGatewayAddressRequest {
        nat_gateway_id: Some(nat.clone()),
        allocation_ids: allocations.iter().map(|id| id.to_string()).collect(),
        private_ip_addresses: private.iter().map(|text| text.to_string()).collect(),
        ..Default::default()
    };
    let added = scene.write(|change| associate_nat_gateway_address(change, &add(&[&ids[1]], &["172.31.0.99"])));
    let added = added.expect("a free pair").nat_gateway_addresses;
    assert_eq!(
        (added.len(), added[0].is_primary, added[0].private_ip.as_deref(), added[0].status.as_deref()),
        (1, Some(false), Some("172.31.0.99"), Some("succeeded"))
    );
    for (input, expected) in [
        (add(&[&ids[1]], &[]), "Resource.AlreadyAssociated"),
        (add(&[&ids[2]], &["172.31.0.70", "172.31.0.71"]), "InvalidParameterCombination"),
        (add(&[&ids[2]], &["172.31.0.99"]), "InvalidIPAddress.InUse"),
        (add(&[], &[]), "MissingParameter"),
    ] {
        assert_eq!(code(scene.write(|change| associate_nat_gateway_address(change, &input))), expected, "{input:?}");
    }
    let addresses = gateways(&scene, vec![]).remove(0).nat_gateway_addresses;
    let association = |place: usize| addresses[place].association_id.clone().expect("associated");
    let remove = |id: String, drain: Option<i32>| wire::DisassociateNatGatewayAddressRequest {
        nat_gateway_id: Some(nat.clone()),
        association_ids: vec![id],
        max_drain_duration_seconds: drain,
        ..Default::default()
    };
    for (input, expected) in [
        (remove(association(0), None), "InvalidParameterValue"),
        (remove(association(1), Some(60)), "UnsupportedOperation"),
        (remove("eipassoc-00000000".into(), None), "InvalidAssociationID.NotFound"),
        (remove(association(1), None), ""),
    ] {
        assert_eq!(code(scene.write(|change| disassociate_nat_gateway_address(change, &input))), expected, "{input:?}");
    }
    assert_eq!(scene.row::<NatGateway>(&nat).allocations, ids[..1]);
    assert_eq!(release(&mut scene, &ids[1]), "");
    let wrong = wire::AssignPrivateNatGatewayAddressRequest {
        nat_gateway_id: Some(nat),
        private_ip_address_count: Some(1),
        ..Default::default()
    };
    assert_eq!(code(scene.write(|change| assign_private_nat_gateway_address(change, &wrong))), "InvalidParameterValue");
}

/// Further addresses of a private gateway.
#[test]
fn further_private_addresses() {
    let mut scene = Scene::new();
    let input = wire::CreateNatGatewayRequest { secondary_private_ip_address_count: Some(1), ..gateway(&scene, None) };
    let made = make(&mut scene, &input).expect("made");
    let primaries: Vec<Option<bool>> = made.nat_gateway_addresses.iter().map(|one| one.is_primary).collect();
    assert_eq!(primaries, [Some(true), Some(false)]);
    let nat = made.nat_gateway_id.expect("an id");
    let assign = |list: &[&str], count: Option<i32>| wire::AssignPrivateNatGatewayAddressRequest {
        nat_gateway_id: Some(nat.clone()),
        private_ip_addresses: list.iter().map(|text| text.to_string()).collect(),
        private_ip_address_count: count,
        ..Default::default()
    };
    for (input, expected) in [
        (assign(&["172.31.0.80"], None), ""),
        (assign(&[], Some(2)), ""),
        (assign(&[], Some(4)), "PrivateIpAddressLimitExceeded"),
        (assign(&[], None), "InvalidParameterCombination"),
    ] {
        assert_eq!(
            code(scene.write(|change| assign_private_nat_gateway_address(change, &input))),
            expected,
            "{input:?}"
        );
    }
    for (address, expected) in
        [("172.31.0.80", ""), ("172.31.0.80", "InvalidParameterValue"), ("172.31.0.4", "InvalidParameterValue")]
    {
        let input = wire::UnassignPrivateNatGatewayAddressRequest {
            nat_gateway_id: Some(nat.clone()),
            private_ip_addresses: vec![address.into()],
            ..Default::default()
        };
        assert_eq!(
            code(scene.write(|change| unassign_private_nat_gateway_address(change, &input))),
            expected,
            "{address}"
        );
    }
    assert_eq!(gateways(&scene, vec![]).remove(0).nat_gateway_addresses.len(), 4);
    scene
        .write(|change| {
            change.update(&nat, |row: &mut NatGateway| row.phase = NatGatewayPhase::Deleting);
            Ok(())
        })
        .expect("changed");
    let input = assign(&[], Some(1));
    assert_eq!(code(scene.write(|change| assign_private_nat_gateway_address(change, &input))), "NatGatewayNotFound");
}
