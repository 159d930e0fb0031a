//! Finding out what the uplink carries, for those who did not say.
//!
//! There is no server to measure against, and sending just to measure would take from the stream. So the live traffic is
//! the measurement: while the node is allowed to send more and does, and no queue builds up, it is allowed still more;
//! when queues build up on most of what is sent at once, the uplink is what they have in common, and what is sent is
//! what it carries.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::{Bitrate, Time};

use crate::net::PathSample;

/// The rate at the start: what most fixed lines carry. Too high a guess makes the first seconds of a slow line late,
/// too low a one makes the first seconds of a fast line unused.
pub(super) const ASSUMED: Bitrate = Bitrate::from_kbps(10_000);

/// It never falls below: what one substream copy and the control messages need.
const LEAST: Bitrate = Bitrate::from_kbps(500);

/// It never rises above: nobody's uplink, and no arithmetic, is larger.
const MOST: Bitrate = Bitrate::from_kbps(10_000_000);

/// How often it looks. Shorter, and the burst of a key frame looks like a rate.
const INTERVAL: Duration = Duration::from_secs(1);

/// After a step down the queues need this long to empty before they say something again.
const SETTLE: Duration = Duration::from_secs(3);

/// The share of the allowed rate that must be used before more is allowed.
const USED: f64 = 0.7;

/// Step up.
const RISE: f64 = 1.25;

/// Step down, from what was sent: it leaves room to empty the queue.
const FALL: f64 = 0.85;

/// A path is congested when its round trip is longer than its shortest by this, or when it loses this share.
const QUEUE: Duration = Duration::from_millis(50);
const LOSS: f64 = 0.08;

/// The uplink is congested when so much of what is sent goes over congested paths.
const MAJORITY: f64 = 0.6;

/// Less than this in an interval says nothing.
const LEAST_SENT: u64 = 20_000;

/// See the module's description.
#[derive(Debug)]
pub(super) struct UplinkEstimate {
    rate: Bitrate,
    looked_at: Option<Time>,
    quiet_until: Time,
    /// Sent and lost until now, for each connection.
    seen: BTreeMap<usize, (u64, u64)>,
}

impl UplinkEstimate {
    pub(super) fn new() -> Self {
        UplinkEstimate {
            rate: ASSUMED,
            looked_at: None,
            quiet_until: Time::ZERO,
            seen: BTreeMap::new(),
        }
    }

    /// Whether it is time to look again.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.looked_at.is_none_or(|at| now.since(at) >= INTERVAL)
    }

    /// Looks at what was sent since the last time. Returns the rate if it changed.
    pub(super) fn update(&mut self, now: Time, paths: &[PathSample]) -> Option<Bitrate> {
        let before = std::mem::take(&mut self.seen);
        let (mut sent, mut congested) = (0u64, 0u64);
        for path in paths {
            self.seen.insert(path.connection, (path.sent, path.lost));
            // A new connection is counted from the next time on.
            let Some((sent_before, lost_before)) = before.get(&path.connection) else {
                continue;
            };
            let path_sent = path.sent.saturating_sub(*sent_before);
            let path_lost = path.lost.saturating_sub(*lost_before);
            sent += path_sent;
            let queue = path.rtt.saturating_sub(path.min_rtt) > QUEUE;
            if queue || path_lost as f64 > LOSS * path_sent as f64 {
                congested += path_sent;
            }
        }
        let since = self.looked_at.replace(now)?;
        let seconds = now.since(since).as_secs_f64();
        if seconds <= 0.0 || sent < LEAST_SENT || now < self.quiet_until {
            return None;
        }
        let used = Bitrate::from_bps((sent as f64 * 8.0 / seconds) as u64);
        let next = if congested as f64 > MAJORITY * sent as f64 {
            self.quiet_until = now + SETTLE;
            used.scaled(FALL).min(self.rate)
        } else if used >= self.rate.scaled(USED) {
            self.rate.scaled(RISE)
        } else {
            return None;
        };
        let next = next.clamp(LEAST, MOST);
        let changed = next != self.rate;
        self.rate = next;
        changed.then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use wire::PeerId;

    use super::*;

    /// An uplink with a queue, and a node that sends what it is allowed to four neighbours.
    struct Line {
        carries: f64,
        queue_s: f64,
        sent: [u64; 4],
        now: Time,
        estimate: UplinkEstimate,
    }

    impl Line {
        fn new(carries: Bitrate) -> Self {
            Line {
                carries: carries.as_bps() as f64 / 8.0,
                queue_s: 0.0,
                sent: [0; 4],
                now: Time::from_millis(1_000_000),
                estimate: UplinkEstimate::new(),
            }
        }

        fn second(&mut self, demand: Bitrate, elsewhere: Option<usize>) {
            let offered = self.estimate.rate.min(demand).as_bps() as f64 / 8.0;
            self.queue_s = (self.queue_s + offered / self.carries - 1.0).clamp(0.0, 1.0);
            let carried = offered.min(self.carries);
            let mut paths = Vec::new();
            for (n, sent) in self.sent.iter_mut().enumerate() {
                *sent += (carried / 4.0) as u64;
                let min_rtt = Duration::from_millis(30);
                let queue = if elsewhere == Some(n) { 0.4 } else { self.queue_s };
                paths.push(PathSample {
                    peer: PeerId::from_bytes([n as u8; 32]),
                    connection: n,
                    sent: *sent,
                    lost: 0,
                    rtt: min_rtt + Duration::from_secs_f64(queue),
                    min_rtt,
                });
            }
            self.now += INTERVAL;
            self.estimate.update(self.now, &paths);
        }

        fn rate(&self) -> f64 {
            self.estimate.rate.as_bps() as f64 / 1e6
        }
    }

    #[test]
    fn it_finds_a_slow_and_a_fast_line() {
        for mbit in [2, 8, 40, 300] {
            let mut line = Line::new(Bitrate::from_kbps(mbit * 1000));
            for _ in 0..40 {
                line.second(MOST, None);
            }
            let mut mean = 0.0;
            for _ in 0..40 {
                line.second(MOST, None);
                mean += line.rate() / 40.0;
            }
            let carries = mbit as f64;
            assert!(
                mean > 0.7 * carries && mean < 1.15 * carries,
                "{mean} of {carries}"
            );
        }
    }

    #[test]
    fn it_does_not_grow_while_it_is_not_used() {
        let mut line = Line::new(Bitrate::from_kbps(100_000));
        for _ in 0..60 {
            line.second(Bitrate::from_kbps(3_000), None);
        }
        assert_eq!(line.estimate.rate, ASSUMED);
    }

    #[test]
    fn one_congested_neighbour_is_not_the_uplink() {
        let mut line = Line::new(Bitrate::from_kbps(100_000));
        for _ in 0..20 {
            line.second(Bitrate::from_kbps(9_000), Some(2));
        }
        assert!(line.estimate.rate >= ASSUMED);
    }
}
