//! What neighbours on the ring say of themselves and of one another, and what follows from it: who is asked, and who is believed.

use std::time::Duration;

use wire::message::{RingNews, RingNode, RingPulse};
use wire::{PeerId, Time};

use crate::node::{Doat, Event, Outbox, Output, Standing, reply, send};
use crate::{Place, Way};

/// Most nodes asked for a sign of life at a time, twice what all lists name: a stranger who names ever new ones does not
/// make this node ask half the world.
const MAX_PROBED: usize = 64;

/// Neighbours whose last news is remembered by its revision: four times what both lists name. Whoever is forgotten is asked for
/// them again.
const MAX_HEARD: usize = 64;

/// Who has heard news asks for no more within this time, or whoever moves would make sixteen neighbours tell sixteen others each
/// that their lists are new. Who comes, leaves or is lost is told of by itself; lists are compared to find what was missed.
const NEWS_EVERY: Duration = Duration::from_secs(4);

/// Except for so long after somebody in the lists was lost: others may be, too, and each knows a part of who is left.
pub(crate) const TORN_FOR: Duration = Duration::from_secs(10);

/// Who has said where it is within this time is believed rather than others who name another place, and asked again only if
/// there is room for the one that it named: what is told of whoever moves lags behind it.
const BELIEVED_FOR: Duration = Duration::from_secs(20);

/// Who gave a sign of life within this time is not asked for one because a neighbour does not name it: that one may only have
/// lost its own connection. A crash is noticed no later than by the neighbours' news after this.
const SURELY_ALIVE: Duration = Duration::from_millis(1_500);

/// What is remembered of a member's own news.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Their revision; `None` if they are to be heard again, though it may say that they are the same.
    pub(crate) revision: Option<u32>,
    /// Where it is.
    pub(crate) place: Place,
    /// When a message of any kind came from it last.
    pub(crate) at: Time,
}

impl Doat {
    /// Tells neighbours who this is and whom it knows.
    pub(crate) fn news(&mut self, answer: bool) -> RingNews {
        let news = RingNews {
            me: self.me.clone(),
            successors: self.ring.list(Way::Up).iter().cloned().collect(),
            predecessors: self.ring.list(Way::Down).iter().cloned().collect(),
            answer: false,
            revision: self.said.revision,
        };
        if news != self.said {
            self.said = RingNews {
                revision: news.revision.wrapping_add(1),
                ..news
            };
        }
        RingNews {
            answer,
            ..self.said.clone()
        }
    }

    /// A neighbour is there, and says what it has heard.
    pub(crate) fn on_pulse(&mut self, now: Time, from: PeerId, pulse: RingPulse, out: &mut Outbox) {
        let mine = self.news(false).revision;
        let yours = self.revision_of(from);
        let lacks = yours != Some(pulse.mine) && self.next_news <= now;
        if pulse.yours.is_some_and(|yours| yours != mine) || lacks && yours.is_none() {
            let news = self.news(lacks);
            reply(out, from, news);
        } else if lacks || pulse.answer {
            let (yours, answer) = (yours.filter(|_| lacks), lacks);
            reply(out, from, RingPulse { mine, yours, answer });
        }
    }

    /// The revision of the last news of a peer.
    fn revision_of(&self, peer: PeerId) -> Option<u32> {
        self.heard.get(&peer).and_then(|heard| heard.revision)
    }

    /// Its news are to be heard again, though it may say that they are the same.
    pub(crate) fn forget_news(&mut self, peer: PeerId) {
        if let Some(heard) = self.heard.get_mut(&peer) {
            heard.revision = None;
        }
    }

    pub(crate) fn on_news(&mut self, now: Time, from: PeerId, mut news: RingNews, out: &mut Outbox) {
        news.me.peer = from;
        if self.heard.len() >= MAX_HEARD {
            let ring = &self.ring;
            self.heard.retain(|peer, _| ring.holds(*peer));
        }
        let heard = Heard {
            revision: Some(news.revision),
            place: Place::of(&news.me),
            at: now,
        };
        self.heard.insert(from, heard);
        if self.torn_until <= now {
            self.next_news = now + NEWS_EVERY;
        }
        self.remember(&news.me);
        let changed = self.ring.insert(&news.me);
        if news.answer {
            let reply = self.news(false);
            send(out, &news.me, reply);
        }
        let named: Vec<&RingNode> = news.successors.iter().chain(news.predecessors.iter()).collect();
        self.consider(now, &named, out);
        for way in Way::BOTH {
            for node in self.unheard_of(now, way, &news) {
                self.probe(now, &node, out);
            }
        }
        if changed {
            self.rechoose(now);
            self.announce(now, out);
        }
        if self.standing == Standing::Joining && self.ring.next(Way::Up).is_some() {
            self.standing = Standing::Member;
            out.push(Output::Event(Event::Joined));
        }
    }

    /// Whom a neighbour should know and does not: they may be gone.
    fn unheard_of(&self, now: Time, way: Way, news: &RingNews) -> Vec<RingNode> {
        let theirs = match way {
            Way::Up => &news.successors,
            Way::Down => &news.predecessors,
        };
        let Some(last) = theirs.last().map(Place::of) else {
            return Vec::new();
        };
        let (me, teller) = (self.place(), Place::of(&news.me));
        let doubtful = |(place, _): &(&Place, &RingNode)| {
            place.comes_after(way, &me, &teller)
                && last.comes_after(way, &me, place)
                && !theirs.iter().any(|known| known.peer == place.peer)
        };
        let list = self.ring.places(way).iter().zip(self.ring.list(way));
        let alive = |peer: &PeerId| {
            let heard = self.heard.get(peer);
            heard.is_some_and(|heard| now.since(heard.at) < SURELY_ALIVE)
        };
        list.filter(|(place, _)| !self.probed.contains_key(&place.peer) && !alive(&place.peer))
            .filter(doubtful)
            .map(|(_, node)| node.clone())
            .collect()
    }

    /// Some are said to be on the ring: those that belong into the lists are asked themselves.
    pub(crate) fn consider(&mut self, now: Time, nodes: &[&RingNode], out: &mut Outbox) {
        let credible = |node: &&RingNode| {
            node.peer != self.me.peer
                && !self.dead.contains_key(&node.peer)
                && !self.is_elsewhere(now, node.peer)
        };
        let credible: Vec<&RingNode> = nodes.iter().copied().filter(credible).collect();
        for node in self.ring.wanted(&credible) {
            if self.probed.len() < MAX_PROBED && !self.probed.contains_key(&node.peer) {
                self.probe(now, node, out);
            }
        }
    }

    /// Whether a node has lately said itself that it is where there is no room for it in the lists.
    fn is_elsewhere(&self, now: Time, peer: PeerId) -> bool {
        let heard = self.heard.get(&peer);
        heard.is_some_and(|heard| now.since(heard.at) < BELIEVED_FOR && !self.ring.has_room_for(&heard.place))
    }

    /// Asks a node for a sign of life and for whom it knows.
    pub(crate) fn probe(&mut self, now: Time, node: &RingNode, out: &mut Outbox) {
        self.probed.entry(node.peer).or_insert(now);
        let news = self.news(true);
        match self.revision_of(node.peer) {
            // It knows what it said, and says what it is now, if it is something else and this node has heard nobody lately.
            Some(yours) if self.ring.holds(node.peer) => {
                let pulse = RingPulse {
                    mine: news.revision,
                    yours: Some(yours).filter(|_| self.next_news <= now),
                    answer: true,
                };
                send(out, node, pulse);
            }
            _ => send(out, node, news),
        }
    }
}
