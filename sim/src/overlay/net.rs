//! A ring in virtual time: members, the messages between them, and who is cut off from whom.

use std::collections::{BTreeMap, BTreeSet};

use doat::{Doat, Event, Outbox, Output, Way};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wire::message::{Appointment, Lease, RingNode, TrackerLease};
use wire::{Message, PeerId, SecretKey, Signed, StreamId};

use super::delays::Delays;
use super::liars::Liars;
use super::outcome::OverlayOutcome;
use super::plan::RingSpace;
use crate::audit::What;
use crate::queue::Calendar;
use crate::time::{Clock, MS, SECOND, SimTime, ms};

/// Without an answer for so long a connection is lost, as in the program.
const IDLE_NS: u64 = 2 * SECOND;

/// More walks of one search in one direction there are not.
const MAX_ATTEMPTS: u8 = 8;

/// What happens next.
enum Happening {
    Comes {
        to: u32,
        from: u32,
        message: Box<Message>,
    },
    Unreachable {
        at: u32,
        peer: u32,
    },
    Deadline {
        at: u32,
    },
}

/// A look-up under way.
#[derive(Debug)]
pub(super) struct LookUp {
    pub(super) asker: u32,
    pub(super) stream: StreamId,
    pub(super) begun: SimTime,
    pub(super) answered: SimTime,
    pub(super) trackers: Vec<RingNode>,
    pub(super) ways: usize,
    /// Of each direction that has answered.
    pub(super) hops: Vec<u8>,
}

/// A walk by what its messages say of it: who began it, for which stream, in which direction, and after how many in vain.
type WalkKey = (PeerId, StreamId, bool, u8);

/// What was sent since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) messages: u64,
    /// Those that tell of a change of a filter, unasked.
    pub(super) updates: u64,
    /// Bytes of all of them, with lengths and numbers and without what QUIC adds.
    pub(super) bytes: u64,
}

/// The members and the time.
pub(super) struct Net {
    pub(super) now: SimTime,
    pub(super) delays: Delays,
    pub(super) rng: ChaCha8Rng,
    pub(super) sent: Sent,
    pub(super) loops: u64,
    /// Whether bytes are counted: it takes longer to encode a message than to handle it.
    pub(super) weighs: bool,
    members: Vec<Option<Doat>>,
    keys: Vec<SecretKey>,
    numbers: BTreeMap<PeerId, u32>,
    /// Those that are there, for draws.
    present: Vec<u32>,
    cut: BTreeSet<u32>,
    pub(super) liars: Liars,
    queue: Calendar<Happening>,
    deadlines: Vec<SimTime>,
    look_ups: BTreeMap<(u32, u64), LookUp>,
    visited: BTreeMap<WalkKey, Vec<u32>>,
    streams: BTreeMap<StreamId, SecretKey>,
    serial: u64,
}

impl Net {
    pub(super) fn new(space: RingSpace, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Net {
            now: SimTime::START,
            delays: Delays::new(space, &mut rng),
            rng,
            sent: Sent::default(),
            loops: 0,
            weighs: false,
            members: Vec::new(),
            keys: Vec::new(),
            numbers: BTreeMap::new(),
            present: Vec::new(),
            cut: BTreeSet::new(),
            liars: Liars::default(),
            queue: Calendar::new(),
            deadlines: Vec::new(),
            look_ups: BTreeMap::new(),
            visited: BTreeMap::new(),
            streams: BTreeMap::new(),
            serial: 0,
        }
    }

    fn clock(&self) -> wire::Time {
        Clock::default().read(self.now)
    }

    /// Members that are there, in no meaningful order.
    pub(super) fn present(&self) -> &[u32] {
        &self.present
    }

    /// All that ever were.
    pub(super) fn ever(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_there(&self, member: u32) -> bool {
        self.members[member as usize].is_some()
    }

    pub(super) fn number_of(&self, peer: &PeerId) -> Option<u32> {
        self.numbers.get(peer).copied()
    }

    pub(super) fn member(&self, number: u32) -> Option<&Doat> {
        self.members[number as usize].as_ref()
    }

    /// Any member that is there.
    pub(super) fn draw(&mut self) -> u32 {
        self.present[self.rng.random_range(0..self.present.len())]
    }

    /// Any member that does not lie.
    pub(super) fn draw_honest(&mut self) -> u32 {
        loop {
            let any = self.draw();
            if !self.liars.contains(any) {
                return any;
            }
        }
    }

    /// Turns this share of those that are there into liars.
    pub(super) fn make_liars(&mut self, share: f64) {
        let count = (self.present.len() as f64 * share) as usize;
        while self.liars.numbers().len() < count {
            let any = self.draw();
            self.liars.insert(any);
        }
    }

    /// Any member that is there and waits for no answer, or would be taken for one that walks in circles; anybody if all do.
    pub(super) fn draw_idle(&mut self) -> u32 {
        const ATTEMPTS: usize = 64;
        for _ in 0..ATTEMPTS {
            let any = self.draw_honest();
            let waits = |look_up: &LookUp| look_up.ways < 2;
            if !self
                .look_ups
                .range((any, 0)..=(any, u64::MAX))
                .any(|(_, look_up)| waits(look_up))
            {
                return any;
            }
        }
        self.draw_honest()
    }

    /// Somebody who comes through any member, or is the first.
    pub(super) fn add(&mut self) -> u32 {
        let via = self.any_member();
        let key = SecretKey::from_bytes(&self.rng.random());
        let peer = key.peer_id();
        let coord = self.delays.add(&mut self.rng);
        let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 1));
        let me = RingNode::new(peer, &coord, std::iter::once(addr).collect());
        self.delays.believe(me.coord);
        let number = self.members.len() as u32;
        let mut node = Doat::new(self.clock(), me, self.rng.random());
        let mut out = Outbox::new();
        match via {
            None => node.start(self.clock()),
            Some(via) => node.join(self.clock(), via, &mut out),
        }
        self.members.push(Some(node));
        self.keys.push(key);
        self.deadlines.push(SimTime(u64::MAX));
        self.numbers.insert(peer, number);
        self.present.push(number);
        self.post(number, out);
        number
    }

    /// A member of the ring; those on their way in are passed over.
    fn any_member(&mut self) -> Option<RingNode> {
        const ATTEMPTS: usize = 64;
        for _ in 0..ATTEMPTS.min(self.present.len() * ATTEMPTS) {
            let number = self.draw();
            if let Some(node) = self.member(number).filter(|node| node.is_member()) {
                return Some(node.me().clone());
            }
        }
        None
    }

    /// It is gone without a word.
    pub(super) fn crash(&mut self, number: u32) {
        self.members[number as usize] = None;
        self.present.retain(|&there| there != number);
    }

    /// Cuts every second member off from the others, or ends that.
    pub(super) fn cut_half(&mut self, cut: bool) {
        self.cut.clear();
        if cut {
            self.cut
                .extend(self.present.iter().copied().filter(|number| number % 2 == 1));
        }
    }

    /// A stream, by its key: whoever is to track it is appointed with that.
    pub(super) fn stream(&mut self, key: SecretKey) -> StreamId {
        let stream = key.stream_id();
        self.streams.insert(stream, key);
        stream
    }

    /// A member's own tracker for a stream registers with it and the neighbour that holds its lease, too.
    pub(super) fn lease(&mut self, tracker: u32, stream: StreamId, siblings: &[RingNode]) {
        let now = self.clock();
        self.serial += 1;
        let (Some(node), Some(key)) = (self.member(tracker), self.streams.get(&stream)) else {
            return;
        };
        let lease = TrackerLease {
            stream,
            tracker: node.me().clone(),
            siblings: siblings.iter().cloned().collect(),
            serial: self.serial,
            ttl_ms: doat::LEASE.as_millis() as u32,
            members: 1,
            short: 0,
        };
        let lease = Lease {
            lease: Signed::new(&lease, &self.keys[tracker as usize]),
            tracker: node.me().peer,
            appointment: Appointment::sign(key, node.me().peer, self.serial),
        };
        let mut out = Outbox::new();
        if let Some(node) = &mut self.members[tracker as usize] {
            // Its own, signed a moment ago and newer than any before.
            let placed = node.place_lease(now, &lease, &mut out);
            debug_assert!(placed.is_ok(), "{placed:?}");
        }
        self.post(tracker, out);
    }

    /// Looks for a tracker from a member; the answers come when time passes.
    pub(super) fn find(&mut self, asker: u32, stream: StreamId) {
        let now = self.clock();
        let Some(node) = &mut self.members[asker as usize] else {
            return;
        };
        let mut out = Outbox::new();
        let query = node.find(now, stream, &[], &mut out);
        let begun_by = node.me().peer;
        for up in [true, false] {
            for attempt in 0..=MAX_ATTEMPTS {
                self.visited.remove(&(begun_by, stream, up, attempt));
            }
        }
        let look_up = LookUp {
            asker,
            stream,
            begun: self.now,
            answered: self.now,
            trackers: Vec::new(),
            ways: 0,
            hops: Vec::new(),
        };
        self.look_ups.insert((asker, query), look_up);
        self.post(asker, out);
    }

    /// The look-ups since the last call that both directions have answered, and those that nobody waits for any more.
    pub(super) fn take_look_ups(&mut self, patience_ns: u64) -> Vec<LookUp> {
        let now = self.now;
        let over = |look_up: &LookUp| look_up.ways >= 2 || now.since(look_up.begun) >= patience_ns;
        self.look_ups
            .extract_if(.., |_, look_up| over(look_up))
            .map(|(_, look_up)| look_up)
            .collect()
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, ns: u64, outcome: &mut OverlayOutcome) {
        let end = self.now.plus(ns);
        while let Some((at, happening)) = self.queue.pop_until(end) {
            self.now = at;
            outcome.events += 1;
            let clock = self.clock();
            let mut out = Outbox::new();
            let member = match happening {
                Happening::Comes { to, from, message } => {
                    outcome.deliveries += 1;
                    outcome.fold_event(at, What::Message, to, u64::from(from));
                    self.watch_walk(to, &message);
                    let peer = self.keys[from as usize].peer_id();
                    if self.lies(to, from, &message) {
                        continue;
                    }
                    if let Some(node) = &mut self.members[to as usize] {
                        node.handle(clock, peer, *message, &mut out);
                    }
                    to
                }
                Happening::Unreachable { at: member, peer } => {
                    outcome.fold_event(at, What::Disconnected, member, u64::from(peer));
                    let peer = self.keys[peer as usize].peer_id();
                    if let Some(node) = &mut self.members[member as usize] {
                        node.on_unreachable(clock, peer, &mut out);
                    }
                    member
                }
                Happening::Deadline { at: member } => {
                    if self.deadlines[member as usize] != at {
                        continue;
                    }
                    self.deadlines[member as usize] = SimTime(u64::MAX);
                    outcome.fold_event(at, What::Timer, member, 0);
                    if let Some(node) = &mut self.members[member as usize] {
                        node.handle_deadline(clock, &mut out);
                    }
                    member
                }
            };
            self.post(member, out);
        }
        self.now = end;
    }

    /// Whether a look-up comes by the same member again.
    fn watch_walk(&mut self, at: u32, message: &Message) {
        let Message::Find(find) = message else { return };
        let Some(up) = find.up else { return };
        let visited = self
            .visited
            .entry((find.begun_by, find.stream, up, find.attempt))
            .or_default();
        if visited.contains(&at) {
            self.loops += 1;
        }
        visited.push(at);
    }

    fn post(&mut self, from: u32, out: Outbox) {
        for output in out {
            match output {
                Output::Send { to, message, .. } => self.send(from, to, message),
                Output::Event(Event::Found {
                    query, hops, lease, ..
                }) => {
                    if let Some(look_up) = self.look_ups.get_mut(&(from, query)) {
                        look_up.ways += 1;
                        look_up.answered = self.now;
                        look_up.hops.push(hops);
                        let named = lease.iter().flat_map(|lease| lease.trackers());
                        look_up.trackers.extend(named.cloned());
                    }
                }
                Output::Event(_) => {}
            }
        }
        let Some(node) = self.member(from) else { return };
        let due = Clock::default().when(node.next_deadline()).max(self.now.plus(1));
        if due < self.deadlines[from as usize] {
            self.deadlines[from as usize] = due;
            self.queue.push(due, Happening::Deadline { at: from });
        }
    }

    /// Whether a liar answers in its own way.
    fn lies(&mut self, liar: u32, asker: u32, message: &Message) -> bool {
        if !self.liars.contains(liar) {
            return false;
        }
        let Some(node) = self.member(liar) else {
            return false;
        };
        let asker = self.keys[asker as usize].peer_id();
        let answers = self.liars.answers(liar, node, &self.keys[liar as usize], message);
        let lies = !answers.is_empty();
        for answer in answers {
            self.send(liar, asker, Box::new(answer));
        }
        lies
    }

    /// All liars register for a stream that has not appointed them, with their neighbours.
    pub(super) fn forge_leases(&mut self, stream: StreamId) {
        for liar in self.liars.numbers() {
            let Some(node) = self.member(liar) else { continue };
            let lease = Liars::forge(node, &self.keys[liar as usize], stream);
            let near = Way::BOTH.into_iter().filter_map(|way| node.ring().next(way));
            let near: Vec<PeerId> = near.map(|node| node.peer).collect();
            for peer in near {
                self.send(liar, peer, Box::new(lease.clone().into()));
            }
        }
    }

    fn send(&mut self, from: u32, to: PeerId, mut message: Box<Message>) {
        let Some(to) = self.number_of(&to) else { return };
        self.liars.poison(from, &mut message);
        self.sent.messages += 1;
        if self.weighs {
            self.sent.bytes += wire::codec::encode(&message).len() as u64;
        }
        self.sent.updates +=
            u64::from(matches!(&*message, Message::Watched(watched) if watched.since.is_some()));
        let reachable = self.cut.contains(&from) == self.cut.contains(&to);
        if reachable && self.is_there(to) {
            // Half a round trip, without jitter: so a connection keeps its order.
            let way = ms(self.delays.rtt_ms(from, to) / 2.0).max(MS / 20);
            self.queue
                .push(self.now.plus(way), Happening::Comes { to, from, message });
        } else {
            self.queue.push(
                self.now.plus(IDLE_NS),
                Happening::Unreachable { at: from, peer: to },
            );
        }
    }
}
