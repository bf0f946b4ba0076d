//! Counters that cost a load and a store: each data thread writes its own,
//! whoever collects sums them. Nothing here locks or orders memory; a sum is
//! a moment's picture.

mod report;

pub(crate) use report::Seen;
pub use report::{Report, ResponseTime};

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is counted. Not every count has a meaning for every ledger. New ones
/// are added at the end: reports travel between processes of two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Requests for which a target was chosen (`RequestCount`).
    Requests,
    /// Answers of the load balancer itself (`HTTPCode_ELB_3XX_Count`).
    Elb3xx,
    /// `HTTPCode_ELB_4XX_Count`; those that closed without an answer (460) too.
    Elb4xx,
    /// `HTTPCode_ELB_5XX_Count`.
    Elb5xx,
    /// Clients that left before the answer; also in `Elb4xx`.
    Elb460,
    /// `HTTPCode_ELB_500_Count`.
    Elb500,
    /// `HTTPCode_ELB_502_Count`.
    Elb502,
    /// `HTTPCode_ELB_503_Count`.
    Elb503,
    /// `HTTPCode_ELB_504_Count`.
    Elb504,
    /// `HTTPCode_Target_2XX_Count`.
    Target2xx,
    /// `HTTPCode_Target_3XX_Count`.
    Target3xx,
    /// `HTTPCode_Target_4XX_Count`.
    Target4xx,
    /// `HTTPCode_Target_5XX_Count`.
    Target5xx,
    /// Connections to and from the proxy: `NewConnectionCount`.
    NewConnections,
    /// `RejectedConnectionCount`.
    RejectedConnections,
    /// `ProcessedBytes`, both directions of the client side.
    ProcessedBytes,
    /// `TargetConnectionErrorCount`.
    TargetConnectionErrors,
    /// `UnhealthyRoutingRequestCount`.
    UnhealthyRouting,
    /// `HTTP_Fixed_Response_Count`.
    FixedResponses,
    /// `HTTP_Redirect_Count`.
    Redirects,
    /// `HTTP_Redirect_Url_Limit_Exceeded_Count`.
    RedirectUrlLimit,
    /// `RuleEvaluations`: rules that were looked at, without default rules.
    RuleEvaluations,
    /// `NonStickyRequestCount`.
    NonStickyRequests,
    /// `GrpcRequestCount`.
    GrpcRequests,
    /// `IPv6RequestCount`.
    Ipv6Requests,
    /// `IPv6ProcessedBytes`.
    Ipv6ProcessedBytes,
    /// `DesyncMitigationMode_NonCompliant_Request_Count`.
    DesyncNonCompliant,
    /// `DroppedInvalidHeaderRequestCount`.
    DroppedInvalidHeader,
    /// `ForwardedInvalidHeaderRequestCount`.
    ForwardedInvalidHeader,
    /// `ClientTLSNegotiationErrorCount`.
    ClientTlsErrors,
    /// `TargetTLSNegotiationErrorCount`.
    TargetTlsErrors,
    /// `ELBAuthSuccess`.
    AuthSuccess,
    /// `ELBAuthFailure`.
    AuthFailure,
    /// `ELBAuthError`.
    AuthError,
    /// `NewFlowCount` of network load balancers, all protocols.
    NewFlows,
    /// `NewFlowCount_TCP`.
    NewFlowsTcp,
    /// `NewFlowCount_TLS`.
    NewFlowsTls,
    /// `NewFlowCount_UDP`.
    NewFlowsUdp,
    /// `TCP_Client_Reset_Count`.
    ClientResets,
    /// `TCP_Target_Reset_Count`.
    TargetResets,
    /// `TCP_ELB_Reset_Count`.
    ElbResets,
    /// `ProcessedBytes_TCP`; also in `ProcessedBytes`.
    ProcessedBytesTcp,
    /// `ProcessedBytes_TLS`; also in `ProcessedBytes`.
    ProcessedBytesTls,
    /// `ProcessedBytes_UDP`; also in `ProcessedBytes`.
    ProcessedBytesUdp,
    /// `ProcessedPackets`.
    ProcessedPackets,
    /// `RejectedFlowCount`.
    RejectedFlows,
    /// Requests that a failed connection or an answer of 5XX spoilt; what
    /// anomalies are found by.
    Failures,
}

/// Number of variants of [`Count`].
pub(crate) const COUNTS: usize = Count::Failures as usize + 1;

impl Count {
    /// The count of a target's status code, by class.
    pub(crate) fn of_target(status: u16) -> Option<Count> {
        match status {
            200..300 => Some(Count::Target2xx),
            300..400 => Some(Count::Target3xx),
            400..500 => Some(Count::Target4xx),
            500..600 => Some(Count::Target5xx),
            _ => None,
        }
    }

    /// The counts of a status code that the load balancer generated.
    pub(crate) fn of_balancer(status: u16) -> [Option<Count>; 2] {
        let class = match status {
            300..400 => Some(Count::Elb3xx),
            400..500 => Some(Count::Elb4xx),
            500..600 => Some(Count::Elb5xx),
            _ => None,
        };
        let exact = match status {
            460 => Some(Count::Elb460),
            500 => Some(Count::Elb500),
            502 => Some(Count::Elb502),
            503 => Some(Count::Elb503),
            504 => Some(Count::Elb504),
            _ => None,
        };
        [class, exact]
    }
}

/// Buckets in each power of two of microseconds: a value is known to 1/16.
const SUB_BUCKETS: u64 = 16;
/// Powers of two covered: up to 2^32 µs, over an hour; the longest idle timeout is 4,000 s.
const POWERS: usize = 29;
const BUCKETS: usize = SUB_BUCKETS as usize * POWERS;

/// The bucket of a time in microseconds.
fn bucket(micros: u64) -> usize {
    if micros < SUB_BUCKETS {
        return micros as usize;
    }
    let power = u64::from(micros.ilog2()) - 4;
    let index = power * SUB_BUCKETS + (micros >> power);
    (index as usize).min(BUCKETS - 1)
}

/// The longest time of a bucket, in microseconds.
pub(crate) fn bucket_end(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB_BUCKETS {
        return index;
    }
    let power = index / SUB_BUCKETS - 1;
    ((index % SUB_BUCKETS + SUB_BUCKETS + 1) << power) - 1
}

/// One thread's part of a ledger; aligned so that threads do not share lines.
#[repr(align(128))]
struct Page {
    counts: [AtomicU64; COUNTS],
    in_flight: AtomicU64,
    connections: AtomicU64,
    flows: [AtomicU64; 3],
    time_count: AtomicU64,
    time_sum: AtomicU64,
    time_min: AtomicU64,
    time_max: AtomicU64,
    histogram: Box<[AtomicU64]>,
}

/// The counters of one load balancer, target group or target.
pub(crate) struct Ledger {
    pages: Box<[Page]>,
}

/// Adds to a counter that only the calling thread writes.
fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(amount), Relaxed);
}

impl Ledger {
    /// A ledger with a page for each data thread.
    pub(crate) fn new(threads: usize, with_histogram: bool) -> Ledger {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        let page = || Page {
            counts: [const { AtomicU64::new(0) }; COUNTS],
            in_flight: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            flows: [const { AtomicU64::new(0) }; 3],
            time_count: AtomicU64::new(0),
            time_sum: AtomicU64::new(0),
            time_min: AtomicU64::new(u64::MAX),
            time_max: AtomicU64::new(0),
            histogram: zeros(if with_histogram { BUCKETS } else { 0 }),
        };
        Ledger { pages: (0..threads).map(|_| page()).collect() }
    }

    pub(crate) fn add(&self, thread: usize, count: Count, amount: u64) {
        add(&self.pages[thread].counts[count as usize], amount);
    }

    /// Counts an attempt to reach a target that failed.
    pub(crate) fn add_connection_error(&self, thread: usize) {
        self.add(thread, Count::TargetConnectionErrors, 1);
        self.add(thread, Count::Failures, 1);
    }

    /// Counts a status code of the load balancer itself.
    pub(crate) fn add_own_status(&self, thread: usize, status: u16) {
        for count in Count::of_balancer(status).into_iter().flatten() {
            self.add(thread, count, 1);
        }
    }

    /// Counts a target's status code and how long the target took.
    pub(crate) fn add_response(&self, thread: usize, status: u16, took: Duration) {
        if let Some(count) = Count::of_target(status) {
            self.add(thread, count, 1);
            if count == Count::Target5xx {
                self.add(thread, Count::Failures, 1);
            }
        }
        let page = &self.pages[thread];
        let micros = took.as_micros() as u64;
        add(&page.time_count, 1);
        add(&page.time_sum, micros);
        if micros < page.time_min.load(Relaxed) {
            page.time_min.store(micros, Relaxed);
        }
        if micros > page.time_max.load(Relaxed) {
            page.time_max.store(micros, Relaxed);
        }
        if let Some(cell) = page.histogram.get(bucket(micros)) {
            add(cell, 1);
        }
    }

    pub(crate) fn enter(&self, thread: usize) {
        add(&self.pages[thread].in_flight, 1);
    }

    pub(crate) fn leave(&self, thread: usize) {
        add(&self.pages[thread].in_flight, u64::MAX);
    }

    pub(crate) fn connect(&self, thread: usize) {
        add(&self.pages[thread].connections, 1);
    }

    pub(crate) fn disconnect(&self, thread: usize) {
        add(&self.pages[thread].connections, u64::MAX);
    }

    /// A flow begins; kinds are in the order of [`Report::active_flows`].
    pub(crate) fn open_flow(&self, thread: usize, kind: usize) {
        add(&self.pages[thread].flows[kind], 1);
    }

    pub(crate) fn close_flow(&self, thread: usize, kind: usize) {
        add(&self.pages[thread].flows[kind], u64::MAX);
    }

    /// Flows open on all threads, by kind. A flow may begin on one thread only.
    pub(crate) fn flows(&self) -> [u64; 3] {
        [0, 1, 2].map(|kind| self.pages.iter().map(|page| page.flows[kind].load(Relaxed)).sum())
    }

    /// Requests in flight on all threads.
    pub(crate) fn in_flight(&self) -> u64 {
        self.pages.iter().map(|page| page.in_flight.load(Relaxed)).sum()
    }

    /// Connections open on all threads.
    pub(crate) fn connections(&self) -> u64 {
        self.pages.iter().map(|page| page.connections.load(Relaxed)).sum()
    }

    /// One count since the ledger was made.
    pub(crate) fn total(&self, count: Count) -> u64 {
        self.pages.iter().map(|page| page.counts[count as usize].load(Relaxed)).sum()
    }

    /// All sums since the ledger was made.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals {
            counts: [0; COUNTS],
            time_count: 0,
            time_sum: 0,
            histogram: vec![0; self.pages.first().map_or(0, |page| page.histogram.len())],
        };
        for page in &self.pages {
            for (total, cell) in totals.counts.iter_mut().zip(&page.counts) {
                *total += cell.load(Relaxed);
            }
            totals.time_count += page.time_count.load(Relaxed);
            totals.time_sum += page.time_sum.load(Relaxed);
            for (total, cell) in totals.histogram.iter_mut().zip(&page.histogram) {
                *total += cell.load(Relaxed);
            }
        }
        totals
    }

    /// The shortest and the longest time since the last call, in microseconds.
    /// A request that ends during the call may be seen by the next one.
    pub(crate) fn take_extremes(&self) -> (u64, u64) {
        self.pages.iter().fold((u64::MAX, 0), |(min, max), page| {
            let page_min = page.time_min.swap(u64::MAX, Relaxed);
            let page_max = page.time_max.swap(0, Relaxed);
            (min.min(page_min), max.max(page_max))
        })
    }
}

/// Sums of a ledger since it was made.
#[derive(Clone)]
pub(crate) struct Totals {
    pub(crate) counts: [u64; COUNTS],
    pub(crate) time_count: u64,
    pub(crate) time_sum: u64,
    pub(crate) histogram: Vec<u64>,
}

impl Default for Totals {
    fn default() -> Self {
        Totals { counts: [0; COUNTS], time_count: 0, time_sum: 0, histogram: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each time lies in its bucket, and buckets follow each other without gaps.
    #[test]
    fn buckets_are_log_linear() {
        let mut last = 0;
        for micros in (0..10_000).chain((1..32).map(|power| (1 << power) + 7)) {
            let index = bucket(micros);
            assert!(micros <= bucket_end(index), "{micros}");
            assert!(index == 0 || micros > bucket_end(index - 1), "{micros}");
            assert!(index >= last || micros < 10_000);
            last = index;
        }
    }

    /// A report says what happened since the one before, over all threads.
    #[test]
    fn reports_are_differences() {
        let ledger = Ledger::new(2, true);
        let mut seen = Seen::default();
        ledger.add_response(0, 200, Duration::from_micros(10));
        ledger.add_response(1, 503, Duration::from_micros(30));
        let report = seen.report(&ledger);
        let time = &report.response_time;
        assert_eq!((time.count, time.sum_micros, time.min_micros, time.max_micros), (2, 40, 10, 30));
        assert_eq!(time.histogram, [(10, 1), (30, 1)]);
        assert_eq!((report.count(Count::Target2xx), report.count(Count::Target5xx)), (1, 1));
        ledger.enter(0);
        ledger.add_own_status(1, 502);
        let report = seen.report(&ledger);
        assert_eq!((report.response_time.count, report.in_flight), (0, 1));
        assert_eq!((report.count(Count::Elb5xx), report.count(Count::Elb502)), (1, 1));
    }
}
