//! The lab's clock: real time, which is all there is for real programs.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    /// The same instant as Unix time, for what the programs write.
    unix_ms: f64,
}

impl Clock {
    #[allow(clippy::disallowed_methods)] // Real programs run in real time.
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock {
            began: Instant::now(),
            unix_ms: unix.as_secs_f64() * 1e3,
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub(crate) fn unix_ms(&self, ns: u64) -> f64 {
        self.unix_ms + ns as f64 / 1e6
    }
}
