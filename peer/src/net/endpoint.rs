//! QUIC endpoints: one for each socket, for dialling as well as accepting, so that the address others see us at is one
//! they can dial.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ClientConfig, Connecting, Endpoint, EndpointConfig, ServerConfig};
use quinn_proto::HashedConnectionIdGenerator;
use wire::{PeerId, SecretKey};

use super::socket::Departures;
use super::tls::{Tls, TlsError};
use super::{BindError, Tuning, socket};

/// The name that TLS wants for the other side; identities are keys, so it means nothing.
const SERVER_NAME: &str = "headwater";

/// Handshakes waiting for the accept task, and the bytes they may hold while they wait. It takes them at once.
const MAX_INCOMING: usize = 128;
const INCOMING_BYTES: u64 = 16 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 512 * 1024;

/// Between two answers to packets of connections that are no more. A peercaster that was started again is known to be new by these
/// alone; at quinn's 20 ms, twenty children that all called it in vain learnt it up to a second later. One such answer is less than
/// what it answers to, so the rate is that of the packets that come in.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// All sockets of a node.
#[derive(Debug)]
pub(super) struct Endpoints {
    tls: Tls,
    tuning: Tuning,
    identity: SecretKey,
    departures: Departures,
    /// Those that accept.
    listening: Vec<Endpoint>,
    /// Those made when an address of a family was dialled that no listening socket has: IPv4, IPv6.
    dialling: Mutex<[Option<Endpoint>; 2]>,
}

impl Endpoints {
    /// Binds every address.
    pub(super) fn bind(
        identity: &SecretKey,
        listen: &[SocketAddr],
        tuning: Tuning,
    ) -> Result<Self, BindError> {
        let tls = Tls::new(identity)?;
        let mut endpoints = Endpoints {
            tls,
            tuning,
            identity: identity.clone(),
            departures: Departures::default(),
            listening: Vec::with_capacity(listen.len()),
            dialling: Mutex::default(),
        };
        // A socket for IPv4 of its own and a dual-stack one would fight over the port.
        let dual_stack = !listen.iter().any(SocketAddr::is_ipv4);
        for addr in listen {
            let server = endpoints.server_config()?;
            let endpoint = endpoints
                .endpoint(*addr, dual_stack, Some(server))
                .map_err(|source| BindError::Socket { addr: *addr, source })?;
            endpoints.listening.push(endpoint);
        }
        Ok(endpoints)
    }

    /// Bytes that have left since the last call, in IP packets.
    pub(super) fn take_departed(&self) -> u64 {
        self.departures.take()
    }

    pub(super) fn listening(&self) -> &[Endpoint] {
        &self.listening
    }

    pub(super) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listening
            .iter()
            .filter_map(|endpoint| endpoint.local_addr().ok())
            .collect()
    }

    /// Starts a handshake with `addr`, in which the other side must prove to be `expected` if that is known.
    pub(super) fn dial(&self, addr: SocketAddr, expected: Option<PeerId>) -> Result<Connecting, DialError> {
        let mut config = ClientConfig::new(Arc::new(self.tls.client(expected)?));
        config.transport_config(Arc::new(self.tuning.transport()));
        let endpoint = self.endpoint_for(addr)?;
        Ok(endpoint.connect_with(config, addr, SERVER_NAME)?)
    }

    pub(super) fn close(&self) {
        for endpoint in self.all() {
            endpoint.close(0u32.into(), b"shutting down");
        }
    }

    /// Waits until every goodbye is sent.
    pub(super) async fn wait_idle(&self) {
        for endpoint in self.all() {
            endpoint.wait_idle().await;
        }
    }

    fn all(&self) -> Vec<Endpoint> {
        let dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        self.listening
            .iter()
            .chain(dialling.iter().flatten())
            .cloned()
            .collect()
    }

    fn endpoint_for(&self, addr: SocketAddr) -> io::Result<Endpoint> {
        let listening = self
            .listening
            .iter()
            .filter_map(|endpoint| Some((endpoint, endpoint.local_addr().ok()?)))
            .filter(|(_, local)| reaches(*local, addr))
            // One that is bound to just this kind of address before one that is bound to any.
            .min_by_key(|(_, local)| (local.is_ipv4() != addr.is_ipv4(), local.ip().is_unspecified()));
        if let Some((endpoint, _)) = listening {
            return Ok(endpoint.clone());
        }
        let (place, any) = match addr {
            SocketAddr::V4(_) => (0, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (1, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        };
        let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &dialling[place] {
            return Ok(endpoint.clone());
        }
        let endpoint = self.endpoint(SocketAddr::new(any, 0), false, None)?;
        dialling[place] = Some(endpoint.clone());
        Ok(endpoint)
    }

    fn endpoint(
        &self,
        addr: SocketAddr,
        dual_stack: bool,
        server: Option<ServerConfig>,
    ) -> io::Result<Endpoint> {
        let socket = socket::wrap(socket::bind(addr, dual_stack)?, self.departures.clone())?;
        let secret = self.identity.to_bytes();
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
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(quinn::TokioRuntime))
    }

    fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::with_crypto(Arc::new(self.tls.server()?));
        config
            .transport_config(Arc::new(self.tuning.transport()))
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL)
            .retry_token_lifetime(Duration::from_secs(5));
        Ok(config)
    }
}

/// Whether a socket bound to `local` can send to `addr`.
fn reaches(local: SocketAddr, addr: SocketAddr) -> bool {
    let family = local.is_ipv4() == addr.is_ipv4() || (local.is_ipv6() && local.ip().is_unspecified());
    let scope = local.ip().is_unspecified() || local.ip().is_loopback() == addr.ip().is_loopback();
    family && scope
}

/// Why an address cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Connect(#[from] quinn::ConnectError),
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
