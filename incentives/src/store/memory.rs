//! A ledger in memory, that can be told to fail.

use std::collections::BTreeMap;

use super::{Record, Store, StoreError, Write};

/// Records in memory: for the simulator, and for tests that stop at any write.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    writes: u64,
    fails_after: Option<u64>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// From now on only so many more writes are made; the ones after that fail, as on a full disk. `None`: all are made.
    pub fn fail_after(&mut self, writes: Option<u64>) {
        self.fails_after = writes.map(|more| self.writes + more);
    }

    /// How many writes there were.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// The records, for tests that damage them.
    pub fn records_mut(&mut self) -> &mut BTreeMap<Vec<u8>, Vec<u8>> {
        &mut self.records
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Vec<Record>, StoreError> {
        Ok(self.records.clone().into_iter().collect())
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        if self.fails_after.is_some_and(|last| self.writes >= last) {
            return Err(StoreError::Write("no room is left".to_owned()));
        }
        self.writes += 1;
        for write in writes {
            match &write.value {
                Some(value) => self.records.insert(write.key.clone(), value.clone()),
                None => self.records.remove(&write.key),
            };
        }
        Ok(())
    }
}
