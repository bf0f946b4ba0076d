//! The data plane alone, as the benchmarks run it: `serve_snapshot FILE
//! [THREADS [FOLDER]]` serves the snapshot in a JSON file, with one thread
//! unless told otherwise; logs go below the folder.

use elastane_domain::routing::Snapshot;
use elastane_proxy::{HostConnector, Proxy, ProxyConfig, WallClock};
use std::error::Error;
use std::sync::Arc;

/// What the daemon allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: serve_snapshot FILE [THREADS [FOLDER]]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or(USAGE)?;
    let threads = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let snapshot: Snapshot = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let proxy = Proxy::start(ProxyConfig {
        threads,
        facts: Arc::new(|fact| eprintln!("{fact:?}")),
        connector: Arc::new(HostConnector),
        clock: Arc::new(WallClock),
        secret: [7; 32],
        data_dir: arguments.next().map(Into::into),
    })?;
    proxy.apply(&snapshot);
    loop {
        std::thread::park();
    }
}
