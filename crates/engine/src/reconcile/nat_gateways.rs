//! The life of a NAT gateway: it is available once a network plan that has it
//! is in force, and gone once its interface is.

use super::{Memory, instances, network as plans, wake_at};
use crate::network;
use crate::row::*;
use crate::state::Tx;
use elastane_domain::time::Time;
use std::sync::Arc;

pub(super) fn reconcile(tx: &mut Tx<'_>, memory: &Memory, wake: &mut Time) {
    let gateways: Vec<Arc<NatGateway>> = tx.all::<NatGateway>().cloned().collect();
    for gateway in gateways {
        let phase = match gateway.phase {
            NatGatewayPhase::Pending if carries(tx, memory, &gateway) => NatGatewayPhase::Available,
            NatGatewayPhase::Pending | NatGatewayPhase::Available => continue,
            NatGatewayPhase::Deleting => {
                network::delete_interface(tx, &gateway.interface);
                NatGatewayPhase::Deleted { at: tx.now }
            }
            NatGatewayPhase::Deleted { at } if tx.now >= at + instances::TERMINATED_VISIBLE => {
                tx.delete::<NatGateway>(&gateway.id);
                continue;
            }
            NatGatewayPhase::Deleted { at } => {
                wake_at(wake, at + instances::TERMINATED_VISIBLE);
                continue;
            }
        };
        tx.update(&gateway.id, |row: &mut NatGateway| row.phase = phase);
    }
}

/// Whether traffic would pass: a plan with the gateway is in force, or there
/// is no traffic, as no instance lives in the VPC or there are no networks.
fn carries(tx: &Tx<'_>, memory: &Memory, gateway: &NatGateway) -> bool {
    let inhabited = tx.all::<NetworkInterface>().any(|row| row.vpc == gateway.vpc && row.attachment.is_some());
    if !inhabited || !plans::made_at_all(tx.config) {
        return true;
    }
    memory.networks.plan(&gateway.vpc).is_some_and(|plan| {
        let has = plan.interfaces.binary_search_by(|one| one.id.cmp(&gateway.interface)).is_ok();
        has && plans::in_force(&tx.state.seen, plan)
    })
}
