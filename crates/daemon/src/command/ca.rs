//! `elastane ca`: what clients must trust to believe issued certificates.

use crate::authority;
use crate::cli::Where;
use crate::data_dir::{DataDir, Problem};

/// Prints the certificate of the installation's authority as PEM. The daemon
/// need not run.
pub fn run(place: &Where) -> Result<(), Problem> {
    let data = DataDir::existing(&place.path()?)?;
    let authority = authority::existing(&data)?;
    let authority = authority
        .ok_or_else(|| Problem::new("there is no certificate authority yet: the first `elastane up` makes it"))?;
    print!("{}", authority.certificate_pem);
    Ok(())
}
