//! Calls: a newcomer's word comes to the tracker by way of others, and the tracker calls the newcomer, with its answer in the first
//! packet. So a newcomer that knows any one node has the answer after three one-way delays: to that node, from there to the
//! tracker, and back. Whoever cannot be called comes by itself (`way_in.rs`).

use std::time::Duration;

use wire::message::{Guest, Join, JoinAnswer, Role};
use wire::{PeerId, PeerMap, Time};

use super::{Ctx, Stream};
use crate::allowance::{Allowance, Used};
use crate::io::{Event, Output};
use crate::uplink::DIAL_BYTES;

/// Calls a second in the long run, and at once. A guest's addresses are not proved: whoever makes them up has this node send a
/// first packet there, which is so little traffic that there is no point. In a crowd newcomers beyond that come by themselves.
const CALLS: Allowance = Allowance {
    every: Duration::from_millis(50),
    at_once: 32,
};

/// Peers named in a call, so that it fits in two packets: a record takes some 100 bytes.
const WANT_IN_A_CALL: u8 = 6;

/// A call that nobody has taken by then is over.
const CALL_PATIENCE: Duration = Duration::from_secs(3);

/// The calls of a tracker.
#[derive(Debug, Default)]
pub(super) struct Calls {
    used: Used,
    /// Under way: what is to be said if it could not go along with the first packet, and since when.
    open: PeerMap<(Time, Box<JoinAnswer>)>,
}

impl Calls {
    /// Forgets the calls that nobody took.
    pub(super) fn expire(&mut self, now: Time) {
        self.open
            .retain(|_, (since, _)| now.since(*since) < CALL_PATIENCE);
    }
}

impl Stream {
    /// A newcomer's word came by way of another peer; its signature has been checked.
    pub(crate) fn call_guest(&mut self, ctx: &mut Ctx<'_>, guest: &Guest, mut join: Join) {
        let peer = guest.peer;
        if ctx.neighbours.contains(&peer) {
            // It is here already, and says by itself what it wants.
            return;
        }
        let banned = ctx.standings.is_banned(ctx.now, peer);
        let (Some(tracking), Some(ip)) = (&mut self.tracking, guest.addrs.first().map(|addr| addr.ip()))
        else {
            return;
        };
        let calls = &mut tracking.calls;
        let ready = tracking.area.heir().is_none() && join.record.role != Role::Peercaster;
        if banned || !ready || calls.open.contains_key(&peer) || !calls.used.take(ctx.now, CALLS) {
            return;
        }
        join.want = join.want.min(WANT_IN_A_CALL);
        join.known = None;
        let addrs = guest.addrs.to_vec();
        let Ok(Some(answer)) = self.answer(ctx, peer, (addrs.clone(), ip), join) else {
            return;
        };
        if let Some(tracking) = &mut self.tracking {
            let open = (ctx.now, Box::new(answer.clone()));
            tracking.calls.open.insert(peer, open);
        }
        ctx.dial(Some(peer), addrs, vec![answer.into()]);
    }

    /// A connection stands: whether it was a call. `opened`: the answer went along.
    pub(super) fn on_called(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, opened: bool) {
        let calls = self.tracking.as_mut().map(|tracking| &mut tracking.calls);
        if let Some((_, answer)) = calls.and_then(|calls| calls.open.remove(&peer))
            && !opened
        {
            ctx.send(peer, *answer);
        }
    }

    /// Nobody can be reached where a newcomer was called. Until it comes by itself it should not be named to others.
    pub(super) fn on_call_failed(&mut self, now: Time, peer: PeerId) {
        if let Some(tracking) = &mut self.tracking
            && tracking.calls.open.remove(&peer).is_some()
        {
            tracking.tracker.leave(now, peer);
        }
    }

    /// Whether an answer is that of a tracker which calls this node, that has none yet. It becomes this node's tracker.
    pub(super) fn is_call(&self, from: PeerId, answer: &JoinAnswer) -> bool {
        let membership = &self.membership;
        !membership.answered && membership.tracker != Some(from) && answer.appointment.is_some()
    }

    /// Whether a tracker called before this node's own look-up had its answer.
    pub(crate) fn was_called(&self) -> bool {
        self.membership.called
    }

    /// Takes a tracker that called for this node's own.
    pub(super) fn take_call(&mut self, ctx: &mut Ctx<'_>, from: PeerId) {
        let addr = ctx.neighbours.get(&from).map(|neighbour| neighbour.addr);
        self.register_with(ctx, from, addr);
        if !self.membership.racing.knows_nobody() {
            // This node's own look-up has named trackers before.
            return;
        }
        self.membership.called = true;
        // It has come by way of the overlay's table, or of somebody who knew it.
        ctx.out.push(Output::Event(Event::LookedUp {
            stream: self.id,
            hops: 0,
        }));
    }
}

impl Ctx<'_> {
    /// Dials somebody, with this to be said along with the first packet if it can be.
    pub(crate) fn dial(
        &mut self,
        peer: Option<PeerId>,
        addrs: Vec<std::net::SocketAddr>,
        opening: Vec<wire::Message>,
    ) {
        self.uplink.book_unpaced(self.now, DIAL_BYTES);
        self.out.push(Output::Connect { peer, addrs, opening });
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
