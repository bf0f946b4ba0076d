//! Load balancers of both families: where they are, what they reserve.

use super::tests::*;
use crate::testing::{Lab, ask};
use elastane_engine::Config;
use elastane_engine::network::Ipv6Plan;
use elastane_engine::row::{Address, InterfaceOwner, LoadBalancer, NetworkInterface, Subnet, Tags};
use elastane_wire::elbv2 as wire;
use std::net::Ipv4Addr;
use std::sync::Arc;

fn network_input(lab: &Lab, name: &str, zones: usize) -> wire::CreateLoadBalancerInput {
    let subnets = subnets(lab, zones);
    wire::CreateLoadBalancerInput { r#type: text("network"), subnets, ..balancer_input(lab, name) }
}

fn mapped(subnet: &str, private: Option<&str>, allocation: Option<&str>) -> wire::SubnetMapping {
    wire::SubnetMapping {
        subnet_id: text(subnet),
        private_i_pv4_address: private.map(str::to_string),
        allocation_id: allocation.map(str::to_string),
        ..Default::default()
    }
}

fn interfaces(lab: &Lab) -> Vec<Arc<NetworkInterface>> {
    let ours = |row: &Arc<NetworkInterface>| matches!(row.owner, InterfaceOwner::LoadBalancer(_));
    lab.rows::<NetworkInterface>().into_iter().filter(ours).collect()
}

/// A network load balancer takes one zone, has `net/` in its ARN and no
/// security groups unless some are named.
#[test]
fn alb_13_network_load_balancers_look_like_aws() {
    let mut lab = Lab::new();
    let input = network_input(&lab, "flows", 1);
    let made = ask!(lab, Elbv2CreateLoadBalancer, input.clone()).expect("good").load_balancers.remove(0);
    let arn = made.load_balancer_arn.clone().expect("an ARN");
    let id = arn.split_once(":loadbalancer/net/flows/").expect("AWS's shape").1;
    assert_eq!(made.dns_name.as_deref(), Some(format!("flows-{id}.us-east-1.elb.localhost").as_str()));
    assert_eq!((made.r#type.as_deref(), made.security_groups.len()), (Some("network"), 0));
    assert_eq!(interfaces(&lab)[0].description, format!("ELB net/flows/{id}"));
    assert_eq!(ask!(lab, Elbv2CreateLoadBalancer, input).expect("the same").load_balancers, [made]);
    // Another family under the name is another load balancer.
    let err = ask!(lab, Elbv2CreateLoadBalancer, balancer_input(&lab, "flows")).expect_err("taken");
    assert_eq!(err.code, "DuplicateLoadBalancerName");
}

/// SubnetMappings: private addresses of internal ones, Elastic IPs of the
/// others; both are where the interface is, and come free with it.
#[test]
fn alb_13_addresses_of_a_network_load_balancer() {
    let mut lab = Lab::new();
    let subnet = lab.rows::<Subnet>()[0].clone();
    let private = subnet.cidr.nth(77).expect("a large subnet").to_string();
    let id = subnet.id.to_string();
    let address = Address {
        id: "eipalloc-1".into(),
        public_ip: Ipv4Addr::new(198, 18, 0, 9),
        association: None,
        tags: Tags::new(),
    };
    lab.change(|tx| tx.put(address));
    let with = |lab: &Lab, name: &str, scheme: &str, mapping| wire::CreateLoadBalancerInput {
        scheme: text(scheme),
        subnets: Vec::new(),
        subnet_mappings: vec![mapping],
        ..network_input(lab, name, 1)
    };
    for (code, scheme, mapping) in [
        ("InvalidConfigurationRequest", "internet-facing", mapped(&id, Some(&private), None)),
        ("InvalidConfigurationRequest", "internal", mapped(&id, None, Some("eipalloc-1"))),
        ("InvalidConfigurationRequest", "internal", mapped(&id, Some("10.0.0.1"), None)),
        ("ValidationError", "internal", mapped(&id, Some("here"), None)),
        ("AllocationIdNotFound", "internet-facing", mapped(&id, None, Some("eipalloc-2"))),
        ("SubnetNotFound", "internal", mapped("subnet-0", None, None)),
    ] {
        let input = with(&lab, "bad", scheme, mapping);
        let shown = format!("{input:?}");
        assert_eq!(ask!(lab, Elbv2CreateLoadBalancer, input).expect_err(&shown).code, code, "{shown}");
    }
    assert!(interfaces(&lab).is_empty());
    let inner = with(&lab, "inner", "internal", mapped(&id, Some(&private), None));
    let made = ask!(lab, Elbv2CreateLoadBalancer, inner.clone()).expect("good").load_balancers.remove(0);
    let shown = &made.availability_zones[0].load_balancer_addresses[0];
    assert_eq!(shown.private_i_pv4_address.as_deref(), Some(private.as_str()));
    assert_eq!(interfaces(&lab)[0].primary().to_string(), private);
    ask!(lab, Elbv2CreateLoadBalancer, inner).expect("the same again");
    let outer = with(&lab, "outer", "internet-facing", mapped(&id, None, Some("eipalloc-1")));
    let made = ask!(lab, Elbv2CreateLoadBalancer, outer.clone()).expect("good").load_balancers.remove(0);
    let shown = &made.availability_zones[0].load_balancer_addresses[0];
    assert_eq!((shown.allocation_id.as_deref(), shown.ip_address.as_deref()), (Some("eipalloc-1"), Some("198.18.0.9")));
    ask!(lab, Elbv2CreateLoadBalancer, outer).expect("the same again");
    let delete = wire::DeleteLoadBalancerInput { load_balancer_arn: made.load_balancer_arn };
    ask!(lab, Elbv2DeleteLoadBalancer, delete).expect("deleted");
    assert_eq!(lab.rows::<Address>()[0].association, None);
}

/// SetSubnets replaces the zones; those that stay keep interface and address.
#[test]
fn subnets_are_replaced() {
    let mut lab = Lab::new();
    let made = balancer(&mut lab, "shop");
    let before: Vec<String> = interfaces(&lab).iter().map(|row| row.id.clone()).collect();
    let nodes = lab.rows::<LoadBalancer>()[0].nodes.clone();
    let all = subnets(&lab, 3);
    let set = |subnets: &[String]| wire::SetSubnetsInput {
        load_balancer_arn: made.load_balancer_arn.clone(),
        subnets: subnets.to_vec(),
        ..Default::default()
    };
    for bad in [&all[..1], &[][..]] {
        assert_eq!(ask!(lab, Elbv2SetSubnets, set(bad)).expect_err("too few").code, "ValidationError");
    }
    let output = ask!(lab, Elbv2SetSubnets, set(&all[1..])).expect("two others");
    let zones: Vec<String> = output.availability_zones.iter().filter_map(|zone| zone.subnet_id.clone()).collect();
    let mut expected = all[1..].to_vec();
    expected
        .sort_by_key(|id| lab.rows::<Subnet>().iter().find(|row| row.id.as_str() == id).map(|row| row.zone.clone()));
    assert_eq!((zones, output.ip_address_type.as_deref()), (expected, Some("ipv4")));
    let row = lab.rows::<LoadBalancer>().remove(0);
    let kept: Vec<_> = row.nodes.iter().filter(|(zone, address)| nodes.get(*zone) == Some(*address)).collect();
    assert_eq!((row.nodes.len(), kept.len()), (2, 1));
    let after = interfaces(&lab);
    assert_eq!((after.len(), after.iter().filter(|row| before.contains(&row.id)).count()), (2, 1));
}

/// Security groups: an application load balancer always has some, a network
/// load balancer only when it was created with some.
#[test]
fn security_groups_are_replaced() {
    let mut lab = Lab::new();
    let made = balancer(&mut lab, "shop");
    let default = made.security_groups.clone();
    let set = |arn: &Option<String>, groups: &[String], enforce: Option<&str>| wire::SetSecurityGroupsInput {
        load_balancer_arn: arn.clone(),
        security_groups: groups.to_vec(),
        enforce_security_group_inbound_rules_on_private_link_traffic: enforce.map(str::to_string),
    };
    let arn = &made.load_balancer_arn;
    assert_eq!(ask!(lab, Elbv2SetSecurityGroups, set(arn, &default, None)).expect("good").security_group_ids, default);
    for (code, groups, enforce) in [
        ("ValidationError", vec![], None),
        ("InvalidSecurityGroup", vec!["sg-0".to_string()], None),
        ("ValidationError", default.clone(), Some("on")),
    ] {
        assert_eq!(ask!(lab, Elbv2SetSecurityGroups, set(arn, &groups, enforce)).expect_err("bad").code, code);
    }
    let bare = network_input(&lab, "bare", 1);
    let bare = ask!(lab, Elbv2CreateLoadBalancer, bare).expect("good").load_balancers.remove(0).load_balancer_arn;
    let err = ask!(lab, Elbv2SetSecurityGroups, set(&bare, &default, None)).expect_err("created without");
    assert_eq!(err.code, "InvalidConfigurationRequest");
    let input = wire::CreateLoadBalancerInput { security_groups: default.clone(), ..network_input(&lab, "flows", 1) };
    let made = ask!(lab, Elbv2CreateLoadBalancer, input).expect("good").load_balancers.remove(0);
    assert_eq!(made.enforce_security_group_inbound_rules_on_private_link_traffic.as_deref(), Some("on"));
    ask!(lab, Elbv2SetSecurityGroups, set(&made.load_balancer_arn, &default, Some("off"))).expect("good");
    let names = vec!["flows".to_string()];
    let input = wire::DescribeLoadBalancersInput { names, ..Default::default() };
    let shown = ask!(lab, Elbv2DescribeLoadBalancers, input).expect("it is there").load_balancers.remove(0);
    assert_eq!(shown.enforce_security_group_inbound_rules_on_private_link_traffic.as_deref(), Some("off"));
}

/// Load balancers of both families become `dualstack` and `ipv4` again on a
/// machine that has IPv6; on one that has not, the call says so.
#[test]
fn ip_address_types() {
    let (shared, missing) = (Ipv6Plan::Shared, Ipv6Plan::Missing);
    for (plan, kind, code) in [
        (shared, "dualstack", ""),
        (shared, "ipv4", ""),
        (missing, "ipv4", ""),
        (missing, "dualstack", "InvalidConfigurationRequest"),
        (shared, "dualstack-without-public-ipv4", "ValidationError"),
        (shared, "ipv6", "ValidationError"),
    ] {
        for family in ["application", "network"] {
            let mut lab = Lab::with(Config { ipv6: plan, ..Config::default() });
            let input = |name: &str, lab: &Lab| wire::CreateLoadBalancerInput {
                r#type: text(family),
                ..balancer_input(lab, name)
            };
            let plain = input("shop", &lab);
            let made = ask!(lab, Elbv2CreateLoadBalancer, plain).expect("made").load_balancers.remove(0);
            assert_eq!(made.ip_address_type.as_deref(), Some("ipv4"));
            let load_balancer_arn = made.load_balancer_arn;
            let set = wire::SetIpAddressTypeInput {
                load_balancer_arn: load_balancer_arn.clone(),
                ip_address_type: text(kind),
            };
            let set = ask!(lab, Elbv2SetIpAddressType, set);
            let subnets = wire::SetSubnetsInput {
                load_balancer_arn: load_balancer_arn.clone(),
                subnets: subnets(&lab, 2),
                ip_address_type: text(kind),
                ..Default::default()
            };
            let moved = ask!(lab, Elbv2SetSubnets, subnets);
            let asked = wire::CreateLoadBalancerInput { ip_address_type: text(kind), ..input("other", &lab) };
            let created = ask!(lab, Elbv2CreateLoadBalancer, asked.clone());
            let shown = if code.is_empty() { kind } else { "ipv4" };
            let names = vec!["shop".to_string()];
            let listed = wire::DescribeLoadBalancersInput { names, ..Default::default() };
            let listed = ask!(lab, Elbv2DescribeLoadBalancers, listed).expect("it is there").load_balancers.remove(0);
            assert_eq!(listed.ip_address_type.as_deref(), Some(shown), "{plan:?} {kind}");
            if code.is_empty() {
                assert_eq!(set.expect("set").ip_address_type.as_deref(), Some(kind));
                assert_eq!(moved.expect("set").ip_address_type.as_deref(), Some(kind));
                assert_eq!(created.expect("made").load_balancers[0].ip_address_type.as_deref(), Some(kind));
                // The same again is the same; another type is another load balancer.
                assert!(ask!(lab, Elbv2CreateLoadBalancer, asked.clone()).is_ok());
                let turned = if kind == "ipv4" { "dualstack" } else { "ipv4" };
                let turned = wire::CreateLoadBalancerInput { ip_address_type: text(turned), ..asked };
                assert!(ask!(lab, Elbv2CreateLoadBalancer, turned).is_err(), "{plan:?} {kind}");
            } else {
                for refused in [set.map(drop), moved.map(drop), created.map(drop)] {
                    assert_eq!(refused.expect_err("refused").code, code, "{plan:?} {kind}");
                }
            }
        }
    }
}

/// There are no address pools, and no addresses of IPv6 in front of targets.
#[test]
fn address_pools() {
    let mut lab = Lab::with(Config { ipv6: Ipv6Plan::Shared, ..Config::default() });
    let nat = wire::CreateLoadBalancerInput {
        r#type: text("network"),
        enable_prefix_for_ipv6_source_nat: text("on"),
        ..balancer_input(&lab, "flows")
    };
    assert_eq!(ask!(lab, Elbv2CreateLoadBalancer, nat).expect_err("no prefix").code, "ValidationError");
    let load_balancer_arn = balancer(&mut lab, "shop").load_balancer_arn;
    let pool = Some(wire::IpamPools { ipv4_ipam_pool_id: text("ipam-pool-1") });
    let modify = |ipam_pools, remove: &[&str]| wire::ModifyIpPoolsInput {
        load_balancer_arn: load_balancer_arn.clone(),
        ipam_pools,
        remove_ipam_pools: remove.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(ask!(lab, Elbv2ModifyIpPools, modify(pool, &[])).expect_err("no pools").code, "ValidationError");
    ask!(lab, Elbv2ModifyIpPools, modify(None, &["ipv4"])).expect("there is none to remove");
}

/// Reservations can be made larger at will, and smaller twice a day.
#[test]
fn capacity_reservations() {
    let mut lab = Lab::new();
    let load_balancer_arn = balancer(&mut lab, "shop").load_balancer_arn;
    let describe = wire::DescribeCapacityReservationInput { load_balancer_arn: load_balancer_arn.clone() };
    let found = ask!(lab, Elbv2DescribeCapacityReservation, describe).expect("it is there");
    assert_eq!((found.minimum_load_balancer_capacity, found.decrease_requests_remaining), (None, Some(2)));
    assert!(found.capacity_reservation_state.is_empty() && found.last_modified_time.is_some());
    let modify = |lab: &mut Lab, units: Option<i32>| {
        let minimum = units.map(|units| wire::MinimumLoadBalancerCapacity { capacity_units: Some(units) });
        let input = wire::ModifyCapacityReservationInput {
            load_balancer_arn: load_balancer_arn.clone(),
            reset_capacity_reservation: Some(minimum.is_none()),
            minimum_load_balancer_capacity: minimum,
        };
        ask!(lab, Elbv2ModifyCapacityReservation, input)
    };
    for (units, code) in [(99, "ValidationError"), (1501, "CapacityUnitsLimitExceeded")] {
        assert_eq!(modify(&mut lab, Some(units)).expect_err("out of range").code, code);
    }
    let made = modify(&mut lab, Some(400)).expect("good");
    let zone = &made.capacity_reservation_state[0];
    assert_eq!((made.capacity_reservation_state.len(), zone.effective_capacity_units), (2, Some(200.0)));
    assert_eq!(modify(&mut lab, Some(300)).expect("less").decrease_requests_remaining, Some(1));
    assert_eq!(modify(&mut lab, None).expect("none").decrease_requests_remaining, Some(0));
    modify(&mut lab, Some(400)).expect("more is no decrease");
    let err = modify(&mut lab, None).expect_err("twice a day");
    assert_eq!(err.code, "CapacityDecreaseRequestsLimitExceeded");
    lab.pass(86_400);
    modify(&mut lab, None).expect("another day");
}

/// Each family has its attributes, with defaults that can be set again.
#[test]
fn attributes_of_a_network_load_balancer() {
    let mut lab = Lab::new();
    let input = network_input(&lab, "flows", 1);
    let arn = ask!(lab, Elbv2CreateLoadBalancer, input).expect("good").load_balancers.remove(0).load_balancer_arn;
    let describe = wire::DescribeLoadBalancerAttributesInput { load_balancer_arn: arn.clone() };
    let shown = ask!(lab, Elbv2DescribeLoadBalancerAttributes, describe).expect("it is there").attributes;
    let of = |key: &str| shown.iter().find(|one| one.key.as_deref() == Some(key)).and_then(|one| one.value.clone());
    assert_eq!(of("load_balancing.cross_zone.enabled").as_deref(), Some("false"));
    assert_eq!(of("idle_timeout.timeout_seconds"), None);
    let input = wire::ModifyLoadBalancerAttributesInput { load_balancer_arn: arn, attributes: shown.clone() };
    assert_eq!(ask!(lab, Elbv2ModifyLoadBalancerAttributes, input).expect("defaults").attributes, shown);
}

/// Limits come in pages, by their names.
#[test]
fn alb_12_account_limits() {
    let mut lab = Lab::new();
    let mut page = |marker: Option<String>| {
        let input = wire::DescribeAccountLimitsInput { page_size: Some(10), marker };
        ask!(lab, Elbv2DescribeAccountLimits, input).expect("a good marker")
    };
    let first = page(None);
    let second = page(first.next_marker.clone());
    let all: Vec<wire::Limit> = first.limits.into_iter().chain(second.limits).collect();
    let of = |name: &str| all.iter().find(|one| one.name.as_deref() == Some(name)).and_then(|one| one.max.clone());
    assert_eq!((all.len(), second.next_marker), (17, None));
    for (name, max) in [("rules-per-application-load-balancer", "100"), ("target-groups", "3000")] {
        assert_eq!(of(name).as_deref(), Some(max));
    }
}
