//! Troubles that can be asked for: what the simulator does to a world by
//! itself, `elastane chaos` does to a running one. They are rows like all
//! others, so they are durable before they bite.

use crate::engine::Engine;
use crate::network;
use crate::reconcile::spot;
use crate::row::*;
use crate::scope::Scope;
use crate::state::Tx;
use elastane_domain::id::{InstanceId, Zone};
use elastane_domain::time::{Span, Time};
use std::fmt;

/// An outage lasts a week at most: whoever forgets it finds the zone whole again.
pub const OUTAGE_MAX: Span = Span::from_mins(7 * 24 * 60);

/// A trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chaos {
    /// A zone is cut off: no traffic to or from it, no launches in it.
    ZoneOutage {
        /// The zone.
        zone: Zone,
        /// How long, in service time; `None` until it is ended.
        span: Option<Span>,
    },
    /// A zone is whole again.
    EndZoneOutage {
        /// The zone.
        zone: Zone,
    },
    /// A spot instance is told that it will be interrupted.
    SpotInterruption {
        /// The instance.
        instance: InstanceId,
    },
}

/// Why a trouble cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChaosError {
    /// No account uses a region with this zone.
    UnknownZone(Zone),
    /// The zone is not cut off.
    NoOutage(Zone),
    /// The span is not positive or longer than [`OUTAGE_MAX`].
    Span(Span),
    /// There is no such instance.
    UnknownInstance(InstanceId),
    /// Only spot instances that run are interrupted.
    NotInterruptible(InstanceId),
}

impl fmt::Display for ChaosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChaosError::UnknownZone(zone) => {
                write!(f, "no region that is in use has a zone {zone}: a region is in use after the first call to it")
            }
            ChaosError::NoOutage(zone) => write!(f, "{zone} is not cut off"),
            ChaosError::Span(_) => write!(f, "an outage lasts from a second to a week"),
            ChaosError::UnknownInstance(id) => write!(f, "there is no instance {id}"),
            ChaosError::NotInterruptible(id) => write!(f, "{id} is not a spot instance that runs"),
        }
    }
}

impl std::error::Error for ChaosError {}

impl Engine {
    /// Makes a trouble in every scope that it concerns; the next round brings
    /// it about. Nothing is changed when it fails.
    pub fn trouble(&mut self, now: Time, chaos: &Chaos) -> Result<(), ChaosError> {
        match chaos {
            Chaos::ZoneOutage { zone, span } => {
                if let Some(span) = span.filter(|span| *span <= Span::ZERO || *span > OUTAGE_MAX) {
                    return Err(ChaosError::Span(span));
                }
                let row = Outage { zone: zone.clone(), since: now, until: span.map(|span| now + span) };
                self.in_scopes(now, zone, |tx| tx.put(row.clone()))
            }
            Chaos::EndZoneOutage { zone } => {
                let mut cut = self.state().scopes.values().filter(|tables| tables.outages.contains_key(zone.as_str()));
                if cut.next().is_none() {
                    return Err(ChaosError::NoOutage(zone.clone()));
                }
                self.in_scopes(now, zone, |tx| tx.delete::<Outage>(zone.as_str()))
            }
            Chaos::SpotInterruption { instance } => self.interrupt(now, instance),
        }
    }

    fn in_scopes(&mut self, now: Time, zone: &Zone, change: impl Fn(&mut Tx<'_>)) -> Result<(), ChaosError> {
        let has = |scope: &&Scope| network::zones(&scope.region).contains(zone) && scope.region.as_str() != IAM_REGION;
        let scopes: Vec<Scope> = self.state().scopes.keys().filter(has).cloned().collect();
        if scopes.is_empty() {
            return Err(ChaosError::UnknownZone(zone.clone()));
        }
        for scope in scopes {
            self.transact(&scope, now, |tx| {
                change(tx);
                Ok::<(), ChaosError>(())
            })?;
        }
        Ok(())
    }

    fn interrupt(&mut self, now: Time, instance: &InstanceId) -> Result<(), ChaosError> {
        let mut scopes = self.state().scopes.iter();
        let scope = scopes.find(|(_, tables)| tables.instances.contains_key(instance.as_str()));
        let scope = scope.ok_or_else(|| ChaosError::UnknownInstance(instance.clone()))?.0.clone();
        self.transact(&scope, now, |tx| {
            let row = tx.get::<Instance>(instance.as_str());
            let runs = row.filter(|row| row.spot_request.is_some() && row.phase == Phase::Running);
            let row = runs.ok_or_else(|| ChaosError::NotInterruptible(instance.clone()))?;
            // An interruption that was announced is not put off.
            let at = row.interruption.unwrap_or(now + spot::NOTICE);
            tx.update(instance.as_str(), |row: &mut Instance| row.interruption = Some(at));
            Ok(())
        })
    }
}

/// A scope that begins in the middle of an outage has it too.
pub(crate) fn inherit_outages(tx: &mut Tx<'_>) {
    let region = &tx.scope().region;
    let others = tx.state.scopes.iter().filter(|(scope, _)| scope.region == *region);
    let outages: Vec<Outage> =
        others.flat_map(|(_, tables)| tables.outages.values()).map(|row| (**row).clone()).collect();
    outages.into_iter().for_each(|row| tx.put(row));
}
