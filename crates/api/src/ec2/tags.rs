//! CreateTags, DeleteTags and DescribeTags over every resource that rows
//! hold: those with rows of their own, and rules, volumes, interfaces and
//! snapshots, which live in the rows they belong to.

use super::filter::Filters;
use super::{errors, paging, tag_rules};
use crate::{Call, Change};
use elastane_engine::row::*;
use elastane_engine::{Tx, View};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeSet;

/// Resources that one call may name (EC2 API Reference, "CreateTags").
const RESOURCES_MAX: usize = 1000;

const FILTERS: &[&str] = &["key", "resource-id", "resource-type", "value"];

/// Something with tags.
struct Tagged<'a> {
    id: &'a str,
    /// AWS's word for its kind.
    kind: &'static str,
    tags: &'a Tags,
}

/// Everything that can have tags, terminated instances included.
fn all<'a>(view: &View<'a>) -> impl Iterator<Item = Tagged<'a>> + use<'a> {
    let one = |id: &'a str, kind: &'static str, tags: &'a Tags| Tagged { id, kind, tags };
    let vpcs = view.all::<Vpc>().map(move |row| one(row.id.as_str(), "vpc", &row.tags));
    let subnets = view.all::<Subnet>().map(move |row| one(row.id.as_str(), "subnet", &row.tags));
    let keys = view.all::<KeyPair>().map(move |row| one(&row.id, "key-pair", &row.tags));
    let templates = view.all::<LaunchTemplate>().map(move |row| one(row.id.as_str(), "launch-template", &row.tags));
    let groups = view.all::<SecurityGroup>().flat_map(move |row| {
        let rules = row.rules.iter().map(move |rule| one(&rule.id, "security-group-rule", &rule.tags));
        rules.chain([one(row.id.as_str(), "security-group", &row.tags)])
    });
    let images = view.all::<Image>().filter(|row| row.phase != ImagePhase::Deregistered).flat_map(move |row| {
        [one(row.id.as_str(), "image", &row.tags), one(&row.snapshot, "snapshot", &row.snapshot_tags)]
    });
    let instances = view.all::<Instance>().flat_map(move |row| {
        [
            one(row.id.as_str(), "instance", &row.tags),
            one(&row.root_volume, "volume", &row.volume_tags),
            one(&row.interface, "network-interface", &row.interface_tags),
        ]
    });
    vpcs.chain(subnets).chain(keys).chain(templates).chain(groups).chain(images).chain(instances)
}

/// Where a resource's tags are: the row, and which of its tags.
enum Place {
    Vpc,
    Subnet,
    SecurityGroup,
    /// The group that holds the rule.
    Rule(String),
    /// The pair's name.
    KeyPair(String),
    Image,
    /// The image that it belongs to.
    Snapshot(String),
    LaunchTemplate,
    Instance,
    /// The instance that it belongs to.
    Volume(String),
    /// The instance that it belongs to.
    Interface(String),
}

/// Finds a resource by its id.
fn place(view: &View<'_>, id: &str) -> Result<Place, ApiError> {
    let prefix = id.find('-').map_or("", |dash| &id[..=dash]);
    let owner = |found: Option<&std::sync::Arc<Instance>>| found.map(|row| row.id.to_string());
    let (code, found) = match prefix {
        "vpc-" => ("InvalidVpcID.NotFound", view.get::<Vpc>(id).map(|_| Place::Vpc)),
        "subnet-" => ("InvalidSubnetID.NotFound", view.get::<Subnet>(id).map(|_| Place::Subnet)),
        "sg-" => ("InvalidGroup.NotFound", view.get::<SecurityGroup>(id).map(|_| Place::SecurityGroup)),
        "sgr-" => {
            let mut groups = view.all::<SecurityGroup>();
            let holder = groups.find(|group| group.rules.iter().any(|rule| rule.id == id));
            ("InvalidSecurityGroupRuleId.NotFound", holder.map(|group| Place::Rule(group.id.to_string())))
        }
        "key-" => {
            let pair = view.all::<KeyPair>().find(|pair| pair.id == id);
            ("InvalidKeyPair.NotFound", pair.map(|pair| Place::KeyPair(pair.name.clone())))
        }
        "ami-" => {
            let image = view.get::<Image>(id).filter(|image| image.phase != ImagePhase::Deregistered);
            ("InvalidAMIID.NotFound", image.map(|_| Place::Image))
        }
        "snap-" => {
            let mut images = view.all::<Image>();
            let image = images.find(|image| image.snapshot == id && image.phase != ImagePhase::Deregistered);
            ("InvalidSnapshot.NotFound", image.map(|image| Place::Snapshot(image.id.to_string())))
        }
        "lt-" => ("InvalidLaunchTemplateId.NotFound", view.get::<LaunchTemplate>(id).map(|_| Place::LaunchTemplate)),
        "i-" => ("InvalidInstanceID.NotFound", view.get::<Instance>(id).map(|_| Place::Instance)),
        "vol-" => (
            "InvalidVolume.NotFound",
            owner(view.all::<Instance>().find(|row| row.root_volume == id)).map(Place::Volume),
        ),
        "eni-" => (
            "InvalidNetworkInterfaceID.NotFound",
            owner(view.all::<Instance>().find(|row| row.interface == id)).map(Place::Interface),
        ),
        _ => return Err(ApiError::new("InvalidID", format!("The ID '{id}' is not valid"))),
    };
    errors::check_id(prefix, "InvalidID", id)?;
    found.ok_or_else(|| ApiError::new(code, format!("The {} ID '{id}' does not exist", prefix.trim_end_matches('-'))))
}

/// Changes the tags of a resource.
fn edit(tx: &mut Tx<'_>, id: &str, place: &Place, change: impl FnOnce(&mut Tags)) {
    match place {
        Place::Vpc => tx.update(id, |row: &mut Vpc| change(&mut row.tags)),
        Place::Subnet => tx.update(id, |row: &mut Subnet| change(&mut row.tags)),
        Place::SecurityGroup => tx.update(id, |row: &mut SecurityGroup| change(&mut row.tags)),
        Place::Rule(group) => tx.update(group, |row: &mut SecurityGroup| {
            if let Some(rule) = row.rules.iter_mut().find(|rule| rule.id == id) {
                change(&mut rule.tags);
            }
        }),
        Place::KeyPair(name) => tx.update(name, |row: &mut KeyPair| change(&mut row.tags)),
        Place::Image => tx.update(id, |row: &mut Image| change(&mut row.tags)),
        Place::Snapshot(image) => tx.update(image, |row: &mut Image| change(&mut row.snapshot_tags)),
        Place::LaunchTemplate => tx.update(id, |row: &mut LaunchTemplate| change(&mut row.tags)),
        Place::Instance => tx.update(id, |row: &mut Instance| change(&mut row.tags)),
        Place::Volume(instance) => tx.update(instance, |row: &mut Instance| change(&mut row.volume_tags)),
        Place::Interface(instance) => tx.update(instance, |row: &mut Instance| change(&mut row.interface_tags)),
    }
}

fn places(view: &View<'_>, ids: &[String]) -> Result<Vec<Place>, ApiError> {
    if ids.is_empty() {
        return Err(errors::missing("ResourceId"));
    }
    if ids.len() > RESOURCES_MAX {
        return Err(errors::invalid_value(format!("At most {RESOURCES_MAX} resources are allowed in one call.")));
    }
    ids.iter().map(|id| place(view, id)).collect()
}

/// CreateTags: sets tags, over those of the same keys.
pub fn create_tags(
    change: &mut Change<'_, '_>,
    input: &wire::CreateTagsRequest,
) -> Result<wire::CreateTagsOutput, ApiError> {
    let tags = tag_rules::checked(&input.tags)?;
    if tags.is_empty() {
        return Err(errors::missing("Tag"));
    }
    let places = places(&change.view(), &input.resources)?;
    for (id, place) in input.resources.iter().zip(&places) {
        let mut within = Ok(());
        edit(change, id, place, |found| {
            found.extend(tags.clone());
            within = tag_rules::check_count(found);
        });
        within?;
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::CreateTagsOutput {})
}

/// DeleteTags: a key goes whatever its value, a key with a value only if it
/// has that value; without keys, all of the user's tags go.
pub fn delete_tags(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteTagsRequest,
) -> Result<wire::DeleteTagsOutput, ApiError> {
    for key in input.tags.iter().filter_map(|tag| tag.key.as_deref()) {
        if tag_rules::reserved(key) {
            let message = format!("Tag keys starting with 'aws:' are reserved for internal use: '{key}'");
            return Err(errors::invalid_value(message));
        }
    }
    let places = places(&change.view(), &input.resources)?;
    for (id, place) in input.resources.iter().zip(&places) {
        edit(change, id, place, |found| {
            if input.tags.is_empty() {
                found.retain(|key, _| tag_rules::reserved(key));
            }
            for tag in &input.tags {
                let key = tag.key.as_deref().unwrap_or_default();
                if tag.value.is_none() || found.get(key) == tag.value.as_ref() {
                    found.remove(key);
                }
            }
        });
    }
    errors::dry_run(input.dry_run)?;
    Ok(wire::DeleteTagsOutput {})
}

/// DescribeTags: a row for each resource and key.
pub fn describe_tags(call: &Call<'_>, input: &wire::DescribeTagsRequest) -> Result<wire::DescribeTagsResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    let filters = Filters::new(&input.filters, FILTERS)?;
    let resource = filters.exact("resource-id");
    let mut found: BTreeSet<(&str, &str, &str, &str)> = BTreeSet::new();
    for tagged in all(&call.view).filter(|tagged| resource.is_none_or(|id| tagged.id == id)) {
        for (key, value) in tagged.tags {
            let of_tag = |name: &str, emit: &mut dyn FnMut(&str)| match name {
                "key" => emit(key),
                "value" => emit(value),
                "resource-id" => emit(tagged.id),
                "resource-type" => emit(tagged.kind),
                _ => {}
            };
            // `tag:<key>` is about this row's key, not about other tags of the resource.
            if filters.accept_row((key, value), of_tag) {
                found.insert((tagged.id, key, value, tagged.kind));
            }
        }
    }
    let found: Vec<_> = found.into_iter().collect();
    let name = |row: &(&str, &str, &str, &str)| format!("{}\n{}", row.0, row.1);
    let (page, next_token) =
        paging::cut(found, input.max_results, input.next_token.as_deref(), (paging::USUAL, false), name)?;
    let shown = |(id, key, value, kind): (&str, &str, &str, &str)| wire::TagDescription {
        key: Some(key.to_string()),
        resource_id: Some(id.to_string()),
        resource_type: Some(kind.to_string()),
        value: Some(value.to_string()),
    };
    Ok(wire::DescribeTagsResult { next_token, tags: page.into_iter().map(shown).collect() })
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, filter, tag};
    use super::*;

    fn create(scene: &mut Scene, ids: &[&str], tags: &[wire::Tag]) -> Result<wire::CreateTagsOutput, ApiError> {
        let resources = ids.iter().map(|id| id.to_string()).collect();
        let input = wire::CreateTagsRequest { resources, tags: tags.to_vec(), ..Default::default() };
        scene.write(|change| create_tags(change, &input))
    }

    fn delete(scene: &mut Scene, id: &str, tags: Vec<wire::Tag>) -> Result<wire::DeleteTagsOutput, ApiError> {
        let input = wire::DeleteTagsRequest { resources: vec![id.to_string()], tags, ..Default::default() };
        scene.write(|change| delete_tags(change, &input))
    }

    fn described(scene: &Scene, filters: Vec<wire::Filter>) -> Vec<String> {
        let input = wire::DescribeTagsRequest { filters, ..Default::default() };
        let answer = scene.read(|call| describe_tags(call, &input)).expect("tags");
        let text = |text: Option<String>| text.unwrap_or_default();
        answer
            .tags
            .into_iter()
            .map(|row| format!("{} {}={}", text(row.resource_type), text(row.key), text(row.value)))
            .collect()
    }

    /// Every kind of resource that rows hold takes tags and shows them.
    #[test]
    fn ec2_10_4_all_kinds_are_tagged() {
        let mut scene = Scene::new();
        let instance = scene.launch(1).remove(0);
        let view = scene.view();
        let row = view.get::<Instance>(&instance).expect("launched");
        let group = view.all::<SecurityGroup>().next().expect("the default group");
        let image = view.all::<Image>().next().expect("the built-in image");
        let ids = [
            row.vpc.to_string(),
            row.subnet.to_string(),
            group.id.to_string(),
            group.rules[0].id.clone(),
            image.id.to_string(),
            image.snapshot.clone(),
            instance.clone(),
            row.root_volume.clone(),
            row.interface.clone(),
        ];
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        create(&mut scene, &ids, &[tag("Team", "a")]).expect("all exist");
        let mut kinds = described(&scene, vec![filter("key", &["Team"])]);
        kinds.sort();
        let expected = [
            "image",
            "instance",
            "network-interface",
            "security-group",
            "security-group-rule",
            "snapshot",
            "subnet",
            "volume",
            "vpc",
        ];
        assert_eq!(kinds, expected.map(|kind| format!("{kind} Team=a")));
    }

    /// Setting overwrites, removing goes by key or by key and value, no keys
    /// removes all but AWS's own.
    #[test]
    fn ec2_10_4_set_and_remove() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene
            .write(|change| {
                change.update(&id, |row: &mut Instance| {
                    row.tags.insert("aws:x".to_string(), "system".to_string());
                });
                Ok(())
            })
            .expect("an update");
        create(&mut scene, &[&id], &[tag("a", "1"), tag("b", "2"), tag("c", "3")]).expect("tags");
        create(&mut scene, &[&id], &[tag("a", "9")]).expect("over it");
        let all = |scene: &Scene| described(scene, vec![filter("resource-id", &[&id])]);
        assert_eq!(all(&scene), ["instance a=9", "instance aws:x=system", "instance b=2", "instance c=3"]);
        assert_eq!(described(&scene, vec![filter("tag:a", &["*"])]), ["instance a=9"]);
        delete(&mut scene, &id, vec![tag("a", "1"), wire::Tag { key: Some("b".into()), value: None }]).expect("tags");
        assert_eq!(all(&scene), ["instance a=9", "instance aws:x=system", "instance c=3"]);
        delete(&mut scene, &id, vec![]).expect("all");
        assert_eq!(all(&scene), ["instance aws:x=system"]);
        assert_eq!(
            delete(&mut scene, &id, vec![tag("aws:x", "system")]).expect_err("AWS's own").code,
            "InvalidParameterValue"
        );
    }

    /// A wrong resource or one tag too many changes nothing at all.
    #[test]
    fn ec2_10_4_tagging_is_all_or_nothing() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        for (other, code) in [
            ("i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
            ("vol-0123456789abcdef0", "InvalidVolume.NotFound"),
            ("web", "InvalidID"),
            ("i-1", "InvalidID"),
        ] {
            assert_eq!(create(&mut scene, &[&id, other], &[tag("a", "1")]).expect_err(code).code, code);
        }
        let full: Vec<wire::Tag> = (0..tag_rules::TAGS_MAX).map(|n| tag(&n.to_string(), "")).collect();
        create(&mut scene, &[&id], &full).expect("just enough");
        assert_eq!(create(&mut scene, &[&id], &[tag("more", "")]).expect_err("too many").code, "TagLimitExceeded");
        assert_eq!(scene.row::<Instance>(&id).tags.len(), tag_rules::TAGS_MAX);
    }
}
