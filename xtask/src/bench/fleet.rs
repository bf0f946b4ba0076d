//! Two hundred instances at once: how fast they come, what each costs in
//! memory, and how soon a change of their security group bites.

use crate::Options;
use crate::api::{Api, values};
use crate::launch::{USER_DATA, last_after};
use crate::server::Server;
use crate::stats::Series;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

const COUNT: usize = 200;
const ROUNDS: usize = 3;
/// Changes of the group in each round, one to allow and one to forbid.
const CHANGES: usize = 10;
/// Nothing listens there: an allowed packet is refused at once, one that is filtered is dropped.
const PORT: u16 = 4321;
/// Without an answer for so long a packet was dropped, also on a busy machine.
const DROPPED_AFTER: Duration = Duration::from_millis(200);
/// While a rule is waited for, a packet without an answer for so long is given up and another is sent.
const NEXT_AFTER: Duration = Duration::from_millis(5);
/// A change that takes longer has failed.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);
/// Page tables and buffers of ended scripts are given back in the background.
const SETTLE: Duration = Duration::from_secs(3);

/// Launches, measures and ends the fleet.
pub fn run(options: &Options) -> Result<(), String> {
    let server = Server::daemon(options)?;
    let mut api = Api::to_daemon(&server)?;
    let (mut rate, mut memory_mib) = (Series::default(), Series::default());
    let (mut allowed_ms, mut forbidden_ms) = (Series::default(), Series::default());
    for _ in 0..options.rounds.unwrap_or(ROUNDS) {
        let before_mib = available_mib()?;
        let called = SystemTime::now();
        let instances = api.run_instances(&COUNT.to_string(), Some(USER_DATA))?;
        rate.add(COUNT as f64 / last_after(&mut api, &instances, called)?);
        std::thread::sleep(SETTLE);
        memory_mib.add((before_mib - available_mib()?) / COUNT as f64);
        let described = api.call("DescribeInstances", &[("InstanceId.1", &instances[COUNT / 2])])?;
        let group = values(&described, "groupId").next().ok_or("an instance without a group")?.to_owned();
        let public = values(&described, "ipAddress").next().ok_or("an instance without a public address")?;
        let address = public.parse().map_err(|err| format!("{public}: {err}"))?;
        for _ in 0..CHANGES {
            allowed_ms.add(bites(&mut api, "AuthorizeSecurityGroupIngress", &group, address, true)?);
            forbidden_ms.add(bites(&mut api, "RevokeSecurityGroupIngress", &group, address, false)?);
        }
        api.terminate(&instances)?;
        all_gone(&mut api)?;
    }
    println!("{COUNT} instances at once: launched and ran user data {rate} /s (goal: 50 or more)");
    println!("memory of each, everything of the kernel's included {memory_mib} MiB (goal: under 2)");
    println!("call to first packet let through by a new rule {allowed_ms} ms (goal: under 50)");
    println!("call to first packet dropped after a rule went {forbidden_ms} ms (goal: under 50)");
    Ok(())
}

/// Changes the group; milliseconds from the call to the first new connection that feels it.
fn bites(
    api: &mut Api,
    action: &str,
    group: &str,
    address: std::net::Ipv4Addr,
    want_through: bool,
) -> Result<f64, String> {
    let port = PORT.to_string();
    let parameters = [
        ("GroupId", group),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", &port),
        ("IpPermissions.1.ToPort", &port),
        ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
    ];
    let request = api.request(action, &parameters);
    let begun = Instant::now();
    let probe = std::thread::spawn(move || {
        while begun.elapsed() < CHANGE_LIMIT {
            let at = begun.elapsed();
            let patience = if want_through { NEXT_AFTER } else { DROPPED_AFTER };
            if passes(SocketAddr::from((address, PORT)), patience) == want_through {
                return Some(if want_through { begun.elapsed() } else { at });
            }
        }
        None
    });
    api.send(&request).map_err(|err| format!("{action}: {err}"))?;
    let felt = probe.join().map_err(|_| "the probe failed")?;
    felt.map(|felt| felt.as_secs_f64() * 1000.0).ok_or_else(|| format!("{action} is not felt"))
}

/// Whether a packet gets to the instance.
fn passes(address: SocketAddr, patience: Duration) -> bool {
    match TcpStream::connect_timeout(&address, patience) {
        Ok(_) => true,
        Err(err) => err.kind() == ErrorKind::ConnectionRefused,
    }
}

/// Waits until every instance is terminated.
fn all_gone(api: &mut Api) -> Result<(), String> {
    let filters = [("Filter.1.Name", "instance-state-name"), ("Filter.1.Value.1", "shutting-down")];
    let deadline = Instant::now() + Duration::from_secs(60);
    while values(&api.call("DescribeInstances", &filters)?, "instanceId").next().is_some() {
        if Instant::now() > deadline {
            return Err("instances do not end".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Memory that programs can still have, in MiB.
fn available_mib() -> Result<f64, String> {
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|err| format!("cannot read /proc/meminfo: {err}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).ok_or("no MemAvailable")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| "MemAvailable is no number")?;
    Ok(kib / 1024.0)
}
