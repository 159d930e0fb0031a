use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use wire::Time;

use super::{Segment, Segmenter, SegmenterConfig};
use crate::media::testing::{Run, card, packets_mut, pid_of};
use crate::media::ts::{PACKET, PID_NULL, Packet};
use crate::media::{Container, Notice};

const MS: Duration = Duration::from_millis(1);

/// Bytes that are nothing in particular, without any run that looks like packets.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn segmenter() -> Segmenter {
    Segmenter::new(SegmenterConfig::default())
}

#[test]
fn opaque_input_is_cut_by_time() {
    let input = noise(100_000);
    // 1000 bytes a millisecond: 8000 bytes in 8 ms.
    let run = Run::new(&input, 1000, MS);
    assert_eq!(run.output(), input);
    assert_eq!(run.segmenter.container(), Container::Opaque);
    assert_eq!(run.notices, [Notice::OpaqueInput]);
    let (last, full) = run.segments.split_last().unwrap();
    assert!(last.payload.len() <= 8000);
    for (i, segment) in full.iter().enumerate() {
        // The first two reads were held back until it was clear that this is no container.
        assert_eq!(segment.payload.len(), 8000, "segment {i}");
        assert_eq!(segment.duration, 8 * MS);
        assert_eq!(segment.generated_at, Time::from_millis(1000 + 8 * i as u64));
        assert!(segment.random_access && !segment.discontinuity);
    }
}

#[test]
fn a_segment_waits_for_enough_bytes_but_not_for_ever() {
    let mut out = Vec::new();
    let mut segmenter = segmenter();
    segmenter.push(Time::from_millis(0), &noise(2000), &mut out);
    segmenter.handle_deadline(Time::from_millis(8), &mut out);
    assert_eq!(out.len(), 1);

    segmenter.push(Time::from_millis(10), &[1; 100], &mut out);
    assert_eq!(segmenter.next_deadline(), Some(Time::from_millis(10 + 32)));
    segmenter.handle_deadline(Time::from_millis(41), &mut out);
    assert_eq!(out.len(), 1, "100 bytes are worth waiting for more");
    segmenter.handle_deadline(Time::from_millis(42), &mut out);
    assert_eq!(out[1].payload.len(), 100);
    assert_eq!(
        (out[1].generated_at, out[1].duration),
        (Time::from_millis(10), 32 * MS)
    );

    segmenter.push(Time::from_millis(50), &[1; 100], &mut out);
    segmenter.push(Time::from_millis(59), &[2; 1100], &mut out);
    assert_eq!(out[2].payload.len(), 1200, "enough, and 8 ms have passed");
}

#[test]
fn a_burst_fills_segments_of_the_largest_size() {
    let mut out = Vec::new();
    let mut segmenter = segmenter();
    let input = noise(300_000);
    segmenter.push(Time::ZERO, &input, &mut out);
    assert!(out.iter().all(|segment| segment.payload.len() == 65_536));
    segmenter.finish(Time::ZERO, &mut out);
    assert_eq!(
        out.iter().map(|segment| segment.payload.len()).sum::<usize>(),
        input.len()
    );
}

#[test]
fn owned_bytes_are_not_copied() {
    let data = Bytes::from(noise(40_000));
    let address = data.as_ptr();
    let mut out = Vec::new();
    let mut segmenter = segmenter();
    segmenter.push_bytes(Time::ZERO, data, &mut out);
    segmenter.finish(Time::ZERO, &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].payload.as_ptr(), address);
}

#[test]
fn nor_are_those_that_come_behind_a_full_segment() {
    let mut out = Vec::new();
    let mut segmenter = segmenter();
    let full = SegmenterConfig::default().max_bytes;
    let pieces: Vec<_> = (0..3).map(|n| Bytes::from(vec![n; full])).collect();
    let addresses: Vec<_> = pieces.iter().map(|piece| piece.as_ptr()).collect();
    for (n, piece) in pieces.into_iter().enumerate() {
        segmenter.push_bytes(Time::from_millis(n as u64), piece, &mut out);
    }
    // A full one is closed by the next, so that it is known how much time it holds.
    assert_eq!(out.len(), 2);
    segmenter.finish(Time::from_millis(3), &mut out);
    let got: Vec<_> = out.iter().map(|segment| segment.payload.as_ptr()).collect();
    assert_eq!(got, addresses);
    assert!(out.iter().all(|segment| segment.duration == MS));
    assert!(out.iter().all(|segment| segment.payload.len() == full));
}

#[test]
fn the_first_bytes_of_a_trickle_are_held_back_only_briefly() {
    let mut out = Vec::new();
    let mut segmenter = segmenter();
    segmenter.push(Time::ZERO, b"hello", &mut out);
    let deadline = segmenter.next_deadline().unwrap();
    assert!(deadline <= Time::from_millis(250));
    segmenter.handle_deadline(deadline, &mut out);
    assert_eq!(out[0].payload, "hello");
}

#[test]
fn a_paused_encoder_is_reported_once() {
    let mut out = Vec::new();
    let mut segmenter = segmenter();
    segmenter.push(Time::ZERO, &noise(5000), &mut out);
    for _ in 0..10 {
        let Some(deadline) = segmenter.next_deadline() else {
            break;
        };
        segmenter.handle_deadline(deadline, &mut out);
    }
    assert_eq!(segmenter.next_deadline(), None, "nothing is left to do");
    segmenter.push(Time::from_millis(9000), &[0], &mut out);
    let notices = segmenter.drain_notices();
    let resumed = Notice::EncoderResumed {
        after: Duration::from_secs(9),
    };
    assert_eq!(notices, [Notice::OpaqueInput, Notice::EncoderPaused, resumed]);
}

/// Where key frames begin, by the multiplexer's own word.
fn indicated(stream: &[u8]) -> Vec<usize> {
    let packets = stream
        .chunks_exact(PACKET)
        .map(|packet| Packet::at(packet).unwrap());
    let keys = packets
        .enumerate()
        .filter(|(_, packet)| packet.random_access_indicator());
    keys.map(|(i, _)| i * PACKET).collect()
}

#[test]
fn a_transport_stream_is_cut_at_packets_and_key_frames() {
    let input = card(2);
    let run = Run::live(&input);
    assert_eq!(run.output(), input);
    assert_eq!(run.segmenter.container(), Container::MpegTs);
    assert_eq!(run.notices, []);
    assert!(
        run.segments
            .iter()
            .all(|segment| segment.payload.len() % PACKET == 0)
    );
    assert!(run.segments.iter().all(|segment| !segment.discontinuity));
    let keys = indicated(&input);
    assert_eq!(keys.len(), 10, "2 s with a key frame every 200 ms");
    assert_eq!(run.joins(), keys);
    assert_eq!(run.segmenter.continuity_errors(), 0);

    let progress = run.segmenter.progress().unwrap();
    assert!(
        (1900..=2000).contains(&progress.elapsed.as_millis()),
        "{progress:?}"
    );

    // Chunks cover about 8 ms; at 1 Mbit/s that is fewer than 1200 bytes, so some more.
    let mean = input.len() / run.segments.len();
    assert!((1200..2000).contains(&mean), "{mean} bytes a segment");
}

#[test]
fn segments_of_a_fast_transport_stream_end_at_packets_too() {
    let input = card(2);
    let run = Run::new(&input, usize::MAX, MS);
    assert_eq!(run.output(), input);
    assert!(
        run.segments
            .iter()
            .all(|segment| segment.payload.len() % PACKET == 0)
    );
    assert_eq!(run.joins(), indicated(&input));
}

#[test]
fn key_frames_are_found_without_the_multiplexers_help() {
    let mut input = card(2);
    let keys = indicated(&input);
    for packet in packets_mut(&mut input) {
        if packet[3] & 0x20 != 0 && packet[4] > 0 {
            packet[5] &= !0x40;
        }
    }
    assert_eq!(indicated(&input), Vec::<usize>::new());
    for piece in [100, 188, 500, 5000, 1 << 20] {
        let run = Run::new(&input, piece, 4 * MS);
        assert_eq!(run.joins(), keys, "read in pieces of {piece}");
    }
}

#[test]
fn tables_are_the_latest_packets() {
    let input = card(1);
    let run = Run::live(&input);
    let tables = run.segmenter.tables();
    assert_eq!(tables.len(), 2 * PACKET);
    let latest = |pid| {
        input
            .chunks(PACKET)
            .rfind(|packet| pid_of(packet) == pid)
            .unwrap()
    };
    assert_eq!(tables[..PACKET], *latest(0));
    assert_eq!(tables[PACKET..], *latest(0x1000));
}

#[test]
fn sync_is_lost_and_found() {
    let mut input = card(1);
    let good = input.split_off(200 * PACKET);
    let garbage = noise(1000);
    let lost_at = input.len() as u64;
    input.extend_from_slice(&garbage);
    let found_at = input.len();
    input.extend_from_slice(&good);

    let run = Run::live(&input);
    assert_eq!(run.output(), input);
    let skipped = garbage.len() as u64;
    assert_eq!(
        run.notices,
        [
            Notice::LostSync { offset: lost_at },
            Notice::Resynchronised { skipped }
        ]
    );
    let mut at = 0;
    let mut breaks = Vec::new();
    for segment in &run.segments {
        if segment.discontinuity {
            breaks.push(at);
        }
        let in_garbage = (lost_at as usize..found_at).contains(&at);
        assert!(in_garbage || segment.payload.len() % PACKET == 0, "at {at}");
        assert!(in_garbage || segment.payload[0] == 0x47, "at {at}");
        at += segment.payload.len();
    }
    assert_eq!(breaks, [found_at]);
}

#[test]
fn a_stream_may_begin_in_the_middle_of_a_packet() {
    let input = card(1)[77..].to_vec();
    let run = Run::live(&input);
    assert_eq!(run.output(), input);
    assert_eq!(run.segmenter.container(), Container::MpegTs);
    assert_eq!(run.segments[0].payload.len(), PACKET - 77);
    assert_eq!(run.notices, []);
}

#[test]
fn clock_jumps_are_reported_and_marked() {
    let stream = card(4);
    let second = stream.len() / 4 / PACKET * PACKET;
    // The first second, the fourth, and the first once more.
    let input = [&stream[..second], &stream[3 * second..], &stream[..second]].concat();
    let run = Run::live(&input);
    assert_eq!(run.output(), input);
    let [
        Notice::ClockJumped { by_us: forward },
        Notice::ClockJumped { by_us: backward },
    ] = run.notices[..]
    else {
        panic!("{:?}", run.notices);
    };
    assert!((2_000_000..2_100_000).contains(&forward), "{forward}");
    assert!((-4_000_000..-3_900_000).contains(&backward), "{backward}");
    let marked = run
        .segments
        .iter()
        .filter(|segment| segment.discontinuity)
        .count();
    assert_eq!(marked, 2);
    let progress = run.segmenter.progress().unwrap();
    assert!(
        (2900..=3000).contains(&progress.elapsed.as_millis()),
        "jumps do not count: {progress:?}"
    );
}

#[test]
fn a_pause_is_no_clock_jump() {
    let stream = card(4);
    let second = stream.len() / 4 / PACKET * PACKET;
    let mut out = Vec::new();
    let mut segmenter = segmenter();
    segmenter.push(Time::ZERO, &stream[..second], &mut out);
    // The encoder's clock went on while nothing came.
    segmenter.push(Time::from_millis(2000), &stream[3 * second..], &mut out);
    assert_eq!(segmenter.drain_notices(), []);
}

#[test]
fn lost_packets_are_counted() {
    let mut input = card(1);
    let video = |packet: &&mut [u8]| pid_of(packet) == 0x100;
    let third = packets_mut(&mut input).filter(video).nth(2).unwrap();
    third[1..3].copy_from_slice(&PID_NULL.to_be_bytes());
    assert_eq!(Run::live(&input).segmenter.continuity_errors(), 1);
}

#[test]
fn input_that_is_all_join_points_is_not_shredded() {
    // Every packet says that it begins a key frame.
    let mut input = card(1);
    let begin = input
        .chunks(PACKET)
        .position(|packet| Packet::at(packet).unwrap().random_access_indicator());
    let key = input[begin.unwrap() * PACKET..][..PACKET].to_vec();
    for packet in packets_mut(&mut input).skip(20) {
        packet.copy_from_slice(&key);
    }
    let run = Run::new(&input, 1 << 20, MS);
    assert_eq!(run.output(), input);
    assert!(
        run.segments.len() <= input.len() / 1200 + 20,
        "{} segments",
        run.segments.len()
    );
}

#[test]
fn uncollected_notices_do_not_pile_up() {
    let good = card(1)[..10 * PACKET].to_vec();
    let mut input = Vec::new();
    for _ in 0..100 {
        input.extend_from_slice(&good);
        input.extend_from_slice(&[0; 7]);
    }
    let run = Run::new(&input, 1 << 20, MS);
    assert!(run.notices.len() <= 65);
    assert!(matches!(run.notices.last(), Some(Notice::Dropped { count }) if *count > 100));
}

/// Something that begins like one of the containers.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        Vec::new(),
        b"OggS\0\x02".to_vec(),
        vec![
            0x1a, 0x45, 0xdf, 0xa3, 0x84, 1, 2, 3, 4, 0x18, 0x53, 0x80, 0x67, 0xff,
        ],
        b"\0\0\0\x10ftypiso5\0\0\0\0".to_vec(),
        vec![0x47; 1000],
    ]);
    let stream = card(1);
    let tampered = (
        0..stream.len() - 60_000,
        prop::collection::vec((0..60_000_usize, any::<u8>()), 0..20),
        prop::collection::vec(0..60_000_usize, 0..3),
    )
        .prop_map(move |(from, changes, cuts)| {
            let mut part = stream[from..from + 60_000].to_vec();
            for (at, byte) in changes {
                part[at] = byte;
            }
            for at in cuts {
                part.drain(at.min(part.len())..(at + 50).min(part.len()));
            }
            part
        });
    prop_oneof![
        (start, prop::collection::vec(any::<u8>(), 0..5000)).prop_map(|(a, b)| [a, b].concat()),
        tampered
    ]
}

fn run_split(input: &[u8], splits: &[(usize, u64)], owned: bool) -> Vec<Segment> {
    let mut segmenter = segmenter();
    let mut out = Vec::new();
    let mut now = Time::ZERO;
    let mut rest = input;
    let mut splits = splits.iter().cycle();
    while !rest.is_empty() {
        let &(len, wait_us) = splits.next().unwrap();
        now += Duration::from_micros(wait_us);
        if let Some(deadline) = segmenter.next_deadline().filter(|&deadline| deadline <= now) {
            segmenter.handle_deadline(deadline, &mut out);
        }
        let (data, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        if owned {
            segmenter.push_bytes(now, Bytes::copy_from_slice(data), &mut out);
        } else {
            segmenter.push(now, data, &mut out);
        }
    }
    segmenter.finish(now, &mut out);
    assert!(segmenter.tables().len() <= 256 * 1024);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_comes_out_is_what_went_in(
        input in input(),
        splits in prop::collection::vec((1..4000_usize, 0..20_000_u64), 1..20),
        owned: bool,
    ) {
        let out = run_split(&input, &splits, owned);
        prop_assert!(out.iter().all(|segment| (1..=65_536).contains(&segment.payload.len())));
        prop_assert!(out.windows(2).all(|pair| pair[0].generated_at <= pair[1].generated_at));
        let output: Vec<u8> = out.iter().flat_map(|segment| segment.payload.clone()).collect();
        prop_assert_eq!(output, input);
    }
}

#[test]
fn a_burst_is_cut_into_as_many_segments_as_its_rate_asks_for() {
    let input: Vec<u8> = (0..32 * 1024u32).map(|n| ((n * n) >> 5) as u8 | 0x80).collect();
    let mut segmenter = Segmenter::new(SegmenterConfig::default());
    let mut segments = Vec::new();
    segmenter.set_max_bytes(4000);
    segmenter.push(Time::from_millis(1), &input, &mut segments);
    segmenter.finish(Time::from_millis(2), &mut segments);
    assert!(segments.iter().all(|segment| segment.payload.len() <= 4000));
    assert_eq!(segments.len(), input.len().div_ceil(4000));
    assert_eq!(
        segments
            .iter()
            .flat_map(|segment| segment.payload.to_vec())
            .collect::<Vec<u8>>(),
        input
    );
}
