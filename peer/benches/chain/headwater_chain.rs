//! The chain of real nodes.
//!
//! What makes it a chain: the stream is one substream, every uplink carries one copy of it and not two, and the peers join
//! one after the other. So each finds the only free place at the one that joined before it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use headwater::driver::{self, DriverConfig, NodeHandle, StreamEvents, StreamItem};
use headwater::media::{Segment, Segmenter, SegmenterConfig};
use swarm::{Event, NewChunk, Participation, PlayoutWish, StreamStats};
use tokio::sync::watch;
use wire::{Bitrate, Media, SecretKey, Seq, StreamId, StreamInfo};

use crate::Trial;
use crate::feed::{Feeder, Take};
use crate::hosts::Hosts;
use crate::meter::Meter;
use crate::outcome::{Ledger, Outcome};
use crate::pattern::Pattern;

/// Each uplink as a multiple of the stream: with its headers one copy takes 1.06, and the peercaster keeps 7 % back.
const UPLINK: f64 = 1.6;

/// Between two joins.
const SETTLE: Duration = Duration::from_millis(300);

/// For a join, and for the end of the stream to come through.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(trial: Trial) -> anyhow::Result<Outcome> {
    let uplink = trial.rate.scaled(UPLINK);
    let hosts = Hosts::start(trial.peers, trial.shared)?;
    let mut nodes = Vec::new();
    for n in 0..trial.peers {
        nodes.push(hosts.spawn(n, start(n as u8, uplink)).await??);
    }
    let source = nodes[0].clone();
    let key = SecretKey::from_bytes(&[200; 32]);
    let stream = key.stream_id();
    let info = describe(&source, trial.rate);
    let session = info.session;
    let own_events = source.publish(key, info).await?;
    // Nobody plays at the peercaster.
    drop(own_events);

    let pattern = Arc::new(Pattern::new());
    let places = Arc::new(Places::default());
    let end = Arc::new(AtomicU64::new(0));
    let encoder = Encoder {
        node: source.clone(),
        stream,
        segmenter: Segmenter::new(SegmenterConfig::default()),
        segments: Vec::new(),
        places: Arc::clone(&places),
        end: Arc::clone(&end),
    };
    let feeder = Feeder::start(trial.rate, Arc::clone(&pattern), encoder);
    let joining = Meter::start()?;
    let last = match join_one_by_one(&nodes, stream).await {
        Ok(last) => last,
        Err(error) => {
            feeder.stop().await?;
            shut_down(&nodes).await;
            return Ok(Outcome::failed(format!("{error:#}"), joining.stop()));
        }
    };
    let (measuring, measure) = watch::channel(false);
    let watching = watch_stream(last, source.clone(), session, pattern, places, measure);
    let sink = hosts.spawn(trial.peers - 1, watching);
    feeder.go_fully();
    tokio::time::sleep(crate::WARM_UP).await;

    let before = Counts::read(&nodes, stream).await?;
    measuring.send_replace(true);
    let meter = Meter::start()?;
    tokio::time::sleep(trial.duration).await;
    let cost = meter.stop();
    let after = Counts::read(&nodes, stream).await?;
    let shape = shape(&nodes, stream).await?;

    feeder.stop().await?;
    source.end_of_stream(stream).await?;
    let (ledger, ended) = sink.await?;
    shut_down(&nodes).await;
    let mut ledger = ledger;
    ledger.finish(end.load(Ordering::Relaxed));
    let mut faults = shape.faults;
    if !ended {
        faults.push("the end did not come through".to_owned());
    }
    faults.extend(after.faults_since(&before));
    let mut notes = shape.notes;
    notes.extend(after.notes_since(&before));
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

async fn shut_down(nodes: &[NodeHandle]) {
    for node in nodes {
        node.shutdown().await;
    }
}

async fn start(n: u8, uplink: Bitrate) -> anyhow::Result<NodeHandle> {
    let mut config = DriverConfig::new(SecretKey::from_bytes(&[n + 1; 32]));
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.upload = Some(uplink);
    config.seed = Some(n.into());
    driver::start(config).await
}

fn describe(source: &NodeHandle, rate: Bitrate) -> StreamInfo {
    let now = source.clock().now();
    let chunk = SegmenterConfig::default()
        .duration
        .min(rate.time_for(wire::MAX_PAYLOAD as u64));
    StreamInfo {
        session: Seq(now.as_micros()),
        revision: 0,
        started_at: now,
        substreams: 1,
        chunk_duration_us: chunk.as_micros() as u32,
        rate,
        media: Media::Opaque,
        title: "throughput".to_owned(),
        private: false,
    }
}

/// The last one's stream.
async fn join_one_by_one(nodes: &[NodeHandle], stream: StreamId) -> anyhow::Result<StreamEvents> {
    let via = nodes[0].local_addrs().to_vec();
    let mut last = None;
    for node in &nodes[1..] {
        let wish = Participation::Consume(PlayoutWish::default());
        let mut events = node.join(stream, via.clone(), wish).await?;
        tokio::time::timeout(PATIENCE, playing(&mut events))
            .await
            .context("a peer got no place")??;
        tokio::time::sleep(SETTLE).await;
        last = Some(events);
    }
    last.context("a chain has two peers at least")
}

async fn playing(events: &mut StreamEvents) -> anyhow::Result<()> {
    loop {
        match events.recv().await {
            Some(StreamItem::Event(Event::PlayoutStarted { .. })) => return Ok(()),
            Some(_) => {}
            None => bail!("a node has ended"),
        }
    }
}

/// Where each chunk begins in the stream, by its number from the session's beginning.
#[derive(Debug, Default)]
struct Places(Mutex<Vec<u64>>);

impl Places {
    fn push(&self, offset: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(offset);
    }

    fn of(&self, n: u64) -> Option<u64> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(usize::try_from(n).ok()?).copied()
    }
}

/// Cuts what the feeder gives as the peercaster does, and publishes it.
struct Encoder {
    node: NodeHandle,
    stream: StreamId,
    segmenter: Segmenter,
    segments: Vec<Segment>,
    places: Arc<Places>,
    end: Arc<AtomicU64>,
}

impl Encoder {
    fn produce(&mut self) {
        for segment in self.segments.drain(..) {
            let from = self.end.load(Ordering::Relaxed);
            self.places.push(from);
            self.end
                .store(from + segment.payload.len() as u64, Ordering::Relaxed);
            let chunk = NewChunk {
                payload: segment.payload,
                generated_at: segment.generated_at,
                duration: segment.duration,
                random_access: segment.random_access,
                discontinuity: segment.discontinuity,
            };
            self.node.produce(self.stream, chunk);
        }
    }
}

impl Take for Encoder {
    fn piece(&mut self, _offset: u64, bytes: Vec<u8>) {
        let now = self.node.clock().now();
        self.segmenter
            .push_bytes(now, Bytes::from(bytes), &mut self.segments);
        self.produce();
    }

    fn wake(&mut self) -> Option<Duration> {
        let now = self.node.clock().now();
        self.segmenter.handle_deadline(now, &mut self.segments);
        self.produce();
        self.segmenter.next_deadline().map(|at| at.since(now))
    }

    fn end(&mut self, _offset: u64) {
        self.segmenter.finish(self.node.clock().now(), &mut self.segments);
        self.produce();
    }
}

/// Checks what the last peer plays until the stream's end; whether that came.
async fn watch_stream(
    mut events: StreamEvents,
    source: NodeHandle,
    session: Seq,
    pattern: Arc<Pattern>,
    places: Arc<Places>,
    mut measure: watch::Receiver<bool>,
) -> (Ledger, bool) {
    let mut ledger = Ledger::new();
    loop {
        if measure.has_changed().unwrap_or(false) && *measure.borrow_and_update() {
            ledger.begin();
        }
        match tokio::time::timeout(PATIENCE, events.recv()).await {
            Ok(Some(StreamItem::Chunk { chunk, .. })) => {
                if let Some(offset) = places.of(session.behind(chunk.seq())) {
                    let lag = source.clock().now().since(chunk.header().generated_at);
                    ledger.take(&pattern, offset, chunk.payload(), lag);
                }
            }
            Ok(Some(StreamItem::Event(Event::Ended { .. }))) => return (ledger, true),
            // A gap shows in the next chunk's place.
            Ok(Some(StreamItem::Gap { .. } | StreamItem::Event(_))) => {}
            Ok(None) | Err(_) => return (ledger, false),
        }
    }
}

/// What all nodes together count that should not happen.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    produce_dropped: u64,
    missed: u64,
    duplicate: u64,
    not_sent: u64,
    repairs: u64,
}

impl Counts {
    async fn read(nodes: &[NodeHandle], stream: StreamId) -> anyhow::Result<Self> {
        let mut counts = Counts::default();
        for node in nodes {
            let (stats, driver) = node.stats().await?;
            counts.produce_dropped += driver.produce_dropped;
            counts.not_sent += driver.net.dropped.expired + driver.net.dropped.overflowed;
            let of_stream = stats.streams.iter().filter(|of| of.stream == Some(stream));
            for of in of_stream {
                counts.missed += of.chunks_missed;
                counts.duplicate += of.bytes_duplicate;
                counts.repairs += of.repairs_requested;
            }
        }
        Ok(counts)
    }

    /// What somebody lacked.
    fn faults_since(&self, before: &Counts) -> Vec<String> {
        told([
            (
                self.produce_dropped - before.produce_dropped,
                "chunks not taken from the encoder",
            ),
            (self.missed - before.missed, "chunks missed on the way"),
        ])
    }

    /// What cost something and no more: QUIC's own repetitions are no losses, either.
    fn notes_since(&self, before: &Counts) -> Vec<String> {
        told([
            (
                self.not_sent - before.not_sent,
                "chunks not sent by the transport at first",
            ),
            (self.repairs - before.repairs, "chunks asked for again"),
            (
                self.duplicate - before.duplicate,
                "bytes received twice on the way",
            ),
        ])
    }
}

fn told<const N: usize>(counts: [(u64, &str); N]) -> Vec<String> {
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    counts.map(|(count, what)| format!("{count} {what}")).collect()
}

/// Whether it is a chain.
struct Shape {
    faults: Vec<String>,
    notes: Vec<String>,
}

async fn shape(nodes: &[NodeHandle], stream: StreamId) -> anyhow::Result<Shape> {
    let mut shape = Shape {
        faults: Vec::new(),
        notes: Vec::new(),
    };
    let mut arrivals = Vec::new();
    for (n, pair) in nodes.windows(2).enumerate() {
        let [before, node] = pair else { continue };
        let (stats, _) = node.stats().await?;
        let of: Option<&StreamStats> = stats.streams.iter().find(|of| of.stream == Some(stream));
        let parent = of.and_then(|of| of.substreams.first()).and_then(|sub| sub.parent);
        if parent != Some(before.peer()) {
            shape
                .faults
                .push(format!("peer {} is not supplied by the one before it", n + 1));
        }
        let arrival = of.and_then(|of| of.arrival_ms).unwrap_or(f64::NAN);
        arrivals.push(format!("{arrival:.1}"));
    }
    shape.notes.push(format!(
        "arrival lag now, peer by peer: {} ms",
        arrivals.join(", ")
    ));
    Ok(shape)
}
