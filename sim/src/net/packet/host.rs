//! A host: its QUIC endpoint, its connections, and which of them is the one with a peer.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use quic::tls::{Tls, TlsError};
use quic::{
    Acceptor, Code, IP_UDP_HEADERS, MAX_DIALS, PathSample, SERVER_NAME, UplinkEstimate, Verdict,
    client_config, decide, endpoint_config, server_config,
};
use quinn_proto::{ConnectionHandle, DatagramEvent, Endpoint, Incoming, Transmit};
use swarm::Meter;
use wire::message::ByeReason;
use wire::{Bitrate, PeerId, SecretKey};

use super::early::{Ear, connected, proven, seal, tell};
use super::ether::Datagram;
use super::link::{Link, Stage, Step, after};
use super::moment::Moment;
use super::seeds::{NoDate, Seeds};
use super::{Event, SHUTDOWN_TIMEOUT, Shared};
use crate::net::{Arrival, Letter, addr_of, peer_at};
use crate::time::SimTime;

/// Datagrams that QUIC may make at a time, as many as quinn asks for.
const BATCH: usize = 10;

/// See the module's description.
pub(super) struct Host {
    number: u32,
    key: SecretKey,
    id: PeerId,
    tls: Tls,
    acceptor: Option<Acceptor>,
    /// How often it has come.
    times: u64,
    seeds: Seeds,
    /// Somebody acts for it.
    pub(super) present: bool,
    /// `None` before it comes, and when it is gone.
    endpoint: Option<Endpoint>,
    links: BTreeMap<usize, Link>,
    /// The connection with each peer.
    table: BTreeMap<u32, usize>,
    dialling: BTreeSet<u32>,
    /// Dials that wait for their turn, and what is to be said with the first packet.
    waiting: VecDeque<(u32, Vec<Bytes>)>,
    pub(super) greeting: Option<Bytes>,
    /// How many of those who dial it are answered.
    pub(super) strangers: Meter,
    pub(super) departed: u64,
    /// What it makes of its uplink, as the program does.
    uplink: UplinkEstimate,
    /// Chunks not sent over connections that are no more.
    dropped: u64,
    buffer: Vec<u8>,
}

impl Host {
    pub(super) fn new(number: u32, key: SecretKey) -> Result<Self, TlsError> {
        Ok(Host {
            number,
            id: key.peer_id(),
            tls: Tls::new(&key)?,
            acceptor: None,
            times: 0,
            seeds: Seeds::new(&key.to_bytes(), 0),
            key,
            present: false,
            endpoint: None,
            links: BTreeMap::new(),
            table: BTreeMap::new(),
            dialling: BTreeSet::new(),
            waiting: VecDeque::new(),
            greeting: None,
            strangers: Meter::default(),
            departed: 0,
            uplink: UplinkEstimate::new(None),
            dropped: 0,
            buffer: Vec::new(),
        })
    }

    pub(super) fn id(&self) -> PeerId {
        self.id
    }

    /// It comes, or comes again.
    pub(super) fn start(&mut self, shared: &Shared) -> Result<(), TlsError> {
        self.vanish();
        self.times += 1;
        self.present = true;
        self.strangers = Meter::default();
        self.seeds = Seeds::new(&self.key.to_bytes(), self.times);
        let mut config = endpoint_config(&self.key);
        let ids = self.seeds.clone();
        config.cid_generator(move || Box::new(ids.clone()));
        let mut server = server_config(&self.tls, &shared.tuning)?;
        server.time_source(Arc::new(NoDate));
        self.acceptor = Some(Acceptor::new(&self.tls, server.clone())?);
        let seed = self.seeds.seed();
        self.endpoint = Some(Endpoint::new(
            Arc::new(config),
            Some(Arc::new(server)),
            true,
            Some(seed),
        ));
        Ok(())
    }

    /// It is told what its uplink carries.
    pub(super) fn claim(&mut self, rate: Bitrate) {
        self.uplink = UplinkEstimate::new(Some(rate));
    }

    /// What it finds that its uplink carries, if that has changed.
    pub(super) fn found_upload(&mut self, at: Moment) -> Option<Bitrate> {
        if !self.present || !self.uplink.is_due(at.time()) {
            return None;
        }
        let in_use = self
            .links
            .iter()
            .filter(|(handle, link)| self.table.get(&link.other) == Some(handle));
        let paths: Vec<PathSample> = in_use
            .map(|(handle, link)| {
                let stats = link.conn.stats();
                PathSample {
                    peer: self.id,
                    connection: *handle,
                    sent: stats.udp_tx.bytes + stats.udp_tx.datagrams * IP_UDP_HEADERS,
                    lost: stats.path.lost_bytes,
                    waiting: link.queue.chunk_bytes() as u64,
                    rtt: stats.path.rtt,
                    min_rtt: link.conn.min_rtt(),
                }
            })
            .collect();
        self.uplink.update(at.time(), &paths)
    }

    /// It is gone, without a word.
    pub(super) fn vanish(&mut self) {
        self.dropped += self.links.values().map(dropped).sum::<u64>();
        self.present = false;
        self.endpoint = None;
        self.links.clear();
        self.table.clear();
        self.dialling.clear();
        self.waiting.clear();
    }

    /// It says goodbye to everybody, and has some time for that.
    pub(super) fn leave(&mut self, shared: &mut Shared, at: Moment) {
        self.present = false;
        self.waiting.clear();
        for (handle, link) in &mut self.links {
            if self.table.get(&link.other) == Some(handle) {
                link.leave(ByeReason::Leaving);
            } else {
                link.close(at, Code::Done);
            }
            shared.dirty.insert((self.number, *handle));
        }
        let gone = Event::Gone(self.number, self.times);
        shared.ether.later(after(at.now, SHUTDOWN_TIMEOUT), gone);
    }

    /// The time for goodbyes is over.
    pub(super) fn gone(&mut self, shared: &mut Shared, at: Moment, times: u64) {
        if times != self.times || self.present {
            return;
        }
        let handles: Vec<usize> = self.links.keys().copied().collect();
        for handle in handles {
            if let Some(link) = self.links.get_mut(&handle) {
                link.close(at, Code::Done);
            }
            self.transmit(shared, at, handle);
        }
        self.vanish();
    }

    pub(super) fn has(&self, other: u32) -> bool {
        self.table.contains_key(&other)
    }

    /// The connection with a peer, to send over.
    pub(super) fn link_with(&mut self, shared: &mut Shared, other: u32) -> Option<&mut Link> {
        let handle = *self.table.get(&other)?;
        shared.dirty.insert((self.number, handle));
        self.links.get_mut(&handle)
    }

    /// Dials, or waits for its turn; false if that is not needed.
    pub(super) fn dial(&mut self, shared: &mut Shared, at: Moment, other: u32, opening: Vec<Bytes>) -> bool {
        let waits = self.waiting.iter().any(|(waiting, _)| *waiting == other);
        if self.has(other) || self.dialling.contains(&other) || waits {
            return false;
        }
        self.waiting.push_back((other, opening));
        self.dial_next(shared, at);
        true
    }

    fn dial_next(&mut self, shared: &mut Shared, at: Moment) {
        while self.dialling.len() < MAX_DIALS {
            let Some((other, opening)) = self.waiting.pop_front() else {
                return;
            };
            if self.has(other) {
                continue;
            }
            let id = shared.ids[other as usize];
            let opening = seal(&self.key, self.number, id, &opening);
            let config = client_config(&self.tls, &shared.tuning, Some(id), opening.as_deref());
            let first_id = self.seeds.first_id();
            let Some((mut config, endpoint)) = config.ok().zip(self.endpoint.as_mut()) else {
                return;
            };
            config.initial_dst_cid_provider(Arc::new(move || first_id));
            if let Ok((handle, conn)) = endpoint.connect(at.instant, config, addr_of(other), SERVER_NAME) {
                self.dialling.insert(other);
                self.links.insert(handle.0, Link::new(conn, other, true, at.now));
                shared.dirty.insert((self.number, handle.0));
            }
        }
    }

    /// A datagram has come.
    pub(super) fn datagram(&mut self, shared: &mut Shared, at: Moment, datagram: Datagram) {
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        self.buffer.clear();
        let from = addr_of(datagram.from);
        match endpoint.handle(at.instant, from, None, None, datagram.data, &mut self.buffer) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(link) = self.links.get_mut(&handle.0) {
                    link.conn.handle_event(event);
                    shared.dirty.insert((self.number, handle.0));
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.accept(shared, at, incoming),
            Some(DatagramEvent::Response(transmit)) => self.respond(shared, at, &transmit),
            None => {}
        }
    }

    fn accept(&mut self, shared: &mut Shared, at: Moment, incoming: Incoming) {
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        self.buffer.clear();
        if !self.present || !self.strangers.admits(at.time()) {
            let refusal = endpoint.refuse(incoming, &mut self.buffer);
            self.respond(shared, at, &refusal);
            return;
        }
        let other = peer_at(incoming.remote_address()).unwrap_or_default();
        let Some(Ok((config, heard))) = self.acceptor.as_ref().map(Acceptor::next) else {
            return;
        };
        match endpoint.accept(incoming, at.instant, &mut self.buffer, Some(config)) {
            Ok((handle, conn)) => {
                let mut link = Link::new(conn, other, false, at.now);
                let ear = Ear {
                    heard,
                    own: self.id,
                    other: shared.ids[other as usize],
                };
                link.listen(ear, self.greeting.clone());
                self.links.insert(handle.0, link);
                shared.dirty.insert((self.number, handle.0));
            }
            Err(error) => {
                if let Some(response) = error.response {
                    self.respond(shared, at, &response);
                }
            }
        }
    }

    fn respond(&mut self, shared: &mut Shared, at: Moment, transmit: &Transmit) {
        if let Some(to) = peer_at(transmit.destination) {
            let data = &self.buffer[..transmit.size];
            self.departed += shared.ether.send(at.now, self.number, to, data);
        }
    }

    /// Looks after a connection for which something has happened.
    pub(super) fn drive(&mut self, shared: &mut Shared, at: Moment, handle: usize) {
        loop {
            let Some(link) = self.links.get_mut(&handle) else {
                return;
            };
            let mut steps = Vec::new();
            link.poll(at, &shared.streams, &mut steps);
            link.write(at, shared.origin, &mut steps);
            if shared.ether.counting {
                let (copies, media) = link.outgoing.take_sent();
                let books = &mut shared.books[self.number as usize];
                books.copies_out += copies;
                books.media_out += media;
            } else {
                link.outgoing.take_sent();
            }
            let done = steps.is_empty();
            for step in steps {
                self.step(shared, at, handle, step);
            }
            self.transmit(shared, at, handle);
            self.forward(handle);
            if done {
                break;
            }
        }
        self.set_timer(shared, at, handle);
    }

    fn step(&mut self, shared: &mut Shared, at: Moment, handle: usize, step: Step) {
        let Some(link) = self.links.get_mut(&handle) else {
            return;
        };
        let (peer, other) = (self.number, link.other);
        let in_use = link.in_use() && self.present;
        match step {
            Step::Opened(said) if self.present => {
                // The connection is ready, if there is no other.
                if let Entry::Vacant(place) = self.table.entry(other) {
                    place.insert(handle);
                    link.early = true;
                    shared.ether.arrive(connected(peer, link));
                }
                tell(shared, peer, other, &said);
                link.said = said;
            }
            Step::Established if link.dialled => self.dialled(shared, at, handle),
            Step::Established => {
                link.expect_hello(at.now);
                if in_use && self.table.get(&other) == Some(&handle) {
                    shared.ether.arrive(proven(peer, link));
                }
            }
            Step::Greeted if link.stage == Stage::Opening => {
                link.run(peer, at.now);
                self.register(shared, at, handle);
            }
            Step::Greeted => {}
            Step::Ended => self.ended(shared, at, handle),
            Step::Chunk { chunk, hops, repair } if in_use => shared.ether.arrive(Arrival::Chunk {
                peer,
                from: other,
                hops,
                repair,
                chunk,
            }),
            Step::Message { message, bytes } if in_use => shared.ether.arrive(Arrival::Letter {
                peer,
                from: other,
                bytes,
                letter: Letter::Message(message),
            }),
            Step::Backlog(backlog) if in_use => shared.ether.arrive(Arrival::Backlog {
                peer,
                other,
                queued: backlog.queued,
                rtt: backlog.rtt,
            }),
            Step::Bad(why) => shared.ether.arrive(Arrival::Broken {
                peer,
                from: other,
                why,
            }),
            Step::Opened(_) | Step::Chunk { .. } | Step::Message { .. } | Step::Backlog(_) => {}
        }
    }

    /// Somebody answered a dial.
    fn dialled(&mut self, shared: &mut Shared, at: Moment, handle: usize) {
        let Some(link) = self.links.get(&handle) else {
            return;
        };
        let other = link.other;
        self.dialling.remove(&other);
        let verdict = self.verdict(shared, at, handle);
        if let Some(link) = self.links.get_mut(&handle) {
            // Who took the opening has taken note of the connection, too, and may have answered on it.
            let unknown = matches!(verdict, Some((_, Verdict::Yield))) && !link.opening_taken;
            if unknown || matches!(verdict, Some((_, Verdict::Replace))) {
                link.close(at, Code::Duplicate);
            } else {
                link.run(self.number, at.now);
                self.register(shared, at, handle);
            }
        }
        self.dial_next(shared, at);
    }

    /// What a connection means for the one that there is with the same peer.
    fn verdict(&self, shared: &Shared, at: Moment, handle: usize) -> Option<(usize, Verdict)> {
        let new = self.links.get(&handle)?;
        let old_handle = *self.table.get(&new.other)?;
        let old = self.links.get(&old_handle)?;
        if !old.proven {
            // It has its say when it is.
            let verdict = if new.dialled {
                Verdict::Supersede
            } else {
                Verdict::Replace
            };
            return Some((old_handle, verdict));
        }
        let age = std::time::Duration::from_nanos(at.now.since(old.opened));
        let other = shared.ids[new.other as usize];
        let verdict = decide(self.id, other, old.dialled, age, new.dialled);
        Some((old_handle, verdict))
    }

    /// A connection is ready: is it the one with this peer?
    fn register(&mut self, shared: &mut Shared, at: Moment, handle: usize) {
        let verdict = self.verdict(shared, at, handle);
        let Some(link) = self.links.get_mut(&handle) else {
            return;
        };
        let (peer, other) = (self.number, link.other);
        match verdict {
            // It was registered as soon as its opening was there.
            Some((old, _)) if old == handle => return,
            Some((_, Verdict::Yield)) => {
                link.yield_to_other(at.now);
                return;
            }
            Some((old, Verdict::Supersede)) => {
                self.table.insert(other, handle);
                if self.present && self.links.get(&old).is_some_and(|old| !old.proven) {
                    if let Some(link) = self.links.get(&handle) {
                        shared.ether.arrive(proven(peer, link));
                    }
                    return;
                }
                if let Some(old) = self.links.get_mut(&old) {
                    old.supersede();
                }
                shared.dirty.insert((peer, old));
                return;
            }
            Some((old, Verdict::Replace)) => {
                if let Some(old) = self.links.get_mut(&old) {
                    old.close(at, Code::Done);
                }
                shared.dirty.insert((peer, old));
                self.ended(shared, at, old);
            }
            None => {}
        }
        self.table.insert(other, handle);
        if let Some(link) = self.links.get(&handle).filter(|_| self.present) {
            shared.ether.arrive(connected(peer, link));
            // To a node that knew of no connection, or of another that is lost.
            tell(shared, peer, other, &link.said);
        }
    }

    /// A connection is over.
    fn ended(&mut self, shared: &mut Shared, at: Moment, handle: usize) {
        let Some(other) = self.links.get(&handle).map(|link| link.other) else {
            return;
        };
        let was_the_one = self.table.get(&other) == Some(&handle);
        if was_the_one {
            self.table.remove(&other);
        }
        let dialled = self.links.get(&handle).is_some_and(|link| link.dialled);
        // Nobody answered; it counts only if no dial from there was answered meanwhile.
        let unanswered = dialled && !was_the_one && self.dialling.remove(&other) && !self.has(other);
        if self.present && (was_the_one || unanswered) {
            let peer = self.number;
            shared.ether.arrive(Arrival::Disconnected { peer, other });
        }
        if self.present {
            self.dial_next(shared, at);
        }
    }

    fn transmit(&mut self, shared: &mut Shared, at: Moment, handle: usize) {
        let Some(link) = self.links.get_mut(&handle) else {
            return;
        };
        loop {
            let handshake = link.conn.is_handshaking();
            self.buffer.clear();
            let Some(transmit) = link.conn.poll_transmit(at.instant, BATCH, &mut self.buffer) else {
                return;
            };
            let size = transmit.segment_size.unwrap_or(transmit.size).max(1);
            for datagram in self.buffer[..transmit.size].chunks(size) {
                let bytes = shared.ether.send(at.now, self.number, link.other, datagram);
                self.departed += bytes;
                if handshake && shared.ether.counting {
                    shared.books[self.number as usize].handshake_out += bytes;
                    shared.books[link.other as usize].handshake_in += bytes;
                }
            }
        }
    }

    /// What connection and endpoint have to say to each other.
    fn forward(&mut self, handle: usize) {
        let Some((link, endpoint)) = self.links.get_mut(&handle).zip(self.endpoint.as_mut()) else {
            return;
        };
        let mut drained = false;
        while let Some(event) = link.conn.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(event) = endpoint.handle_event(ConnectionHandle(handle), event) {
                link.conn.handle_event(event);
            }
        }
        if drained {
            self.dropped += dropped(link);
            self.links.remove(&handle);
        }
    }

    fn set_timer(&mut self, shared: &mut Shared, at: Moment, handle: usize) {
        let Some(link) = self.links.get_mut(&handle) else {
            return;
        };
        // What QUIC should have done a while ago, by what it has only just heard (a packet counts as lost so long after it was sent),
        // it does now.
        let due = link.next_deadline(shared.origin).max(at.now);
        if due < link.timer {
            link.timer = due;
            shared.ether.later(due, Event::Timer(self.number, handle as u32));
        }
    }

    /// A timer event has come; it means something only if it is the live one.
    pub(super) fn timer(&mut self, shared: &mut Shared, now: SimTime, handle: usize) {
        if let Some(link) = self.links.get_mut(&handle).filter(|link| link.timer == now) {
            link.timer = SimTime(u64::MAX);
            shared.dirty.insert((self.number, handle));
        }
    }

    /// Chunks that were not sent.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped + self.links.values().map(dropped).sum::<u64>()
    }
}

fn dropped(link: &Link) -> u64 {
    let dropped = link.queue.dropped();
    dropped.expired + dropped.overflowed
}
