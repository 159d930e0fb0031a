//! What entering a chunk costs: it happens for every chunk received and for every copy sent. Checking a chunk's
//! signature takes some 30 microseconds; the target is under a hundredth of that.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use headwater_incentives::Accounts;
use wire::{PeerId, StreamId, Time};

fn id(n: u16) -> PeerId {
    // Keys look random; a multiplication spreads them.
    let spread = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&spread.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn enter(c: &mut Criterion) {
    let stream = StreamId::from_bytes([9; 32]);
    let mut group = c.benchmark_group("enter");
    for peers in [16, 64, 1_000] {
        let mut accounts = Accounts::new(4096);
        for n in 0..peers {
            accounts.sent(Time::ZERO, id(n), stream, 1);
        }
        let mut n = 0;
        group.bench_function(BenchmarkId::new("peers", peers), |b| {
            b.iter(|| {
                n = (n + 7) % peers;
                accounts.received(Time::ZERO, black_box(id(n)), stream, 3_600);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, enter);
criterion_main!(benches);
