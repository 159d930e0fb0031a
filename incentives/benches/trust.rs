//! What trust costs: planning over a full view (the goal is 2 ms), and a receipt on both sides (about one a second and
//! neighbour).

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use headwater_incentives::flow;
use headwater_incentives::store::MemoryStore;
use headwater_incentives::trust::{Output, RECEIPT_BYTES, Trust};
use headwater_incentives::view::MAX_EDGES;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use wire::{PeerId, SecretKey, StreamId, Time};

fn peer(n: usize) -> PeerId {
    let mut bytes = [0; 32];
    let spread = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[..8].copy_from_slice(&spread.to_be_bytes());
    PeerId::from_bytes(bytes)
}

/// A full view of so many peers, with debts between 1 MiB and 1 GiB.
fn view(peers: usize) -> Vec<(PeerId, PeerId, u64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let edge = |_| loop {
        let (a, b) = (rng.random_range(0..peers), rng.random_range(0..peers));
        if a != b {
            return (peer(a), peer(b), 1 << rng.random_range(20..30));
        }
    };
    (0..MAX_EDGES).map(edge).collect()
}

fn plan(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan");
    for peers in [100, 300, 1000] {
        let edges = view(peers);
        group.bench_function(BenchmarkId::new("peers", peers), |b| {
            let mut target = 0;
            b.iter(|| {
                target = target % (peers - 1) + 1;
                flow::plan(black_box(&edges), peer(0), peer(target))
            });
        });
    }
    group.finish();
}

fn receipts(c: &mut Criterion) {
    let stream = StreamId::from_bytes([9; 32]);
    let keys = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]));
    let [consumer, provider] = [keys[0].peer_id(), keys[1].peer_id()];
    let now = Time::from_millis(1_700_000_000_000);
    let open = |key: &SecretKey| Trust::open(key.clone(), MemoryStore::new(), 1, now).expect("memory");
    let (mut taker, mut giver) = (open(&keys[0]), open(&keys[1]));
    let mut out = Vec::new();
    taker.on_connected(now, provider, &mut out);
    giver.on_connected(now, consumer, &mut out);
    let mut said = Vec::new();
    c.bench_function("receipt/sign", |b| {
        b.iter(|| {
            out.clear();
            taker.received(now, provider, stream, RECEIPT_BYTES, &mut out);
            said.extend(out.iter().take(1).cloned());
        });
    });
    // Each receipt counts once, so every iteration takes the next of them.
    let mut next = said.into_iter();
    c.bench_function("receipt/check", |b| {
        b.iter(|| {
            if let Some(Output::Send { message, .. }) = next.next() {
                out.clear();
                giver.handle(now, consumer, *message, &mut out);
            }
        });
    });
}

criterion_group!(benches, plan, receipts);
criterion_main!(benches);
