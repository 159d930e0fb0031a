//! The same chain with nothing but quinn: each chunk on a stream of its own, received whole and sent on. No signature, no
//! choice of suppliers, no repair, no playout: what the transport alone can do here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use headwater::net::Tuning;
use headwater::net::tls::Tls;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};
use wire::SecretKey;

use crate::Trial;
use crate::feed::{Feeder, PIECE, Take};
use crate::hosts::Hosts;
use crate::meter::Meter;
use crate::outcome::{Ledger, Outcome};
use crate::pattern::Pattern;

/// Chunks that may wait for the first peer: as many as a node takes.
const WAITING: usize = 512;

/// The socket buffers that headwater asks for.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// Before the payload: when it was generated, in nanoseconds from the start, and its place in the stream.
const HEADER: usize = 16;

/// For what is under way at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message that ends the stream: a header whose time is this.
const END: u64 = u64::MAX;

pub(crate) async fn run(trial: Trial) -> anyhow::Result<Outcome> {
    let base = Instant::now();
    let hosts = Hosts::start(trial.peers, trial.shared)?;
    let mut endpoints = Vec::new();
    for n in 0..trial.peers {
        endpoints.push(hosts.spawn(n, async move { endpoint(n as u8) }).await??);
    }
    let mut links = Vec::new();
    for (n, pair) in endpoints.windows(2).enumerate() {
        let [from, to] = pair else { continue };
        let outgoing = hosts.spawn(n, dial(from.clone(), n as u8, to.local_addr()?));
        let incoming = hosts.spawn(n + 1, accept(to.clone()));
        links.push((outgoing.await??, incoming.await??));
    }
    let mut tasks = Vec::new();
    for (n, pair) in links.windows(2).enumerate() {
        let [(_, incoming), (outgoing, _)] = pair else {
            continue;
        };
        tasks.push(hosts.spawn(n + 1, relay(incoming.clone(), outgoing.clone())));
    }
    let (Some((first, _)), Some((_, last))) = (links.first(), links.last()) else {
        anyhow::bail!("a chain has two peers at least");
    };
    let (pieces, waiting) = mpsc::channel(WAITING);
    tasks.push(hosts.spawn(0, send(first.clone(), waiting)));
    let pattern = Arc::new(Pattern::new());
    let feeder = Feeder::start(trial.rate, Arc::clone(&pattern), Encoder { base, pieces });
    let (measuring, measure) = watch::channel(false);
    let sink = hosts.spawn(trial.peers - 1, receive(last.clone(), base, pattern, measure));
    feeder.go_fully();
    tokio::time::sleep(crate::WARM_UP).await;

    measuring.send_replace(true);
    let meter = Meter::start()?;
    tokio::time::sleep(trial.duration).await;
    let cost = meter.stop();

    feeder.stop().await?;
    let (mut ledger, end) = sink.await?;
    let notes = links.iter().map(|(outgoing, _)| note(outgoing)).collect();
    let mut faults = Vec::new();
    match end {
        Some(end) => ledger.finish(end),
        None => faults.push("the end did not come through".to_owned()),
    }
    for endpoint in &endpoints {
        endpoint.close(0u32.into(), b"measured");
    }
    for task in tasks {
        // The connection that was just closed is what ends it.
        let _ = task.await?;
    }
    Ok(Outcome {
        received: ledger.received,
        lost: ledger.lost,
        duplicate: ledger.duplicate,
        wrong: ledger.wrong,
        lag: ledger.lag(),
        cost,
        faults,
        notes,
    })
}

async fn dial(from: Endpoint, n: u8, to: SocketAddr) -> anyhow::Result<Connection> {
    Ok(from.connect_with(client(n)?, to, "headwater")?.await?)
}

async fn accept(at: Endpoint) -> anyhow::Result<Connection> {
    Ok(at.accept().await.context("the endpoint is closed")?.await?)
}

/// What the sending side of a link says about its path.
fn note(outgoing: &Connection) -> String {
    let stats = outgoing.stats();
    format!(
        "rtt {:.1} ms, window {} KiB, {} of {} packets lost, {} datagrams in {} system calls, {} acknowledgements received",
        stats.path.rtt.as_secs_f64() * 1000.0,
        stats.path.cwnd / 1024,
        stats.path.lost_packets,
        stats.path.sent_packets,
        stats.udp_tx.datagrams,
        stats.udp_tx.ios,
        stats.frame_rx.acks,
    )
}

fn endpoint(n: u8) -> anyhow::Result<Endpoint> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let tls = Tls::new(&SecretKey::from_bytes(&[n + 1; 32]))?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls.server()?));
    server.transport_config(Arc::new(tuning().transport()));
    Ok(Endpoint::new(
        EndpointConfig::default(),
        Some(server),
        socket.into(),
        Arc::new(quinn::TokioRuntime),
    )?)
}

fn tuning() -> Tuning {
    Tuning::default()
}

fn client(n: u8) -> anyhow::Result<ClientConfig> {
    let tls = Tls::new(&SecretKey::from_bytes(&[n + 1; 32]))?;
    let mut config = ClientConfig::new(Arc::new(tls.client(None, None)?));
    config.transport_config(Arc::new(tuning().transport()));
    Ok(config)
}

/// Hands pieces to the first peer; one that finds no room is lost, as in headwater.
struct Encoder {
    base: Instant,
    pieces: mpsc::Sender<Bytes>,
}

impl Encoder {
    fn header(time: u64, offset: u64) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&time.to_be_bytes());
        header.extend_from_slice(&offset.to_be_bytes());
        header
    }
}

impl Take for Encoder {
    fn piece(&mut self, offset: u64, bytes: Vec<u8>) {
        let now = self.base.elapsed().as_nanos() as u64;
        let mut message = Self::header(now, offset);
        message.extend_from_slice(&bytes);
        // The far end notices what is missing.
        let _ = self.pieces.try_send(message.into());
    }

    fn end(&mut self, offset: u64) {
        let _ = self.pieces.blocking_send(Self::header(END, offset).into());
    }
}

async fn send(connection: Connection, mut waiting: mpsc::Receiver<Bytes>) -> anyhow::Result<()> {
    while let Some(message) = waiting.recv().await {
        send_one(&connection, message).await?;
    }
    // The far end closes when it has everything.
    connection.closed().await;
    Ok(())
}

async fn send_one(connection: &Connection, message: Bytes) -> anyhow::Result<()> {
    let mut stream = connection.open_uni().await?;
    stream.write_chunk(message).await?;
    stream.finish()?;
    Ok(())
}

async fn relay(from: Connection, to: Connection) -> anyhow::Result<()> {
    loop {
        let message = receive_one(&from).await?;
        send_one(&to, message).await?;
    }
}

async fn receive_one(from: &Connection) -> anyhow::Result<Bytes> {
    let mut stream = from.accept_uni().await?;
    Ok(stream.read_to_end(HEADER + PIECE).await?.into())
}

/// Checks what arrives until the stream's end, and says where that is if it came.
async fn receive(
    from: Connection,
    base: Instant,
    pattern: Arc<Pattern>,
    mut measure: watch::Receiver<bool>,
) -> (Ledger, Option<u64>) {
    let mut ledger = Ledger::new();
    loop {
        let message = match tokio::time::timeout(PATIENCE, receive_one(&from)).await {
            Ok(Ok(message)) => message,
            _ => return (ledger, None),
        };
        if measure.has_changed().unwrap_or(false) && *measure.borrow_and_update() {
            ledger.begin();
        }
        let (Some(time), Some(offset)) = (field(&message, 0), field(&message, 8)) else {
            return (ledger, None);
        };
        if time == END {
            return (ledger, Some(offset));
        }
        let lag = base.elapsed().saturating_sub(Duration::from_nanos(time));
        ledger.take(&pattern, offset, &message[HEADER..], lag);
    }
}

fn field(message: &[u8], at: usize) -> Option<u64> {
    message
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_be_bytes)
}
