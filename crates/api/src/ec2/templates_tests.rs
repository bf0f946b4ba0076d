//! Launch templates by the rules of ec2-imds.md 7.

use super::rig::{Rig, code, filter};
use super::*;
use elastane_wire::{ApiError, ec2 as wire};

fn data(image: &str, kind: &str) -> wire::RequestLaunchTemplateData {
    let text = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
    wire::RequestLaunchTemplateData { image_id: text(image), instance_type: text(kind), ..Default::default() }
}

fn creation(name: &str, token: &str) -> wire::CreateLaunchTemplateRequest {
    wire::CreateLaunchTemplateRequest {
        launch_template_name: Some(name.to_string()),
        client_token: Some(token.to_string()),
        launch_template_data: Some(data("ami-01234567", "t3.micro")),
        ..Default::default()
    }
}

fn version(
    rig: &mut Rig,
    source: &str,
    data: wire::RequestLaunchTemplateData,
) -> Result<wire::LaunchTemplateVersion, ApiError> {
    let input = wire::CreateLaunchTemplateVersionRequest {
        launch_template_name: Some("web".to_string()),
        source_version: Some(source.to_string()),
        launch_template_data: Some(data),
        ..Default::default()
    };
    Ok(rig.write(create_launch_template_version, input)?.launch_template_version.expect("the version"))
}

/// A template `web` with so many versions.
fn web(versions: usize) -> Rig {
    let mut rig = Rig::new();
    rig.write(create_launch_template, creation("web", "")).expect("created");
    for _ in 1..versions {
        version(&mut rig, "", data("ami-01234567", "t3.small")).expect("a version");
    }
    rig
}

fn numbers(rig: &mut Rig, input: wire::DescribeLaunchTemplateVersionsRequest) -> Result<Vec<i64>, ApiError> {
    let found = rig.read(describe_launch_template_versions, input)?.launch_template_versions;
    Ok(found.into_iter().filter_map(|version| version.version_number).collect())
}

fn of_web(versions: &[&str]) -> wire::DescribeLaunchTemplateVersionsRequest {
    wire::DescribeLaunchTemplateVersionsRequest {
        launch_template_name: Some("web".to_string()),
        versions: versions.iter().map(|text| text.to_string()).collect(),
        ..Default::default()
    }
}

/// Names have their form and are unique.
#[test]
fn names_are_checked() {
    let mut rig = web(1);
    for (name, expected) in [
        ("", "MissingParameter"),
        ("ab", "InvalidLaunchTemplateName.MalformedException"),
        ("a b c", "InvalidLaunchTemplateName.MalformedException"),
        (&"x".repeat(129), "InvalidLaunchTemplateName.MalformedException"),
        ("web", "InvalidLaunchTemplateName.AlreadyExistsException"),
        ("a(b)./-_", ""),
    ] {
        assert_eq!(code(rig.write(create_launch_template, creation(name, ""))), expected, "{name}");
    }
}

/// A repeated call with the same token makes nothing new; another one is told so.
#[test]
fn client_tokens_make_calls_repeatable() {
    let mut rig = Rig::new();
    let made =
        |rig: &mut Rig| rig.write(create_launch_template, creation("web", "t")).expect("created").launch_template;
    let first = made(&mut rig);
    assert_eq!(made(&mut rig), first);
    assert_eq!(code(rig.write(create_launch_template, creation("api", "t"))), "IdempotentParameterMismatch");
    let mut input = wire::CreateLaunchTemplateVersionRequest {
        launch_template_name: Some("web".to_string()),
        client_token: Some("v".to_string()),
        launch_template_data: Some(data("", "t3.small")),
        ..Default::default()
    };
    for _ in 0..2 {
        let made = rig.write(create_launch_template_version, input.clone()).expect("a version");
        assert_eq!(made.launch_template_version.and_then(|version| version.version_number), Some(2));
    }
    input.version_description = Some("another".to_string());
    assert_eq!(code(rig.write(create_launch_template_version, input)), "IdempotentParameterMismatch");
}

/// Rule 3: a version has what was given on top of its source, and nothing
/// else; what Describe shows is what was sent.
#[test]
fn versions_build_on_their_source() {
    let mut rig = web(1);
    let merged = version(&mut rig, "1", data("", "t3.large")).expect("a version");
    let shown = merged.launch_template_data.expect("data");
    assert_eq!((shown.image_id.as_deref(), shown.instance_type.as_deref()), (Some("ami-01234567"), Some("t3.large")));
    let alone = version(&mut rig, "", data("", "t3.large")).expect("a version");
    let expected =
        wire::ResponseLaunchTemplateData { instance_type: Some("t3.large".to_string()), ..Default::default() };
    assert_eq!(alone.launch_template_data, Some(expected));
    assert_eq!(code(version(&mut rig, "9", data("", "t3.large"))), "InvalidLaunchTemplateId.VersionNotFound");
}

/// Rule 1: a new version moves `$Latest`; only ModifyLaunchTemplate moves `$Default`.
#[test]
fn versions_are_chosen() {
    let mut rig = web(4);
    let modify = |default: &str| wire::ModifyLaunchTemplateRequest {
        launch_template_name: Some("web".to_string()),
        default_version: Some(default.to_string()),
        ..Default::default()
    };
    assert_eq!(code(rig.write(modify_launch_template, modify("9"))), "InvalidLaunchTemplateId.VersionNotFound");
    let template = rig.write(modify_launch_template, modify("2")).expect("modified").launch_template.expect("it");
    assert_eq!((template.default_version_number, template.latest_version_number), (Some(2), Some(4)));
    let range = |min: &str, max: &str| wire::DescribeLaunchTemplateVersionsRequest {
        min_version: Some(min.to_string()),
        max_version: Some(max.to_string()),
        ..of_web(&[])
    };
    for (input, expected) in [
        (of_web(&[]), vec![1, 2, 3, 4]),
        (of_web(&["$Latest", "$Default", "4"]), vec![2, 4]),
        (of_web(&["3"]), vec![3]),
        (range("2", "3"), vec![2, 3]),
        (range("3", ""), vec![3, 4]),
        (
            wire::DescribeLaunchTemplateVersionsRequest { versions: vec!["$Latest".to_string()], ..Default::default() },
            vec![4],
        ),
        (
            wire::DescribeLaunchTemplateVersionsRequest {
                filters: vec![filter("is-default-version", "true")],
                ..of_web(&[])
            },
            vec![2],
        ),
    ] {
        assert_eq!(numbers(&mut rig, input.clone()).expect("found"), expected, "{input:?}");
    }
    let all = |text: &str| wire::DescribeLaunchTemplateVersionsRequest {
        versions: vec![text.to_string()],
        ..Default::default()
    };
    for (input, expected) in [
        (of_web(&["5"]), "InvalidLaunchTemplateId.VersionNotFound"),
        (all("1"), "InvalidParameterValue"),
        (Default::default(), "MissingParameter"),
        (range("x", "3"), "InvalidParameterValue"),
    ] {
        assert_eq!(code(numbers(&mut rig, input.clone())), expected, "{input:?}");
    }
}

/// Pages of versions go on where the last one ended.
#[test]
fn versions_come_in_pages() {
    let mut rig = web(3);
    let mut input = wire::DescribeLaunchTemplateVersionsRequest { max_results: Some(2), ..of_web(&[]) };
    let first = rig.read(describe_launch_template_versions, input.clone()).expect("a page");
    assert_eq!(first.launch_template_versions.len(), 2);
    input.next_token = first.next_token;
    assert_eq!(numbers(&mut rig, input).expect("the last page"), [3]);
}

/// The default version stays, others go; numbers are not used twice.
#[test]
fn versions_are_deleted_one_by_one() {
    let mut rig = web(3);
    let delete = |name: &str, versions: &[&str]| wire::DeleteLaunchTemplateVersionsRequest {
        launch_template_name: Some(name.to_string()),
        versions: versions.iter().map(|text| text.to_string()).collect(),
        ..Default::default()
    };
    let result = rig.write(delete_launch_template_versions, delete("web", &["1", "3", "7"])).expect("an answer");
    let gone: Vec<_> =
        result.successfully_deleted_launch_template_versions.iter().map(|item| item.version_number).collect();
    assert_eq!(gone, [Some(3)]);
    let codes = |result: &wire::DeleteLaunchTemplateVersionsResult| -> Vec<String> {
        let items = result.unsuccessfully_deleted_launch_template_versions.iter();
        items.filter_map(|item| item.response_error.clone()?.code).collect()
    };
    assert_eq!(codes(&result), ["unexpectedError", "launchTemplateVersionDoesNotExist"]);
    assert_eq!(numbers(&mut rig, of_web(&["$Latest"])).expect("found"), [2]);
    let next = version(&mut rig, "", data("", "t3.nano")).expect("a version");
    assert_eq!(next.version_number, Some(4));
    let result = rig.write(delete_launch_template_versions, delete("none", &["1"])).expect("an answer");
    assert_eq!(codes(&result), ["launchTemplateNameDoesNotExist"]);
    assert_eq!(code(rig.write(delete_launch_template_versions, delete("web", &["$Latest"]))), "InvalidParameterValue");
}

/// Ids and names choose templates; deleting takes them away; a dry run does not.
#[test]
fn templates_are_described_and_deleted() {
    let mut rig = web(1);
    let tagged = wire::CreateLaunchTemplateRequest {
        tag_specifications: vec![wire::TagSpecification {
            resource_type: Some("launch-template".to_string()),
            tags: vec![wire::Tag { key: Some("team".to_string()), value: Some("a".to_string()) }],
        }],
        ..creation("api", "")
    };
    let id = rig
        .write(create_launch_template, tagged)
        .expect("created")
        .launch_template
        .and_then(|it| it.launch_template_id);
    let id = id.expect("an id");
    let names = |rig: &mut Rig, input| -> Result<Vec<String>, ApiError> {
        let found = rig.read(describe_launch_templates, input)?.launch_templates;
        let mut names: Vec<String> = found.into_iter().filter_map(|template| template.launch_template_name).collect();
        names.sort();
        Ok(names)
    };
    let by_id = |id: &str| wire::DescribeLaunchTemplatesRequest {
        launch_template_ids: vec![id.to_string()],
        ..Default::default()
    };
    let by_name = |name: &str| wire::DescribeLaunchTemplatesRequest {
        launch_template_names: vec![name.to_string()],
        ..Default::default()
    };
    let by_tag = wire::DescribeLaunchTemplatesRequest { filters: vec![filter("tag:team", "a")], ..Default::default() };
    assert_eq!(names(&mut rig, Default::default()).expect("all"), ["api", "web"]);
    for input in [by_id(&id), by_name("api"), by_tag] {
        assert_eq!(names(&mut rig, input).expect("one"), ["api"]);
    }
    let delete = |dry_run| wire::DeleteLaunchTemplateRequest {
        dry_run,
        launch_template_id: Some(id.clone()),
        ..Default::default()
    };
    assert_eq!(code(rig.write(delete_launch_template, delete(Some(true)))), "DryRunOperation");
    assert_eq!(code(rig.write(delete_launch_template, delete(None))), "");
    assert_eq!(code(rig.write(delete_launch_template, delete(None))), "InvalidLaunchTemplateId.NotFound");
    assert_eq!(code(names(&mut rig, by_id(&id))), "InvalidLaunchTemplateId.NotFound");
    assert_eq!(code(names(&mut rig, by_id("lt-x"))), "InvalidLaunchTemplateId.Malformed");
    assert_eq!(code(names(&mut rig, by_name("api"))), "InvalidLaunchTemplateName.NotFoundException");
}
