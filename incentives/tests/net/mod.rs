//! Peers in memory, with a network between them that loses, doubles and turns around what they say, and with crashes at any
//! write. Virtual time; everything follows from a seed.

#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use headwater_incentives::store::MemoryStore;
use headwater_incentives::trust::{Event, Output, Trust};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use wire::trust::{ShiftId, TrustMessage};
use wire::{Message, PeerId, SecretKey, StreamId, Time, codec};

pub(crate) const STREAM: StreamId = StreamId::from_bytes([9; 32]);
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const START: Time = Time::from_millis(1_700_000_000_000);

/// What the network does to messages, in per cent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u32,
    pub(crate) doubled: u32,
    /// Milliseconds that a message may take longer than another.
    pub(crate) jitter_ms: u64,
}

pub(crate) struct Node {
    pub(crate) key: SecretKey,
    /// `None` while it is down.
    pub(crate) trust: Option<Trust<MemoryStore>>,
    /// The ledger while it is down.
    disk: Option<MemoryStore>,
    back_at: Time,
    pub(crate) events: Vec<Event>,
    /// Crashes when this many more writes were made: before the last one, or after it and before anything is sent.
    crash_in: Option<(u64, bool)>,
    /// Whether its disk takes nothing more.
    full: bool,
}

pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    index: BTreeMap<PeerId, usize>,
    links: BTreeSet<(usize, usize)>,
    /// By arrival and order.
    wire: BTreeMap<(Time, u64), (usize, usize, TrustMessage)>,
    sent: u64,
    pub(crate) weather: Weather,
    pub(crate) rng: ChaCha8Rng,
    /// Drops what it is true for: a cheat as a filter on outputs.
    pub(crate) drop_if: Option<fn(usize, usize, &TrustMessage) -> bool>,
    /// All that was ever said, for replays.
    pub(crate) log: VecDeque<(usize, usize, TrustMessage)>,
    pub(crate) keep_log: bool,
    pub(crate) down_for: Duration,
    /// Shifts whose note somebody has sent.
    pub(crate) committed: BTreeSet<ShiftId>,
    pub(crate) crashes: Vec<u64>,
}

impl Net {
    pub(crate) fn new(nodes: usize, seed: u64) -> Self {
        let count = nodes;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let now = START;
        let mut keys: Vec<_> = (0..nodes)
            .map(|n| {
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&(seed << 8 | n as u64).to_le_bytes());
                bytes[31] = 1;
                SecretKey::from_bytes(&bytes)
            })
            .collect();
        // Which of two has the lower id is chance.
        keys.rotate_left(seed as usize % nodes);
        let nodes: Vec<_> = keys
            .into_iter()
            .enumerate()
            .map(|(n, key)| Node {
                trust: Some(Trust::open(key.clone(), MemoryStore::new(), seed ^ n as u64, now).unwrap()),
                key,
                disk: None,
                back_at: Time::NEVER,
                events: Vec::new(),
                crash_in: None,
                full: false,
            })
            .collect();
        let index = nodes
            .iter()
            .enumerate()
            .map(|(n, node)| (node.key.peer_id(), n))
            .collect();
        Net {
            now,
            nodes,
            index,
            links: BTreeSet::new(),
            wire: BTreeMap::new(),
            sent: 0,
            weather: Weather::default(),
            rng,
            drop_if: None,
            log: VecDeque::new(),
            keep_log: false,
            down_for: Duration::from_secs(3),
            committed: BTreeSet::new(),
            crashes: vec![0; count],
        }
    }

    pub(crate) fn id(&self, n: usize) -> PeerId {
        self.nodes[n].key.peer_id()
    }

    pub(crate) fn path(&self, nodes: &[usize]) -> Vec<PeerId> {
        nodes.iter().map(|&n| self.id(n)).collect()
    }

    pub(crate) fn trust(&mut self, n: usize) -> &mut Trust<MemoryStore> {
        self.nodes[n].trust.as_mut().expect("it is up")
    }

    pub(crate) fn is_up(&self, n: usize) -> bool {
        self.nodes[n].trust.is_some()
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        self.links.insert((a.min(b), a.max(b)));
        for (x, y) in [(a, b), (b, a)] {
            self.connected(x, y);
        }
    }

    fn connected(&mut self, x: usize, y: usize) {
        if !self.is_up(x) || !self.is_up(y) {
            return;
        }
        let (now, other) = (self.now, self.id(y));
        self.act(x, |trust, out| trust.on_connected(now, other, out));
    }

    /// Lets a node do something, with the crash that is due for it.
    pub(crate) fn act(&mut self, n: usize, what: impl FnOnce(&mut Trust<MemoryStore>, &mut Vec<Output>)) {
        let (crash, full) = (self.nodes[n].crash_in, self.nodes[n].full);
        let Some(trust) = self.nodes[n].trust.as_mut() else {
            return;
        };
        let before = trust.store().writes();
        if let Some((0, false)) = crash {
            trust.store_mut().fail_after(Some(0));
        }
        let mut out = Vec::new();
        what(trust, &mut out);
        trust.store_mut().fail_after(full.then_some(0));
        let failed = out
            .iter()
            .any(|output| matches!(output, Output::Event(Event::Ledger(_))));
        let sends = out.iter().any(|output| matches!(output, Output::Send { .. }));
        assert!(!(failed && sends), "nothing is sent that could not be written");
        let wrote = trust.store().writes() - before;
        if let Some((left, after)) = crash {
            if failed || (after && wrote > 0 && left == 0) {
                self.nodes[n].crash_in = None;
                self.crash(n, self.down_for);
                return;
            }
            self.nodes[n].crash_in = Some((left.saturating_sub(wrote), after));
        }
        for output in out {
            match output {
                Output::Send { to, message } => {
                    // What is sent goes through the codec.
                    let frame = codec::encode(&Message::from(*message));
                    let message = codec::decode(&frame[codec::LENGTH_LEN..]).unwrap();
                    self.post(n, self.index[&to], TrustMessage::try_from(message).unwrap());
                }
                Output::Event(event) => self.nodes[n].events.push(event),
            }
        }
    }

    pub(crate) fn post(&mut self, from: usize, to: usize, message: TrustMessage) {
        match &message {
            TrustMessage::Note(note) => {
                self.committed.insert(note.peek().unwrap().id);
            }
            TrustMessage::Propose(proposal) => {
                self.committed
                    .extend(proposal.notes.iter().map(|note| note.peek().unwrap().id));
            }
            _ => {}
        }
        if self.drop_if.is_some_and(|drops| drops(from, to, &message)) {
            return;
        }
        if self.keep_log {
            self.log.push_back((from, to, message.clone()));
        }
        let copies = if self.rng.random_range(0..100) < self.weather.doubled {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if self.rng.random_range(0..100) < self.weather.lost {
                continue;
            }
            let late = self.rng.random_range(0..=self.weather.jitter_ms);
            let at = self.now + Duration::from_millis(20 + late);
            self.sent += 1;
            self.wire.insert((at, self.sent), (from, to, message.clone()));
        }
    }

    /// Makes a node crash at its write number `write` from now: with or without that write.
    pub(crate) fn crash_at_write(&mut self, n: usize, write: u64, written: bool) {
        self.nodes[n].crash_in = Some((write, written));
    }

    /// A node is gone at once, and back after a while with what is on its disk.
    pub(crate) fn crash(&mut self, n: usize, down_for: Duration) {
        let Some(trust) = self.nodes[n].trust.take() else {
            return;
        };
        self.crashes[n] += 1;
        self.nodes[n].disk = Some(trust.into_store());
        self.nodes[n].back_at = self.now + down_for;
        let gone = self.id(n);
        let linked: Vec<_> = self.linked(n);
        for other in linked {
            if let Some(trust) = &mut self.nodes[other].trust {
                trust.on_disconnected(gone);
            }
        }
        self.wire.retain(|_, (from, to, _)| *from != n && *to != n);
    }

    /// The same, and its disk is lost.
    pub(crate) fn lose_disk(&mut self, n: usize, down_for: Duration) {
        self.crash(n, down_for);
        self.nodes[n].disk = Some(MemoryStore::new());
    }

    fn linked(&self, n: usize) -> Vec<usize> {
        let ends = self.links.iter().filter_map(|&(a, b)| match n {
            _ if a == n => Some(b),
            _ if b == n => Some(a),
            _ => None,
        });
        ends.collect()
    }

    fn restart(&mut self, n: usize) {
        let mut disk = self.nodes[n].disk.take().expect("it is down");
        disk.fail_after(None);
        let key = self.nodes[n].key.clone();
        let seed = self.rng.random();
        self.nodes[n].trust = Some(Trust::open(key, disk, seed, self.now).unwrap());
        self.nodes[n].back_at = Time::NEVER;
        for other in self.linked(n) {
            self.connected(n, other);
            self.connected(other, n);
        }
    }

    fn next_event(&self) -> Time {
        let nodes = self.nodes.iter().map(|node| match &node.trust {
            Some(trust) => trust.next_deadline(),
            None => node.back_at,
        });
        let arrival = self.wire.keys().next().map_or(Time::NEVER, |(at, _)| *at);
        nodes.min().unwrap_or(Time::NEVER).min(arrival)
    }

    /// Runs up to an instant.
    pub(crate) fn run_until(&mut self, end: Time) {
        let mut turns = 0;
        loop {
            let next = self.next_event();
            if next > end {
                break;
            }
            // A deadline that is not acted on would keep us here for ever.
            turns = if next > self.now { 0 } else { turns + 1 };
            assert!(turns < 1000, "time stands still");
            self.now = self.now.max(next);
            let now = self.now;
            while let Some((&key, _)) = self.wire.iter().next().filter(|((at, _), _)| *at <= now) {
                let (from, to, message) = self.wire.remove(&key).unwrap();
                let from = self.id(from);
                self.act(to, |trust, out| trust.handle(now, from, message, out));
            }
            for n in 0..self.nodes.len() {
                if self.nodes[n].trust.is_none() && now >= self.nodes[n].back_at {
                    self.restart(n);
                }
                if self.nodes[n]
                    .trust
                    .as_ref()
                    .is_some_and(|trust| trust.next_deadline() <= now)
                {
                    self.act(n, |trust, out| trust.handle_deadline(now, out));
                }
            }
        }
        self.now = self.now.max(end);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// `provider` serves `consumer`, as both count it.
    pub(crate) fn serve(&mut self, provider: usize, consumer: usize, bytes: u64) {
        self.serve_in(provider, consumer, STREAM, bytes);
    }

    pub(crate) fn serve_in(&mut self, provider: usize, consumer: usize, stream: StreamId, bytes: u64) {
        let (now, from, to) = (self.now, self.id(provider), self.id(consumer));
        if self.is_up(provider) && self.is_up(consumer) {
            self.trust(provider).sent(to, bytes);
            self.act(consumer, |trust, out| {
                trust.received(now, from, stream, bytes, out);
            });
        }
    }

    /// Lets `debtor` owe `creditor` an amount, both having signed.
    pub(crate) fn owe(&mut self, debtor: usize, creditor: usize, bytes: u64) {
        self.connect(debtor, creditor);
        self.serve(creditor, debtor, bytes);
    }

    pub(crate) fn claim(&mut self, of: usize, on: usize) -> i128 {
        let (now, on) = (self.now, self.id(on));
        self.trust(of).balance(now, on).claim
    }

    /// What all accounts of a node come to.
    pub(crate) fn worth(&mut self, n: usize) -> i128 {
        let now = self.now;
        self.trust(n)
            .balances(now)
            .map(|(_, balance)| balance.claim)
            .sum()
    }

    pub(crate) fn shift(&mut self, path: &[usize], bytes: u64) -> Option<ShiftId> {
        let (now, peers) = (self.now, self.path(path));
        let mut id = None;
        self.act(path[0], |trust, out| {
            id = trust.shift(now, &peers, bytes, out).ok();
        });
        id
    }

    /// The same while a node's disk is full, for a while.
    pub(crate) fn shift_on_full_disk(
        &mut self,
        path: &[usize],
        bytes: u64,
        node: usize,
        time: Duration,
    ) -> Option<ShiftId> {
        self.nodes[node].full = true;
        self.trust(node).store_mut().fail_after(Some(0));
        let id = self.shift(path, bytes);
        self.run_for(time);
        self.nodes[node].full = false;
        self.trust(node).store_mut().fail_after(None);
        id
    }

    /// Whether a shift is committed in the eyes of who asked for it; `None` if it has not heard.
    pub(crate) fn outcome(&self, n: usize, shift: ShiftId) -> Option<bool> {
        self.nodes[n].events.iter().find_map(|event| match event {
            Event::Committed { id, .. } if *id == shift => Some(true),
            Event::Failed { id } if *id == shift => Some(false),
            _ => None,
        })
    }

    /// Both sides of every account have signed the same.
    pub(crate) fn assert_agreed(&mut self, context: &str) {
        for (a, b) in self.links.clone() {
            let (x, y) = (self.id(a), self.id(b));
            let (one, other) = (
                self.trust(a).account(y).cloned(),
                self.trust(b).account(x).cloned(),
            );
            assert_eq!(one, other, "{context}: accounts of {a} and {b} differ");
        }
    }

    pub(crate) fn pending(&mut self) -> usize {
        let mut pending = 0;
        for (a, b) in self.links.clone() {
            let y = self.id(b);
            pending += self.trust(a).account(y).map_or(0, |state| state.pending.len());
        }
        pending
    }
}
