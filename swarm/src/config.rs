//! What a node is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use wire::{Bitrate, PeerId, SecretKey};

/// How long a node must have been there before it becomes a member of the overlay's ring, if the driver says nothing else:
/// who only looks in would cost its neighbours there more than it is good for.
pub const RING_AFTER: Duration = Duration::from_secs(30);

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
    /// The key of that id, with which it signs what it says of its own trackers.
    pub key: SecretKey,
    /// Where it can be reached, as others would dial it; empty if it only dials out.
    pub listen: Vec<SocketAddr>,
    /// The uplink, counted in bytes of IP packets.
    pub upload: Bitrate,
    /// Seeds the node's random choices: same seed and same inputs, same outputs.
    pub seed: u64,
    /// Most connections at a time, those of the overlay's ring not counted.
    pub max_neighbours: usize,
    /// A node that others can reach becomes a member of the ring after this time; `None`: never, unless it has a tracker to
    /// be found.
    pub ring_after: Option<Duration>,
}
