//! A member's way from one tracker to another: told to go, or because its own is gone.
//!
//! Neighbours and suppliers stay as they are. Only where this node is registered changes.

use std::time::Duration;

use incentives::Offence;
use rand::RngExt;
use wire::message::{Appointment, Moved, RingNode, TrackerIs};
use wire::{PeerId, Time};

use super::deputy::GRACE;
use super::{Ctx, Stream};

/// Those who are told at the same time register over this time.
const MOVE_WITHIN: Duration = Duration::from_secs(2);

/// A tracker that has not answered by then is not gone to.
const MOVE_PATIENCE: Duration = Duration::from_secs(5);

/// What a former tracker promised or said on the way still counts for so long.
const FORMER_FOR: Duration = Duration::from_secs(15);

/// Another tracker to turn to is tried after this time: a connection over 250 ms and an answer.
const TURN_EVERY: Duration = Duration::from_millis(1_000);

/// Once all were tried in vain, they are tried again after this time.
const TURN_AGAIN: Duration = Duration::from_secs(3);

/// Trackers that can have been left before one has answered: each is asked only if the one before does not answer.
const MAX_LEFT: usize = 4;

/// A move under way.
#[derive(Debug)]
pub(super) struct Move {
    to: RingNode,
    /// When to register.
    at: Time,
    asked: bool,
    until: Time,
}

/// Where a member is on its way between trackers.
#[derive(Debug, Default)]
pub(super) struct Moving {
    under_way: Option<Move>,
    /// The tracker before this one, and until when it counts.
    former: Option<(PeerId, Time)>,
    /// The trackers before this one that are to hear so once this one has answered.
    left: Vec<PeerId>,
    /// Who takes over when the tracker is gone, and the stream's other trackers, nearest first.
    deputy: Option<RingNode>,
    siblings: Vec<RingNode>,
    /// Whom else to turn to, the last one first, and when.
    turn_to: Vec<RingNode>,
    next_turn: Time,
}

impl Moving {
    /// Whether a peer is where this node is about to register.
    pub(super) fn leads_to(&self, peer: PeerId) -> bool {
        self.under_way
            .as_ref()
            .is_some_and(|moving| moving.to.peer == peer)
    }

    /// The tracker answered: what it says of others.
    pub(super) fn learn(&mut self, siblings: &[RingNode], deputy: Option<RingNode>) {
        self.deputy = deputy;
        if !siblings.is_empty() {
            self.siblings = siblings.to_vec();
        }
        self.turn_to.clear();
    }

    /// The stream's other trackers, as the tracker named them.
    pub(super) fn siblings(&self) -> Vec<RingNode> {
        self.siblings.clone()
    }

    fn note_left(&mut self, tracker: PeerId) {
        if self.left.len() < MAX_LEFT && !self.left.contains(&tracker) {
            self.left.push(tracker);
        }
    }

    /// The trackers that this node has left and that do not know it yet.
    pub(super) fn take_left(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.left)
    }

    /// Where this node was about to register there is no tracker.
    pub(super) fn give_up(&mut self) {
        self.under_way = None;
    }

    fn former(&self, peer: PeerId, now: Time) -> bool {
        self.former
            .is_some_and(|(former, until)| former == peer && now < until)
    }

    /// The tracker is lost: whom to turn to if it does not come back.
    pub(super) fn on_lost(&mut self, ctx: &mut Ctx<'_>) {
        self.refill();
        self.next_turn = ctx.now + GRACE + TURN_EVERY.mul_f64(ctx.rng.random_range(0.1..1.0));
    }

    fn refill(&mut self) {
        let nodes = self.deputy.iter().chain(&self.siblings);
        self.turn_to = nodes.cloned().collect();
        self.turn_to.reverse();
    }
}

impl Stream {
    /// Whether what this peer says as the tracker counts here: it is this node's, or was until a moment ago, or is about to be.
    pub(super) fn is_my_tracker(&self, peer: PeerId, now: Time) -> bool {
        let moving = &self.membership.moving;
        self.membership.tracker == Some(peer) || moving.former(peer, now) || moving.leads_to(peer)
    }

    /// Somebody says what only this node's tracker may say. It is told that this node is registered elsewhere, which it may not
    /// know; who goes on is shut out.
    pub(super) fn refuse_tracker(&mut self, ctx: &mut Ctx<'_>, from: PeerId) {
        ctx.send(from, Moved { stream: self.id });
        ctx.penalise(from, Offence::Unauthorised);
    }

    /// Registered with another tracker from now on. `at` is its address, if it is another peer.
    pub(super) fn register_with(
        &mut self,
        ctx: &mut Ctx<'_>,
        tracker: PeerId,
        at: Option<std::net::SocketAddr>,
    ) {
        let before = self.membership.tracker.replace(tracker);
        if let Some(before) = before.filter(|before| *before != tracker) {
            self.membership.moving.former = Some((before, ctx.now + FORMER_FOR));
            self.membership.moving.note_left(before);
        }
        self.membership.moving.under_way = None;
        self.membership.tracker_addr = at.or(self.membership.tracker_addr);
        self.membership.next_refresh = ctx.now;
    }

    /// Somebody says who the tracker is now.
    pub(crate) fn on_tracker_is(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: TrackerIs) {
        if let Some(tracking) = &mut self.tracking
            && tracking.siblings.get(from).is_some()
        {
            tracking.forget_sibling(from);
            let nodes = std::slice::from_ref(&message.tracker);
            tracking.siblings.hear_of(ctx.now, ctx.config.peer, nodes);
            return;
        }
        if self.source.is_some() || !self.is_my_tracker(from, ctx.now) {
            return self.refuse_tracker(ctx, from);
        }
        let peer = message.tracker.peer;
        if Appointment::open(&message.appointment, self.id, peer).is_err() {
            return ctx.penalise(from, Offence::WrongSignature);
        }
        if self.membership.tracker != Some(from) {
            // It has crossed this node's own word that it moved.
            return;
        }
        if peer == ctx.config.peer {
            return self.take_over(ctx);
        }
        self.membership.moving.under_way = Some(Move {
            to: message.tracker,
            at: ctx.now + MOVE_WITHIN.mul_f64(ctx.rng.random_range(0.0..1.0)),
            asked: false,
            until: ctx.now + MOVE_WITHIN + MOVE_PATIENCE,
        });
    }

    /// Goes on with a move, or turns to somebody else if the tracker is gone.
    pub(super) fn moving_tick(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now;
        if let Some(under_way) = &mut self.membership.moving.under_way {
            if under_way.until <= now {
                self.membership.moving.under_way = None;
            } else if under_way.at <= now && !under_way.asked {
                under_way.asked = true;
                let to = under_way.to.clone();
                if ctx.neighbours.contains(&to.peer) {
                    self.ask_to_register(ctx, to.peer);
                } else {
                    self.call(ctx, &to);
                }
            }
        }
        if self.membership.tracker.is_none() && self.membership.answered && !self.ended {
            self.turn_elsewhere(ctx);
        }
    }

    /// A connection to where this node is about to register is there.
    pub(super) fn arrive(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        let moving = &self.membership.moving;
        if moving
            .under_way
            .as_ref()
            .is_some_and(|moving| moving.to.peer == peer && moving.asked)
        {
            self.ask_to_register(ctx, peer);
        }
    }

    /// The new tracker answered: this node is registered there.
    pub(super) fn complete_move(&mut self, ctx: &mut Ctx<'_>, to: PeerId) {
        let addr = ctx.neighbours.get(&to).map(|neighbour| neighbour.addr);
        self.register_with(ctx, to, addr);
    }

    /// The tracker has been away for too long: its deputy or a sibling is tried, one after the other.
    fn turn_elsewhere(&mut self, ctx: &mut Ctx<'_>) {
        let moving = &mut self.membership.moving;
        if moving.next_turn > ctx.now {
            return;
        }
        moving.next_turn = ctx.now + TURN_EVERY;
        match moving.turn_to.pop() {
            Some(node) => self.go_to(ctx, &node),
            None => {
                moving.refill();
                moving.next_turn = ctx.now + TURN_AGAIN;
                // Nobody known answers: others may be found in the overlay's table.
                self.membership.racing.look_up_at = ctx.now;
            }
        }
    }
}

#[cfg(test)]
#[path = "moving_tests.rs"]
mod tests;
