//! Roles and instance profiles as answers show them. Policies are percent
//! encoded there (RFC 3986; terraform-calls.md 7).

use elastane_engine::row::{InstanceProfile, Role, Tags};
use elastane_engine::{View, identity};
use elastane_wire::{Timestamp, iam as wire};
use std::fmt::Write as _;

/// A text as it may stand in a URL: all but letters, digits and `-._~` is escaped.
fn escaped(text: &str) -> String {
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

/// A role.
pub fn role(view: &View<'_>, row: &Role) -> wire::Role {
    wire::Role {
        arn: Some(identity::role_arn(&view.scope.account, row)),
        assume_role_policy_document: Some(escaped(&row.trust_policy)),
        create_date: Some(Timestamp(row.created_at.millis())),
        description: row.description.clone(),
        max_session_duration: Some(row.session_secs_max),
        path: Some(row.path.clone()),
        role_id: Some(row.id.clone()),
        role_name: Some(row.name.clone()),
        tags: tags(&row.tags),
        ..Default::default()
    }
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
