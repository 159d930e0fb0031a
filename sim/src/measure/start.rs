//! Where the time of a start went: when each thing that playout waits for was there.

use serde::{Deserialize, Serialize};
use wire::{Substream, SubstreamSet};

use super::{ChunkLog, Distribution, PeerLog};
use crate::time::{MS, SimTime};

/// A consumer's way from joining to its first output, as seen from outside.
#[derive(Debug, Default)]
pub(crate) struct StartLog {
    /// A tracker answered.
    answered: Option<SimTime>,
    /// Substreams that somebody agreed to supply, and since when they are all.
    agreed: SubstreamSet,
    supplied: Option<SimTime>,
    /// Substreams of which a chunk came that was made after joining, and since when they are all.
    seen: SubstreamSet,
    flowing: Option<SimTime>,
    /// Requests for a substream that were declined.
    refused: u32,
}

impl StartLog {
    pub(crate) fn on_answer(&mut self, now: SimTime) {
        self.answered.get_or_insert(now);
    }

    pub(crate) fn on_agreed(&mut self, now: SimTime, substreams: SubstreamSet, of: u8) {
        self.agreed = self.agreed.or(substreams);
        if self.agreed.and(SubstreamSet::all(of)) == SubstreamSet::all(of) {
            self.supplied.get_or_insert(now);
        }
    }

    pub(crate) fn on_refused(&mut self, substreams: SubstreamSet) {
        self.refused += substreams.len();
    }

    /// A chunk came that was made after joining.
    pub(crate) fn on_live(&mut self, now: SimTime, substream: Substream, of: u8) {
        if self.flowing.is_some() {
            return;
        }
        self.seen.insert(substream);
        if self.seen == SubstreamSet::all(of) {
            self.flowing = Some(now);
        }
    }
}

/// When a consumer had what, in milliseconds from its joining. Each is at least the one before, so that the differences
/// add up to the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// A tracker had answered.
    pub answered_ms: f64,
    /// Each substream had a supplier that agreed.
    pub supplied_ms: f64,
    /// Of each substream a chunk had come that was made after joining.
    pub flowing_ms: f64,
    /// The key frame with which playout began, and all that was handed over at once with it, had come.
    pub complete_ms: f64,
    /// Playout began.
    pub started_ms: f64,
    /// How long after joining the key frame was made with which playout began; negative: before.
    pub key_frame_ms: f64,
    /// Substreams that were asked for in vain until then, counted once each time.
    pub refused: u32,
}

/// The stages of a start over all consumers that began to play, in milliseconds: how long each lasted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// Until a tracker answered.
    pub answer: Distribution,
    /// From there until each substream had a supplier that agreed.
    pub suppliers: Distribution,
    /// From there until chunks of all substreams flowed.
    pub flow: Distribution,
    /// From there until all was here that was handed over first, from the key frame on: what had to be fetched, and the
    /// key frame if it was yet to be made.
    pub past: Distribution,
    /// From there until playout began: the delay that it keeps for late chunks, mostly.
    pub margin: Distribution,
    /// Substreams asked for in vain, by each consumer.
    pub refused: Distribution,
}

impl PeerLog {
    /// Where the time of its start went. `None` if it has not begun to play.
    pub(crate) fn start(&self, chunks: &ChunkLog) -> Option<Start> {
        let started = self.started?;
        let in_ms = |at: SimTime| (at.0 as f64 - self.joined.0 as f64) / MS as f64;
        let started_ms = in_ms(started);
        let until = |at: Option<SimTime>, from: f64| at.map_or(started_ms, in_ms).clamp(from, started_ms);
        let answered_ms = until(self.start.answered, 0.0);
        let supplied_ms = until(self.start.supplied, answered_ms);
        let flowing_ms = until(self.start.flowing, supplied_ms);
        let arrived_ms = |index: usize| {
            let lag = self.arrival_ms(index)?;
            Some(in_ms(chunks.generated(index)) + lag)
        };
        let complete_ms = (self.first_played..self.first_burst_end)
            .filter_map(arrived_ms)
            .fold(flowing_ms, f64::max)
            .min(started_ms);
        Some(Start {
            answered_ms,
            supplied_ms,
            flowing_ms,
            complete_ms,
            started_ms,
            key_frame_ms: in_ms(chunks.generated(self.first_played)),
            refused: self.start.refused,
        })
    }
}

impl Stages {
    pub(crate) fn of(starts: &[Start]) -> Self {
        let over = |figure: fn(&Start) -> f64| Distribution::of(starts.iter().map(figure).collect());
        Stages {
            answer: over(|s| s.answered_ms),
            suppliers: over(|s| s.supplied_ms - s.answered_ms),
            flow: over(|s| s.flowing_ms - s.supplied_ms),
            past: over(|s| s.complete_ms - s.flowing_ms),
            margin: over(|s| s.started_ms - s.complete_ms),
            refused: over(|s| f64::from(s.refused)),
        }
    }
}
