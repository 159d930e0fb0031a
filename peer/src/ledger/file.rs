//! The database file.

use std::fs::{File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use incentives::store::{Record, StoreError, Write};
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend,
    StorageError, TableDefinition,
};
use wire::PeerId;

use crate::error::plain_io;

/// The ledger's records, as the core keys them.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// What the file is: its form, and whose it is.
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
const FORM: &[u8] = b"headwater trust 1";

/// Memory for pages of the file: a ledger has some hundred kilobytes, and is read once.
const CACHE: usize = 256 << 10;

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system says no.
    #[error("{}", plain_io(.0))]
    Io(#[from] io::Error),
    /// Another process has it open for writing.
    #[error("another running headwater uses it")]
    InUse,
    /// It was not closed properly, and whoever only reads must not repair the file.
    #[error("it was not closed properly")]
    NeedsRepair,
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::InUse,
            DatabaseError::RepairAborted => OpenError::NeedsRepair,
            DatabaseError::Storage(error) => error.into(),
            other => OpenError::Other(other.to_string()),
        }
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                OpenError::Damaged(plain_io(&error))
            }
            // A file that is cut off.
            StorageError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                OpenError::Damaged("it is cut off".to_owned())
            }
            StorageError::Io(error) => OpenError::Io(error),
            StorageError::Corrupted(what) => OpenError::Damaged(what),
            other => OpenError::Other(other.to_string()),
        }
    }
}

/// Any other error of the database.
fn other(error: impl Into<redb::Error>) -> OpenError {
    match error.into() {
        redb::Error::Corrupted(what) => OpenError::Damaged(what),
        redb::Error::Io(error) => StorageError::Io(error).into(),
        redb::Error::TableTypeMismatch { .. } => OpenError::Damaged("it has other tables".to_owned()),
        error => OpenError::Other(error.to_string()),
    }
}

/// Opens the database, and does so again after each error.
type Opener = Box<dyn Fn() -> Result<Database, OpenError> + Send>;

/// The file, open for writing.
pub struct LedgerFile {
    opener: Opener,
    peer: PeerId,
    /// `None` after an error: the database wants to be opened anew then.
    db: Option<Database>,
}

impl LedgerFile {
    /// Opens the ledger of `peer`, making it when absent, for its owner only.
    ///
    /// # Errors
    /// An [`OpenError`].
    pub fn open(path: &Path, peer: PeerId) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let opener = move || create(FileBackend::new(open_file(&path)?)?);
        LedgerFile::with_opener(Box::new(opener), peer)
    }

    pub(super) fn with_opener(opener: Opener, peer: PeerId) -> Result<Self, OpenError> {
        let mut file = LedgerFile {
            opener,
            peer,
            db: None,
        };
        file.db()?;
        Ok(file)
    }

    /// The database, opened anew if need be.
    fn db(&mut self) -> Result<&Database, OpenError> {
        let db = match self.db.take() {
            Some(db) => db,
            None => {
                let (opener, peer) = (&self.opener, self.peer);
                undamaged(|| claim(opener()?, peer))?
            }
        };
        Ok(self.db.insert(db))
    }

    /// All records.
    pub(super) fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let read = self.db().and_then(|db| undamaged(|| records_of(db)));
        read.map_err(|error| {
            self.db = None;
            match error {
                OpenError::Damaged(what) => StoreError::Corrupt(what),
                error => StoreError::Read(error.to_string()),
            }
        })
    }

    /// Makes these changes; returns when they would survive a loss of power.
    pub(super) fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let written = self.db().and_then(|db| undamaged(|| write(db, writes)));
        written.map_err(|error| {
            self.db = None;
            StoreError::Write(error.to_string())
        })
    }

    /// Reads the ledger at `path` without changing it, also while a node writes it, and after one that was killed. Whose it is, and
    /// its records.
    ///
    /// # Errors
    /// An [`OpenError`].
    pub fn read(path: &Path) -> Result<(PeerId, Vec<Record>), OpenError> {
        fn all(db: &impl ReadableDatabase) -> Result<(PeerId, Vec<Record>), OpenError> {
            Ok((owner_of(db)?, records_of(db)?))
        }
        undamaged(|| match builder().open_read_only(path).map_err(OpenError::from) {
            Ok(db) => all(&db),
            Err(OpenError::NeedsRepair) => all(&repaired(copy_of(path)?)?),
            Err(error) => Err(error),
        })
    }
}

/// The file in memory, to be repaired there.
fn copy_of(path: &Path) -> io::Result<InMemoryBackend> {
    let bytes = std::fs::read(path)?;
    let copy = InMemoryBackend::new();
    copy.set_len(bytes.len() as u64)?;
    copy.write(0, &bytes)?;
    Ok(copy)
}

impl std::fmt::Debug for LedgerFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LedgerFile(of {})", self.peer.short())
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // Whoever wants to see the accounts may read while the node writes.
    builder.set_concurrency_mode(ConcurrencyMode::SingleWriter);
    builder.set_cache_size(CACHE);
    builder
}

/// Opens a copy that nobody else sees.
fn repaired(copy: InMemoryBackend) -> Result<Database, OpenError> {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(copy)?)
}

/// Opens what is there, every page of which is checked, or makes a new one.
pub(super) fn create(backend: impl StorageBackend) -> Result<Database, OpenError> {
    let mut builder = builder();
    builder.set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(backend)?)
}

/// A database of this peer. A new one is made its own.
fn claim(db: Database, peer: PeerId) -> Result<Database, OpenError> {
    let known = owner_of(&db).map(Some).or_else(|error| match error {
        // It was just made.
        OpenError::Other(_) => Ok(None),
        error => Err(error),
    })?;
    match known {
        Some(owner) if owner == peer => return Ok(db),
        Some(_) => return Err(OpenError::Damaged("it is another peer's".to_owned())),
        None => {}
    }
    let transaction = db.begin_write().map_err(other)?;
    {
        transaction.open_table(RECORDS).map_err(other)?;
        let mut about = transaction.open_table(ABOUT).map_err(other)?;
        about.insert("form", FORM).map_err(other)?;
        about.insert("peer", &peer.as_bytes()[..]).map_err(other)?;
    }
    transaction.commit().map_err(other)?;
    Ok(db)
}

fn owner_of(db: &impl ReadableDatabase) -> Result<PeerId, OpenError> {
    let about = db.begin_read().map_err(other)?.open_table(ABOUT).map_err(other)?;
    let form = about.get("form").map_err(other)?;
    if form.is_none_or(|form| form.value() != FORM) {
        return Err(OpenError::Damaged("its form is unknown".to_owned()));
    }
    let peer = about.get("peer").map_err(other)?;
    let peer = peer.and_then(|peer| peer.value().try_into().ok());
    peer.map(PeerId::from_bytes)
        .ok_or_else(|| OpenError::Damaged("it does not say whose it is".to_owned()))
}

fn records_of(db: &impl ReadableDatabase) -> Result<Vec<Record>, OpenError> {
    let table = db
        .begin_read()
        .map_err(other)?
        .open_table(RECORDS)
        .map_err(other)?;
    let mut records = Vec::new();
    for entry in table.iter().map_err(other)? {
        let (key, value) = entry.map_err(other)?;
        records.push((key.value().to_owned(), value.value().to_owned()));
    }
    Ok(records)
}

fn write(db: &Database, writes: &[Write]) -> Result<(), OpenError> {
    // It is durable when the commit returns: that is redb's default.
    let transaction = db.begin_write().map_err(other)?;
    {
        let mut table = transaction.open_table(RECORDS).map_err(other)?;
        for write in writes {
            let key = &write.key[..];
            match &write.value {
                Some(value) => table.insert(key, &value[..]).map_err(other)?,
                None => table.remove(key).map_err(other)?,
            };
        }
    }
    transaction.commit().map_err(other)
}

/// The database asserts in places what only a damaged file breaks. That is no reason to end the program: the file is
/// kept aside, and what was in memory of it is dropped.
fn undamaged<T>(what: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(what))
        .unwrap_or_else(|_| Err(OpenError::Damaged("its pages contradict each other".to_owned())))
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Copied by hand, for example: who owes whom is nobody else's business.
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file)
}
