//! Searches for trackers from where they begin: by this node itself, or by a peer that is no member and asks through this one.
//!
//! A member walks in both directions. A peer that is none asks a member that it knows, its entry, to do so, and a peer that knows
//! nobody but such a one asks that: the question is passed on, and the answers back.
//!
//! An answer with a lease proves itself. An empty one does not: whoever swallows look-ups says the same as whoever knows of
//! nothing. So whoever begins a search does not take the first empty answer for the last word: a member asks again by way of
//! another neighbour, whose fingers are others; an outsider asks another entry.

use std::time::Duration;

use rand::RngExt;
use wire::message::{Find, Found, Guest, Lease, RingNode, TrackerLease};
use wire::{PeerId, StreamId, Time};

use crate::look::{Excepted, MAX_HOPS, Sought, Walk, told};
use crate::node::{Doat, Event, Outbox, Output, reply, send};
use crate::pending::{Asker, FORGOTTEN};
use crate::way::Both;
use crate::{Place, Way};

/// Most searches under way. Beyond that the oldest is forgotten: whoever asked asks again.
const MAX_SEARCHES: usize = 256;

/// Most searches under way for one other peer.
const MAX_OF_ONE: usize = 16;

/// Walks in one direction if the first was passed on, so that somebody had said there was a tracker, and came back empty. With
/// one member in ten swallowing look-ups one walk in three does, so of five one in 250, and rarely in both directions.
const WALKS: u8 = 5;

/// Walks in one direction if nobody had said so. One neighbour is asked all the same: this node's finger may hide what is there.
const WALKS_IN_VAIN: u8 = 2;

/// Entries whose empty answers make the last word for an outsider.
const OPINIONS: u8 = 3;

/// Most members asked for one search, those included that do not answer...
const MAX_ASKED: usize = 6;

/// ...and for somebody else's search, who asks others, too.
const MAX_ASKED_FOR_OTHERS: usize = 2;

/// An entry that has not answered for so long is not waited for alone: twice what the ring takes between continents.
const ENTRY_PATIENCE: Duration = Duration::from_millis(1_000);

/// A search is passed on by no more peers that are no members: those who know only one another must not ask in circles.
pub(crate) const MAX_RELAYED: u8 = 3;

/// A search under way.
#[derive(Debug)]
pub(crate) struct Search {
    asker: Asker,
    quest: Quest,
    begun_at: Time,
    ways: Both<Progress>,
    /// Members asked to search in both directions.
    asked: Vec<PeerId>,
    /// How many of them found nothing.
    opinions: u8,
}

/// What is searched for.
#[derive(Clone, Debug)]
struct Quest {
    stream: StreamId,
    /// Where it is to begin, if not here.
    near: Option<u64>,
    /// How often it was passed on before.
    hops: u8,
    /// Who wants to join.
    guest: Option<Box<Guest>>,
    /// Trackers that it is not for.
    except: Excepted,
}

impl Quest {
    /// A walk for it.
    fn walk(&self, way: Way, begun: Place, attempt: u8) -> Walk {
        Walk::new(self.stream, way, begun, self.hops, attempt)
            .for_guest(self.guest.clone())
            .except(self.except.clone())
    }
}

/// How far one direction is.
#[derive(Debug, Default)]
struct Progress {
    /// The last word is said.
    over: bool,
    /// Walks begun.
    walks: u8,
    /// Whether the first was passed on.
    claimed: bool,
    /// Neighbours by whose way it was asked again.
    by: Vec<PeerId>,
}

/// A member was asked to search in both directions: which of them it has answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    answered: Both<bool>,
}

/// A lease that was checked, and what it says.
pub(crate) type Checked = (Lease, TrackerLease);

/// What was found, and how many members had passed the question on.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) hops: u8,
    pub(crate) lease: Option<Checked>,
}

impl Outcome {
    pub(crate) const fn nothing(hops: u8) -> Self {
        Outcome { hops, lease: None }
    }

    pub(crate) fn message(self, nonce: u64, way: Way) -> Found {
        Found {
            nonce,
            up: way.is_up(),
            hops: self.hops,
            lease: self.lease.map(|(signed, _)| signed),
        }
    }
}

/// The lease, if it is one for this stream that holds.
pub(crate) fn checked(signed: Lease, stream: StreamId) -> Option<Checked> {
    let lease = signed.open().ok()?;
    // Nobody passes on a lease that ends one.
    (lease.stream == stream && lease.ttl_ms > 0).then_some((signed, lease))
}

impl Doat {
    /// Looks for the nearest local trackers of a stream. [`Event::Found`] has the answers: exactly one for each direction, at
    /// most a few seconds later, the second one usually soon after the first.
    ///
    /// A member looks along the ring from where it is. Who is none asks the members that it knows ([`Doat::know`]), which look
    /// from where *they* are: good enough for a newcomer that does not know its own place, since answers name siblings. With
    /// nobody to ask both answers are empty at once.
    ///
    /// `except`: trackers that are known to be gone; of more than [`wire::message::MAX_EXCEPTED`] the first. A lease outlasts its
    /// tracker by half a minute, and would be found instead of one that is farther.
    pub fn find(&mut self, now: Time, stream: StreamId, except: &[PeerId], out: &mut Outbox) -> u64 {
        self.begin(now, stream, None, except, out)
    }

    /// The same from the member that is nearest to a position of the ring ([`coords::hcurve::position_of`] a coordinate): what is
    /// found is near that. It takes a round trip or two longer than [`Doat::find`].
    pub fn find_near(
        &mut self,
        now: Time,
        stream: StreamId,
        position: u64,
        except: &[PeerId],
        out: &mut Outbox,
    ) -> u64 {
        self.begin(now, stream, Some(position), except, out)
    }

    fn begin(
        &mut self,
        now: Time,
        stream: StreamId,
        near: Option<u64>,
        except: &[PeerId],
        out: &mut Outbox,
    ) -> u64 {
        let query = self.walks.number();
        let quest = Quest {
            stream,
            near,
            hops: 0,
            guest: None,
            except: except.iter().copied().collect(),
        };
        self.search(now, query, Asker::Own(query), quest, out);
        query
    }

    /// Passes on the word of a newcomer to the trackers of a stream that are nearest along the ring: whoever holds the lease of one has
    /// an [`Event::Guest`]. Nothing comes back.
    pub fn introduce(&mut self, now: Time, stream: StreamId, guest: Box<Guest>, out: &mut Outbox) {
        let id = self.walks.number();
        let quest = Quest {
            stream,
            near: None,
            hops: 0,
            // It may have kept a tracker until a moment ago.
            except: std::iter::once(guest.peer).collect(),
            guest: Some(guest),
        };
        self.search(now, id, Asker::Upkeep, quest, out);
    }

    /// Somebody who is no member asks this node to search for it.
    pub(crate) fn search_for(&mut self, now: Time, from: PeerId, find: &Find, out: &mut Outbox) {
        let of_one = |search: &&Search| matches!(search.asker, Asker::Peer(peer, _) if peer == from);
        if self.searches.values().filter(of_one).count() >= MAX_OF_ONE {
            return;
        }
        let id = self.walks.number();
        let asker = Asker::Peer(from, find.nonce);
        let quest = Quest {
            stream: find.stream,
            near: find.near,
            hops: find.hops.min(MAX_HOPS),
            guest: find.guest.clone(),
            except: find.except.clone().unwrap_or_default(),
        };
        self.search(now, id, asker, quest, out);
    }

    fn search(&mut self, now: Time, id: u64, asker: Asker, quest: Quest, out: &mut Outbox) {
        if self.searches.len() >= MAX_SEARCHES {
            let oldest = self.searches.iter().min_by_key(|(_, search)| search.begun_at);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.searches.remove(&id);
            }
        }
        let search = Search {
            asker,
            quest,
            begun_at: now,
            ways: Both::default(),
            asked: Vec::new(),
            opinions: 0,
        };
        self.searches.insert(id, search);
        if !self.ask_another(now, id, out) {
            self.walk_or_end(now, id, out);
        }
    }

    /// Asks somebody to search in this node's place; whether there is anybody to ask.
    fn ask_another(&mut self, now: Time, id: u64, out: &mut Outbox) -> bool {
        let Some(search) = self.searches.get(&id) else {
            return false;
        };
        let Some(next) = self.whom_to_ask(search) else {
            return false;
        };
        let find = Find {
            stream: search.quest.stream,
            nonce: 0,
            up: None,
            near: search.quest.near,
            begun_at: self.me.position(),
            begun_by: self.me.peer,
            hops: search.quest.hops + 1,
            attempt: 0,
            guest: search.quest.guest.clone(),
            except: told(&search.quest.except),
        };
        let nonce = self.asked.ask(
            now,
            Asker::Search(id),
            next.peer,
            ENTRY_PATIENCE,
            Asked::default(),
        );
        if let Some(search) = self.searches.get_mut(&id) {
            search.asked.push(next.peer);
        }
        send(out, &next, Find { nonce, ..find });
        true
    }

    fn whom_to_ask(&self, search: &Search) -> Option<RingNode> {
        let asker = match search.asker {
            Asker::Peer(peer, _) => Some(peer),
            _ => None,
        };
        if self.is_member() {
            // Only whoever is nearer to where it is to begin, and only one: then it begins here.
            let near = search.quest.near.filter(|_| search.asked.is_empty())?;
            let sought = Sought {
                position: near,
                hops: search.quest.hops,
                tried: asker.into_iter().collect(),
            };
            return self.nearer(&sought);
        }
        let (most, passed) = match asker {
            None => (MAX_ASKED, false),
            Some(_) => (MAX_ASKED_FOR_OTHERS, search.quest.hops > MAX_RELAYED),
        };
        if passed || search.asked.len() >= most {
            return None;
        }
        let mut entries = self.entries.nodes().iter();
        let fresh = |node: &&RingNode| Some(node.peer) != asker && !search.asked.contains(&node.peer);
        entries.find(fresh).cloned()
    }

    /// Nobody else is to be asked to search: this node does, or it has found nothing.
    fn walk_or_end(&mut self, now: Time, id: u64, out: &mut Outbox) {
        for way in Way::BOTH {
            let Some(search) = self.searches.get(&id) else {
                return;
            };
            if search.ways[way].over {
                continue;
            }
            if !self.is_member() {
                let nothing = Outcome::nothing(search.quest.hops);
                self.conclude(id, way, nothing, out);
            } else if search.ways[way].walks == 0 {
                self.begin_walk(now, id, way, out);
            }
        }
    }

    fn begin_walk(&mut self, now: Time, id: u64, way: Way, out: &mut Outbox) {
        let place = self.place();
        let Some(search) = self.searches.get(&id) else {
            return;
        };
        let walk = search.quest.walk(way, place, 0);
        let claimed = self.next_step(&walk).is_some();
        if let Some(search) = self.searches.get_mut(&id) {
            // Whether somebody says that there is a tracker, or has said nothing yet.
            search.ways[way].claimed = claimed;
            search.ways[way].walks = 1;
        }
        self.walk(now, Asker::Search(id), walk, out);
    }

    /// A walk of this node's own has come to its end.
    pub(crate) fn on_walked(&mut self, now: Time, id: u64, way: Way, found: Outcome, out: &mut Outbox) {
        if found.lease.is_none() && self.walk_again(now, id, way, out) {
            return;
        }
        self.conclude(id, way, found, out);
    }

    /// Begins another walk after an empty answer, by way of a neighbour that has not been asked for this; whether there is one.
    fn walk_again(&mut self, now: Time, id: u64, way: Way, out: &mut Outbox) -> bool {
        let Some(progress) = self.searches.get(&id).map(|search| &search.ways[way]) else {
            return false;
        };
        let most = if progress.claimed { WALKS } else { WALKS_IN_VAIN };
        if progress.over || progress.walks >= most {
            return false;
        }
        let fresh = |node: &&RingNode| !self.is_unfit(node.peer) && !progress.by.contains(&node.peer);
        let fresh: Vec<&RingNode> = self.ring.list(way).iter().filter(fresh).collect();
        if fresh.is_empty() {
            return false;
        }
        let first = fresh[self.rng.random_range(0..fresh.len())].clone();
        let place = self.place();
        let Some(search) = self.searches.get_mut(&id) else {
            return false;
        };
        let progress = &mut search.ways[way];
        let walk = search.quest.walk(way, place, progress.walks);
        progress.walks += 1;
        progress.by.push(first.peer);
        self.send_find(now, Asker::Search(id), walk, &first, out);
        true
    }

    /// The last word in one direction.
    fn conclude(&mut self, id: u64, way: Way, found: Outcome, out: &mut Outbox) {
        let Some(search) = self.searches.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut search.ways[way].over, true) {
            return;
        }
        let asker = search.asker;
        if Way::BOTH.into_iter().all(|way| search.ways[way].over) {
            self.searches.remove(&id);
        }
        match asker {
            Asker::Own(query) => out.push(Output::Event(Event::Found {
                query,
                way,
                hops: found.hops,
                lease: found.lease.map(|(_, lease)| Box::new(lease)),
            })),
            Asker::Peer(to, nonce) => reply(out, to, found.message(nonce, way)),
            // Nobody else begins one.
            Asker::Search(_) | Asker::Upkeep => {}
        }
    }

    /// Somebody who was asked to search in both directions has answered for one.
    pub(crate) fn on_found_for(&mut self, now: Time, from: PeerId, found: Found, out: &mut Outbox) {
        let Some(question) = self.asked.get_mut(found.nonce, from) else {
            return;
        };
        let (Asker::Search(id), way) = (question.asker, Way::from_up(found.up)) else {
            return;
        };
        if std::mem::replace(&mut question.what.answered[way], true) {
            return;
        }
        let complete = Way::BOTH.into_iter().all(|way| question.what.answered[way]);
        if complete {
            self.asked.answer(found.nonce, from);
        }
        let Some(stream) = self.searches.get(&id).map(|search| search.quest.stream) else {
            return;
        };
        if let Some(signed) = found.lease {
            let Some(lease) = checked(signed, stream) else {
                self.on_lie(now, from, out);
                self.asked.answer(found.nonce, from);
                return self.on_failed(now, id, from, out);
            };
            self.entries.answered(from);
            let outcome = Outcome {
                hops: found.hops,
                lease: Some(lease),
            };
            self.conclude(id, way, outcome, out);
        }
        if complete {
            self.on_opinion(now, id, found.hops, out);
        }
    }

    /// Somebody who was asked has answered for both directions.
    fn on_opinion(&mut self, now: Time, id: u64, hops: u8, out: &mut Outbox) {
        let Some(search) = self.searches.get_mut(&id) else {
            return;
        };
        let found = Way::BOTH.into_iter().any(|way| search.ways[way].over);
        search.opinions += 1;
        let most = match search.asker {
            Asker::Own(_) => OPINIONS,
            _ => 1,
        };
        if !found && (search.opinions < most || self.is_member()) {
            return self.go_on(now, id, out);
        }
        for way in Way::BOTH {
            self.conclude(id, way, Outcome::nothing(hops), out);
        }
    }

    /// Somebody who was asked does not answer, or lies.
    fn on_failed(&mut self, now: Time, id: u64, peer: PeerId, out: &mut Outbox) {
        self.entries.failed(peer);
        self.go_on(now, id, out);
    }

    /// Asks somebody else; if nobody is left, and nobody's answer is awaited, this node has to do without.
    fn go_on(&mut self, now: Time, id: u64, out: &mut Outbox) {
        let awaited = Asker::Search(id);
        if !self.ask_another(now, id, out) && !self.asked.any(|question| question.asker == awaited) {
            self.walk_or_end(now, id, out);
        }
    }

    /// Who was asked to search is gone.
    pub(crate) fn pass_by_entry(&mut self, now: Time, gone: PeerId, out: &mut Outbox) {
        self.entries.failed(gone);
        for question in self.asked.take_if(|question| question.to == gone) {
            if let Asker::Search(id) = question.asker {
                self.on_failed(now, id, gone, out);
            }
        }
    }

    /// Where an answer is overdue somebody else is asked to search, too. The answer may still come.
    pub(crate) fn ask_other_entries(&mut self, now: Time, out: &mut Outbox) {
        for (asker, to, _) in self.asked.overdue(now) {
            self.entries.failed(to);
            let Asker::Search(id) = asker else { continue };
            if !self.ask_another(now, id, out) && self.is_member() {
                self.walk_or_end(now, id, out);
            }
        }
    }

    /// Ends the searches that nothing more is to be heard of.
    pub(crate) fn expire_searches(&mut self, now: Time, out: &mut Outbox) {
        self.asked.expire(now);
        let over = |search: &Search| now.since(search.begun_at) >= FORGOTTEN;
        let over: Vec<u64> = self
            .searches
            .iter()
            .filter(|(_, search)| over(search))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            for way in Way::BOTH {
                let hops = self.searches.get(&id).map_or(0, |search| search.quest.hops);
                self.conclude(id, way, Outcome::nothing(hops), out);
            }
        }
    }
}
