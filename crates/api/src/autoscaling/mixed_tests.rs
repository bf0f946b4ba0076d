//! Groups of mixed instances, from the call to the instances (autoscaling.md 13).

use super::testing::{Plane, group_request};
use elastane_domain::time::Span;
use elastane_engine::row::{Group, Instance, LaunchTemplate, Outage, SpotChoice};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeMap;

/// An override of a type, with a weight if there is one.
fn over(name: &str, weight: Option<&str>) -> wire::LaunchTemplateOverrides {
    wire::LaunchTemplateOverrides {
        instance_type: Some(name.to_string()),
        weighted_capacity: weight.map(ToString::to_string),
        ..Default::default()
    }
}

/// A policy over the template `web`.
fn policy(
    overrides: Vec<wire::LaunchTemplateOverrides>,
    distribution: wire::InstancesDistribution,
) -> wire::MixedInstancesPolicy {
    wire::MixedInstancesPolicy {
        launch_template: Some(wire::LaunchTemplate {
            launch_template_specification: group_request("web", 0, 0, 0).launch_template,
            overrides,
        }),
        instances_distribution: Some(distribution),
    }
}

fn request(policy: wire::MixedInstancesPolicy, desired: i32) -> wire::CreateAutoScalingGroupType {
    wire::CreateAutoScalingGroupType {
        launch_template: None,
        mixed_instances_policy: Some(policy),
        ..group_request("mixed", 0, 20, desired)
    }
}

fn create(plane: &mut Plane, input: &wire::CreateAutoScalingGroupType) -> Result<(), ApiError> {
    plane.write(|change| super::create_auto_scaling_group(change, input)).map(|_| ())
}

fn update(plane: &mut Plane, input: wire::UpdateAutoScalingGroupType) -> Result<(), ApiError> {
    let input = wire::UpdateAutoScalingGroupType { auto_scaling_group_name: Some("mixed".to_string()), ..input };
    plane.write(|change| super::update_auto_scaling_group(change, &input)).map(|_| ())
}

/// Lets everything settle: launches, warm-ups, what goes.
fn settle(plane: &mut Plane) {
    for _ in 0..30 {
        plane.pass(Span::from_secs(30));
    }
}

/// How many instances in service there are of each type, bought in each way,
/// in each zone.
fn found(plane: &mut Plane) -> BTreeMap<String, usize> {
    let ids = plane.members("mixed");
    let rows: Vec<Instance> = plane
        .write(|change| Ok(ids.iter().filter_map(|id| change.get::<Instance>(id)).map(|row| (*row).clone()).collect()))
        .expect("reading does not fail");
    let mut counts = BTreeMap::new();
    for row in rows {
        let market = if row.spot_request.is_some() { "spot" } else { "on-demand" };
        *counts.entry(format!("{} {market} {}", row.instance_type, row.zone)).or_default() += 1;
    }
    counts
}

fn counts(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter().map(|(name, count)| (name.to_string(), *count)).collect()
}

fn half_spot() -> wire::InstancesDistribution {
    wire::InstancesDistribution {
        on_demand_base_capacity: Some(2),
        on_demand_percentage_above_base_capacity: Some(50),
        spot_allocation_strategy: Some("price-capacity-optimized".to_string()),
        ..Default::default()
    }
}

/// Base and share over two zones; the first type on demand, the cheapest on
/// the spot market; a scale in keeps the ratio.
#[test]
fn autoscaling_13_on_demand_and_spot() {
    let mut plane = Plane::new();
    let policy = policy(vec![over("m5.large", None), over("c5.large", None)], half_spot());
    create(&mut plane, &request(policy, 8)).expect("a good policy");
    settle(&mut plane);
    let want = [
        ("c5.large spot us-east-1a", 1),
        ("c5.large spot us-east-1b", 2),
        ("m5.large on-demand us-east-1a", 3),
        ("m5.large on-demand us-east-1b", 2),
    ];
    assert_eq!(found(&mut plane), counts(&want));
    update(&mut plane, wire::UpdateAutoScalingGroupType { desired_capacity: Some(4), ..Default::default() })
        .expect("a good size");
    settle(&mut plane);
    let left = found(&mut plane);
    let on_demand: usize = left.iter().filter(|(name, _)| name.contains("on-demand")).map(|(_, count)| count).sum();
    assert_eq!((on_demand, left.values().sum::<usize>()), (3, 4), "{left:?}");
}

/// A changed share moves the group there, by launching first.
#[test]
fn autoscaling_13_changed_distribution() {
    let mut plane = Plane::new();
    let all = wire::InstancesDistribution::default();
    create(&mut plane, &request(policy(vec![over("m5.large", None)], all), 4)).expect("a good policy");
    settle(&mut plane);
    assert_eq!(found(&mut plane).values().sum::<usize>(), 4);
    let spot = wire::InstancesDistribution { on_demand_percentage_above_base_capacity: Some(0), ..Default::default() };
    let changed = wire::MixedInstancesPolicy { instances_distribution: Some(spot), launch_template: None };
    update(
        &mut plane,
        wire::UpdateAutoScalingGroupType { mixed_instances_policy: Some(changed), ..Default::default() },
    )
    .expect("a good change");
    for _ in 0..20 {
        settle(&mut plane);
        let serving = plane.group("mixed").instances;
        let serving = serving.iter().filter(|one| one.lifecycle_state.as_deref() == Some("InService")).count();
        assert!(serving >= 4, "launched first");
    }
    let want = [("m5.large spot us-east-1a", 2), ("m5.large spot us-east-1b", 2)];
    assert_eq!(found(&mut plane), counts(&want));
    assert_eq!(plane.group("mixed").mixed_instances_policy.map(|one| one.launch_template.is_some()), Some(true));
}

/// Instances count for what they weigh, and are shown with it.
#[test]
fn autoscaling_13_weighted_group() {
    let mut plane = Plane::new();
    let overrides = vec![over("m5.xlarge", Some("4")), over("m5.large", Some("2"))];
    create(&mut plane, &request(policy(overrides, wire::InstancesDistribution::default()), 7)).expect("a good policy");
    settle(&mut plane);
    let group = plane.group("mixed");
    let weights: Vec<&str> = group.instances.iter().filter_map(|one| one.weighted_capacity.as_deref()).collect();
    assert_eq!(weights, ["4", "4"], "seven units are two instances of four");
    assert_eq!(group.desired_capacity, Some(7));
}

/// DesiredCapacityType vcpu counts vCPUs, of the types that meet requirements.
#[test]
fn autoscaling_13_vcpus_by_requirements() {
    let mut plane = Plane::new();
    let requirements = wire::InstanceRequirements {
        v_cpu_count: Some(wire::VCpuCountRequest { min: Some(4), max: Some(4) }),
        memory_mi_b: Some(wire::MemoryMiBRequest { min: Some(0), max: None }),
        ..Default::default()
    };
    let item = wire::LaunchTemplateOverrides { instance_requirements: Some(requirements), ..Default::default() };
    let input = wire::CreateAutoScalingGroupType {
        desired_capacity_type: Some("vcpu".to_string()),
        ..request(policy(vec![item.clone()], wire::InstancesDistribution::default()), 8)
    };
    create(&mut plane, &input).expect("a good policy");
    settle(&mut plane);
    let want = [("c5.xlarge on-demand us-east-1a", 1), ("c5.xlarge on-demand us-east-1b", 1)];
    assert_eq!(found(&mut plane), counts(&want));
    let shown = plane.group("mixed").mixed_instances_policy.expect("it has one");
    let distribution = shown.instances_distribution.expect("it is always shown");
    assert_eq!(distribution.on_demand_allocation_strategy.as_deref(), Some("lowest-price"));
    assert_eq!(shown.launch_template.expect("it has one").overrides, [item]);
}

/// A spot instance that was told of its interruption is replaced before it
/// goes, if the group wants that.
#[test]
fn autoscaling_13_capacity_rebalancing() {
    for rebalance in [true, false] {
        let mut plane = Plane::new();
        let spot =
            wire::InstancesDistribution { on_demand_percentage_above_base_capacity: Some(0), ..Default::default() };
        let input = wire::CreateAutoScalingGroupType {
            capacity_rebalance: Some(rebalance),
            ..request(policy(vec![over("m5.large", None)], spot), 2)
        };
        create(&mut plane, &input).expect("a good policy");
        settle(&mut plane);
        let members = plane.members("mixed");
        let at = plane.now + Span::from_mins(2);
        plane
            .write(|change| {
                change.update(&members[0], |row: &mut Instance| row.interruption = Some(at));
                Ok(())
            })
            .expect("writing does not fail");
        plane.pass(Span::from_secs(1));
        plane.pass(Span::from_secs(1));
        let now = plane.members("mixed");
        let replaced = now.iter().any(|id| !members.contains(id));
        assert_eq!(replaced, rebalance, "{members:?} {now:?}");
        settle(&mut plane);
        let serving = plane.members("mixed");
        assert!(serving.len() == 2 && !serving.contains(&members[0]), "{serving:?}");
    }
}

/// A zone without capacity: what was for it goes to the other zone, with the
/// shares of the group, and the failed attempts are activities.
#[test]
fn autoscaling_13_zone_without_capacity() {
    let mut plane = Plane::new();
    plane.put(Outage { zone: "us-east-1b".into(), since: plane.now, until: None });
    create(&mut plane, &request(policy(vec![over("m5.large", None), over("c5.large", None)], half_spot()), 4))
        .expect("a good policy");
    plane.pass(Span::from_secs(1));
    let want = [("c5.large spot us-east-1a", 1), ("m5.large on-demand us-east-1a", 3)];
    assert_eq!(found(&mut plane), counts(&want));
}

/// A highest price below the spot price launches nothing and says so.
#[test]
fn autoscaling_13_spot_max_price() {
    let mut plane = Plane::new();
    let distribution = wire::InstancesDistribution {
        on_demand_percentage_above_base_capacity: Some(0),
        spot_max_price: Some("0.0001".to_string()),
        ..Default::default()
    };
    create(&mut plane, &request(policy(vec![over("m5.large", None)], distribution), 1)).expect("a good policy");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.members("mixed"), Vec::<String>::new());
    let input = wire::DescribeScalingActivitiesType::default();
    let activities = plane.read(|call| super::describe_scaling_activities(call, &input)).expect("a good request");
    let message = activities.activities[0].status_message.clone().unwrap_or_default();
    assert!(message.contains("fulfillment price of 0.028800"), "{message}");
}

/// Every default is shown, stable over an update, and a template takes the
/// policy's place.
#[test]
fn autoscaling_13_defaults_shown() {
    let mut plane = Plane::new();
    let input = wire::MixedInstancesPolicy { instances_distribution: None, ..policy(Vec::new(), Default::default()) };
    create(&mut plane, &request(input, 0)).expect("a good policy");
    let want = wire::InstancesDistribution {
        on_demand_allocation_strategy: Some("prioritized".to_string()),
        on_demand_base_capacity: Some(0),
        on_demand_percentage_above_base_capacity: Some(100),
        spot_allocation_strategy: Some("lowest-price".to_string()),
        spot_instance_pools: Some(2),
        ..Default::default()
    };
    let group = plane.group("mixed");
    let shown = group.mixed_instances_policy.expect("it has one");
    assert_eq!((shown.instances_distribution, group.launch_template), (Some(want), None));
    let template = group_request("web", 0, 0, 0).launch_template;
    update(&mut plane, wire::UpdateAutoScalingGroupType { launch_template: template, ..Default::default() })
        .expect("a good template");
    let group = plane.group("mixed");
    assert!(group.mixed_instances_policy.is_none() && group.launch_template.is_some());
}

/// What AWS refuses, and what has no meaning here.
#[test]
fn autoscaling_13_refused() {
    let mut plane = Plane::new();
    let none = wire::InstancesDistribution::default;
    let strategy = |name: &str| wire::InstancesDistribution {
        spot_allocation_strategy: Some(name.to_string()),
        spot_instance_pools: Some(3),
        ..Default::default()
    };
    let required = |requirements| {
        policy(
            vec![wire::LaunchTemplateOverrides { instance_requirements: Some(requirements), ..Default::default() }],
            none(),
        )
    };
    let vcpus = |min| wire::InstanceRequirements {
        v_cpu_count: Some(wire::VCpuCountRequest { min: Some(min), max: None }),
        memory_mi_b: Some(wire::MemoryMiBRequest { min: Some(0), max: None }),
        ..Default::default()
    };
    let manufacturers = || vec!["nobody".to_string()];
    for (input, part) in [
        (policy(vec![over("x9.large", None)], none()), "x9.large is not offered"),
        (policy(vec![over("m5.large", None), over("m5.large", None)], none()), "given twice"),
        (policy(vec![over("m5.large", Some("1")), over("c5.large", None)], none()), "for all of them"),
        (policy(vec![over("m5.large", Some("1000"))], none()), "between 1 and 999"),
        (policy(vec![over("m5.large", None); 41], none()), "at most 40"),
        (policy(Vec::new(), strategy("capacity-optimized")), "only available with the lowest-price"),
        (policy(Vec::new(), strategy("cheapest")), "Invalid SpotAllocationStrategy"),
        (required(vcpus(1000)), "meets the specified InstanceRequirements"),
        (required(wire::InstanceRequirements::default()), "must contain VCpuCount"),
        (required(wire::InstanceRequirements { cpu_manufacturers: manufacturers(), ..vcpus(1) }), "CpuManufacturers"),
        (
            required(wire::InstanceRequirements { accelerator_types: vec!["gpu".to_string()], ..vcpus(1) }),
            "AcceleratorTypes is not supported",
        ),
    ] {
        let err = create(&mut plane, &request(input, 0)).expect_err(part);
        assert!(err.code == "ValidationError" && err.message.contains(part), "{part}: {}", err.message);
    }
    let id = "lt-0123456789abcdef0";
    plane
        .write(|change| {
            change.update(id, |row: &mut LaunchTemplate| row.versions[0].data.spot = Some(SpotChoice::default()));
            Ok(())
        })
        .expect("writing does not fail");
    let err = create(&mut plane, &request(policy(Vec::new(), none()), 0)).expect_err("a template with a market");
    assert!(err.message.contains("Incompatible launch template"), "{}", err.message);
    assert!(plane.write(|change| Ok(change.get::<Group>("mixed").is_none())).expect("reading does not fail"));
}
