//! A release by instance refresh: started, or found running, and followed to
//! its end.

use super::{Rolling, Stage};
use crate::client::ask;
use crate::data_dir::Problem;
use elastane_wire::{autoscaling, ec2};
use std::time::Instant;

/// Statuses of a refresh that still does something.
const ACTIVE: [&str; 5] = ["Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"];

/// Runs a release by instance refresh to its end.
pub fn run(stage: &mut Stage, asked: &Rolling) -> Result<(), Problem> {
    let group = group(stage, &asked.group)?;
    let wanted = wanted(stage, asked, &group)?;
    let version = wanted.version.clone().unwrap_or_default();
    let id = match newest(stage, &asked.group)?.filter(is_active) {
        Some(running) => join(stage, asked, &running, &wanted)?,
        None => {
            advise(stage, &group);
            start(stage, asked, &group, &wanted)?
        }
    };
    match follow(stage, asked, &id) {
        Ok(refresh) => end(stage, asked, &refresh, &version),
        Err(Lost::Interrupted(err)) => {
            let name = &asked.group;
            let text = format!(
                "stopped watching; the refresh goes on. Ask for the same to follow it, or take it back with \
                 `aws autoscaling rollback-instance-refresh --auto-scaling-group-name {name}`"
            );
            Err(Problem::because(text, err))
        }
        Err(Lost::Problem(err)) => Err(err),
    }
}

/// Why a refresh is not followed to its end.
enum Lost {
    Interrupted(Problem),
    Problem(Problem),
}

fn is_active(refresh: &autoscaling::InstanceRefresh) -> bool {
    ACTIVE.contains(&status(refresh))
}

fn status(refresh: &autoscaling::InstanceRefresh) -> &str {
    refresh.status.as_deref().unwrap_or("Unknown")
}

fn group(stage: &Stage, name: &str) -> Result<autoscaling::AutoScalingGroup, Problem> {
    let request = autoscaling::AutoScalingGroupNamesType {
        auto_scaling_group_names: vec![name.to_string()],
        ..Default::default()
    };
    let found = ask!(stage.daemon, AutoScalingDescribeAutoScalingGroups, request)?;
    let help = || Problem::new(format!("there is no Auto Scaling group {name}: `elastane status` lists them"));
    found.auto_scaling_groups.into_iter().next().ok_or_else(help)
}

/// The launch template with the version as a number, so that a later release can return to it.
fn wanted(
    stage: &Stage,
    asked: &Rolling,
    group: &autoscaling::AutoScalingGroup,
) -> Result<autoscaling::LaunchTemplateSpecification, Problem> {
    let (id, name) = match (&asked.template, &group.launch_template) {
        (Some(id), _) if id.starts_with("lt-") => (Some(id.clone()), None),
        (Some(name), _) => (None, Some(name.clone())),
        (None, Some(own)) => (own.launch_template_id.clone(), None),
        (None, None) => {
            return Err(Problem::new(format!(
                "the group {} has no launch template of its own: name one with --template",
                asked.group
            )));
        }
    };
    let version = match asked.template_version.as_str() {
        "latest" | "$Latest" => "$Latest".to_string(),
        "default" | "$Default" => "$Default".to_string(),
        number => number.to_string(),
    };
    let request = ec2::DescribeLaunchTemplateVersionsRequest {
        launch_template_id: id.clone(),
        launch_template_name: name.clone(),
        versions: vec![version.clone()],
        ..Default::default()
    };
    let help = || {
        format!(
            "there is no version {version} of that launch template: make one with \
             `aws ec2 create-launch-template-version`"
        )
    };
    let found =
        ask!(stage.daemon, Ec2DescribeLaunchTemplateVersions, request).map_err(|err| Problem::because(help(), err))?;
    let number = found.launch_template_versions.into_iter().next().and_then(|one| one.version_number);
    let number = number.ok_or_else(|| Problem::new(help()))?;
    Ok(autoscaling::LaunchTemplateSpecification {
        launch_template_id: id,
        launch_template_name: name,
        version: Some(number.to_string()),
    })
}

/// What keeps a refresh from seeing that the new version fails.
fn advise(stage: &mut Stage, group: &autoscaling::AutoScalingGroup) {
    let behind = !group.target_group_arns.is_empty();
    if behind && !group.health_check_type.as_deref().unwrap_or("").contains("ELB") {
        stage
            .screen
            .line("Note: the group does not use ELB health checks, so an instance counts as healthy once it runs.");
        stage.screen.line("      `aws autoscaling update-auto-scaling-group --health-check-type ELB` changes that.");
    }
}

fn newest(stage: &Stage, group: &str) -> Result<Option<autoscaling::InstanceRefresh>, Problem> {
    let request = autoscaling::DescribeInstanceRefreshesType {
        auto_scaling_group_name: Some(group.to_string()),
        max_records: Some(1),
        ..Default::default()
    };
    let found = ask!(stage.daemon, AutoScalingDescribeInstanceRefreshes, request)?;
    Ok(found.instance_refreshes.into_iter().next())
}

/// Follows a refresh that runs already, if it is to the same version.
fn join(
    stage: &mut Stage,
    asked: &Rolling,
    running: &autoscaling::InstanceRefresh,
    wanted: &autoscaling::LaunchTemplateSpecification,
) -> Result<String, Problem> {
    let goal = running.desired_configuration.as_ref().and_then(|it| it.launch_template.as_ref());
    let same_template = |goal: &autoscaling::LaunchTemplateSpecification| {
        let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
        same(&goal.launch_template_id, &wanted.launch_template_id)
            || same(&goal.launch_template_name, &wanted.launch_template_name)
    };
    let id = running.instance_refresh_id.clone().unwrap_or_default();
    if goal.is_some_and(|goal| same_template(goal) && goal.version == wanted.version) {
        stage.screen.line(&format!("The refresh {id} to this version runs already; following it."));
        return Ok(id);
    }
    Err(Problem::new(format!(
        "another instance refresh ({id}, {}) runs in {}: wait for it, or stop it with \
         `aws autoscaling cancel-instance-refresh --auto-scaling-group-name {}`",
        status(running),
        asked.group,
        asked.group
    )))
}

fn start(
    stage: &mut Stage,
    asked: &Rolling,
    group: &autoscaling::AutoScalingGroup,
    wanted: &autoscaling::LaunchTemplateSpecification,
) -> Result<String, Problem> {
    let seconds = |value: Option<u32>| value.map(|secs| i32::try_from(secs).unwrap_or(i32::MAX));
    let preferences = autoscaling::RefreshPreferences {
        alarm_specification: (!asked.alarm.is_empty())
            .then(|| autoscaling::AlarmSpecification { alarms: asked.alarm.clone() }),
        auto_rollback: Some(!asked.no_rollback),
        bake_time: seconds(asked.bake),
        checkpoint_delay: seconds(asked.checkpoint_delay),
        checkpoint_percentages: asked.checkpoints.iter().map(|percent| i32::from(*percent)).collect(),
        instance_warmup: seconds(asked.warmup),
        max_healthy_percentage: Some(i32::from(asked.max_healthy)),
        min_healthy_percentage: Some(i32::from(asked.min_healthy)),
        // Asked again after its end, it finds nothing to do.
        skip_matching: Some(true),
        ..Default::default()
    };
    let request = autoscaling::StartInstanceRefreshType {
        auto_scaling_group_name: Some(asked.group.clone()),
        desired_configuration: Some(autoscaling::DesiredConfiguration {
            launch_template: Some(wanted.clone()),
            mixed_instances_policy: None,
        }),
        preferences: Some(preferences),
        strategy: None,
    };
    let before = group.launch_template.as_ref().and_then(|own| own.version.clone()).unwrap_or_default();
    if !asked.no_rollback && before.starts_with('$') {
        return Err(Problem::new(format!(
            "the group launches the version {before}, so there is none to return to. Pin the version that runs with \
             `aws autoscaling update-auto-scaling-group --auto-scaling-group-name {} --launch-template \
             LaunchTemplateId=ID,Version=NUMBER`, or give up returning with --no-rollback",
            asked.group
        )));
    }
    let answer = ask!(stage.daemon, AutoScalingStartInstanceRefresh, request)?;
    let id = answer.instance_refresh_id.ok_or_else(|| Problem::new("the answer has no refresh"))?;
    let version = wanted.version.as_deref().unwrap_or_default();
    stage.screen.line(&format!(
        "{}: {} instances from version {before} to {version}.",
        asked.group,
        group.instances.len()
    ));
    Ok(id)
}

fn follow(stage: &mut Stage, asked: &Rolling, id: &str) -> Result<autoscaling::InstanceRefresh, Lost> {
    let mut last = (String::new(), -1);
    let mut moved = Instant::now();
    let mut called_back = asked.no_rollback;
    loop {
        let request = autoscaling::DescribeInstanceRefreshesType {
            auto_scaling_group_name: Some(asked.group.clone()),
            instance_refresh_ids: vec![id.to_string()],
            ..Default::default()
        };
        let found = ask!(stage.daemon, AutoScalingDescribeInstanceRefreshes, request).map_err(Lost::Problem)?;
        let gone = || Lost::Problem(Problem::new(format!("the refresh {id} is gone: the group was deleted")));
        let refresh = found.instance_refreshes.into_iter().next().ok_or_else(gone)?;
        let percent = refresh.percentage_complete.unwrap_or(0);
        let now = (status(&refresh).to_string(), percent);
        let left = refresh.instances_to_update.unwrap_or(0);
        let words = match status(&refresh) {
            "RollbackInProgress" => format!("going back, {left} to replace"),
            "Baking" => "all replaced, watching".to_string(),
            other => format!("{other}, {left} to replace"),
        };
        stage.screen.bar(u32::try_from(percent).unwrap_or(0), &words);
        if !is_active(&refresh) {
            return Ok(refresh);
        }
        if now != last || pauses(asked, &now) {
            (last, moved) = (now, Instant::now());
        } else if !called_back && moved.elapsed() > stage.wall(asked.patience.saturating_add(warmup(&refresh))) {
            called_back = true;
            call_back(stage, asked).map_err(Lost::Problem)?;
        }
        stage.look_again().map_err(Lost::Interrupted)?;
    }
}

fn warmup(refresh: &autoscaling::InstanceRefresh) -> u32 {
    let secs = refresh.preferences.as_ref().and_then(|it| it.instance_warmup).unwrap_or(0);
    u32::try_from(secs).unwrap_or(0)
}

/// Whether it may stand still where it is: at a checkpoint, or while it bakes
/// or ends.
fn pauses(asked: &Rolling, (status, percent): &(String, i32)) -> bool {
    let first = asked.checkpoints.iter().min().copied();
    status != "InProgress" || first.is_some_and(|first| *percent >= i32::from(first))
}

fn call_back(stage: &mut Stage, asked: &Rolling) -> Result<(), Problem> {
    stage.screen.line(&format!("No instance was replaced for {} s: taking the release back.", asked.patience));
    let request = autoscaling::RollbackInstanceRefreshType { auto_scaling_group_name: Some(asked.group.clone()) };
    ask!(stage.daemon, AutoScalingRollbackInstanceRefresh, request).map(drop)
}

fn end(
    stage: &mut Stage,
    asked: &Rolling,
    refresh: &autoscaling::InstanceRefresh,
    version: &str,
) -> Result<(), Problem> {
    let back = refresh.rollback_details.as_ref().and_then(|back| back.rollback_reason.clone());
    let reason = back.or(refresh.status_reason.clone()).unwrap_or_default();
    let group = &asked.group;
    match status(refresh) {
        "Successful" => {
            stage.screen.line(&format!("{group} runs version {version}: the release is done."));
            Ok(())
        }
        "RollbackSuccessful" => {
            stage.screen.line(&format!("{group} runs the version before again."));
            Err(Problem::new(format!(
                "the release failed and was taken back: {reason} See `aws autoscaling describe-scaling-activities \
                 --auto-scaling-group-name {group}`"
            )))
        }
        other => Err(Problem::new(format!(
            "the release ended as {other}: {reason} Instances that were replaced stay; `aws autoscaling \
             describe-scaling-activities --auto-scaling-group-name {group}` says what happened. Ask for the version \
             that should run to bring all to it"
        ))),
    }
}
