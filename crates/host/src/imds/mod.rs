//! The instance metadata service: the protocol as a pure function
//! (`protocol`), tokens (`token`), how much an instance may ask (`throttle`),
//! and the listeners (`server`).

mod protocol;
pub(crate) mod server;
mod throttle;
mod token;

use elastane_domain::id::InstanceId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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

/// The content of an item.
#[derive(Clone)]
pub enum Leaf {
    /// At hand.
    Text(String),
    /// Made when it is asked for, as it costs something. Must not block.
    Made(Arc<dyn Fn() -> String + Send + Sync>),
}

impl From<String> for Leaf {
    fn from(text: String) -> Leaf {
        Leaf::Text(text)
    }
}

/// Made content may be a secret, so it is not shown.
impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Leaf::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Leaf::Made(_) => f.write_str("Made(..)"),
        }
    }
}

/// What the service tells one instance.
#[derive(Clone, Debug)]
pub struct MetadataDocument {
    /// How it behaves.
    pub options: MetadataOptions,
    /// Items by full path without version, such as `meta-data/placement/region`
    /// or `dynamic/instance-identity/document`. Directories follow from them.
    /// `meta-data/public-keys/0/openssh-key` is listed as `0=<name>` with the
    /// name taken from what follows type and key.
    pub entries: BTreeMap<String, Leaf>,
    /// Decoded user data.
    pub user_data: Option<Vec<u8>>,
}

/// Where the service learns what to say. Asked at each request, so that
/// changes are seen at once; must not block.
pub trait MetadataSource: Send + Sync {
    /// The document of an instance; `None` when it is not known (any more).
    fn document(&self, instance: &InstanceId) -> Option<MetadataDocument>;
}
