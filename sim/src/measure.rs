//! What a run is judged by: true lags on the virtual clock, never what a node says of itself.

mod distance;
mod distribution;
mod group;
mod peer_log;
mod result;
mod start;

pub use distance::Band;
pub(crate) use distance::bands;
pub use distribution::Distribution;
pub use group::{Group, Groups};
pub use result::{ClockError, Continuity, HopCount, InTime, PeerRow, Results, RoleResult};
pub use start::{Stages, Start};

pub(crate) use distribution::Histogram;
pub(crate) use peer_log::{PeerLog, Role, Violation};
pub(crate) use result::{DEADLINES_MS, Facts, MUST_HAVE_STARTED_NS, continuity_of, summarise};
pub(crate) use start::StartLog;

use wire::Seq;

use crate::time::SimTime;

/// The window of measurement: chunks generated within it count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: SimTime,
    pub(crate) to: SimTime,
}

impl Window {
    pub(crate) fn contains(&self, at: SimTime) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// When each chunk's first byte was read, by its index from the first. Numbers have gaps where the peercaster was away; indices have
/// none.
#[derive(Debug, Default)]
pub(crate) struct ChunkLog {
    /// The first number of each session, with its index.
    sessions: Vec<(Seq, usize)>,
    generated: Vec<SimTime>,
}

impl ChunkLog {
    /// The peercaster numbers its chunks from here.
    pub(crate) fn begin(&mut self, first: Seq) {
        self.sessions.push((first, self.generated.len()));
    }

    pub(crate) fn push(&mut self, generated: SimTime) {
        self.generated.push(generated);
    }

    /// The first number of the session.
    pub(crate) fn session(&self) -> Option<Seq> {
        self.sessions.last().map(|(first, _)| *first)
    }

    /// The number of the chunk with this index.
    pub(crate) fn seq(&self, index: usize) -> Seq {
        let session = self.sessions.iter().rev().find(|(_, from)| *from <= index);
        session.map_or(Seq(0), |(first, from)| first.plus((index - from) as u64))
    }

    /// The index of the newest.
    pub(crate) fn newest(&self) -> Option<usize> {
        self.generated.len().checked_sub(1)
    }

    /// The session of a number, its first index, and that of the next one.
    fn session_of(&self, seq: Seq) -> Option<(Seq, usize, Option<usize>)> {
        let next = self.sessions.partition_point(|(first, _)| *first <= seq);
        let (first, from) = *self.sessions.get(next.checked_sub(1)?)?;
        Some((first, from, self.sessions.get(next).map(|(_, from)| *from)))
    }

    /// How many chunks come before this number; `None` for one below the first.
    pub(crate) fn index(&self, seq: Seq) -> Option<usize> {
        let (first, from, next) = self.session_of(seq)?;
        let index = from + usize::try_from(seq.0 - first.0).ok()?;
        Some(next.map_or(index, |next| index.min(next)))
    }

    /// Index and time of generation; `None` for a number that was never given.
    pub(crate) fn find(&self, seq: Seq) -> Option<(usize, SimTime)> {
        let (first, from, next) = self.session_of(seq)?;
        let index = from + usize::try_from(seq.0 - first.0).ok()?;
        let given = next.is_none_or(|next| index < next);
        Some((index, *self.generated.get(index).filter(|_| given)?))
    }

    pub(crate) fn generated(&self, index: usize) -> SimTime {
        self.generated[index]
    }

    /// The first chunk generated at `at` or later.
    pub(crate) fn first_since(&self, at: SimTime) -> usize {
        self.generated.partition_point(|g| *g < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_were_never_given_lie_between_sessions() {
        let mut log = ChunkLog::default();
        assert_eq!(log.index(Seq(7)), None);
        log.begin(Seq(100));
        (0..3).for_each(|n| log.push(SimTime(n)));
        log.begin(Seq(1000));
        (50..52).for_each(|n| log.push(SimTime(n)));
        let found: Vec<_> = [99, 100, 102, 103, 999, 1000, 1001, 1002]
            .map(|n| log.find(Seq(n)))
            .to_vec();
        let at = |index, ns| Some((index, SimTime(ns)));
        assert_eq!(
            found,
            [None, at(0, 0), at(2, 2), None, None, at(3, 50), at(4, 51), None]
        );
        assert_eq!(
            [99, 103, 999, 1000, 1002].map(|n| log.index(Seq(n))),
            [None, Some(3), Some(3), Some(3), Some(5)]
        );
        assert_eq!([0, 2, 3, 4].map(|index| log.seq(index).0), [100, 102, 1000, 1001]);
        assert_eq!(log.session(), Some(Seq(1000)));
    }
}
