//! Standby, attaching, detaching and warm pools as clients see them
//! (autoscaling.md 2.4, 2.5, 12).

use super::testing::{Plane, plane_with_group, refusal, web};
use super::*;
use elastane_domain::group::Process;
use elastane_domain::time::Span;
use elastane_engine::row::{Group, Instance};
use elastane_wire::{ApiError, autoscaling as wire};

impl Plane {
    fn enter(&mut self, ids: &[String], decrement: Option<bool>) -> Result<Vec<wire::Activity>, ApiError> {
        let input = wire::EnterStandbyQuery {
            auto_scaling_group_name: web(),
            instance_ids: ids.to_vec(),
            should_decrement_desired_capacity: decrement,
        };
        self.write(|change| enter_standby(change, &input)).map(|answer| answer.activities)
    }

    fn exit(&mut self, ids: &[String]) -> Result<Vec<wire::Activity>, ApiError> {
        let input = wire::ExitStandbyQuery { auto_scaling_group_name: web(), instance_ids: ids.to_vec() };
        self.write(|change| exit_standby(change, &input)).map(|answer| answer.activities)
    }

    fn detach(&mut self, ids: &[String], decrement: bool) -> Result<Vec<wire::Activity>, ApiError> {
        let input = wire::DetachInstancesQuery {
            auto_scaling_group_name: web(),
            instance_ids: ids.to_vec(),
            should_decrement_desired_capacity: Some(decrement),
        };
        self.write(|change| detach_instances(change, &input)).map(|answer| answer.activities)
    }

    fn attach(&mut self, ids: &[String]) -> Result<(), ApiError> {
        let input = wire::AttachInstancesQuery { auto_scaling_group_name: web(), instance_ids: ids.to_vec() };
        self.write(|change| attach_instances(change, &input)).map(drop)
    }

    fn desired(&self) -> Option<i32> {
        self.group("web").desired_capacity
    }

    fn words(&self) -> Vec<String> {
        let instances = self.group("web").instances;
        let mut words: Vec<String> = instances.into_iter().filter_map(|one| one.lifecycle_state).collect();
        words.sort();
        words
    }

    fn put_pool(&mut self, input: wire::PutWarmPoolType) -> Result<(), ApiError> {
        let input = wire::PutWarmPoolType { auto_scaling_group_name: web(), ..input };
        self.write(|change| put_warm_pool(change, &input)).map(drop)
    }

    fn pool(&self) -> wire::DescribeWarmPoolAnswer {
        let input = wire::DescribeWarmPoolType { auto_scaling_group_name: web(), ..Default::default() };
        self.read(|call| describe_warm_pool(call, &input)).expect("the group is there")
    }

    fn delete_pool(&mut self, force: bool) -> Option<String> {
        let input = wire::DeleteWarmPoolType { auto_scaling_group_name: web(), force_delete: Some(force) };
        self.write(|change| delete_warm_pool(change, &input)).err().map(|err| err.to_string())
    }
}

/// The calls answer with AWS's activities, and desired follows.
#[test]
fn autoscaling_2_4_standby_calls() {
    let mut plane = plane_with_group(0, 4, 2);
    let id = plane.members("web")[0].clone();
    let one = std::slice::from_ref(&id);
    let activity = plane.enter(one, Some(true)).expect("it is in service").remove(0);
    assert_eq!(activity.description, Some(format!("Moving EC2 instance to Standby: {id}")));
    assert_eq!((activity.status_code.as_deref(), activity.progress), (Some("InProgress"), Some(50)));
    let cause = activity.cause.unwrap_or_default();
    let text = format!(
        "instance {id} was moved to standby in response to a user request, shrinking the capacity from 2 to 1."
    );
    assert!(cause.ends_with(&text), "{cause}");
    assert_eq!(plane.desired(), Some(1));
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.words(), ["InService", "Standby"]);

    assert!(refusal(plane.enter(one, Some(true))).contains("is not in InService"));
    let activity = plane.exit(one).expect("it is in standby").remove(0);
    assert_eq!(activity.description, Some(format!("Moving EC2 instance out of Standby: {id}")));
    assert_eq!((activity.status_code.as_deref(), activity.progress), (Some("PreInService"), Some(30)));
    assert_eq!(plane.desired(), Some(2));
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.words(), ["InService", "InService"]);
}

/// What cannot be moved, and why.
#[test]
fn autoscaling_2_4_standby_refusals() {
    let mut plane = plane_with_group(2, 2, 2);
    let ids = plane.members("web");
    let sizes = "AutoScalingGroup web has min-size=2, max-size=2, and desired-size=2. To";
    let few = refusal(plane.enter(&ids[..1], Some(true)));
    assert!(few.contains(&format!("{sizes} place into standby 1 instance, please update")), "{few}");
    let few = refusal(plane.detach(&ids, true));
    assert!(few.contains(&format!("{sizes} detach 2 instances, please update")), "{few}");
    assert!(refusal(plane.enter(&ids, None)).contains("ShouldDecrementDesiredCapacity"));
    assert!(refusal(plane.enter(&[], Some(false))).contains("InstanceIds"));
    assert!(refusal(plane.enter(&["i-0".to_string()], Some(false))).contains("is not part of"));
    assert!(refusal(plane.enter(&[ids[0].clone(), ids[0].clone()], Some(false))).contains("twice"));
    let many: Vec<String> = (0..21).map(|number| format!("i-{number}")).collect();
    assert!(refusal(plane.enter(&many, Some(false))).contains("At most 20"));
    assert!(refusal(plane.exit(&ids[..1])).contains("is not in Standby"));

    plane.enter(&ids[..1], Some(false)).expect("another stands in");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.words(), ["InService", "InService", "Standby"]);
    plane
        .write(|change| {
            change.update("web", |row: &mut Group| drop(row.suspended.insert(Process::Launch, String::new())));
            Ok(())
        })
        .expect("the group is there");
    assert!(refusal(plane.exit(&ids[..1])).contains("Launch process"));
    plane
        .write(|change| {
            change.update("web", |row: &mut Group| row.suspended.clear());
            Ok(())
        })
        .expect("the group is there");
    plane.exit(&ids[..1]).expect("it comes back");
    assert_eq!(plane.desired(), Some(2), "never above the maximum: the surplus is trimmed");
    plane.pass(Span::from_secs(1));
    assert_eq!(plane.words(), ["InService", "InService"]);
}

/// Out alive, and in again; an instance of nobody's can be attached, another group's cannot.
#[test]
fn autoscaling_2_5_attach_and_detach() {
    let mut plane = plane_with_group(0, 2, 1);
    let id = plane.members("web")[0].clone();
    let one = std::slice::from_ref(&id);
    assert!(refusal(plane.attach(one)).contains("already part of AutoScalingGroup:web"));
    assert!(refusal(plane.attach(&["i-0".to_string()])).contains("Invalid Instance ID"));
    let activity = plane.detach(one, true).expect("it is in service").remove(0);
    assert_eq!(activity.description, Some(format!("Detaching EC2 instance: {id}")));
    assert_eq!(activity.status_code.as_deref(), Some("InProgress"));
    plane.pass(Span::from_secs(1));
    assert_eq!((plane.desired(), plane.words().len()), (Some(0), 0));

    plane.attach(one).expect("it runs");
    plane.pass(Span::from_secs(1));
    assert_eq!((plane.desired(), plane.words()), (Some(1), vec!["InService".to_string()]));
    plane.detach(one, false).expect("it is in service");
    plane.pass(Span::from_secs(1));
    assert_eq!((plane.desired(), plane.words().len()), (Some(1), 1), "another stands in");
    let desired = wire::SetDesiredCapacityType {
        auto_scaling_group_name: web(),
        desired_capacity: Some(2),
        ..Default::default()
    };
    plane.write(|change| set_desired_capacity(change, &desired)).expect("within the bounds");
    assert!(refusal(plane.attach(one)).contains("To attach 1 instance, please update"));
}

/// A pool is described apart from its group, changes by what is named, and
/// goes empty or by force.
#[test]
fn autoscaling_12_pool_calls() {
    let mut plane = plane_with_group(0, 3, 1);
    assert_eq!(plane.pool().warm_pool_configuration, None);
    assert!(plane.delete_pool(false).is_some_and(|text| text.contains("No warm pool found")));
    plane.put_pool(wire::PutWarmPoolType { min_size: Some(0), ..Default::default() }).expect("a good pool");
    plane.pass(Span::from_secs(1));
    let configuration = wire::WarmPoolConfiguration {
        min_size: Some(0),
        pool_state: Some("Stopped".to_string()),
        ..Default::default()
    };
    let pool = plane.pool();
    assert_eq!(pool.warm_pool_configuration, Some(configuration.clone()));
    let words: Vec<_> = pool.instances.iter().filter_map(|one| one.lifecycle_state.as_deref()).collect();
    assert_eq!(words, ["Warmed:Stopped", "Warmed:Stopped"]);
    let group = plane.group("web");
    assert_eq!((group.instances.len(), group.warm_pool_size), (1, Some(2)));
    assert_eq!(group.warm_pool_configuration, Some(configuration));
    let bare = wire::AutoScalingGroupNamesType { include_instances: Some(false), ..Default::default() };
    let bare = plane.read(|call| describe_auto_scaling_groups(call, &bare)).expect("a good request");
    let bare: Vec<_> = bare.auto_scaling_groups.iter().map(|one| (one.instances.len(), one.warm_pool_size)).collect();
    assert_eq!(bare, [(0, Some(2))], "instances are left out, not their number");

    let reuse = wire::InstanceReusePolicy { reuse_on_scale_in: Some(true) };
    let changed = wire::PutWarmPoolType {
        max_group_prepared_capacity: Some(2),
        instance_reuse_policy: Some(reuse),
        ..Default::default()
    };
    plane.put_pool(changed).expect("a good change");
    plane.pass(Span::from_secs(1));
    let pool = plane.pool();
    assert_eq!(pool.instances.len(), 1);
    let reuse = wire::InstanceReusePolicy { reuse_on_scale_in: Some(false) };
    let changed = wire::PutWarmPoolType { instance_reuse_policy: Some(reuse.clone()), ..Default::default() };
    plane.put_pool(changed).expect("a good change");
    let shown = plane.pool().warm_pool_configuration.and_then(|one| one.instance_reuse_policy);
    assert_eq!(shown, Some(reuse), "given, and so shown");
    assert_eq!(pool.warm_pool_configuration.and_then(|one| one.max_group_prepared_capacity), Some(2));
    plane
        .put_pool(wire::PutWarmPoolType { max_group_prepared_capacity: Some(-1), ..Default::default() })
        .expect("it is taken back");
    assert_eq!(plane.pool().warm_pool_configuration.and_then(|one| one.max_group_prepared_capacity), None);

    assert!(plane.delete_pool(false).is_some_and(|text| text.starts_with("ResourceInUse")));
    assert_eq!(plane.delete_pool(true), None);
    let status = plane.pool().warm_pool_configuration.and_then(|one| one.status);
    assert_eq!(status.as_deref(), Some("PendingDelete"));
    assert!(refusal(plane.put_pool(wire::PutWarmPoolType::default())).contains("pending delete"));
    plane.pass(Span::from_secs(1));
    assert_eq!((plane.pool().warm_pool_configuration, plane.group("web").warm_pool_size), (None, None));
}

/// What a pool must not ask for.
#[test]
fn autoscaling_12_pool_refusals() {
    let mut plane = plane_with_group(0, 3, 0);
    let state = |name: &str| wire::PutWarmPoolType { pool_state: Some(name.to_string()), ..Default::default() };
    assert!(refusal(plane.put_pool(state("Asleep"))).contains("Invalid PoolState"));
    assert!(refusal(plane.put_pool(state("Hibernated"))).contains("not supported"));
    let negative = wire::PutWarmPoolType { min_size: Some(-1), ..Default::default() };
    assert!(refusal(plane.put_pool(negative)).contains("MinSize"));
    assert_eq!(plane.pool().warm_pool_configuration, None);
    plane.put_pool(state("Running")).expect("a good pool");
    plane.pass(Span::from_secs(1));
    let running = plane.pool().instances;
    assert!(running.len() == 3 && running.iter().all(|one| one.lifecycle_state.as_deref() == Some("Warmed:Running")));
    let id = running[0].instance_id.clone().unwrap_or_default();
    let row = plane.write(|change| Ok(change.get::<Instance>(&id))).expect("reading does not fail");
    assert!(row.is_some_and(|row| row.membership.as_ref().is_some_and(|place| !place.lifecycle.counts_as_capacity())));
}
