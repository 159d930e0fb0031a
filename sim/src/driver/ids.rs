//! Peers by number, identity and address.

use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wire::PeerId;

/// Every peer listens here.
const PORT: u16 = 4000;

/// A peer's address: its number in 10.0.0.0/8.
pub(super) fn addr_of(peer: u32) -> SocketAddr {
    let [_, b, c, d] = peer.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, b, c, d)), PORT)
}

/// The number of the peer at an address; `None` for an address that nobody can have.
pub(super) fn peer_at(addr: SocketAddr) -> Option<u32> {
    match addr.ip() {
        IpAddr::V4(ip) if ip.octets()[0] == 10 && addr.port() == PORT => {
            let [_, b, c, d] = ip.octets();
            Some(u32::from_be_bytes([0, b, c, d]))
        }
        _ => None,
    }
}

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

/// From identity to number.
#[derive(Default)]
pub(super) struct Ids {
    // With a fixed hasher, and only looked up, never iterated.
    #[allow(clippy::disallowed_types)]
    numbers: std::collections::HashMap<PeerId, u32, BuildHasherDefault<FirstBytes>>,
}

impl Ids {
    pub(super) fn insert(&mut self, id: PeerId, number: u32) {
        self.numbers.insert(id, number);
    }

    pub(super) fn get(&self, id: &PeerId) -> Option<u32> {
        self.numbers.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        for peer in [0, 1, 255, 256, 70_000, 0xff_ffff] {
            assert_eq!(peer_at(addr_of(peer)), Some(peer));
        }
        for foreign in ["127.0.0.1:4000", "10.0.0.1:4001", "[::1]:4000"] {
            assert_eq!(peer_at(foreign.parse().unwrap()), None);
        }
    }

    #[test]
    fn ids_are_found() {
        let mut ids = Ids::default();
        let id = |n: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_le_bytes());
            bytes[31] = 1;
            PeerId::from_bytes(bytes)
        };
        (0..1000).for_each(|n| ids.insert(id(n), n));
        assert!((0..1000).all(|n| ids.get(&id(n)) == Some(n)));
        assert_eq!(ids.get(&id(1000)), None);
    }
}
