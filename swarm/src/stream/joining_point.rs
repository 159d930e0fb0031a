//! Where a newcomer begins: with the newest key frame, or with the next one.

use std::time::Duration;

use wire::Seq;
use wire::message::JoinAnswer;

use super::Stream;

/// The next key frame is the sooner start if it comes this soon after the answer. The first live chunks flow about as long after it as
/// playout is behind live, so what begins with the present key frame can be shown then, if the past is here (docs/results/swarm.md, "The
/// last chunks of the past").
const SOON: Duration = Duration::from_millis(150);

/// A key frame longer ago than this takes longer...
const LONG_AGO: Duration = Duration::from_secs(1);

/// ...because a joiner gets the past so much faster than live: what peers with a third of their slots free gave in the simulator.
const SPARE_RATE: f64 = 3.0;

/// The next key frame may come sooner than the last two lay apart, by one part in so many: encoders of a constant rate put
/// them into their buffer when there is room.
const EARLIER: u64 = 4;

/// A joiner never asks for more chunks of the past than this: 8 s of the default stream.
const MAX_PAST: u64 = 1_000;

impl Stream {
    /// The oldest chunk a joiner wants: the newest one that a player can start with, unless the next one is the sooner
    /// start; and where playout will begin, then.
    pub(super) fn joining_point(&self, answer: &JoinAnswer) -> (Seq, Seq) {
        let live = answer.head.plus(1);
        let Some(point) = answer
            .random_access
            .filter(|&point| self.playout.is_some() && point <= answer.head)
        else {
            return (live, live);
        };
        let chunk = self.chunk_duration();
        let age = chunk * u32::try_from(point.behind(live)).unwrap_or(u32::MAX);
        let every = answer
            .random_access_every_ms
            .map(|ms| Duration::from_millis(u64::from(ms)));
        let by_the_past = SOON + age.saturating_sub(LONG_AGO).div_f64(SPARE_RATE);
        match every {
            Some(every) if every.saturating_sub(age) <= by_the_past => {
                let chunks = every.as_micros() / chunk.as_micros().max(1);
                let next = point.plus(u64::try_from(chunks).unwrap_or(0));
                let sooner = u64::try_from(chunks).unwrap_or(0) / EARLIER;
                (live, live.max(Seq(next.0.saturating_sub(sooner))))
            }
            _ if point.behind(live) > MAX_PAST => (live, live),
            _ => (point, point),
        }
    }
}
