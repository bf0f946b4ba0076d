//! What the control plane asks of a host and what a host reports: the
//! vocabulary between `engine` and `host`. Launch, stop and the others are
//! idempotent; `Generation` tells a result of today's request from one of
//! yesterday's.

use crate::id::{AccountId, CommandId, ImageId, InstanceId, Region, VpcId};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Counts the boots of one instance, from 1. A start after a stop and a
/// reboot are new generations; facts of an older one are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// Everything a host needs to boot an instance, without asking back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The instance, and the name of its directory on the host.
    pub instance: InstanceId,
    /// Which boot of it this is.
    pub generation: Generation,
    /// Owner, for the metadata service and for inventories.
    pub account: AccountId,
    /// Region, likewise.
    pub region: Region,
    /// Layers of the image from the base upwards; empty is the host's own root.
    pub layers: Vec<ImageId>,
    /// The network that the instance lives in. Equal addresses in two VPCs are two machines.
    pub vpc: VpcId,
    /// Its subnet's range as (address, prefix length); the gateway is the first address after it.
    pub subnet_cidr: (Ipv4Addr, u8),
    /// Its primary private address.
    pub private_ip: Ipv4Addr,
    /// Host name without a domain: `ip-172-31-0-10`.
    pub hostname: String,
    /// Enforced CPU: how much of one core it may use, in thousandths of a core.
    pub cpu_millicores: u32,
    /// Enforced memory in MiB.
    pub memory_mib: u32,
    /// Decoded user data; run once in an instance's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<Vec<u8>>,
    /// Public key for the login user's `authorized_keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_public_key: Option<String>,
    /// Name servers for its resolver configuration; empty for the VPC's own
    /// (DHCP options `domain-name-servers`, `AmazonProvidedDNS`).
    #[serde(default)]
    pub name_servers: Vec<Ipv4Addr>,
    /// Domain that short names are searched in: `ec2.internal`; empty for none.
    #[serde(default)]
    pub search_domain: String,
}

/// What a host says of one machine that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineState {
    /// Its first process lives.
    Running,
    /// No process lives; its writable layer is kept.
    Stopped,
}

/// One line of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The instance.
    pub instance: InstanceId,
    /// The boot that the host last carried out.
    pub generation: Generation,
    /// Whether it lives.
    pub state: MachineState,
    /// How far its boot scripts and user data are.
    pub initialization: Initialization,
}

/// How far the boot scripts and user data of a boot are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Initialization {
    /// They run, which may take as long as the instance lives.
    #[default]
    UnderWay,
    /// All ended well.
    Done,
    /// Something of them failed: what, in a sentence.
    Failed(String),
}

/// What a host found out, sent to the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum HostFact {
    /// All machines that the host holds, at start and on request.
    Inventory(Vec<Machine>),
    /// The instance's first process runs and its network is up.
    Booted {
        /// The instance.
        instance: InstanceId,
        /// The boot that succeeded.
        generation: Generation,
    },
    /// The boot scripts and user data of a boot have ended.
    Initialized {
        /// The instance.
        instance: InstanceId,
        /// The boot.
        generation: Generation,
        /// How they ended.
        initialization: Initialization,
    },
    /// The machine could not be made; nothing of it is left.
    LaunchFailed {
        /// The instance.
        instance: InstanceId,
        /// The boot that failed.
        generation: Generation,
        /// For `StateReason`: what went wrong, in a sentence.
        reason: String,
    },
    /// The instance's first process ended: shut down from inside, killed, or stopped on request.
    Exited {
        /// The instance.
        instance: InstanceId,
        /// The boot that ended.
        generation: Generation,
    },
    /// The instance and its writable layer are gone.
    Removed {
        /// The instance.
        instance: InstanceId,
    },
    /// An image's layer is complete on disk.
    Captured {
        /// The image.
        image: ImageId,
        /// Size of the layer in bytes.
        bytes: u64,
    },
    /// An image's layer could not be made; nothing of it is left.
    CaptureFailed {
        /// The image.
        image: ImageId,
        /// What went wrong, in a sentence.
        reason: String,
    },
    /// A VPC's network plan is in force, or could not be.
    Network {
        /// The VPC.
        vpc: VpcId,
        /// The plan's generation.
        generation: u64,
        /// What of it is not in force and why; empty when all of it is.
        problem: String,
    },
    /// All images that the host has layers of, at start, after the first
    /// inventory: those that nobody knows are deleted.
    Layers(Vec<ImageId>),
    /// The scripts of a command have begun to run.
    CommandStarted {
        /// The invocation, as (command, instance).
        command: CommandId,
        /// The instance.
        instance: InstanceId,
    },
    /// The scripts of a command ended, or will not be run.
    CommandDone {
        /// The invocation, as (command, instance).
        command: CommandId,
        /// The instance.
        instance: InstanceId,
        /// How it ended.
        outcome: CommandOutcome,
    },
    /// Which instances answered when all that run were asked whether they are there.
    Pinged {
        /// Those that did.
        answered: Vec<InstanceId>,
        /// Those that did not, in time.
        silent: Vec<InstanceId>,
    },
}

/// A step of a command: a script, and what its end means for the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandStep {
    /// Its name, unique within the command.
    pub name: String,
    /// The script.
    pub script: String,
    /// Its working directory; empty for the default.
    #[serde(default)]
    pub directory: String,
    /// Seconds that it may run, in wall time.
    pub timeout_secs: u32,
    /// What its failure means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Whether its success ends the command.
    #[serde(default)]
    pub exits_on_success: bool,
    /// Whether it runs also when an earlier step has ended the command.
    #[serde(default)]
    pub runs_anyway: bool,
    /// Whether it is for another platform, and so is not run.
    #[serde(default)]
    pub skipped: bool,
}

/// What the failure of a step means (SSM documents, `onFailure`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// The next step runs; the command fails.
    #[default]
    Continue,
    /// The command ends and fails.
    Exit,
    /// The command ends, and the step counts as a success.
    ExitAsSuccess,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// Why it ended.
    pub end: StepEnd,
    /// Standard output: at most its first 24,000 bytes (SSM
    /// GetCommandInvocation's limit), with a mark at the end when it was longer.
    pub stdout: String,
    /// Standard error: at most its first 8,000 bytes, likewise.
    pub stderr: String,
    /// How long it ran, in milliseconds of wall time.
    #[serde(default)]
    pub elapsed_ms: u64,
}

/// Why a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepEnd {
    /// It exited with this code.
    Exited(i32),
    /// Its time was over and it was killed.
    TimedOut,
    /// The command was cancelled and it was killed.
    Cancelled,
    /// It was not run.
    Skipped,
}

/// How a command ended on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// Why it ended.
    pub end: CommandEnd,
    /// What is to be said about it, besides the steps' output; may be empty.
    pub note: String,
    /// Its steps, in their order; empty when none was run.
    pub steps: Vec<StepOutcome>,
}

impl CommandOutcome {
    /// One without steps.
    pub fn without_steps(end: CommandEnd, note: impl Into<String>) -> CommandOutcome {
        CommandOutcome { end, note: note.into(), steps: Vec::new() }
    }

    /// One of a single step.
    pub fn of_step(step: StepOutcome) -> CommandOutcome {
        CommandOutcome { end: step.end.of_command(), note: String::new(), steps: vec![step] }
    }
}

impl StepEnd {
    /// What a command has come to whose only step ended so.
    pub fn of_command(self) -> CommandEnd {
        match self {
            StepEnd::Exited(code) => CommandEnd::Exited(code),
            StepEnd::TimedOut => CommandEnd::TimedOut,
            StepEnd::Cancelled => CommandEnd::Cancelled,
            StepEnd::Skipped => CommandEnd::Exited(0),
        }
    }
}

/// Why a command ended on an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandEnd {
    /// The first step that failed exited with this code; 0 when none failed.
    Exited(i32),
    /// The time of a step was over and it was killed.
    TimedOut,
    /// It was ended on request while it ran.
    Cancelled,
    /// It was taken back on request before it ran.
    Withdrawn,
    /// It cannot be run there, and never will.
    Undeliverable,
    /// The request did not reach the instance: it may be tried again.
    Unreached,
    /// It ran, or may have run, and its end will never be known.
    Lost,
}
