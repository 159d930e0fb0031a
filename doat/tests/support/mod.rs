//! A network of members in virtual time: messages take half of the distance in the delay space, and whoever is dead or cut
//! off does not answer.

#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use coords::Coord;
use coords::coord::distance_ms;
use headwater_doat::{Doat, Event, Outbox, Output};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wire::message::{Appointment, Find, Found, Lease, RingNode, TrackerLease};
use wire::{Message, PeerId, SecretKey, Signed, StreamId, Time};

/// Without an answer for so long a connection is lost, as in the program.
const IDLE: Duration = Duration::from_secs(2);

/// What an answer of [`Net::find`] is made of.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) trackers: Vec<RingNode>,
    pub(crate) hops: u8,
    /// Directions that have answered.
    pub(crate) ways: usize,
    pub(crate) after: Duration,
}

/// What happens next.
#[derive(Debug)]
enum Happening {
    Comes {
        to: PeerId,
        from: PeerId,
        message: Box<Message>,
    },
    Unreachable {
        at: PeerId,
        peer: PeerId,
    },
    Deadline {
        at: PeerId,
    },
}

/// The members, the network between them, and the time.
pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) nodes: BTreeMap<PeerId, Doat>,
    pub(crate) keys: BTreeMap<PeerId, SecretKey>,
    pub(crate) rng: ChaCha8Rng,
    /// Who is cut off from the others, though not from one another.
    pub(crate) cut: BTreeSet<PeerId>,
    /// Who answers every look-up with nothing, and is like the others in everything else.
    pub(crate) swallow: BTreeSet<PeerId>,
    pub(crate) messages: u64,
    pub(crate) misbehaved: Vec<PeerId>,
    serial: u64,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    count: u64,
    deadlines: BTreeMap<PeerId, Time>,
    /// When the last message of a pair comes: a connection keeps them in order.
    last: BTreeMap<(PeerId, PeerId), Time>,
    answers: BTreeMap<(PeerId, u64), Answer>,
    seen: BTreeMap<(PeerId, u64), Vec<RingNode>>,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Net {
            now: Time::from_millis(1_000),
            nodes: BTreeMap::new(),
            keys: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            cut: BTreeSet::new(),
            swallow: BTreeSet::new(),
            messages: 0,
            misbehaved: Vec::new(),
            serial: 0,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            count: 0,
            deadlines: BTreeMap::new(),
            last: BTreeMap::new(),
            answers: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// A coordinate: anywhere, or in one of a few clusters.
    pub(crate) fn anywhere(&mut self, clustered: bool) -> Coord {
        let centre: (f64, f64) = if clustered {
            let cluster = self.rng.random_range(0..8u32);
            (
                f64::from(cluster % 3) * 90.0 - 90.0,
                f64::from(cluster / 3) * 90.0 - 90.0,
            )
        } else {
            (0.0, 0.0)
        };
        let spread = if clustered { 8.0 } else { 150.0 };
        let mut at = |centre: f64| centre + self.rng.random_range(-spread..spread);
        Coord {
            x_ms: at(centre.0),
            y_ms: at(centre.1),
            height_ms: 2.0,
        }
    }

    fn new_node(&mut self, coord: &Coord) -> PeerId {
        let key = SecretKey::from_bytes(&self.rng.random());
        let peer = key.peer_id();
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let me = RingNode::new(peer, coord, std::iter::once(addr).collect());
        let seed = self.rng.random();
        self.keys.insert(peer, key);
        self.nodes.insert(peer, Doat::new(self.now, me, seed));
        peer
    }

    /// Somebody who comes through any member, or is the first.
    pub(crate) fn add(&mut self, coord: &Coord) -> PeerId {
        let via = self.any_member();
        self.add_through(coord, via)
    }

    /// Somebody who comes through a member, or starts a ring.
    pub(crate) fn add_through(&mut self, coord: &Coord, via: Option<RingNode>) -> PeerId {
        let peer = self.new_node(coord);
        let mut out = Outbox::new();
        let node = self.nodes.get_mut(&peer).expect("just made");
        match via {
            None => node.start(self.now),
            Some(via) => node.join(self.now, via, &mut out),
        }
        self.post(peer, out);
        peer
    }

    /// Somebody who is no member and knows these nodes, the first one best.
    pub(crate) fn add_guest(&mut self, coord: &Coord, knows: &[PeerId]) -> PeerId {
        let peer = self.new_node(coord);
        for known in knows {
            let known = self.nodes[known].me().clone();
            self.act(peer, |guest, _| guest.know(&known));
        }
        peer
    }

    pub(crate) fn any_member(&mut self) -> Option<RingNode> {
        let members: Vec<&RingNode> = self
            .nodes
            .values()
            .filter(|n| n.is_member())
            .map(Doat::me)
            .collect();
        if members.is_empty() {
            return None;
        }
        let any = self.rng.random_range(0..members.len());
        Some(members[any].clone())
    }

    /// It says so and goes.
    pub(crate) fn leave(&mut self, peer: PeerId) {
        let mut out = Outbox::new();
        self.nodes.get_mut(&peer).expect("there").leave(&mut out);
        self.post(peer, out);
    }

    /// It is gone without a word.
    pub(crate) fn crash(&mut self, peer: PeerId) {
        self.nodes.remove(&peer);
    }

    /// A member's own tracker for a stream registers with it.
    pub(crate) fn lease(&mut self, tracker: PeerId, stream: u8, siblings: Vec<RingNode>) {
        let lease = self.sign(tracker, stream, siblings);
        let now = self.now;
        self.act(tracker, |node, out| {
            node.register(now, &lease, out).expect("signed and new");
        });
    }

    /// A lease of a tracker without siblings.
    pub(crate) fn signed_lease(&mut self, tracker: PeerId, stream: u8) -> Lease {
        self.sign(tracker, stream, Vec::new())
    }

    fn sign(&mut self, tracker: PeerId, stream: u8, siblings: Vec<RingNode>) -> Lease {
        self.serial += 1;
        let key = stream_key(stream);
        let lease = TrackerLease {
            stream: key.stream_id(),
            tracker: self.nodes[&tracker].me().clone(),
            siblings: siblings.into_iter().collect(),
            serial: self.serial,
            ttl_ms: 30_000,
            members: 1,
            short: 0,
        };
        Lease {
            lease: Signed::new(&lease, &self.keys[&tracker]),
            tracker,
            appointment: Appointment::sign(&key, tracker, self.serial),
        }
    }

    /// A member does something by itself.
    pub(crate) fn act(&mut self, peer: PeerId, act: impl FnOnce(&mut Doat, &mut Outbox)) {
        let mut out = Outbox::new();
        act(self.nodes.get_mut(&peer).expect("there"), &mut out);
        self.post(peer, out);
    }

    /// Looks for a tracker from a member; the answers come when time passes.
    pub(crate) fn find(&mut self, from: PeerId, stream: StreamId) -> (PeerId, u64) {
        self.search(from, |node, now, out| node.find(now, stream, &[], out))
    }

    /// Begins a search for trackers.
    pub(crate) fn search(
        &mut self,
        from: PeerId,
        find: impl FnOnce(&mut Doat, Time, &mut Outbox) -> u64,
    ) -> (PeerId, u64) {
        let mut out = Outbox::new();
        let node = self.nodes.get_mut(&from).expect("there");
        let query = find(node, self.now, &mut out);
        let answer = Answer {
            after: Duration::from_micros(self.now.as_micros()),
            ..Answer::default()
        };
        self.answers.insert((from, query), answer);
        self.post(from, out);
        (from, query)
    }

    pub(crate) fn answer(&mut self, query: (PeerId, u64)) -> Answer {
        self.answers.remove(&query).unwrap_or_default()
    }

    /// Looks for the members around a position.
    pub(crate) fn seek(&mut self, from: PeerId, position: u64) -> (PeerId, u64) {
        let (mut query, now) = (0, self.now);
        self.act(from, |node, out| query = node.seek(now, position, out));
        (from, query)
    }

    /// Who was named.
    pub(crate) fn seen(&mut self, query: (PeerId, u64)) -> Vec<RingNode> {
        self.seen.remove(&query).unwrap_or_default()
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, id))) = self.queue.peek().copied().filter(|Reverse((at, _))| *at <= end) {
            self.queue.pop();
            self.now = at.max(self.now);
            let Some(happening) = self.happenings.remove(&id) else {
                continue;
            };
            let mut out = Outbox::new();
            let peer = match happening {
                Happening::Comes { to, from, message } => {
                    if self.swallow.contains(&to)
                        && let Message::Find(find) = *message
                    {
                        self.swallow(to, from, &find);
                        continue;
                    }
                    if let Some(node) = self.nodes.get_mut(&to) {
                        node.handle(self.now, from, *message, &mut out);
                    }
                    to
                }
                Happening::Unreachable { at, peer } => {
                    if let Some(node) = self.nodes.get_mut(&at) {
                        node.on_unreachable(self.now, peer, &mut out);
                    }
                    at
                }
                Happening::Deadline { at } => {
                    self.deadlines.remove(&at);
                    if let Some(node) = self.nodes.get_mut(&at) {
                        node.handle_deadline(self.now, &mut out);
                    }
                    at
                }
            };
            self.post(peer, out);
        }
        self.now = end;
    }

    fn swallow(&mut self, at: PeerId, asker: PeerId, find: &Find) {
        let ways = find.up.map_or(vec![true, false], |up| vec![up]);
        for up in ways {
            let found = Found {
                nonce: find.nonce,
                up,
                hops: find.hops,
                lease: None,
            };
            self.send(at, asker, Box::new(found.into()));
        }
    }

    fn push(&mut self, at: Time, happening: Happening) {
        self.count += 1;
        self.queue.push(Reverse((at, self.count)));
        self.happenings.insert(self.count, happening);
    }

    fn post(&mut self, from: PeerId, out: Outbox) {
        for output in out {
            match output {
                Output::Send { to, message, .. } => self.send(from, to, message),
                Output::Event(Event::Found {
                    query, hops, lease, ..
                }) => {
                    let now = Duration::from_micros(self.now.as_micros());
                    if let Some(answer) = self.answers.get_mut(&(from, query)) {
                        if answer.ways == 0 {
                            answer.after = now.saturating_sub(answer.after);
                        }
                        answer.ways += 1;
                        answer.hops = answer.hops.max(hops);
                        let named = lease.iter().flat_map(|lease| lease.trackers());
                        answer.trackers.extend(named.cloned());
                    }
                }
                Output::Event(Event::Seen { query, nodes, .. }) => {
                    self.seen.insert((from, query), nodes);
                }
                Output::Event(Event::Misbehaved(peer)) => self.misbehaved.push(peer),
                Output::Event(_) => {}
            }
        }
        let Some(node) = self.nodes.get(&from) else { return };
        let due = node.next_deadline().max(self.now);
        if self.deadlines.get(&from).is_none_or(|at| due < *at) {
            self.deadlines.insert(from, due);
            self.push(due, Happening::Deadline { at: from });
        }
    }

    fn send(&mut self, from: PeerId, to: PeerId, message: Box<Message>) {
        self.messages += 1;
        let reachable = self.cut.contains(&from) == self.cut.contains(&to);
        match (self.nodes.get(&from), self.nodes.get(&to)) {
            (Some(a), Some(b)) if reachable => {
                let us = distance_ms(&a.me().coord, &b.me().coord) * 500.0;
                let at = self.now + Duration::from_micros(us as u64 + self.rng.random_range(0..2_000));
                let last = self.last.entry((from, to)).or_default();
                let at = at.max(*last + Duration::from_micros(1));
                *last = at;
                self.push(at, Happening::Comes { to, from, message });
            }
            _ => self.push(self.now + IDLE, Happening::Unreachable { at: from, peer: to }),
        }
    }

    /// The members in the order of the ring.
    pub(crate) fn ring(&self) -> Vec<RingNode> {
        let mut ring: Vec<RingNode> = self
            .nodes
            .values()
            .filter(|n| n.is_member())
            .map(|n| n.me().clone())
            .collect();
        ring.sort_by_key(|node| (node.position(), node.peer));
        ring
    }
}

/// Any stream's key.
pub(crate) fn stream_key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

/// Any stream.
pub(crate) fn stream(n: u8) -> StreamId {
    stream_key(n).stream_id()
}
