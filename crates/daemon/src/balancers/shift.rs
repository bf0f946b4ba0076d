//! Zonal shift: a load balancer's node in one zone leaves DNS and takes no
//! more part, until it is shifted back (alb.md 3.6).

use crate::server::Server;
use elastane_domain::id::Zone;
use elastane_engine::row::LoadBalancer;
use elastane_wire::ApiError;
use serde::{Deserialize, Serialize};

/// An order to shift traffic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shift {
    /// The zone.
    pub zone: String,
    /// One load balancer, or all that are in the zone.
    pub load_balancer: Option<String>,
    /// Away from the zone, or back to it.
    pub away: bool,
}

/// Carries the order out; returns the names of the load balancers that it changed.
///
/// # Errors
/// None is in the zone, or one would be left without a zone: why.
pub(super) async fn shift(server: &Server, shift: Shift) -> Result<Vec<String>, String> {
    let zone = Zone::from(shift.zone.as_str());
    let mut wanted = Vec::new();
    {
        let engine = server.shell.engine();
        for (scope, tables) in &engine.state().scopes {
            let named = |row: &LoadBalancer| shift.load_balancer.as_ref().is_none_or(|name| *name == row.name);
            let here = |row: &LoadBalancer| row.subnets.iter().any(|(_, one)| *one == zone);
            let rows = tables.load_balancers.values().filter(|row| named(row) && here(row));
            wanted.extend(rows.map(|row| (scope.clone(), row.arn.to_string(), row.name.clone())));
        }
    }
    if wanted.is_empty() {
        return Err(match &shift.load_balancer {
            Some(name) => format!("there is no load balancer {name} in {zone}"),
            None => format!("no load balancer is in {zone}"),
        });
    }
    let mut changed = Vec::new();
    for (scope, arn, name) in wanted {
        let (zone, away) = (zone.clone(), shift.away);
        let change = move |tx: &mut elastane_engine::Tx<'_>| {
            let row = tx.get::<LoadBalancer>(&arn).ok_or_else(|| refuse("it was deleted meanwhile"))?;
            let left = row.subnets.iter().any(|(_, one)| *one != zone && !row.shifted_away.contains(one));
            if away && !left {
                return Err(refuse("no other zone would be left to serve"));
            }
            tx.update::<LoadBalancer>(&arn, |row| {
                row.shifted_away.retain(|one| *one != zone);
                if away {
                    row.shifted_away.push(zone);
                }
            });
            Ok(String::new())
        };
        server.shell.change(scope, change).await.map_err(|err| format!("{name}: {}", err.message))?;
        changed.push(name);
    }
    Ok(changed)
}

fn refuse(why: &str) -> ApiError {
    ApiError::new("ValidationError", why)
}
