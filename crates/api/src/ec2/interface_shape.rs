//! Network interfaces as answers show them, and what filters see of them:
//! once for DescribeNetworkInterfaces and once for DescribeInstances.

use super::network::truth;
use super::tag_rules;
use elastane_domain::id::{InstanceId, SecurityGroupId};
use elastane_engine::launch::host_name;
use elastane_engine::row::*;
use elastane_engine::{View, metadata, network};
use elastane_wire::{Timestamp, ec2 as wire};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Deref;

/// Whom EC2 names as owner of a public address that it lends.
const LENDER: &str = "amazon";

/// The rows of one moment with what leads from instances to their further
/// interfaces and from private addresses to Elastic IPs, gathered once a
/// call: describing many instances must not search all interfaces for each.
pub(super) struct Cards<'a> {
    view: View<'a>,
    /// Interfaces that are attached, but not as an instance's primary one, in
    /// the order of their device indexes.
    further: BTreeMap<&'a InstanceId, Vec<&'a NetworkInterface>>,
    elastic: BTreeMap<(&'a str, Ipv4Addr), &'a Address>,
}

impl<'a> Deref for Cards<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl<'a> Cards<'a> {
    /// Gathers them.
    pub fn of(view: &View<'a>) -> Cards<'a> {
        let mut further: BTreeMap<&InstanceId, Vec<(u16, &NetworkInterface)>> = BTreeMap::new();
        for row in view.all::<NetworkInterface>() {
            if let Some(attachment) = row.attachment.as_ref().filter(|attachment| attachment.device > 0) {
                further.entry(&attachment.instance).or_default().push((attachment.device, row));
            }
        }
        let sorted = |mut rows: Vec<(u16, &'a NetworkInterface)>| {
            rows.sort_unstable_by_key(|(device, _)| *device);
            rows.into_iter().map(|(_, row)| row).collect()
        };
        let further = further.into_iter().map(|(instance, rows)| (instance, sorted(rows))).collect();
        let elastic = view.all::<Address>().filter_map(|address| {
            let to = address.association.as_ref()?;
            Some(((to.interface.as_str(), to.private_ip), address.as_ref()))
        });
        Cards { view: *view, further, elastic: elastic.collect() }
    }

    /// The interfaces of an instance in the order of their device indexes;
    /// none once it is terminated.
    pub fn interfaces(&self, instance: &Instance) -> impl Iterator<Item = &'a NetworkInterface> + use<'a, '_> {
        let gone = matches!(instance.phase, Phase::Terminated { .. });
        let primary = network::primary_interface(&self.view, instance);
        let further = self.further.get(&instance.id).map_or(&[][..], Vec::as_slice);
        primary.into_iter().chain(further.iter().copied()).filter(move |_| !gone)
    }

    /// The public address that leads to a private one of an interface.
    pub fn public(&self, row: &NetworkInterface, private: Ipv4Addr) -> Option<Public<'a>> {
        let elastic = self.elastic.get(&(row.id.as_str(), private)).copied();
        let lent = row.public_ip.filter(|_| private == row.primary());
        let ip = elastic.map(|address| address.public_ip).or(lent)?;
        let owner = elastic.map_or(LENDER, |_| self.view.scope.account.as_str());
        Some(Public { ip, elastic, owner, dns_name: self.public_dns_name(row, ip) })
    }

    /// The public address and name of an instance.
    pub fn public_of(&self, instance: &Instance) -> Option<Public<'a>> {
        let row = self.interfaces(instance).next()?;
        self.public(row, row.primary())
    }

    /// Empty when the VPC gives its instances no public names (EC2 User Guide,
    /// "Hostname types").
    fn public_dns_name(&self, row: &NetworkInterface, ip: Ipv4Addr) -> String {
        let named = self.get::<Vpc>(row.vpc.as_str()).is_some_and(|vpc| vpc.dns_hostnames);
        if named { self.scope.public_name(ip) } else { String::new() }
    }

    /// After the address, or after the instance where that was chosen for it
    /// (EC2 User Guide, "Hostname types").
    fn private_dns_name(&self, row: &NetworkInterface, address: Ipv4Addr) -> String {
        let instance = row.attachment.as_ref().and_then(|there| self.get::<Instance>(there.instance.as_str()));
        let host = match instance {
            Some(instance) if instance.private_dns.resource_name => instance.id.to_string(),
            Some(_) | None => host_name(address),
        };
        format!("{host}.{}", self.scope.private_domain())
    }
}

/// A public address that leads to a private one.
pub(super) struct Public<'a> {
    /// The address.
    pub ip: Ipv4Addr,
    /// Its public name; empty for none.
    pub dns_name: String,
    elastic: Option<&'a Address>,
    owner: &'a str,
}

impl Public<'_> {
    fn shown(&self) -> wire::NetworkInterfaceAssociation {
        let association = self.elastic.and_then(|address| address.association.as_ref());
        wire::NetworkInterfaceAssociation {
            allocation_id: self.elastic.map(|address| address.id.clone()),
            association_id: association.map(|association| association.id.clone()),
            ip_owner_id: word(self.owner),
            public_dns_name: word(&self.dns_name),
            public_ip: Some(self.ip.to_string()),
            ..Default::default()
        }
    }

    fn shown_on_instance(&self) -> wire::InstanceNetworkInterfaceAssociation {
        wire::InstanceNetworkInterfaceAssociation {
            ip_owner_id: word(self.owner),
            public_dns_name: word(&self.dns_name),
            public_ip: Some(self.ip.to_string()),
            ..Default::default()
        }
    }
}

fn word(text: &str) -> Option<String> {
    Some(text.to_string())
}

/// Ids and names of security groups.
pub(super) fn groups(view: &View<'_>, ids: &[SecurityGroupId]) -> Vec<wire::GroupIdentifier> {
    let one = |id: &SecurityGroupId| wire::GroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: view.get::<SecurityGroup>(id.as_str()).map(|group| group.name.clone()),
    };
    ids.iter().map(one).collect()
}

/// How a service's own interface shows whose it is.
struct Requester {
    interface_type: &'static str,
    requester_id: &'static str,
    instance_owner: &'static str,
}

fn requester(owner: &InterfaceOwner) -> Option<Requester> {
    match owner {
        InterfaceOwner::User => None,
        InterfaceOwner::NatGateway(_) => {
            Some(Requester { interface_type: "nat_gateway", requester_id: "amazon-aws", instance_owner: "amazon-aws" })
        }
        InterfaceOwner::LoadBalancer(_) => {
            Some(Requester { interface_type: "interface", requester_id: "amazon-elb", instance_owner: "amazon-elb" })
        }
    }
}

/// The id under which a service's own interface shows as attached.
fn service_attachment_id(row: &NetworkInterface) -> String {
    row.id.replacen("eni-", "ela-attach-", 1)
}

fn in_use(row: &NetworkInterface) -> bool {
    row.attachment.is_some() || row.owner != InterfaceOwner::User
}

fn status(row: &NetworkInterface) -> &'static str {
    if in_use(row) { "in-use" } else { "available" }
}

/// The attachment as DescribeNetworkInterfaces shows it; a service's own
/// interface is attached to something of that service.
pub(super) fn attachment(view: &View<'_>, row: &NetworkInterface) -> Option<wire::NetworkInterfaceAttachment> {
    if let Some(requester) = requester(&row.owner) {
        return Some(wire::NetworkInterfaceAttachment {
            attachment_id: Some(service_attachment_id(row)),
            delete_on_termination: Some(false),
            device_index: Some(1),
            instance_owner_id: word(requester.instance_owner),
            network_card_index: Some(0),
            status: word("attached"),
            ..Default::default()
        });
    }
    let attachment = row.attachment.as_ref()?;
    Some(wire::NetworkInterfaceAttachment {
        attach_time: Some(Timestamp(attachment.attached_at.millis())),
        attachment_id: Some(attachment.id.clone()),
        delete_on_termination: Some(attachment.delete_on_termination),
        device_index: Some(i32::from(attachment.device)),
        instance_id: Some(attachment.instance.to_string()),
        instance_owner_id: word(view.scope.account.as_str()),
        network_card_index: Some(0),
        status: word("attached"),
        ..Default::default()
    })
}

/// The interface as DescribeNetworkInterfaces shows it.
pub(super) fn shown(cards: &Cards<'_>, row: &NetworkInterface) -> wire::NetworkInterface {
    let requester = requester(&row.owner);
    let address = |(place, address): (usize, &Ipv4Addr)| wire::NetworkInterfacePrivateIpAddress {
        association: cards.public(row, *address).map(|public| public.shown()),
        primary: Some(place == 0),
        private_dns_name: Some(cards.private_dns_name(row, *address)),
        private_ip_address: Some(address.to_string()),
    };
    wire::NetworkInterface {
        association: cards.public(row, row.primary()).map(|public| public.shown()),
        attachment: attachment(cards, row),
        availability_zone: word(row.zone.as_str()),
        availability_zone_id: Some(zone_id(cards, row)),
        description: Some(row.description.clone()),
        groups: groups(cards, &row.groups),
        interface_type: word(requester.as_ref().map_or("interface", |requester| requester.interface_type)),
        mac_address: Some(metadata::mac_of(row.primary())),
        network_interface_id: Some(row.id.clone()),
        owner_id: word(cards.scope.account.as_str()),
        private_dns_name: Some(cards.private_dns_name(row, row.primary())),
        private_ip_address: Some(row.primary().to_string()),
        private_ip_addresses: row.addresses.iter().enumerate().map(address).collect(),
        requester_id: requester.as_ref().and_then(|requester| word(requester.requester_id)),
        requester_managed: Some(requester.is_some()),
        source_dest_check: Some(row.source_dest_check),
        status: word(status(row)),
        subnet_id: word(row.subnet.as_str()),
        tag_set: tag_rules::shown(&row.tags),
        vpc_id: word(row.vpc.as_str()),
        ..Default::default()
    }
}

fn zone_id(view: &View<'_>, row: &NetworkInterface) -> String {
    metadata::zone_id(row.zone.as_str(), view.scope.region.as_str())
}

/// The interface as DescribeInstances shows it.
pub(super) fn shown_on_instance(cards: &Cards<'_>, row: &NetworkInterface) -> wire::InstanceNetworkInterface {
    let address = |(place, address): (usize, &Ipv4Addr)| wire::InstancePrivateIpAddress {
        association: cards.public(row, *address).map(|public| public.shown_on_instance()),
        primary: Some(place == 0),
        private_dns_name: Some(cards.private_dns_name(row, *address)),
        private_ip_address: Some(address.to_string()),
    };
    let attachment = row.attachment.as_ref().map(|attachment| wire::InstanceNetworkInterfaceAttachment {
        attach_time: Some(Timestamp(attachment.attached_at.millis())),
        attachment_id: Some(attachment.id.clone()),
        delete_on_termination: Some(attachment.delete_on_termination),
        device_index: Some(i32::from(attachment.device)),
        network_card_index: Some(0),
        status: word("attached"),
        ..Default::default()
    });
    wire::InstanceNetworkInterface {
        association: cards.public(row, row.primary()).map(|public| public.shown_on_instance()),
        attachment,
        description: Some(row.description.clone()),
        groups: groups(cards, &row.groups),
        interface_type: word("interface"),
        mac_address: Some(metadata::mac_of(row.primary())),
        network_interface_id: Some(row.id.clone()),
        owner_id: word(cards.scope.account.as_str()),
        private_dns_name: Some(cards.private_dns_name(row, row.primary())),
        private_ip_address: Some(row.primary().to_string()),
        private_ip_addresses: row.addresses.iter().enumerate().map(address).collect(),
        source_dest_check: Some(row.source_dest_check),
        status: word(status(row)),
        subnet_id: word(row.subnet.as_str()),
        vpc_id: word(row.vpc.as_str()),
        ..Default::default()
    }
}

/// Names that [`filter_values`] answers; DescribeInstances has them behind
/// `network-interface.`.
pub(super) const FILTERS: &[&str] = &[
    "addresses.association.allocation-id",
    "addresses.association.association-id",
    "addresses.association.carrier-ip",
    "addresses.association.ip-owner-id",
    "addresses.association.owner-id",
    "addresses.association.public-dns-name",
    "addresses.association.public-ip",
    "addresses.primary",
    "addresses.private-dns-name",
    "addresses.private-ip-address",
    "association.allocation-id",
    "association.association-id",
    "association.carrier-ip",
    "association.ip-owner-id",
    "association.public-dns-name",
    "association.public-ip",
    "attachment.attach-time",
    "attachment.attachment-id",
    "attachment.delete-on-termination",
    "attachment.device-index",
    "attachment.instance-id",
    "attachment.instance-owner-id",
    "attachment.network-card-index",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "description",
    "group-id",
    "group-name",
    "interface-type",
    "ipv6-addresses.ipv6-address",
    "mac-address",
    "network-interface-id",
    "outpost-arn",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "public-dns-name",
    "requester-id",
    "requester-managed",
    "source-dest-check",
    "status",
    "subnet-id",
    "vpc-id",
];

/// Emits the values that an interface has for a filter's name.
pub(super) fn filter_values(cards: &Cards<'_>, row: &NetworkInterface, name: &str, emit: &mut dyn FnMut(&str)) {
    if let Some(name) = name.strip_prefix("addresses.") {
        return address_values(cards, row, name, emit);
    }
    if let Some(name) = name.strip_prefix("association.") {
        return association_values(cards, row, row.primary(), name, emit);
    }
    if let Some(name) = name.strip_prefix("attachment.") {
        return attachment_values(cards, row, name, emit);
    }
    let requester = requester(&row.owner);
    match name {
        "availability-zone" => emit(row.zone.as_str()),
        "availability-zone-id" => emit(&zone_id(cards, row)),
        "description" => emit(&row.description),
        "group-id" => row.groups.iter().for_each(|id| emit(id.as_str())),
        "group-name" => {
            groups(cards, &row.groups).iter().filter_map(|group| group.group_name.as_deref()).for_each(emit)
        }
        "interface-type" => emit(requester.map_or("interface", |requester| requester.interface_type)),
        "mac-address" => emit(&metadata::mac_of(row.primary())),
        "network-interface-id" => emit(&row.id),
        "owner-id" => emit(cards.scope.account.as_str()),
        "private-dns-name" => emit(&cards.private_dns_name(row, row.primary())),
        "private-ip-address" => row.addresses.iter().for_each(|address| emit(&address.to_string())),
        "public-dns-name" => association_values(cards, row, row.primary(), name, emit),
        "requester-id" => requester.into_iter().for_each(|requester| emit(requester.requester_id)),
        "requester-managed" => emit(truth(requester.is_some())),
        "source-dest-check" => emit(truth(row.source_dest_check)),
        "status" => emit(status(row)),
        "subnet-id" => emit(row.subnet.as_str()),
        "vpc-id" => emit(row.vpc.as_str()),
        // Names of what no interface here has: IPv6 addresses, outposts.
        _ => {}
    }
}

fn address_values(cards: &Cards<'_>, row: &NetworkInterface, name: &str, emit: &mut dyn FnMut(&str)) {
    for (place, address) in row.addresses.iter().enumerate() {
        match name.strip_prefix("association.") {
            Some("owner-id") => association_values(cards, row, *address, "ip-owner-id", emit),
            Some(name) => association_values(cards, row, *address, name, emit),
            None if name == "primary" => emit(truth(place == 0)),
            None if name == "private-dns-name" => emit(&cards.private_dns_name(row, *address)),
            None if name == "private-ip-address" => emit(&address.to_string()),
            None => {}
        }
    }
}

fn association_values(
    cards: &Cards<'_>,
    row: &NetworkInterface,
    private: Ipv4Addr,
    name: &str,
    emit: &mut dyn FnMut(&str),
) {
    let Some(public) = cards.public(row, private) else { return };
    let shown = public.shown();
    let value = match name {
        "allocation-id" => shown.allocation_id,
        "association-id" => shown.association_id,
        "ip-owner-id" => shown.ip_owner_id,
        "public-dns-name" => shown.public_dns_name,
        "public-ip" => shown.public_ip,
        _ => None,
    };
    value.iter().for_each(|value| emit(value));
}

fn attachment_values(cards: &Cards<'_>, row: &NetworkInterface, name: &str, emit: &mut dyn FnMut(&str)) {
    let Some(shown) = attachment(cards, row) else { return };
    match name {
        "attach-time" => row.attachment.iter().for_each(|attachment| emit(&attachment.attached_at.iso_millis())),
        "attachment-id" => shown.attachment_id.iter().for_each(|id| emit(id)),
        "delete-on-termination" => emit(truth(shown.delete_on_termination == Some(true))),
        "device-index" => shown.device_index.iter().for_each(|index| emit(&index.to_string())),
        "instance-id" => shown.instance_id.iter().for_each(|id| emit(id)),
        "instance-owner-id" => shown.instance_owner_id.iter().for_each(|id| emit(id)),
        "network-card-index" => emit("0"),
        "status" => emit("attached"),
        _ => {}
    }
}
