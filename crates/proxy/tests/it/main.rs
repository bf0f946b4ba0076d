//! The proxy over real loopback sockets: no fixed ports, no sleeps; every
//! wait is for an event and has a limit that only a hang reaches.

mod bodies;
mod certificates;
mod codes;
mod differential;
mod failures;
mod flows;
mod grpc;
mod hostile;
mod http09;
mod http2;
mod http2_client;
mod inside;
mod ipv6;
mod lifecycle;
mod logs;
mod oidc;
mod remote;
mod rules;
mod splice;
mod support;
mod targets;
mod tls;
mod tunnels;
