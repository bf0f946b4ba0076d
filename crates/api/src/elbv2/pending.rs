//! Operations that are being built: each line goes when its handler comes.

use super::errors;
use crate::{Call, Change};
use elastane_wire::{ApiError, elbv2 as wire};

macro_rules! pending {
    (read $name:ident $input:ident $output:ident) => {
        /// Refused until it is built.
        pub fn $name(_: &Call<'_>, _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(errors::unsupported(stringify!($name)))
        }
    };
    (write $name:ident $input:ident $output:ident) => {
        /// Refused until it is built.
        pub fn $name(_: &mut Change<'_, '_>, _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(errors::unsupported(stringify!($name)))
        }
    };
}

pending!(read describe_account_limits DescribeAccountLimitsInput DescribeAccountLimitsOutput);
pending!(read describe_capacity_reservation DescribeCapacityReservationInput DescribeCapacityReservationOutput);
pending!(read describe_listener_certificates DescribeListenerCertificatesInput DescribeListenerCertificatesOutput);
pending!(read describe_rules DescribeRulesInput DescribeRulesOutput);
pending!(read describe_ssl_policies DescribeSSLPoliciesInput DescribeSSLPoliciesOutput);
pending!(write add_listener_certificates AddListenerCertificatesInput AddListenerCertificatesOutput);
pending!(write create_rule CreateRuleInput CreateRuleOutput);
pending!(write delete_rule DeleteRuleInput DeleteRuleOutput);
pending!(write modify_capacity_reservation ModifyCapacityReservationInput ModifyCapacityReservationOutput);
pending!(write modify_ip_pools ModifyIpPoolsInput ModifyIpPoolsOutput);
pending!(write modify_rule ModifyRuleInput ModifyRuleOutput);
pending!(write remove_listener_certificates RemoveListenerCertificatesInput RemoveListenerCertificatesOutput);
pending!(write set_ip_address_type SetIpAddressTypeInput SetIpAddressTypeOutput);
pending!(write set_rule_priorities SetRulePrioritiesInput SetRulePrioritiesOutput);
pending!(write set_security_groups SetSecurityGroupsInput SetSecurityGroupsOutput);
pending!(write set_subnets SetSubnetsInput SetSubnetsOutput);
