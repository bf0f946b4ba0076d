//! One thread's view of the table: routes, turns and pools that need no
//! locks because no other thread sees them.

use crate::state::{BalancerState, GroupState, GroupTable, Table, TargetState};
use crate::upstream::Pool;
use elastane_domain::choice::{self, Candidates, TargetView};
use elastane_domain::id::{ListenerArn, TargetGroupArn};
use elastane_domain::routing::{Action, Admission, Algorithm};
use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;

/// A target with this thread's connections to it.
pub(crate) struct TargetLocal {
    pub(crate) state: Arc<TargetState>,
    pub(crate) admission: Cell<Admission>,
    pub(crate) pool: Pool,
}

impl TargetLocal {
    /// Whether connections to it may wait for the next request.
    pub(crate) fn may_pool(&self) -> bool {
        self.admission.get() == Admission::Registered
    }
}

/// A health epoch that never comes: candidates of this epoch are computed anew.
const STALE: u64 = u64::MAX;

/// A target group with this thread's turn.
pub(crate) struct GroupLocal {
    pub(crate) state: Arc<GroupState>,
    algorithm: Algorithm,
    targets: Vec<Rc<TargetLocal>>,
    cursor: Cell<u64>,
    /// Candidates as of a health epoch.
    candidates: RefCell<(u64, Candidates)>,
}

/// A target chosen for a request.
pub(crate) struct Choice {
    pub(crate) target: Rc<TargetLocal>,
    pub(crate) fail_open: bool,
}

impl GroupLocal {
    fn compute(targets: &[Rc<TargetLocal>]) -> Candidates {
        let view =
            |target: &Rc<TargetLocal>| TargetView { admission: target.admission.get(), health: target.state.health() };
        choice::candidates(&targets.iter().map(view).collect::<Vec<_>>())
    }

    fn candidates(&self) -> Ref<'_, (u64, Candidates)> {
        let epoch = self.state.health_epoch();
        if self.candidates.borrow().0 != epoch {
            *self.candidates.borrow_mut() = (epoch, GroupLocal::compute(&self.targets));
        }
        self.candidates.borrow()
    }

    /// Chooses a target, if possible not the one of the id `avoid`.
    pub(crate) fn choose(&self, avoid: Option<u64>) -> Option<Choice> {
        let candidates = self.candidates();
        let Candidates { targets, fail_open } = &candidates.1;
        let turn = self.cursor.get();
        self.cursor.set(turn.wrapping_add(1));
        let allowed: Vec<usize>;
        let targets = match avoid {
            Some(id) if targets.len() > 1 => {
                let keeps = |index: &usize| self.targets[*index].state.id != id;
                allowed = targets.iter().copied().filter(keeps).collect();
                &allowed
            }
            _ => targets,
        };
        let index = match self.algorithm {
            Algorithm::RoundRobin | Algorithm::WeightedRandom { .. } => choice::round_robin(targets.len(), turn),
            Algorithm::LeastOutstandingRequests => {
                let load = |&index: &usize| self.targets[index].state.ledger.in_flight();
                choice::least_outstanding(&targets.iter().map(load).collect::<Vec<_>>(), turn)
            }
        };
        index.map(|index| Choice { target: self.targets[targets[index]].clone(), fail_open: *fail_open })
    }
}

/// What a listener does with requests.
pub(crate) enum RouteAction {
    Forward { weights: Vec<u32>, groups: Vec<Rc<GroupLocal>> },
    Fixed { status: u16, content_type: String, body: String },
}

/// A listener's part of the table.
pub(crate) struct Route {
    pub(crate) balancer: Arc<BalancerState>,
    pub(crate) port: u16,
    pub(crate) default_host: String,
    pub(crate) idle_ms: u64,
    pub(crate) action: RouteAction,
}

/// A listener as this thread knows it; connections hold it across snapshots.
pub(crate) struct ListenerLocal {
    /// Distinct among the listeners of this thread.
    pub(crate) serial: u64,
    pub(crate) route: RefCell<Rc<Route>>,
    pub(crate) closing: Cell<bool>,
    /// Ends the tasks that accept connections, by the address of the node.
    pub(crate) accepting: RefCell<HashMap<Ipv4Addr, Rc<Notify>>>,
}

/// All that this thread keeps from one table to the next.
#[derive(Default)]
pub(crate) struct Local {
    pub(crate) listeners: HashMap<ListenerArn, Rc<ListenerLocal>>,
    pub(crate) targets: HashMap<u64, Rc<TargetLocal>>,
    /// Listeners that requests to the main port reach by host name.
    pub(crate) hosts: HashMap<String, Rc<ListenerLocal>>,
    groups: HashMap<TargetGroupArn, Rc<GroupLocal>>,
    listeners_made: u64,
}

/// What vanished with a table.
pub(crate) struct Gone {
    pub(crate) listeners: Vec<Rc<ListenerLocal>>,
    pub(crate) targets: Vec<Rc<TargetLocal>>,
    /// Targets that cannot answer any more: those that vanished, and those
    /// whose instance stopped running.
    pub(crate) cut: Vec<u64>,
}

impl Local {
    /// Takes over a table. Listeners, targets, turns and pools that are still
    /// named keep their identity; the others are returned.
    pub(crate) fn apply(&mut self, table: &Table, thread: usize) -> Gone {
        // Requests under way may still choose from these for another attempt:
        // they must see the targets' new admission.
        for group in self.groups.values() {
            group.candidates.borrow_mut().0 = STALE;
        }
        let (gone_targets, cut) = self.apply_targets(table);
        let mut groups = HashMap::new();
        for (arn, group) in &table.groups {
            groups.insert(arn.clone(), Rc::new(self.group(group, thread)));
        }
        self.groups = groups;
        let mut before = std::mem::take(&mut self.listeners);
        self.hosts.clear();
        for balancer in &table.balancers {
            for (index, listener) in balancer.config.listeners.iter().enumerate() {
                let route = Rc::new(Route {
                    balancer: balancer.state.clone(),
                    port: listener.port,
                    default_host: balancer.config.host_names.first().cloned().unwrap_or_default(),
                    idle_ms: u64::from(balancer.config.options.idle_timeout_secs) * 1000,
                    action: self.action(listener.rules.last().map(|rule| &rule.action)),
                });
                let local = match before.remove(&listener.arn) {
                    Some(local) => {
                        *local.route.borrow_mut() = route;
                        local
                    }
                    None => self.new_listener(route),
                };
                if index == 0 {
                    for host in &balancer.config.host_names {
                        self.hosts.insert(host.clone(), local.clone());
                    }
                }
                self.listeners.insert(listener.arn.clone(), local);
            }
        }
        Gone { listeners: before.into_values().collect(), targets: gone_targets, cut }
    }

    /// The targets that vanished, and the ids of those to cut off.
    fn apply_targets(&mut self, table: &Table) -> (Vec<Rc<TargetLocal>>, Vec<u64>) {
        let mut cut = Vec::new();
        let mut before = std::mem::take(&mut self.targets);
        for group in table.groups.values() {
            for (state, target) in group.targets.iter().zip(&group.config.targets) {
                let local = before.remove(&state.id).unwrap_or_else(|| {
                    Rc::new(TargetLocal {
                        state: state.clone(),
                        admission: Cell::new(target.admission),
                        pool: Pool::default(),
                    })
                });
                let before = local.admission.replace(target.admission);
                if target.admission == Admission::Unused && before != Admission::Unused {
                    cut.push(state.id);
                }
                if !local.may_pool() {
                    local.pool.clear();
                }
                self.targets.insert(state.id, local);
            }
        }
        cut.extend(before.keys());
        (before.into_values().collect(), cut)
    }

    fn group(&self, group: &GroupTable, thread: usize) -> GroupLocal {
        let targets: Vec<_> = group.targets.iter().map(|state| self.targets[&state.id].clone()).collect();
        // The epoch is read first: a change in between makes the next choice compute anew.
        let epoch = group.state.health_epoch();
        let candidates = GroupLocal::compute(&targets);
        // Threads start at different targets, so that the first requests spread.
        let turn = self.groups.get(&group.config.arn).map_or(thread as u64, |before| before.cursor.get());
        GroupLocal {
            state: group.state.clone(),
            algorithm: group.config.algorithm,
            targets,
            cursor: Cell::new(turn),
            candidates: RefCell::new((epoch, candidates)),
        }
    }

    fn action(&self, action: Option<&Action>) -> RouteAction {
        match action {
            Some(Action::Forward(forward)) => {
                let known =
                    |(arn, weight): &(TargetGroupArn, u32)| self.groups.get(arn).map(|group| (*weight, group.clone()));
                let (weights, groups) = forward.groups.iter().filter_map(known).unzip();
                RouteAction::Forward { weights, groups }
            }
            Some(Action::Redirect(_)) | None => RouteAction::Forward { weights: Vec::new(), groups: Vec::new() },
            Some(Action::FixedResponse { status, content_type, body }) => {
                RouteAction::Fixed { status: *status, content_type: content_type.clone(), body: body.clone() }
            }
        }
    }

    fn new_listener(&mut self, route: Rc<Route>) -> Rc<ListenerLocal> {
        self.listeners_made += 1;
        Rc::new(ListenerLocal {
            serial: self.listeners_made,
            route: RefCell::new(route),
            closing: Cell::new(false),
            accepting: RefCell::default(),
        })
    }
}
