//! Real nodes on loopback and a stream among them.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses a part")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use headwater::driver::{DriverConfig, NodeHandle, start};
use swarm::NewChunk;
use wire::{Bitrate, Media, SecretKey, Seq, StreamId, StreamInfo};

pub(crate) const CHUNK: Duration = Duration::from_millis(8);

pub(crate) async fn node(n: u8) -> NodeHandle {
    let mut config = DriverConfig::new(SecretKey::from_bytes(&[n; 32]));
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.upload = Some(Bitrate::from_kbps(30_000));
    config.seed = Some(n.into());
    start(config).await.unwrap()
}

pub(crate) fn payload(n: u64) -> Bytes {
    // No two chunks are alike, and their lengths vary.
    let len = 3000 + (n * 37 % 900) as usize;
    (0..len)
        .map(|i| (n as usize * 31 + i * 7) as u8)
        .collect::<Vec<_>>()
        .into()
}

pub(crate) fn info(node: &NodeHandle) -> StreamInfo {
    let now = node.clock().now();
    StreamInfo {
        session: Seq(now.as_micros()),
        revision: 0,
        started_at: now,
        substreams: 16,
        chunk_duration_us: CHUNK.as_micros() as u32,
        rate: Bitrate::from_kbps(3_500),
        media: Media::Opaque,
        title: "a test".to_owned(),
        private: false,
    }
}

/// Feeds so many chunks of the stream in real time and ends it.
pub(crate) async fn feed(node: NodeHandle, stream: StreamId, chunks: u64) {
    let mut tick = tokio::time::interval(CHUNK);
    for n in 0..chunks {
        tick.tick().await;
        let chunk = NewChunk {
            payload: payload(n),
            generated_at: node.clock().now(),
            duration: CHUNK,
            random_access: n % 25 == 0,
            discontinuity: false,
        };
        node.produce(stream, chunk);
    }
    node.end_of_stream(stream).await.unwrap();
}
