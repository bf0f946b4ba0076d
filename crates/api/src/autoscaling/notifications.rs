//! Notification configurations: which topic hears of which activities of a
//! group. The engine makes the messages; the webhook of the installation
//! takes them for every topic.

use super::{errors, lookup};
use crate::page::{Pager, page};
use crate::{Call, Change};
use elastane_engine::notifications::{self, TYPES};
use elastane_engine::row::Group;
use elastane_wire::{ApiError, autoscaling as wire};

/// SNS topics of one group (autoscaling.md 18).
const TOPICS_MAX: usize = 10;

/// PutNotificationConfiguration replaces the types of a topic; the topic hears
/// of it by a test notification.
pub fn put_notification_configuration(
    change: &mut Change<'_, '_>,
    input: &wire::PutNotificationConfigurationType,
) -> Result<wire::PutNotificationConfigurationOutput, ApiError> {
    let group = lookup::live_group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let topic = topic(input.topic_arn.as_deref())?;
    if input.notification_types.is_empty() {
        return Err(errors::missing("NotificationTypes"));
    }
    if let Some(other) = input.notification_types.iter().find(|name| !TYPES.contains(&name.as_str())) {
        return Err(errors::invalid(format!(
            "\"{other}\" is not a valid Notification Type. Valid types are: {}",
            TYPES.join(", ")
        )));
    }
    if !group.notifications.contains_key(topic) && group.notifications.len() >= TOPICS_MAX {
        return Err(errors::limit(format!("A group may notify at most {TOPICS_MAX} topics")));
    }
    let types = input.notification_types.iter().cloned().collect();
    change.update(group.name.as_str(), |row: &mut Group| {
        row.notifications.insert(topic.to_string(), types);
    });
    notifications::test(change.tx, &group.name, topic);
    Ok(wire::PutNotificationConfigurationOutput {})
}

/// The ARN of an SNS topic. Topics are not looked up: nothing here makes them.
fn topic(arn: Option<&str>) -> Result<&str, ApiError> {
    let arn = arn.ok_or_else(|| errors::missing("TopicARN"))?;
    let parts: Vec<&str> = arn.split(':').collect();
    let fine = parts.len() == 6 && parts[0] == "arn" && parts[2] == "sns" && parts[3..].iter().all(|p| !p.is_empty());
    if fine && arn.len() <= 1_600 { Ok(arn) } else { Err(errors::invalid(format!("Invalid topic ARN: {arn}"))) }
}

/// DeleteNotificationConfiguration.
pub fn delete_notification_configuration(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteNotificationConfigurationType,
) -> Result<wire::DeleteNotificationConfigurationOutput, ApiError> {
    let group = lookup::group(&change.view(), input.auto_scaling_group_name.as_deref())?;
    let topic = input.topic_arn.as_deref().ok_or_else(|| errors::missing("TopicARN"))?;
    if !group.notifications.contains_key(topic) {
        return Err(errors::invalid(format!("Notification Configuration for '{topic}' doesn't exist")));
    }
    change.update(group.name.as_str(), |row: &mut Group| {
        row.notifications.remove(topic);
    });
    Ok(wire::DeleteNotificationConfigurationOutput {})
}

/// DescribeNotificationConfigurations: one entry a group, topic and type.
pub fn describe_notification_configurations(
    call: &Call<'_>,
    input: &wire::DescribeNotificationConfigurationsType,
) -> Result<wire::DescribeNotificationConfigurationsAnswer, ApiError> {
    let max = errors::page_size(input.max_records, 50, 100)?;
    for name in &input.auto_scaling_group_names {
        lookup::group(call, Some(name))?;
    }
    let wanted = |group: &Group| {
        let names = &input.auto_scaling_group_names;
        names.is_empty() || names.iter().any(|name| *name == group.name.as_str())
    };
    let mut found = Vec::new();
    for group in call.all::<Group>().filter(|group| wanted(group)) {
        for (topic, types) in &group.notifications {
            found.extend(types.iter().map(|kind| (group.name.as_str(), topic.as_str(), kind.as_str())));
        }
    }
    let place = |(group, topic, kind): &(&str, &str, &str)| format!("{group}\u{1}{topic}\u{1}{kind}");
    found.sort_by_cached_key(place);
    let pager = Pager { token: input.next_token.as_deref(), max, bad_token: "InvalidNextToken" };
    let (rows, next_token) = page(found, pager, place)?;
    let shown = |(group, topic, kind): (&str, &str, &str)| wire::NotificationConfiguration {
        auto_scaling_group_name: Some(group.to_string()),
        notification_type: Some(kind.to_string()),
        topic_arn: Some(topic.to_string()),
    };
    let notification_configurations = rows.into_iter().map(shown).collect();
    Ok(wire::DescribeNotificationConfigurationsAnswer { next_token, notification_configurations })
}

/// DescribeAutoScalingNotificationTypes.
pub fn describe_auto_scaling_notification_types(
    _: &Call<'_>,
    _: &wire::DescribeAutoScalingNotificationTypesRequest,
) -> Result<wire::DescribeAutoScalingNotificationTypesAnswer, ApiError> {
    let auto_scaling_notification_types = TYPES.iter().map(ToString::to_string).collect();
    Ok(wire::DescribeAutoScalingNotificationTypesAnswer { auto_scaling_notification_types })
}
