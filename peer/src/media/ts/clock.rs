//! The programme clock reference: how far the stream's own time has come.

use std::time::Duration;

use wire::Time;

use super::packet::CLOCK_HZ;
use crate::media::segmenter::Progress;

/// PCR counts modulo 2^33 ticks of 90 kHz.
const WRAP: u64 = (1 << 33) * 300;

/// A step forward of more than this beyond the time that really passed is a jump. ISO/IEC 13818-1 wants a reference
/// every 100 ms at least; ten times that leaves room for sloppy multiplexers and lost packets.
const FORWARD_MAX: Duration = Duration::from_secs(1);

/// A step backwards of more than this is a jump; a smaller one is packets that came in the wrong order.
const BACKWARD_MAX_TICKS: u64 = CLOCK_HZ / 10;

/// A clock that goes on through wraps and jumps of the PCR.
#[derive(Debug, Default)]
pub(in crate::media) struct Clock {
    latest: Option<Latest>,
    /// Ticks since the first reference, jumps left out.
    elapsed: u64,
    /// The latest step that was no jump: what a jump is taken to have lasted.
    step: u64,
}

#[derive(Debug)]
struct Latest {
    pcr: u64,
    read_at: Time,
    offset: u64,
}

impl Clock {
    /// Takes a reference read at `now` at `offset` of the input. Returns how far the clock jumped, if it did, in
    /// microseconds.
    pub(in crate::media) fn observe(&mut self, now: Time, offset: u64, pcr: u64) -> Option<i64> {
        let latest = self.latest.replace(Latest {
            pcr,
            read_at: now,
            offset,
        })?;
        let forward = (pcr % WRAP + WRAP - latest.pcr % WRAP) % WRAP;
        let backward = WRAP - forward;
        let limit = ticks(FORWARD_MAX + now.since(latest.read_at));
        if forward <= limit {
            self.elapsed += forward;
            self.step = forward;
            None
        } else if backward <= BACKWARD_MAX_TICKS {
            None
        } else {
            self.elapsed += self.step;
            // At most half the 26.5 hours of a wrap: fits in i64 by far.
            Some(if forward < backward {
                micros(forward) as i64
            } else {
                -(micros(backward) as i64)
            })
        }
    }

    /// Media time since the first reference.
    pub(in crate::media) fn elapsed(&self) -> Duration {
        Duration::from_micros(micros(self.elapsed))
    }

    /// Media time if the stream has a clock, else the time of reading. Only differences mean something.
    pub(super) fn media_time(&self, now: Time) -> Duration {
        match self.latest {
            Some(_) => self.elapsed(),
            None => now.since(Time::ZERO),
        }
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        let latest = self.latest.as_ref()?;
        Some(Progress {
            elapsed: self.elapsed(),
            offset: latest.offset,
        })
    }
}

fn micros(ticks: u64) -> u64 {
    ticks / (CLOCK_HZ / 1_000_000)
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_micros())
        .unwrap_or(u64::MAX)
        .saturating_mul(CLOCK_HZ / 1_000_000)
}
