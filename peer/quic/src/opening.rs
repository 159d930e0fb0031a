//! What a dialler says with its very first packet ([`wire::Opening`]), on its way: as names in the ClientHello's list of
//! protocols, which is the one place in TLS's first message that is long enough and that others pass over.

use std::sync::{Arc, OnceLock};

use quinn_proto::ServerConfig;
use quinn_proto::crypto::rustls::{HandshakeData, QuicServerConfig};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use wire::MAX_OPENING;

use super::tls::{Tls, TlsError};

/// The protocol's name if the dialler has an opening: who is dialled picks it, if it knows openings.
pub const ALPN_OPENING: &[u8] = b"headwater/1/opening";

/// What a dialler may be told before the control stream is there, each message on a stream of its own.
pub const MAX_EARLY: usize = 32;

/// How the names begin that are pieces of an opening; the piece's number follows.
const PREFIX: &[u8] = b"hw-o";

/// Bytes of an opening in one name, which has at most 255.
const PIECE: usize = 250;

/// A sealed opening as names.
pub(crate) fn names(opening: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let pieces = opening.chunks(PIECE).zip(0u8..);
    pieces.map(|(piece, number)| [PREFIX, &[number], piece].concat())
}

/// The opening among names; `None` if there is none or it is too long.
fn among<'a>(names: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut opening = Vec::new();
    let mut next = 0;
    for name in names {
        let Some((number, piece)) = name.strip_prefix(PREFIX).and_then(<[u8]>::split_first) else {
            continue;
        };
        if *number != next || opening.len() + piece.len() > MAX_OPENING {
            return None;
        }
        opening.extend_from_slice(piece);
        next += 1;
    }
    (next > 0).then_some(opening)
}

/// Whether a dialler's opening has been taken, by what QUIC says of the handshake.
pub fn was_taken(handshake: Option<Box<dyn std::any::Any>>) -> bool {
    let data = handshake.and_then(|data| data.downcast::<HandshakeData>().ok());
    data.is_some_and(|data| data.protocol.as_deref() == Some(ALPN_OPENING))
}

/// What was said with the first packet of one handshake. Empty before that packet is read whole.
#[derive(Debug, Default)]
pub struct Heard(OnceLock<Vec<u8>>);

impl Heard {
    /// The opening, as it was sealed.
    pub fn opening(&self) -> Option<&[u8]> {
        self.0.get().map(Vec::as_slice)
    }
}

/// Shows this side's key to whoever dials, and listens.
#[derive(Debug)]
struct Listener {
    key: Arc<CertifiedKey>,
    heard: Arc<Heard>,
}

impl ResolvesServerCert for Listener {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(opening) = hello.alpn().and_then(among) {
            // TLS asks once for each handshake.
            let _ = self.heard.0.set(opening);
        }
        Some(Arc::clone(&self.key))
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }
}

/// Accepts connections with an ear for openings: each has settings of its own, which differ in nothing else.
#[derive(Clone)]
pub struct Acceptor {
    config: ServerConfig,
    tls: rustls::ServerConfig,
    key: Arc<CertifiedKey>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// With an endpoint's settings.
    ///
    /// # Errors
    /// As for [`Tls::server`].
    pub fn new(tls: &Tls, config: ServerConfig) -> Result<Self, TlsError> {
        Ok(Acceptor {
            config,
            tls: tls.accepting()?,
            key: tls.key(),
        })
    }

    /// Settings for the next connection, and what will be heard of its first packet.
    ///
    /// # Errors
    /// As for [`Tls::server`].
    pub fn next(&self) -> Result<(Arc<ServerConfig>, Arc<Heard>), TlsError> {
        let heard = Arc::new(Heard::default());
        let mut tls = self.tls.clone();
        tls.cert_resolver = Arc::new(Listener {
            key: Arc::clone(&self.key),
            heard: Arc::clone(&heard),
        });
        let mut config = self.config.clone();
        config.crypto = Arc::new(QuicServerConfig::try_from(tls)?);
        Ok((Arc::new(config), heard))
    }
}

#[cfg(test)]
mod tests;
