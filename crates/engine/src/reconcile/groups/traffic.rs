//! What target groups have of the instances of all groups, gathered once a
//! pass: what a pass changes of it is seen by the next one, and there is one
//! whenever anything changed.

use crate::reconcile::targets;
use crate::row::{Target, TargetPhase};
use crate::state::Tx;
use elastane_domain::id::TargetGroupArn;
use elastane_domain::routing::TargetHealth;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::rc::Rc;
use std::sync::Arc;

/// Targets that drain, by the instances behind them.
type Draining = BTreeMap<String, Vec<Arc<Target>>>;

/// What a target group says of an instance that is registered in it.
pub(super) struct Reported {
    instance: SmolStr,
    group: TargetGroupArn,
    health: Option<TargetHealth>,
}

/// Targets as one Auto Scaling group sees them.
pub(super) struct Traffic {
    draining: Rc<Draining>,
    reported: Vec<Reported>,
}

/// Targets of all instances.
pub(super) struct Targets {
    draining: Rc<Draining>,
    /// By instance, and within one by target group and port.
    reported: Peekable<std::vec::IntoIter<Reported>>,
}

impl Targets {
    /// Of all target groups, also of those that are no longer attached:
    /// whoever detaches one does not mean to cut requests in flight.
    pub(super) fn gather(tx: &Tx<'_>) -> Targets {
        let mut key = targets::keys(tx);
        let (mut draining, mut reported) = (Draining::new(), Vec::new());
        for target in tx.all::<Target>() {
            match target.phase {
                TargetPhase::Draining { .. } => draining.entry(target.id.clone()).or_default().push(target.clone()),
                TargetPhase::Registered => {
                    let health = key(target).and_then(|key| tx.state.seen.health.get(&key).copied());
                    let (instance, group) = (SmolStr::from(&target.id), target.group.clone());
                    reported.push(Reported { instance, group, health });
                }
            }
        }
        // Each target group's are in order already.
        reported.sort_by(|one, other| one.instance.cmp(&other.instance));
        Targets { draining: Rc::new(draining), reported: reported.into_iter().peekable() }
    }

    /// Adds what is said of an instance. Instances are asked for in the order
    /// of their ids, each once.
    pub(super) fn take_of(&mut self, instance: &str, taken: &mut Vec<Reported>) {
        while self.reported.next_if(|one| one.instance.as_str() < instance).is_some() {}
        while let Some(one) = self.reported.next_if(|one| one.instance == instance) {
            taken.push(one);
        }
    }

    /// What a group sees of which this is said.
    pub(super) fn seen_with(&self, reported: Vec<Reported>) -> Traffic {
        Traffic { draining: self.draining.clone(), reported }
    }
}

impl Traffic {
    /// The targets of an instance that drain.
    pub(super) fn draining_of(&self, instance: &str) -> &[Arc<Target>] {
        self.draining.get(instance).map_or(&[], Vec::as_slice)
    }

    /// Whether anything drains in a target group.
    pub(super) fn drains(&self, group: &TargetGroupArn) -> bool {
        self.draining.values().flatten().any(|target| target.group == *group)
    }

    /// What a target group says of a member that is registered in it, by its first port there.
    pub(super) fn health(&self, group: &TargetGroupArn, member: &str) -> Option<TargetHealth> {
        let first = self.reported.partition_point(|one| one.instance.as_str() < member);
        let mut of_member = self.reported[first..].iter().take_while(|one| one.instance == member);
        of_member.find(|one| one.group == *group)?.health
    }
}
