//! The three streams, as data. The keys are described in `docs/SIMULATION.md`.

use serde::{Deserialize, Serialize};

use crate::ScenarioError;
use crate::lab::discovery::LinesPlan;
use crate::lab::limits;
use crate::scenario::check::{MAX_SECONDS, between, count};
use crate::scenario::{Space, Stream, defaults};

/// Most viewers, strangers and idlers, of each.
const MOST: usize = 100;

/// A scenario in which credit is earned in one stream of real programs and spent in another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpendScenario {
    /// Its name in results.
    pub name: String,
    /// One line for the list.
    #[serde(default)]
    pub about: String,
    /// Seeds every draw: the same scenario and seed, the same places.
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
    /// Who takes part, and how long.
    pub spend: SpendPlan,
}

/// Who takes part, and how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpendPlan {
    /// Viewers whom the donor serves, and who serve the strangers.
    pub viewers: usize,
    /// Who has never met the donor before the third stream.
    pub strangers: usize,
    /// Who comes to the third stream with the donor, and nobody owes anything.
    pub idlers: usize,
    /// Uplinks, as multiples of the stream's rate.
    pub source_x: f64,
    /// Of the donor.
    pub donor_x: f64,
    /// Of each viewer; only in the second stream they give.
    pub viewer_x: f64,
    /// Of each stranger; only in the third stream they give.
    pub stranger_x: f64,
    /// How long the donor earns, in seconds.
    pub earn_s: f64,
    /// How long viewers give to strangers.
    pub between_s: f64,
    /// How long the donor takes.
    pub spend_s: f64,
}

impl Default for SpendPlan {
    fn default() -> Self {
        SpendPlan {
            viewers: 3,
            strangers: 4,
            idlers: 3,
            source_x: 1.4,
            donor_x: 6.0,
            viewer_x: 2.4,
            stranger_x: 2.3,
            earn_s: 25.0,
            between_s: 60.0,
            spend_s: 30.0,
        }
    }
}

impl SpendScenario {
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
        self.spend.check()
    }
}

impl SpendPlan {
    fn check(&self) -> Result<(), String> {
        // One is killed, and another one loses its ledger.
        count("spend.viewers", self.viewers, 2, MOST)?;
        count("spend.strangers", self.strangers, 1, MOST)?;
        count("spend.idlers", self.idlers, 0, MOST)?;
        for (key, value) in [
            ("spend.source_x", self.source_x),
            ("spend.donor_x", self.donor_x),
            ("spend.viewer_x", self.viewer_x),
            ("spend.stranger_x", self.stranger_x),
        ] {
            between(key, value, 0.1, 1000.0)?;
        }
        for (key, value) in [
            ("spend.earn_s", self.earn_s),
            ("spend.between_s", self.between_s),
            ("spend.spend_s", self.spend_s),
        ] {
            between(key, value, 1.0, MAX_SECONDS)?;
        }
        Ok(())
    }

    /// How long each stream is watched, in seconds.
    pub(crate) fn lengths_s(&self) -> [f64; 3] {
        [self.earn_s, self.between_s, self.spend_s]
    }
}
