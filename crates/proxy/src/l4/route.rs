//! What a listener of a network load balancer does with flows, as one thread
//! knows it: compiled from each table, held by flows across tables.

use crate::local::TargetLocal;
use crate::state::{GroupState, GroupTable, Table, ZoneId};
use crate::tls::ListenerTls;
use elastane_domain::choice::{self, Candidates, TargetView};
use elastane_domain::flow;
use elastane_domain::id::ListenerArn;
use elastane_domain::routing::{
    Admission, Listener, LoadBalancer, Protocol, StickinessKind, TargetGroup, TargetHealth,
};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

/// An epoch that never comes.
const STALE: u64 = u64::MAX;

/// A listener's part of the table.
pub(crate) struct FlowRoute {
    pub(crate) listener: ListenerArn,
    pub(crate) protocol: Protocol,
    /// `tcp.idle_timeout.seconds`.
    pub(crate) idle_ms: u64,
    /// `None` when the snapshot does not have the group.
    pub(crate) group: Option<FlowGroup>,
    /// How clients speak TLS; `None` unless they do, or when its settings cannot be used.
    pub(crate) tls: Option<Arc<ListenerTls>>,
}

impl FlowRoute {
    /// The route of a listener that forwards flows; `None` for one that forwards requests.
    pub(crate) fn compile(
        listener: &Listener,
        balancer: &LoadBalancer,
        table: &Table,
        targets: &HashMap<u64, Rc<TargetLocal>>,
    ) -> Option<FlowRoute> {
        match listener.protocol {
            Protocol::Http | Protocol::Https => return None,
            Protocol::Tcp | Protocol::Tls | Protocol::Udp | Protocol::TcpUdp => {}
        }
        let group = listener.target_groups().next().and_then(|arn| table.groups.get(arn));
        Some(FlowRoute {
            listener: listener.arn.clone(),
            protocol: listener.protocol,
            idle_ms: u64::from(listener.tcp_idle_secs) * 1000,
            group: group.map(|group| FlowGroup::new(group, balancer, targets)),
            tls: table.tls.get(&listener.arn).cloned(),
        })
    }
}

struct FlowTarget {
    local: Rc<TargetLocal>,
    /// [`flow::target_number`].
    number: u64,
}

/// The candidates of the nodes of one zone.
struct Set {
    zone: Option<ZoneId>,
    epoch: u64,
    candidates: Candidates,
}

/// The target group of a listener.
pub(crate) struct FlowGroup {
    pub(crate) config: Arc<TargetGroup>,
    pub(crate) state: Arc<GroupState>,
    cross_zone: bool,
    by_client: bool,
    targets: Vec<FlowTarget>,
    shifted_away: Vec<ZoneId>,
    sets: RefCell<Vec<Set>>,
    /// The epoch as of which the flows of unhealthy targets were reset.
    swept: Cell<u64>,
}

impl FlowGroup {
    fn new(table: &GroupTable, balancer: &LoadBalancer, targets: &HashMap<u64, Rc<TargetLocal>>) -> FlowGroup {
        let known = table.targets.iter().filter_map(|state| targets.get(&state.id));
        let targets = known
            .map(|local| FlowTarget { number: flow::target_number(local.state.key.address), local: local.clone() });
        let sticky = table.config.stickiness.as_ref();
        FlowGroup {
            config: table.config.clone(),
            state: table.state.clone(),
            // The group's own setting, or the load balancer's, both off by default (alb.md 13).
            cross_zone: table.config.cross_zone || balancer.options.cross_zone,
            by_client: sticky.is_some_and(|sticky| sticky.kind == StickinessKind::SourceIp),
            targets: targets.collect(),
            shifted_away: table.shifted_away.clone(),
            sets: RefCell::default(),
            swept: Cell::new(STALE),
        }
    }

    /// The target of a new flow; `None` when the node has none to give.
    pub(crate) fn choose(&self, zone: ZoneId, number: u64, client: Ipv4Addr) -> Option<Rc<TargetLocal>> {
        let number = if self.by_client { flow::client_number(client) } else { number };
        self.with_set(self.zone_of(zone), |candidates| {
            let targets = candidates.targets.iter().map(|&index| self.targets[index].number);
            let place = flow::choose(number, targets)?;
            Some(self.targets[candidates.targets[place]].local.clone())
        })
    }

    /// Ids of unhealthy targets whose flows end now, because some other
    /// target serves better: those of a zone that fails open go on (alb.md
    /// 13). Each change of health is told once.
    pub(crate) fn newly_unhealthy(&self) -> Vec<u64> {
        let epoch = self.state.health_epoch();
        if self.swept.replace(epoch) == epoch {
            return Vec::new();
        }
        let ill = self.targets.iter().filter(|target| {
            target.local.admission.get() == Admission::Registered
                && matches!(target.local.state.health(), TargetHealth::Unhealthy(_))
        });
        let ends = ill.filter(|target| {
            let zone = target.local.state.zone.zone_id;
            let zone = if self.cross_zone { None } else { zone };
            !self.with_set(zone, |candidates| candidates.fail_open)
        });
        ends.map(|target| target.local.state.id).collect()
    }

    fn zone_of(&self, zone: ZoneId) -> Option<ZoneId> {
        (!self.cross_zone).then_some(zone)
    }

    fn with_set<R>(&self, zone: Option<ZoneId>, ask: impl FnOnce(&Candidates) -> R) -> R {
        let epoch = self.state.health_epoch();
        let mut sets = self.sets.borrow_mut();
        let place = sets.iter().position(|set| set.zone == zone).unwrap_or_else(|| {
            sets.push(Set { zone, epoch: STALE, candidates: Candidates::default() });
            sets.len() - 1
        });
        let set = &mut sets[place];
        if set.epoch != epoch {
            let views: Vec<TargetView> = self.targets.iter().map(|target| self.view(&target.local)).collect();
            set.candidates = choice::candidates(&views, zone, self.config.routing_minimum);
            set.epoch = epoch;
        }
        ask(&set.candidates)
    }

    fn view(&self, target: &TargetLocal) -> TargetView {
        let zone = target.state.zone.zone_id;
        TargetView {
            admission: target.admission.get(),
            health: target.state.health(),
            zone,
            shifted_away: zone.is_some_and(|zone| self.shifted_away.contains(&zone)),
        }
    }
}
