//! Chunks coming in over one connection, and what is said before the control stream is there: one stream each, read and checked here, beside all other connections.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quic::{Checked, GREETING, MAX_EARLY, MAX_GREETINGS};
use quinn::RecvStream;
use swarm::{Input, Rejection};
use wire::codec::{self, LENGTH_LEN};
use wire::{MAX_CHUNK_FRAME, Message, UncheckedChunk};

use super::{End, Link, Session, control};

/// Pieces taken from QUIC at a time.
const BATCH: usize = 16;

/// A frame in more pieces than these is joined before it is whole: the largest takes 55 packets, and a peer that sends it
/// byte by byte would have each byte hold a packet's memory.
const MAX_PIECES: usize = 128;

/// Hands checked chunks to the node.
///
/// Streams that never end take no more than the peer's share of streams and of the connection's receive window, which
/// are bounded; such a peer only shuts itself out.
pub(super) async fn read(session: Session<'_>) -> Result<Infallible, End> {
    let mut reads = FuturesUnordered::new();
    // Only who was dialled speaks before the control stream is there: it answers the opening, or else it greets.
    let mut early = match session.link {
        Link {
            opening_taken: true, ..
        } => MAX_EARLY,
        Link { dialled: true, .. } => MAX_GREETINGS,
        _ => 0,
    };
    loop {
        tokio::select! {
            stream = session.link.connection.accept_uni() => reads.push(read_frame(stream?)),
            Some(frame) = reads.next(), if !reads.is_empty() => match frame {
                Frame::Whole(frame) if early > 0 && frame.first() == Some(&GREETING) => {
                    early -= 1;
                    take_early(session, &frame).await?;
                }
                Frame::Whole(frame) => take(session, frame).await?,
                Frame::TooLong => reject(session, MAX_CHUNK_FRAME, Rejection::Malformed).await?,
                // The sender gave it up: its time was past.
                Frame::Abandoned => {}
            }
        }
    }
}

enum Frame {
    Whole(Bytes),
    TooLong,
    Abandoned,
}

/// Takes a frame whole.
///
/// The pieces are copied once, when all are there, into memory of just their size, which the payload then shares for good:
/// a view of the datagrams would keep all of them, and growing memory piece by piece would copy several times.
async fn read_frame(mut stream: RecvStream) -> Frame {
    let mut pieces = Vec::new();
    let mut len = 0;
    let mut batch = [const { Bytes::new() }; BATCH];
    loop {
        match stream.read_chunks(&mut batch).await {
            Ok(Some(count)) => {
                pieces.extend(batch[..count].iter_mut().map(std::mem::take));
                len += pieces[pieces.len() - count..]
                    .iter()
                    .map(Bytes::len)
                    .sum::<usize>();
                if len > MAX_CHUNK_FRAME {
                    return Frame::TooLong;
                }
                if pieces.len() > MAX_PIECES {
                    pieces = vec![joined(&pieces, len)];
                }
            }
            Ok(None) => return Frame::Whole(joined(&pieces, len)),
            Err(_) => return Frame::Abandoned,
        }
    }
}

fn joined(pieces: &[Bytes], len: usize) -> Bytes {
    let mut frame = BytesMut::with_capacity(len);
    for piece in pieces {
        frame.extend_from_slice(piece);
    }
    frame.freeze()
}

async fn take(session: Session<'_>, frame: Bytes) -> Result<(), End> {
    let from = session.link.peer;
    let bytes = frame.len();
    let unchecked = match UncheckedChunk::decode(frame.clone()) {
        Ok(unchecked) => unchecked,
        Err(error) => {
            tracing::debug!(peer = %from.short(), %error, "not a chunk");
            return reject(session, bytes, Rejection::Malformed).await;
        }
    };
    let (hops, repair) = (unchecked.hops, unchecked.repair);
    match session.shared.streams.check(&frame, unchecked) {
        Checked::Good(chunk) => {
            session
                .input(Input::Chunk {
                    from,
                    chunk,
                    hops,
                    repair,
                })
                .await
        }
        Checked::Bad(error) => reject(session, bytes, Rejection::Signature(error)).await,
        Checked::Foreign => {
            session.shared.count_foreign(bytes);
            Ok(())
        }
    }
}

async fn take_early(session: Session<'_>, frame: &Bytes) -> Result<(), End> {
    let Session { link, .. } = session;
    let bytes = frame.len();
    match frame.get(LENGTH_LEN..).map(codec::decode) {
        Some(message) if link.opening_taken || matches!(message, Ok(Message::Greeting(_))) => {
            match control::out_of_turn(link.peer, message, bytes) {
                Some(input) => session.input(input).await,
                None => Ok(()),
            }
        }
        _ => reject(session, bytes, Rejection::Malformed).await,
    }
}

async fn reject(session: Session<'_>, bytes: usize, why: Rejection) -> Result<(), End> {
    let from = session.link.peer;
    session.input(Input::Rejected { from, bytes, why }).await
}
