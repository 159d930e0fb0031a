//! Connections between real nodes. The nodes come from scenarios without loss and jitter, and with joins so late that
//! nothing happens but what a test brings about.

use super::*;
use crate::net::Phase;

/// Peers 1 and 2 far from each other, present, and not asked to join anything.
fn two() -> World {
    let set = [
        "peers.count=2",
        "network.loss=0",
        "network.jitter_ms=0",
        "joins.0.at_s=60",
        "peers.ri=20",
        "donors.count=0",
        "measure.start_s=100",
    ];
    let set: Vec<String> = set.map(str::to_owned).to_vec();
    let mut world = World::new(&Scenario::load("paper-fig5", &set).unwrap(), None).unwrap();
    for number in [1, 2] {
        let peer = &mut world.peers[number];
        let config = NodeConfig {
            peer: peer.id,
            key: node_key(&peer.spec.secret),
            listen: vec![addr_of(number as u32)],
            upload: Bitrate::from_kbps(10_000),
            seed: 1,
            max_neighbours: 8,
            ring_after: None,
            split_above: swarm::SPLIT_ABOVE,
        };
        peer.uplink = Line::new(10_000_000, SimTime::START);
        peer.node = Some(Actor::Node(Box::new(Node::new(
            config,
            peer.clock.read(SimTime::START),
        ))));
    }
    world
}

fn until(world: &mut World, ns: u64) {
    world.run_until(SimTime(ns), &mut |_| {}).unwrap();
    world.now = SimTime(ns);
}

fn phases(world: &World) -> Option<[Phase; 2]> {
    let phase = |peer, other| {
        let (conn, end) = world.conns.between(peer, other)?;
        Some(world.conns.get(conn).phase(end))
    };
    Some([phase(1, 2)?, phase(2, 1)?])
}

#[test]
fn set_up_takes_one_round_trip_and_half_of_another() {
    let mut world = two();
    let one_way = world.space.one_way_ns(1, 2);
    // What the handshake's packets take on uplinks of some Mbit/s.
    let slack = 10 * MS;
    world.connect(1, None, &[addr_of(2)]);
    until(&mut world, 2 * one_way - 1);
    assert_eq!(phases(&world), Some([Phase::Dialling, Phase::Accepting]));
    until(&mut world, 2 * one_way + slack);
    assert_eq!(phases(&world), Some([Phase::Open, Phase::Accepting]));
    until(&mut world, 3 * one_way - 1);
    assert_eq!(phases(&world), Some([Phase::Open, Phase::Accepting]));
    until(&mut world, 3 * one_way + slack);
    assert_eq!(phases(&world), Some([Phase::Open, Phase::Open]));
}

#[test]
fn two_that_dial_each_other_have_one_connection() {
    let mut world = two();
    world.connect(2, None, &[addr_of(1)]);
    world.connect(1, Some(world.peers[2].id), &[addr_of(2)]);
    until(&mut world, SECOND);
    assert_eq!(phases(&world), Some([Phase::Open, Phase::Open]));
    assert_eq!(
        world.conns.between(1, 2).map(|(id, _)| id),
        world.conns.between(2, 1).map(|(id, _)| id)
    );
    assert_eq!(world.conns.between(1, 2).map(|(_, end)| end), Some(End::Dialler));
    let stats = |peer: usize| {
        world.peers[peer]
            .node
            .as_ref()
            .and_then(Actor::node)
            .unwrap()
            .stats(world.peers[peer].clock.read(world.now))
    };
    assert_eq!((stats(1).neighbours.len(), stats(2).neighbours.len()), (1, 1));
}

#[test]
fn a_dial_to_nobody_is_given_up() {
    let mut world = two();
    world.peers[2].node = None;
    world.connect(1, None, &[addr_of(2)]);
    until(&mut world, 1_900 * MS);
    assert!(world.conns.between(1, 2).is_some());
    until(&mut world, 2_100 * MS);
    assert!(world.conns.between(1, 2).is_none());
    // Somebody else answers there than was expected, and an address that cannot be: no connection, and no end of it.
    world.connect(1, Some(world.peers[0].id), &[addr_of(2)]);
    world.connect(1, None, &["192.0.2.1:9".parse().unwrap()]);
    world.connect(1, None, &[]);
    until(&mut world, 5 * SECOND);
    assert!(world.conns.of(1).is_empty());
}

#[test]
fn a_goodbye_travels_and_a_crash_is_noticed_late() {
    for (crash, noticed) in [(false, 500 * MS), (true, 2_000 * MS)] {
        let mut world = two();
        world.connect(1, None, &[addr_of(2)]);
        until(&mut world, SECOND);
        world.depart(1, crash);
        assert!(world.conns.of(1).is_empty());
        until(&mut world, SECOND + noticed - MS.min(noticed / 2));
        assert_eq!(world.conns.of(2).is_empty(), !crash, "crash {crash}");
        until(&mut world, SECOND + noticed + MS);
        assert!(world.conns.of(2).is_empty());
    }
}
