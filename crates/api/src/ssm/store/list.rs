//! DescribeParameters, and the filters of parameters.

use super::super::errors;
use super::{arn, kind_name};
use crate::Call;
use crate::page::{Pager, page};
use elastane_engine::View;
use elastane_engine::row::{Parameter, ParameterVersion};
use elastane_wire::{ApiError, ssm as wire};

/// Parameters of one page (Systems Manager API Reference, "DescribeParameters").
const PAGE_MAX: usize = 50;

/// Keys that DescribeParameters filters by; tags besides.
const DESCRIBE: &[&str] = &["Name", "Path", "Type", "KeyId", "Tier", "DataType", "Label"];

/// Keys that GetParametersByPath filters by.
pub const BY_PATH: &[&str] = &["Type", "KeyId", "Label"];

/// Filters that a parameter must pass, all of them.
pub struct Filters(Vec<Filter>);

struct Filter {
    key: String,
    option: How,
    values: Vec<String>,
}

/// How a filter compares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Equals,
    BeginsWith,
    Contains,
    OneLevel,
    Recursive,
}

impl Filters {
    /// The filters of a call, which may use `keys`.
    ///
    /// # Errors
    /// `InvalidFilterKey`, `InvalidFilterOption`, `InvalidFilterValue`.
    pub fn of(given: &[wire::ParameterStringFilter], keys: &[&str]) -> Result<Filters, ApiError> {
        let filter = |filter: &wire::ParameterStringFilter| {
            let key = filter.key.clone().unwrap_or_default();
            let known = keys.contains(&key.as_str()) || key.starts_with("tag:") && keys.contains(&"Name");
            if !known {
                return Err(errors::invalid_filter_key(&key));
            }
            let option = match (filter.option.as_deref(), key.as_str()) {
                (None | Some("OneLevel"), "Path") => How::OneLevel,
                (Some("Recursive"), "Path") => How::Recursive,
                (None | Some("Equals"), _) => How::Equals,
                (Some("BeginsWith"), "Name" | "KeyId") => How::BeginsWith,
                (Some("Contains"), "Name") => How::Contains,
                (Some(other), _) => {
                    let text = format!("The filter option {other} is not valid for the key {key}.");
                    return Err(ApiError::new("InvalidFilterOption", text));
                }
            };
            if filter.values.is_empty() && !key.starts_with("tag:") {
                return Err(errors::invalid_filter_value(format!("The filter {key} must have a value")));
            }
            Ok(Filter { key, option, values: filter.values.clone() })
        };
        given.iter().map(filter).collect::<Result<_, _>>().map(Filters)
    }

    /// Whether a parameter passes.
    pub fn pass(&self, row: &Parameter) -> bool {
        self.0.iter().all(|filter| filter.passes(row))
    }
}

impl Filter {
    fn passes(&self, row: &Parameter) -> bool {
        if let Some(tag) = self.key.strip_prefix("tag:") {
            return row.tags.get(tag).is_some_and(|value| self.values.is_empty() || self.values.contains(value));
        }
        let Some(newest) = row.versions.values().next_back() else { return false };
        match self.key.as_str() {
            "Type" => self.any(kind_name(row.kind)),
            "KeyId" => newest.key.as_deref().is_some_and(|key| self.any(key)),
            "Tier" => self.any(&newest.tier),
            "DataType" => self.any(&newest.data_type),
            "Label" => row.versions.values().any(|version| version.labels.iter().any(|label| self.any(label))),
            // A name in a folder is given with or without its first slash.
            _ => self.any(&row.name) || self.any(row.name.trim_start_matches('/')),
        }
    }

    fn any(&self, text: &str) -> bool {
        self.values.iter().any(|value| match self.option {
            How::Equals => text == value,
            How::BeginsWith => text.starts_with(value.as_str()),
            How::Contains => text.contains(value.as_str()),
            How::OneLevel | How::Recursive => {
                let folder = format!("{}/", value.trim_end_matches('/'));
                let rest = text.strip_prefix(&folder);
                rest.is_some_and(|rest| self.option == How::Recursive || !rest.contains('/'))
            }
        })
    }
}

fn metadata(view: &View<'_>, row: &Parameter, (number, newest): (u64, &ParameterVersion)) -> wire::ParameterMetadata {
    wire::ParameterMetadata {
        allowed_pattern: newest.allowed_pattern.clone(),
        arn: Some(arn(view, &row.name)),
        data_type: Some(newest.data_type.clone()),
        description: newest.description.clone(),
        key_id: newest.key.clone(),
        last_modified_date: Some(newest.modified_at.0.into()),
        last_modified_user: Some(newest.modified_by.clone()),
        name: Some(row.name.clone()),
        policies: Vec::new(),
        tier: Some(newest.tier.clone()),
        r#type: Some(kind_name(row.kind).to_string()),
        version: i64::try_from(number).ok(),
    }
}

/// DescribeParameters: without values.
///
/// # Errors
/// Those of filters; `InvalidNextToken`.
pub fn describe_parameters(
    call: &Call<'_>,
    input: &wire::DescribeParametersRequest,
) -> Result<wire::DescribeParametersResult, ApiError> {
    if input.shared == Some(true) {
        return Err(errors::unsupported("The parameter 'Shared'"));
    }
    // The older form of filters is the newer one's Equals.
    let older = input.filters.iter().map(|filter| wire::ParameterStringFilter {
        key: filter.key.clone(),
        option: None,
        values: filter.values.clone(),
    });
    let given: Vec<wire::ParameterStringFilter> = input.parameter_filters.iter().cloned().chain(older).collect();
    let filters = Filters::of(&given, DESCRIBE)?;
    let rows: Vec<&Parameter> = call.all::<Parameter>().map(AsRef::as_ref).filter(|row| filters.pass(row)).collect();
    let max = input.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let pager = Pager { token: input.next_token.as_deref(), max: Some(max), bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(rows, pager, |row| row.name.clone())?;
    let shown = |row: &Parameter| {
        let (number, newest) = row.versions.iter().next_back()?;
        Some(metadata(&call.view, row, (*number, newest)))
    };
    Ok(wire::DescribeParametersResult { next_token, parameters: rows.into_iter().filter_map(shown).collect() })
}
