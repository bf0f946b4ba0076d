//! DescribeInstances with ten instances, over raw HTTP: two threads with four
//! kept connections each, one request in flight on every connection.

use crate::Options;
use crate::api::Api;
use crate::http::Connection;
use crate::server::Server;
use crate::stats::Series;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const THREADS: usize = 2;
const CONNECTIONS_A_THREAD: usize = 4;
const ROUND: Duration = Duration::from_secs(2);
const INSTANCES: &str = "10";

/// Requests a second of the daemon and of the peer, rounds alternating.
pub fn run(options: &Options) -> Result<(), String> {
    let daemon = Server::daemon(options)?;
    let mut api = Api::to_daemon(&daemon)?;
    api.run_instances(INSTANCES, None)?;
    let ours = api.request("DescribeInstances", &[]);
    let peer = match Server::peer() {
        Ok(peer) => {
            let mut api = Api::to_peer(&peer);
            api.run_instances(INSTANCES, None)?;
            Some((peer.address, api.request("DescribeInstances", &[]), peer))
        }
        Err(problem) => {
            println!("SKIPPED the comparison: {problem}");
            None
        }
    };
    let (mut our_rate, mut peer_rate) = (Series::default(), Series::default());
    for _ in 0..options.rounds.unwrap_or(ROUNDS) {
        our_rate.add(rate(daemon.address, &ours)?);
        if let Some((address, request, _)) = &peer {
            peer_rate.add(rate(*address, request)?);
        }
    }
    println!("elastane {our_rate} requests/s (goal: over 20,000)");
    if peer.is_some() {
        println!("emulator {peer_rate} requests/s");
        println!("ratio    {}", our_rate.over(&peer_rate));
    }
    Ok(())
}

/// Answered requests a second over one round.
fn rate(address: SocketAddr, request: &[u8]) -> Result<f64, String> {
    let began = Instant::now();
    let count: Result<u64, String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| work(address, request, began + ROUND))).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| "a client thread panicked".to_owned())?).sum()
    });
    count.map(|count| count as f64 / began.elapsed().as_secs_f64())
}

fn work(address: SocketAddr, request: &[u8], end: Instant) -> Result<u64, String> {
    let mut connections: Vec<Connection> = (0..CONNECTIONS_A_THREAD).map(|_| Connection::new(address)).collect();
    let mut count = 0;
    while Instant::now() < end {
        for connection in &mut connections {
            connection.send(request)?;
        }
        for connection in &mut connections {
            let answer = connection.receive()?;
            if answer.status != 200 {
                return Err(format!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
            }
            count += 1;
        }
    }
    Ok(count)
}
