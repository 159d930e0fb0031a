//! What is said between peers of a stream and its local tracker (the paper, §4).

use std::net::SocketAddr;

use coords::Coord;
use serde::{Deserialize, Serialize};

use super::{MAX_ADDRS, MAX_LAGS, MAX_RING_LIST, MAX_TRACKERS, RefuseReason, RingNode, Role};
use crate::sign::{Domain, SecretKey, SignatureError, Signed, Statement, Verifier};
use crate::{Bitrate, List, PeerId, Seq, StreamId, StreamInfo, SubstreamSet, Time};

/// Most peers in one answer: 8 near + 16 toward the source + 10 jumps + 6 random, and some room.
pub const MAX_PEERS: usize = 48;

/// One peer of a stream, as it tells its local tracker and as the tracker tells others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Who.
    #[serde(rename = "p")]
    pub peer: PeerId,
    /// Where it can be reached; empty if it can only dial out.
    #[serde(rename = "a")]
    pub addrs: List<SocketAddr, MAX_ADDRS>,
    /// Where it is in the delay space.
    #[serde(rename = "c", with = "crate::compact_coord")]
    pub coord: Coord,
    /// What it does in the stream.
    #[serde(rename = "r")]
    pub role: Role,
    /// How many substream copies it can send in all.
    #[serde(rename = "s")]
    pub slots: u16,
    /// How many of those are unused.
    #[serde(rename = "f")]
    pub free_slots: u16,
    /// The substreams it passes on.
    #[serde(rename = "u")]
    pub primaries: SubstreamSet,
    /// The substreams in which it has a child that passes nothing on, and would make room for one that does.
    #[serde(rename = "v")]
    pub leaves: SubstreamSet,
    /// The substreams it receives from a supplier, so that it could supply them.
    #[serde(rename = "h")]
    pub has: SubstreamSet,
    /// Its mean arrival lag in milliseconds; `None` before its first chunk.
    #[serde(rename = "l")]
    pub lag_ms: Option<u16>,
}

/// Registers with the local tracker, renews the registration, and asks for peers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// The stream.
    pub stream: StreamId,
    /// The sender. The tracker takes the id from the connection, not from here.
    pub record: PeerRecord,
    /// How many peers it would like to hear of; 0 only renews and is not answered.
    pub want: u8,
    /// Substreams it lacks a supplier for: peers that can spare these come first.
    pub need: SubstreamSet,
    /// Its uplink, from which the tracker reckons the slots of a peer that does not know the stream's rate yet.
    pub upload: Bitrate,
    /// Session and revision of the description it has, so that the answer need not repeat it.
    pub known: Option<(Seq, u32)>,
    /// Slots in all [`Hold`]s that came, wrapping round: these promises the free slots of `record` count already, later ones
    /// they do not.
    pub promised: u32,
}

impl Statement for Join {
    const DOMAIN: Domain = Domain::GUEST;
}

/// A newcomer's first [`Join`] to whoever it knows: passed on to a tracker of the stream, which calls the newcomer and says its
/// answer with the first packet. So that is there after three one-way delays instead of three round trips.
///
/// It proves who wants to join, and not that it is where it says, nor when it was said: whoever is given one does little for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    /// Who wants to join.
    pub peer: PeerId,
    /// Where it can be called, as whoever it asked first sees it; nothing from itself.
    pub addrs: List<SocketAddr, MAX_ADDRS>,
    /// What it says to the tracker, signed by its key.
    pub join: Signed<Join>,
}

impl Guest {
    /// A newcomer's own.
    pub fn new(join: &Join, key: &SecretKey) -> Self {
        Guest {
            peer: key.peer_id(),
            addrs: List::default(),
            join: Signed::new(join, key),
        }
    }

    /// Checks the signature, and reads what is said.
    ///
    /// # Errors
    /// A [`SignatureError`] when it is not that peer's word about itself.
    pub fn open(&self) -> Result<Join, SignatureError> {
        let join = self.join.open(&Verifier::new(self.peer.as_bytes())?)?;
        if join.record.peer != self.peer {
            return Err(SignatureError::Subject);
        }
        Ok(join)
    }
}

/// The tracker's answer to [`Join`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The stream.
    pub stream: StreamId,
    /// The stream's description, signed by its key; `None` if the asker has it.
    pub info: Option<Signed<StreamInfo>>,
    /// Peers to connect to, most useful first.
    pub peers: List<PeerRecord, MAX_PEERS>,
    /// For each of `peers` the substreams for which a slot there is held for the asker, each with one peer at most; peers
    /// beyond the end of the list hold none.
    pub seats: List<SubstreamSet, MAX_PEERS>,
    /// Renew after so many milliseconds; the registration expires after three times that.
    pub refresh_ms: u32,
    /// The newest chunk.
    pub head: Seq,
    /// When the newest chunk was generated, on the peercaster's clock.
    pub head_at: Time,
    /// The newest chunk a player can start with.
    pub random_access: Option<Seq>,
    /// The usual distance between such chunks in milliseconds; `None` while it is not known.
    pub random_access_every_ms: Option<u32>,
    /// Substreams that a newcomer should pass on: where help is shortest.
    pub primaries: SubstreamSet,
    /// For each substream the free slots among those who pass it on: where help is short.
    pub supply: List<u16, MAX_LAGS>,
    /// How many peers are registered.
    pub members: u32,
    /// That the sender may keep a tracker of this stream, signed by the stream's key: goes with `info`, since whoever needs that
    /// has no reason yet to believe the sender. No description without it.
    pub appointment: Option<Signed<Appointment>>,
    /// The stream's other local trackers, the nearest to the sender first.
    pub siblings: List<RingNode, MAX_RING_LIST>,
    /// Who takes over when the sender is gone. In a box, so that this message is not much larger than all others.
    pub deputy: Option<Box<RingNode>>,
}

/// The stream's word that a peer may keep a local tracker of it. It does not end by itself, because there is no common clock:
/// what ends is the tracker's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// The stream, whose key signs this.
    pub stream: StreamId,
    /// The tracker.
    pub tracker: PeerId,
    /// Greater in every later appointment of the stream.
    pub serial: u64,
}

impl Appointment {
    /// Appoints a tracker of the stream that this key signs.
    pub fn sign(key: &SecretKey, tracker: PeerId, serial: u64) -> Signed<Self> {
        let stream = key.stream_id();
        let appointment = Appointment {
            stream,
            tracker,
            serial,
        };
        Signed::new(&appointment, key)
    }

    /// Checks that the stream appoints this tracker.
    ///
    /// # Errors
    /// A [`SignatureError`] when the stream's key did not sign it, or it speaks of another stream or tracker.
    pub fn open(signed: &Signed<Self>, stream: StreamId, tracker: PeerId) -> Result<Self, SignatureError> {
        let appointment = signed.open(&Verifier::new(stream.as_bytes())?)?;
        if (appointment.stream, appointment.tracker) != (stream, tracker) {
            return Err(SignatureError::Subject);
        }
        Ok(appointment)
    }
}

impl Statement for Appointment {
    const DOMAIN: Domain = Domain::APPOINTMENT;
}

#[cfg(test)]
mod tests;

/// The tracker tells a member that it has promised one of its slots for each of these substreams to a joiner, which will
/// ask for them when its connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The stream.
    pub stream: StreamId,
    /// The joiner.
    pub peer: PeerId,
    /// The substreams.
    pub substreams: SubstreamSet,
}

/// Most peers in a [`Greeting`]: their records take some 90 bytes each. Together with the certificate that is less than a
/// host may send to an address that has not proved itself, three times what came from there (RFC 9000, section 8.1).
pub const MAX_GREETED: usize = 8;

/// What a tracker's host tells whoever dials it along with its part of the handshake, before it can know who that is: the
/// peers that it would name to a newcomer now. So a newcomer dials them a round trip sooner. No slot is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Greeting {
    /// The stream.
    pub stream: StreamId,
    /// Peers with room for a newcomer's substreams, those with most of it first.
    pub peers: List<PeerRecord, MAX_GREETED>,
}

/// The tracker's refusal, or that of a peer that is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinRefused {
    /// The stream.
    pub stream: StreamId,
    /// Why.
    pub reason: RefuseReason,
    /// Who is the stream's tracker, if the sender is not and knows who is.
    pub trackers: List<RingNode, MAX_TRACKERS>,
}

/// Leaves a stream: the tracker forgets the peer, suppliers stop, children look elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The stream.
    pub stream: StreamId,
}
