//! Chunks going out over one connection.
//!
//! QUIC gets only what its congestion window lets out about now; the rest waits in our queue, where a live chunk can
//! still pass a bulk one and an expired one can still be dropped.

use std::convert::Infallible;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use quic::{QueuedChunk, Reporter, ahead_of, priority, room_for_chunks};
use quinn::{Connection, ConnectionError, SendStream, StoppedError, VarInt, WriteError};
use swarm::{Class, Input};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Code, End, Session};

/// Sends what is queued, the most urgent first.
pub(super) async fn write(session: Session<'_>) -> Result<Infallible, End> {
    let Session { shared, link } = session;
    let connection = &link.connection;
    let mut unacknowledged = FuturesUnordered::new();
    let mut outstanding: u64 = 0;
    let mut reporter = Reporter::default();
    loop {
        let path = connection.stats().path;
        let budget = ahead_of(path.cwnd);
        link.queue().set_chunk_limit(room_for_chunks(path.cwnd, path.rtt));
        while outstanding < budget {
            let Some(next) = link.queue().pop_chunk(shared.clock.now()) else {
                break;
            };
            let len = next.chunk.frame_len() as u64;
            let deadline = shared.clock.instant_of(next.expires);
            let written = match deadline {
                Some(deadline) => timeout_at(deadline, write_chunk(connection, &next)).await,
                None => Ok(write_chunk(connection, &next).await),
            };
            match written {
                Ok(Ok(stream)) => {
                    outstanding += len;
                    // What was sent in time may still arrive.
                    let give_up = deadline.map(|at| at + path.rtt);
                    unacknowledged.push(acknowledged(stream, len, give_up));
                }
                Ok(Err(Failed::Lost(error))) => return Err(End::Lost(error)),
                // The peer does not want this one.
                Ok(Err(Failed::Stopped)) => {}
                Err(_) => link.queue().count_expired(),
            }
        }
        let queued = link.queue().chunk_bytes() + outstanding.saturating_sub(path.cwnd) as usize;
        let now = Instant::now().into_std();
        let report_at = reporter.due(now, queued, path.rtt);
        if report_at.is_some_and(|at| at <= now) {
            reporter.reported(now, queued, path.rtt);
            session
                .input(Input::Backlog {
                    peer: link.peer,
                    queued,
                    rtt: path.rtt,
                })
                .await?;
        }
        tokio::select! {
            Some(len) = unacknowledged.next(), if !unacknowledged.is_empty() => {
                outstanding -= len;
                // One acknowledgement covers many chunks.
                while let Some(Some(len)) = unacknowledged.next().now_or_never() {
                    outstanding -= len;
                }
            }
            () = link.chunks_ready.notified() => {}
            () = wait(report_at.map(Instant::from_std)), if report_at.is_some() => {}
        }
    }
}

enum Failed {
    Lost(ConnectionError),
    Stopped,
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Failed {
        match error {
            WriteError::ConnectionLost(error) => Failed::Lost(error),
            _ => Failed::Stopped,
        }
    }
}

async fn write_chunk(connection: &Connection, next: &QueuedChunk) -> Result<SendStream, Failed> {
    let stream = connection.open_uni().await.map_err(Failed::Lost)?;
    let mut stream = ResetOnDrop(Some(stream));
    let mut frame = [
        next.chunk.encode_header(next.hops, next.class != Class::Live),
        next.chunk.payload().clone(),
    ];
    if let Some(stream) = &mut stream.0 {
        let _ = stream.set_priority(priority(next.class));
        stream.write_all_chunks(&mut frame).await?;
    }
    let mut stream = stream.0.take().ok_or(Failed::Stopped)?;
    stream.finish().map_err(|_| Failed::Stopped)?;
    Ok(stream)
}

/// A stream whose data is not complete. Quinn finishes a stream that is dropped, and half a chunk that looks whole
/// would look like a forgery.
struct ResetOnDrop(Option<SendStream>);

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.0 {
            let _ = stream.reset(VarInt::from_u32(Code::Done as u32));
        }
    }
}

/// Waits until the peer has everything, and gives up at `give_up`: what is lost then is not worth sending again.
async fn acknowledged(mut stream: SendStream, len: u64, give_up: Option<Instant>) -> u64 {
    let stopped = stream.stopped();
    let result: Result<Result<_, StoppedError>, _> = match give_up {
        Some(at) => timeout_at(at, stopped).await,
        None => Ok(stopped.await),
    };
    if result.is_err() {
        let _ = stream.reset(VarInt::from_u32(Code::Done as u32));
    }
    len
}

async fn wait(at: Option<Instant>) {
    if let Some(at) = at {
        sleep_until(at).await;
    }
}
