//! The load balancer's data plane against nginx and HAProxy, with the peers'
//! configurations that lie beside the project in `../shared/bench/lb`: the
//! table "Goals with every feature on" of load-balancer.md, and a plot.
//!
//! Proxy, load generator and upstream share one core, because CPU a request
//! is then stable to about five per cent; rounds of all contenders alternate,
//! and what is compared is the ratio within each round.

mod cases;
mod idle;
mod load;
mod place;
mod plot;
mod process;

use crate::Options;
use crate::stats::Series;
use cases::{Case, Contender, Cost, Measure, Pair};
use load::Sample;
use place::Place;
use process::Process;
use std::collections::BTreeMap;
use std::process::Command;
use std::rc::Rc;

const ROUNDS: usize = 5;
/// HAProxy's CPU a request over nginx's, on a machine that does nothing else.
const QUIET: std::ops::RangeInclusive<f64> = 1.10..=1.35;

/// One line of the table.
struct Row {
    name: &'static str,
    against: &'static str,
    ratio: Series,
    gate: f64,
    stretch: f64,
    /// Whether less is better.
    at_most: bool,
}

/// The one case that is no load.
const IDLE: &str = "bytes an idle HTTP/1 connection";

/// Measures every case, prints the table and writes the plot.
pub fn run(options: &Options) -> Result<(), String> {
    let Some(place) = Place::prepare()? else { return Ok(()) };
    if in_own_network(options)? {
        return Ok(());
    }
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let chosen = |name: &str| options.only.as_ref().is_none_or(|text| name.contains(text));
    let mut rows = Vec::new();
    for case in cases::all().into_iter().filter(|case| chosen(case.name)) {
        println!("... {}", case.name);
        let samples = measure(&place, &case, rounds)?;
        for (name, series) in cpu(&samples) {
            println!("    {name:8} {series} µs of CPU a request");
        }
        warn_if_noisy(&case, &samples);
        rows.extend(case.goals.iter().map(|goal| Row {
            name: case.name,
            against: goal.against,
            ratio: ratio(&samples, goal.against, goal.measure),
            gate: goal.gate,
            stretch: goal.stretch,
            at_most: goal.measure == Measure::P99,
        }));
    }
    if chosen(IDLE) {
        let ratio = idle::bytes_a_connection(&place)?;
        rows.push(Row { name: IDLE, against: "", ratio, gate: 2048.0, stretch: 1024.0, at_most: true });
    }
    for pair in cases::pairs().into_iter().filter(|pair| chosen(pair.case.name)) {
        rows.push(cost(&place, &pair, rounds)?);
    }
    print(&rows);
    let file = place.folder.join("lb.svg");
    std::fs::write(&file, plot::draw(&rows)).map_err(|err| format!("cannot write {}: {err}", file.display()))?;
    println!("plot: {}", file.display());
    Ok(())
}

/// Runs the bench again in a network namespace of its own, where the kernel
/// does not pace: on a host with BBR the timers of the sender behind a proxy
/// cost more than the proxies that are compared (docs/decisions/0024). Only
/// root can; `false` when it runs here.
fn in_own_network(options: &Options) -> Result<bool, String> {
    /// Set for the one inside.
    const INSIDE: &str = "ELASTANE_BENCH_OWN_NETWORK";
    const SET_UP: &str = r#"ip link set lo up && sysctl -qw net.ipv4.tcp_congestion_control=reno && exec "$@""#;
    if std::env::var_os(INSIDE).is_some() || !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let program = std::env::current_exe().map_err(|err| format!("cannot find this program: {err}"))?;
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", SET_UP, "sh"]).arg(program).arg("lb").env(INSIDE, "1");
    if let Some(rounds) = options.rounds {
        command.args(["--rounds", &rounds.to_string()]);
    }
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    let status = command.status().map_err(|err| format!("cannot start unshare: {err}"))?;
    if status.success() { Ok(true) } else { Err(format!("the bench in its own network ended with {status}")) }
}

type Samples = BTreeMap<&'static str, Vec<Sample>>;

fn measure(place: &Place, case: &Case, rounds: usize) -> Result<Samples, String> {
    let _upstream = place.upstream(case.upstream)?;
    let mut contenders: Vec<(&Contender, Rc<Process>)> = Vec::new();
    for contender in &case.contenders {
        // Our own ports all belong to one process.
        let same = contenders.iter().find(|(other, _)| other.conf.is_none() && contender.conf.is_none());
        let process = match same {
            Some((_, process)) => process.clone(),
            None => Rc::new(place.start(contender)?),
        };
        contenders.push((contender, process));
    }
    for (contender, process) in &contenders {
        load::run(case, contender, process, 1)?;
    }
    let mut samples = Samples::new();
    for _ in 0..rounds {
        for (contender, process) in &contenders {
            let sample = load::run(case, contender, process, case.seconds)?;
            if sample.failed > 0 {
                println!("    {}: {} requests failed", contender.name, sample.failed);
            }
            samples.entry(contender.name).or_default().push(sample);
        }
    }
    Ok(samples)
}

fn cpu(samples: &Samples) -> impl Iterator<Item = (&'static str, Series)> {
    samples.iter().map(|(name, samples)| (*name, series(samples, |sample| sample.cpu_us)))
}

fn series(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Series {
    let mut series = Series::default();
    samples.iter().for_each(|sample| series.add(value(sample)));
    series
}

/// Ours against a peer's; above 1 is better but for the 99th percentile.
fn ratio(samples: &Samples, against: &str, measure: Measure) -> Series {
    let (ours, theirs) = (&samples["ours"], &samples[against]);
    match measure {
        Measure::Cpu => series(theirs, |sample| sample.cpu_us).over(&series(ours, |sample| sample.cpu_us)),
        Measure::Rate => series(ours, |sample| sample.rate).over(&series(theirs, |sample| sample.rate)),
        Measure::P99 => series(ours, |sample| sample.p99_ms).over(&series(theirs, |sample| sample.p99_ms)),
    }
}

fn warn_if_noisy(case: &Case, samples: &Samples) {
    if !case.tells_noise {
        return;
    }
    if let (Some(nginx), Some(haproxy)) = (samples.get("nginx"), samples.get("haproxy")) {
        let ratio = series(haproxy, |sample| sample.cpu_us).over(&series(nginx, |sample| sample.cpu_us)).median();
        if !QUIET.contains(&ratio) {
            println!("    NOISE: HAProxy over nginx is {ratio:.2}, not {QUIET:?}: repeat this run");
        }
    }
}

fn print(rows: &[Row]) {
    println!("\n{:44} {:8} {:32} {:>6} {:>8}", "case", "against", "ratio, median [range] of rounds", "gate", "stretch");
    for row in rows {
        let reached = |goal: f64| {
            let median = row.ratio.median();
            if row.at_most { median <= goal } else { median >= goal }
        };
        let verdict = match (reached(row.gate), reached(row.stretch)) {
            (_, true) => "stretch met",
            (true, false) => "gate met",
            (false, false) => "MISSED",
        };
        let ratio = row.ratio.to_string();
        println!("{:44} {:8} {ratio:32} {:>6} {:>8} {verdict}", row.name, row.against, row.gate, row.stretch);
    }
}

/// What the dearer one of a pair costs.
fn cost(place: &Place, pair: &Pair, rounds: usize) -> Result<Row, String> {
    println!("... {}", pair.case.name);
    let samples = measure(place, &pair.case, rounds)?;
    let [base, more] = pair.names.map(|name| series(&samples[name], |sample| sample.cpu_us));
    println!("    {base} and {more} µs of CPU a request");
    let ratio = match pair.cost {
        Cost::Ratio => more.over(&base),
        Cost::More => more.minus(&base),
    };
    let [gate, stretch] = pair.goals;
    Ok(Row { name: pair.case.name, against: "", ratio, gate, stretch, at_most: true })
}
