//! A peer's ledger, which outlives its node as a file outlives a program.

use std::sync::{Arc, Mutex, PoisonError};

use incentives::store::{MemoryStore, Record, Store, StoreError, Write};

/// Records that all who have a copy of this share.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Arc<Mutex<MemoryStore>>);

impl Store for Kept {
    fn load(&self) -> Result<Vec<Record>, StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).load()
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .apply(writes)
    }
}
