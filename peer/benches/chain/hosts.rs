//! What the peers run on: each on a runtime of one thread, as the program gives every viewer, or all on one of several
//! threads.

use std::future::Future;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

#[derive(Debug)]
pub(crate) struct Hosts {
    handles: Vec<Handle>,
    /// Ends the threads when dropped.
    _end: DropGuard,
}

impl Hosts {
    /// For so many peers; `shared`: all on the runtime that this is called on.
    pub(crate) fn start(peers: usize, shared: bool) -> anyhow::Result<Self> {
        let end = CancellationToken::new();
        let mut handles = Vec::new();
        for _ in 0..peers {
            if shared {
                handles.push(Handle::current());
                continue;
            }
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let ended = end.clone();
            std::thread::spawn(move || runtime.block_on(ended.cancelled()));
        }
        Ok(Hosts {
            handles,
            _end: end.drop_guard(),
        })
    }

    /// Runs a task of peer `n`.
    pub(crate) fn spawn<F>(&self, n: usize, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handles[n].spawn(task)
    }
}
