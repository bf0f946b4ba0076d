//! ModifyVolume and DescribeVolumesModifications of root volumes: what is
//! asked for is kept and shown at once, as its size is not enforced; the
//! modification itself is on its way for as long as clients expect.

use super::filter::Filters;
use super::listing::IdKind;
use super::volume_rules::{check, figures};
use super::volumes::VOLUME_ID;
use super::{errors, paging};
use crate::{Call, Change};
use elastane_domain::time::{Span, Time};
use elastane_engine::View;
use elastane_engine::row::*;
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long a modification is `modifying`, and after that `optimizing`.
const MODIFYING: Span = Span::from_secs(5);
const OPTIMIZING: Span = Span::from_secs(25);

const FILTERS: [&str; 11] = [
    "modification-state",
    "original-iops",
    "original-size",
    "original-volume-type",
    "originalMultiAttachEnabled",
    "start-time",
    "target-iops",
    "target-size",
    "target-volume-type",
    "targetMultiAttachEnabled",
    "volume-id",
];

/// The living instance that has a root volume.
fn owner<'a>(view: &View<'a>, volume: &str) -> Option<&'a Arc<Instance>> {
    view.all::<Instance>().find(|row| row.root_volume == volume && !matches!(row.phase, Phase::Terminated { .. }))
}

/// ModifyVolume: size (which only grows), type, IOPS and throughput.
///
/// # Errors
/// `InvalidVolumeID.Malformed`, `InvalidVolume.NotFound`,
/// `InvalidParameterValue` and `InvalidParameterCombination` for figures that
/// the type does not have, `IncorrectModificationState` while the last
/// modification is on its way.
pub fn modify_volume(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyVolumeRequest,
) -> Result<wire::ModifyVolumeResult, ApiError> {
    let id = input.volume_id.as_deref().ok_or_else(|| errors::missing("VolumeId"))?;
    VOLUME_ID.check(id)?;
    let row = owner(&change.view(), id).ok_or_else(|| VOLUME_ID.unknown(id))?.clone();
    if input.multi_attach_enabled == Some(true) {
        return Err(errors::unsupported("MultiAttachEnabled"));
    }
    let said = (input.size, &input.volume_type, input.iops, input.throughput);
    if said == (None, &None, None, None) {
        return Err(errors::invalid_combination("No volume parameters were specified to be modified."));
    }
    if let Some(last) = &row.volume_change
        && state(last, change.now) != "completed"
    {
        let message = format!("Volume '{id}' is in the process of being modified.");
        return Err(ApiError::new("IncorrectModificationState", message));
    }
    let from = figures(&change.view(), &row);
    if let Some(size) = input.size.filter(|size| *size < from.size_gib) {
        let message = format!("New size cannot be smaller than existing size: {size} < {}", from.size_gib);
        return Err(errors::invalid_value(message));
    }
    let root = wanted(&row, &from, input);
    check(&root)?;
    let id = row.id.to_string();
    change.update(&id, |row: &mut Instance| row.root_device = root);
    let (to, at) = (change.get::<Instance>(&id).map(|row| figures(&change.view(), &row)), change.now);
    let done = VolumeChange { from, to: to.expect("it was updated above"), at };
    let volume_modification = Some(shown(&row.root_volume, &done, at));
    change.update(&id, |row: &mut Instance| row.volume_change = Some(done));
    errors::dry_run(input.dry_run)?;
    Ok(wire::ModifyVolumeResult { volume_modification })
}

/// The root device with what is asked for. Figures of another type do not
/// come over to a new one.
fn wanted(row: &Instance, from: &VolumeFigures, input: &wire::ModifyVolumeRequest) -> BlockDevice {
    let volume_type = input.volume_type.clone().unwrap_or_else(|| from.volume_type.clone());
    let same = volume_type == from.volume_type;
    let provisioned = matches!(volume_type.as_str(), "gp3" | "io1" | "io2");
    let kept = |figure: Option<i32>| figure.filter(|_| same && provisioned);
    BlockDevice {
        size_gib: Some(input.size.unwrap_or(from.size_gib)),
        iops: input.iops.or(kept(from.iops)),
        throughput: input.throughput.or(kept(from.throughput)),
        volume_type: Some(volume_type),
        ..row.root_device.clone()
    }
}

fn state(change: &VolumeChange, now: Time) -> &'static str {
    if now < change.at + MODIFYING {
        "modifying"
    } else if now < change.at + MODIFYING + OPTIMIZING {
        "optimizing"
    } else {
        "completed"
    }
}

/// DescribeVolumesModifications: the last one of each volume.
///
/// # Errors
/// `InvalidVolumeID.Malformed`, `InvalidVolume.NotFound`,
/// `InvalidVolumeModification.NotFound` for a volume that was never modified,
/// those of filters and pages.
pub fn describe_volumes_modifications(
    call: &Call<'_>,
    input: &wire::DescribeVolumesModificationsRequest,
) -> Result<wire::DescribeVolumesModificationsResult, ApiError> {
    const MODIFICATION: IdKind =
        IdKind { not_found: "InvalidVolumeModification.NotFound", noun: "Modification for volume", ..VOLUME_ID };
    let filters = Filters::new(&input.filters, &FILTERS)?;
    input.volume_ids.iter().try_for_each(|id| VOLUME_ID.check(id))?;
    let asked: BTreeSet<&String> = input.volume_ids.iter().collect();
    for id in &asked {
        let owner = owner(&call.view, id).ok_or_else(|| VOLUME_ID.unknown(id))?;
        owner.volume_change.as_ref().ok_or_else(|| MODIFICATION.unknown(id))?;
    }
    errors::dry_run(input.dry_run)?;
    let live = call.all::<Instance>().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
    let changes = live.filter_map(|row| Some((row.root_volume.as_str(), row.volume_change.as_ref()?)));
    let mut found: Vec<(&str, &VolumeChange)> = changes
        .filter(|(id, _)| asked.is_empty() || asked.iter().any(|asked| asked.as_str() == *id))
        .filter(|(id, last)| filters.accept(&Tags::new(), |name, emit| values(id, last, call.now, name, emit)))
        .collect();
    found.sort_unstable_by_key(|(id, _)| *id);
    let limits = (paging::USUAL, !asked.is_empty());
    let token = input.next_token.as_deref();
    let (page, next_token) = paging::cut(found, input.max_results, token, limits, |(id, _)| id.to_string())?;
    let volumes_modifications = page.into_iter().map(|(id, last)| shown(id, last, call.now)).collect();
    Ok(wire::DescribeVolumesModificationsResult { volumes_modifications, next_token })
}

fn values(id: &str, last: &VolumeChange, now: Time, name: &str, emit: &mut dyn FnMut(&str)) {
    let number = |number: Option<i32>| number.map(|number| number.to_string());
    match name {
        "modification-state" => emit(state(last, now)),
        "original-iops" => number(last.from.iops).iter().for_each(|text| emit(text)),
        "original-size" => emit(&last.from.size_gib.to_string()),
        "original-volume-type" => emit(&last.from.volume_type),
        "start-time" => emit(&last.at.iso_millis()),
        "target-iops" => number(last.to.iops).iter().for_each(|text| emit(text)),
        "target-size" => emit(&last.to.size_gib.to_string()),
        "target-volume-type" => emit(&last.to.volume_type),
        "volume-id" => emit(id),
        _ => emit("false"),
    }
}

fn shown(id: &str, last: &VolumeChange, now: Time) -> wire::VolumeModification {
    let end = last.at + MODIFYING + OPTIMIZING;
    let progress = (now - last.at).millis().max(0) * 100 / (end - last.at).millis();
    wire::VolumeModification {
        end_time: (now >= end).then(|| Timestamp(end.millis())),
        modification_state: Some(state(last, now).to_string()),
        original_iops: last.from.iops,
        original_multi_attach_enabled: Some(false),
        original_size: Some(last.from.size_gib),
        original_throughput: last.from.throughput,
        original_volume_type: Some(last.from.volume_type.clone()),
        progress: Some(progress.min(100)),
        start_time: Some(Timestamp(last.at.millis())),
        target_iops: last.to.iops,
        target_multi_attach_enabled: Some(false),
        target_size: Some(last.to.size_gib),
        target_throughput: last.to.throughput,
        target_volume_type: Some(last.to.volume_type.clone()),
        volume_id: Some(id.to_string()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, filter};
    use super::*;

    fn modify(scene: &mut Scene, input: &wire::ModifyVolumeRequest) -> Result<wire::ModifyVolumeResult, ApiError> {
        scene.write(|change| modify_volume(change, input))
    }

    /// A volume grows and changes its type; the modification goes on for a
    /// while; what cannot be is refused.
    #[test]
    fn a_root_volume_is_modified() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        let volume_id = Some(scene.row::<Instance>(&id).root_volume);
        let volume = || wire::ModifyVolumeRequest { volume_id: volume_id.clone(), ..Default::default() };
        for (code, input) in [
            ("InvalidParameterCombination", volume()),
            ("InvalidParameterValue", wire::ModifyVolumeRequest { size: Some(7), ..volume() }),
            ("MissingParameter", wire::ModifyVolumeRequest { volume_type: Some("io1".into()), ..volume() }),
            ("UnsupportedOperation", wire::ModifyVolumeRequest { multi_attach_enabled: Some(true), ..volume() }),
            (
                "InvalidVolume.NotFound",
                wire::ModifyVolumeRequest { volume_id: Some("vol-0123456789abcdef0".into()), ..volume() },
            ),
            ("InvalidVolumeID.Malformed", wire::ModifyVolumeRequest { volume_id: Some("v".into()), ..volume() }),
            ("DryRunOperation", wire::ModifyVolumeRequest { size: Some(30), dry_run: Some(true), ..volume() }),
        ] {
            assert_eq!(modify(&mut scene, &input).expect_err(code).code, code, "{input:?}");
        }
        let larger = wire::ModifyVolumeRequest { size: Some(30), volume_type: Some("gp2".into()), ..volume() };
        let answer = modify(&mut scene, &larger).expect("larger").volume_modification.expect("a modification");
        assert_eq!((answer.modification_state.as_deref(), answer.target_iops), (Some("modifying"), Some(100)));
        assert_eq!(modify(&mut scene, &larger).expect_err("too soon").code, "IncorrectModificationState");
        let list = |scene: &Scene, filters: Vec<wire::Filter>| {
            let input = wire::DescribeVolumesModificationsRequest { filters, ..Default::default() };
            scene.read(|call| describe_volumes_modifications(call, &input)).expect("listed").volumes_modifications
        };
        for (after, want) in [(MODIFYING, "optimizing"), (OPTIMIZING, "completed")] {
            scene.now += after;
            let found = list(&scene, vec![filter("target-size", &["30"]), filter("modification-state", &[want])]);
            assert_eq!(found.len(), 1, "{want}");
        }
        assert!(list(&scene, vec![filter("original-size", &["30"])]).is_empty());
        assert_eq!(scene.row::<Instance>(&id).root_device.size_gib, Some(30));
    }
}
