//! Spot requests that are made with their instance.

use crate::row::*;
use crate::state::Tx;
use elastane_domain::id::InstanceId;

/// Makes the request that an instance fulfils from its launch on; its id.
pub(super) fn put_active(tx: &mut Tx<'_>, choice: &SpotChoice, data: &LaunchData, instance: &InstanceId) -> String {
    let id = tx.rng.id("sir-");
    let now = tx.now;
    tx.put(SpotRequest {
        id: id.clone(),
        instance: Some(instance.clone()),
        data: LaunchData { spot: None, ..data.clone() },
        persistent: choice.persistent,
        behavior: choice.behavior,
        price: choice.price.clone(),
        created_at: now,
        changed_at: now,
        valid_until: choice.valid_until,
        phase: SpotPhase::Active,
        client_token: None,
        tags: data.tags.get("spot-instances-request").cloned().unwrap_or_default(),
    });
    id
}
