//! Rules of listeners: conditions, transforms and actions (alb.md 2). What
//! they mean is in [`crate::rules`].

use crate::id::{RuleArn, TargetGroupArn};
use crate::secret::SecretText;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its ARN.
    pub arn: RuleArn,
    /// 1 to 50,000; `None` for the default rule.
    pub priority: Option<u32>,
    /// All of them must hold; the default rule has none.
    pub conditions: Vec<Condition>,
    /// Changes of the request before it is sent; at most one of each kind.
    pub transforms: Vec<Transform>,
    /// Who the client must be before the action; `HTTPS` only.
    pub authenticate: Option<Box<OidcAction>>,
    /// What happens.
    pub action: Action,
}

/// One condition: any of its values must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// `host-header`, in any case.
    Host(Vec<Pattern>),
    /// `path-pattern`, case-sensitive, the path only.
    Path(Vec<Pattern>),
    /// `http-header`, in any case.
    Header {
        /// The header's name.
        name: String,
        /// Patterns of its value.
        values: Vec<Pattern>,
    },
    /// `http-request-method`, exact.
    Method(Vec<String>),
    /// `query-string`, in any case.
    Query(Vec<QueryPattern>),
    /// `source-ip`, of the TCP peer.
    SourceIp(Vec<Cidr>),
}

/// What a text must look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// `*` for any number of characters, `?` for exactly one, `\` before either
    /// takes it literally; the whole text must match.
    Wildcard(String),
    /// A regular expression that matches somewhere.
    Regex(String),
}

/// A key and value of a query string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPattern {
    /// The key; `None` for any.
    pub key: Option<Pattern>,
    /// The value.
    pub value: Pattern,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cidr {
    /// The first address.
    pub network: IpAddr,
    /// Bits that count: 0 to 32, or to 128 for IPv6.
    pub prefix: u8,
}

/// A change of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transform {
    /// `host-header-rewrite`.
    Host(Rewrite),
    /// `url-rewrite`: path and query.
    Url(Rewrite),
}

/// Where `regex` matches, `replace` stands instead, with `$1` to `$9` for groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// At most 1,024 characters.
    pub regex: String,
    /// At most 1,024 characters.
    pub replace: String,
}

/// What happens with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// `forward`.
    Forward(Forward),
    /// `redirect`.
    Redirect(Redirect),
    /// `fixed-response`.
    FixedResponse {
        /// Status code, 2XX, 4XX or 5XX.
        status: u16,
        /// Content type, empty for none.
        content_type: String,
        /// Body, at most 1,024 bytes.
        body: String,
    },
}

impl Action {
    /// Forward everything to one target group.
    pub fn forward_to(group: TargetGroupArn) -> Action {
        Action::Forward(Forward { groups: vec![(group, 1)], stickiness_secs: None, unused_stickiness_secs: None })
    }

    /// The target groups that it can reach.
    pub fn target_groups(&self) -> impl Iterator<Item = &TargetGroupArn> {
        let groups: &[(TargetGroupArn, u32)] = match self {
            Action::Forward(forward) => &forward.groups,
            Action::Redirect(_) | Action::FixedResponse { .. } => &[],
        };
        groups.iter().map(|(arn, _)| arn)
    }
}

/// Forward to one of several target groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Target groups with weights, 0 to 999.
    pub groups: Vec<(TargetGroupArn, u32)>,
    /// Seconds that a client stays with its target group; `None` when it does not.
    pub stickiness_secs: Option<u32>,
    /// The duration that was named while stickiness is off. It means nothing;
    /// clients compare what they wrote with what they read.
    #[serde(default)]
    pub unused_stickiness_secs: Option<u32>,
}

/// Send the client elsewhere; each part may have placeholders (`#{host}`, …).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// 301 or 302.
    pub status: u16,
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// `#{host}` when unchanged.
    pub host: String,
    /// A port or `#{port}`.
    pub port: String,
    /// Starts with `/`; `/#{path}` when unchanged.
    pub path: String,
    /// Without `?`; `#{query}` when unchanged.
    pub query: String,
}

/// `authenticate-oidc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OidcAction {
    /// The provider's issuer.
    pub issuer: String,
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    /// Where codes become tokens.
    pub token_endpoint: String,
    /// Where claims come from.
    pub user_info_endpoint: String,
    /// Our client id there.
    pub client_id: String,
    /// Our client's secret there.
    pub client_secret: SecretText,
    /// The session cookie's name.
    pub session_cookie: String,
    /// Scopes asked for.
    pub scope: String,
    /// How long a session lasts, in seconds: 1 to 604,800.
    pub session_timeout_secs: u32,
    /// Further parameters of the authorization request.
    pub extra_parameters: Vec<(String, String)>,
    /// What happens to clients without a session.
    pub on_unauthenticated: OnUnauthenticated,
}

/// What happens to clients without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnUnauthenticated {
    /// 401.
    Deny,
    /// The request passes without claims.
    Allow,
    /// They are sent to the provider.
    Authenticate,
}
