//! A wide-area network on one machine, for real programs. Each node is a network namespace with one device; one thread
//! owns all devices and moves IPv4 packets between them with delay, jitter, loss, rates, address translation and
//! partitions. Nothing of the kernel's traffic shaping is needed.
//!
//! [`Lab`] runs a [`Scenario`]; the program `netlab` does the same from a command line. Needs Linux and root:
//! [`Lab::available`] says whether it could run. Scenario and commands are described in the README beside this crate.
//!
//! **Architecture invariant.** What happens to a packet is decided by `engine.rs`, which has no clock and no devices; all
//! calls that the compiler cannot check are in `linux/sys.rs`.

// Off Linux nothing uses the engine, but it is compiled and tested there all the same.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

mod control;
mod counters;
mod engine;
mod gateway;
mod scenario;
mod shape;
mod units;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::{Lab, enter, interrupt, serve};

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Lab, enter, interrupt, serve};

pub use counters::{Counters, Delivery, NodeCounters, PairCounters};
pub use engine::Traffic;
pub use scenario::Scenario;

/// What one knows of a node from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// The address of its interface.
    pub address: std::net::Ipv4Addr,
    /// The address that the public network sees; another one behind a NAT.
    pub public: std::net::Ipv4Addr,
}
