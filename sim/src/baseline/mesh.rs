//! A random mesh: everybody tells its neighbours what it has, and asks them for what it lacks.
//!
//! This is the mesh/pull of CoolStreaming and of those after it, with the refinements that were found since: maps several times a
//! second, urgent chunks first and then the rarest, requests spread over those who have least to do for us, answers at once when one
//! cannot be met, and a peercaster that sends first what it has sent least.

mod neighbours;

use std::collections::{BTreeMap, VecDeque};

use rand::RngExt;

use super::play::{Player, Tuning};
use super::store::Store;
use super::{Act, Facts, Happening, Note, Peer, Scene};
use crate::measure::Role;
use crate::time::{MS, SimTime};
use neighbours::Neighbours;

/// Neighbours that a peer looks for, and those it puts up with.
const WANTED: usize = 10;
const MOST: usize = 20;
/// Between two maps. Our judgement: with 150 ms, and other settings changed besides, messages took 9.9 % of the stream instead of 6.1.
const MAP_NS: u64 = 200 * MS;
/// Between two rounds of requests.
const ROUND_NS: u64 = 80 * MS;
/// Chunks kept, and the part of them that maps speak of.
const KEPT: usize = 2500;
const IN_MAP: usize = 512;
/// What is played within this time is asked for first, in its order.
const URGENT_NS: u64 = 700 * MS;
/// A request that brought nothing for so long is made again.
const GIVEN_UP_NS: u64 = 800 * MS;
/// Requests at one neighbour that are open at once.
const OPEN: usize = 24;
/// What waits longer at the server is of no use.
const STALE_NS: u64 = 400 * MS;
/// A server that has so much to send already says no at once.
const BUSY_NS: u64 = 250 * MS;
/// A server keeps its uplink's queue this short, and the rest in an order of its own.
const QUEUE_NS: u64 = 20 * MS;
/// Between two looks for more neighbours.
const SEARCH_NS: u64 = 1000 * MS;
/// The buffer: chunks take several rounds of maps, and many of them a second request.
const BUFFER: Tuning = Tuning {
    fill_ns: 1000 * MS,
    step_ns: 200 * MS,
    spare_ns: 200 * MS,
    most_ns: 10_000 * MS,
};

/// A chunk that somebody wants.
#[derive(Clone, Copy, Debug)]
struct Order {
    to: u32,
    index: usize,
    since: SimTime,
}

/// A peer in the mesh.
#[derive(Debug)]
pub(super) struct Mesh {
    facts: Facts,
    serves: bool,
    neighbours: Neighbours,
    store: Store,
    player: Player,
    /// Chunks asked for, of whom, and until when.
    asked: BTreeMap<usize, (u32, SimTime)>,
    orders: VecDeque<Order>,
    /// How often the peercaster has sent each of its last chunks.
    sent: BTreeMap<usize, u32>,
    next_map: SimTime,
    next_round: SimTime,
    next_search: SimTime,
    /// When the uplink's queue will be short again.
    next_sending: Option<SimTime>,
}

impl Mesh {
    pub(super) fn new(facts: Facts) -> Self {
        Mesh {
            facts,
            serves: facts.copies > 0.0,
            neighbours: Neighbours::default(),
            store: Store::new(KEPT),
            player: Player::new(facts, BUFFER),
            asked: BTreeMap::new(),
            orders: VecDeque::new(),
            sent: BTreeMap::new(),
            next_map: SimTime(u64::MAX),
            next_round: SimTime(u64::MAX),
            next_search: SimTime(u64::MAX),
            next_sending: None,
        }
    }

    fn search(&mut self, scene: &mut Scene<'_>) {
        self.next_search = scene.now.plus(SEARCH_NS);
        let lacking = WANTED.saturating_sub(self.neighbours.len());
        let known = |peer: u32| self.neighbours.contains(peer);
        let found = scene.register.strangers(scene.me, &known, lacking, scene.rng);
        scene.acts.extend(found.into_iter().map(Act::Connect));
    }

    /// The first chunk that is still of use here; `None` before the first one is known.
    fn oldest_wanted(&self) -> usize {
        let newest = self.neighbours.newest().max(self.store.end());
        self.player.wanted().unwrap_or_else(|| {
            // Before it plays: from the last beginning of a group that others have.
            (0..newest)
                .rev()
                .find(|index| self.player.is_start(*index))
                .unwrap_or(0)
        })
    }

    fn tell_map(&mut self, scene: &mut Scene<'_>) {
        self.next_map = scene.now.plus(MAP_NS);
        if !self.serves {
            return;
        }
        let from = self.store.end().saturating_sub(IN_MAP);
        let mut bits = vec![0u64; (self.store.end() - from).div_ceil(64)];
        for index in (from..self.store.end()).filter(|index| self.store.has(*index)) {
            bits[(index - from) / 64] |= 1 << ((index - from) % 64);
        }
        for to in self.neighbours.all() {
            let bits = bits.clone();
            scene.tell(to, Note::Have { from, bits });
        }
    }

    /// Asks for what is missing, each chunk of one who has it.
    fn ask(&mut self, scene: &mut Scene<'_>) {
        self.next_round = scene.now.plus(ROUND_NS);
        let (now, oldest) = (scene.now, self.oldest_wanted());
        let neighbours = &mut self.neighbours;
        self.asked.retain(|index, (of, until)| {
            let open = *index >= oldest && *until > now;
            if !open {
                neighbours.close(*of);
            }
            open
        });
        let mut missing: Vec<(u64, u32, usize)> = Vec::new();
        for index in oldest..self.neighbours.newest() {
            if self.store.has(index) || self.asked.contains_key(&index) {
                continue;
            }
            let holders = self.neighbours.holders(index);
            if holders == 0 {
                continue;
            }
            let urgent = self.player.time_of(index).filter(|at| at.since(now) < URGENT_NS);
            let rarity = u64::from(holders) << 32 | u64::from(scene.rng.random::<u32>());
            missing.push(match urgent {
                Some(at) => (at.0, 0, index),
                None => (u64::MAX / 2 + rarity, 1, index),
            });
        }
        missing.sort_unstable();
        let mut wants: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (_, _, index) in missing {
            if let Some(of) = self.neighbours.open_at_best(index, OPEN, scene.rng) {
                self.asked.insert(index, (of, now.plus(GIVEN_UP_NS)));
                wants.entry(of).or_default().push(index);
            }
        }
        for (of, chunks) in wants {
            scene.tell(of, Note::Want(chunks));
        }
    }

    fn on_note(&mut self, from: u32, note: &Note, scene: &mut Scene<'_>) {
        match note {
            Note::Have { from: first, bits } => self.neighbours.set_map(from, *first, bits),
            Note::Want(chunks) => {
                let room = (BUSY_NS / self.chunk_ns().max(1)) as usize;
                let room = room.saturating_sub(self.orders.len());
                let (taken, refused) = chunks.split_at(room.min(chunks.len()));
                let since = scene.now;
                self.orders.extend(taken.iter().map(|&index| Order {
                    to: from,
                    index,
                    since,
                }));
                if !refused.is_empty() {
                    scene.tell(from, Note::Busy(refused.to_vec()));
                }
                self.serve(scene);
            }
            Note::Busy(chunks) => {
                for index in chunks {
                    if self.asked.get(index).is_some_and(|(of, _)| *of == from) {
                        self.asked.remove(index);
                        self.neighbours.close(from);
                        self.neighbours.lacks(from, *index);
                    }
                }
            }
            _ => {}
        }
    }

    /// How long its uplink takes for a chunk.
    fn chunk_ns(&self) -> u64 {
        (self.facts.chunk_ns as f64 / self.facts.copies.max(0.01)) as u64
    }

    /// Sends what is wanted as long as the uplink's queue is short.
    fn serve(&mut self, scene: &mut Scene<'_>) {
        self.next_sending = None;
        let mut refused: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut wait_ns = scene.uplink_wait_ns;
        // Nothing that is sent now changes the scene.
        let chunk_ns = self.chunk_ns();
        while wait_ns < QUEUE_NS {
            let Some(order) = self.next_order() else { break };
            if !self.neighbours.contains(order.to) {
                continue;
            }
            match self.store.get(order.index) {
                Some((chunk, hops)) if scene.now.since(order.since) < STALE_NS => {
                    scene.acts.push(Act::Send {
                        to: order.to,
                        chunk: chunk.clone(),
                        hops: hops.saturating_add(1),
                    });
                    wait_ns += chunk_ns;
                    if self.facts.role == Role::Source {
                        *self.sent.entry(order.index).or_default() += 1;
                    }
                }
                _ => refused.entry(order.to).or_default().push(order.index),
            }
        }
        for (to, chunks) in refused {
            scene.tell(to, Note::Busy(chunks));
        }
        if !self.orders.is_empty() {
            self.next_sending = Some(scene.now.plus(wait_ns.saturating_sub(QUEUE_NS / 2).max(MS)));
        }
    }

    /// First come, first served; the peercaster sends first what it has sent least.
    fn next_order(&mut self) -> Option<Order> {
        if self.facts.role != Role::Source {
            return self.orders.pop_front();
        }
        let sent = |order: &Order| self.sent.get(&order.index).copied().unwrap_or(0);
        let least = self
            .orders
            .iter()
            .enumerate()
            .min_by_key(|(at, order)| (sent(order), *at));
        let at = least.map(|(at, _)| at)?;
        self.orders.remove(at)
    }

    fn on_due(&mut self, scene: &mut Scene<'_>) {
        if self.next_search <= scene.now {
            self.search(scene);
        }
        if self.next_map <= scene.now {
            self.tell_map(scene);
        }
        if self.next_round <= scene.now {
            if self.facts.role == Role::Source {
                self.next_round = SimTime(u64::MAX);
                return;
            }
            self.ask(scene);
        }
        if self.next_sending.is_some_and(|at| at <= scene.now) {
            self.serve(scene);
        }
    }
}

impl Peer for Mesh {
    fn handle(&mut self, happening: Happening<'_>, scene: &mut Scene<'_>) {
        match happening {
            Happening::Joined => {
                scene.register.enter(scene.me, 1);
                self.search(scene);
                // Not all in step.
                let phase = |scene: &mut Scene<'_>, of: u64| scene.now.plus(scene.rng.random_range(0..of));
                self.next_map = phase(scene, MAP_NS);
                self.next_round = phase(scene, ROUND_NS);
            }
            Happening::Connected(peer) if self.neighbours.len() >= MOST => {
                scene.acts.push(Act::Disconnect(peer));
            }
            Happening::Connected(peer) => self.neighbours.add(peer),
            Happening::Disconnected(peer) => {
                self.neighbours.remove(peer);
                self.asked.retain(|_, (of, _)| *of != peer);
            }
            Happening::Note { from, note } => {
                if self.neighbours.contains(from) {
                    self.on_note(from, note, scene);
                }
            }
            Happening::Chunk { index, hops, chunk } => {
                if let Some((of, _)) = self.asked.remove(&index) {
                    self.neighbours.close(of);
                }
                self.store.insert(index, chunk, hops);
                if self.facts.role == Role::Consumer {
                    self.player.on_chunk(scene.now, index);
                }
                if self.facts.role == Role::Source {
                    self.sent.retain(|sent, _| index - *sent < IN_MAP);
                }
            }
            Happening::Due => self.on_due(scene),
        }
        self.player.run(&self.store, scene);
    }

    fn due(&self) -> Option<SimTime> {
        let times = [self.next_map, self.next_round, self.next_search];
        let others = [self.player.due(), self.next_sending];
        times.into_iter().chain(others.into_iter().flatten()).min()
    }
}
