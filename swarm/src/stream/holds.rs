//! Slots that the tracker has promised to joiners, and that are kept for them.

use std::time::Duration;

use wire::message::Hold;
use wire::{PeerId, Substream, SubstreamSet, Time};

use super::{Ctx, Stream};

/// A joiner that was promised a slot asks within so long, or it has found another.
pub(super) const HELD_FOR: Duration = Duration::from_millis(1_000);

/// Promises remembered: a tracker that makes more does not fill this node's memory.
const MAX_HOLDS: usize = 128;

/// Slots kept for a joiner.
#[derive(Debug)]
pub(super) struct Held {
    peer: PeerId,
    substreams: SubstreamSet,
    until: Time,
}

impl Stream {
    /// The tracker promised slots here to a joiner.
    pub(crate) fn on_hold(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: Hold) {
        if self.is_my_tracker(from, ctx.now) {
            self.take_hold(ctx.now, message.peer, message.substreams);
        }
    }

    /// Slots here are promised to a joiner: they are kept for it, and the tracker hears that the promise was counted.
    pub(super) fn take_hold(&mut self, now: Time, joiner: PeerId, substreams: SubstreamSet) {
        let slots = substreams.len();
        self.membership.promised = self.membership.promised.wrapping_add(slots);
        self.membership.reported_free = self.membership.reported_free.saturating_sub(slots as u16);
        self.keep(now, joiner, substreams.and(SubstreamSet::all(self.k())));
    }

    /// Keeps slots for a joiner.
    pub(super) fn keep(&mut self, now: Time, peer: PeerId, substreams: SubstreamSet) {
        if self.holds.len() < MAX_HOLDS && !substreams.is_empty() {
            self.holds.push(Held {
                peer,
                substreams,
                until: now + HELD_FOR,
            });
        }
    }

    /// Slots of this substream that are kept for joiners.
    pub(super) fn kept(&self, substream: Substream) -> u16 {
        self.holds
            .iter()
            .filter(|held| held.substreams.contains(substream))
            .count() as u16
    }

    /// Whether any slot is kept for this peer.
    pub(crate) fn keeps_for(&self, peer: PeerId) -> bool {
        self.holds.iter().any(|held| held.peer == peer)
    }

    /// Slots that are kept for joiners.
    pub(super) fn slots_held(&self) -> u16 {
        self.holds.iter().map(|held| held.substreams.len() as u16).sum()
    }

    /// Slots kept for this peer, and for this substream among them.
    pub(super) fn held_for(&self, peer: PeerId, substream: Substream) -> (u16, bool) {
        let own = self.holds.iter().filter(|held| held.peer == peer);
        own.fold((0, false), |(slots, this), held| {
            let slots = slots + held.substreams.len() as u16;
            (slots, this || held.substreams.contains(substream))
        })
    }

    /// A joiner took what was kept for it, or has it already.
    pub(super) fn end_hold(&mut self, peer: PeerId, substream: Substream) {
        for held in self.holds.iter_mut().filter(|held| held.peer == peer) {
            held.substreams.remove(substream);
        }
        self.holds.retain(|held| !held.substreams.is_empty());
    }

    /// Keeps slots no longer than promised.
    pub(super) fn end_holds(&mut self, now: Time) {
        self.holds.retain(|held| held.until > now);
    }
}

#[cfg(test)]
#[path = "holds_tests.rs"]
mod tests;
