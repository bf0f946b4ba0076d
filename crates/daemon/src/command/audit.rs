//! `elastane audit`: the trail, looked at and checked. The daemon need not run.

use crate::audit::{self, hex, unhex, verify};
use crate::cli::Where;
use crate::data_dir::{DataDir, Problem};
use clap::{Args, Subcommand};

/// What to do with the trail.
#[derive(Args, Clone, Debug)]
pub struct Audit {
    /// Which installation.
    #[command(flatten)]
    place: Where,
    /// What.
    #[command(subcommand)]
    what: What,
}

/// What to do with the trail.
#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Check that no event was changed, removed or inserted since it was written. Note the last hash somewhere
    /// else: with --expect it proves later that nothing before it was rewritten.
    Verify {
        /// A hash that an earlier run printed; it must still be in the trail.
        #[arg(long, value_name = "HASH")]
        expect: Option<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// A trail that is broken, is missing or cannot be read.
pub fn run(audit: &Audit) -> Result<(), Problem> {
    let data = DataDir::existing(&audit.place.path()?)?;
    let What::Verify { expect } = &audit.what;
    let expected = match expect {
        Some(text) => Some(unhex(text).ok_or_else(|| Problem::new("--expect wants 64 hexadecimal digits"))?),
        None => None,
    };
    let found = verify(&data.file(audit::FOLDER), expected)?;
    println!("{} events in {} files, each following from the one before", found.events, found.segments);
    if found.first != [0; 32] {
        println!("older events are gone: the first file continues from {}", hex(&found.first));
    }
    println!("last hash: {}", hex(&found.last));
    if expected.is_some() && !found.met {
        return Err(Problem::new(
            "the expected hash is not in the trail: it was rewritten, or its oldest files are gone",
        ));
    }
    Ok(())
}
