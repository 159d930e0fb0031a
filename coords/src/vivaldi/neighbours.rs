//! What a peer remembers of its neighbours: recent round trips and how well their coordinates fit.

use std::collections::BTreeMap;

use crate::coord::Coord;

/// Samples that the round-trip filter looks at. Ledlie, Gardner, Seltzer (NSDI 2007): a low percentile of the
/// last few samples removes the heavy tail that queues put on round trips; the 25th of 8 took the median
/// error on 490 PlanetLab nodes from 9.4 to 9.0 %.
const RTT_WINDOW: usize = 8;

/// Weight of the newest sample in a neighbour's residual average: a liar is judged on about the last four
/// samples, and so is its reform. On PlanetLab with 10 % liars that claim random places, 0.1 left 10.3 %
/// error, 0.25 left 9.4 % and 0.5 left 9.2 %; the middle one does not condemn for one bad sample.
const RESIDUAL_GAIN: f64 = 0.25;

/// Neighbours that a median needs before it judges anyone: below it, one liar is a third of all.
const JURY_MIN: usize = 4;

/// Samples after which the typical round trip is computed anew: it costs a pass over all neighbours and
/// changes slowly.
const TYPICAL_PERIOD: u64 = 16;

/// A bounded set of neighbours, by key.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    by_key: BTreeMap<u64, Neighbour>,
    max: usize,
    /// Samples taken so far: the age of a neighbour is counted in them, as there is no clock here.
    samples: u64,
    /// The median filtered round trip, milliseconds, as of the last [`TYPICAL_PERIOD`]; `None` while too few
    /// neighbours are known to judge any.
    typical_rtt_ms: Option<f64>,
}

/// One neighbour.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    /// The last round trips, milliseconds; the first `filled` places are used, `next` is overwritten next.
    rtts_ms: [f64; RTT_WINDOW],
    filled: usize,
    next: usize,
    /// 25th percentile of them.
    rtt_ms: f64,
    /// Moving average of the relative error of predicting this neighbour; `None` before the first.
    residual: Option<f64>,
    /// The coordinate it reported last; `None` before the first sample.
    remote: Option<Coord>,
    last_sample: u64,
}

impl Neighbours {
    pub(super) fn new(max: usize) -> Self {
        Self {
            by_key: BTreeMap::new(),
            max: max.max(1),
            samples: 0,
            typical_rtt_ms: None,
        }
    }

    /// The neighbour of that key, which was heard just now. When the set is full, the one not heard for
    /// longest makes room for a new one.
    pub(super) fn heard(&mut self, key: u64) -> &mut Neighbour {
        if self.samples.is_multiple_of(TYPICAL_PERIOD) {
            self.typical_rtt_ms = self.median(|neighbour| Some(neighbour.rtt_ms));
        }
        self.samples += 1;
        if self.by_key.len() >= self.max && !self.by_key.contains_key(&key) {
            let oldest = self
                .by_key
                .iter()
                .min_by_key(|(_, neighbour)| neighbour.last_sample);
            if let Some((&oldest, _)) = oldest {
                self.by_key.remove(&oldest);
            }
        }
        let neighbour = self.by_key.entry(key).or_insert(Neighbour::EMPTY);
        neighbour.last_sample = self.samples;
        neighbour
    }

    /// The median round trip of all neighbours, milliseconds, of late; `None` while too few are known to
    /// judge any.
    pub(super) fn typical_rtt_ms(&self) -> Option<f64> {
        self.typical_rtt_ms
    }

    /// The median of the neighbours' residual averages; infinite, so that it condemns nobody, while there are
    /// too few.
    pub(super) fn median_residual(&self) -> f64 {
        self.median(|neighbour| neighbour.residual)
            .unwrap_or(f64::INFINITY)
    }

    fn median(&self, of: impl Fn(&Neighbour) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.by_key.values().filter_map(of).collect();
        if values.len() < JURY_MIN {
            return None;
        }
        let middle = values.len() / 2;
        Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
    }

    /// The least filtered round trip, milliseconds. Measured, not computed from what a neighbour claims.
    pub(super) fn nearest_rtt_ms(&self) -> Option<f64> {
        self.by_key
            .values()
            .map(|neighbour| neighbour.rtt_ms)
            .min_by(f64::total_cmp)
    }

    pub(super) fn rtt_ms(&self, key: u64) -> Option<f64> {
        self.by_key.get(&key).map(|neighbour| neighbour.rtt_ms)
    }

    /// All that are remembered, by key.
    pub(super) fn all(&self) -> impl Iterator<Item = &Neighbour> {
        self.by_key.values()
    }

    pub(super) fn forget(&mut self, key: u64) {
        self.by_key.remove(&key);
    }

    pub(super) fn forget_residuals(&mut self) {
        for neighbour in self.by_key.values_mut() {
            neighbour.residual = None;
        }
    }
}

impl Neighbour {
    const EMPTY: Self = Self {
        rtts_ms: [f64::INFINITY; RTT_WINDOW],
        filled: 0,
        next: 0,
        rtt_ms: f64::INFINITY,
        residual: None,
        remote: None,
        last_sample: 0,
    };

    /// Remembers a round trip, and where the neighbour says to be; returns the filtered round trip, both in milliseconds.
    pub(super) fn sample(&mut self, rtt_ms: f64, remote: Coord) -> f64 {
        self.remote = Some(remote);
        self.rtts_ms[self.next] = rtt_ms;
        self.next = (self.next + 1) % RTT_WINDOW;
        self.filled = (self.filled + 1).min(RTT_WINDOW);
        // The 25th percentile by nearest rank: the least of up to 4 samples, the second least of 5 to 8.
        // Unused places are infinite, so they are never among them.
        let (mut least, mut second) = (f64::INFINITY, f64::INFINITY);
        for &rtt_ms in &self.rtts_ms {
            second = second.min(rtt_ms.max(least));
            least = least.min(rtt_ms);
        }
        self.rtt_ms = if self.filled <= RTT_WINDOW / 2 {
            least
        } else {
            second
        };
        self.rtt_ms
    }

    /// Where it said to be last, and its filtered round trip in milliseconds.
    pub(super) fn last(&self) -> Option<(Coord, f64)> {
        Some((self.remote?, self.rtt_ms))
    }

    /// The residual average; 0 before there is one.
    pub(super) fn residual_average(&self) -> f64 {
        self.residual.unwrap_or(0.0)
    }

    /// Folds a relative error into the average and returns it.
    pub(super) fn residual(&mut self, residual: f64) -> f64 {
        let average = self
            .residual
            .map_or(residual, |old| old + RESIDUAL_GAIN * (residual - old));
        self.residual = Some(average);
        average
    }
}

#[cfg(test)]
mod tests;
