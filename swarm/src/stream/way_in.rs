//! The way to the tracker: whom to dial, where refusals send this node, and how long it waits between attempts.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use wire::PeerId;
use wire::message::{Appointment, JoinAnswer, JoinRefused, RefuseReason, RingNode};

use super::racing::{ANSWER_SLACK, LOOK_UP_PATIENCE};
use super::{Ctx, Membership, Stream};
use crate::io::{Event, Output};

/// The first wait before the tracker is dialled again; it doubles up to [`TRACKER_RETRY_MAX`].
pub(super) const TRACKER_RETRY: Duration = Duration::from_millis(120);
pub(super) const TRACKER_RETRY_MAX: Duration = Duration::from_secs(4);

/// Who has lost its tracker goes back to where it came in only after this time: until then that tracker may be back, or its
/// deputy or a sibling answer. A whole area that went to the peercaster would have to be split off again.
const VIA_AFTER: Duration = Duration::from_secs(6);

/// A newcomer goes where it is sent so often before it begins anew: who it asks first may name a peer whose tracker has moved.
const MOST_SENT_ON: u8 = 4;

/// A dial that has not answered in this time has failed.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// What an answer shows of the right of who answered to be the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It has it, or had it when it answered first.
    Appointed,
    /// Nothing: it takes this node for one that has seen it.
    Nothing,
    /// It has none, or one that the stream's key has not signed.
    Forged,
}

/// Trackers remembered as appointed: one a node was registered with before and may come back to. It has seldom more than two.
const MAX_TRUSTED: usize = 8;

/// The trackers whose appointment was seen. Each shows it once to who is registered there.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    /// The one that answered last at the end.
    peers: Vec<PeerId>,
    /// Who is to show it.
    to_show: Option<PeerId>,
}

impl Trusted {
    /// The tracker that answered last.
    pub(crate) fn last(&self) -> Option<PeerId> {
        self.peers.last().copied()
    }

    fn knows(&self, tracker: PeerId) -> bool {
        self.peers.contains(&tracker)
    }

    /// A tracker answered that has shown its appointment.
    pub(super) fn answered(&mut self, tracker: PeerId) {
        self.to_show = self.to_show.filter(|peer| *peer != tracker);
        self.peers.retain(|peer| *peer != tracker);
        if self.peers.len() >= MAX_TRUSTED {
            self.peers.remove(0);
        }
        self.peers.push(tracker);
    }

    /// A tracker is to show it. Whether it was not asked before.
    fn ask(&mut self, tracker: PeerId) -> bool {
        self.to_show.replace(tracker) != Some(tracker)
    }

    /// Whether a tracker is to show it.
    pub(super) fn is_to_show(&self, tracker: PeerId) -> bool {
        self.to_show == Some(tracker)
    }
}

impl Membership {
    /// Whether this address was to lead to the tracker.
    fn leads_to_tracker(&self, ctx: &Ctx<'_>, addr: SocketAddr) -> bool {
        let before = [self.tracker_addr, self.worked].contains(&Some(addr));
        before || self.via.contains(&addr) || ctx.ways_in.contains(&addr)
    }

    pub(super) fn wait_before_dialling(&mut self, ctx: &mut Ctx<'_>) {
        self.sent_on = 0;
        // Jitter, or everybody would come back to a restarted peercaster in the same moment.
        self.next_dial = ctx.now + self.dial_wait.mul_f64(ctx.rng.random_range(0.5..1.5));
        self.dial_wait = (self.dial_wait * 2).min(TRACKER_RETRY_MAX);
    }
}

impl Stream {
    pub(super) fn dial_tracker(&mut self, ctx: &mut Ctx<'_>) {
        let membership = &self.membership;
        let lost_lately = membership.lost_at.is_some_and(|at| ctx.now.since(at) < VIA_AFTER);
        let mut addrs: Vec<SocketAddr> = match membership.tracker_addr.or(membership.worked) {
            // Its deputy and its siblings know better than whoever the link names.
            Some(addr) if lost_lately => vec![addr],
            // After an answer the way that worked comes first.
            Some(addr) => std::iter::once(addr)
                .chain(membership.via.iter().copied().filter(|&via| via != addr))
                .collect(),
            None => membership.via.clone(),
        };
        self.membership.attempts += 1;
        if !lost_lately && (self.membership.attempts > 1 || addrs.is_empty()) {
            // Where the link leads nobody answers, or nobody knows the tracker: any other node of the overlay may.
            addrs.extend_from_slice(ctx.ways_in);
            self.membership.racing.look_up_at = ctx.now;
        }
        if self.membership.attempts > 1 {
            let attempts = self.membership.attempts - 1;
            ctx.out.push(Output::Event(Event::NoTracker {
                stream: self.id,
                attempts,
            }));
        }
        self.membership.next_dial = ctx.now + DIAL_TIMEOUT;
        let connected: Vec<(PeerId, SocketAddr)> = ctx
            .neighbours
            .iter()
            .filter(|(_, neighbour)| addrs.contains(&neighbour.addr))
            .map(|(peer, neighbour)| (*peer, neighbour.addr))
            .collect();
        addrs.retain(|addr| connected.iter().all(|(_, held)| held != addr));
        // Each in its turn: who has not answered as a tracker need not be one the next time.
        let ways = connected.len() + usize::from(!addrs.is_empty());
        let turn = (self.membership.attempts as usize - 1) % ways.max(1);
        if let Some(&(peer, addr)) = connected.get(turn) {
            // A second handshake would only be refused: it was no tracker when it was asked last, or another stream came first.
            return self.take_for_tracker(ctx, peer, addr, false);
        }
        if addrs.is_empty() {
            return;
        }
        let opening = self.first_words(ctx);
        ctx.dial(None, addrs, opening);
    }

    /// A connection to somebody whom this stream dialled or knows.
    pub(crate) fn on_connected(
        &mut self,
        ctx: &mut Ctx<'_>,
        peer: PeerId,
        addr: SocketAddr,
        dialled: bool,
        opened: bool,
    ) {
        let asked =
            opened && (self.membership.racing.has_asked(&peer) || !self.membership.racing.runs(&peer));
        let wins = self.wins(ctx, peer);
        let leads = self.membership.tracker.is_none()
            && (self.membership.leads_to_tracker(ctx, addr) || self.membership.racing.has_failed(&peer));
        if wins || dialled && leads {
            self.take_for_tracker(ctx, peer, addr, asked);
        }
        self.on_called(ctx, peer, opened);
        self.arrive(ctx, peer);
        self.greet_sibling(ctx, peer);
        self.return_to_source(ctx, peer, addr);
        if let Some(known) = self.membership.known.get(&peer) {
            let record = known.record.clone();
            let state = self.peers.entry(peer).or_default();
            state.record = record;
            state.interested = true;
            self.note_first_asks(ctx, peer, opened);
            self.send_advert(ctx, peer);
            self.seek_parents(ctx);
        }
    }

    /// Somebody is there and lets nobody in now. On the way to the first answer that is worth telling: there is something to wait for.
    pub(crate) fn on_turned_away(&self, ctx: &mut Ctx<'_>, peer: Option<PeerId>, addr: Option<SocketAddr>) {
        let membership = &self.membership;
        let raced = peer.is_some_and(|peer| membership.racing.runs(&peer));
        let ours = addr.is_some_and(|addr| membership.leads_to_tracker(ctx, addr));
        if self.source.is_none() && !membership.answered && (raced || ours) {
            ctx.out.push(Output::Event(Event::TurnedAway { stream: self.id }));
        }
    }

    /// A dial failed.
    pub(crate) fn on_dial_failed(
        &mut self,
        ctx: &mut Ctx<'_>,
        peer: Option<PeerId>,
        addr: Option<SocketAddr>,
    ) {
        if let Some(peer) = peer {
            self.on_call_failed(ctx.now, peer);
        }
        if self.source.is_some() {
            return;
        }
        let raced = peer.is_some_and(|peer| self.membership.racing.runs(&peer));
        let ours = addr.is_none_or(|addr| self.membership.leads_to_tracker(ctx, addr));
        if let Some(peer) = peer.filter(|_| raced) {
            self.membership.racing.drop_out(&peer);
            self.race(ctx);
        }
        let lost = self.membership.tracker.is_none() && !self.membership.racing.is_on();
        if lost && (ours || raced) {
            self.membership.wait_before_dialling(ctx);
        }
    }

    /// The tracker refused.
    pub(crate) fn on_join_refused(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: JoinRefused) {
        if self.membership.tracker != Some(from) {
            return;
        }
        self.membership.next_refresh = ctx.now + Duration::from_secs(1);
        if message.reason == RefuseReason::UnknownStream {
            self.leave_tracker(ctx, &message.trackers);
        }
    }

    /// Whether the stream's key says that who answered may be its tracker: now, or when it answered first.
    pub(super) fn shown(&self, ctx: &Ctx<'_>, from: PeerId, answer: &JoinAnswer) -> Shown {
        let is_appointed = |signed| Appointment::open(signed, self.id, from).is_ok();
        let member = self.info.is_some() && answer.info.is_none();
        match &answer.appointment {
            Some(signed) if is_appointed(signed) => Shown::Appointed,
            Some(_) => Shown::Forged,
            None if from == ctx.config.peer => Shown::Appointed,
            None if member && self.membership.trusted.knows(from) => Shown::Appointed,
            None if member => Shown::Nothing,
            // A newcomer is always shown it.
            None => Shown::Forged,
        }
    }

    /// A tracker answered as one that has shown its appointment, and it was not seen: the answer was lost with the connection, or
    /// this was long ago. To who knows nothing yet it is shown anew.
    pub(super) fn ask_to_be_shown(&mut self, ctx: &mut Ctx<'_>, tracker: PeerId) {
        if self.membership.trusted.ask(tracker) {
            self.ask_to_register(ctx, tracker);
        }
    }

    /// Who was taken for the tracker is none: goes to who is said to be one, to who else is in the race, or dials again later.
    pub(super) fn leave_tracker(&mut self, ctx: &mut Ctx<'_>, instead: &[RingNode]) {
        if let Some(peer) = self.membership.tracker.take() {
            self.membership.racing.drop_out(&peer);
        }
        self.membership.tracker_addr = None;
        self.follow(ctx, instead);
        if self.take_arrived(ctx) {
            return;
        }
        self.race(ctx);
        if self.membership.tracker.is_some() || self.membership.racing.is_on() {
            return;
        }
        if self.membership.racing.looking {
            self.membership.next_dial = ctx.now + LOOK_UP_PATIENCE;
        } else {
            self.membership.wait_before_dialling(ctx);
        }
    }

    /// Hears of trackers from somebody who is none. Those who send one another's guests in circles are not believed for long.
    fn follow(&mut self, ctx: &Ctx<'_>, trackers: &[RingNode]) {
        if self.membership.sent_on >= MOST_SENT_ON || trackers.is_empty() {
            return;
        }
        self.membership.sent_on += 1;
        for node in trackers {
            self.membership.racing.hear_of(ctx, node);
        }
    }

    /// Asks somebody to be the tracker, as soon as there is a connection.
    pub(super) fn go_to(&mut self, ctx: &mut Ctx<'_>, tracker: &RingNode) {
        if tracker.peer != ctx.config.peer {
            self.enter_race(ctx, tracker);
        }
    }

    /// Asks a peer that is to be the tracker, unless it was `asked` when it was dialled; if it is not it says so, and perhaps who is.
    pub(super) fn take_for_tracker(
        &mut self,
        ctx: &mut Ctx<'_>,
        peer: PeerId,
        addr: SocketAddr,
        asked: bool,
    ) {
        self.register_with(ctx, peer, Some(addr));
        if !self.membership.answered && self.membership.racing.knows_nobody() {
            // If it is none, the overlay's table is asked in the same flight; but who was asked with the first packet has passed the
            // question on by now, and most often answered it.
            self.membership.racing.look_up_at = if asked { ctx.now + ANSWER_SLACK } else { ctx.now };
        }
        self.return_to_source(ctx, peer, addr);
        if asked {
            // The answer comes along with the handshake, or nearly.
            self.membership.next_refresh = ctx.now + ANSWER_SLACK;
        } else {
            self.send_join(ctx);
        }
    }
}

#[cfg(test)]
#[path = "way_in_tests.rs"]
mod tests;
