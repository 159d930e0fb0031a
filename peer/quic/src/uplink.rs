//! Finding out what the uplink carries, and whether it carries what somebody said.
//!
//! There is no server to measure against, and sending just to measure would take from the stream. So the live traffic is
//! the measurement.
//!
//! Where nobody said anything: while the node is allowed to send more and does, and no queue builds up, it is allowed still
//! more; when queues build up on most of what is sent at once, the uplink is what they have in common, and what is sent is
//! what it carries.
//!
//! What somebody said is where it begins and never passed. It is taken for wrong only when, for some seconds, nearly all that is
//! sent, to several peers, meets a queue, much of it is lost or waits for QUIC, and clearly less gets through than was said: then
//! what gets through is what the line carries. Delay or loss alone says nothing against it: a full queue before a line that carries
//! what was said, a radio link's loss, or one neighbour's slow line look like that, too. After a while it is tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::{Bitrate, PeerId, Time};

/// The rate at the start if nobody said one: what most fixed lines carry. Too high a guess makes the first seconds of a slow line late,
/// too low a one makes the first seconds of a fast line unused.
pub const ASSUMED: Bitrate = Bitrate::from_kbps(10_000);

/// It never falls below, unless less was said: what one substream copy and the control messages need.
const LEAST: Bitrate = Bitrate::from_kbps(500);

/// It never rises above if nobody said anything: nobody's uplink, and no arithmetic, is larger.
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

/// A path is behind when what waits for it takes longer than this at the rate at which it is sent. A line that carries what it is
/// given has next to nothing waiting; chunks wait some 60 ms at the most where only the window of one path is short.
const WAITING: Duration = Duration::from_millis(250);

/// The uplink is congested, or behind, when so much of what is sent goes over paths that are.
const MAJORITY: f64 = 0.6;

/// Before what was said is doubted, so much of what is sent must have met a queue: at a slow uplink that is everything, while at the
/// others the slow uplinks of those who acknowledge make 0.3 to 0.8 of it look so (packet level, half of the peers overstating).
const NEARLY_ALL: f64 = 0.9;

/// Fewer paths than this have something else in common than the uplink.
const SEVERAL: usize = 2;

/// A line that lets so much of the allowed rate through carries it: 2 % are kept free, a tenth may be lost elsewhere, and what is sent
/// varies from second to second.
const HOLDS: f64 = 0.85;

/// So many of the last looks must say the same before what was said is doubted. A machine that is busy elsewhere for a moment
/// leaves chunks waiting, too; and children who lack something take less for a while, so it need not be one look after the other.
const SURE: u32 = 3;
const OF_LOOKS: u32 = 5;

/// Step down, from the most that got through where that is less than was said: what is lost is known a round trip late, so it looks a
/// little more than it is.
const DOWN_TO: f64 = 0.9;

/// After it was found wrong, what was said is tried again after this time, twice as long after each time that it was wrong again, and
/// at most the second: each trial costs children their places.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST_PATIENCE: Duration = Duration::from_secs(480);

/// Between two steps of a trial: the slots that a step brings are taken within seconds, and `SURE` seconds more tell.
const STEP: Duration = Duration::from_secs(8);

/// Less than this in an interval says nothing.
const LEAST_SENT: u64 = 20_000;

/// One connection's path as QUIC sees it, counted from the connection's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathSample {
    /// Who is at the other end.
    pub peer: PeerId,
    /// Tells apart two connections of the same peer.
    pub connection: usize,
    /// Bytes sent, counted in IP packets.
    pub sent: u64,
    /// Of those, bytes lost.
    pub lost: u64,
    /// Bytes of chunks that wait for QUIC to take them, now.
    pub waiting: u64,
    /// The smoothed round trip.
    pub rtt: Duration,
    /// The shortest one ever.
    pub min_rtt: Duration,
}

/// See the module's description.
#[derive(Debug)]
pub struct UplinkEstimate {
    rate: Bitrate,
    looked_at: Option<Time>,
    quiet_until: Time,
    /// Sent and lost until now, for each connection.
    seen: BTreeMap<usize, (u64, u64)>,
    /// `None`: nobody said what the uplink carries.
    said: Option<Said>,
}

/// What somebody said that the uplink carries, and the doubts about that.
#[derive(Debug)]
struct Said {
    rate: Bitrate,
    /// The last looks, the latest in the lowest bit: set where less got through.
    short: u32,
    /// The most that got through at one of them.
    through: Bitrate,
    /// More is allowed from then on.
    retry_at: Time,
    patience: Duration,
}

/// What an interval showed.
#[derive(Debug, Default)]
struct Seen {
    seconds: f64,
    sent: u64,
    lost: u64,
    congested: u64,
    /// Bytes sent over paths with a queue, and how many paths that are.
    queued: u64,
    paths_queued: usize,
    /// Bytes sent over paths that are behind, and how many paths that are.
    behind: u64,
    paths_behind: usize,
}

impl Seen {
    fn rate_of(&self, bytes: u64) -> Bitrate {
        Bitrate::from_bps((bytes as f64 * 8.0 / self.seconds) as u64)
    }

    fn is_most(&self, bytes: u64) -> bool {
        bytes as f64 > MAJORITY * self.sent as f64
    }

    /// Whether most of it waits for QUIC.
    fn is_behind(&self) -> bool {
        self.paths_behind >= SEVERAL && self.is_most(self.behind)
    }

    /// Whether the uplink looks full.
    fn is_full(&self) -> bool {
        let queued = self.paths_queued >= SEVERAL && self.queued as f64 > NEARLY_ALL * self.sent as f64;
        queued && (self.lost as f64 > LOSS * self.sent as f64 || self.is_behind())
    }
}

impl UplinkEstimate {
    /// For an uplink of which somebody said that it carries `said`, or of which nothing is known.
    pub fn new(said: Option<Bitrate>) -> Self {
        UplinkEstimate {
            rate: said.unwrap_or(ASSUMED),
            looked_at: None,
            quiet_until: Time::ZERO,
            seen: BTreeMap::new(),
            said: said.map(|rate| Said {
                rate,
                short: 0,
                through: Bitrate::ZERO,
                retry_at: Time::ZERO,
                patience: PATIENCE,
            }),
        }
    }

    /// What may be sent, in bits of IP packets.
    pub fn rate(&self) -> Bitrate {
        self.rate
    }

    /// Whether it is time to look again.
    pub fn is_due(&self, now: Time) -> bool {
        self.looked_at.is_none_or(|at| now.since(at) >= INTERVAL)
    }

    /// Looks at what was sent since the last time. Returns the rate if it changed.
    pub fn update(&mut self, now: Time, paths: &[PathSample]) -> Option<Bitrate> {
        let seen = self.look(now, paths)?;
        if seen.seconds <= 0.0 || seen.sent < LEAST_SENT || now < self.quiet_until {
            return None;
        }
        let (next, down) = match &mut self.said {
            Some(said) => said.check(now, self.rate, &seen),
            None => find(self.rate, &seen),
        }?;
        if down {
            self.quiet_until = now + SETTLE;
        }
        let most = self.said.as_ref().map_or(MOST, |said| said.rate);
        let next = next.clamp(LEAST.min(most), most);
        let changed = next != self.rate;
        self.rate = next;
        changed.then_some(next)
    }

    /// Adds up what the paths sent since the last time; `None` at the first.
    fn look(&mut self, now: Time, paths: &[PathSample]) -> Option<Seen> {
        let before = std::mem::take(&mut self.seen);
        let since = self.looked_at.replace(now);
        let mut seen = Seen {
            seconds: since.map_or(0.0, |since| now.since(since).as_secs_f64()),
            ..Seen::default()
        };
        for path in paths {
            self.seen.insert(path.connection, (path.sent, path.lost));
            // A new connection is counted from the next time on.
            let Some((sent_before, lost_before)) = before.get(&path.connection) else {
                continue;
            };
            let sent = path.sent.saturating_sub(*sent_before);
            let lost = path.lost.saturating_sub(*lost_before);
            seen.sent += sent;
            seen.lost += lost;
            let queue = path.rtt.saturating_sub(path.min_rtt) > QUEUE;
            if queue && sent > 0 {
                seen.queued += sent;
                seen.paths_queued += 1;
            }
            if queue || lost as f64 > LOSS * sent as f64 {
                seen.congested += sent;
            }
            if path.waiting as f64 * seen.seconds > WAITING.as_secs_f64() * sent as f64 {
                seen.behind += sent;
                seen.paths_behind += 1;
            }
        }
        since.map(|_| seen)
    }
}

/// The next rate where nobody said one, and whether it is a step down.
fn find(rate: Bitrate, seen: &Seen) -> Option<(Bitrate, bool)> {
    let used = seen.rate_of(seen.sent);
    if seen.is_behind() || seen.is_most(seen.congested) {
        Some((used.scaled(FALL).min(rate), true))
    } else if used >= rate.scaled(USED) {
        Some((rate.scaled(RISE), false))
    } else {
        None
    }
}

impl Said {
    /// The next rate, and whether it is a step down.
    fn check(&mut self, now: Time, rate: Bitrate, seen: &Seen) -> Option<(Bitrate, bool)> {
        let through = seen.rate_of(seen.sent.saturating_sub(seen.lost));
        let holds = through >= rate.scaled(HOLDS);
        let short = !holds && seen.is_full();
        self.short = (self.short << 1 | u32::from(short)) & ((1 << OF_LOOKS) - 1);
        if self.short == 0 {
            self.through = Bitrate::ZERO;
        } else if short {
            self.through = self.through.max(through);
        }
        if self.short.count_ones() >= SURE {
            let carries = std::mem::replace(&mut self.through, Bitrate::ZERO);
            self.short = 0;
            self.retry_at = now + self.patience;
            self.patience = (2 * self.patience).min(MOST_PATIENCE);
            return Some((carries.scaled(DOWN_TO), true));
        }
        if self.short != 0 {
            return None;
        }
        if rate == self.rate {
            if holds {
                self.patience = PATIENCE;
            }
            return None;
        }
        if now < self.retry_at {
            return None;
        }
        self.retry_at = now + STEP;
        Some((rate.scaled(RISE), false))
    }
}

#[cfg(test)]
mod tests;
