//! Chunks going out over one connection, as in the program (`peer/src/net/link/chunks_out.rs`): one stream each, handed to
//! QUIC only as far as its window reaches, given up when their time is past.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use quic::{Code, QueuedChunk, Reporter, SendQueue, ahead_of, priority, room_for_chunks};
use quinn_proto::{Connection, Dir, StreamId, VarInt, WriteError};
use swarm::Class;

use super::moment::{Moment, Origin, end_of};
use crate::time::SimTime;

/// A chunk that QUIC has taken in part.
#[derive(Debug)]
struct Writing {
    id: StreamId,
    rest: [Bytes; 2],
    len: u64,
    media: u64,
    until: SimTime,
}

/// What the node is told of a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backlog {
    pub(super) queued: usize,
    pub(super) rtt: Duration,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Waits for a stream.
    next: Option<QueuedChunk>,
    writing: Option<Writing>,
    /// Bytes that the peer may not have yet, and until when it is worth repeating them.
    unacknowledged: BTreeMap<StreamId, (u64, SimTime)>,
    outstanding: u64,
    reporter: Reporter,
    report_at: Option<SimTime>,
    /// Copies handed to QUIC, and the media in them, since they were last asked for.
    sent: (u64, u64),
}

impl Outgoing {
    /// Hands QUIC what it can take, the most urgent first.
    pub(super) fn write(
        &mut self,
        at: Moment,
        origin: Origin,
        conn: &mut Connection,
        queue: &mut SendQueue,
    ) -> Option<Backlog> {
        self.give_up(at, conn, queue);
        let (window, rtt) = (conn.congestion_state().window(), conn.rtt());
        queue.set_chunk_limit(room_for_chunks(window, rtt));
        loop {
            if self.writing.is_none() {
                if self.next.is_none() && self.outstanding < ahead_of(window) {
                    self.next = queue.pop_chunk(at.time());
                }
                if self.next.is_none() {
                    break;
                }
                let Some(id) = conn.streams().open(Dir::Uni) else {
                    break;
                };
                if let Some(next) = self.next.take() {
                    self.begin(conn, id, &next);
                }
            }
            if !self.go_on(at, conn, rtt) {
                break;
            }
        }
        let queued = queue.chunk_bytes() + self.outstanding.saturating_sub(window) as usize;
        self.report_at = self
            .reporter
            .due(at.instant, queued, rtt)
            .map(|due| origin.when(due));
        self.report_at.filter(|due| *due <= at.now).map(|_| {
            self.reporter.reported(at.instant, queued, rtt);
            self.report_at = None;
            Backlog { queued, rtt }
        })
    }

    fn begin(&mut self, conn: &mut Connection, id: StreamId, next: &QueuedChunk) {
        let _ = conn.send_stream(id).set_priority(priority(next.class));
        self.writing = Some(Writing {
            id,
            rest: [
                next.chunk.encode_header(next.hops, next.class != Class::Live),
                next.chunk.payload().clone(),
            ],
            len: next.chunk.frame_len() as u64,
            media: next.chunk.payload().len() as u64,
            until: end_of(next.expires),
        });
    }

    /// Writes on; false if QUIC takes no more now.
    fn go_on(&mut self, at: Moment, conn: &mut Connection, rtt: Duration) -> bool {
        let Some(writing) = &mut self.writing else {
            return true;
        };
        let mut stream = conn.send_stream(writing.id);
        while writing.rest.iter().any(|rest| !rest.is_empty()) {
            match stream.write_chunks(&mut writing.rest) {
                Ok(_) => {}
                Err(WriteError::Blocked) => return false,
                // The peer does not want this one.
                Err(_) => {
                    self.writing = None;
                    return true;
                }
            }
        }
        if stream.finish().is_ok() {
            self.outstanding += writing.len;
            // What was sent in time may still arrive.
            let give_up = writing.until.max(at.now).plus(rtt.as_nanos() as u64);
            self.unacknowledged.insert(writing.id, (writing.len, give_up));
            self.sent.0 += 1;
            self.sent.1 += writing.media;
        }
        self.writing = None;
        true
    }

    /// What is past its time is not sent, or not sent again.
    fn give_up(&mut self, at: Moment, conn: &mut Connection, queue: &mut SendQueue) {
        if self.next.take_if(|next| next.expires < at.time()).is_some() {
            queue.count_expired();
        }
        if let Some(writing) = self.writing.take_if(|writing| writing.until < at.now) {
            let _ = conn.send_stream(writing.id).reset(VarInt::from(Code::Done));
            queue.count_expired();
        }
        while let Some((id, _)) = self.unacknowledged.iter().find(|(_, (_, by))| *by < at.now) {
            let id = *id;
            let _ = conn.send_stream(id).reset(VarInt::from(Code::Done));
            self.finished(id);
        }
    }

    /// The peer has everything of a stream, or wants no more of it.
    pub(super) fn finished(&mut self, id: StreamId) {
        if let Some((len, _)) = self.unacknowledged.remove(&id) {
            self.outstanding -= len;
        }
        if self.writing.as_ref().is_some_and(|writing| writing.id == id) {
            self.writing = None;
        }
    }

    pub(super) fn take_sent(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.sent)
    }

    pub(super) fn next_deadline(&self) -> Option<SimTime> {
        let past = |at: SimTime| at.plus(1);
        let next = self.next.as_ref().map(|next| past(end_of(next.expires)));
        let writing = self.writing.as_ref().map(|writing| past(writing.until));
        let acknowledged = self.unacknowledged.values().map(|(_, by)| past(*by)).min();
        [self.report_at, next, writing, acknowledged]
            .into_iter()
            .flatten()
            .min()
    }
}
