//! The real world behind the engine: effects go to the host and the data
//! plane; their facts come back through the shell's queue.

use crate::shell::{Actuator, Shell};
use arc_swap::ArcSwap;
use elastane_api::World;
use elastane_domain::id::{InstanceId, VpcId};
use elastane_domain::routing::Snapshot;
use elastane_engine::launch::decode_user_data;
use elastane_engine::row::Instance;
use elastane_engine::{Effect, metadata};
use elastane_host::{Host, MetadataDocument, MetadataOptions, MetadataSource, SocketMaker};
use elastane_proxy::{Connector, Proxy};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Lower-case host names that belong to load balancers.
pub type HostNames = Arc<ArcSwap<BTreeSet<String>>>;

/// The host, the data plane, and who asks which of them.
pub struct RealWorld {
    /// Instances.
    pub host: Arc<Host>,
    /// The data plane.
    pub proxy: Arc<Proxy>,
    /// What the main port gives to the data plane.
    pub host_names: HostNames,
}

impl World for RealWorld {
    fn console(&self, instance: &InstanceId) -> Option<Vec<u8>> {
        Some(self.host.console_output(instance))
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
            Effect::RunCommand { command, instance, script, directory, timeout_secs } => {
                let directory = (!directory.is_empty()).then_some(directory);
                let timeout = Duration::from_secs(u64::from(timeout_secs));
                self.host.run_command(&command, &instance, script, directory, timeout);
            }
            Effect::Route(snapshot) => self.route(snapshot),
        }
    }
}

impl RealWorld {
    fn route(&self, snapshot: Arc<Snapshot>) {
        let names = snapshot.load_balancers.iter().flat_map(|lb| lb.host_names.iter().cloned()).collect();
        self.host_names.store(Arc::new(names));
        self.proxy.apply(&snapshot);
    }
}

/// Makes the data plane's sockets in the network that a target lives in.
pub struct VpcConnector(pub SocketMaker);

impl Connector for VpcConnector {
    fn socket(&self, vpc: Option<&VpcId>, _address: SocketAddrV4) -> std::io::Result<OwnedFd> {
        // Targets of every kind live in the VPC of their group.
        self.0.tcp_socket(vpc.unwrap_or(&VpcId::from("")))
    }
}

/// Serves instance metadata from rows.
pub struct RowMetadata(pub std::sync::OnceLock<Shell>);

impl MetadataSource for RowMetadata {
    fn document(&self, instance: &InstanceId) -> Option<MetadataDocument> {
        let shell = self.0.get()?;
        let engine = shell.engine();
        let now = shell.clock().now();
        let scope =
            engine.state().scopes.iter().find(|(_, tables)| tables.instances.contains_key(instance.as_str()))?.0;
        let view = engine.view(scope, now)?;
        let row = view.get::<Instance>(instance.as_str())?;
        Some(MetadataDocument {
            options: MetadataOptions {
                http_endpoint: row.metadata.endpoint,
                tokens_required: row.metadata.tokens_required,
                hop_limit: row.metadata.hop_limit,
            },
            entries: metadata::entries(&view, row),
            user_data: row.user_data.as_deref().and_then(|text| decode_user_data(text).ok()),
        })
    }
}
