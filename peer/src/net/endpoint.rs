//! QUIC endpoints: one for each socket, for dialling as well as accepting, so that the address others see us at is one
//! they can dial.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quic::tls::{Tls, TlsError};
use quic::{Acceptor, Heard, SERVER_NAME};
use quinn::{Connecting, Endpoint, ServerConfig};
use wire::message::Hello;
use wire::{Opening, PeerId, SecretKey};

use super::socket::Departures;
use super::{BindError, Tuning, socket};

/// All sockets of a node.
#[derive(Debug)]
pub(super) struct Endpoints {
    tls: Tls,
    tuning: Tuning,
    acceptor: Acceptor,
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
        let server = quic::server_config(&tls, &tuning)?;
        let mut endpoints = Endpoints {
            acceptor: Acceptor::new(&tls, server.clone())?,
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
            let endpoint = endpoints
                .endpoint(*addr, dual_stack, Some(server.clone()))
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

    /// Settings for accepting one connection, and what will be heard of its first packet.
    pub(super) fn listen(&self) -> Result<(Arc<ServerConfig>, Arc<Heard>), TlsError> {
        self.acceptor.next()
    }

    /// What goes along with the first packet; `None` if it is too much.
    pub(super) fn seal(&self, to: Option<PeerId>, hello: &Hello, messages: &[Bytes]) -> Option<Vec<u8>> {
        Opening::seal(&self.identity, to, hello, messages.iter().map(|frame| &frame[..]))
    }

    /// Starts a handshake with `addr`, in which the other side must prove to be `expected` if that is known, with an opening
    /// if there is one.
    pub(super) fn dial(
        &self,
        addr: SocketAddr,
        expected: Option<PeerId>,
        opening: Option<&[u8]>,
    ) -> Result<Connecting, DialError> {
        let config = quic::client_config(&self.tls, &self.tuning, expected, opening)?;
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
        let config = quic::endpoint_config(&self.identity);
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(quinn::TokioRuntime))
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
