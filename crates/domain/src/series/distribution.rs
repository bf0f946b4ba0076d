//! How the samples of a period are spread, for percentiles: a sketch of
//! counted buckets whose widths grow with the values. There are 64 to a
//! doubling, so a percentile is off by at most 1.6 %. A sketch with too many
//! buckets gets half the resolution instead: values over three decades are
//! off by at most 6 %. Sketches of any resolution merge. Bucket bounds come
//! from the bits of the number, so they are the same on every machine.

use super::StatisticSet;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Buckets of one sketch. A minute of response times rarely needs more; with
/// more, two become one, and the error doubles.
const BUCKETS_MAX: usize = 160;

/// Bits of a number's fraction that do not count: 64 buckets to a doubling.
const SHIFT: u32 = 52 - 6;

/// A percentage from 0 to 100, exact to ten decimals as CloudWatch's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Percent(u64);

impl Percent {
    /// Decimals that are kept, and how many units make one percent.
    const DECIMALS: usize = 10;
    const ONE: u64 = 10_000_000_000;

    /// Reads `99`, `99.9` or `100`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Percent> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let bare_dot = text.contains('.') && fraction.is_empty();
        if whole.is_empty() || whole.len() > 3 || bare_dot || fraction.len() > Self::DECIMALS {
            return None;
        }
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let units: u64 = format!("{fraction:0<width$}", width = Self::DECIMALS).parse().ok()?;
        let percent = Percent(whole.parse::<u64>().ok()? * Self::ONE + units);
        (percent.0 <= 100 * Self::ONE).then_some(percent)
    }

    /// As a part of one.
    pub fn fraction(self) -> f64 {
        self.0 as f64 / (100 * Self::ONE) as f64
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / Self::ONE)?;
        match self.0 % Self::ONE {
            0 => Ok(()),
            rest => write!(f, ".{}", format!("{rest:010}").trim_end_matches('0')),
        }
    }
}

/// Samples: their statistic set, and how they are spread as far as that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    set: StatisticSet,
    spread: Spread,
}

#[derive(Clone, Debug, PartialEq)]
enum Spread {
    /// All samples have the same value.
    Same,
    Known(Box<Sketch>),
    /// Only the statistic set was given.
    Unknown,
}

impl From<StatisticSet> for Distribution {
    /// Samples of which only the set is known; if all are the same, that is everything.
    fn from(set: StatisticSet) -> Distribution {
        let spread = if set.min == set.max { Spread::Same } else { Spread::Unknown };
        Distribution { set, spread }
    }
}

impl Distribution {
    /// Samples counted in buckets: the upper bound and the count of each, in
    /// ascending order of the bounds, of which `scale` make one unit of the
    /// metric (1e6 for microseconds of a metric in seconds). `set` is exact;
    /// the samples of a bucket are taken to lie at its upper bound.
    pub fn of_histogram(set: StatisticSet, scale: f64, buckets: impl IntoIterator<Item = (u64, u64)>) -> Distribution {
        if set.min == set.max {
            return Distribution::from(set);
        }
        let mut sketch = Sketch::default();
        for (bound, count) in buckets.into_iter().filter(|(_, count)| *count > 0) {
            sketch.add((bound as f64 / scale).clamp(set.min, set.max), count as f64);
        }
        if sketch.buckets.is_empty() {
            return Distribution::from(set);
        }
        Distribution { set, spread: Spread::Known(Box::new(sketch)) }
    }

    /// The statistic set.
    pub fn set(&self) -> &StatisticSet {
        &self.set
    }

    /// Adds the samples of `other`.
    pub fn merge(&mut self, other: &Distribution) {
        let same =
            matches!((&self.spread, &other.spread), (Spread::Same, Spread::Same)) && self.set.min == other.set.min;
        let unknown = matches!(self.spread, Spread::Unknown) || matches!(other.spread, Spread::Unknown);
        if unknown {
            self.spread = Spread::Unknown;
        } else if !same {
            let mut sketch = match std::mem::replace(&mut self.spread, Spread::Unknown) {
                Spread::Known(sketch) => sketch,
                Spread::Same | Spread::Unknown => Box::new(Sketch::of(&self.set)),
            };
            match &other.spread {
                Spread::Known(other) => sketch.merge(other),
                Spread::Same | Spread::Unknown => sketch.add(other.set.min, other.set.count),
            }
            self.spread = Spread::Known(sketch);
        }
        self.set.merge(&other.set);
    }

    /// The value below which `percent` of the samples lie; `None` when only a
    /// statistic set of different values is known.
    pub fn percentile(&self, percent: Percent) -> Option<f64> {
        match &self.spread {
            Spread::Same => Some(self.set.min),
            Spread::Known(_) if percent.fraction() == 0.0 => Some(self.set.min),
            Spread::Known(sketch) => Some(sketch.quantile(percent.fraction()).clamp(self.set.min, self.set.max)),
            Spread::Unknown => None,
        }
    }

    /// Buckets that it takes memory for.
    pub(super) fn buckets(&self) -> usize {
        match &self.spread {
            Spread::Known(sketch) => sketch.buckets.len(),
            Spread::Same | Spread::Unknown => 0,
        }
    }

    /// The same samples without what takes memory.
    pub(super) fn without_spread(&self) -> Distribution {
        Distribution::from(self.set)
    }
}

/// Counted buckets.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sketch {
    /// How many times the resolution was halved.
    halved: u32,
    /// Sorted by their keys. Counts are for ratios: single precision will do.
    buckets: Vec<(i32, f32)>,
}

impl Sketch {
    fn of(set: &StatisticSet) -> Sketch {
        let mut sketch = Sketch::default();
        sketch.add(set.min, set.count);
        sketch
    }

    fn add(&mut self, value: f64, count: f64) {
        self.add_at(key(value, self.halved), count as f32);
        self.shrink();
    }

    fn add_at(&mut self, key: i32, count: f32) {
        match self.buckets.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => self.buckets[at].1 += count,
            Err(at) => self.buckets.insert(at, (key, count)),
        }
    }

    fn merge(&mut self, other: &Sketch) {
        while self.halved < other.halved {
            self.halve();
        }
        let by = self.halved - other.halved;
        for (key, count) in &other.buckets {
            self.add_at(halved(*key, by), *count);
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.buckets.len() > BUCKETS_MAX {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.halved += 1;
        for (key, _) in &mut self.buckets {
            *key = halved(*key, 1);
        }
        self.buckets.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }

    /// The value at `fraction` of the samples, as if those of a bucket were
    /// spread evenly in it.
    fn quantile(&self, fraction: f64) -> f64 {
        let total: f64 = self.buckets.iter().map(|(_, count)| f64::from(*count)).sum();
        let rank = total * fraction;
        let mut below = 0.0;
        let mut value = 0.0;
        for (key, count) in &self.buckets {
            let count = f64::from(*count);
            let (low, high) = bounds(*key, self.halved);
            value = low + (high - low) * ((rank - below) / count).clamp(0.0, 1.0);
            below += count;
            if below >= rank {
                break;
            }
        }
        value
    }
}

/// The bucket of a value: larger values have larger keys, zero has key 0.
fn key(value: f64, halvings: u32) -> i32 {
    let magnitude = i32::try_from(value.abs().to_bits() >> SHIFT).expect("17 bits");
    halved(if value < 0.0 { -magnitude } else { magnitude }, halvings)
}

/// The bucket that a bucket is part of after so many halvings.
fn halved(key: i32, by: u32) -> i32 {
    let magnitude = key.abs() >> by.min(31);
    if key < 0 { -magnitude } else { magnitude }
}

/// The lowest and the highest value of a bucket.
fn bounds(key: i32, halvings: u32) -> (f64, f64) {
    let bits = |magnitude: u64| f64::from_bits(magnitude << (SHIFT + halvings));
    let magnitude = u64::from(key.unsigned_abs());
    match key {
        0 if halvings == 0 => (0.0, 0.0),
        0 => (-bits(1), bits(1)),
        key if key < 0 => (-bits(magnitude + 1), -bits(magnitude)),
        _ => (bits(magnitude), bits(magnitude + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Distribution {
        let mut values = values.into_iter().map(|value| Distribution::from(StatisticSet::of(value)));
        let mut sum = values.next().expect("a value");
        values.for_each(|one| sum.merge(&one));
        sum
    }

    fn at(distribution: &Distribution, percent: &str) -> Option<f64> {
        distribution.percentile(Percent::parse(percent).expect("a percentage"))
    }

    /// Within what is promised of values over three decades.
    fn near(got: Option<f64>, wanted: f64) -> bool {
        got.is_some_and(|got| (got - wanted).abs() <= wanted.abs() * 0.0625 + 1e-9)
    }

    #[test]
    fn percentages_are_read_and_shown() {
        for (text, shown) in [
            ("99", Some("99")),
            ("99.9", Some("99.9")),
            ("0", Some("0")),
            ("0.0000000001", Some("0.0000000001")),
            ("99.90", Some("99.9")),
            ("100", Some("100")),
            ("100.1", None),
            ("101", None),
            ("", None),
            ("9.", None),
            (".9", None),
            ("-1", None),
            ("+1", None),
            ("9.12345678901", None),
        ] {
            let got = Percent::parse(text).map(|percent| percent.to_string());
            assert_eq!(got.as_deref(), shown, "{text}");
        }
    }

    /// Percentiles are within the resolution, for values of any size and sign.
    #[test]
    fn percentiles_of_known_values() {
        let thousand = of((1..=1000).map(f64::from));
        for (percent, wanted) in
            [("0", 1.0), ("1", 10.0), ("50", 500.0), ("90", 900.0), ("99", 990.0), ("99.9", 999.0), ("100", 1000.0)]
        {
            assert!(near(at(&thousand, percent), wanted), "p{percent} is {:?}", at(&thousand, percent));
        }
        let signs = of([-1000.0, -1.0, 0.0, 1e-9, 5.0, 1e12]);
        assert_eq!(at(&signs, "0"), Some(-1000.0));
        assert!(near(at(&signs, "30"), -1.0), "{:?}", at(&signs, "30"));
        assert_eq!(at(&signs, "100"), Some(1e12));
        assert_eq!(at(&of([7.0, 7.0]), "50"), Some(7.0));
        let narrow = at(&of((100..200).map(f64::from)), "50").expect("known");
        assert!((narrow - 150.0).abs() <= 150.0 / 64.0, "{narrow}");
        assert_eq!(signs.set().count, 6.0);
    }

    /// Merging in any order and grouping gives the percentiles of the whole;
    /// the number of buckets stays bounded.
    #[test]
    fn merged_like_one() {
        let spread = |from: i32| (0..2000).map(move |n| f64::from(n * 7 + from).powi(3) + 0.001);
        let mut halves = of(spread(1));
        halves.merge(&of(spread(40_000)));
        let whole = of(spread(40_000).chain(spread(1)));
        for percent in ["1", "50", "75", "99"] {
            let (got, wanted) = (at(&halves, percent).expect("known"), at(&whole, percent).expect("known"));
            assert!((got - wanted).abs() <= wanted * 0.05, "p{percent}: {got} and {wanted}");
        }
        let Spread::Known(sketch) = &halves.spread else { panic!("{halves:?}") };
        assert!(sketch.buckets.len() <= BUCKETS_MAX && sketch.halved > 0);
    }

    /// A statistic set of different values has no percentiles, nor has what it is merged into.
    #[test]
    fn sets_have_no_percentiles() {
        let set = StatisticSet { count: 3.0, sum: 6.0, min: 1.0, max: 3.0 };
        assert_eq!(at(&set.into(), "50"), None);
        let mut merged = of([1.0, 2.0]);
        merged.merge(&set.into());
        assert_eq!(at(&merged, "50"), None);
        assert_eq!(merged.set().count, 5.0);
        assert_eq!(at(&StatisticSet::repeated(2.0, 5.0).into(), "50"), Some(2.0));
    }

    /// The data plane's histogram, in microseconds, as a metric in seconds.
    #[test]
    fn histograms_become_distributions() {
        let set = StatisticSet { count: 100.0, sum: 2.0, min: 0.0008, max: 0.5 };
        let got = Distribution::of_histogram(set, 1e6, [(1000, 90), (2000, 0), (100_000, 9), (1_000_000, 1)]);
        assert!(near(at(&got, "50"), 0.001), "{:?}", at(&got, "50"));
        assert!(near(at(&got, "95"), 0.1), "{:?}", at(&got, "95"));
        assert_eq!(at(&got, "100"), Some(0.5));
        assert_eq!(*got.set(), set);
        let one = StatisticSet::repeated(0.5, 4.0);
        assert_eq!(Distribution::of_histogram(one, 1e6, [(600_000, 4)]), one.into());
    }
}
