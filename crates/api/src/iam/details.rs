//! GetAccountAuthorizationDetails: everything that says who may do what.

use super::bearers::Ruled;
use super::{attachments, names, shape, versions};
use crate::Call;
use elastane_engine::View;
use elastane_engine::identity::aws_policies::AWS_POLICIES;
use elastane_engine::identity::{self, Managed};
use elastane_engine::row::{InstanceProfile, ManagedPolicy, Role, User, UserGroup};
use elastane_wire::{ApiError, iam as wire};
use std::sync::Arc;

/// What a page is made of.
enum Detail<'a> {
    User(&'a User),
    Group(&'a UserGroup),
    Role(&'a Role),
    Policy(Managed<'a>),
}

impl Detail<'_> {
    /// What it is sorted by.
    fn key(&self) -> String {
        match self {
            Detail::User(row) => format!("1/{}", row.name),
            Detail::Group(row) => format!("2/{}", row.name),
            Detail::Role(row) => format!("3/{}", row.name),
            Detail::Policy(Managed::Own(row)) => format!("4/{}", row.name),
            Detail::Policy(Managed::Aws(policy)) => format!("5/{}", policy.arn()),
        }
    }
}

/// Everything of the kinds that are asked for. Of AWS's policies those that
/// are in use.
fn collect<'a>(view: &View<'a>, filter: &[String]) -> Vec<Detail<'a>> {
    let asked = |kind: &str| filter.is_empty() || filter.iter().any(|one| one == kind);
    let mut found: Vec<Detail<'a>> = Vec::new();
    if asked("User") {
        found.extend(view.all::<User>().map(|row| Detail::User(row)));
    }
    if asked("Group") {
        found.extend(view.all::<UserGroup>().map(|row| Detail::Group(row)));
    }
    if asked("Role") {
        found.extend(view.all::<Role>().map(|row| Detail::Role(row)));
    }
    if asked("LocalManagedPolicy") {
        found.extend(view.all::<ManagedPolicy>().map(|row| Detail::Policy(Managed::Own(row))));
    }
    if asked("AWSManagedPolicy") {
        let in_use =
            AWS_POLICIES.iter().filter(|(arn, _)| identity::uses(view.tables, arn) != identity::Uses::default());
        found.extend(in_use.map(|(_, policy)| Detail::Policy(Managed::Aws(policy))));
    }
    found
}

fn inline<B: Ruled>(row: &B) -> Vec<wire::PolicyDetail> {
    let shown = |(name, policy): (&String, &elastane_engine::row::PolicyText)| wire::PolicyDetail {
        policy_document: Some(shape::escaped(policy.text())),
        policy_name: Some(name.clone()),
    };
    row.permissions().inline.iter().map(shown).collect()
}

fn user(view: &View<'_>, row: &User) -> wire::UserDetail {
    let wire::User { arn, create_date, path, permissions_boundary, tags, user_id, user_name, .. } =
        shape::user(view, row);
    wire::UserDetail {
        arn,
        attached_managed_policies: attachments::shown(view, row, "/"),
        create_date,
        group_list: row.groups.iter().cloned().collect(),
        path,
        permissions_boundary,
        tags,
        user_id,
        user_name,
        user_policy_list: inline(row),
    }
}

fn group(view: &View<'_>, row: &UserGroup) -> wire::GroupDetail {
    let wire::Group { arn, create_date, group_id, group_name, path } = shape::group(view, row);
    wire::GroupDetail {
        arn,
        attached_managed_policies: attachments::shown(view, row, "/"),
        create_date,
        group_id,
        group_name,
        group_policy_list: inline(row),
        path,
    }
}

fn role(call: &Call<'_>, row: &Role) -> wire::RoleDetail {
    let view = &call.view;
    let shown = shape::role(view, row);
    let carries = |profile: &&Arc<InstanceProfile>| profile.role.as_ref() == Some(&row.name);
    wire::RoleDetail {
        arn: shown.arn,
        assume_role_policy_document: shown.assume_role_policy_document,
        attached_managed_policies: attachments::shown(view, row, "/"),
        create_date: shown.create_date,
        instance_profile_list: view
            .all::<InstanceProfile>()
            .filter(carries)
            .map(|profile| shape::profile(view, profile))
            .collect(),
        path: shown.path,
        permissions_boundary: shown.permissions_boundary,
        role_id: shown.role_id,
        role_last_used: Some(shape::last_used(call.world, &row.id)),
        role_name: shown.role_name,
        role_policy_list: inline(row),
        tags: shown.tags,
    }
}

fn policy(view: &View<'_>, policy: Managed<'_>) -> wire::ManagedPolicyDetail {
    let shown = shape::policy(view, policy);
    wire::ManagedPolicyDetail {
        arn: shown.arn,
        attachment_count: shown.attachment_count,
        create_date: shown.create_date,
        default_version_id: shown.default_version_id,
        description: shown.description,
        is_attachable: shown.is_attachable,
        path: shown.path,
        permissions_boundary_usage_count: shown.permissions_boundary_usage_count,
        policy_id: shown.policy_id,
        policy_name: shown.policy_name,
        policy_version_list: versions::with_documents(policy),
        update_date: shown.update_date,
    }
}

/// GetAccountAuthorizationDetails: users, groups, roles and policies with
/// their documents, in pages.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn get_account_authorization_details(
    call: &Call<'_>,
    input: &wire::GetAccountAuthorizationDetailsRequest,
) -> Result<wire::GetAccountAuthorizationDetailsResponse, ApiError> {
    let found = collect(&call.view, &input.filter);
    let (page, marker) = names::cut(found, (input.marker.as_deref(), input.max_items), Detail::key)?;
    let mut answer = wire::GetAccountAuthorizationDetailsResponse {
        is_truncated: Some(marker.is_some()),
        marker,
        ..Default::default()
    };
    for detail in page {
        match detail {
            Detail::User(row) => answer.user_detail_list.push(user(&call.view, row)),
            Detail::Group(row) => answer.group_detail_list.push(group(&call.view, row)),
            Detail::Role(row) => answer.role_detail_list.push(role(call, row)),
            Detail::Policy(managed) => answer.policies.push(policy(&call.view, managed)),
        }
    }
    Ok(answer)
}
