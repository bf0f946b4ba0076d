//! `elastane env`: what a shell needs.

use crate::cli::Where;
use crate::client::Daemon;
use crate::data_dir::{DataDir, Problem};

/// Prints `export` lines for the daemon that runs.
pub fn run(place: &Where) -> Result<(), Problem> {
    let daemon = Daemon::find(&DataDir::existing(&place.path()?)?)?;
    println!("export AWS_ACCESS_KEY_ID={}", daemon.credentials.access_key);
    println!("export AWS_SECRET_ACCESS_KEY={}", daemon.credentials.secret_key.expose());
    println!("export AWS_DEFAULT_REGION={}", daemon.about.region);
    println!("export AWS_REGION={}", daemon.about.region);
    println!("export AWS_ENDPOINT_URL={}", daemon.about.endpoint);
    if let Some(dns) = &daemon.about.dns {
        println!("# names of load balancers: dig @{}", dns.replacen(':', " -p ", 1));
    }
    println!("export AWS_EC2_METADATA_DISABLED=true");
    Ok(())
}
