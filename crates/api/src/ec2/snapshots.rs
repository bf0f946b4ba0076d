//! Snapshots: the layers that a root volume had at a moment. CreateImage,
//! CopyImage and imports make one for each image; CreateSnapshot captures a
//! layer of its own, by an image that nobody sees. A snapshot keeps its layers
//! on the host, whatever becomes of the image or instance that they came from.

use super::filter::Filters;
use super::image_shape::AMAZON;
use super::images::{capturable, description};
use super::listing::{IdKind, chosen};
use super::{errors, launch_data, paging, recast, tag_rules};
use crate::{Call, Change};
use elastane_domain::id::ImageId;
use elastane_engine::network::{ROOT_VOLUME_GIB, host_image};
use elastane_engine::row::*;
use elastane_engine::{View, images};
use elastane_wire::value::Timestamp;
use elastane_wire::{ApiError, ec2 as wire};
use std::sync::Arc;

/// Snapshots of one account and region: each may hold a layer on this machine's disk.
const SNAPSHOTS_MAX: usize = 2000;

/// What EC2 shows for the volume of a snapshot that no volume was the source of.
const NO_VOLUME: &str = "vol-ffffffff";

const SNAPSHOT_ID: IdKind = IdKind {
    prefix: "snap-",
    malformed: "InvalidSnapshotID.Malformed",
    not_found: "InvalidSnapshot.NotFound",
    noun: "The snapshot",
};

const FILTERS: &[&str] = &[
    "description",
    "encrypted",
    "owner-alias",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "transfer-type",
    "volume-id",
    "volume-size",
];

/// The size of a root volume: as it was asked for, else the built-in image's.
pub(super) fn size_gib(root: &BlockDevice) -> i32 {
    root.size_gib.unwrap_or(ROOT_VOLUME_GIB)
}

/// Whether one more may be made: `SnapshotLimitExceeded`.
pub(super) fn check_count(view: &View<'_>) -> Result<(), ApiError> {
    if view.all::<Snapshot>().count() >= SNAPSHOTS_MAX {
        let message = format!("You have reached the limit of {SNAPSHOTS_MAX} snapshots in this region.");
        return Err(ApiError::new("SnapshotLimitExceeded", message));
    }
    Ok(())
}

/// How far a snapshot is.
enum State<'a> {
    Pending,
    Completed,
    Error(&'a str),
}

impl State<'_> {
    fn name(&self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Completed => "completed",
            State::Error(_) => "error",
        }
    }

    /// `0%`, or `100%`: a capture is one copy whose rest nobody counts.
    fn progress(&self) -> &'static str {
        match self {
            State::Pending | State::Error(_) => "0%",
            State::Completed => "100%",
        }
    }
}

fn state<'a>(view: &View<'a>, snapshot: &Snapshot) -> State<'a> {
    let capture = snapshot.image.as_ref().and_then(|id| view.get::<Image>(id.as_str()));
    match capture.map(|image| &image.phase) {
        Some(ImagePhase::Pending) => State::Pending,
        Some(ImagePhase::Failed { reason }) => State::Error(reason),
        // An image that was deregistered was captured before.
        Some(ImagePhase::Available { .. } | ImagePhase::Deregistered) | None => State::Completed,
    }
}

/// The snapshot of an id: `InvalidSnapshotID.Malformed`, `InvalidSnapshot.NotFound`.
pub(super) fn known<'a>(view: &View<'a>, id: &str) -> Result<&'a Arc<Snapshot>, ApiError> {
    SNAPSHOT_ID.check(id)?;
    view.get::<Snapshot>(id).ok_or_else(|| SNAPSHOT_ID.unknown(id))
}

/// The same, completed: `IncorrectState` for another.
pub(super) fn completed<'a>(view: &View<'a>, id: &str) -> Result<&'a Arc<Snapshot>, ApiError> {
    let snapshot = known(view, id)?;
    match state(view, snapshot) {
        State::Completed => Ok(snapshot),
        state @ (State::Pending | State::Error(_)) => {
            let message = format!("The snapshot '{id}' is {}, not completed.", state.name());
            Err(ApiError::new("IncorrectState", message))
        }
    }
}

fn built_in(view: &View<'_>, snapshot: &Snapshot) -> bool {
    view.get::<Image>(host_image().as_str()).is_some_and(|image| image.snapshot == snapshot.id)
}

fn owner<'a>(view: &View<'a>, snapshot: &Snapshot) -> &'a str {
    if built_in(view, snapshot) { AMAZON } else { view.scope.account.as_str() }
}

/// DescribeSnapshots: the account's, and the built-in image's. Errors:
/// `InvalidSnapshotID.Malformed`, `InvalidSnapshot.NotFound`, those of
/// filters and pages, `DryRunOperation`.
pub fn describe_snapshots(
    call: &Call<'_>,
    input: &wire::DescribeSnapshotsRequest,
) -> Result<wire::DescribeSnapshotsResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    let view = &call.view;
    let filters = Filters::new(&input.filters, FILTERS)?;
    let mut found: Vec<&Arc<Snapshot>> = chosen(call, &input.snapshot_ids, &SNAPSHOT_ID)?;
    let named = |names: &[String], row: &Snapshot| {
        let (account, public) = (owner(view, row), built_in(view, row));
        let says = |name: &String| match name.as_str() {
            "self" => !public,
            "amazon" | "all" => public,
            name => name == account,
        };
        names.is_empty() || names.iter().any(says)
    };
    found.retain(|row| {
        named(&input.owner_ids, row)
            && named(&input.restorable_by_user_ids, row)
            && filters.accept(&row.tags, |name, emit| filter_values(view, row, name, emit))
    });
    let token = input.next_token.as_deref();
    let limits = (paging::USUAL, !input.snapshot_ids.is_empty());
    let (page, next_token) = paging::cut(found, input.max_results, token, limits, |row| row.id.clone())?;
    Ok(wire::DescribeSnapshotsResult { snapshots: page.into_iter().map(|row| shown(view, row)).collect(), next_token })
}

fn filter_values(view: &View<'_>, row: &Snapshot, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "description" => emit(&row.description),
        "encrypted" => emit("false"),
        "owner-alias" if built_in(view, row) => emit("amazon"),
        "owner-id" => emit(owner(view, row)),
        "progress" => emit(state(view, row).progress()),
        "snapshot-id" => emit(&row.id),
        "start-time" => emit(&row.started_at.iso_millis()),
        "status" => emit(state(view, row).name()),
        "storage-tier" => emit("standard"),
        "transfer-type" => emit("standard"),
        "volume-id" => emit(volume(row)),
        "volume-size" => emit(&row.size_gib.to_string()),
        _ => {}
    }
}

fn volume(row: &Snapshot) -> &str {
    if row.volume.is_empty() { NO_VOLUME } else { &row.volume }
}

fn shown(view: &View<'_>, row: &Snapshot) -> wire::Snapshot {
    let state = state(view, row);
    let word = |text: &str| Some(text.to_string());
    wire::Snapshot {
        description: Some(row.description.clone()),
        encrypted: Some(false),
        owner_alias: built_in(view, row).then(|| "amazon".to_string()),
        owner_id: word(owner(view, row)),
        progress: word(state.progress()),
        snapshot_id: Some(row.id.clone()),
        start_time: Some(Timestamp(row.started_at.millis())),
        state: word(state.name()),
        state_message: match state {
            State::Error(reason) => word(reason),
            State::Pending | State::Completed => None,
        },
        storage_tier: word("standard"),
        tags: tag_rules::shown(&row.tags),
        volume_id: word(volume(row)),
        volume_size: Some(row.size_gib),
        ..Default::default()
    }
}

/// CreateSnapshot of a root volume: captured from the living instance, as
/// CreateImage does without reboot. Errors: `InvalidVolumeID.Malformed`,
/// `InvalidVolume.NotFound`, `IncorrectState`, `SnapshotLimitExceeded`,
/// `DryRunOperation`.
pub fn create_snapshot(
    change: &mut Change<'_, '_>,
    input: &wire::CreateSnapshotRequest,
) -> Result<wire::Snapshot, ApiError> {
    recast::only(&wire::CREATE_SNAPSHOT_REQUEST, input, &["Description", "DryRun", "TagSpecifications", "VolumeId"])?;
    let volume = launch_data::text(&input.volume_id).ok_or_else(|| errors::missing("VolumeId"))?;
    errors::check_id("vol-", "InvalidVolumeID.Malformed", &volume)?;
    let lives = |row: &&Arc<Instance>| !matches!(row.phase, Phase::Terminated { .. });
    let instance = change.all::<Instance>().filter(lives).find(|row| row.root_volume == volume).cloned();
    let instance = instance
        .ok_or_else(|| ApiError::new("InvalidVolume.NotFound", format!("The volume '{volume}' does not exist.")))?;
    capturable(&instance)?;
    check_count(&change.view())?;
    let description = description(&input.description)?;
    let mut tags = tag_rules::specified(&input.tag_specifications, &["snapshot"])?;
    let id = change.rng.id("snap-");
    let capture = ImageId::from(change.rng.id(ImageId::PREFIX));
    let layers: Vec<ImageId> = instance.layers.iter().chain([&capture]).cloned().collect();
    let now = change.now;
    change.put(Image {
        id: capture.clone(),
        name: String::new(),
        description: String::new(),
        layers: layers.clone(),
        source: Some(instance.id.clone()),
        created_at: now,
        phase: ImagePhase::Pending,
        reboot: false,
        snapshot: id.clone(),
        details: ImageDetails { origin: ImageOrigin::Snapshot, ..ImageDetails::default() },
        tags: Tags::new(),
    });
    let snapshot = Snapshot {
        id,
        volume,
        description,
        layers,
        image: Some(capture),
        size_gib: size_gib(&instance.root_device),
        started_at: now,
        tags: tags.remove("snapshot").unwrap_or_default(),
    };
    change.put(snapshot.clone());
    errors::dry_run(input.dry_run)?;
    Ok(shown(&change.view(), &snapshot))
}

/// The image that keeps a snapshot from being deleted.
fn user<'a>(view: &View<'a>, snapshot: &str) -> Option<&'a Arc<Image>> {
    view.all::<Image>().find(|image| images::shown(image) && image.snapshot == snapshot)
}

/// DeleteSnapshot. Its layers stay while something else has them. Errors:
/// `InvalidSnapshotID.Malformed`, `InvalidSnapshot.NotFound`,
/// `InvalidSnapshot.InUse` while an image has it, `DryRunOperation`.
pub fn delete_snapshot(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteSnapshotRequest,
) -> Result<wire::DeleteSnapshotOutput, ApiError> {
    let id = launch_data::text(&input.snapshot_id).ok_or_else(|| errors::missing("SnapshotId"))?;
    known(&change.view(), &id)?;
    if let Some(image) = user(&change.view(), &id) {
        let message = format!("The snapshot {id} is currently in use by {}", image.id);
        return Err(ApiError::new("InvalidSnapshot.InUse", message));
    }
    change.delete::<Snapshot>(&id);
    errors::dry_run(input.dry_run)?;
    Ok(wire::DeleteSnapshotOutput {})
}

/// Deletes the snapshot of an image that has just been deregistered, unless
/// another image has it too.
pub(super) fn delete_of_image(change: &mut Change<'_, '_>, id: &str) -> wire::DeleteSnapshotReturnCode {
    let code = if user(&change.view(), id).is_some() {
        "skipped"
    } else if known(&change.view(), id).is_err() {
        "missing"
    } else {
        change.delete::<Snapshot>(id);
        "success"
    };
    wire::DeleteSnapshotReturnCode { return_code: Some(code.to_string()), snapshot_id: Some(id.to_string()) }
}
