//! One run: set-up, chaos, calm, convergence.

use crate::balancer_acts;
use crate::chaos;
use crate::client;
use crate::focus::{Focus, Shape};
use crate::group_acts;
use crate::met::Met;
use crate::mixed_calls;
use crate::network_acts;
use crate::policy_calls;
use crate::traffic::Load;
use crate::world::{Faults, World};
use elastane_domain::lifecycle::LifecycleState;
use elastane_domain::time::{Span, Time};
use elastane_engine::telemetry::CpuSample;
use elastane_engine::{Fact, Plant, Rng};
use elastane_wire::{Input, Output};
use std::fmt;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Draws everything.
    pub seed: u64,
    /// A bug to carry, or none.
    pub plant: Option<Plant>,
    /// How long the world misbehaves, in virtual time.
    pub chaos: Span,
    /// How long it then has to come to rest.
    pub calm: Span,
    /// What clients are interested in; `None` is drawn.
    pub focus: Option<Focus>,
}

impl Settings {
    /// Two hours of chaos and two of calm: long enough for cooldowns, grace
    /// periods, and a terminated instance's hour to pass.
    pub fn new(seed: u64) -> Settings {
        Settings { seed, plant: None, chaos: Span::from_mins(120), calm: Span::from_mins(120), focus: None }
    }
}

/// What a run without violations was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Digest of everything that happened.
    pub trace: u64,
    /// Virtual time that passed.
    pub simulated: Span,
    /// Commits that reached the disk.
    pub commits: u64,
    /// Crashes of the daemon.
    pub crashes: u64,
    /// What it has met.
    pub met: Met,
}

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// When, in virtual time.
    pub at: Time,
    /// What was found.
    pub what: String,
}

impl Violation {
    /// A rule that did not hold.
    pub fn new(rule: &'static str, at: Time, what: String) -> Violation {
        Violation { rule, at, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.rule, self.at.iso_millis(), self.what)
    }
}

impl std::error::Error for Violation {}

/// Between two acts of clients or fate, at most.
const ACT_EVERY_SECS: u64 = 90;

/// Runs one seed.
pub fn run(settings: Settings) -> Result<Outcome, Violation> {
    let mut dice = Rng::new(settings.seed);
    let load = Load {
        peak: dice.below(4_000),
        period: Span::from_mins(20 + dice.below(100) as i64),
        silent: dice.below(2) == 0,
    };
    let drawn = Focus::draw(&mut dice);
    let mut world = World::new(dice.draw(), settings.plant, load);
    world.focus = settings.focus.unwrap_or(drawn);
    world.shape = Shape::draw(world.focus, &mut dice);
    world.checker.met.add(world.focus.name());
    let start = world.now;
    set_up(&mut world)?;
    let faults = chaos::draw_faults(&mut dice);
    world.faults = faults;
    let end = world.now + settings.chaos;
    while world.now < end {
        let pause = Span::from_secs(1 + world.rng.below(ACT_EVERY_SECS) as i64);
        let until = (world.now + pause).min(end);
        while world.now < until {
            world.advance(until)?;
        }
        chaos::act(&mut world)?;
    }
    come_to_rest(&mut world, settings.calm)?;
    let slow_boots = world.host.slow_boots;
    world.checker.met.count("slow boots", slow_boots);
    Ok(Outcome {
        trace: world.trace,
        simulated: world.now - start,
        commits: world.checker.commits,
        crashes: world.crashes,
        met: world.checker.met,
    })
}

/// A group behind a load balancer that follows its load.
pub fn set_up(world: &mut World) -> Result<(), Violation> {
    let faults = std::mem::take(&mut world.faults);
    let mut want = |world: &mut World, input: Input| {
        let now = world.now;
        let name = format!("{input:?}");
        world.call(input)?.map_err(|err| {
            Violation::new("the set-up's calls succeed", now, format!("{err} for {}", &name[..name.len().min(60)]))
        })
    };
    let Output::Ec2DescribeSubnets(subnets) = want(world, client::describe_subnets())? else { return Ok(()) };
    let ids: Vec<String> = subnets.subnets.iter().filter_map(|subnet| subnet.subnet_id.clone()).collect();
    let vpc = subnets.subnets.first().and_then(|subnet| subnet.vpc_id.clone()).unwrap_or_default();
    want(world, client::create_launch_template())?;
    let Output::Elbv2CreateTargetGroup(groups) = want(world, client::create_target_group(client::NAME, &vpc))? else {
        return Ok(());
    };
    let target_group = groups.target_groups[0].target_group_arn.clone().unwrap_or_default();
    let Output::Elbv2CreateLoadBalancer(balancers) = want(world, client::create_load_balancer(ids.clone()))? else {
        return Ok(());
    };
    let balancer = balancers.load_balancers[0].load_balancer_arn.clone().unwrap_or_default();
    want(world, client::create_listener(&balancer, &target_group))?;
    let (min, max) = (world.rng.below(3) as i32, 4 + world.rng.below(6) as i32);
    let shape = world.shape;
    want(world, mixed_calls::create_group(&ids, &target_group, (min, max), &shape))?;
    if world.focus == Focus::Predictive {
        remember_days(world)?;
        let target = 1.0 + world.rng.below(12) as f64;
        want(world, policy_calls::put_predictive(target, true, false))?;
    }
    if world.rng.below(2) == 0 {
        put_simple_policies(world, &mut want)?;
    }
    if world.rng.below(2) == 0 {
        let tail = |arn: &str, mark: &str| arn.split_once(mark).map_or(String::new(), |(_, rest)| rest.to_string());
        let label =
            format!("{}/targetgroup/{}", tail(&balancer, ":loadbalancer/"), tail(&target_group, ":targetgroup/"));
        want(world, client::put_policy(&label, 300.0))?;
    }
    world.faults = faults;
    Ok(())
}

/// The past of a group that predictive scaling looks back on: a day or two of
/// CPU use with hours that differ.
fn remember_days(world: &mut World) -> Result<(), Violation> {
    const HOUR: Span = Span::from_mins(60);
    /// Minutes between two samples.
    const EVERY: i64 = 5;
    world.submit(World::scope(), client::set_desired(2));
    let until = world.now + Span::from_mins(2);
    while world.now < until {
        world.advance(until)?;
    }
    let living: Vec<_> = world.host.living().map(|(id, _)| id.clone()).collect();
    let hours = 26 + world.rng.below(30) as i64;
    let day: Vec<f64> = (0..24).map(|_| world.rng.below(100) as f64).collect();
    let begun = world.now.floor(HOUR);
    let mut facts = Vec::new();
    for back in (1..=hours).rev() {
        let percent = day[(24 * hours - back) as usize % 24];
        for minute in (0..60).step_by(EVERY as usize) {
            let samples = living.iter().map(|id| CpuSample { instance: id.clone(), percent });
            let at = begun - HOUR * back + Span::from_mins(minute);
            facts.push(Fact::Cpu { at, samples: samples.collect() });
        }
    }
    world.round(facts)
}

/// Simple scaling on CPU use by alarms of the client's own.
fn put_simple_policies(
    world: &mut World,
    want: &mut impl FnMut(&mut World, Input) -> Result<Output, Violation>,
) -> Result<(), Violation> {
    for (name, amount) in [("high", 1), ("low", -1)] {
        let cooldown = 30 + world.rng.below(300) as i32;
        let Output::AutoScalingPutScalingPolicy(policy) = want(world, client::put_simple_policy(amount, cooldown))?
        else {
            return Ok(());
        };
        let threshold = if amount > 0 { 20.0 } else { 5.0 };
        let arn = policy.policy_arn.clone().unwrap_or_default();
        want(world, client::put_alarm(name, amount > 0, threshold, &arn))?;
    }
    Ok(())
}

/// No more faults, a steady load: everything must become as it should be.
fn come_to_rest(world: &mut World, calm: Span) -> Result<(), Violation> {
    world.faults = Faults::default();
    world.load = Load { peak: 0, period: Span::from_mins(60), silent: true };
    // An alarm of the clients' that works against the group's own policies
    // would keep it moving for ever, as it would on AWS.
    world.submit(World::scope(), client::delete_alarm(chaos::CONTRARY_ALARM));
    network_acts::end_troubles(world)?;
    balancer_acts::end(world);
    let end = world.now + calm;
    // Who was on the way to standby gets there, and comes back with the second round.
    for _ in 0..2 {
        group_acts::end(world);
        let until = world.now + Span::from_mins(10);
        while world.now < until {
            world.advance(until)?;
        }
    }
    while world.now < end {
        world.advance(end)?;
    }
    // The last change of a network must be in force too, although nothing follows it.
    network_acts::allow_a_port(world);
    let end = world.now + Span::from_mins(2);
    while world.now < end {
        world.advance(end)?;
    }
    // Forecasts change by the hour, and policies may then take an instance out every few minutes.
    let latest = world.now + Span::from_mins(60);
    while world.now < latest && moves(world) {
        while world.now < latest && moves(world) {
            world.advance(latest)?;
        }
        // Networks and routes follow who came or went.
        let end = world.now + Span::from_secs(30);
        while world.now < end {
            world.advance(end)?;
        }
    }
    world.checker.converged(&world.engine, &world.host, world.now)
}

/// Whether a member of a group is on its way into service or out of it.
fn moves(world: &World) -> bool {
    let rows = world.engine.state().scopes.values().flat_map(|tables| tables.instances.values());
    let mut places = rows.filter_map(|row| row.membership.as_ref());
    places.any(|place| place.lifecycle != LifecycleState::InService && !place.lifecycle.is_warm())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that found something once; they must never again.
    fn recorded() -> impl Iterator<Item = u64> {
        let lines = include_str!("../seeds.txt").lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        lines.filter(|line| !line.is_empty()).map(|line| line.parse().expect("a seed is a number"))
    }

    fn check(seed: u64) -> Outcome {
        run(Settings::new(seed)).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"))
    }

    /// The same seed gives the same trace twice.
    #[test]
    fn runs_are_functions_of_their_seed() {
        for seed in 0..5 {
            assert_eq!(check(seed), check(seed), "seed {seed}");
        }
    }

    /// No rule is broken, from the recorded seeds and a few more.
    #[test]
    fn seeds_pass() {
        for seed in recorded().chain(0..40) {
            check(seed);
        }
    }

    /// Many seeds, and longer chaos: `SEEDS=first..end CHAOS=minutes cargo test -p elastane-sim -- --ignored`.
    #[test]
    #[ignore = "takes as long as it is told to"]
    fn sweep() {
        let setting = |name| std::env::var(name).ok();
        let seeds = setting("SEEDS").unwrap_or_else(|| "1000..1100".to_string());
        let (first, end) = seeds.split_once("..").expect("first..end");
        let (first, end): (u64, u64) = (first.parse().expect("a seed"), end.parse().expect("a seed"));
        let chaos = setting("CHAOS").map_or(120, |text| text.parse().expect("minutes"));
        let (mut failed, mut met) = (Vec::new(), Met::default());
        for seed in first..end {
            let settings = Settings { chaos: Span::from_mins(chaos), ..Settings::new(seed) };
            match run(settings) {
                Ok(outcome) => met.merge(&outcome.met),
                Err(violation) => {
                    println!("seed {seed}: {violation}");
                    failed.push(seed);
                }
            }
        }
        println!("{} seeds, {} failed; met: {met}", end - first, failed.len());
        assert!(failed.is_empty(), "{failed:?}");
    }
}
