//! The packet level: peers talk over real QUIC connections, each packet of which goes through the same network.
//!
//! The connections are `quinn-proto`'s, of the same release as the program's, with the program's own handshake, settings
//! and congestion control (`peer/quic`), driven in virtual time. `docs/SIMULATION.md` says what is modelled beside.

mod control;
mod early;
mod ether;
mod host;
mod incoming;
mod link;
mod moment;
mod outgoing;
mod seeds;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use quic::{QueuedChunk, Streams, Tuning};
use swarm::Allowance;
use wire::message::ByeReason;
use wire::{Bitrate, Message, PeerId, StreamId};

use super::fluid::packet_loss;
use super::{Arrival, Books, Copy, Line, Lost, Mail, Network, Out, Site, Weather};
use crate::time::SimTime;
use ether::{Datagram, Ether};
use host::Host;
use moment::{Moment, Origin, time_of};

pub(crate) use ether::Counted;

/// How long goodbyes may take at the end, as in the program.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// What the model is given.
#[derive(Debug)]
pub(crate) struct PacketConfig {
    /// Whose loss is that of whole copies.
    pub(crate) weather: Weather,
    /// Probability that a copy is lost.
    pub(crate) loss: f64,
    /// Packets of a copy.
    pub(crate) packets: u64,
    /// Longest queue before an uplink or downlink.
    pub(crate) queue_ns: u64,
    /// Until a silent peer counts as gone.
    pub(crate) idle_timeout: Duration,
    /// What is streamed.
    pub(crate) stream: StreamId,
}

/// Something that the model will do.
#[derive(Debug)]
pub(crate) enum Event {
    /// A datagram reaches its receiver, or its downlink.
    Datagram(Box<Datagram>),
    /// A connection of a host is to be looked after.
    Timer(u32, u32),
    /// A host that has left is gone, unless it has come again.
    Gone(u32, u64),
}

/// What all hosts have to do with.
struct Shared {
    origin: Origin,
    tuning: Tuning,
    streams: Streams,
    ether: Ether,
    ids: Vec<PeerId>,
    books: Vec<Books>,
    /// Connections, by host, for which something has happened.
    dirty: BTreeSet<(u32, usize)>,
}

/// See the module's description.
pub(crate) struct Packets {
    hosts: Vec<Host>,
    shared: Shared,
    /// Packets of a copy.
    packets: u64,
}

impl Packets {
    pub(crate) fn new(mut config: PacketConfig) -> Self {
        config.weather.set_loss(packet_loss(config.packets, config.loss));
        let streams = Streams::default();
        streams.add(config.stream);
        Packets {
            hosts: Vec::new(),
            shared: Shared {
                origin: Origin::new(),
                tuning: Tuning {
                    idle_timeout: config.idle_timeout,
                    ..Tuning::default()
                },
                streams,
                ether: Ether::new(config.weather, config.queue_ns),
                ids: Vec::new(),
                books: Vec::new(),
                dirty: BTreeSet::new(),
            },
            packets: config.packets,
        }
    }

    /// What was sent while that was counted.
    pub(crate) fn counted(&self) -> Counted {
        self.shared.ether.counted
    }

    pub(super) fn handle(&mut self, now: SimTime, event: Event) {
        let at = self.shared.origin.at(now);
        match event {
            Event::Datagram(datagram) => {
                if let Some(datagram) = self.shared.ether.land(now, datagram) {
                    let host = &mut self.hosts[datagram.to as usize];
                    host.datagram(&mut self.shared, at, *datagram);
                }
            }
            Event::Timer(host, handle) => {
                self.hosts[host as usize].timer(&mut self.shared, now, handle as usize);
            }
            Event::Gone(host, times) => self.hosts[host as usize].gone(&mut self.shared, at, times),
        }
    }

    fn at(&self, now: SimTime) -> Moment {
        self.shared.origin.at(now)
    }
}

impl Network for Packets {
    fn add(&mut self, now: SimTime, site: Site) {
        let number = self.hosts.len() as u32;
        let host = Host::new(number, site.key).expect("TLS takes every ed25519 key");
        self.shared.ids.push(host.id());
        self.shared.books.push(Books::default());
        let downlink = site.download_bps.map(|bps| Line::new(bps, now));
        self.shared.ether.add(Line::new(site.upload_bps, now), downlink);
        self.hosts.push(host);
    }

    fn start(&mut self, _now: SimTime, peer: u32) {
        let started = self.hosts[peer as usize].start(&self.shared);
        started.expect("TLS has what QUIC needs");
    }

    fn leave(&mut self, now: SimTime, peer: u32, silently: bool) {
        let at = self.at(now);
        let host = &mut self.hosts[peer as usize];
        if silently {
            host.vanish();
        } else {
            host.leave(&mut self.shared, at);
        }
    }

    fn connect(
        &mut self,
        now: SimTime,
        from: u32,
        to: u32,
        one_way_ns: u64,
        opening: super::Opening,
    ) -> bool {
        let at = self.at(now);
        self.shared.ether.know(from, to, one_way_ns);
        let opening = opening.into_iter().map(|(_, frame)| frame).collect();
        self.hosts[from as usize].dial(&mut self.shared, at, to, opening)
    }

    fn hang_up(&mut self, _now: SimTime, from: u32, to: u32) -> bool {
        if let Some(link) = self.hosts[from as usize].link_with(&mut self.shared, to) {
            link.leave(ByeReason::Unneeded);
        }
        // The node hears of it when it is over.
        false
    }

    fn is_open(&self, from: u32, to: u32) -> bool {
        // As long as its node has not heard of the end, it may send.
        let untold = |arrival: &Arrival| matches!(arrival, Arrival::Disconnected { peer, other } if (*peer, *other) == (from, to));
        self.hosts[from as usize].has(to) || self.shared.ether.out.arrivals.iter().any(untold)
    }

    fn send_chunk(&mut self, now: SimTime, from: u32, to: u32, copy: Copy) {
        let at = self.at(now);
        if let Some(link) = self.hosts[from as usize].link_with(&mut self.shared, to) {
            let chunk = QueuedChunk {
                chunk: copy.chunk,
                hops: copy.hops,
                class: copy.class,
                expires: time_of(copy.until),
            };
            link.send_chunk(chunk, at);
        }
    }

    fn send(&mut self, _now: SimTime, from: u32, to: u32, mail: Mail) {
        if let Some(link) = self.hosts[from as usize].link_with(&mut self.shared, to) {
            link.send(mail.frame);
        }
    }

    fn greet(&mut self, peer: u32, greeting: Option<(Box<Message>, Bytes)>) {
        self.hosts[peer as usize].greeting = greeting.map(|(_, frame)| frame);
    }

    fn answer_only(&mut self, peer: u32, allowance: Option<Allowance>) {
        self.hosts[peer as usize].strangers.limit(allowance);
    }

    fn flush(&mut self, now: SimTime) {
        let at = self.at(now);
        while let Some((host, handle)) = self.shared.dirty.pop_first() {
            self.hosts[host as usize].drive(&mut self.shared, at, handle);
        }
    }

    fn set_loss(&mut self, loss: f64) {
        self.shared.ether.set_loss(packet_loss(self.packets, loss));
    }

    fn set_upload(&mut self, peer: u32, bps: u64) {
        self.shared.ether.set_upload(peer, bps);
    }

    fn claim(&mut self, peer: u32, rate: Bitrate) {
        self.hosts[peer as usize].claim(rate);
    }

    fn found_upload(&mut self, now: SimTime, peer: u32) -> Option<Bitrate> {
        let at = self.at(now);
        self.hosts[peer as usize].found_upload(at)
    }

    fn count(&mut self, on: bool) {
        self.shared.ether.counting = on;
    }

    fn uplink(&self, peer: u32) -> &Line {
        self.shared.ether.uplink(peer)
    }

    fn take_departed(&mut self, peer: u32) -> u64 {
        std::mem::take(&mut self.hosts[peer as usize].departed)
    }

    fn books(&self, peer: u32) -> Books {
        self.shared.books[peer as usize]
    }

    fn lost(&self) -> Lost {
        Lost {
            on_the_way: self.shared.ether.lost,
            expired: self.hosts.iter().map(Host::dropped).sum(),
        }
    }

    fn out(&mut self) -> &mut Out {
        &mut self.shared.ether.out
    }
}

#[cfg(test)]
mod tests;
