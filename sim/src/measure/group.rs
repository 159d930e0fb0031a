//! Consumers who give and those who do not, apart: who has to wait when there is not enough for all?

use serde::{Deserialize, Serialize};

use super::result::continuity_of;
use super::{Continuity, Distribution, Facts, PeerLog};
use crate::time::MS;

/// What a part of the consumers came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// How many there were, all told.
    pub peers: u64,
    /// Chunks handed over in time of those due.
    pub continuity: Continuity,
    /// Each one's mean playout lag.
    pub lag_ms: Distribution,
    /// From joining to the first chunk handed to the output.
    pub startup_ms: Distribution,
    /// Those that never played although they were there for long enough.
    pub never_started: u64,
    /// Chunks due that were not handed over.
    pub chunks_missed: u64,
}

impl Group {
    pub(crate) fn of<'a>(facts: &Facts<'_>, logs: impl Iterator<Item = &'a PeerLog>) -> Self {
        let mut group = Group::default();
        let (mut continuities, mut lags, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for log in logs {
            group.peers += 1;
            starts.extend(Facts::startup_ms(log));
            if log.played > 0 {
                lags.push(log.lag_ns as f64 / log.played as f64 / MS as f64);
            }
            if let Some((continuity, due)) = facts.continuity(log) {
                continuities.push(continuity);
                group.never_started += u64::from(log.started.is_none());
                group.chunks_missed += due.saturating_sub(log.played);
            }
        }
        group.continuity = continuity_of(continuities);
        group.lag_ms = Distribution::of(lags);
        group.startup_ms = Distribution::of(starts);
        group
    }
}

/// The consumers, parted by whether they give anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Groups {
    /// Those who pass chunks on, as far as their uplinks go.
    pub contributors: Group,
    /// Those who only take, and have not given elsewhere either.
    pub free_riders: Group,
    /// Those who only take here, and gave in another stream before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earners: Option<Group>,
}
