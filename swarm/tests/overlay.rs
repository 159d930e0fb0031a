//! Nodes in an overlay, in memory: how newcomers find a stream whose peers they do not know.

#[allow(unreachable_pub, dead_code, reason = "each test program uses a part")]
mod world;

use std::time::Duration;

use headwater_swarm::{Participation, PlayoutWish};
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

#[test]
fn the_first_peercaster_is_a_ring_of_one() {
    let world = overlay(0, None);
    assert_eq!(members(&world), 1);
    let ring = world.stats(0).ring;
    assert_eq!((ring.successor, ring.predecessor, ring.entries), (None, None, 0));
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
