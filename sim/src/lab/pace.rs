//! Waits for the instants of a run, under the eyes of the user.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::{LabError, LabProgress, wait};
use crate::time::SimTime;

/// Between two looks at the user.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks at the programs, and reports of progress.
const REPORT_NS: u64 = 250_000_000;

/// A run's time.
pub(super) struct Pace<'a> {
    pub(super) clock: Clock,
    /// When it began.
    pub(super) began_ns: u64,
    /// How long it is.
    pub(super) end: SimTime,
    pub(super) interrupted: &'a AtomicBool,
    progress: &'a mut dyn FnMut(LabProgress),
    reported_ns: u64,
}

impl<'a> Pace<'a> {
    /// It begins now.
    pub(super) fn begin(
        clock: Clock,
        end: SimTime,
        interrupted: &'a AtomicBool,
        progress: &'a mut dyn FnMut(LabProgress),
    ) -> Self {
        Pace {
            clock,
            began_ns: clock.now_ns(),
            end,
            interrupted,
            progress,
            reported_ns: 0,
        }
    }

    /// Returns at this instant. Meanwhile `look` looks at the programs now and then, and says how many viewers and donors there
    /// are.
    pub(super) fn wait_until(
        &mut self,
        at: SimTime,
        mut look: impl FnMut(u64) -> Result<usize, LabError>,
    ) -> Result<(), LabError> {
        loop {
            if self.interrupted.load(Ordering::SeqCst) {
                return Err(LabError::Interrupted);
            }
            let now_ns = self.clock.now_ns();
            if now_ns >= self.reported_ns + REPORT_NS {
                self.reported_ns = now_ns;
                let running = look(now_ns)?;
                (self.progress)(LabProgress {
                    done_s: SimTime(now_ns - self.began_ns).as_seconds(),
                    of_s: self.end.as_seconds(),
                    running,
                });
            }
            let passed = self.clock.now_ns() - self.began_ns;
            match at.0.checked_sub(passed) {
                None | Some(0) => return Ok(()),
                Some(left) => wait(Duration::from_nanos(left).min(LOOK)),
            }
        }
    }
}
