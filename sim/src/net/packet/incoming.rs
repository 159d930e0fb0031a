//! Chunks, and what is said before the control stream is there, coming in over one connection: one stream each, checked when it is whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quic::{Checked, GREETING, MAX_EARLY, MAX_GREETINGS, Streams};
use quinn_proto::{Connection, Dir, ReadError, StreamId};
use swarm::Rejection;
use wire::codec::{self, LENGTH_LEN};
use wire::{Chunk, MAX_CHUNK_FRAME, Message, UncheckedChunk};

/// What came whole.
#[derive(Debug)]
pub(super) enum Whole {
    Chunk {
        chunk: Arc<Chunk>,
        hops: u8,
        repair: bool,
    },
    Early {
        message: Box<Message>,
        bytes: u32,
    },
    /// What no honest peer sends.
    Bad(Rejection),
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Incoming {
    reading: BTreeMap<StreamId, BytesMut>,
    /// Messages that may come before the control stream is there.
    early: usize,
    /// Whether they may be more than greetings.
    answers: bool,
}

impl Incoming {
    /// Only who was dialled greets.
    pub(super) fn new(dialled: bool) -> Self {
        Incoming {
            reading: BTreeMap::new(),
            early: if dialled { MAX_GREETINGS } else { 0 },
            answers: false,
        }
    }

    /// This side's opening has been taken: it may be answered.
    pub(super) fn expect_answers(&mut self) {
        self.early = MAX_EARLY;
        self.answers = true;
    }

    /// The peer has opened streams.
    pub(super) fn opened(&mut self, conn: &mut Connection, streams: &Streams, out: &mut Vec<Whole>) {
        while let Some(id) = conn.streams().accept(Dir::Uni) {
            self.reading.insert(id, BytesMut::new());
            self.read(conn, id, streams, out);
        }
    }

    /// There is more of a stream.
    pub(super) fn read(
        &mut self,
        conn: &mut Connection,
        id: StreamId,
        streams: &Streams,
        out: &mut Vec<Whole>,
    ) {
        let Some(buffer) = self.reading.get_mut(&id) else {
            return;
        };
        let mut stream = conn.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else {
            self.reading.remove(&id);
            return;
        };
        let whole = loop {
            match chunks.next(MAX_CHUNK_FRAME) {
                Ok(Some(piece)) => buffer.extend_from_slice(&piece.bytes),
                Ok(None) => break true,
                Err(ReadError::Blocked) => {
                    let _ = chunks.finalize();
                    return;
                }
                // The sender gave it up: its time was past.
                Err(_) => break false,
            }
        };
        let _ = chunks.finalize();
        let frame = self.reading.remove(&id);
        if let Some(frame) = frame.filter(|_| whole) {
            out.extend(self.take(frame.freeze(), streams));
        }
    }

    fn take(&mut self, frame: Bytes, streams: &Streams) -> Option<Whole> {
        if self.early > 0 && frame.first() == Some(&GREETING) {
            self.early -= 1;
            return Some(match frame.get(LENGTH_LEN..).map(codec::decode) {
                Some(Ok(Message::Hello(_) | Message::Bye(_))) => Whole::Bad(Rejection::Malformed),
                Some(Ok(message)) if self.answers || matches!(message, Message::Greeting(_)) => {
                    let (message, bytes) = (Box::new(message), frame.len() as u32);
                    Whole::Early { message, bytes }
                }
                _ => Whole::Bad(Rejection::Malformed),
            });
        }
        let Ok(unchecked) = UncheckedChunk::decode(frame.clone()) else {
            return Some(Whole::Bad(Rejection::Malformed));
        };
        let (hops, repair) = (unchecked.hops, unchecked.repair);
        match streams.check(&frame, unchecked) {
            Checked::Good(chunk) => Some(Whole::Chunk { chunk, hops, repair }),
            Checked::Bad(error) => Some(Whole::Bad(Rejection::Signature(error))),
            Checked::Foreign => None,
        }
    }
}
