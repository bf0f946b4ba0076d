//! Rows of Key Management Service.

use super::{PolicyText, Tags, row};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};

/// A symmetric key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncryptionKey {
    /// A UUID.
    pub id: String,
    /// Its description.
    pub description: String,
    /// The service that it is AWS's own key of (`ssm` for `alias/aws/ssm`);
    /// `None` for a customer's.
    pub service: Option<String>,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it will be deleted, and the days that it was given.
    pub deletion: Option<(Time, i32)>,
    /// Days between rotations, while they are on, and since when.
    pub rotation: Option<(i32, Time)>,
    /// Its policy.
    pub policy: PolicyText,
    /// Its key material, the newest last: old ones open what they sealed.
    pub materials: Vec<KeyMaterial>,
    /// When it was made.
    pub created_at: Time,
    /// Tags.
    pub tags: Tags,
}
row!(EncryptionKey, |row| row.id.clone());

/// Key material: 256 bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyMaterial {
    /// The bits in base64, sealed by the world: the store alone does not tell them.
    pub sealed: String,
    /// Since when new data is sealed with it.
    pub since: Time,
}

/// A name of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyAlias {
    /// `alias/…`.
    pub name: String,
    /// The key's id.
    pub key: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last given to another key.
    pub updated_at: Time,
}
row!(KeyAlias, |row| row.name.clone());
