//! What clients and fate do to networks: interfaces come and go, addresses
//! move, NAT gateways, rules and zones change.

use crate::chaos::{ids, pick};
use crate::run::Violation;
use crate::world::World;
use elastane_domain::id::{InstanceId, Zone};
use elastane_domain::time::Span;
use elastane_engine::row::{InterfaceOwner, Phase, SpotPhase};
use elastane_engine::{Chaos, Tables};
use elastane_wire::{Input, ec2};

fn text(value: impl Into<String>) -> Option<String> {
    Some(value.into())
}

/// One thing that happens to a network now.
pub fn act(world: &mut World) -> Result<(), Violation> {
    match world.rng.below(12) {
        0 => cut_zone(world),
        1 => interrupt(world),
        _ => {
            call(world);
            Ok(())
        }
    }
}

/// A zone is cut off for a while, or is whole again before its time.
pub fn cut_zone(world: &mut World) -> Result<(), Violation> {
    let zone = Zone::from(["us-east-1a", "us-east-1b", "us-east-1c", "eu-west-1a"][world.rng.below(4) as usize]);
    let span = match world.rng.below(4) {
        0 => None,
        _ => Some(Span::from_secs(1 + world.rng.below(1_800) as i64)),
    };
    let chaos = if world.rng.below(3) == 0 { Chaos::EndZoneOutage { zone } } else { Chaos::ZoneOutage { zone, span } };
    world.trouble(&chaos)
}

/// A spot instance is told that it will be interrupted.
pub fn interrupt(world: &mut World) -> Result<(), Violation> {
    let spot = |tables: &Tables| {
        let spot = tables.instances.values().filter(|row| row.spot_request.is_some());
        spot.filter(|row| row.phase == Phase::Running).map(|row| row.id.to_string()).collect()
    };
    let found = ids(world, &World::scope(), spot);
    match pick(&mut world.rng, &found) {
        Some(id) => world.trouble(&Chaos::SpotInterruption { instance: InstanceId::from(id) }),
        None => Ok(()),
    }
}

/// Some security group allows a port that none allowed before.
pub fn allow_a_port(world: &mut World) {
    let groups = ids(world, &World::scope(), |tables| tables.security_groups.ids());
    if let Some(id) = pick(&mut world.rng, &groups) {
        world.submit(World::scope(), change_group(&id, true, 9_000));
    }
}

/// No more outages: what they did must heal.
pub fn end_troubles(world: &mut World) -> Result<(), Violation> {
    let cut = world.engine.state().scopes.values().flat_map(|tables| tables.outages.values());
    let zones: Vec<Zone> = cut.map(|row| row.zone.clone()).collect();
    for zone in zones {
        world.trouble(&Chaos::EndZoneOutage { zone })?;
    }
    Ok(())
}

/// What there is to act on.
struct Scene {
    interfaces: Vec<String>,
    attachments: Vec<String>,
    instances: Vec<String>,
    allocations: Vec<String>,
    associations: Vec<String>,
    gateways: Vec<String>,
    subnets: Vec<String>,
    groups: Vec<String>,
    requests: Vec<String>,
}

impl Scene {
    fn of(world: &World) -> Scene {
        let find = |of: &dyn Fn(&Tables) -> Vec<String>| ids(world, &World::scope(), of);
        Scene {
            interfaces: find(&|tables| {
                let own = tables.interfaces.values().filter(|row| row.owner == InterfaceOwner::User);
                own.map(|row| row.id.clone()).collect()
            }),
            attachments: find(&|tables| {
                let attachments = tables.interfaces.values().filter_map(|row| row.attachment.as_ref());
                attachments.map(|one| one.id.clone()).collect()
            }),
            instances: find(&|tables| {
                let live = tables.instances.values().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
                live.map(|row| row.id.to_string()).collect()
            }),
            allocations: find(&|tables| tables.addresses.ids()),
            associations: find(&|tables| {
                let associations = tables.addresses.values().filter_map(|row| row.association.as_ref());
                associations.map(|one| one.id.clone()).collect()
            }),
            gateways: find(&|tables| tables.nat_gateways.ids()),
            subnets: find(&|tables| tables.subnets.ids()),
            groups: find(&|tables| tables.security_groups.ids()),
            requests: find(&|tables| {
                let open = tables.spot_requests.values().filter(|row| row.phase != SpotPhase::Closed);
                open.map(|row| row.id.clone()).collect()
            }),
        }
    }
}

fn call(world: &mut World) {
    let scene = Scene::of(world);
    let rng = &mut world.rng;
    let (interface, instance) = (pick(rng, &scene.interfaces), pick(rng, &scene.instances));
    let (allocation, subnet) = (pick(rng, &scene.allocations), pick(rng, &scene.subnets));
    let (group, coin, choice) = (pick(rng, &scene.groups), rng.below(2) == 0, rng.below(16));
    let input = match choice {
        0 if scene.interfaces.len() < 30 => subnet.map(|subnet| create_interface(&subnet)),
        1 => interface.map(|id| delete_interface(&id)),
        2 | 3 => interface.zip(instance).map(|(id, to)| attach(&id, &to, 1 + rng.below(2) as i32)),
        4 => pick(rng, &scene.attachments).map(|id| detach(&id)),
        5 if scene.allocations.len() < 5 => Some(allocate()),
        6 | 7 => allocation.zip(interface).map(|(id, to)| associate(&id, &to)),
        8 => pick(rng, &scene.associations).map(|id| disassociate(&id)),
        9 => allocation.map(|id| release(&id)),
        10 => subnet.zip(allocation).map(|(subnet, id)| create_nat_gateway(&subnet, &id)),
        11 => pick(rng, &scene.gateways).map(|id| delete_nat_gateway(&id)),
        12 | 13 => group.map(|id| change_group(&id, coin, 8_000 + rng.below(4) as i32)),
        14 if scene.requests.len() < 3 => Some(run_spot(coin, rng.below(2) == 0)),
        _ => pick(rng, &scene.requests).map(|id| cancel(&id)),
    };
    if let Some(input) = input {
        world.submit(World::scope(), input);
    }
}

fn create_interface(subnet: &str) -> Input {
    let request = ec2::CreateNetworkInterfaceRequest { subnet_id: text(subnet), ..Default::default() };
    Input::Ec2CreateNetworkInterface(Box::new(request))
}

fn delete_interface(id: &str) -> Input {
    let request = ec2::DeleteNetworkInterfaceRequest { network_interface_id: text(id), ..Default::default() };
    Input::Ec2DeleteNetworkInterface(Box::new(request))
}

fn attach(id: &str, instance: &str, device: i32) -> Input {
    Input::Ec2AttachNetworkInterface(Box::new(ec2::AttachNetworkInterfaceRequest {
        network_interface_id: text(id),
        instance_id: text(instance),
        device_index: Some(device),
        ..Default::default()
    }))
}

fn detach(attachment: &str) -> Input {
    let request = ec2::DetachNetworkInterfaceRequest { attachment_id: text(attachment), ..Default::default() };
    Input::Ec2DetachNetworkInterface(Box::new(request))
}

fn allocate() -> Input {
    Input::Ec2AllocateAddress(Box::default())
}

fn associate(allocation: &str, interface: &str) -> Input {
    Input::Ec2AssociateAddress(Box::new(ec2::AssociateAddressRequest {
        allocation_id: text(allocation),
        network_interface_id: text(interface),
        allow_reassociation: Some(true),
        ..Default::default()
    }))
}

fn disassociate(association: &str) -> Input {
    let request = ec2::DisassociateAddressRequest { association_id: text(association), ..Default::default() };
    Input::Ec2DisassociateAddress(Box::new(request))
}

fn release(allocation: &str) -> Input {
    let request = ec2::ReleaseAddressRequest { allocation_id: text(allocation), ..Default::default() };
    Input::Ec2ReleaseAddress(Box::new(request))
}

fn create_nat_gateway(subnet: &str, allocation: &str) -> Input {
    Input::Ec2CreateNatGateway(Box::new(ec2::CreateNatGatewayRequest {
        subnet_id: text(subnet),
        allocation_id: text(allocation),
        ..Default::default()
    }))
}

fn delete_nat_gateway(id: &str) -> Input {
    let request = ec2::DeleteNatGatewayRequest { nat_gateway_id: text(id), ..Default::default() };
    Input::Ec2DeleteNatGateway(Box::new(request))
}

/// Allows a port, or no longer.
fn change_group(id: &str, allow: bool, port: i32) -> Input {
    let (group_id, ip_protocol, cidr_ip) = (text(id), text("tcp"), text("192.0.2.0/24"));
    let (from_port, to_port) = (Some(port), Some(port));
    if allow {
        Input::Ec2AuthorizeSecurityGroupIngress(Box::new(ec2::AuthorizeSecurityGroupIngressRequest {
            group_id,
            ip_protocol,
            cidr_ip,
            from_port,
            to_port,
            ..Default::default()
        }))
    } else {
        Input::Ec2RevokeSecurityGroupIngress(Box::new(ec2::RevokeSecurityGroupIngressRequest {
            group_id,
            ip_protocol,
            cidr_ip,
            from_port,
            to_port,
            ..Default::default()
        }))
    }
}

/// RunInstances of a spot instance; one that is stopped needs a persistent request.
fn run_spot(persistent: bool, stop: bool) -> Input {
    let Input::Ec2RunInstances(mut request) = crate::client::run_instances(1) else {
        unreachable!("that is what it makes")
    };
    let behavior = if stop && persistent { "stop" } else { "terminate" };
    request.instance_market_options = Some(ec2::InstanceMarketOptionsRequest {
        market_type: text("spot"),
        spot_options: Some(ec2::SpotMarketOptions {
            spot_instance_type: text(if persistent { "persistent" } else { "one-time" }),
            instance_interruption_behavior: text(behavior),
            ..Default::default()
        }),
    });
    Input::Ec2RunInstances(request)
}

fn cancel(request: &str) -> Input {
    Input::Ec2CancelSpotInstanceRequests(Box::new(ec2::CancelSpotInstanceRequestsRequest {
        spot_instance_request_ids: vec![request.to_string()],
        ..Default::default()
    }))
}
