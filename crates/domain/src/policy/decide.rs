//! The decision (IAM User Guide, "Policy evaluation logic").

use super::{Context, Document};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `ec2:RunInstances`.
    pub action: &'a str,
    /// The ARN of the resource; `*` for actions without one.
    pub resource: &'a str,
    /// Who asks: the ARNs and ids that a Principal element may name for it -
    /// for a role's session its session ARN, the role's ARN and the account -
    /// or a service as `ec2.amazonaws.com`.
    pub principal: &'a [String],
    /// Condition keys and their values.
    pub context: &'a Context,
}

/// The policies that apply to a request. Of each list every document is in force.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies<'a> {
    /// Identity-based: inline, attached, and those of the user's groups.
    pub identity: &'a [&'a Document],
    /// The permissions boundary, when the identity has one.
    pub boundary: Option<&'a Document>,
    /// Session policies: none when the session has none.
    pub session: &'a [&'a Document],
    /// The resource's own.
    pub resource: Option<&'a Document>,
}

/// Where a denial comes from, for AWS's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `identity-based policy`.
    Identity,
    /// `permissions boundary`.
    Boundary,
    /// `session policy`.
    Session,
    /// `resource-based policy`.
    Resource,
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// A statement denies it.
    ExplicitDeny(Source),
    /// Nothing of this kind allows it.
    ImplicitDeny(Source),
}

/// Decides a request.
pub fn decide(_policies: &Policies<'_>, _request: &Request<'_>) -> Decision {
    Decision::ImplicitDeny(Source::Identity)
}
