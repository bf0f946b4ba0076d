//! `elastane doctor`: what this machine can do.

use crate::cli::Doctor;
use crate::data_dir::{DataDir, Problem};
use elastane_host::{Finding, doctor};

/// Tries every driver and says what came of it.
pub fn run(command: &Doctor) -> Result<(), Problem> {
    let data = DataDir::create(&command.place.path()?)?;
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
    println!("security groups: recorded and shown, not enforced yet, with any driver");
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
