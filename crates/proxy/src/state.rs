//! What all threads share: the identities of load balancers, groups and
//! targets with their counters and health, and the table that a snapshot is
//! compiled to. Identities outlive snapshots; tables do not change.

use crate::metrics::Ledger;
use elastane_domain::id::TargetGroupArn;
use elastane_domain::routing::{LoadBalancer, TargetGroup, TargetHealth, TargetKey, UnhealthyReason};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// A load balancer's identity.
pub(crate) struct BalancerState {
    pub(crate) ledger: Ledger,
}

/// A target group's identity.
pub(crate) struct GroupState {
    pub(crate) ledger: Ledger,
    /// Grows when the health of one of its targets changes.
    health_epoch: AtomicU64,
}

impl GroupState {
    pub(crate) fn new(threads: usize) -> GroupState {
        GroupState { ledger: Ledger::new(threads, true), health_epoch: AtomicU64::new(0) }
    }

    pub(crate) fn health_epoch(&self) -> u64 {
        self.health_epoch.load(Ordering::Acquire)
    }
}

/// A target's identity.
pub(crate) struct TargetState {
    /// Distinct among all targets of this process; not zero.
    pub(crate) id: u64,
    pub(crate) key: TargetKey,
    pub(crate) group: Arc<GroupState>,
    pub(crate) ledger: Ledger,
    health: AtomicU8,
    /// The address that connections to it come from, as bits; 0 for any.
    source: AtomicU32,
}

impl TargetState {
    pub(crate) fn new(id: u64, key: TargetKey, group: Arc<GroupState>, threads: usize) -> TargetState {
        TargetState {
            id,
            key,
            group,
            ledger: Ledger::new(threads, false),
            health: AtomicU8::new(0),
            source: AtomicU32::new(0),
        }
    }

    /// Where connections to it come from; `None` leaves it to the network.
    pub(crate) fn source(&self) -> Option<Ipv4Addr> {
        let bits = self.source.load(Ordering::Relaxed);
        (bits != 0).then(|| Ipv4Addr::from(bits))
    }

    /// From the next connection on, they come from there.
    pub(crate) fn set_source(&self, source: Option<Ipv4Addr>) {
        self.source.store(source.map_or(0, u32::from), Ordering::Relaxed);
    }

    /// The health as far as the choice of targets cares: the reason for being
    /// unhealthy is not kept.
    pub(crate) fn health(&self) -> TargetHealth {
        match self.health.load(Ordering::Relaxed) {
            0 => TargetHealth::Initial,
            1 => TargetHealth::Healthy,
            _ => TargetHealth::Unhealthy(UnhealthyReason::FailedHealthChecks),
        }
    }

    /// Makes a new health known to all threads.
    pub(crate) fn set_health(&self, health: TargetHealth) {
        let code = match health {
            TargetHealth::Initial => 0,
            TargetHealth::Healthy => 1,
            TargetHealth::Unhealthy(_) => 2,
        };
        self.health.store(code, Ordering::Relaxed);
        self.group.health_epoch.fetch_add(1, Ordering::Release);
    }
}

/// A load balancer with its identity.
pub(crate) struct BalancerTable {
    pub(crate) config: Arc<LoadBalancer>,
    pub(crate) state: Arc<BalancerState>,
}

/// A target group with its identity and those of its targets.
pub(crate) struct GroupTable {
    pub(crate) config: Arc<TargetGroup>,
    pub(crate) state: Arc<GroupState>,
    /// In the order of `config.targets`.
    pub(crate) targets: Vec<Arc<TargetState>>,
}

/// A snapshot with the identities looked up.
#[derive(Default)]
pub(crate) struct Table {
    /// Grows with each table of this process, whatever the snapshots' generations do.
    pub(crate) sequence: u64,
    pub(crate) balancers: Vec<BalancerTable>,
    pub(crate) groups: HashMap<TargetGroupArn, GroupTable>,
}
