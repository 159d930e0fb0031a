//! A connection whose dialler said something with its first packet ([`wire::Opening`]): it is used before the handshake is
//! over, half a round trip sooner.
//!
//! Until then it is only certain that the peer once said this, not that it is here. So whatever comes in this way takes nothing
//! away from a connection that there is, and ends with the handshake if that does not show the same key. What goes out goes in
//! QUIC's half round trip, encrypted for whoever made the first packet's keys; to an address that is not proved QUIC sends no
//! more than three times what came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use quic::{HANDSHAKE_TIMEOUT, MAX_EARLY};
use quinn::{Connecting, ZeroRttAccepted};
use swarm::Input;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::message::Hello;
use wire::{Opening, OpeningError, PeerId};

use super::{Code, End, Link, Session, Shared, Streams, control, hello};
use crate::net::addrs;
use crate::net::admission::Place;
use crate::net::greeting::say;

/// What a dialler has said with its first packet.
pub(in crate::net) struct Said {
    from: PeerId,
    hello: Hello,
    /// What the node is to hear of it.
    inputs: Vec<Input>,
}

impl Said {
    /// Reads an opening to `own`.
    pub(in crate::net) fn read(sealed: &[u8], own: PeerId) -> Result<Self, OpeningError> {
        let opening = Opening::unseal(sealed, own)?;
        let (hello, messages) = opening.read()?;
        let from = opening.from;
        let inputs = messages
            .into_iter()
            .filter_map(|(message, bytes)| control::out_of_turn(from, message, bytes));
        Ok(Said {
            from,
            hello,
            inputs: inputs.collect(),
        })
    }
}

/// A connection that waits for the end of its handshake.
struct Early {
    established: ZeroRttAccepted,
    /// The handshake must be over by then.
    by: Instant,
    listen: Vec<SocketAddr>,
    said: Vec<Input>,
}

/// Runs such a connection until it ends. Its `place` among the handshakes under way is given back when the handshake is over.
pub(in crate::net) async fn run(
    shared: &Shared,
    connecting: Connecting,
    said: Said,
    mut place: Place,
    by: Instant,
) {
    // Who was dialled can always speak before the handshake is over.
    let Ok((connection, established)) = connecting.into_0rtt() else {
        return;
    };
    let addr = addrs::plain(connection.remote_address());
    let link = Link::new(said.from, addr, false, false, connection);
    link.proven.store(false, Ordering::Release);
    let link = Arc::new(link);
    let early = Early {
        established,
        by,
        listen: addrs::dialable(&said.hello.listen, addr),
        said: said.inputs,
    };
    if hear(shared, &link, &early).await.is_ok() {
        let control = speak(shared, &link, early, &mut place).boxed();
        super::work(shared, &link, control, false).await;
    }
}

/// Tells the node what was said: of a connection that is ready, if there is no other with this peer.
async fn hear(shared: &Shared, link: &Arc<Link>, early: &Early) -> Result<(), End> {
    let room = shared.inputs.reserve_many(1 + early.said.len()).await;
    let mut room = room.map_err(|_| End::NodeGone)?;
    let mut tell = |input| {
        if let Some(room) = room.next() {
            room.send(input);
        }
    };
    let mut table = shared.table();
    if table.register_early(link) {
        tell(super::connected(link, early.listen.clone()));
    }
    early.said.iter().cloned().for_each(tell);
    drop(table);
    Ok(())
}

/// Says what is queued until the handshake is over and the control stream is there.
async fn speak(shared: &Shared, link: &Arc<Link>, early: Early, place: &mut Place) -> Result<Streams, End> {
    let over = CancellationToken::new();
    let proof = async {
        let _over = over.clone().drop_guard();
        prove(shared, link, early, place).await
    };
    let (streams, ()) = tokio::try_join!(proof, say_early(Session { shared, link }, &over))?;
    Ok(streams)
}

/// Each message on a stream of its own, up to where a goodbye or too many others wait for the control stream.
async fn say_early(session: Session<'_>, over: &CancellationToken) -> Result<(), End> {
    let link = session.link;
    for _ in 0..MAX_EARLY {
        let frame = loop {
            if over.is_cancelled() {
                return Ok(());
            }
            let next = {
                let mut queue = link.queue();
                (!queue.is_finishing()).then(|| queue.pop_control()).flatten()
            };
            if let Some(frame) = next {
                break frame;
            }
            tokio::select! {
                () = link.control_ready.notified() => {}
                () = over.cancelled() => {}
            }
        };
        say(&link.connection, frame).await?;
    }
    Ok(())
}

/// Waits until the handshake has shown who it is, and for the control stream.
async fn prove(shared: &Shared, link: &Arc<Link>, early: Early, place: &mut Place) -> Result<Streams, End> {
    let Early {
        established,
        by,
        listen,
        said,
    } = early;
    let connection = &link.connection;
    // At the end of the program those that are in use are told goodbye.
    let unused = async {
        shared.closing.cancelled().await;
        if shared.table().has(link) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        established = timeout_at(by, established) => {
            established.map_err(|_| End::Broken(Code::Late, "the handshake took too long"))?;
        }
        () = unused => return Err(End::Finished),
    }
    if let Some(reason) = connection.close_reason() {
        return Err(End::Lost(reason));
    }
    if quic::tls::peer_of(connection.peer_identity()) != Some(link.peer) {
        return Err(End::Broken(Code::Protocol, "the opening was by somebody else"));
    }
    place.established();
    tell_proven(shared, link).await?;
    let greeted = timeout(HANDSHAKE_TIMEOUT, hello::accept(shared, connection)).await;
    let late = || End::Broken(Code::Late, "no first message");
    let (_, send, reader) = greeted.map_err(|_| late())??;
    // If it had to stand back so far.
    super::begin(shared, link, listen, &said).await?;
    Ok((send, reader))
}

async fn tell_proven(shared: &Shared, link: &Arc<Link>) -> Result<(), End> {
    let room = shared.inputs.reserve().await.map_err(|_| End::NodeGone)?;
    let table = shared.table();
    link.proven.store(true, Ordering::Release);
    if table.has(link) {
        room.send(super::proven(link));
    }
    Ok(())
}
