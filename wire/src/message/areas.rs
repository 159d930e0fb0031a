//! What trackers say to each other and to their members when an area is split, merged or taken over.

use serde::{Deserialize, Serialize};

use super::{Appointment, MAX_RING_LIST, PeerRecord, RingNode};
use crate::sign::Signed;
use crate::{List, PeerId, StreamId, SubstreamSet};

/// Most members in one message: their records take some 100 to 300 bytes each, and the uplink of a viewer should not be
/// blocked by one message for longer than by a few chunks.
pub const MAX_HANDED: usize = 24;

/// Most members named that are registered no more.
pub const MAX_GONE: usize = 64;

/// Most members with room that one tracker tells another of.
pub const MAX_SPARE: usize = 16;

/// Tells a member who its tracker is from now on, or another tracker that the sender is none any more and who has its
/// members. The member registers there, and keeps its neighbours and suppliers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackerIs {
    /// The stream.
    pub stream: StreamId,
    /// The tracker.
    pub tracker: RingNode,
    /// That it may be one.
    pub appointment: Signed<Appointment>,
}

/// A member tells its former tracker that it is registered with another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The stream.
    pub stream: StreamId,
}

/// A tracker asks the peercaster to appoint another peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Appoint {
    /// The stream.
    pub stream: StreamId,
    /// The sender's own appointment.
    pub own: Signed<Appointment>,
    /// Who is to be appointed.
    pub peer: PeerId,
}

/// The peercaster's answer to [`Appoint`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Appointed {
    /// The stream.
    pub stream: StreamId,
    /// Who is appointed.
    pub peer: PeerId,
    /// The appointment.
    pub appointment: Signed<Appointment>,
}

/// A tracker hands members over: to a peer that is to keep a new area, or to another tracker that takes in the whole area.
/// In as many messages as it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandOver {
    /// The stream.
    pub stream: StreamId,
    /// The receiver's appointment, if it is no tracker yet.
    pub appointment: Option<Signed<Appointment>>,
    /// Who signs appointments.
    pub peercaster: Option<RingNode>,
    /// The sender and the trackers it knows, the nearest first.
    pub siblings: List<RingNode, MAX_RING_LIST>,
    /// The members.
    pub records: List<PeerRecord, MAX_HANDED>,
    /// Whether these were the last.
    pub last: bool,
}

/// The answer to the last [`HandOver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The stream.
    pub stream: StreamId,
    /// Whether the sender keeps their tracker now.
    pub accepted: bool,
}

/// What a tracker tells its siblings every few seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiblingNews {
    /// The stream.
    pub stream: StreamId,
    /// That the sender may be a tracker.
    pub appointment: Signed<Appointment>,
    /// The sender. Its id counts from the connection, not from here.
    pub me: RingNode,
    /// Peers registered with it.
    pub members: u32,
    /// Capacity that its area lacks, in per mille of its demand; 0: none.
    pub short: u16,
    /// Members with room, those first that are best for the receiver's area.
    pub spare: List<PeerRecord, MAX_SPARE>,
    /// Trackers that it knows, the nearest first.
    pub siblings: List<RingNode, MAX_RING_LIST>,
    /// Whether the same is wanted in return.
    pub answer: bool,
}

/// A tracker tells its deputy what changed among the members, so that it could go on in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaNews {
    /// The stream.
    pub stream: StreamId,
    /// The receiver's appointment; with the first message, which begins a new replica.
    pub appointment: Option<Signed<Appointment>>,
    /// Who signs appointments.
    pub peercaster: Option<RingNode>,
    /// The trackers that the sender knows, the nearest first.
    pub siblings: List<RingNode, MAX_RING_LIST>,
    /// New and changed members.
    pub records: List<PeerRecord, MAX_HANDED>,
    /// Members that are registered no more.
    pub gone: List<PeerId, MAX_GONE>,
}

/// A tracker tells another that it has promised slots of one of its members to a joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldFor {
    /// The stream.
    pub stream: StreamId,
    /// The member.
    pub at: PeerId,
    /// The joiner.
    pub peer: PeerId,
    /// The substreams.
    pub substreams: SubstreamSet,
}
