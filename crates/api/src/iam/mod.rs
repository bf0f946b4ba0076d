//! Operations of IAM: users, groups, roles, instance profiles, policies,
//! access keys and server certificates. Calls run in the scope of the account
//! as a whole, whatever region they are signed for (see [`crate::scope_of`]).
//! What policies mean is decided in [`crate::access`]; here they are kept.

mod access_keys;
mod account;
mod attachments;
mod bearers;
mod boundaries;
mod credentials;
mod details;
mod errors;
mod groups;
mod inline;
mod names;
mod policies;
#[cfg(test)]
mod policies_tests;
mod profiles;
#[cfg(test)]
pub(crate) mod rig;
mod roles;
mod server_certificates;
mod service_roles;
mod shape;
mod simulate;
#[cfg(test)]
mod simulate_tests;
mod sources;
#[cfg(test)]
mod tests;
mod trust;
mod users;
#[cfg(test)]
mod users_tests;
mod versions;

pub(crate) use access_keys::fresh;
pub use access_keys::*;
pub use account::*;
pub use attachments::*;
pub use boundaries::*;
pub use credentials::*;
pub use details::*;
pub use groups::*;
pub use inline::*;
pub use policies::*;
pub use profiles::*;
pub use roles::*;
pub use server_certificates::*;
pub use service_roles::*;
pub use simulate::*;
pub use users::*;
pub use versions::*;
