//! One measurement: a stream of chunks over one path with one setting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use headwater::net::Tuning;
use headwater::net::tls::Tls;
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};
use wire::SecretKey;

use crate::datagrams;
use crate::relay::{Path, Relay};

/// How chunks travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each on a stream of its own.
    Streams,
    /// In datagrams, cut and put together here; lost ones stay lost.
    Datagrams,
    /// The same, and the receiver asks for missing ones.
    DatagramsAsked,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) tuning: Tuning,
    pub(crate) mode: Mode,
    pub(crate) path: Path,
    pub(crate) chunk_len: usize,
    pub(crate) chunks_per_s: f64,
    pub(crate) duration: Duration,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Milliseconds from handing a chunk over to its being complete at the other side, sorted.
    pub(crate) delivery_ms: Vec<f64>,
    pub(crate) sent: usize,
    /// IP bytes on the way there and back, per byte of payload sent.
    pub(crate) there: f64,
    pub(crate) back: f64,
}

impl Outcome {
    /// Quantile of all chunks sent, those that never came counted as infinitely late.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let at = (self.sent as f64 * q) as usize;
        self.delivery_ms.get(at).copied().unwrap_or(f64::INFINITY)
    }
}

/// After the last chunk, so long is waited for what is under way.
const TAIL: Duration = Duration::from_secs(2);

pub(crate) fn endpoints(tuning: &Tuning) -> anyhow::Result<(Endpoint, Endpoint, ClientConfig)> {
    let transport = || {
        let mut transport = tuning.transport();
        transport
            .datagram_receive_buffer_size(Some(4 << 20))
            .max_idle_timeout(Some(Duration::from_secs(20).try_into().expect("within a varint")));
        Arc::new(transport)
    };
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let tls = Tls::new(&SecretKey::from_bytes(&[1; 32]))?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls.server()?));
    server.transport_config(transport());
    let server = Endpoint::server(server, any)?;
    let tls = Tls::new(&SecretKey::from_bytes(&[2; 32]))?;
    let mut config = ClientConfig::new(Arc::new(tls.client(None, None)?));
    config.transport_config(transport());
    Ok((server, Endpoint::client(any)?, config))
}

pub(crate) async fn run(case: &Case, seed: u64) -> anyhow::Result<Outcome> {
    let (server, client, config) = endpoints(&case.tuning)?;
    let relay = Relay::start(case.path, server.local_addr()?, seed)?;
    let accepting = tokio::spawn(async move {
        let incoming = server.accept().await.context("the endpoint is closed")?;
        Ok::<_, anyhow::Error>((incoming.await?, server))
    });
    let sender = client.connect_with(config, relay.addr, "headwater")?.await?;
    let (receiver, server) = accepting.await??;
    // Path MTU discovery and the first round trips are not what is measured.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = (
        relay.counters.there.load(Ordering::Relaxed),
        relay.counters.back.load(Ordering::Relaxed),
    );
    let base = Instant::now();
    let sent = (case.duration.as_secs_f64() * case.chunks_per_s) as usize;
    let receiving = match case.mode {
        Mode::Streams => tokio::spawn(receive_streams(receiver.clone(), base)),
        Mode::Datagrams => tokio::spawn(datagrams::receive(receiver.clone(), base, false)),
        Mode::DatagramsAsked => tokio::spawn(datagrams::receive(receiver.clone(), base, true)),
    };
    let resending = match case.mode {
        Mode::Streams => None,
        Mode::Datagrams | Mode::DatagramsAsked => Some(datagrams::Sender::start(sender.clone())),
    };
    for n in 0..sent {
        let due = base + Duration::from_secs_f64(n as f64 / case.chunks_per_s);
        tokio::time::sleep_until(due.into()).await;
        let mut chunk = vec![n as u8; case.chunk_len];
        chunk[..8].copy_from_slice(&(base.elapsed().as_nanos() as u64).to_be_bytes());
        let chunk = Bytes::from(chunk);
        match &resending {
            Some(datagrams) => datagrams.send(n as u32, &chunk)?,
            // Not waited for: the encoder does not wait either.
            None => drop(tokio::spawn(send_stream(sender.clone(), chunk))),
        }
    }
    tokio::time::sleep(TAIL).await;
    let payload = (sent * case.chunk_len) as f64;
    let there = relay.counters.there.load(Ordering::Relaxed) - before.0;
    let back = relay.counters.back.load(Ordering::Relaxed) - before.1;
    sender.close(0u32.into(), b"done");
    receiver.close(0u32.into(), b"done");
    let mut delivery_ms = receiving.await?;
    delivery_ms.sort_by(f64::total_cmp);
    client.close(0u32.into(), b"done");
    server.close(0u32.into(), b"done");
    tokio::task::spawn_blocking(|| relay.stop()).await?;
    Ok(Outcome {
        delivery_ms,
        sent,
        there: there as f64 / payload,
        back: back as f64 / payload,
    })
}

async fn send_stream(connection: Connection, chunk: Bytes) -> anyhow::Result<()> {
    let mut stream = connection.open_uni().await?;
    stream.write_all_chunks(&mut [chunk]).await?;
    stream.finish()?;
    Ok(())
}

async fn receive_streams(connection: Connection, base: Instant) -> Vec<f64> {
    let mut reads = tokio::task::JoinSet::new();
    let mut delivery_ms = Vec::new();
    loop {
        tokio::select! {
            stream = connection.accept_uni() => match stream {
                Ok(mut stream) => {
                    reads.spawn(async move {
                        let chunk = stream.read_to_end(1 << 20).await.ok()?;
                        age_ms(base, &chunk)
                    });
                }
                Err(_) => return delivery_ms,
            },
            Some(read) = reads.join_next() => delivery_ms.extend(read.ok().flatten()),
        }
    }
}

/// How long ago the chunk was handed over.
pub(crate) fn age_ms(base: Instant, chunk: &[u8]) -> Option<f64> {
    let now = base.elapsed();
    let sent = Duration::from_nanos(u64::from_be_bytes(*chunk.first_chunk()?));
    Some((now.saturating_sub(sent)).as_secs_f64() * 1000.0)
}

/// Milliseconds of `count` handshakes over the path, sorted.
pub(crate) async fn handshakes(
    tuning: &Tuning,
    path: Path,
    count: usize,
    seed: u64,
) -> anyhow::Result<Vec<f64>> {
    let (server, client, config) = endpoints(tuning)?;
    let relay = Relay::start(path, server.local_addr()?, seed)?;
    let accepting = tokio::spawn(async move {
        while let Some(incoming) = server.accept().await {
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            });
        }
    });
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        let connection = client
            .connect_with(config.clone(), relay.addr, "headwater")?
            .await?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
        connection.close(0u32.into(), b"done");
    }
    accepting.abort();
    took.sort_by(f64::total_cmp);
    tokio::task::spawn_blocking(|| relay.stop()).await?;
    Ok(took)
}
