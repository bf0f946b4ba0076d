//! Launches that a client asks for by LaunchInstances: carried out in the
//! call, so that the answer has the instances or EC2's error.

use super::launching::{NOBODY, Purpose, choices, note_launched, request};
use super::refresh;
use crate::launch::{self, Refusal};
use crate::reconcile::activity;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::group::Why;
use elastane_domain::id::*;
use elastane_domain::lifecycle::LifecycleState;
use std::sync::Arc;

/// What LaunchInstances asks for.
pub struct LaunchNow<'a> {
    /// Where.
    pub zone: &'a Zone,
    /// In which of the group's subnets; `None` is any in the zone.
    pub subnet: Option<&'a SubnetId>,
    /// How much capacity.
    pub units: u32,
    /// The client token and a digest of the call.
    pub token: Option<(String, String)>,
}

/// Launches members and raises the desired capacity by what was launched.
/// Returns their ids, and EC2's error if it refused one.
pub fn launch_now(tx: &mut Tx<'_>, group: &Group, asked: LaunchNow<'_>) -> (Vec<InstanceId>, Option<Refusal>) {
    let growing = (group.desired, group.desired.saturating_add(asked.units));
    let why = Why::UserLaunched { growing };
    let purpose = Purpose { place: LifecycleState::Pending, why: &why, led_by: None, leaving: NOBODY };
    let launching = refresh::launching(tx, Arc::new(group.clone()));
    let group = launching.as_ref();
    let mut ids = Vec::new();
    let mut refusal = None;
    match choices(tx, group, (asked.zone, asked.units), &[], NOBODY) {
        Err(error) => refusal = Some(error),
        Ok(choices) => {
            for choice in choices {
                let launched = request(tx, group, asked.zone, &choice, purpose).and_then(|mut request| {
                    request.count_min = request.count_max;
                    request.data.subnet = asked.subnet.cloned().or(request.data.subnet);
                    (request.client_token, request.request_digest) = asked.token.clone().unzip();
                    launch::launch(tx, &request)
                });
                match launched {
                    Ok(found) => {
                        note_launched(tx, group, &found, purpose);
                        ids.extend(found);
                    }
                    Err(error) => {
                        refusal = Some(error);
                        break;
                    }
                }
            }
        }
    }
    let weight = |id: &InstanceId| tx.get::<Instance>(id.as_str())?.membership.as_ref().map(|place| place.weight);
    let launched: u32 = ids.iter().filter_map(weight).sum();
    tx.update(group.name.as_str(), |row: &mut Group| row.desired = row.desired.saturating_add(launched));
    if let Some(refusal) = &refusal {
        activity::refused(tx, &group.name, why.cause(tx.now, None, None), asked.zone.as_str(), &refusal.message);
    }
    (ids, refusal)
}
