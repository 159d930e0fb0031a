//! Scenarios: what is simulated, as data. The keys are described in `docs/SIMULATION.md`.

mod attackers;
mod builtin;
pub(crate) mod check;
mod earlier;
mod load;
pub(crate) mod rate;

use serde::{Deserialize, Serialize};
use wire::Bitrate;

use crate::baseline::Baseline;
use crate::lab::discovery::StreamsScenario;
use crate::lab::spend::SpendScenario;
use crate::overlay::OverlayScenario;

pub use attackers::{Attackers, Cheat};
pub use builtin::{NAMES, OVERLAY_NAMES, SPEND_NAMES, STREAMS_NAMES, builtin};
pub use earlier::Earlier;
pub use load::ScenarioError;

/// Anything that can be run.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// A swarm with its stream.
    Swarm(Box<Scenario>),
    /// The overlay by itself.
    Overlay(Box<OverlayScenario>),
    /// Several streams of real programs, for the lab only.
    Streams(Box<StreamsScenario>),
    /// Credit earned in one stream of real programs and spent in another, for the lab only.
    Spend(Box<SpendScenario>),
}

/// One swarm to simulate, with every parameter that matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name in results.
    pub name: String,
    /// One line for the list.
    #[serde(default)]
    pub about: String,
    /// Seeds every draw: same scenario and seed, same run.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// What ran it. Results say so; whoever runs it decides.
    #[serde(default, skip_serializing_if = "Fidelity::is_flow")]
    pub fidelity: Fidelity,
    /// What is streamed.
    #[serde(default)]
    pub stream: Stream,
    /// How far apart the peers are.
    pub space: Space,
    /// How the network treats packets.
    #[serde(default)]
    pub network: Network,
    /// The peercaster.
    #[serde(default)]
    pub source: Source,
    /// The local trackers.
    #[serde(default)]
    pub tracker: Trackers,
    /// The consumers.
    pub peers: Peers,
    /// The non-consuming peers.
    #[serde(default)]
    pub donors: Donors,
    /// Another stream, in which some of the consumers were before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
    /// Peers who cheat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attackers: Vec<Attackers>,
    /// When the consumers join.
    #[serde(default = "defaults::joins")]
    pub joins: Vec<Wave>,
    /// Consumers leave after a while and others come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<Churn>,
    /// What goes wrong, and when.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What is measured.
    #[serde(default)]
    pub measure: Measure,
    /// Other ways to stream that are to be run in the same scenario.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<Baseline>,
}

/// How true to life a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// The protocol's code over a modelled network.
    #[default]
    Flow,
    /// The protocol's code over real QUIC connections, in virtual time over the same modelled network.
    Packet,
    /// Real programs over an emulated network.
    Lab,
}

impl Fidelity {
    fn is_flow(&self) -> bool {
        *self == Fidelity::Flow
    }
}

/// The stream as an encoder would make it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// Media rate without any overhead.
    #[serde(with = "rate")]
    pub rate: Bitrate,
    /// Time between two chunks that a player can start with.
    pub gop_ms: f64,
    /// Input time in one chunk.
    pub chunk_ms: f64,
    /// K.
    pub substreams: u8,
    /// Rate of each group's first 40 ms (one frame at 25 a second) as a multiple of the mean; what remains is spread
    /// over the rest of the group. 1 is a constant rate.
    pub keyframe_x: f64,
}

impl Stream {
    /// Packets that a copy of a chunk of mean size takes.
    pub(crate) fn packets_per_chunk(&self) -> u64 {
        let payload = self.rate.as_bps() as f64 / 8000.0 * self.chunk_ms;
        crate::net::packets(wire::CHUNK_HEADER_LEN as u64 + payload as u64)
    }
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            rate: Bitrate::from_kbps(3500),
            gop_ms: 1000.0,
            chunk_ms: 8.0,
            substreams: 16,
            keyframe_x: 1.0,
        }
    }
}

/// The delay space: one-way delays between peers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum Space {
    /// Peers uniformly in a rectangle; delay is distance.
    Rectangle {
        /// Width as one-way delay.
        width_ms: f64,
        /// Height as one-way delay.
        height_ms: f64,
        /// Where the peercaster is.
        #[serde(default)]
        source: SourcePlace,
        /// One-way delay of each peer's access line, added at both ends; drawn uniformly from 0 to this.
        #[serde(default)]
        access_ms: f64,
    },
    /// Peers in groups: centres uniform in a rectangle, members normally distributed around them.
    Clusters {
        /// Width as one-way delay.
        width_ms: f64,
        /// Height as one-way delay.
        height_ms: f64,
        /// How many groups.
        clusters: usize,
        /// Standard deviation around the centre, on each axis.
        spread_ms: f64,
        /// Where the peercaster is.
        #[serde(default)]
        source: SourcePlace,
        /// As for the rectangle.
        #[serde(default)]
        access_ms: f64,
    },
    /// Measured round trips; half of one is the one-way delay.
    Matrix {
        /// `planetlab490` (in the box) or a file of little-endian `u16` in units of 0.1 ms, row by row.
        file: String,
        /// Which node is the peercaster.
        #[serde(default)]
        source: SourcePlace,
        /// As for the rectangle.
        #[serde(default)]
        access_ms: f64,
    },
}

/// Where the peercaster is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourcePlace {
    /// In the middle; in a matrix the node with the least mean delay to the others.
    #[default]
    Centre,
    /// Anywhere.
    Random,
}

/// The network model's parameters; the model itself is described in `net/fluid.rs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Probability that a copy of a chunk, or the first transmission of a control message, is lost.
    pub loss: f64,
    /// Mean of the exponentially distributed extra delay of each delivery.
    pub jitter_ms: f64,
    /// Longest queue before an uplink (and a downlink, if there is one).
    pub queue_ms: f64,
    /// Downlink of every peer as a multiple of the stream's rate; absent = never the bottleneck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_x: Option<f64>,
    /// After so long without a sign of life a connection counts as dead; also how long a dial waits.
    pub idle_timeout_ms: f64,
    /// Clocks are off by up to this in either direction.
    pub clock_offset_s: f64,
    /// Whether receivers' acknowledgements take some of their uplink.
    pub acks: bool,
    /// Most connections of a peer.
    pub max_neighbours: usize,
    /// A peer becomes a member of the overlay's ring after so many seconds; absent = only who has a tracker does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_after_s: Option<f64>,
    /// Whether peers keep accounts that both sides sign. Signing and checking a receipt takes 0.1 ms of real time.
    pub accounts: bool,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            loss: 0.005,
            jitter_ms: 3.0,
            queue_ms: 100.0,
            download_x: None,
            idle_timeout_ms: 2000.0,
            clock_offset_s: 300.0,
            acks: false,
            max_neighbours: 64,
            ring_after_s: None,
            accounts: false,
        }
    }
}

/// The peercaster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// Uplink as a multiple of the stream's rate.
    pub upload_x: f64,
    /// Most connections: it is also the local tracker of all peers.
    pub max_neighbours: usize,
}

impl Default for Source {
    fn default() -> Self {
        Source {
            upload_x: 5.0,
            max_neighbours: 4096,
        }
    }
}

/// The local trackers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trackers {
    /// An area with more members than this is split.
    pub split_above: usize,
}

impl Default for Trackers {
    fn default() -> Self {
        Trackers {
            split_above: swarm::SPLIT_ABOVE,
        }
    }
}

/// The consumers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// How many.
    pub count: usize,
    /// Resource index: what the peercaster and the consumers can send, as a multiple of what the consumers want. The
    /// classes are scaled to meet it. Absent = the classes are multiples of the stream's rate as they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ri: Option<f64>,
    /// Uplink classes.
    #[serde(default = "defaults::classes")]
    pub classes: Vec<CapacityClass>,
    /// Share of consumers that give nothing.
    #[serde(default)]
    pub passive_share: f64,
    /// Some of them say that their uplinks carry more than they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overstate: Option<Overstate>,
    /// What they prefer.
    #[serde(default)]
    pub prefer: Prefer,
    /// A fixed playout lag instead of an adaptive one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_lag_ms: Option<f64>,
}

/// Consumers with one kind of uplink.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapacityClass {
    /// Their share of all consumers.
    pub share: f64,
    /// Their uplink relative to the other classes.
    pub upload_x: f64,
}

/// Consumers who believe their uplinks to be faster than they are, and say so to their nodes. It makes a difference at the packet level
/// and in the lab; the flow model knows no transport that would show it, and its nodes are told the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overstate {
    /// Their share of all consumers.
    pub share: f64,
    /// What they say as a multiple of what is true.
    pub factor: f64,
}

/// Which way consumers lean between lag and continuity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefer {
    /// Close to live.
    Live,
    /// Between the two.
    #[default]
    Balanced,
    /// No gap.
    Smooth,
}

/// The non-consuming peers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Donors {
    /// How many.
    pub count: usize,
    /// Uplink as a multiple of the stream's rate.
    pub upload_x: f64,
    /// They join from this instant on…
    pub at_s: f64,
    /// …over this time.
    pub over_s: f64,
}

impl Default for Donors {
    fn default() -> Self {
        Donors {
            count: 0,
            upload_x: 2.0,
            at_s: 0.0,
            over_s: 10.0,
        }
    }
}

/// A share of the consumers joins within some time, at instants drawn uniformly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Of all consumers.
    pub share: f64,
    /// When the first may join.
    #[serde(default)]
    pub at_s: f64,
    /// Over what time.
    #[serde(default)]
    pub over_s: f64,
}

/// Consumers stay for an exponentially distributed time; each that goes is replaced at once by a newcomer with the same
/// uplink, elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// How long on average.
    pub mean_session_s: f64,
    /// Sessions begin to end at this instant at the earliest.
    #[serde(default)]
    pub from_s: f64,
    /// How many go without a word (crash, lost line); the others say goodbye.
    #[serde(default = "defaults::crash_share")]
    pub crash_share: f64,
}

/// Something that goes wrong at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum Fault {
    /// A share of the consumers vanishes without a word.
    Crash {
        /// When.
        at_s: f64,
        /// Of those present.
        share: f64,
    },
    /// A share of the consumers says goodbye and goes.
    Leave {
        /// When.
        at_s: f64,
        /// Of those present.
        share: f64,
    },
    /// A share of the peers that keep local trackers, the peercaster apart, vanishes without a word: at least one, if there
    /// is one.
    Trackers {
        /// When.
        at_s: f64,
        /// Of those present.
        share: f64,
    },
    /// The peercaster is killed, and comes back with its key and a new encoder.
    Restart {
        /// When.
        at_s: f64,
        /// How long it is away.
        away_s: f64,
    },
    /// The loss changes.
    Loss {
        /// When.
        at_s: f64,
        /// The new probability.
        loss: f64,
    },
    /// The uplinks of a share of the consumers change, and they are told. In one run it is always the same ones for the same share, so
    /// a factor of 1 gives back what another one took.
    Upload {
        /// When.
        at_s: f64,
        /// Of those present.
        share: f64,
        /// Their uplink as a multiple of what it was at first.
        factor: f64,
    },
}

/// What is measured: chunks generated within a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measure {
    /// The window's start.
    pub start_s: f64,
    /// Its length.
    pub length_s: f64,
    /// The run goes on for so long after it, for its last chunks to be played.
    pub drain_s: f64,
}

impl Default for Measure {
    fn default() -> Self {
        Measure {
            start_s: 10.0,
            length_s: 60.0,
            drain_s: 3.0,
        }
    }
}

pub(crate) mod defaults {
    use super::{CapacityClass, Wave};

    pub(crate) fn seed() -> u64 {
        1
    }

    /// The mix of home uplinks of the paper's figure 5.
    pub(super) fn classes() -> Vec<CapacityClass> {
        [(0.2, 0.3), (0.4, 0.8), (0.25, 1.5), (0.15, 3.0)]
            .map(|(share, upload_x)| CapacityClass { share, upload_x })
            .to_vec()
    }

    pub(super) fn joins() -> Vec<Wave> {
        vec![Wave {
            share: 1.0,
            at_s: 0.0,
            over_s: 10.0,
        }]
    }

    /// No published figure known; half and half exercises both ways of going.
    pub(super) fn crash_share() -> f64 {
        0.5
    }
}
