//! Lag against distance from the peercaster.

use serde::{Deserialize, Serialize};

use super::PeerRow;

/// Bands between the peercaster and the farthest consumer: wide enough for some ten peers of a hundred in most.
const BANDS: usize = 12;

/// Consumers about as far from the peercaster as one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Their mean distance, one way.
    pub distance_ms: f64,
    /// How many there are.
    pub peers: usize,
    /// Mean of their mean arrival lags.
    pub arrival_ms: f64,
    /// Mean of their mean playout lags.
    pub lag_ms: f64,
}

/// The consumers that played something, in bands of equal width, the nearest first; empty bands are left out.
pub(crate) fn bands(rows: &[PeerRow]) -> Vec<Band> {
    let played = |row: &PeerRow| {
        let (arrival, (lag, _)) = row.arrival_ms.zip(row.lag_ms)?;
        (row.role == "consumer").then_some((row.distance_ms, arrival, lag))
    };
    let points: Vec<(f64, f64, f64)> = rows.iter().filter_map(played).collect();
    let farthest = points
        .iter()
        .map(|point| point.0)
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut bands = [Band::default(); BANDS];
    for (distance, arrival, lag) in points {
        let at = (distance / farthest * BANDS as f64) as usize;
        let band = &mut bands[at.min(BANDS - 1)];
        band.peers += 1;
        band.distance_ms += distance;
        band.arrival_ms += arrival;
        band.lag_ms += lag;
    }
    let mean = |band: Band| {
        let n = band.peers as f64;
        Band {
            distance_ms: band.distance_ms / n,
            arrival_ms: band.arrival_ms / n,
            lag_ms: band.lag_ms / n,
            ..band
        }
    };
    bands
        .into_iter()
        .filter(|band| band.peers > 0)
        .map(mean)
        .collect()
}
