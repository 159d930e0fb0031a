//! Who is there, and in a tree who hangs on whom: known to all, at once and for nothing.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::space::DelaySpace;
use crate::time::MS;

/// What is known of a peer.
#[derive(Clone, Debug, Default)]
struct Entry {
    present: bool,
    /// Copies that it can send on.
    capacity: u32,
    parent: Option<u32>,
    /// Each with the copies that it can send on itself.
    children: Vec<(u32, u32)>,
}

/// A hop's cost beside the distance: a chunk leaves as a whole, in a tree mostly behind another one.
const HOP_NS: u64 = 8 * MS;
/// A way with more hops is a loop.
const MOST_HOPS: usize = 256;

/// The register.
#[derive(Debug, Default)]
pub(crate) struct Register {
    entries: Vec<Entry>,
    /// Those that are there, in no particular order.
    present: Vec<u32>,
}

impl Register {
    fn entry(&mut self, peer: u32) -> &mut Entry {
        let at = peer as usize;
        if at >= self.entries.len() {
            self.entries.resize(at + 1, Entry::default());
        }
        &mut self.entries[at]
    }

    /// It is there, and can send so many copies on.
    pub(super) fn enter(&mut self, peer: u32, capacity: u32) {
        let entry = self.entry(peer);
        entry.capacity = capacity;
        if !std::mem::replace(&mut entry.present, true) {
            self.present.push(peer);
        }
    }

    /// It is gone.
    pub(crate) fn leave(&mut self, peer: u32) {
        self.set_parent(peer, None);
        self.entry(peer).present = false;
        self.present.retain(|p| *p != peer);
    }

    pub(super) fn is_present(&self, peer: u32) -> bool {
        self.entries.get(peer as usize).is_some_and(|entry| entry.present)
    }

    /// Where it hangs from now on.
    pub(super) fn set_parent(&mut self, peer: u32, parent: Option<u32>) {
        let capacity = self.entry(peer).capacity;
        if let Some(old) = std::mem::replace(&mut self.entry(peer).parent, parent) {
            self.entry(old).children.retain(|(child, _)| *child != peer);
        }
        if let Some(new) = parent {
            self.entry(new).children.push((peer, capacity));
        }
    }

    /// Those whom `parent` sends to.
    pub(super) fn children(&self, parent: u32) -> &[(u32, u32)] {
        self.entries
            .get(parent as usize)
            .map_or(&[], |entry| &entry.children)
    }

    /// The child of a full `parent` that would go for somebody who can send `capacity` copies on: that which can send least.
    pub(super) fn weakest(&self, parent: u32, capacity: u32) -> Option<u32> {
        let children = self.children(parent).iter();
        let (child, weakest) = children.min_by_key(|(child, capacity)| (*capacity, *child))?;
        (*weakest < capacity).then_some(*child)
    }

    /// The present peer through which `me` would have the stream soonest: one with room, or with a child that gives way. `None` if
    /// there is none.
    pub(super) fn best_parent(&self, me: u32, capacity: u32, space: &DelaySpace) -> Option<u32> {
        let candidates = self.present.iter().copied().filter(|&peer| {
            let entry = &self.entries[peer as usize];
            let room = entry.children.len() < entry.capacity as usize;
            peer != me && (room || entry.capacity > 0 && self.weakest(peer, capacity).is_some())
        });
        let ways = candidates.filter_map(|peer| {
            let way = self.way_ns(peer, me, space)?;
            Some((way + space.one_way_ns(peer, me), peer))
        });
        ways.min().map(|(_, peer)| peer)
    }

    /// How long the stream takes to a peer; `None` if its way does not begin at the peercaster, or leads through `not`.
    fn way_ns(&self, peer: u32, not: u32, space: &DelaySpace) -> Option<u64> {
        let (mut at, mut way_ns) = (peer, 0);
        for _ in 0..MOST_HOPS {
            if at == 0 {
                return Some(way_ns);
            }
            let parent = self.entries[at as usize].parent.filter(|_| at != not)?;
            way_ns += space.one_way_ns(at, parent) + HOP_NS;
            at = parent;
        }
        None
    }

    /// So many different present peers at random, `me` and those of `not` apart.
    pub(super) fn strangers(
        &self,
        me: u32,
        not: &dyn Fn(u32) -> bool,
        count: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<u32> {
        let mut found = Vec::with_capacity(count);
        // Some of those drawn are known already.
        for _ in 0..count * 4 {
            if found.len() == count || self.present.is_empty() {
                break;
            }
            let peer = self.present[rng.random_range(0..self.present.len())];
            if peer != me && !not(peer) && !found.contains(&peer) {
                found.push(peer);
            }
        }
        found
    }
}
