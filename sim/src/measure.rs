//! What a run is judged by: true lags on the virtual clock, never what a node says of itself.

mod distribution;
mod peer_log;
mod result;
mod start;

pub use distribution::Distribution;
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

/// When each chunk's first byte was read, by its index from the first.
#[derive(Debug, Default)]
pub(crate) struct ChunkLog {
    first: Option<Seq>,
    generated: Vec<SimTime>,
}

impl ChunkLog {
    /// The peercaster numbered its chunks from here.
    pub(crate) fn begin(&mut self, first: Seq) {
        self.first = Some(first);
    }

    pub(crate) fn push(&mut self, generated: SimTime) {
        self.generated.push(generated);
    }

    /// The first chunk's number.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.first
    }

    /// The number of the chunk with this index.
    pub(crate) fn seq(&self, index: usize) -> Seq {
        self.first.unwrap_or(Seq(0)).plus(index as u64)
    }

    /// The index of the newest.
    pub(crate) fn newest(&self) -> Option<usize> {
        self.generated.len().checked_sub(1)
    }

    /// How many chunks come before this number; `None` for one below the first.
    pub(crate) fn index(&self, seq: Seq) -> Option<usize> {
        usize::try_from(seq.0.checked_sub(self.first?.0)?).ok()
    }

    /// Index and time of generation; `None` for a number that was never given.
    pub(crate) fn find(&self, seq: Seq) -> Option<(usize, SimTime)> {
        let index = self.index(seq)?;
        Some((index, *self.generated.get(index)?))
    }

    pub(crate) fn generated(&self, index: usize) -> SimTime {
        self.generated[index]
    }

    /// The first chunk generated at `at` or later.
    pub(crate) fn first_since(&self, at: SimTime) -> usize {
        self.generated.partition_point(|g| *g < at)
    }
}
