use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use wire::message::ByeReason;
use wire::{Bitrate, Message, PeerId, SecretKey, Time};

use super::super::Node;
use super::TIME_TO_ASK;
use crate::config::NodeConfig;
use crate::io::{Input, Outbox, Output, Participation, PlayoutWish};

const MOST: usize = 4;

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 4_000))
}

fn node() -> Node {
    let config = NodeConfig {
        peer: peer(200),
        key: SecretKey::from_bytes(&[200; 32]),
        listen: vec![addr(200)],
        upload: Bitrate::from_kbps(8_000),
        seed: 1,
        max_neighbours: MOST,
        ring_after: None,
        split_above: crate::SPLIT_ABOVE,
    };
    Node::new(config, Time::ZERO)
}

/// Connects a peer so far away that dialled this node, and says who was sent away, and why.
fn connect(node: &mut Node, now: Time, n: u8, rtt_ms: u64) -> Vec<(PeerId, ByeReason)> {
    let mut out = Outbox::new();
    let connected = Input::Connected {
        peer: peer(n),
        addr: addr(n),
        listen: vec![addr(n)],
        dialled: false,
        rtt: Some(Duration::from_millis(rtt_ms)),
        opened: false,
    };
    node.handle(now, connected, &mut out);
    let bye = |output| match output {
        Output::Send { to, message, .. } => match *message {
            Message::Bye(bye) => Some((to, bye.reason)),
            _ => None,
        },
        _ => None,
    };
    out.into_iter().filter_map(bye).collect()
}

/// A peer is connected that has said something with its first packet.
fn early(n: u8) -> Input {
    Input::Connected {
        peer: peer(n),
        addr: addr(n),
        listen: vec![addr(n)],
        dialled: false,
        rtt: None,
        opened: false,
    }
}

#[test]
fn the_farthest_idle_neighbour_makes_room_once_it_had_time_to_ask() {
    let mut node = node();
    let start = Time::from_millis(1_000);
    for n in 1..=MOST as u8 {
        assert_eq!(connect(&mut node, start, n, if n == 2 { 90 } else { 30 }), []);
    }
    assert_eq!(connect(&mut node, start, 10, 5), [(peer(10), ByeReason::Full)]);
    let later = start + TIME_TO_ASK + Duration::from_millis(1);
    assert_eq!(connect(&mut node, later, 11, 5), [(peer(2), ByeReason::Unneeded)]);
    // The one that has just come has that time, too.
    let sent_away: Vec<PeerId> = (12..=14)
        .flat_map(|n| connect(&mut node, later, n, 5))
        .map(|(peer, _)| peer)
        .collect();
    assert_eq!(sent_away, [peer(4), peer(3), peer(1)]);
    assert_eq!(connect(&mut node, later, 15, 5), [(peer(15), ByeReason::Full)]);
}

#[test]
fn nobody_makes_room_for_who_has_not_proved_to_be_here() {
    let mut node = node();
    let start = Time::from_millis(1_000);
    for n in 1..=MOST as u8 {
        assert_eq!(connect(&mut node, start, n, 30 + u64::from(n)), []);
    }
    let later = start + TIME_TO_ASK + Duration::from_millis(1);
    let farthest = peer(MOST as u8);
    for n in 10..14 {
        node.handle(later, early(n), &mut Outbox::new());
        assert!(node.neighbours.contains(&farthest), "{n}");
    }
    let proven = Input::Proven {
        peer: peer(10),
        rtt: Duration::from_millis(5),
    };
    node.handle(later, proven, &mut Outbox::new());
    assert!(!node.neighbours.contains(&farthest));
    assert!(node.neighbours.contains(&peer(10)));
}

#[test]
fn the_tracker_stays_however_far_it_is() {
    let stream = SecretKey::from_bytes(&[7; 32]).stream_id();
    let mut node = node();
    let start = Time::from_millis(1_000);
    let mut out = Outbox::new();
    let join = Input::Join {
        stream,
        via: vec![addr(1)],
        participation: Participation::Consume(PlayoutWish::default()),
    };
    node.handle(start, join, &mut out);
    let tracker = Input::Connected {
        peer: peer(1),
        addr: addr(1),
        listen: vec![addr(1)],
        dialled: true,
        rtt: Some(Duration::from_millis(500)),
        opened: false,
    };
    node.handle(start, tracker, &mut out);
    for n in 2..=MOST as u8 {
        assert_eq!(connect(&mut node, start, n, 30), []);
    }
    let later = start + TIME_TO_ASK + Duration::from_millis(1);
    // The tracker is the farthest, and stays.
    assert_eq!(connect(&mut node, later, 10, 5), [(peer(4), ByeReason::Unneeded)]);
}

#[test]
fn how_far_away_somebody_is_counts_from_whichever_proof_comes_first() {
    let start = Time::from_millis(1_000);
    let mut node = node();
    let mut out = Outbox::new();
    for n in [1, 2] {
        node.handle(start, early(n), &mut out);
        assert!(node.neighbours.is_unproven(&peer(n)));
    }
    let rtt = Duration::from_millis(30);
    node.handle(start, Input::Proven { peer: peer(1), rtt }, &mut out);
    // Or another connection of the pair, which was proved sooner.
    connect(&mut node, start, 2, 30);
    for n in [1, 2] {
        assert!(!node.neighbours.is_unproven(&peer(n)));
        assert_eq!(node.neighbours.get(&peer(n)).map(|known| known.rtt()), Some(rtt));
    }
    // What is measured later is not overwritten.
    node.handle(
        start,
        Input::Proven {
            peer: peer(1),
            rtt: 2 * rtt,
        },
        &mut out,
    );
    assert_eq!(node.neighbours.get(&peer(1)).map(|known| known.rtt()), Some(rtt));
}
