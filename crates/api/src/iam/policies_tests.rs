//! Managed policies, their versions, attachments and boundaries; inline
//! policies; the account as a whole.

use super::rig::*;
use crate::testing::{Lab, ask};
use elastane_engine::identity::{self, Identity};
use elastane_engine::row::Role;
use elastane_wire::{ApiError, iam as wire};

const ADMIN: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

fn version(lab: &mut Lab, arn: &str, default: bool) -> Result<wire::PolicyVersion, ApiError> {
    let input = wire::CreatePolicyVersionRequest {
        policy_arn: some(arn),
        policy_document: Some(policy("Allow", "ec2:*", "*")),
        set_as_default: Some(default),
    };
    ask!(lab, IamCreatePolicyVersion, input).map(|made| made.policy_version.expect("shown"))
}

fn attach(lab: &mut Lab, user: &str, arn: &str) -> (String, u16) {
    code(ask!(lab, IamAttachUserPolicy, wire::AttachUserPolicyRequest { policy_arn: some(arn), user_name: some(user) }))
}

fn detach(lab: &mut Lab, user: &str, arn: &str) -> (String, u16) {
    code(ask!(lab, IamDetachUserPolicy, wire::DetachUserPolicyRequest { policy_arn: some(arn), user_name: some(user) }))
}

fn delete(lab: &mut Lab, arn: &str) -> (String, u16) {
    code(ask!(lab, IamDeletePolicy, wire::DeletePolicyRequest { policy_arn: some(arn) }))
}

fn conflict() -> (String, u16) {
    ("DeleteConflict".to_string(), 409)
}

/// Five versions, whose numbers are not used again; the one in force stays.
#[test]
fn versions_of_a_policy() {
    let mut lab = lab();
    let arn = managed(&mut lab, "web", &policy("Allow", "s3:*", "*"));
    for number in 2..=5 {
        let made = version(&mut lab, &arn, number == 3).expect("made");
        assert_eq!((made.version_id, made.is_default_version), (Some(format!("v{number}")), Some(number == 3)));
    }
    assert_eq!(code(version(&mut lab, &arn, false)), ("LimitExceeded".to_string(), 409));
    let gone = |id: &str| wire::DeletePolicyVersionRequest { policy_arn: some(&arn), version_id: some(id) };
    assert_eq!(code(ask!(lab, IamDeletePolicyVersion, gone("v3"))), conflict());
    assert_eq!(code(ask!(lab, IamDeletePolicyVersion, gone("v9"))), ("NoSuchEntity".to_string(), 404));
    ask!(lab, IamDeletePolicyVersion, gone("v5")).expect("deleted");
    assert_eq!(version(&mut lab, &arn, false).expect("made").version_id.as_deref(), Some("v6"));
    assert_eq!(delete(&mut lab, &arn), conflict());
    let set = wire::SetDefaultPolicyVersionRequest { policy_arn: some(&arn), version_id: some("v1") };
    ask!(lab, IamSetDefaultPolicyVersion, set).expect("set");
    let get = wire::GetPolicyVersionRequest { policy_arn: some(&arn), version_id: some("v1") };
    let shown = ask!(lab, IamGetPolicyVersion, get).expect("there").policy_version.expect("shown");
    assert!(shown.document.is_some_and(|text| text.starts_with("%7B%22Version%22")));
    let list =
        |marker: Option<String>| wire::ListPolicyVersionsRequest { policy_arn: some(&arn), max_items: Some(3), marker };
    let first = ask!(lab, IamListPolicyVersions, list(None)).expect("a page");
    let rest = ask!(lab, IamListPolicyVersions, list(first.marker)).expect("the rest");
    let ids: Vec<String> = first.versions.into_iter().chain(rest.versions).filter_map(|one| one.version_id).collect();
    assert_eq!(ids, ["v6", "v4", "v3", "v2", "v1"]);
    for id in ["v2", "v3", "v4", "v6"] {
        ask!(lab, IamDeletePolicyVersion, gone(id)).expect("deleted");
    }
    assert_eq!(delete(&mut lab, &arn), (String::new(), 200));
    assert_eq!(delete(&mut lab, &arn), ("NoSuchEntity".to_string(), 404));
}

/// What a document may be, and how large.
#[test]
fn documents_are_checked() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    let long = |characters: usize| policy("Allow", "s3:GetObject", &format!("arn:aws:s3:::{}", "b".repeat(characters)));
    let blanks = format!("{}{}", policy("Allow", "*", "*"), " ".repeat(5_000));
    let create = |document: &str| wire::CreatePolicyRequest {
        policy_name: some("one"),
        policy_document: some(document),
        ..Default::default()
    };
    for (document, want) in [
        ("{", "MalformedPolicyDocument"),
        (r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}"#, "MalformedPolicyDocument"),
        (&long(6_200), "LimitExceeded"),
        (&blanks, ""),
    ] {
        assert_eq!(code(ask!(lab, IamCreatePolicy, create(document))).0, want, "{document}");
    }
    inline(&mut lab, "ann", "a", &long(1_000)).expect("half of the room");
    assert_eq!(code(inline(&mut lab, "ann", "b", &long(1_000))), ("LimitExceeded".to_string(), 409));
    inline(&mut lab, "ann", "a", &long(1_500)).expect("the old one does not count");
}

/// Ten policies at most; attaching and detaching; whom a policy hangs on.
#[test]
fn attachments_of_a_user() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    let arns: Vec<String> =
        (0..10).map(|number| managed(&mut lab, &format!("p{number}"), &policy("Allow", "*", "*"))).collect();
    for arn in &arns {
        assert_eq!(attach(&mut lab, "ann", arn), (String::new(), 200));
    }
    assert_eq!(attach(&mut lab, "ann", ADMIN), ("LimitExceeded".to_string(), 409));
    assert_eq!(attach(&mut lab, "ann", &arns[0]), (String::new(), 200));
    assert_eq!(delete(&mut lab, &arns[0]), conflict());
    assert_eq!(detach(&mut lab, "ann", &arns[0]), (String::new(), 200));
    assert_eq!(detach(&mut lab, "ann", &arns[0]), ("NoSuchEntity".to_string(), 404));
    assert_eq!(attach(&mut lab, "ann", ADMIN), (String::new(), 200));
    let entities = wire::ListEntitiesForPolicyRequest { policy_arn: some(ADMIN), ..Default::default() };
    assert_eq!(ask!(lab, IamListEntitiesForPolicy, entities).expect("listed").policy_users.len(), 1);
    let get = wire::GetPolicyRequest { policy_arn: some(ADMIN) };
    assert_eq!(ask!(lab, IamGetPolicy, get).expect("there").policy.expect("shown").attachment_count, Some(1));
    for (arn, want) in [
        ("arn:aws:iam::aws:policy/NoSuchPolicyAtAll", "NoSuchEntity"),
        ("arn:aws:iam::aws:policy/aws-service-role/AutoScalingServiceRolePolicy", "PolicyNotAttachable"),
        ("this is not an ARN at all", "InvalidInput"),
    ] {
        assert_eq!(attach(&mut lab, "ann", arn).0, want, "{arn}");
    }
    let list = |prefix: &str| wire::ListAttachedUserPoliciesRequest {
        user_name: some("ann"),
        path_prefix: some(prefix),
        ..Default::default()
    };
    assert_eq!(ask!(lab, IamListAttachedUserPolicies, list("/")).expect("listed").attached_policies.len(), 10);
    assert!(ask!(lab, IamListAttachedUserPolicies, list("/x/")).expect("listed").attached_policies.is_empty());
}

/// AWS's policies and the account's, by scope, path and use; AWS's cannot be changed.
#[test]
fn lists_of_policies() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    managed(&mut lab, "own", &policy("Allow", "*", "*"));
    assert_eq!(attach(&mut lab, "ann", ADMIN), (String::new(), 200));
    let mut list = |input: wire::ListPoliciesRequest| -> Vec<String> {
        let listed = ask!(lab, IamListPolicies, wire::ListPoliciesRequest { max_items: Some(1000), ..input });
        listed.expect("listed").policies.into_iter().filter_map(|one| one.policy_name).collect()
    };
    assert_eq!(list(wire::ListPoliciesRequest { scope: some("Local"), ..Default::default() }), ["own"]);
    let aws = list(wire::ListPoliciesRequest { scope: some("AWS"), ..Default::default() });
    assert!(aws.contains(&"AmazonSSMManagedInstanceCore".to_string()) && !aws.contains(&"own".to_string()));
    let used = wire::ListPoliciesRequest { only_attached: Some(true), ..Default::default() };
    assert_eq!(list(used), ["AdministratorAccess"]);
    let path = wire::ListPoliciesRequest { path_prefix: some("/job-function/"), ..Default::default() };
    assert_eq!(list(path), ["ViewOnlyAccess"]);
    assert_eq!(delete(&mut lab, ADMIN), ("AccessDenied".to_string(), 403));
    assert_eq!(code(version(&mut lab, ADMIN, true)), ("AccessDenied".to_string(), 403));
}

/// A boundary is set, counts as a use, and goes; a policy that bounds stays.
#[test]
fn boundaries() {
    let mut lab = lab();
    role(&mut lab, "web", TRUSTS_ACCOUNT).expect("made");
    let arn = managed(&mut lab, "limit", &policy("Allow", "ec2:*", "*"));
    let put =
        |arn: &str| wire::PutRolePermissionsBoundaryRequest { permissions_boundary: some(arn), role_name: some("web") };
    let missing = "arn:aws:iam::000000000000:policy/none";
    assert_eq!(code(ask!(lab, IamPutRolePermissionsBoundary, put(missing))), ("NoSuchEntity".to_string(), 404));
    ask!(lab, IamPutRolePermissionsBoundary, put(&arn)).expect("set");
    let get = wire::GetRoleRequest { role_name: some("web") };
    let shown = ask!(lab, IamGetRole, get).expect("there").role.expect("it").permissions_boundary.expect("bounded");
    assert_eq!(shown.permissions_boundary_arn.as_deref(), Some(arn.as_str()));
    assert_eq!(delete(&mut lab, &arn), conflict());
    assert!(identity::policies_of(&lab.view(), Identity::Role("web")).boundary().is_some());
    let gone = wire::DeleteRolePermissionsBoundaryRequest { role_name: some("web") };
    ask!(lab, IamDeleteRolePermissionsBoundary, gone.clone()).expect("gone");
    assert_eq!(code(ask!(lab, IamDeleteRolePermissionsBoundary, gone)), ("NoSuchEntity".to_string(), 404));
    assert_eq!(delete(&mut lab, &arn), (String::new(), 200));
}

/// What is in force for a user is its own and its groups'; a new default
/// version is in force at once.
#[test]
fn policies_in_force() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    let group = wire::CreateGroupRequest { group_name: some("ops"), path: None };
    ask!(lab, IamCreateGroup, group).expect("made");
    let join = wire::AddUserToGroupRequest { group_name: some("ops"), user_name: some("ann") };
    ask!(lab, IamAddUserToGroup, join).expect("joined");
    let arn = managed(&mut lab, "web", &policy("Allow", "s3:*", "*"));
    let to_group = wire::AttachGroupPolicyRequest { group_name: some("ops"), policy_arn: some(&arn) };
    ask!(lab, IamAttachGroupPolicy, to_group).expect("attached");
    inline(&mut lab, "ann", "own", &policy("Allow", "ssm:*", "*")).expect("set");
    assert_eq!(identity::policies_of(&lab.view(), Identity::User("ann")).identity().len(), 2);
    lab.caller = as_user(&lab, "ann");
    let list = wire::ListUsersRequest::default();
    assert_eq!(code(ask!(lab, IamListUsers, list.clone())), ("AccessDenied".to_string(), 403));
    lab.caller = crate::Caller::root(&lab.scope.account, "AKIAIOSFODNN7EXAMPLE");
    let input = wire::CreatePolicyVersionRequest {
        policy_arn: some(&arn),
        policy_document: Some(policy("Allow", "iam:ListUsers", "*")),
        set_as_default: Some(true),
    };
    ask!(lab, IamCreatePolicyVersion, input).expect("made");
    lab.caller = as_user(&lab, "ann");
    ask!(lab, IamListUsers, list).expect("allowed now");
}

/// Trust policies name users and roles that are there.
#[test]
fn principals_must_be_there() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    let trust = |principal: &str| TRUSTS_ACCOUNT.replace("arn:aws:iam::000000000000:root", principal);
    for (principal, want) in [
        ("arn:aws:iam::000000000000:user/ann", ""),
        ("arn:aws:iam::000000000000:user/bob", "MalformedPolicyDocument"),
        ("arn:aws:iam::000000000000:role/none", "MalformedPolicyDocument"),
        ("arn:aws:iam::111122223333:role/other", ""),
        ("000000000000", ""),
    ] {
        let name = format!("r{}", principal.len());
        assert_eq!(code(role(&mut lab, &name, &trust(principal))).0, want, "{principal}");
    }
}

/// A service's own role is made by name, protected, kept while it is used, and deleted.
#[test]
fn service_linked_roles() {
    let mut lab = lab();
    let create =
        |service: &str| wire::CreateServiceLinkedRoleRequest { aws_service_name: some(service), ..Default::default() };
    assert_eq!(code(ask!(lab, IamCreateServiceLinkedRole, create("lambda.amazonaws.com"))).0, "InvalidInput");
    let made = ask!(lab, IamCreateServiceLinkedRole, create("spot.amazonaws.com")).expect("made").role.expect("shown");
    let arn = "arn:aws:iam::000000000000:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot";
    assert_eq!(made.arn.as_deref(), Some(arn));
    assert_eq!(code(ask!(lab, IamCreateServiceLinkedRole, create("spot.amazonaws.com"))).0, "InvalidInput");
    let name = || some("AWSServiceRoleForEC2Spot");
    let gone = wire::DeleteRoleRequest { role_name: name() };
    assert_eq!(code(ask!(lab, IamDeleteRole, gone)), ("UnmodifiableEntity".to_string(), 400));
    let attach = wire::AttachRolePolicyRequest { role_name: name(), policy_arn: some(ADMIN) };
    assert_eq!(code(ask!(lab, IamAttachRolePolicy, attach)).0, "UnmodifiableEntity");
    let gone = wire::DeleteServiceLinkedRoleRequest { role_name: name() };
    let task = ask!(lab, IamDeleteServiceLinkedRole, gone.clone()).expect("begun").deletion_task_id;
    let status = wire::GetServiceLinkedRoleDeletionStatusRequest { deletion_task_id: task };
    let status = ask!(lab, IamGetServiceLinkedRoleDeletionStatus, status).expect("known").status;
    assert_eq!((status.as_deref(), lab.rows::<Role>().len()), (Some("SUCCEEDED"), 0));
    assert_eq!(code(ask!(lab, IamDeleteServiceLinkedRole, gone)).0, "NoSuchEntity");
    let other = wire::GetServiceLinkedRoleDeletionStatusRequest { deletion_task_id: some("task/x") };
    assert_eq!(code(ask!(lab, IamGetServiceLinkedRoleDeletionStatus, other)).0, "NoSuchEntity");
}

/// One alias at a time; the summary counts; the details come in pages.
#[test]
fn the_account() {
    let mut lab = lab();
    let alias = |name: &str| wire::CreateAccountAliasRequest { account_alias: some(name) };
    for (name, want) in [("shop", ""), ("shop", "EntityAlreadyExists"), ("Shop", "ValidationError"), ("store", "")] {
        assert_eq!(code(ask!(lab, IamCreateAccountAlias, alias(name))).0, want, "{name}");
    }
    let listed = ask!(lab, IamListAccountAliases, wire::ListAccountAliasesRequest::default()).expect("listed");
    assert_eq!(listed.account_aliases, ["store"]);
    let gone = wire::DeleteAccountAliasRequest { account_alias: some("shop") };
    assert_eq!(code(ask!(lab, IamDeleteAccountAlias, gone)).0, "NoSuchEntity");
    user(&mut lab, "ann").expect("made");
    role(&mut lab, "web", TRUSTS_ACCOUNT).expect("made");
    managed(&mut lab, "own", &policy("Allow", "*", "*"));
    assert_eq!(attach(&mut lab, "ann", ADMIN), (String::new(), 200));
    let summary = ask!(lab, IamGetAccountSummary, wire::GetAccountSummaryRequest {}).expect("told").summary_map;
    assert_eq!((summary["Users"], summary["Roles"], summary["Policies"], summary["UsersQuota"]), (1, 1, 1, 5000));
    let details = |marker: Option<String>| wire::GetAccountAuthorizationDetailsRequest {
        marker,
        max_items: Some(2),
        ..Default::default()
    };
    let first = ask!(lab, IamGetAccountAuthorizationDetails, details(None)).expect("a page");
    assert_eq!((first.user_detail_list.len(), first.role_detail_list.len(), first.is_truncated), (1, 1, Some(true)));
    assert_eq!(first.user_detail_list[0].attached_managed_policies.len(), 1);
    let rest = ask!(lab, IamGetAccountAuthorizationDetails, details(first.marker)).expect("the rest");
    let names: Vec<&str> = rest.policies.iter().filter_map(|one| one.policy_name.as_deref()).collect();
    assert_eq!(names, ["own", "AdministratorAccess"]);
}
