//! Offers: what a neighbour's supply of a substream would be worth.
//!
//! Its own lag, the way here, its uplink's queue and the number of copies it sends before ours say when a chunk would be here.

use std::borrow::Borrow;
use std::time::Duration;

use wire::message::{Advert, NO_LAG, PeerRecord};
use wire::{PeerId, Substream, SubstreamSet, Time};

use super::repair::SILENT;
use super::supply::reserve;
use super::{Ctx, Stream, StreamPeer};

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

/// A supplier that owes a node nothing which gives nothing serves it last.
const CREDITLESS_US: f64 = 200_000.0;

/// A peer that agreed to supply and sent nothing is chosen after all others for a while: its unreliability, 0.05 for
/// once, times this. Half a second is more than any honest difference.
const UNRELIABLE_US: f64 = 10_000_000.0;

/// The lag assumed of a peer that has only just joined.
pub(super) const UNKNOWN_LAG_US: f64 = 500_000.0;

/// Adverts older than this say nothing any more.
const ADVERT_VALID: Duration = Duration::from_millis(5_000);

/// Who leaves requests unanswered is gone unless it has said something since: adverts to those it supplies come every 0.7 s.
const SPEAKS: Duration = Duration::from_millis(1_000);

/// Which places of a supplier a node that passes nothing on asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Places {
    /// Those that are free.
    Free,
    /// Those of children that pass nothing on, too.
    OfLeaves,
    /// The same, of those who owe this node something, whoever supplies it now.
    OfDebtors,
}

/// How late a peer has its substreams.
#[derive(Clone, Copy)]
enum OwnLags<'a> {
    /// Each, in milliseconds, as it says itself.
    Own(&'a [u16]),
    /// These all alike, in microseconds, as the tracker says.
    Alike(SubstreamSet, f64),
}

/// What a peer says of its supply.
#[derive(Clone, Copy)]
pub(super) struct Offer<'a> {
    lags: OwnLags<'a>,
    /// Whether its own lag is known.
    proven: bool,
    slots: u16,
    free: u16,
    /// The substreams that it passes on to many.
    primaries: SubstreamSet,
    /// The substreams in which a child that passes nothing on holds a place.
    leaves: SubstreamSet,
    /// Places of children that only take.
    takers: u16,
    /// What the copies that it sends of each chunk before one more take on its uplink, and that one.
    copies_us: f64,
    /// What of its uplink's queue a live copy meets.
    backlog_us: f64,
}

impl<'a> Offer<'a> {
    fn of_advert(advert: &'a Advert) -> Self {
        let used = advert.slots.saturating_sub(advert.free_slots);
        let copies = used / advert.primaries.len().max(1) as u16;
        let copy_us = f64::from(advert.copy_time_10us) * 10.0;
        Offer {
            lags: OwnLags::Own(&advert.lags_ms),
            proven: true,
            slots: advert.slots,
            free: advert.free_slots,
            primaries: advert.primaries,
            leaves: advert.leaves,
            takers: advert.takers.unwrap_or(0),
            copies_us: copy_us * (1.0 + CHILD_WEIGHT * f64::from(copies)),
            backlog_us: BACKLOG_WEIGHT * (f64::from(advert.backlog_ms) * 1000.0),
        }
    }

    fn of_record(record: &PeerRecord) -> Self {
        let lag_us = record.lag_ms.map_or(UNKNOWN_LAG_US, |ms| f64::from(ms) * 1000.0);
        Offer {
            lags: OwnLags::Alike(record.primaries.or(record.has), lag_us),
            proven: record.lag_ms.is_some(),
            slots: record.slots,
            free: record.free_slots,
            primaries: record.primaries,
            leaves: record.leaves,
            takers: 0,
            copies_us: 0.0,
            backlog_us: 0.0,
        }
    }

    /// How late it has a substream, in microseconds; `None` if it has not got it.
    #[inline]
    pub(super) fn lag_us(&self, substream: Substream) -> Option<f64> {
        match self.lags {
            OwnLags::Own(lags_ms) => {
                let lag = lags_ms.get(usize::from(substream.0)).copied();
                Some(f64::from(lag.filter(|&lag| lag != NO_LAG)?) * 1000.0)
            }
            OwnLags::Alike(of, lag_us) => of.contains(substream).then_some(lag_us),
        }
    }

    /// Whether a joiner that asks for one more than these takes nobody's last slot.
    pub(super) fn is_roomy(&self, asked: u16) -> bool {
        self.proven && self.free > asked + self.slots / 4
    }
}

impl StreamPeer {
    /// Notes not to ask for a substream before `until`.
    pub(super) fn pause(&mut self, substream: Substream, until: Time) {
        match self.refused.iter_mut().find(|(s, _)| *s == substream) {
            Some((_, held)) => *held = until,
            None => self.refused.push((substream, until)),
        }
    }

    /// Whether it has a child that passes nothing on.
    fn has_leaves(&self) -> bool {
        self.advert
            .as_ref()
            .is_some_and(|(advert, _)| !advert.leaves.is_empty())
    }

    /// What this peer offers, by its own advert or, until it speaks for itself, by the tracker's word.
    pub(super) fn offer(&self, now: Time) -> Option<Offer<'_>> {
        match (&self.advert, &self.record) {
            (Some((advert, at)), _) if now.since(*at) <= ADVERT_VALID => Some(Offer::of_advert(advert)),
            (_, Some(record)) => Some(Offer::of_record(record)),
            _ => None,
        }
    }
}

/// A neighbour that may be asked for a substream, whichever it is.
#[derive(Clone, Copy)]
pub(super) struct Supplier<'a> {
    peer: PeerId,
    state: &'a StreamPeer,
    offer: Offer<'a>,
    way_us: f64,
    /// What the substreams already taken from it make it less attractive by.
    spread_us: f64,
}

/// A substream that a supplier is looked for.
#[derive(Clone, Copy)]
struct Sought {
    substream: Substream,
    /// Whether it has none.
    orphan: bool,
    /// Whether this node passes it on.
    passed_on: bool,
    places: Places,
}

impl Stream {
    /// The neighbours that may be asked to supply something.
    pub(super) fn suppliers<'a>(&'a self, ctx: &'a Ctx<'_>) -> impl Iterator<Item = Supplier<'a>> {
        let now = ctx.now;
        let spoke = move |state: &StreamPeer| {
            let advert = state.advert.as_ref();
            advert.is_some_and(|(_, at)| now.since(*at) <= SPEAKS)
        };
        let neighbours = self.peers.joined(ctx.neighbours.map());
        neighbours.filter_map(move |(peer, state, neighbour)| {
            let silent = state.unanswered >= SILENT && !spoke(state);
            let out = silent || neighbour.is_mute(now) || state.distrusted_until > now;
            if out {
                return None;
            }
            // Of whom nothing is known, they offer nothing.
            let offer = state.offer(now)?;
            Some(Supplier {
                peer: *peer,
                state,
                offer,
                way_us: neighbour.rtt_us() / 2.0,
                spread_us: SPREAD_US * f64::from(state.supplies.or(state.asked).len()),
            })
        })
    }

    /// Predicted lag of a substream if this one supplied it, in microseconds. `None` if it cannot, or not below a bound.
    fn predicted_us(
        &self,
        ctx: &Ctx<'_>,
        supplier: &Supplier<'_>,
        sought: Sought,
        asked_now: u16,
        below: f64,
    ) -> Option<f64> {
        let Supplier {
            peer,
            state,
            offer,
            way_us,
            spread_us,
        } = supplier;
        let Sought {
            substream,
            orphan,
            passed_on,
            places,
        } = sought;
        // Most are too late by this alone; what follows only adds to it, and has to be looked up.
        let mut predicted =
            offer.lag_us(substream)? + way_us + offer.copies_us + offer.backlog_us + spread_us;
        if predicted >= below || state.supplied.contains(substream) {
            return None;
        }
        let peer = *peer;
        let refused = |&(s, until): &(Substream, Time)| s == substream && until > ctx.now;
        if state.refused.iter().any(refused) {
            return None;
        }
        let of_debtors = places == Places::OfDebtors;
        let taken_there = state.supplies.or(state.asked).len() + u32::from(asked_now);
        if of_debtors && !self.can_pay(ctx, peer, taken_there) {
            return None;
        }
        let primary = offer.primaries.contains(substream);
        // Outside its primaries a peer takes only who has nobody, unless most of its slots lie idle.
        if !orphan && !primary && offer.free <= offer.slots / 2 {
            return None;
        }
        // What it is only about to get it gives to leaves, in the substreams it passes on.
        if !offer.proven && (!primary || passed_on) {
            return None;
        }
        predicted = predicted
            + UNRELIABLE_US * ctx.standings.of(peer).unreliability(ctx.now)
            + taste(ctx.config.peer, peer) * TASTE_US;
        let kept = if orphan { 0 } else { reserve(offer.slots) };
        // Where nothing is owed to it who gives nothing its copies go last.
        if self.spends(ctx) && !self.owes(ctx, peer) {
            predicted += CREDITLESS_US;
        }
        if offer.free <= asked_now + state.asked.len() as u16 + kept {
            // A place of another substream is of use to who passes nothing on: in an inner one it would be a child too many.
            let takers = orphan && !passed_on && offer.takers > asked_now;
            let gives_way = takers || offer.leaves.contains(substream);
            let makes_room = passed_on
                || of_debtors && state.has_leaves()
                || places == Places::OfLeaves && gives_way && self.earns_at(ctx, peer);
            if !makes_room {
                return None;
            }
            // A child that passes nothing on makes room at once; any other only for one that is worth more.
            predicted += if gives_way { LEAF_US } else { FULL_US };
        }
        debug_assert!(peer != ctx.config.peer);
        Some(predicted)
    }

    /// The best supplier for a substream by prediction, if it promises less than `below`.
    pub(super) fn best_for(
        &self,
        ctx: &Ctx<'_>,
        substream: Substream,
        asked_now: &[(PeerId, SubstreamSet)],
        below: f64,
    ) -> Option<(PeerId, f64)> {
        self.best_of(
            self.suppliers(ctx),
            ctx,
            substream,
            asked_now,
            below,
            Places::Free,
        )
    }

    /// The same among suppliers that were looked up before, for several substreams in a row.
    pub(super) fn best_among(
        &self,
        suppliers: &[Supplier<'_>],
        ctx: &Ctx<'_>,
        substream: Substream,
        below: f64,
    ) -> Option<(PeerId, f64)> {
        self.best_of(suppliers.iter(), ctx, substream, &[], below, Places::Free)
    }

    /// The same for a substream without a supplier when nobody has room in it: who has a child there that may have to give way.
    pub(super) fn best_full(
        &self,
        ctx: &Ctx<'_>,
        substream: Substream,
        asked_now: &[(PeerId, SubstreamSet)],
    ) -> Option<(PeerId, f64)> {
        if !self.sees_takers(ctx) && !self.spends(ctx) {
            return None;
        }
        let suppliers = self.suppliers(ctx);
        self.best_of(
            suppliers,
            ctx,
            substream,
            asked_now,
            f64::INFINITY,
            Places::OfLeaves,
        )
    }

    /// The best of those who owe this node so much that they would serve it for a while.
    pub(super) fn best_debtor(
        &self,
        ctx: &Ctx<'_>,
        substream: Substream,
        asked_now: &[(PeerId, SubstreamSet)],
    ) -> Option<(PeerId, f64)> {
        let suppliers = self.suppliers(ctx);
        self.best_of(
            suppliers,
            ctx,
            substream,
            asked_now,
            f64::INFINITY,
            Places::OfDebtors,
        )
    }

    fn best_of<'a>(
        &self,
        suppliers: impl Iterator<Item = impl Borrow<Supplier<'a>>>,
        ctx: &Ctx<'_>,
        substream: Substream,
        asked_now: &[(PeerId, SubstreamSet)],
        mut below: f64,
        places: Places,
    ) -> Option<(PeerId, f64)> {
        let sought = Sought {
            substream,
            orphan: places == Places::OfDebtors
                || self.sub(substream).is_some_and(|sub| sub.parent.is_none()),
            passed_on: self.fanout(substream) > 0,
            places,
        };
        let mut best: Option<(PeerId, f64)> = None;
        for supplier in suppliers {
            let supplier = supplier.borrow();
            let peer = supplier.peer;
            let asked = asked_now
                .iter()
                .find(|(p, _)| *p == peer)
                .map_or(0, |(_, set)| set.len() as u16);
            let spread = f64::from(asked) * SPREAD_US;
            let Some(us) = self.predicted_us(ctx, supplier, sought, asked, below) else {
                continue;
            };
            let us = us + spread;
            if us < below {
                below = us;
                best = Some((peer, us));
            }
        }
        best
    }
}

/// A number from 0 to 1 that is fixed for two peers and looks random over many.
fn taste(a: PeerId, b: PeerId) -> f64 {
    let mixed = a.tag().wrapping_mul(0x9e37_79b9) ^ b.tag().wrapping_mul(0x85eb_ca6b);
    f64::from(mixed.wrapping_mul(0xc2b2_ae35) >> 16) / 65_536.0
}
