//! Refusals for want of permission, in the words of each service.

use crate::Caller;
use elastane_wire::{ApiError, Operation, Service};

/// The refusal of an operation; `why` ends the sentence that AWS writes.
pub fn refusal(caller: &Caller, operation: Operation, action: &str, why: &str) -> ApiError {
    let text = format!("User: {} is not authorized to perform: {action} {why}", caller.arn);
    match operation.service() {
        Service::Ec2 => {
            let text = format!("You are not authorized to perform this operation. {text}");
            ApiError::new("UnauthorizedOperation", text).with_status(403)
        }
        Service::Acm | Service::CloudTrail | Service::Kms | Service::Ssm => {
            ApiError::new("AccessDeniedException", text)
        }
        Service::AutoScaling | Service::CloudWatch | Service::Elbv2 | Service::Iam | Service::Sts => {
            ApiError::new("AccessDenied", text).with_status(403)
        }
    }
}
