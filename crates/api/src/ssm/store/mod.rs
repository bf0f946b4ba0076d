//! Parameter Store: values under names, in versions, sealed when they are
//! secret (Systems Manager User Guide, "AWS Systems Manager Parameter Store").
//! The public parameters of images are answered beside those of the account.

mod get;
mod history;
mod labels;
mod list;
mod put;
mod tags;
#[cfg(test)]
mod tests;

pub(super) use get::stored;
pub use get::{get_parameter, get_parameters, get_parameters_by_path};
pub use history::get_parameter_history;
pub use labels::{label_parameter_version, unlabel_parameter_version};
pub use list::describe_parameters;
pub use put::{delete_parameter, delete_parameters, put_parameter};
pub(super) use tags::added;
pub use tags::{add_tags_to_resource, list_tags_for_resource, remove_tags_from_resource};

use super::errors;
use crate::World;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_engine::View;
use elastane_engine::row::{Parameter, ParameterKind, ParameterVersion};
use elastane_wire::ApiError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of a kind in answers.
fn kind_name(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Text => "String",
        ParameterKind::List => "StringList",
        ParameterKind::Secure => "SecureString",
    }
}

/// `arn:aws:ssm:<region>:<account>:parameter/<name>`.
fn arn(view: &View<'_>, name: &str) -> String {
    view.scope.arn("ssm", &format!("parameter/{}", name.trim_start_matches('/')))
}

/// The name of a parameter that a call gives, which may be its ARN.
fn plain_name<'a>(view: &View<'_>, text: &'a str) -> std::borrow::Cow<'a, str> {
    match text.strip_prefix(&view.scope.arn("ssm", "parameter/")) {
        // Only names in folders begin with a slash, which the ARN swallows.
        Some(rest) if rest.contains('/') => format!("/{rest}").into(),
        Some(rest) => rest.into(),
        None => text.into(),
    }
}

/// The parameter of a name or an ARN.
///
/// # Errors
/// `ParameterNotFound`, `ValidationException` without a name.
fn find<'a>(view: &View<'a>, text: &Option<String>) -> Result<&'a Arc<Parameter>, ApiError> {
    let text = text.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| errors::missing("Name"))?;
    let name = plain_name(view, text);
    view.get::<Parameter>(&name).ok_or_else(|| errors::parameter_not_found(text))
}

/// What a sealed value is bound to (KMS Developer Guide, "Parameter Store
/// encryption context").
fn context(view: &View<'_>, name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("PARAMETER_ARN".to_string(), arn(view, name))])
}

/// A version's value: a sealed one is opened when it is asked for.
///
/// # Errors
/// `InvalidKeyId` when its key may not be used or is gone.
fn value(
    view: &View<'_>,
    world: &dyn World,
    row: &Parameter,
    version: &ParameterVersion,
    decrypted: bool,
) -> Result<String, ApiError> {
    if row.kind != ParameterKind::Secure || !decrypted {
        return Ok(version.value.clone());
    }
    let unreadable = |why: &str| ApiError::new("InvalidKeyId", format!("{} ({why})", arn(view, &row.name)));
    let sealed = STANDARD.decode(&version.value).map_err(|_| unreadable("it is not sealed text"))?;
    let (_, text) =
        crate::kms::open(view, world, &context(view, &row.name), &sealed).map_err(|err| unreadable(&err.message))?;
    String::from_utf8(text).map_err(|_| unreadable("it is not text"))
}
