//! One fixed example of each message and of a chunk, and a generator of any message.

#![allow(dead_code, reason = "each test binary uses its part of this")]

pub(crate) mod generate;
pub(crate) mod trust;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use coords::Coord;
use headwater_wire::message::*;
use headwater_wire::{
    Bitrate, Chunk, ChunkFlags, ChunkHeader, List, Media, Message, Opening, PeerId, SecretKey, Seq, Signed,
    StreamInfo, Substream, SubstreamSet, Time, VERSIONS, codec,
};

pub(crate) fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

pub(crate) fn list<T, const N: usize>(items: impl IntoIterator<Item = T>) -> List<T, N> {
    items.into_iter().collect()
}

pub(crate) fn stream_info() -> StreamInfo {
    StreamInfo {
        session: Seq(1_700_000_000_000_000),
        revision: 2,
        started_at: Time::from_micros(1_700_000_000_000_000),
        substreams: 16,
        chunk_duration_us: 8000,
        rate: Bitrate::from_kbps(3500),
        media: Media::MpegTs,
        title: "Evening news".to_owned(),
        private: false,
    }
}

fn signed_info() -> Signed<StreamInfo> {
    Signed::new(&stream_info(), &key())
}

fn coord() -> Coord {
    Coord {
        x_ms: 12.5,
        y_ms: -80.25,
        height_ms: 3.0,
    }
}

fn addrs() -> List<SocketAddr, MAX_ADDRS> {
    list([
        "192.0.2.7:4000".parse().unwrap(),
        "[2001:db8::7]:4000".parse().unwrap(),
    ])
}

fn peer() -> PeerId {
    PeerId::from_bytes(std::array::from_fn(|i| i as u8))
}

fn record() -> PeerRecord {
    PeerRecord {
        peer: peer(),
        addrs: addrs(),
        coord: coord(),
        role: Role::Donor,
        slots: 24,
        free_slots: 5,
        primaries: SubstreamSet(0b1001),
        has: SubstreamSet(0b1111),
        leaves: SubstreamSet(0b1000),
        lag_ms: Some(140),
    }
}

fn referral() -> Referral {
    Referral {
        peer: peer(),
        addrs: addrs(),
    }
}

fn ring_node() -> RingNode {
    RingNode {
        peer: peer(),
        coord: coord(),
        addrs: addrs(),
    }
}

fn filter_state() -> FilterState {
    FilterState { epoch: 9, seq: 6 }
}

/// As it goes into the first packet.
pub(crate) fn sealed_opening() -> Vec<u8> {
    let hello = Hello {
        versions: VERSIONS,
        agent: "headwater/0.1.0".to_owned(),
        listen: [SocketAddr::from(([192, 0, 2, 7], 4000))].into_iter().collect(),
        ..Hello::default()
    };
    let ping = codec::encode(&Message::from(Ping::default()));
    let to = SecretKey::from_bytes(&[8; 32]).peer_id();
    Opening::seal(&key(), Some(to), &hello, [&ping[..]]).unwrap()
}

pub(crate) fn opening() -> Opening {
    Opening::unseal(&sealed_opening(), SecretKey::from_bytes(&[8; 32]).peer_id()).unwrap()
}

pub(crate) fn tracker_lease() -> TrackerLease {
    TrackerLease {
        stream: key().stream_id(),
        tracker: ring_node(),
        siblings: list([ring_node()]),
        serial: 1_700_000_000_000,
        ttl_ms: 30_000,
        members: 120,
        short: 250,
    }
}

pub(crate) fn appointment() -> Appointment {
    Appointment {
        stream: key().stream_id(),
        tracker: peer(),
        serial: 1_700_000_000_000,
    }
}

fn signed_appointment() -> Signed<Appointment> {
    Signed::new(&appointment(), &key())
}

fn lease() -> Lease {
    Lease {
        lease: Signed::new(&tracker_lease(), &key()),
        tracker: key().peer_id(),
        appointment: Signed::new(&appointment(), &key()),
    }
}

fn join() -> Join {
    Join {
        stream: key().stream_id(),
        record: record(),
        want: 40,
        need: SubstreamSet(0x8001),
        upload: Bitrate::from_kbps(20_000),
        known: Some((Seq(7), 3)),
        promised: 5,
    }
}

fn guest() -> Guest {
    Guest {
        addrs: record().addrs,
        ..Guest::new(&join(), &key())
    }
}

/// One of each message, with no field left out or empty.
pub(crate) fn examples() -> Vec<Message> {
    let stream = key().stream_id();
    let (substreams, head) = (SubstreamSet(0x8001), Seq(1_700_000_000_000_123));
    let mut example = vec![
        Message::Hello(Hello {
            versions: (1, 1),
            features: 0,
            agent: "headwater 0.1.0".to_owned(),
            listen: addrs(),
            observed: Some("198.51.100.9:5000".parse().unwrap()),
        }),
        Message::Ping(Ping {
            nonce: 0xdead_beef,
            sent_at: Time::from_micros(1_700_000_000_000_001),
            coord: coord(),
            coord_error: 0.25,
        }),
        Message::Pong(Pong {
            nonce: 0xdead_beef,
            sent_at: Time::from_micros(1_700_000_000_000_001),
            received_at: Time::from_micros(1_700_000_000_020_001),
            coord: coord(),
            coord_error: 0.25,
            clocks: list([ClockReading {
                stream_tag: stream.tag(),
                offset_us: -1500,
                error_us: 300,
            }]),
        }),
        Message::Bye(Bye {
            reason: ByeReason::Leaving,
        }),
        Message::Join(join()),
        Message::JoinAnswer(JoinAnswer {
            stream,
            info: Some(signed_info()),
            peers: list([record()]),
            seats: list([SubstreamSet(0b1100)]),
            refresh_ms: 5000,
            head,
            head_at: Time::from_micros(1_700_000_000_123_456),
            random_access: Some(Seq(1_700_000_000_000_100)),
            random_access_every_ms: Some(1000),
            primaries: SubstreamSet(0b101),
            supply: list([7, 0, 300]),
            members: 1100,
            appointment: Some(Signed::new(&appointment(), &key())),
            siblings: list([ring_node()]),
            deputy: Some(Box::new(ring_node())),
        }),
        Message::JoinRefused(JoinRefused {
            stream,
            reason: RefuseReason::UnknownStream,
            trackers: list([ring_node()]),
        }),
        Message::Leave(Leave { stream }),
        Message::Info(Info {
            stream,
            info: signed_info(),
        }),
        Message::Hold(Hold {
            stream,
            peer: record().peer,
            substreams,
        }),
        Message::Greeting(Greeting {
            stream,
            peers: [record()].into_iter().collect(),
        }),
        Message::TrackerIs(TrackerIs {
            stream,
            tracker: ring_node(),
            appointment: signed_appointment(),
        }),
        Message::Moved(Moved { stream }),
        Message::Appoint(Appoint {
            stream,
            own: signed_appointment(),
            peer: peer(),
        }),
        Message::Subscribe(Subscribe {
            stream,
            substreams,
            from: head,
            fanout: 8,
            orphan: true,
        }),
        Message::Subscribed(Subscribed { stream, substreams }),
        Message::Refused(Refused {
            stream,
            substreams,
            reason: RefuseReason::Loop,
            instead: list([referral()]),
        }),
        Message::Unsubscribe(Unsubscribe { stream, substreams }),
        Message::Displaced(Displaced {
            stream,
            substreams,
            instead: list([referral()]),
            grace_ms: 500,
        }),
        Message::Path(Path {
            stream,
            substream: Substream(15),
            ancestors: list([peer().tag(), 0x0102_0304]),
            attached: true,
        }),
        Message::Advert(Advert {
            stream_tag: stream.tag(),
            head,
            random_access_behind: Some(23),
            held: 1250,
            lags_ms: list([90, NO_LAG]),
            slots: 24,
            free_slots: 5,
            primaries: SubstreamSet(0b1001),
            leaves: SubstreamSet(0b1000),
            takers: Some(3),
            backlog_ms: 12,
            copy_time_10us: 140,
            role: Role::Consumer,
        }),
        Message::Request(Request {
            stream_tag: stream.tag(),
            seqs: list([head, head.plus(2)]),
            deadline_ms: 400,
        }),
        Message::DontHave(DontHave {
            stream_tag: stream.tag(),
            seqs: list([head]),
        }),
        Message::Appointed(Appointed {
            stream,
            peer: peer(),
            appointment: signed_appointment(),
        }),
        Message::HandOver(HandOver {
            stream,
            appointment: Some(signed_appointment()),
            peercaster: Some(ring_node()),
            siblings: list([ring_node()]),
            records: list([record()]),
            last: true,
        }),
        Message::HandedOver(HandedOver {
            stream,
            accepted: true,
        }),
        Message::SiblingNews(SiblingNews {
            stream,
            appointment: signed_appointment(),
            me: ring_node(),
            members: 120,
            short: 250,
            spare: list([record()]),
            siblings: list([ring_node()]),
            answer: true,
        }),
        Message::ReplicaNews(ReplicaNews {
            stream,
            appointment: Some(signed_appointment()),
            peercaster: Some(ring_node()),
            siblings: list([ring_node()]),
            records: list([record()]),
            gone: list([peer()]),
        }),
        Message::HoldFor(HoldFor {
            stream,
            at: record().peer,
            peer: peer(),
            substreams,
        }),
        Message::Guest(guest()),
        Message::RingSeek(RingSeek {
            position: 1 << 63,
            nonce: 77,
            hops: 3,
        }),
        Message::RingSeen(RingSeen {
            nonce: 77,
            hops: 5,
            nodes: list([ring_node()]),
        }),
        Message::RingNews(RingNews {
            me: ring_node(),
            successors: list([ring_node()]),
            predecessors: list([ring_node()]),
            answer: true,
            revision: 77,
        }),
        Message::RingLeave(RingLeave {
            nodes: list([ring_node()]),
        }),
        Message::Watch(Watch {
            up: true,
            level: 4,
            have: Some(filter_state()),
            finger: Some(peer().tag()),
        }),
        Message::Watched(Watched {
            up: false,
            level: 4,
            finger: Some(ring_node()),
            state: filter_state(),
            since: Some(5),
            change: FilterChange::Flips(list([0, 16_383])),
            check: 0x0102_0304,
        }),
        Message::Find(Find {
            stream,
            nonce: 78,
            up: Some(true),
            near: Some(1 << 41),
            begun_at: 1 << 40,
            begun_by: peer(),
            hops: 2,
            attempt: 1,
            guest: Some(Box::new(guest())),
            except: Some(list([peer()])),
        }),
        Message::Found(Found {
            nonce: 78,
            up: true,
            hops: 4,
            lease: Some(lease()),
        }),
        Message::Lease(lease()),
        Message::RingPulse(RingPulse {
            mine: 77,
            yours: Some(78),
            answer: true,
        }),
        Message::Unchanged(Unchanged { up: true, level: 4 }),
        Message::Survey(Survey { most: 8 }),
        Message::Surveyed(Surveyed {
            leases: list([lease()]),
            farther: list([ring_node()]),
        }),
    ];
    example.extend(trust::examples());
    let codes: Vec<u8> = example.iter().map(Message::code).collect();
    let all: Vec<u8> = Message::CODES.iter().map(|&(code, _)| code).collect();
    assert_eq!(codes, all, "there must be an example of each message");
    example
}

/// The name of a message.
pub(crate) fn name(message: &Message) -> &'static str {
    let code = message.code();
    Message::CODES.iter().find(|&&(c, _)| c == code).unwrap().1
}

/// An example of a chunk.
pub(crate) fn chunk() -> Chunk {
    let (header, payload) = piece(123);
    Chunk::sign(header, payload, &key())
}

fn piece(n: u64) -> (ChunkHeader, Bytes) {
    let header = ChunkHeader {
        stream: key().stream_id(),
        session: Seq(1_700_000_000_000_000),
        seq: Seq(1_700_000_000_000_000 + n),
        generated_at: Time::from_micros(1_700_000_001_000_000),
        duration: Duration::from_micros(8000),
        flags: ChunkFlags {
            random_access: true,
            ..ChunkFlags::default()
        },
    };
    (header, Bytes::from_static(b"some media"))
}

pub(crate) fn chunk_frame() -> Vec<u8> {
    frame(&chunk())
}

/// Three chunks that are signed together.
#[allow(dead_code, reason = "not every test that shares this file needs it")]
pub(crate) fn group_frames() -> Vec<Vec<u8>> {
    let chunks = Chunk::sign_all((123..126).map(piece).collect(), &key());
    chunks.iter().map(frame).collect()
}

fn frame(chunk: &Chunk) -> Vec<u8> {
    [&chunk.encode_header(3, true)[..], &chunk.payload()[..]].concat()
}
