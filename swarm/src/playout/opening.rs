//! The first moments of playout: what was missing when it began and may still come in time.
//!
//! A player that begins with a key frame shows what follows at the stream's own pace. What it is given sooner waits in its buffer. So a
//! chunk is needed as long after the beginning as it was generated after the key frame, however far behind the schedule that is, and
//! playout need not wait until the last of a hundred chunks of the past is here.

use wire::Time;

/// Playout has begun, and has not come to what is due by the schedule yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// When the player needs a chunk (this node's clock) minus its generation time (the peercaster's), in microseconds.
    behind_us: i64,
}

impl Opening {
    /// Begins at `now` with a key frame that was generated at `key_frame`.
    pub(super) fn begin(now: Time, key_frame: Time) -> Self {
        Opening {
            behind_us: now.signed_micros_since(key_frame),
        }
    }

    /// When the player needs a chunk that was generated at `at`.
    pub(super) fn needed(self, at: Time) -> Time {
        at.offset_by(self.behind_us)
    }
}
