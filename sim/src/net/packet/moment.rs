//! Virtual time as QUIC wants it.

use std::time::Instant;

use wire::Time;

use crate::time::SimTime;

/// What [`Instant`] the run's start is taken for. Only differences count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin(Instant);

impl Origin {
    #[allow(
        clippy::disallowed_methods,
        reason = "there is no other way to make an Instant; what it shows never enters a run"
    )]
    pub(super) fn new() -> Self {
        Origin(Instant::now())
    }

    pub(super) fn at(self, now: SimTime) -> Moment {
        Moment {
            now,
            instant: self.0 + std::time::Duration::from_nanos(now.0),
        }
    }

    pub(super) fn when(self, instant: Instant) -> SimTime {
        let since = instant.saturating_duration_since(self.0);
        SimTime(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// An instant of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: SimTime,
    pub(super) instant: Instant,
}

impl Moment {
    /// On the network's own clock, which shows the time since the run's start.
    pub(super) fn time(self) -> Time {
        time_of(self.now)
    }
}

pub(super) fn time_of(at: SimTime) -> Time {
    Time::from_micros(at.0 / 1000)
}

/// Microseconds are whole, so an instant is reached within the next one.
pub(super) fn end_of(time: Time) -> SimTime {
    SimTime(time.as_micros().saturating_mul(1000).saturating_add(999))
}
