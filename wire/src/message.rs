//! The control messages. `docs/WIRE.md` has a table for each; a test keeps the two in step.

mod areas;
mod ring;
mod survey;
mod tracking;
mod trust;

use std::net::SocketAddr;

use coords::Coord;
use serde::{Deserialize, Serialize};

use crate::sign::Signed;
use crate::{List, PeerId, Seq, StreamId, StreamInfo, Substream, SubstreamSet, Time};

pub use areas::*;
pub use ring::*;
pub use survey::*;
pub use tracking::*;
pub use trust::*;

/// Most addresses named for one peer: two families, inside and outside a NAT.
pub const MAX_ADDRS: usize = 4;
/// Most chunks asked for in one message: half a second of the default stream.
pub const MAX_REQUESTS: usize = 64;
/// Most ancestors in a path: no tree that meets its deadline is deeper.
pub const MAX_PATH: usize = 32;
/// Most streams whose clocks one pong carries.
pub const MAX_CLOCKS: usize = 16;
/// Most lags in an advert: one for each substream.
pub const MAX_LAGS: usize = crate::MAX_SUBSTREAMS as usize;

/// What a peer does in a stream. One byte on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", from = "u8")]
pub enum Role {
    /// Plays the stream: 0.
    #[default]
    Consumer,
    /// The one source: 1.
    Peercaster,
    /// Carries the stream without playing it (non-consuming peer, NCP): 2.
    Donor,
    /// Plays the stream and gives nothing: 3.
    Passive,
    /// A role that a later version knows: any other number, written as 255.
    Unknown,
}

impl From<Role> for u8 {
    fn from(role: Role) -> u8 {
        match role {
            Role::Consumer => 0,
            Role::Peercaster => 1,
            Role::Donor => 2,
            Role::Passive => 3,
            Role::Unknown => u8::MAX,
        }
    }
}

impl From<u8> for Role {
    fn from(number: u8) -> Role {
        match number {
            0 => Role::Consumer,
            1 => Role::Peercaster,
            2 => Role::Donor,
            3 => Role::Passive,
            _ => Role::Unknown,
        }
    }
}

/// The first message on a connection, in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The lowest and highest protocol version the sender speaks; the highest common one is used.
    pub versions: (u16, u16),
    /// Optional abilities, one bit each; none is defined in version 1.
    pub features: u64,
    /// Program and version, for people: at most [`MAX_AGENT`] bytes.
    #[serde(deserialize_with = "crate::text::at_most::<_, MAX_AGENT>")]
    pub agent: String,
    /// Addresses at which the sender accepts connections.
    pub listen: List<SocketAddr, MAX_ADDRS>,
    /// The receiver's address as the sender sees it.
    pub observed: Option<SocketAddr>,
}

/// The longest agent name in bytes.
pub const MAX_AGENT: usize = 64;

/// One peer's estimate of a peercaster's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// The stream, by its tag.
    #[serde(rename = "t")]
    pub stream_tag: u32,
    /// Peercaster's clock minus the sender's clock, in microseconds.
    #[serde(rename = "o")]
    pub offset_us: i64,
    /// How wrong that may be, in microseconds.
    #[serde(rename = "e")]
    pub error_us: u32,
}

/// Measures the round trip and exchanges coordinates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    /// Returned in the pong.
    #[serde(rename = "n")]
    pub nonce: u32,
    /// The sender's clock when it was sent.
    #[serde(rename = "s")]
    pub sent_at: Time,
    /// The sender's coordinate.
    #[serde(rename = "c", with = "crate::compact_coord")]
    pub coord: Coord,
    /// The sender's confidence: relative error, 0 to 1 or more.
    #[serde(rename = "e")]
    pub coord_error: f32,
}

/// Answers a ping at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// From the ping.
    #[serde(rename = "n")]
    pub nonce: u32,
    /// From the ping.
    #[serde(rename = "s")]
    pub sent_at: Time,
    /// The answerer's clock when the ping came and the pong left.
    #[serde(rename = "r")]
    pub received_at: Time,
    /// The answerer's coordinate.
    #[serde(rename = "c", with = "crate::compact_coord")]
    pub coord: Coord,
    /// Its confidence.
    #[serde(rename = "e")]
    pub coord_error: f32,
    /// Its estimates of the clocks of the peercasters it knows.
    #[serde(rename = "k")]
    pub clocks: List<ClockReading, MAX_CLOCKS>,
}

/// Why a connection ends or a peer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByeReason {
    /// The peer shuts down.
    Leaving,
    /// The connection is not needed any more.
    Unneeded,
    /// The peer has as many connections as it can keep.
    Full,
    /// The other side broke the protocol.
    Misbehaved,
    /// A reason that a later version knows.
    #[serde(other)]
    Unknown,
}

/// The last message before a connection is closed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// Why.
    pub reason: ByeReason,
}

/// Why a tracker or supplier says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseReason {
    /// It knows nothing of that stream.
    UnknownStream,
    /// It has no room.
    Full,
    /// It would get the substream from the asker itself: a loop.
    Loop,
    /// It does not receive that substream well enough itself.
    NoData,
    /// The asker sends too much, too often or nonsense.
    Misbehaved,
    /// A reason that a later version knows.
    #[serde(other)]
    Unknown,
}

/// A standing request: send each chunk of these substreams as soon as you have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The stream.
    #[serde(rename = "t")]
    pub stream: StreamId,
    /// The substreams.
    #[serde(rename = "u")]
    pub substreams: SubstreamSet,
    /// Chunks from this number on; what the supplier already holds comes after its live chunks.
    #[serde(rename = "f")]
    pub from: Seq,
    /// How many further copies of these substreams the asker can send on: what it is worth near the source.
    #[serde(rename = "o")]
    pub fanout: u16,
    /// True when the asker has no supplier for these substreams at all.
    #[serde(rename = "n")]
    pub orphan: bool,
}

/// The supplier agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// The stream.
    #[serde(rename = "t")]
    pub stream: StreamId,
    /// The substreams agreed to.
    #[serde(rename = "u")]
    pub substreams: SubstreamSet,
}

/// The supplier does not agree, or not any longer ([`Displaced`]); others may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The stream.
    #[serde(rename = "t")]
    pub stream: StreamId,
    /// The substreams refused.
    #[serde(rename = "u")]
    pub substreams: SubstreamSet,
    /// Why.
    #[serde(rename = "r")]
    pub reason: RefuseReason,
    /// Whom to ask instead.
    #[serde(rename = "i")]
    pub instead: List<Referral, MAX_REFERRALS>,
}

/// Most peers in a referral.
pub const MAX_REFERRALS: usize = 8;

/// Where else a substream can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    /// Who.
    #[serde(rename = "p")]
    pub peer: PeerId,
    /// Where.
    #[serde(rename = "a")]
    pub addrs: List<SocketAddr, MAX_ADDRS>,
}

/// Ends a standing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// The stream.
    #[serde(rename = "t")]
    pub stream: StreamId,
    /// The substreams.
    #[serde(rename = "u")]
    pub substreams: SubstreamSet,
}

/// A supplier gives the place to a peer that can pass on more. It goes on sending for the grace time, so that the
/// displaced child can find another supplier first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Displaced {
    /// The stream.
    #[serde(rename = "t")]
    pub stream: StreamId,
    /// The substreams.
    #[serde(rename = "u")]
    pub substreams: SubstreamSet,
    /// Whom to ask, the newcomer among them.
    #[serde(rename = "i")]
    pub instead: List<Referral, MAX_REFERRALS>,
    /// How long the supplier goes on, in milliseconds.
    #[serde(rename = "g")]
    pub grace_ms: u16,
}

/// The way a substream takes from the peercaster to the sender, told to each child when it changes: no peer takes a
/// supplier whose path holds itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// The stream.
    #[serde(rename = "t")]
    pub stream: StreamId,
    /// The substream.
    #[serde(rename = "u")]
    pub substream: Substream,
    /// The ancestors by [`PeerId::tag`], the sender first, the peercaster last.
    #[serde(rename = "p")]
    pub ancestors: List<u32, MAX_PATH>,
    /// Whether all of them have their supplier at present. If not, the one that lacks it is looking for another, and those
    /// below wait for it instead of all leaving at once.
    #[serde(rename = "a")]
    pub attached: bool,
}

/// The lag of a substream that is not received.
pub const NO_LAG: u16 = u16::MAX;

/// What a neighbour needs to know to choose a supplier; sent on change and about twice a second. Streams are named by
/// their tag and old chunks by their distance from the head: this is the most frequent message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advert {
    /// The stream, by its tag.
    #[serde(rename = "t")]
    pub stream_tag: u32,
    /// The newest chunk seen.
    #[serde(rename = "h")]
    pub head: Seq,
    /// How far behind the head the newest chunk lies that a player can start with; `None` if none is held.
    #[serde(rename = "r")]
    pub random_access_behind: Option<u32>,
    /// How many chunks before the head are held for repair.
    #[serde(rename = "o")]
    pub held: u32,
    /// For each substream the arrival lag in milliseconds, grown by the time since the last chunk came, so that an
    /// orphan does not attract children; [`NO_LAG`] where none is received.
    #[serde(rename = "l")]
    pub lags_ms: List<u16, MAX_LAGS>,
    /// Copies it can send in all.
    #[serde(rename = "s")]
    pub slots: u16,
    /// Those not used.
    #[serde(rename = "f")]
    pub free_slots: u16,
    /// The substreams it passes on.
    #[serde(rename = "u")]
    pub primaries: SubstreamSet,
    /// The substreams in which it has a child that passes nothing on, and would make room for one that does.
    #[serde(rename = "v")]
    pub leaves: SubstreamSet,
    /// How many places children hold that only take: they make room for whoever gives to the stream, or is owed something here. `None`
    /// if there are none.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub takers: Option<u16>,
    /// How long its uplink's queue is, in milliseconds.
    #[serde(rename = "b")]
    pub backlog_ms: u16,
    /// How long one chunk takes on its uplink, in units of 10 microseconds.
    #[serde(rename = "x")]
    pub copy_time_10us: u16,
    /// What it does in the stream.
    #[serde(rename = "i")]
    pub role: Role,
}

/// Asks for single chunks, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The stream, by its tag.
    #[serde(rename = "t")]
    pub stream_tag: u32,
    /// The chunks.
    #[serde(rename = "q")]
    pub seqs: List<Seq, MAX_REQUESTS>,
    /// After so many milliseconds the answer is of no use and must not be sent.
    #[serde(rename = "d")]
    pub deadline_ms: u16,
}

/// Answers a request for chunks that are not held or cannot be sent in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DontHave {
    /// The stream, by its tag.
    #[serde(rename = "t")]
    pub stream_tag: u32,
    /// The chunks.
    #[serde(rename = "q")]
    pub seqs: List<Seq, MAX_REQUESTS>,
}

/// Passes on the stream's signed description when it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The stream.
    pub stream: StreamId,
    /// Its description.
    pub info: Signed<StreamInfo>,
}

macro_rules! messages {
    ($($(#[$doc:meta])* $code:literal $name:ident,)*) => {
        /// Any control message.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Message {
            $($(#[$doc])* $name($name),)*
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Message {
                Message::$name(message)
            }
        })*

        impl Message {
            /// Each message's number on the wire, with its name.
            pub const CODES: &'static [(u8, &'static str)] = &[$(($code, stringify!($name)),)*];

            /// The message's number on the wire.
            pub fn code(&self) -> u8 {
                match self { $(Message::$name(_) => $code,)* }
            }

            pub(crate) fn encode_body(&self, frame: &mut Vec<u8>) {
                match self { $(Message::$name(m) => crate::codec::append_msgpack(frame, m),)* }
            }

            /// `None` for a number this version does not know.
            pub(crate) fn decode_body(code: u8, body: &[u8]) -> Option<Result<Self, rmp_serde::decode::Error>> {
                Some(match code {
                    $($code => crate::codec::from_msgpack(body).map(Message::$name),)*
                    _ => return None,
                })
            }
        }
    };
}

messages! {
    /// See [`Hello`].
    1 Hello,
    /// See [`Ping`].
    2 Ping,
    /// See [`Pong`].
    3 Pong,
    /// See [`Bye`].
    4 Bye,
    /// See [`Join`].
    10 Join,
    /// See [`JoinAnswer`].
    11 JoinAnswer,
    /// See [`JoinRefused`].
    12 JoinRefused,
    /// See [`Leave`].
    13 Leave,
    /// See [`Info`].
    14 Info,
    /// See [`Hold`].
    15 Hold,
    /// See [`Greeting`].
    16 Greeting,
    /// See [`TrackerIs`].
    17 TrackerIs,
    /// See [`Moved`].
    18 Moved,
    /// See [`Appoint`].
    19 Appoint,
    /// See [`Subscribe`].
    20 Subscribe,
    /// See [`Subscribed`].
    21 Subscribed,
    /// See [`Refused`].
    22 Refused,
    /// See [`Unsubscribe`].
    23 Unsubscribe,
    /// See [`Displaced`].
    24 Displaced,
    /// See [`Path`].
    25 Path,
    /// See [`Advert`].
    26 Advert,
    /// See [`Request`].
    27 Request,
    /// See [`DontHave`].
    28 DontHave,
    /// See [`Appointed`].
    29 Appointed,
    /// See [`HandOver`].
    30 HandOver,
    /// See [`HandedOver`].
    31 HandedOver,
    /// See [`SiblingNews`].
    32 SiblingNews,
    /// See [`ReplicaNews`].
    33 ReplicaNews,
    /// See [`HoldFor`].
    34 HoldFor,
    /// See [`Guest`].
    35 Guest,
    /// See [`RingSeek`].
    40 RingSeek,
    /// See [`RingSeen`].
    41 RingSeen,
    /// See [`RingNews`].
    42 RingNews,
    /// See [`RingLeave`].
    43 RingLeave,
    /// See [`Watch`].
    44 Watch,
    /// See [`Watched`].
    45 Watched,
    /// See [`Find`].
    46 Find,
    /// See [`Found`].
    47 Found,
    /// See [`Lease`].
    48 Lease,
    /// See [`RingPulse`].
    49 RingPulse,
    /// See [`Unchanged`].
    50 Unchanged,
    /// See [`Survey`].
    60 Survey,
    /// See [`Surveyed`].
    61 Surveyed,
    /// See [`ReceiptSigned`].
    70 ReceiptSigned,
    /// See [`AccountProposal`].
    71 AccountProposal,
    /// See [`AccountDecline`].
    72 AccountDecline,
    /// See [`AccountAgreed`].
    73 AccountAgreed,
    /// See [`ShiftPrepare`].
    74 ShiftPrepare,
    /// See [`ShiftAbort`].
    75 ShiftAbort,
    /// See [`ShiftRelease`].
    76 ShiftRelease,
    /// See [`ShiftNote`].
    77 ShiftNote,
    /// See [`EdgeOffer`].
    78 EdgeOffer,
    /// See [`EdgeAgreed`].
    79 EdgeAgreed,
    /// See [`TrustWalk`].
    80 TrustWalk,
    /// See [`Fraud`].
    81 Fraud,
    /// See [`EdgesAsked`].
    82 EdgesAsked,
    /// See [`EdgesTold`].
    83 EdgesTold,
}
