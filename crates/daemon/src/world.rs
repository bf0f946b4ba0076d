//! The real world behind the engine: effects go to the host and the data
//! plane; their facts come back through the shell's queue.

use crate::audit::Trail;
use crate::buckets;
use crate::instance_credentials::{self, InstanceSecrets};
use crate::instance_identity::Signer;
use crate::key_uses::KeyUses;
use crate::seal::Sealer;
use crate::session::Sessions;
use crate::shell::{Actuator, Shell};
use crate::webhook::Webhook;
use arc_swap::ArcSwap;
use elastane_api::cloudtrail::{Found, Lookup};
use elastane_api::{KeyUse, ObjectError, Purpose, World};
use elastane_domain::id::InstanceId;
use elastane_domain::routing::Snapshot;
use elastane_engine::launch::decode_user_data;
use elastane_engine::row::Instance;
use elastane_engine::{Effect, metadata};
use elastane_host::{Host, Leaf, MetadataDocument, MetadataOptions, MetadataSource};
use elastane_proxy::remote::RemoteProxy;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Lower-case host names that belong to load balancers.
pub type HostNames = Arc<ArcSwap<BTreeSet<String>>>;

/// The host, the data plane, and who asks which of them.
pub struct RealWorld {
    /// Instances.
    pub host: Arc<Host>,
    /// The data plane, in its own process.
    pub proxy: Arc<RemoteProxy>,
    /// What the main port gives to the data plane.
    pub host_names: HostNames,
    /// The data directory, below which the objects of buckets are.
    pub data: PathBuf,
    /// Live sessions of Session Manager.
    pub sessions: Arc<Sessions>,
    /// Where notifications go, if there is somewhere.
    pub webhook: Option<Webhook>,
    /// Where calls are written down.
    pub trail: Arc<Trail>,
    /// When access keys were last used.
    pub uses: Arc<KeyUses>,
    /// Seals what callers carry for us.
    pub sealer: Sealer,
    /// Whether IPv6 addresses of load balancers lead here; `None` before the
    /// first snapshot, when an earlier daemon may have left it so.
    pub ipv6_routed: Mutex<Option<bool>>,
}

impl World for RealWorld {
    fn console(&self, instance: &InstanceId) -> Option<Vec<u8>> {
        Some(self.host.console_output(instance))
    }

    fn object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, ObjectError> {
        buckets::read(&self.data, bucket, key)
    }

    fn trail(&self, lookup: &Lookup) -> Found {
        self.trail.lookup(lookup)
    }

    fn seal(&self, purpose: Purpose, text: &str) -> String {
        self.sealer.seal(purpose, text)
    }

    fn unseal(&self, purpose: Purpose, sealed: &str) -> Option<String> {
        self.sealer.unseal(purpose, sealed)
    }

    fn last_use(&self, id: &str) -> Option<KeyUse> {
        self.uses.of(id)
    }
}

impl Actuator for RealWorld {
    fn start(&self, effect: Effect) {
        match effect {
            Effect::Launch(spec) => self.host.launch(*spec),
            Effect::Stop { instance, generation } => self.host.stop(&instance, generation),
            Effect::Terminate { instance } => self.host.terminate(&instance),
            Effect::Capture { image, instance } => self.host.capture(&image, &instance),
            Effect::DeleteImage { image } => self.host.delete_image(&image),
            Effect::RunCommand { command, instance, boot, steps } => {
                self.host.run_command(&command, &instance, boot, steps);
            }
            Effect::EndCommand { command, instance, unless_running } => {
                self.host.end_command(&command, &instance, unless_running);
            }
            Effect::EndSession { session, end } => self.sessions.end(&session, end),
            Effect::Route(snapshot) => self.route(snapshot),
            Effect::Network(plan) => self.host.apply_network(plan),
            Effect::EndNetwork { vpc } => self.host.end_network(&vpc),
            Effect::Notify(notification) => {
                if let Some(webhook) = &self.webhook {
                    webhook.deliver(notification);
                }
            }
        }
    }
}

impl RealWorld {
    fn route(&self, snapshot: Arc<Snapshot>) {
        let names = snapshot.load_balancers.iter().flat_map(|lb| lb.host_names.iter().cloned()).collect();
        self.host_names.store(Arc::new(names));
        self.route_ipv6(&snapshot);
        self.proxy.apply(snapshot);
    }

    /// Makes the addresses of nodes that have some of IPv6 lead here before
    /// anybody listens on them. It is taken back with the last load balancer:
    /// one that gives its addresses up may have clients that are still there.
    fn route_ipv6(&self, snapshot: &Snapshot) {
        let nodes = snapshot.load_balancers.iter().flat_map(|balancer| &balancer.nodes);
        let asked = nodes.filter_map(|node| node.ipv6).any(|address| !address.is_loopback());
        let mut routed = self.ipv6_routed.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = asked || *routed == Some(true) && !snapshot.load_balancers.is_empty();
        if *routed == Some(wanted) {
            return;
        }
        match elastane_host::ipv6::keep(&self.data, wanted) {
            Ok(()) => *routed = Some(wanted),
            Err(err) if wanted => eprintln!("elastane: IPv6 addresses of load balancers lead nowhere: {err}"),
            // Without the right to remove the route there was none to make it.
            Err(_) => *routed = Some(false),
        }
    }
}

/// Serves instance metadata from rows, with the credentials and signatures
/// that need secrets.
pub struct RowMetadata {
    /// Where the rows are.
    pub shell: Shell,
    /// What credentials are derived from.
    pub secrets: Arc<InstanceSecrets>,
    /// What signs identity documents.
    pub signer: Signer,
}

impl MetadataSource for RowMetadata {
    fn document(&self, instance: &InstanceId) -> Option<MetadataDocument> {
        let engine = self.shell.engine();
        let now = self.shell.clock().now();
        let scope =
            engine.state().scopes.iter().find(|(_, tables)| tables.instances.contains_key(instance.as_str()))?.0;
        let view = engine.view(scope, now)?;
        let row = view.get::<Instance>(instance.as_str())?;
        let rows = metadata::entries(&view, row);
        let mut entries = self.signatures(rows.get(metadata::IDENTITY_DOCUMENT)?);
        entries.extend(rows.into_iter().map(|(path, text)| (path, Leaf::Text(text))));
        let credentials = instance_credentials::entries(&view, row, &self.secrets);
        entries.extend(credentials.into_iter().map(|(path, text)| (path, Leaf::Text(text))));
        Some(MetadataDocument {
            options: MetadataOptions {
                http_endpoint: row.metadata.endpoint,
                tokens_required: row.metadata.tokens_required,
                hop_limit: row.metadata.hop_limit,
            },
            entries,
            user_data: row.user_data.as_deref().and_then(|text| decode_user_data(text).ok()),
        })
    }
}

impl RowMetadata {
    /// The forms of signature beside an identity document, made when asked for.
    fn signatures(&self, document: &str) -> BTreeMap<String, Leaf> {
        let leaf = |name: &str, sign: fn(&Signer, &str) -> String| {
            let (signer, document) = (self.signer.clone(), document.to_string());
            let path = format!("dynamic/instance-identity/{name}");
            (path, Leaf::Made(Arc::new(move || sign(&signer, &document))))
        };
        BTreeMap::from([leaf("signature", Signer::signature), leaf("rsa2048", Signer::message)])
    }
}
