//! One peercaster and some viewers in one process on loopback: lags, lateness of timers, CPU.
//!
//! ```text
//! cargo run -p headwater --example loopback -- [KBIT_PER_S [VIEWERS [SECONDS]]]
//! ```

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people, on real clocks"
)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use headwater::driver::{DriverConfig, LagSummary, Lags, NodeHandle, StreamEvents, StreamItem, start};
use swarm::{NewChunk, Participation, PlayoutWish};
use wire::{Bitrate, MAX_PAYLOAD, Media, SecretKey, Seq, StreamInfo};

/// Chunks a second while they are small enough.
const CHUNKS_PER_S: u64 = 125;

/// Uplinks carry so many copies of the stream.
const COPIES: u64 = 3;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |arg| arg.parse());
    let (kbit, viewers, seconds) = (number(3_500)?, number(6)?, number(12)?);
    let bytes_per_s = kbit * 1000 / 8;
    let len = usize::try_from(bytes_per_s / CHUNKS_PER_S)?.min(MAX_PAYLOAD);
    let chunk = Duration::from_secs_f64(len as f64 / bytes_per_s as f64);

    let source = node(1, kbit).await?;
    let key = SecretKey::from_bytes(&[99; 32]);
    let stream = key.stream_id();
    let now = source.clock().now();
    let info = StreamInfo {
        session: Seq(now.as_micros()),
        revision: 0,
        started_at: now,
        substreams: 16,
        chunk_duration_us: u32::try_from(chunk.as_micros())?,
        rate: Bitrate::from_kbps(kbit),
        media: Media::Opaque,
        title: String::new(),
        private: false,
    };
    let _own = source.publish(key, info).await?;
    let mut watching = Vec::new();
    for n in 0..viewers {
        let viewer = node(u8::try_from(n + 2)?, kbit).await?;
        let wish = Participation::Consume(PlayoutWish::default());
        let events = viewer.join(stream, source.local_addrs().to_vec(), wish).await?;
        let (arrivals, playout) = (events.arrivals(), Lags::new());
        tokio::spawn(watch(events, playout.clone()));
        watching.push((viewer, arrivals, playout));
    }

    let mut tick = tokio::time::interval(chunk);
    let payload = Bytes::from(vec![0x47; len]);
    for n in 0..(seconds as f64 / chunk.as_secs_f64()) as u64 {
        tick.tick().await;
        let chunk = NewChunk {
            payload: payload.clone(),
            generated_at: source.clock().now(),
            duration: chunk,
            random_access: n % 25 == 0,
            discontinuity: false,
        };
        source.produce(stream, chunk);
    }

    println!("lags in ms: p50 p95 p99 max");
    let (_, driver) = source.stats().await?;
    println!("source: timers late {}", text(driver.timer_late));
    for (viewer, arrivals, playout) in &watching {
        let (stats, driver) = viewer.stats().await?;
        let (continuity, duplicate) = stats
            .streams
            .first()
            .map_or((0.0, 0), |s| (s.continuity(), s.bytes_duplicate));
        println!(
            "viewer: arrival {}, playout {}, continuity {continuity:.4}, duplicate bytes {duplicate}, timers late {}, \
             not sent {:?}",
            text(arrivals.summary()),
            text(playout.summary()),
            text(driver.timer_late),
            driver.net.dropped,
        );
    }
    if let Some(cpu) = cpu_seconds() {
        println!("CPU of the process: {cpu:.2} s in {seconds} s");
    }
    for (viewer, ..) in watching {
        viewer.shutdown().await;
    }
    source.shutdown().await;
    Ok(())
}

async fn node(n: u8, kbit: u64) -> anyhow::Result<NodeHandle> {
    let mut config = DriverConfig::new(SecretKey::from_bytes(&[n; 32]));
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.upload = Some(Bitrate::from_kbps(COPIES * kbit));
    start(config).await
}

async fn watch(mut events: StreamEvents, playout: Lags) {
    while let Some(item) = events.recv().await {
        if let StreamItem::Chunk { lag_us, .. } = item {
            playout.record(lag_us);
        }
    }
}

fn text(lags: LagSummary) -> String {
    format!("{:.2} {:.2} {:.2} {:.2}", lags.p50, lags.p95, lags.p99, lags.max)
}

/// CPU time of this process so far, where the system tells it as Linux does, in hundredths.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}
