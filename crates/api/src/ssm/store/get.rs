//! GetParameter and its relatives, over the account's parameters and the
//! public ones of images.

use super::super::{errors, public};
use super::{arn, kind_name, plain_name, value};
use crate::page::{Pager, page};
use crate::{Call, World};
use elastane_engine::View;
use elastane_engine::row::{Parameter, ParameterKind, ParameterVersion};
use elastane_wire::{ApiError, ssm as wire};
use std::sync::Arc;

/// Names of one GetParameters call (Systems Manager API Reference).
const NAMES_MAX: usize = 10;

/// Parameters of one page of GetParametersByPath, likewise.
const PAGE_MAX: usize = 10;

/// A parameter of the account, and the number and the version that are meant.
type Selected<'a> = (&'a Arc<Parameter>, u64, &'a ParameterVersion);

/// A version as GetParameter shows it.
fn shown(
    view: &View<'_>,
    world: &dyn World,
    row: &Parameter,
    (number, version): (u64, &ParameterVersion),
    decrypted: bool,
) -> Result<wire::Parameter, ApiError> {
    Ok(wire::Parameter {
        arn: Some(arn(view, &row.name)),
        data_type: Some(version.data_type.clone()),
        last_modified_date: Some(version.modified_at.0.into()),
        name: Some(row.name.clone()),
        r#type: Some(kind_name(row.kind).to_string()),
        value: Some(value(view, world, row, version, decrypted)?),
        version: i64::try_from(number).ok(),
        ..Default::default()
    })
}

/// A name and, after a colon, the number or the label of a version.
fn split(text: &str) -> (&str, Option<&str>) {
    // The colons of an ARN are not selectors.
    let own = text.rfind('/').map_or(0, |at| at + 1).max(text.rfind("parameter/").map_or(0, |at| at + 10));
    match text[own..].split_once(':') {
        Some((_, selector)) => (&text[..text.len() - selector.len() - 1], Some(selector)),
        None => (text, None),
    }
}

/// The parameter of a name with a selector, or a public one.
fn find(view: &View<'_>, world: &dyn World, text: &str, decrypted: bool) -> Result<wire::Parameter, ApiError> {
    let Some((row, number, version)) = selected(view, text)? else {
        return public::shown(view, text).ok_or_else(|| errors::parameter_not_found(text));
    };
    let found = shown(view, world, row, (number, version), decrypted)?;
    Ok(wire::Parameter { selector: split(text).1.map(|selector| format!(":{selector}")), ..found })
}

/// The account's parameter of a name with a selector, and the version that is
/// meant; `None` when it has none of the name.
fn selected<'a>(view: &View<'a>, text: &str) -> Result<Option<Selected<'a>>, ApiError> {
    let (name, selector) = split(text);
    let name = plain_name(view, name);
    let Some(row) = view.get::<Parameter>(&name) else { return Ok(None) };
    let selected = match selector {
        None => row.versions.iter().next_back(),
        Some(selector) => row
            .versions
            .iter()
            .find(|(number, version)| selector.parse() == Ok(**number) || version.labels.contains(selector)),
    };
    let (number, version) = selected.ok_or_else(|| {
        let text = format!("Systems Manager could not find version {} of {name}.", selector.unwrap_or_default());
        ApiError::new("ParameterVersionNotFound", text)
    })?;
    Ok(Some((row, *number, version)))
}

/// Kind and value of a parameter, or of a public one, by its name with a
/// selector; a secret stays sealed.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`.
pub fn stored(view: &View<'_>, text: &str) -> Result<(ParameterKind, String), ApiError> {
    if let Some((row, _, version)) = selected(view, text)? {
        return Ok((row.kind, version.value.clone()));
    }
    let value = public::shown(view, text).and_then(|found| found.value);
    value.map(|value| (ParameterKind::Text, value)).ok_or_else(|| errors::parameter_not_found(text))
}

/// GetParameter.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`, `InvalidKeyId`.
pub fn get_parameter(call: &Call<'_>, input: &wire::GetParameterRequest) -> Result<wire::GetParameterResult, ApiError> {
    let name = input.name.as_deref().filter(|name| !name.is_empty()).ok_or_else(|| errors::missing("Name"))?;
    let parameter = find(&call.view, call.world, name, input.with_decryption.unwrap_or(false))?;
    Ok(wire::GetParameterResult { parameter: Some(parameter) })
}

/// GetParameters: those that are there, and the names of the others.
///
/// # Errors
/// `ValidationException` unless it names 1 to 10; `InvalidKeyId`.
pub fn get_parameters(
    call: &Call<'_>,
    input: &wire::GetParametersRequest,
) -> Result<wire::GetParametersResult, ApiError> {
    if input.names.is_empty() || input.names.len() > NAMES_MAX {
        return Err(errors::validation(format!("Names must have 1 to {NAMES_MAX} entries")));
    }
    let mut answer = wire::GetParametersResult::default();
    for name in &input.names {
        match find(&call.view, call.world, name, input.with_decryption.unwrap_or(false)) {
            Ok(parameter) => answer.parameters.push(parameter),
            Err(err) if err.code == "InvalidKeyId" => return Err(err),
            Err(_) => answer.invalid_parameters.push(name.clone()),
        }
    }
    Ok(answer)
}

/// GetParametersByPath: those below a path, on all levels with Recursive, else
/// on the next one; the public names among them that stand for an image.
///
/// # Errors
/// `ValidationException`, `InvalidNextToken`, `InvalidKeyId`, those of filters.
pub fn get_parameters_by_path(
    call: &Call<'_>,
    input: &wire::GetParametersByPathRequest,
) -> Result<wire::GetParametersByPathResult, ApiError> {
    let path = input.path.as_deref().filter(|path| path.starts_with('/'));
    let path = path.ok_or_else(|| errors::validation("The parameter path must begin with a slash"))?;
    let folder = format!("{}/", path.trim_end_matches('/'));
    let below = |name: &str| {
        let rest = name.strip_prefix(&folder);
        rest.is_some_and(|rest| input.recursive.unwrap_or(false) || !rest.contains('/'))
    };
    let filters = super::list::Filters::of(&input.parameter_filters, super::list::BY_PATH)?;
    let own = call.all::<Parameter>().filter(|row| below(&row.name) && filters.pass(row));
    let mut names: Vec<String> = own.map(|row| row.name.clone()).collect();
    if input.parameter_filters.is_empty() {
        names.extend(public::listed().into_iter().filter(|name| below(name)));
    }
    let max = input.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let pager = Pager { token: input.next_token.as_deref(), max: Some(max), bad_token: "InvalidNextToken" };
    names.sort();
    let (names, next_token) = page(names, pager, Clone::clone)?;
    let decrypted = input.with_decryption.unwrap_or(false);
    let found = names.iter().map(|name| find(&call.view, call.world, name, decrypted));
    // A public name may stand for no image here.
    let found = found.filter(|found| !found.as_ref().is_err_and(|err| err.code == "ParameterNotFound"));
    let parameters = found.collect::<Result<_, _>>()?;
    Ok(wire::GetParametersByPathResult { next_token, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Selectors are after the last colon of the name itself.
    #[test]
    fn selectors() {
        for (text, want) in [
            ("a", ("a", None)),
            ("a:3", ("a", Some("3"))),
            ("/x/y:prod", ("/x/y", Some("prod"))),
            (
                "arn:aws:ssm:us-east-1:000000000000:parameter/x",
                ("arn:aws:ssm:us-east-1:000000000000:parameter/x", None),
            ),
            (
                "arn:aws:ssm:us-east-1:000000000000:parameter/x/y:2",
                ("arn:aws:ssm:us-east-1:000000000000:parameter/x/y", Some("2")),
            ),
        ] {
            assert_eq!(split(text), want, "{text}");
        }
    }
}
