//! Addresses at which others may reach a listening node: for its link, and for what it says of itself in the overlay.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses in a link: more make it long, and a viewer tries them all.
const ADDRS_MAX: usize = 4;

/// The addresses that `listen` stands for, most useful first: an unspecified address is every interface of the machine,
/// the one that leads to the Internet first; loopback only if there is nothing else.
pub fn addresses(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let interfaces = if listen.iter().any(|addr| addr.ip().is_unspecified()) {
        interfaces()
    } else {
        Vec::new()
    };
    choose(listen, &interfaces)
}

fn choose(listen: &[SocketAddr], interfaces: &[IpAddr]) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for addr in listen {
        if !addr.ip().is_unspecified() {
            all.push(*addr);
            continue;
        }
        // A socket of IPv6 is bound for both families; which of them work is for the viewer to find out.
        let fits = |ip: &&IpAddr| addr.is_ipv6() || ip.is_ipv4();
        all.extend(
            interfaces
                .iter()
                .filter(fits)
                .map(|ip| SocketAddr::new(*ip, addr.port())),
        );
        if all.is_empty() {
            let loopback = match addr {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            all.push(SocketAddr::new(loopback, addr.port()));
        }
    }
    let mut kept: Vec<SocketAddr> = Vec::new();
    for addr in all {
        if kept.len() < ADDRS_MAX && !kept.contains(&addr) {
            kept.push(addr);
        }
    }
    kept
}

/// The machine's addresses that mean something on other machines, the preferred source address of each family first.
fn interfaces() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| is_useful(*ip))
        .collect();
    let preferred = [
        preferred(Ipv4Addr::UNSPECIFIED.into()),
        preferred(Ipv6Addr::UNSPECIFIED.into()),
    ];
    // Stable: within the same preference the order of the interfaces stays.
    all.sort_by_key(|ip| (!preferred.contains(&Some(*ip)), ip.is_ipv6()));
    all
}

fn is_useful(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

/// The address that the routing table picks for the Internet. Connecting a datagram socket sends nothing; the addresses
/// are those for documentation (RFC 5737, RFC 3849), routed like any other.
fn preferred(from: IpAddr) -> Option<IpAddr> {
    let to: IpAddr = match from {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_what_others_can_reach() {
        let lan: IpAddr = "192.168.1.5".parse().unwrap();
        let v6: IpAddr = "2001:db8::5".parse().unwrap();
        let check = |listen: &str, interfaces: &[IpAddr], expected: &[&str]| {
            let found: Vec<String> = choose(&[listen.parse().unwrap()], interfaces)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected, "{listen}");
        };
        check("127.0.0.1:4000", &[lan], &["127.0.0.1:4000"]);
        check("10.1.1.1:4000", &[lan], &["10.1.1.1:4000"]);
        check("0.0.0.0:4000", &[lan, v6, lan], &["192.168.1.5:4000"]);
        check(
            "[::]:4000",
            &[lan, v6],
            &["192.168.1.5:4000", "[2001:db8::5]:4000"],
        );
        check("0.0.0.0:4000", &[], &["127.0.0.1:4000"]);
        check("[::]:4000", &[], &["[::1]:4000"]);
    }

    #[test]
    fn this_machine_has_an_address() {
        let found = addresses(&["0.0.0.0:4000".parse().unwrap()]);
        assert!(!found.is_empty() && found.len() <= ADDRS_MAX);
        assert!(
            found
                .iter()
                .all(|addr| addr.port() == 4000 && !addr.ip().is_unspecified())
        );
    }
}
