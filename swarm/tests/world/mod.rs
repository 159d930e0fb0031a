//! Nodes and a network in memory: fixed delays, optional loss, virtual time.

mod connections;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use headwater_swarm::{
    Event, Input, NewChunk, Node, NodeConfig, NodeStats, Outbox, Output, Participation, PlayoutWish,
    Rejection,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wire::message::RingNode;
use wire::{Bitrate, Media, Message, PeerId, SecretKey, Seq, StreamId, StreamInfo, Time};

/// The stream's chunks last 8 ms; this many go from one key frame to the next.
pub const GOP: u64 = 125;

/// What a stranger answers to what it is sent: messages to the sender, and to nobody else.
pub type Script = Box<dyn FnMut(&Input) -> Vec<Message>>;

/// One peer.
pub struct Peer {
    pub node: Node,
    /// A stranger speaks by this instead of by its node.
    script: Option<Script>,
    /// How often it dialled somebody, and how many messages of each kind it sent to each peer.
    pub dials: u64,
    /// What it tells whoever dials it.
    greeting: Option<(Box<Message>, Bytes)>,
    pub said: BTreeMap<(u8, PeerId), u64>,
    pub id: PeerId,
    pub addr: SocketAddr,
    upload: Bitrate,
    /// This node's clock minus the world's, in microseconds.
    clock_us: i64,
    pub alive: bool,
    pub played: Vec<(Seq, Bytes, i64)>,
    pub in_time: u64,
    pub gaps: u64,
    pub started: Option<Time>,
    pub events: Vec<Event>,
}

/// The world.
pub struct World {
    pub peers: Vec<Peer>,
    pub now: Time,
    queue: BTreeMap<(Time, u64), (usize, Input)>,
    counter: u64,
    links: BTreeSet<(usize, usize)>,
    one_way: Duration,
    loss: f64,
    rng: ChaCha8Rng,
    pub stream: StreamId,
    produced: u64,
    /// Local trackers of nodes that are added from now on are split above so many members.
    pub split_above: usize,
    /// The encoder pauses.
    pub paused: bool,
    /// Whose connection to whom was cut without a word to them.
    cut: BTreeSet<(usize, usize)>,
    pub sent: Vec<Bytes>,
    /// For peers that are added from now on.
    pub ring_after: Option<Duration>,
    /// Peers that are added from now on keep signed accounts.
    pub accounts: bool,
}

impl World {
    /// A world without peers.
    pub fn new(seed: u64, one_way: Duration, loss: f64) -> Self {
        World {
            peers: Vec::new(),
            now: Time::ZERO,
            queue: BTreeMap::new(),
            counter: 0,
            links: BTreeSet::new(),
            one_way,
            loss,
            rng: ChaCha8Rng::seed_from_u64(seed),
            stream: SecretKey::from_bytes(&[9; 32]).stream_id(),
            produced: 0,
            split_above: headwater_swarm::SPLIT_ABOVE,
            paused: false,
            cut: BTreeSet::new(),
            sent: Vec::new(),
            ring_after: Some(headwater_swarm::RING_AFTER),
            accounts: false,
        }
    }

    /// A source with room for three copies, and viewers that help one another: one every 0.3 s from the first second on.
    pub fn with_viewers(seed: u64, viewers: usize) -> Self {
        let mut world = World::new(seed, Duration::from_millis(20), 0.0);
        world.add(Bitrate::from_kbps(4_000));
        world.publish();
        for i in 0..viewers {
            let index = world.add(Bitrate::from_kbps(2_500));
            world.run_until(Time::from_millis(1_000 + 300 * i as u64));
            world.join(index, Participation::Consume(PlayoutWish::default()));
        }
        world
    }

    /// Adds a peer with this uplink and returns its index.
    pub fn add(&mut self, upload: Bitrate) -> usize {
        if self.accounts {
            return self.add_with(upload, Node::with_accounts);
        }
        self.add_with(upload, Node::new)
    }

    /// The same with a node that is made otherwise.
    pub fn add_with(&mut self, upload: Bitrate, make: impl FnOnce(NodeConfig, Time) -> Node) -> usize {
        let index = self.peers.len();
        let id = SecretKey::from_bytes(&[index as u8 + 1; 32]).peer_id();
        let addr = SocketAddr::from((Ipv4Addr::new(10, 0, 0, index as u8 + 1), 4000));
        let clock_us = if index == 0 {
            0
        } else {
            self.rng.random_range(0..100_000_000)
        };
        let config = NodeConfig {
            peer: id,
            key: SecretKey::from_bytes(&[index as u8 + 1; 32]),
            listen: vec![addr],
            upload,
            seed: index as u64,
            max_neighbours: 64,
            ring_after: self.ring_after,
            split_above: self.split_above,
        };
        let node = make(config, self.now.offset_by(clock_us));
        self.peers.push(Peer {
            node,
            script: None,
            dials: 0,
            greeting: None,
            said: BTreeMap::new(),
            id,
            addr,
            upload,
            clock_us,
            alive: true,
            played: Vec::new(),
            in_time: 0,
            gaps: 0,
            started: None,
            events: Vec::new(),
        });
        index
    }

    /// Adds a peer that is no node: it does what it is told, and answers by its script.
    pub fn add_stranger(&mut self, script: Script) -> usize {
        let index = self.add(Bitrate::ZERO);
        self.peers[index].script = Some(script);
        index
    }

    /// What a node says of itself, by its own clock.
    pub fn stats(&self, index: usize) -> NodeStats {
        let peer = &self.peers[index];
        peer.node.stats(self.now.offset_by(peer.clock_us))
    }

    /// A stranger dials somebody.
    pub fn dial(&mut self, from: usize, to: usize) {
        let addr = self.peers[to].addr;
        self.connect(from, None, &[addr], Vec::new());
    }

    /// Whether the two are connected.
    pub fn are_connected(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a, b))
    }

    /// A stranger says something. Nothing happens if the two are not connected.
    pub fn say(&mut self, from: usize, to: usize, message: impl Into<Message>) {
        let message = message.into();
        let bytes = wire::codec::encode(&message).len();
        let from_id = self.peers[from].id;
        self.deliver(
            from,
            to,
            Input::Message {
                from: from_id,
                message,
                bytes,
            },
        );
    }

    /// What the transport makes of bytes from a stranger that are wrong.
    pub fn reject(&mut self, from: usize, to: usize, why: Rejection) {
        let from_id = self.peers[from].id;
        self.deliver(
            from,
            to,
            Input::Rejected {
                from: from_id,
                bytes: 1_000,
                why,
            },
        );
    }

    fn deliver(&mut self, from: usize, to: usize, input: Input) {
        if self.links.contains(&(from, to)) {
            self.push(self.one_way, to, input);
        }
    }

    fn answer(&mut self, index: usize, input: &Input) {
        let sender = match input {
            Input::Message { from, .. } | Input::Chunk { from, .. } => Some(*from),
            Input::Connected { peer, .. } => Some(*peer),
            _ => None,
        };
        let Some(script) = &mut self.peers[index].script else {
            return;
        };
        let answers = script(input);
        if let Some(sender) = sender {
            let to = self.index(sender);
            for message in answers {
                self.say(index, to, message);
            }
        }
    }

    /// A killed peer is there again, and knows nothing.
    pub fn revive(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let config = NodeConfig {
            peer: peer.id,
            key: SecretKey::from_bytes(&[index as u8 + 1; 32]),
            listen: vec![peer.addr],
            upload: peer.upload,
            seed: index as u64 + 1_000,
            max_neighbours: 64,
            ring_after: self.ring_after,
            split_above: self.split_above,
        };
        peer.node = Node::new(config, self.now.offset_by(peer.clock_us));
        peer.alive = true;
    }

    /// Peer 0 calls those whom it supplied before it was killed.
    pub fn recall(&mut self, audience: Vec<RingNode>) {
        self.feed(0, Input::Recall { audience });
    }

    /// Peer 0 publishes the stream.
    pub fn publish(&mut self) {
        self.publish_session(Seq(1000));
    }

    /// Peer 0 publishes the stream from this chunk on.
    pub fn publish_session(&mut self, session: Seq) {
        let info = StreamInfo {
            session,
            revision: 0,
            started_at: self.now,
            substreams: 16,
            chunk_duration_us: 8000,
            rate: Bitrate::from_kbps(1_000),
            media: Media::Opaque,
            title: String::new(),
            private: false,
        };
        self.feed(
            0,
            Input::Publish {
                key: SecretKey::from_bytes(&[9; 32]),
                info,
            },
        );
    }

    /// A peer takes part.
    pub fn join(&mut self, index: usize, participation: Participation) {
        self.join_through(index, 0, participation);
    }

    /// A peer takes part that knows nobody but this one.
    pub fn join_through(&mut self, index: usize, known: usize, participation: Participation) {
        let via = vec![self.peers[known].addr];
        self.feed(
            index,
            Input::Join {
                stream: self.stream,
                via,
                participation,
            },
        );
    }

    /// A peer is told of a node of the overlay.
    pub fn enter(&mut self, index: usize, known: usize) {
        let via = vec![self.peers[known].addr];
        self.feed(index, Input::Enter { via });
    }

    /// Gives one input to one node.
    pub fn feed(&mut self, index: usize, input: Input) {
        if self.peers[index].script.is_some() {
            self.answer(index, &input);
            return;
        }
        let peer = &mut self.peers[index];
        let mut out = Outbox::new();
        peer.node
            .handle(self.now.offset_by(peer.clock_us), input, &mut out);
        self.perform(index, out);
    }

    fn push(&mut self, after: Duration, to: usize, input: Input) {
        self.counter += 1;
        self.queue.insert((self.now + after, self.counter), (to, input));
    }

    pub fn index(&self, id: PeerId) -> usize {
        self.peers
            .iter()
            .position(|peer| peer.id == id)
            .expect("only peers of this world are named")
    }

    fn perform(&mut self, from: usize, out: Outbox) {
        for output in out {
            match output {
                Output::Connect { peer, addrs, opening } => {
                    self.peers[from].dials += 1;
                    self.connect(from, peer, &addrs, opening);
                }
                Output::Disconnect { peer } => {
                    let to = self.index(peer);
                    self.links.remove(&(from, to));
                    self.links.remove(&(to, from));
                    let (a, b) = (self.peers[from].id, self.peers[to].id);
                    self.push(
                        Duration::ZERO,
                        from,
                        Input::Disconnected {
                            peer: Some(b),
                            addr: None,
                        },
                    );
                    self.push(
                        self.one_way,
                        to,
                        Input::Disconnected {
                            peer: Some(a),
                            addr: None,
                        },
                    );
                }
                Output::Send { to, message, frame } => {
                    let bytes = frame.len();
                    *self.peers[from].said.entry((message.code(), to)).or_default() += 1;
                    let from_id = self.peers[from].id;
                    let to = self.index(to);
                    if self.links.contains(&(from, to)) {
                        self.push(
                            self.one_way,
                            to,
                            Input::Message {
                                from: from_id,
                                message: *message,
                                bytes,
                            },
                        );
                    } else {
                        self.reset(from, to);
                    }
                }
                Output::SendChunk {
                    to,
                    chunk,
                    hops,
                    class,
                    ..
                } => {
                    let from_id = self.peers[from].id;
                    let to = self.index(to);
                    if self.links.contains(&(from, to)) && !self.rng.random_bool(self.loss) {
                        let repair = class != headwater_swarm::Class::Live;
                        self.push(
                            self.one_way,
                            to,
                            Input::Chunk {
                                from: from_id,
                                chunk,
                                hops,
                                repair,
                            },
                        );
                    }
                }
                Output::Play {
                    chunk,
                    lag_us,
                    in_time,
                    ..
                } => {
                    let peer = &mut self.peers[from];
                    peer.played.push((chunk.seq(), chunk.payload().clone(), lag_us));
                    peer.in_time += u64::from(in_time);
                }
                Output::Gap { from: first, to, .. } => self.peers[from].gaps += first.behind(to),
                Output::Event(event) => {
                    if matches!(event, Event::PlayoutStarted { .. }) {
                        self.peers[from].started = Some(self.now);
                    }
                    self.peers[from].events.push(event);
                }
                Output::Greeting { greeting, .. } => self.peers[from].greeting = greeting,
                // A world of some dozen peers is no crowd.
                Output::Strangers(_) => {}
                Output::Arrived { .. } => {}
            }
        }
    }

    /// Runs until the world's clock shows `end`; the source makes a chunk every 8 ms.
    pub fn run_until(&mut self, end: Time) {
        loop {
            let queued = self.queue.keys().next().map_or(Time::NEVER, |(at, _)| *at);
            let produce = Time::from_millis(8 * (self.produced + 1));
            let timers = self
                .peers
                .iter()
                .enumerate()
                .filter(|(_, peer)| peer.alive && peer.script.is_none())
                .filter_map(|(i, peer)| Some((peer.node.next_deadline()?.offset_by(-peer.clock_us), i)))
                .min();
            let timer = timers.map_or(Time::NEVER, |(at, _)| at);
            let next = queued.min(produce).min(timer);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if next == queued {
                let (_, (to, input)) = self.queue.pop_first().expect("it has a key");
                if self.peers[to].alive && !self.is_stale(to, &input) {
                    self.replace_cut(to, &input);
                    self.feed(to, input);
                }
            } else if next == produce {
                self.produce();
            } else if let Some((_, index)) = timers {
                let peer = &mut self.peers[index];
                let mut out = Outbox::new();
                peer.node
                    .handle_deadline(self.now.offset_by(peer.clock_us), &mut out);
                self.perform(index, out);
            }
        }
    }

    fn produce(&mut self) {
        let n = self.produced;
        self.produced += 1;
        let payload = Bytes::from(n.to_be_bytes().repeat(125));
        self.sent.push(payload.clone());
        if !self.peers[0].alive || self.paused {
            return;
        }
        let chunk = NewChunk {
            payload,
            generated_at: Time::from_millis(8 * n),
            duration: Duration::from_millis(8),
            random_access: n.is_multiple_of(GOP),
            discontinuity: false,
        };
        self.feed(
            0,
            Input::Produce {
                stream: self.stream,
                chunks: vec![chunk],
            },
        );
    }

    /// Whether what a viewer put out is a contiguous part of what went in; says where it starts.
    pub fn contiguous_from(&self, index: usize) -> Option<usize> {
        let played = &self.peers[index].played;
        let begin = &played.first()?.1;
        let first = self.sent.iter().position(|payload| payload == begin)?;
        let same = played
            .iter()
            .zip(&self.sent[first..])
            .all(|((_, got, _), sent)| got == sent);
        same.then_some(first)
    }
}
