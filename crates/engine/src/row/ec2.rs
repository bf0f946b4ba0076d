//! Rows of EC2: networks, images, launch templates, instances.

use super::{Tags, row};
use elastane_domain::group::UnhealthyCause;
use elastane_domain::id::*;
use elastane_domain::lifecycle::{InstanceState, LifecycleState};
use elastane_domain::machine::Generation;
use elastane_domain::network::Cidr;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A VPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Its range.
    pub cidr: Cidr,
    /// Whether it is the region's default VPC.
    pub default: bool,
    /// Tags.
    pub tags: Tags,
}
row!(Vpc, |row| row.id.to_string());

/// A subnet: a part of a VPC's range in one zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its zone.
    pub zone: Zone,
    /// Its range.
    pub cidr: Cidr,
    /// Whether it is its zone's default subnet.
    pub default: bool,
    /// Tags.
    pub tags: Tags,
}
row!(Subnet, |row| row.id.to_string());

/// A security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its name, unique within the VPC.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Rules, in the order of their creation.
    pub rules: Vec<SecurityGroupRule>,
    /// Tags.
    pub tags: Tags,
}
row!(SecurityGroup, |row| row.id.to_string());

/// One rule of a security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// `sgr-…`.
    pub id: String,
    /// Whether it is about traffic that leaves.
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, a protocol number, or `-1` for all.
    pub protocol: String,
    /// First port or ICMP type; -1 for all.
    pub from_port: i32,
    /// Last port or ICMP code; -1 for all.
    pub to_port: i32,
    /// Who it is about.
    pub peer: RulePeer,
    /// Its description.
    pub description: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// Who a security group rule is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RulePeer {
    /// An IPv4 range.
    Cidr(String),
    /// An IPv6 range.
    Cidr6(String),
    /// Members of another group.
    Group(SecurityGroupId),
}

/// A key pair; the private key is given out once and not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyPair {
    /// Its name.
    pub name: String,
    /// `key-…`.
    pub id: String,
    /// `rsa` or `ed25519`.
    pub key_type: String,
    /// As DescribeKeyPairs shows it.
    pub fingerprint: String,
    /// In OpenSSH's one-line form.
    pub public_key: String,
    /// When it was made.
    pub created_at: Time,
    /// Tags.
    pub tags: Tags,
}
row!(KeyPair, |row| row.name.clone());

/// A machine image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its name, unique within the scope.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Layers from the base upwards; its own is the last. Empty is the host's own root.
    pub layers: Vec<ImageId>,
    /// The instance that it was made from; `None` for the built-in image.
    pub source: Option<InstanceId>,
    /// When it was made.
    pub created_at: Time,
    /// How far it is.
    pub phase: ImagePhase,
    /// Whether its instance is stopped for the capture and booted again after it.
    #[serde(default)]
    pub reboot: bool,
    /// The snapshot that its root device shows.
    pub snapshot: String,
    /// Tags.
    pub tags: Tags,
    /// Tags of its snapshot.
    pub snapshot_tags: Tags,
}
row!(Image, |row| row.id.to_string());

/// How far an image is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ImagePhase {
    /// The host is told to capture it.
    Pending,
    /// Instances can be launched from it.
    Available {
        /// Size of its own layer.
        bytes: u64,
    },
    /// It could not be made.
    Failed {
        /// Why.
        reason: String,
    },
    /// Nothing new is launched from it; it stays while another image or an instance needs its layer.
    Deregistered,
}

/// A launch template with all its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchTemplate {
    /// Its id.
    pub id: LaunchTemplateId,
    /// Its name, unique within the scope.
    pub name: String,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
    /// The version that `$Default` means.
    pub default_version: u64,
    /// The highest version ever made; numbers are not used twice.
    pub latest_version: u64,
    /// Versions that exist, in ascending order.
    pub versions: Vec<LaunchTemplateVersion>,
    /// Tags.
    pub tags: Tags,
    /// The client token of its creation, if one was given.
    pub client_token: Option<String>,
}
row!(LaunchTemplate, |row| row.id.to_string());

impl LaunchTemplate {
    /// The version that `$Latest` means: the highest of those that exist.
    pub fn latest(&self) -> u64 {
        self.versions.last().map_or(self.latest_version, |version| version.number)
    }

    /// The version that `text` names: a number, `$Latest` or `$Default`.
    pub fn version(&self, text: &str) -> Option<&LaunchTemplateVersion> {
        let number = match text {
            "$Latest" => self.latest(),
            "$Default" | "" => self.default_version,
            number => number.parse().ok()?,
        };
        self.versions.iter().find(|version| version.number == number)
    }
}

/// One version of a launch template; it never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchTemplateVersion {
    /// Its number, from 1.
    pub number: u64,
    /// Its description.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
    /// What it says.
    pub data: LaunchData,
    /// The client token of its creation, if one was given.
    #[serde(default)]
    pub client_token: Option<String>,
}

/// What a launch template version or a RunInstances call says about the
/// instances to be; what it leaves out has no default here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchData {
    /// ImageId.
    pub image: Option<ImageId>,
    /// InstanceType.
    pub instance_type: Option<String>,
    /// KeyName.
    pub key_name: Option<String>,
    /// UserData, as base64.
    pub user_data: Option<String>,
    /// SecurityGroupIds, of the instance or of its primary interface.
    pub security_groups: Vec<SecurityGroupId>,
    /// SecurityGroups: names in the default VPC.
    pub security_group_names: Vec<String>,
    /// SubnetId, of the instance or of its primary interface.
    pub subnet: Option<SubnetId>,
    /// PrivateIpAddress.
    pub private_ip: Option<Ipv4Addr>,
    /// Whether the data named a primary network interface instead of instance-level members.
    pub by_interface: bool,
    /// AssociatePublicIpAddress of the primary interface; kept and shown.
    pub associate_public_ip: Option<bool>,
    /// DeleteOnTermination of the primary interface; kept and shown: it always goes.
    pub interface_delete_on_termination: Option<bool>,
    /// Placement.AvailabilityZone.
    pub zone: Option<Zone>,
    /// Monitoring.Enabled.
    pub monitoring: Option<bool>,
    /// DisableApiTermination.
    pub disable_api_termination: Option<bool>,
    /// InstanceInitiatedShutdownBehavior.
    pub shutdown_behavior: Option<ShutdownBehavior>,
    /// EbsOptimized; kept and shown.
    pub ebs_optimized: Option<bool>,
    /// CreditSpecification.CpuCredits; kept and shown.
    pub cpu_credits: Option<String>,
    /// MetadataOptions.
    pub metadata: MetadataChoice,
    /// TagSpecifications by resource type.
    pub tags: std::collections::BTreeMap<String, Tags>,
    /// BlockDeviceMappings; kept and shown.
    pub block_devices: Vec<BlockDevice>,
}

/// One block device mapping, kept and shown: the root device's size is not enforced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockDevice {
    /// DeviceName.
    pub device: String,
    /// Ebs.VolumeSize in GiB.
    pub size_gib: Option<i32>,
    /// Ebs.VolumeType.
    pub volume_type: Option<String>,
    /// Ebs.DeleteOnTermination.
    pub delete_on_termination: Option<bool>,
    /// Ebs.Encrypted.
    pub encrypted: Option<bool>,
    /// Ebs.Iops.
    pub iops: Option<i32>,
    /// Ebs.Throughput.
    pub throughput: Option<i32>,
}

/// MetadataOptions as far as they were given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetadataChoice {
    /// HttpEndpoint is `enabled`.
    pub endpoint: Option<bool>,
    /// HttpTokens is `required`.
    pub tokens_required: Option<bool>,
    /// HttpPutResponseHopLimit, 1 to 64.
    pub hop_limit: Option<u8>,
    /// InstanceMetadataTags is `enabled`.
    pub tags: Option<bool>,
}

/// MetadataOptions in force.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetadataOptions {
    /// HttpEndpoint is `enabled`.
    pub endpoint: bool,
    /// HttpTokens is `required`.
    pub tokens_required: bool,
    /// HttpPutResponseHopLimit, 1 to 64.
    pub hop_limit: u8,
    /// InstanceMetadataTags is `enabled`.
    pub tags: bool,
}

/// InstanceInitiatedShutdownBehavior.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownBehavior {
    /// The instance is stopped.
    #[default]
    Stop,
    /// The instance is terminated.
    Terminate,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// It should run.
    Run,
    /// It should be stopped.
    Stop,
    /// It should be terminated. Nothing leads back from here.
    Terminate,
}

/// What the world was told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// The host is told to boot it.
    Pending,
    /// It booted.
    Running,
    /// The host is told to stop it.
    Stopping,
    /// No process of it lives.
    Stopped,
    /// The host is told to end and remove it.
    ShuttingDown,
    /// Nothing of it is left.
    Terminated {
        /// Since when; an hour later the row goes.
        at: Time,
    },
}

impl Phase {
    /// EC2's name for it.
    pub fn state(self) -> InstanceState {
        match self {
            Phase::Pending => InstanceState::Pending,
            Phase::Running => InstanceState::Running,
            Phase::Stopping => InstanceState::Stopping,
            Phase::Stopped => InstanceState::Stopped,
            Phase::ShuttingDown => InstanceState::ShuttingDown,
            Phase::Terminated { .. } => InstanceState::Terminated,
        }
    }
}

/// `StateReason`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateReason {
    /// `Client.UserInitiatedShutdown` and the like.
    pub code: String,
    /// Usually the code, a colon and a sentence.
    pub message: String,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// `r-…`, shared by the instances of one call.
    pub reservation: String,
    /// Its place within the reservation, from 0.
    pub launch_index: u32,
    /// Its image.
    pub image: ImageId,
    /// The image's layers, from the base upwards.
    pub layers: Vec<ImageId>,
    /// Its type's name.
    pub instance_type: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its zone.
    pub zone: Zone,
    /// Its primary private address; released when it is terminated.
    pub private_ip: Ipv4Addr,
    /// `eni-…`.
    pub interface: String,
    /// `vol-…`.
    pub root_volume: String,
    /// Its security groups.
    pub security_groups: Vec<SecurityGroupId>,
    /// Its key pair.
    pub key_name: Option<String>,
    /// User data as base64.
    pub user_data: Option<String>,
    /// When it was launched, or last started.
    pub launched_at: Time,
    /// Tags.
    pub tags: Tags,
    /// Tags of its root volume.
    #[serde(default)]
    pub volume_tags: Tags,
    /// Tags of its network interface.
    #[serde(default)]
    pub interface_tags: Tags,
    /// The client token of its RunInstances call, if one was given.
    pub client_token: Option<String>,
    /// A digest of that call's parameters.
    pub request_digest: Option<String>,
    /// The launch template and version that it came from.
    pub launch_template: Option<(LaunchTemplateId, u64)>,
    /// Metadata options.
    pub metadata: MetadataOptions,
    /// Detailed monitoring.
    pub monitoring: bool,
    /// Termination protection.
    pub disable_api_termination: bool,
    /// What a shutdown from inside does.
    pub shutdown_behavior: ShutdownBehavior,
    /// EbsOptimized, as asked.
    pub ebs_optimized: bool,
    /// CreditSpecification.CpuCredits, as asked; credits are not counted.
    #[serde(default)]
    pub cpu_credits: Option<String>,
    /// The root device mapping, as asked; its size is not enforced.
    #[serde(default)]
    pub root_device: BlockDevice,
    /// What was asked for.
    pub goal: Goal,
    /// What the world was told.
    pub phase: Phase,
    /// The boot that should be (or was last) in force.
    pub generation: Generation,
    /// Why it is not running.
    pub state_reason: Option<StateReason>,
    /// `StateTransitionReason`: empty, or `User initiated (…)`.
    pub transition_reason: String,
    /// Its place in an Auto Scaling group.
    pub membership: Option<Membership>,
}
row!(Instance, |row| row.id.to_string());

/// An instance's place in an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The group.
    pub group: GroupName,
    /// How far it is.
    pub lifecycle: LifecycleState,
    /// When it was put in service.
    pub in_service_since: Option<Time>,
    /// Protected from scale in.
    pub protected: bool,
    /// Marked unhealthy, and by whom.
    pub unhealthy: Option<UnhealthyCause>,
    /// The activity that is moving it.
    pub activity: Option<String>,
}
