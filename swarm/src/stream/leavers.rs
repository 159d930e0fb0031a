//! Children that go: displaced, gone without a word, or served well enough elsewhere.

use std::time::Duration;

use wire::message::{Displaced, Referral, Unsubscribe};
use wire::{List, PeerId, Substream, SubstreamSet};

use super::{Ctx, Stream};

/// A displaced child is served this long, to find another supplier first.
pub(super) const GRACE: Duration = Duration::from_millis(700);

/// A child's adverts come every 0.7 s. One of them may be late: on a small uplink that is full, a lost one takes half a second.
pub(super) const CHILD_SPEAKS: Duration = Duration::from_millis(1_300);

impl Stream {
    /// Tells a child that its place is given away.
    pub(super) fn displace(
        &mut self,
        ctx: &mut Ctx<'_>,
        peer: PeerId,
        substream: Substream,
        by: Option<PeerId>,
    ) {
        let until = ctx.now + GRACE;
        if let Some(sub) = self.sub_mut(substream) {
            for child in sub.children.iter_mut().filter(|child| child.peer == peer) {
                child.leaves_at = Some(until);
            }
        }
        let set = SubstreamSet::one(substream);
        let newcomer = by.and_then(|by| self.referral_to(ctx, by));
        let others = self.referrals(ctx, peer, set);
        let instead: List<Referral, { wire::message::MAX_REFERRALS }> =
            newcomer.into_iter().chain(others).collect();
        let grace_ms = GRACE.as_millis() as u16;
        ctx.send(
            peer,
            Displaced {
                stream: self.id,
                substreams: set,
                instead,
                grace_ms,
            },
        );
    }

    /// Stops serving displaced children whose time is over.
    pub(super) fn end_displaced(&mut self, ctx: &mut Ctx<'_>) {
        let mut ended = Vec::new();
        for (s, sub) in self.subs.iter_mut().enumerate() {
            sub.children.retain(|child| {
                let over = child.leaves_at.is_some_and(|at| at <= ctx.now);
                if over {
                    ended.push((child.peer, Substream(s as u8)));
                }
                !over
            });
        }
        for (peer, substream) in ended {
            self.drop_supplied(ctx, peer, substream);
        }
    }

    fn drop_supplied(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, substream: Substream) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.supplied.remove(substream);
        }
        let (id, k) = (self.id, self.k());
        ctx.uplink.forget(|copy| {
            copy.to == peer
                && copy.stream() == id
                && copy.chunk.seq().substream(k) == substream
                && copy.class == crate::Class::Live
        });
    }

    /// Children that do not answer a call get nothing more: what they are sent is lost to those who are there.
    pub(super) fn evict_gone(&mut self, ctx: &mut Ctx<'_>) {
        // Most often none of them is gone, which takes one look at each neighbour instead of a search for each child.
        if ctx.neighbours.expects_answers(ctx.now) && ctx.neighbours.any_gone(ctx.now) {
            self.evict(ctx, Duration::MAX);
        }
    }

    /// Children that have not said for so long how they fare hold no place that somebody needs who has nobody: after a mass
    /// exit half of the children are gone, and the transport notices later.
    pub(super) fn evict(&mut self, ctx: &mut Ctx<'_>, speaks: Duration) {
        let mut gone: Vec<(PeerId, Substream)> = Vec::new();
        for (s, sub) in self.subs.iter().enumerate() {
            for child in &sub.children {
                let told = self
                    .peers
                    .get(&child.peer)
                    .and_then(|state| state.advert.as_ref());
                let heard = told.map_or(child.since, |(_, at)| child.since.max(*at));
                if ctx.now.since(heard) > speaks || ctx.neighbours.is_gone(&child.peer, ctx.now) {
                    gone.push((child.peer, Substream(s as u8)));
                }
            }
        }
        for (peer, substream) in gone {
            if let Some(sub) = self.sub_mut(substream) {
                sub.children.retain(|child| child.peer != peer);
            }
            self.drop_supplied(ctx, peer, substream);
        }
    }

    /// A child does not need these any more.
    pub(crate) fn on_unsubscribe(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: &Unsubscribe) {
        for substream in message.substreams.iter() {
            let Some(sub) = self.sub_mut(substream) else {
                continue;
            };
            let before = sub.children.len();
            sub.children.retain(|child| child.peer != from);
            if sub.children.len() != before {
                self.drop_supplied(ctx, from, substream);
            }
            self.end_hold(from, substream);
        }
    }
}
