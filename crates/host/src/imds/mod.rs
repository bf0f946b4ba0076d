//! The instance metadata service: the protocol as a pure function
//! (`protocol`), tokens (`token`), and the listeners (`server`).

mod protocol;
pub(crate) mod server;
mod token;

use elastane_domain::id::InstanceId;
use std::collections::BTreeMap;

/// How the service behaves for one instance (EC2 `MetadataOptions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataOptions {
    /// `HttpEndpoint`: whether it answers at all.
    pub http_endpoint: bool,
    /// `HttpTokens=required`: whether only version 2 requests are served.
    pub tokens_required: bool,
    /// `HttpPutResponseHopLimit`, 1 to 64.
    pub hop_limit: u8,
}

/// What the service tells one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataDocument {
    /// How it behaves.
    pub options: MetadataOptions,
    /// Leaves by full path without version, such as `meta-data/placement/region`
    /// or `dynamic/instance-identity/document`. Directories follow from them.
    /// `meta-data/public-keys/0/openssh-key` is listed as `0=<name>` with the
    /// name taken from the last word of the key.
    pub entries: BTreeMap<String, String>,
    /// Decoded user data.
    pub user_data: Option<Vec<u8>>,
}

/// Where the service learns what to say. Asked at each request, so that
/// changes are seen at once; must not block.
pub trait MetadataSource: Send + Sync {
    /// The document of an instance; `None` when it is not known (any more).
    fn document(&self, instance: &InstanceId) -> Option<MetadataDocument>;
}
