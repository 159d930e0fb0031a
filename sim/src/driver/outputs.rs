//! What nodes want done, and what reaches them.

use std::sync::Arc;

use swarm::{Class, Event as Milestone, Input, Output};
use wire::{Chunk, Message, PeerId, Seq, Time};

use super::actor::{Actor, Letter};
use super::trace::words;
use super::world::{Event, World};
use crate::audit::What;
use crate::baseline::Happening;
use crate::measure::Role;
use crate::net::{ConnId, End, Phase, ack_bytes, arrival, wire_bytes};

impl World {
    /// Does everything in the outbox of `from`.
    pub(super) fn drain(&mut self, from: u32) {
        let mut hang_up = Vec::new();
        loop {
            let mut outbox = std::mem::take(&mut self.outbox);
            for output in outbox.drain(..) {
                match output {
                    Output::Disconnect { peer } => hang_up.push(peer),
                    other => self.act(from, other),
                }
            }
            // Nothing that is done calls a node, so nothing was put into the other one.
            debug_assert!(self.outbox.is_empty(), "outputs are done without calling a node");
            self.outbox = outbox;
            // Last, because a node goes on sending until it is told that the connection is gone.
            let Some(peer) = hang_up.pop() else { return };
            let link = self.ids.get(&peer).and_then(|to| self.conns.between(from, to));
            if let Some((conn, end)) = link {
                self.hang_up(conn, end);
                self.tell_over(conn, end);
            }
        }
    }

    fn act(&mut self, from: u32, output: Output) {
        match output {
            Output::SendChunk {
                to,
                chunk,
                hops,
                class,
                expires,
            } => self.send_chunk(from, to, chunk, hops, class != Class::Live, expires),
            Output::Send { to, message, frame } => self.send(from, to, message, frame.len() as u64),
            Output::Connect { peer, addrs } => self.connect(from, peer, &addrs),
            Output::Greeting { greeting, .. } => {
                self.peers[from as usize].greeting =
                    greeting.map(|(message, frame)| (message, frame.len() as u64));
            }
            // Done after the others.
            Output::Disconnect { .. } => {}
            Output::Arrived {
                seq,
                lag_us,
                hops,
                live,
                ..
            } => {
                self.note(from, |world| {
                    let index = world.chunks.index(seq).unwrap_or(0);
                    let (substream, old) = (
                        seq.substream(world.scenario.stream.substreams),
                        if live { "" } else { ", old" },
                    );
                    format!("has chunk {index} of {}{old}", substream.0)
                });
                let k = self.scenario.stream.substreams;
                if live {
                    self.peers[from as usize]
                        .log
                        .start
                        .on_live(self.now, seq.substream(k), k);
                }
                let log = &mut self.peers[from as usize].log;
                let arrived = log.arrived(&self.chunks, self.now, seq, hops, lag_us, self.window);
                match arrived {
                    Ok(()) => self.note_depth(from, seq, hops),
                    Err(what) => self.violate(from, what),
                }
            }
            Output::Play { chunk, in_time, .. } => self.play(from, chunk.seq(), in_time),
            Output::Gap { from: first, to, .. } => self.gap(from, first, to),
            Output::Event(Milestone::Tracking { change, .. }) => self.trackers.note(change),
            Output::Event(Milestone::Banned { .. }) => self.bans += 1,
            Output::Event(Milestone::TrackerAnswered { .. }) => {
                self.peers[from as usize].log.start.on_answer(self.now);
            }
            // The logs have it from the chunks themselves.
            Output::Event(_) => {}
        }
    }

    /// A chunk is handed to an output.
    pub(super) fn play(&mut self, number: u32, seq: Seq, in_time: bool) {
        self.fold(What::Played, number, seq.0);
        self.note(number, |world| {
            format!("plays chunk {}", world.chunks.index(seq).unwrap_or(0))
        });
        if in_time {
            self.note_in_time(seq);
        }
        let log = &mut self.peers[number as usize].log;
        match log.plays(&self.chunks, self.now, seq, in_time, self.window) {
            Ok(Some(lag_ms)) => self.lags.add(lag_ms),
            Ok(None) => {}
            Err(what) => self.violate(number, what),
        }
    }

    /// Chunks were given up.
    pub(super) fn gap(&mut self, number: u32, first: Seq, to: Seq) {
        let log = &mut self.peers[number as usize].log;
        if let Err(what) = log.gap(&self.chunks, first, to) {
            self.violate(number, what);
        }
    }

    /// The open connection to send on; sending on none is a defect of the node.
    pub(super) fn open_to(
        &mut self,
        from: u32,
        to: &PeerId,
        what: impl FnOnce() -> String,
    ) -> Option<(ConnId, End)> {
        let found = self
            .ids
            .get(to)
            .and_then(|to| self.conns.between(from, to))
            .filter(|(conn, end)| self.conns.get(*conn).phase(*end) == Phase::Open);
        if found.is_none() {
            self.violate(
                from,
                format!("it sends {} to {to:?} without a connection", what()),
            );
        }
        found
    }

    pub(super) fn send_chunk(
        &mut self,
        from: u32,
        to: PeerId,
        chunk: Arc<Chunk>,
        hops: u8,
        repair: bool,
        expires: Time,
    ) {
        let what = || format!("chunk {}", chunk.seq());
        let Some((conn, end)) = self.open_to(from, &to, what) else {
            return;
        };
        let to = end.other();
        let sender = &mut self.peers[from as usize];
        let starts = self.now.plus(sender.uplink.wait_ns(self.now));
        if sender.clock.read(starts) > expires {
            self.expired += 1;
            return;
        }
        let bytes = wire_bytes(chunk.frame_len() as u64);
        let left = sender.uplink.offer(self.now, bytes, self.queue_ns);
        if self.counting && left.is_some() {
            sender.log.media_out += chunk.payload().len() as u64;
            sender.log.copies_out += 1;
        }
        let c = self.conns.get(conn);
        let fate = self.weather.draw();
        match left.and_then(|left| arrival(left, c.one_way_ns, fate, false)) {
            Some(at) => {
                let event = Event::Chunk {
                    conn,
                    to,
                    hops,
                    repair,
                    landed: false,
                    chunk,
                };
                self.queue.push(c.once_open(to, at), event);
            }
            None => self.lost += 1,
        }
    }

    fn send(&mut self, from: u32, to: PeerId, message: Box<Message>, frame: u64) {
        let what = || format!("message {}", message.code());
        let Some((conn, end)) = self.open_to(from, &to, what) else {
            return;
        };
        let other = self.conns.get(conn).peer(end.other());
        self.note(from, |world| {
            format!("to {other} {}", words(&message, &world.ids))
        });
        self.post(conn, end.other(), Letter::Message(message), frame);
    }

    /// Sends a message towards `to`.
    pub(super) fn post(&mut self, conn: ConnId, to: End, letter: Letter, frame: u64) {
        let from = self.conns.get(conn).peer(to.other());
        let bytes = wire_bytes(frame);
        let sender = &mut self.peers[from as usize];
        if self.counting {
            sender.log.control_out += bytes;
            if let Letter::Message(message) = &letter {
                let kind = self.kinds.entry(message.code()).or_default();
                kind.messages += 1;
                kind.bytes += bytes;
                kind.source_bytes += if from == 0 { bytes } else { 0 };
            }
        }
        let mut fate = self.weather.draw();
        // Dropped at the tail of a full queue: sent again like a lost one.
        fate.lost |= sender.uplink.wait_ns(self.now) > self.queue_ns;
        let left = sender.uplink.push(self.now, bytes);
        let c = self.conns.get_mut(conn);
        // Reliable, so it does arrive.
        let at = arrival(left, c.one_way_ns, fate, true).unwrap_or(left);
        let at = c.in_order(to, at);
        let event = Event::Message {
            conn,
            to,
            landed: false,
            bytes: frame as u32,
            letter,
        };
        self.queue.push(at, event);
    }

    /// A copy of a chunk is at `to`.
    pub(super) fn chunk(
        &mut self,
        conn: ConnId,
        to: End,
        hops: u8,
        repair: bool,
        landed: bool,
        chunk: Arc<Chunk>,
    ) {
        let c = self.conns.get(conn);
        if c.phase(to) != Phase::Open {
            return;
        }
        let (number, sender) = (c.peer(to), c.peer(to.other()));
        let frame = chunk.frame_len() as u64;
        let peer = &mut self.peers[number as usize];
        if let Some(downlink) = peer.downlink.as_mut().filter(|_| !landed) {
            match downlink.offer(self.now, wire_bytes(frame), self.queue_ns) {
                Some(at) => {
                    let event = Event::Chunk {
                        conn,
                        to,
                        hops,
                        repair,
                        landed: true,
                        chunk,
                    };
                    self.queue.push(at, event);
                }
                None => self.lost += 1,
            }
            return;
        }
        self.deliveries += 1;
        if self.scenario.network.acks {
            peer.uplink.push(self.now, ack_bytes(frame));
        }
        if let Some((index, _)) = self.chunks.find(chunk.seq()) {
            let first = peer.log.role == Role::Source || peer.log.delivered(index);
            if self.counting {
                let payload = chunk.payload().len() as u64;
                peer.log.media_in += payload;
                peer.log.media_duplicate += if first { 0 } else { payload };
            }
        }
        self.fold(What::Chunk, number, chunk.seq().0 ^ u64::from(sender) << 40);
        if matches!(self.peers[number as usize].node, Some(Actor::Baseline(_))) {
            self.chunk_for_baseline(number, hops, &chunk);
            return;
        }
        let from = self.peers[sender as usize].id;
        let input = Input::Chunk {
            from,
            chunk,
            hops,
            repair,
        };
        self.input(number, input);
    }

    /// A control message is at `to`.
    pub(super) fn letter(&mut self, conn: ConnId, to: End, landed: bool, bytes: u32, letter: Letter) {
        let c = self.conns.get(conn);
        if c.phase(to) != Phase::Open {
            return;
        }
        let (number, sender) = (c.peer(to), c.peer(to.other()));
        let on_wire = wire_bytes(u64::from(bytes));
        let peer = &mut self.peers[number as usize];
        if let Some(downlink) = peer.downlink.as_mut().filter(|_| !landed) {
            let at = downlink.push(self.now, on_wire);
            let event = Event::Message {
                conn,
                to,
                landed: true,
                bytes,
                letter,
            };
            self.queue.push(at, event);
            return;
        }
        if self.counting {
            peer.log.control_in += on_wire;
        }
        let detail = u64::from(letter.code()) << 32 | u64::from(bytes);
        self.fold(What::Message, number, detail ^ u64::from(sender) << 40);
        let message = match letter {
            Letter::Message(message) => message,
            Letter::Note(note) => {
                self.happen(
                    number,
                    Happening::Note {
                        from: sender,
                        note: &note,
                    },
                );
                self.settle(number);
                return;
            }
        };
        self.note(number, |world| {
            format!("from {sender} {}", words(&message, &world.ids))
        });
        let k = self.scenario.stream.substreams;
        let start = &mut self.peers[number as usize].log.start;
        match &*message {
            Message::Subscribed(agreed) => start.on_agreed(self.now, agreed.substreams, k),
            Message::Refused(refused) => start.on_refused(refused.substreams),
            _ => {}
        }
        let from = self.peers[sender as usize].id;
        let input = Input::Message {
            from,
            message: *message,
            bytes: bytes as usize,
        };
        self.input(number, input);
    }
}
