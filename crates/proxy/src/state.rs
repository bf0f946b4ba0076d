//! What all threads share: the identities of load balancers, their nodes,
//! groups and targets with their counters and health, and the table that a
//! snapshot is compiled to. Identities outlive snapshots; tables do not change.

use crate::metrics::Ledger;
use crate::tls::ListenerTls;
use elastane_domain::choice::{SlowStart, WEIGHT_FULL, ZoneIndex};
use elastane_domain::id::{ListenerArn, TargetGroupArn, Zone};
use elastane_domain::routing::{LoadBalancer, TargetGroup, TargetHealth, TargetKey, UnhealthyReason};
use elastane_domain::time::{Span, Time};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// A zone's number in this process.
pub(crate) type ZoneId = ZoneIndex;

/// A load balancer's identity.
pub(crate) struct BalancerState {
    /// What belongs to no node. The load balancer's sums have its nodes' too.
    pub(crate) ledger: Ledger,
}

/// A load balancer in one zone: what its clients do is counted here.
pub(crate) struct NodeState {
    pub(crate) zone: Zone,
    pub(crate) zone_id: ZoneId,
    /// [`elastane_domain::routing::Node::address`].
    pub(crate) address: Ipv4Addr,
    pub(crate) ledger: Ledger,
}

/// A target group's identity.
pub(crate) struct GroupState {
    /// What belongs to no target. The group's sums have those of its zones too.
    pub(crate) ledger: Ledger,
    /// Grows when the health, the slow start or the weight of one of its targets changes.
    epoch: AtomicU64,
    /// One of its targets did not take a flow's connection.
    flow_failed: AtomicBool,
}

impl GroupState {
    pub(crate) fn new(threads: usize) -> GroupState {
        GroupState { ledger: Ledger::new(threads, true), epoch: AtomicU64::new(0), flow_failed: AtomicBool::new(false) }
    }

    /// Whether a target of it did not take a flow's connection since the last call.
    pub(crate) fn take_flow_failure(&self) -> bool {
        self.flow_failed.load(Ordering::Relaxed) && self.flow_failed.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn health_epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

/// The part of a target group in one zone.
pub(crate) struct ZoneState {
    /// `None` for targets outside of all zones.
    pub(crate) zone: Option<Zone>,
    pub(crate) zone_id: Option<ZoneId>,
    pub(crate) ledger: Ledger,
}

/// [`TargetState::slow_since`] of a target that is not in slow start.
const NOT_SLOW: i64 = i64::MIN;

/// A target's identity.
pub(crate) struct TargetState {
    /// Distinct among all targets of this process; not zero.
    pub(crate) id: u64,
    pub(crate) key: TargetKey,
    pub(crate) group: Arc<GroupState>,
    /// Its group's part in its zone.
    pub(crate) zone: Arc<ZoneState>,
    pub(crate) ledger: Ledger,
    health: AtomicU8,
    /// When its slow start began, in milliseconds of service time.
    slow_since: AtomicI64,
    slow_ms: AtomicI64,
    /// Its part of the draws of `weighted_random`.
    weight: AtomicU32,
    /// The address that connections to it come from, as bits; 0 for any.
    source: AtomicU32,
    /// Connections of flows that it did not take, since it took one.
    flow_failures: AtomicU32,
}

impl TargetState {
    pub(crate) fn new(
        id: u64,
        key: TargetKey,
        group: Arc<GroupState>,
        zone: Arc<ZoneState>,
        threads: usize,
    ) -> TargetState {
        TargetState {
            id,
            key,
            group,
            zone,
            ledger: Ledger::new(threads, false),
            health: AtomicU8::new(0),
            slow_since: AtomicI64::new(NOT_SLOW),
            slow_ms: AtomicI64::new(0),
            weight: AtomicU32::new(WEIGHT_FULL),
            source: AtomicU32::new(0),
            flow_failures: AtomicU32::new(0),
        }
    }

    /// It took a flow's connection.
    pub(crate) fn flow_taken(&self) {
        // Nearly always there is nothing to write.
        if self.flow_failures() > 0 {
            self.flow_failures.store(0, Ordering::Relaxed);
        }
    }

    /// It did not take a flow's connection.
    pub(crate) fn flow_failed(&self) {
        self.flow_failures.fetch_add(1, Ordering::Relaxed);
        self.group.flow_failed.store(true, Ordering::Relaxed);
    }

    /// Connections of flows in a row that it did not take.
    pub(crate) fn flow_failures(&self) -> u32 {
        self.flow_failures.load(Ordering::Relaxed)
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
        self.group.changed();
    }

    /// Its slow start, over or not; `None` when it is in none.
    pub(crate) fn slow_start(&self) -> Option<SlowStart> {
        let since = self.slow_since.load(Ordering::Relaxed);
        let duration = Span(self.slow_ms.load(Ordering::Relaxed));
        (since != NOT_SLOW).then_some(SlowStart { since: Time(since), duration })
    }

    /// Begins or ends its slow start.
    pub(crate) fn set_slow_start(&self, start: Option<SlowStart>) {
        self.slow_ms.store(start.map_or(0, |start| start.duration.millis()), Ordering::Relaxed);
        self.slow_since.store(start.map_or(NOT_SLOW, |start| start.since.millis()), Ordering::Relaxed);
        self.group.changed();
    }

    /// Its weight, at most [`WEIGHT_FULL`].
    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Makes a new weight known to all threads.
    pub(crate) fn set_weight(&self, weight: u32) {
        if self.weight.swap(weight, Ordering::Relaxed) != weight {
            self.group.changed();
        }
    }
}

/// A load balancer with its identity.
pub(crate) struct BalancerTable {
    pub(crate) config: Arc<LoadBalancer>,
    pub(crate) state: Arc<BalancerState>,
    /// In the order of `config.nodes`; never empty.
    pub(crate) nodes: Vec<Arc<NodeState>>,
}

/// A target group with its identity and those of its targets.
pub(crate) struct GroupTable {
    pub(crate) config: Arc<TargetGroup>,
    pub(crate) state: Arc<GroupState>,
    /// In the order of `config.targets`.
    pub(crate) targets: Vec<Arc<TargetState>>,
    /// Zones that traffic of its load balancer was shifted away from.
    pub(crate) shifted_away: Vec<ZoneId>,
}

/// A snapshot with the identities looked up.
#[derive(Default)]
pub(crate) struct Table {
    /// Grows with each table of this process, whatever the snapshots' generations do.
    pub(crate) sequence: u64,
    pub(crate) balancers: Vec<BalancerTable>,
    pub(crate) groups: HashMap<TargetGroupArn, GroupTable>,
    /// How listeners shake hands; those in clear text are not here.
    pub(crate) tls: HashMap<ListenerArn, Arc<ListenerTls>>,
}
