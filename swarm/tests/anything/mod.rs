//! Bytes as the life of a node: any sequence of inputs, with any values a stranger can choose, on any clock.
//!
//! Values are drawn so that they often mean something to the node: its own stream, peers it is connected to, numbers near
//! its head. Entirely random ones would be dropped at the door.

mod draw;
mod trust;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use headwater_swarm::{Event, Input, Node, NodeConfig, Outbox, Output};
use wire::message::*;
use wire::{List, Message, PeerId, SecretKey, Seq, SubstreamSet, Time};

use draw::{advert, chunk, join, list, local, message, peer, publish, rate, record, set, signed, time};

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
        key: key(PEERS - 1),
        listen: vec![addr(PEERS - 1)],
        upload: rate(u)?,
        seed: u.arbitrary()?,
        split_above: headwater_swarm::SPLIT_ABOVE,
        max_neighbours: u.int_in_range(1..=8)?,
        ring_after: u
            .arbitrary::<Option<u8>>()?
            .map(|s| Duration::from_secs(s.into())),
    };
    let mut life = Life {
        node: if u.ratio(1, 2)? {
            Node::with_accounts(config, now)
        } else {
            Node::new(config, now)
        },
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
                let turned_away = u.ratio(1, 4)?;
                self.feed(if turned_away {
                    Input::TurnedAway { peer, addr }
                } else {
                    Input::Disconnected { peer, addr }
                });
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
                appointment: Some(Appointment::sign(&key(9), to, 1)),
                siblings: List::default(),
                deputy: None,
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
            rtt: u.ratio(3, 4)?.then_some(rtt),
            opened: dialled && u.arbitrary()?,
        });
        if u.ratio(1, 4)? {
            self.feed(Input::Proven { peer, rtt });
        }
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
                Output::Event(Event::Banned { peer, .. }) => assert!(self.connected.remove(&peer)),
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
