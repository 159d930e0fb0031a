//! Strangers in a small swarm: whatever they say, the picture is unharmed.

#[allow(unreachable_pub, dead_code, reason = "each test program uses a part")]
mod world;

use std::time::Duration;

use headwater_swarm::{Event, Input, Rejection};
use wire::message::{
    Advert, Displaced, Join, NO_LAG, Path, PeerRecord, Ping, Pong, Referral, RefuseReason, Refused, Request,
    Role, Subscribe, Subscribed,
};
use wire::{Bitrate, List, Message, PeerId, Seq, SignatureError, StreamId, Substream, SubstreamSet, Time};
use world::{Script, World};

const K: u8 = 16;

const VIEWERS: usize = 6;

/// A source with room for three copies, viewers that help one another, and place for a stranger.
fn swarm(seed: u64) -> World {
    World::with_viewers(seed, VIEWERS)
}

fn no_answer() -> Script {
    Box::new(|_| Vec::new())
}

/// The best supplier there is, by its own word.
fn boast(stream: StreamId, head: u64) -> Advert {
    Advert {
        stream_tag: stream.tag(),
        head: Seq(head),
        random_access_behind: None,
        held: 100,
        lags_ms: (0..K).map(|_| 0).collect(),
        slots: 1_000,
        free_slots: 1_000,
        primaries: SubstreamSet::all(K),
        leaves: SubstreamSet::EMPTY,
        takers: Some(1_000),
        backlog_ms: 0,
        copy_time_10us: 1,
        role: Role::Consumer,
    }
}

/// Registers a stranger as a member with much to give.
fn joining(stream: StreamId) -> Join {
    Join {
        stream,
        record: PeerRecord {
            peer: PeerId::from_bytes([0; 32]),
            addrs: List::default(),
            coord: coords::Coord::default(),
            role: Role::Consumer,
            slots: 1_000,
            free_slots: 1_000,
            primaries: SubstreamSet::all(K),
            leaves: SubstreamSet::EMPTY,
            has: SubstreamSet::all(16),
            lag_ms: Some(0),
        },
        want: 48,
        need: SubstreamSet::EMPTY,
        upload: Bitrate::from_kbps(100_000),
        known: None,
        promised: 0,
    }
}

/// Boasts to whoever connects, and answers what it is asked for by `answer`.
fn boaster(stream: StreamId, answer: impl Fn(&Subscribe) -> Vec<Message> + 'static) -> Script {
    Box::new(move |input| match input {
        Input::Connected { .. } => vec![joining(stream).into(), boast(stream, 1_000).into()],
        Input::Message {
            message: Message::Subscribe(subscribe),
            ..
        } => answer(subscribe),
        Input::Message {
            message: Message::Advert(_),
            ..
        } => vec![boast(stream, 1_000).into()],
        Input::Message {
            message: Message::Ping(ping),
            ..
        } => vec![
            Pong {
                nonce: ping.nonce,
                sent_at: ping.sent_at,
                ..Pong::default()
            }
            .into(),
        ],
        _ => Vec::new(),
    })
}

fn accepting(subscribe: &Subscribe) -> Vec<Message> {
    vec![
        Subscribed {
            stream: subscribe.stream,
            substreams: subscribe.substreams,
        }
        .into(),
    ]
}

/// Lets a stranger dial everybody.
fn visit_all(world: &mut World, stranger: usize) {
    for index in 0..=VIEWERS {
        world.dial(stranger, index);
    }
    let soon = Time::from_micros(world.now.as_micros() + 200_000);
    world.run_until(soon);
}

fn after(world: &World, ms: u64) -> Time {
    world.now + Duration::from_millis(ms)
}

fn standing(world: &World, at: usize, of: usize) -> Option<f64> {
    let stats = world.stats(at);
    let link = stats
        .neighbours
        .iter()
        .find(|link| link.peer == world.peers[of].id)?;
    Some(link.standing)
}

fn bans(world: &World, at: usize) -> Vec<PeerId> {
    let banned = |event: &Event| match event {
        Event::Banned { peer, .. } => Some(*peer),
        _ => None,
    };
    world.peers[at].events.iter().filter_map(banned).collect()
}

/// Chunks played, those of them late, and chunks missed, of each viewer: what came before the strangers is not theirs.
fn played(world: &World) -> Vec<(u64, u64, u64)> {
    let counts = |index: usize| {
        let stats = world.stats(index);
        let stream = &stats.streams[0];
        (stream.chunks_played, stream.chunks_late, stream.chunks_missed)
    };
    (1..=VIEWERS).map(counts).collect()
}

/// Every viewer has seen (nearly) all that was to be played since `before`; and nobody honest was blamed.
fn assert_unharmed(world: &World, before: &[(u64, u64, u64)], continuity: f64, strangers: &[usize]) {
    let strangers: Vec<PeerId> = strangers.iter().map(|&s| world.peers[s].id).collect();
    for (index, (now, before)) in played(world).iter().zip(before).enumerate() {
        let (played, late, missed) = (now.0 - before.0, now.1 - before.1, now.2 - before.2);
        assert!(played > 300, "viewer {} plays: {played}", index + 1);
        let seen = (played - late) as f64 / (played + missed) as f64;
        assert!(
            seen >= continuity,
            "viewer {}: {seen} ({late} late, {missed} missed)",
            index + 1
        );
    }
    for index in 0..=VIEWERS {
        assert!(bans(world, index).iter().all(|peer| strangers.contains(peer)));
        for link in &world.stats(index).neighbours {
            let honest = !strangers.contains(&link.peer);
            assert!(
                !honest || link.standing > 0.9,
                "{index} on {}: {}",
                link.peer,
                link.standing
            );
        }
    }
}

#[test]
fn wrong_signatures_cost_standing_and_then_the_connection() {
    let mut world = swarm(11);
    let stranger = world.add_stranger(no_answer());
    world.run_until(Time::from_millis(5_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    assert_eq!(standing(&world, 1, stranger), Some(1.0));
    for index in 0..=VIEWERS {
        world.reject(stranger, index, Rejection::Signature(SignatureError::Mismatch));
    }
    world.run_until(after(&world, 100));
    assert_eq!(bans(&world, 1), []);
    assert!(standing(&world, 1, stranger).expect("still here") < 0.5);
    for index in 0..=VIEWERS {
        world.reject(stranger, index, Rejection::Signature(SignatureError::Mismatch));
    }
    world.run_until(after(&world, 100));
    for index in 0..=VIEWERS {
        assert_eq!(bans(&world, index), [world.peers[stranger].id]);
        assert!(!world.are_connected(stranger, index));
    }
    // It is told so when it comes again, for ten minutes and no longer.
    visit_all(&mut world, stranger);
    world.run_until(after(&world, 100));
    assert!(!world.are_connected(stranger, 1));
    assert_eq!(standing(&world, 1, stranger), None);
    world.run_until(Time::from_millis(15_000));
    assert_unharmed(&world, &before, 1.0, &[stranger]);
}

#[test]
fn malformed_messages_and_floods_add_up() {
    let mut world = swarm(12);
    let (garbler, flooder) = (world.add_stranger(no_answer()), world.add_stranger(no_answer()));
    world.run_until(Time::from_millis(4_000));
    let before = played(&world);
    visit_all(&mut world, garbler);
    visit_all(&mut world, flooder);
    for n in 1..=10 {
        world.reject(garbler, 2, Rejection::Malformed);
        world.reject(flooder, 3, Rejection::Flood);
        world.run_until(after(&world, 100));
        assert_eq!(bans(&world, 2).is_empty(), n < 4, "after {n} malformed messages");
        assert_eq!(bans(&world, 3).is_empty(), n < 10, "after {n} floods");
    }
    world.run_until(Time::from_millis(10_000));
    assert_unharmed(&world, &before, 1.0, &[garbler, flooder]);
}

#[test]
fn who_agrees_and_never_sends_is_left_and_chosen_last() {
    let mut world = swarm(13);
    let stream = world.stream;
    let stranger = world.add_stranger(boaster(stream, accepting));
    world.run_until(Time::from_millis(5_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    world.run_until(Time::from_millis(30_000));
    assert_unharmed(&world, &before, 0.99, &[stranger]);
    let asked: u64 = (1..=VIEWERS)
        .filter_map(|i| world.peers[i].said.get(&(20, world.peers[stranger].id)))
        .sum();
    assert!(
        asked > 0,
        "the stranger must look like the best supplier, or this proves nothing"
    );
    // Each viewer tries it, for a few substreams, finds out, and then prefers others.
    assert!(asked <= 6 * VIEWERS as u64, "asked {asked} times in 25 s");
    let fallen = (1..=VIEWERS)
        .filter_map(|i| standing(&world, i, stranger))
        .filter(|&standing| standing < 1.0)
        .count();
    assert!(fallen > 0);
}

#[test]
fn who_refuses_everything_and_boasts_of_room_costs_little() {
    let mut world = swarm(14);
    let stream = world.stream;
    let stranger = world.add_stranger(boaster(stream, |subscribe| {
        vec![
            Refused {
                stream: subscribe.stream,
                substreams: subscribe.substreams,
                reason: RefuseReason::NoData,
                instead: List::default(),
            }
            .into(),
        ]
    }));
    world.run_until(Time::from_millis(5_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    // A newcomer meets it, too.
    world.run_until(Time::from_millis(30_000));
    assert_unharmed(&world, &before, 1.0, &[stranger]);
}

#[test]
fn absurd_adverts_have_no_effect() {
    let mut world = swarm(15);
    let stream = world.stream;
    let stranger = world.add_stranger(no_answer());
    // By then nobody moves to a better supplier of its own accord.
    world.run_until(Time::from_millis(9_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    let head = |world: &World| world.stats(1).streams[0].head;
    let parents = |world: &World, index: usize| -> Vec<_> {
        let stats = world.stats(index);
        stats.streams[0].substreams.iter().map(|s| s.parent).collect()
    };
    let known = head(&world);
    world.paused = true;
    world.run_until(after(&world, 400));
    let held: Vec<_> = (1..=VIEWERS).map(|index| parents(&world, index)).collect();
    for n in 0..40u64 {
        for index in 0..=VIEWERS {
            let claim = Advert {
                lags_ms: (0..K).map(|_| NO_LAG).collect(),
                held: u32::MAX,
                ..boast(stream, u64::MAX - n)
            };
            world.say(stranger, index, claim.clone());
            // As many lags as no description says.
            let lags_ms = (0..n as u8).map(|_| 0).collect();
            if n != u64::from(K) {
                world.say(stranger, index, Advert { lags_ms, ..claim });
            }
        }
        world.run_until(after(&world, 40));
    }
    assert!(head(&world).0 < known.0 + 100, "{known} -> {}", head(&world));
    // The encoder pauses, and nobody is to blame for that.
    for index in 1..=VIEWERS {
        assert_eq!(
            parents(&world, index),
            held[index - 1],
            "viewer {index} left its suppliers"
        );
    }
    world.paused = false;
    world.run_until(Time::from_millis(19_000));
    assert_unharmed(&world, &before, 0.99, &[stranger]);
}

/// Peers that do not exist.
fn referrals(n: u32) -> List<Referral, { wire::message::MAX_REFERRALS }> {
    (0..8u8)
        .map(|i| {
            let mut id = [i; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            Referral {
                peer: PeerId::from_bytes(id),
                addrs: std::iter::once(([192, 0, 2, i], 4000 + (n % 1000) as u16).into()).collect(),
            }
        })
        .collect()
}

#[test]
fn storms_of_displacements_and_refusals_do_not_make_anybody_dial() {
    let mut world = swarm(16);
    let stream = world.stream;
    let stranger = world.add_stranger(boaster(stream, accepting));
    world.run_until(Time::from_millis(5_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    let dialled: Vec<u64> = world.peers.iter().map(|peer| peer.dials).collect();
    for n in 0..2_000 {
        for index in 0..=VIEWERS {
            let displaced = Displaced {
                stream,
                substreams: SubstreamSet::all(K),
                instead: referrals(2 * n),
                grace_ms: 0,
            };
            world.say(stranger, index, displaced);
            let refused = Refused {
                stream,
                substreams: SubstreamSet(u64::MAX),
                reason: RefuseReason::Full,
                instead: referrals(2 * n + 1),
            };
            world.say(stranger, index, refused);
        }
        world.run_until(after(&world, 5));
    }
    for (index, earlier) in dialled.iter().enumerate().skip(1).take(VIEWERS) {
        let dials = world.peers[index].dials - earlier;
        // Ten at a time, each given three seconds.
        assert!(dials <= 50, "viewer {index} dialled {dials} times in 10 s");
    }
    world.run_until(Time::from_millis(25_000));
    assert_unharmed(&world, &before, 0.99, &[stranger]);
}

#[test]
fn paths_that_change_all_the_time_do_not_flood_the_children() {
    let mut world = swarm(17);
    let stream = world.stream;
    let stranger = world.add_stranger(boaster(stream, accepting));
    world.run_until(Time::from_millis(5_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    for n in 0..2_000u32 {
        for index in 0..=VIEWERS {
            for s in [0, 5, 63, 255] {
                let me = world.peers[index].id.tag();
                let path = Path {
                    stream,
                    substream: Substream(s),
                    // Now and then its own name: a loop.
                    attached: true,
                    ancestors: [n, if n % 50 == 0 { me } else { 7 }].into_iter().collect(),
                };
                world.say(stranger, index, path);
            }
        }
        world.run_until(after(&world, 5));
    }
    for peer in &world.peers[1..=VIEWERS] {
        for (&(code, to), &count) in &peer.said {
            // Five a second for each substream at most.
            assert!(code != 25 || count <= 16 * 5 * 20, "{count} paths to {to}");
        }
    }
    world.run_until(Time::from_millis(25_000));
    assert_unharmed(&world, &before, 0.99, &[stranger]);
}

#[test]
fn a_flood_of_subscriptions_ends_the_connection() {
    let mut world = swarm(18);
    let stream = world.stream;
    let stranger = world.add_stranger(no_answer());
    world.run_until(Time::from_millis(5_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    for _ in 0..3_000 {
        for index in 0..=VIEWERS {
            let subscribe = Subscribe {
                stream,
                substreams: SubstreamSet(u64::MAX),
                from: Seq(0),
                fanout: u16::MAX,
                orphan: true,
            };
            world.say(stranger, index, subscribe);
        }
        world.run_until(after(&world, 1));
    }
    for index in 0..=VIEWERS {
        assert_eq!(bans(&world, index), [world.peers[stranger].id], "at {index}");
    }
    world.run_until(Time::from_millis(20_000));
    // It took the places of others for a moment, which they found again elsewhere.
    assert_unharmed(&world, &before, 0.99, &[stranger]);
}

#[test]
fn requests_for_chunks_that_do_not_exist_and_impossible_coordinates() {
    let mut world = swarm(19);
    let stream = world.stream;
    let stranger = world.add_stranger(no_answer());
    world.run_until(Time::from_millis(5_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    for n in 0..300u64 {
        for index in 0..=VIEWERS {
            let request = Request {
                stream_tag: stream.tag(),
                seqs: [0, u64::MAX, u64::MAX - n, n].into_iter().map(Seq).collect(),
                deadline_ms: u16::MAX,
            };
            world.say(stranger, index, request);
            let ping = Ping {
                nonce: n as u32,
                sent_at: Time::NEVER,
                coord: coords::Coord::default(),
                coord_error: [f32::NAN, f32::INFINITY, -1.0][n as usize % 3],
            };
            world.say(stranger, index, ping);
        }
        world.run_until(after(&world, 10));
    }
    world.run_until(Time::from_millis(12_000));
    for index in 0..=VIEWERS {
        let stats = world.stats(index);
        assert!(stats.coord.x_ms.is_finite() && stats.coord_error.is_finite());
    }
    assert_unharmed(&world, &before, 1.0, &[stranger]);
}

#[test]
fn nobody_but_the_peercaster_poses_as_one() {
    let mut world = swarm(20);
    let stream = world.stream;
    let stranger = world.add_stranger(no_answer());
    world.run_until(Time::from_millis(4_000));
    let before = played(&world);
    visit_all(&mut world, stranger);
    for _ in 0..4 {
        let mut join = joining(stream);
        join.record.role = Role::Peercaster;
        world.say(stranger, 0, join);
    }
    world.run_until(after(&world, 200));
    assert_eq!(bans(&world, 0), [world.peers[stranger].id]);
    world.run_until(Time::from_millis(10_000));
    assert_unharmed(&world, &before, 1.0, &[stranger]);
}
