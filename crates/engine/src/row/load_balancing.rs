//! Rows of Elastic Load Balancing.

use super::{Tags, row};
use elastane_domain::id::*;
use elastane_domain::routing::HealthCheck;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// An application load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its ARN; ends in `loadbalancer/app/<name>/<16 hex>`.
    pub arn: LoadBalancerArn,
    /// Its name, unique within the scope.
    pub name: String,
    /// Its DNS name.
    pub dns_name: String,
    /// `internet-facing` or `internal`.
    pub scheme: String,
    /// When it was made.
    pub created_at: Time,
    /// Its VPC.
    pub vpc: VpcId,
    /// Subnets with their zones, one a zone.
    pub subnets: Vec<(SubnetId, Zone)>,
    /// Security groups.
    pub security_groups: Vec<SecurityGroupId>,
    /// The loopback address of its listeners.
    pub address: Ipv4Addr,
    /// Attributes that were set.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: Tags,
}
row!(LoadBalancer, |row| row.arn.to_string());

impl LoadBalancer {
    /// Metric dimension: `app/<name>/<id>`.
    pub fn dimension(&self) -> &str {
        self.arn.as_str().split_once(":loadbalancer/").map_or("", |(_, rest)| rest)
    }
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Its ARN.
    pub arn: ListenerArn,
    /// Its load balancer.
    pub load_balancer: LoadBalancerArn,
    /// Its port, unique within the load balancer.
    pub port: u16,
    /// What happens with a request.
    pub action: ListenerAction,
    /// Tags.
    pub tags: Tags,
}
row!(Listener, |row| row.arn.to_string());

/// A listener's default action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ListenerAction {
    /// Forward by weight.
    Forward(Vec<(TargetGroupArn, u32)>),
    /// Answer without a target.
    FixedResponse {
        /// Status code.
        status: u16,
        /// Content type, empty for none.
        content_type: String,
        /// Body.
        body: String,
    },
}

impl ListenerAction {
    /// The target groups that it can reach.
    pub fn target_groups(&self) -> impl Iterator<Item = &TargetGroupArn> {
        let groups: &[(TargetGroupArn, u32)] = match self {
            ListenerAction::Forward(groups) => groups,
            ListenerAction::FixedResponse { .. } => &[],
        };
        groups.iter().map(|(arn, _)| arn)
    }
}

/// A target group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its ARN; ends in `targetgroup/<name>/<16 hex>`.
    pub arn: TargetGroupArn,
    /// Its name, unique within the scope.
    pub name: String,
    /// Default port of its targets.
    pub port: u16,
    /// Its VPC.
    pub vpc: VpcId,
    /// `instance` or `ip`.
    pub target_type: TargetType,
    /// How targets are probed.
    pub check: StoredHealthCheck,
    /// Attributes that were set.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: Tags,
}
row!(TargetGroup, |row| row.arn.to_string());

impl TargetGroup {
    /// Metric dimension: `targetgroup/<name>/<id>`.
    pub fn dimension(&self) -> &str {
        self.arn.as_str().rsplit_once(':').map_or("", |(_, rest)| rest)
    }
}

/// What a group's targets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetType {
    /// Instances by id.
    Instance,
    /// Addresses.
    Ip,
}

/// Health check settings as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredHealthCheck {
    /// Path.
    pub path: String,
    /// `traffic-port` is `None`.
    pub port: Option<u16>,
    /// Interval in seconds.
    pub interval_secs: u32,
    /// Timeout in seconds.
    pub timeout_secs: u32,
    /// HealthyThresholdCount.
    pub healthy_threshold: u32,
    /// UnhealthyThresholdCount.
    pub unhealthy_threshold: u32,
    /// Matcher.HttpCode as given.
    pub matcher: String,
}

impl StoredHealthCheck {
    /// As the data plane wants it.
    pub fn routing(&self) -> HealthCheck {
        HealthCheck {
            path: self.path.clone(),
            port: self.port,
            interval: elastane_domain::time::Span::from_secs(i64::from(self.interval_secs)),
            timeout_secs: self.timeout_secs,
            healthy_threshold: self.healthy_threshold,
            unhealthy_threshold: self.unhealthy_threshold,
            matcher: parse_matcher(&self.matcher).unwrap_or_default(),
        }
    }
}

/// `200`, `200,202` or `200-299` as inclusive ranges; `None` when it is
/// neither, or outside 200 to 499.
pub fn parse_matcher(text: &str) -> Option<Vec<(u16, u16)>> {
    text.split(',')
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let range = (low.trim().parse().ok()?, high.trim().parse().ok()?);
            (range.0 >= 200 && range.0 <= range.1 && range.1 <= 499).then_some(range)
        })
        .collect()
}

/// A target of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The group.
    pub group: TargetGroupArn,
    /// Instance id or address.
    pub id: String,
    /// Its port.
    pub port: u16,
    /// Whether it takes new requests.
    pub phase: TargetPhase,
}
row!(Target, |row| Target::key(&row.group, &row.id, row.port));

impl Target {
    /// The row's id.
    pub fn key(group: &TargetGroupArn, id: &str, port: u16) -> String {
        format!("{group}|{id}|{port}")
    }
}

/// Whether a target takes new requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum TargetPhase {
    /// Registered.
    Registered,
    /// Deregistered; requests in flight may end.
    Draining {
        /// End of the deregistration delay; then the row goes.
        until: Time,
    },
}
