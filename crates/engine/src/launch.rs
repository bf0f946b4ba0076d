//! Launching: from what a call or a template says to instance rows, with
//! EC2's checks, codes and texts. RunInstances and Auto Scaling groups come
//! through here alike.

mod interfaces;
pub mod mixed;
pub mod placement;
mod resolve;
mod spot;

pub use interfaces::check_network;
pub use resolve::{check_tag_keys, profile};

use crate::network::AddressPlan;
use crate::reconcile::network::resolver_settings;
use crate::row::*;
use crate::state::{Tx, View};
use base64::Engine as _;
use elastane_domain::id::*;
use elastane_domain::machine::{Generation, LaunchSpec};
use elastane_domain::types::instance_type;
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

/// The system tag of instances that share the host's network, where security
/// groups cannot be enforced: whoever describes them is told.
pub const UNFILTERED_TAG: (&str, &str) = ("aws:elastane:security-groups", "not enforced by the process driver");

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
    /// The place in an Auto Scaling group that each of the instances gets.
    pub membership: Option<Membership>,
}

/// Launches instances and returns their ids, all of one reservation: as many
/// of `count_max` as there is room for, or none.
pub fn launch(tx: &mut Tx<'_>, request: &Request) -> Result<Vec<InstanceId>, Refusal> {
    let view = tx.view();
    check_counts(&view, request)?;
    let data = &request.data;
    let resolved = resolve::all(&view, tx.config.addresses, data)?;
    interfaces::check_single(&resolved.cards, request.count_max)?;
    let wanted = (resolved.instance_type.name, request.count_min);
    let room = placement::room(&view, resolved.zone(), resolved.group, wanted)?;
    let counts = (request.count_min, request.count_max.min(room));
    let addresses = interfaces::addresses(&view, &resolved.cards, counts)?;
    let mut template = instance_template(&view, &resolved, request);
    if tx.config.addresses == AddressPlan::Loopback {
        template.tags.insert(UNFILTERED_TAG.0.to_string(), UNFILTERED_TAG.1.to_string());
    }
    let cards = resolved.cards.clone();
    let group = resolved.group.cloned();
    let reservation = tx.rng.id("r-");
    let mut ids = Vec::new();
    let mut public = None;
    for (index, addresses) in addresses.into_iter().enumerate() {
        let id = InstanceId::from(tx.rng.id(InstanceId::PREFIX));
        let private_ip = addresses[0][0];
        let mut made = cards.iter().zip(addresses).map(|one| interfaces::put(tx, &id, one, &mut public));
        let interface = made.next().expect("a launch has a primary interface");
        made.for_each(drop);
        let root_volume = tx.rng.id("vol-");
        let partition =
            group.as_ref().and_then(|group| placement::partition(&tx.view(), group, data.placement.partition));
        let profile = template.profile.clone().map(|own| ProfileAssociation { id: tx.rng.id("iip-assoc-"), ..own });
        let spot_request = data.spot.as_ref().map(|choice| spot::put_active(tx, choice, data, &id));
        tx.put(Instance {
            id: id.clone(),
            reservation: reservation.clone(),
            launch_index: index as u32,
            private_ip,
            interface,
            root_volume,
            partition,
            profile,
            spot_request,
            ..template.clone()
        });
        ids.push(id);
    }
    Ok(ids)
}

/// Whether a call with this data would be accepted, capacity aside, with
/// nothing changed: what a group checks when its template is set.
pub fn check(tx: &Tx<'_>, data: &LaunchData) -> Result<(), Refusal> {
    resolve::all(&tx.view(), tx.config.addresses, data).map(|_| ())
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
    Ok(())
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

/// An instance with everything but its own identity.
fn instance_template(view: &View<'_>, resolved: &resolve::Resolved<'_>, request: &Request) -> Instance {
    let data = &request.data;
    let mut tags = data.tags.get("instance").cloned().unwrap_or_default();
    if let Some((template, version)) = &request.template {
        tags.insert("aws:ec2launchtemplate:id".to_string(), template.to_string());
        tags.insert("aws:ec2launchtemplate:version".to_string(), version.to_string());
    }
    if let Some(membership) = &request.membership {
        tags.insert("aws:autoscaling:groupName".to_string(), membership.group.to_string());
    }
    Instance {
        id: InstanceId::from(""),
        reservation: String::new(),
        launch_index: 0,
        image: resolved.image.id.clone(),
        layers: resolved.image.layers.clone(),
        instance_type: resolved.instance_type.name.to_string(),
        vpc: interfaces::vpc(&resolved.cards).clone(),
        subnet: resolved.cards[0].subnet.clone(),
        zone: resolved.zone().clone(),
        private_ip: Ipv4Addr::UNSPECIFIED,
        interface: String::new(),
        root_volume: String::new(),
        key_name: data.key_name.clone(),
        user_data: data.user_data.clone(),
        launched_at: view.now,
        tags,
        volume_tags: data.tags.get("volume").cloned().unwrap_or_default(),
        client_token: request.client_token.clone(),
        request_digest: request.request_digest.clone(),
        launch_template: request.template.clone(),
        metadata: resolved.metadata,
        monitoring: data.monitoring.unwrap_or(false),
        disable_api_termination: data.disable_api_termination.unwrap_or(false),
        disable_api_stop: data.disable_api_stop.unwrap_or(false),
        shutdown_behavior: data.shutdown_behavior.unwrap_or_default(),
        ebs_optimized: data.ebs_optimized.unwrap_or(false),
        cpu_credits: data.cpu_credits.clone(),
        spot_request: None,
        placement_group: resolved.group.map(|group| group.name.clone()),
        partition: None,
        profile: resolved.profile.map(|profile| ProfileAssociation {
            id: String::new(),
            profile: profile.name.clone(),
            since: view.now,
        }),
        interruption: None,
        root_device: resolve::root_device(resolved.image, data),
        volume_change: None,
        private_dns: resolved.private_dns,
        no_auto_recovery: data.auto_recovery == Some(false),
        no_capacity_reservation: data.capacity_reservation.as_deref() == Some("none"),
        goal: Goal::Run,
        phase: Phase::Pending,
        generation: Generation(1),
        state_reason: None,
        transition_reason: String::new(),
        membership: request.membership.clone(),
        detached: false,
    }
}

/// What a host needs to boot an instance. `None` when its subnet or type is
/// gone, which the API does not allow while it lives.
pub fn spec(view: &View<'_>, instance: &Instance) -> Option<LaunchSpec> {
    let subnet = view.get::<Subnet>(instance.subnet.as_str())?;
    let kind = instance_type(&instance.instance_type)?;
    let key = instance.key_name.as_ref().and_then(|name| view.get::<KeyPair>(name));
    let (name_servers, search_domain) = resolver_settings(view, &instance.vpc);
    Some(LaunchSpec {
        instance: instance.id.clone(),
        generation: instance.generation,
        account: view.scope.account.clone(),
        region: view.scope.region.clone(),
        layers: instance.layers.clone(),
        vpc: instance.vpc.clone(),
        subnet_cidr: (subnet.cidr.network(), subnet.cidr.prefix()),
        private_ip: instance.private_ip,
        hostname: short_name(instance),
        cpu_millicores: 0,
        memory_mib: kind.memory_mib,
        user_data: instance.user_data.as_deref().and_then(|text| decode_user_data(text).ok()),
        ssh_public_key: key.map(|key| key.public_key.clone()),
        name_servers,
        search_domain,
    })
}

/// The instance's host name without a domain: its id where that was chosen,
/// else one made of its private address (EC2 User Guide, "Hostname types").
pub fn short_name(instance: &Instance) -> String {
    if instance.private_dns.resource_name { instance.id.to_string() } else { host_name(instance.private_ip) }
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
