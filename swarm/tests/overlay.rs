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
