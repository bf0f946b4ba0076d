//! Operations that are in the list and not built yet: each is refused by name.
//! A line goes when its handler comes.

use crate::{Call, Change};
use elastane_wire::{ApiError, kms as wire};

macro_rules! pending {
    ($($access:ident $function:ident $name:literal $input:ident $output:ident;)*) => {$(
        #[doc = concat!($name, ": refused.")]
        pub fn $function(_: pending!(@ $access), _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(ApiError::new("UnknownOperationException", concat!("The operation ", $name, " is not implemented by Elastane.")))
        }
    )*};
    (@ read) => { &Call<'_> };
    (@ write) => { &mut Change<'_, '_> };
}

pending! {
    read describe_key "DescribeKey" DescribeKeyRequest DescribeKeyResponse;
    read list_keys "ListKeys" ListKeysRequest ListKeysResponse;
    read list_aliases "ListAliases" ListAliasesRequest ListAliasesResponse;
    read get_key_policy "GetKeyPolicy" GetKeyPolicyRequest GetKeyPolicyResponse;
    read list_key_policies "ListKeyPolicies" ListKeyPoliciesRequest ListKeyPoliciesResponse;
    read get_key_rotation_status "GetKeyRotationStatus" GetKeyRotationStatusRequest GetKeyRotationStatusResponse;
    read list_resource_tags "ListResourceTags" ListResourceTagsRequest ListResourceTagsResponse;
    read list_grants "ListGrants" ListGrantsRequest ListGrantsResponse;
    read decrypt "Decrypt" DecryptRequest DecryptResponse;
    write encrypt "Encrypt" EncryptRequest EncryptResponse;
    write re_encrypt "ReEncrypt" ReEncryptRequest ReEncryptResponse;
    write generate_data_key "GenerateDataKey" GenerateDataKeyRequest GenerateDataKeyResponse;
    write generate_data_key_without_plaintext "GenerateDataKeyWithoutPlaintext" GenerateDataKeyWithoutPlaintextRequest GenerateDataKeyWithoutPlaintextResponse;
    write generate_random "GenerateRandom" GenerateRandomRequest GenerateRandomResponse;
    write create_key "CreateKey" CreateKeyRequest CreateKeyResponse;
    write enable_key "EnableKey" EnableKeyRequest EnableKeyOutput;
    write disable_key "DisableKey" DisableKeyRequest DisableKeyOutput;
    write enable_key_rotation "EnableKeyRotation" EnableKeyRotationRequest EnableKeyRotationOutput;
    write disable_key_rotation "DisableKeyRotation" DisableKeyRotationRequest DisableKeyRotationOutput;
    write put_key_policy "PutKeyPolicy" PutKeyPolicyRequest PutKeyPolicyOutput;
    write update_key_description "UpdateKeyDescription" UpdateKeyDescriptionRequest UpdateKeyDescriptionOutput;
    write schedule_key_deletion "ScheduleKeyDeletion" ScheduleKeyDeletionRequest ScheduleKeyDeletionResponse;
    write cancel_key_deletion "CancelKeyDeletion" CancelKeyDeletionRequest CancelKeyDeletionResponse;
    write create_alias "CreateAlias" CreateAliasRequest CreateAliasOutput;
    write update_alias "UpdateAlias" UpdateAliasRequest UpdateAliasOutput;
    write delete_alias "DeleteAlias" DeleteAliasRequest DeleteAliasOutput;
    write tag_resource "TagResource" TagResourceRequest TagResourceOutput;
    write untag_resource "UntagResource" UntagResourceRequest UntagResourceOutput;
}
