//! The transport: QUIC connections between peers that prove their identity, one for each pair.
//!
//! - A control stream with length-prefixed messages, opened by the dialler; [`wire::message::Hello`] comes first.
//! - Each chunk goes on a stream of its own, so that a lost packet holds up one chunk and not those behind it.
//! - A dialler may say something with its first packet, before it has proved who it is (`link/early.rs`).
//! - Whoever hosts a tracker may greet who dials, along with the handshake (`greeting.rs`).
//! - Everything that others send is bounded: connections in all and per address, handshakes under way, frame lengths,
//!   messages a second, streams and bytes per connection.
//! - Everything that waits to be sent is bounded: see the send queue. A peer that does not read delays nobody else: the
//!   transport never waits in [`Transport::send`] or [`Transport::send_chunk`].
//!
//! What comes in goes to the node as [`swarm::Input`]: for each peer one `Connected`, then messages and chunks, then one
//! `Disconnected`. That channel is bounded; while it is full, connections are not read, and QUIC's flow control tells
//! their senders.
//!
//! **Invariant:** nothing here knows what a message means, except the first, the last and a greeting.

pub mod addrs;
mod admission;
mod bucket;
mod dial;
mod endpoint;
mod greeting;
mod link;
pub mod reachable;
mod socket;
mod table;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quic::{HANDSHAKE_TIMEOUT, IP_UDP_HEADERS, MAX_DIALS, QueuedChunk};
use quinn::{Connecting, Connection, ConnectionError, Endpoint, Incoming};
use swarm::{Allowance, Class, Input};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::message::ByeReason;
use wire::{Chunk, Message, PeerId, SecretKey, StreamId, Time, codec};

use crate::error::plain_io;
pub use quic::{Acks, Congestion, Dropped, PathSample, Streams, Tuning, tls};

use crate::clock::Clock;
use admission::{Admission, Gate, Place};
use endpoint::Endpoints;
use greeting::Greetings;
use link::early::Said;
use table::Table;

/// How long goodbyes may take at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// What a transport is started with.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Who this is.
    pub identity: SecretKey,
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Program and version, told to neighbours.
    pub agent: String,
    /// Most connections that others may make.
    pub max_accepted: usize,
    /// QUIC's settings.
    pub tuning: Tuning,
}

/// A transport cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken or not ours.
    #[error(
        "cannot listen at {addr} ({}); choose another --listen address",
        plain_io(source)
    )]
    Socket {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The identity is of no use for TLS.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// What the transport counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Connections now.
    pub connections: usize,
    /// Tasks now: one for each connection and dial, one for each listening socket.
    pub tasks: usize,
    /// Chunks not sent in all.
    pub dropped: Dropped,
    /// Bytes of chunks of streams this node has no part in.
    pub foreign_bytes: u64,
    /// Strangers turned away because there was no room.
    pub refused: u64,
}

/// See the module's description. Clones share it.
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
}

/// What all tasks share.
#[derive(Debug)]
struct Shared {
    own: PeerId,
    agent: String,
    clock: Clock,
    local_addrs: Vec<SocketAddr>,
    endpoints: Endpoints,
    inputs: mpsc::Sender<Input>,
    streams: Arc<Streams>,
    table: Mutex<Table>,
    gate: Arc<Gate>,
    dials: Semaphore,
    dialling: Mutex<Dialling>,
    greetings: Greetings,
    counters: Counters,
    tasks: TaskTracker,
    /// No new connections any more.
    closing: CancellationToken,
    /// Every task ends now.
    cancel: CancellationToken,
}

/// Whom and where somebody is being dialled.
#[derive(Debug, Default)]
struct Dialling {
    peers: BTreeSet<PeerId>,
    addrs: BTreeSet<SocketAddr>,
}

#[derive(Debug, Default)]
struct Counters {
    expired: AtomicU64,
    overflowed: AtomicU64,
    foreign_bytes: AtomicU64,
    refused: AtomicU64,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No code between lock and unlock leaves the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dialling(&self) -> MutexGuard<'_, Dialling> {
        self.dialling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An opening as it goes into the first packet; `None` if there is nothing to say, or too much.
    fn seal(&self, to: Option<PeerId>, messages: &[Bytes]) -> Option<Vec<u8>> {
        if messages.is_empty() {
            return None;
        }
        let hello = link::hello::of(self, None);
        self.endpoints.seal(to, &hello, messages)
    }

    fn dial_done(&self, peer: Option<PeerId>, addrs: &[SocketAddr]) {
        let mut dialling = self.dialling();
        match (peer, addrs.first()) {
            (Some(peer), _) => dialling.peers.remove(&peer),
            (None, Some(addr)) => dialling.addrs.remove(addr),
            (None, None) => false,
        };
    }

    fn count_foreign(&self, bytes: usize) {
        self.counters
            .foreign_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn count_dropped(&self, dropped: Dropped) {
        self.counters
            .expired
            .fetch_add(dropped.expired, Ordering::Relaxed);
        self.counters
            .overflowed
            .fetch_add(dropped.overflowed, Ordering::Relaxed);
    }
}

impl Transport {
    /// Binds the sockets and starts accepting. Chunks of `streams` are taken; what comes in goes to `inputs`.
    ///
    /// # Errors
    /// A [`BindError`] when an address is not free or not ours.
    pub fn bind(
        config: NetConfig,
        clock: Clock,
        streams: Arc<Streams>,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Self, BindError> {
        let endpoints = Endpoints::bind(&config.identity, &config.listen, config.tuning)?;
        let shared = Arc::new(Shared {
            own: config.identity.peer_id(),
            agent: config.agent,
            clock,
            local_addrs: endpoints.local_addrs(),
            endpoints,
            inputs,
            streams,
            table: Mutex::default(),
            gate: Arc::new(Gate::new(config.max_accepted)),
            dials: Semaphore::new(MAX_DIALS),
            dialling: Mutex::default(),
            greetings: Greetings::default(),
            counters: Counters::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            cancel: CancellationToken::new(),
        });
        for endpoint in shared.endpoints.listening() {
            shared.tasks.spawn(accept(Arc::clone(&shared), endpoint.clone()));
        }
        Ok(Transport { shared })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.local_addrs
    }

    /// Dials a peer in the background; the answer is an input. Does nothing if the peer is connected or being dialled.
    /// Returns false if too much is being dialled already; then there is no other answer.
    ///
    /// The messages of `opening`, encoded, go along with the first packet if all of them fit; whether they did is said with the
    /// answer.
    pub fn connect(&self, peer: Option<PeerId>, addrs: Vec<SocketAddr>, opening: &[Bytes]) -> bool {
        let shared = &self.shared;
        if addrs.is_empty() || peer == Some(shared.own) {
            return false;
        }
        if peer.is_some_and(|peer| shared.table().get(&peer).is_some()) {
            return true;
        }
        {
            let mut dialling = shared.dialling();
            if dialling.peers.len() + dialling.addrs.len() >= dial::MAX_DIALS_WAITING {
                return false;
            }
            let is_new = match peer {
                Some(peer) => dialling.peers.insert(peer),
                None => dialling.addrs.insert(addrs[0]),
            };
            if !is_new {
                return true;
            }
        }
        let opening = shared.seal(peer, opening);
        let task = Arc::clone(shared);
        shared
            .tasks
            .spawn(async move { dial::run(&task, peer, addrs, opening).await });
        true
    }

    /// Queues a control message. Returns false if the peer is not connected.
    pub fn send(&self, to: &PeerId, message: &Message) -> bool {
        self.send_frame(to, codec::encode(message).into())
    }

    /// Queues a control message that is encoded already. Returns false if the peer is not connected.
    pub fn send_frame(&self, to: &PeerId, frame: Bytes) -> bool {
        let table = self.shared.table();
        let Some(link) = table.get(to) else {
            return false;
        };
        link.send(frame);
        true
    }

    /// Queues a copy of a chunk. Returns false if the peer is not connected.
    pub fn send_chunk(&self, to: &PeerId, chunk: Arc<Chunk>, hops: u8, class: Class, expires: Time) -> bool {
        let table = self.shared.table();
        let Some(link) = table.get(to) else {
            return false;
        };
        let queued = QueuedChunk {
            chunk,
            hops,
            class,
            expires,
        };
        link.send_chunk(queued, self.shared.clock.now());
        true
    }

    /// What whoever dials is told of a stream from now on, along with the handshake; `None`: nothing any more.
    pub fn set_greeting(&self, stream: StreamId, frame: Option<Bytes>) {
        self.shared.greetings.set(stream, frame);
    }

    /// How many of those who dial are let in from now on; `None`: as many as there is room for. The others are refused, and counted.
    pub fn limit_strangers(&self, allowance: Option<Allowance>) {
        self.shared.gate.limit(allowance);
    }

    /// Closes a connection after the control messages that are queued, and a goodbye.
    pub fn disconnect(&self, peer: &PeerId) {
        if let Some(link) = self.shared.table().get(peer) {
            link.leave(ByeReason::Unneeded);
        }
    }

    /// Bytes that have left through all sockets since the last call, counted in IP packets: all there is, what QUIC repeats
    /// and acknowledges, too. Nothing where the system's own sockets are used.
    pub fn take_departed(&self) -> u64 {
        self.shared.endpoints.take_departed()
    }

    /// Counters and sizes.
    pub fn stats(&self) -> NetStats {
        let shared = &self.shared;
        let counters = &shared.counters;
        let mut dropped = Dropped {
            expired: counters.expired.load(Ordering::Relaxed),
            overflowed: counters.overflowed.load(Ordering::Relaxed),
        };
        let table = shared.table();
        for link in table.iter() {
            let of_link = link.queue().dropped();
            dropped.expired += of_link.expired;
            dropped.overflowed += of_link.overflowed;
        }
        NetStats {
            connections: table.len(),
            tasks: shared.tasks.len(),
            dropped,
            foreign_bytes: counters.foreign_bytes.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
        }
    }

    /// The path of each connection.
    pub fn paths(&self) -> Vec<PathSample> {
        let table = self.shared.table();
        table
            .iter()
            .map(|link| {
                let stats = link.connection.stats();
                PathSample {
                    peer: link.peer,
                    connection: link.connection.stable_id(),
                    sent: stats.udp_tx.bytes + stats.udp_tx.datagrams * IP_UDP_HEADERS,
                    lost: stats.path.lost_bytes,
                    waiting: link.queue().chunk_bytes() as u64,
                    rtt: stats.path.rtt,
                    min_rtt: link.connection.min_rtt(),
                }
            })
            .collect()
    }

    /// Says goodbye to everybody, waits until that is sent (at most a second) and ends every task. The inputs must be
    /// taken meanwhile, or connections end before their goodbye is sent.
    pub async fn shutdown(&self) {
        let shared = &self.shared;
        let links: Vec<_> = shared.table().iter().cloned().collect();
        for link in &links {
            link.leave(ByeReason::Leaving);
        }
        shared.closing.cancel();
        shared.tasks.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, shared.tasks.wait())
            .await
            .is_err()
        {
            tracing::debug!("some neighbours did not take the goodbye in time");
        }
        shared.cancel.cancel();
        shared.endpoints.close();
        shared.tasks.wait().await;
        // What is left is to send the closing packets; a second copy of them is not worth waiting for.
        let _ = tokio::time::timeout(Duration::from_millis(100), shared.endpoints.wait_idle()).await;
    }
}

/// Takes in those who dial a socket of ours.
async fn accept(shared: Arc<Shared>, endpoint: Endpoint) {
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = shared.closing.cancelled() => return,
        };
        let Some(incoming) = incoming else {
            return;
        };
        let ip = addrs::plain(incoming.remote_address()).ip();
        match shared
            .gate
            .admit(ip, incoming.remote_address_validated(), shared.clock.now())
        {
            Admission::Accept(place) => {
                let task = Arc::clone(&shared);
                shared
                    .tasks
                    .spawn(async move { admit(&task, incoming, place).await });
            }
            // An error says that the stranger has just proved its address; it may come again.
            Admission::Retry => drop(incoming.retry()),
            Admission::Refuse => {
                shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                incoming.refuse();
            }
        }
    }
}

async fn admit(shared: &Shared, incoming: Incoming, mut place: Place) {
    let by = Instant::now() + HANDSHAKE_TIMEOUT;
    let (config, heard) = match shared.endpoints.listen() {
        Ok(listening) => listening,
        Err(error) => {
            tracing::debug!(%error, "no connection can be accepted");
            return incoming.refuse();
        }
    };
    let handshake = async {
        let mut connecting = incoming.accept_with(config)?;
        // Once the dialler's first message is whole.
        connecting.handshake_data().await?;
        if let Some(said) = heard.opening().and_then(|sealed| said(sealed, shared.own)) {
            return Ok(Begun::Opened(connecting, said));
        }
        let connection = greeting::accept(connecting, &shared.greetings).await?;
        Ok::<_, ConnectionError>(Begun::Established(connection))
    };
    let begun = tokio::select! {
        begun = timeout_at(by, handshake) => begun,
        () = shared.closing.cancelled() => return,
    };
    match begun {
        Ok(Ok(Begun::Opened(connecting, said))) => {
            link::early::run(shared, connecting, said, place, by).await;
        }
        Ok(Ok(Begun::Established(connection))) => {
            place.established();
            link::run_accepted(shared, connection).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

/// How far somebody who dialled is.
enum Begun {
    /// It said something with its first packet.
    Opened(Connecting, Said),
    /// It did not, and the handshake is over.
    Established(Connection),
}

fn said(sealed: &[u8], own: PeerId) -> Option<Said> {
    Said::read(sealed, own)
        .inspect_err(|error| tracing::debug!(%error, "passed over"))
        .ok()
}
