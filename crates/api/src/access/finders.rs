//! The `@words` of the table: resources that need more than one member of the
//! request to be known.

use super::asked::Asked;
use crate::Principal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_engine::identity;
use elastane_engine::row::{Parameter, ParameterKind};
use elastane_wire::Input;
use std::borrow::Cow;

/// Finds resources of a request.
pub type Finder = for<'q> fn(&'q Asked<'_>, &mut Vec<Named<'q>>);

/// A resource as a request names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named<'q> {
    /// Its type, where the table leaves it open; empty when it shows in the id.
    pub kind: &'static str,
    /// Its id, name or ARN; `*` when there is none yet.
    pub id: Cow<'q, str>,
    /// Whether a launch template names it and not the request itself.
    pub from_template: bool,
}

impl<'q> Named<'q> {
    /// A resource of a type.
    pub fn new(kind: &'static str, id: impl Into<Cow<'q, str>>) -> Named<'q> {
        Named { kind, id: id.into(), from_template: false }
    }
}

/// What finds an `@word`; `None` for an unknown one.
pub fn named(word: &str) -> Option<Finder> {
    Some(match word {
        "launch" => launch,
        "launch-role" => launch_role,
        "tagged" => tagged,
        "caller" => caller,
        "ciphertext-key" => ciphertext_key,
        "parameter-key" => parameter_key,
        "parameter-new-key" => parameter_new_key,
        "policy-group" => policy_group,
        "key-owner" => key_owner,
        "deletion-task" => deletion_task,
        "service-linked" => service_linked,
        "new-linked-role" => new_linked_role,
        "ssm-resource" => systems_resource,
        "command-targets" => command_targets,
        "command-parameters" => command_parameters,
        _ => return None,
    })
}

/// What a launch names or makes.
fn launch<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let launching = asked.launching();
    let (data, own) = (&launching.data, launching.own());
    let templated = launching.template.is_some();
    let mut add = |kind, id: &'q str, own: bool| {
        found.push(Named { kind, id: id.into(), from_template: templated && !own });
    };
    add("instance", "*", true);
    add("volume", "*", true);
    add(
        "image",
        data.image.as_ref().map_or("*", |id| id.as_str()),
        own.image.is_some() || own.image_parameter.is_some(),
    );
    if let Some(template) = &launching.template {
        add("launch-template", template, true);
    }
    let existing = data.interfaces.iter().filter_map(|interface| interface.existing.as_deref());
    let mut interfaces: Vec<&str> = existing.collect();
    if interfaces.is_empty() {
        interfaces.push("*");
    }
    interfaces.into_iter().for_each(|id| add("network-interface", id, !own.interfaces.is_empty()));
    let of_interfaces = data.interfaces.iter().filter_map(|interface| interface.subnet.as_ref());
    let subnets: Vec<_> = data.subnet.iter().chain(of_interfaces).map(|id| id.as_str()).collect();
    let own_subnet = own.subnet.is_some() || !own.interfaces.is_empty();
    or_any(subnets).into_iter().for_each(|id| add("subnet", id, own_subnet));
    let of_interfaces = data.interfaces.iter().flat_map(|interface| &interface.groups).map(|id| id.as_str());
    let named = data.security_group_names.iter().map(String::as_str);
    let groups = data.security_groups.iter().map(|id| id.as_str()).chain(named).chain(of_interfaces).collect();
    let own_groups = !own.security_groups.is_empty() || !own.security_group_names.is_empty();
    or_any(groups).into_iter().for_each(|id| add("security-group", id, own_groups || !own.interfaces.is_empty()));
    if let Some(name) = &data.key_name {
        add("key-pair", name, own.key_name.is_some());
    }
    if let Some(name) = &data.placement.group {
        add("placement-group", name, own.placement.group.is_some());
    }
}

/// Ids, or one that stands for those that are yet to be chosen.
fn or_any(ids: Vec<&str>) -> Vec<&str> {
    if ids.is_empty() { vec!["*"] } else { ids }
}

/// The role that a launch gives instances.
fn launch_role<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let Some(profile) = &asked.launching().data.profile else { return };
    let profile = identity::named_profile(&asked.view, profile);
    if let Some(role) = profile.and_then(|profile| profile.role.as_deref()) {
        found.push(Named::new("role", role));
    }
}

/// What the call tags while it makes it.
fn tagged<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    for kind in asked.tagged_kinds() {
        let known = super::table::table().services.iter().filter(|service| service.prefix == "ec2");
        if let Some(kind) = known.flat_map(|service| &service.kinds).find(|known| known.name == kind) {
            found.push(Named::new(kind.name, "*"));
        }
    }
}

/// The caller itself, if it is a user and the call names no other.
fn caller<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    if let Principal::User(name) = &asked.caller.principal
        && asked.text("UserName").is_none()
    {
        found.push(Named::new("user", name.as_str()));
    }
}

/// The key that a text is encrypted with: it says so itself.
fn ciphertext_key<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let blob = match asked.input {
        Input::KmsDecrypt(input) => input.ciphertext_blob.as_deref(),
        Input::KmsReEncrypt(input) => input.ciphertext_blob.as_deref(),
        _ => None,
    };
    found.extend(blob.and_then(crate::kms::sealed_by).map(|id| Named::new("key", id)));
}

/// The customer's keys that the parameters are encrypted with which the call
/// wants to read. Everybody may use AWS's own key for parameters, through them.
fn parameter_key<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let view = &asked.view;
    let all = |prefix: &str| {
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        view.all::<Parameter>().filter(move |row| row.name.starts_with(&prefix)).collect::<Vec<_>>()
    };
    let (with_decryption, rows) = match asked.input {
        Input::SsmGetParameter(input) => (input.with_decryption, named_parameters(asked, &input.name)),
        Input::SsmGetParameters(input) => (input.with_decryption, named_parameters(asked, &input.names)),
        Input::SsmGetParameterHistory(input) => (input.with_decryption, named_parameters(asked, &input.name)),
        Input::SsmGetParametersByPath(input) => {
            (input.with_decryption, input.path.as_deref().map(all).unwrap_or_default())
        }
        _ => return,
    };
    if with_decryption != Some(true) {
        return;
    }
    let secure = rows.into_iter().filter(|row| row.kind == ParameterKind::Secure);
    // An alias may lead to another key by now: the value itself says which one sealed it.
    let sealed =
        secure.flat_map(|row| row.versions.values()).filter_map(|version| STANDARD.decode(&version.value).ok());
    let mut keys: Vec<String> = sealed.filter_map(|blob| crate::kms::sealed_by(&blob)).collect();
    keys.sort_unstable();
    keys.dedup();
    found.extend(keys.into_iter().filter(|key| !of_aws(asked, key)).map(|key| Named::new("key", key)));
}

/// The parameters of names or ARNs, whatever version they ask for.
fn named_parameters<'a, 'n>(
    asked: &Asked<'a>,
    names: impl IntoIterator<Item = &'n String>,
) -> Vec<&'a std::sync::Arc<Parameter>> {
    let own = asked.view.scope.arn("ssm", "parameter");
    let find = |name: &'n String| {
        let name = name.strip_prefix(&own).unwrap_or(name);
        let name = name.split(':').next().unwrap_or_default();
        let get = |name: &str| asked.view.get::<Parameter>(name);
        get(name).or_else(|| get(name.trim_start_matches('/')))
    };
    names.into_iter().filter_map(find).collect()
}

/// The customer's key that a parameter is to be encrypted with.
fn parameter_new_key<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let secure = asked.text("Type") == Some("SecureString");
    let key = asked.text("KeyId").filter(|key| secure && !of_aws(asked, key));
    found.extend(key.map(|key| Named::new("key", key)));
}

/// Whether a key is AWS's own for one of its services.
fn of_aws(asked: &Asked<'_>, key: &str) -> bool {
    key.contains("alias/aws/") || crate::kms::named(&asked.view, key).is_some_and(|row| row.service.is_some())
}

/// The group of a scaling policy that is named by its ARN.
fn policy_group<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let arn = asked.text("PolicyName").filter(|name| name.starts_with("arn:"));
    found.extend(arn.map(|arn| Named::new("autoScalingGroup", arn)));
}

/// The user whose access key is named.
fn key_owner<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let key = asked.text("AccessKeyId").and_then(|id| identity::access_key(&asked.view, id));
    found.extend(key.map(|key| Named::new("user", key.user.as_str())));
}

/// The role of a deletion's task: `task/aws-service-role/<service>/<role>/<id>`.
fn deletion_task<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let role = asked.text("DeletionTaskId").and_then(|task| task.split('/').nth(3));
    found.extend(role.map(|role| Named::new("role", role)));
}

/// The role of a service, of which the service alone is known.
fn service_linked<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let service = asked.text("AWSServiceName");
    found.extend(service.map(|service| Named::new("role", format!("/aws-service-role/{service}/*"))));
}

/// The role that the service makes at its first use: its caller must be
/// allowed to (each service's guide, "Service-linked roles").
fn new_linked_role<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let role = crate::iam::linked_role_to_make(&asked.view, asked.operation());
    found.extend(role.map(|role| Named::new("role", role)));
}

/// What ResourceType and ResourceId name together.
fn systems_resource<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let kind = match asked.text("ResourceType") {
        Some("Parameter") => "parameter",
        Some("ManagedInstance") => "instance",
        _ => "document",
    };
    found.extend(asked.text("ResourceId").map(|id| Named::new(kind, id)));
}

/// The instances that a command goes to.
fn command_targets<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let Input::SsmSendCommand(input) = asked.input else { return };
    match input.targets.is_empty() {
        true => found.extend(input.instance_ids.iter().map(|id| Named::new("instance", id.as_str()))),
        false => {
            let ids = crate::ssm::targeted(&asked.view, input);
            found.extend(ids.iter().map(|id| Named::new("instance", id.to_string())));
        }
    }
}

/// What a command refers to in Parameter Store.
fn command_parameters<'q>(asked: &'q Asked<'_>, found: &mut Vec<Named<'q>>) {
    let Input::SsmSendCommand(input) = asked.input else { return };
    found.extend(crate::ssm::referenced(&asked.view, input).into_iter().map(|name| Named::new("parameter", name)));
}
