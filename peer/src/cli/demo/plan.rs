//! How large the demo's swarm is, and what each node may send.

use wire::Bitrate;

use crate::ingest::InputSpec;

/// The source's uplink in stream rates: what an encoder at home has.
const SOURCE_UPLINK: f64 = 3.0;
/// A donor's.
const DONOR_UPLINK: f64 = 2.0;

/// Uplinks of viewers in stream rates, each with the share of viewers up to it: the access classes of the simulator's
/// scenarios.
const CLASSES: [(f64, f64); 4] = [(0.2, 0.3), (0.6, 0.8), (0.85, 1.5), (1.0, 3.0)];

/// Resource index of source and viewers together, without the donors: (upload) / (viewers x rate).
const RESOURCE_INDEX: f64 = 1.5;

/// The smallest uplink of a viewer, in stream rates: few viewers with a strong source need nothing of each other, but a
/// swarm in which nobody gives is no demo.
const VIEWER_UPLINK_MIN: f64 = 0.2;

/// What swarm to make.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) viewers: usize,
    pub(super) donors: usize,
    /// The stream's rate.
    pub(super) rate: Bitrate,
    /// The pace of an input without a clock.
    pub(super) paced_by: Option<Bitrate>,
    /// `None` for the test card.
    pub(super) input: Option<InputSpec>,
}

impl Plan {
    /// Each viewer's uplink.
    pub(super) fn viewer_uplinks(&self) -> Vec<Bitrate> {
        let class = |viewer: usize| {
            let at = (viewer as f64 + 0.5) / self.viewers as f64;
            CLASSES
                .iter()
                .find(|(up_to, _)| at <= *up_to)
                .map_or(1.0, |(_, uplink)| *uplink)
        };
        let drawn: Vec<f64> = (0..self.viewers).map(class).collect();
        let wanted = RESOURCE_INDEX * self.viewers as f64 - SOURCE_UPLINK;
        let scale = wanted / drawn.iter().sum::<f64>();
        let uplink = |drawn: &f64| self.rate.scaled((drawn * scale).max(VIEWER_UPLINK_MIN));
        drawn.iter().map(uplink).collect()
    }

    /// The source's.
    pub(super) fn source_uplink(&self) -> Bitrate {
        self.rate.scaled(SOURCE_UPLINK)
    }

    /// Each donor's.
    pub(super) fn donor_uplink(&self) -> Bitrate {
        self.rate.scaled(DONOR_UPLINK)
    }
}
