//! The chunks held: a contiguous range of numbers, each slot empty or filled.
//!
//! A slot is in exactly one of these states: **before the base** (gone), **missing** (empty, at or below the head),
//! **held**, or **to come** (above the head). [`Window::insert`] moves missing or to-come to held, [`Window::extend_head`]
//! moves to-come to missing, [`Window::trim`] and [`Window::reset`] move anything to gone. Nothing moves back.

mod held;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use held::Held;
use wire::{Chunk, Seq, Time};

/// Most slots: 32 s of the default stream, 2 s of one with 2000 chunks a second.
const MAX_SLOTS: u64 = 4096;

/// Payload bytes that may be held of any stream: 3 s at 85 Mbit/s.
const ROOM: usize = 32 * 1024 * 1024;

/// Of a stream too fast for that, so much time may be held: what repairs and playout may need when lags are still those of
/// a live stream. The slots bound it: with the largest chunks they take 256 MiB.
const SPAN: Duration = Duration::from_millis(1_000);

/// What [`Window::insert`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// A new chunk.
    New,
    /// It was here already.
    Duplicate,
    /// Its slot is gone, or so far ahead that something is wrong.
    Outside,
}

/// The window.
#[derive(Debug)]
pub(crate) struct Window {
    base: Seq,
    slots: VecDeque<Option<Arc<Chunk>>>,
    /// The numbers of the slots that are filled.
    held: Held,
    bytes: usize,
    /// Random-access chunks held, oldest first.
    random_access: VecDeque<Seq>,
    /// Between the last two random-access chunks.
    random_access_every: Option<Duration>,
    newest_random_access: Option<(Seq, Time)>,
    /// When the newest of all chunks so far was made.
    newest: Time,
}

impl Window {
    /// An empty window whose first slot is `base`.
    pub(crate) fn new(base: Seq) -> Self {
        Window {
            base,
            slots: VecDeque::new(),
            held: Held::default(),
            bytes: 0,
            random_access: VecDeque::new(),
            random_access_every: None,
            newest_random_access: None,
            newest: Time::ZERO,
        }
    }

    /// Forgets everything and starts again at `base`.
    pub(crate) fn reset(&mut self, base: Seq) {
        *self = Window {
            random_access_every: self.random_access_every,
            ..Window::new(base)
        };
    }

    /// The oldest slot.
    pub(crate) fn base(&self) -> Seq {
        self.base
    }

    /// One past the newest slot known to exist.
    pub(crate) fn end(&self) -> Seq {
        self.base.plus(self.slots.len() as u64)
    }

    /// Whether nothing is held or known.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn index(&self, seq: Seq) -> Option<usize> {
        if seq < self.base {
            return None;
        }
        Some(self.base.behind(seq) as usize)
    }

    /// The chunk with this number, if held.
    pub(crate) fn get(&self, seq: Seq) -> Option<&Arc<Chunk>> {
        self.slots.get(self.index(seq)?)?.as_ref()
    }

    /// Learns that chunks up to and including `head` exist. Ignored when absurdly far ahead.
    pub(crate) fn extend_head(&mut self, head: Seq) {
        let Some(index) = self.index(head) else { return };
        if index as u64 >= self.slots.len() as u64 + MAX_SLOTS {
            return;
        }
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        self.bound();
    }

    /// Puts a chunk into its slot.
    pub(crate) fn insert(&mut self, chunk: Arc<Chunk>) -> Inserted {
        let seq = chunk.seq();
        let Some(index) = self.index(seq) else {
            return Inserted::Outside;
        };
        if index as u64 >= self.slots.len() as u64 + MAX_SLOTS {
            return Inserted::Outside;
        }
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        let Some(slot) = self.slots.get_mut(index) else {
            return Inserted::Outside;
        };
        if slot.is_some() {
            return Inserted::Duplicate;
        }
        *slot = Some(chunk.clone());
        self.held.insert(seq);
        self.bytes += chunk.payload().len();
        self.newest = self.newest.max(chunk.header().generated_at);
        if chunk.header().flags.random_access {
            self.note_random_access(seq, chunk.header().generated_at);
        }
        self.bound();
        Inserted::New
    }

    fn note_random_access(&mut self, seq: Seq, generated_at: Time) {
        let at = self.random_access.partition_point(|&held| held < seq);
        self.random_access.insert(at, seq);
        match self.newest_random_access {
            Some((newest, _)) if newest >= seq => {}
            Some((_, before)) => {
                self.random_access_every = Some(generated_at.since(before));
                self.newest_random_access = Some((seq, generated_at));
            }
            None => self.newest_random_access = Some((seq, generated_at)),
        }
    }

    /// The newest random-access chunk held at or before `seq`.
    pub(crate) fn random_access_at(&self, seq: Seq) -> Option<Seq> {
        let at = self.random_access.partition_point(|&held| held <= seq);
        self.random_access.get(at.checked_sub(1)?).copied()
    }

    /// The newest random-access chunk held.
    pub(crate) fn newest_random_access(&self) -> Option<Seq> {
        self.random_access.back().copied()
    }

    /// The time between the last two random-access chunks.
    pub(crate) fn random_access_every(&self) -> Option<Duration> {
        self.random_access_every
    }

    /// The first empty slot at or after `seq`, possibly [`Window::end`].
    pub(crate) fn first_hole(&self, seq: Seq) -> Seq {
        self.held.next_hole(seq.max(self.base))
    }

    /// The empty slots from `from` to the head, oldest first.
    pub(crate) fn holes(&self, from: Seq) -> impl Iterator<Item = Seq> {
        let end = self.end();
        let next = move |from: Seq| Some(self.first_hole(from)).filter(|&hole| hole < end);
        std::iter::successors(next(from), move |hole| next(hole.plus(1)))
    }

    /// The same, each with the number of the last chunk held from `from` to before it.
    pub(crate) fn holes_after(&self, from: Seq) -> impl Iterator<Item = (Seq, Option<Seq>)> {
        let from = from.max(self.base);
        // What lies between two holes in a row is held.
        let (mut after, mut last) = (from, None);
        self.holes(from).map(move |hole| {
            if hole > after {
                last = Some(Seq(hole.0 - 1));
            }
            after = hole.plus(1);
            (hole, last)
        })
    }

    /// The first chunk held at or after `seq`.
    pub(crate) fn first_held(&self, seq: Seq) -> Option<&Arc<Chunk>> {
        let start = self.base.behind(seq.max(self.base)) as usize;
        self.slots.iter().skip(start).find_map(|slot| slot.as_ref())
    }

    /// The slots from `from` to the head, oldest first.
    pub(crate) fn slots_from(&self, from: Seq) -> impl Iterator<Item = (Seq, Option<&Arc<Chunk>>)> {
        let from = from.max(self.base);
        let start = self.base.behind(from) as usize;
        self.slots
            .iter()
            .skip(start)
            .enumerate()
            .map(move |(i, slot)| (from.plus(i as u64), slot.as_ref()))
    }

    /// Lets go of everything before `keep_from`.
    pub(crate) fn trim(&mut self, keep_from: Seq) {
        while self.base < keep_from && !self.slots.is_empty() {
            self.pop_oldest();
        }
    }

    fn pop_oldest(&mut self) {
        if let Some(Some(chunk)) = self.slots.pop_front() {
            self.bytes -= chunk.payload().len();
            if self.random_access.front() == Some(&chunk.seq()) {
                self.random_access.pop_front();
            }
        }
        self.base = self.base.plus(1);
        self.held.drop_before(self.base);
    }

    fn bound(&mut self) {
        while self.slots.len() as u64 > MAX_SLOTS || (self.bytes > ROOM && self.is_long()) {
            self.pop_oldest();
        }
    }

    /// Whether the oldest chunk held was made long before the newest one.
    fn is_long(&self) -> bool {
        self.first_held(self.base)
            .is_none_or(|oldest| self.newest.since(oldest.header().generated_at) > SPAN)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
