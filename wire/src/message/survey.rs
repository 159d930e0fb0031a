//! Which streams lack capacity: what donors ask members of the ring that were told of no stream.

use serde::{Deserialize, Serialize};

use super::{Lease, RingNode};
use crate::List;

/// Most leases in one answer, so that it fits a frame: each has two signatures and up to eight siblings.
pub const MAX_SURVEYED: usize = 8;

/// Most members named to be asked next: those at distances that double, in a ring of some thousand.
pub const MAX_FARTHER: usize = 12;

/// Asks a node of the overlay which streams it knows to lack capacity, and whom to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// How many leases the sender would like to see; no more than [`MAX_SURVEYED`] come.
    pub most: u8,
}

/// The answer to [`Survey`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surveyed {
    /// Leases held by the sender, those of trackers whose areas lack most first, and not two of one stream.
    pub leases: List<Lease, MAX_SURVEYED>,
    /// Members to be asked next, in no particular order.
    pub farther: List<RingNode, MAX_FARTHER>,
}
