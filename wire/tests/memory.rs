//! What a stranger's frame can cost in memory. Alone in its process, so that nothing else is counted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::alloc::System;

use cap::Cap;
use headwater_wire::codec;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Where each length stands in an example: array, map, text and byte markers of all sizes, replaced by the largest.
fn with_hostile_length(frame: &[u8], at: usize) -> Option<Vec<u8>> {
    let (marker, skip) = match frame[at] {
        0x80..=0x8f => (0xdf, 1),
        0x90..=0x9f => (0xdd, 1),
        0xa0..=0xbf => (0xdb, 1),
        0xc4 => (0xc6, 2),
        0xdc | 0xde => (frame[at] + 1, 3),
        _ => return None,
    };
    let tail = frame.get(at + skip..)?;
    Some([&frame[..at], &[marker], &u32::MAX.to_be_bytes(), tail].concat())
}

#[test]
fn a_length_of_four_billion_costs_nothing() {
    let frames: Vec<Vec<u8>> = common::examples().iter().map(codec::encode).collect();
    let mut tried = 0;
    for frame in &frames {
        let frame = &frame[codec::LENGTH_LEN..];
        for at in 1..frame.len() {
            let Some(hostile) = with_hostile_length(frame, at) else {
                continue;
            };
            let before = ALLOCATOR.total_allocated();
            let result = codec::decode(&hostile);
            drop(result);
            let spent = ALLOCATOR.total_allocated() - before;
            assert!(
                spent < 4 * codec::MAX_FRAME,
                "{spent} bytes for a frame of {} with a hostile length at {at}",
                hostile.len()
            );
            tried += 1;
        }
    }
    assert!(tried > 300, "only {tried} lengths found");
}
