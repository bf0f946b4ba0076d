//! From nothing to the first answer, and what that takes in memory.

use crate::Options;
use crate::api::Api;
use crate::server::Server;
use crate::stats::Series;
use std::time::Instant;

const ROUNDS: usize = 11;

/// Time from the start of the process to the first DescribeInstances answered.
pub fn latency(options: &Options) -> Result<(), String> {
    let mut ready_ms = Series::default();
    let mut answered_ms = Series::default();
    for _ in 0..options.rounds.unwrap_or(ROUNDS) {
        let began = Instant::now();
        let server = Server::daemon(options)?;
        ready_ms.add(began.elapsed().as_secs_f64() * 1000.0);
        // Reading the credentials takes a process of its own; it does not belong to the start.
        let paused = Instant::now();
        let mut api = Api::to_daemon(&server)?;
        let request = api.request("DescribeInstances", &[]);
        let paused = paused.elapsed();
        api.send(&request)?;
        answered_ms.add((began.elapsed() - paused).as_secs_f64() * 1000.0);
    }
    println!("start to ready line                       {ready_ms} ms");
    println!("start to first DescribeInstances answered {answered_ms} ms (goal: under 50)");
    Ok(())
}

/// Resident memory after the first answer.
pub fn memory(options: &Options) -> Result<(), String> {
    let mut mib = Series::default();
    for _ in 0..options.rounds.unwrap_or(ROUNDS) {
        let server = Server::daemon(options)?;
        Api::to_daemon(&server)?.call("DescribeInstances", &[])?;
        mib.add(server.resident_mib()?);
    }
    println!("resident memory after start {mib} MiB (goal: under 30)");
    Ok(())
}
