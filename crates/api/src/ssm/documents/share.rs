//! ModifyDocumentPermission and DescribeDocumentPermission: which accounts
//! may use a document.

use super::super::errors;
use super::{ALL, own};
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_engine::row::Document;
use elastane_wire::{ApiError, ssm as wire};

/// Accounts that one call may name (the model's).
const ACCOUNTS_A_CALL_MAX: usize = 20;

/// Accounts that a document may be shared with (AWS's quota).
const ACCOUNTS_MAX: usize = 1000;

/// Accounts of a page (the model's highest).
const PAGE_SIZE: usize = 200;

/// ModifyDocumentPermission.
///
/// # Errors
/// `InvalidDocument`, `InvalidPermissionType`, `DocumentPermissionLimit`,
/// `ValidationException`.
pub fn modify_document_permission(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyDocumentPermissionRequest,
) -> Result<wire::ModifyDocumentPermissionResponse, ApiError> {
    check_type(input.permission_type.as_deref())?;
    let row = own(&tx.view(), input.name.as_deref())?.clone();
    let version = match input.shared_document_version.as_deref() {
        None | Some("") => "$DEFAULT",
        Some(version @ ("$DEFAULT" | "$LATEST" | "$ALL")) => version,
        Some(other) => return Err(errors::validation(format!("SharedDocumentVersion cannot be '{other}'"))),
    };
    let mut shares = row.shares.clone();
    for account in accounts(&input.account_ids_to_remove)? {
        shares.remove(&account);
    }
    for account in accounts(&input.account_ids_to_add)? {
        shares.insert(account, version.to_string());
    }
    if shares.len() > ACCOUNTS_MAX {
        let text = format!("A document can be shared with at most {ACCOUNTS_MAX} accounts.");
        return Err(ApiError::new("DocumentPermissionLimit", text));
    }
    tx.update(&row.name, |row: &mut Document| row.shares = shares);
    Ok(wire::ModifyDocumentPermissionResponse {})
}

fn accounts(ids: &[String]) -> Result<Vec<String>, ApiError> {
    if ids.len() > ACCOUNTS_A_CALL_MAX {
        return Err(errors::validation(format!("A call takes at most {ACCOUNTS_A_CALL_MAX} accounts")));
    }
    let account = |id: &String| match id.to_ascii_lowercase() {
        id if id == ALL => Ok(id),
        id if id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()) => Ok(id),
        id => Err(errors::validation(format!("'{id}' is neither an account nor '{ALL}'"))),
    };
    ids.iter().map(account).collect()
}

fn check_type(name: Option<&str>) -> Result<(), ApiError> {
    match name {
        Some("Share") => Ok(()),
        _ => Err(ApiError::new("InvalidPermissionType", "The permission type must be Share.")),
    }
}

/// DescribeDocumentPermission.
///
/// # Errors
/// `InvalidDocument`, `InvalidPermissionType`, `InvalidNextToken`.
pub fn describe_document_permission(
    call: &Call<'_>,
    input: &wire::DescribeDocumentPermissionRequest,
) -> Result<wire::DescribeDocumentPermissionResponse, ApiError> {
    check_type(input.permission_type.as_deref())?;
    let row = own(&call.view, input.name.as_deref())?;
    let max = input.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(PAGE_SIZE);
    let token = input.next_token.as_deref();
    let pager = Pager { token, max: Some(max.clamp(1, PAGE_SIZE)), bad_token: "InvalidNextToken" };
    let (shares, next_token) = page(row.shares.iter().collect(), pager, |(account, _)| account.to_string())?;
    let info = |(account, version): &(&String, &String)| wire::AccountSharingInfo {
        account_id: Some(account.to_string()),
        shared_document_version: Some(version.to_string()),
    };
    Ok(wire::DescribeDocumentPermissionResponse {
        account_ids: shares.iter().map(|(account, _)| account.to_string()).collect(),
        account_sharing_info_list: shares.iter().map(info).collect(),
        next_token,
    })
}
