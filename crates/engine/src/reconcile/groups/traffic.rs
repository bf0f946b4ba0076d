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
use std::sync::Arc;

/// Targets by the instances behind them.
pub(super) struct Traffic {
    draining: BTreeMap<String, Vec<Arc<Target>>>,
    /// By instance, and within one by target group and port.
    reported: Vec<(SmolStr, TargetGroupArn, Option<TargetHealth>)>,
}

impl Traffic {
    /// Of all target groups, also of those that are no longer attached:
    /// whoever detaches one does not mean to cut requests in flight.
    pub(super) fn gather(tx: &Tx<'_>) -> Traffic {
        let mut traffic = Traffic { draining: BTreeMap::new(), reported: Vec::new() };
        for target in tx.all::<Target>() {
            match target.phase {
                TargetPhase::Draining { .. } => {
                    traffic.draining.entry(target.id.clone()).or_default().push(target.clone());
                }
                TargetPhase::Registered => {
                    let health = targets::key(tx, target).and_then(|key| tx.state.seen.health.get(&key).copied());
                    traffic.reported.push((SmolStr::from(&target.id), target.group.clone(), health));
                }
            }
        }
        // Each target group's are in order already.
        traffic.reported.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        traffic
    }

    /// The targets of an instance that drain.
    pub(super) fn draining_of(&self, instance: &str) -> &[Arc<Target>] {
        self.draining.get(instance).map_or(&[], Vec::as_slice)
    }

    /// Whether anything drains in a target group.
    pub(super) fn drains(&self, group: &TargetGroupArn) -> bool {
        self.draining.values().flatten().any(|target| target.group == *group)
    }

    /// What a target group says of an instance that is registered in it, by its first port there.
    pub(super) fn health(&self, group: &TargetGroupArn, instance: &str) -> Option<TargetHealth> {
        let first = self.reported.partition_point(|(id, ..)| id.as_str() < instance);
        let of_instance = self.reported[first..].iter().take_while(|(id, ..)| id == instance);
        of_instance.into_iter().find(|(_, arn, _)| arn == group)?.2
    }
}
