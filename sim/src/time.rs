//! Virtual time and the peers' own clocks.

use wire::Time;

/// An instant of a run: nanoseconds since its start. Finer than the protocol's microseconds, so that the time a packet
/// takes on a fast link is not rounded away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SimTime(pub(crate) u64);

/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of so many milliseconds; the scenario's check keeps them finite and not negative.
pub(crate) fn ms(value: f64) -> u64 {
    (value * MS as f64) as u64
}

/// Nanoseconds of so many seconds.
pub(crate) fn seconds(value: f64) -> u64 {
    (value * SECOND as f64) as u64
}

impl SimTime {
    pub(crate) const START: SimTime = SimTime(0);

    pub(crate) const fn plus(self, ns: u64) -> SimTime {
        SimTime(self.0.saturating_add(ns))
    }

    /// Nanoseconds since `earlier`, zero if that is later.
    pub(crate) const fn since(self, earlier: SimTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn as_seconds(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }
}

/// What every clock shows at the start of a run, before its own offset: some plausible Unix time (2027), because
/// sequence numbers begin at the peercaster's.
const EPOCH_US: u64 = 1_800_000_000_000_000;

/// A peer's clock: off by a constant, as real ones are by seconds to minutes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// How far it is ahead, in microseconds.
    pub(crate) offset_us: i64,
}

impl Clock {
    /// What it shows at `now`.
    pub(crate) const fn read(self, now: SimTime) -> Time {
        Time::from_micros((EPOCH_US + now.0 / 1000).saturating_add_signed(self.offset_us))
    }

    /// The last instant at which it shows no more than `local`.
    pub(crate) const fn until(self, local: Time) -> SimTime {
        self.when(local).plus(999)
    }

    /// The first instant at which it shows `local`; the run's start if that was before.
    pub(crate) const fn when(self, local: Time) -> SimTime {
        let us = local
            .as_micros()
            .saturating_add_signed(self.offset_us.saturating_neg())
            .saturating_sub(EPOCH_US);
        SimTime(us.saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_reads_back() {
        for offset_us in [-300_000_000, 0, 7, 300_000_000] {
            let clock = Clock { offset_us };
            let at = SimTime(12_345_678_000);
            assert_eq!(clock.when(clock.read(at)), at);
            // A deadline is never found early: at that instant the clock shows it.
            let deadline = clock.read(at).offset_by(1);
            assert!(clock.read(clock.when(deadline)) >= deadline);
            let last = clock.until(deadline);
            assert_eq!(
                (clock.read(last), clock.read(last.plus(1))),
                (deadline, deadline.offset_by(1))
            );
        }
        assert_eq!(Clock::default().when(Time::ZERO), SimTime::START);
        assert_eq!(Clock::default().when(Time::NEVER).0, u64::MAX);
    }
}
