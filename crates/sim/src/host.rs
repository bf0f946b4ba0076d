//! A simulated host: machines that take time to boot, fail to, die, and
//! outlive the daemon. Facts on their way to a daemon that crashes are lost.

use crate::commands::Commands;
use elastane_domain::id::{ImageId, InstanceId, VpcId};
use elastane_domain::machine::{Generation, HostFact, Initialization, LaunchSpec, Machine, MachineState};
use elastane_domain::time::{Span, Time};
use elastane_domain::vpc::NetworkPlan;
use elastane_engine::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// How badly a host behaves, in parts of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFaults {
    /// Boots that fail.
    pub boot_fails: u64,
    /// Boots that take minutes.
    pub boot_slow: u64,
    /// Captures that fail.
    pub capture_fails: u64,
    /// Facts that come twice.
    pub fact_twice: u64,
    /// Network plans that cannot be applied.
    pub network_fails: u64,
    /// Network plans that take a minute.
    pub network_slow: u64,
    /// User data that fails.
    pub user_data_fails: u64,
}

/// What a host will do.
#[derive(Clone, Debug)]
enum Job {
    Boot(Box<LaunchSpec>),
    Stop(InstanceId, Generation),
    Remove(InstanceId),
    Capture(ImageId, InstanceId),
    Initialize(InstanceId, Generation),
    Network(Arc<NetworkPlan>),
    EndNetwork(VpcId),
}

/// A machine that the host holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// The boot that was last carried out.
    pub generation: Generation,
    /// Whether it lives.
    pub state: MachineState,
    /// When it booted: its application answers a little later.
    pub booted_at: Time,
    /// Where it is.
    pub spec: LaunchSpec,
    /// How far its user data is.
    pub initialization: Initialization,
}

/// The host.
#[derive(Default)]
pub struct Host {
    /// Machines that it holds.
    pub machines: BTreeMap<InstanceId, Held>,
    /// Images that it has layers of.
    pub layers: BTreeSet<ImageId>,
    /// Every (instance, generation) that ever booted, to find what boots twice.
    pub boots: BTreeMap<(InstanceId, Generation), u32>,
    /// Networks by the plans in force.
    pub networks: BTreeMap<VpcId, Arc<NetworkPlan>>,
    /// VPCs that the daemon wants a network for; it forgets them when it dies.
    planned: BTreeSet<VpcId>,
    /// Run Command.
    pub commands: Commands,
    jobs: BTreeMap<(Time, u64), Job>,
    /// Boots that take minutes.
    pub slow_boots: u64,
    sequence: u64,
    facts: Vec<HostFact>,
}

impl Host {
    fn plan(&mut self, at: Time, job: Job) {
        self.sequence += 1;
        self.jobs.insert((at, self.sequence), job);
    }

    /// When it next does something of its own.
    pub fn next(&self) -> Option<Time> {
        let job = self.jobs.keys().next().map(|(at, _)| *at);
        job.into_iter().chain(self.commands.next()).min()
    }

    /// Accepts a launch. One that is under way is not doubled; of a boot that
    /// was carried out the state is told again.
    pub fn launch(&mut self, spec: LaunchSpec, now: Time, rng: &mut Rng, faults: &HostFaults) {
        if let Some(held) = self.machines.get(&spec.instance).filter(|held| held.generation >= spec.generation) {
            let (instance, generation) = (spec.instance, held.generation);
            self.facts.push(match held.state {
                MachineState::Running => HostFact::Booted { instance, generation },
                MachineState::Stopped => HostFact::Exited { instance, generation },
            });
            return;
        }
        let queued = self.jobs.values().any(|job| matches!(job, Job::Boot(other) if other.instance == spec.instance));
        if queued {
            return;
        }
        let slow = rng.below(1000) < faults.boot_slow;
        self.slow_boots += u64::from(slow);
        let seconds = if slow { 60 + rng.below(240) } else { 1 + rng.below(5) };
        self.plan(now + Span::from_secs(seconds as i64), Job::Boot(Box::new(spec)));
    }

    /// Accepts a stop.
    pub fn stop(&mut self, instance: InstanceId, generation: Generation, now: Time) {
        self.plan(now + Span::from_secs(1), Job::Stop(instance, generation));
    }

    /// Accepts a removal.
    pub fn terminate(&mut self, instance: InstanceId, now: Time) {
        self.plan(now + Span::from_secs(1), Job::Remove(instance));
    }

    /// Accepts a network plan. Plans of a VPC are applied in their order.
    pub fn apply(&mut self, plan: Arc<NetworkPlan>, now: Time, rng: &mut Rng, faults: &HostFaults) {
        let slow = rng.below(1000) < faults.network_slow;
        let at = now + if slow { Span::from_secs(1 + rng.below(60) as i64) } else { Span(rng.below(50) as i64) };
        self.planned.insert(plan.vpc.clone());
        self.plan(at, Job::Network(plan));
    }

    /// Accepts the end of a network; it ends when no machine is in it.
    pub fn end_network(&mut self, vpc: VpcId, now: Time) {
        self.jobs.retain(|_, job| !matches!(job, Job::Network(plan) if plan.vpc == vpc));
        self.planned.remove(&vpc);
        self.plan(now + Span(20), Job::EndNetwork(vpc));
    }

    /// Accepts a capture.
    pub fn capture(&mut self, image: ImageId, instance: InstanceId, now: Time) {
        self.plan(now + Span::from_secs(3), Job::Capture(image, instance));
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time, rng: &mut Rng, faults: &HostFaults) {
        while let Some((at, sequence)) = self.jobs.keys().next().copied().filter(|(at, _)| *at <= now) {
            let Some(job) = self.jobs.remove(&(at, sequence)) else { break };
            let fact = self.carry_out(job, now, rng, faults);
            if let Some(fact) = fact {
                if rng.below(1000) < faults.fact_twice {
                    self.facts.push(fact.clone());
                }
                self.facts.push(fact);
            }
        }
        let news = self.commands.advance(&self.machines, now, rng);
        self.facts.extend(news);
    }

    fn carry_out(&mut self, job: Job, now: Time, rng: &mut Rng, faults: &HostFaults) -> Option<HostFact> {
        match job {
            Job::Boot(spec) => Some(self.boot(*spec, now, rng, faults)),
            Job::Stop(instance, generation) => {
                let held = self.machines.get_mut(&instance).filter(|held| held.generation <= generation)?;
                held.state = MachineState::Stopped;
                Some(HostFact::Exited { instance, generation })
            }
            Job::Remove(instance) => {
                self.jobs.retain(|_, job| !matches!(job, Job::Boot(spec) if spec.instance == instance));
                if let Some(held) = self.machines.remove(&instance) {
                    self.end_unused(&held.spec.vpc);
                }
                Some(HostFact::Removed { instance })
            }
            Job::Initialize(instance, generation) => {
                let held = self.machines.get_mut(&instance)?;
                if held.generation != generation || held.state != MachineState::Running {
                    return None;
                }
                let failed = rng.below(1000) < faults.user_data_fails;
                held.initialization =
                    if failed { Initialization::Failed("it exits with 1".to_string()) } else { Initialization::Done };
                Some(HostFact::Initialized { instance, generation, initialization: held.initialization.clone() })
            }
            Job::Network(plan) => Some(self.network(plan, rng, faults)),
            Job::EndNetwork(vpc) => {
                self.end_unused(&vpc);
                None
            }
            Job::Capture(image, instance) => {
                if !self.machines.contains_key(&instance) || rng.below(1000) < faults.capture_fails {
                    return Some(HostFact::CaptureFailed { image, reason: "the disk is full".to_string() });
                }
                self.layers.insert(image.clone());
                Some(HostFact::Captured { image, bytes: 4096 })
            }
        }
    }

    /// Applies a plan; one that is older than what is in force is passed over.
    fn network(&mut self, plan: Arc<NetworkPlan>, rng: &mut Rng, faults: &HostFaults) -> HostFact {
        let (vpc, generation) = (plan.vpc.clone(), plan.generation);
        if rng.below(1000) < faults.network_fails {
            return HostFact::Network { vpc, generation, problem: "the packet filter says no".to_string() };
        }
        let in_force = self.networks.entry(vpc.clone()).or_insert_with(|| plan.clone());
        if in_force.generation < generation {
            *in_force = plan;
        }
        let generation = in_force.generation;
        HostFact::Network { vpc, generation, problem: String::new() }
    }

    /// Ends a network that nobody wants any more and no machine is in.
    fn end_unused(&mut self, vpc: &VpcId) {
        let used = self.machines.values().any(|held| held.spec.vpc == *vpc);
        if !used && !self.planned.contains(vpc) {
            self.networks.remove(vpc);
        }
    }

    /// Whether a zone outage keeps traffic from an address.
    pub fn cut(&self, vpc: &VpcId, address: Ipv4Addr) -> bool {
        let subnets = self.networks.get(vpc).map_or(&[][..], |plan| plan.subnets.as_slice());
        subnets.iter().any(|subnet| subnet.cut && subnet.cidr.contains(address))
    }

    fn boot(&mut self, spec: LaunchSpec, now: Time, rng: &mut Rng, faults: &HostFaults) -> HostFact {
        let (instance, generation) = (spec.instance.clone(), spec.generation);
        if rng.below(1000) < faults.boot_fails {
            return HostFact::LaunchFailed { instance, generation, reason: "no room".to_string() };
        }
        *self.boots.entry((instance.clone(), generation)).or_default() += 1;
        let initialization = Initialization::UnderWay;
        let held = Held { generation, state: MachineState::Running, booted_at: now, spec, initialization };
        self.plan(now + Span::from_secs(1 + rng.below(20) as i64), Job::Initialize(instance.clone(), generation));
        self.machines.insert(instance.clone(), held);
        HostFact::Booted { instance, generation }
    }

    /// A machine's first process is killed.
    pub fn kill(&mut self, instance: &InstanceId) {
        if let Some(held) = self.machines.get_mut(instance)
            && held.state == MachineState::Running
        {
            held.state = MachineState::Stopped;
            self.facts.push(HostFact::Exited { instance: instance.clone(), generation: held.generation });
        }
    }

    /// The facts since the last call.
    pub fn take_facts(&mut self) -> Vec<HostFact> {
        std::mem::take(&mut self.facts)
    }

    /// What a daemon that starts finds: facts under way to the one before it
    /// are lost, and so is what was accepted but not begun. Commands go on,
    /// as they run in the machines. Networks in which nothing runs end.
    pub fn restart(&mut self) -> Vec<HostFact> {
        self.facts.clear();
        self.commands.restart();
        self.jobs.retain(|_, job| matches!(job, Job::Initialize(..)));
        self.planned.clear();
        let runs = |vpc: &VpcId| {
            self.machines.values().any(|held| held.state == MachineState::Running && held.spec.vpc == *vpc)
        };
        self.networks.retain(|vpc, _| runs(vpc));
        vec![self.inventory(), HostFact::Layers(self.layers.iter().cloned().collect())]
    }

    /// The machine under all machines goes down; nothing tells the daemon, as
    /// it goes down too.
    pub fn power_fails(&mut self) {
        self.jobs.clear();
        self.networks.clear();
        for held in self.machines.values_mut() {
            held.state = MachineState::Stopped;
        }
    }

    /// All machines.
    pub fn inventory(&self) -> HostFact {
        let line = |(instance, held): (&InstanceId, &Held)| Machine {
            instance: instance.clone(),
            generation: held.generation,
            state: held.state,
            initialization: held.initialization.clone(),
        };
        HostFact::Inventory(self.machines.iter().map(line).collect())
    }

    /// Layers removed.
    pub fn delete_image(&mut self, image: &ImageId) {
        self.layers.remove(image);
    }

    /// Living machines, in the order of their ids.
    pub fn living(&self) -> impl Iterator<Item = (&InstanceId, &Held)> {
        self.machines.iter().filter(|(_, held)| held.state == MachineState::Running)
    }
}
