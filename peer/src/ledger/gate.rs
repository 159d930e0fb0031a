//! Holds back what stands on changes of the ledger until the disk has them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use incentives::store::StoreError;
use wire::PeerId;

use super::writer::{Shared, Ticket};

/// Frames that wait for the disk: some seconds of a busy node. What is beyond is dropped, as if lost: it is said again.
const MAX_WAITING: usize = 4096;

/// How long the end of a run waits for the disk.
const END_WAIT: Duration = Duration::from_secs(2);

/// One for each node with a ledger on disk; owns the thread that writes it.
#[derive(Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
    /// With what has to be on the disk before.
    waiting: VecDeque<(Ticket, PeerId, Bytes)>,
    /// Whether the node was told that the disk failed.
    told: bool,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    pub(super) fn new(shared: Arc<Shared>, thread: JoinHandle<()>) -> Self {
        Gate {
            shared,
            waiting: VecDeque::new(),
            told: false,
            thread: Some(thread),
        }
    }

    /// Takes a frame about trust that the node has just made. It comes back from [`Gate::ready`].
    pub(crate) fn hold(&mut self, to: PeerId, frame: Bytes) {
        if self.waiting.len() < MAX_WAITING
            && let Some(ticket) = self.shared.ticket()
        {
            self.waiting.push_back((ticket, to, frame));
        }
    }

    /// The next frame that may go now.
    pub(crate) fn ready(&mut self) -> Option<(PeerId, Bytes)> {
        while let Some((needs, ..)) = self.waiting.front() {
            let written = self.shared.written();
            if needs.failures == written.failures && needs.batches > written.batches {
                return None;
            }
            let stands = needs.failures == written.failures;
            let (_, to, frame) = self.waiting.pop_front()?;
            if stands {
                return Some((to, frame));
            }
            // It stood on something that was never written.
        }
        None
    }

    /// Why the disk failed, once for each time: the node has to be told.
    pub(crate) fn failure(&mut self) -> Option<StoreError> {
        let failed = self.shared.failed();
        let new = failed.is_some() && !self.told;
        self.told = failed.is_some();
        failed.filter(|_| new)
    }

    /// Returns when the disk is further than it was.
    pub(crate) async fn moved(&self) {
        self.shared.changed.notified().await;
    }

    /// Waits until all is written, as far as the disk answers.
    pub(crate) async fn settle(&self) {
        self.shared.hurry();
        let idle = async {
            while !self.shared.is_idle() {
                self.shared.changed.notified().await;
            }
        };
        // What is not written by then is as after a crash: others know it.
        let _ = tokio::time::timeout(END_WAIT, idle).await;
    }

    /// Ends the thread, once the node with its store is gone, and closes the file.
    pub(crate) async fn end(mut self) {
        if let Some(thread) = self.thread.take() {
            let ended = tokio::task::spawn_blocking(move || thread.join());
            let _ = tokio::time::timeout(END_WAIT, ended).await;
        }
    }
}
