//! One connection: its queue, its task, its beginning and its end.
//!
//! The task of a connection does four things at once: it reads and writes control messages and chunks. It ends when the
//! connection ends, when the peer breaks the protocol, or when it is told to, and reports that once.

mod chunks_in;
mod chunks_out;
mod control;
pub(super) mod early;
pub(super) mod hello;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use quic::{
    Code, ControlFull, HANDSHAKE_TIMEOUT, QueuedChunk, SIMULTANEOUS, SUPERSEDE_GRACE, SendQueue, Verdict,
    YIELD_TIMEOUT,
};
use quinn::{Connection, ConnectionError, SendStream};
use swarm::Input;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::message::{Bye, ByeReason};
use wire::{PeerId, Time, codec};

use super::Shared;
use super::table::Registered;
use control::FrameReader;

/// Why a connection's task ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("{0}")]
    Lost(#[from] ConnectionError),
    #[error("closed after the last message")]
    Finished,
    #[error("the peer closed it")]
    Left,
    #[error("another connection of this pair stays")]
    Duplicate,
    #[error("{1}")]
    Broken(Code, &'static str),
    #[error("the node has ended")]
    NodeGone,
}

impl End {
    fn code(&self) -> Code {
        match self {
            End::Broken(code, _) => *code,
            End::Duplicate => Code::Duplicate,
            End::Lost(_) | End::Finished | End::Left | End::NodeGone => Code::Done,
        }
    }
}

impl From<quinn::ReadError> for End {
    fn from(error: quinn::ReadError) -> End {
        match error {
            quinn::ReadError::ConnectionLost(error) => End::Lost(error),
            _ => End::Broken(Code::Protocol, "the control stream was reset"),
        }
    }
}

impl From<quinn::WriteError> for End {
    fn from(error: quinn::WriteError) -> End {
        match error {
            quinn::WriteError::ConnectionLost(error) => End::Lost(error),
            _ => End::Broken(Code::Protocol, "the control stream was stopped"),
        }
    }
}

/// A connection as the rest of the program sees it. Nothing here waits.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: PeerId,
    pub(super) addr: SocketAddr,
    pub(super) dialled: bool,
    /// Only an address was dialled: the node waits to hear who is there, even if it is somebody it knows.
    asked_by_addr: bool,
    /// The other side had an opening of this one with the first packet.
    opening_taken: bool,
    /// The handshake is over: it is the peer, now.
    proven: AtomicBool,
    pub(super) connection: Connection,
    pub(super) opened: Instant,
    queue: Mutex<SendQueue>,
    control_ready: Notify,
    chunks_ready: Notify,
    /// The other of two simultaneous connections stays.
    superseded: CancellationToken,
    /// To be closed at once.
    abandoned: CancellationToken,
}

impl Link {
    fn new(
        peer: PeerId,
        addr: SocketAddr,
        dialled: bool,
        asked_by_addr: bool,
        connection: Connection,
    ) -> Self {
        let handshake = connection.handshake_data();
        Link {
            peer,
            addr,
            dialled,
            asked_by_addr,
            opening_taken: dialled && quic::was_taken(handshake),
            proven: AtomicBool::new(true),
            connection,
            opened: Instant::now(),
            queue: Mutex::new(SendQueue::default()),
            control_ready: Notify::new(),
            chunks_ready: Notify::new(),
            superseded: CancellationToken::new(),
            abandoned: CancellationToken::new(),
        }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Queues an encoded control message; a peer that has not read for too long is given up.
    pub(super) fn send(&self, frame: Bytes) {
        if let Err(ControlFull) = self.queue().push_control(frame) {
            self.abandoned.cancel();
        }
        self.control_ready.notify_one();
    }

    pub(super) fn send_chunk(&self, chunk: QueuedChunk, now: Time) {
        self.queue().push_chunk(chunk, now);
        self.chunks_ready.notify_one();
    }

    /// Closes the connection after what is queued and a goodbye. Its absence would tell the other side that another
    /// connection of this pair takes over.
    pub(super) fn leave(&self, reason: ByeReason) {
        {
            // In one step: what is said before the control stream is there ends where the queue does.
            let mut queue = self.queue();
            if let Err(ControlFull) = queue.push_control(codec::encode(&Bye { reason }.into()).into()) {
                self.abandoned.cancel();
            }
            queue.finish();
        }
        self.control_ready.notify_one();
    }

    fn finish(&self) {
        self.queue().finish();
        self.control_ready.notify_one();
    }

    fn supersede(&self) {
        self.superseded.cancel();
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, SendQueue> {
        // No code between lock and unlock leaves the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the parts of a connection's task work on.
#[derive(Clone, Copy)]
struct Session<'a> {
    shared: &'a Shared,
    link: &'a Link,
}

impl Session<'_> {
    async fn input(&self, input: Input) -> Result<(), End> {
        self.shared.inputs.send(input).await.map_err(|_| End::NodeGone)
    }
}

/// What a dialled connection turned out to be.
#[derive(Debug)]
pub(super) enum Dialled {
    /// It was used, and is over; or it leads to a peer that is connected already. The node was told.
    Answered,
    /// It was of no use: to oneself, or broken at once.
    Failed,
}

/// Runs a connection that this side dialled, until it ends. `expected` is whom the node asked for, if it knew.
pub(super) async fn run_dialled(
    shared: &Shared,
    connection: Connection,
    addr: SocketAddr,
    expected: Option<PeerId>,
) -> Dialled {
    let Some(peer) = quic::tls::peer_of(connection.peer_identity()) else {
        return Dialled::Failed;
    };
    if peer == shared.own {
        connection.close(Code::Oneself.into(), b"this is myself");
        return Dialled::Failed;
    }
    let link = Arc::new(Link::new(
        peer,
        addr,
        true,
        expected.is_none(),
        connection.clone(),
    ));
    let verdict = shared.table().verdict_on_dialled(shared.own, peer);
    // Who took the opening has taken note of the connection, too, and may have answered on it.
    let unknown = verdict == Some(Verdict::Yield) && !link.opening_taken;
    if unknown || verdict == Some(Verdict::Replace) {
        connection.close(Code::Duplicate.into(), b"connected already");
        if expected.is_none() {
            // An error says that the node has ended.
            let _ = shared.inputs.send(connected(&link, vec![addr])).await;
        }
        return Dialled::Answered;
    }
    let (send, recv) = match hello::open(shared, &connection).await {
        Ok(streams) => streams,
        Err(error) => {
            tracing::debug!(%addr, peer = %peer.short(), %error, "connection failed at once");
            return Dialled::Failed;
        }
    };
    let reader = FrameReader::new(recv);
    // The address that was dialled is one that leads there; there is no need to wait for the peer's list.
    run(shared, &link, vec![addr], send, reader, true).await;
    Dialled::Answered
}

/// Runs a connection that somebody else dialled, until it ends.
pub(super) async fn run_accepted(shared: &Shared, connection: Connection) {
    let addr = super::addrs::plain(connection.remote_address());
    let Some(peer) = quic::tls::peer_of(connection.peer_identity()) else {
        return;
    };
    if peer == shared.own {
        connection.close(Code::Oneself.into(), b"this is myself");
        return;
    }
    let greeted = tokio::time::timeout(HANDSHAKE_TIMEOUT, hello::accept(shared, &connection)).await;
    let (hello, send, reader) = match greeted {
        Ok(Ok(greeted)) => greeted,
        failed => {
            let end = match failed {
                Ok(Err(end)) => end,
                _ => End::Broken(Code::Late, "no first message"),
            };
            tracing::debug!(%addr, peer = %peer.short(), %end, "connection refused");
            connection.close(end.code().into(), end.to_string().as_bytes());
            return;
        }
    };
    let link = Arc::new(Link::new(peer, addr, false, false, connection.clone()));
    let listen = super::addrs::dialable(&hello.listen, addr);
    run(shared, &link, listen, send, reader, false).await;
}

async fn run(
    shared: &Shared,
    link: &Arc<Link>,
    listen: Vec<SocketAddr>,
    send: SendStream,
    reader: FrameReader,
    expect_hello: bool,
) {
    if begin(shared, link, listen, &[]).await.is_err() {
        return;
    }
    let ready = std::future::ready(Ok((send, reader))).boxed();
    work(shared, link, ready, expect_hello).await;
}

/// The control stream, once it is there: both its directions, and the other side's hello read if it had to come first.
type Streams = (SendStream, FrameReader);

/// Does everything that there is to do on a connection until it ends. Reading begins with the control stream.
async fn work<'a>(
    shared: &'a Shared,
    link: &'a Arc<Link>,
    control: BoxFuture<'a, Result<Streams, End>>,
    expect_hello: bool,
) {
    let session = Session { shared, link };
    let connection = &link.connection;
    // Each has a waker of its own: what arrives for one does not have all the others look what there is to do.
    let mut parts = FuturesUnordered::<BoxFuture<'_, Result<Streams, End>>>::new();
    parts.push(control);
    parts.push(chunks_out::write(session).map(never).boxed());
    parts.push(connection.closed().map(|error| Err(End::Lost(error))).boxed());
    parts.push(yielded(link).map(Err).boxed());
    parts.push(link.abandoned.cancelled().map(|()| Err(STUCK)).boxed());
    parts.push(shared.cancel.cancelled().map(|()| Err(End::Finished)).boxed());
    let end = loop {
        match parts.next().await {
            Some(Ok((send, reader))) => {
                parts.push(control::read(session, reader, expect_hello).map(never).boxed());
                parts.push(control::write(session, send).map(never).boxed());
                parts.push(chunks_in::read(session).map(never).boxed());
            }
            Some(Err(end)) => break end,
            None => break End::Finished,
        }
    };
    drop(parts);
    connection.close(end.code().into(), end.to_string().as_bytes());
    tracing::debug!(peer = %link.peer.short(), addr = %link.addr, %end, "connection ended");
    finish(shared, link).await;
}

fn never<T>(part: Result<Infallible, End>) -> Result<T, End> {
    part.map(|never| match never {})
}

const STUCK: End = End::Broken(Code::Stuck, "control messages are not read");

/// Makes the connection known to the table and the node, in one step, so that the node sees beginnings and ends of a
/// peer's connections in the order in which they happened. To a node that knew of no connection, or of another that is lost,
/// the peer then says `opening`, whether it heard that before or not.
async fn begin(
    shared: &Shared,
    link: &Arc<Link>,
    listen: Vec<SocketAddr>,
    opening: &[Input],
) -> Result<(), End> {
    let room = shared.inputs.reserve_many(2 + opening.len()).await;
    let mut room = room.map_err(|_| End::NodeGone)?;
    let mut tell = |input| {
        if let Some(room) = room.next() {
            room.send(input);
        }
    };
    let mut table = shared.table();
    match table.register(shared.own, link) {
        Registered::New => {}
        Registered::Already => return Ok(()),
        Registered::Overtaken => {
            tell(proven(link));
            if !link.asked_by_addr {
                return Ok(());
            }
        }
        Registered::Replaced(old) => {
            old.supersede();
            old.abandoned.cancel();
            tell(Input::Disconnected {
                peer: Some(old.peer),
                addr: Some(old.addr),
            });
        }
        Registered::Superseded(old) => {
            old.supersede();
            old.finish();
            if !link.asked_by_addr {
                return Ok(());
            }
        }
        Registered::Yielded => {
            link.supersede();
            if !link.asked_by_addr {
                return Ok(());
            }
        }
    }
    tell(connected(link, listen));
    opening.iter().cloned().for_each(tell);
    Ok(())
}

fn connected(link: &Link, listen: Vec<SocketAddr>) -> Input {
    Input::Connected {
        peer: link.peer,
        addr: link.addr,
        listen,
        dialled: link.dialled,
        rtt: link.is_proven().then(|| link.connection.rtt()),
        opened: link.opening_taken,
    }
}

fn proven(link: &Link) -> Input {
    Input::Proven {
        peer: link.peer,
        rtt: link.connection.rtt(),
    }
}

async fn finish(shared: &Shared, link: &Arc<Link>) {
    let room = shared.inputs.reserve().await;
    let mut table = shared.table();
    if table.unregister(link)
        && let Ok(room) = room
    {
        room.send(Input::Disconnected {
            peer: Some(link.peer),
            addr: Some(link.addr),
        });
    }
    drop(table);
    shared.count_dropped(link.queue().dropped());
}

/// Ends a connection that lost against a simultaneous one if its dialler does not.
async fn yielded(link: &Link) -> End {
    link.superseded.cancelled().await;
    tokio::time::sleep(YIELD_TIMEOUT).await;
    End::Duplicate
}

/// The peer ended its side of the control stream.
async fn left(session: Session<'_>, said_goodbye: bool) -> Result<Infallible, End> {
    let Session { shared, link } = session;
    let may_be_superseded =
        link.dialled && shared.own > link.peer && link.opened.elapsed() < SIMULTANEOUS && !said_goodbye;
    if may_be_superseded {
        // The peer prefers its own connection to this one, and its first message on that is still under way.
        let _ = tokio::time::timeout(SUPERSEDE_GRACE, link.superseded.cancelled()).await;
    }
    if link.superseded.is_cancelled() {
        // What this side sent before it knew of the other connection is on its way, and closing would lose it.
        tokio::time::sleep(SUPERSEDE_GRACE).await;
    }
    Err(End::Left)
}
