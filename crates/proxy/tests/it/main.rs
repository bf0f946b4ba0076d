//! The proxy over real loopback sockets: no fixed ports, no sleeps; every
//! wait is for an event and has a limit that only a hang reaches.

mod bodies;
mod codes;
mod certificates;
mod differential;
mod failures;
mod flows;
mod grpc;
mod hostile;
mod http2;
mod http2_client;
mod inside;
mod lifecycle;
mod remote;
mod logs;
mod oidc;
mod rules;
mod splice;
mod support;
mod targets;
mod tunnels;
mod tls;
