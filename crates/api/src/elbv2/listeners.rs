//! Listeners: HTTP, one default action each.

use super::target_groups::checked_port;
use super::{actions, errors, names, pager, tags};
use crate::page::page;
use crate::{Call, Change};
use elastane_domain::id::ListenerArn;
use elastane_engine::Tables;
use elastane_engine::row::{Listener, LoadBalancer};
use elastane_wire::{ApiError, elbv2 as wire};
use std::sync::Arc;

/// Listeners of one load balancer (alb.md 12).
const LISTENERS_MAX: usize = 50;

/// What HTTPS needs and HTTP must not have.
struct Security<'a> {
    protocol: Option<&'a str>,
    certificates: &'a [wire::Certificate],
    policy: Option<&'a str>,
    alpn: &'a [String],
    mutual: Option<&'a wire::MutualAuthenticationAttributes>,
}

impl Security<'_> {
    fn check(&self) -> Result<(), ApiError> {
        if let Some(protocol) = self.protocol.filter(|protocol| *protocol != "HTTP") {
            return Err(errors::unsupported(&format!("The listener protocol '{protocol}'")));
        }
        let mutual = self.mutual.and_then(|mutual| mutual.mode.as_deref()).is_some_and(|mode| mode != "off");
        if !self.certificates.is_empty() || self.policy.is_some() || !self.alpn.is_empty() || mutual {
            let message = "Certificates, SSL policies, ALPN policies and mutual authentication are for HTTPS listeners";
            return Err(errors::validation(message));
        }
        Ok(())
    }
}

/// CreateListener.
pub fn create_listener(
    tx: &mut Change<'_, '_>,
    input: &wire::CreateListenerInput,
) -> Result<wire::CreateListenerOutput, ApiError> {
    let balancer = names::load_balancer(tx.tables(), input.load_balancer_arn.as_deref())?.clone();
    let security = Security {
        protocol: Some(
            input.protocol.as_deref().ok_or_else(|| errors::validation("A listener protocol must be specified"))?,
        ),
        certificates: &input.certificates,
        policy: input.ssl_policy.as_deref(),
        alpn: &input.alpn_policy,
        mutual: input.mutual_authentication.as_ref(),
    };
    security.check()?;
    let port = input.port.ok_or_else(|| errors::validation("A listener port must be specified"))?;
    let port = checked_port(port)?;
    if of_balancer(tx.tables(), &balancer).any(|other| other.port == port) {
        return Err(errors::duplicate_listener(balancer.arn.as_str()));
    }
    if of_balancer(tx.tables(), &balancer).count() >= LISTENERS_MAX {
        return Err(errors::too_many("TooManyListeners", LISTENERS_MAX, "listeners of one load balancer"));
    }
    let action = actions::checked(tx.tables(), &balancer, None, &input.default_actions)?;
    let tags = tags::given(&input.tags)?;
    let id = tx.rng.hex(names::ID_DIGITS);
    let arn = tx.scope().arn(names::SERVICE, &format!("listener/{}/{id}", balancer.dimension()));
    let row = Listener { tags, ..Listener::http(ListenerArn::from(arn), balancer.arn.clone(), port, action) };
    let listeners = vec![shown(&row)];
    tx.put(row);
    Ok(wire::CreateListenerOutput { listeners })
}

fn of_balancer<'a>(tables: &'a Tables, balancer: &LoadBalancer) -> impl Iterator<Item = &'a Arc<Listener>> {
    tables.listeners.values().filter(|row| row.load_balancer == balancer.arn)
}

/// ModifyListener: what is left out stays.
pub fn modify_listener(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyListenerInput,
) -> Result<wire::ModifyListenerOutput, ApiError> {
    let mut row = Listener::clone(names::listener(tx.tables(), input.listener_arn.as_deref())?);
    let security = Security {
        protocol: input.protocol.as_deref(),
        certificates: &input.certificates,
        policy: input.ssl_policy.as_deref(),
        alpn: &input.alpn_policy,
        mutual: input.mutual_authentication.as_ref(),
    };
    security.check()?;
    let balancer = names::load_balancer(tx.tables(), Some(row.load_balancer.as_str()))?.clone();
    if let Some(port) = input.port {
        row.port = checked_port(port)?;
        if of_balancer(tx.tables(), &balancer).any(|other| other.port == row.port && other.arn != row.arn) {
            return Err(errors::duplicate_listener(balancer.arn.as_str()));
        }
    }
    if !input.default_actions.is_empty() {
        row.action = actions::checked(tx.tables(), &balancer, Some(row.arn.as_str()), &input.default_actions)?;
    }
    let listeners = vec![shown(&row)];
    tx.put(row);
    Ok(wire::ModifyListenerOutput { listeners })
}

/// DeleteListener.
pub fn delete_listener(
    tx: &mut Change<'_, '_>,
    input: &wire::DeleteListenerInput,
) -> Result<wire::DeleteListenerOutput, ApiError> {
    let arn = names::listener(tx.tables(), input.listener_arn.as_deref())?.arn.clone();
    tx.delete::<Listener>(arn.as_str());
    Ok(wire::DeleteListenerOutput {})
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
    wire::Listener {
        default_actions: vec![actions::shown(&row.action)],
        listener_arn: Some(row.arn.to_string()),
        load_balancer_arn: Some(row.load_balancer.to_string()),
        port: Some(i32::from(row.port)),
        protocol: Some("HTTP".to_string()),
        ..Default::default()
    }
}
