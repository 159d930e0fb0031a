//! Local trackers that split, merge and are succeeded while everybody plays.

#[allow(unreachable_pub, dead_code, reason = "each test program uses a part")]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_swarm::{Event, Input, Participation, PlayoutWish, TrackingChange};
use wire::{Bitrate, PeerId, Seq, Time};
use world::World;

fn viewer() -> Participation {
    Participation::Consume(PlayoutWish::default())
}

/// A source with room for six copies and viewers that can each give two; areas of more than `split_above` are split.
fn swarm_of(viewers: usize, seed: u64, split_above: usize) -> World {
    let mut world = World::new(seed, Duration::from_millis(20), 0.0);
    world.split_above = split_above;
    world.add(Bitrate::from_kbps(7_000));
    world.publish();
    for i in 0..viewers {
        let index = world.add(Bitrate::from_kbps(2_500));
        world.run_until(Time::from_millis(500 + 100 * i as u64));
        world.join(index, viewer());
    }
    world
}

fn secs(seconds: u64) -> Time {
    Time::from_millis(seconds * 1_000)
}

/// The trackers, each with how many are registered there by their own word.
fn areas(world: &World) -> BTreeMap<PeerId, usize> {
    let mut areas = BTreeMap::new();
    for (index, peer) in world.peers.iter().enumerate() {
        if !peer.alive {
            continue;
        }
        let stats = world.stats(index);
        let Some(stream) = stats.streams.first() else {
            continue;
        };
        if stream.is_tracker {
            areas.entry(peer.id).or_default();
        } else if let Some((tracker, ..)) = stream.tracker {
            *areas.entry(tracker).or_default() += 1;
        }
    }
    areas
}

fn changes(world: &World, what: TrackingChange) -> usize {
    let all = world.peers.iter().flat_map(|peer| &peer.events);
    all.filter(|event| matches!(event, Event::Tracking { change, .. } if *change == what))
        .count()
}

/// Chunks given up and chunks played late, by everybody who is there.
fn harm(world: &World) -> Vec<(usize, u64, u64)> {
    let there = (1..world.peers.len()).filter(|&index| world.peers[index].alive);
    let streams = there.filter_map(|index| Some((index, world.stats(index).streams.first()?.clone())));
    streams
        .map(|(index, stream)| (index, stream.chunks_missed, stream.chunks_late))
        .collect()
}

/// Nobody who is there has missed anything since.
#[track_caller]
fn assert_no_gap(world: &World, before: &[(usize, u64, u64)]) {
    for (index, missed, _) in harm(world) {
        if let Some(was) = before.iter().find(|was| was.0 == index) {
            assert_eq!(missed, was.1, "chunks that viewer {index} missed");
        }
    }
}

fn index_of(world: &World, id: PeerId) -> usize {
    world
        .peers
        .iter()
        .position(|peer| peer.id == id)
        .expect("one of this world")
}

#[test]
fn an_area_is_split_and_merged_again_while_everybody_plays() {
    let mut world = swarm_of(40, 1, 24);
    world.run_until(Time::from_millis(4_700));
    assert_eq!(areas(&world).len(), 1);
    // Playout settles in its first seconds.
    world.run_until(secs(6));
    let before = harm(&world);
    world.run_until(secs(25));
    let now = areas(&world);
    assert!(now.len() >= 2, "{now:?}");
    assert!(now.values().all(|&members| members <= 24), "{now:?}");
    assert_eq!(changes(&world, TrackingChange::TookOver), 0);
    assert_no_gap(&world, &before);
    // Most leave, and what is left becomes one area again.
    let stream = world.stream;
    let mut left = 0;
    for index in 1..=40 {
        let stats = world.stats(index);
        if stats.streams[0].is_tracker || left == 37 {
            continue;
        }
        left += 1;
        world.feed(index, Input::LeaveStream { stream });
        let soon = world.now + Duration::from_millis(150);
        world.run_until(soon);
    }
    // Suppliers left with them; whoever is still there has others by now.
    let settled = world.now + Duration::from_secs(8);
    world.run_until(settled);
    assert_eq!(changes(&world, TrackingChange::Merged), 0);
    let before = harm(&world);
    world.run_until(secs(120));
    assert_eq!(areas(&world).len(), 1, "{:?}", areas(&world));
    assert!(changes(&world, TrackingChange::Merged) >= 1);
    assert_no_gap(&world, &before);
}

#[test]
fn the_members_of_a_tracker_that_is_gone_are_taken_over_by_its_deputy() {
    let mut world = swarm_of(40, 2, 24);
    world.run_until(secs(25));
    let before = areas(&world);
    let caster = world.peers[0].id;
    let (gone, members) = before
        .iter()
        .find(|(peer, _)| **peer != caster)
        .expect("it has been split");
    assert!(*members >= 5, "{before:?}");
    let gone = index_of(&world, *gone);
    world.kill(gone);
    let harm_before = harm(&world);
    world.run_until(secs(40));
    let now = areas(&world);
    assert!(!now.contains_key(&world.peers[gone].id), "{now:?}");
    assert!(changes(&world, TrackingChange::TookOver) >= 1);
    assert_eq!(
        now.values().sum::<usize>() + now.len(),
        40,
        "everybody is registered somewhere: {now:?}"
    );
    // Its children had to find other suppliers, as those of any peer that is gone.
    let missed: u64 =
        harm(&world).iter().map(|h| h.1).sum::<u64>() - harm_before.iter().map(|h| h.1).sum::<u64>();
    let due = 39 * 15 * 125;
    assert!((missed as f64) < 0.03 * f64::from(due), "{missed} of {due}");
}

#[test]
fn a_deputy_goes_on_for_the_peercaster_and_gives_its_area_back() {
    let mut world = swarm_of(12, 3, 256);
    world.run_until(secs(15));
    assert_eq!(areas(&world).len(), 1);
    world.kill(0);
    world.paused = true;
    world.run_until(secs(25));
    assert_eq!(
        changes(&world, TrackingChange::TookOver),
        1,
        "{:?}",
        areas(&world)
    );
    let acting = areas(&world);
    assert_eq!(
        (acting.len(), acting.values().sum::<usize>()),
        (1, 11),
        "{acting:?}"
    );
    world.revive(0);
    world.paused = false;
    let back = world.now;
    world.publish_session(Seq(1_000_000));
    // It was away for ten seconds: those who call it do so every four by now, give or take two.
    world.run_until(back + Duration::from_secs(8));
    for index in 1..=12 {
        let last = world.peers[index].played.last().expect("played").0;
        assert!(last > Seq(1_000_000), "viewer {index} plays on: {last}");
    }
    world.run_until(back + Duration::from_secs(25));
    let now = areas(&world);
    assert_eq!(
        now.keys().copied().collect::<Vec<_>>(),
        [world.peers[0].id],
        "{now:?}"
    );
    assert_eq!(now.values().sum::<usize>(), 12);
    assert_eq!(changes(&world, TrackingChange::Merged), 1);
}
