//! Bytes as the life of a node: any sequence of inputs, with any values a stranger can choose, on any clock.
//!
//! Values are drawn so that they often mean something to the node: its own stream, peers it is connected to, numbers near
//! its head. Entirely random ones would be dropped at the door.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use headwater_swarm::{
    Event, Input, NewChunk, Node, NodeConfig, Outbox, Output, Participation, PlayoutWish, Preference,
    Rejection,
};
use wire::message::*;
use wire::{
    Bitrate, Chunk, ChunkFlags, ChunkHeader, List, Media, Message, PeerId, SecretKey, Seq, SignatureError,
    Signed, StreamId, StreamInfo, Substream, SubstreamSet, Time,
};

/// The first chunk of the stream.
const SESSION: u64 = 1_000_000;

/// Peers that come and go; the last is the node's own key, which an address may lead back to.
const PEERS: u8 = 6;

/// A node may want to act at one instant again after it has acted, but it comes to an end.
const MOST_AT_ONCE: u32 = 8;

/// Deadlines acted on in one step, so that a step of a century ends.
const MOST_DEADLINES: u32 = 200;

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4000))
}

/// A node, its clock, and who is connected to it.
struct Life {
    node: Node,
    now: Time,
    connected: BTreeSet<PeerId>,
    /// What the node asked of others last, to be granted or not.
    asked: VecDeque<(PeerId, Message)>,
    out: Outbox,
}

/// Questions of the node that are remembered.
const MOST_ASKED: usize = 16;

/// Lives through it. Panics where the node does, and where it breaks a promise.
pub fn live(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    // An error says that the bytes are used up.
    let _ = run(&mut bytes);
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let now = Time::from_micros(u.int_in_range(0..=1 << 50)?);
    let config = NodeConfig {
        peer: key(PEERS - 1).peer_id(),
        listen: vec![addr(PEERS - 1)],
        upload: rate(u)?,
        seed: u.arbitrary()?,
        max_neighbours: u.int_in_range(1..=8)?,
    };
    let mut life = Life {
        node: Node::new(config, now),
        now,
        connected: BTreeSet::new(),
        asked: VecDeque::new(),
        out: Outbox::new(),
    };
    let begin = if u.ratio(3, 4)? { join(u)? } else { publish(u)? };
    life.feed(begin);
    life.connect(u, 0, true)?;
    for n in 1..u.int_in_range(1..=4)? {
        life.connect(u, n, false)?;
        let advert = advert(u, key(9).stream_id().tag())?;
        life.say(n, advert);
    }
    while !u.is_empty() {
        life.step(u)?;
    }
    Ok(())
}

impl Life {
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=15u8)? {
            0 => {
                let n = u.int_in_range(0..=PEERS - 1)?;
                let dialled = u.arbitrary()?;
                self.connect(u, n, dialled)?;
            }
            1 => {
                let peer = if u.ratio(1, 8)? { None } else { Some(peer(u)?) };
                if let Some(peer) = peer {
                    self.connected.remove(&peer);
                }
                let addr = Some(addr(u.int_in_range(0..=PEERS)?));
                self.feed(Input::Disconnected { peer, addr });
            }
            2 | 3 => self.pass(u)?,
            4..=6 => {
                let input = Input::Chunk {
                    from: peer(u)?,
                    chunk: chunk(u)?,
                    hops: u.arbitrary()?,
                    repair: u.arbitrary()?,
                };
                self.feed(input);
            }
            7 => {
                let input = local(u)?;
                self.feed(input);
            }
            8..=10 => self.grant(u)?,
            _ => {
                let message = message(u)?;
                let from = peer(u)?;
                let bytes = wire::codec::encode(&message).len();
                self.feed(Input::Message { from, message, bytes });
            }
        }
        Ok(())
    }

    /// A peer does what the node asked of it last.
    fn grant(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let Some((to, message)) = self.asked.pop_back() else {
            return Ok(());
        };
        let answer: Message = match message {
            Message::Subscribe(m) => Subscribed {
                stream: m.stream,
                substreams: m.substreams,
            }
            .into(),
            Message::Ping(m) => Pong {
                nonce: m.nonce,
                sent_at: m.sent_at,
                clocks: std::iter::once(ClockReading {
                    stream_tag: key(9).stream_id().tag(),
                    offset_us: u.arbitrary::<i32>()?.into(),
                    error_us: 0,
                })
                .collect(),
                ..Pong::default()
            }
            .into(),
            Message::Join(m) => JoinAnswer {
                stream: m.stream,
                info: Some(signed(u)?),
                peers: list(u, 4, record)?,
                seats: list(u, 4, set)?,
                refresh_ms: 1_000,
                head: Seq(SESSION + 100),
                head_at: time(u)?,
                random_access: Some(Seq(SESSION + 50)),
                random_access_every_ms: Some(1_000),
                primaries: SubstreamSet(1),
                supply: List::default(),
                members: 5,
            }
            .into(),
            _ => return Ok(()),
        };
        let bytes = wire::codec::encode(&answer).len();
        self.feed(Input::Message {
            from: to,
            message: answer,
            bytes,
        });
        Ok(())
    }

    fn say(&mut self, from: u8, message: impl Into<Message>) {
        let message = message.into();
        let bytes = wire::codec::encode(&message).len();
        self.feed(Input::Message {
            from: key(from).peer_id(),
            message,
            bytes,
        });
    }

    fn connect(&mut self, u: &mut Unstructured<'_>, n: u8, dialled: bool) -> Result<()> {
        let peer = key(n).peer_id();
        self.connected.insert(peer);
        let rtt = Duration::from_micros(if u.ratio(1, 16)? { u.arbitrary()? } else { 20_000 });
        self.feed(Input::Connected {
            peer,
            addr: addr(n),
            listen: vec![addr(n)],
            dialled,
            rtt,
        });
        Ok(())
    }

    /// Lets time pass: mostly a little, now and then backwards or by decades.
    fn pass(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let us = match u.int_in_range(0..=15u8)? {
            0 => -i64::from(u.arbitrary::<u32>()?),
            1 => i64::from(u.arbitrary::<u32>()?),
            2 => u.int_in_range(0..=1 << 50)?,
            _ => u.int_in_range(0..=100_000)?,
        };
        let end = self.now.offset_by(us);
        if us < 0 {
            self.now = end;
        }
        for _ in 0..MOST_DEADLINES {
            match self.node.next_deadline() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.act();
                }
                _ => break,
            }
        }
        self.now = end;
        self.act();
        Ok(())
    }

    /// Acts on the deadline until the node wants no more at this instant.
    fn act(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            self.node.handle_deadline(self.now, &mut self.out);
            self.check();
            if self.node.next_deadline().is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!(
            "the deadline stays at {:?}, and it is {}",
            self.node.next_deadline(),
            self.now
        );
    }

    fn feed(&mut self, input: Input) {
        self.node.handle(self.now, input, &mut self.out);
        self.check();
    }

    /// What comes out goes to peers that are connected, and the node's own view of itself holds together.
    fn check(&mut self) {
        for output in self.out.drain(..) {
            match output {
                Output::Send { to, message, frame } => {
                    assert!(self.connected.contains(&to), "{message:?} to nobody");
                    assert!(frame.len() <= wire::codec::MAX_FRAME + wire::codec::LENGTH_LEN);
                    if matches!(
                        *message,
                        Message::Subscribe(_) | Message::Ping(_) | Message::Join(_)
                    ) {
                        self.asked.push_back((to, *message));
                        if self.asked.len() > MOST_ASKED {
                            self.asked.pop_front();
                        }
                    }
                }
                Output::SendChunk { to, .. } => assert!(self.connected.contains(&to), "a chunk to nobody"),
                Output::Disconnect { peer } => assert!(self.connected.contains(&peer), "nobody is sent away"),
                Output::Connect { addrs, .. } => assert!(!addrs.is_empty(), "dials nowhere"),
                Output::Event(Event::Banned { peer }) => assert!(self.connected.remove(&peer)),
                _ => {}
            }
        }
        let stats = self.node.stats(self.now);
        assert!(
            stats.coord.x_ms.is_finite() && stats.coord.y_ms.is_finite() && stats.coord_error.is_finite()
        );
        for link in &stats.neighbours {
            assert!(self.connected.contains(&link.peer));
            assert!((0.0..=1.0).contains(&link.standing), "{}", link.standing);
        }
        for stream in &stats.streams {
            assert!((0.0..=1.0).contains(&stream.continuity()));
            let children: u64 = stream.substreams.iter().map(|s| u64::from(s.children)).sum();
            assert!(children <= 64 * u64::from(PEERS), "{children} children");
            for parent in stream.substreams.iter().filter_map(|s| s.parent) {
                assert!(self.connected.contains(&parent), "a supplier that is gone");
            }
        }
    }
}

fn rate(u: &mut Unstructured<'_>) -> Result<Bitrate> {
    Ok(match u.int_in_range(0..=3u8)? {
        0 => Bitrate::ZERO,
        1 => Bitrate::from_bps(u.arbitrary()?),
        _ => Bitrate::from_kbps(u.int_in_range(100..=50_000)?),
    })
}

fn info(u: &mut Unstructured<'_>) -> Result<StreamInfo> {
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

fn signed(u: &mut Unstructured<'_>) -> Result<Signed<StreamInfo>> {
    let by = if u.ratio(1, 8)? { 8 } else { 9 };
    Ok(Signed::new(&info(u)?, &key(by)))
}

fn publish(u: &mut Unstructured<'_>) -> Result<Input> {
    let (key, info) = (key(9), info(u)?);
    Ok(Input::Publish { key, info })
}

fn wish(u: &mut Unstructured<'_>) -> Result<PlayoutWish> {
    Ok(PlayoutWish {
        prefer: *u.choose(&[Preference::Live, Preference::Balanced, Preference::Smooth])?,
        target_lag: u.arbitrary::<Option<u64>>()?.map(Duration::from_micros),
    })
}

fn join(u: &mut Unstructured<'_>) -> Result<Input> {
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
fn local(u: &mut Unstructured<'_>) -> Result<Input> {
    let stream = stream(u)?;
    Ok(match u.int_in_range(0..=10u8)? {
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
            chunk: NewChunk {
                payload: Bytes::from(vec![0; u.arbitrary::<u8>()?.into()]),
                generated_at: time(u)?,
                duration: Duration::from_micros(u.arbitrary::<u32>()?.into()),
                random_access: u.arbitrary()?,
                discontinuity: u.arbitrary()?,
            },
        },
    })
}

fn chunk(u: &mut Unstructured<'_>) -> Result<Arc<Chunk>> {
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

fn peer(u: &mut Unstructured<'_>) -> Result<PeerId> {
    Ok(key(u.int_in_range(0..=PEERS)?).peer_id())
}

fn stream(u: &mut Unstructured<'_>) -> Result<StreamId> {
    Ok(key(if u.ratio(1, 16)? { 8 } else { 9 }).stream_id())
}

fn seq(u: &mut Unstructured<'_>) -> Result<Seq> {
    Ok(Seq(match u.int_in_range(0..=15u8)? {
        0 => u.arbitrary()?,
        1 => u64::MAX - u64::from(u.arbitrary::<u8>()?),
        2 => SESSION + u64::from(u.arbitrary::<u16>()?),
        _ => SESSION + u64::from(u.arbitrary::<u8>()?),
    }))
}

fn time(u: &mut Unstructured<'_>) -> Result<Time> {
    Ok(Time::from_micros(match u.int_in_range(0..=7u8)? {
        0 => u.arbitrary()?,
        1 => u64::MAX - u64::from(u.arbitrary::<u8>()?),
        2 => (1 << 63) - u64::from(u.arbitrary::<u8>()?),
        _ => u.arbitrary::<u32>()?.into(),
    }))
}

fn list<T, const N: usize>(
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

fn set(u: &mut Unstructured<'_>) -> Result<SubstreamSet> {
    Ok(SubstreamSet(if u.arbitrary()? {
        u64::MAX
    } else {
        u.arbitrary()?
    }))
}

fn role(u: &mut Unstructured<'_>) -> Result<Role> {
    Ok(Role::from(u.int_in_range(0..=4u8)?))
}

fn reason(u: &mut Unstructured<'_>) -> Result<RefuseReason> {
    use RefuseReason::*;
    Ok(*u.choose(&[UnknownStream, Full, Loop, NoData, Misbehaved, Unknown])?)
}

fn coord(u: &mut Unstructured<'_>) -> Result<coords::Coord> {
    let ms = |u: &mut Unstructured<'_>| Ok(f64::from(u.int_in_range(-16_384..=16_384i16)?) / 32.0);
    Ok(coords::Coord {
        x_ms: ms(u)?,
        y_ms: ms(u)?,
        height_ms: ms(u)?.abs(),
    })
}

fn somebody(u: &mut Unstructured<'_>) -> Result<PeerId> {
    if u.arbitrary()? {
        peer(u)
    } else {
        Ok(PeerId::from_bytes([u.arbitrary()?; 32]))
    }
}

fn addrs(u: &mut Unstructured<'_>) -> Result<List<SocketAddr, MAX_ADDRS>> {
    list(u, 2, |u| Ok(addr(u.arbitrary()?)))
}

fn record(u: &mut Unstructured<'_>) -> Result<PeerRecord> {
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

fn referrals(u: &mut Unstructured<'_>) -> Result<List<Referral, MAX_REFERRALS>> {
    list(u, 3, |u| {
        Ok(Referral {
            peer: somebody(u)?,
            addrs: addrs(u)?,
        })
    })
}

fn advert(u: &mut Unstructured<'_>, stream_tag: u32) -> Result<Advert> {
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
        backlog_ms: u.arbitrary()?,
        copy_time_10us: u.arbitrary()?,
        role: role(u)?,
    })
}

fn message(u: &mut Unstructured<'_>) -> Result<Message> {
    let stream = stream(u)?;
    let stream_tag = stream.tag();
    Ok(match u.int_in_range(0..=18u8)? {
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
        }
        .into(),
        6 => JoinRefused {
            stream,
            reason: reason(u)?,
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
