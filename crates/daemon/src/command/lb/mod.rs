//! `elastane lb`: load balancers as the data plane serves them.

use crate::balancers::{BALANCERS, BalancerView, Explanation, GroupView, METRICS, Question, Shift};
use crate::cli::Where;
use crate::client::Daemon;
use crate::command::status::table;
use crate::data_dir::{DataDir, Problem};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::IpAddr;

/// Which installation, and what to do.
#[derive(Args, Clone, Debug)]
pub struct Lb {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// Show load balancers with their nodes, listeners and rules.
    List,
    /// Say which rule a request hits, and why.
    Explain {
        /// `http://shop.example.com/cart?x=1`.
        url: String,
        /// Its method.
        #[arg(long, default_value = "GET")]
        method: String,
        /// A header, such as `X-Version: 2`; may come several times.
        #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
        headers: Vec<(String, String)>,
        /// The client's address.
        #[arg(long, default_value = "127.0.0.1")]
        source: IpAddr,
        /// The load balancer, when the URL's host does not tell.
        #[arg(long, value_name = "NAME")]
        load_balancer: Option<String>,
    },
    /// Show targets with their states and the reasons.
    Targets,
    /// Shift traffic away from a zone.
    Shift {
        /// The zone, such as us-east-1a.
        zone: String,
        /// One load balancer instead of all in the zone.
        #[arg(long, value_name = "NAME")]
        load_balancer: Option<String>,
    },
    /// Let traffic come back to a zone.
    Unshift {
        /// The zone, such as us-east-1a.
        zone: String,
        /// One load balancer instead of all in the zone.
        #[arg(long, value_name = "NAME")]
        load_balancer: Option<String>,
    },
    /// Have new processes of the data plane take over, one after another, without a failed request.
    UpgradeProxy,
    /// Print running totals in Prometheus's text form.
    Metrics,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must look like NAME: VALUE")?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}

/// Does what the command line asks for.
pub fn run(lb: &Lb) -> Result<(), Problem> {
    let daemon = Daemon::find(&DataDir::existing(&lb.place.path()?)?)?;
    match lb.what.clone() {
        What::List => show(lb, &ask::<Vec<BalancerView>>(&daemon, "GET", "", None::<&()>)?, |all| balancers(all)),
        What::Targets => show(lb, &ask::<Vec<GroupView>>(&daemon, "GET", "/targets", None::<&()>)?, |all| groups(all)),
        What::Explain { url, method, headers, source, load_balancer } => {
            let question = Question { url, method, headers, source, load_balancer };
            show(lb, &ask::<Explanation>(&daemon, "POST", "/explain", Some(&question))?, explanation)
        }
        What::Shift { zone, load_balancer } => shift(lb, &daemon, Shift { zone, load_balancer, away: true }),
        What::Unshift { zone, load_balancer } => shift(lb, &daemon, Shift { zone, load_balancer, away: false }),
        What::UpgradeProxy => {
            let pids: Vec<u32> = ask(&daemon, "POST", "/upgrade-proxy", None::<&()>)?;
            let told = |pid: &u32| format!("Process {pid} serves now; the one before finishes what it has.\n");
            show(lb, &pids, |pids| pids.iter().map(told).collect())
        }
        What::Metrics => {
            let text = daemon.request("GET", METRICS)?;
            print!("{}", String::from_utf8_lossy(&text));
            Ok(())
        }
    }
}

fn shift(lb: &Lb, daemon: &Daemon, shift: Shift) -> Result<(), Problem> {
    let changed: Vec<String> = ask(daemon, "POST", "/shift", Some(&shift))?;
    let told = if shift.away { "Shifted away from" } else { "Back in" };
    show(lb, &changed, |changed| format!("{told} {}: {}\n", shift.zone, changed.join(", ")))
}

fn ask<T: DeserializeOwned>(
    daemon: &Daemon,
    method: &'static str,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, Problem> {
    let body = body.map(|body| serde_json::to_vec(body).expect("plain data has a JSON form")).unwrap_or_default();
    let answer = daemon.request_with(method, &format!("{BALANCERS}{path}"), body)?;
    serde_json::from_slice(&answer).map_err(|err| Problem::because("cannot understand the daemon's answer", err))
}

fn show<T: Serialize + ?Sized>(lb: &Lb, value: &T, render: impl Fn(&T) -> String) -> Result<(), Problem> {
    if lb.json {
        println!("{}", serde_json::to_string_pretty(value).expect("plain data has a JSON form"));
    } else {
        print!("{}", render(value));
    }
    Ok(())
}

fn balancers(all: &[BalancerView]) -> String {
    let mut out = String::new();
    let mut nodes = Vec::new();
    let mut listeners = Vec::new();
    let mut rules = Vec::new();
    for one in all {
        for node in &one.nodes {
            let standing = match (node.shifted_away, node.in_dns) {
                (true, _) => "shifted away",
                (false, true) => "in DNS",
                (false, false) => "not in DNS",
            };
            let private = if node.private_address.is_empty() { "-" } else { &node.private_address };
            let process = node.process.map_or_else(|| "-".to_string(), |pid| pid.to_string());
            let addresses = [&node.address, " ", &node.ipv6_address].concat();
            nodes.push(
                [&one.name, &node.zone, addresses.trim_end(), private, &process, standing].map(str::to_string).to_vec(),
            );
        }
        for listener in &one.listeners {
            let (port, bound) = (listener.port.to_string(), listener.bound.join(" "));
            let notes = listener.notes.join("; ");
            listeners.push([&one.name, &port, &listener.protocol, &bound, &notes].map(String::from).to_vec());
            rules.extend(listener.rules.iter().map(|rule| {
                let conditions = rule.conditions.join(" and ");
                [&one.name, &port, &rule.priority, &conditions, &rule.action].map(String::from).to_vec()
            }));
        }
    }
    let names = all.iter().map(|one| vec![one.name.clone(), one.family.clone(), one.dns_name.clone()]);
    table(&mut out, &["LOAD BALANCER", "TYPE", "NAME"], names.collect());
    table(&mut out, &["LOAD BALANCER", "ZONE", "ADDRESS", "IN THE VPC", "PROCESS", ""], nodes);
    table(&mut out, &["LOAD BALANCER", "PORT", "PROTOCOL", "LISTENS ON", ""], listeners);
    table(&mut out, &["LOAD BALANCER", "PORT", "PRIORITY", "IF", "THEN"], rules);
    if out.is_empty() { "There is no load balancer.\n".to_string() } else { out.trim_start().to_string() }
}

fn groups(all: &[GroupView]) -> String {
    let mut out = String::new();
    let rows = all.iter().flat_map(|group| {
        group.targets.iter().map(|one| {
            let place = format!("{}:{}", one.id, one.port);
            [&group.name, &place, &one.state, &one.reason, &one.description].map(String::from).to_vec()
        })
    });
    table(&mut out, &["TARGET GROUP", "TARGET", "STATE", "REASON", ""], rows.collect());
    if out.is_empty() { "There is no target.\n".to_string() } else { out.trim_start().to_string() }
}

fn explanation(told: &Explanation) -> String {
    let mut out = format!("{}, port {}: {}.\n", told.load_balancer, told.port, told.found_by);
    for verdict in &told.rules {
        let mark = match (verdict.chosen, verdict.matched) {
            (true, _) => "=>",
            (false, true) => "  (matches too, but a rule before it is taken)",
            (false, false) => "  ",
        };
        out += &format!("{mark} {}: {}\n", verdict.rule.priority, verdict.rule.action);
        for (held, why) in &verdict.why {
            out += &format!("       {} {why}\n", if *held { "yes" } else { "no " });
        }
    }
    for line in &told.outcome {
        out += &format!("{line}\n");
    }
    out
}
