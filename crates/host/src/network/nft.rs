//! Drives the kernel's packet filter through the `nft` program, in the
//! network namespace of the calling thread, and finds out whether that works.

use crate::network::netlink::Netlink;
use crate::sys;
use elastane_domain::vpc::NetworkPlan;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A ruleset of thousands of interfaces takes a fraction of this.
const NFT_LIMIT: Duration = Duration::from_secs(20);
/// What is kept of its complaints.
const COMPLAINT_BYTES_MAX: u64 = 2_000;
/// What it may print when it is asked for counters.
const LISTING_BYTES_MAX: u64 = 64 << 20;
/// Where `nft` is when the search path does not say: ordinary users have no sbin in theirs.
const PLACES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];

/// The `nft` program of this machine.
pub fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let listed = std::env::split_paths(&path).collect::<Vec<_>>();
    let places = listed.into_iter().chain(PLACES.iter().map(PathBuf::from));
    places.map(|place| place.join("nft")).find(|file| file.is_file())
}

/// Carries out a script as one transaction: all of it is in force, or nothing.
///
/// # Errors
/// `nft`'s complaint in a sentence.
pub fn apply(script: &str) -> Result<(), String> {
    run(&["-f", "-"], script).map(drop)
}

/// The elements of a set, as `nft` prints them in JSON.
pub fn list_set(table: &str, set: &str) -> Result<serde_json::Value, String> {
    let text = run(&["-j", "list", "set", "ip", table, set], "")?;
    serde_json::from_str(&text).map_err(|err| format!("nft prints what is no JSON: {err}"))
}

fn run(arguments: &[&str], input: &str) -> Result<String, String> {
    let program = find().ok_or_else(|| "the nft program is not installed (Debian and Ubuntu: nftables)".to_owned())?;
    let sentence = |err: io::Error| format!("cannot run {}: {err}", program.display());
    talk(&program, arguments, input).map_err(sentence)?
}

fn talk(program: &Path, arguments: &[&str], input: &str) -> io::Result<Result<String, String>> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pidfd = sys::pidfd_open(child.id() as i32)?;
    let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (said, complained) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_all(stdout, LISTING_BYTES_MAX));
        let complaints = scope.spawn(move || read_all(stderr, COMPLAINT_BYTES_MAX));
        // It reads all before it acts; one that ends early says why on its standard error.
        let _ = stdin.as_mut().map(|pipe| pipe.write_all(input.as_bytes()));
        drop(stdin);
        if !crate::launch::wait_ended(&pidfd, NFT_LIMIT) {
            let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        (reader.join().unwrap_or_default(), complaints.join().unwrap_or_default())
    });
    Ok(match child.wait()?.success() {
        true => Ok(said),
        false => Err(complaint(&complained)),
    })
}

fn complaint(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // An ordinary user's transaction must fit a socket buffer of the usual size.
    let advice = match text.contains("Message too long") {
        true => "; a network of this size needs root, or a larger net.core.wmem_max",
        false => "",
    };
    format!("nft refuses: {text}{advice}")
}

fn read_all(pipe: Option<impl Read>, limit: u64) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What came before an error is all there is.
        let _ = pipe.by_ref().take(limit).read_to_end(&mut bytes);
        let _ = io::copy(&mut pipe, &mut io::sink());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the packet filter can be driven, found out by installing the
/// rules of an empty VPC in a network namespace made for it.
///
/// # Errors
/// Why not, in a sentence.
pub fn probe() -> Result<(), String> {
    let attempt = std::thread::Builder::new().name("net-probe".to_owned()).spawn(|| {
        sys::unshare(libc::CLONE_NEWNET).map_err(|err| format!("cannot make a network namespace: {err}"))?;
        let up = Netlink::open().and_then(|netlink| netlink.loopback_up());
        up.map_err(|err| format!("cannot use a network namespace: {err}"))?;
        let plan = NetworkPlan::empty("vpc-probe".into());
        let flows = super::ruleset::flow_table("elastane_flows_probe", &Default::default());
        apply(&format!("{}{flows}", super::ruleset::table(&plan)))
    });
    let thread = attempt.map_err(|err| format!("cannot start a thread: {err}"))?;
    thread.join().unwrap_or_else(|_| Err("the attempt failed".to_owned()))
}

/// Whether a table of the ip family has a name that starts so.
pub fn has_table_like(start: &str) -> bool {
    let listed = run(&["list", "tables", "ip"], "").unwrap_or_default();
    listed.lines().any(|line| line.strip_prefix("table ip ").is_some_and(|name| name.starts_with(start)))
}
