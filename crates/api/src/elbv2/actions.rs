//! Actions of listeners and rules (alb.md 2.2): at most one that says who the
//! client must be, then exactly one that answers or forwards.

use super::{errors, forwards, oidc};
use elastane_domain::routing::{Action, Family, Forward, OidcAction, Protocol, Redirect};
use elastane_domain::rules::check::{RedirectError, check_redirect};
use elastane_engine::Tables;
use elastane_engine::row::LoadBalancer;
use elastane_wire::{ApiError, elbv2 as wire};

/// Longest body of a fixed response, in bytes.
const BODY_MAX: usize = 1024;

/// Highest `Order` (API, `ActionOrder`).
const ORDER_MAX: i32 = 50_000;

/// Actions of one rule: an authentication and the last one (alb.md 2, point 4).
const ACTIONS_MAX: usize = 2;

/// Content types that a fixed response may have.
const CONTENT_TYPES: [&str; 5] = ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// Where actions are to stand.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The scope's rows.
    pub tables: &'a Tables,
    /// The load balancer.
    pub balancer: &'a LoadBalancer,
    /// What the listener speaks.
    pub protocol: Protocol,
    /// The ARN of the listener or rule whose actions these replace.
    pub owner: Option<&'a str>,
    /// The authentication that is replaced, if there was one.
    pub before: Option<&'a OidcAction>,
}

/// The actions of a listener or rule.
pub struct Actions {
    /// Who the client must be.
    pub authenticate: Option<Box<OidcAction>>,
    /// What happens then.
    pub action: Action,
    /// `Order` of each, as given.
    pub orders: Vec<u32>,
}

/// The actions of a call, checked. `member` is the call's name for them.
///
/// # Errors
/// `ValidationError`, `TooManyActions`, `InvalidLoadBalancerAction`, and those
/// of forwards.
pub fn checked(place: Place<'_>, member: &str, given: &[wire::Action]) -> Result<Actions, ApiError> {
    let sorted = sorted(member, given)?;
    let (last, first) = sorted.split_last().ok_or_else(|| errors::missing(member))?;
    let authenticate = match first {
        [] => None,
        [(_, action)] => Some(Box::new(authentication(place, action)?)),
        [..] => return Err(errors::too_many("TooManyActions", ACTIONS_MAX, "actions of one rule")),
    };
    let action = last_action(place, last.1)?;
    if let Action::Forward(forward) = &action {
        forwards::check(place, forward, authenticate.is_some())?;
    }
    let orders = if given.iter().all(|action| action.order.is_none()) {
        Vec::new()
    } else {
        sorted.iter().map(|(order, _)| *order).collect()
    };
    Ok(Actions { authenticate, action, orders })
}

/// The actions in their order, which is that of the list when none is named.
fn sorted<'a>(member: &str, given: &'a [wire::Action]) -> Result<Vec<(u32, &'a wire::Action)>, ApiError> {
    let mut sorted: Vec<(u32, &wire::Action)> = Vec::new();
    for (position, action) in given.iter().enumerate() {
        let order = action.order.unwrap_or(position as i32 + 1);
        if !(1..=ORDER_MAX).contains(&order) {
            return Err(errors::validation(format!("The order '{order}' must be between 1 and {ORDER_MAX}")));
        }
        if sorted.iter().any(|(other, _)| *other == order as u32) {
            return Err(errors::validation(format!("Two actions of {member} have the order '{order}'")));
        }
        sorted.push((order as u32, action));
    }
    sorted.sort_by_key(|(order, _)| *order);
    Ok(sorted)
}

fn authentication(place: Place<'_>, action: &wire::Action) -> Result<OidcAction, ApiError> {
    let kind = action.r#type.as_deref().ok_or_else(|| errors::missing("Type"))?;
    match kind {
        "authenticate-oidc" => {
            if place.protocol != Protocol::Https {
                let message = format!("Actions of type '{kind}' are supported only on HTTPS listeners");
                return Err(errors::invalid_action(message));
            }
            refuse_foreign(action, kind)?;
            let config = action.authenticate_oidc_config.as_ref();
            oidc::checked(config.ok_or_else(|| errors::missing("AuthenticateOidcConfig"))?, place.before)
        }
        "authenticate-cognito" | "jwt-validation" => Err(errors::unsupported(&format!("The action type '{kind}'"))),
        "forward" | "redirect" | "fixed-response" => {
            Err(errors::invalid_action(format!("An action of type '{kind}' must be the only one, and the last")))
        }
        other => Err(unknown(other)),
    }
}

fn unknown(kind: &str) -> ApiError {
    let known = "authenticate-oidc,fixed-response,forward,redirect";
    errors::validation(format!("Action type '{kind}' must be one of '[{known}]'"))
}

fn last_action(place: Place<'_>, action: &wire::Action) -> Result<Action, ApiError> {
    let kind = action.r#type.as_deref().ok_or_else(|| errors::missing("DefaultActions.member.1.Type"))?;
    refuse_foreign(action, kind)?;
    if place.balancer.family == Family::Network && kind != "forward" {
        let message = format!("Actions of type '{kind}' are not supported on listeners of network load balancers");
        return Err(errors::invalid_action(message));
    }
    match kind {
        "forward" => Ok(Action::Forward(forwards::parsed(place.balancer.family, action)?)),
        "redirect" => redirect(action, place.protocol == Protocol::Https),
        "fixed-response" => fixed_response(action),
        "authenticate-oidc" => {
            Err(errors::invalid_action("The last action must be of type 'forward', 'redirect' or 'fixed-response'"))
        }
        "authenticate-cognito" | "jwt-validation" => Err(errors::unsupported(&format!("The action type '{kind}'"))),
        other => Err(unknown(other)),
    }
}

/// The configuration of another type would have no effect.
fn refuse_foreign(action: &wire::Action, kind: &str) -> Result<(), ApiError> {
    let configured = [
        ("forward", action.forward_config.is_some() || action.target_group_arn.is_some()),
        ("redirect", action.redirect_config.is_some()),
        ("fixed-response", action.fixed_response_config.is_some()),
        ("authenticate-oidc", action.authenticate_oidc_config.is_some()),
        ("authenticate-cognito", action.authenticate_cognito_config.is_some()),
        ("jwt-validation", action.jwt_validation_config.is_some()),
    ];
    match configured.into_iter().find(|(name, there)| *there && *name != kind) {
        Some((other, _)) => {
            let message = format!("An action of type '{kind}' cannot have the configuration of the type '{other}'");
            Err(errors::validation(message))
        }
        None => Ok(()),
    }
}

fn redirect(action: &wire::Action, https: bool) -> Result<Action, ApiError> {
    let config = action.redirect_config.as_ref().ok_or_else(|| errors::missing("RedirectConfig"))?;
    let or = |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_string());
    let redirect = Redirect {
        status: match config.status_code.as_deref() {
            Some("HTTP_301") => 301,
            Some("HTTP_302") => 302,
            Some(other) => {
                let message = format!("The redirect status code '{other}' must be HTTP_301 or HTTP_302");
                return Err(errors::validation(message));
            }
            None => return Err(errors::missing("RedirectConfig.StatusCode")),
        },
        protocol: or(&config.protocol, "#{protocol}"),
        host: or(&config.host, "#{host}"),
        port: or(&config.port, "#{port}"),
        path: or(&config.path, "/#{path}"),
        query: or(&config.query, "#{query}"),
    };
    match check_redirect(&redirect, https) {
        Ok(()) => Ok(Action::Redirect(redirect)),
        Err(RedirectError::Loop) => {
            Err(errors::invalid_action("The redirect config is not valid because it creates a loop"))
        }
        Err(err) => Err(errors::validation(format!("The redirect config is not valid: {err}"))),
    }
}

fn fixed_response(action: &wire::Action) -> Result<Action, ApiError> {
    let config = action.fixed_response_config.as_ref().ok_or_else(|| errors::missing("FixedResponseConfig"))?;
    let code = config.status_code.as_deref().unwrap_or_default();
    let well_formed = code.len() == 3 && code.starts_with(['2', '4', '5']);
    let status = code.parse().ok().filter(|_| well_formed);
    let status = status.ok_or_else(|| {
        errors::validation(format!("The status code '{code}' of a fixed response must be 2XX, 4XX or 5XX"))
    })?;
    let content_type = config.content_type.clone().unwrap_or_default();
    if !content_type.is_empty() && !CONTENT_TYPES.contains(&content_type.as_str()) {
        let message = format!("The content type '{content_type}' must be one of {}", CONTENT_TYPES.join(", "));
        return Err(errors::validation(message));
    }
    let body = config.message_body.clone().unwrap_or_default();
    if body.len() > BODY_MAX {
        return Err(errors::validation(format!("The message body must have at most {BODY_MAX} bytes")));
    }
    Ok(Action::FixedResponse { status, content_type, body })
}

/// Actions as they are shown, with their order.
pub fn shown(authenticate: Option<&OidcAction>, action: &Action, orders: &[u32]) -> Vec<wire::Action> {
    let authenticate = authenticate.map(|oidc| wire::Action {
        r#type: Some("authenticate-oidc".to_string()),
        authenticate_oidc_config: Some(oidc::shown(oidc)),
        ..Default::default()
    });
    let mut shown: Vec<wire::Action> = authenticate.into_iter().collect();
    shown.push(shown_last(action));
    for (position, action) in shown.iter_mut().enumerate() {
        action.order = Some(orders.get(position).map_or(position as i32 + 1, |order| *order as i32));
    }
    shown
}

fn shown_last(action: &Action) -> wire::Action {
    let some = |text: &String| Some(text.clone());
    match action {
        Action::Forward(forward) => shown_forward(forward),
        Action::Redirect(to) => wire::Action {
            r#type: Some("redirect".to_string()),
            redirect_config: Some(wire::RedirectActionConfig {
                host: some(&to.host),
                path: some(&to.path),
                port: some(&to.port),
                protocol: some(&to.protocol),
                query: some(&to.query),
                status_code: Some(format!("HTTP_{}", to.status)),
            }),
            ..Default::default()
        },
        Action::FixedResponse { status, content_type, body } => wire::Action {
            r#type: Some("fixed-response".to_string()),
            fixed_response_config: Some(wire::FixedResponseActionConfig {
                content_type: some(content_type).filter(|text| !text.is_empty()),
                message_body: some(body).filter(|text| !text.is_empty()),
                status_code: Some(status.to_string()),
            }),
            ..Default::default()
        },
    }
}

/// A forward to one group both in the short and in the long form, because
/// clients compare the one that they wrote.
fn shown_forward(forward: &Forward) -> wire::Action {
    let tuples = forward.groups.iter().map(|(arn, weight)| wire::TargetGroupTuple {
        target_group_arn: Some(arn.to_string()),
        weight: Some(*weight as i32),
    });
    wire::Action {
        r#type: Some("forward".to_string()),
        target_group_arn: match forward.groups.as_slice() {
            [(arn, _)] => Some(arn.to_string()),
            [..] => None,
        },
        forward_config: Some(wire::ForwardActionConfig {
            target_group_stickiness_config: Some(wire::TargetGroupStickinessConfig {
                duration_seconds: forward.stickiness_secs.or(forward.unused_stickiness_secs).map(|secs| secs as i32),
                enabled: Some(forward.stickiness_secs.is_some()),
            }),
            target_groups: tuples.collect(),
        }),
        ..Default::default()
    }
}

/// Actions that are stored already, as a call would give them: what is shown,
/// with the secret that is kept. For checking them in another place.
pub fn given_again(authenticate: Option<&OidcAction>, action: &Action, orders: &[u32]) -> Vec<wire::Action> {
    let mut given = shown(authenticate, action, orders);
    for action in &mut given {
        if let Some(config) = &mut action.authenticate_oidc_config {
            config.use_existing_client_secret = Some(true);
        }
    }
    given
}
