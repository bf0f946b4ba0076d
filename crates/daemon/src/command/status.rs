//! `elastane status`: everything at a glance.

use crate::admin;
use crate::cli::Status;
use crate::client::Daemon;
use crate::data_dir::{DataDir, Problem};

/// Prints the status of the daemon that runs.
pub fn run(command: &Status) -> Result<(), Problem> {
    let daemon = Daemon::find(&DataDir::existing(&command.place.path()?)?)?;
    let bytes = daemon.request("GET", "/_elastane/status")?;
    let status: admin::Status =
        serde_json::from_slice(&bytes).map_err(|err| Problem::because("cannot understand the daemon's status", err))?;
    if command.json {
        let text = serde_json::to_string_pretty(&status).expect("plain data has a JSON form");
        println!("{text}");
    } else {
        print!("{}", render(&status));
    }
    Ok(())
}

fn render(status: &admin::Status) -> String {
    let daemon = &status.daemon;
    let mut out = format!(
        "elastane {} at {}, driver {}, service time {} (x{})\n",
        daemon.version, daemon.endpoint, daemon.driver, status.now, daemon.time_scale
    );
    if let Some(dns) = &daemon.dns {
        out.push_str(&format!("names of load balancers: {dns}\n"));
    }
    match status.proxies.as_slice() {
        [] | [_] => out.push_str(&data_plane("data plane", &status.proxy)),
        several => {
            several.iter().for_each(|one| out.push_str(&data_plane(&format!("data plane {}", one.share), one)));
        }
    }
    let groups = status.groups.iter().map(|group| {
        let (min, desired, max) = group.size;
        let size = format!("{min}/{desired}/{max}");
        vec![group.name.clone(), size, group.in_service.to_string(), group.moving.to_string(), group.region.clone()]
    });
    table(&mut out, &["GROUP", "MIN/DESIRED/MAX", "IN SERVICE", "MOVING", "REGION"], groups.collect());
    let instances = status.instances.iter().map(|one| {
        let group = one.group.clone().unwrap_or_else(|| "-".to_string());
        vec![
            one.id.clone(),
            one.state.clone(),
            one.instance_type.clone(),
            one.private_ip.clone(),
            one.zone.clone(),
            group,
        ]
    });
    table(&mut out, &["INSTANCE", "STATE", "TYPE", "ADDRESS", "ZONE", "GROUP"], instances.collect());
    let balancers = status.load_balancers.iter().map(|one| {
        vec![one.name.clone(), one.urls.join(" "), format!("{}.elb.localhost", one.name), one.notes.join("; ")]
    });
    table(&mut out, &["LOAD BALANCER", "URL", "HOST ON THE MAIN PORT", ""], balancers.collect());
    let targets = status.target_groups.iter().map(|one| {
        let numbers = [one.healthy, one.unhealthy, one.initial, one.draining];
        let mut row = vec![one.name.clone()];
        row.extend(numbers.iter().map(usize::to_string));
        row
    });
    table(&mut out, &["TARGET GROUP", "HEALTHY", "UNHEALTHY", "INITIAL", "DRAINING"], targets.collect());
    let alarms = status.alarms.iter().map(|one| vec![one.name.clone(), one.state.clone(), one.reason.clone()]);
    table(&mut out, &["ALARM", "STATE", "REASON"], alarms.collect());
    let troubled = status.networks.iter().filter(|one| !one.problem.is_empty());
    let troubled = troubled.map(|one| vec![one.vpc.clone(), one.problem.clone()]);
    table(&mut out, &["NETWORK", "IS NOT AS PLANNED"], troubled.collect());
    if status.instances.is_empty() && status.groups.is_empty() {
        out.push_str("\nNothing runs yet. `elastane demo` shows what can; `elastane env` lets the AWS CLI in.\n");
    }
    out
}

fn data_plane(name: &str, proxy: &admin::ProxyStatus) -> String {
    let trouble = if proxy.trouble.is_empty() { String::new() } else { format!(" ({})", proxy.trouble) };
    match proxy.pid {
        Some(pid) => {
            format!("{name}: process {pid}, {}, routing generation {}{trouble}\n", proxy.version, proxy.generation)
        }
        None => format!("{name}: no process is attached{trouble}\n"),
    }
}

/// Appends a table, unless it is empty; columns are as wide as they need.
pub fn table(out: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_string()).collect();
    out.push('\n');
    for row in std::iter::once(&head).chain(&rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> admin::Status {
        let daemon = admin::About {
            version: "1".to_string(),
            endpoint: "http://127.0.0.1:1".to_string(),
            driver: "sandbox".to_string(),
            driver_notes: Vec::new(),
            pid: 1,
            region: "us-east-1".to_string(),
            time_scale: 1.0,
            dns: None,
        };
        admin::Status {
            daemon,
            proxy: admin::ProxyStatus::default(),
            proxies: Vec::new(),
            now: String::new(),
            instances: Vec::new(),
            groups: Vec::new(),
            load_balancers: Vec::new(),
            target_groups: Vec::new(),
            alarms: Vec::new(),
            networks: Vec::new(),
        }
    }

    /// A network that may let pass what nobody allowed is seen at a glance, one that is as planned is not in the way.
    #[test]
    fn problems_of_networks_are_shown() {
        let network = |vpc: &str, problem: &str| admin::NetworkStatus { vpc: vpc.into(), problem: problem.into() };
        let networks = vec![network("vpc-1", ""), network("vpc-2", "the filter: denied")];
        let text = render(&admin::Status { networks, ..empty() });
        assert!(text.contains("vpc-2    the filter: denied"), "{text}");
        assert!(!text.contains("vpc-1"), "{text}");
        assert!(!render(&empty()).contains("NETWORK"));
    }
}
