//! DescribeNetworkInterfaces: the primary interfaces of instances; there are
//! no others. Load balancers answer on this machine without one.

use super::filter::Filters;
use super::instances_shape as shape;
use super::listing::IdKind;
use super::network::truth;
use super::{errors, paging, tag_rules};
use crate::Call;
use elastane_engine::row::*;
use elastane_engine::{View, metadata};
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

const INTERFACE_ID: IdKind = IdKind {
    prefix: "eni-",
    malformed: "InvalidNetworkInterfaceId.Malformed",
    not_found: "InvalidNetworkInterfaceID.NotFound",
    noun: "The networkInterface ID",
};

const FILTERS: [&str; 26] = [
    "addresses.primary",
    "addresses.private-ip-address",
    "association.allocation-id",
    "association.public-ip",
    "attachment.attach-time",
    "attachment.attachment-id",
    "attachment.delete-on-termination",
    "attachment.device-index",
    "attachment.instance-id",
    "attachment.instance-owner-id",
    "attachment.status",
    "availability-zone",
    "description",
    "group-id",
    "group-name",
    "interface-type",
    "mac-address",
    "network-interface-id",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "requester-managed",
    "source-dest-check",
    "status",
    "subnet-id",
    "vpc-id",
];

/// DescribeNetworkInterfaces. An interface goes with its instance. Errors:
/// `InvalidNetworkInterfaceId.Malformed`, `InvalidNetworkInterfaceID.NotFound`,
/// those of filters and pages.
pub fn describe_network_interfaces(
    call: &Call<'_>,
    input: &wire::DescribeNetworkInterfacesRequest,
) -> Result<wire::DescribeNetworkInterfacesResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    input.network_interface_ids.iter().try_for_each(|id| INTERFACE_ID.check(id))?;
    let mut asked: BTreeSet<&str> = input.network_interface_ids.iter().map(String::as_str).collect();
    let by_id = !asked.is_empty();
    let live = call.all::<Instance>().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
    let mut found: Vec<&Arc<Instance>> = live.filter(|row| !by_id || asked.remove(row.interface.as_str())).collect();
    if let Some(id) = asked.first() {
        return Err(INTERFACE_ID.unknown(id));
    }
    errors::dry_run(input.dry_run)?;
    let view = &call.view;
    found.retain(|row| filters.accept(&row.interface_tags, |name, emit| values(view, row, name, emit)));
    found.sort_unstable_by(|a, b| a.interface.cmp(&b.interface));
    let token = input.next_token.as_deref();
    let limits = (paging::USUAL, by_id);
    let (found, next_token) = paging::cut(found, input.max_results, token, limits, |row| row.interface.clone())?;
    let network_interfaces = found.into_iter().map(|row| shown(view, row)).collect();
    Ok(wire::DescribeNetworkInterfacesResult { network_interfaces, next_token })
}

fn values(view: &View<'_>, instance: &Instance, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "addresses.primary" | "attachment.delete-on-termination" | "source-dest-check" => emit(truth(true)),
        "addresses.private-ip-address" | "private-ip-address" => emit(&instance.private_ip.to_string()),
        "attachment.attach-time" => emit(&instance.launched_at.iso_millis()),
        "attachment.attachment-id" => emit(&attachment_id(instance)),
        "attachment.device-index" => emit("0"),
        "attachment.instance-id" => emit(instance.id.as_str()),
        "attachment.instance-owner-id" | "owner-id" => emit(view.scope.account.as_str()),
        "attachment.status" => emit("attached"),
        "availability-zone" => emit(instance.zone.as_str()),
        "description" => emit(""),
        "group-id" => instance.security_groups.iter().for_each(|id| emit(id.as_str())),
        "group-name" => {
            let groups = shape::groups(view, instance);
            groups.iter().filter_map(|group| group.group_name.as_deref()).for_each(emit);
        }
        "interface-type" => emit("interface"),
        "mac-address" => emit(&metadata::mac(instance)),
        "network-interface-id" => emit(&instance.interface),
        "private-dns-name" => emit(&shape::private_dns_name(view, instance)),
        "requester-managed" => emit(truth(false)),
        "status" => emit("in-use"),
        "subnet-id" => emit(instance.subnet.as_str()),
        "vpc-id" => emit(instance.vpc.as_str()),
        // Public addresses there are none.
        _ => {}
    }
}

/// As DescribeInstances shows it.
fn attachment_id(instance: &Instance) -> String {
    instance.interface.replacen("eni-", "eni-attach-", 1)
}

fn shown(view: &View<'_>, instance: &Instance) -> wire::NetworkInterface {
    let word = |text: &str| Some(text.to_string());
    let address = instance.private_ip.to_string();
    let dns_name = shape::private_dns_name(view, instance);
    wire::NetworkInterface {
        attachment: Some(wire::NetworkInterfaceAttachment {
            attach_time: Some(Timestamp(instance.launched_at.millis())),
            attachment_id: Some(attachment_id(instance)),
            delete_on_termination: Some(true),
            device_index: Some(0),
            instance_id: word(instance.id.as_str()),
            instance_owner_id: word(view.scope.account.as_str()),
            network_card_index: Some(0),
            status: word("attached"),
            ..Default::default()
        }),
        availability_zone: word(instance.zone.as_str()),
        description: word(""),
        groups: shape::groups(view, instance),
        interface_type: word("interface"),
        mac_address: Some(metadata::mac(instance)),
        network_interface_id: Some(instance.interface.clone()),
        owner_id: word(view.scope.account.as_str()),
        private_dns_name: Some(dns_name.clone()),
        private_ip_address: Some(address.clone()),
        private_ip_addresses: vec![wire::NetworkInterfacePrivateIpAddress {
            primary: Some(true),
            private_dns_name: Some(dns_name),
            private_ip_address: Some(address),
            ..Default::default()
        }],
        requester_managed: Some(false),
        source_dest_check: Some(true),
        status: word("in-use"),
        subnet_id: word(instance.subnet.as_str()),
        tag_set: tag_rules::shown(&instance.interface_tags),
        vpc_id: word(instance.vpc.as_str()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, filter};
    use super::*;

    /// One interface an instance, found by its group and by id; load balancers have none.
    #[test]
    fn interfaces_of_instances() {
        let mut scene = Scene::new();
        let id = scene.launch(2).remove(0);
        let row = scene.row::<Instance>(&id);
        let group = row.security_groups[0].to_string();
        let describe = |scene: &Scene, input: wire::DescribeNetworkInterfacesRequest| {
            scene.read(|call| describe_network_interfaces(call, &input)).map(|answer| answer.network_interfaces)
        };
        for (filters, count) in [
            (vec![], 2),
            (vec![filter("group-id", &[&group])], 2),
            (vec![filter("attachment.instance-id", &[&id])], 1),
            (vec![filter("attachment.instance-owner-id", &["amazon-elb"])], 0),
        ] {
            let input = wire::DescribeNetworkInterfacesRequest { filters, ..Default::default() };
            assert_eq!(describe(&scene, input.clone()).expect("known filters").len(), count, "{input:?}");
        }
        let ask = |id: &str| wire::DescribeNetworkInterfacesRequest {
            network_interface_ids: vec![id.to_string()],
            ..Default::default()
        };
        let found = describe(&scene, ask(&row.interface)).expect("there").remove(0);
        assert_eq!(found.attachment.and_then(|one| one.instance_id), Some(id));
        for (id, code) in [
            ("eni-00000000000000000", "InvalidNetworkInterfaceID.NotFound"),
            ("e", "InvalidNetworkInterfaceId.Malformed"),
        ] {
            assert_eq!(describe(&scene, ask(id)).expect_err(code).code, code);
        }
    }
}
