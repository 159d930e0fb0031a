//! One connection at one of its ends, as the program runs it (`peer/src/net/link/mod.rs`), without tasks.

use std::sync::Arc;

use bytes::Bytes;
use quic::{
    Code, FLUSH_TIMEOUT, HANDSHAKE_TIMEOUT, MAX_EARLY, QueuedChunk, SIMULTANEOUS, SUPERSEDE_GRACE, SendQueue,
    Streams, YIELD_TIMEOUT, was_taken,
};
use quinn_proto::{Connection, Dir, Event, StreamEvent, StreamId};
use swarm::Rejection;
use wire::codec::{self, LENGTH_LEN};
use wire::message::{Bye, ByeReason};
use wire::{Chunk, Message};

use super::control::{Control, Read};
use super::early::{Ear, Said};
use super::incoming::{Incoming, Whole};
use super::moment::{Moment, Origin};
use super::outgoing::{Backlog, Outgoing};
use crate::time::SimTime;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Handshake, and where this side was dialled the wait for a hello.
    Opening,
    Running,
    /// Closed; QUIC may still have to say so.
    Over,
}

/// What a connection has come to, for its host to act on.
#[derive(Debug)]
pub(super) enum Step {
    /// The handshake is done.
    Established,
    /// Whoever dialled has said something with its first packet.
    Opened(Said),
    /// Whoever dialled has said hello.
    Greeted,
    Chunk {
        chunk: Arc<Chunk>,
        hops: u8,
        repair: bool,
    },
    Message {
        message: Box<Message>,
        bytes: u32,
    },
    Bad(Rejection),
    Backlog(Backlog),
    /// It is over.
    Ended,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: Connection,
    pub(super) other: u32,
    pub(super) dialled: bool,
    pub(super) opened: SimTime,
    pub(super) stage: Stage,
    /// The one live timer event.
    pub(super) timer: SimTime,
    pub(super) queue: SendQueue,
    pub(super) outgoing: Outgoing,
    control: Control,
    incoming: Incoming,
    /// To be said along with the handshake.
    greeting: Option<Bytes>,
    /// Listens to the first packet, until that is read.
    ear: Option<Ear>,
    /// What was said with it.
    pub(super) said: Said,
    /// The other side has had what this one said with its first packet.
    pub(super) opening_taken: bool,
    /// It is used before the handshake is over.
    pub(super) early: bool,
    /// Messages sent until then.
    early_sent: usize,
    /// The handshake is over.
    pub(super) proven: bool,
    heard_hello: bool,
    said_goodbye: bool,
    /// The other of two simultaneous connections stays.
    superseded: bool,
    /// It ends at this instant, whatever comes.
    end_by: Option<SimTime>,
    /// Then it may turn out that it is superseded, and gets some time more.
    undecided: bool,
}

impl Link {
    pub(super) fn new(conn: Connection, other: u32, dialled: bool, now: SimTime) -> Self {
        Link {
            conn,
            other,
            dialled,
            opened: now,
            stage: Stage::Opening,
            timer: SimTime(u64::MAX),
            queue: SendQueue::default(),
            outgoing: Outgoing::default(),
            control: Control::default(),
            incoming: Incoming::new(dialled),
            greeting: None,
            ear: None,
            said: Said::new(),
            opening_taken: false,
            early: false,
            early_sent: 0,
            proven: false,
            heard_hello: false,
            said_goodbye: false,
            superseded: false,
            end_by: Some(after(now, HANDSHAKE_TIMEOUT)),
            undecided: false,
        }
    }

    /// This side was dialled: it listens, and has this to say to who says nothing.
    pub(super) fn listen(&mut self, ear: Ear, greeting: Option<Bytes>) {
        self.ear = Some(ear);
        self.greeting = greeting;
    }

    /// Whether its node may use it.
    pub(super) fn in_use(&self) -> bool {
        self.stage == Stage::Running || (self.early && self.stage == Stage::Opening)
    }

    /// The handshake is done where this side was dialled: a hello must follow.
    pub(super) fn expect_hello(&mut self, now: SimTime) {
        self.end_by = Some(after(now, HANDSHAKE_TIMEOUT));
    }

    /// From now on it is used: this side says hello.
    pub(super) fn run(&mut self, own: u32, now: SimTime) {
        self.stage = Stage::Running;
        self.opened = now;
        self.end_by = None;
        if self.dialled {
            self.control.open(&mut self.conn);
        }
        self.control.say_hello(own, self.other);
    }

    /// Another connection of this pair takes over; this one is read until the other side ends it.
    pub(super) fn yield_to_other(&mut self, now: SimTime) {
        self.superseded = true;
        self.end_by = Some(after(now, YIELD_TIMEOUT));
    }

    /// Another connection of this pair has taken over; what is queued is sent before this one ends.
    pub(super) fn supersede(&mut self) {
        self.superseded = true;
        self.queue.finish();
    }

    /// Ends it after the control messages that are queued, and a goodbye.
    pub(super) fn leave(&mut self, reason: ByeReason) {
        self.send(codec::encode(&Bye { reason }.into()).into());
        self.queue.finish();
    }

    pub(super) fn send(&mut self, frame: Bytes) {
        // A peer that has not read for too long is given up, at once: nothing more is worth sending to it.
        if self.queue.push_control(frame).is_err() && self.stage != Stage::Over {
            self.end_by = Some(SimTime::START);
        }
    }

    pub(super) fn send_chunk(&mut self, chunk: QueuedChunk, at: Moment) {
        self.queue.push_chunk(chunk, at.time());
    }

    pub(super) fn close(&mut self, at: Moment, code: Code) {
        self.end_by = None;
        if self.stage != Stage::Over {
            self.stage = Stage::Over;
            self.conn.close(at.instant, code.into(), Bytes::new());
        }
    }

    /// Takes what QUIC has to say.
    pub(super) fn poll(&mut self, at: Moment, streams: &Streams, steps: &mut Vec<Step>) {
        if self.conn.poll_timeout().is_some_and(|due| due <= at.instant) {
            self.conn.handle_timeout(at.instant);
        }
        if self.end_by.is_some_and(|by| by <= at.now) {
            self.time_is_over(at, steps);
        }
        while let Some(event) = self.conn.poll() {
            match event {
                Event::HandshakeDataReady => self.hear(steps),
                Event::Connected if self.stage == Stage::Opening => {
                    self.proven = true;
                    self.opening_taken =
                        self.dialled && was_taken(self.conn.crypto_session().handshake_data());
                    if self.opening_taken {
                        self.incoming.expect_answers();
                    }
                    steps.push(Step::Established);
                }
                Event::ConnectionLost { .. } if self.stage != Stage::Over => {
                    self.stage = Stage::Over;
                    self.end_by = None;
                    steps.push(Step::Ended);
                }
                Event::Stream(event) if self.stage != Stage::Over => {
                    self.stream_event(at, event, streams, steps);
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self, steps: &mut Vec<Step>) {
        if let Some(said) = self.ear.take().and_then(|ear| ear.said()) {
            // An answer is better.
            self.greeting = None;
            steps.push(Step::Opened(said));
        }
    }

    fn time_is_over(&mut self, at: Moment, steps: &mut Vec<Step>) {
        if self.undecided && self.superseded {
            // What this side sent before it knew of the other connection is on its way, and closing would lose it.
            self.undecided = false;
            self.end_by = Some(after(at.now, SUPERSEDE_GRACE));
            return;
        }
        self.end(at, steps);
    }

    fn end(&mut self, at: Moment, steps: &mut Vec<Step>) {
        self.close(at, Code::Done);
        steps.push(Step::Ended);
    }

    fn stream_event(&mut self, at: Moment, event: StreamEvent, streams: &Streams, steps: &mut Vec<Step>) {
        match event {
            StreamEvent::Opened { dir: Dir::Bi } => {
                self.control.opened(&mut self.conn);
                self.read_control(at, streams, steps);
            }
            StreamEvent::Opened { dir: Dir::Uni } => self.read_opened(streams, steps),
            StreamEvent::Readable { id } if self.control.is(id) => self.read_control(at, streams, steps),
            StreamEvent::Readable { id } => {
                let mut whole = Vec::new();
                self.incoming.read(&mut self.conn, id, streams, &mut whole);
                steps.extend(whole.into_iter().map(Step::from));
            }
            StreamEvent::Finished { id } | StreamEvent::Stopped { id, .. } => self.outgoing.finished(id),
            // What could not be written is tried again each time.
            StreamEvent::Writable { .. } | StreamEvent::Available { .. } => {}
        }
    }

    fn read_opened(&mut self, streams: &Streams, steps: &mut Vec<Step>) {
        // Before the hello it is not known whether the two speak the same language.
        if self.dialled || self.heard_hello {
            let mut whole = Vec::new();
            self.incoming.opened(&mut self.conn, streams, &mut whole);
            steps.extend(whole.into_iter().map(Step::from));
        }
    }

    fn read_control(&mut self, at: Moment, streams: &Streams, steps: &mut Vec<Step>) {
        let mut frames = Vec::new();
        let read = self.control.read(&mut self.conn, &mut frames);
        for frame in frames {
            let bytes = (LENGTH_LEN + frame.len()) as u32;
            match codec::decode(&frame) {
                Ok(Message::Hello(_)) if !self.heard_hello => {
                    self.heard_hello = true;
                    if !self.dialled {
                        steps.push(Step::Greeted);
                        self.read_opened(streams, steps);
                    }
                }
                Ok(message) if self.heard_hello => {
                    self.said_goodbye = matches!(message, Message::Bye(_));
                    let message = Box::new(message);
                    steps.push(Step::Message { message, bytes });
                }
                _ => steps.push(Step::Bad(Rejection::Malformed)),
            }
        }
        match read {
            Read::Open => {}
            _ if self.stage == Stage::Over => {}
            Read::Ended => self.left(at, steps),
            Read::Broken => self.end(at, steps),
        }
    }

    /// The peer ended its side of the control stream.
    fn left(&mut self, at: Moment, steps: &mut Vec<Step>) {
        let young = at.now.since(self.opened) < SIMULTANEOUS.as_nanos() as u64;
        if self.superseded || (self.dialled && young && !self.said_goodbye) {
            // The peer prefers its own connection to this one, and its first message on that may still be under way.
            self.undecided = !self.superseded;
            self.end_by = Some(after(at.now, SUPERSEDE_GRACE));
        } else {
            self.end(at, steps);
        }
    }

    /// Hands QUIC what is to be sent.
    pub(super) fn write(&mut self, at: Moment, origin: Origin, steps: &mut Vec<Step>) {
        if self.stage == Stage::Over {
            return;
        }
        self.say_greeting();
        if !self.in_use() {
            return;
        }
        if self.stage == Stage::Opening {
            self.say_early();
        } else {
            self.say(at);
        }
        let backlog = self.outgoing.write(at, origin, &mut self.conn, &mut self.queue);
        steps.extend(backlog.map(Step::Backlog));
    }

    /// Hands over what is to go on the control stream.
    fn say(&mut self, at: Moment) {
        while let Some(frame) = self.queue.pop_control() {
            self.control.push(frame);
        }
        if self.queue.is_finished() {
            self.control.finish();
        }
        let before = self.control.is_finished();
        self.control.write(&mut self.conn);
        if self.control.is_finished() && !before {
            // The peer closes the connection once it has read the end of the stream.
            let patience = if self.superseded {
                YIELD_TIMEOUT
            } else {
                FLUSH_TIMEOUT
            };
            self.end_by = Some(after(at.now, patience));
        }
    }

    /// Each message on a stream of its own, up to where a goodbye or too many others wait for the control stream.
    fn say_early(&mut self) {
        while self.early_sent < MAX_EARLY && !self.queue.is_finishing() {
            if !self.queue.has_control() {
                return;
            }
            let Some(id) = self.conn.streams().open(Dir::Uni) else {
                return;
            };
            if let Some(frame) = self.queue.pop_control() {
                self.early_sent += 1;
                self.say_alone(id, frame);
            }
        }
    }

    fn say_greeting(&mut self) {
        let Some(greeting) = &self.greeting else { return };
        if let Some(id) = self.conn.streams().open(Dir::Uni) {
            let greeting = greeting.clone();
            self.say_alone(id, greeting);
            self.greeting = None;
        }
    }

    fn say_alone(&mut self, id: StreamId, frame: Bytes) {
        let mut stream = self.conn.send_stream(id);
        // It is far shorter than any window.
        if stream.write_chunks(&mut [frame]).is_ok() {
            let _ = stream.finish();
        }
    }

    /// When it is to be looked after again.
    pub(super) fn next_deadline(&mut self, origin: Origin) -> SimTime {
        let quic = self.conn.poll_timeout().map(|due| origin.when(due));
        let outgoing = self.outgoing.next_deadline().filter(|_| self.in_use());
        [quic, outgoing, self.end_by]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(SimTime(u64::MAX))
    }
}

impl From<Whole> for Step {
    fn from(whole: Whole) -> Step {
        match whole {
            Whole::Chunk { chunk, hops, repair } => Step::Chunk { chunk, hops, repair },
            Whole::Early { message, bytes } => Step::Message { message, bytes },
            Whole::Bad(why) => Step::Bad(why),
        }
    }
}

pub(super) fn after(now: SimTime, time: std::time::Duration) -> SimTime {
    now.plus(time.as_nanos() as u64)
}
