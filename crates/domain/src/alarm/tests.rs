use super::*;
use crate::series::StatisticSet;

const THRESHOLD: f64 = 5.0;

/// 2022-09-25T18:49:00Z: the start of the oldest slot.
const START: Time = Time(1_664_131_740_000);

fn rule(n: u32, m: Option<u32>, treat_missing: MissingData) -> AlarmRule {
    AlarmRule {
        comparison: Comparison::GreaterThanThreshold,
        threshold: THRESHOLD,
        evaluation_periods: n,
        datapoints_to_alarm: m,
        treat_missing,
        period: Span::from_mins(1),
        statistic: Some(Statistic::Average),
        low_samples: None,
    }
}

/// A window from its picture: `0` is within the threshold, `X` breaches, `-` is missing; oldest first.
fn pictured(picture: &str) -> Vec<Option<Datapoint>> {
    let slot = |(index, letter): (usize, char)| {
        let value = match letter {
            '0' => 1.0,
            'X' => 6.0,
            _ => return None,
        };
        Some(Datapoint { at: START + Span::from_mins(1) * index as i64, value, samples: 1.0 })
    };
    picture.chars().filter(|letter| *letter != ' ').enumerate().map(slot).collect()
}

/// The documented table (N = 3 of 5): picture, M, and the states for missing,
/// ignore, breaching and notBreaching. `None` keeps the state.
const TABLE: [(&str, u32, [Option<AlarmState>; 4]); 10] = {
    const OK: Option<AlarmState> = Some(AlarmState::Ok);
    const ALARM: Option<AlarmState> = Some(AlarmState::Alarm);
    const UNKNOWN: Option<AlarmState> = Some(AlarmState::InsufficientData);
    [
        ("0 - X - X", 3, [OK, OK, OK, OK]),
        ("0 - - - -", 3, [OK, OK, OK, OK]),
        ("- - - - -", 3, [UNKNOWN, None, ALARM, OK]),
        ("0 X X - X", 3, [ALARM, ALARM, ALARM, ALARM]),
        ("- - X - -", 3, [ALARM, None, ALARM, OK]),
        ("0 - X - X", 2, [ALARM, ALARM, ALARM, ALARM]),
        ("0 0 X 0 X", 2, [ALARM, ALARM, ALARM, ALARM]),
        ("0 - X - -", 2, [OK, OK, ALARM, OK]),
        ("- - - - 0", 2, [OK, OK, ALARM, OK]),
        ("- - - X -", 2, [ALARM, None, ALARM, OK]),
    ]
};

/// Every row of the documented table, from every state.
#[test]
fn cloudwatch_5_3_check_table() {
    for (picture, m, states) in TABLE {
        for (treatment, expected) in MissingData::ALL.into_iter().zip(states) {
            for current in AlarmState::ALL {
                let verdict = evaluate(&rule(3, Some(m), treatment), &pictured(picture), current);
                assert_eq!(verdict.state, expected.unwrap_or(current), "{picture} {m} {treatment:?} from {current:?}");
            }
        }
    }
}

/// Too little breaching data does not alarm before its time.
#[test]
fn cloudwatch_5_3_premature_alarms() {
    for picture in ["- - - - X", "- - - X -"] {
        for current in [AlarmState::Ok, AlarmState::InsufficientData] {
            let verdict = evaluate(&rule(3, Some(3), MissingData::Missing), &pictured(picture), current);
            assert_eq!(verdict.state, current, "{picture}");
        }
    }
}

/// Without DatapointsToAlarm all periods must breach.
#[test]
fn all_periods_must_breach_by_default() {
    for (picture, state) in [("X X 0 X X", AlarmState::Ok), ("0 0 X X X", AlarmState::Alarm)] {
        let verdict = evaluate(&rule(3, None, MissingData::Missing), &pictured(picture), AlarmState::Ok);
        assert_eq!(verdict.state, state, "{picture}");
    }
}

/// Each comparison on both sides of the threshold and on it.
#[test]
fn comparisons() {
    use Comparison::*;
    for (comparison, below, at, above) in [
        (GreaterThanOrEqualToThreshold, false, true, true),
        (GreaterThanThreshold, false, false, true),
        (LessThanThreshold, true, false, false),
        (LessThanOrEqualToThreshold, true, true, false),
    ] {
        let got = [4.0, 5.0, 6.0].map(|value| comparison.breaches(value, THRESHOLD));
        assert_eq!(got, [below, at, above], "{comparison:?}");
    }
}

/// A case of a reason: N, M, treatment of missing data, picture, text.
type ReasonCase = (u32, Option<u32>, MissingData, &'static str, &'static str);

fn check_reasons(cases: &[ReasonCase]) {
    for (n, m, treatment, picture, reason) in cases {
        let rule = rule(*n, *m, *treatment);
        let verdict = evaluate(&rule, &pictured(picture), AlarmState::InsufficientData);
        assert_eq!(verdict.reason, *reason, "{picture}");
    }
}

/// The observed reasons that name datapoints.
#[test]
fn cloudwatch_5_6_reasons() {
    use MissingData::Missing;
    check_reasons(&[
        (
            1,
            Some(1),
            Missing,
            "X - -",
            "Threshold Crossed: 1 out of the last 1 datapoints [6.0 (25/09/22 18:49:00)] was greater than the threshold \
             (5.0) (minimum 1 datapoint for OK -> ALARM transition).",
        ),
        (
            1,
            None,
            Missing,
            "X - -",
            "Threshold Crossed: 1 datapoint [6.0 (25/09/22 18:49:00)] was greater than the threshold (5.0).",
        ),
        (
            3,
            None,
            Missing,
            "- - X X X",
            "Threshold Crossed: 3 datapoints [6.0 (25/09/22 18:53:00), 6.0 (25/09/22 18:52:00), 6.0 (25/09/22 \
             18:51:00)] were greater than the threshold (5.0).",
        ),
        (
            3,
            Some(2),
            Missing,
            "X X 0 X 0",
            "Threshold Crossed: 2 out of the last 3 datapoints [1.0 (25/09/22 18:53:00), 1.0 (25/09/22 18:51:00)] were \
             not greater than the threshold (5.0) (minimum 2 datapoints for ALARM -> OK transition).",
        ),
    ]);
}

/// The observed reasons that name missing data.
#[test]
fn cloudwatch_5_6_reasons_of_missing_data() {
    use MissingData::*;
    check_reasons(&[
        (3, Some(2), Breaching, "- - - - 0", "Threshold Crossed: 2 missing datapoints were treated as [Breaching]."),
        (1, None, Missing, "- - -", "Insufficient Data: 1 datapoint was unknown."),
        (2, None, Missing, "- - - -", "Insufficient Data: 2 datapoints were unknown."),
        (
            1,
            None,
            Breaching,
            "- - -",
            "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as \
             [Breaching].",
        ),
        (
            2,
            None,
            NotBreaching,
            "- - - -",
            "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as \
             [NonBreaching].",
        ),
    ]);
}

/// StateReasonData has the observed members and forms.
#[test]
fn cloudwatch_5_6_reason_data() {
    let verdict = evaluate(&rule(2, None, MissingData::Missing), &pictured("- X - X"), AlarmState::Ok);
    assert_eq!(verdict.reason_data.values().last(), Some(&6.0));
    assert_eq!(
        verdict.reason_data.json(Time(1_664_131_980_300)),
        "{\"version\":\"1.0\",\"queryDate\":\"2022-09-25T18:53:00.300+0000\",\
         \"startDate\":\"2022-09-25T18:50:00.000+0000\",\"statistic\":\"Average\",\"period\":60,\
         \"recentDatapoints\":[6.0,6.0],\"threshold\":5.0,\"evaluatedDatapoints\":[\
         {\"timestamp\":\"2022-09-25T18:52:00.000+0000\",\"sampleCount\":1.0,\"value\":6.0},\
         {\"timestamp\":\"2022-09-25T18:50:00.000+0000\",\"sampleCount\":1.0,\"value\":6.0}]}"
    );
    let none = evaluate(&rule(2, None, MissingData::Missing), &pictured("- - - -"), AlarmState::Ok);
    assert!(none.reason_data.json(START).contains("\"recentDatapoints\":[],"));
}

/// Reasons stay short however many periods there are (StateReason is at most 1023 characters).
#[test]
fn reasons_are_bounded() {
    let picture = "X".repeat(102);
    let verdict = evaluate(&rule(100, Some(100), MissingData::Missing), &pictured(&picture), AlarmState::Ok);
    assert_eq!(verdict.state, AlarmState::Alarm);
    assert!(verdict.reason.len() <= 1023, "{}", verdict.reason.len());
}

/// The window ends with the last whole minute and slides; sets fall into their slots.
#[test]
fn cloudwatch_5_2_window() {
    let mut rule = rule(2, None, MissingData::Missing);
    rule.period = Span::from_mins(5);
    let now = START + Span::from_mins(20) + Span::from_secs(59);
    let (start, end) = evaluation_window(&rule, now);
    assert_eq!((start, end), (START, START + Span::from_mins(20)));
    let sets =
        [(START, StatisticSet::of(1.0).into()), (START + Span::from_mins(15), StatisticSet::repeated(4.0, 2.0).into())];
    let window = window(&rule, start, &sets);
    let values: Vec<Option<(f64, f64)>> =
        window.iter().map(|slot| slot.map(|datapoint| (datapoint.value, datapoint.samples))).collect();
    assert_eq!(values, [Some((1.0, 1.0)), None, None, Some((4.0, 2.0))]);
}

/// Actions run after a transition; those of Auto Scaling again every minute.
#[test]
fn cloudwatch_5_5_actions() {
    use AlarmState::*;
    let now = Time(10_000_000);
    let ago = |secs: i64| Some(now - Span::from_secs(secs));
    for (old, new, last, auto_scaling, due) in [
        (Ok, Alarm, None, false, true),
        (Ok, Alarm, ago(1), true, true),
        (Alarm, Alarm, ago(600), false, false),
        (Alarm, Alarm, None, false, false),
        (Alarm, Alarm, ago(59), true, false),
        (Alarm, Alarm, ago(60), true, true),
        (Alarm, Alarm, None, true, true),
        (Alarm, Ok, ago(5), false, true),
    ] {
        assert_eq!(action_due(old, new, last, now, auto_scaling), due, "{old:?} {new:?} {last:?}");
    }
}
