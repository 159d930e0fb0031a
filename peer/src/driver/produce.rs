//! The way from an encoder into the node: bounded, and it never makes the encoder wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarm::NewChunk;
use tokio::sync::Notify;
use tokio::time::Instant;
use wire::{MAX_GROUP, StreamId};

/// Most chunks waiting for the node. It takes them as they come, so this many wait only when the machine itself stands
/// still; at 8 ms a chunk they are four seconds.
const MAX_WAITING: usize = 512;

/// Chunks that follow each other more closely than this wait so long for company, to be signed together: at 1 Gbit/s four of
/// the largest come in this time. Those of a slower stream do not wait, and no chunk takes longer to fill than 8 ms.
const TOGETHER: Duration = Duration::from_millis(2);

/// Chunks on their way to the node. What if it is full? The oldest is dropped and counted, and the chunk after it is
/// marked as a discontinuity, because the media does not continue there.
#[derive(Debug, Default)]
pub(super) struct ProduceQueue {
    state: Mutex<State>,
    /// Wakes the driver.
    pub(super) filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(StreamId, NewChunk)>,
    /// When the waiting chunks are to be taken, if there are any.
    due: Option<Instant>,
    dropped: u64,
}

impl ProduceQueue {
    pub(super) fn push(&self, stream: StreamId, chunk: NewChunk) {
        let now = Instant::now();
        let news = {
            let mut state = self.lock();
            let before = state.due;
            let patience = if chunk.duration < TOGETHER {
                TOGETHER
            } else {
                Duration::ZERO
            };
            let mut due = before.map_or(now + patience, |before| before.min(now + patience));
            state.waiting.push_back((stream, chunk));
            if state.waiting.len() > MAX_WAITING
                && let Some((gone, _)) = state.waiting.pop_front()
            {
                state.dropped += 1;
                if let Some((_, next)) = state.waiting.iter_mut().find(|(of, _)| *of == gone) {
                    next.discontinuity = true;
                }
            }
            if state.waiting.len() >= MAX_GROUP {
                due = due.min(now);
            }
            state.due = Some(due);
            before != Some(due)
        };
        if news {
            self.filled.notify_one();
        }
    }

    /// When there will be something to take.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lock().due
    }

    /// Everything, if its time has come.
    pub(super) fn take_due(&self, now: Instant) -> VecDeque<(StreamId, NewChunk)> {
        let mut state = self.lock();
        if state.due.is_some_and(|due| due <= now) {
            state.take_all()
        } else {
            VecDeque::new()
        }
    }

    /// Everything.
    pub(super) fn take_all(&self) -> VecDeque<(StreamId, NewChunk)> {
        self.lock().take_all()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock leaves the queue half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_all(&mut self) -> VecDeque<(StreamId, NewChunk)> {
        self.due = None;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::Time;

    use super::*;

    fn chunk_of(n: u64, duration: Duration) -> NewChunk {
        NewChunk {
            payload: Bytes::new(),
            generated_at: Time::from_micros(n),
            duration,
            random_access: false,
            discontinuity: false,
        }
    }

    #[test]
    fn only_chunks_that_come_fast_wait_for_each_other() {
        let queue = ProduceQueue::default();
        let stream = StreamId::from_bytes([1; 32]);
        assert_eq!(queue.due(), None);
        queue.push(stream, chunk_of(0, TOGETHER));
        assert_eq!(queue.take_due(Instant::now()).len(), 1, "a slow stream's");

        let fast = TOGETHER / 4;
        queue.push(stream, chunk_of(1, fast));
        let due = queue.due().unwrap();
        queue.push(stream, chunk_of(2, fast));
        assert_eq!(queue.due(), Some(due), "the first one's time counts");
        assert!(queue.take_due(due - TOGETHER / 2).is_empty());
        assert_eq!(queue.take_due(due).len(), 2);
        assert_eq!(queue.due(), None);

        for n in 0..MAX_GROUP as u64 {
            queue.push(stream, chunk_of(n, Duration::ZERO));
        }
        assert_eq!(queue.take_due(Instant::now()).len(), MAX_GROUP, "a full group");
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_marks_the_hole() {
        let queue = ProduceQueue::default();
        let (a, b) = (StreamId::from_bytes([1; 32]), StreamId::from_bytes([2; 32]));
        let chunk = |n| chunk_of(n, Duration::from_millis(8));
        queue.push(a, chunk(0));
        queue.push(b, chunk(1));
        for n in 2..=MAX_WAITING as u64 {
            queue.push(a, chunk(n));
        }
        assert_eq!(queue.dropped(), 1);
        let waiting = queue.take_all();
        assert_eq!(waiting.len(), MAX_WAITING);
        let marked: Vec<_> = waiting.iter().filter(|(_, c)| c.discontinuity).collect();
        assert_eq!(marked.len(), 1);
        assert_eq!((marked[0].0, marked[0].1.generated_at), (a, Time::from_micros(2)));
    }
}
