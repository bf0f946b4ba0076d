//! An instance as answers show it, and what filters see of it. Nothing is
//! looked up twice, as DescribeInstances is what every client polls.

use super::tag_rules;
use elastane_domain::lifecycle::InstanceState;
use elastane_domain::types::instance_type;
use elastane_engine::launch::host_name;
use elastane_engine::row::*;
use elastane_engine::{View, metadata};
use elastane_wire::{Timestamp, ec2 as wire};

/// The root device of every instance and image.
pub const ROOT_DEVICE: &str = "/dev/xvda";

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
    "network-interface.addresses.primary",
    "network-interface.addresses.private-ip-address",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
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
    format!("{}.{}", host_name(instance.private_ip), view.scope.private_domain())
}

/// The instance as DescribeInstances shows it. Addresses, devices and groups
/// of a terminated one are gone. There is no public address: instances are
/// reached from the machine they run on.
pub fn shown(view: &View<'_>, instance: &Instance) -> wire::Instance {
    let gone = matches!(instance.phase, Phase::Terminated { .. });
    let groups = if gone { Vec::new() } else { groups(view, instance) };
    let launched = Timestamp(instance.launched_at.millis());
    let dns_name = if gone { String::new() } else { private_dns_name(view, instance) };
    let address = instance.private_ip.to_string();
    wire::Instance {
        ami_launch_index: i32::try_from(instance.launch_index).ok(),
        architecture: word("x86_64"),
        block_device_mappings: if gone { Vec::new() } else { vec![root_device(instance)] },
        capacity_reservation_specification: Some(wire::CapacityReservationSpecificationResponse {
            capacity_reservation_preference: word("open"),
            ..Default::default()
        }),
        client_token: Some(instance.client_token.clone().unwrap_or_default()),
        cpu_options: Some(cpu_options(instance)),
        ebs_optimized: Some(instance.ebs_optimized),
        ena_support: Some(true),
        enclave_options: Some(wire::EnclaveOptions { enabled: Some(false) }),
        hibernation_options: Some(wire::HibernationOptions { configured: Some(false) }),
        hypervisor: word("xen"),
        image_id: Some(instance.image.to_string()),
        instance_id: Some(instance.id.to_string()),
        instance_type: Some(instance.instance_type.clone()),
        key_name: instance.key_name.clone(),
        launch_time: Some(launched),
        maintenance_options: Some(wire::InstanceMaintenanceOptions {
            auto_recovery: word("default"),
            ..Default::default()
        }),
        metadata_options: Some(metadata_options(&instance.metadata)),
        monitoring: Some(wire::Monitoring { state: word(monitoring(instance)), ..Default::default() }),
        network_interfaces: if gone {
            Vec::new()
        } else {
            vec![interface(view, instance, &groups, (&address, &dns_name))]
        },
        placement: Some(wire::Placement {
            availability_zone: Some(instance.zone.to_string()),
            group_name: word(""),
            tenancy: word("default"),
            ..Default::default()
        }),
        platform_details: word("Linux/UNIX"),
        private_dns_name_options: (!gone).then(|| wire::PrivateDnsNameOptionsResponse {
            enable_resource_name_dns_aaaa_record: Some(false),
            enable_resource_name_dns_a_record: Some(false),
            hostname_type: word("ip-name"),
        }),
        private_dns_name: Some(dns_name),
        private_ip_address: (!gone).then_some(address),
        public_dns_name: word(""),
        root_device_name: word(ROOT_DEVICE),
        root_device_type: word("ebs"),
        security_groups: groups,
        source_dest_check: (!gone).then_some(true),
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

/// Ids and names of its security groups.
pub fn groups(view: &View<'_>, instance: &Instance) -> Vec<wire::GroupIdentifier> {
    let one = |id: &elastane_domain::id::SecurityGroupId| wire::GroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: view.get::<SecurityGroup>(id.as_str()).map(|group| group.name.clone()),
    };
    instance.security_groups.iter().map(one).collect()
}

/// Its root device.
pub fn root_device(instance: &Instance) -> wire::InstanceBlockDeviceMapping {
    wire::InstanceBlockDeviceMapping {
        device_name: word(ROOT_DEVICE),
        ebs: Some(wire::EbsInstanceBlockDevice {
            attach_time: Some(Timestamp(instance.launched_at.millis())),
            delete_on_termination: Some(true),
            status: word("attached"),
            volume_id: Some(instance.root_volume.clone()),
            ..Default::default()
        }),
    }
}

fn metadata_options(options: &MetadataOptions) -> wire::InstanceMetadataOptionsResponse {
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

fn interface(
    view: &View<'_>,
    instance: &Instance,
    groups: &[wire::GroupIdentifier],
    (address, dns_name): (&str, &str),
) -> wire::InstanceNetworkInterface {
    wire::InstanceNetworkInterface {
        attachment: Some(wire::InstanceNetworkInterfaceAttachment {
            attach_time: Some(Timestamp(instance.launched_at.millis())),
            attachment_id: Some(instance.interface.replacen("eni-", "eni-attach-", 1)),
            delete_on_termination: Some(true),
            device_index: Some(0),
            network_card_index: Some(0),
            status: word("attached"),
            ..Default::default()
        }),
        description: word(""),
        groups: groups.to_vec(),
        interface_type: word("interface"),
        mac_address: Some(metadata::mac(instance)),
        network_interface_id: Some(instance.interface.clone()),
        owner_id: Some(view.scope.account.to_string()),
        private_dns_name: word(dns_name),
        private_ip_addresses: vec![wire::InstancePrivateIpAddress {
            primary: Some(true),
            private_dns_name: word(dns_name),
            private_ip_address: word(address),
            ..Default::default()
        }],
        private_ip_address: word(address),
        source_dest_check: Some(true),
        status: word("in-use"),
        subnet_id: Some(instance.subnet.to_string()),
        vpc_id: Some(instance.vpc.to_string()),
        ..Default::default()
    }
}

/// Emits the values that an instance has for a filter's name.
pub fn filter_values(view: &View<'_>, instance: &Instance, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "architecture" => emit("x86_64"),
        "client-token" => emit(instance.client_token.as_deref().unwrap_or_default()),
        "hibernation-options.configured" => emit("false"),
        "hypervisor" => emit("xen"),
        "image-id" => emit(instance.image.as_str()),
        "instance-id" => emit(instance.id.as_str()),
        "instance-state-code" => emit(&instance.phase.state().code().to_string()),
        "instance-state-name" => emit(instance.phase.state().name()),
        "instance-type" => emit(&instance.instance_type),
        "key-name" => instance.key_name.iter().for_each(|key| emit(key)),
        "launch-index" => emit(&instance.launch_index.to_string()),
        "launch-time" => emit(&instance.launched_at.iso_millis()),
        "maintenance-options.auto-recovery" => emit("default"),
        "metadata-options.http-endpoint" => emit(if instance.metadata.endpoint { "enabled" } else { "disabled" }),
        "metadata-options.http-put-response-hop-limit" => emit(&instance.metadata.hop_limit.to_string()),
        "metadata-options.http-tokens" => emit(tokens(&instance.metadata)),
        "metadata-options.instance-metadata-tags" => emit(if instance.metadata.tags { "enabled" } else { "disabled" }),
        "monitoring-state" => emit(monitoring(instance)),
        "owner-id" => emit(view.scope.account.as_str()),
        "platform-details" => emit("Linux/UNIX"),
        "reason" => emit(&instance.transition_reason),
        "reservation-id" => emit(&instance.reservation),
        "root-device-name" => emit(ROOT_DEVICE),
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

fn device_values(view: &View<'_>, instance: &Instance, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "block-device-mapping.attach-time" => emit(&instance.launched_at.iso_millis()),
        "block-device-mapping.delete-on-termination" => emit("true"),
        "block-device-mapping.device-name" => emit(ROOT_DEVICE),
        "block-device-mapping.status" | "network-interface.attachment.status" => emit("attached"),
        "block-device-mapping.volume-id" => emit(&instance.root_volume),
        "group-id" | "instance.group-id" | "network-interface.group-id" => {
            instance.security_groups.iter().for_each(|id| emit(id.as_str()));
        }
        "group-name" | "instance.group-name" | "network-interface.group-name" => {
            let found = |id: &elastane_domain::id::SecurityGroupId| view.get::<SecurityGroup>(id.as_str());
            instance.security_groups.iter().filter_map(found).for_each(|group| emit(&group.name));
        }
        "network-interface.addresses.primary" | "network-interface.source-dest-check" | "source-dest-check" => {
            emit("true")
        }
        "private-ip-address"
        | "network-interface.private-ip-address"
        | "network-interface.addresses.private-ip-address" => {
            emit(&instance.private_ip.to_string());
        }
        "private-dns-name" | "network-interface.private-dns-name" => emit(&private_dns_name(view, instance)),
        "network-interface.attachment.device-index" => emit("0"),
        "network-interface.attachment.instance-id" => emit(instance.id.as_str()),
        "network-interface.availability-zone" => emit(instance.zone.as_str()),
        "network-interface.mac-address" => emit(&metadata::mac(instance)),
        "network-interface.network-interface-id" => emit(&instance.interface),
        "network-interface.owner-id" => emit(view.scope.account.as_str()),
        "network-interface.status" => emit("in-use"),
        "subnet-id" | "network-interface.subnet-id" => emit(instance.subnet.as_str()),
        "vpc-id" | "network-interface.vpc-id" => emit(instance.vpc.as_str()),
        // Names of what no instance here has: public addresses, profiles, hosts and the like.
        _ => {}
    }
}
