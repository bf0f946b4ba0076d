//! An instance as answers show it, and what filters see of it. Nothing is
//! looked up twice, as DescribeInstances is what every client polls.

use super::interface_shape::{self, Cards};
use super::network::truth;
use super::tag_rules;
use elastane_domain::lifecycle::InstanceState;
use elastane_domain::types::instance_type;
use elastane_engine::launch::short_name;
use elastane_engine::row::*;
use elastane_engine::{View, identity, metadata};
use elastane_wire::{Timestamp, ec2 as wire};

/// The root device's name: its image's.
pub fn root_device_name(instance: &Instance) -> &str {
    match instance.root_device.device.as_str() {
        "" => elastane_engine::images::ROOT_DEVICE,
        name => name,
    }
}

/// Names that [`filter_values`] answers.
pub const FILTERS: &[&str] = &[
    "affinity",
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "client-token",
    "current-instance-boot-mode",
    "dns-name",
    "group-id",
    "group-name",
    "hibernation-options.configured",
    "host-id",
    "hypervisor",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "ipv6-address",
    "kernel-id",
    "key-name",
    "launch-index",
    "launch-time",
    "maintenance-options.auto-recovery",
    "metadata-options.http-endpoint",
    "metadata-options.http-put-response-hop-limit",
    "metadata-options.http-tokens",
    "metadata-options.instance-metadata-tags",
    "monitoring-state",
    "network-interface.addresses.association.allocation-id",
    "network-interface.addresses.association.association-id",
    "network-interface.addresses.association.carrier-ip",
    "network-interface.addresses.association.ip-owner-id",
    "network-interface.addresses.association.owner-id",
    "network-interface.addresses.association.public-dns-name",
    "network-interface.addresses.association.public-ip",
    "network-interface.addresses.primary",
    "network-interface.addresses.private-dns-name",
    "network-interface.addresses.private-ip-address",
    "network-interface.association.allocation-id",
    "network-interface.association.association-id",
    "network-interface.association.carrier-ip",
    "network-interface.association.ip-owner-id",
    "network-interface.association.public-dns-name",
    "network-interface.association.public-ip",
    "network-interface.attachment.attach-time",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.delete-on-termination",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.instance-owner-id",
    "network-interface.attachment.network-card-index",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.availability-zone-id",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.interface-type",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.outpost-arn",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
    "network-interface.public-dns-name",
    "network-interface.requester-id",
    "network-interface.requester-managed",
    "network-interface.source-dest-check",
    "network-interface.status",
    "network-interface.subnet-id",
    "network-interface.vpc-id",
    "owner-id",
    "placement-group-name",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-ip-address",
    "reason",
    "requester-id",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "spot-instance-request-id",
    "state-reason-code",
    "state-reason-message",
    "subnet-id",
    "tenancy",
    "usage-operation",
    "virtualization-type",
    "vpc-id",
];

/// A state as answers show it.
pub fn state(state: InstanceState) -> wire::InstanceState {
    wire::InstanceState { code: Some(i32::from(state.code())), name: word(state.name()) }
}

/// The instance's name within its region's private domain; empty once its
/// address is released.
pub fn private_dns_name(view: &View<'_>, instance: &Instance) -> String {
    format!("{}.{}", short_name(instance), view.scope.private_domain())
}

/// The instance as DescribeInstances shows it. Addresses, devices and groups
/// of a terminated one are gone.
pub fn shown(view: &Cards<'_>, instance: &Instance) -> wire::Instance {
    let gone = matches!(instance.phase, Phase::Terminated { .. });
    let groups = if gone { Vec::new() } else { groups(view, instance) };
    let launched = Timestamp(instance.launched_at.millis());
    let dns_name = if gone { String::new() } else { private_dns_name(view, instance) };
    let public = view.public_of(instance);
    wire::Instance {
        ami_launch_index: i32::try_from(instance.launch_index).ok(),
        architecture: word("x86_64"),
        block_device_mappings: if gone { Vec::new() } else { vec![root_device(instance)] },
        capacity_reservation_specification: Some(wire::CapacityReservationSpecificationResponse {
            capacity_reservation_preference: word(if instance.no_capacity_reservation { "none" } else { "open" }),
            ..Default::default()
        }),
        client_token: Some(instance.client_token.clone().unwrap_or_default()),
        cpu_options: Some(cpu_options(instance)),
        ebs_optimized: Some(instance.ebs_optimized),
        ena_support: Some(true),
        enclave_options: Some(wire::EnclaveOptions { enabled: Some(false) }),
        hibernation_options: Some(wire::HibernationOptions { configured: Some(false) }),
        hypervisor: word("xen"),
        iam_instance_profile: profile(view, instance).filter(|_| !gone),
        image_id: Some(instance.image.to_string()),
        instance_id: Some(instance.id.to_string()),
        instance_lifecycle: instance.spot_request.as_ref().and_then(|_| word(SPOT)),
        instance_type: Some(instance.instance_type.clone()),
        key_name: instance.key_name.clone(),
        launch_time: Some(launched),
        maintenance_options: Some(wire::InstanceMaintenanceOptions {
            auto_recovery: word(auto_recovery(instance)),
            ..Default::default()
        }),
        metadata_options: Some(metadata_options(&instance.metadata)),
        monitoring: Some(wire::Monitoring { state: word(monitoring(instance)), ..Default::default() }),
        network_interfaces: view
            .interfaces(instance)
            .map(|row| interface_shape::shown_on_instance(view, row))
            .collect(),
        placement: Some(placement(view, instance)),
        platform_details: word("Linux/UNIX"),
        private_dns_name_options: (!gone).then(|| private_dns_options(instance)),
        private_dns_name: Some(dns_name),
        private_ip_address: (!gone).then(|| instance.private_ip.to_string()),
        public_dns_name: word(public.as_ref().map_or("", |public| &public.dns_name)),
        public_ip_address: public.map(|public| public.ip.to_string()),
        root_device_name: word(root_device_name(instance)),
        root_device_type: word("ebs"),
        security_groups: groups,
        source_dest_check: view.interfaces(instance).next().map(|row| row.source_dest_check),
        spot_instance_request_id: instance.spot_request.clone(),
        state: Some(state(instance.phase.state())),
        state_reason: state_reason(instance),
        state_transition_reason: Some(instance.transition_reason.clone()),
        subnet_id: (!gone).then(|| instance.subnet.to_string()),
        tags: tag_rules::shown(&instance.tags),
        usage_operation: word("RunInstances"),
        usage_operation_update_time: Some(launched),
        virtualization_type: word("hvm"),
        vpc_id: (!gone).then(|| instance.vpc.to_string()),
        ..Default::default()
    }
}

/// `instanceLifecycle` of a spot instance; others have none.
const SPOT: &str = "spot";

fn auto_recovery(instance: &Instance) -> &'static str {
    if instance.no_auto_recovery { "disabled" } else { "default" }
}

fn placement(view: &View<'_>, instance: &Instance) -> wire::Placement {
    let group = instance.placement_group.as_deref();
    wire::Placement {
        availability_zone: Some(instance.zone.to_string()),
        group_id: group.and_then(|name| view.get::<PlacementGroup>(name)).map(|group| group.id.clone()),
        group_name: word(group.unwrap_or_default()),
        partition_number: instance.partition,
        tenancy: word("default"),
        ..Default::default()
    }
}

fn private_dns_options(instance: &Instance) -> wire::PrivateDnsNameOptionsResponse {
    wire::PrivateDnsNameOptionsResponse {
        enable_resource_name_dns_aaaa_record: Some(instance.private_dns.aaaa_record),
        enable_resource_name_dns_a_record: Some(instance.private_dns.a_record),
        hostname_type: word(if instance.private_dns.resource_name { "resource-name" } else { "ip-name" }),
    }
}

/// ARN and id of an instance profile by its name; the ARN alone, with the
/// default path, once the profile is gone.
pub fn profile_shown(view: &View<'_>, name: &str) -> wire::IamInstanceProfile {
    let row = identity::profile(view, name);
    let gone = || format!("arn:aws:iam::{}:instance-profile/{name}", view.scope.account);
    wire::IamInstanceProfile {
        arn: Some(row.map_or_else(gone, |row| identity::profile_arn(&view.scope.account, row))),
        id: row.map(|row| row.id.clone()),
    }
}

fn profile(view: &View<'_>, instance: &Instance) -> Option<wire::IamInstanceProfile> {
    instance.profile.as_ref().map(|association| profile_shown(view, &association.profile))
}

fn cpu_options(instance: &Instance) -> wire::CpuOptions {
    let kind = instance_type(&instance.instance_type);
    wire::CpuOptions {
        core_count: i32::try_from(kind.map_or(1, |kind| kind.cores)).ok(),
        threads_per_core: kind.and_then(|kind| i32::try_from(kind.vcpus / kind.cores.max(1)).ok()),
        ..Default::default()
    }
}

fn word(text: &str) -> Option<String> {
    Some(text.to_string())
}

fn monitoring(instance: &Instance) -> &'static str {
    if instance.monitoring { "enabled" } else { "disabled" }
}

/// `StateReason`: a pending instance says so (ec2-imds.md 6).
fn state_reason(instance: &Instance) -> Option<wire::StateReason> {
    match (&instance.phase, &instance.state_reason) {
        (Phase::Pending, None) => Some(wire::StateReason { code: word("pending"), message: word("pending") }),
        (_, reason) => reason
            .as_ref()
            .map(|reason| wire::StateReason { code: Some(reason.code.clone()), message: Some(reason.message.clone()) }),
    }
}

/// Ids of its primary interface's security groups.
pub fn group_ids<'a>(view: &View<'a>, instance: &Instance) -> &'a [elastane_domain::id::SecurityGroupId] {
    elastane_engine::network::primary_interface(view, instance).map_or(&[], |interface| interface.groups.as_slice())
}

/// Ids and names of its security groups.
pub fn groups(view: &View<'_>, instance: &Instance) -> Vec<wire::GroupIdentifier> {
    interface_shape::groups(view, group_ids(view, instance))
}

/// Its root device.
pub fn root_device(instance: &Instance) -> wire::InstanceBlockDeviceMapping {
    wire::InstanceBlockDeviceMapping {
        device_name: word(root_device_name(instance)),
        ebs: Some(wire::EbsInstanceBlockDevice {
            attach_time: Some(Timestamp(instance.launched_at.millis())),
            delete_on_termination: Some(true),
            status: word("attached"),
            volume_id: Some(instance.root_volume.clone()),
            ..Default::default()
        }),
    }
}

pub fn metadata_options(options: &MetadataOptions) -> wire::InstanceMetadataOptionsResponse {
    let on = |on: bool| word(if on { "enabled" } else { "disabled" });
    wire::InstanceMetadataOptionsResponse {
        http_endpoint: on(options.endpoint),
        http_protocol_ipv6: on(false),
        http_put_response_hop_limit: Some(i32::from(options.hop_limit)),
        http_tokens: word(tokens(options)),
        instance_metadata_tags: on(options.tags),
        state: word("applied"),
    }
}

fn tokens(options: &MetadataOptions) -> &'static str {
    if options.tokens_required { "required" } else { "optional" }
}

/// Emits the values that an instance has for a filter's name.
pub fn filter_values(view: &Cards<'_>, instance: &Instance, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "architecture" => emit("x86_64"),
        "client-token" => emit(instance.client_token.as_deref().unwrap_or_default()),
        "hibernation-options.configured" => emit("false"),
        "hypervisor" => emit("xen"),
        "image-id" => emit(instance.image.as_str()),
        "instance-id" => emit(instance.id.as_str()),
        "instance-lifecycle" => instance.spot_request.iter().for_each(|_| emit(SPOT)),
        "instance-state-code" => emit(&instance.phase.state().code().to_string()),
        "instance-state-name" => emit(instance.phase.state().name()),
        "instance-type" => emit(&instance.instance_type),
        "key-name" => instance.key_name.iter().for_each(|key| emit(key)),
        "launch-index" => emit(&instance.launch_index.to_string()),
        "launch-time" => emit(&instance.launched_at.iso_millis()),
        "maintenance-options.auto-recovery" => emit(auto_recovery(instance)),
        "metadata-options.http-endpoint" => emit(if instance.metadata.endpoint { "enabled" } else { "disabled" }),
        "metadata-options.http-put-response-hop-limit" => emit(&instance.metadata.hop_limit.to_string()),
        "metadata-options.http-tokens" => emit(tokens(&instance.metadata)),
        "metadata-options.instance-metadata-tags" => emit(if instance.metadata.tags { "enabled" } else { "disabled" }),
        "monitoring-state" => emit(monitoring(instance)),
        "owner-id" => emit(view.scope.account.as_str()),
        "placement-group-name" => instance.placement_group.iter().for_each(|name| emit(name)),
        "spot-instance-request-id" => instance.spot_request.iter().for_each(|id| emit(id)),
        "platform-details" => emit("Linux/UNIX"),
        "reason" => emit(&instance.transition_reason),
        "reservation-id" => emit(&instance.reservation),
        "root-device-name" => emit(root_device_name(instance)),
        "root-device-type" => emit("ebs"),
        "state-reason-code" => instance.state_reason.iter().for_each(|reason| emit(&reason.code)),
        "state-reason-message" => instance.state_reason.iter().for_each(|reason| emit(&reason.message)),
        "tenancy" => emit("default"),
        "usage-operation" => emit("RunInstances"),
        "virtualization-type" => emit("hvm"),
        "availability-zone" => emit(instance.zone.as_str()),
        "availability-zone-id" => emit(&metadata::zone_id(instance.zone.as_str(), view.scope.region.as_str())),
        // What follows falls away with a terminated instance's devices.
        _ if matches!(instance.phase, Phase::Terminated { .. }) => {}
        _ => device_values(view, instance, name, emit),
    }
}

fn device_values(view: &Cards<'_>, instance: &Instance, name: &str, emit: &mut dyn FnMut(&str)) {
    if let Some(name) = name.strip_prefix("network-interface.") {
        return view.interfaces(instance).for_each(|row| interface_shape::filter_values(view, row, name, emit));
    }
    match name {
        "block-device-mapping.attach-time" => emit(&instance.launched_at.iso_millis()),
        "block-device-mapping.delete-on-termination" => emit("true"),
        "block-device-mapping.device-name" => emit(root_device_name(instance)),
        "block-device-mapping.status" => emit("attached"),
        "block-device-mapping.volume-id" => emit(&instance.root_volume),
        "dns-name" => view.public_of(instance).iter().for_each(|public| emit(&public.dns_name)),
        "group-id" | "instance.group-id" => group_ids(view, instance).iter().for_each(|id| emit(id.as_str())),
        "group-name" | "instance.group-name" => {
            groups(view, instance).iter().filter_map(|group| group.group_name.as_deref()).for_each(emit);
        }
        "iam-instance-profile.arn" => {
            profile(view, instance).and_then(|profile| profile.arn).iter().for_each(|arn| emit(arn));
        }
        "iam-instance-profile.id" => {
            profile(view, instance).and_then(|profile| profile.id).iter().for_each(|id| emit(id));
        }
        "ip-address" => view.public_of(instance).iter().for_each(|public| emit(&public.ip.to_string())),
        "private-dns-name" => emit(&private_dns_name(view, instance)),
        "private-ip-address" => emit(&instance.private_ip.to_string()),
        "source-dest-check" => view.interfaces(instance).take(1).for_each(|row| emit(truth(row.source_dest_check))),
        "subnet-id" => emit(instance.subnet.as_str()),
        "vpc-id" => emit(instance.vpc.as_str()),
        // Names of what no instance here has: hosts and the like.
        _ => {}
    }
}
