//! Chunks that a sender of all of them has left out, asked for again: what TCP or QUIC would do for a push.

use std::collections::BTreeMap;

use super::store::Store;
use super::{Note, Scene};
use crate::time::{MS, SimTime};

/// Chunks overtake each other by a few milliseconds of jitter.
const PATIENCE_NS: u64 = 25 * MS;
/// Until a chunk that was asked for is asked for again: more than most round trips.
const AGAIN_NS: u64 = 200 * MS;
/// Chunks asked for at once: half a second.
const MOST: usize = 64;
/// Older ones than so many are given up: the longest lag of playout.
const OLDEST: usize = 600;

/// What is missing between the chunks that came.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// When to ask for each.
    missing: BTreeMap<usize, SimTime>,
    /// Everything before is here or missing.
    next: Option<usize>,
}

impl Repair {
    /// A chunk came; whatever should have come before it has not.
    pub(super) fn on_chunk(&mut self, now: SimTime, index: usize) {
        self.missing.remove(&index);
        let next = *self.next.get_or_insert(index);
        for left_out in next.max(index.saturating_sub(OLDEST))..index {
            self.missing.insert(left_out, now.plus(PATIENCE_NS));
        }
        self.next = Some(next.max(index + 1));
    }

    pub(super) fn due(&self) -> Option<SimTime> {
        // All but a few wait for as long; to look at all would cost more than a call in vain.
        self.missing.values().min().copied()
    }

    /// Asks `from` for what has been missing for too long; what is played before `wanted` nobody needs.
    pub(super) fn ask(&mut self, from: u32, wanted: Option<usize>, store: &Store, scene: &mut Scene<'_>) {
        let oldest = store.end().saturating_sub(OLDEST).max(wanted.unwrap_or(0));
        self.missing
            .retain(|index, _| *index >= oldest && !store.has(*index));
        let now = scene.now;
        let due = self.missing.iter_mut().filter(|(_, at)| **at <= now).take(MOST);
        let chunks: Vec<usize> = due
            .map(|(index, at)| {
                *at = now.plus(AGAIN_NS);
                *index
            })
            .collect();
        if !chunks.is_empty() {
            scene.tell(from, Note::Resend(chunks));
        }
    }

    /// There is nobody to ask: later.
    pub(super) fn put_off(&mut self, now: SimTime) {
        for at in self.missing.values_mut() {
            *at = (*at).max(now.plus(AGAIN_NS));
        }
    }
}
