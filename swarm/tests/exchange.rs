//! A small swarm in memory, end to end.

#[allow(unreachable_pub, dead_code, reason = "each test program uses a part")]
mod world;

use std::time::Duration;

use headwater_swarm::{Event, Participation, PlayoutWish};
use wire::{Bitrate, Time};
use world::World;

fn viewer() -> Participation {
    Participation::Consume(PlayoutWish::default())
}

/// A source with room for three copies, and viewers that must help one another.
fn swarm_of(viewers: usize, seed: u64, loss: f64) -> World {
    let mut world = World::new(seed, Duration::from_millis(20), loss);
    world.add(Bitrate::from_kbps(3_600));
    world.publish();
    for i in 0..viewers {
        let index = world.add(Bitrate::from_kbps(2_000));
        world.run_until(Time::from_millis(1_000 + 300 * i as u64));
        world.join(index, viewer());
    }
    world
}

#[test]
fn ten_viewers_get_every_byte_soon() {
    let mut world = swarm_of(10, 1, 0.0);
    world.run_until(Time::from_millis(20_000));
    for index in 1..world.peers.len() {
        let peer = &world.peers[index];
        let stats = peer.node.stats(world.now);
        let stream = &stats.streams[0];
        assert!(
            world.contiguous_from(index).is_some(),
            "viewer {index} altered the stream"
        );
        assert!(
            stream.continuity() >= 0.999,
            "viewer {index}: {}",
            stream.continuity()
        );
        let lag_ms = peer.played.last().expect("played").2 / 1000;
        // Two or three hops of 20 ms, the chunk's own 8 ms, the guard.
        assert!((20..=160).contains(&lag_ms), "viewer {index} lags {lag_ms} ms");
        assert!(stream.clock_error_ms.expect("known") <= 60.0);
    }
    let out: u64 = world.peers[0].node.stats(world.now).streams[0].bytes_out;
    let produced: u64 = world.sent.iter().map(|payload| payload.len() as u64).sum();
    assert!(
        out <= produced * 36 / 10,
        "the source sent {out} of {produced} bytes: more than its uplink"
    );
}

#[test]
fn one_lost_copy_in_twenty_is_repaired() {
    let mut world = swarm_of(8, 2, 0.05);
    world.run_until(Time::from_millis(25_000));
    for index in 1..world.peers.len() {
        let stats = world.peers[index].node.stats(world.now);
        let stream = &stats.streams[0];
        assert!(stream.repairs_requested > 0);
        assert!(
            stream.continuity() >= 0.99,
            "viewer {index}: {}",
            stream.continuity()
        );
    }
}

#[test]
fn the_death_of_half_is_survived() {
    let mut world = swarm_of(12, 3, 0.0);
    world.run_until(Time::from_millis(15_000));
    for index in (2..13).step_by(2) {
        world.kill(index);
    }
    let before: Vec<(u64, u64)> = (0..13).map(|index| in_time_of_due(&world, index)).collect();
    world.run_until(Time::from_millis(75_000));
    for index in (1..13).step_by(2) {
        let peer = &world.peers[index];
        let now = in_time_of_due(&world, index);
        let continuity = (now.0 - before[index].0) as f64 / (now.1 - before[index].1) as f64;
        assert!(
            continuity >= 0.99,
            "viewer {index}, over the minute: {continuity}"
        );
        let last = peer.played.last().expect("played");
        assert_eq!(world.sent.last().map(|_| ()), Some(()));
        assert!(
            last.2 < 1_500_000,
            "viewer {index} ends {} ms behind",
            last.2 / 1000
        );
    }
}

#[test]
fn a_donor_multiplies_what_it_takes() {
    let mut world = World::new(4, Duration::from_millis(10), 0.0);
    // Room for three copies: four viewers and a donor cannot all live on the source.
    world.add(Bitrate::from_kbps(3_600));
    world.publish();
    let donor = world.add(Bitrate::from_kbps(4_000));
    world.run_until(Time::from_millis(500));
    world.join(donor, Participation::Donate);
    for i in 0..4 {
        // The viewers cannot feed one another.
        let index = world.add(Bitrate::from_kbps(100));
        world.run_until(Time::from_millis(1_500 + 200 * i));
        world.join(index, viewer());
    }
    // The donor takes one more substream a second while most of its slots lie idle, so the first seconds are poor.
    world.run_until(Time::from_millis(10_000));
    let due_before: Vec<(u64, u64)> = (2..6).map(|index| in_time_of_due(&world, index)).collect();
    world.run_until(Time::from_millis(20_000));
    let stats = world.peers[donor].node.stats(world.now);
    let factor = stats.streams[0].bytes_out as f64 / stats.streams[0].bytes_in as f64;
    assert!(factor > 1.5, "multiplies by {factor:.2}");
    for (index, before) in (2..6).zip(due_before) {
        let now = in_time_of_due(&world, index);
        let continuity = (now.0 - before.0) as f64 / (now.1 - before.1) as f64;
        assert!(continuity >= 0.99, "viewer {index}: {continuity}");
    }
}

/// Chunks handed over in time, and chunks due, since playout began.
fn in_time_of_due(world: &World, index: usize) -> (u64, u64) {
    let stats = world.peers[index].node.stats(world.now);
    let stream = &stats.streams[0];
    (
        stream.chunks_played - stream.chunks_late,
        stream.chunks_played + stream.chunks_missed,
    )
}

#[test]
fn the_end_reaches_everybody() {
    let mut world = swarm_of(5, 5, 0.0);
    world.run_until(Time::from_millis(8_000));
    let stream = world.stream;
    world.feed(0, headwater_swarm::Input::EndOfStream { stream });
    world.run_until(Time::from_millis(9_500));
    for peer in &world.peers[1..] {
        assert!(
            peer.events
                .iter()
                .any(|event| matches!(event, Event::Ended { .. }))
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let mut world = swarm_of(6, seed, 0.02);
        world.run_until(Time::from_millis(10_000));
        world
            .peers
            .iter()
            .map(|peer| peer.played.clone())
            .collect::<Vec<_>>()
    };
    assert!(trace(7) == trace(7));
    assert!(
        trace(7) != trace(8),
        "the seed must matter, or this proves nothing"
    );
}

#[test]
fn who_knows_any_viewer_finds_the_tracker() {
    let mut world = swarm_of(3, 4, 0.0);
    world.run_until(Time::from_millis(4_000));
    let newcomer = world.add(Bitrate::from_kbps(2_000));
    world.join_through(newcomer, 2, viewer());
    world.run_until(Time::from_millis(9_000));
    let stats = world.peers[newcomer].node.stats(world.now);
    let stream = &stats.streams[0];
    assert_eq!(stream.tracker.map(|(peer, ..)| peer), Some(world.peers[0].id));
    assert!(
        stream.chunks_played > 200 && stream.continuity() >= 0.999,
        "{stream:?}"
    );
    let waited = world.peers[newcomer].played.first().expect("played");
    assert!(world.contiguous_from(newcomer).is_some(), "{waited:?}");
}

#[test]
fn who_knows_only_a_stranger_to_the_stream_waits_and_tries_again() {
    let mut world = swarm_of(2, 5, 0.0);
    let stranger = world.add(Bitrate::from_kbps(2_000));
    let newcomer = world.add(Bitrate::from_kbps(2_000));
    world.join_through(newcomer, stranger, viewer());
    world.run_until(Time::from_millis(12_000));
    let newcomer_said = &world.peers[newcomer].said;
    let asked: u64 = newcomer_said
        .iter()
        .filter(|((code, _), _)| *code == 10)
        .map(|(_, count)| *count)
        .sum();
    assert!((3..=12).contains(&asked), "asked {asked} times in 11 s");
    assert_eq!(
        world.peers[newcomer].dials, 1,
        "over the connection that there is"
    );
    // It comes to know: then its guest finds the way.
    world.join(stranger, viewer());
    world.run_until(Time::from_millis(22_000));
    let stats = world.peers[newcomer].node.stats(world.now);
    assert!(stats.streams[0].chunks_played > 0, "{:?}", stats.streams[0]);
}

#[test]
fn a_donor_ends_once_its_viewers_have_played_to_the_end() {
    let mut world = World::new(4, Duration::from_millis(10), 0.0);
    world.add(Bitrate::from_kbps(3_600));
    world.publish();
    let donor = world.add(Bitrate::from_kbps(8_000));
    world.run_until(Time::from_millis(500));
    world.join(donor, Participation::Donate);
    for i in 0..4 {
        let index = world.add(Bitrate::from_kbps(100));
        world.run_until(Time::from_millis(1_500 + 200 * i));
        world.join(index, viewer());
    }
    world.run_until(Time::from_millis(12_000));
    let stream = world.stream;
    world.paused = true;
    world.feed(0, headwater_swarm::Input::EndOfStream { stream });
    let ends = |world: &World, index: usize| {
        let events = world.peers[index].events.iter();
        events
            .filter(|event| matches!(event, Event::Ended { .. }))
            .count()
    };
    world.run_until(Time::from_millis(12_500));
    assert!(world.stats(donor).streams[0].slots_used > 0, "it serves somebody");
    assert_eq!(ends(&world, donor), 0, "they have not played it yet");
    world.run_until(Time::from_millis(18_500));
    for index in 1..world.peers.len() {
        assert_eq!(ends(&world, index), 1, "peer {index}");
    }
}
