//! Operations of AWS Certificate Manager.
//!
//! Certificates are imported, or issued by the installation's own authority
//! (`elastane_engine::authority`) at once: nobody is asked to prove that a
//! name is theirs, so `PENDING_VALIDATION` does not come up, and the records
//! and addresses for validation are there only because clients read them.

mod domains;
mod errors;
mod export;
mod import;
mod listing;
mod lookup;
mod options;
pub(crate) mod reading;
mod request;
mod shape;
mod tags;
#[cfg(test)]
mod tests;

pub use export::export_certificate;
pub use import::import_certificate;
pub use listing::{describe_certificate, get_certificate, list_certificates};
pub use lookup::delete_certificate;
pub use options::{
    get_account_configuration, put_account_configuration, resend_validation_email, update_certificate_options,
};
pub use request::{renew_certificate, request_certificate};
pub use tags::{add_tags_to_certificate, list_tags_for_certificate, remove_tags_from_certificate};
