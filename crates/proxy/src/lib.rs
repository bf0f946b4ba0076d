//! The L7 data plane: listeners, pools, health probes.
pub mod http;
