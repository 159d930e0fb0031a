//! The flow model: copies of chunks and messages travel as wholes. `fluid.rs` says in words what is modelled.

mod copies;

use std::time::Duration;

use bytes::Bytes;
use swarm::{Allowance, Meter};
use wire::{Message, Time};

use copies::Flight;

use super::conns::{ConnId, Conns, End, Phase};
use super::weather::arrival;
use super::{
    Arrival, Books, Copy, Letter, Line, Lost, Mail, Network, Opening, Out, Site, Weather, wire_bytes,
};
use crate::time::SimTime;

/// Bytes on the wire that the dialling side sends during a handshake: two datagrams padded to 1200 bytes of UDP
/// payload, as QUIC demands of a client, with their IP and UDP headers.
const DIALLER_HANDSHAKE_BYTES: u64 = 2 * 1228;

/// What is said along with the first packet takes no more bytes than its padding, up to this: 300 bytes are TLS and headers, and 170 the
/// dialler's addresses and signature.
const OPENING_ROOM: usize = 730;

/// And the other side: one padded datagram and most of another, for the certificates of both take under 1 KiB.
const ACCEPTOR_HANDSHAKE_BYTES: u64 = 1228 + 700;

/// Who is turned away gets one datagram: an Initial packet that closes the connection, not padded, with IP and UDP headers.
const REFUSAL_BYTES: u64 = 28 + 70;

/// What the model is given.
#[derive(Debug)]
pub(crate) struct FlowConfig {
    pub(crate) weather: Weather,
    /// Longest queue before an uplink or downlink.
    pub(crate) queue_ns: u64,
    /// Until a silent peer counts as gone.
    pub(crate) idle_timeout_ns: u64,
    /// Whether acknowledgements take uplink.
    pub(crate) acks: bool,
}

/// Something that the model will do.
#[derive(Debug)]
pub(crate) enum Event {
    /// A copy of a chunk reaches an end; `landed` = it is through the downlink already.
    Chunk { flight: Flight, landed: bool },
    /// What an end has sent lacks something at the other end, and is sent again.
    Repeat { flight: Flight, bytes: u64 },
    /// A letter reaches an end.
    Letter {
        conn: ConnId,
        to: End,
        landed: bool,
        bytes: u32,
        letter: Letter,
    },
    /// First packet of a handshake, at the acceptor.
    Dial(ConnId),
    /// Its answer, at the dialler.
    Answer(ConnId),
    /// The dialler's proof, at the acceptor.
    Proof(ConnId),
    /// An end learns that the connection is over.
    Over(ConnId, End),
}

/// A peer.
#[derive(Debug)]
struct Host {
    present: bool,
    uplink: Line,
    downlink: Option<Line>,
    /// What it tells whoever dials it along with the handshake, and its length.
    greeting: Option<(Box<Message>, u64)>,
    /// How many of those who dial it are answered.
    strangers: Meter,
    books: Books,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Flow {
    config: FlowConfig,
    hosts: Vec<Host>,
    conns: Conns,
    counting: bool,
    lost: Lost,
    out: Out,
}

impl Flow {
    pub(crate) fn new(config: FlowConfig) -> Self {
        Flow {
            config,
            hosts: Vec::new(),
            conns: Conns::default(),
            counting: false,
            lost: Lost::default(),
            out: Out::default(),
        }
    }

    pub(super) fn handle(&mut self, now: SimTime, event: Event) {
        match event {
            Event::Chunk { flight, landed } => self.landing(now, flight, landed),
            Event::Repeat { flight, bytes } => self.repeat(now, flight, bytes),
            Event::Letter {
                conn,
                to,
                landed,
                bytes,
                letter,
            } => self.letter(now, conn, to, landed, bytes, letter),
            Event::Dial(conn) => self.dialled(now, conn),
            Event::Answer(conn) => self.answered(now, conn),
            Event::Proof(conn) => self.proven(conn),
            Event::Over(conn, end) => self.over(conn, end),
        }
    }

    fn later(&mut self, at: SimTime, event: Event) {
        self.out.later.push((at, super::Event::Flow(event)));
    }

    fn arrive(&mut self, arrival: Arrival) {
        self.out.arrivals.push_back(arrival);
    }

    fn open_to(&self, from: u32, to: u32) -> Option<(ConnId, End)> {
        self.conns
            .between(from, to)
            .filter(|(conn, end)| self.conns.get(*conn).phase(*end) == Phase::Open)
    }

    /// Sends a letter towards `to`.
    fn post(&mut self, now: SimTime, conn: ConnId, to: End, letter: Letter, frame: u64) {
        let from = self.conns.get(conn).peer(to.other());
        let uplink = &mut self.hosts[from as usize].uplink;
        let mut fate = self.config.weather.draw();
        // Dropped at the tail of a full queue: sent again like a lost one.
        fate.lost |= uplink.wait_ns(now) > self.config.queue_ns;
        let left = uplink.push(now, wire_bytes(frame));
        let c = self.conns.get_mut(conn);
        let at = c.in_order(to, arrival(left, c.one_way_ns, fate));
        let event = Event::Letter {
            conn,
            to,
            landed: false,
            bytes: frame as u32,
            letter,
        };
        self.later(at, event);
    }

    /// A letter is at `to`.
    fn letter(&mut self, now: SimTime, conn: ConnId, to: End, landed: bool, bytes: u32, letter: Letter) {
        let c = self.conns.get(conn);
        if c.phase(to) != Phase::Open {
            return;
        }
        let (peer, from) = (c.peer(to), c.peer(to.other()));
        let downlink = &mut self.hosts[peer as usize].downlink;
        if let Some(downlink) = downlink.as_mut().filter(|_| !landed) {
            let at = downlink.push(now, wire_bytes(u64::from(bytes)));
            let event = Event::Letter {
                conn,
                to,
                landed: true,
                bytes,
                letter,
            };
            self.later(at, event);
            return;
        }
        self.arrive(Arrival::Letter {
            peer,
            from,
            bytes,
            letter,
        });
    }

    /// Sends a part of a handshake towards `to`: when it arrives.
    fn handshake_packet(&mut self, now: SimTime, conn: ConnId, to: End, bytes: u64) -> SimTime {
        let c = self.conns.get(conn);
        let (from, peer, one_way_ns) = (c.peer(to.other()), c.peer(to), c.one_way_ns);
        let left = self.hosts[from as usize].uplink.push(now, bytes);
        if self.counting {
            self.hosts[from as usize].books.handshake_out += bytes;
            self.hosts[peer as usize].books.handshake_in += bytes;
        }
        arrival(left, one_way_ns, self.config.weather.draw())
    }

    /// The first packet is at the acceptor.
    fn dialled(&mut self, now: SimTime, conn: ConnId) {
        let c = self.conns.get(conn);
        let (dialler, acceptor, dialled_at) = (c.peer(End::Dialler), c.peer(End::Acceptor), c.dialled_at);
        if c.phase(End::Dialler) == Phase::Closed {
            return;
        }
        if !self.hosts[acceptor as usize].present {
            let at = dialled_at.plus(self.config.idle_timeout_ns).max(now);
            self.later(at, Event::Over(conn, End::Dialler));
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
        let strangers = &mut self.hosts[acceptor as usize].strangers;
        if !strangers.admits(Time::from_micros(now.0 / 1_000)) {
            let at = self.handshake_packet(now, conn, End::Dialler, REFUSAL_BYTES);
            self.later(at, Event::Over(conn, End::Dialler));
            return;
        }
        self.conns.accept(conn);
        let at = self.handshake_packet(now, conn, End::Dialler, ACCEPTOR_HANDSHAKE_BYTES);
        self.later(at, Event::Answer(conn));
        let opening = std::mem::take(&mut self.conns.get_mut(conn).opening);
        if !opening.is_empty() {
            self.conns.open(conn, End::Acceptor);
            self.conns.get_mut(conn).opens_at(End::Dialler, at);
            self.connected(conn, End::Acceptor, None);
            for (message, frame) in opening {
                self.arrive(Arrival::Letter {
                    peer: acceptor,
                    from: dialler,
                    bytes: frame.len() as u32,
                    letter: Letter::Message(message),
                });
            }
        } else if let Some((message, bytes)) = self.hosts[acceptor as usize].greeting.clone() {
            self.conns.get_mut(conn).in_order(End::Dialler, at);
            self.post(now, conn, End::Dialler, Letter::Message(message), bytes);
        }
    }

    /// The answer is at the dialler, who knows now whom it talks to.
    fn answered(&mut self, now: SimTime, conn: ConnId) {
        if !self.conns.open(conn, End::Dialler) {
            return;
        }
        let at = self.handshake_packet(now, conn, End::Acceptor, DIALLER_HANDSHAKE_BYTES / 2);
        let c = self.conns.get_mut(conn);
        c.opens_at(End::Dialler, now);
        c.opens_at(End::Acceptor, at);
        let rtt = now.since(c.dialled_at);
        self.later(at, Event::Proof(conn));
        self.connected(conn, End::Dialler, Some(rtt));
    }

    /// The dialler's proof is at the acceptor.
    fn proven(&mut self, conn: ConnId) {
        let c = self.conns.get(conn);
        let rtt = 2 * c.one_way_ns;
        if c.with_opening && c.phase(End::Acceptor) == Phase::Open {
            let (peer, other) = (c.peer(End::Acceptor), c.peer(End::Dialler));
            let rtt = Duration::from_nanos(rtt);
            self.arrive(Arrival::Proven { peer, other, rtt });
        } else if self.conns.open(conn, End::Acceptor) {
            self.connected(conn, End::Acceptor, Some(rtt));
        }
    }

    fn connected(&mut self, conn: ConnId, end: End, rtt_ns: Option<u64>) {
        let c = self.conns.get(conn);
        let (peer, other) = (c.peer(end), c.peer(end.other()));
        let opened = c.with_opening && end == End::Dialler;
        self.arrive(Arrival::Connected {
            peer,
            other,
            dialled: end == End::Dialler,
            rtt: rtt_ns.map(Duration::from_nanos),
            opened,
        });
    }

    /// An end learns that its connection is over.
    fn over(&mut self, conn: ConnId, end: End) {
        let c = self.conns.get(conn);
        let (phase, peer, other) = (c.phase(end), c.peer(end), c.peer(end.other()));
        self.conns.close(conn, end);
        // Whoever was only being dialled has not heard of the connection yet.
        if matches!(phase, Phase::Open | Phase::Dialling) {
            self.arrive(Arrival::Disconnected { peer, other });
        }
    }

    /// A peer closes its end; the other end hears of it behind everything sent before.
    fn close(&mut self, now: SimTime, conn: ConnId, end: End) {
        if !self.conns.close(conn, end) {
            return;
        }
        let from = self.conns.get(conn).peer(end);
        let left = now.plus(self.hosts[from as usize].uplink.wait_ns(now));
        let c = self.conns.get_mut(conn);
        let at = left.plus(c.one_way_ns);
        let at = c.in_order(end.other(), at);
        self.later(at, Event::Over(conn, end.other()));
    }

    /// A peer falls silent; the other end notices when the connection has been idle for too long.
    fn fall_silent(&mut self, now: SimTime, conn: ConnId, end: End) {
        if self.conns.close(conn, end) {
            let at = now.plus(self.config.idle_timeout_ns);
            self.later(at, Event::Over(conn, end.other()));
        }
    }
}

impl Network for Flow {
    fn add(&mut self, now: SimTime, site: Site) {
        self.conns.add_peer();
        self.hosts.push(Host {
            present: false,
            uplink: Line::new(site.upload_bps, now),
            downlink: site.download_bps.map(|bps| Line::new(bps, now)),
            greeting: None,
            strangers: Meter::default(),
            books: Books::default(),
        });
    }

    fn start(&mut self, _now: SimTime, peer: u32) {
        let host = &mut self.hosts[peer as usize];
        host.present = true;
        host.strangers = Meter::default();
    }

    fn leave(&mut self, now: SimTime, peer: u32, silently: bool) {
        self.hosts[peer as usize].present = false;
        for (conn, end) in self.conns.of(peer) {
            if silently {
                self.fall_silent(now, conn, end);
            } else {
                self.close(now, conn, end);
            }
        }
    }

    fn connect(&mut self, now: SimTime, from: u32, to: u32, one_way_ns: u64, opening: Opening) -> bool {
        if self.conns.between(from, to).is_some() {
            return false;
        }
        let said: usize = opening.iter().map(|(_, frame)| frame.len()).sum();
        let packets = if said > OPENING_ROOM { 2 } else { 1 };
        let conn = self.conns.dial(from, to, one_way_ns, now, opening);
        let bytes = packets * DIALLER_HANDSHAKE_BYTES / 2;
        let at = self.handshake_packet(now, conn, End::Acceptor, bytes);
        self.later(at, Event::Dial(conn));
        true
    }

    fn hang_up(&mut self, now: SimTime, from: u32, to: u32) -> bool {
        let Some((conn, end)) = self.conns.between(from, to) else {
            return false;
        };
        self.close(now, conn, end);
        true
    }

    fn is_open(&self, from: u32, to: u32) -> bool {
        self.open_to(from, to).is_some()
    }

    fn send_chunk(&mut self, now: SimTime, from: u32, to: u32, copy: Copy) {
        if let Some((conn, end)) = self.open_to(from, to) {
            self.take_off(now, conn, end, copy);
        }
    }

    fn send(&mut self, now: SimTime, from: u32, to: u32, mail: Mail) {
        if let Some((conn, end)) = self.open_to(from, to) {
            self.post(now, conn, end.other(), mail.letter, mail.bytes);
        }
    }

    fn greet(&mut self, peer: u32, greeting: Option<(Box<Message>, Bytes)>) {
        self.hosts[peer as usize].greeting = greeting.map(|(message, frame)| (message, frame.len() as u64));
    }

    fn answer_only(&mut self, peer: u32, allowance: Option<Allowance>) {
        self.hosts[peer as usize].strangers.limit(allowance);
    }

    // All is sent at once.
    fn flush(&mut self, _now: SimTime) {}

    fn set_loss(&mut self, loss: f64) {
        self.config.weather.set_loss(loss);
    }

    fn set_upload(&mut self, peer: u32, bps: u64) {
        self.hosts[peer as usize].uplink.set_rate(bps);
    }

    fn count(&mut self, on: bool) {
        self.counting = on;
    }

    fn uplink(&self, peer: u32) -> &Line {
        &self.hosts[peer as usize].uplink
    }

    fn books(&self, peer: u32) -> Books {
        self.hosts[peer as usize].books
    }

    fn lost(&self) -> Lost {
        self.lost
    }

    fn out(&mut self) -> &mut Out {
        &mut self.out
    }
}

#[cfg(test)]
mod tests;
