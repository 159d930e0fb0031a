//! Chunks and greetings coming in over one connection: one stream each, checked when it is whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quic::{Checked, GREETING, MAX_GREETINGS, Streams};
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
    Greeting {
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
    greetings: usize,
}

impl Incoming {
    /// Only who was dialled greets.
    pub(super) fn new(dialled: bool) -> Self {
        Incoming {
            reading: BTreeMap::new(),
            greetings: if dialled { MAX_GREETINGS } else { 0 },
        }
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
        if self.greetings > 0 && frame.first() == Some(&GREETING) {
            self.greetings -= 1;
            return Some(match frame.get(LENGTH_LEN..).map(codec::decode) {
                Some(Ok(message @ Message::Greeting(_))) => Whole::Greeting {
                    message: Box::new(message),
                    bytes: frame.len() as u32,
                },
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
