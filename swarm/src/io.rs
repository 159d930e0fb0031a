//! What goes into a [`Node`](crate::Node) and what comes out: read these two enums and you know everything it can do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use incentives::Offence;
use incentives::store::StoreError;
use wire::message::RingNode;
use wire::{Bitrate, Chunk, Message, PeerId, Seq, SignatureError, Signed, StreamId, StreamInfo, Time};

use crate::{Allowance, Preference};

/// A chunk to be published, before it has a number and a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChunk {
    /// The media, already encrypted if the stream is private.
    pub payload: Bytes,
    /// When its first byte was read.
    pub generated_at: Time,
    /// How much time of input it holds.
    pub duration: Duration,
    /// Whether a player can start with it.
    pub random_access: bool,
    /// Whether it does not continue what went before.
    pub discontinuity: bool,
}

/// What a consumer asks of playout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutWish {
    /// Which way to lean between lag and continuity.
    pub prefer: Preference,
    /// A fixed playout lag instead of an adaptive one.
    pub target_lag: Option<Duration>,
}

/// What this node is to do in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Participation {
    /// Play it and pass it on.
    Consume(PlayoutWish),
    /// Play it, give nothing.
    ConsumePassively(PlayoutWish),
    /// Carry it without playing it.
    Donate,
}

/// Something that happened, for the node to act on.
#[derive(Clone, Debug)]
pub enum Input {
    /// Publish a stream: this node is its peercaster and first local tracker.
    Publish {
        /// The stream's secret key.
        key: wire::SecretKey,
        /// Its description; `session` is the first chunk's number.
        info: StreamInfo,
    },
    /// The description changed (rate, title, media form). Session and revision are kept by the node.
    Describe {
        /// The stream.
        stream: StreamId,
        /// The new description.
        info: StreamInfo,
    },
    /// The next pieces of a published stream. Those that come together are signed together, which costs less.
    Produce {
        /// The stream.
        stream: StreamId,
        /// The pieces, in their order.
        chunks: Vec<NewChunk>,
    },
    /// The published stream is over; every viewer plays to the end.
    EndOfStream {
        /// The stream.
        stream: StreamId,
    },
    /// Take part in a stream.
    Join {
        /// The stream.
        stream: StreamId,
        /// Known addresses that lead to its local tracker.
        via: Vec<SocketAddr>,
        /// In which way.
        participation: Participation,
    },
    /// Call those whom this node supplied when it published a stream before: it is back, and they would find that out by
    /// themselves only when they try again. They lead it into the overlay, too, so this comes before the stream is published.
    Recall {
        /// Its [audience](crate::NodeStats::audience) then; no more than [`MAX_AUDIENCE`](crate::MAX_AUDIENCE) of them are called.
        audience: Vec<RingNode>,
    },
    /// Addresses of nodes that may be in the overlay: ways into its ring, and to streams whose own addresses lead nowhere.
    Enter {
        /// The addresses, in order of preference.
        via: Vec<SocketAddr>,
    },
    /// Look which streams of the overlay lack capacity; [`Event::Surveyed`] has the answer.
    Survey,
    /// Leave every stream and the overlay: the last input but what the driver's end causes.
    Shutdown,
    /// Stop taking part.
    LeaveStream {
        /// The stream.
        stream: StreamId,
    },
    /// Change the playout wish while playing.
    Wish {
        /// The stream.
        stream: StreamId,
        /// The new wish.
        wish: PlayoutWish,
    },
    /// The upload limit or its measurement changed.
    Upload {
        /// The new rate, counted in bytes of IP packets.
        rate: Bitrate,
    },
    /// A connection is ready. Who dialled may send along with its first packet what it has to say ([`Output::Connect`]), signed
    /// by its identity; then the connection is ready half a round trip before the dialler has proved that it is here now, and
    /// [`Input::Proven`] follows. Otherwise the peer has proved its identity.
    Connected {
        /// Who.
        peer: PeerId,
        /// Its address as this side sees it.
        addr: SocketAddr,
        /// Addresses at which it says it accepts connections, already joined with what this side has seen.
        listen: Vec<SocketAddr>,
        /// Whether this side dialled.
        dialled: bool,
        /// The handshake's round trip; `None` while it is under way.
        rtt: Option<Duration>,
        /// Whether the other side has had what was to be said along with the first packet. Only for who dialled.
        opened: bool,
    },
    /// The handshake of a connection that was ready before is over: it is the peer, at its address, and now.
    Proven {
        /// Who.
        peer: PeerId,
        /// The handshake's round trip.
        rtt: Duration,
    },
    /// A connection ended, or could not be made.
    Disconnected {
        /// Who; `None` when only an address was dialled and nobody answered.
        peer: Option<PeerId>,
        /// The address.
        addr: Option<SocketAddr>,
    },
    /// Somebody answers where this node dialled, and lets no more in at the moment: there is no connection.
    TurnedAway {
        /// Who was expected there, if that was known.
        peer: Option<PeerId>,
        /// The address.
        addr: Option<SocketAddr>,
    },
    /// A control message came.
    Message {
        /// From whom.
        from: PeerId,
        /// The message.
        message: Message,
        /// Bytes it took, for the statistics.
        bytes: usize,
    },
    /// A chunk came, and its signature is right.
    Chunk {
        /// From whom.
        from: PeerId,
        /// The chunk.
        chunk: Arc<Chunk>,
        /// Hops it has gone, as the sender says.
        hops: u8,
        /// Whether it was fetched, by this node or further up, instead of pushed at its first chance.
        repair: bool,
    },
    /// A chunk came whose signature is wrong, or bytes that are no message: dropped, and it costs the sender standing.
    Rejected {
        /// From whom.
        from: PeerId,
        /// How many bytes.
        bytes: usize,
        /// What was wrong.
        why: Rejection,
    },
    /// What the transport has queued and not yet sent for a peer.
    Backlog {
        /// The peer.
        peer: PeerId,
        /// Bytes waiting behind its congestion window.
        queued: usize,
        /// The transport's smoothed round trip.
        rtt: Duration,
    },
    /// Make what others owe this node into something that `to` owes it, up to so many bytes, as far as it can be done now.
    /// [`Event::Shifted`] and [`Event::ShiftFailed`] say what came of it.
    Shift {
        /// Who is to owe.
        to: PeerId,
        /// Bytes.
        amount: u64,
        /// Where those who take part may be found, if they are not connected: who owes this node, and who is to.
        via: Vec<SocketAddr>,
    },
    /// What the ledger's store took could not be written in the end: the node signs nothing for a while, and goes back to what is.
    LedgerFailed {
        /// What was wrong.
        error: StoreError,
    },
    /// So much has left this node since the last such word, whatever it was: what the transport sends by itself is only
    /// known from this. A driver that cannot count says nothing.
    Sent {
        /// Bytes with all headers, as the link counts them.
        bytes: u64,
    },
}

/// Why something from a peer was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A chunk with a wrong signature.
    Signature(SignatureError),
    /// A frame that is too long or does not decode.
    Malformed,
    /// More messages than a peer may send.
    Flood,
}

/// What goes first when the uplink is short. Ordered: the first is sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Small messages that keep trees together (subscriptions, pings).
    Control,
    /// A chunk on its first way through the swarm.
    Live,
    /// A chunk that somebody asked for again, or that goes on after being asked for.
    Repair,
    /// What a joiner wants of the past, and copies for a child whose place is given to another.
    Bulk,
}

/// What the node wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Dial a peer. The identity is checked if it is known. Answered by [`Input::Connected`] or
    /// [`Input::Disconnected`]. Dialling a peer that is connected does nothing.
    Connect {
        /// Who is expected there; `None` for a bare address from a link.
        peer: Option<PeerId>,
        /// Where, in order of preference.
        addrs: Vec<SocketAddr>,
        /// What to say along with the first packet, a round trip before anything else can be said. It may come twice, may be
        /// said again by who overheard it, and may be seen on the way: nothing that does harm then. The driver may leave it out,
        /// all of it, and says in [`Input::Connected`] whether it did.
        opening: Vec<Message>,
    },
    /// Close a connection after what was sent before.
    Disconnect {
        /// Whose.
        peer: PeerId,
    },
    /// Send a control message.
    Send {
        /// To whom.
        to: PeerId,
        /// What. In a box, because outputs are moved about and few are messages.
        message: Box<Message>,
        /// The same, as it goes over the wire: the node has booked its uplink for these bytes.
        frame: Bytes,
    },
    /// Send a copy of a chunk now: the node has already waited for its turn on the uplink.
    SendChunk {
        /// To whom.
        to: PeerId,
        /// The chunk.
        chunk: Arc<Chunk>,
        /// Hops it will have gone on arrival.
        hops: u8,
        /// [`Class::Live`], [`Class::Repair`] or [`Class::Bulk`]; the transport keeps this order, too.
        class: Class,
        /// Not worth sending after this instant: the transport drops what still waits then.
        expires: Time,
    },
    /// Tell this to whoever dials from now on, along with the handshake, before it is known who that is.
    Greeting {
        /// The stream that it is about; there is one greeting for each.
        stream: StreamId,
        /// The message, and as it goes over the wire; `None`: nothing any more.
        greeting: Option<(Box<Message>, Bytes)>,
    },
    /// Answer no more of those who dial than this from now on; `None`: all of them. Whoever is turned away dials again by itself.
    Strangers(Option<Allowance>),
    /// A chunk is here for the first time, complete and checked: for the statistics of arrival lag.
    Arrived {
        /// The stream.
        stream: StreamId,
        /// Its number.
        seq: Seq,
        /// Arrival lag in microseconds on the peercaster's clock; `None` while that clock is not known yet.
        lag_us: Option<i64>,
        /// Hops it has gone.
        hops: u8,
        /// Whether it was made after this node joined: an older one's lag says when the node joined, not how far it
        /// is behind.
        live: bool,
    },
    /// Hand a chunk to the outputs; they come in order.
    Play {
        /// The stream.
        stream: StreamId,
        /// The chunk.
        chunk: Arc<Chunk>,
        /// Playout lag in microseconds on the peercaster's clock, with the error of the clock estimate beside it.
        lag_us: i64,
        /// Whether its time had come and not passed.
        in_time: bool,
    },
    /// Chunks that will not come in time were given up.
    Gap {
        /// The stream.
        stream: StreamId,
        /// The first missing one.
        from: Seq,
        /// The first that is there again.
        to: Seq,
    },
    /// Something worth telling people or statistics.
    Event(Event),
}

/// What a node did about the trackers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackingChange {
    /// It gave a part of its members to a new tracker.
    Split,
    /// It gave all its members to another tracker, and is none any more.
    Merged,
    /// It goes on in the place of a tracker that is gone.
    TookOver,
}

/// Milestones, for the log, the interface and the statistics.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A local tracker answered.
    TrackerAnswered {
        /// The stream.
        stream: StreamId,
        /// The tracker.
        tracker: PeerId,
        /// Its registered peers.
        members: u32,
        /// The stream's description.
        info: Box<StreamInfo>,
    },
    /// The description of the stream changed.
    Described {
        /// The stream.
        stream: StreamId,
        /// The description.
        info: Box<StreamInfo>,
        /// As signed.
        signed: Signed<StreamInfo>,
    },
    /// The first chunk of the stream arrived.
    FirstChunk {
        /// The stream.
        stream: StreamId,
    },
    /// Playout began.
    PlayoutStarted {
        /// The stream.
        stream: StreamId,
        /// With this chunk.
        seq: Seq,
    },
    /// The stream is over: its last chunk was played, or a donor's children need it no more.
    Ended {
        /// The stream.
        stream: StreamId,
    },
    /// The peercaster came back with a new session.
    SessionChanged {
        /// The stream.
        stream: StreamId,
        /// Its first chunk.
        session: Seq,
    },
    /// This node knows where it is in the delay space, for the first time.
    Located,
    /// A look-up in the overlay's table found a local tracker.
    LookedUp {
        /// The stream.
        stream: StreamId,
        /// Members of the overlay that passed it on; 0 if the tracker called, because nobody says then.
        hops: u8,
    },
    /// This node has become a member of the overlay's ring.
    Entered,
    /// Nobody answers at the addresses that were to lead into the overlay; the node keeps trying.
    NoWayIn,
    /// The answer to [`Input::Survey`].
    Surveyed {
        /// Streams whose trackers were found, those that lack most first.
        streams: Vec<Wanting>,
    },
    /// Nobody on the way to the tracker answers; the node keeps trying.
    NoTracker {
        /// The stream.
        stream: StreamId,
        /// How often it was tried.
        attempts: u32,
    },
    /// More come at once than the way to the tracker lets in; the node keeps trying, and is let in in its turn.
    TurnedAway {
        /// The stream.
        stream: StreamId,
    },
    /// The local trackers of the stream changed here.
    Tracking {
        /// The stream.
        stream: StreamId,
        /// How.
        change: TrackingChange,
    },
    /// A peer was shut out for what it sent.
    Banned {
        /// Who.
        peer: PeerId,
        /// What was one too many.
        offence: Offence,
    },
    /// What others owed this node is owed by another peer now.
    Shifted {
        /// From this node, over those who took part, to who owes now.
        path: Vec<PeerId>,
        /// Bytes.
        amount: u64,
        /// How long it took.
        took: Duration,
    },
    /// A shift of trust did not happen; nothing was taken.
    ShiftFailed,
    /// The ledger of trust could not be written. The node signs nothing for a minute, then tries again.
    Ledger {
        /// What was wrong.
        error: StoreError,
    },
}

impl Event {
    /// The stream that it concerns; `None` if it is none in particular.
    pub fn stream(&self) -> Option<StreamId> {
        match self {
            Event::TrackerAnswered { stream, .. }
            | Event::Described { stream, .. }
            | Event::FirstChunk { stream }
            | Event::PlayoutStarted { stream, .. }
            | Event::Ended { stream }
            | Event::SessionChanged { stream, .. }
            | Event::LookedUp { stream, .. }
            | Event::Tracking { stream, .. }
            | Event::TurnedAway { stream }
            | Event::NoTracker { stream, .. } => Some(*stream),
            Event::Surveyed { .. }
            | Event::Banned { .. }
            | Event::Shifted { .. }
            | Event::ShiftFailed
            | Event::Ledger { .. }
            | Event::Located
            | Event::Entered
            | Event::NoWayIn => None,
        }
    }
}

/// A stream as one of its local trackers describes it in the overlay's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanting {
    /// The stream.
    pub stream: StreamId,
    /// Where its tracker can be reached.
    pub via: Vec<SocketAddr>,
    /// Peers registered there.
    pub members: u32,
    /// Capacity that the tracker's area lacks, in per mille of what it demands.
    pub short: u16,
}

/// Collects outputs while the node handles an input; the driver drains it after every call.
pub type Outbox = Vec<Output>;
