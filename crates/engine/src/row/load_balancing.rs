//! Rows of Elastic Load Balancing.

use super::{Tags, row};
use elastane_domain::id::*;
use elastane_domain::routing::{
    Action, CheckProtocol, Condition, Family, HealthCheck, OidcAction, Protocol, ProtocolVersion, TlsSettings,
    Transform,
};
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its ARN; ends in `loadbalancer/app/<name>/<16 hex>`, or `/net/`.
    pub arn: LoadBalancerArn,
    /// What kind it is.
    pub family: Family,
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
    /// The loopback addresses of its listeners, by zone; zones without one get
    /// theirs from the reconciler.
    pub nodes: BTreeMap<Zone, Ipv4Addr>,
    /// Addresses that SubnetMappings of a network load balancer named, by zone.
    pub private_addresses: BTreeMap<Zone, Ipv4Addr>,
    /// `EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic` of a network load
    /// balancer; `None` when it was never set.
    pub private_link_rules: Option<bool>,
    /// `IpAddressType`: `ipv4` or [`LoadBalancer::DUAL_STACK`].
    pub ip_address_type: String,
    /// What ModifyCapacityReservation asked for, if it ever was called.
    pub capacity: Option<CapacityReservation>,
    /// Zones that traffic was shifted away from, by `elastane lb shift`.
    pub shifted_away: Vec<Zone>,
    /// Attributes that were set.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: Tags,
}
row!(LoadBalancer, |row| row.arn.to_string(), version 2 from upgrade_load_balancer);

fn upgrade_load_balancer(from: u32, mut row: Value) -> Option<Value> {
    if from != 1 {
        return None;
    }
    let zone = row["subnets"][0][1].as_str().unwrap_or_default().to_owned();
    row["nodes"] = json!({ zone: row["address"].take() });
    row["family"] = json!("Application");
    row["private_addresses"] = json!({});
    row["private_link_rules"] = Value::Null;
    row["ip_address_type"] = json!("ipv4");
    row["capacity"] = Value::Null;
    row["shifted_away"] = json!([]);
    Some(row)
}

impl LoadBalancer {
    /// The `IpAddressType` of one that clients reach over IPv6 as well.
    pub const DUAL_STACK: &str = "dualstack";

    /// Whether clients reach it over IPv6 as well.
    pub fn is_dual_stack(&self) -> bool {
        self.ip_address_type == LoadBalancer::DUAL_STACK
    }

    /// Metric dimension: `app/<name>/<id>` or `net/<name>/<id>`.
    pub fn dimension(&self) -> &str {
        self.arn.as_str().split_once(":loadbalancer/").map_or("", |(_, rest)| rest)
    }
}

/// Capacity that is reserved for a load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityReservation {
    /// Capacity units; `None` after a reset.
    pub units: Option<u32>,
    /// When it was asked for last.
    pub modified_at: Time,
    /// When it was made smaller, on the day of the last time.
    pub decreased_at: Vec<Time>,
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
    /// What it speaks.
    pub protocol: Protocol,
    /// How it speaks TLS, with its certificates.
    pub tls: Option<TlsSettings>,
    /// The ARN of its default rule.
    pub default_rule: RuleArn,
    /// Who the client must be before the default action.
    pub authenticate: Option<Box<OidcAction>>,
    /// What happens with a request that no rule matches.
    pub action: Action,
    /// `Order` of the actions as given: the authentication's, if there is one,
    /// then the action's; empty counts from one.
    pub orders: Vec<u32>,
    /// Attributes that were set.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: Tags,
}
row!(Listener, |row| row.arn.to_string(), version 2 from upgrade_listener);

fn upgrade_listener(from: u32, mut row: Value) -> Option<Value> {
    if from != 1 {
        return None;
    }
    if let Some(groups) = row["action"].get_mut("Forward").map(Value::take) {
        row["action"] = json!({ "Forward": { "groups": groups, "stickiness_secs": null } });
    }
    let listener = row["arn"].as_str()?;
    row["default_rule"] = json!(format!("{}/0000000000000000", listener.replacen(":listener/", ":listener-rule/", 1)));
    row["protocol"] = json!("Http");
    row["tls"] = Value::Null;
    row["authenticate"] = Value::Null;
    row["orders"] = json!([]);
    row["attributes"] = json!({});
    Some(row)
}

impl Listener {
    /// An HTTP listener without rules other than its default one.
    pub fn http(arn: ListenerArn, load_balancer: LoadBalancerArn, port: u16, action: Action) -> Listener {
        Listener {
            default_rule: RuleArn::from(format!("{}/0", arn.as_str().replacen(":listener/", ":listener-rule/", 1))),
            arn,
            load_balancer,
            port,
            protocol: Protocol::Http,
            tls: None,
            authenticate: None,
            action,
            orders: Vec::new(),
            attributes: BTreeMap::new(),
            tags: Tags::new(),
        }
    }
}

/// A rule of a listener other than its default rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its ARN.
    pub arn: RuleArn,
    /// Its listener.
    pub listener: ListenerArn,
    /// 1 to 50,000, unique within the listener.
    pub priority: u32,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// Changes of the request.
    pub transforms: Vec<Transform>,
    /// Who the client must be before the action.
    pub authenticate: Option<Box<OidcAction>>,
    /// What happens with a request that matches.
    pub action: Action,
    /// `Order` of the actions as given, as in [`Listener::orders`].
    pub orders: Vec<u32>,
    /// Tags.
    pub tags: Tags,
}
row!(Rule, |row| row.arn.to_string());

/// Authorities that clients' certificates may come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrustStore {
    /// Its ARN; ends in `truststore/<name>/<16 hex>`.
    pub arn: TrustStoreArn,
    /// Its name, unique within the scope.
    pub name: String,
    /// The authorities' certificates as PEM.
    pub authorities_pem: String,
    /// Revocation lists by their ids.
    pub revocations: BTreeMap<i64, String>,
    /// Tags.
    pub tags: Tags,
}
row!(TrustStore, |row| row.arn.to_string());

/// A target group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its ARN; ends in `targetgroup/<name>/<16 hex>`.
    pub arn: TargetGroupArn,
    /// Its name, unique within the scope.
    pub name: String,
    /// What its targets speak.
    pub protocol: Protocol,
    /// Which HTTP they speak.
    pub version: ProtocolVersion,
    /// `IpAddressType`: `ipv4`.
    pub ip_address_type: String,
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
row!(TargetGroup, |row| row.arn.to_string(), version 2 from upgrade_target_group);

fn upgrade_target_group(from: u32, mut row: Value) -> Option<Value> {
    if from != 1 {
        return None;
    }
    row["protocol"] = json!("Http");
    row["version"] = json!("Http1");
    row["ip_address_type"] = json!("ipv4");
    row["check"]["enabled"] = json!(true);
    row["check"]["protocol"] = json!("Http");
    Some(row)
}

impl TargetGroup {
    /// A group of instances that speak HTTP/1.1 on port 80, with AWS's defaults.
    pub fn http(arn: TargetGroupArn, name: &str, vpc: VpcId) -> TargetGroup {
        TargetGroup {
            arn,
            name: name.to_string(),
            protocol: Protocol::Http,
            version: ProtocolVersion::Http1,
            ip_address_type: "ipv4".to_string(),
            port: 80,
            vpc,
            target_type: TargetType::Instance,
            check: StoredHealthCheck::default(),
            attributes: BTreeMap::new(),
            tags: Tags::new(),
        }
    }

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
    /// HealthCheckEnabled.
    pub enabled: bool,
    /// HealthCheckProtocol.
    pub protocol: CheckProtocol,
    /// Path; empty for TCP.
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
    /// Matcher.HttpCode or GrpcCode as given; empty for TCP.
    pub matcher: String,
}

impl Default for StoredHealthCheck {
    /// The settings of an HTTP group for which none were named (alb.md 5.1).
    fn default() -> Self {
        StoredHealthCheck {
            enabled: true,
            protocol: CheckProtocol::Http,
            path: "/".to_string(),
            port: None,
            interval_secs: 30,
            timeout_secs: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: "200".to_string(),
        }
    }
}

impl StoredHealthCheck {
    /// As the data plane wants it.
    pub fn routing(&self) -> HealthCheck {
        HealthCheck {
            enabled: self.enabled,
            protocol: self.protocol,
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
/// neither. Codes of HTTP and of gRPC are both below 600; which of them a
/// group may have is for the API to say.
pub fn parse_matcher(text: &str) -> Option<Vec<(u16, u16)>> {
    text.split(',')
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let range = (low.trim().parse().ok()?, high.trim().parse().ok()?);
            (range.0 <= range.1 && range.1 < 600).then_some(range)
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
    /// `AvailabilityZone` as it was registered: `all`, a zone, or nothing.
    pub availability_zone: Option<String>,
    /// Whether it takes new requests.
    pub phase: TargetPhase,
}
row!(Target, |row| Target::key(&row.group, &row.id, row.port), version 2 from upgrade_target);

fn upgrade_target(from: u32, mut row: Value) -> Option<Value> {
    if from != 1 {
        return None;
    }
    row["availability_zone"] = Value::Null;
    Some(row)
}

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
