//! Where a ledger is kept. The core asks for writes and does none itself: the program has a database, the simulator and the
//! tests have memory.

mod memory;

use std::fmt;

pub use memory::MemoryStore;

/// The longest key of a record: a kind, a peer and a number or shift.
pub const MAX_KEY: usize = 1 + 32 + 32;

/// One change of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which record; at most [`MAX_KEY`] bytes.
    pub key: Vec<u8>,
    /// What it is from now on; `None` removes it.
    pub value: Option<Vec<u8>>,
}

impl Write {
    /// Whether it is a step of a shift, which all peers on the way wait for; anything else may reach the disk a second later.
    pub fn is_urgent(&self) -> bool {
        crate::trust::is_of_shift(&self.key)
    }
}

/// Key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Why the ledger could not be read or written, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The disk is full, gone, or not ours. What was asked for is not written.
    Write(String),
    /// It cannot be read.
    Read(String),
    /// A record is damaged. Nothing is guessed: whoever owns the file keeps it aside, and begins an empty one.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Write(what) => write!(f, "the ledger of trust cannot be written: {what}"),
            StoreError::Read(what) => write!(f, "the ledger of trust cannot be read: {what}"),
            StoreError::Corrupt(what) => write!(f, "the ledger of trust is damaged: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Keeps records across crashes.
pub trait Store {
    /// All records, in any order.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Corrupt`].
    fn load(&self) -> Result<Vec<Record>, StoreError>;

    /// Makes these changes, all of them or none. What is said after them may stand on them, so it must not leave before they would
    /// survive a loss of power: either this returns only then, or whoever sends waits for the disk (the program does, because its
    /// node waits for nothing).
    ///
    /// # Errors
    /// [`StoreError::Write`] when they are not made, or earlier ones were not in the end. Then none since are: [`Store::load`] says
    /// what there is.
    fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn load(&self) -> Result<Vec<Record>, StoreError> {
        (**self).load()
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        (**self).apply(writes)
    }
}
