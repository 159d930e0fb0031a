//! Seats: slots that the tracker holds for this node with others, and what else is in sight for a substream.

use std::time::Duration;

use wire::{PeerId, Substream, SubstreamSet, Time};

use super::{Ctx, Stream, SubstreamState};

/// A slot that the tracker holds is worth asking for so long: then somebody else has it.
const SEAT_HELD: Duration = Duration::from_millis(2_000);

/// A connection to where a slot is held is waited for so long: one over 250 ms, its first packet lost once.
const SEAT_WAIT: Duration = Duration::from_millis(600);

/// In a swarm up to this size a joiner may take room that nobody holds for it. In a larger one too many see the same room at
/// the same time: with a thousand joining, continuity fell from 0.97 to 0.95 (docs/results/swarm.md).
pub(super) const SMALL_SWARM: u32 = 100;

/// Where the tracker holds a slot.
pub(super) enum Seat {
    At(PeerId),
    Dialled,
    None,
}

impl Stream {
    /// Where to ask for a substream first. While the connection to where a slot is held is being made, a newcomer asks nobody
    /// else: a crowd that joins at once takes one another's places if each takes what it sees first. Who has lost a
    /// supplier does not wait: whoever else is named may be gone, too.
    pub(super) fn seat(&self, ctx: &Ctx<'_>, substream: Substream) -> Seat {
        let Some(sub) = self.sub(substream) else {
            return Seat::None;
        };
        let unsupplied = sub.parent.is_none() || sub.orphan_since.is_some() || !sub.attached;
        let Some((peer, since)) = sub.seat.filter(|_| unsupplied) else {
            return Seat::None;
        };
        let age = ctx.now.since(since);
        // The tracker hears late that a member is gone, and never that it does not keep its word.
        let state = self.peers.get(&peer);
        let distrusted = state.is_some_and(|state| state.distrusted_until > ctx.now);
        if distrusted
            || ctx.neighbours.is_mute(&peer, ctx.now)
            || ctx.standings.of(peer).unreliability(ctx.now) > 0.0
        {
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

    /// A supplier that is connected already and has plenty of room: it is nearer than where a slot is held, whose
    /// connection takes longer. What is held there is given back.
    pub(super) fn roomy(
        &self,
        ctx: &Ctx<'_>,
        substream: Substream,
        asks: &[(PeerId, SubstreamSet)],
    ) -> Option<PeerId> {
        if self.membership.members > SMALL_SWARM {
            return None;
        }
        let (peer, _) = self.best_for(ctx, substream, asks, f64::INFINITY)?;
        let state = self.peers.get(&peer)?;
        let asked = asks
            .iter()
            .find(|(p, _)| *p == peer)
            .map_or(0, |(_, set)| set.len());
        let offer = state.offer(ctx.now)?;
        offer.lag_us(substream)?;
        (offer.is_roomy(asked as u16 + state.asked.len() as u16)).then_some(peer)
    }

    /// The substreams that no supplier is in sight for: no slot is held anywhere. That somebody is asked for one by what it said of
    /// itself does not count: in a crowd two in three have none left.
    pub(super) fn forlorn(&self, now: Time) -> SubstreamSet {
        let promised = |s: Substream| {
            self.sub(s)
                .is_some_and(|sub| sub.seat.is_some_and(|(_, since)| now.since(since) < SEAT_WAIT))
        };
        let lost = self.orphans().or(self.adrift());
        lost.iter().filter(|&s| !promised(s)).collect()
    }

    /// The substreams whose supplier has lost its own, at a time when nothing comes at all: the peercaster was away, and
    /// somebody has to be its child again for the others.
    pub(super) fn adrift(&self) -> SubstreamSet {
        if self.flowing_since.is_some() || !self.first_chunk_seen {
            return SubstreamSet::EMPTY;
        }
        let detached = |sub: &SubstreamState| sub.parent.is_some() && !sub.attached;
        self.wanted()
            .iter()
            .filter(|&s| self.sub(s).is_some_and(detached))
            .collect()
    }

    /// Whether a slot is held at this peer.
    pub(super) fn seated_at(&self, peer: PeerId, now: Time) -> bool {
        self.subs.iter().any(|sub| sub.is_seated_at(peer, now))
    }

    /// For which substreams.
    pub(super) fn seats_at(&self, peer: PeerId, now: Time) -> SubstreamSet {
        let all = SubstreamSet::all(self.k()).iter();
        let seated = |s: &Substream| self.sub(*s).is_some_and(|sub| sub.is_seated_at(peer, now));
        all.filter(seated).collect()
    }
}

impl SubstreamState {
    /// Whether it lacks a supplier, and a slot is held for it at this peer.
    fn is_seated_at(&self, peer: PeerId, now: Time) -> bool {
        let held = |(at, since): (PeerId, Time)| at == peer && now.since(since) < SEAT_HELD;
        self.parent.is_none() && self.seat.is_some_and(held)
    }
}
