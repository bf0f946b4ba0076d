//! `elastane chaos`: makes trouble in a running daemon.

use crate::cli::{Chaos, Trouble};
use crate::client::Daemon;
use crate::data_dir::{DataDir, Problem};
use crate::troubles::CHAOS_PATH;

/// Makes the trouble; it is in force when this returns, as far as rows say it.
pub fn run(chaos: &Chaos) -> Result<(), Problem> {
    let daemon = Daemon::find(&DataDir::existing(&chaos.place.path()?)?)?;
    let (path, told) = match &chaos.trouble {
        Trouble::ZoneOutage { zone, end: true, .. } => {
            (format!("zone-outage-end/{zone}"), format!("{zone} is whole again."))
        }
        Trouble::ZoneOutage { zone, span: Some(seconds), .. } => {
            let told = format!("{zone} is cut off for {seconds} seconds of service time.");
            (format!("zone-outage/{zone}/{seconds}"), told)
        }
        Trouble::ZoneOutage { zone, span: None, .. } => {
            let told = format!("{zone} is cut off until `elastane chaos zone-outage {zone} --end`.");
            (format!("zone-outage/{zone}"), told)
        }
        Trouble::SpotInterruption { instance } => {
            let told = format!("{instance} has its notice: it is interrupted in two minutes of service time.");
            (format!("spot-interruption/{instance}"), told)
        }
    };
    daemon.request("POST", &format!("{CHAOS_PATH}{path}"))?;
    println!("{told}");
    Ok(())
}
