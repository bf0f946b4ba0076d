//! Each bug that the engine can be told to carry is found by the checker of
//! its rule, within a bounded number of seeds.

use crate::focus::Focus;
use crate::run::{Settings, run};
use elastane_domain::time::Span;
use elastane_engine::Plant;

/// Bugs that show in any world, each with the rules that find it.
const ANYWHERE: [(Plant, &[&str]); 21] = [
    (
        Plant::EffectBeforeCommit,
        &["no effect before its commit", "no plan has an interface that is gone", "a listener that answers has a row"],
    ),
    (
        Plant::PendingNotCounted,
        &["capacity never exceeds the maximum", "an instance that works goes only when enough others serve"],
    ),
    (Plant::ReaperOff, &["what nobody owns is reaped", "a network that nobody needs ends"]),
    (Plant::TerminatedRevived, &["terminated is final", "an instance keeps its private address"]),
    (Plant::CapacityAboveMax, &["capacity never exceeds the maximum", "a group reaches its desired capacity"]),
    (Plant::TargetRoutedAfterDrain, &["no request goes to a target after its deregistration"]),
    (Plant::WeightsEven, &["groups are chosen by weight"]),
    (Plant::RulesUnordered, &["a request hits the first rule that matches"]),
    (Plant::ZonesIgnored, &["no request goes to a target that does not take any"]),
    (Plant::AlwaysAcrossZones, &["requests stay in their zone"]),
    (Plant::HealthForgotten, &["health outlives the data plane", "every target ends up healthy"]),
    (Plant::LaunchBeforeNetwork, &["no instance boots before its network"]),
    (Plant::NetworkStale, &["the network in force is what the rows ask for"]),
    (Plant::GoneInterfacePlanned, &["no plan has an interface that is gone"]),
    (Plant::PublicAddressTwice, &["no two things share a public address"]),
    (Plant::AddressKept, &["released addresses come free"]),
    (Plant::InterfaceKept, &["no attachment names a terminated instance"]),
    (Plant::PrivateAddressMoved, &["an instance keeps its private address"]),
    (Plant::ConcurrencyIgnored, &["no more run at a time than MaxConcurrency"]),
    (Plant::ErrorsIgnored, &["too many errors end the sending"]),
    (Plant::LayerDropped, &["no layer goes that an instance stands on", "no layer goes that a snapshot holds"]),
];

/// What is wrong with how a bug is found, if anything is.
fn missed(plant: Plant, seeds: u64, rules: &[&str], settings: impl Fn(u64) -> Settings) -> Option<String> {
    let mut found = (0..seeds).filter_map(|seed| Some((seed, run(settings(seed)).err()?)));
    match found.next() {
        Some((seed, violation)) => {
            println!("{plant:?} after {} seeds: {violation}", seed + 1);
            (!rules.contains(&violation.rule)).then(|| format!("{plant:?} was found as {violation} by seed {seed}"))
        }
        None => Some(format!("{plant:?} was not found")),
    }
}

/// Bugs of the parts that every world uses are found within a few hundred seeds.
#[test]
fn planted_bugs_are_found() {
    let settings =
        |plant| move |seed| Settings { plant: Some(plant), focus: Some(Focus::Everything), ..Settings::new(seed) };
    let wrong = ANYWHERE.iter().filter_map(|(plant, rules)| missed(*plant, 300, rules, settings(*plant)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One test for each bug of groups: it is looked for in worlds that are about
/// what is broken, in two hundred seeds at most.
macro_rules! found_in_focus {
    ($($name:ident: $plant:ident in $focus:ident by $rules:expr;)*) => {
        $(#[test]
        fn $name() {
            let settings = |seed| Settings {
                plant: Some(Plant::$plant),
                focus: Some(Focus::$focus),
                chaos: Span::from_mins(90),
                ..Settings::new(seed)
            };
            let wrong = missed(Plant::$plant, 200, &$rules, settings);
            assert!(wrong.is_none(), "{wrong:?}");
        })*
    };
}

found_in_focus! {
    scale_in_during_warm_up: WarmUpIgnored in Scaling by ["no policy scales in while instances warm up"];
    hook_default_ignored: HookDefaultIgnored in Hooks by ["a hook's wait ends with its default"];
    refresh_below_its_minimum: RefreshMinimumIgnored in Refresh by ["a refresh keeps its minimum in service"];
    rebalance_terminates_first: RebalanceTerminatesFirst in Health
        by ["an instance that works goes only when enough others serve"];
    cooldown_of_target_tracking: TrackingCoolsDown in Scaling by ["only simple scaling waits for cooldowns"];
    protected_instance_chosen: ProtectionIgnored in Health by ["a protected instance is not scaled in"];
    alarm_acts_once: AlarmActsOnce in Scaling
        by ["an alarm's actions are repeated while it lasts", "only simple scaling waits for cooldowns"];
    forecast_scales_in: ForecastScalesIn in Predictive by ["predictive scaling never scales in"];
    warm_pool_counted: WarmPoolCounted in WarmPool by ["a group that lacks capacity launches at once"];
    grace_for_the_dead: GraceForTheDead in Health by ["an instance that does not run is unhealthy at once"];
    suspension_ignored: SuspensionIgnored in Health by [
        "nobody is launched while Launch is suspended",
        "nobody is scaled in while Terminate is suspended",
    ];
    all_bought_on_the_spot_market: SpotOnly in Mixed by ["the base is bought on demand first"];
    weights_ignored: WeightsIgnored in Mixed by [
        "an instance that works goes only when enough others serve",
        "a group reaches its desired capacity",
        "capacity never exceeds the maximum",
        "a refresh stays within its maximum",
    ];
}
