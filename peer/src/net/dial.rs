//! Dialling: several addresses of one peer, the first that answers wins.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quic::HANDSHAKE_TIMEOUT;
use quinn::{Connection, ConnectionError, TransportErrorCode};
use swarm::Input;
use wire::PeerId;

use super::Shared;
use super::endpoint::DialError;
use super::link::{self, Dialled};

/// Dials waiting for their turn. What is beyond is answered as not reachable.
pub(super) const MAX_DIALS_WAITING: usize = 256;

/// Head start of each address before the next is tried as well. RFC 8305 (happy eyeballs) recommends 250 ms for web
/// pages; peers are near, and an address that needs more than this is not the one we want.
const STAGGER: Duration = Duration::from_millis(150);

/// Dials and, if somebody answers, runs the connection until it ends. Tells the node what came of it.
///
/// The sealed opening goes to every address that is tried: whoever hears it twice hears the same.
pub(super) async fn run(
    shared: &Shared,
    peer: Option<PeerId>,
    addrs: Vec<SocketAddr>,
    opening: Option<Vec<u8>>,
) {
    let connected = tokio::select! {
        connected = in_turn(shared, peer, &addrs, opening.as_deref()) => connected,
        () = shared.closing.cancelled() => Err(Unreached::Silent),
    };
    // Before the node hears of it: it may want to dial again at once.
    shared.dial_done(peer, &addrs);
    let addr = addrs.first().copied();
    let failed = match connected {
        Ok((connection, at)) => match link::run_dialled(shared, connection, at, peer).await {
            Dialled::Answered => return,
            Dialled::Failed => Input::Disconnected { peer, addr },
        },
        Err(Unreached::Silent) => Input::Disconnected { peer, addr },
        Err(Unreached::TurnedAway) => Input::TurnedAway { peer, addr },
    };
    // An error says that the node has ended.
    let Ok(room) = shared.inputs.reserve().await else {
        return;
    };
    // In one step, as beginnings are told: whoever could not be reached may have dialled meanwhile, and is connected.
    let table = shared.table();
    if peer.is_none_or(|peer| table.get(&peer).is_none()) {
        room.send(failed);
    }
}

/// Why there is no connection.
enum Unreached {
    /// Nobody answers, or somebody else.
    Silent,
    /// Somebody is there and lets nobody in now.
    TurnedAway,
}

async fn in_turn(
    shared: &Shared,
    peer: Option<PeerId>,
    addrs: &[SocketAddr],
    opening: Option<&[u8]>,
) -> Result<(Connection, SocketAddr), Unreached> {
    let _turn = shared.dials.acquire().await.map_err(|_| Unreached::Silent)?;
    tokio::time::timeout(HANDSHAKE_TIMEOUT, first(shared, peer, addrs, opening))
        .await
        .unwrap_or(Err(Unreached::Silent))
}

/// The first address that answers, each tried a little after the one before.
async fn first(
    shared: &Shared,
    peer: Option<PeerId>,
    addrs: &[SocketAddr],
    opening: Option<&[u8]>,
) -> Result<(Connection, SocketAddr), Unreached> {
    let mut attempts: FuturesUnordered<_> = addrs
        .iter()
        .zip(0u32..)
        .map(|(addr, place)| attempt(shared, peer, *addr, opening, STAGGER * place))
        .collect();
    let mut unreached = Unreached::Silent;
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(connected) => return Ok(connected),
            Err((addr, error)) => {
                tracing::debug!(%addr, peer = peer.map(|p| p.short()), %error, "dialling failed");
                if error.is_refusal() {
                    unreached = Unreached::TurnedAway;
                }
            }
        }
    }
    Err(unreached)
}

async fn attempt(
    shared: &Shared,
    peer: Option<PeerId>,
    addr: SocketAddr,
    opening: Option<&[u8]>,
    after: Duration,
) -> Result<(Connection, SocketAddr), (SocketAddr, AttemptError)> {
    tokio::time::sleep(after).await;
    let connecting = shared
        .endpoints
        .dial(addr, peer, opening)
        .map_err(|error| (addr, error.into()))?;
    match connecting.await {
        Ok(connection) => Ok((connection, addr)),
        Err(error) => Err((addr, error.into())),
    }
}

/// Why one address led nowhere.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    /// The dial could not begin.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] ConnectionError),
}

impl AttemptError {
    /// Whether somebody is there and lets nobody in now.
    fn is_refusal(&self) -> bool {
        matches!(self, AttemptError::Handshake(ConnectionError::ConnectionClosed(close))
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED)
    }
}
