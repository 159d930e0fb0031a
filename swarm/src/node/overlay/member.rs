//! Who becomes a member of the ring, and when.
//!
//! A member should stay, be reachable, and have an uplink on which the ring's upkeep is nothing. The first peercaster starts the
//! ring, because nobody else is there; whoever has a tracker that others look for comes at once.

use std::net::SocketAddr;
use std::time::Duration;

use coords::coord::distance_ms;
use wire::message::{RingNode, Role};
use wire::{Bitrate, Time};

use super::{Node, Purpose};
use crate::io::{Event, Outbox, Output};
use crate::node::Ctx;
use crate::stats::MAX_AUDIENCE;
use crate::stream::Stream;
use crate::uplink::DIAL_BYTES;

/// An uplink bears membership from here on: the ring's messages, and what keeps some forty connections alive, are 50 kbit/s at
/// most, which is 2.5 % of this.
const MEMBER_UPLOAD: Bitrate = Bitrate::from_kbps(2_000);

/// Who wants to become a member and is none after so long tries another way in.
const ENTER_AGAIN: Duration = Duration::from_secs(5);

/// Without an answer at the addresses that were to lead into the overlay for so long, a peercaster starts a ring of its own: its
/// viewers need one. Rings that hear of one another later become one.
const ALONE_AFTER: Duration = Duration::from_secs(10);

/// The first wait before those addresses are dialled again; it doubles up to the longest. Whoever has started a ring of its own
/// goes on: the others may come later.
const VIA_AGAIN: Duration = Duration::from_secs(2);
const VIA_AGAIN_MAX: Duration = Duration::from_secs(60);

/// A node that is no member asks this often who is near it: those it knew may have gone.
const NEAR_AGAIN: Duration = Duration::from_secs(60);

/// The same until it was answered once.
const NEAR_AT_FIRST: Duration = Duration::from_secs(5);

/// Members near here that are remembered: one answer names no more than 17, and the nearest are enough.
const MAX_NEAR: usize = 12;

/// A member moves along the ring when its published coordinate is so far from its place, in milliseconds: moving costs messages
/// at a dozen members, and who is off by less still finds the nearest tracker.
const MOVE_MS: f64 = 10.0;

/// It stays so long before it moves first, and after each move three times as long, up to the longest: a young coordinate is soon a
/// better one, and each move costs its neighbours messages (docs/results/doat.md).
const MOVE_AFTER: Duration = Duration::from_secs(5);
const MOVE_AFTER_MAX: Duration = Duration::from_secs(600);

/// What decides about membership.
#[derive(Debug)]
pub(super) struct Standing {
    began: Time,
    /// Somebody whom this node did not dial has connected to it.
    reached: bool,
    /// When it last tried to enter.
    entered_at: Option<Time>,
    next_via: Time,
    via_wait: Duration,
    /// Since when nobody answers who could lead into the overlay, and whether that was told.
    nobody_since: Time,
    told_no_way: bool,
    /// It has started a ring because nobody answered, and nobody has until now: there may be another one.
    apart: bool,
    next_near: Time,
    moved_at: Time,
    stays: Duration,
    /// The node shuts down.
    over: bool,
}

impl Standing {
    pub(super) fn new(now: Time) -> Self {
        Standing {
            began: now,
            reached: false,
            entered_at: None,
            next_via: now,
            via_wait: VIA_AGAIN,
            nobody_since: now,
            told_no_way: false,
            apart: false,
            next_near: now,
            moved_at: now,
            stays: MOVE_AFTER,
            over: false,
        }
    }

    /// Somebody is there who may lead into the overlay. Should it go, the search begins anew.
    fn has_way_in(&mut self, now: Time) {
        self.nobody_since = now;
        self.told_no_way = false;
        self.via_wait = VIA_AGAIN;
    }
}

impl Node {
    /// Somebody whom this node did not dial has proved to be here.
    pub(in crate::node) fn on_reached(&mut self) {
        self.overlay.standing.reached = true;
    }

    /// There are addresses that lead into the overlay.
    pub(in crate::node) fn enter_overlay(&mut self, now: Time, via: Vec<SocketAddr>) {
        self.overlay.via = via;
        self.overlay.next_tick = now;
        self.overlay.standing.next_via = now;
        self.overlay.standing.began = now;
        self.overlay.standing.nobody_since = now;
    }

    /// This peercaster is back, and calls those whom it supplied before. Unless it was told of others they are its ways in, too.
    pub(in crate::node) fn recall(&mut self, now: Time, audience: &[RingNode], out: &mut Outbox) {
        let audience = &audience[..audience.len().min(MAX_AUDIENCE)];
        if self.overlay.via.is_empty() {
            let addrs = audience.iter().flat_map(|node| node.addrs.iter().copied());
            self.enter_overlay(now, addrs.collect());
            // They are being dialled.
            self.overlay.standing.next_via = now + VIA_AGAIN;
        }
        let mut ctx = ctx!(self, now, out);
        for node in audience {
            // Who hears something with the first packet can ask for its substreams a round trip sooner.
            let hello = ctx.first_ping().into();
            ctx.dial(Some(node.peer), node.addrs.to_vec(), vec![hello]);
        }
    }

    /// The node shuts down: leases end, and neighbours on the ring close the gap.
    pub(in crate::node) fn leave_overlay(&mut self, now: Time, out: &mut Outbox) {
        self.overlay.standing.over = true;
        self.end_leases(now, out);
        if self.overlay.doat.is_member() {
            self.overlay.doat.leave(&mut self.overlay.out);
        }
        self.do_ring_outputs(now, out);
    }

    /// Becomes a member when it is time to, and looks for ways in as long as there is none.
    pub(super) fn see_to_membership(&mut self, now: Time, out: &mut Outbox) {
        if self.overlay.standing.over {
            return;
        }
        if self.overlay.doat.is_member() {
            self.look_for_other_ring(now, out);
            return self.follow_coordinate(now);
        }
        self.dial_ways_in(now, out);
        let tried = self.overlay.standing.entered_at;
        if self.wants_to_be_member(now) && tried.is_none_or(|at| now.since(at) >= ENTER_AGAIN) {
            self.enter(now, out);
        }
        let entering = self.overlay.standing.entered_at.is_some();
        if self.located && !entering && self.overlay.standing.next_near <= now {
            self.overlay.standing.next_near = now + NEAR_AT_FIRST;
            self.stand_here(now);
            self.look_around(now);
        }
    }

    fn wants_to_be_member(&self, now: Time) -> bool {
        if self.config.listen.is_empty() {
            return false;
        }
        if self.streams.iter().any(|stream| stream.tracks()) {
            return true;
        }
        let standing = &self.overlay.standing;
        let long_enough = |after: Duration| now.since(standing.began) >= after;
        // Whoever gives nothing to a stream wants to give nothing here.
        let passive = |stream: &Stream| stream.role == Role::Passive;
        standing.reached
            && !self.streams.iter().any(passive)
            && self.config.ring_after.is_some_and(long_enough)
            && self.uplink.rate() >= MEMBER_UPLOAD
    }

    /// Enters the ring by the best way that is known, or starts one.
    fn enter(&mut self, now: Time, out: &mut Outbox) {
        let via = self.way_in();
        // A peercaster that nobody told of an overlay is the first of one.
        let first = self.streams.iter().all(|stream| stream.source.is_some())
            && (self.overlay.via.is_empty() || now.since(self.overlay.standing.began) >= ALONE_AFTER);
        if self.overlay.standing.entered_at.is_none() {
            self.stand_here(now);
        }
        match via {
            _ if first && self.overlay.near.is_empty() => {
                self.overlay.doat.start(now);
                self.overlay.standing.apart = !self.overlay.via.is_empty();
                self.overlay.leases.place_all_anew();
                out.push(Output::Event(Event::Entered));
            }
            // Without a coordinate it would come to the wrong place.
            Some(via) if self.located => {
                self.overlay.doat.join(now, via, &mut self.overlay.out);
            }
            _ => return,
        }
        self.overlay.standing.entered_at = Some(now);
        self.overlay.standing.moved_at = now;
    }

    /// A node to enter by: a member that is near, or else any neighbour, who knows one.
    fn way_in(&self) -> Option<RingNode> {
        if let Some(near) = self.overlay.near.first() {
            return Some(near.clone());
        }
        let (peer, neighbour) = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| !neighbour.listen.is_empty())
            .min_by_key(|(peer, neighbour)| (!neighbour.dialled, neighbour.rtt(), **peer))?;
        let addrs = neighbour.listen.iter().copied().collect();
        Some(RingNode::new(*peer, &neighbour.coord, addrs))
    }

    /// Dials the addresses that are to lead into the overlay, until something does.
    fn dial_ways_in(&mut self, now: Time, out: &mut Outbox) {
        // Whoever joins a stream dials for itself, and these when its link leads nowhere.
        let joins = self.streams.iter().any(|stream| stream.source.is_none());
        // Who came by itself, be it a viewer within the first moments, need not know any more than this node does.
        let connected = self.neighbours.iter().any(|(_, neighbour)| neighbour.dialled);
        if joins || connected {
            self.overlay.standing.has_way_in(now);
        } else {
            self.dial_via(now, out);
        }
    }

    /// In a ring of its own it goes on to dial the addresses that were to lead to others, whoever else has come to it since.
    fn look_for_other_ring(&mut self, now: Time, out: &mut Outbox) {
        if !self.overlay.standing.apart {
            return;
        }
        let via = &self.overlay.via;
        let mut neighbours = self.neighbours.iter();
        let there = neighbours.find(|(_, neighbour)| via.contains(&neighbour.addr));
        let met =
            there.map(|(peer, there)| RingNode::new(*peer, &there.coord, [there.addr].into_iter().collect()));
        drop(neighbours);
        let Some(met) = met else {
            return self.dial_via(now, out);
        };
        self.overlay.standing.apart = false;
        self.overlay.doat.meet(now, &met, &mut self.overlay.out);
    }

    /// Dials them if it is time to, and says so once when nobody has answered for long.
    fn dial_via(&mut self, now: Time, out: &mut Outbox) {
        let standing = &mut self.overlay.standing;
        if self.overlay.via.is_empty() {
            return;
        }
        if now.since(standing.nobody_since) >= ALONE_AFTER
            && !std::mem::replace(&mut standing.told_no_way, true)
        {
            out.push(Output::Event(Event::NoWayIn));
        }
        if standing.next_via > now {
            return;
        }
        standing.next_via = now + standing.via_wait;
        standing.via_wait = (standing.via_wait * 2).min(VIA_AGAIN_MAX);
        self.uplink.book_unpaced(now, DIAL_BYTES);
        out.push(Output::Connect {
            peer: None,
            addrs: self.overlay.via.clone(),
            opening: Vec::new(),
        });
    }

    /// Asks who is near here.
    fn look_around(&mut self, now: Time) {
        let position = coords::hcurve::position_of(&self.vivaldi.published());
        let query = self.overlay.doat.seek(now, position, &mut self.overlay.out);
        self.overlay.seeks.insert(query, (Purpose::Near, now));
    }

    /// Who is near here, as a member says.
    pub(super) fn on_near(&mut self, now: Time, nodes: Vec<RingNode>, out: &mut Outbox) {
        let (me, here) = (self.config.peer, self.vivaldi.coord());
        let mut near: Vec<RingNode> = nodes.into_iter().filter(|node| node.peer != me).collect();
        if near.is_empty() {
            return;
        }
        let away = |node: &RingNode| distance_ms(&here, &node.coord);
        near.sort_by(|a, b| away(a).total_cmp(&away(b)).then(a.peer.cmp(&b.peer)));
        near.truncate(MAX_NEAR);
        // The nearest last: the last that is heard of is asked first.
        for node in near.iter().rev() {
            self.overlay.doat.know(node);
        }
        let first = self.overlay.near.is_empty();
        self.overlay.near = near;
        self.overlay.standing.next_near = now + NEAR_AGAIN;
        if first {
            self.renew_leases(now, out);
        }
    }

    /// Moves along the ring when this node's place in the delay space has changed for good.
    fn follow_coordinate(&mut self, now: Time) {
        let (here, place) = (self.vivaldi.published(), self.overlay.doat.me().coord);
        // Heights do not matter on the ring.
        let moved = distance_ms(&here, &place) - here.height_ms - place.height_ms;
        let standing = &mut self.overlay.standing;
        if moved < MOVE_MS || now.since(standing.moved_at) < standing.stays {
            return;
        }
        standing.moved_at = now;
        standing.stays = (standing.stays * 3).min(MOVE_AFTER_MAX);
        self.stand_here(now);
        self.overlay.leases.place_all_anew();
    }

    /// Tells the ring where this node is.
    fn stand_here(&mut self, now: Time) {
        let addrs = self.config.listen.iter().copied().collect();
        let me = RingNode::new(self.config.peer, &self.vivaldi.published(), addrs);
        self.overlay.doat.move_to(now, me, &mut self.overlay.out);
    }
}
