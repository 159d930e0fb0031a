//! A thread that writes the ledger, so that the node does not wait for the disk.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use incentives::store::{Record, Store, StoreError, Write};
use tokio::sync::Notify;

use super::{Gate, LedgerFile};

/// Batches that wait for the disk. The node makes one or two a second; if so many wait the disk hangs, and no more are taken.
const MAX_WAITING: usize = 256;

/// From one change of the file to the next, unless something urgent is among what waits: each makes the disk write several pages and
/// wait for them, and twelve neighbours make two or three batches a second. Receipts are a second apart anyway.
const GATHERED_FOR: Duration = Duration::from_secs(1);

/// While batches are gathered, the end of a run is noticed within this time.
const LOOKS_UP: Duration = Duration::from_millis(100);

/// How far the disk is.
#[derive(Debug, Default)]
struct Progress {
    /// Batches taken from the node.
    taken: u64,
    /// Those of them that are on the disk, or were dropped after one that failed.
    done: u64,
    /// Since one failed none is written, until the node has read what there is.
    failed: Option<StoreError>,
    /// How often that happened.
    failures: u64,
    /// Somebody waits for what there is.
    hurries: bool,
}

/// A point in the ledger's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// So many batches.
    pub(super) batches: u64,
    /// And none of them came to nothing since.
    pub(super) failures: u64,
}

/// What the store, the thread and the gate share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    progress: Mutex<Progress>,
    moved: Condvar,
    /// For the driver, which does not block.
    pub(super) changed: Notify,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has to be written before something that is said now may leave; `None` while what was said stands on nothing.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        let progress = self.progress();
        progress.failed.is_none().then_some(Ticket {
            batches: progress.taken,
            failures: progress.failures,
        })
    }

    /// How far the disk is.
    pub(super) fn written(&self) -> Ticket {
        let progress = self.progress();
        Ticket {
            batches: progress.done,
            failures: progress.failures,
        }
    }

    /// Why nothing is written at present, if that is so.
    pub(super) fn failed(&self) -> Option<StoreError> {
        self.progress().failed.clone()
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        let progress = self.progress();
        progress.taken == progress.done
    }

    /// Has what waits written at once.
    pub(super) fn hurry(&self) {
        self.progress().hurries = true;
    }

    fn did(&self, batches: u64, result: Result<(), StoreError>) {
        let mut progress = self.progress();
        progress.done += batches;
        progress.hurries = false;
        if let Err(error) = result {
            progress.failures += u64::from(progress.failed.is_none());
            progress.failed.get_or_insert(error);
        }
        drop(progress);
        self.moved.notify_all();
        self.changed.notify_one();
    }
}

/// The node's side. The thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct WrittenBehind {
    shared: Arc<Shared>,
    file: Arc<Mutex<LedgerFile>>,
    batches: SyncSender<Vec<Write>>,
}

/// Starts the thread.
pub(super) fn start(file: LedgerFile) -> io::Result<(WrittenBehind, Gate)> {
    let shared = Arc::new(Shared::default());
    let file = Arc::new(Mutex::new(file));
    let (batches, queue) = sync_channel(MAX_WAITING);
    let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn({
        let (shared, file) = (Arc::clone(&shared), Arc::clone(&file));
        move || run(&shared, &file, &queue)
    })?;
    let gate = Gate::new(Arc::clone(&shared), thread);
    Ok((
        WrittenBehind {
            shared,
            file,
            batches,
        },
        gate,
    ))
}

fn run(shared: &Shared, file: &Mutex<LedgerFile>, queue: &Receiver<Vec<Write>>) {
    let mut written: Option<Instant> = None;
    while let Ok(mut writes) = queue.recv() {
        // All that waits becomes one change: the disk takes as long for it as for one of them.
        let mut batches = 1;
        let due = written.map(|at| at + GATHERED_FOR);
        loop {
            let hurries = shared.progress().hurries || writes.iter().any(Write::is_urgent);
            let left = due
                .filter(|_| !hurries)
                .map(|due| due.saturating_duration_since(Instant::now()));
            let wait = left.unwrap_or_default();
            match queue.recv_timeout(wait.min(LOOKS_UP)) {
                Ok(more) => {
                    writes.extend(more);
                    batches += 1;
                }
                Err(RecvTimeoutError::Timeout) if !wait.is_zero() => {}
                Err(_) => break,
            }
        }
        let result = match shared.failed() {
            None => lock(file).apply(&writes),
            // It stands on what was not written.
            Some(error) => Err(error),
        };
        written = Some(Instant::now());
        shared.did(batches, result);
    }
}

fn lock(file: &Mutex<LedgerFile>) -> MutexGuard<'_, LedgerFile> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for WrittenBehind {
    /// Waits until nothing is being written. Done at the start, and after something failed.
    fn load(&self) -> Result<Vec<Record>, StoreError> {
        let mut progress = self.shared.progress();
        progress.hurries = progress.done < progress.taken;
        while progress.done < progress.taken {
            progress = self
                .shared
                .moved
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(progress);
        let records = lock(&self.file).load()?;
        self.shared.progress().failed = None;
        Ok(records)
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let mut progress = self.shared.progress();
        if let Some(error) = &progress.failed {
            return Err(error.clone());
        }
        match self.batches.try_send(writes.to_vec()) {
            Ok(()) => {
                progress.taken += 1;
                Ok(())
            }
            Err(TrySendError::Full(_)) => Err(StoreError::Write("the disk does not answer".to_owned())),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Write("its thread has ended".to_owned())),
        }
    }
}
