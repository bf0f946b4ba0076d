//! The command line.

use crate::command;
use crate::data_dir::{DATA_DIR_VARIABLE, DataDir, Problem};
use crate::webhook::Target;
use clap::{Args, Parser, Subcommand, ValueEnum};
use elastane_proxy::remote::PROCESSES_MAX;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Elastic compute that runs anywhere and speaks AWS.
///
/// `elastane demo` shows all of it at work. `elastane up` starts the daemon;
/// then `eval "$(elastane env)"` points the AWS CLI, boto3, Terraform and the
/// SDKs at it.
#[derive(Parser)]
#[command(name = "elastane", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the daemon and stay in the foreground.
    Up(Up),
    /// Run the main job end to end and explain it: image, template, load balancer, group, load, scale
    /// out, heal, scale in. Leaves nothing behind.
    Demo(command::demo::Demo),
    /// Print the exports that a shell needs to reach the daemon: eval "$(elastane env)".
    Env(Where),
    /// Print the certificate that issued certificates are believed by: elastane ca > ca.pem; curl --cacert ca.pem.
    Ca(Where),
    /// Make, list, rotate and delete access keys: the administrator's and those of users.
    Credentials(command::credentials::Credentials),
    /// Say what this machine can do, which driver is chosen, and what to install for more.
    Doctor(Doctor),
    /// Show groups, instances, targets and alarms at a glance.
    Status(Status),
    /// Stop the daemon. Instances keep running and are adopted by the next `elastane up`.
    Down(Down),
    /// Remove everything that was made since the first start: instances, images, groups, metrics.
    Reset(Where),
    /// Open a shell in an instance, or run a command there: a session of Session Manager.
    Shell(command::shell::Shell),
    /// Import, build, list and remove images.
    Image(command::image::Image),
    /// Look at load balancers: which rule a request hits and why, targets, zonal shift, metrics.
    Lb(command::lb::Lb),
    /// Release a new version: rolling through a group, or from one target group to another; taken back when it fails.
    Deploy(command::deploy::Deploy),
    /// Check the trail of calls: that nothing in it was changed since it was written.
    Audit(command::audit::Audit),
    /// Make trouble: cut off a zone, interrupt a spot instance.
    Chaos(Chaos),
    /// Run the data plane: listeners, health checks, load balancing. `elastane up` starts it and it outlives
    /// the daemon; nobody else needs to.
    #[command(hide = true)]
    Proxy(command::proxy::Proxy),
    /// Run the simulator: the same decisions on a virtual clock, with faults and checkers.
    Sim(elastane_sim::cli::Sim),
}

/// Which installation a command is about.
#[derive(Args, Clone, Debug)]
pub struct Where {
    /// The data directory. [default: $ELASTANE_DATA_DIR, else $XDG_DATA_HOME/elastane, else
    /// ~/.local/share/elastane]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Where {
    /// The path that was named, or the default.
    pub fn path(&self) -> Result<PathBuf, Problem> {
        self.data_dir.clone().map_or_else(DataDir::default_path, Ok)
    }

    /// Whether one was named, by the option or by the variable for it.
    pub fn is_named(&self) -> bool {
        self.data_dir.is_some() || std::env::var_os(DATA_DIR_VARIABLE).is_some_and(|value| !value.is_empty())
    }

    /// The directory at this path.
    #[cfg(test)]
    pub fn at(path: PathBuf) -> Where {
        Where { data_dir: Some(path) }
    }
}

/// How the daemon runs.
#[derive(Args, Clone, Debug)]
pub struct Up {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// Where to accept AWS requests. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4566")]
    pub listen: SocketAddr,
    /// Accept requests from other machines: needed to listen on anything but loopback.
    #[arg(long)]
    pub expose: bool,
    /// The certificate, with its chain, that the port shows to https clients, as PEM. [default: one of the
    /// installation's authority: clients trust it with `elastane ca`] Read again within a minute when the files change.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// The region of those who name none. Any region that a client signs for works.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// Run service time this many times faster: at 60, a five-minute cooldown passes in five seconds.
    /// 1 to 600.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = time_scale)]
    pub time_scale: f64,
    /// How instances are isolated.
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    pub driver: Driver,
    /// Check signatures, or take callers at their word (for tests; loopback only).
    #[arg(long, value_enum, default_value_t = AuthMode::On)]
    pub auth: AuthMode,
    /// How much of a core one vCPU is. [default: a fortieth of this machine, so that ten instances of
    /// four vCPUs fit]
    #[arg(long, value_name = "CORES", value_parser = vcpu_share)]
    pub vcpu_share: Option<f64>,
    /// Where to answer for the names of load balancers: an address with port, or `off`. [default:
    /// 127.0.0.153:53 where that is allowed, else a high port there]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = dns)]
    pub dns: Option<Dns>,
    /// Processes of the data plane, 1 to 8: zones take turns at them, and what happens to one happens to the
    /// addresses of its zones alone. Another number than before ends those that run first.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = proxies)]
    pub proxies: usize,
    /// Let instances with a route to the internet beyond this machine: turns on forwarding and adds one
    /// nftables table here until the daemon stops. Without it they reach this machine as 198.18.0.1 and
    /// nothing further. Needs root.
    #[arg(long)]
    pub internet: bool,
    /// Post notifications and events of Auto Scaling groups here, as SNS and EventBridge would, unsigned:
    /// launches, terminations, life-cycle hooks, instance refreshes. A host on this machine.
    #[arg(long, value_name = "URL", value_parser = Target::parse)]
    pub webhook: Option<Target>,
    /// Let the webhook be on another machine.
    #[arg(long, requires = "webhook")]
    pub webhook_anywhere: bool,
}

/// Where load balancers' names are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dns {
    /// Nowhere.
    Off,
    /// Here and nowhere else.
    At(SocketAddr),
}

fn dns(text: &str) -> Result<Dns, String> {
    if text == "off" {
        return Ok(Dns::Off);
    }
    let address: SocketAddr = text.parse().map_err(|_| "must be an address with port, or off".to_string())?;
    if address.ip().is_loopback() { Ok(Dns::At(address)) } else { Err("must be a loopback address".to_string()) }
}

/// How instances are isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// The strongest that works here, found by trying.
    Auto,
    /// Namespaces, own root and network; as root also limits and shifted users.
    Sandbox,
    /// Plain processes on loopback addresses of their own; works everywhere.
    Process,
}

/// Whether signatures are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// Signatures are checked against the installation's credentials.
    On,
    /// Any key will do; a key of twelve digits names its account.
    Off,
}

/// What to look at.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Install what is missing for networks (nftables, by apt-get, as root), saying what is done.
    #[arg(long)]
    pub fix: bool,
}

/// How to print.
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to stop.
#[derive(Args, Clone, Debug)]
pub struct Down {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// Remove everything as well, as `elastane reset` does.
    #[arg(long)]
    pub all: bool,
}

/// What trouble to make.
#[derive(Args, Clone, Debug)]
pub struct Chaos {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// The trouble.
    #[command(subcommand)]
    pub trouble: Trouble,
}

/// A trouble.
#[derive(Subcommand, Clone, Debug)]
pub enum Trouble {
    /// Cut a zone off: nothing passes to or from its subnets, and nothing is launched in it.
    ZoneOutage {
        /// The zone, such as us-east-1a.
        zone: String,
        /// How long, in service time: 90, 60s, 5m or 2h. Without it, until --end.
        #[arg(long = "for", value_name = "TIME", value_parser = seconds, conflicts_with = "end")]
        span: Option<u32>,
        /// Make the zone whole again.
        #[arg(long)]
        end: bool,
    },
    /// Tell a spot instance that it will be interrupted in two minutes of service time, and do it then.
    SpotInterruption {
        /// The instance.
        instance: String,
    },
}

/// `90`, `60s`, `5m` or `2h` in seconds.
pub fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || "must be a time such as 90, 60s, 5m or 2h".to_string();
    let (number, factor) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some(_) | None => (text, 1),
    };
    number.parse::<u32>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

/// A factor from 1 to `clock::SCALE_MAX`.
pub fn time_scale(text: &str) -> Result<f64, String> {
    let max = crate::clock::SCALE_MAX;
    let scale: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    if (1.0..=max).contains(&scale) { Ok(scale) } else { Err(format!("must be from 1 to {max}")) }
}

/// From 1 to `PROCESSES_MAX`.
fn proxies(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=PROCESSES_MAX).contains(number));
    number.ok_or_else(|| format!("must be from 1 to {PROCESSES_MAX}"))
}

fn vcpu_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    if (0.01..=8.0).contains(&share) { Ok(share) } else { Err("must be from 0.01 to 8 cores".to_string()) }
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Up(up) => command::up::run(&up),
        Command::Demo(demo) => command::demo::run(&demo),
        Command::Env(place) => command::env::run(&place),
        Command::Ca(place) => command::ca::run(&place),
        Command::Credentials(credentials) => command::credentials::run(&credentials),
        Command::Doctor(doctor) => command::doctor::run(&doctor),
        Command::Status(status) => command::status::run(&status),
        Command::Down(down) => command::down::run(&down),
        Command::Reset(place) => command::reset::run(&place),
        Command::Shell(shell) => command::shell::run(&shell),
        Command::Image(image) => command::image::run(&image),
        Command::Lb(lb) => command::lb::run(&lb),
        Command::Deploy(deploy) => command::deploy::run(&deploy),
        Command::Audit(audit) => command::audit::run(&audit),
        Command::Chaos(chaos) => command::chaos::run(&chaos),
        Command::Proxy(proxy) => command::proxy::run(&proxy),
        Command::Sim(sim) => command::sim::run(&sim),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("elastane: {problem}");
            ExitCode::FAILURE
        }
    }
}
