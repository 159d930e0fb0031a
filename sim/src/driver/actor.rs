//! Who acts for a peer: the swarm's node, or a peer of a baseline. And how the latter is driven.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use swarm::{Class, Input, Node};
use wire::{Chunk, ChunkFlags, ChunkHeader, Seq, Time};

use super::encoder::Made;
use super::world::World;
use crate::audit::What;
use crate::baseline::{self, Act, Baseline, Facts, Happening, Register, Scene};
use crate::measure::Role;
use crate::net::{Letter, Mail, addr_of, wire_bytes};
use crate::time::ms;

/// What makes a peer do what it does.
pub(super) enum Actor {
    Node(Box<Node>),
    Baseline(Box<dyn baseline::Peer>),
}

impl Actor {
    /// The swarm's node, if it is one.
    pub(super) fn node(&self) -> Option<&Node> {
        match self {
            Actor::Node(node) => Some(node),
            Actor::Baseline(_) => None,
        }
    }
}

/// What the peers of a baseline share.
pub(super) struct Crowd {
    baseline: Baseline,
    pub(super) register: Register,
    rng: ChaCha8Rng,
    acts: Vec<Act>,
}

impl Crowd {
    pub(super) fn new(baseline: Baseline, rng: ChaCha8Rng) -> Self {
        Crowd {
            baseline,
            register: Register::default(),
            rng,
            acts: Vec::new(),
        }
    }
}

impl World {
    /// Tells a peer of a baseline, if it is there, and does what it wants done.
    pub(super) fn happen(&mut self, number: u32, happening: Happening<'_>) {
        let Some(crowd) = &mut self.crowd else { return };
        let peer = &mut self.peers[number as usize];
        let Some(Actor::Baseline(actor)) = &mut peer.node else {
            return;
        };
        let mut scene = Scene {
            now: self.now,
            me: number,
            register: &mut crowd.register,
            space: &self.space,
            rng: &mut crowd.rng,
            uplink_wait_ns: self.net.uplink(number).wait_ns(self.now),
            acts: &mut crowd.acts,
        };
        actor.handle(happening, &mut scene);
        let mut acts = std::mem::take(&mut crowd.acts);
        for act in acts.drain(..) {
            self.perform(number, act);
        }
        if let Some(crowd) = &mut self.crowd
            && crowd.acts.is_empty()
        {
            crowd.acts = acts;
        }
    }

    fn perform(&mut self, from: u32, act: Act) {
        match act {
            Act::Connect(to) => {
                let id = self.ids.of(to);
                self.connect(from, Some(id), &[addr_of(to)], Vec::new());
            }
            Act::Disconnect(peer) => {
                if self.net.hang_up(self.now, from, peer) {
                    self.tell_over(from, peer);
                }
            }
            Act::Tell { to, note } => {
                let id = self.ids.of(to);
                if let Some(to) = self.open_to(from, &id, || format!("{note:?}")) {
                    let mail = Mail {
                        bytes: note.bytes(),
                        letter: Letter::Note(Box::new(note)),
                        frame: Bytes::new(),
                    };
                    self.post(from, to, mail);
                }
            }
            Act::Send { to, chunk, hops } => {
                let id = self.ids.of(to);
                self.send_chunk(from, id, chunk, hops, Class::Live, Time::NEVER);
            }
            Act::Play { index, in_time } => {
                let seq = self.chunks.seq(index);
                self.play(from, seq, in_time);
            }
            Act::Gap { from: first, to } => {
                let (first, to) = (self.chunks.seq(first), self.chunks.seq(to));
                self.gap(from, first, to);
            }
        }
    }

    /// What the driver tells nodes, in a baseline's words.
    pub(super) fn tell_baseline(&mut self, number: u32, input: &Input) {
        let of = |id| self.ids.get(id);
        let happening = match input {
            Input::Connected { peer, .. } => of(peer).map(Happening::Connected),
            Input::Disconnected { peer: Some(peer), .. } => of(peer).map(Happening::Disconnected),
            // It goes, which the register and the end of its connections tell; and a new uplink shows by itself.
            _ => None,
        };
        if let Some(happening) = happening {
            self.happen(number, happening);
        }
    }

    pub(super) fn join_baseline(&mut self, number: u32) {
        let Some(crowd) = &self.crowd else { return };
        let stream = &self.scenario.stream;
        let peer = &mut self.peers[number as usize];
        let payload = stream.rate.as_bps() as f64 / 8000.0 * stream.chunk_ms;
        let copy_bytes = wire_bytes(wire::CHUNK_HEADER_LEN as u64 + payload as u64) as f64;
        let copy_bps = copy_bytes * 8000.0 / stream.chunk_ms;
        let facts = Facts {
            role: peer.spec.role,
            copies: if peer.spec.passive {
                0.0
            } else {
                peer.upload().as_bps() as f64 / copy_bps
            },
            chunk_ns: ms(stream.chunk_ms),
            gop_ns: ms(stream.gop_ms),
        };
        peer.node = Some(Actor::Baseline(baseline::peer(crowd.baseline, facts)));
        if peer.spec.role == Role::Source {
            self.chunks.begin(Seq(peer.clock.read(self.now).as_micros()));
        }
        self.fold(What::Joined, number, 0);
        self.happen(number, Happening::Joined);
        self.settle(number);
    }

    /// The peercaster of a baseline has a chunk.
    pub(super) fn produce_baseline(&mut self, made: Made) {
        let Some((index, session)) = self.chunks.newest().zip(self.chunks.session()) else {
            return;
        };
        let header = ChunkHeader {
            stream: self.stream,
            session,
            seq: self.chunks.seq(index),
            generated_at: self.peers[0].clock.read(made.generated),
            duration: Duration::from_nanos(ms(self.scenario.stream.chunk_ms)),
            flags: ChunkFlags {
                random_access: made.random_access,
                ..ChunkFlags::default()
            },
        };
        let chunk = Arc::new(Chunk::sign(header, made.payload, &self.stream_key));
        let happening = Happening::Chunk {
            index,
            hops: 0,
            chunk: &chunk,
        };
        self.happen(0, happening);
        self.settle(0);
    }

    /// A copy of a chunk is at a peer of a baseline.
    pub(super) fn chunk_for_baseline(&mut self, number: u32, hops: u8, chunk: &Arc<Chunk>) {
        let Some((index, _)) = self.chunks.find(chunk.seq()) else {
            return;
        };
        let log = &mut self.peers[number as usize].log;
        if !log.has_arrived(index) {
            let arrived = log.arrived(&self.chunks, self.now, chunk.seq(), hops, None, self.window);
            if let Err(what) = arrived {
                self.violate(number, what);
            }
        }
        self.happen(number, Happening::Chunk { index, hops, chunk });
        self.settle(number);
    }
}
