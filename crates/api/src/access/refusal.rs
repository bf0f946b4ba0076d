//! Refusals for want of permission, and of those who call too often, in the
//! words of each service.

use crate::Caller;
use elastane_domain::policy::{Decision, Source};
use elastane_wire::{ApiError, Operation, Service};

/// Why an operation is refused.
pub struct Why<'a> {
    /// The action that is not allowed.
    pub action: &'a str,
    /// The ARN of the resource that it is not allowed on; `*` for none.
    pub resource: &'a str,
    /// The decision.
    pub decision: Decision,
    /// EC2's encoded message.
    pub encoded: Option<String>,
}

/// Room for a sentence without its encoded message.
const SENTENCE_BYTES: usize = 384;

/// The refusal of an operation (IAM User Guide, "Troubleshoot access denied
/// error messages").
pub fn refusal(caller: &Caller, operation: Operation, why: &Why<'_>) -> ApiError {
    let service = operation.service();
    let of_ec2 = service == Service::Ec2;
    let encoded = why.encoded.as_deref().unwrap_or_default();
    let mut text = String::with_capacity(SENTENCE_BYTES + encoded.len());
    let mut say = |parts: &[&str]| parts.iter().for_each(|part| text.push_str(part));
    if of_ec2 {
        say(&["You are not authorized to perform this operation. "]);
    }
    say(&["User: ", &caller.arn, " is not authorized to perform: ", why.action]);
    if !(of_ec2 && why.resource == "*") {
        say(&[" on resource: ", why.resource]);
    }
    say(&[" "]);
    reason(why.action, why.decision, &mut say);
    if of_ec2 && !encoded.is_empty() {
        say(&[". Encoded authorization failure message: ", encoded]);
    }
    match service {
        Service::Ec2 => ApiError::new(code_of_ec2(why.action), text).with_status(403),
        Service::Acm | Service::CloudTrail | Service::Kms | Service::Ssm => {
            ApiError::new("AccessDeniedException", text)
        }
        Service::AutoScaling | Service::CloudWatch | Service::Elbv2 | Service::Iam | Service::Sts => {
            ApiError::new("AccessDenied", text).with_status(403)
        }
    }
}

/// EC2 has a code of its own for want of the permission to make its role (EC2
/// API Reference, "Error codes").
fn code_of_ec2(action: &str) -> &'static str {
    match action {
        "iam:CreateServiceLinkedRole" => "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
        _ => "UnauthorizedOperation",
    }
}

/// What a service says to those who call too often.
pub fn throttled(service: Service) -> ApiError {
    match service {
        Service::Ec2 => ApiError::new("RequestLimitExceeded", "Request limit exceeded.").with_status(503),
        Service::AutoScaling | Service::CloudWatch | Service::Elbv2 | Service::Iam | Service::Sts => {
            ApiError::new("Throttling", "Rate exceeded")
        }
        Service::Acm | Service::CloudTrail | Service::Kms | Service::Ssm => {
            ApiError::new("ThrottlingException", "Rate exceeded")
        }
    }
}

/// The end of the sentence: which kind of policy it is that denies or does not allow.
fn reason(action: &str, decision: Decision, say: &mut impl FnMut(&[&str])) {
    let (explicit, source) = match decision {
        Decision::Allowed => return,
        Decision::ExplicitDeny(source) => (true, source),
        Decision::ImplicitDeny(source) => (false, source),
    };
    let (article, word) = match source {
        Source::Identity => ("an", "identity-based policy"),
        Source::Boundary => ("a", "permissions boundary"),
        Source::Session => ("a", "session policy"),
        Source::Resource => ("a", "resource-based policy"),
    };
    match explicit {
        true => say(&["with an explicit deny in ", article, " ", word]),
        false => say(&["because no ", word, " allows the ", action, " action"]),
    }
}
