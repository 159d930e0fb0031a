//! Strangers who give themselves out as trackers: nobody follows them, and it costs them standing.

#[allow(unreachable_pub, dead_code, reason = "each test program uses a part")]
mod world;

use std::time::Duration;

use headwater_swarm::{Participation, PlayoutWish};
use wire::message::{
    Appoint, Appointment, HandOver, HoldFor, JoinAnswer, PeerRecord, ReplicaNews, RingNode, Role,
    SiblingNews, TrackerIs,
};
use wire::{Bitrate, List, Message, PeerId, SecretKey, Seq, Signed, SubstreamSet, Time};
use world::World;

const VIEWERS: usize = 6;

/// A source, viewers that help one another, and one stranger connected to all of them.
fn swarm(seed: u64) -> (World, usize) {
    let mut world = World::with_viewers(seed, VIEWERS);
    let stranger = world.add_stranger(Box::new(|_| Vec::new()));
    world.run_until(Time::from_millis(6_000));
    for index in 0..=VIEWERS {
        world.dial(stranger, index);
    }
    world.run_until(Time::from_millis(6_300));
    (world, stranger)
}

/// An appointment of this peer that the stream's key did not sign.
fn forged(world: &World, tracker: PeerId) -> Signed<Appointment> {
    let forger = SecretKey::from_bytes(&[66; 32]);
    let appointment = Appointment {
        stream: world.stream,
        tracker,
        serial: 1,
    };
    Signed::new(&appointment, &forger)
}

fn node(world: &World, of: usize) -> RingNode {
    let addr = std::net::SocketAddr::from(([10, 0, 0, of as u8 + 1], 4000));
    RingNode::new(
        world.peers[of].id,
        &coords::Coord::default(),
        [addr].into_iter().collect(),
    )
}

fn record(world: &World, of: usize) -> PeerRecord {
    PeerRecord {
        peer: world.peers[of].id,
        addrs: node(world, of).addrs,
        coord: coords::Coord::default(),
        role: Role::Consumer,
        slots: 1_000,
        free_slots: 1_000,
        primaries: SubstreamSet::all(16),
        leaves: SubstreamSet::EMPTY,
        has: SubstreamSet::all(16),
        lag_ms: Some(0),
    }
}

/// The stranger says this to everybody, more than once; everybody keeps its tracker, plays on, and thinks less of it.
#[track_caller]
fn check_no_effect(seed: u64, message: impl Fn(&World, usize, usize) -> Message) {
    let (mut world, stranger) = swarm(seed);
    let missed = |world: &World| -> u64 {
        let viewers = 1..=VIEWERS;
        viewers
            .map(|index| world.stats(index).streams[0].chunks_missed)
            .sum()
    };
    let before = missed(&world);
    let id = world.peers[stranger].id;
    let standing = |world: &World, at: usize| {
        let links = world.stats(at).neighbours;
        links
            .iter()
            .find(|link| link.peer == id)
            .map(|link| link.standing)
    };
    for _ in 0..2 {
        for index in 0..=VIEWERS {
            let message = message(&world, stranger, index);
            world.say(stranger, index, message);
        }
        let soon = world.now + Duration::from_millis(100);
        world.run_until(soon);
    }
    let blamed = (0..=VIEWERS).filter(|&at| standing(&world, at).is_none_or(|standing| standing < 0.95));
    assert!(blamed.count() > 0, "nobody minds");
    let later = world.now + Duration::from_secs(8);
    world.run_until(later);
    let caster = world.peers[0].id;
    for index in 1..=VIEWERS {
        let stats = world.stats(index);
        let stream = &stats.streams[0];
        assert_eq!(
            stream.tracker.map(|(peer, ..)| peer),
            Some(caster),
            "viewer {index}"
        );
        assert!(!stream.is_tracker, "viewer {index}");
    }
    assert_eq!(missed(&world), before);
}

#[test]
fn nobody_is_sent_to_a_tracker_by_a_stranger() {
    check_no_effect(1, |world, stranger, _| {
        let is = TrackerIs {
            stream: world.stream,
            tracker: node(world, stranger),
            appointment: forged(world, world.peers[stranger].id),
        };
        is.into()
    });
}

#[test]
fn nobody_becomes_a_tracker_by_a_strangers_word() {
    check_no_effect(2, |world, stranger, to| {
        let over = HandOver {
            stream: world.stream,
            appointment: Some(forged(world, world.peers[to].id)),
            peercaster: Some(node(world, stranger)),
            siblings: [node(world, stranger)].into_iter().collect(),
            records: [record(world, stranger)].into_iter().collect(),
            last: true,
        };
        over.into()
    });
}

#[test]
fn nobody_is_a_strangers_deputy() {
    check_no_effect(3, |world, stranger, to| {
        let news = ReplicaNews {
            stream: world.stream,
            appointment: Some(forged(world, world.peers[to].id)),
            peercaster: None,
            siblings: [node(world, stranger)].into_iter().collect(),
            records: [record(world, stranger)].into_iter().collect(),
            gone: List::default(),
        };
        news.into()
    });
}

#[test]
fn a_sibling_that_was_not_appointed_is_none() {
    check_no_effect(4, |world, stranger, _| {
        let news = SiblingNews {
            stream: world.stream,
            appointment: forged(world, world.peers[stranger].id),
            me: node(world, stranger),
            members: 0,
            short: 0,
            spare: [record(world, stranger)].into_iter().collect(),
            siblings: List::default(),
            answer: true,
        };
        news.into()
    });
}

#[test]
fn the_peercaster_appoints_nobody_for_a_stranger() {
    check_no_effect(5, |world, stranger, _| {
        let id = world.peers[stranger].id;
        let appoint = Appoint {
            stream: world.stream,
            own: forged(world, id),
            peer: id,
        };
        appoint.into()
    });
}

#[test]
fn a_stranger_cannot_promise_others_slots() {
    check_no_effect(6, |world, stranger, to| {
        let hold = HoldFor {
            stream: world.stream,
            at: world.peers[to].id,
            peer: world.peers[stranger].id,
            substreams: SubstreamSet::all(16),
        };
        hold.into()
    });
}

#[test]
fn a_newcomer_that_knows_only_an_impostor_does_not_believe_it() {
    let (mut world, _) = swarm(7);
    let stream = world.stream;
    let impostor = SecretKey::from_bytes(&[world.peers.len() as u8 + 1; 32]).peer_id();
    let appointment = forged(&world, impostor);
    let answer = JoinAnswer {
        stream,
        info: None,
        peers: List::default(),
        seats: List::default(),
        refresh_ms: 1_000,
        head: Seq(1_000),
        head_at: Time::ZERO,
        random_access: None,
        random_access_every_ms: None,
        primaries: SubstreamSet::EMPTY,
        supply: List::default(),
        members: 1,
        appointment: Some(appointment),
        siblings: List::default(),
        deputy: None,
    };
    let script = move |input: &headwater_swarm::Input| match input {
        headwater_swarm::Input::Message {
            message: Message::Join(_),
            ..
        } => vec![answer.clone().into()],
        _ => Vec::new(),
    };
    let liar = world.add_stranger(Box::new(script));
    assert_eq!(world.peers[liar].id, impostor);
    let newcomer = world.add(Bitrate::from_kbps(2_000));
    world.join_through(newcomer, liar, Participation::Consume(PlayoutWish::default()));
    let later = world.now + Duration::from_secs(3);
    world.run_until(later);
    let stats = world.stats(newcomer);
    assert_eq!(stats.streams[0].info, None);
    let blamed = stats
        .neighbours
        .iter()
        .all(|link| link.peer != impostor || link.standing < 0.95);
    assert!(blamed, "{:?}", stats.neighbours);
}
