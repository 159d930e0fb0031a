//! Sorted maps from ids to whatever is kept about each, made for few peers looked up often.

use crate::{PeerId, StreamId};

/// What an [`IdMap`] can be sorted by: ids, whose first bytes nearly always tell them apart.
pub trait IdKey: Copy + Ord {
    /// The first bytes as a number; whatever has a smaller head is smaller.
    fn head(&self) -> u64;
}

impl IdKey for PeerId {
    fn head(&self) -> u64 {
        PeerId::head(self)
    }
}

/// One entry for each peer and stream, a peer's side by side.
impl IdKey for (PeerId, StreamId) {
    fn head(&self) -> u64 {
        self.0.head()
    }
}

/// A sorted map for a few dozen neighbours that are looked up with every chunk and message.
///
/// It behaves like a `BTreeMap`, order included, and finds an id by bisecting the first eight bytes of the ids, which lie
/// side by side. Entering or removing one moves what comes after it: cheap next to the handshake that it follows.
#[derive(Clone, Debug)]
pub struct IdMap<K, V> {
    /// `heads[i]` is the head of `entries[i].0`.
    heads: Vec<u64>,
    entries: Vec<(K, V)>,
    /// How often an entry came or went.
    changes: u64,
}

/// A map from peers to whatever is kept about each.
pub type PeerMap<V> = IdMap<PeerId, V>;

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        IdMap::new()
    }
}

impl<K, V> IdMap<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        IdMap {
            heads: Vec::new(),
            entries: Vec::new(),
            changes: 0,
        }
    }

    /// How many entries are in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// A number that is another one whenever a key has come or gone: whoever keeps what follows from the keys sees whether it still
    /// does.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: IdKey, V> IdMap<K, V> {
    /// Where a key is, or where it would have to be.
    fn find(&self, key: &K) -> Result<usize, usize> {
        let head = key.head();
        let mut at = self.heads.partition_point(|&held| held < head);
        // Ids are keys: only somebody who searches for it finds a second one with the same head.
        while self.heads.get(at) == Some(&head) {
            match self.entries[at].0.cmp(key) {
                std::cmp::Ordering::Less => at += 1,
                std::cmp::Ordering::Equal => return Ok(at),
                std::cmp::Ordering::Greater => break,
            }
        }
        Err(at)
    }

    /// What is kept about one.
    pub fn get(&self, key: &K) -> Option<&V> {
        let at = self.find(key).ok()?;
        Some(&self.entries[at].1)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        Some(&mut self.entries[at].1)
    }

    /// Whether one is in it.
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Enters one, and gives back what was kept about it before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                self.insert_at(at, key, value);
                None
            }
        }
    }

    fn insert_at(&mut self, at: usize, key: K, value: V) {
        self.changes += 1;
        if self.entries.len() == self.entries.capacity() {
            // A vector by itself would take twice the room, which lies idle: so seldom does anybody come.
            let more = (self.entries.len() / 4).max(4);
            self.heads.reserve_exact(more);
            self.entries.reserve_exact(more);
        }
        self.heads.insert(at, key.head());
        self.entries.insert(at, (key, value));
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key).ok()?;
        self.changes += 1;
        self.heads.remove(at);
        Some(self.entries.remove(at).1)
    }

    /// Takes all out, and keeps their places.
    pub fn clear(&mut self) {
        self.changes += 1;
        self.heads.clear();
        self.entries.clear();
    }

    /// Keeps those of which something is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.changes += 1;
        self.entries.retain_mut(|(key, value)| keep(key, value));
        self.heads.clear();
        self.heads.extend(self.entries.iter().map(|(key, _)| key.head()));
    }

    /// Those from `key` on.
    pub fn from(&self, key: &K) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        let (Ok(at) | Err(at)) = self.find(key);
        self.entries[at..].iter().map(|(key, value)| (key, value))
    }

    /// The keys that are in both, with what is kept about each here and there: one walk along both instead of a search for
    /// each.
    pub fn joined<'a, 'b, W>(
        &'a self,
        other: &'b IdMap<K, W>,
    ) -> impl Iterator<Item = (&'a K, &'a V, &'b W)> {
        let mut there = 0;
        self.heads
            .iter()
            .zip(&self.entries)
            .filter_map(move |(&head, (key, value))| {
                while other.heads.get(there).is_some_and(|&at| at < head) {
                    there += 1;
                }
                let alike = other.heads[there..].iter().take_while(|&&at| at == head);
                let (_, (_, found)) = alike
                    .zip(&other.entries[there..])
                    .find(|(_, (at, _))| at == key)?;
                Some((key, value, found))
            })
    }

    /// The place of one, filled or not.
    pub fn entry(&mut self, key: K) -> IdEntry<'_, K, V> {
        let at = self.find(&key);
        IdEntry { map: self, key, at }
    }

    /// All, in the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// All, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// The keys.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.entries.iter().map(|(key, _)| key)
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

impl<'a, K, V> IntoIterator for &'a IdMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}

impl<'a, K, V> IntoIterator for &'a mut IdMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = std::iter::Map<std::slice::IterMut<'a, (K, V)>, fn(&'a mut (K, V)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }
}

/// The place of one in a [`IdMap`].
#[derive(Debug)]
pub struct IdEntry<'a, K, V> {
    map: &'a mut IdMap<K, V>,
    key: K,
    at: Result<usize, usize>,
}

impl<'a, K: IdKey, V> IdEntry<'a, K, V> {
    /// What is kept there, `value` if nothing was.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// The same with a value that is made only if needed.
    pub fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
        let at = match self.at {
            Ok(at) => at,
            Err(at) => {
                self.map.insert_at(at, self.key, value());
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
        fn is_a_sorted_map(
            steps in prop::collection::vec((0u8..4, id(), any::<u16>()), 0..200),
            others in prop::collection::vec((id(), any::<u16>()), 0..20),
        ) {
            let mut map = PeerMap::new();
            let mut model = BTreeMap::new();
            for (what, peer, value) in steps {
                let (changes, keys) = (map.changes(), model.keys().copied().collect::<Vec<_>>());
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
                prop_assert_eq!(map.changes() != changes, !model.keys().eq(&keys));
                prop_assert_eq!(map.get(&peer), model.get(&peer));
                prop_assert_eq!(map.contains_key(&peer), model.contains_key(&peer));
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.is_empty(), model.is_empty());
            }
            let other: PeerMap<u16> = others.iter().fold(PeerMap::new(), |mut other, &(peer, value)| {
                other.insert(peer, value);
                other
            });
            let joined: Vec<_> = map.joined(&other).collect();
            let expected = model.iter().filter_map(|(peer, value)| Some((peer, value, other.get(peer)?)));
            prop_assert_eq!(joined, expected.collect::<Vec<_>>());
            if let Some((from, _)) = others.first() {
                prop_assert!(map.from(from).eq(model.range(from..)));
            }
            let mut emptied = map.clone();
            emptied.clear();
            prop_assert!(emptied.is_empty() && model.keys().all(|peer| emptied.get(peer).is_none()));
            map.retain(|_, value| *value % 3 == 0);
            model.retain(|_, value| *value % 3 == 0);
            prop_assert!(model.keys().all(|peer| map.contains_key(peer)));
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.keys().eq(model.keys()));
            prop_assert!(map.values().rev().eq(model.values().rev()));
            prop_assert!(map.iter_mut().eq(model.iter_mut()));
            prop_assert!(map.values_mut().eq(model.values_mut()));
        }
    }
}
