//! Launch templates: what clients make of them, and deleting them
//! (ec2-imds.md 7). Versions are numbered from 1 and never change.

use super::launch_data::{find_template_row, of_template, overlay, said, text};
use super::template_views::{show_template, show_version};
use super::{errors, tag_rules};
use crate::Change;
use elastane_domain::id::LaunchTemplateId;
use elastane_engine::launch;
use elastane_engine::row::{LaunchData, LaunchTemplate, LaunchTemplateVersion};
use elastane_wire::{ApiError, ec2 as wire};

/// Templates of one account and region (EC2 User Guide, "Launch template
/// restrictions").
const TEMPLATES_MAX: usize = 5000;

/// Versions that one template has at a time, likewise.
const VERSIONS_MAX: usize = 10_000;

/// Versions that one call deletes (EC2 API Reference,
/// "DeleteLaunchTemplateVersions").
const DELETED_MAX: usize = 200;

/// CreateLaunchTemplate. The same client token with the same parameters
/// answers with the template that it made.
///
/// # Errors
/// `InvalidLaunchTemplateName.MalformedException` and
/// `.AlreadyExistsException`, `IdempotentParameterMismatch`,
/// `ResourceCountExceeded`, and those of launch data and tags.
pub fn create_launch_template(
    change: &mut Change<'_, '_>,
    input: &wire::CreateLaunchTemplateRequest,
) -> Result<wire::CreateLaunchTemplateResult, ApiError> {
    let name = text(&input.launch_template_name).ok_or_else(|| errors::missing("LaunchTemplateName"))?;
    check_name(&name)?;
    if input.operator.is_some() {
        return Err(errors::unsupported("Operator"));
    }
    let data = of_template(given(input.launch_template_data.as_ref())?)?;
    let tags = tag_rules::specified(&input.tag_specifications, &["launch-template"])?
        .remove("launch-template")
        .unwrap_or_default();
    let client_token = text(&input.client_token);
    if let Some(made) = made_before(change, client_token.as_deref()) {
        let same =
            made.name == name && made.versions.first().is_some_and(|first| first.number != 1 || first.data == data);
        if !same {
            return Err(errors::token_mismatch());
        }
        errors::dry_run(input.dry_run)?;
        return Ok(wire::CreateLaunchTemplateResult { launch_template: Some(show_template(&made)), warning: None });
    }
    if change.all::<LaunchTemplate>().any(|template| template.name == name) {
        let message = "Launch template name already in use.";
        return Err(ApiError::new("InvalidLaunchTemplateName.AlreadyExistsException", message));
    }
    if change.launch_templates.len() >= TEMPLATES_MAX {
        let message = format!("At most {TEMPLATES_MAX} launch templates are allowed in a Region.");
        return Err(ApiError::new("ResourceCountExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    let created_by = change.caller.arn.clone();
    let warning = warning(change, &data);
    let first = LaunchTemplateVersion {
        number: 1,
        description: text(&input.version_description),
        created_at: change.now,
        created_by: created_by.clone(),
        data,
        client_token: None,
    };
    let template = LaunchTemplate {
        id: change.rng.id(LaunchTemplateId::PREFIX).into(),
        name,
        created_at: change.now,
        created_by,
        default_version: 1,
        latest_version: 1,
        versions: vec![first],
        tags,
        client_token,
    };
    let shown = show_template(&template);
    change.put(template);
    Ok(wire::CreateLaunchTemplateResult { launch_template: Some(shown), warning })
}

/// 3 to 128 letters, digits and `( ) . - / _`.
fn check_name(name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "().-/_".contains(c);
    if (3..=128).contains(&name.chars().count()) && name.chars().all(allowed) {
        return Ok(());
    }
    let message = "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, \
                   and the following characters: - ( ) . / _";
    Err(ApiError::new("InvalidLaunchTemplateName.MalformedException", message))
}

fn given(data: Option<&wire::RequestLaunchTemplateData>) -> Result<&wire::RequestLaunchTemplateData, ApiError> {
    data.ok_or_else(|| errors::missing("LaunchTemplateData"))
}

/// What a launch from the data as it stands would be refused for; nothing for
/// what calls may still add.
fn warning(change: &Change<'_, '_>, data: &LaunchData) -> Option<wire::ValidationWarning> {
    let refusal = launch::check(change, data).err().filter(|refusal| refusal.code != "MissingParameter")?;
    let error = wire::ValidationError { code: Some(refusal.code.to_string()), message: Some(refusal.message) };
    Some(wire::ValidationWarning { errors: vec![error] })
}

fn made_before(change: &Change<'_, '_>, token: Option<&str>) -> Option<LaunchTemplate> {
    let token = token?;
    let found = change.all::<LaunchTemplate>().find(|template| template.client_token.as_deref() == Some(token));
    found.map(|template| LaunchTemplate::clone(template))
}

/// A copy of the template that a call names, to be changed and put back.
fn named(change: &Change<'_, '_>, id: Option<&str>, name: Option<&str>) -> Result<LaunchTemplate, ApiError> {
    find_template_row(&change.view(), id, name).cloned()
}

fn version_not_found(template: &LaunchTemplate, version: &str) -> ApiError {
    let message = format!("Could not find launch template version '{version}' for launch template '{}'", template.id);
    ApiError::new("InvalidLaunchTemplateId.VersionNotFound", message)
}

/// CreateLaunchTemplateVersion: what is given, on top of the source version
/// if one is named. `$Latest` moves, `$Default` does not. The same client
/// token with the same parameters answers with the version that it made.
///
/// # Errors
/// `InvalidLaunchTemplateId.*`, `InvalidLaunchTemplateName.NotFoundException`,
/// `IdempotentParameterMismatch`, `ResourceCountExceeded`, and those of
/// launch data.
pub fn create_launch_template_version(
    change: &mut Change<'_, '_>,
    input: &wire::CreateLaunchTemplateVersionRequest,
) -> Result<wire::CreateLaunchTemplateVersionResult, ApiError> {
    let mut template = named(change, input.launch_template_id.as_deref(), input.launch_template_name.as_deref())?;
    let given = given(input.launch_template_data.as_ref())?;
    let data = match text(&input.source_version) {
        None => of_template(given)?,
        Some(source) => {
            let base = template.version(&source).ok_or_else(|| version_not_found(&template, &source))?;
            of_template(&overlay(&said(&base.data), given.clone()))?
        }
    };
    let description = text(&input.version_description);
    let client_token = text(&input.client_token);
    let resolve = input.resolve_alias.unwrap_or(false);
    let made = template.versions.iter().find(|version| client_token.is_some() && version.client_token == client_token);
    if let Some(made) = made {
        if made.data != data || made.description != description {
            return Err(errors::token_mismatch());
        }
        errors::dry_run(input.dry_run)?;
        let launch_template_version = Some(show_version(&change.view(), (&template, made), resolve));
        return Ok(wire::CreateLaunchTemplateVersionResult { launch_template_version, warning: None });
    }
    if template.versions.len() >= VERSIONS_MAX {
        let message = format!("A launch template has at most {VERSIONS_MAX} versions.");
        return Err(ApiError::new("ResourceCountExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    template.latest_version += 1;
    let version = LaunchTemplateVersion {
        number: template.latest_version,
        description,
        created_at: change.now,
        created_by: change.caller.arn.clone(),
        data,
        client_token,
    };
    let launch_template_version = Some(show_version(&change.view(), (&template, &version), resolve));
    let warning = warning(change, &version.data);
    template.versions.push(version);
    change.put(template);
    Ok(wire::CreateLaunchTemplateVersionResult { launch_template_version, warning })
}

/// ModifyLaunchTemplate: sets the default version.
///
/// # Errors
/// `InvalidLaunchTemplateId.*`, `InvalidLaunchTemplateName.NotFoundException`.
pub fn modify_launch_template(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyLaunchTemplateRequest,
) -> Result<wire::ModifyLaunchTemplateResult, ApiError> {
    let mut template = named(change, input.launch_template_id.as_deref(), input.launch_template_name.as_deref())?;
    let wanted = text(&input.default_version).ok_or_else(|| errors::missing("SetDefaultVersion"))?;
    let version = template.version(&wanted).ok_or_else(|| version_not_found(&template, &wanted))?;
    template.default_version = version.number;
    errors::dry_run(input.dry_run)?;
    let launch_template = Some(show_template(&template));
    change.put(template);
    Ok(wire::ModifyLaunchTemplateResult { launch_template })
}

/// DeleteLaunchTemplate: the template with all its versions.
///
/// # Errors
/// `InvalidLaunchTemplateId.*`, `InvalidLaunchTemplateName.NotFoundException`.
pub fn delete_launch_template(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteLaunchTemplateRequest,
) -> Result<wire::DeleteLaunchTemplateResult, ApiError> {
    let template = named(change, input.launch_template_id.as_deref(), input.launch_template_name.as_deref())?;
    errors::dry_run(input.dry_run)?;
    change.delete::<LaunchTemplate>(template.id.as_str());
    Ok(wire::DeleteLaunchTemplateResult { launch_template: Some(show_template(&template)) })
}

/// DeleteLaunchTemplateVersions: each version for itself; what cannot be
/// deleted is told in the answer and is no error of the call.
///
/// # Errors
/// `InvalidParameterValue` for a version that is no number or for too many.
pub fn delete_launch_template_versions(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteLaunchTemplateVersionsRequest,
) -> Result<wire::DeleteLaunchTemplateVersionsResult, ApiError> {
    if input.versions.is_empty() {
        return Err(errors::missing("LaunchTemplateVersion"));
    }
    if input.versions.len() > DELETED_MAX {
        return Err(errors::invalid_value(format!("At most {DELETED_MAX} versions can be deleted in one call.")));
    }
    let number = |text: &String| {
        let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
        number.ok_or_else(|| errors::invalid_value(format!("Invalid launch template version: '{text}'")))
    };
    let numbers = input.versions.iter().map(number).collect::<Result<Vec<u64>, ApiError>>()?;
    let (id, name) = (text(&input.launch_template_id), text(&input.launch_template_name));
    let mut template = match named(change, id.as_deref(), name.as_deref()) {
        Ok(template) => template,
        Err(err) => return without_template(input, &numbers, err),
    };
    let mut result = wire::DeleteLaunchTemplateVersionsResult::default();
    for number in numbers {
        match delete_version(&mut template, number) {
            Ok(()) => result.successfully_deleted_launch_template_versions.push(
                wire::DeleteLaunchTemplateVersionsResponseSuccessItem {
                    launch_template_id: Some(template.id.to_string()),
                    launch_template_name: Some(template.name.clone()),
                    version_number: i64::try_from(number).ok(),
                },
            ),
            Err((code, message)) => result.unsuccessfully_deleted_launch_template_versions.push(failure(
                Some(template.id.to_string()),
                Some(template.name.clone()),
                number,
                code,
                message,
            )),
        }
    }
    errors::dry_run(input.dry_run)?;
    change.put(template);
    Ok(result)
}

/// Takes a version out, or says by which of the service's codes it stays.
fn delete_version(template: &mut LaunchTemplate, number: u64) -> Result<(), (&'static str, String)> {
    let Some(at) = template.versions.iter().position(|version| version.number == number) else {
        let message =
            format!("Could not find launch template version '{number}' for launch template '{}'", template.id);
        return Err(("launchTemplateVersionDoesNotExist", message));
    };
    if number == template.default_version {
        return Err(("unexpectedError", format!("Cannot delete the default launch template version '{number}'.")));
    }
    template.versions.remove(at);
    Ok(())
}

/// The answer when the template itself is at fault: the same failure for
/// every version.
fn without_template(
    input: &wire::DeleteLaunchTemplateVersionsRequest,
    numbers: &[u64],
    err: ApiError,
) -> Result<wire::DeleteLaunchTemplateVersionsResult, ApiError> {
    let code = match err.code.as_ref() {
        "InvalidLaunchTemplateId.Malformed" => "launchTemplateIdMalformed",
        "InvalidLaunchTemplateId.NotFound" => "launchTemplateIdDoesNotExist",
        "InvalidLaunchTemplateName.NotFoundException" => "launchTemplateNameDoesNotExist",
        _ => return Err(err),
    };
    let (id, name) = (&input.launch_template_id, &input.launch_template_name);
    let failed = |number: &u64| failure(text(id), text(name), *number, code, err.message.clone());
    Ok(wire::DeleteLaunchTemplateVersionsResult {
        unsuccessfully_deleted_launch_template_versions: numbers.iter().map(failed).collect(),
        ..Default::default()
    })
}

fn failure(
    id: Option<String>,
    name: Option<String>,
    number: u64,
    code: &str,
    message: String,
) -> wire::DeleteLaunchTemplateVersionsResponseErrorItem {
    wire::DeleteLaunchTemplateVersionsResponseErrorItem {
        launch_template_id: id,
        launch_template_name: name,
        response_error: Some(wire::ResponseError { code: Some(code.to_string()), message: Some(message) }),
        version_number: i64::try_from(number).ok(),
    }
}
