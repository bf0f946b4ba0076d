//! The load generators, and what they say.

use super::cases::{Case, Contender, Load};
use super::process::{CORE, Process};
use std::process::Command;

/// Requests of one round of h2load for each second that others get.
const HTTP2_REQUESTS_A_SECOND: u32 = 40_000;

/// One round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// CPU of the proxy a request, in microseconds.
    pub cpu_us: f64,
    /// Requests a second.
    pub rate: f64,
    /// The 99th percentile of latencies in milliseconds.
    pub p99_ms: f64,
    /// Requests without an answer of class 2xx, or without one at all.
    pub failed: u64,
}

/// Loads a contender for some seconds.
pub fn run(case: &Case, contender: &Contender, process: &Process, seconds: u32) -> Result<Sample, String> {
    let url = format!("{}://127.0.0.1:{}/", case.scheme, contender.port);
    let mut command = Command::new("taskset");
    command.args(["-c", CORE]);
    match case.load {
        Load::Kept(connections) | Load::Closing(connections) => {
            command.args(["wrk", "-t1", "--latency", &format!("-c{connections}"), &format!("-d{seconds}s")]);
            if matches!(case.load, Load::Closing(_)) {
                command.args(["-H", "Connection: close"]);
            }
        }
        Load::Http2 => {
            let requests = (seconds * HTTP2_REQUESTS_A_SECOND).to_string();
            command.args(["h2load", "-t1", "-c16", "-m16", "-n", &requests]);
        }
    }
    let before = process.cpu_us();
    let output = command.arg(&url).output().map_err(|err| format!("cannot start the load generator: {err}"))?;
    let used = process.cpu_us() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let told = if case.load == Load::Http2 { of_h2load(&text) } else { of_wrk(&text) };
    let (requests, sample) = told.ok_or_else(|| format!("the load generator said of {url}:\n{text}"))?;
    Ok(Sample { cpu_us: used / requests.max(1.0), ..sample })
}

/// Requests, and the rest but for CPU.
fn of_wrk(text: &str) -> Option<(f64, Sample)> {
    let requests: f64 = before(text, " requests in ")?;
    let rate = after(text, "Requests/sec:")?.parse().ok()?;
    let p99_ms = milliseconds(after(text, " 99%")?)?;
    let errors = text.lines().find_map(|line| line.trim().strip_prefix("Socket errors:"));
    let errors = errors.map_or(0, |line| line.split(|c: char| !c.is_ascii_digit()).flat_map(str::parse::<u64>).sum());
    let other = after(text, "Non-2xx or 3xx responses:").and_then(|word| word.parse().ok()).unwrap_or(0);
    Some((requests, Sample { rate, p99_ms, failed: errors + other, ..Sample::default() }))
}

fn of_h2load(text: &str) -> Option<(f64, Sample)> {
    let done: f64 = before(text, " 2xx")?;
    let line = text.lines().find(|line| line.starts_with("finished in"))?;
    let rate = before(line, " req/s")?;
    let failed: f64 = before(text, " failed,")?;
    Some((done, Sample { rate, failed: failed as u64, ..Sample::default() }))
}

/// The number just before a mark.
fn before(text: &str, mark: &str) -> Option<f64> {
    text[..text.find(mark)?].rsplit([' ', '\n']).next()?.parse().ok()
}

/// The word after a mark.
fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text[text.find(mark)? + mark.len()..].split_whitespace().next()
}

fn milliseconds(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..at].parse().ok()?;
    Some(
        number
            * match &text[at..] {
                "us" => 0.001,
                "ms" => 1.0,
                "s" => 1000.0,
                _ => return None,
            },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What both generators print is understood.
    #[test]
    fn outputs() {
        let wrk = "    Latency   815.68us  262.32us   5.29ms   94.99%\n  Latency Distribution\n     50%  650.00us\n     99%    1.25ms\n  100 requests in 2.00s, 1.00MB read\n\
                   \x20 Socket errors: connect 0, read 3, write 1, timeout 0\n  Non-2xx or 3xx responses: 5\n\
                   Requests/sec:  49876.54\n";
        let (requests, sample) = of_wrk(wrk).expect("it is understood");
        assert_eq!((requests, sample.rate, sample.p99_ms, sample.failed), (100.0, 49_876.54, 1.25, 9));
        let h2load = "finished in 1.50s, 26666.67 req/s, 1.2MB/s\n\
                      requests: 40000 total, 40000 started, 40000 done, 39998 succeeded, 2 failed, 0 errored\n\
                      status codes: 39998 2xx, 0 3xx, 0 4xx, 2 5xx\n";
        let (requests, sample) = of_h2load(h2load).expect("it is understood");
        assert_eq!((requests, sample.rate, sample.failed), (39_998.0, 26_666.67, 2));
    }
}
