//! What happened at one ledger between two collections, in a form that can
//! be added up and sent to another process.

use super::{COUNTS, Count, Ledger, Totals, bucket_end};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the last collection saw of one ledger.
#[derive(Default)]
pub(crate) struct Seen(Totals);

impl Seen {
    /// What happened since the last call.
    pub(crate) fn report(&mut self, ledger: &Ledger) -> Report {
        let now = ledger.totals();
        let before = std::mem::replace(&mut self.0, now.clone());
        let (min, max) = ledger.take_extremes();
        let count = now.time_count - before.time_count;
        let mut counts = now.counts;
        for (now, before) in counts.iter_mut().zip(before.counts) {
            *now -= before;
        }
        let histogram = now.histogram.iter().enumerate().filter_map(|(index, &now)| {
            let more = now - before.histogram.get(index).copied().unwrap_or(0);
            (more > 0).then_some((bucket_end(index), more))
        });
        Report {
            counts: Counted(counts),
            in_flight: ledger.in_flight(),
            active_connections: ledger.connections(),
            active_flows: ledger.flows(),
            response_time: ResponseTime {
                count,
                sum_micros: now.time_sum - before.time_sum,
                min_micros: if min == u64::MAX { 0 } else { min },
                max_micros: max,
                histogram: histogram.collect(),
            },
        }
    }
}

/// One number a [`Count`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted([u64; COUNTS]);

impl Default for Counted {
    fn default() -> Self {
        Counted([0; COUNTS])
    }
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(out)
    }
}

impl<'de> Deserialize<'de> for Counted {
    /// Counts that the sender does not know are zero, those that only the
    /// sender knows are left out.
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let mut counts = [0; COUNTS];
        for (cell, count) in counts.iter_mut().zip(Vec::<u64>::deserialize(input)?) {
            *cell = count;
        }
        Ok(Counted(counts))
    }
}

/// What happened at one load balancer, target group, zone or target since the
/// last collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub(crate) counts: Counted,
    /// Requests in flight now; targets only.
    pub in_flight: u64,
    /// Client connections open now; load balancers and their zones only.
    pub active_connections: u64,
    /// Flows open now, by kind: TCP, TLS, UDP (`ActiveFlowCount_*`).
    #[serde(default)]
    pub active_flows: [u64; 3],
    /// `TargetResponseTime`: from the request being sent to the first header.
    pub response_time: ResponseTime,
}

impl Report {
    /// One count.
    pub fn count(&self, count: Count) -> u64 {
        self.counts.0[count as usize]
    }

    /// Adds what happened elsewhere.
    pub fn merge(&mut self, other: &Report) {
        for (sum, more) in self.counts.0.iter_mut().zip(other.counts.0) {
            *sum += more;
        }
        self.in_flight += other.in_flight;
        self.active_connections += other.active_connections;
        for (sum, more) in self.active_flows.iter_mut().zip(other.active_flows) {
            *sum += more;
        }
        self.response_time.merge(&other.response_time);
    }

    /// Whether nothing was counted and nothing is under way.
    pub fn is_silent(&self) -> bool {
        *self == Report::default()
    }
}

/// A distribution of times since the last collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseTime {
    /// How many there were.
    pub count: u64,
    /// Their sum in microseconds.
    pub sum_micros: u64,
    /// The shortest; 0 when there was none.
    pub min_micros: u64,
    /// The longest.
    pub max_micros: u64,
    /// Pairs of (longest time of a bucket in microseconds, how many), ascending,
    /// without empty ones; a bucket is 1/16 of its times wide. Not for targets.
    pub histogram: Vec<(u64, u64)>,
}

impl ResponseTime {
    /// Adds other times.
    pub fn merge(&mut self, other: &ResponseTime) {
        if other.count == 0 {
            return;
        }
        self.min_micros = if self.count == 0 { other.min_micros } else { self.min_micros.min(other.min_micros) };
        self.max_micros = self.max_micros.max(other.max_micros);
        self.count += other.count;
        self.sum_micros += other.sum_micros;
        let (mut mine, mut theirs) = (self.histogram.iter().peekable(), other.histogram.iter().peekable());
        let mut merged = Vec::with_capacity(self.histogram.len() + other.histogram.len());
        loop {
            match (mine.peek(), theirs.peek()) {
                (Some(&&(end, count)), Some(&&(other_end, other_count))) if end == other_end => {
                    merged.push((end, count + other_count));
                    mine.next();
                    theirs.next();
                }
                (Some(&&pair), Some(&&other_pair)) if pair.0 < other_pair.0 => {
                    merged.push(pair);
                    mine.next();
                }
                (_, Some(&&pair)) => {
                    merged.push(pair);
                    theirs.next();
                }
                (Some(&&pair), None) => {
                    merged.push(pair);
                    mine.next();
                }
                (None, None) => break,
            }
        }
        self.histogram = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn report_of(times: &[u64]) -> Report {
        let ledger = Ledger::new(1, true);
        for &time in times {
            ledger.add_response(0, 200, Duration::from_micros(time));
        }
        Seen::default().report(&ledger)
    }

    /// Merging reports gives the report of all that was counted.
    #[test]
    fn merged_reports_are_sums() {
        for (first, second) in [(&[10, 300][..], &[10, 20, 9_000][..]), (&[], &[5]), (&[5], &[]), (&[], &[])] {
            let mut merged = report_of(first);
            merged.merge(&report_of(second));
            assert_eq!(merged, report_of(&[first, second].concat()), "{first:?} {second:?}");
        }
    }

    /// A report from another version: missing counts are zero, unknown ones are dropped.
    #[test]
    fn reports_travel_between_versions() {
        let mut value = serde_json::to_value(report_of(&[7])).unwrap();
        let counts = value["counts"].as_array_mut().unwrap();
        counts.truncate(3);
        let short: Report = serde_json::from_value(value.clone()).unwrap();
        assert_eq!((short.count(Count::Target2xx), short.response_time.count), (0, 1));
        value["counts"] = vec![1; COUNTS + 9].into();
        let long: Report = serde_json::from_value(value).unwrap();
        assert_eq!(long.count(Count::Failures), 1);
    }
}
