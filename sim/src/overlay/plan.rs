//! What is simulated of the overlay, as data. The keys are described in `docs/SIMULATION.md`.

use serde::{Deserialize, Serialize};

use crate::scenario::ScenarioError;
use crate::scenario::check::{between, count};

/// A scenario without streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlayScenario {
    /// Its name in results.
    pub name: String,
    /// One line for the list.
    #[serde(default)]
    pub about: String,
    /// Seeds every draw: same scenario and seed, same run.
    #[serde(default = "one")]
    pub seed: u64,
    /// A ring and look-ups in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<RingPlan>,
    /// Coordinates on measured delays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coords: Option<CoordsPlan>,
}

fn one() -> u64 {
    1
}

/// Where the members of a ring are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RingSpace {
    /// Uniformly in a square of 300 ms; coordinates are exact.
    Uniform,
    /// In 32 groups of 8 ms in the same square; coordinates are exact.
    Clustered,
    /// The 245 measured PlanetLab nodes; coordinates are what Vivaldi makes of their round trips.
    PlanetLab,
}

impl RingSpace {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            RingSpace::Uniform => "uniform",
            RingSpace::Clustered => "clustered",
            RingSpace::PlanetLab => "planetlab",
        }
    }
}

/// A ring that grows, comes to rest, and is asked for trackers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingPlan {
    /// Members.
    pub nodes: usize,
    /// The spaces, each with a ring of its own.
    #[serde(default = "everywhere")]
    pub spaces: Vec<RingSpace>,
    /// Numbers of local trackers of the stream that is looked for, one after the other in the same ring.
    pub trackers: Vec<usize>,
    /// Look-ups for each of them, by random members.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Other streams, each with one tracker: what fills the filters.
    #[serde(default)]
    pub other_streams: usize,
    /// Of the trackers found, so many that promise the shortest round trip are probed, and the fastest is taken.
    #[serde(default = "race")]
    pub race: usize,
    /// The ring grows by this share of its size a second.
    #[serde(default = "growth")]
    pub growth: f64,
    /// Time to come to rest after the last has joined, in seconds.
    #[serde(default = "settle_s")]
    pub settle_s: f64,
    /// Share of the members that lie once the ring is at rest.
    #[serde(default)]
    pub liars: f64,
    /// Members go without a word, and others come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<RingChurn>,
    /// Half of the members are cut off from the others for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
}

fn everywhere() -> Vec<RingSpace> {
    vec![RingSpace::Uniform, RingSpace::Clustered]
}

fn queries() -> usize {
    2000
}

fn race() -> usize {
    3
}

fn growth() -> f64 {
    0.1
}

fn settle_s() -> f64 {
    60.0
}

/// Members that crash and are replaced at once by others elsewhere, while look-ups go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingChurn {
    /// Members stay for an exponentially distributed time of this mean, in seconds.
    pub mean_session_s: f64,
    /// So long, in seconds.
    pub length_s: f64,
    /// A tracker that crashed is replaced by another after this time, in seconds: its deputy takes over.
    #[serde(default = "takeover_s")]
    pub takeover_s: f64,
}

fn takeover_s() -> f64 {
    3.0
}

/// A cut through the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// For so long, in seconds.
    pub for_s: f64,
    /// How long the ring has to become one again, in seconds; then it is asked.
    pub heal_s: f64,
}

/// Vivaldi on the PlanetLab round trips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoordsPlan {
    /// Samples that each peer takes of its neighbours, beginning at the origin.
    pub samples: usize,
    /// Neighbours of each peer.
    pub neighbours: usize,
    /// Share of them that are chosen for being near, once a peer knows about where it is.
    pub near: f64,
    /// Probes of a newcomer that finds its place in one round trip.
    pub probes: usize,
    /// Share of peers that claim to be anywhere, in the run with liars.
    pub liars: f64,
    /// Each sample is longer by an exponentially distributed time of this mean, in milliseconds.
    pub jitter_ms: f64,
}

impl Default for CoordsPlan {
    fn default() -> Self {
        CoordsPlan {
            samples: 400,
            neighbours: 32,
            near: 0.5,
            probes: 8,
            liars: 0.1,
            jitter_ms: 3.0,
        }
    }
}

impl OverlayScenario {
    /// Says what cannot be simulated.
    ///
    /// # Errors
    /// The first impossible value, in one sentence.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let invalid = |why: String| ScenarioError::Invalid(self.name.clone(), why);
        match (&self.ring, &self.coords) {
            (None, None) => Err(invalid("it has neither a [ring] nor [coords]".to_owned())),
            (ring, coords) => {
                if let Some(ring) = ring {
                    ring.check().map_err(invalid)?;
                }
                coords
                    .as_ref()
                    .map_or(Ok(()), |coords| coords.check().map_err(invalid))
            }
        }
    }
}

/// Largest ring: at 100 KiB a member it takes 10 GB.
const MAX_NODES: usize = 100_000;

/// Most look-ups and other streams.
const MAX_COUNT: usize = 1_000_000;

/// Nodes of the PlanetLab matrix.
const PLANETLAB_NODES: usize = 245;

impl RingPlan {
    fn check(&self) -> Result<(), String> {
        count("ring.nodes", self.nodes, 1, MAX_NODES)?;
        count("ring.queries", self.queries, 1, MAX_COUNT)?;
        count("ring.other_streams", self.other_streams, 0, MAX_COUNT)?;
        count("ring.race", self.race, 1, 16)?;
        between("ring.growth", self.growth, 0.001, 10.0)?;
        between("ring.settle_s", self.settle_s, 0.0, 3600.0)?;
        if self.spaces.is_empty() || self.trackers.is_empty() {
            return Err("ring.spaces and ring.trackers must not be empty".to_owned());
        }
        for &trackers in &self.trackers {
            count("ring.trackers", trackers, 1, self.nodes)?;
        }
        if self.spaces.contains(&RingSpace::PlanetLab) && self.nodes > PLANETLAB_NODES {
            return Err(format!(
                "ring.nodes is {}, and PlanetLab has {PLANETLAB_NODES}",
                self.nodes
            ));
        }
        between("ring.liars", self.liars, 0.0, 0.5)?;
        if let Some(churn) = &self.churn {
            between("ring.churn.mean_session_s", churn.mean_session_s, 1.0, 1e6)?;
            between("ring.churn.length_s", churn.length_s, 1.0, 1e5)?;
            between("ring.churn.takeover_s", churn.takeover_s, 0.0, 1e4)?;
        }
        if let Some(partition) = &self.partition {
            between("ring.partition.for_s", partition.for_s, 0.0, 1e5)?;
            between("ring.partition.heal_s", partition.heal_s, 0.0, 1e5)?;
        }
        Ok(())
    }
}

impl CoordsPlan {
    fn check(&self) -> Result<(), String> {
        count("coords.samples", self.samples, 1, 1_000_000)?;
        count("coords.neighbours", self.neighbours, 1, PLANETLAB_NODES - 1)?;
        count("coords.probes", self.probes, 1, PLANETLAB_NODES - 1)?;
        between("coords.near", self.near, 0.0, 1.0)?;
        between("coords.liars", self.liars, 0.0, 0.5)?;
        between("coords.jitter_ms", self.jitter_ms, 0.0, 1000.0)
    }
}
