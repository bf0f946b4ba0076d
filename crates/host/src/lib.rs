//! Instances on Linux: drivers, images, networks, user data, the metadata service.
//!
//! A [`Host`] boots, stops and removes instances below one data directory and
//! reports what happens as facts. Instances outlive it: the next `Host` of the
//! same directory finds them. How strongly they are isolated is the [`Make`],
//! chosen by trying ([`enter_best`], [`probe`]). This crate decides nothing
//! about when to launch or stop; it keeps no clock and no goal.
//!
//! The program that uses it must call [`run_helper`] and then [`enter_best`]
//! (or [`enter_private_namespaces`]) first thing in `main`, before any thread.

mod agent_client;
mod cgroup;
mod commands;
mod error;
mod host;
mod image;
mod imds;
mod init;
mod jobs;
mod launch;
mod layout;
mod make;
mod mask;
mod network;
mod probe;
mod process;
mod reach;
mod record;
mod recovery;
mod session;
mod sockets;
mod sys;
mod tree;

use network::{netlink, router};

pub use error::HostError;
pub use host::{Facts, Host, HostConfig};
pub use image::import::Imported;
pub use image::unpack::Progress;
pub use imds::{Leaf, MetadataDocument, MetadataOptions, MetadataSource};
pub use init::run_helper;
pub use make::{Entered, Make, SHIFT, enter_best, enter_private_namespaces};
pub use probe::{Finding, doctor, probe};
pub use reach::NetworkSockets;
pub use recovery::sweep;
pub use session::{FRAME_BYTES_MAX, SessionFrame, SessionReader, SessionTask, SessionWriter};
pub use sockets::{SocketMaker, Transport, datagram_here, listening_here, speak_as, speak_from};

/// Messages of the domain name system, for name servers of other kinds than a VPC's.
pub mod names {
    pub use crate::network::dns::{Found, answer};
}

/// IPv6 addresses for what listens on this machine.
pub mod ipv6 {
    pub use crate::network::ipv6::{Ability, find, keep};
}

/// The `nft` program that networks are driven with; `None` when it is not installed.
pub fn packet_filter_program() -> Option<std::path::PathBuf> {
    network::packet_filter_program()
}

/// Hardware address of the instance with this private address, as the
/// metadata service and DescribeInstances write it.
pub fn mac_address(private_ip: std::net::Ipv4Addr) -> String {
    router::mac_of(private_ip).map(|byte| format!("{byte:02x}")).join(":")
}
