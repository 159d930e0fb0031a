//! Suppliers: which peer each substream is taken from.
//!
//! The question: which neighbour would bring the next chunks of this substream soonest? Its own lag, the way here, its
//! uplink's queue and the number of copies it sends before ours give the answer; the paper's "closest peers in the
//! direction of the peercaster, plus a few jumps" comes out of that, measured instead of drawn.

use std::time::Duration;

use rand::RngExt;
use wire::message::{Displaced, Path, RefuseReason, Refused, Role, Subscribe, Subscribed, Unsubscribe};
use wire::{PeerId, Seq, Substream, SubstreamSet};

use super::offers::{Supplier, UNKNOWN_LAG_US};
use super::seats::Seat;
use super::supply::{reserve, scarcest};
use super::{Ctx, Stream, SubstreamState};

/// One substream is moved this often at most: seldom enough that moves do not chase one another.
pub(super) const IMPROVE_EVERY: Duration = Duration::from_millis(250);

/// A newcomer, placed on little knowledge, moves faster...
pub(super) const IMPROVE_EVERY_EARLY: Duration = Duration::from_millis(100);

/// ...for so long.
pub(super) const EARLY: Duration = Duration::from_secs(20);

/// Chunks after which a new supplier's lag is believed.
const SETTLED_SAMPLES: u32 = 3;

/// A move must promise at least this much, and this share of the present lag: the noise of a lag estimate.
const WORTH_MOVING_US: f64 = 8_000.0;
const WORTH_MOVING_SHARE: f64 = 0.05;

/// What a substream's lag beyond the mean counts, against the lag that a move would save.
const SLOWEST_FIRST: f64 = 1.0;

impl Stream {
    /// The substreams this node takes part in.
    pub(super) fn wanted(&self) -> SubstreamSet {
        if self.source.is_some() {
            return SubstreamSet::EMPTY;
        }
        match self.role {
            Role::Donor => self.primaries,
            _ => SubstreamSet::all(self.k()),
        }
    }

    /// The substreams without a supplier.
    pub(super) fn orphans(&self) -> SubstreamSet {
        self.wanted().and(self.subs_that(|sub| sub.parent.is_none()))
    }

    /// Those of them for which somebody has been asked, and had no room.
    pub(crate) fn without_room(&self) -> SubstreamSet {
        self.orphans().and(self.subs_that(|sub| sub.met_full))
    }

    /// Asks for every substream that has no supplier and no request under way.
    pub(super) fn seek_parents(&mut self, ctx: &mut Ctx<'_>) {
        if self.source.is_some() || self.ended {
            return;
        }
        self.choose_primaries(ctx);
        let adrift = self.adrift();
        let mut seeking: Vec<Substream> = self
            .wanted()
            .iter()
            .filter(|&s| {
                self.sub(s).is_some_and(|sub| {
                    let seated = adrift.contains(s) && sub.seat.is_some();
                    sub.pending.is_none() && (sub.parent.is_none() || sub.orphan_since.is_some() || seated)
                })
            })
            .collect();
        if seeking.is_empty() {
            return;
        }
        // Those it passes on first: they get the places near the source.
        seeking.sort_by_key(|&s| !self.primaries.contains(s));
        let mut asks: Vec<(PeerId, SubstreamSet)> = Vec::new();
        for substream in seeking {
            let present = self.sub(substream).and_then(|sub| sub.parent);
            let peer = match self.seat(ctx, substream) {
                Seat::At(peer) => peer,
                Seat::Dialled => match self.roomy(ctx, substream, &asks) {
                    Some(peer) => peer,
                    None => continue,
                },
                Seat::None if adrift.contains(substream) => continue,
                Seat::None => match self.best_now(ctx, substream, &asks) {
                    Some((peer, _)) => peer,
                    None => continue,
                },
            };
            if Some(peer) == present {
                continue;
            }
            also_ask(&mut asks, peer, substream);
        }
        for (peer, set) in asks {
            self.ask(ctx, peer, set);
        }
    }

    /// Whom to ask for a substream that has no supplier. Who has only its credit takes its place where that counts, even if
    /// there is room elsewhere.
    fn best_now(
        &self,
        ctx: &Ctx<'_>,
        substream: Substream,
        asks: &[(PeerId, SubstreamSet)],
    ) -> Option<(PeerId, f64)> {
        let free = || self.best_for(ctx, substream, asks, f64::INFINITY);
        let full = || self.best_full(ctx, substream, asks);
        if self.spends(ctx) {
            full().or_else(free)
        } else {
            free().or_else(full)
        }
    }

    pub(super) fn ask(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, set: SubstreamSet) {
        for subscribe in self.subscriptions(ctx, peer, set) {
            ctx.send(peer, subscribe);
        }
        self.note_asked(ctx, peer, set);
    }

    /// What is said to a peer that is to supply these substreams: one message for each distinct fanout, primaries and the rest.
    pub(super) fn subscriptions(&self, ctx: &Ctx<'_>, peer: PeerId, set: SubstreamSet) -> Vec<Subscribe> {
        let parts = [set.and(self.primaries), set.minus(self.primaries)].into_iter();
        let subscribe = |part: SubstreamSet| {
            let first = part.iter().next()?;
            let orphan = part
                .iter()
                .any(|s| self.sub(s).is_some_and(|sub| sub.parent.is_none()));
            let from = part
                .iter()
                .map(|s| self.subscribe_from(ctx, peer, s))
                .min()
                .unwrap_or(Seq(0));
            Some(Subscribe {
                stream: self.id,
                substreams: part,
                from,
                fanout: self.fanout(first),
                orphan,
            })
        };
        parts.filter_map(subscribe).collect()
    }

    /// Substreams have been asked of a peer.
    pub(super) fn note_asked(&mut self, ctx: &Ctx<'_>, peer: PeerId, set: SubstreamSet) {
        let expected_us = self.expected_from(ctx, peer, set);
        for substream in set.iter() {
            // Where somebody else is asked already, whoever agrees first supplies it.
            if let Some(sub) = self.sub_mut(substream).filter(|sub| sub.pending.is_none()) {
                sub.pending = Some(peer);
                sub.expected_us = expected_us;
            }
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.asked = state.asked.or(set);
            state.asked_at = ctx.now;
        }
    }

    /// About how late these substreams will be when this peer supplies them.
    fn expected_from(&self, ctx: &Ctx<'_>, peer: PeerId, set: SubstreamSet) -> f64 {
        let way_us = ctx.neighbours.get(&peer).map_or(0.0, |n| n.rtt_us() / 2.0);
        let first = set.iter().next();
        let lag_us = first.and_then(|s| self.peers.get(&peer)?.offer(ctx.now)?.lag_us(s));
        way_us + lag_us.unwrap_or(UNKNOWN_LAG_US)
    }

    /// The first chunk to ask a new supplier for: the first that is missing. What a joiner wants of the past is
    /// pulled from whoever has room, which a new supplier seldom has. And what a present supplier still sends, until the new
    /// one has agreed and it is told so, need not come twice.
    pub(super) fn subscribe_from(&self, ctx: &Ctx<'_>, peer: PeerId, substream: Substream) -> Seq {
        let point = self
            .playout
            .as_ref()
            .and_then(|p| p.point())
            .unwrap_or(self.live_from);
        let k = self.k();
        let missing = self
            .window
            .holes(point.max(self.live_from))
            .find(|seq| seq.substream(k) == substream)
            .unwrap_or(self.window.end().max(self.live_from));
        let supplied = |sub: &&SubstreamState| sub.flows() && sub.attached && sub.orphan_since.is_none();
        let Some(last) = self.sub(substream).filter(supplied).and_then(|sub| sub.last_seq) else {
            return missing;
        };
        let answered = ctx.neighbours.get(&peer).map_or(Duration::ZERO, |n| n.rtt());
        let meanwhile = answered.as_micros() as u64 / (self.period().as_micros() as u64).max(1);
        missing.max(last.plus(u64::from(k) * meanwhile + 1))
    }

    /// A supplier agreed.
    pub(crate) fn on_subscribed(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &Subscribed) {
        let mut leave: Vec<(PeerId, SubstreamSet)> = Vec::new();
        let mut unwanted = SubstreamSet::EMPTY;
        let asked = self
            .peers
            .get(&from)
            .map_or(SubstreamSet::EMPTY, |state| state.asked);
        for substream in message.substreams.and(SubstreamSet::all(self.k())).iter() {
            let wanted = self.wanted().contains(substream);
            let now = ctx.now;
            let Some(sub) = self.sub_mut(substream) else {
                continue;
            };
            let first_of_several = sub.parent.is_none() && asked.contains(substream);
            let awaited = sub.pending == Some(from) || first_of_several;
            if !awaited || !wanted {
                if sub.parent != Some(from) {
                    unwanted.insert(substream);
                }
                continue;
            }
            sub.pending = None;
            sub.orphan_since = None;
            let seat = sub.seat.take().map(|(at, _)| at).filter(|&at| at != from);
            let before = sub.parent.replace(from);
            sub.parent_since = now;
            sub.delay_samples = 0;
            // Where a slot is held that is not needed any more, somebody else can have it.
            for other in before.into_iter().chain(seat).filter(|&other| other != from) {
                match leave.iter_mut().find(|(p, _)| *p == other) {
                    Some((_, set)) => set.insert(substream),
                    None => leave.push((other, SubstreamSet::one(substream))),
                }
            }
            if let Some(state) = self.peers.get_mut(&from) {
                state.asked.remove(substream);
                state.supplies.insert(substream);
                state.interested = true;
            }
        }
        for (peer, substreams) in leave {
            if let Some(state) = self.peers.get_mut(&peer) {
                state.supplies = state.supplies.minus(substreams);
            }
            ctx.send(
                peer,
                Unsubscribe {
                    stream: self.id,
                    substreams,
                },
            );
        }
        if !unwanted.is_empty() {
            ctx.send(
                from,
                Unsubscribe {
                    stream: self.id,
                    substreams: unwanted,
                },
            );
        }
        if self.settled_from.is_none() && self.orphans().is_empty() {
            // What is under way when the last supplier agrees may still come late.
            self.settled_from = Some(self.window.end().max(self.live_from).plus(u64::from(self.k())));
        }
    }

    /// A supplier did not agree.
    pub(crate) fn on_refused(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &Refused) {
        let lacking = !self.orphans().and(message.substreams).is_empty();
        let from_source = self.is_source(from);
        let pause = match message.reason {
            RefuseReason::NoData => Duration::from_millis(300),
            RefuseReason::Loop => Duration::from_millis(1_000),
            _ if from_source => Duration::from_secs(10),
            // Who has nobody cannot be choosy: places come free all the time.
            _ if lacking => Duration::from_millis(500),
            _ => Duration::from_millis(3_000),
        };
        let until = ctx.now + pause.mul_f64(ctx.rng.random_range(0.8..1.2));
        for substream in message.substreams.iter() {
            if let Some(sub) = self.sub_mut(substream)
                && sub.pending == Some(from)
            {
                sub.pending = None;
                sub.seat = None;
                sub.met_full |= sub.parent.is_none() && message.reason == RefuseReason::Full;
            }
        }
        let Some(state) = self.peers.get_mut(&from) else {
            return;
        };
        if message.reason == RefuseReason::Full {
            // Who has nobody is taken as long as there is any room, others as long as there is more than the reserve:
            // there is not, whatever it said before.
            let left = |slots: u16| if lacking { 0 } else { reserve(slots) };
            if let Some((advert, _)) = &mut state.advert {
                advert.free_slots = advert.free_slots.min(left(advert.slots));
            }
            if let Some(record) = &mut state.record {
                record.free_slots = record.free_slots.min(left(record.slots));
            }
        }
        let answers = !state.asked.and(message.substreams).is_empty();
        state.asked = state.asked.minus(message.substreams);
        for substream in message.substreams.iter() {
            state.pause(substream, until);
        }
        // A late answer counts, but nobody makes this node dial by refusing what it never asked for.
        if answers {
            self.hear_of(ctx, &message.instead);
            self.seek_parents(ctx);
        }
    }

    /// A supplier gives our place to another.
    pub(crate) fn on_displaced(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &Displaced) {
        let now = ctx.now;
        let until = now + Duration::from_secs(2);
        let mut news = false;
        let me = ctx.config.peer;
        // Who took the place is named first, and passes the substream on: there is the new place.
        let newcomer = message.instead.first().map(|referral| referral.peer);
        for substream in message.substreams.iter() {
            let Some(sub) = self.sub_mut(substream) else {
                continue;
            };
            // Saying it again changes nothing.
            if sub.parent == Some(from) && sub.orphan_since.is_none() {
                news = true;
                sub.orphan_since = Some(now);
                sub.seat = newcomer.filter(|&peer| peer != me).map(|peer| (peer, now));
                if let Some(state) = self.peers.get_mut(&from) {
                    state.pause(substream, until);
                }
            }
        }
        if news {
            self.hear_of(ctx, &message.instead);
            self.seek_parents(ctx);
        }
    }

    /// A supplier's way to the source changed.
    pub(crate) fn on_path(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &Path) {
        let me = ctx.config.peer.tag();
        let substream = message.substream;
        let Some(sub) = self.sub_mut(substream) else {
            return;
        };
        if sub.parent != Some(from) && sub.pending != Some(from) {
            return;
        }
        let path: Vec<u32> = message.ancestors.iter().copied().collect();
        if path.contains(&me) {
            self.leave_parent(ctx, substream, Duration::from_secs(1));
            self.seek_parents(ctx);
            return;
        }
        if sub.path != path || sub.attached != message.attached {
            sub.path = path;
            sub.attached = message.attached;
            sub.path_news = true;
            self.pass_paths_on(ctx);
        }
    }

    /// Gives up the supplier of a substream and does not ask it again for a while.
    pub(super) fn leave_parent(&mut self, ctx: &mut Ctx<'_>, substream: Substream, pause: Duration) {
        let now = ctx.now;
        let Some(sub) = self.sub_mut(substream) else {
            return;
        };
        let Some(parent) = sub.parent else { return };
        sub.detach();
        sub.orphan_since = Some(now);
        if let Some(state) = self.peers.get_mut(&parent) {
            state.supplies.remove(substream);
            state.pause(substream, now + pause);
        }
        ctx.send(
            parent,
            Unsubscribe {
                stream: self.id,
                substreams: SubstreamSet::one(substream),
            },
        );
        self.pass_paths_on(ctx);
    }

    /// Ends the supply of a substream that is not wanted any more.
    pub(super) fn stop_taking(&mut self, ctx: &mut Ctx<'_>, substream: Substream) {
        let Some(sub) = self.sub_mut(substream) else {
            return;
        };
        let parent = sub.parent;
        sub.detach();
        sub.last_arrival = None;
        sub.measured = false;
        sub.orphan_since = None;
        if let Some(parent) = parent {
            if let Some(state) = self.peers.get_mut(&parent) {
                state.supplies.remove(substream);
            }
            let substreams = SubstreamSet::one(substream);
            let stream = self.id;
            ctx.send(parent, Unsubscribe { stream, substreams });
        }
    }

    /// Moves the one substream that gains most by it to a better supplier.
    pub(super) fn improve_one(&mut self, ctx: &mut Ctx<'_>) {
        // While the encoder pauses every lag grows, and means nothing.
        if self.source.is_some() || self.k() == 0 || self.flowing_since.is_none() {
            return;
        }
        // Playout waits for the slowest substream: it comes before others that would gain as much.
        let mean_us = f64::from(self.mean_lag_ms(ctx.now).unwrap_or(0)) * 1000.0;
        let lags = self.lags(ctx.now);
        let mut suppliers: Vec<Supplier<'_>> = Vec::with_capacity(self.peers.len());
        suppliers.extend(self.suppliers(ctx));
        let mut best: Option<(f64, Substream, PeerId)> = None;
        for substream in self.wanted().iter() {
            let Some(sub) = self.sub(substream) else { continue };
            let (Some(parent), None) = (sub.parent, sub.pending) else {
                continue;
            };
            // A new supplier's lag is only known after a few chunks.
            if sub.delay_samples < SETTLED_SAMPLES {
                continue;
            }
            let Some(present_us) = lags.us(substream) else {
                continue;
            };
            let Some((peer, predicted_us)) = self.best_among(&suppliers, ctx, substream, present_us) else {
                continue;
            };
            let gain = present_us - predicted_us - WORTH_MOVING_US.max(present_us * WORTH_MOVING_SHARE);
            let worth = gain + SLOWEST_FIRST * (present_us - mean_us).max(0.0);
            if peer != parent && gain > 0.0 && best.is_none_or(|(held, _, _)| worth > held) {
                best = Some((worth, substream, peer));
            }
        }
        if let Some((_, substream, peer)) = best {
            self.ask(ctx, peer, SubstreamSet::one(substream));
        }
    }

    /// Takes substreams to pass on, the ones where slots are scarcest first.
    pub(super) fn choose_primaries(&mut self, ctx: &mut Ctx<'_>) {
        let max = self.max_primaries();
        if self.primaries.len() >= max {
            return;
        }
        // What it has counts as well supplied, so that the rest is chosen.
        let mut supply = self.membership.supply.clone();
        supply.resize(usize::from(self.k()), 0);
        for substream in self.primaries.iter() {
            supply[usize::from(substream.0)] = u16::MAX;
        }
        let more = scarcest(&supply, self.k(), max - self.primaries.len(), ctx.rng);
        self.primaries = self.primaries.or(more);
    }
}

/// Adds a substream to what is about to be asked of a peer.
pub(super) fn also_ask(asks: &mut Vec<(PeerId, SubstreamSet)>, peer: PeerId, substream: Substream) {
    match asks.iter_mut().find(|(p, _)| *p == peer) {
        Some((_, set)) => set.insert(substream),
        None => asks.push((peer, SubstreamSet::one(substream))),
    }
}

#[cfg(test)]
#[path = "parents_tests.rs"]
mod tests;
