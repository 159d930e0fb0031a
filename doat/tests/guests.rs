//! Peers that are no members ask the ring through members, or through one another.

mod support;

use std::time::Duration;

use coords::Coord;
use coords::coord::distance_ms;
use coords::hcurve::position_of;
use headwater_doat::{Doat, Event, Outbox, Output, closest};
use support::{Net, stream};
use wire::message::{Find, Found, RingNode};
use wire::{List, Message, PeerId, Time};

/// A ring of so many members that has come to rest.
fn ring_of(members: usize, seed: u64) -> Net {
    let mut net = Net::new(seed);
    for _ in 0..members {
        let coord = net.anywhere(false);
        net.add(&coord);
        net.pass(Duration::from_millis(50));
    }
    net.pass(Duration::from_secs(20));
    net
}

fn guest(net: &mut Net, knows: &[PeerId]) -> PeerId {
    let coord = net.anywhere(false);
    net.add_guest(&coord, knows)
}

#[test]
fn a_guest_finds_what_members_find() {
    let mut net = ring_of(60, 1);
    let ring = net.ring();
    net.lease(ring[40].peer, 1, Vec::new());
    net.pass(Duration::from_secs(3));
    let guest = guest(&mut net, &[ring[3].peer]);
    let query = net.find(guest, stream(1));
    net.pass(Duration::from_secs(2));
    let answer = net.answer(query);
    assert_eq!(answer.ways, 2);
    assert!(answer.trackers.iter().all(|found| found.peer == ring[40].peer));
    assert!(!answer.trackers.is_empty());
    // What is nowhere is not found, and that is an answer, too.
    let query = net.find(guest, stream(2));
    net.pass(Duration::from_secs(3));
    let answer = net.answer(query);
    assert_eq!((answer.ways, answer.trackers.len()), (2, 0));
}

#[test]
fn a_lease_that_is_excepted_hides_none_that_is_farther() {
    let mut net = ring_of(60, 6);
    let ring = net.ring();
    let (gone, too, there) = (ring[20].peer, ring[22].peer, ring[50].peer);
    for tracker in [gone, too, there] {
        net.lease(tracker, 1, Vec::new());
    }
    net.pass(Duration::from_secs(3));
    let guest = guest(&mut net, &[ring[21].peer]);
    for asker in [ring[21].peer, guest] {
        let query = net.find(asker, stream(1));
        net.pass(Duration::from_secs(2));
        let found = net.answer(query).trackers;
        assert!(
            found.iter().all(|node| [gone, too].contains(&node.peer)),
            "{found:?}"
        );
        let query = net.search(asker, |node, now, out| {
            node.find(now, stream(1), &[gone, too], out)
        });
        net.pass(Duration::from_secs(2));
        let answer = net.answer(query);
        assert_eq!(answer.ways, 2);
        assert!(!answer.trackers.is_empty());
        assert!(answer.trackers.iter().all(|node| node.peer == there));
    }
    // With all of them excepted there is none, and that is said.
    let query = net.search(guest, |node, now, out| {
        node.find(now, stream(1), &[gone, too, there], out)
    });
    // Each filter on the way says that there is one.
    net.pass(Duration::from_secs(10));
    let answer = net.answer(query);
    assert_eq!((answer.ways, answer.trackers.len()), (2, 0));
}

#[test]
fn who_knows_its_place_finds_what_is_near_that_and_not_near_its_entry() {
    let mut net = ring_of(120, 2);
    let ring = net.ring();
    let trackers: Vec<RingNode> = ring.iter().step_by(10).cloned().collect();
    let (mut nearest, asked) = (0, 40);
    for n in 0..asked {
        if n % 10 == 0 {
            for tracker in &trackers {
                net.lease(tracker.peer, 1, Vec::new());
            }
            net.pass(Duration::from_secs(3));
        }
        let entry = ring[(n * 37) % ring.len()].peer;
        let guest = guest(&mut net, &[entry]);
        let coord = net.nodes[&guest].me().coord;
        let query = net.search(guest, |node, now, out| {
            node.find_near(now, stream(1), position_of(&coord), &[], out)
        });
        net.pass(Duration::from_secs(2));
        let answer = net.answer(query);
        assert_eq!(answer.ways, 2);
        let away = |node: &RingNode| distance_ms(&node.coord, &coord);
        let best = |nodes: &[RingNode]| nodes.iter().map(away).min_by(f64::total_cmp).expect("some");
        nearest += u32::from(best(&answer.trackers) <= best(&trackers));
    }
    // By two trackers that name no siblings; from its entry it would be two in twelve.
    assert!(nearest >= 26, "{nearest} of {asked}");
}

#[test]
fn an_entry_that_is_gone_costs_some_time_and_no_answer() {
    let mut net = ring_of(40, 3);
    let ring = net.ring();
    net.lease(ring[30].peer, 1, Vec::new());
    net.pass(Duration::from_secs(3));
    let guest = guest(&mut net, &[ring[3].peer, ring[5].peer, ring[7].peer]);
    for gone in [3, 5] {
        net.crash(ring[gone].peer);
    }
    let query = net.find(guest, stream(1));
    net.pass(Duration::from_secs(4));
    let answer = net.answer(query);
    assert_eq!(answer.ways, 2);
    assert!(!answer.trackers.is_empty());
    assert!(answer.after < Duration::from_millis(2_600), "{:?}", answer.after);
    // The next time it asks the one that answered first.
    let query = net.find(guest, stream(1));
    net.pass(Duration::from_secs(2));
    let answer = net.answer(query);
    assert!(
        !answer.trackers.is_empty() && answer.after < Duration::from_millis(900),
        "{answer:?}"
    );
}

#[test]
fn a_newcomer_may_ask_any_node_of_the_overlay() {
    let mut net = ring_of(40, 4);
    let ring = net.ring();
    net.lease(ring[30].peer, 1, Vec::new());
    net.pass(Duration::from_secs(3));
    let viewer = guest(&mut net, &[ring[3].peer]);
    let newcomer = guest(&mut net, &[viewer]);
    let query = net.find(newcomer, stream(1));
    let position = ring[20].position();
    let seen = net.seek(newcomer, position);
    net.pass(Duration::from_secs(2));
    let answer = net.answer(query);
    assert_eq!(answer.ways, 2);
    assert!(!answer.trackers.is_empty());
    let seen = net.seen(seen);
    assert!(seen.iter().any(|node| node.peer == ring[20].peer), "{seen:?}");
    // From now on it knows members itself.
    net.crash(viewer);
    let query = net.find(newcomer, stream(1));
    net.pass(Duration::from_secs(4));
    assert!(!net.answer(query).trackers.is_empty());
}

#[test]
fn those_who_know_only_one_another_do_not_ask_in_circles() {
    let mut net = Net::new(5);
    let guests: Vec<PeerId> = (0..4).map(|_| guest(&mut net, &[])).collect();
    let nodes: Vec<RingNode> = guests.iter().map(|peer| net.nodes[peer].me().clone()).collect();
    for &peer in &guests {
        for node in &nodes {
            net.act(peer, |guest, _| guest.know(node));
        }
    }
    let query = net.find(guests[0], stream(1));
    net.pass(Duration::from_secs(6));
    let answer = net.answer(query);
    assert_eq!((answer.ways, answer.trackers.len()), (2, 0));
    assert!(net.messages < 150, "{} messages", net.messages);
    // And with nobody to ask the answer is there at once.
    let alone = guest(&mut net, &[]);
    let query = net.find(alone, stream(1));
    assert_eq!(net.answer(query).ways, 2);
}

#[test]
fn a_tracker_that_is_no_member_is_found_as_well() {
    let mut net = ring_of(60, 6);
    let ring = net.ring();
    let tracker = guest(&mut net, &[ring[3].peer]);
    let lease = net.signed_lease(tracker, 1);
    let now = net.now;
    net.act(tracker, |node, out| {
        node.place_lease(now, &lease, out).expect("signed and appointed");
    });
    net.pass(Duration::from_secs(3));
    let holders = ring.iter().filter(|node| net.nodes[&node.peer].leases() > 0);
    assert_eq!(holders.count(), 2);
    let query = net.find(ring[50].peer, stream(1));
    net.pass(Duration::from_secs(2));
    let answer = net.answer(query);
    assert_eq!(answer.trackers.first().map(|node| node.peer), Some(tracker));
}

#[test]
fn a_member_that_moves_is_found_at_its_new_place_and_by_the_old_one_no_more() {
    let mut net = ring_of(40, 7);
    let ring = net.ring();
    let (moving, now) = (ring[17].peer, net.now);
    let there = ring[35].clone();
    let me = RingNode::new(moving, &there.coord, List::default());
    net.act(moving, |node, out| node.move_to(now, me, out));
    net.pass(Duration::from_secs(20));
    let ring = net.ring();
    assert_eq!(ring.len(), 40, "it is a member again");
    let at = ring.iter().position(|node| node.peer == moving).expect("there");
    assert!(ring[at].coord == there.coord);
    for (n, node) in ring.iter().enumerate() {
        let next = net.nodes[&node.peer].ring().next(headwater_doat::Way::Up);
        assert_eq!(
            next.map(|node| node.peer),
            Some(ring[(n + 1) % 40].peer),
            "after {n}"
        );
    }
}

/// A guest on a bench, with three entries, and what it asks of whom.
struct Bench {
    guest: Doat,
    out: Outbox,
}

const NOW: Time = Time::from_millis(1_000);

fn node(n: u8) -> RingNode {
    RingNode::new(PeerId::from_bytes([n; 32]), &Coord::default(), List::default())
}

impl Bench {
    fn new() -> Self {
        let mut guest = Doat::new(NOW, node(9), 1);
        for n in 1..=3 {
            guest.know(&node(n));
        }
        let out = Outbox::new();
        Bench { guest, out }
    }

    /// The questions since the last call, and to whom.
    fn asked(&mut self) -> Vec<(PeerId, Find)> {
        let find = |output: &Output| match output {
            Output::Send { to, message, .. } => match &**message {
                Message::Find(find) => Some((*to, find.clone())),
                _ => None,
            },
            Output::Event(_) => None,
        };
        let asked = self.out.iter().filter_map(find).collect();
        self.out.retain(|output| matches!(output, Output::Event(_)));
        asked
    }

    fn answer(&mut self, from: PeerId, find: &Find, lease: Option<wire::message::Lease>) {
        for up in [true, false] {
            let found = Found {
                nonce: find.nonce,
                up,
                hops: 2,
                lease: lease.clone(),
            };
            self.guest.handle(NOW, from, found.into(), &mut self.out);
        }
    }

    fn found(&self) -> Vec<bool> {
        let found = |output: &Output| match output {
            Output::Event(Event::Found { lease, .. }) => Some(lease.is_some()),
            _ => None,
        };
        self.out.iter().filter_map(found).collect()
    }
}

#[test]
fn one_entry_that_knows_of_nothing_is_not_the_last_word() {
    let mut bench = Bench::new();
    bench.guest.find(NOW, stream(1), &[], &mut bench.out);
    for n in 1..=3 {
        let asked = bench.asked();
        let [(to, find)] = &asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!(*to, node(n).peer);
        assert_eq!(bench.found(), []);
        bench.answer(*to, find, None);
    }
    assert_eq!(bench.asked(), []);
    assert_eq!(bench.found(), [false, false], "three say so");
}

#[test]
fn an_entry_that_forges_a_lease_is_told_of_and_passed_by() {
    let mut net = Net::new(8);
    let tracker = net.add(&Coord::default());
    let (good, mut forged) = (net.signed_lease(tracker, 1), net.signed_lease(tracker, 2));
    // Another stream's appointment, and another's tracker.
    forged.lease = good.lease.clone();
    let mut bench = Bench::new();
    bench.guest.find(NOW, stream(1), &[], &mut bench.out);
    let (liar, find) = bench.asked().remove(0);
    bench.answer(liar, &find, Some(forged));
    assert_eq!(bench.out.first(), Some(&Output::Event(Event::Misbehaved(liar))));
    let (to, find) = bench.asked().remove(0);
    assert_ne!(to, liar);
    bench.answer(to, &find, Some(good));
    assert_eq!(bench.found(), [true, true]);
}

#[test]
fn the_closest_are_those_of_the_shortest_way() {
    let at = |n: u8, x_ms: f64| RingNode {
        coord: Coord {
            x_ms,
            ..Coord::default()
        },
        ..node(n)
    };
    let nodes = [at(1, 50.0), at(2, -10.0), at(3, 20.0), at(2, -10.0), at(4, 90.0)];
    let closest = closest(&nodes, &Coord::default(), 3);
    let peers: Vec<u8> = closest.iter().map(|node| node.peer.as_bytes()[0]).collect();
    assert_eq!(peers, [2, 3, 1]);
}
