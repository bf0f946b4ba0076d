//! `elastane sim`: the simulator, with progress.

use crate::data_dir::Problem;
use elastane_sim::cli::{Sim, sweep};
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Runs the seeds and says what came of it.
pub fn run(sim: &Sim) -> Result<(), Problem> {
    let start = Instant::now();
    let shown = std::io::stderr().is_terminal();
    let total = sweep(sim, |seed, total| {
        if shown {
            eprint!("\rseed {seed}: {} passed", total.passed);
            let _ = std::io::stderr().flush();
        }
    });
    if shown {
        eprintln!();
    }
    let total = total.map_err(Problem::new)?;
    let hours = total.simulated.millis() as f64 / 3_600_000.0;
    println!(
        "{} seeds passed: {hours:.0} simulated hours, {} commits, {} crashes; {:.1} simulated hours a second",
        total.passed,
        total.commits,
        total.crashes,
        hours / start.elapsed().as_secs_f64().max(1e-3)
    );
    println!("met: {}", total.met);
    Ok(())
}
