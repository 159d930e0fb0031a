//! The lines of `--stats`, field by field.

use std::net::SocketAddr;

use serde::Serialize;
use wire::message::Role;
use wire::{PeerId, StreamId};

/// Whether a line is one of many or the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One a second.
    Sample,
    /// One at the end.
    Summary,
}

/// The command that writes the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// The peercaster.
    Cast,
    /// A consumer.
    Watch,
    /// A non-consuming peer.
    Donate,
}

impl Command {
    /// The name as in the statistics.
    pub fn name(self) -> &'static str {
        match self {
            Command::Cast => "cast",
            Command::Watch => "watch",
            Command::Donate => "donate",
        }
    }
}

/// Quantiles over the whole run, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The largest value.
    pub max: f64,
}

/// A lag: one number in a sample, quantiles in the summary; `null` before there is any.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Lag {
    /// The latest value in milliseconds.
    Now(Option<f64>),
    /// Over the run; `null` if nothing was measured.
    Run(Option<Quantiles>),
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeighbourLine {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addr: SocketAddr,
    /// Smoothed round trip.
    pub rtt_ms: f64,
    /// Media received from it since the last line, in bits a second.
    pub in_bps: u64,
    /// Media sent to it since the last line, in bits a second.
    pub out_bps: u64,
    /// What it does in the stream.
    pub role: &'static str,
    /// Bytes that it owes this node for what that gave, negative if this node owes; `null` where no ledger is kept.
    pub trust: Option<i64>,
    /// Standing, 0 (shut out) to 1.
    pub standing: f64,
}

/// Where the node is in the delay space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CoordLine {
    /// First axis.
    pub x_ms: f64,
    /// Second axis.
    pub y_ms: f64,
    /// Delay of its access link.
    pub height_ms: f64,
    /// Relative error of its predictions.
    pub error: f64,
}

/// The local tracker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrackerLine {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addr: SocketAddr,
    /// Peers registered there.
    pub members: u32,
}

/// The node's place among the trackers' search ring.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DoatLine {
    /// Whether it is part of the ring.
    pub member: bool,
    /// Its position on the curve.
    pub h: u64,
    /// The next node on the ring.
    pub successor: Option<PeerId>,
    /// The node before it.
    pub predecessor: Option<PeerId>,
    /// Entries of its table.
    pub entries: u32,
}

/// What the node is owed for what it gave, and owes for what it took, over all streams. Amounts are bytes of media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrustLine {
    /// What others owe it.
    pub earned_bytes: u64,
    /// What it owes others.
    pub owed_bytes: u64,
    /// What of the first those owe who supply it, or could be made to by shifts; where nobody does, its neighbours.
    pub spendable_bytes: u64,
    /// What shifts under way hold.
    pub pending_bytes: u64,
    /// Shifts under way that it takes part in.
    pub shifts: u32,
    /// Peers with whom it is not even.
    pub accounts: u32,
    /// Bytes of messages about trust, both ways.
    pub control_bytes: u64,
    /// Whether the ledger cannot be written at present.
    pub paused: bool,
}

/// When each step of joining was done, in milliseconds from the command's start; `null` for a step that has not been
/// done or is not part of this node's way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct JoinLine {
    /// It has a coordinate.
    pub coord: Option<f64>,
    /// A look-up in the overlay's table found a tracker.
    pub doat: Option<f64>,
    /// The tracker answered.
    pub tracker: Option<f64>,
    /// The first chunk came.
    pub first_chunk: Option<f64>,
}

/// One line of the statistics. Counters count from the command's start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Sample or summary.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Unix time.
    pub t_ms: u64,
    /// The command.
    pub role: Command,
    /// This node.
    pub peer: PeerId,
    /// The stream.
    pub stream: StreamId,
    /// From the command's start to the first byte handed to the output.
    pub startup_ms: Option<f64>,
    /// Playout lag.
    pub lag_ms: Lag,
    /// Arrival lag.
    pub arrival_ms: Lag,
    /// How wrong both may be: the error bound of the estimate of the peercaster's clock.
    pub clock_error_ms: Option<f64>,
    /// Chunks handed over in time of those due since playout began.
    pub continuity: f64,
    /// Chunks handed over.
    pub chunks_played: u64,
    /// Chunks given up.
    pub chunks_missed: u64,
    /// Chunks handed over after their time.
    pub chunks_late: u64,
    /// Media bytes received.
    pub bytes_in: u64,
    /// Media bytes sent.
    pub bytes_out: u64,
    /// Media bytes received twice.
    pub bytes_duplicate: u64,
    /// Protocol overhead, both ways.
    pub bytes_control: u64,
    /// Bytes that failed verification or did not decode.
    pub bytes_rejected: u64,
    /// How often this node sent on each byte it received; `null` before the first.
    pub multiplication: Option<f64>,
    /// Media between the playout point and the first hole.
    pub buffer_ms: u32,
    /// The playout lag aimed at.
    pub target_lag_ms: Option<f64>,
    /// Chunks asked for one by one.
    pub repairs_requested: u64,
    /// Whether the swarm has too little upload for all, as far as this node knows.
    pub shortage: bool,
    /// Substreams without a supplier for which those who were asked had no room.
    pub no_room: u16,
    /// What this node's local tracker knows its members to lack, as a share of what they want; `null` where it keeps none.
    pub lacking: Option<f64>,
    /// Connections.
    pub neighbours: Vec<NeighbourLine>,
    /// Its coordinate.
    pub coord: CoordLine,
    /// The local tracker.
    pub tracker: Option<TrackerLine>,
    /// Whether this node is one.
    pub is_tracker: bool,
    /// Its place in the ring.
    pub doat: DoatLine,
    /// Its accounts; `null` where no ledger is kept.
    pub trust: Option<TrustLine>,
    /// Where the start-up went.
    pub join_ms: JoinLine,
    /// Processor time of the process, user and system, in seconds.
    pub cpu_s: f64,
    /// Memory of the process.
    pub rss_bytes: u64,
    /// Lines that a slow reader of the statistics missed so far.
    pub lines_dropped: u64,
}

/// A role's name in the statistics.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Consumer => "watch",
        Role::Peercaster => "cast",
        Role::Donor => "donate",
        Role::Passive => "passive",
        Role::Unknown => "unknown",
    }
}
