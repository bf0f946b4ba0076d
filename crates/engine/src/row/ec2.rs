//! Rows of EC2: images, launch templates, instances. Networks are in [`super::network`].

use super::{Tags, row};
use elastane_domain::group::UnhealthyCause;
use elastane_domain::hooks::{Arrival, LifecycleAction};
use elastane_domain::id::*;
use elastane_domain::lifecycle::{InstanceState, LifecycleState};
use elastane_domain::machine::Generation;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

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
    /// The snapshot that its root device shows; its tags are that row's.
    pub snapshot: String,
    /// What it says of itself and who may launch it.
    #[serde(default)]
    pub details: ImageDetails,
    /// Tags.
    pub tags: Tags,
}
row!(Image, |row| row.id.to_string());

/// What an image says of itself besides its layers, and who may launch it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageDetails {
    /// How it came here.
    pub origin: ImageOrigin,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Its root device as the API shows it; a size is not enforced.
    pub root: BlockDevice,
    /// BootMode, kept and shown.
    pub boot_mode: Option<String>,
    /// EnaSupport, kept and shown.
    pub ena_support: bool,
    /// SriovNetSupport, kept and shown.
    pub sriov_net_support: Option<String>,
    /// ImdsSupport is `v2.0`: instances require tokens unless their launch says otherwise.
    pub imds_v2: bool,
    /// From when on it is shown to its owner only, and is no longer recommended.
    pub deprecated_at: Option<Time>,
    /// Every account of the installation may launch it.
    pub public: bool,
    /// Accounts that may launch it besides its owner.
    pub launch_accounts: std::collections::BTreeSet<AccountId>,
    /// The client token of the call that made it.
    pub client_token: Option<String>,
}

impl Default for ImageDetails {
    fn default() -> ImageDetails {
        ImageDetails {
            origin: ImageOrigin::default(),
            architecture: "x86_64".to_string(),
            root: BlockDevice::default(),
            boot_mode: None,
            ena_support: true,
            sriov_net_support: None,
            imds_v2: false,
            deprecated_at: None,
            public: false,
            launch_accounts: std::collections::BTreeSet::new(),
            client_token: None,
        }
    }
}

/// How an image came here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum ImageOrigin {
    /// Captured from an instance, or the built-in one.
    #[default]
    Captured,
    /// No image for anybody: the capture that fills a snapshot. It is gone with the snapshot.
    Snapshot,
    /// Registered from a snapshot.
    Registered,
    /// A copy of this image of this region.
    Copied(ImageId, Region),
    /// Imported from a file or a registry: from what, as it was named.
    Imported(String),
}

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
    /// Launch template data as it was sent, in JSON by the members' names in
    /// the API: what is shown. Empty for a call.
    pub said: String,
    /// ImageId.
    pub image: Option<ImageId>,
    /// ImageId as `resolve:ssm:…`: the parameter's name, with its version or
    /// label if one is named. It is looked up at each launch.
    pub image_parameter: Option<String>,
    /// InstanceType.
    pub instance_type: Option<String>,
    /// KeyName.
    pub key_name: Option<String>,
    /// UserData, as base64.
    pub user_data: Option<String>,
    /// SecurityGroupIds of the instance.
    pub security_groups: Vec<SecurityGroupId>,
    /// SecurityGroups: names in the VPC.
    pub security_group_names: Vec<String>,
    /// SubnetId of the instance.
    pub subnet: Option<SubnetId>,
    /// PrivateIpAddress of the instance.
    pub private_ip: Option<Ipv4Addr>,
    /// NetworkInterfaces; they exclude the four members above.
    pub interfaces: Vec<InterfaceChoice>,
    /// Placement.
    pub placement: PlacementChoice,
    /// Monitoring.Enabled.
    pub monitoring: Option<bool>,
    /// DisableApiTermination.
    pub disable_api_termination: Option<bool>,
    /// DisableApiStop.
    pub disable_api_stop: Option<bool>,
    /// InstanceInitiatedShutdownBehavior.
    pub shutdown_behavior: Option<ShutdownBehavior>,
    /// EbsOptimized; kept and shown.
    pub ebs_optimized: Option<bool>,
    /// CreditSpecification.CpuCredits.
    pub cpu_credits: Option<String>,
    /// CpuOptions as (CoreCount, ThreadsPerCore): those of the type, or none.
    pub cpu_options: Option<(i32, i32)>,
    /// MetadataOptions.
    pub metadata: MetadataChoice,
    /// PrivateDnsNameOptions.
    pub private_dns: PrivateDnsChoice,
    /// IamInstanceProfile: a name or an ARN.
    pub profile: Option<String>,
    /// InstanceMarketOptions of a spot instance.
    pub spot: Option<SpotChoice>,
    /// MaintenanceOptions.AutoRecovery is not `disabled`; kept and shown.
    pub auto_recovery: Option<bool>,
    /// CapacityReservationPreference; kept and shown, as there are no reservations.
    pub capacity_reservation: Option<String>,
    /// TagSpecifications by resource type.
    pub tags: std::collections::BTreeMap<String, Tags>,
    /// BlockDeviceMappings; kept and shown.
    pub block_devices: Vec<BlockDevice>,
}

/// One of NetworkInterfaces: a new interface, or one that exists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceChoice {
    /// DeviceIndex; 0 is the primary interface.
    pub device: u16,
    /// NetworkInterfaceId of one that exists.
    pub existing: Option<String>,
    /// SubnetId.
    pub subnet: Option<SubnetId>,
    /// Groups.
    pub groups: Vec<SecurityGroupId>,
    /// Description.
    pub description: String,
    /// The primary private address, if one is named.
    pub primary: Option<Ipv4Addr>,
    /// Secondary private addresses that are named.
    pub secondary: Vec<Ipv4Addr>,
    /// SecondaryPrivateIpAddressCount: so many more, of our choice.
    pub secondary_count: u16,
    /// AssociatePublicIpAddress.
    pub public: Option<bool>,
    /// DeleteOnTermination.
    pub delete_on_termination: Option<bool>,
}

/// Placement, as far as it was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlacementChoice {
    /// AvailabilityZone.
    pub zone: Option<Zone>,
    /// AvailabilityZoneId.
    pub zone_id: Option<String>,
    /// GroupName.
    pub group: Option<String>,
    /// GroupId.
    pub group_id: Option<String>,
    /// PartitionNumber.
    pub partition: Option<i32>,
}

/// PrivateDnsNameOptions, as far as they were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PrivateDnsChoice {
    /// HostnameType is `resource-name`.
    pub resource_name: Option<bool>,
    /// EnableResourceNameDnsARecord.
    pub a_record: Option<bool>,
    /// EnableResourceNameDnsAAAARecord; kept and shown.
    pub aaaa_record: Option<bool>,
}

/// PrivateDnsNameOptions in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateDns {
    /// HostnameType is `resource-name`: the host name is the instance's id.
    pub resource_name: bool,
    /// Whether that name leads to the private address.
    pub a_record: bool,
    /// EnableResourceNameDnsAAAARecord; kept and shown.
    pub aaaa_record: bool,
}

/// What a launch asks of the spot market.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpotChoice {
    /// SpotInstanceType is `persistent`.
    pub persistent: bool,
    /// InstanceInterruptionBehavior.
    pub behavior: InterruptionBehavior,
    /// MaxPrice, as given.
    pub price: Option<String>,
    /// ValidUntil.
    pub valid_until: Option<Time>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Its primary network interface, `eni-…`; groups and public addresses are that one's.
    pub interface: String,
    /// `vol-…`.
    pub root_volume: String,
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
    /// CreditSpecification.CpuCredits, as asked.
    #[serde(default)]
    pub cpu_credits: Option<String>,
    /// Its spot request, `sir-…`, if it is a spot instance.
    #[serde(default)]
    pub spot_request: Option<String>,
    /// Its placement group's name.
    #[serde(default)]
    pub placement_group: Option<String>,
    /// Its instance profile.
    #[serde(default)]
    pub profile: Option<ProfileAssociation>,
    /// When it will be interrupted, if it was marked for interruption: the
    /// time in its spot notice.
    #[serde(default)]
    pub interruption: Option<Time>,
    /// The root device mapping, as asked; its size is not enforced.
    #[serde(default)]
    pub root_device: BlockDevice,
    /// The last ModifyVolume of its root volume.
    #[serde(default)]
    pub volume_change: Option<VolumeChange>,
    /// Stop protection.
    #[serde(default)]
    pub disable_api_stop: bool,
    /// The partition of its placement group.
    #[serde(default)]
    pub partition: Option<i32>,
    /// Private DNS names.
    #[serde(default)]
    pub private_dns: PrivateDns,
    /// MaintenanceOptions.AutoRecovery is `disabled`; kept and shown.
    #[serde(default)]
    pub no_auto_recovery: bool,
    /// CapacityReservationPreference is `none`; kept and shown.
    #[serde(default)]
    pub no_capacity_reservation: bool,
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
    /// The last group that it was in let it go alive.
    #[serde(default)]
    pub detached: bool,
}
row!(Instance, |row| row.id.to_string());

/// A ModifyVolume of a root volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeChange {
    /// What the volume was.
    pub from: VolumeFigures,
    /// What it is since.
    pub to: VolumeFigures,
    /// When it was asked for.
    pub at: Time,
}

/// What a volume is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFigures {
    /// Size in GiB.
    pub size_gib: i32,
    /// Type.
    pub volume_type: String,
    /// IOPS, for types that have them.
    pub iops: Option<i32>,
    /// Throughput in MiB/s, for types that have it.
    pub throughput: Option<i32>,
}

/// The association of an instance with an instance profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileAssociation {
    /// `iip-assoc-…`.
    pub id: String,
    /// The profile's name.
    pub profile: String,
    /// Since when.
    pub since: Time,
}

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
    /// What it waits for because of life-cycle hooks.
    #[serde(default)]
    pub actions: Vec<LifecycleAction>,
    /// Since when it is in the state that it is in.
    #[serde(default)]
    pub since: Time,
    /// The launch configuration that it was launched from.
    #[serde(default)]
    pub launch_configuration: Option<String>,
    /// Its WeightedCapacity: what it counts for.
    #[serde(default = "one")]
    pub weight: u32,
    /// How it came onto the way that it is on.
    #[serde(default)]
    pub arrival: Arrival,
    /// The cooldown of its termination has begun already, at the end of its
    /// draining: neither hooks nor EC2 prolong it (autoscaling.md 7.2).
    #[serde(default)]
    pub cooldown_begun: bool,
}

fn one() -> u32 {
    1
}

impl Membership {
    /// A new member of a group: launched for it, or for its warm pool.
    pub fn new(group: GroupName, lifecycle: LifecycleState, now: Time) -> Membership {
        Membership {
            group,
            lifecycle,
            in_service_since: None,
            protected: false,
            unhealthy: None,
            activity: None,
            actions: Vec::new(),
            since: now,
            launch_configuration: None,
            weight: one(),
            arrival: Arrival::Launched,
            cooldown_begun: false,
        }
    }

    /// The member goes to another state.
    pub fn enter(&mut self, lifecycle: LifecycleState, now: Time) {
        (self.lifecycle, self.since) = (lifecycle, now);
    }
}

/// A spot instance request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpotRequest {
    /// `sir-…`.
    pub id: String,
    /// The instance that fulfils it.
    pub instance: Option<InstanceId>,
    /// What is launched when it is fulfilled (again).
    pub data: LaunchData,
    /// `persistent` instead of `one-time`.
    pub persistent: bool,
    /// What an interruption does.
    pub behavior: InterruptionBehavior,
    /// The highest price, as given.
    pub price: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When `phase` last changed.
    pub changed_at: Time,
    /// ValidUntil.
    pub valid_until: Option<Time>,
    /// How far it is.
    pub phase: SpotPhase,
    /// The client token of its creation, if one was given.
    pub client_token: Option<String>,
    /// Tags.
    pub tags: Tags,
}
row!(SpotRequest, |row| row.id.clone());

/// `InstanceInterruptionBehavior`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterruptionBehavior {
    /// The instance is terminated.
    #[default]
    Terminate,
    /// The instance is stopped.
    Stop,
}

/// How far a spot request is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpotPhase {
    /// It waits for its instance.
    Open,
    /// Its instance lives.
    Active,
    /// Its instance was stopped or terminated, or it was cancelled with it.
    Closed,
    /// It was cancelled; its instance may live on.
    Cancelled,
}

/// Settings of an account in a region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountSettings {
    /// ModifyInstanceMetadataDefaults: what a launch that says nothing gets.
    pub metadata: MetadataChoice,
    /// HttpTokensEnforced: instances without required tokens are refused;
    /// `None` for no preference.
    pub tokens_enforced: Option<bool>,
}
row!(AccountSettings, |_row| AccountSettings::ID.to_string());

impl AccountSettings {
    /// The id of the only row that there is in a scope.
    pub const ID: &str = "settings";
}

/// A snapshot: the layers that a root device had when it was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `snap-…`.
    pub id: String,
    /// The volume that it was taken of; empty for an imported or built-in one.
    pub volume: String,
    /// Its description.
    pub description: String,
    /// Layers from the base upwards.
    pub layers: Vec<ImageId>,
    /// The image whose capture fills it; `completed` when that one is done.
    pub image: Option<ImageId>,
    /// Size of the volume in GiB.
    pub size_gib: i32,
    /// When it was begun.
    pub started_at: Time,
    /// Tags.
    pub tags: Tags,
}
row!(Snapshot, |row| row.id.clone());
