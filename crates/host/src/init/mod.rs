//! The instance's first process: the daemon's own executable, started again.
//! It builds the instance from inside (`root`), lets a child do the boot work
//! (`boot`: user data and scripts), and from then on reaps, and serves the
//! daemon (`agent`). It has one thread. It outlives the daemon; when it ends,
//! the instance has ended.
//!
//! The daemon and a new first process talk over a socket: the daemon sends
//! one line of JSON (`InitSpec`); the process asks with `m` to be mapped and
//! limited and waits for `k`; then it says `b` (booted) or `e` and a sentence.
//! If the daemon dies before that, the process ends: nothing half-made stays.

mod agent;
mod boot;
mod command;
mod config;
mod output;
mod report;
mod root;
mod scripts;
mod session;
mod userdata;

use crate::error::{Context, HostError};
use crate::make::Make;
use crate::{probe, router, sys};
use rustix::process::Resource;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

pub(crate) use agent::{Answer, Ask};
pub(crate) use scripts::RunRequest;

/// First argument of an instance's first process.
pub(crate) const INIT_ARGUMENT: &str = "instance-init";
/// First argument of a process that keeps a VPC's network.
pub(crate) const HOLDER_ARGUMENT: &str = "netns-holder";
/// First argument of a probe of one make.
pub(crate) const PROBE_ARGUMENT: &str = "host-probe";

/// Descriptor of the socket to the daemon that launches.
pub(crate) const BOOT_FD: i32 = 3;
/// Descriptor of the agent's listening socket.
pub(crate) const AGENT_FD: i32 = 4;

/// Everything that the first process must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InitSpec {
    pub make: Make,
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    pub instance: String,
    pub generation: u64,
    pub hostname: String,
    /// The VPC's DNS domain: `ec2.internal`, or `<region>.compute.internal`.
    pub domain: String,
    /// Where the instance is reached.
    pub address: Ipv4Addr,
    /// The subnet's gateway and prefix length.
    pub gateway: Ipv4Addr,
    pub prefix: u8,
    /// Layers of the image, base first.
    pub layers: Vec<String>,
    /// Directory of the mask, relative to the data directory.
    pub mask: String,
    /// (top-level directory, where its host directory is mounted or lies).
    pub bases: Vec<(String, String)>,
    /// Owner of the instance's files on the host; `None` when the instance
    /// shares the daemon's user namespace.
    pub owner: Option<u32>,
    /// Memory of its type in MiB.
    pub memory_mib: u32,
    pub user_data: Option<Vec<u8>>,
    pub ssh_public_key: Option<String>,
    /// Name servers of its resolver configuration; empty for the VPC's own.
    pub name_servers: Vec<Ipv4Addr>,
    /// Domain that short names are searched in; empty for none.
    pub search_domain: String,
    /// For `AWS_EC2_METADATA_SERVICE_ENDPOINT`, where it is not the usual one.
    pub metadata_endpoint: Option<String>,
}

impl InitSpec {
    /// Directory of the instance, relative to the data directory.
    fn directory(&self) -> String {
        format!("instances/{}", self.instance)
    }

    /// What stands for `/` of the instance: empty, or a directory in the process make.
    fn root(&self) -> PathBuf {
        match self.make {
            Make::Root | Make::Rootless => PathBuf::new(),
            Make::Process => self.data_dir.join(self.directory()).join("rw").join(crate::layout::TOP),
        }
    }

    /// A path of the instance as this process opens it.
    fn path(&self, inside: &str) -> PathBuf {
        match self.make {
            Make::Root | Make::Rootless => PathBuf::from("/").join(inside),
            Make::Process => self.root().join(inside),
        }
    }
}

/// Runs the helper that `arguments` (the program's, its name first) ask for,
/// and does not return then. Call it first thing in `main`, before any thread
/// starts, and go on when it returns.
pub fn run_helper(arguments: &[OsString]) {
    let Some(first) = arguments.get(1).and_then(|a| a.to_str()) else { return };
    let code = match first {
        INIT_ARGUMENT => init_main(),
        HOLDER_ARGUMENT => router::holder_main(arguments),
        PROBE_ARGUMENT => probe::probe_main(arguments),
        _ => return,
    };
    std::process::exit(code)
}

fn init_main() -> i32 {
    let mut boot = UnixStream::from(sys::inherited(BOOT_FD));
    let agent = UnixListener::from(sys::inherited(AGENT_FD));
    match start(&mut boot) {
        Ok(spec) => {
            if boot.write_all(b"b").is_err() {
                return 1;
            }
            drop(boot);
            match agent::serve(&spec, agent) {
                Ok(()) => 0,
                Err(err) => {
                    eprintln!("elastane: the first process fails: {}", err.sentence());
                    1
                }
            }
        }
        Err(err) => {
            let message = format!("e{}", err.sentence());
            eprintln!("elastane: the instance cannot start: {}", &message[1..]);
            // Without a listener for the message there is nobody to tell.
            let _ = boot.write_all(message.as_bytes());
            1
        }
    }
}

fn start(boot: &mut UnixStream) -> Result<InitSpec, HostError> {
    let mut line = String::new();
    let limit = 1 << 20;
    BufReader::new(boot.try_clone().context(|| "use the boot socket".to_owned())?)
        .take(limit)
        .read_line(&mut line)
        .context(|| "read the launch request".to_owned())?;
    let spec: InitSpec = serde_json::from_str(&line)
        .map_err(|source| HostError::Corrupt { path: PathBuf::from("the launch request"), source })?;
    // What this process holds open must not be reachable through /proc by the instance's root.
    sys::prctl(libc::PR_SET_DUMPABLE, 0).context(|| "protect the first process".to_owned())?;
    if spec.make.is_sandbox() {
        let name = root::build(&spec)?;
        ask_mapping(boot, &spec)?;
        root::settle(&spec, &name)?;
    } else {
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1).context(|| "become the reaper".to_owned())?;
        limit_process()?;
        ask_mapping(boot, &spec)?;
    }
    Ok(spec)
}

/// In the process make nothing but this and the memory of each process
/// ([`command::command`]) can be limited.
fn limit_process() -> Result<(), HostError> {
    sys::limit(Resource::Core, 0).context(|| "forbid core dumps".to_owned())
}

/// Leaves the daemon's user namespace, and waits until the daemon has mapped
/// users and set limits.
fn ask_mapping(boot: &mut UnixStream, spec: &InitSpec) -> Result<(), HostError> {
    if spec.owner.is_some() {
        sys::unshare(libc::CLONE_NEWUSER).context(|| "make the instance's user namespace".to_owned())?;
    }
    boot.write_all(b"m").context(|| "ask for the user mapping".to_owned())?;
    let mut answer = [0u8];
    boot.read_exact(&mut answer).context(|| "wait for the user mapping".to_owned())?;
    if spec.owner.is_some() {
        sys::become_root().context(|| "become the instance's root".to_owned())?;
        sys::prctl(libc::PR_SET_DUMPABLE, 0).context(|| "protect the first process".to_owned())?;
    }
    Ok(())
}

/// Writes a file of the instance, replacing a symbolic link instead of following it.
fn write_file(path: &std::path::Path, content: &[u8]) -> Result<(), HostError> {
    let _ = fs::remove_file(path);
    fs::write(path, content).context(|| format!("write {}", path.display()))
}
