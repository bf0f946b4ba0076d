//! Launch templates as Describe calls show them: data exactly as it was
//! sent, because clients compare it with what they sent.

use super::filter::Filters;
use super::launch_data::{find_template_row, image_of_parameter, shown, text};
use super::listing::{IdKind, chosen};
use super::paging::cut;
use super::{errors, tag_rules};
use crate::Call;
use elastane_domain::id::LaunchTemplateId;
use elastane_engine::View;
use elastane_engine::row::{LaunchTemplate, LaunchTemplateVersion, Tags};
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

const TEMPLATE_ID: IdKind = IdKind {
    prefix: LaunchTemplateId::PREFIX,
    malformed: "InvalidLaunchTemplateId.Malformed",
    not_found: "InvalidLaunchTemplateId.NotFound",
    noun: "The launch template ID",
};

/// MaxResults of both calls (ec2-imds.md 7); they have pages also beside ids.
const LIMITS: (RangeInclusive<i32>, bool) = (1..=200, false);

const TEMPLATE_FILTERS: [&str; 2] = ["create-time", "launch-template-name"];

const VERSION_FILTERS: [&str; 13] = [
    "create-time",
    "ebs-optimized",
    "http-endpoint",
    "http-protocol-ipv4",
    "http-tokens",
    "iam-instance-profile",
    "image-id",
    "instance-type",
    "is-default-version",
    "kernel-id",
    "license-configuration-arn",
    "network-card-index",
    "ram-disk-id",
];

/// DescribeLaunchTemplates, of ids, of names, or all.
///
/// # Errors
/// `InvalidLaunchTemplateId.*`, `InvalidLaunchTemplateName.NotFoundException`,
/// those of filters and pages.
pub fn describe_launch_templates(
    call: &Call<'_>,
    input: &wire::DescribeLaunchTemplatesRequest,
) -> Result<wire::DescribeLaunchTemplatesResult, ApiError> {
    let filters = Filters::new(&input.filters, &TEMPLATE_FILTERS)?;
    let rows = chosen_templates(call, input)?;
    errors::dry_run(input.dry_run)?;
    let rows = rows.into_iter().filter(|template| {
        filters.accept(&template.tags, |name, emit| match name {
            "create-time" => emit(&template.created_at.iso_millis()),
            "launch-template-name" => emit(&template.name),
            _ => {}
        })
    });
    let token = input.next_token.as_deref();
    let (rows, next_token) = cut(rows.collect(), input.max_results, token, LIMITS, |template| template.id.to_string())?;
    let launch_templates = rows.into_iter().map(show_template).collect();
    Ok(wire::DescribeLaunchTemplatesResult { launch_templates, next_token })
}

/// The templates that a call names by id or name, in the order of their ids.
fn chosen_templates<'a>(
    call: &Call<'a>,
    input: &wire::DescribeLaunchTemplatesRequest,
) -> Result<Vec<&'a LaunchTemplate>, ApiError> {
    if input.launch_template_names.is_empty() {
        let rows = chosen::<LaunchTemplate>(call, &input.launch_template_ids, &TEMPLATE_ID)?;
        return Ok(rows.into_iter().map(Arc::as_ref).collect());
    }
    let mut rows = BTreeMap::new();
    for name in &input.launch_template_names {
        let template = find_template_row(&call.view, None, Some(name))?;
        rows.insert(template.id.clone(), template);
    }
    for id in &input.launch_template_ids {
        let template = find_template_row(&call.view, Some(id), None)?;
        rows.insert(template.id.clone(), template);
    }
    Ok(rows.into_values().collect())
}

/// DescribeLaunchTemplateVersions, oldest first: of one template all
/// versions, those named, or a range; without a template the `$Latest` or
/// `$Default` versions of all.
///
/// # Errors
/// `InvalidLaunchTemplateId.*`, `InvalidLaunchTemplateName.NotFoundException`,
/// `InvalidParameterValue` and `MissingParameter` for versions that do not
/// go with the rest, those of filters and pages.
pub fn describe_launch_template_versions(
    call: &Call<'_>,
    input: &wire::DescribeLaunchTemplateVersionsRequest,
) -> Result<wire::DescribeLaunchTemplateVersionsResult, ApiError> {
    let filters = Filters::new(&input.filters, &VERSION_FILTERS)?;
    let found = chosen_versions(call, input)?;
    errors::dry_run(input.dry_run)?;
    let found = found.into_iter().filter(|(template, version)| {
        filters.accept(&Tags::new(), |name, emit| version_values(template, version, name, emit))
    });
    let token = input.next_token.as_deref();
    let (found, next_token) =
        cut(found.collect(), input.max_results, token, LIMITS, |(template, version)| place(template, version))?;
    let launch_template_versions =
        found.into_iter().map(|found| show_version(&call.view, found, input.resolve_alias.unwrap_or(false))).collect();
    Ok(wire::DescribeLaunchTemplateVersionsResult { launch_template_versions, next_token })
}

/// Where a version stands in an answer: its template's oldest come first, as
/// clients take the last one for `$Latest` (terraform-calls.md 3).
fn place(template: &LaunchTemplate, version: &LaunchTemplateVersion) -> String {
    format!("{}/{:020}", template.id, version.number)
}

type Found<'a> = (&'a LaunchTemplate, &'a LaunchTemplateVersion);

/// The versions that a call asks for, each once, in the order of [`place`].
fn chosen_versions<'a>(
    call: &Call<'a>,
    input: &wire::DescribeLaunchTemplateVersionsRequest,
) -> Result<Vec<Found<'a>>, ApiError> {
    let (id, name) = (text(&input.launch_template_id), text(&input.launch_template_name));
    if id.is_none() && name.is_none() {
        return versions_of_all(call, &input.versions);
    }
    let template = find_template_row(&call.view, id.as_deref(), name.as_deref())?;
    let bound = |text: Option<String>, open: u64| match text {
        None => Ok(open),
        Some(text) => match text.as_str() {
            "$Latest" => Ok(template.latest()),
            "$Default" => Ok(template.default_version),
            number => number
                .parse()
                .map_err(|_| errors::invalid_value(format!("Invalid launch template version: '{number}'"))),
        },
    };
    let range = bound(text(&input.min_version), 0)?..=bound(text(&input.max_version), u64::MAX)?;
    let mut numbers = BTreeSet::new();
    for text in &input.versions {
        let version = template.version(text).ok_or_else(|| {
            let message =
                format!("Could not find launch template version '{text}' for launch template '{}'", template.id);
            ApiError::new("InvalidLaunchTemplateId.VersionNotFound", message)
        })?;
        numbers.insert(version.number);
    }
    let wanted = |number: u64| (numbers.is_empty() || numbers.contains(&number)) && range.contains(&number);
    Ok(template.versions.iter().filter(|version| wanted(version.number)).map(|version| (template, version)).collect())
}

fn versions_of_all<'a>(call: &Call<'a>, versions: &[String]) -> Result<Vec<Found<'a>>, ApiError> {
    if versions.is_empty() {
        return Err(errors::missing("LaunchTemplateId or LaunchTemplateName"));
    }
    if let Some(text) = versions.iter().find(|text| !matches!(text.as_str(), "$Latest" | "$Default")) {
        let message = format!("Without a launch template only $Latest and $Default can be described, not '{text}'.");
        return Err(errors::invalid_value(message));
    }
    let mut found = BTreeMap::new();
    for template in call.all::<LaunchTemplate>() {
        for version in versions.iter().filter_map(|text| template.version(text)) {
            found.insert(place(template, version), (template.as_ref(), version));
        }
    }
    Ok(found.into_values().collect())
}

fn version_values(template: &LaunchTemplate, version: &LaunchTemplateVersion, name: &str, emit: &mut dyn FnMut(&str)) {
    let data = &version.data;
    let mut flag = |value: Option<bool>, yes: &str, no: &str| {
        if let Some(value) = value {
            emit(if value { yes } else { no });
        }
    };
    match name {
        "create-time" => emit(&version.created_at.iso_millis()),
        "ebs-optimized" => flag(data.ebs_optimized, "true", "false"),
        "http-endpoint" => flag(data.metadata.endpoint, "enabled", "disabled"),
        "http-tokens" => flag(data.metadata.tokens_required, "required", "optional"),
        "iam-instance-profile" => data.profile.iter().for_each(|profile| emit(profile)),
        "image-id" => data.image.iter().for_each(|image| emit(image.as_str())),
        "instance-type" => data.instance_type.iter().for_each(|kind| emit(kind)),
        "is-default-version" => flag(Some(version.number == template.default_version), "true", "false"),
        _ => {}
    }
}

/// A template as answers show it.
pub(super) fn show_template(template: &LaunchTemplate) -> wire::LaunchTemplate {
    wire::LaunchTemplate {
        create_time: Some(Timestamp(template.created_at.millis())),
        created_by: Some(template.created_by.clone()),
        default_version_number: i64::try_from(template.default_version).ok(),
        latest_version_number: i64::try_from(template.latest()).ok(),
        launch_template_id: Some(template.id.to_string()),
        launch_template_name: Some(template.name.clone()),
        operator: None,
        tags: tag_rules::shown(&template.tags),
    }
}

/// A version as answers show it; with `resolve`, an image that a parameter
/// names is shown by its id.
pub(super) fn show_version(
    view: &View<'_>,
    (template, version): (&LaunchTemplate, &LaunchTemplateVersion),
    resolve: bool,
) -> wire::LaunchTemplateVersion {
    let mut data = shown(&version.data);
    if let Some(name) = version.data.image_parameter.as_ref().filter(|_| resolve)
        && let Some(image) = image_of_parameter(view, name)
    {
        data.image_id = Some(image.to_string());
    }
    wire::LaunchTemplateVersion {
        create_time: Some(Timestamp(version.created_at.millis())),
        created_by: Some(version.created_by.clone()),
        default_version: Some(version.number == template.default_version),
        launch_template_data: Some(data),
        launch_template_id: Some(template.id.to_string()),
        launch_template_name: Some(template.name.clone()),
        operator: None,
        version_description: version.description.clone(),
        version_number: i64::try_from(version.number).ok(),
    }
}
