//! Peers with accounts over a random graph of neighbours, in virtual time: what adverts cost each of them.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_incentives::store::MemoryStore;
use headwater_incentives::trust::{Output, Trust};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use wire::trust::TrustMessage;
use wire::{Message, PeerId, SecretKey, StreamId, Time, codec};

/// Neighbours of each peer, on average: as many as a viewer has suppliers.
pub(crate) const NEIGHBOURS: usize = 12;

const STREAM: StreamId = StreamId::from_bytes([9; 32]);
const START: Time = Time::from_millis(1_700_000_000_000);
/// Peers come one after the other in this time, so their walks do not begin together.
const COMING: Duration = Duration::from_secs(20);
/// How long a message takes, at least and at most, in milliseconds.
const DELAY_MS: std::ops::Range<u64> = 10..200;

/// What one peer sent or received.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Adverts: each edge that a walk carries, and each that two sign.
    pub(crate) adverts: u64,
    /// Bytes of the messages that carry them.
    pub(crate) bytes: u64,
}

/// What one peer has to do with adverts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: Traffic,
    pub(crate) received: Traffic,
}

/// What is to happen at a peer.
enum Due {
    Deadline,
    Message {
        from: PeerId,
        message: Box<TrustMessage>,
    },
}

/// The peers.
pub(crate) struct Society {
    now: Time,
    peers: Vec<(PeerId, Trust<MemoryStore>)>,
    index: BTreeMap<PeerId, usize>,
    tallies: Vec<Tally>,
    due: BTreeMap<(Time, u64), (usize, Due)>,
    /// The deadline of each that is in `due`.
    planned: Vec<Time>,
    events: u64,
    rng: ChaCha8Rng,
}

impl Society {
    /// So many peers, with an account between any two neighbours: one of both, by chance, owes the other between 1 MiB and 1 GiB,
    /// evenly by its logarithm.
    pub(crate) fn new(peers: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let keys: Vec<_> = (0..peers).map(|_| SecretKey::from_bytes(&rng.random())).collect();
        let ids: Vec<PeerId> = keys.iter().map(SecretKey::peer_id).collect();
        let mut society = Society {
            now: START,
            peers: Vec::new(),
            index: ids.iter().enumerate().map(|(n, id)| (*id, n)).collect(),
            tallies: vec![Tally::default(); peers],
            due: BTreeMap::new(),
            planned: vec![Time::NEVER; peers],
            events: 0,
            rng,
        };
        let links = society.draw_links(peers);
        for (n, key) in keys.into_iter().enumerate() {
            society.run_until(START + COMING.mul_f64(n as f64 / peers as f64));
            let seed = society.rng.random();
            let trust =
                Trust::open(key, MemoryStore::new(), seed, society.now).expect("memory takes everything");
            society.peers.push((ids[n], trust));
            society.plan(n);
            for &(a, b) in links.iter().filter(|(a, b)| (*a).max(*b) == n) {
                society.meet(a, b);
            }
        }
        society
    }

    /// Random pairs, none twice, so that each peer has about so many of them.
    fn draw_links(&mut self, peers: usize) -> Vec<(usize, usize)> {
        let mut ends: Vec<usize> = (0..peers).flat_map(|n| [n; NEIGHBOURS]).collect();
        ends.shuffle(&mut self.rng);
        let pairs = ends.chunks_exact(2).filter(|pair| pair[0] != pair[1]);
        // The first of them is the creditor.
        let by_pair: BTreeMap<_, _> = pairs
            .map(|pair| ((pair[0].min(pair[1]), pair[0].max(pair[1])), (pair[0], pair[1])))
            .collect();
        by_pair.into_values().collect()
    }

    /// Two become neighbours, and one serves the other.
    fn meet(&mut self, creditor: usize, debtor: usize) {
        let (now, to, by) = (self.now, self.peers[debtor].0, self.peers[creditor].0);
        let bytes = (1u64 << self.rng.random_range(20..30)) + self.rng.random_range(0..1 << 20);
        self.act(creditor, |trust, out| trust.on_connected(now, to, out));
        self.act(debtor, |trust, out| trust.on_connected(now, by, out));
        self.peers[creditor].1.sent(to, bytes);
        self.act(debtor, |trust, out| trust.received(now, by, STREAM, bytes, out));
    }

    /// Lets a peer do something, and sends what it says.
    fn act(&mut self, n: usize, what: impl FnOnce(&mut Trust<MemoryStore>, &mut Vec<Output>)) {
        let mut out = Vec::new();
        what(&mut self.peers[n].1, &mut out);
        let from = self.peers[n].0;
        for output in out {
            let Output::Send { to, message } = output else {
                continue;
            };
            let adverts = match &*message {
                TrustMessage::Walk(edges) => edges.len() as u64,
                TrustMessage::Advertise(_) | TrustMessage::Advertised(_) => 1,
                _ => 0,
            };
            let to = self.index[&to];
            if adverts > 0 {
                let bytes = codec::encode(&Message::from((*message).clone())).len() as u64;
                let (sender, receiver) = (n, to);
                self.tallies[sender].sent.adverts += adverts;
                self.tallies[sender].sent.bytes += bytes;
                self.tallies[receiver].received.adverts += adverts;
                self.tallies[receiver].received.bytes += bytes;
            }
            let delay = Duration::from_millis(self.rng.random_range(DELAY_MS));
            self.enqueue(self.now + delay, to, Due::Message { from, message });
        }
        self.plan(n);
    }

    fn enqueue(&mut self, at: Time, n: usize, due: Due) {
        self.events += 1;
        self.due.insert((at, self.events), (n, due));
    }

    /// Sees that a peer's deadline is met.
    fn plan(&mut self, n: usize) {
        let next = self.peers[n].1.next_deadline().max(self.now);
        if next < self.planned[n] {
            self.planned[n] = next;
            self.enqueue(next, n, Due::Deadline);
        }
    }

    fn run_until(&mut self, end: Time) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= end) {
            self.now = entry.key().0;
            let (now, (n, due)) = (self.now, entry.remove());
            match due {
                Due::Message { from, message } => {
                    self.act(n, |trust, out| trust.handle(now, from, *message, out));
                }
                // Another one may have come before it.
                Due::Deadline => {
                    self.planned[n] = Time::NEVER;
                    if self.peers[n].1.next_deadline() <= now {
                        self.act(n, |trust, out| trust.handle_deadline(now, out));
                    } else {
                        self.plan(n);
                    }
                }
            }
        }
        self.now = end;
    }

    /// Lets time go by; what each peer sent and received meanwhile.
    pub(crate) fn run_for(&mut self, time: Duration) -> Vec<Tally> {
        self.tallies.fill(Tally::default());
        self.run_until(self.now + time);
        self.tallies.clone()
    }

    /// How many adverts of others each peer's view has.
    pub(crate) fn views(&self) -> Vec<usize> {
        self.peers.iter().map(|(_, trust)| trust.view().len()).collect()
    }

    /// How many of a peer's accounts both have signed.
    pub(crate) fn accounts(&self) -> usize {
        let of = |(_, trust): &(PeerId, Trust<MemoryStore>)| {
            let balances = trust.balances(self.now);
            balances
                .filter(|(id, _)| trust.account(*id).is_some_and(|state| state.seq > 0))
                .count()
        };
        self.peers.iter().map(of).sum()
    }

    /// Statements that were found wrong or one too many.
    pub(crate) fn faults(&self) -> u64 {
        let of = |(_, trust): &(PeerId, Trust<MemoryStore>)| trust.faults().values().sum::<u64>();
        self.peers.iter().map(of).sum()
    }
}

/// Mean, 99th percentile and greatest.
pub(crate) fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let at =
        |share: f64| values.get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1)));
    (
        mean,
        at(0.99).copied().unwrap_or(0.0),
        at(1.0).copied().unwrap_or(0.0),
    )
}
