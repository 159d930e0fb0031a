//! Nodes in an overlay, in memory: how newcomers find a stream whose peers they do not know.

#[allow(unreachable_pub, dead_code, reason = "each test program uses a part")]
mod world;

use std::time::Duration;

use headwater_swarm::{Event, Input, Participation, PlayoutWish};
use wire::{Bitrate, Time};
use world::World;

fn viewer() -> Participation {
    Participation::Consume(PlayoutWish::default())
}

/// A peercaster that starts a ring, and nodes outside its stream that were told of it or of the one before.
fn overlay(outside: usize, ring_after: Option<Duration>) -> World {
    let mut world = World::new(1, Duration::from_millis(20), 0.0);
    world.ring_after = ring_after;
    world.add(Bitrate::from_kbps(6_000));
    world.publish();
    for n in 0..outside {
        world.run_until(Time::from_millis(1_000 + 500 * n as u64));
        let index = world.add(Bitrate::from_kbps(4_000));
        world.enter(index, index - 1);
    }
    world.run_until(world.now + Duration::from_secs(10));
    world
}

fn members(world: &World) -> usize {
    (0..world.peers.len())
        .filter(|&index| world.peers[index].alive && world.stats(index).ring.member)
        .count()
}

fn looked_up(world: &World, index: usize) -> usize {
    let events = world.peers[index].events.iter();
    events
        .filter(|event| matches!(event, Event::LookedUp { .. }))
        .count()
}

#[test]
fn the_first_peercaster_is_a_ring_of_one() {
    let world = overlay(0, None);
    assert_eq!(members(&world), 1);
    let ring = world.stats(0).ring;
    assert_eq!((ring.successor, ring.predecessor, ring.entries), (None, None, 0));
}

#[test]
fn whoever_is_reached_and_stays_becomes_a_member() {
    // The last one is known to nobody, so that nobody has dialled it.
    let world = overlay(4, Some(Duration::from_secs(2)));
    assert_eq!(members(&world), 4);
    assert!(!world.stats(4).ring.member);
    for index in 0..4 {
        let ring = world.stats(index).ring;
        assert!(
            ring.successor.is_some() && ring.predecessor.is_some(),
            "{index}: {ring:?}"
        );
        assert!(ring.entries >= 3, "{index}: {ring:?}");
    }
    assert_eq!(members(&overlay(4, None)), 1, "not for those who never shall");
}

#[test]
fn a_newcomer_finds_a_stream_through_any_node_of_the_overlay() {
    for (ring_after, known) in [
        (Some(Duration::from_secs(2)), 3),
        (Some(Duration::from_secs(2)), 4),
        (None, 2),
    ] {
        let mut world = overlay(4, ring_after);
        let newcomer = world.add(Bitrate::from_kbps(2_000));
        world.join_through(newcomer, known, viewer());
        world.run_until(world.now + Duration::from_secs(8));
        let stats = world.stats(newcomer);
        let stream = &stats.streams[0];
        assert_eq!(stream.tracker.map(|(peer, ..)| peer), Some(world.peers[0].id));
        assert!(stream.chunks_played > 200, "through {known}: {stream:?}");
        assert_eq!(looked_up(&world, newcomer), 1);
    }
}

#[test]
fn a_newcomer_is_called_by_the_tracker() {
    // The way to whom it knows, from there to the holder of the lease and to the tracker, and back: 20 ms each. With a handshake, a
    // look-up, another handshake and a Join it would be 160 and more.
    for known in [1, 2, 3] {
        let mut world = overlay(4, Some(Duration::from_secs(2)));
        let newcomer = world.add(Bitrate::from_kbps(2_000));
        world.join_through(newcomer, known, viewer());
        world.run_until(world.now + Duration::from_millis(85));
        let answered = |event: &Event| matches!(event, Event::TrackerAnswered { .. });
        let events = &world.peers[newcomer].events;
        assert!(events.iter().any(answered), "through {known}: {events:?}");
        world.run_until(world.now + Duration::from_secs(3));
        assert_eq!(looked_up(&world, newcomer), 1);
    }
}

#[test]
fn whose_link_leads_nowhere_takes_another_way_in() {
    let mut world = overlay(2, Some(Duration::from_secs(2)));
    let gone = world.add(Bitrate::from_kbps(2_000));
    world.kill(gone);
    let newcomer = world.add(Bitrate::from_kbps(2_000));
    world.enter(newcomer, 2);
    world.join_through(newcomer, gone, viewer());
    world.run_until(world.now + Duration::from_secs(10));
    assert!(world.stats(newcomer).streams[0].chunks_played > 200);
}

#[test]
fn of_a_peercaster_that_is_gone_nothing_is_found_when_its_lease_is_over() {
    let mut world = overlay(4, Some(Duration::from_secs(2)));
    world.kill(0);
    world.run_until(world.now + Duration::from_secs(35));
    assert_eq!(members(&world), 3, "the others close the ring");
    let newcomer = world.add(Bitrate::from_kbps(2_000));
    world.join_through(newcomer, 3, viewer());
    world.run_until(world.now + Duration::from_secs(5));
    assert_eq!(looked_up(&world, newcomer), 0);
    let tried = |event: &Event| matches!(event, Event::NoTracker { .. });
    assert!(world.peers[newcomer].events.iter().any(tried), "and it says so");
}

#[test]
fn who_leaves_takes_its_lease_along() {
    let mut world = overlay(4, Some(Duration::from_secs(2)));
    world.feed(0, Input::Shutdown);
    world.run_until(world.now + Duration::from_secs(1));
    world.kill(0);
    let newcomer = world.add(Bitrate::from_kbps(2_000));
    world.join_through(newcomer, 3, viewer());
    world.run_until(world.now + Duration::from_secs(3));
    assert_eq!(looked_up(&world, newcomer), 0);
}

#[test]
fn a_survey_names_the_streams_of_the_overlay() {
    for (ring_after, asks) in [
        (Some(Duration::from_secs(2)), 2),
        (Some(Duration::from_secs(2)), 4),
        (None, 3),
    ] {
        let mut world = overlay(4, ring_after);
        world.feed(asks, Input::Survey);
        world.run_until(world.now + Duration::from_secs(11));
        let found = world.peers[asks].events.iter().find_map(|event| match event {
            Event::Surveyed { streams } => Some(streams.clone()),
            _ => None,
        });
        let found = found.expect("an answer");
        assert_eq!(found.len(), 1, "{asks}: {found:?}");
        assert_eq!(found[0].stream, world.stream);
        assert!(!found[0].via.is_empty());
    }
}

/// How often a node said that nobody answers at the addresses that were to lead into the overlay.
fn no_way_in(world: &World, index: usize) -> usize {
    let events = world.peers[index].events.iter();
    events.filter(|event| matches!(event, Event::NoWayIn)).count()
}

/// A peer casts a stream of its own.
fn casts(world: &mut World, index: usize) {
    let info = wire::StreamInfo {
        session: wire::Seq(7),
        revision: 0,
        started_at: world.now,
        substreams: 16,
        chunk_duration_us: 8000,
        rate: Bitrate::from_kbps(1_000),
        media: wire::Media::Opaque,
        title: String::new(),
        private: false,
    };
    let key = wire::SecretKey::from_bytes(&[99; 32]);
    world.feed(index, Input::Publish { key, info });
}

/// A peer that was gone comes back with a stream of its own, and so with a ring of its own if it is told of nobody.
fn comes_back(world: &mut World, index: usize) {
    world.revive(index);
    casts(world, index);
}

#[test]
fn a_peercaster_enters_the_overlay_though_a_viewer_came_first() {
    let mut world = overlay(0, None);
    let caster = world.add(Bitrate::from_kbps(6_000));
    let early = world.add(Bitrate::from_kbps(2_000));
    world.dial(early, caster);
    world.run_until(world.now + Duration::from_millis(100));
    assert!(world.are_connected(early, caster));
    world.enter(caster, 0);
    casts(&mut world, caster);
    world.run_until(world.now + Duration::from_secs(2));
    assert!(world.stats(caster).ring.member);
    assert_eq!(world.stats(caster).ring.successor, Some(world.peers[0].id));
}

/// After the peercaster was killed and is back: how many it dialled within two round trips, and whether it is in the ring of the others.
fn is_back(calls: bool) -> (u64, bool) {
    let mut world = overlay(4, Some(Duration::from_secs(2)));
    for _ in 0..3 {
        let index = world.add(Bitrate::from_kbps(4_000));
        world.join(index, viewer());
    }
    world.run_until(world.now + Duration::from_secs(5));
    let audience = world.stats(0).audience();
    assert!(!audience.is_empty());
    world.kill(0);
    world.run_until(world.now + Duration::from_secs(1));
    world.revive(0);
    let dials = world.peers[0].dials;
    if calls {
        world.recall(audience.clone());
    }
    world.publish_session(wire::Seq(1_000_000));
    world.run_until(world.now + Duration::from_millis(80));
    let dialled = world.peers[0].dials - dials;
    assert!(
        !calls
            || audience
                .iter()
                .all(|node| world.are_connected(0, world.index(node.peer)))
    );
    world.run_until(world.now + Duration::from_secs(1));
    (dialled, world.stats(0).ring.successor.is_some())
}

#[test]
fn a_peercaster_that_is_back_calls_its_audience_and_enters_the_ring_by_it() {
    let (dialled, in_ring) = is_back(true);
    assert!((1..=3).contains(&dialled) && in_ring, "{dialled}, {in_ring}");
    assert_eq!(is_back(false), (0, false));
}

#[test]
fn who_started_a_ring_because_nobody_answered_looks_on_and_the_two_become_one() {
    let mut world = World::new(1, Duration::from_millis(20), 0.0);
    world.add(Bitrate::from_kbps(6_000));
    let other = world.add(Bitrate::from_kbps(6_000));
    world.kill(other);
    world.enter(0, other);
    world.publish();
    world.run_until(Time::from_millis(9_000));
    assert_eq!((members(&world), no_way_in(&world, 0)), (0, 0));
    world.run_until(Time::from_millis(12_000));
    assert_eq!((members(&world), no_way_in(&world, 0)), (1, 1));
    // That viewers are connected is no reason to stop.
    let viewing = world.add(Bitrate::from_kbps(2_000));
    world.join(viewing, viewer());
    world.run_until(Time::from_millis(130_000));
    assert_eq!(no_way_in(&world, 0), 1, "it is said once");
    // After 0, 2, 6, 14, 30, 62 and 122 seconds.
    assert_eq!(world.peers[0].dials, 7);
    comes_back(&mut world, other);
    world.run_until(Time::from_millis(135_000));
    assert!(world.stats(other).ring.member && !world.are_connected(0, other));
    world.run_until(Time::from_millis(190_000));
    let next = |index: usize| world.stats(index).ring.successor;
    assert_eq!(next(0), Some(world.peers[other].id));
    assert_eq!(next(other), Some(world.peers[0].id));
    let dials = world.peers[0].dials;
    world.run_until(Time::from_millis(400_000));
    assert!(
        world.peers[0].dials <= dials + 1,
        "it has found whom it looked for"
    );
}

#[test]
fn who_has_no_stream_says_that_nobody_answers_only_if_it_is_so() {
    let mut world = World::new(1, Duration::from_millis(20), 0.0);
    let gone = world.add(Bitrate::from_kbps(6_000));
    world.kill(gone);
    let looking = world.add(Bitrate::from_kbps(2_000));
    world.enter(looking, gone);
    world.run_until(Time::from_millis(9_000));
    assert_eq!(no_way_in(&world, looking), 0);
    world.run_until(Time::from_millis(11_000));
    assert_eq!(no_way_in(&world, looking), 1);
    comes_back(&mut world, gone);
    // It connects, and again and again when nobody has had a use for the connection for a while.
    world.run_until(Time::from_millis(20_000));
    assert!(world.are_connected(looking, gone));
    world.run_until(Time::from_millis(200_000));
    assert_eq!(no_way_in(&world, looking), 1);
}

#[test]
fn who_has_not_answered_yet_is_not_shown_as_the_tracker() {
    let mut world = World::new(1, Duration::from_millis(20), 0.0);
    world.add(Bitrate::from_kbps(6_000));
    world.publish();
    world.run_until(Time::from_millis(1_000));
    let index = world.add(Bitrate::from_kbps(2_000));
    world.join(index, viewer());
    let answered = |world: &World| {
        let mut events = world.peers[index].events.iter();
        events.any(|event| matches!(event, Event::TrackerAnswered { .. }))
    };
    for ms in 1_000..1_500 {
        world.run_until(Time::from_millis(ms));
        let shown = world.stats(index).streams[0].tracker.is_some();
        assert_eq!(shown, answered(&world), "after {ms} ms");
    }
    assert!(answered(&world));
}

#[test]
fn the_ring_does_not_disturb_who_plays() {
    let mut world = World::new(2, Duration::from_millis(20), 0.0);
    world.ring_after = Some(Duration::from_secs(3));
    world.add(Bitrate::from_kbps(3_600));
    world.publish();
    for n in 0..8 {
        let index = world.add(Bitrate::from_kbps(2_000));
        world.run_until(Time::from_millis(1_000 + 300 * n));
        world.join(index, viewer());
    }
    world.run_until(Time::from_millis(25_000));
    assert!(members(&world) > 4, "{}", members(&world));
    for index in 1..world.peers.len() {
        let stream = &world.stats(index).streams[0];
        assert!(
            stream.continuity() >= 0.999,
            "viewer {index}: {}",
            stream.continuity()
        );
    }
}
