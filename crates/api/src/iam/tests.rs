//! Roles and instance profiles, and how instances get them.

use super::*;
use crate::{Call, Caller, Change, World, ec2, scope_of};
use elastane_domain::id::InstanceId;
use elastane_domain::time::Time;
use elastane_engine::row::{Instance, InstanceProfile, Role};
use elastane_engine::{Config, Engine, Scope, identity};
use elastane_wire::{ApiError, Operation, ec2 as wire_ec2, iam as wire};

const NOW: Time = Time(1_767_261_600_000);
const TRUST: &str =
    r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

struct Nowhere;

impl World for Nowhere {
    fn console(&self, _: &InstanceId) -> Option<Vec<u8>> {
        None
    }
}

struct Bench {
    engine: Engine,
    caller: Caller,
}

impl Bench {
    fn new() -> Bench {
        let caller = Caller::root(&"000000000000".into(), "AKIAIOSFODNN7EXAMPLE");
        Bench { engine: Engine::open(Config::default(), 7, Vec::new()).expect("no rows"), caller }
    }

    fn scope(&self, operation: Operation) -> Scope {
        scope_of(operation, self.caller.account.clone(), "eu-west-1".into())
    }

    fn iam<T>(&mut self, call: impl FnOnce(&mut Change<'_, '_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let scope = self.scope(Operation::IamGetRole);
        let caller = &self.caller;
        self.engine.transact(&scope, NOW, |tx| call(&mut Change { tx, caller, world: &crate::NoWorld }))
    }

    fn read<T>(&mut self, call: impl FnOnce(&Call<'_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let scope = self.scope(Operation::IamGetRole);
        let caller = &self.caller;
        self.engine.transact(&scope, NOW, |tx| call(&Call { view: tx.view(), caller, world: &Nowhere }))
    }

    fn ec2<T>(&mut self, call: impl FnOnce(&mut Change<'_, '_>) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let scope = self.scope(Operation::Ec2RunInstances);
        let caller = &self.caller;
        self.engine.transact(&scope, NOW, |tx| call(&mut Change { tx, caller, world: &crate::NoWorld }))
    }

    fn role(&mut self, name: &str) -> Result<wire::CreateRoleResponse, ApiError> {
        let input = wire::CreateRoleRequest {
            role_name: text(name),
            assume_role_policy_document: text(TRUST),
            ..Default::default()
        };
        self.iam(|change| create_role(change, &input))
    }

    fn profile(&mut self, name: &str) -> Result<wire::CreateInstanceProfileResponse, ApiError> {
        let input = wire::CreateInstanceProfileRequest { instance_profile_name: text(name), ..Default::default() };
        self.iam(|change| create_instance_profile(change, &input))
    }

    fn add(&mut self, profile: &str, role: &str) -> Result<wire::AddRoleToInstanceProfileOutput, ApiError> {
        let input =
            wire::AddRoleToInstanceProfileRequest { instance_profile_name: text(profile), role_name: text(role) };
        self.iam(|change| add_role_to_instance_profile(change, &input))
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_string())
}

fn code<T>(result: Result<T, ApiError>) -> (String, u16) {
    result.err().map_or((String::new(), 200), |err| (err.code.to_string(), err.status))
}

/// A role from its creation to its end, with the codes on the way.
#[test]
fn the_life_of_a_role_and_its_profile() {
    let mut bench = Bench::new();
    let role = bench.role("web").expect("made").role.expect("shown");
    assert_eq!(role.arn.as_deref(), Some("arn:aws:iam::000000000000:role/web"));
    assert_eq!((role.path.as_deref(), role.max_session_duration, role.description), (Some("/"), Some(3600), None));
    assert!(role.role_id.is_some_and(|id| id.starts_with("AROA") && id.len() == 21));
    assert!(role.assume_role_policy_document.is_some_and(|text| text.starts_with("%7B%22Statement%22")));
    assert_eq!(code(bench.role("WEB")), ("EntityAlreadyExists".to_string(), 409));
    bench.profile("site").expect("made");
    assert_eq!(code(bench.profile("site")), ("EntityAlreadyExists".to_string(), 409));
    assert_eq!(code(bench.add("site", "api")), ("NoSuchEntity".to_string(), 404));
    bench.add("site", "web").expect("added");
    assert_eq!(code(bench.add("site", "web")), ("LimitExceeded".to_string(), 409));
    let of_role = wire::ListInstanceProfilesForRoleRequest { role_name: text("web"), ..Default::default() };
    let listed = bench.read(|call| list_instance_profiles_for_role(call, &of_role)).expect("listed");
    assert_eq!((listed.instance_profiles.len(), listed.instance_profiles[0].roles.len()), (1, 1));
    let delete_role_web = wire::DeleteRoleRequest { role_name: text("web") };
    let delete_site = wire::DeleteInstanceProfileRequest { instance_profile_name: text("site") };
    let conflict = ("DeleteConflict".to_string(), 409);
    assert_eq!(code(bench.iam(|change| delete_role(change, &delete_role_web))), conflict);
    assert_eq!(code(bench.iam(|change| delete_instance_profile(change, &delete_site))), conflict);
    let remove =
        wire::RemoveRoleFromInstanceProfileRequest { instance_profile_name: text("site"), role_name: text("web") };
    bench.iam(|change| remove_role_from_instance_profile(change, &remove)).expect("removed");
    bench.iam(|change| delete_instance_profile(change, &delete_site)).expect("deleted");
    bench.iam(|change| delete_role(change, &delete_role_web)).expect("deleted");
    assert_eq!(code(bench.iam(|change| delete_role(change, &delete_role_web))), ("NoSuchEntity".to_string(), 404));
    let tables = &bench.engine.state().scopes[&bench.scope(Operation::IamGetRole)];
    assert!(tables.vpcs.is_empty() && tables.images.is_empty(), "the account's own scope has no network");
}

/// Pages of roles, by path; tags come and go.
#[test]
fn roles_come_in_pages() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.role(name).expect("made");
    }
    let ask = |max: i32, marker: Option<String>| wire::ListRolesRequest {
        max_items: Some(max),
        marker,
        ..Default::default()
    };
    let first = bench.read(|call| list_roles(call, &ask(2, None))).expect("a page");
    assert_eq!((first.roles.len(), first.is_truncated), (2, Some(true)));
    let rest = bench.read(|call| list_roles(call, &ask(2, first.marker.clone()))).expect("the rest");
    assert_eq!((rest.roles.len(), rest.is_truncated), (1, Some(false)));
    let tag = wire::Tag { key: text("team"), value: text("web") };
    let input = wire::TagRoleRequest { role_name: text("a"), tags: vec![tag.clone()] };
    bench.iam(|change| tag_role(change, &input)).expect("tagged");
    let get = wire::GetRoleRequest { role_name: text("a") };
    assert_eq!(bench.read(|call| get_role(call, &get)).expect("there").role.expect("it").tags, [tag]);
    let input = wire::UntagRoleRequest { role_name: text("a"), tag_keys: vec!["team".to_string()] };
    bench.iam(|change| untag_role(change, &input)).expect("untagged");
    assert!(bench.read(|call| get_role(call, &get)).expect("there").role.expect("it").tags.is_empty());
}

/// An instance is launched with a profile of the account, whatever its
/// region, and its association is replaced and ended.
#[test]
fn instances_carry_profiles() {
    let mut bench = Bench::new();
    let launch = |profile: &str| wire_ec2::RunInstancesRequest {
        image_id: Some(elastane_engine::network::host_image().to_string()),
        min_count: Some(1),
        max_count: Some(1),
        iam_instance_profile: Some(wire_ec2::IamInstanceProfileSpecification {
            name: text(profile),
            ..Default::default()
        }),
        ..Default::default()
    };
    let err = bench.ec2(|change| ec2::run_instances(change, &launch("site"))).expect_err("no profile");
    assert!(err.message.contains("Invalid IAM Instance Profile name"), "{}", err.message);
    bench.profile("site").expect("made");
    let err = bench.ec2(|change| ec2::run_instances(change, &launch("site"))).expect_err("no role");
    assert!(err.message.contains(" has no associated IAM Roles"), "{}", err.message);
    bench.role("web").expect("made");
    bench.add("site", "web").expect("added");
    let made = bench.ec2(|change| ec2::run_instances(change, &launch("site"))).expect("a launch");
    let shown = made.instances[0].iam_instance_profile.clone().and_then(|profile| profile.arn);
    assert_eq!(shown.as_deref(), Some("arn:aws:iam::000000000000:instance-profile/site"));
    let id = made.instances[0].instance_id.clone().expect("an id");
    let found = bench.ec2(|change| {
        let row = change.get::<Instance>(&id).expect("the row");
        Ok(identity::role_of(&change.view(), &row))
    });
    let (profile, role): (InstanceProfile, Role) = found.expect("no error").expect("a role");
    assert_eq!(
        (profile.name.as_str(), role.name.as_str(), identity::trusts_ec2(&"000000000000".into(), &role)),
        ("site", "web", true)
    );
    let associate = wire_ec2::AssociateIamInstanceProfileRequest {
        instance_id: Some(id.clone()),
        iam_instance_profile: launch("site").iam_instance_profile,
    };
    let twice = bench.ec2(|change| ec2::associate_iam_instance_profile(change, &associate));
    assert_eq!(code(twice).0, "IncorrectState");
    let association = bench.ec2(|change| Ok(change.get::<Instance>(&id).and_then(|row| row.profile.clone())));
    let association_id = association.expect("no error").map(|association| association.id);
    let replace = wire_ec2::ReplaceIamInstanceProfileAssociationRequest {
        association_id: association_id.clone(),
        iam_instance_profile: launch("site").iam_instance_profile,
    };
    let replaced = bench.ec2(|change| ec2::replace_iam_instance_profile_association(change, &replace)).expect("done");
    let fresh = replaced.iam_instance_profile_association.and_then(|one| one.association_id);
    assert_ne!(fresh, association_id);
    let end = |id: Option<String>| wire_ec2::DisassociateIamInstanceProfileRequest { association_id: id };
    let old = bench.ec2(|change| ec2::disassociate_iam_instance_profile(change, &end(association_id)));
    assert_eq!(code(old).0, "NoSuchAssociation");
    bench.ec2(|change| ec2::disassociate_iam_instance_profile(change, &end(fresh))).expect("ended");
    let left = bench.ec2(|change| Ok(change.get::<Instance>(&id).and_then(|row| row.profile.clone())));
    assert_eq!(left.expect("no error"), None);
}
