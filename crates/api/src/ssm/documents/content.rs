//! A document's content: JSON or YAML, of schema 1.2 or 2.2 for commands and
//! 1.0 for sessions. All of it is understood or it is refused.

use super::super::errors;
use super::fields::Fields;
use super::parameters::{self, Parameter};
use super::steps::{self, Step};
use elastane_domain::time::Span;
use elastane_engine::row::{DocumentFormat, DocumentKind};
use elastane_wire::ApiError;
use serde_json::Value;

/// Largest content in bytes (API reference, `MaxDocumentSizeExceeded`).
const BYTES_MAX: usize = 64 * 1024;

/// What a document says.
#[derive(Clone, Debug)]
pub struct Content {
    /// `schemaVersion`.
    pub schema: String,
    /// `description`.
    pub description: Option<String>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// What it is about.
    pub body: Body,
}

/// What a document is about.
#[derive(Clone, Debug)]
pub enum Body {
    /// Steps of a command.
    Command(Vec<Step>),
    /// Preferences of sessions.
    Session(Preferences),
    /// One of AWS's own session documents, which the daemon knows by name.
    OwnSession,
}

/// What a session document says, as far as sessions here heed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// `idleSessionTimeout`.
    pub idle_limit: Option<Span>,
    /// `maxSessionDuration`.
    pub duration_max: Option<Span>,
}

/// Reads a content.
///
/// # Errors
/// `MaxDocumentSizeExceeded`, `InvalidDocumentContent`,
/// `InvalidDocumentSchemaVersion`.
pub fn read(kind: DocumentKind, format: DocumentFormat, text: &str) -> Result<Content, ApiError> {
    if text.len() > BYTES_MAX {
        let message = format!("The content of a document has at most {BYTES_MAX} bytes.");
        return Err(ApiError::new("MaxDocumentSizeExceeded", message));
    }
    let mut fields = Fields::of("The document", parse(format, text)?)?;
    let schema = fields.needed_text("schemaVersion")?;
    let description = fields.text("description")?;
    let parameters = parameters::read(fields.take("parameters"))?;
    let body = match (kind, schema.as_str()) {
        (DocumentKind::Command, "2.2") => Body::Command(steps::of_main_steps(&mut fields)?),
        (DocumentKind::Command, "1.2") => Body::Command(steps::of_runtime_config(&mut fields)?),
        (DocumentKind::Session, "1.0") => session(&mut fields)?,
        (DocumentKind::Command | DocumentKind::Session, _) => return Err(errors::invalid_schema(&schema)),
    };
    fields.end()?;
    if let Body::Command(steps) = &body {
        steps::check_references(steps, &parameters)?;
    }
    Ok(Content { schema, description, parameters, body })
}

fn parse(format: DocumentFormat, text: &str) -> Result<Value, ApiError> {
    let read = match format {
        DocumentFormat::Json => serde_json::from_str(text).map_err(|err| format!("JSON: {err}")),
        DocumentFormat::Yaml => {
            let options = serde_saphyr::options! { with_snippet: false };
            let read = serde_saphyr::from_str_with_options(text, options);
            read.map_err(|err| format!("YAML: {}", err.to_string().replace('\n', " ")))
        }
    };
    read.map_err(|why| errors::invalid_content(format!("The content is not valid {why}.")))
}

/// Preferences that would have an effect here that they do not have are refused.
fn session(fields: &mut Fields<'_>) -> Result<Body, ApiError> {
    let session_type = fields.needed_text("sessionType")?;
    if session_type != "Standard_Stream" {
        return Err(errors::invalid_content(format!("The sessionType {session_type} is not supported.")));
    }
    let Some(inputs) = fields.take("inputs") else { return Ok(Body::Session(Preferences::default())) };
    let mut inputs = Fields::of("inputs", inputs)?;
    for name in ["s3BucketName", "s3KeyPrefix", "cloudWatchLogGroupName", "kmsKeyId", "runAsDefaultUser"] {
        if inputs.text(name)?.is_some_and(|text| !text.is_empty()) {
            return Err(errors::invalid_content(format!("The preference {name} is not supported.")));
        }
    }
    // They say how a bucket or a log group is used, and there is none.
    for name in ["s3EncryptionEnabled", "cloudWatchEncryptionEnabled", "cloudWatchStreamingEnabled"] {
        inputs.flag(name)?;
    }
    if inputs.flag("runAsEnabled")? {
        return Err(errors::invalid_content("The preference runAsEnabled is not supported."));
    }
    if let Some(profile) = inputs.take("shellProfile") {
        let mut profile = Fields::of("shellProfile", profile)?;
        if profile.text("linux")?.is_some_and(|text| !text.is_empty()) {
            return Err(errors::invalid_content("The preference shellProfile.linux is not supported."));
        }
        // No instance here runs Windows.
        profile.text("windows")?;
        profile.end()?;
    }
    let preferences = Preferences {
        idle_limit: minutes(&mut inputs, "idleSessionTimeout", 60)?,
        duration_max: minutes(&mut inputs, "maxSessionDuration", 1440)?,
    };
    inputs.end()?;
    Ok(Body::Session(preferences))
}

/// Minutes from 1 to `max` (ssm.md 1); an empty text is none.
fn minutes(inputs: &mut Fields<'_>, name: &str, max: i64) -> Result<Option<Span>, ApiError> {
    let text = match inputs.take(name) {
        None => return Ok(None),
        Some(value) => parameters::plain(&value),
    };
    if text.is_empty() {
        return Ok(None);
    }
    let minutes = text.parse().ok().filter(|minutes| (1..=max).contains(minutes));
    let minutes = minutes.ok_or_else(|| errors::invalid_content(format!("{name} must be from 1 to {max} minutes.")))?;
    Ok(Some(Span::from_mins(minutes)))
}

/// A content in YAML as JSON.
///
/// # Errors
/// `InvalidDocumentContent`, for none that could be stored.
pub fn as_json(text: &str) -> Result<String, ApiError> {
    let value = parse(DocumentFormat::Yaml, text)?;
    Ok(serde_json::to_string_pretty(&value).unwrap_or_default())
}
