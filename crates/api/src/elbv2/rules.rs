//! Rules of listeners: creating, changing, ordering and describing them. The
//! default rule is a part of its listener's row.

use super::actions::{self, Actions, Place};
use super::names::AnyRule;
use super::{conditions, errors, listeners, names, pager, tags, transforms};
use crate::page::page;
use crate::{Call, Change};
use elastane_domain::id::{ListenerArn, RuleArn};
use elastane_engine::Tables;
use elastane_engine::row::{Listener, LoadBalancer, Rule};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rules of one load balancer besides the default ones (alb.md 12).
pub const RULES_MAX: usize = 100;

/// Highest priority (alb.md 2, point 2).
const PRIORITY_MAX: i32 = 50_000;

/// A new rule's ARN below its listener's.
pub fn new_arn(tx: &mut Change<'_, '_>, listener: &str) -> RuleArn {
    let id = tx.rng.hex(names::ID_DIGITS);
    RuleArn::from(format!("{}/{id}", listener.replacen(":listener/", ":listener-rule/", 1)))
}

/// CreateRule.
pub fn create_rule(tx: &mut Change<'_, '_>, input: &wire::CreateRuleInput) -> Result<wire::CreateRuleOutput, ApiError> {
    let listener = names::listener(tx.tables(), input.listener_arn.as_deref())?.clone();
    if !listeners::has_rules(listener.protocol) {
        let message = "Rules are not supported for listeners of network load balancers";
        return Err(errors::operation_not_permitted(message));
    }
    let balancer = names::load_balancer(tx.tables(), Some(listener.load_balancer.as_str()))?.clone();
    let priority = priority(input.priority.ok_or_else(|| errors::missing("Priority"))?)?;
    let conditions = conditions::checked(&input.conditions)?;
    let transforms = transforms::checked(&input.transforms)?;
    let place =
        Place { tables: tx.tables(), balancer: &balancer, protocol: listener.protocol, owner: None, before: None };
    let Actions { authenticate, action, orders } = actions::checked(place, "Actions", &input.actions)?;
    if of_listener(tx.tables(), &listener.arn).any(|row| row.priority == priority) {
        return Err(errors::priority_in_use(priority));
    }
    let on_it = |row: &&Arc<Rule>| {
        let of = tx.tables().listeners.get(row.listener.as_str());
        of.is_some_and(|of| of.load_balancer == balancer.arn)
    };
    if tx.all::<Rule>().filter(on_it).count() >= RULES_MAX {
        return Err(errors::too_many("TooManyRules", RULES_MAX, "rules of one load balancer"));
    }
    let tags = tags::given(&input.tags)?;
    let arn = new_arn(tx, listener.arn.as_str());
    let listener = listener.arn.clone();
    let row = Rule { arn, listener, priority, conditions, transforms, authenticate, action, orders, tags };
    let rules = vec![shown(&row)];
    tx.put(row);
    Ok(wire::CreateRuleOutput { rules })
}

fn priority(given: i32) -> Result<u32, ApiError> {
    if (1..=PRIORITY_MAX).contains(&given) {
        return Ok(given as u32);
    }
    Err(errors::validation(format!("Priority '{given}' must be between 1 and {PRIORITY_MAX}")))
}

fn of_listener<'a>(tables: &'a Tables, listener: &ListenerArn) -> impl Iterator<Item = &'a Arc<Rule>> {
    tables.rules.values().filter(move |row| row.listener == *listener)
}

/// Deletes the rules of a listener.
pub fn delete_all(tx: &mut Change<'_, '_>, listener: &ListenerArn) {
    let rules: Vec<RuleArn> = of_listener(tx.tables(), listener).map(|row| row.arn.clone()).collect();
    for rule in rules {
        tx.delete::<Rule>(rule.as_str());
    }
}

/// Whether the rules of a listener suit its new protocol.
pub fn check_all(tables: &Tables, balancer: &LoadBalancer, listener: &Listener) -> Result<(), ApiError> {
    for rule in of_listener(tables, &listener.arn) {
        let place = Place {
            tables,
            balancer,
            protocol: listener.protocol,
            owner: Some(rule.arn.as_str()),
            before: rule.authenticate.as_deref(),
        };
        let given = actions::given_again(rule.authenticate.as_deref(), &rule.action, &rule.orders);
        actions::checked(place, "Actions", &given)?;
    }
    Ok(())
}

/// ModifyRule: conditions, actions and transforms that the call names take
/// the place of all of that kind; the others stay.
pub fn modify_rule(tx: &mut Change<'_, '_>, input: &wire::ModifyRuleInput) -> Result<wire::ModifyRuleOutput, ApiError> {
    let before = names::rule(tx.tables(), input.rule_arn.as_deref())?.clone();
    let mut row = Rule::clone(&before);
    let listener = names::listener(tx.tables(), Some(row.listener.as_str()))?;
    let balancer = names::load_balancer(tx.tables(), Some(listener.load_balancer.as_str()))?;
    if !input.conditions.is_empty() {
        row.conditions = conditions::checked(&input.conditions)?;
    }
    if !input.actions.is_empty() {
        let place = Place {
            tables: tx.tables(),
            balancer,
            protocol: listener.protocol,
            owner: Some(before.arn.as_str()),
            before: before.authenticate.as_deref(),
        };
        let Actions { authenticate, action, orders } = actions::checked(place, "Actions", &input.actions)?;
        (row.authenticate, row.action, row.orders) = (authenticate, action, orders);
    }
    match (input.transforms.is_empty(), input.reset_transforms == Some(true)) {
        (false, true) => {
            return Err(errors::validation("Transforms and ResetTransforms cannot be specified at the same time"));
        }
        (false, false) => row.transforms = transforms::checked(&input.transforms)?,
        (true, true) => row.transforms = Vec::new(),
        (true, false) => {}
    }
    let rules = vec![shown(&row)];
    tx.put(row);
    Ok(wire::ModifyRuleOutput { rules })
}

/// DeleteRule.
pub fn delete_rule(tx: &mut Change<'_, '_>, input: &wire::DeleteRuleInput) -> Result<wire::DeleteRuleOutput, ApiError> {
    let arn = names::rule(tx.tables(), input.rule_arn.as_deref())?.arn.clone();
    tx.delete::<Rule>(arn.as_str());
    Ok(wire::DeleteRuleOutput {})
}

/// SetRulePriorities: all of them at once, so rules can change places.
pub fn set_rule_priorities(
    tx: &mut Change<'_, '_>,
    input: &wire::SetRulePrioritiesInput,
) -> Result<wire::SetRulePrioritiesOutput, ApiError> {
    if input.rule_priorities.is_empty() {
        return Err(errors::missing("RulePriorities"));
    }
    let mut changed: BTreeMap<String, Rule> = BTreeMap::new();
    for pair in &input.rule_priorities {
        let mut row = Rule::clone(names::rule(tx.tables(), pair.rule_arn.as_deref())?);
        row.priority = priority(pair.priority.ok_or_else(|| errors::missing("Priority"))?)?;
        if changed.values().any(|other| other.listener == row.listener && other.priority == row.priority) {
            return Err(errors::priority_in_use(row.priority));
        }
        if changed.insert(row.arn.to_string(), row).is_some() {
            return Err(errors::validation("A rule can be specified once only"));
        }
    }
    for row in changed.values() {
        let stays = |other: &&Arc<Rule>| !changed.contains_key(other.arn.as_str());
        if of_listener(tx.tables(), &row.listener).filter(stays).any(|other| other.priority == row.priority) {
            return Err(errors::priority_in_use(row.priority));
        }
    }
    let rules = changed.values().map(shown).collect();
    for row in changed.into_values() {
        tx.put(row);
    }
    Ok(wire::SetRulePrioritiesOutput { rules })
}

/// DescribeRules: those of a listener in the order of their priorities, the
/// default rule last, or those of the ARNs.
pub fn describe_rules(
    call: &Call<'_>,
    input: &wire::DescribeRulesInput,
) -> Result<wire::DescribeRulesOutput, ApiError> {
    if input.listener_arn.is_some() != input.rule_arns.is_empty() {
        return Err(errors::validation("You must specify either listener rule ARNs or a listener ARN"));
    }
    let mut rules: Vec<(u32, wire::Rule)> = match input.listener_arn.as_deref() {
        Some(arn) => {
            let listener = names::listener(call.tables, Some(arn))?;
            let others = of_listener(call.tables, &listener.arn).map(|row| (row.priority, shown(row)));
            others.chain([(u32::MAX, shown_default(listener))]).collect()
        }
        None => {
            let mut found = BTreeMap::new();
            for arn in &input.rule_arns {
                let rule = match names::any_rule(call.tables, arn)? {
                    AnyRule::Rule(row) => (row.priority, shown(row)),
                    AnyRule::Default(listener) => (u32::MAX, shown_default(listener)),
                };
                found.insert(arn, rule);
            }
            found.into_values().collect()
        }
    };
    // A page's token names what the order is by.
    let key = |(priority, rule): &(u32, wire::Rule)| {
        format!("{priority:010}{}", rule.rule_arn.as_deref().unwrap_or_default())
    };
    rules.sort_by_key(key);
    let (rules, next_marker) = page(rules, pager(input.marker.as_deref(), input.page_size), key)?;
    Ok(wire::DescribeRulesOutput { next_marker, rules: rules.into_iter().map(|(_, rule)| rule).collect() })
}

fn shown(row: &Rule) -> wire::Rule {
    let mut shown = actions::shown(row.authenticate.as_deref(), &row.action, &row.orders);
    if let ([only], []) = (shown.as_mut_slice(), row.orders.as_slice()) {
        // Ansible compares a rule's only action with the one that it wrote,
        // which has no order unless its writer gave it one.
        only.order = None;
    }
    wire::Rule {
        actions: shown,
        conditions: row.conditions.iter().map(conditions::shown).collect(),
        is_default: Some(false),
        priority: Some(row.priority.to_string()),
        rule_arn: Some(row.arn.to_string()),
        transforms: row.transforms.iter().map(transforms::shown).collect(),
    }
}

fn shown_default(row: &Listener) -> wire::Rule {
    wire::Rule {
        actions: actions::shown(row.authenticate.as_deref(), &row.action, &row.orders),
        is_default: Some(true),
        priority: Some("default".to_string()),
        rule_arn: Some(row.default_rule.to_string()),
        ..Default::default()
    }
}
