//! Protocols of listeners and target groups: their names, which family of
//! load balancer has them, and which go together (ELB-UG, "Listeners"; alb.md
//! 2 and 13).

use super::errors;
use elastane_domain::routing::{Family, Protocol};
use elastane_wire::ApiError;

/// All of them with their names.
const ALL: [(Protocol, &str); 6] = [
    (Protocol::Http, "HTTP"),
    (Protocol::Https, "HTTPS"),
    (Protocol::Tcp, "TCP"),
    (Protocol::Tls, "TLS"),
    (Protocol::Udp, "UDP"),
    (Protocol::TcpUdp, "TCP_UDP"),
];

/// The API's name of a protocol.
pub fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "HTTP",
        Protocol::Https => "HTTPS",
        Protocol::Tcp => "TCP",
        Protocol::Tls => "TLS",
        Protocol::Udp => "UDP",
        Protocol::TcpUdp => "TCP_UDP",
    }
}

/// The protocol of a name. `what` is `listener` or `target group`.
pub fn parsed(what: &str, name: &str) -> Result<Protocol, ApiError> {
    if let Some((protocol, _)) = ALL.into_iter().find(|(_, known)| *known == name) {
        return Ok(protocol);
    }
    match name {
        "GENEVE" | "QUIC" | "TCP_QUIC" => Err(errors::unsupported(&format!("The {what} protocol '{name}'"))),
        other => {
            let known: Vec<&str> = ALL.into_iter().map(|(_, name)| name).collect();
            Err(errors::validation(format!("The {what} protocol '{other}' must be one of '{}'", known.join(", "))))
        }
    }
}

/// The family whose load balancers have listeners and groups of a protocol.
pub fn family(protocol: Protocol) -> Family {
    match protocol {
        Protocol::Http | Protocol::Https => Family::Application,
        Protocol::Tcp | Protocol::Tls | Protocol::Udp | Protocol::TcpUdp => Family::Network,
    }
}

/// Whether listeners of a protocol end TLS.
pub fn secure(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Https | Protocol::Tls => true,
        Protocol::Http | Protocol::Tcp | Protocol::Udp | Protocol::TcpUdp => false,
    }
}

/// The protocol of a listener of this family.
///
/// # Errors
/// `UnsupportedProtocol` for one of the other family.
pub fn of_listener(of: Family, name: &str) -> Result<Protocol, ApiError> {
    let protocol = parsed("listener", name)?;
    if family(protocol) == of {
        return Ok(protocol);
    }
    let allowed: Vec<&str> = ALL.into_iter().filter(|(one, _)| family(*one) == of).map(|(_, name)| name).collect();
    Err(errors::unsupported_protocol(name, &allowed.join(", ")))
}

/// Whether a listener can forward to a group.
pub fn go_together(listener: Protocol, group: Protocol) -> bool {
    match listener {
        Protocol::Http | Protocol::Https => matches!(group, Protocol::Http | Protocol::Https),
        Protocol::Tcp => matches!(group, Protocol::Tcp | Protocol::TcpUdp),
        Protocol::Tls => matches!(group, Protocol::Tcp | Protocol::Tls),
        Protocol::Udp => matches!(group, Protocol::Udp | Protocol::TcpUdp),
        Protocol::TcpUdp => matches!(group, Protocol::TcpUdp),
    }
}
