//! Licences, sources and known faults of all crates, by cargo-deny after
//! deny.toml. It comes prebuilt: building it takes longer than all else here.
//! The database of known faults lies in a repository of its own, which not
//! every machine reaches: without it that check is skipped, and says so.

use crate::python::{CI_REQUIREMENTS, environment};
use crate::run::{Job, minutes};
use std::path::PathBuf;
use std::time::Duration;

/// How long the database may take to come. Where there is no way to it, the answer is a refusal at once.
const FETCH_LIMIT: Duration = minutes(2);

/// What is known of faults in the crates of Cargo.lock.
#[derive(Debug, PartialEq, Eq)]
pub enum Advisories {
    /// None of them concerns us.
    Clear,
    /// The database cannot be had, for this reason.
    Unknown(String),
}

/// Checks that every crate has a licence that deny.toml allows and comes from
/// the registry.
///
/// # Errors
/// What is not allowed, or why it cannot be checked.
pub fn licences() -> Result<(), String> {
    let quiet = ["--locked", "--log-level", "error", "check", "--hide-inclusion-graph"];
    Job::new(program()?).args(quiet).args(["licenses", "sources", "bans"]).run()
}

/// Checks that no advisory, and no withdrawal from the registry, concerns a
/// crate of Cargo.lock.
///
/// # Errors
/// The advisories that do.
pub fn advisories() -> Result<Advisories, String> {
    let program = program()?;
    if let Err(why) = Job::new(&program).args(["--log-level", "error", "fetch", "db"]).limit(FETCH_LIMIT).run() {
        return Ok(Advisories::Unknown(why));
    }
    let quiet = ["--locked", "--log-level", "error", "check", "--hide-inclusion-graph"];
    Job::new(&program).args(quiet).args(["--disable-fetch", "advisories"]).run().map(|()| Advisories::Clear)
}

/// cargo-deny: the pinned one, else whichever the machine has.
fn program() -> Result<PathBuf, String> {
    match environment(CI_REQUIREMENTS) {
        Ok(python) => Ok(python.program("cargo-deny")),
        Err(why) => {
            let own = PathBuf::from("cargo-deny");
            let there = Job::new(&own).args(["--version"]).output();
            there.map(|_| own).map_err(|_| format!("{why}; or install cargo-deny"))
        }
    }
}
