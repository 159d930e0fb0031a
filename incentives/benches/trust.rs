//! What trust costs: planning over a full view (the goal is 2 ms), and a receipt on both sides (about one a second and
//! neighbour).

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use headwater_incentives::flow;
use headwater_incentives::store::MemoryStore;
use headwater_incentives::trust::{Output, RECEIPT_BYTES, Trust};
use headwater_incentives::view::MAX_EDGES;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use wire::{Message, PeerId, SecretKey, StreamId, Time, codec};

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

/// A viewer of 3.5 Mbit/s that takes a twelfth from each neighbour and gives each as much, with the neighbours' side of it.
struct Viewer {
    now: Time,
    /// The viewer first.
    peers: Vec<(PeerId, Trust<MemoryStore>)>,
    media: u64,
    accounting: u64,
}

/// What passes with one neighbour in a tenth of a second, each way.
const TENTH: u64 = 3_500_000 / 8 / 12 / 10;

impl Viewer {
    fn new() -> Self {
        let now = Time::from_millis(1_700_000_000_000);
        let keys = (1..14u8).map(|n| SecretKey::from_bytes(&[n; 32]));
        let open = |key: SecretKey| {
            let id = key.peer_id();
            (id, Trust::open(key, MemoryStore::new(), 1, now).expect("memory"))
        };
        let mut viewer = Viewer {
            now,
            peers: keys.map(open).collect(),
            media: 0,
            accounting: 0,
        };
        for n in 1..viewer.peers.len() {
            let (hub, other) = (viewer.peers[0].0, viewer.peers[n].0);
            viewer.act(0, |trust, out| trust.on_connected(now, other, out));
            viewer.act(n, |trust, out| trust.on_connected(now, hub, out));
        }
        viewer
    }

    /// Lets one do something, and delivers what follows from it at once.
    fn act(&mut self, n: usize, what: impl FnOnce(&mut Trust<MemoryStore>, &mut Vec<Output>)) {
        let mut out = Vec::new();
        what(&mut self.peers[n].1, &mut out);
        let mut said: Vec<_> = out.drain(..).map(|output| (n, output)).collect();
        while let Some((from, output)) = said.pop() {
            let Output::Send { to, message } = output else {
                continue;
            };
            self.accounting += codec::encode(&Message::from((*message).clone())).len() as u64;
            let sender = self.peers[from].0;
            let (now, Some(at)) = (self.now, self.peers.iter().position(|(id, _)| *id == to)) else {
                continue;
            };
            self.peers[at].1.handle(now, sender, *message, &mut out);
            said.extend(out.drain(..).map(|output| (at, output)));
        }
    }

    fn second(&mut self) {
        let stream = StreamId::from_bytes([9; 32]);
        for _ in 0..10 {
            self.now += Duration::from_millis(100);
            let (now, hub) = (self.now, self.peers[0].0);
            for n in 1..self.peers.len() {
                let other = self.peers[n].0;
                self.peers[0].1.sent(other, TENTH);
                self.peers[n].1.sent(hub, TENTH);
                self.act(0, |trust, out| trust.received(now, other, stream, TENTH, out));
                self.act(n, |trust, out| trust.received(now, hub, stream, TENTH, out));
                self.media += 2 * TENTH;
            }
            for n in 0..self.peers.len() {
                if self.peers[n].1.next_deadline() <= now {
                    self.act(n, |trust, out| trust.handle_deadline(now, out));
                }
            }
        }
    }
}

#[allow(
    clippy::print_stdout,
    reason = "a share is no time, and belongs to the result"
)]
fn viewer(c: &mut Criterion) {
    let mut viewer = Viewer::new();
    c.bench_function("viewer/second, both sides", |b| b.iter(|| viewer.second()));
    let mut counted = Viewer::new();
    for _ in 0..300 {
        counted.second();
    }
    println!(
        "accounting: {:.2} % of the media in and out, {:.2} % of the media in",
        100.0 * counted.accounting as f64 / counted.media as f64,
        200.0 * counted.accounting as f64 / counted.media as f64
    );
}

criterion_group!(benches, plan, receipts, viewer);
criterion_main!(benches);
