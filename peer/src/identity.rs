//! Secret keys in files: who this peer is, and which stream it casts.
//!
//! A key file is locked while a process uses it, because two peers with one identity would take each other's
//! connections, and two casts with one stream key would mix their chunks.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;
use rand::Rng;
use wire::{PeerId, SecretKey};

use crate::error::{Failure, plain_io};

#[cfg(test)]
mod tests;

/// A key file is a comment and 52 characters; whatever is longer is another file.
const FILE_MAX: u64 = 4096;

/// Stream keys kept by default: so many casts at once continue their streams after a restart, more get a key for once.
const STREAM_KEYS_MAX: u32 = 16;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The peer's identity.
    Identity,
    /// The key that signs a stream's chunks.
    Stream,
}

impl Purpose {
    fn noun(self) -> &'static str {
        match self {
            Purpose::Identity => "identity",
            Purpose::Stream => "stream key",
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Purpose::Identity => "--identity",
            Purpose::Stream => "--stream-key",
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Purpose::Identity => "# headwater identity: whoever has this file is this peer. Keep it secret.",
            Purpose::Stream => {
                "# headwater stream key: whoever has this file can cast this stream. Keep it secret."
            }
        }
    }
}

/// A key in use. The file stays locked until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct HeldKey {
    key: SecretKey,
    path: Option<PathBuf>,
    _lock: Option<File>,
}

impl HeldKey {
    /// A fresh key that is forgotten with the process.
    pub fn ephemeral() -> Self {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        HeldKey {
            key: SecretKey::from_bytes(&secret),
            path: None,
            _lock: None,
        }
    }

    /// The key.
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The file it is kept in, if any.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a headwater key file")]
    Format,
    #[error("others can read it (mode {mode:04o})")]
    Permissions { mode: u32 },
    #[error("another running headwater uses it")]
    InUse,
}

/// Opens the key file that the user named, making it when absent, readable for its owner only.
///
/// # Errors
/// [`Failure::Input`] when it cannot be read or made, others can read it, or another process uses it.
pub fn open(path: &Path, purpose: Purpose) -> Result<HeldKey, Failure> {
    try_open(path, purpose).map_err(|error| refuse(path, purpose, &error))
}

/// Opens the key file `name` in the state folder; when another process uses it, makes a key for once.
///
/// # Errors
/// [`Failure::Input`] as for [`open`], except that a file in use is none.
pub fn open_or_ephemeral(state: Option<&Path>, purpose: Purpose) -> Result<HeldKey, Failure> {
    let (count, stem) = match purpose {
        Purpose::Identity => (1, "identity"),
        Purpose::Stream => (STREAM_KEYS_MAX, "stream"),
    };
    let Some(state) = state else {
        return Ok(HeldKey::ephemeral());
    };
    for n in 1..=count {
        let name = if n == 1 {
            format!("{stem}.key")
        } else {
            format!("{stem}-{n}.key")
        };
        let path = state.join(name);
        match try_open(&path, purpose) {
            Ok(held) => return Ok(held),
            Err(KeyError::InUse) => {}
            Err(error) => return Err(refuse(&path, purpose, &error)),
        }
    }
    tracing::info!(
        "another headwater uses the {} in {}: this one takes a new one for this run",
        purpose.noun(),
        state.display()
    );
    Ok(HeldKey::ephemeral())
}

/// Who the identity in a file is, without using it: another process may.
///
/// # Errors
/// [`Failure::Input`] when there is none, or it cannot be read.
pub fn whose(path: &Path) -> Result<PeerId, Failure> {
    let read = File::open(path)
        .map_err(KeyError::from)
        .and_then(|file| read_key(&file));
    read.map(|key| key.peer_id())
        .map_err(|error| refuse(path, Purpose::Identity, &error))
}

/// The file of the usual identity in the state folder.
pub fn usual_path(state: &Path) -> PathBuf {
    state.join("identity.key")
}

/// The state folder: the one given, or the platform's data folder; made when absent. `None` when the platform names
/// none or it cannot be made: then nothing outlives the process.
///
/// # Errors
/// [`Failure::Input`] when the folder given cannot be made.
pub fn state_dir(given: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if let Some(dir) = given {
        return match make_dir(dir) {
            Ok(()) => Ok(Some(dir.to_owned())),
            Err(error) => Err(Failure::input(format!(
                "the state folder {} cannot be made ({}); choose another with --state",
                dir.display(),
                plain_io(&error)
            ))),
        };
    }
    let Some(dirs) = directories::ProjectDirs::from("live", "headwater", "headwater") else {
        tracing::warn!("no home folder: identity and stream keys are for this run only");
        return Ok(None);
    };
    let dir = dirs.data_dir();
    if let Err(error) = make_dir(dir) {
        tracing::warn!(
            "the state folder {} cannot be made ({}): identity and stream keys are for this run only",
            dir.display(),
            plain_io(&error)
        );
        return Ok(None);
    }
    Ok(Some(dir.to_owned()))
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn refuse(path: &Path, purpose: Purpose, error: &KeyError) -> Failure {
    let advice = match error {
        KeyError::Permissions { .. } => format!("run chmod 600 {}", path.display()),
        KeyError::InUse => format!("stop that one or name another file with {}", purpose.flag()),
        KeyError::Io(_) | KeyError::Format => format!("name another file with {}", purpose.flag()),
    };
    let reason = match error {
        KeyError::Io(error) => plain_io(error),
        other => other.to_string(),
    };
    Failure::input(format!(
        "the {} {} cannot be used: {reason}; {advice}",
        purpose.noun(),
        path.display()
    ))
}

fn try_open(path: &Path, purpose: Purpose) -> Result<HeldKey, KeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path, purpose)?;
            File::open(path)?
        }
        Err(error) => return Err(error.into()),
    };
    check_permissions(&file)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(KeyError::InUse),
        // Some network file systems have no locks: better no protection than no key.
        Err(TryLockError::Error(error)) => {
            tracing::warn!("{} cannot be locked ({})", path.display(), plain_io(&error));
        }
    }
    Ok(HeldKey {
        key: read_key(&file)?,
        path: Some(path.to_owned()),
        _lock: Some(file),
    })
}

fn read_key(file: &File) -> Result<SecretKey, KeyError> {
    let mut text = String::new();
    match file.take(FILE_MAX).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(KeyError::Format),
        Err(error) => return Err(error.into()),
    }
    parse(&text).ok_or(KeyError::Format)
}

/// Writes a new key: whole or not at all, and never over an existing file.
fn create(path: &Path, purpose: Purpose) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Made with mode 0600 by the crate.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let key = HeldKey::ephemeral();
    file.write_all(render(key.key(), purpose).as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        // Another process was faster: its key is as good.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

fn render(key: &SecretKey, purpose: Purpose) -> String {
    let secret = BASE32_NOPAD.encode(&key.to_bytes()).to_ascii_lowercase();
    format!("{}\n{secret}\n", purpose.comment())
}

/// One line of base32 among comments and blank lines.
fn parse(text: &str) -> Option<SecretKey> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    let bytes = BASE32_NOPAD.decode(line.to_ascii_uppercase().as_bytes()).ok()?;
    let secret: [u8; 32] = bytes.try_into().ok()?;
    Some(SecretKey::from_bytes(&secret))
}

#[cfg(unix)]
fn check_permissions(file: &File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions { mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(_: &File) -> Result<(), KeyError> {
    Ok(())
}
