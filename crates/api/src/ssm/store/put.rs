//! PutParameter and the deletions.

use super::super::errors;
use super::{context, find, plain_name, tags};
use crate::Change;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_engine::row::{Image, Parameter, ParameterKind, ParameterVersion, Tags};
use elastane_wire::{ApiError, ssm as wire};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

/// Parameters of an account in a region (Systems Manager endpoints and quotas).
const PARAMETERS_MAX: usize = 10_000;

/// Versions that are kept (Systems Manager User Guide, "Parameter versions").
const VERSIONS_MAX: usize = 100;

/// Characters of a name, its slashes among them, and levels of it.
const NAME_MAX: usize = 1_011;
const LEVELS_MAX: usize = 15;

/// Bytes of a value by tier.
const STANDARD_MAX: usize = 4_096;
const ADVANCED_MAX: usize = 8_192;

/// Names of one DeleteParameters call.
const NAMES_MAX: usize = 10;

/// PutParameter: a new parameter, or with Overwrite a new version.
///
/// # Errors
/// `ParameterAlreadyExists`, `ParameterPatternMismatchException`,
/// `UnsupportedParameterType`, `InvalidKeyId`, `ParameterLimitExceeded`,
/// `ParameterMaxVersionLimitExceeded`, `HierarchyLevelLimitExceededException`,
/// `ValidationException`.
pub fn put_parameter(
    change: &mut Change<'_, '_>,
    input: &wire::PutParameterRequest,
) -> Result<wire::PutParameterResult, ApiError> {
    let given = input.name.as_deref().unwrap_or_default();
    let name = plain_name(&change.view(), given).into_owned();
    check_name(&name)?;
    if input.policies.is_some() {
        return Err(errors::unsupported("The parameter 'Policies'"));
    }
    let before = change.get::<Parameter>(&name);
    let overwrite = input.overwrite.unwrap_or(false);
    if before.is_some() && !overwrite {
        let text =
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
        return Err(ApiError::new("ParameterAlreadyExists", text));
    }
    if overwrite && !input.tags.is_empty() {
        return Err(errors::validation(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please \
             remove overwrite flag.",
        ));
    }
    let kind = kind(&input.r#type, before.as_deref())?;
    let version = version(change, input, (&name, kind), before.as_deref())?;
    let tier = Some(version.tier.clone());
    let row = match before {
        Some(before) => renewed(&before, kind, version)?,
        None if change.parameters.len() >= PARAMETERS_MAX => {
            let text = format!("The account has {PARAMETERS_MAX} parameters already.");
            return Err(ApiError::new("ParameterLimitExceeded", text));
        }
        None => {
            let tags = tags::added(&Tags::new(), &input.tags)?;
            Parameter { name, kind, versions: BTreeMap::from([(1, version)]), tags }
        }
    };
    let number = row.versions.keys().next_back().and_then(|number| i64::try_from(*number).ok());
    change.put(row);
    Ok(wire::PutParameterResult { tier, version: number })
}

/// A parameter with one version more. The oldest goes when there are too many,
/// unless a label holds it.
fn renewed(before: &Parameter, kind: ParameterKind, version: ParameterVersion) -> Result<Parameter, ApiError> {
    let mut row = Parameter { kind, ..before.clone() };
    let next = row.versions.keys().next_back().map_or(1, |newest| newest + 1);
    row.versions.insert(next, version);
    if row.versions.len() > VERSIONS_MAX {
        let (_, oldest) = row.versions.pop_first().expect("there are more than a hundred");
        if !oldest.labels.is_empty() {
            let text = "The oldest version of the parameter has a label: move it to another version first.";
            return Err(ApiError::new("ParameterMaxVersionLimitExceeded", text));
        }
    }
    Ok(row)
}

fn kind(given: &Option<String>, before: Option<&Parameter>) -> Result<ParameterKind, ApiError> {
    match (given.as_deref(), before) {
        (Some("String"), _) => Ok(ParameterKind::Text),
        (Some("StringList"), _) => Ok(ParameterKind::List),
        (Some("SecureString"), _) => Ok(ParameterKind::Secure),
        (Some(other), _) => {
            Err(ApiError::new("UnsupportedParameterType", format!("The parameter type {other} is not supported.")))
        }
        (None, Some(before)) => Ok(before.kind),
        (None, None) => Err(errors::validation("A parameter type is required when you create a parameter.")),
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/');
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(fine) || name.ends_with('/') {
        return Err(errors::validation(format!(
            "Parameter name: can't be longer than {NAME_MAX} characters and can only include letters, numbers and the \
             symbols . - _ /"
        )));
    }
    let first = name.trim_start_matches('/').split('/').next().unwrap_or_default().to_ascii_lowercase();
    if first.starts_with("aws") || first.starts_with("ssm") {
        return Err(errors::validation(format!("No access to reserved parameter name: {name}.")));
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(errors::validation("Parameter name must be a fully qualified name: it must begin with a slash."));
    }
    if name.matches('/').count() > LEVELS_MAX {
        let text = format!("A parameter name has at most {LEVELS_MAX} levels.");
        return Err(ApiError::new("HierarchyLevelLimitExceededException", text));
    }
    Ok(())
}

/// The version that a call makes.
fn version(
    change: &mut Change<'_, '_>,
    input: &wire::PutParameterRequest,
    (name, kind): (&str, ParameterKind),
    before: Option<&Parameter>,
) -> Result<ParameterVersion, ApiError> {
    let text = input.value.as_deref().unwrap_or_default();
    let newest = before.and_then(|row| row.versions.values().next_back());
    let tier = tier(&input.tier, text, newest)?;
    let allowed_pattern = input.allowed_pattern.clone().or_else(|| newest.and_then(|one| one.allowed_pattern.clone()));
    if let Some(pattern) = allowed_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        check_pattern(pattern, text)?;
    }
    let data_type = input.data_type.clone().unwrap_or_else(|| "text".to_string());
    match data_type.as_str() {
        "text" => {}
        "aws:ec2:image" if change.get::<Image>(text).is_some() => {}
        "aws:ec2:image" => return Err(errors::validation(format!("The image {text} does not exist."))),
        _ => return Err(errors::validation(format!("The data type {data_type} is not supported."))),
    }
    let key = match kind {
        ParameterKind::Secure => Some(match input.key_id.clone().filter(|key| !key.is_empty()) {
            Some(key) => key,
            None => {
                crate::kms::of_service(change, "ssm")?;
                "alias/aws/ssm".to_string()
            }
        }),
        ParameterKind::Text | ParameterKind::List if input.key_id.is_some() => {
            return Err(errors::validation("KeyId is for parameters of the type SecureString only."));
        }
        ParameterKind::Text | ParameterKind::List => None,
    };
    let value = match &key {
        None => text.to_string(),
        Some(_) => {
            let context = context(&change.view(), name);
            let sealed = crate::kms::seal(change, &key, &context, text.as_bytes());
            let (_, sealed) = sealed.map_err(|err| ApiError::new("InvalidKeyId", err.message.to_string()))?;
            STANDARD.encode(sealed)
        }
    };
    Ok(ParameterVersion {
        value,
        key,
        description: input.description.clone().or_else(|| newest.and_then(|one| one.description.clone())),
        allowed_pattern,
        data_type,
        tier,
        labels: BTreeSet::new(),
        modified_at: change.now,
        modified_by: change.caller.arn.clone(),
    })
}

/// The tier of a value. An advanced parameter does not become a standard one.
fn tier(given: &Option<String>, text: &str, newest: Option<&ParameterVersion>) -> Result<String, ApiError> {
    let advanced = newest.is_some_and(|newest| newest.tier == "Advanced");
    let tier = match given.as_deref() {
        None if advanced => "Advanced",
        None | Some("Standard") => "Standard",
        Some("Advanced") => "Advanced",
        Some("Intelligent-Tiering") if advanced || text.len() > STANDARD_MAX => "Advanced",
        Some("Intelligent-Tiering") => "Standard",
        Some(other) => return Err(errors::validation(format!("The tier {other} is not supported."))),
    };
    if advanced && tier == "Standard" {
        return Err(errors::validation("An advanced parameter can't be changed to a standard one."));
    }
    let max = if tier == "Standard" { STANDARD_MAX } else { ADVANCED_MAX };
    if text.is_empty() || text.len() > max {
        return Err(errors::validation(format!(
            "{tier} tier parameters support parameter values of 1 to {max} characters."
        )));
    }
    Ok(tier.to_string())
}

fn check_pattern(pattern: &str, text: &str) -> Result<(), ApiError> {
    let compiled = Regex::new(&format!("^(?:{pattern})$"));
    let compiled = compiled.map_err(|_| {
        ApiError::new(
            "InvalidAllowedPatternException",
            format!("The pattern {pattern} is not a valid regular expression."),
        )
    })?;
    match compiled.is_match(text) {
        true => Ok(()),
        false => Err(ApiError::new(
            "ParameterPatternMismatchException",
            format!("Parameter value, cannot be validated against allowedPattern: {pattern}"),
        )),
    }
}

/// DeleteParameter, with all its versions.
///
/// # Errors
/// `ParameterNotFound`.
pub fn delete_parameter(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteParameterRequest,
) -> Result<wire::DeleteParameterResult, ApiError> {
    let name = find(&change.view(), &input.name)?.name.clone();
    change.delete::<Parameter>(&name);
    Ok(wire::DeleteParameterResult {})
}

/// DeleteParameters: those that were there, and the names of the others.
///
/// # Errors
/// `ValidationException` unless it names 1 to 10.
pub fn delete_parameters(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteParametersRequest,
) -> Result<wire::DeleteParametersResult, ApiError> {
    if input.names.is_empty() || input.names.len() > NAMES_MAX {
        return Err(errors::validation(format!("Names must have 1 to {NAMES_MAX} entries")));
    }
    let mut answer = wire::DeleteParametersResult::default();
    for given in &input.names {
        let found = find(&change.view(), &Some(given.clone())).ok().map(|row| row.name.clone());
        match found {
            Some(name) => {
                change.delete::<Parameter>(&name);
                answer.deleted_parameters.push(given.clone());
            }
            None => answer.invalid_parameters.push(given.clone()),
        }
    }
    Ok(answer)
}
