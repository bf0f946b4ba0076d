//! Managed policies: the account's, and AWS's to read.

use super::bearers::Ruled;
use super::{errors, names, shape};
use crate::{Call, Change};
use elastane_domain::policy::Grammar;
use elastane_engine::identity::aws_policies::AWS_POLICIES;
use elastane_engine::identity::{self, Managed, policy_arn};
use elastane_engine::row::{ManagedPolicy, PolicyText, PolicyVersion, Role, Tags, User, UserGroup};
use elastane_engine::{Tables, View};
use elastane_wire::{ApiError, iam as wire};
use std::collections::BTreeMap;

/// Managed policies of an account (IAM User Guide, "IAM and AWS STS quotas").
pub(super) const POLICIES_MAX: usize = 1500;

/// Characters of a managed policy, likewise.
pub(super) const POLICY_SIZE_MAX: usize = 6144;

/// Characters of a managed policy's name (IAM API Reference, "CreatePolicy").
const NAME_MAX: usize = 128;

/// Parts of an ARN.
const ARN_PARTS: usize = 6;

/// An ARN as a request gives it.
///
/// # Errors
/// `InvalidInput`; `ValidationError` without one.
pub(super) fn arn(text: &Option<String>) -> Result<&str, ApiError> {
    let arn = text.as_deref().ok_or_else(|| errors::missing("PolicyArn"))?;
    if arn.starts_with("arn:") && arn.splitn(ARN_PARTS, ':').count() == ARN_PARTS {
        return Ok(arn);
    }
    Err(errors::input(format!("ARN {arn} is not valid.")))
}

/// The managed policy of an ARN.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`.
pub(super) fn find<'a>(view: &View<'a>, text: &Option<String>) -> Result<Managed<'a>, ApiError> {
    let arn = arn(text)?;
    identity::managed(view, arn).ok_or_else(|| errors::no_such_policy(arn))
}

/// The account's own policy of an ARN, to change it.
///
/// # Errors
/// Those of [`find`]; `AccessDenied` for one of AWS's.
pub(super) fn find_own<'a>(view: &View<'a>, text: &Option<String>) -> Result<&'a ManagedPolicy, ApiError> {
    let outside = arn(text)?.split(':').nth(4) != Some(view.scope.account.as_str());
    if outside {
        return Err(errors::foreign_policy());
    }
    match find(view, text)? {
        Managed::Own(row) => Ok(row),
        Managed::Aws(_) => Err(errors::foreign_policy()),
    }
}

/// A document of a managed policy.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`.
pub(super) fn document(text: &Option<String>) -> Result<PolicyText, ApiError> {
    let policy = names::policy(text, "PolicyDocument", Grammar::Identity)?;
    if policy.size() > POLICY_SIZE_MAX {
        return Err(errors::quota("PolicySize", POLICY_SIZE_MAX));
    }
    Ok(policy)
}

/// CreatePolicy: its first version is `v1` and in force.
///
/// # Errors
/// `EntityAlreadyExists`, `MalformedPolicyDocument`, `LimitExceeded`, `InvalidInput`, `ValidationError`.
pub fn create_policy(
    change: &mut Change<'_, '_>,
    input: &wire::CreatePolicyRequest,
) -> Result<wire::CreatePolicyResponse, ApiError> {
    let name = names::name(&input.policy_name, "PolicyName", NAME_MAX)?;
    let path = names::path(&input.path)?;
    let tags = names::tagged(Tags::new(), &input.tags)?;
    let document = document(&input.policy_document)?;
    if change.all::<ManagedPolicy>().any(|row| row.name.eq_ignore_ascii_case(name)) {
        let message = format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(errors::exists_text(message));
    }
    if change.managed_policies.len() >= POLICIES_MAX {
        return Err(errors::quota("PoliciesPerAccount", POLICIES_MAX));
    }
    let now = change.now;
    let row = ManagedPolicy {
        name: name.to_string(),
        id: names::id(change, "ANPA"),
        path,
        description: input.description.clone().filter(|text| !text.is_empty()),
        versions: BTreeMap::from([(1, PolicyVersion { document, created_at: now })]),
        default_version: 1,
        next_version: 2,
        created_at: now,
        updated_at: now,
        tags,
    };
    let policy = Some(shape::policy(&change.view(), Managed::Own(&row)));
    change.put(row);
    Ok(wire::CreatePolicyResponse { policy })
}

/// GetPolicy.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`.
pub fn get_policy(call: &Call<'_>, input: &wire::GetPolicyRequest) -> Result<wire::GetPolicyResponse, ApiError> {
    let policy = shape::policy(&call.view, find(&call.view, &input.policy_arn)?);
    Ok(wire::GetPolicyResponse { policy: Some(policy) })
}

/// Whether a policy is used as asked: attached, or as a boundary.
fn is_used(tables: &Tables, arn: &str, as_boundary: Option<bool>) -> bool {
    let uses = identity::uses(tables, arn);
    match as_boundary {
        None => uses.attached + uses.bounding > 0,
        Some(true) => uses.bounding > 0,
        Some(false) => uses.attached > 0,
    }
}

/// PolicyUsageFilter: `Some(true)` for boundaries.
fn usage(filter: &Option<String>) -> Option<bool> {
    filter.as_deref().map(|filter| filter == "PermissionsBoundary")
}

/// ListPolicies: of a scope and a path; those in use only, if asked. As on
/// AWS, descriptions and tags are not in the list.
///
/// # Errors
/// `ValidationError` for a marker of another make.
pub fn list_policies(
    call: &Call<'_>,
    input: &wire::ListPoliciesRequest,
) -> Result<wire::ListPoliciesResponse, ApiError> {
    let prefix = names::path_prefix(&input.path_prefix);
    let scope = input.scope.as_deref().unwrap_or("All");
    let own = call.all::<ManagedPolicy>().filter(|_| scope != "AWS").map(|row| Managed::Own(row));
    let aws = AWS_POLICIES.values().filter(|_| scope != "Local").map(Managed::Aws);
    let account = &call.scope.account;
    let only_used = input.only_attached == Some(true) || input.policy_usage_filter.is_some();
    let mut found: Vec<(String, Managed<'_>)> = own
        .chain(aws)
        .filter(|policy| policy.path().starts_with(prefix))
        .map(|policy| (policy.arn(account), policy))
        .filter(|(arn, _)| !only_used || is_used(call.tables, arn, usage(&input.policy_usage_filter)))
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (page, marker) = names::cut(found, (input.marker.as_deref(), input.max_items), |(arn, _)| arn.clone())?;
    let shown = |(_, policy): (String, Managed<'_>)| wire::Policy {
        description: None,
        tags: Vec::new(),
        ..shape::policy(&call.view, policy)
    };
    let policies = page.into_iter().map(shown).collect();
    Ok(wire::ListPoliciesResponse { is_truncated: Some(marker.is_some()), marker, policies })
}

/// DeletePolicy.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`, `AccessDenied` for AWS's; `DeleteConflict`
/// while it is attached, bounds somebody or has several versions.
pub fn delete_policy(
    change: &mut Change<'_, '_>,
    input: &wire::DeletePolicyRequest,
) -> Result<wire::DeletePolicyOutput, ApiError> {
    let view = change.view();
    let row = find_own(&view, &input.policy_arn)?.clone();
    if is_used(view.tables, &policy_arn(&view.scope.account, &row), None) {
        return Err(errors::conflict("Cannot delete a policy attached to entities."));
    }
    if row.versions.len() > 1 {
        return Err(errors::conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's \
             versions. The default version is deleted with the policy.",
        ));
    }
    change.delete::<ManagedPolicy>(&row.name);
    Ok(wire::DeletePolicyOutput {})
}

/// A user, group or role that a policy hangs on.
enum Entity {
    Group(wire::PolicyGroup),
    Role(wire::PolicyRole),
    User(wire::PolicyUser),
}

/// The names and ids of those of a path that a policy hangs on.
fn hung_on<B: Ruled>(
    view: &View<'_>,
    (arn, prefix): (&str, &str),
    uses: impl Fn(&B, &str) -> bool,
) -> Vec<(Option<String>, Option<String>)> {
    let rows = view.all::<B>().filter(|row| row.path().starts_with(prefix) && uses(row, arn));
    rows.map(|row| (Some(row.name().to_string()), Some(row.unique_id().to_string()))).collect()
}

/// ListEntitiesForPolicy: groups, roles and users, in this order.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`, `ValidationError` for a marker of another make.
pub fn list_entities_for_policy(
    call: &Call<'_>,
    input: &wire::ListEntitiesForPolicyRequest,
) -> Result<wire::ListEntitiesForPolicyResponse, ApiError> {
    find(&call.view, &input.policy_arn)?;
    let which = (arn(&input.policy_arn)?, names::path_prefix(&input.path_prefix));
    let kind = input.entity_filter.as_deref().unwrap_or("All");
    let (attached, bounding) = match usage(&input.policy_usage_filter) {
        None => (true, true),
        Some(as_boundary) => (!as_boundary, as_boundary),
    };
    let asked = |name: &str| kind == "All" || kind == name || (kind == "LocalManagedPolicy" && attached);
    let mut found = Vec::new();
    if asked("Group") {
        let uses = |row: &UserGroup, arn: &str| attached && row.permissions.attached.contains(arn);
        let groups = hung_on::<UserGroup>(&call.view, which, uses).into_iter();
        found.extend(groups.map(|(group_name, group_id)| Entity::Group(wire::PolicyGroup { group_id, group_name })));
    }
    if asked("Role") {
        let uses = |row: &Role, arn: &str| {
            attached && row.permissions.attached.contains(arn) || bounding && row.boundary.as_deref() == Some(arn)
        };
        let roles = hung_on::<Role>(&call.view, which, uses).into_iter();
        found.extend(roles.map(|(role_name, role_id)| Entity::Role(wire::PolicyRole { role_id, role_name })));
    }
    if asked("User") {
        let uses = |row: &User, arn: &str| {
            attached && row.permissions.attached.contains(arn) || bounding && row.boundary.as_deref() == Some(arn)
        };
        let users = hung_on::<User>(&call.view, which, uses).into_iter();
        found.extend(users.map(|(user_name, user_id)| Entity::User(wire::PolicyUser { user_id, user_name })));
    }
    let name = |entity: &Entity| match entity {
        Entity::Group(it) => format!("group/{}", it.group_name.as_deref().unwrap_or_default()),
        Entity::Role(it) => format!("role/{}", it.role_name.as_deref().unwrap_or_default()),
        Entity::User(it) => format!("user/{}", it.user_name.as_deref().unwrap_or_default()),
    };
    let (page, marker) = names::cut(found, (input.marker.as_deref(), input.max_items), name)?;
    let mut answer =
        wire::ListEntitiesForPolicyResponse { is_truncated: Some(marker.is_some()), marker, ..Default::default() };
    for entity in page {
        match entity {
            Entity::Group(group) => answer.policy_groups.push(group),
            Entity::Role(role) => answer.policy_roles.push(role),
            Entity::User(user) => answer.policy_users.push(user),
        }
    }
    Ok(answer)
}

/// TagPolicy.
///
/// # Errors
/// `NoSuchEntity`, `AccessDenied` for AWS's, `LimitExceeded`, `InvalidInput`, `ValidationError`.
pub fn tag_policy(
    change: &mut Change<'_, '_>,
    input: &wire::TagPolicyRequest,
) -> Result<wire::TagPolicyOutput, ApiError> {
    let row = find_own(&change.view(), &input.policy_arn)?.clone();
    let tags = names::tagged(row.tags.clone(), &input.tags)?;
    change.update(&row.name, |row: &mut ManagedPolicy| row.tags = tags);
    Ok(wire::TagPolicyOutput {})
}

/// UntagPolicy.
///
/// # Errors
/// `NoSuchEntity`, `AccessDenied` for AWS's, `InvalidInput`.
pub fn untag_policy(
    change: &mut Change<'_, '_>,
    input: &wire::UntagPolicyRequest,
) -> Result<wire::UntagPolicyOutput, ApiError> {
    let name = find_own(&change.view(), &input.policy_arn)?.name.clone();
    change.update(&name, |row: &mut ManagedPolicy| names::untag(&mut row.tags, &input.tag_keys));
    Ok(wire::UntagPolicyOutput {})
}

/// ListPolicyTags; AWS's policies have none.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`, `ValidationError` for a marker of another make.
pub fn list_policy_tags(
    call: &Call<'_>,
    input: &wire::ListPolicyTagsRequest,
) -> Result<wire::ListPolicyTagsResponse, ApiError> {
    let tags = match find(&call.view, &input.policy_arn)? {
        Managed::Own(row) => row.tags.clone(),
        Managed::Aws(_) => Tags::new(),
    };
    let (tags, marker) = shape::page_of_tags(&tags, (input.marker.as_deref(), input.max_items))?;
    Ok(wire::ListPolicyTagsResponse { is_truncated: Some(marker.is_some()), marker, tags })
}
