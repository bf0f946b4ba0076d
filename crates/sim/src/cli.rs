//! `elastane sim`: many seeds, with progress, and the first failure's seed.

use crate::met::Met;
use crate::run::{Outcome, Settings, run};
use elastane_domain::time::Span;

/// Run the simulator: each seed is a world of its own, with faults and checkers.
#[derive(clap::Args, Clone, Debug)]
pub struct Sim {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    pub seeds: u64,
    /// The first seed; with --seeds 1, the only one. A failure prints its seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Run each seed twice and compare the traces.
    #[arg(long)]
    pub twice: bool,
}

/// What many runs amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Seeds that passed.
    pub passed: u64,
    /// Virtual time of all.
    pub simulated: Span,
    /// Commits of all.
    pub commits: u64,
    /// Crashes of all.
    pub crashes: u64,
    /// What they have met.
    pub met: Met,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) {
        self.passed += 1;
        self.simulated = Span(self.simulated.0 + outcome.simulated.0);
        self.commits += outcome.commits;
        self.crashes += outcome.crashes;
        self.met.merge(&outcome.met);
    }
}

/// Runs the seeds; `progress` is told of each that passed. The first that
/// fails ends it.
pub fn sweep(sim: &Sim, mut progress: impl FnMut(u64, &Total)) -> Result<Total, String> {
    let mut total = Total::default();
    for seed in sim.seed..sim.seed.saturating_add(sim.seeds) {
        let again = format!("run it again with `elastane sim --seed {seed} --seeds 1`");
        let outcome = run(Settings::new(seed)).map_err(|violation| format!("seed {seed}: {violation}; {again}"))?;
        if sim.twice && run(Settings::new(seed)).ok().as_ref() != Some(&outcome) {
            return Err(format!("seed {seed} gives another trace the second time; {again}"));
        }
        total.add(&outcome);
        progress(seed, &total);
    }
    Ok(total)
}
