//! A release by weights: the new version's target group gets more of a
//! listener's traffic step by step. When an alarm fires or a target fails, the
//! old version has all of it again.

use super::release::{Fitness, Pair, fitness, share, shifted, steps_left, wrong_steps};
use super::{BlueGreen, Stage};
use crate::client::ask;
use crate::data_dir::Problem;
use elastane_wire::elbv2;
use std::time::{Duration, Instant};

/// Runs a release by weights to its end.
pub fn run(stage: &mut Stage, asked: &BlueGreen) -> Result<(), Problem> {
    if let Some(wrong) = wrong_steps(&asked.steps) {
        return Err(Problem::new(wrong));
    }
    let pair = Pair { from: target_group(stage, &asked.from)?, to: target_group(stage, &asked.to)? };
    if pair.from == pair.to {
        return Err(Problem::new("--from and --to are the same target group: name two"));
    }
    let before = actions(stage, asked)?;
    let misfit = |why| Problem::new(format!("the action cannot be shifted from {} to {}: {why}", asked.from, asked.to));
    let begun = share(&before, &pair).map_err(misfit)?;
    if asked.abort {
        shift(stage, asked, &before, &pair, 0)?;
        stage.screen.line(&format!("{} has all the traffic again.", asked.from));
        return Ok(());
    }
    let left = steps_left(&asked.steps, begun);
    if left.is_empty() {
        stage.screen.line(&format!("{} has {begun} % of the traffic already: nothing is left to do.", asked.to));
        return Ok(());
    }
    if let Some(alarm) = stage.fired(&asked.alarm)? {
        let text =
            format!("the alarm {alarm} is in ALARM already, so nothing was shifted: see what it says, then ask again");
        return Err(Problem::new(text));
    }
    if begun > 0 {
        stage.screen.line(&format!("{} has {begun} % already; going on from there.", asked.to));
    }
    let outcome = go(stage, asked, &before, &pair, (begun, &left));
    match outcome {
        Ok(last) => {
            stage.screen.line(&format!("{} has {last} % of the traffic: the release is done.", asked.to));
            Ok(())
        }
        Err(Trouble::Interrupted(err)) => {
            let text = "stopped; the weights stay as they are. Ask for the same to go on, or add --abort to return";
            Err(Problem::because(text, err))
        }
        Err(Trouble::Failed(why)) => give_back(stage, asked, &before, &pair, &why),
    }
}

/// Why a release ends early.
enum Trouble {
    /// The user wants so.
    Interrupted(Problem),
    /// The new version is not fit, or it cannot be told.
    Failed(String),
}

fn failed(err: Problem) -> Trouble {
    Trouble::Failed(err.to_string())
}

fn go(
    stage: &mut Stage,
    asked: &BlueGreen,
    before: &[elbv2::Action],
    pair: &Pair,
    (begun, left): (u32, &[u8]),
) -> Result<u32, Trouble> {
    // Named with weight zero first: targets of a group that no listener names are not checked.
    shift(stage, asked, before, pair, begun).map_err(failed)?;
    become_healthy(stage, asked, pair, begun)?;
    let mut last = begun;
    for step in left {
        last = u32::from(*step);
        shift(stage, asked, before, pair, last).map_err(failed)?;
        stage.screen.line(&format!("{last} % to {}; watching for {} s.", asked.to, asked.interval));
        watch(stage, asked, pair, last)?;
    }
    Ok(last)
}

/// Waits until the new version's targets are healthy.
fn become_healthy(stage: &mut Stage, asked: &BlueGreen, pair: &Pair, share: u32) -> Result<(), Trouble> {
    let end = Instant::now() + stage.wall(asked.healthy_within);
    loop {
        let states = states(stage, &pair.to).map_err(failed)?;
        if fitness(states.iter().map(String::as_str)) == Fitness::Fit {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(Trouble::Failed(format!(
                "the targets of {} were not all healthy within {} s ({}); see `elastane lb targets`",
                asked.to,
                asked.healthy_within,
                counted(&states)
            )));
        }
        stage.screen.bar(share, &format!("waiting for the targets of {} ({})", asked.to, counted(&states)));
        stage.look_again().map_err(Trouble::Interrupted)?;
    }
}

/// Watches one step for its interval.
fn watch(stage: &mut Stage, asked: &BlueGreen, pair: &Pair, percent: u32) -> Result<(), Trouble> {
    let begin = Instant::now();
    let whole = stage.wall(asked.interval);
    loop {
        if let Some(alarm) = stage.fired(&asked.alarm).map_err(failed)? {
            return Err(Trouble::Failed(format!("the alarm {alarm} fired at {percent} %")));
        }
        let states = states(stage, &pair.to).map_err(failed)?;
        let healthy = states.iter().any(|state| state == "healthy");
        match fitness(states.iter().map(String::as_str)) {
            Fitness::Failing(count) => {
                let text = format!("{count} of the targets of {} failed at {percent} %", asked.to);
                return Err(Trouble::Failed(format!("{text}; see `elastane lb targets`")));
            }
            Fitness::Unknown if !healthy => {
                return Err(Trouble::Failed(format!("{} has no healthy target at {percent} %", asked.to)));
            }
            Fitness::Fit | Fitness::Unknown => {}
        }
        let gone = begin.elapsed();
        if gone >= whole {
            return Ok(());
        }
        let left = whole.saturating_sub(gone);
        stage.screen.bar(percent, &format!("{}; {}", counted(&states), left_words(stage, left)));
        stage.look_again().map_err(Trouble::Interrupted)?;
    }
}

/// In whole tens of seconds of service time, so that a log does not fill.
fn left_words(stage: &Stage, left: Duration) -> String {
    let secs = left.as_secs_f64() * stage.daemon.about.time_scale.max(1.0);
    format!("{} s left", (secs / 10.0).ceil() as u64 * 10)
}

/// The old version has all the traffic again.
fn give_back(
    stage: &mut Stage,
    asked: &BlueGreen,
    before: &[elbv2::Action],
    pair: &Pair,
    why: &str,
) -> Result<(), Problem> {
    if let Err(err) = shift(stage, asked, before, pair, 0) {
        let text = format!("{why}, and the weights could not be set back: run the same with --abort");
        return Err(Problem::because(text, err));
    }
    stage.screen.line(&format!("{why}."));
    stage.screen.line(&format!("{} has all the traffic again.", asked.from));
    Err(Problem::new(format!("the release failed and was taken back: {why}")))
}

fn target_group(stage: &Stage, named: &str) -> Result<String, Problem> {
    let (names, arns) = if named.starts_with("arn:") {
        (Vec::new(), vec![named.to_string()])
    } else {
        (vec![named.to_string()], Vec::new())
    };
    let request = elbv2::DescribeTargetGroupsInput { names, target_group_arns: arns, ..Default::default() };
    let help = || format!("cannot find the target group {named}: `aws elbv2 describe-target-groups` lists them");
    let found = ask!(stage.daemon, Elbv2DescribeTargetGroups, request).map_err(|err| Problem::because(help(), err))?;
    let arn = found.target_groups.into_iter().next().and_then(|group| group.target_group_arn);
    arn.ok_or_else(|| Problem::new(help()))
}

/// The actions of the listener or the rule.
fn actions(stage: &Stage, asked: &BlueGreen) -> Result<Vec<elbv2::Action>, Problem> {
    let help = "cannot find it: `elastane lb list` shows listeners and rules";
    let actions = if let Some(arn) = &asked.listener {
        let request = elbv2::DescribeListenersInput { listener_arns: vec![arn.clone()], ..Default::default() };
        let found = ask!(stage.daemon, Elbv2DescribeListeners, request).map_err(|err| Problem::because(help, err))?;
        found.listeners.into_iter().next().map(|listener| listener.default_actions)
    } else {
        let rule_arns = asked.rule.iter().cloned().collect();
        let request = elbv2::DescribeRulesInput { rule_arns, ..Default::default() };
        let found = ask!(stage.daemon, Elbv2DescribeRules, request).map_err(|err| Problem::because(help, err))?;
        found.rules.into_iter().next().map(|rule| rule.actions)
    };
    actions.ok_or_else(|| Problem::new(help))
}

fn shift(stage: &Stage, asked: &BlueGreen, before: &[elbv2::Action], pair: &Pair, percent: u32) -> Result<(), Problem> {
    let actions = shifted(before, pair, percent);
    if asked.listener.is_some() {
        let request = elbv2::ModifyListenerInput {
            listener_arn: asked.listener.clone(),
            default_actions: actions,
            ..Default::default()
        };
        return ask!(stage.daemon, Elbv2ModifyListener, request).map(drop);
    }
    let request = elbv2::ModifyRuleInput { rule_arn: asked.rule.clone(), actions, ..Default::default() };
    ask!(stage.daemon, Elbv2ModifyRule, request).map(drop)
}

fn states(stage: &Stage, target_group: &str) -> Result<Vec<String>, Problem> {
    let request =
        elbv2::DescribeTargetHealthInput { target_group_arn: Some(target_group.to_string()), ..Default::default() };
    let answer = ask!(stage.daemon, Elbv2DescribeTargetHealth, request)?;
    let state = |one: elbv2::TargetHealthDescription| one.target_health?.state;
    Ok(answer.target_health_descriptions.into_iter().filter_map(state).collect())
}

/// `2 healthy, 1 initial`.
fn counted(states: &[String]) -> String {
    let mut counts: std::collections::BTreeMap<&str, usize> = Default::default();
    for state in states {
        *counts.entry(state).or_default() += 1;
    }
    let words: Vec<String> = counts.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    if words.is_empty() { "no targets".to_string() } else { words.join(", ") }
}
