//! Load balancers and their listeners as the data plane sees them.

use super::rule::{Action, Rule};
use crate::id::{CertificateArn, ListenerArn, LoadBalancerArn, RuleArn, TrustStoreArn, VpcId, Zone};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of load balancer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Family {
    /// Requests are forwarded (`application`).
    Application,
    /// Flows are forwarded (`network`).
    Network,
}

/// One load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: LoadBalancerArn,
    /// Metric dimension: `app/<name>/<id>` or `net/<name>/<id>`.
    pub dimension: String,
    /// What kind it is.
    pub family: Family,
    /// Lower-case host names under which the main port reaches its first
    /// listener; the first one is its DNS name.
    pub host_names: Vec<String>,
    /// Where it is reached, one a zone, in the order of the zones.
    pub nodes: Vec<Node>,
    /// Listeners in the order of their ports.
    pub listeners: Vec<Listener>,
    /// Its attributes.
    pub options: Options,
}

impl LoadBalancer {
    /// An application load balancer of one node in `us-east-1a`, with AWS's defaults.
    pub fn application(arn: LoadBalancerArn, address: Ipv4Addr, listeners: Vec<Listener>) -> LoadBalancer {
        let name = arn.as_str().rsplit_once(":loadbalancer/").map_or("app/web/1", |(_, name)| name).to_owned();
        LoadBalancer {
            arn,
            dimension: name,
            family: Family::Application,
            host_names: Vec::new(),
            nodes: vec![Node { zone: Zone::from("us-east-1a"), address, ipv6: None, interface: None }],
            listeners,
            options: Options::default(),
        }
    }

    /// The addresses on the host of all its nodes, of both families.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.nodes.iter().flat_map(|node| [Some(IpAddr::V4(node.address)), node.ipv6.map(IpAddr::V6)]).flatten()
    }
}

/// A load balancer in one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The zone.
    pub zone: Zone,
    /// The loopback address of its listeners on the host.
    pub address: Ipv4Addr,
    /// The IPv6 address of its listeners on the host, besides; `None` for a
    /// load balancer that is not `dualstack`, and for nodes without one.
    pub ipv6: Option<Ipv6Addr>,
    /// Its interface in the VPC; `None` where there are no networks.
    pub interface: Option<(VpcId, Ipv4Addr)>,
}

/// Attributes of a load balancer, with AWS's defaults (alb.md 6 and 7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// `idle_timeout.timeout_seconds`, in wall time: it guards sockets.
    pub idle_timeout_secs: u32,
    /// `client_keep_alive.seconds`: longest life of a client's connection, in wall time.
    pub client_keep_alive_secs: u32,
    /// `routing.http2.enabled`.
    pub http2: bool,
    /// `routing.http.desync_mitigation_mode`.
    pub desync: Desync,
    /// `routing.http.drop_invalid_header_fields.enabled`.
    pub drop_invalid_headers: bool,
    /// `routing.http.preserve_host_header.enabled`.
    pub preserve_host: bool,
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`.
    pub tls_headers: bool,
    /// `routing.http.xff_client_port.enabled`.
    pub client_port: bool,
    /// `routing.http.xff_header_processing.mode`.
    pub forwarded_for: ForwardedFor,
    /// `access_logs.s3.*`; `None` when they are off.
    pub access_log: Option<LogPlace>,
    /// `connection_logs.s3.*`; `None` when they are off.
    pub connection_log: Option<LogPlace>,
    /// `load_balancing.cross_zone.enabled`: always for `application`.
    pub cross_zone: bool,
    /// Zones that traffic was shifted away from.
    pub shifted_away: Vec<Zone>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            idle_timeout_secs: 60,
            client_keep_alive_secs: 3600,
            http2: true,
            desync: Desync::Defensive,
            drop_invalid_headers: false,
            preserve_host: false,
            tls_headers: false,
            client_port: false,
            forwarded_for: ForwardedFor::Append,
            access_log: None,
            connection_log: None,
            cross_zone: true,
            shifted_away: Vec::new(),
        }
    }
}

/// How requests that two parsers could read in two ways are treated (alb.md 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desync {
    /// Count them.
    Monitor,
    /// Close connections after ambiguous ones, refuse severe ones.
    Defensive,
    /// Only compliant ones pass.
    Strictest,
}

/// What happens to `X-Forwarded-For` (alb.md 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardedFor {
    /// The client's address is added.
    Append,
    /// It stays as it came.
    Preserve,
    /// It is deleted.
    Remove,
}

/// Where logs go: a bucket and a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// The bucket's name.
    pub bucket: String,
    /// The keys' prefix; may be empty.
    pub prefix: String,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// `HTTP`.
    Http,
    /// `HTTPS`.
    Https,
    /// `TCP`.
    Tcp,
    /// `TLS`.
    Tls,
    /// `UDP`.
    Udp,
    /// `TCP_UDP`: both on one port.
    TcpUdp,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Its ARN.
    pub arn: ListenerArn,
    /// The port that clients name (X-Forwarded-Port).
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// Rules by ascending priority; the default rule is the last and always there.
    pub rules: Vec<Rule>,
    /// How `HTTPS` and `TLS` listeners speak TLS; `None` for the others.
    pub tls: Option<TlsSettings>,
    /// Headers that it changes.
    pub headers: HeaderSettings,
    /// `tcp.idle_timeout.seconds` of network load balancers, in wall time.
    pub tcp_idle_secs: u32,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TlsSettings {
    /// The security policy's name; `crate::tls` knows what it allows.
    pub policy: String,
    /// The default certificate, then the others; chosen by the client's SNI.
    pub certificates: Vec<CertificateArn>,
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// Protocols offered by ALPN, the preferred one first; empty offers none.
    pub alpn: Vec<String>,
}

/// Mutual TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAuth {
    /// `off`.
    Off,
    /// `passthrough`: the chain is passed to targets unverified.
    Passthrough,
    /// `verify`.
    Verify {
        /// Who may have issued the clients' certificates.
        trust_store: TrustStoreArn,
        /// `IgnoreClientCertificateExpiry`.
        ignore_expiry: bool,
        /// `AdvertiseTrustStoreCaNames`.
        advertise: bool,
    },
}

/// Listener attributes that change headers (alb.md 7.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderSettings {
    /// `routing.http.response.server.enabled`: whether `Server` stays.
    pub server: bool,
    /// Response headers to set: name as it is sent, value.
    pub response: Vec<(String, String)>,
    /// Request headers that are named otherwise: lower-case name, new name.
    pub request_names: Vec<(String, String)>,
}

impl Listener {
    /// An HTTP listener with a default action and AWS's defaults.
    pub fn http(arn: ListenerArn, port: u16, action: Action) -> Listener {
        let default = Rule {
            arn: RuleArn::from(format!("{arn}/default")),
            priority: None,
            conditions: Vec::new(),
            transforms: Vec::new(),
            authenticate: None,
            action,
        };
        Listener {
            arn,
            port,
            protocol: Protocol::Http,
            rules: vec![default],
            tls: None,
            headers: HeaderSettings::default(),
            tcp_idle_secs: 350,
        }
    }

    /// The target groups that requests can reach through it; some may come twice.
    pub fn target_groups(&self) -> impl Iterator<Item = &crate::id::TargetGroupArn> {
        self.rules.iter().flat_map(|rule| rule.action.target_groups())
    }
}

impl Default for HeaderSettings {
    fn default() -> Self {
        HeaderSettings { server: true, response: Vec::new(), request_names: Vec::new() }
    }
}
