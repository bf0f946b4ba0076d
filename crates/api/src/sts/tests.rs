//! Sessions: who gets which, and what they can do.

use crate::Caller;
use crate::iam::rig::*;
use crate::testing::{Lab, ask};
use elastane_engine::row::{Holder, TemporaryKey};
use elastane_wire::{ApiError, iam, sts as wire};

const ARN: &str = "arn:aws:iam::000000000000:role/web";

fn request() -> wire::AssumeRoleRequest {
    wire::AssumeRoleRequest { role_arn: some(ARN), role_session_name: some("s1"), ..Default::default() }
}

fn assume(lab: &mut Lab, input: wire::AssumeRoleRequest) -> Result<wire::AssumeRoleResponse, ApiError> {
    ask!(lab, StsAssumeRole, input)
}

/// A trust policy of one statement with a condition.
fn trust(principal: &str, actions: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":{actions},
            "Condition":{condition}}}]}}"#
    )
}

/// Sets the trust policy of the role.
fn trusting(lab: &mut Lab, document: &str) {
    let caller = std::mem::replace(&mut lab.caller, Caller::root(&lab.scope.account, "root"));
    let input = iam::UpdateAssumeRolePolicyRequest { role_name: some("web"), policy_document: some(document) };
    ask!(lab, IamUpdateAssumeRolePolicy, input).expect("a good trust policy");
    lab.caller = caller;
}

/// A lab with a role that trusts its account, and a user who calls.
fn with_user() -> Lab {
    let mut lab = lab();
    role(&mut lab, "web", TRUSTS_ACCOUNT).expect("made");
    user(&mut lab, "ann").expect("made");
    lab.caller = as_user(&lab, "ann");
    lab
}

/// The identity is the caller's own.
#[test]
fn identity_of_the_caller() {
    let mut lab = Lab::new();
    let got = ask!(lab, StsGetCallerIdentity, wire::GetCallerIdentityRequest {}).expect("never fails");
    assert_eq!(got.account.as_deref(), Some("000000000000"));
    assert_eq!(got.arn.as_deref(), Some("arn:aws:iam::000000000000:root"));
    assert_eq!(got.user_id.as_deref(), Some("000000000000"));
}

/// The root gets a session as its account would; what is shown and stored.
#[test]
fn a_session_of_a_role() {
    let mut lab = lab();
    role(&mut lab, "web", TRUSTS_ACCOUNT).expect("made");
    let made = assume(&mut lab, request()).expect("assumed");
    let who = made.assumed_role_user.expect("told");
    assert_eq!(who.arn.as_deref(), Some("arn:aws:sts::000000000000:assumed-role/web/s1"));
    assert!(who.assumed_role_id.is_some_and(|id| id.starts_with("AROA") && id.ends_with(":s1")));
    let credentials = made.credentials.expect("made");
    let id = credentials.access_key_id.expect("an id");
    assert!(id.starts_with("ASIA") && id.len() == 20, "{id}");
    assert_eq!(credentials.expiration.map(|at| at.0), Some(lab.now.millis() + 3_600_000));
    let keys = lab.rows::<TemporaryKey>();
    assert_eq!((keys.len(), keys[0].token.expose().len(), made.packed_policy_size), (1, 128, None));
    let info = wire::GetAccessKeyInfoRequest { access_key_id: Some(id) };
    let info = ask!(lab, StsGetAccessKeyInfo, info).expect("known").account;
    assert_eq!(info.as_deref(), Some("000000000000"));
    let other = wire::GetAccessKeyInfoRequest { access_key_id: some("AKIAI44QH8DHBEXAMPLE") };
    assert_eq!(code(ask!(lab, StsGetAccessKeyInfo, other)).0, "ValidationError");
}

/// Trust policy and own policies decide together.
#[test]
fn who_may_assume() {
    let mut lab = with_user();
    let denied = || ("AccessDenied".to_string(), 403);
    assert_eq!(code(assume(&mut lab, request())), denied(), "the account is trusted, the user may not");
    let err = assume(&mut lab, request()).expect_err("not allowed");
    let text = format!(
        "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: sts:AssumeRole on resource: {ARN}"
    );
    assert!(err.message.starts_with(&text), "{}", err.message);
    let ann = r#"{"AWS":"arn:aws:iam::000000000000:user/ann"}"#;
    trusting(&mut lab, &trust(ann, r#""sts:AssumeRole""#, "{}"));
    assert_eq!(code(assume(&mut lab, request())).1, 200, "the user is trusted itself");
    trusting(&mut lab, &trust(r#"{"Service":"ec2.amazonaws.com"}"#, r#""sts:AssumeRole""#, "{}"));
    assert_eq!(code(assume(&mut lab, request())), denied(), "nobody but EC2 is trusted");
    trusting(&mut lab, TRUSTS_ACCOUNT);
    let root = Caller::root(&lab.scope.account, "root");
    let ann = std::mem::replace(&mut lab.caller, root);
    inline(&mut lab, "ann", "assume", &policy("Allow", "sts:AssumeRole", ARN)).expect("set");
    lab.caller = ann;
    assert_eq!(code(assume(&mut lab, request())).1, 200, "account and user together");
    let elsewhere = wire::AssumeRoleRequest { role_arn: some("arn:aws:iam::000000000000:role/none"), ..request() };
    assert_eq!(code(assume(&mut lab, elsewhere)), denied());
    let foreign = wire::AssumeRoleRequest { role_arn: some("arn:aws:iam::111122223333:role/web"), ..request() };
    assert_eq!(code(assume(&mut lab, foreign)), denied());
}

/// Conditions of trust policies: each row with what satisfies it and what does not.
#[test]
fn conditions_of_trust() {
    let mut lab = with_user();
    let ann = r#"{"AWS":"arn:aws:iam::000000000000:user/ann"}"#;
    let external = |id: &str| wire::AssumeRoleRequest { external_id: some(id), ..request() };
    let named = |name: &str| wire::AssumeRoleRequest { role_session_name: some(name), ..request() };
    let tagged = |value: &str| wire::AssumeRoleRequest {
        tags: vec![wire::Tag { key: some("team"), value: some(value) }],
        ..request()
    };
    let assume_only = r#""sts:AssumeRole""#;
    let with_tags = r#"["sts:AssumeRole","sts:TagSession"]"#;
    for (actions, condition, good, bad) in [
        (assume_only, r#"{"StringEquals":{"sts:ExternalId":"x-1"}}"#, external("x-1"), external("x-2")),
        (assume_only, r#"{"StringEquals":{"sts:ExternalId":"x-1"}}"#, external("x-1"), request()),
        (assume_only, r#"{"StringLike":{"sts:RoleSessionName":"${aws:username}-*"}}"#, named("ann-1"), named("bob-1")),
        (
            assume_only,
            r#"{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/ann"}}"#,
            request(),
            tagged("a"),
        ),
        (with_tags, r#"{"StringEquals":{"aws:RequestTag/team":"web"}}"#, tagged("web"), tagged("db")),
    ] {
        trusting(&mut lab, &trust(ann, actions, condition));
        assert_eq!(code(assume(&mut lab, good)).1, 200, "{condition}");
        assert_eq!(code(assume(&mut lab, bad)).1, 403, "{condition}");
    }
}

/// How long sessions last: the role's limit, and an hour when roles are chained.
#[test]
fn durations() {
    let mut lab = lab();
    role(&mut lab, "web", TRUSTS_ACCOUNT).expect("made");
    let update =
        iam::UpdateRoleRequest { role_name: some("web"), max_session_duration: Some(7_200), description: None };
    ask!(lab, IamUpdateRole, update).expect("longer");
    let lasting = |seconds: i32| wire::AssumeRoleRequest { duration_seconds: Some(seconds), ..request() };
    assert_eq!(code(assume(&mut lab, lasting(7_201))).0, "ValidationError");
    let made = assume(&mut lab, lasting(7_200)).expect("as long as may be").credentials.expect("made");
    let every = iam::PutRolePolicyRequest {
        role_name: some("web"),
        policy_name: some("all"),
        policy_document: Some(policy("Allow", "*", "*")),
    };
    ask!(lab, IamPutRolePolicy, every).expect("set");
    lab.caller = as_session(&lab, made.access_key_id.as_deref().expect("an id"));
    assert_eq!(code(assume(&mut lab, lasting(3_601))).0, "ValidationError");
    assume(&mut lab, lasting(3_600)).expect("an hour");
    let chained = |key: &TemporaryKey| matches!(key.holder, Holder::Role { chained, .. } if chained);
    assert_eq!(lab.rows::<TemporaryKey>().iter().filter(|key| chained(key)).count(), 1);
    assert_eq!(code(ask!(lab, StsGetSessionToken, wire::GetSessionTokenRequest::default())).0, "AccessDenied");
}

/// Session policies limit; transitive tags and the source identity are handed on.
#[test]
fn what_a_session_is_given() {
    let mut lab = lab();
    let own = managed(&mut lab, "limit", &policy("Allow", "iam:ListRoles", "*"));
    role(&mut lab, "web", &TRUSTS_ACCOUNT.replace("sts:AssumeRole", "sts:*")).expect("made");
    let every = iam::PutRolePolicyRequest {
        role_name: some("web"),
        policy_name: some("all"),
        policy_document: Some(policy("Allow", "*", "*")),
    };
    ask!(lab, IamPutRolePolicy, every).expect("set");
    let tag = |key: &str, value: &str| wire::Tag { key: some(key), value: some(value) };
    let full = wire::AssumeRoleRequest {
        policy: Some(policy("Allow", "sts:*", "*")),
        policy_arns: vec![wire::PolicyDescriptorType { arn: Some(own) }],
        tags: vec![tag("team", "web"), tag("cost", "7")],
        transitive_tag_keys: vec!["Team".to_string()],
        source_identity: some("ann"),
        ..request()
    };
    let made = assume(&mut lab, full.clone()).expect("assumed");
    assert!(made.packed_policy_size.is_some_and(|percent| (1..=100).contains(&percent)));
    let key = made.credentials.and_then(|made| made.access_key_id).expect("an id");
    lab.caller = as_session(&lab, &key);
    ask!(lab, IamListRoles, iam::ListRolesRequest::default()).expect("the managed session policy allows");
    let refused = ask!(lab, IamListUsers, iam::ListUsersRequest::default());
    assert_eq!(code(refused), ("AccessDenied".to_string(), 403), "no session policy allows");
    let again = wire::AssumeRoleRequest { tags: vec![tag("TEAM", "db")], ..request() };
    assert_eq!(code(assume(&mut lab, again)).0, "ValidationError", "an inherited tag stays");
    let other = wire::AssumeRoleRequest { source_identity: some("bob"), ..request() };
    assert_eq!(code(assume(&mut lab, other)).0, "AccessDenied", "the source identity stays");
    let next = assume(&mut lab, request()).expect("chained");
    assert_eq!(next.source_identity.as_deref(), Some("ann"));
    let id = next.credentials.and_then(|made| made.access_key_id).expect("an id");
    let row = lab.rows::<TemporaryKey>().into_iter().find(|key| key.id == id).expect("stored");
    let Holder::Role { tags, .. } = &row.holder else { panic!("a role's session") };
    assert_eq!(tags.keys().collect::<Vec<_>>(), ["team"]);
}

/// A trust policy follows its user to another name; another user of a name is not trusted for it.
#[test]
fn trust_is_in_the_user_not_in_its_name() {
    let mut lab = with_user();
    let ann = r#"{"AWS":["arn:aws:iam::000000000000:user/ann","111122223333"]}"#;
    trusting(&mut lab, &trust(ann, r#""sts:AssumeRole""#, "{}"));
    let root = Caller::root(&lab.scope.account, "root");
    lab.caller = root.clone();
    let rename = iam::UpdateUserRequest { user_name: some("ann"), new_user_name: some("bob"), new_path: None };
    ask!(lab, IamUpdateUser, rename).expect("renamed");
    lab.caller = as_user(&lab, "bob");
    assume(&mut lab, request()).expect("bob is trusted as ann was");
    lab.caller = root.clone();
    ask!(lab, IamDeleteUser, iam::DeleteUserRequest { user_name: some("bob") }).expect("deleted");
    user(&mut lab, "bob").expect("another bob");
    lab.caller = as_user(&lab, "bob");
    assert_eq!(code(assume(&mut lab, request())), ("AccessDenied".to_string(), 403));
    lab.caller = root;
    let get = iam::GetRoleRequest { role_name: some("web") };
    let shown = ask!(lab, IamGetRole, get).expect("there").role.and_then(|role| role.assume_role_policy_document);
    assert!(shown.is_some_and(|text| text.contains("AIDA") && text.contains("111122223333")));
}

/// What is refused before anything is decided.
#[test]
fn what_is_refused() {
    let mut lab = lab();
    role(&mut lab, "web", &TRUSTS_ACCOUNT.replace("sts:AssumeRole", "sts:*")).expect("made");
    let tag = |key: String, value: String| wire::Tag { key: Some(key), value: Some(value) };
    let many = (0..50).map(|number| tag(format!("{number}-{}", "k".repeat(100)), "v".repeat(200))).collect();
    let arn = |arn: &str| vec![wire::PolicyDescriptorType { arn: some(arn) }];
    for (input, want) in [
        (wire::AssumeRoleRequest { role_session_name: some("a b"), ..request() }, "ValidationError"),
        (wire::AssumeRoleRequest { policy: some("{"), ..request() }, "MalformedPolicyDocument"),
        (wire::AssumeRoleRequest { policy: some(&"x".repeat(2_049)), ..request() }, "ValidationError"),
        (wire::AssumeRoleRequest { policy_arns: arn("arn:aws:iam::aws:policy/None"), ..request() }, "ValidationError"),
        (wire::AssumeRoleRequest { tags: many, ..request() }, "PackedPolicyTooLarge"),
        (wire::AssumeRoleRequest { transitive_tag_keys: vec!["a".to_string()], ..request() }, "ValidationError"),
        (wire::AssumeRoleRequest { token_code: some("123456"), ..request() }, "AccessDenied"),
        (wire::AssumeRoleRequest { minimum_session_token_size: Some(100), ..request() }, "ValidationError"),
    ] {
        assert_eq!(code(assume(&mut lab, input.clone())).0, want, "{input:?}");
    }
    assert!(lab.rows::<TemporaryKey>().is_empty());
}

/// Keys that have expired go when the next one is made; those of a deleted role at once.
#[test]
fn the_end_of_sessions() {
    let mut lab = lab();
    role(&mut lab, "web", TRUSTS_ACCOUNT).expect("made");
    role(&mut lab, "api", TRUSTS_ACCOUNT).expect("made");
    let api = wire::AssumeRoleRequest { role_arn: some("arn:aws:iam::000000000000:role/api"), ..request() };
    assume(&mut lab, api).expect("assumed");
    lab.pass(3_601);
    assume(&mut lab, request()).expect("assumed");
    assert_eq!(lab.rows::<TemporaryKey>().len(), 1);
    ask!(lab, IamDeleteRole, iam::DeleteRoleRequest { role_name: some("web") }).expect("deleted");
    assert!(lab.rows::<TemporaryKey>().is_empty());
}

/// Sessions of GetSessionToken, and how long they last.
#[test]
fn session_tokens() {
    let mut lab = with_user();
    for (seconds, lasts) in [(None, 43_200), (Some(900), 900), (Some(129_600), 129_600)] {
        let input = wire::GetSessionTokenRequest { duration_seconds: seconds, ..Default::default() };
        let made = ask!(lab, StsGetSessionToken, input).expect("made").credentials.expect("shown");
        assert_eq!(made.expiration.map(|at| at.0), Some(lab.now.millis() + lasts * 1_000));
    }
    lab.caller = Caller::root(&lab.scope.account, "root");
    let input = wire::GetSessionTokenRequest { duration_seconds: Some(43_200), ..Default::default() };
    let made = ask!(lab, StsGetSessionToken, input).expect("made").credentials.expect("shown");
    assert_eq!(made.expiration.map(|at| at.0), Some(lab.now.millis() + 3_600_000));
    let device = wire::GetSessionTokenRequest { serial_number: some("arn:aws:iam::1:mfa/x"), ..Default::default() };
    assert_eq!(code(ask!(lab, StsGetSessionToken, device)).0, "AccessDenied");
}

/// A message that was not made here is refused.
#[test]
fn foreign_messages() {
    let mut lab = lab();
    let input = wire::DecodeAuthorizationMessageRequest { encoded_message: some("not ours!") };
    assert_eq!(code(ask!(lab, StsDecodeAuthorizationMessage, input)).0, "InvalidAuthorizationMessageException");
}
