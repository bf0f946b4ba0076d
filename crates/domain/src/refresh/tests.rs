use super::*;
use crate::id::LaunchTemplateId;
use crate::lifecycle::LifecycleState;
use crate::time::{Span, Time};

fn preferences() -> Preferences {
    Preferences {
        min_percent: 90,
        max_percent: None,
        warmup: Span::ZERO,
        checkpoints: Vec::new(),
        checkpoint_delay: Span::from_mins(60),
        bake: Span::ZERO,
        skip_matching: false,
        auto_rollback: false,
        on_protected: OnProtected::Wait,
        on_standby: OnStandby::Wait,
        alarms: Vec::new(),
    }
}

fn course() -> Course {
    Course {
        status: RefreshStatus::InProgress,
        started_at: Time(0),
        total: 10,
        checkpoint: None,
        paused_until: None,
        moved_at: Time(0),
        least: 10,
        rollback: None,
        waits_for_transit: true,
    }
}

fn left(old: u32) -> Facts {
    Facts { old, lacking: old, ..Facts::default() }
}

fn minutes(minutes: i64) -> Time {
    Time(0) + Span::from_mins(minutes)
}

#[test]
fn autoscaling_11_1_protected_and_standby_instances_are_treated_as_preferred() {
    use LifecycleState as State;
    let rows = [
        (State::InService, false, OnProtected::Wait, OnStandby::Wait, Treatment::Replace),
        (State::Pending, false, OnProtected::Wait, OnStandby::Wait, Treatment::Replace),
        (State::InService, true, OnProtected::Wait, OnStandby::Wait, Treatment::Wait),
        (State::InService, true, OnProtected::Ignore, OnStandby::Wait, Treatment::Leave),
        (State::InService, true, OnProtected::Refresh, OnStandby::Wait, Treatment::Replace),
        (State::Standby, false, OnProtected::Wait, OnStandby::Wait, Treatment::Wait),
        (State::Standby, true, OnProtected::Ignore, OnStandby::Terminate, Treatment::Terminate),
        (State::EnteringStandby, false, OnProtected::Wait, OnStandby::Ignore, Treatment::Leave),
        (State::WarmedStopped, false, OnProtected::Wait, OnStandby::Wait, Treatment::Pool),
        (State::Terminating, false, OnProtected::Refresh, OnStandby::Terminate, Treatment::Leave),
        (State::WarmedTerminating, false, OnProtected::Refresh, OnStandby::Terminate, Treatment::Leave),
        (State::Detaching, false, OnProtected::Refresh, OnStandby::Terminate, Treatment::Leave),
    ];
    for (state, protected, on_protected, on_standby, want) in rows {
        let preferences = Preferences { on_protected, on_standby, ..preferences() };
        assert_eq!(treatment(state, protected, &preferences), want, "{state:?} {protected} {preferences:?}");
    }
}

#[test]
fn autoscaling_11_3_skip_matching_compares_template_version_and_type() {
    let version = |number| (LaunchTemplateId::from("lt-1"), number);
    let wanted = Wanted { templates: vec![version(2)], ..Wanted::default() };
    let typed = Wanted { types: vec!["t3.small".to_string()], ..wanted.clone() };
    let configured = Wanted { configuration: Some("web-2".to_string()), ..Wanted::default() };
    let (first, second) = (version(1), version(2));
    let rows = [
        (&wanted, Some(&second), None, "t3.micro", true),
        (&wanted, Some(&first), None, "t3.micro", false),
        (&wanted, None, None, "t3.micro", false),
        (&typed, Some(&second), None, "t3.small", true),
        (&typed, Some(&second), None, "t3.micro", false),
        (&configured, None, Some("web-2"), "t3.micro", true),
        (&configured, None, Some("web-1"), "t3.micro", false),
        (&configured, Some(&second), None, "t3.micro", false),
    ];
    for (wanted, template, configuration, instance_type, want) in rows {
        let launched = Launched { template, configuration, instance_type };
        assert_eq!(wanted.matches(&launched), want, "{wanted:?} {launched:?}");
    }
}

#[test]
fn autoscaling_11_3_percentage_counts_healthy_and_warm_replacements() {
    // (old, lacking, total) -> percentage
    let rows = [
        ((10, 10, 10), 0),
        // One was terminated; its replacement is not ready.
        ((9, 10, 10), 0),
        ((9, 9, 10), 10),
        // Launched before terminated: ready, and the old one is still there.
        ((10, 9, 10), 0),
        ((0, 1, 3), 66),
        ((0, 0, 10), 100),
        ((0, 0, 0), 100),
        // The group grew by more than there was to replace.
        ((10, 14, 10), 0),
    ];
    for ((old, lacking, total), want) in rows {
        let got = Course { total, ..course() }.percentage(&Facts { old, lacking, ..Facts::default() });
        assert_eq!(got, want, "{old} old, {lacking} lacking of {total}");
    }
    let back = Course { rollback: Some((40, 4)), ..course() };
    let falling: Vec<u32> = [4, 2, 1, 0].map(|old| back.percentage(&left(old))).to_vec();
    assert_eq!(falling, [40, 20, 10, 0]);
}

#[test]
fn autoscaling_11_3_only_the_highest_checkpoint_reached_is_announced() {
    let preferences = Preferences { checkpoints: vec![10, 50, 100], ..preferences() };
    let hour = Span::from_mins(60);
    // (left, announced before) -> step
    let rows = [
        (10, None, Step::Stay),
        (9, None, Step::Checkpoint { percentage: 10, pause: hour }),
        (9, Some(10), Step::Stay),
        // 10 is skipped.
        (4, None, Step::Checkpoint { percentage: 50, pause: hour }),
        (4, Some(50), Step::Stay),
        (0, Some(50), Step::Checkpoint { percentage: 100, pause: Span::ZERO }),
        (0, Some(100), Step::Succeed),
        // The group has grown: half is not done any more.
        (7, Some(50), Step::Forget { reached: Some(10) }),
    ];
    for (old, checkpoint, want) in rows {
        let least = if old == 7 { 5 } else { old };
        let course = Course { checkpoint, least, ..course() };
        assert_eq!(course.next(&preferences, &left(old), false, minutes(1)), want, "{old} left, {checkpoint:?}");
    }
    let seventy = Preferences { checkpoints: vec![30, 70], ..preferences };
    let done = Course { checkpoint: Some(70), least: 3, ..course() };
    assert_eq!(done.next(&seventy, &left(3), false, minutes(1)), Step::Succeed, "the last checkpoint is the end");
}

#[test]
fn autoscaling_11_3_a_checkpoint_pauses_for_its_delay() {
    let preferences = Preferences { checkpoints: vec![20, 100], ..preferences() };
    let paused = Course { checkpoint: Some(20), paused_until: Some(minutes(90)), least: 8, ..course() };
    assert_eq!(paused.limit(&preferences, 8), 0);
    assert_eq!(paused.next(&preferences, &left(8), false, minutes(89)), Step::Stay, "a pause is not being stuck");
    assert_eq!(paused.next(&preferences, &left(8), false, minutes(90)), Step::Resume);
    // (announced, old) -> how much may be begun
    let rows = [(None, 10, 2), (None, 9, 1), (None, 8, 0), (Some(20), 8, 8), (Some(100), 0, 0)];
    for (checkpoint, old, want) in rows {
        assert_eq!(Course { checkpoint, ..course() }.limit(&preferences, old), want, "{checkpoint:?} {old}");
    }
    let none = super::tests::preferences();
    assert_eq!(course().limit(&none, 10), u32::MAX, "without checkpoints all may go");
    let baking = Course { status: RefreshStatus::Baking, ..course() };
    assert_eq!(baking.limit(&none, 1), 0);
}

#[test]
fn autoscaling_11_2_a_refresh_begins_bakes_and_ends() {
    let plain = preferences();
    let baked = Preferences { bake: Span::from_mins(10), ..preferences() };
    let done = Course { least: 0, ..course() };
    let baking = Course { status: RefreshStatus::Baking, paused_until: Some(minutes(10)), ..done.clone() };
    let pending = Course { status: RefreshStatus::Pending, ..course() };
    let pool = Facts { pool: 2, ..left(0) };
    let rows = [
        (&pending, &plain, left(10), 0, Step::Begin),
        (&course(), &plain, left(9), 0, Step::Moved),
        (&done, &plain, left(0), 0, Step::Succeed),
        (&done, &plain, pool, 0, Step::Stay),
        (&done, &baked, left(0), 0, Step::Bake),
        (&baking, &baked, left(0), 9, Step::Stay),
        (&baking, &baked, left(0), 10, Step::Succeed),
    ];
    for (course, preferences, facts, minute, want) in rows {
        assert_eq!(course.next(preferences, &facts, false, minutes(minute)), want, "{course:?}");
    }
}

#[test]
fn autoscaling_11_3_an_hour_without_progress_fails() {
    let warm = Preferences { warmup: Span::from_mins(30), ..preferences() };
    let warming = Facts { warming: true, ..left(10) };
    let hooked = Facts { hooked: true, ..left(10) };
    let rows = [
        (left(10), 59, false),
        (left(10), 60, true),
        (warming.clone(), 60, false),
        (warming, 90, true),
        (hooked.clone(), 600, false),
        (hooked, 14 * 24 * 60, true),
    ];
    for (facts, minute, fails) in rows {
        let step = course().next(&warm, &facts, true, minutes(minute));
        assert_eq!(matches!(step, Step::Fail { .. }), fails, "{facts:?} after {minute} minutes: {step:?}");
    }
    let protected = Facts { obstacle: Some("instances are protected from scale in"), ..left(10) };
    let step = course().next(&warm, &protected, false, minutes(60));
    assert!(matches!(&step, Step::Fail { reason } if reason.contains("protected")), "{step:?}");
}

#[test]
fn autoscaling_11_3_a_failure_goes_back_when_it_may() {
    let alarm = Facts { alarm: Some("errors".to_string()), ..left(10) };
    let auto = Preferences { auto_rollback: true, ..preferences() };
    for status in [RefreshStatus::InProgress, RefreshStatus::Baking] {
        let course = Course { status, paused_until: Some(minutes(10)), ..course() };
        for (preferences, reversible, back) in
            [(&auto, true, true), (&auto, false, false), (&preferences(), true, false)]
        {
            match course.next(preferences, &alarm, reversible, minutes(1)) {
                Step::RollBack { reason } => assert!(back && reason.contains("errors")),
                Step::Fail { reason } => assert!(!back && reason.contains("errors")),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn autoscaling_11_3_going_back_ends_when_all_is_back() {
    let back = Course { status: RefreshStatus::RollbackInProgress, rollback: Some((50, 5)), least: 5, ..course() };
    let alarm = Facts { alarm: Some("errors".to_string()), ..left(5) };
    assert_eq!(back.next(&preferences(), &alarm, true, minutes(1)), Step::Stay, "an alarm does not stop it");
    assert_eq!(back.next(&preferences(), &left(3), true, minutes(1)), Step::Moved);
    assert_eq!(back.next(&preferences(), &left(0), true, minutes(1)), Step::RolledBack);
    let step = back.next(&preferences(), &left(5), true, minutes(60));
    assert!(matches!(step, Step::RollbackFailed { .. }), "{step:?}");
    assert_eq!(back.limit(&Preferences { checkpoints: vec![50], ..preferences() }, 5), u32::MAX);
}

#[test]
fn autoscaling_11_3_cancelling_waits_for_instances_on_their_way() {
    let cancelling = Course { status: RefreshStatus::Cancelling, ..course() };
    let at_once = Course { waits_for_transit: false, ..cancelling.clone() };
    let busy = Facts { in_transit: true, ..left(5) };
    assert_eq!(cancelling.next(&preferences(), &busy, true, minutes(1)), Step::Stay);
    assert_eq!(cancelling.next(&preferences(), &left(5), true, minutes(1)), Step::Cancelled);
    assert_eq!(at_once.next(&preferences(), &busy, true, minutes(1)), Step::Cancelled);
}

/// A time that has passed is not waited for: the group would be looked at without end.
#[test]
fn autoscaling_11_3_a_refresh_wakes_for_what_comes() {
    let warm = Preferences { warmup: Span::from_mins(30), ..preferences() };
    let paused = Course { paused_until: Some(minutes(10)), ..course() };
    let rows = [(0, Some(10)), (10, Some(60)), (60, Some(90)), (90, Some(14 * 24 * 60)), (14 * 24 * 60, None)];
    for (now, want) in rows {
        assert_eq!(paused.wake(&warm, minutes(now)), want.map(minutes), "at {now}");
    }
}
