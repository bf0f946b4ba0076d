//! `cargo xtask`: everything done to the workspace that is not the product
//! itself: generating code, running tests, benches and the simulator, and
//! checking the rules of the style guide. Each subcommand exits non-zero when
//! what it checks does not hold.

mod ci;
mod codegen;
mod fetch;
mod python;
mod run;
mod tally;
mod test;

use clap::{Parser, Subcommand, ValueEnum};
use run::{Job, minutes};
use std::process::ExitCode;

/// Codegen, test, bench, sim and ci for the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Generate the wire shapes from the public service models.
    Codegen {
        /// Write nothing; fail when the checked-in files differ from what would be generated.
        #[arg(long)]
        check: bool,
    },
    /// Run all tests: cargo's, the simulator over recorded and fresh seeds, and the
    /// real clients against the real binary. Installs what they need (as root).
    Test {
        /// Run one part only.
        #[arg(long, value_enum)]
        only: Option<Part>,
        /// Fresh seeds for the simulator, beside the recorded ones.
        #[arg(long, default_value_t = test::FRESH_SEEDS)]
        seeds: u32,
        /// Further arguments for pytest, after `--`, such as `-k crash -x`.
        #[arg(last = true)]
        pytest: Vec<String>,
    },
    /// Measure; prints medians and ranges, asserts nothing.
    Bench {
        /// What to measure: start, memory, describe, userdata, hundred, proxy. All when none is named.
        names: Vec<String>,
        /// Rounds of each measurement.
        #[arg(long)]
        rounds: Option<u32>,
        /// Driver of the daemon: sandbox or process. The daemon's own choice when not given.
        #[arg(long)]
        driver: Option<String>,
        /// Only those of the load balancer's cases whose names contain this text.
        #[arg(long)]
        only: Option<String>,
    },
    /// Feed damaged inputs to every parser and to the policy evaluator: ten million each and more (release build).
    Fuzz {
        /// Where the inputs begin: another number makes other inputs.
        #[arg(long, default_value_t = 1)]
        seed: u32,
    },
    /// Run the simulator (release build).
    Sim {
        /// How many seeds, counted up from the first.
        #[arg(long, default_value_t = 100)]
        seeds: u32,
        /// The first seed; taken from the commit when not given.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Check the rules: rustfmt, clippy, generated files, crate edges, lengths,
    /// words, the list of dependencies.
    Ci,
}

/// A part of `cargo xtask test`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// `cargo test --workspace`.
    Cargo,
    /// The simulator.
    Sim,
    /// The black-box tests in `tests/`.
    Clients,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Codegen { check } => codegen::run(check),
        Task::Test { only, seeds, pytest } => test::run(only, seeds, &pytest),
        Task::Bench { names, rounds, driver, only } => bench(&names, rounds, [("--driver", driver), ("--only", only)]),
        Task::Fuzz { seed } => fuzz(seed),
        Task::Sim { seeds, seed } => sim(seeds, seed),
        Task::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn bench(names: &[String], rounds: Option<u32>, options: [(&str, Option<String>); 2]) -> Result<(), String> {
    Job::cargo(["build", "--release", "--package", "elastane-daemon"]).limit(minutes(30)).run()?;
    let mut job = Job::cargo(["run", "--quiet", "--release", "--package", "xtask", "--features", "bench"])
        .args(["--bin", "xtask-bench", "--"])
        .args(names)
        .limit(minutes(60));
    if let Some(rounds) = rounds {
        job = job.args(["--rounds", &rounds.to_string()]);
    }
    for (name, value) in options {
        if let Some(value) = value {
            job = job.args([name, &value]);
        }
    }
    let peer = python::environment(python::BENCH_REQUIREMENTS);
    match &peer {
        Ok(found) => job = found.apply(job),
        Err(message) => eprintln!("no peer to compare with: {message}"),
    }
    job.env("ELASTANE_BIN", run::target_directory()?.join("release/elastane")).run()
}

/// The long runs that `cargo test` leaves out.
fn fuzz(seed: u32) -> Result<(), String> {
    Job::cargo(["test", "--release", "--package", "elastane-wire", "--package", "elastane-proxy"])
        .args(["--package", "elastane-domain", "long_fuzz", "--", "--ignored", "--nocapture"])
        .env("ELASTANE_FUZZ_SEED", seed.to_string())
        .limit(minutes(120))
        .run()
}

fn sim(seeds: u32, seed: Option<u64>) -> Result<(), String> {
    let first = match seed {
        Some(seed) => seed,
        None => test::seed_of_commit()?,
    };
    Job::cargo(["run", "--quiet", "--release", "--package", "elastane-daemon", "--", "sim"])
        .args(["--seed", &first.to_string(), "--seeds", &seeds.to_string()])
        .limit(minutes(120))
        .run()
}
