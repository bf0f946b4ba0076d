//! `elastane doctor`: what this machine can do.

use crate::cli::Doctor;
use crate::data_dir::{DataDir, Problem};
use elastane_host::{Finding, doctor};
use std::process::{Command, Stdio};

/// Tries every driver and says what came of it.
pub fn run(command: &Doctor) -> Result<(), Problem> {
    let data = DataDir::create(&command.place.path()?)?;
    if command.fix {
        fix()?;
    }
    let findings = doctor(data.path());
    if command.json {
        let list: Vec<_> = findings.iter().map(to_json).collect();
        println!("{}", serde_json::to_string_pretty(&list).expect("plain data has a JSON form"));
        return Ok(());
    }
    let chosen = findings.iter().find(|finding| finding.works).map(|finding| finding.make);
    for finding in &findings {
        let verdict = match (finding.works, Some(finding.make) == chosen) {
            (true, true) => "works; `elastane up` chooses it",
            (true, false) => "works",
            (false, _) => "does not work",
        };
        println!("{}: {verdict}", finding.make.name());
        for line in [&finding.why, &finding.advice].into_iter().chain(&finding.notes).filter(|line| !line.is_empty()) {
            println!("  {line}");
        }
    }
    Ok(())
}

/// Installs what is missing for VPC networks, and says what it does.
fn fix() -> Result<(), Problem> {
    if let Some(program) = elastane_host::packet_filter_program() {
        eprintln!("fix: nothing is missing: {} is there", program.display());
        return Ok(());
    }
    let manual = "install the package nftables with this system's package manager";
    if !rustix::process::geteuid().is_root() {
        let why = format!("nftables is missing and only root can install it: {manual}, or run this as root");
        return Err(Problem::new(why));
    }
    for words in [&["update"][..], &["install", "--yes", "--no-install-recommends", "nftables"]] {
        eprintln!("fix: apt-get {}", words.join(" "));
        let mut install = Command::new("apt-get");
        // What it says is not part of the report.
        let status = install.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()).status();
        let status = status.map_err(|err| Problem::because(format!("apt-get cannot be run; {manual}"), err))?;
        // An index that is only partly fresh may still do.
        if !status.success() && words[0] == "install" {
            return Err(Problem::new(format!("apt-get has failed; {manual}")));
        }
    }
    Ok(())
}

fn to_json(finding: &Finding) -> serde_json::Value {
    serde_json::json!({
        "driver": finding.make.name(),
        "works": finding.works,
        "why": finding.why,
        "advice": finding.advice,
        "notes": finding.notes,
    })
}
