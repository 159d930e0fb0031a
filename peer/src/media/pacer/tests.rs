use std::time::Duration;

use proptest::prelude::*;

use super::{Pacer, Piece};
use crate::media::testing::card;

fn pieces(mut pacer: Pacer, input: &[u8], read: usize) -> Vec<Piece> {
    let mut out = Vec::new();
    for data in input.chunks(read) {
        pacer.push(data);
        out.extend(std::iter::from_fn(|| pacer.next_piece()));
    }
    pacer.finish();
    out.extend(std::iter::from_fn(|| pacer.next_piece()));
    out
}

#[test]
fn a_transport_stream_goes_by_its_clock() {
    let input = card(3);
    let out = pieces(Pacer::new(None), &input, 16 * 1024);
    let mut bytes = 0;
    for piece in &out {
        // The test stream's rate is constant: 1 Mbit/s.
        let expected = bytes as f64 * 8e-6;
        let error = piece.at.as_secs_f64() - expected;
        assert!(error.abs() < 0.010, "byte {bytes} is due at {:?}", piece.at);
        assert!(piece.bytes.len() < 2000, "about 4 ms in a piece");
        bytes += piece.bytes.len();
    }
    assert_eq!(bytes, input.len());
}

#[test]
fn a_rate_serves_what_has_no_clock() {
    let input = vec![7; 1_000_000];
    let out = pieces(Pacer::new(Some(8_000_000)), &input, 50_000);
    let last = out.last().unwrap();
    assert!((last.at.as_secs_f64() - 1.0).abs() < 0.010, "{:?}", last.at);
    let unpaced = pieces(Pacer::new(None), &input, 50_000);
    assert!(unpaced.iter().all(|piece| piece.at == Duration::ZERO));
}

#[test]
fn a_rate_that_is_given_wins_over_the_clock() {
    // Half of the test stream's own rate.
    let out = pieces(Pacer::new(Some(500_000)), &card(1), 16 * 1024);
    let last = out.last().unwrap().at.as_secs_f64();
    assert!((1.95..2.05).contains(&last), "{last}");
}

#[test]
fn a_file_has_a_clock_once_it_shows_one() {
    let mut pacer = Pacer::new(None);
    let stream = card(1);
    pacer.push(&stream[..50_000]);
    assert!(pacer.has_clock());
    let noise = (0..5_000_000_u32).map(|n| (n.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 24) as u8);
    let mut looks_like_it: Vec<u8> = noise.collect();
    looks_like_it
        .iter_mut()
        .step_by(188)
        .for_each(|byte| *byte = 0x47);
    let mut pacer = Pacer::new(None);
    pacer.push(&looks_like_it[..1_000_000]);
    assert!(!pacer.has_clock() && pacer.may_have_clock());
    pacer.push(&looks_like_it[1_000_000..]);
    assert!(!pacer.has_clock() && !pacer.may_have_clock());
}

#[test]
fn a_clock_that_jumps_does_not_stop_the_file() {
    let stream = card(1);
    let input = [&stream[..], &stream[..]].concat();
    let out = pieces(Pacer::new(None), &input, 4096);
    let last = out.last().unwrap().at.as_secs_f64();
    assert!((1.9..2.0).contains(&last), "{last}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pieces_are_the_file_in_order(
        changes in prop::collection::vec((0..100_000_usize, any::<u8>()), 0..50),
        cut in 0..100_000_usize,
        read in 1..20_000_usize,
        rate in prop::option::of(1..100_000_000_u64),
    ) {
        let mut input = card(1)[..100_000].to_vec();
        for (at, byte) in changes {
            input[at] = byte;
        }
        input.drain(cut..(cut + 100).min(100_000));
        let out = pieces(Pacer::new(rate), &input, read);
        prop_assert!(out.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let output: Vec<u8> = out.into_iter().flat_map(|piece| piece.bytes).collect();
        prop_assert_eq!(output, input);
    }
}
