//! The peercaster's clock as seen from here, estimated over the overlay without any time server.
//!
//! Each pong carries the answerer's own estimate. The round trip bounds how wrong the difference of two clocks can be
//! (half of it, as in Cristian's algorithm), and the bounds add up along the way from the peercaster. The estimate with
//! the smallest bound wins; a bound grows with age, because clocks drift.

use std::time::Duration;

use wire::Time;

/// How fast two quartz clocks drift apart at worst: 50 parts in a million each.
const DRIFT_PPM: u64 = 100;

/// An estimate: the peercaster's clock minus this node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockEstimate {
    /// In microseconds.
    pub(crate) offset_us: i64,
    /// How wrong that may be, in microseconds.
    pub(crate) error_us: u32,
}

/// Keeps the best estimate of one peercaster's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SourceClock {
    best: Option<(ClockEstimate, Time)>,
}

impl SourceClock {
    /// The peercaster's own: exact.
    pub(crate) fn own() -> Self {
        SourceClock {
            best: Some((
                ClockEstimate {
                    offset_us: 0,
                    error_us: 0,
                },
                Time::NEVER,
            )),
        }
    }

    /// The estimate at `now`, its bound grown by age.
    pub(crate) fn estimate(&self, now: Time) -> Option<ClockEstimate> {
        let (estimate, at) = self.best?;
        let age_us = now.as_micros().saturating_sub(at.as_micros());
        let drift = age_us.saturating_mul(DRIFT_PPM) / 1_000_000;
        let error_us = u64::from(estimate.error_us)
            .saturating_add(drift)
            .min(u64::from(u32::MAX)) as u32;
        Some(ClockEstimate { error_us, ..estimate })
    }

    /// Takes in what a neighbour said in its pong: its clock when it answered, and its estimate.
    pub(crate) fn observe(&mut self, now: Time, sent: Time, remote: Time, theirs: ClockEstimate) {
        let rtt = now.since(sent);
        if rtt > MAX_USEFUL_RTT || theirs.offset_us.unsigned_abs() > MAX_OFFSET_US {
            return;
        }
        let middle = sent + rtt / 2;
        let offset_us = remote
            .signed_micros_since(middle)
            .saturating_add(theirs.offset_us);
        if offset_us.unsigned_abs() > MAX_OFFSET_US {
            return;
        }
        let half_rtt = (rtt.as_micros() / 2) as u32;
        let fresh = ClockEstimate {
            offset_us,
            error_us: theirs.error_us.saturating_add(half_rtt),
        };
        if self
            .estimate(now)
            .is_none_or(|held| fresh.error_us < held.error_us)
        {
            self.best = Some((fresh, now));
        }
    }
}

/// Clocks further apart than this are not clocks: 300 years. Sums of offsets and delays then never overflow.
const MAX_OFFSET_US: u64 = 1 << 53;

/// A pong later than this says nothing about clocks that is worth keeping.
const MAX_USEFUL_RTT: Duration = Duration::from_secs(3);

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
