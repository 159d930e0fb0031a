//! Another stream before: where peers earn what they spend in the scenario's own.

use serde::{Deserialize, Serialize};

use super::check::{between, count};
use super::{Fidelity, Scenario};

/// A stream of the same kind with a peercaster of its own, which goes on to the end. Its donors leave it and come to the scenario's
/// stream as consumers who give nothing; some of its viewers have come there before them, as consumers who give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Earlier {
    /// Those who watch it.
    pub viewers: usize,
    /// Share of them who change over: consumers of the scenario's stream, with the uplinks that those have.
    pub overlap: f64,
    /// Uplink of the others, as a multiple of the rate.
    pub viewer_upload_x: f64,
    /// Its peercaster's uplink, as a multiple of the rate.
    pub source_upload_x: f64,
    /// Those of the consumers who give nothing that are its donors before.
    pub donors: usize,
    /// Their uplink, as a multiple of the rate.
    pub donor_upload_x: f64,
    /// Viewers and donors join it within this time.
    pub joins_over_s: f64,
    /// Viewers change over from this instant on.
    pub viewers_leave_s: f64,
    /// Donors change over from this instant on; so do those come who give nothing and have not given either.
    pub donors_leave_s: f64,
    /// How long it takes for each of the two crowds to change over.
    pub over_s: f64,
}

impl Default for Earlier {
    fn default() -> Self {
        Earlier {
            viewers: 40,
            overlap: 0.33,
            viewer_upload_x: 0.3,
            source_upload_x: 5.0,
            donors: 4,
            donor_upload_x: 6.0,
            joins_over_s: 10.0,
            viewers_leave_s: 25.0,
            donors_leave_s: 65.0,
            over_s: 5.0,
        }
    }
}

impl Earlier {
    /// Viewers who change over.
    pub(crate) fn changing(&self) -> usize {
        (self.overlap * self.viewers as f64).round() as usize
    }

    pub(super) fn check(&self, scenario: &Scenario) -> Result<(), String> {
        count("earlier.viewers", self.viewers, 1, 100_000)?;
        between("earlier.overlap", self.overlap, 0.0, 1.0)?;
        for (key, x) in [
            ("earlier.viewer_upload_x", self.viewer_upload_x),
            ("earlier.source_upload_x", self.source_upload_x),
            ("earlier.donor_upload_x", self.donor_upload_x),
        ] {
            between(key, x, 0.0, 1e6)?;
        }
        for (key, s) in [
            ("earlier.joins_over_s", self.joins_over_s),
            ("earlier.viewers_leave_s", self.viewers_leave_s),
            ("earlier.donors_leave_s", self.donors_leave_s),
            ("earlier.over_s", self.over_s),
        ] {
            between(key, s, 0.0, 86_400.0)?;
        }
        let first_leave_s = self.viewers_leave_s.min(self.donors_leave_s);
        between(
            "earlier.joins_over_s (before anybody leaves)",
            self.joins_over_s,
            0.0,
            first_leave_s,
        )?;
        let peers = &scenario.peers;
        let passive = (peers.passive_share * peers.count as f64).round() as usize;
        count(
            "earlier.donors (of the consumers who give nothing)",
            self.donors,
            0,
            passive,
        )?;
        let give = peers.count.saturating_sub(passive);
        count(
            "earlier.viewers x earlier.overlap (of the consumers who give)",
            self.changing(),
            0,
            give,
        )?;
        let alone = scenario.churn.is_none() && scenario.faults.is_empty() && scenario.baselines.is_empty();
        if !alone || scenario.fidelity != Fidelity::Flow {
            return Err(
                "earlier goes with neither churn, faults nor baselines, and only in the flow model"
                    .to_owned(),
            );
        }
        if !scenario.network.accounts {
            return Err("earlier is of no use without network.accounts = true".to_owned());
        }
        Ok(())
    }
}
