//! What waits to be sent to one peer: bounded in bytes and in time, first things first.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use swarm::Class;
use wire::{Chunk, Time};

/// Most bytes of control messages waiting. A peer that does not read this much of small messages is stuck.
const MAX_CONTROL_BYTES: usize = 512 * 1024;

/// The least room for chunks: four of the largest.
const MIN_CHUNK_BYTES: usize = 256 * 1024;

/// The most room for chunks, at whatever rate: 150 ms at 1.8 Gbit/s. The node holds the same chunks, so they seldom take
/// memory of their own.
const MAX_CHUNK_BYTES: usize = 32 * 1024 * 1024;

/// How many classes of chunks there are.
const CLASSES: usize = 3;

/// A chunk waiting.
#[derive(Clone, Debug)]
pub struct QueuedChunk {
    /// The chunk.
    pub chunk: Arc<Chunk>,
    /// Hops it will have gone on arrival.
    pub hops: u8,
    /// Live before repair before bulk.
    pub class: Class,
    /// Not worth sending after this instant.
    pub expires: Time,
}

/// What was not sent, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Chunks whose time passed while they waited.
    pub expired: u64,
    /// Chunks for which there was no room.
    pub overflowed: u64,
}

/// Control messages did not fit: the peer has not read for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlFull;

/// Control messages in order, chunks by class.
///
/// What if it is full? Of chunks the oldest of the least important class goes (in a live stream the newest is worth
/// the most); control messages are never dropped, instead the connection is given up.
#[derive(Debug)]
pub struct SendQueue {
    control: VecDeque<Bytes>,
    control_bytes: usize,
    chunks: [VecDeque<QueuedChunk>; CLASSES],
    chunk_bytes: usize,
    chunk_limit: usize,
    dropped: Dropped,
    /// Set when the connection is to end after what is queued; nothing is taken any more.
    finishing: bool,
}

impl Default for SendQueue {
    fn default() -> Self {
        SendQueue {
            control: VecDeque::new(),
            control_bytes: 0,
            chunks: Default::default(),
            chunk_bytes: 0,
            chunk_limit: MIN_CHUNK_BYTES,
            dropped: Dropped::default(),
            finishing: false,
        }
    }
}

impl SendQueue {
    /// Queues a control message.
    ///
    /// # Errors
    /// [`ControlFull`] when too much waits already.
    pub fn push_control(&mut self, frame: Bytes) -> Result<(), ControlFull> {
        if self.finishing {
            return Ok(());
        }
        if self.control_bytes + frame.len() > MAX_CONTROL_BYTES {
            return Err(ControlFull);
        }
        self.control_bytes += frame.len();
        self.control.push_back(frame);
        Ok(())
    }

    /// Whether a control message waits.
    pub fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    /// The next control message to send.
    pub fn pop_control(&mut self) -> Option<Bytes> {
        let frame = self.control.pop_front()?;
        self.control_bytes -= frame.len();
        Some(frame)
    }

    /// Queues a copy of a chunk, for which others may have to go.
    pub fn push_chunk(&mut self, chunk: QueuedChunk, now: Time) {
        if self.finishing {
            return;
        }
        self.chunk_bytes += chunk.chunk.frame_len();
        self.chunks[row(chunk.class)].push_back(chunk);
        if self.chunk_bytes > self.chunk_limit {
            self.drop_expired(now);
        }
        while self.chunk_bytes > self.chunk_limit {
            let Some(oldest) = self.chunks.iter_mut().rev().find_map(VecDeque::pop_front) else {
                return;
            };
            self.chunk_bytes -= oldest.chunk.frame_len();
            self.dropped.overflowed += 1;
        }
    }

    /// The next chunk to send, passing over those whose time is past.
    pub fn pop_chunk(&mut self, now: Time) -> Option<QueuedChunk> {
        while let Some(chunk) = self.chunks.iter_mut().find_map(VecDeque::pop_front) {
            self.chunk_bytes -= chunk.chunk.frame_len();
            if chunk.expires >= now {
                return Some(chunk);
            }
            self.dropped.expired += 1;
        }
        None
    }

    fn drop_expired(&mut self, now: Time) {
        for chunks in &mut self.chunks {
            chunks.retain(|waiting| {
                let keep = waiting.expires >= now;
                if !keep {
                    self.chunk_bytes -= waiting.chunk.frame_len();
                    self.dropped.expired += 1;
                }
                keep
            });
        }
    }

    /// Sets the room for chunks to what the path carries in the time that chunks may wait at most.
    pub fn set_chunk_limit(&mut self, bytes: u64) {
        self.chunk_limit = usize::try_from(bytes)
            .unwrap_or(MAX_CHUNK_BYTES)
            .clamp(MIN_CHUNK_BYTES, MAX_CHUNK_BYTES);
    }

    /// Bytes of chunks waiting.
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Counts a chunk whose time passed while it was being written.
    pub fn count_expired(&mut self) {
        self.dropped.expired += 1;
    }

    /// What was not sent so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Whether it takes nothing more.
    pub fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Takes nothing more.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// Whether the connection is to end, and all that was queued is taken.
    pub fn is_finished(&self) -> bool {
        self.finishing && self.control.is_empty()
    }
}

fn row(class: Class) -> usize {
    match class {
        // Chunks are never of class control; if one is, it is as urgent as a live one.
        Class::Control | Class::Live => 0,
        Class::Repair => 1,
        Class::Bulk => 2,
    }
}

#[cfg(test)]
mod tests;
