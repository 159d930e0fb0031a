//! The node's part in the overlay: its place in the ring, look-ups for trackers, and what its own trackers say there.
//!
//! The ring is a core of its own (`doat`). This is what it cannot do itself: it makes the connections that the ring's
//! messages need, tells the ring whom it lost, and decides when this node becomes a member.

mod leases;
mod member;
mod survey;
mod waiting;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use doat::{Doat, Event as RingEvent, Output as RingOutput, Way};
use incentives::Offence;
use wire::message::{Guest, MAX_RING_LEVELS, MAX_RING_LIST, RingNode};
use wire::{Message, PeerId, StreamId, Time};

use super::{Ctx, Node};
use crate::config::NodeConfig;
use crate::io::{Event, Outbox, Output};
use crate::stream::Found;
use crate::uplink::DIAL_BYTES;
use leases::Leases;
use member::Standing;
use survey::Survey;
use waiting::Waiting;

/// Connections that the ring may have beyond those of streams: all that a member has in its lists and as fingers in both
/// directions, and as many who have it as theirs.
pub const RING_CONNECTIONS: usize = 4 * (MAX_RING_LIST + MAX_RING_LEVELS as usize);

/// How often the node looks after its part in the overlay.
const TICK: Duration = Duration::from_millis(250);

/// The same while dials wait for their turn.
const TICK_DIALLING: Duration = Duration::from_millis(50);

/// A connection over which a message of the ring went is not closed for so long: twice the time between two questions for
/// the same entry.
const RING_KEEPS: Duration = Duration::from_secs(30);

/// A connection that nobody has a use for is closed after this time: whoever dialled may yet ask for something.
const IDLE: Duration = Duration::from_secs(10);

/// Look-ups under way. One stream has one.
const MAX_LOOK_UPS: usize = 64;

/// What a look-up for members around a position is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To know members near here: as ways in, and to place leases with.
    Near,
}

/// A look-up for a tracker.
#[derive(Clone, Copy, Debug)]
struct LookUp {
    stream: StreamId,
    since: Time,
    /// Directions that have answered, and whether one of them found something.
    answers: u8,
    found: bool,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Overlay {
    doat: Doat,
    out: doat::Outbox,
    /// When the ring has something to do: asked for after whatever changes it, because the node asks at each of its inputs.
    ring_due: Time,
    waiting: Waiting,
    standing: Standing,
    leases: Leases,
    survey: Option<Survey>,
    /// Addresses of nodes that may be in the overlay.
    via: Vec<SocketAddr>,
    look_ups: BTreeMap<u64, LookUp>,
    seeks: BTreeMap<u64, (Purpose, Time)>,
    /// Members near this node, the nearest first, as one of them named them.
    near: Vec<RingNode>,
    next_tick: Time,
}

impl Overlay {
    pub(super) fn new(config: &NodeConfig, now: Time) -> Self {
        let me = RingNode::new(
            config.peer,
            &coords::Coord::ORIGIN,
            config.listen.iter().copied().collect(),
        );
        let doat = Doat::new(now, me, config.seed);
        Overlay {
            ring_due: doat.next_deadline(),
            doat,
            out: doat::Outbox::new(),
            waiting: Waiting::default(),
            standing: Standing::new(now),
            leases: Leases::default(),
            survey: None,
            via: Vec::new(),
            look_ups: BTreeMap::new(),
            seeks: BTreeMap::new(),
            near: Vec::new(),
            next_tick: now,
        }
    }

    pub(super) fn via(&self) -> &[SocketAddr] {
        &self.via
    }

    /// Whether the ring needs to stay connected to a peer.
    fn needs(&self, peer: &PeerId) -> bool {
        self.waiting.holds(peer)
            || self.doat.is_member()
                && (self.doat.ring().holds(*peer)
                    || Way::BOTH
                        .into_iter()
                        .any(|way| self.doat.fingers(way).any(|finger| finger.peer == *peer)))
    }

    pub(super) fn next_deadline(&self) -> Time {
        debug_assert_eq!(self.ring_due, self.doat.next_deadline());
        self.next_tick.min(self.ring_due)
    }

    /// What people see of it.
    pub(super) fn stats(&self, here: u64) -> crate::stats::RingStats {
        let ring = self.doat.ring();
        let lists = || Way::BOTH.into_iter().flat_map(|way| ring.list(way));
        let fingers = || Way::BOTH.into_iter().flat_map(|way| self.doat.fingers(way));
        let member = self.doat.is_member();
        let mut known: Vec<RingNode> = Vec::new();
        let of_ring = lists().chain(fingers()).filter(|_| member);
        for node in of_ring.chain(&self.near) {
            if node.peer != self.doat.me().peer && !known.iter().any(|other| other.peer == node.peer) {
                known.push(node.clone());
            }
        }
        let next = |way| ring.next(way).filter(|_| member).map(|node| node.peer);
        crate::stats::RingStats {
            member,
            position: if member { self.doat.me().position() } else { here },
            successor: next(Way::Up),
            predecessor: next(Way::Down),
            entries: if member { known.len() as u32 } else { 0 },
            known,
        }
    }
}

impl Node {
    /// A message of the ring came.
    pub(super) fn on_ring_message(
        &mut self,
        now: Time,
        from: PeerId,
        mut message: Message,
        out: &mut Outbox,
    ) {
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            neighbour.ring_until = now + RING_KEEPS;
            if let Message::RingNews(news) = &mut message {
                // Where it is seen counts more than what it says: it may know no address of its own.
                news.me.addrs = neighbour.listen.iter().copied().collect();
            }
        }
        self.overlay
            .doat
            .handle(now, from, message, &mut self.overlay.out);
        self.do_ring_outputs(now, out);
    }

    /// A connection stands: what waited for it goes.
    pub(super) fn ring_connected(
        &mut self,
        now: Time,
        peer: PeerId,
        dialled: bool,
        opened: bool,
        out: &mut Outbox,
    ) {
        for message in self.overlay.waiting.take(&peer, opened) {
            self.send_ring(now, peer, message, out);
        }
        if dialled {
            self.know_entry(&peer);
            // It may be the way in that this node waits for.
            self.overlay.next_tick = self.overlay.next_tick.min(now);
        }
        self.do_look_ups(now, out);
        self.do_ring_outputs(now, out);
    }

    /// A connection is lost, or was never made.
    pub(super) fn ring_lost(&mut self, now: Time, peer: PeerId, out: &mut Outbox) {
        self.overlay.waiting.take(&peer, false);
        self.overlay.near.retain(|node| node.peer != peer);
        self.overlay.doat.on_unreachable(now, peer, &mut self.overlay.out);
        self.do_ring_outputs(now, out);
    }

    /// A connected peer is a node of the overlay, and so a way in.
    fn know_entry(&mut self, peer: &PeerId) {
        if let Some(neighbour) = self.neighbours.get(peer) {
            let addrs = neighbour.listen.iter().copied().collect();
            let node = RingNode::new(*peer, &neighbour.coord, addrs);
            self.overlay.doat.know(&node);
        }
    }

    /// Does what the ring wants done.
    fn do_ring_outputs(&mut self, now: Time, out: &mut Outbox) {
        // What is done may lead to more.
        while !self.overlay.out.is_empty() {
            for output in std::mem::take(&mut self.overlay.out) {
                match output {
                    RingOutput::Send { to, addrs, message } => self.ring_send(now, to, addrs, *message, out),
                    RingOutput::Event(event) => self.on_ring_event(now, event, out),
                }
            }
        }
        self.overlay.ring_due = self.overlay.doat.next_deadline();
    }

    /// Sends a message on the connection that there is, or makes one first.
    fn ring_send(
        &mut self,
        now: Time,
        to: PeerId,
        addrs: Vec<SocketAddr>,
        message: Message,
        out: &mut Outbox,
    ) {
        if self.neighbours.contains(&to) {
            return self.send_ring(now, to, message, out);
        }
        if addrs.is_empty() || to == self.config.peer || self.standings.is_banned(now, to) {
            return;
        }
        // Somebody waits for the answer to a look-up; the ring's own upkeep can wait for its turn.
        let urgent = matches!(
            message,
            Message::Find(_) | Message::Guest(_) | Message::RingSeek(_) | Message::Survey(_)
        );
        self.overlay.waiting.push(now, to, addrs, message, urgent);
        self.ring_dials(now, out);
    }

    fn send_ring(&mut self, now: Time, to: PeerId, message: Message, out: &mut Outbox) {
        if let Some(neighbour) = self.neighbours.get_mut(&to) {
            neighbour.ring_until = now + RING_KEEPS;
        }
        self.neighbours.send(now, &mut self.uplink, out, to, message);
    }

    /// Dials those whom messages wait for, as far as the uplink bears it.
    fn ring_dials(&mut self, now: Time, out: &mut Outbox) {
        while let Some(dial) = self.overlay.waiting.next_dial(now, self.uplink.booked(now)) {
            self.uplink.book_unpaced(now, DIAL_BYTES);
            out.push(Output::Connect {
                peer: Some(dial.peer),
                addrs: dial.addrs,
                opening: dial.opening,
            });
        }
        if self.overlay.waiting.has_undialled() {
            self.overlay.next_tick = self.overlay.next_tick.min(now + TICK_DIALLING);
        }
    }

    fn on_ring_event(&mut self, now: Time, event: RingEvent, out: &mut Outbox) {
        match event {
            RingEvent::Joined => {
                self.overlay.leases.place_all_anew();
                out.push(Output::Event(Event::Entered));
            }
            RingEvent::Found {
                query, hops, lease, ..
            } => {
                let Some(look_up) = self.overlay.look_ups.get_mut(&query) else {
                    return;
                };
                look_up.answers += 1;
                let stream = look_up.stream;
                let called = self.streams.get_mut(&stream).is_some_and(|s| s.was_called());
                let first = lease.is_some() && !look_up.found && !called;
                look_up.found |= lease.is_some();
                let over = look_up.answers >= 2;
                if over {
                    self.overlay.look_ups.remove(&query);
                }
                if first {
                    out.push(Output::Event(Event::LookedUp { stream, hops }));
                }
                let found = Found { lease, over };
                with_stream!(self, now, out, &stream, |stream, ctx| stream.on_found(ctx, found));
            }
            RingEvent::Seen { query, nodes, .. } => {
                if let Some((Purpose::Near, _)) = self.overlay.seeks.remove(&query) {
                    self.on_near(now, nodes, out);
                }
            }
            RingEvent::Guest { tracker, guest } => {
                if tracker.peer == self.config.peer {
                    // The holder of its own tracker's lease.
                    self.on_guest(now, tracker.peer, *guest, out);
                } else {
                    self.ring_send(now, tracker.peer, tracker.addrs.to_vec(), (*guest).into(), out);
                }
            }
            RingEvent::Misbehaved(peer) => self.penalise(now, peer, Offence::WrongSignature),
        }
    }

    /// Passes a newcomer's word on along the ring.
    pub(super) fn introduce(&mut self, now: Time, stream: StreamId, guest: Box<Guest>, out: &mut Outbox) {
        self.overlay
            .doat
            .introduce(now, stream, guest, &mut self.overlay.out);
        self.do_ring_outputs(now, out);
    }

    /// Looks for trackers of the streams that want one.
    fn do_look_ups(&mut self, now: Time, out: &mut Outbox) {
        let me = self.config.peer;
        let wanting: Vec<(StreamId, Vec<PeerId>)> = self
            .streams
            .iter_mut()
            .filter_map(|stream| {
                stream
                    .take_look_up(now)
                    .then(|| (stream.id, stream.not_sought(me)))
            })
            .collect();
        if wanting.is_empty() {
            return;
        }
        for (stream, except) in wanting {
            let asked = self
                .overlay
                .look_ups
                .values()
                .any(|look_up| look_up.stream == stream);
            if asked || self.overlay.look_ups.len() >= MAX_LOOK_UPS {
                continue;
            }
            let query = self
                .overlay
                .doat
                .find(now, stream, &except, &mut self.overlay.out);
            let look_up = LookUp {
                stream,
                since: now,
                answers: 0,
                found: false,
            };
            self.overlay.look_ups.insert(query, look_up);
        }
        self.do_ring_outputs(now, out);
    }

    /// What is to be done every so often, if its time has come.
    pub(super) fn do_ring_duties(&mut self, now: Time, out: &mut Outbox) {
        if self.overlay.ring_due <= now {
            self.overlay.doat.handle_deadline(now, &mut self.overlay.out);
            self.do_ring_outputs(now, out);
        }
        self.do_look_ups(now, out);
        if self.overlay.next_tick > now {
            return;
        }
        self.overlay.next_tick = now + TICK;
        for peer in self.overlay.waiting.expire(now) {
            self.overlay.doat.on_unreachable(now, peer, &mut self.overlay.out);
        }
        self.overlay
            .look_ups
            .retain(|_, look_up| now.since(look_up.since) < FORGOTTEN);
        self.overlay
            .seeks
            .retain(|_, (_, since)| now.since(*since) < FORGOTTEN);
        self.ring_dials(now, out);
        self.see_to_membership(now, out);
        self.renew_leases(now, out);
        self.survey_tick(now, out);
        self.close_idle(now, out);
        self.do_ring_outputs(now, out);
    }

    /// Closes connections that this node made for a question to somebody who is nothing else to it.
    fn close_idle(&mut self, now: Time, out: &mut Outbox) {
        if self.trust.is_shifting(now) {
            return;
        }
        let idle: Vec<PeerId> = self
            .neighbours
            .iter()
            .filter(|(peer, neighbour)| {
                neighbour.dialled
                    && now.since(neighbour.since) > IDLE
                    && !self.is_of_ring(peer, now)
                    && !self.streams.iter().any(|stream| stream.knows(peer))
            })
            .map(|(peer, _)| *peer)
            .collect();
        for peer in idle {
            self.send_away(now, peer, wire::message::ByeReason::Unneeded, out);
        }
    }

    /// Whether a connection is one of the ring's.
    pub(super) fn is_of_ring(&self, peer: &PeerId, now: Time) -> bool {
        let lately = self.neighbours.get(peer).is_some_and(|n| n.ring_until > now);
        lately || self.overlay.needs(peer)
    }

    /// Connections that count against the bound that the driver gave: those of the ring have room of their own.
    pub(super) fn counted_connections(&self, now: Time) -> usize {
        let of_ring = self
            .neighbours
            .iter()
            .filter(|(peer, _)| self.is_of_ring(peer, now) && !self.streams.iter().any(|s| s.knows(peer)));
        self.neighbours.len() - of_ring.count().min(RING_CONNECTIONS)
    }
}

/// Nobody waits longer for an answer: longer than the ring itself does.
const FORGOTTEN: Duration = Duration::from_secs(6);
