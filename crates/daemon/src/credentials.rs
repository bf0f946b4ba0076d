//! The credentials of an installation: made at its first start, kept in the
//! data directory, readable by its owner alone.

use crate::data_dir::{DataDir, Problem};
use elastane_domain::id::AccountId;
use elastane_domain::secret::SecretText;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The account of an installation. It has one; twelve zeros are nobody's at AWS.
pub const ACCOUNT: &str = "000000000000";

const FILE: &str = "credentials.json";

/// The root credentials.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The account.
    pub account: AccountId,
    /// Access key id: `AKIA` and sixteen characters.
    pub access_key: String,
    /// Secret access key: forty characters.
    pub secret_key: SecretText,
}

impl Credentials {
    /// Those of the data directory, made if there are none, and whether they
    /// were: then they are shown, this once.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(data: &DataDir) -> Result<(Credentials, bool), Problem> {
        match Credentials::existing(data)? {
            Some(found) => Ok((found, false)),
            None => Credentials::make(data).map(|made| (made, true)),
        }
    }

    /// New ones in the data directory, in the place of those that are there.
    ///
    /// # Errors
    /// When the file cannot be written; then the old ones stay.
    pub fn make(data: &DataDir) -> Result<Credentials, Problem> {
        let secret = random_text(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")?;
        let made = Credentials {
            account: AccountId::from(ACCOUNT),
            access_key: format!("AKIA{}", random_text(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?),
            secret_key: SecretText::new(secret),
        };
        data.write_json(FILE, &made)?;
        Ok(made)
    }

    /// Those of the data directory, if there are any.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn existing(data: &DataDir) -> Result<Option<Credentials>, Problem> {
        data.read_json(FILE)
    }

    /// The file that they are in.
    pub fn path(data: &DataDir) -> PathBuf {
        data.file(FILE)
    }
}

const PROXY_SECRET_FILE: &str = "proxy_secret.json";

/// What the data planes of this installation seal cookies with, made if there
/// is none: sessions of clients outlive restarts.
pub fn proxy_secret(data: &DataDir) -> Result<[u8; 32], Problem> {
    if let Some(found) = data.read_json(PROXY_SECRET_FILE)? {
        return Ok(found);
    }
    let mut made = [0; 32];
    random_bytes(&mut made)?;
    data.write_json(PROXY_SECRET_FILE, &made)?;
    Ok(made)
}

/// Random bytes from the operating system.
pub fn random_bytes(buffer: &mut [u8]) -> Result<(), Problem> {
    let mut filled = 0;
    while filled < buffer.len() {
        filled += getrandom(&mut buffer[filled..], GetRandomFlags::empty())
            .map_err(|err| Problem::because("the system gives no random numbers", err))?;
    }
    Ok(())
}

/// `length` characters of `alphabet`, whose length is a power of two.
fn random_text(length: usize, alphabet: &[u8]) -> Result<String, Problem> {
    let mut bytes = vec![0; length];
    random_bytes(&mut bytes)?;
    Ok(bytes.into_iter().map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()])).collect())
}
