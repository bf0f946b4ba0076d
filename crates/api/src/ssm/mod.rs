//! Systems Manager: Run Command and its documents, the list of instances that
//! take commands, sessions, and Parameter Store.
//!
//! A command is one row; sending it writes the row, and the engine has the
//! script run on each instance and writes the outcomes into it. There is no
//! agent to wait for: an instance that runs takes commands.

mod cancel;
mod commands;
mod documents;
mod errors;
mod filters;
mod instances;
mod invocations;
mod outputs;
mod parameters;
mod public;
mod send;
mod sessions;
mod sessions_describe;
mod sessions_documents;
#[cfg(test)]
mod sessions_tests;
mod status;
mod store;
#[cfg(test)]
mod tests;

pub use cancel::cancel_command;
pub use commands::list_commands;
pub use documents::{
    create_document, delete_document, describe_document, describe_document_permission, get_document,
    list_document_versions, list_documents, modify_document_permission, update_document,
    update_document_default_version,
};
pub use instances::describe_instance_information;
pub use invocations::{get_command_invocation, list_command_invocations};
pub use send::{referenced, send_command, targeted};
pub use sessions::{get_connection_status, resume_session, start_session, terminate_session};
pub use sessions_describe::describe_sessions;
pub use store::{
    add_tags_to_resource, delete_parameter, delete_parameters, describe_parameters, get_parameter,
    get_parameter_history, get_parameters, get_parameters_by_path, label_parameter_version, list_tags_for_resource,
    put_parameter, remove_tags_from_resource, unlabel_parameter_version,
};

/// AWS's own document that runs a script.
const DOCUMENT: &str = "AWS-RunShellScript";

/// What a step of a document may do, and the name of that document's.
const PLUGIN: &str = "aws:runShellScript";

/// Commands and invocations of a page when the client names no MaxResults:
/// the model's highest.
const PAGE_SIZE: usize = 50;

/// How lists of commands are cut into pages.
fn pager(token: Option<&str>, size: Option<i32>) -> crate::page::Pager<'_> {
    let max = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
    crate::page::Pager { token, max: Some(max.clamp(1, PAGE_SIZE)), bad_token: "InvalidNextToken" }
}

/// A name that sorts the newest command first.
fn newest_first(command: &elastane_engine::row::Command) -> String {
    let age = u64::MAX - command.requested_at.millis().max(0) as u64;
    format!("{age:020}/{}", command.id)
}

/// The full host name of an instance.
fn computer_name(scope: &elastane_engine::Scope, instance: &elastane_engine::row::Instance) -> String {
    let host = elastane_engine::launch::host_name(instance.private_ip);
    format!("{host}.{}", scope.private_domain())
}
