//! The race for a tracker: those that a look-up or a refusal named are dialled a few at a time, and who answers first is asked.

use std::time::Duration;

use coords::coord::distance_ms;
use wire::PeerId;
use wire::message::{RingNode, TrackerLease};

use super::way_in::DIAL_TIMEOUT;
use super::{Ctx, Stream};
use crate::io::Output;
use crate::uplink::DIAL_BYTES;
use wire::Time;

/// Trackers dialled at once: coordinates say which are near, and real round trips which of those is nearest.
const AT_ONCE: usize = 3;

/// Most trackers considered: two answers with a tracker and its siblings each.
const MAX_CANDIDATES: usize = 2 * wire::message::MAX_TRACKERS;

/// A look-up that is under way is waited for so long before the link's own addresses are dialled again.
pub(super) const LOOK_UP_PATIENCE: Duration = Duration::from_millis(1_500);

/// What a look-up in the overlay's table came to in one direction.
#[derive(Debug)]
pub(crate) struct Found {
    /// The tracker's word, which the stream's key allows it to give; checked.
    pub(crate) lease: Option<Box<TrackerLease>>,
    /// Both directions have answered.
    pub(crate) over: bool,
}

/// Who may be a tracker.
#[derive(Debug)]
pub(super) struct Race {
    /// Not dialled yet, in the order in which they were heard of.
    open: Vec<RingNode>,
    /// Dialled, and not known to have failed.
    dialled: Vec<PeerId>,
    /// When the overlay is to be asked; [`Time::NEVER`] if not at all.
    pub(super) look_up_at: Time,
    /// It was asked, and has not answered.
    pub(super) looking: bool,
}

impl Race {
    pub(super) fn new() -> Self {
        Race {
            open: Vec::new(),
            dialled: Vec::new(),
            look_up_at: Time::NEVER,
            looking: false,
        }
    }

    /// Takes part from now on.
    pub(super) fn hear_of(&mut self, node: &RingNode) {
        let known = self.dialled.contains(&node.peer) || self.open.iter().any(|open| open.peer == node.peer);
        if !known && !node.addrs.is_empty() && self.open.len() < MAX_CANDIDATES {
            self.open.push(node.clone());
        }
    }

    /// Whether a connection to this peer is what the race is about.
    pub(super) fn runs(&self, peer: &PeerId) -> bool {
        self.dialled.contains(peer)
    }

    /// A dial failed, or who was dialled is no tracker.
    pub(super) fn drop_out(&mut self, peer: &PeerId) {
        self.dialled.retain(|dialled| dialled != peer);
    }

    /// Somebody is being dialled.
    pub(super) fn is_on(&self) -> bool {
        !self.dialled.is_empty()
    }

    /// There is a tracker.
    pub(super) fn end(&mut self) {
        self.open.clear();
        self.dialled.clear();
        self.look_up_at = Time::NEVER;
    }
}

impl Stream {
    /// Whether the overlay is to be asked for trackers now; it is taken to be.
    pub(crate) fn take_look_up(&mut self, now: Time) -> bool {
        let race = &mut self.membership.race;
        let due = race.look_up_at <= now && self.source.is_none() && !self.ended;
        if due {
            race.look_up_at = Time::NEVER;
            race.looking = true;
        }
        due
    }

    /// A direction of a look-up has answered.
    pub(crate) fn on_found(&mut self, ctx: &mut Ctx<'_>, found: Found) {
        let me = ctx.config.peer;
        if found.over {
            self.membership.race.looking = false;
        }
        let Some(lease) = found.lease else {
            return self.look_up_failed(ctx, found.over);
        };
        if lease.stream == self.id && self.membership.tracker.is_none() && self.source.is_none() {
            for node in lease.trackers().filter(|node| node.peer != me) {
                self.membership.race.hear_of(node);
            }
            self.race(ctx);
        }
    }

    fn look_up_failed(&mut self, ctx: &mut Ctx<'_>, over: bool) {
        if over && self.source.is_none() && self.membership.tracker.is_none() && !self.membership.race.is_on()
        {
            self.membership.wait_before_dialling(ctx);
        }
    }

    /// Dials candidates, as many as race at once, the nearest first as far as coordinates tell; one that is connected already
    /// has won.
    pub(super) fn race(&mut self, ctx: &mut Ctx<'_>) {
        if self.membership.tracker.is_some() {
            return;
        }
        let here = ctx.coord;
        let race = &mut self.membership.race;
        let connected = race
            .open
            .iter()
            .position(|node| ctx.neighbours.contains(&node.peer));
        if let Some(at) = connected {
            let peer = race.open.remove(at).peer;
            if let Some(addr) = ctx.neighbours.get(&peer).map(|neighbour| neighbour.addr) {
                return self.take_for_tracker(ctx, peer, addr);
            }
            return;
        }
        if ctx.located {
            let away = |node: &RingNode| distance_ms(&here, &node.coord);
            race.open.sort_by(|a, b| away(a).total_cmp(&away(b)));
        }
        while self.membership.race.dialled.len() < AT_ONCE && !self.membership.race.open.is_empty() {
            let node = self.membership.race.open.remove(0);
            if ctx.standings.is_banned(ctx.now, node.peer) {
                continue;
            }
            self.membership.race.dialled.push(node.peer);
            self.membership.next_dial = ctx.now + DIAL_TIMEOUT;
            ctx.uplink.book_unpaced(ctx.now, DIAL_BYTES);
            ctx.out.push(Output::Connect {
                peer: Some(node.peer),
                addrs: node.addrs.to_vec(),
            });
        }
    }

    /// Whether this stream has or is about to have anything to do with a peer.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.membership.tracker == Some(*peer)
            || self.peers.contains_key(peer)
            || self.membership.race.runs(peer)
            || self.membership.moving.leads_to(*peer)
            || self.is_overseen(*peer)
            || self.keeps_for(*peer)
    }
}
