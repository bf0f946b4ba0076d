//! The proxy as the benchmarks run it: `bench_proxy BASEPORT [THREADS]`
//! listens on BASEPORT+1 (to 127.0.0.1:9001) and BASEPORT+2 (to 9002) of the
//! loopback address, with one thread unless told otherwise.

use elastane_domain::routing::{Action, Admission, Listener, LoadBalancer, Snapshot, Target, TargetGroup};
use elastane_proxy::{HostConnector, Proxy, ProxyConfig, WallClock};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

fn group(port: u16) -> TargetGroup {
    let target = Target {
        instance: None,
        address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        vpc: None,
        source: None,
        zone: Some("us-east-1a".into()),
        admission: Admission::Registered,
    };
    TargetGroup::http(format!("arn:group:{port}").into(), vec![target])
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
    let listener = |offset: u16| {
        let action = Action::forward_to(format!("arn:group:{}", 9000 + offset).into());
        Listener::http(format!("arn:listener:{offset}").into(), base + offset, action)
    };
    proxy.apply(&Snapshot {
        generation: 1,
        load_balancers: vec![Arc::new(LoadBalancer::application(
            "arn:bench".into(),
            Ipv4Addr::LOCALHOST,
            vec![listener(1), listener(2)],
        ))],
        target_groups: vec![Arc::new(group(9001)), Arc::new(group(9002))],
        ..Snapshot::default()
    });
    loop {
        std::thread::park();
    }
}
