//! How groups and zones stand as a whole (alb.md 5.3), and what is known of
//! targets' health when one proxy takes over from another.

use super::{Registry, Watching};
use elastane_domain::choice::{Census, TargetView, zones_in_dns};
use elastane_domain::id::{TargetGroupArn, Zone};
use elastane_domain::routing::{Family, ProxyFact, TargetHealth, TargetKey};
use serde::{Deserialize, Serialize};

/// The health of a target as one proxy leaves it to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHealth {
    /// The target.
    pub target: TargetKey,
    /// What it was last.
    pub health: TargetHealth,
}

impl Registry {
    /// What is known of the targets that are checked; not of those still initial.
    pub(crate) fn export_health(&self) -> Vec<KnownHealth> {
        let known = self.targets.iter().filter(|(_, target)| target.watching != Watching::Not);
        known
            .map(|(key, target)| KnownHealth { target: key.clone(), health: target.health.health() })
            .filter(|known| known.health != TargetHealth::Initial)
            .collect()
    }

    /// Targets that come with the next snapshot start with this health instead
    /// of initial. What it does not name is forgotten.
    pub(crate) fn seed_health(&mut self, known: Vec<KnownHealth>) {
        self.seeds_used = false;
        self.seeds.extend(known.into_iter().map(|known| (known.target, known.health)));
    }

    /// Tells which groups and zones stand otherwise than they did.
    pub(super) fn settle(&mut self, facts: &mut Vec<ProxyFact>) {
        if !std::mem::take(&mut self.unsettled) {
            return;
        }
        let used = self.groups.iter().filter(|(_, group)| !group.entry.gone && group.config.checked);
        let arns: Vec<_> = used.map(|(arn, _)| arn.clone()).collect();
        for arn in arns {
            let census = Census::of(&self.views(&arn), None);
            let Some(group) = self.groups.get_mut(&arn) else { continue };
            let standing = (census.meets(group.config.routing_minimum), census.meets(group.config.dns_minimum));
            if group.standing.replace(standing) != Some(standing) {
                let (routing_healthy, dns_healthy) = standing;
                facts.push(ProxyFact::GroupHealth { group: arn, routing_healthy, dns_healthy });
            }
        }
        let arns: Vec<_> =
            self.balancers.iter().filter(|(_, balancer)| !balancer.entry.gone).map(|(arn, _)| arn.clone()).collect();
        for arn in arns {
            let zones = self.zones_of(&arn);
            let Some(balancer) = self.balancers.get_mut(&arn) else { continue };
            if balancer.zones_in_dns.as_ref() != Some(&zones) {
                balancer.zones_in_dns = Some(zones.clone());
                facts.push(ProxyFact::ZonesInDns { load_balancer: arn, zones });
            }
        }
    }

    fn views(&self, arn: &TargetGroupArn) -> Vec<TargetView> {
        let view = |target: &super::TargetEntry| TargetView {
            admission: target.admission,
            health: target.health.health(),
            zone: target.entry.state.zone.zone_id,
            shifted_away: false,
        };
        self.of_group(arn).map(|(_, target)| view(target)).collect()
    }

    /// The zones that a load balancer's name resolves to.
    fn zones_of(&self, arn: &elastane_domain::id::LoadBalancerArn) -> Vec<Zone> {
        let config = &self.balancers[arn].config;
        let mut groups: Vec<&TargetGroupArn> = config.listeners.iter().flat_map(|one| one.target_groups()).collect();
        groups.sort_unstable();
        groups.dedup();
        let known: Vec<_> = groups
            .into_iter()
            .filter_map(|arn| Some((&self.groups.get(arn)?.config, self.views(arn))))
            .filter(|(config, _)| config.check.enabled)
            .collect();
        let zones: Vec<Zone> = config.nodes.iter().map(|node| node.zone.clone()).collect();
        let healthy = |zone: &Zone| {
            let id = self.zones.iter().position(|known| known == zone).and_then(|place| u16::try_from(place).ok());
            known.is_empty()
                || known.iter().any(|(group, views)| {
                    // A network load balancer's zone needs targets of its own (alb.md 13).
                    let everywhere = group.cross_zone && config.family == Family::Application;
                    Census::of(views, if everywhere { None } else { id }).meets(group.dns_minimum)
                })
        };
        let stays = zones_in_dns(&zones, healthy, |zone| config.options.shifted_away.contains(zone));
        zones.into_iter().zip(stays).filter(|(_, stays)| *stays).map(|(zone, _)| zone).collect()
    }
}
