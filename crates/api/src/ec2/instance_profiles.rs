//! Associations of instances with instance profiles. What the profile's role
//! may do is the business of whoever the instance calls.

use super::filter::Filters;
use super::instances::one;
use super::instances_shape::profile_shown;
use super::launch_data::profile_text;
use super::{errors, paging};
use crate::{Call, Change};
use elastane_engine::row::*;
use elastane_engine::{View, launch};
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::sync::Arc;

fn alive(row: &Instance) -> bool {
    !matches!(row.phase, Phase::ShuttingDown | Phase::Terminated { .. })
}

/// The name of the profile that a call names.
fn wanted(view: &View<'_>, named: Option<&wire::IamInstanceProfileSpecification>) -> Result<String, ApiError> {
    let named = named.ok_or_else(|| errors::missing("IamInstanceProfile"))?;
    let text = profile_text(&named.name, &named.arn)?;
    let text = text.ok_or_else(|| errors::missing("IamInstanceProfile.Name or IamInstanceProfile.Arn"))?;
    launch::profile(view, &text).map(|profile| profile.name.clone()).map_err(errors::refused)
}

/// The living instance with an association.
fn holder(view: &View<'_>, id: Option<&String>) -> Result<Arc<Instance>, ApiError> {
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| errors::missing("AssociationId"))?;
    let holds = |row: &&Arc<Instance>| alive(row) && row.profile.as_ref().is_some_and(|profile| profile.id == *id);
    let found = view.all::<Instance>().find(holds);
    let message = || format!("An invalid association-id of '{id}' was given");
    found.cloned().ok_or_else(|| ApiError::new("NoSuchAssociation", message()))
}

fn shown(
    view: &View<'_>,
    row: &Instance,
    association: &ProfileAssociation,
    state: &str,
) -> wire::IamInstanceProfileAssociation {
    wire::IamInstanceProfileAssociation {
        association_id: Some(association.id.clone()),
        iam_instance_profile: Some(profile_shown(view, &association.profile)),
        instance_id: Some(row.id.to_string()),
        state: Some(state.to_string()),
        timestamp: Some(Timestamp(association.since.millis())),
    }
}

fn put(change: &mut Change<'_, '_>, row: &Instance, profile: String) -> wire::IamInstanceProfileAssociation {
    let association = ProfileAssociation { id: change.rng.id("iip-assoc-"), profile, since: change.now };
    change.update(row.id.as_str(), |row: &mut Instance| row.profile = Some(association.clone()));
    shown(&change.view(), row, &association, "associating")
}

/// AssociateIamInstanceProfile.
///
/// # Errors
/// `InvalidInstanceID.*`, `InvalidParameterValue` for a profile that is not
/// there or has no role, `IncorrectState` when there is an association
/// already, `IncorrectInstanceState`.
pub fn associate_iam_instance_profile(
    change: &mut Change<'_, '_>,
    input: &wire::AssociateIamInstanceProfileRequest,
) -> Result<wire::AssociateIamInstanceProfileResult, ApiError> {
    let view = change.view();
    let row = one(&view, input.instance_id.as_ref())?.clone();
    let profile = wanted(&view, input.iam_instance_profile.as_ref())?;
    if !alive(&row) {
        return Err(errors::incorrect_state(row.id.as_str(), "associated with an instance profile"));
    }
    if row.profile.is_some() {
        let message = format!("There is an existing association for instance {}", row.id);
        return Err(ApiError::new("IncorrectState", message));
    }
    let association = put(change, &row, profile);
    Ok(wire::AssociateIamInstanceProfileResult { iam_instance_profile_association: Some(association) })
}

/// ReplaceIamInstanceProfileAssociation: another profile under a new association.
///
/// # Errors
/// `NoSuchAssociation`, `InvalidParameterValue` as for associating.
pub fn replace_iam_instance_profile_association(
    change: &mut Change<'_, '_>,
    input: &wire::ReplaceIamInstanceProfileAssociationRequest,
) -> Result<wire::ReplaceIamInstanceProfileAssociationResult, ApiError> {
    let row = holder(&change.view(), input.association_id.as_ref())?;
    let profile = wanted(&change.view(), input.iam_instance_profile.as_ref())?;
    let association = put(change, &row, profile);
    Ok(wire::ReplaceIamInstanceProfileAssociationResult { iam_instance_profile_association: Some(association) })
}

/// DisassociateIamInstanceProfile.
///
/// # Errors
/// `NoSuchAssociation`.
pub fn disassociate_iam_instance_profile(
    change: &mut Change<'_, '_>,
    input: &wire::DisassociateIamInstanceProfileRequest,
) -> Result<wire::DisassociateIamInstanceProfileResult, ApiError> {
    let row = holder(&change.view(), input.association_id.as_ref())?;
    change.update(row.id.as_str(), |row: &mut Instance| row.profile = None);
    let association = row.profile.as_ref().map(|it| shown(&change.view(), &row, it, "disassociating"));
    Ok(wire::DisassociateIamInstanceProfileResult { iam_instance_profile_association: association })
}

/// DescribeIamInstanceProfileAssociations.
///
/// # Errors
/// `NoSuchAssociation`, those of filters and pages.
pub fn describe_iam_instance_profile_associations(
    call: &Call<'_>,
    input: &wire::DescribeIamInstanceProfileAssociationsRequest,
) -> Result<wire::DescribeIamInstanceProfileAssociationsResult, ApiError> {
    const STATE: &str = "associated";
    let filters = Filters::new(&input.filters, &["instance-id", "state"])?;
    for id in &input.association_ids {
        holder(&call.view, Some(id))?;
    }
    let asked = |id: &String| input.association_ids.is_empty() || input.association_ids.contains(id);
    let rows = call.all::<Instance>().filter(|row| alive(row));
    let associations = rows.filter_map(|row| Some((row, row.profile.as_ref()?)));
    let mut found: Vec<(&Arc<Instance>, &ProfileAssociation)> = associations
        .filter(|(_, association)| asked(&association.id))
        .filter(|(row, _)| {
            filters.accept(&Tags::new(), |name, emit| emit(if name == "state" { STATE } else { row.id.as_str() }))
        })
        .collect();
    found.sort_unstable_by_key(|(_, association)| &association.id);
    let limits = (paging::USUAL, !input.association_ids.is_empty());
    let token = input.next_token.as_deref();
    let (page, next_token) = paging::cut(found, input.max_results, token, limits, |(_, it)| it.id.clone())?;
    let associations = page.into_iter().map(|(row, it)| shown(&call.view, row, it, STATE)).collect();
    Ok(wire::DescribeIamInstanceProfileAssociationsResult {
        iam_instance_profile_associations: associations,
        next_token,
    })
}
