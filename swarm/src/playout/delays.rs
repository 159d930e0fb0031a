//! The delays of recent chunks, as a histogram that forgets.

use std::time::Duration;

use wire::Time;

/// Width of a bin.
const BIN_US: i64 = 4_000;

/// Bins: 2.4 s above the smallest delay seen; what is longer counts in the last.
const BINS: usize = 600;

/// Every so often...
const DECAY_EVERY: Duration = Duration::from_millis(1_000);

/// ...what was counted weighs less: a time constant of 7 s, long enough to see the one chunk in five
/// hundred.
const DECAY: f32 = 0.86;

/// In the first seconds it weighs much less: a joiner's suppliers are themselves only settling.
const DECAY_YOUNG: f32 = 0.5;
const YOUNG: u32 = 6;

/// The histogram. Delays are this node's clock minus the peercaster's: only differences have a meaning.
#[derive(Debug)]
pub(super) struct Delays {
    base_us: Option<i64>,
    bins: Vec<f32>,
    total: f32,
    samples: u32,
    decays: u32,
    next_decay: Time,
}

impl Default for Delays {
    fn default() -> Self {
        Delays {
            base_us: None,
            bins: vec![0.0; BINS],
            total: 0.0,
            samples: 0,
            decays: 0,
            next_decay: Time::ZERO,
        }
    }
}

impl Delays {
    /// How many were recorded in all.
    pub(super) fn samples(&self) -> u32 {
        self.samples
    }

    pub(super) fn record(&mut self, now: Time, delay_us: i64) {
        self.decay(now);
        let delay_us = delay_us.clamp(-LONGEST_US, LONGEST_US);
        // The base leaves room below, for a supplier that is nearer than the first one was.
        let base = *self.base_us.get_or_insert(delay_us - HEADROOM_US);
        let bin = ((delay_us - base) / BIN_US).clamp(0, BINS as i64 - 1) as usize;
        self.add(bin);
    }

    fn add(&mut self, bin: usize) {
        self.bins[bin] += 1.0;
        self.total += 1.0;
        self.samples = self.samples.saturating_add(1);
    }

    fn decay(&mut self, now: Time) {
        if now < self.next_decay {
            return;
        }
        self.next_decay = now + DECAY_EVERY;
        self.decays = self.decays.saturating_add(1);
        let keep = if self.decays <= YOUNG { DECAY_YOUNG } else { DECAY };
        for count in &mut self.bins {
            *count *= keep;
        }
        self.total *= keep;
    }

    /// The delay that this share of the chunks stays below, rounded up to a bin; `None` before the first chunk.
    pub(super) fn quantile_us(&self, share: f64) -> Option<i64> {
        let base = self.base_us?;
        // Less than half of one chunk is what is left of one seen long ago.
        let allowed = (self.total * (1.0 - share as f32)).max(0.5);
        let mut above = 0.0;
        for (bin, count) in self.bins.iter().enumerate().rev() {
            above += count;
            if above > allowed {
                return Some(base + (bin as i64 + 1) * BIN_US);
            }
        }
        Some(base + HEADROOM_US)
    }
}

/// A peercaster that signs nonsense as its clock's time does not make sums overflow: 300 years.
const LONGEST_US: i64 = 1 << 53;

/// Room below the first delay seen.
const HEADROOM_US: i64 = 400_000;

#[cfg(test)]
#[path = "delays_tests.rs"]
mod tests;
