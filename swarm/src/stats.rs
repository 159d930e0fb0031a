//! What a node says about itself: counters and the state worth showing.

use std::net::SocketAddr;

use coords::Coord;
use wire::message::{RingNode, Role};
use wire::{Bitrate, PeerId, Seq, StreamId, StreamInfo, SubstreamSet};

/// A node at one moment. Counters count from the node's start.
#[derive(Clone, Debug, Default)]
pub struct NodeStats {
    /// Its coordinate.
    pub coord: Coord,
    /// How far off its predictions are: relative error.
    pub coord_error: f64,
    /// Its upload limit.
    pub upload: Bitrate,
    /// How long its uplink's queue is, in milliseconds.
    pub backlog_ms: u32,
    /// Everybody it is connected to.
    pub neighbours: Vec<LinkStats>,
    /// Its streams.
    pub streams: Vec<StreamStats>,
    /// Its place in the overlay's ring.
    pub ring: RingStats,
    /// Its trust; `None` if it keeps no accounts.
    pub trust: Option<TrustStats>,
    /// Bytes of control messages received and sent.
    pub bytes_control: u64,
    /// Bytes thrown away: wrong signature, not decodable.
    pub bytes_rejected: u64,
}

/// Most peers that a peercaster calls when it is back. So many handshakes take a tenth of a second of an uplink of 3.5 Mbit/s, and one that
/// has more children has so many copies of each substream that the others find a supplier among these.
pub const MAX_AUDIENCE: usize = 32;

impl NodeStats {
    /// Whom this node supplies, those with the most substreams first: no more than [`MAX_AUDIENCE`].
    pub fn audience(&self) -> Vec<RingNode> {
        let supplied = self.neighbours.iter().filter(|link| !link.supplied.is_empty());
        let mut supplied: Vec<&LinkStats> = supplied.collect();
        supplied.sort_by_key(|link| std::cmp::Reverse(link.supplied.len()));
        let first = supplied.into_iter().take(MAX_AUDIENCE);
        first
            .map(|link| RingNode::new(link.peer, &Coord::ORIGIN, [link.addr].into_iter().collect()))
            .collect()
    }
}

/// A node's place in the overlay's ring.
#[derive(Clone, Debug, Default)]
pub struct RingStats {
    /// Whether it is a member.
    pub member: bool,
    /// Its position; that of its present coordinate, if it is no member.
    pub position: u64,
    /// The next member upwards.
    pub successor: Option<PeerId>,
    /// The next member downwards.
    pub predecessor: Option<PeerId>,
    /// Members and routing entries that it keeps.
    pub entries: u32,
    /// Members that this node has reason to believe are there: ways in for the next time.
    pub known: Vec<RingNode>,
}

/// What a node is owed and owes for what it gave and took, over all streams, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustStats {
    /// What others owe this node: what it gave and has not taken yet.
    pub owed_to_me: u64,
    /// What this node owes others.
    pub owed_by_me: u64,
    /// What of it those who supply this node owe, or could be made to by shifts as far as is known. Where nobody supplies it, its
    /// neighbours.
    pub spendable: u64,
    /// What shifts under way hold.
    pub pending: u64,
    /// Shifts under way that this node takes part in.
    pub shifts: u32,
    /// Accounts that are not even.
    pub accounts: u32,
    /// Bytes of messages about trust, received and sent.
    pub bytes: u64,
    /// The ledger cannot be written at present.
    pub rests: bool,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct LinkStats {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addr: SocketAddr,
    /// Smoothed round trip in milliseconds.
    pub rtt_ms: f64,
    /// Media received over it in all, in bytes.
    pub bytes_in: u64,
    /// Media sent over it in all, in bytes.
    pub bytes_out: u64,
    /// What it does in the stream this node shares with it.
    pub role: Role,
    /// Standing, 0 (shut out) to 1.
    pub standing: f64,
    /// Bytes that it owes this node, negative if this node owes; `None` if no accounts are kept.
    pub trust: Option<i64>,
    /// Substreams it supplies to this node.
    pub supplies: SubstreamSet,
    /// Substreams this node supplies to it.
    pub supplied: SubstreamSet,
}

/// One substream at a consumer or donor.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubstreamStats {
    /// Who supplies it.
    pub parent: Option<PeerId>,
    /// How many this node supplies with it.
    pub children: u16,
    /// Mean arrival lag in milliseconds.
    pub lag_ms: Option<f64>,
    /// Hops from the peercaster.
    pub hops: u8,
}

/// One stream.
#[derive(Clone, Debug, Default)]
pub struct StreamStats {
    /// Which; `None` only in a default value.
    pub stream: Option<StreamId>,
    /// What this node does in it.
    pub role: Role,
    /// Its description, once known.
    pub info: Option<StreamInfo>,
    /// The local tracker and the peers registered there.
    pub tracker: Option<(PeerId, SocketAddr, u32)>,
    /// Whether this node is a local tracker of the stream.
    pub is_tracker: bool,
    /// The newest chunk seen.
    pub head: Seq,
    /// The next chunk to be played; `None` before playout began.
    pub playout_point: Option<Seq>,
    /// Milliseconds of media between the playout point and the first hole.
    pub buffer_ms: u32,
    /// The playout lag aimed at, in milliseconds.
    pub target_lag_ms: Option<f64>,
    /// Playout lag of the last chunk handed over, in milliseconds.
    pub lag_ms: Option<f64>,
    /// Arrival lag of the last chunk that came, in milliseconds.
    pub arrival_ms: Option<f64>,
    /// How wrong the lags may be, in milliseconds: the error bound of the clock estimate.
    pub clock_error_ms: Option<f64>,
    /// Chunks handed over.
    pub chunks_played: u64,
    /// Chunks given up.
    pub chunks_missed: u64,
    /// Chunks handed over after their time.
    pub chunks_late: u64,
    /// Media bytes received, first copies.
    pub bytes_in: u64,
    /// Media bytes sent.
    pub bytes_out: u64,
    /// Media bytes received a second time.
    pub bytes_duplicate: u64,
    /// Chunks asked for one by one.
    pub repairs_requested: u64,
    /// Substreams that it wants and nobody supplies, and for which those who were asked had no room.
    pub no_room: u16,
    /// What the members of the local tracker that it keeps want and nobody there has room for, in per mille of what they want; `None` if
    /// it keeps none.
    pub short: Option<u16>,
    /// Substream copies it can send in all.
    pub slots: u16,
    /// Those in use.
    pub slots_used: u16,
    /// Each substream.
    pub substreams: Vec<SubstreamStats>,
}

impl StreamStats {
    /// Chunks handed over in time of those due since playout began; 1 before that.
    pub fn continuity(&self) -> f64 {
        let due = self.chunks_played + self.chunks_missed;
        if due == 0 {
            1.0
        } else {
            (self.chunks_played - self.chunks_late) as f64 / due as f64
        }
    }
}
