//! One story out of what several processes say. Each serves the addresses of
//! its zones and checks all targets by itself, so they may differ:
//!
//! | about | what is told |
//! |---|---|
//! | health of a target | healthy when it is to one process, else unhealthy when it is to one, else initial. Unhealthy has consequences (an Auto Scaling group replaces the instance), so no process has to think better of it; each routes by what it sees itself |
//! | anomaly | anomalous, mitigated: when it is to one process |
//! | target drained | when it has drained everywhere |
//! | snapshot in force | the oldest that is in force anywhere |
//! | zones in DNS | of each zone what its own process says; without it the zone is out |
//! | health of a group | good when it is to all |
//! | listeners | only its own process speaks of one |
//!
//! Processes that are not attached have no say: what they had in flight is
//! gone with them, or the next attachment tells it. What one process says
//! alone is told as it is.

use super::book::{Named, Subject, draining, subject};
use crate::share::Share;
use elastane_domain::id::Zone;
use elastane_domain::routing::{ProxyFact, Snapshot, TargetHealth};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Everybody's words.
pub(super) struct Council {
    seats: Vec<Seat>,
    newest: Option<Arc<Snapshot>>,
}

struct Seat {
    share: Share,
    /// Grows with each attachment: what an earlier one says is void.
    attachment: u64,
    attached: bool,
    /// Its newest word about each subject, in the newest snapshots.
    words: HashMap<Subject, ProxyFact>,
}

impl Council {
    /// Nobody is attached yet.
    pub(super) fn new(count: usize) -> Council {
        let seat = |share| Seat { share, attachment: 0, attached: false, words: HashMap::new() };
        Council { seats: Share::all(count).map(seat).collect(), newest: None }
    }

    /// A process attaches, which it may have shown by speaking already.
    /// Returns whether this attachment is the one that counts.
    pub(super) fn join(&mut self, index: usize, attachment: u64) -> bool {
        let Some(seat) = self.seats.get_mut(index) else { return false };
        if attachment > seat.attachment {
            (seat.attachment, seat.attached) = (attachment, true);
            seat.words.clear();
        }
        attachment == seat.attachment && seat.attached
    }

    /// A process says something; returns what is to be told, if anything.
    pub(super) fn hear(&mut self, index: usize, attachment: u64, fact: ProxyFact) -> Option<ProxyFact> {
        if !self.join(index, attachment) {
            return None;
        }
        if matches!(fact, ProxyFact::Listening { .. }) {
            return Some(fact);
        }
        let subject = subject(&fact);
        self.seats[index].words.insert(subject.clone(), fact);
        let told = self.agreed(&subject)?;
        self.forget(&told);
        Some(told)
    }

    /// A process is attached no more: what the others say without it.
    pub(super) fn leave(&mut self, index: usize) -> Vec<ProxyFact> {
        let Some(seat) = self.seats.get_mut(index) else { return Vec::new() };
        seat.attached = false;
        let said = std::mem::take(&mut seat.words);
        // What all had agreed upon with it was told then, and may have become old.
        let is_new = |subject: &&Subject| !matches!(subject, Subject::Drained(_)) || !said.contains_key(*subject);
        let words = self.seats.iter().flat_map(|seat| seat.words.keys());
        let subjects: HashSet<Subject> = words.filter(is_new).cloned().collect();
        let mut told: Vec<ProxyFact> = subjects.iter().filter_map(|subject| self.agreed(subject)).collect();
        // What is told after it would be about the next snapshot.
        told.sort_by_key(|fact| matches!(fact, ProxyFact::Applied { .. }));
        if let Some(last) = told.last() {
            self.forget(&last.clone());
        }
        told
    }

    /// This snapshot is on its way to everybody.
    pub(super) fn route(&mut self, snapshot: &Arc<Snapshot>) {
        let drains = draining(snapshot);
        for seat in &mut self.seats {
            // That a target drained before says nothing of the next time.
            seat.words.retain(|subject, _| match subject {
                Subject::Drained(target) => drains.contains(target),
                _ => true,
            });
        }
        self.newest = Some(snapshot.clone());
    }

    /// The snapshot that a process has in force; `None` until it says so.
    pub(super) fn applied(&self, index: usize) -> Option<u64> {
        match self.seats.get(index)?.words.get(&Subject::Applied)? {
            ProxyFact::Applied { generation } => Some(*generation),
            _ => None,
        }
    }

    /// When everybody has the newest snapshot in force, no word is about what
    /// it does not name.
    fn forget(&mut self, told: &ProxyFact) {
        let ProxyFact::Applied { generation } = told else { return };
        let Some(newest) = self.newest.as_ref().filter(|newest| newest.generation == *generation) else { return };
        let named = Named::by(newest);
        for seat in &mut self.seats {
            seat.words.retain(|subject, _| named.has(subject));
        }
    }

    /// What is so by everybody's words about it.
    fn agreed(&self, subject: &Subject) -> Option<ProxyFact> {
        let attached = || self.seats.iter().filter(|seat| seat.attached);
        let words: Vec<(Share, &ProxyFact)> =
            attached().filter_map(|seat| Some((seat.share, seat.words.get(subject)?))).collect();
        let everybody = words.len() == attached().count();
        let facts = || words.iter().map(|(_, fact)| *fact);
        Some(match words.first()?.1.clone() {
            ProxyFact::Health { target, .. } => {
                let health = facts().filter_map(|fact| match fact {
                    ProxyFact::Health { health, .. } => Some(*health),
                    _ => None,
                });
                ProxyFact::Health { target, health: health.min_by_key(rank)? }
            }
            ProxyFact::Anomaly { target, .. } => {
                let any = |wanted: fn(bool, bool) -> bool| {
                    facts().any(|fact| match fact {
                        ProxyFact::Anomaly { anomalous, mitigated, .. } => wanted(*anomalous, *mitigated),
                        _ => false,
                    })
                };
                let (anomalous, mitigated) = (any(|anomalous, _| anomalous), any(|_, mitigated| mitigated));
                ProxyFact::Anomaly { target, anomalous, mitigated }
            }
            fact @ ProxyFact::Drained { .. } => everybody.then_some(fact)?,
            ProxyFact::Applied { .. } => {
                let generations = facts().filter_map(|fact| match fact {
                    ProxyFact::Applied { generation } => Some(*generation),
                    _ => None,
                });
                ProxyFact::Applied { generation: generations.min().filter(|_| everybody)? }
            }
            ProxyFact::ZonesInDns { load_balancer, .. } => {
                ProxyFact::ZonesInDns { load_balancer, zones: zones_in_dns(&words) }
            }
            ProxyFact::GroupHealth { group, .. } => {
                let all = |wanted: fn(bool, bool) -> bool| {
                    facts().all(|fact| match fact {
                        ProxyFact::GroupHealth { routing_healthy, dns_healthy, .. } => {
                            wanted(*routing_healthy, *dns_healthy)
                        }
                        _ => false,
                    })
                };
                let (routing_healthy, dns_healthy) = (all(|routing, _| routing), all(|_, dns| dns));
                ProxyFact::GroupHealth { group, routing_healthy, dns_healthy }
            }
            fact @ ProxyFact::Listening { .. } => fact,
        })
    }
}

/// The best comes first.
fn rank(health: &TargetHealth) -> u8 {
    match health {
        TargetHealth::Healthy => 0,
        TargetHealth::Unhealthy(_) => 1,
        TargetHealth::Initial => 2,
    }
}

/// Zones whose own processes say that they answer; all that anybody names
/// when that leaves none (alb.md 5.3).
fn zones_in_dns(words: &[(Share, &ProxyFact)]) -> Vec<Zone> {
    let named = words.iter().flat_map(|(share, fact)| match fact {
        ProxyFact::ZonesInDns { zones, .. } => zones.iter().map(|zone| (*share, zone)).collect(),
        _ => Vec::new(),
    });
    let (mut own, mut all) = (BTreeSet::new(), BTreeSet::new());
    for (share, zone) in named {
        all.insert(zone.clone());
        if share.serves(zone) {
            own.insert(zone.clone());
        }
    }
    if own.is_empty() { all } else { own }.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::routing::{Admission, Target, TargetGroup, TargetKey, UnhealthyReason};
    use std::net::{Ipv4Addr, SocketAddrV4};

    const SICK: TargetHealth = TargetHealth::Unhealthy(UnhealthyReason::Timeout);

    fn key() -> TargetKey {
        TargetKey { group: "arn:group".into(), vpc: None, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80) }
    }

    fn health(health: TargetHealth) -> ProxyFact {
        ProxyFact::Health { target: key(), health }
    }

    fn zones(zones: &[&str]) -> ProxyFact {
        let zones = zones.iter().map(|zone| Zone::from(*zone)).collect();
        ProxyFact::ZonesInDns { load_balancer: "arn:lb".into(), zones }
    }

    fn drained() -> ProxyFact {
        ProxyFact::Drained { target: key() }
    }

    fn applied(generation: u64) -> ProxyFact {
        ProxyFact::Applied { generation }
    }

    fn snapshot(generation: u64, admissions: &[Admission]) -> Arc<Snapshot> {
        let target = |admission: &Admission| Target {
            instance: None,
            address: key().address,
            vpc: None,
            source: None,
            zone: None,
            admission: *admission,
        };
        let group = TargetGroup::http("arn:group".into(), admissions.iter().map(target).collect());
        Arc::new(Snapshot { generation, target_groups: vec![Arc::new(group)], ..Snapshot::default() })
    }

    fn two() -> Council {
        let mut council = Council::new(2);
        assert!(council.join(0, 1) && council.join(1, 1));
        council
    }

    /// What two processes say, and what is told of it.
    #[test]
    fn rules() {
        use TargetHealth::{Healthy, Initial};
        let anomaly = |anomalous, mitigated| ProxyFact::Anomaly { target: key(), anomalous, mitigated };
        let standing = |routing_healthy, dns_healthy| ProxyFact::GroupHealth {
            group: "arn:group".into(),
            routing_healthy,
            dns_healthy,
        };
        for (first, second, told) in [
            (health(Healthy), health(SICK), Some(health(Healthy))),
            (health(SICK), health(Healthy), Some(health(Healthy))),
            (health(Initial), health(SICK), Some(health(SICK))),
            (health(Initial), health(Initial), Some(health(Initial))),
            (anomaly(true, true), anomaly(false, false), Some(anomaly(true, true))),
            (anomaly(true, false), anomaly(true, true), Some(anomaly(true, true))),
            (anomaly(false, false), anomaly(false, false), Some(anomaly(false, false))),
            (drained(), drained(), Some(drained())),
            (applied(7), applied(6), Some(applied(6))),
            // Each knows best about its own zone.
            (zones(&["x-1a", "x-1b"]), zones(&["x-1a"]), Some(zones(&["x-1a"]))),
            (zones(&["x-1b"]), zones(&["x-1a", "x-1b"]), Some(zones(&["x-1b"]))),
            (zones(&["x-1b"]), zones(&["x-1a"]), Some(zones(&["x-1a", "x-1b"]))),
            (standing(true, true), standing(true, false), Some(standing(true, false))),
        ] {
            let mut council = two();
            council.hear(0, 1, first.clone());
            assert_eq!(council.hear(1, 1, second.clone()), told, "{first:?}, {second:?}");
        }
    }

    /// Nobody speaks for all where all must agree; who leaves need not agree.
    #[test]
    fn silence_and_absence() {
        let mut council = two();
        assert_eq!((council.hear(0, 1, drained()), council.hear(0, 1, applied(4))), (None, None));
        assert_eq!(council.hear(0, 1, health(SICK)), Some(health(SICK)));
        council.hear(0, 1, zones(&["x-1a", "x-1b"]));
        assert_eq!(council.hear(1, 1, health(TargetHealth::Healthy)), Some(health(TargetHealth::Healthy)));
        let told = council.leave(1);
        assert_eq!(told.last(), Some(&applied(4)));
        for fact in [drained(), health(SICK), zones(&["x-1a"])] {
            assert!(told.contains(&fact), "{fact:?} in {told:?}");
        }
        // Void: it has left.
        assert_eq!(council.hear(1, 1, health(TargetHealth::Healthy)), None);
        assert_eq!(council.hear(1, 2, health(TargetHealth::Healthy)), Some(health(TargetHealth::Healthy)));
        assert_eq!(council.hear(1, 1, health(SICK)), None);
        assert_eq!((council.applied(0), council.applied(1)), (Some(4), None));
        assert_eq!(council.leave(0), [health(TargetHealth::Healthy)]);
        assert_eq!(council.leave(1), []);
    }

    /// That a target drained once does not count the next time, and what no
    /// snapshot names is forgotten when the newest is in force everywhere.
    #[test]
    fn snapshots() {
        let until = elastane_domain::time::Time(9);
        let mut council = two();
        council.route(&snapshot(1, &[Admission::Draining { until }]));
        assert_eq!(council.hear(0, 1, drained()), None);
        council.route(&snapshot(2, &[Admission::Registered]));
        council.route(&snapshot(3, &[Admission::Draining { until }]));
        assert_eq!(council.hear(1, 1, drained()), None);
        assert_eq!(council.hear(0, 1, drained()), Some(drained()));
        let mut left = two();
        left.hear(0, 1, drained());
        left.hear(1, 1, drained());
        assert_eq!(left.leave(1), [], "it was told already");
        council.hear(0, 1, health(SICK));
        council.route(&snapshot(4, &[]));
        assert_eq!(council.hear(0, 1, applied(4)), None);
        assert_eq!(council.seats[0].words.len(), 2);
        assert_eq!(council.hear(1, 1, applied(4)), Some(applied(4)));
        assert_eq!(council.seats[0].words.len(), 1);
    }

    /// One process alone is told as it is.
    #[test]
    fn alone() {
        let mut council = Council::new(1);
        for fact in [health(SICK), drained(), applied(3), applied(2), zones(&["x-1b"]), zones(&["x-1a", "x-1b"])] {
            assert_eq!(council.hear(0, 1, fact.clone()), Some(fact));
        }
        assert_eq!(council.leave(0), []);
    }
}
