//! Tests of the engine as a whole, on a host that does everything at once.

mod balancers;
mod commands;
mod credits;
mod groups;
mod hooks;
mod launches;
mod load;
mod metadata;
mod networks;
mod predictive;
mod rounds;
mod scaling;
mod schedules;
mod standby;
mod stored;
mod target_states;
mod troubles;
mod warm_pools;

use crate::row::*;
use crate::store::StoreWrite;
use crate::{Config, Effect, Engine, Fact, Scope, Step, Tx, network, targets};
use elastane_domain::capacity::Bounds;
use elastane_domain::id::*;
use elastane_domain::machine::HostFact;
use elastane_domain::mixed::TemplateRef;
use elastane_domain::routing::{Admission, ProxyFact, Snapshot, TargetHealth};
use elastane_domain::time::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// 2026-01-01T10:00:00Z.
const START: Time = Time(1_767_261_600_000);

const TEMPLATE: &str = "lt-0123456789abcdef0";
const TARGET_GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef";

/// An engine, its store, and a world that obeys.
struct Rig {
    engine: Engine,
    now: Time,
    scope: Scope,
    stored: BTreeMap<String, Vec<u8>>,
    routes: Vec<Arc<Snapshot>>,
    /// What the world will say to the effects so far.
    answers: Vec<Fact>,
}

impl Rig {
    /// A region with its default network and a launch template.
    fn new() -> Rig {
        Rig::with(Config::default())
    }

    /// The same by another configuration.
    fn with(config: Config) -> Rig {
        let mut rig =
            Rig { engine: Engine::open(config, 7, Vec::new()).expect("an empty store opens"), ..Rig::blank() };
        rig.tx(|tx| tx.put(template()));
        rig.tell(vec![Fact::Host(HostFact::Inventory(Vec::new()))]);
        rig
    }

    /// No rows yet, and no inventory.
    fn blank() -> Rig {
        let engine = Engine::open(Config::default(), 7, Vec::new()).expect("an empty store opens");
        let scope = Scope::new("000000000000", "us-east-1");
        Rig { engine, now: START, scope, stored: BTreeMap::new(), routes: Vec::new(), answers: Vec::new() }
    }

    fn tx<T>(&mut self, change: impl FnOnce(&mut Tx<'_>) -> T) -> T {
        let done: Result<T, ()> = self.engine.transact(&self.scope, self.now, |tx| Ok(change(tx)));
        done.expect("the change does not fail")
    }

    /// One round; its writes are stored.
    fn tell(&mut self, facts: Vec<Fact>) -> Step {
        let step = self.engine.handle(self.now, facts);
        self.store(&step.writes);
        for effect in &step.effects {
            if let Effect::Route(snapshot) = effect {
                self.routes.push(snapshot.clone());
            }
            self.answers.extend(obey(effect));
        }
        step
    }

    fn store(&mut self, writes: &[StoreWrite]) {
        for write in writes {
            match &write.value {
                Some(bytes) => self.stored.insert(write.key.to_string(), bytes.clone()),
                None => self.stored.remove(&write.key.to_string()),
            };
        }
    }

    /// Lets time pass, then lets the world obey until nothing is left to do.
    fn pass(&mut self, span: Span) {
        self.now += span;
        for _ in 0..50 {
            let facts = std::mem::take(&mut self.answers);
            let step = self.tell(facts);
            if self.answers.is_empty() && step.wake > self.now + Span(1) {
                return;
            }
        }
        panic!("the world is kept busy for ever");
    }

    fn get<R: Row>(&self, id: &str) -> Option<Arc<R>> {
        R::table(&self.engine.state().scopes[&self.scope]).get(id).cloned()
    }

    fn all<R: Row>(&self) -> Vec<Arc<R>> {
        R::table(&self.engine.state().scopes[&self.scope]).values().cloned().collect()
    }

    /// Makes a group of three zones; `change` says what is special about it.
    fn group(&mut self, name: &str, bounds: (u32, u32), desired: u32, change: impl FnOnce(&mut Group)) {
        let mut row = group(name, bounds, desired);
        change(&mut row);
        self.tx(|tx| tx.put(row));
    }

    fn members(&self, group: &str) -> Vec<Arc<Instance>> {
        let belongs = |row: &Arc<Instance>| row.membership.as_ref().is_some_and(|place| place.group.as_str() == group);
        self.all::<Instance>().into_iter().filter(belongs).collect()
    }

    /// Makes the target group `web`, and all its targets healthy from then on
    /// when they are told so.
    fn target_group(&mut self) {
        self.tx(|tx| {
            let vpc = network::default_vpc(&tx.view()).expect("a default network").id.clone();
            tx.put(target_group(vpc));
        });
    }

    /// What the data plane calls the targets.
    fn tell_targets(&mut self, fact: impl Fn(elastane_domain::routing::TargetKey) -> ProxyFact) {
        let tables = &self.engine.state().scopes[&self.scope];
        let keys = tables.targets.values().filter_map(|row| targets::key(tables, row));
        let facts = keys.map(|key| Fact::Proxy(fact(key))).collect();
        self.tell(facts);
    }

    fn all_healthy(&mut self) {
        self.tell_targets(|target| ProxyFact::Health { target, health: TargetHealth::Healthy });
    }

    /// How targets are admitted by the newest snapshot.
    fn admissions(&self) -> BTreeSet<&'static str> {
        let snapshot = self.routes.last().expect("there was a snapshot");
        let targets = snapshot.target_groups.iter().flat_map(|group| &group.targets);
        targets
            .map(|target| match target.admission {
                Admission::Registered => "registered",
                Admission::Draining { .. } => "draining",
                Admission::Unused => "unused",
            })
            .collect()
    }
}

/// What a host that does everything at once says to an effect.
fn obey(effect: &Effect) -> Option<Fact> {
    Some(Fact::Host(match effect {
        Effect::Launch(spec) => HostFact::Booted { instance: spec.instance.clone(), generation: spec.generation },
        Effect::Stop { instance, generation } => {
            HostFact::Exited { instance: instance.clone(), generation: *generation }
        }
        Effect::Terminate { instance } => HostFact::Removed { instance: instance.clone() },
        Effect::Capture { image, .. } => HostFact::Captured { image: image.clone(), bytes: 1 },
        Effect::DeleteImage { .. }
        | Effect::RunCommand { .. }
        | Effect::EndCommand { .. }
        | Effect::EndSession { .. }
        | Effect::Route(_)
        | Effect::EndNetwork { .. }
        | Effect::Notify(_) => {
            return None;
        }
        Effect::Network(plan) => {
            HostFact::Network { vpc: plan.vpc.clone(), generation: plan.generation, problem: String::new() }
        }
    }))
}

fn data() -> LaunchData {
    LaunchData {
        image: Some(network::host_image()),
        instance_type: Some("t3.micro".to_string()),
        ..LaunchData::default()
    }
}

fn template() -> LaunchTemplate {
    let version = LaunchTemplateVersion {
        number: 1,
        description: None,
        created_at: START,
        created_by: "root".to_string(),
        data: data(),
        client_token: None,
    };
    LaunchTemplate {
        id: LaunchTemplateId::from(TEMPLATE),
        name: "web".to_string(),
        created_at: START,
        created_by: "root".to_string(),
        default_version: 1,
        latest_version: 1,
        versions: vec![version],
        tags: Tags::new(),
        client_token: None,
    }
}

fn group(name: &str, (min, max): (u32, u32), desired: u32) -> Group {
    let arn = format!("arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup::autoScalingGroupName/{name}");
    let template = TemplateRef { id: LaunchTemplateId::from(TEMPLATE), version: "$Default".to_string() };
    let source = LaunchSource::Template(template);
    Group {
        desired,
        zones: network::zones(&Region::from("us-east-1")),
        ..Group::new(GroupName::from(name), arn, Bounds { min, max }, source, START)
    }
}

fn target_group(vpc: VpcId) -> TargetGroup {
    TargetGroup::http(TargetGroupArn::from(TARGET_GROUP), "web", vpc)
}
