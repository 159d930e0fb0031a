//! Which addresses lead to a peer: what it says, corrected by what is seen.

use std::net::{IpAddr, SocketAddr};

use wire::message::MAX_ADDRS;

/// The address in its plain form: IPv4 that came through an IPv6 socket is IPv4.
pub fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Joins the addresses a peer says it listens at with the address it is seen at. "Any address" becomes the address it
/// is seen at; what cannot be dialled from here is left out. At most [`MAX_ADDRS`], in the peer's order.
pub(super) fn dialable(claimed: &[SocketAddr], seen: SocketAddr) -> Vec<SocketAddr> {
    let seen_ip = plain(seen).ip();
    let mut found = Vec::with_capacity(MAX_ADDRS);
    for claimed in claimed {
        let ip = plain(*claimed).ip();
        let ip = if !ip.is_unspecified() {
            ip
        } else if ip.is_ipv4() && seen_ip.is_ipv6() {
            // It listens on IPv4 only, and its IPv4 address is not known.
            continue;
        } else {
            seen_ip
        };
        let addr = SocketAddr::new(ip, claimed.port());
        if is_dialable(addr, seen_ip) && !found.contains(&addr) && found.len() < MAX_ADDRS {
            found.push(addr);
        }
    }
    found
}

fn is_dialable(addr: SocketAddr, seen_ip: IpAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && !broadcast
        // Somebody else's loopback is not ours.
        && (!ip.is_loopback() || seen_ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(claimed: &[&str], seen: &str, expected: &[&str]) {
        let parse =
            |addrs: &[&str]| -> Vec<SocketAddr> { addrs.iter().map(|a| a.parse().unwrap()).collect() };
        assert_eq!(
            dialable(&parse(claimed), seen.parse().unwrap()),
            parse(expected),
            "{claimed:?} seen at {seen}"
        );
    }

    #[test]
    fn claimed_addresses_are_joined_with_what_is_seen() {
        check(&["0.0.0.0:7000"], "192.0.2.1:5555", &["192.0.2.1:7000"]);
        check(&["[::]:7000"], "192.0.2.1:5555", &["192.0.2.1:7000"]);
        check(&["[::]:7000"], "[::ffff:192.0.2.1]:5555", &["192.0.2.1:7000"]);
        check(&["[::]:7000"], "[2001:db8::1]:5555", &["[2001:db8::1]:7000"]);
        check(&["0.0.0.0:7000"], "[2001:db8::1]:5555", &[]);
        check(
            &["0.0.0.0:7000", "198.51.100.7:7000", "[::]:7000"],
            "192.0.2.1:5555",
            &["192.0.2.1:7000", "198.51.100.7:7000"],
        );
    }

    #[test]
    fn what_cannot_be_dialled_is_left_out() {
        check(&["127.0.0.1:7000"], "192.0.2.1:5555", &[]);
        check(&["127.0.0.1:7000"], "127.0.0.1:5555", &["127.0.0.1:7000"]);
        check(
            &["224.0.0.1:7000", "255.255.255.255:9", "0.0.0.0:0"],
            "192.0.2.1:5555",
            &[],
        );
        check(
            &[
                "192.0.2.1:1",
                "192.0.2.1:2",
                "192.0.2.1:3",
                "192.0.2.1:4",
                "192.0.2.1:5",
            ],
            "192.0.2.1:5555",
            &["192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.1:4"],
        );
    }
}
