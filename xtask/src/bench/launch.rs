//! From RunInstances to user data. The script in the instance prints its own
//! time, which GetConsoleOutput brings back: the host and its instances have
//! one clock, so the poll's coarseness does not enter the figure.

use crate::Options;
use crate::api::Api;
use crate::server::Server;
use crate::stats::Series;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FIRST_LINE_ROUNDS: usize = 15;
const HUNDRED_ROUNDS: usize = 3;
/// Prints its own time on the console.
pub const USER_DATA: &str = "#!/bin/sh\necho USERDATA $(date +%s%N)\n";
const POLL: Duration = Duration::from_millis(20);
/// A run in which user data takes longer has failed.
const LIMIT: Duration = Duration::from_secs(120);

/// One instance at a time.
pub fn first_line(options: &Options) -> Result<(), String> {
    let server = Server::daemon(options)?;
    let mut api = Api::to_daemon(&server)?;
    let mut passed_ms = Series::default();
    for _ in 0..options.rounds.unwrap_or(FIRST_LINE_ROUNDS) {
        passed_ms.add(boot(&mut api, 1)? * 1000.0);
    }
    println!("RunInstances to the first line of user data {passed_ms} ms (goal: under 100)");
    Ok(())
}

/// A hundred in one call.
pub fn hundred(options: &Options) -> Result<(), String> {
    let server = Server::daemon(options)?;
    let mut api = Api::to_daemon(&server)?;
    let mut passed_s = Series::default();
    for _ in 0..options.rounds.unwrap_or(HUNDRED_ROUNDS) {
        passed_s.add(boot(&mut api, 100)?);
    }
    println!("100 instances in one call until all ran user data {passed_s} s (goal: under 5)");
    Ok(())
}

/// Launches `count` instances, waits for the user data of all of them, ends
/// them. Returns seconds from the call to the last script's own time.
fn boot(api: &mut Api, count: usize) -> Result<f64, String> {
    let called = SystemTime::now();
    let launched = api.run_instances(&count.to_string(), Some(USER_DATA))?;
    let passed = last_after(api, &launched, called)?;
    api.terminate(&launched)?;
    Ok(passed)
}

/// Waits for the user data of all `instances`. Returns seconds from `called`
/// to the last script's own time.
pub fn last_after(api: &mut Api, instances: &[String], called: SystemTime) -> Result<f64, String> {
    let mut waiting = instances.to_vec();
    let deadline = Instant::now() + LIMIT;
    let mut last_nanos = 0;
    while let Some(id) = waiting.last() {
        match user_data_nanos(&api.console_output(id)?) {
            Some(nanos) => {
                last_nanos = nanos.max(last_nanos);
                waiting.pop();
            }
            None if Instant::now() > deadline => {
                return Err(format!("{} instances never ran user data", waiting.len()));
            }
            None => std::thread::sleep(POLL),
        }
    }
    let called_nanos = called.duration_since(UNIX_EPOCH).map_err(|err| err.to_string())?.as_nanos();
    Ok(last_nanos.saturating_sub(called_nanos) as f64 / 1e9)
}

fn user_data_nanos(console: &str) -> Option<u128> {
    console.lines().find_map(|line| line.split_once("USERDATA ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mark is found behind whatever prefix the console gives a line.
    #[test]
    fn the_mark_in_a_console() {
        assert_eq!(user_data_nanos("boot\n[  0.1] USERDATA 1763770000123456789\nend"), Some(1_763_770_000_123_456_789));
        assert_eq!(user_data_nanos("USERDATA $(date)"), None);
    }
}
