//! One signature for several chunks: the hashes of the chunks are the leaves of a binary tree, its root is what is signed, and
//! each chunk carries the hashes that lead from it to the root. So each chunk is checked by itself, as soon as it is there, and
//! whoever has checked one of a group needs only the hashes for the others (RFC 7574, section 6.1.2.2, has the same for live
//! streams; its trees grow with the stream and these do not).
//!
//! A proof's first byte is a one followed by a bit for each level, the lowest level last: set when the hash beside is the left
//! one. The hashes beside follow, the lowest level first. A chunk that is signed by itself has the proof `[1]`.

use bytes::Bytes;

use super::ChunkFrameError;
use crate::sign::Domain;

/// Most chunks under one signature. Eight already make the signature's share of the cost less than that of the hashes; sixteen
/// are what four hashes reach, which are 0.2 % of a full chunk.
pub const MAX_GROUP: usize = 16;

/// The longest proof, after its first byte.
pub(super) const MAX_HASHES: usize = MAX_GROUP.ilog2() as usize * HASH;

/// Of a chunk that is signed by itself.
pub(super) const ALONE: &[u8] = &[1];

const HASH: usize = blake3::OUT_LEN;

/// Bytes of the hashes after a proof that begins with `first`.
pub(super) fn hashes_len(first: u8) -> Result<usize, ChunkFrameError> {
    match first.checked_ilog2() {
        Some(levels) if levels as usize * HASH <= MAX_HASHES => Ok(levels as usize * HASH),
        _ => Err(ChunkFrameError::Proof(first)),
    }
}

/// The hash that is signed for a chunk with this hash and proof.
pub(super) fn root(chunk: blake3::Hash, proof: &[u8]) -> blake3::Hash {
    let Some((sides, beside)) = proof.split_first() else {
        return chunk;
    };
    let beside = beside.chunks_exact(HASH).enumerate();
    beside.fold(chunk, |hash, (level, beside)| {
        if sides >> level & 1 == 1 {
            parent(beside, hash.as_bytes())
        } else {
            parent(hash.as_bytes(), beside)
        }
    })
}

fn parent(left: &[u8], right: &[u8]) -> blake3::Hash {
    Domain::CHUNKS.hasher().update(left).update(right).finalize()
}

/// The root over the hashes of at most [`MAX_GROUP`] chunks, and the proof of each.
pub(super) fn tree(chunks: &[blake3::Hash]) -> (blake3::Hash, Vec<Bytes>) {
    let mut proofs = vec![(1_u8, Vec::new()); chunks.len()];
    let mut level = chunks.to_vec();
    // How many levels each node is above the chunks; the last of an odd number goes up as it is.
    let mut width = 1;
    while level.len() > 1 {
        for (n, (sides, hashes)) in proofs.iter_mut().enumerate() {
            let beside = (n / width) ^ 1;
            if let Some(hash) = level.get(beside) {
                let height = hashes.len() / HASH;
                let is_left = u8::from(beside & 1 == 0);
                *sides = *sides & ((1 << height) - 1) | is_left << height | 2 << height;
                hashes.extend_from_slice(hash.as_bytes());
            }
        }
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => parent(left.as_bytes(), right.as_bytes()),
                _ => pair[0],
            })
            .collect();
        width *= 2;
    }
    let proofs = proofs
        .into_iter()
        .map(|(sides, hashes)| [&[sides][..], &hashes].concat().into())
        .collect();
    (level[0], proofs)
}
