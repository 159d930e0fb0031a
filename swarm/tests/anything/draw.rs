//! What can be drawn from bytes: inputs, messages, and what they are made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use headwater_swarm::{Input, NewChunk, Participation, PlayoutWish, Preference, Rejection};
use incentives::store::StoreError;
use wire::message::*;
use wire::{
    Bitrate, Chunk, ChunkFlags, ChunkHeader, List, Media, Message, PeerId, Seq, SignatureError, Signed,
    StreamId, StreamInfo, Substream, SubstreamSet, Time,
};

use super::{PEERS, SESSION, addr, key};

pub(super) fn rate(u: &mut Unstructured<'_>) -> Result<Bitrate> {
    Ok(match u.int_in_range(0..=3u8)? {
        0 => Bitrate::ZERO,
        1 => Bitrate::from_bps(u.arbitrary()?),
        _ => Bitrate::from_kbps(u.int_in_range(100..=50_000)?),
    })
}

pub(super) fn info(u: &mut Unstructured<'_>) -> Result<StreamInfo> {
    let usual = u.ratio(7, 8)?;
    Ok(StreamInfo {
        session: if usual { Seq(SESSION) } else { seq(u)? },
        revision: u.arbitrary::<u8>()?.into(),
        started_at: time(u)?,
        substreams: if usual { 16 } else { u.arbitrary()? },
        chunk_duration_us: if usual { 8_000 } else { u.arbitrary()? },
        rate: rate(u)?,
        media: Media::Opaque,
        title: String::new(),
        private: false,
    })
}

pub(super) fn signed(u: &mut Unstructured<'_>) -> Result<Signed<StreamInfo>> {
    let by = if u.ratio(1, 8)? { 8 } else { 9 };
    Ok(Signed::new(&info(u)?, &key(by)))
}

pub(super) fn publish(u: &mut Unstructured<'_>) -> Result<Input> {
    let (key, info) = (key(9), info(u)?);
    Ok(Input::Publish { key, info })
}

pub(super) fn wish(u: &mut Unstructured<'_>) -> Result<PlayoutWish> {
    Ok(PlayoutWish {
        prefer: *u.choose(&[Preference::Live, Preference::Balanced, Preference::Smooth])?,
        target_lag: u.arbitrary::<Option<u64>>()?.map(Duration::from_micros),
    })
}

pub(super) fn join(u: &mut Unstructured<'_>) -> Result<Input> {
    let participation = match u.int_in_range(0..=2u8)? {
        0 => Participation::Donate,
        1 => Participation::ConsumePassively(wish(u)?),
        _ => Participation::Consume(wish(u)?),
    };
    Ok(Input::Join {
        stream: key(9).stream_id(),
        via: vec![addr(0)],
        participation,
    })
}

/// What the node's own user or driver says.
pub(super) fn local(u: &mut Unstructured<'_>) -> Result<Input> {
    let stream = stream(u)?;
    Ok(match u.int_in_range(0..=12u8)? {
        11 => Input::Shift {
            to: peer(u)?,
            amount: u.arbitrary()?,
            via: vec![addr(u.int_in_range(0..=9u8)?)],
        },
        12 => Input::LedgerFailed {
            error: StoreError::Write(String::new()),
        },
        0 => join(u)?,
        1 => publish(u)?,
        2 => Input::LeaveStream { stream },
        3 => Input::EndOfStream { stream },
        4 => Input::Wish {
            stream,
            wish: wish(u)?,
        },
        5 => Input::Upload { rate: rate(u)? },
        6 => Input::Describe {
            stream,
            info: info(u)?,
        },
        7 => Input::Backlog {
            peer: peer(u)?,
            queued: u.arbitrary()?,
            rtt: Duration::from_micros(u.arbitrary()?),
        },
        8 => Input::Rejected {
            from: peer(u)?,
            bytes: u.arbitrary::<u16>()?.into(),
            why: *u.choose(&[
                Rejection::Malformed,
                Rejection::Flood,
                Rejection::Signature(SignatureError::Mismatch),
            ])?,
        },
        _ => Input::Produce {
            stream,
            chunks: (0..u.int_in_range(0..=3)?)
                .map(|_| new_chunk(u))
                .collect::<Result<_>>()?,
        },
    })
}

fn new_chunk(u: &mut Unstructured<'_>) -> Result<NewChunk> {
    Ok(NewChunk {
        payload: Bytes::from(vec![0; u.arbitrary::<u8>()?.into()]),
        generated_at: time(u)?,
        duration: Duration::from_micros(u.arbitrary::<u32>()?.into()),
        random_access: u.arbitrary()?,
        discontinuity: u.arbitrary()?,
    })
}

pub(super) fn chunk(u: &mut Unstructured<'_>) -> Result<Arc<Chunk>> {
    let by = key(if u.ratio(1, 16)? { 8 } else { 9 });
    let seq = seq(u)?;
    let usual = u.ratio(7, 8)?;
    let header = ChunkHeader {
        stream: by.stream_id(),
        session: if usual { Seq(SESSION) } else { self::seq(u)? },
        seq,
        generated_at: if usual {
            Time::from_micros(seq.0.saturating_sub(SESSION).saturating_mul(8_000))
        } else {
            time(u)?
        },
        duration: Duration::from_micros(if usual {
            8_000
        } else {
            u.arbitrary::<u32>()?.into()
        }),
        flags: ChunkFlags {
            random_access: u.ratio(1, 4)?,
            discontinuity: u.ratio(1, 8)?,
            end: u.ratio(1, 64)?,
            reserved: 0,
        },
    };
    let payload = Bytes::from(vec![1; u.arbitrary::<u8>()?.into()]);
    Ok(Arc::new(Chunk::sign(header, payload, &by)))
}

pub(super) fn peer(u: &mut Unstructured<'_>) -> Result<PeerId> {
    Ok(key(u.int_in_range(0..=PEERS)?).peer_id())
}

pub(super) fn stream(u: &mut Unstructured<'_>) -> Result<StreamId> {
    Ok(key(if u.ratio(1, 16)? { 8 } else { 9 }).stream_id())
}

pub(super) fn seq(u: &mut Unstructured<'_>) -> Result<Seq> {
    Ok(Seq(match u.int_in_range(0..=15u8)? {
        0 => u.arbitrary()?,
        1 => u64::MAX - u64::from(u.arbitrary::<u8>()?),
        2 => SESSION + u64::from(u.arbitrary::<u16>()?),
        _ => SESSION + u64::from(u.arbitrary::<u8>()?),
    }))
}

pub(super) fn time(u: &mut Unstructured<'_>) -> Result<Time> {
    Ok(Time::from_micros(match u.int_in_range(0..=7u8)? {
        0 => u.arbitrary()?,
        1 => u64::MAX - u64::from(u.arbitrary::<u8>()?),
        2 => (1 << 63) - u64::from(u.arbitrary::<u8>()?),
        _ => u.arbitrary::<u32>()?.into(),
    }))
}

pub(super) fn list<T, const N: usize>(
    u: &mut Unstructured<'_>,
    most: usize,
    item: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<List<T, N>> {
    let len = u.int_in_range(0..=most.min(N))?;
    (0..len)
        .map(|_| item(u))
        .collect::<Result<Vec<T>>>()
        .map(|items| items.into_iter().collect())
}

pub(super) fn set(u: &mut Unstructured<'_>) -> Result<SubstreamSet> {
    Ok(SubstreamSet(if u.arbitrary()? {
        u64::MAX
    } else {
        u.arbitrary()?
    }))
}

pub(super) fn role(u: &mut Unstructured<'_>) -> Result<Role> {
    Ok(Role::from(u.int_in_range(0..=4u8)?))
}

pub(super) fn reason(u: &mut Unstructured<'_>) -> Result<RefuseReason> {
    use RefuseReason::*;
    Ok(*u.choose(&[UnknownStream, Full, Loop, NoData, Misbehaved, Unknown])?)
}

pub(super) fn coord(u: &mut Unstructured<'_>) -> Result<coords::Coord> {
    let ms = |u: &mut Unstructured<'_>| Ok(f64::from(u.int_in_range(-16_384..=16_384i16)?) / 32.0);
    Ok(coords::Coord {
        x_ms: ms(u)?,
        y_ms: ms(u)?,
        height_ms: ms(u)?.abs(),
    })
}

pub(super) fn somebody(u: &mut Unstructured<'_>) -> Result<PeerId> {
    if u.arbitrary()? {
        peer(u)
    } else {
        Ok(PeerId::from_bytes([u.arbitrary()?; 32]))
    }
}

fn node(u: &mut Unstructured<'_>) -> Result<RingNode> {
    Ok(RingNode {
        peer: somebody(u)?,
        coord: coord(u)?,
        addrs: addrs(u)?,
    })
}

pub(super) fn addrs(u: &mut Unstructured<'_>) -> Result<List<SocketAddr, MAX_ADDRS>> {
    list(u, 2, |u| Ok(addr(u.arbitrary()?)))
}

pub(super) fn record(u: &mut Unstructured<'_>) -> Result<PeerRecord> {
    Ok(PeerRecord {
        peer: somebody(u)?,
        addrs: addrs(u)?,
        coord: coord(u)?,
        role: role(u)?,
        slots: u.arbitrary()?,
        free_slots: u.arbitrary()?,
        primaries: set(u)?,
        has: set(u)?,
        leaves: set(u)?,
        lag_ms: u.arbitrary()?,
    })
}

pub(super) fn referrals(u: &mut Unstructured<'_>) -> Result<List<Referral, MAX_REFERRALS>> {
    list(u, 3, |u| {
        Ok(Referral {
            peer: somebody(u)?,
            addrs: addrs(u)?,
        })
    })
}

pub(super) fn advert(u: &mut Unstructured<'_>, stream_tag: u32) -> Result<Advert> {
    let lags = if u.ratio(1, 8)? { u.arbitrary::<u8>()? } else { 16 };
    Ok(Advert {
        stream_tag,
        head: seq(u)?,
        random_access_behind: u.arbitrary()?,
        held: u.arbitrary()?,
        lags_ms: (0..lags)
            .map(|_| u.arbitrary())
            .collect::<Result<Vec<u16>>>()?
            .into_iter()
            .collect(),
        slots: u.arbitrary()?,
        free_slots: u.arbitrary()?,
        primaries: set(u)?,
        leaves: set(u)?,
        takers: u.arbitrary()?,
        backlog_ms: u.arbitrary()?,
        copy_time_10us: u.arbitrary()?,
        role: role(u)?,
    })
}

pub(super) fn message(u: &mut Unstructured<'_>) -> Result<Message> {
    let stream = stream(u)?;
    let stream_tag = stream.tag();
    Ok(match u.int_in_range(0..=20u8)? {
        19 | 20 => super::trust::message(u)?,
        0 => Hello::default().into(),
        1 => Bye {
            reason: ByeReason::Leaving,
        }
        .into(),
        2 => Ping {
            nonce: u.arbitrary()?,
            sent_at: time(u)?,
            coord: coord(u)?,
            coord_error: f32::arbitrary(u)?,
        }
        .into(),
        3 => Pong {
            // The first pings have the first numbers.
            nonce: u.int_in_range(0..=16)?,
            sent_at: time(u)?,
            received_at: time(u)?,
            coord: coord(u)?,
            coord_error: f32::arbitrary(u)?,
            clocks: list(u, 2, |u| {
                Ok(ClockReading {
                    stream_tag,
                    offset_us: u.arbitrary()?,
                    error_us: u.arbitrary()?,
                })
            })?,
        }
        .into(),
        4 => Join {
            stream,
            record: record(u)?,
            want: u.arbitrary()?,
            need: set(u)?,
            upload: rate(u)?,
            known: None,
            promised: u.arbitrary()?,
        }
        .into(),
        5 => JoinAnswer {
            stream,
            info: if u.ratio(1, 8)? { None } else { Some(signed(u)?) },
            peers: list(u, 4, record)?,
            seats: list(u, 6, set)?,
            refresh_ms: u.arbitrary()?,
            head: seq(u)?,
            head_at: time(u)?,
            random_access: if u.arbitrary()? { Some(seq(u)?) } else { None },
            random_access_every_ms: u.arbitrary()?,
            primaries: set(u)?,
            supply: list(u, 20, |u| u.arbitrary())?,
            members: u.arbitrary()?,
            appointment: if u.ratio(1, 8)? {
                None
            } else {
                Some(Appointment::sign(&key(9), somebody(u)?, u.arbitrary()?))
            },
            siblings: list(u, 3, node)?,
            deputy: if u.arbitrary()? {
                Some(Box::new(node(u)?))
            } else {
                None
            },
        }
        .into(),
        6 => JoinRefused {
            stream,
            reason: reason(u)?,
            trackers: list(u, 3, node)?,
        }
        .into(),
        7 => Leave { stream }.into(),
        8 => Info {
            stream,
            info: signed(u)?,
        }
        .into(),
        9 => Subscribe {
            stream,
            substreams: set(u)?,
            from: seq(u)?,
            fanout: *u.choose(&[0, 0, 3, 8, u16::MAX])?,
            orphan: u.arbitrary()?,
        }
        .into(),
        10 => Subscribed {
            stream,
            substreams: set(u)?,
        }
        .into(),
        11 => Refused {
            stream,
            substreams: set(u)?,
            reason: reason(u)?,
            instead: referrals(u)?,
        }
        .into(),
        12 => Unsubscribe {
            stream,
            substreams: set(u)?,
        }
        .into(),
        13 => Displaced {
            stream,
            substreams: set(u)?,
            instead: referrals(u)?,
            grace_ms: u.arbitrary()?,
        }
        .into(),
        14 => Path {
            stream,
            substream: Substream(u.int_in_range(0..=70)?),
            attached: u.arbitrary()?,
            ancestors: list(u, MAX_PATH, |u| Ok(peer(u)?.tag()))?,
        }
        .into(),
        15 => advert(u, stream_tag)?.into(),
        17 => Greeting {
            stream,
            peers: list(u, 6, record)?,
        }
        .into(),
        16 => Request {
            stream_tag,
            seqs: list(u, MAX_REQUESTS, seq)?,
            deadline_ms: u.arbitrary()?,
        }
        .into(),
        _ => DontHave {
            stream_tag,
            seqs: list(u, MAX_REQUESTS, seq)?,
        }
        .into(),
    })
}
