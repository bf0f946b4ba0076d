//! One thread's view of the table: routes, turns and pools that need no
//! locks because no other thread sees them.

use crate::choose::GroupLocal;
use crate::l4::FlowRoute;
use crate::log::{LogKind, LogLocal, LogSink};
use crate::registry::Place;
use crate::route::Route;
use crate::state::{BalancerTable, NodeState, Table, TargetState};
use crate::tls::ListenerTls;
use crate::upstream::Pool;
use elastane_domain::id::{ListenerArn, LoadBalancerArn, TargetGroupArn};
use elastane_domain::routing::Admission;
use std::cell::{Cell, RefCell};
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

/// A node with what this thread needs to serve it; connections hold it across snapshots.
pub(crate) struct NodeLocal {
    pub(crate) state: Arc<NodeState>,
    /// Where the lines of its access log go; `None` while it is off.
    access_log: RefCell<Option<Rc<LogLocal>>>,
    /// Where the lines of its connection log go.
    connection_log: RefCell<Option<Rc<LogLocal>>>,
}

impl NodeLocal {
    /// The access log, when it is on.
    pub(crate) fn access_log(&self) -> Option<Rc<LogLocal>> {
        self.access_log.borrow().clone()
    }

    /// The connection log, when it is on.
    pub(crate) fn connection_log(&self) -> Option<Rc<LogLocal>> {
        self.connection_log.borrow().clone()
    }
}

/// A listener as this thread knows it; connections hold it across snapshots.
pub(crate) struct ListenerLocal {
    /// Distinct among the listeners of this thread.
    pub(crate) serial: u64,
    pub(crate) route: RefCell<Rc<Route>>,
    pub(crate) closing: Cell<bool>,
    /// How it shakes hands; `None` in clear text.
    pub(crate) tls: RefCell<Option<Arc<ListenerTls>>>,
    /// Ends the tasks that accept connections or take datagrams.
    pub(crate) accepting: RefCell<HashMap<Place, Rc<Notify>>>,
    /// What it does with flows, if it is a network load balancer's.
    pub(crate) flow: RefCell<Option<Rc<FlowRoute>>>,
}

impl ListenerLocal {
    /// What it does with flows; `None` when it forwards requests.
    pub(crate) fn flow(&self) -> Option<Rc<FlowRoute>> {
        self.flow.borrow().clone()
    }
}

/// All that this thread keeps from one table to the next.
pub(crate) struct Local {
    pub(crate) listeners: HashMap<ListenerArn, Rc<ListenerLocal>>,
    pub(crate) targets: HashMap<u64, Rc<TargetLocal>>,
    /// Listeners that requests to the main port reach by host name.
    pub(crate) hosts: HashMap<String, Rc<ListenerLocal>>,
    pub(crate) groups: HashMap<TargetGroupArn, Rc<GroupLocal>>,
    nodes: HashMap<(LoadBalancerArn, Ipv4Addr), Rc<NodeLocal>>,
    logs: LogSink,
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
    /// Knows nothing yet; log lines will go to this sink.
    pub(crate) fn new(logs: LogSink) -> Local {
        Local {
            listeners: HashMap::new(),
            targets: HashMap::new(),
            hosts: HashMap::new(),
            groups: HashMap::new(),
            nodes: HashMap::new(),
            logs,
            listeners_made: 0,
        }
    }

    /// Hands over the log lines gathered so far.
    pub(crate) fn flush_logs(&self) {
        for node in self.nodes.values() {
            for log in [&node.access_log, &node.connection_log] {
                if let Some(log) = &*log.borrow() {
                    log.flush();
                }
            }
        }
    }

    /// Takes over a table. Listeners, targets, turns and pools that are still
    /// named keep their identity; the others are returned.
    pub(crate) fn apply(&mut self, table: &Table, thread: usize) -> Gone {
        // Requests under way may still choose from these for another attempt:
        // they must see the targets' new admission.
        for group in self.groups.values() {
            group.refresh();
        }
        let (gone_targets, cut) = self.apply_targets(table);
        let mut groups = HashMap::new();
        for (arn, group) in &table.groups {
            let targets = group.targets.iter().map(|state| self.targets[&state.id].clone()).collect();
            let before = self.groups.get(arn).map(|group| &**group);
            groups.insert(arn.clone(), Rc::new(GroupLocal::new(group, targets, before, thread as u64)));
        }
        self.groups = groups;
        let mut before = std::mem::take(&mut self.listeners);
        self.hosts.clear();
        let mut nodes_before = std::mem::take(&mut self.nodes);
        for balancer in &table.balancers {
            let nodes = self.apply_nodes(balancer, &mut nodes_before);
            for node in &nodes {
                self.nodes.insert((balancer.config.arn.clone(), node.state.address), node.clone());
            }
            for (index, listener) in balancer.config.listeners.iter().enumerate() {
                let groups = |arn: &TargetGroupArn| self.groups.get(arn).cloned();
                let state = balancer.state.clone();
                let route = Rc::new(Route::compile(listener, &balancer.config, state, nodes.clone(), groups));
                let local = match before.remove(&listener.arn) {
                    Some(local) => {
                        *local.route.borrow_mut() = route;
                        local
                    }
                    None => self.new_listener(route),
                };
                let flow = FlowRoute::compile(listener, &balancer.config, table, &self.targets);
                *local.flow.borrow_mut() = flow.map(Rc::new);
                *local.tls.borrow_mut() = table.tls.get(&listener.arn).cloned();
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
                        pool: Pool::of(&group.config),
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

    /// The nodes of a load balancer: those known before keep their identity.
    fn apply_nodes(
        &self,
        balancer: &BalancerTable,
        before: &mut HashMap<(LoadBalancerArn, Ipv4Addr), Rc<NodeLocal>>,
    ) -> Vec<Rc<NodeLocal>> {
        let options = &balancer.config.options;
        let local = |state: &Arc<NodeState>| {
            let key = (balancer.config.arn.clone(), state.address);
            let known = before.remove(&key).filter(|node| Arc::ptr_eq(&node.state, state));
            let node = known.unwrap_or_else(|| {
                Rc::new(NodeLocal {
                    state: state.clone(),
                    access_log: RefCell::default(),
                    connection_log: RefCell::default(),
                })
            });
            let logs = [
                (&node.access_log, LogKind::Access, &options.access_log),
                (&node.connection_log, LogKind::Connection, &options.connection_log),
            ];
            for (log, kind, place) in logs {
                let replaced = self.logs.open(log.borrow().as_ref(), kind, &balancer.config, state, place.as_ref());
                *log.borrow_mut() = replaced;
            }
            node
        };
        balancer.nodes.iter().map(local).collect()
    }

    fn new_listener(&mut self, route: Rc<Route>) -> Rc<ListenerLocal> {
        self.listeners_made += 1;
        Rc::new(ListenerLocal {
            serial: self.listeners_made,
            route: RefCell::new(route),
            closing: Cell::new(false),
            tls: RefCell::default(),
            accepting: RefCell::default(),
            flow: RefCell::default(),
        })
    }
}
