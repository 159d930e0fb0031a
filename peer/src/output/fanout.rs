//! One stream in, every output's queue out, and what a player that comes late needs.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::{Media, StreamInfo};

use super::MediaItem;
use super::queue::{Feed, Limits, Pushed, Queue, queue};
use crate::media::join::{JoinTracker, next_frame_start};

/// A late player waits for the next random-access point if it is due within this time; otherwise it starts with the
/// latest one. Starting in the past costs lag for as long as the player plays, waiting costs once: half a second of
/// either is the most for streams with a key frame every second.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// The most players at a time on all HTTP outputs: with each one's queue at its limit this is still bounded memory.
const LATE_MAX: usize = 64;

/// The queues of all outputs.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    inner: Mutex<Inner>,
    /// Told when the stream's form becomes known, at its first chunk, and at its end.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    info: Option<StreamInfo>,
    tracker: JoinTracker,
    tables: Bytes,
    points: Points,
    sinks: Vec<Sink>,
    /// There was a chunk.
    begun: bool,
    ended: bool,
}

#[derive(Debug)]
struct Sink {
    name: String,
    feed: Feed,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Player,
    /// A player that came over HTTP.
    Late,
    Recording,
    /// A recording that ends with the frame that is being written.
    Ending,
}

/// When the random-access points came.
#[derive(Debug, Default)]
struct Points {
    last: Option<Instant>,
    interval: Option<Duration>,
}

impl Points {
    fn seen(&mut self, now: Instant) {
        self.interval = self.last.map(|last| now - last);
        self.last = Some(now);
    }

    /// Whether the next one is close enough to wait for.
    fn next_is_near(&self, now: Instant) -> bool {
        let (Some(last), Some(interval)) = (self.last, self.interval) else {
            return false;
        };
        last + interval <= now + WAIT_MAX
    }
}

/// What a player gets that connects while the stream runs: first the pieces, then the queue.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) first: Vec<Bytes>,
    pub(super) queue: Queue,
}

/// Why a player gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are as many players as there may be.
    Full,
    /// The stream is over.
    Ended,
}

impl Fanout {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held has not left a half-made state: nothing in here is updated in two steps.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn add(&self, name: String, feed: Feed, recording: bool) {
        let role = if recording { Role::Recording } else { Role::Player };
        self.lock().sinks.push(Sink { name, feed, role });
    }

    pub(super) fn describe(&self, info: &StreamInfo) {
        self.lock().info = Some(info.clone());
        self.changed.notify_waiters();
    }

    pub(super) fn push(&self, bytes: Bytes, random_access: bool) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.tracker.push(&bytes, random_access);
        if random_access {
            inner.points.seen(Instant::now());
            inner.tables = inner
                .tracker
                .join()
                .map(|joined| joined.header)
                .unwrap_or_default();
        }
        let item = MediaItem {
            bytes,
            random_access,
            tables: inner.tables.clone(),
        };
        let media = inner.info.as_ref().map_or(Media::Opaque, |info| info.media);
        inner.sinks.retain_mut(|sink| sink.push(&item, media));
        if !std::mem::replace(&mut inner.begun, true) {
            self.changed.notify_waiters();
        }
    }

    pub(super) fn gap(&self) {
        let mut inner = self.lock();
        // Boxes and clusters say how long they are: with a hole inside, a player loses its way in them. Transport
        // streams and Ogg are made for it; bytes of unknown form may be.
        let fragile = inner
            .info
            .as_ref()
            .is_some_and(|info| matches!(info.media, Media::FragmentedMp4 | Media::Matroska));
        if fragile {
            inner.sinks.iter_mut().for_each(|sink| sink.feed.interrupt());
        }
    }

    /// A player has come.
    pub(super) fn join(&self, name: String) -> Result<Late, Refused> {
        let mut inner = self.lock();
        if inner.ended {
            return Err(Refused::Ended);
        }
        inner.sinks.retain(|sink| !sink.feed.shared().is_closed());
        if inner.sinks.iter().filter(|sink| sink.role == Role::Late).count() >= LATE_MAX {
            return Err(Refused::Full);
        }
        let (mut feed, queue) = queue(Limits::PLAYER);
        let mut first = Vec::new();
        if !inner.points.next_is_near(Instant::now())
            && let Some(joined) = inner.tracker.join()
        {
            first.extend(joined.into_parts());
            feed.continues();
        }
        inner.sinks.push(Sink {
            name,
            feed,
            role: Role::Late,
        });
        Ok(Late { first, queue })
    }

    /// What the stream is, if that is known.
    pub(super) fn known(&self) -> Option<StreamInfo> {
        self.lock().info.clone()
    }

    /// What the stream is, once there is something of it: a description before the first chunk may be one that the
    /// peercaster gave before it knew its input. `None` when the stream ended before.
    pub(super) async fn info(&self) -> Option<StreamInfo> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change goes unseen in between.
            changed.as_mut().enable();
            {
                let inner = self.lock();
                if (inner.info.is_some() && inner.begun) || inner.ended {
                    return inner.info.clone();
                }
            }
            changed.await;
        }
    }

    pub(super) fn end_recordings(&self) {
        for sink in &mut self.lock().sinks {
            if sink.role == Role::Recording {
                sink.role = Role::Ending;
            }
        }
    }

    pub(super) fn recordings_ended(&self) -> bool {
        !self
            .lock()
            .sinks
            .iter()
            .any(|sink| sink.role == Role::Ending && sink.feed.has_begun())
    }

    /// Every queue ends after what it holds.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        inner.sinks.clear();
        self.changed.notify_waiters();
    }
}

impl Sink {
    /// False when the output has ended.
    fn push(&mut self, item: &MediaItem, media: Media) -> bool {
        if self.role == Role::Ending
            && let Some(end) = frame_boundary(item, media)
        {
            if end > 0 {
                let rest = MediaItem {
                    bytes: item.bytes.slice(..end),
                    ..item.clone()
                };
                self.feed.push(&rest);
            }
            return false;
        }
        match self.feed.push(item) {
            Pushed::Queued | Pushed::Waiting => true,
            Pushed::Skipped { first } => {
                if first && self.feed.shared().skipped() == 1 {
                    tracing::warn!(
                        "{} does not follow; it goes on at a later key frame (counted, said once)",
                        self.name
                    );
                }
                true
            }
            Pushed::Closed => false,
        }
    }
}

/// How much of this piece belongs to what began before it, if that ends in it.
fn frame_boundary(item: &MediaItem, media: Media) -> Option<usize> {
    match media {
        Media::MpegTs => next_frame_start(&item.bytes),
        Media::FragmentedMp4 | Media::Matroska | Media::Ogg => item.random_access.then_some(0),
        Media::Opaque | Media::Unknown => Some(0),
    }
}
