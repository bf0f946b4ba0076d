//! What tests of IAM and STS share: the account's own scope, an engine with
//! secrets, and short ways to make things.

use crate::testing::{Lab, ask};
use crate::{Caller, Principal, scope_of};
use elastane_engine::identity;
use elastane_engine::row::{Holder, TemporaryKey, User};
use elastane_engine::{Config, Entropy};
use elastane_wire::{ApiError, Operation, iam as wire};

/// A trust policy for the account.
pub const TRUSTS_ACCOUNT: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}]}"#;

/// A lab whose scope is that of the account as a whole.
pub fn lab() -> Lab {
    let mut lab = Lab::with(Config { entropy: Some(Entropy::new([7; 32])), ..Config::default() });
    lab.scope = scope_of(Operation::IamGetRole, lab.scope.account.clone(), lab.scope.region.clone());
    lab.change(|_| ());
    lab
}

/// A text as requests hold it.
pub fn some(text: &str) -> Option<String> {
    Some(text.to_string())
}

/// The code and the status of an outcome.
pub fn code<T>(result: Result<T, ApiError>) -> (String, u16) {
    result.err().map_or((String::new(), 200), |err| (err.code.to_string(), err.status))
}

/// A policy of one statement.
pub fn policy(effect: &str, action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}]}}"#
    )
}

/// Makes a user.
pub fn user(lab: &mut Lab, name: &str) -> Result<wire::CreateUserResponse, ApiError> {
    ask!(lab, IamCreateUser, wire::CreateUserRequest { user_name: some(name), ..Default::default() })
}

/// Makes a role with a trust policy.
pub fn role(lab: &mut Lab, name: &str, trust: &str) -> Result<wire::CreateRoleResponse, ApiError> {
    let input = wire::CreateRoleRequest {
        role_name: some(name),
        assume_role_policy_document: some(trust),
        ..Default::default()
    };
    ask!(lab, IamCreateRole, input)
}

/// Makes a managed policy; its ARN.
pub fn managed(lab: &mut Lab, name: &str, document: &str) -> String {
    let input =
        wire::CreatePolicyRequest { policy_name: some(name), policy_document: some(document), ..Default::default() };
    let made = ask!(lab, IamCreatePolicy, input).expect("a good policy").policy.expect("shown");
    made.arn.expect("an ARN")
}

/// Sets an inline policy of a user.
pub fn inline(lab: &mut Lab, user: &str, name: &str, document: &str) -> Result<(), ApiError> {
    let input =
        wire::PutUserPolicyRequest { user_name: some(user), policy_name: some(name), policy_document: some(document) };
    ask!(lab, IamPutUserPolicy, input).map(drop)
}

/// The user of a name as a caller.
pub fn as_user(lab: &Lab, name: &str) -> Caller {
    let view = lab.view();
    let row = view.get::<User>(name).expect("the user is there");
    Caller {
        arn: identity::user_arn(&view.scope.account, row),
        user_id: row.id.clone(),
        principal: Principal::User(row.name.clone()),
        ..lab.caller.clone()
    }
}

/// The holder of a temporary key as a caller.
pub fn as_session(lab: &Lab, access_key: &str) -> Caller {
    let view = lab.view();
    let key = view.get::<TemporaryKey>(access_key).expect("the key is there");
    let Holder::Role { id, name, session, policies, tags, .. } = &key.holder else { panic!("no role's session") };
    Caller {
        access_key: access_key.to_string(),
        arn: format!("arn:aws:sts::{}:assumed-role/{name}/{session}", view.scope.account),
        user_id: format!("{id}:{session}"),
        principal: Principal::Role(crate::RoleSession {
            role: name.clone(),
            name: session.clone(),
            policies: policies.clone(),
            tags: tags.clone(),
            instance: None,
        }),
        issued_at: Some(key.created_at),
        ..lab.caller.clone()
    }
}
