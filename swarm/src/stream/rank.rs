//! Rank: who is served first when not everybody can be.
//!
//! Who gives to this stream comes before who is owed for having given elsewhere, and both before who does neither; the nearer before
//! the farther. It decides three things, and only where there is too little: which child gives way to somebody without a supplier,
//! which one goes when an uplink turns out slower, and which repairs wait behind others. As long as there is room nobody is asked
//! what he gives.

use std::cmp::Reverse;
use std::time::Duration;

use incentives::Contribution;
use incentives::trust::NEWCOMER_LINE;
use wire::message::Role;
use wire::{PeerId, StreamId, Substream};

use super::supply::{NEW_HERE, SETTLED};
use super::{Child, Ctx, Stream};
use crate::uplink::Turn;

/// Contributions that differ by less are alike: one substream of sixteen of the usual stream brings so much in 40 s.
const ALIKE: u64 = 1024 * 1024;

/// What is owed counts in these steps: ten seconds of such a substream. A new debtor gets it by small shifts, and who gives nothing
/// needs it with each of its suppliers.
pub(super) const CREDIT_ALIKE: u64 = 256 * 1024;

/// What the children are is looked at this often: as often as they say it.
const RANK_EVERY: Duration = Duration::from_millis(700);

/// A peer's rank at this node. The least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Whether it has a claim to a place at all.
    earns: bool,
    /// What it gave this node in this stream.
    in_stream: u64,
    /// What this node owes it.
    credit: u64,
    /// Whether it is not one of those who only take and have taken more than a newcomer's line.
    in_line: bool,
}

/// What was given, in steps that tell.
fn credit(contribution: Contribution) -> u64 {
    // What this node gave more than it got counts against nobody who earns a place: a leaf owes more the longer it has been here. And
    // if it did count, a new name would be worth more than an old one.
    u64::try_from(contribution.balance).unwrap_or(0) / CREDIT_ALIKE
}

impl Stream {
    /// Whether a peer says that it passes chunks on; `None` while that is not known: a newcomer counts its slots when it has heard
    /// what the stream is like.
    fn offers(&self, ctx: &Ctx<'_>, peer: PeerId) -> Option<bool> {
        let state = self.peers.get(&peer);
        let advert = state.and_then(|state| state.advert.as_ref());
        let record = state.and_then(|state| state.record.as_ref());
        let said = advert.map(|(advert, _)| (advert.role, advert.slots));
        let said = said.or(record.map(|record| (record.role, record.slots)));
        // The peercaster hears adverts of its own children only. What a member has said as its tracker's counts if it is no room,
        // which changes.
        let registered = || {
            let record = self.tracking.as_ref()?.tracker.record(peer)?;
            (record.role == Role::Passive).then_some((record.role, 0))
        };
        let (role, slots) = said.or_else(registered)?;
        let new = ctx
            .neighbours
            .get(&peer)
            .is_none_or(|n| ctx.now.since(n.since) <= NEW_HERE);
        (slots > 0 || role == Role::Passive || !new).then_some(slots > 0)
    }

    /// Where a peer ranks at this node.
    pub(super) fn rank(&self, ctx: &Ctx<'_>, peer: PeerId) -> Rank {
        let contribution = ctx.contribution(peer, self.id);
        let in_stream = contribution.in_stream / ALIKE;
        let credit = credit(contribution);
        let offers = self.offers(ctx, peer);
        let earns = offers == Some(true) || in_stream > 0 || credit > 0;
        Rank {
            earns,
            in_stream,
            credit,
            in_line: earns || offers.is_none() || ctx.is_in_line(peer, self.id),
        }
    }

    /// Whether this peer has said what it gives, and it is nothing, and nothing is owed to it.
    pub(crate) fn only_takes(&self, ctx: &Ctx<'_>, peer: PeerId) -> bool {
        self.offers(ctx, peer) == Some(false) && !self.rank(ctx, peer).earns
    }

    /// Whose copies those for a peer wait for.
    pub(super) fn turn(&self, ctx: &Ctx<'_>, peer: PeerId) -> Turn {
        if !self.only_takes(ctx, peer) {
            Turn::Usual
        } else if ctx.is_in_line(peer, self.id) {
            Turn::Taker
        } else {
            Turn::BeyondLine
        }
    }

    /// Sees whose copies go last.
    pub(super) fn rank_children(&mut self, ctx: &Ctx<'_>) {
        if ctx.now < self.next_ranking {
            return;
        }
        self.next_ranking = ctx.now + RANK_EVERY;
        let supplied = self.peers.iter().filter(|(_, state)| !state.supplied.is_empty());
        let takers: Vec<(PeerId, Turn)> = supplied
            .map(|(peer, _)| (*peer, self.turn(ctx, *peer)))
            .filter(|(_, turn)| *turn > Turn::Usual)
            .collect();
        for child in self.subs.iter_mut().flat_map(|sub| &mut sub.children) {
            let at = takers.binary_search_by_key(&child.peer, |(peer, _)| *peer);
            child.turn = at.map_or(Turn::Usual, |at| takers[at].1);
        }
    }

    /// How many places children hold that only take, if any: whoever earns gets one, of whatever substream. The peercaster's belong to
    /// substreams.
    pub(super) fn takers(&self) -> Option<u16> {
        let takes =
            |child: &&Child| child.turn > Turn::Usual && child.fanout == 0 && child.leaves_at.is_none();
        let children = self.subs.iter().flat_map(|sub| &sub.children);
        let takers = children.filter(takes).count().min(usize::from(u16::MAX)) as u16;
        (takers > 0 && self.source.is_none()).then_some(takers)
    }

    /// The child that gives way to `newcomer`, which has no supplier for a substream, when all slots are taken: one that passes
    /// nothing on in its substream and only takes, first who is beyond the newcomer's line, then the farthest. If there is none and this node owes the newcomer, which gives
    /// nothing, one that has given this node nothing and is owed nothing: it finds a place wherever somebody only takes, and what
    /// the newcomer is owed is good for one here alone. The peercaster's slots belong to substreams.
    pub(super) fn gives_way(
        &self,
        ctx: &Ctx<'_>,
        newcomer: PeerId,
        substream: Substream,
    ) -> Option<(PeerId, Substream)> {
        if !self.rank(ctx, newcomer).earns {
            return None;
        }
        let way = |peer: PeerId| ctx.neighbours.get(&peer).map_or(Duration::ZERO, |n| n.rtt() / 2);
        let may_go =
            |child: &&Child| child.fanout == 0 && child.leaves_at.is_none() && child.peer != newcomer;
        let children = self.subs.iter().enumerate().flat_map(|(s, sub)| {
            let of = Substream(s as u8);
            sub.children.iter().filter(may_go).map(move |child| (child, of))
        });
        let may_go = children.filter(|&(_, of)| self.source.is_none() || of == substream);
        let farthest =
            |&(child, of): &(&Child, Substream)| (of != substream, Reverse(way(child.peer)), child.peer);
        let taker = may_go
            .clone()
            .map(|place| (Reverse(self.turn(ctx, place.0.peer)), place))
            .filter(|(turn, _)| *turn < Reverse(Turn::Usual))
            .min_by_key(|(turn, place)| (*turn, farthest(place)))
            .map(|(_, place)| place);
        let stranger = || {
            let unknown = |child: &Child| {
                let rank = self.rank(ctx, child.peer);
                ctx.now.since(child.since) >= SETTLED && (rank.in_stream, rank.credit) == (0, 0)
            };
            let spends = self.spends_here(ctx, newcomer);
            may_go
                .filter(|(child, _)| spends && unknown(child))
                .min_by_key(farthest)
        };
        let (child, of) = taker.or_else(stranger)?;
        Some((child.peer, of))
    }

    /// Whether a peer gives nothing to this stream, by its own word, and this node owes it something.
    pub(super) fn spends_here(&self, ctx: &Ctx<'_>, peer: PeerId) -> bool {
        self.offers(ctx, peer) == Some(false) && self.rank(ctx, peer).credit > 0
    }

    /// Whether there is anybody here who only takes, as far as this node knows: where all give it asks nobody for a place in vain.
    pub(super) fn sees_takers(&self, ctx: &Ctx<'_>) -> bool {
        self.peers.keys().any(|peer| self.only_takes(ctx, *peer))
    }

    /// Whether this node may ask a peer for the place of a child that only takes.
    pub(super) fn earns_at(&self, ctx: &Ctx<'_>, peer: PeerId) -> bool {
        (self.contributes() && self.slots > 0) || self.owes(ctx, peer)
    }

    /// Whether this node has nothing but what it is owed to be served for.
    pub(super) fn spends(&self, ctx: &Ctx<'_>) -> bool {
        self.gives_nothing() && ctx.signed.has_credit()
    }

    /// Whether claims of this node or of a peer on the other are of use to it who spends them: those two stay connected.
    pub(super) fn settles(&self, ctx: &Ctx<'_>, peer: PeerId) -> bool {
        let owed = || credit(ctx.contribution(peer, self.id)) > 0;
        self.spends(ctx) && self.owes(ctx, peer) || self.offers(ctx, peer) == Some(false) && owed()
    }

    /// Whether a peer owes this node so much that it tells.
    pub(super) fn owes(&self, ctx: &Ctx<'_>, peer: PeerId) -> bool {
        ctx.owes(peer, self.id)
    }
}

impl Ctx<'_> {
    /// Whether a peer owes this node so much that it tells.
    pub(super) fn owes(&self, peer: PeerId, stream: StreamId) -> bool {
        self.contribution(peer, stream).balance <= -(CREDIT_ALIKE as i64)
    }

    /// Whether a peer has taken less than a newcomer may before it gave anything. Where accounts are signed, what it gave no receipts
    /// for counts as taken.
    fn is_in_line(&self, peer: PeerId, stream: StreamId) -> bool {
        match self.signed.credit_left(self.now, peer) {
            Some(left) => left > 0,
            None => self.contribution(peer, stream).balance > -(NEWCOMER_LINE as i64),
        }
    }
}

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
