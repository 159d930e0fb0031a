//! Input: from an encoder's pipe, a file or datagrams into a published stream.
//!
//! ```text
//!   pipe, file, socket --a thread--> queue of pieces --Caster: Segmenter, encryption--> NodeHandle::produce
//! ```
//!
//! What if the queue is full? A pipe's or file's thread waits, a socket's drops datagrams as the kernel would. Either
//! happens only when this process itself stands still: `produce` never waits, so the swarm cannot block an encoder.

mod caster;
mod file;
mod pace;
mod rate;
mod rtp;
mod socket;
mod spec;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::{Bitrate, Time};

pub use caster::{CastEnd, CastOptions, Caster};
pub use spec::{InputError, InputSpec};

use crate::driver::Clock;
use crate::error::{Failure, plain_io};
use crate::media::testcard::TestCard;

/// Most pieces waiting: at most 16 MiB, as a piece has at most [`READ_MAX`] bytes.
const WAITING_MAX: usize = 256;

/// Most bytes taken in one read: what a pipe holds on Linux.
const READ_MAX: usize = 64 * 1024;

/// Bytes as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Never empty.
    pub bytes: Bytes,
    /// When they were read, on the node's clock.
    pub read_at: Time,
}

/// How to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// The pace of a file or pipe, whatever its own clock says. A file without a clock needs one.
    pub rate: Option<Bitrate>,
    /// Whether a file starts again at its end.
    pub repeat: bool,
}

/// An open input. Dropping it ends its thread at the next piece.
#[derive(Debug)]
pub struct Ingest {
    pieces: mpsc::Receiver<Result<Piece, Failure>>,
    /// Looked at already.
    first: Option<Result<Piece, Failure>>,
}

impl Ingest {
    /// Opens an input and starts to read.
    ///
    /// # Errors
    /// [`Failure::Input`] when it cannot be opened, is no input (a terminal, a folder), or has neither clock nor rate.
    pub async fn open(spec: &InputSpec, options: ReadOptions, clock: Clock) -> Result<Self, Failure> {
        let (sender, pieces) = mpsc::channel(WAITING_MAX);
        let out = PieceSender { sender, clock };
        match spec {
            InputSpec::Stdin => file::start_stdin(options, out)?,
            InputSpec::File(path) => file::start_file(path, options, out)?,
            InputSpec::Udp(from) => socket::start_udp(from, out).await?,
            InputSpec::Rtp(from) => socket::start_rtp(from, out).await?,
        }
        Ok(Ingest { pieces, first: None })
    }

    /// The built-in test stream, without end, at its own pace.
    ///
    /// # Errors
    /// [`Failure::Running`] when there is no thread for it.
    pub fn test_card(card: TestCard, clock: Clock) -> Result<Self, Failure> {
        let (sender, pieces) = mpsc::channel(WAITING_MAX);
        file::start_test_card(card, PieceSender { sender, clock })?;
        Ok(Ingest { pieces, first: None })
    }

    /// Whether the input shows within `patience` that there is nothing in it.
    pub async fn is_empty(&mut self, patience: Duration) -> bool {
        if self.first.is_some() {
            return false;
        }
        match tokio::time::timeout(patience, self.pieces.recv()).await {
            Ok(None) => true,
            Ok(first) => {
                self.first = first;
                false
            }
            Err(_) => false,
        }
    }

    /// The next pieces, at least one, appended to `out`; false at the end of the input.
    ///
    /// # Errors
    /// [`Failure::Running`] when reading failed in the middle.
    pub async fn recv(&mut self, out: &mut VecDeque<Piece>) -> Result<bool, Failure> {
        let first = match self.first.take() {
            Some(first) => first,
            None => match self.pieces.recv().await {
                Some(first) => first,
                None => return Ok(false),
            },
        };
        out.push_back(first?);
        while out.len() < WAITING_MAX
            && let Ok(more) = self.pieces.try_recv()
        {
            out.push_back(more?);
        }
        Ok(true)
    }
}

/// The reading thread's end.
#[derive(Clone, Debug)]
struct PieceSender {
    sender: mpsc::Sender<Result<Piece, Failure>>,
    clock: Clock,
}

/// Nobody wants the input any more.
struct Unwanted;

impl PieceSender {
    /// Sends what was just read; waits while the queue is full.
    fn send(&self, bytes: &[u8]) -> Result<(), Unwanted> {
        self.send_bytes(Bytes::copy_from_slice(bytes))
    }

    fn send_bytes(&self, bytes: Bytes) -> Result<(), Unwanted> {
        let read_at = self.clock.now();
        self.sender
            .blocking_send(Ok(Piece { bytes, read_at }))
            .map_err(|_| Unwanted)
    }

    /// Sends what was just received; drops it, saying so, when the queue is full.
    fn send_or_drop(&self, bytes: Bytes, read_at: Time) -> Result<bool, Unwanted> {
        match self.sender.try_send(Ok(Piece { bytes, read_at })) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(false),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Unwanted),
        }
    }

    /// Reading failed: the last thing that is sent.
    fn fail(&self, name: &str, error: &std::io::Error) {
        // If nobody listens any more, nobody minds.
        let _ = self.sender.blocking_send(Err(Failure::running(format!(
            "reading {name} failed ({}); what was read before was sent",
            plain_io(error)
        ))));
    }

    fn is_unwanted(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Starts the thread that reads.
fn spawn(read: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name("input".into())
        .spawn(read)
        .map(drop)
        .map_err(|error| {
            Failure::running(format!(
                "no thread for the input ({}); stop other programs and try again",
                plain_io(&error)
            ))
        })
}

#[cfg(test)]
mod tests;
