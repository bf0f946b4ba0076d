//! Groups, their members, traffic and tags.

use super::testing::{Plane, START, TARGET_GROUP, group_request, plane_with_group, refusal, web};
use super::*;
use elastane_domain::time::Span;
use elastane_engine::row::{Group, Target, TargetPhase};
use elastane_wire::autoscaling as wire;

/// A new group launches its desired capacity, spread over its zones, and says why.
#[test]
fn autoscaling_1_create_launches_desired() {
    let plane = plane_with_group(1, 4, 2);
    let group = plane.group("web");
    assert_eq!((group.min_size, group.max_size, group.desired_capacity), (Some(1), Some(4), Some(2)));
    assert_eq!((group.default_cooldown, group.health_check_grace_period), (Some(300), Some(0)));
    assert_eq!(group.termination_policies, ["Default"]);
    assert_eq!(group.health_check_type.as_deref(), Some("EC2"));
    let template = group.launch_template.expect("the template");
    assert_eq!(
        (template.launch_template_name.as_deref(), template.version.as_deref()),
        (Some("web"), Some("$Default"))
    );
    let mut seen: Vec<_> = group
        .instances
        .iter()
        .map(|i| (i.availability_zone.as_deref(), i.lifecycle_state.as_deref(), i.health_status.as_deref()))
        .collect();
    seen.sort();
    let at = |zone| (Some(zone), Some("InService"), Some("Healthy"));
    assert_eq!(seen, [at("us-east-1a"), at("us-east-1b")]);
    assert_eq!(
        plane.causes("web")[0],
        "At 2026-01-01T10:00:00Z a user request created an AutoScalingGroup changing the desired capacity from 0 to 2.  \
         At 2026-01-01T10:00:01Z an instance was started in response to a difference between desired and actual \
         capacity, increasing the capacity from 0 to 2."
    );
}

type CreateEdit = fn(&mut wire::CreateAutoScalingGroupType);

/// What a new group must not ask for, and that nothing is left behind.
#[test]
fn autoscaling_1_create_refusals() {
    let cases: [(CreateEdit, &str); 22] = [
        (|r| r.auto_scaling_group_name = Some("a:b".into()), "Group name"),
        (|r| r.auto_scaling_group_name = Some("a b".into()), "Group name"),
        (|r| r.launch_template = None, "Valid requests must contain either LaunchTemplate"),
        (|r| r.launch_template = Some(Default::default()), "either launchTemplateId or LaunchTemplateName"),
        (
            |r| r.launch_template.as_mut().unwrap().launch_template_name = Some("none".into()),
            "You must use a valid fully-formed launch template. The specified launch template, with template name none, does not exist.",
        ),
        (
            |r| r.launch_template.as_mut().unwrap().version = Some("9".into()),
            "Could not find launch template version 9",
        ),
        (|r| r.availability_zones.clear(), "At least one Availability Zone or VPC Subnet is required."),
        (|r| r.availability_zones = vec!["eu-west-1a".into()], "Invalid availability zone"),
        (|r| r.vpc_zone_identifier = Some("subnet-00000000".into()), "The subnet ID 'subnet-00000000' does not exist"),
        (|r| r.target_group_arns = vec![TARGET_GROUP.into()], "Provided Target Groups may not be valid"),
        (|r| r.min_size = Some(5), "Max bound, 4, must be greater than or equal to min bound, 5"),
        (|r| r.min_size = Some(-1), "MinSize must not be negative"),
        (
            |r| r.desired_capacity = Some(9),
            "Desired capacity:9 must be between the specified min size:1 and max size:4",
        ),
        (|r| r.health_check_type = Some("PING".into()), "Invalid HealthCheckType"),
        (|r| r.health_check_type = Some("EC2,VPC_LATTICE".into()), "not supported"),
        (|r| r.default_cooldown = Some(-2), "DefaultCooldown"),
        (|r| r.termination_policies = vec!["Default".into(), "OldestInstance".into()], "must be the last"),
        (|r| r.termination_policies = vec!["Newest".into()], "Invalid termination policy"),
        (|r| r.instance_id = Some("i-1".into()), "Valid requests must contain either LaunchTemplate"),
        (|r| r.load_balancer_names = vec!["x".into()], "Provided Load Balancers may not be valid"),
        (|r| r.launch_configuration_name = Some("x".into()), "Valid requests must contain either LaunchTemplate"),
        (|r| r.tags = vec![wire::Tag { key: Some("aws:x".into()), ..Default::default() }], "reserved"),
    ];
    for (edit, text) in cases {
        let mut plane = Plane::new();
        let mut request = group_request("web", 1, 4, 2);
        edit(&mut request);
        let got = refusal(plane.write(|change| create_auto_scaling_group(change, &request)));
        assert!(got.starts_with("ValidationError: ") && got.contains(text), "{got} should have {text}");
        assert_eq!(plane.group("web").auto_scaling_group_name, None, "{text}");
    }
    let mut plane = plane_with_group(0, 1, 0);
    let again = group_request("web", 0, 1, 0);
    let got = refusal(plane.write(|change| create_auto_scaling_group(change, &again)));
    assert!(got.starts_with("AlreadyExists: AutoScalingGroup by this name already exists"), "{got}");
}

/// An update changes what it names; bounds pull the desired capacity in, and the cause says so.
#[test]
fn autoscaling_1_1_update() {
    let mut plane = plane_with_group(1, 4, 2);
    let update = wire::UpdateAutoScalingGroupType {
        auto_scaling_group_name: web(),
        min_size: Some(3),
        health_check_type: Some("ELB".to_string()),
        health_check_grace_period: Some(60),
        default_instance_warmup: Some(30),
        termination_policies: vec!["OldestInstance".to_string()],
        ..Default::default()
    };
    plane.write(|change| update_auto_scaling_group(change, &update)).expect("a good request");
    plane.pass(Span::from_secs(1));
    let group = plane.group("web");
    assert_eq!((group.min_size, group.max_size, group.desired_capacity), (Some(3), Some(4), Some(3)));
    assert_eq!((group.health_check_type.as_deref(), group.health_check_grace_period), (Some("ELB"), Some(60)));
    assert_eq!((group.default_instance_warmup, group.instances.len()), (Some(30), 3));
    assert!(plane.causes("web")[0].contains(
        "a user request update of AutoScalingGroup constraints to min: 3, max: 4, desired: 3 changing the desired \
         capacity from 2 to 3."
    ));
    let clear = wire::UpdateAutoScalingGroupType {
        auto_scaling_group_name: web(),
        default_instance_warmup: Some(-1),
        ..Default::default()
    };
    plane.write(|change| update_auto_scaling_group(change, &clear)).expect("a good request");
    assert_eq!(plane.group("web").default_instance_warmup, None);
    let bad = wire::UpdateAutoScalingGroupType { min_size: Some(9), ..clear.clone() };
    assert!(refusal(plane.write(|change| update_auto_scaling_group(change, &bad))).contains("Max bound, 4"));
    let unknown = wire::UpdateAutoScalingGroupType { auto_scaling_group_name: Some("none".into()), ..clear };
    let got = refusal(plane.write(|change| update_auto_scaling_group(change, &unknown)));
    assert_eq!(got, "ValidationError: AutoScalingGroup name not found - AutoScalingGroup 'none' not found");
}

/// Without force a group with instances stays; with force everything goes, policies and all.
#[test]
fn autoscaling_1_6_delete() {
    let mut plane = plane_with_group(1, 4, 2);
    let delete = |force| wire::DeleteAutoScalingGroupType { auto_scaling_group_name: web(), force_delete: force };
    let got = refusal(plane.write(|change| delete_auto_scaling_group(change, &delete(None))));
    assert!(got.starts_with("ResourceInUse: "), "{got}");
    plane.write(|change| delete_auto_scaling_group(change, &delete(Some(true)))).expect("forced");
    let group = plane.group("web");
    assert_eq!((group.status.as_deref(), group.desired_capacity), (Some("Delete in progress"), Some(0)));
    let set = wire::SetDesiredCapacityType {
        auto_scaling_group_name: web(),
        desired_capacity: Some(0),
        honor_cooldown: None,
    };
    assert!(refusal(plane.write(|change| set_desired_capacity(change, &set))).contains("pending delete"));
    plane.pass(Span::from_secs(1));
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.group("web").auto_scaling_group_name, None);
    let gone = |include| wire::DescribeScalingActivitiesType {
        auto_scaling_group_name: web(),
        include_deleted_groups: include,
        ..Default::default()
    };
    assert!(refusal(plane.read(|call| describe_scaling_activities(call, &gone(None)))).contains("not found"));
    let kept = plane.read(|call| describe_scaling_activities(call, &gone(Some(true)))).expect("kept").activities;
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|activity| activity.auto_scaling_group_state.as_deref() == Some("Deleted")));
}

/// SetDesiredCapacity within bounds; HonorCooldown waits for the cooldown to end.
#[test]
fn autoscaling_1_1_set_desired() {
    let mut plane = plane_with_group(1, 4, 2);
    let set = |desired, honor| wire::SetDesiredCapacityType {
        auto_scaling_group_name: web(),
        desired_capacity: Some(desired),
        honor_cooldown: Some(honor),
    };
    let above = refusal(plane.write(|change| set_desired_capacity(change, &set(5, false))));
    assert_eq!(above, "ValidationError: New SetDesiredCapacity value 5 is above max value 4 for the AutoScalingGroup.");
    let busy = refusal(plane.write(|change| set_desired_capacity(change, &set(3, true))));
    assert!(busy.starts_with("ScalingActivityInProgress: "), "{busy}");
    plane.pass(Span::from_secs(301));
    plane.write(|change| set_desired_capacity(change, &set(3, true))).expect("the cooldown ended");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.members("web").len(), 3);
    assert!(
        plane.causes("web")[0].contains(
            "a user request explicitly set group desired capacity changing the desired capacity from 2 to 3."
        )
    );
}

/// Terminating a member: replaced, or with the desired capacity lowered, but not below min.
#[test]
fn autoscaling_2_5_terminate_instance() {
    let mut plane = plane_with_group(1, 4, 2);
    let terminate = |id: &str, decrement| wire::TerminateInstanceInAutoScalingGroupType {
        instance_id: Some(id.to_string()),
        should_decrement_desired_capacity: Some(decrement),
        ..Default::default()
    };
    let victim = plane.members("web")[0].clone();
    let request = terminate(&victim, true);
    let answer = plane.write(|change| terminate_instance_in_auto_scaling_group(change, &request)).expect("allowed");
    let activity = answer.activity.expect("an activity");
    assert_eq!(activity.description, Some(format!("Terminating EC2 instance: {victim}")));
    assert_eq!(
        activity.cause,
        Some(format!(
            "At 2026-01-01T10:00:01Z instance {victim} was taken out of service in response to a user request, shrinking \
             the capacity from 2 to 1."
        ))
    );
    plane.pass(Span::from_secs(1));
    let left = plane.members("web");
    assert_eq!((plane.group("web").desired_capacity, left.len()), (Some(1), 1));
    let request = terminate(&left[0], true);
    let got = refusal(plane.write(|change| terminate_instance_in_auto_scaling_group(change, &request)));
    assert!(got.contains("desiredSize equals minSize (1)"), "{got}");
    let request = terminate(&left[0], false);
    plane.write(|change| terminate_instance_in_auto_scaling_group(change, &request)).expect("replaced");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.members("web").len(), 1);
    assert_ne!(plane.members("web"), left);
    let unknown = terminate("i-00000000", false);
    let got = refusal(plane.write(|change| terminate_instance_in_auto_scaling_group(change, &unknown)));
    assert!(got.contains("No managed instance found for instance ID: i-00000000"), "{got}");
}

/// SetInstanceHealth respects the grace period unless told otherwise; then the member is replaced.
#[test]
fn autoscaling_4_set_instance_health() {
    let mut plane = plane_with_group(1, 4, 1);
    plane
        .write(|change| {
            change.update("web", |row: &mut Group| row.grace = Span::from_secs(600));
            Ok(())
        })
        .expect("fine");
    let member = plane.members("web")[0].clone();
    let set = |status: &str, respect| wire::SetInstanceHealthQuery {
        health_status: Some(status.to_string()),
        instance_id: Some(member.clone()),
        should_respect_grace_period: respect,
    };
    let bad = set("Fine", None);
    assert!(refusal(plane.write(|change| set_instance_health(change, &bad))).contains("Valid instance health states"));
    plane.write(|change| set_instance_health(change, &set("Unhealthy", None))).expect("ignored");
    assert_eq!(plane.group("web").instances[0].health_status.as_deref(), Some("Healthy"));
    plane.write(|change| set_instance_health(change, &set("Unhealthy", Some(false)))).expect("marked");
    assert_eq!(plane.group("web").instances[0].health_status.as_deref(), Some("Unhealthy"));
    let details = plane.read(|call| describe_auto_scaling_instances(call, &Default::default())).expect("fine");
    assert_eq!(details.auto_scaling_instances[0].health_status.as_deref(), Some("UNHEALTHY"));
    plane.pass(Span::from_secs(1));
    assert!(!plane.members("web").contains(&member));
    let causes = plane.causes("web");
    assert!(
        causes.iter().any(|cause| cause.contains("taken out of service in response to a user health-check")),
        "{causes:?}"
    );
}

/// A protected member survives scale in; one that is not of the group cannot be protected.
#[test]
fn autoscaling_5_5_protection() {
    let mut plane = plane_with_group(0, 4, 2);
    let members = plane.members("web");
    let protect = |ids: Vec<String>| wire::SetInstanceProtectionQuery {
        auto_scaling_group_name: web(),
        instance_ids: ids,
        protected_from_scale_in: Some(true),
    };
    let foreign = protect(vec![members[0].clone(), "i-00000000".to_string()]);
    let got = refusal(plane.write(|change| set_instance_protection(change, &foreign)));
    assert!(got.contains("is not part of Auto Scaling group web"), "{got}");
    assert_eq!(plane.group("web").instances[0].protected_from_scale_in, Some(false), "nothing half done");
    plane.write(|change| set_instance_protection(change, &protect(vec![members[0].clone()]))).expect("protected");
    let set = wire::SetDesiredCapacityType {
        auto_scaling_group_name: web(),
        desired_capacity: Some(0),
        honor_cooldown: None,
    };
    plane.write(|change| set_desired_capacity(change, &set)).expect("within bounds");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.members("web"), [members[0].clone()]);
}

/// Attaching registers members in service; states go from Added to InService; detaching drains.
#[test]
fn autoscaling_4_2_target_groups() {
    let mut plane = plane_with_group(1, 4, 2);
    let attach = wire::AttachLoadBalancerTargetGroupsType {
        auto_scaling_group_name: web(),
        target_group_arns: vec![TARGET_GROUP.to_string()],
    };
    let got = refusal(plane.write(|change| attach_load_balancer_target_groups(change, &attach)));
    assert!(got.contains("Provided Target Groups may not be valid"), "{got}");
    plane.load_balancer();
    plane.write(|change| attach_load_balancer_target_groups(change, &attach)).expect("attached");
    let state = |plane: &Plane| {
        let request =
            wire::DescribeLoadBalancerTargetGroupsRequest { auto_scaling_group_name: web(), ..Default::default() };
        let found =
            plane.read(|call| describe_load_balancer_target_groups(call, &request)).expect("the group is there");
        found.load_balancer_target_groups.into_iter().map(|one| one.state.expect("a state")).collect::<Vec<_>>()
    };
    assert_eq!(state(&plane), ["Added"]);
    plane.pass(Span::from_secs(1));
    plane.all_healthy();
    plane.pass(Span::from_secs(1));
    assert_eq!(state(&plane), ["InService"]);
    assert_eq!(plane.group("web").traffic_sources[0].identifier.as_deref(), Some(TARGET_GROUP));
    let detach = wire::DetachLoadBalancerTargetGroupsType {
        auto_scaling_group_name: web(),
        target_group_arns: vec![TARGET_GROUP.to_string()],
    };
    plane.write(|change| detach_load_balancer_target_groups(change, &detach)).expect("detached");
    assert_eq!(state(&plane), ["Removing"]);
    let draining = plane
        .write(|change| {
            Ok(change.all::<Target>().filter(|row| matches!(row.phase, TargetPhase::Draining { .. })).count())
        })
        .expect("fine");
    assert_eq!(draining, 2);
    let got = refusal(plane.write(|change| detach_load_balancer_target_groups(change, &detach)));
    assert!(got.contains("that are not part of the group"), "{got}");
}

/// Tags propagate, are listed, filtered and deleted.
#[test]
fn autoscaling_18_tags() {
    let mut plane = Plane::new();
    let tag = |key: &str, value: &str, propagate| wire::Tag {
        key: Some(key.to_string()),
        value: Some(value.to_string()),
        propagate_at_launch: Some(propagate),
        resource_id: web(),
        resource_type: Some("auto-scaling-group".to_string()),
    };
    let request = wire::CreateAutoScalingGroupType {
        tags: vec![tag("role", "shop", true), tag("team", "a", false)],
        ..group_request("web", 1, 1, 1)
    };
    plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    plane.write(|change| create_auto_scaling_group(change, &group_request("other", 0, 0, 0))).expect("a good request");
    plane.pass(Span::from_secs(1));
    let member = plane.members("web")[0].clone();
    let tags = plane
        .write(|change| Ok(change.get::<elastane_engine::row::Instance>(&member).expect("there").tags.clone()))
        .expect("fine");
    assert_eq!((tags.get("role").map(String::as_str), tags.get("team")), (Some("shop"), None));
    let filtered = |filter: &str, value: &str| {
        let filters = vec![wire::Filter { name: Some(filter.to_string()), values: vec![value.to_string()] }];
        let request = wire::AutoScalingGroupNamesType { filters, ..Default::default() };
        let found = plane.read(|call| describe_auto_scaling_groups(call, &request)).expect("a known filter");
        found.auto_scaling_groups.len()
    };
    for (filter, value, count) in [
        ("tag-key", "role", 1),
        ("tag-value", "a", 1),
        ("tag:role", "shop", 1),
        ("tag:role", "a", 0),
        ("tag-key", "x", 0),
    ] {
        assert_eq!(filtered(filter, value), count, "{filter} {value}");
    }
    let update = wire::CreateOrUpdateTagsType { tags: vec![tag("team", "b", true)] };
    plane.write(|change| create_or_update_tags(change, &update)).expect("updated");
    let delete = wire::DeleteTagsType { tags: vec![tag("role", "", true)] };
    plane.write(|change| delete_tags(change, &delete)).expect("deleted");
    let listed = plane.read(|call| describe_tags(call, &Default::default())).expect("fine").tags;
    let listed: Vec<_> = listed.iter().map(|t| (t.key.as_deref(), t.value.as_deref(), t.propagate_at_launch)).collect();
    assert_eq!(listed, [(Some("team"), Some("b"), Some(true))]);
}

/// Pages of groups follow each other; unknown names give nothing; limits hold.
#[test]
fn autoscaling_18_pages() {
    let mut plane = Plane::new();
    for index in 0..5 {
        let request = group_request(&format!("g{index}"), 0, 1, 0);
        plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    }
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let request = wire::AutoScalingGroupNamesType { max_records: Some(2), next_token: token, ..Default::default() };
        let page = plane.read(|call| describe_auto_scaling_groups(call, &request)).expect("a good token");
        assert!(page.auto_scaling_groups.len() <= 2);
        names.extend(page.auto_scaling_groups.into_iter().filter_map(|group| group.auto_scaling_group_name));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(names, ["g0", "g1", "g2", "g3", "g4"]);
    let bad = wire::AutoScalingGroupNamesType { max_records: Some(101), ..Default::default() };
    assert!(refusal(plane.read(|call| describe_auto_scaling_groups(call, &bad))).contains("maxRecords"));
    let bad = wire::AutoScalingGroupNamesType { next_token: Some("***".into()), ..Default::default() };
    assert!(refusal(plane.read(|call| describe_auto_scaling_groups(call, &bad))).starts_with("InvalidNextToken"));
    assert_eq!(plane.group("none").auto_scaling_group_name, None);
    assert_eq!(plane.group("g0").created_time.map(|at| at.millis()), Some(START.millis()));
}
