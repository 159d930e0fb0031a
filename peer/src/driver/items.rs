//! What a stream gives to those who take part in it, through a queue that never makes the node wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use swarm::Event;
use tokio::sync::Notify;
use wire::{Chunk, Seq};

use super::Lags;

/// Most items waiting: eight seconds of the default stream. A consumer that far behind has stopped.
const MAX_ITEMS: usize = 1024;

/// Most media waiting, in bytes: a second at 200 Mbit/s.
const MAX_BYTES: usize = 24 * 1024 * 1024;

/// The next thing to happen in a stream's playout.
#[derive(Clone, Debug)]
pub enum StreamItem {
    /// A chunk to be played now; chunks come in order.
    Chunk {
        /// The chunk.
        chunk: Arc<Chunk>,
        /// Playout lag in microseconds on the peercaster's clock.
        lag_us: i64,
        /// Whether its time had come and not passed.
        in_time: bool,
    },
    /// Chunks that will not come in time were given up.
    Gap {
        /// The first missing one.
        from: Seq,
        /// The first that is there again.
        to: Seq,
    },
    /// A milestone.
    Event(Event),
}

/// The receiving end. What if it is full? The oldest chunks are dropped and counted in [`StreamEvents::dropped`]; the
/// node never waits for a consumer. Dropping the receiver stops the queueing, it does not leave the stream.
#[derive(Debug)]
pub struct StreamEvents {
    queue: Arc<ItemQueue>,
    arrivals: Lags,
}

impl StreamEvents {
    /// The next item; `None` once the stream was left or the node has ended, and everything before was taken.
    pub async fn recv(&mut self) -> Option<StreamItem> {
        loop {
            let changed = self.queue.changed.notified();
            {
                let mut state = self.queue.lock();
                if let Some(item) = state.pop() {
                    return Some(item);
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// The next item if one is there.
    pub fn try_recv(&mut self) -> Option<StreamItem> {
        self.queue.lock().pop()
    }

    /// Chunks dropped so far because they were not taken in time.
    pub fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }

    /// Arrival lags of all chunks so far, whether played or not.
    pub fn arrivals(&self) -> Lags {
        self.arrivals.clone()
    }
}

/// The sending end, which the driver holds. Ends the stream of items when dropped.
#[derive(Debug)]
pub(super) struct ItemSender {
    queue: Weak<ItemQueue>,
    arrivals: Lags,
}

impl ItemSender {
    pub(super) fn send(&self, item: StreamItem) {
        let Some(queue) = self.queue.upgrade() else {
            return;
        };
        queue.lock().push(item);
        queue.changed.notify_one();
    }

    pub(super) fn arrived(&self, lag_us: Option<i64>) {
        if let Some(lag_us) = lag_us {
            self.arrivals.record(lag_us);
        }
    }
}

impl Drop for ItemSender {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.upgrade() {
            queue.lock().closed = true;
            queue.changed.notify_one();
        }
    }
}

pub(super) fn channel() -> (ItemSender, StreamEvents) {
    let queue = Arc::new(ItemQueue::default());
    let arrivals = Lags::new();
    let sender = ItemSender {
        queue: Arc::downgrade(&queue),
        arrivals: arrivals.clone(),
    };
    (sender, StreamEvents { queue, arrivals })
}

#[derive(Debug, Default)]
struct ItemQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<StreamItem>,
    bytes: usize,
    dropped: u64,
    closed: bool,
}

impl ItemQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock leaves the queue half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, item: StreamItem) {
        self.bytes += bytes_of(&item);
        self.items.push_back(item);
        while self.items.len() > MAX_ITEMS || self.bytes > MAX_BYTES {
            // Milestones are few and tell the story (the description, the end); media goes first.
            let at = self
                .items
                .iter()
                .position(|item| !matches!(item, StreamItem::Event(_)))
                .unwrap_or(0);
            let Some(item) = self.items.remove(at) else {
                return;
            };
            self.bytes -= bytes_of(&item);
            self.dropped += u64::from(matches!(item, StreamItem::Chunk { .. }));
        }
    }

    fn pop(&mut self) -> Option<StreamItem> {
        let item = self.items.pop_front()?;
        self.bytes -= bytes_of(&item);
        Some(item)
    }
}

fn bytes_of(item: &StreamItem) -> usize {
    match item {
        StreamItem::Chunk { chunk, .. } => chunk.frame_len(),
        StreamItem::Gap { .. } | StreamItem::Event(_) => 0,
    }
}

#[cfg(test)]
mod tests;
