//! The errors of Systems Manager, each code in one place (ssm.md 7).

use elastane_wire::ApiError;

/// A request that is malformed.
pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

/// A request that AWS takes and Elastane does not, yet.
pub fn unsupported(what: &str) -> ApiError {
    validation(format!("{what} is not supported by Elastane yet"))
}

/// A required member is not there.
pub fn missing(member: &str) -> ApiError {
    validation(format!("The request must contain the parameter {member}"))
}

/// Instances that do not run, or that do not exist; the sentence is AWS's.
pub fn invalid_instances(ids: &[&str], account: &str) -> ApiError {
    let message = format!("Instances [[{}]] not in a valid state for account {account}", ids.join(", "));
    ApiError::new("InvalidInstanceId", message)
}

/// An instance id is given twice.
pub fn duplicate_instance(id: &str) -> ApiError {
    ApiError::new("DuplicateInstanceId", format!("The instance ID '{id}' is specified more than once"))
}

/// No such document.
pub fn invalid_document(name: &str) -> ApiError {
    ApiError::new("InvalidDocument", format!("Document with name {name} does not exist."))
}

/// No such version of the document.
pub fn invalid_document_version(version: &str) -> ApiError {
    ApiError::new("InvalidDocumentVersion", format!("The document version '{version}' is not valid"))
}

/// A content that cannot be understood, or says what is not there.
pub fn invalid_content(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidDocumentContent", message)
}

/// A schema that documents of the type do not have, or that cannot be updated.
pub fn invalid_schema(version: &str) -> ApiError {
    let message = format!("The schema version '{version}' is not supported for this.");
    ApiError::new("InvalidDocumentSchemaVersion", message)
}

/// What cannot be done with the document as it is.
pub fn invalid_document_operation(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidDocumentOperation", message)
}

/// No such command.
pub fn invalid_command(id: &str) -> ApiError {
    ApiError::new("InvalidCommandId", format!("The command {id} does not exist."))
}

/// Parameters that the document does not take.
pub fn invalid_parameters(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameters", message)
}

/// Too many commands are under way.
pub fn throttled(message: impl Into<String>) -> ApiError {
    ApiError::new("ThrottlingException", message)
}

/// The command was not sent to this instance.
pub fn no_invocation() -> ApiError {
    let message = "The command ID and managed node ID you specified didn't match any invocations. \
                   Verify the command ID and the managed node ID and try again.";
    ApiError::new("InvocationDoesNotExist", message)
}

/// The document has no such step.
pub fn invalid_plugin(name: &str) -> ApiError {
    ApiError::new("InvalidPluginName", format!("The plugin name '{name}' is not valid"))
}

/// The list has no such filter.
pub fn invalid_filter_key(key: &str) -> ApiError {
    ApiError::new("InvalidFilterKey", format!("The filter key '{key}' is not valid"))
}

/// The filter does not take this value.
pub fn invalid_filter_value(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidFilterValue", message)
}

/// No such parameter.
pub fn parameter_not_found(name: &str) -> ApiError {
    ApiError::new("ParameterNotFound", format!("Parameter {name} not found."))
}

/// The instance does not run, or does not exist.
pub fn target_not_connected(target: &str) -> ApiError {
    ApiError::new("TargetNotConnected", format!("{target} is not connected."))
}

/// No such document of sessions.
pub fn invalid_session_document(name: &str) -> ApiError {
    ApiError::new("InvalidDocument", format!("Document with name {name} does not exist, or is none for sessions."))
}

/// No such session.
pub fn session_does_not_exist(id: &str) -> ApiError {
    ApiError::new("DoesNotExistException", format!("Session {id} does not exist."))
}

/// Without entropy no token can be made that nobody guesses.
pub fn no_secrets() -> ApiError {
    ApiError::new("InternalServerError", "Tokens cannot be made without a source of randomness.").with_status(500)
}
