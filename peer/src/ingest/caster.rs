//! From pieces of input to produced chunks.

use std::collections::VecDeque;
use std::time::Duration;

use swarm::NewChunk;
use tokio::time::Instant;
use wire::{Bitrate, Media, SecretKey, Seq, StreamId, StreamInfo, Time};

use super::rate::RateMeter;
use super::{Ingest, Piece};
use crate::crypt::{self, ContentKey, Sealer};
use crate::driver::{NodeEnded, NodeHandle, StreamEvents};
use crate::error::Failure;
use crate::media::{Container, Notice, Segment, Segmenter, SegmenterConfig};

/// What viewers are told of the rate before it is measured: between small and large standard-definition video.
const RATE_ASSUMED: Bitrate = Bitrate::from_kbps(4000);

/// A segment may have so much more than its share of the rate, so that an even flow is cut by time only.
const UNEVEN: f64 = 1.5;

/// Segments are not cut smaller than this, whatever the rate: two of the least that is worth a signature and a header.
const SEGMENT_MIN: usize = 2400;

/// What the user decides about a stream.
#[derive(Clone, Debug)]
pub struct CastOptions {
    /// A title for people; empty for none.
    pub title: String,
    /// Nominal length of a chunk.
    pub chunk: Duration,
    /// K, the number of substreams: 1 to 64.
    pub substreams: u8,
    /// The rate if it is known beforehand.
    pub rate: Option<Bitrate>,
    /// Whether payloads are encrypted.
    pub private: bool,
}

impl Default for CastOptions {
    fn default() -> Self {
        CastOptions {
            title: String::new(),
            // Every hop stores a chunk before it forwards it: longer chunks are lag, shorter ones are overhead.
            chunk: Duration::from_millis(8),
            substreams: 16,
            rate: None,
            private: false,
        }
    }
}

/// How an input ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastEnd {
    /// It ended after this many bytes.
    Finished {
        /// Bytes read.
        bytes: u64,
    },
    /// There was nothing in it.
    Empty,
}

/// Publishes a stream and feeds it.
#[derive(Debug)]
pub struct Caster {
    node: NodeHandle,
    stream: StreamId,
    segmenter: Segmenter,
    /// Read, not cut yet.
    waiting: VecDeque<Piece>,
    segments: Vec<Segment>,
    sealer: Option<Sealer>,
    content_key: Option<ContentKey>,
    info: StreamInfo,
    rate_given: Option<Bitrate>,
    payload_max: usize,
    meter: RateMeter,
    bytes: u64,
}

impl Caster {
    /// Publishes the stream of `key` at `node`. The events are those of the stream.
    ///
    /// # Errors
    /// [`NodeEnded`] when there is no node any more.
    pub async fn publish(
        node: NodeHandle,
        key: &SecretKey,
        options: &CastOptions,
    ) -> Result<(Self, StreamEvents), NodeEnded> {
        let stream = key.stream_id();
        let content_key = options.private.then(|| crypt::content_key(key));
        let now = node.clock().now();
        let info = StreamInfo {
            session: Seq(now.as_micros()),
            revision: 0,
            started_at: now,
            substreams: options.substreams,
            chunk_duration_us: u32::try_from(options.chunk.as_micros()).unwrap_or(u32::MAX),
            rate: options.rate.unwrap_or(RATE_ASSUMED),
            media: Media::Opaque,
            title: options.title.clone(),
            private: options.private,
        };
        let events = node.publish(key.clone(), info.clone()).await?;
        let payload_max = if options.private {
            crypt::MAX_PLAIN
        } else {
            wire::MAX_PAYLOAD
        };
        let defaults = SegmenterConfig::default();
        let caster = Caster {
            node,
            stream,
            segmenter: Segmenter::new(SegmenterConfig {
                duration: options.chunk,
                patience: options.chunk * 4,
                max_bytes: payload_max,
                ..defaults
            }),
            waiting: VecDeque::new(),
            segments: Vec::new(),
            sealer: content_key.as_ref().map(|key| Sealer::new(stream, key)),
            content_key,
            info,
            rate_given: options.rate,
            payload_max,
            meter: RateMeter::new(),
            bytes: 0,
        };
        Ok((caster, events))
    }

    /// The stream.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// What a viewer needs to decrypt it, if it is private.
    pub fn content_key(&self) -> Option<ContentKey> {
        self.content_key
    }

    /// Feeds the stream from `input` until that ends. Can be dropped at any time; then nothing is lost but what was just
    /// read.
    ///
    /// # Errors
    /// [`Failure::Running`] when reading fails in the middle or the node has ended.
    pub async fn feed(&mut self, input: &mut Ingest) -> Result<CastEnd, Failure> {
        loop {
            let clock = self.node.clock();
            let deadline = self.segmenter.next_deadline().and_then(|at| clock.instant_of(at));
            tokio::select! {
                // Deadlines first: an input that never pauses must not delay a chunk that is due.
                biased;
                () = sleep_until(deadline) => {
                    self.segmenter.handle_deadline(clock.now(), &mut self.segments);
                }
                more = input.recv(&mut self.waiting) => match more {
                    Ok(true) => self.take().await?,
                    Ok(false) => break,
                    Err(failure) => {
                        self.finish().await?;
                        return Err(failure);
                    }
                },
            }
            self.produce().await?;
        }
        self.finish().await
    }

    /// Cuts what was read.
    async fn take(&mut self) -> Result<(), Failure> {
        while let Some(Piece { bytes, read_at }) = self.waiting.pop_front() {
            self.bytes += bytes.len() as u64;
            if let Some(rate) = self.meter.count(read_at, bytes.len()) {
                self.info.rate = rate;
                describe(&self.node, self.stream, &self.info).await?;
            }
            self.segmenter.set_max_bytes(self.segment_max(read_at));
            self.segmenter.push_bytes(read_at, bytes, &mut self.segments);
        }
        Ok(())
    }

    /// The most bytes for a segment. An encoder's bursts (a key frame, a full buffer) become as many chunks as their time
    /// is worth: substreams then carry equal shares, and no hop waits for all of a burst before it passes it on.
    fn segment_max(&self, now: Time) -> usize {
        let assumed = self.rate_given.unwrap_or(RATE_ASSUMED);
        let share = self
            .meter
            .expected(now, assumed)
            .scaled(UNEVEN)
            .bytes_in(self.info.chunk_duration());
        usize::try_from(share)
            .unwrap_or(usize::MAX)
            .clamp(SEGMENT_MIN, self.payload_max)
    }

    /// Hands over the segments that are ready and tells what there is to tell.
    async fn produce(&mut self) -> Result<(), Failure> {
        let media = media_of(self.segmenter.container());
        if !self.segments.is_empty() && media != self.info.media {
            self.info.media = media;
            describe(&self.node, self.stream, &self.info).await?;
        }
        for segment in self.segments.drain(..) {
            let payload = match &mut self.sealer {
                Some(sealer) => sealer.seal(&segment.payload),
                None => segment.payload,
            };
            let chunk = NewChunk {
                payload,
                generated_at: segment.generated_at,
                duration: segment.duration,
                random_access: segment.random_access,
                discontinuity: segment.discontinuity,
            };
            self.node.produce(self.stream, chunk);
        }
        for notice in self.segmenter.drain_notices() {
            match notice {
                Notice::OpaqueInput | Notice::EncoderResumed { .. } => tracing::info!("{notice}"),
                _ => tracing::warn!("{notice}"),
            }
        }
        Ok(())
    }

    /// Hands over what is still held: at the end of the input, or when the user ends it.
    ///
    /// # Errors
    /// [`Failure::Running`] when the node has ended.
    pub async fn finish(&mut self) -> Result<CastEnd, Failure> {
        if self.bytes == 0 {
            return Ok(CastEnd::Empty);
        }
        self.segmenter.finish(self.node.clock().now(), &mut self.segments);
        self.produce().await?;
        let errors = self.segmenter.continuity_errors();
        if errors > 0 {
            tracing::warn!("{errors} packets of the input were lost before they got here");
        }
        Ok(CastEnd::Finished { bytes: self.bytes })
    }
}

async fn describe(node: &NodeHandle, stream: StreamId, info: &StreamInfo) -> Result<(), Failure> {
    node.describe(stream, info.clone()).await.map_err(|NodeEnded| {
        Failure::running("the node ended while it was casting; the log says why, start it again")
    })
}

fn media_of(container: Container) -> Media {
    match container {
        Container::MpegTs => Media::MpegTs,
        Container::FragmentedMp4 => Media::FragmentedMp4,
        Container::Matroska => Media::Matroska,
        Container::Ogg => Media::Ogg,
        Container::Opaque => Media::Opaque,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
