//! The result of a scenario of the overlay.

use serde::{Deserialize, Serialize};

use super::coordinates::CoordErrors;
use super::plan::OverlayScenario;
use super::score::LookUps;
use crate::audit::{Audit, What};
use crate::time::SimTime;

/// A result file.
#[derive(Debug, Serialize, Deserialize)]
pub struct OverlayOutcome {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The whole scenario after overrides: with the seed, all that a replay needs.
    pub params: OverlayScenario,
    /// Wall-clock time of the run in seconds; whoever ran it fills it in.
    pub wall_s: f64,
    /// Events handled.
    pub events: u64,
    /// Messages that reached a member.
    pub deliveries: u64,
    /// Members, those included that left.
    pub peers: usize,
    /// Hash over all events: same scenario, same seed, same hash.
    pub audit: String,
    /// Look-ups, one entry for each case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doat: Vec<LookUps>,
    /// Coordinates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coords: Option<CoordErrors>,
    #[serde(skip)]
    hash: Running,
}

/// The hash while it grows.
#[derive(Debug)]
struct Running(Audit);

impl Default for Running {
    fn default() -> Self {
        Running(Audit::new())
    }
}

impl OverlayOutcome {
    pub(super) fn new(scenario: &OverlayScenario) -> Self {
        OverlayOutcome {
            scenario: scenario.name.clone(),
            seed: scenario.seed,
            params: scenario.clone(),
            wall_s: 0.0,
            events: 0,
            deliveries: 0,
            peers: 0,
            audit: String::new(),
            doat: Vec::new(),
            coords: None,
            hash: Running::default(),
        }
    }

    /// An empty one for a part of the run that has nothing to do with the rest.
    pub(super) fn part(&self) -> Self {
        OverlayOutcome::new(&self.params)
    }

    /// Adds what came out of a part.
    pub(super) fn absorb(&mut self, mut part: OverlayOutcome) {
        self.events += part.events;
        self.deliveries += part.deliveries;
        self.peers += part.peers;
        self.doat.append(&mut part.doat);
        for bytes in part.hash.0.finish().as_bytes().as_chunks::<8>().0 {
            self.fold(u64::from_le_bytes(*bytes));
        }
    }

    /// Adds something that happened to the hash.
    pub(super) fn fold(&mut self, detail: u64) {
        self.hash.0.fold(SimTime::START, What::Message, 0, detail);
    }

    /// Adds an event of a ring to the hash.
    pub(super) fn fold_event(&mut self, at: SimTime, what: What, member: u32, detail: u64) {
        self.hash.0.fold(at, what, member, detail);
    }

    pub(super) fn finish(&mut self) {
        self.audit = std::mem::take(&mut self.hash).0.finish();
    }
}
