//! Operations on keys.

use crate::{Call, Change};
use elastane_wire::{ApiError, ec2 as wire};

pub fn describe_key_pairs(_call: &Call<'_>, _input: &wire::DescribeKeyPairsRequest) -> Result<wire::DescribeKeyPairsResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn create_key_pair(_change: &mut Change<'_, '_>, _input: &wire::CreateKeyPairRequest) -> Result<wire::KeyPair, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn import_key_pair(_change: &mut Change<'_, '_>, _input: &wire::ImportKeyPairRequest) -> Result<wire::ImportKeyPairResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}

pub fn delete_key_pair(_change: &mut Change<'_, '_>, _input: &wire::DeleteKeyPairRequest) -> Result<wire::DeleteKeyPairResult, ApiError> {
    Err(ApiError::new("InternalFailure", "not written yet"))
}
