//! Metric data in memory.
//!
//! A metric is a namespace, a name and an exact set of dimensions; each unit
//! of it is a stream of its own. A stream keeps one statistic set a minute
//! and rolls older ones up, so its memory is bounded; so is the number of
//! streams and the number of sets in all of them. Data of higher resolution (StorageResolution 1) is folded into
//! its minute: no period below 60 seconds can be read. How samples are spread
//! is kept for three days, as a sketch; percentiles come from it.

mod distribution;
pub mod math;

pub use distribution::{Distribution, Percent};

use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// The finest resolution that is kept.
pub const RESOLUTION: Span = Span::from_mins(1);

/// Streams kept at once: a large region's, ten thousand instances with five
/// metrics each and as much again.
pub const STREAMS_MAX: usize = 100_000;

/// When there is no room for another stream, one in so many gives way: looking
/// for the ones that are put to no more is then rare.
const EVICTED_PART: usize = 16;

/// Statistic sets kept at once, of 56 bytes: under 900 MiB with the room that
/// rings have over. 5,700 streams can be full, with two weeks of one sample a
/// minute; the more there are, the less far back each goes.
pub const SETS_MAX: usize = 8_000_000;

/// Buckets of all sketches together: 64 MiB. Samples that come when there are
/// more keep their statistic sets only, and have no percentiles.
pub const SKETCH_BUCKETS_MAX: usize = 8 * 1024 * 1024;

/// PutMetricData refuses timestamps older than two weeks.
pub const AGE_MAX: Span = Span::from_mins(14 * 24 * 60);

/// PutMetricData refuses timestamps more than two hours ahead.
pub const AHEAD_MAX: Span = Span::from_mins(120);

/// ListMetrics with RecentlyActive=PT3H lists metrics with data in this time.
pub const RECENTLY_ACTIVE: Span = Span::from_mins(180);

/// How long data is kept at which step. Alarms and dashboards look at the
/// last hours in minutes; PutMetricData accepts two weeks, so that what was
/// accepted can be read.
const TIERS: [Tier; 3] = [
    Tier { step: Span::from_mins(1), keep: Span::from_mins(3 * 60), spread: true },
    Tier { step: Span::from_mins(5), keep: Span::from_mins(3 * 24 * 60), spread: true },
    Tier { step: Span::from_mins(60), keep: Span::from_mins(15 * 24 * 60), spread: false },
];

struct Tier {
    step: Span,
    keep: Span,
    /// Whether percentiles can be read: a sketch takes more than a statistic set.
    spread: bool,
}

/// What names a metric. Ordered by namespace, name, dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MetricId {
    /// Namespace, such as `AWS/EC2`.
    pub namespace: String,
    /// Metric name.
    pub name: String,
    /// The exact set of dimensions.
    pub dimensions: BTreeMap<String, String>,
}

impl MetricId {
    /// A metric with dimensions given as pairs.
    pub fn new(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> MetricId {
        MetricId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }
}

macro_rules! units {
    ($($name:ident $text:literal),* $(,)?) => {
        /// Unit of a metric (CloudWatch `StandardUnit`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum Unit { $($name),* }

        impl Unit {
            /// Every unit.
            pub const ALL: &'static [Unit] = &[$(Unit::$name),*];

            /// AWS's word.
            pub const fn name(self) -> &'static str {
                match self { $(Unit::$name => $text),* }
            }

            /// The unit that AWS calls `name`.
            pub fn from_name(name: &str) -> Option<Unit> {
                Unit::ALL.iter().copied().find(|unit| unit.name() == name)
            }
        }
    };
}

units! {
    Seconds "Seconds", Microseconds "Microseconds", Milliseconds "Milliseconds",
    Bytes "Bytes", Kilobytes "Kilobytes", Megabytes "Megabytes", Gigabytes "Gigabytes", Terabytes "Terabytes",
    Bits "Bits", Kilobits "Kilobits", Megabits "Megabits", Gigabits "Gigabits", Terabits "Terabits",
    Percent "Percent", Count "Count",
    BytesPerSecond "Bytes/Second", KilobytesPerSecond "Kilobytes/Second", MegabytesPerSecond "Megabytes/Second",
    GigabytesPerSecond "Gigabytes/Second", TerabytesPerSecond "Terabytes/Second",
    BitsPerSecond "Bits/Second", KilobitsPerSecond "Kilobits/Second", MegabitsPerSecond "Megabits/Second",
    GigabitsPerSecond "Gigabits/Second", TerabitsPerSecond "Terabits/Second",
    CountPerSecond "Count/Second", None "None",
}

/// What is known of a set of samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatisticSet {
    /// Number of samples; may be fractional, is above zero.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl StatisticSet {
    /// One sample.
    pub const fn of(value: f64) -> StatisticSet {
        StatisticSet { count: 1.0, sum: value, min: value, max: value }
    }

    /// `count` samples of the same value.
    pub const fn repeated(value: f64, count: f64) -> StatisticSet {
        StatisticSet { count, sum: value * count, min: value, max: value }
    }

    /// Adds the samples of `other`.
    pub fn merge(&mut self, other: &StatisticSet) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// A statistic over the samples of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statistic {
    /// Number of samples.
    SampleCount,
    /// Mean.
    Average,
    /// Sum.
    Sum,
    /// Smallest.
    Minimum,
    /// Largest.
    Maximum,
    /// The value below which so many percent of the samples lie.
    Percentile(Percent),
}

impl Statistic {
    /// Every statistic but the percentiles.
    pub const ALL: [Statistic; 5] =
        [Statistic::SampleCount, Statistic::Average, Statistic::Sum, Statistic::Minimum, Statistic::Maximum];

    /// AWS's word.
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Statistic::SampleCount => "SampleCount",
            Statistic::Average => "Average",
            Statistic::Sum => "Sum",
            Statistic::Minimum => "Minimum",
            Statistic::Maximum => "Maximum",
            Statistic::Percentile(percent) => return Cow::Owned(format!("p{percent}")),
        })
    }

    /// The statistic that AWS calls `name`; percentiles are not among them.
    pub fn from_name(name: &str) -> Option<Statistic> {
        Statistic::ALL.into_iter().find(|statistic| statistic.name() == name)
    }

    /// The percentile that AWS calls `name`: `p0` to `p100`, with up to ten decimals.
    pub fn percentile(name: &str) -> Option<Statistic> {
        name.strip_prefix('p').and_then(Percent::parse).map(Statistic::Percentile)
    }

    /// Its value for samples; `None` for a percentile when their spread is not
    /// known. Without samples the average is 0.
    pub fn of(self, samples: &Distribution) -> Option<f64> {
        let set = samples.set();
        Some(match self {
            Statistic::SampleCount => set.count,
            Statistic::Average if set.count == 0.0 => 0.0,
            Statistic::Average => set.sum / set.count,
            Statistic::Sum => set.sum,
            Statistic::Minimum => set.min,
            Statistic::Maximum => set.max,
            Statistic::Percentile(percent) => return samples.percentile(percent),
        })
    }
}

/// A datum that is refused (`InvalidParameterValue`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// Its timestamp is more than two weeks old.
    TooOld,
    /// Its timestamp is more than two hours ahead.
    TooFarAhead,
    /// A number is not finite, or the set contradicts itself (no samples, minimum above maximum).
    NotANumber,
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PutError::TooOld => "the timestamp is more than two weeks in the past",
            PutError::TooFarAhead => "the timestamp is more than two hours in the future",
            PutError::NotANumber => "the values are not finite numbers that fit together",
        })
    }
}

impl std::error::Error for PutError {}

/// Which metrics ListMetrics asks for; `None` and empty match everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricFilter<'a> {
    /// Exact namespace.
    pub namespace: Option<&'a str>,
    /// Exact metric name.
    pub name: Option<&'a str>,
    /// Dimensions that the metric has, among others; with a value, exactly that one.
    pub dimensions: &'a [(String, Option<String>)],
    /// Only metrics with a datum at or after this time.
    pub active_since: Option<Time>,
}

/// Every metric and its data.
#[derive(Clone, Debug, Default)]
pub struct MetricStore {
    metrics: BTreeMap<MetricId, BTreeMap<Unit, Stream>>,
    streams: usize,
    /// Statistic sets of all streams.
    sets: usize,
    /// Buckets of all sketches.
    buckets: usize,
    /// Counts puts; orders streams by their last one.
    puts: u64,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    /// One ring per tier, oldest bucket first.
    rings: [VecDeque<(Time, Distribution)>; TIERS.len()],
    /// From when on each tier but the last is complete.
    complete_from: [Time; TIERS.len()],
    newest: Time,
    last_put: u64,
    /// Buckets of its sketches.
    buckets: usize,
}

impl MetricStore {
    /// A store without data.
    pub fn new() -> MetricStore {
        MetricStore::default()
    }

    /// Adds samples taken at `at`: a [`StatisticSet`], or a [`Distribution`] so
    /// that percentiles can be read. When there are too many streams, those that
    /// went longest without a put give way; when there are too many sets, every
    /// stream gives up the oldest quarter of what it has at each resolution.
    pub fn put(
        &mut self,
        id: MetricId,
        unit: Unit,
        at: Time,
        samples: impl Into<Distribution>,
        now: Time,
    ) -> Result<(), PutError> {
        let samples = samples.into();
        let set = samples.set();
        if at < now - AGE_MAX {
            return Err(PutError::TooOld);
        }
        if at > now + AHEAD_MAX {
            return Err(PutError::TooFarAhead);
        }
        let finite = [set.count, set.sum, set.min, set.max].iter().all(|number| number.is_finite());
        if !finite || set.count <= 0.0 || set.min > set.max {
            return Err(PutError::NotANumber);
        }
        let known = self.metrics.get(&id).is_some_and(|units| units.contains_key(&unit));
        if !known {
            if self.streams >= STREAMS_MAX {
                self.evict();
            }
            self.streams += 1;
        }
        self.puts += 1;
        if self.sets >= SETS_MAX {
            self.shorten();
        }
        let stream = self.metrics.entry(id).or_default().entry(unit).or_default();
        stream.last_put = self.puts;
        let (sets, buckets) = (stream.sets(), stream.buckets);
        stream.put(at, &samples, now, self.buckets < SKETCH_BUCKETS_MAX);
        self.sets = self.sets + stream.sets() - sets;
        self.buckets = self.buckets + stream.buckets - buckets;
        Ok(())
    }

    /// Sets of the buckets with data, oldest first, stamped with their start.
    /// `start` is rounded down to the minute and inclusive, `end` exclusive;
    /// buckets begin at multiples of `period` from the start. A period below
    /// a minute is taken as a minute. Without a unit all streams of the
    /// metric are merged.
    pub fn get(
        &self,
        id: &MetricId,
        start: Time,
        end: Time,
        period: Span,
        unit: Option<Unit>,
    ) -> Vec<(Time, StatisticSet)> {
        self.buckets(id, (start, end), period, unit, |samples| *samples.set(), |sum, more| sum.merge(more.set()))
    }

    /// The same as [`MetricStore::get`] with how the samples are spread, for percentiles.
    pub fn distributions(
        &self,
        id: &MetricId,
        start: Time,
        end: Time,
        period: Span,
        unit: Option<Unit>,
    ) -> Vec<(Time, Distribution)> {
        self.buckets(id, (start, end), period, unit, Distribution::clone, Distribution::merge)
    }

    /// The values of a statistic in the buckets that have one, oldest first.
    pub fn points(&self, stat: &math::MetricStat, start: Time, end: Time) -> Vec<(Time, f64)> {
        let samples = self.distributions(&stat.metric, start, end, stat.period, stat.unit);
        samples.iter().filter_map(|(at, samples)| Some((*at, stat.statistic.of(samples)?))).collect()
    }

    fn buckets<T>(
        &self,
        id: &MetricId,
        (start, end): (Time, Time),
        period: Span,
        unit: Option<Unit>,
        first: impl Fn(&Distribution) -> T,
        merge: impl Fn(&mut T, &Distribution),
    ) -> Vec<(Time, T)> {
        let start = start.floor(RESOLUTION);
        let period = period.max(RESOLUTION);
        let mut buckets: BTreeMap<Time, T> = BTreeMap::new();
        let Some(units) = self.metrics.get(id) else {
            return Vec::new();
        };
        for (_, stream) in units.iter().filter(|(had, _)| unit.is_none_or(|unit| unit == **had)) {
            for (at, samples) in stream.between(start, end) {
                let bucket = start + Span((at - start).millis() / period.millis() * period.millis());
                buckets.entry(bucket).and_modify(|sum| merge(sum, samples)).or_insert_with(|| first(samples));
            }
        }
        buckets.into_iter().collect()
    }

    /// Units in which a metric has data.
    pub fn units(&self, id: &MetricId) -> Vec<Unit> {
        self.metrics.get(id).map_or_else(Vec::new, |units| units.keys().copied().collect())
    }

    /// Metrics that match, in order. Those without a datum in the two weeks
    /// before `now` are not listed.
    pub fn list(&self, filter: &MetricFilter<'_>, now: Time) -> Vec<&MetricId> {
        let since = filter.active_since.unwrap_or(now - AGE_MAX).max(now - AGE_MAX);
        self.metrics
            .iter()
            .filter(|(id, units)| filter.matches(id) && units.values().any(|stream| stream.newest >= since))
            .map(|(id, _)| id)
            .collect()
    }

    /// How many streams (metrics times units) the store holds.
    pub fn len(&self) -> usize {
        self.streams
    }

    /// Whether the store holds nothing.
    pub fn is_empty(&self) -> bool {
        self.streams == 0
    }

    /// Forgets a metric: for instances that are gone for good.
    pub fn remove(&mut self, id: &MetricId) {
        if let Some(units) = self.metrics.remove(id) {
            self.streams -= units.len();
            self.sets -= units.values().map(Stream::sets).sum::<usize>();
            self.buckets -= units.values().map(|stream| stream.buckets).sum::<usize>();
        }
    }

    /// The streams that went longest without a put go.
    fn evict(&mut self) {
        let streams = self.metrics.values().flat_map(BTreeMap::values);
        let mut puts: Vec<u64> = streams.map(|stream| stream.last_put).collect();
        let going = (puts.len() / EVICTED_PART).max(1);
        let (_, last, _) = puts.select_nth_unstable(going - 1);
        let last = *last;
        self.metrics.retain(|_, units| {
            units.retain(|_, stream| stream.last_put > last);
            !units.is_empty()
        });
        self.streams -= going;
        self.count_rest();
    }

    /// Every stream gives up the oldest quarter of what it has.
    fn shorten(&mut self) {
        self.metrics.values_mut().flat_map(BTreeMap::values_mut).for_each(Stream::shorten);
        self.count_rest();
    }

    fn count_rest(&mut self) {
        let streams = || self.metrics.values().flat_map(BTreeMap::values);
        (self.sets, self.buckets) = (streams().map(Stream::sets).sum(), streams().map(|stream| stream.buckets).sum());
    }
}

impl MetricFilter<'_> {
    fn matches(&self, id: &MetricId) -> bool {
        self.namespace.is_none_or(|namespace| namespace == id.namespace)
            && self.name.is_none_or(|name| name == id.name)
            && self.dimensions.iter().all(|(key, value)| {
                id.dimensions.get(key).is_some_and(|had| value.as_ref().is_none_or(|value| value == had))
            })
    }
}

impl Stream {
    fn sets(&self) -> usize {
        self.rings.iter().map(VecDeque::len).sum()
    }

    /// Forgets the oldest quarter of each ring, up to a bucket of the next tier.
    fn shorten(&mut self) {
        for (index, tier) in TIERS.iter().enumerate() {
            let Some((oldest, _)) = self.rings[index].get(self.rings[index].len() / 4) else { continue };
            let from = oldest.floor(step_after(index, tier));
            self.forget(index, from);
        }
    }

    /// Forgets what a ring has from before a time, at which a bucket of the next tier begins.
    fn forget(&mut self, index: usize, from: Time) {
        self.complete_from[index] = from.max(self.complete_from[index]);
        let from = self.complete_from[index];
        while let Some((_, old)) = self.rings[index].pop_front_if(|(bucket, _)| *bucket < from) {
            self.buckets -= old.buckets();
        }
    }

    /// `room` says whether sketches may grow.
    fn put(&mut self, at: Time, samples: &Distribution, now: Time, room: bool) {
        self.newest = self.newest.max(at);
        for (index, tier) in TIERS.iter().enumerate() {
            self.forget(index, (now - tier.keep).floor(step_after(index, tier)));
            let bucket = at.floor(tier.step);
            if bucket >= self.complete_from[index] {
                let (more, fewer) = insert(&mut self.rings[index], bucket, samples, tier.spread && room);
                self.buckets = self.buckets + more - fewer;
            }
        }
    }

    /// Buckets in a range, each from the finest tier that is complete there.
    fn between(&self, start: Time, end: Time) -> impl Iterator<Item = (Time, &Distribution)> {
        TIERS.iter().enumerate().rev().flat_map(move |(index, _)| {
            let until = if index == 0 { end } else { end.min(self.complete_from[index - 1]) };
            let from = start.max(self.complete_from[index]);
            let ring = &self.rings[index];
            let first = ring.partition_point(|(bucket, _)| *bucket < from);
            ring.range(first..).take_while(move |(bucket, _)| *bucket < until).map(|(bucket, set)| (*bucket, set))
        })
    }
}

/// What a tier ends at a multiple of, so that no bucket of the next one is half in it.
fn step_after(index: usize, tier: &Tier) -> Span {
    TIERS.get(index + 1).map_or(tier.step, |coarser| coarser.step)
}

/// Adds samples to a bucket; returns how many sketch buckets came and went.
fn insert(
    ring: &mut VecDeque<(Time, Distribution)>,
    bucket: Time,
    samples: &Distribution,
    spread: bool,
) -> (usize, usize) {
    let place = ring.partition_point(|(had, _)| *had < bucket);
    match ring.get_mut(place).filter(|(had, _)| *had == bucket) {
        Some((_, sum)) => {
            let fewer = sum.buckets();
            if spread {
                sum.merge(samples);
            } else {
                let mut set = *sum.set();
                set.merge(samples.set());
                *sum = set.into();
            }
            (sum.buckets(), fewer)
        }
        None => {
            let samples = if spread { samples.clone() } else { samples.without_spread() };
            let more = samples.buckets();
            ring.insert(place, (bucket, samples));
            (more, 0)
        }
    }
}

#[cfg(test)]
mod tests;
