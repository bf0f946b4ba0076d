//! CPU credits of burstable instances as CloudWatch samples, every five
//! minutes of service time (cloudwatch.md 8). Balances live in memory: after
//! a restart of the daemon they begin as at a launch.

use super::{CpuSample, publish};
use crate::row::{Instance, Phase};
use crate::state::State;
use elastane_domain::credits::{Account, unlimited_by_default};
use elastane_domain::series::{StatisticSet, Unit};
use elastane_domain::time::{Span, Time};
use elastane_domain::types::{InstanceType, instance_type};

/// How long a sample of CPU use is about.
const SAMPLE: Span = Span::from_mins(1);

/// How often figures are published.
const PERIOD: Span = Span::from_mins(5);

/// What was counted of one instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    account: Account,
    /// The launch or start that it is about.
    launched_at: Time,
}

impl Tally {
    /// The tally of an instance that has `old` from before its last start.
    fn of(instance: &Instance, kind: &InstanceType, unlimited: bool, old: Option<Tally>) -> Tally {
        let launched_at = instance.launched_at;
        let fresh = Account::at_launch(kind, unlimited);
        let account = match old {
            None => fresh,
            Some(old) if old.launched_at == launched_at => old.account,
            Some(old) => Account { launch: fresh.launch, ..old.account.stopped(kind) },
        };
        Tally { account, launched_at }
    }
}

/// Counts the credits of a minute that began at `at`; at the end of a period
/// its figures are published. Tallies of instances that are gone go too.
pub(super) fn record(state: &mut State, now: Time, at: Time, samples: &[CpuSample]) {
    let State { scopes, metrics, seen } = state;
    let closes = at.floor(PERIOD) != (at + SAMPLE).floor(PERIOD);
    for (scope, tables) in scopes.iter() {
        for sample in samples {
            let Some(instance) = tables.instances.get(sample.instance.as_str()) else { continue };
            let Some(kind) = instance_type(&instance.instance_type).filter(|kind| kind.burstable) else { continue };
            let asked = instance.cpu_credits.as_deref();
            let unlimited = asked.map_or_else(|| unlimited_by_default(kind), |word| word == "unlimited");
            let old = seen.credits.get(&instance.id).copied();
            let mut tally = Tally::of(instance, kind, unlimited, old);
            tally.account = tally.account.after(kind, unlimited, (1.0, sample.percent));
            if closes {
                let (figures, next) = tally.account.close();
                tally.account = next;
                let store = metrics.entry(scope.clone()).or_default();
                let dimensions = [("InstanceId", instance.id.as_str())];
                for (name, value) in [
                    ("CPUCreditUsage", figures.usage),
                    ("CPUCreditBalance", figures.balance),
                    ("CPUSurplusCreditBalance", figures.surplus),
                    ("CPUSurplusCreditsCharged", figures.charged),
                ] {
                    let set = StatisticSet::of(value);
                    publish(store, "AWS/EC2", name, &dimensions, Unit::Count, at.floor(PERIOD), set, now);
                }
            }
            seen.credits.insert(instance.id.clone(), tally);
        }
    }
    let lives = |row: &Instance| !matches!(row.phase, Phase::Terminated { .. });
    seen.credits
        .retain(|id, _| scopes.values().filter_map(|tables| tables.instances.get(id.as_str())).any(|row| lives(row)));
}
