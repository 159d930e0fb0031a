//! How long an answer takes over a large membership. The target is 200 microseconds over 10 000 members.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use coords::Coord;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use headwater_tracker::{Tracker, TrackerConfig};
use rand::{RngExt, SeedableRng};
use wire::message::{Join, PeerRecord, Role};
use wire::{PeerId, StreamId, Substream, SubstreamSet, Time};

fn member(n: u32, rng: &mut impl RngExt) -> PeerRecord {
    let [_, a, b, c] = n.to_be_bytes();
    PeerRecord {
        peer: PeerId::from_bytes(std::array::from_fn(|_| rng.random())),
        addrs: [SocketAddr::from(([10, a, b, c], 4000))].into_iter().collect(),
        coord: Coord {
            x_ms: rng.random_range(-112.0..112.0),
            y_ms: rng.random_range(-84.0..84.0),
            height_ms: rng.random_range(0.1..10.0),
        },
        role: if n.is_multiple_of(10) {
            Role::Donor
        } else {
            Role::Consumer
        },
        slots: 16,
        free_slots: rng.random_range(0..4),
        primaries: (0..2).map(|_| Substream(rng.random_range(0..16))).collect(),
        leaves: SubstreamSet::EMPTY,
        has: SubstreamSet::all(16),
        lag_ms: Some(rng.random_range(50..500)),
    }
}

/// Where member `n` is connected from.
fn ip(n: u32) -> IpAddr {
    let [_, a, b, c] = n.to_be_bytes();
    IpAddr::from([10, a, b, c])
}

fn answer(c: &mut Criterion) {
    let mut group = c.benchmark_group("answer");
    for members in [100, 1_000, 10_000] {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut config = TrackerConfig::new(PeerId::from_bytes([0; 32]), 16, 1);
        // The same joiner asks over and over.
        config.burst = u32::MAX;
        config.min_interval = std::time::Duration::ZERO;
        let mut tracker = Tracker::new(config);
        let mut join = Join {
            stream: StreamId::from_bytes([1; 32]),
            record: member(0, &mut rng),
            want: 0,
            need: SubstreamSet::all(16),
            upload: wire::Bitrate::ZERO,
            known: None,
            promised: 0,
        };
        for n in 0..members {
            join.record = member(n, &mut rng);
            tracker
                .join(Time::ZERO, join.record.peer, ip(n), &join)
                .expect("there is room");
        }
        join.want = 40;
        group.bench_function(BenchmarkId::from_parameter(members), |b| {
            b.iter(|| {
                black_box(tracker.join(Time::ZERO, join.record.peer, ip(members - 1), black_box(&join)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, answer);
criterion_main!(benches);
