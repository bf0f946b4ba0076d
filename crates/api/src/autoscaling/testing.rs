//! A running control plane for tests: a real engine, a host that carries out
//! every launch at once, and a clock that the test sets.

use crate::{Call, Caller, Change, World};
use elastane_domain::id::*;
use elastane_domain::machine::HostFact;
use elastane_domain::routing::{Family, ProxyFact, TargetHealth};
use elastane_domain::time::{Span, Time};
use elastane_engine::row::*;
use elastane_engine::{Config, Effect, Engine, Fact, Scope, network, targets};
use elastane_wire::{ApiError, autoscaling as wire};
use std::collections::BTreeMap;

/// 2026-01-01T10:00:00Z.
pub const START: Time = Time(1_767_261_600_000);

/// The ARN of the target group that `Plane::load_balancer` makes.
pub const TARGET_GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/0123456789abcdef";

/// The label of that target group behind its load balancer.
pub const LABEL: &str = "app/web/0123456789abcdef/targetgroup/web/0123456789abcdef";

struct Dark;

impl World for Dark {
    fn console(&self, _: &InstanceId) -> Option<Vec<u8>> {
        None
    }
}

/// A control plane with a launch template `web`.
pub struct Plane {
    pub engine: Engine,
    pub now: Time,
    pub scope: Scope,
    caller: Caller,
}

impl Plane {
    pub fn new() -> Plane {
        let scope = Scope::new("000000000000", "us-east-1");
        let engine = Engine::open(Config::default(), 7, Vec::new()).expect("an empty store");
        let caller = Caller::root(&scope.account, "AKIDEXAMPLE");
        let mut plane = Plane { engine, now: START, scope, caller };
        plane.put(launch_template());
        plane.engine.handle(START, vec![Fact::Host(HostFact::Inventory(Vec::new()))]);
        plane
    }

    /// Runs an operation that writes.
    pub fn write<T>(
        &mut self,
        operation: impl FnOnce(&mut Change<'_, '_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let (scope, caller) = (self.scope.clone(), &self.caller);
        self.engine.transact(&scope, self.now, |tx| operation(&mut Change { tx, caller, world: &crate::NoWorld }))
    }

    /// Runs an operation that reads.
    pub fn read<T>(&self, operation: impl FnOnce(&Call<'_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let view = self.engine.view(&self.scope, self.now).expect("the scope was used");
        operation(&Call { view, caller: &self.caller, world: &Dark })
    }

    /// Stores a row.
    pub fn put<R: Row>(&mut self, row: R) {
        self.write(|change| {
            change.put(row);
            Ok(())
        })
        .expect("putting a row does not fail");
    }

    /// Lets time pass, then reconciles until the host has nothing left to do.
    pub fn pass(&mut self, span: Span) {
        self.now += span;
        let mut facts = Vec::new();
        for _ in 0..20 {
            let step = self.engine.handle(self.now, std::mem::take(&mut facts));
            facts = step.effects.iter().filter_map(answer).collect();
            if facts.is_empty() {
                return;
            }
        }
        panic!("the host is kept busy for ever");
    }

    /// Makes a load balancer and its target group, both named `web`.
    pub fn load_balancer(&mut self) {
        let view = self.engine.view(&self.scope, self.now).expect("the scope was used");
        let vpc = network::default_vpc(&view).expect("a default network").id.clone();
        self.put(target_group(vpc.clone()));
        self.put(load_balancer(vpc));
    }

    /// The ids of a group's instances.
    pub fn members(&self, group: &str) -> Vec<String> {
        self.group(group).instances.into_iter().filter_map(|instance| instance.instance_id).collect()
    }

    /// A group as clients see it.
    pub fn group(&self, name: &str) -> wire::AutoScalingGroup {
        let input =
            wire::AutoScalingGroupNamesType { auto_scaling_group_names: vec![name.to_string()], ..Default::default() };
        let found = self.read(|call| super::describe_auto_scaling_groups(call, &input)).expect("a good request");
        found.auto_scaling_groups.into_iter().next().unwrap_or_default()
    }

    /// Causes of a group's activities, newest first.
    pub fn causes(&self, group: &str) -> Vec<String> {
        let input = wire::DescribeScalingActivitiesType {
            auto_scaling_group_name: Some(group.to_string()),
            ..Default::default()
        };
        let found = self.read(|call| super::describe_scaling_activities(call, &input)).expect("the group is there");
        found.activities.into_iter().filter_map(|activity| activity.cause).collect()
    }

    /// The data plane reports every target of a target group healthy.
    pub fn all_healthy(&mut self) {
        let now = self.now;
        let facts = self
            .write(|change| {
                let rows: Vec<Target> = change.all::<Target>().map(|row| (**row).clone()).collect();
                let keys = rows.iter().filter_map(|row| targets::key(change.tx, row));
                Ok(keys
                    .map(|target| Fact::Proxy(ProxyFact::Health { target, health: TargetHealth::Healthy }))
                    .collect())
            })
            .expect("reading does not fail");
        self.engine.handle(now, facts);
    }
}

/// What a host that does everything at once says to an effect.
fn answer(effect: &Effect) -> Option<Fact> {
    match effect {
        Effect::Launch(spec) => {
            Some(Fact::Host(HostFact::Booted { instance: spec.instance.clone(), generation: spec.generation }))
        }
        Effect::Stop { instance, generation } => {
            Some(Fact::Host(HostFact::Exited { instance: instance.clone(), generation: *generation }))
        }
        Effect::Terminate { instance } => Some(Fact::Host(HostFact::Removed { instance: instance.clone() })),
        _ => None,
    }
}

fn launch_template() -> LaunchTemplate {
    let data = LaunchData {
        image: Some(network::host_image()),
        instance_type: Some("t3.micro".to_string()),
        ..LaunchData::default()
    };
    LaunchTemplate {
        id: LaunchTemplateId::from("lt-0123456789abcdef0"),
        name: "web".to_string(),
        created_at: START,
        created_by: "arn:aws:iam::000000000000:root".to_string(),
        default_version: 1,
        latest_version: 1,
        versions: vec![LaunchTemplateVersion {
            number: 1,
            description: None,
            created_at: START,
            created_by: "arn:aws:iam::000000000000:root".to_string(),
            data,
            client_token: None,
        }],
        tags: Tags::new(),
        client_token: None,
    }
}

fn target_group(vpc: VpcId) -> TargetGroup {
    TargetGroup::http(TargetGroupArn::from(TARGET_GROUP), "web", vpc)
}

fn load_balancer(vpc: VpcId) -> LoadBalancer {
    let arn = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/0123456789abcdef";
    LoadBalancer {
        arn: LoadBalancerArn::from(arn),
        name: "web".to_string(),
        dns_name: "web.localhost".to_string(),
        scheme: "internet-facing".to_string(),
        created_at: START,
        vpc,
        subnets: Vec::new(),
        security_groups: Vec::new(),
        family: Family::Application,
        nodes: BTreeMap::new(),
        private_addresses: BTreeMap::new(),
        private_link_rules: None,
        ip_address_type: "ipv4".to_string(),
        capacity: None,
        shifted_away: Vec::new(),
        attributes: BTreeMap::new(),
        tags: Tags::new(),
    }
}

/// A request for a group of the template `web` in two zones.
pub fn group_request(name: &str, min: i32, max: i32, desired: i32) -> wire::CreateAutoScalingGroupType {
    wire::CreateAutoScalingGroupType {
        auto_scaling_group_name: Some(name.to_string()),
        launch_template: Some(wire::LaunchTemplateSpecification {
            launch_template_name: Some("web".to_string()),
            ..Default::default()
        }),
        availability_zones: vec!["us-east-1a".to_string(), "us-east-1b".to_string()],
        min_size: Some(min),
        max_size: Some(max),
        desired_capacity: Some(desired),
        ..Default::default()
    }
}

/// The name of the group that `plane_with_group` makes.
pub fn web() -> Option<String> {
    Some("web".to_string())
}

/// A control plane with the group `web`, whose instances run.
pub fn plane_with_group(min: i32, max: i32, desired: i32) -> Plane {
    let mut plane = Plane::new();
    let request = group_request("web", min, max, desired);
    plane.write(|change| super::create_auto_scaling_group(change, &request)).expect("a good request");
    plane.pass(Span::from_secs(1));
    plane
}

/// The text of an error that is expected.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
    result.expect_err("to be refused").to_string()
}
