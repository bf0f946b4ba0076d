//! DescribeInstanceStatus. The first minute checks initialise, as on AWS. The
//! instance check fails when boot scripts or user data did, the system check
//! while the instance's zone is cut off.

use super::filter::Filters;
use super::instances::select;
use super::interface_shape::Cards;
use super::{errors, instances_shape as shape, paging};
use crate::Call;
use elastane_domain::machine::Initialization;
use elastane_domain::time::{Span, Time};
use elastane_engine::metadata::zone_id;
use elastane_engine::row::*;
use elastane_engine::{View, outages};
use elastane_wire::{ApiError, Timestamp, ec2 as wire};

/// Checks run every minute (EC2 User Guide, "Status checks"): the first
/// result is there a minute after the boot.
const INITIALIZING: Span = Span::from_mins(1);

/// Ids that one call may name (EC2 API Reference, "DescribeInstanceStatus").
const IDS_MAX: usize = 100;

const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "instance-state-code",
    "instance-state-name",
    "instance-status.reachability",
    "instance-status.status",
    "system-status.reachability",
    "system-status.status",
];

/// DescribeInstanceStatus: running instances, or all on request.
pub fn describe_instance_status(
    call: &Call<'_>,
    input: &wire::DescribeInstanceStatusRequest,
) -> Result<wire::DescribeInstanceStatusResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    if input.instance_ids.len() > IDS_MAX {
        return Err(errors::invalid_value(format!("At most {IDS_MAX} instance ids are allowed in one call.")));
    }
    let filters = Filters::new(&input.filters, FILTERS)?;
    let none = Filters::new(&[], &[])?;
    let cards = Cards::of(&call.view);
    let all = input.include_all_instances.unwrap_or(false);
    let mut found = select(&call.view, &input.instance_ids, &none)?;
    found.retain(|instance| {
        (all || instance.phase == Phase::Running)
            && filters.accept(&Tags::new(), |name, emit| match name {
                "instance-status.status" => emit(instance_check(&call.view, instance).status),
                "system-status.status" => emit(system_check(&call.view, instance).status),
                "instance-status.reachability" => {
                    instance_check(&call.view, instance).reachability.into_iter().for_each(emit);
                }
                "system-status.reachability" => {
                    system_check(&call.view, instance).reachability.into_iter().for_each(emit);
                }
                name => shape::filter_values(&cards, instance, name, emit),
            })
    });
    let by_id = !input.instance_ids.is_empty();
    let (page, next_token) =
        paging::cut(found, input.max_results, input.next_token.as_deref(), (paging::USUAL, by_id), |row| {
            row.id.to_string()
        })?;
    Ok(wire::DescribeInstanceStatusResult {
        instance_statuses: page.into_iter().map(|instance| shown(&call.view, instance)).collect(),
        next_token,
    })
}

/// One check: its summary, and since when it fails.
struct Check {
    status: &'static str,
    reachability: Option<&'static str>,
    impaired_since: Option<Time>,
}

impl Check {
    const OK: Check = Check { status: "ok", reachability: Some("passed"), impaired_since: None };
    const INITIALIZING: Check =
        Check { status: "initializing", reachability: Some("initializing"), impaired_since: None };
    const NOT_APPLICABLE: Check = Check { status: "not-applicable", reachability: None, impaired_since: None };

    fn impaired(since: Time) -> Check {
        Check { status: "impaired", reachability: Some("failed"), impaired_since: Some(since) }
    }

    fn shown(&self) -> wire::InstanceStatusSummary {
        let detail = |word: &str| wire::InstanceStatusDetails {
            impaired_since: self.impaired_since.map(|since| Timestamp(since.millis())),
            name: Some("reachability".to_string()),
            status: Some(word.to_string()),
        };
        wire::InstanceStatusSummary {
            details: self.reachability.into_iter().map(detail).collect(),
            status: Some(self.status.to_string()),
        }
    }
}

/// What every check says of an instance that does not run or has just booted.
fn young(view: &View<'_>, instance: &Instance) -> Option<Check> {
    match instance.phase {
        Phase::Running if view.now < instance.launched_at + INITIALIZING => Some(Check::INITIALIZING),
        Phase::Running => None,
        Phase::Pending | Phase::Stopping | Phase::Stopped | Phase::ShuttingDown | Phase::Terminated { .. } => {
            Some(Check::NOT_APPLICABLE)
        }
    }
}

/// The instance check fails when the boot scripts or user data of the current
/// boot did.
fn instance_check(view: &View<'_>, instance: &Instance) -> Check {
    let failed = match view.state.seen.initialized.get(&instance.id) {
        Some((generation, Initialization::Failed(_))) => *generation == instance.generation,
        Some((_, Initialization::UnderWay | Initialization::Done)) | None => false,
    };
    let impaired = || if failed { Check::impaired(instance.launched_at + INITIALIZING) } else { Check::OK };
    young(view, instance).unwrap_or_else(impaired)
}

/// The system check fails while the instance's zone is cut off.
fn system_check(view: &View<'_>, instance: &Instance) -> Check {
    let impaired = || outages::impaired_since(view, instance).map_or(Check::OK, Check::impaired);
    young(view, instance).unwrap_or_else(impaired)
}

fn shown(view: &View<'_>, instance: &Instance) -> wire::InstanceStatus {
    wire::InstanceStatus {
        availability_zone: Some(instance.zone.to_string()),
        availability_zone_id: Some(zone_id(instance.zone.as_str(), view.scope.region.as_str())),
        instance_id: Some(instance.id.to_string()),
        instance_state: Some(shape::state(instance.phase.state())),
        instance_status: Some(instance_check(view, instance).shown()),
        system_status: Some(system_check(view, instance).shown()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use elastane_domain::machine::HostFact;
    use elastane_engine::Fact;

    /// A failed initialization fails the instance check of its own boot only;
    /// a zone that is cut off fails the system check.
    #[test]
    fn ec2_9_impaired_checks() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        scene.settle();
        scene.pass(Span::from_mins(2));
        let words = |scene: &Scene| {
            let answer = scene.read(|call| describe_instance_status(call, &Default::default())).expect("statuses");
            let one = answer.instance_statuses[0].clone();
            let word = |summary: Option<wire::InstanceStatusSummary>| summary.and_then(|found| found.status);
            (word(one.instance_status).expect("a word"), word(one.system_status).expect("a word"))
        };
        let is = |instance: &str, system: &str| (instance.to_string(), system.to_string());
        assert_eq!(words(&scene), is("ok", "ok"));
        let row = scene.row::<Instance>(&id);
        let failed = Fact::Host(HostFact::Initialized {
            instance: row.id.clone(),
            generation: row.generation,
            initialization: Initialization::Failed("a script failed".to_string()),
        });
        scene.engine.handle(scene.now, vec![failed]);
        assert_eq!(words(&scene), is("impaired", "ok"));
        let cut = |change: &mut crate::Change<'_, '_>| {
            let since = change.now;
            change.put(Outage { zone: row.zone.clone(), since, until: None });
            Ok(())
        };
        scene.write(cut).expect("an outage");
        scene.pass(Span::from_mins(2));
        assert_eq!(words(&scene), is("impaired", "impaired"));
        let reboot = wire::RebootInstancesRequest { instance_ids: vec![id], ..Default::default() };
        scene.write(|change| super::super::reboot_instances(change, &reboot)).expect("running");
        scene.settle();
        assert_eq!(words(&scene).0, "ok");
    }
}
