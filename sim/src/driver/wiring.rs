//! Between the driver and the network: dialling, hanging up, and what reaches a peer.

use std::net::SocketAddr;
use std::time::Duration;

use swarm::Input;
use wire::{Message, PeerId};

use super::trace::words;
use super::world::{Event, World};
use crate::audit::What;
use crate::net::{Arrival, Opening, addr_of, peer_at};

impl World {
    /// The node wants a connection.
    pub(super) fn connect(
        &mut self,
        from: u32,
        whom: Option<PeerId>,
        addrs: &[SocketAddr],
        opening: Vec<Message>,
    ) {
        let by_addr = addrs.first().and_then(|addr| peer_at(*addr));
        let target = by_addr.filter(|to| *to != from && (*to as usize) < self.peers.len());
        let right = |to: &u32| whom.is_none_or(|id| self.ids.of(*to) == id);
        let Some(to) = target.filter(right) else {
            let at = self.now.plus(self.idle_timeout_ns);
            let whom = Box::new((whom, addrs.first().copied()));
            self.queue.push(at, Event::Unreachable(from, whom));
            return;
        };
        let one_way_ns = self.space.one_way_ns(from, to);
        let said = opening
            .iter()
            .map(|message| format!(" with {}", words(message, &self.ids)));
        let said: String = said.collect();
        let opening: Opening = opening
            .into_iter()
            .map(|message| {
                let frame = wire::codec::encode(&message);
                (Box::new(message), frame.into())
            })
            .collect();
        if self.net.connect(self.now, from, to, one_way_ns, opening) {
            self.fold(What::Dialled, from, u64::from(to));
            self.note(from, |_| format!("dials {to}{said}"));
        }
        self.schedule();
    }

    /// Queues what the network will do.
    pub(super) fn schedule(&mut self) {
        let later = &mut self.net.out().later;
        if later.is_empty() {
            return;
        }
        for (at, event) in later.drain(..) {
            self.queue.push(at, Event::Net(event));
        }
    }

    /// Has the network send what was handed over to it, and tells peers what has reached them.
    pub(super) fn pump(&mut self) {
        loop {
            self.net.flush(self.now);
            self.schedule();
            let Some(arrival) = self.net.out().arrivals.pop_front() else {
                return;
            };
            self.arrive(arrival);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Connected {
                peer,
                other,
                dialled,
                rtt,
                opened,
            } => self.connected(peer, other, dialled, rtt, opened),
            Arrival::Proven { peer, other, rtt } => {
                let other = self.ids.of(other);
                self.input(peer, Input::Proven { peer: other, rtt });
            }
            Arrival::Disconnected { peer, other } => {
                self.tell_over(peer, other);
                self.settle(peer);
            }
            Arrival::Chunk {
                peer,
                from,
                hops,
                repair,
                chunk,
            } => self.chunk(peer, from, hops, repair, chunk),
            Arrival::Letter {
                peer,
                from,
                bytes,
                letter,
            } => self.letter(peer, from, bytes, letter),
            Arrival::Backlog {
                peer,
                other,
                queued,
                rtt,
            } => {
                let other = self.ids.of(other);
                self.input(
                    peer,
                    Input::Backlog {
                        peer: other,
                        queued,
                        rtt,
                    },
                );
            }
            Arrival::Broken { peer, from, why } => {
                self.violate(from, format!("what it sent reached {peer} as {why:?}"));
            }
        }
    }

    fn connected(&mut self, peer: u32, other: u32, dialled: bool, rtt: Option<Duration>, opened: bool) {
        self.fold(What::Connected, peer, u64::from(other));
        let addr = addr_of(other);
        let input = Input::Connected {
            peer: self.ids.of(other),
            addr,
            listen: vec![addr],
            dialled,
            rtt,
            opened,
        };
        self.input(peer, input);
    }

    /// Tells the node that a connection of its is over.
    pub(super) fn tell_over(&mut self, peer: u32, other: u32) {
        self.fold(What::Disconnected, peer, u64::from(other));
        let input = Input::Disconnected {
            peer: Some(self.ids.of(other)),
            addr: Some(addr_of(other)),
        };
        self.tell(peer, input);
    }

    /// What the network counted goes to the peers' logs.
    pub(super) fn close_books(&mut self) {
        for (number, peer) in (0u32..).zip(&mut self.peers) {
            let books = self.net.books(number);
            peer.log.copies_out += books.copies_out;
            peer.log.media_out += books.media_out;
            peer.log.control_out += books.handshake_out;
            peer.log.control_in += books.handshake_in;
        }
    }
}
