//! Copies of chunks on their way, and what is sent again of them.

use std::sync::Arc;

use swarm::Class;
use wire::Chunk;

use super::super::fluid::{PACKET_PAYLOAD, ack_bytes, packets};
use super::{Arrival, ConnId, Copy, End, Event, Flow, Phase, wire_bytes};
use crate::time::{MS, SimTime};

/// A packet counts as lost, and what was in it is sent again, so many hundredths of a round trip after it was sent if another one follows
/// at once: QUIC's own 9/8, and what the acknowledgement and the packet itself take.
const NOTICED_AFTER: u64 = 125;

/// After the last packet of a chunk nothing follows at once. It is missed when something is acknowledged that was sent later: the next
/// chunk, or a probe, which QUIC sends after a round trip and this. quinn's probes bring nothing again themselves.
const PROBED_AFTER: u64 = 40 * MS;

/// A copy on its way to an end.
#[derive(Debug)]
pub(crate) struct Flight {
    conn: ConnId,
    to: End,
    hops: u8,
    repair: bool,
    /// The last instant at which sending it is worth anything.
    until: SimTime,
    chunk: Arc<Chunk>,
}

impl Flow {
    /// An open end sends a copy.
    pub(super) fn take_off(&mut self, now: SimTime, conn: ConnId, from: End, copy: Copy) {
        let c = self.conns.get_mut(conn);
        c.sends(from, now);
        let host = &mut self.hosts[c.peer(from) as usize];
        if now.plus(host.uplink.wait_ns(now)) > copy.until {
            self.lost.expired += 1;
            return;
        }
        let bytes = wire_bytes(copy.chunk.frame_len() as u64);
        let left = host.uplink.offer(now, bytes, self.config.queue_ns);
        if self.counting && left.is_some() {
            host.books.media_out += copy.chunk.payload().len() as u64;
            host.books.copies_out += 1;
        }
        let flight = Flight {
            conn,
            to: from.other(),
            hops: copy.hops,
            repair: copy.class != Class::Live,
            until: copy.until,
            chunk: copy.chunk,
        };
        match left {
            Some(left) => self.fly(left, flight),
            // Dropped at the tail of a full queue: all of it is missing.
            None => self.repeat_later(now, flight, bytes, true),
        }
    }

    /// The last byte of a copy, or of what was sent again of it, has left the uplink.
    fn fly(&mut self, left: SimTime, flight: Flight) {
        let fate = self.config.weather.draw();
        if fate.lost {
            let frame = flight.chunk.frame_len() as u64;
            let last = u64::from(fate.part) % packets(frame) == 0;
            return self.repeat_later(left, flight, wire_bytes(PACKET_PAYLOAD.min(frame)), last);
        }
        let c = self.conns.get(flight.conn);
        let at = c.once_open(flight.to, left.plus(c.one_way_ns + fate.jitter_ns));
        let event = Event::Chunk {
            flight,
            landed: false,
        };
        self.later(at, event);
    }

    /// So many bytes of a copy that left at `left` do not arrive, and the sender will notice; `last`: those at its end.
    fn repeat_later(&mut self, left: SimTime, flight: Flight, bytes: u64, last: bool) {
        self.lost.on_the_way += 1;
        let c = self.conns.get(flight.conn);
        let trip = 2 * c.one_way_ns;
        let noticed = if last {
            trip + c.apart_ns(flight.to.other()).min(trip + PROBED_AFTER)
        } else {
            trip * NOTICED_AFTER / 100
        };
        self.later(left.plus(noticed), Event::Repeat { flight, bytes });
    }

    /// What is missing of a copy is sent again, unless that is too late.
    pub(super) fn repeat(&mut self, now: SimTime, flight: Flight, bytes: u64) {
        let c = self.conns.get(flight.conn);
        let from = flight.to.other();
        if c.phase(from) != Phase::Open {
            return;
        }
        let uplink = &mut self.hosts[c.peer(from) as usize].uplink;
        if now.plus(uplink.wait_ns(now)) > flight.until {
            self.lost.expired += 1;
            return;
        }
        match uplink.offer(now, bytes, self.config.queue_ns) {
            Some(left) => self.fly(left, flight),
            None => self.repeat_later(now, flight, bytes, true),
        }
    }

    /// A copy of a chunk is there, before the downlink or behind it.
    pub(super) fn landing(&mut self, now: SimTime, flight: Flight, landed: bool) {
        let c = self.conns.get(flight.conn);
        if c.phase(flight.to) != Phase::Open {
            return;
        }
        let (peer, from) = (c.peer(flight.to), c.peer(flight.to.other()));
        let frame = flight.chunk.frame_len() as u64;
        let host = &mut self.hosts[peer as usize];
        if let Some(downlink) = host.downlink.as_mut().filter(|_| !landed) {
            let bytes = wire_bytes(frame);
            match downlink.offer(now, bytes, self.config.queue_ns) {
                Some(at) => {
                    let landed = true;
                    self.later(at, Event::Chunk { flight, landed });
                }
                None => self.repeat_later(now, flight, bytes, true),
            }
            return;
        }
        if self.config.acks {
            host.uplink.push(now, ack_bytes(frame));
        }
        self.arrive(Arrival::Chunk {
            peer,
            from,
            hops: flight.hops,
            repair: flight.repair,
            chunk: flight.chunk,
        });
    }
}
