//! SendCommand: writes the command's row, after making room for it.

use super::documents::{self, Arguments, Body, references};
use super::{commands, errors, parameters};
use crate::Change;
use elastane_domain::id::{CommandId, InstanceId};
use elastane_domain::machine::CommandStep;
use elastane_engine::View;
use elastane_engine::commands::delete as delete_command;
use elastane_engine::row::{Command, Instance, Invocation, Phase};
use elastane_wire::{ApiError, ssm as wire};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Invocations that are kept, of all commands together, each counted once for
/// every step whose output is kept. That may be 32 KB, so this bounds the rows at 64 MB an account and region; the
/// oldest commands that have ended make room. AWS keeps them for 30 days.
pub const INVOCATIONS_MAX: usize = 2000;

/// Instances of one command.
const TARGETS_MAX: usize = 1000;

/// Ids that InstanceIds may hold, and targets that Targets may hold (API).
const IDS_MAX: usize = 50;
const TARGET_FILTERS_MAX: usize = 5;

/// Seconds within which a command must be delivered when the call says nothing.
const DELIVERY_TIMEOUT: i32 = 3600;

/// Longest comment, in characters.
const COMMENT_MAX: usize = 100;

/// Longest time for delivery, in seconds, and the shortest (the model's).
const DELIVERY_TIMEOUT_MAX: i32 = 2_592_000;
const DELIVERY_TIMEOUT_MIN: i32 = 30;

/// Steps whose output one invocation may keep in full.
const OUTPUT_STEPS_MAX: usize = 4;

/// SendCommand.
pub fn send_command(
    tx: &mut Change<'_, '_>,
    input: &wire::SendCommandRequest,
) -> Result<wire::SendCommandResult, ApiError> {
    refuse_unsupported(input)?;
    let steps = steps(&tx.view(), input)?;
    let instances = instances(&tx.view(), input)?;
    if instances.len() > TARGETS_MAX {
        return Err(errors::throttled(format!(
            "The targets are {} instances; the limit is {TARGETS_MAX}",
            instances.len()
        )));
    }
    let delivery_timeout_secs = input.timeout_seconds.unwrap_or(DELIVERY_TIMEOUT);
    if !(DELIVERY_TIMEOUT_MIN..=DELIVERY_TIMEOUT_MAX).contains(&delivery_timeout_secs) {
        let text = format!("TimeoutSeconds must be from {DELIVERY_TIMEOUT_MIN} to {DELIVERY_TIMEOUT_MAX}");
        return Err(errors::validation(text));
    }
    let row = Command {
        id: CommandId::from(tx.rng.uuid()),
        document: input.document_name.clone().unwrap_or_default(),
        document_version: input.document_version.clone().filter(|text| !text.is_empty()).unwrap_or(DEFAULT.to_string()),
        steps,
        parameters: input.parameters.clone(),
        comment: input.comment.clone().unwrap_or_default(),
        requested_at: tx.now,
        delivery_timeout_secs,
        max_concurrency: parameters::max_concurrency(input)?,
        max_errors: parameters::max_errors(input)?,
        targets: input.targets.iter().map(|t| (t.key.clone().unwrap_or_default(), t.values.clone())).collect(),
        cancelled: false,
        invocations: instances.into_iter().map(|id| (id, Invocation::Waiting)).collect(),
    };
    make_room(tx, size(&row))?;
    let command = commands::shown(&row);
    tx.put(row);
    Ok(wire::SendCommandResult { command: Some(command) })
}

/// The version of a document that is meant when none is named.
const DEFAULT: &str = "$DEFAULT";

/// What the document makes of the parameters.
fn steps(view: &View<'_>, input: &wire::SendCommandRequest) -> Result<Vec<CommandStep>, ApiError> {
    let name = input.document_name.as_deref().ok_or_else(|| errors::missing("DocumentName"))?;
    let found = documents::find(view, name, input.document_version.as_deref(), None)?;
    if let Some(hash) = input.document_hash.as_deref().filter(|hash| !hash.is_empty()) {
        if input.document_hash_type.as_deref().is_some_and(|kind| kind != "Sha256") {
            return Err(errors::unsupported("A DocumentHashType other than Sha256"));
        }
        if !documents::hash(&found.version.content).eq_ignore_ascii_case(hash) {
            return Err(ApiError::new("InvalidDocument", "The document does not have the hash that is given."));
        }
    }
    let content = documents::content_of(&found)?;
    let Body::Command(steps) = &content.body else {
        return Err(ApiError::new("InvalidDocument", format!("Document {name} is not of the type Command.")));
    };
    let given = references::with_defaults(&content.parameters, &input.parameters);
    let given = references::resolve(view, &content.parameters, given)?;
    documents::compile(steps, &Arguments::of(&content.parameters, &given)?)
}

/// What a call refers to in Parameter Store, by itself or by its document, for
/// whoever asks whether it may.
pub fn referenced(view: &View<'_>, input: &wire::SendCommandRequest) -> Vec<String> {
    let found = documents::find(
        view,
        input.document_name.as_deref().unwrap_or_default(),
        input.document_version.as_deref(),
        None,
    );
    let content = found.and_then(|found| documents::content_of(&found));
    let parameters = content.map(|content| content.parameters).unwrap_or_default();
    references::names(&references::with_defaults(&parameters, &input.parameters))
        .into_iter()
        .map(str::to_string)
        .collect()
}

fn refuse_unsupported(input: &wire::SendCommandRequest) -> Result<(), ApiError> {
    if input.output_s3_bucket_name.as_deref().is_some_and(|bucket| !bucket.is_empty()) {
        return Err(errors::unsupported("Output in S3 (OutputS3BucketName)"));
    }
    if input.cloud_watch_output_config.as_ref().is_some_and(|config| config.cloud_watch_output_enabled == Some(true)) {
        return Err(errors::unsupported("CloudWatchOutputConfig"));
    }
    if input.alarm_configuration.is_some() {
        return Err(errors::unsupported("AlarmConfiguration"));
    }
    let notifies =
        |config: &wire::NotificationConfig| config.notification_arn.as_deref().is_some_and(|arn| !arn.is_empty());
    if input.notification_config.as_ref().is_some_and(notifies) {
        return Err(errors::unsupported("NotificationConfig"));
    }
    if input.comment.as_deref().is_some_and(|comment| comment.chars().count() > COMMENT_MAX) {
        return Err(errors::validation(format!("Comment must have at most {COMMENT_MAX} characters")));
    }
    Ok(())
}

/// The instances that a call means, for whoever asks whether they may be
/// meant; none while the call cannot be carried out.
pub fn targeted(view: &View<'_>, input: &wire::SendCommandRequest) -> BTreeSet<InstanceId> {
    instances(view, input).unwrap_or_default()
}

/// The instances that the call means: those that it names, which must run,
/// or those running ones that all of its targets describe.
fn instances(view: &View<'_>, input: &wire::SendCommandRequest) -> Result<BTreeSet<InstanceId>, ApiError> {
    if input.instance_ids.is_empty() == input.targets.is_empty() {
        return Err(errors::validation("Specify either InstanceIds or Targets, and not both"));
    }
    if input.instance_ids.len() > IDS_MAX || input.targets.len() > TARGET_FILTERS_MAX {
        return Err(errors::validation(format!(
            "InstanceIds takes at most {IDS_MAX} ids and Targets at most {TARGET_FILTERS_MAX} targets"
        )));
    }
    if input.targets.is_empty() {
        return named(view, &input.instance_ids);
    }
    for target in &input.targets {
        check_target(target)?;
    }
    let meant =
        |row: &Instance| row.phase == Phase::Running && input.targets.iter().all(|target| describes(target, row));
    Ok(view.all::<Instance>().filter(|row| meant(row)).map(|row| row.id.clone()).collect())
}

fn named(view: &View<'_>, ids: &[String]) -> Result<BTreeSet<InstanceId>, ApiError> {
    let mut found = BTreeSet::new();
    let mut invalid = Vec::new();
    for id in ids {
        match view.get::<Instance>(id).filter(|row| row.phase == Phase::Running) {
            Some(row) if !found.insert(row.id.clone()) => return Err(errors::duplicate_instance(id)),
            Some(_) => {}
            None => invalid.push(id.as_str()),
        }
    }
    if !invalid.is_empty() {
        return Err(errors::invalid_instances(&invalid, view.scope.account.as_str()));
    }
    Ok(found)
}

fn check_target(target: &wire::Target) -> Result<(), ApiError> {
    let key = target.key.as_deref().unwrap_or_default();
    if target.values.len() > IDS_MAX {
        return Err(errors::validation(format!("The target '{key}' has more than {IDS_MAX} values")));
    }
    match key {
        "InstanceIds" | "tag-key" => Ok(()),
        key if key.strip_prefix("tag:").is_some_and(|name| !name.is_empty()) => Ok(()),
        other => Err(errors::unsupported(&format!("The target key '{other}'"))),
    }
}

/// Whether a target that [`check_target`] let pass describes the instance.
fn describes(target: &wire::Target, row: &Instance) -> bool {
    let key = target.key.as_deref().unwrap_or_default();
    match key.strip_prefix("tag:") {
        // A tag without values means the tag with any value.
        Some(name) => row.tags.get(name).is_some_and(|value| target.values.is_empty() || target.values.contains(value)),
        None if key == "tag-key" => target.values.iter().any(|name| row.tags.contains_key(name)),
        None => target.values.iter().any(|id| id == row.id.as_str()),
    }
}

/// How much of what is kept a command takes.
fn size(row: &Command) -> usize {
    row.invocations.len().max(1) * row.steps.len().clamp(1, OUTPUT_STEPS_MAX)
}

/// Deletes the oldest commands that have ended until `more` invocations fit.
fn make_room(tx: &mut Change<'_, '_>, more: usize) -> Result<(), ApiError> {
    let mut kept: usize = tx.all::<Command>().map(|row| size(row)).sum();
    if kept + more <= INVOCATIONS_MAX {
        return Ok(());
    }
    let oldest: BTreeMap<_, Arc<Command>> = tx
        .all::<Command>()
        .filter(|row| !row.is_open())
        .map(|row| ((row.requested_at, row.id.clone()), row.clone()))
        .collect();
    for row in oldest.into_values() {
        if kept + more <= INVOCATIONS_MAX {
            break;
        }
        kept -= size(&row);
        delete_command(tx, &row);
    }
    if kept + more > INVOCATIONS_MAX {
        let message =
            format!("Invocations under way would exceed the limit of {INVOCATIONS_MAX}. Wait until some have ended.");
        return Err(errors::throttled(message));
    }
    Ok(())
}
