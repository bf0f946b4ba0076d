//! Life-cycle hooks as clients see them (autoscaling.md 3).

use super::testing::{Plane, group_request, web};
use super::*;
use elastane_domain::time::Span;
use elastane_wire::{ApiError, autoscaling as wire};

const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

fn plane(desired: i32) -> Plane {
    let mut plane = Plane::new();
    let request = group_request("web", 0, 4, desired);
    plane.write(|change| create_auto_scaling_group(change, &request)).expect("a good request");
    plane
}

fn hook(name: &str, transition: &str) -> wire::PutLifecycleHookType {
    wire::PutLifecycleHookType {
        auto_scaling_group_name: web(),
        lifecycle_hook_name: Some(name.to_string()),
        lifecycle_transition: Some(transition.to_string()),
        ..Default::default()
    }
}

impl Plane {
    fn put_hook(&mut self, input: &wire::PutLifecycleHookType) -> Result<(), ApiError> {
        self.write(|change| put_lifecycle_hook(change, input)).map(drop)
    }

    fn hooks(&self, names: &[&str]) -> Vec<wire::LifecycleHook> {
        let input = wire::DescribeLifecycleHooksType {
            auto_scaling_group_name: web(),
            lifecycle_hook_names: names.iter().map(|name| name.to_string()).collect(),
        };
        self.read(|call| describe_lifecycle_hooks(call, &input)).expect("the group is there").lifecycle_hooks
    }

    fn complete(&mut self, hook: &str, result: &str, instance: Option<&str>, token: Option<&str>) -> Option<String> {
        let input = wire::CompleteLifecycleActionType {
            auto_scaling_group_name: web(),
            instance_id: instance.map(str::to_string),
            lifecycle_action_result: Some(result.to_string()),
            lifecycle_action_token: token.map(str::to_string),
            lifecycle_hook_name: Some(hook.to_string()),
        };
        self.write(|change| complete_lifecycle_action(change, &input)).err().map(|err| err.to_string())
    }

    fn states(&self) -> Vec<String> {
        self.group("web").instances.into_iter().filter_map(|one| one.lifecycle_state).collect()
    }
}

/// A new hook has AWS's defaults; another call changes only what it names;
/// unknown names are left out; a deleted hook is gone.
#[test]
fn autoscaling_3_put_describe_delete() {
    let mut plane = plane(0);
    plane.put_hook(&hook("in", LAUNCHING)).expect("a good hook");
    plane.put_hook(&hook("out", TERMINATING)).expect("a good hook");
    let shown = plane.hooks(&["in", "no-such-hook"]);
    let expected = wire::LifecycleHook {
        auto_scaling_group_name: web(),
        default_result: Some("ABANDON".to_string()),
        global_timeout: Some(172_800),
        heartbeat_timeout: Some(3_600),
        lifecycle_hook_name: Some("in".to_string()),
        lifecycle_transition: Some(LAUNCHING.to_string()),
        ..Default::default()
    };
    assert_eq!(shown.as_slice(), std::slice::from_ref(&expected));

    let change = wire::PutLifecycleHookType {
        lifecycle_transition: None,
        heartbeat_timeout: Some(60),
        notification_metadata: Some("colour=blue".to_string()),
        ..hook("in", LAUNCHING)
    };
    plane.put_hook(&change).expect("a good change");
    let changed = wire::LifecycleHook {
        global_timeout: Some(6_000),
        heartbeat_timeout: Some(60),
        notification_metadata: Some("colour=blue".to_string()),
        ..expected
    };
    assert_eq!(plane.hooks(&["in"]), [changed]);
    assert_eq!(plane.hooks(&[]).len(), 2);

    let input =
        wire::DeleteLifecycleHookType { auto_scaling_group_name: web(), lifecycle_hook_name: Some("in".to_string()) };
    plane.write(|change| delete_lifecycle_hook(change, &input)).expect("it is there");
    assert_eq!(plane.hooks(&[]).len(), 1);
    let again = plane.write(|change| delete_lifecycle_hook(change, &input)).expect_err("it is gone");
    // Clients know it by this sentence (terraform-calls.md 4).
    assert!(again.to_string().starts_with("ValidationError: No Lifecycle Hook found"), "{again}");
}

type Edit = fn(&mut wire::PutLifecycleHookType);

/// What a hook must not say.
#[test]
fn autoscaling_3_put_refusals() {
    let cases: [(Edit, &str); 10] = [
        (|input| input.auto_scaling_group_name = Some("other".to_string()), "not found"),
        (|input| input.lifecycle_hook_name = None, "LifecycleHookName"),
        (|input| input.lifecycle_hook_name = Some("a b".to_string()), "lifecycleHookName"),
        (|input| input.lifecycle_transition = None, "LifecycleTransition is required"),
        (|input| input.lifecycle_transition = Some("launching".to_string()), "Invalid LifecycleTransition"),
        (|input| input.heartbeat_timeout = Some(29), "between 30 and 7200"),
        (|input| input.heartbeat_timeout = Some(7_201), "between 30 and 7200"),
        (|input| input.default_result = Some("RETRY".to_string()), "CONTINUE or ABANDON"),
        (|input| input.notification_target_arn = Some("arn:aws:lambda:us-east-1:1:f".to_string()), "SNS topic"),
        (|input| input.notification_target_arn = Some("arn:aws:sqs:us-east-1:1:q.fifo".to_string()), "FIFO"),
    ];
    for (edit, fragment) in cases {
        let mut plane = plane(0);
        let mut input = hook("in", LAUNCHING);
        edit(&mut input);
        let refusal = plane.put_hook(&input).expect_err(fragment).to_string();
        assert!(refusal.contains(fragment), "{refusal} instead of {fragment}");
        assert!(plane.hooks(&[]).is_empty(), "{fragment}");
    }
}

/// The fifty-first hook of a group is one too many; changing one is not.
#[test]
fn autoscaling_18_hooks_per_group() {
    let mut plane = plane(0);
    for number in 0..50 {
        plane.put_hook(&hook(&format!("hook-{number}"), LAUNCHING)).expect("a good hook");
    }
    let refusal = plane.put_hook(&hook("one-more", LAUNCHING)).expect_err("the limit").to_string();
    assert!(refusal.starts_with("LimitExceeded"), "{refusal}");
    plane.put_hook(&hook("hook-7", TERMINATING)).expect("it is there already");
}

/// An action is named by its instance or its token; only one that is waited for has a result.
#[test]
fn autoscaling_3_complete_and_heartbeat() {
    let mut plane = plane(1);
    plane.put_hook(&hook("in", LAUNCHING)).expect("a good hook");
    plane.pass(Span::ZERO);
    assert_eq!(plane.states(), ["Pending:Wait"]);
    let id = plane.members("web")[0].clone();
    let missing = |what: &str| Some(format!("ValidationError: No active Lifecycle Action found with {what}"));
    assert_eq!(plane.complete("in", "CONTINUE", Some("i-0"), None), missing("instance ID i-0"));
    assert_eq!(plane.complete("in", "CONTINUE", Some(&id), Some("t")), missing("token t"));
    assert_eq!(plane.complete("out", "CONTINUE", Some(&id), None), missing(&format!("instance ID {id}")));
    assert!(plane.complete("in", "CONTINUE", None, None).is_some_and(|text| text.contains("LifecycleActionToken")));
    assert!(plane.complete("in", "RETRY", Some(&id), None).is_some_and(|text| text.contains("ABANDON")));

    let beat = wire::RecordLifecycleActionHeartbeatType {
        auto_scaling_group_name: web(),
        instance_id: Some(id.clone()),
        lifecycle_action_token: None,
        lifecycle_hook_name: Some("in".to_string()),
    };
    plane.pass(Span::from_secs(3_000));
    plane.write(|change| record_lifecycle_action_heartbeat(change, &beat)).expect("it waits");
    plane.pass(Span::from_secs(3_599));
    assert_eq!(plane.states(), ["Pending:Wait"], "the heartbeat began it anew");
    assert_eq!(plane.complete("in", "CONTINUE", Some(&id), None), None);
    plane.pass(Span::ZERO);
    assert_eq!(plane.states(), ["InService"]);
    let refusal = plane.write(|change| record_lifecycle_action_heartbeat(change, &beat)).expect_err("it is over");
    assert_eq!(Some(refusal.to_string()), missing(&format!("instance ID {id}")));
}

/// Both ways have hooks, and clients can ask which.
#[test]
fn autoscaling_3_hook_types() {
    let input = wire::DescribeLifecycleHookTypesRequest::default();
    let found = plane(0).read(|call| describe_lifecycle_hook_types(call, &input)).expect("a good request");
    assert_eq!(found.lifecycle_hook_types, [LAUNCHING, TERMINATING]);
}
