//! A map from peers to whatever is kept about each, made for few peers looked up often.

use crate::PeerId;

/// A sorted map keyed by peer, for a few dozen neighbours that are looked up with every chunk and message.
///
/// It behaves like a `BTreeMap<PeerId, V>`, order included, and finds a peer by bisecting the first eight bytes of the ids,
/// which lie side by side. Entering or removing one moves what comes after it: cheap next to the handshake that it follows.
#[derive(Clone, Debug)]
pub struct PeerMap<V> {
    /// `heads[i]` is the head of `entries[i].0`.
    heads: Vec<u64>,
    entries: Vec<(PeerId, V)>,
}

impl<V> Default for PeerMap<V> {
    fn default() -> Self {
        PeerMap::new()
    }
}

impl<V> PeerMap<V> {
    /// An empty map.
    pub const fn new() -> Self {
        PeerMap {
            heads: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// How many peers are in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where a peer is, or where it would have to be.
    fn find(&self, peer: &PeerId) -> Result<usize, usize> {
        let head = peer.head();
        let mut at = self.heads.partition_point(|&held| held < head);
        // Ids are keys: only somebody who searches for it finds a second one with the same head.
        while self.heads.get(at) == Some(&head) {
            match self.entries[at].0.cmp(peer) {
                std::cmp::Ordering::Less => at += 1,
                std::cmp::Ordering::Equal => return Ok(at),
                std::cmp::Ordering::Greater => break,
            }
        }
        Err(at)
    }

    /// What is kept about a peer.
    pub fn get(&self, peer: &PeerId) -> Option<&V> {
        let at = self.find(peer).ok()?;
        Some(&self.entries[at].1)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, peer: &PeerId) -> Option<&mut V> {
        let at = self.find(peer).ok()?;
        Some(&mut self.entries[at].1)
    }

    /// Whether a peer is in it.
    pub fn contains_key(&self, peer: &PeerId) -> bool {
        self.find(peer).is_ok()
    }

    /// Enters a peer, and gives back what was kept about it before.
    pub fn insert(&mut self, peer: PeerId, value: V) -> Option<V> {
        match self.find(&peer) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                self.insert_at(at, peer, value);
                None
            }
        }
    }

    fn insert_at(&mut self, at: usize, peer: PeerId, value: V) {
        self.heads.insert(at, peer.head());
        self.entries.insert(at, (peer, value));
    }

    /// Takes a peer out.
    pub fn remove(&mut self, peer: &PeerId) -> Option<V> {
        let at = self.find(peer).ok()?;
        self.heads.remove(at);
        Some(self.entries.remove(at).1)
    }

    /// The place of a peer, filled or not.
    pub fn entry(&mut self, peer: PeerId) -> PeerEntry<'_, V> {
        let at = self.find(&peer);
        PeerEntry { map: self, peer, at }
    }

    /// All, in the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&PeerId, &V)> + Clone {
        self.entries.iter().map(|(peer, value)| (peer, value))
    }

    /// All, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&PeerId, &mut V)> {
        self.entries.iter_mut().map(|(peer, value)| (&*peer, value))
    }

    /// The peers.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &PeerId> + Clone {
        self.entries.iter().map(|(peer, _)| peer)
    }

    /// What is kept about them.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }
}

impl<'a, V> IntoIterator for &'a PeerMap<V> {
    type Item = (&'a PeerId, &'a V);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (PeerId, V)>, fn(&'a (PeerId, V)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter().map(|(peer, value)| (peer, value))
    }
}

impl<'a, V> IntoIterator for &'a mut PeerMap<V> {
    type Item = (&'a PeerId, &'a mut V);
    type IntoIter =
        std::iter::Map<std::slice::IterMut<'a, (PeerId, V)>, fn(&'a mut (PeerId, V)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter_mut().map(|(peer, value)| (&*peer, value))
    }
}

/// The place of a peer in a [`PeerMap`].
#[derive(Debug)]
pub struct PeerEntry<'a, V> {
    map: &'a mut PeerMap<V>,
    peer: PeerId,
    at: Result<usize, usize>,
}

impl<'a, V> PeerEntry<'a, V> {
    /// What is kept there, `value` if nothing was.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// The same with a value that is made only if needed.
    pub fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
        let at = match self.at {
            Ok(at) => at,
            Err(at) => {
                self.map.insert_at(at, self.peer, value());
                at
            }
        };
        &mut self.map.entries[at].1
    }

    /// The same with the type's default.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Few different ids, some of them alike in their first bytes.
    fn id() -> impl Strategy<Value = PeerId> {
        (0u8..6, 0u8..4).prop_map(|(head, tail)| {
            let mut bytes = [7; 32];
            bytes[3] = head;
            bytes[20] = tail;
            PeerId::from_bytes(bytes)
        })
    }

    proptest! {
        /// Whatever is entered, changed and removed, it holds what a `BTreeMap` holds, in the same order.
        #[test]
        fn is_a_sorted_map(steps in prop::collection::vec((0u8..4, id(), any::<u16>()), 0..200)) {
            let mut map = PeerMap::new();
            let mut model = BTreeMap::new();
            for (what, peer, value) in steps {
                match what {
                    0 => prop_assert_eq!(map.insert(peer, value), model.insert(peer, value)),
                    1 => prop_assert_eq!(map.remove(&peer), model.remove(&peer)),
                    2 => prop_assert_eq!(map.entry(peer).or_insert(value), model.entry(peer).or_insert(value)),
                    _ => {
                        let (held, expected) = (map.get_mut(&peer), model.get_mut(&peer));
                        prop_assert_eq!(&held, &expected);
                        held.into_iter().chain(expected).for_each(|held| *held ^= value);
                    }
                }
                prop_assert_eq!(map.get(&peer), model.get(&peer));
                prop_assert_eq!(map.contains_key(&peer), model.contains_key(&peer));
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.is_empty(), model.is_empty());
            }
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.keys().eq(model.keys()));
            prop_assert!(map.values().rev().eq(model.values().rev()));
            prop_assert!(map.iter_mut().eq(model.iter_mut()));
            prop_assert!(map.values_mut().eq(model.values_mut()));
        }
    }
}
