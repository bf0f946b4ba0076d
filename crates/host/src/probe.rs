//! Which makes of instances work on this machine, found out by booting one of each.

use crate::error::HostError;
use crate::host::{Host, HostConfig};
use crate::imds::{MetadataDocument, MetadataSource};
use crate::make::{Make, enter_private_namespaces};
use crate::{init, tree};
use elastane_domain::id::{AccountId, CommandId, InstanceId, Region, VpcId};
use elastane_domain::machine::{CommandEnd, CommandStep, Generation, HostFact, LaunchSpec};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long a probe may take in all.
const PROBE_LIMIT: Duration = Duration::from_secs(40);

/// What was found about one make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The make.
    pub make: Make,
    /// Whether an instance booted and ran a command.
    pub works: bool,
    /// What failed; empty when it works.
    pub why: String,
    /// What to install or to allow for it; empty when it works.
    pub advice: String,
    /// What is not enforced or not possible although it works.
    pub notes: Vec<String>,
}

struct NoMetadata;

impl MetadataSource for NoMetadata {
    fn document(&self, _: &InstanceId) -> Option<MetadataDocument> {
        None
    }
}

/// Boots a throw-away instance of one make in a process of its own, below
/// `data_dir`, and says how it went. May be called in a program with threads.
pub fn probe(make: Make, data_dir: &Path) -> Finding {
    let failed = |why: String| Finding { make, works: false, advice: advice(make, &why), why, notes: Vec::new() };
    let name = format!("probe-{}-{:?}", std::process::id(), make).to_lowercase();
    let directory = data_dir.join(name);
    let child = Command::new("/proc/self/exe")
        .arg(init::PROBE_ARGUMENT)
        .arg(serde_json::to_string(&make).expect("a plain enum"))
        .arg(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .output();
    let finding = match child {
        Ok(output) => {
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| failed("the probe gave no answer".to_owned()))
        }
        Err(err) => failed(format!("the probe cannot be started: {err}")),
    };
    // What a failed probe leaves is reported by its finding.
    let _ = tree::remove(&directory);
    finding
}

/// Probes all makes, the strongest first.
pub fn doctor(data_dir: &Path) -> Vec<Finding> {
    Make::ALL.into_iter().map(|make| probe(make, data_dir)).collect()
}

fn advice(make: Make, why: &str) -> String {
    let text = match make {
        Make::Root if why.contains("--data-dir") => "choose a --data-dir outside of /usr, /etc, /var and /opt",
        Make::Root => {
            "start elastane as root (or in a container with --privileged) for isolated instances with enforced limits"
        }
        Make::Rootless if why.contains("user namespace") => {
            "allow user namespaces: sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 (Debian), \
             kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container, allow unshare in its seccomp profile"
        }
        Make::Rootless => {
            "needs a kernel of 5.11 or later whose overlayfs can be mounted in user namespaces, and an unmasked /proc"
        }
        Make::Process => "needs a writable data directory and free addresses in 127.0.0.0/8",
    };
    text.to_owned()
}

/// The helper process of a probe: prints its finding as JSON.
pub(crate) fn probe_main(arguments: &[OsString]) -> i32 {
    let make = arguments.get(2).and_then(|text| serde_json::from_str::<Make>(text.to_str()?).ok());
    let (Some(make), Some(directory)) = (make, arguments.get(3)) else { return 2 };
    let outcome = try_boot(make, Path::new(directory));
    let finding = match outcome {
        Ok(notes) => Finding { make, works: true, why: String::new(), advice: String::new(), notes },
        Err(err) => {
            let why = err.sentence();
            Finding { make, works: false, advice: advice(make, &why), why, notes: Vec::new() }
        }
    };
    println!("{}", serde_json::to_string(&finding).expect("plain data"));
    0
}

fn spec() -> LaunchSpec {
    LaunchSpec {
        instance: InstanceId::from("i-0000000000000000f"),
        generation: Generation(1),
        account: AccountId::from("000000000000"),
        region: Region::from("us-east-1"),
        layers: Vec::new(),
        vpc: VpcId::from("vpc-0000000000000000f"),
        subnet_cidr: (Ipv4Addr::new(172, 31, 240, 0), 24),
        private_ip: Ipv4Addr::new(172, 31, 240, 10),
        hostname: "ip-172-31-240-10".to_owned(),
        cpu_millicores: 1000,
        memory_mib: 256,
        user_data: None,
        ssh_public_key: None,
        name_servers: Vec::new(),
        search_domain: String::new(),
    }
}

fn try_boot(make: Make, directory: &Path) -> Result<Vec<String>, HostError> {
    enter_private_namespaces(make, directory)?;
    let (sender, facts) = mpsc::channel();
    let host = Host::open(HostConfig {
        data_dir: directory.to_owned(),
        make,
        source: Arc::new(NoMetadata),
        facts: Arc::new(move |fact| drop(sender.send(fact))),
        internet: false,
    })?;
    let result = boot_and_run(&host, &facts);
    host.shutdown_all();
    let notes = host.notes();
    result.map(|()| notes)
}

fn boot_and_run(host: &Host, facts: &mpsc::Receiver<HostFact>) -> Result<(), HostError> {
    let spec = spec();
    let id = spec.instance.clone();
    host.launch(spec);
    loop {
        match facts.recv_timeout(PROBE_LIMIT) {
            Ok(HostFact::Booted { .. }) => {
                let command = CommandId::from("probe");
                let step = CommandStep { script: "true".to_owned(), timeout_secs: 10, ..CommandStep::default() };
                host.run_command(&command, &id, Generation(1), vec![step]);
            }
            Ok(HostFact::LaunchFailed { reason, .. }) => return Err(HostError::Refused(reason)),
            Ok(HostFact::CommandDone { outcome, .. }) if outcome.end == CommandEnd::Exited(0) => return Ok(()),
            Ok(HostFact::CommandDone { outcome, .. }) => {
                return Err(HostError::Refused(format!("a command in the instance failed: {}", outcome.note)));
            }
            Ok(HostFact::Exited { .. }) => return Err(HostError::Refused("the instance ended".to_owned())),
            Ok(_) => {}
            Err(_) => return Err(HostError::Refused("the instance did not boot in time".to_owned())),
        }
    }
}
