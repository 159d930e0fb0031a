//! When each node is to be called.

use super::actor::Actor;
use super::world::{Event, World};
use crate::audit::What;
use crate::baseline::Happening;
use crate::time::SimTime;

/// A node that wants to be called again at once so often in a row is stuck.
const MOST_SPINS: u32 = 10_000;

/// One peer's alarm. All lie side by side, and not with each peer's much larger state: every third timer only finds that the node's
/// deadline has moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    /// The one live timer event; far in the future if there is none.
    timer: SimTime,
    /// When the node is to be called, as it said last: not before the timer, which is not moved when there is more time. Far in the
    /// future if there is no node.
    due: SimTime,
    spins: u32,
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm {
            timer: SimTime(u64::MAX),
            due: SimTime(u64::MAX),
            spins: 0,
        }
    }
}

impl Alarm {
    /// The node is gone.
    pub(super) fn end(&mut self) {
        self.due = SimTime(u64::MAX);
    }
}

impl World {
    /// A timer has come.
    pub(super) fn timer(&mut self, number: u32) {
        let alarm = &mut self.alarms[number as usize];
        if alarm.timer != self.now {
            return;
        }
        alarm.timer = SimTime(u64::MAX);
        if alarm.due > self.now {
            if alarm.due.0 < u64::MAX {
                alarm.timer = alarm.due;
                self.queue.push(alarm.due, Event::Timer(number));
            }
            return;
        }
        self.tell_sent(number);
        let peer = &mut self.peers[number as usize];
        match &mut peer.node {
            Some(Actor::Node(node)) => node.handle_deadline(peer.clock.read(self.now), &mut self.outbox),
            _ => self.happen(number, Happening::Due),
        }
        self.fold(What::Timer, number, 0);
        self.drain(number);
        self.set_timer(number, true);
        if self.alarms[number as usize].spins > MOST_SPINS {
            self.violate(number, format!("its deadline stays due after {MOST_SPINS} calls"));
        }
    }

    /// Does what is in the outbox and sets the timer.
    pub(super) fn settle(&mut self, number: u32) {
        self.drain(number);
        self.set_timer(number, false);
    }

    /// Asks the node when it wants to be called; `called` = it was, just now.
    fn set_timer(&mut self, number: u32, called: bool) {
        let peer = &self.peers[number as usize];
        let due = match &peer.node {
            Some(Actor::Node(node)) => node.next_deadline().map(|deadline| peer.clock.when(deadline)),
            Some(Actor::Baseline(peer)) => peer.due(),
            None => None,
        };
        let alarm = &mut self.alarms[number as usize];
        let Some(due) = due else {
            alarm.due = SimTime(u64::MAX);
            return;
        };
        alarm.due = due.max(self.now);
        if called {
            alarm.spins = if alarm.due == self.now { alarm.spins + 1 } else { 0 };
        }
        if alarm.spins > 0 {
            // Still due after it was handled: time must go on all the same.
            alarm.due = alarm.due.max(self.now.plus(1000));
        }
        if alarm.due < alarm.timer {
            alarm.timer = alarm.due;
            self.queue.push(alarm.due, Event::Timer(number));
        }
    }
}
