//! The result of a scenario with several streams. The fields are described in `docs/SIMULATION.md`.

use serde::Serialize;

use super::plan::StreamsScenario;
use crate::Distribution;
use crate::lab::CoreWait;

/// A result file.
#[derive(Clone, Debug, Serialize)]
pub struct StreamsOutcome {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The whole scenario after overrides.
    pub params: StreamsScenario,
    /// Wall-clock time of the run in seconds; whoever ran it fills it in.
    pub wall_s: f64,
    /// Packets that arrived after the first newcomers had settled.
    pub events: u64,
    /// Packets lost, of the same.
    pub lost: u64,
    /// And dropped at full uplinks.
    pub uplink_drops: u64,
    /// Programs started.
    pub peers: usize,
    /// Empty: no two runs of real programs are the same.
    pub audit: String,
    /// What was found, how soon, and what became of viewers.
    pub discovery: Discovery,
    /// What is known of real programs.
    pub lab: StreamsFacts,
}

/// What was found, how soon, and what became of viewers.
#[derive(Clone, Debug, Serialize)]
pub struct Discovery {
    /// Median round trip between two of the nodes by the matrix.
    pub median_rtt_ms: f64,
    /// How long joining took.
    pub join_ms: JoinTimes,
    /// Whether late viewers are with the nearest tracker.
    pub late_nearest: LateNearest,
    /// How well the programs' own coordinates predict the matrix.
    pub coords: CoordFit,
    /// What of the stream viewers put out.
    pub continuity: Lives,
    /// Nodes that were started again.
    pub restarts: Restarts,
    /// The trackers of each stream, every five seconds.
    pub trackers_at: Vec<TrackersAt>,
    /// Who took whom for a liar, though all are honest.
    pub charged: Vec<Charge>,
}

/// Steps of joining, from the start of a program that had no state.
#[derive(Clone, Debug, Serialize)]
pub struct JoinTimes {
    /// Of viewers that came late, when the overlay was at rest.
    pub late: Steps,
    /// Of all viewers.
    pub all: Steps,
}

/// When each step of joining was done, in milliseconds from the program's start, of those for whom it was.
#[derive(Clone, Debug, Serialize)]
pub struct Steps {
    /// How many they are.
    pub viewers: usize,
    /// How many had no answer of a tracker, ever.
    pub unanswered: usize,
    /// A coordinate.
    pub coord: Distribution,
    /// A tracker, found in the ring.
    pub doat: Distribution,
    /// The tracker's answer.
    pub tracker: Distribution,
    /// The first chunk.
    pub first_chunk: Distribution,
    /// The 95th percentile of `tracker` in median round trips.
    pub tracker_x: f64,
}

/// Whether late viewers are with the nearest of the trackers that their stream had when they came.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LateNearest {
    /// Late viewers whose stream had more than one tracker when they came.
    pub with_choice: usize,
    /// Some seconds after they came.
    pub at_first: Nearest,
    /// When the race had been run anew, of those who were there for so long before nodes were killed.
    pub again: Nearest,
    /// The others.
    pub misses: Vec<Miss>,
}

/// How many are with the nearest tracker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Nearest {
    /// So many…
    pub nearest: usize,
    /// …of so many.
    pub of: usize,
}

/// A late viewer that is not with the nearest tracker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Miss {
    /// Who.
    pub viewer: String,
    /// How long after it came, in seconds.
    pub after_s: f64,
    /// Its tracker, if it has one.
    pub tracker: Option<String>,
    /// The round trip to that.
    pub rtt_ms: Option<f64>,
    /// The nearest one.
    pub nearest: String,
    /// The round trip to that.
    pub nearest_ms: f64,
}

/// How well coordinates predict round trips, when the overlay was at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CoordFit {
    /// Nodes that had one.
    pub nodes: usize,
    /// Median over their pairs of what the prediction is off, relative to the matrix's round trip.
    pub median_rel_error: f64,
}

/// Continuity of viewers. A life is one process, from its start to its end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lives {
    /// First lives, until nodes begin to be killed.
    pub before_kills: LifeShare,
    /// All lives, each to its end.
    pub whole: LifeShare,
    /// Of those, the lives of nodes that were started again.
    pub restarted: LifeShare,
    /// Of viewers that stay when a share of them ends, from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stayed: Option<LifeShare>,
    /// Lives below the goal of 0.995.
    pub below: Vec<Low>,
}

/// Continuity over several lives; 1 if there are none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LifeShare {
    /// How many.
    pub lives: usize,
    /// The worst.
    pub min: f64,
    /// The mean.
    pub mean: f64,
}

impl Default for LifeShare {
    fn default() -> Self {
        LifeShare {
            lives: 0,
            min: 1.0,
            mean: 1.0,
        }
    }
}

/// A life with low continuity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Low {
    /// Whose.
    pub viewer: String,
    /// 1: its first.
    pub life: usize,
    /// Of which stream.
    pub stream: usize,
    /// How much of what was due came in time.
    pub continuity: f64,
    /// When it began, in seconds of the run.
    pub from_s: f64,
    /// When it ended.
    pub to_s: f64,
}

/// Viewers and donors that were killed and started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Restarts {
    /// How many.
    pub nodes: usize,
    /// How many of them had no answer of a tracker.
    pub unanswered: usize,
    /// From the start to the tracker's answer.
    pub tracker_ms: Distribution,
}

/// How many trackers there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackersAt {
    /// When, in seconds of the run.
    pub at_s: u64,
    /// Of each stream, the peercaster included.
    pub trackers: Vec<usize>,
}

/// A program's standing fell with another below what broken promises come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Charge {
    /// With whom.
    pub by: String,
    /// Whose; the key of one whose own file tells nothing.
    pub of: String,
    /// The least it came to; 0: shut out.
    pub standing: f64,
}

/// What is known of real programs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamsFacts {
    /// Share of the time that programs waited for a core, until nodes begin to be killed.
    pub core_wait: CoreWait,
    /// And from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_wait_later: Option<CoreWait>,
    /// Share of packets that the emulator delivered more than a millisecond late.
    pub late_packets: f64,
    /// Bytes that viewers put out which are not as they were sent.
    pub wrong_bytes: u64,
    /// CPU time of a program for each minute, in seconds, on average.
    pub cpu_s_per_minute: f64,
    /// Memory of the largest program.
    pub rss_bytes_max: u64,
    /// Why the figures may not be trusted.
    pub warnings: Vec<String>,
    /// What must not happen and did.
    pub problems: Vec<String>,
}
