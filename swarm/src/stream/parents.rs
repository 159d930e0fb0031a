//! Suppliers: which peer each substream is taken from.
//!
//! The question: which neighbour would bring the next chunks of this substream soonest? Its own lag, the way here, its
//! uplink's queue and the number of copies it sends before ours give the answer; the paper's "closest peers in the
//! direction of the peercaster, plus a few jumps" comes out of that, measured instead of drawn.

use std::time::Duration;

use incentives::Offence;
use rand::RngExt;
use wire::message::{
    Displaced, NO_LAG, Path, RefuseReason, Refused, Role, Subscribe, Subscribed, Unsubscribe,
};
use wire::{PeerId, Seq, Substream, SubstreamSet, Time};

use super::supply::{reserve, scarcest};
use super::{Ctx, Stream, StreamPeer, SubstreamState};
use crate::neighbour::Neighbour;

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

/// Each child before ours delays our copy by one copy's time; not all of them are served first.
const CHILD_WEIGHT: f64 = 0.6;

/// Part of a supplier's backlog that a live copy meets: repairs wait behind it.
const BACKLOG_WEIGHT: f64 = 0.3;

/// Each substream already taken from a peer makes it less attractive: it may vanish with all of them.
const SPREAD_US: f64 = 4_000.0;

/// Two suppliers that differ by less than this are as good as one another. Newcomers with the same list would all ask the
/// same one if each had not its own taste.
const TASTE_US: f64 = 15_000.0;

/// A supplier without a free slot may make room for a strong peer, but it takes an attempt.
const FULL_US: f64 = 60_000.0;

/// Making a leaf move costs it a change of supplier.
const LEAF_US: f64 = 40_000.0;

/// A peer that agreed to supply and sent nothing is chosen after all others for a while: its unreliability, 0.05 for
/// once, times this. Half a second is more than any honest difference.
const UNRELIABLE_US: f64 = 10_000_000.0;

/// The lag assumed of a peer that has only just joined.
const UNKNOWN_LAG_US: f64 = 500_000.0;

/// Adverts older than this say nothing any more.
const ADVERT_VALID: Duration = Duration::from_millis(5_000);

/// A supplier is silent after so many of its substream's periods: two chunks lost in a row and some jitter. With 2.2, one
/// lost copy in two hundred made a hundred peers change suppliers without need in a minute...
const SILENT_PERIODS: f64 = 3.2;

/// ...and after no less than this: a lost packet and its repair by the transport take two round trips.
const SILENT_MIN: Duration = Duration::from_millis(280);

/// How much longer a silent supplier is borne with that has said why it is silent: what it takes to find another.
const DETACHED: Duration = Duration::from_millis(500);

/// All below a supplier that fails hear nothing at the same time. The nearest acts first, and its children hear of that
/// before they act, because each hop makes a peer more patient by this much...
const DEEPER: Duration = Duration::from_millis(40);

/// ...up to so many hops.
const DEEPEST: u8 = 10;

/// How long a silent supplier is not asked again.
const DISTRUST: Duration = Duration::from_secs(3);

/// A newcomer's supplier gets this long for its first chunk: handshake, queue, and its own supplier's first chunk.
const FIRST_CHUNK: Duration = Duration::from_millis(700);

/// A slot that the tracker holds is worth asking for so long: then somebody else has it.
const SEAT_HELD: Duration = Duration::from_millis(2_000);

/// A connection to where a slot is held is waited for so long: one over 250 ms, its first packet lost once.
const SEAT_WAIT: Duration = Duration::from_millis(600);

/// Where the tracker holds a slot.
enum Seat {
    At(PeerId),
    Dialled,
    None,
}

/// What a peer says of its supply of one substream.
struct Offer {
    /// How late it has the chunks itself.
    lag_us: f64,
    /// Whether its own lag is known.
    proven: bool,
    slots: u16,
    free: u16,
    /// Whether it passes this substream on to many.
    primary: bool,
    /// Whether a child that passes nothing on holds a place in it.
    leaf: bool,
    /// Copies it sends of each chunk before one more.
    copies: u16,
    /// What one copy takes on its uplink.
    copy_us: f64,
    backlog_us: f64,
}

impl StreamPeer {
    /// Notes not to ask for a substream before `until`.
    pub(super) fn pause(&mut self, substream: Substream, until: Time) {
        match self.refused.iter_mut().find(|(s, _)| *s == substream) {
            Some((_, held)) => *held = until,
            None => self.refused.push((substream, until)),
        }
    }

    /// What this peer offers of a substream, by its own advert or, until it speaks for itself, by the tracker's word.
    /// `None` if it has not got it, or is itself no less late than `below` microseconds.
    fn offer(&self, now: Time, substream: Substream, below: f64) -> Option<Offer> {
        match (&self.advert, &self.record) {
            (Some((advert, at)), _) if now.since(*at) <= ADVERT_VALID => {
                let lag = advert.lags_ms.get(usize::from(substream.0)).copied();
                let lag_us = f64::from(lag.filter(|&lag| lag != NO_LAG)?) * 1000.0;
                if lag_us >= below {
                    return None;
                }
                let used = advert.slots.saturating_sub(advert.free_slots);
                Some(Offer {
                    lag_us,
                    proven: true,
                    slots: advert.slots,
                    free: advert.free_slots,
                    primary: advert.primaries.contains(substream),
                    leaf: advert.leaves.contains(substream),
                    copies: used / advert.primaries.len().max(1) as u16,
                    copy_us: f64::from(advert.copy_time_10us) * 10.0,
                    backlog_us: f64::from(advert.backlog_ms) * 1000.0,
                })
            }
            (_, Some(record)) => {
                let primary = record.primaries.contains(substream);
                let lag_us = record.lag_ms.map_or(UNKNOWN_LAG_US, |ms| f64::from(ms) * 1000.0);
                if !primary && !record.has.contains(substream) || lag_us >= below {
                    return None;
                }
                Some(Offer {
                    lag_us,
                    proven: record.lag_ms.is_some(),
                    slots: record.slots,
                    free: record.free_slots,
                    primary,
                    leaf: record.leaves.contains(substream),
                    copies: 0,
                    copy_us: 0.0,
                    backlog_us: 0.0,
                })
            }
            _ => None,
        }
    }
}

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
        self.wanted()
            .iter()
            .filter(|&s| self.sub(s).is_some_and(|sub| sub.parent.is_none()))
            .collect()
    }

    /// Predicted lag of `substream` if `peer` supplied it, in microseconds. `None` if it cannot, or not below a bound.
    #[allow(clippy::too_many_arguments, reason = "called once")]
    fn predicted_us(
        &self,
        ctx: &Ctx<'_>,
        peer: &PeerId,
        state: &StreamPeer,
        neighbour: &Neighbour,
        substream: Substream,
        asked_now: u16,
        below: f64,
    ) -> Option<f64> {
        if state.distrusted_until > ctx.now || state.supplied.contains(substream) {
            return None;
        }
        let way_us = neighbour.rtt_us() / 2.0;
        // Most are too late by their own lag alone; a microsecond covers what rounding may do.
        let offer = state.offer(ctx.now, substream, below - way_us + 1.0)?;
        let refused = |&(s, until): &(Substream, Time)| s == substream && until > ctx.now;
        if state.refused.iter().any(refused) {
            return None;
        }
        let taken = f64::from(state.supplies.or(state.asked).len());
        let orphan = self.sub(substream).is_some_and(|sub| sub.parent.is_none());
        // Outside its primaries a peer takes only who has nobody, unless most of its slots lie idle.
        if !orphan && !offer.primary && offer.free <= offer.slots / 2 {
            return None;
        }
        // What it is only about to get it gives to leaves, in the substreams it passes on.
        if !offer.proven && (!offer.primary || self.fanout(substream) > 0) {
            return None;
        }
        let mut predicted = offer.lag_us
            + way_us
            + offer.copy_us * (1.0 + CHILD_WEIGHT * f64::from(offer.copies))
            + BACKLOG_WEIGHT * offer.backlog_us
            + SPREAD_US * taken;
        // What follows only adds to it, and has to be looked up.
        if predicted >= below {
            return None;
        }
        predicted = predicted
            + UNRELIABLE_US * ctx.standings.of(*peer).unreliability(ctx.now)
            + taste(ctx.config.peer, *peer) * TASTE_US;
        let kept = if orphan { 0 } else { reserve(offer.slots) };
        if offer.free <= asked_now + state.asked.len() as u16 + kept {
            if self.fanout(substream) == 0 {
                return None;
            }
            // A child that passes nothing on makes room at once; any other only for one that is worth more.
            predicted += if offer.leaf { LEAF_US } else { FULL_US };
        }
        debug_assert!(*peer != ctx.config.peer);
        Some(predicted)
    }

    /// The best supplier for a substream by prediction, if it promises less than `below`.
    fn best_for(
        &self,
        ctx: &Ctx<'_>,
        substream: Substream,
        asked_now: &[(PeerId, SubstreamSet)],
        mut below: f64,
    ) -> Option<(PeerId, f64)> {
        let mut best: Option<(PeerId, f64)> = None;
        for (peer, state, neighbour) in self.peers.joined(ctx.neighbours.map()) {
            let asked = asked_now
                .iter()
                .find(|(p, _)| p == peer)
                .map_or(0, |(_, set)| set.len() as u16);
            let spread = f64::from(asked) * SPREAD_US;
            let Some(us) = self.predicted_us(ctx, peer, state, neighbour, substream, asked, below) else {
                continue;
            };
            let us = us + spread;
            if us < below {
                below = us;
                best = Some((*peer, us));
            }
        }
        best
    }

    /// Asks for every substream that has no supplier and no request under way.
    pub(super) fn seek_parents(&mut self, ctx: &mut Ctx<'_>) {
        if self.source.is_some() || self.ended {
            return;
        }
        self.choose_primaries(ctx);
        let now = ctx.now;
        let mut seeking: Vec<Substream> = self
            .wanted()
            .iter()
            .filter(|&s| {
                self.sub(s).is_some_and(|sub| {
                    sub.pending.is_none() && (sub.parent.is_none() || sub.orphan_since.is_some())
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
                Seat::Dialled => continue,
                Seat::None => match self.best_for(ctx, substream, &asks, f64::INFINITY) {
                    Some((peer, _)) => peer,
                    None => continue,
                },
            };
            if Some(peer) == present {
                continue;
            }
            match asks.iter_mut().find(|(p, _)| *p == peer) {
                Some((_, set)) => set.insert(substream),
                None => asks.push((peer, SubstreamSet::one(substream))),
            }
        }
        for (peer, set) in asks {
            self.ask(ctx, peer, set, now);
        }
    }

    /// Where to ask for a substream first. While the connection to where a slot is held is being made, a newcomer asks nobody
    /// else: a crowd that joins at once takes one another's places if each takes what it sees first. Who has lost a
    /// supplier does not wait: whoever else is named may be gone, too.
    fn seat(&self, ctx: &Ctx<'_>, substream: Substream) -> Seat {
        let Some(sub) = self.sub(substream) else {
            return Seat::None;
        };
        let unsupplied = sub.parent.is_none() || sub.orphan_since.is_some();
        let Some((peer, since)) = sub.seat.filter(|_| unsupplied) else {
            return Seat::None;
        };
        let age = ctx.now.since(since);
        // The tracker hears late that a member is gone.
        let state = self.peers.get(&peer);
        if state.is_some_and(|state| state.distrusted_until > ctx.now) {
            return Seat::None;
        }
        if state.is_some() && ctx.neighbours.contains(&peer) {
            if age < SEAT_HELD {
                Seat::At(peer)
            } else {
                Seat::None
            }
        } else if age < SEAT_WAIT && self.settled_from.is_none() {
            Seat::Dialled
        } else {
            Seat::None
        }
    }

    /// The substreams that no supplier is in sight for: nobody asked, and no slot held anywhere.
    pub(super) fn forlorn(&self, now: Time) -> SubstreamSet {
        let promised = |s: Substream| {
            self.sub(s).is_some_and(|sub| {
                sub.pending.is_some() || sub.seat.is_some_and(|(_, since)| now.since(since) < SEAT_WAIT)
            })
        };
        self.orphans().iter().filter(|&s| !promised(s)).collect()
    }

    /// Whether a slot is held at this peer.
    pub(super) fn seated_at(&self, peer: PeerId, now: Time) -> bool {
        let held = |sub: &SubstreamState| {
            sub.parent.is_none()
                && sub
                    .seat
                    .is_some_and(|(at, since)| at == peer && now.since(since) < SEAT_HELD)
        };
        self.subs.iter().any(held)
    }

    fn ask(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, set: SubstreamSet, now: Time) {
        let expected_us = self.expected_from(ctx, peer, set);
        // One message for each distinct fanout: primaries and the rest.
        for part in [set.and(self.primaries), set.minus(self.primaries)] {
            let Some(first) = part.iter().next() else { continue };
            let orphan = part
                .iter()
                .any(|s| self.sub(s).is_some_and(|sub| sub.parent.is_none()));
            let from = part
                .iter()
                .map(|s| self.subscribe_from(s))
                .min()
                .unwrap_or(Seq(0));
            let fanout = self.fanout(first);
            ctx.send(
                peer,
                Subscribe {
                    stream: self.id,
                    substreams: part,
                    from,
                    fanout,
                    orphan,
                },
            );
        }
        for substream in set.iter() {
            if let Some(sub) = self.sub_mut(substream) {
                sub.pending = Some(peer);
                sub.expected_us = expected_us;
            }
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.asked = state.asked.or(set);
            state.asked_at = now;
        }
    }

    /// About how late these substreams will be when this peer supplies them.
    fn expected_from(&self, ctx: &Ctx<'_>, peer: PeerId, set: SubstreamSet) -> f64 {
        let way_us = ctx.neighbours.get(&peer).map_or(0.0, |n| n.rtt_us() / 2.0);
        let offer = set
            .iter()
            .next()
            .and_then(|s| self.peers.get(&peer)?.offer(ctx.now, s, f64::INFINITY));
        way_us + offer.map_or(UNKNOWN_LAG_US, |offer| offer.lag_us)
    }

    /// The first chunk to ask a new supplier for: the first that is missing. What a joiner wants of the past is
    /// pulled from whoever has room, which a new supplier seldom has.
    fn subscribe_from(&self, substream: Substream) -> Seq {
        let point = self
            .playout
            .as_ref()
            .and_then(|p| p.point())
            .unwrap_or(self.live_from);
        let k = self.k();
        self.window
            .holes(point.max(self.live_from))
            .find(|seq| seq.substream(k) == substream)
            .unwrap_or(self.window.end().max(self.live_from))
    }

    /// A supplier agreed.
    pub(crate) fn on_subscribed(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &Subscribed) {
        let mut leave: Vec<(PeerId, SubstreamSet)> = Vec::new();
        let mut unwanted = SubstreamSet::EMPTY;
        for substream in message.substreams.and(SubstreamSet::all(self.k())).iter() {
            let wanted = self.wanted().contains(substream);
            let now = ctx.now;
            let Some(sub) = self.sub_mut(substream) else {
                continue;
            };
            if sub.pending != Some(from) || !wanted {
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
        let from_source = self.membership.tracker == Some(from);
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
    fn leave_parent(&mut self, ctx: &mut Ctx<'_>, substream: Substream, pause: Duration) {
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

    /// For each supplier when it was last heard in any substream, and how many of them flow.
    fn heard_from_suppliers(&self) -> Vec<(PeerId, Time, u32)> {
        let mut heard: Vec<(PeerId, Time, u32)> = Vec::new();
        for sub in &self.subs {
            let Some((parent, at)) = sub.parent.zip(sub.last_arrival) else {
                continue;
            };
            if at < sub.parent_since {
                continue;
            }
            match heard.iter_mut().find(|(peer, _, _)| *peer == parent) {
                Some((_, newest, substreams)) => {
                    *newest = at.max(*newest);
                    *substreams += 1;
                }
                None => heard.push((parent, at, 1)),
            }
        }
        heard
    }

    /// Finds suppliers that went silent, and requests that were never answered.
    pub(super) fn watch_parents(&mut self, ctx: &mut Ctx<'_>) {
        if self.source.is_some() {
            return;
        }
        let now = ctx.now;
        let patience = self.period().mul_f64(SILENT_PERIODS).max(SILENT_MIN);
        // When nothing at all is known to be newer, the encoder pauses: nobody is to blame, nor before the first chunks
        // of all substreams can be here again. Half the patience, because the substreams' last chunks came up to a
        // period before the last one of all.
        let newest = self.subs.iter().filter_map(|sub| sub.last_arrival).max();
        let seen = self.repair.anchor.map_or(self.session, |(seq, _)| seq);
        let ahead = |state: &StreamPeer| {
            let head = state.advert.as_ref().map(|(advert, _)| advert.head);
            head.is_some_and(|head| head > seen.plus(u64::from(self.k())))
        };
        let flowing = newest.is_some_and(|at| now.since(at) < patience / 2) || self.peers.values().any(ahead);
        if flowing && self.flowing_since.is_none() {
            self.flowing_since = Some(now);
        } else if !flowing {
            self.flowing_since = None;
        }
        let heard = self.heard_from_suppliers();
        for s in 0..self.k() {
            let substream = Substream(s);
            let Some(sub) = self.sub(substream) else { continue };
            let spread = Duration::from_micros((4.0 * sub.delay_dev_us) as u64);
            let quiet_since = sub
                .last_arrival
                .map_or(sub.parent_since, |at| at.max(sub.parent_since));
            let first = sub.last_arrival.is_none_or(|at| at < sub.parent_since);
            let usual = if first {
                patience.max(FIRST_CHUNK)
            } else {
                patience
            };
            // Somebody above looks for a supplier already; if all below did, too, the whole tree would fall apart.
            let detached = if sub.attached { Duration::ZERO } else { DETACHED };
            let allowed = usual + detached + spread + DEEPER * u32::from(sub.hops.min(DEEPEST));
            let Some((parent, flowing_since)) = sub.parent.zip(self.flowing_since) else {
                continue;
            };
            // Who supplies several is silent in all of them at once, and sooner known to be gone.
            let gone = heard.iter().any(|&(peer, at, substreams)| {
                let patience = (patience / substreams).max(SILENT_MIN);
                peer == parent && substreams > 1 && now.since(at.max(flowing_since)) > patience + spread
            });
            if gone || now.since(quiet_since.max(flowing_since)) > allowed {
                let displaced = sub.orphan_since.is_some();
                if let Some(state) = self.peers.get_mut(&parent) {
                    // Who agreed and sent nothing did not keep its word: once, however many substreams it was.
                    if first && !displaced && state.distrusted_until <= now {
                        ctx.penalise(parent, Offence::NeverSent);
                    }
                    state.distrusted_until = now + DISTRUST;
                }
                self.leave_parent(ctx, substream, DISTRUST);
            }
        }
        let mut overdue: Vec<PeerId> = Vec::new();
        for (peer, state) in &self.peers {
            if state.asked.is_empty() {
                continue;
            }
            let timeout = ctx
                .neighbours
                .get(peer)
                .map_or(Duration::ZERO, |n| n.timeout() + ANSWER_SLACK);
            if now.since(state.asked_at) > timeout {
                overdue.push(*peer);
            }
        }
        for peer in overdue {
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            for substream in std::mem::take(&mut state.asked).iter() {
                state.pause(substream, now + Duration::from_secs(1));
            }
            // Not even a no: it is gone, or busy beyond use.
            state.distrusted_until = now + DISTRUST;
            for sub in &mut self.subs {
                if sub.pending == Some(peer) {
                    sub.pending = None;
                    sub.seat = None;
                }
            }
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
            let Some(present_us) = self.lag_us(substream, ctx.now) else {
                continue;
            };
            let Some((peer, predicted_us)) = self.best_for(ctx, substream, &[], present_us) else {
                continue;
            };
            let gain = present_us - predicted_us - WORTH_MOVING_US.max(present_us * WORTH_MOVING_SHARE);
            let worth = gain + SLOWEST_FIRST * (present_us - mean_us).max(0.0);
            if peer != parent && gain > 0.0 && best.is_none_or(|(held, _, _)| worth > held) {
                best = Some((worth, substream, peer));
            }
        }
        if let Some((_, substream, peer)) = best {
            self.ask(ctx, peer, SubstreamSet::one(substream), ctx.now);
        }
    }

    /// Takes substreams to pass on, the ones where slots are scarcest first.
    fn choose_primaries(&mut self, ctx: &mut Ctx<'_>) {
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

    /// Everything that hung on a peer that is gone.
    pub(crate) fn forget_peer(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        let now = ctx.now;
        let known = self.peers.remove(&peer).is_some();
        for sub in &mut self.subs {
            sub.children.retain(|child| child.peer != peer);
            if sub.parent == Some(peer) {
                sub.detach();
                sub.orphan_since = Some(now);
            }
            if sub.pending == Some(peer) {
                sub.pending = None;
            }
            sub.seat = sub.seat.filter(|(at, _)| *at != peer);
        }
        self.repair_forget(peer);
        self.membership.on_lost(ctx, peer);
        if known {
            self.seek_parents(ctx);
        }
    }
}

/// A number from 0 to 1 that is fixed for two peers and looks random over many.
fn taste(a: PeerId, b: PeerId) -> f64 {
    let mixed = a.tag().wrapping_mul(0x9e37_79b9) ^ b.tag().wrapping_mul(0x85eb_ca6b);
    f64::from(mixed.wrapping_mul(0xc2b2_ae35) >> 16) / 65_536.0
}

/// Beyond the round trip, an answer may take this long to be made.
const ANSWER_SLACK: Duration = Duration::from_millis(150);

#[cfg(test)]
#[path = "parents_tests.rs"]
mod tests;
