//! The settings of endpoints: how they accept, how they dial, and what they know their own connections by.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::crypto::{CryptoError, HmacKey};
use quinn_proto::{ClientConfig, EndpointConfig, HashedConnectionIdGenerator, ServerConfig};
use wire::{PeerId, SecretKey};

use super::Tuning;
use super::tls::{Tls, TlsError};

/// The name that TLS wants for the other side; identities are keys, so it means nothing.
pub const SERVER_NAME: &str = "headwater";

/// Handshakes waiting for the accept task, and the bytes they may hold while they wait. It takes them at once.
const MAX_INCOMING: usize = 128;
const INCOMING_BYTES: u64 = 16 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 512 * 1024;

/// Between two answers to packets of connections that are no more. A peercaster that was started again is known to be new by these
/// alone; at quinn's 20 ms, twenty children that all called it in vain learnt it up to a second later. One such answer is less than
/// what it answers to, so the rate is that of the packets that come in.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// How an endpoint of this identity knows its own connections.
pub fn endpoint_config(identity: &SecretKey) -> EndpointConfig {
    let secret = identity.to_bytes();
    let mut config = EndpointConfig::new(Arc::new(ResetKey(blake3::derive_key(
        "headwater 1 stateless reset",
        &secret,
    ))));
    let ids = blake3::derive_key("headwater 1 connection ids", &secret);
    let ids = ids
        .iter()
        .take(8)
        .fold(0, |key, byte| key << 8 | u64::from(*byte));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)))
        .min_reset_interval(RESET_INTERVAL);
    config
}

/// How it accepts.
///
/// # Errors
/// As for [`Tls::server`].
pub fn server_config(tls: &Tls, tuning: &Tuning) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::with_crypto(Arc::new(tls.server()?));
    config
        .transport_config(Arc::new(tuning.transport()))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL)
        .retry_token_lifetime(Duration::from_secs(5));
    Ok(config)
}

/// How it dials somebody who must prove to be `expected`, if that is known, with a sealed opening if there is one.
///
/// # Errors
/// As for [`Tls::client`].
pub fn client_config(
    tls: &Tls,
    tuning: &Tuning,
    expected: Option<PeerId>,
    opening: Option<&[u8]>,
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::new(Arc::new(tls.client(expected, opening)?));
    config.transport_config(Arc::new(tuning.transport()));
    Ok(config)
}

/// Signs stateless resets. Derived from the identity, so that a peer that was killed and started again at the same port
/// can tell its neighbours that their connections are gone, instead of leaving them to a time-out. The connection ids
/// are recognised by a key derived in the same way.
struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let signature = blake3::keyed_hash(&self.0, data);
        signature_out.copy_from_slice(&signature.as_bytes()[..signature_out.len()]);
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Comparing hashes takes the same time wherever they differ.
        match <[u8; blake3::OUT_LEN]>::try_from(signature) {
            Ok(signature) if blake3::keyed_hash(&self.0, data) == signature => Ok(()),
            _ => Err(CryptoError),
        }
    }
}
