//! Users, groups and access keys.

use super::rig::*;
use crate::testing::{Lab, ask};
use elastane_engine::row::{AccessKey, Holder, TemporaryKey, User};
use elastane_wire::{ApiError, iam as wire, sts};

fn group(lab: &mut Lab, name: &str) -> Result<wire::CreateGroupResponse, ApiError> {
    ask!(lab, IamCreateGroup, wire::CreateGroupRequest { group_name: some(name), path: None })
}

fn join(lab: &mut Lab, user: &str, group: &str) -> Result<wire::AddUserToGroupOutput, ApiError> {
    ask!(lab, IamAddUserToGroup, wire::AddUserToGroupRequest { group_name: some(group), user_name: some(user) })
}

fn key(lab: &mut Lab, user: Option<&str>) -> Result<wire::AccessKey, ApiError> {
    let input = wire::CreateAccessKeyRequest { user_name: user.map(str::to_string) };
    ask!(lab, IamCreateAccessKey, input).map(|made| made.access_key.expect("shown"))
}

fn delete(lab: &mut Lab, user: &str) -> (String, u16) {
    code(ask!(lab, IamDeleteUser, wire::DeleteUserRequest { user_name: some(user) }))
}

/// A user is made, found, tagged, listed and deleted; the codes on the way.
#[test]
fn the_life_of_a_user() {
    let mut lab = lab();
    let input = wire::CreateUserRequest {
        user_name: some("ann"),
        path: some("/team/"),
        tags: vec![wire::Tag { key: some("a"), value: some("1") }],
        ..Default::default()
    };
    let made = ask!(lab, IamCreateUser, input).expect("made").user.expect("shown");
    assert_eq!(made.arn.as_deref(), Some("arn:aws:iam::000000000000:user/team/ann"));
    assert!(made.user_id.is_some_and(|id| id.starts_with("AIDA") && id.len() == 21));
    assert_eq!(code(user(&mut lab, "ANN")), ("EntityAlreadyExists".to_string(), 409));
    let get = |name: &str| wire::GetUserRequest { user_name: some(name) };
    let found = ask!(lab, IamGetUser, get("ann")).expect("there").user.expect("shown");
    assert_eq!(found.tags.len(), 1);
    assert_eq!(code(ask!(lab, IamGetUser, get("bob"))), ("NoSuchEntity".to_string(), 404));
    user(&mut lab, "bob").expect("made");
    let list = |prefix: Option<&str>, max: i32, marker: Option<String>| wire::ListUsersRequest {
        path_prefix: prefix.map(str::to_string),
        max_items: Some(max),
        marker,
    };
    let team = ask!(lab, IamListUsers, list(Some("/team/"), 10, None)).expect("listed");
    assert_eq!((team.users.len(), team.users[0].tags.len()), (1, 0));
    let first = ask!(lab, IamListUsers, list(None, 1, None)).expect("a page");
    assert_eq!((first.users.len(), first.is_truncated), (1, Some(true)));
    let rest = ask!(lab, IamListUsers, list(None, 1, first.marker)).expect("the rest");
    assert_eq!((rest.users[0].user_name.as_deref(), rest.is_truncated), (Some("bob"), Some(false)));
    assert_eq!(delete(&mut lab, "ann"), (String::new(), 200));
    assert_eq!(delete(&mut lab, "ann"), ("NoSuchEntity".to_string(), 404));
}

/// Without a name a call is about its caller: a user itself; of the root
/// there is no more than its ARN, and it has no keys here.
#[test]
fn the_caller_itself() {
    let mut lab = lab();
    let root = ask!(lab, IamGetUser, wire::GetUserRequest { user_name: None }).expect("the root").user.expect("it");
    assert_eq!(root.arn.as_deref(), Some("arn:aws:iam::000000000000:root"));
    assert_eq!(code(key(&mut lab, None)).0, "ValidationError");
    user(&mut lab, "ann").expect("made");
    inline(&mut lab, "ann", "all", &policy("Allow", "iam:*", "*")).expect("set");
    lab.caller = as_user(&lab, "ann");
    let own = ask!(lab, IamGetUser, wire::GetUserRequest { user_name: None }).expect("itself").user.expect("it");
    assert_eq!(own.user_name.as_deref(), Some("ann"));
    assert_eq!(key(&mut lab, None).expect("made").user_name.as_deref(), Some("ann"));
}

/// Two keys at most; the secret is shown once; a key goes off, on and away.
#[test]
fn access_keys() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    let made = key(&mut lab, Some("ann")).expect("a key");
    let id = made.access_key_id.expect("an id");
    assert!(id.starts_with("AKIA") && id.len() == 20, "{id}");
    assert_eq!(made.secret_access_key.as_deref().map(str::len), Some(40));
    let second = key(&mut lab, Some("ann")).expect("a second one");
    assert_ne!(second.secret_access_key, made.secret_access_key);
    assert_eq!(code(key(&mut lab, Some("ann"))), ("LimitExceeded".to_string(), 409));
    assert_eq!(code(key(&mut lab, Some("bob"))), ("NoSuchEntity".to_string(), 404));
    let update = |user: &str, status: &str| wire::UpdateAccessKeyRequest {
        access_key_id: Some(id.clone()),
        status: some(status),
        user_name: some(user),
    };
    ask!(lab, IamUpdateAccessKey, update("ann", "Inactive")).expect("off");
    let list = wire::ListAccessKeysRequest { user_name: some("ann"), ..Default::default() };
    let listed = ask!(lab, IamListAccessKeys, list).expect("listed").access_key_metadata;
    let off = listed.iter().find(|one| one.access_key_id.as_ref() == Some(&id));
    assert_eq!((listed.len(), off.and_then(|one| one.status.as_deref())), (2, Some("Inactive")));
    user(&mut lab, "bob").expect("made");
    assert_eq!(code(ask!(lab, IamUpdateAccessKey, update("bob", "Active"))).0, "NoSuchEntity");
    let last = wire::GetAccessKeyLastUsedRequest { access_key_id: Some(id.clone()) };
    let used = ask!(lab, IamGetAccessKeyLastUsed, last).expect("there").access_key_last_used.expect("told");
    assert_eq!((used.last_used_date, used.region.as_deref()), (None, Some("N/A")));
    assert_eq!(delete(&mut lab, "ann"), ("DeleteConflict".to_string(), 409));
    let gone = wire::DeleteAccessKeyRequest { access_key_id: Some(id.clone()), user_name: some("ann") };
    ask!(lab, IamDeleteAccessKey, gone.clone()).expect("deleted");
    assert_eq!(code(ask!(lab, IamDeleteAccessKey, gone)).0, "NoSuchEntity");
}

/// A user of another name keeps its keys, groups and sessions; a group of
/// another name keeps its users.
#[test]
fn other_names() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    group(&mut lab, "admins").expect("made");
    join(&mut lab, "ann", "admins").expect("joined");
    key(&mut lab, Some("ann")).expect("a key");
    lab.caller = as_user(&lab, "ann");
    ask!(lab, StsGetSessionToken, sts::GetSessionTokenRequest::default()).expect("a session");
    lab.caller = crate::Caller::root(&lab.scope.account, "AKIAIOSFODNN7EXAMPLE");
    user(&mut lab, "bob").expect("made");
    let rename =
        |to: &str| wire::UpdateUserRequest { user_name: some("ann"), new_user_name: some(to), new_path: some("/new/") };
    assert_eq!(code(ask!(lab, IamUpdateUser, rename("BOB"))).0, "EntityAlreadyExists");
    ask!(lab, IamUpdateUser, rename("anna")).expect("renamed");
    let update = wire::UpdateGroupRequest { group_name: some("admins"), new_group_name: some("ops"), new_path: None };
    ask!(lab, IamUpdateGroup, update).expect("renamed");
    let rows = lab.rows::<User>();
    let anna = rows.iter().find(|row| row.name == "anna").expect("there");
    assert_eq!((rows.len(), anna.path.as_str()), (2, "/new/"));
    assert!(anna.groups.contains("ops") && anna.groups.len() == 1, "{:?}", anna.groups);
    assert_eq!(lab.rows::<AccessKey>()[0].user, "anna");
    let holder = Holder::User { id: anna.id.clone(), name: "anna".to_string() };
    assert_eq!(lab.rows::<TemporaryKey>()[0].holder, holder);
    let of_user = wire::ListGroupsForUserRequest { user_name: some("anna"), ..Default::default() };
    assert_eq!(ask!(lab, IamListGroupsForUser, of_user).expect("listed").groups.len(), 1);
    let get = wire::GetGroupRequest { group_name: some("ops"), ..Default::default() };
    assert_eq!(ask!(lab, IamGetGroup, get).expect("there").users.len(), 1);
}

/// What hangs on a user or a group keeps it from being deleted; its sessions go with it.
#[test]
fn what_keeps_them() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    group(&mut lab, "admins").expect("made");
    join(&mut lab, "ann", "admins").expect("joined");
    let conflict = ("DeleteConflict".to_string(), 409);
    assert_eq!(delete(&mut lab, "ann"), conflict);
    let delete_group = wire::DeleteGroupRequest { group_name: some("admins") };
    assert_eq!(code(ask!(lab, IamDeleteGroup, delete_group.clone())), conflict);
    let leave = wire::RemoveUserFromGroupRequest { group_name: some("admins"), user_name: some("ann") };
    ask!(lab, IamRemoveUserFromGroup, leave).expect("left");
    ask!(lab, IamDeleteGroup, delete_group).expect("deleted");
    inline(&mut lab, "ann", "one", &policy("Allow", "*", "*")).expect("set");
    assert_eq!(delete(&mut lab, "ann"), conflict);
    let gone = wire::DeleteUserPolicyRequest { user_name: some("ann"), policy_name: some("one") };
    ask!(lab, IamDeleteUserPolicy, gone).expect("deleted");
    lab.caller = as_user(&lab, "ann");
    ask!(lab, StsGetSessionToken, sts::GetSessionTokenRequest::default()).expect("a session");
    lab.caller = crate::Caller::root(&lab.scope.account, "AKIAIOSFODNN7EXAMPLE");
    assert_eq!((lab.rows::<TemporaryKey>().len(), delete(&mut lab, "ann")), (1, (String::new(), 200)));
    assert!(lab.rows::<TemporaryKey>().is_empty());
}

/// A user is in ten groups at most.
#[test]
fn groups_of_a_user() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    for number in 0..11 {
        let name = format!("g{number}");
        group(&mut lab, &name).expect("made");
        let want = if number < 10 { "" } else { "LimitExceeded" };
        assert_eq!(code(join(&mut lab, "ann", &name)).0, want, "{name}");
    }
    join(&mut lab, "ann", "g0").expect("it is in it");
}

/// Credentials that nobody has are told to be none; a user must be there.
#[test]
fn credentials_that_are_none() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    let login = |name: &str| wire::GetLoginProfileRequest { user_name: some(name) };
    let err = ask!(lab, IamGetLoginProfile, login("ann")).expect_err("none");
    assert_eq!(
        (err.code.as_ref(), err.message.as_str()),
        ("NoSuchEntity", "Login Profile for User ann cannot be found.")
    );
    let devices = |name: &str| wire::ListMFADevicesRequest { user_name: some(name), ..Default::default() };
    assert!(ask!(lab, IamListMFADevices, devices("ann")).expect("none").mfa_devices.is_empty());
    assert_eq!(code(ask!(lab, IamListMFADevices, devices("bob"))).0, "NoSuchEntity");
}
