//! What a gateway reads and writes in an IPv4 packet.

/// Four bytes of a packet as a number.
pub(crate) fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Two bytes of a packet as a number.
pub(crate) fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// Addresses and ports of an unfragmented packet of UDP, TCP or an ICMP echo.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    pub(super) protocol: u8,
    header: usize,
    pub(super) source: u32,
    pub(super) target: u32,
    pub(super) source_port: u16,
    pub(super) target_port: u16,
}

/// `None` for what does not cross a gateway: fragments (the later ones have no ports), ICMP errors, other protocols.
pub(super) fn flow(packet: &[u8]) -> Option<Flow> {
    let header = usize::from(packet[0] & 15) * 4;
    if packet.len() < header + 8 || be16(&packet[6..]) & 0x3fff != 0 {
        return None;
    }
    let inner = &packet[header..];
    let (source_port, target_port) = match packet[9] {
        UDP => (be16(inner), be16(&inner[2..])),
        TCP if inner.len() >= 20 => (be16(inner), be16(&inner[2..])),
        // The id of an echo plays the inner port: of the request's source, of the reply's target.
        ICMP if inner[0] == 8 => (be16(&inner[4..]), 0),
        ICMP if inner[0] == 0 => (0, be16(&inner[4..])),
        _ => return None,
    };
    Some(Flow {
        protocol: packet[9],
        header,
        source: be32(&packet[12..]),
        target: be32(&packet[16..]),
        source_port,
        target_port,
    })
}

/// Which end of a flow is rewritten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

/// Replaces address and port of one side and keeps all checksums right.
pub(super) fn rewrite(packet: &mut [u8], flow: &Flow, side: Side, address: u32, port: u16) {
    let source = side == Side::Source;
    let address_at = if source { 12 } else { 16 };
    let ports_at = flow.header + if source { 0 } else { 2 };
    let (checksum, port_at) = match flow.protocol {
        // Without a checksum.
        UDP if be16(&packet[flow.header + 6..]) == 0 => (None, ports_at),
        UDP => (Some(flow.header + 6), ports_at),
        TCP => (Some(flow.header + 16), ports_at),
        _ => (Some(flow.header + 2), flow.header + 4),
    };
    for (at, new) in [
        (address_at, (address >> 16) as u16),
        (address_at + 2, address as u16),
    ] {
        let old = be16(&packet[at..]);
        packet[at..at + 2].copy_from_slice(&new.to_be_bytes());
        mend(packet, 10, old, new);
        // ICMP's checksum does not cover the addresses.
        if let Some(checksum) = checksum.filter(|_| flow.protocol != ICMP) {
            mend(packet, checksum, old, new);
        }
    }
    let old = be16(&packet[port_at..]);
    packet[port_at..port_at + 2].copy_from_slice(&port.to_be_bytes());
    if let Some(checksum) = checksum {
        mend(packet, checksum, old, port);
        if flow.protocol == UDP && be16(&packet[checksum..]) == 0 {
            // Zero would say that there is none.
            packet[checksum..checksum + 2].fill(0xff);
        }
    }
}

/// A checksum after one 16-bit word has changed (RFC 1624).
fn mend(packet: &mut [u8], at: usize, old: u16, new: u16) {
    let mut sum = u32::from(!be16(&packet[at..])) + u32::from(!old) + u32::from(new);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    packet[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
