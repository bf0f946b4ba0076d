//! Operations of IAM, as far as instances and load balancers need them: roles,
//! instance profiles and server certificates. Calls run in the scope of the account as a whole, whatever
//! region they are signed for (see [`crate::scope_of`]). Permissions are not
//! evaluated, so no policies are kept: what would attach one is refused.

mod errors;
mod names;
mod pending;
mod profiles;
mod roles;
mod server_certificates;
mod shape;
#[cfg(test)]
mod tests;

pub use pending::*;
pub use profiles::*;
pub use roles::*;
pub use server_certificates::*;
