//! The instance's own world: overlays, devices, /proc, the network's inner
//! end, capabilities. The mounts are made with the daemon's rights before the
//! instance's user namespace exists, so that the instance owns none of them
//! and can change none of them.

use super::config::identity::{self, Name};
use super::{InitSpec, write_file};
use crate::error::{Context, HostError};
use crate::layout::TOP;
use crate::make::Make;
use crate::netlink::Netlink;
use crate::{router, sys};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const HARMLESS: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
/// Devices that are the same for everybody.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Entries of /proc that act on or tell about the whole machine.
const PROC_HIDDEN: [&str; 5] = ["kcore", "keys", "sysrq-trigger", "timer_list", "latency_stats"];
const PROC_READ_ONLY: [&str; 4] = ["sys", "bus", "fs", "irq"];
/// What an ordinary service needs (numbers from linux/capability.h): chown 0,
/// dac_override 1, fowner 3, fsetid 4, kill 5, setgid 6, setuid 7, setpcap 8,
/// net_bind_service 10, net_raw 13, sys_chroot 18, audit_write 29.
const CAPABILITIES: u64 =
    1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 13 | 1 << 18 | 1 << 29;

/// Makes all mounts, configures the network, moves into the new root and
/// names the instance: later it has no right to. Returns the name.
pub fn build(spec: &InitSpec) -> Result<Name, HostError> {
    network(spec).context(|| "configure the instance's network".to_owned())?;
    mounted("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "")?;
    std::env::set_current_dir(&spec.data_dir).context(|| format!("enter {}", spec.data_dir.display()))?;
    let root = format!("{}/root", spec.directory());
    overlay(spec, TOP, None, &root)?;
    for (top, base) in &spec.bases {
        overlay(spec, top, Some(base), &format!("{root}/{top}"))?;
    }
    std::env::set_current_dir(&root).context(|| format!("enter {root}"))?;
    devices(spec)?;
    for name in ["run", "tmp"] {
        let mode = if name == "tmp" { "1777" } else { "755" };
        temporary(spec, name, mode, libc::MS_NOSUID | libc::MS_NODEV)?;
    }
    proc_and_sys()?;
    sys::pivot_to_current().context(|| "move into the instance's root".to_owned())?;
    let name = identity::name(spec);
    sys::set_hostname(&name.host).context(|| "set the host name".to_owned())?;
    // The instance sees its own groups as the root of the hierarchy, if it looks.
    sys::unshare(libc::CLONE_NEWCGROUP).context(|| "make a control group namespace".to_owned())?;
    Ok(name)
}

fn mounted(source: &str, target: &str, kind: &str, flags: libc::c_ulong, data: &str) -> Result<(), HostError> {
    sys::mount(source, target, kind, flags, data).context(|| format!("mount {kind} at {target}"))
}

/// The inner end of the virtual cable: address, route, and ports below 1024
/// for everybody, since the instance's root has no say over the network.
fn network(spec: &InitSpec) -> io::Result<()> {
    let netlink = Netlink::open()?;
    netlink.loopback_up()?;
    let index = sys::interface_index(router::INNER_NAME)?;
    netlink.add_address(index, spec.address, spec.prefix)?;
    netlink.set_up(index)?;
    netlink.add_route((std::net::Ipv4Addr::UNSPECIFIED, 0), index, Some(spec.gateway), None)?;
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    // Lets everybody ping; a kernel that refuses the range is no reason to fail.
    let _ = fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    Ok(())
}

/// Mounts one top-level directory: its writable layer over the image's
/// layers, the mask and the host's own.
fn overlay(spec: &InitSpec, top: &str, base: Option<&str>, target: &str) -> Result<(), HostError> {
    let mut lower: Vec<String> = spec
        .layers
        .iter()
        .rev()
        .map(|layer| format!("images/{layer}/{top}"))
        .filter(|layer| Path::new(layer).is_dir())
        .collect();
    let mask = format!("{}/{top}", spec.mask);
    if !spec.mask.is_empty() && Path::new(&mask).is_dir() {
        lower.push(mask);
    }
    lower.extend(base.map(str::to_owned));
    let directory = spec.directory();
    let extra = match spec.make {
        Make::Rootless => "userxattr",
        Make::Root | Make::Process => "index=off,metacopy=off,redirect_dir=nofollow",
    };
    let data =
        format!("lowerdir={},upperdir={directory}/rw/{top},workdir={directory}/work/{top},{extra}", lower.join(":"));
    sys::mount("overlay", target, "overlay", libc::MS_NODEV, &data).map_err(|err| match err.raw_os_error() {
        Some(libc::ELOOP) => HostError::Refused(format!(
            "the data directory {} lies inside /{top}, which instances share: start with --data-dir outside of /usr, /etc, /var and /opt",
            spec.data_dir.display()
        )),
        _ => HostError::System { what: format!("mount the instance's /{}", if top == TOP { "" } else { top }), source: err },
    })
}

fn temporary(spec: &InitSpec, name: &str, mode: &str, flags: libc::c_ulong) -> Result<(), HostError> {
    let owner = spec.owner.unwrap_or(0);
    mounted("tmpfs", name, "tmpfs", flags, &format!("mode={mode},uid={owner},gid={owner}"))
}

fn devices(spec: &InitSpec) -> Result<(), HostError> {
    temporary(spec, "dev", "755", libc::MS_NOSUID)?;
    let context = |name: &str| format!("make /dev/{name}");
    for name in DEVICES {
        let target = format!("dev/{name}");
        fs::write(&target, "").context(|| context(name))?;
        mounted(&format!("/dev/{name}"), &target, "", libc::MS_BIND, "")?;
    }
    for (link, target) in
        [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("ptmx", "pts/ptmx")]
    {
        std::os::unix::fs::symlink(target, format!("dev/{link}")).context(|| context(link))?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(format!("dev/{name}")).context(|| context(name))?;
    }
    // Group 5 is tty; an ordinary user's namespace has only one group.
    let group = match spec.owner {
        Some(owner) if owner != 0 => format!(",gid={}", owner + 5),
        _ => String::new(),
    };
    let options = format!("newinstance,ptmxmode=0666,mode=0620{group}");
    mounted("devpts", "dev/pts", "devpts", libc::MS_NOSUID | libc::MS_NOEXEC, &options)?;
    temporary(spec, "dev/shm", "1777", libc::MS_NOSUID | libc::MS_NODEV)
}

fn proc_and_sys() -> Result<(), HostError> {
    mounted("proc", "proc", "proc", HARMLESS, "")?;
    for name in PROC_HIDDEN.iter().map(|name| format!("proc/{name}")).filter(|path| Path::new(path).exists()) {
        mounted("/dev/null", &name, "", libc::MS_BIND, "")?;
    }
    for name in PROC_READ_ONLY.iter().map(|name| format!("proc/{name}")).filter(|path| Path::new(path).exists()) {
        mounted(&name, &name, "", libc::MS_BIND, "")?;
        mounted("", &name, "", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | HARMLESS, "")?;
    }
    // In a container of others a complete /sys may be refused; instances work without.
    if let Err(err) = sys::mount("sysfs", "sys", "sysfs", libc::MS_RDONLY | HARMLESS, "") {
        eprintln!("elastane: /sys is empty: {err}");
    }
    Ok(())
}

/// What is done as the instance's own root: files about its identity, and
/// giving up capabilities.
pub fn settle(spec: &InitSpec, name: &Name) -> Result<(), HostError> {
    let digits: String = spec.instance.chars().filter(char::is_ascii_hexdigit).collect();
    write_file(Path::new("/etc/resolv.conf"), resolver(spec).as_bytes())?;
    // What the user changes in these later is the user's; those of an image are another instance's.
    let known = fs::read_to_string("/var/lib/cloud/data/instance-id").unwrap_or_default();
    let is_first_boot = known.trim() != spec.instance;
    let files = [
        ("/etc/hostname", format!("{}\n", name.host)),
        ("/etc/hosts", identity::hosts(spec, name)),
        ("/etc/machine-id", format!("{digits:0>32}\n")),
    ];
    for (path, content) in files {
        if is_first_boot || !Path::new(path).exists() {
            write_file(Path::new(path), content.as_bytes())?;
        }
    }
    for (path, mode) in [("/var/log", 0o755), ("/run/lock", 0o1777)] {
        let _ = fs::DirBuilder::new().recursive(true).create(path);
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    }
    if spec.owner.is_none() || spec.make.is_sandbox() {
        sys::keep_capabilities(CAPABILITIES).context(|| "give up capabilities".to_owned())?;
    }
    Ok(())
}

/// The resolver's configuration: the name servers of the VPC's DHCP options,
/// at most as many as the C library reads.
fn resolver(spec: &InitSpec) -> String {
    /// MAXNS of resolv.h.
    const SERVERS_MAX: usize = 3;
    let servers = match spec.name_servers.is_empty() {
        true => vec![router::RESOLVER],
        false => spec.name_servers.clone(),
    };
    let mut text: String = servers.iter().take(SERVERS_MAX).map(|server| format!("nameserver {server}\n")).collect();
    if !spec.search_domain.is_empty() {
        text.push_str(&format!("search {}\n", spec.search_domain));
    }
    text + "options timeout:2 attempts:2\n"
}
