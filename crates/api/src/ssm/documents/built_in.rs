//! AWS's own documents that are known here: what Run Command runs, and those
//! of sessions.

use super::super::sessions_documents::{self, DOCUMENTS};
use super::content::{Body, Content};
use super::parameters;
use super::{Found, content};
use elastane_domain::time::Time;
use elastane_engine::row::{DocumentFormat, DocumentKind, DocumentVersion};
use elastane_wire::ApiError;
use serde_json::{Value, json};
use std::sync::Arc;

/// Who owns them.
const OWNER: &str = "Amazon";

/// When they were made: the date of the API's version.
const CREATED: Time = Time(1_415_232_000_000);

/// The names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    // Each account makes the preferences of its sessions itself.
    let sessions = DOCUMENTS.iter().map(|document| document.name).filter(|name| *name != sessions_documents::DEFAULT);
    std::iter::once(super::super::DOCUMENT).chain(sessions)
}

/// One by its name.
pub fn find(name: &str) -> Option<Found> {
    let (kind, content) = match name {
        name if name == super::super::DOCUMENT => (DocumentKind::Command, shell_script()),
        name if name == sessions_documents::DEFAULT => return None,
        name => (DocumentKind::Session, session(name)?),
    };
    let version = DocumentVersion {
        document: name.to_string(),
        number: 1,
        name: None,
        display_name: None,
        target_type: None,
        format: DocumentFormat::Json,
        content: serde_json::to_string_pretty(&content).unwrap_or_default(),
        created_at: CREATED,
    };
    Some(Found { row: None, version: Arc::new(version), owner: OWNER.to_string(), kind })
}

/// What a document says, one of AWS's own or one of an account's.
///
/// # Errors
/// As [`content::read`].
pub fn content_of(found: &Found) -> Result<Content, ApiError> {
    let version = &found.version;
    if found.row.is_some() || found.kind == DocumentKind::Command {
        return content::read(found.kind, version.format, &version.content);
    }
    let mut value: Value = serde_json::from_str(&version.content).unwrap_or_default();
    Ok(Content {
        schema: "1.0".to_string(),
        description: value["description"].as_str().map(str::to_string),
        parameters: parameters::read(Some(value["parameters"].take()))?,
        body: Body::OwnSession,
    })
}

/// `AWS-RunShellScript` with the parameters of ssm.md 7.
fn shell_script() -> Value {
    json!({
        "schemaVersion": "1.2",
        "description": "Runs shell commands, one line after the other, as one script.",
        "parameters": {
            "commands": {
                "type": "StringList",
                "description": "The lines of the script.",
                "minItems": 1,
                "displayType": "textarea",
            },
            "workingDirectory": {
                "type": "String",
                "description": "The directory to run the script in.",
                "default": "",
                "maxChars": 4096,
            },
            "executionTimeout": {
                "type": "String",
                "description": "Seconds that the script may run, at most 172800.",
                "default": "3600",
            },
        },
        "runtimeConfig": {
            "aws:runShellScript": {
                "properties": [{
                    "id": "0.aws:runShellScript",
                    "runCommand": "{{ commands }}",
                    "workingDirectory": "{{ workingDirectory }}",
                    "timeoutSeconds": "{{ executionTimeout }}",
                }],
            },
        },
    })
}

/// A session document from what sessions know of it.
fn session(name: &str) -> Option<Value> {
    let document = DOCUMENTS.iter().find(|document| document.name == name)?;
    let parameter = |known: &sessions_documents::Parameter| {
        let mut value = json!({ "type": "String" });
        if let Some(default) = known.default {
            value["default"] = json!(default);
        }
        (known.name.to_string(), value)
    };
    let parameters: serde_json::Map<String, Value> = document.parameters.iter().map(parameter).collect();
    let reference = |known: &sessions_documents::Parameter| format!("{{{{ {} }}}}", known.name);
    let properties = match document.session_type {
        "Port" => document.parameters.iter().map(|known| (known.name.to_string(), json!(reference(known)))).collect(),
        _ => json!({ "linux": { "commands": "{{ command }}", "runAsElevated": false } }),
    };
    Some(json!({
        "schemaVersion": "1.0",
        "description": format!("Starts a session of the type {}.", document.session_type),
        "sessionType": document.session_type,
        "parameters": parameters,
        "properties": properties,
    }))
}
