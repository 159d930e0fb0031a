//! Look-ups: who is around a position, and which local tracker of a stream is nearest.
//!
//! Both are passed on from member to member, and the answers come back the same way, over connections that exist. A search
//! for a tracker runs in both directions at once. Each step goes to the nearest entry whose filter has the stream and shrinks
//! the arc that is left; where a filter was wrong the walk goes on in what is left of the arc, so it never comes by the same
//! member twice.

use wire::message::{Find, Found, RingNode, RingSeek, RingSeen};
use wire::{PeerId, StreamId, Time};

use crate::filter::Needle;
use crate::node::{Doat, Event, Outbox, Output, Standing, send};
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
        let target = Place {
            position: sought.position,
            peer: PeerId::from_bytes([0; 32]),
        };
        let mine = self.place().distance(&target);
        let nearest = self
            .known()
            .filter(|node| !self.dead.contains_key(&node.peer) && !sought.tried.contains(&node.peer))
            .map(|node| (Place::of(node).distance(&target), node))
            .min_by_key(|(distance, node)| (*distance, node.peer))
            .filter(|(distance, _)| *distance < mine || self.standing != Standing::Member)
            .map(|(_, node)| node.clone());
        match nearest.filter(|_| sought.hops < MAX_HOPS) {
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
            Asker::Peer(to, nonce) => out.push(Output::Send {
                to,
                addrs: Vec::new(),
                message: Box::new(
                    RingSeen {
                        nonce,
                        hops,
                        nodes: nodes.into_iter().collect(),
                    }
                    .into(),
                ),
            }),
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
        let trackers = self.leases.trackers(walk.stream);
        if !trackers.is_empty() {
            answer_walk(asker, walk.way, walk.hops, trackers, out);
            return;
        }
        let me = self.place();
        let needle = Needle::from(walk.stream);
        let shunned = |peer: PeerId| self.dead.contains_key(&peer) || walk.tried.contains(&peer);
        let next = self.ways[walk.way].towards(walk.way, &me, &needle, &walk.begun, shunned);
        let Some(next) = next.filter(|_| walk.hops < MAX_HOPS).cloned() else {
            answer_walk(asker, walk.way, walk.hops, Vec::new(), out);
            return;
        };
        let find = Find {
            stream: walk.stream,
            nonce: 0,
            up: Some(walk.way.is_up()),
            begun_at: walk.begun.position,
            begun_by: walk.begun.peer,
            hops: walk.hops + 1,
        };
        let nonce = self.walks.ask(now, asker, next.peer, walk.hops, walk);
        send(out, &next, Find { nonce, ..find });
    }

    pub(crate) fn on_found(&mut self, from: PeerId, found: Found, out: &mut Outbox) {
        if let Some(question) = self.walks.answer(found.nonce, from) {
            let trackers = found.trackers.into_vec();
            answer_walk(question.asker, question.what.way, found.hops, trackers, out);
        }
    }

    /// Questions that were passed on to somebody who is gone go another way.
    pub(crate) fn pass_by(&mut self, now: Time, gone: PeerId, out: &mut Outbox) {
        for question in self.walks.take_if(|question| question.to == gone) {
            self.walk_on(now, question.asker, question.what, gone, out);
        }
        for question in self.seeks.take_if(|question| question.to == gone) {
            self.seek_on(now, question.asker, question.what, gone, out);
        }
    }

    /// Where an answer is overdue somebody else is asked, too.
    pub(crate) fn ask_others(&mut self, now: Time, out: &mut Outbox) {
        let clone = |(asker, to, walk): (Asker, PeerId, &Walk)| (asker, to, walk.clone());
        let walks: Vec<_> = self.walks.overdue(now).into_iter().map(clone).collect();
        for (asker, to, walk) in walks {
            self.walk_on(now, asker, walk, to, out);
        }
        let clone = |(asker, to, sought): (Asker, PeerId, &Sought)| (asker, to, sought.clone());
        let seeks: Vec<_> = self.seeks.overdue(now).into_iter().map(clone).collect();
        for (asker, to, sought) in seeks {
            self.seek_on(now, asker, sought, to, out);
        }
    }

    fn walk_on(&mut self, now: Time, asker: Asker, mut walk: Walk, not: PeerId, out: &mut Outbox) {
        walk.tried.push(not);
        if walk.tried.len() <= MAX_DETOURS {
            self.walk(now, asker, walk, out);
        }
    }

    fn seek_on(&mut self, now: Time, asker: Asker, mut sought: Sought, not: PeerId, out: &mut Outbox) {
        sought.tried.push(not);
        if sought.tried.len() <= MAX_DETOURS + 1 {
            self.pass_seek(now, asker, sought, out);
        }
    }
}

fn answer_walk(asker: Asker, way: Way, hops: u8, trackers: Vec<RingNode>, out: &mut Outbox) {
    match asker {
        Asker::Own(query) => out.push(Output::Event(Event::Found {
            query,
            way,
            hops,
            trackers,
        })),
        // Trackers are for whoever joins; upkeep asks for none.
        Asker::Upkeep => {}
        Asker::Peer(to, nonce) => out.push(Output::Send {
            to,
            addrs: Vec::new(),
            message: Box::new(
                Found {
                    nonce,
                    up: way.is_up(),
                    hops,
                    trackers: trackers.into_iter().collect(),
                }
                .into(),
            ),
        }),
    }
}
