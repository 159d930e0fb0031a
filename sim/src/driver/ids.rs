//! Peers by identity.

use std::hash::{BuildHasherDefault, Hasher};

use wire::PeerId;

/// Ids are keys and as such random already: eight bytes of one are a hash.
#[derive(Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        let n = bytes.len().min(8);
        first[..n].copy_from_slice(&bytes[..n]);
        self.0 = u64::from_le_bytes(first);
    }

    // The length that the standard library hashes before an array's bytes says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// From identity to number, and back.
#[derive(Default)]
pub(super) struct Ids {
    // With a fixed hasher, and only looked up, never iterated.
    #[allow(clippy::disallowed_types)]
    numbers: std::collections::HashMap<PeerId, u32, BuildHasherDefault<FirstBytes>>,
    /// By number. Side by side, and not with each peer's much larger state: the sender is looked up with every delivery.
    ids: Vec<PeerId>,
}

impl Ids {
    /// Gives the next number to a peer.
    pub(super) fn add(&mut self, id: PeerId) -> u32 {
        let number = self.ids.len() as u32;
        self.numbers.insert(id, number);
        self.ids.push(id);
        number
    }

    /// The identity of the peer with this number.
    pub(super) fn of(&self, number: u32) -> PeerId {
        self.ids[number as usize]
    }

    pub(super) fn get(&self, id: &PeerId) -> Option<u32> {
        self.numbers.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found() {
        let mut ids = Ids::default();
        let id = |n: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_le_bytes());
            bytes[31] = 1;
            PeerId::from_bytes(bytes)
        };
        assert!((0..1000).all(|n| ids.add(id(n)) == n));
        assert!((0..1000).all(|n| ids.get(&id(n)) == Some(n) && ids.of(n) == id(n)));
        assert_eq!(ids.get(&id(1000)), None);
    }
}
