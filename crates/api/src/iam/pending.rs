//! Operations that are in the list and not built yet: each is refused by name.
//! A line goes when its handler comes.

use crate::{Call, Change};
use elastane_wire::{ApiError, iam as wire};

macro_rules! pending {
    ($($access:ident $function:ident $name:literal $input:ident $output:ident;)*) => {$(
        #[doc = concat!($name, ": refused.")]
        pub fn $function(_: pending!(@ $access), _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(ApiError::new("InvalidAction", concat!("The operation ", $name, " is not implemented by Elastane.")))
        }
    )*};
    (@ read) => { &Call<'_> };
    (@ write) => { &mut Change<'_, '_> };
}

pending! {
    read get_user "GetUser" GetUserRequest GetUserResponse;
    read list_users "ListUsers" ListUsersRequest ListUsersResponse;
    read list_user_tags "ListUserTags" ListUserTagsRequest ListUserTagsResponse;
    read get_group "GetGroup" GetGroupRequest GetGroupResponse;
    read list_groups "ListGroups" ListGroupsRequest ListGroupsResponse;
    read list_groups_for_user "ListGroupsForUser" ListGroupsForUserRequest ListGroupsForUserResponse;
    read get_user_policy "GetUserPolicy" GetUserPolicyRequest GetUserPolicyResponse;
    read list_user_policies "ListUserPolicies" ListUserPoliciesRequest ListUserPoliciesResponse;
    read list_attached_user_policies "ListAttachedUserPolicies" ListAttachedUserPoliciesRequest ListAttachedUserPoliciesResponse;
    read get_group_policy "GetGroupPolicy" GetGroupPolicyRequest GetGroupPolicyResponse;
    read list_group_policies "ListGroupPolicies" ListGroupPoliciesRequest ListGroupPoliciesResponse;
    read list_attached_group_policies "ListAttachedGroupPolicies" ListAttachedGroupPoliciesRequest ListAttachedGroupPoliciesResponse;
    read get_role_policy "GetRolePolicy" GetRolePolicyRequest GetRolePolicyResponse;
    read list_role_policies "ListRolePolicies" ListRolePoliciesRequest ListRolePoliciesResponse;
    read list_attached_role_policies "ListAttachedRolePolicies" ListAttachedRolePoliciesRequest ListAttachedRolePoliciesResponse;
    read get_policy "GetPolicy" GetPolicyRequest GetPolicyResponse;
    read list_policies "ListPolicies" ListPoliciesRequest ListPoliciesResponse;
    read get_policy_version "GetPolicyVersion" GetPolicyVersionRequest GetPolicyVersionResponse;
    read list_policy_versions "ListPolicyVersions" ListPolicyVersionsRequest ListPolicyVersionsResponse;
    read list_entities_for_policy "ListEntitiesForPolicy" ListEntitiesForPolicyRequest ListEntitiesForPolicyResponse;
    read list_policy_tags "ListPolicyTags" ListPolicyTagsRequest ListPolicyTagsResponse;
    read list_role_tags "ListRoleTags" ListRoleTagsRequest ListRoleTagsResponse;
    read list_instance_profile_tags "ListInstanceProfileTags" ListInstanceProfileTagsRequest ListInstanceProfileTagsResponse;
    read list_access_keys "ListAccessKeys" ListAccessKeysRequest ListAccessKeysResponse;
    read get_access_key_last_used "GetAccessKeyLastUsed" GetAccessKeyLastUsedRequest GetAccessKeyLastUsedResponse;
    read list_account_aliases "ListAccountAliases" ListAccountAliasesRequest ListAccountAliasesResponse;
    read get_account_summary "GetAccountSummary" GetAccountSummaryRequest GetAccountSummaryResponse;
    read get_account_authorization_details "GetAccountAuthorizationDetails" GetAccountAuthorizationDetailsRequest GetAccountAuthorizationDetailsResponse;
    read simulate_principal_policy "SimulatePrincipalPolicy" SimulatePrincipalPolicyRequest SimulatePolicyResponse;
    read simulate_custom_policy "SimulateCustomPolicy" SimulateCustomPolicyRequest SimulatePolicyResponse;
    read get_context_keys_for_custom_policy "GetContextKeysForCustomPolicy" GetContextKeysForCustomPolicyRequest GetContextKeysForPolicyResponse;
    read get_context_keys_for_principal_policy "GetContextKeysForPrincipalPolicy" GetContextKeysForPrincipalPolicyRequest GetContextKeysForPolicyResponse;
    read list_mfa_devices "ListMFADevices" ListMFADevicesRequest ListMFADevicesResponse;
    read list_ssh_public_keys "ListSSHPublicKeys" ListSSHPublicKeysRequest ListSSHPublicKeysResponse;
    read list_service_specific_credentials "ListServiceSpecificCredentials" ListServiceSpecificCredentialsRequest ListServiceSpecificCredentialsResponse;
    read list_signing_certificates "ListSigningCertificates" ListSigningCertificatesRequest ListSigningCertificatesResponse;
    read get_login_profile "GetLoginProfile" GetLoginProfileRequest GetLoginProfileResponse;
    read get_service_linked_role_deletion_status "GetServiceLinkedRoleDeletionStatus" GetServiceLinkedRoleDeletionStatusRequest GetServiceLinkedRoleDeletionStatusResponse;
    write create_user "CreateUser" CreateUserRequest CreateUserResponse;
    write update_user "UpdateUser" UpdateUserRequest UpdateUserOutput;
    write delete_user "DeleteUser" DeleteUserRequest DeleteUserOutput;
    write tag_user "TagUser" TagUserRequest TagUserOutput;
    write untag_user "UntagUser" UntagUserRequest UntagUserOutput;
    write create_group "CreateGroup" CreateGroupRequest CreateGroupResponse;
    write update_group "UpdateGroup" UpdateGroupRequest UpdateGroupOutput;
    write delete_group "DeleteGroup" DeleteGroupRequest DeleteGroupOutput;
    write add_user_to_group "AddUserToGroup" AddUserToGroupRequest AddUserToGroupOutput;
    write remove_user_from_group "RemoveUserFromGroup" RemoveUserFromGroupRequest RemoveUserFromGroupOutput;
    write put_user_policy "PutUserPolicy" PutUserPolicyRequest PutUserPolicyOutput;
    write delete_user_policy "DeleteUserPolicy" DeleteUserPolicyRequest DeleteUserPolicyOutput;
    write attach_user_policy "AttachUserPolicy" AttachUserPolicyRequest AttachUserPolicyOutput;
    write detach_user_policy "DetachUserPolicy" DetachUserPolicyRequest DetachUserPolicyOutput;
    write put_group_policy "PutGroupPolicy" PutGroupPolicyRequest PutGroupPolicyOutput;
    write delete_group_policy "DeleteGroupPolicy" DeleteGroupPolicyRequest DeleteGroupPolicyOutput;
    write attach_group_policy "AttachGroupPolicy" AttachGroupPolicyRequest AttachGroupPolicyOutput;
    write detach_group_policy "DetachGroupPolicy" DetachGroupPolicyRequest DetachGroupPolicyOutput;
    write put_role_policy "PutRolePolicy" PutRolePolicyRequest PutRolePolicyOutput;
    write delete_role_policy "DeleteRolePolicy" DeleteRolePolicyRequest DeleteRolePolicyOutput;
    write attach_role_policy "AttachRolePolicy" AttachRolePolicyRequest AttachRolePolicyOutput;
    write detach_role_policy "DetachRolePolicy" DetachRolePolicyRequest DetachRolePolicyOutput;
    write create_policy "CreatePolicy" CreatePolicyRequest CreatePolicyResponse;
    write delete_policy "DeletePolicy" DeletePolicyRequest DeletePolicyOutput;
    write create_policy_version "CreatePolicyVersion" CreatePolicyVersionRequest CreatePolicyVersionResponse;
    write delete_policy_version "DeletePolicyVersion" DeletePolicyVersionRequest DeletePolicyVersionOutput;
    write set_default_policy_version "SetDefaultPolicyVersion" SetDefaultPolicyVersionRequest SetDefaultPolicyVersionOutput;
    write tag_policy "TagPolicy" TagPolicyRequest TagPolicyOutput;
    write untag_policy "UntagPolicy" UntagPolicyRequest UntagPolicyOutput;
    write put_user_permissions_boundary "PutUserPermissionsBoundary" PutUserPermissionsBoundaryRequest PutUserPermissionsBoundaryOutput;
    write delete_user_permissions_boundary "DeleteUserPermissionsBoundary" DeleteUserPermissionsBoundaryRequest DeleteUserPermissionsBoundaryOutput;
    write put_role_permissions_boundary "PutRolePermissionsBoundary" PutRolePermissionsBoundaryRequest PutRolePermissionsBoundaryOutput;
    write delete_role_permissions_boundary "DeleteRolePermissionsBoundary" DeleteRolePermissionsBoundaryRequest DeleteRolePermissionsBoundaryOutput;
    write create_access_key "CreateAccessKey" CreateAccessKeyRequest CreateAccessKeyResponse;
    write update_access_key "UpdateAccessKey" UpdateAccessKeyRequest UpdateAccessKeyOutput;
    write delete_access_key "DeleteAccessKey" DeleteAccessKeyRequest DeleteAccessKeyOutput;
    write update_role "UpdateRole" UpdateRoleRequest UpdateRoleResponse;
    write update_role_description "UpdateRoleDescription" UpdateRoleDescriptionRequest UpdateRoleDescriptionResponse;
    write create_service_linked_role "CreateServiceLinkedRole" CreateServiceLinkedRoleRequest CreateServiceLinkedRoleResponse;
    write delete_service_linked_role "DeleteServiceLinkedRole" DeleteServiceLinkedRoleRequest DeleteServiceLinkedRoleResponse;
    write create_account_alias "CreateAccountAlias" CreateAccountAliasRequest CreateAccountAliasOutput;
    write delete_account_alias "DeleteAccountAlias" DeleteAccountAliasRequest DeleteAccountAliasOutput;
}
