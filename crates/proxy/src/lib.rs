//! The L7 data plane: listeners, pools, health probes.
//!
//! A [`Proxy`] takes routing snapshots whole and reports facts. Data threads
//! share nothing that needs a lock: each has its own sockets, pools and
//! counters, and swaps tables when it is told. A control thread checks the
//! targets' health and watches draining. What is decided (which target, what
//! a check means) is decided by `elastane_domain`; what is parsed is parsed
//! by [`http`], which knows no sockets.

mod clock;
mod connection;
mod control;
mod forward;
pub mod http;
mod local;
mod metrics;
mod probe;
mod registry;
mod relay;
mod sockets;
mod state;
mod stream;
mod thread;
mod upstream;
mod watch;

pub use clock::{Clock, WallClock};
pub use control::{FactSink, Overloaded, Proxy, ProxyConfig};
pub use metrics::{Count, Report, ResponseTime};
pub use registry::{BalancerReport, Counters, GroupReport, TargetReport};
pub use upstream::{Connector, HostConnector, Way};
