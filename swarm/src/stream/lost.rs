//! What is done when a peer is gone: nothing hangs on it any more; and the peercaster, if it was that, is called until it is
//! back.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use wire::message::{RingNode, Role};
use wire::{PeerId, Substream, SubstreamSet, Time};

use super::way_in::{TRACKER_RETRY, TRACKER_RETRY_MAX};
use super::{Ctx, Stream, SubstreamState};

/// A peercaster that falls silent is left at once, and its connection is over this much later at most: the transport's patience, and its
/// last attempts.
const SILENT_BEFORE: Duration = Duration::from_secs(5);

/// The peercaster is gone, and this node was its child: it is called until it is back.
#[derive(Debug)]
pub(super) struct SourceLost {
    node: RingNode,
    next: Time,
    wait: Duration,
}

impl SourceLost {
    /// Whether a connection leads to it. It may have another id after a restart.
    fn is(&self, peer: PeerId, addr: SocketAddr) -> bool {
        self.node.peer == peer || self.node.addrs.contains(&addr)
    }
}

impl Stream {
    /// Everything that hung on a peer that is gone.
    pub(crate) fn forget_peer(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        let now = ctx.now;
        if let Some(tracking) = &mut self.tracking {
            tracking.tracker.leave(now, peer);
        }
        // Its silence was the beginning of this, or else it was left for good.
        let mut is_source = self.is_source(peer) && now.since(self.left_source_at) <= SILENT_BEFORE;
        let state = self.peers.remove(&peer);
        let was_tracker = self.membership.tracker == Some(peer);
        for (s, sub) in self.subs.iter_mut().enumerate() {
            sub.children.retain(|child| child.peer != peer);
            if sub.parent == Some(peer) {
                if sub.is_from_source() {
                    is_source = true;
                    self.from_source.insert(Substream(s as u8));
                }
                sub.detach();
                sub.orphan_since = Some(now);
            }
            if sub.pending == Some(peer) {
                sub.pending = None;
            }
            sub.seat = sub.seat.filter(|(at, _)| *at != peer);
        }
        if is_source && !self.from_source.is_empty() {
            let record = state.as_ref().and_then(|state| state.record.as_ref());
            let dialled = self.membership.tracker_addr.filter(|_| was_tracker);
            let named = record.into_iter().flat_map(|record| record.addrs.iter().copied());
            let addrs: Vec<SocketAddr> = dialled.into_iter().chain(named).collect();
            self.note_source_lost(now, peer, &addrs);
        }
        self.repair_forget(peer);
        if was_tracker && !self.membership.answered {
            // It may never have been one: nobody waits for it to come back.
            self.leave_tracker(ctx, &[]);
        }
        self.membership.on_lost(ctx, peer);
        if state.is_some() {
            self.seek_parents(ctx);
        }
    }

    /// A silent supplier is about to be left. If it is the peercaster and turns out to be gone, it is asked for this again when it is back.
    pub(super) fn note_source_silent(&mut self, now: Time, substream: Substream) {
        if !self.sub(substream).is_some_and(SubstreamState::is_from_source) {
            return;
        }
        if now.since(self.left_source_at) > SILENT_BEFORE {
            self.from_source = SubstreamSet::EMPTY;
        }
        self.from_source.insert(substream);
        self.left_source_at = now;
    }

    /// Whether a connected peer is the peercaster, as far as it says so.
    pub(super) fn is_source(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|state| {
            let record = state.record.as_ref().map(|record| record.role);
            let advert = state.advert.as_ref().map(|(advert, _)| advert.role);
            [record, advert].contains(&Some(Role::Peercaster))
        })
    }

    /// The peercaster, which supplied this node, is gone. It may be started again and knows nobody then.
    fn note_source_lost(&mut self, now: Time, peer: PeerId, addrs: &[SocketAddr]) {
        if !addrs.is_empty() {
            self.membership.source_lost = Some(SourceLost {
                node: RingNode::new(peer, &coords::Coord::ORIGIN, addrs.iter().copied().collect()),
                next: now,
                wait: TRACKER_RETRY,
            });
        }
    }

    /// Asks the peercaster for a sign of life while it is silent. One that was started again says so to whoever sends it something,
    /// and to nobody else; and whoever does not notice keeps the tree below from growing again, though others may feed it.
    pub(super) fn call_source(&mut self, ctx: &mut Ctx<'_>) {
        if !self.first_chunk_seen {
            return;
        }
        for sub in &self.subs {
            if let Some(parent) = sub.parent.filter(|_| sub.is_from_source()) {
                ctx.neighbours.call(ctx.now, &parent);
            }
        }
        if let Some(tracker) = self.membership.tracker.filter(|_| self.flowing_since.is_none()) {
            ctx.neighbours.call(ctx.now, &tracker);
        }
    }

    /// Calls the peercaster that is gone. While the tracker is missing it is looked for anyway, and most often is the same.
    pub(super) fn return_tick(&mut self, ctx: &mut Ctx<'_>) {
        let Some(lost) = &mut self.membership.source_lost else {
            return;
        };
        if self.ended || ctx.neighbours.contains(&lost.node.peer) {
            self.membership.source_lost = None;
        } else if lost.next <= ctx.now && self.membership.tracker.is_some() {
            lost.next = ctx.now + lost.wait.mul_f64(ctx.rng.random_range(0.5..1.5));
            lost.wait = (lost.wait * 2).min(TRACKER_RETRY_MAX);
            let node = lost.node.clone();
            self.call(ctx, &node);
        }
    }

    /// The peercaster is back, or the way to it: who was its child is so again, or all trees would have lost their roots.
    pub(super) fn return_to_source(&mut self, ctx: &mut Ctx<'_>, source: PeerId, addr: SocketAddr) {
        let lost_it = self.membership.source_lost.as_ref();
        if !lost_it.is_some_and(|lost| lost.is(source, addr)) {
            return;
        }
        self.membership.source_lost = None;
        let lost = |sub: &SubstreamState| !sub.attached;
        let set: SubstreamSet = std::mem::take(&mut self.from_source)
            .and(self.wanted())
            .iter()
            .filter(|&s| self.sub(s).is_some_and(lost))
            .collect();
        if !set.is_empty() {
            // Whoever else is being asked has no way to the root but by those who ask now.
            for substream in set.iter() {
                if let Some(sub) = self.sub_mut(substream) {
                    sub.pending = None;
                }
            }
            for state in self.peers.values_mut() {
                state.asked = state.asked.minus(set);
            }
            self.peers.entry(source).or_default().interested = true;
            self.ask(ctx, source, set);
        }
    }
}
