//! How much of what waits for a peer QUIC gets, in which order it sends that, and what the node hears of the rest.
//!
//! QUIC gets only what its congestion window lets out about now; the rest waits in our queue, where a live chunk can
//! still pass a bulk one and an expired one can still be dropped.

use std::time::{Duration, Instant};

use swarm::Class;

/// The longest that chunks should wait for one peer: the bound of its queue at the rate that the path takes. As long as the
/// node's own queue of live copies may get: what waits longer would arrive later than a repair from somebody who has room.
/// With 60 ms a machine that was busy elsewhere for a moment lost chunks from 1.2 Gbit/s on.
const MAX_WAIT: Duration = Duration::from_millis(150);

/// What QUIC gets beyond its window at the least, so that the window is what limits it.
const MIN_AHEAD: u64 = 4 * 1024;

/// The node is told of a backlog at most this often.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);

/// It is not told of changes smaller than these, nor than an eighth.
const REPORT_BYTES: usize = 8 * 1024;
const REPORT_RTT: Duration = Duration::from_millis(2);

/// The control stream goes before all chunks.
pub const CONTROL_PRIORITY: i32 = 100;

/// A chunk's stream: below the control stream; live before repair before bulk.
pub fn priority(class: Class) -> i32 {
    match class {
        Class::Control | Class::Live => 2,
        Class::Repair => 1,
        Class::Bulk => 0,
    }
}

/// Bytes that QUIC may hold and that are not acknowledged yet, with this congestion window.
pub fn ahead_of(window: u64) -> u64 {
    window + (window / 8).max(MIN_AHEAD)
}

/// Bytes of chunks that may wait for a peer whose path has this window and round trip.
pub fn room_for_chunks(window: u64, rtt: Duration) -> u64 {
    (window as f64 * MAX_WAIT.as_secs_f64() / rtt.as_secs_f64().max(1e-4)) as u64
}

/// Decides when the node is told of the backlog.
#[derive(Debug, Default)]
pub struct Reporter {
    last: Option<(Instant, usize, Duration)>,
}

impl Reporter {
    /// When the present values are to be told; `None` if they are near enough to those told last.
    pub fn due(&self, now: Instant, queued: usize, rtt: Duration) -> Option<Instant> {
        let Some((at, told, told_rtt)) = self.last else {
            return Some(now);
        };
        let emptied = queued == 0 && told != 0;
        let changed = queued.abs_diff(told) > REPORT_BYTES.max(told / 8);
        let rtt_changed = rtt.abs_diff(told_rtt) > REPORT_RTT.max(told_rtt / 8);
        (emptied || changed || rtt_changed).then_some(at + REPORT_INTERVAL)
    }

    /// These were told.
    pub fn reported(&mut self, now: Instant, queued: usize, rtt: Duration) {
        self.last = Some((now, queued, rtt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "some instant to count from")]
    fn only_changes_that_matter_are_told_and_not_too_often() {
        let start = Instant::now();
        let mut reporter = Reporter::default();
        assert_eq!(
            reporter.due(start, 0, ms(40)),
            Some(start),
            "the first is told at once"
        );
        reporter.reported(start, 0, ms(40));
        let at = start + ms(10);
        assert_eq!(reporter.due(at, 0, ms(40)), None);
        assert_eq!(reporter.due(at, 1000, ms(43)), None);
        assert_eq!(reporter.due(at, 20_000, ms(40)), Some(start + REPORT_INTERVAL));
        assert_eq!(reporter.due(at, 0, ms(60)), Some(start + REPORT_INTERVAL));
        reporter.reported(at, 20_000, ms(40));
        assert_eq!(reporter.due(at, 0, ms(40)), Some(at + REPORT_INTERVAL), "emptied");
        assert_eq!(reporter.due(at, 15_000, ms(40)), None);
    }

    #[test]
    fn the_room_for_chunks_follows_the_path() {
        // 64 KiB a round trip of 64 ms are 1 MiB a second.
        assert_eq!(room_for_chunks(64 * 1024, ms(64)), 153_600);
    }
}
