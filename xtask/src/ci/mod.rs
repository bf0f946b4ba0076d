//! `cargo xtask ci`: the rules of the style guide that a machine can check.
//! Every check runs, whatever the ones before it found, so that one run shows
//! all that is wrong.

mod deny;
mod dependencies;
mod edges;
mod lengths;
mod lexer;
mod words;

use crate::run::{Job, minutes, root};
use crate::tally::Tally;
use deny::Advisories;
use std::path::PathBuf;

type Check = fn() -> Result<(), String>;

/// Runs all checks. An error when any rule is broken.
pub fn run() -> Result<(), String> {
    let checks: [(&str, Check); 8] = [
        ("rustfmt", rustfmt),
        ("generated files", || crate::codegen::run(true)),
        ("crate edges", edges::check),
        ("lengths of functions and files", lengths::check),
        ("words", words::check),
        ("docs/dependencies.md", dependencies::check),
        ("licences and sources of crates", deny::licences),
        ("clippy", clippy),
    ];
    let mut tally = Tally::default();
    for (name, check) in checks {
        println!("--- {name}");
        match check() {
            Ok(()) => tally.passed += 1,
            Err(problem) => {
                eprintln!("error: {name}: {problem}");
                tally.failed += 1;
            }
        }
    }
    println!("--- advisories");
    match deny::advisories() {
        Ok(Advisories::Clear) => tally.passed += 1,
        Ok(Advisories::Unknown(why)) => {
            eprintln!("SKIPPED: the advisories of crates were NOT checked: {why}");
            eprintln!("  where the RustSec database can be reached: cargo deny check advisories");
            tally.skipped += 1;
        }
        Err(problem) => {
            eprintln!("error: advisories: {problem}");
            tally.failed += 1;
        }
    }
    println!("checks: {tally}");
    if tally.failed == 0 { Ok(()) } else { Err("some rules are broken".into()) }
}

fn rustfmt() -> Result<(), String> {
    Job::cargo(["fmt", "--all", "--", "--check", "--files-with-diff"]).run()
}

fn clippy() -> Result<(), String> {
    Job::cargo([
        "clippy",
        "--quiet",
        "--keep-going",
        "--workspace",
        "--all-targets",
        "--features",
        "xtask/bench",
        "--",
        "-D",
        "warnings",
    ])
    .limit(minutes(20))
    .run()
}

/// Files of the tree that git tracks or would track, as paths from the root.
fn files() -> Result<Vec<PathBuf>, String> {
    let list = Job::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).output()?;
    Ok(list.lines().map(PathBuf::from).filter(|path| root().join(path).is_file()).collect())
}

/// All lines of `problems`, or success when there are none.
fn verdict(problems: &[String]) -> Result<(), String> {
    if problems.is_empty() { Ok(()) } else { Err(format!("\n  {}", problems.join("\n  "))) }
}
