//! DescribeVolumes: the root volumes of instances; there are no others. What
//! a launch asked of its root device is kept and shown, its size is not
//! enforced.

use super::filter::Filters;
use super::instances_shape::root_device_name;
use super::listing::IdKind;
use super::volume_rules::figures;
use super::{errors, paging, tag_rules};
use crate::Call;
use elastane_engine::View;
use elastane_engine::row::*;
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) const VOLUME_ID: IdKind = IdKind {
    prefix: "vol-",
    malformed: "InvalidVolumeID.Malformed",
    not_found: "InvalidVolume.NotFound",
    noun: "The volume",
};

const FILTERS: [&str; 18] = [
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "fast-restored",
    "multi-attach-enabled",
    "operator.managed",
    "operator.principal",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

/// DescribeVolumes. A volume goes with its instance. Errors:
/// `InvalidVolumeID.Malformed`, `InvalidVolume.NotFound`, those of filters
/// and pages.
pub fn describe_volumes(
    call: &Call<'_>,
    input: &wire::DescribeVolumesRequest,
) -> Result<wire::DescribeVolumesResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    input.volume_ids.iter().try_for_each(|id| VOLUME_ID.check(id))?;
    let mut asked: BTreeSet<&str> = input.volume_ids.iter().map(String::as_str).collect();
    let by_id = !asked.is_empty();
    let live = call.all::<Instance>().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
    let mut found: Vec<&Arc<Instance>> = live.filter(|row| !by_id || asked.remove(row.root_volume.as_str())).collect();
    if let Some(id) = asked.first() {
        return Err(VOLUME_ID.unknown(id));
    }
    errors::dry_run(input.dry_run)?;
    let view = &call.view;
    found.retain(|row| filters.accept(&row.volume_tags, |name, emit| values(view, row, name, emit)));
    found.sort_unstable_by(|a, b| a.root_volume.cmp(&b.root_volume));
    let token = input.next_token.as_deref();
    let limits = (paging::USUAL, by_id);
    let (found, next_token) = paging::cut(found, input.max_results, token, limits, |row| row.root_volume.clone())?;
    Ok(wire::DescribeVolumesResult { volumes: found.into_iter().map(|row| shown(view, row)).collect(), next_token })
}

fn values(view: &View<'_>, instance: &Instance, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "attachment.attach-time" | "create-time" => emit(&instance.launched_at.iso_millis()),
        "attachment.delete-on-termination" => emit("true"),
        "attachment.device" => emit(root_device_name(instance)),
        "attachment.instance-id" => emit(instance.id.as_str()),
        "attachment.status" => emit("attached"),
        "availability-zone" => emit(instance.zone.as_str()),
        "encrypted" | "fast-restored" | "multi-attach-enabled" | "operator.managed" => emit("false"),
        "size" => emit(&figures(view, instance).size_gib.to_string()),
        "snapshot-id" => snapshot(view, instance).into_iter().for_each(emit),
        "status" => emit("in-use"),
        "volume-id" => emit(&instance.root_volume),
        "volume-type" => emit(&figures(view, instance).volume_type),
        _ => {}
    }
}

fn snapshot<'a>(view: &View<'a>, instance: &Instance) -> Option<&'a str> {
    view.get::<Image>(instance.image.as_str()).map(|image| image.snapshot.as_str())
}

fn shown(view: &View<'_>, instance: &Instance) -> wire::Volume {
    let word = |text: &str| Some(text.to_string());
    let launched = Timestamp(instance.launched_at.millis());
    let figures = figures(view, instance);
    wire::Volume {
        attachments: vec![wire::VolumeAttachment {
            attach_time: Some(launched),
            delete_on_termination: Some(true),
            device: word(root_device_name(instance)),
            instance_id: word(instance.id.as_str()),
            state: word("attached"),
            volume_id: Some(instance.root_volume.clone()),
            ..Default::default()
        }],
        availability_zone: word(instance.zone.as_str()),
        create_time: Some(launched),
        encrypted: Some(false),
        iops: figures.iops,
        multi_attach_enabled: Some(false),
        size: Some(figures.size_gib),
        snapshot_id: snapshot(view, instance).map(str::to_string),
        state: word("in-use"),
        tags: tag_rules::shown(&instance.volume_tags),
        throughput: figures.throughput,
        volume_id: Some(instance.root_volume.clone()),
        volume_type: Some(figures.volume_type),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, filter, run};
    use super::*;

    fn describe(scene: &Scene, input: &wire::DescribeVolumesRequest) -> Result<Vec<wire::Volume>, ApiError> {
        scene.read(|call| describe_volumes(call, input)).map(|answer| answer.volumes)
    }

    /// One volume an instance, found by instance and by id; it goes with the instance.
    #[test]
    fn volumes_of_instances() {
        let mut scene = Scene::new();
        let mut input = run(1);
        input.block_device_mappings = vec![wire::BlockDeviceMapping {
            device_name: Some("/dev/xvda".to_string()),
            ebs: Some(wire::EbsBlockDevice { volume_size: Some(20), ..Default::default() }),
            ..Default::default()
        }];
        scene.write(|change| super::super::run_instances(change, &input)).expect("a launch");
        let id = scene.launch(1).remove(0);
        scene.settle();
        let mut sizes: Vec<_> =
            describe(&scene, &Default::default()).expect("all").iter().map(|one| one.size).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [Some(8), Some(20)]);
        let row = scene.row::<Instance>(&id);
        for filters in [
            vec![filter("attachment.instance-id", &[&id])],
            vec![filter("volume-id", &[&row.root_volume]), filter("status", &["in-use"])],
        ] {
            let found =
                describe(&scene, &wire::DescribeVolumesRequest { filters, ..Default::default() }).expect("known");
            assert_eq!((found.len(), found[0].volume_id.as_ref()), (1, Some(&row.root_volume)));
        }
        let ask = |id: &str| wire::DescribeVolumesRequest { volume_ids: vec![id.to_string()], ..Default::default() };
        assert_eq!(describe(&scene, &ask(&row.root_volume)).expect("there").len(), 1);
        let input = wire::TerminateInstancesRequest { instance_ids: vec![id], ..Default::default() };
        scene.write(|change| super::super::terminate_instances(change, &input)).expect("running");
        scene.settle();
        for (id, code) in [(row.root_volume.as_str(), "InvalidVolume.NotFound"), ("v", "InvalidVolumeID.Malformed")] {
            assert_eq!(describe(&scene, &ask(id)).expect_err(code).code, code);
        }
    }
}
