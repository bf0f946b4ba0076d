//! Who calls, and from where: what authentication found out, and what
//! authorisation and the trail need of it.

use elastane_domain::id::{AccountId, InstanceId, Region};
use elastane_domain::time::Time;
use elastane_engine::row::{PolicyText, Tags};
use std::net::IpAddr;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account that the credentials belong to.
    pub account: AccountId,
    /// The access key that signed the request.
    pub access_key: String,
    /// `arn:aws:iam::<account>:root` and the like.
    pub arn: String,
    /// The unique id behind the ARN; the account for its root.
    pub user_id: String,
    /// What its permissions come from.
    pub principal: Principal,
    /// When its temporary credentials were made; `None` for long-term ones.
    pub issued_at: Option<Time>,
    /// Where the request came from.
    pub origin: Origin,
}

/// What a caller's permissions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The account's root: everything is allowed.
    Root,
    /// A user of this name.
    User(String),
    /// A session of a role.
    Role(RoleSession),
}

/// A session of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSession {
    /// The role's name.
    pub role: String,
    /// The session's name; the instance's id for one.
    pub name: String,
    /// Session policies, which limit what the role allows; none when empty.
    pub policies: Vec<PolicyText>,
    /// Session tags, for `aws:PrincipalTag`.
    pub tags: Tags,
    /// The instance that has it through its metadata.
    pub instance: Option<InstanceId>,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address; `None` within the program itself.
    pub address: Option<IpAddr>,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Its User-Agent header; empty without one.
    pub user_agent: String,
    /// The region of the endpoint that it was signed for; `None` within the program itself.
    pub region: Option<Region>,
}

impl Caller {
    /// The root of an account.
    pub fn root(account: &AccountId, access_key: &str) -> Caller {
        Caller {
            account: account.clone(),
            access_key: access_key.to_string(),
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_string(),
            principal: Principal::Root,
            issued_at: None,
            origin: Origin::default(),
        }
    }
}
