//! Chunks coming in over one connection: one stream each, read and checked here, beside all other connections.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{ReadToEndError, RecvStream};
use swarm::{Input, Rejection};
use wire::{MAX_CHUNK_FRAME, UncheckedChunk};

use super::{End, Session};
use crate::net::streams::Checked;

/// Hands checked chunks to the node.
///
/// Streams that never end take no more than the peer's share of streams and of the connection's receive window, which
/// are bounded; such a peer only shuts itself out.
pub(super) async fn read(session: Session<'_>) -> Result<Infallible, End> {
    let mut reads = FuturesUnordered::new();
    loop {
        tokio::select! {
            stream = session.link.connection.accept_uni() => reads.push(read_frame(stream?)),
            Some(frame) = reads.next(), if !reads.is_empty() => match frame {
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

async fn read_frame(mut stream: RecvStream) -> Frame {
    match stream.read_to_end(MAX_CHUNK_FRAME).await {
        // One copy out of the datagrams into memory of just this size, which the payload then shares for good.
        Ok(bytes) => Frame::Whole(bytes.into()),
        Err(ReadToEndError::TooLong) => Frame::TooLong,
        Err(ReadToEndError::Read(_)) => Frame::Abandoned,
    }
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

async fn reject(session: Session<'_>, bytes: usize, why: Rejection) -> Result<(), End> {
    let from = session.link.peer;
    session.input(Input::Rejected { from, bytes, why }).await
}
