//! What the tree says of network interfaces (ec2-imds.md 3.1).

use super::{Entries, mac_of, private_name};
use crate::network::public_ip;
use crate::row::*;
use crate::state::View;
use std::net::Ipv4Addr;

/// Everything below `network/interfaces/macs/<mac>/`.
pub(super) fn put(view: &View<'_>, instance: &Instance, interface: &NetworkInterface, entries: &mut Entries) {
    let primary = interface.primary();
    let base = format!("meta-data/network/interfaces/macs/{}", mac_of(primary));
    let device = interface.attachment.as_ref().map_or(0, |attachment| attachment.device);
    let mut put = |name: &str, value: String| entries.insert(format!("{base}/{name}"), value);
    put("device-number", device.to_string());
    put("interface-id", interface.id.clone());
    put("local-hostname", private_name(view, instance, primary));
    put("local-ipv4s", lines(&interface.addresses));
    put("mac", mac_of(primary));
    put("network-card-index", "0".to_string());
    put("owner-id", view.scope.account.to_string());
    put("security-groups", group_names(view, interface));
    put("security-group-ids", lines(&interface.groups));
    put("subnet-id", interface.subnet.to_string());
    put("vpc-id", interface.vpc.to_string());
    if let Some(subnet) = view.get::<Subnet>(interface.subnet.as_str()) {
        put("subnet-ipv4-cidr-block", subnet.cidr.to_string());
    }
    if let Some(vpc) = view.get::<Vpc>(interface.vpc.as_str()) {
        put("vpc-ipv4-cidr-block", vpc.cidr.to_string());
        put("vpc-ipv4-cidr-blocks", lines(&vpc.cidrs().collect::<Vec<_>>()));
    }
    let public = public_addresses(view, interface);
    for (private, public) in &public {
        put(&format!("ipv4-associations/{public}"), private.to_string());
    }
    if !public.is_empty() {
        put("public-ipv4s", lines(&public.iter().map(|(_, public)| *public).collect::<Vec<_>>()));
    }
    if let Some(name) = public_name(view, interface) {
        put("public-hostname", name);
    }
}

/// What the top of the tree repeats of the primary interface.
pub(super) fn put_primary(view: &View<'_>, interface: &NetworkInterface, entries: &mut Entries) {
    let mut put = |name: &str, value: String| entries.insert(format!("meta-data/{name}"), value);
    put("security-groups", group_names(view, interface));
    if let Some(address) = public_ip(view, interface, interface.primary()) {
        put("public-ipv4", address.to_string());
    }
    if let Some(name) = public_name(view, interface) {
        put("public-hostname", name);
    }
}

/// (private, public), in the order of the private addresses.
fn public_addresses(view: &View<'_>, interface: &NetworkInterface) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let pair = |private: &Ipv4Addr| Some((*private, public_ip(view, interface, *private)?));
    interface.addresses.iter().filter_map(pair).collect()
}

/// The public DNS name of the primary address; `None` without a public
/// address or where the VPC's `enableDnsHostnames` is false.
fn public_name(view: &View<'_>, interface: &NetworkInterface) -> Option<String> {
    let named = view.get::<Vpc>(interface.vpc.as_str()).is_some_and(|vpc| vpc.dns_hostnames);
    let address = public_ip(view, interface, interface.primary()).filter(|_| named)?;
    let [a, b, c, d] = address.octets();
    let domain = match view.scope.region.as_str() {
        "us-east-1" => "compute-1.amazonaws.com".to_string(),
        region => format!("{region}.compute.amazonaws.com"),
    };
    Some(format!("ec2-{a}-{b}-{c}-{d}.{domain}"))
}

fn group_names(view: &View<'_>, interface: &NetworkInterface) -> String {
    let groups = interface.groups.iter().filter_map(|id| view.get::<SecurityGroup>(id.as_str()));
    groups.map(|group| group.name.as_str()).collect::<Vec<_>>().join("\n")
}

fn lines<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join("\n")
}
