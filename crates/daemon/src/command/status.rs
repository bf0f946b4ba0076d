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
    if status.instances.is_empty() && status.groups.is_empty() {
        out.push_str("\nNothing runs yet. `elastane demo` shows what can; `elastane env` lets the AWS CLI in.\n");
    }
    out
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
