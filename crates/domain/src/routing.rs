//! The routing snapshot: all that the data plane must know, compiled by the
//! control plane and swapped whole. A target keeps its identity (group,
//! address, port) from one snapshot to the next, so its in-flight count and
//! health survive the swap.

use crate::id::{InstanceId, ListenerArn, LoadBalancerArn, TargetGroupArn, VpcId, Zone};
use crate::time::{Span, Time};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// One generation of routing state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Grows with each snapshot; the data plane reports the one it applied.
    pub generation: u64,
    /// Load balancers, in the order of their ARNs.
    pub load_balancers: Vec<Arc<LoadBalancer>>,
    /// Target groups, in the order of their ARNs. Groups that no listener
    /// forwards to are here too, with `checked` false.
    pub target_groups: Vec<Arc<TargetGroup>>,
}

/// One load balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: LoadBalancerArn,
    /// Metric dimension: `app/<name>/<id>`.
    pub dimension: String,
    /// Lower-case host names under which the main port reaches its first listener.
    pub host_names: Vec<String>,
    /// The loopback address of its own listeners.
    pub address: Ipv4Addr,
    /// Listeners in the order of their ports.
    pub listeners: Vec<Listener>,
    /// `idle_timeout.timeout_seconds`, in wall time: it guards sockets.
    pub idle_timeout_secs: u32,
    /// Zones that it is enabled in.
    pub zones: Vec<Zone>,
}

/// One HTTP listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Its ARN.
    pub arn: ListenerArn,
    /// The port that clients name (X-Forwarded-Port).
    pub port: u16,
    /// What happens with a request.
    pub action: Action,
}

/// The default action of a listener.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Forward to one of these target groups, chosen by weight.
    Forward(Vec<(TargetGroupArn, u32)>),
    /// Answer without a target.
    FixedResponse {
        /// Status code, 2XX, 4XX or 5XX.
        status: u16,
        /// Content type, empty for none.
        content_type: String,
        /// Body, at most 1,024 bytes.
        body: String,
    },
}

/// One target group.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: TargetGroupArn,
    /// Metric dimension: `targetgroup/<name>/<id>`.
    pub dimension: String,
    /// How targets are chosen.
    pub algorithm: Algorithm,
    /// How targets are probed.
    pub check: HealthCheck,
    /// Whether a listener forwards to it: an unused group's targets are not probed.
    pub checked: bool,
    /// `deregistration_delay.timeout_seconds`, as service time.
    pub deregistration_delay: Span,
    /// Registered and draining targets, in a stable order.
    pub targets: Vec<Target>,
}

/// Target selection (`load_balancing.algorithm.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastOutstandingRequests,
}

/// One target of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Its zone, for metrics.
    pub zone: Zone,
    /// Whether it takes new requests.
    pub admission: Admission,
}

/// Whether a target takes new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// Request path, starting with `/`.
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
    /// Status codes that mean success, as inclusive ranges.
    pub matcher: Vec<(u16, u16)>,
}

/// Health of a target as the data plane sees it (alb.md 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetHealth {
    /// Registered, first checks running.
    Initial,
    /// Takes requests.
    Healthy,
    /// Failed its checks.
    Unhealthy(UnhealthyReason),
}

/// Why a target is unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnhealthyReason {
    /// `Target.ResponseCodeMismatch`, with the code it answered.
    ResponseCodeMismatch(u16),
    /// `Target.Timeout`.
    Timeout,
    /// `Target.FailedHealthChecks`: no connection, or no HTTP.
    FailedHealthChecks,
}

impl TargetGroup {
    /// The name of one of its targets.
    pub fn key(&self, target: &Target) -> TargetKey {
        TargetKey { group: self.arn.clone(), vpc: target.vpc.clone(), address: target.address }
    }
}

/// Names a target within all target groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey {
    /// The group.
    pub group: TargetGroupArn,
    /// The network of the address.
    pub vpc: Option<VpcId>,
    /// Where connections go.
    pub address: SocketAddrV4,
}

/// What the data plane found out, sent to the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum ProxyFact {
    /// A target's health changed (or was found for the first time).
    Health {
        /// The target.
        target: TargetKey,
        /// What it is now.
        health: TargetHealth,
    },
    /// A snapshot is in force: no thread uses an older one for new requests.
    Applied {
        /// Its generation.
        generation: u64,
    },
    /// A draining target has no request in flight and gets no more.
    Drained {
        /// The target.
        target: TargetKey,
    },
    /// A listener could not be opened; `bound` says where it is instead, if anywhere.
    Listening {
        /// The listener.
        listener: ListenerArn,
        /// Where it accepts connections; `None` when it does not.
        bound: Option<SocketAddrV4>,
        /// Why it is not on the port asked for; empty when it is.
        note: String,
    },
}
