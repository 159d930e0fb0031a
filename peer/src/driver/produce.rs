//! The way from an encoder into the node: bounded, and it never makes the encoder wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use swarm::NewChunk;
use tokio::sync::Notify;
use wire::StreamId;

/// Most chunks waiting for the node. It takes them as they come, so this many wait only when the machine itself stands
/// still; at 8 ms a chunk they are four seconds.
const MAX_WAITING: usize = 512;

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
    dropped: u64,
}

impl ProduceQueue {
    pub(super) fn push(&self, stream: StreamId, chunk: NewChunk) {
        {
            let mut state = self.lock();
            state.waiting.push_back((stream, chunk));
            if state.waiting.len() > MAX_WAITING
                && let Some((gone, _)) = state.waiting.pop_front()
            {
                state.dropped += 1;
                if let Some((_, next)) = state.waiting.iter_mut().find(|(of, _)| *of == gone) {
                    next.discontinuity = true;
                }
            }
        }
        self.filled.notify_one();
    }

    pub(super) fn take_all(&self) -> VecDeque<(StreamId, NewChunk)> {
        std::mem::take(&mut self.lock().waiting)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock leaves the queue half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use wire::Time;

    use super::*;

    #[test]
    fn a_full_queue_drops_the_oldest_and_marks_the_hole() {
        let queue = ProduceQueue::default();
        let (a, b) = (StreamId::from_bytes([1; 32]), StreamId::from_bytes([2; 32]));
        let chunk = |n: u64| NewChunk {
            payload: Bytes::new(),
            generated_at: Time::from_micros(n),
            duration: Duration::from_millis(8),
            random_access: false,
            discontinuity: false,
        };
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
