//! The node's clock: Unix time read once, then only the monotonic clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use wire::Time;

/// Turns the monotonic clock into [`Time`]. A step of the system's clock while the program runs (NTP, a user) must not
/// look like lag, so the wall clock is read once.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_at: Time,
}

impl Clock {
    /// A clock that starts from the system's idea of now; the Unix epoch if the system's clock is before it.
    pub fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Clock {
            started: Instant::now(),
            started_at: Time::ZERO + unix,
        }
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.time_of(Instant::now())
    }

    /// An instant of the monotonic clock; instants before the start count as the start.
    pub fn time_of(&self, instant: Instant) -> Time {
        self.started_at + instant.saturating_duration_since(self.started)
    }

    /// The monotonic clock's instant at `time`; `None` when it is too far off to be waited for.
    pub fn instant_of(&self, time: Time) -> Option<Instant> {
        self.started.checked_add(time.since(self.started_at))
    }
}
