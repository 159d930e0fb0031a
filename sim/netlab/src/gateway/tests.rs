use super::*;

fn sum(words: &[u8], mut sum: u32) -> u16 {
    for word in words.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A valid UDP packet with so many bytes of payload.
pub(crate) fn udp(source: u32, source_port: u16, target: u32, target_port: u16, len: usize) -> Vec<u8> {
    let mut p = vec![0u8; 28 + len];
    p[0] = 0x45;
    p[2..4].copy_from_slice(&(28 + len as u16).to_be_bytes());
    p[8..10].copy_from_slice(&[64, 17]);
    p[12..16].copy_from_slice(&source.to_be_bytes());
    p[16..20].copy_from_slice(&target.to_be_bytes());
    let check = !sum(&p[..20], 0);
    p[10..12].copy_from_slice(&check.to_be_bytes());
    p[20..22].copy_from_slice(&source_port.to_be_bytes());
    p[22..24].copy_from_slice(&target_port.to_be_bytes());
    p[24..26].copy_from_slice(&(8 + len as u16).to_be_bytes());
    p[28..].fill(0x5a);
    let check = !with_addresses(&p);
    p[26..28].copy_from_slice(&check.to_be_bytes());
    p
}

fn with_addresses(p: &[u8]) -> u16 {
    sum(&p[20..], u32::from(sum(&p[12..20], 17 + (p.len() - 20) as u32)))
}

fn is_valid(p: &[u8]) -> bool {
    sum(&p[..20], 0) == 0xffff && with_addresses(p) == 0xffff
}

const INSIDE: u32 = 0xc0a8_0102;
const OUTSIDE: u32 = 0x0a4d_0001;
const B: u32 = 0x0a4d_0002;
const C: u32 = 0x0a4d_0003;
const S: u64 = 1_000_000_000;

/// Whether an answer comes in from B:9, from B:10, from C:9, and whether the mapping is the same towards C.
fn behaviour(kind: Kind) -> [bool; 4] {
    let mut gateway = Gateway::new(kind, OUTSIDE, 60 * S, false, 1);
    let mut out = udp(INSIDE, 5000, B, 9, 33);
    assert!(gateway.outbound(&mut out, 4, 0) && is_valid(&out));
    let (address, port) = (be32(&out[12..]), be16(&out[20..]));
    assert_eq!(address, if kind.translates() { OUTSIDE } else { INSIDE });
    let mut comes_in = |source, source_port| {
        let mut p = udp(source, source_port, address, port, 10);
        let node = gateway.inbound(&mut p, 1);
        if node.is_some() {
            assert!(is_valid(&p) && be32(&p[16..]) == INSIDE && be16(&p[22..]) == 5000);
            assert_eq!(node, Some(4));
        }
        node.is_some()
    };
    let (first, second, third) = (comes_in(B, 9), comes_in(B, 10), comes_in(C, 9));
    let mut other = udp(INSIDE, 5000, C, 9, 1);
    assert!(gateway.outbound(&mut other, 4, 2));
    let expired = gateway.inbound(&mut udp(B, 9, address, port, 1), 200 * S);
    assert!(expired.is_none());
    let unknown = gateway.inbound(&mut udp(B, 9, address, port ^ 1, 1), 3);
    assert!(unknown.is_none());
    [first, second, third, be16(&other[20..]) == port]
}

#[test]
fn each_kind_behaves_as_its_name_says() {
    assert_eq!(behaviour(Kind::FullCone), [true, true, true, true]);
    assert_eq!(behaviour(Kind::AddressRestricted), [true, true, false, true]);
    assert_eq!(behaviour(Kind::PortRestricted), [true, false, false, true]);
    assert_eq!(behaviour(Kind::Symmetric), [true, false, false, false]);
    assert_eq!(behaviour(Kind::Firewall), [true, false, false, true]);
}

#[test]
fn two_hosts_inside_get_two_ports_and_what_is_old_goes() {
    let mut gateway = Gateway::new(Kind::PortRestricted, OUTSIDE, 60 * S, false, 1);
    let (mut a, mut b) = (udp(INSIDE, 5000, B, 9, 1), udp(INSIDE + 1, 5000, B, 9, 1));
    assert!(gateway.outbound(&mut a, 0, 0) && gateway.outbound(&mut b, 1, 0));
    assert_eq!(be16(&a[20..]), 5000);
    assert_ne!(be16(&b[20..]), 5000);
    gateway.sweep(61 * S);
    assert!(gateway.out.is_empty() && gateway.back.is_empty());
}
