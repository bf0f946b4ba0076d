//! Public parameters: the names under `/aws/service/` by which people find
//! the newest image of a distribution. Parameters of users are not kept yet.
//!
//! A name stands for an image that is here. The rule: of the available images
//! that the account may launch, of the architecture that the parameter names,
//! those count whose name or one of whose aliases (the words of the tag
//! `elastane:alias`) is the parameter's full name, its last word, or its short
//! name (`al2023`, `ubuntu-22.04`, `ubuntu-jammy`, `debian-12`). The newest of
//! them is meant; when there is none, the built-in image.

use super::errors;
use crate::Call;
use crate::ec2::ALIAS_TAG;
use crate::page::{Pager, page};
use elastane_domain::id::ImageId;
use elastane_domain::time::Time;
use elastane_engine::row::*;
use elastane_engine::{View, images, network};
use elastane_wire::value::Timestamp;
use elastane_wire::{ApiError, ssm as wire};
use std::sync::Arc;

const AMAZON_LINUX: &str = "/aws/service/ami-amazon-linux-latest/";
const UBUNTU: &str = "/aws/service/canonical/ubuntu/server/";
const DEBIAN: &str = "/aws/service/debian/release/";

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

/// What a parameter's name says.
struct Meaning {
    /// `x86_64` or `arm64`.
    architecture: &'static str,
    /// `al2023`, `ubuntu-22.04`, `debian-12`.
    short: String,
}

/// `None` for a name that stands for no image.
fn meaning(name: &str) -> Option<Meaning> {
    let architecture = |word: &str| match word {
        "x86_64" | "amd64" => Some("x86_64"),
        "arm64" => Some("arm64"),
        _ => None,
    };
    if let Some(rest) = name.strip_prefix(AMAZON_LINUX) {
        let short = ["al2023", "amzn2", "amzn"]
            .into_iter()
            .find(|family| rest.strip_prefix(family).is_some_and(|rest| rest.starts_with("-ami-")))?;
        let found = rest.split('-').find_map(architecture)?;
        return Some(Meaning { architecture: found, short: short.to_string() });
    }
    if let Some(rest) = name.strip_prefix(UBUNTU) {
        return match rest.split('/').collect::<Vec<_>>()[..] {
            [release, "stable", "current", arch, "hvm", "ebs-gp2" | "ebs-gp3", "ami-id"] if !release.is_empty() => {
                Some(Meaning { architecture: architecture(arch)?, short: format!("ubuntu-{release}") })
            }
            _ => None,
        };
    }
    match name.strip_prefix(DEBIAN)?.split('/').collect::<Vec<_>>()[..] {
        [release, "latest", arch] if !release.is_empty() => {
            Some(Meaning { architecture: architecture(arch)?, short: format!("debian-{release}") })
        }
        _ => None,
    }
}

/// The image that a public parameter stands for; `None` for a name that is
/// not one, or one of an architecture that no image here has.
pub fn public_parameter(view: &View<'_>, name: &str) -> Option<ImageId> {
    image_of(view, name).map(|image| image.id.clone())
}

fn image_of<'a>(view: &View<'a>, name: &str) -> Option<&'a Arc<Image>> {
    let meaning = meaning(name)?;
    let last = name.rsplit('/').next().unwrap_or_default();
    // The last word of the others is the same for all releases.
    let last = if name.starts_with(AMAZON_LINUX) { last } else { "" };
    let means = |text: &str| text == name || text == meaning.short || (!last.is_empty() && text == last);
    let called = |image: &Image| {
        let aliases = image.tags.get(ALIAS_TAG).map_or("", String::as_str);
        means(&image.name) || aliases.split_ascii_whitespace().any(means)
    };
    let fits = |image: &Arc<Image>| {
        matches!(image.phase, ImagePhase::Available { .. })
            && image.details.architecture == meaning.architecture
            && image.details.deprecated_at.is_none_or(|at| at > view.now)
    };
    let found = images::all(view).map(|(_, image)| image).filter(|image| fits(image) && called(image));
    let newest = found.max_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    newest.or_else(|| view.get::<Image>(network::host_image().as_str()).filter(|image| fits(image)))
}

fn shown(view: &View<'_>, name: &str) -> Option<wire::Parameter> {
    let image = image_of(view, name)?;
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

    /// Names of the three publishers, their architectures and short names; what is none of them.
    #[test]
    fn names_have_a_meaning() {
        let ubuntu = |rest: &str| format!("{UBUNTU}{rest}");
        for (name, expected) in [
            (format!("{AMAZON_LINUX}al2023-ami-kernel-default-x86_64"), Some(("x86_64", "al2023"))),
            (format!("{AMAZON_LINUX}amzn2-ami-hvm-arm64-gp2"), Some(("arm64", "amzn2"))),
            (format!("{AMAZON_LINUX}al2023"), None),
            (format!("{AMAZON_LINUX}windows-ami-x86_64"), None),
            (ubuntu("22.04/stable/current/amd64/hvm/ebs-gp3/ami-id"), Some(("x86_64", "ubuntu-22.04"))),
            (ubuntu("jammy/stable/current/arm64/hvm/ebs-gp2/ami-id"), Some(("arm64", "ubuntu-jammy"))),
            (ubuntu("22.04/stable/20240101/amd64/hvm/ebs-gp3/ami-id"), None),
            (format!("{DEBIAN}12/latest/amd64"), Some(("x86_64", "debian-12"))),
            (format!("{DEBIAN}12/latest/riscv"), None),
            ("/my/parameter".to_string(), None),
        ] {
            let found = meaning(&name).map(|meaning| (meaning.architecture, meaning.short));
            assert_eq!(found, expected.map(|(arch, short)| (arch, short.to_string())), "{name}");
        }
        assert!(listed().iter().all(|name| meaning(name).is_some()));
    }
}
