//! What came of the day, in figures and in a picture; each claim checked.

use super::build::Built;
use super::day::{Accident, Day};
use super::load::{Outcome, Sample};
use super::{Demo, Stage, chart, svg};
use crate::data_dir::Problem;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// A duration as milliseconds.
pub fn millis(span: Duration) -> String {
    format!("{:.0} ms", span.as_secs_f64() * 1000.0)
}

/// A span of wall time, and what it is of service time.
pub fn service_time(span: Duration, scale: f64) -> String {
    let (wall, service) = (span.as_secs_f64(), span.as_secs_f64() * scale);
    match service {
        _ if scale == 1.0 => format!("{wall:.1} s"),
        ..120.0 => format!("{wall:.2} s ({service:.0} s of service time)"),
        _ => format!("{wall:.1} s ({:.1} minutes of service time)", service / 60.0),
    }
}

/// The value that this part of the values does not exceed; `None` of none.
pub fn percentile(mut values: Vec<Duration>, part: f64) -> Option<Duration> {
    values.sort_unstable();
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied()
}

/// Requests by what came of them.
#[derive(Debug, Default, PartialEq)]
struct Count {
    served: usize,
    /// Failed, under way when the instance was killed.
    in_flight: BTreeMap<String, usize>,
    /// Failed, sent after the kill and before the instance was out of the flow.
    before_out: BTreeMap<String, usize>,
    /// Failed, for no reason that the demo gave.
    others: BTreeMap<String, usize>,
}

fn count(samples: &[Sample], accident: &Accident) -> Count {
    let mut count = Count::default();
    for sample in samples {
        let group = match &sample.outcome {
            Outcome::Served(_) => {
                count.served += 1;
                continue;
            }
            _ if sample.due <= accident.at && sample.end >= accident.at => &mut count.in_flight,
            _ if sample.due > accident.at && sample.due <= accident.out => &mut count.before_out,
            _ => &mut count.others,
        };
        *group.entry(sample.outcome.cause()).or_default() += 1;
    }
    count
}

fn causes(failed: &BTreeMap<String, usize>) -> String {
    if failed.is_empty() {
        return "0".to_string();
    }
    let each: Vec<String> = failed.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    format!("{} ({})", failed.values().sum::<usize>(), each.join(", "))
}

/// Tells the summary, writes the picture, and checks the claims.
pub fn run(stage: &mut Stage, options: &Demo, built: &Built, day: &Day) -> Result<(), Problem> {
    let count = count(&day.samples, &day.accident);
    stage.tell.heading("Summary");
    stage.tell.lines(&chart::draw(&day.points, &day.marks));
    stage.tell.lines("");
    figures(stage, day, &count);
    let title = format!("Elastane demo: {} on {}", built.names.group, stage.daemon().about.driver);
    let file = picture_file(options)?;
    match std::fs::write(&file, svg::draw(&title, &day.points, &day.marks)) {
        Ok(()) => row(stage, "picture", &file.display().to_string()),
        Err(err) if options.svg.is_some() => {
            return Err(Problem::because(format!("cannot write {}", file.display()), err));
        }
        Err(err) => row(stage, "picture", &format!("not written, {}: {err}; --svg names a place", file.display())),
    }
    row(stage, "all of it took", &format!("{:.1} s", stage.tell.start().elapsed().as_secs_f64()));
    check(day, &count)?;
    stage.tell.heading("What to try next");
    stage
        .tell
        .note("elastane up, then eval \"$(elastane env)\": the AWS CLI, boto3 and Terraform work on it as on AWS");
    stage.tell.note("elastane status: groups, instances, targets and alarms at a glance");
    stage.tell.note("elastane demo --keep: the same, and the daemon stays for you to look around");
    stage.tell.note("elastane sim: the same decisions on a virtual clock, with crashes and disk faults");
    Ok(())
}

fn row(stage: &mut Stage, name: &str, value: &str) {
    stage.tell.note(&format!("{name:<34} {value}"));
}

fn figures(stage: &mut Stage, day: &Day, count: &Count) {
    let accident = &day.accident;
    let latencies = || {
        day.samples.iter().filter(|one| one.outcome.is_served()).map(|one| one.end.saturating_duration_since(one.due))
    };
    let shown = |part| percentile(latencies().collect(), part).map_or("-".to_string(), millis);
    let scale = stage.scale;
    row(stage, "requests served", &format!("{} by {} instances", count.served, served_by(&day.samples).len()));
    row(
        stage,
        "latency, from when it was due",
        &format!("p50 {}, p99 {}; 50 ms of it are the shop's", shown(0.5), shown(0.99)),
    );
    row(stage, "failed, scaling and draining", &causes(&count.others));
    row(stage, "failed, under way at the kill", &causes(&count.in_flight));
    row(stage, "failed, before it was noticed", &causes(&count.before_out));
    if day.not_sent > 0 {
        row(stage, "not sent, machine too busy", &day.not_sent.to_string());
    }
    row(stage, "time to scale out", &service_time(day.scale_out, scale));
    let out = format!("{}, {}", millis(accident.out - accident.at), accident.instance);
    row(stage, "killed instance out of the flow", &out);
    row(stage, "time to heal", &service_time(accident.healed - accident.at, scale));
    row(stage, "instances", &format!("1, {} at noon, {} in the evening, 0 at night", day.peak, day.evening));
}

fn served_by(samples: &[Sample]) -> BTreeSet<&str> {
    samples
        .iter()
        .filter_map(|sample| match &sample.outcome {
            Outcome::Served(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

/// In the data directory unless another place is named.
fn picture_file(options: &Demo) -> Result<PathBuf, Problem> {
    match &options.svg {
        Some(file) => Ok(file.clone()),
        None => options.place.path().map(|path| path.join("demo.svg")),
    }
}

/// What the demo says must have been so.
fn check(day: &Day, count: &Count) -> Result<(), Problem> {
    let served = served_by(&day.samples);
    let idle: Vec<&String> = day.seen.iter().filter(|id| !served.contains(id.as_str())).collect();
    if !idle.is_empty() {
        return Err(Problem::new(format!("instances were in service and served nothing: {idle:?}")));
    }
    if !count.others.is_empty() {
        return Err(Problem::new(format!(
            "requests failed that should not have: {}, although nothing but the kill may cost any",
            causes(&count.others)
        )));
    }
    if day.not_sent > 0 {
        return Err(Problem::new(format!(
            "this machine was too busy: {} requests were never sent, so the figures say little; run it again",
            day.not_sent
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Nearest rank: of a hundred values, p99 is the ninety-ninth.
    #[test]
    fn percentiles() {
        let values: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(values.clone(), 0.99), Some(Duration::from_millis(99)));
        assert_eq!(percentile(values.clone(), 1.0), Some(Duration::from_millis(100)));
        assert_eq!(percentile(values, 0.0), Some(Duration::from_millis(1)));
        assert_eq!(percentile(Vec::new(), 0.5), None);
    }

    /// Failures are put down to the kill only while it can have caused them.
    #[test]
    fn failures_by_time() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let accident = Accident { instance: "i-1".to_string(), at: at(100), out: at(150), healed: at(900) };
        let failed = |due, end| Sample { due: at(due), end: at(end), outcome: Outcome::Status(502) };
        let served = Sample { due: at(90), end: at(110), outcome: Outcome::Served("i-2".to_string()) };
        let samples = [failed(90, 99), failed(90, 101), failed(120, 121), failed(151, 160), served];
        let count = count(&samples, &accident);
        let totals = [&count.others, &count.in_flight, &count.before_out].map(|map| map.values().sum::<usize>());
        assert_eq!((totals, count.served), ([2, 1, 1], 1));
        assert_eq!(causes(&count.others), "2 (2 answered 502)");
    }
}
