//! What a run has met: counts that say whether a sweep came where its rules
//! are about. They decide nothing.

use elastane_domain::id::InstanceId;
use elastane_engine::{Engine, Scope};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How often each thing was met, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met(BTreeMap<&'static str, u64>);

impl Met {
    /// One more.
    pub fn add(&mut self, what: &'static str) {
        self.count(what, 1);
    }

    /// So many more.
    pub fn count(&mut self, what: &'static str, more: u64) {
        if more > 0 {
            *self.0.entry(what).or_default() += more;
        }
    }

    /// Adds what another run has met.
    pub fn merge(&mut self, other: &Met) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// Activities by what their causes and messages say: the first that is in there.
const CAUSES: [(&str, &str); 16] = [
    ("sufficient", "capacity errors"),
    ("Heartbeat Timeout", "launches given up because nobody answered a hook"),
    ("ABANDON Result", "launches that a hook gave up"),
    ("launched in response to an instance refresh", "launches by refreshes"),
    ("in response to an instance refresh", "replacements by refreshes"),
    ("balancing the group's zones", "launches to balance zones or purchase options"),
    ("rebalance recommendation", "replacements of spot instances at risk"),
    ("terminated or stopped", "replacements of the dead"),
    ("status check failure", "replacements after status checks"),
    ("ELB system health check", "replacements after checks of load balancers"),
    ("user health-check", "replacements that a user asked for"),
    ("fill the warm pool", "launches into warm pools"),
    ("was selected for termination", "scale-ins"),
    ("moved to standby", "moves to standby"),
    ("was detached", "detachments"),
    ("increasing the capacity", "scale-outs"),
];

/// Looks at rows for what was not there at the last look.
#[derive(Default)]
pub struct Looker {
    ended: BTreeSet<String>,
    waits: BTreeSet<String>,
    refreshes: BTreeMap<String, &'static str>,
    states: BTreeMap<(Scope, InstanceId), &'static str>,
}

impl Looker {
    /// Counts what is new.
    pub fn look(&mut self, engine: &Engine, met: &mut Met) {
        for (scope, tables) in &engine.state().scopes {
            for row in tables.activities.values().filter(|row| row.end.is_some()) {
                if self.ended.contains(&row.id) {
                    continue;
                }
                self.ended.insert(row.id.clone());
                let message = row.status_message.as_deref().unwrap_or_default();
                let says = |text: &str| message.contains(text) || row.cause.contains(text);
                if let Some((_, what)) = CAUSES.iter().find(|(text, _)| says(text)) {
                    met.add(what);
                }
            }
            for row in tables.instance_refreshes.values() {
                let status = row.status.name();
                if self.refreshes.insert(row.id.clone(), status) != Some(status)
                    && let Some(what) = refresh_name(status)
                {
                    met.add(what);
                }
            }
            for (row, place) in tables.instances.values().filter_map(|row| Some((row, row.membership.as_ref()?))) {
                for action in &place.actions {
                    if self.waits.insert(action.token.clone()) {
                        met.add("waits for hooks");
                    }
                }
                let state = place.lifecycle.name();
                let key = (scope.clone(), row.id.clone());
                let last = self.states.insert(key, state);
                if last.is_some_and(|last| last.starts_with("Warmed:")) && state == "Pending" {
                    met.add("instances taken from warm pools");
                }
                if last == Some("InService") && state.starts_with("Warmed:") {
                    met.add("instances put back into warm pools");
                }
            }
        }
    }
}

fn refresh_name(status: &str) -> Option<&'static str> {
    Some(match status {
        "InProgress" => "refreshes begun",
        "Baking" => "refreshes that bake",
        "Successful" => "refreshes that succeed",
        "Failed" => "refreshes that fail",
        "Cancelled" => "refreshes that are cancelled",
        "RollbackInProgress" => "refreshes that go back",
        "RollbackSuccessful" => "rollbacks that succeed",
        "RollbackFailed" => "rollbacks that fail",
        _ => return None,
    })
}
