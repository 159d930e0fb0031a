//! Private streams: payloads encrypted under a content key that travels in the link.
//!
//! A sealed payload is `nonce (24 bytes) | ciphertext | tag (16 bytes)` of XChaCha20-Poly1305, with the stream's id as
//! associated data. The nonce is part of the payload, because everything in the header that could stand for it can come
//! twice: chunks read in one burst share their generation time, and after the peercaster's clock was set back a restart
//! repeats numbers and times. It is 16 random bytes, drawn once per process, and a counter, so it never repeats.

use bytes::{Bytes, BytesMut};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::Rng;
use wire::{MAX_PAYLOAD, SecretKey, StreamId};

/// Bytes of a nonce.
const NONCE_LEN: usize = 24;
/// Bytes of the nonce that are drawn once.
const PREFIX_LEN: usize = 16;
/// Bytes of the authentication tag.
const TAG_LEN: usize = wire::AEAD_OVERHEAD;

/// What encryption adds to a payload.
pub const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

/// The longest plain payload, so that the sealed one is one that a chunk may have.
pub const MAX_PLAIN: usize = MAX_PAYLOAD - NONCE_LEN;

/// The key of a private stream's content.
pub type ContentKey = [u8; 32];

/// The content key that belongs to a stream's secret key: the same after a restart, so links stay good, and it says
/// nothing about the secret key.
pub fn content_key(stream: &SecretKey) -> ContentKey {
    blake3::derive_key("headwater 1 content key", &stream.to_bytes())
}

/// Encrypts the payloads of one stream.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    stream: StreamId,
    prefix: [u8; PREFIX_LEN],
    count: u64,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    /// For `stream` under `key`.
    pub fn new(stream: StreamId, key: &ContentKey) -> Self {
        let mut prefix = [0; PREFIX_LEN];
        rand::rng().fill_bytes(&mut prefix);
        Sealer {
            cipher: XChaCha20Poly1305::new(key.into()),
            stream,
            prefix,
            count: 0,
        }
    }

    /// Encrypts a payload of at most [`MAX_PLAIN`] bytes.
    pub fn seal(&mut self, plain: &[u8]) -> Bytes {
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_LEN].copy_from_slice(&self.prefix);
        nonce[PREFIX_LEN..].copy_from_slice(&self.count.to_be_bytes());
        self.count += 1;
        let mut sealed = BytesMut::with_capacity(plain.len() + OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self
            .cipher
            .encrypt_inout_detached(
                &XNonce::from(nonce),
                self.stream.as_bytes(),
                (&mut sealed[NONCE_LEN..]).into(),
            )
            .expect("the cipher takes up to 256 GiB");
        sealed.extend_from_slice(&tag);
        sealed.freeze()
    }
}

/// A payload that the content key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content key in the link does not open this stream")]
pub struct WrongKey;

/// Decrypts the payloads of one stream.
pub struct Opener {
    cipher: XChaCha20Poly1305,
    stream: StreamId,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl Opener {
    /// For `stream` under `key`.
    pub fn new(stream: StreamId, key: &ContentKey) -> Self {
        Opener {
            cipher: XChaCha20Poly1305::new(key.into()),
            stream,
        }
    }

    /// Decrypts a payload. An empty one, as the chunk has that ends a stream, was never encrypted.
    ///
    /// # Errors
    /// [`WrongKey`] when it is not a payload of this stream under this key.
    pub fn open(&self, sealed: &[u8]) -> Result<Bytes, WrongKey> {
        if sealed.is_empty() {
            return Ok(Bytes::new());
        }
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(WrongKey)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(WrongKey)?;
        let mut plain = BytesMut::from(ciphertext);
        self.cipher
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                self.stream.as_bytes(),
                plain.as_mut().into(),
                &(*tag).into(),
            )
            .map_err(|_| WrongKey)?;
        Ok(plain.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(byte: u8) -> (StreamId, ContentKey) {
        let secret = SecretKey::from_bytes(&[byte; 32]);
        (secret.stream_id(), content_key(&secret))
    }

    #[test]
    fn what_was_sealed_opens() {
        let (id, key) = stream(1);
        let mut sealer = Sealer::new(id, &key);
        let opener = Opener::new(id, &key);
        for plain in [&b""[..], b"x", &[7; MAX_PLAIN]] {
            let sealed = sealer.seal(plain);
            assert_eq!(sealed.len(), plain.len() + OVERHEAD);
            assert!(sealed.len() <= MAX_PAYLOAD + TAG_LEN);
            assert_eq!(opener.open(&sealed).unwrap(), plain);
        }
        assert_eq!(opener.open(b"").unwrap(), Bytes::new());
    }

    #[test]
    fn nonces_never_repeat() {
        let (id, key) = stream(1);
        let (mut one, mut other) = (Sealer::new(id, &key), Sealer::new(id, &key));
        let nonce = |sealer: &mut Sealer| sealer.seal(b"same").slice(..NONCE_LEN);
        let mut all = vec![
            nonce(&mut one),
            nonce(&mut one),
            nonce(&mut other),
            nonce(&mut other),
        ];
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn anything_else_does_not_open() {
        let ((id, key), (other_id, other_key)) = (stream(1), stream(2));
        let sealed = Sealer::new(id, &key).seal(b"secret");
        assert_eq!(Opener::new(id, &other_key).open(&sealed), Err(WrongKey));
        assert_eq!(Opener::new(other_id, &key).open(&sealed), Err(WrongKey));
        let opener = Opener::new(id, &key);
        for at in 0..sealed.len() {
            let mut bent = sealed.to_vec();
            bent[at] ^= 1;
            assert_eq!(opener.open(&bent), Err(WrongKey), "byte {at}");
            assert_eq!(opener.open(&sealed[..at]).is_ok(), at == 0, "cut at {at}");
        }
    }
}
