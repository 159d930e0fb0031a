//! How fast the segmenter takes input, in bytes a second: opaque bytes, MPEG-TS with and without null packets, read in
//! pieces of several sizes.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use headwater::media::testcard::{TestCard, TestCardConfig};
use headwater::media::{Segmenter, SegmenterConfig};
use wire::Time;

/// Bytes that look like no container.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn card(seconds: u64, bitrate: u64) -> Vec<u8> {
    let config = TestCardConfig {
        bitrate,
        ..TestCardConfig::default()
    };
    let card = TestCard::new(config).expect("the bit rate is in range");
    card.take_while(|burst| burst.at < Duration::from_secs(seconds))
        .flat_map(|burst| burst.bytes)
        .collect()
}

/// Runs all of `input` through a segmenter, read in pieces at the pace of `bps` bits a second.
fn run(input: &[u8], piece: usize, bps: u64) -> usize {
    let mut segmenter = Segmenter::new(SegmenterConfig::default());
    let mut out = Vec::new();
    let mut segments = 0;
    for (i, data) in input.chunks(piece).enumerate() {
        let now = Time::from_micros((i * piece) as u64 * 8_000_000 / bps);
        segmenter.push(now, data, &mut out);
        segments += out.len();
        black_box(&out);
        out.clear();
    }
    segments
}

fn segmenter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segmenter");
    group.sample_size(20);
    for (kind, input, bps) in [
        ("opaque", noise(8 << 20), 1_500_000_000),
        ("ts", card(60, 1_000_000), 200_000_000),
        ("ts-mostly-null", card(2, 30_000_000), 200_000_000),
    ] {
        group.throughput(Throughput::Bytes(input.len() as u64));
        // A datagram of seven packets, a pipe's buffer, a large read.
        for piece in [1316, 65_536, 1 << 20] {
            group.bench_with_input(BenchmarkId::new(kind, piece), &piece, |bencher, &piece| {
                bencher.iter(|| run(&input, piece, bps));
            });
        }
    }
    let input = Bytes::from(noise(8 << 20));
    group.throughput(Throughput::Bytes(input.len() as u64));
    group.bench_function("opaque/owned", |bencher| {
        bencher.iter_batched(
            || {
                input
                    .chunks(1 << 20)
                    .map(Bytes::copy_from_slice)
                    .collect::<Vec<Bytes>>()
            },
            |reads| {
                let mut segmenter = Segmenter::new(SegmenterConfig::default());
                let mut out = Vec::new();
                for (i, data) in reads.into_iter().enumerate() {
                    segmenter.push_bytes(Time::from_millis(6 * i as u64), data, &mut out);
                }
                out
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// A second of the test stream: drawing, encoding and multiplexing.
fn test_card(criterion: &mut Criterion) {
    criterion.bench_function("testcard/second", |bencher| {
        let mut card = TestCard::new(TestCardConfig::default()).expect("the default is valid");
        // Bursts of 4 ms.
        bencher.iter(|| black_box(card.by_ref().take(250).last()));
    });
}

criterion_group!(benches, segmenter, test_card);
criterion_main!(benches);
