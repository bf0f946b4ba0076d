//! Scheduled actions, group metrics and notifications, on the engine as a whole.

use super::*;
use elastane_domain::group::Process;
use elastane_domain::schedule::Sizes;
use elastane_domain::series::MetricId;
use serde_json::Value;

fn action(name: &str, sizes: (Option<u32>, Option<u32>, Option<u32>), next: Time) -> ScheduledAction {
    ScheduledAction {
        group: GroupName::from("web"),
        name: name.to_string(),
        arn: String::new(),
        start: Some(next),
        end: None,
        recurrence: None,
        time_zone: None,
        sizes: Sizes { min: sizes.0, max: sizes.1, desired: sizes.2 },
        next: Some(next),
    }
}

fn sizes(rig: &Rig) -> (u32, u32, u32) {
    let group = rig.get::<Group>("web").expect("it is there");
    (group.bounds.min, group.bounds.max, group.desired)
}

/// Actions run at their times and in their order, whatever the cooldown; one-off ones go, others run again until their end.
#[test]
fn autoscaling_8_actions_run() {
    let mut rig = Rig::new();
    rig.group("web", (1, 4), 1, |group| group.cooldown = Span::from_mins(600));
    rig.pass(Span::ZERO);
    let (minute, start) = (Span::from_mins(1), START);
    rig.tx(|tx| {
        tx.put(action("later", (None, None, Some(2)), start + minute * 2));
        tx.put(action("earlier", (None, Some(9), Some(9)), start + minute));
        let recurrence = Some("*/5 * * * *".to_string());
        let end = Some(start + minute * 12);
        tx.put(ScheduledAction { recurrence, end, ..action("often", (Some(3), None, None), start + minute * 5) });
    });
    rig.pass(minute);
    assert_eq!(sizes(&rig), (1, 9, 9));
    rig.pass(minute);
    assert_eq!(sizes(&rig), (1, 9, 2));
    let names = |rig: &Rig| rig.all::<ScheduledAction>().iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&rig), ["often"]);
    rig.pass(minute * 3);
    assert_eq!(sizes(&rig), (3, 9, 3));
    assert_eq!(rig.members("web").len(), 9 - 6, "{:?}", rig.members("web").len());
    let said = |row: &Arc<Activity>| row.cause.contains("the scheduled action earlier was executed");
    assert!(rig.all::<Activity>().iter().any(said));
    rig.pass(minute * 5);
    assert_eq!(names(&rig), Vec::<String>::new(), "its last time before its end has come");
}

/// What falls due while the process is suspended is skipped, also after it is resumed.
#[test]
fn autoscaling_6_and_8_suspended_actions_are_skipped() {
    let mut rig = Rig::new();
    rig.group("web", (1, 4), 1, |group| {
        group.suspended.insert(Process::ScheduledActions, "User suspended".to_string());
    });
    rig.tx(|tx| tx.put(action("grow", (None, None, Some(3)), START + Span::from_mins(1))));
    rig.pass(Span::from_mins(1));
    rig.tx(|tx| tx.update("web", |row: &mut Group| row.suspended.clear()));
    rig.pass(Span::from_mins(5));
    assert_eq!(sizes(&rig), (1, 4, 1));
    assert!(rig.all::<ScheduledAction>().is_empty());
}

/// Collected metrics are written every minute, others never.
#[test]
fn autoscaling_17_group_metrics() {
    let mut rig = Rig::new();
    rig.group("web", (1, 4), 2, |group| {
        group.metrics = ["GroupMaxSize", "GroupInServiceInstances"].map(str::to_string).into();
    });
    rig.pass(Span::ZERO);
    for _ in 0..3 {
        rig.pass(Span::from_mins(1));
    }
    let points = |rig: &Rig, name: &str| {
        let id = MetricId::new("AWS/AutoScaling", name, &[("AutoScalingGroupName", "web")]);
        let store = rig.engine.state().metrics.get(&rig.scope);
        let found = store.map(|store| store.get(&id, START, rig.now + Span::from_mins(1), Span::from_mins(1), None));
        found.unwrap_or_default().iter().map(|(_, set)| (set.count, set.max)).collect::<Vec<_>>()
    };
    assert_eq!(points(&rig, "GroupMaxSize"), [(1.0, 4.0); 4]);
    assert_eq!(points(&rig, "GroupInServiceInstances")[1..], [(1.0, 2.0); 3]);
    assert!(points(&rig, "GroupMinSize").is_empty());
}

/// Launches tell topics that want to know, and everybody by an event; a row stays until it is delivered.
#[test]
fn autoscaling_16_notifications_wait_for_their_delivery() {
    let mut rig = Rig::with(Config { webhook: true, ..Config::default() });
    const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:t";
    rig.group("web", (1, 4), 1, |group| {
        let types = ["autoscaling:EC2_INSTANCE_LAUNCH".to_string()].into();
        group.notifications.insert(TOPIC.to_string(), types);
    });
    rig.pass(Span::ZERO);
    let waiting = rig.all::<crate::row::Notification>();
    let parsed: Vec<Value> = waiting.iter().map(|row| serde_json::from_str(&row.body).expect("it is JSON")).collect();
    let event = parsed.iter().find(|body| body["source"] == "aws.autoscaling").expect("an event");
    assert_eq!(event["detail-type"], "EC2 Instance Launch Successful");
    assert_eq!((&event["detail"]["Origin"], &event["detail"]["StatusCode"]), (&"EC2".into(), &"InProgress".into()));
    let message = parsed.iter().find(|body| body["TopicArn"] == TOPIC).expect("a notification");
    let inner: Value = serde_json::from_str(message["Message"].as_str().expect("text")).expect("it is JSON");
    assert_eq!(inner["Event"], "autoscaling:EC2_INSTANCE_LAUNCH");
    for key in [
        "Progress",
        "AccountId",
        "Description",
        "RequestId",
        "EndTime",
        "AutoScalingGroupARN",
        "ActivityId",
        "StartTime",
        "Service",
        "Time",
        "EC2InstanceId",
        "StatusCode",
        "StatusMessage",
        "Details",
        "AutoScalingGroupName",
        "Cause",
        "Origin",
        "Destination",
    ] {
        assert!(!inner[key].is_null(), "{key} in {inner}");
    }
    rig.tell(waiting.iter().map(|row| Fact::Notified { id: row.id.clone() }).collect());
    assert!(rig.all::<crate::row::Notification>().is_empty());
    rig.tx(|tx| tx.update("web", |row: &mut Group| row.desired = 2));
    rig.pass(Span::ZERO);
    assert!(!rig.all::<crate::row::Notification>().is_empty());
    rig.pass(Span::from_mins(61));
    rig.pass(Span::from_secs(1));
    assert!(rig.all::<crate::row::Notification>().is_empty(), "what nobody takes goes after an hour");
}
