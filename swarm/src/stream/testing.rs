//! A stream on a bench: one node's surroundings, made by hand, with everything it says at hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coords::Coord;
use incentives::store::MemoryStore;
use incentives::{Accounts, Offence, Standings};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use wire::message::{
    Advert, Appointment, Join, JoinAnswer, NO_LAG, Path, PeerRecord, RingNode, Role, Subscribe, Subscribed,
};
use wire::{
    Bitrate, Chunk, ChunkFlags, ChunkHeader, List, Media, Message, PeerId, SecretKey, Seq, Signed, StreamId,
    StreamInfo, Substream, SubstreamSet, Time,
};

use super::{Ctx, Stream};
use crate::clock::SourceClock;
use crate::config::NodeConfig;
use crate::io::{Outbox, Output, Participation, PlayoutWish};
use crate::neighbour::Neighbours;
use crate::node::Bookkeeping;
use crate::uplink::Uplink;

/// Substreams.
pub(super) const K: u8 = 16;

/// A joiner's first live chunk.
pub(super) const FIRST: u64 = 160;

/// The time between two chunks, in milliseconds.
pub(super) const CHUNK_MS: u64 = 8;

/// The clock when chunk [`FIRST`] is made, in milliseconds.
const START_MS: u64 = 100_000;

/// The stream's.
pub(super) fn key() -> SecretKey {
    SecretKey::from_bytes(&[9; 32])
}

pub(super) fn peer(n: u8) -> PeerId {
    SecretKey::from_bytes(&[n; 32]).peer_id()
}

pub(super) fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4000))
}

pub(super) fn stream_id() -> StreamId {
    key().stream_id()
}

/// When a chunk is made.
pub(super) fn made_at(seq: u64) -> Time {
    Time::from_millis(START_MS + (seq * CHUNK_MS)) - Duration::from_millis(FIRST * CHUNK_MS)
}

pub(super) fn chunk(seq: u64) -> Arc<Chunk> {
    chunk_of(0, seq)
}

/// A chunk of the session that began with chunk `session`.
pub(super) fn chunk_of(session: u64, seq: u64) -> Arc<Chunk> {
    signed(session, seq, made_at(seq), ChunkFlags::default())
}

/// One that a player can begin with.
pub(super) fn key_frame(seq: u64) -> Arc<Chunk> {
    let flags = ChunkFlags {
        random_access: true,
        ..ChunkFlags::default()
    };
    signed(0, seq, made_at(seq), flags)
}

/// A chunk that was made at another time than usual.
pub(super) fn chunk_made(seq: u64, generated_at: Time) -> Arc<Chunk> {
    signed(0, seq, generated_at, ChunkFlags::default())
}

fn signed(session: u64, seq: u64, generated_at: Time, flags: ChunkFlags) -> Arc<Chunk> {
    let header = ChunkHeader {
        stream: stream_id(),
        session: Seq(session),
        seq: Seq(seq),
        generated_at,
        duration: Duration::from_millis(CHUNK_MS),
        flags,
    };
    Arc::new(Chunk::sign(header, Bytes::from(vec![0; 1000]), &key()))
}

pub(super) fn info() -> StreamInfo {
    StreamInfo {
        session: Seq(0),
        revision: 1,
        started_at: Time::ZERO,
        substreams: K,
        chunk_duration_us: CHUNK_MS as u32 * 1000,
        rate: Bitrate::from_kbps(1_000),
        media: Media::Opaque,
        title: String::new(),
        private: false,
    }
}

/// Somebody who has all substreams with this lag, and room.
pub(super) fn offer(lag_ms: u16) -> Advert {
    Advert {
        stream_tag: stream_id().tag(),
        head: Seq(0),
        random_access_behind: None,
        held: 1_000,
        lags_ms: (0..K).map(|_| lag_ms).collect(),
        slots: 100,
        free_slots: 100,
        primaries: SubstreamSet::all(K),
        leaves: SubstreamSet::EMPTY,
        takers: None,
        backlog_ms: 0,
        copy_time_10us: 100,
        role: Role::Consumer,
    }
}

/// What the tracker says of a peer that has all substreams and so much room.
pub(super) fn record(n: u8, free_slots: u16) -> PeerRecord {
    PeerRecord {
        peer: peer(n),
        addrs: std::iter::once(addr(n)).collect(),
        coord: Coord::default(),
        role: Role::Consumer,
        slots: 20,
        free_slots,
        primaries: SubstreamSet::all(K),
        leaves: SubstreamSet::EMPTY,
        has: SubstreamSet::all(K),
        lag_ms: Some(100),
    }
}

/// Somebody who has nothing to give.
pub(super) fn nothing() -> Advert {
    Advert {
        lags_ms: (0..K).map(|_| NO_LAG).collect(),
        slots: 0,
        free_slots: 0,
        primaries: SubstreamSet::EMPTY,
        ..offer(0)
    }
}

/// A request for these substreams.
pub(super) fn request_for(substreams: SubstreamSet, fanout: u16, orphan: bool) -> Subscribe {
    Subscribe {
        stream: stream_id(),
        substreams,
        from: Seq(u64::MAX),
        fanout,
        orphan,
    }
}

/// The surroundings.
pub(super) struct Bench {
    config: NodeConfig,
    vivaldi: coords::Vivaldi,
    pub(super) neighbours: Neighbours,
    pub(super) uplink: Uplink,
    rng: ChaCha8Rng,
    pub(super) standings: Standings,
    pub(super) accounts: Accounts,
    pub(super) signed: Bookkeeping,
    banned: Vec<(PeerId, Offence)>,
    pub(super) out: Outbox,
    pub(super) now: Time,
}

impl Bench {
    /// Nobody is connected; the clock stands at the moment in which chunk [`FIRST`] is made.
    pub(super) fn new(upload: Bitrate) -> Self {
        Self::with_seed(upload, 1)
    }

    pub(super) fn with_seed(upload: Bitrate, seed: u64) -> Self {
        Bench {
            config: NodeConfig {
                peer: peer(200),
                key: SecretKey::from_bytes(&[200; 32]),
                listen: vec![addr(200)],
                upload,
                seed,
                max_neighbours: 64,
                ring_after: None,
                split_above: crate::SPLIT_ABOVE,
            },
            vivaldi: coords::Vivaldi::new(coords::vivaldi::Config::default(), seed),
            neighbours: Neighbours::default(),
            uplink: Uplink::new(upload),
            rng: ChaCha8Rng::seed_from_u64(seed),
            standings: Standings::new(64),
            accounts: Accounts::new(64),
            signed: Bookkeeping::none(),
            banned: Vec::new(),
            out: Outbox::new(),
            now: made_at(FIRST),
        }
    }

    pub(super) fn ctx(&mut self) -> Ctx<'_> {
        Ctx {
            now: self.now,
            config: &self.config,
            neighbours: &mut self.neighbours,
            uplink: &mut self.uplink,
            rng: &mut self.rng,
            coord: Coord::default(),
            vivaldi: &self.vivaldi,
            ways_in: &[],
            standings: &mut self.standings,
            accounts: &mut self.accounts,
            signed: &self.signed,
            banned: &mut self.banned,
            out: &mut self.out,
        }
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// A connection to a peer so far away there and back.
    pub(super) fn connect(&mut self, n: u8, rtt_ms: u64) {
        let rtt = Duration::from_millis(rtt_ms);
        self.neighbours
            .insert(self.now, peer(n), addr(n), vec![addr(n)], Some(rtt), true);
    }

    /// A peer connects and registers with the tracker of `source`.
    pub(super) fn register(&mut self, source: &mut Stream, n: u8, free_slots: u16) {
        self.connect(n, 20);
        let join = Join {
            stream: stream_id(),
            record: record(n, free_slots),
            want: 0,
            need: SubstreamSet::EMPTY,
            upload: Bitrate::from_kbps(1_000),
            known: None,
            promised: 0,
        };
        source.on_join(&mut self.ctx(), peer(n), join);
    }

    /// This node keeps signed accounts from now on, and peer `n` gives it so much of another stream.
    pub(super) fn signs_for(&mut self, n: u8, bytes: u64) {
        let ledger = Box::new(MemoryStore::new());
        self.signed = Bookkeeping::open(&self.config, ledger, self.now).expect("memory opens");
        let (trust, said) = self.signed.awake().expect("it has just been opened");
        trust.on_connected(self.now, peer(n), said);
        trust.received(self.now, peer(n), StreamId::from_bytes([5; 32]), bytes, said);
    }

    /// A peercaster.
    pub(super) fn source(&mut self) -> Stream {
        let stream = Stream::publish(&mut self.ctx(), key(), info()).expect("a sane description");
        self.out.clear();
        stream
    }

    /// A stream on its way in: it has dialled the tracker.
    pub(super) fn joiner(&mut self) -> Stream {
        let wish = Participation::Consume(PlayoutWish::default());
        Stream::join(&mut self.ctx(), stream_id(), vec![addr(250)], &wish).expect("a valid id")
    }

    /// A viewer that knows the description, the clock and where the stream is, and nobody else.
    pub(super) fn viewer(&mut self) -> Stream {
        let mut stream = self.joiner();
        let signed = Signed::new(&info(), &key());
        stream.take_info(&mut self.ctx(), info(), signed);
        stream.clock = SourceClock::own();
        stream.window.reset(Seq(FIRST));
        stream.live_from = Seq(FIRST);
        stream.repair.observe(Seq(FIRST - 1), made_at(FIRST - 1));
        self.out.clear();
        stream
    }

    /// Peer `n` agrees to supply these.
    pub(super) fn agree(&mut self, stream: &mut Stream, n: u8, substreams: SubstreamSet) {
        let message = Subscribed {
            stream: stream_id(),
            substreams,
        };
        stream.on_subscribed(&mut self.ctx(), peer(n), &message);
    }

    /// Peer `n` supplies these substreams, asked or not.
    pub(super) fn supplied_by(&mut self, stream: &mut Stream, n: u8, substreams: SubstreamSet) {
        for substream in substreams.iter() {
            stream.sub_mut(substream).expect("one of K").pending = Some(peer(n));
        }
        stream.peers.entry(peer(n)).or_default().asked = substreams;
        self.agree(stream, n, substreams);
        for substream in substreams.iter() {
            let path = Path {
                stream: stream_id(),
                substream,
                ancestors: [peer(n).tag(), 7].into_iter().collect(),
                attached: true,
            };
            stream.on_path(&mut self.ctx(), peer(n), &path);
        }
    }

    /// A chunk is pushed by peer `n`, as old as the clock says.
    pub(super) fn push(&mut self, stream: &mut Stream, n: u8, seq: u64) {
        stream.on_chunk(&mut self.ctx(), peer(n), &chunk(seq), 1, false);
    }

    /// The messages said since the last look, with whom they went to.
    pub(super) fn said(&mut self) -> Vec<(PeerId, Message)> {
        let said = std::mem::take(&mut self.out);
        let message = |output| match output {
            Output::Send { to, message, .. } => Some((to, *message)),
            _ => None,
        };
        said.into_iter().filter_map(message).collect()
    }

    /// The peers dialled since the last look.
    pub(super) fn dialled(&mut self) -> Vec<Option<PeerId>> {
        let done = std::mem::take(&mut self.out);
        let dial = |output| match output {
            Output::Connect { peer, .. } => Some(peer),
            _ => None,
        };
        done.into_iter().filter_map(dial).collect()
    }

    /// The chunks sent since the last look, with whom they went to.
    pub(super) fn sent(&mut self) -> Vec<(PeerId, u64)> {
        let done = std::mem::take(&mut self.out);
        let copy = |output| match output {
            Output::SendChunk { to, chunk, .. } => Some((to, chunk.seq().0)),
            _ => None,
        };
        done.into_iter().filter_map(copy).collect()
    }
}

/// The substreams that `to` was asked for.
pub(super) fn asked(said: &[(PeerId, Message)], to: PeerId) -> SubstreamSet {
    said.iter()
        .filter(|(peer, _)| *peer == to)
        .fold(SubstreamSet::EMPTY, |all, (_, message)| match message {
            Message::Subscribe(m) => all.or(m.substreams),
            _ => all,
        })
}

/// The substreams whose supply by `to` was ended.
pub(super) fn ended(said: &[(PeerId, Message)], to: PeerId) -> SubstreamSet {
    said.iter()
        .filter(|(peer, _)| *peer == to)
        .fold(SubstreamSet::EMPTY, |all, (_, message)| match message {
            Message::Unsubscribe(m) => all.or(m.substreams),
            _ => all,
        })
}

pub(super) fn one(s: u8) -> SubstreamSet {
    SubstreamSet::one(Substream(s))
}

pub(super) fn no_referrals() -> List<wire::message::Referral, { wire::message::MAX_REFERRALS }> {
    List::default()
}

/// A node as others name it, in the middle of the delay space.
pub(super) fn named(n: u8) -> RingNode {
    RingNode::new(peer(n), &Coord::ORIGIN, std::iter::once(addr(n)).collect())
}

/// A tracker's answer to a newcomer, which names nobody.
pub(super) fn answer(appointment: Option<Signed<Appointment>>) -> JoinAnswer {
    JoinAnswer {
        stream: stream_id(),
        info: Some(Signed::new(&info(), &key())),
        peers: List::default(),
        seats: List::default(),
        refresh_ms: 5_000,
        head: Seq(0),
        head_at: Time::ZERO,
        random_access: None,
        random_access_every_ms: None,
        primaries: SubstreamSet::EMPTY,
        supply: List::default(),
        members: 1,
        appointment,
        siblings: List::default(),
        deputy: None,
    }
}
