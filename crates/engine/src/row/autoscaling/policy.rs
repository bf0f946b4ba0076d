//! Scaling policies.

use crate::row::row;
use elastane_domain::forecast::Config;
use elastane_domain::id::*;
use elastane_domain::scaling::{AdjustmentType, Aggregation, Step};
use elastane_domain::series::math::Query;
use elastane_domain::time::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A scaling policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The group.
    pub group: GroupName,
    /// Its name, unique within the group.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it reacts to alarms.
    pub enabled: bool,
    /// What it does.
    pub kind: PolicyKind,
}
row!(Policy, |row| Policy::key(&row.group, &row.name));

impl Policy {
    /// The row's id. Group names may hold slashes but no colon, so no two
    /// policies share one.
    pub fn key(group: &GroupName, name: &str) -> String {
        format!("{group}:{name}")
    }
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PolicyKind {
    /// SimpleScaling.
    Simple {
        /// AdjustmentType.
        adjustment: AdjustmentType,
        /// ScalingAdjustment.
        amount: i32,
        /// MinAdjustmentMagnitude.
        min_magnitude: Option<u32>,
        /// Cooldown; `None` is the group's default.
        cooldown: Option<Span>,
    },
    /// StepScaling.
    Step {
        /// AdjustmentType.
        adjustment: AdjustmentType,
        /// MinAdjustmentMagnitude.
        min_magnitude: Option<u32>,
        /// StepAdjustments.
        steps: Vec<Step>,
        /// MetricAggregationType.
        aggregation: Aggregation,
        /// EstimatedInstanceWarmup.
        warmup: Option<Span>,
    },
    /// TargetTrackingScaling.
    TargetTracking {
        /// TargetValue.
        target: f64,
        /// Where the value comes from.
        metric: TrackedMetric,
        /// DisableScaleIn.
        disable_scale_in: bool,
        /// EstimatedInstanceWarmup.
        warmup: Option<Span>,
        /// Name of the alarm that scales out.
        alarm_high: AlarmName,
        /// Name of the alarm that scales in; none with DisableScaleIn.
        alarm_low: Option<AlarmName>,
    },
    /// PredictiveScaling.
    Predictive {
        /// PredictiveScalingConfiguration.
        config: Config,
    },
}

/// The metric of a target tracking policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrackedMetric {
    /// ASGAverageCPUUtilization.
    AverageCpu,
    /// ASGAverageNetworkIn.
    AverageNetworkIn,
    /// ASGAverageNetworkOut.
    AverageNetworkOut,
    /// ALBRequestCountPerTarget, with its ResourceLabel.
    RequestCountPerTarget {
        /// `app/<lb>/<id>/targetgroup/<tg>/<id>`.
        resource_label: String,
    },
    /// A CustomizedMetricSpecification of a single metric.
    Custom {
        /// Namespace.
        namespace: String,
        /// MetricName.
        name: String,
        /// Dimensions.
        dimensions: BTreeMap<String, String>,
        /// Statistic.
        statistic: String,
        /// Unit.
        unit: Option<String>,
        /// Period; a minute when it is not given.
        #[serde(default)]
        period: Option<Span>,
    },
    /// A CustomizedMetricSpecification of Metrics: metric math.
    Math {
        /// The queries, one of which is returned.
        queries: Vec<Query>,
    },
}
