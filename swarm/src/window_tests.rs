use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use wire::{Chunk, ChunkFlags, ChunkHeader, SecretKey, Seq, Time};

use super::{Inserted, MAX_SLOTS, ROOM, SPAN, Window};

fn chunk(seq: u64, random_access: bool) -> Arc<Chunk> {
    let every = Duration::from_millis(8);
    chunk_of(seq, every, random_access, Bytes::from_static(&[0; 10]))
}

/// One of those made `every` so often.
fn chunk_of(seq: u64, every: Duration, random_access: bool, payload: Bytes) -> Arc<Chunk> {
    let key = SecretKey::from_bytes(&[7; 32]);
    let header = ChunkHeader {
        stream: key.stream_id(),
        session: Seq(0),
        seq: Seq(seq),
        generated_at: Time::ZERO + every * seq as u32,
        duration: every,
        flags: ChunkFlags {
            random_access,
            ..ChunkFlags::default()
        },
    };
    Arc::new(Chunk::sign(header, payload, &key))
}

#[test]
fn holes_and_runs() {
    let mut window = Window::new(Seq(100));
    for seq in [100, 101, 103, 104, 107] {
        assert_eq!(window.insert(chunk(seq, false)), Inserted::New);
    }
    assert_eq!(window.insert(chunk(103, false)), Inserted::Duplicate);
    assert_eq!(window.insert(chunk(99, false)), Inserted::Outside);
    assert_eq!(window.first_hole(Seq(100)), Seq(102));
    assert_eq!(window.first_hole(Seq(103)), Seq(105));
    assert_eq!(window.first_held(Seq(105)).map(|c| c.seq()), Some(Seq(107)));
    assert_eq!(window.end(), Seq(108));
    let missing: Vec<u64> = window
        .slots_from(Seq(0))
        .filter(|(_, slot)| slot.is_none())
        .map(|(seq, _)| seq.0)
        .collect();
    assert_eq!(missing, [102, 105, 106]);
}

#[test]
fn random_access_points_are_found_in_any_order_of_arrival() {
    let mut window = Window::new(Seq(0));
    for seq in [250, 0, 125] {
        window.insert(chunk(seq, true));
    }
    assert_eq!(window.random_access_at(Seq(249)), Some(Seq(125)));
    assert_eq!(window.newest_random_access(), Some(Seq(250)));
    window.trim(Seq(126));
    assert_eq!(window.random_access_at(Seq(249)), None);
    window.insert(chunk(375, true));
    assert_eq!(window.random_access_every(), Some(Duration::from_secs(1)));
}

#[test]
fn a_number_absurdly_far_ahead_is_refused_and_costs_no_memory() {
    let mut window = Window::new(Seq(0));
    window.insert(chunk(0, false));
    assert_eq!(window.insert(chunk(u64::MAX / 16, false)), Inserted::Outside);
    window.extend_head(Seq(u64::MAX));
    assert_eq!(window.end(), Seq(1));
}

/// Fills a window with the largest chunks, one `every` so often; what it holds in the end.
fn held_of_a_stream(every: Duration, missing: u64) -> u64 {
    let payload = Bytes::from(vec![0; wire::MAX_PAYLOAD]);
    let mut window = Window::new(Seq(0));
    let fill = (ROOM / wire::MAX_PAYLOAD) as u64 + SPAN.div_duration_f64(every) as u64;
    for seq in (0..fill + 500).filter(|&seq| seq != missing) {
        window.insert(chunk_of(seq, every, false, payload.clone()));
    }
    window
        .slots_from(Seq(0))
        .filter(|(_, slot)| slot.is_some())
        .count() as u64
}

#[test]
fn a_slow_stream_has_its_room_and_a_fast_one_its_time() {
    let slow = held_of_a_stream(Duration::from_millis(8), u64::MAX);
    assert_eq!(slow, (ROOM / wire::MAX_PAYLOAD) as u64);
    // 1 Gbit/s.
    let every = Duration::from_micros(500);
    let fast = held_of_a_stream(every, u64::MAX);
    assert_eq!(fast, SPAN.div_duration_f64(every) as u64 + 1);
    assert!(fast > 3 * slow);
}

#[test]
fn a_hole_is_no_reason_to_let_go_of_what_is_behind_it() {
    let every = Duration::from_micros(500);
    let whole = held_of_a_stream(every, u64::MAX);
    // The hole is the oldest of those that are not old.
    let missing = (ROOM / wire::MAX_PAYLOAD) as u64 + 500;
    assert!(held_of_a_stream(every, missing) >= whole - 1);
}

proptest! {
    /// Whatever comes in whatever order: a chunk is held at most once, the window stays bounded, and what is reported as
    /// held is what was inserted and not let go.
    #[test]
    fn each_slot_is_in_one_state(steps in proptest::collection::vec((0u8..4, 0u64..9000), 1..300)) {
        let mut window = Window::new(Seq(0));
        let mut model = std::collections::BTreeSet::new();
        for (what, seq) in steps {
            match what {
                0 | 1 => {
                    let inserted = window.insert(chunk(seq, seq % 5 == 0));
                    if inserted == Inserted::New {
                        prop_assert!(model.insert(seq));
                    } else if inserted == Inserted::Duplicate {
                        prop_assert!(model.contains(&seq));
                    }
                }
                2 => window.extend_head(Seq(seq)),
                _ => window.trim(Seq(seq.min(window.end().0))),
            }
            model.retain(|&held| held >= window.base().0);
            prop_assert!(window.base().behind(window.end()) <= MAX_SLOTS);
            let held: Vec<u64> = window
                .slots_from(Seq(0))
                .filter_map(|(seq, slot)| slot.map(|chunk| { assert_eq!(chunk.seq(), seq); seq.0 }))
                .collect();
            prop_assert_eq!(&held, &model.iter().copied().collect::<Vec<_>>());
            let from = seq % (window.end().0 + 1);
            let start = from.max(window.base().0);
            let holes: Vec<_> = (start..window.end().0)
                .filter(|hole| !model.contains(hole))
                .map(|hole| (Seq(hole), model.range(start..hole).next_back().map(|&last| Seq(last))))
                .collect();
            prop_assert_eq!(window.holes_after(Seq(from)).collect::<Vec<_>>(), holes);
            let points: Vec<u64> = window.random_access.iter().map(|seq| seq.0).collect();
            prop_assert_eq!(points, held.into_iter().filter(|seq| seq % 5 == 0).collect::<Vec<_>>());
        }
    }
}
