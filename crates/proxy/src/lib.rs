//! The L7 data plane: listeners, pools, health probes.
//!
//! A [`Proxy`] takes routing snapshots whole and reports facts. Data threads
//! share nothing that needs a lock: each has its own sockets, pools and
//! counters, and swaps tables when it is told. A control thread checks the
//! targets' health and watches draining. What is decided (which target, what
//! a check means) is decided by `elastane_domain`; what is parsed is parsed
//! by [`http`], which knows no sockets.

mod authenticate;
mod choose;
mod clock;
mod connection;
mod control;
mod describe;
mod exchange;
mod forward;
mod h2;
pub mod http;
mod l4;
mod local;
mod log;
mod metrics;
mod oidc;
mod prepare;
mod probe;
mod registry;
mod relay;
pub mod remote;
mod route;
mod share;
mod sockets;
mod splice;
mod state;
mod sticky;
mod stream;
mod thread;
mod tls;
mod upstream;
mod watch;

pub use clock::{Clock, WallClock};
pub use control::{FactSink, Overloaded, Proxy, ProxyConfig};
pub use metrics::{Count, Report, ResponseTime};
pub use oidc::public_key as oidc_public_key;
pub use registry::{
    BalancerReport, BalancerZoneReport, Counters, GroupReport, GroupZoneReport, KnownHealth, TargetReport,
};
pub use sockets::HeldListener;
pub use upstream::{Connector, HostConnector, Transport, Way};
