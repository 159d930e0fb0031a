//! What a node is told at its start.

use std::net::SocketAddr;

use wire::{Bitrate, PeerId};

/// Which way a consumer leans between lag and continuity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// As close to live as the network allows; a rare gap is accepted.
    Live,
    /// Between the two.
    #[default]
    Balanced,
    /// No gap, at the price of some lag.
    Smooth,
}

/// A node's own facts. The protocol's constants live beside the code that uses them.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node.
    pub peer: PeerId,
    /// Where it can be reached; empty if it only dials out.
    pub listen: Vec<SocketAddr>,
    /// The uplink, counted in bytes of IP packets.
    pub upload: Bitrate,
    /// Seeds the node's random choices: same seed and same inputs, same outputs.
    pub seed: u64,
    /// Most connections at a time.
    pub max_neighbours: usize,
}
