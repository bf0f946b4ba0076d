//! The paths of `elastane chaos`: what trouble a path names, and making it.

use crate::server::{Server, plain};
use elastane_domain::id::{InstanceId, Zone};
use elastane_domain::time::Span;
use elastane_engine::Chaos;
use elastane_wire::HttpResponse;

/// Troubles are made by a POST to `zone-outage/us-east-1a`, with seconds
/// behind it or none, `zone-outage-end/us-east-1a` or `spot-interruption/i-…`
/// below it.
pub const CHAOS_PATH: &str = "/_elastane/chaos/";

/// Makes the trouble that the rest of a path names.
pub async fn make(server: &Server, rest: &str) -> HttpResponse {
    let Some(chaos) = chaos(rest) else { return plain(404, "there is no such trouble\n") };
    match server.shell.trouble(chaos).await {
        Some(Ok(())) => plain(200, "done\n"),
        Some(Err(err)) => plain(400, &format!("{err}\n")),
        None => plain(500, "the daemon is stopping\n"),
    }
}

fn chaos(rest: &str) -> Option<Chaos> {
    let words: Vec<&str> = rest.split('/').collect();
    match words.as_slice() {
        ["zone-outage", zone] => Some(Chaos::ZoneOutage { zone: Zone::from(*zone), span: None }),
        ["zone-outage", zone, seconds] => {
            let span = Some(Span::from_secs(seconds.parse::<u32>().ok()?.into()));
            Some(Chaos::ZoneOutage { zone: Zone::from(*zone), span })
        }
        ["zone-outage-end", zone] => Some(Chaos::EndZoneOutage { zone: Zone::from(*zone) }),
        ["spot-interruption", instance] => Some(Chaos::SpotInterruption { instance: InstanceId::from(*instance) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each path's trouble, and paths that name none.
    #[test]
    fn paths() {
        let zone = Zone::from("us-east-1a");
        for (path, expected) in [
            ("zone-outage/us-east-1a", Some(Chaos::ZoneOutage { zone: zone.clone(), span: None })),
            (
                "zone-outage/us-east-1a/60",
                Some(Chaos::ZoneOutage { zone: zone.clone(), span: Some(Span::from_secs(60)) }),
            ),
            ("zone-outage/us-east-1a/soon", None),
            ("zone-outage-end/us-east-1a", Some(Chaos::EndZoneOutage { zone })),
            ("spot-interruption/i-1", Some(Chaos::SpotInterruption { instance: InstanceId::from("i-1") })),
            ("flood", None),
        ] {
            assert_eq!(chaos(path), expected, "{path}");
        }
    }
}
