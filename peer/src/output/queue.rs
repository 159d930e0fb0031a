//! The queue in front of an output: what keeps a slow player from being anybody else's problem.
//!
//! What if it is full? The newest chunk is left out, and so is everything after it up to the next random-access point
//! that comes when half of the queue is free again: a player shows a jump, not garbage. What was left out is counted.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::MediaItem;

/// How much an output may have waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Limits {
    /// A player that is eight seconds of 8 ms chunks behind watches something else than a live stream; the bytes
    /// bound high rates.
    pub(super) const PLAYER: Limits = Limits {
        items: 1024,
        bytes: 16 << 20,
    };
    /// Disks pause for seconds while they write back, and a recording must not have holes for that.
    pub(super) const RECORDING: Limits = Limits {
        items: 4096,
        bytes: 64 << 20,
    };
}

/// A piece on its way to an output.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) item: MediaItem,
    /// It begins something new: the first piece of all, or the first one after pieces were left out.
    pub(super) begins: bool,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is in the queue.
    Queued,
    /// The output has not begun: it waits for a random-access point.
    Waiting,
    /// It was left out. `first`: the piece before was not.
    Skipped { first: bool },
    /// Nobody takes from the queue any more.
    Closed,
}

/// What both ends and the interface see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    queued: AtomicUsize,
    skipped: AtomicU64,
    written: AtomicU64,
    closed: AtomicBool,
    /// Why the output ended before its time, if it did.
    failure: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn count_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, why: String) {
        *self
            .failure
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(why);
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was queued yet.
    New,
    /// What comes next continues what went before.
    Flowing,
    /// Something was left out.
    Skipping,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
    }
}

/// The end that is fed; never waits.
#[derive(Debug)]
pub(super) struct Feed {
    tx: mpsc::Sender<Delivery>,
    shared: Arc<Shared>,
    limits: Limits,
    state: State,
}

/// The end the output takes from.
#[derive(Debug)]
pub(super) struct Queue {
    rx: mpsc::Receiver<Delivery>,
    shared: Arc<Shared>,
}

/// A queue of these limits.
pub(super) fn queue(limits: Limits) -> (Feed, Queue) {
    let (tx, rx) = mpsc::channel(limits.items);
    let shared = Arc::<Shared>::default();
    (
        Feed {
            tx,
            shared: shared.clone(),
            limits,
            state: State::New,
        },
        Queue { rx, shared },
    )
}

impl Feed {
    /// Offers a piece.
    pub(super) fn push(&mut self, item: &MediaItem) -> Pushed {
        let begins = self.state != State::Flowing;
        if begins && !item.random_access {
            return self.leave_out();
        }
        let queued = self.shared.queued.load(Ordering::Relaxed);
        // An empty queue takes anything, or a single piece larger than the limit would never pass.
        let bytes_max = if begins {
            self.limits.bytes / 2
        } else {
            self.limits.bytes
        };
        let fits = queued == 0 || queued + item.bytes.len() <= bytes_max;
        let room = !begins || self.tx.capacity() * 2 >= self.limits.items;
        if !fits || !room {
            return self.leave_out();
        }
        match self.tx.try_send(Delivery {
            item: item.clone(),
            begins,
        }) {
            Ok(()) => {
                self.shared.queued.fetch_add(item.bytes.len(), Ordering::Relaxed);
                self.state = State::Flowing;
                Pushed::Queued
            }
            Err(mpsc::error::TrySendError::Full(_)) => self.leave_out(),
            Err(mpsc::error::TrySendError::Closed(_)) => Pushed::Closed,
        }
    }

    /// What comes next does not continue what went before in a way a player could bear: begin again at the next
    /// random-access point.
    pub(super) fn interrupt(&mut self) {
        if self.state == State::Flowing {
            self.state = State::Skipping;
        }
    }

    /// The output was given by other means what it needs to go on with the next piece.
    pub(super) fn continues(&mut self) {
        self.state = State::Flowing;
    }

    /// Whether anything was ever queued.
    pub(super) fn has_begun(&self) -> bool {
        self.state != State::New
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn leave_out(&mut self) -> Pushed {
        if self.tx.is_closed() {
            return Pushed::Closed;
        }
        if self.state == State::New {
            return Pushed::Waiting;
        }
        self.shared.skipped.fetch_add(1, Ordering::Relaxed);
        let first = self.state == State::Flowing;
        self.state = State::Skipping;
        Pushed::Skipped { first }
    }
}

impl Queue {
    /// The next piece; `None` after the last one.
    pub(super) async fn recv(&mut self) -> Option<Delivery> {
        let delivery = self.rx.recv().await?;
        Some(self.taken(delivery))
    }

    /// As [`recv`](Queue::recv), on a thread that may wait.
    pub(super) fn blocking_recv(&mut self) -> Option<Delivery> {
        let delivery = self.rx.blocking_recv()?;
        Some(self.taken(delivery))
    }

    /// The next piece if it is there already.
    pub(super) fn try_recv(&mut self) -> Option<Delivery> {
        let delivery = self.rx.try_recv().ok()?;
        Some(self.taken(delivery))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn taken(&self, delivery: Delivery) -> Delivery {
        self.shared
            .queued
            .fetch_sub(delivery.item.bytes.len(), Ordering::Relaxed);
        delivery
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn item(number: u8, random_access: bool) -> MediaItem {
        MediaItem {
            bytes: Bytes::from(vec![number; 100]),
            random_access,
            tables: Bytes::new(),
        }
    }

    fn drain(queue: &mut Queue) -> Vec<(u8, bool)> {
        std::iter::from_fn(|| queue.try_recv())
            .map(|d| (d.item.bytes[0], d.begins))
            .collect()
    }

    #[test]
    fn it_begins_at_a_random_access_point() {
        let (mut feed, mut queue) = queue(Limits {
            items: 8,
            bytes: 10_000,
        });
        assert_eq!(feed.push(&item(1, false)), Pushed::Waiting);
        assert_eq!(feed.push(&item(2, true)), Pushed::Queued);
        assert_eq!(feed.push(&item(3, false)), Pushed::Queued);
        assert_eq!(drain(&mut queue), [(2, true), (3, false)]);
        assert_eq!(queue.shared().skipped(), 0);
    }

    #[test]
    fn a_full_queue_goes_on_at_a_random_access_point_once_there_is_room() {
        for limits in [
            Limits {
                items: 4,
                bytes: 10_000,
            },
            Limits {
                items: 100,
                bytes: 400,
            },
        ] {
            let (mut feed, mut queue) = queue(limits);
            assert_eq!(feed.push(&item(0, true)), Pushed::Queued);
            for number in 1..4 {
                assert_eq!(feed.push(&item(number, false)), Pushed::Queued);
            }
            assert_eq!(feed.push(&item(4, false)), Pushed::Skipped { first: true });
            assert_eq!(feed.push(&item(5, true)), Pushed::Skipped { first: false });
            assert!(queue.try_recv().is_some());
            assert_eq!(
                feed.push(&item(6, true)),
                Pushed::Skipped { first: false },
                "not half empty yet"
            );
            assert_eq!(drain(&mut queue), [(1, false), (2, false), (3, false)]);
            assert_eq!(feed.push(&item(7, false)), Pushed::Skipped { first: false });
            assert_eq!(feed.push(&item(8, true)), Pushed::Queued);
            assert_eq!(drain(&mut queue), [(8, true)]);
            assert_eq!(queue.shared().skipped(), 4);
        }
    }

    #[test]
    fn a_piece_larger_than_the_limit_passes_through_an_empty_queue() {
        let (mut feed, mut queue) = queue(Limits { items: 4, bytes: 10 });
        assert_eq!(feed.push(&item(1, true)), Pushed::Queued);
        assert_eq!(feed.push(&item(2, true)), Pushed::Skipped { first: true });
        assert_eq!(drain(&mut queue), [(1, true)]);
        assert_eq!(feed.push(&item(3, true)), Pushed::Queued);
    }

    #[test]
    fn a_dead_output_is_noticed() {
        let (mut feed, queue) = queue(Limits::PLAYER);
        drop(queue);
        assert_eq!(feed.push(&item(1, false)), Pushed::Closed);
        assert_eq!(feed.push(&item(1, true)), Pushed::Closed);
        assert!(feed.shared().is_closed());
    }
}
