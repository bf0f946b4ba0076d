//! Once a minute of service time: CPU use of instances and counters of the
//! data plane become facts.

use crate::shell::Shell;
use crate::world::RealWorld;
use elastane_domain::id::InstanceId;
use elastane_domain::series::StatisticSet;
use elastane_domain::time::{Span, Time};
use elastane_engine::Fact;
use elastane_engine::launch::millicores;
use elastane_engine::row::Phase;
use elastane_engine::telemetry::{Counts, CpuSample, Traffic};
use elastane_proxy::{Count, Report};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: Span = Span::from_mins(1);

/// A clock step or a suspended machine must not make it sleep for long.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// CloudWatch's names of plain counts.
const NAMES: [(&str, Count); 17] = [
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
    ("NewConnectionCount", Count::NewConnections),
    ("ProcessedBytes", Count::ProcessedBytes),
    ("RejectedConnectionCount", Count::RejectedConnections),
    ("TargetConnectionErrorCount", Count::TargetConnectionErrors),
    ("UnhealthyRoutingRequestCount", Count::UnhealthyRouting),
];

/// Runs for as long as the daemon does.
pub async fn run(shell: Shell, world: Arc<RealWorld>) {
    let mut meter = CpuMeter::default();
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
        shell.facts().send(Fact::Traffic(traffic(&world, ended)));
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

fn traffic(world: &RealWorld, at: Time) -> Traffic {
    let counters = world.proxy.collect();
    Traffic {
        at,
        load_balancers: counters.load_balancers.iter().map(|one| (one.arn.clone(), counts(&one.report))).collect(),
        target_groups: counters.target_groups.iter().map(|one| (one.arn.clone(), counts(&one.report))).collect(),
    }
}

/// The data plane's counters under CloudWatch's names (alb.md 11).
fn counts(report: &Report) -> Counts {
    let time = &report.response_time;
    let seconds = |micros: u64| micros as f64 / 1e6;
    let sums = NAMES.iter().map(|(name, count)| (*name, report.count(*count) as f64)).collect();
    Counts {
        requests: report.count(Count::Requests),
        response_time: (time.count > 0).then(|| StatisticSet {
            count: time.count as f64,
            sum: seconds(time.sum_micros),
            min: seconds(time.min_micros),
            max: seconds(time.max_micros),
        }),
        sums,
    }
}
