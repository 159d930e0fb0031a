//! Keys and signatures, each under a domain separator so that a signature for one purpose proves nothing for another.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use curve25519_dalek::edwards::EdwardsBasepointTable;
use curve25519_dalek::traits::BasepointTable;
use curve25519_dalek::{EdwardsPoint, Scalar};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

use crate::{PeerId, StreamId};

/// A signature of ed25519.
pub(crate) type SignatureBytes = [u8; 64];

/// What a signature is for. The text enters the hash that is signed (BLAKE3's key-derivation mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain(&'static str);

impl Domain {
    /// A chunk, by its stream's key.
    pub const CHUNK: Domain = Domain("headwater 1 chunk");
    /// A node of the tree over chunks that are signed together; also by its stream's key.
    pub const CHUNKS: Domain = Domain("headwater 1 chunks");
    /// A description of a stream, by its stream's key.
    pub const STREAM_INFO: Domain = Domain("headwater 1 stream info");

    /// A stream's word that a peer may keep a tracker of it, by the stream's key.
    pub const APPOINTMENT: Domain = Domain("headwater 1 appointment");

    /// What a newcomer says to a stream's tracker by way of others, by the newcomer's key.
    pub const GUEST: Domain = Domain("headwater 1 guest");
    /// What a dialler says with its first packet, by the dialler's key.
    pub const OPENING: Domain = Domain("headwater 1 opening");

    /// A local tracker's word about itself, by that peer's key.
    pub const TRACKER_LEASE: Domain = Domain("headwater 1 tracker lease");

    /// What a consumer has received of a provider, by the consumer's key.
    pub const RECEIPT: Domain = Domain("headwater 1 receipt");
    /// A state of the account between two peers, by both.
    pub const ACCOUNT: Domain = Domain("headwater 1 account");
    /// That a shift is committed, by the peer that owes the requester from then on.
    pub const SHIFT_NOTE: Domain = Domain("headwater 1 shift note");
    /// An advert of what one peer owes another, by both.
    pub const TRUST_EDGE: Domain = Domain("headwater 1 trust edge");

    /// A hasher that starts with this domain.
    pub(crate) fn hasher(self) -> blake3::Hasher {
        blake3::Hasher::new_derive_key(self.0)
    }
}

/// A statement whose signature is missing, foreign or over other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The id is no valid public key.
    #[error("the id is not a valid public key")]
    Key,
    /// The signature does not fit the key and the bytes.
    #[error("the signature does not fit")]
    Mismatch,
    /// The signature fits, but the bytes do not decode.
    #[error("the signed bytes do not decode")]
    Encoding,
    /// The signature fits, but what is said is about somebody or something else.
    #[error("the signed statement is about something else")]
    Subject,
}

/// A secret ed25519 key: a peer's identity or a stream's signing key. Wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key with these 32 secret bytes, which the driver draws from the operating system (the simulator from its
    /// seed).
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        SecretKey(SigningKey::from_bytes(secret))
    }

    /// The secret bytes, for writing into a file of mode 0600.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public key as a peer's id.
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// The public key as a stream's id.
    pub fn stream_id(&self) -> StreamId {
        StreamId::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs a finished hash.
    pub(crate) fn sign(&self, hash: &blake3::Hash) -> SignatureBytes {
        self.0.sign(hash.as_bytes()).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.peer_id().short())
    }
}

/// A public key, decompressed once so that each check is only the check.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: VerifyingKey,
    /// See [`Verifier::for_many`].
    multiples: Option<Arc<EdwardsBasepointTable>>,
    shared: Arc<Mutex<Shared>>,
}

/// Signatures over several chunks that were found right a moment ago.
#[derive(Debug, Default)]
struct Shared {
    good: Vec<(blake3::Hash, SignatureBytes)>,
    /// The place of the oldest, once all are taken.
    oldest: usize,
}

/// Shared signatures remembered for each key: 50 ms of the fastest stream that two cores carry, in groups of four, which is as
/// much as the chunks of a group may come apart when they come from different suppliers. 6 KiB.
const SHARED: usize = 64;

impl Shared {
    fn remember(&mut self, hash: blake3::Hash, signature: SignatureBytes) {
        if self.good.len() < SHARED {
            self.good.push((hash, signature));
            return;
        }
        self.good[self.oldest] = (hash, signature);
        self.oldest = (self.oldest + 1) % SHARED;
    }
}

impl Verifier {
    /// The checker for signatures by `key`.
    ///
    /// # Errors
    /// [`SignatureError::Key`] when the bytes are no point of the curve.
    pub fn new(key: &[u8; 32]) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_bytes(key).map_err(|_| SignatureError::Key)?;
        Ok(Verifier {
            key,
            multiples: None,
            shared: Arc::default(),
        })
    }

    /// The same for very many signatures by this key: with 30 KiB of its multiples at hand, which take as long to make as
    /// a few checks, a check takes a third less.
    #[must_use]
    pub fn for_many(self) -> Self {
        // A key of small order stays with the library, which refuses whatever it signed.
        let multiples = (!self.key.is_weak())
            .then(|| Arc::new(EdwardsBasepointTable::create(&-EdwardsPoint::from(self.key))));
        Verifier { multiples, ..self }
    }

    /// Checks `signature` over `hash`, strictly (no malleable signatures, no small-order keys).
    pub(crate) fn check(
        &self,
        hash: &blake3::Hash,
        signature: &SignatureBytes,
    ) -> Result<(), SignatureError> {
        let fits = match &self.multiples {
            Some(multiples) => fits(&self.key, multiples, hash, signature),
            None => {
                let signature = ed25519_dalek::Signature::from_bytes(signature);
                self.key.verify_strict(hash.as_bytes(), &signature).ok()
            }
        };
        fits.ok_or(SignatureError::Mismatch)
    }

    /// The same for a signature that is asked about several times, with the same verdicts. Only what fits is remembered, and the
    /// signature with it: another one over the same hash is checked like any other.
    pub(crate) fn check_shared(
        &self,
        hash: &blake3::Hash,
        signature: &SignatureBytes,
    ) -> Result<(), SignatureError> {
        let shared = || self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody learns anything from how long it takes to compare what everybody may know.
        let same = |good: &(blake3::Hash, SignatureBytes)| {
            good.0.as_bytes() == hash.as_bytes() && good.1 == *signature
        };
        if shared().good.iter().rev().any(same) {
            return Ok(());
        }
        self.check(hash, signature)?;
        shared().remember(*hash, *signature);
        Ok(())
    }
}

/// The check of RFC 8032, section 5.1.7, without a cofactor: whether R = s·B − k·A, where `multiples` are those of −A.
///
/// Comparing R in its encoded form refuses all but its one canonical encoding, and `from_canonical_bytes` all but one of the
/// many equivalent s. Unlike the library's strict check this one takes an R of small order; only who has the secret key
/// could make one that fits.
fn fits(
    key: &VerifyingKey,
    multiples: &EdwardsBasepointTable,
    hash: &blake3::Hash,
    signature: &SignatureBytes,
) -> Option<()> {
    let (r, s) = signature.split_first_chunk::<32>()?;
    let s: Option<Scalar> = Scalar::from_canonical_bytes(s.try_into().ok()?).into();
    let k = Sha512::new()
        .chain_update(r)
        .chain_update(key.as_bytes())
        .chain_update(hash.as_bytes());
    let expected = EdwardsPoint::mul_base(&s?) + multiples.mul_base(&Scalar::from_hash(k));
    (expected.compress().as_bytes() == r).then_some(())
}

/// Something that may be signed, with the domain it is signed under.
pub trait Statement: Serialize + DeserializeOwned {
    /// The purpose.
    const DOMAIN: Domain;
}

/// An encoded statement with its signature. The bytes are kept as they were signed, so nothing depends on encoding the
/// same value twice in the same way, and fields of later versions survive being passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Signed<T> {
    #[serde(rename = "b", with = "crate::byte_vec")]
    body: Vec<u8>,
    #[serde(rename = "s", with = "crate::bytes32")]
    signature: SignatureBytes,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

impl<T: Statement> Signed<T> {
    /// Signs `value` with `key`.
    pub fn new(value: &T, key: &SecretKey) -> Self {
        let body = crate::codec::to_msgpack(value);
        let signature = key.sign(&Self::hash(&body));
        Signed {
            body,
            signature,
            of: PhantomData,
        }
    }

    /// Checks the signature and reads the statement.
    ///
    /// # Errors
    /// A [`SignatureError`] when the signature or the encoding is not right.
    pub fn open(&self, key: &Verifier) -> Result<T, SignatureError> {
        key.check(&Self::hash(&self.body), &self.signature)?;
        crate::codec::from_msgpack(&self.body).map_err(|_| SignatureError::Encoding)
    }

    /// Reads the statement without checking anything: to know whose key to check it with.
    ///
    /// # Errors
    /// [`SignatureError::Encoding`] when the bytes are none.
    pub fn peek(&self) -> Result<T, SignatureError> {
        crate::codec::from_msgpack(&self.body).map_err(|_| SignatureError::Encoding)
    }

    fn hash(body: &[u8]) -> blake3::Hash {
        T::DOMAIN.hasher().update(body).finalize()
    }
}

mod cosigned;

pub use cosigned::Cosigned;

#[cfg(test)]
mod tests;
