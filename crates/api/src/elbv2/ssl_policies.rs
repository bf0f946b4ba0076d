//! Security policies of listeners, as `elastane_domain::tls` has them.

use super::{errors, pager};
use crate::{Call, page};
use elastane_domain::routing::Family;
use elastane_domain::tls::{SecurityPolicy, security_policies, security_policy};
use elastane_wire::{ApiError, elbv2 as wire};

fn not_found(name: &str) -> ApiError {
    ApiError::new("SSLPolicyNotFound", format!("SSL policy '{name}' not found"))
}

/// Whether listeners of a family can have a policy: one of which the data
/// plane offers something.
///
/// # Errors
/// `SSLPolicyNotFound`.
pub fn check(name: &str, _family: Family) -> Result<(), ApiError> {
    let found = security_policy(name).filter(|policy| !policy.supported().is_empty());
    found.map(drop).ok_or_else(|| not_found(name))
}

/// DescribeSSLPolicies. Application and network load balancers have the same
/// policies.
///
/// # Errors
/// `SSLPolicyNotFound`, `ValidationError` for another type of load balancer
/// and for a marker of another make.
pub fn describe_ssl_policies(
    _call: &Call<'_>,
    input: &wire::DescribeSSLPoliciesInput,
) -> Result<wire::DescribeSSLPoliciesOutput, ApiError> {
    if !matches!(input.load_balancer_type.as_deref(), None | Some("application" | "network")) {
        return Err(errors::validation("SSL policies are for load balancers of the types application and network"));
    }
    if let Some(unknown) = input.names.iter().find(|name| security_policy(name).is_none()) {
        return Err(not_found(unknown));
    }
    let wanted =
        |policy: &&SecurityPolicy| input.names.is_empty() || input.names.iter().any(|name| name == policy.name);
    let policies: Vec<(usize, &SecurityPolicy)> = security_policies().iter().filter(wanted).enumerate().collect();
    let pager = pager(input.marker.as_deref(), input.page_size);
    let (page, next_marker) = page::page(policies, pager, |(place, _)| format!("{place:05}"))?;
    let ssl_policies = page.into_iter().map(|(_, policy)| shape(policy)).collect();
    Ok(wire::DescribeSSLPoliciesOutput { next_marker, ssl_policies })
}

fn shape(policy: &SecurityPolicy) -> wire::SslPolicy {
    let cipher =
        |(priority, name): (i32, &str)| wire::Cipher { name: Some(name.to_string()), priority: Some(priority) };
    wire::SslPolicy {
        name: Some(policy.name.to_string()),
        ciphers: (1..).zip(policy.ciphers()).map(cipher).collect(),
        ssl_protocols: policy.protocols.iter().map(ToString::to_string).collect(),
        supported_load_balancer_types: vec!["application".to_string(), "network".to_string()],
    }
}
