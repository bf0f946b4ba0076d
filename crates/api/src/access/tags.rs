//! Tags as condition keys: those that the request gives, and those that the
//! resource has. Keys of tags have no case in conditions (IAM User Guide,
//! "Controlling access using tags").

use super::asked::Asked;
use super::resources::Resource;
use elastane_engine::identity;
use elastane_engine::row::*;

/// The value of a tag.
pub fn value<'t>(tags: &'t Tags, name: &str) -> Option<&'t str> {
    tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A tag that the request gives the resource.
pub fn request_tag(asked: &Asked<'_>, resource: &Resource<'_>, name: &str, add: &mut dyn FnMut(&str)) {
    asked.tag_for(resource.of().1, name).into_iter().for_each(add);
}

/// The keys of the tags that the request names.
pub fn tag_keys(asked: &Asked<'_>, resource: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    asked.tag_keys_for(resource.of().1, add);
}

/// A tag that the resource has.
pub fn resource_tag(asked: &Asked<'_>, resource: &Resource<'_>, name: &str, add: &mut dyn FnMut(&str)) {
    let (service, kind) = resource.of();
    if (service, kind) == ("autoscaling", "autoScalingGroup") {
        let group = resource.id.rsplit('/').next().and_then(|name| asked.view.get::<Group>(name));
        let tags = group.iter().flat_map(|group| &group.tags);
        tags.filter(|(key, _)| key.eq_ignore_ascii_case(name)).for_each(|(_, (value, _))| add(value));
        return;
    }
    if (service, kind) == ("ssm", "session") {
        session_tag(asked, &resource.id, name).iter().for_each(|value| add(value));
        return;
    }
    let found = match service {
        "ec2" | "ssm" => of_machine(asked, kind, &resource.id),
        "iam" | "sts" => of_identity(asked, kind, &resource.id),
        _ => of_arn(asked, service, kind, resource),
    };
    found.and_then(|tags| value(tags, name)).into_iter().for_each(add);
}

/// The two tags that sessions have of themselves: whose they are, by its unique
/// id, and where they lead (Systems Manager User Guide, "Additional sample IAM
/// policies for Session Manager").
fn session_tag(asked: &Asked<'_>, id: &str, name: &str) -> Option<String> {
    let session = asked.view.get::<Session>(id)?;
    let owner = session.owner.rsplit(':').next().unwrap_or_default();
    let names: Vec<&str> = owner.split('/').collect();
    match (name, names.as_slice()) {
        ("aws:ssmmessages:target-id", _) => Some(session.target.to_string()),
        ("aws:ssmmessages:session-id", ["user", .., name]) => Some(identity::user(&asked.view, name)?.id.clone()),
        ("aws:ssmmessages:session-id", ["assumed-role", role, session]) => {
            Some(format!("{}:{session}", identity::role(&asked.view, role)?.id))
        }
        ("aws:ssmmessages:session-id", _) => Some(asked.view.scope.account.to_string()),
        _ => None,
    }
}

fn of_machine<'a>(asked: &Asked<'a>, kind: &str, id: &str) -> Option<&'a Tags> {
    let view = &asked.view;
    Some(match kind {
        "instance" => &view.get::<Instance>(id)?.tags,
        "volume" => &view.all::<Instance>().find(|row| row.root_volume == id)?.volume_tags,
        "image" => &view.get::<Image>(id)?.tags,
        "snapshot" => &view.get::<Snapshot>(id)?.tags,
        "vpc" => &view.get::<Vpc>(id)?.tags,
        "subnet" => &view.get::<Subnet>(id)?.tags,
        "security-group" => &view.get::<SecurityGroup>(id)?.tags,
        "security-group-rule" => {
            let mut rules = view.all::<SecurityGroup>().flat_map(|group| &group.rules);
            &rules.find(|rule| rule.id == id)?.tags
        }
        "network-interface" => &view.get::<NetworkInterface>(id)?.tags,
        "key-pair" => &view.get::<KeyPair>(id)?.tags,
        "launch-template" => &view.get::<LaunchTemplate>(id)?.tags,
        "placement-group" => &view.get::<PlacementGroup>(id)?.tags,
        "internet-gateway" => &view.get::<InternetGateway>(id)?.tags,
        "route-table" => &view.get::<RouteTable>(id)?.tags,
        "elastic-ip" => &view.get::<Address>(id)?.tags,
        "natgateway" => &view.get::<NatGateway>(id)?.tags,
        "dhcp-options" => &view.get::<DhcpOptions>(id)?.tags,
        "prefix-list" => &view.get::<PrefixList>(id)?.tags,
        "vpc-flow-log" => &view.get::<FlowLog>(id)?.tags,
        "parameter" => {
            let named = view.get::<Parameter>(&format!("/{id}"));
            &named.or_else(|| view.get::<Parameter>(id))?.tags
        }
        "document" => &view.get::<Document>(id)?.tags,
        "spot-instances-request" => &view.get::<SpotRequest>(id)?.tags,
        _ => return None,
    })
}

fn of_identity<'a>(asked: &Asked<'a>, kind: &str, id: &str) -> Option<&'a Tags> {
    let view = &asked.view;
    let name = id.rsplit('/').next().unwrap_or_default();
    Some(match kind {
        "user" => &identity::user(view, name)?.tags,
        "role" => &identity::role(view, name)?.tags,
        "instance-profile" => &identity::profile(view, name)?.tags,
        "policy" => &view.get::<ManagedPolicy>(name)?.tags,
        "server-certificate" => &view.get::<ServerCertificate>(name)?.tags,
        _ => return None,
    })
}

fn of_arn<'a>(asked: &Asked<'a>, service: &str, kind: &str, resource: &Resource<'_>) -> Option<&'a Tags> {
    let view = &asked.view;
    let arn = resource.arn.as_str();
    Some(match (service, kind) {
        ("elasticloadbalancing", "loadbalancer") => &view.get::<LoadBalancer>(arn)?.tags,
        ("elasticloadbalancing", "targetgroup") => &view.get::<TargetGroup>(arn)?.tags,
        ("elasticloadbalancing", "listener") => &view.get::<Listener>(arn)?.tags,
        ("elasticloadbalancing", "listener-rule") => &view.get::<Rule>(arn)?.tags,
        ("elasticloadbalancing", "truststore") => &view.get::<TrustStore>(arn)?.tags,
        ("cloudwatch", "alarm") => &view.get::<Alarm>(&resource.id)?.tags,
        ("kms", "key") => &view.get::<EncryptionKey>(&resource.id)?.tags,
        ("acm", "certificate") => &view.get::<Certificate>(arn)?.tags,
        _ => return None,
    })
}
