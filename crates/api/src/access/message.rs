//! The message that EC2 puts behind a refusal, which DecodeAuthorizationMessage
//! turns back into text: what was asked by whom, and in which context. The
//! world seals it, since it may tell more than its caller may know.

use crate::{Caller, Purpose, World};
use elastane_domain::policy::{Context, Decision};
use serde_json::{Value, json};

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

fn text(caller: &Caller, action: &str, resource: &str, decision: Decision, context: Option<&Context>) -> String {
    let conditions: Vec<Value> = context.into_iter().flat_map(Context::iter).map(condition).collect();
    json!({
        "allowed": false,
        "explicitDeny": matches!(decision, Decision::ExplicitDeny(_)),
        "matchedStatements": { "items": [] },
        "failures": { "items": [] },
        "context": {
            "principal": { "id": caller.user_id, "arn": caller.arn },
            "action": action,
            "resource": resource,
            "conditions": { "items": conditions },
        },
    })
    .to_string()
}

fn condition((key, values): (&str, &[String])) -> Value {
    let values: Vec<Value> = values.iter().map(|value| json!({ "value": value })).collect();
    json!({ "key": key, "values": { "items": values } })
}
