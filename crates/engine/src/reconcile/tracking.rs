//! The two alarms that a target tracking policy keeps, and the metric behind
//! them (autoscaling.md 9).

use super::policy::of_group;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::alarm::{AlarmRule, AlarmState, Comparison, INITIAL_REASON, MissingData};
use elastane_domain::id::*;
use elastane_domain::scaling;
use elastane_domain::series::{MetricId, Statistic, math};
use elastane_domain::time::Span;

/// Keeps AlarmLow's threshold where the size of the group wants it.
pub(super) fn follow_capacity(tx: &mut Tx<'_>, group: &GroupName) {
    let Some(row) = tx.get::<Group>(group.as_str()) else { return };
    for policy in of_group(tx, group) {
        if let PolicyKind::TargetTracking { target, alarm_low: Some(low), .. } = &policy.kind {
            let threshold = scaling::low_threshold(*target, row.desired);
            tx.update(low.as_str(), |alarm: &mut Alarm| alarm.rule.threshold = threshold);
        }
    }
}

/// Deletes the alarms that belong to a policy.
pub(super) fn delete_alarms(tx: &mut Tx<'_>, policy: &Policy) {
    if let PolicyKind::TargetTracking { alarm_high, alarm_low, .. } = &policy.kind {
        tx.delete::<Alarm>(alarm_high.as_str());
        if let Some(low) = alarm_low {
            tx.delete::<Alarm>(low.as_str());
        }
    }
}

/// Makes the two alarms of target tracking (autoscaling.md 9.2).
pub(super) fn put_alarms(tx: &mut Tx<'_>, policy: &Policy) {
    const HIGH_PERIODS: u32 = 3;
    /// AlarmLow looks at a quarter of an hour, however long its periods are.
    const LOW_SPAN: Span = Span::from_mins(15);
    let PolicyKind::TargetTracking { target, metric, alarm_high, alarm_low, .. } = &policy.kind else { return };
    let desired = tx.get::<Group>(policy.group.as_str()).map_or(0, |group| group.desired);
    let (watched, unit, statistic, period) = tracked(&policy.group, metric);
    let mut put = |name: &AlarmName, comparison, threshold, evaluation_periods| {
        let (now, arn) = (tx.now, tx.scope().arn("cloudwatch", &format!("alarm:{name}")));
        tx.put(Alarm {
            name: name.clone(),
            arn,
            description: Some(format!("DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {}.", policy.arn)),
            actions_enabled: true,
            ok_actions: Vec::new(),
            alarm_actions: vec![policy.arn.clone()],
            insufficient_data_actions: Vec::new(),
            metric: watched.clone(),
            unit: unit.clone(),
            rule: AlarmRule {
                comparison,
                threshold,
                evaluation_periods,
                datapoints_to_alarm: None,
                treat_missing: MissingData::Missing,
                period,
                statistic,
                low_samples: None,
            },
            state: AlarmState::InsufficientData,
            state_reason: INITIAL_REASON.to_string(),
            state_reason_data: None,
            state_updated_at: now,
            state_transitioned_at: now,
            configured_at: now,
            owner: Some(policy.arn.clone()),
            history: Vec::new(),
            tags: Tags::new(),
        });
    };
    put(alarm_high, Comparison::GreaterThanThreshold, *target, HIGH_PERIODS);
    if let Some(low) = alarm_low {
        let periods = u32::try_from(LOW_SPAN.millis() / period.millis().max(1)).unwrap_or(1).max(1);
        put(low, Comparison::LessThanThreshold, scaling::low_threshold(*target, desired), periods);
    }
}

/// The CloudWatch metric behind a target tracking policy (autoscaling.md
/// 9.1), with its unit, statistic and period; `None` of a statistic for a
/// metric that is computed.
fn tracked(group: &GroupName, metric: &TrackedMetric) -> (Watched, Option<String>, Option<Statistic>, Span) {
    const MINUTE: Span = Span::from_mins(1);
    let of_group = |name| {
        let id = MetricId::new("AWS/EC2", name, &[("AutoScalingGroupName", group.as_str())]);
        (Watched::Metric(id), None, Some(Statistic::Average), MINUTE)
    };
    match metric {
        TrackedMetric::AverageCpu => of_group("CPUUtilization"),
        TrackedMetric::AverageNetworkIn => of_group("NetworkIn"),
        TrackedMetric::AverageNetworkOut => of_group("NetworkOut"),
        TrackedMetric::RequestCountPerTarget { resource_label } => {
            let (load_balancer, target_group) = split_label(resource_label);
            let dimensions = [("LoadBalancer", load_balancer), ("TargetGroup", target_group)];
            let id = MetricId::new("AWS/ApplicationELB", "RequestCountPerTarget", &dimensions);
            (Watched::Metric(id), None, Some(Statistic::Sum), MINUTE)
        }
        TrackedMetric::Custom { namespace, name, dimensions, statistic, unit, period } => {
            let id = MetricId { namespace: namespace.clone(), name: name.clone(), dimensions: dimensions.clone() };
            let statistic = Statistic::from_name(statistic).unwrap_or(Statistic::Average);
            (Watched::Metric(id), unit.clone(), Some(statistic), period.unwrap_or(MINUTE))
        }
        TrackedMetric::Math { queries } => {
            let period = math::period(queries).unwrap_or(MINUTE);
            (Watched::Math(queries.clone()), None, None, period)
        }
    }
}

/// `app/<lb>/<id>/targetgroup/<tg>/<id>` as the two dimensions' values.
pub fn split_label(label: &str) -> (&str, &str) {
    match label.find("/targetgroup/") {
        Some(at) => (&label[..at], &label[at + 1..]),
        None => (label, ""),
    }
}
