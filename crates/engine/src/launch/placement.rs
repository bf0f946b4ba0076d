//! Where a launch goes: zone, subnet and placement group, and how many
//! instances there is room for there.

use super::Refusal;
use crate::metadata::zone_id;
use crate::network;
use crate::row::*;
use crate::state::View;
use elastane_domain::id::{SubnetId, Zone};
use std::sync::Arc;

/// Running instances of a spread placement group in one zone (EC2 User Guide,
/// "Placement strategies": seven for each zone and group).
const SPREAD_MAX: usize = 7;

/// The subnet of an id.
pub(super) fn subnet<'a>(view: &View<'a>, id: &SubnetId) -> Result<&'a Subnet, Refusal> {
    let found = view.get::<Subnet>(id.as_str()).map(AsRef::as_ref);
    found.ok_or_else(|| Refusal::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist")))
}

/// The default subnet of the zone that is named, or of the first zone that is
/// not cut off.
pub(super) fn default_subnet<'a>(view: &View<'a>, zone: Option<&Zone>) -> Result<&'a Subnet, Refusal> {
    let zones = network::zones(&view.scope.region);
    let up = |zone: &&Zone| view.get::<Outage>(zone.as_str()).is_none();
    let zone = zone.or_else(|| zones.iter().find(up)).unwrap_or(&zones[0]);
    network::default_subnet(view, zone).ok_or_else(|| {
        Refusal::new("MissingInput", format!("No default subnet for availability zone: '{zone}'. Name a SubnetId."))
    })
}

/// The zone that a placement names, by its name or id; `None` when it names none.
pub(super) fn zone(view: &View<'_>, placement: &PlacementChoice) -> Result<Option<Zone>, Refusal> {
    let region = &view.scope.region;
    let zones = network::zones(region);
    let listed = || zones.iter().map(Zone::as_str).collect::<Vec<_>>().join(", ");
    let unknown = |named: &str| {
        let message = format!("Invalid availability zone: [{named}]; this region has {}", listed());
        Refusal::new("InvalidParameterValue", message)
    };
    match (&placement.zone, &placement.zone_id) {
        (Some(zone), _) if !zones.contains(zone) => Err(unknown(zone.as_str())),
        (Some(zone), None) => Ok(Some(zone.clone())),
        (named, Some(id)) => {
            let found = zones.iter().find(|zone| zone_id(zone.as_str(), region.as_str()) == *id);
            let found = found.ok_or_else(|| unknown(id))?;
            match named {
                Some(zone) if zone != found => Err(Refusal::new(
                    "InvalidParameterCombination",
                    format!("The availability zone '{zone}' does not have the id '{id}'."),
                )),
                Some(_) | None => Ok(Some(found.clone())),
            }
        }
        (None, None) => Ok(None),
    }
}

/// The placement group that a launch names, by its name or id.
pub fn group<'a>(view: &View<'a>, placement: &PlacementChoice) -> Result<Option<&'a Arc<PlacementGroup>>, Refusal> {
    let unknown = |named: &str| {
        Refusal::new("InvalidPlacementGroup.Unknown", format!("The Placement Group '{named}' is unknown."))
    };
    let found = match (&placement.group, &placement.group_id) {
        (Some(name), _) => view.get::<PlacementGroup>(name).ok_or_else(|| unknown(name))?,
        (None, Some(id)) => view.all::<PlacementGroup>().find(|row| row.id == *id).ok_or_else(|| unknown(id))?,
        (None, None) if placement.partition.is_some() => {
            return Err(Refusal::new(
                "InvalidParameterCombination",
                "A partition number needs a placement group whose strategy is 'partition'.",
            ));
        }
        (None, None) => return Ok(None),
    };
    if let Some(number) = placement.partition
        && !(1..=found.partitions.unwrap_or(0)).contains(&number)
    {
        let message = format!("The placement group '{}' has no partition {number}.", found.name);
        return Err(Refusal::new("InvalidParameterValue", message));
    }
    Ok(Some(found))
}

/// How many instances there is room for in a zone and placement group;
/// `InsufficientInstanceCapacity` for none.
pub fn room(
    view: &View<'_>,
    zone: &Zone,
    group: Option<&PlacementGroup>,
    (kind, count_min): (&str, u32),
) -> Result<u32, Refusal> {
    const CODE: &str = "InsufficientInstanceCapacity";
    if view.get::<Outage>(zone.as_str()).is_some() {
        let zones = network::zones(&view.scope.region);
        let others = zones.iter().filter(|other| *other != zone && view.get::<Outage>(other.as_str()).is_none());
        let others = others.map(Zone::as_str).collect::<Vec<_>>().join(", ");
        let message = format!(
            "We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone}). \
             You can currently get {kind} capacity by not specifying an Availability Zone in your request or \
             choosing {others}."
        );
        return Err(Refusal::new(CODE, message));
    }
    let Some(group) = group.filter(|group| group.strategy == "spread") else { return Ok(u32::MAX) };
    let in_group = |row: &&Arc<Instance>| {
        let gone = matches!(row.phase, Phase::Terminated { .. } | Phase::ShuttingDown);
        !gone && row.zone == *zone && row.placement_group.as_ref() == Some(&group.name)
    };
    let room = SPREAD_MAX.saturating_sub(view.all::<Instance>().filter(in_group).count()) as u32;
    if room < count_min {
        let message = format!(
            "We currently do not have sufficient capacity to launch all of the additional requested instances into \
             Placement Group '{}': a spread group has at most {SPREAD_MAX} instances in a zone.",
            group.name
        );
        return Err(Refusal::new(CODE, message));
    }
    Ok(room)
}

/// The partition of the next instance of a group: the one that is named, or
/// that with the fewest instances.
pub fn partition(view: &View<'_>, group: &PlacementGroup, named: Option<i32>) -> Option<i32> {
    let members = |number: i32| {
        let inside = |row: &&Arc<Instance>| {
            row.placement_group.as_ref() == Some(&group.name)
                && row.partition == Some(number)
                && !matches!(row.phase, Phase::Terminated { .. })
        };
        view.all::<Instance>().filter(inside).count()
    };
    named.or_else(|| (1..=group.partitions?).min_by_key(|number| members(*number)))
}
