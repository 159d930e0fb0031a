//! Rings of many members: they close, route, heal and lose nothing.

mod support;

use std::time::Duration;

use coords::coord::distance_ms;
use headwater_doat::Way;
use rand::RngExt;
use support::{Net, stream};
use wire::PeerId;
use wire::message::RingNode;

/// A ring of so many members that has come to rest.
fn ring_of(members: usize, clustered: bool, seed: u64) -> Net {
    let mut net = Net::new(seed);
    for _ in 0..members {
        let coord = net.anywhere(clustered);
        net.add(&coord);
        net.pass(Duration::from_millis(50));
    }
    net.pass(Duration::from_secs(30));
    net
}

/// Every member knows the next ones, and its fingers are 1, 2, 4, 8... ranks away.
fn assert_closed(net: &Net, fingers: bool) {
    let ring = net.ring();
    let count = ring.len();
    assert_eq!(count, net.nodes.len(), "all are members");
    for (at, node) in ring.iter().enumerate() {
        let member = &net.nodes[&node.peer];
        for way in Way::BOTH {
            let step = |rank: usize| match way {
                Way::Up => ring[(at + rank) % count].peer,
                Way::Down => ring[(at + count - rank % count) % count].peer,
            };
            let list: Vec<PeerId> = member.ring().list(way).iter().map(|n| n.peer).collect();
            let expected: Vec<PeerId> = (1..=8.min(count - 1)).map(step).collect();
            assert_eq!(list, expected, "{way:?} list of {at} of {count}");
            if !fingers {
                continue;
            }
            let named: Vec<PeerId> = member.fingers(way).map(|n| n.peer).collect();
            let levels = usize::BITS - (count - 1).leading_zeros();
            let expected: Vec<PeerId> = (0..levels).map(|level| step(1 << level)).collect();
            assert_eq!(named, expected, "{way:?} fingers of {at} of {count}");
        }
    }
}

#[test]
fn a_ring_closes_whoever_comes_through_whom() {
    for (members, clustered) in [
        (1, false),
        (2, false),
        (3, true),
        (9, false),
        (17, true),
        (150, true),
    ] {
        assert_closed(&ring_of(members, clustered, members as u64), true);
    }
}

/// Makes these members trackers of a stream; each knows the eight nearest others.
fn make_trackers(net: &mut Net, count: usize, n: u8) -> Vec<RingNode> {
    let mut ring = net.ring();
    let mut trackers = Vec::new();
    for _ in 0..count {
        let any = net.rng.random_range(0..ring.len());
        trackers.push(ring.swap_remove(any));
    }
    lease_all(net, &trackers, n);
    trackers
}

fn lease_all(net: &mut Net, trackers: &[RingNode], n: u8) {
    for tracker in trackers {
        let mut siblings: Vec<RingNode> = trackers
            .iter()
            .filter(|t| t.peer != tracker.peer)
            .cloned()
            .collect();
        siblings.sort_by(|a, b| {
            distance_ms(&a.coord, &tracker.coord).total_cmp(&distance_ms(&b.coord, &tracker.coord))
        });
        siblings.truncate(8);
        net.lease(tracker.peer, n, siblings);
    }
}

#[test]
fn every_member_finds_the_nearest_tracker() {
    for clustered in [false, true] {
        let mut net = ring_of(300, clustered, 7);
        for (n, count) in [(1, 1), (2, 4), (3, 16)] {
            let trackers = make_trackers(&mut net, count, n);
            net.pass(Duration::from_secs(5));
            let (mut nearest, mut stretch, mut hops, mut asked) = (0, 0.0, 0, 0);
            let askers = net.ring();
            let queries: Vec<_> = askers
                .iter()
                .map(|asker| net.find(asker.peer, stream(n)))
                .collect();
            net.pass(Duration::from_secs(3));
            for (asker, query) in askers.iter().zip(queries) {
                let answer = net.answer(query);
                assert_eq!(answer.ways, 2, "both directions answer");
                let away = |node: &RingNode| distance_ms(&node.coord, &asker.coord);
                let found = answer
                    .trackers
                    .iter()
                    .map(away)
                    .min_by(f64::total_cmp)
                    .expect("found");
                let best = trackers
                    .iter()
                    .map(away)
                    .min_by(f64::total_cmp)
                    .expect("there are some");
                nearest += u32::from(found <= best);
                stretch += found / best;
                hops = hops.max(answer.hops);
                asked += 1;
            }
            let share = f64::from(nearest) / f64::from(asked);
            let stretch = stretch / f64::from(asked);
            println!(
                "clustered {clustered}, {count} trackers: nearest {share:.3}, stretch {stretch:.3}, hops {hops}"
            );
            assert!(share >= 0.9 && stretch <= 1.05, "{share} {stretch}");
            assert!(hops <= 10, "{hops}, log2 of 300 is 8.2");
        }
        let query = net.find(net.ring()[0].peer, stream(99));
        net.pass(Duration::from_secs(2));
        let answer = net.answer(query);
        assert_eq!(
            (answer.ways, answer.trackers.len(), answer.hops),
            (2, 0, 1),
            "but for a neighbour whether it knows more"
        );
    }
}

#[test]
fn a_lease_that_is_not_renewed_is_forgotten_everywhere() {
    let mut net = ring_of(60, false, 3);
    make_trackers(&mut net, 1, 1);
    net.pass(Duration::from_secs(3));
    let asker = net.ring()[30].peer;
    let found = |net: &mut Net| {
        let query = net.find(asker, stream(1));
        net.pass(Duration::from_secs(1));
        net.answer(query).trackers.len()
    };
    assert!(found(&mut net) > 0);
    net.pass(Duration::from_secs(40));
    assert_eq!(found(&mut net), 0);
}

#[test]
fn a_third_crashes_and_the_ring_closes_again() {
    let mut net = ring_of(200, true, 11);
    let mut ring = net.ring();
    for _ in 0..66 {
        let any = net.rng.random_range(0..ring.len());
        let gone = ring.swap_remove(any);
        net.crash(gone.peer);
    }
    net.pass(Duration::from_secs(30));
    assert_closed(&net, true);
}

#[test]
fn who_leaves_is_missed_by_nobody_and_stays_outside() {
    let mut net = ring_of(40, false, 13);
    let gone = net.ring()[17].peer;
    net.leave(gone);
    // A fifth of the time in which a crash is noticed.
    net.pass(Duration::from_millis(700));
    let named = |net: &Net| {
        let names = |node: &RingNode| {
            let ring = net.nodes[&node.peer].ring();
            ring.holds(gone)
        };
        net.ring().iter().filter(|node| names(node)).count()
    };
    assert_eq!(named(&net), 0);
    net.pass(Duration::from_secs(40));
    assert_eq!((named(&net), net.ring().len()), (0, 39));
}

#[test]
fn two_halves_become_one_ring_again() {
    let mut net = ring_of(120, false, 5);
    net.cut = net.ring().iter().step_by(2).map(|node| node.peer).collect();
    net.pass(Duration::from_secs(60));
    let other_side = |net: &Net| {
        let across =
            |node: &RingNode, n: &RingNode| net.cut.contains(&n.peer) != net.cut.contains(&node.peer);
        let ring = net.ring();
        ring.iter()
            .filter(|node| {
                net.nodes[&node.peer]
                    .ring()
                    .list(Way::Up)
                    .iter()
                    .any(|n| across(node, n))
            })
            .count()
    };
    assert_eq!(other_side(&net), 0, "each half is a ring of its own");
    net.cut.clear();
    net.pass(Duration::from_secs(60));
    assert_closed(&net, true);
}

#[test]
fn two_rings_become_one_when_two_of_their_members_meet() {
    for (others, members) in [(1, 1), (40, 1), (1, 20), (40, 20)] {
        let mut net = ring_of(others, false, 23);
        let known = net.ring()[0].clone();
        let coord = net.anywhere(false);
        let first = net.add_through(&coord, None);
        let via = net.nodes[&first].me().clone();
        for _ in 1..members {
            let coord = net.anywhere(false);
            net.add_through(&coord, Some(via.clone()));
        }
        net.pass(Duration::from_secs(30));
        assert!(!net.nodes[&first].ring().holds(known.peer), "they are two rings");
        let now = net.now;
        net.act(first, |node, out| node.meet(now, &known, out));
        net.pass(Duration::from_secs(30));
        assert_closed(&net, true);
    }
}

#[test]
fn who_has_only_just_come_finds_what_its_neighbours_know_of() {
    let mut net = ring_of(80, true, 17);
    let trackers = make_trackers(&mut net, 2, 1);
    net.pass(Duration::from_secs(5));
    for _ in 0..20 {
        lease_all(&mut net, &trackers, 1);
        let coord = net.anywhere(true);
        let newcomer = net.add(&coord);
        while !net.nodes[&newcomer].is_member() {
            net.pass(Duration::from_millis(5));
        }
        // Its fingers have not answered yet.
        let query = net.find(newcomer, stream(1));
        net.pass(Duration::from_secs(2));
        let answer = net.answer(query);
        assert_eq!(answer.ways, 2);
        assert!(!answer.trackers.is_empty(), "{answer:?}");
    }
}

#[test]
fn a_lease_is_held_by_two_and_outlives_one_of_them() {
    let mut net = ring_of(60, false, 19);
    let ring = net.ring();
    let tracker = ring[20].peer;
    let lease = net.signed_lease(tracker, 1);
    let now = net.now;
    net.act(tracker, |node, out| {
        node.place_lease(now, &lease, out).expect("signed and new");
    });
    net.pass(Duration::from_secs(3));
    let holders: Vec<PeerId> = ring
        .iter()
        .map(|node| node.peer)
        .filter(|peer| net.nodes[peer].leases() > 0)
        .collect();
    assert_eq!(holders.len(), 2, "{holders:?}");
    assert!(holders.contains(&tracker));
    net.crash(tracker);
    net.pass(Duration::from_secs(5));
    let query = net.find(ring[50].peer, stream(1));
    net.pass(Duration::from_secs(2));
    assert_eq!(
        net.answer(query).trackers.first().map(|node| node.peer),
        Some(tracker)
    );
}
