//! Peers by number and address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Every peer listens here.
const PORT: u16 = 4000;

/// A peer's address: its number in 10.0.0.0/8.
pub(crate) fn addr_of(peer: u32) -> SocketAddr {
    let [_, b, c, d] = peer.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, b, c, d)), PORT)
}

/// The number of the peer at an address; `None` for an address that nobody can have.
pub(crate) fn peer_at(addr: SocketAddr) -> Option<u32> {
    match addr.ip() {
        IpAddr::V4(ip) if ip.octets()[0] == 10 && addr.port() == PORT => {
            let [_, b, c, d] = ip.octets();
            Some(u32::from_be_bytes([0, b, c, d]))
        }
        _ => None,
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
}
