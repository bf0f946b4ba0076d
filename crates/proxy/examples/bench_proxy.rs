//! The proxy as the benchmarks run it: `bench_proxy BASEPORT [THREADS]`
//! listens on BASEPORT+1 (to 127.0.0.1:9001) and BASEPORT+2 (to 9002) of the
//! loopback address, with one thread unless told otherwise.

use elastane_domain::routing::{
    Action, Admission, Algorithm, HealthCheck, Listener, LoadBalancer, Snapshot, Target, TargetGroup,
};
use elastane_domain::time::Span;
use elastane_proxy::{HostConnector, Proxy, ProxyConfig, WallClock};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

fn group(port: u16) -> TargetGroup {
    TargetGroup {
        arn: format!("arn:group:{port}").into(),
        dimension: format!("targetgroup/bench/{port}"),
        algorithm: Algorithm::RoundRobin,
        check: HealthCheck {
            path: "/".to_owned(),
            port: None,
            interval: Span::from_secs(30),
            timeout_secs: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: vec![(200, 200)],
        },
        checked: true,
        deregistration_delay: Span::from_secs(300),
        targets: vec![Target {
            instance: None,
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
            vpc: None,
            source: None,
            zone: "us-east-1a".into(),
            admission: Admission::Registered,
        }],
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let base: u16 = arguments.next().ok_or("usage: bench_proxy BASEPORT [THREADS]")?.parse()?;
    let threads = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let proxy = Proxy::start(ProxyConfig {
        threads,
        facts: Arc::new(|fact| eprintln!("{fact:?}")),
        connector: Arc::new(HostConnector),
        clock: Arc::new(WallClock),
    })?;
    let listener = |offset: u16| Listener {
        arn: format!("arn:listener:{offset}").into(),
        port: base + offset,
        action: Action::Forward(vec![(format!("arn:group:{}", 9000 + offset).into(), 1)]),
    };
    proxy.apply(&Snapshot {
        generation: 1,
        load_balancers: vec![Arc::new(LoadBalancer {
            arn: "arn:bench".into(),
            dimension: "app/bench/1".to_owned(),
            host_names: vec!["bench.elb.localhost".to_owned()],
            address: Ipv4Addr::LOCALHOST,
            listeners: vec![listener(1), listener(2)],
            idle_timeout_secs: 60,
            zones: vec!["us-east-1a".into()],
        })],
        target_groups: vec![Arc::new(group(9001)), Arc::new(group(9002))],
    });
    loop {
        std::thread::park();
    }
}
