//! What a fresh account finds in its region.

use super::rig::{Rig, code, filter};
use super::*;
use elastane_engine::Config;
use elastane_wire::ec2 as wire;

fn subnets(rig: &mut Rig, filters: Vec<wire::Filter>) -> Vec<wire::Subnet> {
    rig.read(describe_subnets, wire::DescribeSubnetsRequest { filters, ..Default::default() })
        .expect("described")
        .subnets
}

/// One default VPC; filters in both spellings find it; unknown ids are errors.
#[test]
fn the_default_vpc_is_there() {
    let mut rig = Rig::new();
    let all = rig.read(describe_vpcs, Default::default()).expect("described").vpcs;
    let id = all[0].vpc_id.clone().expect("an id");
    assert_eq!((all.len(), all[0].is_default, all[0].cidr_block.as_deref()), (1, Some(true), Some("172.31.0.0/16")));
    for name in ["isDefault", "is-default"] {
        for (value, count) in [("true", 1), ("false", 0)] {
            let input = wire::DescribeVpcsRequest { filters: vec![filter(name, value)], ..Default::default() };
            assert_eq!(rig.read(describe_vpcs, input).expect("described").vpcs.len(), count, "{name}={value}");
        }
    }
    let of = |id: &str| wire::DescribeVpcsRequest { vpc_ids: vec![id.to_string()], ..Default::default() };
    assert_eq!(rig.read(describe_vpcs, of(&id)).expect("described").vpcs, all);
    assert_eq!(code(rig.read(describe_vpcs, of("vpc-00000000"))), "InvalidVpcID.NotFound");
    assert_eq!(code(rig.read(describe_vpcs, of("x"))), "InvalidVpcID.Malformed");
}

/// A default subnet in each zone with AWS's five addresses taken out.
#[test]
fn each_zone_has_a_default_subnet() {
    let mut rig = Rig::new();
    let all = subnets(&mut rig, vec![]);
    let mut zones: Vec<&str> = all.iter().filter_map(|subnet| subnet.availability_zone.as_deref()).collect();
    zones.sort();
    assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);
    for subnet in &all {
        assert_eq!(subnet.available_ip_address_count, Some(4091));
        assert_eq!((subnet.default_for_az, subnet.map_public_ip_on_launch), (Some(true), Some(true)));
    }
    let vpc = all[0].vpc_id.clone().expect("a VPC");
    for (name, value, count) in [
        ("vpc-id", vpc.as_str(), 3),
        ("availability-zone", "us-east-1b", 1),
        ("availability-zone-id", "use1-az1", 1),
        ("default-for-az", "true", 3),
        ("map-public-ip-on-launch", "true", 3),
        ("available-ip-address-count", "4091", 3),
    ] {
        assert_eq!(subnets(&mut rig, vec![filter(name, value)]).len(), count, "{name}={value}");
    }
    let unknown =
        wire::DescribeSubnetsRequest { subnet_ids: vec!["subnet-00000000".to_string()], ..Default::default() };
    assert_eq!(code(rig.read(describe_subnets, unknown)), "InvalidSubnetID.NotFound");
    let both = wire::DescribeSubnetsRequest {
        subnet_ids: all.iter().filter_map(|subnet| subnet.subnet_id.clone()).collect(),
        max_results: Some(5),
        ..Default::default()
    };
    assert_eq!(code(rig.read(describe_subnets, both)), "InvalidParameterCombination");
}

/// Regions are AWS's and the caller's own; zones are those of the caller's region.
#[test]
fn regions_and_zones() {
    let mut rig = Rig::with(Config::default(), "moon-1");
    let names = |rig: &mut Rig, input| -> Vec<String> {
        let found = rig.read(describe_regions, input).expect("described").regions;
        found.into_iter().filter_map(|region| region.region_name).collect()
    };
    let all = names(&mut rig, Default::default());
    assert_eq!(all.len(), 18);
    assert!(all.contains(&"moon-1".to_string()) && all.contains(&"eu-central-1".to_string()));
    let like = wire::DescribeRegionsRequest { filters: vec![filter("region-name", "us-*")], ..Default::default() };
    assert_eq!(names(&mut rig, like), ["us-east-1", "us-east-2", "us-west-1", "us-west-2"]);
    let unknown = wire::DescribeRegionsRequest { region_names: vec!["mars-1".to_string()], ..Default::default() };
    assert_eq!(code(rig.read(describe_regions, unknown)), "InvalidParameterValue");
    let zones = rig.read(describe_availability_zones, Default::default()).expect("described").availability_zones;
    let zones: Vec<&str> = zones.iter().filter_map(|zone| zone.zone_name.as_deref()).collect();
    assert_eq!(zones, ["moon-1a", "moon-1b", "moon-1c"]);
    let one = |name: &str| wire::DescribeAvailabilityZonesRequest {
        zone_names: vec![name.to_string()],
        ..Default::default()
    };
    assert_eq!(rig.read(describe_availability_zones, one("moon-1b")).expect("one").availability_zones.len(), 1);
    assert_eq!(code(rig.read(describe_availability_zones, one("us-east-1a"))), "InvalidParameterValue");
}
