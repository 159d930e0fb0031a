//! Several streams of real programs in one overlay, as data. The keys are described in `docs/SIMULATION.md`.

use serde::{Deserialize, Serialize};
use wire::Bitrate;

use crate::ScenarioError;
use crate::lab::limits;
use crate::lab::network::Treatment;
use crate::scenario::check::{MAX_MS, MAX_SECONDS, between, count};
use crate::scenario::{Space, Stream, defaults, rate};

/// Most nodes: each is a program with an emulated line. Two cores bear 40 of them at a low rate.
const MAX_NODES: usize = 1000;

/// A scenario with several streams of real programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamsScenario {
    /// Its name in results.
    pub name: String,
    /// One line for the list.
    #[serde(default)]
    pub about: String,
    /// Seeds every draw: the same scenario and seed, the same places, joins and order of kills.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// What each peercaster sends.
    #[serde(default)]
    pub stream: Stream,
    /// How far apart the nodes are.
    pub space: Space,
    /// How the network treats packets.
    #[serde(default)]
    pub network: LinesPlan,
    /// The streams and who takes part in them.
    pub streams: StreamsPlan,
    /// Nodes are killed one after the other, and come back.
    #[serde(default)]
    pub kill: KillPlan,
    /// A share of the viewers ends at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndPlan>,
}

/// The streams and who takes part in them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamsPlan {
    /// Streams, each with a peercaster; those are as far apart as the nodes drawn allow.
    pub count: usize,
    /// In which proportion viewers and donors are dealt to the streams; empty: evenly. A stream with no more members than an area
    /// may hold has one tracker, and then there is no nearest one to be found.
    pub shares: Vec<f64>,
    /// Nodes in all, peercasters included.
    pub nodes: usize,
    /// Share of all nodes that are donors; the rest watches.
    pub donors: f64,
    /// Every node's uplink.
    #[serde(with = "rate")]
    pub upload: Bitrate,
    /// A local tracker splits its area when more viewers than this are in it.
    pub area: usize,
    /// Donors, and viewers that are not late, come within so many seconds.
    pub over_s: f64,
    /// Rest after that, in seconds.
    pub settle_s: f64,
    /// Viewers that come late…
    pub late: usize,
    /// …one after the other, so many seconds apart.
    pub late_every_s: f64,
    /// Time in which the last of them is watched, in seconds, before anything else happens: its race is run anew 30 s after
    /// the first answer.
    pub watch_s: f64,
    /// Rest at the end, in seconds.
    pub drain_s: f64,
}

impl Default for StreamsPlan {
    fn default() -> Self {
        StreamsPlan {
            count: 3,
            shares: Vec::new(),
            nodes: 40,
            donors: 0.25,
            upload: Bitrate::from_kbps(20_000),
            area: 16,
            over_s: 30.0,
            settle_s: 45.0,
            late: 10,
            late_every_s: 5.0,
            watch_s: 40.0,
            drain_s: 10.0,
        }
    }
}

/// How the network treats packets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinesPlan {
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Mean of the exponentially distributed extra delay, drawn for each burst of packets.
    pub jitter_ms: f64,
    /// Longest queue before an uplink.
    pub queue_ms: f64,
}

impl Default for LinesPlan {
    fn default() -> Self {
        LinesPlan {
            loss: 0.0,
            jitter_ms: 0.0,
            queue_ms: 100.0,
        }
    }
}

impl LinesPlan {
    pub(crate) fn check(&self) -> Result<(), String> {
        between("network.loss", self.loss, 0.0, 1.0)?;
        between("network.jitter_ms", self.jitter_ms, 0.0, MAX_MS)?;
        between("network.queue_ms", self.queue_ms, 0.0, MAX_MS)
    }

    pub(crate) fn treatment(&self) -> Treatment {
        Treatment {
            queue_ms: self.queue_ms,
            loss: self.loss,
            jitter_ms: self.jitter_ms,
            down_bps: None,
        }
    }
}

/// All nodes, peercasters included, are killed one after the other, those that keep a tracker first, and are started again
/// with their state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KillPlan {
    /// Seconds between two kills; 0: nobody is killed.
    pub every_s: f64,
    /// Seconds until the node is started again.
    pub away_s: f64,
    /// So many at most.
    pub most: usize,
}

impl Default for KillPlan {
    fn default() -> Self {
        KillPlan {
            every_s: 0.0,
            away_s: 4.0,
            most: MAX_NODES,
        }
    }
}

/// A share of the viewers of every stream says goodbye at the same moment, and does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndPlan {
    /// Of the viewers present.
    pub share: f64,
    /// Seconds from the beginning.
    pub at_s: f64,
}

impl StreamsScenario {
    /// Why nothing but the lab takes it.
    pub(crate) fn for_the_lab(&self) -> ScenarioError {
        ScenarioError::ForTheLab(self.name.clone())
    }

    /// Refuses values that make no sense, or that real programs cannot follow.
    ///
    /// # Errors
    /// One sentence with the key.
    pub fn check(&self) -> Result<(), String> {
        self.stream.check()?;
        limits::check_stream(&self.stream)?;
        self.space.check()?;
        self.network.check()?;
        self.streams.check()?;
        between("kill.every_s", self.kill.every_s, 0.0, MAX_SECONDS)?;
        between("kill.away_s", self.kill.away_s, 0.1, MAX_SECONDS)?;
        if let Some(end) = &self.end {
            between("end.share", end.share, 0.0, 1.0)?;
            between("end.at_s", end.at_s, 0.0, MAX_SECONDS)?;
        }
        Ok(())
    }
}

impl StreamsPlan {
    fn check(&self) -> Result<(), String> {
        count("streams.nodes", self.nodes, 2, MAX_NODES)?;
        count("streams.count", self.count, 1, self.nodes / 2)?;
        if !self.shares.is_empty() && self.shares.len() != self.count {
            return Err(format!(
                "streams.shares has {} entries, but must have one for each of {} streams, or none",
                self.shares.len(),
                self.count
            ));
        }
        for share in &self.shares {
            between("streams.shares", *share, 0.001, 1000.0)?;
        }
        between("streams.donors", self.donors, 0.0, 1.0)?;
        let upload_bps = self.upload.as_bps() as f64;
        between("streams.upload in bit/s", upload_bps, 1000.0, 1e11)?;
        count("streams.area", self.area, 16, 100_000)?;
        if self.count + self.donors() >= self.nodes {
            return Err(format!(
                "streams.nodes is {}, but {} peercasters and {} donors leave no viewer",
                self.nodes,
                self.count,
                self.donors()
            ));
        }
        count("streams.late", self.late, 0, self.viewers())?;
        for (key, value) in [
            ("streams.over_s", self.over_s),
            ("streams.settle_s", self.settle_s),
            ("streams.late_every_s", self.late_every_s),
            ("streams.watch_s", self.watch_s),
            ("streams.drain_s", self.drain_s),
        ] {
            between(key, value, 0.0, MAX_SECONDS)?;
        }
        Ok(())
    }

    /// How many donors there are.
    pub(crate) fn donors(&self) -> usize {
        (self.donors * self.nodes as f64).round() as usize
    }

    /// How many viewers there are, late ones included.
    pub(crate) fn viewers(&self) -> usize {
        self.nodes.saturating_sub(self.count + self.donors())
    }
}
