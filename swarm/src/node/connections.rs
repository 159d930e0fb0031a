//! Connections made and lost, and who makes room for a newcomer.

use std::net::SocketAddr;
use std::time::Duration;

use wire::message::{Bye, ByeReason};
use wire::{PeerId, StreamId, Time};

use super::{Ctx, Node, key};
use crate::io::{Outbox, Output};
use crate::stream::Stream;
use crate::uplink::ACCEPT_BYTES;

/// A newcomer asks for what it came for within a long round trip and what its uplink has queued.
const TIME_TO_ASK: Duration = Duration::from_millis(1_000);

impl Node {
    #[allow(clippy::too_many_arguments, reason = "the fields of one input")]
    pub(super) fn on_connected(
        &mut self,
        now: Time,
        peer: PeerId,
        addr: SocketAddr,
        listen: Vec<SocketAddr>,
        dialled: bool,
        rtt: Option<Duration>,
        opened: bool,
        out: &mut Outbox,
    ) {
        if peer == self.config.peer {
            out.push(Output::Disconnect { peer });
            return;
        }
        self.neighbours.insert(now, peer, addr, listen, rtt, dialled);
        if let Some(rtt) = rtt {
            // A connection of the other side's may have been used before this one proved who it is.
            self.on_proven(now, peer, rtt, out);
        }
        if !dialled {
            self.uplink.book_unpaced(now, ACCEPT_BYTES);
        }
        if self.standings.is_banned(now, peer) {
            self.send_away(now, peer, ByeReason::Misbehaved, out);
            return;
        }
        // Nobody makes room for a peer that has not proved to be here: those are few, and gone soon.
        if !dialled && rtt.is_some() && !self.make_room(now, peer, out) {
            return;
        }
        self.ping_due(now, out);
        let ids: Vec<StreamId> = self.streams.ids().collect();
        for id in ids {
            with_stream!(self, now, out, &id, |stream, ctx| stream
                .on_connected(ctx, peer, addr, dialled, opened));
        }
        if !dialled && rtt.is_some() {
            self.on_reached();
        }
        self.ring_connected(now, peer, dialled, opened, out);
        self.trust_connected(now, peer, out);
    }

    /// Sees to it that a newcomer has room: it is sent away, or an idle neighbour. Whether it stays.
    fn make_room(&mut self, now: Time, newcomer: PeerId, out: &mut Outbox) -> bool {
        // Without the slot that is kept for it here it would have to begin anew. Promises are kept in bounds and for a second.
        let expected = self.streams.iter().any(|stream| stream.keeps_for(newcomer));
        // The few connections that the ring needs have room of their own; who comes for it says so later.
        if expected || self.counted_connections(now) <= self.most_neighbours() {
            return true;
        }
        let Some(idle) = self.most_dispensable(now, newcomer) else {
            self.send_away(now, newcomer, ByeReason::Full, out);
            return false;
        };
        self.send_away(now, idle, ByeReason::Unneeded, out);
        true
    }

    /// The handshake of a connection that was used before is over.
    pub(super) fn on_proven(&mut self, now: Time, peer: PeerId, rtt: Duration, out: &mut Outbox) {
        if !self.neighbours.prove(&peer, rtt) {
            return;
        }
        let accepted = self.neighbours.get(&peer).is_some_and(|known| !known.dialled);
        if accepted {
            self.on_reached();
            let used = self.streams.iter().any(|stream| stream.needs(peer));
            if !used && !self.make_room(now, peer, out) {
                return;
            }
        }
        let ids: Vec<StreamId> = self.streams.ids().collect();
        for id in ids {
            with_stream!(self, now, out, &id, |stream, ctx| stream.on_proven(ctx, peer));
        }
    }

    pub(super) fn on_disconnected(
        &mut self,
        now: Time,
        peer: Option<PeerId>,
        addr: Option<SocketAddr>,
        out: &mut Outbox,
    ) {
        let was_connected = peer.is_some_and(|peer| self.neighbours.remove(&peer, &mut self.accounts));
        if let Some(peer) = peer.filter(|_| was_connected) {
            self.forget(now, peer, out);
        } else {
            let ids: Vec<StreamId> = self.streams.ids().collect();
            for id in ids {
                with_stream!(self, now, out, &id, |stream, ctx| stream
                    .on_dial_failed(ctx, peer, addr));
            }
            if let Some(peer) = peer {
                self.ring_lost(now, peer, out);
            }
        }
    }

    /// Most connections: those of a tracker's members come on top, or it could not keep an area.
    fn most_neighbours(&self) -> usize {
        let members = self.streams.iter().map(Stream::members_expected);
        self.config.max_neighbours + members.sum::<usize>()
    }

    /// The neighbour to part with for a newcomer: nothing flows to or from it and no slot is kept for it, for longer than a
    /// newcomer takes to ask; the farthest one.
    fn most_dispensable(&self, now: Time, newcomer: PeerId) -> Option<PeerId> {
        self.neighbours
            .iter()
            .filter(|(peer, neighbour)| **peer != newcomer && now.since(neighbour.since) > TIME_TO_ASK)
            .filter(|(peer, _)| !self.is_of_ring(peer, now))
            .filter(|(peer, _)| !self.streams.iter().any(|stream| stream.needs(**peer)))
            .max_by_key(|(peer, neighbour)| (neighbour.rtt(), **peer))
            .map(|(peer, _)| *peer)
    }

    /// Sends a connected peer away and takes it for gone at once.
    pub(super) fn send_away(&mut self, now: Time, peer: PeerId, reason: ByeReason, out: &mut Outbox) {
        self.neighbours
            .send(now, &mut self.uplink, out, peer, Bye { reason });
        self.neighbours.remove(&peer, &mut self.accounts);
        out.push(Output::Disconnect { peer });
        self.forget(now, peer, out);
    }

    /// A peer is connected no more.
    pub(super) fn forget(&mut self, now: Time, peer: PeerId, out: &mut Outbox) {
        self.uplink.forget(|copy| copy.to == peer);
        self.vivaldi.forget(key(peer));
        let ids: Vec<StreamId> = self.streams.ids().collect();
        for id in ids {
            with_stream!(self, now, out, &id, |stream, ctx| stream.forget_peer(ctx, peer));
        }
        self.ring_lost(now, peer, out);
        self.trust_disconnected(peer);
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
