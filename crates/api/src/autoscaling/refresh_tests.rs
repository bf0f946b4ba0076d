//! Instance refreshes as clients see them (autoscaling.md 11), replaced by a
//! real engine on a host that boots at once.

use super::testing::{Plane, START, group_request, web};
use super::*;
use elastane_domain::alarm::AlarmState;
use elastane_domain::time::Span;
use elastane_engine::row::{Instance, LaunchTemplate, LaunchTemplateVersion};
use elastane_wire::{ApiError, autoscaling as wire, cloudwatch};

const MINUTE: Span = Span::from_mins(1);

/// A group of so many instances of version 1 of a template with two versions.
fn plane(desired: i32) -> Plane {
    let mut plane = Plane::new();
    let template = plane.read(|call| Ok((**call.view.all::<LaunchTemplate>().next().expect("web")).clone()));
    let mut template = template.expect("reading does not fail");
    let second = LaunchTemplateVersion { number: 2, created_at: START, ..template.versions[0].clone() };
    (template.latest_version, template.versions) = (2, vec![template.versions[0].clone(), second]);
    plane.put(template);
    let mut request = group_request("web", 0, 10, desired);
    request.launch_template = Some(version("1"));
    plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    plane.pass(Span::from_secs(1));
    plane
}

fn version(number: &str) -> wire::LaunchTemplateSpecification {
    wire::LaunchTemplateSpecification {
        launch_template_name: web(),
        version: Some(number.to_string()),
        ..Default::default()
    }
}

fn to_second(preferences: wire::RefreshPreferences) -> wire::StartInstanceRefreshType {
    wire::StartInstanceRefreshType {
        auto_scaling_group_name: web(),
        desired_configuration: Some(wire::DesiredConfiguration {
            launch_template: Some(version("2")),
            ..Default::default()
        }),
        preferences: Some(preferences),
        strategy: None,
    }
}

impl Plane {
    fn start(&mut self, input: &wire::StartInstanceRefreshType) -> Result<String, ApiError> {
        self.write(|change| start_instance_refresh(change, input)).map(|it| it.instance_refresh_id.expect("its id"))
    }

    fn refreshes(&self) -> Vec<wire::InstanceRefresh> {
        let input = wire::DescribeInstanceRefreshesType { auto_scaling_group_name: web(), ..Default::default() };
        self.read(|call| describe_instance_refreshes(call, &input)).expect("the group is there").instance_refreshes
    }

    fn refresh(&self) -> wire::InstanceRefresh {
        self.refreshes().into_iter().next().expect("there is one")
    }

    fn standing(&self) -> (String, i32) {
        let refresh = self.refresh();
        (refresh.status.expect("a status"), refresh.percentage_complete.unwrap_or(-1))
    }

    /// How many members in service have each version.
    fn versions(&self) -> (usize, usize) {
        let members = self.members("web");
        let of = |number: u64| {
            let row = |id: &String| self.read(|call| Ok(call.view.get::<Instance>(id).cloned())).ok().flatten();
            let has = |one: &std::sync::Arc<Instance>| {
                let serves = one.membership.as_ref().is_some_and(|place| !place.lifecycle.is_terminating());
                serves && one.launch_template.as_ref().is_some_and(|(_, version)| *version == number)
            };
            members.iter().filter_map(row).filter(has).count()
        };
        (of(1), of(2))
    }

    /// Minutes pass until the refresh ends; the fewest and the most members on the way.
    fn finish(&mut self, minutes: usize) -> (usize, usize) {
        let mut seen = (usize::MAX, 0);
        for _ in 0..minutes {
            self.pass(MINUTE);
            let (old, new) = self.versions();
            seen = (seen.0.min(old + new), seen.1.max(old + new));
            if self.refresh().end_time.is_some() {
                return seen;
            }
        }
        panic!("it did not end: {:?}", self.refresh());
    }

    fn alarm(&mut self, state: AlarmState) {
        let input = cloudwatch::PutMetricAlarmInput {
            alarm_name: Some("errors".to_string()),
            metric_name: Some("Errors".to_string()),
            namespace: Some("App".to_string()),
            statistic: Some("Sum".to_string()),
            period: Some(60),
            evaluation_periods: Some(1),
            threshold: Some(1.0),
            comparison_operator: Some("GreaterThanThreshold".to_string()),
            treat_missing_data: Some("ignore".to_string()),
            ..Default::default()
        };
        self.write(|change| crate::cloudwatch::put_metric_alarm(change, &input)).expect("a good alarm");
        let input = cloudwatch::SetAlarmStateInput {
            alarm_name: Some("errors".to_string()),
            state_value: Some(if state == AlarmState::Alarm { "ALARM" } else { "OK" }.to_string()),
            state_reason: Some("test".to_string()),
            state_reason_data: None,
        };
        self.write(|change| crate::cloudwatch::set_alarm_state(change, &input)).expect("it is there");
    }
}

#[test]
fn autoscaling_11_1_defaults_come_from_the_group() {
    let mut plane = plane(1);
    let input = wire::StartInstanceRefreshType { auto_scaling_group_name: web(), ..Default::default() };
    plane.start(&input).expect("a good request");
    let shown = plane.refresh().preferences.expect("they are shown");
    assert_eq!((shown.min_healthy_percentage, shown.max_healthy_percentage), (Some(90), None));
    assert_eq!((shown.instance_warmup, shown.bake_time, shown.checkpoint_delay), (Some(0), Some(0), None));
    assert_eq!(shown.scale_in_protected_instances.as_deref(), Some("Wait"));
    assert_eq!(shown.standby_instances.as_deref(), Some("Wait"));
    assert_eq!((shown.skip_matching, shown.auto_rollback), (Some(false), Some(false)));
}

#[test]
fn autoscaling_11_1_what_makes_no_sense_is_refused() {
    let some = |change: fn(&mut wire::RefreshPreferences)| {
        let mut given = wire::RefreshPreferences::default();
        change(&mut given);
        given
    };
    let rows = [
        some(|it| it.min_healthy_percentage = Some(101)),
        some(|it| it.max_healthy_percentage = Some(120)),
        some(|it| (it.min_healthy_percentage, it.max_healthy_percentage) = (Some(50), Some(151))),
        some(|it| (it.min_healthy_percentage, it.max_healthy_percentage) = (Some(50), Some(99))),
        some(|it| it.checkpoint_percentages = vec![50, 20]),
        some(|it| it.checkpoint_percentages = vec![20, 20]),
        some(|it| it.checkpoint_delay = Some(60)),
        some(|it| it.bake_time = Some(172_801)),
        some(|it| it.standby_instances = Some("Refresh".to_string())),
        some(|it| it.scale_in_protected_instances = Some("Terminate".to_string())),
        some(|it| it.alarm_specification = Some(wire::AlarmSpecification { alarms: vec!["none".to_string()] })),
    ];
    let mut plane = plane(1);
    for given in rows {
        let err = plane.start(&to_second(given.clone())).expect_err("it makes no sense");
        assert_eq!(err.code, "ValidationError", "{given:?}");
    }
    let auto = wire::RefreshPreferences { auto_rollback: Some(true), ..Default::default() };
    let nowhere = wire::StartInstanceRefreshType { desired_configuration: None, ..to_second(auto) };
    assert_eq!(plane.start(&nowhere).expect_err("it could not go back").code, "ValidationError");
}

#[test]
fn autoscaling_11_3_every_instance_is_replaced_and_the_group_follows() {
    // (minimum, maximum) -> the fewest and the most members at any time
    let rows = [((None, None), (3, 3)), ((Some(100), Some(200)), (3, 6)), ((Some(100), Some(100)), (3, 4))];
    for ((min, max), (fewest, most)) in rows {
        let mut plane = plane(3);
        let given = wire::RefreshPreferences {
            min_healthy_percentage: min,
            max_healthy_percentage: max,
            instance_warmup: Some(90),
            ..Default::default()
        };
        plane.start(&to_second(given)).expect("a good request");
        let seen = plane.finish(60);
        assert_eq!(plane.standing(), ("Successful".to_string(), 100));
        assert_eq!(plane.versions(), (0, 3), "{min:?} {max:?}");
        assert!(seen.0 >= fewest && seen.1 <= most, "{min:?} {max:?}: {seen:?}");
        let template = plane.group("web").launch_template.expect("it launches from one");
        assert_eq!(template.version.as_deref(), Some("2"));
        assert_eq!(plane.refresh().instances_to_update, Some(0));
    }
}

#[test]
fn autoscaling_11_2_one_at_a_time_and_cancelled_once() {
    let mut plane = plane(3);
    let cancel = wire::CancelInstanceRefreshType { auto_scaling_group_name: web(), ..Default::default() };
    let err = plane.write(|change| cancel_instance_refresh(change, &cancel)).expect_err("there is none");
    assert_eq!(err.code, "ActiveInstanceRefreshNotFound");
    let given = wire::RefreshPreferences { instance_warmup: Some(300), ..Default::default() };
    plane.start(&to_second(given.clone())).expect("a good request");
    assert_eq!(plane.start(&to_second(given)).expect_err("there is one").code, "InstanceRefreshInProgress");
    plane.pass(MINUTE);
    assert_eq!(plane.versions(), (2, 1));
    let update = wire::UpdateAutoScalingGroupType {
        auto_scaling_group_name: web(),
        launch_template: Some(version("2")),
        ..Default::default()
    };
    let err = plane.write(|change| update_auto_scaling_group(change, &update)).expect_err("it is in the way");
    assert!(err.code == "ValidationError" && err.message.contains("active instance refresh"), "{err:?}");
    plane.write(|change| cancel_instance_refresh(change, &cancel)).expect("there is one");
    assert_eq!(plane.standing().0, "Cancelling");
    plane.finish(60);
    assert_eq!(plane.standing().0, "Cancelled");
    plane.pass(MINUTE * 60);
    assert_eq!(plane.versions(), (2, 1), "what is replaced stays replaced");
    assert_eq!(plane.group("web").launch_template.and_then(|it| it.version).as_deref(), Some("1"));
}

#[test]
fn autoscaling_11_3_checkpoints_pause() {
    let mut plane = plane(4);
    let given = wire::RefreshPreferences {
        checkpoint_percentages: vec![25, 100],
        checkpoint_delay: Some(1_800),
        ..Default::default()
    };
    plane.start(&to_second(given)).expect("a good request");
    plane.pass(MINUTE);
    plane.pass(MINUTE * 20);
    assert_eq!((plane.standing(), plane.versions()), (("InProgress".to_string(), 25), (3, 1)));
    plane.finish(60);
    assert_eq!((plane.standing(), plane.versions()), (("Successful".to_string(), 100), (0, 4)));
}

#[test]
fn autoscaling_11_3_an_alarm_takes_it_back() {
    let mut plane = plane(3);
    plane.alarm(AlarmState::Ok);
    let given = wire::RefreshPreferences {
        auto_rollback: Some(true),
        instance_warmup: Some(120),
        alarm_specification: Some(wire::AlarmSpecification { alarms: vec!["errors".to_string()] }),
        ..Default::default()
    };
    plane.start(&to_second(given)).expect("a good request");
    for _ in 0..4 {
        plane.pass(MINUTE);
    }
    let (_, begun) = plane.versions();
    assert!(begun > 0, "some are replaced");
    plane.alarm(AlarmState::Alarm);
    plane.finish(60);
    assert_eq!((plane.standing().0.as_str(), plane.versions()), ("RollbackSuccessful", (3, 0)));
    let reason = plane.refresh().rollback_details.and_then(|back| back.rollback_reason).unwrap_or_default();
    assert!(reason.contains("errors"), "{reason}");
    assert_eq!(plane.group("web").launch_template.and_then(|it| it.version).as_deref(), Some("1"));
}

#[test]
fn autoscaling_11_3_only_some_can_be_rolled_back() {
    let rollback = wire::RollbackInstanceRefreshType { auto_scaling_group_name: web() };
    let mut plane = plane(2);
    let err = plane.write(|change| rollback_instance_refresh(change, &rollback)).expect_err("there is none");
    assert_eq!(err.code, "ActiveInstanceRefreshNotFound");
    let input = wire::StartInstanceRefreshType { auto_scaling_group_name: web(), ..Default::default() };
    plane.start(&input).expect("a good request");
    let err = plane.write(|change| rollback_instance_refresh(change, &rollback)).expect_err("to what?");
    assert_eq!(err.code, "IrreversibleInstanceRefresh");
    plane.finish(60);
    let given = wire::RefreshPreferences { instance_warmup: Some(600), ..Default::default() };
    plane.start(&to_second(given)).expect("a good request");
    plane.pass(MINUTE);
    plane.write(|change| rollback_instance_refresh(change, &rollback)).expect("it has a way back");
    assert_eq!(plane.standing().0, "RollbackInProgress");
    plane.finish(60);
    assert_eq!((plane.standing().0.as_str(), plane.versions()), ("RollbackSuccessful", (2, 0)));
    assert_eq!(plane.refreshes().len(), 2);
}

#[test]
fn autoscaling_11_3_protected_instances_are_waited_for_and_then_it_fails() {
    let mut plane = plane(2);
    let protect = wire::SetInstanceProtectionQuery {
        auto_scaling_group_name: web(),
        instance_ids: vec![plane.members("web")[0].clone()],
        protected_from_scale_in: Some(true),
    };
    plane.write(|change| set_instance_protection(change, &protect)).expect("it is a member");
    plane.start(&to_second(wire::RefreshPreferences::default())).expect("a good request");
    plane.finish(90);
    assert_eq!((plane.standing(), plane.versions()), (("Failed".to_string(), 50), (1, 1)));
    let reason = plane.refresh().status_reason.unwrap_or_default();
    assert!(reason.contains("protected"), "{reason}");
    let ignoring = wire::RefreshPreferences {
        scale_in_protected_instances: Some("Ignore".to_string()),
        skip_matching: Some(true),
        ..Default::default()
    };
    plane.start(&to_second(ignoring)).expect("a good request");
    plane.finish(5);
    assert_eq!((plane.standing(), plane.versions()), (("Successful".to_string(), 100), (1, 1)));
}
