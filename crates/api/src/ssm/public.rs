//! GetParameter and its relatives, over the public parameters of images: the
//! names under `/aws/service/` that `elastane_engine::public_parameters` knows.
//! Parameters of users are not kept yet.

use super::errors;
use crate::Call;
use crate::page::{Pager, page};
use elastane_domain::time::Time;
use elastane_engine::View;
use elastane_engine::public_parameters::{self, AMAZON_LINUX, DEBIAN, UBUNTU};
use elastane_wire::value::Timestamp;
use elastane_wire::{ApiError, ssm as wire};

/// Names of one GetParameters call (Systems Manager API Reference).
const NAMES_MAX: usize = 10;

/// Parameters of one page of GetParametersByPath, likewise.
const PAGE_MAX: usize = 10;

/// What a path lists below the Amazon Linux folder; more names than these are known.
const AMAZON_LINUX_NAMES: [&str; 12] = [
    "al2023-ami-kernel-6.1-arm64",
    "al2023-ami-kernel-6.1-x86_64",
    "al2023-ami-kernel-default-arm64",
    "al2023-ami-kernel-default-x86_64",
    "al2023-ami-minimal-kernel-default-arm64",
    "al2023-ami-minimal-kernel-default-x86_64",
    "amzn2-ami-hvm-arm64-gp2",
    "amzn2-ami-hvm-x86_64-ebs",
    "amzn2-ami-hvm-x86_64-gp2",
    "amzn2-ami-kernel-5.10-hvm-x86_64-gp2",
    "amzn2-ami-minimal-hvm-x86_64-ebs",
    "amzn2-ami-minimal-hvm-arm64-ebs",
];

/// What a path lists below the Ubuntu folder: release and code name.
const UBUNTU_RELEASES: [&str; 6] = ["20.04", "22.04", "24.04", "focal", "jammy", "noble"];

/// What a path lists below the Debian folder.
const DEBIAN_RELEASES: [&str; 6] = ["10", "11", "12", "13", "bookworm", "trixie"];

fn shown(view: &View<'_>, name: &str) -> Option<wire::Parameter> {
    let image = public_parameters::image(view, name)?;
    let region = &view.scope.region;
    let Time(created) = image.created_at;
    Some(wire::Parameter {
        // Public parameters belong to no account.
        arn: Some(format!("arn:aws:ssm:{region}::parameter{name}")),
        data_type: Some("text".to_string()),
        last_modified_date: Some(Timestamp(created)),
        name: Some(name.to_string()),
        r#type: Some("String".to_string()),
        value: Some(image.id.to_string()),
        version: Some(1),
        ..Default::default()
    })
}

/// GetParameter. Errors: `ParameterNotFound`.
pub fn get_parameter(call: &Call<'_>, input: &wire::GetParameterRequest) -> Result<wire::GetParameterResult, ApiError> {
    let name = input.name.as_deref().filter(|name| !name.is_empty()).ok_or_else(|| errors::missing("Name"))?;
    match shown(&call.view, name) {
        Some(parameter) => Ok(wire::GetParameterResult { parameter: Some(parameter) }),
        None => Err(errors::parameter_not_found(name)),
    }
}

/// GetParameters: those that are there, and the names of the others.
pub fn get_parameters(
    call: &Call<'_>,
    input: &wire::GetParametersRequest,
) -> Result<wire::GetParametersResult, ApiError> {
    if input.names.is_empty() || input.names.len() > NAMES_MAX {
        return Err(errors::validation(format!("Names must have 1 to {NAMES_MAX} entries")));
    }
    let mut answer = wire::GetParametersResult::default();
    for name in &input.names {
        match shown(&call.view, name) {
            Some(parameter) => answer.parameters.push(parameter),
            None => answer.invalid_parameters.push(name.clone()),
        }
    }
    Ok(answer)
}

/// Every name that a path can list.
fn listed() -> Vec<String> {
    let mut names: Vec<String> = AMAZON_LINUX_NAMES.iter().map(|name| format!("{AMAZON_LINUX}{name}")).collect();
    for arch in ["amd64", "arm64"] {
        let ubuntu = |release| format!("{UBUNTU}{release}/stable/current/{arch}/hvm/ebs-gp3/ami-id");
        names.extend(UBUNTU_RELEASES.iter().map(ubuntu));
        names.extend(DEBIAN_RELEASES.iter().map(|release| format!("{DEBIAN}{release}/latest/{arch}")));
    }
    names.sort();
    names
}

/// GetParametersByPath: the well-known names below a path that stand for an
/// image; all levels with Recursive, else the next one. Errors:
/// `ValidationException`, `InvalidNextToken`.
pub fn get_parameters_by_path(
    call: &Call<'_>,
    input: &wire::GetParametersByPathRequest,
) -> Result<wire::GetParametersByPathResult, ApiError> {
    let path = input.path.as_deref().filter(|path| path.starts_with('/'));
    let path = path.ok_or_else(|| errors::validation("The parameter path must begin with a slash"))?;
    if !input.parameter_filters.is_empty() {
        return Err(errors::unsupported("The parameter 'ParameterFilters'"));
    }
    let folder = format!("{}/", path.trim_end_matches('/'));
    let below = |name: &String| {
        let rest = name.strip_prefix(&folder);
        rest.is_some_and(|rest| input.recursive.unwrap_or(false) || !rest.contains('/'))
    };
    let found: Vec<wire::Parameter> =
        listed().into_iter().filter(below).filter_map(|name| shown(&call.view, &name)).collect();
    let max = input.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let pager = Pager { token: input.next_token.as_deref(), max: Some(max), bad_token: "InvalidNextToken" };
    let (parameters, next_token) = page(found, pager, |one| one.name.clone().unwrap_or_default())?;
    Ok(wire::GetParametersByPathResult { next_token, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_engine::public_parameters::stands_for_image;

    /// Whatever a path lists stands for an image.
    #[test]
    fn listed_names_have_a_meaning() {
        assert!(listed().iter().all(|name| stands_for_image(name)));
    }
}
