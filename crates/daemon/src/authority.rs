//! The installation's certificate authority, kept in the data directory: it
//! outlives `elastane reset`, so that clients who trust it need not be told
//! again.

use crate::credentials::random_bytes;
use crate::data_dir::{DataDir, Problem};
use elastane_domain::time::Time;
use elastane_engine::authority::Authority;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where it is kept, readable by its owner alone.
const FILE: &str = "authority.json";

/// The authority of a data directory; made when there is none yet.
pub fn open(data: &DataDir) -> Result<Arc<Authority>, Problem> {
    if let Some(authority) = data.read_json::<Authority>(FILE)? {
        return Ok(Arc::new(authority));
    }
    let mut secret = [0; 32];
    random_bytes(&mut secret)?;
    // Clients compare with their own clocks, not with service time.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Time(i64::try_from(wall.as_millis()).unwrap_or_default());
    let authority =
        Authority::make(secret, now).map_err(|err| Problem::because("cannot make the certificate authority", err))?;
    data.write_json(FILE, &authority)?;
    Ok(Arc::new(authority))
}

/// The authority of a data directory, if a daemon has made one.
pub fn existing(data: &DataDir) -> Result<Option<Authority>, Problem> {
    data.read_json(FILE)
}
