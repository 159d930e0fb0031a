//! Look-ups: who is around a position, and which local tracker of a stream is nearest.
//!
//! Both are passed on from member to member, and the answers come back the same way, over connections that exist. A search
//! for a tracker runs in both directions at once. Each step goes to the nearest entry whose filter has the stream and shrinks
//! the arc that is left; where a filter was wrong the walk goes on in what is left of the arc, so it never comes by the same
//! member twice.

use coords::Coord;
use coords::coord::distance_ms;
use wire::message::{Find, Found, Guest, Lease, MAX_EXCEPTED, RingLeave, RingNode, RingSeek, RingSeen};
use wire::{List, PeerId, StreamId, Time};

use crate::filter::Needle;
use crate::node::{Doat, Event, Outbox, Output, Standing, reply, send};
use crate::pending::{Asker, patience};
use crate::search::{MAX_RELAYED, Outcome, checked};
use crate::{Place, Way};

/// The trackers that a look-up is not for.
pub(crate) type Excepted = List<PeerId, MAX_EXCEPTED>;

/// The same in a message.
pub(crate) fn told(except: &Excepted) -> Option<Excepted> {
    (!except.is_empty()).then(|| except.clone())
}

/// No look-up is passed on more often: four times what a ring of a million needs.
pub(crate) const MAX_HOPS: u8 = 80;

/// Members that one look-up passes by at one place.
const MAX_DETOURS: usize = 3;

/// A look-up for the members around a position.
#[derive(Clone, Debug)]
pub(crate) struct Sought {
    pub(crate) position: u64,
    pub(crate) hops: u8,
    pub(crate) tried: Vec<PeerId>,
}

/// A search for a tracker in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    stream: StreamId,
    way: Way,
    begun: Place,
    hops: u8,
    /// How many walks of the same search in this direction came back empty before.
    attempt: u8,
    tried: Vec<PeerId>,
    /// Who wants to join: the tracker is told.
    guest: Option<Box<Guest>>,
    /// Trackers that are gone, whatever their leases say.
    except: Excepted,
}

impl Walk {
    /// A walk that begins at a place.
    pub(crate) fn new(stream: StreamId, way: Way, begun: Place, hops: u8, attempt: u8) -> Self {
        Walk {
            stream,
            way,
            begun,
            hops,
            attempt,
            tried: Vec::new(),
            guest: None,
            except: Excepted::default(),
        }
    }

    /// The same for somebody who wants to join.
    pub(crate) fn for_guest(self, guest: Option<Box<Guest>>) -> Self {
        Walk { guest, ..self }
    }

    /// The same for other trackers than these.
    pub(crate) fn except(self, except: Excepted) -> Self {
        Walk { except, ..self }
    }
}

/// Of these nodes those that are nearest to a coordinate in delay, the nearest first: what an answer to [`Doat::seek`] is good
/// for. At most `count`, and nobody twice.
pub fn closest(nodes: &[RingNode], to: &Coord, count: usize) -> Vec<RingNode> {
    let away = |node: &RingNode| distance_ms(&node.coord, to);
    let mut nodes = nodes.to_vec();
    nodes.sort_by(|a, b| away(a).total_cmp(&away(b)).then(a.peer.cmp(&b.peer)));
    nodes.dedup_by_key(|node| node.peer);
    nodes.truncate(count);
    nodes
}

impl Doat {
    /// Looks for the members around a position of the ring; [`Event::Seen`] has the answer, if one comes. Who is no member asks
    /// one that it knows, and remembers those that are named for later questions.
    pub fn seek(&mut self, now: Time, position: u64, out: &mut Outbox) -> u64 {
        let query = self.seeks.number();
        let sought = Sought {
            position,
            hops: 0,
            tried: Vec::new(),
        };
        self.pass_seek(now, Asker::Own(query), sought, out);
        query
    }

    /// Places the lease of a tracker on this node, which is no member, with the two members that are nearest to it.
    pub(crate) fn place_from_outside(&mut self, now: Time, lease: &Lease, out: &mut Outbox) {
        /// Most leases on their way: a node keeps trackers of few streams.
        const MAX_PLACING: usize = 64;
        let query = self.seeks.number();
        if self.placing.len() >= MAX_PLACING {
            self.placing.pop_first();
        }
        self.placing.insert(query, lease.clone());
        let sought = Sought {
            position: self.me.position(),
            hops: 0,
            tried: Vec::new(),
        };
        self.pass_seek(now, Asker::Own(query), sought, out);
    }

    /// Looks for this node's own neighbours, beginning with somebody in particular.
    pub(crate) fn seek_self(&mut self, now: Time, via: &RingNode, out: &mut Outbox) {
        let sought = Sought {
            position: self.place().position,
            hops: 0,
            tried: Vec::new(),
        };
        self.send_seek(now, Asker::Upkeep, sought, via, out);
    }

    pub(crate) fn on_seek(&mut self, now: Time, from: PeerId, seek: &RingSeek, out: &mut Outbox) {
        let sought = Sought {
            position: seek.position,
            hops: seek.hops,
            tried: vec![from],
        };
        self.pass_seek(now, Asker::Peer(from, seek.nonce), sought, out);
    }

    fn pass_seek(&mut self, now: Time, asker: Asker, sought: Sought, out: &mut Outbox) {
        match self.nearer(&sought) {
            Some(node) => self.send_seek(now, asker, sought, &node, out),
            None => {
                // Who is no member and can ask nobody names those that it has heard of.
                let (me, others) = match self.standing {
                    Standing::Member => (Some(&self.me), [].as_slice()),
                    _ => (None, self.entries.nodes()),
                };
                let listed = Way::BOTH.into_iter().flat_map(|way| self.ring.list(way));
                let nodes = me.into_iter().chain(listed).chain(others).cloned().collect();
                self.answer_seek(asker, sought.hops, nodes, out);
            }
        }
    }

    /// Whom a look-up is passed on to: who is nearest of those that are nearer than this node.
    pub(crate) fn nearer(&self, sought: &Sought) -> Option<RingNode> {
        if sought.hops >= MAX_HOPS || sought.tried.len() > MAX_DETOURS + 1 {
            return None;
        }
        if self.standing != Standing::Member {
            // Who is no member knows nobody's place for sure: the first that answers is as good as any.
            let mut entries = self.entries.nodes().iter();
            let fresh = |node: &&RingNode| !sought.tried.contains(&node.peer);
            return entries
                .find(fresh)
                .filter(|_| sought.hops <= MAX_RELAYED)
                .cloned();
        }
        let target = Place {
            position: sought.position,
            peer: PeerId::from_bytes([0; 32]),
        };
        let mine = self.place().distance(&target);
        self.known()
            .filter(|node| !self.is_unfit(node.peer) && !sought.tried.contains(&node.peer))
            .map(|node| (Place::of(node).distance(&target), node))
            .min_by_key(|(distance, node)| (*distance, node.peer))
            .filter(|(distance, _)| *distance < mine)
            .map(|(_, node)| node.clone())
    }

    fn send_seek(&mut self, now: Time, asker: Asker, sought: Sought, to: &RingNode, out: &mut Outbox) {
        let (position, hops) = (sought.position, sought.hops);
        let nonce = self.seeks.ask(now, asker, to.peer, patience(hops), sought);
        send(
            out,
            to,
            RingSeek {
                position,
                nonce,
                hops: hops + 1,
            },
        );
    }

    /// Everybody in the lists and the routing entries.
    fn known(&self) -> impl Iterator<Item = &RingNode> {
        let lists = Way::BOTH.into_iter().flat_map(|way| self.ring.list(way));
        lists.chain(Way::BOTH.into_iter().flat_map(|way| self.fingers(way)))
    }

    fn answer_seek(&mut self, asker: Asker, hops: u8, nodes: Vec<RingNode>, out: &mut Outbox) {
        match asker {
            Asker::Own(query) => match self.placing.remove(&query) {
                None => out.push(Output::Event(Event::Seen { query, hops, nodes })),
                Some(lease) => {
                    for node in closest(&nodes, &self.me.coord, 2) {
                        send(out, &node, lease.clone());
                    }
                }
            },
            Asker::Search(_) | Asker::Upkeep => {}
            Asker::Peer(to, nonce) => reply(
                out,
                to,
                RingSeen {
                    nonce,
                    hops,
                    nodes: nodes.into_iter().collect(),
                },
            ),
        }
    }

    pub(crate) fn on_seen(&mut self, now: Time, from: PeerId, seen: RingSeen, out: &mut Outbox) {
        let Some(question) = self.seeks.answer(seen.nonce, from) else {
            return;
        };
        let nodes = seen.nodes.into_vec();
        if self.standing != Standing::Member {
            for node in nodes.iter().filter(|node| node.peer != self.me.peer) {
                self.entries.know(node);
            }
            self.entries.answered(from);
        }
        if question.asker == Asker::Upkeep {
            let named: Vec<&RingNode> = nodes.iter().collect();
            self.consider(now, &named, out);
        }
        self.answer_seek(question.asker, seen.hops, nodes, out);
    }

    pub(crate) fn on_find(&mut self, now: Time, from: PeerId, find: Find, out: &mut Outbox) {
        let Some(up) = find.up else {
            return self.search_for(now, from, &find, out);
        };
        if self.standing == Standing::Outside {
            // It takes this node for a member, and goes another way when it hears that it is none.
            return reply(out, from, RingLeave::default());
        }
        let begun = Place {
            position: find.begun_at,
            peer: find.begun_by,
        };
        let walk = Walk::new(find.stream, Way::from_up(up), begun, find.hops, find.attempt);
        let walk = walk.for_guest(find.guest).except(find.except.unwrap_or_default());
        self.walk(now, Asker::Peer(from, find.nonce), walk, out);
    }

    pub(crate) fn walk(&mut self, now: Time, asker: Asker, walk: Walk, out: &mut Outbox) {
        let here = self
            .leases
            .nearest(walk.stream, walk.begun.position, &walk.except);
        let here = here.map(|(signed, lease)| (signed.clone(), lease.clone()));
        let next = here.is_none().then(|| self.next_step(&walk)).flatten();
        match next {
            Some(next) => self.send_find(now, asker, walk, &next, out),
            None => {
                if let (Some(guest), Some((_, lease))) = (walk.guest, &here) {
                    let tracker = lease.tracker.clone();
                    out.push(Output::Event(Event::Guest { tracker, guest }));
                }
                let outcome = Outcome {
                    hops: walk.hops,
                    lease: here,
                };
                self.answer_walk(now, asker, walk.way, outcome, out);
            }
        }
    }

    /// Whom a search is passed on to.
    pub(crate) fn next_step(&self, walk: &Walk) -> Option<RingNode> {
        if walk.hops >= MAX_HOPS || walk.tried.len() > MAX_DETOURS {
            return None;
        }
        let needle = Needle::from(walk.stream);
        let shunned = |peer: PeerId| self.is_unfit(peer) || walk.tried.contains(&peer);
        let (levels, me) = (&self.ways[walk.way], self.place());
        let known = levels.towards(walk.way, &me, &needle, &walk.begun, shunned);
        let unfit = |peer: PeerId| self.is_unfit(peer);
        let broken = || levels.breaks_off_at(&self.ring, walk.way, unfit).is_some();
        if known.is_some() || !levels.is_in_the_dark() && !broken() {
            return known.cloned();
        }
        // Who has only just come, or has lost a finger, does not know what lies farther on, and its neighbour does.
        let next = self.ring.list(walk.way).iter().zip(self.ring.places(walk.way));
        let mut next = next.filter(|(node, place)| {
            let within = walk.begun == me
                || walk.begun.peer != node.peer && walk.begun.comes_after(walk.way, &me, place);
            within && !shunned(node.peer)
        });
        next.next().map(|(node, _)| node.clone())
    }

    pub(crate) fn send_find(&mut self, now: Time, asker: Asker, walk: Walk, to: &RingNode, out: &mut Outbox) {
        let find = Find {
            stream: walk.stream,
            nonce: 0,
            up: Some(walk.way.is_up()),
            near: None,
            begun_at: walk.begun.position,
            begun_by: walk.begun.peer,
            hops: walk.hops + 1,
            attempt: walk.attempt,
            guest: walk.guest.clone(),
            except: told(&walk.except),
        };
        let nonce = self.walks.ask(now, asker, to.peer, patience(walk.hops), walk);
        send(out, to, Find { nonce, ..find });
    }

    pub(crate) fn on_found(&mut self, now: Time, from: PeerId, found: Found, out: &mut Outbox) {
        let Some(mut question) = self.walks.answer(found.nonce, from) else {
            return self.on_found_for(now, from, found, out);
        };
        let lease = found.lease.map(|signed| checked(signed, question.what.stream));
        if lease == Some(None) {
            self.on_lie(now, from, out);
            question.what.tried.push(from);
            return self.walk(now, question.asker, question.what, out);
        }
        let outcome = Outcome {
            hops: found.hops,
            lease: lease.flatten(),
        };
        self.answer_walk(now, question.asker, question.what.way, outcome, out);
    }

    fn answer_walk(&mut self, now: Time, asker: Asker, way: Way, outcome: Outcome, out: &mut Outbox) {
        match asker {
            Asker::Search(id) => self.on_walked(now, id, way, outcome, out),
            Asker::Peer(to, nonce) => reply(out, to, outcome.message(nonce, way)),
            // Trackers are looked for by searches only.
            Asker::Own(_) | Asker::Upkeep => {}
        }
    }

    /// Questions that were passed on to somebody who is gone go another way, or are answered here.
    pub(crate) fn pass_by(&mut self, now: Time, gone: PeerId, out: &mut Outbox) {
        for mut question in self.walks.take_if(|question| question.to == gone) {
            question.what.tried.push(gone);
            self.walk(now, question.asker, question.what, out);
        }
        for mut question in self.seeks.take_if(|question| question.to == gone) {
            question.what.tried.push(gone);
            self.pass_seek(now, question.asker, question.what, out);
        }
        self.pass_by_entry(now, gone, out);
    }

    /// Where an answer is overdue somebody else is asked, too. If there is nobody else it is waited for: an empty answer would
    /// be taken for the last word.
    pub(crate) fn ask_others(&mut self, now: Time, out: &mut Outbox) {
        for (asker, to, mut walk) in self.walks.overdue(now) {
            walk.tried.push(to);
            if let Some(next) = self.next_step(&walk) {
                self.send_find(now, asker, walk, &next, out);
            }
        }
        self.ask_other_entries(now, out);
        for (asker, to, mut sought) in self.seeks.overdue(now) {
            if self.standing != Standing::Member {
                self.entries.failed(to);
            }
            sought.tried.push(to);
            if let Some(node) = self.nearer(&sought) {
                self.send_seek(now, asker, sought, &node, out);
            }
        }
    }
}
