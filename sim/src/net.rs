//! The network between peers: an interface, and two models behind it.
//!
//! The driver tells the network what peers want sent and asks it nothing about how. What it will do later it puts into
//! the driver's queue as an [`Event`], which comes back to it when the time has come; what reaches a peer it hands over as
//! an [`Arrival`]. [`Flow`] reckons with copies of chunks and messages as wholes, [`Packets`] with each packet of real QUIC
//! connections.

mod addr;
mod books;
mod conns;
mod flow;
mod fluid;
mod packet;
#[cfg(test)]
mod repeats;
mod weather;

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarm::{Allowance, Class, Rejection};
use wire::{Bitrate, Chunk, Message, SecretKey};

pub(crate) use addr::{addr_of, peer_at};
pub(crate) use books::{Books, Lost};
pub(crate) use flow::{Flow, FlowConfig};
pub(crate) use fluid::{Line, packet_loss, packets, wire_bytes};
pub(crate) use packet::{Counted, PacketConfig, Packets};
pub(crate) use weather::Weather;

use crate::baseline::Note;
use crate::time::SimTime;

/// What goes over a connection beside chunks.
#[derive(Debug)]
pub(crate) enum Letter {
    Message(Box<Message>),
    Note(Box<Note>),
}

impl Letter {
    /// The number of its kind in the audit; no message of the wire has that of a note.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Letter::Message(message) => message.code(),
            Letter::Note(_) => u8::MAX,
        }
    }
}

/// A letter to be sent.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) letter: Letter,
    /// Its length on the ordered stream.
    pub(crate) bytes: u64,
    /// As it goes there; empty for a baseline's notes, which have no form on the wire.
    pub(crate) frame: Bytes,
}

/// What is said along with a first packet: messages, and as they go over the wire.
pub(crate) type Opening = Vec<(Box<Message>, Bytes)>;

/// A copy of a chunk to be sent.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) hops: u8,
    pub(crate) class: Class,
    /// The last instant at which sending it is worth anything.
    pub(crate) until: SimTime,
}

/// A peer as the network sees it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) key: SecretKey,
    pub(crate) upload_bps: u64,
    pub(crate) download_bps: Option<u64>,
}

/// Something that reaches a peer.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// The handshake with `other` is done at `peer`; or it has begun with an opening, and has no round trip yet. `opened`: this side's
    /// opening has been taken.
    Connected {
        peer: u32,
        other: u32,
        dialled: bool,
        rtt: Option<Duration>,
        opened: bool,
    },
    /// The handshake that began with `other`'s opening is done at `peer`.
    Proven { peer: u32, other: u32, rtt: Duration },
    /// `peer` learns that its connection with `other` is over, or that it could not be made.
    Disconnected { peer: u32, other: u32 },
    /// A copy of a chunk.
    Chunk {
        peer: u32,
        from: u32,
        hops: u8,
        repair: bool,
        chunk: Arc<Chunk>,
    },
    /// A letter, and its length on the ordered stream.
    Letter {
        peer: u32,
        from: u32,
        bytes: u32,
        letter: Letter,
    },
    /// What waits at `peer` for `other`, and the round trip between them.
    Backlog {
        peer: u32,
        other: u32,
        queued: usize,
        rtt: Duration,
    },
    /// Something that no honest peer sends.
    Broken { peer: u32, from: u32, why: Rejection },
}

/// Something that the network will do.
#[derive(Debug)]
pub(crate) enum Event {
    Flow(flow::Event),
    Packet(packet::Event),
}

/// What comes out of a model: events for later, and arrivals now, both in their order.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) later: Vec<(SimTime, Event)>,
    pub(crate) arrivals: VecDeque<Arrival>,
}

/// What every model of the network can do. Peers go by their numbers, which are those of the order in which they were added.
pub(crate) trait Network {
    /// One more peer, that is not there yet.
    fn add(&mut self, now: SimTime, site: Site);

    /// A peer is there from now on, for the first time or again.
    fn start(&mut self, now: SimTime, peer: u32);

    /// A peer goes, `silently` or with a word to its neighbours.
    fn leave(&mut self, now: SimTime, peer: u32, silently: bool);

    /// Dials a peer that is `one_way_ns` away, with this said along with the first packet; false if there is a connection already, or
    /// on its way.
    fn connect(&mut self, now: SimTime, from: u32, to: u32, one_way_ns: u64, opening: Opening) -> bool;

    /// Ends a connection after what was sent before. True if it is over at this side now; otherwise there is an arrival when
    /// it is.
    fn hang_up(&mut self, now: SimTime, from: u32, to: u32) -> bool;

    /// Whether `from` may send to `to`.
    fn is_open(&self, from: u32, to: u32) -> bool;

    /// Sends a copy of a chunk over an open connection.
    fn send_chunk(&mut self, now: SimTime, from: u32, to: u32, copy: Copy);

    /// Sends a letter over an open connection.
    fn send(&mut self, now: SimTime, from: u32, to: u32, mail: Mail);

    /// What `peer` says to whoever dials it, along with the handshake.
    fn greet(&mut self, peer: u32, greeting: Option<(Box<Message>, Bytes)>);

    /// How many of those who dial `peer` it answers; `None`: all of them. The others hear that they are turned away.
    fn answer_only(&mut self, peer: u32, allowance: Option<Allowance>);

    /// Sends what has been handed over. The driver calls it after everything else.
    fn flush(&mut self, now: SimTime);

    /// Probability of loss from now on.
    fn set_loss(&mut self, loss: f64);

    /// Another uplink; what is queued there keeps its time.
    fn set_upload(&mut self, peer: u32, bps: u64);

    /// What `peer` was told that its uplink carries, from now on.
    fn claim(&mut self, _peer: u32, _rate: Bitrate) {}

    /// What `peer` finds that its uplink carries, if it could tell and that has changed since the last call.
    fn found_upload(&mut self, _now: SimTime, _peer: u32) -> Option<Bitrate> {
        None
    }

    /// Whether what is sent is counted from now on.
    fn count(&mut self, on: bool);

    /// The uplink of a peer.
    fn uplink(&self, peer: u32) -> &Line;

    /// Bytes that have left `peer` since the last call, if it could count them.
    fn take_departed(&mut self, _peer: u32) -> u64 {
        0
    }

    /// What `peer` sent while that was counted.
    fn books(&self, peer: u32) -> Books;

    /// What was lost of the copies sent, in the whole run.
    fn lost(&self) -> Lost;

    /// What has come out and was not taken yet.
    fn out(&mut self) -> &mut Out;
}

/// One of the models.
pub(crate) enum Net {
    Flow(Box<Flow>),
    Packets(Box<Packets>),
}

impl Net {
    /// One of its events has come.
    pub(crate) fn handle(&mut self, now: SimTime, event: Event) {
        match (self, event) {
            (Net::Flow(net), Event::Flow(event)) => net.handle(now, event),
            (Net::Packets(net), Event::Packet(event)) => net.handle(now, event),
            (_, event) => unreachable!("no model but this one is in the run: {event:?}"),
        }
    }

    /// What was sent while it was counted, if packets are modelled.
    pub(crate) fn counted(&self) -> Option<Counted> {
        match self {
            Net::Flow(_) => None,
            Net::Packets(net) => Some(net.counted()),
        }
    }
}

impl Deref for Net {
    type Target = dyn Network;

    fn deref(&self) -> &Self::Target {
        match self {
            Net::Flow(net) => &**net,
            Net::Packets(net) => &**net,
        }
    }
}

impl DerefMut for Net {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Net::Flow(net) => &mut **net,
            Net::Packets(net) => &mut **net,
        }
    }
}
