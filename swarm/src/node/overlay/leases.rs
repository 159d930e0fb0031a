//! The leases of this node's own trackers: what it says of them in the overlay's table, so that others find them.

use std::time::Duration;

use doat::LEASE;
use wire::message::{Appointment, Lease, RingNode, TrackerLease};
use wire::{Signed, StreamId, Time};

use super::Node;
use crate::io::Outbox;
use crate::stream::TrackerState;

/// A lease is renewed after a third of its time: two renewals may be lost.
const RENEW: Duration = Duration::from_secs(LEASE.as_secs() / 3);

/// Members with which a node that is none itself places its leases: one of them may fail.
const PLACES: usize = 2;

#[derive(Debug)]
struct Placed {
    stream: StreamId,
    appointment: Signed<Appointment>,
    serial: u64,
    /// When it was placed last; `None` if it is to be placed at once.
    at: Option<Time>,
}

/// The leases, one for each stream that this node tracks.
#[derive(Debug, Default)]
pub(super) struct Leases {
    list: Vec<Placed>,
}

impl Leases {
    /// There is a better place for them now.
    pub(super) fn place_all_anew(&mut self) {
        for placed in &mut self.list {
            placed.at = None;
        }
    }

    fn is_due(&self, now: Time, stream: StreamId) -> bool {
        let placed = self.list.iter().find(|placed| placed.stream == stream);
        placed.is_none_or(|placed| placed.at.is_none_or(|at| now.since(at) >= RENEW))
    }

    /// Notes a lease of this appointment; its number.
    fn next(&mut self, now: Time, stream: StreamId, appointment: &Signed<Appointment>) -> u64 {
        // Greater than any before a restart, too, as far as this host's clock goes forward.
        let least = now.as_micros();
        match self.list.iter_mut().find(|placed| placed.stream == stream) {
            Some(placed) => {
                placed.appointment = appointment.clone();
                placed.serial = least.max(placed.serial + 1);
                placed.serial
            }
            None => {
                self.list.push(Placed {
                    stream,
                    appointment: appointment.clone(),
                    serial: least,
                    at: None,
                });
                least
            }
        }
    }

    fn was_placed(&mut self, now: Time, stream: StreamId) {
        for placed in self.list.iter_mut().filter(|placed| placed.stream == stream) {
            placed.at = Some(now);
        }
    }
}

impl Node {
    /// Places what is due, and ends what is over.
    pub(super) fn renew_leases(&mut self, now: Time, out: &mut Outbox) {
        let here = self.vivaldi.coord();
        let due: Vec<(StreamId, TrackerState)> = self
            .streams
            .iter()
            .filter(|stream| self.overlay.leases.is_due(now, stream.id))
            .filter_map(|stream| Some((stream.id, stream.tracker_state(&here)?)))
            .collect();
        for (stream, state) in due {
            if self.place(now, stream, &state, LEASE, out) {
                self.overlay.leases.was_placed(now, stream);
            }
        }
        let over = |placed: &Placed| {
            let mut streams = self.streams.iter();
            !streams.any(|stream| stream.id == placed.stream && stream.tracks())
        };
        let over: Vec<StreamId> = self
            .overlay
            .leases
            .list
            .iter()
            .filter(|placed| over(placed))
            .map(|placed| placed.stream)
            .collect();
        for stream in over {
            self.end_lease(now, stream, out);
        }
    }

    /// A tracker of this node is no more.
    pub(in crate::node) fn end_lease(&mut self, now: Time, stream: StreamId, out: &mut Outbox) {
        let list = &mut self.overlay.leases.list;
        let Some(at) = list.iter().position(|placed| placed.stream == stream) else {
            return;
        };
        let state = TrackerState {
            appointment: list[at].appointment.clone(),
            siblings: Vec::new(),
            members: 0,
            short: 0,
        };
        self.place(now, stream, &state, Duration::ZERO, out);
        self.overlay.leases.list.retain(|placed| placed.stream != stream);
    }

    pub(super) fn end_leases(&mut self, now: Time, out: &mut Outbox) {
        let streams: Vec<StreamId> = self
            .overlay
            .leases
            .list
            .iter()
            .map(|placed| placed.stream)
            .collect();
        for stream in streams {
            self.end_lease(now, stream, out);
        }
    }

    /// Signs a lease and takes it to where it will be found. Whether there is such a place.
    fn place(
        &mut self,
        now: Time,
        stream: StreamId,
        state: &TrackerState,
        ttl: Duration,
        out: &mut Outbox,
    ) -> bool {
        let member = self.overlay.doat.is_member();
        if !member && self.overlay.near.is_empty() {
            return false;
        }
        let addrs = self.config.listen.iter().copied().collect();
        let lease = TrackerLease {
            stream,
            tracker: RingNode::new(self.config.peer, &self.vivaldi.published(), addrs),
            siblings: state.siblings.iter().cloned().collect(),
            serial: self.overlay.leases.next(now, stream, &state.appointment),
            ttl_ms: ttl.as_millis() as u32,
            members: state.members,
            short: state.short,
        };
        let lease = Lease {
            lease: Signed::new(&lease, &self.config.key),
            tracker: self.config.peer,
            appointment: state.appointment.clone(),
        };
        if member {
            // A refusal says that the table here is full; the neighbour's may not be, and a third of the time later both are tried
            // again.
            let _ = self.overlay.doat.place_lease(now, &lease, &mut self.overlay.out);
            self.do_ring_outputs(now, out);
            return true;
        }
        let places: Vec<RingNode> = self.overlay.near.iter().take(PLACES).cloned().collect();
        for node in places {
            self.ring_send(now, node.peer, node.addrs.to_vec(), lease.clone().into(), out);
        }
        true
    }
}
