//! DescribeAccountLimits: the quotas that the other operations enforce.

use super::certificates::CERTIFICATES_MAX;
use super::{forwards, listeners, load_balancers, pager, rules, target_groups, targets};
use crate::Call;
use crate::page::page;
use elastane_domain::routing::Family;
use elastane_domain::rules::check;
use elastane_wire::{ApiError, elbv2 as wire};

/// DescribeAccountLimits.
pub fn describe_account_limits(
    _: &Call<'_>,
    input: &wire::DescribeAccountLimitsInput,
) -> Result<wire::DescribeAccountLimitsOutput, ApiError> {
    let mut limits = all();
    limits.sort();
    let token = pager(input.marker.as_deref(), input.page_size);
    let (limits, next_marker) = page(limits, token, |(name, _)| name.to_string())?;
    let shown = |(name, max): (&str, usize)| wire::Limit { max: Some(max.to_string()), name: Some(name.to_string()) };
    Ok(wire::DescribeAccountLimitsOutput { limits: limits.into_iter().map(shown).collect(), next_marker })
}

fn all() -> Vec<(&'static str, usize)> {
    vec![
        ("application-load-balancers", load_balancers::LOAD_BALANCERS_MAX),
        ("network-load-balancers", load_balancers::LOAD_BALANCERS_MAX),
        ("listeners-per-application-load-balancer", listeners::LISTENERS_MAX),
        ("listeners-per-network-load-balancer", listeners::LISTENERS_MAX),
        ("rules-per-application-load-balancer", rules::RULES_MAX),
        ("condition-values-per-alb-rule", check::EVALUATIONS_PER_RULE_MAX),
        ("condition-wildcards-per-alb-rule", check::WILDCARDS_PER_RULE_MAX),
        ("target-groups", target_groups::TARGET_GROUPS_MAX),
        ("target-groups-per-application-load-balancer", forwards::GROUPS_PER_BALANCER_MAX),
        ("target-groups-per-action-on-application-load-balancer", forwards::GROUPS_MAX),
        ("target-groups-per-action-on-network-load-balancer", 1),
        ("targets-per-application-load-balancer", forwards::targets_max(Family::Application)),
        ("targets-per-network-load-balancer", forwards::targets_max(Family::Network)),
        ("targets-per-target-group", targets::TARGETS_MAX),
        ("target-id-registrations-per-application-load-balancer", targets::REGISTRATIONS_MAX),
        ("certificates-per-application-load-balancer", CERTIFICATES_MAX),
        ("certificates-per-network-load-balancer", CERTIFICATES_MAX),
    ]
}
