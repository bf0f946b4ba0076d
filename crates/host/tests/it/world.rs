//! What the cases stand on: a host with its facts, and looking for leftovers.

use crate::metadata;
use elastane_domain::id::{AccountId, CommandId, ImageId, InstanceId, Region, VpcId};
use elastane_domain::machine::{CommandEnd, CommandOutcome, CommandStep, Generation, HostFact, LaunchSpec};
use elastane_host::{Facts, Host, HostConfig, Make, MetadataDocument, MetadataOptions, MetadataSource};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before the case fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Results so far.
#[derive(Default)]
pub struct Totals {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl Totals {
    pub fn skip(&mut self, what: &str, why: &str) {
        println!("SKIPPED {what}: {why}");
        self.skipped += 1;
    }

    pub fn check(&mut self, make: &str, case: &str, result: Result<(), String>) {
        match result {
            Ok(()) => {
                println!("ok      {make}: {case}");
                self.passed += 1;
            }
            Err(why) => {
                println!("FAILED  {make}: {case}: {why}");
                self.failed += 1;
            }
        }
    }

    pub fn add_line(&mut self, line: &str, make: &str) {
        let numbers: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [passed, failed, skipped] => {
                self.passed += passed;
                self.failed += failed;
                self.skipped += skipped;
            }
            _ => {
                println!("FAILED  {make}: the process of its cases died");
                self.failed += 1;
            }
        }
    }
}

pub fn make_named(name: &str) -> Make {
    match name {
        "Root" => Make::Root,
        "Rootless" => Make::Rootless,
        "Process" => Make::Process,
        other => panic!("no make is named {other}"),
    }
}

pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Metadata of every instance.
struct Source;

impl MetadataSource for Source {
    fn document(&self, instance: &InstanceId) -> Option<MetadataDocument> {
        Some(MetadataDocument {
            options: MetadataOptions {
                http_endpoint: true,
                tokens_required: true,
                hop_limit: metadata::HOP_LIMIT.load(Ordering::SeqCst),
            },
            entries: metadata::entries(instance),
            user_data: None,
        })
    }
}

pub struct World {
    host: Option<Host>,
    pub make: Make,
    pub data: PathBuf,
    facts: mpsc::Receiver<HostFact>,
    seen: Mutex<Vec<HostFact>>,
    internet: bool,
}

pub fn open(make: Make, data: &Path, facts: Facts, internet: bool) -> Host {
    let config = HostConfig { data_dir: data.to_owned(), make, source: Arc::new(Source), facts, internet };
    Host::open(config).unwrap_or_else(|err| panic!("{}", err.sentence()))
}

/// Whichever boot the instance is in.
pub const ANY_BOOT: Generation = Generation(0);

impl World {
    pub fn open(make: Make, data: &Path) -> World {
        let (_, facts) = mpsc::channel();
        let mut world =
            World { host: None, make, data: data.to_owned(), facts, seen: Mutex::default(), internet: false };
        world.reopen();
        world
    }

    /// The same data directory with the next host allowed to lead further than this machine.
    pub fn reopen_with_internet(&mut self, internet: bool) {
        self.internet = internet;
        self.reopen();
    }

    pub fn host(&self) -> &Host {
        self.host.as_ref().expect("the host is open")
    }

    /// Lets the host go; its instances stay.
    pub fn close(&mut self) {
        drop(self.host.take());
    }

    pub fn reopen(&mut self) {
        self.close();
        let (sender, facts) = mpsc::channel();
        let sender = Mutex::new(sender);
        self.facts = facts;
        self.host = Some(open(
            self.make,
            &self.data,
            Arc::new(move |fact| drop(sender.lock().unwrap().send(fact))),
            self.internet,
        ));
    }

    /// Waits for a fact; others are kept for later calls.
    pub fn wait<T>(&self, what: &str, mut pick: impl FnMut(&HostFact) -> Option<T>) -> Result<T, String> {
        let mut seen = self.seen.lock().unwrap();
        if let Some((at, found)) = seen.iter().enumerate().find_map(|(at, fact)| Some((at, pick(fact)?))) {
            seen.remove(at);
            return Ok(found);
        }
        // What has a limit of its own, as a command has, is to reach that first.
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.facts.recv_timeout(left) {
                Ok(fact) => match pick(&fact) {
                    Some(found) => return Ok(found),
                    None => seen.push(fact),
                },
                Err(_) => return Err(format!("{what} did not come; seen: {seen:?}")),
            }
        }
    }

    pub fn boot(&self, spec: LaunchSpec) -> Result<InstanceId, String> {
        let id = spec.instance.clone();
        self.host().launch(spec);
        self.booted(&id)?;
        Ok(id)
    }

    pub fn booted(&self, id: &InstanceId) -> Result<(), String> {
        self.wait(&format!("Booted of {id}"), |fact| match fact {
            HostFact::Booted { instance, .. } if instance == id => Some(Ok(())),
            HostFact::LaunchFailed { instance, reason, .. } if instance == id => Some(Err(reason.clone())),
            _ => None,
        })?
    }

    pub fn exited(&self, id: &InstanceId, wanted: u64) -> Result<(), String> {
        self.wait(&format!("Exited of {id}"), |fact| match fact {
            HostFact::Exited { instance, generation } if instance == id && generation.0 == wanted => Some(()),
            _ => None,
        })
    }

    pub fn remove(&self, id: &InstanceId) -> Result<(), String> {
        self.host().terminate(id);
        self.removed(id)
    }

    pub fn removed(&self, id: &InstanceId) -> Result<(), String> {
        self.wait(&format!("Removed of {id}"), |fact| match fact {
            HostFact::Removed { instance } if instance == id => Some(()),
            _ => None,
        })
    }

    pub fn command(
        &self,
        id: &InstanceId,
        script: &str,
        directory: Option<&str>,
        timeout: Duration,
    ) -> Result<CommandOutcome, String> {
        self.command_named(&format!("command-{}", unique()), id, script, directory, timeout)
    }

    /// The same under a name that may have been used before.
    pub fn command_named(
        &self,
        name: &str,
        id: &InstanceId,
        script: &str,
        directory: Option<&str>,
        timeout: Duration,
    ) -> Result<CommandOutcome, String> {
        let step = CommandStep {
            script: script.to_owned(),
            directory: directory.unwrap_or_default().to_owned(),
            timeout_secs: u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX),
            ..CommandStep::default()
        };
        self.steps_named(name, id, vec![step])
    }

    /// Runs a command of several steps.
    pub fn steps_named(&self, name: &str, id: &InstanceId, steps: Vec<CommandStep>) -> Result<CommandOutcome, String> {
        let command = CommandId::from(name);
        self.host().run_command(&command, id, ANY_BOOT, steps);
        self.ended(&command)
    }

    /// Waits for a command's end.
    pub fn ended(&self, command: &CommandId) -> Result<CommandOutcome, String> {
        self.wait("CommandDone", |fact| match fact {
            HostFact::CommandDone { command: done, outcome, .. } if done == command => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Output of a script that must succeed.
    pub fn output(&self, id: &InstanceId, script: &str) -> Result<String, String> {
        let outcome = self.command(id, script, None, PATIENCE)?;
        match outcome.end {
            CommandEnd::Exited(0) => Ok(outcome.steps[0].stdout.trim_end().to_owned()),
            _ => Err(format!("{script:?} failed: {outcome:?}; console: {}", self.console(id))),
        }
    }

    pub fn console(&self, id: &InstanceId) -> String {
        String::from_utf8_lossy(&self.host().console_output(id)).into_owned()
    }

    /// Waits until the console of an instance holds a text.
    pub fn console_with(&self, id: &InstanceId, text: &str) -> Result<String, String> {
        until(&format!("{text:?} in the console"), || Some(self.console(id)).filter(|console| console.contains(text)))
            .map_err(|err| format!("{err}; console: {}", self.console(id)))
    }

    pub fn capture(&self, image: &ImageId, id: &InstanceId) -> Result<u64, String> {
        self.host().capture(image, id);
        self.wait("Captured", |fact| match fact {
            HostFact::Captured { image: done, bytes } if done == image => Some(Ok(*bytes)),
            HostFact::CaptureFailed { image: done, reason } if done == image => Some(Err(reason.clone())),
            _ => None,
        })?
    }
}

/// Polls for something that no fact tells.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("{what} did not come"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A launch of a fresh instance with its own address in one VPC.
pub fn spec(user_data: &str) -> LaunchSpec {
    let number = unique();
    let private_ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 31, 0, 10)) + number);
    LaunchSpec {
        instance: InstanceId::from(format!("i-{:017x}", u64::from(std::process::id()) << 20 | u64::from(number))),
        generation: Generation(1),
        account: AccountId::from("000000000000"),
        region: Region::from("us-east-1"),
        layers: Vec::new(),
        vpc: VpcId::from("vpc-00000000000000001"),
        subnet_cidr: (Ipv4Addr::new(172, 31, 0, 0), 20),
        private_ip,
        hostname: format!("ip-{}", private_ip.to_string().replace('.', "-")),
        cpu_millicores: 1000,
        memory_mib: 512,
        user_data: (!user_data.is_empty()).then(|| user_data.as_bytes().to_vec()),
        ssh_public_key: None,
        name_servers: Vec::new(),
        search_domain: "ec2.internal".to_owned(),
    }
}

/// A daemon that launches instances and then waits to be killed: prints one
/// line per boot.
pub fn daemon(make: &str, data: &Path) -> ExitCode {
    let make = make_named(make);
    if let Err(err) = elastane_host::enter_private_namespaces(make, data) {
        println!("error {}", err.sentence());
        return ExitCode::FAILURE;
    }
    let print: Facts = Arc::new(|fact| {
        if let HostFact::Booted { instance, .. } = fact {
            println!("booted {instance}");
        }
    });
    let host = open(make, data, print, false);
    for _ in 0..LAUNCHED_BEFORE_KILL {
        host.launch(spec(""));
    }
    loop {
        std::thread::park();
    }
}

/// How many launches are under way when a daemon is killed.
pub const LAUNCHED_BEFORE_KILL: u32 = 12;

/// The daemon after one that was killed: every machine that it finds must
/// answer or be stopped; `told` are those that were reported as booted. Then
/// ends everything.
pub fn successor(make: &str, data: &Path, told: &str) -> ExitCode {
    let result =
        elastane_host::enter_private_namespaces(make_named(make), data).map_err(|err| err.sentence()).and_then(|()| {
            let world = World::open(make_named(make), data);
            let machines = world.host().inventory();
            let result = machines.iter().try_for_each(|machine| match machine.state {
                elastane_domain::machine::MachineState::Running => world.output(&machine.instance, "true").map(drop),
                elastane_domain::machine::MachineState::Stopped => Err(format!("{} is stopped", machine.instance)),
            });
            let lost = told
                .split(',')
                .filter(|id| !id.is_empty())
                .find(|id| !machines.iter().any(|machine| machine.instance.as_str() == *id));
            println!("figure  {make}: {} of {LAUNCHED_BEFORE_KILL} launches taken over after kill -9", machines.len());
            world.host().shutdown_all();
            match lost {
                Some(id) => Err(format!("{id} was lost")),
                None => result,
            }
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// What of an instance's world can outlive a test, on the host.
#[derive(Default)]
pub struct Leftovers {
    processes: BTreeSet<String>,
    mounts: usize,
    links: BTreeSet<String>,
    groups: BTreeSet<PathBuf>,
}

/// Names of the control groups of the data directories in use below `directory`.
fn group_names(directory: &Path) -> Vec<String> {
    let checksum = |bytes: &[u8]| {
        bytes.iter().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    };
    let data = ["data", "killed", "best"].map(|name| directory.join(name));
    data.iter().map(|path| format!("elastane-{:08x}", checksum(path.as_os_str().as_encoded_bytes()))).collect()
}

/// The installation's cable in the host's own network namespace.
pub fn host_link(data: &Path) -> String {
    let bytes = data.as_os_str().as_encoded_bytes();
    let sum = bytes.iter().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("ela{sum:08x}")
}

/// Processes that name the directory, mounts, its cable, and its control groups.
pub fn leftovers(directory: &Path) -> Leftovers {
    let mut found = Leftovers::default();
    let name = directory.to_string_lossy().into_owned();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let text = [read("cmdline"), read("environ")].concat();
        let named = String::from_utf8_lossy(&text).contains(&name) || exe.starts_with(directory);
        if named && pid != std::process::id() && !read("cmdline").is_empty() {
            found.processes.insert(format!("{pid} {}", String::from_utf8_lossy(&read("cmdline")).replace('\0', " ")));
        }
    }
    found.mounts = std::fs::read_to_string("/proc/self/mounts").unwrap().lines().count();
    let links = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let links = links.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let cables = ["data", "killed", "best"].map(|name| host_link(&directory.join(name)));
    found.links = links.filter(|link| cables.contains(link)).collect();
    let names = group_names(directory);
    let mut pending = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if names.iter().any(|name| entry.file_name() == name.as_str()) {
                    found.groups.insert(entry.path());
                }
                pending.push(entry.path());
            }
        }
    }
    found
}

/// Kills and removes what is left and says what it was.
pub fn clean(directory: &Path, before: &Leftovers) -> Result<(), String> {
    let after =
        until("the end of all processes", || Some(leftovers(directory)).filter(|left| left.processes.is_empty()));
    let after = match after {
        Ok(after) => after,
        Err(_) => leftovers(directory),
    };
    for line in &after.processes {
        let pid = line.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    let groups: Vec<&PathBuf> = after.groups.difference(&before.groups).collect();
    groups.iter().rev().for_each(|group| drop(std::fs::remove_dir(group)));
    std::fs::remove_dir_all(directory).map_err(|err| format!("cannot remove {}: {err}", directory.display()))?;
    match (after.processes.len(), after.mounts == before.mounts, groups.len(), after.links.len()) {
        (0, true, 0, 0) => Ok(()),
        _ => Err(format!(
            "left: processes {:?}, mounts {} (before {}), groups {groups:?}, cables {:?}",
            after.processes, after.mounts, before.mounts, after.links
        )),
    }
}
