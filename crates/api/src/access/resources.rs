//! The resources of a request as policies name them. Requests name them by
//! ids, names, ARNs or by what belongs to them; here each becomes its ARN, with
//! what only rows tell: a group's UUID, a role's path, the template behind a
//! name. What is not there keeps the name it was given, so that a refusal does
//! not tell whether it exists.

use super::asked::Asked;
use super::finders::Named;
use super::table::{Check, Kind, Piece, Resources, Source, Which, table};
use elastane_engine::identity;
use elastane_engine::row::*;
use std::borrow::Cow;

/// A resource.
pub struct Resource<'q> {
    /// Its type; `None` for no resource.
    pub kind: Option<&'static Kind>,
    /// What stands for it in its ARN; `*` when it has no id yet.
    pub id: Cow<'q, str>,
    /// Its ARN; `*` for no resource.
    pub arn: String,
    /// Whether a launch template names it and not the request itself.
    pub from_template: bool,
}

impl Resource<'_> {
    /// Of which service it is and of which type: empty for none.
    pub fn of(&self) -> (&'static str, &'static str) {
        self.kind.map_or(("", ""), |kind| (kind.service, kind.name))
    }
}

/// The resources that a check is about: none when it is not about this request.
pub fn of<'q>(check: &'static Check, asked: &'q Asked<'_>) -> Vec<Resource<'q>> {
    let mut found = Vec::new();
    for resources in &check.resources {
        match resources.kind {
            Which::None => found.push(none()),
            Which::Any | Which::One(_) => add(check, resources, asked, &mut found),
        }
    }
    if found.is_empty() && check.own {
        found.push(none());
    }
    found
}

/// What stands for no resource.
pub fn none() -> Resource<'static> {
    Resource { kind: None, id: Cow::Borrowed("*"), arn: "*".to_string(), from_template: false }
}

fn add<'q>(check: &'static Check, resources: &'static Resources, asked: &'q Asked<'_>, found: &mut Vec<Resource<'q>>) {
    let mut named = Vec::new();
    for source in &resources.sources {
        match source {
            Source::Members(path) => path.texts(asked.record(), &mut |id| named.push(Named::new("", id))),
            Source::Found(finder) => finder(asked, &mut named),
        }
    }
    let fixed = match resources.kind {
        Which::One(index) => Some(&table().services[check.service].kinds[index]),
        Which::None | Which::Any => None,
    };
    // What a further action needs is not needed when the request has nothing of it.
    let found_only = resources.sources.iter().all(|source| matches!(source, Source::Found(_)));
    let needed = check.own || resources.sources.is_empty() || !found_only;
    if named.is_empty() && needed && !resources.optional {
        named.push(Named::new("", "*"));
    }
    for one in named {
        let kind = fixed.or_else(|| table().kind(check.service, one.kind)).or_else(|| kind_of(check.service, &one.id));
        let made = made(asked, kind, one);
        // A resource may be named in two ways.
        if !found.iter().any(|known: &Resource<'_>| known.arn == made.arn) {
            found.push(made);
        }
    }
}

/// A resource from its name.
fn made<'q>(asked: &Asked<'_>, kind: Option<&'static Kind>, named: Named<'q>) -> Resource<'q> {
    let Named { id, from_template, .. } = named;
    let Some(kind) = kind else {
        return Resource { kind, arn: id.to_string(), id, from_template };
    };
    if id.starts_with("arn:") {
        if let Some(own) = of_own_arn(asked, kind, &id) {
            return made(asked, Some(kind), Named { id: own.to_string().into(), ..Named::default() });
        }
        let own = id_of_arn(kind, &id).to_string();
        return Resource { kind: Some(kind), id: own.into(), arn: id.into_owned(), from_template };
    }
    let id = canonical(asked, kind, &id).map_or(id, Cow::Owned);
    Resource { arn: arn(asked, kind, &id), kind: Some(kind), id, from_template }
}

/// The name in an ARN that may be spelled in more ways than one, or that names
/// something of the resource's: it is judged as its name is, so that none of
/// the spellings escapes a policy.
fn of_own_arn<'n>(asked: &Asked<'_>, kind: &Kind, id: &'n str) -> Option<&'n str> {
    let own = id.strip_prefix("arn:")?;
    match (kind.service, kind.name) {
        ("autoscaling", "autoScalingGroup") => {
            let (_, name) = own.split_once(":autoScalingGroupName/")?;
            name.split(':').next()
        }
        ("ssm", "parameter") => {
            let prefix = asked.view.scope.arn("ssm", "parameter");
            id.strip_prefix(&prefix)
        }
        ("kms", "key") => {
            let own = id.strip_prefix(&asked.view.scope.arn("kms", ""))?;
            Some(own.strip_prefix("key/").unwrap_or(own))
        }
        ("ssm", "document") => {
            let prefix = asked.view.scope.arn("ssm", "document/");
            id.strip_prefix(&prefix)
        }
        _ => None,
    }
}

/// The ARN of an id.
fn arn(asked: &Asked<'_>, kind: &Kind, id: &str) -> String {
    let region = asked.view.scope.region.as_str();
    let account = match (kind.service, kind.name) {
        // What AWS itself publishes belongs to no account.
        ("ssm", "document") if id.starts_with("AWS-") => "",
        ("ssm", "parameter") if id.starts_with("aws/") => "",
        _ => asked.view.scope.account.as_str(),
    };
    let mut text = String::with_capacity(kind.arn.len() + id.len() + 16);
    for piece in &kind.pieces {
        text.push_str(match piece {
            Piece::Text(text) => text,
            Piece::Region => region,
            Piece::Account => account,
            Piece::Id => id,
        });
    }
    text
}

/// What stands for a resource within its ARN: all after the part that its type's ARNs share.
fn id_of_arn<'n>(kind: &Kind, arn: &'n str) -> &'n str {
    let own = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let shared = kind.arn.splitn(6, ':').nth(5).unwrap_or_default();
    own.strip_prefix(shared.trim_end_matches("{id}")).unwrap_or(own)
}

/// The type of a resource that shows in its id.
fn kind_of(service: usize, id: &str) -> Option<&'static Kind> {
    let of = &table().services[service];
    if let Some(own) = id.strip_prefix("arn:").and_then(|arn| arn.splitn(5, ':').nth(4)) {
        let word = own.split(['/', ':']).next().unwrap_or_default();
        return of.kinds.iter().find(|kind| kind.name == word);
    }
    let prefix = id.split('-').next().unwrap_or_default();
    let name = match prefix {
        "i" => "instance",
        "ami" => "image",
        "snap" => "snapshot",
        "vol" => "volume",
        "vpc" => "vpc",
        "subnet" => "subnet",
        "sg" => "security-group",
        "sgr" => "security-group-rule",
        "eni" => "network-interface",
        "acl" => "network-acl",
        "key" => "key-pair",
        "lt" => "launch-template",
        "pg" => "placement-group",
        "igw" => "internet-gateway",
        "rtb" => "route-table",
        "eipalloc" => "elastic-ip",
        "nat" => "natgateway",
        "dopt" => "dhcp-options",
        "pl" => "prefix-list",
        "fl" => "vpc-flow-log",
        "sir" => "spot-instances-request",
        _ => return None,
    };
    of.kinds.iter().find(|kind| kind.name == name)
}

/// The id as the ARN has it, of an id, a name, or something that belongs to
/// it; `None` when it is the same.
fn canonical(asked: &Asked<'_>, kind: &Kind, id: &str) -> Option<String> {
    match kind.service {
        "ec2" => of_network(asked, kind.name, id),
        "autoscaling" => of_scaling(asked, kind.name, id),
        "elasticloadbalancing" => of_balancing(asked, kind.name, id),
        "iam" | "sts" => Some(of_identity(asked, kind.name, id)),
        "ssm" => of_systems(kind.name, id),
        "kms" => of_keys(asked, kind.name, id),
        _ => None,
    }
}

fn of_network(asked: &Asked<'_>, kind: &str, id: &str) -> Option<String> {
    let view = &asked.view;
    let associated = |row: &&std::sync::Arc<Instance>| row.profile.as_ref().is_some_and(|profile| profile.id == id);
    match kind {
        "instance" if id.starts_with("iip-assoc-") => {
            view.all::<Instance>().find(associated).map(|row| row.id.to_string())
        }
        "launch-template" if !id.starts_with("lt-") => {
            view.all::<LaunchTemplate>().find(|row| row.name == id).map(|row| row.id.to_string())
        }
        "security-group" if !id.starts_with("sg-") => {
            view.all::<SecurityGroup>().find(|row| row.name == id).map(|row| row.id.to_string())
        }
        // Their ARNs have names.
        "key-pair" if id.starts_with("key-") => {
            view.all::<KeyPair>().find(|row| row.id == id).map(|row| row.name.clone())
        }
        "placement-group" if id.starts_with("pg-") => {
            view.all::<PlacementGroup>().find(|row| row.id == id).map(|row| row.name.clone())
        }
        "route-table" if id.starts_with("rtbassoc-") => {
            let has = |row: &&std::sync::Arc<RouteTable>| row.associations.iter().any(|one| one.id == id);
            view.all::<RouteTable>().find(has).map(|row| row.id.clone())
        }
        "vpc" if id.starts_with("vpc-cidr-assoc-") => {
            let has = |row: &&std::sync::Arc<Vpc>| row.more_cidrs.iter().any(|one| one.id == id);
            view.all::<Vpc>().find(has).map(|row| row.id.to_string())
        }
        "network-interface" if id.starts_with("eni-attach-") => {
            let has = |row: &&std::sync::Arc<NetworkInterface>| row.attachment.as_ref().is_some_and(|it| it.id == id);
            view.all::<NetworkInterface>().find(has).map(|row| row.id.clone())
        }
        "elastic-ip" if !id.starts_with("eipalloc-") => {
            let has = |row: &&std::sync::Arc<Address>| {
                row.association.as_ref().is_some_and(|it| it.id == id) || row.public_ip.to_string() == id
            };
            view.all::<Address>().find(has).map(|row| row.id.clone())
        }
        _ => None,
    }
}

/// Groups and launch configurations have their UUID before their name; `*`
/// stands for one that is not there yet. Instances stand for their groups.
fn of_scaling(asked: &Asked<'_>, kind: &str, id: &str) -> Option<String> {
    let view = &asked.view;
    if id == "*" {
        return None;
    }
    let (arn, word, name) = match kind {
        "launchConfiguration" => {
            let row = view.get::<LaunchConfiguration>(id);
            (row.map(|row| row.arn.as_str()), "launchConfigurationName", id)
        }
        _ => {
            let instance = id.starts_with("i-").then(|| view.get::<Instance>(id)).flatten();
            let membership = instance.and_then(|row| row.membership.as_ref());
            let name = membership.map_or(id, |membership| membership.group.as_str());
            (view.get::<Group>(name).map(|row| row.arn.as_str()), "autoScalingGroupName", name)
        }
    };
    let known = arn.and_then(|arn| arn.splitn(7, ':').nth(6)).map(str::to_string);
    Some(known.unwrap_or_else(|| format!("*:{word}/{name}")))
}

/// Names of what a request makes: the part that the service adds is open.
fn of_balancing(asked: &Asked<'_>, kind: &str, id: &str) -> Option<String> {
    match kind {
        _ if id == "*" => None,
        "loadbalancer" => {
            let family = match asked.text("Type") {
                Some("network") => "net",
                Some("gateway") => "gwy",
                _ => "app",
            };
            Some(format!("{family}/{id}/*"))
        }
        _ => Some(format!("{id}/*")),
    }
}

/// Path and name: that of the row, else that which the request gives.
fn of_identity(asked: &Asked<'_>, kind: &str, id: &str) -> String {
    if id.starts_with('/') {
        return id.to_string();
    }
    let view = &asked.view;
    let path = match kind {
        "user" => identity::user(view, id).map(|row| row.path.as_str()),
        "role" => identity::role(view, id).map(|row| row.path.as_str()),
        "instance-profile" => identity::profile(view, id).map(|row| row.path.as_str()),
        "group" => view.get::<UserGroup>(id).map(|row| row.path.as_str()),
        "server-certificate" => view.get::<ServerCertificate>(id).map(|row| row.path.as_str()),
        _ => None,
    };
    format!("{}{id}", path.or_else(|| asked.text("Path")).unwrap_or("/"))
}

/// The key behind an alias.
fn of_keys(asked: &Asked<'_>, kind: &str, id: &str) -> Option<String> {
    let alias = (kind == "key" && id.starts_with("alias/")).then(|| asked.view.get::<KeyAlias>(id)).flatten();
    alias.map(|alias| alias.key.clone())
}

/// Parameters without the leading slash and what follows a colon.
fn of_systems(kind: &str, id: &str) -> Option<String> {
    if kind != "parameter" || id == "*" {
        return None;
    }
    let name = id.split(':').next().unwrap_or_default();
    Some(name.trim_matches('/').to_string())
}
