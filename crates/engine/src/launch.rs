//! Launching: from what a call or a template says to instance rows, with
//! EC2's checks, codes and texts. RunInstances and Auto Scaling groups come
//! through here alike.

use crate::network;
use crate::row::*;
use crate::state::{Tx, View};
use base64::Engine as _;
use elastane_domain::id::*;
use elastane_domain::machine::{Generation, LaunchSpec};
use elastane_domain::types::{InstanceType, instance_type};
use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

/// One call launches at most this many, so that one commit stays short.
pub const LAUNCH_MAX: u32 = 500;

/// Instances that one account may have in one region, terminated ones not
/// counted: a bound on what one client can take of a machine.
pub const INSTANCES_MAX: usize = 10_000;

/// User data before encoding (EC2 User Guide, "Run commands at launch").
pub const USER_DATA_MAX: usize = 16_384;

/// The type when nobody names one. AWS's own default, m1.small, is of a
/// generation that is not offered here.
pub const DEFAULT_TYPE: &str = "t3.micro";

/// No instance gets less CPU than this: below it, booting takes seconds.
const MILLICORES_MIN: u32 = 10;

/// An error of EC2: its code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code on the wire.
    pub code: &'static str,
    /// The text.
    pub message: String,
}

impl Refusal {
    /// An error of this code and text.
    pub fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

/// What to launch.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What call and template say, merged.
    pub data: LaunchData,
    /// The template and version that it came from.
    pub template: Option<(LaunchTemplateId, u64)>,
    /// At least so many, or none.
    pub count_min: u32,
    /// At most so many.
    pub count_max: u32,
    /// ClientToken.
    pub client_token: Option<String>,
    /// A digest of the call's parameters, for the client token.
    pub request_digest: Option<String>,
    /// The Auto Scaling group, and whether the instances are protected from scale in.
    pub group: Option<(GroupName, bool)>,
}

/// What the data means in this scope, checked.
struct Resolved<'a> {
    image: &'a Image,
    instance_type: &'static InstanceType,
    subnet: &'a Subnet,
    security_groups: Vec<SecurityGroupId>,
}

/// Launches instances and returns their ids, all of one reservation.
pub fn launch(tx: &mut Tx<'_>, request: &Request) -> Result<Vec<InstanceId>, Refusal> {
    let view = tx.view();
    check_counts(&view, request)?;
    let resolved = resolve(&view, &request.data)?;
    let addresses = free_addresses(&view, resolved.subnet, request)?;
    let template = instance_template(&view, &resolved, request);
    let reservation = tx.rng.id("r-");
    let ids = addresses.into_iter().enumerate().map(|(index, private_ip)| {
        let id = InstanceId::from(tx.rng.id(InstanceId::PREFIX));
        let (interface, root_volume) = (tx.rng.id("eni-"), tx.rng.id("vol-"));
        tx.put(Instance {
            id: id.clone(),
            reservation: reservation.clone(),
            launch_index: index as u32,
            private_ip,
            interface,
            root_volume,
            ..template.clone()
        });
        id
    });
    Ok(ids.collect())
}

/// Whether a call with this data would be accepted, with nothing changed: what
/// a group checks when its template is set.
pub fn check(view: &View<'_>, data: &LaunchData) -> Result<(), Refusal> {
    resolve(view, data).map(|_| ())
}

fn check_counts(view: &View<'_>, request: &Request) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new("InvalidParameterValue", message));
    if request.count_min == 0 || request.count_max == 0 {
        return invalid("Invalid value '0' for minCount or maxCount. Must be a positive integer.".to_string());
    }
    if request.count_min > request.count_max {
        return invalid(format!(
            "Invalid value '{}' for minCount. Must be less than or equal to maxCount: '{}'.",
            request.count_min, request.count_max
        ));
    }
    let live = view.all::<Instance>().filter(|i| !matches!(i.phase, Phase::Terminated { .. })).count();
    if request.count_min > LAUNCH_MAX || live + request.count_min as usize > INSTANCES_MAX {
        return Err(Refusal::new(
            "InstanceLimitExceeded",
            format!(
                "You have requested more instances ({}) than your current instance limit allows: \
                 {LAUNCH_MAX} in one call, {INSTANCES_MAX} in one region.",
                request.count_min
            ),
        ));
    }
    if request.data.private_ip.is_some() && request.count_max > 1 {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            "Only one instance can be launched when a private IP address is specified.",
        ));
    }
    Ok(())
}

fn resolve<'a>(view: &View<'a>, data: &LaunchData) -> Result<Resolved<'a>, Refusal> {
    let image = resolve_image(view, data.image.as_ref())?;
    let name = data.instance_type.as_deref().unwrap_or(DEFAULT_TYPE);
    let instance_type = instance_type(name)
        .ok_or_else(|| Refusal::new("InvalidParameterValue", format!("Invalid value '{name}' for InstanceType.")))?;
    if let Some(key) = &data.key_name
        && view.get::<KeyPair>(key).is_none()
    {
        return Err(Refusal::new("InvalidKeyPair.NotFound", format!("The key pair '{key}' does not exist")));
    }
    if let Some(text) = &data.user_data {
        decode_user_data(text)?;
    }
    let subnet = resolve_subnet(view, data)?;
    let security_groups = resolve_security_groups(view, data, &subnet.vpc)?;
    Ok(Resolved { image, instance_type, subnet, security_groups })
}

fn resolve_image<'a>(view: &View<'a>, id: Option<&ImageId>) -> Result<&'a Image, Refusal> {
    let Some(id) = id else {
        return Err(Refusal::new("MissingParameter", "The request must contain the parameter ImageId"));
    };
    if !well_formed(ImageId::PREFIX, id.as_str()) {
        return Err(Refusal::new("InvalidAMIID.Malformed", format!("Invalid id: \"{id}\" (expecting \"ami-...\")")));
    }
    let not_found = || Refusal::new("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"));
    let image = view.get::<Image>(id.as_str()).ok_or_else(not_found)?;
    match &image.phase {
        ImagePhase::Available { .. } => Ok(image),
        ImagePhase::Deregistered => Err(not_found()),
        ImagePhase::Pending | ImagePhase::Failed { .. } => Err(Refusal::new(
            "InvalidAMIID.Unavailable",
            format!("The image ID '{id}' is not available: wait until its state is 'available'"),
        )),
    }
}

/// Raw user data of its base64 form, within EC2's limit.
pub fn decode_user_data(text: &str) -> Result<Vec<u8>, Refusal> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| Refusal::new("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data."))?;
    if bytes.len() > USER_DATA_MAX {
        return Err(Refusal::new("InvalidParameterValue", "User data is limited to 16384 bytes"));
    }
    Ok(bytes)
}

fn resolve_subnet<'a>(view: &View<'a>, data: &LaunchData) -> Result<&'a Subnet, Refusal> {
    if let Some(id) = &data.subnet {
        return view
            .get::<Subnet>(id.as_str())
            .map(AsRef::as_ref)
            .ok_or_else(|| Refusal::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist")));
    }
    let zones = network::zones(&view.scope.region);
    let zone = match &data.zone {
        Some(zone) if !zones.contains(zone) => {
            return Err(Refusal::new(
                "InvalidParameterValue",
                format!("Invalid availability zone: [{zone}]; this region has {}", join(&zones)),
            ));
        }
        Some(zone) => zone.clone(),
        None => zones[0].clone(),
    };
    network::default_subnet(view, &zone).ok_or_else(|| {
        Refusal::new("MissingInput", format!("No default subnet for availability zone: '{zone}'. Name a SubnetId."))
    })
}

fn join(zones: &[Zone]) -> String {
    zones.iter().map(Zone::as_str).collect::<Vec<_>>().join(", ")
}

fn resolve_security_groups(view: &View<'_>, data: &LaunchData, vpc: &VpcId) -> Result<Vec<SecurityGroupId>, Refusal> {
    let mut found = BTreeSet::new();
    for id in &data.security_groups {
        match view.get::<SecurityGroup>(id.as_str()) {
            Some(group) if group.vpc == *vpc => found.insert(id.clone()),
            Some(_) | None => {
                let message = format!("The security group '{id}' does not exist in VPC '{vpc}'");
                return Err(Refusal::new("InvalidGroup.NotFound", message));
            }
        };
    }
    for name in &data.security_group_names {
        let group = view.all::<SecurityGroup>().find(|group| group.vpc == *vpc && group.name == *name);
        let message = || format!("The security group '{name}' does not exist in VPC '{vpc}'");
        found.insert(group.ok_or_else(|| Refusal::new("InvalidGroup.NotFound", message()))?.id.clone());
    }
    if found.is_empty() {
        found.extend(network::default_security_group(view, vpc).map(|group| group.id.clone()));
    }
    Ok(found.into_iter().collect())
}

/// One address an instance: as many as fit, if that is enough.
fn free_addresses(view: &View<'_>, subnet: &Subnet, request: &Request) -> Result<Vec<Ipv4Addr>, Refusal> {
    let mut taken = network::taken(view, &subnet.id);
    if let Some(address) = request.data.private_ip {
        if !subnet.cidr.contains(address) || subnet.cidr.reserves(address) {
            let message = format!("Address {address} does not fall within the subnet's address range");
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        if taken.contains(&address) {
            return Err(Refusal::new("InvalidIPAddress.InUse", format!("Address {address} is in use.")));
        }
        return Ok(vec![address]);
    }
    let mut free = Vec::new();
    while free.len() < request.count_max.min(LAUNCH_MAX) as usize {
        let Some(address) = subnet.cidr.next_free_after(free.last().copied(), &taken) else { break };
        taken.insert(address);
        free.push(address);
    }
    if free.len() < request.count_min as usize {
        return Err(Refusal::new(
            "InsufficientFreeAddressesInSubnet",
            format!(
                "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                subnet.id
            ),
        ));
    }
    Ok(free)
}

/// An instance with everything but its own identity.
fn instance_template(view: &View<'_>, resolved: &Resolved<'_>, request: &Request) -> Instance {
    let data = &request.data;
    let mut tags = data.tags.get("instance").cloned().unwrap_or_default();
    if let Some((template, version)) = &request.template {
        tags.insert("aws:ec2launchtemplate:id".to_string(), template.to_string());
        tags.insert("aws:ec2launchtemplate:version".to_string(), version.to_string());
    }
    if let Some((group, _)) = &request.group {
        tags.insert("aws:autoscaling:groupName".to_string(), group.to_string());
    }
    Instance {
        id: InstanceId::from(""),
        reservation: String::new(),
        launch_index: 0,
        image: resolved.image.id.clone(),
        layers: resolved.image.layers.clone(),
        instance_type: resolved.instance_type.name.to_string(),
        vpc: resolved.subnet.vpc.clone(),
        subnet: resolved.subnet.id.clone(),
        zone: resolved.subnet.zone.clone(),
        private_ip: Ipv4Addr::UNSPECIFIED,
        interface: String::new(),
        root_volume: String::new(),
        security_groups: resolved.security_groups.clone(),
        key_name: data.key_name.clone(),
        user_data: data.user_data.clone(),
        launched_at: view.now,
        tags,
        volume_tags: data.tags.get("volume").cloned().unwrap_or_default(),
        interface_tags: data.tags.get("network-interface").cloned().unwrap_or_default(),
        client_token: request.client_token.clone(),
        request_digest: request.request_digest.clone(),
        launch_template: request.template.clone(),
        metadata: metadata_options(&data.metadata),
        monitoring: data.monitoring.unwrap_or(false),
        disable_api_termination: data.disable_api_termination.unwrap_or(false),
        shutdown_behavior: data.shutdown_behavior.unwrap_or_default(),
        ebs_optimized: data.ebs_optimized.unwrap_or(false),
        cpu_credits: data.cpu_credits.clone(),
        root_device: data.block_devices.first().cloned().unwrap_or_default(),
        goal: Goal::Run,
        phase: Phase::Pending,
        generation: Generation(1),
        state_reason: None,
        transition_reason: String::new(),
        membership: request.group.clone().map(|(group, protected)| Membership {
            group,
            lifecycle: elastane_domain::lifecycle::LifecycleState::Pending,
            in_service_since: None,
            protected,
            unhealthy: None,
            activity: None,
        }),
    }
}

/// The options in force when some were chosen (ec2-imds.md 1): tokens are
/// optional and one hop is enough, unless the call says otherwise.
fn metadata_options(choice: &MetadataChoice) -> MetadataOptions {
    MetadataOptions {
        endpoint: choice.endpoint.unwrap_or(true),
        tokens_required: choice.tokens_required.unwrap_or(false),
        hop_limit: choice.hop_limit.unwrap_or(1),
        tags: choice.tags.unwrap_or(false),
    }
}

/// What a host needs to boot an instance. `None` when its subnet or type is
/// gone, which the API does not allow while it lives.
pub fn spec(view: &View<'_>, instance: &Instance) -> Option<LaunchSpec> {
    let subnet = view.get::<Subnet>(instance.subnet.as_str())?;
    let kind = instance_type(&instance.instance_type)?;
    let key = instance.key_name.as_ref().and_then(|name| view.get::<KeyPair>(name));
    Some(LaunchSpec {
        instance: instance.id.clone(),
        generation: instance.generation,
        account: view.scope.account.clone(),
        region: view.scope.region.clone(),
        layers: instance.layers.clone(),
        vpc: instance.vpc.clone(),
        subnet_cidr: (subnet.cidr.network(), subnet.cidr.prefix()),
        private_ip: instance.private_ip,
        hostname: host_name(instance.private_ip),
        cpu_millicores: 0,
        memory_mib: kind.memory_mib,
        user_data: instance.user_data.as_deref().and_then(|text| decode_user_data(text).ok()),
        ssh_public_key: key.map(|key| key.public_key.clone()),
    })
}

/// Enforced CPU of a type, in thousandths of a core.
pub fn millicores(instance_type_name: &str, vcpu_millicores: u32) -> u32 {
    let vcpus = instance_type(instance_type_name).map_or(1, |kind| kind.vcpus);
    vcpus.saturating_mul(vcpu_millicores).max(MILLICORES_MIN)
}

/// `ip-172-31-0-10` (EC2 User Guide, "Hostname types").
pub fn host_name(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}")
}
