//! Managed prefix lists: ranges that routes and rules name together. A change
//! of the entries makes a new version; only the current one is kept.

use super::filter::Filters;
use super::listing::{IdKind, chosen};
use super::network::{dependency, given, named, range, required, tags_of};
use super::paging::{USUAL, cut};
use super::{errors, permissions, recast, tag_rules};
use crate::{Call, Change};
use elastane_domain::network::Cidr;
use elastane_engine::View;
use elastane_engine::row::{PrefixList, RouteDestination, RouteTable, RulePeer, SecurityGroup};
use elastane_wire::{ApiError, ec2 as wire};
use std::ops::RangeInclusive;

/// Ids of prefix lists.
pub(super) const LIST_ID: IdKind = IdKind {
    prefix: "pl-",
    malformed: "InvalidPrefixListId.Malformed",
    not_found: "InvalidPrefixListID.NotFound",
    noun: "The prefix list ID",
};

/// What DescribePrefixLists says of unknown lists: clients know it by another case.
const SERVICE_LIST_ID: IdKind = IdKind { not_found: "InvalidPrefixListId.NotFound", ..LIST_ID };

/// Lists of one account and region (Amazon VPC quotas).
const LISTS_MAX: usize = 100;

/// Entries of one list, likewise.
const ENTRIES_MAX: i32 = 1000;

/// Entries that one call may add or remove (EC2 API Reference, "CreateManagedPrefixList").
const CHANGES_MAX: usize = 100;

/// MaxResults of the calls about managed lists.
const PAGE: RangeInclusive<i32> = 1..=100;

const FILTERS: [&str; 3] = ["owner-id", "prefix-list-id", "prefix-list-name"];

/// CreateManagedPrefixList. The same client token makes no second one.
///
/// # Errors
/// `InvalidParameterValue` for name, size and entries,
/// `PrefixListMaxEntriesExceeded`, `PrefixListLimitExceeded`,
/// `IdempotentParameterMismatch`, those of tags; `UnsupportedOperation` for IPv6.
pub fn create_managed_prefix_list(
    change: &mut Change<'_, '_>,
    input: &wire::CreateManagedPrefixListRequest,
) -> Result<wire::CreateManagedPrefixListResult, ApiError> {
    match required(&input.address_family, "AddressFamily")? {
        "IPv4" => {}
        "IPv6" => return Err(errors::unsupported("IPv6")),
        other => return Err(errors::invalid_value(format!("Value ({other}) for parameter AddressFamily is invalid."))),
    }
    let name = checked_name(required(&input.prefix_list_name, "PrefixListName")?)?;
    let max_entries = checked_size(input.max_entries.ok_or_else(|| errors::missing("MaxEntries"))?)?;
    let mut entries = Vec::new();
    add(&mut entries, &input.entries)?;
    check_room(&entries, max_entries)?;
    let tags = tags_of(&input.tag_specifications, "prefix-list")?;
    let client_token = given(&input.client_token).map(str::to_string);
    let view = change.view();
    let earlier = view.all::<PrefixList>().find(|row| client_token.is_some() && row.client_token == client_token);
    if let Some(row) = earlier {
        errors::dry_run(input.dry_run)?;
        let same = (&row.name, row.max_entries) == (&name, max_entries) && (row.modified || row.entries == entries);
        let answer = wire::CreateManagedPrefixListResult { prefix_list: Some(show(&view, row)) };
        return if same { Ok(answer) } else { Err(errors::token_mismatch()) };
    }
    if change.prefix_lists.len() >= LISTS_MAX {
        let message = "The maximum number of prefix lists has been reached.";
        return Err(ApiError::new("PrefixListLimitExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    let id = change.rng.id(LIST_ID.prefix);
    let row = PrefixList { id, name, max_entries, version: 1, entries, modified: false, client_token, tags };
    let prefix_list = Some(show(&change.view(), &row));
    change.put(row);
    Ok(wire::CreateManagedPrefixListResult { prefix_list })
}

/// Names are not empty, have at most 255 characters and are not AWS's own.
fn checked_name(name: &str) -> Result<String, ApiError> {
    permissions::check_words("prefix list name", name)?;
    if name.starts_with("com.amazonaws") {
        return Err(errors::invalid_value("Prefix list names cannot start with com.amazonaws."));
    }
    Ok(name.to_string())
}

fn checked_size(size: i32) -> Result<i32, ApiError> {
    if (1..=ENTRIES_MAX).contains(&size) {
        return Ok(size);
    }
    Err(errors::invalid_value(format!("MaxEntries must be from 1 to {ENTRIES_MAX}, not {size}.")))
}

fn check_room(entries: &[(Cidr, Option<String>)], max: i32) -> Result<(), ApiError> {
    if usize::try_from(max).is_ok_and(|max| entries.len() <= max) {
        return Ok(());
    }
    let message = format!("The prefix list has {} entries; at most {max} are allowed.", entries.len());
    Err(ApiError::new("PrefixListMaxEntriesExceeded", message))
}

fn check_number(what: &str, count: usize) -> Result<(), ApiError> {
    if count > CHANGES_MAX {
        return Err(errors::invalid_value(format!("At most {CHANGES_MAX} entries can be {what} in one call.")));
    }
    Ok(())
}

fn add(entries: &mut Vec<(Cidr, Option<String>)>, wanted: &[wire::AddPrefixListEntry]) -> Result<(), ApiError> {
    check_number("added", wanted.len())?;
    for entry in wanted {
        let cidr = range(required(&entry.cidr, "Cidr")?, "Cidr")?;
        if entries.iter().any(|(other, _)| *other == cidr) {
            return Err(errors::invalid_value(format!("The prefix list has the entry {cidr} already.")));
        }
        let description = given(&entry.description);
        description.map_or(Ok(()), |words| permissions::check_words("entry description", words))?;
        entries.push((cidr, description.map(str::to_string)));
    }
    Ok(())
}

/// ModifyManagedPrefixList: its name, its size, or its entries, which makes a
/// new version.
///
/// # Errors
/// Those of the id, `PrefixListVersionMismatch`,
/// `PrefixListMaxEntriesExceeded`, `InvalidParameterCombination`,
/// `InvalidParameterValue`.
pub fn modify_managed_prefix_list(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyManagedPrefixListRequest,
) -> Result<wire::ModifyManagedPrefixListResult, ApiError> {
    let known =
        ["AddEntries", "CurrentVersion", "DryRun", "MaxEntries", "PrefixListId", "PrefixListName", "RemoveEntries"];
    recast::only(&wire::MODIFY_MANAGED_PREFIX_LIST_REQUEST, input, &known)?;
    let view = change.view();
    let mut row = named::<PrefixList>(&view, (&input.prefix_list_id, "PrefixListId"), &LIST_ID)?.as_ref().clone();
    let entries_change = !input.add_entries.is_empty() || !input.remove_entries.is_empty();
    if input.current_version.is_some_and(|version| version != row.version) {
        return Err(ApiError::new("PrefixListVersionMismatch", "The prefix list has the incorrect version number."));
    }
    if entries_change && input.max_entries.is_some() {
        let message = "You cannot modify the entries and the size of a prefix list in the same call.";
        return Err(errors::invalid_combination(message));
    }
    if let Some(name) = given(&input.prefix_list_name) {
        row.name = checked_name(name)?;
    }
    if let Some(size) = input.max_entries {
        row.max_entries = checked_size(size)?;
    }
    check_number("removed", input.remove_entries.len())?;
    for entry in &input.remove_entries {
        let cidr = range(required(&entry.cidr, "Cidr")?, "Cidr")?;
        let at = row.entries.iter().position(|(other, _)| *other == cidr);
        let at = at.ok_or_else(|| errors::invalid_value(format!("The prefix list has no entry {cidr}.")))?;
        row.entries.remove(at);
    }
    add(&mut row.entries, &input.add_entries)?;
    check_room(&row.entries, row.max_entries)?;
    row.version += i64::from(entries_change);
    row.modified = true;
    errors::dry_run(input.dry_run)?;
    let prefix_list = Some(show(&change.view(), &row));
    change.put(row);
    Ok(wire::ModifyManagedPrefixListResult { prefix_list })
}

/// DeleteManagedPrefixList, once no route and no rule names it.
///
/// # Errors
/// Those of the id, `DependencyViolation`.
pub fn delete_managed_prefix_list(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteManagedPrefixListRequest,
) -> Result<wire::DeleteManagedPrefixListResult, ApiError> {
    let view = change.view();
    let row = named::<PrefixList>(&view, (&input.prefix_list_id, "PrefixListId"), &LIST_ID)?;
    let (route, rule) = (RouteDestination::PrefixList(row.id.clone()), RulePeer::PrefixList(row.id.clone()));
    let used = view.all::<RouteTable>().any(|table| table.routes.iter().any(|one| one.destination == route))
        || view.all::<SecurityGroup>().any(|group| group.rules.iter().any(|one| one.peer == rule));
    if used {
        return Err(dependency("prefix list", &row.id));
    }
    let shown = wire::ManagedPrefixList { state: Some("delete-complete".to_string()), ..show(&view, row) };
    let id = row.id.clone();
    errors::dry_run(input.dry_run)?;
    change.delete::<PrefixList>(&id);
    Ok(wire::DeleteManagedPrefixListResult { prefix_list: Some(shown) })
}

/// DescribeManagedPrefixLists. Errors: those of ids, filters and pages.
pub fn describe_managed_prefix_lists(
    call: &Call<'_>,
    input: &wire::DescribeManagedPrefixListsRequest,
) -> Result<wire::DescribeManagedPrefixListsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let rows = chosen::<PrefixList>(call, &input.prefix_list_ids, &LIST_ID)?;
    errors::dry_run(input.dry_run)?;
    let account = call.scope.account.as_str();
    let accepted = |row: &PrefixList| {
        filters.accept(&row.tags, |name, emit| match name {
            "owner-id" => emit(account),
            "prefix-list-id" => emit(&row.id),
            "prefix-list-name" => emit(&row.name),
            _ => {}
        })
    };
    let rows = rows.into_iter().filter(|row| accepted(row)).collect();
    let limits = (PAGE, !input.prefix_list_ids.is_empty());
    let (rows, next_token) = cut(rows, input.max_results, input.next_token.as_deref(), limits, |row| row.id.clone())?;
    let prefix_lists = rows.into_iter().map(|row| show(&call.view, row)).collect();
    Ok(wire::DescribeManagedPrefixListsResult { next_token, prefix_lists })
}

/// GetManagedPrefixListEntries of the current version.
///
/// # Errors
/// Those of the id and of pages, `InvalidParameterValue` for a version that
/// never was, `UnsupportedOperation` for an earlier one.
pub fn get_managed_prefix_list_entries(
    call: &Call<'_>,
    input: &wire::GetManagedPrefixListEntriesRequest,
) -> Result<wire::GetManagedPrefixListEntriesResult, ApiError> {
    let row = named::<PrefixList>(&call.view, (&input.prefix_list_id, "PrefixListId"), &LIST_ID)?;
    match input.target_version {
        Some(version) if (1..row.version).contains(&version) => {
            return Err(errors::unsupported("An earlier version of a prefix list"));
        }
        Some(version) if version != row.version => {
            return Err(errors::invalid_value(format!("The prefix list {} has no version {version}.", row.id)));
        }
        Some(_) | None => {}
    }
    errors::dry_run(input.dry_run)?;
    let mut entries: Vec<wire::PrefixListEntry> = row.entries.iter().map(show_entry).collect();
    let name = |entry: &wire::PrefixListEntry| entry.cidr.clone().unwrap_or_default();
    entries.sort_by_key(name);
    let (entries, next_token) = cut(entries, input.max_results, input.next_token.as_deref(), (PAGE, false), name)?;
    Ok(wire::GetManagedPrefixListEntriesResult { entries, next_token })
}

fn show_entry((cidr, description): &(Cidr, Option<String>)) -> wire::PrefixListEntry {
    wire::PrefixListEntry { cidr: Some(cidr.to_string()), description: description.clone() }
}

/// DescribePrefixLists: AWS services as prefix lists, of which there are
/// none. Errors: those of ids, filters and pages.
pub fn describe_prefix_lists(
    _: &Call<'_>,
    input: &wire::DescribePrefixListsRequest,
) -> Result<wire::DescribePrefixListsResult, ApiError> {
    Filters::new(&input.filters, &["prefix-list-id", "prefix-list-name"])?;
    let ids = &input.prefix_list_ids;
    super::absent_networks::none(ids, &SERVICE_LIST_ID)?;
    errors::dry_run(input.dry_run)?;
    let limits = (USUAL, !ids.is_empty());
    let (prefix_lists, next_token) =
        cut(Vec::new(), input.max_results, input.next_token.as_deref(), limits, |_| String::new())?;
    Ok(wire::DescribePrefixListsResult { next_token, prefix_lists })
}

fn show(view: &View<'_>, row: &PrefixList) -> wire::ManagedPrefixList {
    wire::ManagedPrefixList {
        address_family: Some("IPv4".to_string()),
        max_entries: Some(row.max_entries),
        owner_id: Some(view.scope.account.to_string()),
        prefix_list_arn: Some(view.scope.arn("ec2", &format!("prefix-list/{}", row.id))),
        prefix_list_id: Some(row.id.clone()),
        prefix_list_name: Some(row.name.clone()),
        state: Some(if row.modified { "modify-complete" } else { "create-complete" }.to_string()),
        tags: tag_rules::shown(&row.tags),
        version: Some(row.version),
        ..Default::default()
    }
}
