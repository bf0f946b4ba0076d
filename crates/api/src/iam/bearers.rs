//! What users, groups and roles have in common: they are found by name, and
//! policies hang on them.

use super::{errors, names};
use crate::{Caller, Principal};
use elastane_engine::View;
use elastane_engine::identity::Bearer;
use elastane_engine::identity::aws_policies::SERVICE_ROLE_PATH;
use elastane_engine::row::{Role, User, UserGroup};
use elastane_wire::ApiError;
use std::sync::Arc;

/// The rules for a kind of identity (IAM User Guide, "IAM and AWS STS quotas").
pub(super) trait Ruled: Bearer {
    /// The member of a request that names one.
    const MEMBER: &'static str;
    /// Characters of a name.
    const NAME_MAX: usize;
    /// Characters of all inline policies together.
    const INLINE_MAX: usize;
    /// What the quota of attached policies is called.
    const ATTACHED_QUOTA: &'static str;

    /// Whether AWS alone may change it.
    fn is_protected(&self) -> bool {
        false
    }
}

impl Ruled for User {
    const MEMBER: &'static str = "UserName";
    const NAME_MAX: usize = 64;
    const INLINE_MAX: usize = 2048;
    const ATTACHED_QUOTA: &'static str = "PoliciesPerUser";
}

impl Ruled for UserGroup {
    const MEMBER: &'static str = "GroupName";
    const NAME_MAX: usize = 128;
    const INLINE_MAX: usize = 5120;
    const ATTACHED_QUOTA: &'static str = "PoliciesPerGroup";
}

impl Ruled for Role {
    const MEMBER: &'static str = "RoleName";
    const NAME_MAX: usize = 64;
    const INLINE_MAX: usize = 10_240;
    const ATTACHED_QUOTA: &'static str = "PoliciesPerRole";

    fn is_protected(&self) -> bool {
        self.path.starts_with(SERVICE_ROLE_PATH)
    }
}

/// A name as a request gives it.
pub(super) fn name<B: Ruled>(text: &Option<String>) -> Result<&str, ApiError> {
    names::name(text, B::MEMBER, B::NAME_MAX)
}

/// The one of a name.
///
/// # Errors
/// `NoSuchEntity`, `ValidationError`.
pub(super) fn find<'a, B: Ruled>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<B>, ApiError> {
    let name = name::<B>(text)?;
    view.get::<B>(name).ok_or_else(|| errors::no_such(&format!("The {} with name", B::NOUN), name))
}

/// The one of a name, to change it.
///
/// # Errors
/// Those of [`find`]; `UnmodifiableEntity` for a service-linked role.
pub(super) fn find_mine<'a, B: Ruled>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<B>, ApiError> {
    let found = find::<B>(view, text)?;
    if found.is_protected() { Err(errors::protected(found.name())) } else { Ok(found) }
}

/// Checks that a name is free: names are the same whatever their case.
///
/// # Errors
/// `EntityAlreadyExists`.
pub(super) fn free<B: Ruled>(view: &View<'_>, name: &str) -> Result<(), ApiError> {
    if !view.all::<B>().any(|row| row.name().eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let (first, rest) = B::NOUN.split_at(1);
    Err(errors::exists(&format!("{}{rest}", first.to_ascii_uppercase()), name))
}

/// Checks that nothing hangs on one that is to be deleted.
///
/// # Errors
/// `DeleteConflict`.
pub(super) fn bare<B: Ruled>(row: &B) -> Result<(), ApiError> {
    if !row.permissions().attached.is_empty() {
        return Err(errors::conflict("Cannot delete entity, must detach all policies first."));
    }
    if !row.permissions().inline.is_empty() {
        return Err(errors::conflict("Cannot delete entity, must delete policies first."));
    }
    Ok(())
}

/// The user that a call is about: the caller where it names none.
///
/// # Errors
/// `ValidationError` when the caller is no user.
pub(super) fn user_or_caller(caller: &Caller, name: &Option<String>) -> Result<Option<String>, ApiError> {
    match (name, &caller.principal) {
        (Some(_), _) => Ok(name.clone()),
        (None, Principal::User(user)) => Ok(Some(user.clone())),
        (None, Principal::Root | Principal::Role(_)) => {
            Err(errors::invalid("Must specify userName when calling with non-User credentials".to_string()))
        }
    }
}
