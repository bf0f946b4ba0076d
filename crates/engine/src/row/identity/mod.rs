//! Rows of IAM. They belong to the account and live in the scope of its own
//! region name, [`IAM_REGION`].

mod credential;
mod policy;
mod user;

pub use credential::*;
pub use policy::*;
pub use user::*;

use super::{Tags, row};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};

/// The region name under which rows live that belong to an account as a whole.
pub const IAM_REGION: &str = "aws-global";

/// A role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Its name, unique within the account.
    pub name: String,
    /// `AROA…`.
    pub id: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// Its description.
    pub description: Option<String>,
    /// The trust policy.
    pub trust_policy: PolicyText,
    /// MaxSessionDuration in seconds, 3,600 to 43,200.
    pub session_secs_max: i32,
    /// When it was made.
    pub created_at: Time,
    /// Tags.
    pub tags: Tags,
    /// What it may do.
    #[serde(default)]
    pub permissions: Permissions,
    /// The ARN of the policy that bounds what it may do.
    #[serde(default)]
    pub boundary: Option<String>,
}
row!(Role, |row| row.name.clone());

/// An instance profile: what carries a role to an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Its name, unique within the account.
    pub name: String,
    /// `AIPA…`.
    pub id: String,
    /// Its path, `/` or `/…/`.
    pub path: String,
    /// Its role's name.
    pub role: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// Tags.
    pub tags: Tags,
}
row!(InstanceProfile, |row| row.name.clone());
