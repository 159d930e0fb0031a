//! Identity on the wire: TLS 1.3 in which both sides show their ed25519 key and sign the handshake with it.
//!
//! The keys travel as raw public keys (RFC 7250), not inside certificates: a peer *is* its key, so names, dates and
//! issuers would have no meaning, and there is no X.509 to parse from a stranger.

use std::any::Any;
use std::sync::Arc;

use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme,
};
use wire::{PeerId, SecretKey};

use super::opening::{self, ALPN_OPENING};

/// The protocol's name and version in the handshake (ALPN).
pub const ALPN: &[u8] = b"headwater/1";

/// What DER puts before the 32 bytes of an ed25519 public key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// What DER puts before the 32 bytes of an ed25519 secret key (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A TLS configuration that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The TLS library refuses it.
    #[error("TLS: {0}")]
    Rustls(#[from] Error),
    /// QUIC needs a cipher suite that is not there.
    #[error("TLS for QUIC: {0}")]
    CipherSuite(#[from] NoInitialCipherSuite),
}

/// Makes TLS configurations for one identity.
#[derive(Clone, Debug)]
pub struct Tls {
    key: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    /// For the peer that has this key.
    ///
    /// # Errors
    /// [`TlsError::Rustls`] if the library does not take the key.
    pub fn new(identity: &SecretKey) -> Result<Self, TlsError> {
        let mut pkcs8 = Vec::with_capacity(PKCS8_PREFIX.len() + 32);
        pkcs8.extend_from_slice(&PKCS8_PREFIX);
        pkcs8.extend_from_slice(&identity.to_bytes());
        let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8))?;
        let spki = spki_of(&identity.peer_id());
        let mut provider = ring::default_provider();
        // AES-128 costs the least CPU where the processor has AES; all are strong enough.
        provider
            .cipher_suites
            .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        Ok(Tls {
            key: Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signer)),
            provider: Arc::new(provider),
        })
    }

    /// For accepting connections from anyone who proves an identity.
    ///
    /// # Errors
    /// A [`TlsError`] if the library lacks what QUIC needs.
    pub fn server(&self) -> Result<QuicServerConfig, TlsError> {
        Ok(QuicServerConfig::try_from(self.accepting()?)?)
    }

    pub(crate) fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    pub(crate) fn accepting(&self) -> Result<rustls::ServerConfig, TlsError> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(self.verifier(None))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(
                &self.key,
            ))));
        config.alpn_protocols = vec![ALPN_OPENING.to_vec(), ALPN.to_vec()];
        // A resumed session would take over an identity instead of proving it, to save no round trip.
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// For dialling `expected`, or anyone if that is `None`, with a sealed opening if there is one.
    ///
    /// # Errors
    /// As for [`Tls::server`].
    pub fn client(
        &self,
        expected: Option<PeerId>,
        opening: Option<&[u8]>,
    ) -> Result<QuicClientConfig, TlsError> {
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(expected))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(
                &self.key,
            ))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        if let Some(opening) = opening {
            config.alpn_protocols.push(ALPN_OPENING.to_vec());
            config.alpn_protocols.extend(opening::names(opening));
        }
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(QuicClientConfig::try_from(config)?)
    }

    fn verifier(&self, expected: Option<PeerId>) -> Arc<KeyVerifier> {
        Arc::new(KeyVerifier {
            expected,
            algorithms: self.provider.signature_verification_algorithms,
        })
    }
}

/// Whose key the other side of an established connection proved, by what QUIC says of its identity; `None` only before the handshake is complete.
pub fn peer_of(identity: Option<Box<dyn Any>>) -> Option<PeerId> {
    let keys = identity?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    match keys.as_slice() {
        [key] => peer_of_spki(key),
        _ => None,
    }
}

fn spki_of(peer: &PeerId) -> Vec<u8> {
    [&SPKI_PREFIX[..], peer.as_bytes()].concat()
}

fn peer_of_spki(spki: &[u8]) -> Option<PeerId> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    Some(PeerId::from_bytes(key.try_into().ok()?))
}

/// Accepts a raw ed25519 key whose holder signs the handshake with it, and nothing else.
#[derive(Debug)]
struct KeyVerifier {
    expected: Option<PeerId>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl KeyVerifier {
    fn check_key(&self, key: &[u8], more: &[CertificateDer<'_>]) -> Result<(), Error> {
        let peer = peer_of_spki(key).ok_or(CertificateError::BadEncoding)?;
        if !more.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        match self.expected {
            Some(expected) if expected != peer => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &[u8],
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(key),
            signed,
            &self.algorithms,
        )
    }
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for KeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
