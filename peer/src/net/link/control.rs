//! Control messages of one connection.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use quic::{Code, FLUSH_TIMEOUT, FrameBuffer, HANDSHAKE_TIMEOUT, YIELD_TIMEOUT};
use quinn::{RecvStream, SendStream};
use swarm::{Input, Rejection};
use tokio::time::Instant;
use wire::codec::{self, FrameError, LENGTH_LEN, MAX_FRAME};
use wire::{Message, PeerId};

use super::{End, Session, hello, left};
use crate::net::bucket::TokenBucket;

/// Messages a second that a peer may send in the long run. A busy supplier sends some 50: adverts, paths, requests.
const MESSAGE_RATE: f64 = 400.0;

/// Messages it may send at once: everything that a join with all substreams and repairs can bring together.
const MESSAGE_BURST: f64 = 800.0;

/// Messages beyond the limit are reported together, this often, so that the flood does not reach the node.
const FLOOD_REPORT: Duration = Duration::from_millis(100);

/// Reads frames off the control stream.
#[derive(Debug)]
pub(super) struct FrameReader {
    recv: RecvStream,
    buffer: FrameBuffer,
}

impl FrameReader {
    pub(super) fn new(recv: RecvStream) -> Self {
        FrameReader {
            recv,
            buffer: FrameBuffer::default(),
        }
    }

    /// The next frame without its length; `None` at the end of the stream. Never holds more than one frame and what
    /// one read brings.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, End> {
        loop {
            let frame = self
                .buffer
                .next_frame()
                .map_err(|_| End::Broken(Code::Protocol, "a control message is too long"))?;
            if frame.is_some() {
                return Ok(frame);
            }
            match self.recv.read_chunk(MAX_FRAME, true).await? {
                Some(chunk) => self.buffer.push(&chunk.bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(End::Broken(Code::Protocol, "a control message is cut short")),
            }
        }
    }
}

/// Hands control messages to the node until the peer ends the stream or breaks the protocol.
pub(super) async fn read(
    session: Session<'_>,
    mut reader: FrameReader,
    expect_hello: bool,
) -> Result<Infallible, End> {
    if expect_hello {
        let first = tokio::time::timeout(HANDSHAKE_TIMEOUT, reader.next()).await;
        match first {
            Ok(frame) => match frame? {
                Some(frame) => hello::read(&frame)?,
                None => return left(session, false).await,
            },
            Err(_) => return Err(End::Broken(Code::Late, "no first message")),
        };
    }
    let from = session.link.peer;
    let mut limit = TokenBucket::new(MESSAGE_RATE, MESSAGE_BURST, Instant::now());
    let mut flood = Flood::default();
    let mut said_goodbye = false;
    loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return left(session, said_goodbye).await,
            Err(end) => {
                if matches!(end, End::Broken(..)) {
                    let bytes = LENGTH_LEN;
                    session.input(rejected(from, bytes, Rejection::Malformed)).await?;
                }
                return Err(end);
            }
        };
        let bytes = LENGTH_LEN + frame.len();
        let now = Instant::now();
        if !limit.take(now) {
            if let Some(bytes) = flood.add(bytes, now) {
                session.input(rejected(from, bytes, Rejection::Flood)).await?;
            }
            continue;
        }
        let message = codec::decode(&frame);
        said_goodbye = matches!(message, Ok(Message::Bye(_)));
        if let Some(input) = input_of(from, message, bytes) {
            session.input(input).await?;
        }
    }
}

/// What the node is told of a message.
fn input_of(from: PeerId, message: Result<Message, FrameError>, bytes: usize) -> Option<Input> {
    Some(match message {
        // Once is enough.
        Ok(Message::Hello(_)) => rejected(from, bytes, Rejection::Malformed),
        Ok(message) => Input::Message { from, message, bytes },
        // A later version may have more kinds.
        Err(FrameError::UnknownKind(kind)) => {
            tracing::trace!(peer = %from.short(), kind, "message of unknown kind");
            return None;
        }
        Err(error) => {
            tracing::debug!(peer = %from.short(), %error, "malformed message");
            rejected(from, bytes, Rejection::Malformed)
        }
    })
}

/// The same for a message that did not come over the control stream, where alone a connection begins and ends.
pub(super) fn out_of_turn(from: PeerId, message: Result<Message, FrameError>, bytes: usize) -> Option<Input> {
    match message {
        Ok(Message::Bye(_)) => Some(rejected(from, bytes, Rejection::Malformed)),
        message => input_of(from, message, bytes),
    }
}

fn rejected(from: PeerId, bytes: usize, why: Rejection) -> Input {
    Input::Rejected { from, bytes, why }
}

/// Adds up what was beyond the limit.
#[derive(Debug, Default)]
struct Flood {
    bytes: usize,
    reported: Option<Instant>,
}

impl Flood {
    /// Counts bytes; gives what is to be reported now.
    fn add(&mut self, bytes: usize, now: Instant) -> Option<usize> {
        self.bytes += bytes;
        let due = self
            .reported
            .is_none_or(|last| now.saturating_duration_since(last) >= FLOOD_REPORT);
        due.then(|| {
            self.reported = Some(now);
            std::mem::take(&mut self.bytes)
        })
    }
}

/// Sends what is queued; when told to finish, ends the stream and waits until the peer has read everything.
pub(super) async fn write(session: Session<'_>, mut send: SendStream) -> Result<Infallible, End> {
    let link = session.link;
    let mut batch = Vec::new();
    loop {
        let finished = {
            let mut queue = link.queue();
            batch.extend(std::iter::from_fn(|| queue.pop_control()));
            queue.is_finished()
        };
        if !batch.is_empty() {
            send.write_all_chunks(&mut batch).await?;
            batch.clear();
        }
        if finished {
            break;
        }
        link.control_ready.notified().await;
    }
    // An error says that the stream is closed already, which is what is wanted.
    let _ = send.finish();
    // The peer closes the connection once it has read the end of the stream. If this side closed it, what the peer has
    // received and not yet read would be lost, acknowledged or not.
    let patience = if link.superseded.is_cancelled() {
        YIELD_TIMEOUT
    } else {
        FLUSH_TIMEOUT
    };
    let _ = tokio::time::timeout(patience, link.connection.closed()).await;
    Err(End::Finished)
}
