//! What the trackers of a stream tell each other: where they are, how many members they have, and who has room.

use std::time::Duration;

use incentives::Offence;
use rand::RngExt;
use tracker::{NEWS_EVERY, News};
use wire::PeerId;
use wire::message::{Appointment, MAX_SPARE, RingNode, SiblingNews};

use super::{Ctx, Stream};

/// Whoever asks for news has had some this lately: it is not told again.
const TOLD_LATELY: Duration = Duration::from_millis(500);

impl Stream {
    /// Tells siblings the news, and meets new ones.
    pub(super) fn siblings_tick(&mut self, ctx: &mut Ctx<'_>) {
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        if tracking.next_news > ctx.now {
            return;
        }
        tracking.next_news = ctx.now + NEWS_EVERY.mul_f64(ctx.rng.random_range(0.9..1.1));
        for gone in tracking.siblings.expire(ctx.now) {
            tracking.forget_sibling(gone);
        }
        let met = tracking.siblings.to_meet(ctx.now, &ctx.coord);
        let mut nodes: Vec<RingNode> = Vec::new();
        for peer in tracking.siblings.peers() {
            nodes.extend(
                tracking
                    .siblings
                    .get(peer)
                    .map(|sibling| sibling.news.node.clone()),
            );
        }
        // The peercaster is needed for every appointment, and whoever this node stands in for should hear that it does.
        let others = [&met, &tracking.peercaster, &tracking.acting_for];
        for node in others.into_iter().flatten() {
            if !nodes.iter().any(|known| known.peer == node.peer) {
                nodes.push(node.clone());
            }
        }
        for node in nodes {
            if ctx.neighbours.contains(&node.peer) {
                self.send_news(ctx, node.peer, true);
            } else {
                self.call(ctx, &node);
            }
        }
    }

    /// Dials somebody by name, if there is an address to dial.
    pub(super) fn call(&self, ctx: &mut Ctx<'_>, node: &RingNode) {
        let banned = ctx.standings.is_banned(ctx.now, node.peer);
        if node.peer == ctx.config.peer || node.addrs.is_empty() || banned {
            return;
        }
        ctx.dial(Some(node.peer), node.addrs.to_vec(), Vec::new());
    }

    /// A connection is there: if it is to another tracker, the two tell each other the news.
    pub(super) fn greet_sibling(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        let known = self
            .tracking
            .as_ref()
            .is_some_and(|tracking| tracking.needs(peer) || tracking.siblings.is_heard_of(peer));
        if known {
            self.send_news(ctx, peer, true);
        }
    }

    fn send_news(&mut self, ctx: &mut Ctx<'_>, to: PeerId, answer: bool) {
        let own_slots = if self.source.is_some() { self.slots } else { 0 };
        let own_room = self.source.is_some() && self.free_slots() > 0;
        let own = own_room.then(|| self.own_record(ctx));
        let stream = self.id;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        let there = tracking.siblings.get(to).map(|sibling| sibling.news.node.coord);
        let spare = tracking.tracker.spare(&there.unwrap_or(ctx.coord), MAX_SPARE);
        let message = SiblingNews {
            stream,
            appointment: tracking.appointment.clone(),
            me: tracking.node(ctx),
            members: u32::try_from(tracking.tracker.members()).unwrap_or(u32::MAX),
            short: tracking.tracker.short(own_slots),
            spare: own.into_iter().chain(spare).take(MAX_SPARE).collect(),
            siblings: tracking.nearest(ctx),
            answer,
        };
        tracking.siblings.told(ctx.now, to);
        ctx.send(to, message);
    }

    /// Another tracker says what there is.
    pub(crate) fn on_sibling_news(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: SiblingNews) {
        let me = ctx.config.peer;
        let id = self.id;
        let Some(tracking) = &mut self.tracking else {
            // It was told that there is no tracker here any more, or never asked.
            return;
        };
        let shown = tracking.papers.get(&from) == Some(&message.appointment);
        if !shown && Appointment::open(&message.appointment, id, from).is_err() {
            return ctx.penalise(from, Offence::WrongSignature);
        }
        let root = tracking.peercaster.as_ref().map(|node| node.peer);
        let news = News {
            node: as_seen(ctx, from, message.me),
            members: message.members,
            short: message.short,
        };
        tracking.papers.insert(from, message.appointment);
        tracking.siblings.hear(ctx.now, &ctx.coord, root, news);
        tracking.siblings.hear_of(ctx.now, me, &message.siblings);
        if tracking.siblings.get(from).is_some() {
            let spare: Vec<_> = message
                .spare
                .into_iter()
                .filter(|record| record.peer != me)
                .collect();
            tracking.tracker.set_abroad(from, &spare);
        }
        for peer in tracking.strangers() {
            tracking.forget_sibling(peer);
        }
        let told = tracking.siblings.told_at(from);
        if message.answer && told.is_none_or(|at| ctx.now.since(at) > TOLD_LATELY) {
            self.send_news(ctx, from, false);
        }
        self.give_back(ctx, from);
    }

    /// Whoever this node stood in for is a tracker again: it gets its members back.
    fn give_back(&mut self, ctx: &mut Ctx<'_>, to: PeerId) {
        let acting = self
            .tracking
            .as_ref()
            .and_then(|tracking| tracking.acting_for.as_ref());
        if acting.is_some_and(|node| node.peer == to) {
            self.begin_merge(ctx, Some(to));
        }
    }
}

/// A connected peer as it says of itself, with the addresses where this node has seen it: its own may be those of no
/// particular interface.
pub(super) fn as_seen(ctx: &Ctx<'_>, peer: PeerId, node: RingNode) -> RingNode {
    let seen = ctx.neighbours.get(&peer).map(|neighbour| &neighbour.listen);
    let addrs = match seen.filter(|listen| !listen.is_empty()) {
        Some(listen) => listen.iter().copied().collect(),
        None => node.addrs,
    };
    RingNode { peer, addrs, ..node }
}

impl super::tracking::Tracking {
    /// Those whose appointment is kept, but who are siblings no more.
    fn strangers(&self) -> Vec<PeerId> {
        let all = self.papers.keys().copied();
        all.filter(|peer| self.siblings.get(*peer).is_none()).collect()
    }

    /// Another tracker is none any more, or too far to matter.
    pub(super) fn forget_sibling(&mut self, peer: PeerId) {
        self.siblings.remove(peer);
        self.papers.remove(&peer);
        self.tracker.set_abroad(peer, &[]);
    }
}
