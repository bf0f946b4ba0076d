//! The facts that are true now, in the order in which they became so. Whoever
//! attaches reads from the start, whoever is attached from where it was:
//! nothing queues for a reader that is slow, and none misses what matters.

use elastane_domain::id::{ListenerArn, LoadBalancerArn, TargetGroupArn};
use elastane_domain::routing::{Admission, ProxyFact, Snapshot, TargetGroup, TargetKey};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What a fact is about: a newer one about the same replaces it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Health(TargetKey),
    Anomaly(TargetKey),
    Drained(TargetKey),
    Listening(ListenerArn, IpAddr),
    ZonesInDns(LoadBalancerArn),
    GroupHealth(TargetGroupArn),
    Applied,
}

/// What a fact is about.
pub(super) fn subject(fact: &ProxyFact) -> Subject {
    match fact {
        ProxyFact::Health { target, .. } => Subject::Health(target.clone()),
        ProxyFact::Anomaly { target, .. } => Subject::Anomaly(target.clone()),
        ProxyFact::Drained { target } => Subject::Drained(target.clone()),
        ProxyFact::Listening { listener, node, .. } => Subject::Listening(listener.clone(), *node),
        ProxyFact::ZonesInDns { load_balancer, .. } => Subject::ZonesInDns(load_balancer.clone()),
        ProxyFact::GroupHealth { group, .. } => Subject::GroupHealth(group.clone()),
        ProxyFact::Applied { .. } => Subject::Applied,
    }
}

/// The targets that a snapshot drains.
pub(super) fn draining(snapshot: &Snapshot) -> HashSet<TargetKey> {
    let groups = snapshot.target_groups.iter();
    let all = groups.flat_map(|group| group.targets.iter().map(move |target| (group, target)));
    all.filter(|(_, target)| matches!(target.admission, Admission::Draining { .. }))
        .map(|(group, target)| group.key(target))
        .collect()
}

/// What a snapshot names.
pub(super) struct Named<'a> {
    draining: HashSet<TargetKey>,
    targets: HashSet<TargetKey>,
    listeners: HashSet<&'a ListenerArn>,
    balancers: HashSet<&'a LoadBalancerArn>,
    groups: HashSet<&'a TargetGroupArn>,
}

impl<'a> Named<'a> {
    /// Looks through a snapshot.
    pub(super) fn by(snapshot: &'a Snapshot) -> Named<'a> {
        let of_group = |group: &Arc<TargetGroup>| group.targets.iter().map(|one| group.key(one)).collect::<Vec<_>>();
        let listeners = snapshot.load_balancers.iter().flat_map(|balancer| &balancer.listeners);
        Named {
            draining: draining(snapshot),
            targets: snapshot.target_groups.iter().flat_map(of_group).collect(),
            listeners: listeners.map(|listener| &listener.arn).collect(),
            balancers: snapshot.load_balancers.iter().map(|one| &one.arn).collect(),
            groups: snapshot.target_groups.iter().map(|group| &group.arn).collect(),
        }
    }

    /// Whether a fact about this means anything with it.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Health(target) | Subject::Anomaly(target) => self.targets.contains(target),
            Subject::Drained(target) => self.draining.contains(target),
            Subject::Listening(listener, _) => self.listeners.contains(listener),
            Subject::ZonesInDns(balancer) => self.balancers.contains(balancer),
            Subject::GroupHealth(group) => self.groups.contains(group),
            Subject::Applied => true,
        }
    }
}

/// The facts that are true now. Bounded by what the newest snapshot names.
#[derive(Default)]
pub(super) struct FactBook {
    written: u64,
    facts: BTreeMap<u64, ProxyFact>,
    places: HashMap<Subject, u64>,
}

impl FactBook {
    /// Writes a fact down.
    pub(super) fn note(&mut self, fact: ProxyFact) {
        let subject = subject(&fact);
        self.written += 1;
        if let Some(before) = self.places.insert(subject, self.written) {
            self.facts.remove(&before);
        }
        self.facts.insert(self.written, fact);
    }

    /// The first facts after `position`, at most so many, each with its own position.
    pub(super) fn after(&self, position: u64, most: usize) -> Vec<(u64, ProxyFact)> {
        self.facts.range(position + 1..).take(most).map(|(position, fact)| (*position, fact.clone())).collect()
    }

    /// Whether there is anything after `position`.
    pub(super) fn has_after(&self, position: u64) -> bool {
        self.facts.range(position + 1..).next().is_some()
    }

    /// Forgets which snapshot is in force: the numbers of another daemon mean nothing.
    pub(super) fn forget_applied(&mut self) {
        if let Some(position) = self.places.remove(&Subject::Applied) {
            self.facts.remove(&position);
        }
    }

    /// Forgets what is about nothing of this snapshot.
    pub(super) fn prune(&mut self, snapshot: &Snapshot) {
        let named = Named::by(snapshot);
        let facts = &mut self.facts;
        self.places.retain(|subject, position| {
            let stays = named.has(subject);
            if !stays {
                facts.remove(position);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::routing::{Target, TargetHealth};

    fn key(port: u16) -> TargetKey {
        TargetKey {
            group: "arn:group".into(),
            vpc: None,
            address: std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port),
        }
    }

    fn health(port: u16, health: TargetHealth) -> ProxyFact {
        ProxyFact::Health { target: key(port), health }
    }

    /// A reader sees each subject's newest fact once, in the order of change,
    /// and nothing about what the snapshot no longer names.
    #[test]
    fn newest_facts_in_order() {
        let mut book = FactBook::default();
        book.note(health(1, TargetHealth::Initial));
        book.note(health(2, TargetHealth::Healthy));
        book.note(ProxyFact::Applied { generation: 1 });
        book.note(ProxyFact::Drained { target: key(2) });
        let seen = book.after(0, 2).last().unwrap().0;
        book.note(health(1, TargetHealth::Healthy));
        let rest: Vec<ProxyFact> = book.after(seen, 9).into_iter().map(|(_, fact)| fact).collect();
        let applied = ProxyFact::Applied { generation: 1 };
        assert_eq!(rest, [applied.clone(), ProxyFact::Drained { target: key(2) }, health(1, TargetHealth::Healthy)]);
        let target = Target {
            instance: None,
            address: key(1).address,
            vpc: None,
            source: None,
            zone: None,
            admission: Admission::Registered,
        };
        let group = TargetGroup::http("arn:group".into(), vec![target]);
        book.prune(&Snapshot { target_groups: vec![Arc::new(group)], ..Snapshot::default() });
        book.forget_applied();
        let rest: Vec<ProxyFact> = book.after(0, 9).into_iter().map(|(_, fact)| fact).collect();
        assert_eq!(rest, [health(1, TargetHealth::Healthy)]);
        assert!(!book.has_after(book.written));
    }
}
