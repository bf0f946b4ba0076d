//! The message that EC2 puts behind a refusal, which DecodeAuthorizationMessage
//! turns back into text: what was asked by whom, and in which context. The
//! world seals it, since it may tell more than its caller may know.

use crate::{Caller, Purpose, World};
use elastane_domain::policy::{Context, Decision};
use serde::Serialize;

/// Bytes of a message as sent; the API takes no longer ones.
const ENCODED_BYTES_MAX: usize = 10_240;

/// Values of condition keys in a message are cut off here, so that it stays
/// one that the API takes back.
const TEXT_BYTES_MAX: usize = 4_096;

/// The sealed message of a refusal; `None` when it would be too long to be
/// decoded again.
pub fn encode(
    world: &dyn World,
    caller: &Caller,
    action: &str,
    resource: &str,
    (decision, context): (Decision, &Context),
) -> Option<String> {
    let text = text(caller, action, resource, decision, Some(context));
    let text = match text.len() > TEXT_BYTES_MAX {
        true => self::text(caller, action, resource, decision, None),
        false => text,
    };
    Some(world.seal(Purpose::AuthorizationMessage, &text)).filter(|sealed| sealed.len() <= ENCODED_BYTES_MAX)
}

/// What a sealed message says; `None` when this world did not seal it.
pub fn decode(world: &dyn World, encoded: &str) -> Option<String> {
    if encoded.len() > ENCODED_BYTES_MAX {
        return None;
    }
    world.unseal(Purpose::AuthorizationMessage, encoded)
}

/// What a message says (STS API Reference, "DecodeAuthorizationMessage").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    allowed: bool,
    context: Asked<'a>,
    explicit_deny: bool,
    failures: Items<()>,
    matched_statements: Items<()>,
}

#[derive(Serialize)]
struct Asked<'a> {
    action: &'a str,
    conditions: Items<Condition<'a>>,
    principal: Principal<'a>,
    resource: &'a str,
}

#[derive(Serialize)]
struct Principal<'a> {
    arn: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct Condition<'a> {
    key: &'a str,
    values: Items<Text<'a>>,
}

#[derive(Serialize)]
struct Text<'a> {
    value: &'a str,
}

#[derive(Serialize)]
struct Items<T> {
    items: Vec<T>,
}

fn text(caller: &Caller, action: &str, resource: &str, decision: Decision, context: Option<&Context>) -> String {
    let conditions = context.into_iter().flat_map(Context::iter);
    let conditions = conditions.map(|(key, found)| Condition { key, values: texts(found) }).collect();
    let message = Message {
        allowed: false,
        context: Asked {
            action,
            conditions: Items { items: conditions },
            principal: Principal { arn: &caller.arn, id: &caller.user_id },
            resource,
        },
        explicit_deny: matches!(decision, Decision::ExplicitDeny(_)),
        failures: Items { items: Vec::new() },
        matched_statements: Items { items: Vec::new() },
    };
    serde_json::to_string(&message).expect("texts and lists can always be written")
}

fn texts(values: &[String]) -> Items<Text<'_>> {
    Items { items: values.iter().map(|value| Text { value }).collect() }
}
