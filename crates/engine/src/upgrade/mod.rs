//! Opens what an earlier release has stored: rows that are new since then are
//! made from what the old ones say. What it makes is committed with the first
//! round, so it is made once.
//!
//! The first release had no rows of interfaces, route tables, internet
//! gateways and snapshots; instances and images said what these say today. Its
//! launch templates said less of what they were made from.

mod templates;

use crate::engine::Config;
use crate::network::{self, AddressPlan, ROOT_VOLUME_GIB};
use crate::rng::Rng;
use crate::row::*;
use crate::scope::Scope;
use crate::state::{Change, State, Tx};
use crate::store::StoreKey;
use elastane_domain::id::SecurityGroupId;
use elastane_domain::machine::{CommandEnd, StepEnd, StepOutcome};
use elastane_domain::time::Time;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What old rows said that today's are without.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Old {
    security_groups: Option<Vec<SecurityGroupId>>,
    interface_tags: Tags,
    snapshot_tags: Option<Tags>,
}

/// The stored bytes of a scope's rows.
type Stored<'a> = BTreeMap<(Kind, String), &'a [u8]>;

/// Makes the rows that are missing. `rows` are all stored ones.
pub(crate) fn complete(state: &mut State, rng: &mut Rng, config: &Config, rows: &[(String, Vec<u8>)]) -> Vec<Change> {
    let mut stored: BTreeMap<Scope, Stored<'_>> = BTreeMap::new();
    for (key, bytes) in rows {
        if let Ok(key) = StoreKey::parse(key) {
            stored.entry(key.scope).or_default().insert((key.kind, key.id), bytes);
        }
    }
    let mut changes = Vec::new();
    for (scope, stored) in stored {
        // What is made tells its time itself.
        let mut tx = Tx::new(state, scope, Time::default(), rng, config);
        networks(&mut tx);
        interfaces(&mut tx, &stored);
        snapshots(&mut tx, &stored);
        templates(&mut tx, &stored);
        command_outputs(&mut tx, &stored);
        changes.append(&mut tx.changes);
    }
    changes
}

/// What the stored form of a row says besides today's members.
fn old(stored: &Stored<'_>, kind: Kind, id: &str) -> Old {
    #[derive(Deserialize)]
    struct Envelope {
        row: Old,
    }
    let bytes = stored.get(&(kind, id.to_string()));
    bytes.and_then(|bytes| serde_json::from_slice::<Envelope>(bytes).ok()).map_or_else(Old::default, |form| form.row)
}

/// Main route tables; the default VPC also gets its way out.
fn networks(tx: &mut Tx<'_>) {
    let without = |vpc: &&Arc<Vpc>| !tx.all::<RouteTable>().any(|table| table.vpc == vpc.id && table.main());
    let vpcs: Vec<Arc<Vpc>> = tx.all::<Vpc>().filter(without).cloned().collect();
    for vpc in vpcs {
        if !vpc.default {
            network::put_main_route_table(tx, &vpc.id, Vec::new());
            continue;
        }
        network::put_way_out(tx, &vpc.id);
        tx.update(vpc.id.as_str(), |row: &mut Vpc| row.dns_hostnames = true);
        let public = tx.config.addresses == AddressPlan::Vpc;
        let subnets: Vec<Arc<Subnet>> = tx.all::<Subnet>().filter(|subnet| subnet.default).cloned().collect();
        for subnet in subnets {
            tx.update(subnet.id.as_str(), |row: &mut Subnet| row.public_on_launch = public);
        }
    }
}

/// Primary interfaces of instances that are not terminated.
fn interfaces(tx: &mut Tx<'_>, stored: &Stored<'_>) {
    let without = |row: &&Arc<Instance>| {
        !matches!(row.phase, Phase::Terminated { .. }) && tx.get::<NetworkInterface>(&row.interface).is_none()
    };
    let instances: Vec<Arc<Instance>> = tx.all::<Instance>().filter(without).cloned().collect();
    for row in instances {
        let Old { security_groups, interface_tags, .. } = old(stored, Kind::Instance, row.id.as_str());
        let Some(groups) = security_groups else { continue };
        let attachment = Attachment {
            id: row.interface.replacen("eni-", "eni-attach-", 1),
            instance: row.id.clone(),
            device: 0,
            delete_on_termination: true,
            attached_at: row.launched_at,
        };
        tx.put(NetworkInterface {
            id: row.interface.clone(),
            vpc: row.vpc.clone(),
            subnet: row.subnet.clone(),
            zone: row.zone.clone(),
            description: String::new(),
            addresses: vec![row.private_ip],
            groups,
            source_dest_check: true,
            owner: InterfaceOwner::User,
            attachment: Some(attachment),
            public_ip: None,
            created_at: row.launched_at,
            client_token: None,
            tags: interface_tags,
        });
    }
}

/// Snapshots of images.
fn snapshots(tx: &mut Tx<'_>, stored: &Stored<'_>) {
    let without = |row: &&Arc<Image>| !row.snapshot.is_empty() && tx.get::<Snapshot>(&row.snapshot).is_none();
    let kept = |row: &&Arc<Image>| row.phase != ImagePhase::Deregistered;
    let images: Vec<Arc<Image>> = tx.all::<Image>().filter(without).filter(kept).cloned().collect();
    for row in images {
        let Some(tags) = old(stored, Kind::Image, row.id.as_str()).snapshot_tags else { continue };
        let source = row.source.as_ref().and_then(|id| tx.get::<Instance>(id.as_str()));
        tx.put(Snapshot {
            id: row.snapshot.clone(),
            volume: source.map_or_else(String::new, |source| source.root_volume.clone()),
            description: row.description.clone(),
            layers: row.layers.clone(),
            image: row.source.as_ref().map(|_| row.id.clone()),
            size_gib: ROOT_VOLUME_GIB,
            started_at: row.created_at,
            tags,
        });
    }
}

/// What commands printed whose rows kept it themselves.
fn command_outputs(tx: &mut Tx<'_>, stored: &Stored<'_>) {
    let all: Vec<Arc<Command>> = tx.all::<Command>().cloned().collect();
    for command in all {
        let Some(bytes) = stored.get(&(Kind::Command, command.id.to_string())) else { continue };
        let form: Value = serde_json::from_slice(bytes).unwrap_or_default();
        for (instance, invocation) in &command.invocations {
            let Invocation::Done { end, .. } = *invocation else { continue };
            let outcome = &form["row"]["invocations"][instance.as_str()]["Done"]["outcome"];
            let (Some(stdout), Some(stderr)) = (outcome["stdout"].as_str(), outcome["stderr"].as_str()) else {
                continue;
            };
            let end = match end {
                CommandEnd::Exited(code) => StepEnd::Exited(code),
                CommandEnd::TimedOut => StepEnd::TimedOut,
                CommandEnd::Cancelled
                | CommandEnd::Withdrawn
                | CommandEnd::Undeliverable
                | CommandEnd::Unreached
                | CommandEnd::Lost => StepEnd::Skipped,
            };
            let step = StepOutcome { end, stdout: stdout.to_string(), stderr: stderr.to_string(), elapsed_ms: 0 };
            let (command, instance) = (command.id.clone(), instance.clone());
            tx.put(CommandOutput { command, instance, note: String::new(), steps: vec![step] });
        }
    }
}

/// Launch templates whose versions have the first release's form.
fn templates(tx: &mut Tx<'_>, stored: &Stored<'_>) {
    let all: Vec<Arc<LaunchTemplate>> = tx.all::<LaunchTemplate>().cloned().collect();
    for template in all {
        let Some(bytes) = stored.get(&(Kind::LaunchTemplate, template.id.to_string())) else { continue };
        let form: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let mut row = (*template).clone();
        for (index, version) in row.versions.iter_mut().enumerate() {
            let stored = &form["row"]["versions"][index]["data"];
            if let Some(data) = templates::data(&version.data, stored) {
                version.data = data;
            }
        }
        tx.put(row);
    }
}
