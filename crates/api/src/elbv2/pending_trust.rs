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

pending!(read describe_trust_store_associations DescribeTrustStoreAssociationsInput DescribeTrustStoreAssociationsOutput);
pending!(read describe_trust_store_revocations DescribeTrustStoreRevocationsInput DescribeTrustStoreRevocationsOutput);
pending!(read describe_trust_stores DescribeTrustStoresInput DescribeTrustStoresOutput);
pending!(read get_resource_policy GetResourcePolicyInput GetResourcePolicyOutput);
pending!(read get_trust_store_ca_certificates_bundle GetTrustStoreCaCertificatesBundleInput GetTrustStoreCaCertificatesBundleOutput);
pending!(read get_trust_store_revocation_content GetTrustStoreRevocationContentInput GetTrustStoreRevocationContentOutput);
pending!(write add_trust_store_revocations AddTrustStoreRevocationsInput AddTrustStoreRevocationsOutput);
pending!(write create_trust_store CreateTrustStoreInput CreateTrustStoreOutput);
pending!(write delete_shared_trust_store_association DeleteSharedTrustStoreAssociationInput DeleteSharedTrustStoreAssociationOutput);
pending!(write delete_trust_store DeleteTrustStoreInput DeleteTrustStoreOutput);
pending!(write modify_trust_store ModifyTrustStoreInput ModifyTrustStoreOutput);
pending!(write remove_trust_store_revocations RemoveTrustStoreRevocationsInput RemoveTrustStoreRevocationsOutput);
