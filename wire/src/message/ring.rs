//! The messages of the ring (the paper, §4): membership, routing entries, look-ups and leases.

use std::net::SocketAddr;

use coords::{Coord, hcurve};
use serde::{Deserialize, Serialize};

use super::{Appointment, Guest, MAX_ADDRS};
use crate::sign::{Domain, SignatureError, Signed, Statement, Verifier};
use crate::{List, PeerId, StreamId};

/// Most neighbours told of in each direction. With half of all members gone at once, all eight of a list are gone in one
/// case of 256.
pub const MAX_RING_LIST: usize = 8;

/// Levels of routing entries in one direction: the last reaches half around a ring of 2^20 members.
pub const MAX_RING_LEVELS: u8 = 20;

/// Most members told of in answer to [`RingSeek`].
pub const MAX_RING_SEEN: usize = 2 * MAX_RING_LIST + 1;

/// Most bits of a filter that one message turns: a list of more would be longer than the filter itself.
pub const MAX_FLIPS: usize = 700;

/// Most trackers named at once: one that was found and its nearest siblings.
pub const MAX_TRACKERS: usize = 9;

/// A member of the ring, or a tracker: who, where in the delay space, and where to be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingNode {
    /// Who.
    #[serde(rename = "p")]
    pub peer: PeerId,
    /// Where it is in the delay space; its place on the ring follows from that.
    #[serde(rename = "c", with = "crate::compact_coord")]
    pub coord: Coord,
    /// Where it can be reached.
    #[serde(rename = "a")]
    pub addrs: List<SocketAddr, MAX_ADDRS>,
}

impl RingNode {
    /// The node with its coordinate as everybody else will read it.
    ///
    /// The position is made from what goes over the wire, so that all members agree on the order of the ring.
    pub fn new(peer: PeerId, coord: &Coord, addrs: List<SocketAddr, MAX_ADDRS>) -> Self {
        RingNode {
            peer,
            coord: crate::compact_coord::rounded(coord),
            addrs,
        }
    }

    /// Its position on the ring.
    pub fn position(&self) -> u64 {
        hcurve::position_of(&self.coord)
    }
}

/// Asks for the members around a position. Passed on to whoever is nearer to it; the answer comes back the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingSeek {
    /// The position on the ring.
    pub position: u64,
    /// Chosen by who sends this message, returned with the answer.
    pub nonce: u64,
    /// How many members passed it on.
    pub hops: u8,
}

/// The answer to [`RingSeek`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingSeen {
    /// That of the question.
    pub nonce: u64,
    /// How many members passed the question on.
    pub hops: u8,
    /// Members around the position, the one that answers included.
    pub nodes: List<RingNode, MAX_RING_SEEN>,
}

/// A member's own place and its nearest neighbours as it knows them: said to neighbours when it comes, when they change, and
/// now and then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingNews {
    /// The sender. Its id counts from the connection, not from here.
    pub me: RingNode,
    /// The next members upwards, the nearest first.
    pub successors: List<RingNode, MAX_RING_LIST>,
    /// The next members downwards, the nearest first.
    pub predecessors: List<RingNode, MAX_RING_LIST>,
    /// Whether the same is wanted in return.
    pub answer: bool,
    /// What the sender calls this state of its lists in a [`RingPulse`]: another number after each change.
    pub revision: u32,
}

/// A sign of life between neighbours that know one another's news: a few bytes instead of the same kilobyte again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingPulse {
    /// The sender's revision: who has heard of another in its [`RingNews`] lacks something.
    #[serde(rename = "m")]
    pub mine: u32,
    /// The receiver's revision in the last news that the sender has of it. Who is at another one by now answers with its news. `None`
    /// from who wants none at the moment.
    #[serde(rename = "y")]
    pub yours: Option<u32>,
    /// Whether an answer is wanted, be it only a sign of life.
    #[serde(rename = "a")]
    pub answer: bool,
}

/// Leaves the ring: neighbours close the gap at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RingLeave {
    /// Its own neighbours, who are nearer to one another now.
    pub nodes: List<RingNode, MAX_RING_SEEN>,
}

/// The state of a filter that somebody has been told: which life of its owner's filter, and how many changes since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterState {
    /// Drawn anew whenever the owner begins to count.
    #[serde(rename = "e")]
    pub epoch: u32,
    /// Changes told since.
    #[serde(rename = "s")]
    pub seq: u32,
}

/// Asks a member, which is the sender's finger of this level, for its own finger of the same level and for what can be
/// reached through it, now and whenever that changes. Said again now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Direction: upwards along the ring.
    #[serde(rename = "u")]
    pub up: bool,
    /// The level, below [`MAX_RING_LEVELS`].
    #[serde(rename = "l")]
    pub level: u8,
    /// What the sender has already.
    #[serde(rename = "h")]
    pub have: Option<FilterState>,
    /// The receiver's finger of this level as the sender knows it, by its [`PeerId::tag`].
    #[serde(rename = "f")]
    pub finger: Option<u32>,
}

/// The answer to a [`Watch`] whose sender knows it all: the filter and the finger are as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchanged {
    /// Direction of the entry.
    #[serde(rename = "u")]
    pub up: bool,
    /// Its level.
    #[serde(rename = "l")]
    pub level: u8,
}

/// What changed in a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterChange {
    /// Bits that are turned in what the receiver has.
    Flips(List<u16, MAX_FLIPS>),
    /// All of it: 2048 bytes, bit i being bit i % 8 of byte i / 8.
    Whole(#[serde(with = "crate::byte_vec")] Vec<u8>),
}

/// The answer to [`Watch`], and what changed later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Direction of the entry.
    #[serde(rename = "u")]
    pub up: bool,
    /// Its level.
    #[serde(rename = "l")]
    pub level: u8,
    /// The sender's own finger of this level: the receiver's next.
    #[serde(rename = "f")]
    pub finger: Option<RingNode>,
    /// The state after this change.
    #[serde(rename = "s")]
    pub state: FilterState,
    /// The number of changes that it builds on; `None` if it builds on the empty filter.
    #[serde(rename = "b")]
    pub since: Option<u32>,
    /// The streams that have a local tracker with one of the 2^level members from the sender on.
    #[serde(rename = "c")]
    pub change: FilterChange,
    /// The first four bytes of the BLAKE3 hash of the whole filter after this change, as a little-endian number.
    #[serde(rename = "k")]
    pub check: u32,
}

/// Looks for the local tracker of a stream that is nearest along the ring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Find {
    /// The stream.
    pub stream: StreamId,
    /// Chosen by who sends this message, returned with the answer.
    pub nonce: u64,
    /// The direction of a look-up under way; `None` from who is no member: whoever is asked looks in both in its place.
    pub up: Option<bool>,
    /// Without a direction: the position on the ring from which to look, if not from where the first member is.
    pub near: Option<u64>,
    /// The position of the member that began: there the arc ends that is to be searched.
    pub begun_at: u64,
    /// Which member that is.
    pub begun_by: PeerId,
    /// How many members passed it on.
    pub hops: u8,
    /// How many look-ups of the same search in this direction came back empty before.
    pub attempt: u8,
    /// Who wants to join the stream: whoever finds a tracker passes this on to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<Box<Guest>>,
    /// Trackers whose leases do not count: whoever looks knows that they are gone, and leases last longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<List<PeerId, MAX_EXCEPTED>>,
}

/// Most trackers excepted in one look-up: a stream has seldom lost more within the time of a lease.
pub const MAX_EXCEPTED: usize = 4;

/// The answer to [`Find`]; to one without a direction come two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// That of the question.
    pub nonce: u64,
    /// The direction in which it was found or not.
    pub up: bool,
    /// How many members passed the question on.
    pub hops: u8,
    /// The lease of the tracker that was found, as that signed it; `None` if there is none in this direction. Whoever passes it
    /// on checks it with [`Lease::open`].
    pub lease: Option<Lease>,
}

/// What a local tracker says of itself, for so long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackerLease {
    /// The stream.
    pub stream: StreamId,
    /// The tracker.
    pub tracker: RingNode,
    /// Its nearest siblings.
    pub siblings: List<RingNode, MAX_RING_LIST>,
    /// Greater in every later lease of this tracker for this stream.
    pub serial: u64,
    /// For how long it holds, in milliseconds from its receipt; 0 ends it.
    pub ttl_ms: u32,
    /// How many peers are registered with the tracker.
    pub members: u32,
    /// The capacity that its area lacks, in per mille of what it demands; 0 if it lacks none. Donors go where this is high.
    pub short: u16,
}

impl TrackerLease {
    /// The tracker, then its siblings: at most [`MAX_TRACKERS`].
    pub fn trackers(&self) -> impl Iterator<Item = &RingNode> {
        std::iter::once(&self.tracker).chain(&self.siblings)
    }
}

impl Statement for TrackerLease {
    const DOMAIN: Domain = Domain::TRACKER_LEASE;
}

/// Registers a local tracker with the members that are nearest to it, and goes with every answer that names it.
///
/// The tracker speaks for itself; that it may speak for the stream at all the stream's key says. Otherwise anybody could
/// swallow the newcomers of a popular stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Signed by the tracker.
    pub lease: Signed<TrackerLease>,
    /// Whose key that is.
    pub tracker: PeerId,
    /// That this tracker may be one, signed by the stream's key.
    pub appointment: Signed<Appointment>,
}

impl Lease {
    /// Checks both signatures, and that both speak of the same stream and tracker.
    ///
    /// # Errors
    /// A [`SignatureError`] when anything does not fit: nobody honest passes such a lease on.
    pub fn open(&self) -> Result<TrackerLease, SignatureError> {
        let lease = self.lease.open(&Verifier::new(self.tracker.as_bytes())?)?;
        if lease.tracker.peer != self.tracker {
            return Err(SignatureError::Subject);
        }
        Appointment::open(&self.appointment, lease.stream, self.tracker)?;
        Ok(lease)
    }
}
