//! The set of streams that a routing entry leads to, as a Bloom filter (the paper, §4).
//!
//! The bits of a stream are part of the protocol: members of all versions turn the same ones. Therefore they are spelt out
//! here instead of taken from a library, whose choice of hash may change.

use std::fmt;
use std::sync::{Arc, LazyLock};

use wire::StreamId;
use wire::message::{FilterChange, MAX_FLIPS};

/// Bits: with 1000 streams in it 0.06 % of the others seem to be there, too.
pub(crate) const BITS: usize = 1 << 14;

/// Bits that each stream turns on.
pub(crate) const HASHES: usize = 7;

const WORDS: usize = BITS / 64;

/// Text that makes these hashes differ from all other uses of BLAKE3.
const CONTEXT: &str = "headwater 1 doat filter";

/// The bits of a stream: successive pairs of bytes, little-endian, of a BLAKE3 hash of its id.
fn bits_of(stream: StreamId) -> [u16; HASHES] {
    let hash = blake3::derive_key(CONTEXT, stream.as_bytes());
    std::array::from_fn(|i| u16::from_le_bytes([hash[2 * i], hash[2 * i + 1]]) % BITS as u16)
}

/// A Bloom filter of streams.
///
/// A node holds two for each routing entry, and most are alike, as most members lead to few streams more than the next one: those that
/// were made from one another share their bits until one changes.
#[derive(Clone)]
pub struct Filter(Arc<[u64; WORDS]>);

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Filter {}

/// The bits of one stream, made once for many filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needle([u16; HASHES]);

impl From<StreamId> for Needle {
    fn from(stream: StreamId) -> Self {
        Needle(bits_of(stream))
    }
}

impl Default for Filter {
    fn default() -> Self {
        static EMPTY: LazyLock<Arc<[u64; WORDS]>> = LazyLock::new(|| Arc::new([0; WORDS]));
        Filter(Arc::clone(&EMPTY))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({} of {BITS} bits)", self.ones())
    }
}

impl Filter {
    /// Enters a stream.
    pub fn insert(&mut self, stream: StreamId) {
        let words = Arc::make_mut(&mut self.0);
        for bit in bits_of(stream) {
            words[usize::from(bit) / 64] |= 1 << (bit % 64);
        }
    }

    /// Whether a stream may be in it: always if it is, seldom if it is not.
    pub fn contains(&self, needle: &Needle) -> bool {
        needle
            .0
            .iter()
            .all(|&bit| self.0[usize::from(bit) / 64] >> (bit % 64) & 1 == 1)
    }

    /// Enters all that is in another.
    pub fn merge(&mut self, other: &Filter) {
        let brings_nothing = |(word, more): (&u64, &u64)| more & !word == 0;
        if Arc::ptr_eq(&self.0, &other.0) || self.0.iter().zip(other.0.iter()).all(brings_nothing) {
            return;
        }
        for (word, more) in Arc::make_mut(&mut self.0).iter_mut().zip(other.0.iter()) {
            *word |= more;
        }
    }

    /// Bits that are on.
    pub fn ones(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The filter as bytes: bit i is bit i % 8 of byte i / 8.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BITS / 8);
        for word in self.0.iter() {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// What whoever has `before` needs to come to have this.
    pub fn change_from(&self, before: &Filter) -> FilterChange {
        let mut flips = Vec::new();
        if Arc::ptr_eq(&self.0, &before.0) {
            return FilterChange::Flips(flips.into_iter().collect());
        }
        for (at, (a, b)) in self.0.iter().zip(before.0.iter()).enumerate() {
            let mut left = a ^ b;
            if flips.len() + left.count_ones() as usize > MAX_FLIPS {
                return FilterChange::Whole(self.to_bytes());
            }
            while left != 0 {
                flips.push((at * 64) as u16 + left.trailing_zeros() as u16);
                left &= left - 1;
            }
        }
        FilterChange::Flips(flips.into_iter().collect())
    }

    /// This one changed as told; `None` if the change makes no sense.
    #[must_use]
    pub fn changed(&self, change: &FilterChange) -> Option<Filter> {
        match change {
            FilterChange::Flips(flips) => {
                let mut filter = self.clone();
                if !flips.is_empty() {
                    let words = Arc::make_mut(&mut filter.0);
                    for &bit in flips {
                        *words.get_mut(usize::from(bit) / 64)? ^= 1 << (bit % 64);
                    }
                }
                Some(filter)
            }
            FilterChange::Whole(bytes) => {
                let mut filter = Filter::default();
                if bytes.len() != BITS / 8 {
                    return None;
                }
                let words = Arc::make_mut(&mut filter.0);
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
                Some(filter)
            }
        }
    }

    /// What both sides of a change compare: the first four bytes of its BLAKE3 hash.
    pub fn check(&self) -> u32 {
        let hash = blake3::hash(&self.to_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests;
