//! Dialling: several addresses of one peer, the first that answers wins.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quic::HANDSHAKE_TIMEOUT;
use quinn::Connection;
use swarm::Input;
use wire::PeerId;

use super::Shared;
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
        () = shared.closing.cancelled() => None,
    };
    // Before the node hears of it: it may want to dial again at once.
    shared.dial_done(peer, &addrs);
    let result = match connected {
        Some((connection, addr)) => link::run_dialled(shared, connection, addr, peer).await,
        None => Dialled::Failed,
    };
    if let Dialled::Failed = result {
        let failed = Input::Disconnected {
            peer,
            addr: addrs.first().copied(),
        };
        // An error says that the node has ended.
        let _ = shared.inputs.send(failed).await;
    }
}

async fn in_turn(
    shared: &Shared,
    peer: Option<PeerId>,
    addrs: &[SocketAddr],
    opening: Option<&[u8]>,
) -> Option<(Connection, SocketAddr)> {
    let _turn = shared.dials.acquire().await.ok()?;
    tokio::time::timeout(HANDSHAKE_TIMEOUT, first(shared, peer, addrs, opening))
        .await
        .ok()
        .flatten()
}

/// The first address that answers, each tried a little after the one before.
async fn first(
    shared: &Shared,
    peer: Option<PeerId>,
    addrs: &[SocketAddr],
    opening: Option<&[u8]>,
) -> Option<(Connection, SocketAddr)> {
    let mut attempts: FuturesUnordered<_> = addrs
        .iter()
        .zip(0u32..)
        .map(|(addr, place)| attempt(shared, peer, *addr, opening, STAGGER * place))
        .collect();
    loop {
        match attempts.next().await? {
            Ok(connected) => return Some(connected),
            Err((addr, error)) => {
                tracing::debug!(%addr, peer = peer.map(|p| p.short()), error, "dialling failed");
            }
        }
    }
}

async fn attempt(
    shared: &Shared,
    peer: Option<PeerId>,
    addr: SocketAddr,
    opening: Option<&[u8]>,
    after: Duration,
) -> Result<(Connection, SocketAddr), (SocketAddr, String)> {
    tokio::time::sleep(after).await;
    let connecting = shared
        .endpoints
        .dial(addr, peer, opening)
        .map_err(|error| (addr, error.to_string()))?;
    match connecting.await {
        Ok(connection) => Ok((connection, addr)),
        Err(error) => Err((addr, error.to_string())),
    }
}
