//! What look-ups found, against what there was.

use serde::{Deserialize, Serialize};

use super::coordinates::{quantile, sorted};

/// One case of a scenario: the look-ups for one number of trackers in one space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookUps {
    /// Members of the ring.
    pub nodes: usize,
    /// `uniform`, `clustered` or `planetlab`.
    pub space: String,
    /// Local trackers of the stream.
    pub trackers: usize,
    /// Share of the entries' filters that have a stream which is nowhere in the ring, on average over all members.
    pub bloom_fp: f64,
    /// Look-ups.
    pub queries: usize,
    /// Share of them that were told of a tracker.
    pub found: f64,
    /// Share of them that were told of one that is there.
    pub correct: f64,
    /// Share of them whose winner is the nearest tracker of all.
    pub p_nearest: f64,
    /// The winner's round trip, as a multiple of the nearest tracker's.
    pub stretch: Stretch,
    /// The winner's round trip beyond the nearest tracker's.
    pub extra_ms: Extra,
    /// The same of those alone that were probed at once, before any other was.
    pub at_once: Quality,
    /// Trackers probed for a look-up, those at once among them.
    pub probes: Count,
    /// Rounds of probes, one after another.
    pub rounds: Count,
    /// How many members passed a look-up on, in each direction.
    pub hops: Hops,
    /// How often a look-up came by the same member again.
    pub loops: u64,
    /// Messages of the ring that a member sends a second, while look-ups and registrations go on.
    pub messages_per_node_s: f64,
    /// Those of them that tell of a change of a filter.
    pub updates_per_node_s: f64,
    /// Bytes of all these messages, without what QUIC adds.
    #[serde(default)]
    pub bytes_per_node_s: f64,
    /// Time until both directions had answered.
    pub answered_ms: Extra,
    /// Lists that do not name the member's true neighbours, after the last look-up.
    pub lists_wrong: usize,
}

/// How good the winner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Share of look-ups whose winner is the nearest tracker of all.
    pub p_nearest: f64,
    /// Its round trip as a multiple of the nearest tracker's.
    pub stretch: Stretch,
    /// Its round trip beyond the nearest tracker's.
    pub extra_ms: Extra,
}

/// Numbers of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Mean.
    pub mean: f64,
    /// Most.
    pub max: usize,
}

/// Multiples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// Mean.
    pub mean: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extra {
    /// Mean.
    pub mean: f64,
    /// 90th percentile.
    pub p90: f64,
}

/// Times that a look-up was passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hops {
    /// Mean.
    pub mean: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Most.
    pub max: f64,
}

/// One look-up's result.
#[derive(Clone, Debug)]
pub(super) struct Scored {
    pub(super) found: bool,
    /// The winner's round trip; `None` if nobody named is there.
    pub(super) winner_ms: Option<f64>,
    /// That of the fastest of those probed at once.
    pub(super) at_once_ms: Option<f64>,
    pub(super) probes: usize,
    pub(super) rounds: usize,
    pub(super) nearest_ms: f64,
    pub(super) hops: Vec<u8>,
    pub(super) answered_ms: f64,
}

pub(super) fn share(of: &[Scored], what: impl Fn(&Scored) -> bool) -> f64 {
    of.iter().filter(|scored| what(scored)).count() as f64 / of.len().max(1) as f64
}

/// How good those are that `winner` picks.
pub(super) fn quality(of: &[Scored], winner: impl Fn(&Scored) -> Option<f64>) -> Quality {
    let is_nearest = |scored: &Scored| winner(scored).is_some_and(|ms| ms <= scored.nearest_ms);
    let won = || {
        of.iter()
            .filter_map(|scored| Some((winner(scored)?, scored.nearest_ms)))
    };
    let stretch = sorted(won().map(|(won, nearest)| won / nearest).collect());
    Quality {
        p_nearest: share(of, is_nearest),
        stretch: Stretch {
            mean: mean(&stretch),
            p90: quantile(&stretch, 0.9),
            p99: quantile(&stretch, 0.99),
        },
        extra_ms: spread(won().map(|(won, nearest)| won - nearest).collect()),
    }
}

pub(super) fn count(of: &[Scored], what: impl Fn(&Scored) -> usize) -> Count {
    let values: Vec<f64> = of.iter().map(|scored| what(scored) as f64).collect();
    Count {
        mean: mean(&values),
        max: of.iter().map(what).max().unwrap_or(0),
    }
}

pub(super) fn spread(values: Vec<f64>) -> Extra {
    let values = sorted(values);
    Extra {
        mean: mean(&values),
        p90: quantile(&values, 0.9),
    }
}

pub(super) fn hops(of: &[Scored]) -> Hops {
    let values = sorted(
        of.iter()
            .flat_map(|scored| &scored.hops)
            .map(|&hops| f64::from(hops))
            .collect(),
    );
    Hops {
        mean: mean(&values),
        p99: quantile(&values, 0.99),
        max: quantile(&values, 1.0),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
