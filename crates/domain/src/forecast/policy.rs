//! What a predictive scaling policy is told, and what its forecast asks of
//! the group.

use crate::capacity::Bounds;
use crate::group::words;
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};

/// SchedulingBufferTime when it is not given.
pub const BUFFER_DEFAULT: Span = Span::from_secs(300);

/// Forecasts are of whole hours.
pub const HOUR: Span = Span::from_mins(60);

/// A forecast is made anew after so long.
pub const REFRESH: Span = Span::from_mins(6 * 60);

words! {
    /// Mode.
    Mode {
        /// Forecasts are shown, and that is all.
        ForecastOnly = "ForecastOnly",
        /// The group follows them.
        ForecastAndScale = "ForecastAndScale",
    }
}

words! {
    /// MaxCapacityBreachBehavior: what happens when more is forecast than MaxSize.
    OnBreach {
        /// MaxSize holds.
        HonorMaxCapacity = "HonorMaxCapacity",
        /// The group may grow above MaxSize, by a buffer more than is forecast.
        IncreaseMaxCapacity = "IncreaseMaxCapacity",
    }
}

words! {
    /// What the load is made of: the predefined pairs of a load and a scaling metric.
    Measure {
        /// CPU use.
        Cpu = "ASGCPUUtilization",
        /// Bytes received.
        NetworkIn = "ASGNetworkIn",
        /// Bytes sent.
        NetworkOut = "ASGNetworkOut",
        /// Requests.
        Requests = "ALBRequestCount",
    }
}

impl Measure {
    /// The PredefinedLoadMetricType.
    pub const fn load_name(self) -> &'static str {
        match self {
            Measure::Cpu => "ASGTotalCPUUtilization",
            Measure::NetworkIn => "ASGTotalNetworkIn",
            Measure::NetworkOut => "ASGTotalNetworkOut",
            Measure::Requests => "ALBTargetGroupRequestCount",
        }
    }

    /// The PredefinedScalingMetricType.
    pub const fn scaling_name(self) -> &'static str {
        match self {
            Measure::Cpu => "ASGAverageCPUUtilization",
            Measure::NetworkIn => "ASGAverageNetworkIn",
            Measure::NetworkOut => "ASGAverageNetworkOut",
            Measure::Requests => "ALBRequestCountPerTarget",
        }
    }
}

/// PredictiveScalingConfiguration, with every default filled in that answers show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// TargetValue: what one instance bears a minute.
    pub target: f64,
    /// What is measured.
    pub measure: Measure,
    /// Whether load and scaling metric were named as a pair.
    pub as_pair: bool,
    /// ResourceLabel, for requests.
    pub resource_label: Option<String>,
    /// Mode.
    pub mode: Mode,
    /// MaxCapacityBreachBehavior.
    pub on_breach: OnBreach,
    /// MaxCapacityBuffer, 0 to 100 per cent.
    pub max_buffer: u32,
    /// SchedulingBufferTime, below an hour; [`BUFFER_DEFAULT`] when it is not given.
    pub buffer: Option<Span>,
}

impl Config {
    /// The hour whose capacity the group should have at `now`: the one that
    /// has begun, or the next when that begins within the buffer.
    pub fn hour(&self, now: Time) -> Time {
        (now + self.ahead()).floor(HOUR)
    }

    /// How long before an hour the group gets its capacity.
    pub fn ahead(&self) -> Span {
        self.buffer.unwrap_or(BUFFER_DEFAULT)
    }

    /// MinSize and MaxSize once so many instances are forecast: the latter may
    /// be raised, and is not lowered again.
    pub fn bounds(&self, predicted: u32, bounds: Bounds) -> Bounds {
        if self.mode == Mode::ForecastOnly || self.on_breach == OnBreach::HonorMaxCapacity {
            return bounds;
        }
        let buffered = (u64::from(predicted) * u64::from(100 + self.max_buffer)).div_ceil(100);
        Bounds { min: bounds.min, max: bounds.max.max(u32::try_from(buffered).unwrap_or(u32::MAX)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            target: 50.0,
            measure: Measure::Cpu,
            as_pair: true,
            resource_label: None,
            mode: Mode::ForecastAndScale,
            on_breach: OnBreach::IncreaseMaxCapacity,
            max_buffer: 10,
            buffer: None,
        }
    }

    /// Fifty forecast with a maximum of forty and a buffer of ten per cent allow fifty-five.
    #[test]
    fn autoscaling_10_maximum_capacity() {
        let bounds = Bounds { min: 1, max: 40 };
        for (predicted, on_breach, mode, max) in [
            (50, OnBreach::IncreaseMaxCapacity, Mode::ForecastAndScale, 55),
            (50, OnBreach::HonorMaxCapacity, Mode::ForecastAndScale, 40),
            (50, OnBreach::IncreaseMaxCapacity, Mode::ForecastOnly, 40),
            (36, OnBreach::IncreaseMaxCapacity, Mode::ForecastAndScale, 40),
            (37, OnBreach::IncreaseMaxCapacity, Mode::ForecastAndScale, 41),
        ] {
            let config = Config { on_breach, mode, ..config() };
            assert_eq!(config.bounds(predicted, bounds), Bounds { min: 1, max }, "{predicted} {on_breach:?} {mode:?}");
        }
    }

    /// The next hour's capacity is wanted five minutes before the hour.
    #[test]
    fn autoscaling_10_scheduling_buffer() {
        let ten = Time(10 * HOUR.0);
        for (before, hour) in [(0, 10), (299, 10), (300, 10), (301, 9), (3_600, 9)] {
            assert_eq!(config().hour(ten - Span::from_secs(before)), Time(hour * HOUR.0), "{before} s before");
        }
    }
}
