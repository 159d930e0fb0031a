//! The encoder: generates the stream at its rate, on a thread of its own, and never waits for anybody.

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

#[derive(Debug)]
pub(crate) struct Feeder {
    thread: JoinHandle<()>,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Feeder {
    pub(crate) fn start(rate: Bitrate, pattern: std::sync::Arc<Pattern>, mut to: impl Take) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            let mut offset = 0;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let due = rate.bytes_in(began.elapsed());
                while offset + PIECE as u64 <= due {
                    to.piece(offset, pattern.bytes(offset, PIECE));
                    offset += PIECE as u64;
                }
                let woken = to.wake();
                let next = began + rate.time_for(offset + PIECE as u64);
                let wait = next.saturating_duration_since(Instant::now());
                std::thread::sleep(woken.map_or(wait, |woken| woken.min(wait)));
            }
            to.end(offset);
        });
        Feeder { thread, stop }
    }

    /// Ends the stream after the present piece.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        tokio::task::spawn_blocking(|| self.thread.join())
            .await?
            .map_err(|_| anyhow::anyhow!("the feeding thread panicked"))
    }
}
