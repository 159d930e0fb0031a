//! The fuzz targets' checks on random bytes and on damaged examples, in every test run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "../../fuzz/src/lib.rs"]
#[allow(
    unreachable_pub,
    reason = "the targets are the public part of the crate that this file is from"
)]
mod fuzz;

use headwater_wire::codec;
use proptest::prelude::*;

fn control_frames() -> Vec<Vec<u8>> {
    let frames = common::examples()
        .into_iter()
        .map(|message| codec::encode(&message));
    frames.map(|frame| frame[codec::LENGTH_LEN..].to_vec()).collect()
}

fn trust_frames() -> Vec<Vec<u8>> {
    let about_trust = common::examples()
        .into_iter()
        .filter(|message| message.is_trust());
    let frames = about_trust.map(|message| codec::encode(&message)[codec::LENGTH_LEN..].to_vec());
    frames.collect()
}

fn stream_infos() -> Vec<Vec<u8>> {
    let info = common::stream_info();
    let signed = headwater_wire::Signed::new(&info, &common::key());
    vec![
        rmp_serde::to_vec_named(&info).unwrap(),
        rmp_serde::to_vec_named(&signed).unwrap(),
    ]
}

fn links() -> Vec<Vec<u8>> {
    let link = format!(
        "headwater:{}?via=192.0.2.7:4000&via=[2001:db8::7]:1&title=Evening%20news#{}",
        common::key().stream_id(),
        "a".repeat(52)
    );
    vec![link.into_bytes()]
}

/// Copies of the examples with a few bytes changed, cut out, doubled or moved.
fn damaged(examples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = (
        0..4u8,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<u8>(),
    );
    (
        prop::sample::select(examples),
        prop::collection::vec(damage, 0..4),
    )
        .prop_map(|(mut bytes, damages)| {
            for (kind, from, to, byte) in damages {
                if bytes.is_empty() {
                    break;
                }
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                match kind {
                    0 => bytes[from] = byte,
                    1 => drop(bytes.drain(from.min(to)..from.max(to))),
                    2 => bytes.insert(from, byte),
                    _ => {
                        let part = bytes[from.min(to)..from.max(to)].to_vec();
                        bytes.splice(to..to, part);
                    }
                }
            }
            bytes
        })
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn control_frame(data in prop_oneof![1 => noise(), 4 => damaged(control_frames())]) {
        fuzz::control_frame(&data);
    }

    #[test]
    fn trust(data in damaged(trust_frames())) {
        fuzz::trust(&data);
    }

    #[test]
    fn chunk_frame(data in prop_oneof![1 => noise(), 4 => damaged(vec![common::chunk_frame()])]) {
        fuzz::chunk_frame(&data);
    }

    #[test]
    fn link(data in prop_oneof![1 => noise(), 4 => damaged(links())]) {
        fuzz::link(&data);
    }

    #[test]
    fn opening(data in prop_oneof![1 => noise(), 4 => damaged(vec![common::sealed_opening()])]) {
        fuzz::opening(&data);
    }

    #[test]
    fn stream_info(data in prop_oneof![1 => noise(), 4 => damaged(stream_infos())]) {
        fuzz::stream_info(&data);
    }
}

#[test]
fn undamaged_examples_are_read() {
    assert!(control_frames().iter().all(|data| fuzz::control_frame(data)));
    assert!(trust_frames().iter().all(|data| fuzz::trust(data)));
    assert!(fuzz::chunk_frame(&common::chunk_frame()));
    assert!(fuzz::opening(&common::sealed_opening()));
    assert!(links().iter().all(|data| fuzz::link(data)));
    assert!(stream_infos().iter().all(|data| fuzz::stream_info(data)));
}
