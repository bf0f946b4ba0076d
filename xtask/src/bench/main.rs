//! `cargo xtask bench`: measures the daemon (ELASTANE_BIN, a release build)
//! and prints medians and ranges over several rounds. Where there is a peer to
//! compare with, rounds of both alternate, so that whatever else the machine
//! does hits both. Nothing is asserted here: a bench that fails on a busy
//! machine is worth nothing.

mod access;
mod api;
mod describe;
mod fleet;
mod forecast;
mod http;
mod launch;
mod lb;
mod server;
mod start;
mod stats;

use clap::{Parser, ValueEnum};
use std::process::ExitCode;

/// What is measured in this process is so with the daemon's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure the daemon; prints medians and ranges, asserts nothing.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Cli {
    /// What to measure; everything when none is named.
    names: Vec<Name>,
    /// Rounds of each measurement, instead of its own number.
    #[arg(long)]
    rounds: Option<usize>,
    /// Driver of the daemon; its own choice when not given.
    #[arg(long)]
    driver: Option<String>,
    /// Of the load balancer's cases, or the requests to authorise, only those whose names contain this text.
    #[arg(long)]
    only: Option<String>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// From the start of the process to the first DescribeInstances answered.
    Start,
    /// Resident memory after that.
    Memory,
    /// DescribeInstances with ten instances over eight connections, against a widely used emulator.
    Describe,
    /// From RunInstances to the first line of user data.
    Userdata,
    /// A hundred instances in one call, until all have run their user data.
    Hundred,
    /// Two hundred instances at once: launch rate, memory of each, how soon a security-group change bites.
    Fleet,
    /// The load balancer against nginx and HAProxy, case by case, with a plot.
    Lb,
    /// Forecasts of predictive scaling on traces (ELASTANE_TRACES), against seasonal-naive and a statistics package.
    Forecast,
    /// What an authorisation with twenty attached policies costs.
    Access,
}

/// What every measurement is told.
struct Options {
    rounds: Option<usize>,
    driver: Option<String>,
    only: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let names = if cli.names.is_empty() { Name::value_variants() } else { &cli.names };
    let options = Options { rounds: cli.rounds, driver: cli.driver, only: cli.only };
    let mut code = ExitCode::SUCCESS;
    for name in names {
        println!("--- {}", format!("{name:?}").to_lowercase());
        let done = match name {
            Name::Start => start::latency(&options),
            Name::Memory => start::memory(&options),
            Name::Describe => describe::run(&options),
            Name::Userdata => launch::first_line(&options),
            Name::Hundred => launch::hundred(&options),
            Name::Fleet => fleet::run(&options),
            Name::Lb => lb::run(&options),
            Name::Forecast => forecast::run(&options),
            Name::Access => access::run(&options),
        };
        if let Err(problem) = done {
            eprintln!("error: {name:?}: {problem}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
