//! Once a minute of service time: CPU use of instances and counters of the
//! data plane become facts.

use crate::shell::Shell;
use crate::world::RealWorld;
use elastane_domain::id::InstanceId;
use elastane_domain::series::{Distribution, StatisticSet};
use elastane_domain::time::{Span, Time};
use elastane_engine::Fact;
use elastane_engine::launch::millicores;
use elastane_engine::row::Phase;
use elastane_engine::telemetry::{ByteSample, Counts, CpuSample, Traffic};
use elastane_proxy::{BalancerReport, Count, Counters, GroupReport, Report, ResponseTime};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: Span = Span::from_mins(1);

/// A clock step or a suspended machine must not make it sleep for long.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// CloudWatch's names of plain counts (alb.md 11 and 13). Which of them a
/// load balancer has is the engine's business.
const NAMES: [(&str, Count); 45] = [
    ("HTTPCode_ELB_3XX_Count", Count::Elb3xx),
    ("HTTPCode_ELB_4XX_Count", Count::Elb4xx),
    ("HTTPCode_ELB_5XX_Count", Count::Elb5xx),
    ("HTTPCode_ELB_500_Count", Count::Elb500),
    ("HTTPCode_ELB_502_Count", Count::Elb502),
    ("HTTPCode_ELB_503_Count", Count::Elb503),
    ("HTTPCode_ELB_504_Count", Count::Elb504),
    ("HTTPCode_Target_2XX_Count", Count::Target2xx),
    ("HTTPCode_Target_3XX_Count", Count::Target3xx),
    ("HTTPCode_Target_4XX_Count", Count::Target4xx),
    ("HTTPCode_Target_5XX_Count", Count::Target5xx),
    ("HTTP_Fixed_Response_Count", Count::FixedResponses),
    ("HTTP_Redirect_Count", Count::Redirects),
    ("HTTP_Redirect_Url_Limit_Exceeded_Count", Count::RedirectUrlLimit),
    ("NewConnectionCount", Count::NewConnections),
    ("ProcessedBytes", Count::ProcessedBytes),
    ("IPv6ProcessedBytes", Count::Ipv6ProcessedBytes),
    ("IPv6RequestCount", Count::Ipv6Requests),
    ("RejectedConnectionCount", Count::RejectedConnections),
    ("RuleEvaluations", Count::RuleEvaluations),
    ("NonStickyRequestCount", Count::NonStickyRequests),
    ("GrpcRequestCount", Count::GrpcRequests),
    ("DesyncMitigationMode_NonCompliant_Request_Count", Count::DesyncNonCompliant),
    ("DroppedInvalidHeaderRequestCount", Count::DroppedInvalidHeader),
    ("ForwardedInvalidHeaderRequestCount", Count::ForwardedInvalidHeader),
    ("ClientTLSNegotiationErrorCount", Count::ClientTlsErrors),
    ("TargetTLSNegotiationErrorCount", Count::TargetTlsErrors),
    ("TargetConnectionErrorCount", Count::TargetConnectionErrors),
    ("UnhealthyRoutingRequestCount", Count::UnhealthyRouting),
    ("UnhealthyRoutingFlowCount", Count::UnhealthyRouting),
    ("ELBAuthSuccess", Count::AuthSuccess),
    ("ELBAuthFailure", Count::AuthFailure),
    ("ELBAuthError", Count::AuthError),
    ("NewFlowCount", Count::NewFlows),
    ("NewFlowCount_TCP", Count::NewFlowsTcp),
    ("NewFlowCount_TLS", Count::NewFlowsTls),
    ("NewFlowCount_UDP", Count::NewFlowsUdp),
    ("TCP_Client_Reset_Count", Count::ClientResets),
    ("TCP_Target_Reset_Count", Count::TargetResets),
    ("TCP_ELB_Reset_Count", Count::ElbResets),
    ("ProcessedBytes_TCP", Count::ProcessedBytesTcp),
    ("ProcessedBytes_TLS", Count::ProcessedBytesTls),
    ("ProcessedBytes_UDP", Count::ProcessedBytesUdp),
    ("ProcessedPackets", Count::ProcessedPackets),
    ("RejectedFlowCount", Count::RejectedFlows),
];

/// Names of the gauges of open flows, by kind.
const FLOWS: [&str; 3] = ["ActiveFlowCount_TCP", "ActiveFlowCount_TLS", "ActiveFlowCount_UDP"];

/// Runs for as long as the daemon does.
pub async fn run(shell: Shell, world: Arc<RealWorld>) {
    let mut meter = CpuMeter::default();
    let mut bytes = ByteMeter::default();
    let mut minute = shell.clock().now().floor(MINUTE);
    loop {
        let next = minute + MINUTE;
        tokio::time::sleep(shell.clock().wall(next - shell.clock().now()).min(SLEEP_MAX)).await;
        let now = shell.clock().now();
        if now < next {
            continue;
        }
        // What was counted since the last time belongs to the minute that just
        // ended, also when the machine was too busy to look in between.
        let ended = now.floor(MINUTE) - MINUTE;
        minute = now.floor(MINUTE);
        let samples = meter.measure(&shell, &world);
        shell.facts().send(Fact::Cpu { at: ended, samples });
        shell.facts().send(Fact::Network { at: ended, samples: bytes.measure(&shell, &world) });
        shell.facts().send(Fact::Traffic(traffic(&world, ended).await));
    }
}

/// CPU use between two looks.
#[derive(Default)]
struct CpuMeter {
    last: BTreeMap<InstanceId, (Instant, u64)>,
}

impl CpuMeter {
    fn measure(&mut self, shell: &Shell, world: &RealWorld) -> Vec<CpuSample> {
        let running = running(shell);
        let now = Instant::now();
        let mut seen = BTreeMap::new();
        let mut samples = Vec::new();
        for (instance, millicores) in running {
            let Some(used) = world.host.cpu_usage(&instance) else { continue };
            if let Some((then, before)) = self.last.get(&instance) {
                let available = now.duration_since(*then).as_nanos() as f64 * f64::from(millicores) / 1000.0;
                let share = used.saturating_sub(*before) as f64 / available.max(1.0);
                // Where limits are not enforced an instance can use more than it has.
                samples.push(CpuSample { instance: instance.clone(), percent: (share * 100.0).min(100.0) });
            }
            seen.insert(instance, (now, used));
        }
        self.last = seen;
        samples
    }
}

/// Bytes in and out between two looks. Instances without a network of their
/// own have none.
#[derive(Default)]
struct ByteMeter {
    last: BTreeMap<InstanceId, (u64, u64)>,
}

impl ByteMeter {
    fn measure(&mut self, shell: &Shell, world: &RealWorld) -> Vec<ByteSample> {
        let mut seen = BTreeMap::new();
        let mut samples = Vec::new();
        for (instance, _) in running(shell) {
            let Some((received, sent)) = world.host.network_usage(&instance) else { continue };
            if let Some(before) = self.last.get(&instance) {
                // A new boot counts from the beginning.
                let since = |now: u64, before: u64| if now >= before { now - before } else { now };
                let (received, sent) = (since(received, before.0), since(sent, before.1));
                samples.push(ByteSample { instance: instance.clone(), received, sent });
            }
            seen.insert(instance, (received, sent));
        }
        self.last = seen;
        samples
    }
}

/// Running instances, and what each may use of a core.
fn running(shell: &Shell) -> Vec<(InstanceId, u32)> {
    let engine = shell.engine();
    let vcpu = engine.config().vcpu_millicores;
    let instances = engine.state().scopes.values().flat_map(|tables| tables.instances.values());
    instances
        .filter(|instance| instance.phase == Phase::Running)
        .map(|instance| (instance.id.clone(), millicores(&instance.instance_type, vcpu)))
        .collect()
}

async fn traffic(world: &RealWorld, at: Time) -> Traffic {
    let counters = world.proxy.collect().await;
    summarize(&counters, at)
}

/// The data plane's counters under CloudWatch's names.
fn summarize(counters: &Counters, at: Time) -> Traffic {
    let balancer = |one: &BalancerReport| {
        let zones = one.zones.iter().map(|zone| (zone.zone.clone(), counts(&zone.report)));
        (one.arn.clone(), Counts { zones: zones.collect(), ..counts(&one.report) })
    };
    let group = |one: &GroupReport| {
        let zones = one.zones.iter().filter_map(|zone| Some((zone.zone.clone()?, counts(&zone.report))));
        (one.arn.clone(), Counts { zones: zones.collect(), ..counts(&one.report) })
    };
    Traffic {
        at,
        load_balancers: counters.load_balancers.iter().map(balancer).collect(),
        target_groups: counters.target_groups.iter().map(group).collect(),
    }
}

fn counts(report: &Report) -> Counts {
    let mut sums: BTreeMap<&'static str, f64> =
        NAMES.iter().map(|(name, count)| (*name, report.count(*count) as f64)).collect();
    sums.insert("ActiveConnectionCount", report.active_connections as f64);
    sums.insert("ActiveFlowCount", report.active_flows.iter().sum::<u64>() as f64);
    sums.extend(FLOWS.iter().zip(report.active_flows).map(|(name, flows)| (*name, flows as f64)));
    let response_time = response_time(&report.response_time);
    Counts { requests: report.count(Count::Requests), response_time, sums, ..Counts::default() }
}

/// Times in seconds with their spread, so that percentiles can be read.
fn response_time(time: &ResponseTime) -> Option<Distribution> {
    const MICROS: f64 = 1e6;
    let seconds = |micros: u64| micros as f64 / MICROS;
    let set = StatisticSet {
        count: time.count as f64,
        sum: seconds(time.sum_micros),
        min: seconds(time.min_micros),
        max: seconds(time.max_micros),
    };
    let buckets = time.histogram.iter().copied();
    (time.count > 0).then(|| Distribution::of_histogram(set, MICROS, buckets))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name stands for one count, and none is there twice.
    #[test]
    fn alb_11_names_are_distinct() {
        let mut names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).chain(FLOWS).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    /// Zones come with their own counts, and times with their spread.
    #[test]
    fn alb_11_counters_to_samples() {
        let mut report = Report::default();
        report.active_connections = 3;
        report.response_time = ResponseTime {
            count: 2,
            sum_micros: 3_000_000,
            min_micros: 1_000_000,
            max_micros: 2_000_000,
            histogram: vec![(1_048_575, 1), (2_031_615, 1)],
        };
        let zone = elastane_proxy::BalancerZoneReport { zone: "us-east-1a".into(), report: report.clone() };
        let balancer = BalancerReport { arn: "arn:lb".into(), report, zones: vec![zone] };
        let counters = Counters { load_balancers: vec![balancer], ..Counters::default() };
        let traffic = summarize(&counters, Time(60_000));
        let counts = &traffic.load_balancers["arn:lb"];
        assert_eq!(counts.sums["ActiveConnectionCount"], 3.0);
        let set = counts.response_time.as_ref().unwrap().set();
        assert_eq!((set.count, set.sum, set.min, set.max), (2.0, 3.0, 1.0, 2.0));
        assert_eq!(counts.zones[&elastane_domain::id::Zone::from("us-east-1a")].response_time, counts.response_time);
        assert_eq!(response_time(&ResponseTime::default()), None);
    }
}
