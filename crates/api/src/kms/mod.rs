//! Key Management Service: symmetric keys, their aliases, and what is sealed
//! with them. Parameters of type SecureString are sealed here as well.
//!
//! Key material never leaves: the rows hold it sealed by the
//! [`crate::World`], whose secret lies outside the store.

mod aliases;
mod cipher;
mod data;
mod deletion;
mod errors;
mod keys;
mod lookup;
mod policies;
mod rotation;
mod shape;
mod tags;
#[cfg(test)]
mod tests;

pub use aliases::{create_alias, delete_alias, list_aliases, update_alias};
pub use data::{
    decrypt, encrypt, generate_data_key, generate_data_key_without_plaintext, generate_random, open, re_encrypt, seal,
};
pub use deletion::{cancel_key_deletion, schedule_key_deletion};
pub use keys::{create_key, describe_key, disable_key, enable_key, list_keys, of_service, update_key_description};
pub use lookup::{key_arn, named};
pub use policies::{get_key_policy, list_grants, list_key_policies, put_key_policy};
pub use rotation::{disable_key_rotation, enable_key_rotation, get_key_rotation_status};
pub use tags::{list_resource_tags, tag_resource, untag_resource};

/// Items of a page when the client names no Limit, and at most (KMS API
/// Reference, "ListKeys").
const PAGE_MAX: usize = 1_000;

/// The id of the key that a sealed text says it is sealed with: what whoever
/// wants it opened must be allowed to use.
pub fn sealed_by(sealed: &[u8]) -> Option<String> {
    cipher::parse(sealed).map(|sealed| sealed.key.to_string())
}

/// How lists are cut into pages.
fn pager(marker: Option<&str>, limit: Option<i32>) -> crate::page::Pager<'_> {
    let max = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_MAX);
    crate::page::Pager { token: marker, max: Some(max.clamp(1, PAGE_MAX)), bad_token: "InvalidMarkerException" }
}
