//! Which networks should be in force, and by which plan: plans are made again
//! when rows changed that they are made of, and only then.

use super::Index;
use crate::engine::{Config, Plant};
use crate::network::AddressPlan;
use crate::row::*;
use crate::scope::Scope;
use crate::state::{Change, Seen, State, View};
use elastane_domain::id::VpcId;
use elastane_domain::machine::Generation;
use elastane_domain::time::Time;
use elastane_domain::vpc::{InterfacePlan, NetworkPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows of the last rounds that plans are made of.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Scopes of which any VPC may be concerned.
    scopes: BTreeSet<Scope>,
    /// VPCs that are concerned.
    vpcs: BTreeSet<VpcId>,
    /// Interfaces that are gone.
    interfaces: BTreeSet<String>,
}

impl Touched {
    /// What these changes concern.
    pub(crate) fn by(changes: &[Change], plant: Option<Plant>) -> Touched {
        let unnoticed = |kind| kind == Kind::SecurityGroup && plant == Some(Plant::NetworkStale);
        let mut touched = Touched::default();
        changes.iter().filter(|change| !unnoticed(change.kind)).for_each(|change| touched.note(change));
        touched
    }

    fn note(&mut self, change: &Change) {
        match &change.row {
            Some(AnyRow::NetworkInterface(row)) => drop(self.vpcs.insert(row.vpc.clone())),
            None if change.kind == Kind::NetworkInterface => drop(self.interfaces.insert(change.id.clone())),
            // A start gives a public address back; everything else about an
            // instance that a plan tells changes its interfaces as well.
            Some(AnyRow::Instance(row)) if row.phase == Phase::Pending && row.generation > Generation(1) => {
                self.vpcs.insert(row.vpc.clone());
            }
            Some(_) | None if concerns_all(change.kind) => drop(self.scopes.insert(change.scope.clone())),
            Some(_) | None => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.vpcs.is_empty() && self.interfaces.is_empty()
    }

    fn concerns(&self, scope: &Scope, vpc: &VpcId, plan: Option<&NetworkPlan>) -> bool {
        let lost = |plan: &NetworkPlan| {
            let has = |id: &String| plan.interfaces.binary_search_by(|one| one.id.cmp(id)).is_ok();
            self.interfaces.iter().any(has)
        };
        self.scopes.contains(scope) || self.vpcs.contains(vpc) || plan.is_some_and(lost)
    }
}

/// Whether a change of such a row may concern every plan of its scope.
fn concerns_all(kind: Kind) -> bool {
    match kind {
        Kind::Vpc
        | Kind::Subnet
        | Kind::SecurityGroup
        | Kind::InternetGateway
        | Kind::RouteTable
        | Kind::Address
        | Kind::NatGateway
        | Kind::PrefixList
        | Kind::FlowLog
        | Kind::Outage
        | Kind::LoadBalancer => true,
        // Interfaces and instances say themselves which VPC they concern;
        // DHCP options come with each boot.
        Kind::NetworkInterface
        | Kind::Instance
        | Kind::DhcpOptions
        | Kind::KeyPair
        | Kind::Image
        | Kind::LaunchTemplate
        | Kind::Group
        | Kind::Activity
        | Kind::Policy
        | Kind::Alarm
        | Kind::Listener
        | Kind::Rule
        | Kind::TrustStore
        | Kind::Certificate
        | Kind::ServerCertificate
        | Kind::TargetGroup
        | Kind::Target
        | Kind::Command
        | Kind::Session
        | Kind::PlacementGroup
        | Kind::SpotRequest
        | Kind::Snapshot
        | Kind::Role
        | Kind::InstanceProfile
        | Kind::AccountSettings
        | Kind::CertificateSettings
        | Kind::LaunchConfiguration
        | Kind::LifecycleHook
        | Kind::ScheduledAction
        | Kind::InstanceRefresh
        | Kind::Notification
        | Kind::Forecast
        | Kind::User
        | Kind::UserGroup
        | Kind::ManagedPolicy
        | Kind::AccessKey
        | Kind::TemporaryKey
        | Kind::AccountAlias
        | Kind::EncryptionKey
        | Kind::KeyAlias
        | Kind::Parameter
        | Kind::CommandOutput
        | Kind::Document
        | Kind::DocumentVersion => false,
    }
}

/// The plans that should be in force.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    /// `None` until plans were made for the first time.
    plans: Option<BTreeMap<VpcId, Arc<NetworkPlan>>>,
}

impl Networks {
    /// Makes plans again as far as rows changed. Returns VPCs whose network
    /// has no use any more.
    pub(crate) fn follow(&mut self, state: &State, config: &Config, touched: &Touched, now: Time) -> Vec<VpcId> {
        let first = self.plans.is_none();
        if !first && touched.is_empty() {
            return Vec::new();
        }
        let old = self.plans.take().unwrap_or_default();
        let (mut plans, mut ended) = (BTreeMap::new(), Vec::new());
        for (scope, tables) in &state.scopes {
            let view = View { state, tables, scope, now };
            let concerned = |vpc: &VpcId| first || touched.concerns(scope, vpc, old.get(vpc).map(AsRef::as_ref));
            let any = tables.vpcs.values().any(|row| concerned(&row.id));
            let index = any.then(|| Index::new(view));
            for row in tables.vpcs.values() {
                let last = old.get(&row.id);
                match &index {
                    Some(index) if concerned(&row.id) => {
                        if index.inhabited(&row.id) {
                            let mut plan = index.plan(row);
                            if config.plant == Some(Plant::GoneInterfacePlanned) {
                                keep_gone(&mut plan, last);
                            }
                            plans.insert(row.id.clone(), next(plan, last, now));
                        } else if first {
                            // A daemon that died may have left it behind.
                            ended.push(row.id.clone());
                        }
                    }
                    Some(_) | None => plans.extend(last.map(|plan| (row.id.clone(), plan.clone()))),
                }
            }
        }
        ended.extend(old.into_keys().filter(|vpc| !plans.contains_key(vpc)));
        self.plans = Some(plans);
        ended
    }

    /// The plan that should be in force in a VPC; `None` when it needs no
    /// network, or no plans were made yet.
    pub(crate) fn plan(&self, vpc: &VpcId) -> Option<&Arc<NetworkPlan>> {
        self.plans.as_ref()?.get(vpc)
    }

    /// All plans that should be in force.
    pub(crate) fn plans(&self) -> impl Iterator<Item = &Arc<NetworkPlan>> {
        self.plans.iter().flat_map(BTreeMap::values)
    }
}

/// Whether a plan is in force as a whole.
pub(crate) fn in_force(seen: &Seen, plan: &NetworkPlan) -> bool {
    let applied = seen.networks.get(&plan.vpc);
    applied.is_some_and(|(generation, problem)| *generation == plan.generation && problem.is_empty())
}

/// The plan as the next generation, or the last one when nothing changed.
/// Generations also grow from daemon to daemon, so that a fact about a plan
/// of the one before is not taken for one about today's: they follow the clock.
fn next(mut plan: NetworkPlan, last: Option<&Arc<NetworkPlan>>, now: Time) -> Arc<NetworkPlan> {
    if let Some(last) = last {
        plan.generation = last.generation;
        if plan == **last {
            return last.clone();
        }
    }
    let clock = u64::try_from(now.millis()).unwrap_or_default();
    plan.generation = clock.max(last.map_or(1, |last| last.generation + 1));
    Arc::new(plan)
}

/// The bug of [`Plant::GoneInterfacePlanned`].
fn keep_gone(plan: &mut NetworkPlan, last: Option<&Arc<NetworkPlan>>) {
    let gone = |one: &&InterfacePlan| !plan.interfaces.iter().any(|other| other.id == one.id);
    let gone: Vec<InterfacePlan> = last.iter().flat_map(|last| &last.interfaces).filter(gone).cloned().collect();
    plan.interfaces.extend(gone);
    plan.interfaces.sort_by(|a, b| a.id.cmp(&b.id));
}

/// Whether there are networks: where instances share the host's there are none.
pub(crate) fn made_at_all(config: &Config) -> bool {
    config.addresses == AddressPlan::Vpc
}
