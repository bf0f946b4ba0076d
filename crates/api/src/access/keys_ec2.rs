//! EC2's condition keys: what instances, images and networks are, and what
//! those would be that a request launches.

use super::asked::Asked;
use super::keys::{Maker, word};
use super::resources::Resource;
use elastane_engine::identity;
use elastane_engine::row::*;
use std::sync::Arc;

/// The keys by their names in lower case.
pub const KEYS: &[(&str, Maker)] = &[
    ("ec2:allocationid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:availabilityzone", availability_zone),
    ("ec2:dhcpoptionsid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:domain", |_, _, _, add| add("vpc")),
    ("ec2:ebsoptimized", |asked, resource, _, add| match instance(asked, resource) {
        Some(row) => add(word(row.ebs_optimized)),
        None => add(word(launched(asked, resource).is_some_and(|data| data.ebs_optimized == Some(true)))),
    }),
    ("ec2:encrypted", |asked, resource, _, add| {
        let device = device(asked, resource);
        add(word(device.is_some_and(|device| device.encrypted == Some(true))));
    }),
    ("ec2:imageid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:imagetype", |_, _, _, add| add("machine")),
    ("ec2:instanceid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:instancemarkettype", |asked, resource, _, add| {
        let spot = match instance(asked, resource) {
            Some(row) => row.spot_request.is_some(),
            None => launched(asked, resource).is_some_and(|data| data.spot.is_some()),
        };
        add(if spot { "spot" } else { "on-demand" });
    }),
    ("ec2:instanceprofile", instance_profile),
    ("ec2:instancetype", instance_type),
    ("ec2:internetgatewayid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:islaunchtemplateresource", |asked, resource, _, add| {
        if asked.launching().template.is_some() {
            add(word(resource.from_template));
        }
    }),
    ("ec2:keypairname", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:keypairtype", |asked, resource, _, add| {
        if let Some(row) = asked.view.get::<KeyPair>(&resource.id) {
            add(&row.key_type);
        }
    }),
    ("ec2:launchtemplate", |asked, _, _, add| {
        if let Some(id) = &asked.launching().template {
            add(&asked.view.scope.arn("ec2", &format!("launch-template/{id}")));
        }
    }),
    ("ec2:metadatahttpendpoint", |asked, resource, _, add| {
        if let Some(options) = metadata(asked, resource) {
            add(if options.endpoint.unwrap_or(true) { "enabled" } else { "disabled" });
        }
    }),
    ("ec2:metadatahttpputresponsehoplimit", |asked, resource, _, add| {
        if let Some(hops) = metadata(asked, resource).and_then(|options| options.hop_limit) {
            add(&hops.to_string());
        }
    }),
    ("ec2:metadatahttptokens", |asked, resource, _, add| {
        if let Some(required) = metadata(asked, resource).and_then(|options| options.tokens_required) {
            add(if required { "required" } else { "optional" });
        }
    }),
    ("ec2:networkinterfaceid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:newinstanceprofile", |asked, _, _, add| profile(asked, asked.launching().data.profile.as_deref(), add)),
    ("ec2:owner", |asked, resource, _, add| match image(asked, resource) {
        Some(row) if row.id.as_str() == elastane_engine::network::host_image().as_str() => add("amazon"),
        _ => known_owner(asked, resource, add),
    }),
    ("ec2:placementgroup", |asked, resource, _, add| {
        let group = match instance(asked, resource) {
            Some(row) => row.placement_group.clone(),
            None => launched(asked, resource).and_then(|data| data.placement.group.clone()),
        };
        if let Some(name) = group {
            add(&asked.view.scope.arn("ec2", &format!("placement-group/{name}")));
        }
    }),
    ("ec2:placementgroupname", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:placementgroupstrategy", |asked, resource, _, add| {
        let row = asked.view.get::<PlacementGroup>(&resource.id);
        row.map(|row| row.strategy.as_str()).or_else(|| asked.text("Strategy")).into_iter().for_each(add);
    }),
    ("ec2:public", |asked, resource, _, add| {
        if let Some(row) = image(asked, resource) {
            add(word(row.details.public));
        }
    }),
    ("ec2:publicipaddress", |asked, resource, _, add| {
        if let Some(row) = asked.view.get::<Address>(&resource.id) {
            add(&row.public_ip.to_string());
        }
    }),
    ("ec2:rootdevicetype", |_, _, _, add| add("ebs")),
    ("ec2:routetableid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:securitygroupid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:snapshotid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:subnet", |asked, resource, _, add| {
        let row = asked.view.get::<NetworkInterface>(&resource.id).map(|row| row.subnet.as_str());
        let subnet = row
            .or_else(|| asked.text("SubnetId"))
            .or_else(|| launched_interface(asked, resource)?.subnet.as_ref().map(|subnet| subnet.as_str()));
        if let Some(subnet) = subnet {
            add(&asked.view.scope.arn("ec2", &format!("subnet/{subnet}")));
        }
    }),
    ("ec2:subnetid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:tenancy", |_, _, _, add| add("default")),
    ("ec2:volumeid", |_, resource, _, add| known(&resource.id, add)),
    ("ec2:volumeiops", |asked, resource, _, add| {
        if let Some(iops) = device(asked, resource).and_then(|device| device.iops) {
            add(&iops.to_string());
        }
    }),
    ("ec2:volumesize", |asked, resource, _, add| {
        let snapshot = asked.view.get::<Snapshot>(&resource.id).map(|row| row.size_gib);
        if let Some(size) = snapshot.or_else(|| device(asked, resource)?.size_gib) {
            add(&size.to_string());
        }
    }),
    ("ec2:volumethroughput", |asked, resource, _, add| {
        if let Some(throughput) = device(asked, resource).and_then(|device| device.throughput) {
            add(&throughput.to_string());
        }
    }),
    ("ec2:volumetype", |asked, resource, _, add| {
        if let Some(device) = device(asked, resource) {
            add(device.volume_type.as_deref().unwrap_or("gp2"));
        }
    }),
    ("ec2:vpc", vpc),
    ("ec2:vpcid", |_, resource, _, add| known(&resource.id, add)),
];

/// An id that is one.
fn known(id: &str, add: &mut dyn FnMut(&str)) {
    if id != "*" {
        add(id);
    }
}

fn instance<'a>(asked: &Asked<'a>, resource: &Resource<'_>) -> Option<&'a Arc<Instance>> {
    match resource.of().1 {
        "instance" => asked.view.get::<Instance>(&resource.id),
        "volume" => asked.view.all::<Instance>().find(|row| row.root_volume == resource.id),
        _ => None,
    }
}

fn image<'a>(asked: &Asked<'a>, resource: &Resource<'_>) -> Option<&'a Arc<Image>> {
    asked.view.get::<Image>(&resource.id)
}

/// What is said of an instance or volume that is to be launched.
fn launched<'q>(asked: &'q Asked<'_>, resource: &Resource<'_>) -> Option<&'q LaunchData> {
    (resource.id == "*").then(|| &asked.launching().data)
}

/// What is said of the first interface of an instance that is to be launched.
fn launched_interface<'q>(asked: &'q Asked<'_>, resource: &Resource<'_>) -> Option<&'q InterfaceChoice> {
    launched(asked, resource)?.interfaces.first()
}

/// The root device of a volume.
fn device<'q>(asked: &'q Asked<'_>, resource: &Resource<'_>) -> Option<&'q BlockDevice> {
    match instance(asked, resource) {
        Some(row) => Some(&row.root_device),
        None => launched(asked, resource)?.block_devices.first(),
    }
}

/// Metadata options, of an instance or of a launch.
fn metadata(asked: &Asked<'_>, resource: &Resource<'_>) -> Option<MetadataChoice> {
    match instance(asked, resource) {
        Some(row) => Some(MetadataChoice {
            endpoint: Some(row.metadata.endpoint),
            tokens_required: Some(row.metadata.tokens_required),
            hop_limit: Some(row.metadata.hop_limit),
            tags: Some(row.metadata.tags),
        }),
        None => launched(asked, resource).map(|data| data.metadata),
    }
}

fn instance_type(asked: &Asked<'_>, resource: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    if let Some(row) = instance(asked, resource) {
        return add(&row.instance_type);
    }
    let Some(data) = launched(asked, resource) else { return };
    let types = &asked.launching().types;
    match (types.is_empty(), &data.instance_type) {
        (true, Some(name)) => add(name),
        (true, None) => {}
        (false, _) => types.iter().for_each(|name| add(name)),
    }
}

/// The ARN of the profile that an instance has or gets.
fn instance_profile(asked: &Asked<'_>, resource: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let named = match instance(asked, resource) {
        Some(row) => row.profile.as_ref().map(|association| association.profile.as_str()),
        None => launched(asked, resource).and_then(|data| data.profile.as_deref()),
    };
    profile(asked, named, add);
}

fn profile(asked: &Asked<'_>, named: Option<&str>, add: &mut dyn FnMut(&str)) {
    if let Some(row) = named.and_then(|named| identity::named_profile(&asked.view, named)) {
        add(&identity::profile_arn(&asked.view.scope.account, row));
    }
}

/// The caller's account for what it owns.
fn known_owner(asked: &Asked<'_>, resource: &Resource<'_>, add: &mut dyn FnMut(&str)) {
    if resource.id != "*" {
        add(asked.view.scope.account.as_str());
    }
}

fn availability_zone(asked: &Asked<'_>, resource: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let view = &asked.view;
    let of_subnet = |id: &str| view.get::<Subnet>(id).map(|row| row.zone.as_str());
    let zone = match resource.of().1 {
        "subnet" => of_subnet(&resource.id),
        "network-interface" => view.get::<NetworkInterface>(&resource.id).map(|row| row.zone.as_str()),
        _ => instance(asked, resource).map(|row| row.zone.as_str()),
    };
    let chosen = || {
        let data = launched(asked, resource)?;
        let zone = data.placement.zone.as_ref().map(|zone| zone.as_str());
        zone.or_else(|| of_subnet(data.subnet.as_ref()?.as_str()))
    };
    zone.or_else(chosen).or_else(|| asked.text("AvailabilityZone")).into_iter().for_each(add);
}

/// The ARN of the VPC that a part of a network belongs to.
fn vpc(asked: &Asked<'_>, resource: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let (view, id) = (&asked.view, resource.id.as_ref());
    let of_subnet = |id: &str| view.get::<Subnet>(id).map(|row| row.vpc.as_str());
    let found = match resource.of().1 {
        "subnet" => of_subnet(id),
        "security-group" => view.get::<SecurityGroup>(id).map(|row| row.vpc.as_str()),
        "network-interface" => view.get::<NetworkInterface>(id).map(|row| row.vpc.as_str()),
        "route-table" => view.get::<RouteTable>(id).map(|row| row.vpc.as_str()),
        _ => None,
    };
    let named = || asked.text("VpcId").or_else(|| of_subnet(asked.text("SubnetId")?));
    if let Some(vpc) = found.or_else(named) {
        add(&view.scope.arn("ec2", &format!("vpc/{vpc}")));
    }
}
