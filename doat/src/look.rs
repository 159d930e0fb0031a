//! Look-ups: who is around a position, and which local tracker of a stream is nearest.
//!
//! Both are passed on from member to member, and the answers come back the same way, over connections that exist. A search
//! for a tracker runs in both directions at once. Each step goes to the nearest entry whose filter has the stream and shrinks
//! the arc that is left; where a filter was wrong the walk goes on in what is left of the arc, so it never comes by the same
//! member twice.

use wire::message::{Find, Found, Lease, RingNode, RingSeek, RingSeen, TrackerLease};
use wire::{PeerId, StreamId, Time};

use crate::filter::Needle;
use crate::node::{Doat, Event, Outbox, Output, Standing, reply, send};
use crate::pending::Asker;
use crate::{Place, Way};

/// No look-up is passed on more often: four times what a ring of a million needs.
const MAX_HOPS: u8 = 80;

/// Members that one look-up passes by at one place.
const MAX_DETOURS: usize = 3;

/// A look-up for the members around a position.
#[derive(Clone, Debug)]
pub(crate) struct Sought {
    position: u64,
    hops: u8,
    tried: Vec<PeerId>,
}

/// A search for a tracker in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    stream: StreamId,
    way: Way,
    begun: Place,
    hops: u8,
    tried: Vec<PeerId>,
}

impl Doat {
    /// Looks for the members around a position; [`Event::Seen`] has the answer.
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

    /// Looks for the nearest local trackers of a stream; [`Event::Found`] has the answers, one for each direction.
    pub fn find(&mut self, now: Time, stream: StreamId, out: &mut Outbox) -> u64 {
        let query = self.walks.number();
        self.walk_both(now, Asker::Own(query), stream, out);
        query
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
                let nodes = std::iter::once(&self.me)
                    .chain(Way::BOTH.into_iter().flat_map(|way| self.ring.list(way)))
                    .cloned()
                    .collect();
                self.answer_seek(asker, sought.hops, nodes, out);
            }
        }
    }

    /// Whom a look-up is passed on to: who is nearest of those that are nearer than this node.
    fn nearer(&self, sought: &Sought) -> Option<RingNode> {
        if sought.hops >= MAX_HOPS || sought.tried.len() > MAX_DETOURS + 1 {
            return None;
        }
        let target = Place {
            position: sought.position,
            peer: PeerId::from_bytes([0; 32]),
        };
        let mine = self.place().distance(&target);
        self.known()
            .filter(|node| !self.dead.contains_key(&node.peer) && !sought.tried.contains(&node.peer))
            .map(|node| (Place::of(node).distance(&target), node))
            .min_by_key(|(distance, node)| (*distance, node.peer))
            .filter(|(distance, _)| *distance < mine || self.standing != Standing::Member)
            .map(|(_, node)| node.clone())
    }

    fn send_seek(&mut self, now: Time, asker: Asker, sought: Sought, to: &RingNode, out: &mut Outbox) {
        let (position, hops) = (sought.position, sought.hops);
        let nonce = self.seeks.ask(now, asker, to.peer, hops, sought);
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
            Asker::Own(query) => out.push(Output::Event(Event::Seen { query, hops, nodes })),
            Asker::Upkeep => {}
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
        if question.asker == Asker::Upkeep {
            for node in &nodes {
                self.consider(now, node, out);
            }
        }
        self.answer_seek(question.asker, seen.hops, nodes, out);
    }

    pub(crate) fn on_find(&mut self, now: Time, from: PeerId, find: &Find, out: &mut Outbox) {
        let asker = Asker::Peer(from, find.nonce);
        let Some(up) = find.up else {
            self.walk_both(now, asker, find.stream, out);
            return;
        };
        let walk = Walk {
            stream: find.stream,
            way: Way::from_up(up),
            begun: Place {
                position: find.begun_at,
                peer: find.begun_by,
            },
            hops: find.hops,
            tried: Vec::new(),
        };
        self.walk(now, asker, walk, out);
    }

    fn walk_both(&mut self, now: Time, asker: Asker, stream: StreamId, out: &mut Outbox) {
        for way in Way::BOTH {
            let walk = Walk {
                stream,
                way,
                begun: self.place(),
                hops: 0,
                tried: Vec::new(),
            };
            self.walk(now, asker, walk, out);
        }
    }

    fn walk(&mut self, now: Time, asker: Asker, walk: Walk, out: &mut Outbox) {
        let here = self.leases.nearest(walk.stream, walk.begun.position);
        let here = here.map(|(signed, lease)| (signed.clone(), lease.clone()));
        let next = here.is_none().then(|| self.next_step(&walk)).flatten();
        match next {
            Some(next) => self.send_find(now, asker, walk, &next, out),
            None => answer_walk(asker, walk.way, walk.hops, here, out),
        }
    }

    /// Whom a search is passed on to.
    fn next_step(&self, walk: &Walk) -> Option<RingNode> {
        if walk.hops >= MAX_HOPS || walk.tried.len() > MAX_DETOURS {
            return None;
        }
        let needle = Needle::from(walk.stream);
        let shunned = |peer: PeerId| self.dead.contains_key(&peer) || walk.tried.contains(&peer);
        let (levels, me) = (&self.ways[walk.way], self.place());
        let known = levels.towards(walk.way, &me, &needle, &walk.begun, shunned);
        let dead = |peer: PeerId| self.dead.contains_key(&peer);
        let broken = || levels.breaks_off_at(&self.ring, walk.way, dead).is_some();
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

    fn send_find(&mut self, now: Time, asker: Asker, walk: Walk, to: &RingNode, out: &mut Outbox) {
        let find = Find {
            stream: walk.stream,
            nonce: 0,
            up: Some(walk.way.is_up()),
            begun_at: walk.begun.position,
            begun_by: walk.begun.peer,
            hops: walk.hops + 1,
        };
        let nonce = self.walks.ask(now, asker, to.peer, walk.hops, walk);
        send(out, to, Find { nonce, ..find });
    }

    pub(crate) fn on_found(&mut self, now: Time, from: PeerId, found: Found, out: &mut Outbox) {
        let Some(mut question) = self.walks.answer(found.nonce, from) else {
            return;
        };
        let way = question.what.way;
        let Some(signed) = found.lease else {
            return answer_walk(question.asker, way, found.hops, None, out);
        };
        match signed.open() {
            // Nobody passes on a lease that ends one.
            Ok(lease) if lease.stream == question.what.stream && lease.ttl_ms > 0 => {
                answer_walk(question.asker, way, found.hops, Some((signed, lease)), out);
            }
            _ => {
                out.push(Output::Event(Event::Misbehaved(from)));
                question.what.tried.push(from);
                self.walk(now, question.asker, question.what, out);
            }
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
        for (asker, to, mut sought) in self.seeks.overdue(now) {
            sought.tried.push(to);
            if let Some(node) = self.nearer(&sought) {
                self.send_seek(now, asker, sought, &node, out);
            }
        }
    }
}

fn answer_walk(asker: Asker, way: Way, hops: u8, found: Option<(Lease, TrackerLease)>, out: &mut Outbox) {
    match asker {
        Asker::Own(query) => out.push(Output::Event(Event::Found {
            query,
            way,
            hops,
            lease: found.map(|(_, lease)| Box::new(lease)),
        })),
        // Trackers are for whoever joins; upkeep asks for none.
        Asker::Upkeep => {}
        Asker::Peer(to, nonce) => reply(
            out,
            to,
            Found {
                nonce,
                up: way.is_up(),
                hops,
                lease: found.map(|(signed, _)| signed),
            },
        ),
    }
}
