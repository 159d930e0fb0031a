//! A playout buffer as players have it: wait a while at the start, then go on at that lag, pause for more when too much is missing, and
//! play a little faster while everything comes much too early.

use super::store::Store;
use super::{Act, Facts, Scene};
use crate::time::{MS, SimTime};

/// How a buffer is tuned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    /// Between the first chunk that a player can start with and playing it.
    pub(super) fill_ns: u64,
    /// How much longer the lag becomes when too much is missing.
    pub(super) step_ns: u64,
    /// How much earlier than it is played each chunk is to be there, for the lag to stay as it is.
    pub(super) spare_ns: u64,
    /// The longest lag: beyond it nobody would call it live.
    pub(super) most_ns: u64,
}

/// So many of [`RECENT`] chunks may be missing before the lag becomes longer.
const BEARABLE: u32 = 1;
/// Chunks over which what is missing is forgotten: two seconds of chunks of 8 ms.
const RECENT: u32 = 250;
/// After so many times [`RECENT`] chunks of which none was missing the lag may become shorter...
const CALM: u32 = 5;
/// ...by so much: ten seconds played 10 % faster, which is hardly noticed.
const FASTER_NS: u64 = 1000 * MS;

/// The playout of one peer.
#[derive(Debug)]
pub(super) struct Player {
    facts: Facts,
    tuning: Tuning,
    /// The chunk to begin with, and when.
    begin: Option<(usize, SimTime)>,
    playing: bool,
    next: usize,
    lag_ns: u64,
    /// Missing ones, and chunks since it was last forgotten.
    missing: u32,
    counted: u32,
    /// The least that a chunk came too early, and chunks, since the lag was changed or one was missing.
    spare_ns: u64,
    calm: u32,
    /// The time of chunks before this one has passed once already.
    late_before: usize,
}

impl Player {
    pub(super) fn new(facts: Facts, tuning: Tuning) -> Self {
        Player {
            facts,
            tuning,
            begin: None,
            playing: false,
            next: 0,
            lag_ns: 0,
            missing: 0,
            counted: 0,
            spare_ns: u64::MAX,
            calm: 0,
            late_before: 0,
        }
    }

    fn made(&self, index: usize) -> SimTime {
        SimTime(index as u64 * self.facts.chunk_ns)
    }

    /// Whether a group begins with this chunk.
    pub(super) fn is_start(&self, index: usize) -> bool {
        self.made(index).0 % self.facts.gop_ns < self.facts.chunk_ns
    }

    /// A chunk is here.
    pub(super) fn on_chunk(&mut self, now: SimTime, index: usize) {
        if self.playing {
            let spare_ns = self.made(index).plus(self.lag_ns).since(now);
            self.spare_ns = self.spare_ns.min(spare_ns);
            return;
        }
        if !self.is_start(index) {
            return;
        }
        if self.begin.is_none_or(|(begin, _)| index < begin) {
            let at = self.begin.map_or(now.plus(self.tuning.fill_ns), |(_, at)| at);
            self.begin = Some((index, at));
        }
    }

    /// The chunk that is to be played next, once it is known.
    pub(super) fn wanted(&self) -> Option<usize> {
        if self.playing {
            Some(self.next)
        } else {
            self.begin.map(|(index, _)| index)
        }
    }

    /// One more chunk is due.
    fn count(&mut self) {
        self.counted += 1;
        self.calm += 1;
        if self.counted >= RECENT {
            (self.counted, self.missing) = (0, 0);
        }
        if self.calm >= CALM * RECENT {
            if self.spare_ns < u64::MAX {
                let shorter_ns = self.spare_ns.saturating_sub(self.tuning.spare_ns);
                self.lag_ns -= shorter_ns.min(FASTER_NS);
            }
            (self.calm, self.spare_ns) = (0, u64::MAX);
        }
    }

    /// When a chunk is played as things stand.
    pub(super) fn time_of(&self, index: usize) -> Option<SimTime> {
        if self.playing {
            return Some(self.made(index).plus(self.lag_ns));
        }
        let (begin, at) = self.begin?;
        let lag_ns = at.since(self.made(begin));
        Some(self.made(index).plus(lag_ns))
    }

    pub(super) fn due(&self) -> Option<SimTime> {
        self.wanted().and_then(|next| self.time_of(next))
    }

    /// Plays what is due.
    pub(super) fn run(&mut self, store: &Store, scene: &mut Scene<'_>) {
        if let (false, Some((index, at))) = (self.playing, self.begin)
            && at <= scene.now
        {
            self.playing = true;
            self.next = index;
            self.lag_ns = scene.now.since(self.made(index));
        }
        while self.playing && self.made(self.next).plus(self.lag_ns) <= scene.now {
            self.count();
            if store.has(self.next) {
                let in_time = self.next >= self.late_before;
                scene.acts.push(Act::Play {
                    index: self.next,
                    in_time,
                });
                self.next += 1;
                continue;
            }
            self.missing += 1;
            (self.calm, self.spare_ns) = (0, u64::MAX);
            if self.missing > BEARABLE && self.lag_ns + self.tuning.step_ns <= self.tuning.most_ns {
                // A pause: this one may still come, too late.
                self.late_before = self.next + 1;
                self.lag_ns += self.tuning.step_ns;
                (self.counted, self.missing) = (0, 0);
                return;
            }
            scene.acts.push(Act::Gap {
                from: self.next,
                to: self.next + 1,
            });
            self.next += 1;
        }
    }
}

/// Buffers for chunks that are pushed: most that is late was lost and is sent again within a round trip or two.
pub(super) const PUSHED: Tuning = Tuning {
    fill_ns: 250 * MS,
    step_ns: 100 * MS,
    spare_ns: 50 * MS,
    most_ns: 5000 * MS,
};
