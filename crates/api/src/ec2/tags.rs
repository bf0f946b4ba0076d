//! CreateTags, DeleteTags and DescribeTags over every resource that can have tags.

use super::filter::Filters;
use super::tagged::{Place, all, edit, place};
use super::{errors, paging, tag_rules};
use crate::{Call, Change};
use elastane_engine::row::{Instance, Tags};
use elastane_engine::{View, launch};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeSet;

/// Resources that one call may name (EC2 API Reference, "CreateTags").
const RESOURCES_MAX: usize = 1000;

const FILTERS: &[&str] = &["key", "resource-id", "resource-type", "value"];

fn places(view: &View<'_>, ids: &[String]) -> Result<Vec<Place>, ApiError> {
    if ids.is_empty() {
        return Err(errors::missing("ResourceId"));
    }
    if ids.len() > RESOURCES_MAX {
        return Err(errors::invalid_value(format!("At most {RESOURCES_MAX} resources are allowed in one call.")));
    }
    ids.iter().map(|id| place(view, id)).collect()
}

/// Tags of an instance that shows them in its metadata are paths there.
fn check_keys(view: &View<'_>, id: &str, tags: &Tags) -> Result<(), ApiError> {
    match view.get::<Instance>(id) {
        Some(row) if row.metadata.tags => launch::check_tag_keys(tags).map_err(errors::refused),
        Some(_) | None => Ok(()),
    }
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
        check_keys(&change.view(), id, &tags)?;
        let mut within = Ok(());
        edit(change, id, place, &mut |found| {
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
        edit(change, id, place, &mut |found| {
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
    use elastane_engine::row::*;

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

    /// A key that is no path is refused for an instance that shows its tags in
    /// its metadata, and for no other.
    #[test]
    fn tags_in_metadata_have_paths_as_keys() {
        for (shown, key, accepted) in [
            (true, "a/b", false),
            (true, "two words", false),
            (true, "_index", false),
            (true, "a-b", true),
            (false, "a/b", true),
        ] {
            let mut scene = Scene::new();
            let id = scene.launch(1).remove(0);
            let set = |row: &mut Instance| row.metadata.tags = shown;
            let updated = scene.write(|change| {
                change.update(&id, set);
                Ok(())
            });
            updated.expect("an update");
            let result = create(&mut scene, &[&id], &[tag(key, "1")]);
            let code = result.err().map(|error| error.code);
            assert_eq!(code.is_none(), accepted, "{shown} {key}");
            assert!(accepted || code.is_some_and(|code| code == "InvalidParameterValue"), "{shown} {key}");
            assert_eq!(scene.row::<Instance>(&id).tags.contains_key(key), accepted);
            let volume = scene.row::<Instance>(&id).root_volume;
            create(&mut scene, &[&volume], &[tag(key, "1")]).expect("a volume has no metadata");
        }
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
