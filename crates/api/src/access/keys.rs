//! Condition keys that are more than members of the request: what the caller
//! is, where the request comes from, what the resources are.
//!
//! A key's maker gives its values, none when the key is not in the request. It
//! is called only for keys that a policy in force asks for.

use super::asked::Asked;
use super::resources::Resource;
use super::{keys_ec2, tags};
use crate::Principal;
use elastane_engine::identity;
use elastane_engine::row::{Holder, KeyAlias, Tags};
use elastane_wire::{Input, Service};

/// Makes the values of a key: of the request, the resource that is judged, and
/// the part of the key's name that varies, in lower case.
pub type Maker = fn(&Asked<'_>, &Resource<'_>, &str, &mut dyn FnMut(&str));

/// Makes the values of a key that is the same for all resources: of the request
/// and the part of the key's name that varies, in lower case.
pub type Global = fn(&Asked<'_>, &str, &mut dyn FnMut(&str));

/// Keys that every request has, whatever its operation, and of whose name a
/// part varies.
const OPEN: &[(&str, Global)] = &[("aws:principaltag/", principal_tag)];

/// Keys that every request has, whatever its operation.
pub const GLOBAL: &[(&str, Global)] = &[
    ("aws:currenttime", |asked, _, add| add(&asked.view.now.iso_seconds())),
    ("aws:epochtime", |asked, _, add| add(&asked.view.now.millis().div_euclid(1000).to_string())),
    ("aws:multifactorauthpresent", multi_factor),
    ("aws:principalaccount", |asked, _, add| add(asked.caller.account.as_str())),
    ("aws:principalarn", principal_arn),
    ("aws:principalisawsservice", |_, _, add| add("false")),
    ("aws:principaltype", principal_type),
    ("aws:requestedregion", |asked, _, add| add(asked.region())),
    ("aws:securetransport", |asked, _, add| add(word(asked.caller.origin.secure))),
    ("aws:sourceidentity", source_identity),
    ("aws:sourceip", |asked, _, add| {
        if let Some(address) = asked.caller.origin.address {
            add(&address.to_canonical().to_string());
        }
    }),
    ("aws:tokenissuetime", |asked, _, add| {
        if let Some(at) = asked.caller.issued_at {
            add(&at.iso_seconds());
        }
    }),
    ("aws:useragent", |asked, _, add| {
        if !asked.caller.origin.user_agent.is_empty() {
            add(&asked.caller.origin.user_agent);
        }
    }),
    ("aws:userid", |asked, _, add| add(&asked.caller.user_id)),
    ("aws:username", |asked, _, add| {
        if let Principal::User(name) = &asked.caller.principal {
            add(name);
        }
    }),
    ("aws:viaawsservice", |_, _, add| add("false")),
    ("ec2:sourceinstancearn", source_instance),
];

/// Keys that every resource has.
const OF_RESOURCES: &[(&str, Maker)] = &[("aws:resourceaccount", resource_account)];

/// Keys that the table says which operations and resources have.
const SPECIFIC: &[(&str, Maker)] = &[
    ("aws:requesttag/", tags::request_tag),
    ("aws:resourcetag/", tags::resource_tag),
    ("aws:tagkeys", tags::tag_keys),
    ("autoscaling:launchtemplateversionspecified", template_version),
    ("autoscaling:resourcetag/", tags::resource_tag),
    ("autoscaling:vpczoneidentifiers", subnets),
    ("ec2:createaction", create_action),
    ("ec2:region", |asked, _, _, add| add(asked.region())),
    ("ec2:resourcetag/", tags::resource_tag),
    ("elasticloadbalancing:createaction", create_action),
    ("elasticloadbalancing:resourcetag/", tags::resource_tag),
    ("iam:permissionsboundary", boundary),
    ("iam:resourcetag/", tags::resource_tag),
    ("kms:calleraccount", |asked, _, _, add| add(asked.caller.account.as_str())),
    ("kms:encryptioncontext:", encryption_context),
    ("kms:encryptioncontextkeys", encryption_context_keys),
    ("kms:requestalias", request_alias),
    ("kms:resourcealiases", resource_aliases),
    ("kms:viaservice", via_service),
    ("ssm:resourcetag/", tags::resource_tag),
    ("ssm:sessiondocumentaccesscheck", |_, _, _, add| add("true")),
];

/// The maker of a key that the table names without saying where its values
/// are; `None` for an unknown one.
pub fn named(name: &str) -> Option<Maker> {
    let mut all = SPECIFIC.iter().chain(keys_ec2::KEYS);
    all.find(|(known, _)| *known == name).map(|(_, maker)| *maker)
}

/// The place of a key in [`GLOBAL`].
pub fn global(name: &str) -> Option<usize> {
    GLOBAL.iter().position(|(known, _)| *known == name)
}

/// The maker of a key that every request has, with what varies of its name.
pub fn open(name: &str) -> Option<(Global, &str)> {
    let found = |(known, maker): &(&str, Global)| Some((*maker, name.strip_prefix(known)?));
    OPEN.iter().find_map(found).filter(|(_, rest)| !rest.is_empty())
}

/// The maker of a key that every resource has.
pub fn of_resources(name: &str) -> Option<Maker> {
    OF_RESOURCES.iter().find(|(known, _)| *known == name).map(|(_, maker)| *maker)
}

/// The values that a maker adds.
pub fn collected(make: impl FnOnce(&mut dyn FnMut(&str))) -> Vec<String> {
    let mut values = Vec::new();
    make(&mut |value| values.push(value.to_string()));
    values
}

/// A boolean as conditions have it.
pub fn word(yes: bool) -> &'static str {
    if yes { "true" } else { "false" }
}

/// The role's ARN for a session of a role.
fn principal_arn(asked: &Asked<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    match &asked.caller.principal {
        Principal::Root | Principal::User(_) => add(&asked.caller.arn),
        Principal::Role(session) => match identity::role(&asked.view, &session.role) {
            Some(role) => add(&identity::role_arn(&asked.caller.account, role)),
            None => add(&asked.caller.arn),
        },
    }
}

fn principal_type(asked: &Asked<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    add(match asked.caller.principal {
        Principal::Root => "Account",
        Principal::User(_) => "User",
        Principal::Role(_) => "AssumedRole",
    });
}

/// Tags of the session before those of the role.
fn principal_tag(asked: &Asked<'_>, name: &str, add: &mut dyn FnMut(&str)) {
    let value = match &asked.caller.principal {
        Principal::Root => None,
        Principal::User(user) => identity::user(&asked.view, user).and_then(|user| tags::value(&user.tags, name)),
        Principal::Role(session) => tags::value(&session.tags, name).or_else(|| {
            let role = identity::role(&asked.view, &session.role)?;
            tags::value(&role.tags, name)
        }),
    };
    value.into_iter().for_each(add);
}

/// All tags of the caller, those of its session before those of the role.
pub fn principal_tags(asked: &Asked<'_>) -> Tags {
    match &asked.caller.principal {
        Principal::Root => Tags::new(),
        Principal::User(name) => identity::user(&asked.view, name).map(|user| user.tags.clone()).unwrap_or_default(),
        Principal::Role(session) => {
            let role = identity::role(&asked.view, &session.role);
            let mut tags = role.map(|role| role.tags.clone()).unwrap_or_default();
            tags.extend(session.tags.clone());
            tags
        }
    }
}

/// Long-term keys say nothing of it; no session here was made with a device.
fn multi_factor(asked: &Asked<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    if asked.caller.issued_at.is_some() {
        add("false");
    }
}

/// The account in the resource's ARN; that of the caller for what names none.
fn resource_account(asked: &Asked<'_>, resource: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let named = resource.arn.split(':').nth(4).filter(|account| !account.is_empty());
    add(named.unwrap_or(asked.view.scope.account.as_str()));
}

fn source_identity(asked: &Asked<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let row = identity::temporary_key(&asked.view, &asked.caller.access_key);
    if let Some(Holder::Role { source_identity: Some(name), .. }) = row.map(|row| &row.holder) {
        add(name);
    }
}

/// The instance whose metadata handed the credentials out.
fn source_instance(asked: &Asked<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let Principal::Role(session) = &asked.caller.principal else { return };
    let Some(id) = &session.instance else { return };
    let regions = asked.view.state.scopes.iter();
    let mut holding = regions
        .filter(|(scope, tables)| scope.account == asked.caller.account && tables.instances.contains_key(id.as_str()));
    if let Some((scope, _)) = holding.next() {
        add(&scope.arn("ec2", &format!("instance/{id}")));
    }
}

/// The operation that tags what it makes.
fn create_action(asked: &Asked<'_>, _: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    add(asked.operation().name());
}

/// Whether a group names a version of its template other than the changing
/// ones (Amazon EC2 Auto Scaling User Guide, "Identity-based policy examples").
fn template_version(asked: &Asked<'_>, _: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let (template, mixed) = match asked.input {
        Input::AutoScalingCreateAutoScalingGroup(input) => (&input.launch_template, &input.mixed_instances_policy),
        Input::AutoScalingUpdateAutoScalingGroup(input) => (&input.launch_template, &input.mixed_instances_policy),
        _ => return,
    };
    let mixed = mixed.as_ref().and_then(|mixed| mixed.launch_template.as_ref());
    let template = template.as_ref().or_else(|| mixed?.launch_template_specification.as_ref());
    if let Some(template) = template {
        let fixed = template.version.as_deref().is_some_and(|version| version.parse::<u64>().is_ok());
        add(word(fixed));
    }
}

/// The subnets that a group names.
fn subnets(asked: &Asked<'_>, _: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let text = asked.text("VPCZoneIdentifier").unwrap_or_default();
    text.split(',').map(str::trim).filter(|id| !id.is_empty()).for_each(add);
}

/// The boundary that the user or role has; of a request that gives one, the
/// table names the member.
fn boundary(asked: &Asked<'_>, resource: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let name = resource.id.rsplit('/').next().unwrap_or_default();
    let bound = match resource.of().1 {
        "user" => identity::user(&asked.view, name).and_then(|row| row.boundary.as_deref()),
        "role" => identity::role(&asked.view, name).and_then(|row| row.boundary.as_deref()),
        _ => None,
    };
    bound.into_iter().for_each(add);
}

/// The encryption context of a cryptographic operation.
fn encryption(input: &Input) -> Option<&std::collections::BTreeMap<String, String>> {
    match input {
        Input::KmsEncrypt(input) => Some(&input.encryption_context),
        Input::KmsDecrypt(input) => Some(&input.encryption_context),
        Input::KmsGenerateDataKey(input) => Some(&input.encryption_context),
        Input::KmsGenerateDataKeyWithoutPlaintext(input) => Some(&input.encryption_context),
        _ => None,
    }
}

fn encryption_context(asked: &Asked<'_>, _: &Resource<'_>, name: &str, add: &mut dyn FnMut(&str)) {
    let pairs = encryption(asked.input).into_iter().flatten();
    pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).for_each(|(_, value)| add(value));
}

fn encryption_context_keys(asked: &Asked<'_>, _: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    encryption(asked.input).into_iter().flatten().for_each(|(key, _)| add(key));
}

/// The service that uses the key for its caller.
fn via_service(asked: &Asked<'_>, _: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let service = asked.operation().service();
    if service != Service::Kms {
        add(&format!("{}.{}.amazonaws.com", service.info().signing_name, asked.region()));
    }
}

/// The aliases of the key.
fn resource_aliases(asked: &Asked<'_>, resource: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let of_key = asked.view.all::<KeyAlias>().filter(|alias| alias.key == resource.id);
    of_key.for_each(|alias| add(&alias.name));
}

/// The alias that the request names the key by.
fn request_alias(asked: &Asked<'_>, _: &Resource<'_>, _: &str, add: &mut dyn FnMut(&str)) {
    let named = asked.text("KeyId").map(|id| id.rsplit_once(':').map_or(id, |(_, id)| id));
    named.filter(|id| id.starts_with("alias/")).into_iter().for_each(add);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Global keys are found by their names, and those that vary by how they begin.
    #[test]
    fn global_keys_are_found() {
        for (name, whole, varies) in [
            ("aws:sourceip", Some("aws:sourceip"), None),
            ("aws:principaltag/a/b", None, Some("a/b")),
            ("aws:principaltag/", None, None),
            ("aws:principaltag", None, None),
            ("aws:sourceip/a", None, None),
            ("aws:nothing", None, None),
        ] {
            assert_eq!(global(name).map(|at| GLOBAL[at].0), whole, "{name}");
            assert_eq!(open(name).map(|(_, rest)| rest), varies, "{name}");
        }
    }
}
