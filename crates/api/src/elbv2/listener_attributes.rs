//! Attributes of listeners (alb.md 7.3): headers of HTTP and HTTPS listeners,
//! the idle timeout of TCP ones. Each is compiled into the routing snapshot.

use super::attributes::{Attribute, Honoured, Values, change, in_force};
use super::names;
use crate::{Call, Change};
use elastane_domain::routing::Protocol;
use elastane_engine::row::Listener;
use elastane_wire::{ApiError, elbv2 as wire};

/// What HTTP and HTTPS listeners have.
static HTTP: &[Attribute] = &[
    Attribute {
        key: "routing.http.response.server.enabled",
        default: "true",
        values: Values::Flag,
        honoured: Honoured::All,
    },
    words("routing.http.response.access_control_allow_credentials.header_value", &["", "true"]),
    header_value("routing.http.response.access_control_allow_headers.header_value"),
    header_value("routing.http.response.access_control_allow_methods.header_value"),
    header_value("routing.http.response.access_control_allow_origin.header_value"),
    header_value("routing.http.response.access_control_expose_headers.header_value"),
    Attribute {
        key: "routing.http.response.access_control_max_age.header_value",
        default: "",
        values: Values::WordOr("", 0, 86_400),
        honoured: Honoured::All,
    },
    header_value("routing.http.response.content_security_policy.header_value"),
    header_value("routing.http.response.strict_transport_security.header_value"),
    words("routing.http.response.x_content_type_options.header_value", &["", "nosniff"]),
    words("routing.http.response.x_frame_options.header_value", &["", "DENY", "SAMEORIGIN"]),
];

/// What HTTPS listeners have besides.
static HTTPS: &[Attribute] = &[
    header_name("routing.http.request.x_amzn_mtls_clientcert.header_name"),
    header_name("routing.http.request.x_amzn_mtls_clientcert_issuer.header_name"),
    header_name("routing.http.request.x_amzn_mtls_clientcert_leaf.header_name"),
    header_name("routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name"),
    header_name("routing.http.request.x_amzn_mtls_clientcert_subject.header_name"),
    header_name("routing.http.request.x_amzn_mtls_clientcert_validity.header_name"),
    header_name("routing.http.request.x_amzn_tls_cipher_suite.header_name"),
    header_name("routing.http.request.x_amzn_tls_version.header_name"),
];

/// What TCP listeners have.
static TCP: &[Attribute] = &[Attribute {
    key: "tcp.idle_timeout.seconds",
    default: "350",
    values: Values::Number(60, 6000),
    honoured: Honoured::All,
}];

const fn words(key: &'static str, words: &'static [&'static str]) -> Attribute {
    Attribute { key, default: "", values: Values::OneOf(words), honoured: Honoured::All }
}

/// A response header; empty for none.
const fn header_value(key: &'static str) -> Attribute {
    Attribute { key, default: "", values: Values::HeaderValue, honoured: Honoured::All }
}

/// Another name of a request header; empty for its own.
const fn header_name(key: &'static str) -> Attribute {
    Attribute { key, default: "", values: Values::HeaderName, honoured: Honoured::All }
}

/// The attributes of a protocol's listeners.
fn known(protocol: Protocol) -> impl Iterator<Item = &'static Attribute> {
    let (first, second): (&[Attribute], &[Attribute]) = match protocol {
        Protocol::Http => (HTTP, &[]),
        Protocol::Https => (HTTP, HTTPS),
        Protocol::Tcp | Protocol::TcpUdp => (TCP, &[]),
        Protocol::Tls | Protocol::Udp => (&[], &[]),
    };
    first.iter().chain(second)
}

/// The keys of a protocol's listeners.
pub fn keys(protocol: Protocol) -> impl Iterator<Item = &'static str> {
    known(protocol).map(|attribute| attribute.key)
}

/// DescribeListenerAttributes: all of them, with their defaults.
pub fn describe_listener_attributes(
    call: &Call<'_>,
    input: &wire::DescribeListenerAttributesInput,
) -> Result<wire::DescribeListenerAttributesOutput, ApiError> {
    let row = names::listener(call.tables, input.listener_arn.as_deref())?;
    Ok(wire::DescribeListenerAttributesOutput { attributes: shown(row) })
}

/// ModifyListenerAttributes: the answer holds all of them.
pub fn modify_listener_attributes(
    tx: &mut Change<'_, '_>,
    input: &wire::ModifyListenerAttributesInput,
) -> Result<wire::ModifyListenerAttributesOutput, ApiError> {
    let mut row = Listener::clone(names::listener(tx.tables(), input.listener_arn.as_deref())?);
    let changes = input.attributes.iter().map(|attribute| (attribute.key.as_deref(), attribute.value.as_deref()));
    change("Listener", || known(row.protocol), &mut row.attributes, changes)?;
    let attributes = shown(&row);
    tx.put(row);
    Ok(wire::ModifyListenerAttributesOutput { attributes })
}

fn shown(row: &Listener) -> Vec<wire::ListenerAttribute> {
    in_force(known(row.protocol), &row.attributes)
        .map(|(key, value)| wire::ListenerAttribute { key: Some(key), value: Some(value) })
        .collect()
}
