//! The chunks of the last seconds.

use std::collections::VecDeque;
use std::sync::Arc;

use wire::Chunk;

/// A chunk and the hops it has gone.
type Copy = (Arc<Chunk>, u8);

/// Chunks by index, the newest so many.
#[derive(Debug)]
pub(super) struct Store {
    first: usize,
    chunks: VecDeque<Option<Copy>>,
    keep: usize,
}

impl Store {
    pub(super) fn new(keep: usize) -> Self {
        Store {
            first: 0,
            chunks: VecDeque::new(),
            keep,
        }
    }

    /// False if it is there already or too old.
    pub(super) fn insert(&mut self, index: usize, chunk: &Arc<Chunk>, hops: u8) -> bool {
        if self.chunks.is_empty() {
            // What comes first need not be the oldest that comes.
            self.first = index.saturating_sub(self.keep / 2);
        }
        let Some(mut at) = index.checked_sub(self.first) else {
            return false;
        };
        if at >= self.keep + self.chunks.len() {
            // Nothing of what is here would stay.
            self.chunks.clear();
            self.first = index.saturating_sub(self.keep / 2);
            at = index - self.first;
        }
        while at >= self.chunks.len() {
            self.chunks.push_back(None);
        }
        while self.chunks.len() > self.keep {
            self.chunks.pop_front();
            self.first += 1;
            at -= 1;
        }
        let place = &mut self.chunks[at];
        let new = place.is_none();
        place.get_or_insert_with(|| (Arc::clone(chunk), hops));
        new
    }

    pub(super) fn get(&self, index: usize) -> Option<&Copy> {
        self.chunks.get(index.checked_sub(self.first)?)?.as_ref()
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.get(index).is_some()
    }

    /// Index behind the newest.
    pub(super) fn end(&self) -> usize {
        self.first + self.chunks.len()
    }
}
