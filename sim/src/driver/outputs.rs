//! What nodes want done, and what reaches them.

use std::sync::Arc;

use bytes::Bytes;
use swarm::{Class, Event as Milestone, Input, Output};
use wire::{Chunk, Message, PeerId, Seq, Time};

use super::actor::Actor;
use super::trace::words;
use super::world::World;
use crate::audit::What;
use crate::baseline::Happening;
use crate::measure::Role;
use crate::net::{Copy, Letter, Mail, wire_bytes};

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
            self.schedule();
            // Last, because a node goes on sending until it is told that the connection is gone.
            let Some(peer) = hang_up.pop() else { return };
            if let Some(to) = self.ids.get(&peer)
                && self.net.hang_up(self.now, from, to)
            {
                self.tell_over(from, to);
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
            } => {
                if self.lets_chunk_out(from, &to) {
                    self.send_chunk(from, to, chunk, hops, class, expires);
                }
            }
            Output::Send { to, message, frame } => {
                if self.lets_out(from, &to, &message) {
                    self.send(from, to, message, frame);
                }
            }
            // Nothing about trust goes with a first packet.
            Output::Connect { peer, addrs, opening } => self.connect(from, peer, &addrs, opening),
            Output::Greeting { greeting, .. } => self.net.greet(from, greeting),
            Output::Strangers(allowance) => self.net.answer_only(from, allowance),
            // Done after the others.
            Output::Disconnect { .. } => {}
            // What comes of another stream is not measured.
            Output::Arrived { stream, .. } | Output::Gap { stream, .. } if stream != self.stream => {}
            Output::Play { stream, .. } if stream != self.stream => {}
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
            Output::Event(ref event) if event.stream().is_some_and(|stream| stream != self.stream) => {}
            Output::Event(Milestone::Tracking { change, .. }) => self.trackers.note(change),
            Output::Event(Milestone::Banned { peer, .. }) => self.note_ban(from, &peer),
            Output::Event(Milestone::Shifted { path, amount, took }) => match self.region_of(from) {
                Some(region) => self.note_attackers_shift(region, amount),
                None => self.note_shift(&path, amount, took),
            },
            Output::Event(Milestone::ShiftFailed) if self.region_of(from).is_some() => {}
            Output::Event(Milestone::ShiftFailed) => self.shifts.abort(),
            Output::Event(Milestone::TrackerAnswered { .. }) => {
                self.peers[from as usize].log.start.on_answer(self.now);
            }
            // The logs have it from the chunks themselves.
            Output::Event(_) => {}
        }
    }

    /// A peer shut another one out.
    fn note_ban(&mut self, by: u32, banned: &PeerId) {
        let of = |number| self.region_of(number);
        match (of(by), self.ids.get(banned).and_then(of)) {
            (None, Some(region)) => self.note_shut_out(region),
            (None, None) => self.bans += 1,
            // What attackers do to others is not counted here.
            (Some(_), _) => {}
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

    /// Whom to send to; sending without an open connection is a defect of the node.
    pub(super) fn open_to(&mut self, from: u32, to: &PeerId, what: impl FnOnce() -> String) -> Option<u32> {
        let found = self.ids.get(to).filter(|to| self.net.is_open(from, *to));
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
        class: Class,
        expires: Time,
    ) {
        let what = || format!("chunk {}", chunk.seq());
        let Some(to) = self.open_to(from, &to, what) else {
            return;
        };
        let copy = Copy {
            chunk,
            hops,
            class,
            until: self.peers[from as usize].clock.until(expires),
        };
        self.net.send_chunk(self.now, from, to, copy);
    }

    fn send(&mut self, from: u32, to: PeerId, message: Box<Message>, frame: Bytes) {
        let what = || format!("message {}", message.code());
        let Some(to) = self.open_to(from, &to, what) else {
            return;
        };
        self.note(from, |world| format!("to {to} {}", words(&message, &world.ids)));
        let mail = Mail {
            letter: Letter::Message(message),
            bytes: frame.len() as u64,
            frame,
        };
        self.post(from, to, mail);
    }

    /// Sends a letter over an open connection.
    pub(super) fn post(&mut self, from: u32, to: u32, mail: Mail) {
        self.count_sent(from, mail.bytes, &mail.letter);
        self.net.send(self.now, from, to, mail);
    }

    fn count_sent(&mut self, from: u32, bytes: u64, letter: &Letter) {
        if self.counting {
            let bytes = wire_bytes(bytes);
            self.peers[from as usize].log.control_out += bytes;
            if let Letter::Message(message) = letter {
                let kind = self.kinds.entry(message.code()).or_default();
                kind.messages += 1;
                kind.bytes += bytes;
                kind.source_bytes += if from == 0 { bytes } else { 0 };
            }
        }
    }

    /// A copy of a chunk is at a peer.
    pub(super) fn chunk(&mut self, number: u32, sender: u32, hops: u8, repair: bool, chunk: Arc<Chunk>) {
        self.deliveries += 1;
        self.count_served(number, sender, &chunk);
        let peer = &mut self.peers[number as usize];
        if chunk.header().stream == self.stream
            && let Some((index, _)) = self.chunks.find(chunk.seq())
        {
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
        let from = self.ids.of(sender);
        let input = Input::Chunk {
            from,
            chunk,
            hops,
            repair,
        };
        self.input(number, input);
    }

    /// A letter is at a peer.
    pub(super) fn letter(&mut self, number: u32, sender: u32, bytes: u32, letter: Letter) {
        if self.counting {
            self.peers[number as usize].log.control_in += wire_bytes(u64::from(bytes));
        }
        if matches!(&letter, Letter::Message(message) if matches!(**message, Message::Greeting(_))) {
            // The network said it, along with a handshake, and no node had it sent.
            self.count_sent(sender, u64::from(bytes), &letter);
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
        if !self.lets_in(number, &message) {
            return;
        }
        self.note(number, |world| {
            format!("from {sender} {}", words(&message, &world.ids))
        });
        let k = self.scenario.stream.substreams;
        let start = &mut self.peers[number as usize].log.start;
        match &*message {
            Message::Subscribed(agreed) if agreed.stream == self.stream => {
                start.on_agreed(self.now, agreed.substreams, k);
            }
            Message::Refused(refused) if refused.stream == self.stream => {
                start.on_refused(refused.substreams);
            }
            _ => {}
        }
        let from = self.ids.of(sender);
        let input = Input::Message {
            from,
            message: *message,
            bytes: bytes as usize,
        };
        self.input(number, input);
    }
}
