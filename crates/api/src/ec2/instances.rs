//! DescribeInstances and GetConsoleOutput, and how calls name instances.

use super::filter::Filters;
use super::instances_shape::{self as shape, filter_values};
use super::interface_shape::Cards;
use super::{errors, paging};
use crate::Call;
use elastane_domain::id::InstanceId;
use elastane_engine::View;
use elastane_engine::row::*;
use elastane_wire::{ApiError, Timestamp, ec2 as wire};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ids that one call may name (EC2 API Reference, "TerminateInstances").
pub(super) const IDS_MAX: usize = 1000;

/// The instances of ids, each once, in the order of the call.
///
/// # Errors
/// `InvalidInstanceID.Malformed` for the first id that is none,
/// `InvalidInstanceID.NotFound` with all that do not exist.
pub(super) fn named<'a>(view: &View<'a>, ids: &[String]) -> Result<Vec<&'a Arc<Instance>>, ApiError> {
    if ids.len() > IDS_MAX {
        return Err(errors::invalid_value(format!("At most {IDS_MAX} instance ids are allowed in one call.")));
    }
    for id in ids {
        errors::check_id(InstanceId::PREFIX, "InvalidInstanceID.Malformed", id)?;
    }
    let mut met = BTreeSet::new();
    let mut missing = Vec::new();
    let mut found = Vec::new();
    for id in ids.iter().filter(|id| met.insert(id.as_str())) {
        match view.get::<Instance>(id) {
            Some(row) => found.push(row),
            None => missing.push(id.as_str()),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(errors::instances_not_found(&missing)) }
}

/// The one instance that a call names.
pub(super) fn one<'a>(view: &View<'a>, id: Option<&String>) -> Result<&'a Arc<Instance>, ApiError> {
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| errors::missing("InstanceId"))?;
    let found = named(view, std::slice::from_ref(id))?;
    found.into_iter().next().ok_or_else(|| errors::instances_not_found(&[id]))
}

/// All instances, or those of ids, that pass the filters.
pub(super) fn select<'a>(
    view: &View<'a>,
    ids: &[String],
    filters: &Filters<'_>,
) -> Result<Vec<&'a Arc<Instance>>, ApiError> {
    let cards = Cards::of(view);
    let accepted = |instance: &&Arc<Instance>| {
        filters.accept(&instance.tags, |name, emit| filter_values(&cards, instance, name, emit))
    };
    if ids.is_empty() {
        return Ok(view.all::<Instance>().filter(accepted).collect());
    }
    let mut found: Vec<&Arc<Instance>> = named(view, ids)?.into_iter().filter(accepted).collect();
    found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// DescribeInstances. Pages are cut by instance.
pub fn describe_instances(
    call: &Call<'_>,
    input: &wire::DescribeInstancesRequest,
) -> Result<wire::DescribeInstancesResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    let filters = Filters::new(&input.filters, shape::FILTERS)?;
    let found = select(&call.view, &input.instance_ids, &filters)?;
    let by_id = !input.instance_ids.is_empty();
    let (page, next_token) =
        paging::cut(found, input.max_results, input.next_token.as_deref(), (paging::USUAL, by_id), |row| {
            row.id.to_string()
        })?;
    Ok(wire::DescribeInstancesResult { reservations: reservations(&call.view, &page), next_token })
}

/// Instances by the call that launched them.
fn reservations(view: &View<'_>, instances: &[&Arc<Instance>]) -> Vec<wire::Reservation> {
    let cards = Cards::of(view);
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found: Vec<wire::Reservation> = Vec::new();
    for instance in instances {
        let place = *places.entry(instance.reservation.as_str()).or_insert_with(|| {
            found.push(reservation(view, instance));
            found.len() - 1
        });
        found[place].instances.push(shape::shown(&cards, instance));
    }
    found
}

/// The reservation of an instance, without instances.
pub(super) fn reservation(view: &View<'_>, instance: &Instance) -> wire::Reservation {
    wire::Reservation {
        owner_id: Some(view.scope.account.to_string()),
        reservation_id: Some(instance.reservation.clone()),
        requester_id: instance.membership.is_some().then(|| "AutoScaling".to_string()),
        ..Default::default()
    }
}

/// GetConsoleOutput: what the host holds of it, as base64. An instance
/// without any has no output member, as in its first seconds on AWS.
pub fn get_console_output(
    call: &Call<'_>,
    input: &wire::GetConsoleOutputRequest,
) -> Result<wire::GetConsoleOutputResult, ApiError> {
    use base64::Engine as _;
    let instance = one(&call.view, input.instance_id.as_ref())?;
    errors::dry_run(input.dry_run)?;
    let output = call.world.console(&instance.id);
    Ok(wire::GetConsoleOutputResult {
        instance_id: Some(instance.id.to_string()),
        output: output.map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes)),
        timestamp: Some(Timestamp(call.now.millis())),
    })
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, filter};
    use super::*;
    use elastane_domain::time::Span;

    fn describe(
        scene: &Scene,
        input: &wire::DescribeInstancesRequest,
    ) -> Result<wire::DescribeInstancesResult, ApiError> {
        scene.read(|call| describe_instances(call, input))
    }

    fn ids(answer: &wire::DescribeInstancesResult) -> Vec<String> {
        let all = answer.reservations.iter().flat_map(|reservation| &reservation.instances);
        all.filter_map(|instance| instance.instance_id.clone()).collect()
    }

    /// Instances are grouped by the call that launched them; a terminated
    /// one stays for an hour, without address and devices.
    #[test]
    fn ec2_6_what_is_shown() {
        let mut scene = Scene::new();
        let (pair, single) = (scene.launch(2), scene.launch(1));
        scene.settle();
        let all = describe(&scene, &wire::DescribeInstancesRequest::default()).expect("all");
        let mut sizes: Vec<usize> = all.reservations.iter().map(|reservation| reservation.instances.len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 2]);
        let input = wire::TerminateInstancesRequest { instance_ids: single.clone(), ..Default::default() };
        scene.write(|change| super::super::terminate_instances(change, &input)).expect("running");
        scene.settle();
        let by_id = wire::DescribeInstancesRequest { instance_ids: single.clone(), ..Default::default() };
        let gone = describe(&scene, &by_id).expect("visible for an hour").reservations.remove(0).instances.remove(0);
        assert_eq!(gone.state.clone().and_then(|state| state.name).as_deref(), Some("terminated"));
        assert_eq!(
            (gone.private_ip_address, gone.network_interfaces.len(), gone.block_device_mappings.len()),
            (None, 0, 0)
        );
        scene.pass(Span::from_mins(61));
        let err = describe(&scene, &by_id).expect_err("gone");
        assert_eq!(
            (err.code.as_ref(), err.message),
            ("InvalidInstanceID.NotFound", format!("The instance ID '{}' does not exist", single[0]))
        );
        let mut left = ids(&describe(&scene, &wire::DescribeInstancesRequest::default()).expect("all"));
        left.sort();
        let mut pair = pair;
        pair.sort();
        assert_eq!(left, pair);
    }

    /// Filters see states, groups, addresses and tags.
    #[test]
    fn ec2_10_3_instance_filters() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        let row = scene.row::<Instance>(&id);
        let other = scene.launch(1).remove(0);
        let address = row.private_ip.to_string();
        for (filters, found) in [
            (vec![filter("instance-state-name", &["running"])], vec![&id]),
            (vec![filter("instance-state-code", &["0"])], vec![&other]),
            (
                vec![filter("instance-state-name", &["running", "pending"]), filter("private-ip-address", &[&address])],
                vec![&id],
            ),
            (vec![filter("network-interface.addresses.private-ip-address", &[&address])], vec![&id]),
            (vec![filter("reservation-id", &[&row.reservation])], vec![&id]),
            (vec![filter("instance.group-name", &["nobody"])], vec![]),
            (vec![filter("tag:Name", &["*"])], vec![]),
            (vec![filter("iam-instance-profile.arn", &["*"])], vec![]),
        ] {
            let input = wire::DescribeInstancesRequest { filters, ..Default::default() };
            assert_eq!(
                ids(&describe(&scene, &input).expect("known filters")).iter().collect::<Vec<_>>(),
                found,
                "{input:?}"
            );
        }
        let input = wire::DescribeInstancesRequest { filters: vec![filter("colour", &["red"])], ..Default::default() };
        assert_eq!(describe(&scene, &input).expect_err("unknown").message, "The filter 'colour' is invalid");
    }

    /// Pages follow each other; sizes out of range and ids beside a size are refused.
    #[test]
    fn ec2_10_2_instance_pages() {
        let mut scene = Scene::new();
        let mut launched = scene.launch(7);
        launched.sort();
        let page = |token: Option<String>, max: i32| wire::DescribeInstancesRequest {
            max_results: Some(max),
            next_token: token,
            ..Default::default()
        };
        let first = describe(&scene, &page(None, 5)).expect("a page");
        let second = describe(&scene, &page(first.next_token.clone(), 5)).expect("the rest");
        assert_eq!((ids(&first).len(), ids(&second).len(), second.next_token.clone()), (5, 2, None));
        assert_eq!([ids(&first), ids(&second)].concat(), launched);
        let by_id = wire::DescribeInstancesRequest { instance_ids: launched[..1].to_vec(), ..page(None, 5) };
        for (input, code) in [
            (page(None, 4), "InvalidParameterValue"),
            (page(None, 1001), "InvalidParameterValue"),
            (page(Some("?".to_string()), 5), "InvalidNextToken"),
            (by_id, "InvalidParameterCombination"),
        ] {
            assert_eq!(describe(&scene, &input).expect_err(code).code, code);
        }
    }

    /// The console is what the host holds, as base64.
    #[test]
    fn console_output_is_base64() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        let input = wire::GetConsoleOutputRequest { instance_id: Some(id.clone()), ..Default::default() };
        let answer = scene.read(|call| get_console_output(call, &input)).expect("it exists");
        use base64::Engine as _;
        let output = base64::engine::general_purpose::STANDARD.decode(answer.output.expect("some")).expect("base64");
        assert_eq!(String::from_utf8_lossy(&output), format!("console of {id}"));
    }

    /// A status is initialising for a minute, then ok; others are shown on request only.
    #[test]
    fn ec2_9_status_checks() {
        let mut scene = Scene::new();
        scene.launch(1);
        scene.settle();
        let status = |scene: &Scene, all: bool, filters: Vec<wire::Filter>| {
            let input =
                wire::DescribeInstanceStatusRequest { include_all_instances: Some(all), filters, ..Default::default() };
            let answer = scene.read(|call| super::super::describe_instance_status(call, &input)).expect("statuses");
            let words = answer.instance_statuses.into_iter().filter_map(|one| one.instance_status?.status);
            words.collect::<Vec<String>>()
        };
        assert_eq!(status(&scene, false, vec![]), ["initializing"]);
        scene.pass(Span::from_mins(1));
        scene.launch(1);
        assert_eq!(status(&scene, false, vec![]), ["ok"]);
        assert_eq!(status(&scene, true, vec![]).len(), 2);
        assert_eq!(
            status(&scene, true, vec![filter("instance-status.status", &["not-applicable"])]),
            ["not-applicable"]
        );
    }
}
