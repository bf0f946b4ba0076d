//! What a group can be told besides its size: settings, suspended processes,
//! traffic sources, members, deletion.

use super::testing::{Plane, TARGET_GROUP, group_request, plane_with_group, refusal, web};
use super::*;
use elastane_domain::time::Span;
use elastane_engine::network;
use elastane_engine::row::{Group, Instance, LaunchConfiguration, LaunchData, Outage, PlacementGroup, Tags};
use elastane_wire::{ApiError, autoscaling as wire};

fn percentages(min: i32, max: i32) -> Option<wire::InstanceMaintenancePolicy> {
    Some(wire::InstanceMaintenancePolicy { max_healthy_percentage: Some(max), min_healthy_percentage: Some(min) })
}

fn update(plane: &mut Plane, edit: impl FnOnce(&mut wire::UpdateAutoScalingGroupType)) -> Result<(), ApiError> {
    let mut request = wire::UpdateAutoScalingGroupType { auto_scaling_group_name: web(), ..Default::default() };
    edit(&mut request);
    plane.write(|change| update_auto_scaling_group(change, &request)).map(|_| ())
}

fn set_desired(plane: &mut Plane, desired: i32) {
    let request = wire::SetDesiredCapacityType {
        auto_scaling_group_name: web(),
        desired_capacity: Some(desired),
        honor_cooldown: None,
    };
    plane.write(|change| set_desired_capacity(change, &request)).expect("a good request");
    plane.pass(Span::from_secs(1));
}

/// Every setting is shown as it was given, and cleared by its own value.
#[test]
fn autoscaling_1_settings_are_shown() {
    let mut plane = Plane::new();
    plane.put(PlacementGroup {
        name: "near".to_string(),
        id: "pg-1".to_string(),
        strategy: "cluster".to_string(),
        partitions: None,
        spread_level: None,
        tags: Tags::new(),
    });
    let request = wire::CreateAutoScalingGroupType {
        availability_zones: vec!["us-east-1a".to_string()],
        availability_zone_ids: vec!["use1-az2".to_string()],
        availability_zone_distribution: Some(wire::AvailabilityZoneDistribution {
            capacity_distribution_strategy: Some("balanced-only".to_string()),
        }),
        capacity_rebalance: Some(true),
        context: Some("mine".to_string()),
        deletion_protection: Some("prevent-force-deletion".to_string()),
        desired_capacity_type: Some("units".to_string()),
        health_check_type: Some("EC2,EBS".to_string()),
        instance_lifecycle_policy: Some(wire::InstanceLifecyclePolicy {
            retention_triggers: Some(wire::RetentionTriggers { terminate_hook_abandon: Some("retain".to_string()) }),
        }),
        instance_maintenance_policy: percentages(90, 110),
        max_instance_lifetime: Some(86_400),
        placement_group: Some("near".to_string()),
        termination_policies: vec!["AllocationStrategy".to_string(), "OldestLaunchConfiguration".to_string()],
        ..group_request("web", 0, 4, 0)
    };
    plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    let group = plane.group("web");
    assert_eq!(group.availability_zones, ["us-east-1a", "us-east-1b"]);
    assert_eq!(group.availability_zone_distribution, request.availability_zone_distribution);
    assert_eq!((group.capacity_rebalance, group.context), (Some(true), request.context));
    assert_eq!(group.deletion_protection, request.deletion_protection);
    assert_eq!(group.health_check_type.as_deref(), Some("EC2,EBS"));
    assert_eq!(group.instance_lifecycle_policy, request.instance_lifecycle_policy);
    assert_eq!(group.instance_maintenance_policy, percentages(90, 110));
    assert_eq!((group.max_instance_lifetime, group.placement_group.as_deref()), (Some(86_400), Some("near")));
    assert_eq!(group.termination_policies, request.termination_policies);
    update(&mut plane, |request| {
        request.capacity_rebalance = Some(false);
        request.context = Some(String::new());
        request.deletion_protection = Some("none".to_string());
        request.instance_lifecycle_policy = Some(wire::InstanceLifecyclePolicy::default());
        request.instance_maintenance_policy = percentages(-1, -1);
        request.max_instance_lifetime = Some(0);
        request.placement_group = Some(String::new());
    })
    .expect("a good request");
    let group = plane.group("web");
    assert_eq!((group.capacity_rebalance, group.context), (Some(false), None));
    assert_eq!(group.deletion_protection.as_deref(), Some("none"), "given, and so shown");
    assert_eq!((group.instance_lifecycle_policy, group.instance_maintenance_policy), (None, None));
    assert_eq!((group.max_instance_lifetime, group.placement_group), (None, None));
}

fn made(plane: &mut Plane, request: &wire::CreateAutoScalingGroupType) -> wire::AutoScalingGroup {
    plane.write(|change| create_auto_scaling_group(change, request)).expect("a good request");
    plane.group(request.auto_scaling_group_name.as_deref().expect("a name"))
}

/// A default that a client gives is shown back; one that it does not give is not.
#[test]
fn autoscaling_1_defaults_are_shown_when_given() {
    let mut plane = Plane::new();
    let group = made(&mut plane, &group_request("plain", 0, 1, 0));
    assert_eq!((group.deletion_protection, group.desired_capacity_type), (None, None));
    assert_eq!((group.instance_lifecycle_policy, group.capacity_reservation_specification), (None, None));
    assert_eq!(group.availability_zone_impairment_policy, None);
    let request = wire::CreateAutoScalingGroupType {
        deletion_protection: Some("none".to_string()),
        desired_capacity_type: Some("units".to_string()),
        instance_lifecycle_policy: Some(wire::InstanceLifecyclePolicy {
            retention_triggers: Some(wire::RetentionTriggers { terminate_hook_abandon: Some("terminate".to_string()) }),
        }),
        capacity_reservation_specification: Some(wire::CapacityReservationSpecification {
            capacity_reservation_preference: Some("default".to_string()),
            capacity_reservation_target: None,
        }),
        availability_zone_impairment_policy: Some(wire::AvailabilityZoneImpairmentPolicy {
            impaired_zone_health_check_behavior: Some("IgnoreUnhealthy".to_string()),
            zonal_shift_enabled: Some(false),
        }),
        ..group_request("named", 0, 1, 0)
    };
    let group = made(&mut plane, &request);
    assert_eq!(group.deletion_protection, request.deletion_protection);
    assert_eq!(group.desired_capacity_type, request.desired_capacity_type);
    assert_eq!(group.instance_lifecycle_policy, request.instance_lifecycle_policy);
    assert_eq!(group.capacity_reservation_specification, request.capacity_reservation_specification);
    assert_eq!(group.availability_zone_impairment_policy, request.availability_zone_impairment_policy);
}

type UpdateEdit = fn(&mut wire::UpdateAutoScalingGroupType);

/// Values that a group does not take.
#[test]
fn autoscaling_1_settings_are_checked() {
    let cases: [(UpdateEdit, &str); 14] = [
        (|r| r.max_instance_lifetime = Some(86_399), "MaxInstanceLifetime"),
        (|r| r.instance_maintenance_policy = percentages(40, 150), "difference"),
        (|r| r.instance_maintenance_policy = percentages(90, 99), "between"),
        (|r| r.instance_maintenance_policy = Some(Default::default()), "Both"),
        (|r| r.deletion_protection = Some("all".into()), "prevent-all-deletion"),
        (|r| r.desired_capacity_type = Some("vcpu".into()), "attribute-based"),
        (|r| r.desired_capacity_type = Some("gpus".into()), "Valid values are: units, vcpu, memory-mib"),
        (|r| r.placement_group = Some("none".into()), "does not exist"),
        (|r| r.availability_zone_ids = vec!["use1-az9".into()], "use1-az9"),
        (|r| r.launch_configuration_name = Some("none".into()), "Launch configuration name not found"),
        (|r| r.termination_policies = vec!["arn:aws:lambda:us-east-1:1:function:f:1".into()], "AWS Lambda"),
        (|r| r.health_check_type = Some("VPC_LATTICE".into()), "not supported"),
        (|r| r.service_linked_role_arn = Some("arn:aws:iam::1:role/own".into()), "not supported"),
        (
            |r| {
                r.availability_zone_distribution = Some(wire::AvailabilityZoneDistribution {
                    capacity_distribution_strategy: Some("reservations-then-balanced".into()),
                });
            },
            "not supported",
        ),
    ];
    for (edit, text) in cases {
        let mut plane = plane_with_group(0, 1, 0);
        let got = refusal(update(&mut plane, edit));
        assert!(got.starts_with("ValidationError: ") && got.contains(text), "{got} should have {text}");
    }
}

fn processes(names: &[&str]) -> wire::ScalingProcessQuery {
    wire::ScalingProcessQuery {
        auto_scaling_group_name: web(),
        scaling_processes: names.iter().map(ToString::to_string).collect(),
    }
}

/// Suspended processes are shown with their reason and do nothing until they are resumed.
#[test]
fn autoscaling_6_suspend_and_resume() {
    let mut plane = plane_with_group(0, 4, 1);
    let launch = processes(&["Launch", "RemoveFromLoadBalancerLowPriority"]);
    plane.write(|change| suspend_processes(change, &launch)).expect("a good request");
    set_desired(&mut plane, 3);
    assert_eq!(plane.members("web").len(), 1);
    let shown = &plane.group("web").suspended_processes;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].process_name.as_deref(), Some("Launch"));
    assert_eq!(shown[0].suspension_reason.as_deref(), Some("User suspended at 2026-01-01T10:00:01Z"));
    plane.write(|change| resume_processes(change, &launch)).expect("a good request");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.members("web").len(), 3);

    plane.write(|change| suspend_processes(change, &processes(&[]))).expect("a good request");
    assert_eq!(plane.group("web").suspended_processes.len(), 9);
    set_desired(&mut plane, 0);
    assert_eq!((plane.members("web").len(), plane.group("web").desired_capacity), (3, Some(0)));
    plane.write(|change| resume_processes(change, &processes(&[]))).expect("a good request");
    plane.pass(Span::from_secs(1));
    plane.pass(Span::from_secs(1));
    assert!(plane.members("web").is_empty());
    let got = refusal(plane.write(|change| suspend_processes(change, &processes(&["Sleep"]))));
    assert!(got.contains("Process type Sleep is not valid"), "{got}");
    let listed = plane.read(|call| describe_scaling_process_types(call, &Default::default())).expect("a list");
    assert_eq!(listed.processes.len(), 9);
}

fn states(plane: &Plane) -> Vec<String> {
    let input = wire::DescribeTrafficSourcesRequest { auto_scaling_group_name: web(), ..Default::default() };
    let found = plane.read(|call| describe_traffic_sources(call, &input)).expect("a good request");
    found.traffic_sources.into_iter().filter_map(|source| source.state).collect()
}

/// A traffic source goes through its states, and is in TargetGroupARNs too.
#[test]
fn autoscaling_4_2_traffic_sources() {
    let mut plane = plane_with_group(0, 4, 1);
    plane.load_balancer();
    let source = wire::TrafficSourceIdentifier { identifier: Some(TARGET_GROUP.to_string()), r#type: None };
    let attach = wire::AttachTrafficSourcesType {
        auto_scaling_group_name: web(),
        traffic_sources: vec![source.clone()],
        ..Default::default()
    };
    plane.write(|change| attach_traffic_sources(change, &attach)).expect("a good request");
    assert_eq!(plane.group("web").target_group_arns, [TARGET_GROUP]);
    assert_eq!(states(&plane), ["Added"]);
    plane.all_healthy();
    assert_eq!(states(&plane), ["InService"]);
    let detach =
        wire::DetachTrafficSourcesType { auto_scaling_group_name: web(), traffic_sources: vec![source.clone()] };
    plane.write(|change| detach_traffic_sources(change, &detach)).expect("a good request");
    assert_eq!(states(&plane), ["Removing"]);
    assert!(plane.group("web").target_group_arns.is_empty());
    plane.pass(Span::from_secs(301));
    plane.pass(Span::from_secs(1));
    assert!(states(&plane).is_empty());
    for (kind, text) in [("elb", "Load Balancers may not be valid"), ("vpc-lattice", "not supported")] {
        let source = wire::TrafficSourceIdentifier { r#type: Some(kind.to_string()), ..source.clone() };
        let attach = wire::AttachTrafficSourcesType { traffic_sources: vec![source], ..attach.clone() };
        let got = refusal(plane.write(|change| attach_traffic_sources(change, &attach)));
        assert!(got.contains(text), "{got}");
    }
    let input = wire::DescribeLoadBalancersRequest { auto_scaling_group_name: web(), ..Default::default() };
    assert!(plane.read(|call| describe_load_balancers(call, &input)).expect("a list").load_balancers.is_empty());
}

/// With AddToLoadBalancer suspended a launched instance is not registered, and not on resume either.
#[test]
fn autoscaling_6_add_to_load_balancer() {
    let mut plane = Plane::new();
    plane.load_balancer();
    let request = wire::CreateAutoScalingGroupType {
        target_group_arns: vec![TARGET_GROUP.to_string()],
        ..group_request("web", 0, 4, 0)
    };
    plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    let process = processes(&["AddToLoadBalancer"]);
    plane.write(|change| suspend_processes(change, &process)).expect("a good request");
    set_desired(&mut plane, 1);
    plane.write(|change| resume_processes(change, &process)).expect("a good request");
    plane.pass(Span::from_secs(60));
    assert_eq!(plane.group("web").instances[0].lifecycle_state.as_deref(), Some("InService"));
    let registered =
        plane.write(|change| Ok(change.all::<elastane_engine::row::Target>().count())).expect("reading does not fail");
    assert_eq!(registered, 0);
}

/// Each kind of deletion protection, and what else keeps a group.
#[test]
fn autoscaling_1_6_deletion_protection() {
    for (protection, force, refused) in [
        ("none", true, false),
        ("prevent-force-deletion", true, true),
        ("prevent-force-deletion", false, false),
        ("prevent-all-deletion", false, true),
        ("prevent-all-deletion", true, true),
    ] {
        let mut plane = plane_with_group(0, 1, 0);
        update(&mut plane, |request| request.deletion_protection = Some(protection.to_string()))
            .expect("a good request");
        let delete = wire::DeleteAutoScalingGroupType { auto_scaling_group_name: web(), force_delete: Some(force) };
        let got = plane.write(|change| delete_auto_scaling_group(change, &delete));
        assert_eq!(got.is_err(), refused, "{protection} {force}");
        if let Err(error) = got {
            assert!(error.to_string().contains(protection));
        }
    }
}

/// A zone without capacity: the launch goes elsewhere with a failed activity,
/// unless balance is all that matters.
#[test]
fn autoscaling_1_4_capacity_failures() {
    for (strategy, launched) in [("balanced-best-effort", 2), ("balanced-only", 1)] {
        let mut plane = plane_with_group(0, 4, 0);
        update(&mut plane, |request| {
            request.availability_zone_distribution =
                Some(wire::AvailabilityZoneDistribution { capacity_distribution_strategy: Some(strategy.to_string()) });
        })
        .expect("a good request");
        plane.put(Outage { zone: "us-east-1b".into(), since: plane.now, until: None });
        set_desired(&mut plane, 2);
        assert_eq!(plane.members("web").len(), launched, "{strategy}");
        assert!(plane.causes("web").len() > launched, "the failure has an activity");
        assert!(plane.group("web").instances.iter().all(|one| one.availability_zone.as_deref() == Some("us-east-1a")));
    }
}

/// A group of a launch configuration launches from it and says so of its instances.
#[test]
fn autoscaling_1_launch_configuration() {
    let mut plane = Plane::new();
    plane.put(LaunchConfiguration {
        name: "old".to_string(),
        arn: "arn:aws:autoscaling:us-east-1:000000000000:launchConfiguration:1:launchConfigurationName/old".to_string(),
        created_at: plane.now,
        data: LaunchData {
            image: Some(network::host_image()),
            instance_type: Some("t3.micro".to_string()),
            ..LaunchData::default()
        },
    });
    let request = wire::CreateAutoScalingGroupType {
        launch_template: None,
        launch_configuration_name: Some("old".to_string()),
        ..group_request("web", 0, 2, 1)
    };
    plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    plane.pass(Span::from_secs(1));
    let group = plane.group("web");
    assert_eq!((group.launch_configuration_name.as_deref(), group.launch_template.is_none()), (Some("old"), true));
    assert_eq!(group.instances[0].launch_configuration_name.as_deref(), Some("old"));
    assert!(group.instances[0].launch_template.is_none());
}

/// Instances over the maximum lifetime are replaced one at a time, with activities that say so.
#[test]
fn autoscaling_14_lifetime_replaces() {
    let mut plane = plane_with_group(0, 4, 2);
    update(&mut plane, |request| {
        request.max_instance_lifetime = Some(86_400);
        request.default_instance_warmup = Some(60);
    })
    .expect("a good request");
    let old = plane.members("web");
    plane.pass(Span::from_mins(24 * 60));
    plane.pass(Span::from_secs(1));
    let mixed = plane.members("web");
    assert_eq!((mixed.len(), mixed.iter().filter(|id| old.contains(id)).count()), (2, 1));
    for _ in 0..4 {
        plane.pass(Span::from_secs(60));
    }
    assert!(plane.members("web").iter().all(|id| !old.contains(id)));
    assert!(plane.causes("web").iter().any(|cause| cause.contains("reached the maximum instance lifetime")));
}

/// Weights: a member's weight comes off the desired capacity when it is terminated with it.
#[test]
fn autoscaling_2_5_terminate_takes_the_weight() {
    let mut plane = plane_with_group(0, 8, 1);
    let id = plane.members("web")[0].clone();
    plane
        .write(|change| {
            change.update(&id, |row: &mut Instance| row.membership.as_mut().expect("a member").weight = 3);
            change.update("web", |row: &mut Group| row.desired = 3);
            Ok(())
        })
        .expect("rows change");
    let request = wire::TerminateInstanceInAutoScalingGroupType {
        auto_scaling_group_name: web(),
        instance_ids: vec![id],
        should_decrement_desired_capacity: Some(true),
        ..Default::default()
    };
    let done = plane.write(|change| terminate_instance_in_auto_scaling_group(change, &request)).expect("fine");
    assert_eq!(done.activities.len(), 1);
    assert!(done.activities[0].cause.as_deref().is_some_and(|cause| cause.contains("from 3 to 0")));
    assert_eq!(plane.group("web").desired_capacity, Some(0));
}

/// LaunchInstances answers with what it launched, raises the desired capacity
/// by that, and does it once for each client token.
#[test]
fn autoscaling_launch_instances_on_request() {
    let mut plane = plane_with_group(0, 4, 1);
    let request = wire::LaunchInstancesRequest {
        auto_scaling_group_name: web(),
        availability_zones: vec!["us-east-1b".to_string()],
        client_token: Some("once".to_string()),
        requested_capacity: Some(2),
        ..Default::default()
    };
    let done = plane.write(|change| launch_instances(change, &request)).expect("a good request");
    assert_eq!((done.errors.len(), done.instances.len(), done.instances[0].instance_ids.len()), (0, 1, 2));
    assert_eq!(plane.group("web").desired_capacity, Some(3));
    let again = plane.write(|change| launch_instances(change, &request)).expect("a good request");
    assert_eq!(again.instances, done.instances);
    plane.pass(Span::from_secs(1));
    let group = plane.group("web");
    assert_eq!((group.desired_capacity, group.instances.len()), (Some(3), 3));
    let other = wire::LaunchInstancesRequest { requested_capacity: Some(1), ..request.clone() };
    let got = refusal(plane.write(|change| launch_instances(change, &other)));
    assert!(got.starts_with("IdempotentParameterMismatch"), "{got}");
    let more = wire::LaunchInstancesRequest { client_token: None, ..request.clone() };
    assert!(refusal(plane.write(|change| launch_instances(change, &more))).contains("above the maximum size 4"));

    plane.put(Outage { zone: "us-east-1b".into(), since: plane.now, until: None });
    let one = wire::LaunchInstancesRequest { client_token: None, requested_capacity: Some(1), ..request };
    for (strategy, desired) in [("none", 3), ("retry-with-group-configuration", 4)] {
        let one = wire::LaunchInstancesRequest { retry_strategy: Some(strategy.to_string()), ..one.clone() };
        let done = plane.write(|change| launch_instances(change, &one)).expect("the error is in the answer");
        assert_eq!(done.errors[0].error_code.as_deref(), Some("InsufficientInstanceCapacity"));
        assert_eq!(plane.group("web").desired_capacity, Some(desired), "{strategy}");
    }
}
