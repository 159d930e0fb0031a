//! The chunk: a piece of the stream, signed by the peercaster, checked by every hop before it is passed on.

mod proof;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::sign::{Domain, SecretKey, SignatureBytes, SignatureError, Verifier};
use crate::{Seq, StreamId, Time};

pub use proof::MAX_GROUP;

/// The largest payload of a chunk. Larger ones would hold up everything behind them on a slow uplink: 64 KiB take 26 ms
/// at 20 Mbit/s.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// The bytes before the payload in the frame of a chunk that is signed by itself: see `docs/WIRE.md`.
pub const CHUNK_HEADER_LEN: usize = PROOF_AT + 1;

/// Where the proof begins, which ends where its first byte says.
const PROOF_AT: usize = 1 + 1 + 4 + 8 + 8 + 8 + 4 + 1 + 64;

/// The largest chunk frame.
pub const MAX_CHUNK_FRAME: usize = CHUNK_HEADER_LEN + proof::MAX_HASHES + MAX_PAYLOAD + AEAD_OVERHEAD;

/// What encryption adds to the payload of a private stream (the tag of XChaCha20-Poly1305).
pub const AEAD_OVERHEAD: usize = 16;

/// The first byte of a chunk's frame.
pub const CHUNK_FRAME_TYPE: u8 = 1;

/// What a chunk says about its place in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkFlags {
    /// A player can start with this chunk: it begins with a key frame.
    pub random_access: bool,
    /// What went before does not continue here: the encoder paused, its clock jumped, or input was lost.
    pub discontinuity: bool,
    /// The last chunk of the stream; nothing follows.
    pub end: bool,
    /// Bits that a later version defines: kept, since they are signed, and passed on. The lowest three are ignored.
    pub reserved: u8,
}

impl ChunkFlags {
    const RANDOM_ACCESS: u8 = 1;
    const DISCONTINUITY: u8 = 2;
    const END: u8 = 4;
    const KNOWN: u8 = Self::RANDOM_ACCESS | Self::DISCONTINUITY | Self::END;

    fn to_byte(self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.random_access, Self::RANDOM_ACCESS)
            | bit(self.discontinuity, Self::DISCONTINUITY)
            | bit(self.end, Self::END)
            | self.reserved & !Self::KNOWN
    }

    fn from_byte(byte: u8) -> Self {
        ChunkFlags {
            random_access: byte & Self::RANDOM_ACCESS != 0,
            discontinuity: byte & Self::DISCONTINUITY != 0,
            end: byte & Self::END != 0,
            reserved: byte & !Self::KNOWN,
        }
    }
}

/// What the peercaster says of a chunk before signing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// The stream.
    pub stream: StreamId,
    /// The first number of the peercaster's current session: a restart starts a new one. Chunks between the end of one
    /// session and the start of the next never existed.
    pub session: Seq,
    /// The chunk's number.
    pub seq: Seq,
    /// When the peercaster read the chunk's first byte, on its clock (Unix time).
    pub generated_at: Time,
    /// How much time of input the chunk holds.
    pub duration: Duration,
    /// Its place in the stream.
    pub flags: ChunkFlags,
}

/// A chunk whose signature is known to be right: made here by the peercaster's key, or checked on arrival. There is no
/// other way to get one, so nothing unchecked is ever stored, played or passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    header: ChunkHeader,
    payload: Bytes,
    signature: SignatureBytes,
    proof: Bytes,
}

/// A chunk as it came from another peer: decoded, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncheckedChunk {
    /// The first four bytes of the stream's id.
    pub stream_tag: u32,
    /// How many hops the chunk has gone, as the sender says: 1 from the peercaster itself. Not signed; for statistics.
    pub hops: u8,
    /// True when it answers a request, false when a standing subscription brought it.
    pub repair: bool,
    session: Seq,
    seq: Seq,
    generated_at: Time,
    duration: Duration,
    flags: ChunkFlags,
    signature: SignatureBytes,
    proof: Bytes,
    payload: Bytes,
}

/// Bytes that are no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFrameError {
    /// Not a chunk frame, or of a version this build does not know.
    #[error("not a chunk frame (type {0})")]
    Type(u8),
    /// Fewer bytes than a header.
    #[error("a chunk frame of {0} bytes is cut short")]
    Short(usize),
    /// Not how a proof begins.
    #[error("a proof of a chunk cannot begin with {0}")]
    Proof(u8),
    /// More bytes than a chunk may have.
    #[error("a chunk frame of {0} bytes is too long")]
    Long(usize),
}

impl Chunk {
    /// Makes and signs a chunk.
    ///
    /// # Panics
    /// When `payload` is longer than [`MAX_PAYLOAD`] plus [`AEAD_OVERHEAD`]: the segmenter never makes such.
    pub fn sign(header: ChunkHeader, payload: Bytes, key: &SecretKey) -> Self {
        let header = as_seen(header, &payload);
        let signature = key.sign(&chunk_hash(&header, &payload));
        Chunk {
            header,
            payload,
            signature,
            proof: Bytes::from_static(proof::ALONE),
        }
    }

    /// Makes chunks and signs them together, up to [`MAX_GROUP`] with one signature.
    ///
    /// # Panics
    /// As [`sign`](Self::sign).
    pub fn sign_all(pieces: Vec<(ChunkHeader, Bytes)>, key: &SecretKey) -> Vec<Self> {
        let mut chunks = Vec::with_capacity(pieces.len());
        let mut pieces = pieces.into_iter();
        loop {
            let group: Vec<_> = pieces
                .by_ref()
                .take(MAX_GROUP)
                .map(|(header, payload)| (as_seen(header, &payload), payload))
                .collect();
            if group.is_empty() {
                return chunks;
            }
            let hashes: Vec<_> = group
                .iter()
                .map(|(header, payload)| chunk_hash(header, payload))
                .collect();
            let (root, proofs) = proof::tree(&hashes);
            let signature = key.sign(&root);
            chunks.extend(
                group
                    .into_iter()
                    .zip(proofs)
                    .map(|((header, payload), proof)| Chunk {
                        header,
                        payload,
                        signature,
                        proof,
                    }),
            );
        }
    }

    /// What the peercaster says of it.
    #[inline]
    pub fn header(&self) -> &ChunkHeader {
        &self.header
    }

    /// The chunk's number.
    #[inline]
    pub fn seq(&self) -> Seq {
        self.header.seq
    }

    /// The media, encrypted if the stream is private.
    #[inline]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Bytes that one copy takes in a frame.
    #[inline]
    pub fn frame_len(&self) -> usize {
        PROOF_AT + self.proof.len() + self.payload.len()
    }

    /// The frame's first part, up to the payload, for a copy that has gone `hops` hops when it arrives.
    pub fn encode_header(&self, hops: u8, repair: bool) -> Bytes {
        let mut out = BytesMut::with_capacity(PROOF_AT + self.proof.len());
        out.put_u8(CHUNK_FRAME_TYPE);
        // The top bit tells what was fetched, here or further up, from a chunk on its first way: its age says nothing about the
        // sender's lag.
        out.put_u8(hops.min(0x7f) | if repair { 0x80 } else { 0 });
        out.put_u32(self.header.stream.tag());
        put_signed_fields(&mut out, &self.header);
        out.put_slice(&self.signature);
        out.put_slice(&self.proof);
        out.freeze()
    }
}

/// The header as the other side will see it, and so as it is signed: what goes over the wire is whole microseconds in 32 bits.
fn as_seen(header: ChunkHeader, payload: &Bytes) -> ChunkHeader {
    assert!(
        payload.len() <= MAX_PAYLOAD + AEAD_OVERHEAD,
        "a chunk's payload has at most 64 KiB"
    );
    ChunkHeader {
        duration: whole_micros(header.duration),
        ..header
    }
}

fn whole_micros(d: Duration) -> Duration {
    Duration::from_micros(d.as_micros().min(u128::from(u32::MAX)) as u64)
}

fn put_signed_fields(out: &mut impl BufMut, header: &ChunkHeader) {
    out.put_u64(header.session.0);
    out.put_u64(header.seq.0);
    out.put_u64(header.generated_at.as_micros());
    out.put_u32(whole_micros(header.duration).as_micros() as u32);
    out.put_u8(header.flags.to_byte());
}

/// The payload comes first: BLAKE3 takes its pieces of 1 KiB sixteen at a time when they begin where the payload does, and
/// needs a quarter less time than with the fields before it. The fields' length is fixed, so no two chunks hash the same bytes.
fn chunk_hash(header: &ChunkHeader, payload: &[u8]) -> blake3::Hash {
    let mut fields = [0u8; 29];
    put_signed_fields(&mut &mut fields[..], header);
    Domain::CHUNK
        .hasher()
        .update(payload)
        .update(header.stream.as_bytes())
        .update(&fields)
        .finalize()
}

fn be_u64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

impl UncheckedChunk {
    /// Reads a whole chunk frame.
    ///
    /// # Errors
    /// A [`ChunkFrameError`] when the bytes are no chunk or exceed the limits.
    pub fn decode(frame: Bytes) -> Result<Self, ChunkFrameError> {
        match frame.first() {
            Some(&CHUNK_FRAME_TYPE) => {}
            Some(&other) => return Err(ChunkFrameError::Type(other)),
            None => return Err(ChunkFrameError::Short(0)),
        }
        if frame.len() < CHUNK_HEADER_LEN {
            return Err(ChunkFrameError::Short(frame.len()));
        }
        let payload_at = CHUNK_HEADER_LEN + proof::hashes_len(frame[PROOF_AT])?;
        if frame.len() < payload_at {
            return Err(ChunkFrameError::Short(frame.len()));
        }
        if frame.len() > payload_at + MAX_PAYLOAD + AEAD_OVERHEAD {
            return Err(ChunkFrameError::Long(frame.len()));
        }
        let mut signature = [0; 64];
        signature.copy_from_slice(&frame[35..PROOF_AT]);
        Ok(UncheckedChunk {
            stream_tag: be_u64(&frame[2..6]) as u32,
            hops: frame[1] & 0x7f,
            repair: frame[1] & 0x80 != 0,
            session: Seq(be_u64(&frame[6..14])),
            seq: Seq(be_u64(&frame[14..22])),
            generated_at: Time::from_micros(be_u64(&frame[22..30])),
            duration: Duration::from_micros(be_u64(&frame[30..34])),
            flags: ChunkFlags::from_byte(frame[34]),
            signature,
            proof: frame.slice(PROOF_AT..payload_at),
            payload: frame.slice(payload_at..),
        })
    }

    /// The number it claims, to drop a duplicate before the cost of checking it.
    pub fn claimed_seq(&self) -> Seq {
        self.seq
    }

    /// Checks the peercaster's signature.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`] when the chunk is not the peercaster's.
    pub fn check(self, stream: StreamId, key: &Verifier) -> Result<Chunk, SignatureError> {
        let header = ChunkHeader {
            stream,
            session: self.session,
            seq: self.seq,
            generated_at: self.generated_at,
            duration: self.duration,
            flags: self.flags,
        };
        let root = proof::root(chunk_hash(&header, &self.payload), &self.proof);
        if self.proof == proof::ALONE {
            key.check(&root, &self.signature)?;
        } else {
            key.check_shared(&root, &self.signature)?;
        }
        Ok(Chunk {
            header,
            payload: self.payload,
            signature: self.signature,
            proof: self.proof,
        })
    }
}

#[cfg(test)]
mod tests;
