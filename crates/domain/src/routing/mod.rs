//! The routing snapshot: all that the data plane must know, compiled by the
//! control plane and swapped whole. A target keeps its identity (group,
//! address, port) from one snapshot to the next, so its in-flight count and
//! health survive the swap. Everything here can be stored and sent: the data
//! plane may be another process.

mod balancer;
mod certificate;
mod group;
mod rule;

pub use balancer::{
    ClientAuth, Desync, Family, ForwardedFor, HeaderSettings, Listener, LoadBalancer, LogPlace, Node, Options,
    Protocol, TlsSettings,
};
pub use certificate::{Certificate, TrustStore};
pub use group::{
    Admission, Algorithm, CheckProtocol, HealthCheck, Minimum, ProtocolVersion, Stickiness, StickinessKind, Target,
    TargetGroup, TargetHealth, TargetKey, UnhealthyReason,
};
pub use rule::{
    Action, Cidr, Condition, Forward, OidcAction, OnUnauthenticated, Pattern, QueryPattern, Redirect, Rewrite, Rule,
    Transform,
};

use crate::id::{ListenerArn, LoadBalancerArn, TargetGroupArn, Zone};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One generation of routing state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Grows with each snapshot; the data plane reports the one it applied.
    pub generation: u64,
    /// Load balancers, in the order of their ARNs.
    pub load_balancers: Vec<Arc<LoadBalancer>>,
    /// Target groups, in the order of their ARNs. Groups that no listener
    /// forwards to are here too, with `checked` false.
    pub target_groups: Vec<Arc<TargetGroup>>,
    /// Certificates that listeners use, in the order of their ARNs.
    pub certificates: Vec<Arc<Certificate>>,
    /// Trust stores that listeners use, in the order of their ARNs.
    pub trust_stores: Vec<Arc<TrustStore>>,
}

/// What the data plane found out, sent to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ProxyFact {
    /// A target's health changed (or was found for the first time).
    Health {
        /// The target.
        target: TargetKey,
        /// What it is now.
        health: TargetHealth,
    },
    /// A target behaves unlike its peers, or does so no more (alb.md 3.4).
    Anomaly {
        /// The target.
        target: TargetKey,
        /// Whether it is anomalous.
        anomalous: bool,
        /// Whether it gets fewer requests because of it.
        mitigated: bool,
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
    /// Where a listener accepts connections on one of its load balancer's nodes.
    Listening {
        /// The listener.
        listener: ListenerArn,
        /// The address of the node that this is about ([`Node::address`], [`Node::ipv6`]).
        node: IpAddr,
        /// Where it accepts connections; `None` when it does not.
        bound: Option<SocketAddr>,
        /// Why it is not on the port asked for; empty when it is.
        note: String,
    },
    /// Zones in which a load balancer answers; the others are left out of its
    /// name's addresses (alb.md 5.3).
    ZonesInDns {
        /// The load balancer.
        load_balancer: LoadBalancerArn,
        /// Zones with enough healthy targets, or all when none has.
        zones: Vec<Zone>,
    },
    /// How many targets of a group a zone's node sees, for the metrics of
    /// target group health.
    GroupHealth {
        /// The group.
        group: TargetGroupArn,
        /// Whether requests go to healthy targets only.
        routing_healthy: bool,
        /// Whether the group is healthy for DNS.
        dns_healthy: bool,
    },
}
