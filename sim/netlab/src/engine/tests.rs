use super::*;
use crate::gateway::tests::udp;
use crate::gateway::{be16, be32};
use crate::scenario::Scenario;

const MS: u64 = 1_000_000;

fn engine(text: &str) -> Engine {
    Engine::new(&Scenario::parse(text).unwrap()).unwrap()
}

fn send(engine: &mut Engine, from: usize, packet: &[u8], now: u64) {
    let slot = engine.pool.take().unwrap();
    engine.pool.buffer(slot)[..packet.len()].copy_from_slice(packet);
    engine.ingress(from, slot, packet.len(), now);
}

/// Node, when due and packet of everything delivered up to `until`.
fn drain(engine: &mut Engine, until: u64) -> Vec<(usize, u64, Vec<u8>)> {
    let mut delivered = Vec::new();
    engine.run_due(until, |node, packet, due| {
        delivered.push((node, due, packet.to_vec()));
        true
    });
    delivered
}

fn message(engine: &Engine, from: usize, to: usize, len: usize) -> Vec<u8> {
    udp(
        engine.nodes[from].address,
        1000,
        engine.nodes[to].external,
        2000,
        len,
    )
}

#[test]
fn delay_and_rates_add_up() {
    // 1500 bytes are 1 ms up (12 Mbit/s) and 2 ms down (6 Mbit/s), with 10 ms of way between.
    let mut e = engine(
        "[delay]\nconst_ms = 10.0\n[[nodes]]\nname = 'n'\ncount = 2\nup = '12mbit'\ndown = '6mbit'\nqueue_ms = 1000",
    );
    let packet = message(&e, 0, 1, 1472);
    for _ in 0..3 {
        send(&mut e, 0, &packet, 5 * MS);
    }
    assert!(drain(&mut e, 17 * MS).is_empty());
    let got: Vec<_> = (18..=40)
        .flat_map(|at| drain(&mut e, at * MS))
        .map(|(node, due, _)| (node, due))
        .collect();
    assert_eq!(got, [(1, 18 * MS), (1, 20 * MS), (1, 22 * MS)]);
    assert_eq!((e.pairs[1].bytes, e.pool.in_use()), (4500, 0));
    assert_eq!(e.nodes[1].traffic.received_bytes, 4500);
}

#[test]
fn jitter_has_its_mean_and_keeps_the_order_unless_asked() {
    for reorder in [false, true] {
        let mut e = engine(&format!(
            "reorder = {reorder}\n[[nodes]]\nname = 'n'\ncount = 2\n[default]\njitter_ms = 5"
        ));
        for k in 0..2000u16 {
            let packet = udp(e.nodes[0].address, k, e.nodes[1].address, 9, 4);
            send(&mut e, 0, &packet, u64::from(k) * 2 * MS);
        }
        let got = drain(&mut e, u64::MAX);
        let numbers: Vec<u16> = got.iter().map(|(_, _, packet)| be16(&packet[20..])).collect();
        assert_eq!((got.len(), numbers.is_sorted()), (2000, !reorder));
        if reorder {
            let late = got
                .iter()
                .zip(&numbers)
                .map(|((_, due, _), k)| due - u64::from(*k) * 2 * MS - 10 * MS);
            let mean_ms = late.sum::<u64>() as f64 / 2000.0 / MS as f64;
            assert!((mean_ms - 10.0).abs() < 0.6, "5 ms at each end: {mean_ms}");
        }
    }
}

#[test]
fn a_burst_shares_its_jitter() {
    let mut e = engine("[[nodes]]\nname = 'n'\ncount = 2\njitter_ms = 5\n");
    let packet = message(&e, 0, 1, 100);
    for at in [0, 1000, 2000] {
        send(&mut e, 0, &packet, 50 * MS + at);
    }
    let got = drain(&mut e, u64::MAX);
    assert_eq!((got[1].1 - got[0].1, got[2].1 - got[1].1), (1000, 1000));
}

#[test]
fn losses_partitions_cuts_and_sizes() {
    let mut e =
        engine("[[nodes]]\nname = 'n'\ncount = 4\n[[nodes]]\nname = 'x'\nloss_down = '10%'\npath_mtu = 1300");
    let packet = message(&e, 0, 4, 100);
    for k in 0..20_000 {
        send(&mut e, 0, &packet, k);
        drain(&mut e, u64::MAX);
    }
    let drops = |e: &Engine, why: Why| e.nodes[0].traffic.drops[why as usize];
    let lost = drops(&e, Why::Loss);
    assert!((1900..2100).contains(&lost), "{lost}");
    let packet = message(&e, 0, 4, 1400);
    send(&mut e, 0, &packet, 0);
    assert_eq!(drops(&e, Why::Mtu), 1);
    for node in e.select("n2..n3").unwrap() {
        e.nodes[node].group = 1;
    }
    let reaches = |e: &mut Engine, from, to| {
        let packet = message(e, from, to, 10);
        send(e, from, &packet, 0);
        drain(e, u64::MAX).len() == 1
    };
    assert!(reaches(&mut e, 0, 1) && !reaches(&mut e, 0, 2) && reaches(&mut e, 2, 3));
    e.nodes[1].cut = true;
    assert!(!reaches(&mut e, 0, 1));
    assert_eq!(e.select("n*,x").unwrap().len(), 5);
    assert!(e.select("zz").is_err());
}

#[test]
fn holes_are_punched_and_a_lan_is_short() {
    let mut e = engine(
        "[[nodes]]\nname = 'h'\ncount = 2\nlan = 'home'\nnat = 'port-restricted'\n\
         [[nodes]]\nname = 'o'\nnat = 'port-restricted'",
    );
    assert_eq!(e.nodes[0].external, e.nodes[1].external, "one NAT");
    let (home, other) = (e.nodes[1].clone(), e.nodes[2].clone());
    // The first one outward is filtered at the other side and opens this side; then both ways are open.
    let outward = udp(home.address, 7000, other.external, 8000, 5);
    send(&mut e, 1, &outward, 0);
    assert!(drain(&mut e, 20 * MS).is_empty());
    let back = udp(other.address, 8000, home.external, 7000, 5);
    send(&mut e, 2, &back, 21 * MS);
    let got = drain(&mut e, 40 * MS);
    assert_eq!((got.len(), got[0].0), (1, 1));
    assert_eq!(be32(&got[0].2[16..]), home.address);
    send(&mut e, 1, &outward, 41 * MS);
    assert_eq!(drain(&mut e, 60 * MS)[0].0, 2);

    // By the private address directly; multicast to the other member only.
    let own = e.nodes[0].address;
    send(&mut e, 0, &udp(own, 1, home.address, 2, 5), 100 * MS);
    send(&mut e, 0, &udp(own, 1, 0xe000_00fb, 5353, 5), 100 * MS);
    let got = drain(&mut e, 101 * MS);
    assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(got[0].1, 100 * MS + 200_000);
    assert_eq!(e.pool.in_use(), 0);
}
