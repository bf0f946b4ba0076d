//! Listeners of both families: HTTP and HTTPS, TCP, TLS, UDP and TCP_UDP.

use super::actions::{self, Actions, Place};
use super::target_groups::checked_port;
use super::{errors, listener_tls, names, pager, protocols, rules, tags};
use crate::page::page;
use crate::{Call, Change};
use elastane_domain::id::{ListenerArn, RuleArn};
use elastane_domain::routing::{Family, Protocol};
use elastane_engine::row::{Listener, LoadBalancer};
use elastane_engine::{Tables, View};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Listeners of one load balancer (alb.md 12).
pub const LISTENERS_MAX: usize = 50;

/// CreateListener. With the settings of an existing listener on that port it
/// answers with that one.
pub fn create_listener(
    tx: &mut Change<'_, '_>,
    input: &wire::CreateListenerInput,
) -> Result<wire::CreateListenerOutput, ApiError> {
    let balancer = names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?.clone();
    let taken = |port: u16| of_balancer(tx.tables(), &balancer).find(|other| other.port == port).cloned();
    let port = checked_port(input.port.ok_or_else(|| errors::validation("A listener port must be specified"))?)?;
    let there = taken(port);
    let wanted = wanted(&tx.view(), &balancer, there.as_deref(), port, input)?;
    if let Some(there) = there {
        let same = Listener {
            arn: there.arn.clone(),
            default_rule: there.default_rule.clone(),
            attributes: there.attributes.clone(),
            ..wanted
        };
        if *there != same {
            return Err(errors::duplicate_listener(balancer.arn.as_str()));
        }
        return Ok(wire::CreateListenerOutput { listeners: vec![shown(&there)] });
    }
    if of_balancer(tx.tables(), &balancer).count() >= LISTENERS_MAX {
        return Err(errors::too_many("TooManyListeners", LISTENERS_MAX, "listeners of one load balancer"));
    }
    let id = tx.rng.hex(names::ID_DIGITS);
    let arn = tx.scope().arn(names::SERVICE, &format!("listener/{}/{id}", balancer.dimension()));
    let default_rule = rules::new_arn(tx, &arn);
    let row = Listener { arn: ListenerArn::from(arn), default_rule, ..wanted };
    let listeners = vec![shown(&row)];
    tx.put(row);
    Ok(wire::CreateListenerOutput { listeners })
}

/// The listener that the call describes, still without ARNs. `there` is the
/// one on that port, which it may turn out to be.
fn wanted(
    view: &View<'_>,
    balancer: &LoadBalancer,
    there: Option<&Listener>,
    port: u16,
    input: &wire::CreateListenerInput,
) -> Result<Listener, ApiError> {
    let name = input.protocol.as_deref().ok_or_else(|| errors::validation("A listener protocol must be specified"))?;
    let protocol = protocols::of_listener(balancer.family, name)?;
    let given = listener_tls::Given {
        certificates: &input.certificates,
        policy: input.ssl_policy.as_deref(),
        alpn: &input.alpn_policy,
        mutual: input.mutual_authentication.as_ref(),
    };
    let tls = listener_tls::changed(view, protocol, None, given)?;
    let owner = there.map(|row| row.arn.as_str());
    let place = Place { tables: view.tables, balancer, protocol, owner, before: None };
    let Actions { authenticate, action, orders } = actions::checked(place, "DefaultActions", &input.default_actions)?;
    Ok(Listener {
        arn: ListenerArn::from(""),
        load_balancer: balancer.arn.clone(),
        port,
        protocol,
        tls,
        default_rule: RuleArn::from(""),
        authenticate,
        action,
        orders,
        attributes: BTreeMap::new(),
        tags: tags::given(&input.tags)?,
    })
}

/// The listeners of a load balancer.
pub fn of_balancer<'a>(tables: &'a Tables, balancer: &LoadBalancer) -> impl Iterator<Item = &'a Arc<Listener>> {
    tables.listeners.values().filter(|row| row.load_balancer == balancer.arn)
}

/// ModifyListener: what is left out stays. A protocol without TLS takes the
/// certificates and the policy away.
pub fn modify_listener(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyListenerInput,
) -> Result<wire::ModifyListenerOutput, ApiError> {
    let before = names::listener(tx.tables(), input.listener_arn.as_deref())?.clone();
    let mut row = Listener::clone(&before);
    let balancer = names::load_balancer(tx.tables(), Some(row.load_balancer.as_str()))?.clone();
    if let Some(name) = input.protocol.as_deref() {
        row.protocol = protocols::of_listener(balancer.family, name)?;
    }
    if let Some(port) = input.port {
        row.port = checked_port(port)?;
        if of_balancer(tx.tables(), &balancer).any(|other| other.port == row.port && other.arn != row.arn) {
            return Err(errors::duplicate_listener(balancer.arn.as_str()));
        }
    }
    let given = listener_tls::Given {
        certificates: &input.certificates,
        policy: input.ssl_policy.as_deref(),
        alpn: &input.alpn_policy,
        mutual: input.mutual_authentication.as_ref(),
    };
    let tls = before.tls.as_ref().filter(|_| protocols::secure(row.protocol));
    row.tls = listener_tls::changed(&tx.view(), row.protocol, tls, given)?;
    let shown_before;
    let default_actions = if input.default_actions.is_empty() && row.protocol != before.protocol {
        // The actions that stay must suit the new protocol as well.
        shown_before = unshown(&before);
        &shown_before
    } else {
        &input.default_actions
    };
    if !default_actions.is_empty() {
        let owner = Some(before.arn.as_str());
        let earlier = before.authenticate.as_deref();
        let place = Place { tables: tx.tables(), balancer: &balancer, protocol: row.protocol, owner, before: earlier };
        let Actions { authenticate, action, orders } = actions::checked(place, "DefaultActions", default_actions)?;
        (row.authenticate, row.action, row.orders) = (authenticate, action, orders);
    }
    if row.protocol != before.protocol {
        rules::check_all(tx.tables(), &balancer, &row)?;
        let known: Vec<&str> = super::listener_attributes::keys(row.protocol).collect();
        row.attributes.retain(|key, _| known.contains(&key.as_str()));
    }
    let listeners = vec![shown(&row)];
    tx.put(row);
    Ok(wire::ModifyListenerOutput { listeners })
}

/// A listener's own actions as a call would give them.
fn unshown(row: &Listener) -> Vec<wire::Action> {
    actions::given_again(row.authenticate.as_deref(), &row.action, &row.orders)
}

/// DeleteListener: with its rules.
pub fn delete_listener(
    tx: &mut Change<'_, '_>,
    input: &wire::DeleteListenerInput,
) -> Result<wire::DeleteListenerOutput, ApiError> {
    let arn = names::listener(tx.tables(), input.listener_arn.as_deref())?.arn.clone();
    delete(tx, &arn);
    Ok(wire::DeleteListenerOutput {})
}

/// Deletes a listener and its rules.
pub fn delete(tx: &mut Change<'_, '_>, arn: &ListenerArn) {
    rules::delete_all(tx, arn);
    tx.delete::<Listener>(arn.as_str());
}

/// DescribeListeners: those of a load balancer, or those of the ARNs.
pub fn describe_listeners(
    call: &Call<'_>,
    input: &wire::DescribeListenersInput,
) -> Result<wire::DescribeListenersOutput, ApiError> {
    let balancer = input.load_balancer_arn.as_deref();
    if balancer.is_some() != input.listener_arns.is_empty() {
        return Err(errors::validation("You must specify either listener ARNs or a load balancer ARN"));
    }
    let rows: Vec<&Arc<Listener>> = match balancer {
        Some(arn) => of_balancer(call.tables, names::load_balancer(call.tables, Some(arn))?).collect(),
        None => {
            for arn in &input.listener_arns {
                names::listener(call.tables, Some(arn))?;
            }
            let asked = |row: &&Arc<Listener>| input.listener_arns.iter().any(|arn| arn == row.arn.as_str());
            call.all::<Listener>().filter(asked).collect()
        }
    };
    let (rows, next_marker) = page(rows, pager(input.marker.as_deref(), input.page_size), |row| row.arn.to_string())?;
    Ok(wire::DescribeListenersOutput { listeners: rows.into_iter().map(|row| shown(row)).collect(), next_marker })
}

fn shown(row: &Listener) -> wire::Listener {
    let mut listener = wire::Listener {
        default_actions: actions::shown(row.authenticate.as_deref(), &row.action, &row.orders),
        listener_arn: Some(row.arn.to_string()),
        load_balancer_arn: Some(row.load_balancer.to_string()),
        port: Some(i32::from(row.port)),
        protocol: Some(protocols::name(row.protocol).to_string()),
        ..Default::default()
    };
    if let Some(tls) = &row.tls {
        listener_tls::show(&mut listener, row.protocol, tls);
    }
    listener
}

/// Whether a listener has rules: those of network load balancers have not.
pub fn has_rules(protocol: Protocol) -> bool {
    protocols::family(protocol) == Family::Application
}
