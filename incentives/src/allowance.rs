//! How much of something a neighbour may send: a burst, and then one more in each while.

use std::time::Duration;

use wire::Time;

/// So many at once, and one more in each while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// The most at once.
    pub(crate) burst: u32,
    /// One more in this time.
    pub(crate) every: Duration,
}

/// What is left of a burst. This is the generic cell rate algorithm, with one instant as its state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowance {
    /// When the burst is free again as a whole.
    full_at: Time,
}

impl Allowance {
    /// Takes one, if one is left.
    pub(crate) fn take(&mut self, now: Time, rate: Rate) -> bool {
        let next = self.full_at.max(now) + rate.every;
        let fits = next.since(now) <= rate.every * rate.burst;
        if fits {
            self.full_at = next;
        }
        fits
    }
}

#[cfg(test)]
mod tests;
