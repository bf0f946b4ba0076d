//! Scaling activities as clients see them.

use super::{errors, lookup};
use crate::Call;
use crate::page::{Pager, page};
use elastane_engine::View;
use elastane_engine::row::{Activity, Group};
use elastane_wire::{ApiError, Timestamp, autoscaling as wire};

/// DescribeScalingActivities: those in progress first, then the newest.
pub fn describe_scaling_activities(
    call: &Call<'_>,
    input: &wire::DescribeScalingActivitiesType,
) -> Result<wire::ActivitiesType, ApiError> {
    let max = errors::page_size(input.max_records, 100, 100)?;
    let deleted = input.include_deleted_groups.unwrap_or(false);
    if let Some(name) = input.auto_scaling_group_name.as_deref().filter(|_| !deleted) {
        lookup::group(call, Some(name))?;
    }
    let statuses = statuses(&input.filters)?;
    let mut found: Vec<&Activity> = call
        .all::<Activity>()
        .map(AsRef::as_ref)
        .filter(|activity| input.auto_scaling_group_name.as_deref().is_none_or(|name| activity.group.as_str() == name))
        .filter(|activity| input.activity_ids.is_empty() || input.activity_ids.contains(&activity.id))
        .filter(|activity| deleted || group_of(call, activity).is_some())
        .filter(|activity| statuses.iter().all(|wanted| wanted.iter().any(|name| *name == activity.status.name())))
        .collect();
    found.sort_by_cached_key(|activity| place(activity));
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, |activity| place(activity))?;
    let activities = rows.into_iter().map(|activity| shown(call, activity)).collect();
    Ok(wire::ActivitiesType { activities, next_token })
}

/// Text that sorts as activities are listed: in progress before ended, newest
/// before oldest.
fn place(activity: &Activity) -> String {
    let age = i64::MAX - activity.start.millis();
    format!("{}{age:020}{}", u8::from(activity.end.is_some()), activity.id)
}

/// The values of each filter on `Status`.
fn statuses(filters: &[wire::Filter]) -> Result<Vec<&[String]>, ApiError> {
    filters
        .iter()
        .map(|filter| match filter.name.as_deref() {
            Some("Status") => Ok(filter.values.as_slice()),
            Some(name @ ("StartTimeLowerBound" | "StartTimeUpperBound")) => {
                Err(errors::unsupported(&format!("The filter {name}")))
            }
            Some(name) => Err(errors::invalid(format!("Invalid filter name: {name}"))),
            None => Err(errors::missing("a Name in each filter")),
        })
        .collect()
}

/// The group of an activity; `None` when it is gone, also when another has
/// its name now.
fn group_of<'a>(view: &View<'a>, activity: &Activity) -> Option<&'a Group> {
    let group = view.get::<Group>(activity.group.as_str())?;
    (group.created_at <= activity.start).then_some(group)
}

/// An activity as an answer has it.
pub fn shown(view: &View<'_>, activity: &Activity) -> wire::Activity {
    let group = group_of(view, activity);
    wire::Activity {
        activity_id: Some(activity.id.clone()),
        auto_scaling_group_arn: group.map(|group| group.arn.clone()),
        auto_scaling_group_name: Some(activity.group.to_string()),
        auto_scaling_group_state: Some(if group.is_some() { "InService" } else { "Deleted" }.to_string()),
        cause: Some(activity.cause.clone()),
        description: Some(activity.description.clone()),
        details: Some(activity.details.clone()),
        end_time: activity.end.map(|end| Timestamp(end.millis())),
        progress: Some(activity.status.progress()),
        start_time: Some(Timestamp(activity.start.millis())),
        status_code: Some(activity.status.name().to_string()),
        status_message: activity.status_message.clone(),
    }
}
