//! How good forecasts are: on real traces, held out by time, against the load
//! of the same hour a day before (seasonal-naive) and against a widely used
//! statistics package.
//!
//! Each trace becomes hourly means. From moments in its second half, half a
//! day apart, the two days that follow are foretold from the two weeks before.
//! The forecaster's constants were chosen on the first halves. The error is
//! the mean distance from what came, in parts of the mean of what came.

use crate::Options;
use elastane_domain::forecast::{HISTORY_MAX, HORIZON, forecast};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder of CSV files: a header, then `2014-02-14 14:27:00,value` or `minute,value` a line.
const TRACES: &str = "ELASTANE_TRACES";

/// Hours between two moments.
const STEP: usize = 12;

/// Long traces are looked at from at most so many moments: the peer takes a tenth of a second for each.
const MOMENTS_MAX: usize = 60;

const DAY: usize = 24;

/// Hourly means of one trace.
struct Trace {
    name: String,
    hours: Vec<f64>,
}

/// A moment: what was known, and what came.
struct Moment<'a> {
    history: &'a [f64],
    came: &'a [f64],
}

/// Prints the error of each forecaster on each trace, and its geometric mean in parts of the naive one's.
pub fn run(_: &Options) -> Result<(), String> {
    let Some(folder) = std::env::var_os(TRACES) else {
        println!("SKIPPED: set {TRACES} to a folder of traces (CSV files of time and value)");
        return Ok(());
    };
    let traces = load(Path::new(&folder))?;
    println!("{:<40} {:>8} {:>8} {:>8} {:>12}", "trace (moments)", "elastane", "naive", "package", "ours/package");
    let mut logs: [Vec<f64>; 2] = Default::default();
    for trace in &traces {
        let moments = moments(trace);
        let naive = error(&moments, |moment| seasonal_naive(moment.history));
        let ours = error(&moments, |moment| forecast(moment.history, HORIZON).unwrap_or_default());
        let peer = match peer(&moments) {
            Ok(said) => Some(best(&moments, &said)),
            Err(problem) => {
                println!("SKIPPED the package: {problem}");
                None
            }
        };
        let shown = |error: Option<f64>| error.map_or_else(|| "-".to_owned(), |error| format!("{error:.4}"));
        let label = format!("{} ({})", trace.name, moments.len());
        println!("{label:<40} {ours:>8.4} {naive:>8.4} {:>8} {:>12}", shown(peer), shown(peer.map(|peer| ours / peer)));
        logs[0].push((ours / naive).ln());
        logs[1].extend(peer.map(|peer| (peer / naive).ln()));
    }
    let mean = |logs: &[f64]| (logs.iter().sum::<f64>() / logs.len() as f64).exp();
    println!("geometric mean in parts of the naive one: elastane {:.3}, package {:.3}", mean(&logs[0]), mean(&logs[1]));
    Ok(())
}

fn moments(trace: &Trace) -> Vec<Moment<'_>> {
    let half = trace.hours.len() / 2;
    let last = trace.hours.len().saturating_sub(DAY);
    let all: Vec<usize> = (half..last).step_by(STEP).collect();
    let every = all.len().div_ceil(MOMENTS_MAX).max(1);
    all.into_iter()
        .step_by(every)
        .map(|at| Moment {
            history: &trace.hours[at.saturating_sub(HISTORY_MAX)..at],
            came: &trace.hours[at..(at + HORIZON).min(trace.hours.len())],
        })
        .collect()
}

fn seasonal_naive(history: &[f64]) -> Vec<f64> {
    let day = &history[history.len() - DAY..];
    (0..HORIZON).map(|hour| day[hour % DAY]).collect()
}

fn error(moments: &[Moment<'_>], say: impl Fn(&Moment<'_>) -> Vec<f64>) -> f64 {
    let (mut off, mut scale) = (0.0, 0.0);
    for moment in moments {
        let said = say(moment);
        let hours = moment.came.len() as f64;
        off += moment.came.iter().zip(&said).map(|(came, said)| (came - said).abs()).sum::<f64>() / hours;
        scale += moment.came.iter().map(|came| came.abs()).sum::<f64>() / hours;
    }
    off / scale
}

/// What each of the package's variants says at each moment: `[moment][variant][hour]`.
fn peer(moments: &[Moment<'_>]) -> Result<Vec<Vec<Vec<f64>>>, String> {
    let python = std::env::var_os("PYTHON").ok_or("no PYTHON with the packages of the benches")?;
    let jobs: Vec<&[f64]> = moments.iter().map(|moment| moment.history).collect();
    let work = serde_json::json!({"horizon": HORIZON, "jobs": jobs}).to_string();
    let mut child = Command::new(python)
        .args(["-c", include_str!("forecast_peer.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|err| format!("cannot start Python: {err}"))?;
    child.stdin.take().expect("it is piped").write_all(work.as_bytes()).map_err(|err| err.to_string())?;
    let done = child.wait_with_output().map_err(|err| err.to_string())?;
    serde_json::from_slice(&done.stdout).map_err(|err| format!("Python did not answer: {err}"))
}

/// The error of the package's better variant.
fn best(moments: &[Moment<'_>], said: &[Vec<Vec<f64>>]) -> f64 {
    let variants = said.first().map_or(0, Vec::len);
    let of = |variant: usize| {
        let mut answers = said.iter();
        let answers = std::cell::RefCell::new(&mut answers);
        error(moments, |_| answers.borrow_mut().next().map_or_else(Vec::new, |said| said[variant].clone()))
    };
    (0..variants).map(of).fold(f64::INFINITY, f64::min)
}

fn load(folder: &Path) -> Result<Vec<Trace>, String> {
    let listed = std::fs::read_dir(folder).map_err(|err| format!("cannot read {}: {err}", folder.display()))?;
    let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "csv"));
    paths.sort();
    paths.iter().map(|path| trace(path)).collect()
}

fn trace(path: &Path) -> Result<Trace, String> {
    let text = std::fs::read_to_string(path).map_err(|err| format!("cannot read {}: {err}", path.display()))?;
    let mut hours: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let parsed = line.split_once(',').and_then(|(time, value)| Some((hour(time)?, value.parse::<f64>().ok()?)));
        let (hour, value) = parsed.ok_or_else(|| format!("{}: not a time and a value: {line}", path.display()))?;
        let (sum, count) = hours.entry(hour).or_default();
        (*sum, *count) = (*sum + value, *count + 1.0);
    }
    let known: Vec<Option<f64>> = match (hours.keys().next(), hours.keys().last()) {
        // The first and the last hour may not be whole.
        (Some(first), Some(last)) => (first + 1..*last).map(|hour| hours.get(&hour).map(|(sum, n)| sum / n)).collect(),
        (_, _) => Vec::new(),
    };
    let hours = elastane_domain::forecast::fill(&known);
    if hours.len() < 4 * DAY {
        return Err(format!("{}: less than four days", path.display()));
    }
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Ok(Trace { name, hours })
}

/// The hour of a moment, counted from some fixed one.
fn hour(time: &str) -> Option<i64> {
    if let Ok(minute) = time.parse::<i64>() {
        return Some(minute.div_euclid(60));
    }
    let (date, clock) = time.split_once(' ')?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let hour: i64 = clock.split(':').next()?.parse().ok()?;
    Some(days(year, month, day) * DAY as i64 + hour)
}

/// Days since 1 March of year 0 (proleptic Gregorian calendar).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours follow each other over the ends of months and years.
    #[test]
    fn hours_of_times() {
        for (earlier, later) in [
            ("2014-02-28 23:59:00", "2014-03-01 00:00:00"),
            ("2016-02-29 23:00:00", "2016-03-01 00:10:00"),
            ("2014-12-31 23:00:00", "2015-01-01 00:00:00"),
            ("59", "60"),
        ] {
            assert_eq!(hour(earlier).map(|hour| hour + 1), hour(later), "{earlier}");
        }
        assert_eq!(hour("noon"), None);
    }
}
