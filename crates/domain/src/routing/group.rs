//! Target groups and targets as the data plane sees them.

use crate::id::{InstanceId, TargetGroupArn, VpcId, Zone};
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddrV4};

/// One target group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: TargetGroupArn,
    /// Metric dimension: `targetgroup/<name>/<id>`.
    pub dimension: String,
    /// What its targets speak.
    pub protocol: super::Protocol,
    /// Which HTTP they speak; without a meaning for other protocols.
    pub version: ProtocolVersion,
    /// How targets are chosen.
    pub algorithm: Algorithm,
    /// How targets are probed.
    pub check: HealthCheck,
    /// Whether a listener forwards to it: an unused group's targets are not probed.
    pub checked: bool,
    /// `deregistration_delay.timeout_seconds`, as service time.
    pub deregistration_delay: Span,
    /// `deregistration_delay.connection_termination.enabled` of network load
    /// balancers: flows end with the delay instead of going on.
    pub terminate_at_deregistration: bool,
    /// `stickiness.*`; `None` when it is off.
    pub stickiness: Option<Stickiness>,
    /// `slow_start.duration_seconds` as service time; zero when it is off.
    pub slow_start: Span,
    /// Whether a node uses targets of other zones.
    pub cross_zone: bool,
    /// `target_group_health.unhealthy_state_routing.*`: with fewer healthy
    /// targets requests go to all.
    pub routing_minimum: Minimum,
    /// `target_group_health.dns_failover.*`: with fewer healthy targets a zone
    /// leaves DNS.
    pub dns_minimum: Minimum,
    /// `proxy_protocol_v2.enabled`.
    pub proxy_protocol: bool,
    /// `preserve_client_ip.enabled`.
    pub preserve_client_ip: bool,
    /// Registered and draining targets, in a stable order.
    pub targets: Vec<Target>,
}

/// Which HTTP targets speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProtocolVersion {
    /// `HTTP1`.
    Http1,
    /// `HTTP2`.
    Http2,
    /// `GRPC`.
    Grpc,
}

/// Target selection (`load_balancing.algorithm.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastOutstandingRequests,
    /// Any, with the same chance.
    WeightedRandom {
        /// `load_balancing.algorithm.anomaly_mitigation`: anomalous targets get less.
        mitigate: bool,
    },
}

/// How a client stays with its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stickiness {
    /// By what it is recognised.
    pub kind: StickinessKind,
    /// For how long, in seconds: 1 to 604,800.
    pub secs: u32,
}

/// By what a client is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StickinessKind {
    /// `lb_cookie`.
    LoadBalancerCookie,
    /// `app_cookie`, with the application's cookie name.
    ApplicationCookie(String),
    /// `source_ip`, of network load balancers.
    SourceIp,
}

/// The fewest healthy targets that will do; both must be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minimum {
    /// `…count`; `None` for `off`.
    pub count: Option<u32>,
    /// `…percentage`, 1 to 100; `None` for `off`.
    pub percent: Option<u32>,
}

impl Default for Minimum {
    fn default() -> Self {
        Minimum { count: Some(1), percent: None }
    }
}

/// One target of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The instance behind it; `None` for targets registered by address.
    pub instance: Option<InstanceId>,
    /// Where connections go.
    pub address: SocketAddrV4,
    /// The network that the address is meant in; `None` is the host's own.
    pub vpc: Option<VpcId>,
    /// The load balancer's address in that network, which connections and
    /// health checks come from; `None` leaves it to the network.
    pub source: Option<Ipv4Addr>,
    /// Its zone, for metrics; `None` for an address outside of the VPC
    /// (`all`), which every zone uses.
    pub zone: Option<Zone>,
    /// Whether it takes new requests.
    pub admission: Admission,
}

/// Whether a target takes new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admission {
    /// It takes requests when healthy.
    Registered,
    /// It finishes what it has until this service time, then it is cut.
    Draining {
        /// End of the deregistration delay.
        until: Time,
    },
    /// Its instance is not running: no requests, no probes.
    Unused,
}

/// Health check settings of a group (ELBv2 CreateTargetGroup).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `HealthCheckEnabled`; a target of a group without checks is healthy.
    pub enabled: bool,
    /// What a check speaks.
    pub protocol: CheckProtocol,
    /// Request path, starting with `/`; gRPC's method.
    pub path: String,
    /// Port, or the target's own.
    pub port: Option<u16>,
    /// Time between two checks, as service time: 5 to 300 s.
    pub interval: Span,
    /// Limit of one check in wall time, because it guards a socket: 2 to 120 s.
    pub timeout_secs: u32,
    /// Successes in a row that make an unhealthy target healthy: 2 to 10.
    pub healthy_threshold: u32,
    /// Failures in a row that make a target unhealthy: 2 to 10.
    pub unhealthy_threshold: u32,
    /// Status codes that mean success, as inclusive ranges: of HTTP, or of
    /// gRPC in groups of that version.
    pub matcher: Vec<(u16, u16)>,
}

/// What a health check speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckProtocol {
    /// `HTTP`.
    Http,
    /// `HTTPS`; the certificate is not verified.
    Https,
    /// `TCP`: a connection is enough.
    Tcp,
}

/// Health of a target as the data plane sees it (alb.md 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TargetHealth {
    /// Registered, first checks running.
    Initial,
    /// Takes requests.
    Healthy,
    /// Failed its checks.
    Unhealthy(UnhealthyReason),
}

/// Why a target is unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UnhealthyReason {
    /// `Target.ResponseCodeMismatch`, with the code it answered.
    ResponseCodeMismatch(u16),
    /// `Target.Timeout`.
    Timeout,
    /// `Target.FailedHealthChecks`: no connection, or no HTTP.
    FailedHealthChecks,
}

impl Default for HealthCheck {
    /// AWS's defaults for HTTP targets (alb.md 5.1).
    fn default() -> Self {
        HealthCheck {
            enabled: true,
            protocol: CheckProtocol::Http,
            path: "/".to_owned(),
            port: None,
            interval: Span::from_secs(30),
            timeout_secs: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: vec![(200, 200)],
        }
    }
}

impl TargetGroup {
    /// A group of HTTP/1.1 targets with AWS's defaults.
    pub fn http(arn: TargetGroupArn, targets: Vec<Target>) -> TargetGroup {
        TargetGroup {
            arn,
            dimension: "targetgroup/web/1".to_owned(),
            protocol: super::Protocol::Http,
            version: ProtocolVersion::Http1,
            algorithm: Algorithm::RoundRobin,
            check: HealthCheck::default(),
            checked: true,
            deregistration_delay: Span::from_secs(300),
            terminate_at_deregistration: false,
            stickiness: None,
            slow_start: Span::ZERO,
            cross_zone: true,
            routing_minimum: Minimum::default(),
            dns_minimum: Minimum::default(),
            proxy_protocol: false,
            preserve_client_ip: false,
            targets,
        }
    }

    /// The name of one of its targets.
    pub fn key(&self, target: &Target) -> TargetKey {
        TargetKey { group: self.arn.clone(), vpc: target.vpc.clone(), address: target.address }
    }
}

/// Names a target within all target groups. Keys are compared in the order of
/// their fields: the address comes first, as it tells most of them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    /// Where connections go.
    pub address: SocketAddrV4,
    /// The group.
    pub group: TargetGroupArn,
    /// The network of the address.
    pub vpc: Option<VpcId>,
}
