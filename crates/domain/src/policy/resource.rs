//! Resource and NotResource (IAM User Guide, "Policy elements: Resource").

use super::arn::Arn;
use super::condition::one_of;
use super::context::Keys;
use super::pattern::{Match, Mode, Pattern, Variable};

/// The element of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resources {
    not: bool,
    patterns: Vec<Pattern>,
}

/// Why the element is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadResource {
    /// It cannot be read at all.
    Legacy,
    /// In AWS's words.
    Text(String),
}

/// What resources of IAM begin with.
const IAM_TYPES: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

/// Resources of S3 that are in a region.
const S3_REGIONAL: [&str; 3] = ["accesspoint/", "job/", "storage-lens/"];

impl Resources {
    /// Compiles Resource, or NotResource when `not`.
    pub(super) fn read(texts: &[&str], not: bool, variables: bool) -> Result<Resources, BadResource> {
        let mut patterns = Vec::new();
        for text in texts {
            check(text, variables)?;
            patterns.push(Pattern::compile(text, Mode::Resource, variables).map_err(|_| BadResource::Legacy)?);
        }
        Ok(Resources { not, patterns })
    }

    /// Whether the statement is about a resource. A variable without a value
    /// keeps the whole statement from being about anything that no other
    /// pattern matches.
    pub(super) fn cover(&self, resource: &Arn<'_>, keys: &dyn Keys) -> bool {
        let covered = self.patterns.iter().map(|pattern| pattern.covers(resource, keys));
        one_of(covered) == if self.not { Match::No } else { Match::Yes }
    }

    /// Whether all resources are covered.
    pub(super) fn is_all(&self) -> bool {
        !self.not && self.patterns.iter().any(Pattern::is_any)
    }

    /// The variables within.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.patterns.iter().flat_map(Pattern::variables)
    }
}

/// An ARN that may end early, or `*`.
fn check(text: &str, variables: bool) -> Result<(), BadResource> {
    if text == "*" {
        return Ok(());
    }
    let refused = |text: String| Err(BadResource::Text(text));
    let Some(rest) = text.strip_prefix("arn:") else {
        return refused(format!("Resource {text} must be in ARN format or \"*\"."));
    };
    let fields: Vec<&str> = rest.splitn(5, ':').collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or("*");
    let [partition, service, region, account, resource] = [field(0), field(1), field(2), field(3), field(4)];
    if partition != "aws" && partition != "*" {
        return refused(format!(
            "Partition \"{partition}\" is not valid for resource \
             \"arn:{partition}:{service}:{region}:{account}:{resource}\"."
        ));
    }
    if fields.len() < 2 || service.contains(['*', '?', '$']) {
        return refused("Resource vendor must be fully qualified and cannot contain regexes.".to_owned());
    }
    if service.is_empty() || (fields.len() < 5 && fields.iter().any(|field| field.is_empty())) {
        return Err(BadResource::Legacy);
    }
    if variables && (region.contains("${") || account.contains("${")) {
        return refused(format!("Resource {text} has a policy variable before the fifth colon, which AWS ignores."));
    }
    let regional = !region.is_empty() && region != "*";
    match service {
        "iam" if regional => refused(format!("IAM resource {text} cannot contain region information.")),
        "iam" if resource != "*" && !IAM_TYPES.iter().any(|start| resource.starts_with(start)) => {
            let types = IAM_TYPES.join(", ");
            refused(format!("IAM resource path must either be \"*\" or start with {types}."))
        }
        "s3" if regional && !S3_REGIONAL.iter().any(|start| resource.starts_with(start)) => {
            refused(format!("Resource {text} can not contain region information."))
        }
        _ => Ok(()),
    }
}
