//! A member of the ring, or a peer on its way in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wire::message::{
    Guest, Lease, MAX_RING_SEEN, RingLeave, RingNews, RingNode, TrackerLease, Unchanged, Watch,
};
use wire::{List, Message, PeerId, StreamId, Time};

use crate::entries::Entries;
use crate::filter::Needle;
use crate::leases::{LeaseError, Leases};
use crate::levels::{Applied, Levels};
use crate::look::{Sought, Walk};
use crate::news::{Heard, TORN_FOR};
use crate::pending::Pending;
use crate::ring::Ring;
use crate::search::{Asked, Search};
use crate::upkeep::TELL_EVERY;
use crate::way::Both;
use crate::{Place, Way};

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message, on the connection that there is, or on a new one to these addresses.
    Send {
        /// To whom.
        to: PeerId,
        /// Where it can be reached; empty if only a connection that exists will do.
        addrs: Vec<SocketAddr>,
        /// What.
        message: Box<Message>,
    },
    /// Something for the node that this is a part of.
    Event(Event),
}

/// What a node learns from its ring.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It has become a member: it has neighbours that answer.
    Joined,
    /// The answer to [`Doat::find`] in one direction: each direction has one, empty if nothing was heard for some seconds.
    Found {
        /// The look-up.
        query: u64,
        /// The direction.
        way: Way,
        /// How many members passed it on.
        hops: u8,
        /// What the nearest tracker in this direction says of itself and its siblings; `None` if there is none. The stream has
        /// appointed it: both signatures have been checked.
        lease: Option<Box<TrackerLease>>,
    },
    /// The answer to [`Doat::seek`].
    Seen {
        /// The look-up.
        query: u64,
        /// How many members passed it on.
        hops: u8,
        /// Members around the position.
        nodes: Vec<RingNode>,
    },
    /// A newcomer's word for a tracker whose lease is here.
    Guest {
        /// The tracker; it may be this node.
        tracker: RingNode,
        /// The word. Nobody has checked it.
        guest: Box<Guest>,
    },
    /// A peer said something that no honest peer says.
    Misbehaved(PeerId),
}

/// What is to be done, in order.
pub type Outbox = Vec<Output>;

/// Peers once met are remembered so many, at random: when the ring falls apart, some of them are on the other side.
const MAX_ACQUAINTANCES: usize = 32;

/// Who did not answer is not believed to be there because others say so, for so long: they have not noticed yet.
const DEAD_FOR: Duration = Duration::from_secs(15);

/// Most nodes remembered as gone. Beyond that whoever was to be forgotten first is.
const MAX_DEAD: usize = 256;

/// Who has lied is passed by for so long: by look-ups, and as a finger. It may have been broken, and nobody is gone for ever.
const SHUNNED_FOR: Duration = Duration::from_secs(300);

/// What a peer is to the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not come yet, or has left.
    Outside,
    /// It looks for its place.
    Joining,
    /// It has neighbours, or has started the ring.
    Member,
}

/// A member of the ring, or a peer on its way in.
#[derive(Debug)]
pub struct Doat {
    pub(crate) me: RingNode,
    pub(crate) standing: Standing,
    pub(crate) ring: Ring,
    pub(crate) ways: Both<Levels>,
    pub(crate) leases: Leases,
    pub(crate) seeks: Pending<Sought>,
    pub(crate) walks: Pending<Walk>,
    pub(crate) searches: BTreeMap<u64, Search>,
    /// Members asked to search in this node's place.
    pub(crate) asked: Pending<Asked>,
    /// Members that this node asks while it is none.
    pub(crate) entries: Entries,
    /// Leases of trackers on this node that wait for the members to place them with to be found.
    pub(crate) placing: BTreeMap<u64, Lease>,
    /// Peers met, dead or alive.
    pub(crate) met: BTreeMap<PeerId, RingNode>,
    /// Who did not answer, and until when that counts.
    pub(crate) dead: BTreeMap<PeerId, Time>,
    /// Who has lied, and until when it is passed by.
    pub(crate) shunned: BTreeMap<PeerId, Time>,
    /// What this node said of itself and its lists last, and under which revision.
    pub(crate) said: RingNews,
    /// What others said of themselves last.
    pub(crate) heard: BTreeMap<PeerId, Heard>,
    /// Who was asked for a sign of life, and when.
    pub(crate) probed: BTreeMap<PeerId, Time>,
    pub(crate) rng: ChaCha8Rng,
    /// Which life of the filters this is.
    pub(crate) epoch: u32,
    /// Something that is told others may have changed.
    pub(crate) dirty: bool,
    pub(crate) told_at: Option<Time>,
    /// How long after that others are told next.
    pub(crate) tell_every: Duration,
    pub(crate) next_upkeep: Time,
    pub(crate) next_heal: Time,
    /// When neighbours' news are asked for again at the earliest.
    pub(crate) next_news: Time,
    /// Until when they may be asked for at any time.
    pub(crate) torn_until: Time,
    /// When a neighbour's news are heard again next.
    pub(crate) next_retell: Time,
}

impl Doat {
    /// A peer that is no member yet.
    pub fn new(now: Time, me: RingNode, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Doat {
            ring: Ring::of_one(&me),
            said: RingNews {
                me: me.clone(),
                successors: List::default(),
                predecessors: List::default(),
                answer: false,
                revision: rng.random(),
            },
            heard: BTreeMap::new(),
            shunned: BTreeMap::new(),
            me,
            standing: Standing::Outside,
            ways: Both::default(),
            leases: Leases::default(),
            seeks: Pending::new(rng.random()),
            walks: Pending::new(rng.random()),
            searches: BTreeMap::new(),
            asked: Pending::new(rng.random()),
            entries: Entries::default(),
            placing: BTreeMap::new(),
            met: BTreeMap::new(),
            dead: BTreeMap::new(),
            probed: BTreeMap::new(),
            epoch: rng.random(),
            rng,
            dirty: false,
            told_at: None,
            tell_every: TELL_EVERY,
            next_upkeep: now,
            next_heal: now,
            next_news: now,
            torn_until: now,
            next_retell: now,
        }
    }

    /// Starts a ring: whoever is the first needs nobody else.
    pub fn start(&mut self, now: Time) {
        self.standing = Standing::Member;
        self.rechoose(now);
        self.schedule(now);
    }

    /// Enters the ring that `via` belongs to. [`Event::Joined`] says that it worked; until then it is tried again.
    pub fn join(&mut self, now: Time, via: RingNode, out: &mut Outbox) {
        self.standing = Standing::Joining;
        self.know(&via);
        self.remember(&via);
        self.schedule(now);
        self.seek_self(now, &via, out);
    }

    /// Somebody was met who may be in another ring: a member asks it who is around here, now and from time to time later, and what
    /// it hears makes the two rings one.
    pub fn meet(&mut self, now: Time, node: &RingNode, out: &mut Outbox) {
        self.know(node);
        self.remember(node);
        if self.is_member() && node.peer != self.me.peer && !self.ring.holds(node.peer) {
            self.seek_self(now, node, out);
        }
    }

    /// Names a member of the ring, or any other node of the overlay, through which this one can ask while it is no member itself.
    /// Some sixteen are remembered, those that answered last before those that are only named; members that answers to
    /// [`Doat::seek`] name are remembered by themselves.
    pub fn know(&mut self, node: &RingNode) {
        if node.peer != self.me.peer {
            self.entries.know(node);
        }
    }

    /// The nodes through which this one asks while it is no member, the one that is asked first before the others: also what to
    /// write down for the next start.
    pub fn entries(&self) -> &[RingNode] {
        self.entries.nodes()
    }

    /// This node is somewhere else in the delay space, or is reached elsewhere. A member leaves its place and comes to its new one
    /// through a neighbour, with [`Event::Joined`] when it is there; that costs others something, so it should not happen often.
    pub fn move_to(&mut self, now: Time, me: RingNode, out: &mut Outbox) {
        let me = RingNode {
            peer: self.me.peer,
            ..me
        };
        let (moved, standing) = (me.coord != self.me.coord, self.standing);
        if !moved || standing == Standing::Outside {
            self.me = me;
            if moved {
                self.ring = Ring::of_one(&self.me);
            }
            return;
        }
        // Leases do not move with the member, but last until they are placed anew.
        let leases = std::mem::take(&mut self.leases);
        let via = self.ring.next(Way::Up).cloned();
        self.leave(out);
        self.leases = leases;
        self.me = me;
        self.ring = Ring::of_one(&self.me);
        match via.or_else(|| self.entries.nodes().first().cloned()) {
            Some(via) => self.join(now, via, out),
            None => self.start(now),
        }
    }

    /// Leaves: neighbours close the gap at once. It may ask them as an outsider from now on, and come back with [`Doat::join`].
    pub fn leave(&mut self, out: &mut Outbox) {
        self.standing = Standing::Outside;
        let neighbours: Vec<RingNode> = Way::BOTH
            .into_iter()
            .flat_map(|way| self.ring.list(way).to_vec())
            .collect();
        let nodes: List<RingNode, MAX_RING_SEEN> = neighbours.iter().cloned().collect();
        let mut told: Vec<PeerId> = Vec::new();
        for node in &neighbours {
            if !told.contains(&node.peer) {
                told.push(node.peer);
                send(out, node, RingLeave { nodes: nodes.clone() });
                self.entries.know(node);
            }
        }
        self.ring = Ring::of_one(&self.me);
        self.ways = Both::default();
        self.leases = Leases::default();
        self.probed.clear();
        self.heard.clear();
        // Whoever hears of this node's filters again must not take them for those of before.
        self.epoch = self.rng.random();
    }

    /// The leases held here.
    pub fn held(&self) -> impl Iterator<Item = &TrackerLease> {
        self.leases.iter()
    }

    /// Leases held here, one of each stream, those of trackers whose areas lack most first.
    pub fn shortest(&self, most: usize) -> Vec<Lease> {
        self.leases.shortest(most)
    }

    /// This node's own entry in the ring.
    pub fn me(&self) -> &RingNode {
        &self.me
    }

    /// Whether it is a member.
    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// The nearest neighbours.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Routing entries of a direction, the nearest first: whom each names.
    pub fn fingers(&self, way: Way) -> impl Iterator<Item = &RingNode> {
        self.ways[way].entries().iter().map(|entry| &entry.finger)
    }

    /// How many routing entries of a direction say that they lead to a tracker of this stream, and how many there are: for
    /// whoever measures how often filters err.
    pub fn claims(&self, way: Way, stream: StreamId) -> (usize, usize) {
        let entries = self.ways[way].entries();
        let needle = Needle::from(stream);
        let claiming = entries.iter().filter(|entry| entry.claims(&needle));
        (claiming.count(), entries.len())
    }

    /// Leases held here.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// Questions under way through this node.
    pub fn under_way(&self) -> usize {
        self.seeks.len() + self.walks.len() + self.asked.len() + self.searches.len()
    }

    /// Registers a local tracker here.
    ///
    /// # Errors
    /// The lease is not signed by its tracker, older than what is held, or there is no room.
    pub fn register(&mut self, now: Time, lease: &Lease, out: &mut Outbox) -> Result<(), LeaseError> {
        let before = self.leases.filter().clone();
        self.leases.take(now, lease)?;
        if *self.leases.filter() != before {
            self.dirty = true;
            self.announce(now, out);
        }
        Ok(())
    }

    /// Registers a local tracker on this node, so that it is found: a member holds the lease itself, and so does the neighbour that
    /// is nearest in delay, should one of both fail; who is no member looks for the two members that are nearest and asks
    /// them. To be done again after a third of [`crate::LEASE`].
    ///
    /// # Errors
    /// As for [`Doat::register`].
    pub fn place_lease(&mut self, now: Time, lease: &Lease, out: &mut Outbox) -> Result<(), LeaseError> {
        if !self.is_member() {
            lease.open()?;
            self.place_from_outside(now, lease, out);
            return Ok(());
        }
        self.register(now, lease, out)?;
        let neighbours = Way::BOTH.into_iter().flat_map(|way| self.ring.list(way));
        let neighbours = neighbours.filter(|node| !self.shunned.contains_key(&node.peer));
        let away = |node: &RingNode| coords::coord::distance_ms(&self.me.coord, &node.coord);
        let nearest = neighbours.min_by(|a, b| away(a).total_cmp(&away(b)).then(a.peer.cmp(&b.peer)));
        if let Some(nearest) = nearest {
            send(out, nearest, lease.clone());
        }
        Ok(())
    }

    /// A message came.
    pub fn handle(&mut self, now: Time, from: PeerId, message: Message, out: &mut Outbox) {
        self.dead.remove(&from);
        self.probed.remove(&from);
        if let Some(heard) = self.heard.get_mut(&from) {
            heard.at = now;
        }
        match message {
            Message::RingSeek(seek) => self.on_seek(now, from, &seek, out),
            Message::RingSeen(seen) => self.on_seen(now, from, seen, out),
            Message::Find(find) => self.on_find(now, from, find, out),
            Message::Found(found) => self.on_found(now, from, found, out),
            // Whoever takes this node for a member hears that it is none.
            Message::RingNews(_) | Message::RingPulse(_) | Message::Watch(_)
                if self.standing == Standing::Outside =>
            {
                reply(out, from, RingLeave::default());
            }
            Message::RingLeave(_) if self.standing == Standing::Outside => {
                self.pass_by(now, from, out);
                self.entries.remove(from);
            }
            _ if self.standing == Standing::Outside => {}
            Message::RingNews(news) => self.on_news(now, from, news, out),
            Message::RingPulse(pulse) => self.on_pulse(now, from, pulse, out),
            Message::RingLeave(leave) => {
                // Who leaves says who is left, so nothing is torn.
                let torn_until = self.torn_until;
                self.lose(now, from, out);
                self.torn_until = torn_until;
                let named: Vec<&RingNode> = leave.nodes.iter().collect();
                self.consider(now, &named, out);
            }
            Message::Watch(watch) => self.on_watch(now, from, watch, out),
            Message::Watched(watched) => {
                let way = Way::from_up(watched.up);
                let level = usize::from(watched.level);
                match self.ways[way].apply(now, from, &watched) {
                    Applied::Foreign => {}
                    Applied::Taken { news } => {
                        self.dirty |= news;
                        if let Some(next) = &watched.finger {
                            self.remember(next);
                        }
                        self.rechoose(now);
                        self.announce(now, out);
                    }
                    Applied::Gap => self.ask_entry(now, way, level, out),
                    Applied::Poisoned => self.on_lie(now, from, out),
                }
            }
            Message::Unchanged(unchanged) => {
                let way = Way::from_up(unchanged.up);
                self.ways[way].confirm(now, from, usize::from(unchanged.level));
            }
            Message::Lease(lease) => {
                if let Err(LeaseError::Signature(_)) = self.register(now, &lease, out) {
                    self.on_lie(now, from, out);
                }
            }
            _ => {}
        }
    }

    /// A peer could not be reached, or its connection is lost.
    pub fn on_unreachable(&mut self, now: Time, peer: PeerId, out: &mut Outbox) {
        if self.standing == Standing::Outside {
            self.pass_by(now, peer, out);
        } else {
            self.lose(now, peer, out);
        }
    }

    /// Somebody whose finger this node is wants to hear of a level.
    fn on_watch(&mut self, now: Time, from: PeerId, watch: Watch, out: &mut Outbox) {
        let way = Way::from_up(watch.up);
        let level = usize::from(watch.level);
        // What it is told must be what the others are told: changes that wait for their turn come later.
        if self.ways[way].watch(now, level, from)
            && let Some(message) = self.ways[way].tell(self.epoch, level, watch.have, way)
        {
            let finger = message.finger.as_ref().map(|finger| finger.peer.tag());
            if (watch.have, watch.finger) == (Some(message.state), finger) {
                let (up, level) = (watch.up, watch.level);
                return reply(out, from, Unchanged { up, level });
            }
            reply(out, from, message);
        }
    }

    /// Somebody said what cannot be: it is told of, and passed by for a while.
    pub(crate) fn on_lie(&mut self, now: Time, liar: PeerId, out: &mut Outbox) {
        out.push(Output::Event(Event::Misbehaved(liar)));
        if self.shunned.len() >= MAX_DEAD && !self.shunned.contains_key(&liar) {
            let first = self.shunned.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(peer, _)| *peer) {
                self.shunned.remove(&first);
            }
        }
        self.shunned.insert(liar, now + SHUNNED_FOR);
        self.rechoose(now);
    }

    /// Whether somebody is gone, as far as this node knows, or lies: then nothing is passed on to it.
    pub(crate) fn is_unfit(&self, peer: PeerId) -> bool {
        self.dead.contains_key(&peer) || self.shunned.contains_key(&peer)
    }

    /// A peer is gone.
    pub(crate) fn lose(&mut self, now: Time, peer: PeerId, out: &mut Outbox) {
        if self.dead.len() >= MAX_DEAD && !self.dead.contains_key(&peer) {
            let first = self.dead.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(peer, _)| *peer) {
                self.dead.remove(&first);
            }
        }
        self.dead.insert(peer, now + DEAD_FOR);
        self.probed.remove(&peer);
        self.heard.remove(&peer);
        for way in Way::BOTH {
            self.ways[way].forget(peer);
        }
        let was_near = self.ring.remove(peer);
        self.rechoose(now);
        self.pass_by(now, peer, out);
        if was_near {
            self.torn_until = now + TORN_FOR;
            self.next_news = now;
            // The others in the list know who comes after them.
            for way in Way::BOTH {
                if let Some(last) = self.ring.list(way).last().cloned() {
                    self.forget_news(last.peer);
                    self.probe(now, &last, out);
                }
            }
        }
        self.announce(now, out);
    }

    /// Chooses the entries anew.
    pub(crate) fn rechoose(&mut self, now: Time) {
        for way in Way::BOTH {
            let unfit = |peer: PeerId| self.dead.contains_key(&peer) || self.shunned.contains_key(&peer);
            self.dirty |= self.ways[way].choose(now, &self.ring, way, unfit);
        }
    }

    /// Remembers somebody met, in place of anybody else when there are many.
    pub(crate) fn remember(&mut self, node: &RingNode) {
        if node.peer == self.me.peer {
            return;
        }
        if self.met.len() >= MAX_ACQUAINTANCES && !self.met.contains_key(&node.peer) {
            // Whoever is met last is not worth more: one in four replaces somebody.
            if self.rng.random_range(0..4) != 0 {
                return;
            }
            let any = self.rng.random_range(0..self.met.len());
            if let Some(peer) = self.met.keys().nth(any).copied() {
                self.met.remove(&peer);
            }
        }
        self.met.insert(node.peer, node.clone());
    }

    /// This node's place.
    pub(crate) fn place(&self) -> Place {
        self.ring.me()
    }
}

/// Sends a message on the connection that there is.
pub(crate) fn reply(out: &mut Outbox, to: PeerId, message: impl Into<Message>) {
    out.push(Output::Send {
        to,
        addrs: Vec::new(),
        message: Box::new(message.into()),
    });
}

/// Sends a message to a node whose addresses are known.
pub(crate) fn send(out: &mut Outbox, to: &RingNode, message: impl Into<Message>) {
    out.push(Output::Send {
        to: to.peer,
        addrs: to.addrs.to_vec(),
        message: Box::new(message.into()),
    });
}
