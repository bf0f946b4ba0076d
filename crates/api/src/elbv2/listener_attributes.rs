//! Attributes of listeners (alb.md 7.3): those that HTTP listeners of
//! application load balancers have. None but the defaults has an effect yet,
//! so nothing else can be set and nothing is stored.

use super::attributes::{Attribute, Honoured, Values, change, in_force};
use super::names;
use crate::{Call, Change};
use elastane_wire::{ApiError, elbv2 as wire};
use std::collections::BTreeMap;

static KNOWN: &[Attribute] = &[
    Attribute {
        key: "routing.http.response.server.enabled",
        default: "true",
        values: Values::Flag,
        honoured: Honoured::Only(&["true"]),
    },
    unset("routing.http.response.access_control_allow_credentials.header_value"),
    unset("routing.http.response.access_control_allow_headers.header_value"),
    unset("routing.http.response.access_control_allow_methods.header_value"),
    unset("routing.http.response.access_control_allow_origin.header_value"),
    unset("routing.http.response.access_control_expose_headers.header_value"),
    unset("routing.http.response.access_control_max_age.header_value"),
    unset("routing.http.response.content_security_policy.header_value"),
    unset("routing.http.response.strict_transport_security.header_value"),
    unset("routing.http.response.x_content_type_options.header_value"),
    unset("routing.http.response.x_frame_options.header_value"),
];

/// A header that responses get; none is added yet.
const fn unset(key: &'static str) -> Attribute {
    Attribute { key, default: "", values: Values::Text, honoured: Honoured::Only(&[""]) }
}

/// DescribeListenerAttributes: all of them, with their defaults.
pub fn describe_listener_attributes(
    call: &Call<'_>,
    input: &wire::DescribeListenerAttributesInput,
) -> Result<wire::DescribeListenerAttributesOutput, ApiError> {
    names::listener(call.tables, input.listener_arn.as_deref())?;
    Ok(wire::DescribeListenerAttributesOutput { attributes: shown() })
}

/// ModifyListenerAttributes: the answer holds all of them.
pub fn modify_listener_attributes(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyListenerAttributesInput,
) -> Result<wire::ModifyListenerAttributesOutput, ApiError> {
    names::listener(tx.tables(), input.listener_arn.as_deref())?;
    let changes = input.attributes.iter().map(|attribute| (attribute.key.as_deref(), attribute.value.as_deref()));
    // Only defaults pass the check, so there is nothing to keep.
    change("Listener", KNOWN, &mut BTreeMap::new(), changes)?;
    Ok(wire::ModifyListenerAttributesOutput { attributes: shown() })
}

fn shown() -> Vec<wire::ListenerAttribute> {
    in_force(KNOWN, &BTreeMap::new())
        .into_iter()
        .map(|(key, value)| wire::ListenerAttribute { key: Some(key), value: Some(value) })
        .collect()
}
