//! `elastane reset`: back to the state of a first start.

use crate::cli::Where;
use crate::client::Daemon;
use crate::data_dir::{DataDir, Problem};

/// Resets the daemon that runs; returns when all instances are gone.
pub fn run(place: &Where) -> Result<(), Problem> {
    let daemon = Daemon::find(&DataDir::existing(&place.path()?)?)?;
    daemon.request("POST", "/_elastane/reset")?;
    println!("Reset: no instance, image, group or metric is left.");
    Ok(())
}
