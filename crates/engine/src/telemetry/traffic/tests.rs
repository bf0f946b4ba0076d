//! Names, units and dimensions of what is published (alb.md 11 and 13).

use super::*;
use elastane_domain::series::MetricId;

const AT: Time = Time(600_000);
const LB: &str = "app/web/1";
const GROUP: &str = "targetgroup/web/2";

fn samples(family: Family) -> Samples {
    Samples { at: AT, now: AT + MINUTE, store: MetricStore::new(), family }
}

/// Everything that was published, one line each: name, dimensions, unit and sum.
fn published(samples: &Samples) -> Vec<String> {
    let all = samples.store.list(&Default::default(), samples.now);
    let line = |id: &&MetricId| {
        let dimensions: Vec<&str> = id
            .dimensions
            .iter()
            .map(|(name, value)| match name.as_str() {
                "LoadBalancer" => "LB",
                "TargetGroup" => "TG",
                _ => value.as_str(),
            })
            .collect();
        let unit = samples.store.units(id)[0];
        let sum = samples.store.get(id, AT, AT + MINUTE, MINUTE, None)[0].1.sum;
        format!("{} {} {} {sum}", id.name, dimensions.join("+"), unit.name())
    };
    all.iter().map(line).collect()
}

fn counts(sums: &[(&'static str, f64)]) -> Counts {
    Counts { sums: sums.iter().copied().collect(), ..Counts::default() }
}

fn with_zone(mut whole: Counts) -> Counts {
    whole.zones.insert("a".into(), whole.clone());
    whole
}

/// What an application load balancer publishes: zeros are not, units always.
#[test]
fn alb_11_of_load_balancers() {
    let mut samples = samples(Family::Application);
    let counts = Counts {
        requests: 7,
        response_time: Some(StatisticSet { count: 2.0, sum: 3.0, min: 1.0, max: 2.0 }.into()),
        ..counts(&[
            ("HTTPCode_ELB_5XX_Count", 2.0),
            ("HTTPCode_ELB_4XX_Count", 0.0),
            ("ProcessedBytes", 512.0),
            ("RuleEvaluations", 14.0),
            ("UnhealthyRoutingRequestCount", 3.0),
            ("NewConnectionCount", 3_000.0),
            ("NewFlowCount", 9.0),
        ])
    };
    samples.balancer(LB, Some(&with_zone(counts)));
    let want = [
        "ConsumedLCUs LB Count 2",
        "HTTPCode_ELB_5XX_Count a+LB Count 2",
        "HTTPCode_ELB_5XX_Count LB Count 2",
        "NewConnectionCount a+LB Count 3000",
        "NewConnectionCount LB Count 3000",
        "ProcessedBytes a+LB Bytes 512",
        "ProcessedBytes LB Bytes 512",
        "RequestCount a+LB Count 7",
        "RequestCount LB Count 7",
        "RuleEvaluations LB Count 14",
        "TargetResponseTime a+LB Seconds 3",
        "TargetResponseTime LB Seconds 3",
    ];
    assert_eq!(published(&samples), want);
}

/// Without traffic only the capacity units of a load balancer are reported.
#[test]
fn alb_11_without_traffic() {
    for family in [Family::Application, Family::Network] {
        let mut samples = samples(family);
        samples.balancer(LB, None);
        assert_eq!(published(&samples), ["ConsumedLCUs LB Count 0"]);
    }
}

/// What a target group publishes: hosts and requests per target always.
#[test]
fn alb_11_of_target_groups() {
    let mut samples = samples(Family::Application);
    let counts = Counts {
        requests: 6,
        ..counts(&[("HTTPCode_Target_2XX_Count", 6.0), ("UnhealthyRoutingRequestCount", 1.0), ("ProcessedBytes", 9.0)])
    };
    let hosts = [(Zone::from("a"), Hosts { healthy: 2, unhealthy: 1, anomalous: 1, ..Hosts::default() })].into();
    let both = [("LoadBalancer", LB), ("TargetGroup", GROUP)];
    samples.target_group(both, Some(&with_zone(counts)), &hosts, None);
    samples.standing(&both, (true, false), 2);
    let want = [
        "AnomalousHostCount a+LB+TG Count 1",
        "AnomalousHostCount LB+TG Count 1",
        "HTTPCode_Target_2XX_Count a+LB+TG Count 6",
        "HTTPCode_Target_2XX_Count LB+TG Count 6",
        "HealthyHostCount a+LB+TG Count 2",
        "HealthyHostCount LB+TG Count 2",
        "HealthyStateDNS LB+TG Count 0",
        "HealthyStateRouting LB+TG Count 2",
        "MitigatedHostCount a+LB+TG Count 0",
        "MitigatedHostCount LB+TG Count 0",
        "RequestCount a+LB+TG Count 6",
        "RequestCount LB+TG Count 6",
        "RequestCount TG Count 6",
        "RequestCountPerTarget a+LB+TG Count 3",
        "RequestCountPerTarget LB+TG Count 3",
        "RequestCountPerTarget TG Count 3",
        "UnHealthyHostCount a+LB+TG Count 1",
        "UnHealthyHostCount LB+TG Count 1",
        "UnhealthyRoutingRequestCount a+LB+TG Count 1",
        "UnhealthyRoutingRequestCount LB+TG Count 1",
        "UnhealthyStateDNS LB+TG Count 2",
        "UnhealthyStateRouting LB+TG Count 0",
    ];
    let mut got = published(&samples);
    let mut want: Vec<String> = want.map(str::to_owned).into();
    got.sort_unstable();
    want.sort_unstable();
    assert_eq!(got, want);
}

/// A group without traffic still reports hosts and zero requests per target.
#[test]
fn alb_11_of_idle_target_groups() {
    let mut samples = samples(Family::Application);
    samples.target_group([("LoadBalancer", LB), ("TargetGroup", GROUP)], None, &BTreeMap::new(), None);
    let got = published(&samples);
    assert!(got.contains(&"RequestCountPerTarget TG Count 0".to_owned()), "{got:?}");
    assert!(got.contains(&"HealthyHostCount LB+TG Count 0".to_owned()), "{got:?}");
    assert!(!got.iter().any(|line| line.starts_with("RequestCount ")), "{got:?}");
}

/// A network load balancer has its own namespace and names.
#[test]
fn alb_13_of_network_load_balancers() {
    let mut samples = samples(Family::Network);
    let counts = counts(&[
        ("NewFlowCount", 96_000.0),
        ("NewFlowCount_TCP", 96_000.0),
        ("ActiveFlowCount", 3.0),
        ("TCP_ELB_Reset_Count", 2.0),
        ("HTTPCode_ELB_5XX_Count", 5.0),
    ]);
    samples.balancer("net/web/1", Some(&counts));
    let hosts = [(Zone::from("a"), Hosts { healthy: 1, ..Hosts::default() })].into();
    samples.target_group([("LoadBalancer", "net/web/1"), ("TargetGroup", GROUP)], Some(&counts), &hosts, None);
    let want = [
        "ActiveFlowCount LB Count 3",
        "ConsumedLCUs LB Count 2",
        "HealthyHostCount a+LB+TG Count 1",
        "HealthyHostCount LB+TG Count 1",
        "NewFlowCount LB Count 96000",
        "NewFlowCount_TCP LB Count 96000",
        "TCP_ELB_Reset_Count LB Count 2",
        "UnHealthyHostCount a+LB+TG Count 0",
        "UnHealthyHostCount LB+TG Count 0",
    ];
    let mut got = published(&samples);
    got.sort_unstable();
    let mut want: Vec<String> = want.map(str::to_owned).into();
    want.sort_unstable();
    assert_eq!(got, want);
    assert!(samples.store.list(&Default::default(), samples.now).iter().all(|id| id.namespace == "AWS/NetworkELB"));
}
