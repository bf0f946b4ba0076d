//! GetParameterHistory.

use super::super::errors;
use super::{find, kind_name, value};
use crate::Call;
use crate::page::{Pager, page};
use elastane_engine::row::ParameterVersion;
use elastane_wire::{ApiError, ssm as wire};

/// Versions of one page.
const PAGE_MAX: usize = 50;

/// GetParameterHistory: the versions that are kept, the oldest first.
///
/// # Errors
/// `ParameterNotFound`, `InvalidKeyId`, `InvalidNextToken`.
pub fn get_parameter_history(
    call: &Call<'_>,
    input: &wire::GetParameterHistoryRequest,
) -> Result<wire::GetParameterHistoryResult, ApiError> {
    let row = find(&call.view, &input.name)?;
    let max = input.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_MAX);
    if !(1..=PAGE_MAX).contains(&max) {
        return Err(errors::validation(format!("MaxResults must be from 1 to {PAGE_MAX}")));
    }
    let pager = Pager { token: input.next_token.as_deref(), max: Some(max), bad_token: "InvalidNextToken" };
    let versions: Vec<(&u64, &ParameterVersion)> = row.versions.iter().collect();
    let (versions, next_token) = page(versions, pager, |(number, _)| format!("{number:020}"))?;
    let decrypted = input.with_decryption.unwrap_or(false);
    let shown = |(number, version): (&u64, &ParameterVersion)| {
        Ok(wire::ParameterHistory {
            allowed_pattern: version.allowed_pattern.clone(),
            data_type: Some(version.data_type.clone()),
            description: version.description.clone(),
            key_id: version.key.clone(),
            labels: version.labels.iter().cloned().collect(),
            last_modified_date: Some(version.modified_at.0.into()),
            last_modified_user: Some(version.modified_by.clone()),
            name: Some(row.name.clone()),
            policies: Vec::new(),
            tier: Some(version.tier.clone()),
            r#type: Some(kind_name(row.kind).to_string()),
            value: Some(value(&call.view, call.world, row, version, decrypted)?),
            version: i64::try_from(*number).ok(),
        })
    };
    let parameters = versions.into_iter().map(shown).collect::<Result<_, ApiError>>()?;
    Ok(wire::GetParameterHistoryResult { next_token, parameters })
}
