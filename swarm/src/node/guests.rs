//! Newcomers whose word this node passes on, from whoever they asked first to a tracker of the stream.

use incentives::Offence;
use wire::message::{Guest, Join, JoinRefused, RefuseReason};
use wire::{List, PeerId, Time};

use super::{Ctx, Node};
use crate::io::Outbox;

/// Words passed on for one neighbour: a newcomer joins few streams at once, and asks again by way of another when it has to.
pub(crate) const MAX_GUESTS_OF_ONE: u8 = 16;

impl Node {
    /// A newcomer's word, from itself or passed on.
    pub(super) fn on_guest(&mut self, now: Time, from: PeerId, guest: Guest, out: &mut Outbox) {
        let Ok(join) = guest.open() else {
            return self.penalise(now, from, Offence::WrongSignature);
        };
        if from == guest.peer {
            return self.receive_guest(now, guest, join, out);
        }
        let id = join.stream;
        with_stream!(self, now, out, &id, |stream, ctx| stream
            .call_guest(ctx, &guest, join));
    }

    /// A newcomer asks this node, whoever it is: a tracker answers, and others see to it that one does.
    fn receive_guest(&mut self, now: Time, guest: Guest, join: Join, out: &mut Outbox) {
        let (peer, id) = (guest.peer, join.stream);
        let stream = self.streams.get_mut(&id);
        let (answered_here, tracker) = stream.map_or((false, None), |s| (s.tracks(), s.whom_to_ask()));
        self.on_join(now, peer, join, out);
        let Some(neighbour) = self.neighbours.get_mut(&peer) else {
            return;
        };
        if answered_here || neighbour.guests >= MAX_GUESTS_OF_ONE {
            return;
        }
        neighbour.guests += 1;
        let guest = Guest {
            addrs: neighbour.listen.iter().copied().collect(),
            ..guest
        };
        if guest.addrs.is_empty() {
            // Nobody could call it.
            return;
        }
        match tracker {
            Some(tracker) => self.neighbours.send(now, &mut self.uplink, out, tracker, guest),
            None => self.introduce(now, id, Box::new(guest), out),
        }
    }

    /// Somebody registers for a stream.
    pub(super) fn on_join(&mut self, now: Time, from: PeerId, join: Join, out: &mut Outbox) {
        let id = join.stream;
        if self.streams.contains(&id) {
            with_stream!(self, now, out, &id, |stream, ctx| stream.on_join(ctx, from, join));
            return;
        }
        let refused = JoinRefused {
            stream: id,
            reason: RefuseReason::UnknownStream,
            trackers: List::default(),
        };
        self.neighbours.send(now, &mut self.uplink, out, from, refused);
    }
}
