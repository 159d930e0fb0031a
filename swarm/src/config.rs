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

/// An area of so many viewers costs its tracker some 100 kbit/s and a connection for each.
pub const SPLIT_ABOVE: usize = 256;

/// Most connections that a viewer keeps as a tracker, at some 100 KB each.
const MOST_FOR_MEMBERS: usize = 1024;

/// How many connections come on top of a node's own where it keeps a tracker: an area may grow to twice its size before it is
/// split.
pub fn members_expected(split_above: usize) -> usize {
    split_above.saturating_mul(2).min(MOST_FOR_MEMBERS)
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
    /// A local tracker that this node keeps is split when it has more members than this; see [`SPLIT_ABOVE`].
    pub split_above: usize,
}
