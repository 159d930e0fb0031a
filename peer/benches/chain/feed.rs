//! The encoder: generates the stream at its rate, on a thread of its own, and never waits for anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wire::Bitrate;

use crate::pattern::Pattern;

/// Bytes generated at a time: what a pipe holds on Linux.
pub(crate) const PIECE: usize = 64 * 1024;

/// What takes the stream.
pub(crate) trait Take: Send + 'static {
    /// The next piece, which begins at `offset`.
    fn piece(&mut self, offset: u64, bytes: Vec<u8>);

    /// Called between pieces; says when it wants to be called next.
    fn wake(&mut self) -> Option<Duration> {
        None
    }

    /// The stream ends here.
    fn end(&mut self, offset: u64);
}

/// Part of the rate at which the stream begins, while the chain is put together.
const GENTLY: f64 = 0.25;

#[derive(Debug)]
pub(crate) struct Feeder {
    thread: JoinHandle<()>,
    fully: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Feeder {
    pub(crate) fn start(rate: Bitrate, pattern: Arc<Pattern>, mut to: impl Take) -> Self {
        let fully = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(AtomicBool::new(false));
        let (full, stopped) = (fully.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut pace = rate.scaled(GENTLY);
            let (mut began, mut from) = (Instant::now(), 0);
            let mut offset = 0;
            while !stopped.load(Ordering::Relaxed) {
                if pace != rate && full.load(Ordering::Relaxed) {
                    (pace, began, from) = (rate, Instant::now(), offset);
                }
                let due = from + pace.bytes_in(began.elapsed());
                while offset + PIECE as u64 <= due {
                    to.piece(offset, pattern.bytes(offset, PIECE));
                    offset += PIECE as u64;
                }
                let woken = to.wake();
                let next = began + pace.time_for(offset - from + PIECE as u64);
                let wait = next.saturating_duration_since(Instant::now());
                std::thread::sleep(woken.map_or(wait, |woken| woken.min(wait)));
            }
            to.end(offset);
        });
        Feeder { thread, fully, stop }
    }

    /// From now on at the full rate.
    pub(crate) fn go_fully(&self) {
        self.fully.store(true, Ordering::Relaxed);
    }

    /// Ends the stream after the present piece.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(|| self.thread.join())
            .await?
            .map_err(|_| anyhow::anyhow!("the feeding thread panicked"))
    }
}
