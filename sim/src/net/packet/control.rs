//! The control stream of one connection: frames in order, the first of which is a hello.

use bytes::Bytes;
use quic::{CONTROL_PRIORITY, FrameBuffer};
use quinn_proto::{Connection, Dir, ReadError, StreamId, WriteError};
use wire::codec::{self, MAX_FRAME};
use wire::message::Hello;
use wire::{Message, VERSIONS};

use crate::net::addr_of;

/// What a node says of its program, as long as the real one's.
const AGENT: &str = "headwater/0.1.0";

/// How the stream stands after reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// More may come.
    Open,
    /// The peer has ended it.
    Ended,
    /// It broke off, or is no control stream.
    Broken,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Control {
    id: Option<StreamId>,
    frames: FrameBuffer,
    unwritten: Vec<Bytes>,
    finish: bool,
    finished: bool,
}

impl Control {
    /// Who has dialled opens it.
    pub(super) fn open(&mut self, conn: &mut Connection) {
        self.take_up(conn.streams().open(Dir::Bi), conn);
    }

    /// And the other side takes it up.
    pub(super) fn opened(&mut self, conn: &mut Connection) {
        if self.id.is_none() {
            self.take_up(conn.streams().accept(Dir::Bi), conn);
        }
    }

    fn take_up(&mut self, id: Option<StreamId>, conn: &mut Connection) {
        if let Some(id) = id {
            let _ = conn.send_stream(id).set_priority(CONTROL_PRIORITY);
        }
        self.id = id;
    }

    pub(super) fn is(&self, id: StreamId) -> bool {
        self.id == Some(id)
    }

    /// The first message in each direction.
    pub(super) fn say_hello(&mut self, own: u32, other: u32) {
        let hello = Message::from(hello(own, Some(other)));
        self.push(codec::encode(&hello).into());
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.unwritten.push(frame);
    }

    /// Nothing comes after what was pushed.
    pub(super) fn finish(&mut self) {
        self.finish = true;
    }

    /// Whether the peer has been told that nothing more comes.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Hands QUIC what it takes.
    pub(super) fn write(&mut self, conn: &mut Connection) {
        let Some(id) = self.id.filter(|_| !self.finished) else {
            return;
        };
        let mut stream = conn.send_stream(id);
        while !self.unwritten.is_empty() {
            match stream.write_chunks(&mut self.unwritten) {
                Ok(written) => drop(self.unwritten.drain(..written.chunks)),
                Err(WriteError::Blocked) => return,
                Err(_) => {
                    self.unwritten.clear();
                    self.finished = true;
                    return;
                }
            }
        }
        if self.finish {
            // An error says that the stream is closed already, which is what is wanted.
            let _ = stream.finish();
            self.finished = true;
        }
    }

    /// Takes what has come, whole frames first to last.
    pub(super) fn read(&mut self, conn: &mut Connection, out: &mut Vec<Bytes>) -> Read {
        let Some(id) = self.id else {
            return Read::Open;
        };
        let mut stream = conn.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else {
            return Read::Ended;
        };
        let state = loop {
            match chunks.next(MAX_FRAME) {
                Ok(Some(piece)) => self.frames.push(&piece.bytes),
                Ok(None) => break Read::Ended,
                Err(ReadError::Blocked) => break Read::Open,
                Err(_) => break Read::Broken,
            }
        };
        let _ = chunks.finalize();
        loop {
            match self.frames.next_frame() {
                Ok(Some(frame)) => out.push(frame),
                Ok(None) => return state,
                Err(_) => return Read::Broken,
            }
        }
    }
}

/// What a host says first to another that it sees, if it does.
pub(super) fn hello(own: u32, observed: Option<u32>) -> Hello {
    Hello {
        versions: VERSIONS,
        features: 0,
        agent: AGENT.to_owned(),
        listen: [addr_of(own)].into_iter().collect(),
        observed: observed.map(addr_of),
    }
}
