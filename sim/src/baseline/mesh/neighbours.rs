//! A peer's neighbours in the mesh: what each has, and how much is asked of it.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// One of them.
#[derive(Debug, Default)]
struct Neighbour {
    /// Its last map.
    from: usize,
    bits: Vec<u64>,
    /// Requests it has not met yet.
    open: usize,
}

impl Neighbour {
    fn has(&self, index: usize) -> bool {
        let at = index.checked_sub(self.from);
        at.and_then(|at| Some(self.bits.get(at / 64)? >> (at % 64) & 1 == 1))
            .unwrap_or(false)
    }

    /// Index behind the newest that it has.
    fn end(&self) -> usize {
        let last = self.bits.iter().rposition(|bits| *bits != 0);
        last.map_or(0, |at| {
            self.from + at * 64 + 64 - self.bits[at].leading_zeros() as usize
        })
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    all: BTreeMap<u32, Neighbour>,
    newest: usize,
}

impl Neighbours {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn contains(&self, peer: u32) -> bool {
        self.all.contains_key(&peer)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = u32> + '_ {
        self.all.keys().copied()
    }

    pub(super) fn add(&mut self, peer: u32) {
        self.all.entry(peer).or_default();
    }

    pub(super) fn remove(&mut self, peer: u32) {
        self.all.remove(&peer);
    }

    pub(super) fn set_map(&mut self, peer: u32, from: usize, bits: &[u64]) {
        if let Some(neighbour) = self.all.get_mut(&peer) {
            neighbour.from = from;
            neighbour.bits = bits.to_vec();
            self.newest = self.newest.max(neighbour.end());
        }
    }

    /// It cannot send this one after all.
    pub(super) fn lacks(&mut self, peer: u32, index: usize) {
        if let Some(neighbour) = self.all.get_mut(&peer)
            && let Some(at) = index.checked_sub(neighbour.from)
            && let Some(bits) = neighbour.bits.get_mut(at / 64)
        {
            *bits &= !(1 << (at % 64));
        }
    }

    /// Index behind the newest chunk that any of them ever had.
    pub(super) fn newest(&self) -> usize {
        self.newest
    }

    pub(super) fn holders(&self, index: usize) -> u32 {
        self.all.values().filter(|neighbour| neighbour.has(index)).count() as u32
    }

    /// Picks the one that has a chunk and has the least to do for us, and counts the request. `None` if all have `most` to do.
    pub(super) fn open_at_best(&mut self, index: usize, most: usize, rng: &mut ChaCha8Rng) -> Option<u32> {
        let able = self.all.iter_mut();
        let able = able.filter(|(_, neighbour)| neighbour.open < most && neighbour.has(index));
        let (peer, best) = able.min_by_key(|(_, neighbour)| (neighbour.open, rng.random::<u32>()))?;
        best.open += 1;
        Some(*peer)
    }

    /// A request is met or over.
    pub(super) fn close(&mut self, peer: u32) {
        if let Some(neighbour) = self.all.get_mut(&peer) {
            neighbour.open = neighbour.open.saturating_sub(1);
        }
    }
}
