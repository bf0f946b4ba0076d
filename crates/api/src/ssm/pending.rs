//! Operations that are in the list and not built yet: each is refused by name.
//! A line goes when its handler comes.

use crate::{Call, Change};
use elastane_wire::{ApiError, ssm as wire};

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
    read list_documents "ListDocuments" ListDocumentsRequest ListDocumentsResult;
    read describe_document "DescribeDocument" DescribeDocumentRequest DescribeDocumentResult;
    read get_document "GetDocument" GetDocumentRequest GetDocumentResult;
    read describe_document_permission "DescribeDocumentPermission" DescribeDocumentPermissionRequest DescribeDocumentPermissionResponse;
    read list_document_versions "ListDocumentVersions" ListDocumentVersionsRequest ListDocumentVersionsResult;
    read get_parameter_history "GetParameterHistory" GetParameterHistoryRequest GetParameterHistoryResult;
    read describe_parameters "DescribeParameters" DescribeParametersRequest DescribeParametersResult;
    read list_tags_for_resource "ListTagsForResource" ListTagsForResourceRequest ListTagsForResourceResult;
    read describe_sessions "DescribeSessions" DescribeSessionsRequest DescribeSessionsResponse;
    read get_connection_status "GetConnectionStatus" GetConnectionStatusRequest GetConnectionStatusResponse;
    write cancel_command "CancelCommand" CancelCommandRequest CancelCommandResult;
    write put_parameter "PutParameter" PutParameterRequest PutParameterResult;
    write delete_parameter "DeleteParameter" DeleteParameterRequest DeleteParameterResult;
    write delete_parameters "DeleteParameters" DeleteParametersRequest DeleteParametersResult;
    write label_parameter_version "LabelParameterVersion" LabelParameterVersionRequest LabelParameterVersionResult;
    write unlabel_parameter_version "UnlabelParameterVersion" UnlabelParameterVersionRequest UnlabelParameterVersionResult;
    write add_tags_to_resource "AddTagsToResource" AddTagsToResourceRequest AddTagsToResourceResult;
    write remove_tags_from_resource "RemoveTagsFromResource" RemoveTagsFromResourceRequest RemoveTagsFromResourceResult;
    write create_document "CreateDocument" CreateDocumentRequest CreateDocumentResult;
    write update_document "UpdateDocument" UpdateDocumentRequest UpdateDocumentResult;
    write update_document_default_version "UpdateDocumentDefaultVersion" UpdateDocumentDefaultVersionRequest UpdateDocumentDefaultVersionResult;
    write delete_document "DeleteDocument" DeleteDocumentRequest DeleteDocumentResult;
    write modify_document_permission "ModifyDocumentPermission" ModifyDocumentPermissionRequest ModifyDocumentPermissionResponse;
    write start_session "StartSession" StartSessionRequest StartSessionResponse;
    write resume_session "ResumeSession" ResumeSessionRequest ResumeSessionResponse;
    write terminate_session "TerminateSession" TerminateSessionRequest TerminateSessionResponse;
}
