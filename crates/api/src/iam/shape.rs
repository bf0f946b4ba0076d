//! Identities and policies as answers show them. Documents are percent
//! encoded there (RFC 3986; terraform-calls.md 7).

use super::names;
use crate::World;
use elastane_engine::View;
use elastane_engine::identity::{self, Managed};
use elastane_engine::row::{InstanceProfile, Role, Tags, User, UserGroup};
use elastane_wire::{ApiError, Timestamp, iam as wire};
use std::fmt::Write as _;

/// A text as it may stand in a URL: all but letters, digits and `-._~` is escaped.
pub fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes all");
        }
        out
    })
}

/// Tags in the order of their keys.
pub fn tags(tags: &Tags) -> Vec<wire::Tag> {
    tags.iter().map(|(key, value)| wire::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

/// A page of tags.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn page_of_tags(
    found: &Tags,
    page: (Option<&str>, Option<i32>),
) -> Result<(Vec<wire::Tag>, Option<String>), ApiError> {
    names::cut(tags(found), page, |tag| tag.key.clone().unwrap_or_default())
}

/// A boundary by its policy's ARN.
pub fn boundary(arn: &Option<String>) -> Option<wire::AttachedPermissionsBoundary> {
    arn.as_ref().map(|arn| wire::AttachedPermissionsBoundary {
        permissions_boundary_arn: Some(arn.clone()),
        permissions_boundary_type: Some("Policy".to_string()),
    })
}

/// A user.
pub fn user(view: &View<'_>, row: &User) -> wire::User {
    wire::User {
        arn: Some(identity::user_arn(&view.scope.account, row)),
        create_date: Some(Timestamp(row.created_at.millis())),
        path: Some(row.path.clone()),
        permissions_boundary: boundary(&row.boundary),
        tags: tags(&row.tags),
        user_id: Some(row.id.clone()),
        user_name: Some(row.name.clone()),
        ..Default::default()
    }
}

/// A user without what lists do not show.
pub fn listed_user(view: &View<'_>, row: &User) -> wire::User {
    wire::User { permissions_boundary: None, tags: Vec::new(), ..user(view, row) }
}

/// A group of users.
pub fn group(view: &View<'_>, row: &UserGroup) -> wire::Group {
    wire::Group {
        arn: Some(identity::group_arn(&view.scope.account, row)),
        create_date: Some(Timestamp(row.created_at.millis())),
        group_id: Some(row.id.clone()),
        group_name: Some(row.name.clone()),
        path: Some(row.path.clone()),
    }
}

/// `v1` of 1.
pub fn version(number: u32) -> String {
    format!("v{number}")
}

/// A managed policy.
pub fn policy(view: &View<'_>, policy: Managed<'_>) -> wire::Policy {
    let arn = policy.arn(&view.scope.account);
    let uses = identity::uses(view.tables, &arn);
    let (id, description, created_at, updated_at, tags, attachable) = match policy {
        Managed::Aws(it) => {
            let description = Some(it.description.to_string());
            (it.id.clone(), description, it.created_at, it.created_at, Vec::new(), it.attachable())
        }
        Managed::Own(row) => {
            (row.id.clone(), row.description.clone(), row.created_at, row.updated_at, tags(&row.tags), true)
        }
    };
    wire::Policy {
        arn: Some(arn),
        attachment_count: i32::try_from(uses.attached).ok(),
        create_date: Some(Timestamp(created_at.millis())),
        default_version_id: Some(version(policy.default_version())),
        description,
        is_attachable: Some(attachable),
        path: Some(policy.path().to_string()),
        permissions_boundary_usage_count: i32::try_from(uses.bounding).ok(),
        policy_id: Some(id),
        policy_name: Some(policy.name().to_string()),
        tags,
        update_date: Some(Timestamp(updated_at.millis())),
    }
}

/// A role.
pub fn role(view: &View<'_>, row: &Role) -> wire::Role {
    wire::Role {
        arn: Some(identity::role_arn(&view.scope.account, row)),
        assume_role_policy_document: Some(escaped(row.trust_policy.text())),
        create_date: Some(Timestamp(row.created_at.millis())),
        description: row.description.clone(),
        max_session_duration: Some(row.session_secs_max),
        path: Some(row.path.clone()),
        permissions_boundary: boundary(&row.boundary),
        role_id: Some(row.id.clone()),
        role_name: Some(row.name.clone()),
        tags: tags(&row.tags),
        ..Default::default()
    }
}

/// When and where a role was last used; empty when it was not.
pub fn last_used(world: &dyn World, role_id: &str) -> wire::RoleLastUsed {
    let used = world.last_use(role_id);
    wire::RoleLastUsed {
        last_used_date: used.as_ref().map(|used| Timestamp(used.at.millis())),
        region: used.map(|used| used.region),
    }
}

/// A role without what lists do not show.
pub fn listed_role(view: &View<'_>, row: &Role) -> wire::Role {
    wire::Role { permissions_boundary: None, tags: Vec::new(), ..role(view, row) }
}

/// An instance profile with its role.
pub fn profile(view: &View<'_>, row: &InstanceProfile) -> wire::InstanceProfile {
    let roles = row.role.iter().filter_map(|name| view.get::<Role>(name));
    wire::InstanceProfile {
        arn: Some(identity::profile_arn(&view.scope.account, row)),
        create_date: Some(Timestamp(row.created_at.millis())),
        instance_profile_id: Some(row.id.clone()),
        instance_profile_name: Some(row.name.clone()),
        path: Some(row.path.clone()),
        roles: roles.map(|row| role(view, row)).collect(),
        tags: tags(&row.tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plus and a blank must survive a client's unquoting.
    #[test]
    fn policies_are_percent_encoded() {
        assert_eq!(escaped("{\"a\": \"b+c\"}-._~"), "%7B%22a%22%3A%20%22b%2Bc%22%7D-._~");
    }
}
