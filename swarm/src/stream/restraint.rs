//! The peercaster's restraint: how many children it does without while its copies queue.
//!
//! In a crowd handshakes, answers and promises take a third of its uplink, sooner than their mean tells, and a queue here is a
//! queue for everybody: with 110 joining a second its first copies left 600 ms late for as long as the crowd came.

use std::time::Duration;

use wire::Time;

/// Its copies wait so long before it has too many children.
const QUEUED: Duration = Duration::from_millis(30);

/// A queue that gets shorter by so much from one look to the next is on its way out.
const DRAINED: Duration = Duration::from_millis(10);

/// So many children fewer with each look, of which there are twenty a second.
const GIVEN_UP: u16 = 2;

/// One of them more again after so long without a queue.
const REGAINED_EVERY: Duration = Duration::from_millis(100);

/// What has been given up.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    slots: u16,
    /// The queue at the last look.
    queued: Duration,
    next_regained: Time,
}

impl Restraint {
    /// Slots to do without from now on, of so many: `queued` is what a copy would wait for now.
    pub(super) fn look(&mut self, now: Time, queued: Duration, of: u16) -> u16 {
        let before = std::mem::replace(&mut self.queued, queued);
        if queued > QUEUED {
            if queued + DRAINED > before {
                self.slots = (self.slots + GIVEN_UP).min(of / 2);
            }
            self.next_regained = now + REGAINED_EVERY;
        } else if self.next_regained <= now {
            self.slots = self.slots.saturating_sub(1);
            self.next_regained = now + REGAINED_EVERY;
        }
        self.slots
    }
}

#[cfg(test)]
#[path = "restraint_tests.rs"]
mod tests;
