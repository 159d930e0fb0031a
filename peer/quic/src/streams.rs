//! The streams whose chunks are taken, with what is needed to check a chunk in the task of its connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use bytes::Bytes;
use wire::{Chunk, SignatureError, StreamId, UncheckedChunk, Verifier};

/// Recently checked chunks remembered for each stream: two seconds of the default stream. A power of two.
const RECENT: usize = 256;

/// Where the fields begin that the signature covers or is: before them are the frame's type, the hops and the tag.
const SIGNED_FROM: usize = 6;

/// What became of a frame.
#[derive(Debug)]
pub enum Checked {
    /// The chunk is the peercaster's.
    Good(Arc<Chunk>),
    /// It is not.
    Bad(SignatureError),
    /// It is of no stream that this node takes part in (any more).
    Foreign,
}

/// The streams this node takes part in.
#[derive(Debug, Default)]
pub struct Streams {
    /// By tag. Two streams with the same tag are possible, for instance because somebody searched for one.
    by_tag: RwLock<BTreeMap<u32, Vec<Arc<Known>>>>,
}

#[derive(Debug)]
struct Known {
    stream: StreamId,
    verifier: Verifier,
    /// At place `seq % RECENT`. Weak, so that memory is freed when the node forgets a chunk.
    recent: Mutex<Vec<Weak<Chunk>>>,
}

impl Streams {
    /// Takes chunks of `stream` from now on. Returns false if the id is no public key: nobody can sign for it.
    pub fn add(&self, stream: StreamId) -> bool {
        let Ok(verifier) = Verifier::new(stream.as_bytes()) else {
            return false;
        };
        let mut by_tag = self.by_tag.write().unwrap_or_else(PoisonError::into_inner);
        let known = by_tag.entry(stream.tag()).or_default();
        if known.iter().all(|known| known.stream != stream) {
            known.push(Arc::new(Known {
                stream,
                verifier: verifier.for_many(),
                recent: Mutex::new((0..RECENT).map(|_| Weak::new()).collect()),
            }));
        }
        true
    }

    /// Takes no more chunks of `stream`.
    pub fn remove(&self, stream: StreamId) {
        let mut by_tag = self.by_tag.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_tag.get_mut(&stream.tag()) {
            known.retain(|known| known.stream != stream);
            if known.is_empty() {
                by_tag.remove(&stream.tag());
            }
        }
    }

    /// Checks a decoded frame. A copy of a chunk that was checked a moment ago is compared with that one, byte for
    /// byte, which costs a fiftieth of a signature check.
    pub fn check(&self, frame: &Bytes, chunk: UncheckedChunk) -> Checked {
        let known = {
            let by_tag = self.by_tag.read().unwrap_or_else(PoisonError::into_inner);
            match by_tag.get(&chunk.stream_tag) {
                None => return Checked::Foreign,
                Some(known) => known.clone(),
            }
        };
        for stream in &known {
            if let Some(same) = stream.same_as_recent(frame, &chunk) {
                return Checked::Good(same);
            }
        }
        let mut failed = SignatureError::Mismatch;
        for stream in &known {
            // The clone shares the payload.
            match chunk.clone().check(stream.stream, &stream.verifier) {
                Ok(chunk) => return Checked::Good(stream.remember(chunk)),
                Err(error) => failed = error,
            }
        }
        Checked::Bad(failed)
    }
}

impl Known {
    fn same_as_recent(&self, frame: &Bytes, chunk: &UncheckedChunk) -> Option<Arc<Chunk>> {
        let held = {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent[place(chunk.claimed_seq().0)].upgrade()?
        };
        let header = held.encode_header(0, false);
        let same = held.frame_len() == frame.len()
            && header[SIGNED_FROM..] == frame[SIGNED_FROM..header.len()]
            && held.payload()[..] == frame[header.len()..];
        same.then_some(held)
    }

    fn remember(&self, chunk: Chunk) -> Arc<Chunk> {
        let chunk = Arc::new(chunk);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent[place(chunk.seq().0)] = Arc::downgrade(&chunk);
        chunk
    }
}

fn place(seq: u64) -> usize {
    (seq % RECENT as u64) as usize
}

#[cfg(test)]
mod tests;
