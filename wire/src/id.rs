//! Who and what: peers, streams, sequence numbers, substreams.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, DecodeKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text has the wrong number of characters.
    #[error("an id has 52 characters, this one has {0}")]
    Length(usize),
    /// The text has a character that base32 has not.
    #[error("an id is written in the characters a-z and 2-7")]
    Alphabet,
    /// The last character stands for one bit, and has more.
    #[error("an id ends with a or q")]
    End,
}

fn parse_base32(text: &str) -> Result<[u8; 32], ParseIdError> {
    let characters = text.chars().count();
    if characters != 52 {
        return Err(ParseIdError::Length(characters));
    }
    let bytes = BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .map_err(|error| match error.kind {
            DecodeKind::Trailing => ParseIdError::End,
            _ => ParseIdError::Alphabet,
        })?;
    bytes.try_into().map_err(|_| ParseIdError::Alphabet)
}

macro_rules! key_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 32]);

        // As derived, but ids nearly always differ in their first eight bytes, and these are compared without a call: sorted
        // maps look ids up with every chunk.
        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                match self.head().cmp(&other.head()) {
                    Ordering::Equal => self.0.cmp(&other.0),
                    unequal => unequal,
                }
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The id whose 32 bytes are these; they need not be a valid key.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                $name(bytes)
            }

            /// The bytes of the public key.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first four bytes: enough to tell apart the few ids one peer deals with, never proof of identity.
            pub const fn tag(&self) -> u32 {
                u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
            }

            /// The first eight bytes as a number that is ordered like the ids.
            #[inline]
            pub(crate) const fn head(&self) -> u64 {
                let [a, b, c, d, e, f, g, h, ..] = self.0;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }

            /// The first eight characters of the text form, for logs and screens.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            /// Reads 52 characters of base32, upper or lower case.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_base32(text).map($name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    crate::bytes32::deserialize(deserializer).map($name)
                }
            }
        }
    };
}

key_id! {
    /// A peer *is* its ed25519 key: the id is the public key, written in lower-case base32 without padding.
    PeerId
}
key_id! {
    /// A stream's id: the ed25519 public key that signs its chunks, so a link certifies itself.
    StreamId
}

/// A chunk's number within its stream.
///
/// The first chunk after the peercaster started has the Unix time of that moment in microseconds as its number, each
/// later one is one more. No stream makes a million chunks a second, so a peercaster that restarts with the same key
/// always continues above all numbers it used before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number `n` later.
    pub const fn plus(self, n: u64) -> Seq {
        Seq(self.0.saturating_add(n))
    }

    /// How far this number lies behind `other`, zero if it does not.
    pub const fn behind(self, other: Seq) -> u64 {
        other.0.saturating_sub(self.0)
    }

    /// The substream this chunk belongs to: every `count`-th chunk. `count` must not be zero.
    pub const fn substream(self, count: u8) -> Substream {
        Substream((self.0 % count as u64) as u8)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One of the K substreams: every K-th chunk. Range 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Substream(pub u8);

/// The most substreams a stream may have: the bits of a [`SubstreamSet`].
pub const MAX_SUBSTREAMS: u8 = 64;

/// A set of substreams, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubstreamSet(pub u64);

impl SubstreamSet {
    /// No substream.
    pub const EMPTY: SubstreamSet = SubstreamSet(0);

    /// The substreams 0 to `count - 1`.
    pub const fn all(count: u8) -> Self {
        if count >= 64 {
            SubstreamSet(u64::MAX)
        } else {
            SubstreamSet((1 << count) - 1)
        }
    }

    /// Just one.
    pub const fn one(substream: Substream) -> Self {
        SubstreamSet(1 << (substream.0 & 63))
    }

    /// Whether `substream` is in it.
    pub const fn contains(self, substream: Substream) -> bool {
        substream.0 < 64 && self.0 & (1 << substream.0) != 0
    }

    /// Adds one.
    pub fn insert(&mut self, substream: Substream) {
        self.0 |= Self::one(substream).0;
    }

    /// Takes one out.
    pub fn remove(&mut self, substream: Substream) {
        self.0 &= !Self::one(substream).0;
    }

    /// Those in both.
    pub const fn and(self, other: SubstreamSet) -> Self {
        SubstreamSet(self.0 & other.0)
    }

    /// Those in either.
    pub const fn or(self, other: SubstreamSet) -> Self {
        SubstreamSet(self.0 | other.0)
    }

    /// Those here and not in `other`.
    pub const fn minus(self, other: SubstreamSet) -> Self {
        SubstreamSet(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// In ascending order.
    pub fn iter(self) -> impl Iterator<Item = Substream> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            if bits == 0 {
                return None;
            }
            let lowest = bits.trailing_zeros() as u8;
            bits &= bits - 1;
            Some(Substream(lowest))
        })
    }
}

impl FromIterator<Substream> for SubstreamSet {
    fn from_iter<I: IntoIterator<Item = Substream>>(substreams: I) -> Self {
        let mut set = SubstreamSet::EMPTY;
        for substream in substreams {
            set.insert(substream);
        }
        set
    }
}

#[cfg(test)]
mod tests;
