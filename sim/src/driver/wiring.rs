//! Connections: dialling, the handshake's three packets, and the end.

use std::net::SocketAddr;
use std::time::Duration;

use swarm::Input;
use wire::PeerId;

use super::actor::Letter;
use super::ids::{addr_of, peer_at};
use super::world::{Event, World};
use crate::audit::What;
use crate::net::{ACCEPTOR_HANDSHAKE_BYTES, ConnId, DIALLER_HANDSHAKE_BYTES, End, Phase, arrival};
use crate::time::SimTime;

impl World {
    /// The node wants a connection.
    pub(super) fn connect(&mut self, from: u32, whom: Option<PeerId>, addrs: &[SocketAddr]) {
        let by_addr = addrs.first().and_then(|addr| peer_at(*addr));
        let target = by_addr.filter(|to| *to != from && (*to as usize) < self.peers.len());
        let right = |to: &u32| whom.is_none_or(|id| self.peers[*to as usize].id == id);
        let Some(to) = target.filter(right) else {
            let at = self.now.plus(self.idle_timeout_ns);
            let whom = Box::new((whom, addrs.first().copied()));
            self.queue.push(at, Event::Unreachable(from, whom));
            return;
        };
        if self.conns.between(from, to).is_some() {
            return;
        }
        let conn = self
            .conns
            .dial(from, to, self.space.one_way_ns(from, to), self.now);
        self.fold(What::Dialled, from, u64::from(conn.0));
        self.note(from, |_| format!("dials {to}"));
        let at = self.handshake_packet(conn, End::Acceptor, DIALLER_HANDSHAKE_BYTES / 2);
        self.queue.push(at, Event::Dial(conn));
    }

    /// Sends a part of a handshake towards `to`: when it arrives.
    fn handshake_packet(&mut self, conn: ConnId, to: End, bytes: u64) -> SimTime {
        let c = self.conns.get(conn);
        let (from, peer, one_way_ns) = (c.peer(to.other()), c.peer(to), c.one_way_ns);
        let left = self.peers[from as usize].uplink.push(self.now, bytes);
        if self.counting {
            self.peers[from as usize].log.control_out += bytes;
            self.peers[peer as usize].log.control_in += bytes;
        }
        let fate = self.weather.draw();
        // Reliable, so it does arrive.
        arrival(left, one_way_ns, fate, true).unwrap_or(left)
    }

    /// The first packet is at the acceptor.
    pub(super) fn dialled(&mut self, conn: ConnId) {
        let c = self.conns.get(conn);
        let (dialler, acceptor, dialled_at) = (c.peer(End::Dialler), c.peer(End::Acceptor), c.dialled_at);
        if c.phase(End::Dialler) == Phase::Closed {
            return;
        }
        self.fold(What::Dialled, acceptor, u64::from(conn.0));
        if self.peers[acceptor as usize].node.is_none() {
            let at = dialled_at.plus(self.idle_timeout_ns).max(self.now);
            self.queue.push(at, Event::Over(conn, End::Dialler));
            return;
        }
        if let Some((other, end)) = self.conns.between(acceptor, dialler) {
            let phase = self.conns.get(other).phase(end);
            if phase == Phase::Dialling {
                // Both dialled at once. Both sides decide alike: the dial of the peer with the lower number stands.
                if dialler > acceptor {
                    return;
                }
                self.conns.close(other, end);
            } else {
                // The dialler has closed the old one; that news is overtaken.
                self.over(other, end);
            }
        }
        self.conns.accept(conn);
        let at = self.handshake_packet(conn, End::Dialler, ACCEPTOR_HANDSHAKE_BYTES);
        self.queue.push(at, Event::Answer(conn));
        if let Some((message, bytes)) = self.peers[acceptor as usize].greeting.clone() {
            self.conns.get_mut(conn).in_order(End::Dialler, at);
            self.post(conn, End::Dialler, Letter::Message(message), bytes);
        }
    }

    /// The answer is at the dialler, who knows now whom it talks to.
    pub(super) fn answered(&mut self, conn: ConnId) {
        if !self.conns.open(conn, End::Dialler) {
            return;
        }
        let at = self.handshake_packet(conn, End::Acceptor, DIALLER_HANDSHAKE_BYTES / 2);
        let now = self.now;
        let c = self.conns.get_mut(conn);
        c.opens_at(End::Dialler, now);
        c.opens_at(End::Acceptor, at);
        let rtt = now.since(c.dialled_at);
        self.queue.push(at, Event::Proof(conn));
        self.connected(conn, End::Dialler, rtt);
    }

    /// The dialler's proof is at the acceptor.
    pub(super) fn proven(&mut self, conn: ConnId) {
        if self.conns.open(conn, End::Acceptor) {
            let rtt = 2 * self.conns.get(conn).one_way_ns;
            self.connected(conn, End::Acceptor, rtt);
        }
    }

    fn connected(&mut self, conn: ConnId, end: End, rtt_ns: u64) {
        let c = self.conns.get(conn);
        let (peer, other) = (c.peer(end), c.peer(end.other()));
        self.fold(What::Connected, peer, u64::from(conn.0));
        let addr = addr_of(other);
        let input = Input::Connected {
            peer: self.peers[other as usize].id,
            addr,
            listen: vec![addr],
            dialled: end == End::Dialler,
            rtt: Duration::from_nanos(rtt_ns),
        };
        self.input(peer, input);
    }

    /// An end learns that its connection is over.
    pub(super) fn over(&mut self, conn: ConnId, end: End) {
        let phase = self.conns.get(conn).phase(end);
        self.conns.close(conn, end);
        // Whoever was only being dialled has not heard of the connection yet.
        if matches!(phase, Phase::Open | Phase::Dialling) {
            let peer = self.conns.get(conn).peer(end);
            self.tell_over(conn, end);
            self.settle(peer);
        }
    }

    /// Tells the node at an end that has been closed.
    pub(super) fn tell_over(&mut self, conn: ConnId, end: End) {
        let c = self.conns.get(conn);
        let (number, other) = (c.peer(end), c.peer(end.other()));
        self.fold(What::Disconnected, number, u64::from(conn.0));
        let input = Input::Disconnected {
            peer: Some(self.peers[other as usize].id),
            addr: Some(addr_of(other)),
        };
        self.tell(number, input);
    }

    /// A peer closes its end; the other end hears of it behind everything sent before.
    pub(super) fn hang_up(&mut self, conn: ConnId, end: End) {
        if !self.conns.close(conn, end) {
            return;
        }
        let from = self.conns.get(conn).peer(end);
        let left = self.now.plus(self.peers[from as usize].uplink.wait_ns(self.now));
        let c = self.conns.get_mut(conn);
        let at = left.plus(c.one_way_ns);
        let at = c.in_order(end.other(), at);
        self.queue.push(at, Event::Over(conn, end.other()));
    }

    /// A peer falls silent; the other end notices when the connection has been idle for too long.
    pub(super) fn fall_silent(&mut self, conn: ConnId, end: End) {
        if self.conns.close(conn, end) {
            let at = self.now.plus(self.idle_timeout_ns);
            self.queue.push(at, Event::Over(conn, end.other()));
        }
    }
}
